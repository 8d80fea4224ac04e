//! GeoPackage: tables of SQLite, with WKB behind a short header.

use super::sqlite::{Cell, Database};
use super::wkb::{Problem, shape};
use super::{Crs, Features, choose_layer, crs_of_wkt, not_polygons, places};
use crate::error::{Error, Result, base_name, list, thousands};
use std::path::Path;

pub fn read(path: &Path, wanted: &[String], layer: Option<&str>) -> Result<Features> {
    let name = base_name(path);
    let db = Database::open(path)?;
    let all = |table: &str, columns: &[&str]| -> Result<Vec<Vec<Cell>>> {
        let lacks = |what: &str| {
            Error::data(format!("`{name}` is SQLite, but not a GeoPackage: it has no {what}"))
                .at(path.display().to_string())
                .hint("write it again, with `ogr2ogr -f GPKG` for instance")
        };
        let t = db.table(table).ok_or_else(|| lacks(&format!("table `{table}`")))?;
        let mut at = Vec::new();
        for c in columns {
            let place = t.columns.iter().position(|n| n.eq_ignore_ascii_case(c));
            at.push(place.ok_or_else(|| lacks(&format!("column `{c}` in `{table}`")))?);
        }
        let mut out = Vec::new();
        db.rows(t, &mut |row| {
            out.push(at.iter().map(|k| row[*k].clone()).collect());
            Ok(())
        })?;
        Ok(out)
    };
    let layers = all("gpkg_geometry_columns", &["table_name", "column_name", "srs_id"])?;
    let text = |c: &Cell| c.text().unwrap_or("").to_string();
    let names: Vec<String> = layers.iter().map(|l| text(&l[0])).collect();
    let chosen = &layers[choose_layer(&names, layer, &name, "layers")?];
    let srs = chosen[2].int();
    let mut crs = Crs::Unknown;
    let known = srs.is_some_and(|s| s > 0); // 0 and -1 mean "unknown"
    for row in all("gpkg_spatial_ref_sys", &["srs_id", "definition"])? {
        if row[0].int() == srs && known {
            crs = crs_of_wkt(&text(&row[1]));
        }
    }
    if known && matches!(crs, Crs::Unknown) {
        // What the older well-known text has no words for is named by its code.
        let columns = ["srs_id", "organization", "organization_coordsys_id"];
        for row in all("gpkg_spatial_ref_sys", &columns).unwrap_or_default() {
            if let (true, Some(code @ 1..)) = (row[0].int() == srs, row[2].int()) {
                crs = crs_of_wkt(&format!("{}:{code}", text(&row[1]).to_uppercase()));
            }
        }
    }
    let table = db.table(&text(&chosen[0])).ok_or_else(|| {
        Error::data(format!("the layer `{}` has no table", text(&chosen[0])))
            .at(name.clone())
            .hint("choose another with `--layer`, or write the file again")
    })?;
    let column = text(&chosen[1]);
    let geometry = table.columns.iter().position(|c| *c == column).ok_or_else(|| {
        Error::data(format!("the layer `{}` has no column `{column}` of shapes", table.name))
            .at(format!("{name}: {}", list(&table.columns, 12)))
            .hint("write the file again, with `ogr2ogr -f GPKG` for instance")
    })?;
    let known: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .filter(|(k, _)| *k != geometry)
        .map(|(_, c)| c.clone())
        .collect();
    places(wanted, &known, &name)?;
    let fields = places(wanted, &table.columns, &name)?;
    let mut out = Features { values: vec![Vec::new(); fields.len()], shapes: Vec::new(), crs };
    db.rows(table, &mut |row| {
        let number = out.shapes.len();
        for (values, place) in out.values.iter_mut().zip(&fields) {
            values.push(match &row[*place] {
                Cell::Text(t) => t.clone(),
                Cell::Int(v) => v.to_string(),
                Cell::Real(v) => v.to_string(),
                Cell::Null | Cell::Blob(_) => String::new(),
            });
        }
        let broken = || {
            Error::data(format!("the geometry of row {} is damaged", thousands(number as u64 + 1)))
                .at(name.clone())
                .hint("fetch the file again")
        };
        out.shapes.push(match &row[geometry] {
            Cell::Blob(b) => match wkb_of(b).map(shape) {
                Some(Ok(r)) => r,
                Some(Err(Problem::NotPolygon(what))) => {
                    return Err(not_polygons(what, number, &name));
                }
                Some(Err(Problem::Damaged)) | None => return Err(broken()),
            },
            Cell::Null => Vec::new(),
            _ => return Err(broken()),
        });
        Ok(())
    })?;
    Ok(out)
}

/// What follows the header: `GP`, version, flags, number of the system, and an envelope of a size that the flags tell.
fn wkb_of(b: &[u8]) -> Option<&[u8]> {
    if b.get(..2)? != b"GP" {
        return None;
    }
    let flags = *b.get(3)?;
    let envelope = match flags >> 1 & 7 {
        0 => 0,
        1 => 32,
        2 | 3 => 48,
        4 => 64,
        _ => return None,
    };
    b.get(8 + envelope..)
}
