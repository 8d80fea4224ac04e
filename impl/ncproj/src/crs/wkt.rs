//! Well-known text (of ESRI, GDAL, and ISO 19162) and PROJJSON -> the parameters of a projection.

use super::define::{Definition, assemble, of_proj, parameter};
use serde_json::Value;
use std::collections::BTreeMap;

/// `KEYWORD[text, number, KEYWORD[...], ...]`.
#[derive(Debug, Default)]
struct Node {
    word: String,
    text: String,
    numbers: Vec<f64>,
    inner: Vec<Node>,
}

impl Node {
    fn get(&self, words: &[&str]) -> Option<&Node> {
        self.inner.iter().find(|n| words.contains(&n.word.as_str()))
    }

    /// The first such node at any depth.
    fn find(&self, words: &[&str]) -> Option<&Node> {
        self.get(words).or_else(|| self.inner.iter().find_map(|n| n.find(words)))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self) -> Option<u8> {
        while self.bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn word(&mut self) -> String {
        let from = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|c| !b",[]()\"".contains(c) && !c.is_ascii_whitespace())
        {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.bytes[from..self.at]).into_owned()
    }

    fn quoted(&mut self) -> Option<String> {
        self.at += 1;
        let from = self.at;
        loop {
            if *self.bytes.get(self.at)? == b'"' {
                if self.bytes.get(self.at + 1) != Some(&b'"') {
                    break;
                }
                self.at += 1;
            }
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.bytes[from..self.at]).replace("\"\"", "\"");
        self.at += 1;
        Some(text)
    }

    /// A node whose keyword has been read, at its bracket.
    fn node(&mut self, word: String, depth: u32) -> Option<Node> {
        if depth > 32 {
            return None;
        }
        let mut node = Node { word: word.to_uppercase(), ..Node::default() };
        self.at += 1;
        loop {
            match self.skip()? {
                b']' | b')' => {
                    self.at += 1;
                    return Some(node);
                }
                b',' => self.at += 1,
                b'"' => {
                    let text = self.quoted()?;
                    if node.text.is_empty() {
                        node.text = text;
                    } else {
                        node.inner.push(Node { word: "TEXT".into(), text, ..Node::default() });
                    }
                }
                b'[' | b'(' => return None,
                _ => {
                    let word = self.word();
                    match self.skip()? {
                        b'[' | b'(' => {
                            let inner = self.node(word, depth + 1)?;
                            node.inner.push(inner);
                        }
                        _ => node.numbers.extend(word.parse::<f64>().ok()),
                    }
                }
            }
        }
    }
}

fn parse(text: &str) -> Option<Node> {
    let mut r = Reader { bytes: text.as_bytes(), at: 0 };
    r.skip()?;
    let word = r.word();
    matches!(r.skip()?, b'[' | b'(').then_some(())?;
    r.node(word, 0)
}

/// A projected system by its well-known text.
pub fn of_wkt(text: &str) -> Result<Definition, String> {
    let broken = || "its well-known text cannot be read".to_string();
    let root = parse(text.trim_start_matches('\u{feff}')).ok_or_else(broken)?;
    let root = root.find(&["PROJCS", "PROJCRS", "PROJECTEDCRS", "BASEPROJCRS"]).unwrap_or(&root);
    if !["PROJCS", "PROJCRS", "PROJECTEDCRS", "BASEPROJCRS"].contains(&root.word.as_str()) {
        return Err(match root.word.as_str() {
            "LOCAL_CS" | "ENGCRS" | "ENGINEERINGCRS" => {
                "it is a local system, bound to no place on the Earth".to_string()
            }
            _ => broken(),
        });
    }
    if let Some(e) = root.get(&["EXTENSION"]).filter(|e| e.text == "PROJ4")
        && let Some(t) = e.inner.first()
    {
        return of_proj(&t.text);
    }
    let earth =
        root.find(&["SPHEROID", "ELLIPSOID"]).ok_or_else(|| "it names no ellipsoid".to_string())?;
    let axes = match earth.numbers.as_slice() {
        [a, f, ..] => half_axes(*a, *f),
        _ => return Err(broken()),
    };
    if root
        .find(&["PRIMEM", "PRIMEMERIDIAN"])
        .and_then(|p| p.numbers.first())
        .is_some_and(|v| *v != 0.0)
    {
        return Err("its meridian 0 is not that of Greenwich".to_string());
    }
    let conversion = root.get(&["CONVERSION"]).unwrap_or(root);
    let method = conversion
        .get(&["PROJECTION", "METHOD"])
        .ok_or_else(|| "it names no projection".to_string())?;
    let unit_of = |n: &Node, words: &[&str]| n.get(words).and_then(|u| u.numbers.first()).copied();
    // WKT 1 has the unit at the end; WKT 2 there too, or in each axis.
    let unit = unit_of(root, &["UNIT", "LENGTHUNIT"])
        .or_else(|| root.get(&["AXIS"]).and_then(|a| unit_of(a, &["LENGTHUNIT", "UNIT"])))
        .unwrap_or(1.0);
    let degree = std::f64::consts::PI / 180.0;
    let angle = root
        .get(&["GEOGCS", "BASEGEOGCRS", "BASEGEODCRS"])
        .and_then(|g| unit_of(g, &["UNIT", "ANGLEUNIT"]))
        .map_or(1.0, |u| if (u / degree - 1.0).abs() < 1e-9 { 1.0 } else { u / degree });
    let mut given = BTreeMap::new();
    for p in conversion.inner.iter().filter(|n| n.word == "PARAMETER") {
        let (Some(key), Some(value)) = (parameter(&p.text), p.numbers.first()) else {
            if ["azimuth", "rectified_grid_angle"].contains(&p.text.to_lowercase().as_str()) {
                return Err(format!("ncproj does not know the projection `{}`", method.text));
            }
            continue;
        };
        let own_angle = unit_of(p, &["ANGLEUNIT"])
            .map(|u| if (u / degree - 1.0).abs() < 1e-9 { 1.0 } else { u / degree });
        let factor = match key {
            "x_0" | "y_0" => unit_of(p, &["LENGTHUNIT"]).unwrap_or(unit),
            "k_0" => 1.0,
            _ => own_angle.unwrap_or(angle),
        };
        given.insert(key, value * factor);
    }
    assemble(&method.text, &given, axes, Some(unit))
}

