//! GeoPackage: tables and views of SQLite, with WKB behind a short header. SQLite itself reads the file.

use super::wkb::{Problem, shape};
use super::{
    Crs, EXTENDED_SHAPE, Edges, Features, Field, Input, Kind, NOT_A_FIELD, SPATIALITE,
    choose_layer, crs_of_wkt, float_text, places,
};
use crate::error::{Error, Result, base_name, list, open, thousands};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::serialize::OwnedData;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use std::path::Path;
use std::ptr::NonNull;

pub fn read(path: &Path, wanted: &[String], layer: Option<&str>) -> Result<Features> {
    let name = base_name(path);
    let mut head = [0u8; 16];
    let is_one = std::io::Read::read_exact(&mut open(path)?, &mut head).is_ok();
    if !is_one || &head != b"SQLite format 3\0" {
        return Err(not_sqlite(&name).at(path.display().to_string()));
    }
    // What another program has not yet brought into the file stands beside it. Then SQLite has to look for it and to lock the file;
    // else nothing is written, made or locked in the folder.
    let beside = |e: &str| {
        let mut other = path.as_os_str().to_os_string();
        other.push(e);
        std::fs::metadata(other).is_ok_and(|m| m.len() > 0)
    };
    let address: String = std::path::absolute(path)
        .map_err(|e| Error::file("read", path, e))?
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                char::from(*b).to_string()
            }
            other => format!("%{other:02x}"),
        })
        .collect();
    let in_use = beside("-wal") || beside("-journal");
    let more = if in_use { "" } else { "&immutable=1" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{address}?mode=ro{more}"), flags)
        .map_err(|e| failed(&e, &name))?;
    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
    layer_of(&db, &name, bytes, wanted, layer)
}

/// One that stands in an archive.
pub fn read_bytes(input: &Input, wanted: &[String], layer: Option<&str>) -> Result<Features> {
    let name = &input.name;
    if !input.bytes.starts_with(b"SQLite format 3\0") {
        return Err(not_sqlite(name).at(name.clone()));
    }
    let wrong = |e: rusqlite::Error| failed(&e, name);
    let mut db = Connection::open_in_memory().map_err(wrong)?;
    db.deserialize(
        rusqlite::MAIN_DB,
        owned(&input.bytes).ok_or_else(|| Error::data("there is not enough memory"))?,
        true,
    )
    .map_err(wrong)?;
    layer_of(&db, name, input.bytes.len() as u64, wanted, layer)
}

/// The bytes in memory of SQLite's own.
fn owned(bytes: &[u8]) -> Option<OwnedData> {
    // SAFETY: SQLite's allocator gives at least so many bytes, or null, which `NonNull` refuses; all of them are written before
    // anything reads them, and `OwnedData` frees them.
    unsafe {
        let at = NonNull::new(rusqlite::ffi::sqlite3_malloc64(bytes.len() as u64).cast::<u8>())?;
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.as_ptr(), bytes.len());
        Some(OwnedData::from_raw_nonnull(at, bytes.len()))
    }
}

fn not_sqlite(name: &str) -> Error {
    Error::data(format!("`{name}` is not a GeoPackage"))
        .hint("GeoPackages begin with `SQLite format 3`; a failed download is often an HTML page")
}

fn failed(e: &rusqlite::Error, name: &str) -> Error {
    use rusqlite::ErrorCode as Code;
    let what = match e.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => format!("`{name}` is damaged: {e}"),
        Some(Code::OperationInterrupted) => format!(
            "`{name}` asks for more work than its size can need: is one of its views endless?"
        ),
        _ => format!("`{name}` cannot be read by SQLite: {e}"),
    };
    let hint = match e.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => "fetch the file again",
        Some(Code::CannotOpen | Code::ReadOnly) => {
            "close it in the program that made the `-wal` or `-journal` beside it, or copy both to a folder that can be written to"
        }
        _ => "write it again, with `ogr2ogr -f GPKG` for instance",
    };
    Error::data(what).at(name.to_string()).hint(hint)
}

fn all_rows<T>(
    db: &Connection,
    sql: &str,
    each: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare(sql)?.query_map([], each)?.collect()
}

