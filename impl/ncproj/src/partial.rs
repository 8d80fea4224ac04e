//! Files that appear whole or not at all: written beside their name, renamed at the end.

use crate::error::{Error, Result, base_name, needs_file};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

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

pub struct Partial {
    path: PathBuf,
    part: PathBuf,
    done: bool,
}

impl Partial {
    /// Opens `.NAME.<pid>.part` in the folder of `path`.
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
        let part = folder.join(format!(".{}.{}.part", base_name(path), std::process::id()));
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
