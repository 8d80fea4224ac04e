//! netCDF: the classic format with 64-bit offsets, as CF's discrete sampling geometry `timeSeries`.
//!
//! One series per region; the key is its `timeseries_id`, the middle of its cells its place. Steps are records, so that they can be
//! written as they come.

use super::{Labels, Rows, Shape, Sink, Target, target};
use crate::carry::BEYOND_NETCDF;
use crate::error::{Error, Result};
use crate::regions::Column;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const BYTE_CHAR: u32 = 2;
const INT: u32 = 4;
const DOUBLE: u32 = 6;
/// A missing integer.
const NO_INT: i32 = i32::MIN;
/// Up to here float64 holds all integers.
const EXACT: i64 = 1 << 53;

struct Var {
    name: String,
    dims: Vec<usize>,
    attrs: Vec<(String, String)>,
    kind: u32,
    /// Missing values are NaN, or the lowest integer, and said to be.
    fill: bool,
    record: bool,
    /// Bytes of all values, or of one record's.
    size: u64,
    begin: u64,
}

pub struct Netcdf {
    target: Target,
    path: PathBuf,
    /// The statistics: where the first record of each begins, and how many bytes a record of it has.
    begins: Vec<u64>,
    time: Option<u64>,
    record: u64,
    regions: usize,
    /// Steps per record.
    each: usize,
    done: usize,
}

/// Names as netCDF has them: no `/`, no blanks at the end, nothing but printable characters.
fn plain(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    let name = name.trim_end().to_string();
    if name.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        name
    } else {
        format!("_{name}")
    }
}

fn padded(n: u64) -> u64 {
    n.div_ceil(4) * 4
}

fn put_text(b: &mut Vec<u8>, text: &str) {
    b.extend((text.len() as u32).to_be_bytes());
    b.extend(text.as_bytes());
    b.resize(padded(b.len() as u64) as usize, 0);
}

/// `fill` is of a variable of this type.
fn put_attrs(b: &mut Vec<u8>, attrs: &[(String, String)], fill: Option<u32>) {
    let count = attrs.len() + usize::from(fill.is_some());
    b.extend(if count == 0 { 0u32 } else { 12 }.to_be_bytes());
    b.extend((count as u32).to_be_bytes());
    if let Some(kind) = fill {
        put_text(b, "_FillValue");
        b.extend(kind.to_be_bytes());
        b.extend(1u32.to_be_bytes());
        match kind {
            INT => b.extend(NO_INT.to_be_bytes()),
            _ => b.extend(f64::NAN.to_be_bytes()),
        }
    }
    for (name, value) in attrs {
        put_text(b, name);
        b.extend(BYTE_CHAR.to_be_bytes());
        put_text(b, value);
    }
}

fn header(
    records: u32,
    dims: &[(String, u64)],
    globals: &[(String, String)],
    vars: &[Var],
) -> Vec<u8> {
    let mut b = b"CDF\x02".to_vec();
    b.extend(records.to_be_bytes());
    b.extend(10u32.to_be_bytes());
    b.extend((dims.len() as u32).to_be_bytes());
    for (name, len) in dims {
        put_text(&mut b, name);
        b.extend((*len as u32).to_be_bytes());
    }
    put_attrs(&mut b, globals, None);
    b.extend(11u32.to_be_bytes());
    b.extend((vars.len() as u32).to_be_bytes());
    for v in vars {
        put_text(&mut b, &v.name);
        b.extend((v.dims.len() as u32).to_be_bytes());
        v.dims.iter().for_each(|d| b.extend((*d as u32).to_be_bytes()));
        put_attrs(&mut b, &v.attrs, v.fill.then_some(v.kind));
        b.extend(v.kind.to_be_bytes());
        b.extend(u32::try_from(padded(v.size)).unwrap_or(u32::MAX).to_be_bytes());
        b.extend(v.begin.to_be_bytes());
    }
    b
}

/// Texts as rows of a char matrix.
fn chars(texts: &[String]) -> (u64, Vec<u8>) {
    let width = texts.iter().map(String::len).max().unwrap_or(0).max(1);
    let mut out = Vec::with_capacity(width * texts.len());
    for t in texts {
        out.extend(t.as_bytes());
        out.resize(out.len() + width - t.len(), 0);
    }
    (width as u64, out)
}

