//! Subcommands of the command line, a module each.

pub mod check;
pub mod export;
pub mod shell;
