//! Curvilinear grids: latitude and longitude of two dimensions, cells as quadrilaterals of their corners.
//!
//! Corners come from the `bounds` of the coordinates, else from the centres (`corners`). What a region covers of a cell is
//! worked out in the plane that suits the cell (`plane`).

mod corners;
mod find;
mod plane;

pub use find::{
    REFUSALS as FIND_REFUSALS, candidates, is_coordinate, is_helper, read, sides, unstructured,
};

use self::corners::{Shape, draw_region, far, make, near, shape, to_polar};
use self::plane::{Part, Piece, Plane, sphere_area};
use crate::coverage::Covered;
use crate::error::{Error, Result, thousands};
use crate::features::{Feature, Refusal};
use crate::repair::{Loop, Point, signed_area};
use std::sync::OnceLock;

/// Shares below this are rounding, as on plain grids.
const SMALLEST: f64 = 1e-10;
/// So many cells at one place are no cells, but a value that stands for none: halos and folds repeat a cell less often.
const MOST_AT_ONE_PLACE: usize = 4;
/// How far apart two things may be that are to be the same, in cells.
const SLACK: f64 = 1e-2;

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        "coordinates",
        "curvilinear grid",
        "latitude and longitude of two dimensions: cells are quadrilaterals of their corners",
    ),
    Feature::honoured(
        "coordinates",
        "`coordinates` attribute",
        "the two-dimensional latitude and longitude that it names go before others on the same dimensions",
    ),
    Feature::honoured(
        "coordinates",
        "two-dimensional `bounds`",
        "four corners of each cell, turning either way; a missing corner leaves a triangle",
    ),
    Feature::converted(
        "coordinates",
        "curvilinear grid without bounds",
        "corners halfway between the centres; outermost ones as the rows and columns go on, round the globe or over a fold",
    ),
    Feature::converted(
        "coordinates",
        "missing two-dimensional coordinates",
        "there is no cell: values there do not count",
    ),
    Feature::converted(
        "coordinates",
        "repeated cells (halos, folds)",
        "each counts once, the one farthest from the file's edge",
    ),
];

static NO_CENTRE: Refusal = Refusal {
    of: "coordinates",
    name: "cell that does not hold its centre",
    message: "the cell in row {}, column {} does not hold its centre (latitude {}, longitude {})",
    hint: "repair the bounds, or remove the attribute `bounds` of latitude and longitude: the corners are then made from the centres",
};
static CROSSED: Refusal = Refusal {
    of: "coordinates",
    name: "cell whose sides cross",
    message: "the sides of the cell in row {}, column {} cross: its corners do not go round",
    hint: "the corners of each cell must stand in the order round it: repair the bounds, or remove the attribute `bounds` of latitude and longitude",
};
static OVERLAP: Refusal = Refusal {
    of: "coordinates",
    name: "cells that overlap",
    message: "the cells in row {}, column {} and row {}, column {} overlap: what they share would count twice",
    hint: "cut the file to cells that lie side by side, or regrid it to latitude and longitude (`cdo remapcon`)",
};
static NO_SIZE: Refusal = Refusal {
    of: "coordinates",
    name: "one row or column of cells without bounds",
    message: "the grid has {} x {} cells and no bounds: how large they are, nobody knows",
    hint: "add cell bounds (a `bounds` attribute at latitude and longitude, and its variables of four corners)",
};
static NO_CELL: Refusal = Refusal {
    of: "coordinates",
    name: "curvilinear grid without any cell",
    message: "no cell has a place and a size by `{}` and `{}`",
    hint: "a grid needs its coordinates, and cells an area: repair the file, or fetch it again",
};

pub const REFUSALS: &[&Refusal] = &[&NO_CENTRE, &CROSSED, &OVERLAP, &NO_SIZE, &NO_CELL];

