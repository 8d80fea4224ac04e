//! Rings across the date line, and rings round a pole: which way an edge of more than 180 degrees goes.
//!
//! A ring says where its corners lie, not how often it has gone round the globe in between. An edge from 170 to -170 is 20
//! degrees over the date line, or 340 the other way. What decides:
//!
//! - edges of up to 180 degrees are as they are drawn, and so are edges along a pole and edges of the whole globe (360);
//! - the ring of many corners jumps: where its other edges are short, that one is too;
//! - of few corners, a ring that crosses itself one way and not the other goes the other;
//! - else the direction tells: outlines run counter-clockwise (RFC 7946, `shapely.box`), read the right way;
//! - what is left can be meant both ways and is an error.
//!
//! Holes and parts: a hole goes with its shell, each part of a region stands for itself.

use crate::error::Error;
use crate::features::{Feature, Refusal};
use crate::repair::{Point, Polygon, Ring, bounds, is_simple, signed_area};

/// Rounding of longitudes, in degrees.
const HAIR: f64 = 1e-9;
/// From this many corners on a ring counts as drawn finely.
const MANY: usize = 8;
/// An edge of more degrees than this is a jump over the seam, or doubtful; up to it, it may be one of a wide region.
const WIDE: f64 = 270.0;

pub const FEATURES: &[Feature] = &[
    Feature::converted(
        "polygons",
        "rings across the date line",
        "from 170 to -170, from 350 to 10, or on to 190: counted on, holes go with their outline; a warning names the region",
    ),
    Feature::converted(
        "polygons",
        "rings round a pole",
        "a ring of many corners that goes round the globe and does not close there holds the pole on its side; a warning names the region",
    ),
    Feature::honoured(
        "polygons",
        "edges of 360 degrees",
        "as drawn: a band round the globe; along latitude 90 they are the pole",
    ),
];

pub static EITHER_WAY: Refusal = Refusal {
    of: "polygons",
    name: "an edge that can be meant both ways round the globe",
    message: "region `{}` has an edge from longitude {} to {}, which may go over the date line or the long way round",
    hint: "over the date line write longitudes that count on (170 to 190), for the long way put a corner in the middle of the edge",
};

pub static WHICH_POLE: Refusal = Refusal {
    of: "polygons",
    name: "a ring round the globe that may hold either pole",
    message: "region `{}` has a ring that goes round the globe, from longitude {} to {}, and does not say how it closes at a pole",
    hint: "keep the region in its own coordinate system (ncproj reprojects it), or close it along latitude 90 or -90",
};

pub static NOT_FINITE: Refusal = Refusal {
    of: "polygons",
    name: "coordinates that are no numbers",
    message: "region `{}` has the corner ({}, {}), which is no place",
    hint: "mend the region, or leave it out",
};

pub const REFUSALS: &[&Refusal] = &[&EITHER_WAY, &WHICH_POLE, &NOT_FINITE];

/// Why a ring cannot be read: the refusal, and its values after the region's name.
#[derive(Clone, Debug)]
pub struct Doubt {
    why: &'static Refusal,
    values: [f64; 2],
}

impl Doubt {
    pub fn error(&self, region: &str) -> Error {
        let [a, b] = self.values.map(|v| v.to_string());
        self.why.error(&[region, &a, &b])
    }
}

impl PartialEq for Doubt {
    fn eq(&self, other: &Self) -> bool {
        self.why.name == other.why.name
    }
}

/// What was understood beyond what is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// A ring jumps over the date line (or over 0) and was put together.
    pub crossing: bool,
    /// An edge is taken to go the long way round.
    pub long: bool,
    /// A ring goes round a pole and was closed there.
    pub pole: bool,
}

/// A corner at a pole.
fn polar(p: Point) -> bool {
    p[1].abs() >= 90.0 - HAIR
}

/// A hole of few corners that is wider than this as drawn is meant to go over the date line.
const FAR_WIDER: f64 = 300.0;

/// A ring, looked at: where it jumps, and what it is when the jumps are put together.
struct Sketch {
    /// The longest jump as drawn.
    most: f64,
    ends: [f64; 2],
    jumps: usize,
    /// The longest edge that does not jump.
    steps: f64,
    /// Put together; closed when `winding` is 0.
    joined: Ring,
    winding: f64,
    /// The longest edge of `joined`, but along poles.
    longest: f64,
}

