//! The grid of a netCDF file: which cells there are, and where their edges lie.

use crate::angle::{self, Towards};
use crate::crs::{Mapping, Projection, System, Unit, length_unit, read_mapping};
use crate::curvilinear::{self, Quads};
use crate::error::{Error, Result, list, thousands};
use crate::features::{Feature, Refusal};
use crate::netcdf::{Attr, Source, Var};
use std::sync::Arc;

/// One side of the grid. `edges` ascend; `descending` says that the file counts from the other end.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub name: String,
    pub dim: String,
    pub edges: Vec<f64>,
    pub descending: bool,
    pub regular: bool,
    pub from_bounds: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Latitude, or y of a projected grid.
    pub lat: Axis,
    /// Longitude, or x of a projected grid.
    pub lon: Axis,
    /// The longitudes go all the way round: the last cell's neighbour is the first.
    pub global: bool,
    /// Nothing for a grid in longitude and latitude.
    pub projection: Option<Projection>,
    /// The cells of a curvilinear grid; `lat` and `lon` then count its rows and columns.
    pub quads: Option<Arc<Quads>>,
    /// The datum of its longitudes and latitudes, where it is not WGS 84.
    pub datum: Option<System>,
}

impl Axis {
    pub fn len(&self) -> usize {
        self.edges.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.edges.len() < 2
    }

    /// The place in the file of the cell with this place in `edges`.
    pub fn file_place(&self, cell: usize) -> usize {
        if self.descending { self.len() - 1 - cell } else { cell }
    }

    fn step(&self) -> f64 {
        (self.edges[self.len()] - self.edges[0]) / self.len() as f64
    }

    fn describe(&self) -> String {
        let (a, b) = (self.edges[0], self.edges[self.len()]);
        let (a, b) = if self.descending { (b, a) } else { (a, b) };
        format!("{} cells {a:.4} .. {b:.4}", self.len())
    }
}

impl Grid {
    pub fn cells(&self) -> usize {
        self.lat.len() * self.lon.len()
    }

    /// "lat 585 cells 25.0423 .. 49.4168, lon 1386 cells 235.2070 .. 292.9570".
    pub fn describe(&self) -> String {
        if let Some(q) = &self.quads {
            return format!(
                "curvilinear by {} and {}: {}",
                self.lat.name,
                self.lon.name,
                q.describe()
            );
        }
        match &self.projection {
            None => format!("lat {}, lon {}", self.lat.describe(), self.lon.describe()),
            Some(p) => {
                let (y, x) = (&self.lat, &self.lon);
                format!("{} {}, {} {}, {}", y.name, y.describe(), x.name, x.describe(), p.text)
            }
        }
    }

    /// After how much x begins again; nothing on a plane.
    pub fn period(&self) -> Option<f64> {
        self.projection.as_ref().is_none_or(Projection::is_rotated).then_some(360.0)
    }

    /// Latitude and longitude of the middle of a cell (row * columns + column, as in the file).
    pub fn centre(&self, cell: u32) -> Option<[f64; 2]> {
        if let Some(q) = &self.quads {
            return q.centre(cell).map(|[lon, lat]| [lat, lon]);
        }
        let n = self.lon.len();
        let (row, column) = (cell as usize / n, cell as usize % n);
        let middle = |a: &Axis, k: usize| {
            let k = a.file_place(k);
            (a.edges[k] + a.edges[k + 1]) / 2.0
        };
        let (y, x) = (middle(&self.lat, row), middle(&self.lon, column));
        match &self.projection {
            None => Some([y, x]),
            Some(p) => p.inverse(x, y).map(|g| [g[1], g[0]]),
        }
    }

    /// sin(top) - sin(bottom) of each row of cells, in the order of the file.
    pub fn row_areas(&self) -> Vec<f64> {
        // Not the system's sine: the same bits with every C library.
        let sin = |deg: f64| libm::sin(deg.to_radians());
        let e = &self.lat.edges;
        let mut out: Vec<f64> = e.windows(2).map(|w| sin(w[1]) - sin(w[0])).collect();
        if self.lat.descending {
            out.reverse();
        }
        out
    }

    /// The width of each column of cells in radians, in the order of the file.
    pub fn column_widths(&self) -> Vec<f64> {
        let e = &self.lon.edges;
        let mut out: Vec<f64> = e.windows(2).map(|w| (w[1] - w[0]).to_radians()).collect();
        if self.lon.descending {
            out.reverse();
        }
        out
    }

    /// Names what differs from another grid; nothing where they are the same to a thousandth of a cell.
    pub fn difference(&self, other: &Grid) -> Option<String> {
        match (&self.quads, &other.quads) {
            (None, None) => {}
            (Some(a), Some(b)) => return a.difference(b),
            _ => return Some("one of them is curvilinear, the other is not".to_string()),
        }
        if self.projection != other.projection {
            let text = |g: &Grid| match &g.projection {
                None => "longitude and latitude".to_string(),
                Some(p) => format!("`{}`", p.text),
            };
            return Some(format!("the systems differ: {} and {}", text(self), text(other)));
        }
        if self.datum != other.datum {
            let name = |g: &Grid| g.datum.as_ref().map_or("WGS 84".into(), |d| d.name.clone());
            return Some(format!("the datums differ: `{}` and `{}`", name(self), name(other)));
        }
        let names = match &self.projection {
            None => ["latitudes", "longitudes"],
            Some(_) => ["rows (y)", "columns (x)"],
        };
        for (what, a, b) in [(names[0], &self.lat, &other.lat), (names[1], &self.lon, &other.lon)] {
            if a.len() != b.len() {
                return Some(format!("{} and {} {what}", a.len(), b.len()));
            }
            if a.descending != b.descending && a.len() > 1 {
                return Some(format!("the {what} run in opposite directions"));
            }
            let slack = 1e-3 * a.step();
            if let Some((x, y)) =
                a.edges.iter().zip(&b.edges).find(|(x, y)| (*x - *y).abs() > slack)
            {
                return Some(format!("the {what} differ: a cell begins at {x:.6} and at {y:.6}"));
            }
        }
        None
    }

