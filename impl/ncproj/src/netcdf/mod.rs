//! A netCDF file as this program sees it: dimensions, variables, attributes, and where the bytes lie.
//!
//! The library (HDF5) or the header parser (classic netCDF) only tells us what is where. All values, coordinates
//! too, are read and decoded by `blocks` and `decode`, without any library's lock.

mod blocks;
mod classic;
mod decode;
mod hdf5;
mod patience;

pub use blocks::{Blocks, Scratch};
pub use decode::{Decoder, Part, Values};

use self::patience::Patience;
use crate::error::{Error, Result, base_name, list, nearest, open, thousands};
use crate::inputs;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    I1,
    U1,
    I2,
    U2,
    I4,
    U4,
    I8,
    U8,
    F4,
    F8,
    Char,
    Text,
    Other,
}

impl Kind {
    pub fn size(self) -> usize {
        match self {
            Kind::I1 | Kind::U1 | Kind::Char => 1,
            Kind::I2 | Kind::U2 => 2,
            Kind::I4 | Kind::U4 | Kind::F4 => 4,
            Kind::I8 | Kind::U8 | Kind::F8 => 8,
            Kind::Text | Kind::Other => 0,
        }
    }

    pub fn is_number(self) -> bool {
        !matches!(self, Kind::Char | Kind::Text | Kind::Other)
    }

    pub fn is_integer(self) -> bool {
        self.is_number() && !matches!(self, Kind::F4 | Kind::F8)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::I1 => "int8",
            Kind::U1 => "uint8",
            Kind::I2 => "int16",
            Kind::U2 => "uint16",
            Kind::I4 => "int32",
            Kind::U4 => "uint32",
            Kind::I8 => "int64",
            Kind::U8 => "uint64",
            Kind::F4 => "float32",
            Kind::F8 => "float64",
            Kind::Char => "char",
            Kind::Text => "string",
            Kind::Other => "other",
        }
    }

    /// netCDF's fill value for a variable that names none.
    pub fn default_fill(self) -> Option<f64> {
        match self {
            Kind::I1 => Some(-127.0),
            Kind::U1 => Some(255.0),
            Kind::I2 => Some(-32767.0),
            Kind::U2 => Some(65535.0),
            Kind::I4 => Some(-2147483647.0),
            Kind::U4 => Some(4294967295.0),
            Kind::I8 => Some(-9223372036854775806.0),
            Kind::U8 => Some(18446744073709551614.0),
            Kind::F4 | Kind::F8 => Some(9.969209968386869e36),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Attr {
    Text(String),
    Numbers(Kind, Vec<f64>),
}

#[derive(Clone, Debug)]
pub struct Dim {
    pub name: String,
    pub len: u64,
}

/// One filter of an HDF5 pipeline, in the order in which they were applied when writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Deflate,
    Shuffle(usize),
    Fletcher32,
    Zstd,
    Unknown(String),
}

impl Filter {
    pub fn name(&self) -> String {
        match self {
            Filter::Deflate => "deflate".into(),
            Filter::Shuffle(_) => "shuffle".into(),
            Filter::Fletcher32 => "fletcher32".into(),
            Filter::Zstd => "zstd".into(),
            Filter::Unknown(n) => n.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct ChunkPlace {
    pub addr: u64,
    pub size: u64,
    pub skipped: u32,
}

#[derive(Clone, Debug)]
pub enum Layout {
    /// HDF5 chunks; the table is by the chunk's number in C order and filled by `Source::locate`.
    Chunked { shape: Vec<u64>, table: Option<HashMap<u64, ChunkPlace>> },
    /// One run of bytes; no offset means never written.
    Contiguous { offset: Option<u64> },
    /// Classic netCDF's record variables: one run of bytes per record.
    Records { offset: u64, stride: u64 },
    /// The bytes themselves (HDF5's compact layout).
    Inline(Vec<u8>),
    /// What we cannot read, and why.
    Unreadable(String),
}

#[derive(Clone, Debug)]
pub struct Var {
    pub name: String,
    pub dims: Vec<usize>,
    pub kind: Kind,
    pub big_endian: bool,
    pub attrs: Vec<(String, Attr)>,
    pub layout: Layout,
    pub filters: Vec<Filter>,
    /// The storage's own fill value (what never written chunks hold), in the file's byte order.
    pub fill: Option<Vec<u8>>,
    /// The storage has no fill value of the writer's: netCDF's default then means nothing for bytes.
    pub no_fill: bool,
}

impl Var {
    pub fn attr(&self, name: &str) -> Option<&Attr> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, a)| a)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attr(name) {
            Some(Attr::Text(t)) => Some(t),
            _ => None,
        }
    }

    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        match self.attr(name) {
            Some(Attr::Numbers(_, v)) => Some(v),
            _ => None,
        }
    }
}

