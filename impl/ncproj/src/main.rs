//! The command line: parses, calls the library, prints, chooses the exit code.

mod aggregate_command;
mod cli;
mod system;

use clap::{Args, CommandFactory, Parser, Subcommand};
use ncproj::carry::Carry;
use ncproj::error::{Error, Result, base_name, list, refuse_input, thousands};
use ncproj::grid::Named;
use ncproj::index::{self, Notes};
use ncproj::netcdf::Source;
use ncproj::{grid, info, inputs, output, plan, regions};
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
    /// Polygons: shapefile (.zip or .shp), GeoPackage (.gpkg), GeoParquet (.parquet), GeoJSON (.geojson, .geojsonl) or
    /// FlatGeobuf (.fgb); in longitude and latitude, or in a projected system that the file names
    #[arg(long, value_name = "FILE")]
    regions: PathBuf,
    /// The layer meant, where a .gpkg has several, or a .zip several files of regions
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// The field that names a region, or a text with fields in braces: G{STATEFP10}0{COUNTYFP10}0; @id is the features' own
    /// id in GeoJSON and GeoPackage
    #[arg(long, value_name = "FIELD")]
    key: String,
    /// The name of the key's column in the output [default: the field, or `key` for a text with fields]
    #[arg(long, value_name = "NAME")]
    key_name: Option<String>,
    /// Other fields of the regions that become columns of the output, after the key: NAME or NAME=COLUMN, by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    carry: Vec<String>,
    /// A netCDF file on the grid
    #[arg(long, value_name = "FILE")]
    grid: PathBuf,
    /// The variable whose grid is meant, where a file has several grids
    #[arg(long, value_name = "NAME")]
    variable: Option<String>,
    /// The variable that holds the latitudes of the rows, where the file does not tell; with `--longitude`
    #[arg(long, value_name = "NAME", requires = "longitude", conflicts_with_all = ["y", "x"])]
    latitude: Option<String>,
    /// The variable that holds the longitudes of the columns; with `--latitude`
    #[arg(long, value_name = "NAME", requires = "latitude")]
    longitude: Option<String>,
    /// The variable that holds y of the rows of a projected grid, where the file does not tell; with `--x`
    #[arg(long, value_name = "NAME", requires = "x")]
    y: Option<String>,
    /// The variable that holds x of the columns; with `--y`
    #[arg(long, value_name = "NAME", requires = "y")]
    x: Option<String>,
    /// The group of the file that holds the variable; `--variable GROUP/NAME` says the same
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
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
    system::run(work)
}

fn work() -> ExitCode {
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
            Ok(false) if inputs::verify().is_ok() => return ExitCode::from(1),
            other => other.map(|_| ()),
        },
        Command::Export(a) => cli::export::run(&a),
        Command::Features(a) => cli::features::run(&a),
        Command::Completion(a) => cli::shell::completion(&a, Cli::command()),
        Command::Man(a) => cli::shell::man(&a, Cli::command()),
        Command::Bench(Bench::Inflate { file }) => run_inflate(&file),
    };
    match result.map_err(inputs::explain).and_then(|()| inputs::verify()) {
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
    let carry = Carry::parse(&a.carry)?;
    let mut source = Source::open(&a.grid)?;
    let named = match (&a.latitude, &a.longitude, &a.y, &a.x) {
        (Some(lat), Some(lon), ..) => Some((lat, lon, false)),
        (_, _, Some(y), Some(x)) => Some((y, x, true)),
        _ => None,
    };
    if let Some((lat, lon, plane)) = named {
        Named { lat: lat.clone(), lon: lon.clone(), plane }.apply(&mut source)?;
    }
    let variable = variable_of(&source, a)?;
    if let Some(e) = plan::why_not(&source, variable.as_deref()) {
        return Err(e);
    }
    let grid = grid::find(&mut source, variable.as_deref())?;
    let (key_name, layer) = (a.key_name.as_deref(), a.layer.as_deref());
    let mut found =
        regions::read(&a.regions, &a.key, key_name, layer, &carry.fields, grid.datum.as_ref())?;
    found.carried = carry.of(std::mem::take(&mut found.carried), &found.key_name)?;
    let (mut index, notes) = index::build(grid, &source.name, &found, threads)?;
    index.named = source.named.take();
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

/// The variable that is meant, by its path.
fn variable_of(source: &Source, a: &IndexArgs) -> Result<Option<String>> {
    let plain = a.variable.as_ref().map(|v| v.strip_prefix('/').unwrap_or(v).to_string());
    let Some(group) = a.group.as_deref().map(|g| g.trim_matches('/')) else { return Ok(plain) };
    if let Some(v) = plain {
        return Ok(Some(format!("{group}/{v}")));
    }
    let all = plan::all_gridded(source);
    match all.iter().find(|v| v.rsplit_once('/').is_some_and(|(g, _)| g == group)) {
        Some(v) => Ok(Some(v.clone())),
        None => Err(Error::data(format!("there is no variable on a grid in the group `{group}`"))
            .at(format!("{}: {}", source.name, list(&source.groups, 12)))
            .hint("`ncproj info` lists what the file holds")),
    }
}

fn say_notes(quiet: bool, notes: &Notes) {
    let count = |n: &[String]| match n.len() {
        1 => "1 region".to_string(),
        n => format!("{} regions", thousands(n as u64)),
    };
    for (names, what) in [
        (&notes.outside, "wholly outside the grid, null in the output"),
        (&notes.without_area, "without area, null in the output"),
        (
            &notes.unwrapped,
            "drawn from one side of the map straight to the other, taken to cross the date line (or 0)",
        ),
        (
            &notes.long,
            "with edges of more than 270 degrees, taken to go the long way round as drawn",
        ),
        (&notes.poles, "round a pole and not closed there, taken to hold the pole"),
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
