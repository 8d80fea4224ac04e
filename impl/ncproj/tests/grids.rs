//! Longitudes, latitudes and polygons as they come: what others get wrong without a word.

mod common;
use common::*;

const INDEX: &str = "index --regions r.geojson --key id --grid v.nc -o v.idx";

/// Coverage of each cell: (row, column, share).
fn pairs(t: &Folder) -> Vec<(usize, usize, f64)> {
    t.fine("export --index v.idx -q -o p.csv");
    let number = |r: &Vec<String>, k: usize| r[k].parse().unwrap();
    t.rows("p.csv")
        .iter()
        .map(|r| (number(r, 1) as usize, number(r, 2) as usize, number(r, 5)))
        .collect()
}

#[test]
fn a_polygon_over_the_date_line_in_every_way_of_writing_it() {
    // 179 E .. 179 W, lat 0..1, on grids that begin at 0, at -180, and at 170 (not global)
    for (name, first, count, cells) in [
        ("dl-0", 0.5, 360, [179, 180]),
        ("dl-180", -179.5, 360, [0, 359]),
        ("dl-170", 170.5, 20, [9, 10]),
        ("dl-190", -189.5, 20, [9, 10]),
    ] {
        let t = Folder::new(name);
        t.write("v.nc", file((0.5, 2), (first, count), 1, |_, _, x| x));
        let two = vec![area(179.0, 0.0, 180.0, 1.0), area(-180.0, 0.0, -179.0, 1.0)];
        for rings in [
            vec![area(179.0, 0.0, 181.0, 1.0)],
            vec![area(-181.0, 0.0, -179.0, 1.0)],
            vec![vec![[179.0, 0.0], [-179.0, 0.0], [-179.0, 1.0], [179.0, 1.0]]],
            two,
        ] {
            t.write("r.geojson", geojson(&[("a", rings)]));
            t.fine(INDEX);
            assert_eq!(pairs(&t), cells.map(|c| (0, c, 1.0)), "{name}");
        }
    }
}

#[test]
fn the_outermost_cells_count_and_float32_coordinates_are_even() {
    // 1/24 degree as float32, as in MACA: edges half a cell beyond the centres, exactly even
    let t = Folder::new("float32");
    let step = 1.0 / 24.0;
    let axis = |from: f64, n: usize| (0..n).map(|k| from + step * k as f64).collect::<Vec<f64>>();
    let bytes = Classic::default()
        .dim("lat", 48)
        .dim("lon", 24)
        .var("lat", FLOAT, &["lat"], NORTH, &axis(40.0 + step / 2.0, 48))
        .var("lon", FLOAT, &["lon"], EAST, &axis(260.0 + step / 2.0, 24))
        .var("v", FLOAT, &["lat", "lon"], &[], &vec![7.0; 48 * 24])
        .bytes();
    t.write("v.nc", bytes);
    t.write("r.geojson", geojson(&[("a", vec![area(-100.0, 40.0, -99.0, 42.0)])]));
    t.fine(INDEX);
    let all = pairs(&t);
    assert_eq!(all.len(), 48 * 24);
    assert!(all.iter().all(|p| (p.2 - 1.0).abs() < 1e-4), "{all:?}");
    let said = t.fine("info v.nc");
    assert!(said.contains("latitude     `lat`, 48 cells, 40.0000 .. 42.0000 regular"), "{said}");
    assert!(said.contains("longitude    `lon`, 24 cells, 260.0000 .. 261.0000 regular"), "{said}");
}

