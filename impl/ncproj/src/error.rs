//! What can go wrong, in words for the person who has to put it right.

use crate::inputs;
use std::fmt;
use std::path::Path;

pub const TOO_LITTLE_MEMORY: &str = "there is too little memory";
pub const MEMORY_HINT: &str = "`ulimit -v` says how much is allowed here; `--threads 1` and fewer regions at once (`--where`) need less";

/// What is wrong, where, and what to do next.
#[derive(Debug, Default)]
pub struct Report {
    pub what: String,
    pub place: String,
    pub hint: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.place.is_empty() {
            write!(f, "\n  at {}", self.place)?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// The one error of this program. `Usage` is the caller's command line, the others are about data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(Box<Report>),
    #[error("{0}")]
    Data(Box<Report>),
    #[error("{report}")]
    File { report: Box<Report>, source: std::io::Error },
    /// The reader of our output went away (`ncproj ... | head`): not worth a word.
    #[error("the output was closed")]
    Closed,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Something about the data: `Error::data("..").at("..").hint("..")`.
    pub fn data(what: impl Into<String>) -> Self {
        Error::Data(Box::new(Report { what: what.into(), ..Report::default() }))
    }

    /// Something about the command line.
    pub fn usage(what: impl Into<String>) -> Self {
        Error::Usage(Box::new(Report { what: what.into(), ..Report::default() }))
    }

    /// An operating system error while `doing` something with `path`.
    pub fn file(doing: &str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let shown = path.display();
        let (what, hint) = match source.kind() {
            _ if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => (
                format!("cannot {doing} `{shown}`: too many files are open"),
                "`ulimit -n` says how many are allowed here: allow more (`ulimit -n 4096`), or give fewer files at once",
            ),
            Kind::OutOfMemory => {
                (format!("cannot {doing} `{shown}`: {TOO_LITTLE_MEMORY}"), MEMORY_HINT)
            }
            Kind::NotFound if path.is_symlink() => (
                format!("cannot {doing} `{shown}`: it is a link to a file that is not there"),
                "`ls -l` shows where the link leads to",
            ),
            _ if source.raw_os_error() == Some(libc::ELOOP) => (
                format!("cannot {doing} `{shown}`: its links lead in a circle"),
                "`ls -l` shows where the link leads to",
            ),
            Kind::InvalidFilename => (
                format!("cannot {doing} `{shown}`: the name is too long, or not one for this disk"),
                "give it a shorter name",
            ),
            _ if source.raw_os_error() == Some(libc::EIO) => (
                format!("cannot {doing} `{shown}`: the disk, or the way to it, fails (EIO)"),
                "look after the disk (`dmesg`); the file may be whole on another",
            ),
            Kind::StaleNetworkFileHandle => (
                format!(
                    "cannot {doing} `{shown}`: the file on the other machine is gone or was replaced (ESTALE)"
                ),
                "begin again when it is whole",
            ),
            Kind::NotFound if doing == "write" => (
                format!("cannot write `{shown}`: there is no such folder"),
                "make the folder first (`mkdir -p`); paths are relative to the folder you are in",
            ),
            Kind::NotFound => (
                format!("cannot {doing} `{shown}`: there is no such file or folder"),
                "check the path; paths are relative to the folder you are in",
            ),
            Kind::PermissionDenied => (
                format!("cannot {doing} `{shown}`: permission denied"),
                "check who owns the file and its folder (`ls -l`)",
            ),
            Kind::StorageFull | Kind::QuotaExceeded => (
                format!("cannot {doing} `{shown}`: the disk is full"),
                "free some space or write to another disk; the unfinished output was removed",
            ),
            Kind::ReadOnlyFilesystem => (
                format!("cannot {doing} `{shown}`: the disk is read-only"),
                "write to another folder",
            ),
            Kind::IsADirectory => {
                (format!("cannot {doing} `{shown}`: it is a folder"), "name a file")
            }
            Kind::NotADirectory => (
                format!("cannot {doing} `{shown}`: a part of the path is a file, not a folder"),
                "check the path",
            ),
            Kind::FileTooLarge => (
                format!("cannot {doing} `{shown}`: the file would be larger than is allowed here"),
                "`ulimit -f` says what is allowed; the unfinished output was removed",
            ),
            _ => (format!("cannot {doing} `{shown}`: {source}"), ""),
        };
        let report = Report { what, place: String::new(), hint: hint.to_string() };
        Error::File { report: Box::new(report), source }
    }

    fn report(&mut self) -> Option<&mut Report> {
        match self {
            Error::Usage(r) | Error::Data(r) | Error::File { report: r, .. } => Some(r),
            Error::Closed => None,
        }
    }

    /// Says where; the first place given wins, since it is nearest to the cause.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        if let Some(r) = self.report()
            && r.place.is_empty()
        {
            r.place = place.into();
        }
        self
    }

