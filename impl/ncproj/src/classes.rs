//! The classes that `frac` and `weighted_frac` have a column for: given, named by the file, or found in a first pass.

use crate::error::{Error, Result, list, nearest, thousands};
use crate::features::{Feature, Refusal};
use crate::netcdf::{Attr, Kind, Source, Var};
use crate::plan::{Member, Span};
use crate::stats::Stat;
use crate::work::{Covered, survey};
use serde_json::{Value, json};

/// Classes that a file names or that are given; each is a column or two.
const MOST: usize = 4_096;
/// Classes that a first pass takes for classes: as many as a byte has. More of them are measurements.
const MOST_FOUND: usize = 256;

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        "classes",
        "`flag_values`",
        "the classes of `frac` and `weighted_frac`, unless `--classes` says others; as the variable's own type holds them (`_Unsigned`)",
    ),
    Feature::honoured(
        "classes",
        "`flag_meanings`",
        "the meaning of each class, in the output's metadata; by blanks or commas, as many as there are values",
    ),
    Feature::honoured(
        "classes",
        "`flag_masks`",
        "a warning: values are classes as a whole, as they are found in a first pass; bits are not taken apart",
    ),
];

static FLAGS_AS_TEXT: Refusal = Refusal {
    of: "classes",
    name: "`flag_values` that are no numbers",
    message: "the attribute `flag_values` is the text `{}`, not numbers",
    hint: "give the classes: `--classes 1,2,3`",
};
static MEANINGS_DO_NOT_FIT: Refusal = Refusal {
    of: "classes",
    name: "`flag_meanings` of another number than `flag_values`",
    message: "there are {} `flag_values` but {} `flag_meanings`",
    hint: "repair the attributes (`ncatted`), or give the classes: `--classes 1,2,3`",
};
static PACKED_FLAGS: Refusal = Refusal {
    of: "classes",
    name: "`flag_values` of packed data",
    message: "`flag_values` of packed data (`scale_factor`, `add_offset`) do not say which values they mean",
    hint: "give the classes as they are unpacked: `--classes 0.5,1`, or have them found: `--classes auto`",
};
static OTHER_MEANING: Refusal = Refusal {
    of: "classes",
    name: "`flag_meanings` that differ from file to file",
    message: "the class {} of `{}` is `{}` in `{}` but `{}` in `{}`",
    hint: "aggregate them in calls of their own, or give the classes: `--classes 1,2,3`",
};
static NOT_A_CLASS: Refusal = Refusal {
    of: "classes",
    name: "a value that is no class",
    message: "`{}` has values that are none of its classes: {}",
    hint: "add them to the classes, or have the rest in a column of its own: `--classes {},other`",
};
static TOO_MANY: Refusal = Refusal {
    of: "classes",
    name: "a field of more than 256 values without named classes",
    message: "`{}` has {} different values: too many to be classes",
    hint: "name the classes, and the rest as one: `--classes {}=1,2,other`; or aggregate it in a call of its own",
};
static TOO_LARGE: Refusal = Refusal {
    of: "classes",
    name: "64-bit integers beyond 2^53 in `frac`, `weighted_frac` and `variety`",
    message: "the value {} is too large: from 9,007,199,254,740,992 on float64 cannot tell integers apart",
    hint: "choose other statistics, or store classes as smaller numbers",
};

pub const REFUSALS: &[&Refusal] = &[
    &FLAGS_AS_TEXT,
    &MEANINGS_DO_NOT_FIT,
    &PACKED_FLAGS,
    &OTHER_MEANING,
    &NOT_A_CLASS,
    &TOO_MANY,
    &TOO_LARGE,
];

const HINT: &str = "write `--classes 1,2,11`, `--classes 1,2,other`, `--classes auto`, or for one variable `--classes NAME=1,2,11`";

/// What `--classes` asks for: `[NAME=]LIST`, where a list is values by commas, `other` among them for all others, or `auto`.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The variable's name in the output; nothing is all that have no wish of their own.
    pub name: Option<String>,
    /// Nothing is those that a first pass finds.
    given: Option<Given>,
}

#[derive(Clone, Debug, PartialEq)]
struct Given {
    values: Vec<f64>,
    other: bool,
}

