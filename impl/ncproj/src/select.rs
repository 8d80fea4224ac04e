//! A part of the whole: times, regions by name, regions by place.

use crate::error::{Error, Result, list, nearest};
use crate::grid::Axis;
use crate::index::Index;
use crate::time::{Dates, period_in};
use std::sync::Arc;

/// `FROM..TO`: from the beginning of FROM to the end of TO.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    pub text: String,
    /// What the microseconds count.
    pub dates: Dates,
    /// Microseconds since 1970-01-01 UTC; the first that is in, and the first that is out again.
    pub from: Option<i64>,
    pub until: Option<i64>,
}

impl Times {
    /// In real dates; where there are none such, in those of a calendar that has them.
    pub fn parse(text: &str) -> Result<Times> {
        let real = Times::parse_in(text, Dates::Real);
        let other = |dates| Times::parse_in(text, dates).ok();
        match real {
            Err(e) => [Dates::Days360, Dates::AllLeap].into_iter().find_map(other).ok_or(e),
            real => real,
        }
    }

    /// The same times in the calendar of an axis.
    pub fn of(&self, dates: Dates) -> Result<Times> {
        Times::parse_in(&self.text, dates)
    }

    fn parse_in(text: &str, dates: Dates) -> Result<Times> {
        let bad = |what: String| {
            Error::usage(what).hint(
                "write `--time 2005-01-01..2005-03-31`, `--time 1990..`, `--time ..1999-12` or `--time 2005`; both ends \
                 are included, as long as they last",
            )
        };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let end = |t: &str| match t.trim() {
            "" => Ok(None),
            t => period_in(dates, t)
                .map(Some)
                .ok_or_else(|| bad(format!("`--time {text}`: `{t}` is no date"))),
        };
        let (from, to) = (end(from)?, end(to)?);
        if from.is_none() && to.is_none() {
            return Err(bad(format!("`--time {text}` names no time")));
        }
        let (from, until) = (from.map(|p| p.0), to.map(|p| p.1));
        if let (Some(a), Some(b)) = (from, until)
            && a >= b
        {
            return Err(bad(format!("`--time {text}` ends before it begins")));
        }
        Ok(Times { text: text.to_string(), dates, from, until })
    }

    pub fn holds(&self, time: i64) -> bool {
        self.from.is_none_or(|f| time >= f) && self.until.is_none_or(|u| time < u)
    }

    /// The runs of places on a time axis that are asked for.
    pub fn runs(&self, times: &[i64]) -> Vec<(usize, usize)> {
        let mut out: Vec<(usize, usize)> = Vec::new();
        for (k, _) in times.iter().enumerate().filter(|(_, t)| self.holds(**t)) {
            match out.last_mut() {
                Some((_, end)) if *end == k => *end = k + 1,
                _ => out.push((k, k + 1)),
            }
        }
        out
    }

    pub fn none_within(&self, first: i64, last: i64) -> Error {
        Error::data(format!("no time lies within `--time {}`", self.text))
            .at(format!("the files: {} .. {}", self.dates.text(first), self.dates.text(last)))
            .hint("times are UTC; give a part of these")
    }
}

/// West, south, east, north in degrees; west beyond east crosses the date line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bbox {
    pub sides: [f64; 4],
}

impl Bbox {
    pub fn parse(text: &str) -> Result<Bbox> {
        let bad = |why: &str| {
            Error::usage(format!("`--bbox {text}` is no box: {why}"))
                .hint("give west,south,east,north in degrees: `--bbox=-109,37,-102,41`")
        };
        let parts: Vec<&str> = text.split(',').collect();
        let numbers: Vec<f64> = parts
            .iter()
            .filter_map(|p| p.trim().parse::<f64>().ok().filter(|v| v.is_finite()))
            .collect();
        if parts.len() != 4 || numbers.len() != 4 {
            return Err(bad("it takes four numbers"));
        }
        let sides = [numbers[0], numbers[1], numbers[2], numbers[3]];
        if sides[1] > sides[3] {
            return Err(bad("its south lies north of its north"));
        }
        if sides[1] < -90.0 || sides[3] > 90.0 {
            return Err(bad("latitudes lie within -90..90"));
        }
        if sides[0].abs() > 540.0 || sides[2].abs() > 540.0 {
            return Err(bad("longitudes lie within -180..360"));
        }
        Ok(Bbox { sides })
    }

    /// Whether the box holds a point, [latitude, longitude].
    fn holds(&self, at: [f64; 2]) -> bool {
        let [west, south, east, north] = self.sides;
        let width = if east - west >= 360.0 { 360.0 } else { (east - west).rem_euclid(360.0) };
        at[0] >= south && at[0] <= north && (at[1] - west).rem_euclid(360.0) <= width
    }

