//! GeoParquet: shapes as WKB, or as the nested lists of GeoArrow, in the column that the `geo` metadata names, or that has Parquet's
//! own type GEOMETRY or GEOGRAPHY.

use super::wkb::shape;
use super::{
    CRS_OF_ANOTHER_KIND, Crs, EDGES, ENCODING, Edges, Features, Field, Input, Kind, NOT_A_FIELD,
    crs_of_epsg, crs_of_json, crs_of_wkt, float_text, not_polygons, places,
};
use crate::error::{Error, Result, base_name, list, open, thousands};
use crate::repair::{Polygon, Ring, Shape};
use arrow_array::cast::AsArray;
use arrow_array::types as t;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder as Builder;
use parquet::basic::{EdgeInterpolationAlgorithm as Algorithm, LogicalType};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, KeyValue};
use parquet::file::reader::{ChunkReader, Length};
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

pub fn read(path: &Path, wanted: &[String]) -> Result<Features> {
    let file = open(path)?;
    let len = file.metadata().map_err(|e| Error::file("read", path, e))?.len();
    let failed = Arc::default();
    let pages = Pages { file: Arc::new(file), len, failed: Arc::clone(&failed) };
    let read = table(pages, &base_name(path), &path.display().to_string(), wanted);
    // What the system refused is no fault of the file's, and the library hands it on as a text.
    match failed.lock().unwrap_or_else(|e| e.into_inner()).take() {
        Some(e) if read.is_err() => Err(Error::file("read", path, e)),
        _ => read,
    }
}

/// A file that is opened once: the reader of `File` itself opens another for each page.
struct Pages {
    file: Arc<File>,
    len: u64,
    failed: Arc<Mutex<Option<std::io::Error>>>,
}

impl Pages {
    fn at(&self, at: u64) -> PagesFrom {
        PagesFrom { file: Arc::clone(&self.file), at, failed: Arc::clone(&self.failed) }
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Pages {
    type T = BufReader<PagesFrom>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(self.at(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = Vec::new();
        // A length that a damaged file names may be longer than the file.
        self.at(start).take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(parquet::errors::ParquetError::EOF(format!(
                "{length} bytes at {start} go on after the end"
            )));
        }
        Ok(bytes.into())
    }
}

struct PagesFrom {
    file: Arc<File>,
    at: u64,
    failed: Arc<Mutex<Option<std::io::Error>>>,
}

impl Read for PagesFrom {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(into, self.at).inspect_err(|e| {
            let interrupted = e.kind() == std::io::ErrorKind::Interrupted; // read again by who asked
            if !interrupted && let Ok(mut failed) = self.failed.lock() {
                *failed = e.raw_os_error().map(std::io::Error::from_raw_os_error);
            }
        })?;
        self.at += n as u64;
        Ok(n)
    }
}

pub fn read_bytes(input: &Input, wanted: &[String]) -> Result<Features> {
    table::<Bytes>(input.bytes.clone(), &input.name, &input.name, wanted)
}

/// What the metadata say of the column of shapes.
struct About {
    column: String,
    encoding: String,
    crs: Crs,
    edges: Edges,
}

fn table<R: ChunkReader + 'static>(
    file: R,
    name: &str,
    path: &str,
    wanted: &[String],
) -> Result<Features> {
    let damaged = |e: &dyn std::fmt::Display| {
        Error::data(format!("`{name}` cannot be read as Parquet: {e}"))
            .at(path.to_string())
            .hint("write it again, with geopandas' `to_parquet` for instance")
    };
    let builder = Builder::try_new(file).map_err(|e| damaged(&e))?;
    let meta = builder.metadata().file_metadata();
    let schema = builder.schema().clone();
    let about = about(meta, &schema, name, path)?;
    let fields: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let known: Vec<String> = fields.iter().filter(|f| **f != about.column).cloned().collect();
    places(wanted, &known, name)?;
    let chosen = places(wanted, &fields, name)?;
    let Some(shapes_at) = fields.iter().position(|f| *f == about.column) else {
        return Err(Error::data(format!(
            "there is no column `{}`, where the shapes should be",
            about.column
        ))
        .at(format!("{name}: {}", list(&fields, 12)))
        .hint("write it again, with geopandas' `to_parquet` for instance"));
    };
    for k in &chosen {
        let uuid = is_uuid(meta, *k);
        if let Some(what) = unfit(schema.field(*k).data_type(), uuid) {
            return Err(NOT_A_FIELD.error(&[&fields[*k], &what]).at(name.to_string()));
        }
    }
    let uuids: Vec<bool> = chosen.iter().map(|k| is_uuid(meta, *k)).collect();
    let mut roots = chosen.clone();
    roots.push(shapes_at);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader =
        builder.with_batch_size(1024).with_projection(mask).build().map_err(|e| damaged(&e))?;
    let mut out = Features {
        values: vec![Field::default(); chosen.len()],
        shapes: Vec::new(),
        crs: about.crs,
        edges: about.edges,
        warnings: Vec::new(),
    };
    for batch in reader {
        let batch = batch.map_err(|e| damaged(&e))?;
        for ((field, k), uuid) in out.values.iter_mut().zip(&chosen).zip(&uuids) {
            let column =
                batch.column_by_name(&fields[*k]).ok_or_else(|| damaged(&"a column is missing"))?;
            let (texts, kind) = texts(column, *uuid)
                .ok_or_else(|| damaged(&format!("the column `{}` is damaged", fields[*k])))?;
            for text in texts {
                field.push(text, kind);
            }
        }
        let column = batch
            .column_by_name(&about.column)
            .ok_or_else(|| damaged(&"the shapes are missing"))?;
        shapes(column, &about.column, &about.encoding, &mut out.shapes, name)?;
    }
    Ok(out)
}

