//! Bytes -> numbers: byte order, shuffle, missing values, packing.

use super::blocks::{Raw, unshuffle};
use super::packing::Rules;
use super::{Kind, Var};
use crate::error::{Error, Result};

/// Decoded values, missing ones as NaN. float32 stays float32, so that min and max are the file's own values.
pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// A part of a block: `len` values from `first` on, and of these only the runs (counted from `first`) that are needed.
pub struct Part<'a> {
    pub first: usize,
    pub len: usize,
    pub runs: &'a [(u32, u32)],
}

/// What to do with the stored numbers of one variable.
#[derive(Clone)]
pub struct Decoder {
    kind: Kind,
    big_endian: bool,
    /// These stored values mean missing.
    missing: Vec<f64>,
    /// Stored values outside are missing.
    valid: (f64, f64),
    /// Both of integers of 64 bits, in their order.
    whole: (Vec<i64>, (i64, i64)),
    /// value = stored * scale + offset
    packing: Option<(f64, f64)>,
    /// Never written chunks hold this.
    fill: Option<f64>,
    /// Another unit: factor and summand for the unpacked value.
    convert: Option<(f64, f64)>,
    range: Option<String>,
    /// What the attributes say that a reader should know.
    pub warnings: Vec<String>,
}

/// Integers of 64 bits, signed or not, as signed ones in the same order.
fn in_order(value: i128, kind: Kind) -> i64 {
    let value = if kind == Kind::U8 { value + i128::from(i64::MIN) } else { value };
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl Decoder {
    pub fn new(var: &Var) -> Result<Decoder> {
        let rules = Rules::of(var)?;
        let kind = rules.kind;
        let key = |v: i128| in_order(v, kind);
        let mut decoder = Decoder {
            kind,
            big_endian: var.big_endian,
            missing: rules.missing,
            valid: rules.valid,
            whole: (
                rules.whole_missing.iter().map(|v| key(*v)).collect(),
                (key(rules.whole_valid.0), key(rules.whole_valid.1)),
            ),
            packing: rules.packing,
            fill: None,
            convert: None,
            range: rules.range,
            warnings: rules.warnings,
        };
        let mut one = Values::F64(Vec::new());
        let bytes = var.fill.clone().unwrap_or_else(|| vec![0; kind.size()]);
        decoder.decode(&Raw { bytes: &bytes, shuffled: false }, None, true, &mut one)?;
        if let Values::F64(v) = one {
            decoder.fill = v.first().copied().filter(|v| !v.is_nan());
        }
        Ok(decoder)
    }

    /// Never written chunks are all missing.
    pub fn unwritten_is_missing(&self) -> bool {
        self.fill.is_none()
    }

    /// The range outside of which values are missing, in words.
    pub fn range(&self) -> Option<&str> {
        self.range.as_deref()
    }

    /// The same, whatever range is given.
    pub fn without_range(&self) -> Decoder {
        let valid = (f64::NEG_INFINITY, f64::INFINITY);
        let whole = (self.whole.0.clone(), (i64::MIN, i64::MAX));
        Decoder { valid, whole, range: None, ..self.clone() }
    }

    /// The values are float32 as they are stored.
    pub fn is_f32(&self) -> bool {
        self.kind == Kind::F4 && self.packing.is_none() && self.convert.is_none()
    }

    /// Brings all values to another unit.
    pub fn convert(&mut self, (scale, offset): (f64, f64)) {
        self.convert = Some((scale, offset)).filter(|c| *c != (1.0, 0.0));
    }

    /// Decodes `raw`, or a part of it, into `out`. `wide` asks for float64 whatever is stored.
    pub fn decode(
        &self,
        raw: &Raw,
        part: Option<Part>,
        wide: bool,
        out: &mut Values,
    ) -> Result<()> {
        let size = self.kind.size();
        let count = raw.bytes.len() / size.max(1);
        let whole = [(0u32, count as u32)];
        let Part { first, len, runs } = part.unwrap_or(Part { first: 0, len: count, runs: &whole });
        let fits = |(_, b): &(u32, u32)| first + *b as usize <= count && *b as usize <= len;
        if !runs.iter().all(fits) {
            return Err(Error::data("a chunk is damaged: it is shorter than its shape says"));
        }
        if self.is_f32() && !wide {
            if !matches!(out, Values::F32(_)) {
                *out = Values::F32(Vec::new());
            }
            let Values::F32(out) = out else { return Ok(()) };
            out.resize(len, f32::NAN);
            let fill = |k: usize| self.missing.get(k).map_or(f32::NAN, |v| *v as f32);
            let (f0, f1) = (fill(0), fill(1));
            let (lo, hi) = (self.valid.0 as f32, self.valid.1 as f32);
            let keep = |v: f32| if v >= lo && v <= hi && v != f0 && v != f1 { v } else { f32::NAN };
            for (a, b) in runs {
                let (a, b) = (*a as usize, *b as usize);
                let to = &mut out[a..b];
                floats(raw, first + a, self.big_endian, to, keep);
                for v in self.missing.iter().skip(2) {
                    let v = *v as f32;
                    to.iter_mut().filter(|x| **x == v).for_each(|x| *x = f32::NAN);
                }
            }
            return Ok(());
        }
        if !matches!(out, Values::F64(_)) {
            *out = Values::F64(Vec::new());
        }
        let Values::F64(out) = out else { return Ok(()) };
        out.resize(len, f64::NAN);
        let mut plain = Vec::new();
        let bytes: &[u8] = if raw.shuffled {
            unshuffle(raw.bytes, size, &mut plain);
            &plain
        } else {
            raw.bytes
        };
        for (a, b) in runs {
            let (a, b) = (*a as usize, *b as usize);
            let from = &bytes[(first + a) * size..(first + b) * size];
            self.widen(from, &mut out[a..b]);
        }
        Ok(())
    }

    fn widen(&self, from: &[u8], to: &mut [f64]) {
        macro_rules! each {
            ($t:ty) => {{
                let (chunks, _) = from.as_chunks::<{ size_of::<$t>() }>();
                if self.big_endian {
                    for (o, b) in to.iter_mut().zip(chunks) {
                        *o = <$t>::from_be_bytes(*b) as f64;
                    }
                } else {
                    for (o, b) in to.iter_mut().zip(chunks) {
                        *o = <$t>::from_le_bytes(*b) as f64;
                    }
                }
            }};
        }
        match self.kind {
            Kind::I1 => each!(i8),
            Kind::U1 | Kind::Char => each!(u8),
            Kind::I2 => each!(i16),
            Kind::U2 => each!(u16),
            Kind::I4 => each!(i32),
            Kind::U4 => each!(u32),
            Kind::I8 | Kind::U8 => return self.widen_whole(from, to),
            Kind::F4 => each!(f32),
            Kind::F8 => each!(f64),
            Kind::Text | Kind::Other(_) => {}
        }
        let (lo, hi) = self.valid;
        let fill = |k: usize| self.missing.get(k).copied().unwrap_or(f64::NAN);
        let (f0, f1) = (fill(0), fill(1));
        for v in to.iter_mut() {
            *v = if *v >= lo && *v <= hi && *v != f0 && *v != f1 { *v } else { f64::NAN };
        }
        for m in self.missing.iter().skip(2) {
            to.iter_mut().filter(|x| *x == m).for_each(|x| *x = f64::NAN);
        }
        self.unpack(to);
    }

    /// A float64 does not tell all integers of 64 bits apart: they are compared as what they are.
    fn widen_whole(&self, from: &[u8], to: &mut [f64]) {
        let (missing, (lo, hi)) = &self.whole;
        let (chunks, _) = from.as_chunks::<8>();
        for (o, b) in to.iter_mut().zip(chunks) {
            let bits =
                if self.big_endian { u64::from_be_bytes(*b) } else { u64::from_le_bytes(*b) };
            let (value, key) = match self.kind {
                Kind::U8 => (bits as f64, (bits ^ (1 << 63)) as i64),
                _ => (bits as i64 as f64, bits as i64),
            };
            let there = key >= *lo && key <= *hi && !missing.contains(&key);
            *o = if there { value } else { f64::NAN };
        }
        self.unpack(to);
    }

    fn unpack(&self, to: &mut [f64]) {
        if let Some((scale, offset)) = self.packing {
            for v in to.iter_mut() {
                *v = *v * scale + offset;
            }
        }
        if let Some((scale, offset)) = self.convert {
            for v in to.iter_mut() {
                *v = *v * scale + offset;
            }
        }
    }
}

/// The float32 values from `first` on, passed through `keep`.
#[inline]
fn floats(raw: &Raw, first: usize, big: bool, to: &mut [f32], keep: impl Fn(f32) -> f32) {
    let n = to.len();
    if raw.shuffled {
        let count = raw.bytes.len() / 4;
        let plane = |k: usize| &raw.bytes[k * count + first..k * count + first + n];
        let (p0, p1, p2, p3) = if big {
            (plane(3), plane(2), plane(1), plane(0))
        } else {
            (plane(0), plane(1), plane(2), plane(3))
        };
        for i in 0..n {
            let bits = u32::from(p0[i])
                | u32::from(p1[i]) << 8
                | u32::from(p2[i]) << 16
                | u32::from(p3[i]) << 24;
            to[i] = keep(f32::from_bits(bits));
        }
        return;
    }
    let (chunks, _) = raw.bytes[first * 4..(first + n) * 4].as_chunks::<4>();
    for (o, b) in to.iter_mut().zip(chunks) {
        *o = keep(if big { f32::from_be_bytes(*b) } else { f32::from_le_bytes(*b) });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attr, Layout};
    use super::*;

    fn var(kind: Kind, attrs: Vec<(&str, Attr)>) -> Var {
        Var {
            name: "v".into(),
            dims: vec![],
            kind,
            big_endian: false,
            attrs: attrs.into_iter().map(|(n, a)| (n.to_string(), a)).collect(),
            exact: vec![],
            layout: Layout::Contiguous { offset: None },
            filters: vec![],
            fill: None,
            no_fill: false,
        }
    }

    fn number(v: f64) -> Attr {
        Attr::Numbers(Kind::F8, vec![v])
    }

    fn wide(var: &Var, bytes: &[u8]) -> Vec<f64> {
        let mut out = Values::F64(Vec::new());
        Decoder::new(var)
            .unwrap()
            .decode(&Raw { bytes, shuffled: false }, None, true, &mut out)
            .unwrap();
        match out {
            Values::F64(v) => v,
            Values::F32(_) => vec![],
        }
    }

    #[test]
    fn packed_shorts_become_kelvin() {
        // 0.1 * 150 + 250 = 265; -9999 is missing; 1 is below valid_min
        let v = var(
            Kind::I2,
            vec![
                ("_FillValue", number(-9999.0)),
                ("valid_min", Attr::Numbers(Kind::I2, vec![2.0])),
                ("scale_factor", number(0.1)),
                ("add_offset", number(250.0)),
            ],
        );
        let bytes: Vec<u8> = [150i16, -9999, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
        let got = wide(&v, &bytes);
        assert_eq!(got[0], 265.0);
        assert!(got[1].is_nan() && got[2].is_nan());
    }

    #[test]
    fn unsigned_bytes_kept_in_signed_ones_are_unsigned() {
        let v = var(
            Kind::I1,
            vec![
                ("_Unsigned", Attr::Text("true".into())),
                ("_FillValue", Attr::Numbers(Kind::I1, vec![-1.0])),
            ],
        );
        let got = wide(&v, &[200, 255, 3]);
        assert_eq!((got[0], got[2]), (200.0, 3.0));
        assert!(got[1].is_nan());
    }

    #[test]
    fn shuffled_floats_keep_every_bit() {
        let v =
            var(Kind::F4, vec![("_FillValue", number(-9999.0)), ("missing_value", number(1e20))]);
        let values = [1.5f32, -9999.0, 285.3, f32::NAN, 1e20];
        let plain: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut bytes = Vec::new();
        for b in 0..4 {
            bytes.extend(plain.iter().skip(b).step_by(4));
        }
        let mut out = Values::F32(Vec::new());
        let raw = Raw { bytes: &bytes, shuffled: true };
        Decoder::new(&v).unwrap().decode(&raw, None, false, &mut out).unwrap();
        let Values::F32(got) = out else { panic!("float32 stays float32") };
        assert_eq!((got[0], got[2]), (1.5, 285.3));
        assert!(got[1].is_nan() && got[3].is_nan() && got[4].is_nan());
    }

    #[test]
    fn only_the_runs_asked_for_are_decoded() {
        let v = var(Kind::U2, vec![]);
        let bytes: Vec<u8> = (0u16..8).flat_map(|v| v.to_le_bytes()).collect();
        let mut out = Values::F64(Vec::new());
        let raw = Raw { bytes: &bytes, shuffled: false };
        let runs = [(1, 2), (3, 4)];
        Decoder::new(&v)
            .unwrap()
            .decode(&raw, Some(Part { first: 4, len: 4, runs: &runs }), false, &mut out)
            .unwrap();
        let Values::F64(got) = out else { panic!("integers become float64") };
        assert_eq!((got[1], got[3]), (5.0, 7.0));
    }
}
