//! The blocks in which a variable's values lie on disk, read with `pread` and unpacked without a lock.
//!
//! An HDF5 chunk is a block. What is not chunked is cut into blocks that are one run of bytes each.

use super::{Filter, Layout, Source};
use crate::error::{Error, Result};
use libdeflater::Decompressor;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// No block may be larger than this: a damaged header must not take the machine's memory.
const MOST_BYTES: u64 = 1 << 30;
/// The size of the blocks into which contiguous storage is cut.
const RUN_BYTES: u64 = 4 << 20;

enum Places {
    Chunks(std::collections::HashMap<u64, super::ChunkPlace>),
    Run(Option<u64>),
    Records { offset: u64, stride: u64 },
    Inline(Vec<u8>),
    Library(Arc<super::hdf5::Slow>),
}

pub struct Blocks {
    pub shape: Vec<u64>,
    /// The nominal shape of a block; the distance of two values within one follows from it.
    pub block: Vec<u64>,
    pub counts: Vec<u64>,
    pub size: usize,
    places: Places,
    filters: Vec<Filter>,
    fill: Vec<u8>,
    label: String,
}

/// Buffers that a worker keeps from block to block.
pub struct Scratch {
    packed: Vec<u8>,
    plain: Vec<u8>,
    spare: Vec<u8>,
    inflater: Decompressor,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            packed: Vec::new(),
            plain: Vec::new(),
            spare: Vec::new(),
            inflater: Decompressor::new(),
        }
    }
}

/// The bytes of one block. `shuffled`: the first bytes of all values come first, then all second bytes, and so on.
pub struct Raw<'a> {
    pub bytes: &'a [u8],
    pub shuffled: bool,
}

impl std::ops::Deref for Raw<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl Blocks {
    /// `Source::locate` comes first for chunked variables.
    pub fn new(source: &Source, index: usize) -> Result<Blocks> {
        let var = &source.vars[index];
        let label = format!("{}: variable `{}`", source.name, var.name);
        let shape = source.shape(var);
        let size = var.kind.size();
        let refuse = |what: String| Error::data(what).at(label.clone());
        if size == 0 {
            return Err(refuse(format!("`{}` is not made of numbers", var.name)));
        }
        for filter in &var.filters {
            if let Filter::Unknown(name) = filter {
                return Err(super::NO_FILTER.error(&[&var.name, name]).at(label));
            }
        }
        let total = shape.iter().try_fold(size as u64, |a, n| a.checked_mul(*n));
        if total.is_none_or(|t| t > 1 << 60) {
            return Err(refuse(format!("the shape {shape:?} of `{}` cannot be true", var.name))
                .hint("fetch the file again"));
        }
        let (block, places) = match &var.layout {
            Layout::Chunked { shape: chunk, table } => {
                let table = table.clone().unwrap_or_default();
                (chunk.clone(), Places::Chunks(table))
            }
            Layout::Contiguous { offset } => {
                let mut block = run_shape(&shape, size as u64);
                if offset.is_none() && block.is_empty() {
                    block = vec![];
                }
                (block, Places::Run(*offset))
            }
            Layout::Records { offset, stride } => {
                let mut block = vec![1];
                block.extend(run_shape(&shape[1..], size as u64));
                (block, Places::Records { offset: *offset, stride: *stride })
            }
            Layout::Inline(bytes) => (shape.clone(), Places::Inline(bytes.clone())),
            Layout::Library(slow) => {
                let block = match &slow.chunk {
                    Some(chunk) => chunk.clone(),
                    None => run_shape(&shape, size as u64),
                };
                (block, Places::Library(slow.clone()))
            }
            Layout::Unreadable(why) => {
                return Err(super::NO_LAYOUT.error(&[&var.name, why]).at(label));
            }
        };
        let bytes = block.iter().try_fold(size as u64, |a, n| a.checked_mul(*n));
        if bytes.is_none_or(|b| b > MOST_BYTES) || block.len() != shape.len() {
            return Err(refuse(format!("the chunks {block:?} of `{}` are too large", var.name))
                .hint("rechunk the file (`nccopy -c`) or check that it is whole"));
        }
        if let Some(end) = last_byte(&places, &shape, size as u64)
            && end > source.bytes
        {
            return Err(super::truncated(source, end));
        }
        let counts = shape.iter().zip(&block).map(|(n, b)| n.div_ceil((*b).max(1))).collect();
        let fill = match &var.fill {
            Some(f) if f.len() == size => f.clone(),
            _ => vec![0; size],
        };
        Ok(Blocks { shape, block, counts, size, places, filters: var.filters.clone(), fill, label })
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().product()
    }

