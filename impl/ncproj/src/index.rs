//! The index: which cells each region covers, and to what share. Made once for a grid and a set of regions, and kept.

use crate::coverage::{Covered, Coverer};
use crate::crs::Projection;
use crate::error::{Error, Result, base_name, read_whole, thousands};
use crate::grid::{Axis, Grid};
use crate::partial::Partial;
use crate::project::{Areas, Projector, Scale, scale};
use crate::regions::Regions;
use crate::repair::{Repair, prepare};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const MAGIC: &[u8; 8] = b"ncprojix";
/// Format 2 is that of a projected grid: it has the plane's scale too. All others stay in format 1.
const VERSIONS: [u32; 2] = [1, 2];
const HASH: usize = 32;

pub struct Index {
    pub grid: Grid,
    pub keys: Vec<String>,
    pub key_name: String,
    /// The share of each region within the grid.
    pub inside: Vec<f64>,
    /// Pairs of region r: starts[r]..starts[r + 1].
    pub starts: Vec<u64>,
    /// row * columns + column, in the order of the file the grid came from.
    pub cells: Vec<u32>,
    pub shares: Vec<f64>,
    /// How large the plane of a projected grid shows the Earth; nothing where rows and columns say all.
    pub scale: Option<Scale>,
    pub regions_file: String,
    pub regions_fingerprint: String,
    pub cut: u64,
    pub rebuilt: u64,
}

/// What making an index has to tell.
#[derive(Default)]
pub struct Notes {
    pub unwrapped: Vec<String>,
    pub outside: Vec<String>,
    pub partly: Vec<(String, f64)>,
    pub without_area: Vec<String>,
}

struct One {
    covered: Covered,
    repair: Repair,
    unwrapped: bool,
}

