//! netCDF-4: what the HDF5 library knows about a file. Descriptions are asked of it, and values only where their type or their
//! filters are such that only the library can read them.

use super::patience::Patience;
use super::{
    Attr, Attributes, ChunkPlace, Dim, Filter, Kind, Layout, Source, Var, filters, text, truncated,
};
use crate::error::{Error, Result};
use crate::inputs;
use hdf5_metno as h5;
use hdf5_metno_sys as sys;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, c_char, c_uint, c_void};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use sys::h5d::H5D_layout_t;
use sys::h5t::{H5T_class_t, H5T_order_t, H5T_sign_t};

pub struct Handle {
    file: h5::File,
}

/// Bytes that the library may need to open a file.
const ROOM: usize = 8 << 20;

const NOT_A_VARIABLE: &str = "This is a netCDF dimension but not a netCDF variable";

pub fn open(mut source: Source) -> Result<Source> {
    source.format = "netCDF-4 (HDF5)";
    // Where the library gets no memory it may end by SIGSEGV (1.14.6: H5AC_create); ours ends with a word.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(ROOM)));
    let file = match source.path.to_str() {
        Some(path) => h5::File::open(path),
        // The library takes UTF-8 only.
        None => h5::File::open(format!("/dev/fd/{}", source.file.as_raw_fd())),
    };
    let file = file.map_err(|e| broken(&source, &e))?;
    inputs::same(&source.path, &source.file)?;
    let mut sets: Vec<(String, h5::Dataset)> = Vec::new();
    let root = file.loc_info().map_err(|e| broken(&source, &e))?;
    let mut seen = vec![root.token];
    walk(&file, "", &mut source.groups, &mut sets, &mut seen).map_err(|e| broken(&source, &e))?;

    // Dimensions are the data sets that carry a scale; the order is netCDF's own number where it is given.
    let mut attrs: Vec<Vec<(String, Attr)>> = Vec::new();
    let mut exact = Vec::new();
    let names: HashSet<&str> = sets.iter().map(|(n, _)| n.as_str()).collect();
    for (name, set) in &sets {
        let (mut found, whole) = attributes(set).map_err(|e| broken(&source, &e))?;
        for (attr, value) in &mut found {
            if let Attr::Text(t) = value
                && REFERENCES.contains(&attr.as_str())
            {
                *t = resolved(t, name, &names);
            }
        }
        attrs.push(found);
        exact.push(whole);
    }
    let text = |k: usize, name: &str| -> Option<&str> {
        attrs[k].iter().find_map(|(n, a)| match a {
            Attr::Text(t) if n == name => Some(t.as_str()),
            _ => None,
        })
    };
    let number = |k: usize, name: &str| -> Option<Vec<f64>> {
        attrs[k].iter().find_map(|(n, a)| match a {
            Attr::Numbers(_, v) if n == name => Some(v.clone()),
            _ => None,
        })
    };
    let mut dim_of_path: HashMap<String, usize> = HashMap::new();
    let mut dim_of_id: HashMap<i64, usize> = HashMap::new();
    let mut scales: Vec<usize> =
        (0..sets.len()).filter(|&k| text(k, "CLASS") == Some("DIMENSION_SCALE")).collect();
    scales.sort_by_key(|&k| {
        number(k, "_Netcdf4Dimid").and_then(|v| v.first().copied()).map_or(i64::MAX, |v| v as i64)
    });
    for k in scales {
        let shape = sets[k].1.shape();
        let Some(&len) = shape.first() else { continue };
        let id = number(k, "_Netcdf4Dimid").and_then(|v| v.first().copied());
        // A coordinate variable of several dimensions has the length of its own dimension by its number.
        let at = number(k, "_Netcdf4Coordinates")
            .zip(id)
            .and_then(|(c, id)| c.iter().position(|x| *x == id))
            .unwrap_or(0);
        let len = shape.get(at).copied().unwrap_or(len);
        dim_of_path.insert(format!("/{}", sets[k].0), source.dims.len());
        if let Some(id) = id {
            dim_of_id.insert(id as i64, source.dims.len());
        }
        source.dims.push(Dim { name: sets[k].0.clone(), len: len as u64 });
    }

    let mut shapes: Vec<Vec<u64>> = Vec::new();
    for (k, (name, set)) in sets.iter().enumerate() {
        if text(k, "NAME").is_some_and(|t| t.starts_with(NOT_A_VARIABLE)) {
            continue;
        }
        let shape = set.shape();
        let by_id = number(k, "_Netcdf4Coordinates").map(|ids| {
            ids.iter().filter_map(|id| dim_of_id.get(&(*id as i64)).copied()).collect::<Vec<_>>()
        });
        let own = dim_of_path.get(&format!("/{name}")).copied();
        let mut dims = match (own, by_id) {
            (_, Some(ids)) if ids.len() == shape.len() => ids,
            (Some(own), _) if shape.len() == 1 => vec![own],
            _ => dimension_list(set, shape.len())
                .iter()
                .filter_map(|path| dim_of_path.get(path).copied())
                .collect(),
        };
        if dims.len() != shape.len() {
            // Plain HDF5 without scales: name the dimensions by their length, as netCDF does.
            source.phony = true;
            dims = shape
                .iter()
                .map(|&len| {
                    let name = format!("phony_dim_{len}");
                    source.dims.iter().position(|d| d.name == name).unwrap_or_else(|| {
                        source.dims.push(Dim { name, len: len as u64 });
                        source.dims.len() - 1
                    })
                })
                .collect();
        }
        let mut var = describe(set, &source.path).map_err(|e| broken(&source, &e))?;
        if set.loc_info().is_ok_and(|i| i.fileno != root.fileno) {
            var.layout = Layout::Unreadable("it lies in another file (an external link)".into());
        }
        shapes.push(shape.iter().map(|n| *n as u64).collect());
        var.name = name.clone();
        var.dims = dims;
        var.exact = std::mem::take(&mut exact[k]);
        var.attrs = attrs[k]
            .iter()
            .filter(|(n, _)| {
                !matches!(
                    n.as_str(),
                    "CLASS"
                        | "NAME"
                        | "DIMENSION_LIST"
                        | "REFERENCE_LIST"
                        | "_Netcdf4Dimid"
                        | "_Netcdf4Coordinates"
                )
            })
            .cloned()
            .collect();
        source.vars.push(var);
    }
    // An unlimited dimension is as long as the longest variable along it; what the others lack was never written.
    for (var, shape) in source.vars.iter().zip(&shapes) {
        for (d, len) in var.dims.iter().zip(shape) {
            source.dims[*d].len = source.dims[*d].len.max(*len);
        }
    }
    for (var, shape) in source.vars.iter_mut().zip(&shapes) {
        for (d, len) in var.dims.iter().zip(shape) {
            if source.dims[*d].len != *len && !matches!(var.layout, Layout::Chunked { .. }) {
                var.layout = Layout::Unreadable(format!(
                    "it holds {len} of the {} values of dimension `{}`",
                    source.dims[*d].len, source.dims[*d].name
                ));
            }
        }
    }
    source.attrs = attributes(&file).map_err(|e| broken(&source, &e))?.0;
    source.library = Some(Handle { file });
    Ok(source)
}

