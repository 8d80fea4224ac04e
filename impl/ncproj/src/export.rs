//! An index in forms that others read: CSV and Parquet with a row for each pair, netCDF weights as xesmf has them.

use crate::error::{Error, Result, thousands};
use crate::index::Index;
use crate::partial::Partial;
use crate::regions::Column;
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type as SchemaType;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

const COLUMNS: [&str; 6] = ["row", "column", "latitude", "longitude", "coverage", "area_weight"];
/// Pairs that are written at a time.
const GROUP: usize = 1 << 18;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    Csv,
    Parquet,
    Weights,
}

impl Format {
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
            Some("csv") => Ok(Format::Csv),
            Some("parquet" | "pq") => Ok(Format::Parquet),
            Some("nc") => Ok(Format::Weights),
            _ => Err(Error::usage(format!("`{}` is no kind of export known here", path.display()))
                .hint("name it .csv, .parquet or .nc (weights for xesmf)")),
        }
    }
}

/// Writes the index to a file; `by_area` says what the weights of xesmf are made of.
pub fn write(index: &Index, path: &Path, by_area: bool) -> Result<()> {
    let format = Format::of(path)?;
    if COLUMNS.contains(&index.key_name.as_str()) {
        return Err(Error::data(format!("two columns would be called `{}`", index.key_name))
            .at(format!("{}: the key and {}", path.display(), COLUMNS.join(", ")))
            .hint("name the key's column otherwise: `ncproj index --key-name`"));
    }
    if let Some(name) = index.carried.names().find(|n| COLUMNS.contains(&n.as_str())) {
        return Err(Error::data(format!("two columns would be called `{name}`"))
            .at(format!("{}: what is carried and {}", path.display(), COLUMNS.join(", ")))
            .hint(format!("carry it under another name: `ncproj index --carry {name}=NAME`")));
    }
    match format {
        Format::Csv => csv(index, path),
        Format::Parquet => parquet(index, path),
        Format::Weights => weights(index, path, by_area),
    }
}

/// Row, column, latitude, longitude, coverage, weight of a pair.
struct Pairs<'a> {
    index: &'a Index,
    areas: crate::project::Areas<'a>,
}

