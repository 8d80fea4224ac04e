//! Rings in a projected system -> longitude and latitude.

use crate::crs::Projection;
use crate::project::close_round_a_pole;
use crate::repair::{Point, signed_area};

/// How far, in degrees, a piece of an edge may lie from where it should: about 10 cm.
const TOLERANCE: f64 = 1e-6;
/// No piece of an edge spans more degrees.
const LONGEST: f64 = 0.5;

/// Edges are straight in the projected system; they are cut finely enough. Nothing where a corner has no place on Earth.
pub fn to_degrees(ring: &[Point], projection: &Projection) -> Option<Vec<Point>> {
    let Some(first) = ring.first() else { return Some(Vec::new()) };
    let start = projection.inverse(first[0], first[1])?;
    let mut out = vec![start];
    let mut from = *first;
    for to in ring[1..].iter().chain([first]) {
        let a = *out.last()?;
        edge(projection, (from, a), *to, 0, &mut out)?;
        from = *to;
    }
    let left = ring.len() > 2 && signed_area(ring) > 0.0;
    close_round_a_pole(&mut out, start, 360.0, left);
    out.pop();
    Some(out)
}

fn edge(
    p: &Projection,
    (a, ga): (Point, Point),
    b: Point,
    depth: u32,
    out: &mut Vec<Point>,
) -> Option<()> {
    let at = |q: Point| {
        let g = p.inverse(q[0], q[1])?;
        Some([g[0] - ((g[0] - ga[0]) / 360.0).round() * 360.0, g[1]])
    };
    let m = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let (gm, gb) = (at(m)?, at(b)?);
    let span = (gb[0] - ga[0]).abs().max((gb[1] - ga[1]).abs());
    let far = (gm[0] - (ga[0] + gb[0]) / 2.0).abs().max((gm[1] - (ga[1] + gb[1]) / 2.0).abs());
    if (span <= LONGEST && far <= TOLERANCE) || depth > 14 {
        out.push(gb);
        return Some(());
    }
    edge(p, (a, ga), m, depth + 1, out)?;
    let gm = *out.last()?;
    edge(p, (m, gm), b, depth + 1, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_of_mercator_is_a_box_of_degrees() {
        let p = Projection::parse("+proj=merc +R=57.29577951308232").unwrap();
        let y = 30f64.to_radians().sin().atanh().to_degrees();
        let ring =
            to_degrees(&[[-5.0, 0.0], [5.0, 0.0], [5.0, y], [-5.0, y], [-5.0, 0.0]], &p).unwrap();
        assert!((signed_area(&ring) - 300.0).abs() < 1e-9, "{ring:?}");
    }

    #[test]
    fn a_ring_round_the_pole_reaches_it() {
        let p = Projection::parse("+proj=stere +lat_0=90 +lat_ts=90 +R=1").unwrap();
        // the circle at 60 N as a polygon of 360 corners, and its mirror image, which turns the other way
        let r = 2.0 * (15f64.to_radians()).tan();
        let circle: Vec<Point> = (0..360)
            .map(|k| f64::from(k).to_radians())
            .map(|a| [r * a.cos(), r * a.sin()])
            .collect();
        let back: Vec<Point> = circle.iter().rev().copied().collect();
        for ring in [circle, back] {
            let area = signed_area(&to_degrees(&ring, &p).unwrap()).abs();
            assert!((area / 10800.0 - 1.0).abs() < 1e-4, "{area}");
        }
    }
}