fn broken(source: &Source, error: &h5::Error) -> Error {
    let text = error.to_string();
    if let Some(system) = of_system(&text) {
        return Error::file("read", &source.path, system);
    }
    if text.contains("truncated file") {
        let eof = text.split("stored_eof = ").nth(1).and_then(|t| {
            t.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok()
        });
        return truncated(source, eof.unwrap_or(source.bytes + 1));
    }
    if text.contains("unable to lock file") {
        return Error::data(format!("`{}` is open for writing in another program", source.name))
            .at(source.path.display().to_string())
            .hint("wait until it is written and closed there");
    }
    let first = text.split(": ").last().unwrap_or(&text).to_string();
    Error::data(format!("`{}` is damaged: HDF5 says `{first}`", source.name))
        .at(source.path.display().to_string())
        .hint("fetch the file again; `h5ls` shows whether others can read it")
}

/// What the system refused to the library: no word on the file.
fn of_system(text: &str) -> Option<std::io::Error> {
    let number = |at: &str| -> Option<i32> {
        let digits = text.split(at).nth(1)?.chars().take_while(char::is_ascii_digit);
        digits.collect::<String>().parse().ok()
    };
    match number("errno = ") {
        // A lock that another holds.
        Some(libc::EAGAIN | libc::EACCES) if text.contains("unable to lock file") => None,
        Some(errno) => Some(std::io::Error::from_raw_os_error(errno)),
        None => [
            "memory allocation failed",
            "can't allocate",
            "unable to allocate",
            "No space available for allocation",
        ]
        .iter()
        .any(|t| text.contains(t))
        .then(|| std::io::ErrorKind::OutOfMemory.into()),
    }
}

