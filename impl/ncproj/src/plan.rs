//! What is asked of which file: variables, their axes, and how files stand side by side or follow each other.

use crate::alike::{self, Convert, Meaning};
use crate::error::{Error, Result, base_name, list, nearest, thousands};
use crate::features::{Feature, Refusal};
use crate::grid::{self, Grid, shape_text};
use crate::index::Index;
use crate::layout::Cut;
use crate::netcdf::{Attr, Blocks, Decoder, Kind, Source, Var, base};
use crate::output::Labels;
use crate::select::Times;
use crate::time::{Dates, TimeUnits, is_time};
use std::path::PathBuf;
use std::sync::Arc;

const FILE_HINT: &str =
    "in `--variables FILE:VARIABLE`, FILE is a part of the file's name or a pattern with `*`";
pub const FEATURES: &[Feature] = &[
    Feature::honoured("types", "enum, boolean", "the integers that they are kept as"),
    Feature::honoured(
        "groups",
        "variables in groups",
        "by their path (`--variables model/tas`, `--variable model/tas`), or all of a group by `--group model`; dimensions and named variables are looked for in the own group, then above",
    ),
];

static NOT_NUMBERS: Refusal = Refusal {
    of: "types",
    name: "string, char, compound, opaque, bit field, reference, array, variable length",
    message: "`{}` is of type {}, and only numbers can be aggregated",
    hint: "choose another variable; `ncproj info` lists what the file holds",
};
static NOT_LABELS: Refusal = Refusal {
    of: "types",
    name: "an axis of such values (texts can be labels)",
    message: "`{}` says what stands along a dimension, but is of type {}",
    hint: "remove the variable, and the dimension is counted from 0 (`ncks -x -v`)",
};
static IN_GROUP: Refusal = Refusal {
    of: "groups",
    name: "a file whose gridded variables are all in groups, where none is named",
    message: "the file keeps its variables in groups: {}",
    hint: "name them: `--variables {}` (`--variable {}` for `ncproj index`), or `--group {}`",
};
static NO_SCALES: Refusal = Refusal {
    of: "groups",
    name: "HDF5 without dimension scales, where the lengths do not tell the dimensions apart",
    message: "the file does not say what its dimensions are: it is plain HDF5 without dimension scales",
    hint: "write it as netCDF, or attach scales (h5py: `make_scale`, `dims[0].attach_scale`)",
};
static SAME_DIM: Refusal = Refusal {
    of: "groups",
    name: "a variable that has a dimension twice",
    message: "`{}` has the dimension `{}` twice: what stands where, nobody knows",
    hint: "give its dimensions names of their own (`ncrename -d`)",
};
static NOT_FLAT: Refusal = Refusal {
    of: "time",
    name: "a dimension whose own times have several dimensions",
    message: "`{}` has several dimensions: which time a step along `{}` has, it does not say",
    hint: "give the dimension times of its own, or rename the variable (`ncrename -v`)",
};
static TWO_CALENDARS: Refusal = Refusal {
    of: "time",
    name: "files of which one is in a calendar with dates that are none",
    message: "the files differ in their calendar: `{}` of `{}` and `{}` of `{}`",
    hint: "aggregate them in calls of their own, or bring them to one calendar first (xarray: `ds.convert_calendar`)",
};
static TWO_TIMES: Refusal = Refusal {
    of: "time",
    name: "times of two dimensions, beginning and step of forecasts",
    message: "the times stand in `{}`, of two dimensions, and `{}` is the beginning of each forecast only",
    hint: "choose one beginning (`ncks -d`), or remove `{}` to have the beginning and the step as columns (`ncks -x -v`)",
};
static NO_TIME: Refusal = Refusal {
    of: "time",
    name: "a time that is missing",
    message: "value {} of the time `{}` is missing: it is NaN, a fill value, or outside of its valid range",
    hint: "repair the time axis (`_FillValue`, `missing_value`, `valid_range`), or cut these steps off",
};

pub const REFUSALS: &[&Refusal] = &[
    &TWO_TIMES,
    &NO_TIME,
    &NOT_NUMBERS,
    &NOT_LABELS,
    &IN_GROUP,
    &NO_SCALES,
    &SAME_DIM,
    &NOT_FLAT,
    &TWO_CALENDARS,
];

