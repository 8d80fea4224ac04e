//! How much of each grid cell a polygon covers, exactly, by signed areas.
//!
//! Every edge adds to the cells that it crosses the area to its right within the cell, with the sign of its direction,
//! and to all cells further right the height that it spans. A running sum along each row is then the covered share.
//! Edges are straight in longitude and latitude; on projected grids `project` has cut them finely enough.

use crate::grid::{Axis, Grid};
use crate::project::{TOLERANCE, clip};
use crate::repair::{Loop, Point, signed_area};

/// Windows of more cells than this are worked in bands of rows.
const MOST_CELLS: usize = 4 << 20;

/// Shares below this are rounding: a border along a grid line, in other decimals, leaves slivers of about 1e-12.
const SMALLEST: f64 = 1e-10;

/// Regions of less than this share of a cell are cut to the cells one by one: sums of shares would be rounding alone.
const TINY: f64 = 1e-4;
/// But not when they meet more cells than this, as long slivers do.
const MOST_TINY: usize = 4096;

/// How far a corner may lie beyond the grid's edge and count as on it: in cells, and in widths of the region, whichever is
/// less. On projected grids as far as edges are from where they should be.
const SLACK: [[f64; 2]; 2] = [[1e-9, 1e-6], [2.0 * TOLERANCE, 1e-2]];

/// The lines of one axis with what is needed to find a cell quickly.
struct Lines<'a> {
    e: &'a [f64],
    inverse: Vec<f64>,
    per_degree: f64,
}

impl<'a> Lines<'a> {
    fn new(axis: &'a Axis) -> Self {
        let e = &axis.edges;
        let inverse = e.windows(2).map(|w| 1.0 / (w[1] - w[0])).collect();
        Lines { e, inverse, per_degree: axis.len() as f64 / (e[axis.len()] - e[0]) }
    }

    /// The cell that holds `v`; values outside belong to the first or last cell.
    #[inline]
    fn cell(&self, v: f64) -> usize {
        let last = self.inverse.len() - 1;
        let guess = (((v - self.e[0]) * self.per_degree).max(0.0) as usize).min(last);
        if self.e[guess] <= v && v < self.e[guess + 1] {
            return guess;
        }
        self.search(v, guess, last)
    }

    #[cold]
    fn search(&self, v: f64, mut c: usize, last: usize) -> usize {
        for _ in 0..2 {
            if v < self.e[c] && c > 0 {
                c -= 1;
            } else if v >= self.e[c + 1] && c < last {
                c += 1;
            } else {
                return c;
            }
        }
        self.e.partition_point(|e| *e <= v).saturating_sub(1).min(last)
    }
}

/// Works out coverage on one grid; keeps its buffer from polygon to polygon.
pub struct Coverer<'a> {
    lat: Lines<'a>,
    lon: Lines<'a>,
    grid: &'a Grid,
    sums: Vec<f64>,
}

/// The cells that a region covers.
#[derive(Debug, Default)]
pub struct Covered {
    /// (cell in the order of the file: row * columns + column, covered share), ascending by cell.
    pub pairs: Vec<(u32, f64)>,
    /// The share of the region's area, in square degrees, that lies within the grid.
    pub inside: f64,
    /// The region's area in square degrees.
    pub area: f64,
}

struct Window {
    rows: (usize, usize),
    columns: (usize, usize),
}

impl<'a> Coverer<'a> {
    pub fn new(grid: &'a Grid) -> Self {
        Coverer { lat: Lines::new(&grid.lat), lon: Lines::new(&grid.lon), grid, sums: Vec::new() }
    }

