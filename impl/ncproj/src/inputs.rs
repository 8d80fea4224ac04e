//! Whether the inputs stay as they are: a file that changes while it is read gives numbers of which some are old and some new.
//!
//! Every input is known from the first time it is opened: inode, size, times, and a hash of both ends (a disk may keep times
//! by the second only). It has to be the same whenever it is opened again, and before an output gets its name. A file that
//! another took the place of by a rename does no harm to who has the old one open.

use crate::error::{Error, Result, base_name, thousands};
use crate::time::iso;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes at either end that are hashed.
const END: u64 = 16 << 10;

/// What the file system says of a file.
#[derive(Clone)]
struct Outside {
    id: (u64, u64),
    len: u64,
    written: (i64, i64),
    /// Also moves where only links, mode or owner change, which these tell.
    touched: (i64, i64),
    about: (u64, u32, u32, u32),
}

#[derive(Clone)]
struct Stamp {
    outside: Outside,
    ends: blake3::Hash,
}

#[derive(Default)]
struct Seen {
    files: BTreeMap<PathBuf, Stamp>,
    /// The first file that was found to have changed, and how.
    changed: Option<(PathBuf, String)>,
}

const REPLACED: &str = "another file has taken its place since it was opened first";

static SEEN: Mutex<Seen> = Mutex::new(Seen { files: BTreeMap::new(), changed: None });
static WATCHING: AtomicBool = AtomicBool::new(false);
static SURE: AtomicBool = AtomicBool::new(false);

/// From now on, for the whole process: a program that reads files which it also writes does not want this.
pub fn watch() {
    WATCHING.store(true, Ordering::Relaxed);
}

fn watching() -> bool {
    WATCHING.load(Ordering::Relaxed)
}

/// An input was opened: the first time, or as it was then.
pub fn opened(path: &Path, file: &File) -> Result<()> {
    if !watching() {
        return Ok(());
    }
    SURE.store(false, Ordering::Relaxed);
    let failed = |e| Error::file("read", path, e);
    let now = Outside::of(&file.metadata().map_err(failed)?);
    let Ok(mut seen) = SEEN.lock() else { return Ok(()) };
    // The bytes are compared once, by `verify`.
    match seen.files.get(path).map(|first| first.outside.difference(&now)) {
        None => {
            seen.files.insert(path.to_path_buf(), Stamp::of(file).map_err(failed)?);
            Ok(())
        }
        Some(None) => Ok(()),
        Some(Some(how)) => Err(error(path, &how)),
    }
}

/// The path still leads to the file that is open: so does what a library opened by it meanwhile.
pub fn same(path: &Path, file: &File) -> Result<()> {
    let id = |m: &Metadata| (m.dev(), m.ino());
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(a), Ok(b)) if id(&a) == id(&b) => Ok(()),
        _ => Err(error(path, REPLACED)),
    }
}

/// An input will be closed: the handle may be all that still leads to it.
pub fn closing(path: &Path, file: &File) {
    if !watching() {
        return;
    }
    let (Ok(meta), Ok(mut seen)) = (file.metadata(), SEEN.lock()) else { return };
    let now = Outside::of(&meta);
    let how = seen.files.get(path).and_then(|first| first.outside.difference(&now));
    if let Some(how) = how
        && seen.changed.is_none()
    {
        seen.changed = Some((path.to_path_buf(), how));
    }
}

/// All inputs are as they were when they were opened first.
pub fn verify() -> Result<()> {
    let Ok(seen) = SEEN.lock() else { return Ok(()) };
    if !watching() || SURE.load(Ordering::Relaxed) {
        return Ok(());
    }
    if let Some((path, how)) = &seen.changed {
        return Err(error(path, how));
    }
    for (path, first) in &seen.files {
        // What is gone or was replaced was read from the old file, whole.
        let Ok(meta) = std::fs::metadata(path) else { continue };
        let now = Outside::of(&meta);
        if now.id != first.outside.id {
            continue;
        }
        let how = first.outside.difference(&now).or_else(|| {
            let now = File::open(path).and_then(|file| Stamp::of(&file)).ok()?;
            first.difference(&now)
        });
        if let Some(how) = how {
            return Err(error(path, &how));
        }
    }
    SURE.store(true, Ordering::Relaxed);
    Ok(())
}

/// What went wrong, or what lies behind it: a file that changes looks damaged.
pub fn explain(found: Error) -> Error {
    match &found {
        Error::Usage(_) | Error::Closed => found,
        _ => verify().err().unwrap_or(found),
    }
}

fn error(path: &Path, how: &str) -> Error {
    Error::data(format!("`{}` changed while it was read", base_name(path)))
        .at(format!("{}: {how}", path.display()))
        .hint("begin again when nothing writes to it any more")
}

impl Outside {
    fn of(meta: &Metadata) -> Outside {
        Outside {
            id: (meta.dev(), meta.ino()),
            len: meta.len(),
            written: (meta.mtime(), meta.mtime_nsec()),
            touched: (meta.ctime(), meta.ctime_nsec()),
            about: (meta.nlink(), meta.mode(), meta.uid(), meta.gid()),
        }
    }

    fn difference(&self, now: &Outside) -> Option<String> {
        if now.id != self.id {
            return Some(REPLACED.to_string());
        }
        if now.len != self.len {
            let (then, now) = (thousands(self.len), thousands(now.len));
            return Some(format!("it had {then} bytes and has {now}"));
        }
        if now.written != self.written {
            let shown = |(s, ns): (i64, i64)| iso(s.saturating_mul(1_000_000) + ns / 1000);
            let (then, now) = (shown(self.written), shown(now.written));
            return Some(format!("it was written {then}, and again {now}"));
        }
        (now.touched != self.touched && now.about == self.about)
            .then(|| "it was written again, and its time put back".to_string())
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Stamp> {
        let meta = file.metadata()?;
        let mut hasher = blake3::Hasher::new();
        let mut bytes = vec![0; meta.len().min(END) as usize];
        let starts = [0, meta.len().saturating_sub(END)];
        for &from in &starts[..if starts[1] > 0 { 2 } else { 1 }] {
            // Where it is shorter than it was a moment ago, the size tells.
            if file.read_exact_at(&mut bytes, from).is_ok() {
                hasher.update(&bytes);
            }
        }
        Ok(Stamp { outside: Outside::of(&meta), ends: hasher.finalize() })
    }

    fn difference(&self, now: &Stamp) -> Option<String> {
        self.outside.difference(&now.outside).or_else(|| {
            (now.ends != self.ends).then(|| "its bytes are others than before".to_string())
        })
    }
}
