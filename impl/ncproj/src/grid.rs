//! The grid of a netCDF file: which cells there are, and where their edges lie.

use crate::crs::{Projection, length_unit};
use crate::error::{Error, Result, list, thousands};
use crate::netcdf::{Source, Var};

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
        if self.projection != other.projection {
            let text = |g: &Grid| match &g.projection {
                None => "longitude and latitude".to_string(),
                Some(p) => format!("`{}`", p.text),
            };
            return Some(format!("the systems differ: {} and {}", text(self), text(other)));
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
        h.finalize().to_hex()[..32].to_string()
    }
}

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
    let units = var.text("units").unwrap_or("").trim().to_lowercase();
    let letter = if side == Side::Lat { "n" } else { "e" };
    let other = if side == Side::Lat { "e" } else { "n" };
    let degrees = |l: &str| {
        let full = if l == "n" { "north" } else { "east" };
        [
            format!("degrees_{full}"),
            format!("degree_{full}"),
            format!("degrees_{l}"),
            format!("degree_{l}"),
            format!("degrees{l}"),
            format!("degree{l}"),
        ]
        .contains(&units)
    };
    if degrees(letter) {
        return 3;
    }
    if degrees(other) {
        return 0;
    }
    let angular = units.is_empty() || units.starts_with("degree");
    if angular && var.text("axis").is_some_and(|a| a == axis) {
        return 2;
    }
    let name = var.name.to_lowercase();
    if angular && short.contains(&name.as_str()) {
        return 1;
    }
    0
}

/// Finds the grid of the variable `of`, or of the first variable that has one.
pub fn find(source: &mut Source, of: Option<&str>) -> Result<Grid> {
    let (lat, lon, mapping) = find_names(source, of)?;
    let Some(mapping) = mapping else {
        let lat = axis(source, &lat, Side::Lat)?;
        let lon = axis(source, &lon, Side::Lon)?;
        return round(source, lat, lon, None);
    };
    let at = format!("{}: grid mapping `{mapping}`", source.name);
    let unknown = |why: String| {
        Error::data(format!("the projection cannot be computed: {why}"))
            .at(at.clone())
            .hint("regrid the file to latitude and longitude first (`cdo remapbil`)")
    };
    let units = |name: &str| {
        source.var(name).and_then(|v| v.text("units")).unwrap_or("").trim().to_string()
    };
    let (y_units, x_units) = (units(&lat), units(&lon));
    let degrees = |u: &str| u.is_empty() || u.to_lowercase().starts_with("degree");
    let var = &source.vars[source.var_index(&mapping)?];
    let of_unit = |unit: f64| Projection::of_mapping(var, unit).map_err(unknown);
    let projection = match (length_unit(&y_units), length_unit(&x_units)) {
        (Some(a), Some(b)) if a == b => of_unit(a)?,
        _ if degrees(&y_units) && degrees(&x_units) && y_units.is_empty() == x_units.is_empty() => {
            of_unit(1.0)?
        }
        _ => {
            return Err(Error::data(format!(
                "`{lat}` is in `{y_units}` and `{lon}` in `{x_units}`: ncproj knows m, km and degrees"
            ))
            .at(at)
            .hint("write the coordinates in metres, with `units = \"m\"`"));
        }
    };
    if projection.is_rotated() == length_unit(&y_units).is_some() {
        return Err(Error::data(format!(
            "`{lat}` and `{lon}` are in `{y_units}`, which does not suit the projection"
        ))
        .at(at)
        .hint("a rotated pole goes with degrees, any other projection with metres or kilometres"));
    }
    if projection.is_rotated() {
        let lat = axis(source, &lat, Side::Lat)?;
        let lon = axis(source, &lon, Side::Lon)?;
        return round(source, lat, lon, Some(projection));
    }
    let y = axis(source, &lat, Side::Y)?;
    let x = axis(source, &lon, Side::X)?;
    Ok(Grid { lat: y, lon: x, global: false, projection: Some(projection) })
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
    Ok(Grid { lat, lon, global, projection })
}

