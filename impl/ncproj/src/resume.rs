//! What a killed run leaves for the next: the numbers of every finished window of steps, beside the output.
//!
//! `.OUT.resume` begins with a name for everything that the numbers depend on; after it come the windows in their order, each
//! with its place, its length and its hash. A window that is not whole ends the file: it is cut off and worked out again.

use crate::error::{Error, Result, base_name};
use crate::partial::hidden;
use crate::plan::Span;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const MAGIC: &[u8; 8] = b"ncprojrs";
const HEAD: u64 = 40;

/// A run that is stopped now can go on from what it kept.
static KEPT: AtomicBool = AtomicBool::new(false);

pub fn can_go_on() -> bool {
    KEPT.load(Ordering::Relaxed)
}
const ENTRY: usize = 60;

pub struct Journal {
    path: PathBuf,
    file: File,
    /// The windows up to here are known to be whole.
    at: u64,
    /// There may be more.
    reading: bool,
    pub warning: Option<String>,
    pub taken: usize,
}

/// A window's place: number of the span, first step and end.
pub type Place = (usize, usize, usize);

impl Journal {
    pub fn open(output: &Path, fingerprint: &[u8; 32]) -> Result<Journal> {
        let folder = match output.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let name = base_name(output);
        let path = folder.join(hidden(output.file_name().unwrap_or_default(), "resume"));
        let failed = |e| Error::file("write", &path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::data(format!("another run writes `{name}` at this moment"))
                .at(path.display().to_string())
                .hint("wait until it is done, or give this run another output"));
        }
        KEPT.store(true, Ordering::Relaxed);
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD).read_to_end(&mut head).map_err(failed)?;
        let fits = head.len() as u64 == HEAD && &head[..8] == MAGIC && &head[8..] == fingerprint;
        let mut warning = None;
        if !fits {
            if !head.is_empty() {
                warning = Some(format!(
                    "what `.{name}.resume` keeps is of other files, options or another version: begun anew"
                ));
            }
            file.set_len(0).map_err(failed)?;
            file.write_all_at(&[&MAGIC[..], fingerprint].concat(), 0).map_err(failed)?;
        }
        Ok(Journal { path, file, at: HEAD, reading: fits, warning, taken: 0 })
    }

    /// The columns of the next window, if it was finished; `values` is how many each of the `columns` has.
    pub fn take(
        &mut self,
        place: Place,
        columns: usize,
        values: usize,
    ) -> Result<Option<Vec<Vec<f64>>>> {
        if !self.reading {
            return Ok(None);
        }
        match self.read(place, columns, values) {
            Some((end, found)) => {
                self.at = end;
                self.taken += 1;
                Ok(Some(found))
            }
            None => {
                self.reading = false;
                self.file.set_len(self.at).map_err(|e| Error::file("write", &self.path, e))?;
                Ok(None)
            }
        }
    }

    fn read(&self, place: Place, columns: usize, values: usize) -> Option<(u64, Vec<Vec<f64>>)> {
        let mut entry = [0u8; ENTRY];
        self.file.read_exact_at(&mut entry, self.at).ok()?;
        let (head, hash) = entry.split_at(ENTRY - 32);
        if head[..20] != place_bytes(place) {
            return None;
        }
        let len = u64::from_le_bytes(head[20..28].try_into().ok()?);
        let there = self.file.metadata().ok()?.len();
        let end = self.at.checked_add(ENTRY as u64)?.checked_add(len)?;
        if end > there {
            return None;
        }
        let mut packed = vec![0; usize::try_from(len).ok()?];
        self.file.read_exact_at(&mut packed, self.at + ENTRY as u64).ok()?;
        if blake3::hash(&packed).as_bytes() != hash {
            return None;
        }
        let bytes = zstd::bulk::decompress(&packed, columns * values * 8).ok()?;
        if bytes.len() != columns * values * 8 {
            return None;
        }
        let numbers: Vec<f64> =
            bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        Some((end, numbers.chunks(values.max(1)).map(<[f64]>::to_vec).collect()))
    }

    /// Keeps a finished window.
    pub fn keep(&mut self, place: Place, columns: &[Vec<f64>]) -> Result<()> {
        let failed = |e| Error::file("write", &self.path, e);
        let bytes: Vec<u8> = columns.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        let packed = zstd::bulk::compress(&bytes, 1).map_err(failed)?;
        let mut entry = place_bytes(place).to_vec();
        entry.extend((packed.len() as u64).to_le_bytes());
        entry.extend(blake3::hash(&packed).as_bytes());
        entry.extend(&packed);
        self.file.seek(SeekFrom::Start(self.at)).map_err(failed)?;
        self.file.write_all(&entry).map_err(failed)?;
        self.at += entry.len() as u64;
        Ok(())
    }

    /// The output is whole: nothing has to be kept.
    pub fn remove(self) -> Result<()> {
        KEPT.store(false, Ordering::Relaxed);
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &self.path, e))
            }
            _ => Ok(()),
        }
    }
}

