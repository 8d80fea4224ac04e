//! netCDF files through an index -> rows. Files are walked by chunk, on all cores, with bounded memory.

use crate::error::{Error, Result, base_name, list, thousands};
use crate::grid;
use crate::index::Index;
use crate::netcdf::{Blocks, Decoder, Part, Scratch, Source, Values};
use crate::output::{self, Format, Labels, Rows, Shape, Sink, Step};
use crate::plan::{Member, Pick, Span, gridded, plan};
use crate::reduce::{Sums, Tile, add};
use crate::time::iso;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    Min,
    Max,
    Mean,
    Valid,
}

impl Stat {
    pub const ALL: [(&'static str, Stat); 4] =
        [("min", Stat::Min), ("max", Stat::Max), ("mean", Stat::Mean), ("valid", Stat::Valid)];

    pub fn name(self) -> &'static str {
        Stat::ALL.iter().find(|(_, s)| *s == self).map_or("", |(n, _)| n)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Covered share of the cell times the cell's area on the sphere.
    Area,
    /// Covered share of the cell.
    Coverage,
}

impl Weights {
    pub fn name(self) -> &'static str {
        if self == Weights::Area { "area" } else { "coverage" }
    }
}

pub struct Request<'a> {
    pub index: &'a Index,
    pub files: &'a [PathBuf],
    pub picks: &'a [Pick],
    pub stats: &'a [Stat],
    pub weights: Weights,
    pub min_valid: f64,
    pub threads: usize,
    pub output: &'a Path,
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
}

pub fn run(request: &Request) -> Result<Summary> {
    let mut warnings = Vec::new();
    let spans = plan(request.index, request.files, request.picks)?;
    let first = &spans[0];
    let names: Vec<String> = first.members.iter().map(|m| m.name.clone()).collect();
    let mut columns = Vec::new();
    for name in &names {
        for stat in request.stats {
            columns.push(format!("{}_{name}", stat.name()));
        }
    }
    let mut taken = vec![request.index.key_name.clone()];
    taken.extend(first.axes.time.iter().map(|_| "time".to_string()));
    taken.extend(first.axes.others.iter().map(|(n, _)| n.clone()));
    for c in taken.iter().chain(&columns) {
        if taken.iter().chain(&columns).filter(|d| *d == c).count() > 1 {
            return Err(Error::data(format!("two columns would be called `{c}`"))
                .hint("rename variables with `--variables VARIABLE=NAME`, or the key with `ncproj index --key-name`"));
        }
    }
    let shape = Shape {
        key_name: request.index.key_name.clone(),
        keys: request.index.keys.clone(),
        has_time: first.axes.time.is_some(),
        axes: first.axes.others.clone(),
        columns: columns.clone(),
        notes: notes(request, &spans),
    };
    let format = Format::of(request.output)?;
    let mut sink = output::open(request.output, format, shape)?;
    let mut layouts = Layouts::new(request);
    let mut steps = 0;
    for span in &spans {
        steps += span.axes.steps();
        run_span(request, span, &mut layouts, sink.as_mut())?;
    }
    sink.finish()?;
    let times = |last: bool| {
        let all = spans.iter().filter_map(|s| s.axes.time.as_ref()).flatten();
        (if last { all.max() } else { all.min() }).map(|t| iso(*t))
    };
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
    let regions = request.index.keys.len();
    Ok(Summary {
        steps,
        regions,
        rows: steps as u64 * regions as u64,
        columns,
        first: times(false),
        last: times(true),
        warnings,
    })
}

/// Provenance, the same for the same inputs: no paths, no clock.
fn notes(request: &Request, spans: &[Span]) -> Vec<(String, String)> {
    let index = request.index;
    let mut files: Vec<String> = request.files.iter().map(|f| base_name(f)).collect();
    files.sort();
    files.dedup();
    let weights = match request.weights {
        Weights::Area => "covered share x area of the cell on the sphere",
        Weights::Coverage => "covered share of the cell",
    };
    let mut columns = serde_json::Map::new();
    for m in &spans[0].members {
        for s in request.stats {
            let (units, method) = match s {
                Stat::Min => (m.units.as_str(), "area: minimum"),
                Stat::Max => (m.units.as_str(), "area: maximum"),
                Stat::Mean => (m.units.as_str(), "area: mean"),
                Stat::Valid => ("1", "area: share of the region's weight that has a value"),
            };
            let about = json!({"units": units, "variable": m.variable, "cell_method": method});
            columns.insert(format!("{}_{}", s.name(), m.name), about);
        }
    }
    let about = json!({
        "tool": concat!("ncproj ", env!("CARGO_PKG_VERSION")),
        "index": index.fingerprint(),
        "grid": index.grid.fingerprint(),
        "regions": {"file": index.regions_file, "fingerprint": index.regions_fingerprint},
        "weights": {"name": request.weights.name(), "meaning": weights},
        "min_valid": request.min_valid,
        "stats": request.stats.iter().map(|s| s.name()).collect::<Vec<_>>(),
        "files": files,
        "columns": columns,
    });
    vec![("ncproj".to_string(), about.to_string())]
}