fn is_uuid(meta: &FileMetaData, root: usize) -> bool {
    let schema = meta.schema_descr();
    let field = schema.root_schema().get_fields().get(root);
    field.is_some_and(|f| matches!(f.get_basic_info().logical_type_ref(), Some(LogicalType::Uuid)))
}

fn about(meta: &FileMetaData, schema: &SchemaRef, name: &str, path: &str) -> Result<About> {
    let empty: Vec<KeyValue> = Vec::new();
    let notes = meta.key_value_metadata().unwrap_or(&empty);
    let note = |key: &str| notes.iter().find(|k| k.key == key).and_then(|k| k.value.as_deref());
    if let Some(geo) = note("geo") {
        let geo: Value = serde_json::from_str(geo).map_err(|e| {
            Error::data(format!("the `geo` metadata of `{name}` are not whole JSON: {e}"))
                .at(path.to_string())
                .hint("write it again, with geopandas' `to_parquet` for instance")
        })?;
        let column = geo["primary_column"].as_str().unwrap_or("geometry").to_string();
        let about = &geo["columns"][&column];
        let crs = match about.get("crs") {
            None => Crs::Geographic, // the standard's default is longitude and latitude
            Some(Value::Null) => Crs::Unknown,
            Some(Value::String(text)) => crs_of_wkt(text), // before version 0.4
            Some(c) => crs_of_json(c),
        };
        let edges = match about["edges"].as_str() {
            None if about["edges"].is_null() => Edges::Planar,
            Some("planar") => Edges::Planar,
            Some("spherical") => Edges::Spherical,
            other => {
                let said = about["edges"].to_string();
                return Err(EDGES.error(&[other.unwrap_or(&said)]).at(name.to_string()));
            }
        };
        let encoding = about["encoding"].as_str().unwrap_or("WKB").to_string();
        return Ok(About { column, encoding, crs, edges });
    }
    // Parquet's own types, of 2025.
    for field in meta.schema_descr().root_schema().get_fields() {
        let info = field.get_basic_info();
        let (crs, edges) = match info.logical_type_ref() {
            Some(LogicalType::Geometry(g)) => (&g.crs, Edges::Planar),
            Some(LogicalType::Geography(g)) => match g.algorithm() {
                None | Some(Algorithm::SPHERICAL) => (&g.crs, Edges::Spherical),
                Some(other) => {
                    let said = other.to_string().to_lowercase();
                    return Err(EDGES.error(&[&said]).at(name.to_string()));
                }
            },
            _ => continue,
        };
        let crs = match crs.as_deref() {
            None => Crs::Geographic,
            Some(said) => own_crs(said, &note, name)?,
        };
        let column = info.name().to_string();
        return Ok(About { column, encoding: "WKB".to_string(), crs, edges });
    }
    // GeoArrow's names of types, as pyarrow keeps them.
    for field in schema.fields() {
        let said = field.metadata();
        let Some(encoding) =
            said.get("ARROW:extension:name").and_then(|n| n.strip_prefix("geoarrow."))
        else {
            continue;
        };
        let more: Value = said
            .get("ARROW:extension:metadata")
            .and_then(|m| serde_json::from_str(m).ok())
            .unwrap_or(Value::Null);
        let crs = match &more["crs"] {
            Value::Null => Crs::Unknown,
            Value::String(text) => own_crs(text, &note, name)?,
            json => crs_of_json(json),
        };
        let edges = match more["edges"].as_str() {
            None | Some("planar") => Edges::Planar,
            Some("spherical") => Edges::Spherical,
            Some(other) => return Err(EDGES.error(&[other]).at(name.to_string())),
        };
        let encoding = if encoding == "wkb" { "WKB" } else { encoding }.to_string();
        return Ok(About { column: field.name().clone(), encoding, crs, edges });
    }
    Err(Error::data(format!("`{name}` is Parquet without geometry (no `geo` metadata)"))
        .at(path.to_string())
        .hint("write it with geopandas' `to_parquet`"))
}

