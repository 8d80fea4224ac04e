//! A projection by its parameters, in PROJ's words: `+proj=lcc +lat_1=33 ...` -> one that can be computed.

use super::{Kind, Projection, authalic_q, proj, wrap};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A projection by its parameters, under PROJ's names; angles in degrees, lengths in metres.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    pub(super) code: String,
    pub(super) values: BTreeMap<String, f64>,
    /// Choices and flags: `sweep=x`, `no_uoff`.
    pub(super) choices: BTreeMap<String, String>,
    pub(super) axes: (f64, f64),
    /// The length of the coordinates' unit in metres, where the definition says so.
    pub(super) unit: Option<f64>,
}

pub(super) const WGS84: (f64, f64) = (6378137.0, 6356752.314245179);
/// In this order in the text; what else there is follows by its name.
const NAMES: [&str; 7] = ["lat_0", "lat_1", "lat_2", "lat_ts", "k_0", "x_0", "y_0"];
/// The other parameters of PROJ's projections.
const OTHERS: [&str; 20] = [
    "lat_3", "lat_b", "lon_1", "lon_2", "lon_3", "lonc", "alpha", "gamma", "h", "azi", "tilt", "W",
    "M", "n", "q", "m", "o_lat_p", "o_lon_p", "zone", "theta",
];
const CHOICES: [&str; 9] =
    ["sweep", "no_uoff", "no_off", "south", "axis", "ns", "hyperbolic", "no_cut", "guam"];
/// Words that say nothing about the projection itself.
const IDLE: [&str; 11] = [
    "type",
    "no_defs",
    "wktext",
    "over",
    "vunits",
    "vto_meter",
    "geoidgrids",
    "title",
    "towgs84",
    "approx",
    "lon_wrap",
];
/// Projections whose middle is not at `lon_0` alone: PROJ gets their own longitudes.
const OWN_MIDDLE: [&str; 4] = ["omerc", "tpeqd", "nzmg", "imw_p"];

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

/// The length of a unit in metres; `25 km` is one too.
pub fn length_unit(name: &str) -> Option<f64> {
    let name = name.trim().to_lowercase().replace('_', " ");
    let (times, unit) = match name.split_once(' ') {
        Some((n, unit)) if n.parse::<f64>().is_ok_and(|n| n > 0.0 && n.is_finite()) => {
            (n.parse::<f64>().ok()?, unit.trim().to_string())
        }
        _ => (1.0, name),
    };
    let one = match unit.as_str() {
        "m" | "meter" | "meters" | "metre" | "metres" => 1.0,
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => 1000.0,
        "hm" | "hectometer" | "hectometers" | "hectometre" | "hectometres" => 100.0,
        "dm" | "decimeter" | "decimeters" | "decimetre" | "decimetres" => 0.1,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => 0.01,
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 0.001,
        "us-ft" | "us survey foot" | "us survey feet" | "foot us" | "survey foot"
        | "survey feet" | "ussurveyfoot" | "us foot" | "us feet" => 1200.0 / 3937.0,
        "ft" | "foot" | "feet" | "international foot" | "international feet" => 0.3048,
        "mi" | "mile" | "miles" | "international mile" => 1609.344,
        "nmi" | "nautical mile" | "nautical miles" => 1852.0,
        _ => return None,
    };
    Some(times * one)
}

/// Each projection has its own number in the threads' stores of PROJ's operations.
static NEXT: AtomicU64 = AtomicU64::new(1);

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
        for name in NAMES {
            if let Some(v) = get(name) {
                tail.push_str(&format!(" +{name}={v}"));
            }
        }
        for (name, v) in &self.values {
            if name != "lon_0" && !NAMES.contains(&name.as_str()) {
                tail.push_str(&format!(" +{name}={v}"));
            }
        }
        for (name, word) in &self.choices {
            match word.is_empty() {
                true => tail.push_str(&format!(" +{name}")),
                false => tail.push_str(&format!(" +{name}={word}")),
            }
        }
        tail.push_str(&format!(" {earth} +to_meter={unit}"));
        let code = &self.code;
        let own = OWN_MIDDLE.contains(&code.as_str());
        let (middle, text, words) = match own {
            true => {
                let middle = match (get("lonc"), get("lon_1"), get("lon_2")) {
                    _ if code == "nzmg" => 173.0,
                    (Some(c), ..) => c,
                    (None, Some(a), Some(b)) => a + wrap(b - a) / 2.0,
                    (None, Some(a), None) => a,
                    _ => lon_0,
                };
                let text = format!("+proj={code}{tail}");
                let words = format!("{text} +over");
                (wrap(middle), text, words)
            }
            // The middle meridian is ours to handle, so that 180 and -180 stay apart.
            false => (
                lon_0,
                format!("+proj={code} +lon_0={lon_0}{tail}"),
                format!("+proj={code} +lon_0=0 +over{tail}"),
            ),
        };
        if !proj::is_projection(&words) {
            return Err(format!("its parameters do not fit each other: `{text}`"));
        }
        let e2 = 1.0 - (b / a) * (b / a);
        Ok(Projection {
            text,
            lon_0: middle,
            kind: Kind::Plane {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                words: words.into(),
                turn: if own { middle } else { 0.0 },
                e2,
                pole: if e2 > 0.0 { authalic_q(1.0, e2) } else { 1.0 },
            },
        })
    }

    /// Longitudes count from this meridian, not from Greenwich.
    pub fn count_from(&mut self, meridian: f64) {
        for name in ["lon_0", "lonc", "lon_1", "lon_2"] {
            match self.values.get_mut(name) {
                Some(v) => *v += meridian,
                None if name == "lon_0" && meridian != 0.0 => {
                    self.values.insert(name.to_string(), meridian);
                }
                None => {}
            }
        }
    }
}

