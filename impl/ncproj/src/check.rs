//! Does an index fit these files, and what of each region do they not say?

use crate::error::{Result, thousands};
use crate::grid;
use crate::index::Index;
use crate::netcdf::{Blocks, Decoder, Scratch, Source, Values};
use crate::plan::gridded;
use serde_json::{Value, json};
use std::path::PathBuf;

pub struct Request<'a> {
    pub index: &'a Index,
    pub files: &'a [PathBuf],
    /// Look at every step, not at the first alone.
    pub all_steps: bool,
}

/// What there is to say, and whether every file fits.
pub fn run(request: &Request) -> Result<(Value, bool)> {
    let index = request.index;
    let mut files = Vec::new();
    let mut fits = true;
    for path in request.files {
        let mut source = index.open(path)?;
        let mut variables = Vec::new();
        for name in gridded(&source) {
            let differs = match grid::find(&mut source, Some(&name)) {
                Ok(g) => index.grid.difference(&g),
                Err(e) => Some(first_line(&e)),
            };
            variables.push(match differs {
                Some(what) => json!({"name": name, "fits": false, "differs": what}),
                None => {
                    let (steps, missing) = missing(request, &mut source, &name)?;
                    json!({"name": name, "fits": true, "steps": steps, "missing": missing})
                }
            });
        }
        let mut about = json!({"file": source.name});
        let whole = !variables.is_empty() && variables.iter().all(|v| v["fits"] == true);
        about["fits"] = json!(whole);
        if variables.is_empty() {
            about["differs"] = match grid::find(&mut source, None) {
                Err(e) => json!(first_line(&e)),
                Ok(_) => json!("there is no variable on the grid"),
            };
        }
        about["variables"] = json!(variables);
        fits &= whole;
        files.push(about);
    }
    let about = json!({
        "fits": fits,
        "grid": index.grid.describe(),
        "steps": if request.all_steps { "all" } else { "first" },
        "regions": index.keys,
        "outside": index.inside.iter().map(|s| 1.0 - s).collect::<Vec<_>>(),
        "files": files,
    });
    Ok((about, fits))
}

fn first_line(e: &crate::error::Error) -> String {
    e.to_string().lines().next().unwrap_or("").to_string()
}

/// Steps looked at, and for each region the share of its weight within the grid that has no value.
fn missing(request: &Request, source: &mut Source, name: &str) -> Result<(u64, Vec<Option<f64>>)> {
    let index = request.index;
    let place = source.var_index(name)?;
    source.locate(place)?;
    let var = &source.vars[place];
    let at = format!("{}: variable `{name}`", source.name);
    let Some((lat, lon)) = grid::sides(source, var) else { return Ok((0, Vec::new())) };
    let shape = source.shape(var);
    let decoder = Decoder::new(var).map_err(|e| e.at(at.clone()))?;
    let blocks = Blocks::new(source, place)?;
    let columns = index.grid.lon.len();
    let other = |k: usize| k != lat && k != lon;
    let all: u64 = (0..shape.len()).filter(|k| other(*k)).map(|k| shape[k]).product();
    let steps = if request.all_steps { all } else { all.min(1) };
    let mut known = vec![0u64; index.grid.cells()];
    let mut scratch = Scratch::default();
    let mut values = Values::F64(Vec::new());
    for number in 0..blocks.count() {
        let from = blocks.position(number);
        let first = (0..from.len()).all(|k| !other(k) || from[k] == 0);
        if !blocks.is_written(&from) || !(first || request.all_steps) {
            continue;
        }
        let raw = blocks.read(source, &from, &mut scratch).map_err(|e| e.at(at.clone()))?;
        decoder.decode(&raw, None, true, &mut values).map_err(|e| e.at(at.clone()))?;
        let Values::F64(values) = &values else { continue };
        // Steps of this block, as distances between its values.
        let (extents, strides) = (blocks.extents(&from), blocks.strides());
        let mut offsets = vec![0u64];
        for k in (0..from.len()).filter(|k| other(*k)) {
            let n = if request.all_steps { extents[k] } else { 1 };
            offsets = offsets
                .iter()
                .flat_map(|o| (0..n).map(move |i| (o, i)))
                .map(|(o, i)| o + i * strides[k])
                .collect();
        }
        for r in 0..extents[lat] {
            for c in 0..extents[lon] {
                let base = r * strides[lat] + c * strides[lon];
                let there = offsets
                    .iter()
                    .filter(|o| values.get((base + **o) as usize).is_some_and(|v| !v.is_nan()));
                let cell = (from[lat] + r) as usize * columns + (from[lon] + c) as usize;
                if let Some(known) = known.get_mut(cell) {
                    *known += there.count() as u64;
                }
            }
        }
    }
    let areas = index.cell_areas();
    let shares = (0..index.keys.len())
        .map(|region| {
            let (mut total, mut lacks) = (0.0, 0.0);
            for p in index.pairs(region) {
                let cell = index.cells[p];
                let weight = index.shares[p] * areas.of(cell);
                total += weight;
                lacks += weight * (1.0 - known[cell as usize] as f64 / steps.max(1) as f64);
            }
            (total > 0.0).then(|| (lacks / total).clamp(0.0, 1.0))
        })
        .collect();
    Ok((steps, shares))
}

