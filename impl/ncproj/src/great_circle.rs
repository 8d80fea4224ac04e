//! Edges along great circles -> edges straight in longitude and latitude, cut finely.
//!
//! GeoParquet's `edges: spherical`: the way from corner to corner is the shortest on the sphere. Longitudes then count on
//! from corner to corner, so that nothing jumps.

use crate::error::Error;
use crate::features::{Feature, Refusal};
use crate::repair::{Point, Polygon, Ring};

/// How far, in degrees on the ground, a piece of an edge may lie from the great circle.
const TOLERANCE: f64 = 1e-7;
const DEEPEST: u32 = 24;

pub const FEATURES: &[Feature] = &[Feature::converted(
    "polygons",
    "`edges: spherical`",
    "cut along great circles, to 1e-7 degrees, before anything else",
)];

pub static OPPOSITE: Refusal = Refusal {
    of: "polygons",
    name: "an edge between opposite points with `edges: spherical`",
    message: "region `{}` has a spherical edge from ({}) to ({}), opposite points of the globe, and any great circle joins them",
    hint: "put a corner between the two",
};

pub const REFUSALS: &[&Refusal] = &[&OPPOSITE];

/// An edge that any great circle may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Opposite(Point, Point);

impl Opposite {
    pub fn error(&self, region: &str) -> Error {
        let text = |p: Point| format!("{}, {}", p[0], p[1]);
        OPPOSITE.error(&[region, &text(self.0), &text(self.1)])
    }
}

type Vector = [f64; 3];

