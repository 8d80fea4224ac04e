//! Rows out: Parquet, CSV, Arrow or netCDF, in groups of rows, so that memory does not grow with the number of days.

mod arrow;
mod netcdf;
mod target;
mod wide;

pub use target::{Target, failed as stream_failed};

use crate::error::{Error, Result};
use crate::regions::Column;
use crate::threads::helpers;
use crate::time::Dates;
use bytes::Bytes;
use parquet::basic::ZstdLevel;
use parquet::basic::{
    Compression, ConvertedType, Encoding, LogicalType, Repetition, TimeUnit, Type,
};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion,
};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, ColumnPath, Type as SchemaType};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows per row group, about.
const GROUP: usize = 122_880;
/// Values per row group where rows are wide.
const MOST_VALUES: usize = 4 << 20;

/// The values along an axis that is no CF time, in their own type.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Vec<String>),
}

impl Labels {
    pub fn len(&self) -> usize {
        match self {
            Labels::Int(v) => v.len(),
            Labels::Float(v) => v.len(),
            Labels::Text(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The columns of the output before the statistics.
#[derive(Clone)]
pub struct Shape {
    /// No name: no column.
    pub key_name: String,
    pub keys: Vec<String>,
    /// Columns of the regions, after the key.
    pub carried: Vec<(String, Column)>,
    /// A point for each region, latitude and longitude, where its cells are centred.
    pub centres: Vec<[f64; 2]>,
    pub has_time: bool,
    /// What the times count; where that is no real days, the column is a text.
    pub dates: Dates,
    /// How many steps there will be.
    pub steps: usize,
    /// Further axes, by name; the labels only say of what type they are.
    pub axes: Vec<(String, Labels)>,
    /// Statistics, by column name; all float64, NaN for missing.
    pub columns: Vec<String>,
    /// Units and cell method of each column.
    pub about: Vec<(String, String)>,
    /// Key-value metadata.
    pub notes: Vec<(String, String)>,
}

/// One step's place on the axes.
#[derive(Clone)]
pub struct Step {
    pub time: i64,
    pub places: Vec<usize>,
}

/// Consecutive steps with all regions each: column by column, steps outer and regions inner.
pub struct Rows<'a> {
    pub steps: Vec<Step>,
    pub labels: &'a [Labels],
    pub columns: Vec<Vec<f64>>,
}

pub trait Sink {
    fn push(&mut self, rows: Rows) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<()>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Parquet,
    Csv,
    Arrow,
    Netcdf,
}

impl Format {
    pub const NAMES: [(&str, Format); 4] = [
        ("parquet", Format::Parquet),
        ("csv", Format::Csv),
        ("arrow", Format::Arrow),
        ("nc", Format::Netcdf),
    ];

    /// By the file's extension.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
            Some("parquet" | "pq") => Ok(Format::Parquet),
            Some("csv") => Ok(Format::Csv),
            Some("arrow" | "feather" | "ipc") => Ok(Format::Arrow),
            Some("nc") => Ok(Format::Netcdf),
            _ => Err(Error::usage(format!("`{}` is no kind of output known here", path.display()))
                .hint("name it .parquet, .csv, .arrow or .nc, or say `--format`")),
        }
    }

    pub fn name(self) -> &'static str {
        Format::NAMES.iter().find(|(_, f)| *f == self).map_or("", |(n, _)| n)
    }
}