/// Attributes that name other variables.
const REFERENCES: [&str; 5] =
    ["bounds", "climatology", "coordinates", "grid_mapping", "ancillary_variables"];

/// Names of variables as a variable of this path means them: of its own group, else of one above; as paths from the root.
fn resolved(text: &str, of: &str, names: &HashSet<&str>) -> String {
    let one = |word: &str| -> String {
        let (name, colon) = match word.strip_suffix(':') {
            Some(name) => (name, ":"),
            None => (word, ""),
        };
        if let Some(path) = name.strip_prefix('/') {
            return format!("{path}{colon}");
        }
        let mut group = of;
        while let Some((above, _)) = group.rsplit_once('/') {
            let path = format!("{above}/{name}");
            if names.contains(path.as_str()) {
                return path + colon;
            }
            group = above;
        }
        word.to_string()
    };
    if !of.contains('/') && !text.contains('/') {
        return text.to_string();
    }
    text.split(' ').map(one).collect::<Vec<_>>().join(" ")
}

/// Groups within groups.
const DEEPEST: usize = 32;
/// Data sets of a file.
const MOST_SETS: usize = 100_000;

/// All data sets of a group and those below it, by their paths.
fn walk(
    group: &h5::Group,
    path: &str,
    groups: &mut Vec<String>,
    sets: &mut Vec<(String, h5::Dataset)>,
    seen: &mut Vec<h5::LocationToken>,
) -> h5::Result<()> {
    let mut names = group.member_names()?;
    names.sort(); // the order in which the library lists links depends on how they are kept
    let mut below = Vec::new();
    for name in names {
        let full = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        match group.dataset(&name) {
            Ok(set) => sets.push((full, set)),
            // Else a named type, or a link to nowhere.
            Err(_) => {
                if let Ok(group) = group.group(&name) {
                    below.push((full, group));
                }
            }
        }
    }
    for (full, group) in below {
        // A link may lead back up.
        let token = group.loc_info()?.token;
        if seen.contains(&token) || full.matches('/').count() >= DEEPEST {
            continue;
        }
        seen.push(token);
        groups.push(full.clone());
        if sets.len() + groups.len() < MOST_SETS {
            walk(&group, &full, groups, sets, seen)?;
        }
    }
    Ok(())
}

/// All attributes, and those that are integers of 64 bits exactly.
fn attributes(at: &h5::Location) -> h5::Result<Attributes> {
    let (mut out, mut exact) = (Vec::new(), Vec::new());
    for name in at.attr_names()? {
        if name == "REFERENCE_LIST" || name == "DIMENSION_LIST" {
            continue;
        }
        // One that cannot be read may decide what numbers mean: whoever needs it says so.
        let unreadable = Attr::Other("unreadable");
        let Ok(attr) = at.attr(&name) else {
            out.push((name, unreadable));
            continue;
        };
        let value = attribute(&attr).unwrap_or(unreadable);
        if let Attr::Numbers(Kind::I8 | Kind::U8, _) = value
            && let Some(whole) = integers(&attr)
        {
            exact.push((name.clone(), whole));
        }
        out.push((name, value));
    }
    Ok((out, exact))
}

/// How many elements an attribute has; none where its space is empty.
fn length(attr: &h5::Attribute) -> usize {
    let Ok(space) = attr.space() else { return 0 };
    let points = h5::sync::sync(|| unsafe { sys::h5s::H5Sget_simple_extent_npoints(space.id()) });
    usize::try_from(points).unwrap_or(0)
}

