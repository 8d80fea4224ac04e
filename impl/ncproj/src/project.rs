//! Regions in longitude and latitude -> the plane of a projected grid, and the true areas of its cells.
//!
//! Edges are straight in longitude and latitude. Each is cut until its pieces, straight in the plane, lie within
//! 1/100,000 cell of it. What lies far beyond the grid is cut off before, where the projection may have no answer.

use crate::coverage::{Covered, Coverer};
use crate::crs::{Projection, triangle};
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::repair::{Loop, Point, signed_area};

/// How far a piece of an edge may lie from where it should, in cells.
const TOLERANCE: f64 = 1e-5;
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
        for [x, y] in border {
            let [lon, lat] = projection.inverse(x, y).ok_or_else(|| beyond(x, y))?;
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
        let mut cut = false;
        for l in loops {
            cut |= self.project(l, &mut plane)?;
        }
        let mut covered = coverer.cover(&plane);
        covered.area = loops.iter().map(|l| l.sign * l.area.abs()).sum();
        if cut || covered.inside < 1.0 {
            let within: f64 = covered.pairs.iter().map(|(c, s)| s * areas.of(*c)).sum();
            let whole: f64 = loops.iter().map(|l| l.sign * self.true_area(l).abs()).sum();
            covered.inside = if whole > 0.0 { (within / whole).clamp(0.0, 1.0) } else { 0.0 };
            if cut && covered.inside > 1.0 - 1e-6 {
                covered.inside = 1.0; // cut at a meridian only
            }
        }
        Some(covered)
    }

    /// Adds the pieces of a loop in the plane; was anything cut?
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
        let mut whole = false;
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
            whole |= inside;
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
        Some(!whole)
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
fn clip(points: &[Point], axis: usize, sign: f64, line: f64) -> Vec<Point> {
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

/// The areas of the grid's cells in steradians.
pub enum Areas<'a> {
    /// By row and by column.
    Sides(Vec<f64>, Vec<f64>),
    /// One for each cell, in the order of the file.
    Cells(&'a [f64]),
}

impl<'a> Areas<'a> {
    /// `cells` is what `cell_areas` said, empty where rows and columns do.
    pub fn new(grid: &Grid, cells: &'a [f64]) -> Areas<'a> {
        match cells.is_empty() {
            true => Areas::Sides(grid.row_areas(), grid.column_widths()),
            false => Areas::Cells(cells),
        }
    }

    pub fn of(&self, cell: u32) -> f64 {
        match self {
            Areas::Sides(rows, columns) => {
                let n = columns.len();
                rows[cell as usize / n] * columns[cell as usize % n]
            }
            Areas::Cells(a) => a[cell as usize],
        }
    }
}

/// The true area of each cell of a projected grid, by its corners on the sphere or the ellipsoid (through the sphere of
/// equal area); large cells in pieces. Empty for longitude and latitude, rotated or not.
pub fn cell_areas(grid: &Grid, file: &str, threads: usize) -> Result<Vec<f64>> {
    let Some(projection) = grid.projection.as_ref().filter(|p| !p.is_rotated()) else {
        return Ok(Vec::new());
    };
    let (rows, columns) = (grid.lat.len(), grid.lon.len());
    let corner =
        |x: f64, y: f64| projection.inverse(x, y).map(|g| projection.on_sphere(g[0], g[1]));
    // The width of a cell in the middle of the grid, in radians.
    let (y, x) = (grid.lat.edges[rows / 2], grid.lon.edges[columns / 2]);
    let step = |a: &[f64], k: usize| a[(k + 1).min(a.len() - 1)] - a[(k + 1).min(a.len() - 1) - 1];
    let wide = match (
        corner(x, y),
        corner(x + step(&grid.lon.edges, columns / 2), y),
        corner(x, y + step(&grid.lat.edges, rows / 2)),
    ) {
        (Some(a), Some(b), Some(c)) => {
            let far = |p: [f64; 3], q: [f64; 3]| {
                ((p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2) + (p[2] - q[2]).powi(2)).sqrt()
            };
            far(a, b).max(far(a, c))
        }
        _ => 1.0,
    };
    let n = (wide / 0.004).ceil().clamp(1.0, 16.0) as usize;
    let fine = |edges: &[f64]| -> Vec<f64> {
        let mut out = vec![edges[0]];
        for w in edges.windows(2) {
            out.extend((1..=n).map(|k| w[0] + (w[1] - w[0]) * k as f64 / n as f64));
        }
        out
    };
    let (ys, xs) = (fine(&grid.lat.edges), fine(&grid.lon.edges));
    let line = |y: f64| xs.iter().map(|x| corner(*x, y)).collect::<Option<Vec<_>>>();
    // One row of cells (in the order of the edges), from the line of corners below it to the one above.
    type Line = Vec<[f64; 3]>;
    let row = |r: usize, below: Option<Line>, out: &mut [f64]| -> Option<Line> {
        let mut below = match below {
            Some(l) => l,
            None => line(ys[r * n])?,
        };
        out.fill(0.0);
        for k in 1..=n {
            let above = line(ys[r * n + k])?;
            for c in 0..columns * n {
                let (a, b, p, q) = (below[c], below[c + 1], above[c + 1], above[c]);
                out[grid.lon.file_place(c / n)] += triangle(a, b, p) + triangle(a, p, q);
            }
            below = above;
        }
        out.iter().all(|v| v.is_finite()).then_some(below)
    };
    let mut areas = vec![0.0; rows * columns];
    let each = rows.div_ceil(threads.max(1));
    let whole = std::thread::scope(|s| {
        let parts: Vec<_> = areas
            .chunks_mut(each * columns)
            .enumerate()
            .map(|(t, part)| {
                let row = &row;
                s.spawn(move || {
                    // In the order of the edges, so that neighbours share the line between them.
                    let mut own: Vec<(usize, &mut [f64])> = part
                        .chunks_mut(columns)
                        .enumerate()
                        .map(|(k, out)| (grid.lat.file_place(t * each + k), out))
                        .collect();
                    own.sort_unstable_by_key(|(r, _)| *r);
                    let mut below = None;
                    own.into_iter().all(|(r, out)| {
                        below = row(r, below.take(), out);
                        below.is_some()
                    })
                })
            })
            .collect();
        parts.into_iter().all(|p| match p.join() {
            Ok(fine) => fine,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    });
    if !whole {
        return Err(Error::data("the grid has cells where its projection has no place")
            .at(format!("{file}: {}", grid.describe()))
            .hint("cut the file to where the projection is defined"));
    }
    Ok(areas)
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
