//! The work itself: windows of steps on all cores, block by block, and their results in order.

use crate::aggregate::Request;
use crate::classes::{Columns, not_a_class, shortest, too_large};
use crate::error::{Error, Result};
use crate::grid;
use crate::index::Index;
use crate::layout::{Cut, Group, Layouts, Needs, Pairs};
use crate::netcdf::{Blocks, Decoder, Kind, Part, Scratch, Source, Values, all_out, base};
use crate::output::{Labels, Rows, Sink, Step};
use crate::plan::{Member, Span, gridded};
use crate::reduce::{Kept, More, Sums, Tile, add, add_more};
use crate::resume::Journal;
use crate::select::keep;
use crate::stats::{Ordered, Stat};
use crate::threads;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::Builder;

/// Rows that a task aims at, so that all cores have something to do.
const TASK_ROWS: usize = 8_192;
/// Rows that a task may hold; a chunk of more steps than this allows is unpacked more than once.
const MOST_ROWS: usize = 1_500_000;
/// Bytes that a task's rows may take while they are worked on.
const MOST_BYTES: usize = 80 << 20;
/// Bytes of values that a task may keep for quantiles and modes. The same for any number of threads: windows depend on it.
const MOST_KEPT: usize = 16 << 20;

/// One variable of a span, ready to be read by any worker.
struct Work {
    source: Arc<Source>,
    blocks: Blocks,
    decoder: Decoder,
    cut: Cut,
    groups: Arc<Vec<Group>>,
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
    /// Integers of 64 bits: float64 does not tell all of them apart.
    long: bool,
    /// The classes, in rising order, with their places.
    classes: Vec<(f64, usize)>,
    /// A value was found.
    seen: AtomicBool,
}

fn prepare(index: &Index, span: &Span) -> Result<Vec<Work>> {
    let mut opened: HashMap<&Path, Vec<&Member>> = HashMap::new();
    for m in &span.members {
        opened.entry(&m.path).or_default().push(m);
    }
    let mut ready: HashMap<(&Path, &str), Work> = HashMap::new();
    for (path, members) in opened {
        let mut source = index.open(path)?;
        for m in &members {
            let place = source.var_index(&m.variable)?;
            source.locate(place)?;
        }
        source.release();
        let source = Arc::new(source);
        for m in members {
            let index = source.var_index(&m.variable)?;
            let var = &source.vars[index];
            let label = format!("{}: variable `{}`", source.name, var.name);
            let Some((lat, lon)) = grid::sides(&source, var) else {
                return Err(Error::data("the file changed while it was read")
                    .at(label)
                    .hint("begin again when it is whole"));
            };
            let time_dim = |k: &usize| {
                let name = base(&source.dims[var.dims[*k]].name);
                span.axes.time.is_some() && !span.axes.others.iter().any(|(n, _)| n == name)
            };
            let rest: Vec<usize> = (0..var.dims.len()).filter(|k| *k != lat && *k != lon).collect();
            let time = rest.iter().copied().find(|k| time_dim(k));
            let others: Vec<usize> = rest.into_iter().filter(|k| Some(*k) != time).collect();
            let mut decoder = Decoder::new(var).map_err(|e| e.at(label.clone()))?;
            if let Some(convert) = m.convert {
                decoder.convert(convert);
            }
            let blocks = Blocks::new(&source, index)?;
            let strides = blocks.strides();
            let cut = Cut::of(&blocks, (lat, lon));
            let rank = var.dims.len();
            let innermost = lat + 2 >= rank && lon + 2 >= rank;
            let plane = innermost.then(|| (blocks.block[lat] * blocks.block[lon]) as usize);
            let across = blocks.counts[lon];
            let work = Work {
                source: source.clone(),
                blocks,
                decoder,
                cut,
                groups: Arc::default(),
                across,
                time,
                others,
                lat,
                lon,
                strides,
                plane,
                label,
                long: matches!(var.kind, Kind::I8 | Kind::U8),
                classes: Vec::new(),
                seen: AtomicBool::new(false),
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
                .hint("name each file once, and each variable once in `--variables`"));
            }
        }
    }
    Ok(out)
}

