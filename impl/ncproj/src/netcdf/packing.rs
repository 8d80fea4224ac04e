//! What the attributes of a variable say of its stored numbers: which are missing, which are valid, and how they are packed.
//!
//! CF 2.5.1 and 8.1: missing values and ranges are in packed units if they are of the type that is stored, or of another type of
//! integers; in unpacked units if they are floats beside packed integers, or wider floats beside packed ones.

use super::{Attr, Kind, Var};
use crate::error::{Error, Result};
use crate::features::{Feature, Refusal};

/// What decides which stored numbers count, and what they mean.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The type that is stored, signed or not as the attributes have it.
    pub kind: Kind,
    /// These stored values mean missing.
    pub missing: Vec<f64>,
    /// The same of integers of 64 bits, exactly.
    pub whole_missing: Vec<i128>,
    /// Stored values outside are missing.
    pub valid: (f64, f64),
    pub whole_valid: (i128, i128),
    /// value = stored * scale + offset
    pub packing: Option<(f64, f64)>,
    /// The attributes that give the range, in words.
    pub range: Option<String>,
    pub warnings: Vec<String>,
}

const OF: &str = "packing";

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        OF,
        "`scale_factor`, `add_offset`",
        "value = stored x scale + offset, in float64 whatever the type of the factors; a number as text (`\"0.01\"`) is read",
    ),
    Feature::honoured(
        OF,
        "`_FillValue`, `missing_value`",
        "missing, also several, of another type, or as text; a float beside packed integers that is no stored value is taken in unpacked units; what no stored value can be (NaN or 1e20 beside integers) marks nothing",
    ),
    Feature::honoured(
        OF,
        "no `_FillValue`",
        "netCDF's default fill value is missing, as netCDF4-python has it; except of bytes whose writer set no fill",
    ),
    Feature::honoured(
        OF,
        "`valid_range`, `valid_min`, `valid_max`",
        "values outside are missing; in packed units if of the stored type or another integer, in unpacked units if a float beside packed integers or wider than a packed float",
    ),
    Feature::converted(
        OF,
        "`valid_range` 0..255 of signed bytes (and wider integers alike)",
        "the stored integers are taken as unsigned, with a warning",
    ),
    Feature::honoured(
        OF,
        "`_Unsigned`",
        "true or false (or 1, 0) of integers; attributes of the other signedness mean the same bits",
    ),
    Feature::converted(
        OF,
        "integers of 64 bits",
        "to float64, the nearest there is beyond 2^53; they are compared with fill values and ranges as integers",
    ),
    Feature::honoured(
        OF,
        "`flag_values`, `flag_masks`, `flag_meanings`",
        "flags are plain numbers; `mode`, `min` and `max` make sense of them",
    ),
    Feature::honoured(
        OF,
        "`least_significant_digit`, `quantization`, `actual_range`",
        "they say nothing that changes a number",
    ),
    Feature::honoured(
        OF,
        "`scale`, `offset`, `slope`, `intercept`, `nodata` of stored floats",
        "not CF's names: not applied, with a warning",
    ),
];

