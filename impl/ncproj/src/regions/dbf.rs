//! The table of a shapefile: .dbf, as dBASE III, IV and FoxPro write it.

use super::encoding::Encoding;
use super::{
    BAD_VALUE, ENCRYPTED_DBF, Field, Kind, NO_SUCH_DBF, NOT_A_FIELD, NOT_THE_ENCODING, float_text,
    places,
};
use crate::error::{Error, Result, thousands};

pub struct Table {
    /// In the order of asking; one value for each row that is not deleted.
    pub values: Vec<Field>,
    /// For each row: is it deleted?
    pub deleted: Vec<bool>,
    pub warnings: Vec<String>,
}

struct Place {
    name: String,
    kind: u8,
    from: usize,
    to: usize,
    nullable: bool,
}

pub fn read(b: &[u8], cpg: Option<&[u8]>, wanted: &[String], file: &str) -> Result<Table> {
    let damaged = || {
        Error::data("the .dbf file is damaged").at(file.to_string()).hint("fetch the file again")
    };
    if b.len() < 33 {
        return Err(damaged());
    }
    if b[0] == 2 || b[0] & 7 == 4 {
        let name = if b[0] == 2 { "dBASE II" } else { "dBASE 7" };
        return Err(NO_SUCH_DBF.error(&[name]).at(file.to_string()));
    }
    if b[15] == 1 {
        return Err(ENCRYPTED_DBF.error(&[]).at(file.to_string()));
    }
    let foxpro = matches!(b[0], 0x30..=0x32);
    let rows = u32::from_le_bytes([b[4], b[5], b[6], b[7]]) as usize;
    let head = usize::from(u16::from_le_bytes([b[8], b[9]]));
    let width = usize::from(u16::from_le_bytes([b[10], b[11]]));
    let mut said = match cpg {
        Some(said) => Encoding::of_cpg(said, file)?,
        None => None,
    };
    // An odd byte 29 does no harm while all is ASCII.
    let mut unknown = None;
    if said.is_none() {
        match Encoding::of_driver(b[29], file) {
            Ok(found) => said = found,
            Err(e) => unknown = Some(e),
        }
    }
    let ansi = said.is_some() && cpg.is_none() && b[29] == 0x57;
    let encoding = said.unwrap_or(Encoding::Unsaid);
    let mut fields = Vec::new();
    let mut at = 32;
    while at + 32 <= head.min(b.len()) && b[at] != 0x0d {
        fields.push(&b[at..at + 32]);
        at += 32;
    }
    let sum = |long: bool| {
        let length = |f: &&[u8]| {
            usize::from(f[16]) + if long && f[11] == b'C' { 256 * usize::from(f[17]) } else { 0 }
        };
        1 + fields.iter().map(length).sum::<usize>()
    };
    // Texts of more than 255 bytes have the rest of their length where numbers have their decimals.
    let long = sum(false) != width && sum(true) == width;
    let mut known = Vec::new();
    let mut offset = 1;
    for f in &fields {
        let bytes = f[..11].split(|c| *c == 0).next().unwrap_or(&[]);
        let name = encoding
            .decode(bytes, true)
            .or_else(|| Encoding::Latin1.decode(bytes, true))
            .unwrap_or_default();
        let length =
            usize::from(f[16]) + if long && f[11] == b'C' { 256 * usize::from(f[17]) } else { 0 };
        known.push(Place {
            name: name.trim().to_string(),
            kind: f[11],
            from: offset,
            to: offset + length,
            nullable: foxpro && f[18] & 2 != 0,
        });
        offset += length;
    }
    if rows.checked_mul(width).and_then(|n| n.checked_add(head)).is_none_or(|n| n > b.len() + 1)
        || offset > width.max(1)
        || (rows > 0 && width == 0)
    {
        return Err(damaged());
    }
    let row = |r: usize| b.get(head + r * width..head + (r + 1) * width);
    let mut deleted = Vec::with_capacity(rows);
    for r in 0..rows {
        deleted.push(match b.get(head + r * width) {
            Some(b'*') => true,
            Some(_) => false,
            None => return Err(damaged()),
        });
    }
    let kept = |r: &usize| !deleted[*r];
    let names: Vec<String> = known.iter().map(|k| k.name.clone()).collect();
    let chosen: Vec<&Place> =
        places(wanted, &names, file)?.into_iter().map(|k| &known[k]).collect();
    // Rows of the last field may lack their last byte; nothing else may be missing.
    let bytes = |p: &Place, r: usize| {
        row(r).or_else(|| b.get(head + r * width..)).and_then(|row| row.get(p.from..p.to))
    };
    let texts = || {
        chosen
            .iter()
            .filter(|p| is_text(p.kind))
            .flat_map(|p| (0..rows).filter(kept).filter_map(move |r| bytes(p, r).map(padded_off)))
    };
    let mut warnings = Vec::new();
    let ascii = texts().all(|(t, _)| t.is_ascii());
    let utf8 = || texts().all(|(t, cut)| Encoding::Utf8.decode(t, cut).is_some());
    if let (false, Some(e)) = (ascii, unknown) {
        return Err(e);
    }
    let encoding = match encoding {
        Encoding::Unsaid if !ascii && !utf8() => {
            warnings.push(format!(
                "the .dbf of `{file}` does not say its encoding, and it is not UTF-8: taken as Latin-1 (a .cpg file beside it \
                 says which it is, `1251` for instance)"
            ));
            Encoding::Latin1
        }
        said => said,
    };
    if ansi && !ascii && utf8() {
        warnings.push(format!(
            "the .dbf of `{file}` says that it is Latin-1 (byte 29), but its texts look like UTF-8; taken as Latin-1 (a .cpg file \
             beside it that says `UTF-8` decides otherwise)"
        ));
    }
    let mut values = Vec::new();
    for p in chosen {
        let mut field = Field::default();
        for r in (0..rows).filter(kept) {
            let bytes = bytes(p, r).ok_or_else(damaged)?;
            let place = || format!("{file}, row {}: field `{}`", thousands(r as u64 + 1), p.name);
            let (text, kind) = value(p, bytes, encoding, foxpro).map_err(|e| e.at(place()))?;
            field.push(text, kind);
        }
        values.push(field);
    }
    Ok(Table { values, deleted, warnings })
}

