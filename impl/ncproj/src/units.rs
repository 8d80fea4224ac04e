//! Units as files write them (the language of UDUNITS): whether two texts mean the same, and how to get from one to the other.
//!
//! Only what is linear: a factor and, for temperatures, a zero. No crate knows this language, and the UDUNITS library brings an
//! XML parser and a database that has to lie beside the program. What is not in the table has no meaning here but its own text.

/// Exponents of metre, kilogram, second, kelvin, ampere, mole, candela and radian.
type Dims = [i32; 8];

/// `value * scale + offset` is the value in base units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    dims: Dims,
    scale: f64,
    offset: f64,
}

const fn of(scale: f64, dims: Dims) -> Unit {
    Unit { dims, scale, offset: 0.0 }
}

const ONE: Dims = [0; 8];
const M: Dims = [1, 0, 0, 0, 0, 0, 0, 0];
const KG: Dims = [0, 1, 0, 0, 0, 0, 0, 0];
const S: Dims = [0, 0, 1, 0, 0, 0, 0, 0];
const K: Dims = [0, 0, 0, 1, 0, 0, 0, 0];
const RAD: Dims = [0, 0, 0, 0, 0, 0, 0, 1];
const PA: Dims = [-1, 1, -2, 0, 0, 0, 0, 0];
const J: Dims = [2, 1, -2, 0, 0, 0, 0, 0];
const W: Dims = [2, 1, -3, 0, 0, 0, 0, 0];
const N: Dims = [1, 1, -2, 0, 0, 0, 0, 0];
const M2: Dims = [2, 0, 0, 0, 0, 0, 0, 0];
const M3: Dims = [3, 0, 0, 0, 0, 0, 0, 0];
const SPEED: Dims = [1, 0, -1, 0, 0, 0, 0, 0];

/// Prefixes go before these: symbols, then names (of which also the plural is known).
const PREFIXED: &[(&[&str], &[&str], Unit)] = &[
    (&["m"], &["meter", "metre"], of(1.0, M)),
    (&["g"], &["gram", "gramme"], of(1e-3, KG)),
    (&["s"], &["second"], of(1.0, S)),
    (&["K"], &["kelvin", "Kelvin"], of(1.0, K)),
    (&["A"], &["ampere"], of(1.0, [0, 0, 0, 0, 1, 0, 0, 0])),
    (&["mol"], &["mole"], of(1.0, [0, 0, 0, 0, 0, 1, 0, 0])),
    (&["cd"], &["candela"], of(1.0, [0, 0, 0, 0, 0, 0, 1, 0])),
    (&["rad"], &["radian"], of(1.0, RAD)),
    (&["sr"], &["steradian"], of(1.0, [0, 0, 0, 0, 0, 0, 0, 2])),
    (&["Hz"], &["hertz"], of(1.0, [0, 0, -1, 0, 0, 0, 0, 0])),
    (&["N"], &["newton"], of(1.0, N)),
    (&["Pa"], &["pascal", "Pascal"], of(1.0, PA)),
    (&["J"], &["joule", "Joule"], of(1.0, J)),
    (&["W"], &["watt", "Watt"], of(1.0, W)),
    (&["C"], &["coulomb"], of(1.0, [0, 0, 1, 0, 1, 0, 0, 0])),
    (&["V"], &["volt"], of(1.0, [2, 1, -3, 0, -1, 0, 0, 0])),
    (&["T"], &["tesla"], of(1.0, [0, 1, -2, 0, -1, 0, 0, 0])),
    (&["L", "l"], &["liter", "litre"], of(1e-3, M3)),
    (&["bar"], &["bar"], of(1e5, PA)),
    (&["eV"], &["electronvolt"], of(1.602176634e-19, J)),
    (&["Bq"], &["becquerel"], of(1.0, [0, 0, -1, 0, 0, 0, 0, 0])),
    (&["t"], &["tonne"], of(1e3, KG)),
    (&["cal"], &["calorie"], of(4.1868, J)),
    (&["Wh"], &[], of(3600.0, J)),
];

