//! Rings in the regions' own system -> longitude and latitude on the grid's datum.

use super::{Crs, Features};
use crate::crs::{System, Transfer};
use crate::error::{Error, Result, thousands};
use crate::features::{Feature, Refusal};
use crate::project::close_round_a_pole;
use crate::repair::{Point, Shape, signed_area};

/// How far, in degrees, a piece of an edge may lie from where it should: about 1 mm.
const TOLERANCE: f64 = 1e-8;
/// No piece of a projected edge spans more degrees.
const LONGEST: f64 = 0.5;

const OF: &str = "systems of regions";

pub const FEATURES: &[Feature] = &[
    Feature::converted(
        OF,
        "geographic systems of any datum, meridian and angular unit",
        "to degrees from Greenwich on the grid's datum, as PROJ does it without grids of shifts",
    ),
    Feature::converted(
        OF,
        "projected systems",
        "to longitude and latitude, their edges straight in their own plane and cut finely",
    ),
    Feature::honoured(
        OF,
        "well-known text (1 and 2, of ESRI and GDAL), PROJJSON, `EPSG:n`, URNs and addresses of OGC, PROJ's words",
        "longitude (easting) comes first, as in files",
    ),
    Feature::converted(
        OF,
        "compound systems and heights",
        "their part in the plane is used, heights are left aside",
    ),
    Feature::converted(
        OF,
        "a datum that PROJ cannot change exactly",
        "taken as the grid's own, with a warning that names both",
    ),
];

static NOT_USED: Refusal = Refusal {
    of: OF,
    name: "local, geocentric, vertical and unreadable systems",
    message: "the regions are in the system `{}`, which cannot be used: {}",
    hint: "give the file the system that it is in, or reproject it first: `ogr2ogr -t_srs EPSG:4326 out.shp in.shp`",
};
static NO_PLACE: Refusal = Refusal {
    of: OF,
    name: "a corner that is not on the system's map",
    message: "region {} has the corner ({}, {}), which is no place in the system `{}`",
    hint: "check that the file says the right coordinate system, and that the region lies on its map",
};

pub const REFUSALS: &[&Refusal] = &[&NOT_USED, &NO_PLACE];

/// Brings the regions to longitude and latitude on `datum` (WGS 84 where there is none).
pub(super) fn bring(
    found: &mut Features,
    file: &str,
    datum: Option<&System>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let failed = |name: &str, why: &str| NOT_USED.error(&[name, why]).at(file);
    let from = match &found.crs {
        Crs::Unknown => {
            warnings.push(format!(
                "`{file}` does not say its coordinate system; taken as longitude and latitude"
            ));
            return Ok(());
        }
        Crs::Refused(name, why) => return Err(failed(name, why)),
        Crs::Geographic if datum.is_none() => return Ok(()),
        Crs::Geographic => System::read("EPSG:4326").map_err(|e| failed("WGS 84", &e))?,
        Crs::Known(system) => system.clone(),
    };
    let to = match datum {
        Some(d) => d.clone(),
        None => System::read("EPSG:4326").map_err(|e| failed("WGS 84", &e))?,
    };
    let way = Transfer::new(&from, &to).map_err(|e| failed(&from.name, &e))?;
    let mut ballpark = false;
    for (row, shape) in found.shapes.iter_mut().enumerate() {
        if way.is_geographic() && bounds(shape).is_none_or(|b| way.is_null_within(b)) {
            let first = shape.iter().flatten().flatten().next();
            ballpark |= first.is_some_and(|p| way.is_ballpark_at(*p));
            continue;
        }
        for ring in shape.iter_mut().flatten() {
            let moved = match way.is_geographic() {
                true => shift(ring, &way),
                false => to_degrees(ring, &|p| way.point(p[0], p[1])),
            };
            *ring = moved.map_err(|p| no_place(row, p, &from.name).at(file))?;
            ballpark |= ring.first().is_some_and(|p| way.is_ballpark_at(*p));
        }
    }
    if ballpark {
        warnings.push(format!(
            "`{file}` is on the datum of `{}`, which PROJ cannot change exactly to that of `{}`; taken as the same",
            from.name, to.name
        ));
    }
    Ok(())
}

fn no_place(row: usize, p: Point, name: &str) -> Error {
    let row = thousands(row as u64 + 1);
    NO_PLACE.error(&[&row, &p[0].to_string(), &p[1].to_string(), name])
}

