//! The inner loop: values of one step's cells -> min, max and weighted sums per region.

use crate::netcdf::Values;
use std::sync::Arc;

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
    pub offsets: Arc<Vec<u32>>,
    pub weights: Arc<Vec<f64>>,
    /// Covered shares, where they are asked for and are not the weights.
    pub shares: Arc<Vec<f64>>,
    /// A pair's place among its region's pairs in the order of their weights, where values are kept.
    pub places: Arc<Vec<u32>>,
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

/// What is known beside `Sums`, for the statistics that need it.
#[derive(Clone, Copy, Default)]
pub struct More {
    /// Sum of covered share * value, and of the covered share, over the valid cells.
    pub sum: f64,
    pub count: f64,
    /// Weight and mean of the cells so far, and the weighted sum of squares of the distances from that mean.
    weight: f64,
    mean: f64,
    squares: f64,
}

impl More {
    /// The weighted variance of what was added: sum(w * (value - mean)^2) / sum(w).
    pub fn variance(&self) -> f64 {
        self.squares / self.weight
    }

    /// Joins the spread of other cells: as for a single cell (Welford), each part by its own mean, so that no large squares
    /// are taken from each other.
    fn join(&mut self, weight: f64, mean: f64, squares: f64) {
        let total = self.weight + weight;
        let apart = mean - self.mean;
        self.squares += squares + apart * apart * (self.weight * weight / total);
        self.mean += apart * (weight / total);
        self.weight = total;
    }
}

/// Adds one step's values to what is known beside `Sums`; the spread only if asked for.
pub fn add_more(tile: &Tile, values: &Values, from: usize, spread: bool, more: &mut [More]) {
    match values {
        Values::F32(v) => add_more_typed(tile, &v[from..], spread, more),
        Values::F64(v) => add_more_typed(tile, &v[from..], spread, more),
    }
}

fn add_more_typed<T: Number>(tile: &Tile, values: &[T], spread: bool, more: &mut [More]) {
    let shares = if tile.shares.is_empty() { &tile.weights } else { &tile.shares };
    for &(region, first, end) in &tile.regions {
        let pairs = first as usize..end as usize;
        let offsets = &tile.offsets[pairs.clone()];
        let weights = &tile.weights[pairs.clone()];
        let (mut sum, mut count) = (0.0, 0.0);
        let (mut value, mut weight) = (0.0, 0.0);
        for ((o, c), w) in offsets.iter().zip(&shares[pairs]).zip(weights) {
            let v = values[*o as usize].wide();
            if !v.is_nan() {
                sum += c * v;
                count += c;
                value += w * v;
                weight += w;
            }
        }
        if weight > 0.0 {
            let m = &mut more[region as usize];
            m.sum += sum;
            m.count += count;
            if spread {
                let mean = value / weight;
                let mut squares = 0.0;
                for (o, w) in offsets.iter().zip(weights) {
                    let apart = values[*o as usize].wide() - mean;
                    squares += if apart.is_nan() { 0.0 } else { w * apart * apart };
                }
                m.join(weight, mean, squares);
            }
        }
    }
}

/// The values of some regions at the steps of a window, region by region, each in the order of its weights.
pub enum Kept {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Kept {
    pub fn clear(&mut self, narrow: bool, len: usize) {
        match self {
            Kept::F32(v) if narrow => {
                v.clear();
                v.resize(len, f32::NAN);
            }
            Kept::F64(v) if !narrow => {
                v.clear();
                v.resize(len, f64::NAN);
            }
            _ if narrow => *self = Kept::F32(vec![f32::NAN; len]),
            _ => *self = Kept::F64(vec![f64::NAN; len]),
        }
    }

    /// Keeps one step's values of a tile; `starts` says where each region's values begin.
    pub fn keep(&mut self, tile: &Tile, values: &Values, from: usize, starts: &[usize], at: usize) {
        match (self, values) {
            (Kept::F32(to), Values::F32(v)) => keep_typed(tile, &v[from..], starts, &mut to[at..]),
            (Kept::F64(to), Values::F64(v)) => keep_typed(tile, &v[from..], starts, &mut to[at..]),
            (Kept::F64(to), Values::F32(v)) => {
                let wide: Vec<f64> = v[from..].iter().map(|v| f64::from(*v)).collect();
                keep_typed(tile, &wide, starts, &mut to[at..]);
            }
            // Only float32 as it is stored is kept as float32, and that is what is decoded then.
            (Kept::F32(_), Values::F64(_)) => {}
        }
    }
}

fn keep_typed<T: Copy>(tile: &Tile, values: &[T], starts: &[usize], to: &mut [T]) {
    for &(region, first, end) in &tile.regions {
        let pairs = first as usize..end as usize;
        let start = starts[region as usize];
        for (o, p) in tile.offsets[pairs.clone()].iter().zip(&tile.places[pairs]) {
            to[start + *p as usize] = values[*o as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_tiles() -> [Tile; 2] {
        let tile = |offsets: Vec<u32>, weights: Vec<f64>, places: Vec<u32>| Tile {
            regions: vec![(0, 0, offsets.len() as u32)],
            offsets: Arc::new(offsets),
            weights: Arc::new(weights),
            places: Arc::new(places),
            ..Tile::default()
        };
        [
            tile(vec![0, 1], vec![1.0, 0.5], vec![2, 1]),
            tile(vec![0, 1], vec![0.25, 9.0], vec![0, 3]),
        ]
    }

    #[test]
    fn the_spread_of_two_tiles_is_that_of_all_cells() {
        let mut more = [More::default()];
        let [a, b] = two_tiles();
        let far = 1e9; // a spread that squares of the values could not hold
        add_more(&a, &Values::F64(vec![far + 2.0, far + 4.0]), 0, true, &mut more);
        add_more(&b, &Values::F64(vec![far + 8.0, f64::NAN]), 0, true, &mut more);
        // by hand: weights 1, 1/2, 1/4 of 2, 4, 8: mean 6 / 1.75, squares 4 + 8 + 16 = 28
        let mean: f64 = 6.0 / 1.75;
        assert!((more[0].variance() - (28.0 / 1.75 - mean * mean)).abs() < 1e-6);
        assert_eq!((more[0].count, more[0].sum), (1.75, 1.75 * far + 6.0));
    }

    #[test]
    fn sums_go_by_share_where_weights_are_areas() {
        let mut more = [More::default()];
        let [mut a, _] = two_tiles();
        a.shares = Arc::new(vec![1.0, 0.25]);
        add_more(&a, &Values::F32(vec![2.0, 4.0]), 0, false, &mut more);
        assert_eq!((more[0].sum, more[0].count), (3.0, 1.25));
    }

    #[test]
    fn values_are_kept_in_the_order_of_their_weights() {
        let mut kept = Kept::F64(Vec::new());
        kept.clear(true, 4);
        let [a, b] = two_tiles();
        kept.keep(&a, &Values::F32(vec![9.0, 1.0, 2.0]), 1, &[0], 0);
        kept.keep(&b, &Values::F32(vec![3.0, f32::NAN]), 0, &[0], 0);
        let Kept::F32(v) = kept else { panic!("float32 stays float32") };
        // weights 0.25, 0.5, 1, 9
        assert_eq!(v[..3], [3.0, 2.0, 1.0]);
        assert!(v[3].is_nan());
    }

    #[test]
    fn missing_cells_count_for_nothing() {
        let tile = Tile {
            regions: vec![(1, 0, 3)],
            offsets: Arc::new(vec![0, 1, 2]),
            weights: Arc::new(vec![1.0, 0.5, 0.25]),
            ..Tile::default()
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
