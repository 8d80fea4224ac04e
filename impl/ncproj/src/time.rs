//! CF time: "days since 1900-01-01" and a calendar -> microseconds since 1970-01-01 UTC.
//!
//! The days of a calendar that has dates which are none (30 February) are counted in that calendar and shown as text.

use crate::error::Result;
use crate::features::{Feature, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calendar {
    /// Julian before 15 October 1582, Gregorian from then on (CF's default).
    Standard,
    Proleptic,
    Julian,
    NoLeap,
    AllLeap,
    Days360,
}

/// What the microseconds of a time axis count: real days, or those of a calendar of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dates {
    #[default]
    Real,
    /// 12 months of 30 days.
    Days360,
    /// Every year has a 29 February.
    AllLeap,
}

impl Dates {
    /// The dates cannot be timestamps: they are texts.
    pub fn are_text(self) -> bool {
        self != Dates::Real
    }

    /// CF's name of the calendar in which the microseconds count.
    pub fn calendar(self) -> &'static str {
        match self {
            Dates::Real => "proleptic_gregorian",
            Dates::Days360 => "360_day",
            Dates::AllLeap => "all_leap",
        }
    }

    /// The same date as a real one, if it is one.
    pub fn real(self, us: i64) -> Option<i64> {
        let calendar = match self {
            Dates::Real => return Some(us),
            Dates::Days360 => Calendar::Days360,
            Dates::AllLeap => Calendar::AllLeap,
        };
        let day = day_number(calendar, 1970, 1, 1) + us.div_euclid(DAY_US);
        let (y, m, d) = own_date(calendar, day);
        let there = Calendar::Proleptic.has(y, m, d);
        there.then(|| (gregorian_jdn(y, m, d) - EPOCH_JDN) * DAY_US + us.rem_euclid(DAY_US))
    }

    /// "2005-01-31T06:00:00Z"; without the Z where the day is no real one.
    pub fn text(self, us: i64) -> String {
        let calendar = match self {
            Dates::Real => return iso(us),
            Dates::Days360 => Calendar::Days360,
            Dates::AllLeap => Calendar::AllLeap,
        };
        let (days, rest) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
        let (y, m, d) = own_date(calendar, day_number(calendar, 1970, 1, 1) + days);
        written((y, m, d), rest)
    }
}

/// A parsed `units` attribute together with its calendar.
#[derive(Clone, Debug)]
pub struct TimeUnits {
    /// Microseconds of one unit, as a fraction.
    unit: (i128, i128),
    calendar: Calendar,
    day: i64,
    us_of_day: i64,
    /// The values are dates themselves: 20050131.25.
    absolute: bool,
}

const DAY_US: i64 = 86_400_000_000;
const EPOCH_JDN: i64 = 2_440_588; // 1970-01-01

const OF: &str = "time";

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        OF,
        "`units`",
        "nanoseconds to weeks (and UDUNITS' short names, or `6 hours`) `since` a date, with a time of day and a time zone; kept to the microsecond",
    ),
    Feature::honoured(OF, "`units` `day as %Y%m%d.%f`", "the values are dates themselves"),
    Feature::honoured(
        OF,
        "`months since`, `years since`",
        "30 and 360 days in the calendar `360_day`; `common_years` are 365 days in `noleap`",
    ),
    Feature::honoured(
        OF,
        "`calendar` `standard`, `gregorian`, `proleptic_gregorian`, none",
        "timestamps in UTC; before 1582-10-15 the same day in the proleptic Gregorian calendar, with a warning",
    ),
    Feature::converted(
        OF,
        "`calendar` `julian`",
        "to the same day in the proleptic Gregorian calendar, with a warning",
    ),
    Feature::converted(
        OF,
        "`calendar` `noleap`, `365_day`",
        "to the real date of the same year, month and day",
    ),
    Feature::honoured(
        OF,
        "`calendar` `all_leap`, `366_day`",
        "the real dates, if all of a run are real; else as `360_day`",
    ),
    Feature::honoured(
        OF,
        "`calendar` `360_day`",
        "the column `time` is a text in that calendar, `2005-02-30T00:00:00`; `--time` compares its years, months and days; in netCDF a number with that calendar",
    ),
    Feature::honoured(OF, "units without `since`, texts", "the values themselves are the column"),
    Feature::honoured(
        OF,
        "a second dimension of times",
        "a column of its own, as text; `time` is the one whose `standard_name` is `time`, else the first; leads are numbers, their unit is in the metadata",
    ),
    Feature::honoured(
        OF,
        "a scalar time named by `coordinates`",
        "the time of all rows, where no dimension is a time; a `forecast_reference_time` is then a column of its own",
    ),
];

