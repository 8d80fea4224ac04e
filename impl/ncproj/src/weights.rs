//! How cells count: by area, by covered share, or by a field of the user's (population, say).

use crate::error::{Error, Result, base_name, thousands};
use crate::grid;
use crate::index::Index;
use crate::plan::check_grid;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

pub enum Weights {
    /// Covered share of the cell times the cell's area on the sphere.
    Area,
    /// Covered share of the cell.
    Coverage,
    /// Covered share of the cell times the cell's value in a field.
    Field(Field),
}

/// A weight for each cell of the grid, in the order of the index.
pub struct Field {
    pub name: String,
    values: Vec<f64>,
}

impl Weights {
    /// `area`, `coverage` or `FILE:VARIABLE`.
    pub fn parse(text: &str, index: &Index) -> Result<Weights> {
        match text {
            "area" => Ok(Weights::Area),
            "coverage" => Ok(Weights::Coverage),
            _ => match text.rsplit_once(':') {
                Some((file, variable)) if !file.is_empty() && !variable.is_empty() => {
                    Ok(Weights::Field(Field::load(Path::new(file), variable, index)?))
                }
                _ => Err(Error::usage(format!("`--weights {text}` is not known"))
                    .hint("give `area`, `coverage`, or a field as FILE:VARIABLE")),
            },
        }
    }

    /// For the provenance.
    pub fn describe(&self) -> Value {
        match self {
            Weights::Area => {
                json!({"name": "area", "meaning": "covered share x area of the cell on the sphere"})
            }
            Weights::Coverage => {
                json!({"name": "coverage", "meaning": "covered share of the cell"})
            }
            Weights::Field(f) => {
                let mut h = blake3::Hasher::new();
                f.values.iter().for_each(|v| {
                    h.update(&v.to_le_bytes());
                });
                json!({"name": f.name, "meaning": "covered share x value of the field in the cell",
                       "fingerprint": h.finalize().to_hex()[..32].to_string()})
            }
        }
    }

    /// What a share of 1 of a cell weighs.
    pub fn by_cell<'a>(&'a self, index: &'a Index) -> Box<dyn Fn(u32) -> f64 + 'a> {
        match self {
            Weights::Coverage => Box::new(|_| 1.0),
            Weights::Area => {
                let areas = index.cell_areas();
                Box::new(move |c| areas.of(c))
            }
            Weights::Field(f) => Box::new(|c| f.values[c as usize]),
        }
    }

    /// The weight of each pair of the index, in the place of its shares unless these are to be kept.
    pub fn of(&self, index: &mut Index, keep_shares: bool) -> Arc<Vec<f64>> {
        if matches!(self, Weights::Coverage) {
            return index.shares.clone();
        }
        let mut weights = match keep_shares {
            true => index.shares.clone(),
            false => std::mem::take(&mut index.shares),
        };
        let by_cell = self.by_cell(index);
        for (w, cell) in Arc::make_mut(&mut weights).iter_mut().zip(index.cells.iter()) {
            *w *= by_cell(*cell);
        }
        weights
    }
}

impl Field {
    fn load(path: &Path, variable: &str, index: &Index) -> Result<Field> {
        let mut source = index.open(path)?;
        let grid = grid::find(&mut source, Some(variable))?;
        check_grid(index, &grid, &source, variable)?;
        let at = format!("{}: variable `{variable}`", source.name);
        let var = &source.vars[source.var_index(variable)?];
        let Some((lat, lon)) = grid::sides(&source, var) else {
            return Err(grid::no_sides(&source, variable));
        };
        let shape = source.shape(var);
        if let Some(k) = (0..shape.len()).find(|k| *k != lat && *k != lon && shape[*k] != 1) {
            return Err(Error::data(format!(
                "weights must be the same for all rows, but `{variable}` has {} values along `{}`",
                thousands(shape[k]),
                source.dims[var.dims[k]].name
            ))
            .at(at)
            .hint("choose one of them first (`ncks -d`, or xarray's `isel`)"));
        }
        let transposed = lat > lon;
        let (rows, columns) = (index.grid.lat.len(), index.grid.lon.len());
        let mut values = source.read_numbers(variable)?;
        if transposed {
            values = (0..values.len()).map(|k| values[k % columns * rows + k / columns]).collect();
        }
        for v in &mut values {
            if v.is_nan() {
                *v = 0.0;
            }
        }
        if let Some(k) = values.iter().position(|v| *v < 0.0 || v.is_infinite()) {
            return Err(Error::data(format!("{} is no weight", values[k]))
                .at(format!("{at}, row {}, column {}", k / columns, k % columns))
                .hint("weights are 0 or more; missing ones count as 0"));
        }
        if values.iter().all(|v| *v == 0.0) {
            return Err(Error::data(format!("`{variable}` has no weight anywhere"))
                .at(at)
                .hint("all its values are 0 or missing: choose another field"));
        }
        Ok(Field { name: format!("{}:{variable}", base_name(path)), values })
    }
}
