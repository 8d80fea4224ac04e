//! Whether variables that become one column mean the same, whatever file they are in: units, cell methods, calendars, levels.

use crate::error::{Error, Result, nearest};
use crate::features::{Feature, Refusal};
use crate::netcdf::{Attr, Source};
use crate::plan::{Member, Span};
use crate::time::is_time;
use crate::units;

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        "files together",
        "`units`",
        "spellings of one unit are the same (`K` and `kelvin`); no unit is that of pure numbers, `1`",
    ),
    Feature::converted(
        "files together",
        "`units` with `--convert`",
        "the values of each file are brought to the unit asked for",
    ),
    Feature::honoured(
        "files together",
        "`scale_factor`, `add_offset`, types",
        "each file's values are unpacked by its own",
    ),
    Feature::honoured(
        "files together",
        "`standard` and `proleptic_gregorian`",
        "the same from 1582-10-15 on",
    ),
    Feature::honoured(
        "files together",
        "`units_metadata`",
        "`temperature: difference` is converted without the zero",
    ),
];
pub const REFUSALS: &[&Refusal] = &[
    &UNITS,
    &UNLIKE_UNITS,
    &NO_UNIT,
    &CALENDARS,
    &ATTRIBUTE,
    &PLACE,
    &AXIS,
    &NOT_CONVERTED,
    &UNKNOWN_UNIT,
];

static UNITS: Refusal = Refusal {
    of: "files together",
    name: "`units` of one kind",
    message: "`{}` has the unit `{}` in `{}`, but `{}` in `{}`",
    hint: "bring all files to one unit: `--convert {}={}`",
};
static UNLIKE_UNITS: Refusal = Refusal {
    of: "files together",
    name: "`units` of two kinds",
    message: "`{}` has the unit `{}` in `{}`, but `{}` in `{}`, and neither can be brought to the other",
    hint: "aggregate the files in calls of their own, or repair the attribute that is wrong (`ncatted`)",
};
static NO_UNIT: Refusal = Refusal {
    of: "files together",
    name: "no `units` in one file",
    message: "`{}` has the unit `{}` in `{}`, but `{}` says no unit",
    hint: "give the variable its unit first (`ncatted -a units,{},c,c,{} FILE`)",
};
static CALENDARS: Refusal = Refusal {
    of: "files together",
    name: "`calendar`",
    message: "the calendar is `{}` in `{}`, but `{}` in `{}`",
    hint: "aggregate them in calls of their own, or bring them to one calendar first (xarray: `ds.convert_calendar`)",
};
static ATTRIBUTE: Refusal = Refusal {
    of: "files together",
    name: "`cell_methods`, `standard_name`, `units_metadata`, `positive`, `flag_values`, `flag_masks`, `flag_meanings`",
    message: "`{}` has `{}` = `{}` in `{}`, but `{}` in `{}`",
    hint: "they are not one quantity: aggregate them in calls of their own",
};
static PLACE: Refusal = Refusal {
    of: "files together",
    name: "a coordinate of one value (`height`, say)",
    message: "`{}` is at `{}` = {} in `{}`, but {} in `{}`",
    hint: "they are not one quantity: aggregate them in calls of their own",
};
static AXIS: Refusal = Refusal {
    of: "files together",
    name: "`units` and `positive` of a further axis",
    message: "the axis `{}` has `{}` = `{}` in `{}`, but `{}` in `{}`",
    hint: "aggregate them in calls of their own, or bring the axis to one form first",
};
static NOT_CONVERTED: Refusal = Refusal {
    of: "units",
    name: "`--convert` to another kind of unit",
    message: "`{}` has the unit `{}`, which cannot be converted to `{}`",
    hint: "choose a unit of the same kind for it: `--convert NAME=UNIT`",
};
static UNKNOWN_UNIT: Refusal = Refusal {
    of: "units",
    name: "`--convert` from a unit that is not known",
    message: "`{}` has the unit `{}`, which ncproj does not know, and cannot convert to `{}`",
    hint: "repair the attribute first (`ncatted`); units are written as UDUNITS has them: `K`, `degC`, `mm/day`, `kg m-2 s-1`",
};