    /// The first value's position of the block with this number (C order).
    pub fn position(&self, mut number: u64) -> Vec<u64> {
        let mut at = vec![0; self.counts.len()];
        for k in (0..at.len()).rev() {
            at[k] = number % self.counts[k] * self.block[k];
            number /= self.counts[k];
        }
        at
    }

    /// How far two neighbours along each dimension lie apart within a block, in values.
    pub fn strides(&self) -> Vec<u64> {
        let mut out = vec![1; self.block.len()];
        for k in (0..self.block.len().saturating_sub(1)).rev() {
            out[k] = out[k + 1] * self.block[k + 1];
        }
        out
    }

    /// How many of a block's values lie within the variable, along each dimension.
    pub fn extents(&self, at: &[u64]) -> Vec<u64> {
        (0..at.len()).map(|k| self.block[k].min(self.shape[k] - at[k])).collect()
    }

    /// Calls `f(place in the block, place in the whole variable)` for every value of a block.
    pub fn each_value(&self, at: &[u64], shape: &[u64], mut f: impl FnMut(usize, usize)) {
        let extents = self.extents(at);
        let strides = self.strides();
        let total: u64 = extents.iter().product();
        for mut n in 0..total {
            let (mut from, mut to, mut step) = (0, 0, 1);
            for k in (0..at.len()).rev() {
                let i = n % extents[k];
                n /= extents[k];
                from += i * strides[k];
                to += (at[k] + i) * step;
                step *= shape[k];
            }
            f(from as usize, to as usize);
        }
    }

    fn number(&self, at: &[u64]) -> u64 {
        at.iter().enumerate().fold(0, |n, (k, a)| n * self.counts[k] + a / self.block[k].max(1))
    }

    /// Was this block ever written?
    pub fn is_written(&self, at: &[u64]) -> bool {
        match &self.places {
            Places::Chunks(table) => table.contains_key(&self.number(at)),
            Places::Run(offset) => offset.is_some(),
            _ => true,
        }
    }

    /// Bytes on disk of all blocks that were written.
    pub fn stored(&self) -> u64 {
        match &self.places {
            Places::Chunks(table) => table.values().map(|p| p.size).sum(),
            _ => self.shape.iter().product::<u64>() * self.size as u64,
        }
    }