static NOT_A_NUMBER: Refusal = Refusal {
    of: OF,
    name: "a text where a number belongs",
    message: "the attribute `{}` is the text `{}`, not a number",
    hint: "repair the attribute (`ncatted`)",
};
static NOT_READ: Refusal = Refusal {
    of: OF,
    name: "an attribute that is neither number nor text",
    message: "the attribute `{}` is {}, not a number",
    hint: "repair the attribute (`ncatted`)",
};
static NOT_SO_MANY: Refusal = Refusal {
    of: OF,
    name: "an attribute of the wrong length",
    message: "the attribute `{}` holds {} values where {} needed",
    hint: "repair the attribute (`ncatted`)",
};
static NO_FACTOR: Refusal = Refusal {
    of: OF,
    name: "`scale_factor` 0, NaN or infinite; `add_offset` NaN or infinite",
    message: "the attribute `{}` is {}: no value can be unpacked with it",
    hint: "repair the attribute (`ncatted`); without it the stored numbers are taken as they are",
};
static NO_ROOM: Refusal = Refusal {
    of: OF,
    name: "a missing value or range that the stored type cannot hold",
    message: "the attribute `{}` is {}, which {} cannot hold",
    hint: "if the numbers are unsigned, add `_Unsigned = \"true\"` to the variable (`ncatted`); else repair or delete the attribute",
};
static NO_RANGE: Refusal = Refusal {
    of: OF,
    name: "a range that is upside down or NaN",
    message: "the {} is {} .. {}: nothing lies within",
    hint: "repair the attribute, or delete it (`ncatted -a valid_range,VARIABLE,d,, FILE`)",
};
static EMPTY_RANGE: Refusal = Refusal {
    of: OF,
    name: "a range without a value that can be stored",
    message: "the {} is {} .. {}: that leaves no value that is stored as {}",
    hint: "floats beside packed integers are in unpacked units, integers in packed ones: repair the attribute, or delete it (`ncatted`)",
};
static TWO_RANGES: Refusal = Refusal {
    of: OF,
    name: "`valid_range` beside another `valid_min` or `valid_max`",
    message: "the attributes `valid_range` and `{}` differ: {} and {}",
    hint: "delete the wrong one (`ncatted`)",
};
static ALL_OUT: Refusal = Refusal {
    of: OF,
    name: "a range that masks every value of a run (of one of its files: a warning)",
    message: "every value of `{}` lies outside of its {}",
    hint: "floats beside packed integers are in unpacked units, integers in packed ones: repair the attribute, or delete it (`ncatted`)",
};
static NO_WORD: Refusal = Refusal {
    of: OF,
    name: "`_Unsigned` that is neither true nor false",
    message: "the attribute `_Unsigned` is `{}`, neither true nor false",
    hint: "repair the attribute (`ncatted`)",
};
static NEAR: Refusal = Refusal {
    of: OF,
    name: "a name close to CF's: `FillValue`, `Scale_factor`; `scale`, `slope`, `offset`, `intercept` of stored integers",
    message: "the attribute `{}` is {}: `{}` is what CF calls it, and that would change the numbers",
    hint: "rename the attribute if it means that (`ncrename -a`), else delete it (`ncatted`)",
};

pub const REFUSALS: &[&Refusal] = &[
    &NOT_A_NUMBER,
    &NOT_READ,
    &NOT_SO_MANY,
    &NO_FACTOR,
    &NO_ROOM,
    &NO_RANGE,
    &EMPTY_RANGE,
    &TWO_RANGES,
    &ALL_OUT,
    &NO_WORD,
    &NEAR,
];

/// Every value of the variable is outside of its range.
pub fn all_out(variable: &str, range: &str) -> Error {
    ALL_OUT.error(&[variable, range])
}

/// An attribute's numbers, and of what type they are.
struct Said {
    kind: Kind,
    values: Vec<f64>,
    /// The same where they are integers.
    whole: Vec<Option<i128>>,
}

impl Said {
    fn is_float(&self) -> bool {
        !self.kind.is_integer()
    }

    fn shown(&self, k: usize) -> String {
        match self.whole[k] {
            Some(w) => w.to_string(),
            None if self.kind == Kind::F4 => (self.values[k] as f32).to_string(),
            None => self.values[k].to_string(),
        }
    }
}

/// The numbers of an attribute; nothing where it is not there or empty.
fn said(var: &Var, name: &str) -> Result<Option<Said>> {
    match var.attr(name) {
        None => Ok(None),
        Some(Attr::Other(what)) => Err(NOT_READ.error(&[name, what])),
        Some(Attr::Numbers(kind, values)) => {
            if values.is_empty() {
                return Ok(None);
            }
            let exact = var.exact.iter().find(|(n, _)| n == name).map(|(_, v)| v);
            let whole = values.iter().enumerate().map(|(k, v)| match exact {
                Some(exact) => exact.get(k).copied(),
                None => integral(*v),
            });
            Ok(Some(Said { kind: *kind, values: values.clone(), whole: whole.collect() }))
        }
        Some(Attr::Text(text)) => {
            // `missing_value = "-9999"`: a text where a number belongs, seen in the wild.
            let (mut values, mut whole) = (Vec::new(), Vec::new());
            for word in text.split_whitespace().map(|w| w.strip_suffix(',').unwrap_or(w)) {
                let not = || NOT_A_NUMBER.error(&[name, text]);
                let value = word.parse::<f64>().map_err(|_| not())?;
                values.push(value);
                whole.push(word.parse::<i128>().ok());
            }
            if values.is_empty() {
                return Ok(None);
            }
            let kind = if whole.iter().all(Option::is_some) { Kind::I8 } else { Kind::F8 };
            Ok(Some(Said { kind, values, whole }))
        }
    }
}

