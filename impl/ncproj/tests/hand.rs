//! Answers worked out by hand: cells of 1 degree, the value of a cell is 10 * lat + lon - 250 at its centre.

mod common;
use common::*;

const INDEX: &str = "index --regions r.geojson --key id --grid v.nc -o v.idx";

/// One region on lat 38..49, lon 248..267; the columns min, max, mean, valid of each step.
fn answer(
    name: &str,
    rings: Vec<Vec<[f64; 2]>>,
    more: &str,
    f: impl Fn(usize, f64, f64) -> f64,
) -> Vec<Vec<Option<f64>>> {
    let t = Folder::new(name);
    t.write("v.nc", file((38.5, 11), (248.5, 19), 2, f));
    t.write("r.geojson", geojson(&[("a", rings)]));
    t.fine(INDEX);
    t.fine(&format!("aggregate --index v.idx {more} v.nc -o out.csv"));
    t.rows("out.csv").iter().map(|r| r[2..].iter().map(|v| v.parse().ok()).collect()).collect()
}

fn coverage(name: &str, rings: Vec<Vec<[f64; 2]>>) -> Vec<Option<f64>> {
    answer(name, rings, "--weights coverage", |_, y, x| value(y, x)).remove(0)
}

fn near(got: Option<f64>, wanted: f64) {
    assert!(got.is_some_and(|g| (g - wanted).abs() < 1e-9), "{got:?} is not {wanted}");
}

#[test]
fn one_cell_and_a_quarter_of_the_next() {
    let got = coverage("quarter", vec![area(263.0, 42.0, 264.25, 43.0)]);
    // (438.5 + 0.25 * 439.5) / 1.25
    near(got[2], 438.7);
    assert_eq!((got[0], got[1], got[3]), (Some(438.5), Some(439.5), Some(1.0)));
}

#[test]
fn western_longitudes_mean_the_same_cells() {
    near(coverage("west", vec![area(-97.0, 42.0, -95.75, 43.0)])[2], 438.7);
}

#[test]
fn a_region_smaller_than_a_cell() {
    near(coverage("small", vec![area(264.4, 42.4, 264.6, 42.6)])[2], 439.5);
}

#[test]
fn a_region_with_a_hole() {
    // 6 x 6 cells around (43, 253) without the inner 2 x 2: the middle is 10 * 43 + 253 - 250
    let rings = vec![area(250.0, 40.0, 256.0, 46.0), area(252.0, 42.0, 254.0, 44.0)];
    near(coverage("hole", rings.clone())[2], 433.0);
    let by_area = answer("hole-area", rings, "", |_, y, x| value(y, x)).remove(0);
    // rows further south are larger: by sin(top) - sin(bottom) of the six rows with 6, 6, 4, 4, 6, 6 cells
    assert!((by_area[2].unwrap() - 432.47).abs() < 0.005, "{by_area:?}");
}

#[test]
fn a_region_of_two_parts() {
    // the cells (42.5, 253.5) = 428.5 and (44.5, 256.5) = 451.5
    let rings = vec![area(253.0, 42.0, 254.0, 43.0), area(256.0, 44.0, 257.0, 45.0)];
    near(coverage("parts", rings.clone())[2], 440.0);
    let by_area = answer("parts-area", rings, "", |_, y, x| value(y, x)).remove(0);
    // by hand: sin 43 - sin 42 = 0.0128678, sin 45 - sin 44 = 0.0124484
    let (a, b) = (0.012867754, 0.012448411);
    assert!((by_area[2].unwrap() - (a * 428.5 + b * 451.5) / (a + b)).abs() < 1e-4, "{by_area:?}");
}

#[test]
fn half_outside_the_grid() {
    // lat 38..39, lon 266..268 of a grid that ends at 267: the cell (38.5, 266.5) = 401.5, and half of the region valid
    let got = coverage("half", vec![area(266.0, 38.0, 268.0, 39.0)]);
    assert_eq!(got, [Some(401.5), Some(401.5), Some(401.5), Some(0.5)]);
}

