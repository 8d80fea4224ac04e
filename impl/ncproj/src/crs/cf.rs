//! Grid mappings: what a netCDF file says of its coordinate system, by CF's attributes, by well-known text, or by both.
//!
//! Attributes and text have to say the same. What the attributes leave out is taken from the text; what they say otherwise
//! is an error. A projection's longitudes are counted from Greenwich here, whatever the file's meridian.

use super::Projection;
use super::define::{Definition, WGS84, of_proj, rotated};
use super::proj::{self, System, Transfer};
use crate::error::{Error, Result};
use crate::features::{Feature, Refusal};
use crate::netcdf::{Attr, Var};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const OF: &str = "coordinate systems";

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        OF,
        "`grid_mapping_name`",
        "all of CF 1.11, and any other where `crs_wkt` says it",
    ),
    Feature::honoured(
        OF,
        "`standard_parallel`, `latitude_of_projection_origin`, `scale_factor_at_...`, `false_easting` and the like",
        "the projection, through PROJ; false eastings are in the unit of x",
    ),
    Feature::honoured(
        OF,
        "`semi_major_axis`, `semi_minor_axis`, `inverse_flattening`, `earth_radius`, `reference_ellipsoid_name`",
        "the ellipsoid; `inverse_flattening = 0` is a sphere; WGS 84 where nothing is said",
    ),
    Feature::converted(
        OF,
        "`longitude_of_prime_meridian`, `prime_meridian_name`",
        "longitudes are counted from Greenwich",
    ),
    Feature::honoured(
        OF,
        "`horizontal_datum_name`, `geographic_crs_name`, `towgs84`",
        "regions are brought to this datum; one that PROJ takes as WGS 84 itself stays WGS 84",
    ),
    Feature::honoured(
        OF,
        "`crs_wkt`, `spatial_ref`, `esri_pe_string`, `proj4`, `epsg_code`",
        "what CF's attributes leave out; they must not contradict each other",
    ),
    Feature::honoured(
        OF,
        "`perspective_point_height`, `sweep_angle_axis`, `fixed_angle_axis`",
        "geostationary satellites; x and y as scanning angles or as lengths",
    ),
    Feature::honoured(
        OF,
        "`oblique_mercator`",
        "by `azimuth_of_central_line`; the grid is turned back by the same angle, as in PROJ, unless `crs_wkt` gives another",
    ),
    Feature::honoured(
        OF,
        "attributes of a grid mapping without a meaning for the grid",
        "`long_name`, `comment`, `GeoTransform` and others that name no parameter are left aside by design",
    ),
];

static NOT_COMPUTED: Refusal = Refusal {
    of: OF,
    name: "a projection that cannot be computed",
    message: "the projection cannot be computed: {}",
    hint: "regrid the file to latitude and longitude first (`cdo remapbil`)",
};
static NO_NUMBER: Refusal = Refusal {
    of: OF,
    name: "a parameter that is no number, or several",
    message: "the attribute `{}` is `{}`: {}",
    hint: "write it as one number (`standard_parallel` may have two)",
};
static IN_KM: Refusal = Refusal {
    of: OF,
    name: "`semi_major_axis` and the like in kilometres",
    message: "the attribute `{}` is {}, which looks like kilometres",
    hint: "CF wants metres here: write {}",
};
static CONTRADICTION: Refusal = Refusal {
    of: OF,
    name: "attributes of a grid mapping that contradict each other",
    message: "`{}` says {}, but `{}` says {}",
    hint: "remove or repair the one that is wrong: ncproj cannot know which is",
};
static NOT_READ: Refusal = Refusal {
    of: OF,
    name: "`crs_wkt` and the like that PROJ cannot read",
    message: "the attribute `{}` cannot be used: {}",
    hint: "repair the attribute, or remove it where the others say all",
};
static UNKNOWN_NAME: Refusal = Refusal {
    of: OF,
    name: "a datum, ellipsoid or meridian by a name that PROJ does not know",
    message: "the attribute `{}` is `{}`, which PROJ does not know",
    hint: "write it as EPSG does, give `crs_wkt`, or remove the attribute where it means nothing",
};
static NOT_HONOURED: Refusal = Refusal {
    of: OF,
    name: "a parameter that the grid's projection does not have",
    message: "the attribute `{}` is `{}`, which the grid mapping `{}` does not have",
    hint: "remove it where it means nothing, or give the whole system as `crs_wkt`",
};
static NOT_PLANE: Refusal = Refusal {
    of: OF,
    name: "x and y in a unit that does not suit the projection",
    message: "x and y are in {}, which does not suit the projection `{}`",
    hint: "a rotated pole goes with degrees, a geostationary view with radians or lengths, any other projection with lengths such as `m` or `km`",
};
static NO_UNIT: Refusal = Refusal {
    of: OF,
    name: "x and y without units",
    message: "x and y have no `units`, and the grid mapping does not say them either",
    hint: "write the attribute `units` of both, for instance `units = \"m\"`",
};

pub const REFUSALS: &[&Refusal] = &[
    &NOT_COMPUTED,
    &NO_NUMBER,
    &IN_KM,
    &CONTRADICTION,
    &NOT_READ,
    &UNKNOWN_NAME,
    &NOT_HONOURED,
    &NOT_PLANE,
    &NO_UNIT,
];

/// The unit of x and y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// In metres.
    Length(f64),
    /// In radians.
    Angle(f64),
    /// A number without a unit: `1`.
    Plain,
    /// There is no attribute.
    Unsaid,
}

