//! Rings as they come -> closed loops that do not cross, each one an outline or a hole.
//!
//! A region is the union of its polygons, and a polygon its outline without its holes, as GEOS' `make_valid` has it with
//! the method `structure`: what a ring encloses is what it goes round at least once, whichever way; a hole takes away what
//! lies within its own outline, and one that lies outside of it is an outline.
//!
//! Most regions are valid and are left as they are. Most invalid rings of real files only touch themselves at a vertex:
//! these are cut into simple loops there. Only where rings cross, overlap or lie in the wrong place, the region goes
//! through an overlay; its corners then lie on a grid of 2^-53 of the region's size.

use crate::features::Feature;
use crate::meridian::{Doubt, Understood, unwrap, wraps_upon_itself};
use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::simplify::SimplifyShape;
use i_overlay::float::single::SingleFloatOverlay;
use robust::{Coord, orient2d};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
    pub understood: Understood,
}

pub const FEATURES: &[Feature] = &[
    Feature::converted(
        "polygons",
        "parts that overlap or lie within each other",
        "dissolved: the region is their union",
    ),
    Feature::converted(
        "polygons",
        "rings that cross or touch themselves or each other",
        "mended as GEOS' `make_valid` does by structure, and counted",
    ),
];

/// A ring of one polygon of the region.
#[derive(Clone, Copy)]
struct Place {
    polygon: u32,
    ring: u32,
    outline: bool,
}

pub fn prepare(shape: &[Polygon]) -> Result<Prepared, Doubt> {
    let mut understood = Understood::default();
    let mut polygons: Vec<Polygon> = Vec::with_capacity(shape.len());
    for polygon in shape {
        polygons.extend(unwrap(polygon, &mut understood)?);
    }
    if wraps_upon_itself(&polygons) {
        let loops = dissolve(&within_one_turn(&polygons));
        return Ok(Prepared { loops, repair: Repair::Rebuilt, understood });
    }
    Ok(match whole(&polygons) {
        Some((loops, repair)) => Prepared { loops, repair, understood },
        None => Prepared { loops: dissolve(&polygons), repair: Repair::Rebuilt, understood },
    })
}