/// Opens the output; `-` is the stream on stdout. `wide` asks for one row per step and a column per region and statistic.
pub fn open(
    path: &Path,
    format: Format,
    shape: Shape,
    wide: bool,
    threads: usize,
) -> Result<Box<dyn Sink>> {
    if format == Format::Netcdf && target::is_stream(path) {
        return Err(Error::usage(
            "netCDF cannot be streamed: its parts are written in several places",
        )
        .hint("name a file, or choose `--format csv`, `arrow` or `parquet`"));
    }
    if format == Format::Netcdf && wide {
        return Err(Error::usage("netCDF has no rows that could be wide")
            .hint("leave `--wide` away, or choose `--format csv`, `arrow` or `parquet`"));
    }
    let regions = shape.keys.len();
    let (shape, map) = if wide { wide::reshape(shape) } else { (shape, None) };
    if wide {
        let mut names: Vec<&str> = shape.columns.iter().map(String::as_str).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(Error::data(format!("two columns would be called `{}`", twice[0]))
                .at(path.display().to_string())
                .hint("rename variables with `--variables VARIABLE=NAME`"));
        }
    }
    let target = Target::create(path)?;
    let sink: Box<dyn Sink> = match format {
        Format::Parquet => Box::new(Parquet::new(target, shape, threads)?),
        Format::Csv => Box::new(Csv::new(target, shape)?),
        Format::Arrow => Box::new(arrow::Arrow::new(target, shape)?),
        Format::Netcdf => Box::new(netcdf::Netcdf::new(target, shape)?),
    };
    Ok(match map {
        Some(()) => Box::new(wide::Wide { inner: sink, regions }),
        None => sink,
    })
}

struct Parquet {
    writer: SerializedFileWriter<BufWriter<Target>>,
    path: PathBuf,
    shape: Shape,
    keys: Vec<ByteArray>,
    carried: Vec<Present>,
    times: Vec<i64>,
    axes: Vec<Option<Labels>>,
    columns: Vec<Vec<f64>>,
    threads: usize,
}

/// The values of a carried column that are there, and which are.
enum Present {
    Text(Vec<ByteArray>, Vec<i16>),
    Int(Vec<i64>, Vec<i16>),
    Float(Vec<f64>, Vec<i16>),
}

impl Present {
    fn of(column: &Column) -> Present {
        let levels = (0..column.len()).map(|k| i16::from(column.text(k).is_some())).collect();
        match column {
            Column::Text(v) => {
                let bytes = |t: &String| ByteArray::from(t.as_bytes().to_vec());
                Present::Text(v.iter().flatten().map(bytes).collect(), levels)
            }
            Column::Int(v) => Present::Int(v.iter().flatten().copied().collect(), levels),
            Column::Float(v) => {
                let there = v.iter().flatten().copied().filter(|n| !n.is_nan());
                Present::Float(there.collect(), levels)
            }
        }
    }
}

fn failed(path: &Path, e: ParquetError) -> Error {
    if let ParquetError::External(inner) = e {
        return match inner.downcast::<std::io::Error>() {
            Ok(io) => target::failed(path, *io),
            Err(other) => Error::data(format!("Parquet cannot be written: {other}"))
                .at(path.display().to_string()),
        };
    }
    Error::data(format!("Parquet cannot be written: {e}")).at(path.display().to_string())
}