/// What a grid mapping says.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Nothing for longitude and latitude.
    pub projection: Option<Projection>,
    /// Nothing where it is WGS 84, or not said.
    pub datum: Option<System>,
    /// Degrees from Greenwich to the meridian from which the file's longitudes count.
    pub meridian: f64,
}

/// CF's parameters of projections.
const PARAMETERS: [&str; 17] = [
    "standard_parallel",
    "latitude_of_projection_origin",
    "longitude_of_projection_origin",
    "longitude_of_central_meridian",
    "straight_vertical_longitude_from_pole",
    "scale_factor_at_central_meridian",
    "scale_factor_at_projection_origin",
    "false_easting",
    "false_northing",
    "azimuth_of_central_line",
    "perspective_point_height",
    "sweep_angle_axis",
    "fixed_angle_axis",
    "grid_north_pole_latitude",
    "grid_north_pole_longitude",
    "north_pole_grid_longitude",
    "geoid_name_of_projection",
];
const FIGURE: [&str; 5] = [
    "semi_major_axis",
    "semi_minor_axis",
    "inverse_flattening",
    "earth_radius",
    "reference_ellipsoid_name",
];
const DATUM: [&str; 7] = [
    "longitude_of_prime_meridian",
    "prime_meridian_name",
    "horizontal_datum_name",
    "geographic_crs_name",
    "projected_crs_name",
    "towgs84",
    "grid_mapping_name",
];
/// Texts that give a whole system.
const TEXTS: [&str; 3] = ["crs_wkt", "spatial_ref", "esri_pe_string"];
const WORDS: [&str; 7] = [
    "proj4",
    "proj4text",
    "proj4_params",
    "proj4_string",
    "proj_params",
    "proj4string",
    "proj_string",
];
const CODES: [&str; 6] = ["epsg_code", "EPSG_code", "epsg", "EPSG", "srid", "spatial_epsg"];
/// A name with one of these may be a parameter that we do not know.
const TELLING: [&str; 14] = [
    "latitude_of",
    "longitude_of",
    "meridian",
    "parallel",
    "azimuth",
    "scale_factor",
    "false_",
    "flattening",
    "radius",
    "datum",
    "ellipsoid",
    "towgs84",
    "sweep",
    "rectified",
];

fn shown(a: &Attr) -> String {
    match a {
        Attr::Text(t) => {
            let cut: String = t.chars().take(60).collect();
            if cut.len() < t.len() { format!("{cut}...") } else { cut }
        }
        Attr::Other(kind) => (*kind).to_string(),
        Attr::Numbers(_, v) => {
            let texts: Vec<String> = v.iter().take(8).map(f64::to_string).collect();
            texts.join(", ")
        }
    }
}

/// The attributes of a mapping, and which of them were looked at.
struct Said<'a> {
    var: &'a Var,
    used: RefCell<BTreeSet<String>>,
}

impl Said<'_> {
    fn has(&self, name: &str) -> bool {
        self.var.attr(name).is_some()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.used.borrow_mut().insert(name.to_string());
        self.var.text(name).map(str::trim).filter(|t| !t.is_empty())
    }

    fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        self.used.borrow_mut().insert(name.to_string());
        let Some(attr) = self.var.attr(name) else { return Ok(Vec::new()) };
        let wrong = |why: &str| NO_NUMBER.error(&[name, &shown(attr), why]);
        let numbers: Vec<f64> = match attr {
            Attr::Numbers(_, v) => v.clone(),
            Attr::Text(t) if t.trim().is_empty() => Vec::new(),
            Attr::Other(_) => return Err(wrong("no number")),
            Attr::Text(t) => t
                .split([' ', ';', '\t'])
                .flat_map(|t| t.split(", "))
                .map(|t| t.trim_matches(','))
                .filter(|t| !t.is_empty())
                .flat_map(|t| match t.parse::<f64>() {
                    // `30,60` is two numbers, `0,5` is somebody's one half.
                    Err(_)
                        if t.split(',').all(|p| p.parse::<f64>().is_ok_and(|v| v.abs() >= 1.0)) =>
                    {
                        t.split(',').map(str::parse::<f64>).collect()
                    }
                    one => vec![one],
                })
                .collect::<std::result::Result<_, _>>()
                .map_err(|_| wrong("no number"))?,
        };
        match numbers.iter().find(|v| !v.is_finite()) {
            Some(_) => Err(wrong("not finite")),
            None => Ok(numbers),
        }
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        match self.numbers(name)?[..] {
            [] => Ok(None),
            [v] => Ok(Some(v)),
            _ => {
                let text = self.var.attr(name).map(shown).unwrap_or_default();
                Err(NO_NUMBER.error(&[name, &text, "one number is needed"]))
            }
        }
    }

    /// The number under any of its names; two that differ are an error.
    fn one_of(&self, names: &[&str]) -> Result<Option<f64>> {
        let mut found: Option<(&str, f64)> = None;
        for name in names {
            let Some(v) = self.number(name)? else { continue };
            match found {
                Some((first, w)) if (v - w).abs() > 1e-9 => {
                    return Err(CONTRADICTION.error(&[
                        first,
                        &w.to_string(),
                        name,
                        &v.to_string(),
                    ]));
                }
                _ => found = found.or(Some((name, v))),
            }
        }
        Ok(found.map(|(_, v)| v))
    }
}