/// `OGC:CRS84`, `EPSG:3857`, `srid:3857`, `projjson:NAME` of other metadata, or PROJJSON itself.
fn own_crs<'a>(said: &str, note: &dyn Fn(&str) -> Option<&'a str>, name: &str) -> Result<Crs> {
    let strange = || CRS_OF_ANOTHER_KIND.error(&[said]).at(name.to_string());
    let json = |text: &str| {
        serde_json::from_str::<Value>(text).map(|v| crs_of_json(&v)).map_err(|_| strange())
    };
    if said.trim_start().starts_with('{') {
        return json(said);
    }
    match said.split_once(':') {
        Some(("projjson", key)) => json(note(key).ok_or_else(strange)?),
        Some(("OGC", "CRS84")) => Ok(Crs::Geographic),
        Some(("srid", "0")) => Ok(Crs::Unknown),
        Some((kind, code)) if kind == "srid" || kind.eq_ignore_ascii_case("EPSG") => {
            Ok(crs_of_epsg(&format!("EPSG:{code}"), code.parse().map_err(|_| strange())?))
        }
        _ => Ok(crs_of_wkt(said)),
    }
}

fn shapes(
    column: &ArrayRef,
    named: &str,
    encoding: &str,
    out: &mut Vec<Shape>,
    name: &str,
) -> Result<()> {
    let wrong = || {
        Error::data(format!("the column `{}` holds no shapes ({})", named, encoding))
            .at(name.to_string())
            .hint("write it again, with geopandas' `to_parquet` for instance")
    };
    let mut wkb = |row: usize, bytes: Option<&[u8]>| -> Result<()> {
        debug_assert!(row < column.len());
        let number = out.len();
        out.push(match bytes {
            None => Vec::new(),
            Some(b) => shape(b).map_err(|e| e.error(number, name))?,
        });
        Ok(())
    };
    match encoding.to_lowercase().as_str() {
        "wkb" => match column.data_type() {
            DataType::Binary => {
                column.as_binary::<i32>().iter().enumerate().try_for_each(|(k, b)| wkb(k, b))
            }
            DataType::LargeBinary => {
                column.as_binary::<i64>().iter().enumerate().try_for_each(|(k, b)| wkb(k, b))
            }
            DataType::BinaryView => {
                column.as_binary_view().iter().enumerate().try_for_each(|(k, b)| wkb(k, b))
            }
            _ => Err(wrong()),
        },
        kind @ ("polygon" | "multipolygon") => {
            for k in 0..column.len() {
                let number = || thousands(out.len() as u64 + 1);
                let shape = if column.is_null(k) {
                    Some(Vec::new())
                } else if kind == "polygon" {
                    item(column, k).and_then(|rings| polygon(&rings)).map(|p| vec![p])
                } else {
                    item(column, k).and_then(|parts| {
                        (0..parts.len()).map(|k| polygon(&item(&parts, k)?)).collect()
                    })
                };
                let mut shape = shape.ok_or_else(|| {
                    Error::data(format!("the geometry of row {} is damaged", number()))
                        .at(name.to_string())
                        .hint("fetch the file again")
                })?;
                shape.retain(|p| !p.is_empty());
                out.push(shape);
            }
            Ok(())
        }
        "point" => Err(not_polygons("point", 0, name)),
        "linestring" | "multilinestring" => Err(not_polygons("line", 0, name)),
        "multipoint" => Err(not_polygons("set of points", 0, name)),
        _ => Err(ENCODING.error(&[encoding]).at(name.to_string())),
    }
}