/// Nothing when no edge jumps.
fn sketch(points: &[Point]) -> Option<Sketch> {
    let n = points.len();
    let at = |k: usize| points[k % n];
    let along_pole = |k: usize| polar(at(k)) && polar(at(k + 1)) && at(k)[1] * at(k + 1)[1] > 0.0;
    let step = |k: usize| at(k + 1)[0] - at(k)[0];
    let jump = |k: usize| {
        let d = step(k).abs();
        if d <= 180.0 + HAIR || d > 360.0 + HAIR || along_pole(k) {
            return false;
        }
        // The side of a box of the whole globe: beside it the ring runs along the seam.
        d < 360.0 - HAIR || !(step(k + n - 1).abs() <= HAIR || step(k + 1).abs() <= HAIR)
    };
    let far = |a: &Point, b: &Point| (b[0] - a[0]).abs() > 180.0;
    let none = !points.windows(2).any(|w| far(&w[0], &w[1])) && !far(&points[n - 1], &points[0]);
    if none || !(0..n).any(jump) {
        return None;
    }
    let (mut turn, mut s) = (
        0.0,
        Sketch {
            most: 0.0,
            ends: [0.0; 2],
            jumps: 0,
            steps: 0.0,
            joined: Vec::with_capacity(n),
            winding: 0.0,
            longest: 0.0,
        },
    );
    let mut free = None;
    for k in 0..n {
        let p = at(k);
        s.joined.push([p[0] + turn, p[1]]);
        let d = step(k);
        if along_pole(k) {
            free = Some(k);
        } else if jump(k) {
            if d.abs() > s.most {
                (s.most, s.ends) = (d.abs(), [p[0], at(k + 1)[0]]);
            }
            s.jumps += 1;
            turn -= 360.0 * d.signum();
            s.longest = s.longest.max((d - 360.0 * d.signum()).abs());
        } else {
            s.steps = s.steps.max(d.abs());
            s.longest = s.longest.max(d.abs());
        }
    }
    s.winding = turn;
    // At a pole all longitudes are one place: there the ring can close.
    if let (Some(k), true) = (free, turn != 0.0) {
        for p in &mut s.joined[k + 1..] {
            p[0] -= turn;
        }
        s.winding = 0.0;
    }
    Some(s)
}

fn span(points: &[Point], axis: usize) -> (f64, f64) {
    points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p[axis]), b.max(p[axis])))
}

/// Reads one ring; `turns`: the direction that it should have, 1 for counter-clockwise.
fn read(points: &Ring, turns: f64, seen: &mut Understood) -> Result<Option<Ring>, Doubt> {
    let Some(s) = sketch(points) else { return Ok(None) };
    let either = Doubt { why: &EITHER_WAY, values: s.ends };
    if s.winding != 0.0 {
        // An edge that jumps once: a ring round a pole, or a wide one.
        if s.winding.abs() == 360.0 && points.len() >= MANY && s.longest <= 90.0 && s.most > WIDE {
            let closed = close_at_pole(&s).ok_or(Doubt { why: &WHICH_POLE, values: s.ends })?;
            seen.pole = true;
            return Ok(Some(closed));
        }
        if s.most <= 240.0 || s.most >= 360.0 - HAIR {
            return Ok(None);
        }
        return Err(if s.jumps == 1 { Doubt { why: &WHICH_POLE, values: s.ends } } else { either });
    }
    let ((west, east), (south, north)) = (span(&s.joined, 0), span(&s.joined, 1));
    if east - west <= HAIR {
        return Ok(None); // a band round the globe, both ends on one meridian
    }
    let right = |p: &[Point]| signed_area(p) * turns > 0.0;
    let (drawn, joined) = (right(points), right(&s.joined));
    if s.most <= WIDE && drawn {
        return Ok(None);
    }
    let strip = north - south > 20.0 * (east - west);
    let fine = points.len() >= MANY && s.steps <= 45.0;
    let wide = s.most > WIDE;
    let over = if wide && (fine || s.jumps > 2) {
        Some(true)
    } else {
        match (is_simple(points), is_simple(&s.joined)) {
            (true, false) => Some(false),
            (false, true) => Some(true),
            _ if wide && joined && !strip => Some(true),
            // Counter-clockwise as drawn, as GeoJSON has its outlines: a wide region, and said.
            _ if drawn && !joined => Some(false),
            _ => None,
        }
    };
    match over {
        Some(true) => {
            seen.crossing = true;
            Ok(Some(s.joined))
        }
        Some(false) => {
            seen.long = true;
            Ok(None)
        }
        None => Err(either),
    }
}

