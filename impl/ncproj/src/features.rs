//! What ncproj does with what a file may say: honoured, converted, or refused with which message.
//!
//! Each module keeps its own list beside the code that does it; `ncproj features` prints them all, and the docs are made of
//! that. A refusal is made from its entry, so the table cannot promise another message than is given.

use crate::error::Error;

/// What happens to something that a file says.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// It decides the result as its convention says.
    Honoured,
    /// It is brought to another form first; `how` says to which.
    Converted,
    /// An error; see `Refusal`.
    Refused,
}

/// One attribute, geometry or feature of a file. `of` groups entries: `packing`, `coordinates`, `time`, ...
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub of: &'static str,
    pub name: &'static str,
    pub does: Does,
    pub how: &'static str,
}

impl Feature {
    pub const fn honoured(of: &'static str, name: &'static str, how: &'static str) -> Feature {
        Feature { of, name, does: Does::Honoured, how }
    }

    pub const fn converted(of: &'static str, name: &'static str, how: &'static str) -> Feature {
        Feature { of, name, does: Does::Converted, how }
    }
}

/// Something that is not honoured, and the error that says so. `message` and `hint` may hold `{}` for values.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub of: &'static str,
    pub name: &'static str,
    pub message: &'static str,
    pub hint: &'static str,
}

impl Refusal {
    /// The error, its blanks filled in order: those of the message, then those of the hint.
    pub fn error(&self, values: &[&str]) -> Error {
        let mut values = values.iter();
        let mut fill = |text: &str| {
            let mut out = String::with_capacity(text.len() + 32);
            for (k, piece) in text.split("{}").enumerate() {
                if k > 0 {
                    out.push_str(values.next().copied().unwrap_or("?"));
                }
                out.push_str(piece);
            }
            out
        };
        let what = fill(self.message);
        Error::data(what).hint(fill(self.hint))
    }

    /// As an entry of the table.
    pub const fn feature(&self) -> Feature {
        Feature { of: self.of, name: self.name, does: Does::Refused, how: self.message }
    }
}

/// The lists of all modules: what is done, and what is refused.
fn lists() -> Vec<(&'static [Feature], &'static [&'static Refusal])> {
    vec![
        (crate::angle::FEATURES, crate::angle::REFUSALS),
        (crate::grid::FEATURES, crate::grid::REFUSALS),
        (crate::classes::FEATURES, crate::classes::REFUSALS),
        (crate::carry::FEATURES, crate::carry::REFUSALS),
        (crate::repair::FEATURES, &[]),
        (crate::meridian::FEATURES, crate::meridian::REFUSALS),
        (crate::great_circle::FEATURES, crate::great_circle::REFUSALS),
        (crate::curvilinear::FEATURES, crate::curvilinear::REFUSALS),
        (&[], crate::curvilinear::FIND_REFUSALS),
        (crate::grid::SYSTEM_FEATURES, crate::grid::SYSTEM_REFUSALS),
        (crate::crs::FEATURES, crate::crs::REFUSALS),
        (crate::regions::reproject::FEATURES, crate::regions::reproject::REFUSALS),
        (crate::netcdf::PACKING, crate::netcdf::NO_PACKING),
        (crate::time::FEATURES, crate::time::REFUSALS),
        (crate::plan::FEATURES, crate::plan::REFUSALS),
        (crate::netcdf::CONTAINERS, crate::netcdf::NO_CONTAINERS),
        (crate::alike::FEATURES, crate::alike::REFUSALS),
        (crate::regions::FEATURES, crate::regions::REFUSALS),
    ]
}

/// Everything there is, by group, in the order of the modules.
pub fn all() -> Vec<Feature> {
    let mut out: Vec<Feature> = Vec::new();
    for (done, refused) in lists() {
        out.extend(done);
        out.extend(refused.iter().map(|r| r.feature()));
    }
    let mut groups: Vec<&str> = Vec::new();
    for f in &out {
        if !groups.contains(&f.of) {
            groups.push(f.of);
        }
    }
    out.sort_by_key(|f| groups.iter().position(|g| *g == f.of));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blanks_of_a_refusal_are_filled_in_order() {
        let r = Refusal { of: "a", name: "b", message: "`{}` is {}", hint: "try `{}`" };
        assert_eq!(r.error(&["x", "2", "y"]).to_string(), "`x` is 2\n\nhint: try `y`");
    }

    #[test]
    fn no_entry_stands_twice() {
        let mut seen = std::collections::HashSet::new();
        for f in all() {
            assert!(seen.insert((f.of, f.name, f.how)), "{} / {}", f.of, f.name);
        }
    }
}