/// Values along an axis.
const MOST_STEPS: usize = 1 << 26;

/// `[FILE:]VARIABLE[=NAME]`.
#[derive(Clone, Debug)]
pub struct Pick {
    pub file: Option<String>,
    pub variable: String,
    pub name: String,
}

impl Pick {
    pub fn parse(text: &str) -> Result<Pick> {
        let (left, name) = match text.split_once('=') {
            Some((l, n)) => (l.trim(), n.trim().to_string()),
            None => (text.trim(), String::new()),
        };
        let (file, variable) = match left.split_once(':') {
            Some((f, v)) => (Some(f.to_string()), v.to_string()),
            None => (None, left.to_string()),
        };
        let hint = "write `--variables air_temperature` or `--variables air_temperature=daily_high`, and several by commas";
        if text.trim().is_empty() {
            return Err(Error::usage("an entry of `--variables` is empty").hint(hint));
        }
        if variable.is_empty() {
            return Err(
                Error::usage(format!("`{text}` in `--variables` names no variable")).hint(hint)
            );
        }
        if text.contains('=') && name.is_empty() {
            return Err(Error::usage(format!("`{text}` in `--variables` gives no name")).hint(hint));
        }
        let variable = variable.strip_prefix('/').unwrap_or(&variable).to_string();
        let name = if name.is_empty() { base(&variable).to_string() } else { name };
        Ok(Pick { file, variable, name })
    }
}

/// The axes of a variable beside latitude and longitude.
#[derive(Clone)]
pub struct Axes {
    pub time: Option<Vec<i64>>,
    /// What the times count.
    pub dates: Dates,
    /// Why dates are others than the file's own, where they are.
    pub shift: Option<&'static str>,
    /// Units of the others, where they have any.
    pub units: Vec<String>,
    /// Name and labels, in the order of the file's dimensions.
    pub others: Vec<(String, Labels)>,
}

impl PartialEq for Axes {
    /// The same places; how their units are spelled, and why dates moved, is for `alike` and the warnings.
    fn eq(&self, other: &Self) -> bool {
        self.time == other.time && self.dates == other.dates && self.others == other.others
    }
}

impl Axes {
    pub fn each(&self) -> usize {
        self.others.iter().map(|(_, l)| l.len()).product()
    }

    pub fn steps(&self) -> usize {
        self.time.as_ref().map_or(1, Vec::len) * self.each()
    }

    fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(t) = &self.time {
            parts.push(match (t.first(), t.last()) {
                (Some(a), Some(_)) if t.len() == 1 => format!("1 time {}", self.dates.text(*a)),
                (Some(a), Some(b)) => format!(
                    "{} times {} .. {}",
                    thousands(t.len() as u64),
                    self.dates.text(*a),
                    self.dates.text(*b)
                ),
                _ => "no times".to_string(),
            });
        }
        parts.extend(self.others.iter().map(|(n, l)| format!("{} values of {n}", l.len())));
        if parts.is_empty() { "one step".to_string() } else { parts.join(", ") }
    }
}

/// A variable of a file that becomes columns.
#[derive(Clone)]
pub struct Member {
    pub path: PathBuf,
    pub file: String,
    pub variable: String,
    pub name: String,
    /// Of the output.
    pub units: String,
    /// Factor and summand that bring its values to these units.
    pub convert: Option<(f64, f64)>,
    pub meaning: Meaning,
    /// Columns stand in the order of `--variables`, else of the files' names, whatever the order of the files.
    pub order: (usize, String, usize),
    pub axes: Arc<Axes>,
    /// How its blocks cut the grid.
    pub cut: Cut,
    /// What its attributes say that a reader should know.
    pub warnings: Vec<String>,
}

/// Files with the same axes, side by side.
pub struct Span {
    pub axes: Arc<Axes>,
    pub members: Vec<Member>,
    /// The times that are asked for: places on the axis, from and to (not included).
    pub runs: Vec<(usize, usize)>,
}

impl Span {
    pub fn steps(&self) -> usize {
        self.runs.iter().map(|(a, b)| b - a).sum::<usize>() * self.axes.each()
    }
}

