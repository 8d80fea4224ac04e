//! The index cut to the blocks of a file, and to groups of regions where all values have to be kept.

use crate::index::Index;
use crate::netcdf::Blocks;
use crate::reduce::Tile;
use crate::stats::Stat;
use crate::work::Covered;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Regions that are worked on together, and the index of these cut to the blocks of a file.
pub struct Group {
    pub tiles: Vec<Tile>,
    /// Where values are kept: the regions, where the values of each begin, and how many there are of a step.
    pub regions: Vec<u32>,
    pub starts: Vec<usize>,
    pub len: usize,
}

/// What the statistics need beside min, max and mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    pub more: bool,
    pub spread: bool,
    pub order: bool,
    /// Covered shares in the order of the values.
    pub classes: bool,
}

impl Needs {
    pub fn of(stats: &[Stat]) -> Needs {
        Needs {
            more: stats.iter().any(|s| s.needs_more()),
            spread: stats.iter().any(|s| s.needs_spread()),
            order: stats.iter().any(|s| s.needs_order()),
            classes: stats.iter().any(|s| s.by_class()),
        }
    }

    /// Covered shares beside the weights.
    pub fn shares(self) -> bool {
        self.more || self.classes
    }
}

/// How the cells of a block lie: `rows` x `columns` of them, neighbours `row_step` and `column_step` values apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    pub rows: u64,
    pub columns: u64,
    pub row_step: u64,
    pub column_step: u64,
}

impl Cut {
    /// `lat` and `lon` are dimensions of the blocks.
    pub fn of(blocks: &Blocks, (lat, lon): (usize, usize)) -> Cut {
        let strides = blocks.strides();
        Cut {
            rows: blocks.block[lat],
            columns: blocks.block[lon],
            row_step: strides[lat],
            column_step: strides[lon],
        }
    }
}

/// The pairs of an index, in its order, and the weight of each.
#[derive(Clone, Default)]
pub struct Pairs {
    pub cells: Arc<Vec<u32>>,
    pub shares: Arc<Vec<f64>>,
    pub weights: Arc<Vec<f64>>,
}

/// The index cut to the blocks of a file; files with the same blocks share it.
pub struct Layouts<'a> {
    index: &'a Index,
    /// Until they were cut in all ways that a run needs.
    held: Pairs,
    cuts: HashSet<Cut>,
    pub needs: Needs,
    /// The weights are not the covered shares.
    weighted: bool,
    /// Weight of each region within the grid.
    pub totals: Vec<f64>,
    /// Of each pair the place among its region's pairs in the order of their weights, and the weights in that order.
    places: Arc<Vec<u32>>,
    pub rising: Vec<f64>,
    /// The covered shares in the same order, where classes need them and they are not the weights.
    pub rising_shares: Vec<f64>,
    made: HashMap<(Cut, usize), Arc<Vec<Group>>>,
}

impl<'a> Layouts<'a> {
    /// `cuts` are all that will be asked for.
    pub fn new(index: &'a Index, held: Pairs, needs: Needs, cuts: HashSet<Cut>) -> Self {
        let Pairs { cells, shares, weights } = &held;
        let totals = (0..index.keys.len()).map(|r| weights[index.pairs(r)].iter().sum()).collect();
        let differ = needs.shares() && weights != shares;
        let weighted = needs.more && differ;
        let (mut places, mut rising, mut rising_shares) = (Vec::new(), Vec::new(), Vec::new());
        if needs.classes && differ {
            rising_shares.resize(weights.len(), 0.0);
        }
        if needs.order {
            places.resize(weights.len(), 0);
            rising.resize(weights.len(), 0.0);
            for r in 0..index.keys.len() {
                let pairs = index.pairs(r);
                let mut order: Vec<usize> = pairs.clone().collect();
                order.sort_by(|a, b| {
                    weights[*a].total_cmp(&weights[*b]).then(cells[*a].cmp(&cells[*b]))
                });
                for (place, p) in order.into_iter().enumerate() {
                    places[p] = place as u32;
                    rising[pairs.start + place] = weights[p];
                    if let Some(to) = rising_shares.get_mut(pairs.start + place) {
                        *to = shares[p];
                    }
                }
            }
        }
        let (places, made) = (Arc::new(places), HashMap::new());
        Layouts { index, held, cuts, needs, weighted, totals, places, rising, rising_shares, made }
    }

    /// All cells of the regions, as long as they are held: where values are kept, to the end.
    pub fn covered(&self) -> Covered {
        Covered::of(self.index, &self.held.cells, |_| true)
    }

    pub fn pairs(&self) -> usize {
        self.index.starts.last().map_or(0, |n| *n as usize)
    }

