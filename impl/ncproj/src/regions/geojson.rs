//! GeoJSON: a FeatureCollection, one Feature, or one Feature after the other (a line each, or a text sequence of RFC 8142).
//!
//! The text is taken apart as it is read, so that of a feature only its corners and the fields asked for are kept.

use super::{
    BARE_GEOMETRY, CRS_OF_ANOTHER_KIND, Crs, Edges, Features, Field, Input, Kind, NESTED_VALUE,
    NO_FEATURE_ID, TWO_CRS, crs_of_epsg, crs_of_wkt, float_text, not_polygons, other_format,
    places,
};
use crate::error::{Error, Result, list, thousands};
use crate::repair::Shape;
use serde_core::de::{
    self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};
use std::collections::HashSet;
use std::fmt;

/// Any JSON, without what no reader of regions needs: a list of numbers keeps its first two.
#[derive(Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Position([f64; 2]),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|m| m.0 == key).map(|m| &m.1),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Json::Text(t) => Some(t),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Json::Int(v) => Some(*v as f64),
            Json::UInt(v) => Some(*v as f64),
            Json::Float(v) => Some(*v),
            _ => None,
        }
    }

    /// `"Feature"` of `{"type": "Feature"}`.
    fn kind(&self) -> &str {
        self.get("type").and_then(Json::text).unwrap_or("")
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Json, E> {
        Ok(Json::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Json, E> {
        Ok(Json::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Json, E> {
        Ok(i64::try_from(v).map_or(Json::UInt(v), Json::Int))
    }

    fn visit_f64<E>(self, v: f64) -> std::result::Result<Json, E> {
        Ok(Json::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Json, E> {
        Ok(Json::Text(v.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Json, A::Error> {
        let (Some(first), second) = (seq.next_element::<Json>()?, seq.next_element::<Json>()?)
        else {
            return Ok(Json::List(Vec::new()));
        };
        let (a, b) = (first.number(), second.as_ref().and_then(Json::number));
        let mut rest: Vec<Json> = Vec::new();
        while let Some(more) = seq.next_element::<Json>()? {
            // A third and a fourth number are height and measure.
            if a.is_none() || b.is_none() || more != Json::Null && more.number().is_none() {
                rest.push(more);
            }
        }
        if let (Some(a), Some(b), true) = (a, b, rest.is_empty()) {
            return Ok(Json::Position([a, b]));
        }
        let mut all = Vec::with_capacity(rest.len() + 2);
        all.push(first);
        all.extend(second);
        all.extend(rest);
        Ok(Json::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Json, A::Error> {
        let mut out: Vec<(String, Json)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            once(&out, &mut seen, &key)?;
            out.push((key, map.next_value()?));
        }
        Ok(Json::Object(out))
    }
}

/// Which of two members of one name is meant nobody knows.
fn once<E: de::Error>(
    known: &[(String, Json)],
    seen: &mut HashSet<String>,
    key: &str,
) -> std::result::Result<(), E> {
    let twice = if known.len() < 24 {
        known.iter().any(|k| k.0 == key)
    } else {
        if seen.is_empty() {
            seen.extend(known.iter().map(|k| k.0.clone()));
        }
        !seen.insert(key.to_string())
    };
    if twice {
        Err(E::custom(format!("the name `{key}` comes twice in one object")))
    } else {
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Json, D::Error> {
        d.deserialize_any(Any)
    }
}

/// What is kept of the features.
struct Kept<'a> {
    wanted: &'a [String],
    file: &'a str,
    values: Vec<Field>,
    shapes: Vec<Shape>,
    known: Vec<String>,
    seen: HashSet<String>,
    /// The systems that are named, `None` for a `null`, and how many collections and how many features name one.
    systems: Vec<Option<String>>,
    of_wholes: usize,
    of_features: usize,
    /// Each feature's own `id`, kept where a key asks for it.
    ids: Vec<(Option<String>, Kind)>,
    any_id: bool,
    /// An error of ours, which the JSON library only carries through.
    failed: Option<Error>,
    /// The members of the outermost object beside its features.
    root: Vec<(String, Json)>,
}

impl Kept<'_> {
    /// Does it name a system?
    fn note_crs(&mut self, holder: &Json) -> Result<bool> {
        let Some(said) = holder.get("crs") else { return Ok(false) };
        let name = match said {
            Json::Null => None,
            said => {
                let name = said.get("properties").and_then(|p| p.get("name")).and_then(Json::text);
                match (said.kind(), name) {
                    ("name" | "", Some(name)) => Some(name.to_string()),
                    ("EPSG", _) => {
                        let code = said
                            .get("properties")
                            .and_then(|p| p.get("code"))
                            .and_then(Json::number);
                        Some(format!("EPSG:{}", code.unwrap_or(0.0)))
                    }
                    (kind, _) => {
                        return Err(CRS_OF_ANOTHER_KIND.error(&[kind]).at(self.file.to_string()));
                    }
                }
            }
        };
        if !self.systems.contains(&name) {
            self.systems.push(name);
        }
        Ok(true)
    }

    fn feature(&mut self, feature: &Json) -> Result<()> {
        let row = self.shapes.len();
        let number = thousands(row as u64 + 1);
        let place = format!("{}, feature {number}", self.file);
        if feature.kind() != "Feature" {
            let kind = feature.kind();
            if is_geometry(kind) {
                return Err(BARE_GEOMETRY.error(&[kind]).at(place));
            }
            let what = match kind {
                "" => format!("feature {number} has no `type`"),
                kind => format!("feature {number} is of the type `{kind}`, not `Feature`"),
            };
            return Err(Error::data(what)
                .at(self.file.to_string())
                .hint("each of the `features` must have the `type` `Feature`"));
        }
        let mut named = self.note_crs(feature)?;
        let properties = match feature.get("properties") {
            Some(Json::Object(p)) => &p[..],
            _ => &[],
        };
        for (key, _) in properties {
            if !self.seen.contains(key) {
                self.seen.insert(key.clone());
                self.known.push(key.clone());
            }
        }
        self.any_id |= feature.get("id").is_some_and(|v| *v != Json::Null);
        for (k, wanted) in self.wanted.iter().enumerate() {
            let value = properties.iter().find(|p| p.0 == *wanted).map(|p| &p.1);
            let (text, kind) = value.map_or(Ok((None, None)), |v| self.value(v, wanted, &place))?;
            match kind {
                Some(kind) => self.values[k].push(text, kind),
                None => self.values[k].texts.push(text),
            }
        }
        if self.wanted.iter().any(|w| w == "@id") {
            let id = feature.get("id").unwrap_or(&Json::Null);
            let (text, kind) = self.value(id, "@id", &place)?;
            self.ids.push((text, kind.unwrap_or_default()));
        }
        let mut out = Vec::new();
        match feature.get("geometry") {
            None | Some(Json::Null) => {}
            Some(g) => {
                named |= self.note_crs(g)?;
                let other = geometry(g, &mut out, row, self.file, 0)?;
                if let (Some(kind), true) = (other, out.is_empty()) {
                    return Err(not_polygons(kind, row, self.file));
                }
            }
        }
        self.of_features += usize::from(named);
        self.shapes.push(out);
        Ok(())
    }

    fn value(&self, v: &Json, field: &str, place: &str) -> Result<(Option<String>, Option<Kind>)> {
        let nested = |what: &str| NESTED_VALUE.error(&[field, what]).at(place.to_string());
        Ok(match v {
            Json::Null => (None, None),
            Json::Bool(v) => (Some(v.to_string()), Some(Kind::Text)),
            Json::Int(v) => (Some(v.to_string()), Some(Kind::Int)),
            Json::UInt(v) => (Some(v.to_string()), Some(Kind::Int)),
            Json::Float(v) => (float_text(*v), Some(Kind::Float)),
            Json::Text(t) => (Some(t.clone()), Some(Kind::Text)),
            Json::List(_) | Json::Position(_) => return Err(nested("a list")),
            Json::Object(_) => return Err(nested("an object")),
        })
    }
}

/// One outermost value: a collection, whose features are taken as they come, or a feature.
struct Top<'k, 'a>(&'k mut Kept<'a>);

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

/// For the JSON library: the error itself waits in `Kept`.
fn stop<E: de::Error>(kept: &mut Kept, e: Error) -> E {
    kept.failed = Some(e);
    E::custom("")
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of GeoJSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let kept = self.0;
        let mut root: Vec<(String, Json)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            once(&root, &mut seen, &key)?;
            let value = if key == "features" {
                map.next_value_seed(List(kept))?;
                Json::Null
            } else {
                map.next_value()?
            };
            root.push((key, value));
        }
        let root = Json::Object(root);
        if root.kind() == "FeatureCollection" {
            let named = kept.note_crs(&root).map_err(|e| stop(kept, e))?;
            kept.of_wholes += usize::from(named);
        }
        if root.kind() == "Feature" {
            kept.feature(&root).map_err(|e| stop(kept, e))?;
        }
        if let Json::Object(members) = root {
            kept.root = members;
        }
        Ok(())
    }
}

struct List<'k, 'a>(&'k mut Kept<'a>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        while let Some(feature) = seq.next_element::<Json>()? {
            let taken = if feature.kind().is_empty() && (feature.get("attributes").is_some()) {
                Err(other_format("Esri JSON", self.0.file))
            } else {
                self.0.feature(&feature)
            };
            taken.map_err(|e| stop(self.0, e))?;
        }
        Ok(())
    }
}

fn is_geometry(kind: &str) -> bool {
    [
        "Polygon",
        "MultiPolygon",
        "GeometryCollection",
        "Point",
        "MultiPoint",
        "LineString",
        "MultiLineString",
    ]
    .contains(&kind)
}

pub fn read(input: &Input, wanted: &[String]) -> Result<Features> {
    let file = &input.name;
    let mut bytes = &input.bytes[..];
    if bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || (bytes.len() > 3 && (bytes[0] == 0) != (bytes[1] == 0))
    {
        return Err(other_format("text in UTF-16", file));
    }
    bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // A text sequence has a record separator before each text, which JSON itself cannot hold.
    let unseparated: Vec<u8>;
    if bytes.contains(&0x1e) {
        unseparated = bytes.iter().map(|b| if *b == 0x1e { b' ' } else { *b }).collect();
        bytes = &unseparated;
    }
    let mut kept = Kept {
        wanted,
        file,
        values: vec![Field::default(); wanted.len()],
        shapes: Vec::new(),
        known: Vec::new(),
        seen: HashSet::new(),
        systems: Vec::new(),
        of_wholes: 0,
        of_features: 0,
        ids: Vec::new(),
        any_id: false,
        failed: None,
        root: Vec::new(),
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut values = 0;
    while values == 0 || json.end().is_err() {
        if let Err(e) = Top(&mut kept).deserialize(&mut json) {
            return Err(kept.failed.take().unwrap_or_else(|| unreadable(&e, file)));
        }
        values += 1;
        let root = Json::Object(std::mem::take(&mut kept.root));
        check_kind(&root, file)?;
    }
    if wanted.iter().any(|w| w == "@id") && !kept.seen.contains("@id") {
        if !kept.any_id {
            return Err(NO_FEATURE_ID.error(&[]).at(file.clone()));
        }
        let mut field = Field::default();
        for (text, kind) in std::mem::take(&mut kept.ids) {
            field.push(text, kind);
        }
        for (_, slot) in wanted.iter().zip(&mut kept.values).filter(|(w, _)| *w == "@id") {
            *slot = field.clone();
        }
        kept.known.push("@id".to_string());
    }
    let lacks = wanted.iter().find(|w| !kept.known.contains(w));
    if let Some(w) =
        lacks.filter(|w| kept.any_id && ["id", "fid"].contains(&w.to_lowercase().as_str()))
    {
        return Err(Error::data(format!("there is no field `{w}` among the properties"))
            .at(format!("{file}: {}", list(&kept.known, 12)))
            .hint("the features' own `id` is named `@id`: `--key @id`"));
    }
    if !kept.shapes.is_empty() {
        places(wanted, &kept.known, file)?;
    }
    let several = kept.systems.len() > 1
        || (kept.of_wholes > 0 && kept.of_wholes < values)
        || (kept.of_wholes == 0 && kept.of_features > 0 && kept.of_features < kept.shapes.len());
    let crs = match kept.systems.pop() {
        _ if several => return Err(TWO_CRS.error(&[]).at(file.clone())),
        None => Crs::Geographic,
        Some(None) => Crs::Unknown,
        Some(Some(name)) => system(&name),
    };
    Ok(Features {
        values: kept.values,
        shapes: kept.shapes,
        crs,
        edges: Edges::Planar,
        warnings: Vec::new(),
    })
}

fn unreadable(e: &serde_json::Error, file: &str) -> Error {
    if e.is_data() {
        return Error::data(format!("`{file}` is JSON, but not GeoJSON: {e}"))
            .hint("write it again, with `ogr2ogr -f GeoJSON` for instance");
    }
    if e.is_eof() {
        return Error::data(format!("`{file}` is not whole JSON: {e}")).hint(
            "fetch the file again, or write it anew: a download or a copy may have broken off",
        );
    }
    Error::data(format!("`{file}` is not JSON: {e}"))
        .hint("JSON is UTF-8 and has neither NaN nor numbers over 1e308: write it again, with `ogr2ogr -f GeoJSON` for instance")
}

/// What the outermost object is, after its features were taken.
fn check_kind(root: &Json, file: &str) -> Result<()> {
    match root.kind() {
        "FeatureCollection" | "Feature" => Ok(()),
        "Topology" => Err(other_format("TopoJSON", file)),
        kind if is_geometry(kind) => Err(BARE_GEOMETRY.error(&[kind]).at(file.to_string())),
        _ if ["geometryType", "rings", "spatialReference"]
            .iter()
            .any(|k| root.get(k).is_some()) =>
        {
            Err(other_format("Esri JSON", file))
        }
        _ => Err(Error::data(format!("`{file}` is JSON, but not GeoJSON"))
            .hint("its `type` must be `FeatureCollection` or `Feature`")),
    }
}

/// By the name that a `crs` member of before 2016 holds.
fn system(name: &str) -> Crs {
    let last = name.rsplit([':', '/', '#']).next().unwrap_or("");
    match (last, last.parse()) {
        ("CRS84" | "CRS84h", _) => Crs::Geographic,
        ("CRS83", _) => crs_of_epsg(name, 4269),
        ("CRS27", _) => crs_of_epsg(name, 4267),
        (_, Ok(code)) if name.to_uppercase().contains("EPSG") => crs_of_epsg(name, code),
        _ => crs_of_wkt(name),
    }
}

/// Adds the polygons of a geometry; says what else a collection has in it.
fn geometry<'g>(
    g: &'g Json,
    out: &mut Shape,
    row: usize,
    file: &str,
    depth: u32,
) -> Result<Option<&'g str>> {
    let damaged = || {
        let number = thousands(row as u64 + 1);
        Error::data(format!("the geometry of feature {number} is damaged"))
            .at(file.to_string())
            .hint(
                "its coordinates must be lists of rings, and rings lists of [longitude, latitude]",
            )
    };
    let mut polygon = |p: &Json| -> Option<()> {
        let Json::List(lists) = p else { return None };
        let mut rings = Vec::with_capacity(lists.len());
        for ring in lists {
            let Json::List(corners) = ring else { return None };
            let mut points = Vec::with_capacity(corners.len());
            for corner in corners {
                let Json::Position(at) = corner else { return None };
                points.push(*at);
            }
            rings.push(points);
        }
        if !rings.is_empty() {
            out.push(rings);
        }
        Some(())
    };
    let coordinates = g.get("coordinates");
    match g.kind() {
        "Polygon" => coordinates.and_then(polygon).ok_or_else(damaged),
        "MultiPolygon" => match coordinates {
            Some(Json::List(parts)) => {
                parts.iter().try_for_each(|p| polygon(p).ok_or_else(damaged))
            }
            _ => Err(damaged()),
        },
        // Of a collection only the polygons count (`make_valid` leaves lines and points beside them).
        "GeometryCollection" if depth < 64 => {
            let Some(Json::List(inner)) = g.get("geometries") else { return Err(damaged()) };
            let mut other = None;
            for g in inner {
                let kind = g.kind();
                if is_geometry(kind) && !kind.ends_with("Polygon") && kind != "GeometryCollection" {
                    other = Some(kind);
                } else if let Some(kind) = geometry(g, out, row, file, depth + 1)? {
                    other = Some(kind);
                }
            }
            return Ok(other);
        }
        "" => Err(damaged()),
        kind => Err(not_polygons(kind, row, file)),
    }
    .map(|()| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> std::result::Result<Json, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_list_of_numbers_is_a_position_and_nothing_else_is() {
        assert_eq!(json("[1, 2.5, 3, 4]").unwrap(), Json::Position([1.0, 2.5]));
        assert_eq!(json("[]").unwrap(), Json::List(vec![]));
        assert_eq!(json("[1]").unwrap(), Json::List(vec![Json::Int(1)]));
        for text in ["[\"1\", 2]", "[1, \"2\"]", "[1, 2, \"3\"]", "[1, [2]]"] {
            assert!(matches!(json(text).unwrap(), Json::List(_)), "{text}");
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_an_error() {
        assert!(json(r#"{"a": 1, "b": 2, "a": 3}"#).is_err());
        let many: String = (0..40).map(|k| format!("\"k{k}\": {k}, ")).collect();
        assert!(json(&format!("{{{many} \"z\": 1}}")).is_ok());
        assert!(json(&format!("{{{many} \"k3\": 1}}")).is_err());
        assert!(json(&format!("{{{many} \"k39\": 1}}")).is_err());
    }
}
