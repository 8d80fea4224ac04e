//! Every message in the sources stands in a snapshot. Who adds an error adds a case; who cannot says why here.

use crate::snapshot::folder;
use std::path::{Path, PathBuf};

/// Texts that no file and no command can bring about, each with the reason. The rest of the message does not matter.
const UNPROVOKED: &[(&str, &str)] = &[
    (
        "variable `{name}`, attribute `units`",
        "tests/ncproj/test_curvilinear.py gives cells an odd unit",
    ),
    (
        "variable `{found}`, attribute `units`",
        "tests/ncproj/test_odd_coordinates.py gives bounds another unit",
    ),
    (
        "bytes at {start} go on after the end",
        "the library looks at the footer first; a file that shrinks while it is read",
    ),
    ("({} null)", "what `info` says of carried columns: tests/ncproj/test_carry.py"),
    ("not finite", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    ("one number is needed", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    (
        "a length of the Earth is positive",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    ("it is 0 or above 1", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    ("with `semi_major_axis`", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    ("for the half axes", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    (
        "and there is no `semi_major_axis`",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    ("it is positive", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    (
        "one or two numbers are needed",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "and a polar projection has 90 or -90",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "CF wants metres above the ellipsoid",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "and a geostationary satellite stands over the equator",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    ("`x` or `y` is needed", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    ("a name is needed", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    (
        "longitude and latitude (`{}`)",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "the attributes of the grid mapping",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    ("3, 6 or 7 numbers are needed", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    ("the datums differ:", "tests/ncproj/test_odd_systems.py asks for it, beside pyproj"),
    (
        "the grid mapping is longitude and latitude, but",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "give the variable the grid mapping of its projection",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "which PROJ cannot change exactly to that of",
        "tests/ncproj/test_odd_systems.py asks for it, beside pyproj",
    ),
    (
        "its ellipsoid has the half axes",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "its parameters do not fit each other",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "PROJ does not know the meridian",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    ("is no number", "PROJ itself reads the text before, and says what is wrong with it"),
    (
        "ncproj does not know `+",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "ncproj does not know the ellipsoid",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "ncproj does not know the unit `{u}`",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    ("it lacks `+", "PROJ itself reads the text before, and says what is wrong with it"),
    (
        "ncproj knows `+proj=ob_tran`",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    ("is no projection", "PROJ itself reads the text before, and says what is wrong with it"),
    (
        "PROJ cannot read `{}` again",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "it has no geographic system",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "its geographic system cannot be written",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    (
        "PROJ has no words for the projection",
        "PROJ itself reads the text before, and says what is wrong with it",
    ),
    ("it has no unit", "PROJ itself reads the text before, and says what is wrong with it"),
    ("it names no ellipsoid", "PROJ itself reads the text before, and says what is wrong with it"),
    ("WGS 84", "a name, no message"),
    ("its storage layout is not one", "HDF5 has no other layouts at present"),
    ("it does not unpack (lzf)", "HDF5 here does not pack with lzf"),
    ("an external link", "a file by h5py: tests/ncproj/test_odd_values.py"),
    ("very long", "HDF5 keeps no such attributes but in dense storage"),
    ("HDF5 cannot read a chunk", "a file by h5py, damaged within a chunk of an odd type"),
    ("`h5dump` shows whether others", "as above"),
    ("it has an odd type and a filter", "a file by h5py with a plugin"),
    ("one is", "a part of another message: tests/ncproj/test_odd_values.py"),
    ("two are", "a part of another message: tests/ncproj/test_odd_values.py"),
    ("its numbers are taken as unsigned", "a warning: tests/ncproj/test_odd_values.py"),
    ("it is not CF's", "a warning: tests/ncproj/test_odd_values.py"),
    ("a worker stopped without a result", "a thread died without a word: a fault of ncproj itself"),
    ("the file changed while it was read", "another program writes at that very moment"),
    ("begin again when it is whole", "as above"),
    ("a value is no class", "which, and how often, is found out before it is said"),
    ("changed while it was read", "tests/ncproj/test_odd_runs.py holds a run and changes its file"),
    ("begin again when nothing writes", "as above"),
    ("it had {then} bytes and has", "as above"),
    ("it was written {then}, and again", "as above"),
    ("it was written again, and its time put back", "as above"),
    ("its bytes are others than before", "a disk that keeps times by the second"),
    ("no thread can be started", "tests/ncproj/test_odd_runs.py takes the threads away"),
    ("how many processes and threads you may have", "as above"),
    ("this is a fault of ncproj", "a thread died without a word"),
    ("cannot make the page", "the page is written to memory"),
    (
        "it has no `grid_mapping_name`",
        "without a name only a text makes a variable a mapping, and that text is read",
    ),
    ("is not made of numbers", "whoever calls asks for numbers only"),
    ("the filter `{name}` is not known", "such variables are refused before a chunk is read"),
    ("it is shorter than its shape says", "every chunk's size is checked when it is unpacked"),
    ("its chunk shape is damaged", "HDF5 refuses such a file before"),
    ("its values cannot be read", "HDF5 refuses such a file before"),
    ("Arrow cannot be written", "what Arrow itself finds wrong with rows that we made"),
    ("Parquet cannot be written", "what Parquet itself finds wrong with rows that we made"),
    ("a column of another type", "as above"),
    ("a thread that packs columns stopped", "only a panic would stop it"),
    ("the grid has cells where its projection has no place", "the border is looked at first"),
    (
        "it has fewer features than it says",
        "a header made for it: the damaged files of tests/damaged.rs have it",
    ),
    ("its index cannot be true", "as above"),
    ("the fields of feature {} cannot be read", "as above"),
    ("the shape of feature {} cannot be read", "as above"),
    ("there is not enough memory", "there is, as the file was just read into it"),
    (
        "close it in the program that made the `-wal`",
        "only a folder that cannot be written to brings it about",
    ),
    ("a column is missing", "Arrow gives the columns that it is asked for"),
    ("the column `{}` is damaged", "what Arrow itself finds wrong it says before"),
    ("the shapes are missing", "Arrow gives the columns that it is asked for"),
    ("structures of several fields", "nested columns: tests/ncproj/test_odd_regions.py has them"),
];

/// What makes an error or a part of its text.
const MAKERS: &[&str] = &[
    "Error::data",
    "Error::usage",
    "Err",
    ".hint",
    "Stop::Damaged",
    "Layout::Unreadable",
    "Problem::NotPolygon",
    "ParquetError::General",
    "warnings.push",
    "say",
    "Some",
    "ok_or_else",
    "ok_or",
    "map_err",
];

/// Functions of which every text is a message or a part of one.
const WHOLE: &[&str] =
    &["file", "needs_file", "refuse_input", "nearest", "say_notes", "difference", "truncated"];

#[derive(Clone, Debug)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Words, texts and signs of Rust, without comments and without the tests at the end of a file.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let c: Vec<char> = source.chars().collect();
    let (mut out, mut k, mut line) = (Vec::new(), 0, 1);
    while k < c.len() {
        let from = k;
        match c[k] {
            '/' if c.get(k + 1) == Some(&'/') => {
                while k < c.len() && c[k] != '\n' {
                    k += 1;
                }
            }
            // a character, not a lifetime
            '\'' if c.get(k + 1) == Some(&'\\') => {
                k += 3;
                while c[k - 1] != '\'' || c[k - 2] == '\\' && c[k - 3] != '\\' {
                    k += 1;
                }
            }
            '\'' if c.get(k + 2) == Some(&'\'') => k += 3,
            '"' => {
                k += 1;
                let mut text = String::new();
                while c[k] != '"' {
                    if c[k] == '\\' {
                        k += 1;
                        match c[k] {
                            'n' => text.push('\n'),
                            '\n' => {
                                while c[k + 1].is_whitespace() {
                                    k += 1;
                                }
                            }
                            other => text.push(other),
                        }
                    } else {
                        text.push(c[k]);
                    }
                    k += 1;
                }
                k += 1;
                out.push((line, Token::Text(text)));
            }
            x if x.is_alphanumeric() || x == '_' => {
                while k < c.len() && (c[k].is_alphanumeric() || c[k] == '_') {
                    k += 1;
                }
                out.push((line, Token::Word(c[from..k].iter().collect())));
            }
            x => {
                if !x.is_whitespace() {
                    out.push((line, Token::Sign(x)));
                }
                k += 1;
            }
        }
        line += c[from..k].iter().filter(|x| **x == '\n').count();
    }
    out
}

fn sign(t: Option<&(usize, Token)>) -> Option<char> {
    match t {
        Some((_, Token::Sign(c))) => Some(*c),
        _ => None,
    }
}

fn word(t: Option<&(usize, Token)>) -> Option<&str> {
    match t {
        Some((_, Token::Word(w))) => Some(w),
        _ => None,
    }
}

/// The end of the brackets that open at `from`.
fn closed(t: &[(usize, Token)], from: usize) -> usize {
    let mut depth = 0;
    for k in from..t.len() {
        match sign(t.get(k)) {
            Some('(' | '[' | '{') => depth += 1,
            Some(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return k;
        }
    }
    t.len()
}

/// The end of a statement: its semicolon.
fn statement(t: &[(usize, Token)], from: usize) -> usize {
    let mut k = from;
    while k < t.len() && sign(t.get(k)) != Some(';') {
        k = if matches!(sign(t.get(k)), Some('(' | '[' | '{')) { closed(t, k) } else { k } + 1;
    }
    k
}

/// The name that ends at `k`, with what it belongs to: `Error::data`, `.hint`, `warnings.push`.
fn name(t: &[(usize, Token)], k: usize) -> Option<Vec<String>> {
    let last = word(t.get(k))?.to_string();
    let mut out = vec![last.clone()];
    if k >= 1 && sign(t.get(k - 1)) == Some('.') {
        out.push(format!(".{last}"));
        if let Some(w) = k.checked_sub(2).and_then(|k| word(t.get(k))) {
            out.push(format!("{w}.{last}"));
        }
    }
    if k >= 3
        && sign(t.get(k - 1)) == Some(':')
        && let Some(w) = word(t.get(k - 3))
    {
        out.push(format!("{w}::{last}"));
    }
    Some(out)
}

/// (line, text) of every message in a file.
fn messages(source: &str) -> Vec<(usize, String)> {
    let t = tokens(source);
    let mut makers: Vec<String> = MAKERS.iter().map(|m| m.to_string()).collect();
    // `let bad = |why| Error::usage(..)`, and `fn broken(..) -> Error`: what calls them makes errors too
    for k in 0..t.len() {
        let own = match word(t.get(k)) {
            Some("let") if matches!(sign(t.get(k + 3)), Some('|')) => {
                let body = &t[k..statement(&t, k)];
                let makes = |w: &[(usize, Token)]| {
                    matches!(word(w.first()), Some("Error" | "refuse" | "lacks"))
                };
                body.windows(1).any(makes).then(|| word(t.get(k + 1))).flatten()
            }
            Some("fn") => {
                let open = (k..t.len()).find(|k| sign(t.get(*k)) == Some('(')).unwrap_or(k);
                let end = closed(&t, open);
                let gives = |at: usize| word(t.get(at)) == Some("Error");
                gives(end + 3).then(|| word(t.get(k + 1))).flatten()
            }
            _ => None,
        };
        makers.extend(own.map(str::to_string));
    }
    let mut out = Vec::new();
    let mut add = |from: usize, to: usize| {
        for (line, token) in &t[from..to.min(t.len())] {
            if let Token::Text(text) = token {
                out.push((*line, text.clone()));
            }
        }
    };
    for k in 0..t.len() {
        if word(t.get(k)) == Some("fn") && word(t.get(k + 1)).is_some_and(|w| WHOLE.contains(&w)) {
            let body = (k..t.len()).find(|k| sign(t.get(*k)) == Some('{')).unwrap_or(k);
            add(body, closed(&t, body));
        }
        let Some(names) = name(&t, k) else { continue };
        if sign(t.get(k + 1)) != Some('(') || !names.iter().any(|n| makers.contains(n)) {
            continue;
        }
        let end = closed(&t, k + 1);
        add(k + 1, end);
        // `Error::data(what)`: what was `what`?
        if let (true, Some(what)) = (end == k + 3, word(t.get(k + 2))) {
            for j in 0..k {
                if word(t.get(j)) == Some("let") && word(t.get(j + 1)) == Some(what) {
                    add(j, statement(&t, j));
                }
            }
        }
    }
    out.sort();
    out.dedup();
    // Names and single words are parts of other texts.
    out.retain(|(_, m)| m.trim().contains(' '));
    out
}

/// Does a text of `format!` fit anything on a line of a snapshot?
fn fits(message: &str, lines: &[String]) -> bool {
    let mut parts: Vec<String> = vec![String::new()];
    let mut chars = message.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                parts.last_mut().expect("one at least").push(c);
            }
            '{' => {
                for c in chars.by_ref() {
                    if c == '}' {
                        break;
                    }
                }
                parts.push(String::new());
            }
            '\n' => parts.push(String::new()),
            c => parts.last_mut().expect("one at least").push(c),
        }
    }
    let parts: Vec<&str> = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
    lines.iter().any(|l| {
        let mut rest = l.as_str();
        parts.iter().all(|p| match rest.find(p) {
            Some(k) => {
                rest = &rest[k + p.len()..];
                true
            }
            None => false,
        })
    })
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the sources").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => out.extend(sources(&path)),
            false => out.push(path),
        }
    }
    out.sort();
    out
}

#[test]
fn every_message_has_a_snapshot() {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        return; // they are being written at this moment
    }
    let mut lines = Vec::new();
    for path in sources(&folder()) {
        let text = std::fs::read_to_string(path).expect("a snapshot");
        // A message and its further lines (`  and ..`) count as one.
        for block in text.split("\n\n") {
            let said = block.lines().filter(|l| l.starts_with("    ")).map(str::trim);
            lines.push(said.collect::<Vec<_>>().join(" "));
        }
    }
    let (mut count, mut lost) = (0, Vec::new());
    let mut unused: Vec<&str> = UNPROVOKED.iter().map(|(text, _)| *text).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let source = std::fs::read_to_string(&path).expect("a source");
        for (line, message) in messages(&source) {
            count += 1;
            unused.retain(|u| !message.contains(u));
            let listed = UNPROVOKED.iter().any(|(text, _)| message.contains(text));
            if !listed && !fits(&message, &lines) {
                let file = path.strip_prefix(&root).expect("below src").display();
                lost.push(format!("src/{file}:{line}: {message}"));
            }
        }
    }
    assert!(count > 250, "only {count} messages were found: has the way to make errors changed?");
    assert!(
        lost.is_empty(),
        "{} of {count} messages are in no snapshot: write a case in tests/errors, or a reason in UNPROVOKED\n{}",
        lost.len(),
        lost.join("\n")
    );
    assert!(unused.is_empty(), "no longer in the sources, take them out of UNPROVOKED: {unused:?}");
}