/// Values of a variable that is read whole.
const MOST_VALUES: u64 = 1 << 27;

pub struct Source {
    pub path: PathBuf,
    /// The file's base name, for messages and provenance.
    pub name: String,
    pub format: &'static str,
    pub dims: Vec<Dim>,
    pub vars: Vec<Var>,
    pub attrs: Vec<(String, Attr)>,
    pub groups: Vec<String>,
    /// The coordinates of the grid, where the user names them.
    pub named: Option<crate::grid::Named>,
    pub file: File,
    pub bytes: u64,
    library: Option<hdf5::Handle>,
}

impl Drop for Source {
    fn drop(&mut self) {
        inputs::closing(&self.path, &self.file);
    }
}

impl Source {
    pub fn open(path: &Path) -> Result<Source> {
        let text = path.to_string_lossy();
        if text.contains("://") {
            return Err(Error::data(format!("`{text}` is an address, not a file"))
                .hint("fetch the file first: ncproj reads files on this machine"));
        }
        if [".zgroup", ".zarray", "zarr.json"].iter().any(|f| path.join(f).exists()) {
            return Err(Error::data(format!(
                "`{text}` is a Zarr store, which ncproj does not read"
            ))
            .hint("write it as netCDF first: `xarray.open_zarr(..).to_netcdf(..)`"));
        }
        let file = open(path)?;
        let bytes = file.metadata().map_err(|e| Error::file("read", path, e))?.len();
        let mut head = [0u8; 8];
        let got = file.read_at(&mut head, 0).map_err(|e| Error::file("read", path, e))?;
        let name = base_name(path);
        let source = Source {
            path: path.to_path_buf(),
            name,
            format: "",
            dims: Vec::new(),
            vars: Vec::new(),
            attrs: Vec::new(),
            groups: Vec::new(),
            named: None,
            file,
            bytes,
            library: None,
        };
        if got >= 4 && &head[..3] == b"CDF" {
            return classic::open(source, head[3]);
        }
        if got == 8 && &head == b"\x89HDF\r\n\x1a\n" {
            let _patience = Patience::with(path);
            return hdf5::open(source);
        }
        let what = if bytes == 0 {
            format!("`{}` is empty", source.name)
        } else {
            format!("`{}` is not a netCDF file", source.name)
        };
        Err(Error::data(what).at(path.display().to_string()).hint(
            "netCDF files begin with `CDF` or `\\x89HDF`; a failed download is often an HTML page",
        ))
    }

    pub fn var(&self, name: &str) -> Option<&Var> {
        self.vars.iter().find(|v| v.name == name)
    }

    pub fn var_index(&self, name: &str) -> Result<usize> {
        self.vars.iter().position(|v| v.name == name).ok_or_else(|| {
            let known: Vec<String> = self.vars.iter().map(|v| v.name.clone()).collect();
            Error::data(format!("there is no variable `{name}`"))
                .at(format!("{}: {}", self.name, list(&known, 12)))
                .hint(nearest(name, &known))
        })
    }

    pub fn shape(&self, var: &Var) -> Vec<u64> {
        var.dims.iter().map(|&d| self.dims[d].len).collect()
    }

    pub fn dim_names(&self, var: &Var) -> Vec<String> {
        var.dims.iter().map(|&d| self.dims[d].name.clone()).collect()
    }