    /// A name for the grid's content.
    pub fn fingerprint(&self) -> String {
        if let Some(q) = &self.quads {
            return q.digest.clone();
        }
        let mut h = blake3::Hasher::new();
        h.update(b"ncproj grid 1");
        for axis in [&self.lat, &self.lon] {
            h.update(&(axis.len() as u64).to_le_bytes());
            h.update(&[u8::from(axis.descending)]);
            for e in &axis.edges {
                h.update(&e.to_le_bytes());
            }
        }
        if let Some(p) = &self.projection {
            h.update(p.text.as_bytes());
        }
        if let Some(d) = &self.datum {
            h.update(d.text.as_bytes());
        }
        h.finalize().to_hex()[..32].to_string()
    }
}

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        "coordinates",
        "`standard_name`, `units`, `axis`, `_CoordinateAxisType`, the name of a coordinate",
        "in this order they tell latitude, longitude, x and y; `--latitude`, `--longitude`, `--x` and `--y` go before all",
    ),
    Feature::honoured(
        "coordinates",
        "`bounds`, or a variable `lat_bnds`, `lat_bounds`, `bounds_lat`",
        "the edges of the cells; repeated along time as long as all repeats agree",
    ),
    Feature::honoured(
        "coordinates",
        "centres without bounds",
        "edges halfway between neighbours; even spacing where the centres are even to the digits that they are written with",
    ),
    Feature::converted(
        "coordinates",
        "longitudes 178, 179, -180, -179",
        "the same meridians, counted on",
    ),
    Feature::converted("coordinates", "rows and columns beyond -90 and 90", "cut at the pole"),
];

pub static NO_BOUNDS: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` that name no variable",
    message: "there is no variable `{}`, where the bounds of the {} should be",
    hint: "remove the attribute (`ncatted -a bounds,{},d,,`): cells then end halfway between their centres",
};

pub static BOUNDS_SHAPE: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` of another shape",
    message: "`{}` has not the shape of bounds: two numbers for each value of the {} `{}`",
    hint: "repair the bounds, or remove the attribute (`ncatted -a bounds,{},d,,`)",
};

pub static BOUNDS_UNITS: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` in another unit",
    message: "the bounds are in `{}`, their coordinate is in `{}`",
    hint: "CF has both in one unit: convert `{}`, or remove its attribute `units`",
};

pub static OUTSIDE_BOUNDS: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` that do not hold their centre",
    message: "the bounds do not hold their centre: the {} {} is not within {} .. {}",
    hint: "repair the bounds, or remove the attribute `bounds` and its variable",
};

pub static APART: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` with gaps or overlaps",
    message: "the cells do not meet: one ends at {} {}, the next begins at {}",
    hint: "ncproj needs bounds without gaps and overlaps",
};

pub static NAMED: Refusal = Refusal {
    of: "coordinates",
    name: "`--latitude`, `--longitude`, `--y`, `--x` with what is no coordinate",
    message: "`{}` is no coordinate of a grid: both have to be numbers along one dimension each, or both of the cells' two",
    hint: "name the variable that holds the centres of the rows, and that of the columns; `ncproj info` lists them",
};

pub static BEYOND: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` beyond the poles, or more than round the globe",
    message: "a cell ends at {}, which is no {}",
    hint: "repair the bounds, or remove the attribute `bounds` and its variable",
};

pub const REFUSALS: &[&Refusal] =
    &[&NAMED, &BEYOND, &NO_BOUNDS, &BOUNDS_SHAPE, &BOUNDS_UNITS, &OUTSIDE_BOUNDS, &APART];

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Lat,
    Lon,
    Y,
    X,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Lat => "latitude",
            Side::Lon => "longitude",
            Side::Y => "y",
            Side::X => "x",
        }
    }
}

/// Is this variable a latitude (longitude), and how surely? 3 by CF, 1 by its name only.
fn sureness(var: &Var, side: Side) -> u8 {
    let (standard, axis, short) = match side {
        Side::Lat => ("latitude", "Y", ["lat", "latitude", "nav_lat"]),
        Side::Lon => ("longitude", "X", ["lon", "longitude", "nav_lon"]),
        Side::Y | Side::X => return 0,
    };
    if let Some(name) = var.text("standard_name") {
        if name == standard {
            return 4;
        }
        if name.starts_with("projection_") || name.starts_with("grid_l") {
            return 0;
        }
    }
    if var
        .text("_CoordinateAxisType")
        .is_some_and(|kind| kind == if side == Side::Lat { "Lat" } else { "Lon" })
    {
        return 3;
    }
    let angle = angle::unit(&units(var));
    match angle.map(|a| a.towards) {
        Some(Towards::Latitude) => return if side == Side::Lat { 3 } else { 0 },
        Some(Towards::Longitude) => return if side == Side::Lon { 3 } else { 0 },
        Some(Towards::Either) | None => {}
    }
    // What is named and marked as one is taken for one, whatever its unit: `axis` then says what is wrong with that.
    let angular = angle.is_some();
    if angular && var.text("axis").is_some_and(|a| a == axis) {
        return 2;
    }
    if short.contains(&var.name.to_lowercase().as_str()) {
        return 1;
    }
    0
}