    /// The tiles of the regions, these in `groups` groups of about as many pairs that lie near each other.
    pub fn groups(&mut self, cut: Cut, groups: usize) -> Arc<Vec<Group>> {
        if let Some(found) = self.made.get(&(cut, groups)) {
            return found.clone();
        }
        let n = self.index.grid.lon.len() as u64;
        let across = n.div_ceil(cut.columns);
        let tile_of = |p: usize| {
            let cell = u64::from(self.held.cells[p]);
            (cell / n / cut.rows * across + cell % n / cut.columns) as usize
        };
        let mut order: Vec<u32> = (0..self.index.keys.len() as u32).collect();
        if groups > 1 {
            order.sort_by_key(|r| {
                let pairs = self.index.pairs(*r as usize);
                (if pairs.is_empty() { 0 } else { tile_of(pairs.start) }, *r)
            });
        }
        let each = self.pairs().div_ceil(groups.max(1)).max(1);
        let mut cuts: Vec<Vec<u32>> = vec![Vec::new()];
        let mut held = 0;
        for r in order {
            let pairs = self.index.pairs(r as usize).len();
            if held > 0 && held + pairs > each && cuts.len() < groups {
                cuts.push(Vec::new());
                held = 0;
            }
            held += pairs;
            if let Some(last) = cuts.last_mut() {
                last.push(r);
            }
        }
        let made: Vec<Group> = cuts.into_iter().map(|regions| self.group(cut, regions)).collect();
        let made = Arc::new(made);
        self.made.insert((cut, groups), made.clone());
        // Where values are kept, the number of groups may change from span to span.
        if !self.needs.order && self.cuts.remove(&cut) && self.cuts.is_empty() {
            self.held = Pairs::default();
        }
        made
    }

    fn group(&self, cut: Cut, mut regions: Vec<u32>) -> Group {
        regions.sort_unstable();
        let n = self.index.grid.lon.len() as u64;
        let across = n.div_ceil(cut.columns);
        let down = (self.index.grid.lat.len() as u64).div_ceil(cut.rows);
        let tile_of = |p: usize| {
            let cell = u64::from(self.held.cells[p]);
            let (row, column) = (cell / n, cell % n);
            let place = row % cut.rows * cut.row_step + column % cut.columns * cut.column_step;
            ((row / cut.rows * across + column / cut.columns) as usize, place as u32)
        };
        let lies_as_index = across * down == 1 && cut.column_step == 1 && cut.row_step == n;
        let mut tiles = match lies_as_index && regions.len() == self.index.keys.len() {
            true => vec![self.whole()],
            false => self.cut(&regions, (across * down) as usize, tile_of),
        };
        let mut starts = vec![0; if self.needs.order { self.index.keys.len() } else { 0 }];
        let mut len = 0;
        for &region in &regions {
            if let Some(start) = starts.get_mut(region as usize) {
                *start = len;
                len += self.index.pairs(region as usize).len();
            }
        }
        for tile in &mut tiles {
            tile.runs = runs(&tile.offsets);
        }
        let regions = if self.needs.order { regions } else { Vec::new() };
        Group { tiles, regions, starts, len }
    }

    /// The index as it is: each block holds all cells of a step, row by row.
    fn whole(&self) -> Tile {
        let pairs = |r: &usize| self.index.pairs(*r);
        Tile {
            regions: (0..self.index.keys.len())
                .filter(|r| !pairs(r).is_empty())
                .map(|r| (r as u32, pairs(&r).start as u32, pairs(&r).end as u32))
                .collect(),
            offsets: self.held.cells.clone(),
            weights: self.held.weights.clone(),
            shares: if self.weighted { self.held.shares.clone() } else { Arc::default() },
            places: self.places.clone(),
            runs: Vec::new(),
        }
    }

