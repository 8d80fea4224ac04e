//! `ncproj aggregate`: its options, and what is said about a run.

use crate::{say, threads};
use clap::{Args, ValueEnum};
use ncproj::aggregate::{self, Request, Weights};
use ncproj::error::{Error, Result, base_name};
use ncproj::index::Index;
use ncproj::output::Format;
use ncproj::plan::Pick;
use ncproj::select::{Bbox, Choice, Times, Where};
use ncproj::stats::Stat;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct AggregateArgs {
    /// The index of `ncproj index` for this grid
    #[arg(long, value_name = "INDEX")]
    index: PathBuf,
    /// Variables to take: [FILE:]VARIABLE[=NAME], by commas; FILE is a part of a file's name or a pattern with `*`
    /// [default: all on the grid]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    variables: Vec<String>,
    /// Statistics, by commas: min, max, mean, sum, count, variance, stdev, median, quantiles by percentage (q05, q97.5), mode,
    /// valid; one column `{stat}_{NAME}` each
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "min,max,mean,valid")]
    stats: Vec<String>,
    /// How cells count in the mean: by covered area on the sphere, or by covered share of the cell
    #[arg(long, value_enum, default_value_t = WeightsArg::Area)]
    weights: WeightsArg,
    /// Null unless this share of the region's weight has a value (0..1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    min_valid: f64,
    #[command(flatten)]
    part: PartArgs,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The file to write: .parquet, .csv, .arrow or .nc (CF `timeSeries`); `-` is a stream on stdout
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// What to write, whatever the file is called [default: by its extension; csv for `-`]
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// One row per time, and a column `{stat}_{NAME}_{key}` per statistic and region
    #[arg(long)]
    wide: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// netCDF files; other variables at the same times become columns, other times become rows
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Parquet,
    Csv,
    Arrow,
    Nc,
}

impl AggregateArgs {
    fn format(&self) -> Result<Format> {
        match self.format {
            Some(FormatArg::Parquet) => Ok(Format::Parquet),
            Some(FormatArg::Csv) => Ok(Format::Csv),
            Some(FormatArg::Arrow) => Ok(Format::Arrow),
            Some(FormatArg::Nc) => Ok(Format::Netcdf),
            None if self.output.as_os_str() == "-" => Ok(Format::Csv),
            None => Format::of(&self.output),
        }
    }
}

/// A part of the whole.
#[derive(Args)]
struct PartArgs {
    /// Only these times, FROM..TO as ISO dates or parts of them, both included: 2005-01-01..2005-03-31, 1990.., 2005-07
    #[arg(long, value_name = "FROM..TO", help_heading = "A part of the whole")]
    time: Option<String>,
    /// Only regions of which a cell touches this box, in degrees: --bbox=-109,37,-102,41
    #[arg(
        long,
        value_name = "W,S,E,N",
        allow_hyphen_values = true,
        help_heading = "A part of the whole"
    )]
    bbox: Option<String>,
    /// Only regions whose key fits: KEY=GLOB,... with `*` for any text and `?` for any character; may be given again
    #[arg(long, value_name = "KEY=GLOB", help_heading = "A part of the whole")]
    r#where: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum WeightsArg {
    Area,
    Coverage,
}

pub fn run(a: &AggregateArgs) -> Result<()> {
    let threads = threads(a.threads)?;
    let picks = a.variables.iter().map(|v| Pick::parse(v)).collect::<Result<Vec<_>>>()?;
    let mut stats: Vec<Stat> = Vec::new();
    for name in &a.stats {
        let stat = Stat::parse(name)?;
        if !stats.contains(&stat) {
            stats.push(stat);
        }
    }
    if !(0.0..=1.0).contains(&a.min_valid) {
        return Err(Error::usage(format!("`--min-valid {}` is no share", a.min_valid))
            .hint("give a number from 0 to 1"));
    }
    let format = a.format()?;
    let times = a.part.time.as_deref().map(Times::parse).transpose()?;
    let choice = Choice {
        wheres: a.part.r#where.iter().map(|w| Where::parse(w)).collect::<Result<Vec<_>>>()?,
        bbox: a.part.bbox.as_deref().map(Bbox::parse).transpose()?,
    };
    let mut index = Index::load(&a.index)?;
    if !choice.is_all() {
        index = choice.of(&index)?;
    }
    let weights = match a.weights {
        WeightsArg::Area => Weights::Area,
        WeightsArg::Coverage => Weights::Coverage,
    };
    let summary = aggregate::run(&Request {
        index: &index,
        choice: &choice,
        times: times.as_ref(),
        files: &a.files,
        picks: &picks,
        stats: &stats,
        weights,
        min_valid: a.min_valid,
        threads,
        output: &a.output,
        format,
        wide: a.wide,
    })?;
    for w in &summary.warnings {
        say(a.quiet, &format!("warning: {w}"));
    }
    say(a.quiet, &format!("{}: {}", shown(&a.output), aggregate::sentence(&summary)));
    Ok(())
}

fn shown(output: &Path) -> String {
    if output.as_os_str() == "-" { "the stream".to_string() } else { base_name(output) }
}