impl<'a> Pairs<'a> {
    fn new(index: &'a Index) -> Pairs<'a> {
        Pairs { index, areas: index.cell_areas() }
    }

    fn place(&self, p: usize) -> [i32; 2] {
        let (cell, n) = (self.index.cells[p] as usize, self.index.grid.lon.len());
        [(cell / n) as i32, (cell % n) as i32]
    }

    fn values(&self, p: usize) -> [f64; 4] {
        let (cell, share) = (self.index.cells[p], self.index.shares[p]);
        let [lat, lon] = self.index.grid.centre(cell).unwrap_or([f64::NAN; 2]);
        [lat, lon, share, share * self.areas.of(cell)]
    }
}

fn csv(index: &Index, path: &Path) -> Result<()> {
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let (partial, file) = Partial::create(path)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    let pairs = Pairs::new(index);
    let mut all = || -> std::io::Result<()> {
        let mut names = quoted(&index.key_name);
        for name in index.carried.names() {
            names.push(',');
            names.push_str(&quoted(&name));
        }
        writeln!(out, "{names},{}", COLUMNS.join(","))?;
        for (region, key) in index.keys.iter().enumerate() {
            let mut key = quoted(key);
            for (_, column) in &index.carried.columns {
                key.push(',');
                match column.text(region) {
                    Some(t) if t.is_empty() => key.push_str("\"\""),
                    t => key.push_str(&quoted(&t.unwrap_or_default())),
                }
            }
            for p in index.pairs(region) {
                let ([row, column], [lat, lon, share, weight]) = (pairs.place(p), pairs.values(p));
                writeln!(out, "{key},{row},{column},{lat},{lon},{share},{weight}")?;
            }
        }
        out.flush()
    };
    all().map_err(|e| Error::file("write", path, e))?;
    partial.commit()
}

fn parquet(index: &Index, path: &Path) -> Result<()> {
    let (partial, file) = Partial::create(path)?;
    rows(index, file).map_err(|e| match e {
        ParquetError::External(e) => match e.downcast::<std::io::Error>() {
            Ok(e) => Error::file("write", path, *e),
            Err(e) => Error::data(format!("Parquet cannot be written: {e}"))
                .at(path.display().to_string()),
        },
        e => Error::data(format!("Parquet cannot be written: {e}")).at(path.display().to_string()),
    })?;
    partial.commit()
}

fn rows(index: &Index, file: std::fs::File) -> std::result::Result<(), ParquetError> {
    let plain = |name: &str, t: Type| {
        let field =
            SchemaType::primitive_type_builder(name, t).with_repetition(Repetition::REQUIRED);
        Ok::<_, ParquetError>(Arc::new(field.build()?))
    };
    let key = SchemaType::primitive_type_builder(&index.key_name, Type::BYTE_ARRAY)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::String))
        .with_converted_type(ConvertedType::UTF8)
        .build()?;
    let mut fields = vec![Arc::new(key)];
    for (name, column) in &index.carried.columns {
        let field = match column {
            Column::Text(_) => SchemaType::primitive_type_builder(name, Type::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_converted_type(ConvertedType::UTF8),
            Column::Int(_) => SchemaType::primitive_type_builder(name, Type::INT64),
            Column::Float(_) => SchemaType::primitive_type_builder(name, Type::DOUBLE),
        };
        fields.push(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?));
    }
    for (k, name) in COLUMNS.iter().enumerate() {
        fields.push(plain(name, if k < 2 { Type::INT32 } else { Type::DOUBLE })?);
    }
    let schema = SchemaType::group_type_builder("pairs").with_fields(fields).build()?;
    let about = KeyValue::new("ncproj".to_string(), index.describe().to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![about]))
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    let pairs = Pairs::new(index);
    let (mut region, mut from) = (0, 0);
    while from < index.cells.len() {
        let until = index.cells.len().min(from + GROUP);
        let (mut keys, mut places, mut values) =
            (Vec::new(), [Vec::new(), Vec::new()], [const { Vec::new() }; 4]);
        let mut regions = Vec::new();
        for p in from..until {
            while p as u64 >= index.starts[region + 1] {
                region += 1;
            }
            keys.push(ByteArray::from(index.keys[region].as_bytes().to_vec()));
            regions.push(region);
            for (to, v) in places.iter_mut().zip(pairs.place(p)) {
                to.push(v);
            }
            for (to, v) in values.iter_mut().zip(pairs.values(p)) {
                to.push(v);
            }
        }
        let mut group = writer.next_row_group()?;
        let mut k = 0;
        let carried = index.carried.columns.len();
        while let Some(mut column) = group.next_column()? {
            if (1..=carried).contains(&k) {
                carry(&mut column, &index.carried.columns[k - 1].1, &regions)?;
                column.close()?;
                k += 1;
                continue;
            }
            match k - if k > carried { carried } else { 0 } {
                0 => column.typed::<ByteArrayType>().write_batch(&keys, None, None)?,
                n @ (1 | 2) => {
                    column.typed::<Int32Type>().write_batch(&places[n - 1], None, None)?
                }
                n => column.typed::<DoubleType>().write_batch(&values[n - 3], None, None)?,
            };
            column.close()?;
            k += 1;
        }
        group.close()?;
        from = until;
    }
    writer.close()?;
    Ok(())
}