    /// The pairs of the regions dealt out to tiles; `tile_of` says a pair's tile and place in it.
    fn cut(
        &self,
        regions: &[u32],
        tiles: usize,
        tile_of: impl Fn(usize) -> (usize, u32),
    ) -> Vec<Tile> {
        #[derive(Default)]
        struct Open {
            regions: Vec<(u32, u32, u32)>,
            offsets: Vec<u32>,
            weights: Vec<f64>,
            shares: Vec<f64>,
            places: Vec<u32>,
        }
        let mut sizes = vec![0; tiles];
        for p in regions.iter().flat_map(|r| self.index.pairs(*r as usize)) {
            sizes[tile_of(p).0] += 1;
        }
        // Of the right size at once: growing would take twice the memory.
        let room = |size: usize, asked: bool| if asked { size } else { 0 };
        let mut out: Vec<Open> = sizes
            .into_iter()
            .map(|size| Open {
                regions: Vec::new(),
                offsets: Vec::with_capacity(size),
                weights: Vec::with_capacity(size),
                shares: Vec::with_capacity(room(size, self.weighted)),
                places: Vec::with_capacity(room(size, self.needs.order)),
            })
            .collect();
        for &region in regions {
            for p in self.index.pairs(region as usize) {
                let (number, place) = tile_of(p);
                let tile = &mut out[number];
                let at = tile.offsets.len() as u32;
                match tile.regions.last_mut() {
                    Some((r, _, end)) if *r == region => *end = at + 1,
                    _ => tile.regions.push((region, at, at + 1)),
                }
                tile.offsets.push(place);
                tile.weights.push(self.held.weights[p]);
                if self.weighted {
                    tile.shares.push(self.held.shares[p]);
                }
                if self.needs.order {
                    tile.places.push(self.places[p]);
                }
            }
        }
        let close = |tile: Open| Tile {
            regions: tile.regions,
            offsets: Arc::new(tile.offsets),
            weights: Arc::new(tile.weights),
            shares: Arc::new(tile.shares),
            places: Arc::new(tile.places),
            runs: Vec::new(),
        };
        out.into_iter().map(close).collect()
    }
}

/// The runs of values that hold all `offsets`.
fn runs(offsets: &[u32]) -> Vec<(u32, u32)> {
    let last = offsets.iter().max().map_or(0, |o| *o as usize);
    let mut needed = vec![0u64; last / 64 + 1];
    for o in offsets {
        needed[*o as usize / 64] |= 1 << (o % 64);
    }
    let mut out: Vec<(u32, u32)> = Vec::new();
    for (k, mut word) in needed.into_iter().enumerate() {
        while word != 0 {
            let o = k as u32 * 64 + word.trailing_zeros();
            word &= word - 1;
            match out.last_mut() {
                // Decoding a short gap costs less than starting again.
                Some((_, end)) if o < *end + 32 => *end = (*end).max(o + 1),
                _ => out.push((o, o + 1)),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carry::Carried;
    use crate::grid::{Axis, Grid};

    /// Four columns and two rows of cells; three regions of two, one and two of them.
    fn index() -> Index {
        let axis = |n: usize| Axis {
            name: "a".into(),
            dim: "a".into(),
            edges: (0..=n).map(|k| k as f64).collect(),
            descending: false,
            regular: true,
            from_bounds: false,
        };
        Index {
            grid: Grid {
                lat: axis(2),
                lon: axis(4),
                global: false,
                projection: None,
                quads: None,
                datum: None,
            },
            keys: vec!["a".into(), "b".into(), "c".into()],
            key_name: "id".into(),
            inside: vec![1.0; 3],
            starts: vec![0, 2, 3, 5],
            cells: Arc::new(vec![3, 7, 0, 1, 2]),
            shares: Arc::new(vec![1.0, 0.5, 1.0, 0.25, 0.75]),
            scale: None,
            named: None,
            regions_file: String::new(),
            regions_fingerprint: String::new(),
            cut: 0,
            rebuilt: 0,
            carried: Carried::default(),
        }
    }

    #[test]
    fn groups_share_out_the_pairs_by_place() {
        let index = index();
        let needs = Needs { more: false, spread: false, order: true, classes: false };
        let (cells, shares) = (index.cells.clone(), index.shares.clone());
        let pairs = Pairs { cells, weights: shares.clone(), shares };
        let mut layouts = Layouts::new(&index, pairs, needs, HashSet::new());
        let cut = Cut { rows: 2, columns: 2, row_step: 2, column_step: 1 };
        let one = layouts.groups(cut, 1);
        assert_eq!((one.len(), one[0].len, &one[0].regions), (1, 5, &vec![0, 1, 2]));
        // columns 0 and 1 are the first tile, 2 and 3 the second; region 0 lies in the second alone
        let two = layouts.groups(cut, 2);
        assert_eq!((&two[0].regions, &two[1].regions), (&vec![1, 2], &vec![0]));
        let pairs = |g: &Group| g.tiles.iter().map(|t| t.offsets.len()).sum::<usize>();
        assert_eq!((pairs(&two[0]), pairs(&two[1])), (3, 2));
        assert_eq!((two[0].starts[2], two[1].starts[0], two[1].len), (1, 0, 2));
        // cell 7 is row 1, column 1 of the second tile, and the lighter of its region
        assert_eq!(
            (two[1].tiles[1].offsets[..].to_vec(), two[1].tiles[1].places[..].to_vec()),
            (vec![1, 3], vec![1, 0])
        );
    }
}
