//! Grids: coordinates, bounds, and indexes for another grid.

use crate::common::*;
use crate::make::fixture;
use crate::snapshot::Area;

/// Latitudes and longitudes with values on them; `more` are further attributes of the latitude.
fn grid(lat: &[f64], lon: &[f64], more: &[(&str, &str)]) -> Classic {
    let north = [NORTH, more].concat();
    Classic::default()
        .dim("lat", lat.len())
        .dim("lon", lon.len())
        .dim("two", 2)
        .dim("time", 2)
        .var("lat", DOUBLE, &["lat"], &north, lat)
        .var("lon", DOUBLE, &["lon"], EAST, lon)
        .var("v", FLOAT, &["lat", "lon"], &[], &vec![1.0; lat.len() * lon.len()])
}

const LAT: [f64; 3] = [40.5, 41.5, 42.5];
const LON: [f64; 3] = [260.5, 261.5, 262.5];

#[test]
fn coordinates() {
    let mut a = Area::new("grid");
    let bounds = |b: &[f64]| grid(&LAT, &LON, &[]).var("lat_bnds", DOUBLE, &["lat", "two"], &[], b);
    let far: Vec<f64> = (0..400).map(f64::from).collect();
    for (title, file) in [
        ("a latitude is missing", grid(&[40.5, f64::NAN, 42.5], &LON, &[])),
        ("no latitudes", grid(&[], &LON, &[])),
        ("a latitude that is none", grid(&[40.5, 400.0, 42.5], &LON, &[])),
        ("a longitude that is none", grid(&LAT, &[260.5, 2e6, 262.5], &[])),
        ("latitudes in no order", grid(&[40.5, 42.5, 41.5], &LON, &[])),
        ("one latitude", grid(&[40.5], &LON, &[])),
        ("more than once round", grid(&LAT, &far, &[])),
        ("beyond the pole", grid(&[89.9998, 90.0002, 90.0006], &LON, &[])),
        ("bounds with a gap", bounds(&[40.0, 41.0, 41.5, 42.0, 42.0, 43.0])),
        ("bounds without extent", bounds(&[40.0, 41.0, 41.0, 41.0, 41.0, 43.0])),
        ("bounds that are missing", bounds(&[40.0, 41.0, 41.0, f64::NAN, 42.0, 43.0])),
        ("bounds that are endless", bounds(&[40.0, 41.0, 41.0, f64::INFINITY, 42.0, 43.0])),
        (
            "bounds that change",
            grid(&LAT, &LON, &[("bounds", "lat_b")]).var(
                "lat_b",
                DOUBLE,
                &["time", "lat", "two"],
                &[],
                &[40.0, 41.0, 41.0, 42.0, 42.0, 43.0, 40.1, 41.0, 41.0, 42.0, 42.0, 43.0],
            ),
        ),
        (
            "no coordinates",
            Classic::default().dim("a", 3).dim("b", 3).var("v", FLOAT, &["a", "b"], &[], &[1.0; 9]),
        ),
        (
            "stations",
            Classic::default()
                .dim("time", 2)
                .dim("station", 3)
                .var("lat", DOUBLE, &["station"], NORTH, &LAT)
                .var("lon", DOUBLE, &["station"], EAST, &LON)
                .var("v", FLOAT, &["time", "station"], &[], &[1.0; 6]),
        ),
        (
            "more coordinates than can be read",
            Classic::default()
                .dim("lat", 1 << 28)
                .dim("lon", 3)
                .var("lat", DOUBLE, &["lat"], NORTH, &LAT)
                .var("lon", DOUBLE, &["lon"], EAST, &LON)
                .var("v", FLOAT, &["lat", "lon"], &[], &[1.0; 9]),
        ),
    ] {
        a.write("g.nc", file.bytes());
        a.says(title, "index --regions r.geojson --key id --grid g.nc -o o.idx");
    }
    a.says(
        "a variable that is not there",
        "index --regions r.geojson --key id --grid v.nc --variable w -o o.idx",
    );
    a.says(
        "a variable without a grid",
        "index --regions r.geojson --key id --grid v.nc --variable time -o o.idx",
    );
    a.write("c.nc", fixture("curvilinear.nc"));
    a.says(
        "a curvilinear grid of cells without area",
        "index --regions r.geojson --key id --grid c.nc -o o.idx",
    );
    let fine: Vec<f64> = (0..66_000).map(|k| -89.0 + f64::from(k) * 1e-3).collect();
    let wide: Vec<f64> = (0..66_000).map(|k| f64::from(k) * 1e-3).collect();
    let mut huge = Classic::default()
        .dim("lat", fine.len())
        .dim("lon", wide.len())
        .var("lat", DOUBLE, &["lat"], NORTH, &fine)
        .var("lon", DOUBLE, &["lon"], EAST, &wide);
    huge = huge.var("v", FLOAT, &["lat", "lon"], &[], &[]);
    a.write("h.nc", huge.bytes());
    a.says(
        "more cells than can be counted",
        "index --regions r.geojson --key id --grid h.nc -o o.idx",
    );
    a.finish();
}

