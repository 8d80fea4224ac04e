//! netCDF files through an index -> rows. Files are walked by chunk, on all cores, with bounded memory.

use crate::alike::Convert;
use crate::classes::{Classes, Columns, Wish, resolve};
use crate::error::{Error, Result, base_name, list, thousands};
use crate::index::Index;
use crate::inputs;
use crate::layout::{Layouts, Needs, Pairs};
use crate::output::{self, Format, Shape};
use crate::plan::{Pick, Span, plan};
use crate::resume::{Journal, fingerprint};
use crate::select::{Choice, Times, keep};
use crate::stats::Stat;
use crate::weights::Weights;
use crate::work::{Covered, Run};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub struct Request<'a> {
    /// How the regions of the index were chosen.
    pub choice: &'a Choice,
    pub times: Option<&'a Times>,
    pub files: &'a [PathBuf],
    pub picks: &'a [Pick],
    /// Units that are asked for.
    pub converts: &'a [Convert],
    pub stats: &'a [Stat],
    /// The classes of `frac` and `weighted_frac`.
    pub classes: &'a [Wish],
    pub weights: &'a Weights,
    pub min_valid: f64,
    pub threads: usize,
    /// `-` is the stream on stdout.
    pub output: &'a Path,
    pub format: Format,
    /// One row per step.
    pub wide: bool,
    /// Keep finished windows beside the output, and go on from what a killed run kept.
    pub resume: bool,
}