/// The numbers of an attribute in a type of our own machine.
fn read_attribute<T: Copy>(attr: &h5::Attribute, zero: T, kind: Kind) -> Option<Vec<T>> {
    let mut out = vec![zero; length(attr)];
    if out.is_empty() {
        return Some(out);
    }
    // SAFETY: `T` is the type that `kind` names, and the buffer has room for all of the attribute.
    let ok = h5::sync::sync(|| unsafe {
        sys::h5a::H5Aread(attr.id(), native(kind), out.as_mut_ptr().cast::<c_void>())
    });
    (ok >= 0).then_some(out)
}

fn integers(attr: &h5::Attribute) -> Option<Vec<i128>> {
    let signed = kind_of(attr.dtype().ok()?.id()).kind == Kind::I8;
    match signed {
        true => Some(read_attribute(attr, 0i64, Kind::I8)?.into_iter().map(i128::from).collect()),
        false => Some(read_attribute(attr, 0u64, Kind::U8)?.into_iter().map(i128::from).collect()),
    }
}

fn attribute(attr: &h5::Attribute) -> Option<Attr> {
    let dtype = attr.dtype().ok()?;
    let kind = kind_of(dtype.id()).kind;
    if kind.is_number() {
        if length(attr) > 1 << 20 {
            return Some(Attr::Other("very long"));
        }
        let numbers = read_attribute(attr, 0f64, Kind::F8);
        return Some(numbers.map_or(Attr::Other("unreadable"), |v| Attr::Numbers(kind, v)));
    }
    match kind {
        Kind::Text | Kind::Char => {}
        other => return Some(Attr::Other(other.name())),
    }
    if length(attr) == 0 {
        return Some(Attr::Text(String::new()));
    }
    let read = |to: *mut c_void| unsafe { sys::h5a::H5Aread(attr.id(), dtype.id(), to) >= 0 };
    let texts = read_texts(&dtype, &attr.space().ok()?, length(attr), read);
    Some(texts.map_or(Attr::Other("unreadable"), |t| Attr::Text(t.join(", "))))
}

/// Texts of fixed or variable length; `read` fills a buffer that is as long as `size` elements of the type.
fn read_texts(
    dtype: &h5::Datatype,
    space: &h5::Dataspace,
    size: usize,
    read: impl Fn(*mut c_void) -> bool,
) -> Option<Vec<String>> {
    h5::sync::sync(|| {
        // SAFETY: the buffer has the size of the whole in its own type, in which it is read; texts of variable length are given
        // back to the library after they were copied.
        unsafe {
            if sys::h5t::H5Tis_variable_str(dtype.id()) > 0 {
                let mut all: Vec<*mut c_char> = vec![std::ptr::null_mut(); size];
                if !read(all.as_mut_ptr().cast()) {
                    return None;
                }
                let one = |p: &*mut c_char| match p.is_null() {
                    true => String::new(),
                    false => text(CStr::from_ptr(*p).to_bytes()),
                };
                let out = all.iter().map(one).collect();
                let (all, list) = (all.as_mut_ptr().cast(), sys::h5p::H5P_DEFAULT);
                sys::h5t::H5Treclaim(dtype.id(), space.id(), list, all);
                return Some(out);
            }
            let each = dtype.size();
            let len = each.checked_mul(size).filter(|n| *n > 0 && *n < 1 << 26)?;
            let mut bytes = vec![0u8; len];
            read(bytes.as_mut_ptr().cast()).then(|| {
                let one = |b: &[u8]| text(b.split(|c| *c == 0).next().unwrap_or(b));
                bytes.chunks(each).map(one).collect()
            })
        }
    })
}

