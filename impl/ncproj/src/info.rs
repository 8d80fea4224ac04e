//! What a file is: for people and, as JSON, for programs.

use crate::error::{Error, Result, thousands};
use crate::grid::{self, Axis, Grid, shape_text};
use crate::index::Index;
use crate::netcdf::{Blocks, Layout, Source};
use crate::plan::all_gridded;
use crate::time::{TimeUnits, is_time};
use serde_json::{Value, json};
use std::path::Path;

pub fn describe(path: &Path) -> Result<Value> {
    if Index::is_one(path) {
        return Ok(Index::load(path)?.describe());
    }
    let mut source = Source::open(path)?;
    let grid = match grid::find(&mut source, None) {
        Ok(g) if g.quads.is_some() => cells(&g),
        Ok(g) => json!({
            "lat": {"name": g.lat.name, "cells": g.lat.len(), "descending": g.lat.descending,
                    "regular": g.lat.regular, "bounds": g.lat.from_bounds,
                    "extent": [g.lat.edges[0], g.lat.edges[g.lat.len()]]},
            "lon": {"name": g.lon.name, "cells": g.lon.len(), "descending": g.lon.descending,
                    "regular": g.lon.regular, "bounds": g.lon.from_bounds,
                    "extent": [g.lon.edges[0], g.lon.edges[g.lon.len()]]},
            "global": g.global,
            "crs": g.projection.as_ref().map_or("longitude and latitude", |p| &p.text),
            "fingerprint": g.fingerprint(),
        }),
        Err(e) => json!({"none": e.to_string().lines().next().unwrap_or("")}),
    };
    let on_grid = all_gridded(&source);
    let mut variables = Vec::new();
    for k in 0..source.vars.len() {
        let located = source.locate(k);
        let var = &source.vars[k];
        let mut about = json!({
            "name": var.name,
            "type": var.kind.name(),
            "dimensions": source.dim_names(var),
            "shape": source.shape(var),
            "gridded": on_grid.contains(&var.name),
        });
        for attr in ["units", "long_name", "standard_name", "calendar", "grid_mapping"] {
            if let Some(t) = var.text(attr) {
                about[attr] = json!(t);
            }
        }
        let storage = match &var.layout {
            Layout::Chunked { shape, .. } => {
                about["chunks"] = json!(shape);
                "chunked"
            }
            Layout::Contiguous { offset: None } => "never written",
            Layout::Contiguous { .. } => "contiguous",
            Layout::Records { .. } => "records",
            Layout::Inline(_) => "compact",
            Layout::Library(_) => "read by HDF5",
            Layout::Unreadable(_) => "unreadable",
        };
        about["storage"] = json!(storage);
        if !var.filters.is_empty() {
            let names: Vec<String> = var.filters.iter().map(|f| f.name()).collect();
            about["filters"] = json!(names);
        }
        if let Err(e) = located {
            about["problem"] = json!(e.to_string().lines().next().unwrap_or(""));
        } else if var.kind.size() > 0
            && let Ok(b) = Blocks::new(&source, k)
        {
            about["stored_bytes"] = json!(b.stored());
        }
        let (name, kind) = (var.name.clone(), var.kind);
        let units = var.text("units").unwrap_or("").to_string();
        let calendar = var.text("calendar").unwrap_or("").to_string();
        if is_time(&units) && kind.is_number() && var.dims.len() == 1 {
            let ends = TimeUnits::parse(&units, &calendar).and_then(|t| {
                let v = source.read_numbers(&name)?;
                match (v.first(), v.last()) {
                    (Some(a), Some(b)) => {
                        let text = |v: f64| Ok::<_, Error>(t.dates().text(t.decode(v)?));
                        Ok(Some([text(*a)?, text(*b)?]))
                    }
                    _ => Ok(None),
                }
            });
            match ends {
                Ok(Some(ends)) => about["times"] = json!(ends),
                Ok(None) => {}
                Err(e) => about["problem"] = json!(e.to_string().lines().next().unwrap_or("")),
            }
        }
        variables.push(about);
    }
    let dims: Vec<Value> =
        source.dims.iter().map(|d| json!({"name": d.name, "length": d.len})).collect();
    Ok(json!({
        "format": source.format,
        "file": source.name,
        "bytes": source.bytes,
        "dimensions": dims,
        "grid": grid,
        "variables": variables,
        "shapes": source.vars.iter().map(|v| shape_text(&source, v)).collect::<Vec<_>>(),
    }))
}

/// A curvilinear grid.
fn cells(g: &Grid) -> Value {
    let Some(q) = &g.quads else { return Value::Null };
    let fits = q.prepare().err().map(|e| e.to_string().lines().next().unwrap_or("").to_string());
    let [west, south, east, north] = q.extent();
    let side = |a: &Axis, extent: [f64; 2]| json!({"name": a.name, "dimension": a.dim, "cells": a.len(), "bounds": a.from_bounds, "extent": extent});
    let mut v = json!({
        "lat": side(&g.lat, [south, north]),
        "lon": side(&g.lon, [west, east]),
        "global": false,
        "curvilinear": q.describe(),
        "crs": "longitude and latitude",
        "fingerprint": g.fingerprint(),
    });
    if let Some(problem) = fits {
        v["problem"] = json!(problem);
    }
    v
}