impl Parquet {
    fn new(target: Target, shape: Shape, threads: usize) -> Result<Parquet> {
        let path = target.path().to_path_buf();
        let schema = schema(&shape).map_err(|e| failed(&path, e))?;
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by(concat!("ncproj ", env!("CARGO_PKG_VERSION")).to_string())
            .set_compression(Compression::ZSTD(
                ZstdLevel::try_new(1).map_err(|e| failed(&path, e))?,
            ))
            .set_key_value_metadata(Some(
                shape.notes.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect(),
            ));
        for name in &shape.columns {
            let path = ColumnPath::from(vec![name.clone()]);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), Encoding::PLAIN)
                .set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
        let writer =
            SerializedFileWriter::new(BufWriter::new(target), schema, Arc::new(properties.build()))
                .map_err(|e| failed(&path, e))?;
        let keys = shape.keys.iter().map(|k| ByteArray::from(k.as_bytes().to_vec())).collect();
        let (axes, columns) = (vec![None; shape.axes.len()], vec![Vec::new(); shape.columns.len()]);
        let carried = shape.carried.iter().map(|(_, c)| Present::of(c)).collect();
        let times = Vec::new();
        Ok(Parquet { writer, path, shape, keys, carried, times, axes, columns, threads })
    }

    fn flush(&mut self) -> Result<()> {
        let rows = self.columns.first().map_or(0, Vec::len);
        if rows == 0 {
            return Ok(());
        }
        self.write_group(rows).map_err(|e| failed(&self.path, e))?;
        self.times.clear();
        self.axes.iter_mut().for_each(|a| *a = None);
        self.columns.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    /// A row group: its columns are packed by all threads, and written in their order.
    fn write_group(&mut self, rows: usize) -> std::result::Result<(), ParquetError> {
        let columns = self.writer.schema_descr().columns().to_vec();
        let properties = self.writer.properties().clone();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                let Some(column) = columns.get(k) else { return done };
                done.push((k, self.pack(k, column, &properties, rows)));
            }
        };
        let threads = self.threads.clamp(1, columns.len());
        let mut packed = std::thread::scope(|scope| {
            let others = helpers(scope, threads - 1, work);
            let mut done = work();
            for other in others {
                done.extend(other.join().map_err(|_| lost())?);
            }
            Ok::<_, ParquetError>(done)
        })?;
        packed.sort_by_key(|(k, _)| *k);
        let mut group = self.writer.next_row_group()?;
        for (_, column) in packed {
            let (bytes, close) = column?;
            group.append_column(&bytes, close)?;
        }
        group.close()?;
        Ok(())
    }

    /// The `number`-th column of the next `rows` rows, as it will stand in the file.
    fn pack(
        &self,
        number: usize,
        column: &ColumnDescPtr,
        properties: &WriterPropertiesPtr,
        rows: usize,
    ) -> std::result::Result<(Bytes, ColumnCloseResult), ParquetError> {
        let mut sink = TrackedWrite::new(Vec::new());
        let pages = Box::new(SerializedPageWriter::new(&mut sink));
        let mut writer = get_column_writer(column.clone(), properties.clone(), pages);
        self.fill(number, &mut writer, rows)?;
        let close = writer.close()?;
        Ok((sink.into_inner()?.into(), close))
    }

    fn fill(
        &self,
        number: usize,
        writer: &mut ColumnWriter,
        rows: usize,
    ) -> std::result::Result<(), ParquetError> {
        use ColumnWriter::{ByteArrayColumnWriter, DoubleColumnWriter, Int64ColumnWriter};
        let regions = self.keys.len();
        let key = usize::from(!self.shape.key_name.is_empty());
        let carried = key + self.carried.len();
        let time = carried + usize::from(self.shape.has_time);
        let axes = time + self.axes.len();
        if (key..carried).contains(&number) {
            for _ in 0..rows / regions {
                match (&mut *writer, &self.carried[number - key]) {
                    (ByteArrayColumnWriter(w), Present::Text(v, levels)) => {
                        w.write_batch(v, Some(levels), None)?;
                    }
                    (Int64ColumnWriter(w), Present::Int(v, levels)) => {
                        w.write_batch(v, Some(levels), None)?;
                    }
                    (DoubleColumnWriter(w), Present::Float(v, levels)) => {
                        w.write_batch(v, Some(levels), None)?;
                    }
                    _ => return Err(ParquetError::General("a column of another type".into())),
                }
            }
            return Ok(());
        }
        match writer {
            ByteArrayColumnWriter(w) if number < key => {
                for _ in 0..rows / regions {
                    w.write_batch(&self.keys, None, None)?;
                }
            }
            ByteArrayColumnWriter(w) if number < time => {
                for t in &self.times {
                    let t = ByteArray::from(self.shape.dates.text(*t).into_bytes());
                    w.write_batch(&vec![t; regions], None, None)?;
                }
            }
            Int64ColumnWriter(w) if number < time => {
                for t in &self.times {
                    w.write_batch(&vec![*t; regions], None, None)?;
                }
            }
            DoubleColumnWriter(w) if number >= axes => {
                let values = &self.columns[number - axes];
                let levels: Vec<i16> = values.iter().map(|v| i16::from(!v.is_nan())).collect();
                let present: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
                w.write_batch(&present, Some(&levels), None)?;
            }
            _ => {
                match (writer, self.axes.get(number.wrapping_sub(time)).and_then(Option::as_ref)) {
                    (Int64ColumnWriter(w), Some(Labels::Int(v))) => {
                        for x in v {
                            w.write_batch(&vec![*x; regions], None, None)?;
                        }
                    }
                    (DoubleColumnWriter(w), Some(Labels::Float(v))) => {
                        for x in v {
                            w.write_batch(&vec![*x; regions], None, None)?;
                        }
                    }
                    (ByteArrayColumnWriter(w), Some(Labels::Text(v))) => {
                        for x in v {
                            let x = vec![ByteArray::from(x.as_bytes().to_vec()); regions];
                            w.write_batch(&x, None, None)?;
                        }
                    }
                    _ => return Err(ParquetError::General("a column of another type".into())),
                }
            }
        }
        Ok(())
    }
}

