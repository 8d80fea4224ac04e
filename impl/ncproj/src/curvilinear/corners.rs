//! Corners of cells from their centres, and the plane in which a cell's sides are straight.
//!
//! Sides are straight in longitude and latitude, as those of regions and of plain grids are. Near the poles that would bend
//! cells that have nothing to do with meridians; beyond 80 degrees only those count so that are rectangles of longitude and
//! latitude, the others lie in the plane of equal area about the pole (Lambert's), which is nearly that of great circles.

use super::plane::Piece;
use crate::repair::{Point, signed_area};

/// Degrees of latitude beyond which cells lie in a polar plane.
pub const POLAR: f64 = 80.0;

/// The same meridian, at most half a turn away from another.
pub fn near(lon: f64, to: f64) -> f64 {
    let d = lon - to;
    // Half a turn either way stays as it is written.
    if d.abs() <= 180.0 + 1e-9 { lon } else { lon - (d / 360.0).round() * 360.0 }
}

/// Longitude and latitude -> the plane about the north (1) or the south (-1) pole, on the unit sphere.
pub fn to_polar(p: Point, pole: f64) -> Point {
    let r = 2.0 * libm::sin((90.0 - pole * p[1]).to_radians() / 2.0);
    let (s, c) = (libm::sin(p[0].to_radians()), libm::cos(p[0].to_radians()));
    [r * c, pole * r * s]
}

pub fn of_polar(p: Point, pole: f64) -> Point {
    let r = p[0].hypot(p[1]);
    let lat = 90.0 - 2.0 * libm::asin((r / 2.0).min(1.0)).to_degrees();
    [libm::atan2(pole * p[1], p[0]).to_degrees(), pole * lat]
}

/// The chord between two places, in radians.
pub fn far(a: Point, b: Point) -> f64 {
    let at = |p: Point| {
        let (lat, lon) = (p[1].to_radians(), p[0].to_radians());
        let r = libm::cos(lat);
        [r * libm::cos(lon), r * libm::sin(lon), libm::sin(lat)]
    };
    let (p, q) = (at(a), at(b));
    ((p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2) + (p[2] - q[2]).powi(2)).sqrt()
}

/// Are these four places, in order round, corners of a rectangle of longitude and latitude?
fn is_rectangle(ring: &[Point]) -> bool {
    let [a, b, c, d] = ring else { return false };
    let span = |axis: usize| {
        let all = ring.iter().map(|p| p[axis]);
        all.clone().fold(f64::NEG_INFINITY, f64::max) - all.fold(f64::INFINITY, f64::min)
    };
    let slack = [1e-3 * span(0), 1e-3 * span(1)];
    let same = |p: &Point, q: &Point, axis: usize| (p[axis] - q[axis]).abs() <= slack[axis];
    let one = |x: usize, y: usize| same(a, b, y) && same(c, d, y) && same(b, c, x) && same(d, a, x);
    one(0, 1) || one(1, 0)
}

/// Beyond 80 degrees, and no rectangle: the pole in whose plane these places are near each other.
fn pole_of(ring: &[Point]) -> Option<f64> {
    let top = ring.iter().fold(0.0, |t: f64, p| if p[1].abs() > t.abs() { p[1] } else { t });
    (top.abs() > POLAR && !is_rectangle(ring)).then(|| top.signum())
}

/// The same places with longitudes near that of the first.
fn together<const N: usize>(p: [Point; N]) -> [Point; N] {
    p.map(|q| [near(q[0], p[0][0]), q[1]])
}

/// The corner in the middle of four centres, in order round.
fn middle(ring: [Point; 4]) -> Point {
    let mean = |p: [Point; 4]| [0, 1].map(|k| (p[0][k] + p[1][k] + p[2][k] + p[3][k]) / 4.0);
    let ring = together(ring);
    match pole_of(&ring) {
        None => mean(ring),
        Some(pole) => of_polar(mean(ring.map(|p| to_polar(p, pole))), pole),
    }
}

