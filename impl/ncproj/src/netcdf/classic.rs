//! Classic netCDF (CDF-1, 64-bit offset CDF-2, CDF-5): the header says where everything lies.

use super::{Attr, Attributes, Dim, Kind, Layout, Source, Var, text, truncated};
use crate::error::{Error, Result};
use std::os::unix::fs::FileExt;

const MOST_HEADER: u64 = 64 << 20;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    wide: bool,
}

/// The header goes on behind the bytes read so far, or is damaged.
enum Stop {
    More,
    Damaged(&'static str),
}

type Parsed<T> = std::result::Result<T, Stop>;

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64) -> Parsed<&'a [u8]> {
        if n > MOST_HEADER {
            return Err(Stop::Damaged("a length cannot be true"));
        }
        let end = self.at + n as usize;
        let out = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(out)
    }

    fn four(&mut self) -> Parsed<u64> {
        let b = self.take(4)?;
        Ok(u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])))
    }

    fn eight(&mut self) -> Parsed<u64> {
        Ok(self.four()? << 32 | self.four()?)
    }

    fn count(&mut self) -> Parsed<u64> {
        if self.wide { self.eight() } else { self.four() }
    }

    fn name(&mut self) -> Parsed<String> {
        let n = self.count()?;
        let text = String::from_utf8_lossy(self.take(n)?).into_owned();
        self.take((4 - n % 4) % 4)?;
        Ok(text)
    }

    /// A list's tag and length; an absent list is two zeros.
    fn list(&mut self, tag: u64) -> Parsed<u64> {
        let (got, n) = (self.four()?, self.count()?);
        if got == tag && n < 1 << 20 || got == 0 && n == 0 {
            Ok(n)
        } else {
            Err(Stop::Damaged("a list has the wrong tag"))
        }
    }

    /// The attributes, and those that are integers of 64 bits exactly.
    fn attrs(&mut self) -> Parsed<Attributes> {
        let n = self.list(12)?;
        let (mut out, mut exact) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let name = self.name()?;
            let kind = kind_of(self.four()?)?;
            let n = self.count()?;
            let size = kind.size() as u64;
            let len = n.checked_mul(size).ok_or(Stop::Damaged("a length cannot be true"))?;
            let bytes = self.take(len)?;
            self.take((4 - len % 4) % 4)?;
            let value = if kind == Kind::Char {
                Attr::Text(text(bytes))
            } else {
                if matches!(kind, Kind::I8 | Kind::U8) {
                    let (whole, _) = bytes.as_chunks::<8>();
                    let one = |b: &[u8; 8]| match kind {
                        Kind::I8 => i128::from(i64::from_be_bytes(*b)),
                        _ => i128::from(u64::from_be_bytes(*b)),
                    };
                    exact.push((name.clone(), whole.iter().map(one).collect()));
                }
                Attr::Numbers(kind, bytes.chunks(size as usize).map(|b| number(kind, b)).collect())
            };
            out.push((name, value));
        }
        Ok((out, exact))
    }
}

fn number(kind: Kind, b: &[u8]) -> f64 {
    let wide = b.iter().fold(0u64, |a, x| a << 8 | u64::from(*x));
    match kind {
        Kind::I1 => f64::from(wide as u8 as i8),
        Kind::I2 => f64::from(wide as u16 as i16),
        Kind::I4 => f64::from(wide as u32 as i32),
        Kind::I8 => wide as i64 as f64,
        Kind::F4 => f64::from(f32::from_bits(wide as u32)),
        Kind::F8 => f64::from_bits(wide),
        _ => wide as f64,
    }
}

fn kind_of(code: u64) -> Parsed<Kind> {
    Ok(match code {
        1 => Kind::I1,
        2 => Kind::Char,
        3 => Kind::I2,
        4 => Kind::I4,
        5 => Kind::F4,
        6 => Kind::F8,
        7 => Kind::U1,
        8 => Kind::U2,
        9 => Kind::U4,
        10 => Kind::I8,
        11 => Kind::U8,
        _ => return Err(Stop::Damaged("a type is not known")),
    })
}