/// The attribute `units` as a text, whatever its type; nothing where there is none.
fn units(var: &Var) -> String {
    match var.attr("units") {
        None => String::new(),
        Some(Attr::Text(t)) => t.trim().to_string(),
        Some(Attr::Other(kind)) => (*kind).to_string(),
        Some(Attr::Numbers(_, v)) => v.iter().map(f64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Finds the grid of the variable `of`, or of the first variable that has one.
pub fn find(source: &mut Source, of: Option<&str>) -> Result<Grid> {
    let found;
    let (lat, lon, mapping) = match find_names(source, of)? {
        Found::Lines(lat, lon, mapping, var) => {
            found = var;
            (lat, lon, mapping)
        }
        Found::Cells(var) => return find_cells(source, &var, None),
    };
    let at = |m: &str| format!("{}: grid mapping `{m}`", source.name);
    let read = |m: &str, unit| {
        read_mapping(&source.vars[source.var_index(m)?], unit).map_err(|e| e.at(at(m)))
    };
    let Some(mapping) = mapping else {
        let said = match flat_mapping(source, of, &lat)? {
            Some(m) => Some(read(&m, Unit::Unsaid)?),
            None => None,
        };
        let lat = axis(source, &lat, Side::Lat)?;
        let lon = axis(source, &lon, Side::Lon)?;
        let mut grid = round(source, lat, lon, None)?;
        if let Some(curvilinear) = beside(source, &found, &grid)? {
            return Ok(curvilinear);
        }
        if let Some(Mapping { datum, meridian, .. }) = said {
            grid.datum = datum;
            if meridian != 0.0 {
                grid.lon.edges.iter_mut().for_each(|e| *e += meridian);
            }
        }
        return Ok(grid);
    };
    let unit = plane_unit(source, &lat, &lon)?;
    let said = read(&mapping, unit)?;
    let Some(projection) = said.projection else {
        return Err(Error::data(format!(
            "the grid mapping is longitude and latitude, but `{lat}` and `{lon}` are y and x of a projection"
        ))
        .at(at(&mapping))
        .hint("give the variable the grid mapping of its projection"));
    };
    if projection.is_rotated() {
        let lat = axis(source, &lat, Side::Lat)?;
        let lon = axis(source, &lon, Side::Lon)?;
        let grid = round(source, lat, lon, Some(projection))?;
        return Ok(Grid { datum: said.datum, ..grid });
    }
    let y = axis(source, &lat, Side::Y)?;
    let x = axis(source, &lon, Side::X)?;
    Ok(Grid {
        lat: y,
        lon: x,
        global: false,
        projection: Some(projection),
        quads: None,
        datum: said.datum,
    })
}

/// The grid of a variable with latitude and longitude of two dimensions. `names`: those that the caller wants.
fn find_cells(source: &mut Source, of: &str, names: Option<(&str, &str)>) -> Result<Grid> {
    let var = &source.vars[source.var_index(of)?];
    let Some((row, column)) = sides(source, var) else { return Err(no_sides(source, of)) };
    let dims = [var.dims[row], var.dims[column]];
    let (quads, names) = curvilinear::read(source, of, dims, names)?;
    let mut axes = [(dims[0], quads.rows), (dims[1], quads.columns)].into_iter().zip(names).map(
        |((dim, n), name)| Axis {
            name,
            dim: source.dims[dim].name.clone(),
            edges: (0..=n).map(|k| k as f64).collect(),
            descending: false,
            regular: true,
            from_bounds: quads.has_bounds(),
        },
    );
    let (Some(lat), Some(lon)) = (axes.next(), axes.next()) else {
        return Err(no_sides(source, of));
    };
    Ok(Grid {
        lat,
        lon,
        global: false,
        projection: None,
        quads: Some(Arc::new(quads)),
        datum: None,
    })
}

/// Some files keep nominal latitudes and longitudes along the dimensions, and name the true ones of two dimensions in
/// `coordinates`: the grid of these, unless both say the same.
fn beside(source: &mut Source, of: &str, plain: &Grid) -> Result<Option<Grid>> {
    let var = &source.vars[source.var_index(of)?];
    let all = curvilinear::candidates(source, var, None);
    let text = var.text("coordinates").unwrap_or("");
    let named = |v: &&Var| text.split([' ', ',']).any(|w| w == v.name);
    if !all.iter().all(|side| side.len() == 1 && side.iter().all(named)) {
        return Ok(None);
    }
    let grid = find_cells(source, of, None)?;
    let Some(q) = &grid.quads else { return Ok(None) };
    let middle = |a: &Axis, k: usize| {
        let k = a.file_place(k);
        ((a.edges[k] + a.edges[k + 1]) / 2.0, a.edges[k + 1] - a.edges[k])
    };
    let n = plain.lon.len();
    let same = q.centres().iter().enumerate().all(|(k, p)| {
        let ((lat, dy), (lon, dx)) = (middle(&plain.lat, k / n), middle(&plain.lon, k % n));
        let turn = ((p[0] - lon) / 360.0).round() * 360.0;
        p[0].is_nan() || (p[1] - lat).abs() <= 0.02 * dy && (p[0] - turn - lon).abs() <= 0.02 * dx
    });
    Ok((!same).then_some(grid))
}

/// The unit of y and x, which has to be the same.
fn plane_unit(source: &Source, y: &str, x: &str) -> Result<Unit> {
    let of = |name: &str| -> Result<Unit> {
        let Some(text) = source.var(name).and_then(|v| v.text("units")) else {
            return Ok(Unit::Unsaid);
        };
        let text = text.trim();
        let word = text.to_lowercase();
        if let Some(metres) = length_unit(text) {
            return Ok(Unit::Length(metres));
        }
        Ok(match word.as_str() {
            "" => Unit::Unsaid,
            "1" => Unit::Plain,
            "rad" | "radian" | "radians" => Unit::Angle(1.0),
            "mrad" | "milliradian" | "milliradians" => Unit::Angle(1e-3),
            "urad" | "microradian" | "microradians" | "murad" => Unit::Angle(1e-6),
            w if w.starts_with("degree") => Unit::Angle(1f64.to_radians()),
            _ => return Err(UNKNOWN_UNIT.error(&[name, text]).at(place(source, name))),
        })
    };
    let (a, b) = (of(y)?, of(x)?);
    if a != b {
        let text =
            |n: &str| source.var(n).and_then(|v| v.text("units")).unwrap_or("").trim().to_string();
        return Err(UNITS_DIFFER.error(&[y, &text(y), x, &text(x)]).at(place(source, y)));
    }
    Ok(a)
}

fn place(source: &Source, name: &str) -> String {
    format!("{}: variable `{name}`", source.name)
}

/// The mapping of longitudes and latitudes: that of the variable, or the only one of the file.
fn flat_mapping(source: &Source, of: Option<&str>, lat: &str) -> Result<Option<String>> {
    let dim = source.var(lat).map(|v| v.dims[0]);
    let var = match of {
        Some(name) => source.var(name),
        None => source
            .vars
            .iter()
            .filter(|v| v.dims.len() >= 2 && v.dims.iter().any(|d| Some(*d) == dim))
            .find(|v| v.text("grid_mapping").is_some()),
    };
    match var.filter(|v| v.text("grid_mapping").is_some()) {
        Some(v) => Ok(named_mapping(source, v)?.filter(|m| is_mapping(m)).map(|m| m.name.clone())),
        None => {
            let mut all = source.vars.iter().filter(|m| is_mapping(m));
            let first = all.next();
            Ok(first.filter(|_| all.next().is_none()).map(|m| m.name.clone()))
        }
    }
}

/// A grid in longitude and latitude: does it go all the way round?
fn round(source: &Source, lat: Axis, lon: Axis, projection: Option<Projection>) -> Result<Grid> {
    let span = lon.edges[lon.len()] - lon.edges[0];
    let step = lon.step();
    if span > 360.0 + 1e-3 * step {
        return Err(Error::data(format!(
            "the longitudes cover {span:.4} degrees: more than once round the globe"
        ))
        .at(format!("{}: variable `{}`", source.name, lon.name))
        .hint("drop the repeated (cyclic) column first"));
    }
    let mut lon = lon;
    let global = (span - 360.0).abs() <= 1e-3 * step;
    if global {
        let n = lon.len();
        lon.edges[n] = lon.edges[0] + 360.0;
    }
    Ok(Grid { lat, lon, global, projection, quads: None, datum: None })
}

static NO_MAPPING: Refusal = Refusal {
    of: "coordinate systems",
    name: "`grid_mapping` that names no variable",
    message: "`grid_mapping` of `{}` names `{}`, and there is no such variable",
    hint: "repair the attribute, or remove it where the grid is in longitude and latitude",
};
static NAMELESS_MAPPING: Refusal = Refusal {
    of: "coordinate systems",
    name: "a grid mapping without `grid_mapping_name` and without a text",
    message: "`{}` is the grid mapping of `{}`, but says neither `grid_mapping_name` nor `crs_wkt`, `spatial_ref` or `proj4`",
    hint: "add `grid_mapping_name` as CF has it, or the system's text as `crs_wkt`",
};
static UNKNOWN_UNIT: Refusal = Refusal {
    of: "coordinate systems",
    name: "x and y in an unknown unit",
    message: "`{}` is in `{}`, which ncproj does not know",
    hint: "write the coordinates in metres, with `units = \"m\"`",
};
static UNITS_DIFFER: Refusal = Refusal {
    of: "coordinate systems",
    name: "x and y in different units",
    message: "`{}` is in `{}`, and `{}` in `{}`",
    hint: "write both in the same unit, for instance in metres (`units = \"m\"`)",
};

pub const SYSTEM_FEATURES: &[Feature] = &[
    Feature::honoured(
        "coordinate systems",
        "`grid_mapping`",
        "its extended form (`crs: x y`) too; a file with one mapping need not name it",
    ),
    Feature::honoured(
        "coordinate systems",
        "`units` of x and y",
        "lengths (`m`, `km`, `US_survey_foot`, `25 km` ...), degrees of a rotated pole, scanning angles in radians",
    ),
];
pub const SYSTEM_REFUSALS: &[&Refusal] =
    &[&NAMELESS_MAPPING, &NO_MAPPING, &UNKNOWN_UNIT, &UNITS_DIFFER];

/// The names of an attribute `grid_mapping`: `crs`, or `crs: x y other: lat lon` with the coordinates of each.
fn mapping_names(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut out: Vec<(&str, Vec<&str>)> = Vec::new();
    if !text.contains(':') {
        return text.split_whitespace().map(|n| (n, Vec::new())).take(1).collect();
    }
    for word in text.split_whitespace() {
        match (word.strip_suffix(':'), word.split_once(':'), out.last_mut()) {
            (Some(name), ..) => out.push((name, Vec::new())),
            (None, Some((name, of)), _) => out.push((name, vec![of])),
            (None, None, Some((_, list))) => list.push(word),
            (None, None, None) => out.push((word, Vec::new())),
        }
    }
    out
}

/// Does this variable say something about a coordinate system?
fn is_mapping(m: &Var) -> bool {
    const TEXTS: [&str; 3] = ["crs_wkt", "spatial_ref", "esri_pe_string"];
    m.attr("grid_mapping_name").is_some()
        || (m.dims.len() < 2
            && (TEXTS.iter().any(|a| m.text(a).is_some_and(|t| !t.trim().is_empty()))
                || PROJ_WORDS.iter().any(|a| m.text(a).is_some_and(|t| t.contains("proj=")))))
}

const PROJ_WORDS: [&str; 5] = ["proj4", "proj4text", "proj4_params", "proj4_string", "proj_params"];

/// Is it a projection, or longitude and latitude?
fn is_projected(m: &Var) -> bool {
    match m.text("grid_mapping_name").map(str::trim) {
        Some(name) => {
            !["latitude_longitude", "lat_lon", "latlon"].contains(&name.to_lowercase().as_str())
        }
        None => read_mapping(m, Unit::Length(1.0)).map_or(true, |m| m.projection.is_some()),
    }
}

/// The mapping that the variable names for its x and y; one that is not there is an error.
fn named_mapping<'a>(source: &'a Source, var: &Var) -> Result<Option<&'a Var>> {
    let Some(text) = var.text("grid_mapping").filter(|t| !t.trim().is_empty()) else {
        return Ok(None);
    };
    let mut found: Vec<(&Var, Vec<&str>)> = Vec::new();
    for (name, of) in mapping_names(text) {
        let m = source
            .var(name)
            .ok_or_else(|| NO_MAPPING.error(&[&var.name, name]).at(place(source, &var.name)))?;
        found.push((m, of));
    }
    // Of several the one whose coordinates have a dimension each decides: x and y.
    let own = |of: &[&str]| {
        of.iter().any(|c| {
            source.var(c).is_some_and(|c| c.dims.len() == 1 && var.dims.contains(&c.dims[0]))
        })
    };
    let best = found.iter().find(|(_, of)| own(of)).or(found.first());
    Ok(best.map(|(m, _)| *m))
}

/// The variable's grid mapping, where it is a projection. A file with one mapping need not name it at each variable.
fn mapping<'a>(source: &'a Source, var: &Var) -> Option<&'a Var> {
    match var.text("grid_mapping").filter(|t| !t.trim().is_empty()) {
        Some(_) => named_mapping(source, var).ok()?.filter(|m| is_mapping(m) && is_projected(m)),
        None => {
            let mut all = source.vars.iter().filter(|m| is_mapping(m) && is_projected(m));
            let first = all.next()?;
            all.next().is_none().then_some(first)
        }
    }
}