    pub fn cover(&mut self, loops: &[Loop]) -> Covered {
        if let Some(cells) = &self.grid.quads {
            return cells.cover(loops);
        }
        let mut out = Covered::default();
        let mut low = [f64::INFINITY; 2];
        let mut high = [f64::NEG_INFINITY; 2];
        for l in loops {
            out.area += l.sign * l.area.abs();
            for p in &l.points {
                for k in 0..2 {
                    low[k] = low[k].min(p[k]);
                    high[k] = high[k].max(p[k]);
                }
            }
        }
        // NaN is "no area" too.
        if !out.area.is_finite() || out.area <= 0.0 {
            return out;
        }
        let (lat, lon) = (&self.grid.lat.edges, &self.grid.lon.edges);
        let (west, east) = (lon[0], lon[lon.len() - 1]);
        let (south, north) = (lat[0], lat[lat.len() - 1]);
        if high[1] <= south || low[1] >= north {
            return out;
        }
        // The same meridian may be written as -100, 260 or 620: try every turn that meets the grid.
        let (period, first, last) = match self.grid.period() {
            None => (0.0, 0, 0),
            Some(p) => {
                (p, ((west - high[0]) / p).ceil() as i64, ((east - low[0]) / p).floor() as i64)
            }
        };
        let rows = (self.lat.cell(low[1].max(south)), self.lat.cell(high[1].min(north)) + 1);
        let cell_area = (east - west) * (north - south) / self.grid.cells() as f64;
        let smallest = SMALLEST * (out.area / cell_area).min(1.0);
        let tiny = out.area < TINY * cell_area;
        let mut turns = 0;
        for turn in first..=last {
            let shift = turn as f64 * period;
            let (a, b) = ((low[0] + shift).max(west), (high[0] + shift).min(east));
            if a >= b {
                continue;
            }
            let columns = (self.lon.cell(a), self.lon.cell(b) + 1);
            turns += 1;
            let band = (MOST_CELLS / (columns.1 - columns.0 + 1)).max(1);
            let mut row = rows.0;
            while row < rows.1 {
                let until = rows.1.min(row + band);
                let window = Window { rows: (row, until), columns };
                match tiny && (until - row) * (columns.1 - columns.0) <= MOST_TINY {
                    true => self.cut(loops, shift, &window, &mut out),
                    false => self.window(loops, shift, &window, smallest, &mut out),
                }
                row = until;
            }
        }
        if turns > 1 || self.grid.lat.descending || self.grid.lon.descending {
            out.pairs.sort_unstable_by_key(|p| p.0);
            out.pairs.dedup_by(|b, a| {
                let same = a.0 == b.0;
                if same {
                    a.1 = (a.1 + b.1).min(1.0);
                }
                same
            });
        }
        out.inside /= out.area;
        if !out.pairs.is_empty() && self.holds(low, high) {
            out.inside = 1.0;
        }
        if (out.inside - 1.0).abs() < 1e-9 || out.inside > 1.0 {
            out.inside = 1.0;
        }
        out
    }

    /// Does the grid hold the whole box? That a region lies within is told by its corners, not by a sum of shares.
    fn holds(&self, low: Point, high: Point) -> bool {
        let [cells, widths] = SLACK[usize::from(self.grid.projection.is_some())];
        let sides = |lines: &Lines, width: f64| {
            let (a, b) = (lines.e[0], lines.e[lines.e.len() - 1]);
            let rounding = 4.0 * f64::EPSILON * a.abs().max(b.abs());
            let hair = (cells * (b - a) / lines.inverse.len() as f64).min(widths * width);
            (a - hair.max(rounding), b + hair.max(rounding))
        };
        let (south, north) = sides(&self.lat, high[1] - low[1]);
        let (west, east) = sides(&self.lon, high[0] - low[0]);
        if low[1] < south || high[1] > north {
            return false;
        }
        match self.grid.period() {
            None => low[0] >= west && high[0] <= east,
            Some(p) if east - west >= p => true,
            Some(p) => low[0] + ((west - low[0]) / p).ceil() * p + (high[0] - low[0]) <= east,
        }
    }

