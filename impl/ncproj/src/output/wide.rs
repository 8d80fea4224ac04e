//! One row per step: a column `{stat}_{NAME}_{key}` for every statistic and region.

use super::{Rows, Shape, Sink};
use crate::error::Result;

/// The shape of wide rows.
pub fn reshape(shape: Shape) -> (Shape, Option<()>) {
    let spread = |f: &dyn Fn(usize, &str) -> String| -> Vec<String> {
        (0..shape.columns.len())
            .flat_map(|c| shape.keys.iter().map(move |k| (c, k)))
            .map(|(c, k)| f(c, k))
            .collect()
    };
    let columns = spread(&|c, k| format!("{}_{k}", shape.columns[c]));
    let about =
        shape.about.iter().flat_map(|a| std::iter::repeat_n(a.clone(), shape.keys.len())).collect();
    let one = Shape {
        key_name: String::new(),
        keys: vec![String::new()],
        carried: Vec::new(),
        columns,
        about,
        ..shape
    };
    (one, Some(()))
}

pub struct Wide {
    pub inner: Box<dyn Sink>,
    pub regions: usize,
}

impl Sink for Wide {
    fn push(&mut self, rows: Rows) -> Result<()> {
        let mut columns = Vec::with_capacity(rows.columns.len() * self.regions);
        for column in &rows.columns {
            for r in 0..self.regions {
                columns.push(column.iter().skip(r).step_by(self.regions).copied().collect());
            }
        }
        self.inner.push(Rows { steps: rows.steps, labels: rows.labels, columns })
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish()
    }
}