static NO_UNIT: Refusal = Refusal {
    of: OF,
    name: "units that are no CF time",
    message: "the time units `{}` cannot be read: {}",
    hint: "CF time reads like `days since 1900-01-01 00:00:00`",
};
static NO_LENGTH: Refusal = Refusal {
    of: OF,
    name: "`months since`, `years since` in other calendars",
    message: "the time units `{}` cannot be read: months and years have no fixed length in the calendar `{}`",
    hint: "write the times in days first (`cdo setreftime,1900-01-01,00:00:00,days`, or xarray)",
};
static NO_DATE: Refusal = Refusal {
    of: OF,
    name: "a reference date that the calendar does not have",
    message: "the time units `{}` cannot be read: the calendar `{}` has no {}",
    hint: "give the attribute `units` a date that there is, or the right `calendar` (`ncatted`)",
};
static NO_CALENDAR: Refusal = Refusal {
    of: OF,
    name: "an unknown `calendar`",
    message: "the calendar `{}` is not known",
    hint: "known are standard, proleptic_gregorian, julian, noleap, all_leap and 360_day",
};
static NO_SECONDS: Refusal = Refusal {
    of: OF,
    name: "`calendar` `utc`, `tai`, `none` and `month_lengths`",
    message: "the calendar `{}` is not one that ncproj can count in",
    hint: "write the file with the calendar `standard` first (xarray: `ds.convert_calendar`)",
};
static NO_TIME: Refusal = Refusal {
    of: OF,
    name: "missing or endless times",
    message: "the time value {} is no time",
    hint: "values of the time axis must be there, and within 28,000 years of 1970",
};

pub const REFUSALS: &[&Refusal] =
    &[&NO_UNIT, &NO_LENGTH, &NO_DATE, &NO_CALENDAR, &NO_SECONDS, &NO_TIME];

/// Does this `units` text look like CF time?
pub fn is_time(units: &str) -> bool {
    let words: Vec<String> = units.split_whitespace().map(str::to_ascii_lowercase).collect();
    let since = |w: &String| w == "since";
    words.iter().skip(1).any(since)
        || words.get(1).is_some_and(|w| ["after", "from", "ref", "@"].contains(&w.as_str()))
        || words.get(1).is_some_and(|w| w == "as") && units.contains('%')
}

impl Calendar {
    fn parse(name: &str) -> Result<Calendar> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "" | "standard" | "gregorian" => Calendar::Standard,
            "proleptic_gregorian" => Calendar::Proleptic,
            "julian" => Calendar::Julian,
            "noleap" | "365_day" => Calendar::NoLeap,
            "all_leap" | "366_day" => Calendar::AllLeap,
            "360_day" => Calendar::Days360,
            "utc" | "tai" | "none" | "month_lengths" => return Err(NO_SECONDS.error(&[name])),
            _ => return Err(NO_CALENDAR.error(&[name])),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Calendar::Standard => "standard",
            Calendar::Proleptic => "proleptic_gregorian",
            Calendar::Julian => "julian",
            Calendar::NoLeap => "noleap",
            Calendar::AllLeap => "all_leap",
            Calendar::Days360 => "360_day",
        }
    }

    /// The years 1 and -1 are neighbours.
    fn lacks_year_0(self) -> bool {
        matches!(self, Calendar::Standard | Calendar::Julian)
    }

    fn has(self, y: i64, m: i64, d: i64) -> bool {
        if self.lacks_year_0() && y == 0 {
            return false;
        }
        let counted = if self.lacks_year_0() && y < 0 { y + 1 } else { y };
        let fourth = counted.rem_euclid(4) == 0;
        let gregorian = fourth && (counted.rem_euclid(100) != 0 || counted.rem_euclid(400) == 0);
        let leap = match self {
            Calendar::Standard if y > 1582 => gregorian,
            Calendar::Standard | Calendar::Julian => fourth,
            Calendar::Proleptic => gregorian,
            Calendar::NoLeap => false,
            Calendar::AllLeap => true,
            Calendar::Days360 => return (1..=12).contains(&m) && (1..=30).contains(&d),
        };
        let longest = match m {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let dropped = self == Calendar::Standard && (y, m) == (1582, 10) && (5..15).contains(&d);
        (1..=12).contains(&m) && (1..=longest).contains(&d) && !dropped
    }

    /// The number of a day that there is.
    fn number(self, y: i64, m: i64, d: i64) -> i64 {
        day_number(self, if self.lacks_year_0() && y < 0 { y + 1 } else { y }, m, d)
    }
}

