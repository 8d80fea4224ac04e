//! GeoParquet: WKB in the geometry column that the `geo` metadata names.

use super::wkb::{Problem, shape};
use super::{Crs, Features, crs_of_json, not_polygons, places};
use crate::error::{Error, Result, base_name, list, open, thousands};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use std::fs::File;
use std::path::Path;

pub fn read(path: &Path, wanted: &[String]) -> Result<Features> {
    let name = base_name(path);
    let damaged = |e: ParquetError| {
        Error::data(format!("`{name}` cannot be read as Parquet: {e}"))
            .at(path.display().to_string())
            .hint("write it again, with geopandas' `to_parquet` for instance")
    };
    let file = open(path)?;
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let meta = reader.metadata().file_metadata();
    let geo = meta
        .key_value_metadata()
        .and_then(|kv| kv.iter().find(|k| k.key == "geo"))
        .and_then(|k| k.value.as_deref())
        .and_then(|v| serde_json::from_str::<Value>(v).ok());
    let Some(geo) = geo else {
        return Err(Error::data(format!(
            "`{name}` is Parquet without geometry (no `geo` metadata)"
        ))
        .at(path.display().to_string())
        .hint("write it with geopandas' `to_parquet`"));
    };
    let column = geo["primary_column"].as_str().unwrap_or("geometry").to_string();
    let about = &geo["columns"][&column];
    let encoding = about["encoding"].as_str().unwrap_or("WKB");
    if encoding != "WKB" {
        return Err(Error::data(format!("the geometry is encoded as `{encoding}`, not as WKB"))
            .at(name)
            .hint("write it with `geometry_encoding=\"WKB\"`"));
    }
    let crs = match about.get("crs") {
        None => Crs::Geographic, // the standard's default is longitude and latitude
        Some(Value::Null) => Crs::Unknown,
        Some(c) => crs_of_json(c),
    };
    let fields: Vec<String> =
        meta.schema_descr().columns().iter().map(|c| c.path().string()).collect();
    let known: Vec<String> = fields.iter().filter(|f| **f != column).cloned().collect();
    places(wanted, &known, &name)?;
    let mut values = Vec::new();
    for place in places(wanted, &fields, &name)? {
        values.push(texts(&reader, place).map_err(damaged)?.ok_or_else(|| {
            Error::data(format!("the field `{}` is neither text nor a whole number", fields[place]))
                .at(name.clone())
                .hint("choose another field for `--key`, or write it as text")
        })?);
    }
    let place = fields.iter().position(|f| *f == column).ok_or_else(|| {
        Error::data(format!("there is no column `{column}`, where the shapes should be"))
            .at(format!("{name}: {}", list(&fields, 12)))
            .hint("write it again, with geopandas' `to_parquet` for instance")
    })?;
    let mut out = Vec::new();
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group).map_err(damaged)?;
        let count = usize::try_from(rows.metadata().num_rows()).unwrap_or(0);
        let ColumnReader::ByteArrayColumnReader(mut r) =
            rows.get_column_reader(place).map_err(damaged)?
        else {
            return Err(Error::data(format!("the column `{column}` holds no shapes (WKB)"))
                .at(name)
                .hint("write it again, with geopandas' `to_parquet` for instance"));
        };
        let nullable = meta.schema_descr().column(place).max_def_level() > 0;
        for bytes in column_values(&mut r, count, nullable).map_err(damaged)? {
            let row = out.len();
            out.push(match bytes.as_ref().map(|b| shape(b.data())) {
                None => Vec::new(),
                Some(Ok(r)) => r,
                Some(Err(Problem::NotPolygon(what))) => return Err(not_polygons(what, row, &name)),
                Some(Err(Problem::Damaged)) => {
                    let number = thousands(row as u64 + 1);
                    return Err(Error::data(format!("the geometry of row {number} is damaged"))
                        .at(name)
                        .hint("fetch the file again"));
                }
            });
        }
    }
    let values = values.into_iter().map(super::Field::of_texts).collect();
    Ok(Features { values, shapes: out, crs, edges: super::Edges::Planar, warnings: Vec::new() })
}

/// The values of one column of one row group; nothing where a row has none.
fn column_values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    nullable: bool,
) -> std::result::Result<Vec<Option<T::T>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let levels = if nullable { Some(&mut levels) } else { None };
        let (got, _, _) = reader.read_records(rows - read, levels, None, &mut values)?;
        if got == 0 {
            break;
        }
        read += got;
    }
    if !nullable {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let top = levels.iter().copied().max().unwrap_or(1).max(1);
    Ok(levels.iter().map(|l| if *l == top { values.next() } else { None }).collect())
}

/// A text or integer column as texts; nothing for other types.
fn texts(
    reader: &SerializedFileReader<File>,
    place: usize,
) -> std::result::Result<Option<Vec<String>>, ParquetError> {
    let descr = reader.metadata().file_metadata().schema_descr().column(place);
    let nullable = descr.max_def_level() > 0;
    let is_text = matches!(descr.logical_type_ref(), Some(LogicalType::String))
        || matches!(descr.converted_type(), ConvertedType::UTF8 | ConvertedType::NONE);
    let mut out = Vec::new();
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group)?;
        let count = usize::try_from(rows.metadata().num_rows()).unwrap_or(0);
        match rows.get_column_reader(place)? {
            ColumnReader::ByteArrayColumnReader(mut r) if is_text => {
                for v in column_values(&mut r, count, nullable)? {
                    let text = v.map(|v| String::from_utf8_lossy(v.data()).into_owned());
                    out.push(text.unwrap_or_default());
                }
            }
            ColumnReader::Int32ColumnReader(mut r) => {
                for v in column_values(&mut r, count, nullable)? {
                    out.push(v.map(|v| v.to_string()).unwrap_or_default());
                }
            }
            ColumnReader::Int64ColumnReader(mut r) => {
                for v in column_values(&mut r, count, nullable)? {
                    out.push(v.map(|v| v.to_string()).unwrap_or_default());
                }
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(out))
}