    pub fn read<'a>(
        &'a self,
        source: &Source,
        at: &[u64],
        scratch: &'a mut Scratch,
    ) -> Result<Raw<'a>> {
        let full = self.block.iter().product::<u64>() as usize * self.size;
        let lost = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => super::truncated(source, source.bytes + 1),
            _ => Error::file("read", &source.path, e).at(&self.label),
        };
        match &self.places {
            Places::Inline(bytes) => Ok(Raw { bytes, shuffled: false }),
            Places::Run(None) => Ok(self.unwritten(full, scratch)),
            Places::Library(slow) => {
                slow.read(at, &self.extents(at), &self.block, &mut scratch.plain)
                    .map_err(|e| e.at(format!("{}, chunk at {at:?}", self.label)))?;
                Ok(Raw { bytes: &scratch.plain, shuffled: false })
            }
            Places::Run(Some(_)) | Places::Records { .. } => {
                let extents = self.extents(at);
                let len = extents.iter().product::<u64>() as usize * self.size;
                let (mut place, mut step) = (0u64, self.size as u64);
                let first = usize::from(matches!(self.places, Places::Records { .. }));
                for k in (first..at.len()).rev() {
                    place += at[k] * step;
                    step *= self.shape[k];
                }
                place += match &self.places {
                    Places::Records { offset, stride } => offset + at[0] * stride,
                    Places::Run(Some(offset)) => *offset,
                    _ => 0,
                };
                scratch.plain.resize(len, 0);
                source.file.read_exact_at(&mut scratch.plain, place).map_err(lost)?;
                Ok(Raw { bytes: &scratch.plain, shuffled: false })
            }
            Places::Chunks(table) => {
                let Some(place) = table.get(&self.number(at)) else {
                    return Ok(self.unwritten(full, scratch));
                };
                // A packed chunk is hardly ever larger than it is unpacked.
                if place.size > 2 * full as u64 + 4096 {
                    return Err(self.damaged(at, "its size cannot be true"));
                }
                scratch.packed.resize(place.size as usize, 0);
                source.file.read_exact_at(&mut scratch.packed, place.addr).map_err(lost)?;
                self.unpack(at, place.skipped, full, scratch)
            }
        }
    }

    fn unwritten<'a>(&self, full: usize, scratch: &'a mut Scratch) -> Raw<'a> {
        scratch.plain.clear();
        scratch.plain.reserve(full);
        while scratch.plain.len() < full {
            scratch.plain.extend_from_slice(&self.fill);
        }
        Raw { bytes: &scratch.plain, shuffled: false }
    }

    /// Undoes the filters in `scratch.packed`, last one first.
    fn unpack<'a>(
        &self,
        at: &[u64],
        skipped: u32,
        full: usize,
        scratch: &'a mut Scratch,
    ) -> Result<Raw<'a>> {
        let active: Vec<&Filter> = self
            .filters
            .iter()
            .enumerate()
            .filter(|(k, _)| *k >= 32 || skipped >> k & 1 == 0)
            .map(|(_, f)| f)
            .collect();
        let mut shuffled = false;
        for (k, filter) in active.iter().enumerate().rev() {
            // What this filter gives back: the values, and a checksum for each fletcher32 applied before it.
            let sums = active[..k].iter().filter(|f| ***f == Filter::Fletcher32).count();
            let wanted = full + 4 * sums;
            match filter {
                Filter::Fletcher32 => {
                    let Some(len) = scratch.packed.len().checked_sub(4) else {
                        return Err(self.damaged(at, "it is too short for its checksum"));
                    };
                    let tail = &scratch.packed[len..];
                    let kept = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
                    let sum = fletcher32(&scratch.packed[..len]);
                    // HDF5 before 1.6.3 swapped the bytes of both halves.
                    let old = (sum & 0x00ff_00ff) << 8 | (sum >> 8) & 0x00ff_00ff;
                    if kept != sum && kept != old {
                        return Err(self.damaged(at, "its checksum (fletcher32) is wrong"));
                    }
                    scratch.packed.truncate(len);
                }
                Filter::Deflate => {
                    scratch.plain.resize(wanted, 0);
                    let got = scratch
                        .inflater
                        .zlib_decompress(&scratch.packed, &mut scratch.plain)
                        .map_err(|e| self.damaged(at, &format!("it does not inflate ({e:?})")))?;
                    if got != wanted {
                        return Err(self.damaged(at, "it inflates to the wrong size"));
                    }
                    std::mem::swap(&mut scratch.packed, &mut scratch.plain);
                }
                Filter::Zstd => {
                    scratch.plain.clear();
                    scratch.plain.resize(wanted, 0);
                    let got = zstd::bulk::decompress_to_buffer(
                        &scratch.packed,
                        scratch.plain.as_mut_slice(),
                    )
                    .map_err(|e| self.damaged(at, &format!("it does not unpack ({e})")))?;
                    if got != wanted {
                        return Err(self.damaged(at, "it unpacks to the wrong size"));
                    }
                    std::mem::swap(&mut scratch.packed, &mut scratch.plain);
                }
                Filter::Lzf => {
                    let done = super::filters::lzf(&scratch.packed, wanted, &mut scratch.plain);
                    if done.is_none() || scratch.plain.len() != wanted {
                        return Err(self.damaged(at, "it does not unpack (lzf)"));
                    }
                    std::mem::swap(&mut scratch.packed, &mut scratch.plain);
                }
                // The decoder undoes the last shuffle on the way, where it is a shuffle of whole values.
                Filter::Shuffle(n) if k == 0 && *n == self.size => shuffled = *n > 1,
                Filter::Shuffle(n) => {
                    unshuffle(&scratch.packed, *n, &mut scratch.spare);
                    std::mem::swap(&mut scratch.packed, &mut scratch.spare);
                }
                Filter::Unknown(name) => {
                    return Err(self.damaged(at, &format!("the filter `{name}` is not known")));
                }
            }
        }
        if scratch.packed.len() != full {
            return Err(self.damaged(at, "it has the wrong size"));
        }
        Ok(Raw { bytes: &scratch.packed, shuffled })
    }

    fn damaged(&self, at: &[u64], why: &str) -> Error {
        Error::data(format!("a chunk is damaged: {why}"))
            .at(format!("{}, chunk at {at:?}", self.label))
            .hint("fetch the file again")
    }
}