impl TimeUnits {
    pub fn parse(units: &str, calendar: &str) -> Result<TimeUnits> {
        let bad = |why: &str| NO_UNIT.error(&[units, why]);
        let calendar = Calendar::parse(calendar)?;
        let mut words = units.split_whitespace().peekable();
        let times = match words.peek().and_then(|w| w.parse::<u32>().ok()) {
            Some(n) => {
                words.next();
                i128::from(n)
            }
            None => 1,
        };
        let unit = words.next().unwrap_or("").to_ascii_lowercase();
        let joint = words.next().unwrap_or("").to_ascii_lowercase();
        if joint == "as" {
            let form = words.collect::<Vec<_>>().join(" ");
            if !matches!(unit.as_str(), "day" | "days")
                || !matches!(form.as_str(), "%Y%m%d.%f" | "%Y%m%d")
                || times != 1
            {
                return Err(bad("of dates as numbers only `day as %Y%m%d.%f` is known"));
            }
            let unit = (i128::from(DAY_US), 1);
            return Ok(TimeUnits { unit, calendar, day: 0, us_of_day: 0, absolute: true });
        }
        const DAY: i128 = DAY_US as i128;
        let (us, parts) =
            match unit.as_str() {
                "fortnights" | "fortnight" => (14 * DAY, 1),
                "weeks" | "week" => (7 * DAY, 1),
                "days" | "day" | "d" => (DAY, 1),
                "hours" | "hour" | "hrs" | "hr" | "h" => (3_600_000_000, 1),
                "minutes" | "minute" | "mins" | "min" => (60_000_000, 1),
                "seconds" | "second" | "secs" | "sec" | "s" => (1_000_000, 1),
                "milliseconds" | "millisecond" | "millisec" | "millisecs" | "msecs" | "msec"
                | "ms" => (1000, 1),
                "microseconds" | "microsecond" | "microsec" | "microsecs" | "usecs" | "usec"
                | "us" => (1, 1),
                "nanoseconds" | "nanosecond" | "nanosec" | "nanosecs" | "nsecs" | "nsec" | "ns" => {
                    (1, 1000)
                }
                "months" | "month" if calendar == Calendar::Days360 => (30 * DAY, 1),
                "years" | "year" if calendar == Calendar::Days360 => (360 * DAY, 1),
                "common_years" | "common_year" if calendar == Calendar::NoLeap => (365 * DAY, 1),
                "months" | "month" | "mon" | "years" | "year" | "yr" | "common_years"
                | "common_year" => return Err(NO_LENGTH.error(&[units, calendar.name()])),
                _ => return Err(bad("the unit is not known")),
            };
        if !["since", "after", "from", "ref", "@"].contains(&joint.as_str()) {
            return Err(bad("`since` is missing"));
        }
        if times == 0 {
            return Err(bad("the unit is 0"));
        }
        let rest: Vec<&str> = words.collect();
        let (date, clock) = split_reference(&rest.join(" "));
        let (y, m, d) = parse_date(&date).ok_or_else(|| bad("the date is not Y-M-D"))?;
        let us_of_day = parse_clock(&clock).ok_or_else(|| bad("the time of day is not h:m:s"))?;
        if !calendar.has(y, m, d) {
            let sign = if y < 0 { "-" } else { "" };
            let date = match y {
                0 if calendar.lacks_year_0() => "year 0".to_string(),
                y => format!("{sign}{:04}-{m:02}-{d:02}", y.abs()),
            };
            return Err(NO_DATE.error(&[units, calendar.name(), &date]));
        }
        let day = calendar.number(y, m, d);
        let unit = (us * times, parts);
        Ok(TimeUnits { unit, calendar, day, us_of_day, absolute: false })
    }

    /// What the microseconds of `decode` count.
    pub fn dates(&self) -> Dates {
        match self.calendar {
            Calendar::Days360 => Dates::Days360,
            Calendar::AllLeap => Dates::AllLeap,
            _ => Dates::Real,
        }
    }

