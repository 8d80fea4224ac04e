//! Shapefiles: .shp for the rings, .dbf for the fields, .prj for the coordinate system.

use super::zip::Archive;
use super::{Crs, Features, choose_layer, crs_of_wkt, not_polygons, places};
use crate::error::{Error, Result, base_name, list, read_whole, thousands};
use crate::repair::Shape;
use std::path::Path;

pub fn read_zip(path: &Path, wanted: &[String], layer: Option<&str>) -> Result<Features> {
    let archive = Archive::open(path)?;
    let names = archive.names();
    let ending =
        |name: &str, e: &str| name.to_lowercase().ends_with(e) && !name.contains("__MACOSX");
    let shapes: Vec<String> = names.iter().filter(|n| ending(n, ".shp")).cloned().collect();
    let lacks = |what: &str| {
        Error::data(format!("the archive has no {what}"))
            .at(format!("{}: {}", archive.name, list(&names, 12)))
            .hint("a zipped shapefile needs its .shp, .dbf and .prj together")
    };
    if shapes.is_empty() {
        return Err(lacks(".shp file"));
    }
    // A layer is named by its file: `counties`, `counties.shp` or `folder/counties.shp`.
    let own = |n: &String| {
        let base = n.rsplit('/').next().unwrap_or(n);
        base[..base.len().saturating_sub(4)].to_string()
    };
    let place =
        layer.and_then(|l| shapes.iter().position(|n| n == l || n.ends_with(&format!("/{l}"))));
    let shape = match place {
        Some(k) => &shapes[k],
        None => {
            let names: Vec<String> = shapes.iter().map(own).collect();
            &shapes[choose_layer(&names, layer, &archive.name, "shapefiles")?]
        }
    };
    let stem = &shape[..shape.len() - 4];
    let sister = |e: &str| {
        names.iter().find(|n| {
            ending(n, e) && n.get(..n.len() - 4).is_some_and(|s| s.eq_ignore_ascii_case(stem))
        })
    };
    let Some(table) = sister(".dbf") else {
        return Err(lacks(".dbf file (the fields)"));
    };
    let crs = match sister(".prj") {
        Some(p) => crs_of_wkt(&String::from_utf8_lossy(&archive.read(p)?)),
        None => Crs::Unknown,
    };
    let (shp, dbf) = (archive.read(shape)?, archive.read(table)?);
    assemble(&shp, &dbf, crs, wanted, &archive.name)
}

pub fn read_files(path: &Path, wanted: &[String]) -> Result<Features> {
    let sister = |e: &str| {
        [path.with_extension(e), path.with_extension(e.to_uppercase())]
            .into_iter()
            .find(|p| p.exists())
    };
    let shp = read_whole(path)?;
    let Some(table) = sister("dbf") else {
        return Err(Error::data(format!(
            "`{}` has no .dbf file (the fields) beside it",
            base_name(path)
        ))
        .at(path.display().to_string())
        .hint("a shapefile is several files: copy .shp, .dbf and .prj together"));
    };
    let crs = match sister("prj") {
        Some(p) => crs_of_wkt(&String::from_utf8_lossy(&read_whole(&p)?)),
        None => Crs::Unknown,
    };
    assemble(&shp, &read_whole(&table)?, crs, wanted, &base_name(path))
}

fn assemble(shp: &[u8], dbf: &[u8], crs: Crs, wanted: &[String], file: &str) -> Result<Features> {
    let shapes = shapes(shp, file)?;
    let values = fields(dbf, wanted, file)?;
    if values.first().is_some_and(|v| v.len() != shapes.len()) {
        return Err(Error::data(format!(
            "the numbers of shapes ({}, in the .shp) and of rows ({}, in the .dbf) differ",
            thousands(shapes.len() as u64),
            thousands(values[0].len() as u64)
        ))
        .at(file.to_string())
        .hint("they do not belong together: copy both from the same place"));
    }
    let values = values.into_iter().map(super::Field::of_texts).collect();
    Ok(Features { values, shapes, crs, edges: super::Edges::Planar, warnings: Vec::new() })
}

