//! Files that are wrong in one place.

use crate::common::*;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::path::Path;
use std::sync::Arc;

/// The bytes with a text in the place of another of the same length.
pub fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut out = bytes.to_vec();
    let mut found = false;
    for k in 0..=out.len() - from.len() {
        if &out[k..k + from.len()] == from {
            out[k..k + from.len()].copy_from_slice(to);
            found = true;
        }
    }
    assert!(found, "{}", String::from_utf8_lossy(from));
    out
}

pub fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|w| w == what).expect("it is there")
}

/// A fixture of tests/data.
pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).expect("the fixture")
}

/// A polygon as a .shp of one record.
pub fn shp() -> Vec<u8> {
    let mut body = 5i32.to_le_bytes().to_vec();
    body.extend([0; 32]);
    body.extend([1i32, 5, 0].iter().flat_map(|v| v.to_le_bytes()));
    for p in [[260.0, 40.0], [260.0, 42.0], [262.0, 42.0], [262.0, 40.0], [260.0, 40.0f64]] {
        body.extend(p.iter().flat_map(|v| v.to_le_bytes()));
    }
    let mut out = vec![0, 0, 0x27, 0x0a];
    out.resize(100, 0);
    out.extend(1i32.to_be_bytes());
    out.extend((body.len() as i32 / 2).to_be_bytes());
    out.extend(body);
    out
}

/// The field `id` of `rows` rows, all `a`.
pub fn dbf(rows: u8) -> Vec<u8> {
    let mut out = vec![3, 1, 1, 1, rows, 0, 0, 0, 65, 0, 5, 0];
    out.resize(32, 0);
    out.extend(b"id\0\0\0\0\0\0\0\0\0C\0\0\0\0\x04");
    out.resize(64, 0);
    out.push(b'\r');
    for _ in 0..rows {
        out.extend(b" a   ");
    }
    out.push(0x1a);
    out
}

/// Name and content of the members, stored as they are.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let at = out.len() as u32;
        let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        head.extend(libdeflater::crc32(bytes).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&head);
        out.extend(name.as_bytes());
        out.extend(*bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

pub enum Column<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Double(f64),
}

/// Parquet of one row, with the metadata `geo` or without.
pub fn parquet(path: &Path, geo: Option<&str>, columns: &[(&str, Column)]) {
    let fields: Vec<String> = columns
        .iter()
        .map(|(name, c)| match c {
            Column::Text(_) => format!("required binary {name} (UTF8);"),
            Column::Bytes(_) => format!("required binary {name};"),
            Column::Double(_) => format!("required double {name};"),
        })
        .collect();
    let schema = format!("message rows {{ {} }}", fields.join(" "));
    let schema = parquet::schema::parser::parse_message_type(&schema).expect("a schema");
    let notes = geo.map(|g| vec![KeyValue::new("geo".to_string(), g.to_string())]);
    let properties = WriterProperties::builder().set_key_value_metadata(notes).build();
    let out = std::fs::File::create(path).expect("a file");
    let mut writer =
        SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    for (_, column) in columns {
        let mut c = group.next_column().expect("a column").expect("a column");
        match column {
            Column::Double(v) => {
                c.typed::<DoubleType>().write_batch(&[*v], None, None).expect("a value");
            }
            Column::Text(v) => {
                let v = ByteArray::from(v.as_bytes().to_vec());
                c.typed::<ByteArrayType>().write_batch(&[v], None, None).expect("a value");
            }
            Column::Bytes(v) => {
                let v = ByteArray::from(v.to_vec());
                c.typed::<ByteArrayType>().write_batch(&[v], None, None).expect("a value");
            }
        }
        c.close().expect("a column");
    }
    group.close().expect("a group");
    writer.close().expect("a file");
}

/// A square as WKB.
pub fn wkb() -> Vec<u8> {
    let mut out = vec![1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0];
    for p in [[260.0, 40.0], [262.0, 40.0], [262.0, 42.0], [260.0, 42.0], [260.0, 40.0f64]] {
        out.extend(p.iter().flat_map(|v| v.to_le_bytes()));
    }
    out
}

/// One chunk of a netCDF-4 file: where its entry in the table stands, and its place.
pub struct Chunk {
    pub entry: usize,
    pub rank: usize,
    pub at: usize,
}

impl Chunk {
    /// The chunks in the tables (B-trees of version 1) of variables of `rank` dimensions.
    pub fn all(bytes: &[u8], rank: usize) -> Vec<Chunk> {
        let int = |at: usize, n: usize| {
            bytes[at..at + n].iter().rev().fold(0usize, |a, b| a << 8 | usize::from(*b))
        };
        let mut out = Vec::new();
        for at in (0..bytes.len() - 24).filter(|k| bytes[*k..].starts_with(b"TREE\x01\0")) {
            let step = 8 + 8 * (rank + 1) + 8;
            for k in 0..int(at + 6, 2) {
                let entry = at + 24 + k * step;
                out.push(Chunk { entry, rank, at: int(entry + step - 8, 8) });
            }
        }
        assert!(!out.is_empty(), "no chunk was found");
        out
    }

    pub fn set_size(&self, bytes: &mut [u8], size: u32) {
        bytes[self.entry..self.entry + 4].copy_from_slice(&size.to_le_bytes());
    }

    /// Bits of filters that were not used.
    pub fn set_skipped(&self, bytes: &mut [u8], mask: u32) {
        bytes[self.entry + 4..self.entry + 8].copy_from_slice(&mask.to_le_bytes());
    }

    /// The place of its first value along a dimension.
    pub fn set_offset(&self, bytes: &mut [u8], dim: usize, value: u64) {
        let at = self.entry + 8 + 8 * dim;
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    pub fn set_place(&self, bytes: &mut [u8], place: u64) {
        let at = self.entry + 8 + 8 * (self.rank + 1);
        bytes[at..at + 8].copy_from_slice(&place.to_le_bytes());
    }

    /// Other bytes in its stead, at the end of the file.
    pub fn put(&self, bytes: &mut Vec<u8>, new: &[u8]) {
        let end = bytes.len() as u64;
        self.set_place(bytes, end);
        self.set_size(bytes, new.len() as u32);
        bytes.extend(new);
    }
}