fn lost() -> ParquetError {
    ParquetError::General("a thread that packs columns stopped".into())
}

fn schema(shape: &Shape) -> std::result::Result<Arc<SchemaType>, ParquetError> {
    let text_as = |name: &str, r: Repetition| {
        SchemaType::primitive_type_builder(name, Type::BYTE_ARRAY)
            .with_repetition(r)
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8)
            .build()
    };
    let text = |name: &str| text_as(name, Repetition::REQUIRED);
    let plain = |name: &str, t: Type, r: Repetition| {
        SchemaType::primitive_type_builder(name, t).with_repetition(r).build()
    };
    let mut fields = Vec::new();
    if !shape.key_name.is_empty() {
        fields.push(Arc::new(text(&shape.key_name)?));
    }
    for (name, column) in &shape.carried {
        fields.push(Arc::new(match column {
            Column::Text(_) => text_as(name, Repetition::OPTIONAL)?,
            Column::Int(_) => plain(name, Type::INT64, Repetition::OPTIONAL)?,
            Column::Float(_) => plain(name, Type::DOUBLE, Repetition::OPTIONAL)?,
        }));
    }
    if shape.has_time && shape.dates.are_text() {
        fields.push(Arc::new(text("time")?));
    } else if shape.has_time {
        let stamp = LogicalType::timestamp(true, TimeUnit::MICROS);
        fields.push(Arc::new(
            SchemaType::primitive_type_builder("time", Type::INT64)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(stamp))
                .build()?,
        ));
    }
    for (name, labels) in &shape.axes {
        fields.push(Arc::new(match labels {
            Labels::Text(_) => text(name)?,
            Labels::Float(_) => plain(name, Type::DOUBLE, Repetition::REQUIRED)?,
            Labels::Int(_) => plain(name, Type::INT64, Repetition::REQUIRED)?,
        }));
    }
    for name in &shape.columns {
        fields.push(Arc::new(plain(name, Type::DOUBLE, Repetition::OPTIONAL)?));
    }
    Ok(Arc::new(SchemaType::group_type_builder("rows").with_fields(fields).build()?))
}

