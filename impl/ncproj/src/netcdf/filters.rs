//! Filters that the HDF5 library in this program does not have, for itself and for chunks that we unpack.

use hdf5_metno as h5;
use hdf5_metno_sys as sys;
use std::ffi::{c_uint, c_void};
use std::sync::Once;
use sys::h5z::H5Z_class2_t;

const DEFLATE: i32 = 1;
pub const LZF: i32 = 32000;
const ZSTD: i32 = 32015;
/// No chunk may unpack to more.
const MOST_BYTES: usize = 1 << 30;

/// Marc Lehmann's LZF, as h5py writes it: at most so many bytes.
pub fn lzf(packed: &[u8], most: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut rest = packed.iter().copied();
    while let Some(control) = rest.next() {
        let control = usize::from(control);
        if control < 32 {
            // A run of bytes as they are.
            for _ in 0..=control {
                out.push(rest.next()?);
            }
        } else {
            // A copy of what came before.
            let mut len = control >> 5;
            if len == 7 {
                len += usize::from(rest.next()?);
            }
            let back = ((control & 31) << 8) + usize::from(rest.next()?) + 1;
            let from = out.len().checked_sub(back)?;
            for k in 0..len + 2 {
                out.push(*out.get(from + k)?);
            }
        }
        if out.len() > most {
            return None;
        }
    }
    Some(())
}

/// Bytes of a chunk whose unpacked size only the hint tells: tried again with more room.
fn unpack(id: i32, packed: &[u8], hint: usize) -> Option<Vec<u8>> {
    let mut room = hint.max(4 * packed.len()).clamp(64, MOST_BYTES);
    loop {
        let mut out = vec![0; room];
        match id {
            DEFLATE => match libdeflater::Decompressor::new().zlib_decompress(packed, &mut out) {
                Ok(n) => {
                    out.truncate(n);
                    return Some(out);
                }
                Err(libdeflater::DecompressionError::InsufficientSpace) if room < MOST_BYTES => {}
                Err(_) => return None,
            },
            ZSTD => match zstd::bulk::decompress_to_buffer(packed, &mut out) {
                Ok(n) => {
                    out.truncate(n);
                    return Some(out);
                }
                Err(_) if room < MOST_BYTES => {}
                Err(_) => return None,
            },
            _ => return None,
        }
        room = (room * 4).min(MOST_BYTES);
    }
}

/// What the library calls: only to unpack; 0 says that it did not work.
fn called(
    id: i32,
    flags: c_uint,
    nbytes: usize,
    size: &mut usize,
    buffer: &mut *mut c_void,
) -> usize {
    if flags & sys::h5z::H5Z_FLAG_REVERSE == 0 || buffer.is_null() {
        return 0;
    }
    // SAFETY: the library says that so many bytes are there.
    let packed = unsafe { std::slice::from_raw_parts((*buffer).cast::<u8>(), nbytes) };
    let out = match id {
        LZF => {
            let mut out = Vec::new();
            lzf(packed, MOST_BYTES, &mut out).map(|()| out)
        }
        _ => unpack(id, packed, *size),
    };
    let Some(out) = out.filter(|o| !o.is_empty()) else { return 0 };
    // SAFETY: the new buffer is the library's own and as long as what is copied; the old one is given back.
    unsafe {
        let new = sys::h5::H5allocate_memory(out.len() as _, 0);
        if new.is_null() {
            return 0;
        }
        std::ptr::copy_nonoverlapping(out.as_ptr(), new.cast::<u8>(), out.len());
        sys::h5::H5free_memory(*buffer);
        *buffer = new;
    }
    *size = out.len();
    out.len()
}

macro_rules! filter {
    ($name:ident, $id:expr) => {
        unsafe extern "C" fn $name(
            flags: c_uint,
            _count: usize,
            _values: *const c_uint,
            nbytes: usize,
            size: *mut usize,
            buffer: *mut *mut c_void,
        ) -> usize {
            // SAFETY: the library hands over valid pointers.
            unsafe { called($id, flags, nbytes, &mut *size, &mut *buffer) }
        }
    };
}

filter!(deflate, DEFLATE);
filter!(unlzf, LZF);
filter!(unzstd, ZSTD);

/// Tells the library of them, once.
pub fn register() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        h5::sync::sync(|| {
            let all: [(i32, &std::ffi::CStr, sys::h5z::H5Z_func_t); 3] = [
                (DEFLATE, c"deflate", Some(deflate)),
                (LZF, c"lzf", Some(unlzf)),
                (ZSTD, c"zstd", Some(unzstd)),
            ];
            for (id, name, filter) in all {
                let class = H5Z_class2_t {
                    version: sys::h5z::H5Z_CLASS_T_VERS as _,
                    id,
                    encoder_present: 0,
                    decoder_present: 1,
                    name: name.as_ptr(),
                    can_apply: None,
                    set_local: None,
                    filter,
                };
                // SAFETY: the library copies the class; its name is static.
                unsafe {
                    if sys::h5z::H5Zfilter_avail(id) <= 0 {
                        sys::h5z::H5Zregister((&raw const class).cast());
                    }
                }
            }
        });
    });
}

/// Whether the library can undo this filter.
pub fn known(id: i32) -> bool {
    register();
    h5::sync::sync(|| unsafe { sys::h5z::H5Zfilter_avail(id) }) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lzf_repeats_what_came_before() {
        let mut out = Vec::new();
        // "ab" as it is, then 4 bytes from 2 back: control (4 - 2) << 5, distance 2 - 1
        assert!(lzf(&[1, b'a', b'b', 2 << 5, 1], 6, &mut out).is_some());
        assert_eq!(out, b"ababab");
        // it goes back before the beginning, breaks off, or is longer than it may be
        assert!(lzf(&[0, b'a', 2 << 5, 1], 5, &mut out).is_none());
        assert!(lzf(&[3, b'a'], 4, &mut out).is_none());
        assert!(lzf(&[1, b'a', b'b'], 1, &mut out).is_none());
    }
}
