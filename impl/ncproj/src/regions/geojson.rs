//! GeoJSON: a FeatureCollection (or one Feature) of polygons.

use super::{Crs, Features, crs_of_epsg, not_polygons, places};
use crate::error::{Error, Result, base_name, read_whole, thousands};
use crate::repair::Shape;
use serde_json::Value;
use std::path::Path;

pub fn read(path: &Path, wanted: &[String]) -> Result<Features> {
    let name = base_name(path);
    let bytes = read_whole(path)?;
    let root: Value = serde_json::from_slice(&bytes).map_err(|e| {
        Error::data(format!("`{name}` is not whole JSON: {e}")).at(path.display().to_string()).hint(
            "fetch the file again, or write it anew: a download or a copy may have broken off",
        )
    })?;
    let single = std::slice::from_ref(&root);
    let features = match root["type"].as_str() {
        Some("FeatureCollection") => root["features"].as_array().map_or(&[][..], Vec::as_slice),
        Some("Feature") => single,
        _ => {
            return Err(Error::data(format!("`{name}` is JSON, but not GeoJSON"))
                .at(path.display().to_string())
                .hint("its `type` must be `FeatureCollection` or `Feature`"));
        }
    };
    let crs = match root["crs"]["properties"]["name"].as_str() {
        None => Crs::Geographic,
        Some(c) if ["CRS84", "CRS83", "CRS27"].iter().any(|e| c.ends_with(e)) => Crs::Geographic,
        Some(c) => match c.rsplit(':').next().and_then(|n| n.parse().ok()) {
            Some(code) if c.to_uppercase().contains("EPSG") => crs_of_epsg(c, code),
            _ => Crs::Projected(c.to_string(), Err("ncproj does not know the name".to_string())),
        },
    };
    let mut fields: Vec<String> = Vec::new();
    for feature in features {
        for key in feature["properties"].as_object().into_iter().flat_map(|o| o.keys()) {
            if !fields.contains(key) {
                fields.push(key.clone());
            }
        }
    }
    places(wanted, &fields, &name)?;
    let text = |v: &Value| match v {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let values = wanted
        .iter()
        .map(|w| features.iter().map(|f| text(&f["properties"][w.as_str()])).collect())
        .collect();
    let mut shapes = Vec::with_capacity(features.len());
    for (row, feature) in features.iter().enumerate() {
        let mut out = Vec::new();
        geometry(&feature["geometry"], &mut out, row, &name)?;
        shapes.push(out);
    }
    let values: Vec<Vec<String>> = values;
    let values = values.into_iter().map(super::Field::of_texts).collect();
    Ok(Features { values, shapes, crs, edges: super::Edges::Planar, warnings: Vec::new() })
}

fn geometry(g: &Value, out: &mut Shape, row: usize, file: &str) -> Result<()> {
    let damaged = || {
        let number = thousands(row as u64 + 1);
        Error::data(format!("the geometry of feature {number} is damaged"))
            .at(file.to_string())
            .hint(
                "its coordinates must be lists of rings, and rings lists of [longitude, latitude]",
            )
    };
    let mut polygon = |p: &Value| -> Option<()> {
        let mut rings = Vec::new();
        for ring in p.as_array()? {
            let mut points = Vec::new();
            for q in ring.as_array()? {
                points.push([q.get(0)?.as_f64()?, q.get(1)?.as_f64()?]);
            }
            rings.push(points);
        }
        out.push(rings);
        Some(())
    };
    match g["type"].as_str() {
        None => Ok(()),
        Some("Polygon") => polygon(&g["coordinates"]).ok_or_else(damaged),
        Some("MultiPolygon") => {
            for p in g["coordinates"].as_array().ok_or_else(damaged)? {
                polygon(p).ok_or_else(damaged)?;
            }
            Ok(())
        }
        Some("GeometryCollection") => {
            for inner in g["geometries"].as_array().ok_or_else(damaged)? {
                if matches!(inner["type"].as_str(), Some("Polygon" | "MultiPolygon")) {
                    geometry(inner, out, row, file)?;
                }
            }
            Ok(())
        }
        Some(other) => Err(not_polygons(other, row, file)),
    }
}