/// What a row of lists holds; nothing for another type or a list that is not there.
fn item(lists: &ArrayRef, k: usize) -> Option<ArrayRef> {
    if lists.is_null(k) {
        return None;
    }
    match lists.data_type() {
        DataType::List(_) => Some(lists.as_list::<i32>().value(k)),
        DataType::LargeList(_) => Some(lists.as_list::<i64>().value(k)),
        _ => None,
    }
}

fn polygon(rings: &ArrayRef) -> Option<Polygon> {
    (0..rings.len()).map(|k| ring(&item(rings, k)?)).collect()
}

/// Corners as pairs of two columns, or one after the other in one.
fn ring(corners: &ArrayRef) -> Option<Ring> {
    if corners.null_count() > 0 {
        return None;
    }
    match corners.data_type() {
        DataType::Struct(_) => {
            let both = corners.as_struct();
            let x = both.column_by_name("x")?.as_primitive_opt::<t::Float64Type>()?;
            let y = both.column_by_name("y")?.as_primitive_opt::<t::Float64Type>()?;
            (x.null_count() + y.null_count() == 0)
                .then(|| x.values().iter().zip(y.values()).map(|(x, y)| [*x, *y]).collect())
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).ok().filter(|s| *s >= 2)?;
            let lists = corners.as_fixed_size_list();
            let from = lists.value_offset_at(0);
            let all = lists.values().as_primitive_opt::<t::Float64Type>()?;
            let all = all.values().get(from..from.checked_add(size.checked_mul(lists.len())?)?)?;
            Some(all.chunks_exact(size).map(|p| [p[0], p[1]]).collect())
        }
        _ => None,
    }
}

/// Why a type is neither key nor carried along; nothing where it can be.
fn unfit(kind: &DataType, uuid: bool) -> Option<String> {
    match kind {
        DataType::Dictionary(_, inner) => unfit(inner, false),
        DataType::FixedSizeBinary(16) if uuid => None,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Some("bytes".to_string()),
        DataType::Struct(_) => Some("structures of several fields".to_string()),
        DataType::Map(..) => Some("maps".to_string()),
        DataType::Duration(_) => Some("durations".to_string()),
        DataType::Interval(_) => Some("intervals".to_string()),
        kind if kind.is_nested() => Some("lists".to_string()),
        _ => None,
    }
}

