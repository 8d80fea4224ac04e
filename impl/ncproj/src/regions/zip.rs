//! Zipped files of regions: shapefiles and whatever else is read here. The crate `zip` finds the members; they are inflated
//! by the library that inflates netCDF, and checked by their CRC.

use super::{
    Features, Input, NO_SUCH_METHOD, PASSWORD, choose_layer, flatgeobuf, geojson, geopackage,
    geoparquet, shapefile,
};
use crate::error::{Error, Result, base_name, list, read_whole};
use ::zip::{CompressionMethod, ZipArchive};
use bytes::Bytes;
use std::io::Cursor;
use std::path::Path;

const MOST: u64 = 4 << 30;

pub struct Archive {
    name: String,
    bytes: Bytes,
    inner: ZipArchive<Cursor<Bytes>>,
    names: Vec<String>,
}

impl Archive {
    fn open(path: &Path) -> Result<Archive> {
        let bytes = Bytes::from(read_whole(path)?);
        let name = base_name(path);
        let broken = || {
            Error::data(format!("`{name}` is not a whole zip archive"))
                .at(path.display().to_string())
                .hint("fetch the file again: the download or the copy broke off")
        };
        let mut inner = ZipArchive::new(Cursor::new(bytes.clone())).map_err(|_| broken())?;
        let mut names = Vec::new();
        for k in 0..inner.len() {
            let member = inner.by_index_raw(k).map_err(|_| broken())?;
            let shown = member.name().map(|n| n.into_owned());
            names.push(
                shown.unwrap_or_else(|_| String::from_utf8_lossy(member.name_raw()).into_owned()),
            );
        }
        Ok(Archive { name, bytes, inner, names })
    }

    fn read(&mut self, k: usize) -> Result<Vec<u8>> {
        let member = self.names[k].clone();
        let damaged = |why: &str| {
            Error::data(format!("`{member}` in the archive is damaged: {why}"))
                .at(self.name.clone())
                .hint("fetch the file again")
        };
        let found = self.inner.by_index_raw(k).map_err(|_| damaged("it ends too early"))?;
        if found.encrypted() {
            return Err(PASSWORD.error(&[&member]).at(self.name.clone()));
        }
        let (size, packed) = (found.size(), found.compressed_size());
        let range = found.data_start().and_then(|from| {
            Some((usize::try_from(from).ok()?, usize::try_from(from.checked_add(packed)?).ok()?))
        });
        let packed = range
            .and_then(|(from, to)| self.bytes.get(from..to))
            .ok_or_else(|| damaged("it ends too early"))?;
        // Deflate packs at most 1:1032; a larger size is a lie.
        if size > MOST || size / 1040 > packed.len() as u64 + 1 {
            return Err(damaged("its size cannot be true"));
        }
        let out = match found.compression() {
            CompressionMethod::Stored => packed.to_vec(),
            CompressionMethod::DEFLATE => {
                let mut out = vec![0u8; size as usize];
                let got = libdeflater::Decompressor::new()
                    .deflate_decompress(packed, &mut out)
                    .map_err(|e| damaged(&format!("it does not inflate ({e:?})")))?;
                out.truncate(got);
                out
            }
            other => {
                return Err(NO_SUCH_METHOD.error(&[&member, &method(other)]).at(self.name.clone()));
            }
        };
        if out.len() as u64 != size || libdeflater::crc32(&out) != found.crc32() {
            return Err(damaged("its checksum is wrong"));
        }
        Ok(out)
    }
}

fn method(m: CompressionMethod) -> String {
    match m {
        CompressionMethod::DEFLATE64 => "deflate64".to_string(),
        CompressionMethod::BZIP2 => "bzip2".to_string(),
        CompressionMethod::LZMA => "LZMA".to_string(),
        CompressionMethod::ZSTD => "Zstandard".to_string(),
        CompressionMethod::XZ => "XZ".to_string(),
        CompressionMethod::AES => "encryption (AES)".to_string(),
        other => format!("method {other}"),
    }
}

/// Without its folders, which some programs of Windows part by `\\`.
fn own_name(member: &str) -> &str {
    member.rsplit(['/', '\\']).next().unwrap_or(member)
}

