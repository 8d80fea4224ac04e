//! Cells as polygons of a plane, found by place, and how much of each a region covers.

use crate::repair::{Point, signed_area};

/// Pieces of a region with fewer corners times cells than this are worked cell by cell.
const LEAF: usize = 1024;
const DEEPEST: u32 = 40;

/// A closed line of a region, and the sign with which the area to its left counts.
pub type Piece = (Vec<Point>, f64);

/// What of one cell is covered, in the plane's own measure, and by true area where that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub id: u32,
    pub area: f64,
    pub true_area: f64,
}

#[derive(Debug, Default)]
pub struct Plane {
    /// The cell that each polygon is, in the order of the file.
    pub ids: Vec<u32>,
    /// Its area in the plane; 0 for one that does not count.
    pub areas: Vec<f64>,
    starts: Vec<u32>,
    /// Corners counter-clockwise; those of polygon k are starts[k]..starts[k + 1].
    points: Vec<Point>,
    convex: Vec<bool>,
    bins: Bins,
    extent: [f64; 4],
}

/// Polygons by place: even bins over the extent of all, in each the polygons whose box touches it.
#[derive(Debug, Default)]
struct Bins {
    low: Point,
    per: Point,
    counts: [usize; 2],
    starts: Vec<u32>,
    of: Vec<u32>,
}

impl Bins {
    fn place(&self, axis: usize, v: f64) -> usize {
        // NaN and what lies before the first bin become 0.
        (((v - self.low[axis]) * self.per[axis]) as usize).min(self.counts[axis] - 1)
    }

    fn range(&self, b: &[f64; 4]) -> [usize; 4] {
        [self.place(0, b[0]), self.place(1, b[1]), self.place(0, b[2]), self.place(1, b[3])]
    }
}

/// The box of a line: west, south, east, north.
pub fn bounds(points: &[Point]) -> [f64; 4] {
    let mut b = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for p in points {
        b = [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])];
    }
    b
}

fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

impl Plane {
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The box of all polygons.
    pub fn extent(&self) -> [f64; 4] {
        self.extent
    }

    pub fn points(&self, k: usize) -> &[Point] {
        &self.points[self.starts[k] as usize..self.starts[k + 1] as usize]
    }

