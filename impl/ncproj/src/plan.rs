//! What is asked of which file: variables, their axes, and how files stand side by side or follow each other.

use crate::alike::{self, Convert, Meaning};
use crate::error::{Error, Result, base_name, list, nearest, thousands};
use crate::grid::{self, Grid, shape_text};
use crate::index::Index;
use crate::layout::Cut;
use crate::netcdf::{Blocks, Source};
use crate::output::Labels;
use crate::select::Times;
use crate::time::{TimeUnits, is_time, iso};
use std::path::PathBuf;
use std::sync::Arc;

const FILE_HINT: &str =
    "in `--variables FILE:VARIABLE`, FILE is a part of the file's name or a pattern with `*`";
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
        let name = if name.is_empty() { variable.clone() } else { name };
        Ok(Pick { file, variable, name })
    }
}

/// The axes of a variable beside latitude and longitude.
#[derive(Clone, PartialEq)]
pub struct Axes {
    pub time: Option<Vec<i64>>,
    /// Name and labels, in the order of the file's dimensions.
    pub others: Vec<(String, Labels)>,
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
                (Some(a), Some(_)) if t.len() == 1 => format!("1 time {}", iso(*a)),
                (Some(a), Some(b)) => {
                    format!("{} times {} .. {}", thousands(t.len() as u64), iso(*a), iso(*b))
                }
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
        let mut source = Source::open(path)?;
        let found = choose(&source, picks, &mut used);
        for v in gridded(&source) {
            if !known.contains(&v) {
                known.push(v);
            }
        }
        if found.is_empty() {
            let here = gridded(&source);
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
            span.runs = times.runs(axis);
        }
    }
    Ok(spans)
}

/// The variables that have a time that is asked for.
fn within(members: Vec<Member>, times: &Times) -> Result<Vec<Member>> {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut out = Vec::new();
    for m in members {
        let Some(axis) = &m.axes.time else {
            return Err(Error::data(format!(
                "`{}` of `{}` has no times to choose from",
                m.variable, m.file
            ))
            .at(m.axes.describe())
            .hint("leave `--time` away"));
        };
        first = axis.iter().fold(first, |a, t| a.min(*t));
        last = axis.iter().fold(last, |a, t| a.max(*t));
        if axis.iter().any(|t| times.holds(*t)) {
            out.push(m);
        }
    }
    if out.is_empty() {
        return Err(times.none_within(first, last));
    }
    Ok(out)
}

/// The variables on a plain grid.
pub fn gridded(source: &Source) -> Vec<String> {
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
    let mut out = Vec::new();
    for (k, (pick, used)) in picks.iter().zip(used).enumerate() {
        let file_fits = pick.file.as_ref().is_none_or(|f| matches_name(f, &source.name));
        if file_fits && here.contains(&pick.variable) {
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
    let dims: Vec<(usize, String, u64)> = source.vars[index]
        .dims
        .iter()
        .enumerate()
        .filter(|(k, _)| *k != lat && *k != lon)
        .map(|(k, d)| (k, source.dims[*d].name.clone(), source.dims[*d].len))
        .collect();
    let mut out = Axes { time: None, others: Vec::new() };
    for (_, name, len) in dims {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let at = format!("{}: dimension `{name}` of `{variable}`", source.name);
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
        let Some(coordinate) = coordinate(source, &name) else {
            out.others.push((name, Labels::Int((0..len as i64).collect())));
            continue;
        };
        let var = source.var_index(&coordinate)?;
        let units = source.vars[var].text("units").unwrap_or("").to_string();
        if out.time.is_none() && is_time(&units) && source.vars[var].kind.is_number() {
            let calendar = source.vars[var].text("calendar").unwrap_or("").to_string();
            let time = TimeUnits::parse(&units, &calendar).map_err(|e| e.at(at.clone()))?;
            let values = source.read_numbers(&coordinate)?;
            let decoded: Result<Vec<i64>> = values.iter().map(|v| time.decode(*v)).collect();
            out.time = Some(decoded.map_err(|e| e.at(at))?);
            continue;
        }
        let kind = source.vars[var].kind;
        let labels = if kind.is_number() {
            let values = source.read_numbers(&coordinate)?;
            let packed = source.vars[var].attr("scale_factor").is_some();
            if kind.is_integer() && !packed && values.iter().all(|v| v.is_finite()) {
                Labels::Int(values.iter().map(|v| *v as i64).collect())
            } else {
                Labels::Float(values)
            }
        } else {
            match source.read_texts(&coordinate)? {
                Some(t) if t.len() == len => Labels::Text(t),
                _ => Labels::Int((0..len as i64).collect()),
            }
        };
        out.others.push((name, labels));
    }
    Ok(out)
}

/// The variable that says what stands along a dimension: of the same name, else the only 1-D time on it.
fn coordinate(source: &Source, dim: &str) -> Option<String> {
    let on = |v: &crate::netcdf::Var| !v.dims.is_empty() && source.dims[v.dims[0]].name == dim;
    if let Some(v) = source.var(dim).filter(|v| on(v)) {
        return Some(v.name.clone());
    }
    source
        .vars
        .iter()
        .find(|v| v.dims.len() == 1 && on(v) && is_time(v.text("units").unwrap_or("")))
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