/// A name within SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn layer_of(
    db: &Connection,
    name: &str,
    bytes: u64,
    wanted: &[String],
    layer: Option<&str>,
) -> Result<Features> {
    let wrong = |e: rusqlite::Error| failed(&e, name);
    // What a file says of itself is not to be trusted: its views may call no functions but harmless ones, no value is longer than
    // the file, and no question takes longer than one that looks at all of it many times.
    let longest = i32::try_from(bytes.clamp(1 << 20, 1 << 30)).unwrap_or(1 << 30);
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, longest).map_err(wrong)?;
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    ] {
        db.set_db_config(what, on).map_err(wrong)?;
    }
    let mut left = 2000 + bytes / 100;
    db.progress_handler(
        10_000,
        Some(move || {
            left = left.saturating_sub(1);
            left == 0
        }),
    );
    let sql = "SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view')";
    let tables: Vec<String> = all_rows(db, sql, |r| r.get(0)).map_err(wrong)?;
    let has = |t: &str| tables.iter().any(|n| n == t);
    for table in ["gpkg_geometry_columns", "gpkg_spatial_ref_sys"] {
        if !has(table) {
            if has("geometry_columns") && has("spatial_ref_sys") {
                return Err(SPATIALITE.error(&[name]).at(name.to_string()));
            }
            return Err(Error::data(format!(
                "`{name}` is SQLite, but not a GeoPackage: it has no table `{table}`"
            ))
            .at(name.to_string())
            .hint("write it again, with `ogr2ogr -f GPKG` for instance"));
        }
    }
    let sql = "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns";
    let layers: Vec<(String, String, Option<i64>)> =
        all_rows(db, sql, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).map_err(wrong)?;
    let names: Vec<String> = layers.iter().map(|l| l.0.clone()).collect();
    let (table, column, srs) = &layers[choose_layer(&names, layer, name, "layers")?];
    let crs = system(db, *srs).map_err(wrong)?;
    // (name, declared type, is the number of the row)
    let sql = format!("PRAGMA table_info({})", quoted(table));
    let columns: Vec<(String, String, bool)> = all_rows(db, &sql, |r| {
        let declared: Option<String> = r.get(2)?;
        Ok((r.get(1)?, declared.unwrap_or_default(), r.get::<_, i64>(5)? > 0))
    })
    .map_err(wrong)?;
    if columns.is_empty() {
        return Err(Error::data(format!("the layer `{table}` has no table"))
            .at(name.to_string())
            .hint("choose another with `--layer`, or write the file again"));
    }
    let all: Vec<String> = columns.iter().map(|c| c.0.clone()).collect();
    let Some(shapes_at) = all.iter().position(|c| c.eq_ignore_ascii_case(column)) else {
        return Err(Error::data(format!("the layer `{table}` has no column `{column}` of shapes"))
            .at(format!("{name}: {}", list(&all, 12)))
            .hint("write the file again, with `ogr2ogr -f GPKG` for instance"));
    };
    let mut known: Vec<String> =
        all.iter().enumerate().filter(|(k, _)| *k != shapes_at).map(|(_, c)| c.clone()).collect();
    // The number of the row is what other programs call the feature's id.
    let number = columns.iter().find(|c| c.2 && c.1.eq_ignore_ascii_case("INTEGER"));
    if let Some(c) =
        number.filter(|_| wanted.iter().any(|w| w == "@id") && !known.iter().any(|k| k == "@id"))
    {
        known.retain(|k| *k != c.0);
        known.push("@id".to_string());
        known.push(c.0.clone());
    }
    let fields: Vec<String> = places(wanted, &known, name)?
        .into_iter()
        .map(|k| match (known[k].as_str(), number) {
            ("@id", Some(c)) if !all.iter().any(|a| a == "@id") => c.0.clone(),
            (own, _) => own.to_string(),
        })
        .collect();
    let is_bool: Vec<bool> = fields
        .iter()
        .map(|f| columns.iter().any(|c| c.0 == *f && c.1.eq_ignore_ascii_case("BOOLEAN")))
        .collect();
    let asked: Vec<String> =
        std::iter::once(&all[shapes_at]).chain(&fields).map(|c| quoted(c)).collect();
    let mut query = db
        .prepare(&format!("SELECT {} FROM {}", asked.join(", "), quoted(table)))
        .map_err(wrong)?;
    let mut rows = query.query([]).map_err(wrong)?;
    let mut out = Features {
        values: vec![Field::default(); fields.len()],
        shapes: Vec::new(),
        crs,
        edges: Edges::Planar,
        warnings: Vec::new(),
    };
    while let Some(row) = rows.next().map_err(wrong)? {
        let number = out.shapes.len();
        let place = || format!("{name}, row {}", thousands(number as u64 + 1));
        for (k, values) in out.values.iter_mut().enumerate() {
            let (text, kind) = match row.get_ref(k + 1).map_err(wrong)? {
                ValueRef::Null => (None, Kind::Text),
                ValueRef::Integer(v) if is_bool[k] => (Some((v != 0).to_string()), Kind::Text),
                ValueRef::Integer(v) => (Some(v.to_string()), Kind::Int),
                ValueRef::Real(v) => (float_text(v), Kind::Float),
                ValueRef::Text(t) => match std::str::from_utf8(t) {
                    Ok(t) => (Some(t.to_string()), Kind::Text),
                    Err(_) => {
                        return Err(Error::data(format!(
                            "the text of the field `{}` is not UTF-8",
                            wanted[k]
                        ))
                        .at(place())
                        .hint("write the file again, with `ogr2ogr -f GPKG` for instance"));
                    }
                },
                ValueRef::Blob(_) => {
                    return Err(NOT_A_FIELD.error(&[&wanted[k], "bytes"]).at(place()));
                }
            };
            if text.is_some() || kind != Kind::Text {
                values.push(text, kind);
            } else {
                values.texts.push(None);
            }
        }
        let broken = || Problem::Damaged.error(number, name);
        let rings = match row.get_ref(0).map_err(wrong)? {
            ValueRef::Blob(b) => match wkb_of(b).ok_or_else(broken)? {
                Body::Empty => Vec::new(),
                Body::Extended => return Err(EXTENDED_SHAPE.error(&[]).at(place())),
                Body::Wkb(b) => shape(b).map_err(|e| e.error(number, name))?,
            },
            ValueRef::Null => Vec::new(),
            _ => return Err(broken()),
        };
        out.shapes.push(rings);
    }
    Ok(out)
}

