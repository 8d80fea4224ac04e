//! What a coordinate system says of itself (CF attributes, PROJ's text, parameters of WKT) -> a projection.

use super::{Kind, Projection, authalic_q, wrap};
use proj4rs::Proj;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A projection by its parameters, under PROJ's names; angles in degrees, lengths in metres.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    code: &'static str,
    values: BTreeMap<&'static str, f64>,
    axes: (f64, f64),
    /// The length of the coordinates' unit in metres, where the definition says so.
    unit: Option<f64>,
}

const WGS84: (f64, f64) = (6378137.0, 6356752.314245179);
const NAMES: [&str; 8] = ["lat_0", "lat_1", "lat_2", "lat_ts", "lon_0", "k_0", "x_0", "y_0"];

/// Half axes by PROJ's names of ellipsoids and datums.
fn ellipsoid(name: &str) -> Option<(f64, f64)> {
    let by_flattening = |a: f64, f: f64| Some((a, a * (1.0 - 1.0 / f)));
    match name {
        "WGS84" => Some(WGS84),
        "GRS80" | "NAD83" | "ETRS89" => by_flattening(6378137.0, 298.257222101),
        "clrk66" | "NAD27" => Some((6378206.4, 6356583.8)),
        "clrk80" => by_flattening(6378249.145, 293.4663),
        "intl" => by_flattening(6378388.0, 297.0),
        "bessel" => by_flattening(6377397.155, 299.1528128),
        "airy" => Some((6377563.396, 6356256.910)),
        "krass" => by_flattening(6378245.0, 298.3),
        "WGS72" => by_flattening(6378135.0, 298.26),
        "aust_SA" => by_flattening(6378160.0, 298.25),
        "sphere" => Some((6370997.0, 6370997.0)),
        _ => None,
    }
}

/// The length of a unit in metres.
pub fn length_unit(name: &str) -> Option<f64> {
    match name.trim().to_lowercase().as_str() {
        "m" | "meter" | "meters" | "metre" | "metres" => Some(1.0),
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => Some(1000.0),
        "us-ft" | "us survey foot" | "us_survey_foot" | "foot_us" => Some(1200.0 / 3937.0),
        "ft" | "foot" | "feet" => Some(0.3048),
        _ => None,
    }
}

impl Definition {
    /// `unit`: of the coordinates, where it is known from elsewhere.
    pub fn build(&self, unit: Option<f64>) -> Result<Projection, String> {
        let (a, b) = self.axes;
        let sane = a.is_finite() && a > 0.0 && b > 0.5 * a && b <= a;
        if !sane {
            return Err(format!("its ellipsoid has the half axes {a} and {b}"));
        }
        if let Some((name, v)) = self.values.iter().find(|(_, v)| !v.is_finite()) {
            return Err(format!("`{name}` is {v}"));
        }
        let get = |name: &str| self.values.get(name).copied();
        let lon_0 = match wrap(get("lon_0").unwrap_or(0.0)) {
            180.0 => -180.0,
            v => v,
        };
        let earth = if a == b { format!("+R={a}") } else { format!("+a={a} +b={b}") };
        if self.code == "rotated" {
            let (lat, turn) = (get("lat_0").unwrap_or(90.0), wrap(get("x_0").unwrap_or(0.0)));
            let (sin, cos) = lat.to_radians().sin_cos();
            return Ok(Projection {
                text: format!(
                    "+proj=ob_tran +o_proj=longlat +o_lat_p={lat} +o_lon_p={turn} +lon_0={lon_0}"
                ),
                lon_0,
                kind: Kind::Rotated { sin, cos, turn },
            });
        }
        let unit = unit.or(self.unit).unwrap_or(1.0);
        let mut tail = String::new();
        for name in NAMES.iter().filter(|n| **n != "lon_0") {
            if let Some(v) = get(name) {
                tail.push_str(&format!(" +{name}={v}"));
            }
        }
        tail.push_str(&format!(" {earth} +to_meter={unit}"));
        let code = match self.code {
            "tmerc" if a != b => "etmerc",
            code => code,
        };
        let wrong =
            |e: proj4rs::errors::Error| format!("its parameters do not fit each other: {e}");
        let e2 = 1.0 - (b / a) * (b / a);
        // The middle meridian is ours to handle, so that 180 and -180 stay apart.
        let to =
            Proj::from_proj_string(&format!("+proj={code} +lon_0=0 +over{tail}")).map_err(wrong)?;
        let from =
            Proj::from_proj_string(&format!("+proj=longlat {earth} +over")).map_err(wrong)?;
        Ok(Projection {
            text: format!("+proj={} +lon_0={lon_0}{tail}", self.code),
            lon_0,
            kind: Kind::Plane {
                from: Arc::new(from),
                to: Arc::new(to),
                e2,
                pole: if e2 > 0.0 { authalic_q(1.0, e2) } else { 1.0 },
            },
        })
    }
}