fn shapes(b: &[u8], file: &str) -> Result<Vec<Shape>> {
    let damaged = |why: &str| {
        Error::data(format!("the .shp file is damaged: {why}"))
            .at(file.to_string())
            .hint("fetch the file again")
    };
    let int = |at: usize| -> Option<i32> {
        Some(i32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
    };
    let float = |at: usize| -> Option<f64> {
        Some(f64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?))
    };
    if b.len() < 100 || b[..4] != [0, 0, 0x27, 0x0a] {
        return Err(damaged("it does not begin like one"));
    }
    let mut out = Vec::new();
    let mut at = 100;
    while at + 8 <= b.len() {
        let words = u32::from_be_bytes([b[at + 4], b[at + 5], b[at + 6], b[at + 7]]) as usize;
        let (from, end) = (at + 8, at + 8 + 2 * words);
        let number = thousands(out.len() as u64 + 1);
        let kind = match int(from) {
            Some(kind) if end <= b.len() && words >= 2 => kind,
            _ => return Err(damaged(&format!("record {number} is cut short"))),
        };
        at = end;
        let name = match kind {
            0 => {
                out.push(Vec::new());
                continue;
            }
            5 | 15 | 25 => "",
            1 | 11 | 21 => "point",
            3 | 13 | 23 => "line",
            8 | 18 | 28 => "set of points",
            31 => "multipatch",
            _ => "shape of an unknown type",
        };
        if !name.is_empty() {
            return Err(not_polygons(name, out.len(), file));
        }
        let rings = (|| -> Option<Shape> {
            let parts = usize::try_from(int(from + 36)?).ok()?;
            let points = usize::try_from(int(from + 40)?).ok()?;
            let first = from + 44 + parts.checked_mul(4)?;
            if first.checked_add(points.checked_mul(16)?)? > end {
                return None;
            }
            let mut rings = Vec::with_capacity(parts);
            for k in 0..parts {
                let a = usize::try_from(int(from + 44 + 4 * k)?).ok()?;
                let z = if k + 1 < parts {
                    usize::try_from(int(from + 48 + 4 * k)?).ok()?
                } else {
                    points
                };
                if a > z || z > points {
                    return None;
                }
                let mut ring = Vec::with_capacity(z - a);
                for p in a..z {
                    ring.push([float(first + 16 * p)?, float(first + 16 * p + 8)?]);
                }
                rings.push(ring);
            }
            // Which ring is a hole the record does not say: the even-odd rule of `repair` does.
            Some(vec![rings])
        })();
        out.push(
            rings.ok_or_else(|| {
                damaged(&format!("the rings of record {number} lie outside of it"))
            })?,
        );
    }
    Ok(out)
}

/// The values of the wanted fields.
fn fields(b: &[u8], wanted: &[String], file: &str) -> Result<Vec<Vec<String>>> {
    let damaged = || {
        Error::data("the .dbf file is damaged").at(file.to_string()).hint("fetch the file again")
    };
    if b.len() < 33 {
        return Err(damaged());
    }
    let rows = u32::from_le_bytes([b[4], b[5], b[6], b[7]]) as usize;
    let head = usize::from(u16::from_le_bytes([b[8], b[9]]));
    let width = usize::from(u16::from_le_bytes([b[10], b[11]]));
    let (mut names, mut spans) = (Vec::new(), Vec::new());
    let (mut at, mut offset) = (32, 1);
    while at + 32 <= head.min(b.len()) && b[at] != 0x0d {
        let name: Vec<u8> = b[at..at + 11].iter().take_while(|c| **c != 0).copied().collect();
        names.push(text(&name));
        let len = usize::from(b[at + 16]);
        spans.push((offset, offset + len));
        offset += len;
        at += 32;
    }
    if rows.checked_mul(width).and_then(|n| n.checked_add(head)).is_none_or(|n| n > b.len() + 1)
        || offset > width.max(1)
        || (rows > 0 && width == 0)
    {
        return Err(damaged());
    }
    let mut values = Vec::new();
    for place in places(wanted, &names, file)? {
        let (from, to) = spans[place];
        let mut column = Vec::with_capacity(rows);
        for r in 0..rows {
            let row = head + r * width;
            column.push(text(b.get(row + from..row + to).ok_or_else(damaged)?));
        }
        values.push(column);
    }
    Ok(values)
}

/// UTF-8 where it is, else Latin-1, without the padding.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|c| *c == 0).next().unwrap_or(&[]);
    match std::str::from_utf8(bytes) {
        Ok(t) => t.trim().to_string(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect::<String>().trim().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_shapefile_is_an_error() {
        assert!(shapes(b"hello", "x.shp").is_err());
        assert!(fields(b"hello", &[], "x.dbf").is_err());
    }

    #[test]
    fn text_is_utf8_or_latin1() {
        assert_eq!(text("Doña Ana  ".as_bytes()), "Doña Ana");
        assert_eq!(text(b"Do\xf1a Ana\0\0"), "Doña Ana");
    }
}