/// The paths of the dimension scales of each of a data set's dimensions.
fn dimension_list(set: &h5::Dataset, rank: usize) -> Vec<String> {
    let Ok(attr) = set.attr("DIMENSION_LIST") else { return Vec::new() };
    let (Ok(dtype), Ok(space)) = (attr.dtype(), attr.space()) else { return Vec::new() };
    if attr.size() != rank || rank == 0 {
        return Vec::new();
    }
    h5::sync::sync(|| {
        // SAFETY: the type is checked to be a variable-length list of 8-byte object references before it is read
        // into one `hvl_t` per element; the lists are given back to the library afterwards.
        unsafe {
            use sys::h5t::{
                H5T_class_t as Class, H5Tclose, H5Tget_class, H5Tget_size, H5Tget_super,
            };
            if H5Tget_class(dtype.id()) != Class::H5T_VLEN {
                return Vec::new();
            }
            let base = H5Tget_super(dtype.id());
            let right = H5Tget_class(base) == Class::H5T_REFERENCE && H5Tget_size(base) == 8;
            H5Tclose(base);
            if !right {
                return Vec::new();
            }
            let mut lists: Vec<sys::h5t::hvl_t> = Vec::with_capacity(rank);
            for _ in 0..rank {
                lists.push(sys::h5t::hvl_t { len: 0, p: std::ptr::null_mut() });
            }
            if sys::h5a::H5Aread(attr.id(), dtype.id(), lists.as_mut_ptr().cast()) < 0 {
                return Vec::new();
            }
            let mut out = Vec::new();
            for l in &lists {
                let mut path = String::new();
                if l.len > 0 && !l.p.is_null() {
                    let id = sys::h5r::H5Rdereference2(
                        attr.id(),
                        sys::h5p::H5P_DEFAULT,
                        sys::h5r::H5R_type_t::H5R_OBJECT1,
                        l.p,
                    );
                    if id >= 0 {
                        let mut name = [0u8; 1024];
                        let n = sys::h5i::H5Iget_name(id, name.as_mut_ptr().cast(), name.len());
                        if n > 0 && (n as usize) < name.len() {
                            path = String::from_utf8_lossy(&name[..n as usize]).into_owned();
                        }
                        sys::h5o::H5Oclose(id);
                    }
                }
                out.push(path);
            }
            sys::h5t::H5Treclaim(
                dtype.id(),
                space.id(),
                sys::h5p::H5P_DEFAULT,
                lists.as_mut_ptr().cast(),
            );
            out
        }
    })
}

/// The number type behind an HDF5 type, whether its bytes are big-endian, and whether only the library knows how to read them.
struct Found {
    kind: Kind,
    big_endian: bool,
    odd: bool,
}

fn native(kind: Kind) -> sys::h5i::hid_t {
    use sys::h5t as t;
    match kind {
        Kind::I1 => *t::H5T_NATIVE_INT8,
        Kind::U1 => *t::H5T_NATIVE_UINT8,
        Kind::I2 => *t::H5T_NATIVE_INT16,
        Kind::U2 => *t::H5T_NATIVE_UINT16,
        Kind::I4 => *t::H5T_NATIVE_INT32,
        Kind::U4 => *t::H5T_NATIVE_UINT32,
        Kind::I8 => *t::H5T_NATIVE_INT64,
        Kind::U8 => *t::H5T_NATIVE_UINT64,
        Kind::F4 => *t::H5T_NATIVE_FLOAT,
        _ => *t::H5T_NATIVE_DOUBLE,
    }
}

