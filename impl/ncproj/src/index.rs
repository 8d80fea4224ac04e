//! The index: which cells each region covers, and to what share. Made once for a grid and a set of regions, and kept.

use crate::carry::{Carried, Numbers};
use crate::coverage::{Covered, Coverer};
use crate::crs::{Projection, System};
use crate::curvilinear::Quads;
use crate::error::{Error, Result, base_name, open, thousands};
use crate::grid::{Axis, Grid, Named};
use crate::meridian::Understood;
use crate::netcdf::Source;
use crate::partial::Partial;
use crate::project::{Areas, Projector, Scale, scale};
use crate::regions::Regions;
use crate::repair::{Repair, prepare};
use crate::threads::helpers;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const MAGIC: &[u8; 8] = b"ncprojix";
/// Format 2 is that of a projected grid: it has the plane's scale too; format 3 that of a curvilinear one: it has centres and
/// areas of cells; format 4 that of any grid with carried columns. All others stay in format 1.
const NEWEST: u32 = 4;
const HASH: usize = 32;
/// Versions whose shares are no longer those of the same regions and grid.
const EARLIER: [&str; 1] = ["ncproj 0.1."];

pub struct Index {
    pub grid: Grid,
    pub keys: Vec<String>,
    pub key_name: String,
    /// The share of each region within the grid.
    pub inside: Vec<f64>,
    /// Pairs of region r: starts[r]..starts[r + 1].
    pub starts: Vec<u64>,
    /// row * columns + column, in the order of the file the grid came from.
    pub cells: Arc<Vec<u32>>,
    pub shares: Arc<Vec<f64>>,
    /// How large the plane of a projected grid shows the Earth; nothing where rows and columns say all.
    pub scale: Option<Scale>,
    /// The grid's coordinates, where the user had to name them.
    pub named: Option<Named>,
    pub regions_file: String,
    pub regions_fingerprint: String,
    pub cut: u64,
    pub rebuilt: u64,
    /// Other attributes of the regions.
    pub carried: Carried,
}

/// What making an index has to tell.
#[derive(Default)]
pub struct Notes {
    /// Put together over the date line.
    pub unwrapped: Vec<String>,
    /// Edges of more than 270 degrees, taken as drawn.
    pub long: Vec<String>,
    /// Closed at a pole.
    pub poles: Vec<String>,
    pub outside: Vec<String>,
    pub partly: Vec<(String, f64)>,
    pub without_area: Vec<String>,
}