impl Netcdf {
    pub fn new(target: Target, shape: Shape) -> Result<Netcdf> {
        let path = target.path().to_path_buf();
        let attr = |n: &str, v: &str| (n.to_string(), v.to_string());
        let regions = shape.keys.len();
        let each: usize = shape.axes.iter().map(|(_, l)| l.len()).product();
        let mut dims: Vec<(String, u64)> = Vec::new();
        if shape.has_time {
            dims.push(("time".to_string(), 0)); // 0 says: as many as there are records
        }
        let region_dim = dims.len();
        dims.push(("region".to_string(), regions as u64));
        let mut vars: Vec<Var> = Vec::new();
        let mut data: Vec<Vec<u8>> = Vec::new();
        let mut fixed = |name: String, dims: Vec<usize>, attrs, kind, fill, bytes: Vec<u8>| {
            let size = bytes.len() as u64;
            vars.push(Var { name, dims, attrs, kind, fill, record: false, size, begin: 0 });
            data.push(bytes);
        };
        let key = plain(&shape.key_name);
        let (width, bytes) = chars(&shape.keys);
        dims.push((format!("{key}_length"), width));
        let attrs = vec![attr("long_name", "name of the region"), attr("cf_role", "timeseries_id")];
        fixed(key.clone(), vec![region_dim, dims.len() - 1], attrs, BYTE_CHAR, false, bytes);
        for (name, column) in &shape.carried {
            let attrs = vec![attr("long_name", &format!("{name} of the region"))];
            let variable = plain(name);
            match column {
                // Characters know no missing text: it is empty.
                Column::Text(v) => {
                    let texts: Vec<String> =
                        v.iter().map(|t| t.clone().unwrap_or_default()).collect();
                    let (width, bytes) = chars(&texts);
                    dims.push((format!("{variable}_length"), width));
                    fixed(
                        variable,
                        vec![region_dim, dims.len() - 1],
                        attrs,
                        BYTE_CHAR,
                        false,
                        bytes,
                    );
                }
                Column::Int(v) => {
                    let short = |n: &i64| i32::try_from(*n).is_ok_and(|n| n != NO_INT);
                    let far = |n: &&i64| n.unsigned_abs() > EXACT.unsigned_abs();
                    if v.iter().flatten().all(short) {
                        let one = |n: &Option<i64>| n.map_or(NO_INT, |n| n as i32).to_be_bytes();
                        let nulls = v.iter().any(Option::is_none);
                        let bytes = v.iter().flat_map(one).collect();
                        fixed(variable, vec![region_dim], attrs, INT, nulls, bytes);
                    } else if let Some(n) = v.iter().flatten().find(far) {
                        return Err(BEYOND_NETCDF
                            .error(&[name, &n.to_string()])
                            .at(path.display().to_string()));
                    } else {
                        let one = |n: &Option<i64>| n.map_or(f64::NAN, |n| n as f64).to_be_bytes();
                        let bytes = v.iter().flat_map(one).collect();
                        fixed(variable, vec![region_dim], attrs, DOUBLE, true, bytes);
                    }
                }
                Column::Float(v) => {
                    let one = |n: &Option<f64>| n.unwrap_or(f64::NAN).to_be_bytes();
                    let bytes = v.iter().flat_map(one).collect();
                    fixed(variable, vec![region_dim], attrs, DOUBLE, true, bytes);
                }
            }
        }
        for (k, name, units) in [(0, "latitude", "degrees_north"), (1, "longitude", "degrees_east")]
        {
            let bytes = shape.centres.iter().flat_map(|c| c[k].to_be_bytes()).collect();
            let attrs = vec![
                attr("standard_name", name),
                attr("units", units),
                attr("long_name", &format!("{name} of the middle of the region's cells")),
            ];
            fixed(name.to_string(), vec![region_dim], attrs, DOUBLE, true, bytes);
        }
        let mut axis_dims = Vec::new();
        for (name, labels) in &shape.axes {
            let name = plain(name);
            let dim = dims.len();
            axis_dims.push(dim);
            dims.push((name.clone(), labels.len() as u64));
            match labels {
                Labels::Int(v) if v.iter().all(|v| i32::try_from(*v).is_ok()) => {
                    let bytes = v.iter().flat_map(|v| (*v as i32).to_be_bytes()).collect();
                    fixed(name, vec![dim], vec![], INT, false, bytes);
                }
                Labels::Int(v) => {
                    let bytes = v.iter().flat_map(|v| (*v as f64).to_be_bytes()).collect();
                    fixed(name, vec![dim], vec![], DOUBLE, false, bytes);
                }
                Labels::Float(v) => {
                    let bytes = v.iter().flat_map(|v| v.to_be_bytes()).collect();
                    fixed(name, vec![dim], vec![], DOUBLE, false, bytes);
                }
                Labels::Text(v) => {
                    let (width, bytes) = chars(v);
                    dims.push((format!("{name}_length"), width));
                    fixed(name, vec![dim, dim + 1], vec![], BYTE_CHAR, false, bytes);
                }
            }
        }
        if shape.has_time {
            let attrs = vec![
                attr("standard_name", "time"),
                attr("units", "seconds since 1970-01-01 00:00:00"),
                attr("calendar", shape.dates.calendar()),
            ];
            vars.push(Var {
                name: "time".to_string(),
                dims: vec![0],
                attrs,
                kind: DOUBLE,
                fill: false,
                record: true,
                size: 8,
                begin: 0,
            });
        }
        let first = vars.len();
        for (name, (units, method)) in shape.columns.iter().zip(&shape.about) {
            let mut on: Vec<usize> = Vec::new();
            if shape.has_time {
                on.push(0);
            }
            on.extend(&axis_dims);
            on.push(region_dim);
            let mut attrs = Vec::new();
            if !units.is_empty() {
                attrs.push(attr("units", units));
            }
            // What CF has no word for is a comment.
            match method.split_once(": ").filter(|(_, m)| !m.contains(' ')) {
                Some(_) => attrs.push(attr("cell_methods", method)),
                None => attrs.push(attr("comment", method)),
            }
            attrs.push(attr("coordinates", &format!("{key} latitude longitude")));
            vars.push(Var {
                name: plain(name),
                dims: on,
                attrs,
                kind: DOUBLE,
                fill: true,
                record: shape.has_time,
                size: (each * regions * 8) as u64,
                begin: 0,
            });
        }
        let mut names: Vec<&str> = vars.iter().map(|v| v.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(Error::data(format!("two variables would be called `{}`", twice[0]))
                .at(path.display().to_string())
                .hint("rename variables with `--variables VARIABLE=NAME`, the key with `ncproj index --key-name`, or what is carried with `--carry NAME=COLUMN`"));
        }
        let records = if shape.has_time { shape.steps / each.max(1) } else { 0 };
        if vars.iter().any(|v| v.size > u64::from(u32::MAX) - 3)
            || i32::try_from(records).is_err()
            || dims.iter().any(|(_, n)| i32::try_from(*n).is_err())
        {
            return Err(Error::data("the rows are more than netCDF with 64-bit offsets can hold")
                .at(path.display().to_string())
                .hint("write .parquet instead"));
        }
        let mut globals = vec![
            attr("Conventions", "CF-1.10"),
            attr("featureType", "timeSeries"),
            attr("source", concat!("ncproj ", env!("CARGO_PKG_VERSION"))),
        ];
        globals.extend(shape.notes.iter().cloned());
        let mut at = header(0, &dims, &globals, &vars).len() as u64;
        for record in [false, true] {
            for v in vars.iter_mut().filter(|v| v.record == record) {
                v.begin = at;
                at += padded(v.size);
            }
        }
        let record = vars.iter().filter(|v| v.record).map(|v| padded(v.size)).sum();
        let time = vars.iter().find(|v| v.record && v.name == "time").map(|v| v.begin);
        let begins = vars[first..].iter().map(|v| v.begin).collect();
        let out =
            Netcdf { target, path, begins, time, record, regions, each: each.max(1), done: 0 };
        out.write(&header(records as u32, &dims, &globals, &vars), 0)?;
        for (v, bytes) in vars.iter().zip(&data) {
            out.write(bytes, v.begin)?;
        }
        Ok(out)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        match self.target.file() {
            Some(file) => file.write_all_at(bytes, at).map_err(|e| target::failed(&self.path, e)),
            None => Err(Error::usage("netCDF cannot be streamed")),
        }
    }
}

impl Sink for Netcdf {
    fn push(&mut self, rows: Rows) -> Result<()> {
        let mut bytes = Vec::new();
        for (s, step) in rows.steps.iter().enumerate() {
            let number = self.done + s;
            let (record, within) = ((number / self.each) as u64, number % self.each);
            if let (Some(begin), 0) = (self.time, within) {
                let seconds = step.time as f64 / 1e6;
                self.write(&seconds.to_be_bytes(), begin + record * self.record)?;
            }
            for (column, begin) in rows.columns.iter().zip(&self.begins) {
                bytes.clear();
                let values = &column[s * self.regions..(s + 1) * self.regions];
                bytes.extend(values.iter().flat_map(|v| v.to_be_bytes()));
                let at = begin + record * self.record + (within * self.regions * 8) as u64;
                self.write(&bytes, at)?;
            }
        }
        self.done += rows.steps.len();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.target.commit()
    }
}