fn integral(v: f64) -> Option<i128> {
    (v.fract() == 0.0 && v.abs() < 1e19).then_some(v as i128)
}

/// The integers that a type holds.
fn limits(kind: Kind) -> Option<(i128, i128)> {
    let bits = 8 * kind.size() as u32;
    match kind {
        Kind::I1 | Kind::I2 | Kind::I4 | Kind::I8 => {
            Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
        }
        Kind::U1 | Kind::U2 | Kind::U4 | Kind::U8 => Some((0, (1 << bits) - 1)),
        _ => None,
    }
}

fn unsigned(kind: Kind) -> Kind {
    match kind {
        Kind::I1 => Kind::U1,
        Kind::I2 => Kind::U2,
        Kind::I4 => Kind::U4,
        Kind::I8 => Kind::U8,
        k => k,
    }
}

fn signed(kind: Kind) -> Kind {
    match kind {
        Kind::U1 => Kind::I1,
        Kind::U2 => Kind::I2,
        Kind::U4 => Kind::I4,
        Kind::U8 => Kind::I8,
        k => k,
    }
}

/// The integer as the type holds it: itself, or the same bits if it is written in the type's twin of the other sign.
fn held(value: i128, of: Kind, kind: Kind) -> Option<i128> {
    let (least, most) = limits(kind)?;
    if (least..=most).contains(&value) {
        return Some(value);
    }
    let span = most - least + 1;
    let twin = of.is_integer() && of.size() == kind.size();
    if least < 0 {
        return (twin && value > most && value - span >= least).then(|| value - span);
    }
    (twin && value < 0 && value >= -span / 2).then(|| value + span)
}

impl Rules {
    pub fn of(var: &Var) -> Result<Rules> {
        let mut warnings = Vec::new();
        let mut kind = var.kind;
        let flag = flag(var)?;
        match flag {
            Some(true) => kind = unsigned(kind),
            Some(false) => kind = signed(kind),
            None => {}
        }
        let factor = |name: &str| -> Result<Option<(f64, Kind)>> {
            let Some(s) = said(var, name)? else { return Ok(None) };
            let [value] = s.values[..] else {
                let n = s.values.len().to_string();
                return Err(NOT_SO_MANY.error(&[name, &n, "one is"]));
            };
            if !value.is_finite() || name == "scale_factor" && value == 0.0 {
                return Err(NO_FACTOR.error(&[name, &value.to_string()]));
            }
            Ok(Some((value, s.kind)))
        };
        let (scale, offset) = (factor("scale_factor")?, factor("add_offset")?);
        let wide = [scale, offset].iter().flatten().any(|(_, k)| *k == Kind::F8);
        let packing = match (scale, offset) {
            (None, None) => None,
            (s, o) => Some((s.map_or(1.0, |s| s.0), o.map_or(0.0, |o| o.0))),
        };
        let packed = packing.is_some();

        let range = Range::of(var)?;
        if flag.is_none() && range.is_unsigned(kind, packed) {
            warnings.push(format!(
                "the {} does not fit {}: its numbers are taken as unsigned",
                range.words(),
                kind.name()
            ));
            kind = unsigned(kind);
        }

        let mut missing = Missing { kind, packing, values: Vec::new(), whole: Vec::new() };
        let fill = said(var, "_FillValue")?;
        match &fill {
            Some(s) => missing.add("_FillValue", s)?,
            // As netCDF4-python has it: bytes may use all their values where the writer set no fill.
            None if var.no_fill && kind.size() == 1 => {}
            None => {
                missing.values.extend(kind.default_fill());
                missing.whole.extend(default_whole(kind));
            }
        }
        if let Some(s) = said(var, "missing_value")? {
            missing.add("missing_value", &s)?;
        }
        let Missing { values: mut numbers, whole: whole_missing, .. } = missing;
        if kind == Kind::F4 {
            numbers.iter_mut().for_each(|v| *v = f64::from(*v as f32));
        }
        numbers.retain(|v| !v.is_nan());
        numbers.dedup();

        let (valid, whole_valid) = range.bounds(kind, packing, wide)?;
        near_misses(var, kind, &numbers, (scale.is_some(), offset.is_some()), &mut warnings)?;
        Ok(Rules {
            kind,
            missing: numbers,
            whole_missing,
            valid,
            whole_valid,
            packing: packing.filter(|p| *p != (1.0, 0.0)),
            range: range.is_there().then(|| range.words()),
            warnings,
        })
    }
}