#[test]
fn a_missing_cell_counts_for_nothing_and_all_missing_is_null() {
    let rings = || vec![area(263.0, 42.0, 265.0, 43.0)];
    let sea =
        |step: usize, y: f64, x: f64| if step == 1 || x > 264.0 { -9999.0 } else { value(y, x) };
    let got = answer("missing", rings(), "--weights coverage", sea);
    assert_eq!(got[0], [Some(438.5), Some(438.5), Some(438.5), Some(0.5)]);
    assert_eq!(got[1], [None, None, None, Some(0.0)]);
    let strict = answer("strict", rings(), "--min-valid 0.6", sea);
    assert_eq!(strict[0], [None, None, None, Some(0.5)]);
}

#[test]
fn a_region_wholly_outside_is_null_and_named() {
    let t = Folder::new("outside");
    t.write("v.nc", file((38.5, 3), (248.5, 3), 1, |_, y, x| value(y, x)));
    t.write(
        "r.geojson",
        geojson(&[
            ("in", vec![area(248.0, 38.0, 249.0, 39.0)]),
            ("out", vec![area(10.0, 0.0, 11.0, 1.0)]),
        ]),
    );
    let said = t.fine(INDEX);
    assert!(
        said.contains("warning: wholly outside the grid, null in the output: 1 region: `out`"),
        "{said}"
    );
    t.fine("aggregate --index v.idx v.nc -o o.csv");
    assert_eq!(t.rows("o.csv")[1], ["out", "2005-01-01T00:00:00Z", "", "", "", "0"]);
}

#[test]
fn over_the_seam_of_the_globe() {
    // the meridians 0 and 180 in either convention: half of it 1, half of it 359
    for (name, first, middle) in
        [("seam0", 0.5, 0.0), ("seam180", -179.5, 180.0), ("seam-180", -179.5, -180.0)]
    {
        let t = Folder::new(name);
        t.write(
            "v.nc",
            file((0.5, 2), (first, 360), 1, |_, _, x| if x == first { 1.0 } else { 359.0 }),
        );
        t.write("r.geojson", geojson(&[("a", vec![area(middle - 1.0, 0.0, middle + 1.0, 1.0)])]));
        t.fine(INDEX);
        t.fine("aggregate --index v.idx v.nc -o o.csv");
        assert_eq!(t.rows("o.csv")[0][2..], ["1", "359", "180", "1"], "{name}");
    }
}

#[test]
fn descending_latitudes_and_uneven_ones() {
    let t = Folder::new("uneven");
    // rows 10..20, 20..40, 40..50 by their bounds, from north to south; values 3, 2, 1
    let bytes = Classic::default()
        .dim("lat", 3)
        .dim("lon", 2)
        .dim("nv", 2)
        .var(
            "lat",
            DOUBLE,
            &["lat"],
            &[("units", "degrees_north"), ("bounds", "edges")],
            &[45.0, 30.0, 15.0],
        )
        .var("edges", DOUBLE, &["lat", "nv"], &[], &[50.0, 40.0, 40.0, 20.0, 20.0, 10.0])
        .var("lon", DOUBLE, &["lon"], EAST, &[0.5, 1.5])
        .var("v", FLOAT, &["lon", "lat"], &[], &[3.0, 2.0, 1.0, 3.0, 2.0, 1.0])
        .bytes();
    t.write("v.nc", bytes);
    t.write("r.geojson", geojson(&[("a", vec![area(0.0, 15.0, 1.0, 45.0)])]));
    t.fine(INDEX);
    t.fine("aggregate --index v.idx --weights coverage v.nc -o o.csv");
    // half of 1, all of 2, half of 3: (0.5 + 2 + 1.5) / 2
    assert_eq!(t.rows("o.csv")[0], ["a", "1", "3", "2", "1"]);
}
