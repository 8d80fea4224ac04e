//! The statistics by name, and those that need all of a region's values at once: quantiles, the mode, the variety, classes.

use crate::error::{Error, Result, nearest};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    Min,
    Max,
    Mean,
    Sum,
    Count,
    Variance,
    Stdev,
    Median,
    /// In millionths: `q02.5` is 25,000.
    Quantile(u32),
    Mode,
    Valid,
    /// How many different values there are.
    Variety,
    /// The standard deviation over the mean.
    CoefficientOfVariation,
    /// The share of each class by covered area of cells, and by the run's weights.
    Frac,
    WeightedFrac,
}

const NAMED: [(&str, Stat); 14] = [
    ("min", Stat::Min),
    ("max", Stat::Max),
    ("mean", Stat::Mean),
    ("sum", Stat::Sum),
    ("count", Stat::Count),
    ("variance", Stat::Variance),
    ("stdev", Stat::Stdev),
    ("median", Stat::Median),
    ("mode", Stat::Mode),
    ("valid", Stat::Valid),
    ("variety", Stat::Variety),
    ("coefficient_of_variation", Stat::CoefficientOfVariation),
    ("frac", Stat::Frac),
    ("weighted_frac", Stat::WeightedFrac),
];

impl Stat {
    /// `min` .. `valid`, or a quantile by its percentage: `q05`, `q97.5`.
    pub fn parse(text: &str) -> Result<Stat> {
        let text = text.trim();
        if let Some((_, stat)) = NAMED.iter().find(|(n, _)| *n == text) {
            return Ok(*stat);
        }
        if text.is_empty() {
            return Err(Error::usage("an entry of `--stats` is empty")
                .hint("write `--stats min,max,q05`, without a comma at the end"));
        }
        let percent = text.strip_prefix('q').filter(|p| {
            !p.is_empty() && p.chars().all(|c| c.is_ascii_digit() || c == '.') && p.len() <= 8
        });
        if let Some(percent) = percent {
            let wrong = |why: &str| {
                Err(Error::usage(format!("the quantile `{text}` {why}"))
                    .hint("quantiles are named by their percentage: `q05`, `q50`, `q97.5`"))
            };
            return match percent.parse::<f64>() {
                Ok(p) if p > 100.0 => wrong("lies beyond 100 %"),
                Ok(p) => {
                    let millionths = (p * 1e4).round();
                    if (millionths - p * 1e4).abs() > 1e-6 {
                        return wrong("has more than four digits behind the point");
                    }
                    Ok(Stat::Quantile(millionths as u32))
                }
                Err(_) => wrong("is no number"),
            };
        }
        let mut known: Vec<String> = NAMED.iter().map(|(n, _)| n.to_string()).collect();
        known.push("q05".to_string());
        Err(Error::usage(format!("there is no statistic `{text}`")).hint(nearest(text, &known)))
    }

    /// What the column begins with.
    pub fn name(self) -> String {
        if let Stat::Quantile(millionths) = self {
            let (whole, part) = (millionths / 10_000, millionths % 10_000);
            let part = format!("{part:04}");
            let part = part.trim_end_matches('0');
            return match part.is_empty() {
                true => format!("q{whole:02}"),
                false => format!("q{whole}.{part}"),
            };
        }
        NAMED.iter().find(|(_, s)| *s == self).map_or(String::new(), |(n, _)| n.to_string())
    }