/// What is asked of the files, `times` only if they are given.
pub fn plan(
    index: &Index,
    files: &[PathBuf],
    picks: &[Pick],
    times: Option<&Times>,
    converts: &[Convert],
) -> Result<Vec<Span>> {
    if files.is_empty() {
        return Err(Error::usage("no netCDF file is given")
            .hint("ncproj aggregate --index I -o OUT FILE..."));
    }
    let mut members: Vec<Member> = Vec::new();
    let mut used = vec![false; picks.len()];
    let mut known: Vec<String> = Vec::new();
    for path in files {
        let mut source = index.open(path)?;
        let found = choose(&source, picks, &mut used);
        for v in all_gridded(&source) {
            if !known.contains(&v) {
                known.push(v);
            }
        }
        if found.is_empty() {
            let here = all_gridded(&source);
            let asked = match picks {
                [] => why_not(&source, None),
                _ => picks.iter().find_map(|p| why_not(&source, Some(&p.variable))),
            };
            if let Some(e) = asked {
                return Err(e);
            }
            let all: Vec<String> = source.vars.iter().map(|v| shape_text(&source, v)).collect();
            let wanted: Vec<String> = picks.iter().map(|p| p.variable.clone()).collect();
            let unlike = picks.iter().find(|p| here.contains(&p.variable));
            let there = picks.iter().find(|p| source.var(&p.variable).is_some());
            return Err(if let Some(p) = unlike {
                let like = p.file.as_deref().unwrap_or_default();
                Error::data(format!(
                    "`{}` has `{}`, but its name is not like `{like}`",
                    source.name, p.variable
                ))
                .at(format!("{}: {}", source.name, list(&all, 12)))
                .hint(FILE_HINT)
            } else if here.is_empty() && (picks.is_empty() || there.is_some()) {
                // Ask for the grid: its error says why there is none.
                match grid::find(&mut source, there.map(|p| p.variable.as_str())) {
                    Err(e) => e,
                    Ok(_) => Error::data("there is no variable on the grid")
                        .at(format!("{}: {}", source.name, list(&all, 12)))
                        .hint("bounds, climatologies and grid mappings do not count"),
                }
            } else {
                Error::data(format!("there is no variable {}", list(&wanted, 5)))
                    .at(format!("{}: {}", source.name, list(&all, 12)))
                    .hint(nearest(&wanted[0], &here))
            });
        }
        for (place, variable, name) in found {
            let grid = grid::find(&mut source, Some(&variable))?;
            check_grid(index, &grid, &source, &variable)?;
            let axes = Arc::new(axes(&mut source, &variable)?);
            let others: Vec<String> = axes.others.iter().map(|(n, _)| n.clone()).collect();
            let meaning = Meaning::read(&mut source, &variable, axes.time.as_deref(), &others)?;
            let units =
                source.var(&variable).and_then(|v| v.text("units")).unwrap_or("").to_string();
            let file = source.name.clone();
            let order = match picks.is_empty() {
                true => (0, file.clone(), place),
                false => (place, file.clone(), 0),
            };
            let at = source.var_index(&variable)?;
            let Some(sides) = grid::sides(&source, &source.vars[at]) else { continue };
            let place = format!("{file}: variable `{variable}`");
            let warn = |w: &String| format!("{place}: {w}");
            let decoder = Decoder::new(&source.vars[at]).map_err(|e| e.at(place.clone()))?;
            let warnings = decoder.warnings.iter().map(warn).collect();
            let cut = Cut::of(&Blocks::new(&source, at)?, sides);
            let path = path.clone();
            let convert = None;
            members.push(Member {
                path,
                file,
                variable,
                name,
                units,
                convert,
                meaning,
                order,
                axes,
                cut,
                warnings,
            });
        }
    }
    if let Some(k) = used.iter().position(|u| !u) {
        let p = &picks[k];
        let names: Vec<String> = files.iter().map(|f| base_name(f)).collect();
        let like = p.file.as_ref().filter(|_| known.contains(&p.variable));
        return Err(match like {
            Some(f) => Error::data(format!("no file has `{}` and a name like `{f}`", p.variable))
                .hint(FILE_HINT),
            None => Error::data(format!("there is no variable `{}`", p.variable))
                .hint(nearest(&p.variable, &known)),
        }
        .at(format!("{}: {}", list(&names, 3), list(&known, 12))));
    }
    make_real(&mut members);
    one_measure(&members)?;
    let members = match times {
        Some(times) => within(members, times)?,
        None => members,
    };
    let mut members = members;
    alike::convert(&mut members, converts)?;
    alike::check_calendars(&members)?;
    let mut spans = arrange(members)?;
    alike::check(&spans)?;
    for span in &mut spans {
        if let (Some(times), Some(axis)) = (times, &span.axes.time) {
            span.runs = times.of(span.axes.dates)?.runs(axis);
        }
    }
    Ok(spans)
}