fn default_whole(kind: Kind) -> Option<i128> {
    match kind {
        Kind::I8 => Some(-9_223_372_036_854_775_806),
        Kind::U8 => Some(18_446_744_073_709_551_614),
        k => k.default_fill().and_then(integral),
    }
}

/// What `_Unsigned` says.
fn flag(var: &Var) -> Result<Option<bool>> {
    let no = |shown: &str| Err(NO_WORD.error(&[shown]));
    match var.attr("_Unsigned") {
        None => Ok(None),
        Some(Attr::Text(t)) => match t.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => no(t),
        },
        Some(Attr::Numbers(_, v)) => match v[..] {
            [1.0] => Ok(Some(true)),
            [0.0] => Ok(Some(false)),
            _ => no(&format!("{v:?}")),
        },
        Some(Attr::Other(what)) => no(what),
    }
}

struct Missing {
    kind: Kind,
    packing: Option<(f64, f64)>,
    values: Vec<f64>,
    whole: Vec<i128>,
}

impl Missing {
    fn add(&mut self, name: &str, said: &Said) -> Result<()> {
        for (k, value) in said.values.iter().enumerate() {
            if !self.kind.is_integer() {
                self.values.push(*value);
                // 1e20 written as float32 beside float64 numbers: these hold it, or the 1e20 that was meant.
                if self.kind == Kind::F8 && said.kind == Kind::F4 {
                    self.values.extend((*value as f32).to_string().parse::<f64>());
                }
                continue;
            }
            let whole = said.whole[k];
            let unpacked = said.is_float() && self.packing.is_some();
            let fits =
                |w: &i128| !unpacked || limits(self.kind).is_some_and(|(a, b)| (a..=b).contains(w));
            let held = whole.filter(fits).and_then(|w| held(w, said.kind, self.kind));
            if let Some(held) = held {
                self.values.push(held as f64);
                self.whole.push(held);
                continue;
            }
            if unpacked {
                if let Some(stored) = self.packed(*value) {
                    self.values.push(stored as f64);
                    self.whole.push(stored);
                }
                continue;
            }
            // 1e20 or 0.5 is no integer of any width; -9999 in unsigned bytes may be there in another guise.
            if whole.is_some() && (said.kind.is_integer() || value.abs() < 1e15) {
                return Err(NO_ROOM.error(&[name, &said.shown(k), self.kind.name()]));
            }
        }
        Ok(())
    }

    /// The stored integer that unpacks to this value, if one does.
    fn packed(&self, value: f64) -> Option<i128> {
        let (scale, offset) = self.packing?;
        let stored = (value - offset) / scale;
        let near = integral(stored.round())?;
        let slack = (1e-3 + value.abs() * 6e-8 / scale.abs()).min(0.49);
        let (least, most) = limits(self.kind)?;
        ((stored - stored.round()).abs() <= slack && (least..=most).contains(&near)).then_some(near)
    }
}