#[test]
fn gaussian_latitudes_by_bounds_that_no_attribute_names_and_by_their_middles() {
    for (name, bounds, wanted) in [
        // cells -90..-50..0..50..90 by bounds: the box 0..60 covers one cell and a quarter of the next
        ("gauss-bounds", true, vec![(2, 0, 1.0), (3, 0, 0.25)]),
        // without: halfway between the centres, -60 -20 20 60, so edges at 0, 40, and 80
        ("gauss-middles", false, vec![(2, 0, 1.0), (3, 0, 0.5)]),
    ] {
        let t = Folder::new(name);
        let mut f = Classic::default()
            .dim("lat", 4)
            .dim("lon", 2)
            .dim("nv", 2)
            .var("lat", DOUBLE, &["lat"], NORTH, &[-60.0, -20.0, 20.0, 60.0])
            .var("lon", DOUBLE, &["lon"], EAST, &[0.5, 1.5])
            .var("v", FLOAT, &["lat", "lon"], &[], &[1.0; 8]);
        if bounds {
            let edges = [-90.0, -50.0, -50.0, 0.0, 0.0, 50.0, 50.0, 90.0];
            f = f.var("lat_bnds", DOUBLE, &["lat", "nv"], &[], &edges);
        }
        t.write("v.nc", f.bytes());
        t.write("r.geojson", geojson(&[("a", vec![area(0.0, 0.0, 1.0, 60.0)])]));
        t.fine(INDEX);
        assert_eq!(pairs(&t), wanted, "{name}");
    }
}

#[test]
fn overlapping_regions_do_not_know_of_each_other() {
    let t = Folder::new("overlap");
    t.write("v.nc", file((38.5, 11), (248.5, 19), 1, |_, y, x| value(y, x)));
    let one = vec![area(263.0, 42.0, 264.25, 43.0)];
    let other = vec![area(263.0, 42.0, 264.0, 43.0)];
    t.write("r.geojson", geojson(&[("a", one.clone()), ("b", other), ("c", one)]));
    t.fine(INDEX);
    t.fine("aggregate --index v.idx --weights coverage --stats mean v.nc -o o.csv");
    let means: Vec<f64> = t.rows("o.csv").iter().map(|r| r[2].parse().unwrap()).collect();
    assert!(
        means.iter().zip([438.7, 438.5, 438.7]).all(|(a, b)| (a - b).abs() < 1e-9),
        "{means:?}"
    );
}

#[test]
fn rings_that_cross_or_touch_themselves_are_repaired_and_counted() {
    let t = Folder::new("bow");
    t.write("v.nc", file((0.5, 2), (0.5, 2), 1, |_, _, _| 1.0));
    // a bow tie of two triangles that meet in the middle of the grid: each covers half of two cells
    let bow = vec![[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]];
    // two squares that meet in a corner, drawn as one ring
    let eight = vec![
        [0.0, 0.0],
        [1.0, 0.0],
        [1.0, 1.0],
        [2.0, 1.0],
        [2.0, 2.0],
        [1.0, 2.0],
        [1.0, 1.0],
        [0.0, 1.0],
    ];
    t.write("r.geojson", geojson(&[("bow", vec![bow]), ("eight", vec![eight])]));
    let said = t.fine(INDEX);
    assert!(
        said.contains("2 regions (2 repaired (1 touched themselves, 1 crossed)), 6 pairs"),
        "{said}"
    );
    let got = pairs(&t);
    let half = |p: &(usize, usize, f64)| (p.2 - 0.5).abs() < 1e-9;
    assert!(got[..4].iter().all(half), "{got:?}");
    assert_eq!(got[4..], [(0, 0, 1.0), (1, 1, 1.0)]);
}

#[test]
fn what_share_of_a_region_is_known_where_half_of_it_is_outside() {
    let t = Folder::new("outside-share");
    t.write("v.nc", file((38.5, 11), (248.5, 19), 1, |_, y, x| value(y, x)));
    let regions = [
        ("half", vec![area(266.0, 38.0, 268.0, 39.0)]),
        ("third", vec![area(246.0, 40.0, 249.0, 41.0)]),
    ];
    t.write("r.geojson", geojson(&regions));
    let said = t.fine(INDEX);
    assert!(
        said.contains(
            "warning: in part outside the grid: 2 regions: `half` 50.0 %, `third` 66.7 %\n"
        ),
        "{said}"
    );
    let json = t.fine("check --json --index v.idx v.nc");
    assert!(json.contains("\"outside\": [\n    0.5,\n    0.66666666"), "{json}");
}