fn is_text(kind: u8) -> bool {
    !matches!(
        kind,
        b'N' | b'F'
            | b'D'
            | b'L'
            | b'I'
            | b'B'
            | b'Y'
            | b'T'
            | b'O'
            | b'+'
            | b'@'
            | b'M'
            | b'G'
            | b'P'
    )
}

/// The bytes of a text without the blanks that fill the field, and whether the text reaches to the field's end.
fn padded_off(bytes: &[u8]) -> (&[u8], bool) {
    let text = bytes.split(|c| *c == 0).next().unwrap_or(&[]);
    let end = text.iter().rposition(|c| *c != b' ').map_or(0, |k| k + 1);
    (&text[..end], end == bytes.len())
}

fn value(
    p: &Place,
    bytes: &[u8],
    encoding: Encoding,
    foxpro: bool,
) -> Result<(Option<String>, Kind)> {
    let bad = |shown: &str, what: &str| BAD_VALUE.error(&[shown, what]);
    let number =
        |k: usize| bytes.get(k..k + 4).and_then(|b| b.try_into().ok()).map(i32::from_le_bytes);
    let eight = || bytes.try_into().map(i64::from_le_bytes).ok();
    if p.nullable {
        return Err(NOT_A_FIELD.error(&[&p.name, "FoxPro's nullable fields"]));
    }
    let ascii = || {
        let text = bytes.split(|c| *c == 0).next().unwrap_or(&[]);
        String::from_utf8_lossy(text).trim().to_string()
    };
    Ok(match p.kind {
        b'C' => {
            let (text, cut) = padded_off(bytes);
            let Some(text) = encoding.decode(text, cut) else {
                return Err(NOT_THE_ENCODING.error(&[&String::from_utf8_lossy(text)]));
            };
            (Some(text).filter(|t| !t.is_empty()), Kind::Text)
        }
        b'N' | b'F' => {
            let text = ascii();
            // `****` stands where a number is too long for the field
            if text.is_empty() || text.starts_with('*') {
                return Ok((None, Kind::Int));
            }
            let (text, kind) = decimal(&text).ok_or_else(|| bad(&text, "number"))?;
            (text, kind)
        }
        b'D' => {
            let text = ascii();
            if text.bytes().all(|c| c == b'0') {
                return Ok((None, Kind::Text));
            }
            let part = |a: usize, z: usize| text.get(a..z).and_then(|t| t.parse::<u32>().ok());
            match (text.len(), part(0, 4), part(4, 6), part(6, 8)) {
                (8, Some(y), Some(m @ 1..=12), Some(d @ 1..=31)) => {
                    (Some(format!("{y:04}-{m:02}-{d:02}")), Kind::Text)
                }
                _ => return Err(bad(&text, "date")),
            }
        }
        b'L' => match bytes.first() {
            Some(b'T' | b't' | b'Y' | b'y') => (Some("true".into()), Kind::Text),
            Some(b'F' | b'f' | b'N' | b'n') => (Some("false".into()), Kind::Text),
            _ => (None, Kind::Text),
        },
        b'I' if bytes.len() == 4 => (number(0).map(|v| v.to_string()), Kind::Int),
        b'B' if foxpro && bytes.len() == 8 => {
            (eight().and_then(|v| float_text(f64::from_bits(v as u64))), Kind::Float)
        }
        b'Y' if bytes.len() == 8 => {
            let v = eight().unwrap_or(0);
            let sign = if v < 0 { "-" } else { "" };
            let text =
                format!("{sign}{}.{:04}", v.unsigned_abs() / 10000, v.unsigned_abs() % 10000);
            let (text, _) = decimal(&text).ok_or_else(|| bad(&text, "number"))?;
            (text, Kind::Decimal)
        }
        b'M' | b'G' | b'P' | b'B' | b'W' => {
            return Err(
                NOT_A_FIELD.error(&[&p.name, "memo fields, whose texts stand in another file"])
            );
        }
        kind => {
            return Err(NOT_A_FIELD.error(&[
                &p.name,
                &format!("fields of the type `{}`", char::from(kind).escape_default()),
            ]));
        }
    })
}