/// These stand alone; of names also the plural is known.
const ALONE: &[(&[&str], &[&str], Unit)] = &[
    (&["1"], &["fraction", "dimensionless"], of(1.0, ONE)),
    (&["%"], &["percent", "pct"], of(1e-2, ONE)),
    (&["permil", "permille", "\u{2030}"], &[], of(1e-3, ONE)),
    (&["ppm", "ppmv"], &[], of(1e-6, ONE)),
    (&["ppb", "ppbv"], &[], of(1e-9, ONE)),
    (&["ppt", "pptv"], &[], of(1e-12, ONE)),
    (&["min"], &["minute"], of(60.0, S)),
    (&["h", "hr", "hrs"], &["hour"], of(3600.0, S)),
    (&["d"], &["day"], of(86_400.0, S)),
    (&[], &["week"], of(604_800.0, S)),
    (&[], &["fortnight"], of(1_209_600.0, S)),
    (&["degK", "deg_K", "\u{b0}K"], &["degree_kelvin", "degree_Kelvin", "degree_K"], of(1.0, K)),
    (
        &["degC", "deg_C", "degreeC", "degree_C", "degrees_C", "degreesC", "\u{b0}C", "\u{2103}"],
        &["celsius", "Celsius", "degree_celsius", "degree_Celsius", "degree_centigrade"],
        Unit { dims: K, scale: 1.0, offset: 273.15 },
    ),
    (
        &["degF", "deg_F", "degreeF", "degree_F", "degrees_F", "degreesF", "\u{b0}F", "\u{2109}"],
        &["fahrenheit", "Fahrenheit", "degree_fahrenheit", "degree_Fahrenheit"],
        Unit { dims: K, scale: 5.0 / 9.0, offset: 459.67 * 5.0 / 9.0 },
    ),
    (&["degR", "degree_R"], &["degree_rankine", "rankine"], of(5.0 / 9.0, K)),
    (
        &["\u{b0}", "deg"],
        &[
            "degree",
            "arcdegree",
            "degree_north",
            "degree_east",
            "degree_N",
            "degree_E",
            "degree_true",
        ],
        of(std::f64::consts::PI / 180.0, RAD),
    ),
    (&[], &["arcminute"], of(std::f64::consts::PI / 10_800.0, RAD)),
    (&[], &["arcsecond"], of(std::f64::consts::PI / 648_000.0, RAD)),
    (&["atm"], &["atmosphere"], of(101_325.0, PA)),
    (&["mb"], &["millibar"], of(100.0, PA)),
    (&["mmHg", "Torr", "torr"], &[], of(133.322387415, PA)),
    (&["inHg"], &[], of(3386.389, PA)),
    (&["psi"], &[], of(6894.757293168361, PA)),
    (&["in"], &["inch"], of(0.0254, M)),
    (&["ft"], &["foot", "feet"], of(0.3048, M)),
    (&["yd"], &["yard"], of(0.9144, M)),
    (&["mi"], &["mile"], of(1609.344, M)),
    (&["nmi"], &["nautical_mile"], of(1852.0, M)),
    (&["micron"], &["microns"], of(1e-6, M)),
    (&["kt", "kts", "knot", "knots"], &["knot_international"], of(1852.0 / 3600.0, SPEED)),
    (&["mph"], &[], of(0.44704, SPEED)),
    (&["lb", "lbs"], &["pound"], of(0.45359237, KG)),
    (&["oz"], &["ounce"], of(0.028349523125, KG)),
    (&["ha"], &["hectare"], of(1e4, M2)),
    (&["acre", "acres"], &[], of(4046.872609874252, M2)),
    (
        &["gpm"],
        &["geopotential_meter", "geopotential_metre"],
        of(9.80665, [2, 0, -2, 0, 0, 0, 0, 0]),
    ),
    (&["DU"], &["dobson", "dobson_unit"], of(4.4615e-4, [-2, 0, 0, 0, 0, 1, 0, 0])),
    (&["Sv", "sverdrup"], &[], of(1e6, [3, 0, -1, 0, 0, 0, 0, 0])),
];