/// A calendar that has a 29 February in every year is a real one as long as that does not occur in another than a leap year.
fn make_real(members: &mut [Member]) {
    let leap = |m: &&mut Member| m.axes.dates == Dates::AllLeap;
    let mut real: Vec<Option<Vec<i64>>> = Vec::new();
    for m in members.iter_mut().filter(leap) {
        let times = m.axes.time.iter().flatten();
        real.push(times.map(|t| Dates::AllLeap.real(*t)).collect());
    }
    let Some(real) = real.into_iter().collect::<Option<Vec<_>>>() else { return };
    for (m, times) in members.iter_mut().filter(leap).zip(real) {
        let axes = Axes { time: Some(times), dates: Dates::Real, ..(*m.axes).clone() };
        m.axes = Arc::new(axes);
    }
}

/// All count their times in one kind of days; what units mean, `alike` compares.
fn one_measure(members: &[Member]) -> Result<()> {
    let timed = |m: &&Member| m.axes.time.is_some();
    if let Some(first) = members.iter().find(timed)
        && let Some(other) = members.iter().filter(timed).find(|m| m.axes.dates != first.axes.dates)
    {
        let (a, b) = (first.axes.dates.calendar(), other.axes.dates.calendar());
        return Err(TWO_CALENDARS.error(&[a, &first.file, b, &other.file]));
    }
    Ok(())
}

/// The variables that have a time that is asked for.
fn within(members: Vec<Member>, times: &Times) -> Result<Vec<Member>> {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut out = Vec::new();
    let dates =
        members.iter().find(|m| m.axes.time.is_some()).map_or(Dates::Real, |m| m.axes.dates);
    for m in members {
        let Some(axis) = &m.axes.time else {
            return Err(Error::data(format!(
                "`{}` of `{}` has no times to choose from",
                m.variable, m.file
            ))
            .at(m.axes.describe())
            .hint("leave `--time` away"));
        };
        let times = times.of(m.axes.dates)?;
        first = axis.iter().fold(first, |a, t| a.min(*t));
        last = axis.iter().fold(last, |a, t| a.max(*t));
        if axis.iter().any(|t| times.holds(*t)) {
            out.push(m);
        }
    }
    if out.is_empty() {
        return Err(times.of(dates)?.none_within(first, last));
    }
    Ok(out)
}

/// The variables on a plain grid that need not be asked for by the name of their group.
pub fn gridded(source: &Source) -> Vec<String> {
    all_gridded(source).into_iter().filter(|v| !v.contains('/')).collect()
}

/// Why nothing is found in a file, where it is for what its variables are: `variable`, or all.
pub fn why_not(source: &Source, variable: Option<&str>) -> Option<Error> {
    let at = |v: &Var| format!("{}: {}", source.name, shape_text(source, v));
    let other = |v: &Var| NOT_NUMBERS.error(&[&v.name, v.kind.name()]).at(at(v));
    match variable {
        Some(name) => {
            let v = source.var(name)?;
            if !v.kind.is_number() {
                return Some(other(v));
            }
            let phony = source.dim_names(v).iter().any(|d| d.starts_with("phony_dim_"));
            (phony && grid::sides(source, v).is_none()).then(|| NO_SCALES.error(&[]).at(at(v)))
        }
        None if gridded(source).is_empty() => {
            let below = all_gridded(source);
            if let Some(first) = below.first() {
                let group = first.rsplit_once('/').map_or("", |(g, _)| g);
                let all = list(&below, 5);
                return Some(IN_GROUP.error(&[&all, first, first, group]).at(source.name.clone()));
            }
            let on_grid = |v: &&Var| v.dims.len() > 1 && !v.kind.is_number();
            let odd = source.vars.iter().filter(on_grid);
            if let Some(v) =
                odd.filter(|v| v.kind != Kind::Char).find(|v| grid::sides(source, v).is_some())
            {
                return Some(other(v));
            }
            source.phony.then(|| {
                let all: Vec<String> = source.vars.iter().map(|v| shape_text(source, v)).collect();
                NO_SCALES.error(&[]).at(format!("{}: {}", source.name, list(&all, 12)))
            })
        }
        None => None,
    }
}