fn kind_of(dtype: sys::h5i::hid_t) -> Found {
    h5::sync::sync(|| {
        // SAFETY: plain questions about an open type.
        unsafe {
            use sys::h5t::{
                H5Tclose, H5Tequal, H5Tget_class, H5Tget_fields, H5Tget_order, H5Tget_precision,
                H5Tget_sign, H5Tget_size, H5Tget_super,
            };
            let class = H5Tget_class(dtype);
            let size = H5Tget_size(dtype);
            let plain = |kind| {
                let big_endian = H5Tget_order(dtype) == H5T_order_t::H5T_ORDER_BE;
                Found { kind, big_endian, odd: false }
            };
            let odd = |kind| Found { kind, big_endian: cfg!(target_endian = "big"), odd: true };
            match class {
                H5T_class_t::H5T_INTEGER => {
                    let signed = H5Tget_sign(dtype) == H5T_sign_t::H5T_SGN_2;
                    let kind = match (size, signed) {
                        (1, true) => Kind::I1,
                        (1, false) => Kind::U1,
                        (2, true) => Kind::I2,
                        (2, false) => Kind::U2,
                        (3..=4, true) => Kind::I4,
                        (3..=4, false) => Kind::U4,
                        (5..=8, true) => Kind::I8,
                        (5..=8, false) => Kind::U8,
                        _ => Kind::Other("integer of more than 64 bits"),
                    };
                    let whole = H5Tget_precision(dtype) == size * 8 && size == kind.size();
                    if whole || !kind.is_number() { plain(kind) } else { odd(kind) }
                }
                H5T_class_t::H5T_FLOAT => {
                    use sys::h5t as t;
                    let is = |a: sys::h5i::hid_t| H5Tequal(dtype, a) > 0;
                    if is(*t::H5T_IEEE_F32LE) || is(*t::H5T_IEEE_F32BE) {
                        return plain(Kind::F4);
                    }
                    if is(*t::H5T_IEEE_F64LE) || is(*t::H5T_IEEE_F64BE) {
                        return plain(Kind::F8);
                    }
                    let (mut s, mut e, mut es, mut m, mut ms) = (0, 0, 0, 0, 0);
                    H5Tget_fields(dtype, &mut s, &mut e, &mut es, &mut m, &mut ms);
                    odd(if es <= 8 && ms <= 23 { Kind::F4 } else { Kind::F8 })
                }
                // Flags and booleans are the integers that they are kept as.
                H5T_class_t::H5T_ENUM => {
                    let base = H5Tget_super(dtype);
                    let found = kind_of(base);
                    H5Tclose(base);
                    match found.odd {
                        true => plain(Kind::Other("enum of an odd integer")),
                        false => found,
                    }
                }
                H5T_class_t::H5T_STRING if size == 1 => plain(Kind::Char),
                H5T_class_t::H5T_STRING => plain(Kind::Text),
                H5T_class_t::H5T_COMPOUND => plain(Kind::Other("compound")),
                H5T_class_t::H5T_VLEN => plain(Kind::Other("list of variable length")),
                H5T_class_t::H5T_OPAQUE => plain(Kind::Other("opaque")),
                H5T_class_t::H5T_BITFIELD => plain(Kind::Other("bit field")),
                H5T_class_t::H5T_REFERENCE => plain(Kind::Other("reference")),
                H5T_class_t::H5T_ARRAY => plain(Kind::Other("array")),
                _ => plain(Kind::Other("unknown")),
            }
        }
    })
}

/// A data set whose values only the library can read.
pub struct Slow {
    set: h5::Dataset,
    kind: Kind,
    path: std::path::PathBuf,
    /// The shape of its chunks, if it has any.
    pub chunk: Option<Vec<u64>>,
}

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "values that HDF5 reads")
    }
}

impl Slow {
    /// `extents` values from `at` on, laid out as a block of this shape, in the bytes of our own machine.
    pub fn read(
        &self,
        at: &[u64],
        extents: &[u64],
        block: &[u64],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let values = block.iter().product::<u64>() as usize;
        out.clear();
        out.resize(values * self.kind.size(), 0);
        let _patience = Patience::with(&self.path);
        let ok = h5::sync::sync(|| {
            use sys::h5s::{H5S_SELECT_SET, H5Sclose, H5Screate_simple, H5Sselect_hyperslab};
            // SAFETY: the shapes have as many members as the data set has dimensions, and the buffer holds a whole block.
            unsafe {
                let file = sys::h5d::H5Dget_space(self.set.id());
                let rank = block.len() as i32;
                let memory = H5Screate_simple(rank, block.as_ptr(), std::ptr::null());
                let zeros = vec![0u64; block.len()];
                let none = std::ptr::null();
                let count = extents.as_ptr();
                let ok = sys::h5s::H5Sget_simple_extent_ndims(file) == rank
                    && H5Sselect_hyperslab(file, H5S_SELECT_SET, at.as_ptr(), none, count, none)
                        >= 0
                    && H5Sselect_hyperslab(
                        memory,
                        H5S_SELECT_SET,
                        zeros.as_ptr(),
                        none,
                        count,
                        none,
                    ) >= 0
                    && sys::h5d::H5Dread(
                        self.set.id(),
                        native(self.kind),
                        memory,
                        file,
                        sys::h5p::H5P_DEFAULT,
                        out.as_mut_ptr().cast(),
                    ) >= 0;
                H5Sclose(file);
                H5Sclose(memory);
                ok
            }
        });
        match ok {
            true => Ok(()),
            false => Err(Error::data("HDF5 cannot read a chunk: it is damaged")
                .hint("fetch the file again; `h5dump` shows whether others can read it")),
        }
    }
}

