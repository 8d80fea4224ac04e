//! Regions from a file: a key and rings for each. Zipped or plain shapefiles, GeoPackage, GeoParquet, GeoJSON.

mod geojson;
mod geopackage;
mod geoparquet;
pub(crate) mod reproject;
mod shapefile;
mod sqlite;
mod system;
mod wkb;
mod zip;

pub(crate) use self::system::{Crs, crs_of_epsg, crs_of_json, crs_of_wkt};
use crate::crs::System;
use crate::error::{Error, Result, base_name, list, nearest, thousands};
use crate::repair::{Point, Shape};
use std::collections::HashMap;
use std::path::Path;

#[derive(Default)]
pub struct Regions {
    pub file: String,
    pub key_name: String,
    pub keys: Vec<String>,
    /// The polygons of each region; their rings may turn either way.
    pub shapes: Vec<Shape>,
    pub warnings: Vec<String>,
}

/// What a reader hands over: the fields' values, and the rings.
pub(crate) struct Features {
    /// One list of texts per field asked for, in the order of asking.
    pub values: Vec<Vec<String>>,
    pub shapes: Vec<Shape>,
    pub crs: Crs,
}

/// The key of a region: a field, or a text with fields in braces.
struct Template {
    /// (text before, field)
    parts: Vec<(String, String)>,
    tail: String,
    plain: bool,
}

impl Template {
    fn parse(key: &str) -> Result<Template> {
        if key.is_empty() {
            return Err(Error::usage("`--key` names no field").hint(
                "name a field of the regions, or write fields in braces: `G{STATEFP10}0{COUNTYFP10}0`",
            ));
        }
        if !key.contains('{') {
            let parts = vec![(String::new(), key.to_string())];
            return Ok(Template { parts, tail: String::new(), plain: true });
        }
        let mut parts = Vec::new();
        let mut rest = key;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}') else {
                return Err(Error::usage(format!("the key `{key}` has `{{` without `}}`"))
                    .hint("write fields in braces: `G{STATEFP10}0{COUNTYFP10}0`"));
            };
            let field = &rest[open + 1..open + close];
            if field.is_empty() {
                return Err(Error::usage(format!(
                    "the key `{key}` has no field within its braces"
                ))
                .hint("write fields in braces: `G{STATEFP10}0{COUNTYFP10}0`"));
            }
            parts.push((rest[..open].to_string(), field.to_string()));
            rest = &rest[open + close + 1..];
        }
        Ok(Template { parts, tail: rest.to_string(), plain: false })
    }

    fn fields(&self) -> Vec<String> {
        self.parts.iter().map(|(_, f)| f.clone()).collect()
    }
}

/// Reads regions; `key` is a field's name or a template, `key_name` the name of the key's column, `layer` one of those
/// in the file.
pub fn read(
    path: &Path,
    key: &str,
    key_name: Option<&str>,
    layer: Option<&str>,
) -> Result<Regions> {
    read_onto(path, key, key_name, layer, None)
}

