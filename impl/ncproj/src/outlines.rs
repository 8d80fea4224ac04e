//! The rings of a shapefile's record -> polygons: outlines turn clockwise, holes the other way.
//!
//! A record does not say which hole belongs to which outline: it is the smallest that contains it. As GDAL reads them, a
//! hole that lies in no outline is one itself, and rings that all turn the same way are all outlines. Where every ring
//! turns the wrong way, the largest one counter-clockwise round the others, rings are told apart by what contains what.

use crate::meridian::{Understood, unwrap};
use crate::repair::{Point, Polygon, Ring, Shape, bounds, contains, signed_area};

/// A ring with what is needed to find what lies within it.
struct Sized {
    ring: Ring,
    /// The ring put together where it crosses the date line.
    joined: Option<Ring>,
    bounds: [f64; 4],
    area: f64,
}

impl Sized {
    fn new(ring: Ring) -> Sized {
        let jumps = ring.windows(2).any(|w| (w[1][0] - w[0][0]).abs() > 180.0);
        let read = |r: &Ring| unwrap(std::slice::from_ref(r), &mut Understood::default());
        let joined = match jumps {
            true => read(&ring).ok().flatten().and_then(|p| p.into_iter().next()),
            false => None,
        };
        let area = if ring.len() > 2 { signed_area(&ring) } else { 0.0 };
        Sized { bounds: bounds(joined.as_ref().unwrap_or(&ring)), joined, area, ring }
    }

    fn points(&self) -> &Ring {
        self.joined.as_ref().unwrap_or(&self.ring)
    }

    fn size(&self) -> f64 {
        (self.bounds[2] - self.bounds[0]) * (self.bounds[3] - self.bounds[1])
    }

    /// How far east to shift a ring so that its box lies within this one's.
    fn shift(&self, inner: &Sized) -> Option<f64> {
        let (a, b) = (&self.bounds, &inner.bounds);
        if b[1] < a[1] || b[3] > a[3] {
            return None;
        }
        [0.0, 360.0, -360.0].into_iter().find(|s| b[0] + s >= a[0] && b[2] + s <= a[2])
    }

    fn holds(&self, inner: &Sized) -> bool {
        let Some(shift) = self.shift(inner) else { return false };
        let mine = self.points();
        let turned = |p: &Point| [p[0] + shift, p[1]];
        // A corner on the outline says nothing: the next one does.
        match inner.points().iter().map(turned).find(|p| !mine.contains(p)) {
            Some(p) => contains(mine, p),
            None => true,
        }
    }
}

/// Polygons made of rings as a shapefile has them.
pub fn polygons_of(rings: Vec<Ring>) -> Shape {
    if rings.len() < 2 {
        return rings.into_iter().map(|r| vec![planar(r)]).collect();
    }
    let all: Vec<Sized> = rings.into_iter().filter(|r| !r.is_empty()).map(Sized::new).collect();
    let largest = all.iter().max_by(|a, b| a.area.abs().total_cmp(&b.area.abs()));
    let inside_out = largest.is_some_and(|l| {
        l.area > 0.0 && all.iter().any(|r| r.area < 0.0 && -r.area < l.area && l.shift(r).is_some())
    });
    let outline: Vec<bool> = match inside_out {
        true => all
            .iter()
            .enumerate()
            .map(|(i, r)| {
                let round = |(j, o): &(usize, &Sized)| *j != i && o.holds(r);
                all.iter().enumerate().filter(round).count() % 2 == 0
            })
            .collect(),
        false => all.iter().map(|r| r.area <= 0.0).collect(),
    };
    let outlines: Vec<usize> = (0..all.len()).filter(|k| outline[*k]).collect();
    let meets = |a: &[f64; 4], b: &[f64; 4]| {
        a[1] <= b[3]
            && b[1] <= a[3]
            && [0.0, 360.0, -360.0].iter().any(|s| a[0] <= b[2] + s && b[0] + s <= a[2])
    };
    let home = |k: usize| -> Option<usize> {
        match outlines[..] {
            [one] => meets(&all[one].bounds, &all[k].bounds).then_some(one),
            _ => outlines
                .iter()
                .copied()
                .filter(|o| all[*o].holds(&all[k]))
                .min_by(|a, b| all[*a].size().total_cmp(&all[*b].size())),
        }
    };
    let homes: Vec<Option<usize>> =
        (0..all.len()).map(|k| if outline[k] { None } else { home(k) }).collect();
    let mut place = vec![usize::MAX; all.len()];
    let mut out: Vec<Polygon> = Vec::new();
    let mut holes: Vec<(usize, Ring)> = Vec::new();
    for (k, r) in all.into_iter().enumerate() {
        match homes[k] {
            Some(home) => holes.push((home, r.ring)),
            None => {
                place[k] = out.len();
                out.push(vec![planar(r.ring)]);
            }
        }
    }
    for (home, ring) in holes {
        out[place[home]].push(ring);
    }
    out
}

/// In a shapefile every outline turns clockwise: the direction does not say that an edge of up to 270 degrees was meant to
/// go over the date line, as it does elsewhere.
fn planar(mut ring: Ring) -> Ring {
    let wide = |w: &[Point]| (180.0..=270.0).contains(&(w[1][0] - w[0][0]).abs());
    if ring.windows(2).any(wide) && signed_area(&ring) < 0.0 {
        ring.reverse();
    }
    ring
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cw(w: f64, s: f64, e: f64, n: f64) -> Ring {
        vec![[w, s], [w, n], [e, n], [e, s], [w, s]]
    }

    fn ccw(w: f64, s: f64, e: f64, n: f64) -> Ring {
        cw(w, s, e, n).into_iter().rev().collect()
    }

    fn counts(rings: &[Ring]) -> Vec<usize> {
        polygons_of(rings.to_vec()).iter().map(Vec::len).collect()
    }

    #[test]
    fn holes_go_to_the_smallest_outline_round_them() {
        let (lake, island) = (ccw(1.0, 1.0, 6.0, 6.0), cw(2.0, 2.0, 3.0, 3.0));
        let land = cw(0.0, 0.0, 9.0, 9.0);
        let pond = ccw(2.25, 2.25, 2.5, 2.5);
        assert_eq!(counts(&[land.clone(), lake.clone(), island.clone(), pond.clone()]), [2, 2]);
        assert_eq!(counts(&[pond, island, lake, land]), [2, 2]);
    }

    #[test]
    fn rings_that_turn_the_wrong_way() {
        let (a, b) = ([0.0, 0.0, 9.0, 9.0], [1.0, 1.0, 6.0, 6.0]);
        let one = |r: [f64; 4]| cw(r[0], r[1], r[2], r[3]);
        let other = |r: [f64; 4]| ccw(r[0], r[1], r[2], r[3]);
        assert_eq!(counts(&[one(a), one(b)]), [1, 1]);
        assert_eq!(counts(&[other(a), other(b)]), [1, 1]);
        assert_eq!(counts(&[other(a), one(b)]), [2]);
        assert_eq!(counts(&[one(a), ccw(20.0, 1.0, 22.0, 3.0)]), [1, 1]);
        assert_eq!(counts(&[other(a)]), [1]);
    }

    #[test]
    fn a_hole_beyond_the_date_line_stays_with_its_outline() {
        let shell = vec![[170.0, -20.0], [-170.0, -20.0], [-170.0, -10.0], [170.0, -10.0]];
        let rings = [shell, ccw(-178.0, -18.0, -174.0, -12.0), cw(0.0, 0.0, 1.0, 1.0)];
        assert_eq!(counts(&rings), [2, 1]);
    }
}