fn vector(p: Point) -> Vector {
    // Exact at the poles and on the four main meridians, where the cosine of 90 degrees is not.
    let circle = |deg: f64| match deg.rem_euclid(360.0) {
        0.0 => (0.0, 1.0),
        90.0 => (1.0, 0.0),
        180.0 => (0.0, -1.0),
        270.0 => (-1.0, 0.0),
        d => d.to_radians().sin_cos(),
    };
    let ((sl, cl), (sp, cp)) = (circle(p[0]), circle(p[1]));
    [cp * cl, cp * sl, sp]
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn middle(a: Vector, b: Vector) -> Vector {
    let m = [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
    let length = dot(m, m).sqrt();
    m.map(|v| v / length)
}

/// Longitude near another, and latitude.
fn place(v: Vector, near: f64) -> Point {
    let lon = v[1].atan2(v[0]).to_degrees();
    [lon + ((near - lon) / 360.0).round() * 360.0, v[2].atan2(v[0].hypot(v[1])).to_degrees()]
}

/// Adds the pieces of an edge up to its end, which is left out.
fn edge((a, va): (Point, Vector), (b, vb): (Point, Vector), depth: u32, out: &mut Ring) {
    let vm = middle(va, vb);
    let between = |part: f64| [a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part];
    let far = |v: Vector, part: f64| {
        let q = between(part);
        let p = place(v, q[0]);
        let wide = p[1].to_radians().cos();
        ((p[0] - q[0]) * wide).abs().max((p[1] - q[1]).abs())
    };
    // How fast the way is gone does not matter, but pieces this fine are gone evenly.
    let near = far(vm, 0.5) <= TOLERANCE
        && far(middle(va, vm), 0.25) <= TOLERANCE
        && far(middle(vm, vb), 0.75) <= TOLERANCE;
    if near || depth >= DEEPEST {
        return;
    }
    let m = place(vm, between(0.5)[0]);
    edge((a, va), (m, vm), depth + 1, out);
    out.push(m);
    edge((m, vm), (b, vb), depth + 1, out);
}

fn ring(points: &[Point]) -> Result<Ring, Opposite> {
    let polar = |p: Point| p[1].abs() >= 90.0;
    let mut points: Ring = points.to_vec();
    points.dedup();
    while points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    let mut out: Ring = Vec::with_capacity(points.len());
    let Some(first) = points.first() else { return Ok(out) };
    // The longitude that the line has come to; a pole has none.
    let mut lon = points.iter().find(|p| !polar(**p)).unwrap_or(first)[0];
    for k in 0..points.len() {
        let (p, q) = (points[k], points[(k + 1) % points.len()]);
        let (vp, vq) = (vector(p), vector(q));
        let away = [vp[0] + vq[0], vp[1] + vq[1], vp[2] + vq[2]];
        if dot(away, away).sqrt() < 1e-9 {
            return Err(Opposite(p, q));
        }
        let turned = |x: f64| x + ((lon - x) / 360.0).round() * 360.0;
        if polar(p) {
            // Along the pole to the meridian on which the line goes on.
            out.push([lon, p[1]]);
            if !polar(q) {
                lon = turned(q[0]);
                out.push([lon, p[1]]);
            }
            continue;
        }
        let a = [lon, p[1]];
        out.push(a);
        if polar(q) {
            out.push([lon, q[1]]);
            continue;
        }
        let b = [turned(q[0]), q[1]];
        let d = (b[0] - a[0]).abs();
        if d <= 1e-12 {
            // a meridian
        } else if (d - 180.0).abs() <= 1e-12 {
            let pole = if a[1] + b[1] > 0.0 { 90.0 } else { -90.0 };
            out.extend([[a[0], pole], [b[0], pole]]);
        } else if a[1] != 0.0 || b[1] != 0.0 {
            edge((a, vp), (b, vq), 0, &mut out);
        }
        lon = b[0];
    }
    out.dedup();
    Ok(out)
}

/// The rings of a region with their edges along great circles.
pub fn along_great_circles(shape: &[Polygon]) -> Result<Vec<Polygon>, Opposite> {
    shape.iter().map(|polygon| polygon.iter().map(|r| ring(r)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repair::prepare;

    /// The area on the unit sphere: the integral of the sine of latitude along the loops.
    fn true_area(rings: &[Ring]) -> f64 {
        let shape = along_great_circles(&[rings.to_vec()]).unwrap();
        let mut sum = 0.0;
        for l in prepare(&shape).unwrap().loops {
            let mut own = 0.0;
            let n = l.points.len();
            for k in 0..n {
                let (a, b) = (l.points[k], l.points[(k + 1) % n]);
                let s = |t: f64| (a[1] + (b[1] - a[1]) * t).to_radians().sin();
                own -= (b[0] - a[0]).to_radians() * (s(0.0) + 4.0 * s(0.5) + s(1.0)) / 6.0;
            }
            sum += l.sign * own.abs();
        }
        sum
    }

    fn triangle(a: Point, b: Point, c: Point) -> f64 {
        crate::crs::triangle(vector(a), vector(b), vector(c)).abs()
    }

    #[test]
    fn triangles_have_the_area_of_the_sphere() {
        for [a, b, c] in [
            [[0.0, 10.0], [80.0, 20.0], [30.0, 70.0]],
            [[170.0, -10.0], [-150.0, -20.0], [-170.0, 40.0]],
            [[-170.0, 40.0], [170.0, -10.0], [-150.0, -20.0]],
            [[0.0, 0.0], [90.0, 0.0], [0.0, 90.0]],
            [[5.0, -90.0], [0.0, 0.0], [90.0, 0.0]],
            // round the North Pole, and with an edge through it
            [[0.0, 60.0], [120.0, 70.0], [-120.0, 50.0]],
            [[0.0, 60.0], [180.0, 70.0], [-100.0, 50.0]],
            [[20.0, -60.0], [-160.0, -70.0], [100.0, -50.0]],
        ] {
            let got = true_area(&[vec![a, b, c, a]]);
            let wanted = triangle(a, b, c);
            assert!((got / wanted - 1.0).abs() < 1e-7, "{a:?} {b:?} {c:?}: {got} {wanted}");
        }
    }

    #[test]
    fn a_hole_keeps_its_great_circles_too() {
        let shell = vec![[150.0, 10.0], [-150.0, 10.0], [-150.0, 60.0], [150.0, 60.0]];
        let hole = vec![[-175.0, 30.0], [-160.0, 30.0], [-170.0, 40.0]];
        let got = true_area(&[shell.clone(), hole.clone()]);
        let wanted = triangle(shell[0], shell[1], shell[2])
            + triangle(shell[0], shell[2], shell[3])
            - triangle(hole[0], hole[1], hole[2]);
        assert!((got / wanted - 1.0).abs() < 1e-7, "{got} {wanted}");
    }

    #[test]
    fn opposite_points_have_no_edge() {
        let ring = vec![[10.0, 20.0], [-170.0, -20.0], [60.0, 80.0]];
        assert!(along_great_circles(&[vec![ring]]).is_err());
    }
}