/// What a member holds, by its name's ending.
fn kind(name: &str) -> Option<&'static str> {
    let base = own_name(name);
    if name.split(['/', '\\']).any(|f| f == "__MACOSX") || base.starts_with("._") {
        return None;
    }
    let extension = base.rsplit_once('.')?.1.to_lowercase();
    Some(match extension.as_str() {
        "shp" => "shp",
        "gpkg" => "gpkg",
        "parquet" | "geoparquet" => "parquet",
        "geojson" | "geojsonl" | "geojsons" | "ndjson" | "jsonl" => "geojson",
        "fgb" => "fgb",
        // A shapefile's .json is about its text alone.
        "json" => "json",
        _ => return None,
    })
}

pub fn read(path: &Path, wanted: &[String], layer: Option<&str>) -> Result<Features> {
    let mut archive = Archive::open(path)?;
    let names = archive.names.clone();
    let mut members: Vec<(usize, &str)> =
        names.iter().enumerate().filter_map(|(k, n)| Some((k, kind(n)?))).collect();
    if members.iter().any(|m| m.1 != "json") {
        members.retain(|m| m.1 != "json");
    }
    let lacks = |what: &str| {
        Error::data(format!("the archive has no {what}"))
            .at(format!("{}: {}", base_name(path), list(&names, 12)))
            .hint("a zipped shapefile needs its .shp, .dbf and .prj together")
    };
    if members.is_empty() {
        return Err(lacks(".shp file"));
    }
    let base = |n: &str| own_name(n).to_string();
    let stem = |n: &str| base(n).rsplit_once('.').map_or_else(|| base(n), |(s, _)| s.to_string());
    // A layer is named by its file: `counties`, `counties.shp` or `folder/counties.shp`. A GeoPackage alone in its archive has
    // layers of its own.
    let by_file = layer
        .and_then(|l| members.iter().position(|(k, _)| names[*k] == l || base(&names[*k]) == l));
    let within = members.len() == 1 && members[0].1 == "gpkg" && by_file.is_none();
    let chosen = match by_file {
        Some(k) => k,
        None if within => 0,
        None => {
            let stems: Vec<String> = members.iter().map(|(k, _)| stem(&names[*k])).collect();
            let what = if members.iter().all(|m| m.1 == "shp") {
                "shapefiles"
            } else {
                "files of regions"
            };
            choose_layer(&stems, layer, &archive.name, what)?
        }
    };
    let (place, kind) = members[chosen];
    let file = archive.name.clone();
    if kind != "shp" {
        let input = Input {
            name: format!("{file}: {}", names[place]),
            bytes: Bytes::from(archive.read(place)?),
        };
        return match kind {
            "gpkg" => geopackage::read_bytes(&input, wanted, layer.filter(|_| within)),
            "parquet" => geoparquet::read_bytes(&input, wanted),
            "fgb" => flatgeobuf::read(&input, wanted),
            _ => geojson::read(&input, wanted),
        };
    }
    let shape = &names[place];
    let own = &shape[..shape.len() - 4];
    let sister = |e: &str| {
        names
            .iter()
            .position(|n| {
                n.rsplit_once('.').is_some_and(|(s, x)| s == own && x.eq_ignore_ascii_case(e))
            })
            .or_else(|| {
                names.iter().position(|n| {
                    n.rsplit_once('.').is_some_and(|(s, x)| {
                        s.to_lowercase() == own.to_lowercase() && x.eq_ignore_ascii_case(e)
                    })
                })
            })
    };
    let Some(table) = sister("dbf") else {
        return Err(lacks(".dbf file (the fields)"));
    };
    let (shx, cpg, prj) = (sister("shx"), sister("cpg").or_else(|| sister("cst")), sister("prj"));
    let mut optional = |k: Option<usize>| k.map(|k| archive.read(k)).transpose();
    let (shx, cpg, prj) = (optional(shx)?, optional(cpg)?, optional(prj)?);
    let parts =
        shapefile::Parts { shp: archive.read(place)?, shx, dbf: archive.read(table)?, cpg, prj };
    shapefile::assemble(&parts, wanted, &file)
}