/// The cells of a curvilinear grid, row by row as in the file.
#[derive(Debug)]
pub struct Quads {
    pub rows: usize,
    pub columns: usize,
    /// Longitude and latitude of the centres in degrees; NaN where there is no cell.
    centres: Vec<Point>,
    /// Corners as the file has them, in longitude and latitude; NaN where one is missing.
    bounds: Option<Vec<[Point; 4]>>,
    /// A name for the content of both.
    pub digest: String,
    /// Where the corners come from.
    pub origin: String,
    /// For messages: the file and its coordinates.
    place: String,
    /// The coordinates are no float64: the same corner may be written in two ways (0 and 360) that differ.
    single: bool,
    /// Of an index: areas alone.
    kept: Option<Vec<f64>>,
    made: OnceLock<Made>,
    /// Two cells that were found to overlap where a region lies.
    overlap: OnceLock<[u32; 2]>,
}

impl PartialEq for Quads {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

#[derive(Debug, Default)]
struct Made {
    /// Steradians; 0 where there is no cell.
    areas: Vec<f64>,
    plain: Plane,
    /// About the north and the south pole.
    polar: [Plane; 2],
    /// The lowest latitude (0..90) of the cells in the polar planes, less a degree, and how finely lines are drawn there.
    polar_from: [f64; 2],
    polar_slack: [f64; 2],
    /// What rounding to float32 may open or close between neighbours, as a share of a cell.
    single_slack: f64,
    without: usize,
    repeated: usize,
    bent: usize,
}

const POLES: [f64; 2] = [1.0, -1.0];

impl Quads {
    pub fn new(
        [rows, columns]: [usize; 2],
        centres: Vec<Point>,
        bounds: Option<Vec<[Point; 4]>>,
        origin: String,
        place: String,
        single: bool,
    ) -> Quads {
        let mut h = blake3::Hasher::new();
        h.update(b"ncproj curvilinear grid 1");
        for n in [rows, columns, usize::from(bounds.is_some())] {
            h.update(&(n as u64).to_le_bytes());
        }
        let mut add = |p: &Point| {
            let mut b = [0u8; 16];
            b[..8].copy_from_slice(&p[0].to_le_bytes());
            b[8..].copy_from_slice(&p[1].to_le_bytes());
            h.update(&b);
        };
        centres.iter().for_each(&mut add);
        bounds.iter().flatten().flatten().for_each(&mut add);
        let digest = h.finalize().to_hex()[..32].to_string();
        Quads {
            rows,
            columns,
            centres,
            bounds,
            digest,
            origin,
            place,
            single,
            kept: None,
            made: OnceLock::new(),
            overlap: OnceLock::new(),
        }
    }

    /// As an index has it: where cells lie and how large they are.
    pub fn of_index(
        [rows, columns]: [usize; 2],
        centres: Vec<Point>,
        areas: Vec<f64>,
        digest: String,
        origin: String,
    ) -> Option<Quads> {
        let n = rows.checked_mul(columns)?;
        let fine = centres.len() == n
            && areas.len() == n
            && areas.iter().zip(&centres).all(|(a, c)| {
                a.is_finite() && *a >= 0.0 && (*a == 0.0 || c.iter().all(|v| v.is_finite()))
            });
        fine.then(|| Quads {
            rows,
            columns,
            centres,
            bounds: None,
            digest,
            origin,
            place: String::new(),
            single: false,
            kept: Some(areas),
            made: OnceLock::new(),
            overlap: OnceLock::new(),
        })
    }

    pub fn has_bounds(&self) -> bool {
        self.bounds.is_some()
    }

    /// Longitude and latitude of the centre of a cell.
    pub fn centre(&self, cell: u32) -> Option<Point> {
        self.centres.get(cell as usize).copied().filter(|p| p[0].is_finite() && p[1].is_finite())
    }

    pub fn centres(&self) -> &[Point] {
        &self.centres
    }