fn half_axes(a: f64, inverse_flattening: f64) -> (f64, f64) {
    (a, if inverse_flattening > 0.0 { a * (1.0 - 1.0 / inverse_flattening) } else { a })
}

fn unknown_unit(unit: &Value) -> String {
    let name = unit["name"].as_str().or(unit.as_str()).unwrap_or("");
    format!("ncproj does not know the unit `{name}`")
}

/// A projected system by PROJJSON, as GeoParquet has it.
pub fn of_projjson(v: &Value) -> Result<Definition, String> {
    let base = &v["base_crs"];
    let datum = if base["datum"].is_null() { &base["datum_ensemble"] } else { &base["datum"] };
    let length = |v: &Value| v.as_f64().or_else(|| v["value"].as_f64());
    let earth = &datum["ellipsoid"];
    let axes = match (length(&earth["radius"]), length(&earth["semi_major_axis"])) {
        (Some(r), _) => (r, r),
        (None, Some(a)) => {
            match (earth["inverse_flattening"].as_f64(), length(&earth["semi_minor_axis"])) {
                (Some(f), _) => half_axes(a, f),
                (None, Some(b)) => (a, b),
                (None, None) => return Err("it names no ellipsoid".to_string()),
            }
        }
        (None, None) => return Err("it names no ellipsoid".to_string()),
    };
    let prime = &datum["prime_meridian"]["longitude"];
    if length(prime).is_some_and(|v| v != 0.0) {
        return Err("its meridian 0 is not that of Greenwich".to_string());
    }
    let factor = |u: &Value| match u {
        Value::String(s) if s == "degree" || s == "metre" || s == "unity" => Some(1.0),
        Value::Object(_) => u["conversion_factor"].as_f64().map(|f| {
            // angles come in radians, we count in degrees
            if u["type"] == "AngularUnit" { f.to_degrees() } else { f }
        }),
        _ => None,
    };
    let method = v["conversion"]["method"]["name"].as_str().unwrap_or("");
    let mut given = BTreeMap::new();
    for p in v["conversion"]["parameters"].as_array().into_iter().flatten() {
        if let (Some(key), Some(value)) =
            (p["name"].as_str().and_then(parameter), p["value"].as_f64())
        {
            let factor = factor(&p["unit"]).ok_or_else(|| unknown_unit(&p["unit"]))?;
            given.insert(key, value * factor);
        }
    }
    let unit = &v["coordinate_system"]["axis"][0]["unit"];
    let unit = factor(unit).ok_or_else(|| unknown_unit(unit))?;
    assemble(method, &given, axes, Some(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALBERS: &str = r#"PROJCS["NAD83 / Conus Albers",GEOGCS["NAD83",DATUM["North_American_Datum_1983",
        SPHEROID["GRS 1980",6378137,298.257222101]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],
        PROJECTION["Albers_Conic_Equal_Area"],PARAMETER["latitude_of_center",23],PARAMETER["longitude_of_center",-96],
        PARAMETER["standard_parallel_1",29.5],PARAMETER["standard_parallel_2",45.5],PARAMETER["false_easting",0],
        PARAMETER["false_northing",0],UNIT["metre",1]]"#;

    #[test]
    fn well_known_text_becomes_parameters() {
        let p = of_wkt(ALBERS).unwrap().build(None).unwrap();
        assert_eq!(
            p.text,
            "+proj=aea +lon_0=-96 +lat_0=23 +lat_1=29.5 +lat_2=45.5 +x_0=0 +y_0=0 +a=6378137 +b=6356752.314140356 +to_meter=1"
        );
    }

    #[test]
    fn damaged_text_is_an_error() {
        for n in 0..ALBERS.len() {
            assert!(of_wkt(&ALBERS[..n]).is_err(), "{n}");
        }
        assert!(of_wkt(&"A[".repeat(100_000)).is_err());
    }
}