/// Covers the grid with the regions.
pub fn build(
    grid: Grid,
    grid_file: &str,
    regions: &Regions,
    threads: usize,
) -> Result<(Index, Notes)> {
    if grid.cells() > u32::MAX as usize {
        return Err(Error::data(format!(
            "the grid has {} cells: ncproj takes at most 4,294,967,295",
            thousands(grid.cells() as u64)
        ))
        .at(format!("{grid_file}: {}", grid.describe()))
        .hint("cut the file to the part you need first"));
    }
    let projector = Projector::new(&grid, grid_file)?;
    let scale = scale(&grid, grid_file, threads)?;
    let count = regions.rings.len();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut coverer = Coverer::new(&grid);
        let cell_areas = Areas::new(&grid, scale.as_ref());
        let mut out: Vec<(usize, Option<One>)> = Vec::new();
        loop {
            let k = next.fetch_add(1, Ordering::Relaxed);
            if k >= count {
                return out;
            }
            let p = prepare(&regions.rings[k]);
            let covered = match &projector {
                None => Some(coverer.cover(&p.loops)),
                Some(plane) => plane.cover(&mut coverer, &p.loops, &cell_areas),
            };
            let one = |covered| One { covered, repair: p.repair, unwrapped: p.unwrapped };
            out.push((k, covered.map(one)));
        }
    };
    let mut found: Vec<(usize, Option<One>)> = std::thread::scope(|s| {
        let others: Vec<_> = (1..threads.max(1)).map(|_| s.spawn(work)).collect();
        let mut all = work();
        for o in others {
            match o.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    found.sort_unstable_by_key(|(k, _)| *k);
    let mut all = Vec::with_capacity(count);
    for (k, one) in found {
        all.push(one.ok_or_else(|| {
            Error::data(format!(
                "the projection has no place for a corner of region `{}`",
                regions.keys[k]
            ))
            .at(format!("{} and {grid_file}: {}", regions.file, grid.describe()))
            .hint("cut the region, or the file, to where the projection is defined")
        })?);
    }
    drop(projector);

    let pairs: usize = all.iter().map(|o| o.covered.pairs.len()).sum();
    let mut notes = Notes::default();
    let mut index = Index {
        grid,
        keys: regions.keys.clone(),
        key_name: regions.key_name.clone(),
        inside: Vec::with_capacity(count),
        starts: Vec::with_capacity(count + 1),
        cells: Vec::with_capacity(pairs),
        shares: Vec::with_capacity(pairs),
        scale,
        regions_file: regions.file.clone(),
        regions_fingerprint: regions.fingerprint(),
        cut: 0,
        rebuilt: 0,
    };
    index.starts.push(0);
    for (key, one) in regions.keys.iter().zip(&all) {
        for (cell, share) in &one.covered.pairs {
            index.cells.push(*cell);
            index.shares.push(*share);
        }
        index.starts.push(index.cells.len() as u64);
        index.inside.push(one.covered.inside);
        index.cut += u64::from(one.repair == Repair::Cut);
        index.rebuilt += u64::from(one.repair == Repair::Rebuilt);
        if one.unwrapped {
            notes.unwrapped.push(key.clone());
        }
        if one.covered.area <= 0.0 {
            notes.without_area.push(key.clone());
        } else if one.covered.pairs.is_empty() {
            notes.outside.push(key.clone());
        } else if one.covered.inside < 1.0 {
            notes.partly.push((key.clone(), one.covered.inside));
        }
    }
    if index.cells.is_empty() {
        return Err(Error::data("no region touches the grid")
            .at(format!("{} and {grid_file}: {}", regions.file, index.grid.describe()))
            .hint("check that both are of the same part of the world"));
    }
    Ok((index, notes))
}

impl Index {
    /// A name for everything that a result depends on: the grid, the regions, and how coverage is worked out.
    pub fn fingerprint(&self) -> String {
        let mut h = blake3::Hasher::new();
        h.update(b"ncproj index 1");
        h.update(self.grid.fingerprint().as_bytes());
        h.update(self.regions_fingerprint.as_bytes());
        h.update(self.key_name.as_bytes());
        h.finalize().to_hex()[..32].to_string()
    }

    fn header(&self) -> Value {
        let axis = |a: &Axis| {
            json!({"name": a.name, "dimension": a.dim, "cells": a.len(), "descending": a.descending,
                   "regular": a.regular, "bounds": a.from_bounds})
        };
        let mut v = json!({
            "tool": concat!("ncproj ", env!("CARGO_PKG_VERSION")),
            "fingerprint": self.fingerprint(),
            "key": self.key_name,
            "regions": {"file": self.regions_file, "count": self.keys.len(),
                        "fingerprint": self.regions_fingerprint, "cut": self.cut, "rebuilt": self.rebuilt},
            "grid": {"fingerprint": self.grid.fingerprint(),
                     "lat": axis(&self.grid.lat), "lon": axis(&self.grid.lon), "global": self.grid.global},
            "pairs": self.cells.len(),
        });
        if let Some(p) = &self.grid.projection {
            v["grid"]["projection"] = json!(p.text);
            if let Some(s) = &self.scale {
                v["grid"]["block"] = json!(s.block);
            }
        }
        v
    }

    /// The file that the grid came from is not in it: any file on the grid makes the same index, to the byte.
    ///
    /// Magic, version, length of the header, header (JSON), arrays (little-endian), BLAKE3 of all before.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut b: Vec<u8> = Vec::with_capacity(self.cells.len() * 12 + 65536);
        b.extend(MAGIC);
        b.extend(VERSIONS[usize::from(self.grid.projection.is_some())].to_le_bytes());
        let header = self.header().to_string();
        b.extend((header.len() as u64).to_le_bytes());
        b.extend(header.as_bytes());
        for axis in [&self.grid.lat, &self.grid.lon] {
            b.extend(axis.edges.iter().flat_map(|v| v.to_le_bytes()));
        }
        for key in &self.keys {
            b.extend((key.len() as u32).to_le_bytes());
            b.extend(key.as_bytes());
        }
        b.extend(self.inside.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.starts.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.cells.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.shares.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.scale.iter().flat_map(|s| &s.density).flat_map(|v| v.to_le_bytes()));
        let hash = blake3::hash(&b);
        b.extend(hash.as_bytes());
        let (partial, mut file) = Partial::create(path)?;
        file.write_all(&b).map_err(|e| Error::file("write", path, e))?;
        partial.commit()
    }

    pub fn is_one(path: &Path) -> bool {
        use std::io::Read;
        let mut head = [0u8; 8];
        path.is_file() // a pipe would let us wait
            && std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut head)).is_ok()
            && &head == MAGIC
    }

    pub fn load(path: &Path) -> Result<Index> {
        let b = read_whole(path)?;
        let name = base_name(path);
        let again = "make it again with `ncproj index`";
        let wrong = |what: String| Error::data(what).at(path.display().to_string()).hint(again);
        if b.len() < 20 + HASH || &b[..8] != MAGIC {
            return Err(wrong(format!("`{name}` is not an index of ncproj")));
        }
        let version = u32::from_le_bytes([b[8], b[9], b[10], b[11]]);
        if !VERSIONS.contains(&version) {
            return Err(wrong(format!(
                "`{name}` is an index of format {version}, this ncproj reads formats 1 and 2"
            )));
        }
        let (body, hash) = b.split_at(b.len() - HASH);
        if blake3::hash(body).as_bytes() != hash {
            return Err(wrong(format!("`{name}` is damaged: its checksum is wrong")));
        }
        parse(body).ok_or_else(|| wrong(format!("`{name}` is damaged: its parts do not fit")))
    }

    pub fn pairs(&self, region: usize) -> std::ops::Range<usize> {
        self.starts[region] as usize..self.starts[region + 1] as usize
    }

    /// The areas of the grid's cells.
    pub fn cell_areas(&self) -> Areas<'_> {
        Areas::new(&self.grid, self.scale.as_ref())
    }

    /// The description that `ncproj info` shows.
    pub fn describe(&self) -> Value {
        let mut v = self.header();
        let count = |f: &dyn Fn(usize) -> bool| (0..self.keys.len()).filter(|k| f(*k)).count();
        let version = VERSIONS[usize::from(self.grid.projection.is_some())];
        v["format"] = json!(format!("ncproj index {version}"));
        v["outside"] = json!(count(&|k| self.pairs(k).is_empty()));
        v["partly_outside"] = json!(count(&|k| !self.pairs(k).is_empty() && self.inside[k] < 1.0));
        let edges = |a: &Axis| json!([a.edges[0], a.edges[a.len()]]);
        v["grid"]["lat"]["extent"] = edges(&self.grid.lat);
        v["grid"]["lon"]["extent"] = edges(&self.grid.lon);
        v
    }
}