/// What a run has to tell.
pub struct Summary {
    pub steps: usize,
    pub regions: usize,
    pub rows: u64,
    pub columns: Vec<String>,
    pub first: Option<String>,
    pub last: Option<String>,
    pub warnings: Vec<String>,
    /// Chunks that were read, and how many windows came from a killed run.
    pub chunks: u64,
    pub resumed: usize,
    /// Stages and how long they took.
    pub seconds: Vec<(&'static str, f64)>,
}

/// `progress` hears of steps done and steps in all.
///
/// `index` has the regions that are asked for.
pub fn run(
    mut index: Index,
    request: &Request,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary> {
    let start = Instant::now();
    let mut seconds = Vec::new();
    let mut warnings = Vec::new();
    let spans = plan(&index, request.files, request.picks, request.times, request.converts)?;
    let first = &spans[0];
    let plans = plans(&index, request, &spans, &mut warnings)?;
    let every = || plans.iter().flat_map(|p| &p.columns);
    let columns: Vec<String> = every().map(|c| c.name.clone()).collect();
    let about = every().map(|c| c.about.clone()).collect();
    let mut taken = vec![index.key_name.clone()];
    taken.extend(index.carried.names());
    taken.extend(first.axes.time.iter().map(|_| "time".to_string()));
    taken.extend(first.axes.others.iter().map(|(n, _)| n.clone()));
    for c in taken.iter().chain(&columns) {
        if taken.iter().chain(&columns).filter(|d| *d == c).count() > 1 {
            return Err(Error::data(format!("two columns would be called `{c}`"))
                .at(format!("the columns {}", list(&[&taken[..], &columns].concat(), 12)))
                .hint(match index.carried.names().any(|n| n == *c) {
                    true => format!("carry it under another name: `ncproj index --carry {c}=NAME`"),
                    false => "rename variables with `--variables VARIABLE=NAME`, or the key with `ncproj index --key-name`".to_string(),
                }));
        }
    }
    if request.wide && request.format == Format::Csv && !index.carried.is_empty() {
        let names: Vec<String> = index.carried.names().collect();
        warnings.push(format!(
            "wide rows of CSV have no place for what is carried: left out: {}",
            list(&names, 12)
        ));
    }
    let shape = Shape {
        key_name: index.key_name.clone(),
        keys: index.keys.clone(),
        carried: index.carried.columns.clone(),
        centres: match request.format {
            Format::Netcdf => index.centres(),
            _ => Vec::new(),
        },
        steps: spans.iter().map(Span::steps).sum(),
        has_time: first.axes.time.is_some(),
        dates: first.axes.dates,
        axes: first.axes.others.clone(),
        columns: columns.clone(),
        about,
        notes: notes(&index, request, &spans, &plans),
    };
    let total = shape.steps as u64;
    let asked = shape.notes.iter().map(|(_, n)| n.as_str()).collect::<String>();
    seconds.push(("plan", start.elapsed().as_secs_f64()));
    let begun = Instant::now();
    let needs = Needs::of(request.stats);
    let by_cell = request.weights.by_cell(&index);
    // Cells without weight count for nothing, not for min and max either.
    let counts = |c: &u32| by_cell(*c) > 0.0;
    let lighter = (!index.cells.iter().all(counts))
        .then(|| keep(&index, |_| true, |p| counts(&index.cells[p])));
    drop(by_cell);
    let mut without = Vec::new();
    if let Some(lighter) = lighter {
        let lost = |r: &usize| lighter.pairs(*r).is_empty() && !index.pairs(*r).is_empty();
        without.extend((0..index.keys.len()).filter(lost).map(|r| index.keys[r].clone()));
        index = lighter;
    }
    let weights = request.weights.of(&mut index, needs.shares());
    let (cells, shares) = (std::mem::take(&mut index.cells), std::mem::take(&mut index.shares));
    let cuts = spans.iter().flat_map(|s| s.members.iter().map(|m| m.cut)).collect();
    if !without.is_empty() {
        warnings.push(format!("without weight, null in the output: {}", list(&without, 5)));
    }
    let mut journal = match request.resume {
        true => Some(Journal::open(request.output, &fingerprint(&asked, &spans)?)?),
        false => None,
    };
    warnings.extend(journal.as_mut().and_then(|j| j.warning.take()));
    let mut sink =
        output::open(request.output, request.format, shape, request.wide, request.threads)?;
    let mut layouts = Layouts::new(&index, Pairs { cells, shares, weights }, needs, cuts);
    let mut steps = 0;
    let mut run = Run {
        index: &index,
        request,
        columns: &plans,
        sink: sink.as_mut(),
        journal: journal.as_mut(),
        progress: &mut |done| progress(done, total),
        done: 0,
        chunks: 0,
        seen: Default::default(),
        masked: Vec::new(),
    };
    for (number, span) in spans.iter().enumerate() {
        steps += span.steps();
        run.span(number, span, &mut layouts)?;
    }
    let chunks = run.chunks;
    let seen = std::mem::take(&mut run.seen);
    for (name, e) in std::mem::take(&mut run.masked) {
        if !seen.contains(&name) {
            return Err(e);
        }
        // Among files that hold values one may be clouded all over; it is said.
        let text = e.to_string();
        let mut lines = text.lines();
        let (what, place) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
        warnings.push(format!("{}: {what}", place.trim().trim_start_matches("at ")));
    }
    seconds.push(("rows", begun.elapsed().as_secs_f64()));
    let begun = Instant::now();
    inputs::verify()?;
    sink.finish()?;
    let resumed = journal.as_ref().map_or(0, |j| j.taken);
    if let Some(journal) = journal {
        journal.remove()?;
    }
    seconds.push(("finish", begun.elapsed().as_secs_f64()));
    let times = |last: bool| {
        let of = |s: &'_ Span| -> Vec<i64> {
            let axis = s.axes.time.as_deref().unwrap_or_default();
            s.runs.iter().filter_map(|(a, b)| axis.get(*a..*b)).flatten().copied().collect()
        };
        let all = spans.iter().flat_map(of);
        (if last { all.max() } else { all.min() }).map(|t| spans[0].axes.dates.text(t))
    };
    for warning in spans.iter().flat_map(|s| &s.members).flat_map(|m| &m.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    if let Some(why) = spans.iter().find_map(|s| s.axes.shift) {
        warnings.push(format!(
            "{why} is not that of timestamps: times are the same days in the proleptic Gregorian calendar"
        ));
    }
    for span in &spans {
        if let Some(t) = &span.axes.time
            && t.windows(2).any(|w| w[1] <= w[0])
        {
            warnings.push(format!(
                "the times of `{}` do not rise all along; rows are in the order of the file",
                span.members[0].file
            ));
        }
    }
    let regions = index.keys.len();
    Ok(Summary {
        steps,
        regions,
        rows: steps as u64 * regions as u64,
        columns,
        first: times(false),
        last: times(true),
        warnings,
        chunks,
        resumed,
        seconds,
    })
}

impl Index {
    /// The middle of each region's cells on the sphere, latitude and longitude, by share and area; NaN outside the grid.
    fn centres(&self) -> Vec<[f64; 2]> {
        let area = self.cell_areas();
        let middle = |r: usize| {
            let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
            for p in self.pairs(r) {
                let Some([lat, lon]) = self.grid.centre(self.cells[p]) else { continue };
                let (lat, lon) = (lat.to_radians(), lon.to_radians());
                let weight = self.shares[p] * area.of(self.cells[p]);
                x += weight * libm::cos(lat) * libm::cos(lon);
                y += weight * libm::cos(lat) * libm::sin(lon);
                z += weight * libm::sin(lat);
            }
            if self.pairs(r).is_empty() {
                return [f64::NAN; 2];
            }
            [libm::atan2(z, libm::hypot(x, y)).to_degrees(), libm::atan2(y, x).to_degrees()]
        };
        (0..self.keys.len()).map(middle).collect()
    }
}

/// The columns of each variable of the first span.
fn plans(
    index: &Index,
    request: &Request,
    spans: &[Span],
    warnings: &mut Vec<String>,
) -> Result<Vec<Columns>> {
    let members = &spans[0].members;
    let by_class = request.stats.iter().any(|s| s.by_class());
    let classes: Vec<Option<Classes>> = match by_class {
        true => {
            let by_cell = request.weights.by_cell(index);
            let covered = || Covered::of(index, &index.cells, |c| by_cell(c) > 0.0);
            let found = resolve(spans, covered, request.classes, request.threads, warnings)?;
            found.into_iter().map(Some).collect()
        }
        false if !request.classes.is_empty() => {
            return Err(Error::usage("`--classes` says the classes of nothing")
                .hint("they are for the statistics `frac` and `weighted_frac`: `--stats frac`"));
        }
        false => vec![None; members.len()],
    };
    let of = |(m, c)| Columns::of(m, request.stats, c);
    Ok(members.iter().zip(classes).map(of).collect())
}

/// Provenance, the same for the same inputs: no paths, no clock.
fn notes(
    index: &Index,
    request: &Request,
    spans: &[Span],
    plans: &[Columns],
) -> Vec<(String, String)> {
    let mut files: Vec<String> = request.files.iter().map(|f| base_name(f)).collect();
    files.sort();
    files.dedup();
    let mut columns = serde_json::Map::new();
    let mut classes = serde_json::Map::new();
    for (m, plan) in spans[0].members.iter().zip(plans) {
        for c in &plan.columns {
            columns.insert(c.name.clone(), c.note.clone());
        }
        if let Some(note) = plan.note() {
            classes.insert(m.name.clone(), note);
        }
    }
    let mut about = json!({
        "tool": concat!("ncproj ", env!("CARGO_PKG_VERSION")),
        "index": index.fingerprint(),
        "grid": index.grid.fingerprint(),
        "regions": {"file": index.regions_file, "fingerprint": index.regions_fingerprint},
        "weights": request.weights.describe(),
        "min_valid": request.min_valid,
        "stats": request.stats.iter().map(|s| s.name()).collect::<Vec<_>>(),
        "files": files,
        "columns": columns,
    });
    // What was left out is said only where something was: the same inputs and wishes, the same bytes.
    if !request.choice.is_all() {
        about["chosen_regions"] = request.choice.describe();
    }
    if !classes.is_empty() {
        about["classes"] = json!(classes);
    }
    if !index.carried.is_empty() {
        about["carried"] = match request.wide {
            // Wide rows have no columns for it.
            true => json!({"regions": index.keys, "values": index.carried.values()}),
            false => json!(index.carried.names().collect::<Vec<_>>()),
        };
    }
    if let Some(times) = request.times {
        about["time"] = json!(times.text);
    }
    let axes = &spans[0].axes;
    if axes.dates.are_text() {
        about["calendar"] = json!(axes.dates.calendar());
    }
    let named = axes.others.iter().zip(&axes.units).filter(|(_, u)| !u.is_empty());
    let units: serde_json::Map<_, _> = named.map(|((n, _), u)| (n.clone(), json!(u))).collect();
    if !units.is_empty() {
        about["axes"] = json!(units);
    }
    vec![("ncproj".to_string(), about.to_string())]
}

/// One line for people: what was made.
pub fn sentence(s: &Summary) -> String {
    let span = match (&s.first, &s.last) {
        (Some(a), Some(b)) => format!(", {a} .. {b}"),
        _ => String::new(),
    };
    format!(
        "{} rows: {} steps x {} regions, columns {}{span}",
        thousands(s.rows),
        thousands(s.steps as u64),
        thousands(s.regions as u64),
        list(&s.columns, 8)
    )
}