/// What lies beyond `d` as `a` and `b` together do: a + b - d.
fn beyond(a: Point, b: Point, d: Point) -> Point {
    let sum = |a: Point, b: Point, d: Point| [0, 1].map(|k| a[k] + b[k] - d[k]);
    let [d, a, b] = together([d, a, b]);
    let plain = sum(a, b, d);
    // Along a meridian or a parallel, and at the corner between these.
    let along = |p: Point, q: Point| {
        let s = [(p[0] - q[0]).abs(), (p[1] - q[1]).abs()];
        s[0] <= 1e-3 * s[1] || s[1] <= 1e-3 * s[0]
    };
    let straight = match a == b {
        true => along(a, d),
        false => is_rectangle(&[a, d, b, plain]),
    };
    let top = [a, b, d].iter().fold(0.0, |t: f64, p| if p[1].abs() > t.abs() { p[1] } else { t });
    if straight || top.abs() <= POLAR {
        return plain;
    }
    let pole = top.signum();
    of_polar(sum(to_polar(a, pole), to_polar(b, pole), to_polar(d, pole)), pole)
}

/// Centres with a frame of one more on each side, row by row; nothing where there is none.
struct Framed {
    rows: usize,
    columns: usize,
    at: Vec<Option<Point>>,
}

impl Framed {
    /// Rows and columns count from -1.
    fn get(&self, r: isize, c: isize) -> Option<Point> {
        let (r, c) = (usize::try_from(r + 1).ok()?, usize::try_from(c + 1).ok()?);
        match r < self.rows + 2 && c < self.columns + 2 {
            true => self.at[r * (self.columns + 2) + c],
            false => None,
        }
    }

    fn set(&mut self, r: isize, c: isize, p: Point) {
        let k = (r + 1) as usize * (self.columns + 2) + (c + 1) as usize;
        if let Some(at) = self.at.get_mut(k) {
            *at = Some(p);
        }
    }

    /// Counts along one side (`turned`: rows for columns).
    fn cell(&self, turned: bool, along: isize, across: isize) -> Option<Point> {
        if turned { self.get(across, along) } else { self.get(along, across) }
    }

    /// Where the last column's neighbour is the first, they are each other's frame.
    fn close_round(&mut self, turned: bool) {
        let (n, others) = match turned {
            true => (self.rows as isize, self.columns as isize),
            false => (self.columns as isize, self.rows as isize),
        };
        if n < 3 {
            return;
        }
        let (mut fits, mut all) = (0, 0);
        for k in 0..others {
            let cell = |c: isize| self.cell(turned, k, c);
            if let (Some(a), Some(b), Some(first)) = (cell(n - 1), cell(n - 2), cell(0)) {
                all += 1;
                fits += usize::from(far(beyond(a, a, b), first) < 0.5 * far(a, b));
            }
        }
        if all == 0 || fits * 20 < all * 19 {
            return;
        }
        for k in -1..=others {
            for (frame, cell) in [(-1, n - 1), (n, 0)] {
                if let Some(p) = self.cell(turned, k, cell) {
                    let (r, c) = if turned { (frame, k) } else { (k, frame) };
                    self.set(r, c, p);
                }
            }
        }
    }

    /// Where a side's neighbours are its own cells, counted the other way (the fold of tripolar grids).
    fn fold(&mut self, turned: bool, last: bool) {
        let (n, others) = match turned {
            true => (self.columns as isize, self.rows as isize),
            false => (self.rows as isize, self.columns as isize),
        };
        if n < 2 || others < 4 {
            return;
        }
        let (edge, inner, frame) = if last { (n - 1, n - 2, n) } else { (0, 1, -1) };
        let next = |k: isize| {
            let (a, b) = (self.cell(turned, edge, k)?, self.cell(turned, inner, k)?);
            Some((beyond(a, a, b), far(a, b)))
        };
        let Some((k0, (g, step))) = (0..others).find_map(|k| Some((k, next(k)?))) else { return };
        let nearest = (0..others)
            .filter_map(|k| Some((far(self.cell(turned, edge, k)?, g), k)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, k1)) = nearest.filter(|(d, _)| *d < 0.5 * step) else { return };
        let mirror = |k: isize| (k0 + k1 - k).rem_euclid(others);
        let (mut fits, mut all) = (0, 0);
        for k in 0..others {
            if let (Some((g, step)), Some(p)) = (next(k), self.cell(turned, edge, mirror(k))) {
                all += 1;
                fits += usize::from(mirror(k) != k && far(g, p) < 0.5 * step);
            }
        }
        if fits * 10 < all * 9 {
            return;
        }
        for k in -1..=others {
            if let Some(p) = self.cell(turned, edge, mirror(k)) {
                let (r, c) = if turned { (k, frame) } else { (frame, k) };
                self.set(r, c, p);
            }
        }
    }