type Texts = (Vec<Option<String>>, Kind);

fn primitive<P: ArrowPrimitiveType>(
    a: &ArrayRef,
    text: impl Fn(P::Native) -> Option<String>,
) -> Option<Vec<Option<String>>> {
    let a: &PrimitiveArray<P> = a.as_primitive_opt()?;
    Some(a.iter().map(|v| v.and_then(&text)).collect())
}

/// A column as people read it; nothing for a type that `unfit` refuses.
fn texts(a: &ArrayRef, uuid: bool) -> Option<Texts> {
    macro_rules! whole {
        ($kind:ty) => {
            (primitive::<$kind>(a, |v| Some(v.to_string()))?, Kind::Int)
        };
    }
    macro_rules! decimals {
        ($kind:ty, $scale:expr) => {
            (primitive::<$kind>(a, |v| Some(scaled(&v.to_string(), *$scale)))?, Kind::Decimal)
        };
    }
    Some(match a.data_type() {
        DataType::Null => (vec![None; a.len()], Kind::Text),
        DataType::Boolean => {
            (a.as_boolean().iter().map(|v| v.map(|v| v.to_string())).collect(), Kind::Text)
        }
        DataType::Int8 => whole!(t::Int8Type),
        DataType::Int16 => whole!(t::Int16Type),
        DataType::Int32 => whole!(t::Int32Type),
        DataType::Int64 => whole!(t::Int64Type),
        DataType::UInt8 => whole!(t::UInt8Type),
        DataType::UInt16 => whole!(t::UInt16Type),
        DataType::UInt32 => whole!(t::UInt32Type),
        DataType::UInt64 => whole!(t::UInt64Type),
        DataType::Float16 => (primitive::<t::Float16Type>(a, |v| short(v.to_f32()))?, Kind::Float),
        DataType::Float32 => (primitive::<t::Float32Type>(a, short)?, Kind::Float),
        DataType::Float64 => (primitive::<t::Float64Type>(a, float_text)?, Kind::Float),
        DataType::Decimal32(_, s) => decimals!(t::Decimal32Type, s),
        DataType::Decimal64(_, s) => decimals!(t::Decimal64Type, s),
        DataType::Decimal128(_, s) => decimals!(t::Decimal128Type, s),
        DataType::Decimal256(_, s) => decimals!(t::Decimal256Type, s),
        DataType::Utf8 => {
            (a.as_string::<i32>().iter().map(|v| v.map(str::to_string)).collect(), Kind::Text)
        }
        DataType::LargeUtf8 => {
            (a.as_string::<i64>().iter().map(|v| v.map(str::to_string)).collect(), Kind::Text)
        }
        DataType::Utf8View => {
            (a.as_string_view().iter().map(|v| v.map(str::to_string)).collect(), Kind::Text)
        }
        DataType::Date32 => {
            (primitive::<t::Date32Type>(a, |v| Some(date(i64::from(v))))?, Kind::Text)
        }
        DataType::Date64 => {
            (primitive::<t::Date64Type>(a, |v| Some(date(v.div_euclid(86_400_000))))?, Kind::Text)
        }
        DataType::Time32(TimeUnit::Second) => {
            (primitive::<t::Time32SecondType>(a, |v| Some(clock(i64::from(v), 1)))?, Kind::Text)
        }
        DataType::Time32(_) => (
            primitive::<t::Time32MillisecondType>(a, |v| Some(clock(i64::from(v), 1000)))?,
            Kind::Text,
        ),
        DataType::Time64(TimeUnit::Microsecond) => {
            (primitive::<t::Time64MicrosecondType>(a, |v| Some(clock(v, 1_000_000)))?, Kind::Text)
        }
        DataType::Time64(_) => (
            primitive::<t::Time64NanosecondType>(a, |v| Some(clock(v, 1_000_000_000)))?,
            Kind::Text,
        ),
        DataType::Timestamp(unit, zone) => {
            let zone = zone.is_some();
            let texts = match unit {
                TimeUnit::Second => {
                    primitive::<t::TimestampSecondType>(a, |v| Some(moment(v, 1, zone)))?
                }
                TimeUnit::Millisecond => {
                    primitive::<t::TimestampMillisecondType>(a, |v| Some(moment(v, 1000, zone)))?
                }
                TimeUnit::Microsecond => primitive::<t::TimestampMicrosecondType>(a, |v| {
                    Some(moment(v, 1_000_000, zone))
                })?,
                TimeUnit::Nanosecond => primitive::<t::TimestampNanosecondType>(a, |v| {
                    Some(moment(v, 1_000_000_000, zone))
                })?,
            };
            (texts, Kind::Text)
        }
        DataType::Dictionary(..) => {
            let d = a.as_any_dictionary_opt()?;
            let (inner, kind) = texts(d.values(), false)?;
            if inner.is_empty() {
                return (d.null_count() == d.len()).then(|| (vec![None; d.len()], kind));
            }
            let keys = d.normalized_keys();
            let out = keys
                .iter()
                .enumerate()
                .map(|(k, v)| if d.is_null(k) { None } else { inner.get(*v).cloned().flatten() });
            (out.collect(), kind)
        }
        DataType::FixedSizeBinary(16) if uuid => {
            let text = |b: &[u8]| {
                let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
                format!(
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                )
            };
            (a.as_fixed_size_binary().iter().map(|v| v.map(text)).collect(), Kind::Text)
        }
        _ => return None,
    })
}

