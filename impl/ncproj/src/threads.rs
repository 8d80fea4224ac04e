//! Threads that the system may refuse: then fewer do the work.

use crate::error::Error;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Up to `wanted` threads that do `work`: as many as can be started.
pub fn helpers<'scope, 'env, T, F>(
    scope: &'scope Scope<'scope, 'env>,
    wanted: usize,
    work: F,
) -> Vec<ScopedJoinHandle<'scope, T>>
where
    F: Fn() -> T + Copy + Send + 'scope,
    T: Send + 'scope,
{
    (0..wanted).map_while(|_| Builder::new().spawn_scoped(scope, work).ok()).collect()
}

/// Not one could be started.
pub fn refused(e: &std::io::Error) -> Error {
    Error::data(format!("no thread can be started: {e}")).hint(
        "`ulimit -u` says how many processes and threads you may have, `ulimit -v` how much memory",
    )
}
