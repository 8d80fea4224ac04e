//! A limit to what HDF5's own library may take: on a damaged file it can turn in a circle for ever, and nothing else stops it.

use crate::error::{Error, base_name};
use crate::partial;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Seconds, unless `NCPROJ_PATIENCE` says otherwise.
const SECONDS: u64 = 300;

unsafe extern "C" {
    /// Ends the process without the handlers of the libraries, which could wait for the thread that never comes back.
    fn _exit(code: i32) -> !;
}

/// As long as it lives, the time runs.
pub struct Patience {
    _over: Sender<()>,
}

impl Patience {
    pub fn with(path: &Path) -> Patience {
        let seconds = std::env::var("NCPROJ_PATIENCE").ok().and_then(|s| s.parse().ok());
        let limit = Duration::from_secs(seconds.unwrap_or(SECONDS));
        let (over, end) = channel();
        let name = base_name(path);
        let place = path.display().to_string();
        let wait = move || {
            if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let error = Error::data(format!(
                    "HDF5 does not come to an end with `{name}`: it is damaged, or on a very slow disk"
                ))
                .at(place)
                .hint("fetch the file again; NCPROJ_PATIENCE=SECONDS waits longer");
                let _ = writeln!(std::io::stderr(), "error: {error}");
                partial::remove_all();
                // SAFETY: nothing of ours is left to be done.
                unsafe { _exit(1) }
            }
        };
        // Without it a damaged file may take for ever, but most are whole.
        let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(wait);
        Patience { _over: over }
    }
}