impl Wish {
    pub fn parse(text: &str) -> Result<Wish> {
        let short: String = match text.char_indices().nth(60) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.to_string(),
        };
        let bad =
            |what: String| Err(Error::usage(format!("`--classes {short}`: {what}")).hint(HINT));
        let (name, listed) = match text.rsplit_once('=') {
            Some((n, l)) => (Some(n.trim().to_string()), l),
            None => (None, text),
        };
        if name.as_deref() == Some("") {
            return bad("there is no name before `=`".into());
        }
        if listed.trim() == "auto" {
            return Ok(Wish { name, given: None });
        }
        let mut given = Given { values: Vec::new(), other: false };
        for entry in listed.split(',').map(str::trim) {
            match entry {
                "" => return bad("an entry is empty".into()),
                "other" => given.other = true,
                "auto" => return bad("`auto` stands alone".into()),
                _ => match entry.parse::<f64>() {
                    Ok(v) if v.is_nan() => return bad("a missing value is no class".into()),
                    Ok(v) if given.values.contains(&v) => {
                        return bad(format!("the class {} stands twice", number(v)));
                    }
                    // Adding 0 makes -0 a plain 0.
                    Ok(v) => given.values.push(v + 0.0),
                    Err(_) => return bad(format!("`{entry}` is no number")),
                },
            }
        }
        if given.values.is_empty() {
            return bad("it names no class".into());
        }
        if given.values.len() > MOST {
            return bad(format!("more than {} classes", thousands(MOST as u64)));
        }
        Ok(Wish { name, given: Some(given) })
    }
}

/// A number as it stands in names: never hundreds of digits.
pub fn number(v: f64) -> String {
    match v.abs() {
        a if a != 0.0 && !(1e-5..1e16).contains(&a) && a.is_finite() => format!("{v:e}"),
        _ => v.to_string(),
    }
}

/// The shortest decimal that float32 holds as this value.
pub fn shortest(v: f64) -> f64 {
    (v as f32).to_string().parse().unwrap_or(v)
}

/// The classes of one variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    pub values: Vec<f64>,
    meanings: Vec<Option<String>>,
    /// All other values are a class, too.
    pub other: bool,
    from: &'static str,
}

impl Classes {
    /// How many columns a statistic has.
    pub fn len(&self) -> usize {
        self.values.len() + usize::from(self.other)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn name(&self, place: usize) -> String {
        self.values.get(place).map_or("other".to_string(), |v| number(*v))
    }

    /// The place of what is no class.
    pub fn rest(&self) -> Option<usize> {
        self.other.then_some(self.values.len())
    }

    /// Values in rising order with their places, as they are compared: for float32 (`narrow`) as it would hold them.
    pub fn rising(&self, narrow: bool, at: &str) -> Result<Vec<(f64, usize)>> {
        let as_stored = |v: &f64| if narrow { f64::from(*v as f32) } else { *v };
        let mut out: Vec<(f64, usize)> =
            self.values.iter().enumerate().map(|(k, v)| (as_stored(v), k)).collect();
        out.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(w) = out.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(Error::data(format!(
                "the classes {} and {} are the same float32",
                self.name(w[0].1),
                self.name(w[1].1)
            ))
            .at(at.to_string())
            .hint("leave one of them away"));
        }
        Ok(out)
    }

    /// For the provenance.
    fn describe(&self) -> Value {
        json!({"from": self.from, "values": self.values, "other": self.other})
    }
}

/// A column of the output.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub stat: Stat,
    /// The class's place.
    pub class: Option<usize>,
    /// Units and cell method.
    pub about: (String, String),
    pub note: Value,
}

/// The columns of one variable.
#[derive(Clone, Debug)]
pub struct Columns {
    pub columns: Vec<Column>,
    /// Those that need all values of a region side by side.
    pub orders: Vec<(Stat, Option<usize>)>,
    pub classes: Option<Classes>,
}

