//! CF time: "days since 1900-01-01" and a calendar -> microseconds since 1970-01-01 UTC.

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Julian before 15 October 1582, Gregorian from then on (CF's default).
    Standard,
    Proleptic,
    Julian,
    NoLeap,
    AllLeap,
}

/// A parsed `units` attribute together with its calendar.
#[derive(Clone, Debug)]
pub struct TimeUnits {
    unit_us: f64,
    calendar: Calendar,
    day: i64,
    us_of_day: i64,
}

const DAY_US: i64 = 86_400_000_000;
const EPOCH_JDN: i64 = 2_440_588; // 1970-01-01

/// Does this `units` text look like CF time?
pub fn is_time(units: &str) -> bool {
    let mut words = units.split_whitespace();
    words.next().is_some() && words.next().is_some_and(|w| w.eq_ignore_ascii_case("since"))
}

impl TimeUnits {
    pub fn parse(units: &str, calendar: &str) -> Result<TimeUnits> {
        let bad = |why: &str| {
            Error::data(format!("the time units `{units}` cannot be read: {why}"))
                .hint("CF time reads like `days since 1900-01-01 00:00:00`")
        };
        let calendar = match calendar.to_ascii_lowercase().as_str() {
            "" | "standard" | "gregorian" => Calendar::Standard,
            "proleptic_gregorian" => Calendar::Proleptic,
            "julian" => Calendar::Julian,
            "noleap" | "365_day" => Calendar::NoLeap,
            "all_leap" | "366_day" => Calendar::AllLeap,
            "360_day" => {
                return Err(Error::data(
                    "the calendar is `360_day`: its 30 February is no real date",
                )
                .hint(
                    "convert the file to a real calendar first (xarray: `ds.convert_calendar`)",
                ));
            }
            other => {
                return Err(Error::data(format!("the calendar `{other}` is not known"))
                    .hint("known are standard, proleptic_gregorian, julian, noleap and all_leap"));
            }
        };
        let mut words = units.split_whitespace();
        let unit = words.next().unwrap_or("").to_ascii_lowercase();
        let unit_us = match unit.as_str() {
            "weeks" | "week" => 7.0 * DAY_US as f64,
            "days" | "day" | "d" => DAY_US as f64,
            "hours" | "hour" | "hrs" | "hr" | "h" => 3.6e9,
            "minutes" | "minute" | "mins" | "min" => 6e7,
            "seconds" | "second" | "secs" | "sec" | "s" => 1e6,
            "milliseconds" | "millisecond" | "millisec" | "msecs" | "msec" | "ms" => 1e3,
            "microseconds" | "microsecond" | "microsec" | "us" => 1.0,
            "months" | "month" | "years" | "year" => {
                return Err(bad("months and years have no fixed length"));
            }
            _ => return Err(bad("the unit is not known")),
        };
        if !words.next().is_some_and(|w| w.eq_ignore_ascii_case("since")) {
            return Err(bad("`since` is missing"));
        }
        let rest: Vec<&str> = words.collect();
        let (date, clock) = split_reference(&rest.join(" "));
        let (y, m, d) = parse_date(&date).ok_or_else(|| bad("the date is not Y-M-D"))?;
        let us_of_day = parse_clock(&clock).ok_or_else(|| bad("the time of day is not h:m:s"))?;
        let longest = match m {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=12).contains(&m) || !(1..=longest).contains(&d) {
            return Err(bad("there is no such date"));
        }
        Ok(TimeUnits { unit_us, calendar, day: day_number(calendar, y, m, d), us_of_day })
    }

    /// Microseconds since 1970-01-01 UTC of one value of the axis.
    pub fn decode(&self, value: f64) -> Result<i64> {
        let us = value * self.unit_us;
        if !us.is_finite() || us.abs() > 9e17 {
            let shown = match value.abs() < 1e15 {
                true => value.to_string(),
                false => format!("{value:e}"),
            };
            return Err(Error::data(format!("the time value {shown} is no time"))
                .hint("values of the time axis must be there, and within 28,000 years of 1970"));
        }
        // A float cannot hold 1/24 of a day: take the whole millisecond that it stands for.
        let slack = (value.abs() * f64::EPSILON * self.unit_us).max(1.0);
        let milli = (us / 1e3).round() * 1e3;
        let us = if (us - milli).abs() <= slack { milli } else { us.round() };
        let total = us as i64 + self.us_of_day;
        let (days, rest) = (total.div_euclid(DAY_US), total.rem_euclid(DAY_US));
        Ok(epoch_day(self.calendar, self.day + days)? * DAY_US + rest)
    }
}