    /// Units and CF cell method of the column, for a variable with these units.
    pub fn about(self, units: &str) -> (String, String) {
        let squared = match units {
            "" | "1" => units.to_string(),
            u if u.contains([' ', '/', '.', '^']) || u.ends_with(|c: char| c.is_ascii_digit()) => {
                format!("({u})2")
            }
            u => format!("{u}2"),
        };
        let (units, method) = match self {
            Stat::Min => (units.to_string(), "area: minimum".to_string()),
            Stat::Max => (units.to_string(), "area: maximum".to_string()),
            Stat::Mean => (units.to_string(), "area: mean".to_string()),
            Stat::Sum => (units.to_string(), "area: sum".to_string()),
            Stat::Count => ("1".to_string(), "area: number of cells that have a value".to_string()),
            Stat::Variance => (squared, "area: variance".to_string()),
            Stat::Stdev => (units.to_string(), "area: standard_deviation".to_string()),
            Stat::Median => (units.to_string(), "area: median".to_string()),
            Stat::Quantile(_) => {
                (units.to_string(), format!("area: quantile of {} %", &self.name()[1..]))
            }
            Stat::Mode => (units.to_string(), "area: mode".to_string()),
            Stat::Valid => {
                ("1".into(), "area: share of the region's weight that has a value".into())
            }
            Stat::Variety => ("1".into(), "area: number of different values".into()),
            Stat::CoefficientOfVariation => {
                ("1".into(), "area: standard deviation over mean".into())
            }
            Stat::Frac => ("1".into(), "area: share of the covered cells that have a value".into()),
            Stat::WeightedFrac => {
                ("1".into(), "area: share of the weight of the cells that have a value".into())
            }
        };
        (units, method)
    }

    /// The share of the weight that lies below, for those that are quantiles.
    pub fn share(self) -> Option<f64> {
        match self {
            Stat::Median => Some(0.5),
            Stat::Quantile(millionths) => Some(f64::from(millionths) / 1e6),
            _ => None,
        }
    }

    /// Needs the sums of `reduce::More`.
    pub fn needs_more(self) -> bool {
        matches!(self, Stat::Sum | Stat::Count) || self.needs_spread()
    }

    pub fn needs_spread(self) -> bool {
        matches!(self, Stat::Variance | Stat::Stdev | Stat::CoefficientOfVariation)
    }

    /// Has a column for each class.
    pub fn by_class(self) -> bool {
        matches!(self, Stat::Frac | Stat::WeightedFrac)
    }

    /// Needs all values of a region side by side.
    pub fn needs_order(self) -> bool {
        matches!(self, Stat::Mode | Stat::Variety) || self.by_class() || self.share().is_some()
    }
}

/// The values of one region at one step, in rising order, and their weights.
#[derive(Default)]
pub struct Ordered {
    keys: Vec<(u64, u32)>,
    short: Vec<u64>,
    values: Vec<f64>,
    weights: Vec<f64>,
    /// Covered shares, where they are asked for and are not the weights.
    shares: Vec<f64>,
    /// The place of each value on the scale of the quantiles, see `quantile`.
    scale: Vec<f64>,
}