/// The half axes by CF's attributes; nothing where they do not say.
fn figure(said: &Said) -> Result<Option<(f64, f64)>> {
    let metres = |name: &str| -> Result<Option<f64>> {
        let v = said.number(name)?;
        match v {
            Some(v) if (6300.0..6400.0).contains(&v) => {
                Err(IN_KM.error(&[name, &v.to_string(), &(v * 1000.0).to_string()]))
            }
            Some(v) if v <= 0.0 => {
                Err(NO_NUMBER.error(&[name, &v.to_string(), "a length of the Earth is positive"]))
            }
            v => Ok(v),
        }
    };
    let (a, b, r) =
        (metres("semi_major_axis")?, metres("semi_minor_axis")?, metres("earth_radius")?);
    let flat = said.number("inverse_flattening")?;
    if let Some(f) = flat.filter(|f| *f != 0.0 && *f <= 1.0) {
        return Err(NO_NUMBER.error(&["inverse_flattening", &f.to_string(), "it is 0 or above 1"]));
    }
    let by_flattening = |a: f64, f: f64| if f > 0.0 { a * (1.0 - 1.0 / f) } else { a };
    let number = |v: f64| format!("{v}");
    let named = match said.text("reference_ellipsoid_name") {
        Some(name) if a.is_none() && r.is_none() => match proj::ellipsoid_named(name) {
            None if says_nothing(name) => None,
            None => return Err(UNKNOWN_NAME.error(&["reference_ellipsoid_name", name])),
            found => found,
        },
        _ => None,
    };
    let axes = match (a, r) {
        (Some(a), r) => {
            let axes = match (b, flat) {
                (Some(b), Some(f)) if (by_flattening(a, f) - b).abs() > 1.0 => {
                    let implied = format!("{} with `semi_major_axis`", by_flattening(a, f));
                    return Err(CONTRADICTION.error(&[
                        "semi_minor_axis",
                        &number(b),
                        "inverse_flattening",
                        &implied,
                    ]));
                }
                (Some(b), _) => (a, b),
                (None, Some(f)) => (a, by_flattening(a, f)),
                (None, None) => {
                    match said.text("reference_ellipsoid_name").and_then(proj::ellipsoid_named) {
                        Some(e) if (e.0 - a).abs() < 1.0 => e,
                        _ => (a, a),
                    }
                }
            };
            if let Some(r) = r.filter(|r| (r - axes.0).abs() > 1.0 || (r - axes.1).abs() > 1.0) {
                let text = format!("{} and {} for the half axes", axes.0, axes.1);
                return Err(CONTRADICTION.error(&[
                    "earth_radius",
                    &number(r),
                    "semi_major_axis",
                    &text,
                ]));
            }
            axes
        }
        (None, Some(r)) => (r, r),
        (None, None) => match (named, b) {
            (Some(e), _) => e,
            (None, Some(b)) => {
                return Err(NOT_COMPUTED.error(&[&format!(
                    "`semi_minor_axis` is {b}, and there is no `semi_major_axis`"
                )]));
            }
            (None, None) => return Ok(None),
        },
    };
    if axes.1 > axes.0 || axes.1 < 0.5 * axes.0 {
        let (a, b) = (number(axes.0), number(axes.1));
        return Err(CONTRADICTION.error(&["semi_major_axis", &a, "semi_minor_axis", &b]));
    }
    Ok(Some(axes))
}

/// `unknown` and the like: a name that names nothing.
fn says_nothing(name: &str) -> bool {
    let name = name.to_lowercase();
    ["", "none", "unnamed", "sphere", "spherical"].contains(&name.as_str())
        || [
            "unknown",
            "undefined",
            "unspecified",
            "not specified",
            "not_specified",
            "custom",
            "sphere",
            "user",
        ]
        .iter()
        .any(|n| name.contains(n))
}