    /// Says what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(r) = self.report()
            && r.hint.is_empty()
        {
            r.hint = hint.into();
        }
        self
    }

    /// 1 for data, 2 for usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Closed => 0,
            _ => 1,
        }
    }
}

/// A pipe or a device where a file is needed; a folder is refused with its own words.
pub fn needs_file(doing: &str, path: &Path, hint: &str) -> Result<()> {
    // `/dev/stdout` may lead to a file, but another in its place is what nobody wants.
    let of_system = ["/dev/fd", "/proc"].iter().any(|s| path.starts_with(s))
        || path.parent() == Some(Path::new("/dev"));
    let is_file = match std::fs::metadata(path) {
        _ if doing == "write" && of_system => false,
        Ok(meta) if meta.is_dir() => {
            return Err(Error::file(doing, path, std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(meta) => meta.is_file(),
        Err(e) if doing == "write" && e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(Error::file(doing, path, e)),
    };
    if !is_file {
        let shown = path.display();
        return Err(Error::data(format!(
            "cannot {doing} `{shown}`: it is a pipe or a device, not a file"
        ))
        .hint(hint));
    }
    Ok(())
}

/// Opens a file of the user's. A pipe would let us wait for ever, and some devices never end.
pub fn open(path: &Path) -> Result<std::fs::File> {
    needs_file("read", path, "ncproj reads here and there in its files: save it to a file first")?;
    let file = std::fs::File::open(path).map_err(|e| Error::file("read", path, e))?;
    inputs::opened(path, &file)?;
    Ok(file)
}

/// All bytes of a file of the user's.
pub fn read_whole(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut out = Vec::new();
    open(path)?.read_to_end(&mut out).map_err(|e| Error::file("read", path, e))?;
    Ok(out)
}

/// An output that is one of the inputs would destroy it.
pub fn refuse_input(output: &Path, inputs: &[&Path]) -> Result<()> {
    let same = |input: &&Path| match (input.canonicalize(), output.canonicalize()) {
        (Ok(from), Ok(to)) => from == to,
        _ => false,
    };
    if inputs.iter().any(same) {
        return Err(Error::usage(format!(
            "the output `{}` would take the place of an input",
            output.display()
        ))
        .hint("give the output another name"));
    }
    Ok(())
}

/// The file's own name, without its folder: what messages and provenance say.
pub fn base_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// The known names nearest to a wrong one, or the first few of them, as a hint.
pub fn nearest(wrong: &str, known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    let wanted = wrong.to_lowercase();
    let mut near: Vec<(usize, &String)> = known
        .iter()
        .map(|k| {
            let low = k.to_lowercase();
            let far = distance(&wanted, &low);
            let inside = wanted.len() > 2 && (low.contains(&wanted) || wanted.contains(&low));
            (if inside { far.min(2) } else { far }, k)
        })
        .filter(|(d, _)| *d <= 2.max(wrong.len() / 3))
        .collect();
    near.sort_by_key(|(d, _)| *d);
    if let Some((_, best)) = near.first() {
        return format!("did you mean `{best}`?");
    }
    match known {
        [only] => format!("there is only `{only}`"),
        _ => format!("choose one of {}", list(known, 12)),
    }
}

/// "`a`, `b` and 3 more".
pub fn list(names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|n| format!("`{n}`")).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), thousands(more as u64)),
    }
}

/// 3,221.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut corner = i;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            let cost = (corner + usize::from(ca != *cb)).min(above + 1).min(left + 1);
            corner = above;
            row[j] = left;
            left = cost;
        }
        row[b.len()] = left;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_gets_the_nearest_right_one() {
        let known = ["NAME10".to_string(), "GEOID10".to_string()];
        assert_eq!(nearest("GEOID", &known), "did you mean `GEOID10`?");
        assert_eq!(nearest("xyz_long_name", &known), "choose one of `NAME10`, `GEOID10`");
    }

    #[test]
    fn the_text_says_what_where_and_hint() {
        let e = Error::data("no field `A`").at("x.zip").hint("did you mean `B`?");
        assert_eq!(e.to_string(), "no field `A`\n  at x.zip\n\nhint: did you mean `B`?");
        assert_eq!(e.exit_code(), 1);
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!(thousands(583159), "583,159");
        assert_eq!(thousands(12), "12");
    }
}