    /// Why the date of a time is another than the file's own, where it is.
    pub fn shift(&self, us: i64) -> Option<&'static str> {
        let reform = (gregorian_jdn(1582, 10, 15) - EPOCH_JDN) * DAY_US;
        match self.calendar {
            Calendar::Julian => Some("the calendar `julian`"),
            Calendar::Standard if us < reform => Some("the calendar `standard` before 1582-10-15"),
            _ => None,
        }
    }

    /// Microseconds since 1970-01-01 (UTC where the dates are real) of one value of the axis.
    pub fn decode(&self, value: f64) -> Result<i64> {
        let unit = self.unit.0 as f64 / self.unit.1 as f64;
        if self.absolute {
            return self.date_as_number(value);
        }
        let us = value * unit;
        if !us.is_finite() || us.abs() > 9e17 {
            let shown = match value.abs() < 1e15 || value.is_nan() {
                true => value.to_string(),
                false => format!("{value:e}"),
            };
            return Err(NO_TIME.error(&[&shown]));
        }
        // A float cannot hold 1/24 of a day: take the whole millisecond that it stands for.
        let slack = (value.abs() * f64::EPSILON * unit).max(0.5);
        let milli = (us / 1e3).round() * 1e3;
        let us = if (us - milli).abs() <= slack { milli } else { us.round() };
        self.place(us as i64)
    }

    /// The same of a whole number, exactly.
    pub fn decode_whole(&self, value: i64) -> Result<i64> {
        if self.absolute {
            return self.date_as_number(value as f64);
        }
        let (n, parts) = (i128::from(value) * self.unit.0, self.unit.1);
        let us = (n + parts / 2).div_euclid(parts);
        match i64::try_from(us) {
            Ok(us) if us.abs() <= 900_000_000_000_000_000 => self.place(us),
            _ => Err(NO_TIME.error(&[&value.to_string()])),
        }
    }

    /// 20050131.25 is six o'clock on 31 January 2005.
    fn date_as_number(&self, value: f64) -> Result<i64> {
        let none = || NO_TIME.error(&[&value.to_string()]);
        if !(-1e9..1e9).contains(&value) {
            return Err(none());
        }
        let date = value.abs().floor();
        // Eight digits before the point leave a float half a dozen behind it: whole seconds.
        let us = ((value.abs() - date) * 86_400.0).round() as i64 * 1_000_000;
        let (date, sign) = (date as i64, if value < 0.0 { -1 } else { 1 });
        let (y, m, d) = (sign * (date / 10_000), date / 100 % 100, date % 100);
        if !self.calendar.has(y, m, d) {
            return Err(none());
        }
        let from = TimeUnits { day: self.calendar.number(y, m, d), ..self.clone() };
        from.place(us)
    }

    /// Microseconds after the reference -> microseconds since 1970.
    fn place(&self, us: i64) -> Result<i64> {
        let total = us + self.us_of_day;
        let (days, rest) = (total.div_euclid(DAY_US), total.rem_euclid(DAY_US));
        Ok(epoch_day(self.calendar, self.day + days) * DAY_US + rest)
    }
}

/// As `period`, in a calendar whose days are not all real: the years, months and days are compared, and a day that a month does not
/// have lies behind its last.
pub fn period_in(dates: Dates, text: &str) -> Option<(i64, i64)> {
    let calendar = match dates {
        Dates::Real => return period(text),
        Dates::Days360 => Calendar::Days360,
        Dates::AllLeap => Calendar::AllLeap,
    };
    let start = |y: i64, m: i64, d: i64| {
        (day_number(calendar, y, m, d) - day_number(calendar, 1970, 1, 1)) * DAY_US
    };
    let longest = |m: i64| match (calendar, m) {
        (Calendar::Days360, _) => 30,
        (_, 2) => 29,
        (_, 4 | 6 | 9 | 11) => 30,
        _ => 31,
    };
    let after = |y: i64, m: i64| if m == 12 { start(y + 1, 1, 1) } else { start(y, m + 1, 1) };
    span(text, |y, m, d| {
        let begins = if d > longest(m) { after(y, m) } else { start(y, m, d) };
        let ends = if d >= longest(m) { after(y, m) } else { start(y, m, d + 1) };
        (d <= 31).then_some((begins, ends))
    })
}