/// The windows of steps that are worked on at once, and the number of groups of regions that they are worked on in: whole chunks
/// of time where memory allows. `row` is the bytes that a row takes, `kept` those of a step's values that are kept.
fn windows(
    span: &Span,
    work: &[Work],
    regions: usize,
    (row, kept): (usize, usize),
) -> (Vec<(usize, usize)>, usize) {
    let times = span.axes.time.as_ref().map_or(1, Vec::len);
    let each = span.axes.each();
    let chunk = work
        .iter()
        .map(|w| w.time.map_or(1, |t| w.blocks.block[t]) as usize)
        .max()
        .unwrap_or(1)
        .clamp(1, times);
    let mut wanted = TASK_ROWS.div_ceil((chunk * each * regions).max(1)).max(1);
    // Where values are kept, the index takes more too.
    let bytes = if kept > 0 { MOST_BYTES * 2 / 5 } else { MOST_BYTES };
    let mut most = MOST_ROWS.min(bytes / row) / regions.max(1);
    let mut groups = 1;
    if let Some(steps) = MOST_KEPT.checked_div(kept) {
        // Chunks of many steps but few cells: regions in groups, so that hardly a chunk is unpacked twice. Else: fewer steps.
        let tiles = work.iter().map(|w| w.blocks.counts[w.lat] * w.blocks.counts[w.lon]).min();
        let tiles = usize::try_from(tiles.unwrap_or(1)).unwrap_or(usize::MAX);
        let steps = steps.max(1);
        wanted = wanted.min(steps / (chunk * each)).max(1);
        groups = (chunk * each).min(most.max(1)).div_ceil(steps).min(tiles).max(1);
        most = most.min(groups * steps);
    }
    let stride = chunk * wanted;
    let mut out = Vec::new();
    for &(first, end) in &span.runs {
        let mut t = first;
        while t < end {
            let until = end.min((t / stride + 1) * stride);
            let (mut a, b) = (t * each, until * each);
            let pieces = (b - a).div_ceil(most.max(1)).max(1);
            let piece = (b - a).div_ceil(pieces).max(1);
            while a < b {
                out.push((a, b.min(a + piece)));
                a = b.min(a + piece);
            }
            t = until;
        }
    }
    (out, groups)
}

/// How far the workers may run ahead of what is written.
struct Gate {
    written: Mutex<usize>,
    moved: Condvar,
    stop: AtomicBool,
}

