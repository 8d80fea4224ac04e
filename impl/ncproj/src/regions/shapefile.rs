//! Shapefiles: .shp for the rings, .shx for where they stand, .dbf for the fields, .cpg for their encoding, .prj for the
//! coordinate system.

use super::{Crs, Edges, Features, LYING_SHX, crs_of_wkt, dbf, not_polygons};
use crate::error::{Error, Result, base_name, read_whole, thousands};
use crate::outlines::polygons_of;
use crate::repair::Shape;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The files of one shapefile.
pub struct Parts {
    pub shp: Vec<u8>,
    pub shx: Option<Vec<u8>>,
    pub dbf: Vec<u8>,
    pub cpg: Option<Vec<u8>>,
    pub prj: Option<Vec<u8>>,
}

pub fn read_files(path: &Path, wanted: &[String]) -> Result<Features> {
    let shp = read_whole(path)?;
    let sister = |e: &str| sister(path, e).map(|p| read_whole(&p)).transpose();
    let Some(dbf) = sister("dbf")? else {
        return Err(Error::data(format!(
            "`{}` has no .dbf file (the fields) beside it",
            base_name(path)
        ))
        .at(path.display().to_string())
        .hint("a shapefile is several files: copy .shp, .dbf and .prj together"));
    };
    let cpg = sister("cpg")?;
    let cpg = if cpg.is_some() { cpg } else { sister("cst")? };
    let parts = Parts { shp, shx: sister("shx")?, dbf, cpg, prj: sister("prj")? };
    assemble(&parts, wanted, &base_name(path))
}

/// The file of the same name with another extension, in whatever case.
fn sister(path: &Path, extension: &str) -> Option<PathBuf> {
    let near = [path.with_extension(extension), path.with_extension(extension.to_uppercase())];
    if let Some(found) = near.into_iter().find(|p| p.exists()) {
        return Some(found);
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted = path.with_extension(extension).file_name()?.to_string_lossy().to_lowercase();
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().to_lowercase() == wanted))
        .collect();
    found.sort();
    found.into_iter().next()
}

pub fn assemble(parts: &Parts, wanted: &[String], file: &str) -> Result<Features> {
    let crs = match &parts.prj {
        Some(p) => crs_of_wkt(&String::from_utf8_lossy(p)),
        None => Crs::Unknown,
    };
    let table = dbf::read(&parts.dbf, parts.cpg.as_deref(), wanted, file)?;
    let places = match &parts.shx {
        Some(shx) => listed(shx, &parts.shp, file)?,
        None => walked(&parts.shp, file)?,
    };
    if table.deleted.len() != places.len() {
        return Err(Error::data(format!(
            "the numbers of shapes ({}, in the .sh{}) and of rows ({}, in the .dbf) differ",
            thousands(places.len() as u64),
            if parts.shx.is_some() { 'x' } else { 'p' },
            thousands(table.deleted.len() as u64)
        ))
        .at(file.to_string())
        .hint("they do not belong together: copy both from the same place"));
    }
    let mut shapes = Vec::with_capacity(places.len());
    for (k, place) in places.iter().enumerate().filter(|(k, _)| !table.deleted[*k]) {
        shapes.push(match place {
            Some((from, end)) => shape(&parts.shp[..*end], *from, k, file)?,
            None => Vec::new(),
        });
    }
    Ok(Features {
        values: table.values,
        shapes,
        crs,
        edges: Edges::Planar,
        warnings: table.warnings,
    })
}

fn damaged(why: &str, file: &str) -> Error {
    Error::data(format!("the .shp file is damaged: {why}"))
        .at(file.to_string())
        .hint("fetch the file again")
}

/// A number of the headers: of 32 bits, most significant byte first.
fn big(b: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?) as usize)
}

fn begins_like_one(b: &[u8]) -> bool {
    b.len() >= 100 && b[..4] == [0, 0, 0x27, 0x0a]
}

/// Where a record's content begins and ends; nothing for a shape that is not there.
type Places = Vec<Option<(usize, usize)>>;