/// Is this variable the y (x) of a projection, and how surely?
fn plane_sureness(var: &Var, side: Side) -> u8 {
    let (standard, rotated, axis, short) = match side {
        Side::Y => {
            ("projection_y_coordinate", "grid_latitude", "Y", ["y", "rlat", "yc", "south_north"])
        }
        Side::X => {
            ("projection_x_coordinate", "grid_longitude", "X", ["x", "rlon", "xc", "west_east"])
        }
        _ => return 0,
    };
    match var.text("standard_name") {
        Some(name) if name == standard || name == rotated => return 4,
        // CF's names since 1.9 for the scanning angles of a geostationary satellite.
        Some("projection_y_angular_coordinate") if side == Side::Y => return 4,
        Some("projection_x_angular_coordinate") if side == Side::X => return 4,
        Some(name) if name.starts_with("projection_") || name.starts_with("grid_l") => return 0,
        Some("latitude" | "longitude" | "time") => return 0,
        _ => {}
    }
    if var.text("axis").is_some_and(|a| a == axis) {
        return 3;
    }
    if short.contains(&var.name.to_lowercase().as_str()) { 2 } else { 0 }
}

/// The coordinates that the user names, where the file does not tell them.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Latitude, or y.
    pub lat: String,
    /// Longitude, or x.
    pub lon: String,
    /// They are y and x of a projection.
    pub plane: bool,
}

