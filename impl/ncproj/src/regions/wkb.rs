//! Well-known binary -> polygons. Z and M values are skipped.

use super::{NOT_STRAIGHT, not_polygons};
use crate::error::{Error, thousands};
use crate::repair::Shape;

/// What stands where a polygon should, or nothing when the bytes are damaged.
pub enum Problem {
    NotPolygon(&'static str),
    /// A surface whose edges are arcs.
    Curve(&'static str),
    Damaged,
}

impl Problem {
    /// The error of the row counted from 0.
    pub fn error(&self, row: usize, file: &str) -> Error {
        let number = thousands(row as u64 + 1);
        match self {
            Problem::NotPolygon(what) => not_polygons(what, row, file),
            Problem::Curve(what) => NOT_STRAIGHT.error(&[&number, what]).at(file.to_string()),
            Problem::Damaged => Error::data(format!("the geometry of row {number} is damaged"))
                .at(file.to_string())
                .hint("fetch the file again"),
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Cursor<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let b = self.bytes.get(self.at..self.at + N).ok_or(Problem::Damaged)?;
        self.at += N;
        b.try_into().map_err(|_| Problem::Damaged)
    }

    fn count(&mut self, each: usize) -> Result<usize, Problem> {
        let b = self.bytes::<4>()?;
        let n = if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) } as usize;
        if n.saturating_mul(each) > self.bytes.len() - self.at {
            Err(Problem::Damaged)
        } else {
            Ok(n)
        }
    }

    fn float(&mut self) -> Result<f64, Problem> {
        let b = self.bytes::<8>()?;
        Ok(if self.big { f64::from_be_bytes(b) } else { f64::from_le_bytes(b) })
    }
}

pub fn shape(bytes: &[u8]) -> Result<Shape, Problem> {
    let mut out = Vec::new();
    geometry(&mut Cursor { bytes, at: 0, big: false }, &mut out, 0)?;
    Ok(out)
}

fn geometry(c: &mut Cursor, out: &mut Shape, depth: u32) -> Result<(), Problem> {
    if depth > 64 {
        return Err(Problem::Damaged);
    }
    c.big = match c.bytes::<1>()? {
        [0] => true,
        [1] => false,
        _ => return Err(Problem::Damaged),
    };
    let b = c.bytes::<4>()?;
    let code = if c.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) };
    if code & 0x2000_0000 != 0 {
        c.bytes::<4>()?; // EWKB's own number of the coordinate system
    }
    let plain = code & 0x0fff_ffff;
    let flags = u32::from(code & 0x8000_0000 != 0) + u32::from(code & 0x4000_0000 != 0);
    let more = flags
        + match plain / 1000 {
            0 => 0,
            1 | 2 => 1,
            3 => 2,
            _ => return Err(Problem::Damaged),
        };
    let corners = |c: &mut Cursor| -> Result<_, Problem> {
        let n = c.count(8 * (2 + more as usize))?;
        let mut ring = Vec::with_capacity(n);
        for _ in 0..n {
            ring.push([c.float()?, c.float()?]);
            for _ in 0..more {
                c.float()?;
            }
        }
        Ok(ring)
    };
    match plain % 1000 {
        3 => {
            let mut rings = Vec::new();
            for _ in 0..c.count(4)? {
                rings.push(corners(c)?);
            }
            if !rings.is_empty() {
                out.push(rings);
            }
            Ok(())
        }
        6 => {
            for _ in 0..c.count(5)? {
                geometry(c, out, depth + 1)?;
            }
            Ok(())
        }
        // Of a collection only the polygons count (`make_valid` leaves lines and points beside them).
        7 | 12 => {
            let mut other = None;
            let before = out.len();
            for _ in 0..c.count(5)? {
                match geometry(c, out, depth + 1) {
                    Err(Problem::NotPolygon(name)) => other = Some(name),
                    r => r?,
                }
            }
            match other {
                Some(name) if out.len() == before => Err(Problem::NotPolygon(name)),
                _ => Ok(()),
            }
        }
        // With straight rings alone it is a polygon.
        10 => {
            let mut rings = Vec::new();
            for _ in 0..c.count(5)? {
                let order = c.bytes::<1>()?;
                c.big = order == [0];
                let b = c.bytes::<4>()?;
                let code = if c.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) };
                if (code & 0x0fff_ffff) % 1000 != 2 {
                    return Err(Problem::Curve("CurvePolygon"));
                }
                rings.push(corners(c)?);
            }
            if !rings.is_empty() {
                out.push(rings);
            }
            Ok(())
        }
        1 => {
            for _ in 0..2 + more {
                c.float()?;
            }
            Err(Problem::NotPolygon("point"))
        }
        2 => {
            corners(c)?;
            Err(Problem::NotPolygon("line"))
        }
        4 | 5 => {
            for _ in 0..c.count(5)? {
                if let Err(Problem::Damaged) = geometry(c, out, depth + 1) {
                    return Err(Problem::Damaged);
                }
            }
            Err(Problem::NotPolygon("set of points or lines"))
        }
        8 | 9 | 11 | 13 => Err(Problem::Curve("curve")),
        15 => Err(Problem::NotPolygon("polyhedral surface")),
        16 | 17 => Err(Problem::NotPolygon("triangulated surface")),
        _ => Err(Problem::NotPolygon("geometry of an unknown type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_in_either_byte_order() {
        let points = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let mut little = vec![1u8, 3, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0];
        little.extend(points.iter().flat_map(|v: &f64| v.to_le_bytes()));
        let mut big = vec![0u8, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 4];
        big.extend(points.iter().flat_map(|v: &f64| v.to_be_bytes()));
        for bytes in [&little, &big] {
            let got = shape(bytes).unwrap_or_default();
            assert_eq!(got, [[vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]]);
        }
        assert!(matches!(shape(&little[..40]), Err(Problem::Damaged)));
    }
}