/// A ring that goes once round the globe, closed along the pole on whose side it lies. Nothing when it lies on both.
///
/// The cut to the pole is made at the date line, where the ring comes nearest to the pole, so that it crosses nothing.
fn close_at_pole(s: &Sketch) -> Option<Ring> {
    let (low, high) = span(&s.joined, 1);
    let pole = match (high < 0.0, low > 0.0) {
        (true, _) => -90.0,
        (_, true) => 90.0,
        _ => return None,
    };
    let n = s.joined.len();
    // Where the next corner lies after the last one: a turn further on.
    let next = |k: usize| match k + 1 < n {
        true => s.joined[k + 1],
        false => [s.joined[0][0] + s.winding, s.joined[0][1]],
    };
    let mut best: Option<(usize, Point)> = None;
    for k in 0..n {
        let (a, b) = (s.joined[k], next(k));
        let (from, to) = (a[0].min(b[0]), a[0].max(b[0]));
        let mut line = ((from + 180.0) / 360.0).ceil() * 360.0 - 180.0;
        while line <= to {
            let part = if b[0] == a[0] { 0.0 } else { (line - a[0]) / (b[0] - a[0]) };
            let lat = a[1] + (b[1] - a[1]) * part;
            if best.is_none_or(|(_, p)| (lat - p[1]) * pole > 0.0) {
                best = Some((k, [line, lat]));
            }
            line += 360.0;
        }
    }
    let (k, cut) = best?;
    let mut out = vec![cut];
    out.extend(&s.joined[k + 1..]);
    out.extend(s.joined[..=k].iter().map(|p| [p[0] + s.winding, p[1]]));
    let end = cut[0] + s.winding;
    out.extend([[end, cut[1]], [end, pole], [cut[0], pole]]);
    let shift = -180.0 - cut[0].min(end);
    out.iter_mut().for_each(|p| p[0] += shift);
    out.dedup();
    Some(out)
}

/// How far a corner at a pole may lie from the meridians of its neighbours and still be meant as it is drawn.
const ASTRAY: f64 = 5.0;

/// One corner at a pole, beside corners that are not, on a meridian far from theirs: what a reprojection makes of a ring through
/// the pole, where all longitudes are one place. It is the end of both their meridians. Else it is the tip that is drawn.
fn spread_poles(points: &mut Ring) {
    let n = points.len();
    if n < 3 || !points.iter().any(|p| polar(*p)) {
        return;
    }
    let mut out = Vec::with_capacity(n + 4);
    for k in 0..n {
        let (a, p, b) = (points[(k + n - 1) % n], points[k], points[(k + 1) % n]);
        let lone = polar(p) && !polar(a) && !polar(b);
        let (west, east) = (a[0].min(b[0]), a[0].max(b[0]));
        let astray = p[0] < west - ASTRAY || p[0] > east + ASTRAY || east - west > 180.0;
        if lone && a[0] != b[0] && astray {
            out.extend([[a[0], p[1]], [b[0], p[1]]]);
        } else {
            out.push(p);
        }
    }
    *points = out;
}

/// Cleaned of corners that repeat; open. Nothing where less than three are left.
fn clean(ring: &[Point]) -> Result<Option<Ring>, Doubt> {
    let mut points: Ring = Vec::with_capacity(ring.len());
    for p in ring {
        if !(p[0].is_finite() && p[1].is_finite()) {
            return Err(Doubt { why: &NOT_FINITE, values: *p });
        }
        // Adding 0 makes -0 a plain 0: corners are compared by their bits.
        let p = [p[0] + 0.0, p[1].clamp(-90.0, 90.0) + 0.0];
        if points.last() != Some(&p) {
            points.push(p);
        }
    }
    while points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    Ok((points.len() >= 3).then_some(points))
}

