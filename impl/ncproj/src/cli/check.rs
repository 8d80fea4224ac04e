//! `ncproj check`.

use clap::Args;
use ncproj::check::{self, Request};
use ncproj::error::Result;
use ncproj::index::Index;
use std::path::PathBuf;

#[derive(Args)]
pub struct CheckArgs {
    /// The index of `ncproj index`
    #[arg(long, value_name = "INDEX")]
    index: PathBuf,
    /// Look for missing cells in every step, not in the first alone
    #[arg(long)]
    all_steps: bool,
    /// As JSON: the share of each region outside the grid and, for each variable, over missing cells
    #[arg(long)]
    json: bool,
    /// netCDF files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Whether all files fit.
pub fn run(a: &CheckArgs) -> Result<bool> {
    let index = Index::load(&a.index)?;
    let (about, fits) =
        check::run(&Request { index: &index, files: &a.files, all_steps: a.all_steps })?;
    if a.json {
        crate::print(&format!("{about:#}\n"))?
    } else {
        crate::print(&check::text(&about))?
    }
    Ok(fits)
}
