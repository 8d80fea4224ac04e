//! Files whose variables become one column and do not mean the same; units that are asked for.

use crate::common::*;
use crate::snapshot::Area;

/// `v` and `u` on the grid of `v.idx` at one day; `attrs` are those of `v`.
fn day(day: f64, calendar: &str, attrs: &[(&str, &str)]) -> Vec<u8> {
    let axis = |from: f64| vec![from, from + 1.0, from + 2.0];
    let time = [("units", "days since 2000-01-01"), ("calendar", calendar)];
    Classic::default()
        .dim("time", 1)
        .dim("lat", 3)
        .dim("lon", 3)
        .dim("one", 1)
        .var("time", DOUBLE, &["time"], &time, &[day])
        .var("lat", DOUBLE, &["lat"], NORTH, &axis(40.5))
        .var("lon", DOUBLE, &["lon"], EAST, &axis(260.5))
        .var("height", DOUBLE, &["one"], &[("units", "m")], &[2.0 + 8.0 * day])
        .var("v", FLOAT, &["time", "lat", "lon"], attrs, &[1.0; 9])
        .var("u", FLOAT, &["time", "lat", "lon"], &[("units", "K")], &[1.0; 9])
        .bytes()
}

#[test]
fn files_together() {
    let mut a = Area::new("together");
    let mut pair = |title: &str, one: &[(&str, &str)], other: &[(&str, &str)]| {
        a.write("a.nc", day(0.0, "standard", one));
        a.write("b.nc", day(1.0, "standard", other));
        a.says(title, "aggregate --index v.idx --variables v a.nc b.nc -o o.csv");
    };
    pair("units of one kind", &[("units", "K")], &[("units", "degC")]);
    pair("units of two kinds", &[("units", "mm")], &[("units", "kg m-2")]);
    pair("a unit and none", &[("units", "K")], &[]);
    pair("other methods", &[("cell_methods", "time: mean")], &[("cell_methods", "time: sum")]);
    pair(
        "a difference and a temperature",
        &[("units", "K"), ("cell_methods", "time: range")],
        &[("units", "K")],
    );
    pair("another height", &[("coordinates", "height")], &[("coordinates", "height")]);
    a.write("b.nc", day(1.0, "noleap", &[]));
    a.says("another calendar", "aggregate --index v.idx --variables v a.nc b.nc -o o.csv");
    a.says("two variables, one name", "aggregate --index v.idx --variables v=x,u=x a.nc -o o.csv");
    let level = |unit: &str, day: f64| {
        Classic::default()
            .dim("time", 1)
            .dim("lev", 1)
            .dim("lat", 3)
            .dim("lon", 3)
            .var("time", DOUBLE, &["time"], &[("units", "days since 2000-01-01")], &[day])
            .var("lev", DOUBLE, &["lev"], &[("units", unit)], &[500.0])
            .var("lat", DOUBLE, &["lat"], NORTH, &[40.5, 41.5, 42.5])
            .var("lon", DOUBLE, &["lon"], EAST, &[260.5, 261.5, 262.5])
            .var("v", FLOAT, &["time", "lev", "lat", "lon"], &[], &[1.0; 9])
            .bytes()
    };
    a.write("a.nc", level("hPa", 0.0));
    a.write("b.nc", level("m", 1.0));
    a.says("another unit of levels", "aggregate --index v.idx a.nc b.nc -o o.csv");
    a.finish();
}

#[test]
fn units_asked_for() {
    let mut a = Area::new("convert");
    let run = "aggregate --index v.idx --variables v a.nc -o o.csv --convert";
    a.write("a.nc", day(0.0, "standard", &[("units", "K")]));
    a.says("no variable of the name", &format!("{run} w=degC"));
    a.says("no unit", &format!("{run} v="));
    a.says("an unknown unit", &format!("{run} v=xyz"));
    a.says("two units", &format!("{run} K,degC"));
    a.says("a unit of another kind", &format!("{run} mm"));
    a.write("a.nc", day(0.0, "standard", &[]));
    a.says("a variable without a unit", &format!("{run} degC"));
    a.write("a.nc", day(0.0, "standard", &[("units", "dBZ")]));
    a.says("from an unknown unit", &format!("{run} degC"));
    let unsure = [("units", "K"), ("units_metadata", "temperature: unknown")];
    a.write("a.nc", day(0.0, "standard", &unsure));
    a.says("perhaps a difference", &format!("{run} degC"));
    a.finish();
}