/// All variables on a plain grid, those of groups too.
pub fn all_gridded(source: &Source) -> Vec<String> {
    let helper = |name: &str| {
        source.vars.iter().any(|v| {
            ["bounds", "climatology", "grid_mapping"].iter().any(|a| v.text(a) == Some(name))
        })
    };
    source
        .vars
        .iter()
        .filter(|v| v.kind.is_number() && grid::sides(source, v).is_some() && !helper(&v.name))
        .map(|v| v.name.clone())
        .collect()
}

/// (place in the order of columns, variable, name) of what is taken from a file.
fn choose(source: &Source, picks: &[Pick], used: &mut [bool]) -> Vec<(usize, String, String)> {
    let here = gridded(source);
    if picks.is_empty() {
        return here.into_iter().enumerate().map(|(k, v)| (k, v.clone(), v)).collect();
    }
    let (here, mut out) = (all_gridded(source), Vec::new());
    for (k, (pick, used)) in picks.iter().zip(used).enumerate() {
        let file_fits = pick.file.as_ref().is_none_or(|f| matches_name(f, &source.name));
        if file_fits && let Some(group) = pick.variable.strip_suffix("/*") {
            for v in here.iter().filter(|v| v.rsplit_once('/').is_some_and(|(g, _)| g == group)) {
                *used = true;
                out.push((k, v.clone(), base(v).to_string()));
            }
        } else if file_fits && here.contains(&pick.variable) {
            *used = true;
            out.push((k, pick.variable.clone(), pick.name.clone()));
        }
    }
    out
}

/// A file's name against a pattern with `*`; without one, any part of the name will do.
fn matches_name(pattern: &str, name: &str) -> bool {
    if !pattern.contains('*') {
        return name.contains(pattern);
    }
    let parts: Vec<&str> = pattern.split('*').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if name.len() < first.len() + last.len() || !name.starts_with(first) || !name.ends_with(last) {
        return false;
    }
    let mut rest = &name[first.len()..name.len() - last.len()];
    for p in &parts[1..parts.len() - 1] {
        match rest.find(p) {
            Some(i) => rest = &rest[i + p.len()..],
            None => return false,
        }
    }
    true
}

pub fn check_grid(index: &Index, grid: &Grid, source: &Source, variable: &str) -> Result<()> {
    match index.grid.difference(grid) {
        None => Ok(()),
        Some(what) => Err(Error::data(format!(
            "the index is for another grid than `{}`: {what}",
            source.name
        ))
        .at(format!(
            "the index: {}\n  and `{variable}`: {}",
            index.grid.describe(),
            grid.describe()
        ))
        .hint(format!("make an index for this grid: `ncproj index --grid {}`", source.name))),
    }
}

