//! The inner loop: values of one step's cells -> min, max and weighted sums per region.

use crate::netcdf::Values;

/// What is known of one region at one step so far.
#[derive(Clone, Copy)]
pub struct Sums {
    pub min: f64,
    pub max: f64,
    /// Sum of weight * value, and of weight, over the valid cells.
    pub value: f64,
    pub weight: f64,
}

impl Sums {
    pub const NONE: Sums =
        Sums { min: f64::INFINITY, max: f64::NEG_INFINITY, value: 0.0, weight: 0.0 };
}

/// The part of the index that falls on one tile (the cells of one block of the file).
#[derive(Default)]
pub struct Tile {
    /// (region, first pair, end of pairs)
    pub regions: Vec<(u32, u32, u32)>,
    /// Where a pair's value lies, counted from the step's first value in the block.
    pub offsets: Vec<u32>,
    pub weights: Vec<f64>,
    /// The runs of values that any pair needs.
    pub runs: Vec<(u32, u32)>,
}

/// Adds one step's values, which begin at `from`, to the sums of all regions of the tile.
pub fn add(tile: &Tile, values: &Values, from: usize, sums: &mut [Sums]) {
    match values {
        Values::F32(v) => add_typed(tile, &v[from..], sums),
        Values::F64(v) => add_typed(tile, &v[from..], sums),
    }
}

/// float32 or float64: compared as what it is, added up as float64.
trait Number: Copy + PartialOrd {
    const HIGHEST: Self;
    const LOWEST: Self;
    fn wide(self) -> f64;
}

impl Number for f32 {
    const HIGHEST: f32 = f32::INFINITY;
    const LOWEST: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Number for f64 {
    const HIGHEST: f64 = f64::INFINITY;
    const LOWEST: f64 = f64::NEG_INFINITY;
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

/// So many cells are worked on side by side: one would have to wait for the sum of the one before.
const LANES: usize = 4;

fn add_typed<T: Number>(tile: &Tile, values: &[T], sums: &mut [Sums]) {
    for &(region, first, end) in &tile.regions {
        let pairs = first as usize..end as usize;
        let (offsets, late_offsets) = tile.offsets[pairs.clone()].as_chunks::<LANES>();
        let (weights, late_weights) = tile.weights[pairs].as_chunks::<LANES>();
        let (mut min, mut max) = ([T::HIGHEST; LANES], [T::LOWEST; LANES]);
        let (mut value, mut weight) = ([0.0; LANES], [0.0; LANES]);
        let mut take = |k: usize, v: T, w: f64| {
            // A missing value is NaN: every comparison with it is false.
            min[k] = if v < min[k] { v } else { min[k] };
            max[k] = if v > max[k] { v } else { max[k] };
            let valid = v.partial_cmp(&v).is_some();
            value[k] += if valid { w * v.wide() } else { 0.0 };
            weight[k] += if valid { w } else { 0.0 };
        };
        for (o, w) in offsets.iter().zip(weights) {
            let v: [T; LANES] = std::array::from_fn(|k| values[o[k] as usize]);
            for k in 0..LANES {
                take(k, v[k], w[k]);
            }
        }
        for (k, (o, w)) in late_offsets.iter().zip(late_weights).enumerate() {
            take(k, values[*o as usize], *w);
        }
        let total: f64 = weight.iter().sum();
        if total > 0.0 {
            let s = &mut sums[region as usize];
            s.min = min.iter().fold(s.min, |a, b| a.min(b.wide()));
            s.max = max.iter().fold(s.max, |a, b| a.max(b.wide()));
            s.value += value.iter().sum::<f64>();
            s.weight += total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_cells_count_for_nothing() {
        let tile = Tile {
            regions: vec![(1, 0, 3)],
            offsets: vec![0, 1, 2],
            weights: vec![1.0, 0.5, 0.25],
            runs: vec![],
        };
        let mut sums = [Sums::NONE; 2];
        add(&tile, &Values::F32(vec![9.0, 4.0, f32::NAN, 8.0]), 1, &mut sums);
        // by hand: 1 * 4 + 0.25 * 8 = 6 over a weight of 1.25
        assert_eq!(
            (sums[1].min, sums[1].max, sums[1].value, sums[1].weight),
            (4.0, 8.0, 6.0, 1.25)
        );
        assert_eq!(sums[0].weight, 0.0);
    }
}