/// What a file says of a variable, beside its numbers.
#[derive(Clone, Default)]
pub struct Meaning {
    units: Option<String>,
    calendar: Option<String>,
    /// By name; only those that are there.
    attributes: Vec<(&'static str, String)>,
    /// Name, value and unit of coordinates of one value that are no dimension.
    places: Vec<(String, f64, String)>,
    /// Of further axes: name, attribute, value.
    axes: Vec<(String, &'static str, String)>,
    /// The first time of the file is after the calendar of the Pope began.
    gregorian: bool,
    difference: bool,
}

/// Attributes that make two variables two quantities; where one file lacks one it says nothing against the other.
const TELLING: [&str; 7] = [
    "standard_name",
    "cell_methods",
    "units_metadata",
    "positive",
    "flag_values",
    "flag_masks",
    "flag_meanings",
];
const AXIS_TELLING: [&str; 2] = ["units", "positive"];
/// 1582-10-15 in microseconds since 1970.
const POPE: i64 = -12_219_292_800_000_000;

impl Meaning {
    /// `time` are the times that were read of it, `others` the names of its further axes.
    pub fn read(
        source: &mut Source,
        variable: &str,
        time: Option<&[i64]>,
        others: &[String],
    ) -> Result<Meaning> {
        let at = source.var_index(variable)?;
        let var = &source.vars[at];
        let shown = |attr: &Attr| match attr {
            Attr::Text(t) => t.split_whitespace().collect::<Vec<_>>().join(" "),
            Attr::Numbers(_, v) => v.iter().map(f64::to_string).collect::<Vec<_>>().join(", "),
            Attr::Other(kind) => (*kind).to_string(),
        };
        let attributes: Vec<(&'static str, String)> = TELLING
            .iter()
            .filter_map(|name| Some((*name, shown(var.attr(name)?))))
            .filter(|(_, v)| !v.is_empty())
            .collect();
        let mut out = Meaning {
            units: var.text("units").map(|u| u.trim().to_string()).filter(|u| !u.is_empty()),
            gregorian: time.is_some_and(|t| t.iter().all(|t| *t >= POPE)),
            ..Meaning::default()
        };
        out.difference = is_difference(&attributes);
        out.attributes = attributes;
        let dims = source.dim_names(&source.vars[at]);
        let calendar = source
            .vars
            .iter()
            .filter(|v| v.dims.len() == 1 && dims.contains(&source.dims[v.dims[0]].name))
            .find(|v| is_time(v.text("units").unwrap_or("")))
            .map(|v| calendar_name(v.text("calendar").unwrap_or("")));
        out.calendar = calendar.filter(|_| time.is_some());
        for name in others {
            let Some(axis) = source.var(name) else { continue };
            for attr in AXIS_TELLING {
                if let Some(value) = axis.attr(attr) {
                    out.axes.push((name.clone(), attr, shown(value)));
                }
            }
        }
        let named = source.vars[at].text("coordinates").unwrap_or("").to_string();
        for name in named.split_whitespace() {
            let Some(v) = source.var(name) else { continue };
            let units = v.text("units").unwrap_or("").to_string();
            let one = source.shape(v).iter().all(|n| *n == 1);
            let on_dims = v.dims.iter().any(|d| dims.contains(&source.dims[*d].name));
            if !one || on_dims || !v.kind.is_number() || is_time(&units) {
                continue;
            }
            if let Some(value) = source.read_numbers(name)?.first().filter(|v| v.is_finite()) {
                out.places.push((name.to_string(), *value, units));
            }
        }
        Ok(out)
    }
}

/// Values that have no zero of their own: differences, spreads, tendencies.
fn is_difference(attributes: &[(&'static str, String)]) -> bool {
    attributes.iter().any(|(name, value)| {
        let value = value.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| value.contains(w));
        match *name {
            "units_metadata" => value.replace(' ', "").contains("temperature:difference"),
            "cell_methods" => has(&[": standard_deviation", ": range"]),
            "standard_name" => has(&[
                "anomaly",
                "difference",
                "change_over_time",
                "tendency_of",
                "standard_error",
                "uncertainty",
                "gradient",
            ]),
            _ => false,
        }
    })
}

fn calendar_name(text: &str) -> String {
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "gregorian" => "standard".to_string(),
        "365_day" => "noleap".to_string(),
        "366_day" => "all_leap".to_string(),
        other => other.to_string(),
    }
}

/// `time: mean (interval: 1 hour) area: mean` -> the methods by their axes.
fn methods(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let (mut out, mut axes, mut method): (Vec<String>, Vec<String>, Vec<String>) =
        Default::default();
    let close = |axes: &mut Vec<String>, method: &mut Vec<String>, out: &mut Vec<String>| {
        let method = std::mem::take(method).join(" ");
        out.extend(std::mem::take(axes).into_iter().map(|axis| format!("{axis}: {method}")));
    };
    for word in plain.split_whitespace().map(str::to_lowercase) {
        match word.strip_suffix(':') {
            Some(axis) => {
                if !method.is_empty() {
                    close(&mut axes, &mut method, &mut out);
                }
                axes.push(axis.to_string());
            }
            None => method.push(word),
        }
    }
    close(&mut axes, &mut method, &mut out);
    out.sort();
    out
}

/// A file as messages name it: by its path where two have one name.
fn names<'a>(a: &'a Member, b: &'a Member) -> (String, String) {
    if a.file == b.file && a.path != b.path {
        return (a.path.display().to_string(), b.path.display().to_string());
    }
    (a.file.clone(), b.file.clone())
}

/// Files of one time axis: their calendars.
pub fn check_calendars(members: &[Member]) -> Result<()> {
    let dated: Vec<&Member> = members.iter().filter(|m| m.meaning.calendar.is_some()).collect();
    for pair in dated.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (ca, cb) = (calendar(a), calendar(b));
        let both = |x: &str| x == "standard" || x == "proleptic_gregorian";
        let same_days = both(ca) && both(cb) && a.meaning.gregorian && b.meaning.gregorian;
        if ca != cb && !same_days {
            let (fa, fb) = names(a, b);
            return Err(CALENDARS.error(&[ca, &fa, cb, &fb]));
        }
    }
    Ok(())
}

fn calendar(m: &Member) -> &str {
    m.meaning.calendar.as_deref().unwrap_or("")
}

/// Members that become one column mean the same; all that share an axis have it in one form.
pub fn check(spans: &[Span]) -> Result<()> {
    let Some((first, rest)) = spans.split_first() else { return Ok(()) };
    for m in &first.members {
        for other in rest.iter().filter_map(|s| s.members.iter().find(|o| o.name == m.name)) {
            alike(m, other)?;
        }
    }
    let all: Vec<&Member> = spans.iter().flat_map(|s| &s.members).collect();
    for pair in all.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        for (axis, attr, value) in &a.meaning.axes {
            let other = b.meaning.axes.iter().find(|(n, t, _)| n == axis && t == attr);
            let Some((_, _, found)) = other else { continue };
            let fine = match *attr {
                "units" => units::same(value, found),
                _ => value.eq_ignore_ascii_case(found),
            };
            if !fine {
                let (fa, fb) = names(a, b);
                return Err(AXIS.error(&[axis, attr, value, &fa, found, &fb]));
            }
        }
    }
    Ok(())
}