    /// The areas of all cells, in steradians; known after `prepare`, and of an index.
    pub fn areas(&self) -> &[f64] {
        match &self.kept {
            Some(kept) => kept,
            None => self.made.get().map_or(&[], |m| &m.areas),
        }
    }

    /// "300 x 360 cells by `lat_bnds` and `lon_bnds`, 1,200 of them without a place, 600 that repeat others left out".
    pub fn describe(&self) -> String {
        let mut text = format!("{} x {} cells, {}", self.rows, self.columns, self.origin);
        if let Some(kept) = &self.kept {
            let none = kept.iter().filter(|a| **a == 0.0).count();
            if none > 0 {
                text += &format!(", {} of them no cells", thousands(none as u64));
            }
        }
        if let Some(m) = self.made.get() {
            if m.without > 0 {
                text += &format!(", {} without a place", thousands(m.without as u64));
            }
            if m.repeated > 0 {
                text += &format!(", {} that repeat others left out", thousands(m.repeated as u64));
            }
            if m.bent > 0 {
                text += &format!(", {} bent round their centre", thousands(m.bent as u64));
            }
        }
        text
    }

    /// West, south, east, north of the centres.
    pub fn extent(&self) -> [f64; 4] {
        plane::bounds(&self.centres)
    }

    fn text(&self, cell: usize) -> [String; 2] {
        [(cell / self.columns).to_string(), (cell % self.columns).to_string()]
    }

    fn overlapping(&self, a: u32, b: u32) -> Error {
        let (a, b) = (a.min(b), a.max(b));
        let ([ra, ca], [rb, cb]) = (self.text(a as usize), self.text(b as usize));
        OVERLAP.error(&[&ra, &ca, &rb, &cb]).at(self.place.clone())
    }

    fn no_cell(&self) -> Error {
        let names = self.place.rsplit_once(": ").map_or("", |(_, names)| names);
        let (lat, lon) = names.split_once(", ").unwrap_or((names, names));
        let bare = |t: &str| t.trim_matches('`').to_string();
        NO_CELL.error(&[&bare(lat), &bare(lon)]).at(self.place.clone())
    }

    /// Works out the cells, once, and looks whether they can be cells.
    pub fn prepare(&self) -> Result<()> {
        if self.made.get().is_none() && self.kept.is_none() {
            let made = self.make()?;
            let _ = self.made.set(made); // another thread's is the same
        }
        Ok(())
    }

    /// The error of two cells that were found to overlap while regions were laid over them.
    pub fn overlap(&self) -> Option<Error> {
        self.overlap.get().map(|[a, b]| self.overlapping(*a, *b))
    }

    /// Centres of which more lie at one place, side by side, than any halo repeats stand for "nowhere".
    fn placeholders(&self) -> Vec<[u64; 2]> {
        let bits = |p: &Point| p.map(|v| (v + 0.0).to_bits());
        let mut found: Vec<[u64; 2]> = Vec::new();
        for step in [1, self.columns.max(1)] {
            for (a, b) in self.centres.iter().zip(self.centres.iter().skip(step)) {
                if a == b && found.last() != Some(&bits(a)) {
                    found.push(bits(a));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return found;
        }
        let mut counts = vec![0; found.len()];
        for p in &self.centres {
            if let Ok(k) = found.binary_search(&bits(p)) {
                counts[k] += 1;
            }
        }
        let mut counts = counts.into_iter();
        found.retain(|_| counts.next().is_some_and(|n| n > MOST_AT_ONE_PLACE));
        found
    }

    /// How many cells lie between this one and the file's edge.
    fn inner(&self, cell: usize) -> usize {
        let (r, c) = (cell / self.columns, cell % self.columns);
        r.min(self.rows - 1 - r).min(c).min(self.columns - 1 - c)
    }

    /// Cells at the place of another that lies farther from the file's edge (of equals: before them).
    fn repeats(&self, centre: &impl Fn(usize) -> Option<Point>) -> Vec<u32> {
        let mut all: Vec<(Point, u32)> =
            (0..self.centres.len()).filter_map(|k| Some((centre(k)?, k as u32))).collect();
        all.sort_unstable_by(|(a, i), (b, j)| {
            a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])).then(i.cmp(j))
        });
        // The same place, once in 0..360 and once in -180..180, has other decimals.
        let slack = if self.single { 4e-5 } else { 1e-9 };
        let mut out = Vec::new();
        let mut from = 0;
        for k in 1..=all.len() {
            let (a, b) = (all[k - 1].0, all.get(k).map(|x| x.0));
            if b.is_some_and(|b| b[1] == a[1] && b[0] - a[0] <= slack) {
                continue;
            }
            let group = &all[from..k];
            let best = group
                .iter()
                .map(|(_, c)| *c)
                .min_by_key(|c| (std::cmp::Reverse(self.inner(*c as usize)), *c));
            out.extend(group.iter().map(|(_, c)| *c).filter(|c| Some(*c) != best));
            from = k;
        }
        out.sort_unstable();
        out
    }