/// The variable's grid mapping, where it is a projection. A file with one mapping need not name it at each variable.
fn mapping<'a>(source: &'a Source, var: &Var) -> Option<&'a Var> {
    let projected = |m: &&Var| match m.text("grid_mapping_name") {
        Some(name) => name != "latitude_longitude",
        None => {
            ["crs_wkt", "spatial_ref"]
                .iter()
                .any(|a| m.text(a).is_some_and(|t| t.contains("PROJCS") || t.contains("PROJCRS")))
                || ["proj4", "proj4text", "proj4_params", "proj4_string", "proj_params"].iter().any(
                    |a| {
                        m.text(a)
                            .is_some_and(|t| t.contains("+proj=") && !t.contains("+proj=longlat"))
                    },
                )
        }
    };
    match var.text("grid_mapping") {
        Some(m) => source.var(m.split([':', ' ']).next().unwrap_or(m)).filter(projected),
        None => {
            let mut all = source.vars.iter().filter(projected);
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
        Some(name) if name.starts_with("projection_") || name.starts_with("grid_l") => return 0,
        Some("latitude" | "longitude" | "time") => return 0,
        _ => {}
    }
    if var.text("axis").is_some_and(|a| a == axis) {
        return 3;
    }
    if short.contains(&var.name.to_lowercase().as_str()) { 2 } else { 0 }
}