/// Rows that a task aims at, so that all cores have something to do.
const TASK_ROWS: usize = 16_384;
/// Rows that a task may hold; a chunk of more steps than this allows is unpacked more than once.
const MOST_ROWS: usize = 1_500_000;

/// The index cut to the blocks of a file; files with the same blocks share it.
struct Layouts<'a> {
    index: &'a Index,
    /// Weight of each pair, in the order of the index.
    weights: Vec<f64>,
    /// Weight of each region within the grid.
    totals: Vec<f64>,
    made: HashMap<[u64; 4], Arc<Vec<Tile>>>,
}

impl<'a> Layouts<'a> {
    fn new(request: &Request<'a>) -> Self {
        let index = request.index;
        let weights: Vec<f64> = match request.weights {
            Weights::Coverage => index.shares.clone(),
            Weights::Area => {
                let areas = index.cell_areas();
                index.cells.iter().zip(&index.shares).map(|(c, s)| s * areas.of(*c)).collect()
            }
        };
        let totals = (0..index.keys.len()).map(|r| weights[index.pairs(r)].iter().sum()).collect();
        Layouts { index, weights, totals, made: HashMap::new() }
    }

    /// The tiles of blocks of `rows` x `columns` cells whose neighbours lie `row_step` and `column_step` values apart.
    fn tiles(
        &mut self,
        rows: u64,
        columns: u64,
        row_step: u64,
        column_step: u64,
    ) -> Arc<Vec<Tile>> {
        let key = [rows, columns, row_step, column_step];
        if let Some(found) = self.made.get(&key) {
            return found.clone();
        }
        let n = self.index.grid.lon.len() as u64;
        let across = n.div_ceil(columns);
        let down = (self.index.grid.lat.len() as u64).div_ceil(rows);
        let mut tiles: Vec<Tile> = (0..across * down).map(|_| Tile::default()).collect();
        for region in 0..self.index.keys.len() {
            for p in self.index.pairs(region) {
                let (row, column) =
                    (u64::from(self.index.cells[p]) / n, u64::from(self.index.cells[p]) % n);
                let tile = &mut tiles[(row / rows * across + column / columns) as usize];
                let at = tile.offsets.len() as u32;
                match tile.regions.last_mut() {
                    Some((r, _, end)) if *r == region as u32 => *end = at + 1,
                    _ => tile.regions.push((region as u32, at, at + 1)),
                }
                tile.offsets.push((row % rows * row_step + column % columns * column_step) as u32);
                tile.weights.push(self.weights[p]);
            }
        }
        for tile in &mut tiles {
            let mut needed: Vec<u32> = tile.offsets.clone();
            needed.sort_unstable();
            for o in needed {
                match tile.runs.last_mut() {
                    // Decoding a short gap costs less than starting again.
                    Some((_, end)) if o < *end + 32 => *end = (*end).max(o + 1),
                    _ => tile.runs.push((o, o + 1)),
                }
            }
        }
        let tiles = Arc::new(tiles);
        self.made.insert(key, tiles.clone());
        tiles
    }
}

/// One variable of a span, ready to be read by any worker.
struct Work {
    source: Arc<Source>,
    blocks: Blocks,
    decoder: Decoder,
    tiles: Arc<Vec<Tile>>,
    /// Tiles per row of tiles.
    across: u64,
    time: Option<usize>,
    others: Vec<usize>,
    lat: usize,
    lon: usize,
    strides: Vec<u64>,
    /// A step's cells are one run of values.
    plane: Option<usize>,
    label: String,
}