impl Gate {
    fn stop(&self) {
        // With the lock: who has just seen that nothing stops would else wait for ever.
        let _held = self.written.lock();
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

/// A run over all spans: what goes in, where it goes to, and how far it is.
pub struct Run<'a> {
    pub index: &'a Index,
    pub request: &'a Request<'a>,
    /// Of each variable.
    pub columns: &'a [Columns],
    pub sink: &'a mut dyn Sink,
    pub journal: Option<&'a mut Journal>,
    pub progress: &'a mut dyn FnMut(u64),
    /// Steps that are done, and chunks that were read.
    pub done: u64,
    pub chunks: u64,
    /// Columns of which a value was found, and errors of those that their range leaves none, file by file.
    pub seen: HashSet<String>,
    pub masked: Vec<(String, Error)>,
}

impl Run<'_> {
    /// Reduces one span, the `number`-th.
    pub fn span(&mut self, number: usize, span: &Span, layouts: &mut Layouts) -> Result<()> {
        let (index, request) = (self.index, self.request);
        let mut work = prepare(index, span)?;
        let regions = index.keys.len();
        let narrow = work.iter().all(|w| w.decoder.is_f32());
        let kept = match layouts.needs.order {
            true => layouts.pairs() * if narrow { 4 } else { 8 },
            false => 0,
        };
        let plans = self.columns;
        for (w, plan) in work.iter_mut().zip(plans) {
            if let Some(classes) = &plan.classes {
                w.classes = classes.rising(w.decoder.is_f32(), &w.label)?;
            }
        }
        let most = plans.iter().map(|p| p.orders.len() + p.columns.len()).max().unwrap_or(0);
        let row =
            size_of::<Sums>() + if layouts.needs.more { size_of::<More>() } else { 0 } + 8 * most;
        let (windows, groups) = windows(span, &work, regions, (row, kept));
        for w in &mut work {
            w.groups = layouts.groups(w.cut, groups);
        }
        let (needs, layouts) = (layouts.needs, &*layouts);
        let labels: Vec<Labels> = span.axes.others.iter().map(|(_, l)| l.clone()).collect();
        let columns = plans.iter().map(|p| p.columns.len()).sum();
        let kept = self.take_kept(number, span, &windows, &labels, columns)?;
        let windows = windows[kept..].to_vec();
        if windows.is_empty() {
            return Ok(());
        }
        let read = AtomicU64::new(0);
        let tasks = windows.len() * work.len();
        let threads = request.threads.clamp(1, tasks.max(1));
        let next = AtomicUsize::new(0);
        let gate =
            Gate { written: Mutex::new(0), moved: Condvar::new(), stop: AtomicBool::new(false) };
        let ahead = threads.div_ceil(work.len()) + 1;
        let finisher = Finisher { request, inside: &index.inside, totals: &layouts.totals };
        let (send, receive) = mpsc::channel::<Done>();
        // The variable that has a value of no class.
        let missed = AtomicUsize::new(usize::MAX);
        let outcome = std::thread::scope(|scope| {
            let mut workers = Vec::new();
            let mut refused = None;
            for _ in 0..threads {
                let send = send.clone();
                let missed = &missed;
                let (next, gate, work, windows, span) = (&next, &gate, &work, &windows, &span);
                let read = &read;
                let finisher = &finisher;
                let run = move || {
                    let _guard = StopOnPanic(gate);
                    let rising = [&layouts.rising[..], &layouts.rising_shares];
                    let mut worker = Worker::new(needs, rising, index);
                    loop {
                        let task = next.fetch_add(1, Ordering::Relaxed);
                        if task >= tasks {
                            return;
                        }
                        let (window, member) = (task / work.len(), task % work.len());
                        if !gate.wait(window, ahead) {
                            return;
                        }
                        let plan = &plans[member];
                        let result = worker
                            .window(&work[member], plan, span, windows[window], regions)
                            .map(|()| finisher.columns(&worker, plan));
                        if worker.missed {
                            missed.store(member, Ordering::Release);
                        }
                        let seen = &work[member].seen;
                        if !seen.load(Ordering::Relaxed)
                            && worker.sums.iter().any(|s| s.weight > 0.0)
                        {
                            seen.store(true, Ordering::Relaxed);
                        }
                        read.fetch_add(std::mem::take(&mut worker.chunks), Ordering::Relaxed);
                        if result.is_err() {
                            gate.stop();
                        }
                        if send.send((window, member, result)).is_err() {
                            return;
                        }
                    }
                };
                match Builder::new().spawn_scoped(scope, run) {
                    Ok(worker) => workers.push(worker),
                    // Those that there are do the work.
                    Err(e) => {
                        refused = Some(e);
                        break;
                    }
                }
            }
            drop(send);
            if let Some(e) = refused.filter(|_| workers.is_empty()) {
                return Err(threads::refused(&e));
            }
            let outcome =
                self.collect(&receive, &gate, (number, span), &windows, work.len(), &labels);
            gate.stop();
            // One that panicked has said so; its fellows' results are not whole without its own.
            workers.into_iter().for_each(|w| drop(w.join()));
            outcome
        });
        if let (Err(_), Some(plan)) = (&outcome, plans.get(missed.load(Ordering::Acquire)))
            && let Some(classes) = &plan.classes
        {
            let place = missed.load(Ordering::Acquire);
            let cells = layouts.covered();
            return Err(not_a_class(span, place, classes, &cells, request.threads)?);
        }
        outcome?;
        self.chunks += read.load(Ordering::Relaxed);
        for (w, m) in work.iter().zip(&span.members) {
            let seen = w.seen.load(Ordering::Relaxed);
            if seen || within_range(w, &m.name, &mut self.masked)? {
                self.seen.insert(m.name.clone());
            }
        }
        Ok(())
    }