/// The same for people.
pub fn text(v: &Value) -> String {
    let mut out = String::new();
    let mut line = |s: String| {
        out.push_str(&s);
        out.push('\n');
    };
    let keys: Vec<&str> =
        v["regions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let shares = |v: &Value| -> Vec<f64> {
        v.as_array().into_iter().flatten().map(|s| s.as_f64().unwrap_or(0.0)).collect()
    };
    line(format!("index        {}", v["grid"].as_str().unwrap_or("")));
    line(format!("outside      {}", worst(&keys, &shares(&v["outside"]), "outside the grid")));
    for file in v["files"].as_array().into_iter().flatten() {
        let fits = if file["fits"] == true { "fits" } else { "does not fit" };
        line(format!("file         {}: {fits}", file["file"].as_str().unwrap_or("")));
        if let Some(what) = file["differs"].as_str() {
            line(format!("             {what}"));
        }
        for var in file["variables"].as_array().into_iter().flatten() {
            let name = var["name"].as_str().unwrap_or("");
            if let Some(what) = var["differs"].as_str() {
                line(format!("  {name}: another grid: {what}"));
                continue;
            }
            let steps = match (var["steps"].as_u64().unwrap_or(0), v["steps"] == "all") {
                (n, true) => format!("{} steps", thousands(n)),
                (_, false) => "the first step".to_string(),
            };
            line(format!(
                "  {name}: {steps}: {}",
                worst(&keys, &shares(&var["missing"]), "over missing cells")
            ));
        }
    }
    out
}

/// "3 regions wholly, 5 in part outside the grid: `a` 52.5 %, ...", the worst first.
fn worst(keys: &[&str], shares: &[f64], what: &str) -> String {
    let mut some: Vec<(f64, &str)> =
        shares.iter().zip(keys).filter(|(s, _)| **s > 0.0).map(|(s, k)| (*s, *k)).collect();
    let count = |n: usize| match n {
        1 => "1 region".to_string(),
        n => format!("{} regions", thousands(n as u64)),
    };
    if some.is_empty() {
        return format!("no region {what}");
    }
    let wholly = some.iter().filter(|(s, _)| *s >= 1.0).count();
    some.retain(|(s, _)| *s < 1.0);
    some.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut parts = Vec::new();
    if wholly > 0 {
        parts.push(format!("{} wholly", count(wholly)));
    }
    if !some.is_empty() {
        parts.push(format!("{} in part", count(some.len())));
    }
    let shown: Vec<String> =
        some.iter().take(5).map(|(s, k)| format!("`{k}` {:.1} %", 100.0 * s)).collect();
    let more = match some.len() {
        n if n > 5 => format!(" and {} more", thousands(n as u64 - 5)),
        _ => String::new(),
    };
    let names =
        if shown.is_empty() { String::new() } else { format!(": {}{more}", shown.join(", ")) };
    format!("{} {what}{names}", parts.join(", "))
}
