//! Just enough of zip to read the members of an archive: stored or deflated, checked by CRC.

use crate::error::{Error, Result, base_name, read_whole};
use std::path::Path;

pub struct Archive {
    pub name: String,
    bytes: Vec<u8>,
    /// (name, method, crc, packed size, size, offset of the local header)
    members: Vec<Member>,
}

struct Member {
    name: String,
    method: u16,
    crc: u32,
    packed: usize,
    size: usize,
    offset: usize,
}

const MOST: usize = 4 << 30;

fn two(b: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?) as usize)
}

fn four(b: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?) as usize)
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let bytes = read_whole(path)?;
        let name = base_name(path);
        let members = directory(&bytes).ok_or_else(|| {
            Error::data(format!("`{name}` is not a whole zip archive"))
                .at(path.display().to_string())
                .hint("fetch the file again: the download or the copy broke off")
        })?;
        Ok(Archive { name, bytes, members })
    }

    pub fn names(&self) -> Vec<String> {
        self.members.iter().map(|m| m.name.clone()).collect()
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let damaged = |why: &str| {
            Error::data(format!("`{name}` in the archive is damaged: {why}"))
                .at(self.name.clone())
                .hint("fetch the file again")
        };
        let Some(m) = self.members.iter().find(|m| m.name == name) else {
            return Err(Error::data(format!("the archive has no `{name}`")).at(self.name.clone()));
        };
        let packed = (|| {
            let names = two(&self.bytes, m.offset + 26)? + two(&self.bytes, m.offset + 28)?;
            let from = m.offset + 30 + names;
            self.bytes.get(from..from.checked_add(m.packed)?)
        })()
        .ok_or_else(|| damaged("it ends too early"))?;
        // Deflate packs at most 1:1032; a larger size is a lie.
        if m.size > MOST || m.size / 1040 > m.packed + 1 {
            return Err(damaged("its size cannot be true"));
        }
        let out = match m.method {
            0 => packed.to_vec(),
            8 => {
                let mut out = vec![0u8; m.size];
                let got = libdeflater::Decompressor::new()
                    .deflate_decompress(packed, &mut out)
                    .map_err(|e| damaged(&format!("it does not inflate ({e:?})")))?;
                out.truncate(got);
                out
            }
            n => return Err(damaged(&format!("it is packed by method {n}, not by deflate"))),
        };
        if out.len() != m.size || libdeflater::crc32(&out) != m.crc {
            return Err(damaged("its checksum is wrong"));
        }
        Ok(out)
    }
}

fn directory(b: &[u8]) -> Option<Vec<Member>> {
    let from = b.len().saturating_sub(66_000);
    let end =
        (from..b.len().checked_sub(21)?).rev().find(|&i| b[i..].starts_with(b"PK\x05\x06"))?;
    let count = two(b, end + 10)?;
    let mut at = four(b, end + 16)?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        if !b.get(at..)?.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (names, extra, comment) = (two(b, at + 28)?, two(b, at + 30)?, two(b, at + 32)?);
        let name = b.get(at + 46..at + 46 + names)?;
        out.push(Member {
            name: String::from_utf8_lossy(name).into_owned(),
            method: two(b, at + 10)? as u16,
            crc: four(b, at + 16)? as u32,
            packed: four(b, at + 20)?,
            size: four(b, at + 24)?,
            offset: four(b, at + 42)?,
        });
        at += 46 + names + extra + comment;
    }
    Some(out)
}