/// West, south, east and north of all corners.
fn bounds(shape: &Shape) -> Option<[f64; 4]> {
    let mut b = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for p in shape.iter().flatten().flatten() {
        b = [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])];
    }
    (b[0] <= b[2]).then_some(b)
}

/// Longitudes and latitudes on another datum. Edges are straight in their own system; what bends is cut.
fn shift(ring: &[Point], way: &Transfer) -> std::result::Result<Vec<Point>, Point> {
    let at = |p: Point| way.point(p[0], p[1]).ok_or(p);
    let mut out = Vec::with_capacity(ring.len());
    let Some(last) = ring.last() else { return Ok(out) };
    let closed = ring.first() == Some(last);
    let mut before: Option<(Point, Point)> = match closed {
        true => None,
        false => Some((*last, at(*last)?)),
    };
    for p in ring {
        let here = (*p, at(*p)?);
        if let Some(b) = before {
            bend(&at, b, here, 0, &mut out)?;
        }
        out.push(here.1);
        before = Some(here);
    }
    Ok(out)
}

/// Adds what it takes between two corners.
fn bend(
    at: &dyn Fn(Point) -> std::result::Result<Point, Point>,
    (a, ga): (Point, Point),
    (b, gb): (Point, Point),
    depth: u32,
    out: &mut Vec<Point>,
) -> std::result::Result<(), Point> {
    let m = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let gm = at(m)?;
    let far = (gm[0] - (ga[0] + gb[0]) / 2.0).abs().max((gm[1] - (ga[1] + gb[1]) / 2.0).abs());
    if far <= TOLERANCE || depth > 10 {
        return Ok(());
    }
    bend(at, (a, ga), (m, gm), depth + 1, out)?;
    out.push(gm);
    bend(at, (m, gm), (b, gb), depth + 1, out)
}

type Way<'a> = &'a dyn Fn(Point) -> Option<Point>;

/// Edges are straight in the projected system; they are cut finely enough. The corner that has no place on Earth, where
/// there is one.
pub fn to_degrees(ring: &[Point], way: Way) -> std::result::Result<Vec<Point>, Point> {
    let Some(first) = ring.first() else { return Ok(Vec::new()) };
    let start = way(*first).ok_or(*first)?;
    let mut out = vec![start];
    let mut from = *first;
    for to in ring[1..].iter().chain([first]) {
        let a = *out.last().unwrap_or(&start);
        edge(way, (from, a), *to, 0, &mut out)?;
        from = *to;
    }
    let left = ring.len() > 2 && signed_area(ring) > 0.0;
    close_round_a_pole(&mut out, start, 360.0, left);
    out.pop();
    Ok(out)
}

fn edge(
    way: Way,
    (a, ga): (Point, Point),
    b: Point,
    depth: u32,
    out: &mut Vec<Point>,
) -> std::result::Result<(), Point> {
    let at = |q: Point| -> std::result::Result<Point, Point> {
        let g = way(q).ok_or(q)?;
        Ok([g[0] - ((g[0] - ga[0]) / 360.0).round() * 360.0, g[1]])
    };
    let m = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let (gm, gb) = (at(m)?, at(b)?);
    let span = (gb[0] - ga[0]).abs().max((gb[1] - ga[1]).abs());
    let far = (gm[0] - (ga[0] + gb[0]) / 2.0).abs().max((gm[1] - (ga[1] + gb[1]) / 2.0).abs());
    if (span <= LONGEST && far <= TOLERANCE) || depth > 14 {
        out.push(gb);
        return Ok(());
    }
    edge(way, (a, ga), m, depth + 1, out)?;
    let gm = *out.last().unwrap_or(&gm);
    edge(way, (m, gm), b, depth + 1, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crs::Projection;

    #[test]
    fn a_box_of_mercator_is_a_box_of_degrees() {
        let p = Projection::parse("+proj=merc +R=57.29577951308232").unwrap();
        let y = 30f64.to_radians().sin().atanh().to_degrees();
        let ring = to_degrees(&[[-5.0, 0.0], [5.0, 0.0], [5.0, y], [-5.0, y], [-5.0, 0.0]], &|q| {
            p.inverse(q[0], q[1])
        })
        .unwrap();
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
            let area = signed_area(&to_degrees(&ring, &|q| p.inverse(q[0], q[1])).unwrap()).abs();
            assert!((area / 10800.0 - 1.0).abs() < 1e-4, "{area}");
        }
    }
}
