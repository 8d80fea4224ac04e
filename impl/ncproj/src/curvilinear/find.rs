//! Which variables are the two-dimensional latitude and longitude of another, and what they say.

use super::Quads;
use crate::angle::{self, Towards};
use crate::error::{Error, Result, list, thousands};
use crate::features::Refusal;
use crate::grid::shape_text;
use crate::netcdf::{Kind, Source, Var};
use crate::repair::Point;

pub static AMBIGUOUS: Refusal = Refusal {
    of: "coordinates",
    name: "several two-dimensional latitudes",
    message: "`{}` could have several two-dimensional {}s: {}",
    hint: "name the ones meant in the variable's attribute `coordinates` (`ncatted -a coordinates,{},c,c,\"LONGITUDE LATITUDE\" FILE`)",
};
pub static UNSTRUCTURED: Refusal = Refusal {
    of: "coordinates",
    name: "unstructured grid (UGRID, `ncol`, healpix)",
    message: "the grid is unstructured: {}",
    hint: "regrid the file to latitude and longitude first (`cdo remapcon`)",
};
pub static CHANGES: Refusal = Refusal {
    of: "coordinates",
    name: "two-dimensional coordinates that change along the file",
    message: "`{}` changes along `{}`: the grid moves",
    hint: "ncproj needs one grid for all steps: cut the file to steps of the same grid",
};
pub static BAD_UNIT: Refusal = Refusal {
    of: "coordinates",
    name: "units of two-dimensional coordinates",
    message: "`{}` is in `{}`, which is no unit of a {}",
    hint: "units known here are degrees (`degrees_north`, `degrees_east`, ...), `radian` and `grad`",
};
pub static BAD_VALUE: Refusal = Refusal {
    of: "coordinates",
    name: "two-dimensional coordinate out of range",
    message: "{} is no {}",
    hint: "check the units and the fill value (`_FillValue`), or fetch the file again",
};
pub static BAD_BOUNDS: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` without four corners",
    message: "the bounds `{}` of `{}` have the shape {}, not four corners for each cell",
    hint: "repair them (`{}` over the two dimensions of the grid and one of length 4), or remove the attribute `bounds`",
};
pub static ONE_BOUNDS: Refusal = Refusal {
    of: "coordinates",
    name: "`bounds` of one coordinate only",
    message: "`{}` has bounds and `{}` has none",
    hint: "add the other bounds, or remove the attribute `bounds` and its variable",
};

/// More cells than this would need more memory than most machines have.
const MOST_CELLS: usize = 1 << 25;

pub static TOO_MANY: Refusal = Refusal {
    of: "coordinates",
    name: "curvilinear grid of too many cells",
    message: "the curvilinear grid has {} cells: ncproj takes at most {}",
    hint: "cut the file to the part you need first (`ncks -d`)",
};
pub static EMPTY: Refusal = Refusal {
    of: "coordinates",
    name: "two-dimensional coordinate without values",
    message: "`{}` has no values",
    hint: "choose another file: a grid needs its coordinates",
};

pub const REFUSALS: &[&Refusal] = &[
    &TOO_MANY,
    &EMPTY,
    &AMBIGUOUS,
    &UNSTRUCTURED,
    &CHANGES,
    &BAD_UNIT,
    &BAD_VALUE,
    &BAD_BOUNDS,
    &ONE_BOUNDS,
];

/// Latitude and longitude.
const SIDES: [&str; 2] = ["latitude", "longitude"];
const SHORT: [&[&str]; 2] = [
    &[
        "lat", "latitude", "nav_lat", "xlat", "tlat", "ulat", "geolat", "latt", "latu", "lat2d",
        "gphit", "xlat_m",
    ],
    &[
        "lon",
        "longitude",
        "nav_lon",
        "xlong",
        "tlon",
        "ulon",
        "tlong",
        "ulong",
        "geolon",
        "lont",
        "lonu",
        "lon2d",
        "glamt",
        "xlong_m",
    ],
];

/// A unit of latitude (0) or longitude (1), in degrees; nothing for what is none. No unit means degrees.
fn degrees(units: &str, side: usize) -> Option<f64> {
    let own = if side == 0 { Towards::Latitude } else { Towards::Longitude };
    angle::unit(units)
        .filter(|a| a.towards == own || a.towards == Towards::Either)
        .map(|a| a.factor)
}

/// Is this variable a latitude (longitude) of cells, and how surely? 0 for no.
fn sureness(var: &Var, side: usize, named: bool) -> u8 {
    if let Some(name) = var.text("standard_name") {
        return if name == SIDES[side] { 4 } else { 0 };
    }
    let units = var.text("units").unwrap_or("").trim().to_lowercase();
    let toward = if side == 0 { ["n", "s"] } else { ["e", "w"] };
    let full = if side == 0 { ["north", "south"] } else { ["east", "west"] };
    if units.starts_with("degree") && degrees(&units, side).is_some() {
        let rest = units
            .trim_start_matches("degree")
            .trim_start_matches('s')
            .trim_start_matches(['_', ' ']);
        if toward.contains(&rest) || full.contains(&rest) {
            return 3;
        }
    }
    if degrees(&units, side).is_none() {
        return 0;
    }
    let name = var.name.to_lowercase();
    let like = name.contains(if side == 0 { "lat" } else { "lon" });
    match SHORT[side].contains(&name.as_str()) || named && like {
        true => 1,
        false => 0,
    }
}

/// Does another variable, or a common name, say that these are the corners of cells?
fn is_bounds(source: &Source, var: &Var) -> bool {
    let name = var.name.to_lowercase();
    let like = ["lat", "lon"].iter().any(|w| name.contains(w))
        && ["_bnds", "_bounds", "_vertices", "_corners"].iter().any(|w| name.ends_with(w));
    like || name.starts_with("vertices_")
        || name.starts_with("bounds_")
        || source
            .vars
            .iter()
            .any(|v| ["bounds", "climatology"].iter().any(|a| v.text(a) == Some(&var.name)))
}

/// A coordinate, corners or the like: not data on the grid.
pub fn is_helper(source: &Source, var: &Var) -> bool {
    let named = source.vars.iter().any(|v| is_named(v, &var.name));
    (0..2).any(|side| sureness(var, side, named) > 0) || is_bounds(source, var)
}

/// A latitude or longitude of cells that another variable names in `coordinates`.
pub fn is_coordinate(source: &Source, var: &Var) -> bool {
    var.dims.len() > 1
        && (0..2).any(|side| sureness(var, side, false) >= 3)
        && source.vars.iter().any(|v| is_named(v, &var.name))
}

/// The two dimensions of a coordinate of cells; those before them only repeat it.
fn flat_dims(var: &Var) -> Option<[usize; 2]> {
    let n = var.dims.len();
    let [a, b] = *var.dims.get(n.checked_sub(2)?..)? else { return None };
    (a != b).then_some([a, b])
}

fn is_named(of: &Var, name: &str) -> bool {
    of.text("coordinates").is_some_and(|t| t.split([' ', ',']).any(|w| w == name))
}

/// The likeliest latitudes (longitudes) of cells for a variable: more than one where nothing tells them apart. `names` are
/// the latitude and the longitude that the caller wants.
pub fn candidates<'a>(
    source: &'a Source,
    of: &Var,
    names: Option<(&str, &str)>,
) -> [Vec<&'a Var>; 2] {
    let user = source.named.as_ref().filter(|n| !n.plane);
    let names = names.or(user.map(|n| (n.lat.as_str(), n.lon.as_str())));
    [0, 1].map(|side| {
        let wanted = names.map(|(lat, lon)| if side == 0 { lat } else { lon });
        let all: Vec<(u8, &Var)> = source
            .vars
            .iter()
            .filter(|c| c.kind.is_number() && c.name != of.name && !is_bounds(source, c))
            .filter(|c| flat_dims(c).is_some_and(|d| d.iter().all(|d| of.dims.contains(d))))
            .filter(|c| wanted.is_none_or(|w| w == c.name))
            .map(|c| {
                let named = is_named(of, &c.name);
                let sure = sureness(c, side, named || wanted.is_some());
                (
                    if sure == 0 {
                        u8::from(wanted.is_some())
                    } else {
                        sure + 10 * u8::from(named)
                    },
                    c,
                )
            })
            .filter(|(s, _)| *s > 0)
            .collect();
        let best = all.iter().map(|(s, _)| *s).max().unwrap_or(0);
        all.into_iter().filter(|(s, _)| *s == best).map(|(_, c)| c).collect()
    })
}

/// Rows and columns of a variable with two-dimensional latitude and longitude: places in its dimensions.
pub fn sides(source: &Source, of: &Var) -> Option<(usize, usize)> {
    if is_helper(source, of) {
        return None;
    }
    let [lat, lon] = candidates(source, of, None);
    let (a, b) = (flat_dims(lat.first()?)?, flat_dims(lon.first()?)?);
    if a != b && a != [b[1], b[0]] {
        return None;
    }
    let place = |d: usize| of.dims.iter().position(|x| *x == d);
    Some((place(a[0])?, place(a[1])?))
}

/// Why a variable lies on an unstructured grid, if it does.
pub fn unstructured(source: &Source, of: &Var) -> Option<Error> {
    let why = if let (Some(mesh), _) | (None, Some(mesh)) = (of.text("mesh"), of.text("mesh_name"))
    {
        format!("`{}` lies on the mesh `{mesh}`", of.name)
    } else if of.text("CDI_grid_type") == Some("unstructured") {
        format!("`{}` says so (`CDI_grid_type`)", of.name)
    } else if let Some(m) = of
        .text("grid_mapping")
        .and_then(|m| source.var(m.split([':', ' ']).next().unwrap_or(m)))
        .filter(|m| m.text("grid_mapping_name").is_some_and(|n| n.contains("healpix")))
    {
        format!("`{}` lies on a HEALPix (`{}`)", of.name, m.name)
    } else {
        let names: Vec<String> = source.dim_names(of);
        let known = [
            "ncol",
            "ncells",
            "ncell",
            "cells",
            "cell",
            "ncol_d",
            "nface",
            "nfaces",
            "face",
            "element",
            "nelem",
            "nod2",
            "elem",
            "rgrid",
            "reduced_points",
            "values",
        ];
        let dim = names.iter().find(|d| known.contains(&d.to_lowercase().as_str()))?;
        let place = |d: &Var| d.dims.len() == 1 && source.dims[d.dims[0]].name == *dim;
        let cells =
            source.vars.iter().any(|v| place(v) && (0..2).any(|s| sureness(v, s, true) >= 1));
        let mesh = source.vars.iter().find(|v| v.text("cf_role") == Some("mesh_topology"));
        match (cells, mesh) {
            (_, Some(m)) => {
                format!("the file has the mesh `{}`, and `{}` lies along `{dim}`", m.name, of.name)
            }
            (true, None) => format!("all cells of `{}` stand along `{dim}`", of.name),
            _ => return None,
        }
    };
    let at = format!("{}: {}", source.name, shape_text(source, of));
    Some(UNSTRUCTURED.error(&[&why]).at(at))
}

/// The cells of the grid of a variable, rows and columns as `sides` has them; and the names of latitude and longitude.
pub fn read(
    source: &mut Source,
    of: &str,
    dims: [usize; 2],
    names: Option<(&str, &str)>,
) -> Result<(Quads, [String; 2])> {
    let var = &source.vars[source.var_index(of)?];
    let found = candidates(source, var, names);
    for (side, all) in found.iter().enumerate() {
        if all.len() > 1 {
            let names: Vec<String> = all.iter().map(|v| v.name.clone()).collect();
            return Err(AMBIGUOUS.error(&[of, SIDES[side], &list(&names, 5), of]).at(format!(
                "{}: {}",
                source.name,
                shape_text(source, var)
            )));
        }
    }
    let name = |side: usize| found[side].first().map(|v| v.name.clone()).unwrap_or_default();
    let names = [name(0), name(1)];
    let shape = dims.map(|d| source.dims[d].len as usize);
    let cells = shape[0].saturating_mul(shape[1]);
    if cells > MOST_CELLS {
        let (n, most) = (thousands(cells as u64), thousands(MOST_CELLS as u64));
        return Err(TOO_MANY.error(&[&n, &most]).at(format!("{}: `{}`", source.name, names[0])));
    }
    let mut single = false;
    let mut bounds: [Option<(String, Vec<f64>)>; 2] = [None, None];
    let mut lacking = None;
    let mut sides = [Vec::new(), Vec::new()];
    for side in 0..2 {
        let name = &names[side];
        let at = format!("{}: variable `{name}`", source.name);
        let factor = factor(source, name, None, side)?;
        let mut values = plane_of(source, name, dims)?;
        check(&values, factor, side).map_err(|e| e.at(at))?;
        values.iter_mut().for_each(|v| *v *= factor);
        sides[side] = values;
        bounds[side] = corners(source, name, dims, side, &mut lacking)?;
        let of = [Some(name.clone()), bounds[side].as_ref().map(|b| b.0.clone())];
        single |= of.iter().flatten().any(|n| source.var(n).is_some_and(|v| v.kind != Kind::F8));
    }
    let mut centres: Vec<Point> = sides[1].iter().zip(&sides[0]).map(|(x, y)| [*x, *y]).collect();
    drop(sides);
    for c in &mut centres {
        if !(c[0].is_finite() && c[1].is_finite()) {
            *c = [f64::NAN; 2];
        }
    }
    let (bounds, origin) = match bounds {
        [Some((a, lat)), Some((b, lon))] => {
            let four = |k: usize| [0, 1, 2, 3].map(|v| [lon[4 * k + v], lat[4 * k + v]]);
            let all: Vec<[Point; 4]> = (0..centres.len()).map(four).collect();
            (Some(all), format!("corners by `{a}` and `{b}`"))
        }
        [None, None] => {
            let why = lacking.map_or(String::new(), |b| format!(" (`{b}` is not in the file)"));
            (None, format!("corners made from the centres{why}"))
        }
        [a, _] => {
            let (with, without) = if a.is_some() { (0, 1) } else { (1, 0) };
            return Err(ONE_BOUNDS.error(&[&names[with], &names[without]]).at(source.name.clone()));
        }
    };
    let place = format!("{}: `{}`, `{}`", source.name, names[0], names[1]);
    Ok((Quads::new(shape, centres, bounds, origin, place, single), names))
}

/// What a value times makes degrees.
fn factor(source: &Source, name: &str, parent: Option<&str>, side: usize) -> Result<f64> {
    let units = |n: &str| source.var(n).and_then(|v| v.text("units")).unwrap_or("").to_string();
    let own = match (units(name), parent) {
        (own, Some(parent)) if own.is_empty() => units(parent),
        (own, _) => own,
    };
    degrees(&own, side).ok_or_else(|| {
        BAD_UNIT
            .error(&[name, own.trim(), SIDES[side]])
            .at(format!("{}: variable `{name}`, attribute `units`", source.name))
    })
}

fn check(values: &[f64], factor: f64, side: usize) -> Result<()> {
    let most = if side == 0 { 90.0 + 1e-3 } else { 1080.0 };
    let bad = |v: &&f64| v.is_infinite() || (**v * factor).abs() > most;
    match values.iter().find(bad) {
        Some(v) => Err(BAD_VALUE.error(&[&v.to_string(), SIDES[side]])),
        None => Ok(()),
    }
}

/// Values of a coordinate by rows and columns. Where it is repeated along other dimensions, all repeats are the same.
fn plane_of(source: &mut Source, name: &str, dims: [usize; 2]) -> Result<Vec<f64>> {
    let values = source.read_numbers(name)?;
    let var = &source.vars[source.var_index(name)?];
    let n = dims.map(|d| source.dims[d].len as usize);
    let size = n[0].saturating_mul(n[1]);
    let at = format!("{}: {}", source.name, shape_text(source, var));
    if size == 0 || values.len() < size {
        return Err(EMPTY.error(&[name]).at(at));
    }
    let same = |a: &f64, b: &f64| a == b || a.is_nan() && b.is_nan();
    let first = &values[..size];
    if !values.chunks(size).all(|c| c.iter().zip(first).all(|(a, b)| same(a, b))) {
        let along: Vec<String> = var.dims[..var.dims.len() - 2]
            .iter()
            .filter(|d| source.dims[**d].len > 1)
            .map(|d| source.dims[*d].name.clone())
            .collect();
        return Err(CHANGES.error(&[name, &along.join("`, `")]).at(at));
    }
    let mut out = values;
    out.truncate(size);
    if flat_dims(var) == Some([dims[1], dims[0]]) {
        out = (0..size).map(|k| out[k % n[1] * n[0] + k / n[1]]).collect();
    }
    Ok(out)
}

/// The four corners of each cell along one coordinate, in degrees: by its `bounds` attribute, else `lat_bnds` and the like.
/// `lacking`: what an attribute names and the file has not.
fn corners(
    source: &mut Source,
    name: &str,
    dims: [usize; 2],
    side: usize,
    lacking: &mut Option<String>,
) -> Result<Option<(String, Vec<f64>)>> {
    let named = source.var(name).and_then(|v| v.text("bounds")).map(|t| t.trim().to_string());
    let at = |source: &Source, v: &Var| format!("{}: {}", source.name, shape_text(source, v));
    // rows, columns and corners, as places in the variable's dimensions; what stands before them only repeats them
    let order = |source: &Source, v: &Var| -> Option<[usize; 3]> {
        let place = |d: usize| v.dims.iter().position(|x| *x == d);
        let (r, c) = (place(dims[0])?, place(dims[1])?);
        let mut rest = (0..v.dims.len()).filter(|k| *k != r && *k != c);
        let long = |k: &usize| source.dims[v.dims[*k]].len != 1;
        let corner = rest.clone().rfind(|k| source.dims[v.dims[*k]].len == 4)?;
        let first = r.min(c).min(corner);
        let others = rest.any(|k| k != corner && k > first && long(&k));
        (!others && v.kind.is_number()).then_some([r, c, corner])
    };
    let found = match named {
        Some(n) if source.var(&n).is_some() => Some(n),
        other => {
            let word = if side == 0 { "lat" } else { "lon" };
            let full = SIDES[side];
            let guesses = [
                format!("{name}_bnds"),
                format!("{name}_bounds"),
                format!("bounds_{name}"),
                format!("{name}_vertices"),
                format!("vertices_{name}"),
                format!("{name}_corners"),
                format!("vertices_{full}"),
                format!("{word}_vertices"),
            ];
            let fits = |g: &&String| source.var(g).is_some_and(|v| order(source, v).is_some());
            let guess = guesses.iter().find(fits).cloned();
            if guess.is_none() {
                *lacking = lacking.take().or(other);
            }
            guess
        }
    };
    let Some(found) = found else { return Ok(None) };
    let var = &source.vars[source.var_index(&found)?];
    let Some([r, c, k]) = order(source, var) else {
        let shape: Vec<String> = source.shape(var).iter().map(u64::to_string).collect();
        return Err(BAD_BOUNDS
            .error(&[&found, name, &shape.join(" x "), &found])
            .at(at(source, var)));
    };
    let shape: Vec<usize> = source.shape(var).iter().map(|n| *n as usize).collect();
    let step = |d: usize| shape[d + 1..].iter().product::<usize>();
    let (rs, cs, ks) = (step(r), step(c), step(k));
    let (rows, columns) = (shape[r], shape[c]);
    let place = at(source, var);
    let factor = factor(source, &found, Some(name), side)?;
    let values = source.read_numbers(&found)?;
    let place_again = place.clone();
    check(&values, factor, side).map_err(|e| e.at(place))?;
    let size = shape[r.min(c).min(k)..].iter().product::<usize>().max(1);
    let same = |a: &f64, b: &f64| a == b || a.is_nan() && b.is_nan();
    let first = values.get(..size).unwrap_or(&[]);
    if !values.chunks(size).all(|piece| piece.iter().zip(first).all(|(a, b)| same(a, b))) {
        let var = &source.vars[source.var_index(&found)?];
        let along: Vec<String> =
            var.dims[..r.min(c).min(k)].iter().map(|d| source.dims[*d].name.clone()).collect();
        return Err(CHANGES.error(&[&found, &along.join("`, `")]).at(place_again));
    }
    let mut out = Vec::with_capacity(rows * columns * 4);
    for row in 0..rows {
        for column in 0..columns {
            for corner in 0..4 {
                let v = values[row * rs + column * cs + corner * ks] * factor;
                out.push(if side == 0 { v.clamp(-90.0, 90.0) } else { v });
            }
        }
    }
    Ok(Some((found, out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_latitude_and_longitude() {
        for (units, side, wanted) in [
            ("degrees_north", 0, Some(1.0)),
            ("Degrees North", 0, Some(1.0)),
            ("degree_E", 1, Some(1.0)),
            ("degrees_west", 1, Some(-1.0)),
            ("degrees_east", 0, None),
            ("grad", 0, Some(0.9)),
            ("m", 0, None),
            ("", 1, Some(1.0)),
        ] {
            assert_eq!(degrees(units, side), wanted, "{units}");
        }
        assert_eq!(degrees("radians", 1), Some(180.0 / std::f64::consts::PI));
    }
}