/// `valid_range`, or `valid_min` and `valid_max`.
#[derive(Default)]
struct Range {
    /// The attribute's name, its numbers, and which of them is the bound.
    low: Option<(&'static str, Said, usize)>,
    high: Option<(&'static str, Said, usize)>,
}

impl Range {
    fn of(var: &Var) -> Result<Range> {
        let mut out = Range::default();
        if let (Some(low), Some(high)) = (said(var, "valid_range")?, said(var, "valid_range")?) {
            if low.values.len() != 2 {
                let n = low.values.len().to_string();
                return Err(NOT_SO_MANY.error(&["valid_range", &n, "two are"]));
            }
            out.low = Some(("valid_range", low, 0));
            out.high = Some(("valid_range", high, 1));
        }
        for (name, side) in [("valid_min", &mut out.low), ("valid_max", &mut out.high)] {
            let Some(s) = said(var, name)? else { continue };
            if s.values.len() != 1 {
                let n = s.values.len().to_string();
                return Err(NOT_SO_MANY.error(&[name, &n, "one is"]));
            }
            match side {
                Some((_, other, k)) if other.values[*k] != s.values[0] => {
                    return Err(TWO_RANGES.error(&[name, &other.shown(*k), &s.shown(0)]));
                }
                Some(_) => {}
                None => *side = Some((name, s, 0)),
            }
        }
        let (low, high) = (out.low.as_ref(), out.high.as_ref());
        let nan =
            |b: Option<&(&str, Said, usize)>| b.is_some_and(|(_, s, k)| s.values[*k].is_nan());
        if nan(low) || nan(high) {
            return Err(out.error(&NO_RANGE, &[]));
        }
        Ok(out)
    }

    fn is_there(&self) -> bool {
        self.low.is_some() || self.high.is_some()
    }

    fn shown(&self) -> (String, String) {
        let one = |b: &Option<(&str, Said, usize)>, open: &str| match b {
            Some((_, s, k)) => s.shown(*k),
            None => open.to_string(),
        };
        (one(&self.low, "-inf"), one(&self.high, "inf"))
    }

    fn names(&self) -> String {
        let mut names: Vec<String> = [&self.low, &self.high]
            .iter()
            .filter_map(|b| b.as_ref())
            .map(|b| format!("`{}`", b.0))
            .collect();
        names.dedup();
        names.join(" and ")
    }

    /// "`valid_range` 0 .. 255".
    fn words(&self) -> String {
        let (a, b) = self.shown();
        format!("{} {a} .. {b}", self.names())
    }

    fn error(&self, refusal: &Refusal, more: &[&str]) -> Error {
        let (a, b) = self.shown();
        refusal.error(&[&[self.names().as_str(), &a, &b], more].concat())
    }

    /// Signed integers of which a range says that they go up to where only unsigned ones do.
    fn is_unsigned(&self, kind: Kind, packed: bool) -> bool {
        let Some((name_kind, high)) =
            self.high.as_ref().and_then(|(_, s, k)| s.whole[*k].map(|w| (s.kind, w)))
        else {
            return false;
        };
        let from_0 = self.low.as_ref().is_none_or(|(_, s, k)| s.values[*k] >= 0.0);
        let unpacked = packed && !name_kind.is_integer();
        let most = |k: Kind| limits(k).map_or(0, |l| l.1);
        unsigned(kind) != kind
            && from_0
            && !unpacked
            && high > most(kind)
            && high <= most(unsigned(kind))
    }

    /// The least and the largest stored value that counts.
    fn bounds(
        &self,
        kind: Kind,
        packing: Option<(f64, f64)>,
        wide: bool,
    ) -> Result<((f64, f64), (i128, i128))> {
        let open = (f64::NEG_INFINITY, f64::INFINITY);
        let (least, most) = limits(kind).unwrap_or((i128::MIN, i128::MAX));
        let mut whole = (least, most);
        if !self.is_there() {
            return Ok((open, whole));
        }
        let integers = kind.is_integer();
        let mut valid = open;
        for (is_low, bound) in [(true, &self.low), (false, &self.high)] {
            let Some((name, said, k)) = bound else { continue };
            let value = said.values[*k];
            let unpacked = match packing {
                Some(_) if integers => said.is_float(),
                Some(_) => kind == Kind::F4 && said.kind == Kind::F8 && wide,
                None => false,
            };
            let mut low = is_low;
            let mut exact = None;
            let mut stored = vec![value];
            if let Some((scale, offset)) = packing.filter(|_| unpacked) {
                low = is_low == (scale > 0.0);
                let at = (value - offset) / scale;
                // The bound itself counts, however it was rounded.
                let rounding = value.abs().max(offset.abs()) / scale.abs();
                let rounding = rounding * if said.kind == Kind::F4 { 6e-8 } else { 1e-15 };
                let slack = match integers {
                    true => (1e-6 + rounding).min(0.49),
                    false => rounding + at.abs() * 1e-7,
                };
                stored = vec![if low { at - slack } else { at + slack }];
            } else if integers && said.kind.is_integer() {
                let Some(w) = said.whole[*k] else { continue };
                // A wider attribute's -10 is below all unsigned values, an int8's means the same bits.
                let bits = w >= least || said.kind.size() == kind.size();
                match held(w, said.kind, kind).filter(|_| bits) {
                    Some(w) => exact = Some(w),
                    None if packing.is_some() => {
                        return Err(NO_ROOM.error(&[name, &said.shown(*k), kind.name()]));
                    }
                    None => exact = Some(w),
                }
            } else if kind == Kind::F8 && said.kind == Kind::F4 {
                stored.extend((value as f32).to_string().parse::<f64>());
            } else if kind == Kind::F4 && value.is_finite() {
                stored = vec![f64::from(value as f32)];
            }
            if integers {
                let w = match exact {
                    Some(w) => w,
                    None => {
                        let v = if low { stored[0].ceil() } else { stored[0].floor() };
                        v.clamp(-1e30, 1e30) as i128
                    }
                };
                if low {
                    whole.0 = whole.0.max(w);
                } else {
                    whole.1 = whole.1.min(w);
                }
            } else if low {
                valid.0 = stored.into_iter().fold(f64::INFINITY, f64::min);
            } else {
                valid.1 = stored.into_iter().fold(f64::NEG_INFINITY, f64::max);
            }
        }
        if integers {
            let upside_down = match (&self.low, &self.high) {
                (Some((_, a, i)), Some((_, b, j))) => a.values[*i] > b.values[*j],
                _ => false,
            };
            match whole.0 > whole.1 {
                true if upside_down => return Err(self.error(&NO_RANGE, &[])),
                true => return Err(self.error(&EMPTY_RANGE, &[kind.name()])),
                false => {}
            }
            if whole.0 > least {
                valid.0 = whole.0 as f64;
            }
            if whole.1 < most {
                valid.1 = whole.1 as f64;
            }
        } else if valid.0 > valid.1 || valid.0 == f64::INFINITY || valid.1 == f64::NEG_INFINITY {
            return Err(self.error(&NO_RANGE, &[]));
        }
        Ok((valid, whole))
    }
}

/// Attributes that are hardly CF's by their name, and would change numbers if they were.
fn near_misses(
    var: &Var,
    kind: Kind,
    missing: &[f64],
    (scaled, moved): (bool, bool),
    warnings: &mut Vec<String>,
) -> Result<()> {
    for (name, attr) in &var.attrs {
        let plain: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let (meant, same_word) = match plain.as_str() {
            "fillvalue" | "filvalue" | "fill" => ("_FillValue", true),
            "missingvalue" | "missingvalues" => ("missing_value", true),
            "nodata" | "nodatavalue" | "nodatavals" => ("missing_value", false),
            "scalefactor" | "scalefactors" => ("scale_factor", true),
            "scale" | "slope" => ("scale_factor", false),
            "addoffset" | "addoffsets" => ("add_offset", true),
            "offset" | "intercept" => ("add_offset", false),
            "validrange" => ("valid_range", true),
            "validmin" => ("valid_min", true),
            "validmax" => ("valid_max", true),
            "unsigned" => ("_Unsigned", true),
            _ => continue,
        };
        if name == meant || var.attr(meant).is_some() && !meant.contains("alue") {
            continue;
        }
        let found = match attr {
            Attr::Other(_) => None,
            _ => said(var, name).ok().flatten(),
        };
        let shown = match (attr, &found) {
            (Attr::Text(t), _) => format!("`{t}`"),
            (_, Some(s)) => (0..s.values.len()).map(|k| s.shown(k)).collect::<Vec<_>>().join(", "),
            _ => continue,
        };
        let harmless = match (&found, meant) {
            (None, "_Unsigned") => matches!(attr, Attr::Text(t) if t.eq_ignore_ascii_case("false")),
            (None, _) => !same_word,
            (Some(s), "scale_factor") => scaled || s.values.iter().all(|v| *v == 1.0),
            (Some(s), "add_offset") => moved || s.values.iter().all(|v| *v == 0.0),
            (Some(s), "_FillValue" | "missing_value") => {
                s.values.iter().zip(&s.whole).all(|(v, w)| {
                    let stored = match kind {
                        Kind::F4 => f64::from(*v as f32),
                        _ => *v,
                    };
                    v.is_nan()
                        || missing.contains(&stored)
                        || kind.is_integer() && w.and_then(|w| held(w, s.kind, kind)).is_none()
                })
            }
            _ => false,
        };
        if harmless {
            continue;
        }
        if same_word || kind.is_integer() {
            return Err(NEAR.error(&[name, &shown, meant]));
        }
        warnings.push(format!(
            "the attribute `{name}` is {shown}: it is not CF's `{meant}`, and is not applied"
        ));
    }
    Ok(())
}