fn prepare(span: &Span, layouts: &mut Layouts) -> Result<Vec<Work>> {
    let mut opened: HashMap<&Path, Vec<&Member>> = HashMap::new();
    for m in &span.members {
        opened.entry(&m.path).or_default().push(m);
    }
    let mut ready: HashMap<(&Path, &str), Work> = HashMap::new();
    for (path, members) in opened {
        let mut source = Source::open(path)?;
        for m in &members {
            let index = source.var_index(&m.variable)?;
            source.locate(index)?;
        }
        source.release();
        let source = Arc::new(source);
        for m in members {
            let index = source.var_index(&m.variable)?;
            let var = &source.vars[index];
            let label = format!("{}: variable `{}`", source.name, var.name);
            let Some((lat, lon)) = grid::sides(&source, var) else {
                return Err(Error::data("the file changed while it was read").at(label));
            };
            let time_dim = |k: &usize| {
                let name = &source.dims[var.dims[*k]].name;
                span.axes.time.is_some() && !span.axes.others.iter().any(|(n, _)| n == name)
            };
            let rest: Vec<usize> = (0..var.dims.len()).filter(|k| *k != lat && *k != lon).collect();
            let time = rest.iter().copied().find(|k| time_dim(k));
            let others: Vec<usize> = rest.into_iter().filter(|k| Some(*k) != time).collect();
            let decoder = Decoder::new(var).map_err(|e| e.at(label.clone()))?;
            let blocks = Blocks::new(&source, index)?;
            let strides = blocks.strides();
            let tiles =
                layouts.tiles(blocks.block[lat], blocks.block[lon], strides[lat], strides[lon]);
            let rank = var.dims.len();
            let innermost = lat + 2 >= rank && lon + 2 >= rank;
            let plane = innermost.then(|| (blocks.block[lat] * blocks.block[lon]) as usize);
            let across = blocks.counts[lon];
            let work = Work {
                source: source.clone(),
                blocks,
                decoder,
                tiles,
                across,
                time,
                others,
                lat,
                lon,
                strides,
                plane,
                label,
            };
            ready.insert((m.path.as_path(), m.variable.as_str()), work);
        }
    }
    let mut out = Vec::new();
    for m in &span.members {
        match ready.remove(&(m.path.as_path(), m.variable.as_str())) {
            Some(w) => out.push(w),
            None => {
                return Err(Error::usage(format!(
                    "`{}` of `{}` is asked for twice",
                    m.variable, m.file
                ))
                .hint("name it once in `--variables`"));
            }
        }
    }
    Ok(out)
}

/// The windows of steps that are worked on at once: whole chunks of time where memory allows.
fn windows(span: &Span, work: &[Work], regions: usize) -> Vec<(usize, usize)> {
    let times = span.axes.time.as_ref().map_or(1, Vec::len);
    let each = span.axes.each();
    let chunk = work
        .iter()
        .map(|w| w.time.map_or(1, |t| w.blocks.block[t]) as usize)
        .max()
        .unwrap_or(1)
        .clamp(1, times);
    let wanted = TASK_ROWS.div_ceil((chunk * each * regions).max(1));
    let stride = chunk * wanted.max(1);
    let mut out = Vec::new();
    let mut t = 0;
    while t < times {
        let until = times.min(t + stride);
        let (mut a, b) = (t * each, until * each);
        let pieces = ((b - a) * regions).div_ceil(MOST_ROWS).max(1);
        let piece = (b - a).div_ceil(pieces).max(1);
        while a < b {
            out.push((a, b.min(a + piece)));
            a = b.min(a + piece);
        }
        t = until;
    }
    out
}

/// How far the workers may run ahead of what is written.
struct Gate {
    written: Mutex<usize>,
    moved: Condvar,
    stop: AtomicBool,
}

impl Gate {
    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.moved.notify_all();
    }

    fn wait(&self, window: usize, ahead: usize) -> bool {
        let Ok(mut written) = self.written.lock() else { return false };
        while window >= *written + ahead && !self.stop.load(Ordering::Acquire) {
            written = match self.moved.wait(written) {
                Ok(w) => w,
                Err(_) => return false,
            };
        }
        !self.stop.load(Ordering::Acquire)
    }
}

/// Whatever ends a worker, a panic too, the others must not wait for it.
struct StopOnPanic<'a>(&'a Gate);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

type Done = (usize, usize, Result<Vec<Vec<f64>>>);