impl Columns {
    pub fn of(member: &Member, stats: &[Stat], classes: Option<Classes>) -> Columns {
        let mut columns = Vec::new();
        for stat in stats {
            let (units, method) = stat.about(&member.units);
            let mut column = |name: String, class: Option<usize>, method: String| {
                let mut note =
                    json!({"units": units, "variable": member.variable, "cell_method": method});
                if let (Some(k), Some(classes)) = (class, &classes) {
                    note["class"] = json!(classes.values.get(k));
                    if let Some(Some(meaning)) = classes.meanings.get(k) {
                        note["meaning"] = json!(meaning);
                    }
                }
                let about = (units.clone(), method);
                columns.push(Column { name, stat: *stat, class, about, note });
            };
            match classes.as_ref().filter(|_| stat.by_class()) {
                None => column(format!("{}_{}", stat.name(), member.name), None, method),
                Some(classes) => {
                    for k in 0..classes.len() {
                        let class = classes.name(k);
                        let said = match classes.meanings.get(k) {
                            Some(Some(meaning)) => format!("{method}: class {class} ({meaning})"),
                            Some(None) => format!("{method}: class {class}"),
                            None => format!("{method}: all other values"),
                        };
                        column(format!("{}_{class}_{}", stat.name(), member.name), Some(k), said);
                    }
                }
            }
        }
        let orders = columns
            .iter()
            .filter(|c| c.stat.needs_order())
            .map(|c: &Column| (c.stat, c.class))
            .collect();
        Columns { columns, orders, classes }
    }

    /// For the provenance: how the classes came to be.
    pub fn note(&self) -> Option<Value> {
        self.classes.as_ref().map(Classes::describe)
    }
}

/// The classes of all variables, in the order of the first span's members; none where no statistic is by class. What there
/// is to say goes to `warnings`.
pub fn resolve(
    spans: &[Span],
    covered: impl Fn() -> Covered,
    wishes: &[Wish],
    threads: usize,
    warnings: &mut Vec<String>,
) -> Result<Vec<Classes>> {
    let names: Vec<String> = spans[0].members.iter().map(|m| m.name.clone()).collect();
    for (k, wish) in wishes.iter().enumerate() {
        if wishes[..k].iter().any(|w| w.name == wish.name) {
            let whose = wish.name.as_ref().map_or("all variables".into(), |n| format!("`{n}`"));
            return Err(Error::usage(format!("`--classes` is given twice for {whose}")).hint(HINT));
        }
        if let Some(name) = wish.name.as_ref().filter(|n| !names.contains(n)) {
            return Err(Error::usage(format!("`--classes` names `{name}`, which is no variable"))
                .at(list(&names, 12))
                .hint(nearest(name, &names)));
        }
    }
    let mut out = Vec::new();
    let mut cells = None;
    for (place, name) in names.iter().enumerate() {
        let wish = wishes
            .iter()
            .find(|w| w.name.as_ref() == Some(name))
            .or_else(|| wishes.iter().find(|w| w.name.is_none()));
        let flags = flags_of_all(spans, place, warnings);
        let found = match (wish, flags) {
            (Some(Wish { given: Some(given), .. }), flags) => {
                let flags = flags.unwrap_or_default();
                let meanings =
                    given.values.iter().map(|v| meaning(&flags, *v).map(str::to_string)).collect();
                let (values, other) = (given.values.clone(), given.other);
                Classes { values, meanings, other, from: "--classes" }
            }
            (None, Ok(flags)) if !flags.is_empty() => Classes {
                values: flags.iter().map(|f| f.value).collect(),
                meanings: flags.into_iter().map(|f| f.meaning).collect(),
                other: false,
                from: "flag_values",
            },
            (None, Err(e)) => return Err(e),
            (_, flags) => {
                let flags = flags.unwrap_or_default();
                let cells = cells.get_or_insert_with(&covered);
                let values = find(spans, place, cells, threads)?;
                let meanings =
                    values.iter().map(|v| meaning(&flags, *v).map(str::to_string)).collect();
                Classes { values, meanings, other: false, from: "a first pass" }
            }
        };
        out.push(found);
    }
    Ok(out)
}

/// All different values of a variable, rising; an error where they are too many to be classes.
fn find(spans: &[Span], place: usize, cells: &Covered, threads: usize) -> Result<Vec<f64>> {
    let mut values: Vec<f64> = Vec::new();
    let member = &spans[0].members[place];
    let mut whole = true;
    for span in spans {
        let seen = survey(span, place, cells, threads)?;
        whole &= seen.whole;
        values.extend(seen.values.iter().map(|(v, _)| *v));
        values.sort_by(f64::total_cmp);
        values.dedup();
        if !whole {
            break;
        }
    }
    if values.len() > MOST_FOUND || !whole {
        let many = thousands(values.len() as u64);
        let many = if whole { many } else { format!("more than {many}") };
        return Err(TOO_MANY
            .error(&[&member.name, &many, &member.name])
            .at(format!("{}: variable `{}`", member.file, member.variable)));
    }
    Ok(values)
}