impl Named {
    /// Makes a file look for these coordinates; all of them have to be there, as numbers along one dimension each.
    pub fn apply(&self, source: &mut Source) -> Result<()> {
        let mut along = None;
        for name in [&self.lat, &self.lon] {
            let var = &source.vars[source.var_index(name)?];
            // Two dimensions, and perhaps time, are those of a curvilinear grid.
            let n = var.dims.len();
            let fits = n == 1 || (!self.plane && (n == 2 || n == 3));
            if !fits || !var.kind.is_number() || along.is_some_and(|a| a != n) {
                return Err(NAMED.error(&[&shape_text(source, var)]).at(source.name.clone()));
            }
            along = Some(n);
        }
        source.named = Some(self.clone());
        Ok(())
    }

    fn of(&self, side: Side) -> Option<&str> {
        match side {
            Side::Lat if !self.plane => Some(&self.lat),
            Side::Lon if !self.plane => Some(&self.lon),
            Side::Y if self.plane => Some(&self.lat),
            Side::X if self.plane => Some(&self.lon),
            _ => None,
        }
    }
}

/// The coordinate of this side that the user names, if it stands along a dimension of the variable.
fn named<'a>(source: &'a Source, var: &Var, side: Side) -> Option<&'a Var> {
    let name = source.named.as_ref()?.of(side)?;
    source.var(name).filter(|c| c.dims.len() == 1 && var.dims.contains(&c.dims[0]))
}

/// The y and x of a variable on a projected grid, and its mapping.
fn plane<'a>(source: &'a Source, var: &Var) -> Option<(&'a Var, &'a Var, &'a Var)> {
    if source.named.as_ref().is_some_and(|n| !n.plane) {
        return None;
    }
    let mapping = mapping(source, var)?;
    let aux = sureness(var, Side::Lat) > 0 || sureness(var, Side::Lon) > 0;
    if aux || var.dims.len() < 2 || std::ptr::eq(mapping, var) {
        return None; // latitude and longitude of the cells, beside x and y
    }
    if let (Some(y), Some(x)) = (named(source, var, Side::Y), named(source, var, Side::X)) {
        return (y.dims[0] != x.dims[0]).then_some((y, x, mapping));
    }
    let best = |side| {
        source
            .vars
            .iter()
            .filter(|c| c.dims.len() == 1 && var.dims.contains(&c.dims[0]) && c.kind.is_number())
            .map(|c| {
                let own = source.dims[c.dims[0]].name == c.name;
                (plane_sureness(c, side) * 2 + u8::from(own), c)
            })
            .filter(|(s, _)| *s >= 2)
            .max_by_key(|(s, _)| *s)
            .map(|(_, c)| c)
    };
    let (y, x) = (best(Side::Y)?, best(Side::X)?);
    // CF's own names for longitude and latitude go before a mapping.
    if sureness(y, Side::Lat) >= 3 && sureness(x, Side::Lon) >= 3 {
        return None;
    }
    (y.dims[0] != x.dims[0]).then_some((y, x, mapping))
}

enum Found {
    /// Names of the latitude and the longitude, or of y, x and the projection; and of a variable on them.
    Lines(String, String, Option<String>, String),
    /// A variable with latitude and longitude of two dimensions.
    Cells(String),
}