const SHORT: &[(&str, f64)] = &[
    ("da", 1e1),
    ("Y", 1e24),
    ("Z", 1e21),
    ("E", 1e18),
    ("P", 1e15),
    ("T", 1e12),
    ("G", 1e9),
    ("M", 1e6),
    ("k", 1e3),
    ("h", 1e2),
    ("d", 1e-1),
    ("c", 1e-2),
    ("m", 1e-3),
    ("u", 1e-6),
    ("\u{b5}", 1e-6),
    ("\u{3bc}", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
    ("f", 1e-15),
    ("a", 1e-18),
];
const LONG: &[(&str, f64)] = &[
    ("yotta", 1e24),
    ("zetta", 1e21),
    ("exa", 1e18),
    ("peta", 1e15),
    ("tera", 1e12),
    ("giga", 1e9),
    ("mega", 1e6),
    ("kilo", 1e3),
    ("hecto", 1e2),
    ("deca", 1e1),
    ("deci", 1e-1),
    ("centi", 1e-2),
    ("milli", 1e-3),
    ("micro", 1e-6),
    ("nano", 1e-9),
    ("pico", 1e-12),
    ("femto", 1e-15),
    ("atto", 1e-18),
];

/// The text means one thing only where it is in the table.
pub fn parse(text: &str) -> Option<Unit> {
    let text = text.trim();
    if text.is_empty() {
        return Some(of(1.0, ONE));
    }
    // Words that belong together.
    let spaced = text.to_lowercase();
    let together =
        ["degrees ", "degree ", "deg "].iter().find_map(|d| spaced.strip_prefix(d)).map(|of| {
            match of {
                "c" | "celsius" => "degC",
                "f" | "fahrenheit" => "degF",
                "k" | "kelvin" => "K",
                _ => "",
            }
        });
    if let Some(name) = together.filter(|n| !n.is_empty()) {
        return parse(name);
    }
    let mut p = Parser { rest: text, depth: 0 };
    let unit = p.shifted()?;
    p.rest.trim().is_empty().then_some(unit)
}

/// The same unit, be it written otherwise.
pub fn same(a: &str, b: &str) -> bool {
    let plain = |t: &str| t.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain(a) == plain(b) {
        return true;
    }
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => {
            let near = |x: f64, y: f64| (x - y).abs() <= 1e-12 * x.abs().max(y.abs());
            a.dims == b.dims && near(a.scale, b.scale) && near(a.offset, b.offset)
        }
        _ => false,
    }
}