/// A projection by CF's attributes. `axes` where they do not say the figure of the Earth; `angle`: degrees per unit of
/// their angles.
fn of_cf(
    said: &Said,
    name: &str,
    unit: Unit,
    axes: (f64, f64),
    angle: f64,
) -> Result<Option<Definition>> {
    let axes = figure(said)?.unwrap_or(axes);
    let lacks = |what: &str| NOT_COMPUTED.error(&[&format!("it lacks `{what}`")]);
    const LONGITUDES: [&str; 3] = [
        "longitude_of_projection_origin",
        "longitude_of_central_meridian",
        "straight_vertical_longitude_from_pole",
    ];
    const SCALES: [&str; 2] =
        ["scale_factor_at_projection_origin", "scale_factor_at_central_meridian"];
    let turned = |v: Option<f64>| v.map(|v| v * angle);
    if name == "rotated_latitude_longitude" {
        let lat = turned(said.number("grid_north_pole_latitude")?);
        let lon = turned(said.number("grid_north_pole_longitude")?);
        let (Some(lat), Some(lon)) = (lat, lon) else {
            return Err(NOT_COMPUTED
                .error(&["it lacks `grid_north_pole_latitude` and `grid_north_pole_longitude`"]));
        };
        let turn = turned(said.number("north_pole_grid_longitude")?).unwrap_or(0.0);
        return Ok(Some(rotated([("lat_0", lat), ("lon_0", lon + 180.0), ("x_0", turn)])));
    }
    let lat = || -> Result<_> { Ok(turned(said.number("latitude_of_projection_origin")?)) };
    let lon = || -> Result<_> { Ok(turned(said.one_of(&LONGITUDES)?)) };
    let scale = || -> Result<_> {
        match said.one_of(&SCALES)? {
            Some(k) if k <= 0.0 => {
                Err(NO_NUMBER.error(&["scale_factor_at_...", &k.to_string(), "it is positive"]))
            }
            k => Ok(k),
        }
    };
    let parallels: Vec<f64> =
        said.numbers("standard_parallel")?.into_iter().map(|v| v * angle).collect();
    if parallels.len() > 2 {
        let text = said.var.attr("standard_parallel").map(shown).unwrap_or_default();
        return Err(NO_NUMBER.error(&[
            "standard_parallel",
            &text,
            "one or two numbers are needed",
        ]));
    }
    let parallel = |k: usize| parallels.get(k).copied();
    let length = match unit {
        Unit::Length(m) => m,
        _ => 1.0,
    };
    let mut values: BTreeMap<String, f64> = BTreeMap::new();
    let mut choices = BTreeMap::new();
    let mut set = |name: &str, v: f64| values.insert(name.to_string(), v);
    set("x_0", said.number("false_easting")?.unwrap_or(0.0) * length);
    set("y_0", said.number("false_northing")?.unwrap_or(0.0) * length);
    let any_parallel = !parallels.is_empty();
    let unused = |is: bool| {
        if !is && any_parallel && parallels.iter().any(|v| *v != 0.0) {
            let text = said.var.attr("standard_parallel").map(shown).unwrap_or_default();
            return Err(NOT_HONOURED.error(&["standard_parallel", &text, name]));
        }
        Ok(())
    };
    let twice = || {
        if parallels.len() > 1 && parallel(0) != parallel(1) {
            let text = said.var.attr("standard_parallel").map(shown).unwrap_or_default();
            return Err(NO_NUMBER.error(&["standard_parallel", &text, "one number is needed"]));
        }
        Ok(())
    };
    let code = match name {
        "lambert_conformal_conic" => {
            let first = parallel(0).ok_or_else(|| lacks("standard_parallel"))?;
            set("lat_1", first);
            set("lat_2", parallel(1).unwrap_or(first));
            set("lat_0", lat()?.unwrap_or(first));
            set("lon_0", lon()?.ok_or_else(|| lacks("longitude_of_central_meridian"))?);
            if let Some(k) = scale()?.filter(|k| *k != 1.0) {
                set("k_0", k);
            }
            "lcc"
        }
        "albers_conical_equal_area" => {
            let first = parallel(0).ok_or_else(|| lacks("standard_parallel"))?;
            set("lat_1", first);
            set("lat_2", parallel(1).unwrap_or(first));
            set("lat_0", lat()?.unwrap_or(0.0));
            set("lon_0", lon()?.ok_or_else(|| lacks("longitude_of_central_meridian"))?);
            "aea"
        }
        "transverse_mercator" => {
            unused(false)?;
            set("lat_0", lat()?.unwrap_or(0.0));
            set("lon_0", lon()?.ok_or_else(|| lacks("longitude_of_central_meridian"))?);
            set("k_0", scale()?.unwrap_or(1.0));
            "tmerc"
        }
        "mercator" => {
            twice()?;
            set("lon_0", lon()?.unwrap_or(0.0));
            let k = scale()?;
            match (parallel(0), k) {
                (Some(v), None | Some(1.0)) => set("lat_ts", v),
                (None | Some(0.0), k) => set("k_0", k.unwrap_or(1.0)),
                (Some(v), Some(k)) => {
                    let (v, k) = (v.to_string(), k.to_string());
                    return Err(CONTRADICTION.error(&["standard_parallel", &v, SCALES[0], &k]));
                }
            };
            "merc"
        }
        "polar_stereographic" => {
            twice()?;
            set("lon_0", lon()?.unwrap_or(0.0));
            let (origin, parallel) = (lat()?, parallel(0));
            let north = match (origin, parallel) {
                (Some(v), _) if v.abs() < 89.999_999 => {
                    return Err(NOT_COMPUTED.error(&[&format!(
                        "`latitude_of_projection_origin` is {v}, and a polar projection has 90 or -90"
                    )]));
                }
                (Some(v), _) | (None, Some(v)) => v > 0.0,
                (None, None) => return Err(lacks("latitude_of_projection_origin")),
            };
            if let Some(v) = parallel.filter(|v| (*v > 0.0) != north) {
                let (v, o) = (v.to_string(), origin.unwrap_or(0.0).to_string());
                return Err(CONTRADICTION.error(&[
                    "standard_parallel",
                    &v,
                    "latitude_of_projection_origin",
                    &o,
                ]));
            }
            set("lat_0", if north { 90.0 } else { -90.0 });
            let k = scale()?;
            match parallel.filter(|v| v.abs() < 90.0) {
                // both are given where both say the same, as tools write it
                Some(v) => set("lat_ts", v),
                None => set("k_0", k.unwrap_or(1.0)),
            };
            "stere"
        }
        "stereographic" => {
            unused(false)?;
            set("lat_0", lat()?.ok_or_else(|| lacks("latitude_of_projection_origin"))?);
            set("lon_0", lon()?.unwrap_or(0.0));
            set("k_0", scale()?.unwrap_or(1.0));
            "stere"
        }
        "lambert_azimuthal_equal_area" => {
            unused(false)?;
            set("lat_0", lat()?.ok_or_else(|| lacks("latitude_of_projection_origin"))?);
            set("lon_0", lon()?.ok_or_else(|| lacks("longitude_of_projection_origin"))?);
            "laea"
        }
        "azimuthal_equidistant" | "orthographic" => {
            unused(false)?;
            set("lat_0", lat()?.ok_or_else(|| lacks("latitude_of_projection_origin"))?);
            set("lon_0", lon()?.unwrap_or(0.0));
            if name == "orthographic" { "ortho" } else { "aeqd" }
        }
        "lambert_cylindrical_equal_area" => {
            twice()?;
            set("lon_0", lon()?.unwrap_or(0.0));
            match (parallel(0), scale()?) {
                (v, None) => set("lat_ts", v.unwrap_or(0.0)),
                (None | Some(0.0), Some(k)) => set("k_0", k),
                (Some(v), Some(1.0)) => set("lat_ts", v),
                (Some(v), Some(k)) => {
                    let (v, k) = (v.to_string(), k.to_string());
                    return Err(CONTRADICTION.error(&["standard_parallel", &v, SCALES[0], &k]));
                }
            };
            "cea"
        }
        "sinusoidal" => {
            unused(false)?;
            set("lon_0", lon()?.unwrap_or(0.0));
            "sinu"
        }
        "oblique_mercator" => {
            unused(false)?;
            let alpha = turned(said.number("azimuth_of_central_line")?);
            set("alpha", alpha.ok_or_else(|| lacks("azimuth_of_central_line"))?);
            set("lat_0", lat()?.ok_or_else(|| lacks("latitude_of_projection_origin"))?);
            set("lonc", lon()?.ok_or_else(|| lacks("longitude_of_projection_origin"))?);
            set("k_0", scale()?.unwrap_or(1.0));
            "omerc"
        }
        "vertical_perspective" | "geostationary" => {
            unused(false)?;
            let height = said.number("perspective_point_height")?;
            let height = height.ok_or_else(|| lacks("perspective_point_height"))?;
            if !(1000.0..=1e10).contains(&height) || (30_000.0..60_000.0).contains(&height) {
                return Err(NO_NUMBER.error(&[
                    "perspective_point_height",
                    &height.to_string(),
                    "CF wants metres above the ellipsoid",
                ]));
            }
            set("h", height);
            set("lon_0", lon()?.unwrap_or(0.0));
            let origin = lat()?.unwrap_or(0.0);
            if name == "geostationary" {
                if origin.abs() > 1e-9 {
                    return Err(NOT_COMPUTED.error(&[&format!(
                        "`latitude_of_projection_origin` is {origin}, and a geostationary satellite stands over the equator"
                    )]));
                }
                let axis = |name: &str| match said.text(name) {
                    None => Ok(None),
                    Some("x" | "X") => Ok(Some("x")),
                    Some("y" | "Y") => Ok(Some("y")),
                    Some(other) => Err(NO_NUMBER.error(&[name, other, "`x` or `y` is needed"])),
                };
                let sweep = match (axis("sweep_angle_axis")?, axis("fixed_angle_axis")?) {
                    (Some(a), Some(b)) if a == b => {
                        return Err(CONTRADICTION.error(&[
                            "sweep_angle_axis",
                            a,
                            "fixed_angle_axis",
                            b,
                        ]));
                    }
                    (Some(a), _) => a,
                    (None, Some("x")) => "y",
                    (None, Some(_)) => "x",
                    (None, None) => "y",
                };
                choices.insert("sweep".to_string(), sweep.to_string());
                "geos"
            } else {
                set("lat_0", origin);
                "nsper"
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Definition { code: code.to_string(), values, choices, axes, unit: None }))
}

/// A whole system that a text of the mapping gives.
struct Whole {
    name: String,
    system: System,
    words: std::result::Result<Definition, String>,
}

thread_local! {
    /// Texts come again with each file.
    static READ: RefCell<HashMap<String, std::result::Result<System, String>>> = RefCell::default();
    static NULL: RefCell<HashMap<String, bool>> = RefCell::default();
}

fn read_text(text: &str) -> std::result::Result<System, String> {
    if let Some(known) = READ.with_borrow(|r| r.get(text).cloned()) {
        return known;
    }
    let read = System::read(text);
    READ.with_borrow_mut(|r| {
        if r.len() > 256 {
            r.clear();
        }
        r.insert(text.to_string(), read.clone());
    });
    read
}

fn wholes(said: &Said) -> Result<Vec<Whole>> {
    let mut texts: Vec<(&str, String)> = Vec::new();
    for name in TEXTS {
        texts.extend(said.text(name).map(|t| (name, t.to_string())));
    }
    for name in WORDS {
        texts
            .extend(said.text(name).filter(|t| t.contains("proj=")).map(|t| (name, t.to_string())));
    }
    for name in CODES {
        let code = match said.var.attr(name) {
            Some(Attr::Numbers(_, v)) => {
                v.first().filter(|v| **v > 0.0).map(|v| format!("EPSG:{v}"))
            }
            Some(Attr::Text(t)) if t.trim().parse::<u32>().is_ok_and(|v| v > 0) => {
                Some(format!("EPSG:{}", t.trim()))
            }
            Some(Attr::Text(t)) if t.contains(':') => Some(t.trim().to_string()),
            _ => None,
        };
        texts.extend(code.map(|c| (name, c)));
    }
    let mut out: Vec<Whole> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, text) in texts {
        if seen.contains(&text) {
            continue;
        }
        let system = read_text(&text).map_err(|why| NOT_READ.error(&[name, &why]))?;
        let words = match system.geographic {
            true => Err("longitude and latitude".to_string()),
            false => system.words().and_then(|w| of_proj(&w)),
        };
        out.push(Whole { name: name.to_string(), system, words });
        seen.push(text);
    }
    Ok(out)
}