fn alike(a: &Member, b: &Member) -> Result<()> {
    let (fa, fb) = names(a, b);
    let place = |e: Error| {
        e.at(format!("{fa}: variable `{}`\n  and {fb}: variable `{}`", a.variable, b.variable))
    };
    let (x, y) = (&a.meaning, &b.meaning);
    for (attr, value) in &x.attributes {
        let Some((_, found)) = y.attributes.iter().find(|(n, _)| n == attr) else { continue };
        let fine = match *attr {
            "cell_methods" => methods(value) == methods(found),
            _ => value == found,
        };
        if !fine {
            return Err(place(ATTRIBUTE.error(&[&a.name, attr, value, &fa, found, &fb])));
        }
    }
    // One of the two says that its values are no temperatures but differences of some.
    if x.difference != y.difference && a.units == b.units && has_zero(&a.units) {
        let says = |m: &Meaning| {
            let text = |d: bool| if d { "a difference" } else { "a temperature" };
            text(m.difference).to_string()
        };
        let of = "units_metadata, cell_methods or standard_name";
        return Err(place(ATTRIBUTE.error(&[&a.name, of, &says(x), &fa, &says(y), &fb])));
    }
    for (name, value, unit) in &x.places {
        let Some((_, found, other)) = y.places.iter().find(|(n, ..)| n == name) else { continue };
        if value != found || !units::same(unit, other) {
            let text = |v: f64, u: &str| format!("{v} {u}").trim_end().to_string();
            let (va, vb) = (text(*value, unit), text(*found, other));
            return Err(place(PLACE.error(&[&a.name, name, &va, &fa, &vb, &fb])));
        }
    }
    if a.convert.is_some() || b.convert.is_some() || a.units == b.units {
        return Ok(());
    }
    let (ua, ub) = (x.units.as_deref(), y.units.as_deref());
    let texts = (ua.unwrap_or("1"), ub.unwrap_or("1"));
    if units::same(texts.0, texts.1) {
        return Ok(());
    }
    Err(place(match (ua, ub) {
        (Some(u), None) => NO_UNIT.error(&[&a.name, u, &fa, &fb, &a.variable, u]),
        (None, Some(u)) => NO_UNIT.error(&[&a.name, u, &fb, &fa, &a.variable, u]),
        _ => {
            let kind = |u| units::parse(u).zip(units::parse(texts.0));
            match kind(texts.1).and_then(|(b, a)| units::between(a, b)) {
                Some(_) => UNITS.error(&[&a.name, texts.0, &fa, texts.1, &fb, &a.name, texts.0]),
                None => UNLIKE_UNITS.error(&[&a.name, texts.0, &fa, texts.1, &fb]),
            }
        }
    }))
}