/// Factor and summand that lead from one unit to another of the same kind.
pub fn between(from: Unit, to: Unit) -> Option<(f64, f64)> {
    (from.dims == to.dims).then(|| {
        // Factors that are whole numbers one way are exact that way: 100, not 1 / 0.01.
        let (up, down) = (from.scale / to.scale, to.scale / from.scale);
        let whole = |v: f64| (v - v.round()).abs() <= 1e-12 * v.abs() && v.abs() >= 1.0;
        let scale = match (whole(up), whole(down)) {
            (true, _) => up.round(),
            (_, true) => 1.0 / down.round(),
            _ => up,
        };
        // 273.15 as it is written, not what is left of a difference.
        let offset = (from.offset - to.offset) / to.scale;
        let offset = (offset * 1e9).round() / 1e9;
        (scale, offset)
    })
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    /// `K @ 273.15`, `K from 273.15`.
    fn shifted(&mut self) -> Option<Unit> {
        let mut unit = self.product()?;
        let rest = self.rest.trim_start();
        let after = rest.strip_prefix('@').or_else(|| rest.strip_prefix("from "));
        if let Some(after) = after {
            self.rest = after.trim_start();
            let zero = self.number()?;
            unit.offset += unit.scale * zero;
        }
        Some(unit)
    }

    fn product(&mut self) -> Option<Unit> {
        let mut unit = self.power()?;
        let mut single = true;
        loop {
            let spaced = self.rest.starts_with(char::is_whitespace);
            let rest = self.rest.trim_start();
            let (divide, after) = if let Some(r) = rest.strip_prefix("per ") {
                (true, r)
            } else if let Some(r) = rest.strip_prefix('/') {
                (true, r)
            } else if let Some(r) = rest.strip_prefix(['.', '*', '\u{b7}', '\u{22c5}']) {
                (false, r)
            } else if rest.is_empty() || rest.starts_with([')', '@']) || rest.starts_with("from ") {
                if !single {
                    unit.offset = 0.0;
                }
                return Some(unit);
            } else if spaced || rest.starts_with('(') {
                (false, rest)
            } else {
                return None;
            };
            self.rest = after.trim_start();
            let next = self.power()?;
            let sign = if divide { -1 } else { 1 };
            for (d, n) in unit.dims.iter_mut().zip(next.dims) {
                *d += sign * n;
            }
            unit.scale = if divide { unit.scale / next.scale } else { unit.scale * next.scale };
            single = false;
        }
    }

    fn power(&mut self) -> Option<Unit> {
        let first = self.rest.chars().next()?;
        let number = first.is_ascii_digit() || first == '.' || first == '-' || first == '+';
        let unit = if number {
            of(self.number()?, ONE)
        } else if first == '(' {
            self.depth += 1;
            if self.depth > 16 {
                return None;
            }
            self.rest = &self.rest[1..];
            self.rest = self.rest.trim_start();
            let unit = self.shifted()?;
            self.rest = self.rest.trim_start().strip_prefix(')')?;
            self.depth -= 1;
            unit
        } else {
            let letter = |c: char| {
                c.is_alphabetic()
                    || matches!(
                        c,
                        '_' | '%' | '\u{b0}' | '\u{2030}' | '\u{2103}' | '\u{2109}' | '\u{b5}'
                    )
            };
            let end = self.rest.find(|c| !letter(c)).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            named(name)?
        };
        let Some(exponent) = self.exponent(number)? else { return Some(unit) };
        if !(-12..=12).contains(&exponent) {
            return None;
        }
        Some(Unit {
            dims: unit.dims.map(|d| d * exponent),
            scale: unit.scale.powi(exponent),
            offset: 0.0,
        })
    }

    /// `m2`, `m-2`, `m^2`, `m**-2`, `m\u{b2}`; a number needs the mark: `10^3`.
    fn exponent(&mut self, number: bool) -> Option<Option<i32>> {
        let raised = "\u{2070}\u{b9}\u{b2}\u{b3}\u{2074}\u{2075}\u{2076}\u{2077}\u{2078}\u{2079}";
        let mark = self.rest.strip_prefix("**").or_else(|| self.rest.strip_prefix('^'));
        if mark.is_none() {
            let minus = self.rest.starts_with('\u{207b}');
            let rest = self.rest.trim_start_matches('\u{207b}');
            if let Some(n) = rest.chars().next().and_then(|c| raised.chars().position(|r| r == c)) {
                self.rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
                return Some(Some(if minus { -(n as i32) } else { n as i32 }));
            }
        }
        let from = match mark {
            Some(rest) => rest,
            None if number => return Some(None),
            None => self.rest,
        };
        let digits = from.strip_prefix(['-', '+']).unwrap_or(from);
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if count == 0 {
            return if mark.is_some() { None } else { Some(None) };
        }
        let end = from.len() - digits.len() + count;
        let exponent = from[..end].parse().ok()?;
        self.rest = &from[end..];
        Some(Some(exponent))
    }

    fn number(&mut self) -> Option<f64> {
        let text = self.rest;
        let bytes = text.as_bytes();
        let digits = |mut k: usize| {
            while bytes.get(k).is_some_and(u8::is_ascii_digit) {
                k += 1;
            }
            k
        };
        let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
        let mut end = digits(sign);
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
            if digits(signed) > signed {
                end = digits(signed);
            }
        }
        let value: f64 = text[..end].parse().ok().filter(|v: &f64| v.is_finite() && *v != 0.0)?;
        self.rest = &text[end..];
        Some(value)
    }
}

