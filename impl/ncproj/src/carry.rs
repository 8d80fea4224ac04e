//! Attributes of the regions that are carried into the output: columns beside the key, kept in the index.

use crate::error::{Error, Result};
use crate::features::{Feature, Refusal};
use crate::regions::Column;
use serde_json::{Value, json};

pub const FEATURES: &[Feature] = &[Feature::honoured(
    "attributes of regions",
    "text, integers, floating-point numbers, null",
    "carried into the output with `ncproj index --carry NAME,...`",
)];

/// netCDF's classic format has no integers of 64 bits, and float64 would change these.
pub static BEYOND_NETCDF: Refusal = Refusal {
    of: "attributes of regions",
    name: "integers beyond 2^53 in netCDF output",
    message: "the carried `{}` holds {}, which the classic netCDF format has no type for",
    hint: "write .parquet instead, or make the index without it",
};

pub const REFUSALS: &[&Refusal] = &[&BEYOND_NETCDF];

const HINT: &str = "write `--carry NAME` or `--carry NAME=COLUMN`, and several by commas";

/// `--carry NAME[=COLUMN],...`: fields of the regions, and what they are called in the output.
#[derive(Debug, Default, PartialEq)]
pub struct Carry {
    pub fields: Vec<String>,
    columns: Vec<String>,
}

impl Carry {
    pub fn parse(texts: &[String]) -> Result<Carry> {
        let mut out = Carry::default();
        for text in texts {
            let (field, column) = text.split_once('=').unwrap_or((text, text));
            let (field, column) = (field.trim(), column.trim());
            if field.is_empty() || column.is_empty() {
                let what = match text.trim() {
                    "" => "an entry of `--carry` is empty".to_string(),
                    text => format!("`{text}` in `--carry` lacks a name"),
                };
                return Err(Error::usage(what).hint(HINT));
            }
            if out.columns.iter().any(|c| c == column) {
                return Err(Error::usage(format!("two columns would be called `{column}`"))
                    .at("`--carry`")
                    .hint(format!("give one of them another name: `--carry {field}=NAME`")));
            }
            out.fields.push(field.to_string());
            out.columns.push(column.to_string());
        }
        Ok(out)
    }

    /// What was read, under the names of the output; `key` is the name of the key's column.
    pub fn of(&self, read: Vec<(String, Column)>, key: &str) -> Result<Vec<(String, Column)>> {
        if let Some(k) = self.columns.iter().position(|c| c == key) {
            let field = &self.fields[k];
            return Err(Error::data(format!("two columns would be called `{key}`"))
                .at("the key, and `--carry`")
                .hint(format!("carry it under another name: `--carry {field}=NAME`")));
        }
        let named = self.columns.iter().cloned();
        Ok(named.zip(read.into_iter().map(|(_, column)| column)).collect())
    }
}

impl Column {
    pub fn len(&self) -> usize {
        match self {
            Column::Text(v) => v.len(),
            Column::Int(v) => v.len(),
            Column::Float(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Column::Text(_) => "text",
            Column::Int(_) => "int64",
            Column::Float(_) => "float64",
        }
    }

    /// The value as people write it; nothing where there is none.
    pub fn text(&self, row: usize) -> Option<String> {
        match self {
            Column::Text(v) => v.get(row)?.clone(),
            Column::Int(v) => v.get(row)?.map(|n| n.to_string()),
            Column::Float(v) => v.get(row)?.filter(|n| !n.is_nan()).map(|n| n.to_string()),
        }
    }

    fn json(&self) -> Value {
        match self {
            Column::Text(v) => json!(v),
            Column::Int(v) => json!(v),
            Column::Float(v) => json!(v),
        }
    }

    fn nulls(&self) -> usize {
        (0..self.len()).filter(|k| self.text(*k).is_none()).count()
    }

    fn pick(&self, rows: &[usize]) -> Column {
        match self {
            Column::Text(v) => Column::Text(rows.iter().map(|r| v[*r].clone()).collect()),
            Column::Int(v) => Column::Int(rows.iter().map(|r| v[*r]).collect()),
            Column::Float(v) => Column::Float(rows.iter().map(|r| v[*r]).collect()),
        }
    }

    /// Whether there is a value (a byte each), then the values: texts by length and bytes, and only those that are there.
    fn put(&self, b: &mut Vec<u8>) {
        b.extend((0..self.len()).map(|k| u8::from(self.text(k).is_some())));
        match self {
            Column::Text(v) => {
                for t in v.iter().flatten() {
                    b.extend((t.len() as u32).to_le_bytes());
                    b.extend(t.as_bytes());
                }
            }
            Column::Int(v) => b.extend(v.iter().flat_map(|n| n.unwrap_or(0).to_le_bytes())),
            Column::Float(v) => {
                let plain = |n: &Option<f64>| n.filter(|n| !n.is_nan()).unwrap_or(0.0);
                b.extend(v.iter().flat_map(|n| plain(n).to_le_bytes()));
            }
        }
    }

    fn get(kind: &str, count: usize, from: &mut impl Numbers) -> Option<Column> {
        let there = from.bytes(count)?;
        if there.iter().any(|t| *t > 1) {
            return None;
        }
        let there = there.into_iter().map(|t| t == 1);
        match kind {
            "text" => {
                let mut out = Vec::with_capacity(count);
                for there in there {
                    out.push(match there {
                        true => {
                            let n = u32::from_le_bytes(from.bytes(4)?.try_into().ok()?);
                            Some(String::from_utf8(from.bytes(n as usize)?).ok()?)
                        }
                        false => None,
                    });
                }
                Some(Column::Text(out))
            }
            "int64" => {
                let values = from.eights(count)?.into_iter().map(i64::from_le_bytes);
                Some(Column::Int(there.zip(values).map(|(t, v)| t.then_some(v)).collect()))
            }
            "float64" => {
                let values = from.eights(count)?.into_iter().map(f64::from_le_bytes);
                let some = |(t, v): (bool, f64)| Some(v).filter(|v| t && !v.is_nan());
                Some(Column::Float(there.zip(values).map(some).collect()))
            }
            _ => None,
        }
    }
}

/// A file that is read from its beginning to its end.
pub trait Numbers {
    fn bytes(&mut self, count: usize) -> Option<Vec<u8>>;
    fn eights(&mut self, count: usize) -> Option<Vec<[u8; 8]>>;
}

/// The carried columns of an index; mostly none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carried {
    /// One value per region.
    pub columns: Vec<(String, Column)>,
    /// Of all regions, also where only some of them are left.
    pub fingerprint: String,
}

