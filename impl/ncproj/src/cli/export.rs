//! `ncproj export`.

use clap::{Args, ValueEnum};
use ncproj::error::{Result, base_name, refuse_input, thousands};
use ncproj::export::{self, Format};
use ncproj::index::Index;
use std::path::PathBuf;

#[derive(Clone, Copy, ValueEnum)]
enum WeightsArg {
    Area,
    Coverage,
}

#[derive(Args)]
pub struct ExportArgs {
    /// The index of `ncproj index`
    #[arg(long, value_name = "INDEX")]
    index: PathBuf,
    /// The weights `S` of a .nc: by covered area, or by covered share of the cell; their sum is 1 for each region
    #[arg(long, value_enum, default_value_t = WeightsArg::Area)]
    weights: WeightsArg,
    /// The file to write: .csv or .parquet (a row for each pair of region and cell: key, row, column, latitude and
    /// longitude of the cell, coverage, area_weight = coverage x area of the cell in steradians), or .nc (`row`, `col`
    /// and `S` as xesmf reads them: region and cell, from 1, and weight)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(a: &ExportArgs) -> Result<()> {
    Format::of(&a.output)?;
    refuse_input(&a.output, &[&a.index])?;
    let index = Index::load(&a.index)?;
    export::write(&index, &a.output, matches!(a.weights, WeightsArg::Area))?;
    crate::say(
        a.quiet,
        &format!(
            "{}: {} regions, {} pairs of region and cell",
            base_name(&a.output),
            thousands(index.keys.len() as u64),
            thousands(index.cells.len() as u64)
        ),
    );
    Ok(())
}