    /// Adds a cell; its corners may turn either way, their area is not 0.
    pub fn add(&mut self, id: u32, corners: &[Point]) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        let area = signed_area(corners);
        let from = self.points.len();
        match area > 0.0 {
            true => self.points.extend(corners),
            false => self.points.extend(corners.iter().rev()),
        }
        let ring = &self.points[from..];
        let n = ring.len();
        let convex = (0..n).all(|k| turn(ring[k], ring[(k + 1) % n], ring[(k + 2) % n]) >= 0.0);
        self.ids.push(id);
        self.areas.push(area.abs());
        self.convex.push(convex);
        self.starts.push(self.points.len() as u32);
    }

    /// After the last `add`.
    pub fn close(&mut self) {
        let n = self.ids.len();
        if n == 0 {
            return;
        }
        let all = bounds(&self.points);
        self.extent = all;
        // About two polygons a bin, and bins as wide as they are high in polygons.
        let each = ((n as f64 / 2.0).sqrt().ceil() as usize).clamp(1, 2048);
        let counts = [each, each];
        let per = |low: f64, high: f64| match high > low {
            true => each as f64 / (high - low),
            false => 0.0,
        };
        let mut bins = Bins {
            low: [all[0], all[1]],
            per: [per(all[0], all[2]), per(all[1], all[3])],
            counts,
            starts: vec![0; each * each + 1],
            of: Vec::new(),
        };
        let ranges: Vec<[usize; 4]> = (0..n).map(|k| bins.range(&bounds(self.points(k)))).collect();
        for [x0, y0, x1, y1] in &ranges {
            for y in *y0..=*y1 {
                for x in *x0..=*x1 {
                    bins.starts[y * each + x + 1] += 1;
                }
            }
        }
        for k in 1..bins.starts.len() {
            bins.starts[k] += bins.starts[k - 1];
        }
        bins.of = vec![0; bins.starts[each * each] as usize];
        let mut next = bins.starts.clone();
        for (k, [x0, y0, x1, y1]) in ranges.iter().enumerate() {
            for y in *y0..=*y1 {
                for x in *x0..=*x1 {
                    let at = &mut next[y * each + x];
                    bins.of[*at as usize] = k as u32;
                    *at += 1;
                }
            }
        }
        self.bins = bins;
    }

    /// Calls with each polygon whose box meets this one.
    pub fn near(&self, b: &[f64; 4], mut each: impl FnMut(usize)) {
        if self.is_empty() {
            return;
        }
        let bins = &self.bins;
        let [x0, y0, x1, y1] = bins.range(b);
        for y in y0..=y1 {
            for x in x0..=x1 {
                let at = y * bins.counts[0] + x;
                for &k in &bins.of[bins.starts[at] as usize..bins.starts[at + 1] as usize] {
                    let k = k as usize;
                    let own = bounds(self.points(k));
                    let meets =
                        own[0] <= b[2] && own[2] >= b[0] && own[1] <= b[3] && own[3] >= b[1];
                    // In the first of the bins that both touch.
                    let first = [bins.place(0, own[0]).max(x0), bins.place(1, own[1]).max(y0)];
                    if meets && first == [x, y] && self.areas[k] > 0.0 {
                        each(k);
                    }
                }
            }
        }
    }

    /// How far inside a polygon a point lies, as a share of the polygon's size; negative outside, for convex ones only so far.
    pub fn depth(&self, k: usize, p: Point) -> f64 {
        let ring = self.points(k);
        let size = self.areas[k].sqrt();
        let mut nearest = f64::INFINITY;
        let mut inside = false;
        let mut a = ring[ring.len() - 1];
        for &b in ring {
            if (a[1] > p[1]) != (b[1] > p[1])
                && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
            {
                inside = !inside;
            }
            let (d, e) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
            let long = d[0] * d[0] + d[1] * d[1];
            let t =
                if long > 0.0 { ((d[0] * e[0] + d[1] * e[1]) / long).clamp(0.0, 1.0) } else { 0.0 };
            nearest = nearest.min((e[0] - t * d[0]).hypot(e[1] - t * d[1]));
            a = b;
        }
        (if inside { nearest } else { -nearest }) / size
    }

    /// Adds what the pieces cover of each polygon. A polygon may come more than once: its parts add up.
    pub fn cover(&self, pieces: Vec<Piece>, true_areas: bool, out: &mut Vec<Part>) {
        let mut all = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        for (points, _) in &pieces {
            let b = bounds(points);
            all = [all[0].min(b[0]), all[1].min(b[1]), all[2].max(b[2]), all[3].max(b[3])];
        }
        if all[0] > all[2] {
            return;
        }
        let mut near = Vec::new();
        self.near(&all, |k| near.push(k as u32));
        if !near.is_empty() {
            self.split(pieces, near, all, 0, true_areas, &mut [Vec::new(), Vec::new()], out);
        }
    }

    /// Halves the region until few corners meet few polygons.
    #[allow(clippy::too_many_arguments)]
    fn split(
        &self,
        pieces: Vec<Piece>,
        near: Vec<u32>,
        b: [f64; 4],
        depth: u32,
        true_areas: bool,
        buffers: &mut [Vec<Point>; 2],
        out: &mut Vec<Part>,
    ) {
        let corners: usize = pieces.iter().map(|p| p.0.len()).sum();
        if corners == 0 {
            return;
        }
        if near.len() <= 2 || corners <= 12 || corners * near.len() <= LEAF || depth >= DEEPEST {
            return self.leaf(&pieces, &near, true_areas, buffers, out);
        }
        let axis = usize::from(b[3] - b[1] > b[2] - b[0]);
        let line = (b[axis] + b[axis + 2]) / 2.0;
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for &k in &near {
            let own = bounds(self.points(k as usize));
            if own[axis] < line {
                low.push(k);
            }
            if own[axis + 2] > line {
                high.push(k);
            }
        }
        if low.len() == near.len() && high.len() == near.len() {
            return self.leaf(&pieces, &near, true_areas, buffers, out);
        }
        let half = |sign: f64| -> Vec<Piece> {
            let cut = pieces.iter().map(|(p, f)| (halve(p, axis, sign, line), *f));
            cut.filter(|(p, _)| p.len() > 2).collect()
        };
        let (below, above) = (half(-1.0), half(1.0));
        drop((pieces, near));
        let mut to = b;
        to[axis + 2] = line;
        self.split(below, low, to, depth + 1, true_areas, buffers, out);
        let mut to = b;
        to[axis] = line;
        self.split(above, high, to, depth + 1, true_areas, buffers, out);
    }

    fn leaf(
        &self,
        pieces: &[Piece],
        near: &[u32],
        true_areas: bool,
        buffers: &mut [Vec<Point>; 2],
        out: &mut Vec<Part>,
    ) {
        let boxes: Vec<[f64; 4]> = pieces.iter().map(|p| bounds(&p.0)).collect();
        for &k in near {
            let ring = self.points(k as usize);
            let own = bounds(ring);
            let mut part = Part { id: k, area: 0.0, true_area: 0.0 };
            for ((points, factor), b) in pieces.iter().zip(&boxes) {
                if own[0] >= b[2] || own[2] <= b[0] || own[1] >= b[3] || own[3] <= b[1] {
                    continue;
                }
                let mut add = |corners: &[Point], factor: f64| {
                    let cut = clip(points, corners, buffers);
                    if cut.len() > 2 {
                        part.area += factor * signed_area(cut);
                        if true_areas {
                            part.true_area += factor * sphere_area(cut);
                        }
                    }
                };
                if self.convex[k as usize] {
                    add(ring, *factor);
                    continue;
                }
                // Triangles from one corner: where they turn the other way they take away what is too much.
                for w in ring[1..].windows(2) {
                    match turn(ring[0], w[0], w[1]) {
                        t if t > 0.0 => add(&[ring[0], w[0], w[1]], *factor),
                        t if t < 0.0 => add(&[ring[0], w[1], w[0]], -*factor),
                        _ => {}
                    }
                }
            }
            if part.area != 0.0 {
                out.push(part);
            }
        }
    }
}

