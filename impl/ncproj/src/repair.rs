//! Rings as they come -> closed loops that do not cross, each one an outline or a hole.
//!
//! The rings of a region are read in the even-odd sense, whichever way they turn and whatever their order says: a point is
//! inside when a line from it to infinity crosses the rings an odd number of times. For valid polygons that is the polygon,
//! for invalid ones it is what GEOS' `make_valid` makes of them, lines and points left out.
//!
//! Most invalid rings of real files only touch themselves at a vertex. These are cut into simple loops there. Only rings
//! that really cross go through a full overlay.

use i_overlay::core::fill_rule::FillRule;
use i_overlay::float::simplify::SimplifyShape;
use robust::{Coord, orient2d};
use std::collections::HashMap;

pub type Point = [f64; 2];
pub type Ring = Vec<Point>;
/// The first ring is the outline, the others are holes.
pub type Polygon = Vec<Ring>;
/// The parts of a region.
pub type Shape = Vec<Polygon>;

/// A closed line without crossings; the last point is joined to the first.
#[derive(Clone, Debug)]
pub struct Loop {
    pub points: Vec<Point>,
    /// Signed: positive when counter-clockwise.
    pub area: f64,
    /// 1 for an outline, -1 for a hole.
    pub sign: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// Valid as it came.
    None,
    /// A ring touched itself and was cut into simple loops; no area changed.
    Cut,
    /// Rings crossed or overlapped; rebuilt by overlay.
    Rebuilt,
}

#[derive(Debug)]
pub struct Prepared {
    pub loops: Vec<Loop>,
    pub repair: Repair,
    /// A ring was drawn from 180 straight to -180 and is taken to cross the date line.
    pub unwrapped: bool,
}

pub fn prepare(shape: &[Polygon]) -> Prepared {
    let rings = shape.iter().flatten();
    let mut unwrapped = false;
    let mut clean: Vec<Vec<Point>> = Vec::new();
    for ring in rings {
        let mut points: Vec<Point> = Vec::with_capacity(ring.len());
        for p in ring {
            if points.last() != Some(p) {
                points.push(*p);
            }
        }
        while points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        if points.len() >= 3 {
            unwrapped |= unwrap(&mut points);
            clean.push(points);
        }
    }
    let Some(touches) = inspect(&clean) else {
        return Prepared { loops: rebuild(&clean), repair: Repair::Rebuilt, unwrapped };
    };
    let mut repair = Repair::None;
    let mut loops: Vec<Vec<Point>> = Vec::with_capacity(clean.len());
    for (ring, touched) in clean.iter().zip(&touches.own) {
        if *touched {
            repair = Repair::Cut;
            cut(ring, &mut loops);
        } else {
            loops.push(ring.clone());
        }
    }
    match arrange(loops, touches.any) {
        Some(loops) => Prepared { loops, repair, unwrapped },
        None => Prepared { loops: rebuild(&clean), repair: Repair::Rebuilt, unwrapped },
    }
}

/// A ring within -180..180 with an edge of more than three quarters of the globe jumps over the date line: count on.
/// An edge of exactly 360 degrees is one of the whole globe.
fn unwrap(points: &mut [Point]) -> bool {
    let jumps = |d: f64| d.abs() > 270.0 && d.abs() < 360.0;
    let n = points.len();
    let step = |p: &[Point], k: usize| p[(k + 1) % n][0] - p[k][0];
    if !(0..n).any(|k| jumps(step(points, k))) || points.iter().any(|p| p[0].abs() > 180.0) {
        return false;
    }
    let mut turn = 0.0;
    let mut turns = vec![0.0; n];
    for (k, t) in turns.iter_mut().enumerate() {
        *t = turn;
        let d = step(points, k);
        if jumps(d) {
            turn -= 360.0 * d.signum();
        }
    }
    if turn != 0.0 {
        return false; // it goes round a pole: leave it as it is drawn
    }
    for (p, t) in points.iter_mut().zip(turns) {
        p[0] += t;
    }
    true
}

struct Touches {
    /// Which rings touch themselves.
    own: Vec<bool>,
    /// Any two places of the region share a vertex.
    any: bool,
}

struct Segment {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
    ring: u32,
    at: u32,
}

fn turn(a: Point, b: Point, c: Point) -> f64 {
    let at = |p: Point| Coord { x: p[0], y: p[1] };
    orient2d(at(a), at(b), at(c))
}

