//! What the tests share: a folder of their own, small classic netCDF files, GeoJSON boxes, runs of the program.
#![allow(dead_code)] // each test file uses a part

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ncproj-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).expect("a file for the test");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect("the output")
    }

    /// Runs ncproj in the folder: exit code and stderr (stdout behind it).
    pub fn run(&self, arguments: &str) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_ncproj"))
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .output()
            .expect("ncproj runs");
        let text = [out.stderr, out.stdout].concat();
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs ncproj and expects it to be fine.
    pub fn fine(&self, arguments: &str) -> String {
        let (code, text) = self.run(arguments);
        assert_eq!(code, 0, "{arguments}\n{text}");
        text
    }

    /// The rows of a CSV output without its head.
    pub fn rows(&self, name: &str) -> Vec<Vec<String>> {
        let text = self.read(name);
        text.lines().skip(1).map(|l| l.split(',').map(str::to_string).collect()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A fixture of tests/data.
pub fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

/// GeoJSON of named polygons, each a list of rings.
pub fn geojson(regions: &[(&str, Vec<Vec<[f64; 2]>>)]) -> String {
    let features: Vec<String> = regions
        .iter()
        .map(|(id, corners)| {
            let rings: Vec<String> = corners
                .iter()
                .map(|r| {
                    let mut p: Vec<String> = r.iter().map(|p| format!("[{},{}]", p[0], p[1])).collect();
                    p.push(p[0].clone());
                    format!("[{}]", p.join(","))
                })
                .collect();
            // every ring a polygon of its own, but one that lies within the first: a hole of it
            let within = |r: &[[f64; 2]]| {
                let side = |k: usize, f: fn(f64, f64) -> f64, ring: &[[f64; 2]]| {
                    ring.iter().map(|p| p[k]).reduce(f).unwrap_or(f64::NAN)
                };
                (0..2).all(|k| {
                    side(k, f64::min, r) > side(k, f64::min, &corners[0])
                        && side(k, f64::max, r) < side(k, f64::max, &corners[0])
                })
            };
            let mut polygons: Vec<String> = Vec::new();
            for (r, text) in corners.iter().zip(&rings) {
                match polygons.first_mut() {
                    Some(first) if within(r) => *first = format!("{first},{text}"),
                    _ => polygons.push(text.clone()),
                }
            }
            let polygons: Vec<String> = polygons.iter().map(|r| format!("[{r}]")).collect();
            format!(
                r#"{{"type":"Feature","properties":{{"id":"{id}"}},"geometry":{{"type":"MultiPolygon","coordinates":[{}]}}}}"#,
                polygons.join(",")
            )
        })
        .collect();
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","))
}

/// A box by west, south, east, north.
pub fn area(w: f64, s: f64, e: f64, n: f64) -> Vec<[f64; 2]> {
    vec![[w, s], [e, s], [e, n], [w, n]]
}

/// Name, dimensions, attributes, values, type.
type Variable = (String, Vec<usize>, Vec<(String, String)>, Vec<f64>, u32);

/// A classic netCDF file, put together by hand.
#[derive(Default)]
pub struct Classic {
    dims: Vec<(String, usize)>,
    vars: Vec<Variable>,
}

pub const FLOAT: u32 = 5;
pub const DOUBLE: u32 = 6;

impl Classic {
    pub fn dim(mut self, name: &str, len: usize) -> Self {
        self.dims.push((name.into(), len));
        self
    }