/// What of a closed line lies where `sign * coordinate >= sign * line`.
pub fn halve(points: &[Point], axis: usize, sign: f64, line: f64) -> Vec<Point> {
    let mut out = Vec::with_capacity(points.len() + 8);
    let Some(mut a) = points.last() else { return out };
    let far = |p: &Point| sign * (p[axis] - line);
    for b in points {
        let (fa, fb) = (far(a), far(b));
        if (fa < 0.0) != (fb < 0.0) {
            let t = fa / (fa - fb);
            let mut p = [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
            p[axis] = line;
            out.push(p);
        }
        if fb >= 0.0 {
            out.push(*b);
        }
        a = b;
    }
    out
}

/// What of a closed line lies within a convex, counter-clockwise ring. Where that falls apart, the parts hang together by
/// lines that are drawn there and back: without area.
fn clip<'b>(points: &[Point], ring: &[Point], buffers: &'b mut [Vec<Point>; 2]) -> &'b [Point] {
    let [from, to] = buffers;
    from.clear();
    from.extend_from_slice(points);
    let mut a = ring[ring.len() - 1];
    for &b in ring {
        let Some(last) = from.last() else { break };
        to.clear();
        let (mut p, mut fp) = (*last, turn(a, b, *last));
        for &q in from.iter() {
            let fq = turn(a, b, q);
            if (fp < 0.0) != (fq < 0.0) {
                let t = fp / (fp - fq);
                to.push([p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t]);
            }
            if fq >= 0.0 {
                to.push(q);
            }
            (p, fp) = (q, fq);
        }
        std::mem::swap(from, to);
        a = b;
    }
    from
}