/// Looks at all pairs of segments that come near each other. Nothing when any two cross or overlap in part, or when a
/// vertex lies within another segment.
fn inspect(rings: &[Vec<Point>]) -> Option<Touches> {
    let mut segments: Vec<Segment> = Vec::with_capacity(rings.iter().map(Vec::len).sum());
    for (r, ring) in rings.iter().enumerate() {
        for k in 0..ring.len() {
            let (a, b) = (ring[k], ring[(k + 1) % ring.len()]);
            segments.push(Segment {
                west: a[0].min(b[0]),
                east: a[0].max(b[0]),
                south: a[1].min(b[1]),
                north: a[1].max(b[1]),
                ring: r as u32,
                at: k as u32,
            });
        }
    }
    segments.sort_unstable_by(|a, b| a.west.total_cmp(&b.west));
    let mut touches = Touches { own: vec![false; rings.len()], any: false };
    for (i, s) in segments.iter().enumerate() {
        for t in &segments[i + 1..] {
            if t.west > s.east {
                break;
            }
            if t.south > s.north || t.north < s.south {
                continue;
            }
            let (p, q) = (&rings[s.ring as usize], &rings[t.ring as usize]);
            let (a, b) = (p[s.at as usize], p[(s.at as usize + 1) % p.len()]);
            let (c, d) = (q[t.at as usize], q[(t.at as usize + 1) % q.len()]);
            let shared = usize::from(a == c || a == d) + usize::from(b == c || b == d);
            if shared == 0 {
                let (o1, o2) = (turn(a, b, c), turn(a, b, d));
                if o1 * o2 > 0.0 {
                    continue;
                }
                let (o3, o4) = (turn(c, d, a), turn(c, d, b));
                if o3 * o4 > 0.0 {
                    continue;
                }
                // The boxes meet and neither line separates: they cross, or one touches the other's inside.
                if o1 == 0.0 && o2 == 0.0 {
                    let apart = |k: usize| {
                        a[k].max(b[k]) < c[k].min(d[k]) || c[k].max(d[k]) < a[k].min(b[k])
                    };
                    if apart(0) || apart(1) {
                        continue;
                    }
                }
                return None;
            }
            let neighbours = s.ring == t.ring && {
                let n = p.len() as u32;
                (s.at + 1) % n == t.at || (t.at + 1) % n == s.at
            };
            if shared == 1 {
                // They meet in an end; do they also lie upon each other?
                let (common, mine) = if a == c || a == d { (a, b) } else { (b, a) };
                let other = if c == common { d } else { c };
                if turn(common, mine, other) == 0.0 {
                    let same = |k: usize| (mine[k] - common[k]) * (other[k] - common[k]) >= 0.0;
                    if same(0) && same(1) {
                        return None;
                    }
                }
            }
            if !neighbours || shared == 2 {
                touches.any = true;
                if s.ring == t.ring {
                    touches.own[s.ring as usize] = true;
                }
            }
        }
    }
    Some(touches)
}

/// Cuts a ring into simple loops at the vertices that it passes more than once.
fn cut(ring: &[Point], loops: &mut Vec<Vec<Point>>) {
    let key = |p: &Point| [p[0].to_bits(), p[1].to_bits()];
    let mut path: Vec<Point> = Vec::with_capacity(ring.len());
    let mut seen: HashMap<[u64; 2], usize> = HashMap::with_capacity(ring.len());
    for p in ring {
        if let Some(&from) = seen.get(&key(p)) {
            let piece: Vec<Point> = path.drain(from + 1..).collect();
            for q in &piece {
                seen.remove(&key(q));
            }
            if piece.len() >= 2 {
                loops.push(std::iter::once(*p).chain(piece).collect());
            }
        } else {
            seen.insert(key(p), path.len());
            path.push(*p);
        }
    }
    if path.len() >= 3 {
        loops.push(path);
    }
}

pub fn signed_area(points: &[Point]) -> f64 {
    let o = points[0];
    let mut sum = 0.0;
    for w in points[1..].windows(2) {
        sum += (w[0][0] - o[0]) * (w[1][1] - o[1]) - (w[1][0] - o[0]) * (w[0][1] - o[1]);
    }
    sum / 2.0
}