/// Do both projections put the same places at the same x and y? `unit` is the length of x and y's unit.
fn agree(a: &Projection, b: &Projection, unit: f64) -> bool {
    if a.text == b.text {
        return true;
    }
    if a.is_rotated() != b.is_rotated() {
        return false;
    }
    let mut both = 0;
    for lat in [-70.0, -40.0, -10.0, 5.0, 35.0, 55.0, 75.0] {
        for d in [-25.0, -4.0, 0.5, 9.0, 30.0] {
            let lon = a.lon_0 + d;
            if let (Some(p), Some(q)) = (a.forward(lon, lat), b.forward(lon, lat)) {
                let slack = match a.is_rotated() {
                    true => 1e-6,
                    false => 1.0 / unit + 1e-7 * p[0].abs().max(p[1].abs()),
                };
                if p[0].abs().max(p[1].abs()) * unit > 1e8 {
                    continue;
                }
                let x = match a.is_rotated() {
                    true => (p[0] - q[0]) - ((p[0] - q[0]) / 360.0).round() * 360.0,
                    false => p[0] - q[0],
                };
                if x.abs() > slack || (p[1] - q[1]).abs() > slack {
                    return false;
                }
                both += 1;
            }
        }
    }
    both > 2
}

/// The attributes are silent where the text says more: its numbers in their place.
fn filled(said: &Said, mut d: Definition, text: &Definition) -> Option<Definition> {
    let oblique = ["omerc", "somerc"];
    if d.code != text.code && !(d.code == "omerc" && oblique.contains(&text.code.as_str())) {
        return None;
    }
    let by_cf: [(&str, &[&str]); 5] = [
        ("x_0", &["false_easting"]),
        ("y_0", &["false_northing"]),
        ("k_0", &["scale_factor_at_projection_origin", "scale_factor_at_central_meridian"]),
        ("lat_0", &["latitude_of_projection_origin"]),
        (
            "lon_0",
            &[
                "longitude_of_projection_origin",
                "longitude_of_central_meridian",
                "straight_vertical_longitude_from_pole",
            ],
        ),
    ];
    for (key, names) in by_cf {
        if !names.iter().any(|n| said.has(n)) {
            match text.values.get(key) {
                Some(v) => d.values.insert(key.to_string(), *v),
                None => d.values.remove(key),
            };
        }
    }
    if d.code == "omerc" {
        // CF has no words for the angle by which the grid is turned back, nor for where it counts from.
        if text.code == "somerc" {
            let same = |a: &str, b: &str| match (d.values.get(a), text.values.get(b)) {
                (Some(x), Some(y)) => (x - y).abs() <= 1e-6 * y.abs().max(1.0),
                (x, y) => x.is_none() && y.is_none(),
            };
            let turned = d.values.get("alpha").is_some_and(|a| (a - 90.0).abs() < 1e-9);
            let fine = turned
                && same("lat_0", "lat_0")
                && same("lonc", "lon_0")
                && same("x_0", "x_0")
                && same("y_0", "y_0");
            return fine.then(|| text.clone());
        }
        if let Some(gamma) = text.values.get("gamma") {
            d.values.insert("gamma".into(), *gamma);
        }
        for flag in ["no_uoff", "no_off"] {
            if let Some(word) = text.choices.get(flag) {
                d.choices.insert(flag.to_string(), word.clone());
            }
        }
    }
    Some(d)
}

