//! netCDF-4: what the HDF5 library knows about a file. Only descriptions are asked of it, never values.

use super::{Attr, ChunkPlace, Dim, Filter, Kind, Layout, Source, Var, truncated};
use crate::error::{Error, Result, list};
use crate::inputs;
use hdf5_metno as h5;
use hdf5_metno_sys as sys;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_uint, c_void};
use std::os::fd::AsRawFd;

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
    let mut names = file.member_names().map_err(|e| broken(&source, &e))?;
    names.sort(); // the order in which the library lists links depends on how they are kept
    let mut sets: Vec<(String, h5::Dataset)> = Vec::new();
    for name in names {
        match file.dataset(&name) {
            Ok(set) => sets.push((name, set)),
            Err(_) if file.group(&name).is_ok() => source.groups.push(name),
            Err(_) => {} // a named type, or a link to nowhere
        }
    }

    // Dimensions are the data sets that carry a scale; the order is netCDF's own number where it is given.
    let mut attrs: Vec<Vec<(String, Attr)>> = Vec::new();
    for (_, set) in &sets {
        attrs.push(attributes(set).map_err(|e| broken(&source, &e))?);
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
        let mut var = describe(set).map_err(|e| broken(&source, &e))?;
        shapes.push(shape.iter().map(|n| *n as u64).collect());
        var.name = name.clone();
        var.dims = dims;
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
    if source.vars.is_empty() && !source.groups.is_empty() {
        return Err(Error::data(
            "the file keeps its variables in groups, which ncproj does not read",
        )
        .at(format!("{}: {}", source.name, list(&source.groups, 12)))
        .hint("copy the group to a file of its own (`ncks -G : -g GROUP in.nc out.nc`)"));
    }
    source.attrs = attributes(&file).map_err(|e| broken(&source, &e))?;
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

/// All attributes that are texts or numbers.
fn attributes(at: &h5::Location) -> h5::Result<Vec<(String, Attr)>> {
    let mut out = Vec::new();
    for name in at.attr_names()? {
        if name == "REFERENCE_LIST" || name == "DIMENSION_LIST" {
            continue;
        }
        if let Ok(attr) = at.attr(&name)
            && let Some(value) = attribute(&attr)
        {
            out.push((name, value));
        }
    }
    Ok(out)
}

fn attribute(attr: &h5::Attribute) -> Option<Attr> {
    let dtype = attr.dtype().ok()?;
    let (kind, _) = kind_of(dtype.id());
    if kind.is_number() {
        if attr.size() > 1 << 20 {
            return None;
        }
        return Some(Attr::Numbers(kind, attr.read_raw::<f64>().ok()?));
    }
    if kind != Kind::Text && kind != Kind::Char {
        return None;
    }
    if h5::sync::sync(|| unsafe { sys::h5t::H5Tis_variable_str(dtype.id()) }) > 0 {
        let ascii = attr.read_raw::<h5::types::VarLenAscii>().map(|v| {
            v.iter().map(|s| String::from_utf8_lossy(s.as_bytes()).into_owned()).collect()
        });
        let texts: Vec<String> = ascii
            .or_else(|_| {
                attr.read_raw::<h5::types::VarLenUnicode>()
                    .map(|v| v.iter().map(|s| s.as_str().to_string()).collect())
            })
            .ok()?;
        return Some(Attr::Text(texts.join(", ")));
    }
    let size = dtype.size().checked_mul(attr.size().max(1))?;
    if size > 1 << 24 {
        return None;
    }
    let mut bytes = vec![0u8; size];
    // SAFETY: the buffer has the size of the attribute in its own type, in which it is read.
    let ok = h5::sync::sync(|| unsafe {
        sys::h5a::H5Aread(attr.id(), dtype.id(), bytes.as_mut_ptr().cast::<c_void>())
    });
    let text = String::from_utf8_lossy(&bytes);
    (ok >= 0).then(|| Attr::Text(text.trim_end_matches(['\0', ' ']).to_string()))
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

/// The number type behind an HDF5 type, and whether its bytes are big-endian.
fn kind_of(dtype: sys::h5i::hid_t) -> (Kind, bool) {
    h5::sync::sync(|| {
        // SAFETY: plain questions about an open type.
        unsafe {
            use sys::h5t::{
                H5Tget_class, H5Tget_order, H5Tget_precision, H5Tget_sign, H5Tget_size,
            };
            let class = H5Tget_class(dtype);
            let size = H5Tget_size(dtype);
            let whole = H5Tget_precision(dtype) == size * 8;
            let big = H5Tget_order(dtype) == H5T_order_t::H5T_ORDER_BE;
            let kind = match class {
                H5T_class_t::H5T_INTEGER if whole => {
                    let signed = H5Tget_sign(dtype) == H5T_sign_t::H5T_SGN_2;
                    match (size, signed) {
                        (1, true) => Kind::I1,
                        (1, false) => Kind::U1,
                        (2, true) => Kind::I2,
                        (2, false) => Kind::U2,
                        (4, true) => Kind::I4,
                        (4, false) => Kind::U4,
                        (8, true) => Kind::I8,
                        (8, false) => Kind::U8,
                        _ => Kind::Other,
                    }
                }
                H5T_class_t::H5T_FLOAT if whole && size == 4 => Kind::F4,
                H5T_class_t::H5T_FLOAT if whole && size == 8 => Kind::F8,
                H5T_class_t::H5T_STRING if size == 1 => Kind::Char,
                H5T_class_t::H5T_STRING => Kind::Text,
                _ => Kind::Other,
            };
            (kind, big)
        }
    })
}

fn describe(set: &h5::Dataset) -> h5::Result<Var> {
    let dtype = set.dtype()?;
    let (kind, big_endian) = kind_of(dtype.id());
    let plist = set.create_plist()?;
    let size = kind.size();
    let (filters, fill, no_fill, layout) = h5::sync::sync(|| {
        // SAFETY: questions about an open property list; every buffer has the size that is passed along.
        unsafe {
            let mut filters = Vec::new();
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
                filters.push(match id {
                    1 => Filter::Deflate,
                    2 if count > 0 && values[0] > 0 => Filter::Shuffle(values[0] as usize),
                    2 => Filter::Shuffle(size),
                    3 => Filter::Fletcher32,
                    32015 => Filter::Zstd,
                    4 => Filter::Unknown("szip".into()),
                    5 => Filter::Unknown("nbit".into()),
                    6 => Filter::Unknown("scaleoffset".into()),
                    32001 => Filter::Unknown("blosc".into()),
                    32026 => Filter::Unknown("blosc2".into()),
                    307 => Filter::Unknown("bzip2".into()),
                    32004 => Filter::Unknown("lz4".into()),
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
                    && sys::h5p::H5Pget_fill_value(
                        plist.id(),
                        dtype.id(),
                        bytes.as_mut_ptr().cast(),
                    ) >= 0
                {
                    no_fill = status != sys::h5d::H5D_fill_value_t::H5D_FILL_VALUE_USER_DEFINED;
                    fill = Some(bytes);
                }
            }
            (filters, fill, no_fill, sys::h5p::H5Pget_layout(plist.id()))
        }
    });
    let layout = match layout {
        H5D_layout_t::H5D_CHUNKED => match set.chunk() {
            Some(shape) if !shape.contains(&0) => {
                Layout::Chunked { shape: shape.iter().map(|&n| n as u64).collect(), table: None }
            }
            _ => Layout::Unreadable("its chunk shape is damaged".into()),
        },
        H5D_layout_t::H5D_CONTIGUOUS => {
            let external =
                h5::sync::sync(|| unsafe { sys::h5p::H5Pget_external_count(plist.id()) });
            if external > 0 {
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
        _ => Layout::Unreadable("its storage layout is not one that ncproj reads".into()),
    };
    Ok(Var {
        name: String::new(),
        dims: Vec::new(),
        kind,
        big_endian,
        attrs: Vec::new(),
        layout,
        filters,
        fill,
        no_fill,
    })
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
    let unicode = set
        .read_raw::<h5::types::VarLenUnicode>()
        .map(|v| v.iter().map(|s| s.as_str().to_string()).collect());
    unicode
        .or_else(|_| {
            set.read_raw::<h5::types::VarLenAscii>()
                .map(|v| v.iter().map(|s| s.as_str().to_string()).collect())
        })
        .ok()
}