fn place_bytes((span, from, to): Place) -> [u8; 20] {
    let mut out = [0; 20];
    out[..4].copy_from_slice(&(span as u32).to_le_bytes());
    out[4..12].copy_from_slice(&(from as u64).to_le_bytes());
    out[12..].copy_from_slice(&(to as u64).to_le_bytes());
    out
}

/// A name for everything that the numbers depend on: what was asked for, and the files by size, time and both ends.
pub fn fingerprint(asked: &str, spans: &[Span]) -> Result<[u8; 32]> {
    let mut h = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        h.update(&(bytes.len() as u64).to_le_bytes());
        h.update(bytes);
    };
    part(b"ncproj resume 1");
    part(asked.as_bytes());
    for span in spans {
        part(format!("{:?}", span.runs).as_bytes());
        for m in &span.members {
            let failed = |e| Error::file("read", &m.path, e);
            let file = File::open(&m.path).map_err(failed)?;
            let meta = file.metadata().map_err(failed)?;
            part(format!("{} {} {}", m.file, m.variable, m.name).as_bytes());
            part(format!("{} {:?}", meta.len(), meta.modified().ok()).as_bytes());
            for from in [0, meta.len().saturating_sub(65536)] {
                let mut bytes = vec![0; meta.len().min(65536) as usize];
                file.read_exact_at(&mut bytes, from).map_err(failed)?;
                part(&bytes);
            }
        }
    }
    Ok(*h.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let folder = std::env::temp_dir().join(format!("ncproj-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let output = folder.join("o.csv");
        let first = Journal::open(&output, &[1; 32]).unwrap();
        let second = Journal::open(&output, &[1; 32]).err().unwrap();
        assert_eq!(
            second.to_string(),
            format!(
                "another run writes `o.csv` at this moment\n  at {}\n\n\
                 hint: wait until it is done, or give this run another output",
                folder.join(".o.csv.resume").display()
            )
        );
        drop(first);
        assert!(Journal::open(&output, &[1; 32]).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn windows_come_back_until_one_is_broken() {
        let folder = std::env::temp_dir().join(format!("ncproj-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let output = folder.join("o.csv");
        let mut j = Journal::open(&output, &[1; 32]).unwrap();
        j.keep((0, 0, 2), &[vec![1.0, f64::NAN], vec![3.0, 4.0]]).unwrap();
        j.keep((0, 2, 4), &[vec![5.0, 6.0], vec![7.0, 8.0]]).unwrap();
        let path = folder.join(".o.csv.resume");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        drop(j);
        let mut j = Journal::open(&output, &[1; 32]).unwrap();
        let got = j.take((0, 0, 2), 2, 2).unwrap().unwrap();
        assert!(got[0][1].is_nan() && got[1] == [3.0, 4.0]);
        assert!(j.take((0, 2, 4), 2, 2).unwrap().is_none());
        assert!(j.take((0, 2, 4), 2, 2).unwrap().is_none());
        drop(j);
        let other = Journal::open(&output, &[2; 32]).unwrap();
        assert!(other.warning.is_some_and(|w| w.contains("begun anew")));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
