//! The command line: parses, calls the library, prints, chooses the exit code.

mod aggregate_command;
mod cli;

use clap::{Args, CommandFactory, Parser, Subcommand};
use ncproj::error::{Error, Result, base_name, list, refuse_input, thousands};
use ncproj::index::{self, Notes};
use ncproj::netcdf::Source;
use ncproj::{grid, info, output, regions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Gridded data (netCDF) aggregated by regions: exact coverage, every chunk read once, Parquet out.
#[derive(Parser)]
#[command(name = "ncproj", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Work out which cells of a grid each region covers, and keep it in a file.
    Index(IndexArgs),
    /// Reduce netCDF files to one row per region and time.
    Aggregate(aggregate_command::AggregateArgs),
    /// Say what a netCDF file or an index holds.
    Info(InfoArgs),
    /// Say whether an index fits files, and what share of each region they leave out; exit code 1 where it does not fit.
    Check(cli::check::CheckArgs),
    /// Write an index as CSV, Parquet, or netCDF weights for xesmf.
    Export(cli::export::ExportArgs),
    /// Say what ncproj does with what a file may say: honoured, converted, or refused with which message.
    Features(cli::features::FeaturesArgs),
    /// Print the completion script of a shell.
    Completion(cli::shell::CompletionArgs),
    /// Print the manual page (for `man -l -`).
    Man(cli::shell::ManArgs),
    /// Figures for those who measure.
    #[command(hide = true, subcommand)]
    Bench(Bench),
}

#[derive(Args)]
struct IndexArgs {
    /// Polygons: shapefile (.zip or .shp), GeoPackage (.gpkg), GeoParquet (.parquet) or .geojson; in longitude and
    /// latitude, or in a projected system that the file names
    #[arg(long, value_name = "FILE")]
    regions: PathBuf,
    /// The layer meant, where a .gpkg has several, or a .zip several shapefiles
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// The field that names a region, or a text with fields in braces: G{STATEFP10}0{COUNTYFP10}0
    #[arg(long, value_name = "FIELD")]
    key: String,
    /// The name of the key's column in the output [default: the field, or `key` for a text with fields]
    #[arg(long, value_name = "NAME")]
    key_name: Option<String>,
    /// A netCDF file on the grid
    #[arg(long, value_name = "FILE")]
    grid: PathBuf,
    /// The variable whose grid is meant, where a file has several grids
    #[arg(long, value_name = "NAME")]
    variable: Option<String>,
    /// The index to write
    #[arg(short, long, value_name = "INDEX")]
    output: PathBuf,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Args)]
struct InfoArgs {
    /// A netCDF file or an index
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Read and inflate all chunks of the gridded variables, and nothing else.
    Inflate { file: PathBuf },
}

fn main() -> ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { ncproj::crs::forget_environment() };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match cli.command {
        Command::Index(a) => run_index(&a),
        Command::Aggregate(a) => aggregate_command::run(&a),
        Command::Info(a) => run_info(&a),
        Command::Check(a) => match cli::check::run(&a) {
            Ok(false) => return ExitCode::from(1),
            other => other.map(|_| ()),
        },
        Command::Export(a) => cli::export::run(&a),
        Command::Features(a) => cli::features::run(&a),
        Command::Completion(a) => cli::shell::completion(&a, Cli::command()),
        Command::Man(a) => cli::shell::man(&a, Cli::command()),
        Command::Bench(Bench::Inflate { file }) => run_inflate(&file),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Closed) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| output::stream_failed(Path::new("-"), e))
}

fn threads(wanted: Option<usize>) -> Result<usize> {
    match wanted {
        Some(0) => Err(Error::usage("`--threads 0` leaves nobody to do the work")
            .hint("give 1 or more, or leave it away for all cores")),
        Some(n) => Ok(n.min(1024)),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

fn run_index(a: &IndexArgs) -> Result<()> {
    let threads = threads(a.threads)?;
    refuse_input(&a.output, &[&a.regions, &a.grid])?;
    let mut source = Source::open(&a.grid)?;
    let grid = grid::find(&mut source, a.variable.as_deref())?;
    let (key_name, layer) = (a.key_name.as_deref(), a.layer.as_deref());
    let found = regions::read_onto(&a.regions, &a.key, key_name, layer, grid.datum.as_ref())?;
    let (index, notes) = index::build(grid, &source.name, &found, threads)?;
    index.save(&a.output)?;
    for w in &found.warnings {
        say(a.quiet, &format!("warning: {w}"));
    }
    say_notes(a.quiet, &notes);
    let repaired = match index.cut + index.rebuilt {
        0 => "none repaired".to_string(),
        n => format!(
            "{} repaired ({} touched themselves, {} crossed)",
            thousands(n),
            thousands(index.cut),
            thousands(index.rebuilt)
        ),
    };
    say(
        a.quiet,
        &format!(
            "{}: {} regions ({repaired}), {} pairs of region and cell, {}",
            base_name(&a.output),
            thousands(index.keys.len() as u64),
            thousands(index.cells.len() as u64),
            index.grid.describe()
        ),
    );
    Ok(())
}

fn say_notes(quiet: bool, notes: &Notes) {
    let count = |n: &[String]| match n.len() {
        1 => "1 region".to_string(),
        n => format!("{} regions", thousands(n as u64)),
    };
    for (names, what) in [
        (&notes.outside, "wholly outside the grid, null in the output"),
        (&notes.without_area, "without area, null in the output"),
        (&notes.unwrapped, "drawn from 180 straight to -180, taken to cross the date line"),
    ] {
        if !names.is_empty() {
            say(quiet, &format!("warning: {what}: {}: {}", count(names), list(names, 5)));
        }
    }
    if !notes.partly.is_empty() {
        let shown: Vec<String> = notes
            .partly
            .iter()
            .take(5)
            .map(|(k, s)| format!("`{k}` {:.1} %", 100.0 * (1.0 - s)))
            .collect();
        let names: Vec<String> = notes.partly.iter().map(|(k, _)| k.clone()).collect();
        let more = match names.len() {
            n if n > 5 => format!(" and {} more", thousands(n as u64 - 5)),
            _ => String::new(),
        };
        let text = format!(
            "warning: in part outside the grid: {}: {}{more}",
            count(&names),
            shown.join(", ")
        );
        say(quiet, &text);
    }
}

fn run_info(a: &InfoArgs) -> Result<()> {
    let about = info::describe(&a.file)?;
    if a.json { print(&format!("{about:#}\n")) } else { print(&info::text(&about)) }
}

fn run_inflate(file: &std::path::Path) -> Result<()> {
    let start = std::time::Instant::now();
    let (chunks, bytes) = ncproj::work::inflate_only(file)?;
    let seconds = start.elapsed().as_secs_f64();
    print(&format!(
        "{} chunks, {} bytes unpacked, {seconds:.3} s on one thread\n",
        thousands(chunks),
        thousands(bytes)
    ))
}