    fn make(&self) -> Result<Made> {
        let (rows, columns) = (self.rows, self.columns);
        let nowhere = self.placeholders();
        let centre = |k: usize| -> Option<Point> {
            let p = self.centre(k as u32)?;
            let held = nowhere.is_empty()
                || nowhere.binary_search(&p.map(|v| (v + 0.0).to_bits())).is_err();
            held.then(|| [near(p[0], 0.0), p[1]])
        };
        if !(0..rows * columns).any(|k| centre(k).is_some()) {
            return Err(self.no_cell());
        }
        let made = match &self.bounds {
            Some(_) => Vec::new(),
            None if rows < 2 || columns < 2 => {
                let (r, c) = (rows.to_string(), columns.to_string());
                return Err(NO_SIZE.error(&[&r, &c]).at(self.place.clone()));
            }
            None => make(rows, columns, centre),
        };
        let mut m = Made { areas: vec![0.0; rows * columns], ..Made::default() };
        let mut lowest = [90.0f64; 2];
        let repeats = self.repeats(&centre);
        for cell in 0..rows * columns {
            if repeats.binary_search(&(cell as u32)).is_ok() {
                m.repeated += 1;
                continue;
            }
            let own: Vec<Point>;
            let corners: &[Point] = match &self.bounds {
                Some(b) if b[cell].iter().all(|p| p[0].is_finite() && p[1].is_finite()) => &b[cell],
                Some(b) => {
                    own = b[cell]
                        .iter()
                        .filter(|p| p.iter().all(|v| v.is_finite()))
                        .copied()
                        .collect();
                    &own
                }
                None => made[cell].as_ref().map_or(&[], |r| r),
            };
            let (Some(at), true) = (centre(cell), corners.len() >= 3) else {
                m.without += 1;
                continue;
            };
            let shape = shape(corners, at);
            let points = shape.points();
            let area = if points.len() < 3 { 0.0 } else { signed_area(points) };
            let long: f64 = plane::bounds(points)[2..]
                .iter()
                .zip(plane::bounds(points))
                .map(|(h, l)| h - l)
                .sum();
            let crossed = || {
                let [r, c] = self.text(cell);
                CROSSED.error(&[&r, &c]).at(self.place.clone())
            };
            // Nothing but rounding between its sides; two lobes as large as each other are something else.
            if area.abs() <= 1e-9 * long * long || long == 0.0 {
                if crossing(points).is_some_and(|lobe| lobe > 1e-3 * long * long) {
                    return Err(crossed());
                }
                m.without += 1;
                continue;
            }
            if crossing(points).is_some_and(|lobe| lobe > SLACK * area.abs()) {
                return Err(crossed());
            }
            m.areas[cell] = match &shape {
                Shape::Plain(p) => sphere_area(p).abs(),
                Shape::Polar(_, p) => signed_area(p).abs(),
            };
            match &shape {
                Shape::Plain(p) => m.plain.add(cell as u32, p),
                Shape::Polar(pole, p) => {
                    let k = usize::from(*pole < 0.0);
                    m.polar[k].add(cell as u32, p);
                    for q in corners {
                        lowest[k] = lowest[k].min(pole * q[1]);
                    }
                }
            }
        }
        m.plain.close();
        for (k, low) in lowest.iter().enumerate() {
            m.polar[k].close();
            m.polar_from[k] = (low - 1.0).max(-89.0);
            let areas = &m.polar[k].areas;
            let mean = areas.iter().sum::<f64>() / areas.len().max(1) as f64;
            m.polar_slack[k] = 1e-6 * mean.sqrt();
        }
        let cells = m.areas.iter().filter(|a| **a > 0.0);
        let size = (m.areas.iter().sum::<f64>() / cells.count().max(1) as f64).sqrt();
        m.single_slack =
            (2.0 * 360f64.to_radians() * f64::from(f32::EPSILON) / size).clamp(1e-6, 1e-3);
        self.look(&mut m, centre)?;
        if m.areas.iter().all(|a| *a == 0.0) {
            return Err(self.no_cell());
        }
        Ok(m)
    }