/// The error of values that are no class, with how often they come in all cells of the regions.
pub fn not_a_class(
    span: &Span,
    place: usize,
    classes: &Classes,
    cells: &Covered,
    threads: usize,
) -> Result<Error> {
    let member = &span.members[place];
    let seen = survey(span, place, cells, threads)?;
    let rising = classes.rising(seen.narrow, &member.file)?;
    let as_stored = |v: f64| if seen.narrow { f64::from(v as f32) } else { v };
    let mut lost: Vec<&(f64, u64)> = seen
        .values
        .iter()
        .filter(|(v, _)| !rising.iter().any(|(class, _)| *class == as_stored(*v)))
        .collect();
    let count = lost.len();
    lost.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
    let shown: Vec<String> = lost
        .iter()
        .take(5)
        .map(|(v, n)| match n {
            1 => format!("{} (in 1 cell)", number(*v)),
            n => format!("{} (in {} cells)", number(*v), thousands(*n)),
        })
        .collect();
    let more = match count.saturating_sub(5) {
        0 => String::new(),
        more if seen.whole => format!(" and {} more values", thousands(more as u64)),
        more => format!(" and more than {} more values", thousands(more as u64)),
    };
    let mut known: Vec<String> = classes.values.iter().take(3).map(|v| number(*v)).collect();
    if classes.values.len() > 3 {
        known.push("...".into());
    }
    Ok(NOT_A_CLASS
        .error(&[&member.name, &format!("{}{more}", shown.join(", ")), &known.join(",")])
        .at(format!("{}: variable `{}`", member.file, member.variable)))
}

/// The error of an integer that float64 holds together with its neighbours.
pub fn too_large(value: f64, at: &str) -> Error {
    TOO_LARGE.error(&[&format!("{value}")]).at(at)
}

/// What a file says of a value.
#[derive(Clone, Debug, PartialEq)]
struct Flag {
    value: f64,
    meaning: Option<String>,
}

fn meaning(flags: &[Flag], value: f64) -> Option<&str> {
    flags.iter().find(|f| f.value == value)?.meaning.as_deref()
}

/// The flags of a variable in all files that have it.
fn flags_of_all(spans: &[Span], place: usize, warnings: &mut Vec<String>) -> Result<Vec<Flag>> {
    let mut all: Vec<(Flag, &str)> = Vec::new();
    for span in spans {
        let member = &span.members[place];
        let source = Source::open(&member.path)?;
        let var = &source.vars[source.var_index(&member.variable)?];
        let at = format!("{}: variable `{}`", member.file, member.variable);
        if var.attr("flag_masks").is_some() {
            let text = format!(
                "`{}` has `flag_masks`: its values are taken as classes as a whole, bits are not taken apart",
                member.name
            );
            if !warnings.contains(&text) {
                warnings.push(text);
            }
            continue;
        }
        for flag in flags(var).map_err(|e| e.at(at))? {
            match all.iter().find(|(f, _)| f.value == flag.value) {
                None => all.push((flag, &member.file)),
                Some((f, file)) if f.meaning != flag.meaning => {
                    let said = |f: &Flag| f.meaning.clone().unwrap_or_default();
                    return Err(OTHER_MEANING.error(&[
                        &number(f.value),
                        &member.name,
                        &said(f),
                        file,
                        &said(&flag),
                        &member.file,
                    ]));
                }
                Some(_) => {}
            }
        }
    }
    Ok(all.into_iter().map(|(f, _)| f).collect())
}