/// Nine cells of one degree by their centres, `lat` and `lon` of two dimensions.
fn cells(lat: &dyn Fn(usize, usize) -> f64, columns: usize) -> Classic {
    let all = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..3 * columns).map(|k| f(k / columns, k % columns)).collect()
    };
    Classic::default()
        .dim("y", 3)
        .dim("x", columns)
        .dim("corner", 4)
        .var("lat", DOUBLE, &["y", "x"], NORTH, &all(lat))
        .var("lon", DOUBLE, &["y", "x"], EAST, &all(&|_, c| 260.5 + c as f64))
        .var("v", FLOAT, &["y", "x"], &[("coordinates", "lat lon")], &vec![1.0; 3 * columns])
}

/// Corners of the same cells, `half` degrees to the north and south, in this order.
fn corners(file: Classic, half: f64, order: [usize; 4]) -> Classic {
    let all = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..36).map(|k| f(k / 4, order[k % 4])).collect()
    };
    let south = [-half, -half, half, half];
    let west = [-0.5, 0.5, 0.5, -0.5];
    let lat = all(&|cell, k| 40.5 + (cell / 3) as f64 + south[k]);
    let lon = all(&|cell, k| 260.5 + (cell % 3) as f64 + west[k]);
    file.var("lat_bnds", DOUBLE, &["y", "x", "corner"], &[], &lat).var(
        "lon_bnds",
        DOUBLE,
        &["y", "x", "corner"],
        &[],
        &lon,
    )
}

#[test]
fn curvilinear() {
    let mut a = Area::new("curvilinear");
    let plain = |r: usize, _: usize| 40.5 + r as f64;
    let index = "index --regions r.geojson --key id --grid g.nc -o o.idx";
    for (title, file) in [
        ("corners in the wrong order", corners(cells(&plain, 3), 0.5, [0, 1, 3, 2])),
        (
            "a cell that does not hold its centre",
            corners(
                cells(&|r, c| plain(r, c) + if c == 1 { 1.0 } else { 0.0 }, 3),
                0.5,
                [0, 1, 2, 3],
            ),
        ),
        ("cells that overlap", corners(cells(&plain, 3), 1.2, [0, 1, 2, 3])),
        ("a latitude that is none", cells(&|r, _| 80.5 + 10.0 * r as f64, 3)),
        ("one column and no bounds", cells(&plain, 1)),
    ] {
        a.write("g.nc", file.bytes());
        a.says(title, index);
    }
    a.write("g.nc", corners(cells(&plain, 3), 0.5, [0, 1, 2, 3]).bytes());
    a.says("fine", index);
    a.t.fine(index);
    a.says("as it is described", "info g.nc");
    for (title, file) in [
        ("other centres", cells(&|r, c| plain(r, c) + 0.01 * c as f64, 3)),
        ("other areas", corners(cells(&plain, 3), 0.4, [0, 1, 2, 3])),
        (
            "a cell that is not there",
            cells(&|r, c| if r + c == 0 { f64::NAN } else { plain(r, c) }, 3),
        ),
        ("more columns", cells(&plain, 4)),
        ("latitude and longitude of one dimension", grid(&LAT, &LON, &[])),
    ] {
        a.write("w.nc", file.bytes());
        a.says(title, "aggregate --index o.idx w.nc -o out.csv");
    }
    a.finish();
}

#[test]
fn other_grids() {
    let mut a = Area::new("other_grids");
    for (title, lat, lon) in [
        ("longitudes that differ", LAT.to_vec(), vec![261.5, 262.5, 263.5]),
        ("latitudes that differ", vec![41.5, 42.5, 43.5], LON.to_vec()),
        ("more latitudes", vec![40.5, 41.5, 42.5, 43.5], LON.to_vec()),
        ("upside down", vec![42.5, 41.5, 40.5], LON.to_vec()),
    ] {
        a.write("w.nc", grid(&lat, &lon, &[]).bytes());
        a.says(title, "aggregate --index v.idx w.nc -o o.csv");
    }
    let rotated: &[(&str, &str)] = &[
        ("grid_mapping_name", "rotated_latitude_longitude"),
        ("grid_north_pole_latitude", "#40"),
        ("grid_north_pole_longitude", "#80"),
    ];
    let plane_at = |y: f64, x: f64| plane((y, 1.0, 3), (x, 1.0, 3), "degrees", rotated, |_, _| 1.0);
    a.write("p.nc", plane_at(-1.0, -1.0));
    a.write("all.geojson", geojson(&[("a", vec![area(255.0, 48.0, 265.0, 52.0)])]));
    a.t.fine("index --regions all.geojson --key id --grid p.nc -o p.idx");
    a.write("q.nc", plane_at(0.0, -1.0));
    a.says("rows that differ", "aggregate --index p.idx q.nc -o o.csv");
    a.write("q.nc", plane_at(-1.0, 0.0));
    a.says("columns that differ", "aggregate --index p.idx q.nc -o o.csv");
    a.write("w.nc", grid(&LAT, &[261.5, 262.5, 263.5], &[]).bytes());
    a.says("check: another grid", "check --index v.idx w.nc");
    a.says("check: fits", "check --index v.idx v.nc");
    a.write("n.nc", Classic::default().dim("a", 3).var("a", DOUBLE, &["a"], &[], &LAT).bytes());
    a.says("check: nothing on a grid", "check --index v.idx n.nc");
    a.says("info: nothing on a grid", "info n.nc");
    a.finish();
}