/// The y and x of a variable on a projected grid, and its mapping.
fn plane<'a>(source: &'a Source, var: &Var) -> Option<(&'a Var, &'a Var, &'a Var)> {
    let mapping = mapping(source, var)?;
    let aux = sureness(var, Side::Lat) > 0 || sureness(var, Side::Lon) > 0;
    if aux || var.dims.len() < 2 || std::ptr::eq(mapping, var) {
        return None; // latitude and longitude of the cells, beside x and y
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

/// Names of the latitude and the longitude; or of y, x and the projection.
fn find_names(source: &Source, of: Option<&str>) -> Result<(String, String, Option<String>)> {
    let candidates: Vec<&Var> = match of {
        Some(name) => vec![&source.vars[source.var_index(name)?]],
        None => {
            let mut v: Vec<&Var> =
                source.vars.iter().filter(|v| v.dims.len() >= 2 && v.kind.is_number()).collect();
            // What lies in a group has to be asked for.
            v.sort_by_key(|v| (v.name.contains('/'), std::cmp::Reverse(v.dims.len())));
            v
        }
    };
    for var in &candidates {
        if let Some((y, x, mapping)) = plane(source, var) {
            return Ok((y.name.clone(), x.name.clone(), Some(mapping.name.clone())));
        }
        if let (Some(a), Some(b)) =
            (coordinate(source, var, Side::Lat), coordinate(source, var, Side::Lon))
            && sides(source, var).is_some()
        {
            return Ok((a, b, None));
        }
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
    let flat = |side| source.vars.iter().find(|v| v.dims.len() == 2 && sureness(v, side) > 0);
    if let (Some(a), Some(b)) = (flat(Side::Lat), flat(Side::Lon)) {
        return Err(Error::data(format!(
            "the grid is curvilinear: `{}` and `{}` have two dimensions",
            a.name, b.name
        ))
        .at(format!("{}: {}", source.name, shape_text(source, a)))
        .hint("regrid the file to latitude and longitude first (`cdo remapbil`)"));
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
            let lat = coordinate(source, var, Side::Lat)?;
            let lon = coordinate(source, var, Side::Lon)?;
            let dim = |name: &str| source.var(name).map(|v| v.dims[0]);
            (dim(&lat)?, dim(&lon)?)
        }
    };
    let place = |d: usize| var.dims.iter().position(|x| *x == d);
    (lat != lon).then_some((place(lat)?, place(lon)?))
}

fn axis(source: &mut Source, name: &str, side: Side) -> Result<Axis> {
    let at = format!("{}: variable `{name}`", source.name);
    let mut centres = source.read_numbers(name)?;
    let index = source.var_index(name)?;
    let single = source.vars[index].kind != crate::netcdf::Kind::F8;
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
    if side == Side::Lat && centres.iter().any(|v| v.abs() > 90.0 + 1e-3) {
        let worst = centres.iter().fold(0.0f64, |a, v| if v.abs() > a.abs() { *v } else { a });
        return Err(Error::data(format!("{worst} is no latitude")).at(at).hint(
            "latitudes lie within -90..90 degrees: check the units, or fetch the file again",
        ));
    }
    if side == Side::Lon && centres.iter().any(|v| v.abs() > 1080.0) {
        let worst = centres.iter().fold(0.0f64, |a, v| if v.abs() > a.abs() { *v } else { a });
        return Err(Error::data(format!("{worst} is no longitude"))
            .at(at)
            .hint("longitudes are degrees: check the units, or fetch the file again"));
    }
    let mut bounds = read_bounds(source, name, side, centres.len())?;
    if side == Side::Lon {
        // 178, 179, -180, -179: the same meridians, counted on.
        for k in 1..centres.len() {
            let jump = ((centres[k] - centres[k - 1]) / 360.0).round() * 360.0;
            centres[k] -= jump;
        }
        if let Some(b) = &mut bounds {
            for (c, pair) in centres.iter().zip(b.iter_mut()) {
                for v in pair.iter_mut() {
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
            centres[k - 1],
            centres[k]
        ))
        .at(at)
        .hint("sort the file along this axis first"));
    }
    let from_bounds = bounds.is_some();
    let mut edges = match bounds {
        Some(b) => edges_of_bounds(&b, side).map_err(|e| e.at(at.clone()))?,
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
    // Even spacing to within the rounding of float32, or a thousandth of a cell: take it as even.
    let step = (edges[n] - edges[0]) / n as f64;
    let largest = edges[0].abs().max(edges[n].abs());
    let slack = (1e-3 * step).max(if single { largest * f64::from(f32::EPSILON) } else { 0.0 });
    let mut regular = false;
    if n > 2 {
        let fitted = match from_bounds {
            true => (edges[0], step),
            false => {
                let s = (centres[n - 1] - centres[0]) / (n - 1) as f64;
                (centres[0] - s / 2.0, s)
            }
        };
        let even = |k: usize| fitted.0 + fitted.1 * k as f64;
        if slack < 0.25 * step && (0..=n).all(|k| (edges[k] - even(k)).abs() <= 1.5 * slack) {
            regular = true;
            for (k, e) in edges.iter_mut().enumerate() {
                *e = even(k);
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

fn edges_of_centres(c: &[f64]) -> Vec<f64> {
    let n = c.len();
    let mut edges = Vec::with_capacity(n + 1);
    edges.push(c[0] - (c[1] - c[0]) / 2.0);
    edges.extend(c.windows(2).map(|w| (w[0] + w[1]) / 2.0));
    edges.push(c[n - 1] + (c[n - 1] - c[n - 2]) / 2.0);
    edges
}

fn edges_of_bounds(bounds: &[[f64; 2]], side: Side) -> Result<Vec<f64>> {
    let pairs: Vec<(f64, f64)> = bounds.iter().map(|b| (b[0].min(b[1]), b[0].max(b[1]))).collect();
    let n = pairs.len();
    let step = (pairs[n - 1].1 - pairs[0].0) / n as f64;
    for w in pairs.windows(2) {
        if (w[1].0 - w[0].1).abs() > 1e-2 * step.abs() {
            return Err(Error::data(format!(
                "the cells do not meet: one ends at {} {}, the next begins at {}",
                side.name(),
                w[0].1,
                w[1].0
            ))
            .hint("ncproj needs bounds without gaps and overlaps"));
        }
    }
    if pairs.iter().any(|p| p.1 <= p.0) {
        return Err(Error::data(format!("a cell has no extent in {}", side.name()))
            .hint("repair the bounds: both ends of a cell are the same"));
    }
    let mut edges: Vec<f64> = pairs.iter().map(|p| p.0).collect();
    edges.push(pairs[n - 1].1);
    Ok(edges)
}

/// The cell bounds of a coordinate: by its `bounds` attribute, else `lat_bnds` and the like.
fn read_bounds(
    source: &mut Source,
    name: &str,
    side: Side,
    n: usize,
) -> Result<Option<Vec<[f64; 2]>>> {
    let named = source.var(name).and_then(|v| v.text("bounds")).map(str::to_string);
    let guesses = [format!("{name}_bnds"), format!("{name}_bounds"), format!("bounds_{name}")];
    // Some tools repeat the bounds along time: a leading dimension is fine as long as all repeats agree.
    let fits = |source: &Source, b: &str| {
        source
            .var(b)
            .is_some_and(|v| source.shape(v).ends_with(&[n as u64, 2]) && v.kind.is_number())
    };
    let Some(found) = named.into_iter().chain(guesses).find(|b| fits(source, b)) else {
        return Ok(None);
    };
    let values = source.read_numbers(&found)?;
    if let Some(v) = values.iter().find(|v| !v.is_finite()) {
        let what = match v.is_nan() {
            true => format!("the bounds of the {} have missing values", side.name()),
            false => format!("the bounds of the {} hold {v}", side.name()),
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
        assert!(edges_of_bounds(&[[0.0, 1.0], [1.5, 2.0]], Side::Lat).is_err());
        let upside_down = edges_of_bounds(&[[1.0, 0.0], [2.0, 1.0]], Side::Lat).unwrap();
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
        let g = Grid { lat, lon, global: false, projection: None };
        let rows = g.row_areas();
        // sin 30 - sin 0 = 0.5; sin 90 - sin 30 = 0.5
        assert!((rows[0] - 0.5).abs() < 1e-15 && (rows[1] - 0.5).abs() < 1e-15);
    }
}