    /// As `window`, for regions far smaller than a cell.
    fn cut(&self, loops: &[Loop], shift: f64, w: &Window, out: &mut Covered) {
        let side = |loops: Vec<(f64, Vec<Point>)>, axis: usize, from: f64, to: f64| {
            let within = |p: &Point| p[axis] >= from && p[axis] <= to;
            loops
                .into_iter()
                .map(|(sign, l)| match l.iter().all(within) {
                    true => (sign, l),
                    false => (sign, clip(&clip(&l, axis, 1.0, from), axis, -1.0, -to)),
                })
                .filter(|(_, l)| l.len() > 2)
                .collect::<Vec<_>>()
        };
        let whole: Vec<(f64, Vec<Point>)> = loops
            .iter()
            .map(|l| (l.sign, l.points.iter().map(|p| [p[0] + shift, p[1]]).collect()))
            .collect();
        for r in w.rows.0..w.rows.1 {
            let (bottom, top) = (self.lat.e[r], self.lat.e[r + 1]);
            let row = side(whole.clone(), 1, bottom, top);
            for c in w.columns.0..w.columns.1 {
                let (left, right) = (self.lon.e[c], self.lon.e[c + 1]);
                let cell = side(row.clone(), 0, left, right);
                let area: f64 = cell.iter().map(|(s, l)| s * signed_area(l).abs()).sum();
                let share = area / ((top - bottom) * (right - left));
                if area > SMALLEST * out.area && share > 0.0 {
                    out.inside += area;
                    let place = self.grid.lat.file_place(r) * self.grid.lon.len();
                    let place = place + self.grid.lon.file_place(c);
                    out.pairs.push((place as u32, share.min(1.0)));
                }
            }
        }
    }

    fn window(&mut self, loops: &[Loop], shift: f64, w: &Window, smallest: f64, out: &mut Covered) {
        let width = w.columns.1 - w.columns.0 + 1;
        self.sums.clear();
        self.sums.resize((w.rows.1 - w.rows.0) * width, 0.0);
        for l in loops {
            let factor = if (l.area > 0.0) == (l.sign > 0.0) { -1.0 } else { 1.0 };
            let Some(last) = l.points.last() else { continue };
            let mut from = [last[0] + shift, last[1]];
            for p in &l.points {
                let to = [p[0] + shift, p[1]];
                self.edge(w, factor, from, to);
                from = to;
            }
        }
        let (rows, columns) = (&self.grid.lat, &self.grid.lon);
        let n = columns.len();
        for r in w.rows.0..w.rows.1 {
            let height = rows.edges[r + 1] - rows.edges[r];
            let base = rows.file_place(r) * n;
            let at = (r - w.rows.0) * width;
            let mut share = 0.0;
            for (k, s) in self.sums[at..at + width - 1].iter().enumerate() {
                share += s;
                if share > smallest {
                    let c = w.columns.0 + k;
                    let whole = share > 1.0 - 1e-9;
                    let kept = if whole { 1.0 } else { share };
                    out.inside += kept * height * (columns.edges[c + 1] - columns.edges[c]);
                    out.pairs.push(((base + columns.file_place(c)) as u32, kept));
                }
            }
        }
    }

    /// Adds one edge, cut to the window's rows.
    fn edge(&mut self, w: &Window, factor: f64, from: [f64; 2], to: [f64; 2]) {
        let ([mut x0, mut y0], [mut x1, mut y1], mut f) = (from, to, factor);
        if y0 == y1 {
            return;
        }
        if y0 > y1 {
            (x0, y0, x1, y1, f) = (x1, y1, x0, y0, -f);
        }
        let (bottom, top) = (self.lat.e[w.rows.0], self.lat.e[w.rows.1]);
        if y1 <= bottom || y0 >= top {
            return;
        }
        let slope = (x1 - x0) / (y1 - y0);
        if y0 < bottom {
            x0 += (bottom - y0) * slope;
            y0 = bottom;
        }
        if y1 > top {
            x1 = x0 + (top - y0) * slope;
            y1 = top;
        }
        let mut r = self.lat.cell(y0);
        let (mut xa, mut ya) = (x0, y0);
        loop {
            let line = self.lat.e[r + 1];
            let ends = y1 <= line || r + 1 >= w.rows.1;
            let (xb, yb) = if ends { (x1, y1) } else { (x0 + (line - y0) * slope, line) };
            let height = f * (yb - ya) * self.lat.inverse[r];
            if height != 0.0 {
                self.row(w, r, xa, xb, height);
            }
            if ends {
                return;
            }
            (xa, ya) = (xb, yb);
            r += 1;
        }
    }