/// By the .shx: the records may stand in any order, with gaps between them.
fn listed(shx: &[u8], shp: &[u8], file: &str) -> Result<Places> {
    if !begins_like_one(shp) {
        return Err(damaged("it does not begin like one", file));
    }
    let lies = |why: &str| LYING_SHX.error(&[why]).at(file.to_string());
    if !begins_like_one(shx) {
        return Err(lies("does not begin like one"));
    }
    let bytes = 2 * big(shx, 24).unwrap_or(0);
    // Writers that broke off leave the length 0; what is there counts then.
    let bytes = if bytes < 100 { shx.len() } else { bytes };
    if bytes > shx.len() {
        return Err(lies("ends too early"));
    }
    let mut out = Vec::with_capacity((bytes - 100) / 8);
    let mut seen = HashSet::with_capacity((bytes - 100) / 8);
    for (k, entry) in shx[100..bytes].chunks_exact(8).enumerate() {
        let at = 2 * big(entry, 0).unwrap_or(0);
        let length = 2 * big(entry, 4).unwrap_or(0);
        if at == 0 && length == 0 {
            out.push(None);
            continue;
        }
        let number = thousands(k as u64 + 1);
        let (from, end) = (at + 8, at + 8 + length);
        if at < 100 || length < 4 || end > shp.len() {
            return Err(lies(&format!("leads out of the .shp with record {number}")));
        }
        if big(shp, at + 4) != Some(length / 2) {
            return Err(lies(&format!("leads to no record of the .shp with record {number}")));
        }
        if !seen.insert(at) {
            return Err(lies(&format!("leads to the same place twice with record {number}")));
        }
        out.push(Some((from, end)));
    }
    Ok(out)
}

/// One after the other, where there is no .shx.
fn walked(b: &[u8], file: &str) -> Result<Places> {
    if !begins_like_one(b) {
        return Err(damaged("it does not begin like one", file));
    }
    let bytes = 2 * big(b, 24).unwrap_or(0);
    let bytes = if bytes < 100 { b.len() } else { bytes };
    if bytes > b.len() {
        return Err(damaged(
            &format!(
                "it should have {} bytes, and has {}",
                thousands(bytes as u64),
                thousands(b.len() as u64)
            ),
            file,
        ));
    }
    let mut out = Vec::new();
    let mut at = 100;
    while at + 8 <= bytes {
        let (from, end) = (at + 8, at + 8 + 2 * big(b, at + 4).unwrap_or(0));
        if end > bytes || end - from < 4 {
            let number = thousands(out.len() as u64 + 1);
            return Err(damaged(&format!("record {number} is cut short"), file));
        }
        out.push(Some((from, end)));
        at = end;
    }
    Ok(out)
}

/// The rings of one record, which ends with `b`.
fn shape(b: &[u8], from: usize, row: usize, file: &str) -> Result<Shape> {
    let int = |at: usize| -> Option<i32> {
        Some(i32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
    };
    let float = |at: usize| -> Option<f64> {
        Some(f64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?))
    };
    let name = match int(from).unwrap_or(-1) {
        0 => return Ok(Vec::new()),
        5 | 15 | 25 => "",
        1 | 11 | 21 => "point",
        3 | 13 | 23 => "line",
        8 | 18 | 28 => "set of points",
        31 => "multipatch",
        _ => "shape of an unknown type",
    };
    if !name.is_empty() {
        return Err(not_polygons(name, row, file));
    }
    let rings = (|| -> Option<Vec<_>> {
        let parts = usize::try_from(int(from + 36)?).ok()?;
        let points = usize::try_from(int(from + 40)?).ok()?;
        let first = from + 44 + parts.checked_mul(4)?;
        if first.checked_add(points.checked_mul(16)?)? > b.len() {
            return None;
        }
        let mut rings = Vec::with_capacity(parts);
        for k in 0..parts {
            let a = usize::try_from(int(from + 44 + 4 * k)?).ok()?;
            let z =
                if k + 1 < parts { usize::try_from(int(from + 48 + 4 * k)?).ok()? } else { points };
            if a > z || z > points {
                return None;
            }
            let mut ring = Vec::with_capacity(z - a);
            for p in a..z {
                ring.push([float(first + 16 * p)?, float(first + 16 * p + 8)?]);
            }
            rings.push(ring);
        }
        Some(rings)
    })();
    let number = thousands(row as u64 + 1);
    let rings = rings
        .ok_or_else(|| damaged(&format!("the rings of record {number} lie outside of it"), file))?;
    Ok(polygons_of(rings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_shapefile_is_an_error() {
        assert!(walked(b"hello", "x.shp").is_err());
        assert!(listed(b"hello", b"hello", "x.shp").is_err());
    }
}
