//! Arrow IPC: a file, or a stream on stdout.

use super::{Labels, Rows, Shape, Sink, Target, target};
use crate::error::{Error, Result};
use crate::regions::Column;
use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use std::collections::HashMap;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

enum Writer {
    File(FileWriter<BufWriter<Target>>),
    Stream(StreamWriter<BufWriter<Target>>),
}

pub struct Arrow {
    writer: Writer,
    path: PathBuf,
    schema: Arc<Schema>,
    shape: Shape,
}

fn failed(path: &Path, e: ArrowError) -> Error {
    match e {
        ArrowError::IoError(_, io) => target::failed(path, io),
        e => Error::data(format!("Arrow cannot be written: {e}")).at(path.display().to_string()),
    }
}

impl Arrow {
    pub fn new(target: Target, shape: Shape) -> Result<Arrow> {
        let path = target.path().to_path_buf();
        let mut fields = Vec::new();
        if !shape.key_name.is_empty() {
            fields.push(Field::new(&shape.key_name, DataType::Utf8, false));
        }
        for (name, column) in &shape.carried {
            let kind = match column {
                Column::Text(_) => DataType::Utf8,
                Column::Int(_) => DataType::Int64,
                Column::Float(_) => DataType::Float64,
            };
            fields.push(Field::new(name, kind, true));
        }
        if shape.has_time {
            let stamp = match shape.dates.are_text() {
                true => DataType::Utf8,
                false => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            };
            fields.push(Field::new("time", stamp, false));
        }
        for (name, labels) in &shape.axes {
            let kind = match labels {
                Labels::Int(_) => DataType::Int64,
                Labels::Float(_) => DataType::Float64,
                Labels::Text(_) => DataType::Utf8,
            };
            fields.push(Field::new(name, kind, false));
        }
        for name in &shape.columns {
            fields.push(Field::new(name, DataType::Float64, true));
        }
        // One entry: the order of several would be that of a hash table.
        let notes: HashMap<String, String> = shape.notes.iter().take(1).cloned().collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, notes));
        let stream = target::is_stream(&path);
        let out = BufWriter::new(target);
        let writer = match stream {
            true => StreamWriter::try_new(out, &schema).map(Writer::Stream),
            false => FileWriter::try_new(out, &schema).map(Writer::File),
        };
        Ok(Arrow { writer: writer.map_err(|e| failed(&path, e))?, path, schema, shape })
    }

    fn batch(&self, rows: Rows) -> std::result::Result<RecordBatch, ArrowError> {
        let regions = self.shape.keys.len();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        if !self.shape.key_name.is_empty() {
            let mut keys = StringBuilder::new();
            for _ in &rows.steps {
                self.shape.keys.iter().for_each(|k| keys.append_value(k));
            }
            arrays.push(Arc::new(keys.finish()));
        }
        let steps = rows.steps.len();
        for (_, column) in &self.shape.carried {
            arrays.push(match column {
                Column::Text(v) => {
                    let mut texts = StringBuilder::new();
                    for _ in 0..steps {
                        v.iter().for_each(|t| texts.append_option(t.as_ref()));
                    }
                    Arc::new(texts.finish())
                }
                Column::Int(v) => {
                    let all = std::iter::repeat_n(v, steps).flatten().copied();
                    Arc::new(all.collect::<Int64Array>())
                }
                Column::Float(v) => {
                    let all = std::iter::repeat_n(v, steps).flatten();
                    Arc::new(all.map(|n| n.filter(|n| !n.is_nan())).collect::<Float64Array>())
                }
            });
        }
        if self.shape.has_time && self.shape.dates.are_text() {
            let mut texts = StringBuilder::new();
            for s in &rows.steps {
                let text = self.shape.dates.text(s.time);
                (0..regions).for_each(|_| texts.append_value(&text));
            }
            arrays.push(Arc::new(texts.finish()));
        } else if self.shape.has_time {
            let times = rows.steps.iter().flat_map(|s| std::iter::repeat_n(s.time, regions));
            arrays.push(Arc::new(
                TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"),
            ));
        }
        for (k, labels) in rows.labels.iter().enumerate() {
            let places = rows.steps.iter().flat_map(|s| std::iter::repeat_n(s.places[k], regions));
            arrays.push(match labels {
                Labels::Int(v) => Arc::new(Int64Array::from_iter_values(places.map(|p| v[p]))),
                Labels::Float(v) => Arc::new(Float64Array::from_iter_values(places.map(|p| v[p]))),
                Labels::Text(v) => {
                    let mut texts = StringBuilder::new();
                    places.for_each(|p| texts.append_value(&v[p]));
                    Arc::new(texts.finish())
                }
            });
        }
        for column in rows.columns {
            let values = column.into_iter().map(|v| (!v.is_nan()).then_some(v));
            arrays.push(Arc::new(values.collect::<Float64Array>()));
        }
        RecordBatch::try_new(self.schema.clone(), arrays)
    }
}

impl Sink for Arrow {
    fn push(&mut self, rows: Rows) -> Result<()> {
        let batch = self.batch(rows).map_err(|e| failed(&self.path, e))?;
        match &mut self.writer {
            Writer::File(w) => w.write(&batch),
            Writer::Stream(w) => w.write(&batch),
        }
        .map_err(|e| failed(&self.path, e))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let path = self.path;
        let out = match self.writer {
            Writer::File(mut w) => w.finish().and_then(|()| w.into_inner()),
            Writer::Stream(mut w) => w.finish().and_then(|()| w.into_inner()),
        };
        let out = out.map_err(|e| failed(&path, e))?;
        out.into_inner().map_err(|e| target::failed(&path, e.into_error()))?.commit()
    }
}