fn describe(set: &h5::Dataset, path: &std::path::Path) -> h5::Result<Var> {
    let dtype = set.dtype()?;
    let Found { kind, big_endian, mut odd } = kind_of(dtype.id());
    let plist = set.create_plist()?;
    let size = kind.size();
    let stored = if odd { native(kind) } else { dtype.id() };
    let (filters, ids, fill, no_fill, layout) = h5::sync::sync(|| {
        // SAFETY: questions about an open property list; every buffer has the size that is passed along.
        unsafe {
            let (mut filters, mut ids) = (Vec::new(), Vec::new());
            for k in 0..sys::h5p::H5Pget_nfilters(plist.id()).max(0) {
                let mut flags: c_uint = 0;
                let mut values = [0 as c_uint; 16];
                let mut count = values.len();
                let mut name = [0 as c_char; 64];
                let mut config: c_uint = 0;
                let id = sys::h5p::H5Pget_filter2(
                    plist.id(),
                    k as c_uint,
                    &mut flags,
                    &mut count,
                    values.as_mut_ptr(),
                    name.len() - 1,
                    name.as_mut_ptr(),
                    &mut config,
                );
                let text = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
                ids.push(id);
                filters.push(match id {
                    1 => Filter::Deflate,
                    2 if count > 0 && values[0] > 0 => Filter::Shuffle(values[0] as usize),
                    2 => Filter::Shuffle(size),
                    3 => Filter::Fletcher32,
                    32015 => Filter::Zstd,
                    filters::LZF => Filter::Lzf,
                    4 => Filter::Unknown("szip".into()),
                    5 => Filter::Unknown("nbit".into()),
                    6 => Filter::Unknown("scaleoffset".into()),
                    32001 => Filter::Unknown("blosc".into()),
                    32026 => Filter::Unknown("blosc2".into()),
                    307 => Filter::Unknown("bzip2".into()),
                    32004 => Filter::Unknown("lz4".into()),
                    32008 => Filter::Unknown("bitshuffle".into()),
                    32013 => Filter::Unknown("zfp".into()),
                    _ if text.is_empty() => Filter::Unknown(format!("number {id}")),
                    _ => Filter::Unknown(format!("{text} (number {id})")),
                });
            }
            let mut no_fill = true;
            let mut fill = None;
            if size > 0 {
                let mut bytes = vec![0u8; size];
                let mut status = sys::h5d::H5D_fill_value_t::H5D_FILL_VALUE_UNDEFINED;
                if sys::h5p::H5Pfill_value_defined(plist.id(), &mut status) >= 0
                    && status != sys::h5d::H5D_fill_value_t::H5D_FILL_VALUE_UNDEFINED
                    && sys::h5p::H5Pget_fill_value(plist.id(), stored, bytes.as_mut_ptr().cast())
                        >= 0
                {
                    no_fill = status != sys::h5d::H5D_fill_value_t::H5D_FILL_VALUE_USER_DEFINED;
                    fill = Some(bytes);
                }
            }
            (filters, ids, fill, no_fill, sys::h5p::H5Pget_layout(plist.id()))
        }
    });
    // A filter of HDF5's own that we do not undo ourselves: the library does, as long as it knows all others too.
    let unknown = |f: &Filter| matches!(f, Filter::Unknown(_));
    let slow = filters.iter().any(unknown) && ids.iter().all(|id| filters::known(*id));
    odd |= slow && kind.is_number();
    let big_endian = if odd { cfg!(target_endian = "big") } else { big_endian };
    let readable = !filters.iter().any(unknown) || slow;
    let known = ids.iter().all(|id| filters::known(*id));
    let layout = match layout {
        H5D_layout_t::H5D_CHUNKED | H5D_layout_t::H5D_CONTIGUOUS | H5D_layout_t::H5D_COMPACT
            if odd && readable && known && !is_external(&plist) =>
        {
            let chunk = set.chunk().map(|c| c.iter().map(|&n| n as u64).collect::<Vec<_>>());
            match chunk.as_ref().is_some_and(|c| c.contains(&0)) {
                true => Layout::Unreadable("its chunk shape is damaged".into()),
                false => Layout::Library(Arc::new(Slow {
                    set: set.clone(),
                    kind,
                    path: path.to_path_buf(),
                    chunk,
                })),
            }
        }
        _ if odd && readable && !known => {
            Layout::Unreadable("it has an odd type and a filter that HDF5 does not know here".into())
        }
        H5D_layout_t::H5D_CHUNKED => match set.chunk() {
            Some(shape) if !shape.contains(&0) => {
                Layout::Chunked { shape: shape.iter().map(|&n| n as u64).collect(), table: None }
            }
            _ => Layout::Unreadable("its chunk shape is damaged".into()),
        },
        H5D_layout_t::H5D_CONTIGUOUS => {
            if is_external(&plist) {
                Layout::Unreadable("its values lie in another file (HDF5 external storage)".into())
            } else {
                Layout::Contiguous { offset: set.offset() }
            }
        }
        H5D_layout_t::H5D_COMPACT if size > 0 => {
            let mut bytes = vec![0u8; size * set.size().min(1 << 17)];
            // SAFETY: a compact data set is below 64 kB and the buffer holds all of it in its own type.
            let ok = h5::sync::sync(|| unsafe {
                sys::h5d::H5Dread(
                    set.id(),
                    dtype.id(),
                    sys::h5s::H5S_ALL,
                    sys::h5s::H5S_ALL,
                    sys::h5p::H5P_DEFAULT,
                    bytes.as_mut_ptr().cast(),
                )
            });
            if ok >= 0 && set.size() <= 1 << 17 {
                Layout::Inline(bytes)
            } else {
                Layout::Unreadable("its values cannot be read".into())
            }
        }
        H5D_layout_t::H5D_VIRTUAL => Layout::Unreadable(
            "its values lie in other files (a virtual data set), of which HDF5 does not say if one is lacking".into(),
        ),
        _ => Layout::Unreadable("its storage layout is not one that ncproj reads".into()),
    };
    let filters = if slow { Vec::new() } else { filters };
    let filters = if matches!(layout, Layout::Library(_)) { Vec::new() } else { filters };
    Ok(Var {
        name: String::new(),
        dims: Vec::new(),
        kind,
        big_endian,
        attrs: Vec::new(),
        exact: Vec::new(),
        layout,
        filters,
        fill,
        no_fill,
    })
}

