//! Texts of a .dbf file: which encoding the .cpg file beside it or its own byte 29 names, and what its bytes say in it.

use super::{NO_SUCH_CODE_PAGE, NO_SUCH_ENCODING};
use crate::error::Result;
use encoding_rs as web;
use oem_cp::code_table::DECODING_TABLE_CP_MAP;
use oem_cp::code_table_type::TableType;

#[derive(Clone, Copy)]
pub enum Encoding {
    /// Nothing is said: UTF-8 where all is, else Latin-1.
    Unsaid,
    Utf8,
    Latin1,
    Web(&'static web::Encoding),
    /// A code page of DOS.
    Oem(&'static TableType),
}

impl Encoding {
    /// What a .cpg file says; nothing where it says nothing.
    pub fn of_cpg(said: &[u8], place: &str) -> Result<Option<Encoding>> {
        let said = said.strip_prefix(b"\xef\xbb\xbf").unwrap_or(said);
        let said = String::from_utf8_lossy(said);
        let blank = |c: char| c.is_whitespace() || c == '\0' || c == '"' || c == '\'';
        let said = said.trim_matches(blank);
        match said.to_uppercase().as_str() {
            "" | "SYSTEM" => Ok(None),
            _ => named(said)
                .map(Some)
                .ok_or_else(|| NO_SUCH_ENCODING.error(&[said]).at(place.to_string())),
        }
    }

    /// What byte 29 of a .dbf file says, "language driver" by its old name.
    pub fn of_driver(byte: u8, place: &str) -> Result<Option<Encoding>> {
        match byte {
            0 => Ok(None),
            _ => driver(byte).and_then(code_page).map(Some).ok_or_else(|| {
                NO_SUCH_CODE_PAGE.error(&[&format!("0x{byte:02x}")]).at(place.to_string())
            }),
        }
    }

    /// The text; nothing where the bytes cannot be one. With `cut` a last character that the field's width cut in two is
    /// left away.
    pub fn decode(self, bytes: &[u8], cut: bool) -> Option<String> {
        let most = match self {
            _ if !cut => 0,
            Encoding::Unsaid | Encoding::Utf8 => match std::str::from_utf8(bytes) {
                Err(e) if e.error_len().is_none() => bytes.len() - e.valid_up_to(),
                _ => 0,
            },
            Encoding::Web(e) if !e.is_single_byte() => 3,
            _ => 0,
        };
        (0..=most.min(bytes.len())).find_map(|k| self.whole(&bytes[..bytes.len() - k]))
    }

    fn whole(self, bytes: &[u8]) -> Option<String> {
        match self {
            _ if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
            Encoding::Unsaid | Encoding::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Encoding::Latin1 => Some(web::mem::decode_latin1(bytes).into_owned()),
            Encoding::Web(e) => e
                .decode_without_bom_handling_and_without_replacement(bytes)
                .map(std::borrow::Cow::into_owned),
            Encoding::Oem(table) => table.decode_string_checked(bytes),
        }
    }
}

/// By a name as .cpg files have it: `UTF-8`, `1252`, `ANSI 1251`, `ISO 88591`, `LDID/87`, `Big5`.
fn named(said: &str) -> Option<Encoding> {
    let upper = said.to_uppercase();
    let squeezed: String = upper.chars().filter(char::is_ascii_alphanumeric).collect();
    if let Some(byte) = squeezed.strip_prefix("LDID") {
        return driver(byte.parse().ok()?).and_then(code_page);
    }
    if matches!(squeezed.as_str(), "UTF8" | "UNICODE11UTF8") {
        return Some(Encoding::Utf8);
    }
    let iso = ["ISO8859", "8859"].iter().find_map(|p| squeezed.strip_prefix(p));
    if let Some(part) = iso {
        return iso_8859(part.parse().ok()?);
    }
    let prefixes = ["ANSI", "OEM", "CP", "WINDOWS", "MSDOS", "MS", "IBM", "DOS", "X"];
    let digits = prefixes.iter().find_map(|p| squeezed.strip_prefix(p)).unwrap_or(&squeezed);
    if let Ok(number) = digits.parse() {
        return code_page(number);
    }
    if matches!(squeezed.as_str(), "LATIN1" | "L1") {
        return Some(Encoding::Latin1);
    }
    let label = web::Encoding::for_label_no_replacement(said.as_bytes())
        .or_else(|| web::Encoding::for_label_no_replacement(squeezed.as_bytes()))?;
    (label != web::UTF_16LE && label != web::UTF_16BE && label != web::X_USER_DEFINED)
        .then_some(Encoding::Web(label))
}

fn iso_8859(part: u16) -> Option<Encoding> {
    Some(match part {
        1 => Encoding::Latin1,
        2 => Encoding::Web(web::ISO_8859_2),
        3 => Encoding::Web(web::ISO_8859_3),
        4 => Encoding::Web(web::ISO_8859_4),
        5 => Encoding::Web(web::ISO_8859_5),
        6 => Encoding::Web(web::ISO_8859_6),
        7 => Encoding::Web(web::ISO_8859_7),
        8 => Encoding::Web(web::ISO_8859_8),
        9 => Encoding::Web(web::WINDOWS_1254),
        10 => Encoding::Web(web::ISO_8859_10),
        11 => Encoding::Web(web::WINDOWS_874),
        13 => Encoding::Web(web::ISO_8859_13),
        14 => Encoding::Web(web::ISO_8859_14),
        15 => Encoding::Web(web::ISO_8859_15),
        16 => Encoding::Web(web::ISO_8859_16),
        _ => return None,
    })
}

/// By the number of a code page of DOS or Windows.
fn code_page(number: u16) -> Option<Encoding> {
    Some(match number {
        65001 => Encoding::Utf8,
        874 => Encoding::Web(web::WINDOWS_874),
        932 | 943 => Encoding::Web(web::SHIFT_JIS),
        936 => Encoding::Web(web::GBK),
        949 => Encoding::Web(web::EUC_KR),
        950 => Encoding::Web(web::BIG5),
        1250 => Encoding::Web(web::WINDOWS_1250),
        1251 => Encoding::Web(web::WINDOWS_1251),
        1252 => Encoding::Web(web::WINDOWS_1252),
        1253 => Encoding::Web(web::WINDOWS_1253),
        1254 => Encoding::Web(web::WINDOWS_1254),
        1255 => Encoding::Web(web::WINDOWS_1255),
        1256 => Encoding::Web(web::WINDOWS_1256),
        1257 => Encoding::Web(web::WINDOWS_1257),
        1258 => Encoding::Web(web::WINDOWS_1258),
        10000 => Encoding::Web(web::MACINTOSH),
        10007 => Encoding::Web(web::X_MAC_CYRILLIC),
        20127 => Encoding::Utf8,
        20866 => Encoding::Web(web::KOI8_R),
        21866 => Encoding::Web(web::KOI8_U),
        20932 | 51932 => Encoding::Web(web::EUC_JP),
        20936 | 51936 => Encoding::Web(web::GBK),
        51949 => Encoding::Web(web::EUC_KR),
        54936 => Encoding::Web(web::GB18030),
        28591..=28606 => iso_8859(number - 28590)?,
        _ => Encoding::Oem(DECODING_TABLE_CP_MAP.get(&number)?),
    })
}

/// The code page of a language driver. 0x57 is "ANSI", Latin-1 in most of the world.
fn driver(byte: u8) -> Option<u16> {
    Some(match byte {
        0x01 | 0x09 | 0x0b | 0x0d | 0x0f | 0x11 | 0x15 | 0x18 | 0x19 | 0x1b => 437,
        0x02 | 0x0a | 0x0e | 0x10 | 0x12 | 0x14 | 0x16 | 0x1a | 0x1d | 0x25 | 0x37 => 850,
        0x03 | 0x57..=0x59 => 1252,
        0x04 => 10000,
        0x08 | 0x17 | 0x66 => 865,
        0x13 | 0x7b => 932,
        0x1c | 0x6c => 863,
        0x1f | 0x22 | 0x23 | 0x40 | 0x64 | 0x87 => 852,
        0x24 => 860,
        0x26 | 0x65 => 866,
        0x4d | 0x7a => 936,
        0x4e | 0x79 => 949,
        0x4f | 0x78 => 950,
        0x50 | 0x7c => 874,
        0x67 => 861,
        0x6a | 0x86 => 737,
        0x6b | 0x88 => 857,
        0x7d => 1255,
        0x7e => 1256,
        0x96 => 10007,
        0xc8 => 1250,
        0xc9 => 1251,
        0xca => 1254,
        0xcb => 1253,
        0xcc => 1257,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_cpg_files_hold_are_known() {
        for (name, bytes, text) in [
            ("UTF-8", "Ж".as_bytes(), "Ж"),
            ("65001", "Ж".as_bytes(), "Ж"),
            ("ANSI 1251", b"\xc6", "Ж"),
            ("cp1251", b"\xc6", "Ж"),
            ("windows-1251", b"\xc6", "Ж"),
            ("LDID/201", b"\xc6", "Ж"),
            ("CP866", b"\x86", "Ж"),
            ("OEM 866", b"\x86", "Ж"),
            ("KOI8-R", b"\xf6", "Ж"),
            ("1252", b"\xf1", "ñ"),
            ("ISO 88591", b"\xf1", "ñ"),
            ("ISO-8859-1", b"\xf1", "ñ"),
            ("iso8859_2", b"\xb3", "ł"),
            ("88592", b"\xb3", "ł"),
            ("885915", b"\xa4", "€"),
            ("850", b"\xa4", "ñ"),
            ("CP437", b"\xa4", "ñ"),
            ("852", b"\x88", "ł"),
            ("LDID/87", b"\xf1", "ñ"),
            ("GBK", b"\xc4\xe3", "你"),
            ("CP936", b"\xc4\xe3", "你"),
            ("GB18030", b"\xc4\xe3", "你"),
            ("gb2312", b"\xc4\xe3", "你"),
            ("Big5", b"\xa7\x41", "你"),
            ("950", b"\xa7\x41", "你"),
            ("SHIFT_JIS", b"\x93\xfa", "日"),
            ("932", b"\x93\xfa", "日"),
            ("EUC-KR", b"\xc7\xd1", "한"),
            ("949", b"\xc7\xd1", "한"),
        ] {
            let got = Encoding::of_cpg(name.as_bytes(), "x").ok().flatten();
            assert_eq!(got.and_then(|e| e.decode(bytes, false)).as_deref(), Some(text), "{name}");
        }
        for name in ["KLINGON", "UTF-16", "99999", "LDID/105", "8859-12"] {
            assert!(Encoding::of_cpg(name.as_bytes(), "x").is_err(), "{name}");
        }
        assert!(matches!(Encoding::of_cpg(b" \r\n", "x"), Ok(None)));
    }

    #[test]
    fn a_character_cut_in_two_is_left_away_at_the_end_alone() {
        assert_eq!(Encoding::Utf8.decode(b"a\xd0", true).as_deref(), Some("a"));
        assert_eq!(Encoding::Utf8.decode(b"a\xd0", false), None);
        assert_eq!(Encoding::Utf8.decode(b"\xd0aaaa", true), None);
        assert_eq!(Encoding::Web(web::GBK).decode(b"\xc4\xe3\xc4", true).as_deref(), Some("你"));
    }
}