    /// Looks up where the chunks of a variable lie, and that they lie within the file.
    pub fn locate(&mut self, index: usize) -> Result<()> {
        if let Layout::Chunked { table: None, shape } = &self.vars[index].layout {
            let Some(library) = &self.library else { return Ok(()) };
            let var = &self.vars[index];
            let counts: Vec<u64> =
                self.shape(var).iter().zip(shape).map(|(n, c)| n.div_ceil(*c)).collect();
            let _patience = Patience::with(&self.path);
            let table = hdf5::chunks(library, var, shape, &counts).map_err(|e| e.at(&self.name))?;
            for place in table.values() {
                if place.addr.checked_add(place.size).is_none_or(|end| end > self.bytes) {
                    return Err(truncated(self, place.addr.saturating_add(place.size))
                        .at(format!("{}: variable `{}`", self.name, var.name)));
                }
            }
            if let Layout::Chunked { table: slot, .. } = &mut self.vars[index].layout {
                *slot = Some(table);
            }
        }
        Ok(())
    }

    /// Drops the library's handle: what follows needs only `pread`.
    pub fn release(&mut self) {
        self.library = None;
    }

    /// All values of a (small) numeric variable as float64, fill values as NaN, packing undone.
    pub fn read_numbers(&mut self, name: &str) -> Result<Vec<f64>> {
        let index = self.var_index(name)?;
        self.locate(index)?;
        let var = &self.vars[index];
        let at = || format!("{}: variable `{name}`", self.name);
        if !var.kind.is_number() {
            return Err(Error::data(format!(
                "`{name}` is of type {}, and numbers are needed",
                var.kind.name()
            ))
            .at(at())
            .hint("choose another variable; `ncproj info` lists what the file holds"));
        }
        let shape = self.shape(var);
        let total = shape.iter().try_fold(1u64, |a, b| a.checked_mul(*b)).unwrap_or(u64::MAX);
        if total > MOST_VALUES {
            return Err(Error::data(format!(
                "`{name}` has {} values: ncproj takes at most {} of a coordinate or of weights",
                thousands(total),
                thousands(MOST_VALUES)
            ))
            .at(at())
            .hint("cut the file to the part you need first"));
        }
        let decoder = Decoder::new(var).map_err(|e| e.at(at()))?;
        let blocks = Blocks::new(self, index)?;
        let mut out = vec![f64::NAN; total as usize];
        let mut scratch = Scratch::default();
        let mut values = Values::F64(Vec::new());
        for number in 0..blocks.count() {
            let at_block = blocks.position(number);
            let raw = blocks.read(self, &at_block, &mut scratch)?;
            decoder.decode(&raw, None, true, &mut values)?;
            let Values::F64(values) = &values else { continue };
            blocks.each_value(&at_block, &shape, |from, to| {
                if let (Some(o), Some(v)) = (out.get_mut(to), values.get(from)) {
                    *o = *v;
                }
            });
        }
        Ok(out)
    }

    /// The texts of a one-dimensional string variable (or char matrix), if it is one.
    pub fn read_texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let index = self.var_index(name)?;
        match self.vars[index].kind {
            Kind::Text => match &self.library {
                Some(library) => {
                    let _patience = Patience::with(&self.path);
                    Ok(hdf5::texts(library, name))
                }
                None => Ok(None),
            },
            Kind::Char if self.vars[index].dims.len() == 2 => {
                self.locate(index)?;
                let shape = self.shape(&self.vars[index]);
                let mut bytes = vec![0u8; (shape[0] * shape[1]).min(1 << 26) as usize];
                let blocks = Blocks::new(self, index)?;
                let mut scratch = Scratch::default();
                for number in 0..blocks.count() {
                    let at_block = blocks.position(number);
                    let raw = blocks.read(self, &at_block, &mut scratch)?.to_vec();
                    blocks.each_value(&at_block, &shape, |from, to| {
                        if let (Some(o), Some(v)) = (bytes.get_mut(to), raw.get(from)) {
                            *o = *v;
                        }
                    });
                }
                let text =
                    |b: &[u8]| String::from_utf8_lossy(b).trim_end_matches(['\0', ' ']).to_string();
                Ok(Some(bytes.chunks((shape[1] as usize).max(1)).map(text).collect()))
            }
            _ => Ok(None),
        }
    }
}

/// The file ends before what it promises.
pub fn truncated(source: &Source, needed: u64) -> Error {
    Error::data(format!(
        "`{}` is cut short: {} bytes are there, at least {} are needed",
        source.name,
        thousands(source.bytes),
        thousands(needed)
    ))
    .at(source.path.display().to_string())
    .hint("fetch the file again: the download or the copy broke off")
}