/// 0.1 of 32 bits is `0.1`, not `0.10000000149011612`.
fn short(v: f32) -> Option<String> {
    if v == 0.0 || v.is_nan() { float_text(f64::from(v)) } else { Some(v.to_string()) }
}

/// 1250 with two decimals is `12.50`.
fn scaled(digits: &str, scale: i8) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |d| ("-", d));
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, part) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{part}")
        }
        Err(_) if digits == "0" => "0".to_string(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

/// Days since 1970-01-01 in the calendar of today.
fn date(days: i64) -> String {
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i128::from(month <= 2);
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}-{month:02}-{of_month:02}", year.unsigned_abs())
}

/// The time of day; parts of a second where there are any.
fn clock(v: i64, a_second: i64) -> String {
    let (seconds, part) = (v.div_euclid(a_second), v.rem_euclid(a_second));
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if part != 0 {
        let nanoseconds = format!("{:09}", part * (1_000_000_000 / a_second));
        let digits = nanoseconds.trim_end_matches("000");
        out.push('.');
        out.push_str(digits);
    }
    out
}

/// Of a zone only the moment is kept, in UTC.
fn moment(v: i64, a_second: i64, zone: bool) -> String {
    let a_day = 86_400 * a_second;
    let (days, rest) = (v.div_euclid(a_day), v.rem_euclid(a_day));
    format!("{}T{}{}", date(days), clock(rest, a_second), if zone { "Z" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_written_as_iso_8601() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(-719_528), "0000-01-01");
        assert_eq!(moment(-1, 1000, false), "1969-12-31T23:59:59.999");
        assert_eq!(moment(86_400_500_000, 1_000_000, true), "1970-01-02T00:00:00.500Z");
        assert_eq!(moment(i64::MIN, 1, false).len(), "-292277022657-01-27T08:29:52".len());
    }

    #[test]
    fn decimals_keep_their_scale() {
        for (digits, scale, text) in [
            ("1250", 2, "12.50"),
            ("-5", 2, "-0.05"),
            ("0", 2, "0.00"),
            ("12", -2, "1200"),
            ("0", -2, "0"),
            ("7", 0, "7"),
        ] {
            assert_eq!(scaled(digits, scale), text);
        }
    }
}