/// The area on the unit sphere of a closed line whose edges are straight in longitude and latitude, positive when
/// counter-clockwise: exact.
pub fn sphere_area(points: &[Point]) -> f64 {
    let Some(mut a) = points.last() else { return 0.0 };
    let mut sum = 0.0;
    for b in points {
        let half = (b[1] - a[1]).to_radians() / 2.0;
        let middle = ((a[1] + b[1]) / 2.0).to_radians();
        // Not the system's sine: the same bits with every C library.
        let even = if half.abs() < 1e-9 { 1.0 } else { libm::sin(half) / half };
        sum -= (b[0] - a[0]).to_radians() * libm::sin(middle) * even;
        a = b;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(cells: &[&[Point]]) -> Plane {
        let mut p = Plane::default();
        for (k, c) in cells.iter().enumerate() {
            p.add(k as u32, c);
        }
        p.close();
        p
    }

    fn shares(p: &Plane, region: &[Point]) -> Vec<(u32, f64)> {
        let mut out = Vec::new();
        p.cover(vec![(region.to_vec(), signed_area(region).signum())], false, &mut out);
        out.iter().map(|x| (x.id, x.area)).collect()
    }

    const SQUARE: [Point; 4] = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]];

    #[test]
    fn a_diamond_is_covered_by_half() {
        let diamond: &[Point] = &[[1.0, 0.0], [2.0, 1.0], [1.0, 2.0], [0.0, 1.0]];
        let p = plane(&[diamond]);
        assert_eq!(p.areas, [2.0]);
        assert_eq!(shares(&p, &SQUARE), [(0, 2.0)]);
        assert_eq!(shares(&p, &[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 2.0]]), [(0, 1.0)]);
    }

    #[test]
    fn a_dart_is_itself_and_not_its_hull() {
        // hull 2, of which the notch takes 1
        let dart: &[Point] = &[[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, 0.5]];
        for k in 0..4 {
            let mut turned = dart.to_vec();
            turned.rotate_left(k);
            let p = plane(&[&turned]);
            let got = shares(&p, &SQUARE);
            assert!((got[0].1 - signed_area(dart).abs()).abs() < 1e-15, "{got:?}");
        }
    }

    #[test]
    fn a_line_of_many_corners_is_halved_and_adds_up() {
        let cells: Vec<Vec<Point>> = (0..400)
            .map(|k| {
                let (x, y) = (f64::from(k % 20), f64::from(k / 20));
                vec![[x, y], [x + 1.0, y], [x + 1.0, y + 1.0], [x, y + 1.0]]
            })
            .collect();
        let refs: Vec<&[Point]> = cells.iter().map(Vec::as_slice).collect();
        let p = plane(&refs);
        let ring: Vec<Point> = (0..720)
            .map(|k| {
                let a = f64::from(k).to_radians() / 2.0;
                let r = 8.0 + 1.5 * (a * 9.0).sin();
                [10.0 + r * a.cos(), 10.0 + r * a.sin()]
            })
            .collect();
        let total: f64 = shares(&p, &ring).iter().map(|s| s.1).sum();
        assert!((total - signed_area(&ring)).abs() < 1e-10);
    }

    #[test]
    fn an_octant_of_the_sphere() {
        let ring = [[0.0, 0.0], [90.0, 0.0], [90.0, 90.0], [0.0, 90.0]];
        assert!((sphere_area(&ring) - std::f64::consts::FRAC_PI_2).abs() < 1e-15);
    }
}