fn find_names(source: &Source, of: Option<&str>) -> Result<Found> {
    let candidates: Vec<&Var> = match of {
        Some(name) => vec![&source.vars[source.var_index(name)?]],
        None => {
            let mut v: Vec<&Var> =
                source.vars.iter().filter(|v| v.dims.len() >= 2 && v.kind.is_number()).collect();
            // Data before the coordinates of cells; what lies in a group has to be asked for.
            v.sort_by_key(|v| {
                let helper = curvilinear::is_helper(source, v);
                (v.name.contains('/'), std::cmp::Reverse(v.dims.len()), helper)
            });
            v
        }
    };
    for var in &candidates {
        named_mapping(source, var)?;
        if let Some((y, x, mapping)) = plane(source, var) {
            return Ok(Found::Lines(
                y.name.clone(),
                x.name.clone(),
                Some(mapping.name.clone()),
                var.name.clone(),
            ));
        }
        if let (Some(a), Some(b)) =
            (coordinate(source, var, Side::Lat), coordinate(source, var, Side::Lon))
            && sides(source, var).is_some()
        {
            return Ok(Found::Lines(a, b, None, var.name.clone()));
        }
    }
    if let Some(v) = candidates.iter().find(|v| curvilinear::sides(source, v).is_some()) {
        return Ok(Found::Cells(v.name.clone()));
    }
    let mut all = source.vars.iter().filter(|v| of.is_none_or(|of| v.name == of));
    if let Some(e) = all.find_map(|v| curvilinear::unstructured(source, v)) {
        return Err(e);
    }
    // Nothing plain: say what there is instead.
    for var in candidates.iter().filter(|v| v.text("grid_mapping").is_some()) {
        if let Some(m) = mapping(source, var) {
            let name = m.text("grid_mapping_name").unwrap_or(&m.name);
            return Err(Error::data(format!(
                "`{}` lies on a projected grid (`{name}`) without one-dimensional x and y",
                var.name
            ))
            .at(format!("{}: {}", source.name, shape_text(source, var)))
            .hint("x and y are found by `standard_name` (`projection_x_coordinate`), by `axis`, then by name"));
        }
    }
    if let Some(var) = candidates
        .iter()
        .find(|v| [Side::Lat, Side::Lon].iter().all(|s| coordinate(source, v, *s).is_some()))
    {
        return Err(no_sides(source, &var.name));
    }
    // A mapping that says nothing of what it is.
    for var in &candidates {
        if let Some(m) = named_mapping(source, var)?.filter(|m| !is_mapping(m)) {
            return Err(NAMELESS_MAPPING
                .error(&[&m.name, &var.name])
                .at(format!("{}: variable `{}`", source.name, m.name)));
        }
    }
    let names: Vec<String> = source.vars.iter().map(|v| shape_text(source, v)).collect();
    let what = match of {
        Some(name) => format!("`{name}` has no latitude and longitude"),
        None => "there is no variable with latitude and longitude".to_string(),
    };
    Err(Error::data(what).at(format!("{}: {}", source.name, list(&names, 12))).hint(
        "coordinates are found by `standard_name`, by units such as `degrees_north`, by `axis`, then by name",
    ))
}

/// Latitude and longitude are there, but along one dimension: stations, a ship's way.
pub fn no_sides(source: &Source, variable: &str) -> Error {
    if let Some(e) = source.var(variable).and_then(|v| curvilinear::unstructured(source, v)) {
        return e;
    }
    let shape = source.var(variable).map(|v| shape_text(source, v)).unwrap_or_default();
    Error::data(format!("`{variable}` holds points (stations, a track), not a grid"))
        .at(format!("{}: {shape}", source.name))
        .hint("latitude and longitude need a dimension each")
}

pub fn shape_text(source: &Source, var: &Var) -> String {
    format!("{}({})", var.name, source.dim_names(var).join(", "))
}

/// The 1-D coordinate variable of one of the variable's dimensions that is its latitude (longitude).
fn coordinate(source: &Source, var: &Var, side: Side) -> Option<String> {
    if source.named.is_some() {
        return named(source, var, side).map(|c| c.name.clone());
    }
    source
        .vars
        .iter()
        .filter(|c| c.dims.len() == 1 && var.dims.contains(&c.dims[0]) && c.kind.is_number())
        .map(|c| (sureness(c, side) * 2 + u8::from(source.dims[c.dims[0]].name == c.name), c))
        .filter(|(s, _)| *s >= 2)
        .max_by_key(|(s, _)| *s)
        .map(|(_, c)| c.name.clone())
}

/// The dimensions of latitude and longitude (or y and x) of a variable, if it lies on a grid.
pub fn sides(source: &Source, var: &Var) -> Option<(usize, usize)> {
    let (lat, lon) = match plane(source, var) {
        Some((y, x, _)) => (y.dims[0], x.dims[0]),
        None => {
            let names = (coordinate(source, var, Side::Lat), coordinate(source, var, Side::Lon));
            let (Some(lat), Some(lon)) = names else { return curvilinear::sides(source, var) };
            if curvilinear::is_coordinate(source, var) {
                return None;
            }
            let dim = |name: &str| source.var(name).map(|v| v.dims[0]);
            (dim(&lat)?, dim(&lon)?)
        }
    };
    let place = |d: usize| var.dims.iter().position(|x| *x == d);
    (lat != lon).then_some((place(lat)?, place(lon)?))
}

/// The unit of a coordinate in degrees: what its values are multiplied with.
fn degrees_of(source: &Source, name: &str, side: Side) -> Result<f64> {
    let Some(var) = source.var(name) else { return Ok(1.0) };
    let text = units(var);
    let at = format!("{}: variable `{name}`, attribute `units`", source.name);
    let (own, good) = match side {
        Side::Lat => (Towards::Latitude, "degrees_north"),
        _ => (Towards::Longitude, "degrees_east"),
    };
    match angle::unit(&text) {
        None => Err(angle::UNKNOWN.error(&[side.name(), &text, good]).at(at)),
        Some(a) if a.towards != own && a.towards != Towards::Either => {
            Err(angle::OTHER_WAY.error(&[side.name(), &text]).at(at))
        }
        Some(a) => Ok(a.factor),
    }
}