/// A run of bytes of at most `RUN_BYTES`: whole inner dimensions, a part of one, single steps of the outer ones.
fn run_shape(shape: &[u64], size: u64) -> Vec<u64> {
    let mut block = vec![1; shape.len()];
    let mut bytes = size;
    for k in (0..shape.len()).rev() {
        let fits = (RUN_BYTES / bytes.max(1)).max(1);
        block[k] = shape[k].clamp(1, fits);
        bytes *= block[k];
        if block[k] < shape[k] {
            break;
        }
    }
    block
}

fn last_byte(places: &Places, shape: &[u64], size: u64) -> Option<u64> {
    let total: u64 = shape.iter().product::<u64>() * size;
    match places {
        _ if total == 0 => None,
        Places::Run(Some(offset)) => Some(offset.saturating_add(total)),
        Places::Records { offset, stride } => {
            let last = shape[0] - 1;
            Some(
                offset
                    .saturating_add(last.saturating_mul(*stride))
                    .saturating_add(total / shape[0]),
            )
        }
        _ => None,
    }
}

/// Puts the bytes of every value together again.
pub fn unshuffle(from: &[u8], size: usize, to: &mut Vec<u8>) {
    let count = from.len() / size;
    to.clear();
    to.resize(from.len(), 0);
    for b in 0..size {
        let plane = &from[b * count..(b + 1) * count];
        for (i, v) in plane.iter().enumerate() {
            to[i * size + b] = *v;
        }
    }
    // What does not fill a whole value was left where it is.
    let rest = count * size;
    to[rest..].copy_from_slice(&from[rest..]);
}

/// HDF5's checksum: Fletcher's over big-endian 16-bit words.
fn fletcher32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (0u32, 0u32);
    let words = data.chunks_exact(2);
    let odd = words.remainder().first().copied();
    let mut since = 0;
    for w in words {
        a += u32::from(w[0]) << 8 | u32::from(w[1]);
        b = b.wrapping_add(a);
        since += 1;
        if since == 360 {
            a = (a & 0xffff) + (a >> 16);
            b = (b & 0xffff) + (b >> 16);
            since = 0;
        }
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
    if let Some(o) = odd {
        a += u32::from(o) << 8;
        b = b.wrapping_add(a);
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_bytes_come_together_again() {
        let mut out = Vec::new();
        unshuffle(&[1, 3, 5, 2, 4, 6, 9], 2, &mut out);
        assert_eq!(out, [1, 2, 3, 4, 5, 6, 9]);
    }

    #[test]
    fn a_run_is_whole_rows() {
        assert_eq!(run_shape(&[12, 192, 288], 4), [12, 192, 288]);
        assert_eq!(run_shape(&[365, 585, 1386], 4), [1, 585, 1386]);
        assert_eq!(run_shape(&[10, 20000, 10000], 4), [1, 104, 10000]);
    }

    #[test]
    fn fletcher_of_one_word_is_that_word_twice() {
        assert_eq!(fletcher32(&[0x01, 0x02]), 0x0102_0102);
    }
}