struct One {
    covered: Covered,
    repair: Repair,
    understood: Understood,
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
    if let Some(cells) = &grid.quads {
        cells.prepare()?;
    }
    let projector = Projector::new(&grid, grid_file)?;
    let scale = scale(&grid, grid_file, threads)?;
    let count = regions.shapes.len();
    let no_place = |k: usize| {
        Error::data(format!(
            "the projection has no place for a corner of region `{}`",
            regions.keys[k]
        ))
        .at(format!("{} and {grid_file}: {}", regions.file, grid.describe()))
        .hint("cut the region, or the file, to where the projection is defined")
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut coverer = Coverer::new(&grid);
        let cell_areas = Areas::new(&grid, scale.as_ref());
        let mut out: Vec<(usize, Result<One>)> = Vec::new();
        loop {
            let k = next.fetch_add(1, Ordering::Relaxed);
            if k >= count {
                return out;
            }
            let p = match prepare(&regions.shapes[k]) {
                Ok(p) => p,
                Err(doubt) => {
                    out.push((k, Err(doubt.error(&regions.keys[k]).at(regions.file.clone()))));
                    continue;
                }
            };
            let covered = match &projector {
                None => Some(coverer.cover(&p.loops)),
                Some(plane) => plane.cover(&mut coverer, &p.loops, &cell_areas),
            };
            let one = |covered| One { covered, repair: p.repair, understood: p.understood };
            out.push((k, covered.map(one).ok_or_else(|| no_place(k))));
        }
    };
    let mut found: Vec<(usize, Result<One>)> = std::thread::scope(|s| {
        let others = helpers(s, threads.max(1) - 1, work);
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
    for (_, one) in found {
        all.push(one?);
    }
    drop(projector);
    if let Some(e) = grid.quads.as_ref().and_then(|q| q.overlap()) {
        return Err(e);
    }

    let pairs: usize = all.iter().map(|o| o.covered.pairs.len()).sum();
    let mut notes = Notes::default();
    let mut index = Index {
        grid,
        keys: regions.keys.clone(),
        key_name: regions.key_name.clone(),
        inside: Vec::with_capacity(count),
        starts: Vec::with_capacity(count + 1),
        cells: Arc::default(),
        shares: Arc::default(),
        scale,
        named: None,
        regions_file: regions.file.clone(),
        regions_fingerprint: regions.fingerprint(),
        cut: 0,
        rebuilt: 0,
        carried: Carried::new(regions.carried.clone()),
    };
    let (mut cells, mut shares) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
    index.starts.push(0);
    for (key, one) in regions.keys.iter().zip(&all) {
        for (cell, share) in &one.covered.pairs {
            cells.push(*cell);
            shares.push(*share);
        }
        index.starts.push(cells.len() as u64);
        index.inside.push(one.covered.inside);
        index.cut += u64::from(one.repair == Repair::Cut);
        index.rebuilt += u64::from(one.repair == Repair::Rebuilt);
        for (is, names) in [
            (one.understood.crossing, &mut notes.unwrapped),
            (one.understood.long, &mut notes.long),
            (one.understood.pole, &mut notes.poles),
        ] {
            if is {
                names.push(key.clone());
            }
        }
        if one.covered.area <= 0.0 {
            notes.without_area.push(key.clone());
        } else if one.covered.pairs.is_empty() {
            notes.outside.push(key.clone());
        } else if one.covered.inside < 1.0 {
            notes.partly.push((key.clone(), one.covered.inside));
        }
    }
    if cells.is_empty() {
        return Err(Error::data("no region touches the grid")
            .at(format!("{} and {grid_file}: {}", regions.file, index.grid.describe()))
            .hint("check that both are of the same part of the world"));
    }
    (index.cells, index.shares) = (Arc::new(cells), Arc::new(shares));
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
        if !self.carried.is_empty() {
            h.update(b"carried");
            h.update(self.carried.fingerprint.as_bytes());
        }
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
        if let Some(n) = &self.named {
            v["grid"]["named"] = json!([n.lat, n.lon, n.plane]);
        }
        if !self.carried.is_empty() {
            v["carried"] = self.carried.header();
        }
        if let Some(d) = &self.grid.datum {
            v["grid"]["datum"] = json!({"name": d.name, "system": d.text});
        }
        if let Some(p) = &self.grid.projection {
            v["grid"]["projection"] = json!(p.text);
            if let Some(s) = &self.scale {
                v["grid"]["block"] = json!(s.block);
            }
        }
        if let Some(q) = &self.grid.quads {
            v["grid"]["curvilinear"] = json!(q.origin);
        }
        v
    }

    fn version(&self) -> u32 {
        match (&self.grid.quads, &self.grid.projection) {
            _ if !self.carried.is_empty() => 4,
            (Some(_), _) => 3,
            (None, Some(_)) => 2,
            (None, None) => 1,
        }
    }

    /// The file that the grid came from is not in it: any file on the grid makes the same index, to the byte.
    ///
    /// Magic, version, length of the header, header (JSON), arrays (little-endian), BLAKE3 of all before.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut b: Vec<u8> = Vec::with_capacity(self.cells.len() * 12 + 65536);
        b.extend(MAGIC);
        b.extend(self.version().to_le_bytes());
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
        self.carried.put(&mut b);
        b.extend(self.inside.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.starts.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.cells.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.shares.iter().flat_map(|v| v.to_le_bytes()));
        b.extend(self.scale.iter().flat_map(|s| &s.density).flat_map(|v| v.to_le_bytes()));
        if let Some(q) = &self.grid.quads {
            b.extend(q.centres().iter().flatten().flat_map(|v| v.to_le_bytes()));
            b.extend(q.areas().iter().flat_map(|v| v.to_le_bytes()));
        }
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

    /// Read in one pass: the pairs of many regions are most of what a run has in memory, and are there once.
    pub fn load(path: &Path) -> Result<Index> {
        let failed = |e| Error::file("read", path, e);
        let name = base_name(path);
        let again = "make it again with `ncproj index`";
        let wrong = |what: String| Error::data(what).at(path.display().to_string()).hint(again);
        let file = open(path)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut head = [0u8; 12];
        let body = bytes.checked_sub(HASH as u64).filter(|b| *b >= 20);
        let begun = match file.read_exact(&mut head) {
            Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => return Err(failed(e)),
            other => other,
        };
        let (Some(body), Ok(())) = (body, begun) else {
            return Err(wrong(format!("`{name}` is not an index of ncproj")));
        };
        if &head[..8] != MAGIC {
            return Err(wrong(format!("`{name}` is not an index of ncproj")));
        }
        let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        if !(1..=NEWEST).contains(&version) {
            return Err(wrong(format!(
                "`{name}` is an index of format {version}, this ncproj reads formats 1 to {NEWEST}"
            )));
        }
        let mut parts = Parts { file, left: body - 12, hasher: blake3::Hasher::new(), error: None };
        parts.hasher.update(&head);
        let index = parse(&mut parts);
        let hash = parts.finish().map_err(failed)?;
        match index {
            _ if !hash => Err(wrong(format!("`{name}` is damaged: its checksum is wrong"))),
            None => Err(wrong(format!("`{name}` is damaged: its parts do not fit"))),
            Some((tool, _)) if EARLIER.iter().any(|e| tool.starts_with(e)) => Err(wrong(format!(
                "`{name}` was made by {tool}, which covered overlapping parts and rings over the date line otherwise"
            ))),
            Some((_, index)) => Ok(index),
        }
    }

    /// Opens a file whose grid is to be that of the index.
    pub fn open(&self, path: &Path) -> Result<Source> {
        let mut source = Source::open(path)?;
        if let Some(named) = &self.named {
            named.apply(&mut source)?;
        }
        Ok(source)
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
        v["format"] = json!(format!("ncproj index {}", self.version()));
        v["outside"] = json!(count(&|k| self.pairs(k).is_empty()));
        v["partly_outside"] = json!(count(&|k| !self.pairs(k).is_empty() && self.inside[k] < 1.0));
        let edges = |a: &Axis| json!([a.edges[0], a.edges[a.len()]]);
        v["grid"]["lat"]["extent"] = edges(&self.grid.lat);
        v["grid"]["lon"]["extent"] = edges(&self.grid.lon);
        if let Some(q) = &self.grid.quads {
            let [west, south, east, north] = q.extent();
            v["grid"]["lat"]["extent"] = json!([south, north]);
            v["grid"]["lon"]["extent"] = json!([west, east]);
        }
        v
    }
}

/// An index that is read from its beginning to its end, and hashed on the way.
struct Parts {
    file: BufReader<File>,
    /// Bytes before the hash that are still to come.
    left: u64,
    hasher: blake3::Hasher,
    error: Option<std::io::Error>,
}

impl Parts {
    /// The next `count` numbers of `N` bytes each. Nothing is taken from memory that the file does not have.
    fn numbers<const N: usize, T>(&mut self, count: usize, of: fn([u8; N]) -> T) -> Option<Vec<T>> {
        let bytes = u64::try_from(count.checked_mul(N)?).ok()?;
        self.left = self.left.checked_sub(bytes)?;
        let mut out = Vec::with_capacity(count);
        let mut piece = [0u8; 8192];
        while out.len() < count {
            let some = &mut piece[..((count - out.len()) * N).min(8192 / N * N)];
            if let Err(e) = self.file.read_exact(some) {
                self.error = Some(e);
                return None;
            }
            self.hasher.update(some);
            out.extend(some.as_chunks::<N>().0.iter().map(|b| of(*b)));
        }
        Some(out)
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        self.numbers(count, |[b]| b)
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f64>> {
        self.numbers(count, f64::from_le_bytes)
    }

    /// Is the hash at the end that of all before? What is left is read, too: a file of which parts do not fit is most often
    /// a damaged one.
    fn finish(mut self) -> std::io::Result<bool> {
        while self.error.is_none() && self.left > 0 {
            self.bytes(self.left.min(1 << 20) as usize);
        }
        let mut kept = [0u8; HASH];
        match self.error {
            Some(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Some(e) => return Err(e),
            None => self.file.read_exact(&mut kept)?,
        }
        Ok(self.hasher.finalize().as_bytes() == &kept)
    }
}

impl Numbers for Parts {
    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        Parts::bytes(self, count)
    }

    fn eights(&mut self, count: usize) -> Option<Vec<[u8; 8]>> {
        self.numbers(count, |b| b)
    }
}

/// The program that made it, and the index.
fn parse(parts: &mut Parts) -> Option<(String, Index)> {
    let len = parts.numbers(1, u64::from_le_bytes)?[0];
    let header: Value = serde_json::from_slice(&parts.bytes(usize::try_from(len).ok()?)?).ok()?;
    let text = |v: &Value| v.as_str().map(str::to_string);
    let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    let mut axis = |v: &Value| -> Option<Axis> {
        Some(Axis {
            name: text(&v["name"])?,
            dim: text(&v["dimension"])?,
            edges: parts.floats(number(&v["cells"])?.checked_add(1)?)?,
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
    let datum = match &header["grid"]["datum"] {
        Value::Null => None,
        d => Some(System { name: text(&d["name"])?, text: text(&d["system"])?, geographic: true }),
    };
    let global = header["grid"]["global"].as_bool()?;
    let mut grid = Grid { lat, lon, global, projection, quads: None, datum };
    let regions = number(&header["regions"]["count"])?;
    let pairs = number(&header["pairs"])?;
    let mut keys = Vec::new();
    for _ in 0..regions {
        let n = parts.numbers(1, u32::from_le_bytes)?[0] as usize;
        keys.push(String::from_utf8(parts.bytes(n)?).ok()?);
    }
    let carried = Carried::get(&header["carried"], regions, parts)?;
    let inside = parts.floats(regions)?;
    let starts = parts.numbers(regions.checked_add(1)?, u64::from_le_bytes)?;
    let cells = parts.numbers(pairs, u32::from_le_bytes)?;
    let shares = parts.floats(pairs)?;
    let scale = match planar {
        true => {
            let block = number(&header["grid"]["block"]).filter(|b| *b > 0)?;
            let [rows, columns] = Scale::shape(&grid, block);
            Some(Scale { block, density: parts.floats(rows.checked_mul(columns)?)? })
        }
        false => None,
    };
    if let Some(origin) = header["grid"]["curvilinear"].as_str() {
        let pair = |b: [u8; 16]| {
            let [x, y] = [0, 8].map(|k| f64::from_le_bytes(std::array::from_fn(|i| b[k + i])));
            [x, y]
        };
        let shape = [grid.lat.len(), grid.lon.len()];
        let n = grid.cells();
        let centres = parts.numbers(n, pair)?;
        let areas = parts.floats(n)?;
        let digest = text(&header["grid"]["fingerprint"])?;
        let quads = Quads::of_index(shape, centres, areas, digest, origin.to_string())?;
        grid.quads = Some(Arc::new(quads));
    }
    let ordered = starts.windows(2).all(|w| w[0] <= w[1])
        && starts.first() == Some(&0)
        && starts.last() == Some(&(pairs as u64));
    let rises =
        |a: &Axis| a.edges.iter().all(|e| e.is_finite()) && a.edges.windows(2).all(|w| w[0] < w[1]);
    if !rises(&grid.lat) || !rises(&grid.lon) || shares.iter().any(|s| !(0.0..=1.0).contains(s)) {
        return None;
    }
    if !ordered || cells.iter().any(|c| *c as usize >= grid.cells()) || parts.left > 0 {
        return None;
    }
    let named = match &header["grid"]["named"] {
        Value::Null => None,
        n => Some(Named { lat: text(&n[0])?, lon: text(&n[1])?, plane: n[2].as_bool()? }),
    };
    let index = Index {
        grid,
        keys,
        key_name: text(&header["key"])?,
        inside,
        starts,
        cells: Arc::new(cells),
        shares: Arc::new(shares),
        scale,
        named,
        regions_file: text(&header["regions"]["file"])?,
        regions_fingerprint: text(&header["regions"]["fingerprint"])?,
        cut: header["regions"]["cut"].as_u64()?,
        rebuilt: header["regions"]["rebuilt"].as_u64()?,
        carried,
    };
    Some((text(&header["tool"])?, index))
}