/// 0 and -1 mean "unknown", and so does a definition that says so.
fn system(db: &Connection, srs: Option<i64>) -> rusqlite::Result<Crs> {
    let Some(id) = srs.filter(|s| *s > 0) else { return Ok(Crs::Unknown) };
    let mut all = db.prepare("SELECT * FROM gpkg_spatial_ref_sys WHERE srs_id = ?1")?;
    let names: Vec<String> = all.column_names().iter().map(|n| n.to_lowercase()).collect();
    let mut rows = all.query([id])?;
    let Some(row) = rows.next()? else { return Ok(Crs::Unknown) };
    for wanted in ["definition", "definition_12_063"] {
        if let Some(k) = names.iter().position(|n| n == wanted)
            && let ValueRef::Text(t) = row.get_ref(k)?
        {
            let text = String::from_utf8_lossy(t);
            // "undefined" is the standard's word, "Undefined SRS" the name that GDAL gives.
            let named = text.split('"').nth(1).unwrap_or(&text).trim();
            if !named.is_empty() && !named.to_lowercase().starts_with("undefined") {
                return Ok(crs_of_wkt(&text));
            }
        }
    }
    // What the older well-known text has no words for is named by its code.
    let at = |name: &str| names.iter().position(|n| n == name);
    if let (Some(k), Some(c)) = (at("organization"), at("organization_coordsys_id"))
        && let (ValueRef::Text(of), ValueRef::Integer(code @ 1..)) =
            (row.get_ref(k)?, row.get_ref(c)?)
    {
        let of = String::from_utf8_lossy(of).to_uppercase();
        // GDAL's own numbers stand for systems that it was told nothing of.
        if ["GDAL", "NONE"].contains(&of.as_str()) {
            return Ok(Crs::Unknown);
        }
        return Ok(crs_of_wkt(&format!("{of}:{code}")));
    }
    Ok(Crs::Unknown)
}

enum Body<'a> {
    Wkb(&'a [u8]),
    Empty,
    Extended,
}

/// What follows the header: `GP`, version, flags, number of the system, and an envelope of a size that the flags tell.
fn wkb_of(b: &[u8]) -> Option<Body<'_>> {
    if b.get(..2)? != b"GP" {
        return None;
    }
    let flags = *b.get(3)?;
    if flags & 0x20 != 0 {
        return Some(Body::Extended);
    }
    if flags & 0x10 != 0 {
        return Some(Body::Empty);
    }
    let envelope = match flags >> 1 & 7 {
        0 => 0,
        1 => 32,
        2 | 3 => 48,
        4 => 64,
        _ => return None,
    };
    b.get(8 + envelope..).map(Body::Wkb)
}
