//! Subcommands of the command line, a module each.

pub mod check;
pub mod export;
pub mod features;
pub mod shell;