    /// What is not there, but beside cells that are, as their rows and columns go on.
    fn go_on(&mut self) {
        let (rows, columns) = (self.rows as isize, self.columns as isize);
        let lacks: Vec<(isize, isize)> = (-1..=rows)
            .flat_map(|r| (-1..=columns).map(move |c| (r, c)))
            .filter(|(r, c)| self.get(*r, *c).is_none())
            .collect();
        let mean = |found: &[Point]| -> Option<Point> {
            let first = *found.first()?;
            let n = found.len() as f64;
            let sum =
                found.iter().fold([0.0; 2], |s, p| [s[0] + near(p[0], first[0]), s[1] + p[1]]);
            Some([sum[0] / n, sum[1] / n])
        };
        let straight: Vec<_> = lacks
            .iter()
            .filter_map(|&(r, c)| {
                let found: Vec<Point> = [(0, 1), (0, -1), (1, 0), (-1, 0)]
                    .iter()
                    .filter_map(|(y, x)| {
                        let a = self.get(r + y, c + x)?;
                        Some(beyond(a, a, self.get(r + 2 * y, c + 2 * x)?))
                    })
                    .collect();
                Some((r, c, mean(&found)?))
            })
            .collect();
        let real: Vec<bool> = self.at.iter().map(Option::is_some).collect();
        for &(r, c, p) in &straight {
            self.set(r, c, p);
        }
        let is_real = |r: isize, c: isize| {
            real.get((r + 1) as usize * (self.columns + 2) + (c + 1) as usize) == Some(&true)
        };
        let corners: Vec<_> = lacks
            .iter()
            .filter(|(r, c)| self.get(*r, *c).is_none())
            .filter_map(|&(r, c)| {
                let found: Vec<Point> = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
                    .iter()
                    .filter_map(|(y, x)| {
                        let d = self.get(r + y, c + x).filter(|_| is_real(r + y, c + x))?;
                        Some(beyond(self.get(r + y, c)?, self.get(r, c + x)?, d))
                    })
                    .collect();
                Some((r, c, mean(&found)?))
            })
            .collect();
        for (r, c, p) in corners {
            self.set(r, c, p);
        }
    }
}

/// The corners of each cell, halfway between its centre and those around it. The outermost rows and columns go on as the
/// two before them do, or round the globe, or over a fold. Nothing for a cell without a neighbour in either direction.
pub fn make(
    rows: usize,
    columns: usize,
    centre: impl Fn(usize) -> Option<Point>,
) -> Vec<Option<[Point; 4]>> {
    let mut f = Framed { rows, columns, at: vec![None; (rows + 2) * (columns + 2)] };
    for k in 0..rows * columns {
        f.at[(k / columns + 1) * (columns + 2) + k % columns + 1] = centre(k);
    }
    for turned in [false, true] {
        f.close_round(turned);
    }
    for turned in [false, true] {
        f.fold(turned, true);
        f.fold(turned, false);
    }
    f.go_on();
    let corner = |r: isize, c: isize| -> Option<Point> {
        let ring = [f.get(r - 1, c - 1)?, f.get(r - 1, c)?, f.get(r, c)?, f.get(r, c - 1)?];
        let p = middle(ring);
        // Rows end at the poles.
        Some([p[0], p[1].clamp(-90.0, 90.0)])
    };
    let (height, width) = (rows as isize, columns as isize);
    let line = |r: isize| -> Vec<Option<Point>> { (0..=width).map(|c| corner(r, c)).collect() };
    let mut out = Vec::with_capacity(rows * columns);
    let mut below = line(0);
    for r in 0..height {
        let above = line(r + 1);
        for c in 0..columns {
            let ring = match (below[c], below[c + 1], above[c + 1], above[c]) {
                (Some(a), Some(b), Some(p), Some(q)) => Some([a, b, p, q]),
                _ => None,
            };
            out.push(ring.filter(|_| f.get(r, c as isize).is_some()));
        }
        below = above;
    }
    out
}