fn axis(source: &mut Source, name: &str, side: Side) -> Result<Axis> {
    let at = format!("{}: variable `{name}`", source.name);
    let mut centres = source.read_numbers(name)?;
    let index = source.var_index(name)?;
    let single = source.vars[index].kind == crate::netcdf::Kind::F4;
    let dim = source.dim_names(&source.vars[index])[0].clone();
    if centres.is_empty() {
        return Err(Error::data(format!("the {} has no values", side.name()))
            .at(at)
            .hint("choose another file: a grid needs its coordinates"));
    }
    if let Some(k) = centres.iter().position(|v| !v.is_finite()) {
        let number = thousands(k as u64 + 1);
        return Err(Error::data(format!("value {number} of the {} is missing", side.name()))
            .at(at)
            .hint("a grid needs all its coordinates: repair the file, or fetch it again"));
    }
    let mut bounds = read_bounds(source, name, side, centres.len())?;
    // How far stored values may lie from the true ones, for the digits that they were written with.
    let mut rounding = rounding(&centres, single);
    let angular = matches!(side, Side::Lat | Side::Lon);
    if angular {
        let factor = degrees_of(source, name, side)?;
        if factor != 1.0 {
            centres.iter_mut().for_each(|v| *v *= factor);
            bounds.iter_mut().flatten().flatten().for_each(|v| *v *= factor);
            rounding *= factor.abs();
        }
    }
    let worst = |most: f64| {
        let far = centres.iter().fold(0.0f64, |a, v| if v.abs() > a.abs() { *v } else { a });
        (far.abs() > most).then(|| short(far))
    };
    if side == Side::Lat
        && let Some(worst) = worst(90.0 + 1e-3)
    {
        return Err(Error::data(format!("{worst} is no latitude")).at(at).hint(
            "latitudes lie within -90..90 degrees: check the units, or fetch the file again",
        ));
    }
    if side == Side::Lon
        && let Some(worst) = worst(1080.0)
    {
        return Err(Error::data(format!("{worst} is no longitude"))
            .at(at)
            .hint("longitudes are degrees: check the units, or fetch the file again"));
    }
    if side == Side::Lon {
        // 178, 179, -180, -179: the same meridians, counted on.
        for k in 1..centres.len() {
            let jump = ((centres[k] - centres[k - 1]) / 360.0).round() * 360.0;
            centres[k] -= jump;
        }
        if let Some(b) = &mut bounds {
            for (c, pair) in centres.iter().zip(b.iter_mut()) {
                for v in pair.iter_mut().filter(|v| v.abs() <= 1440.0) {
                    *v -= ((*v - *c) / 360.0).round() * 360.0;
                }
            }
        }
    }
    let n = centres.len();
    let descending = if n > 1 { centres[n - 1] < centres[0] } else { false };
    if descending {
        centres.reverse();
        if let Some(b) = &mut bounds {
            b.reverse();
        }
    }
    if let Some(k) = (1..n).find(|&k| centres[k] <= centres[k - 1]) {
        return Err(Error::data(format!(
            "the {} neither rises nor falls all along: {} and {} are neighbours",
            side.name(),
            short(centres[k - 1]),
            short(centres[k])
        ))
        .at(at)
        .hint("sort the file along this axis first"));
    }
    let from_bounds = bounds.is_some();
    let mut edges = match bounds {
        Some(b) => edges_of_bounds(&b, &centres, side).map_err(|e| {
            let named = bounds_of(source, name).unwrap_or_default();
            e.at(format!("{}: variable `{named}`, bounds of `{name}`", source.name))
        })?,
        None if n == 1 => {
            return Err(Error::data(format!(
                "the {} has one value and no bounds: how large its cell is, nobody knows",
                side.name()
            ))
            .at(at)
            .hint("add cell bounds (a `bounds` attribute and its variable)"));
        }
        None => edges_of_centres(&centres),
    };
    // Even to within the digits that the coordinates were written with: take it as even. Gaussian latitudes are not.
    let step = (edges[n] - edges[0]) / n as f64;
    let slack = rounding.max(1e-9 * step);
    let mut regular = false;
    if n > 2 {
        // What is drawn through the first and the last value lies as far off as these two, and each value between by itself.
        let (stored, first, step) = match from_bounds {
            true => (&edges, edges[0], step),
            false => (&centres, centres[0], (centres[n - 1] - centres[0]) / (n - 1) as f64),
        };
        let even = |k: usize| first + step * k as f64;
        let near = |(k, v): (usize, &f64)| (v - even(k)).abs() <= 2.0 * slack * (1.0 + 1e-6);
        if slack < 0.25 * step && stored.iter().enumerate().all(near) {
            let begin = if from_bounds { first } else { first - step / 2.0 };
            regular = true;
            for (k, e) in edges.iter_mut().enumerate() {
                *e = begin + step * k as f64;
            }
        }
    }
    if side == Side::Lat {
        for e in &mut edges {
            *e = e.clamp(-90.0, 90.0);
        }
        if edges.windows(2).any(|w| w[1] <= w[0]) {
            return Err(Error::data("a row of cells lies beyond the pole")
                .at(at)
                .hint("repair the latitudes or their bounds: rows end at -90 and 90"));
        }
    }
    Ok(Axis { name: name.to_string(), dim, edges, descending, regular, from_bounds })
}

/// A number in a message: all its digits, but never hundreds of them.
fn short(v: f64) -> String {
    let plain = v.to_string();
    if plain.len() <= 20 { plain } else { format!("{v:e}") }
}

/// How far the values may lie from the true ones, for the digits that they were written with: those of float32 (also where
/// float64 holds what was float32 once), or up to seven decimals, but of these never more than a thousandth of a cell.
fn rounding(values: &[f64], single: bool) -> f64 {
    let largest = values.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    let single = single || values.iter().all(|v| f64::from(*v as f32) == *v);
    let slack = largest * if single { f64::from(f32::EPSILON) } else { 1e-14 };
    let rounded =
        |unit: &f64| values.iter().all(|v| (v - (v / unit).round() * unit).abs() <= slack);
    let step = match values {
        [first, .., last] => (last - first).abs() / (values.len() - 1) as f64,
        _ => 0.0,
    };
    let unit = (1..=7).map(|digits| 10f64.powi(-digits)).find(rounded).unwrap_or(0.0);
    slack.max((unit / 2.0).min(1e-3 * step))
}

fn edges_of_centres(c: &[f64]) -> Vec<f64> {
    let n = c.len();
    let mut edges = Vec::with_capacity(n + 1);
    edges.push(c[0] - (c[1] - c[0]) / 2.0);
    edges.extend(c.windows(2).map(|w| (w[0] + w[1]) / 2.0));
    edges.push(c[n - 1] + (c[n - 1] - c[n - 2]) / 2.0);
    edges
}

