//! Just enough of SQLite's file format to read whole tables: that is what a GeoPackage is.

use crate::error::{Error, Result, base_name, open};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Cell {
    pub fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(t) => Some(t),
            _ => None,
        }
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Cell::Int(v) => Some(*v),
            Cell::Real(v) if v.fract() == 0.0 => Some(*v as i64),
            _ => None,
        }
    }
}

pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    root: u32,
    /// The column that is the row's number, and is stored as nothing.
    number: Option<usize>,
}

pub struct Database {
    path: PathBuf,
    file: File,
    page: usize,
    usable: usize,
    pages: u64,
    pub tables: Vec<Table>,
}

/// A row may hold this many bytes (a polygon of 60 million corners).
const MOST: usize = 1 << 30;

impl Database {
    pub fn open(path: &Path) -> Result<Database> {
        let name = base_name(path);
        let file = open(path)?;
        let bytes = file.metadata().map_err(|e| Error::file("read", path, e))?.len();
        let mut head = [0u8; 100];
        if bytes < 512
            || file.read_exact_at(&mut head, 0).is_err()
            || &head[..16] != b"SQLite format 3\0"
        {
            return Err(
                Error::data(format!("`{name}` is not a GeoPackage"))
                    .at(path.display().to_string())
                    .hint("GeoPackages begin with `SQLite format 3`; a failed download is often an HTML page")
            );
        }
        let page = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65536,
            n => usize::from(n),
        };
        let usable = page.saturating_sub(usize::from(head[20]));
        let encoding = u32::from_be_bytes([head[56], head[57], head[58], head[59]]);
        let mut log = path.as_os_str().to_os_string();
        log.push("-wal");
        if std::fs::metadata(&log).is_ok_and(|m| m.len() > 0) {
            return Err(Error::data(format!(
                "`{name}` is open in another program (it has a `-wal` file)"
            ))
            .at(path.display().to_string())
            .hint("close it there first, or run `PRAGMA journal_mode = DELETE` on it"));
        }
        let mut db =
            Database { path: path.to_path_buf(), file, page, usable, pages: 0, tables: Vec::new() };
        if !page.is_power_of_two() || page < 512 || usable < 480 || encoding > 1 {
            return Err(db.damaged("its header cannot be true"));
        }
        db.pages = bytes / page as u64;
        let mut tables = Vec::new();
        db.walk(1, 5, &mut |_, row| {
            if row.first().and_then(Cell::text) == Some("table")
                && let [_, name, _, root, sql, ..] = row.as_slice()
                && let (Some(name), Some(root), Some(sql)) = (name.text(), root.int(), sql.text())
                && let Ok(root) = u32::try_from(root)
                && let Some((columns, number)) = columns(sql)
            {
                tables.push(Table { name: name.to_string(), columns, root, number });
            }
            Ok(())
        })?;
        db.tables = tables;
        Ok(db)
    }

    fn damaged(&self, why: &str) -> Error {
        Error::data(format!("`{}` is damaged: {why}", base_name(&self.path)))
            .at(self.path.display().to_string())
            .hint("fetch the file again")
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name.eq_ignore_ascii_case(name))
    }

    /// All rows of a table, in the order of their numbers; one value for each column.
    pub fn rows(&self, table: &Table, each: &mut dyn FnMut(Vec<Cell>) -> Result<()>) -> Result<()> {
        self.walk(table.root, table.columns.len(), &mut |number, mut row| {
            if let Some(place) = table.number {
                row[place] = Cell::Int(number);
            }
            each(row)
        })
    }

    fn read(&self, number: u32) -> Result<Vec<u8>> {
        if number == 0 || u64::from(number) > self.pages {
            return Err(self.damaged(&format!("it has no page {number}")));
        }
        let mut out = vec![0; self.page];
        self.file
            .read_exact_at(&mut out, u64::from(number - 1) * self.page as u64)
            .map_err(|_| self.damaged("it ends too early"))?;
        Ok(out)
    }

    fn walk(
        &self,
        root: u32,
        width: usize,
        each: &mut dyn FnMut(i64, Vec<Cell>) -> Result<()>,
    ) -> Result<()> {
        // No page belongs to a tree twice: more visits than pages is a loop.
        let mut left = self.pages + 1;
        let mut stack = vec![root];
        while let Some(number) = stack.pop() {
            left = left
                .checked_sub(1)
                .ok_or_else(|| self.damaged("its pages lead round in a circle"))?;
            let page = self.read(number)?;
            let wrong = || self.damaged(&format!("page {number} cannot be read"));
            let at = if number == 1 { 100 } else { 0 };
            let two = |i: usize| {
                page.get(i..i + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))
            };
            let four =
                |i: usize| page.get(i..i + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            let count = two(at + 3).ok_or_else(wrong)?;
            match page[at] {
                5 => {
                    let mut children = Vec::with_capacity(count + 1);
                    for k in 0..count {
                        let cell = two(at + 12 + 2 * k).ok_or_else(wrong)?;
                        children.push(four(cell).ok_or_else(wrong)?);
                    }
                    children.push(four(at + 8).ok_or_else(wrong)?);
                    stack.extend(children.into_iter().rev());
                    if stack.len() as u64 > self.pages {
                        return Err(self.damaged("its pages lead round in a circle"));
                    }
                }
                13 => {
                    for k in 0..count {
                        let mut cell = two(at + 8 + 2 * k).ok_or_else(wrong)?;
                        let size = varint(&page, &mut cell).ok_or_else(wrong)?;
                        let number = varint(&page, &mut cell).ok_or_else(wrong)? as i64;
                        let size =
                            usize::try_from(size).ok().filter(|s| *s <= MOST).ok_or_else(wrong)?;
                        let payload = self.payload(&page, cell, size)?.ok_or_else(wrong)?;
                        each(number, record(&payload, width).ok_or_else(wrong)?)?;
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(())
    }

    /// A row's bytes: what does not fit on its page goes on in a chain of further pages.
    fn payload(&self, page: &[u8], at: usize, size: usize) -> Result<Option<Vec<u8>>> {
        let most = self.usable - 35;
        let local = if size <= most {
            size
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let k = least + (size - least) % (self.usable - 4);
            if k <= most { k } else { least }
        };
        let Some(first) = page.get(at..at + local) else { return Ok(None) };
        let mut out = first.to_vec();
        if local == size {
            return Ok(Some(out));
        }
        if size as u64 > self.pages * self.page as u64 {
            return Ok(None);
        }
        let Some(next) = page.get(at + local..at + local + 4) else { return Ok(None) };
        let mut next = u32::from_be_bytes([next[0], next[1], next[2], next[3]]);
        while out.len() < size {
            let more = self.read(next)?;
            let n = (size - out.len()).min(self.usable - 4);
            out.extend_from_slice(&more[4..4 + n]);
            next = u32::from_be_bytes([more[0], more[1], more[2], more[3]]);
        }
        Ok(Some(out))
    }
}

fn varint(b: &[u8], at: &mut usize) -> Option<u64> {
    let mut out = 0u64;
    for k in 0..9 {
        let c = *b.get(*at)?;
        *at += 1;
        if k == 8 {
            return Some(out << 8 | u64::from(c));
        }
        out = out << 7 | u64::from(c & 0x7f);
        if c < 0x80 {
            return Some(out);
        }
    }
    None
}

/// A row's values; columns added to the table later are missing at the end.
fn record(b: &[u8], width: usize) -> Option<Vec<Cell>> {
    let mut head = 0;
    let end = usize::try_from(varint(b, &mut head)?).ok().filter(|n| *n <= b.len())?;
    let mut at = end;
    let mut out = Vec::with_capacity(width);
    while head < end && out.len() < width {
        let kind = varint(b, &mut head)?;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            n => usize::try_from((n - 12) / 2).ok()?,
        };
        let bytes = b.get(at..at.checked_add(size)?)?;
        at += size;
        out.push(match kind {
            0 => Cell::Null,
            7 => Cell::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            8 => Cell::Int(0),
            9 => Cell::Int(1),
            1..=6 => {
                let start = if bytes[0] >= 0x80 { -1i64 } else { 0 };
                Cell::Int(bytes.iter().fold(start, |v, c| v << 8 | i64::from(*c)))
            }
            n if n % 2 == 0 => Cell::Blob(bytes.to_vec()),
            _ => Cell::Text(String::from_utf8_lossy(bytes).into_owned()),
        });
    }
    out.resize(width, Cell::Null);
    Some(out)
}

/// The columns of `CREATE TABLE x (a INTEGER PRIMARY KEY, "b" TEXT, ...)`, and which of them is the row's number.
fn columns(sql: &str) -> Option<(Vec<String>, Option<usize>)> {
    let open = sql.find('(')?;
    let mut parts: Vec<String> = vec![String::new()];
    let (mut depth, mut quote) = (0, None);
    for c in sql[open + 1..].chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`' | '\'') => quote = Some(c),
            (None, '[') => quote = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => break,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut()?.push(c);
    }
    let (mut names, mut number) = (Vec::new(), None);
    for part in &parts {
        let part = part.trim();
        let (name, rest) = match part.chars().next()? {
            q @ ('"' | '`' | '[' | '\'') => {
                let close = if q == '[' { ']' } else { q };
                part[1..].split_once(close)?
            }
            _ => {
                let (name, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
                let upper = name.to_uppercase();
                if ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].contains(&upper.as_str())
                {
                    continue;
                }
                (name, rest)
            }
        };
        let rest = rest.trim().to_uppercase();
        if rest.starts_with("INTEGER") && rest.contains("PRIMARY KEY") {
            number = Some(names.len());
        }
        names.push(name.to_string());
    }
    Some((names, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_from_the_statement() {
        let sql = r#"CREATE TABLE "a (b)" (fid INTEGER PRIMARY KEY, "the, name" TEXT(5, 2), [x] REAL, CONSTRAINT u UNIQUE (x))"#;
        // the first bracket is in the table's name
        let sql = sql.replace("a (b)", "ab");
        let (names, number) = columns(&sql).unwrap();
        assert_eq!(names, ["fid", "the, name", "x"]);
        assert_eq!(number, Some(0));
    }

    #[test]
    fn a_record_by_hand() {
        // header of 4 bytes: int8, text of 2, null; then -2, "ab"
        let row = record(&[4, 1, 17, 0, 0xfe, b'a', b'b'], 4).unwrap();
        assert_eq!(row, [Cell::Int(-2), Cell::Text("ab".into()), Cell::Null, Cell::Null]);
        assert!(record(&[4, 1, 17, 0, 0xfe, b'a'], 3).is_none());
    }

    #[test]
    fn numbers_of_many_bytes() {
        assert_eq!(varint(&[0x81, 0x00], &mut 0), Some(128));
        assert_eq!(varint(&[0xff; 9], &mut 0), Some(u64::MAX));
        assert_eq!(varint(&[0xff; 3], &mut 0), None);
    }
}