fn run_span(
    request: &Request,
    span: &Span,
    layouts: &mut Layouts,
    sink: &mut dyn Sink,
) -> Result<()> {
    let work = prepare(span, layouts)?;
    let regions = request.index.keys.len();
    let windows = windows(span, &work, regions);
    let tasks = windows.len() * work.len();
    let threads = request.threads.clamp(1, tasks.max(1));
    let next = AtomicUsize::new(0);
    let gate = Gate { written: Mutex::new(0), moved: Condvar::new(), stop: AtomicBool::new(false) };
    let ahead = threads.div_ceil(work.len()) + 1;
    let labels: Vec<Labels> = span.axes.others.iter().map(|(_, l)| l.clone()).collect();
    let finisher = Finisher { request, totals: &layouts.totals };
    let (send, receive) = mpsc::channel::<Done>();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let send = send.clone();
            let (next, gate, work, windows, span) = (&next, &gate, &work, &windows, &span);
            let finisher = &finisher;
            scope.spawn(move || {
                let _guard = StopOnPanic(gate);
                let mut worker = Worker::default();
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks {
                        return;
                    }
                    let (window, member) = (task / work.len(), task % work.len());
                    if !gate.wait(window, ahead) {
                        return;
                    }
                    let result = worker
                        .window(&work[member], span, windows[window], regions)
                        .map(|()| finisher.columns(&worker.sums));
                    if result.is_err() {
                        gate.stop();
                    }
                    if send.send((window, member, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let outcome = collect(&receive, &gate, span, &windows, work.len(), &labels, sink);
        gate.stop();
        outcome
    })
}

/// Puts finished windows in order and writes them.
fn collect(
    receive: &mpsc::Receiver<Done>,
    gate: &Gate,
    span: &Span,
    windows: &[(usize, usize)],
    members: usize,
    labels: &[Labels],
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut waiting: HashMap<usize, Vec<Option<Vec<Vec<f64>>>>> = HashMap::new();
    let mut written = 0;
    while written < windows.len() {
        let Ok((window, member, result)) = receive.recv() else {
            return Err(Error::data("a worker stopped without a result")
                .hint("this is a fault of ncproj: please report it with the command line"));
        };
        waiting.entry(window).or_insert_with(|| vec![None; members])[member] = Some(result?);
        while waiting.get(&written).is_some_and(|w| w.iter().all(Option::is_some)) {
            let parts = waiting.remove(&written).unwrap_or_default();
            let (from, to) = windows[written];
            let steps = (from..to).map(|s| step(span, s)).collect();
            let columns = parts.into_iter().flatten().flatten().collect();
            sink.push(Rows { steps, labels, columns })?;
            written += 1;
            if let Ok(mut w) = gate.written.lock() {
                *w = written;
            }
            gate.moved.notify_all();
        }
    }
    Ok(())
}

/// The place on the axes of a step's number: time outermost, then the other axes in the file's order.
fn step(span: &Span, number: usize) -> Step {
    let each = span.axes.each();
    let time = span.axes.time.as_ref().map_or(0, |t| t[number / each]);
    let mut rest = number % each;
    let mut places = vec![0; span.axes.others.len()];
    for (p, (_, labels)) in places.iter_mut().zip(&span.axes.others).rev() {
        *p = rest % labels.len();
        rest /= labels.len();
    }
    Step { time, places }
}

/// From sums to the columns of the output.
struct Finisher<'a> {
    request: &'a Request<'a>,
    totals: &'a [f64],
}

impl Finisher<'_> {
    fn columns(&self, sums: &[Sums]) -> Vec<Vec<f64>> {
        let regions = self.totals.len();
        let inside = &self.request.index.inside;
        let mut out = vec![Vec::with_capacity(sums.len()); self.request.stats.len()];
        for (k, s) in sums.iter().enumerate() {
            let r = k % regions;
            let share = if s.weight > 0.0 { s.weight / self.totals[r] } else { 0.0 };
            let valid = if share > 1.0 - 1e-12 { inside[r] } else { share * inside[r] };
            let there = s.weight > 0.0 && valid >= self.request.min_valid;
            for (column, stat) in out.iter_mut().zip(self.request.stats) {
                column.push(match stat {
                    Stat::Valid => valid,
                    _ if !there => f64::NAN,
                    Stat::Min => s.min,
                    Stat::Max => s.max,
                    // Rounding must not carry a mean beyond what it is the mean of.
                    Stat::Mean => (s.value / s.weight).clamp(s.min, s.max),
                });
            }
        }
        out
    }
}

struct Worker {
    scratch: Scratch,
    values: Values,
    sums: Vec<Sums>,
}

impl Default for Worker {
    fn default() -> Self {
        Worker { scratch: Scratch::default(), values: Values::F32(Vec::new()), sums: Vec::new() }
    }
}

