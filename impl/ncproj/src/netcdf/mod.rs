//! A netCDF file as this program sees it: dimensions, variables, attributes, and where the bytes lie.
//!
//! The library (HDF5) or the header parser (classic netCDF) only tells us what is where. All values, coordinates
//! too, are read and decoded by `blocks` and `decode`, without any library's lock.

mod blocks;
mod classic;
mod decode;
mod filters;
mod hdf5;
mod packing;
mod patience;

pub use blocks::{Blocks, Scratch};
pub use decode::{Decoder, Part, Values};
pub use packing::all_out;

/// What is honoured and refused of a variable's attributes.
pub use packing::{FEATURES as PACKING, REFUSALS as NO_PACKING};

use self::patience::Patience;
use crate::error::{Error, Result, base_name, list, nearest, open, thousands};
use crate::features::{Feature, Refusal};
use crate::inputs;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// What is not made of numbers, by name.
    Other(&'static str),
}

impl Kind {
    pub fn size(self) -> usize {
        match self {
            Kind::I1 | Kind::U1 | Kind::Char => 1,
            Kind::I2 | Kind::U2 => 2,
            Kind::I4 | Kind::U4 | Kind::F4 => 4,
            Kind::I8 | Kind::U8 | Kind::F8 => 8,
            Kind::Text | Kind::Other(_) => 0,
        }
    }