impl Ordered {
    /// Takes the values that are not missing. `weights` rise: so that equal values stand in the order of their weights, whatever
    /// the order of the cells in the file. `shares` may be left away.
    pub fn take_f32(&mut self, values: &[f32], weights: &[f64], shares: &[f64]) {
        self.short.clear();
        for (k, v) in values.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            // Bits that rise as the values do; adding 0 makes -0 a plain 0.
            let bits = (v + 0.0).to_bits();
            let flip = if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
            self.short.push(u64::from(bits ^ flip) << 32 | k as u64);
        }
        self.short.sort_unstable();
        self.clear();
        for s in &self.short {
            let k = (*s & 0xffff_ffff) as usize;
            self.values.push(f64::from(values[k]));
            self.weights.push(weights[k]);
        }
        if !shares.is_empty() {
            self.shares.extend(self.short.iter().map(|s| shares[(*s & 0xffff_ffff) as usize]));
        }
    }

    pub fn take_f64(&mut self, values: &[f64], weights: &[f64], shares: &[f64]) {
        self.keys.clear();
        for (k, v) in values.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            let bits = (v + 0.0).to_bits();
            let flip = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
            self.keys.push((bits ^ flip, k as u32));
        }
        self.keys.sort_unstable();
        self.clear();
        for (_, k) in &self.keys {
            self.values.push(values[*k as usize]);
            self.weights.push(weights[*k as usize]);
        }
        if !shares.is_empty() {
            self.shares.extend(self.keys.iter().map(|(_, k)| shares[*k as usize]));
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.weights.clear();
        self.shares.clear();
        self.scale.clear();
    }

    /// The weighted quantile for `share` (0..1); NaN of nothing.
    ///
    /// Of n values in rising order, value k (from 0) stands at k * w[k] + (n - 1) * (w[0] + .. + w[k - 1]) on a scale that ends
    /// at (n - 1) * (w[0] + .. + w[n - 1]); between two values it is a straight line. With equal weights this is the usual
    /// definition (type 7 of Hyndman and Fan, the default of R and numpy); exactextract has the same, but takes cells of equal
    /// values as one cell.
    pub fn quantile(&mut self, share: f64) -> f64 {
        let (n, Some(first)) = (self.values.len(), self.values.first()) else { return f64::NAN };
        if n == 1 {
            return *first;
        }
        let rest = (n - 1) as f64;
        if self.scale.is_empty() {
            let mut below = 0.0;
            for (k, w) in self.weights.iter().enumerate() {
                self.scale.push(k as f64 * w + rest * below);
                below += w;
            }
        }
        let total: f64 = self.weights.iter().sum();
        let wanted = share * rest * total;
        let right = self.scale.partition_point(|s| *s <= wanted);
        if right == n {
            return self.values[n - 1];
        }
        if right == 0 {
            return *first;
        }
        let (a, b) = (self.values[right - 1], self.values[right]);
        let along = (wanted - self.scale[right - 1]) / (self.scale[right] - self.scale[right - 1]);
        (a + along * (b - a)).clamp(a, b)
    }

    /// The value with the largest weight, the smallest such value where several have it; NaN of nothing.
    pub fn mode(&self) -> f64 {
        let (mut best, mut most) = (f64::NAN, f64::NEG_INFINITY);
        let mut k = 0;
        while k < self.values.len() {
            let value = self.values[k];
            let mut weight = 0.0;
            while k < self.values.len() && self.values[k] == value {
                weight += self.weights[k];
                k += 1;
            }
            // Sums that differ by rounding are the same: 3 x 0.1 and 0.3.
            if most == f64::NEG_INFINITY || weight > most * (1.0 + 1e-12) {
                (best, most) = (value, weight);
            }
        }
        best
    }

    /// How many different values there are; NaN of nothing.
    pub fn variety(&self) -> f64 {
        if self.values.is_empty() {
            return f64::NAN;
        }
        (1 + self.values.windows(2).filter(|w| w[0] != w[1]).count()) as f64
    }

    /// The lowest and the highest value.
    pub fn ends(&self) -> Option<(f64, f64)> {
        Some((*self.values.first()?, *self.values.last()?))
    }

    /// The share of each class among what has a value, by weight and by covered share: `classes` are values in rising order
    /// with their place in `by_weight` and `by_share`; all others go to the place `other`. The first value that then has no
    /// place is handed back.
    pub fn by_class(
        &self,
        classes: &[(f64, usize)],
        other: Option<usize>,
        by_weight: &mut [f64],
        by_share: &mut [f64],
    ) -> Option<f64> {
        by_weight.fill(0.0);
        by_share.fill(0.0);
        let shares = if self.shares.is_empty() { &self.weights } else { &self.shares };
        let mut next = 0;
        for ((value, weight), share) in self.values.iter().zip(&self.weights).zip(shares) {
            while classes.get(next).is_some_and(|(class, _)| class < value) {
                next += 1;
            }
            let place = match classes.get(next) {
                Some((class, place)) if class == value => *place,
                _ => match other {
                    Some(place) => place,
                    None => return Some(*value),
                },
            };
            by_weight[place] += weight;
            by_share[place] += share;
        }
        // Over the sum of what was added up: a region of one class has exactly 1.
        for shares in [by_weight, by_share] {
            let total: f64 = shares.iter().sum();
            shares.iter_mut().for_each(|s| *s /= total);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(values: &[f64], weights: &[f64]) -> Ordered {
        let mut o = Ordered::default();
        o.take_f64(values, weights, &[]);
        o
    }

    #[test]
    fn statistics_go_by_name() {
        assert_eq!(Stat::parse("q05").unwrap().name(), "q05");
        assert_eq!(Stat::parse("q5").unwrap().name(), "q05");
        assert_eq!(Stat::parse("q2.5").unwrap().name(), "q2.5");
        assert_eq!(Stat::parse("q100").unwrap().share(), Some(1.0));
        assert_eq!(Stat::parse(" stdev ").unwrap(), Stat::Stdev);
        assert!(Stat::parse("q101").is_err() && Stat::parse("q").is_err());
        assert!(Stat::parse("q1.2.3").is_err() && Stat::parse("q0.00001").is_err());
    }

    #[test]
    fn units_of_a_variance_are_squared() {
        assert_eq!(Stat::Variance.about("K").0, "K2");
        assert_eq!(Stat::Variance.about("m s-1").0, "(m s-1)2");
        assert_eq!(Stat::Stdev.about("K").0, "K");
    }

    #[test]
    fn equal_weights_give_the_usual_quantiles() {
        // by hand: 1 2 3 10; the median is halfway from 2 to 3, a tenth lies 0.3 steps above 1
        let mut o = ordered(&[10.0, 2.0, f64::NAN, 1.0, 3.0], &[0.5; 5]);
        assert_eq!(o.quantile(0.5), 2.5);
        assert!((o.quantile(0.1) - 1.3).abs() < 1e-15);
        assert_eq!((o.quantile(0.0), o.quantile(1.0)), (1.0, 10.0));
    }

    #[test]
    fn a_heavy_cell_pulls_the_median() {
        // by hand: values 1, 2, 3 of weights 1, 1, 2 stand at 0, 1*1 + 2*1 = 3, 2*2 + 2*2 = 8 of 2 * 4 = 8;
        // the middle, 4, is a fifth of the way from 2 to 3
        assert!((ordered(&[1.0, 2.0, 3.0], &[1.0, 1.0, 2.0]).quantile(0.5) - 2.2).abs() < 1e-15);
    }

    #[test]
    fn the_mode_has_the_largest_weight_and_is_the_smallest_of_equals() {
        assert_eq!(ordered(&[7.0, 5.0, 7.0, 6.0], &[0.4, 0.5, 0.5, 0.6]).mode(), 7.0);
        assert_eq!(ordered(&[8.0, 3.0, -0.0, 0.0], &[0.1, 0.25, 0.25, 0.25]).mode(), 0.0);
        assert_eq!(ordered(&[2.0, 1.0], &[1.0, 1.0]).mode(), 1.0);
        assert!(ordered(&[f64::NAN], &[1.0]).mode().is_nan());
    }

    #[test]
    fn float32_is_ordered_as_float64_is() {
        let narrow = [3.5f32, -1.0, f32::NAN, 0.0, -2.5, 1e30, -1.0];
        let weights = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        let wide: Vec<f64> = narrow.iter().map(|v| f64::from(*v)).collect();
        let (mut a, mut b) = (Ordered::default(), ordered(&wide, &weights));
        a.take_f32(&narrow, &weights, &[]);
        assert_eq!((&a.values, &a.weights), (&b.values, &b.weights));
        assert_eq!(a.values, [-2.5, -1.0, -1.0, 0.0, 3.5, f64::from(1e30f32)]);
        assert_eq!((a.quantile(0.3), a.mode()), (b.quantile(0.3), b.mode()));
    }

    #[test]
    fn classes_are_shared_out_by_weight_and_by_covered_share() {
        let mut o = Ordered::default();
        // by hand: class 7 has the weights 1 + 2 of 8 and the shares 1/2 + 1/2 of 2; 5 has 4 and 3/4; the rest is 1 and 1/4
        o.take_f64(
            &[7.0, 9.0, 7.0, f64::NAN, 5.0],
            &[1.0, 1.0, 2.0, 3.0, 4.0],
            &[0.5, 0.25, 0.5, 1.0, 0.75],
        );
        let (mut by_weight, mut by_share) = ([0.0; 3], [0.0; 3]);
        let classes = [(5.0, 1), (7.0, 0)];
        let mut run = |other| o.by_class(&classes, other, &mut by_weight, &mut by_share);
        assert_eq!(run(None), Some(9.0));
        assert_eq!(run(Some(2)), None);
        assert_eq!(by_weight, [3.0 / 8.0, 4.0 / 8.0, 1.0 / 8.0]);
        assert_eq!(by_share, [1.0 / 2.0, 3.0 / 8.0, 1.0 / 8.0]);
    }

    #[test]
    fn the_variety_counts_values_and_not_cells() {
        assert_eq!(ordered(&[2.0, -0.0, f64::NAN, 0.0, 2.0], &[1.0; 5]).variety(), 2.0);
        assert!(ordered(&[f64::NAN], &[1.0]).variety().is_nan());
    }
}