pub fn open(mut source: Source, version: u8) -> Result<Source> {
    source.format = match version {
        1 => "netCDF-3 classic",
        2 => "netCDF-3 64-bit offset",
        5 => "netCDF-3 64-bit data (CDF-5)",
        _ => {
            return Err(Error::data(format!(
                "`{}` is netCDF of version {version}, which ncproj does not know",
                source.name
            ))
            .at(source.path.display().to_string())
            .hint("ncproj reads classic netCDF of the versions 1, 2 and 5, and netCDF-4"));
        }
    };
    let mut want = 64 << 10;
    loop {
        let len = source.bytes.min(want);
        let mut bytes = vec![0u8; len as usize];
        source
            .file
            .read_exact_at(&mut bytes, 0)
            .map_err(|e| Error::file("read", &source.path, e))?;
        match parse(&bytes, version, &mut source) {
            Ok(()) => return Ok(source),
            Err(Stop::More) if len < source.bytes && want < MOST_HEADER => want *= 8,
            Err(Stop::More) => {
                let needed = source.bytes + 1;
                return Err(truncated(&source, needed));
            }
            Err(Stop::Damaged(why)) => {
                return Err(Error::data(format!(
                    "the header of `{}` is damaged: {why}",
                    source.name
                ))
                .at(source.path.display().to_string())
                .hint("fetch the file again"));
            }
        }
    }
}

fn parse(bytes: &[u8], version: u8, source: &mut Source) -> Parsed<()> {
    let mut r = Reader { bytes, at: 4, wide: version == 5 };
    let records = r.count()?;
    let streaming = records == if r.wide { u64::MAX } else { u64::from(u32::MAX) };
    let mut record_dim = None;
    source.dims.clear();
    source.vars.clear();
    for k in 0..r.list(10)? {
        let name = r.name()?;
        let len = r.count()?;
        if len == 0 {
            record_dim = Some(k as usize);
        }
        source.dims.push(Dim { name, len });
    }
    source.attrs = r.attrs()?.0;
    let mut record_bytes = 0u64;
    let mut record_vars = 0;
    let mut only_record = 0u64;
    for _ in 0..r.list(11)? {
        let name = r.name()?;
        let rank = r.count()?;
        if rank > 64 {
            return Err(Stop::Damaged("a variable has too many dimensions"));
        }
        let mut dims = Vec::new();
        for _ in 0..rank {
            let d = r.count()? as usize;
            if d >= source.dims.len() {
                return Err(Stop::Damaged("a dimension is not there"));
            }
            dims.push(d);
        }
        let (attrs, exact) = r.attrs()?;
        let kind = kind_of(r.four()?)?;
        let _size = r.count()?;
        let begin = if version == 1 { r.four()? } else { r.eight()? };
        let is_record = record_dim.is_some() && dims.first().copied() == record_dim;
        let layout = if is_record {
            let each = dims[1..]
                .iter()
                .try_fold(kind.size() as u64, |a, d| a.checked_mul(source.dims[*d].len))
                .filter(|b| *b < 1 << 50)
                .ok_or(Stop::Damaged("a shape cannot be true"))?;
            record_vars += 1;
            only_record = each;
            record_bytes += each.div_ceil(4) * 4;
            Layout::Records { offset: begin, stride: 0 }
        } else {
            Layout::Contiguous { offset: Some(begin) }
        };
        source.vars.push(Var {
            name,
            dims,
            kind,
            big_endian: true,
            attrs,
            exact,
            layout,
            filters: Vec::new(),
            fill: None,
            no_fill: false,
        });
    }
    // A single record variable is not padded.
    let step = if record_vars == 1 { only_record } else { record_bytes };
    let mut first = u64::MAX;
    for v in &mut source.vars {
        if let Layout::Records { offset, stride } = &mut v.layout {
            *stride = step;
            first = first.min(*offset);
        }
    }
    if let Some(d) = record_dim {
        source.dims[d].len = if streaming {
            source.bytes.saturating_sub(first).checked_div(step).unwrap_or(0)
        } else {
            records
        };
    }
    Ok(())
}