    /// Each cell holds its centre, and no other: else it is another's repetition, or overlaps it.
    fn look(&self, m: &mut Made, centre: impl Fn(usize) -> Option<Point>) -> Result<()> {
        // Corners made from centres are nobody's mistake: where a grid bends sharply (at its own poles, on land) a few of its
        // cells may miss their centre or reach over others. More than that is no grid.
        let mut bent: Vec<Error> = Vec::new();
        let most = if self.bounds.is_some() { 0 } else { self.rows * self.columns / 50 };
        // First each for itself: a cell that lies elsewhere is no overlap.
        for which in 0..3 {
            let plane = if which == 0 { &m.plain } else { &m.polar[which - 1] };
            for (k, cell) in plane.ids.iter().enumerate() {
                let Some(at) = centre(*cell as usize) else { continue };
                let p = if which == 0 { at } else { to_polar(at, POLES[which - 1]) };
                if plane.depth(k, p) < -SLACK {
                    let [r, c] = self.text(*cell as usize);
                    let (lat, lon) = (
                        format!("{:.4}", at[1]),
                        format!("{:.4}", self.centres[*cell as usize][0]),
                    );
                    bent.push(NO_CENTRE.error(&[&r, &c, &lat, &lon]).at(self.place.clone()));
                    if bent.len() > most {
                        return Err(bent.swap_remove(0));
                    }
                }
            }
        }
        let mut out = Vec::new();
        for which in 0..3 {
            let plane = if which == 0 { &m.plain } else { &m.polar[which - 1] };
            let mut gone = vec![false; plane.ids.len()];
            for k in 0..plane.ids.len() {
                let cell = plane.ids[k];
                let Some(at) = centre(cell as usize) else { continue };
                let turns: &[f64] = if which == 0 { &[0.0, 360.0, -360.0] } else { &[0.0] };
                for turn in turns {
                    let p = match which {
                        0 => [at[0] + turn, at[1]],
                        w => to_polar(at, POLES[w - 1]),
                    };
                    let mut clash = None;
                    plane.near(&[p[0], p[1], p[0], p[1]], |other| {
                        if other != k
                            && !gone[other]
                            && !gone[k]
                            && clash.is_none()
                            && plane.depth(other, p) > 5.0 * SLACK
                        {
                            clash = Some(other);
                        }
                    });
                    let Some(other) = clash else { continue };
                    let id = plane.ids[other];
                    let (size, between) = (
                        m.areas[cell as usize].sqrt(),
                        centre(id as usize).map_or(f64::INFINITY, |q| far(q, at)),
                    );
                    if between > SLACK * size {
                        bent.push(self.overlapping(cell, id));
                        continue;
                    }
                    // The copy whose neighbours are all there is drawn best; of equals the first stays.
                    let (a, b) = (self.inner(cell as usize), self.inner(id as usize));
                    let second = if (a, id) > (b, cell) { other } else { k };
                    gone[second] = true;
                }
                if bent.len() > most {
                    return Err(bent.swap_remove(0));
                }
            }
            out.push(gone);
        }
        m.bent = bent.len();
        for (which, gone) in out.into_iter().enumerate() {
            let plane = match which {
                0 => &mut m.plain,
                k => &mut m.polar[k - 1],
            };
            for (k, _) in gone.iter().enumerate().filter(|(_, g)| **g) {
                plane.areas[k] = 0.0;
                m.areas[plane.ids[k] as usize] = 0.0;
                m.repeated += 1;
            }
        }
        Ok(())
    }