    /// Adds a piece of an edge that lies within one row and spans `height` of it.
    fn row(&mut self, w: &Window, r: usize, xa: f64, xb: f64, height: f64) {
        let width = w.columns.1 - w.columns.0 + 1;
        let at = (r - w.rows.0) * width;
        let sums = &mut self.sums[at..at + width];
        let (mut xa, mut xb) = if xa <= xb { (xa, xb) } else { (xb, xa) };
        let e = self.lon.e;
        let (west, east) = (e[w.columns.0], e[w.columns.1]);
        if xb <= west {
            sums[0] += height;
            return;
        }
        if xa >= east {
            return;
        }
        let per_x = if xb > xa { height / (xb - xa) } else { 0.0 };
        let mut height = height;
        if xa < west {
            let part = (west - xa) * per_x;
            sums[0] += part;
            height -= part;
            xa = west;
        }
        if xb > east {
            height -= (xb - east) * per_x;
            xb = east;
        }
        // Rounding can put the end of an edge a hair beyond the window.
        let inside = |x: f64| self.lon.cell(x).clamp(w.columns.0, w.columns.1 - 1);
        let (first, last) = (inside(xa), inside(xb));
        if first == last {
            let share = ((xa + xb) * 0.5 - e[first]) * self.lon.inverse[first];
            let c = first - w.columns.0;
            sums[c] += height * (1.0 - share);
            sums[c + 1] += height * share;
            return;
        }
        for c in first..=last {
            let (a, b) = (xa.max(e[c]), xb.min(e[c + 1]));
            if b <= a {
                continue;
            }
            let part = (b - a) * per_x;
            let share = ((a + b) * 0.5 - e[c]) * self.lon.inverse[c];
            let k = c - w.columns.0;
            sums[k] += part * (1.0 - share);
            sums[k + 1] += part * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repair::prepare;

    fn axis(edges: Vec<f64>, descending: bool) -> Axis {
        Axis {
            name: "a".into(),
            dim: "a".into(),
            edges,
            descending,
            regular: true,
            from_bounds: false,
        }
    }

    fn grid(lat: (f64, usize), lon: (f64, usize)) -> Grid {
        let edges = |(from, n): (f64, usize)| (0..=n).map(|k| from + k as f64).collect::<Vec<_>>();
        let global = lon.1 == 360;
        Grid {
            lat: axis(edges(lat), false),
            lon: axis(edges(lon), false),
            global,
            projection: None,
            quads: None,
            datum: None,
        }
    }

    fn ring(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
        points.to_vec()
    }

    fn square(x: f64, y: f64, side: f64) -> Vec<[f64; 2]> {
        ring(&[[x, y], [x + side, y], [x + side, y + side], [x, y + side]])
    }

    fn cover(g: &Grid, rings: &[Vec<[f64; 2]>]) -> Covered {
        Coverer::new(g).cover(&prepare(&[rings.to_vec()]).unwrap().loops)
    }

    #[test]
    fn a_square_on_a_corner_covers_a_quarter_of_each_cell() {
        let g = grid((0.0, 2), (0.0, 2));
        let got = cover(&g, &[square(0.5, 0.5, 1.0)]);
        assert_eq!(got.pairs, [(0, 0.25), (1, 0.25), (2, 0.25), (3, 0.25)]);
        assert_eq!(got.inside, 1.0);
    }

    #[test]
    fn a_triangle_covers_half_a_cell_whichever_way_it_turns() {
        let g = grid((0.0, 1), (0.0, 1));
        let t = ring(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]);
        let back: Vec<_> = t.iter().rev().copied().collect();
        assert_eq!(cover(&g, &[t]).pairs, [(0, 0.5)]);
        assert_eq!(cover(&g, &[back]).pairs, [(0, 0.5)]);
    }

    #[test]
    fn a_hole_is_left_out() {
        let g = grid((0.0, 1), (0.0, 3));
        let outer = ring(&[[0.0, 0.0], [3.0, 0.0], [3.0, 1.0], [0.0, 1.0]]);
        let got = cover(&g, &[outer, square(1.25, 0.25, 0.5)]);
        assert_eq!(got.pairs, [(0, 1.0), (1, 0.75), (2, 1.0)]);
    }

    #[test]
    fn half_outside_the_grid_says_so() {
        let g = grid((0.0, 2), (0.0, 2));
        let got = cover(&g, &[square(1.5, 0.0, 1.0)]);
        assert_eq!(got.pairs, [(1, 0.5)]);
        assert_eq!(got.inside, 0.5);
        let left = cover(&g, &[square(-0.5, 0.0, 1.0)]);
        assert_eq!((left.pairs, left.inside), (vec![(0, 0.5)], 0.5));
    }

    #[test]
    fn negative_longitudes_meet_a_grid_that_counts_to_360() {
        let g = grid((0.0, 1), (255.0, 10));
        assert_eq!(cover(&g, &[square(-100.0, 0.0, 1.0)]).pairs, [(5, 1.0)]);
    }

    #[test]
    fn a_polygon_over_the_seam_covers_both_ends() {
        let g = grid((0.0, 1), (0.0, 360));
        let got = cover(&g, &[ring(&[[-1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 1.0]])]);
        assert_eq!(got.pairs, [(0, 1.0), (359, 1.0)]);
        let date_line = grid((0.0, 1), (-180.0, 360));
        let got =
            cover(&date_line, &[ring(&[[179.0, 0.0], [181.0, 0.0], [181.0, 1.0], [179.0, 1.0]])]);
        assert_eq!(got.pairs, [(0, 1.0), (359, 1.0)]);
    }

    #[test]
    fn a_ring_that_jumps_over_the_date_line_is_put_together() {
        let g = grid((0.0, 1), (-180.0, 360));
        let got = cover(&g, &[ring(&[[179.0, 0.0], [-179.0, 0.0], [-179.0, 1.0], [179.0, 1.0]])]);
        assert_eq!(got.pairs, [(0, 1.0), (359, 1.0)]);
    }

    #[test]
    fn rows_that_descend_are_numbered_as_in_the_file() {
        let mut g = grid((0.0, 2), (0.0, 1));
        g.lat.descending = true;
        let got = cover(&g, &[ring(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.5], [0.0, 1.5]])]);
        assert_eq!(got.pairs, [(0, 0.5), (1, 1.0)]);
    }

    #[test]
    fn a_polygon_far_smaller_than_a_cell_still_counts() {
        let g = grid((0.0, 2), (0.0, 2));
        let got = cover(&g, &[square(0.5, 0.5, 1e-6)]);
        assert_eq!(got.pairs.len(), 1);
        assert!((got.pairs[0].1 / 1e-12 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn what_lies_within_the_grid_does_so_whatever_its_size() {
        let g = grid((0.0, 2), (0.0, 2));
        for side in [1e-12, 1e-9, 1e-6, 1e-3] {
            assert_eq!(cover(&g, &[square(0.3, 0.6, side)]).inside, 1.0);
            // over a corner of four cells; half over the edge
            let got = cover(&g, &[square(1.0 - side / 2.0, 1.0 - side / 2.0, side)]);
            assert_eq!((got.pairs.len(), got.inside), (4, 1.0), "{side}");
            let half = cover(&g, &[square(2.0 - side / 2.0, 0.5, side)]);
            if side < 1e-8 {
                continue; // a hair, which rounding could be
            }
            assert!((half.inside - 0.5).abs() < 1e-3, "{side}: {}", half.inside);
        }
        // a hundred-thousandth of it lies outside
        let inside = cover(&g, &[square(-1e-8, 0.5, 1e-3)]).inside;
        assert!((1.0 - inside - 1e-5).abs() < 1e-9, "{inside}");
    }

    #[test]
    fn the_whole_globe_covers_every_cell_once() {
        let g = grid((-90.0, 180), (0.0, 360));
        let all = ring(&[[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0]]);
        let got = cover(&g, &[all]);
        assert_eq!(got.pairs.len(), 64800);
        assert!(got.pairs.iter().all(|p| p.1 == 1.0));
    }
}