impl Worker {
    /// Reduces one window of steps of one variable into `self.sums`, steps outer and regions inner.
    fn window(
        &mut self,
        w: &Work,
        span: &Span,
        window: (usize, usize),
        regions: usize,
    ) -> Result<()> {
        self.sums.clear();
        self.sums.resize((window.1 - window.0) * regions, Sums::NONE);
        let each = span.axes.each();
        let (t0, t1) = (window.0 / each, (window.1 - 1) / each);
        let time_block = w.time.map_or(1, |t| w.blocks.block[t] as usize);
        let lengths: Vec<usize> = span.axes.others.iter().map(|(_, l)| l.len()).collect();
        let other_counts: Vec<u64> = w.others.iter().map(|k| w.blocks.counts[*k]).collect();
        let other_blocks: u64 = other_counts.iter().product();
        for tb in t0 / time_block..=t1 / time_block {
            for mut ob in 0..other_blocks {
                let mut at = vec![0u64; w.strides.len()];
                if let Some(t) = w.time {
                    at[t] = (tb * time_block) as u64;
                }
                for (k, n) in w.others.iter().zip(&other_counts).rev() {
                    at[*k] = ob % n * w.blocks.block[*k];
                    ob /= n;
                }
                let steps = self.steps_of(w, &at, &lengths, each, window);
                if steps.is_empty() {
                    continue;
                }
                for (number, tile) in w.tiles.iter().enumerate() {
                    if tile.offsets.is_empty() {
                        continue;
                    }
                    at[w.lat] = number as u64 / w.across * w.blocks.block[w.lat];
                    at[w.lon] = number as u64 % w.across * w.blocks.block[w.lon];
                    self.block(w, &at, tile, &steps, regions)?;
                }
            }
        }
        Ok(())
    }

    /// (place of the step's first value in the block, step within the window) of the block's steps in the window.
    fn steps_of(
        &self,
        w: &Work,
        at: &[u64],
        lengths: &[usize],
        each: usize,
        window: (usize, usize),
    ) -> Vec<(usize, usize)> {
        let extents = w.blocks.extents(at);
        let mut out = Vec::new();
        let times = w.time.map_or(1, |t| extents[t] as usize);
        let combos: usize = w.others.iter().map(|k| extents[*k] as usize).product();
        for t in 0..times {
            let (time, base) = match w.time {
                Some(k) => (at[k] as usize + t, t * w.strides[k] as usize),
                None => (0, 0),
            };
            for mut combo in 0..combos {
                let (mut place, mut number, mut step) = (base, 0, 1);
                for (k, len) in w.others.iter().zip(lengths).rev() {
                    let i = combo % extents[*k] as usize;
                    combo /= extents[*k] as usize;
                    place += i * w.strides[*k] as usize;
                    number += (at[*k] as usize + i) * step;
                    step *= len;
                }
                let n = time * each + number;
                if n >= window.0 && n < window.1 {
                    out.push((place, n - window.0));
                }
            }
        }
        out
    }

    fn block(
        &mut self,
        w: &Work,
        at: &[u64],
        tile: &Tile,
        steps: &[(usize, usize)],
        regions: usize,
    ) -> Result<()> {
        if !w.blocks.is_written(at) && w.decoder.unwritten_is_missing() {
            return Ok(());
        }
        let raw = w.blocks.read(&w.source, at, &mut self.scratch)?;
        let by_step = w.plane.filter(|_| w.decoder.is_f32() || !raw.shuffled);
        if by_step.is_none() {
            w.decoder.decode(&raw, None, false, &mut self.values).map_err(|e| e.at(&w.label))?;
        }
        for (place, step) in steps {
            let from = match by_step {
                Some(plane) => {
                    // The last block along an axis may be smaller than the others.
                    let plane = plane.min(raw.bytes.len() / w.blocks.size - place);
                    let part = Part { first: *place, len: plane, runs: &tile.runs };
                    w.decoder
                        .decode(&raw, Some(part), false, &mut self.values)
                        .map_err(|e| e.at(&w.label))?;
                    0
                }
                None => *place,
            };
            add(tile, &self.values, from, &mut self.sums[step * regions..(step + 1) * regions]);
        }
        Ok(())
    }
}

/// Reads and unpacks all blocks of the gridded variables: what no program can do without.
pub fn inflate_only(path: &Path) -> Result<(u64, u64)> {
    let mut source = Source::open(path)?;
    let (mut chunks, mut bytes) = (0, 0);
    let mut scratch = Scratch::default();
    for name in gridded(&source) {
        let index = source.var_index(&name)?;
        source.locate(index)?;
        let blocks = Blocks::new(&source, index)?;
        for number in 0..blocks.count() {
            bytes +=
                blocks.read(&source, &blocks.position(number), &mut scratch)?.bytes.len() as u64;
            chunks += 1;
        }
    }
    Ok((chunks, bytes))
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