fn meridian(word: &str) -> Result<f64, String> {
    if ["0", "greenwich"].contains(&word) {
        return Ok(0.0);
    }
    match word.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        _ => super::System::read(&format!("+proj=longlat +ellps=WGS84 +pm={word} +type=crs"))
            .and_then(|s| s.meridian())
            .map_err(|_| format!("PROJ does not know the meridian `{word}`")),
    }
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
    for name in NAMES.iter().chain(&OTHERS).chain(&["lon_0"]) {
        if let Some(v) = number(name)? {
            values.insert(name.to_string(), v);
        }
    }
    if let Some(k) = number("k")? {
        values.insert("k_0".to_string(), k);
    }
    let mut choices = BTreeMap::new();
    for name in CHOICES {
        if let Some(word) = words.get(name) {
            choices.insert(name.to_string(), word.to_string());
        }
    }
    let known = [
        "proj", "k", "pm", "R", "a", "b", "rf", "f", "ellps", "datum", "to_meter", "units",
        "nadgrids", "o_proj", "init", "es", "e",
    ];
    for (name, word) in &words {
        let fine = known.contains(name)
            || IDLE.contains(name)
            || CHOICES.contains(name)
            || OTHERS.contains(name)
            || NAMES.contains(name)
            || *name == "lon_0";
        if !fine || ["init", "es", "e"].contains(name) {
            return Err(format!("ncproj does not know `+{name}={word}`"));
        }
    }
    let mut axes = match (number("R")?, number("a")?) {
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
        (None, None) => match words.get_key_value("ellps").or(words.get_key_value("datum")) {
            None => WGS84,
            Some((key, name)) => ellipsoid(name)
                .or_else(|| proj::named_half_axes(&format!("{key}={name}")))
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
    let mut set = |name: &str, v: f64| values.insert(name.to_string(), v);
    let code = match name {
        "" => return Err("it lacks `+proj`".to_string()),
        "etmerc" => "tmerc",
        "webmerc" => {
            axes = (axes.0, axes.0);
            "merc"
        }
        "utm" => {
            let zone = number("zone")?.filter(|z| (1.0..=60.0).contains(z));
            let zone = zone.ok_or_else(|| "it lacks `+zone`".to_string())?;
            set("lat_0", 0.0);
            set("lon_0", zone * 6.0 - 183.0);
            set("k_0", 0.9996);
            set("x_0", 500_000.0);
            set("y_0", if choices.remove("south").is_some() { 1e7 } else { 0.0 });
            values.remove("zone");
            "tmerc"
        }
        "ob_tran" => {
            if !matches!(words.get("o_proj").copied(), Some("longlat" | "latlon" | "latlong")) {
                return Err("ncproj knows `+proj=ob_tran` with `+o_proj=longlat` alone".to_string());
            }
            let lat = number("o_lat_p")?.ok_or_else(|| "it lacks `+o_lat_p`".to_string())?;
            let turn = number("o_lon_p")?.unwrap_or(0.0);
            let lon = values.get("lon_0").copied().unwrap_or(0.0);
            let values = [("lat_0", lat), ("lon_0", lon), ("x_0", turn)];
            let mut d = rotated(values);
            d.count_from(words.get("pm").map_or(Ok(0.0), |w| meridian(w))?);
            return Ok(d);
        }
        "longlat" | "latlong" | "latlon" | "lonlat" | "geocent" | "pipeline" | "noop" => {
            return Err(format!("`+proj={name}` is no projection"));
        }
        other => other,
    };
    if code == "lcc" || code == "aea" {
        let first = values.get("lat_1").copied().ok_or_else(|| "it lacks `+lat_1`".to_string())?;
        values.entry("lat_2".to_string()).or_insert(first);
        let origin = match code == "lcc" && !words.contains_key("lat_2") {
            true => first,
            false => 0.0,
        };
        values.entry("lat_0".to_string()).or_insert(origin);
    }
    let mut d = Definition { code: code.to_string(), values, choices, axes, unit };
    d.count_from(words.get("pm").map_or(Ok(0.0), |w| meridian(w))?);
    Ok(d)
}

/// The rotated pole, which is computed here: `x_0` is the grid's longitude of the true pole.
pub(super) fn rotated(values: [(&str, f64); 3]) -> Definition {
    let values = values.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    Definition { code: "rotated".into(), values, axes: (1.0, 1.0), ..Definition::default() }
}