/// An ISO date or a part of one ("2005", "2005-03", "2005-03-01", "2005-03-01T06", "..T06:30", "..T06:30:15") -> when it begins
/// and when it is over, in microseconds since 1970-01-01 UTC (Gregorian).
pub fn period(text: &str) -> Option<(i64, i64)> {
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((d, c)) => (d, Some(c.trim_end_matches(['Z', 'z']))),
        None => (text, None),
    };
    let (y, m, d) = parse_date(date)?;
    let parts = date.trim_start_matches('-').split('-').count();
    let start = |y: i64, m: i64, d: i64| (gregorian_jdn(y, m, d) - EPOCH_JDN) * DAY_US;
    let month_after = if m == 12 { start(y + 1, 1, 1) } else { start(y, m + 1, 1) };
    if !(1..=12).contains(&m) || d < 1 || start(y, m, d) >= month_after {
        return None;
    }
    let from = start(y, m, d);
    match clock {
        None => Some(match parts {
            1 => (from, start(y + 1, 1, 1)),
            2 => (from, month_after),
            _ => (from, from + DAY_US),
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
        for ((part, s), most) in parts.iter().zip(scale).zip([24.0, 60.0, 60.0]) {
            let v: f64 = part.trim().parse().ok()?;
            if !(0.0..=most).contains(&v) {
                return None;
            }
            us += (v * s).round() as i64;
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
    }
}

/// Days since 1970-01-01 of a day numbered by `day_number`.
fn epoch_day(calendar: Calendar, day: i64) -> Result<i64> {
    let leap = i64::from(calendar == Calendar::AllLeap);
    match calendar {
        Calendar::Standard | Calendar::Proleptic | Calendar::Julian => Ok(day - EPOCH_JDN),
        Calendar::NoLeap | Calendar::AllLeap => {
            let (y, of_year) = (day.div_euclid(365 + leap), day.rem_euclid(365 + leap));
            let begins = |m: usize| MONTHS[m - 1] + if m > 2 { leap } else { 0 };
            let m = (1..=12).rev().find(|&m| begins(m) <= of_year).unwrap_or(1);
            let d = of_year - begins(m) + 1;
            let is_leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            if m == 2 && d == 29 && !is_leap {
                return Err(Error::data(format!(
                    "the time axis holds {y}-02-29 (calendar `all_leap`), which is no real date"
                ))
                .hint(
                    "convert the file to a real calendar first (xarray: `ds.convert_calendar`)",
                ));
            }
            Ok(gregorian_jdn(y, m as i64, d) - EPOCH_JDN)
        }
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
    let (s, frac) = (rest / 1_000_000, rest % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    let frac = if frac == 0 { String::new() } else { format!(".{frac:06}") };
    let sign = if y < 0 { "-" } else { "" };
    format!("{sign}{:04}-{m:02}-{d:02}T{clock}{frac}Z", y.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(units: &str, calendar: &str, value: f64) -> String {
        iso(TimeUnits::parse(units, calendar).unwrap().decode(value).unwrap())
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
        assert_eq!(at("days since 2000-01-01", "all_leap", 59.0), "2000-02-29T00:00:00Z");
        assert!(
            TimeUnits::parse("days since 2001-01-01", "all_leap").unwrap().decode(59.0).is_err()
        );
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
    fn what_is_no_calendar_is_refused() {
        assert!(TimeUnits::parse("days since 1900-01-01", "360_day").is_err());
        assert!(TimeUnits::parse("months since 1900-01-01", "").is_err());
        assert!(TimeUnits::parse("days since 1900-13-01", "").is_err());
        assert!(!is_time("kelvin"));
        assert!(is_time("Days since 1900-01-01"));
    }
}
