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

#[test]
fn parts_that_are_not_there() {
    let t = folder("parts-errors");
    for (code, more, text) in [
        (
            1,
            "--time 2006..",
            "error: no time lies within `--time 2006..`\n  at the files: 2005-01-01T00:00:00Z .. 2005-01-04T00:00:00Z",
        ),
        (
            2,
            "--time yesterday..",
            "error: `yesterday` is no date\n\nhint: write `--time 2005-01-01..2005-03-31`, `--time 1990..`, \
             `--time ..1999-12` or `--time 2005`; both ends are included, as long as they last",
        ),
        (
            1,
            "--where id=a3",
            "error: no region has a key like `a3`\n  at the regions: `a1`, `a2`, `b1`, `b2`\n\nhint: did you mean `a1`?",
        ),
        (
            1,
            "--where name=a1",
            "error: the regions have no `name`: their key is `id`\n  at `--where name=a1`\n\nhint: write `--where 'id=...'`",
        ),
        (
            2,
            "--bbox 1,2,3",
            "error: `--bbox 1,2,3` is no box: it takes four numbers\n\n\
             hint: give west,south,east,north in degrees: `--bbox=-109,37,-102,41`",
        ),
        (
            1,
            "--bbox 1,2,3,4",
            "error: no region touches the box of `--bbox`\n  at the grid: lat 4 cells 40.0000 .. 44.0000, lon 4 cells \
             260.0000 .. 264.0000\n\nhint: give west,south,east,north in degrees; a region's cells are what must touch it",
        ),
    ] {
        let (got, said) = t.run(&format!("aggregate --index v.idx {more} v.nc -o o.csv"));
        assert_eq!((got, said.trim_end()), (code, text), "{more}");
    }
}