/// The method's name without blanks, case and signs.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

/// A parameter of CF, WKT or PROJJSON under PROJ's name.
pub(super) fn parameter(name: &str) -> Option<&'static str> {
    Some(match plain(name).as_str() {
        "latitudeoforigin"
        | "latitudeofcenter"
        | "latitudeofcentre"
        | "latitudeoffalseorigin"
        | "latitudeofnaturalorigin"
        | "latitudeofprojectionorigin"
        | "latitudeofprojectioncentre" => "lat_0",
        "centralmeridian"
        | "longitudeofcenter"
        | "longitudeofcentre"
        | "longitudeofnaturalorigin"
        | "longitudeoffalseorigin"
        | "longitudeoforigin"
        | "longitudeofprojectionorigin"
        | "longitudeofcentralmeridian"
        | "straightverticallongitudefrompole" => "lon_0",
        "standardparallel1" | "latitudeof1ststandardparallel" => "lat_1",
        "standardparallel2" | "latitudeof2ndstandardparallel" => "lat_2",
        "latitudeofstandardparallel" => "lat_ts",
        "scalefactor"
        | "scalefactoratnaturalorigin"
        | "scalefactoratcentralmeridian"
        | "scalefactoratprojectionorigin" => "k_0",
        "falseeasting" | "eastingatfalseorigin" => "x_0",
        "falsenorthing" | "northingatfalseorigin" => "y_0",
        _ => return None,
    })
}