/// As `read`, onto the datum of a grid where that is not WGS 84.
pub fn read_onto(
    path: &Path,
    key: &str,
    key_name: Option<&str>,
    layer: Option<&str>,
    datum: Option<&System>,
) -> Result<Regions> {
    let text = path.to_string_lossy();
    if text.contains("://") {
        return Err(Error::data(format!("`{text}` is an address, not a file"))
            .hint("fetch the file first: ncproj reads files on this machine"));
    }
    let template = Template::parse(key)?;
    if key_name == Some("") {
        return Err(Error::usage("`--key-name` is empty")
            .hint("name the key's column, or leave `--key-name` away"));
    }
    let wanted = template.fields();
    let extension =
        path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if layer.is_some() && !["zip", "gpkg"].contains(&extension.as_str()) {
        return Err(Error::usage(format!("`{}` has no layers to choose from", path.display()))
            .hint("`--layer` is for .gpkg, and for .zip with several shapefiles"));
    }
    let mut found = match extension.as_str() {
        "zip" => shapefile::read_zip(path, &wanted, layer)?,
        "gpkg" => geopackage::read(path, &wanted, layer)?,
        "shp" => shapefile::read_files(path, &wanted)?,
        "parquet" | "geoparquet" | "pq" => geoparquet::read(path, &wanted)?,
        "geojson" | "json" => geojson::read(path, &wanted)?,
        _ => {
            return Err(Error::usage(format!(
                "`{}` is not a regions file known here",
                path.display()
            ))
            .hint("give a .zip or .shp (shapefile), .gpkg, .parquet (GeoParquet) or .geojson"));
        }
    };
    let file = base_name(path);
    let mut warnings = Vec::new();
    reproject::bring(&mut found, &file, datum, &mut warnings)?;
    if found.shapes.is_empty() {
        return Err(Error::data("there are no regions in the file")
            .at(file)
            .hint("check that it is the right file, or layer"));
    }
    if found.shapes.iter().all(Vec::is_empty) {
        return Err(Error::data("no region has a shape")
            .at(file)
            .hint("check that it is the right file, or layer"));
    }
    let mut keys = Vec::with_capacity(found.shapes.len());
    for k in 0..found.shapes.len() {
        let mut text = String::new();
        let mut missing = None;
        for ((before, field), values) in template.parts.iter().zip(&found.values) {
            let value = values.get(k).map_or("", String::as_str);
            if value.is_empty() {
                missing = Some(field);
            }
            text.push_str(before);
            text.push_str(value);
        }
        text.push_str(&template.tail);
        if let Some(field) = missing {
            let number = thousands(k as u64 + 1);
            return Err(Error::data(format!("region {number} has no `{field}`: its key is empty"))
                .at(format!("{file}, row {number}"))
                .hint("choose a field that every region has"));
        }
        keys.push(text);
    }
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(keys.len());
    let mut twice: Vec<String> = Vec::new();
    let mut rows = String::new();
    for (k, key) in keys.iter().enumerate() {
        match first.get(key.as_str()) {
            Some(earlier) => {
                if twice.is_empty() {
                    let number = |k: usize| thousands(k as u64 + 1);
                    rows = format!("rows {} and {}", number(*earlier), number(k));
                }
                if !twice.contains(key) && twice.len() < 1000 {
                    twice.push(key.clone());
                }
            }
            None => {
                first.insert(key, k);
            }
        }
    }
    if !twice.is_empty() {
        return Err(Error::data(format!("keys come more than once: {}", list(&twice, 5)))
            .at(format!("{file}: key `{key}`, {rows}"))
            .hint("choose a field, or fields as in `G{STATEFP10}0{COUNTYFP10}0`, that name each region once"));
    }
    for (k, shape) in found.shapes.iter().enumerate() {
        let bad = |p: &&Point| !(p[0].abs() <= 1080.0 && p[1].abs() <= 90.0 + 1e-6);
        if let Some(p) = shape.iter().flatten().flatten().find(bad) {
            return Err(Error::data(format!(
                "region `{}` has the corner ({}, {}), which is no longitude and latitude",
                keys[k], p[0], p[1]
            ))
            .at(file)
            .hint("the coordinates look projected: reproject to EPSG:4326 first"));
        }
    }
    let key_name = match key_name {
        Some(name) => name.to_string(),
        None if template.plain => key.to_string(),
        None => "key".to_string(),
    };
    Ok(Regions { file, key_name, keys, shapes: found.shapes, warnings })
}

impl Regions {
    /// A name for keys and geometry, as they were read.
    pub fn fingerprint(&self) -> String {
        let mut h = blake3::Hasher::new();
        h.update(b"ncproj regions 1");
        let mut bytes = Vec::new();
        for (key, shape) in self.keys.iter().zip(&self.shapes) {
            bytes.clear();
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend((shape.iter().map(Vec::len).sum::<usize>() as u64).to_le_bytes());
            for ring in shape.iter().flatten() {
                bytes.extend((ring.len() as u64).to_le_bytes());
                for p in ring {
                    bytes.extend(p[0].to_le_bytes());
                    bytes.extend(p[1].to_le_bytes());
                }
            }
            h.update(&bytes);
        }
        h.finalize().to_hex()[..32].to_string()
    }
}

/// The places of the wanted fields, or an error that names the nearest.
pub(crate) fn places(wanted: &[String], known: &[String], file: &str) -> Result<Vec<usize>> {
    let find = |w: &String| {
        known.iter().position(|k| k == w).ok_or_else(|| {
            Error::data(format!("there is no field `{w}`"))
                .at(format!("{file}: {}", list(known, 12)))
                .hint(nearest(w, known))
        })
    };
    wanted.iter().map(find).collect()
}

pub(crate) fn not_polygons(what: &str, row: usize, file: &str) -> Error {
    Error::data(format!("region {} is a {what}, not a polygon", thousands(row as u64 + 1)))
        .at(file.to_string())
        .hint("ncproj needs polygons; give points an extent first (buffer them)")
}

/// The place of the layer asked for, or of the only one there is.
pub(crate) fn choose_layer(
    names: &[String],
    wanted: Option<&str>,
    file: &str,
    what: &str,
) -> Result<usize> {
    match (wanted, names) {
        (_, []) => Err(Error::data("the file has no layers of regions")
            .at(file.to_string())
            .hint("check that it is the right file")),
        (None, [_]) => Ok(0),
        (None, _) => Err(Error::data(format!("the file has {} {what}", names.len()))
            .at(format!("{file}: {}", list(names, 12)))
            .hint(format!("choose one, for instance `--layer {}`", names[0]))),
        (Some(w), _) => names.iter().position(|n| n == w).ok_or_else(|| {
            Error::data(format!("there is no layer `{w}`"))
                .at(format!("{file}: {}", list(names, 12)))
                .hint(nearest(w, names))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_cut_at_its_fields() {
        let t = Template::parse("G{STATEFP10}0{COUNTYFP10}0").unwrap();
        assert_eq!(t.fields(), ["STATEFP10", "COUNTYFP10"]);
        assert_eq!(
            (t.parts[0].0.as_str(), t.parts[1].0.as_str(), t.tail.as_str()),
            ("G", "0", "0")
        );
        assert!(Template::parse("G{A").is_err());
    }
}
