//! What is asked of which file: variables, axes, times, files beside and after each other, regions, weights.

use crate::common::*;
use crate::snapshot::Area;

const LAT: [f64; 3] = [40.5, 41.5, 42.5];
const LON: [f64; 3] = [260.5, 261.5, 262.5];

/// The grid of `v.nc` with further dimensions before it.
fn stack(dims: &[(&str, usize)]) -> Classic {
    let mut c = Classic::default();
    for (name, n) in dims {
        c = c.dim(name, *n);
    }
    c.dim("lat", 3).dim("lon", 3).var("lat", DOUBLE, &["lat"], NORTH, &LAT).var(
        "lon",
        DOUBLE,
        &["lon"],
        EAST,
        &LON,
    )
}

fn timed(units: &str, calendar: &str, times: &[f64]) -> Vec<u8> {
    stack(&[("time", times.len())])
        .var("time", DOUBLE, &["time"], &[("units", units), ("calendar", calendar)], times)
        .var("v", FLOAT, &["time", "lat", "lon"], &[], &vec![1.0; 9 * times.len()])
        .bytes()
}

#[test]
fn variables_and_axes() {
    let mut a = Area::new("variables");
    let run = "aggregate --index v.idx -o o.csv";
    a.says("a variable that is not there", &format!("{run} --variables vv v.nc"));
    a.says("an empty name", &format!("{run} --variables v, v.nc"));
    a.says("a file alone", &format!("{run} --variables v: v.nc"));
    a.says("no new name", &format!("{run} --variables v= v.nc"));
    a.says("twice by the same name", &format!("{run} --variables v,v v.nc"));
    a.says("twice by two names", &format!("{run} --variables v=a,v=b v.nc"));
    a.says("a file twice", &format!("{run} v.nc v.nc"));
    a.says("a file that is named otherwise", &format!("{run} --variables max:v v.nc"));
    std::fs::copy(a.t.0.join("v.nc"), a.t.0.join("w.nc")).expect("a copy");
    a.says("two files with one name", &format!("{run} v.nc w.nc"));
    std::fs::create_dir(a.t.0.join("b")).expect("a folder");
    std::fs::copy(a.t.0.join("v.nc"), a.t.0.join("b/v.nc")).expect("a copy");
    a.says("two files of one name", &format!("{run} v.nc b/v.nc"));
    a.says("no file has the other variable", &format!("{run} --variables v,u v.nc"));
    a.says("no file of such a name", &format!("{run} --variables v=b,x*:v=c v.nc"));
    let bounds = stack(&[]).var("v", FLOAT, &["lat", "lon"], &[], &[1.0; 9]);
    let bounds = bounds.var("n", DOUBLE, &["lat"], &[("bounds", "v")], &LAT);
    a.write("x.nc", bounds.bytes());
    a.says("nothing but bounds", &format!("{run} x.nc"));
    a.says("bounds that are asked for", &format!("{run} --variables v x.nc"));
    a.write("x.nc", Classic::default().dim("a", 3).var("a", DOUBLE, &["a"], &[], &LAT).bytes());
    a.says("no grid", &format!("{run} x.nc"));
    a.says("a variable without a grid", &format!("{run} --variables a x.nc"));
    a.write("x.nc", timed("days since 2005-01-01", "", &[]));
    a.says("no steps", &format!("{run} x.nc"));
    let deep = stack(&[("lev", 70_000_000)]).var("v", FLOAT, &["lev", "lat", "lon"], &[], &[]);
    a.write("x.nc", deep.bytes());
    a.says("too many steps", &format!("{run} x.nc"));
    for (title, units, calendar, value) in [
        ("months have no length", "months since 2005-01-01", "", 0.0),
        ("a unit that nobody knows", "moons since 2005-01-01", "", 0.0),
        ("a unit of nothing", "0 days since 2005-01-01", "", 0.0),
        ("dates as numbers of another form", "month as %Y%m.%f", "", 200501.0),
        ("no date", "days since yesterday", "", 0.0),
        ("no time of day", "days since 2005-01-01 noon", "", 0.0),
        ("an hour that is none", "days since 2005-01-01 25:00", "", 0.0),
        ("a zone that is none", "days since 2005-01-01 00:00 +99:99", "", 0.0),
        ("a zone that is no number", "days since 2005-01-01 00:00 +9\u{e9}9", "", 0.0),
        ("no such date", "days since 2005-13-41", "", 0.0),
        ("a day that months of 30 days lack", "days since 2005-01-31", "360_day", 0.0),
        ("a calendar that nobody knows", "days since 2005-01-01", "mayan", 0.0),
        ("seconds that are counted otherwise", "days since 2005-02-28", "tai", 1.0),
        ("a time that is missing", "days since 2005-01-01", "", f64::NAN),
        ("a time that cannot be", "days since 2005-01-01", "", 1e30),
    ] {
        a.write("x.nc", timed(units, calendar, &[value]));
        a.says(title, &format!("{run} x.nc"));
    }
    a.says("info: a time that cannot be", "info x.nc");
    for (title, calendar) in
        [("a calendar of another era", "julian"), ("days before a reform", "standard")]
    {
        a.write("x.nc", timed("days since 1500-01-01", calendar, &[0.0]));
        a.says(title, &format!("{run} x.nc"));
    }
    a.says(
        "no such group",
        "index --regions r.geojson --key id --grid v.nc --group nodel -o o.idx",
    );
    a.finish();
}

