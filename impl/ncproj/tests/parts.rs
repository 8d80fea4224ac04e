//! A part of the whole: times, and regions by key and by place.

mod common;
use common::*;

/// Four regions of one cell each on 4 x 4 cells from (40, 260), four days.
fn folder(name: &str) -> Folder {
    let t = Folder::new(name);
    t.write("v.nc", file((40.5, 4), (260.5, 4), 4, |s, y, x| value(y, x) + 100.0 * s as f64));
    let cell = |x: f64, y: f64| vec![area(x, y, x + 1.0, y + 1.0)];
    t.write(
        "r.geojson",
        geojson(&[
            ("a1", cell(-100.0, 40.0)),
            ("a2", cell(-98.0, 40.0)),
            ("b1", cell(-100.0, 42.0)),
            ("b2", cell(-97.0, 43.0)),
        ]),
    );
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    t
}

fn keys(t: &Folder, more: &str) -> String {
    t.fine(&format!("aggregate --index v.idx --stats mean --time 2005-01-01 {more} v.nc -o o.csv"));
    t.rows("o.csv").iter().map(|r| r[0].clone()).collect::<Vec<_>>().join(" ")
}

#[test]
fn times_are_taken_with_both_ends() {
    let t = folder("times");
    let days = |range: &str| {
        t.fine(&format!("aggregate --index v.idx --where a1 --time {range} v.nc -o o.csv"));
        t.rows("o.csv").iter().map(|r| r[1][8..10].to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(days("2005-01-02..2005-01-03"), "02 03");
    assert_eq!(days("..2005-01-02"), "01 02");
    assert_eq!(days("2005-01-04.."), "04");
    assert_eq!(days("2005-01"), "01 02 03 04");
}

#[test]
fn a_part_in_time_is_the_same_as_in_the_whole() {
    let grid = data("packed.nc");
    let t = Folder::new("times-chunks");
    t.write("r.geojson", geojson(&[("a", vec![area(-97.0, 42.0, -95.75, 43.0)])]));
    t.fine(&format!("index --regions r.geojson --key id --grid {grid} -o v.idx"));
    t.fine(&format!("aggregate --index v.idx --stats mean,median {grid} -o whole.csv"));
    t.fine(&format!(
        "aggregate --index v.idx --stats mean,median --time 2001-03-01.. {grid} -o part.csv"
    ));
    assert_eq!(t.rows("part.csv"), t.rows("whole.csv")[1..]);
}

#[test]
fn regions_by_key() {
    let t = folder("where");
    assert_eq!(keys(&t, "--where id=a*"), "a1 a2");
    assert_eq!(keys(&t, "--where b2,a?"), "a1 a2 b2");
    assert_eq!(keys(&t, "--where a1 --where b1"), "a1 b1");
}

#[test]
fn regions_by_place() {
    let t = folder("bbox");
    assert_eq!(keys(&t, "--bbox=-99.5,40.5,-97.5,40.9"), "a1 a2");
    assert_eq!(keys(&t, "--bbox 262.5,40.5,263.5,44"), "a2 b2");
    assert_eq!(keys(&t, "--bbox=-99.5,40.5,-97.5,44 --where *1"), "a1 b1");
}