/// The carried values of these regions.
fn carry(
    to: &mut SerializedColumnWriter,
    column: &Column,
    regions: &[usize],
) -> std::result::Result<(), ParquetError> {
    let there = |r: &&usize| column.text(**r).is_some();
    let levels: Vec<i16> = regions.iter().map(|r| i16::from(there(&r))).collect();
    let some = regions.iter().filter(there).copied();
    match column {
        Column::Text(v) => {
            let bytes = |t: &String| ByteArray::from(t.as_bytes().to_vec());
            let values: Vec<ByteArray> = some.filter_map(|r| v[r].as_ref().map(bytes)).collect();
            to.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Int(v) => {
            let values: Vec<i64> = some.filter_map(|r| v[r]).collect();
            to.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Float(v) => {
            let values: Vec<f64> = some.filter_map(|r| v[r]).collect();
            to.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}

/// Name, dimensions, type, what it is, values.
type Variable<'a> = (&'a str, &'a [usize], u32, &'a str, &'a [u8]);

/// A sparse matrix of regions x cells: `row` the region, `col` the cell (row * columns + column of the file), both from
/// 1, `S` the weight; the sum of a region's S is 1. Classic netCDF with 64-bit offsets.
fn weights(index: &Index, path: &Path, by_area: bool) -> Result<()> {
    let most = i32::MAX as usize;
    if index.grid.cells() > most || index.cells.len() > most / 8 {
        return Err(Error::data(format!(
            "the grid has {} cells and the index {} pairs: too many for this file format",
            thousands(index.grid.cells() as u64),
            thousands(index.cells.len() as u64)
        ))
        .at(path.display().to_string())
        .hint("export .parquet instead"));
    }
    let pairs = Pairs::new(index);
    let (mut s, mut row, mut col) = (Vec::new(), Vec::new(), Vec::new());
    for region in 0..index.keys.len() {
        let weight = |p: usize| match by_area {
            true => pairs.values(p)[3],
            false => index.shares[p],
        };
        let total: f64 = index.pairs(region).map(weight).sum();
        for p in index.pairs(region) {
            s.extend((weight(p) / total).to_be_bytes());
            row.extend((region as i32 + 1).to_be_bytes());
            col.extend((index.cells[p] as i32 + 1).to_be_bytes());
        }
    }
    let width = index.keys.iter().map(String::len).max().unwrap_or(0).max(1);
    let mut keys = Vec::new();
    for key in &index.keys {
        keys.extend(key.as_bytes());
        keys.resize(keys.len().next_multiple_of(width).max(keys.len()), 0);
        if key.is_empty() {
            keys.resize(keys.len() + width, 0);
        }
    }
    let dims = [
        ("n_s", index.cells.len()),
        ("n_a", index.grid.cells()),
        ("n_b", index.keys.len()),
        ("key_length", width),
    ];
    let by = if by_area {
        "covered share x area of the cell, sum 1 per region"
    } else {
        "covered share of the cell, sum 1 per region"
    };
    const DOUBLE: u32 = 6;
    const INT: u32 = 4;
    const CHAR: u32 = 2;
    let variables: [Variable; 4] = [
        ("S", &[0], DOUBLE, by, &s),
        ("col", &[0], INT, "cell, from 1: row x columns + column of the grid's file", &col),
        ("row", &[0], INT, "region, from 1, in the order of `region`", &row),
        ("region", &[2, 3], CHAR, &index.key_name, &keys),
    ];
    let number = |b: &mut Vec<u8>, n: usize| b.extend((n as u32).to_be_bytes());
    let text = |b: &mut Vec<u8>, t: &str| {
        b.extend((t.len() as u32).to_be_bytes());
        b.extend(t.as_bytes());
        b.resize(b.len().next_multiple_of(4), 0);
    };
    let attributes = |b: &mut Vec<u8>, list: &[(&str, &str)]| {
        number(b, 12);
        number(b, list.len());
        for (name, value) in list {
            text(b, name);
            number(b, CHAR as usize);
            text(b, value);
        }
    };
    let grid = index.grid.describe();
    let tool = concat!("ncproj ", env!("CARGO_PKG_VERSION"));
    let fingerprint = index.fingerprint();
    let about: [(&str, &str); 5] = [
        ("title", "weights of grid cells for regions"),
        ("source", tool),
        ("grid", &grid),
        ("regions", &index.regions_file),
        ("index", &fingerprint),
    ];
    let head = |begins: &[u64]| {
        let mut b = b"CDF\x02\0\0\0\0".to_vec();
        number(&mut b, 10);
        number(&mut b, dims.len());
        for (name, len) in dims {
            text(&mut b, name);
            number(&mut b, len);
        }
        attributes(&mut b, &about);
        number(&mut b, 11);
        number(&mut b, variables.len());
        for ((name, on, kind, long, data), begin) in variables.iter().zip(begins) {
            text(&mut b, name);
            number(&mut b, on.len());
            on.iter().for_each(|d| number(&mut b, *d));
            attributes(&mut b, &[("long_name", long)]);
            number(&mut b, *kind as usize);
            number(&mut b, data.len().next_multiple_of(4));
            b.extend(begin.to_be_bytes());
        }
        b
    };
    let mut begins = [0u64; 4];
    let mut at = head(&begins).len() as u64;
    for (begin, variable) in begins.iter_mut().zip(&variables) {
        *begin = at;
        at += variable.4.len().next_multiple_of(4) as u64;
    }
    let (partial, file) = Partial::create(path)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    let mut all = || -> std::io::Result<()> {
        out.write_all(&head(&begins))?;
        for variable in &variables {
            out.write_all(variable.4)?;
            out.write_all(&[0; 3][..variable.4.len().next_multiple_of(4) - variable.4.len()])?;
        }
        out.flush()
    };
    all().map_err(|e| Error::file("write", path, e))?;
    partial.commit()
}