/// The rings of a polygon, clean, open and put together; the first is the outline. Nothing where there is no outline.
pub fn unwrap(polygon: &[Ring], seen: &mut Understood) -> Result<Option<Polygon>, Doubt> {
    let mut rings = Vec::with_capacity(polygon.len());
    let Some(first) = polygon.first() else { return Ok(None) };
    let Some(mut shell) = clean(first)? else { return Ok(None) };
    spread_poles(&mut shell);
    if let Some(other) = read(&shell, 1.0, seen)? {
        shell = other;
    }
    let (west, east) = span(&shell, 0);
    let turns = if signed_area(&shell) > 0.0 { -1.0 } else { 1.0 };
    // How far to shift a ring so that it lies within the shell.
    let fits = |ring: &[Point]| -> Option<f64> {
        let (a, b) = span(ring, 0);
        let near = ((west + east - a - b) / 720.0).round();
        [0.0, near, near - 1.0, near + 1.0]
            .map(|k| k * 360.0)
            .into_iter()
            .find(|s| a + s >= west - HAIR && b + s <= east + HAIR)
    };
    rings.push(shell);
    for hole in &polygon[1..] {
        let Some(mut hole) = clean(hole)? else { continue };
        spread_poles(&mut hole);
        let joined = sketch(&hole).filter(|s| s.winding == 0.0).map(|s| s.joined);
        let mut own = Understood::default();
        let full = east - west >= 360.0 - HAIR;
        match joined.filter(|j| span(j, 0).1 - span(j, 0).0 > HAIR) {
            // Wider than its shell is no way to read a hole.
            Some(joined) if span(&hole, 0).1 - span(&hole, 0).0 > east - west + HAIR => {
                hole = joined;
            }
            Some(joined) if fits(&joined).is_some() && fits(&hole).is_none() => hole = joined,
            Some(joined) if !full && fits(&joined).is_none() && fits(&hole).is_some() => {}
            // In a shell round the globe both may fit, and of holes the direction is no rule: over the date line where that is
            // far shorter, else as drawn; and it is said.
            Some(joined) if full && fits(&hole).is_some() && hole.len() < MANY => {
                let wide = span(&hole, 0).1 - span(&hole, 0).0;
                if wide > FAR_WIDER {
                    hole = joined;
                    own.crossing = true;
                } else {
                    own.long = wide > WIDE;
                }
            }
            joined => match (read(&hole, turns, &mut own), joined) {
                (Ok(Some(other)), _) => hole = other,
                (Ok(None), _) => {}
                // Of a hole in a ring round the globe the direction is no rule: the short way, and said.
                (Err(_), Some(joined))
                    if full && span(&joined, 0).1 - span(&joined, 0).0 < 90.0 =>
                {
                    (hole, seen.crossing) = (joined, true);
                }
                (Err(doubt), _) => return Err(doubt),
            },
        }
        seen.pole |= own.pole;
        if full {
            // In a shell round the globe a hole may be read both ways: which it was is said.
            seen.crossing |= own.crossing;
            seen.long |= own.long;
        }
        let (a, b) = span(&hole, 0);
        match fits(&hole) {
            Some(0.0) => {}
            Some(shift) => hole.iter_mut().for_each(|p| p[0] += shift),
            None if full => {
                // The shell goes all the way round: the hole lies over its seam, in part at either end.
                for shift in [-720.0, -360.0, 360.0, 720.0] {
                    if a + shift < east && b + shift > west {
                        rings.push(hole.iter().map(|p| [p[0] + shift, p[1]]).collect());
                    }
                }
                if !(a < east && b > west) {
                    continue;
                }
            }
            None => {
                let common = |s: f64| (b + s).min(east) - (a + s).max(west);
                let near = ((west + east - a - b) / 720.0).round() * 360.0;
                if common(near) > common(0.0) {
                    hole.iter_mut().for_each(|p| p[0] += near);
                }
            }
        }
        rings.push(hole);
    }
    Ok(Some(rings))
}

const NOWHERE: [f64; 4] = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];