/// A cell in the plane that suits it.
#[derive(Debug, PartialEq)]
pub enum Shape {
    /// Longitude and latitude; the longitudes near that of the centre.
    Plain(Vec<Point>),
    /// The plane about the north (1) or the south (-1) pole.
    Polar(f64, Vec<Point>),
}

impl Shape {
    pub fn points(&self) -> &[Point] {
        match self {
            Shape::Plain(p) | Shape::Polar(_, p) => p,
        }
    }
}

/// `corners` of a cell in longitude and latitude, in order round.
pub fn shape(corners: &[Point], centre: Point) -> Shape {
    let mut ring: Vec<Point> = Vec::with_capacity(corners.len());
    for p in corners {
        let q = [near(p[0], centre[0]), p[1]];
        if ring.last() != Some(&q) {
            ring.push(q);
        }
    }
    while ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    if is_rectangle(&ring) {
        return Shape::Plain(ring);
    }
    let n = ring.len();
    let winds = (0..n).any(|k| (ring[(k + 1) % n][0] - ring[k][0]).abs() > 180.0 + 1e-9);
    // A triangle of meridians and a parallel, at the pole: as on plain grids.
    let fan = n == 3
        && (0..3).any(|k| {
            let (a, b, c) = (ring[k], ring[(k + 1) % 3], ring[(k + 2) % 3]);
            a[1].abs() > 90.0 - 1e-9 && b[1] == c[1] && (b[0] - c[0]).abs() < 90.0
        });
    if fan {
        return Shape::Plain(meet_at_the_pole(&ring));
    }
    if let Some(pole) = pole_of(&ring) {
        return Shape::Polar(pole, draw_cell(&ring, pole));
    }
    if winds {
        // Round a pole, or only written otherwise: let each corner be near the one before.
        let mut chained = ring.clone();
        for k in 1..n {
            chained[k][0] = near(chained[k][0], chained[k - 1][0]);
        }
        if (chained[0][0] - chained[n - 1][0]).abs() <= 180.0 + 1e-9 {
            let middle = chained.iter().map(|p| p[0]).sum::<f64>() / n as f64;
            let turn = near(middle, centre[0]) - middle;
            chained.iter_mut().for_each(|p| p[0] += turn);
            return Shape::Plain(chained);
        }
        let pole = if centre[1] >= 0.0 { 1.0 } else { -1.0 };
        return Shape::Polar(pole, draw_cell(&ring, pole));
    }
    Shape::Plain(ring)
}

/// A triangle with its tip at the pole, where all meridians meet: in longitude and latitude a rectangle.
fn meet_at_the_pole(ring: &[Point]) -> Vec<Point> {
    let n = ring.len();
    let mut out = Vec::with_capacity(n + 1);
    for (k, p) in ring.iter().enumerate() {
        match p[1].abs() > 90.0 - 1e-9 {
            true => {
                out.push([ring[(k + n - 1) % n][0], p[1]]);
                out.push([ring[(k + 1) % n][0], p[1]]);
            }
            false => out.push(*p),
        }
    }
    out
}