/// A projection by the method's name and its parameters, as CF and WKT have them.
pub(super) fn assemble(
    method: &str,
    given: &BTreeMap<&'static str, f64>,
    axes: (f64, f64),
    unit: Option<f64>,
) -> Result<Definition, String> {
    let get = |name: &str| given.get(name).copied();
    let need = |name: &str, said: &str| get(name).ok_or_else(|| format!("it lacks `{said}`"));
    let mut values = BTreeMap::new();
    values.insert("x_0", get("x_0").unwrap_or(0.0));
    values.insert("y_0", get("y_0").unwrap_or(0.0));
    values.insert("lon_0", get("lon_0").unwrap_or(0.0));
    let mut axes = axes;
    let scale = get("k_0").filter(|k| *k != 1.0);
    let name = plain(method);
    if name.ends_with("spherical") && axes.0 != axes.1 {
        return Err(format!("ncproj does not know the projection `{method}` on an ellipsoid"));
    }
    let code = match name.as_str() {
        "lambertconformalconic"
        | "lambertconformalconic1sp"
        | "lambertconformalconic2sp"
        | "lambertconicconformal1sp"
        | "lambertconicconformal2sp" => {
            let first = match get("lat_1") {
                Some(v) => v,
                None if name.ends_with("1sp") => need("lat_0", "latitude_of_origin")?,
                None => need("lat_1", "standard_parallel")?,
            };
            values.insert("lat_1", first);
            values.insert("lat_2", get("lat_2").unwrap_or(first));
            values.insert("lat_0", get("lat_0").unwrap_or(first));
            values.insert("lon_0", need("lon_0", "longitude_of_central_meridian")?);
            values.extend(scale.map(|k| ("k_0", k)));
            "lcc"
        }
        "albersconicalequalarea" | "albersconicequalarea" | "albersequalarea" | "albers" => {
            let first = need("lat_1", "standard_parallel")?;
            values.insert("lat_1", first);
            values.insert("lat_2", get("lat_2").unwrap_or(first));
            values.insert("lat_0", get("lat_0").unwrap_or(0.0));
            values.insert("lon_0", need("lon_0", "longitude_of_central_meridian")?);
            "aea"
        }
        "transversemercator" | "gausskruger" => {
            values.insert("lat_0", get("lat_0").unwrap_or(0.0));
            values.insert("lon_0", need("lon_0", "longitude_of_central_meridian")?);
            values.insert("k_0", get("k_0").unwrap_or(1.0));
            "tmerc"
        }
        "mercator" | "mercator1sp" | "mercator2sp" | "mercatorvarianta" | "mercatorvariantb" => {
            match get("lat_1").or(get("lat_ts")) {
                Some(v) => values.insert("lat_ts", v),
                None => values.insert("k_0", scale.unwrap_or(1.0)),
            };
            "merc"
        }
        "popularvisualisationpseudomercator" | "mercatorauxiliarysphere" => {
            axes = (axes.0, axes.0);
            "merc"
        }
        "polarstereographic"
        | "polarstereographicvarianta"
        | "polarstereographicvariantb"
        | "stereographicnorthpole"
        | "stereographicsouthpole" => {
            let mut parallel = get("lat_ts").or(get("lat_1"));
            let mut origin = get("lat_0");
            if let Some(v) = origin.filter(|v| v.abs() < 90.0) {
                // GDAL's WKT puts the standard parallel there.
                parallel = parallel.or(Some(v));
                origin = None;
            }
            let north = match (origin, parallel) {
                (Some(v), _) | (None, Some(v)) => v > 0.0,
                (None, None) if name.ends_with("pole") => name == "stereographicnorthpole",
                (None, None) => return Err("it lacks `latitude_of_projection_origin`".to_string()),
            };
            values.insert("lat_0", if north { 90.0 } else { -90.0 });
            match parallel.filter(|v| v.abs() < 90.0) {
                Some(v) => values.insert("lat_ts", v),
                None => values.insert("k_0", get("k_0").unwrap_or(1.0)),
            };
            "stere"
        }
        "stereographic" => {
            values.insert("lat_0", need("lat_0", "latitude_of_projection_origin")?);
            values.insert("k_0", get("k_0").unwrap_or(1.0));
            "stere"
        }
        "obliquestereographic" | "doublestereographic" => {
            values.insert("lat_0", need("lat_0", "latitude_of_origin")?);
            values.insert("k_0", get("k_0").unwrap_or(1.0));
            "sterea"
        }
        "lambertazimuthalequalarea" | "lambertazimuthalequalareaspherical" => {
            values.insert("lat_0", need("lat_0", "latitude_of_projection_origin")?);
            values.insert("lon_0", need("lon_0", "longitude_of_projection_origin")?);
            "laea"
        }
        "azimuthalequidistant" => {
            values.insert("lat_0", need("lat_0", "latitude_of_projection_origin")?);
            "aeqd"
        }
        "behrmann" => {
            values.insert("lat_ts", 30.0);
            "cea"
        }
        "lambertcylindricalequalarea" | "cylindricalequalarea" => {
            values.insert("lat_ts", get("lat_1").or(get("lat_ts")).unwrap_or(0.0));
            "cea"
        }
        "sinusoidal" => "sinu",
        _ => return Err(format!("ncproj does not know the projection `{method}`")),
    };
    Ok(Definition { code, values, axes, unit })
}

/// By the attributes of a CF grid mapping.
pub(super) fn of_cf(
    name: &str,
    numbers: &dyn Fn(&str) -> Vec<f64>,
    unit: f64,
) -> Result<Definition, String> {
    let one = |n: &str| numbers(n).first().copied();
    let axes = match (one("semi_major_axis"), one("earth_radius")) {
        (Some(a), _) => {
            let b = match (one("semi_minor_axis"), one("inverse_flattening")) {
                (Some(b), _) => b,
                (None, Some(f)) if f > 0.0 => a * (1.0 - 1.0 / f),
                _ => a,
            };
            (a, b)
        }
        (None, Some(r)) => (r, r),
        (None, None) => WGS84,
    };
    if name == "rotated_latitude_longitude" {
        let (Some(lat), Some(lon)) =
            (one("grid_north_pole_latitude"), one("grid_north_pole_longitude"))
        else {
            return Err(
                "it lacks `grid_north_pole_latitude` and `grid_north_pole_longitude`".to_string()
            );
        };
        let turn = one("north_pole_grid_longitude").unwrap_or(0.0);
        let values = BTreeMap::from([("lat_0", lat), ("lon_0", lon + 180.0), ("x_0", turn)]);
        return Ok(Definition { code: "rotated", values, axes: (1.0, 1.0), unit: None });
    }
    let mut given = BTreeMap::new();
    for attr in [
        "latitude_of_projection_origin",
        "longitude_of_projection_origin",
        "longitude_of_central_meridian",
        "straight_vertical_longitude_from_pole",
        "scale_factor_at_central_meridian",
        "scale_factor_at_projection_origin",
        "false_easting",
        "false_northing",
    ] {
        if let (Some(v), Some(key)) = (one(attr), parameter(attr)) {
            given.insert(key, if key == "x_0" || key == "y_0" { v * unit } else { v });
        }
    }
    let parallels = numbers("standard_parallel");
    for (key, v) in ["lat_1", "lat_2"].into_iter().zip(parallels) {
        given.insert(key, v);
    }
    assemble(name, &given, axes, Some(unit))
}