/// Reads a grid mapping; `unit` is that of x and y (without meaning for longitude and latitude).
pub fn read_mapping(var: &Var, unit: Unit) -> Result<Mapping> {
    let said = Said { var, used: RefCell::default() };
    if let Some(a @ Attr::Numbers(..)) = var.attr("grid_mapping_name") {
        return Err(NO_NUMBER.error(&["grid_mapping_name", &shown(a), "a name is needed"]));
    }
    let wholes = wholes(&said)?;
    let name = said.text("grid_mapping_name").map(|n| n.to_lowercase().replace([' ', '-'], "_"));
    let meridian = meridian(&said, &wholes)?;
    let flat = match &name {
        Some(n) => ["latitude_longitude", "lat_lon", "latlon"].contains(&n.as_str()),
        None => wholes.first().is_some_and(|w| w.system.geographic),
    };
    if flat {
        if let Some(w) = wholes.iter().find(|w| !w.system.geographic) {
            let text = format!("`{}`", w.system.name);
            let of = match &name {
                Some(_) => ("grid_mapping_name", "`latitude_longitude`".to_string()),
                None => (wholes[0].name.as_str(), format!("`{}`", wholes[0].system.name)),
            };
            return Err(CONTRADICTION.error(&[of.0, &of.1, &w.name, &text]));
        }
        let axes = figure(&said)?;
        let datum = datum(&said, &wholes, axes)?;
        leftovers(&said, name.as_deref().unwrap_or("latitude_longitude"))?;
        return Ok(Mapping { projection: None, datum, meridian });
    }
    if let (Some(n), Some(w)) = (&name, wholes.iter().find(|w| w.system.geographic)) {
        let text = format!("longitude and latitude (`{}`)", w.system.name);
        return Err(CONTRADICTION.error(&["grid_mapping_name", &format!("`{n}`"), &w.name, &text]));
    }
    let whole = wholes.first();
    let failed = |why: &str| NOT_COMPUTED.error(&[why]);
    let from_text = match whole {
        Some(w) => Some((w, w.words.as_ref().map_err(|e| failed(e))?)),
        None => None,
    };
    // Without an attribute the text's unit counts; a plain number is no unit of a length.
    let rotated_pole = name.as_deref() == Some("rotated_latitude_longitude")
        || from_text.is_some_and(|(_, d)| d.code == "rotated");
    let unit = match (unit, from_text) {
        (Unit::Unsaid, _) if rotated_pole => Unit::Angle(1f64.to_radians()),
        (Unit::Unsaid, Some((w, _))) => Unit::Length(w.system.unit().map_err(|e| failed(&e))?.0),
        (u, _) => u,
    };
    let default = from_text.map_or(WGS84, |(_, d)| d.axes);
    let defined = match &name {
        Some(n) => of_cf(&said, n, unit, default, 1.0),
        None => Ok(None),
    };
    let defined = match (defined, from_text) {
        // the text says all that the attributes do not
        (Err(e), Some(_)) if is_lacking(&e) => None,
        (d, _) => d?,
    };
    let mut chosen = match (&defined, from_text, &name) {
        (Some(d), ..) => {
            let mut d = d.clone();
            d.count_from(meridian);
            d
        }
        (None, Some((_, d)), _) => {
            if name.is_some() {
                for p in PARAMETERS {
                    said.used.borrow_mut().insert(p.to_string());
                }
            }
            d.clone()
        }
        (None, None, Some(n)) => {
            return Err(failed(&format!("ncproj does not know the projection `{n}`")));
        }
        (None, None, None) => return Err(failed("it has no `grid_mapping_name`")),
    };
    let about = name.clone().unwrap_or_else(|| chosen.code.clone());
    let length = length_of(unit, &chosen, &about)?;
    let build = |d: &Definition| d.build(length).map_err(|e| failed(&e));
    let mut projection = build(&chosen)?;
    for w in &wholes {
        let other = w.words.as_ref().map_err(|e| failed(e))?;
        let there = build(other)?;
        if agree(&projection, &there, length.unwrap_or(1.0)) {
            continue;
        }
        let Some(d) = defined.as_ref() else {
            let (a, b) = (format!("`{}`", projection.text), format!("`{}`", there.text));
            return Err(CONTRADICTION.error(&[&wholes[0].name, &a, &w.name, &b]));
        };
        // What the attributes leave out, and angles that a tool wrote in the unit of the text.
        let mut fits = false;
        let angle = w.system.base().and_then(|b| b.unit()).map_or(1.0, |u| u.0);
        for angle in [1.0, angle] {
            let n = name.as_deref().unwrap_or("");
            let Ok(Some(again)) = of_cf(&said, n, unit, default, angle) else { continue };
            if let Some(mut again) = filled(&said, again, other) {
                if again.code != "somerc" && !again.values.contains_key("gamma") || angle != 1.0 {
                    again.count_from(meridian);
                }
                fits |= build(&again).is_ok_and(|p| agree(&p, &there, length.unwrap_or(1.0)));
            }
        }
        // The web's Mercator is written as a plain one: only the text tells them apart.
        let web = other.code == "merc" && other.axes.0 == other.axes.1 && d.code == "merc";
        if fits || web {
            chosen = other.clone();
            projection = build(&chosen)?;
            continue;
        }
        let (a, b) = (format!("`{}`", projection.text), format!("`{}`", there.text));
        return Err(CONTRADICTION.error(&["the attributes of the grid mapping", &a, &w.name, &b]));
    }
    let axes = (!projection.is_rotated()).then_some(chosen.axes);
    let datum = datum(&said, &wholes, axes.filter(|_| figure(&said).is_ok_and(|f| f.is_some())))?;
    leftovers(&said, &about)?;
    Ok(Mapping { projection: Some(projection), datum, meridian })
}