/// Do parts lie upon each other when longitudes are counted round the globe?
pub fn wraps_upon_itself(polygons: &[Polygon]) -> bool {
    let points = || polygons.iter().flatten().flatten();
    let west = points().fold(f64::INFINITY, |a, p| a.min(p[0]));
    let east = points().fold(f64::NEG_INFINITY, |a, p| a.max(p[0]));
    if east - west <= 360.0 + HAIR {
        return false;
    }
    let boxes: Vec<[f64; 4]> = polygons
        .iter()
        .map(|p| {
            p.iter().map(|r| bounds(r)).fold(NOWHERE, |a, b| {
                [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
            })
        })
        .collect();
    boxes.iter().enumerate().any(|(i, p)| {
        p[2] - p[0] > 360.0 + HAIR
            || boxes[i + 1..].iter().any(|q| {
                p[1] < q[3]
                    && q[1] < p[3]
                    && (-6..=6).filter(|k| *k != 0).any(|k| {
                        let shift = f64::from(k) * 360.0;
                        p[0] < q[2] + shift - HAIR && q[0] + shift < p[2] - HAIR
                    })
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(rings: &[Vec<Point>]) -> (f64, Understood) {
        let mut seen = Understood::default();
        let found = unwrap(rings, &mut seen).unwrap().unwrap();
        let sum = found[1..].iter().map(|r| signed_area(r).abs()).sum::<f64>();
        (signed_area(&found[0]).abs() - sum, seen)
    }

    fn doubt(ring: &[Point]) -> Doubt {
        unwrap(&[ring.to_vec()], &mut Understood::default()).unwrap_err()
    }

    const CROSSING: Understood = Understood { crossing: true, long: false, pole: false };

    #[test]
    fn what_goes_round_the_globe_stays_as_drawn() {
        let plain = Understood::default();
        for (west, east) in [(-180.0, 180.0), (0.0, 360.0), (180.0, -180.0), (-90.0, 270.0)] {
            for (south, north) in [(-90.0, 90.0), (10.0, 20.0), (-90.0, -80.0)] {
                let ring = vec![[west, south], [east, south], [east, north], [west, north]];
                assert_eq!(area(&[ring]), (360.0 * (north - south), plain));
            }
        }
    }

    #[test]
    fn the_direction_tells_which_way_a_box_goes() {
        let ring = [[170.0, -20.0], [-170.0, -20.0], [-170.0, -10.0], [170.0, -10.0]];
        assert_eq!(area(&[ring.to_vec()]), (200.0, CROSSING));
        let back: Ring = ring.iter().rev().copied().collect();
        let long = Understood { long: true, ..Default::default() };
        assert_eq!(area(&[back]), (3400.0, long));
        // up to 270 degrees a wide box is what is drawn, in its usual direction
        let wide = [[-130.0, 0.0], [130.0, 0.0], [130.0, 10.0], [-130.0, 10.0]];
        assert_eq!(area(&[wide.to_vec()]), (2600.0, Understood::default()));
        let other: Ring = wide.iter().rev().copied().collect();
        assert_eq!(doubt(&other).why.name, EITHER_WAY.name);
        // and one of the whole globe but for a degree is no strip of one degree and a hundred
        let all = [[-179.5, -60.0], [179.5, -60.0], [179.5, 60.0], [-179.5, 60.0]];
        assert_eq!(area(&[all.to_vec()]), (359.0 * 120.0, long));
    }

    #[test]
    fn a_hole_follows_its_shell() {
        let shell = vec![[170.0, -20.0], [-170.0, -20.0], [-170.0, -10.0], [170.0, -10.0]];
        for (a, b) in [(-178.0, -174.0), (182.0, 186.0), (176.0, 180.0), (178.0, -178.0)] {
            let hole = vec![[a, -18.0], [b, -18.0], [b, -12.0], [a, -12.0]];
            let mut seen = Understood::default();
            let found = unwrap(&[shell.clone(), hole], &mut seen).unwrap().unwrap();
            let (west, east) = span(&found[1], 0);
            assert!(west >= 170.0 && east <= 190.0 && east - west == 4.0, "{west} {east}");
        }
    }

    #[test]
    fn a_fine_ring_round_the_south_pole_holds_it() {
        // the parallel of 80 S, its corners between -175 and 175, then back
        let ring: Ring = (0..36).map(|k| [-175.0 + 10.0 * f64::from(k), -80.0]).collect();
        let pole = Understood { pole: true, ..Default::default() };
        for ring in [ring.clone(), ring.iter().rev().copied().collect()] {
            assert_eq!(area(&[ring]), (3600.0, pole));
        }
        let north: Ring = ring.iter().map(|p| [p[0] + 180.0, -p[1]]).collect();
        assert_eq!(area(&[north]), (3600.0, pole));
        let tilted: Ring = ring.iter().map(|p| [p[0], p[0] / 9.0]).collect();
        assert_eq!(doubt(&tilted).why.name, WHICH_POLE.name);
    }

    #[test]
    fn a_corner_at_the_pole_is_the_end_of_both_meridians() {
        // a sector between 10 and 50 E as a reprojection gives it, the same over the date line below
        let sector = vec![[0.0, -90.0], [10.0, -70.0], [50.0, -70.0]];
        assert_eq!(area(&[sector]).0, 800.0);
        let triangle = vec![[30.0, -90.0], [50.0, -70.0], [10.0, -70.0]];
        assert_eq!(area(&[triangle]).0, 400.0);
        let over = vec![[0.0, -90.0], [-170.0, -70.0], [170.0, -70.0]];
        let over = area(&[over]).0;
        assert!((over - 400.0).abs() < 1e-9, "{over}");
    }
}