/// A number as people read it: `7` of `007`, `12` of `12.000`, and all digits that are written.
fn decimal(text: &str) -> Option<(Option<String>, Kind)> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (if text.starts_with('-') { "-" } else { "" }, rest),
        None => ("", text),
    };
    if digits.contains(['e', 'E']) {
        let v: f64 = text.parse().ok()?;
        return v.is_finite().then(|| (float_text(v), Kind::Float));
    }
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + part.len() == 0
        || !(whole.bytes().chain(part.bytes()).all(|c| c.is_ascii_digit()))
    {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let kind = if digits.contains('.') { Kind::Decimal } else { Kind::Int };
    Some(match part.trim_end_matches('0') {
        "" if whole == "0" => (Some("0".to_string()), kind),
        "" => (Some(format!("{sign}{whole}")), kind),
        part => (Some(format!("{sign}{whole}.{part}")), kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_table_is_an_error() {
        assert!(read(b"hello", None, &[], "x.dbf").is_err());
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (text, shown) in [
            ("007", "7"),
            ("-0.0", "0"),
            ("12.000", "12"),
            ("+1.50", "1.5"),
            (".5", "0.5"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567890"),
            ("-3.", "-3"),
        ] {
            assert_eq!(decimal(text).and_then(|d| d.0).as_deref(), Some(shown), "{text}");
        }
        for text in ["", ".", "-", "1,5", "abc", "1.2.3", "1e", "inf", "nan"] {
            assert!(decimal(text).is_none(), "{text}");
        }
    }
}