fn has_zero(unit: &str) -> bool {
    match (units::parse(unit), units::parse("K")) {
        (Some(u), Some(k)) => units::between(u, k).is_some(),
        _ => false,
    }
}

/// `[NAME=]UNIT` of `--convert`.
#[derive(Clone, Debug)]
pub struct Convert {
    name: Option<String>,
    unit: String,
}

impl Convert {
    pub fn parse(text: &str) -> Result<Convert> {
        let (name, unit) = match text.split_once('=') {
            Some((n, u)) => (Some(n.trim().to_string()), u.trim().to_string()),
            None => (None, text.trim().to_string()),
        };
        let hint = "write `--convert air_temperature=degC`, or `--convert degC` for all variables";
        if unit.is_empty() || name.as_ref().is_some_and(String::is_empty) {
            return Err(
                Error::usage(format!("`--convert {text}` names no unit or no variable")).hint(hint)
            );
        }
        if units::parse(&unit).is_none() {
            return Err(Error::usage(format!("`{unit}` in `--convert` is no unit known here")).hint(
                "units are written as UDUNITS has them: `K`, `degC`, `mm/day`, `kg m-2 s-1`, `%`",
            ));
        }
        Ok(Convert { name, unit })
    }
}

/// Says of each member how its values are converted, and gives it the unit they will have.
pub fn convert(members: &mut [Member], wanted: &[Convert]) -> Result<()> {
    for (k, c) in wanted.iter().enumerate() {
        if wanted[..k].iter().any(|o| o.name == c.name) {
            let of = c.name.as_ref().map_or("all variables".to_string(), |n| format!("`{n}`"));
            return Err(Error::usage(format!("`--convert` gives two units for {of}"))
                .hint("give one unit for each variable"));
        }
        let Some(name) = &c.name else { continue };
        if !members.iter().any(|m| m.name == *name) {
            let mut known: Vec<String> = members.iter().map(|m| m.name.clone()).collect();
            known.sort();
            known.dedup();
            return Err(Error::usage(format!("`--convert {name}={}` names no column", c.unit))
                .hint(nearest(name, &known)));
        }
    }
    for m in members {
        let own = wanted.iter().find(|c| c.name.as_ref() == Some(&m.name));
        let Some(c) = own.or_else(|| wanted.iter().find(|c| c.name.is_none())) else { continue };
        let place = format!("{}: variable `{}`", m.file, m.variable);
        let Some(text) = m.meaning.units.clone() else {
            return Err(Error::data(format!("`{}` says no unit, and cannot be converted", m.name))
                .at(place)
                .hint(
                    "give the variable its unit first (`ncatted`), or leave it out of `--convert`",
                ));
        };
        let Some(from) = units::parse(&text) else {
            return Err(UNKNOWN_UNIT.error(&[&m.name, &text, &c.unit]).at(place));
        };
        let Some((scale, offset)) = units::parse(&c.unit).and_then(|to| units::between(from, to))
        else {
            return Err(NOT_CONVERTED.error(&[&m.name, &text, &c.unit]).at(place));
        };
        let says =
            |name: &str| m.meaning.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
        if offset != 0.0 && says("units_metadata").is_some_and(|v| v.contains("unknown")) {
            return Err(Error::data(format!(
                "`{}` does not say whether it is a temperature or a difference (`units_metadata` = `{}`), and `{text}` cannot be converted to `{}`",
                m.name, says("units_metadata").map_or("", String::as_str), c.unit
            ))
            .at(place)
            .hint("repair the attribute first (`ncatted`): `temperature: on_scale` or `temperature: difference`"));
        }
        let offset = if m.meaning.difference { 0.0 } else { offset };
        m.convert = Some((scale, offset));
        m.units = c.unit.clone();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_methods_are_compared_without_their_remarks() {
        assert_eq!(
            methods("time: mean (interval: 1 hour) area: mean"),
            methods("area: mean time:  MEAN")
        );
        assert_eq!(methods("lat: lon: mean"), ["lat: mean", "lon: mean"]);
        assert_ne!(methods("time: mean"), methods("time: maximum"));
        assert_ne!(methods("time: maximum within days"), methods("time: maximum over days"));
    }
}