/// Reads what stands along a variable's dimensions beside latitude and longitude.
fn axes(source: &mut Source, variable: &str) -> Result<Axes> {
    let index = source.var_index(variable)?;
    let Some((lat, lon)) = grid::sides(source, &source.vars[index]) else {
        return Err(grid::no_sides(source, variable));
    };
    let all = &source.vars[index].dims;
    if let Some(k) = (1..all.len()).find(|k| all[..*k].contains(&all[*k])) {
        return Err(SAME_DIM.error(&[variable, &source.dims[all[k]].name]).at(format!(
            "{}: {}",
            source.name,
            shape_text(source, &source.vars[index])
        )));
    }
    let dims: Vec<usize> =
        all.iter().enumerate().filter(|(k, _)| *k != lat && *k != lon).map(|(_, d)| *d).collect();
    let along: Vec<Option<String>> =
        dims.iter().map(|d| coordinate(source, variable, *d)).collect();
    // Of several dimensions that are times, `time` is the one that CF calls so.
    let said = |name: &Option<String>| name.as_ref().and_then(|n| source.var(n));
    let first = along
        .iter()
        .enumerate()
        .filter_map(|(k, name)| Some((k, said(name).filter(|v| is_cf_time(v))?)))
        .max_by_key(|(k, v)| (as_time(v), std::cmp::Reverse(*k)))
        .map(|(k, _)| k);
    let mut out =
        Axes { time: None, dates: Dates::Real, shift: None, units: Vec::new(), others: Vec::new() };
    for (k, (dim, coordinate)) in dims.iter().zip(&along).enumerate() {
        let full = source.dims[*dim].name.clone();
        let name = base(&full).to_string();
        let len = usize::try_from(source.dims[*dim].len).unwrap_or(usize::MAX);
        let at = format!("{}: dimension `{full}` of `{variable}`", source.name);
        if len == 0 {
            return Err(Error::data(format!("`{variable}` holds nothing: `{name}` has no values"))
                .at(at)
                .hint("leave the file away, or choose other variables with `--variables`"));
        }
        if len > MOST_STEPS {
            return Err(Error::data(format!(
                "`{name}` has {} values: ncproj takes at most {} along an axis",
                thousands(len as u64),
                thousands(MOST_STEPS as u64)
            ))
            .at(at)
            .hint("cut the file to the part you need first (`ncks -d`)"));
        }
        let Some(coordinate) = coordinate else {
            if let Some(v) = source.var(&full).filter(|v| v.dims.len() > 1 && is_cf_time(v)) {
                return Err(NOT_FLAT.error(&[&shape_text(source, v), &full]).at(at));
            }
            out.units.push(String::new());
            out.others.push((name, Labels::Int((0..len as i64).collect())));
            continue;
        };
        let var = source.var_index(coordinate)?;
        let units = source.vars[var].text("units").unwrap_or("").to_string();
        let timed = is_cf_time(&source.vars[var]);
        if timed {
            let (units, times) = read_times(source, coordinate).map_err(|e| e.at(at.clone()))?;
            if first == Some(k) {
                out.dates = units.dates();
                out.shift = times.iter().find_map(|t| units.shift(*t));
                out.time = Some(times);
            } else {
                let dates = units.dates();
                out.units.push(String::new());
                let texts = times.iter().map(|t| dates.text(*t)).collect();
                out.others.push((name, Labels::Text(texts)));
            }
            continue;
        }
        let kind = source.vars[var].kind;
        let labels = if kind.is_number() {
            match source.read_integers(coordinate)? {
                Some(whole) => Labels::Int(whole),
                None => Labels::Float(source.read_numbers(coordinate)?),
            }
        } else {
            match source.read_texts(coordinate)? {
                Some(t) if t.len() == len => Labels::Text(t),
                _ => return Err(NOT_LABELS.error(&[coordinate, kind.name()]).at(at)),
            }
        };
        out.units.push(units);
        out.others.push((name, labels));
    }
    // Times of two dimensions, beginning and step, have no column: the beginning may not stand for them.
    if let Some(k) = first
        && along[k].as_ref().and_then(|n| source.var(n)).is_some_and(|v| as_time(v) == 0)
    {
        let all = &source.vars[index].dims;
        let both = |v: &&Var| v.dims.len() == 2 && v.dims.iter().all(|d| all.contains(d));
        let time = |v: &&Var| is_cf_time(v) && as_time(v) == 3;
        if let Some(v) = source.vars.iter().filter(both).find(time) {
            let (beginning, text) = (along[k].as_deref().unwrap_or(""), shape_text(source, v));
            let at = format!("{}: variable `{variable}`", source.name);
            return Err(TWO_TIMES.error(&[&text, beginning, &v.name]).at(at));
        }
    }
    if out.time.is_none()
        && let Some(scalar) = scalar_time(source, variable)
    {
        let at = format!("{}: variable `{scalar}`", source.name);
        let (units, times) = read_times(source, &scalar).map_err(|e| e.at(at))?;
        let dates = units.dates();
        if source.var(&scalar).is_some_and(|v| as_time(v) > 0) {
            out.dates = dates;
            out.shift = times.iter().find_map(|t| units.shift(*t));
            out.time = Some(times);
        } else {
            // The beginning of the forecast: an axis of one step behind all others.
            let texts = times.iter().map(|t| dates.text(*t)).collect();
            out.units.push(String::new());
            out.others.push((base(&scalar).to_string(), Labels::Text(texts)));
        }
    }
    Ok(out)
}

fn is_cf_time(v: &Var) -> bool {
    v.kind.is_number() && is_time(v.text("units").unwrap_or(""))
}

