//! Files of regions and indexes that are cut short or have bits turned: an error or an answer, but no panic, no hang and
//! no memory beyond a bound.

mod common;
use common::*;
use ncproj::grid::{self, Grid};
use ncproj::index::{self, Index};
use ncproj::netcdf::Source;
use ncproj::regions;
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes in use now, and at the most.
struct Counted;
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator; beside it only two numbers are kept.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The files here have 10 kB, and their readers need no more than this.
const BOUND: usize = 128 << 20;
const LONGEST: Duration = Duration::from_secs(5);

/// xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// What becomes of a file: cut short, one bit turned, a run of bytes set to 0 or 255, four bytes made a huge number.
fn mutants(whole: &[u8], count: usize, seed: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut random = Random(seed);
    (0..count).map(move |k| {
        let mut b = whole.to_vec();
        let at = random.below(b.len());
        let what = match k % 5 {
            0 => {
                b.truncate(at);
                "cut"
            }
            1 | 2 => {
                b[at] ^= 1 << random.below(8);
                "bit"
            }
            3 => {
                let value = if random.below(2) == 0 { 0 } else { 255 };
                let end = b.len().min(at + 1 + random.below(16));
                b[at..end].fill(value);
                "run"
            }
            _ => {
                let end = b.len().min(at + 4);
                b[at..end].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f][..end - at]);
                "huge"
            }
        };
        (format!("{what} at {at} (number {k})"), b)
    })
}

fn survives(name: &str, whole: &[u8], count: usize, mut read: impl FnMut(&[u8]) -> bool) {
    let (mut fine, mut refused) = (0, 0);
    for (what, bytes) in mutants(whole, count, 0x9e37_79b9_7f4a_7c15) {
        let start = Instant::now();
        let before = NOW.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        match catch_unwind(AssertUnwindSafe(|| read(&bytes))) {
            Ok(true) => fine += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("{name}: a panic, {what}"),
        }
        let used = MOST.load(Ordering::Relaxed).saturating_sub(before);
        assert!(used < BOUND, "{name}: {used} bytes, {what}");
        assert!(start.elapsed() < LONGEST, "{name}: {:?}, {what}", start.elapsed());
    }
    assert!(refused > count / 10 && fine > 0, "{name}: {fine} read, {refused} refused");
}

fn small_grid(t: &Folder) -> Grid {
    t.write("v.nc", file((38.5, 11), (248.5, 19), 1, |_, y, x| value(y, x)));
    grid::find(&mut Source::open(&t.0.join("v.nc")).unwrap(), None).unwrap()
}

#[test]
fn damaged_regions() {
    // One test for all: memory is counted for the whole process.
    let t = Folder::new("damaged");
    let grid = small_grid(&t);
    let regions_of = |path: &Path, key: &str, layer: Option<&str>| {
        let Ok(found) = regions::read(path, key, None, layer, &[], None) else { return false };
        index::build(grid.clone(), "v.nc", &found, 1).is_ok()
    };
    let json =
        geojson(&[("a", vec![area(-97.0, 42.0, -95.75, 43.0), area(-96.9, 42.1, -96.0, 42.5)])]);
    for (name, whole, key, layer, count) in [
        ("r.gpkg", std::fs::read(data("regions.gpkg")).unwrap(), "fid", Some("boxes"), 1200),
        ("p.gpkg", std::fs::read(data("regions.gpkg")).unwrap(), "id", Some("mercator"), 600),
        ("r.zip", std::fs::read(data("layers.zip")).unwrap(), "id", Some("one"), 600),
        ("r.parquet", std::fs::read(data("mercator.parquet")).unwrap(), "id", None, 1200),
        ("r.geojson", json.into_bytes(), "id", None, 800),
        ("r.fgb", std::fs::read(data("boxes.fgb")).unwrap(), "id", None, 1200),
        ("lists.parquet", std::fs::read(data("lists.parquet")).unwrap(), "id", None, 1200),
        ("zipped.zip", std::fs::read(data("packages.zip")).unwrap(), "id", Some("boxes"), 400),
    ] {
        let path = t.0.join(name);
        survives(name, &whole, count, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            regions_of(&path, key, layer)
        });
    }
    shapefiles(&t, &regions_of);
    indexes(&t);
}