/// By PROJ's text.
pub(super) fn of_proj(text: &str) -> Result<Definition, String> {
    let mut words: BTreeMap<&str, &str> = BTreeMap::new();
    for word in text.split_whitespace() {
        let word = word.trim_start_matches('+');
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        words.insert(name, value);
    }
    let number = |name: &str| -> Result<Option<f64>, String> {
        match words.get(name) {
            None => Ok(None),
            Some(v) => v.parse().map(Some).map_err(|_| format!("`+{name}={v}` is no number")),
        }
    };
    let mut values = BTreeMap::new();
    for name in NAMES {
        if let Some(v) = number(name)? {
            values.insert(name, v);
        }
    }
    if let Some(k) = number("k")? {
        values.insert("k_0", k);
    }
    if words.get("pm").is_some_and(|v| *v != "0" && *v != "greenwich") {
        return Err("its meridian 0 is not that of Greenwich".to_string());
    }
    let axes = match (number("R")?, number("a")?) {
        (Some(r), _) => (r, r),
        (None, Some(a)) => (
            a,
            match (number("b")?, number("rf")?, number("f")?) {
                (Some(b), _, _) => b,
                (None, Some(rf), _) if rf > 0.0 => a * (1.0 - 1.0 / rf),
                (None, _, Some(f)) => a * (1.0 - f),
                _ => a,
            },
        ),
        (None, None) => match words.get("ellps").or(words.get("datum")) {
            None => WGS84,
            Some(name) => ellipsoid(name)
                .ok_or_else(|| format!("ncproj does not know the ellipsoid `{name}`"))?,
        },
    };
    let unit = match (number("to_meter")?, words.get("units")) {
        (Some(u), _) => Some(u),
        (None, None) => None,
        (None, Some(u)) => {
            Some(length_unit(u).ok_or_else(|| format!("ncproj does not know the unit `{u}`"))?)
        }
    };
    let name = words.get("proj").copied().unwrap_or("");
    let code = match name {
        "lcc" | "aea" | "tmerc" | "merc" | "stere" | "sterea" | "laea" | "aeqd" | "cea"
        | "sinu" | "eqc" => {
            let known = [
                "lcc", "aea", "tmerc", "merc", "stere", "sterea", "laea", "aeqd", "cea", "sinu",
                "eqc",
            ];
            known.into_iter().find(|k| *k == name).unwrap_or("merc")
        }
        "etmerc" => "tmerc",
        "webmerc" => "merc",
        "utm" => {
            let zone = number("zone")?.filter(|z| (1.0..=60.0).contains(z));
            let zone = zone.ok_or_else(|| "it lacks `+zone`".to_string())?;
            values.insert("lat_0", 0.0);
            values.insert("lon_0", zone * 6.0 - 183.0);
            values.insert("k_0", 0.9996);
            values.insert("x_0", 500_000.0);
            values.insert("y_0", if words.contains_key("south") { 1e7 } else { 0.0 });
            "tmerc"
        }
        "ob_tran"
            if matches!(words.get("o_proj").copied(), Some("longlat" | "latlon" | "latlong")) =>
        {
            let lat = number("o_lat_p")?.ok_or_else(|| "it lacks `+o_lat_p`".to_string())?;
            let turn = number("o_lon_p")?.unwrap_or(0.0);
            let lon = values.get("lon_0").copied().unwrap_or(0.0);
            let values = BTreeMap::from([("lat_0", lat), ("lon_0", lon), ("x_0", turn)]);
            return Ok(Definition { code: "rotated", values, axes: (1.0, 1.0), unit: None });
        }
        _ => return Err(format!("ncproj does not know the projection `{name}`")),
    };
    if code == "lcc" || code == "aea" {
        let first = values.get("lat_1").copied().ok_or_else(|| "it lacks `+lat_1`".to_string())?;
        values.entry("lat_2").or_insert(first);
        values.entry("lat_0").or_insert(if code == "lcc" && !words.contains_key("lat_2") {
            first
        } else {
            0.0
        });
    }
    Ok(Definition { code, values, axes, unit })
}
