//! Regions in longitude and latitude -> the plane of a projected grid, and the true areas of its cells.
//!
//! Edges are straight in longitude and latitude. Each is cut until its pieces, straight in the plane, lie within
//! 1/100,000 cell of it. What lies far beyond the grid is cut off before, where the projection may have no answer.

use crate::coverage::{Covered, Coverer};
use crate::crs::{Projection, triangle};
use crate::curvilinear::Quads;
use crate::error::{Error, Result};
use crate::grid::{Axis, Grid};
use crate::repair::{Loop, Point, signed_area};
use crate::threads::helpers;
use std::sync::{Arc, Mutex};

/// How far a piece of an edge may lie from where it should, in cells.
pub(crate) const TOLERANCE: f64 = 1e-5;
/// Rounding of longitudes and latitudes, in degrees.
const HAIR: f64 = 1e-9;
/// No piece of an edge spans more degrees, however straight it looks.
const LONGEST: f64 = 0.5;

pub struct Projector<'a> {
    grid: &'a Grid,
    projection: &'a Projection,
    /// What part of the Earth the grid shows: west, south, east, north; longitudes from the projection's middle.
    window: [f64; 4],
    /// Meridians at which regions are cut, so that no piece goes round the globe.
    strips: Vec<f64>,
    tolerance: f64,
    /// Edges of fewer degrees are straight enough.
    short: f64,
}