    /// Names what differs from another grid; nothing where cells lie at the same places to a thousandth of one.
    pub fn difference(&self, other: &Quads) -> Option<String> {
        if [self.rows, self.columns] != [other.rows, other.columns] {
            return Some(format!(
                "{} x {} and {} x {} cells",
                self.rows, self.columns, other.rows, other.columns
            ));
        }
        if self.digest == other.digest {
            return None;
        }
        let first_line = |e: Error| e.to_string().lines().next().unwrap_or("").to_string();
        for g in [self, other] {
            if let Err(e) = g.prepare() {
                return Some(first_line(e));
            }
        }
        let (a, b) = (self.areas(), other.areas());
        for k in 0..a.len() {
            let [r, c] = self.text(k);
            let cell = format!("the cell in row {r}, column {c}");
            if (a[k] > 0.0) != (b[k] > 0.0) {
                return Some(format!("{cell} is there in one of them only"));
            }
            let (Some(p), Some(q)) = (self.centre(k as u32), other.centre(k as u32)) else {
                continue;
            };
            if a[k] > 0.0 && far(p, q) > 1e-3 * a[k].sqrt() {
                return Some(format!(
                    "{cell} lies at latitude {:.6}, longitude {:.6} and at latitude {:.6}, longitude {:.6}",
                    p[1], p[0], q[1], q[0]
                ));
            }
            if (a[k] - b[k]).abs() > SLACK * a[k] {
                return Some(format!("{cell} has the area {:.6e} and {:.6e} sr", a[k], b[k]));
            }
        }
        None
    }