fn named(name: &str) -> Option<Unit> {
    let exact = |table: &[(&[&str], &[&str], Unit)], name: &str, symbols: bool| {
        table.iter().find_map(|(short, long, unit)| {
            let plural = |l: &&&str| {
                name == **l
                    || name.strip_suffix('s') == Some(l)
                    || name.strip_suffix("es") == Some(l)
                    // degrees_Celsius
                    || l.starts_with("degree_") && name.strip_prefix("degrees") == l.strip_prefix("degree")
            };
            let found = symbols && short.contains(&name) || !symbols && long.iter().any(|l| plural(&l));
            found.then_some(*unit)
        })
    };
    let both = |table, name: &str| exact(table, name, true).or_else(|| exact(table, name, false));
    let low = name.to_lowercase();
    if let Some(unit) = both(ALONE, name).or_else(|| both(PREFIXED, name)) {
        return Some(unit);
    }
    let scaled = |prefixes: &[(&str, f64)], name: &str, symbols: bool| {
        prefixes.iter().find_map(|(p, scale)| {
            let unit = exact(PREFIXED, name.strip_prefix(p)?, symbols)?;
            Some(Unit { scale: unit.scale * scale, ..unit })
        })
    };
    scaled(SHORT, name, true)
        .or_else(|| scaled(LONG, name, false))
        // Names, not symbols, may begin with a capital.
        .or_else(|| {
            (low != name && low.len() > 3)
                .then(|| {
                    exact(ALONE, &low, false)
                        .or_else(|| exact(PREFIXED, &low, false))
                        .or_else(|| scaled(LONG, &low, false))
                })
                .flatten()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_unit_are_the_same() {
        for (a, b) in [
            ("K", "kelvin"),
            ("K", "Kelvin"),
            ("K", "degrees Kelvin"),
            ("m s-1", "m/s"),
            ("m s-1", "m.s-1"),
            ("m s**-1", "meters per second"),
            ("m s^-1", "metre second-1"),
            ("m\u{b7}s\u{207b}\u{b9}", "m/s"),
            ("degC", "Celsius"),
            ("degC", "degrees_Celsius"),
            ("degC", "\u{b0}C"),
            ("deg C", "degree_C"),
            ("mm", "millimeter"),
            ("mm", "Millimetres"),
            ("W m**-2", "W/m2"),
            ("kg m-2 s-1", "kg/m2/s"),
            ("kg m-2 s-1", "kg/(m2 s)"),
            ("kg m-2 s-1", "mm s-1 1000 kg m-3"),
            ("hPa", "mbar"),
            ("hPa", "millibars"),
            ("1e-3 kg", "g"),
            ("10^-3 kg", "g"),
            ("1", ""),
            ("1", "m m-1"),
            ("%", "percent"),
            ("J m-2", "W s m-2"),
            ("K @ 273.15", "degC"),
        ] {
            assert!(same(a, b), "{a} and {b}: {:?} {:?}", parse(a), parse(b));
        }
        for (a, b) in [
            ("K", "degC"),
            ("mm", "m"),
            ("mm", "kg m-2"),
            ("m", "min"),
            ("xyz", "K"),
            ("C", "degC"),
            ("s", "S"),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
        assert!(same("model level", " model  level"));
    }

    fn go(from: &str, to: &str, value: f64) -> f64 {
        let (a, b) = between(parse(from).unwrap(), parse(to).unwrap()).unwrap();
        value * a + b
    }

    #[test]
    fn numbers_go_from_unit_to_unit() {
        assert_eq!(go("K", "degC", 273.15), 0.0);
        assert_eq!(go("degC", "K", 0.0), 273.15);
        assert_eq!(go("degF", "degC", 212.0).round(), 100.0);
        assert!((go("degF", "degC", 32.0)).abs() < 1e-9);
        assert_eq!(go("m", "mm", 0.002), 2.0);
        assert_eq!(go("hPa", "Pa", 10.0), 1000.0);
        assert_eq!(go("Pa", "hPa", 1000.0), 10.0);
        // 86,400 seconds a day
        assert!((go("m s-1", "mm/day", 1e-6) - 86.4).abs() < 1e-12);
        assert_eq!(go("kg m-2 s-1", "kg m-2 d-1", 1.0), 86_400.0);
        assert_eq!(go("1", "%", 0.5), 50.0);
        assert!((go("J m-2", "kWh m-2", 3.6e6) - 1.0).abs() < 1e-15);
        assert!((go("knots", "m s-1", 3600.0) - 1852.0).abs() < 1e-9);
        // a lapse rate knows no zero
        assert!((go("degC/km", "K m-1", 6.5) - 0.0065).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_unit_is_none() {
        for text in [
            "xyz",
            "m s-",
            "m//s",
            "(m",
            "m)",
            "10^",
            "dBZ",
            "lg(re 1 mW)",
            "days since 2000-01-01",
            "0 m",
            "m99",
            "-",
            "mm mm ()",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"(".repeat(100_000)), None);
        assert!(between(parse("K").unwrap(), parse("m").unwrap()).is_none());
    }
}
