//! Files that appear whole or not at all: written beside their name, renamed at the end.

use crate::error::{Error, Result, base_name, needs_file};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// Nothing is written for so long without a byte in between.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The unfinished files of this process.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes what is unfinished, where the process ends without unwinding.
pub fn remove_all() {
    if let Ok(open) = OPEN.lock() {
        for part in open.iter() {
            let _ = std::fs::remove_file(part);
        }
    }
}

/// A folder may be shared, and two hosts have the same numbers. `impl/run/files.py` writes and sweeps the same names.
fn part_name(name: &str, pid: u32) -> String {
    format!(".{name}.{}.{pid}.part", *HOST)
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
pub fn remove_leftovers(folder: &Path, name: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let Some(by) = file
            .to_str()
            .and_then(|f| f.strip_prefix(&format!(".{name}.")))
            .and_then(|f| f.strip_suffix(".part"))
        else {
            continue;
        };
        let (host, pid) = by.rsplit_once('.').unwrap_or(("", by));
        if host.contains('.') || pid.is_empty() || !pid.chars().all(|c| c.is_ascii_digit()) {
            continue; // of another output, whose name begins with this one
        }
        let dead = host == *HOST
            && Path::new("/proc/self").exists()
            && !Path::new("/proc").join(pid).exists();
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if dead || age().is_some_and(|age| age > KEPT) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
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
        let part = folder.join(part_name(&base_name(path), std::process::id()));
        let file = File::create(&part).map_err(|e| Error::file("write", path, e))?;
        if let Ok(mut open) = OPEN.lock() {
            open.push(part.clone());
        }
        Ok((Partial { path: path.to_path_buf(), part, done: false }, file))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file is whole: give it its name.
    pub fn commit(mut self) -> Result<()> {
        std::fs::rename(&self.part, &self.path).map_err(|e| Error::file("write", &self.path, e))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Ok(mut open) = OPEN.lock() {
            open.retain(|p| *p != self.part);
        }
        if !self.done {
            let _ = std::fs::remove_file(&self.part);
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
        let ours = part_name("o.csv", std::process::id());
        let left = part_name("o.csv", dead);
        let (theirs, longer) = (format!(".o.csv.other.{dead}.part"), part_name("o.csv.gz", dead));
        let (old, older) = (".o.csv.other.7.part".to_string(), ".o.csv.7.part".to_string());
        let month_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
        for name in [&ours, &left, &theirs, &longer, &old, &older] {
            let file = File::create(folder.join(name)).unwrap();
            if name == &old || name == &older {
                file.set_modified(month_ago).unwrap();
            }
        }
        remove_leftovers(&folder, "o.csv");
        let there = |name: &str| folder.join(name).exists();
        assert!(there(&ours) && there(&theirs) && there(&longer));
        assert!(!there(&left) && !there(&old) && !there(&older));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