#[test]
fn files_beside_each_other() {
    let mut a = Area::new("files");
    let run = "aggregate --index v.idx -o o.csv";
    let days = "days since 2005-01-01";
    let still = |name: &str| stack(&[]).var(name, FLOAT, &["lat", "lon"], &[], &[1.0; 9]).bytes();
    a.write("still.nc", still("h"));
    a.says("no time to be put in order by", &format!("{run} v.nc still.nc"));
    a.write("x.nc", timed(days, "", &[1.0, 2.0]));
    a.says("times that overlap", &format!("{run} v.nc x.nc"));
    let member = stack(&[("time", 1), ("member", 2)])
        .var("time", DOUBLE, &["time"], &[("units", days)], &[9.0])
        .var("v", FLOAT, &["time", "member", "lat", "lon"], &[], &[1.0; 18]);
    a.write("x.nc", member.bytes());
    a.says("another axis", &format!("{run} v.nc x.nc"));
    let other = stack(&[("time", 1)])
        .var("time", DOUBLE, &["time"], &[("units", days)], &[9.0])
        .var("w", FLOAT, &["time", "lat", "lon"], &[], &[1.0; 9]);
    a.write("x.nc", other.bytes());
    a.says("other variables later", &format!("{run} v.nc x.nc"));
    a.says("no time to choose from", &format!("{run} --time 2005 still.nc"));
    a.says("no such time", &format!("{run} --time 2006-03 v.nc"));
    a.t.fine("index --regions r.geojson --key id --key-name time --grid v.nc -o time.idx");
    a.says("two columns of one name", "aggregate --index time.idx v.nc -o o.csv");
    a.t.fine("index --regions r.geojson --key id --key-name latitude --grid v.nc -o latitude.idx");
    a.says("two netCDF variables of one name", "aggregate --index latitude.idx v.nc -o o.nc");
    let one = || vec![area(260.0, 40.0, 261.0, 41.0)];
    a.write("two.geojson", geojson(&[("b_c", one()), ("c", one())]));
    a.t.fine("index --regions two.geojson --key id --grid v.nc -o two.idx");
    let both = stack(&[]).var("a", FLOAT, &["lat", "lon"], &[], &[1.0; 9]).var(
        "a_b",
        FLOAT,
        &["lat", "lon"],
        &[],
        &[1.0; 9],
    );
    a.write("x.nc", both.bytes());
    a.says("two wide columns of one name", "aggregate --index two.idx --wide x.nc -o o.csv");
    let large =
        stack(&[("m", 32_768), ("n", 32_768)]).var("v", FLOAT, &["m", "n", "lat", "lon"], &[], &[]);
    a.write("x.nc", large.bytes());
    // A file with a hole: it takes no room on the disk.
    let sparse =
        std::fs::OpenOptions::new().write(true).open(a.t.0.join("x.nc")).expect("it is there");
    sparse.set_len(40 << 30).expect("a hole");
    a.says("more than netCDF can hold", "aggregate --index v.idx x.nc -o o.nc");
    a.finish();
}

#[test]
fn weights() {
    let mut a = Area::new("weights");
    let run = |w: &str| format!("aggregate --index v.idx --weights {w} v.nc -o o.csv");
    a.says("weights that nobody knows", &run("people"));
    a.says("no variable", &run("v.nc:"));
    a.says("no such variable", &run("v.nc:w"));
    a.says("no such file", &run("w.nc:v"));
    a.says("weights that change in time", &run("v.nc:v"));
    let field = |v: f64| stack(&[]).var("v", FLOAT, &["lat", "lon"], &[], &[v; 9]).bytes();
    a.write("n.nc", field(-1.0));
    a.says("below 0", &run("n.nc:v"));
    a.write("n.nc", field(f64::INFINITY));
    a.says("without end", &run("n.nc:v"));
    a.write("n.nc", field(0.0));
    a.says("nobody anywhere", &run("n.nc:v"));
    let text = stack(&[]).var("v", 2, &["lat", "lon"], &[], &[1.0; 9]);
    a.write("n.nc", text.bytes());
    a.says("weights that are texts", &run("n.nc:v"));
    let points = Classic::default()
        .dim("station", 3)
        .var("lat", DOUBLE, &["station"], NORTH, &LAT)
        .var("lon", DOUBLE, &["station"], EAST, &LON)
        .var("v", FLOAT, &["station"], &[], &[1.0; 3]);
    a.write("n.nc", points.bytes());
    a.says("weights of stations", &run("n.nc:v"));
    a.write("n.nc", file((50.5, 3), (260.5, 3), 1, |_, _, _| 1.0));
    a.says("another grid", &run("n.nc:v"));
    a.finish();
}

#[test]
fn a_part_of_the_whole() {
    let mut a = Area::new("select");
    for (title, option) in [
        ("no date", "--time yesterday"),
        ("no such date", "--time 2005-02-30"),
        ("no such hour", "--time 2005-02-03T25"),
        ("no time", "--time .."),
        ("an end before the beginning", "--time 2005-02..2005-01"),
        ("three numbers", "--bbox=1,2,3"),
        ("south beyond north", "--bbox=-109,41,-102,37"),
        ("no latitudes", "--bbox=-109,37,-102,141"),
        ("no longitudes", "--bbox=-1090,37,-102,41"),
        ("no region in the box", "--bbox=10,50,11,51"),
        ("no pattern", "--where id="),
        ("no key", "--where =a"),
        ("another key", "--where name=a"),
        ("no such region", "--where b"),
        ("no region like this", "--where 'x*'"),
    ] {
        a.says(title, &format!("aggregate --index v.idx {option} v.nc -o o.csv"));
    }
    a.finish();
}