    /// A variable of type FLOAT or DOUBLE with text attributes; `_FillValue` is a number, and so is what begins with `#`
    /// (`#25,45`).
    pub fn var(
        mut self,
        name: &str,
        kind: u32,
        dims: &[&str],
        attrs: &[(&str, &str)],
        values: &[f64],
    ) -> Self {
        let at = |d: &&str| self.dims.iter().position(|(n, _)| n == d).expect("a dimension");
        let dims = dims.iter().map(at).collect();
        let attrs = attrs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        self.vars.push((name.into(), dims, attrs, values.to_vec(), kind));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let int = |b: &mut Vec<u8>, v: usize| b.extend((v as u32).to_be_bytes());
        let text = |b: &mut Vec<u8>, t: &str| {
            b.extend((t.len() as u32).to_be_bytes());
            b.extend(t.as_bytes());
            b.resize(b.len().div_ceil(4) * 4, 0);
        };
        let number = |b: &mut Vec<u8>, kind: u32, v: f64| match kind {
            FLOAT => b.extend((v as f32).to_be_bytes()),
            _ => b.extend(v.to_be_bytes()),
        };
        let head = |begins: &[usize]| {
            let mut b = b"CDF\x01\0\0\0\0".to_vec();
            int(&mut b, 10);
            int(&mut b, self.dims.len());
            for (name, len) in &self.dims {
                text(&mut b, name);
                int(&mut b, *len);
            }
            b.extend([0; 8]);
            int(&mut b, 11);
            int(&mut b, self.vars.len());
            for ((name, dims, attrs, values, kind), begin) in self.vars.iter().zip(begins) {
                text(&mut b, name);
                int(&mut b, dims.len());
                dims.iter().for_each(|d| int(&mut b, *d));
                int(&mut b, if attrs.is_empty() { 0 } else { 12 });
                int(&mut b, attrs.len());
                for (attr, value) in attrs {
                    text(&mut b, attr);
                    if attr == "_FillValue" {
                        int(&mut b, *kind as usize);
                        int(&mut b, 1);
                        number(&mut b, *kind, value.parse().expect("a number"));
                    } else if let Some(list) = value.strip_prefix('#') {
                        let list: Vec<f64> =
                            list.split(',').map(|v| v.parse().expect("a number")).collect();
                        int(&mut b, DOUBLE as usize);
                        int(&mut b, list.len());
                        list.iter().for_each(|v| number(&mut b, DOUBLE, *v));
                    } else {
                        int(&mut b, 2);
                        text(&mut b, value);
                    }
                }
                int(&mut b, *kind as usize);
                int(&mut b, values.len() * 8);
                int(&mut b, *begin);
            }
            b
        };
        let mut begins = vec![0; self.vars.len()];
        let mut at = head(&begins).len();
        for (begin, (_, _, _, values, kind)) in begins.iter_mut().zip(&self.vars) {
            *begin = at;
            at += values.len() * if *kind == FLOAT { 4 } else { 8 };
        }
        let mut b = head(&begins);
        for (_, _, _, values, kind) in &self.vars {
            values.iter().for_each(|v| number(&mut b, *kind, *v));
        }
        b
    }
}

/// A projected grid: y and x (first centre, step, count) in `units`, a mapping, and `v` with the values of `f(y, x)`.
pub fn plane(
    y: (f64, f64, usize),
    x: (f64, f64, usize),
    units: &str,
    mapping: &[(&str, &str)],
    f: impl Fn(f64, f64) -> f64,
) -> Vec<u8> {
    let axis =
        |(from, step, n): (f64, f64, usize)| (0..n).map(|k| from + step * k as f64).collect();
    let (ys, xs): (Vec<f64>, Vec<f64>) = (axis(y), axis(x));
    let values: Vec<f64> = ys.iter().flat_map(|y| xs.iter().map(|x| f(*y, *x))).collect();
    let rotated = units.starts_with("degree");
    let names = match rotated {
        true => ["grid_latitude", "grid_longitude"],
        false => ["projection_y_coordinate", "projection_x_coordinate"],
    };
    Classic::default()
        .dim("y", y.2)
        .dim("x", x.2)
        .dim("one", 1)
        .var("y", DOUBLE, &["y"], &[("units", units), ("standard_name", names[0])], &ys)
        .var("x", DOUBLE, &["x"], &[("units", units), ("standard_name", names[1])], &xs)
        .var("crs", DOUBLE, &["one"], mapping, &[0.0])
        .var("v", FLOAT, &["y", "x"], &[("grid_mapping", "crs")], &values)
        .bytes()
}

pub const NORTH: &[(&str, &str)] = &[("units", "degrees_north")];
pub const EAST: &[(&str, &str)] = &[("units", "degrees_east")];

/// The value of the hand-computed cases.
pub fn value(lat: f64, lon: f64) -> f64 {
    10.0 * lat + lon - 250.0
}

/// Cells of 1 degree over lat x lon (first centre, count), `steps` days since 2005-01-01 that all hold
/// `f(step, lat, lon)`.
pub fn file(
    lat: (f64, usize),
    lon: (f64, usize),
    steps: usize,
    f: impl Fn(usize, f64, f64) -> f64,
) -> Vec<u8> {
    let axis = |(from, n): (f64, usize)| (0..n).map(|k| from + k as f64).collect::<Vec<f64>>();
    let (lats, lons) = (axis(lat), axis(lon));
    let mut values = Vec::new();
    for s in 0..steps {
        for y in &lats {
            values.extend(lons.iter().map(|x| f(s, *y, *x)));
        }
    }
    let times: Vec<f64> = (0..steps).map(|s| s as f64).collect();
    Classic::default()
        .dim("time", steps)
        .dim("lat", lat.1)
        .dim("lon", lon.1)
        .var("time", DOUBLE, &["time"], &[("units", "days since 2005-01-01")], &times)
        .var("lat", DOUBLE, &["lat"], NORTH, &lats)
        .var("lon", DOUBLE, &["lon"], EAST, &lons)
        .var(
            "v",
            FLOAT,
            &["time", "lat", "lon"],
            &[("_FillValue", "-9999"), ("units", "K")],
            &values,
        )
        .bytes()
}