fn parse(b: &[u8]) -> Option<Index> {
    let mut at: usize = 12;
    let mut take = |n: usize| -> Option<&[u8]> {
        let out = b.get(at..at.checked_add(n)?)?;
        at += n;
        Some(out)
    };
    let len = u64::from_le_bytes(take(8)?.try_into().ok()?);
    let header: Value = serde_json::from_slice(take(usize::try_from(len).ok()?)?).ok()?;
    let text = |v: &Value| v.as_str().map(str::to_string);
    let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    let floats = |b: &[u8]| -> Vec<f64> {
        b.as_chunks::<8>().0.iter().map(|c| f64::from_le_bytes(*c)).collect()
    };
    let mut axis = |v: &Value| -> Option<Axis> {
        let n = number(&v["cells"])?;
        Some(Axis {
            name: text(&v["name"])?,
            dim: text(&v["dimension"])?,
            edges: floats(take(n.checked_add(1)?.checked_mul(8)?)?),
            descending: v["descending"].as_bool()?,
            regular: v["regular"].as_bool()?,
            from_bounds: v["bounds"].as_bool()?,
        })
    };
    let lat = axis(&header["grid"]["lat"])?;
    let lon = axis(&header["grid"]["lon"])?;
    let projection = match header["grid"]["projection"].as_str() {
        Some(t) => Some(Projection::parse(t).ok()?),
        None => None,
    };
    let planar = projection.as_ref().is_some_and(|p| !p.is_rotated());
    let grid = Grid { lat, lon, global: header["grid"]["global"].as_bool()?, projection };
    let regions = number(&header["regions"]["count"])?;
    let pairs = number(&header["pairs"])?;
    let mut keys = Vec::new();
    for _ in 0..regions {
        let n = u32::from_le_bytes(take(4)?.try_into().ok()?) as usize;
        keys.push(String::from_utf8(take(n)?.to_vec()).ok()?);
    }
    let inside = floats(take(regions.checked_mul(8)?)?);
    let starts: Vec<u64> = take(regions.checked_add(1)?.checked_mul(8)?)?
        .as_chunks::<8>()
        .0
        .iter()
        .map(|c| u64::from_le_bytes(*c))
        .collect();
    let cells: Vec<u32> = take(pairs.checked_mul(4)?)?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|c| u32::from_le_bytes(*c))
        .collect();
    let shares = floats(take(pairs.checked_mul(8)?)?);
    let scale = match planar {
        true => {
            let block = number(&header["grid"]["block"]).filter(|b| *b > 0)?;
            let [rows, columns] = Scale::shape(&grid, block);
            Some(Scale {
                block,
                density: floats(take(rows.checked_mul(columns)?.checked_mul(8)?)?),
            })
        }
        false => None,
    };
    let ordered = starts.windows(2).all(|w| w[0] <= w[1])
        && starts.first() == Some(&0)
        && starts.last() == Some(&(pairs as u64));
    let rises =
        |a: &Axis| a.edges.iter().all(|e| e.is_finite()) && a.edges.windows(2).all(|w| w[0] < w[1]);
    if !rises(&grid.lat) || !rises(&grid.lon) || shares.iter().any(|s| !(0.0..=1.0).contains(s)) {
        return None;
    }
    if !ordered || cells.iter().any(|c| *c as usize >= grid.cells()) || at != b.len() {
        return None;
    }
    Some(Index {
        grid,
        keys,
        key_name: text(&header["key"])?,
        inside,
        starts,
        cells,
        shares,
        scale,
        regions_file: text(&header["regions"]["file"])?,
        regions_fingerprint: text(&header["regions"]["fingerprint"])?,
        cut: header["regions"]["cut"].as_u64()?,
        rebuilt: header["regions"]["rebuilt"].as_u64()?,
    })
}