/// How surely a time is that of the values, and not of the forecast's beginning.
fn as_time(v: &Var) -> u8 {
    match v.text("standard_name") {
        Some("time") => 3,
        Some("forecast_reference_time") => 0,
        _ if v.text("axis") == Some("T") => 2,
        _ => 1,
    }
}

/// A time's units, and all its values.
fn read_times(source: &mut Source, name: &str) -> Result<(TimeUnits, Vec<i64>)> {
    let var = &source.vars[source.var_index(name)?];
    let calendar = match var.attr("calendar") {
        _ if var.attr("month_lengths").is_some() => "month_lengths",
        None => "",
        Some(Attr::Text(t)) => t,
        Some(_) => "(no text)",
    };
    let units = TimeUnits::parse(var.text("units").unwrap_or(""), calendar)?;
    let times: Result<Vec<i64>> = match source.read_integers(name)? {
        Some(whole) => whole.iter().map(|v| units.decode_whole(*v)).collect(),
        None => {
            let values = source.read_numbers(name)?;
            if let Some(k) = values.iter().position(|v| v.is_nan()) {
                return Err(NO_TIME.error(&[&thousands(k as u64 + 1), name]));
            }
            values.iter().map(|v| units.decode(*v)).collect()
        }
    };
    Ok((units, times?))
}

/// The time of all values of a variable, where `coordinates` names one.
fn scalar_time(source: &Source, variable: &str) -> Option<String> {
    let own = source.var(variable).and_then(|v| v.text("coordinates")).unwrap_or("");
    let all = source.attrs.iter().find_map(|(n, a)| match a {
        Attr::Text(t) if n == "coordinates" => Some(t.as_str()),
        _ => None,
    });
    let dims = source.var(variable).map(|v| source.dim_names(v)).unwrap_or_default();
    own.split_whitespace()
        .chain(all.unwrap_or("").split_whitespace())
        .filter(|name| !dims.iter().any(|d| d == name))
        .filter_map(|name| source.var(name))
        .filter(|v| v.dims.is_empty() && is_cf_time(v))
        .max_by_key(|v| as_time(v))
        .map(|v| v.name.clone())
}

/// The variable that says what stands along a dimension: of the same name, else the 1-D time on it.
fn coordinate(source: &Source, variable: &str, dim: usize) -> Option<String> {
    let name = &source.dims[dim].name;
    // Numbers have one dimension, texts may have another of their characters.
    let on = |v: &&Var| {
        v.dims.first() == Some(&dim)
            && (v.dims.len() == 1 || v.kind == Kind::Char && v.dims.len() == 2)
    };
    let own = source.var(name).filter(on);
    // Where a dimension holds the beginnings of forecasts or their steps, the times themselves may stand beside.
    let of_forecast = |v: &Var| {
        is_cf_time(v) && as_time(v) == 0 || v.text("standard_name") == Some("forecast_period")
    };
    if own.is_some_and(of_forecast)
        && let Some(v) = source.vars.iter().find(|v| on(v) && is_cf_time(v) && as_time(v) == 3)
    {
        return Some(v.name.clone());
    }
    if let Some(v) = own {
        return Some(v.name.clone());
    }
    // In a group below that of its dimension, where the variable sees it.
    let above = |v: &&Var| match v.name.rsplit_once('/') {
        Some((group, _)) => variable.strip_prefix(group).is_some_and(|rest| rest.starts_with('/')),
        None => true,
    };
    let seen = || source.vars.iter().filter(on).filter(above);
    seen()
        .find(|v| base(&v.name) == base(name))
        .or_else(|| seen().filter(|v| is_cf_time(v)).max_by_key(|v| as_time(v)))
        .map(|v| v.name.clone())
}