/// The loops of polygons that do not need an overlay; nothing where they do.
fn whole(polygons: &[Polygon]) -> Option<(Vec<Loop>, Repair)> {
    let rings: Vec<&Ring> = polygons.iter().flatten().collect();
    let touches = inspect(&rings)?;
    let mut repair = Repair::None;
    let mut loops: Vec<Ring> = Vec::with_capacity(rings.len());
    let mut places: Vec<Place> = Vec::with_capacity(rings.len());
    let mut ring = 0;
    for (polygon, parts) in polygons.iter().enumerate() {
        for (k, points) in parts.iter().enumerate() {
            if touches.own[ring] {
                repair = Repair::Cut;
                cut(points, &mut loops);
            } else {
                loops.push(points.clone());
            }
            let place = Place { polygon: polygon as u32, ring: ring as u32, outline: k == 0 };
            places.resize(loops.len(), place);
            ring += 1;
        }
    }
    Some((arrange(loops, &places, touches.any)?, repair))
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

/// Of fewer segments it does not matter along which side they are compared.
const MANY: usize = 10_000;

/// Turns the segments' boxes so that they overlap least along the side that is gone along: a coast of many zigzags would
/// take the square of its length on the other.
fn lay_across(segments: &mut [Segment]) {
    let mut long = [0.0; 2];
    let mut whole = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for s in segments.iter() {
        long = [long[0] + s.east - s.west, long[1] + s.north - s.south];
        whole = [
            whole[0].min(s.west),
            whole[1].min(s.south),
            whole[2].max(s.east),
            whole[3].max(s.north),
        ];
    }
    if long[0] * (whole[3] - whole[1]) > long[1] * (whole[2] - whole[0]) {
        for s in segments {
            (s.west, s.east, s.south, s.north) = (s.south, s.north, s.west, s.east);
        }
    }
}

/// Looks at all pairs of segments that come near each other. Nothing when any two cross or overlap in part, or when a
/// vertex lies within another segment.
fn inspect(rings: &[&Ring]) -> Option<Touches> {
    look(rings, false)
}

/// As `inspect`; `across`: only at pairs of segments of different rings.
fn look(rings: &[&Ring], across: bool) -> Option<Touches> {
    let mut segments: Vec<Segment> = Vec::with_capacity(rings.iter().map(|r| r.len()).sum());
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
    if segments.len() > MANY {
        lay_across(&mut segments);
    }
    segments.sort_unstable_by(|a, b| a.west.total_cmp(&b.west));
    let mut touches = Touches { own: vec![false; rings.len()], any: false };
    for (i, s) in segments.iter().enumerate() {
        for t in &segments[i + 1..] {
            if t.west > s.east {
                break;
            }
            if t.south > s.north || t.north < s.south || across && s.ring == t.ring {
                continue;
            }
            let (p, q) = (rings[s.ring as usize], rings[t.ring as usize]);
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

/// Does a ring neither cross nor touch itself?
pub(crate) fn is_simple(ring: &Ring) -> bool {
    inspect(&[ring]).is_some_and(|t| !t.own[0])
}

/// Corners by their bits. The standard hasher took a sixth of the time of an index.
type Corners<T> = HashMap<[u64; 2], T, BuildHasherDefault<Mixer>>;

#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes.as_chunks::<8>().0 {
            self.write_u64(u64::from_le_bytes(*b));
        }
    }

    fn write_u64(&mut self, v: u64) {
        // Decimals fill the lower bits only in part: multiplied, every bit counts above it, and the shift brings it down.
        let mixed = (self.0 ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

/// Cuts a ring into simple loops at the vertices that it passes more than once.
fn cut(ring: &[Point], loops: &mut Vec<Vec<Point>>) {
    let key = |p: &Point| [p[0].to_bits(), p[1].to_bits()];
    let mut path: Vec<Point> = Vec::with_capacity(ring.len());
    let mut seen: Corners<usize> =
        Corners::with_capacity_and_hasher(ring.len(), Default::default());
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

/// Tells outlines from holes. Nothing when two loops cross at shared vertices, when parts cover each other, or when holes
/// lie elsewhere than within their own outline.
fn arrange(points: Vec<Ring>, places: &[Place], touching: bool) -> Option<Vec<Loop>> {
    let mut loops: Vec<Loop> = Vec::with_capacity(points.len());
    let mut of: Vec<Place> = Vec::with_capacity(points.len());
    for (points, place) in points.into_iter().zip(places) {
        let area = if points.len() >= 3 { signed_area(&points) } else { 0.0 };
        if area != 0.0 {
            loops.push(Loop { points, area, sign: 1.0 });
            of.push(*place);
        }
    }
    if loops.len() < 2 {
        // A hole alone: its outline has no area.
        return of.iter().all(|p| p.outline).then_some(loops);
    }
    let boxes: Vec<[f64; 4]> = loops.iter().map(|l| bounds(&l.points)).collect();
    let vertices: Vec<Corners<u32>> = match touching {
        true => loops.iter().map(|l| vertices(&l.points)).collect(),
        false => Vec::new(),
    };
    let mut order: Vec<usize> = (0..loops.len()).collect();
    order.sort_unstable_by(|a, b| boxes[*a][0].total_cmp(&boxes[*b][0]));
    // Loops in loops: (the one inside, the one round it).
    let mut nested: Vec<(u32, u32)> = Vec::new();
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
                if lies_within(&loops[inner].points, &loops[outer].points, &boxes[outer], known)? {
                    nested.push((inner as u32, outer as u32));
                }
            }
        }
    }
    // A ring that was cut: how often it goes round what lies just outside and inside of each of its loops.
    let way = |k: usize| if loops[k].area > 0.0 { 1i32 } else { -1 };
    let mut around = vec![0i32; loops.len()];
    for (inner, outer) in &nested {
        let (i, o) = (*inner as usize, *outer as usize);
        if of[i].ring == of[o].ring {
            around[i] += way(o);
        }
    }
    let mut own = vec![1i32; loops.len()];
    for (k, n) in around.iter().enumerate() {
        match (*n == 0, n + way(k) == 0) {
            (true, _) => {}
            (_, true) => own[k] = -1,
            _ => return None, // it goes round twice
        }
    }
    // What else covers the place of each loop: its own outline, its sisters among the holes, other polygons.
    let mut outline = vec![0i32; loops.len()];
    let mut holes = vec![0i32; loops.len()];
    let mut others = vec![0i32; loops.len()];
    for (inner, outer) in &nested {
        let (i, o) = (*inner as usize, *outer as usize);
        if of[i].ring == of[o].ring {
            continue;
        }
        match (of[i].polygon == of[o].polygon, of[o].outline) {
            (true, true) => outline[i] += own[o],
            (true, false) => holes[i] += own[o],
            (false, true) => others[i] += own[o],
            (false, false) => others[i] -= own[o],
        }
    }
    for (k, l) in loops.iter_mut().enumerate() {
        let at_home = holes[k] == 0 && outline[k] == i32::from(!of[k].outline);
        if !at_home || others[k] != 0 {
            return None;
        }
        l.sign = f64::from(if of[k].outline { own[k] } else { -own[k] });
    }
    Some(loops)
}

fn vertices(points: &[Point]) -> Corners<u32> {
    points.iter().enumerate().map(|(k, p)| (p.map(f64::to_bits), k as u32)).collect()
}

pub(crate) fn bounds(points: &[Point]) -> [f64; 4] {
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
    shared: Option<&Corners<u32>>,
) -> Option<bool> {
    let outside =
        |p: &Point| p[0] < bounds[0] || p[1] < bounds[1] || p[0] > bounds[2] || p[1] > bounds[3];
    let asks = |p: &Point| !outside(p) && contains(outer, *p);
    let Some(shared) = shared else { return Some(asks(&inner[0])) };
    let place = |p: &Point| shared.get(&p.map(f64::to_bits)).map(|k| *k as usize);
    let is_shared = |p: &Point| place(p).is_some();
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
                let own = place(p).is_some_and(|i| {
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
pub(crate) fn contains(points: &[Point], p: Point) -> bool {
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

/// What a ring encloses, as polygons that do not cross.
fn mended(ring: &Ring) -> Vec<Polygon> {
    match inspect(&[ring]) {
        Some(touches) if !touches.own[0] => {
            let mut ring = ring.clone();
            if signed_area(&ring) < 0.0 {
                ring.reverse();
            }
            vec![vec![ring]]
        }
        _ => vec![ring.clone()].simplify_shape_as::<i64>(FillRule::NonZero),
    }
}

/// Does a hole lie wholly outside of its outline, without touching it?
fn apart(shell: &Ring, hole: &Ring) -> bool {
    let (a, b) = (bounds(shell), bounds(hole));
    if a[0] > b[2] || b[0] > a[2] || a[1] > b[3] || b[1] > a[3] {
        return true;
    }
    if contains(shell, hole[0]) {
        return false;
    }
    let (outline, inner) = (mended(shell), mended(hole));
    let both = outline.overlay_as::<i64>(&inner, OverlayRule::Intersect, FillRule::NonZero);
    if !both.is_empty() {
        return false;
    }
    // Where they only touch nothing is taken away, and nothing added. What a spike of the ring touches does not count: it
    // is not in `outline`, of which corners may have moved by their last bit.
    look(&[shell, hole], true).is_some_and(|t| !t.any)
        || !outline.iter().flatten().any(|a| inner.iter().flatten().any(|b| near(a, b)))
}

/// Does a corner of either lie upon the other, but for rounding?
fn near(a: &Ring, b: &Ring) -> bool {
    let upon = |p: &Point, ring: &Ring| {
        let mut from = ring[ring.len() - 1];
        ring.iter().any(|to| {
            let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
            let (x, y) = (p[0] - from[0], p[1] - from[1]);
            let part = ((x * dx + y * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            from = *to;
            (x - part * dx).hypot(y - part * dy) <= 1e-12
        })
    };
    a.iter().any(|p| upon(p, b)) || b.iter().any(|p| upon(p, a))
}

/// The union of polygons, each its outline without its holes, by overlay.
fn dissolve(polygons: &[Polygon]) -> Vec<Loop> {
    let mut all: Vec<Polygon> = Vec::new();
    for polygon in polygons {
        let Some((shell, rest)) = polygon.split_first() else { continue };
        let (outlines, mut holes) = (mended(shell), Vec::new());
        if outlines.is_empty() {
            continue;
        }
        for hole in rest {
            match apart(shell, hole) {
                true => all.extend(mended(hole)),
                false => holes.extend(mended(hole)),
            }
        }
        if holes.is_empty() {
            all.extend(outlines);
        } else {
            all.extend(outlines.overlay_as::<i64>(
                &holes,
                OverlayRule::Difference,
                FillRule::NonZero,
            ));
        }
    }
    if all.len() > 1 {
        all = all.simplify_shape_as::<i64>(FillRule::NonZero);
    }
    let mut loops = Vec::new();
    for shape in all {
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

/// Polygons that lie upon each other when counted round the globe, cut to the turn from -180 to 180.
fn within_one_turn(polygons: &[Polygon]) -> Vec<Polygon> {
    let mut out = Vec::with_capacity(polygons.len());
    for polygon in polygons {
        let points: Ring = polygon.iter().flatten().copied().collect();
        let b = bounds(&points);
        if points.is_empty() || b[0] >= -180.0 && b[2] <= 180.0 {
            out.push(polygon.clone());
            continue;
        }
        let loops = match whole(std::slice::from_ref(polygon)) {
            Some((loops, _)) => loops,
            None => dissolve(std::slice::from_ref(polygon)),
        };
        let (first, last) = ((b[0] + 180.0).div_euclid(360.0), (b[2] + 180.0).div_euclid(360.0));
        let mut turn = first;
        while turn <= last {
            let west = turn * 360.0 - 180.0;
            let square = vec![vec![
                [west, -90.0],
                [west + 360.0, -90.0],
                [west + 360.0, 90.0],
                [west, 90.0],
            ]];
            let rings: Vec<Ring> = loops
                .iter()
                .map(|l| {
                    let mut ring = l.points.clone();
                    if (l.area > 0.0) != (l.sign > 0.0) {
                        ring.reverse();
                    }
                    ring
                })
                .collect();
            let mut cut =
                rings.overlay_as::<i64>(&square, OverlayRule::Intersect, FillRule::NonZero);
            cut.iter_mut().flatten().flatten().for_each(|p| p[0] -= turn * 360.0);
            out.extend(cut);
            turn += 1.0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(shape: &[Polygon]) -> Prepared {
        super::prepare(shape).unwrap()
    }

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
        let (land, lake, island) =
            (square(0.0, 0.0, 9.0), square(1.0, 1.0, 5.0), square(2.0, 2.0, 1.0));
        let p = prepare(&[vec![land.clone(), lake.clone()], vec![island.clone()]]);
        assert_eq!((area(&p), p.repair), (81.0 - 25.0 + 1.0, Repair::None));
        // a hole within a hole takes nothing more away
        let p = prepare(&[vec![land, lake, island]]);
        assert_eq!((area(&p), p.repair), (81.0 - 25.0, Repair::Rebuilt));
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
    fn parts_that_overlap_are_dissolved() {
        // two squares of side 2 that share a unit square: 4 + 4 - 1
        let p = prepare(&[vec![square(0.0, 0.0, 2.0)], vec![square(1.0, 1.0, 2.0)]]);
        assert_eq!((area(&p), p.repair), (7.0, Repair::Rebuilt));
        let p = prepare(&[vec![square(0.0, 0.0, 4.0)], vec![square(1.0, 1.0, 2.0)]]);
        assert_eq!((area(&p), p.repair), (16.0, Repair::Rebuilt));
        let p = prepare(&[vec![square(0.0, 0.0, 1.0)], vec![square(0.0, 0.0, 1.0)]]);
        assert_eq!((area(&p), p.repair), (1.0, Repair::Rebuilt));
    }

    #[test]
    fn a_part_fills_the_hole_of_another_in_part() {
        // 81 - 25, and a square of side 3 that lies in the hole by 2 x 2
        let with_hole = vec![square(0.0, 0.0, 9.0), square(1.0, 1.0, 5.0)];
        let p = prepare(&[with_hole, vec![square(0.0, 0.0, 3.0)]]);
        assert_eq!((area(&p), p.repair), (81.0 - 25.0 + 4.0, Repair::Rebuilt));
    }

    #[test]
    fn parts_that_share_an_edge_add_up() {
        let p = prepare(&[vec![square(0.0, 0.0, 1.0)], vec![square(1.0, 0.0, 1.0)]]);
        assert_eq!((area(&p), p.repair), (2.0, Repair::None));
    }

    #[test]
    fn a_hole_like_its_outline_leaves_nothing() {
        assert_eq!(area(&prepare(&[vec![square(0.0, 0.0, 1.0), square(0.0, 0.0, 1.0)]])), 0.0);
    }

    #[test]
    fn a_hole_takes_away_what_lies_within_its_outline() {
        // a hole of 1 x 1 of which half lies outside
        let p = prepare(&[vec![square(0.0, 0.0, 2.0), square(1.5, 0.5, 1.0)]]);
        assert_eq!((area(&p), p.repair), (3.5, Repair::Rebuilt));
        // wholly outside it is an outline, as GEOS has it; where it touches, nothing
        assert_eq!(area(&prepare(&[vec![square(0.0, 0.0, 2.0), square(5.0, 5.0, 1.0)]])), 5.0);
        assert_eq!(area(&prepare(&[vec![square(0.0, 0.0, 2.0), square(2.0, 0.5, 1.0)]])), 4.0);
    }

    #[test]
    fn a_ring_that_goes_round_twice_is_filled() {
        // 18 and not 14: the cells that it goes round twice count
        let spiral = [[0, 0], [4, 0], [4, 4], [1, 4], [1, -1], [3, -1], [3, 2], [-1, 2], [-1, 0]];
        let spiral = spiral.map(|p| p.map(f64::from)).to_vec();
        assert_eq!(area(&prepare(&[vec![spiral]])), 18.0);
        let mut twice = square(0.0, 0.0, 1.0);
        twice.extend(square(0.0, 0.0, 1.0));
        assert_eq!(area(&prepare(&[vec![twice]])), 1.0);
        // a loop inwards that turns the same way as the outline is no hole
        let ring = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [2, 1], [2, 2], [1, 2]];
        let ring = ring.map(|p| p.map(f64::from)).to_vec();
        assert_eq!(area(&prepare(&[vec![ring]])), 16.0);
    }

    #[test]
    fn parts_that_meet_round_the_globe_are_dissolved() {
        // 170..190 and -180..-175, of which all lies in the first
        let east = vec![[170.0, 0.0], [190.0, 0.0], [190.0, 1.0], [170.0, 1.0]];
        let west = vec![[-180.0, 0.0], [-175.0, 0.0], [-175.0, 1.0], [-180.0, 1.0]];
        assert_eq!(area(&prepare(&[vec![east], vec![west]])), 20.0);
    }

    #[test]
    fn what_goes_round_the_globe_is_not_unwrapped() {
        let world = vec![[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0]];
        let p = prepare(&[vec![world]]);
        assert_eq!((area(&p), p.understood.crossing), (64800.0, false));
        let p = prepare(&[vec![vec![[179.0, 0.0], [-179.0, 0.0], [-179.0, 1.0], [179.0, 1.0]]]]);
        assert_eq!((area(&p), p.understood.crossing), (2.0, true));
    }
}
