//! Where rows go: a file that appears whole or not at all, or the stream on stdout.

use crate::error::{Error, Result};
use crate::partial::Partial;
use std::fs::File;
use std::io::{Stdout, Write};
use std::path::{Path, PathBuf};

pub struct Target {
    path: PathBuf,
    to: To,
}

enum To {
    File(Partial, File),
    Stream(Stdout),
}

/// `-` is the stream.
pub fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A reader that went away is not worth a word.
pub fn failed(path: &Path, e: std::io::Error) -> Error {
    match is_stream(path) {
        true if e.kind() == std::io::ErrorKind::BrokenPipe => Error::Closed,
        true => Error::data(format!("cannot write to stdout: {e}"))
            .hint("what was written so far is not whole"),
        false => Error::file("write", path, e),
    }
}

impl Target {
    pub fn create(path: &Path) -> Result<Target> {
        let to = match is_stream(path) {
            true => To::Stream(std::io::stdout()),
            false => {
                let (partial, file) = Partial::create(path)?;
                To::File(partial, file)
            }
        };
        Ok(Target { path: path.to_path_buf(), to })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, for those who write here and there.
    pub fn file(&self) -> Option<&File> {
        match &self.to {
            To::File(_, file) => Some(file),
            To::Stream(_) => None,
        }
    }

    /// All is written: the file gets its name.
    pub fn commit(mut self) -> Result<()> {
        self.flush().map_err(|e| failed(&self.path, e))?;
        match self.to {
            To::File(partial, file) => {
                drop(file);
                partial.commit()
            }
            To::Stream(_) => Ok(()),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.to {
            To::File(_, file) => file.write(bytes),
            To::Stream(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.to {
            To::File(_, file) => file.flush(),
            To::Stream(out) => out.flush(),
        }
    }
}