impl<'a> Projector<'a> {
    pub fn new(grid: &'a Grid, file: &str) -> Result<Option<Projector<'a>>> {
        let Some(projection) = &grid.projection else { return Ok(None) };
        let beyond = |x: f64, y: f64| {
            Error::data(format!("the grid reaches beyond its projection: x {x}, y {y} is no place"))
                .at(format!("{file}: {}", grid.describe()))
                .hint("cut the file to where the projection is defined")
        };
        let (ys, xs) = (&grid.lat.edges, &grid.lon.edges);
        let (south, north) = (ys[0], ys[ys.len() - 1]);
        let (west, east) = (xs[0], xs[xs.len() - 1]);
        let border = xs
            .iter()
            .map(|x| [*x, south])
            .chain(ys.iter().map(|y| [east, *y]))
            .chain(xs.iter().rev().map(|x| [*x, north]))
            .chain(ys.iter().rev().map(|y| [west, *y]));
        let mut window = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        let mut before: Option<Point> = None;
        let (mut first, mut steps) = (0.0, [0.0f64; 2]);
        let disc = projection.disc();
        let world = projection.is_world();
        let slack = 1e-3 * ((east - west) / grid.lon.len() as f64).abs();
        let mut off = false;
        for [x, y] in border {
            let [lon, lat] = match projection.place(x, y, slack) {
                Some(g) => g,
                None if disc.is_some() || world => {
                    off = true; // a corner of the picture that shows the sky, or is off the map
                    continue;
                }
                None => return Err(beyond(x, y)),
            };
            let mut d = lon - projection.lon_0;
            match before {
                None => first = d,
                Some(b) => {
                    d -= ((d - b[0]) / 360.0).round() * 360.0;
                    steps = [steps[0].max((d - b[0]).abs()), steps[1].max((lat - b[1]).abs())];
                }
            }
            window = [window[0].min(d), window[1].min(lat), window[2].max(d), window[3].max(lat)];
            before = Some([d, lat]);
        }
        let winding = before.map_or(0.0, |b| b[0] - first);
        let period = grid.period();
        let shown = |lat: f64| {
            projection.forward_from_middle(0.0, lat).is_some_and(|[x, y]| {
                let x = period.map_or(x, |p| west + (x - west).rem_euclid(p));
                (west..=east).contains(&x) && (south..=north).contains(&y)
            })
        };
        let (pole_n, pole_s) = (shown(90.0) || winding > 180.0, shown(-90.0) || winding < -180.0);
        let known = |lat: f64| {
            projection
                .forward_from_middle(0.0, lat)
                .is_some_and(|p| p[0].abs().max(p[1].abs()) < 1e9)
        };
        let (most_n, most_s) =
            (if known(90.0) { 90.0 } else { 89.9999 }, if known(-90.0) { -90.0 } else { -89.9999 });
        window[1] = if pole_s { -90.0 } else { (window[1] - 2.0 * steps[1]).max(most_s) };
        window[3] = if pole_n { 90.0 } else { (window[3] + 2.0 * steps[1]).min(most_n) };
        if pole_n || pole_s {
            (window[0], window[2]) = (-180.0, 180.0);
        } else if window[2] - window[0] + 4.0 * steps[0] < 360.0 {
            (window[0], window[2]) = (window[0] - 2.0 * steps[0], window[2] + 2.0 * steps[0]);
        } else {
            window[2] = window[0] + 360.0;
        }
        if world && off {
            window = [-180.0, -90.0, 180.0, 90.0];
        }
        if let Some((lat, reach)) = disc.filter(|_| off) {
            let round = lat.abs() + reach >= 90.0;
            let half = if round { 180.0 } else { reach / lat.to_radians().cos().max(0.05) };
            window = [
                -half.min(180.0),
                (lat - reach).max(-90.0),
                half.min(180.0),
                (lat + reach).min(90.0),
            ];
        }
        // The grid's own pole lies on the meridian 180 degrees from the middle; never cut there.
        let strips = match projection.is_rotated() && window[2] - window[0] > 180.0 {
            true => vec![-137.3, -17.3, 102.7],
            false => Vec::new(),
        };
        let cell =
            ((east - west) / grid.lon.len() as f64).min((north - south) / grid.lat.len() as f64);
        let tolerance = TOLERANCE * cell;
        let middle = [(window[0] + window[2]) / 2.0, (window[1] + window[3]) / 2.0];
        let per_radian = match (
            projection.forward_from_middle(middle[0], middle[1]),
            projection.forward_from_middle(middle[0], middle[1] + 0.01),
        ) {
            (Some(a), Some(b)) => (b[0] - a[0]).hypot(b[1] - a[1]) / 0.01f64.to_radians(),
            _ => f64::INFINITY,
        };
        let short = (tolerance / per_radian).sqrt().to_degrees();
        Ok(Some(Projector { grid, projection, window, strips, tolerance, short }))
    }

    /// The cells that a region covers; its loops are in longitude and latitude. Nothing where the projection has no
    /// answer for a corner near the grid.
    pub fn cover(&self, coverer: &mut Coverer, loops: &[Loop], areas: &Areas) -> Option<Covered> {
        let mut plane = Vec::with_capacity(loops.len());
        let (mut lost, mut beyond) = (false, 0.0);
        for l in loops {
            let before = plane.len();
            lost |= self.project(l, &mut plane)?;
            if plane.len() == before {
                beyond += l.sign * self.true_area(l).abs();
            }
        }
        let mut covered = coverer.cover(&plane);
        covered.area = loops.iter().map(|l| l.sign * l.area.abs()).sum();
        if lost || covered.inside < 1.0 {
            let within: f64 = covered.pairs.iter().map(|(c, s)| s * areas.of(*c)).sum();
            let whole: f64 = loops.iter().map(|l| l.sign * self.true_area(l).abs()).sum();
            let share = if whole > 0.0 { (within / whole).clamp(0.0, 1.0) } else { 0.0 };
            // What is left of the accuracy of areas says nothing about a hair outside; the plane does.
            covered.inside = match share > 1.0 - 1e-5 {
                true => covered.inside * (1.0 - (beyond / whole).clamp(0.0, 1.0)),
                false => share,
            };
        }
        Some(covered)
    }

    /// Adds the pieces of a loop in the plane; was anything left out?
    fn project(&self, l: &Loop, out: &mut Vec<Loop>) -> Option<bool> {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for p in &l.points {
            let d = [p[0] - self.projection.lon_0, p[1]];
            for k in 0..2 {
                low[k] = low[k].min(d[k]);
                high[k] = high[k].max(d[k]);
            }
        }
        let [west, south, east, north] = self.window;
        if high[1] <= south || low[1] >= north {
            return Some(true);
        }
        let lost = low[1] < south - HAIR
            || high[1] > north + HAIR
            || east - west < 360.0 - HAIR
                && low[0] + ((west - HAIR - low[0]) / 360.0).ceil() * 360.0 + (high[0] - low[0])
                    > east + HAIR;
        let first = ((west - high[0]) / 360.0).ceil() as i64;
        let last = ((east - low[0]) / 360.0).floor() as i64;
        for turn in first..=last {
            let shift = turn as f64 * 360.0 - self.projection.lon_0;
            let mut points: Vec<Point> = l.points.iter().map(|p| [p[0] + shift, p[1]]).collect();
            let turned = shift + self.projection.lon_0;
            let (a, b) = (low[0] + turned, high[0] + turned);
            let inside = a >= west && b <= east && low[1] >= south && high[1] <= north;
            if !inside {
                points = clip(&points, 0, 1.0, west);
                points = clip(&points, 0, -1.0, -east);
                points = clip(&points, 1, 1.0, south);
                points = clip(&points, 1, -1.0, -north);
            }
            let mut from = f64::NEG_INFINITY;
            for to in self.strips.iter().copied().chain([f64::INFINITY]) {
                if b > from && a < to {
                    let piece = match from <= a && to >= b {
                        true => points.clone(),
                        false => clip(&clip(&points, 0, 1.0, from), 0, -1.0, -to),
                    };
                    self.draw(&piece, l, out)?;
                }
                from = to;
            }
        }
        Some(lost)
    }

    /// A closed line in degrees from the middle -> the plane.
    fn draw(&self, points: &[Point], of: &Loop, out: &mut Vec<Loop>) -> Option<()> {
        let Some(last) = points.last().filter(|_| points.len() > 2) else { return Some(()) };
        let mut drawn: Vec<Point> = Vec::with_capacity(points.len() + points.len() / 4);
        let start = self.at(last, None)?;
        let (mut from, mut at) = (*last, start);
        for p in points {
            let to = self.at(p, Some(at))?;
            self.edge((from, at), (*p, to), 0, &mut drawn)?;
            from = *p;
            at = *drawn.last()?;
        }
        if let Some(period) = self.grid.period() {
            close_round_a_pole(&mut drawn, start, period, of.area > 0.0);
        }
        let area = signed_area(&drawn);
        if area != 0.0 {
            out.push(Loop { points: drawn, area, sign: of.sign });
        }
        Some(())
    }

    fn at(&self, p: &Point, near: Option<Point>) -> Option<Point> {
        let mut q = self.projection.forward_from_middle(p[0], p[1])?;
        if let (Some(period), Some(n)) = (self.grid.period(), near) {
            q[0] -= ((q[0] - n[0]) / period).round() * period;
        }
        Some(q)
    }

    /// Adds the end of an edge, and what it takes to stay near the edge before it.
    fn edge(
        &self,
        (a, pa): (Point, Point),
        (b, pb): (Point, Point),
        depth: u32,
        out: &mut Vec<Point>,
    ) -> Option<()> {
        let span = (b[0] - a[0]).abs().max((b[1] - a[1]).abs());
        if span <= self.short && a[1].abs() < 80.0 || depth > 20 {
            out.push(pb);
            return Some(());
        }
        let m = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let pm = self.at(&m, Some(pa))?;
        let far = (pm[0] - (pa[0] + pb[0]) / 2.0).hypot(pm[1] - (pa[1] + pb[1]) / 2.0);
        if span <= LONGEST && far <= self.tolerance {
            out.push(pb);
            return Some(());
        }
        self.edge((a, pa), (m, pm), depth + 1, out)?;
        let pb = match self.grid.period() {
            None => pb,
            Some(_) => self.at(&b, out.last().copied())?,
        };
        self.edge((m, pm), (b, pb), depth + 1, out)
    }

    /// The area of a loop on the sphere or ellipsoid, in steradians; its edges straight in longitude and latitude.
    fn true_area(&self, l: &Loop) -> f64 {
        let s = |lat: f64| self.projection.authalic_sine(lat.clamp(-90.0, 90.0));
        let Some(mut from) = l.points.last().copied() else { return 0.0 };
        let mut sum = 0.0;
        for p in &l.points {
            let pieces = ((p[1] - from[1]).abs().ceil() as usize).clamp(1, 180);
            let lat = |k: f64| from[1] + (p[1] - from[1]) * k / pieces as f64;
            let mut mean = 0.0;
            for k in 0..pieces {
                let k = k as f64;
                mean += s(lat(k)) + 4.0 * s(lat(k + 0.5)) + s(lat(k + 1.0));
            }
            sum -= (p[0] - from[0]).to_radians() * mean / (6.0 * pieces as f64);
            from = *p;
        }
        sum
    }
}

/// A line that goes round a pole and comes back a turn further on is closed along that pole. `left`: what it encloses
/// lies to its left.
pub fn close_round_a_pole(points: &mut Vec<Point>, start: Point, period: f64, left: bool) {
    let Some(last) = points.last().copied() else { return };
    let winding = last[0] - start[0];
    if winding.abs() > period / 2.0 {
        let pole = if (winding > 0.0) == left { 90.0 } else { -90.0 };
        points.push([last[0], pole]);
        points.push([start[0], pole]);
        points.push(start);
    }
}

/// What of a closed line lies where `sign * coordinate >= line`.
pub(crate) fn clip(points: &[Point], axis: usize, sign: f64, line: f64) -> Vec<Point> {
    let mut out = Vec::with_capacity(points.len() + 8);
    let Some(mut a) = points.last() else { return out };
    let far = |p: &Point| sign * p[axis] - line;
    for b in points {
        let (fa, fb) = (far(a), far(b));
        if (fa < 0.0) != (fb < 0.0) {
            let t = fa / (fa - fb);
            let mut p = [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
            p[axis] = sign * line;
            out.push(p);
        }
        if fb >= 0.0 {
            out.push(*b);
        }
        a = b;
    }
    out
}

/// True area per area in the plane, for blocks of cells of a projected grid.
///
/// It changes slowly: blocks of up to 12 km are enough for seven digits, and a grid of millions of cells stays small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scale {
    /// Cells along each side of a block; the last ones may have fewer.
    pub block: usize,
    /// Steradians per square unit of the plane; rows of blocks from the lowest y, in each the blocks from the lowest x.
    pub density: Vec<f64>,
}

impl Scale {
    /// How many blocks there are, by row and by column.
    pub fn shape(grid: &Grid, block: usize) -> [usize; 2] {
        [grid.lat.len().div_ceil(block.max(1)), grid.lon.len().div_ceil(block.max(1))]
    }
}

/// The areas of the grid's cells in steradians.
pub enum Areas<'a> {
    /// By row and by column.
    Sides(Vec<f64>, Vec<f64>),
    /// In the plane, times the density between the middles of blocks.
    Plane { rows: Vec<Between>, columns: Vec<Between>, across: usize, density: &'a [f64] },
    /// Each for itself.
    Cells(Arc<Quads>),
}

/// A row (column) of cells: its width, the block before its middle, and how far it lies on the way to the next.
pub struct Between {
    width: f64,
    block: usize,
    next: usize,
    part: f64,
}

fn between(axis: &Axis, block: usize) -> Vec<Between> {
    let e = &axis.edges;
    let middle = |from: usize, to: usize| (e[from] + e[to]) / 2.0;
    let count = axis.len().div_ceil(block);
    let centre = |b: usize| middle(b * block, ((b + 1) * block).min(axis.len()));
    (0..axis.len())
        .map(|k| axis.file_place(k))
        .map(|k| {
            let (at, own) = (middle(k, k + 1), k / block);
            let before = if at < centre(own) { own.saturating_sub(1) } else { own };
            let before = before.min(count.saturating_sub(2));
            let next = (before + 1).min(count - 1);
            let part = match next > before {
                true => (at - centre(before)) / (centre(next) - centre(before)),
                false => 0.0,
            };
            Between { width: e[k + 1] - e[k], block: before, next, part }
        })
        .collect()
}

impl<'a> Areas<'a> {
    /// `scale` is what `scale` said, nothing where rows and columns say it all.
    pub fn new(grid: &Grid, scale: Option<&'a Scale>) -> Areas<'a> {
        if let Some(q) = &grid.quads {
            return Areas::Cells(q.clone());
        }
        match scale {
            None => Areas::Sides(grid.row_areas(), grid.column_widths()),
            Some(s) => Areas::Plane {
                rows: between(&grid.lat, s.block),
                columns: between(&grid.lon, s.block),
                across: Scale::shape(grid, s.block)[1],
                density: &s.density,
            },
        }
    }

    pub fn of(&self, cell: u32) -> f64 {
        match self {
            Areas::Cells(q) => q.areas().get(cell as usize).copied().unwrap_or(0.0),
            Areas::Sides(rows, columns) => {
                let n = columns.len();
                rows[cell as usize / n] * columns[cell as usize % n]
            }
            Areas::Plane { rows, columns, across, density } => {
                let n = columns.len();
                let (r, c) = (&rows[cell as usize / n], &columns[cell as usize % n]);
                let line = |b: usize| {
                    let (a, z) = (density[b * across + c.block], density[b * across + c.next]);
                    a * (1.0 - c.part) + z * c.part
                };
                (line(r.block) * (1.0 - r.part) + line(r.next) * r.part) * r.width * c.width
            }
        }
    }
}

/// How large the plane of a projected grid shows the Earth: the true areas of blocks of cells by their corners on the
/// sphere or the ellipsoid (through the sphere of equal area); large cells in pieces. Nothing for longitude and
/// latitude, rotated or not.
pub fn scale(grid: &Grid, file: &str, threads: usize) -> Result<Option<Scale>> {
    let Some(projection) = grid.projection.as_ref().filter(|p| !p.is_rotated()) else {
        return Ok(None);
    };
    let slack = 1e-3 * (grid.lon.edges[1] - grid.lon.edges[0]).abs();
    let corner =
        |x: f64, y: f64| projection.place(x, y, slack).map(|g| projection.on_sphere(g[0], g[1]));
    // The width of a cell in the middle of the grid, in radians.
    let step = |a: &Axis| {
        let k = a.len() / 2;
        (a.edges[k], a.edges[k.max(1)] - a.edges[k.max(1) - 1])
    };
    let ((y, dy), (x, dx)) = (step(&grid.lat), step(&grid.lon));
    let wide = match (corner(x, y), corner(x + dx, y), corner(x, y + dy)) {
        (Some(a), Some(b), Some(c)) => {
            let far = |p: [f64; 3], q: [f64; 3]| {
                ((p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2) + (p[2] - q[2]).powi(2)).sqrt()
            };
            far(a, b).max(far(a, c))
        }
        _ => 1.0,
    };
    // Two blocks at least along each side: of one alone nobody knows how the scale changes from cell to cell.
    let most = grid.lat.len().min(grid.lon.len()).div_ceil(2);
    let block = ((0.002 / wide).clamp(1.0, 4096.0) as usize).min(most);
    let n = (wide / 0.004).ceil().clamp(1.0, 16.0) as usize;
    // The edges of blocks, and within blocks of one large cell those of its pieces.
    let fine = |edges: &[f64]| -> Vec<f64> {
        let last = edges.len() - 1;
        let mut out = vec![edges[0]];
        for k in (0..last).step_by(block) {
            let (a, b) = (edges[k], edges[(k + block).min(last)]);
            out.extend((1..=n).map(|k| a + (b - a) * k as f64 / n as f64));
        }
        out
    };
    let (ys, xs) = (fine(&grid.lat.edges), fine(&grid.lon.edges));
    let [rows, columns] = Scale::shape(grid, block);
    // Of a disc the sky round it has no place, nor have the corners of a map of the world; any other projection has to know
    // all corners.
    let disc = projection.disc().is_some() || projection.is_world();
    let line = |y: f64| {
        let all =
            xs.iter().map(|x| corner(*x, y).map_or(if disc { Some(SKY) } else { None }, Some));
        all.collect::<Option<Vec<_>>>()
    };
    // One row of blocks, from the line of corners below it to the one above.
    type Line = Vec<[f64; 3]>;
    let row = |r: usize, below: Option<Line>, out: &mut [f64]| -> Option<Line> {
        let mut below = match below {
            Some(l) => l,
            None => line(ys[r * n])?,
        };
        out.fill(0.0);
        let mut seen = vec![0u32; if disc { columns } else { 0 }];
        for k in 1..=n {
            let above = line(ys[r * n + k])?;
            for c in 0..columns * n {
                let (a, b, p, q) = (below[c], below[c + 1], above[c + 1], above[c]);
                if disc {
                    if [a, b, p, q].contains(&SKY) {
                        continue;
                    }
                    seen[c / n] += 1;
                }
                out[c / n] += triangle(a, b, p) + triangle(a, p, q);
            }
            below = above;
        }
        let height = ys[(r + 1) * n] - ys[r * n];
        for (c, v) in out.iter_mut().enumerate() {
            *v /= height * (xs[(c + 1) * n] - xs[c * n]);
            if let Some(seen) = seen.get(c).filter(|s| **s > 0) {
                *v *= (n * n) as f64 / f64::from(*seen);
            }
        }
        out.iter().all(|v| v.is_finite()).then_some(below)
    };
    let mut density = vec![0.0; rows * columns];
    let each = rows.div_ceil(threads.max(1));
    let parts = Mutex::new(density.chunks_mut(each * columns).enumerate());
    let work = || {
        loop {
            let Some((t, part)) = parts.lock().ok().and_then(|mut p| p.next()) else { return true };
            let mut below = None;
            let whole = part.chunks_mut(columns).enumerate().all(|(k, out)| {
                below = row(t * each + k, below.take(), out);
                below.is_some()
            });
            if !whole {
                return false;
            }
        }
    };
    let whole = std::thread::scope(|s| {
        let others = helpers(s, threads.max(1) - 1, work);
        let mine = work();
        others.into_iter().all(|p| match p.join() {
            Ok(fine) => fine,
            Err(panic) => std::panic::resume_unwind(panic),
        }) && mine
    });
    if !whole {
        return Err(Error::data("the grid has cells where its projection has no place")
            .at(format!("{file}: {}", grid.describe()))
            .hint("cut the file to where the projection is defined"));
    }
    if disc {
        fill_sky(&mut density, columns);
    }
    Ok(Some(Scale { block, density }))
}

/// A corner that shows the sky, not the Earth.
const SKY: [f64; 3] = [0.0; 3];

/// Blocks of sky get the scale of the nearest block of their row that shows the Earth, or of the row before: cells at the
/// limb lie between the middles of both.
fn fill_sky(density: &mut [f64], columns: usize) {
    for row in density.chunks_mut(columns.max(1)) {
        let known: Vec<usize> = (0..row.len()).filter(|c| row[*c] > 0.0).collect();
        for c in 0..row.len() {
            if let (true, Some(near)) = (row[c] <= 0.0, known.iter().min_by_key(|k| k.abs_diff(c)))
            {
                row[c] = row[*near];
            }
        }
    }
    let known = |d: &[f64], r: usize| d[r * columns] > 0.0;
    let rows = density.len() / columns.max(1);
    let good: Vec<usize> = (0..rows).filter(|r| known(density, *r)).collect();
    for r in 0..rows {
        if let (false, Some(near)) = (known(density, r), good.iter().min_by_key(|k| k.abs_diff(r)))
        {
            density.copy_within(near * columns..(near + 1) * columns, r * columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_cut_at_a_line() {
        let square = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]];
        assert_eq!(signed_area(&clip(&square, 0, 1.0, 1.5)), 1.0);
        assert_eq!(signed_area(&clip(&square, 1, -1.0, -0.5)), 1.0);
        assert!(clip(&square, 0, 1.0, 3.0).is_empty());
    }

    const LAMBERT: &str = "+proj=lcc +lat_1=38.5 +lat_2=38.5 +lat_0=38.5 +lon_0=-97.5 +ellps=WGS84";

    fn axis(from: f64, step: f64, n: usize, descending: bool) -> Axis {
        Axis {
            name: "a".into(),
            dim: "a".into(),
            edges: (0..=n).map(|k| from + step * k as f64).collect(),
            descending,
            regular: true,
            from_bounds: false,
        }
    }

    #[test]
    fn small_cells_have_their_areas_through_those_of_blocks() {
        let p = Projection::parse(LAMBERT).unwrap();
        let (lat, lon) = (axis(-2e5, 1e3, 101, true), axis(9e5, 1e3, 77, false));
        let grid =
            Grid { lat, lon, global: false, projection: Some(p.clone()), quads: None, datum: None };
        let found = scale(&grid, "x.nc", 3).unwrap().unwrap();
        assert_eq!((found.block, found.density.len()), (12, 9 * 7));
        let areas = Areas::new(&grid, Some(&found));
        let at = |x: f64, y: f64| p.inverse(x, y).map(|g| p.on_sphere(g[0], g[1])).unwrap();
        for (row, column) in [(0, 0), (50, 40), (100, 76), (3, 71)] {
            // rows count from the north
            let (x, y) = (9e5 + 1e3 * column as f64, -2e5 + 1e3 * (100 - row) as f64);
            let c = [at(x, y), at(x + 1e3, y), at(x + 1e3, y + 1e3), at(x, y + 1e3)];
            let wanted = triangle(c[0], c[1], c[2]) + triangle(c[0], c[2], c[3]);
            let got = areas.of(row * 77 + column);
            assert!((got / wanted - 1.0).abs() < 3e-6, "{row}, {column}: {}", got / wanted - 1.0);
        }
    }

    #[test]
    fn the_scale_changes_within_a_grid_of_few_cells_too() {
        // 2 x 3 cells of 1 km, far from the standard parallel: 12 of them would be one block
        let p = Projection::parse(LAMBERT).unwrap();
        let (lat, lon) = (axis(1.5e6, 1e3, 2, false), axis(9e5, 1e3, 3, false));
        let grid =
            Grid { lat, lon, global: false, projection: Some(p.clone()), quads: None, datum: None };
        let found = scale(&grid, "x.nc", 1).unwrap().unwrap();
        let areas = Areas::new(&grid, Some(&found));
        let at = |x: f64, y: f64| p.inverse(x, y).map(|g| p.on_sphere(g[0], g[1])).unwrap();
        for cell in 0..6 {
            let (x, y) = (9e5 + 1e3 * f64::from(cell % 3), 1.5e6 + 1e3 * f64::from(cell / 3));
            let c = [at(x, y), at(x + 1e3, y), at(x + 1e3, y + 1e3), at(x, y + 1e3)];
            let wanted = triangle(c[0], c[1], c[2]) + triangle(c[0], c[2], c[3]);
            assert!((areas.of(cell) / wanted - 1.0).abs() < 1e-7, "{}", areas.of(cell) / wanted);
        }
    }

    #[test]
    fn a_line_round_a_pole_is_closed_there() {
        // from 0 to 360 at 80 north, eastwards: what lies left is the pole
        let mut ring = vec![[120.0, 80.0], [240.0, 80.0], [360.0, 80.0]];
        close_round_a_pole(&mut ring, [0.0, 80.0], 360.0, true);
        assert_eq!(signed_area(&ring), 3600.0);
        let mut ring = vec![[120.0, 80.0], [240.0, 80.0], [360.0, 80.0]];
        close_round_a_pole(&mut ring, [0.0, 80.0], 360.0, false);
        assert_eq!(signed_area(&ring), -61200.0);
    }
}
