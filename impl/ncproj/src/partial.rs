//! Files that appear whole or not at all: written beside their name, renamed at the end.

use crate::error::{Error, Result, needs_file};
use crate::inputs;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// Nothing is written for so long without a byte in between.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes that a file's name may have.
const LONGEST: usize = 255;

/// The unfinished files of this process.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes what is unfinished, where the process ends without unwinding: nothing is begun or finished after that.
pub fn remove_all() {
    if let Ok(open) = OPEN.lock() {
        remove(&open);
        std::mem::forget(open);
    }
}

/// The same where this thread may be in the midst of it: at the end of the memory.
pub fn remove_all_now() {
    if let Ok(open) = OPEN.try_lock() {
        remove(&open);
        std::mem::forget(open);
    }
}

fn remove(open: &[PathBuf]) {
    for part in open {
        let _ = std::fs::remove_file(part);
    }
}

/// A folder may be shared, and two hosts have the same numbers. `impl/run/files.py` writes and sweeps the same names.
fn part_name(name: &OsStr, pid: u32) -> OsString {
    hidden(name, &format!("{}.{pid}.part", *HOST))
}

/// `.NAME.END`; of a long name only as much as a file's name may have, and a hash.
pub fn hidden(name: &OsStr, end: &str) -> OsString {
    let bytes = name.as_bytes();
    let room = LONGEST.saturating_sub(end.len() + 2);
    let mut out = b".".to_vec();
    if bytes.len() > room {
        let hash = blake3::hash(bytes).to_hex();
        out.extend(&bytes[..room.saturating_sub(9)]);
        out.push(b'~');
        out.extend(&hash.as_bytes()[..8]);
    } else {
        out.extend(bytes);
    }
    out.push(b'.');
    out.extend(end.as_bytes());
    OsString::from_vec(out)
}

/// The name of this machine, as it may stand in the name of a file.
static HOST: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |b: &u8| if b.is_ascii_alphanumeric() { char::from(*b) } else { '-' };
    match name.trim_ascii_end() {
        [] => "host".to_string(),
        name => name.iter().map(plain).collect(),
    }
});

/// Removes the unfinished files of `name` that killed runs left. Nobody here knows the processes of another host: what
/// they left goes when it is a week old.
pub fn remove_leftovers(folder: &Path, name: &OsStr) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Some((host, pid)) = made_by(&entry.file_name(), name) else { continue };
        let dead = host == HOST.as_bytes() && !lives(pid);
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if (dead || age().is_some_and(|age| age > KEPT)) && !held(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Host and process of an unfinished file of `name`.
fn made_by(file: &OsStr, name: &OsStr) -> Option<(Vec<u8>, i32)> {
    let by = file.as_bytes().strip_suffix(b".part")?;
    let dot = by.iter().rposition(|b| *b == b'.')?;
    let digits = std::str::from_utf8(&by[dot + 1..]).ok()?;
    let pid = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let before = &by[..dot];
    if before == [b".", name.as_bytes()].concat() {
        return Some((Vec::new(), pid));
    }
    let host = &before[before.iter().rposition(|b| *b == b'.')? + 1..];
    let ours = hidden(name, &format!("{}.{digits}.part", std::str::from_utf8(host).ok()?));
    (ours == file).then(|| (host.to_vec(), pid))
}

/// There is such a process, be it another's.
fn lives(pid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    let there = unsafe { libc::kill(pid, 0) == 0 };
    there || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Who writes it holds its lock: numbers of processes mean nothing from one container to another.
fn held(part: &Path) -> bool {
    File::open(part).is_ok_and(|f| matches!(f.try_lock(), Err(TryLockError::WouldBlock)))
}

pub struct Partial {
    path: PathBuf,
    part: PathBuf,
    done: bool,
}

impl Partial {
    /// Opens `.NAME.<host>.<pid>.part` in the folder of `path`.
    pub fn create(path: &Path) -> Result<(Partial, File)> {
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        needs_file(
            "write",
            path,
            "give the output the name of a file (`ncproj aggregate -o -` streams to stdout)",
        )?;
        let failed = |e| Error::file("write", path, e);
        let name = path.file_name().ok_or_else(|| failed(ErrorKind::IsADirectory.into()))?;
        remove_leftovers(folder, name);
        let part = folder.join(part_name(name, std::process::id()));
        let mut open = OPEN.lock().map_err(|_| failed(ErrorKind::Other.into()))?;
        let file = File::create(&part).map_err(failed)?;
        let _ = file.try_lock();
        open.push(part.clone());
        drop(open);
        Ok((Partial { path: path.to_path_buf(), part, done: false }, file))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file is whole, and so were the inputs: give it its name.
    pub fn commit(mut self) -> Result<()> {
        inputs::verify()?;
        let failed = |e| Error::file("write", &self.path, e);
        let mut open = OPEN.lock().map_err(|_| failed(ErrorKind::Other.into()))?;
        std::fs::rename(&self.part, &self.path).map_err(failed)?;
        open.retain(|p| *p != self.part);
        drop(open);
        self.done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let _ = std::fs::remove_file(&self.part);
        if let Ok(mut open) = OPEN.lock() {
            open.retain(|p| *p != self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_other_hosts_write_stays_for_a_week() {
        let folder = std::env::temp_dir().join(format!("ncproj-left-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let dead = 1 << 30; // no process has this number
        let text = |name: &str, pid| part_name(OsStr::new(name), pid).into_string().unwrap();
        let ours = text("o.csv", std::process::id());
        let left = text("o.csv", dead);
        let (theirs, longer) = (format!(".o.csv.other.{dead}.part"), text("o.csv.gz", dead));
        let (old, older) = (".o.csv.other.7.part".to_string(), ".o.csv.7.part".to_string());
        let month_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
        for name in [&ours, &left, &theirs, &longer, &old, &older] {
            let file = File::create(folder.join(name)).unwrap();
            if name == &old || name == &older {
                file.set_modified(month_ago).unwrap();
            }
        }
        remove_leftovers(&folder, OsStr::new("o.csv"));
        let there = |name: &str| folder.join(name).exists();
        assert!(there(&ours) && there(&theirs) && there(&longer));
        assert!(!there(&left) && !there(&old) && !there(&older));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_written_at_this_moment_stays_whoever_writes_it() {
        let folder = std::env::temp_dir().join(format!("ncproj-held-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let part = folder.join(part_name(OsStr::new("o.csv"), 1 << 30));
        let file = File::create(&part).unwrap();
        file.try_lock().unwrap();
        remove_leftovers(&folder, OsStr::new("o.csv"));
        assert!(part.exists());
        drop(file);
        remove_leftovers(&folder, OsStr::new("o.csv"));
        assert!(!part.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_long_name_leaves_room_for_what_stands_around_it() {
        let name = "n".repeat(255);
        let part = part_name(OsStr::new(&name), 7);
        assert_eq!(part.len(), 255);
        assert_eq!(made_by(&part, OsStr::new(&name)), Some((HOST.as_bytes().to_vec(), 7)));
        assert_eq!(made_by(&part, OsStr::new("n")), None);
    }
}
