//! `ncproj aggregate`: its options, and what is said about a run.

use crate::{print, say, threads};
use clap::{Args, ValueEnum};
use ncproj::aggregate::{self, Request, Summary};
use ncproj::alike::Convert;
use ncproj::classes::Wish;
use ncproj::error::{Error, Result, base_name, refuse_input, thousands};
use ncproj::index::Index;
use ncproj::output::Format;
use ncproj::partial::Partial;
use ncproj::plan::Pick;
use ncproj::select::{Bbox, Choice, Times, Where};
use ncproj::stats::Stat;
use ncproj::weights::Weights;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct AggregateArgs {
    /// The index of `ncproj index` for this grid
    #[arg(long, value_name = "INDEX")]
    index: PathBuf,
    /// Variables to take: [FILE:]VARIABLE[=NAME], by commas; FILE is a part of a file's name or a pattern with `*`
    /// [default: all on the grid]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    variables: Vec<String>,
    /// The group of the files that holds the variables; `--variables GROUP/NAME` says the same
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Bring the values to a unit: NAME=UNIT for a column's name in `--variables`, UNIT for all, by commas; written as UDUNITS has
    /// them: K, degC, mm/day, "kg m-2 s-1"
    #[arg(long, value_name = "[NAME=]UNIT", value_delimiter = ',')]
    convert: Vec<String>,
    /// Statistics, by commas: min, max, mean, sum, count, variance, stdev, coefficient_of_variation, median, quantiles by
    /// percentage (q05, q97.5), mode, variety (how many different values), valid; one column `{stat}_{NAME}` each. frac and
    /// weighted_frac: the share of each class by covered share, and by `--weights`; one column `{stat}_{CLASS}_{NAME}` each
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "min,max,mean,valid")]
    stats: Vec<String>,
    /// The classes of frac and weighted_frac: values by commas, `other` among them for all others, or `auto` for those that
    /// a first pass over the data finds; for one variable NAME=LIST; may be given again. A value of no class is an error
    /// [default: the `flag_values` of the file, else auto]
    #[arg(long, value_name = "[NAME=]LIST", allow_hyphen_values = true)]
    classes: Vec<String>,
    /// How cells count: by covered area on the sphere, by covered share of the cell, or by covered share times a field on the
    /// same grid, such as its population (missing: 0)
    #[arg(long, value_name = "area|coverage|FILE:VARIABLE", default_value = "area")]
    weights: String,
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
    /// Keep what is finished in `.OUT.resume` beside the output, and go on from there after a run that was killed
    #[arg(long)]
    resume: bool,
    /// Say how far it is, on stderr [default: on a terminal]
    #[arg(long)]
    progress: bool,
    /// Say as JSON what was done: inputs with size and BLAKE3, counts, warnings, seconds by stage; to stdout, or to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,
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
    /// Only regions whose key, or a carried attribute, fits: KEY=GLOB,... with `*` for any text and `?` for any character;
    /// may be given again: regions that fit any of them
    #[arg(long, value_name = "KEY=GLOB", help_heading = "A part of the whole")]
    r#where: Vec<String>,
}

pub fn run(a: &AggregateArgs) -> Result<()> {
    let threads = threads(a.threads)?;
    let mut picks = a.variables.iter().map(|v| Pick::parse(v)).collect::<Result<Vec<_>>>()?;
    if let Some(group) = a.group.as_deref().map(|g| g.trim_matches('/')) {
        if picks.is_empty() {
            picks.push(Pick::parse("*")?);
        }
        picks.iter_mut().for_each(|p| p.variable = format!("{group}/{}", p.variable));
    }
    let converts = a.convert.iter().map(|c| Convert::parse(c)).collect::<Result<Vec<_>>>()?;
    let mut stats: Vec<Stat> = Vec::new();
    for name in &a.stats {
        let stat = Stat::parse(name)?;
        if !stats.contains(&stat) {
            stats.push(stat);
        }
    }
    let classes = a.classes.iter().map(|c| Wish::parse(c)).collect::<Result<Vec<_>>>()?;
    if !(0.0..=1.0).contains(&a.min_valid) {
        return Err(Error::usage(format!("`--min-valid {}` is no share", a.min_valid))
            .hint("give a number from 0 to 1"));
    }
    let format = a.format()?;
    let stream = |p: &Path| p.as_os_str() == "-";
    if stream(&a.output) && a.resume {
        return Err(Error::usage("a stream cannot be resumed").hint("name a file with `-o`"));
    }
    if stream(&a.output) && a.json.as_deref().is_some_and(stream) {
        return Err(Error::usage("the rows and the record cannot both go to stdout")
            .hint("write the record to a file: `--json=run.json`"));
    }
    let field = a.weights.rsplit_once(':').map(|(file, _)| PathBuf::from(file));
    let inputs: Vec<&Path> =
        a.files.iter().chain([&a.index]).chain(&field).map(PathBuf::as_path).collect();
    refuse_input(&a.output, &inputs)?;
    let record_to = a.json.as_deref().filter(|to| !stream(to));
    if let Some(to) = record_to {
        refuse_input(to, &inputs)?;
        if to == a.output {
            return Err(Error::usage(format!(
                "the rows and the record cannot both be written to `{}`",
                to.display()
            ))
            .hint("give the record another name: `--json=run.json`"));
        }
    }
    let start = Instant::now();
    let times = a.part.time.as_deref().map(Times::parse).transpose()?;
    let choice = Choice {
        wheres: a.part.r#where.iter().map(|w| Where::parse(w)).collect::<Result<Vec<_>>>()?,
        bbox: a.part.bbox.as_deref().map(Bbox::parse).transpose()?,
    };
    let mut index = Index::load(&a.index)?;
    if !choice.is_all() {
        index = choice.of(&index)?;
    }
    let weights = Weights::parse(&a.weights, &index)?;
    let request = Request {
        choice: &choice,
        times: times.as_ref(),
        files: &a.files,
        picks: &picks,
        converts: &converts,
        stats: &stats,
        classes: &classes,
        weights: &weights,
        min_valid: a.min_valid,
        threads,
        output: &a.output,
        format,
        wide: a.wide,
        resume: a.resume,
    };
    let fingerprint = index.fingerprint();
    let loaded = start.elapsed().as_secs_f64();
    // Opened before the work: a folder that is not there is known at once.
    let mut record_to = record_to.map(|to| Ok((to, Partial::create(to)?))).transpose()?;
    let mut bar = Bar::new(a.progress, a.quiet);
    let summary = aggregate::run(index, &request, &mut |done, all| bar.show(done, all));
    bar.clear();
    let summary = summary?;
    for w in &summary.warnings {
        say(a.quiet, &format!("warning: {w}"));
    }
    if summary.resumed > 0 {
        let kept = match summary.resumed {
            1 => "1 finished window was kept".to_string(),
            n => format!("{} finished windows were kept", thousands(n as u64)),
        };
        say(a.quiet, &format!("resumed: {kept}"));
    }
    if a.json.is_some() {
        let record = record(a, &request, &fingerprint, &summary, loaded, start)?;
        let text = format!("{record:#}\n");
        match record_to.take() {
            None => print(&text)?,
            Some((to, (partial, mut file))) => {
                file.write_all(text.as_bytes()).map_err(|e| Error::file("write", to, e))?;
                partial.commit()?;
            }
        }
    }
    say(a.quiet, &format!("{}: {}", shown(&a.output), aggregate::sentence(&summary)));
    Ok(())
}