    /// Which cells of an axis, in the order of the file, touch the box.
    fn rows(&self, axis: &Axis) -> Vec<bool> {
        self.cells(axis, |a, b| b >= self.sides[1] && a <= self.sides[3])
    }

    fn columns(&self, axis: &Axis) -> Vec<bool> {
        let [west, _, east, _] = self.sides;
        let width = match east - west {
            w if w >= 360.0 => 360.0,
            w => w.rem_euclid(360.0),
        };
        // The box begins within the cell, or the cell within the box, counted eastwards.
        self.cells(axis, |a, b| {
            (west - a).rem_euclid(360.0) <= b - a || (a - west).rem_euclid(360.0) <= width
        })
    }

    fn cells(&self, axis: &Axis, touches: impl Fn(f64, f64) -> bool) -> Vec<bool> {
        let mut out: Vec<bool> = axis.edges.windows(2).map(|w| touches(w[0], w[1])).collect();
        if axis.descending {
            out.reverse();
        }
        out
    }
}

/// `KEY=GLOB,...`: regions whose key, or a carried attribute, fits one of the patterns.
#[derive(Clone, Debug, PartialEq)]
pub struct Where {
    key: Option<String>,
    globs: Vec<String>,
}

impl Where {
    pub fn parse(text: &str) -> Result<Where> {
        let (key, globs) = match text.split_once('=') {
            Some((k, g)) => (Some(k.trim().to_string()), g),
            None => (None, text),
        };
        let globs: Vec<String> =
            globs.split(',').map(|g| g.trim().to_string()).filter(|g| !g.is_empty()).collect();
        if globs.is_empty() || key.as_deref() == Some("") {
            return Err(Error::usage(format!("`--where {text}` names no region")).hint(
                "write `--where 'gis_join=G08*'`, or several by commas; `*` is any text, `?` any character",
            ));
        }
        Ok(Where { key, globs })
    }

    fn text(&self) -> String {
        let globs = self.globs.join(",");
        self.key.as_ref().map_or(globs.clone(), |k| format!("{k}={globs}"))
    }
}