    /// Takes the windows that a killed run had finished; how many they are.
    fn take_kept(
        &mut self,
        number: usize,
        span: &Span,
        windows: &[(usize, usize)],
        labels: &[Labels],
        columns: usize,
    ) -> Result<usize> {
        let regions = self.index.keys.len();
        for (k, &(from, to)) in windows.iter().enumerate() {
            let Some(journal) = self.journal.as_deref_mut() else { return Ok(k) };
            let Some(found) = journal.take((number, from, to), columns, (to - from) * regions)?
            else {
                return Ok(k);
            };
            self.push(span, (from, to), labels, found)?;
        }
        Ok(windows.len())
    }

    fn push(
        &mut self,
        span: &Span,
        (from, to): (usize, usize),
        labels: &[Labels],
        columns: Vec<Vec<f64>>,
    ) -> Result<()> {
        let steps = (from..to).map(|s| step(span, s)).collect();
        self.sink.push(Rows { steps, labels, columns })?;
        self.done += (to - from) as u64;
        (self.progress)(self.done);
        Ok(())
    }

    /// Puts finished windows in order and writes them.
    fn collect(
        &mut self,
        receive: &mpsc::Receiver<Done>,
        gate: &Gate,
        (number, span): (usize, &Span),
        windows: &[(usize, usize)],
        members: usize,
        labels: &[Labels],
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
                let columns: Vec<Vec<f64>> = parts.into_iter().flatten().flatten().collect();
                if let Some(journal) = self.journal.as_deref_mut() {
                    journal.keep((number, from, to), &columns)?;
                }
                self.push(span, (from, to), labels, columns)?;
                written += 1;
                if let Ok(mut w) = gate.written.lock() {
                    *w = written;
                }
                gate.moved.notify_all();
            }
        }
        Ok(())
    }
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

/// A mean that is so small beside the values is 0.
const NOTHING: f64 = 4.0 * f64::EPSILON;
/// Sums of the same weights in another order differ by less, for millions of cells too.
const ROUNDING: f64 = 1e-10;
/// Nothing was found of a variable: does its file hold a value elsewhere? That its range masks all there is may not pass for missing
/// values.
fn within_range(w: &Work, name: &str, masked_too: &mut Vec<(String, Error)>) -> Result<bool> {
    let Some(range) = w.decoder.range() else { return Ok(false) };
    let open = w.decoder.without_range();
    let (mut scratch, mut values) = (Scratch::default(), Values::F64(Vec::new()));
    let mut masked = false;
    for number in 0..w.blocks.count() {
        let at = w.blocks.position(number);
        if !w.blocks.is_written(&at) && open.unwritten_is_missing() {
            continue;
        }
        let raw = w.blocks.read(&w.source, &at, &mut scratch)?;
        let mut any = |decoder: &Decoder| -> Result<bool> {
            decoder.decode(&raw, None, true, &mut values).map_err(|e| e.at(&w.label))?;
            let Values::F64(values) = &values else { return Ok(false) };
            let mut found = false;
            w.blocks.each_value(&at, &w.blocks.shape, |from, _| {
                found |= values.get(from).is_some_and(|v| !v.is_nan());
            });
            Ok(found)
        };
        if any(&w.decoder)? {
            return Ok(true);
        }
        masked = masked || any(&open)?;
    }
    if masked {
        masked_too.push((name.to_string(), all_out(name, range).at(&w.label)));
    }
    Ok(false)
}

/// From sums to the columns of the output.
struct Finisher<'a> {
    request: &'a Request<'a>,
    inside: &'a [f64],
    totals: &'a [f64],
}