fn is_lacking(e: &Error) -> bool {
    e.to_string().contains("it lacks `")
}

/// The length of x and y's unit in metres; nothing for a rotated pole, whose x and y are degrees.
fn length_of(unit: Unit, d: &Definition, name: &str) -> Result<Option<f64>> {
    let wrong = |what: &str| Err(NOT_PLANE.error(&[what, name]));
    match (unit, d.code.as_str()) {
        (Unit::Angle(u), "rotated") if (u.to_degrees() - 1.0).abs() < 1e-12 => Ok(None),
        (Unit::Angle(_), "rotated") => wrong("angles other than degrees"),
        (Unit::Length(_), "rotated") => wrong("lengths"),
        (Unit::Plain, "rotated") => wrong("a plain number"),
        (Unit::Unsaid, "rotated") => Ok(None),
        (Unit::Length(m), _) => Ok(Some(m)),
        (Unit::Angle(u), "geos") => Ok(d.values.get("h").map(|h| h * u)),
        (Unit::Plain, "geos") => Ok(d.values.get("h").copied()),
        (Unit::Angle(_), _) => wrong("angles"),
        (Unit::Plain, _) => wrong("a plain number (`1`)"),
        (Unit::Unsaid, _) => Err(NO_UNIT.error(&[])),
    }
}

/// Degrees from Greenwich to the file's meridian.
fn meridian(said: &Said, wholes: &[Whole]) -> Result<f64> {
    let given = said.number("longitude_of_prime_meridian")?;
    let named = match said.text("prime_meridian_name") {
        None => None,
        Some(n) if says_nothing(n) => None,
        Some(n) => match proj::meridian_named(n) {
            Some(v) => Some(v),
            None if given.is_some() => None, // the number says it
            None => return Err(UNKNOWN_NAME.error(&["prime_meridian_name", n])),
        },
    };
    let mut all: Vec<(&str, f64)> = Vec::new();
    for w in wholes {
        let v = w.system.meridian().map_err(|e| NOT_READ.error(&[&w.name, &e]))?;
        all.push((&w.name, v));
    }
    all.extend(named.map(|v| ("prime_meridian_name", v)));
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    if let Some(v) = given {
        // pyproj writes the number in the text's own unit: grads for Paris
        let factor = wholes.iter().filter_map(|w| w.system.base().and_then(|b| b.unit()).ok());
        let scaled = factor.map(|u| u.0 * v).find(|s| all.iter().any(|(_, w)| near(*s, *w)));
        all.push(("longitude_of_prime_meridian", scaled.unwrap_or(v)));
    }
    if let Some((first, rest)) = all.split_first()
        && let Some(other) = rest.iter().find(|o| !near(o.1, first.1))
    {
        let text = |v: f64| format!("{v} degrees");
        return Err(CONTRADICTION.error(&[first.0, &text(first.1), other.0, &text(other.1)]));
    }
    Ok(all.first().map_or(0.0, |f| f.1))
}