impl Carried {
    pub fn new(columns: Vec<(String, Column)>) -> Carried {
        if columns.is_empty() {
            return Carried::default();
        }
        let mut h = blake3::Hasher::new();
        h.update(b"ncproj carried 1");
        for (name, column) in &columns {
            let mut b = Vec::new();
            for text in [name, column.kind()] {
                b.extend((text.len() as u64).to_le_bytes());
                b.extend(text.as_bytes());
            }
            column.put(&mut b);
            h.update(&(b.len() as u64).to_le_bytes());
            h.update(&b);
        }
        Carried { columns, fingerprint: h.finalize().to_hex()[..32].to_string() }
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.columns.iter().map(|(n, _)| n.clone())
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, c)| c)
    }

    /// The same columns for some of the regions.
    pub fn pick(&self, rows: &[usize]) -> Carried {
        let columns = self.columns.iter().map(|(n, c)| (n.clone(), c.pick(rows))).collect();
        Carried { columns, fingerprint: self.fingerprint.clone() }
    }

    /// For the header of an index.
    pub fn header(&self) -> Value {
        let about =
            |(n, c): &(String, Column)| json!({"name": n, "type": c.kind(), "nulls": c.nulls()});
        json!({"fingerprint": self.fingerprint, "columns": self.columns.iter().map(about).collect::<Vec<_>>()})
    }

    /// All values by name, for where there are no columns for them.
    pub fn values(&self) -> Value {
        Value::Object(self.columns.iter().map(|(n, c)| (n.clone(), c.json())).collect())
    }

    pub fn put(&self, b: &mut Vec<u8>) {
        self.columns.iter().for_each(|(_, c)| c.put(b));
    }

    /// Reads what `header` and `put` wrote.
    pub fn get(header: &Value, regions: usize, from: &mut impl Numbers) -> Option<Carried> {
        if header.is_null() {
            return Some(Carried::default());
        }
        let mut columns: Vec<(String, Column)> = Vec::new();
        for about in header["columns"].as_array()? {
            let name = about["name"].as_str()?.to_string();
            if columns.iter().any(|(n, _)| *n == name) {
                return None;
            }
            columns.push((name, Column::get(about["type"].as_str()?, regions, from)?));
        }
        if columns.is_empty() {
            return None;
        }
        Some(Carried { columns, fingerprint: header["fingerprint"].as_str()?.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_have_another_name_in_the_output() {
        let texts = ["STATE".to_string(), " POP = people ".to_string()];
        let carry = Carry::parse(&texts).unwrap();
        assert_eq!((carry.fields[1].as_str(), carry.columns[1].as_str()), ("POP", "people"));
        for bad in ["", "A=", "=B"] {
            assert!(Carry::parse(&[bad.to_string()]).is_err());
        }
        assert!(Carry::parse(&["A".to_string(), "B=A".to_string()]).is_err());
        let read = vec![("A".to_string(), Column::Int(vec![None]))];
        assert!(Carry::parse(&["A=id".to_string()]).unwrap().of(read, "id").is_err());
    }
}