impl Finisher<'_> {
    fn columns(&self, worker: &Worker, plan: &Columns) -> Vec<Vec<f64>> {
        let sums = &worker.sums;
        let regions = self.totals.len();
        let inside = self.inside;
        let mut out = vec![Vec::with_capacity(sums.len()); plan.columns.len()];
        for (k, s) in sums.iter().enumerate() {
            let r = k % regions;
            let share = if s.weight > 0.0 { s.weight / self.totals[r] } else { 0.0 };
            let valid = if share > 1.0 - ROUNDING { inside[r] } else { share * inside[r] };
            let there = s.weight > 0.0 && valid >= self.request.min_valid - ROUNDING;
            let more = worker.more.get(k);
            let mut ordered = worker.found[k * plan.orders.len()..].iter();
            for (column, of) in out.iter_mut().zip(&plan.columns) {
                let stat = of.stat;
                let found = if stat.needs_order() { ordered.next() } else { None };
                column.push(match stat {
                    Stat::Valid => valid,
                    _ if !there => f64::NAN,
                    Stat::Min => s.min,
                    Stat::Max => s.max,
                    // Rounding must not carry a mean beyond what it is the mean of.
                    Stat::Mean => (s.value / s.weight).clamp(s.min, s.max),
                    Stat::Sum => more.map_or(f64::NAN, |m| m.sum),
                    Stat::Count => more.map_or(f64::NAN, |m| m.count),
                    Stat::Variance => more.map_or(f64::NAN, More::variance),
                    Stat::Stdev => more.map_or(f64::NAN, |m| m.variance().sqrt()),
                    Stat::CoefficientOfVariation => {
                        match (s.value / s.weight).clamp(s.min, s.max) {
                            // Values that cancel out leave what rounding makes of 0.
                            _ if s.min == s.max && s.min != 0.0 => 0.0,
                            mean if mean.abs() <= NOTHING * s.min.abs().max(s.max.abs()) => {
                                f64::NAN
                            }
                            mean => more.map_or(f64::NAN, |m| m.variance().sqrt() / mean),
                        }
                    }
                    Stat::Median
                    | Stat::Quantile(_)
                    | Stat::Mode
                    | Stat::Variety
                    | Stat::Frac
                    | Stat::WeightedFrac => found.copied().unwrap_or(f64::NAN),
                });
            }
        }
        out
    }
}

struct Worker<'a> {
    needs: Needs,
    /// All pairs' weights, rising within each region, and their shares where classes need them.
    rising: [&'a [f64]; 2],
    index: &'a Index,
    scratch: Scratch,
    values: Values,
    sums: Vec<Sums>,
    more: Vec<More>,
    kept: Kept,
    ordered: Ordered,
    /// For each step and region the statistics that need all values.
    found: Vec<f64>,
    /// The share of each class in a region, by weight and by covered share.
    classes: [Vec<f64>; 2],
    /// A value was no class.
    missed: bool,
    /// Values are looked at instead of added up.
    seen: Option<Seen>,
    /// Chunks read since this was last taken.
    chunks: u64,
}