fn edges_of_bounds(bounds: &[[f64; 2]], centres: &[f64], side: Side) -> Result<Vec<f64>> {
    let pairs: Vec<(f64, f64)> = bounds.iter().map(|b| (b[0].min(b[1]), b[0].max(b[1]))).collect();
    if let Some(p) = pairs.iter().find(|p| p.1 <= p.0) {
        return Err(Error::data(format!(
            "a cell has no extent in {}: it begins and ends at {}",
            side.name(),
            short(p.0)
        ))
        .hint("repair the bounds: both ends of a cell are the same"));
    }
    let width = |p: &(f64, f64)| p.1 - p.0;
    let slack = |p: &(f64, f64)| {
        (1e-3 * width(p)).max(2.0 * p.0.abs().max(p.1.abs()) * f64::from(f32::EPSILON))
    };
    for (p, c) in pairs.iter().zip(centres) {
        if *c < p.0 - slack(p) || *c > p.1 + slack(p) {
            return Err(OUTSIDE_BOUNDS.error(&[side.name(), &short(*c), &short(p.0), &short(p.1)]));
        }
    }
    for w in pairs.windows(2) {
        if (w[1].0 - w[0].1).abs() > slack(&w[0]).min(slack(&w[1])) {
            return Err(APART.error(&[side.name(), &short(w[0].1), &short(w[1].0)]));
        }
    }
    // A centre at the pole may have its cell drawn half beyond it, but no further.
    let half = centres.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max).min(90.0);
    let most = match side {
        Side::Lat => 90.0 + half,
        Side::Lon => 1440.0,
        _ => f64::INFINITY,
    };
    if let Some(v) = pairs.iter().flat_map(|p| [p.0, p.1]).find(|v| v.abs() > most + 1e-3) {
        return Err(BEYOND.error(&[&short(v), side.name()]));
    }
    let mut edges: Vec<f64> = pairs.iter().map(|p| p.0).collect();
    edges.extend(pairs.last().map(|p| p.1));
    Ok(edges)
}

/// The name of the variable that holds the bounds of a coordinate: what its attribute says, else `lat_bnds` and the like.
fn bounds_of(source: &Source, name: &str) -> Option<String> {
    let var = source.var(name)?;
    if let Some(named) = var.attr("bounds") {
        return Some(match named {
            Attr::Text(t) => t.trim().to_string(),
            Attr::Other(kind) => (*kind).to_string(),
            Attr::Numbers(_, v) => v.iter().map(f64::to_string).collect(),
        });
    }
    let len = source.shape(var).first().copied()?;
    // Some tools repeat the bounds along time: a leading dimension is fine as long as all repeats agree.
    let fits = |v: &Var| source.shape(v).ends_with(&[len, 2]) && v.kind.is_number();
    [format!("{name}_bnds"), format!("{name}_bounds"), format!("bounds_{name}")]
        .into_iter()
        .find(|b| source.var(b).is_some_and(fits))
}

/// The cell bounds of a coordinate: by its `bounds` attribute, else `lat_bnds` and the like.
fn read_bounds(
    source: &mut Source,
    name: &str,
    side: Side,
    n: usize,
) -> Result<Option<Vec<[f64; 2]>>> {
    let Some(found) = bounds_of(source, name) else { return Ok(None) };
    let at = || format!("{}: variable `{name}`, attribute `bounds`", source.name);
    let Some(var) = source.var(&found) else {
        return Err(NO_BOUNDS.error(&[&found, side.name(), name]).at(at()));
    };
    if !source.shape(var).ends_with(&[n as u64, 2]) || !var.kind.is_number() {
        let shape = shape_text(source, var);
        return Err(BOUNDS_SHAPE.error(&[&shape, side.name(), name, name]).at(at()));
    }
    // CF: bounds have the unit of their coordinate, whether they say it or not, in one spelling or another.
    let own = source.var(name).map(units).unwrap_or_default();
    let (theirs, same) = (units(var), |a: &str, b: &str| {
        let angles = angle::unit(a).zip(angle::unit(b)).is_some_and(|(a, b)| {
            let apart = a.towards != b.towards && a.towards != Towards::Either;
            a.factor == b.factor && (!apart || b.towards == Towards::Either)
        });
        let lengths = length_unit(a).zip(length_unit(b)).is_some_and(|(a, b)| a == b);
        a == b || angles || lengths
    });
    if !theirs.is_empty() && !same(&theirs, &own) {
        return Err(BOUNDS_UNITS
            .error(&[&theirs, &own, &found])
            .at(format!("{}: variable `{found}`, attribute `units`", source.name)));
    }
    let values = source.read_numbers(&found)?;
    if let Some(v) = values.iter().find(|v| !v.is_finite()) {
        let what = match v.is_nan() {
            true => format!("the bounds of the {} have missing values", side.name()),
            false => format!("the bounds of the {} hold {}", side.name(), short(*v)),
        };
        return Err(Error::data(what)
            .at(format!("{}: variable `{found}`", source.name))
            .hint("repair the bounds, or remove the attribute `bounds` and its variable"));
    }
    let first = &values[..2 * n];
    if values.chunks(2 * n).any(|c| c != first) {
        return Err(Error::data(format!(
            "the bounds of the {} change along the file",
            side.name()
        ))
        .at(format!("{}: variable `{found}`", source.name))
        .hint("ncproj needs one grid for all steps: repair the bounds, or remove them"));
    }
    Ok(Some(first.chunks(2).map(|c| [c[0], c[1]]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lie_halfway_between_centres() {
        assert_eq!(edges_of_centres(&[1.0, 2.0, 4.0]), [0.5, 1.5, 3.0, 5.0]);
    }

    #[test]
    fn bounds_with_a_gap_are_refused() {
        assert!(edges_of_bounds(&[[0.0, 1.0], [1.5, 2.0]], &[0.5, 1.75], Side::Lat).is_err());
        let upside_down =
            edges_of_bounds(&[[1.0, 0.0], [2.0, 1.0]], &[0.5, 1.5], Side::Lat).unwrap();
        assert_eq!(upside_down, [0.0, 1.0, 2.0]);
    }

    #[test]
    fn a_row_at_the_equator_is_larger_than_one_at_sixty() {
        let axis = |edges: Vec<f64>| Axis {
            name: "a".into(),
            dim: "a".into(),
            edges,
            descending: false,
            regular: true,
            from_bounds: false,
        };
        let (lat, lon) = (axis(vec![0.0, 30.0, 90.0]), axis(vec![0.0, 1.0]));
        let g = Grid { lat, lon, global: false, projection: None, quads: None, datum: None };
        let rows = g.row_areas();
        // sin 30 - sin 0 = 0.5; sin 90 - sin 30 = 0.5
        assert!((rows[0] - 0.5).abs() < 1e-15 && (rows[1] - 0.5).abs() < 1e-15);
    }
}