/// Puts files of the same axes side by side and spans of time one after another.
fn arrange(mut members: Vec<Member>) -> Result<Vec<Span>> {
    members.sort_by(|a, b| a.order.1.cmp(&b.order.1));
    let mut spans: Vec<Span> = Vec::new();
    for m in members {
        match spans.iter_mut().find(|s| *s.axes == *m.axes) {
            Some(span) => {
                if let Some(other) = span.members.iter().find(|o| o.name == m.name) {
                    if other.path == m.path && other.variable == m.variable {
                        return Err(Error::usage(format!(
                            "`{}` of `{}` is asked for twice",
                            m.variable, m.file
                        ))
                        .hint("name each file once, and each variable once in `--variables`"));
                    }
                    if other.path == m.path {
                        return Err(Error::data(format!(
                            "`{}` and `{}` of `{}` would both be called `{}`",
                            other.variable, m.variable, m.file, m.name
                        ))
                        .hint("give them different names: `--variables V1=NAME1,V2=NAME2`"));
                    }
                    let (a, b) = match other.file == m.file {
                        true => (other.path.display().to_string(), m.path.display().to_string()),
                        false => (other.file.clone(), m.file.clone()),
                    };
                    return Err(Error::data(format!(
                        "`{a}` and `{b}` both have `{}` at the same times",
                        m.name
                    ))
                    .at(m.axes.describe())
                    .hint(match other.file == m.file {
                        true => "rename one of the files, so that `--variables FILE:V=NAME` can tell them apart",
                        false => "give them different names: `--variables FILE1:V=NAME1,FILE2:V=NAME2`",
                    }));
                }
                span.members.push(m);
            }
            None => {
                let runs = vec![(0, m.axes.time.as_ref().map_or(1, Vec::len))];
                spans.push(Span { axes: m.axes.clone(), members: vec![m], runs });
            }
        }
    }
    for span in &mut spans {
        span.members.sort_by(|a, b| a.order.cmp(&b.order));
    }
    if spans.len() == 1 {
        return Ok(spans);
    }
    let clash = |a: &Span, b: &Span, what: &str| {
        let (a, b) = (&a.members[0], &b.members[0]);
        Error::data(what.to_string())
            .at(format!(
                "`{}` of `{}`: {}\n  and `{}` of `{}`: {}",
                a.variable,
                a.file,
                a.axes.describe(),
                b.variable,
                b.file,
                b.axes.describe()
            ))
            .hint("aggregate them in calls of their own, or choose variables with `--variables`")
    };
    if let Some(k) = spans.iter().position(|s| s.axes.time.is_none()) {
        let other = usize::from(k == 0);
        return Err(clash(
            &spans[k],
            &spans[other],
            "the files do not share their axes, and have no time to be put in order by",
        ));
    }
    let start = |s: &Span| s.axes.time.as_ref().and_then(|t| t.iter().min().copied());
    let end = |s: &Span| s.axes.time.as_ref().and_then(|t| t.iter().max().copied());
    spans.sort_by_key(|s| start(s));
    for k in 1..spans.len() {
        let (a, b) = (&spans[k - 1], &spans[k]);
        if a.axes.others != b.axes.others {
            return Err(clash(a, b, "the files differ in another axis than time"));
        }
        if end(a) >= start(b) {
            return Err(clash(a, b, "the files overlap in time but do not share their times"));
        }
        let names = |s: &Span| {
            let mut n: Vec<String> = s.members.iter().map(|m| m.name.clone()).collect();
            n.sort();
            n
        };
        if names(a) != names(b) {
            let (na, nb) = (names(a), names(b));
            return Err(clash(
                a,
                b,
                &format!(
                    "the spans of time differ in their variables: {} and {}",
                    list(&na, 5),
                    list(&nb, 5)
                ),
            ));
        }
    }
    // The columns stand in the order of the first span.
    let order: Vec<String> = spans[0].members.iter().map(|m| m.name.clone()).collect();
    for s in &mut spans[1..] {
        s.members.sort_by_key(|m| order.iter().position(|n| *n == m.name));
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pick_may_name_file_variable_and_column() {
        let p = Pick::parse("tasmax_*:air_temperature=daily_high").unwrap();
        assert_eq!(p.file.as_deref(), Some("tasmax_*"));
        assert_eq!((p.variable.as_str(), p.name.as_str()), ("air_temperature", "daily_high"));
        assert_eq!(Pick::parse("pr").unwrap().name, "pr");
        assert!(Pick::parse("pr=").is_err());
    }

    #[test]
    fn names_match_patterns_or_parts() {
        assert!(matches_name("tasmax", "macav2_tasmax_2005.nc"));
        assert!(matches_name("macav2_*_2005.nc", "macav2_tasmax_2005.nc"));
        assert!(!matches_name("*_2006.nc", "macav2_tasmax_2005.nc"));
    }
}