/// Sides of which both ends lie below 80 degrees are those of neighbours in longitude and latitude too: straight there.
fn draw_cell(ring: &[Point], pole: f64) -> Vec<Point> {
    let mut out = Vec::with_capacity(ring.len());
    for (k, b) in ring.iter().enumerate() {
        let a = ring[(k + ring.len() - 1) % ring.len()];
        let b = [near(b[0], a[0]), b[1]];
        let (pa, pb) = (to_polar(a, pole), to_polar(b, pole));
        match a[1].abs() <= POLAR && b[1].abs() <= POLAR {
            true => draw(a, b, pole, 1e-6 * (pa[0] - pb[0]).hypot(pa[1] - pb[1]), &mut out),
            false => out.push(pb),
        }
    }
    out
}

/// Adds a line that is straight in longitude and latitude, without its beginning, in pieces that leave it by `slack` at most.
fn draw(a: Point, b: Point, pole: f64, slack: f64, out: &mut Vec<Point>) {
    let d = [(b[0] - a[0]).to_radians().abs(), (b[1] - a[1]).to_radians().abs()];
    let r = 2.0 * ((90.0 - pole * a[1]).max(90.0 - pole * b[1]).to_radians() / 2.0).sin();
    let bend = (r * d[0] * d[0] + 2.0 * d[0] * d[1]) / 8.0;
    let pieces = (bend / slack.max(1e-14)).sqrt().ceil().clamp(1.0, 1e5) as usize;
    for k in 1..=pieces {
        let t = k as f64 / pieces as f64;
        let p = if k == pieces { b } else { [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t] };
        out.push(to_polar(p, pole));
    }
}

/// A region's line in the plane about a pole, without what lies farther from it than `lowest` (a latitude, 0..90).
pub fn draw_region(
    points: &[Point],
    factor: f64,
    pole: f64,
    lowest: f64,
    slack: f64,
) -> Option<Piece> {
    let cut = super::plane::halve(points, 1, pole, pole * lowest);
    let mut a = *cut.last()?;
    if cut.len() < 3 {
        return None;
    }
    let mut out = Vec::with_capacity(cut.len() * 2);
    for b in &cut {
        draw(a, *b, pole, slack, &mut out);
        a = *b;
    }
    (signed_area(&out) != 0.0).then_some((out, factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polar_planes_keep_area_and_direction() {
        for pole in [1.0, -1.0] {
            let p = [37.0, pole * 84.0];
            let back = of_polar(to_polar(p, pole), pole);
            assert!((back[0] - p[0]).abs() < 1e-12 && (back[1] - p[1]).abs() < 1e-12);
            let (south, north) = if pole > 0.0 { (80.0, 85.0) } else { (-85.0, -80.0) };
            let ring = [[0.0, south], [90.0, south], [90.0, north], [0.0, north]];
            let (line, _) = draw_region(&ring, 1.0, pole, 60.0, 1e-12).unwrap();
            // a quarter of the zone between 80 and 85: pi / 2 x (sin 85 - sin 80)
            let wanted =
                std::f64::consts::FRAC_PI_2 * (85f64.to_radians().sin() - 80f64.to_radians().sin());
            assert!((signed_area(&line) / wanted - 1.0).abs() < 1e-8);
        }
    }

    #[test]
    fn corners_of_even_centres_lie_halfway_to_the_pole() {
        let at = |k: usize| {
            Some([f64::from(k as u32 % 4) * 90.0, -67.5 + f64::from(k as u32 / 4) * 45.0])
        };
        let made = make(4, 4, at);
        let wanted = [[-45.0, -90.0], [45.0, -90.0], [45.0, -45.0], [-45.0, -45.0]];
        assert_eq!(made[0].unwrap().map(|p| [near(p[0], 0.0), p[1]]), wanted);
        assert_eq!(made[15].unwrap()[2][1], 90.0);
    }

    #[test]
    fn a_cell_round_the_pole_is_polar() {
        let ring = [[45.0, 89.0], [135.0, 89.0], [-135.0, 89.0], [-45.0, 89.0]];
        let Shape::Polar(pole, points) = shape(&ring, [0.0, 90.0]) else { panic!("plain") };
        assert_eq!((pole, points.len()), (1.0, 4));
    }
}