    pub fn is_number(self) -> bool {
        !matches!(self, Kind::Char | Kind::Text | Kind::Other(_))
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
            Kind::Other(name) => name,
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
    /// What is neither, by name.
    Other(&'static str),
}

/// Attributes, and those that are integers of 64 bits exactly.
type Attributes = (Vec<(String, Attr)>, Vec<(String, Vec<i128>)>);

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
    Lzf,
    Unknown(String),
}

impl Filter {
    pub fn name(&self) -> String {
        match self {
            Filter::Deflate => "deflate".into(),
            Filter::Shuffle(_) => "shuffle".into(),
            Filter::Fletcher32 => "fletcher32".into(),
            Filter::Zstd => "zstd".into(),
            Filter::Lzf => "lzf".into(),
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
    /// What only the HDF5 library can read.
    Library(Arc<hdf5::Slow>),
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
    /// Those that are integers of 64 bits, exactly.
    pub exact: Vec<(String, Vec<i128>)>,
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

/// What is read of files, and what is refused.
pub const CONTAINERS: &[Feature] = &[
    Feature::honoured(
        "files",
        "netCDF classic (CDF-1, CDF-2, CDF-5), netCDF-4, HDF5 with dimension scales, also behind a user block",
        "read without a copy",
    ),
    Feature::honoured(
        "files",
        "deflate, shuffle, fletcher32, zstd, lzf",
        "undone chunk by chunk on all cores; checksums are checked",
    ),
    Feature::honoured(
        "files",
        "nbit, scaleoffset",
        "undone by the HDF5 library, one chunk at a time; so are other filters whose plugin it finds (`HDF5_PLUGIN_PATH`)",
    ),
    Feature::honoured(
        "files",
        "contiguous, compact, chunks never written, a chunk's filter mask",
        "as HDF5 has them",
    ),
    Feature::converted(
        "types",
        "float16 and other floats of few bits, float128, integers of 24 bits and the like",
        "by the HDF5 library, to float32, float64 or the next wider integer",
    ),
    Feature::honoured(
        "types",
        "attributes of any number, enum, string of fixed or variable length, UTF-8 or Latin-1, empty",
        "as numbers and texts",
    ),
];

static NO_FILTER: Refusal = Refusal {
    of: "files",
    name: "szip, blosc, bzip2, lz4, bitshuffle, zfp and other filters, without a plugin",
    message: "`{}` is packed with the filter `{}`, which ncproj does not know",
    hint: "repack it first: `nccopy -F none in.nc plain.nc`, or any tool that reads it",
};
static NO_LAYOUT: Refusal = Refusal {
    of: "files",
    name: "external storage, external links, virtual data sets",
    message: "`{}` cannot be read: {}",
    hint: "copy the file first (`nccopy in.nc plain.nc`), or choose other variables",
};
static NO_NETCDF: Refusal = Refusal {
    of: "files",
    name: "HDF4, GRIB, TIFF, CDL, JSON, archives, text",
    message: "`{}` is not a netCDF file: it is {}",
    hint: "{}",
};

pub const NO_CONTAINERS: &[&Refusal] = &[&NO_FILTER, &NO_LAYOUT, &NO_NETCDF];

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
    /// Some dimensions are named by their length, as the file says nothing of them.
    pub phony: bool,
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
            phony: false,
            file,
            bytes,
            library: None,
        };
        if got >= 4 && &head[..3] == b"CDF" {
            return classic::open(source, head[3]);
        }
        // HDF5 may begin behind a block of the user's: of 512 bytes, or twice as many, and so on.
        let mut begin = 0u64;
        while begin < bytes {
            let there = source.file.read_at(&mut head, begin).is_ok_and(|n| n == 8);
            if there && &head == b"\x89HDF\r\n\x1a\n" {
                let _patience = Patience::with(path);
                return hdf5::open(source);
            }
            begin = (begin * 2).max(512);
        }
        let got = source.file.read_at(&mut head, 0).map_err(|e| Error::file("read", path, e))?;
        Err(not_netcdf(&head[..got], &source.name, bytes).at(path.display().to_string()))
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

    /// The values of a (small) variable of integers exactly; nothing where it is packed, or one is missing or too large.
    pub fn read_integers(&mut self, name: &str) -> Result<Option<Vec<i64>>> {
        let index = self.var_index(name)?;
        let var = &self.vars[index];
        let kind = var.kind;
        let said = |name: &str| var.attr(name).is_some();
        let wide = kind.size() == 8 && said("_Unsigned");
        if !kind.is_integer() || wide || said("scale_factor") || said("add_offset") {
            return Ok(None);
        }
        let values = self.read_numbers(name)?;
        if !values.iter().all(|v| v.is_finite()) {
            return Ok(None);
        }
        if kind.size() < 8 {
            return Ok(Some(values.iter().map(|v| *v as i64).collect()));
        }
        let shape = self.shape(&self.vars[index]);
        let big_endian = self.vars[index].big_endian;
        let blocks = Blocks::new(self, index)?;
        let mut out = vec![0i64; values.len()];
        let mut whole = true;
        let (mut scratch, mut plain) = (Scratch::default(), Vec::new());
        for number in 0..blocks.count() {
            let at = blocks.position(number);
            let raw = blocks.read(self, &at, &mut scratch)?;
            match raw.shuffled {
                true => blocks::unshuffle(raw.bytes, 8, &mut plain),
                false => plain = raw.bytes.to_vec(),
            }
            let (chunks, _) = plain.as_chunks::<8>();
            blocks.each_value(&at, &shape, |from, to| {
                if let (Some(o), Some(b)) = (out.get_mut(to), chunks.get(from)) {
                    *o = if big_endian { i64::from_be_bytes(*b) } else { i64::from_le_bytes(*b) };
                    whole &= kind == Kind::I8 || *o >= 0;
                }
            });
        }
        Ok(whole.then_some(out))
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
            Kind::Char if matches!(self.vars[index].dims.len(), 1 | 2) => {
                self.locate(index)?;
                let mut shape = self.shape(&self.vars[index]);
                let total =
                    shape.iter().try_fold(1u64, |a, n| a.checked_mul(*n)).unwrap_or(u64::MAX);
                let mut bytes = vec![0u8; total.min(1 << 26) as usize];
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
                shape.resize(2, 1);
                Ok(Some(bytes.chunks((shape[1] as usize).max(1)).map(text).collect()))
            }
            _ => Ok(None),
        }
    }
}

/// What the first bytes say that it is instead.
fn not_netcdf(head: &[u8], name: &str, bytes: u64) -> Error {
    if bytes == 0 {
        return Error::data(format!("`{name}` is empty")).hint(NETCDF_BEGINS);
    }
    let begins = |with: &[u8]| head.starts_with(with);
    let (what, hint) = if begins(b"\x0e\x03\x13\x01") {
        (
            "HDF4",
            "write it as netCDF first: `h4toh5` and `nccopy`, `gdal_translate -of netCDF`, or xarray",
        )
    } else if begins(b"GRIB") {
        (
            "GRIB",
            "write it as netCDF first: `cdo -f nc4 copy`, `grib_to_netcdf`, or xarray with cfgrib",
        )
    } else if begins(b"PK\x03\x04") {
        ("a zip archive", "unpack it first (`unzip`)")
    } else if begins(b"\x1f\x8b") {
        ("packed with gzip", "unpack it first (`gunzip`)")
    } else if begins(b"BZh") {
        ("packed with bzip2", "unpack it first (`bunzip2`)")
    } else if begins(b"\xfd7zXZ") {
        ("packed with xz", "unpack it first (`unxz`)")
    } else if begins(b"\x28\xb5\x2f\xfd") {
        ("packed with zstd", "unpack it first (`unzstd`)")
    } else if begins(b"II*\0") || begins(b"MM\0*") || begins(b"II+\0") || begins(b"MM\0+") {
        ("a TIFF image", "write it as netCDF first: `gdal_translate -of netCDF`, or rioxarray")
    } else if begins(b"PAR1") {
        ("Parquet", "ncproj reads grids from netCDF files")
    } else if begins(b"netcdf ") {
        ("CDL, the text form of netCDF", "make a netCDF file of it first (`ncgen`)")
    } else if begins(b"{") || begins(b"[") {
        (
            "JSON",
            "references to chunks elsewhere (kerchunk) are not read: write netCDF first, with xarray",
        )
    } else if head.iter().all(|b| (0x20..0x7f).contains(b) || b"\r\n\t".contains(b)) {
        ("text (CSV, HTML?)", NETCDF_BEGINS)
    } else {
        return Error::data(format!("`{name}` is not a netCDF file")).hint(NETCDF_BEGINS);
    };
    NO_NETCDF.error(&[name, what, hint])
}

const NETCDF_BEGINS: &str =
    "netCDF files begin with `CDF` or `\\x89HDF`; a failed download is often an HTML page";

/// A variable's or a dimension's own name, without its groups.
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Text as its bytes have it: UTF-8, else Latin-1.
fn text(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(t) => t.to_string(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    };
    text.trim_end_matches(['\0', ' ']).to_string()
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