impl<'a> Worker<'a> {
    fn new(needs: Needs, rising: [&'a [f64]; 2], index: &'a Index) -> Self {
        Worker {
            needs,
            rising,
            index,
            scratch: Scratch::default(),
            values: Values::F32(Vec::new()),
            sums: Vec::new(),
            more: Vec::new(),
            kept: Kept::F32(Vec::new()),
            ordered: Ordered::default(),
            found: Vec::new(),
            classes: [Vec::new(), Vec::new()],
            missed: false,
            seen: None,
            chunks: 0,
        }
    }

    /// Reduces one window of steps of one variable into `self.sums` and the like, steps outer and regions inner.
    fn window(
        &mut self,
        w: &Work,
        plan: &Columns,
        span: &Span,
        window: (usize, usize),
        regions: usize,
    ) -> Result<()> {
        let steps = window.1 - window.0;
        self.sums.clear();
        self.sums.resize(steps * regions, Sums::NONE);
        if self.needs.more {
            self.more.clear();
            self.more.resize(steps * regions, More::default());
        }
        self.found.clear();
        self.found.resize(steps * regions * plan.orders.len(), f64::NAN);
        for group in w.groups.iter() {
            if self.needs.order {
                self.kept.clear(w.decoder.is_f32(), group.len * steps);
            }
            self.tiles(w, group, span, window, regions)?;
            if self.needs.order {
                self.order(w, plan, group, steps, regions)?;
            }
        }
        Ok(())
    }

    /// Finds the quantiles, the mode and the like of what was kept of a group of regions.
    fn order(
        &mut self,
        w: &Work,
        plan: &Columns,
        group: &Group,
        steps: usize,
        regions: usize,
    ) -> Result<()> {
        let exact = |(s, _): &(Stat, Option<usize>)| *s == Stat::Variety || s.by_class();
        let long = w.long && plan.orders.iter().any(exact);
        let other = plan.classes.as_ref().and_then(|c| c.rest());
        let [by_weight, by_share] = &mut self.classes;
        for shares in [&mut *by_weight, &mut *by_share] {
            shares.resize(plan.classes.as_ref().map_or(0, |c| c.len()), 0.0);
        }
        for step in 0..steps {
            for &region in &group.regions {
                let region = region as usize;
                let pairs = self.index.pairs(region);
                let first = step * group.len + group.starts[region];
                let weights = &self.rising[0][pairs.clone()];
                let shares = self.rising[1].get(pairs.clone()).unwrap_or_default();
                match &self.kept {
                    Kept::F32(v) => {
                        self.ordered.take_f32(&v[first..first + pairs.len()], weights, shares);
                    }
                    Kept::F64(v) => {
                        self.ordered.take_f64(&v[first..first + pairs.len()], weights, shares);
                    }
                }
                if let (true, Some((low, high))) = (long, self.ordered.ends()) {
                    let far = if -low > high { low } else { high };
                    if far.abs() >= EXACT {
                        return Err(too_large(far, &w.label));
                    }
                }
                if plan.classes.is_some()
                    && self.ordered.by_class(&w.classes, other, by_weight, by_share).is_some()
                {
                    // Which, and how often, is found out once.
                    self.missed = true;
                    return Err(Error::data("a value is no class").at(&w.label));
                }
                let at = (step * regions + region) * plan.orders.len();
                for (to, (stat, class)) in self.found[at..].iter_mut().zip(&plan.orders) {
                    *to = match (stat, class) {
                        (Stat::Frac, Some(k)) => by_share[*k],
                        (Stat::WeightedFrac, Some(k)) => by_weight[*k],
                        (Stat::Variety, _) => self.ordered.variety(),
                        (Stat::Mode, _) => self.ordered.mode(),
                        _ => match stat.share() {
                            Some(share) => self.ordered.quantile(share),
                            None => f64::NAN,
                        },
                    };
                }
            }
        }
        Ok(())
    }

    /// Walks the blocks of a window of steps that hold cells of a group of regions.
    fn tiles(
        &mut self,
        w: &Work,
        group: &Group,
        span: &Span,
        window: (usize, usize),
        regions: usize,
    ) -> Result<()> {
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
                for (number, tile) in group.tiles.iter().enumerate() {
                    if tile.offsets.is_empty() {
                        continue;
                    }
                    at[w.lat] = number as u64 / w.across * w.blocks.block[w.lat];
                    at[w.lon] = number as u64 % w.across * w.blocks.block[w.lon];
                    self.block(w, &at, tile, group, &steps, regions)?;
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
        group: &Group,
        steps: &[(usize, usize)],
        regions: usize,
    ) -> Result<()> {
        if !w.blocks.is_written(at) && w.decoder.unwritten_is_missing() {
            return Ok(());
        }
        self.chunks += 1;
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
            if let Some(seen) = &mut self.seen {
                seen.look(tile, &self.values, from);
                continue;
            }
            let rows = step * regions..(step + 1) * regions;
            add(tile, &self.values, from, &mut self.sums[rows.clone()]);
            if self.needs.more {
                add_more(tile, &self.values, from, self.needs.spread, &mut self.more[rows]);
            }
            if self.needs.order {
                self.kept.keep(tile, &self.values, from, &group.starts, step * group.len);
            }
        }
        Ok(())
    }
}

/// Integers from here on have neighbours that float64 takes for them.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Different values that are told apart while they are counted.
const MOST_SEEN: usize = 1_000_000;

/// The different values of some cells, and how often each comes.
#[derive(Default)]
struct Seen {
    /// By the bits of float64.
    counts: HashMap<u64, u64>,
}

impl Seen {
    fn look(&mut self, tile: &Tile, values: &Values, from: usize) {
        let mut run = (f64::NAN, 0);
        for o in tile.offsets.iter() {
            let at = from + *o as usize;
            let v = match values {
                Values::F32(v) => f64::from(v[at]),
                Values::F64(v) => v[at],
            } + 0.0; // -0 is 0
            if v == run.0 {
                run.1 += 1;
            } else if !v.is_nan() {
                self.add(run);
                run = (v, 1);
            }
        }
        self.add(run);
    }