/// Does the text fit the pattern, where `*` is any text and `?` any character?
pub fn fits(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < t.len() {
        if i < p.len() && p[i] == '*' {
            star = Some((i, j));
            i += 1;
        } else if i < p.len() && (p[i] == '?' || p[i] == t[j]) {
            (i, j) = (i + 1, j + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (i, j) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Which regions are asked for.
#[derive(Default)]
pub struct Choice {
    /// A region is taken if it fits any of these.
    pub wheres: Vec<Where>,
    pub bbox: Option<Bbox>,
}

impl Choice {
    pub fn is_all(&self) -> bool {
        self.wheres.is_empty() && self.bbox.is_none()
    }

    /// For the provenance.
    pub fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "where": self.wheres.iter().map(Where::text).collect::<Vec<_>>(),
            "bbox": self.bbox.map(|b| b.sides),
        })
    }

    /// The part of the index that is asked for, in its own order.
    pub fn of(&self, index: &Index) -> Result<Index> {
        let mut named = vec![self.wheres.is_empty(); index.keys.len()];
        for w in &self.wheres {
            let column = match &w.key {
                Some(key) if *key != index.key_name => {
                    Some(index.carried.column(key).ok_or_else(|| no_such(index, w, key))?)
                }
                _ => None,
            };
            // What has no value fits nothing.
            let values: Vec<Option<String>> = match column {
                None => index.keys.iter().cloned().map(Some).collect(),
                Some(column) => (0..index.keys.len()).map(|r| column.text(r)).collect(),
            };
            for glob in &w.globs {
                let mut any = false;
                for (named, value) in named.iter_mut().zip(&values) {
                    if value.as_ref().is_some_and(|v| fits(glob, v)) {
                        (*named, any) = (true, true);
                    }
                }
                if any {
                    continue;
                }
                let mut known: Vec<String> = values.iter().flatten().cloned().collect();
                let what = match &w.key {
                    Some(key) if column.is_some() => {
                        known.sort();
                        known.dedup();
                        format!("no region has a `{key}` like `{glob}`")
                    }
                    _ => format!("no region has a key like `{glob}`"),
                };
                return Err(Error::data(what)
                    .at(format!("the regions: {}", list(&known, 5)))
                    .hint(match glob.contains(['*', '?']) {
                        true => "`*` is any text, `?` any character".to_string(),
                        false => nearest(glob, &known),
                    }));
            }
        }
        let mut wanted = named;
        if let Some(bbox) = &self.bbox {
            let (rows, columns) = (bbox.rows(&index.grid.lat), bbox.columns(&index.grid.lon));
            let n = columns.len();
            // On a plane, and on a curvilinear grid, the sides of cells are no meridians: there the middle of a cell decides.
            let plane = index.grid.projection.is_some() || index.grid.quads.is_some();
            for (r, w) in wanted.iter_mut().enumerate() {
                let mut cells = index.cells[index.pairs(r)].iter();
                *w = *w
                    && cells.any(|c| match plane {
                        true => index.grid.centre(*c).is_some_and(|at| bbox.holds(at)),
                        false => rows[*c as usize / n] && columns[*c as usize % n],
                    });
            }
            if !wanted.contains(&true) {
                return Err(Error::data("no region touches the box of `--bbox`")
                    .at(format!("the grid: {}", index.grid.describe()))
                    .hint("give west,south,east,north in degrees; a region's cells are what must touch it"));
            }
        }
        Ok(keep(index, |r| wanted[r], |_| true))
    }
}

fn no_such(index: &Index, w: &Where, key: &str) -> Error {
    let carried: Vec<String> = index.carried.names().collect();
    let also = match carried[..] {
        [] => String::new(),
        _ => format!(", and {} are carried", list(&carried, 12)),
    };
    let hint = match carried[..] {
        [] => format!("write `--where '{}=...'`", index.key_name),
        _ => nearest(key, &[&[index.key_name.clone()][..], &carried].concat()),
    };
    Error::data(format!("the regions have no `{key}`: their key is `{}`{also}", index.key_name))
        .at(format!("`--where {}`", w.text()))
        .hint(hint)
}

/// The index with some of its regions and pairs.
pub fn keep(index: &Index, region: impl Fn(usize) -> bool, pair: impl Fn(usize) -> bool) -> Index {
    let mut out = Index {
        grid: index.grid.clone(),
        keys: Vec::new(),
        key_name: index.key_name.clone(),
        inside: Vec::new(),
        starts: vec![0],
        cells: Arc::default(),
        shares: Arc::default(),
        scale: index.scale.clone(),
        named: index.named.clone(),
        regions_file: index.regions_file.clone(),
        regions_fingerprint: index.regions_fingerprint.clone(),
        cut: index.cut,
        rebuilt: index.rebuilt,
        carried: index.carried.clone(),
    };
    let (mut cells, mut shares) = (Vec::new(), Vec::new());
    let kept: Vec<usize> = (0..index.keys.len()).filter(|r| region(*r)).collect();
    out.carried = index.carried.pick(&kept);
    for r in kept {
        out.keys.push(index.keys[r].clone());
        out.inside.push(index.inside[r]);
        for p in index.pairs(r).filter(|p| pair(*p)) {
            cells.push(index.cells[p]);
            shares.push(index.shares[p]);
        }
        out.starts.push(cells.len() as u64);
    }
    (out.cells, out.shares) = (Arc::new(cells), Arc::new(shares));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_in_as_long_as_they_last() {
        let day = 86_400_000_000;
        let t = Times::parse("1970-01-02..1970-01").unwrap();
        assert_eq!((t.from, t.until), (Some(day), Some(31 * day)));
        let t = Times::parse("..1970-01-01T06:00").unwrap();
        assert!(t.holds(6 * day / 24) && !t.holds(6 * day / 24 + 60_000_000));
        assert_eq!(Times::parse("1970").unwrap().until, Some(365 * day));
        assert!(Times::parse("1971..1970").is_err() && Times::parse("..").is_err());
        assert!(Times::parse("1970-02-32..").is_err() && Times::parse("May..").is_err());
    }

    #[test]
    fn runs_are_neighbouring_places() {
        let t = Times { text: String::new(), dates: Dates::Real, from: Some(2), until: Some(5) };
        assert_eq!(t.runs(&[1, 2, 3, 7, 4, 5]), [(1, 3), (4, 5)]);
    }

    #[test]
    fn patterns() {
        assert!(fits("G08*", "G0800010") && fits("*", "") && fits("a?c*", "abcd"));
        assert!(fits("*ab", "aab") && !fits("G08*", "G1800010") && !fits("a", "ab"));
    }

    fn axis(edges: Vec<f64>) -> Axis {
        Axis {
            name: String::new(),
            dim: String::new(),
            edges,
            descending: false,
            regular: true,
            from_bounds: false,
        }
    }

    #[test]
    fn a_box_may_cross_the_date_line_and_count_either_way() {
        let cells = axis(vec![0.0, 90.0, 180.0, 270.0, 360.0]);
        let columns = |text: &str| Bbox::parse(text).unwrap().columns(&cells);
        assert_eq!(columns("-100,0,-95,1"), [false, false, true, false]);
        assert_eq!(columns("170,0,-170,1"), [false, true, true, false]);
        assert_eq!(columns("-180,0,180,1"), [true; 4]);
        assert_eq!(columns("10,0,10,1"), [true, false, false, false]);
        assert!(Bbox::parse("1,2,3").is_err() && Bbox::parse("1,5,3,2").is_err());
    }
}