/// The same for people.
pub fn text(v: &Value) -> String {
    let mut out = String::new();
    let mut line = |s: String| {
        out.push_str(&s);
        out.push('\n');
    };
    let t = |v: &Value| v.as_str().unwrap_or("").to_string();
    let n = |v: &Value| thousands(v.as_u64().unwrap_or(0));
    let axis = |v: &Value| {
        let e = |k: usize| v["extent"][k].as_f64().unwrap_or(f64::NAN);
        let mut marks = Vec::new();
        for (key, word) in
            [("descending", "descending"), ("regular", "regular"), ("bounds", "by its bounds")]
        {
            if v[key].as_bool() == Some(true) {
                marks.push(word);
            }
        }
        format!(
            "`{}`, {} cells, {:.4} .. {:.4} {}",
            t(&v["name"]),
            n(&v["cells"]),
            e(0),
            e(1),
            marks.join(", ")
        )
    };
    line(format!("format       {}", t(&v["format"])));
    if !v["pairs"].is_null() {
        let r = &v["regions"];
        line(format!("fingerprint  {}", t(&v["fingerprint"])));
        line(format!(
            "regions      {} of `{}`, key `{}`",
            n(&r["count"]),
            t(&r["file"]),
            t(&v["key"])
        ));
        if let Some(columns) = v["carried"]["columns"].as_array() {
            let about = |c: &Value| match c["nulls"].as_u64() {
                Some(nulls) if nulls > 0 => {
                    format!("`{}` {} ({} null)", t(&c["name"]), t(&c["type"]), thousands(nulls))
                }
                _ => format!("`{}` {}", t(&c["name"]), t(&c["type"])),
            };
            line(format!(
                "carried      {}",
                columns.iter().map(about).collect::<Vec<_>>().join(", ")
            ));
        }
        line(format!("repaired     {} cut, {} rebuilt", n(&r["cut"]), n(&r["rebuilt"])));
        line(format!(
            "outside      {} wholly, {} in part",
            n(&v["outside"]),
            n(&v["partly_outside"])
        ));
        line(format!("pairs        {}", n(&v["pairs"])));
        line(format!("grid         fingerprint {}", t(&v["grid"]["fingerprint"])));
    } else {
        line(format!("file         {} ({} bytes)", t(&v["file"]), n(&v["bytes"])));
        let dims: Vec<String> = v["dimensions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|d| format!("{} {}", t(&d["name"]), n(&d["length"])))
            .collect();
        line(format!("dimensions   {}", dims.join(", ")));
    }
    let g = &v["grid"];
    if let Some(about) = g["curvilinear"].as_str() {
        for (name, side) in [("latitude ", &g["lat"]), ("longitude", &g["lon"])] {
            let e = |k: usize| side["extent"][k].as_f64().unwrap_or(f64::NAN);
            line(format!("{name}    `{}`, centres {:.4} .. {:.4}", t(&side["name"]), e(0), e(1)));
        }
        line(format!("grid         curvilinear: {about}"));
        if let Some(problem) = g["problem"].as_str() {
            line(format!("             problem: {problem}"));
        }
        line("crs          longitude and latitude".to_string());
    } else if g["none"].is_null() {
        let crs = [&g["projection"], &g["crs"]].into_iter().find_map(Value::as_str);
        let crs = crs.unwrap_or("longitude and latitude");
        let plain = crs == "longitude and latitude";
        let names = if plain { ["latitude ", "longitude"] } else { ["rows (y) ", "columns  "] };
        line(format!("{}    {}", names[0], axis(&g["lat"])));
        let global = if g["global"].as_bool() == Some(true) { " round the globe" } else { "" };
        line(format!("{}    {}{global}", names[1], axis(&g["lon"])));
        line(format!("crs          {crs}"));
    } else {
        line(format!("grid         none: {}", t(&g["none"])));
    }
    for var in v["variables"].as_array().into_iter().flatten() {
        let dims: Vec<String> =
            var["dimensions"].as_array().into_iter().flatten().map(&t).collect();
        let mut parts = vec![t(&var["type"])];
        if !var["units"].is_null() {
            parts.push(format!("[{}]", t(&var["units"])));
        }
        if !var["calendar"].is_null() {
            parts.push(format!("calendar {}", t(&var["calendar"])));
        }
        if !var["times"].is_null() {
            parts.push(format!("{} .. {}", t(&var["times"][0]), t(&var["times"][1])));
        }
        parts.push(t(&var["storage"]));
        if !var["chunks"].is_null() {
            parts.push(var["chunks"].to_string());
        }
        if !var["filters"].is_null() {
            let f: Vec<String> = var["filters"].as_array().into_iter().flatten().map(&t).collect();
            parts.push(f.join("+"));
        }
        if !var["problem"].is_null() {
            parts.push(format!("problem: {}", t(&var["problem"])));
        }
        let mark = if var["gridded"].as_bool() == Some(true) { "*" } else { " " };
        line(format!(
            "variable  {mark}  {}({})  {}",
            t(&var["name"]),
            dims.join(", "),
            parts.join(" ")
        ));
    }
    out
}