fn shown(output: &Path) -> String {
    if output.as_os_str() == "-" { "the stream".to_string() } else { base_name(output) }
}

/// What was done, for machines.
fn record(
    a: &AggregateArgs,
    request: &Request,
    fingerprint: &str,
    summary: &Summary,
    loaded: f64,
    start: Instant,
) -> Result<Value> {
    let hashing = Instant::now();
    let mut files: Vec<&PathBuf> = a.files.iter().collect();
    files.sort();
    files.dedup();
    let inputs = files.into_iter().map(|f| about_input(f)).collect::<Result<Vec<_>>>()?;
    let output = match a.output.as_os_str() == "-" {
        true => Value::Null,
        false => about_file(&a.output)?,
    };
    let mut index = about_input(&a.index)?;
    index["fingerprint"] = json!(fingerprint);
    let mut seconds = serde_json::Map::new();
    seconds.insert("load".into(), rounded(loaded));
    for (stage, took) in &summary.seconds {
        seconds.insert((*stage).to_string(), rounded(*took));
    }
    seconds.insert("hash".into(), rounded(hashing.elapsed().as_secs_f64()));
    seconds.insert("total".into(), rounded(start.elapsed().as_secs_f64()));
    Ok(json!({
        "tool": concat!("ncproj ", env!("CARGO_PKG_VERSION")),
        "command": "aggregate",
        "inputs": inputs,
        "index": index,
        "output": output,
        "format": request.format.name(),
        "weights": request.weights.describe(),
        "threads": request.threads,
        "counts": {"steps": summary.steps, "regions": summary.regions, "rows": summary.rows,
                   "columns": summary.columns.len(), "chunks": summary.chunks, "resumed": summary.resumed},
        "first": summary.first,
        "last": summary.last,
        "warnings": summary.warnings,
        "seconds": seconds,
    }))
}

fn rounded(seconds: f64) -> Value {
    json!((seconds * 1e6).round() / 1e6)
}

/// The hash has to be of the bytes that were read.
fn about_input(path: &Path) -> Result<Value> {
    drop(ncproj::error::open(path)?);
    about_file(path)
}

fn about_file(path: &Path) -> Result<Value> {
    let failed = |e| Error::file("read", path, e);
    let file = std::fs::File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(failed)?;
    Ok(json!({"file": path.display().to_string(), "bytes": bytes,
              "blake3": hasher.finalize().to_hex().to_string()}))
}

/// How far it is: a line that is written over on a terminal, else lines now and then.
struct Bar {
    shown: bool,
    terminal: bool,
    start: Instant,
    last: Option<Instant>,
}

impl Bar {
    fn new(asked: bool, quiet: bool) -> Bar {
        let terminal = std::io::stderr().is_terminal();
        Bar { shown: !quiet && (asked || terminal), terminal, start: Instant::now(), last: None }
    }

    fn show(&mut self, done: u64, all: u64) {
        let pause = Duration::from_millis(if self.terminal { 100 } else { 2000 });
        if !self.shown || done < all && self.last.is_some_and(|l| l.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let took = self.start.elapsed().as_secs_f64();
        let left = took * (all.saturating_sub(done)) as f64 / done.max(1) as f64;
        let text = format!(
            "{} of {} steps, {:.0} %, {left:.0} s left",
            thousands(done),
            thousands(all),
            100.0 * done as f64 / all.max(1) as f64
        );
        let mut err = std::io::stderr();
        let _ = match self.terminal {
            true => write!(err, "\r\x1b[K{text}"),
            false => writeln!(err, "{text}"),
        };
    }

    fn clear(&self) {
        if self.shown && self.terminal && self.last.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