impl Sink for Parquet {
    fn push(&mut self, rows: Rows) -> Result<()> {
        for s in &rows.steps {
            self.times.push(s.time);
            for (k, (kept, labels)) in self.axes.iter_mut().zip(rows.labels).enumerate() {
                let place = s.places[k];
                match (kept, labels) {
                    (Some(Labels::Int(to)), Labels::Int(from)) => to.push(from[place]),
                    (Some(Labels::Float(to)), Labels::Float(from)) => to.push(from[place]),
                    (Some(Labels::Text(to)), Labels::Text(from)) => to.push(from[place].clone()),
                    (kept, Labels::Int(from)) => *kept = Some(Labels::Int(vec![from[place]])),
                    (kept, Labels::Float(from)) => *kept = Some(Labels::Float(vec![from[place]])),
                    (kept, Labels::Text(from)) => {
                        *kept = Some(Labels::Text(vec![from[place].clone()]));
                    }
                }
            }
        }
        for (to, from) in self.columns.iter_mut().zip(&rows.columns) {
            to.extend_from_slice(from);
        }
        let rows = self.columns.first().map_or(0, Vec::len);
        if rows >= GROUP || rows * self.columns.len() >= MOST_VALUES {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        let Parquet { writer, path, .. } = *self;
        let buffer = writer.into_inner().map_err(|e| failed(&path, e))?;
        buffer.into_inner().map_err(|e| target::failed(&path, e.into_error()))?.commit()
    }
}

struct Csv {
    out: BufWriter<Target>,
    path: PathBuf,
    /// With what is carried.
    keys: Vec<String>,
    has_key: bool,
    has_time: bool,
    dates: Dates,
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

impl Csv {
    fn new(target: Target, shape: Shape) -> Result<Csv> {
        let path = target.path().to_path_buf();
        let mut names = Vec::new();
        if !shape.key_name.is_empty() {
            names.push(shape.key_name.clone());
        }
        names.extend(shape.carried.iter().map(|(n, _)| n.clone()));
        if shape.has_time {
            names.push("time".to_string());
        }
        names.extend(shape.axes.iter().map(|(n, _)| n.clone()));
        names.extend(shape.columns.iter().cloned());
        let head: Vec<String> = names.iter().map(|n| quoted(n)).collect();
        let mut out = BufWriter::with_capacity(1 << 16, target);
        writeln!(out, "{}", head.join(",")).map_err(|e| target::failed(&path, e))?;
        let mut keys: Vec<String> = shape.keys.iter().map(|k| quoted(k)).collect();
        for (r, key) in keys.iter_mut().enumerate() {
            for (_, column) in &shape.carried {
                key.push(',');
                // An empty text is not the same as none.
                match column.text(r) {
                    Some(t) if t.is_empty() => key.push_str("\"\""),
                    t => key.push_str(&quoted(&t.unwrap_or_default())),
                }
            }
        }
        let has_key = !shape.key_name.is_empty();
        let (has_time, dates) = (shape.has_time, shape.dates);
        Ok(Csv { out, path, keys, has_key, has_time, dates })
    }

    fn write(&mut self, rows: &Rows) -> std::io::Result<()> {
        for (s, step) in rows.steps.iter().enumerate() {
            let mut place = String::new();
            if self.has_time {
                place.push(',');
                place.push_str(&self.dates.text(step.time));
            }
            for (labels, k) in rows.labels.iter().zip(&step.places) {
                place.push(',');
                place.push_str(&match labels {
                    Labels::Int(v) => v[*k].to_string(),
                    Labels::Float(v) => v[*k].to_string(),
                    Labels::Text(v) => quoted(&v[*k]),
                });
            }
            for (r, key) in self.keys.iter().enumerate() {
                let mut comma = match self.has_key {
                    true => {
                        write!(self.out, "{key}{place}")?;
                        ","
                    }
                    false => {
                        write!(self.out, "{}", place.strip_prefix(',').unwrap_or(""))?;
                        if place.is_empty() { "" } else { "," }
                    }
                };
                for column in &rows.columns {
                    match column[s * self.keys.len() + r] {
                        v if v.is_nan() => write!(self.out, "{comma}")?,
                        v => write!(self.out, "{comma}{v}")?,
                    }
                    comma = ",";
                }
                writeln!(self.out)?;
            }
        }
        Ok(())
    }
}

impl Sink for Csv {
    fn push(&mut self, rows: Rows) -> Result<()> {
        self.write(&rows).map_err(|e| target::failed(&self.path, e))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Csv { out, path, .. } = *self;
        out.into_inner().map_err(|e| target::failed(&path, e.into_error()))?.commit()
    }
}