/// Tells outlines from holes by how many other loops surround each. Nothing when two loops cross at shared vertices.
fn arrange(points: Vec<Vec<Point>>, touching: bool) -> Option<Vec<Loop>> {
    let mut loops: Vec<Loop> = points
        .into_iter()
        .filter(|p| p.len() >= 3)
        .map(|points| Loop { area: signed_area(&points), points, sign: 1.0 })
        .filter(|l| l.area != 0.0)
        .collect();
    if loops.len() < 2 {
        return Some(loops);
    }
    let boxes: Vec<[f64; 4]> = loops.iter().map(|l| bounds(&l.points)).collect();
    let vertices: Vec<std::collections::HashSet<[u64; 2]>> = if touching {
        loops.iter().map(|l| l.points.iter().map(|p| p.map(f64::to_bits)).collect()).collect()
    } else {
        Vec::new()
    };
    let mut order: Vec<usize> = (0..loops.len()).collect();
    order.sort_unstable_by(|a, b| boxes[*a][0].total_cmp(&boxes[*b][0]));
    let mut depth = vec![0u32; loops.len()];
    for (k, &i) in order.iter().enumerate() {
        for &j in &order[k + 1..] {
            if boxes[j][0] > boxes[i][2] {
                break;
            }
            if boxes[j][1] > boxes[i][3] || boxes[j][3] < boxes[i][1] {
                continue;
            }
            for (inner, outer) in [(i, j), (j, i)] {
                let known = vertices.get(outer);
                match lies_within(&loops[inner].points, &loops[outer].points, &boxes[outer], known)?
                {
                    true => depth[inner] += 1,
                    false => continue,
                }
            }
        }
    }
    for (l, d) in loops.iter_mut().zip(depth) {
        l.sign = if d % 2 == 0 { 1.0 } else { -1.0 };
    }
    Some(loops)
}

fn bounds(points: &[Point]) -> [f64; 4] {
    let mut b = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for p in points {
        b = [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])];
    }
    b
}

/// Does one loop lie within the other? They do not cross within segments, but may share vertices: then one point of every
/// piece between shared vertices is asked, and nothing is the answer when they disagree.
fn lies_within(
    inner: &[Point],
    outer: &[Point],
    bounds: &[f64; 4],
    shared: Option<&std::collections::HashSet<[u64; 2]>>,
) -> Option<bool> {
    let outside =
        |p: &Point| p[0] < bounds[0] || p[1] < bounds[1] || p[0] > bounds[2] || p[1] > bounds[3];
    let asks = |p: &Point| !outside(p) && contains(outer, *p);
    let Some(shared) = shared else { return Some(asks(&inner[0])) };
    let is_shared = |p: &Point| shared.contains(&p.map(f64::to_bits));
    let mut answer: Option<bool> = None;
    let mut after_shared = true;
    let n = inner.len();
    for (k, p) in inner.iter().enumerate() {
        let mut probe = None;
        if is_shared(p) {
            after_shared = true;
            let next = inner[(k + 1) % n];
            if is_shared(&next) {
                // A piece of one segment: its middle, unless the segment is the other loop's too.
                let at = outer.iter().position(|q| q == p);
                let own = at.is_some_and(|i| {
                    let m = outer.len();
                    outer[(i + 1) % m] == next || outer[(i + m - 1) % m] == next
                });
                if !own {
                    probe = Some([(p[0] + next[0]) / 2.0, (p[1] + next[1]) / 2.0]);
                }
            }
        } else if after_shared {
            after_shared = false;
            probe = Some(*p);
        }
        if let Some(q) = probe {
            let now = asks(&q);
            if answer.is_some_and(|a| a != now) {
                return None;
            }
            answer = Some(now);
        }
    }
    // All segments are common: the same loop twice. Even-odd leaves nothing of it; the overlay says so.
    answer
}

/// Is the point inside the loop, which does not pass through it?
fn contains(points: &[Point], p: Point) -> bool {
    let mut inside = false;
    let mut a = points[points.len() - 1];
    for &b in points {
        if (a[1] > p[1]) != (b[1] > p[1]) {
            let (low, high) = if a[1] < b[1] { (a, b) } else { (b, a) };
            let right = p[0] < low[0] && p[0] < high[0];
            if right || (p[0] <= low[0].max(high[0]) && turn(low, high, p) > 0.0) {
                inside = !inside;
            }
        }
        a = b;
    }
    inside
}