/// An ISO date or a part of one ("2005", "2005-03", "2005-03-01", "2005-03-01T06", "..T06:30", "..T06:30:15") -> when it begins
/// and when it is over, in microseconds since 1970-01-01 UTC (Gregorian).
pub fn period(text: &str) -> Option<(i64, i64)> {
    let start = |y: i64, m: i64, d: i64| (gregorian_jdn(y, m, d) - EPOCH_JDN) * DAY_US;
    span(text, |y, m, d| {
        let there = Calendar::Proleptic.has(y, m, d);
        there.then(|| (start(y, m, d), start(y, m, d) + DAY_US))
    })
}

/// `day` says when a day begins and ends, if there is one.
fn span(text: &str, day: impl Fn(i64, i64, i64) -> Option<(i64, i64)>) -> Option<(i64, i64)> {
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((d, c)) => (d, Some(c.trim_end_matches(['Z', 'z']))),
        None => (text, None),
    };
    let (y, m, d) = parse_date(date)?;
    let parts = date.trim_start_matches('-').split('-').count();
    if !(1..=12).contains(&m) || d < 1 {
        return None;
    }
    let (from, until) = day(y, m, d)?;
    match clock {
        None => Some(match parts {
            1 => (from, day(y + 1, 1, 1)?.0),
            2 if m == 12 => (from, day(y + 1, 1, 1)?.0),
            2 => (from, day(y, m + 1, 1)?.0),
            _ => (from, until),
        }),
        Some(clock) if parts == 3 && !clock.contains(['+', '-']) => {
            let from = from + parse_clock(clock)?;
            let lasts = match clock.split(':').count() {
                _ if clock.is_empty() => return None,
                1 => 3_600_000_000,
                2 => 60_000_000,
                _ if clock.contains('.') => 1,
                _ => 1_000_000,
            };
            Some((from, from + lasts))
        }
        Some(_) => None,
    }
}

/// "1900-01-01T00:00:00Z", "1900-1-1 0:0:0.0 +01:00" -> the date and the clock.
fn split_reference(text: &str) -> (String, String) {
    match text.find(['T', ' ', 't']) {
        Some(i) => (text[..i].to_string(), text[i + 1..].trim().to_string()),
        None => (text.to_string(), String::new()),
    }
}

fn parse_date(text: &str) -> Option<(i64, i64, i64)> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    // "20000101": the parts without signs between them.
    if body.len() == 8 && body.bytes().all(|b| b.is_ascii_digit()) {
        let part = |from: usize, to: usize| body.get(from..to)?.parse().ok();
        return Some((sign * part(0, 4)?, part(4, 6)?, part(6, 8)?));
    }
    let mut parts = body.split('-');
    let y: i64 = parts.next()?.parse().ok()?;
    let m: i64 = parts.next().map_or(Some(1), |p| p.parse().ok())?;
    let d: i64 = parts.next().map_or(Some(1), |p| p.parse().ok())?;
    (parts.next().is_none() && y.abs() < 100_000).then_some((sign * y, m, d))
}