/// The datum of the grid, where it is another than WGS 84.
fn datum(said: &Said, wholes: &[Whole], axes: Option<(f64, f64)>) -> Result<Option<System>> {
    let shift = said.numbers("towgs84")?;
    if ![0, 3, 6, 7].contains(&shift.len()) {
        let text = said.var.attr("towgs84").map(shown).unwrap_or_default();
        return Err(NO_NUMBER.error(&["towgs84", &text, "3, 6 or 7 numbers are needed"]));
    }
    let plain =
        |t: &str| t.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let sphere = axes.is_some_and(|a| a.0 == a.1);
    let mut named: Option<(&str, System)> = None;
    for name in ["geographic_crs_name", "horizontal_datum_name"] {
        let Some(text) = said.text(name) else { continue };
        if says_nothing(text) || !wholes.is_empty() {
            continue;
        }
        let found = match plain(text).as_str() {
            "wgs84"
            | "wgs1984"
            | "gcswgs1984"
            | "dwgs1984"
            | "worldgeodeticsystem1984"
            | "worldgeodeticsystem1984ensemble"
            | "wgs84datum" => System::read("EPSG:4326").ok(),
            _ => proj::geographic_named(text),
        };
        match found {
            Some(s) => named = named.or(Some((name, s))),
            None if sphere || proj::ellipsoid_named(text).is_some() => {}
            None if named.is_some() || !shift.is_empty() => {}
            None => return Err(UNKNOWN_NAME.error(&[name, text])),
        }
    }
    let system = if shift.iter().any(|v| *v != 0.0) && wholes.is_empty() {
        let (a, b) = axes.unwrap_or(WGS84);
        let mut shift = shift;
        shift.resize(7, 0.0);
        let text: Vec<String> = shift.iter().map(f64::to_string).collect();
        let words = format!("+proj=longlat +a={a} +b={b} +towgs84={} +type=crs", text.join(","));
        System::read(&words).map_err(|e| NOT_READ.error(&["towgs84", &e]))?
    } else if let Some(w) = wholes.first() {
        w.system.base().map_err(|e| NOT_READ.error(&[&w.name, &e]))?
    } else if let Some((name, system)) = named {
        if let (Some(axes), Ok(own)) = (axes, system.half_axes())
            && ((axes.0 - own.0).abs() > 1.0 || (axes.1 - own.1).abs() > 1.0)
            && !sphere
        {
            let of = |a: (f64, f64)| format!("the half axes {} and {}", a.0, a.1);
            let given = format!("`{}`, of {}", system.name, of(own));
            return Err(CONTRADICTION.error(&[name, &given, "semi_major_axis", &of(axes)]));
        }
        if sphere {
            return Ok(None);
        }
        system
    } else {
        // An ellipsoid alone: said as a ballpark change where it is far from that of WGS 84.
        match axes {
            Some((a, b))
                if a != b
                    && ((a - WGS84.0).abs() > 3.0 || (b - WGS84.1).abs() > 3.0)
                    && (6.3e6..6.4e6).contains(&a) =>
            {
                System::read(&format!("+proj=longlat +a={a} +b={b} +type=crs"))
                    .map_err(|e| NOT_READ.error(&["semi_major_axis", &e]))?
            }
            _ => return Ok(None),
        }
    };
    Ok((!is_wgs84(&system)).then_some(system))
}

/// Is a change from WGS 84 to this datum none at all? A sphere has no datum: its latitudes are taken as they are.
fn is_wgs84(system: &System) -> bool {
    if let Some(known) = NULL.with_borrow(|n| n.get(&system.text).copied()) {
        return known;
    }
    let sphere = system.half_axes().is_ok_and(|(a, b)| a == b);
    let far = system
        .half_axes()
        .is_ok_and(|(a, b)| (a - WGS84.0).abs() > 3.0 || (b - WGS84.1).abs() > 3.0);
    let null = sphere
        || (!far
            && System::read("EPSG:4326")
                .and_then(|w| {
                    Transfer::new(&w, &System { name: system.name.clone(), ..system.clone() })
                })
                .is_ok_and(|t| t.is_null() || t.is_ballpark_at([0.0, 0.0])));
    NULL.with_borrow_mut(|n| n.insert(system.text.clone(), null));
    null
}

/// Parameters that nothing has read: an error, unless they say nothing.
fn leftovers(said: &Said, name: &str) -> Result<()> {
    let used = said.used.borrow();
    for (attr, value) in &said.var.attrs {
        if used.contains(attr) || FIGURE.contains(&attr.as_str()) || DATUM.contains(&attr.as_str())
        {
            continue;
        }
        let known = PARAMETERS.contains(&attr.as_str());
        let telling = TELLING.iter().any(|t| attr.to_lowercase().contains(t));
        if !known && !telling
            || CODES.contains(&attr.as_str())
            || attr == "geoid_name_of_projection"
        {
            continue;
        }
        let neutral = match value {
            Attr::Numbers(_, v) if attr.starts_with("scale_factor") => v.iter().all(|v| *v == 1.0),
            Attr::Numbers(_, v) => v.iter().all(|v| *v == 0.0),
            Attr::Text(t) => t.trim().is_empty() || (!known && t.parse::<f64>().is_err()),
            Attr::Other(_) => false,
        };
        if !neutral {
            return Err(NOT_HONOURED.error(&[attr, &shown(value), name]));
        }
    }
    Ok(())
}