/// The even-odd area of rings that cross, by overlay.
fn rebuild(rings: &[Vec<Point>]) -> Vec<Loop> {
    let shapes = rings.to_vec().simplify_shape_as::<i64>(FillRule::EvenOdd);
    let mut loops = Vec::new();
    for shape in shapes {
        for (k, points) in shape.into_iter().enumerate() {
            if points.len() >= 3 {
                let area = signed_area(&points);
                if area != 0.0 {
                    loops.push(Loop { points, area, sign: if k == 0 { 1.0 } else { -1.0 } });
                }
            }
        }
    }
    loops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(p: &Prepared) -> f64 {
        p.loops.iter().map(|l| l.sign * l.area.abs()).sum()
    }

    fn square(x: f64, y: f64, side: f64) -> Vec<Point> {
        vec![[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    }

    #[test]
    fn a_valid_polygon_with_a_hole_is_left_alone() {
        let p = prepare(&[vec![square(0.0, 0.0, 4.0), square(1.0, 1.0, 1.0)]]);
        assert_eq!((area(&p), p.repair), (15.0, Repair::None));
    }

    #[test]
    fn an_island_in_a_hole_counts_again() {
        let p =
            prepare(&[vec![square(0.0, 0.0, 9.0), square(1.0, 1.0, 5.0), square(2.0, 2.0, 1.0)]]);
        assert_eq!((area(&p), p.repair), (81.0 - 25.0 + 1.0, Repair::None));
    }

    #[test]
    fn a_figure_of_eight_keeps_both_halves() {
        // crossing at (1, 1) without a vertex there: two triangles of area 1
        let p = prepare(&[vec![vec![[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]]]]);
        assert_eq!(p.repair, Repair::Rebuilt);
        assert!((area(&p) - 2.0).abs() < 1e-9);
        // with a vertex there it is only cut
        let p = prepare(&[vec![vec![
            [0.0, 0.0],
            [1.0, 1.0],
            [2.0, 2.0],
            [2.0, 0.0],
            [1.0, 1.0],
            [0.0, 2.0],
        ]]]);
        assert_eq!((area(&p), p.repair), (2.0, Repair::Cut));
    }

    #[test]
    fn a_ring_that_touches_itself_from_inside_has_a_hole() {
        // the square 0..4, with a square of side 1 drawn from its corner (0, 0) inwards: 16 - 1
        let ring = vec![
            [0.0, 0.0],
            [4.0, 0.0],
            [4.0, 4.0],
            [0.0, 4.0],
            [0.0, 0.0],
            [1.0, 2.0],
            [2.0, 2.0],
            [2.0, 1.0],
        ];
        let p = prepare(&[vec![ring]]);
        // the inner loop (0,0) (1,2) (2,2) (2,1) has area 2: shoelace 0 + (2-4) + (2-4) + 0 = -4
        assert_eq!((area(&p), p.repair), (14.0, Repair::Cut));
    }

    #[test]
    fn a_spike_adds_nothing() {
        let ring = vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [5.0, 1.0], [1.0, 1.0], [0.0, 1.0]];
        assert_eq!(area(&prepare(&[vec![ring]])), 1.0);
        let uneven = vec![[0.0, 0.0], [1.0, 0.0], [1.0, 3.0], [1.0, 1.0], [0.0, 1.0]];
        assert!((area(&prepare(&[vec![uneven]])) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn parts_that_overlap_leave_out_what_both_cover() {
        // two unit-2 squares that share a unit square: 4 + 4 - 2 * 1
        let p = prepare(&[vec![square(0.0, 0.0, 2.0), square(1.0, 1.0, 2.0)]]);
        assert_eq!(p.repair, Repair::Rebuilt);
        assert!((area(&p) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn parts_that_share_an_edge_add_up() {
        assert_eq!(area(&prepare(&[vec![square(0.0, 0.0, 1.0), square(1.0, 0.0, 1.0)]])), 2.0);
    }

    #[test]
    fn the_same_ring_twice_is_nothing() {
        assert_eq!(area(&prepare(&[vec![square(0.0, 0.0, 1.0), square(0.0, 0.0, 1.0)]])), 0.0);
    }

    #[test]
    fn a_hole_that_pokes_out_is_evened_out() {
        // hole 1 x 1 of which half lies outside: 4 - 0.5 inside + 0.5 outside
        let p = prepare(&[vec![square(0.0, 0.0, 2.0), square(1.5, 0.5, 1.0)]]);
        assert!((area(&p) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn what_goes_round_the_globe_is_not_unwrapped() {
        let world = vec![[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0]];
        let p = prepare(&[vec![world]]);
        assert_eq!((area(&p), p.unwrapped), (64800.0, false));
        let p = prepare(&[vec![vec![[179.0, 0.0], [-179.0, 0.0], [-179.0, 1.0], [179.0, 1.0]]]]);
        assert_eq!((area(&p), p.unwrapped), (2.0, true));
    }
}