fn flags(var: &Var) -> Result<Vec<Flag>> {
    let stored: Vec<f64> = match var.attr("flag_values") {
        None => return Ok(Vec::new()),
        // float32 as people write it: 0.1 and not 0.10000000149.
        Some(Attr::Numbers(Kind::F4, v)) => v.iter().map(|v| shortest(*v)).collect(),
        Some(Attr::Numbers(_, v)) => v.clone(),
        Some(Attr::Text(t)) => {
            // `flag_values = "0b, 1b, 2b"`: numbers as ncdump shows them, seen in the wild.
            let plain = |p: &str| p.trim_end_matches(['b', 's', 'l', 'L', 'f', 'u', 'B']).parse();
            let parts = t.split([',', ' ']).filter(|p| !p.is_empty());
            let numbers: std::result::Result<Vec<f64>, _> = parts.map(plain).collect();
            numbers.map_err(|_| FLAGS_AS_TEXT.error(&[t]))?
        }
        Some(Attr::Other(kind)) => return Err(FLAGS_AS_TEXT.error(&[kind])),
    };
    let packed = |name: &str, plain: f64| var.attr(name).is_some_and(|a| !is_number(a, plain));
    if packed("scale_factor", 1.0) || packed("add_offset", 0.0) {
        return Err(PACKED_FLAGS.error(&[]));
    }
    if stored.len() > MOST {
        return Err(Error::data(format!(
            "there are {} `flag_values`: ncproj takes at most {}",
            thousands(stored.len() as u64),
            thousands(MOST as u64)
        ))
        .hint("give the classes: `--classes 1,2,3`"));
    }
    let said = var.text("flag_meanings").unwrap_or("");
    let blanks: Vec<&str> = said.split_whitespace().collect();
    let commas: Vec<&str> = said.split(',').map(str::trim).filter(|m| !m.is_empty()).collect();
    let meanings = if blanks.len() != stored.len() && commas.len() == stored.len() {
        commas
    } else {
        blanks.into_iter().map(|m| m.trim_end_matches(',')).collect()
    };
    if !meanings.is_empty() && meanings.len() != stored.len() {
        let count = |n: usize| thousands(n as u64);
        return Err(MEANINGS_DO_NOT_FIT.error(&[&count(stored.len()), &count(meanings.len())]));
    }
    let mut out: Vec<Flag> = Vec::new();
    for (k, value) in stored.iter().enumerate() {
        let value = as_stored(var, *value);
        let meaning = meanings.get(k).map(|m| m.to_string());
        if value.is_nan() || out.iter().any(|f| f.value == value) {
            continue;
        }
        out.push(Flag { value, meaning });
    }
    Ok(out)
}

fn is_number(attr: &Attr, wanted: f64) -> bool {
    match attr {
        Attr::Numbers(_, v) => v[..] == [wanted],
        Attr::Text(t) => t.trim().parse() == Ok(wanted),
        Attr::Other(_) => false,
    }
}

/// A flag as the variable holds it: the same bits, signed or not.
fn as_stored(var: &Var, value: f64) -> f64 {
    let bits = match var.kind {
        Kind::I1 | Kind::U1 => 8,
        Kind::I2 | Kind::U2 => 16,
        Kind::I4 | Kind::U4 => 32,
        _ => return value + 0.0,
    };
    let unsigned = match var.text("_Unsigned") {
        Some(flag) => flag.eq_ignore_ascii_case("true"),
        None => matches!(var.kind, Kind::U1 | Kind::U2 | Kind::U4),
    };
    let span = 2f64.powi(bits);
    match value {
        v if unsigned && v < 0.0 && v >= -span / 2.0 => v + span,
        v if !unsigned && v >= span / 2.0 && v < span => v - span,
        v => v + 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_has_a_name_or_not() {
        let w = Wish::parse("cover=1, 2.5,-3,other").unwrap();
        assert_eq!(w.name.as_deref(), Some("cover"));
        assert_eq!(w.given, Some(Given { values: vec![1.0, 2.5, -3.0], other: true }));
        assert_eq!(Wish::parse("auto").unwrap(), Wish { name: None, given: None });
        for bad in ["", "1,,2", "x", "other", "1,1.0", "auto,1", "nan", "=1"] {
            assert!(Wish::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_in_names_are_short() {
        assert_eq!(
            (number(11.0), number(-0.5), number(0.0)),
            ("11".into(), "-0.5".into(), "0".into())
        );
        assert_eq!(number(1e300), "1e300");
        assert_eq!(shortest(f64::from(0.1f32)), 0.1);
    }
}