    fn add(&mut self, (value, count): (f64, u64)) {
        if count > 0 && self.is_whole() {
            *self.counts.entry(value.to_bits()).or_default() += count;
        }
    }

    fn is_whole(&self) -> bool {
        self.counts.len() <= MOST_SEEN
    }
}

/// What a first pass over a variable saw.
pub struct Survey {
    /// Different values in rising order, and in how many cells each is, over all steps. float32 as its shortest decimal, which
    /// is what people write.
    pub values: Vec<(f64, u64)>,
    /// No value was left out for their number.
    pub whole: bool,
    pub narrow: bool,
}

/// Reads a variable of a span at the steps asked for, and tells the values of all cells of the regions.
pub fn survey(span: &Span, place: usize, cells: &Covered, threads: usize) -> Result<Survey> {
    let mut work = prepare(&cells.0, span)?;
    let mut w = work.swap_remove(place);
    let needs = Needs { more: false, spread: false, order: false, classes: false };
    let (index, shares) = (&cells.0, cells.0.shares.clone());
    let pairs = Pairs { cells: index.cells.clone(), weights: shares.clone(), shares };
    w.groups = Layouts::new(index, pairs, needs, HashSet::from([w.cut])).groups(w.cut, 1);
    // As if there were many regions: windows of a chunk.
    let work = [w];
    let (windows, _) = windows(span, &work, TASK_ROWS, (size_of::<Sums>(), 0));
    let [w] = &work;
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let look = || -> Result<Seen> {
        let mut worker = Worker::new(needs, [&[], &[]], index);
        worker.seen = Some(Seen::default());
        while let Some(window) = windows.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            for group in w.groups.iter() {
                worker.tiles(w, group, span, *window, 1)?;
            }
            if worker.seen.as_ref().is_some_and(|s| !s.is_whole()) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        Ok(worker.seen.unwrap_or_default())
    };
    let threads = threads.clamp(1, windows.len().max(1));
    let mut found = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(look)).collect();
        let mut all = vec![look()];
        for other in others {
            all.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all.into_iter().collect::<Result<Vec<Seen>>>()
    })?
    .into_iter();
    let mut all = found.next().unwrap_or_default();
    for seen in found {
        seen.counts.into_iter().for_each(|(v, n)| all.add((f64::from_bits(v), n)));
    }
    let narrow = w.decoder.is_f32();
    let whole = all.is_whole();
    let plain = |v: f64| if narrow { shortest(v) } else { v };
    let counts = all.counts.into_iter();
    let mut values: Vec<(f64, u64)> = counts.map(|(v, n)| (plain(f64::from_bits(v)), n)).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values.truncate(MOST_SEEN);
    if let Some((v, _)) = values.iter().find(|(v, _)| w.long && v.abs() >= EXACT) {
        return Err(too_large(*v, &w.label));
    }
    Ok(Survey { values, whole, narrow })
}

/// All cells that any region has, as the one region of an index: each cell once.
pub struct Covered(Index);

impl Covered {
    pub fn of(index: &Index, cells: &[u32], counts: impl Fn(u32) -> bool) -> Covered {
        let mut cells: Vec<u32> = cells.iter().copied().filter(|c| counts(*c)).collect();
        cells.sort_unstable();
        cells.dedup();
        let mut one = keep(index, |_| false, |_| false);
        one.keys.push(String::new());
        one.inside.push(1.0);
        one.starts.push(cells.len() as u64);
        one.shares = Arc::new(vec![1.0; cells.len()]);
        one.cells = Arc::new(cells);
        Covered(one)
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