/// Inside a zip a checksum guards the members; loose files have none.
fn shapefiles(t: &Folder, regions_of: &dyn Fn(&Path, &str, Option<&str>) -> bool) {
    let mut ring = Vec::new();
    for p in [[-97.0, 42.0], [-97.0, 43.0], [-95.75, 43.0], [-95.75, 42.0], [-97.0, 42.0f64]] {
        ring.extend(p.iter().flat_map(|v| v.to_le_bytes()));
    }
    let mut body = 5i32.to_le_bytes().to_vec();
    body.extend([0; 32]);
    body.extend([1i32, 5, 0].iter().flat_map(|v| v.to_le_bytes()));
    body.extend(ring);
    let mut shp = vec![0, 0, 0x27, 0x0a];
    shp.resize(100, 0);
    shp.extend(1i32.to_be_bytes());
    shp.extend((body.len() as i32 / 2).to_be_bytes());
    shp.extend(body);
    let mut dbf = vec![3, 1, 1, 1, 1, 0, 0, 0, 65, 0, 5, 0];
    dbf.resize(32, 0);
    dbf.extend(b"id\0\0\0\0\0\0\0\0\0C\0\0\0\0\x04");
    dbf.resize(64, 0);
    dbf.extend(b"\r a   \x1a");
    let prj = "PROJCS[\"x\",GEOGCS[\"x\",DATUM[\"x\",SPHEROID[\"x\",57.29577951308232,0]],PRIMEM[\"Greenwich\",0],\
               UNIT[\"Degree\",0.0174532925199433]],PROJECTION[\"Equirectangular_or_so\"],UNIT[\"Meter\",1]]";
    let path = t.0.join("s.shp");
    let mut shx = shp[..100].to_vec();
    shx.extend([0, 0, 0, 50]);
    shx.extend(((shp.len() - 108) as i32 / 2).to_be_bytes());
    t.write("s.dbf", &dbf);
    t.write("s.shp", &shp);
    survives("s.shx", &shx, 600, |bytes| {
        std::fs::write(t.0.join("s.shx"), bytes).unwrap();
        regions_of(&path, "id", None)
    });
    std::fs::remove_file(t.0.join("s.shx")).unwrap();
    survives("s.shp", &shp, 600, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        regions_of(&path, "id", None)
    });
    t.write("s.shp", &shp);
    survives("s.dbf", &dbf, 600, |bytes| {
        std::fs::write(t.0.join("s.dbf"), bytes).unwrap();
        regions_of(&path, "id", None)
    });
    t.write("s.dbf", &dbf);
    t.write("s.prj", prj);
    assert!(!regions_of(&path, "id", None), "a projection that nobody knows");
    let mercator = prj.replace("Equirectangular_or_so", "Mercator");
    survives("s.prj", mercator.as_bytes(), 600, |bytes| {
        std::fs::write(t.0.join("s.prj"), bytes).unwrap();
        regions_of(&path, "id", None)
    });
}

fn indexes(t: &Folder) {
    t.write(
        "r.geojson",
        geojson(&[
            ("a", vec![area(-97.0, 42.0, -95.75, 43.0)]),
            ("b", vec![area(0.0, 0.0, 1.0, 1.0)]),
        ]),
    );
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    let conic: &[(&str, &str)] = &[
        ("grid_mapping_name", "lambert_conformal_conic"),
        ("standard_parallel", "#30,60"),
        ("longitude_of_central_meridian", "#262.5"),
        ("latitude_of_projection_origin", "#40"),
    ];
    t.write("w.nc", plane((-900e3, 200e3, 10), (-900e3, 200e3, 10), "m", conic, |_, _| 1.0));
    t.fine("index --regions r.geojson --key id --grid w.nc -o w.idx");
    for name in ["v.idx", "w.idx"] {
        let whole = std::fs::read(t.0.join(name)).unwrap();
        let body = &whole[..whole.len() - 32];
        let path = t.0.join("x.idx");
        // With the checksum made right again: what the parser itself bears.
        survives(name, body, 1200, |bytes| {
            let mut b = bytes.to_vec();
            b.extend(blake3::hash(bytes).as_bytes());
            std::fs::write(&path, b).unwrap();
            let Ok(index) = Index::load(&path) else { return false };
            index.describe();
            let areas = index.cell_areas();
            let sum: f64 = index.cells.iter().map(|c| areas.of(*c)).sum();
            let out = t.0.join("x.csv");
            ncproj::export::write(&index, &out, true).is_ok() && !sum.is_infinite()
        });
        // And with the old checksum nothing gets through.
        for (what, bytes) in mutants(body, 300, 7) {
            let mut b = bytes.clone();
            b.extend(&whole[whole.len() - 32..]);
            std::fs::write(&path, b).unwrap();
            assert!(bytes == body || Index::load(&path).is_err(), "{name}: {what}");
        }
    }
}