/// Microseconds of the day, taken to UTC.
fn parse_clock(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches("UTC").trim_end_matches("GMT").trim();
    let text = text.trim_end_matches(['Z', 'z']).trim();
    let cut = text.find(['+', '-']);
    let (clock, zone) = cut.map_or((text, ""), |i| (text[..i].trim(), &text[i..]));
    let mut us = 0i64;
    if !clock.is_empty() {
        let scale = [3_600_000_000f64, 60_000_000.0, 1_000_000.0];
        let parts: Vec<&str> = clock.split(':').collect();
        if parts.len() > 3 {
            return None;
        }
        for ((part, s), most) in parts.iter().zip(scale).zip([25.0, 60.0, 60.0]) {
            let v: f64 = part.trim().parse().ok()?;
            if !(0.0..most).contains(&v) {
                return None;
            }
            us += (v * s).round() as i64;
        }
        if us > DAY_US {
            return None; // 24:00 is the end of the day, nothing comes after
        }
    }
    if zone.is_empty() {
        return Some(us);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone[1..].trim();
    let (h, m) = match digits.split_once(':') {
        Some((h, m)) => (h.parse::<i64>().ok()?, m.parse::<i64>().ok()?),
        None if digits.len() == 4 => {
            (digits.get(..2)?.parse().ok()?, digits.get(2..)?.parse().ok()?)
        }
        None => (digits.parse().ok()?, 0),
    };
    if !(0..=18).contains(&h) || !(0..60).contains(&m) {
        return None;
    }
    Some(us - sign * (h * 3600 + m * 60) * 1_000_000)
}

const MONTHS: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// A day's number in its own calendar; only differences within one calendar mean something.
fn day_number(calendar: Calendar, y: i64, m: i64, d: i64) -> i64 {
    match calendar {
        Calendar::Proleptic => gregorian_jdn(y, m, d),
        Calendar::Julian => julian_jdn(y, m, d),
        Calendar::Standard if (y, m, d) >= (1582, 10, 15) => gregorian_jdn(y, m, d),
        Calendar::Standard => julian_jdn(y, m, d),
        Calendar::NoLeap => y * 365 + MONTHS[(m - 1) as usize] + d - 1,
        Calendar::AllLeap => y * 366 + MONTHS[(m - 1) as usize] + i64::from(m > 2) + d - 1,
        Calendar::Days360 => y * 360 + (m - 1) * 30 + d - 1,
    }
}

/// The date of a day numbered by `day_number`, in the calendars whose years are all alike.
fn own_date(calendar: Calendar, day: i64) -> (i64, i64, i64) {
    if calendar == Calendar::Days360 {
        let (y, of_year) = (day.div_euclid(360), day.rem_euclid(360));
        return (y, of_year / 30 + 1, of_year % 30 + 1);
    }
    let leap = i64::from(calendar == Calendar::AllLeap);
    let (y, of_year) = (day.div_euclid(365 + leap), day.rem_euclid(365 + leap));
    let begins = |m: usize| MONTHS[m - 1] + if m > 2 { leap } else { 0 };
    let m = (1..=12).rev().find(|&m| begins(m) <= of_year).unwrap_or(1);
    (y, m as i64, of_year - begins(m) + 1)
}

/// Days since 1970-01-01 of a day numbered by `day_number`.
fn epoch_day(calendar: Calendar, day: i64) -> i64 {
    match calendar {
        Calendar::Standard | Calendar::Proleptic | Calendar::Julian => day - EPOCH_JDN,
        Calendar::NoLeap => {
            let (y, m, d) = own_date(calendar, day);
            gregorian_jdn(y, m, d) - EPOCH_JDN
        }
        Calendar::AllLeap | Calendar::Days360 => day - day_number(calendar, 1970, 1, 1),
    }
}

/// Julian day number of a date of the (proleptic) Gregorian calendar.
fn gregorian_jdn(y: i64, m: i64, d: i64) -> i64 {
    let y = y - i64::from(m <= 2);
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468 + EPOCH_JDN
}

fn julian_jdn(y: i64, m: i64, d: i64) -> i64 {
    let y = y - i64::from(m <= 2);
    let of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    y.div_euclid(4) * 1461 + y.rem_euclid(4) * 365 + of_year + 1_721_118
}

/// "2005-01-31T06:00:00Z", with the fraction only where there is one.
pub fn iso(us: i64) -> String {
    let (days, rest) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    written((y, m, d), rest) + "Z"
}

fn written((y, m, d): (i64, i64, i64), rest: i64) -> String {
    let (s, frac) = (rest / 1_000_000, rest % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    let frac = if frac == 0 { String::new() } else { format!(".{frac:06}") };
    let sign = if y < 0 { "-" } else { "" };
    format!("{sign}{:04}-{m:02}-{d:02}T{clock}{frac}", y.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(units: &str, calendar: &str, value: f64) -> String {
        let units = TimeUnits::parse(units, calendar).unwrap();
        units.dates().text(units.decode(value).unwrap())
    }

    #[test]
    fn days_since_1900_are_real_dates() {
        // 105 years of which 26 are leap years: 105 * 365 + 26 = 38351 days to 2005-01-01
        assert_eq!(
            at("days since 1900-01-01 00:00:00", "standard", 38351.0),
            "2005-01-01T00:00:00Z"
        );
        assert_eq!(at("hours since 1970-01-01", "", 6.0), "1970-01-01T06:00:00Z");
        assert_eq!(at("days since 2000-2-28", "gregorian", 1.0), "2000-02-29T00:00:00Z");
        assert_eq!(
            at("seconds since 1970-1-1 0:0:0.5 +01:00", "", 3600.0),
            "1970-01-01T00:00:00.500000Z"
        );
    }

    #[test]
    fn years_before_christ_have_four_digits() {
        // the proleptic year -5 begins at its own first day
        assert_eq!(at("days since -5-01-01", "proleptic_gregorian", 0.0), "-0005-01-01T00:00:00Z");
    }

    #[test]
    fn a_year_without_leap_days_keeps_its_dates() {
        // 365 * 4 days later is the same date four years on
        assert_eq!(at("days since 2000-01-01", "noleap", 59.0), "2000-03-01T00:00:00Z");
        assert_eq!(at("days since 2000-01-01", "365_day", 1460.0), "2004-01-01T00:00:00Z");
        // 31 days of January and 28 of February lie before its 29th
        assert_eq!(at("days since 2001-01-01", "all_leap", 59.0), "2001-02-29T00:00:00");
    }

    #[test]
    fn the_standard_calendar_is_julian_before_1582() {
        // two days before the year 1 of the Gregorian calendar began, the Julian one did
        assert_eq!(at("days since 0001-01-01", "standard", 719_164.0), "1970-01-01T00:00:00Z");
        assert_eq!(
            at("days since 0001-01-01", "proleptic_gregorian", 719_162.0),
            "1970-01-01T00:00:00Z"
        );
        assert_eq!(at("days since 1582-10-04", "standard", 1.0), "1582-10-15T00:00:00Z");
    }

    #[test]
    fn an_hour_kept_as_a_float_is_a_whole_hour() {
        assert_eq!(at("days since 1900-01-01", "", 38351.0 + 1.0 / 24.0), "2005-01-01T01:00:00Z");
        assert_eq!(at("days since 1900-01-01", "", 38351.0 + 23.0 / 24.0), "2005-01-01T23:00:00Z");
    }

    #[test]
    fn a_year_of_360_days_has_a_thirtieth_of_february() {
        assert_eq!(at("days since 2005-01-01", "360_day", 59.25), "2005-02-30T06:00:00");
        assert_eq!(at("months since 2005-01-01", "360_day", 1.5), "2005-02-16T00:00:00");
        assert_eq!(at("years since 1969-12-30", "360_day", -1.0), "1968-12-30T00:00:00");
        let day = |text: &str| period_in(Dates::Days360, text).unwrap();
        // 35 years of 360 days; the month ends with its 30th, and a 31st lies behind it
        assert_eq!(day("2005-01"), (35 * 360 * DAY_US, (35 * 360 + 30) * DAY_US));
        assert_eq!(day("2005-01-31").0, day("2005-01-30").1);
        assert_eq!(day("2005-02-30").1, day("2005-03").0);
    }

    #[test]
    fn a_date_that_the_calendar_lacks_is_refused() {
        for (date, calendar, there) in [
            ("1582-10-10", "standard", false),
            ("1582-10-10", "proleptic_gregorian", true),
            ("2001-02-29", "noleap", false),
            ("2001-02-29", "all_leap", true),
            ("1900-02-29", "standard", false),
            ("1900-02-29", "julian", true),
            ("1500-02-29", "standard", true),
            ("0000-01-01", "standard", false),
            ("0000-02-29", "proleptic_gregorian", true),
            ("0000-01-01", "360_day", true),
        ] {
            let got = TimeUnits::parse(&format!("days since {date}"), calendar);
            assert_eq!(got.is_ok(), there, "{date} {calendar}");
        }
    }

    #[test]
    fn whole_numbers_of_any_size_are_exact() {
        let ns = TimeUnits::parse("nanoseconds since 1970-01-01", "").unwrap();
        // 2^60 + 1000 ns and 2^60 ns are 1 microsecond apart; a float64 holds neither
        let (a, b) = ((1i64 << 60) + 1000, 1i64 << 60);
        assert_eq!(ns.decode_whole(a).unwrap() - ns.decode_whole(b).unwrap(), 1);
        let us = TimeUnits::parse("microseconds since 1970-01-01", "").unwrap();
        assert_eq!(us.decode(1001.0).unwrap(), 1001);
    }

    #[test]
    fn what_is_no_calendar_is_refused() {
        assert!(TimeUnits::parse("days since 1900-01-31", "360_day").is_err());
        assert!(TimeUnits::parse("months since 1900-01-01", "").is_err());
        assert!(TimeUnits::parse("days since 1900-13-01", "").is_err());
        assert!(!is_time("kelvin"));
        assert!(is_time("Days since 1900-01-01"));
    }
}
