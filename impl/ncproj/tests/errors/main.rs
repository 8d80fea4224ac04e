//! What the user sees when something is wrong, word for word: every error and every warning, in tests/snapshots/*.txt.
//!
//! A text was changed on purpose, or a new case was written? `UPDATE_SNAPSHOTS=1 cargo test --release --test errors` accepts
//! what the program says now; read the difference (`git diff tests/snapshots`) aloud before you commit it.

#[path = "../common/mod.rs"]
mod common;

mod carry;
mod classes;
mod command_line;
mod complete;
mod crs;
mod files;
mod formats;
mod grid;
mod index;
mod make;
mod netcdf;
mod output;
mod regions;
mod snapshot;
mod variables;
mod warnings;