    /// The cells that a region covers; after `prepare`.
    pub fn cover(&self, loops: &[Loop]) -> Covered {
        let mut out = Covered::default();
        let Some(m) = self.made.get() else { return out };
        out.area = loops.iter().map(|l| l.sign * l.area.abs()).sum();
        // NaN is "no area" too.
        if !out.area.is_finite() || out.area <= 0.0 {
            return out;
        }
        let factor = |l: &Loop| l.sign * l.area.signum();
        let mut found: Vec<(&Plane, Part)> = Vec::new();
        let mut parts = Vec::new();
        for (k, pole) in POLES.iter().enumerate().filter(|(k, _)| !m.polar[*k].is_empty()) {
            let pieces: Vec<Piece> = loops
                .iter()
                .filter_map(|l| {
                    draw_region(&l.points, factor(l), *pole, m.polar_from[k], m.polar_slack[k])
                })
                .collect();
            m.polar[k].cover(pieces, false, &mut parts);
            for mut p in parts.drain(..) {
                p.true_area = p.area;
                found.push((&m.polar[k], p));
            }
        }
        let polar = !found.is_empty();
        if !m.plain.is_empty() {
            let b = loops.iter().map(|l| plane::bounds(&l.points));
            let (low, high) =
                b.fold((f64::INFINITY, f64::NEG_INFINITY), |a, b| (a.0.min(b[0]), a.1.max(b[2])));
            let [west, _, east, _] = m.plain.extent();
            // The same meridian may be written as -100, 260 or 620: try every turn that meets the cells.
            let (first, last) = (((west - high) / 360.0).ceil(), ((east - low) / 360.0).floor());
            for turn in first as i64..=last as i64 {
                let shift = 360.0 * turn as f64;
                let moved = |l: &Loop| match turn {
                    0 => l.points.clone(),
                    _ => l.points.iter().map(|p| [p[0] + shift, p[1]]).collect(),
                };
                let pieces: Vec<Piece> = loops.iter().map(|l| (moved(l), factor(l))).collect();
                m.plain.cover(pieces, polar, &mut parts);
                found.extend(parts.drain(..).map(|p| (&m.plain, p)));
            }
        }
        found.sort_unstable_by_key(|(plane, p)| plane.ids[p.id as usize]);
        found.dedup_by(|(next, b), (plane, a)| {
            let same = plane.ids[a.id as usize] == next.ids[b.id as usize];
            if same {
                a.area += b.area;
                a.true_area += b.true_area;
            }
            same
        });
        let whole: f64 = match polar {
            true => loops.iter().map(|l| l.sign * sphere_area(&l.points).abs()).sum(),
            false => out.area,
        };
        let mut smallest_cell = f64::INFINITY;
        for (plane, p) in &found {
            let cell = plane.areas[p.id as usize];
            let share = p.area / cell;
            if share.is_nan() || share <= SMALLEST * (out.area / cell).min(1.0) {
                continue;
            }
            out.pairs
                .push((plane.ids[p.id as usize], if share > 1.0 - 1e-9 { 1.0 } else { share }));
            out.inside += if polar { p.true_area } else { p.area };
            smallest_cell = smallest_cell.min(if polar {
                m.areas[plane.ids[p.id as usize] as usize]
            } else {
                cell
            });
        }
        let excess = out.inside - whole;
        if excess > SLACK * whole && excess > 5.0 * SLACK * smallest_cell {
            self.note_overlap(&found);
        }
        out.inside /= whole;
        let slack = match (polar, self.single) {
            (_, true) => m.single_slack,
            (true, false) => 1e-6,
            (false, false) => 1e-9,
        };
        if (out.inside - 1.0).abs() < slack || out.inside > 1.0 {
            out.inside = 1.0;
        }
        out
    }

    /// Two of these cells overlap: which?
    fn note_overlap(&self, found: &[(&Plane, Part)]) {
        let mut worst = (0.0, [0, 0]);
        let mut parts = Vec::new();
        for (plane, p) in found {
            let k = p.id as usize;
            parts.clear();
            plane.cover(vec![(plane.points(k).to_vec(), 1.0)], false, &mut parts);
            for q in parts.iter().filter(|q| q.id != p.id) {
                if q.area > worst.0 {
                    worst = (q.area, [plane.ids[k], plane.ids[q.id as usize]]);
                }
            }
        }
        let _ = self.overlap.set(worst.1);
    }
}

/// If two opposite sides of a four-sided ring cross: the area of the smaller of the two parts.
fn crossing(ring: &[Point]) -> Option<f64> {
    let [a, b, c, d] = *ring else { return None };
    let smaller = |p: Point, q: Point, r: Point, s: Point| -> Option<f64> {
        // p -> q and r -> s; q -> r and s -> p are the other sides
        let turn = |a: Point, b: Point, c: Point| {
            (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        };
        let (t1, t2, t3, t4) = (turn(p, q, r), turn(p, q, s), turn(r, s, p), turn(r, s, q));
        if t1 * t2 >= 0.0 || t3 * t4 >= 0.0 {
            return None;
        }
        let t = t3 / (t3 - t4);
        let x = [p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t];
        Some(signed_area(&[x, q, r]).abs().min(signed_area(&[x, s, p]).abs()))
    };
    smaller(a, b, c, d).or_else(|| smaller(b, c, d, a))
}