fn is_external(plist: &h5::plist::DatasetCreate) -> bool {
    h5::sync::sync(|| unsafe { sys::h5p::H5Pget_external_count(plist.id()) }) > 0
}

/// Where every written chunk lies, by its number in C order.
pub fn chunks(
    library: &Handle,
    var: &Var,
    shape: &[u64],
    counts: &[u64],
) -> Result<HashMap<u64, ChunkPlace>> {
    let damaged = |e: h5::Error| {
        Error::data(format!("the chunk table of `{}` is damaged: HDF5 says `{e}`", var.name))
            .hint("fetch the file again")
    };
    let set = library.file.dataset(&var.name).map_err(damaged)?;
    let mut table = HashMap::new();
    let mut outside = false;
    set.chunks_visit(|info| {
        let mut number = 0u64;
        for (k, at) in info.offset.iter().enumerate().take(shape.len()) {
            let n = at / shape[k];
            outside |= n >= counts[k];
            number = number.wrapping_mul(counts[k]).wrapping_add(n);
        }
        let place = ChunkPlace { addr: info.addr, size: info.size, skipped: info.filter_mask };
        table.insert(number, place);
        0
    })
    .map_err(damaged)?;
    if outside {
        return Err(Error::data(format!("the chunk table of `{}` is damaged", var.name))
            .hint("fetch the file again"));
    }
    Ok(table)
}

/// A one-dimensional variable of texts.
pub fn texts(library: &Handle, name: &str) -> Option<Vec<String>> {
    let set = library.file.dataset(name).ok()?;
    if set.ndim() != 1 || set.size() > 1 << 20 {
        return None;
    }
    let (dtype, space) = (set.dtype().ok()?, set.space().ok()?);
    filters::register();
    let (all, list) = (sys::h5s::H5S_ALL, sys::h5p::H5P_DEFAULT);
    let read = |to: *mut c_void| unsafe {
        sys::h5d::H5Dread(set.id(), dtype.id(), all, all, list, to) >= 0
    };
    read_texts(&dtype, &space, set.size(), read)
}
