//! Projected grids: the formulas against pyproj, areas and answers by hand, and what is refused.

mod common;
use common::*;
use ncproj::crs::Projection;
use ncproj::index::Index;

const INDEX: &str = "index --regions r.geojson --key id --grid v.nc -o v.idx";
const LAEA: &[(&str, &str)] = &[
    ("grid_mapping_name", "lambert_azimuthal_equal_area"),
    ("latitude_of_projection_origin", "#90"),
    ("longitude_of_projection_origin", "#0"),
    ("earth_radius", "#6371000"),
];
const SOUTH: &[(&str, &str)] = &[
    ("grid_mapping_name", "polar_stereographic"),
    ("latitude_of_projection_origin", "#-90"),
    ("straight_vertical_longitude_from_pole", "#0"),
    ("standard_parallel", "#-71"),
    ("earth_radius", "#6371000"),
];
const CONIC: &[(&str, &str)] = &[
    ("grid_mapping_name", "lambert_conformal_conic"),
    ("standard_parallel", "#30,60"),
    ("longitude_of_central_meridian", "#262.5"),
    ("latitude_of_projection_origin", "#40"),
    ("earth_radius", "#6371000"),
];
const ROTATED: &[(&str, &str)] = &[
    ("grid_mapping_name", "rotated_latitude_longitude"),
    ("grid_north_pole_latitude", "#39.25"),
    ("grid_north_pole_longitude", "#-162"),
];

#[test]
fn the_formulas_agree_with_pyproj() {
    let mut seen = 0;
    for line in include_str!("data/projections.csv").lines().filter(|l| !l.starts_with('#')) {
        let parts: Vec<&str> = line.split(',').collect();
        let n: Vec<f64> = parts[1..].iter().map(|v| v.parse().unwrap()).collect();
        let p = Projection::parse(parts[0]).unwrap();
        let (got, back) = (p.forward(n[0], n[1]).unwrap(), p.inverse(n[2], n[3]).unwrap());
        // metres (or kilometres, or degrees): a micrometre
        let slack = if p.is_rotated() { 1e-10 } else { 1e-6 };
        assert!((got[0] - n[2]).abs() < slack && (got[1] - n[3]).abs() < slack, "{line}: {got:?}");
        let east = (back[0] - n[0] + 540.0).rem_euclid(360.0) - 180.0;
        // PROJ's own way back from an equal-area plane is off by up to a millimetre
        assert!(east.abs() < 1e-9 && (back[1] - n[1]).abs() < 2e-8, "{line}: {back:?}");
        // what an index keeps is read back as the same projection
        assert_eq!(Projection::parse(&p.text).unwrap(), p, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 80);
}

/// The area of the covered part of the region in steradians, and its share within the grid.
fn covered(name: &str, grid: Vec<u8>, ring: Vec<[f64; 2]>) -> (f64, f64, Vec<f64>) {
    let t = Folder::new(name);
    t.write("v.nc", grid);
    t.write("r.geojson", geojson(&[("a", vec![ring])]));
    t.fine(INDEX);
    let index = Index::load(&t.0.join("v.idx")).unwrap();
    let areas = index.cell_areas();
    let sum = index.cells.iter().zip(index.shares.iter()).map(|(c, s)| s * areas.of(*c)).sum();
    (sum, index.inside[0], index.shares.to_vec())
}

fn near(got: f64, wanted: f64, slack: f64) {
    assert!((got / wanted - 1.0).abs() < slack, "{got} is not {wanted}");
}

/// The area between two meridians and two parallels.
fn band(degrees: f64, south: f64, north: f64) -> f64 {
    degrees.to_radians() * (north.to_radians().sin() - south.to_radians().sin())
}

#[test]
fn the_cap_round_a_pole_has_its_area() {
    let grid = || plane((-2750e3, 500e3, 12), (-2750e3, 500e3, 12), "m", LAEA, |_, _| 1.0);
    let (sum, inside, shares) = covered("cap-north", grid(), area(-180.0, 80.0, 180.0, 90.0));
    near(sum, band(360.0, 80.0, 90.0), 1e-5);
    assert_eq!(inside, 1.0);
    assert!(shares.iter().all(|s| *s <= 1.0 && *s > 0.0));
    // in kilometres the same
    let km = plane((-2750.0, 500.0, 12), (-2750.0, 500.0, 12), "km", LAEA, |_, _| 1.0);
    let in_km = covered("cap-km", km, area(-180.0, 80.0, 180.0, 90.0)).2;
    assert!(in_km.iter().zip(&shares).all(|(a, b)| (a - b).abs() < 1e-12), "{in_km:?}");
    let south = plane((3900e3, -200e3, 40), (-3900e3, 200e3, 40), "m", SOUTH, |_, _| 1.0);
    let (sum, _, _) = covered("cap-south", south, area(0.0, -90.0, 360.0, -70.0));
    near(sum, band(360.0, -90.0, -70.0), 1e-3);
}

#[test]
fn a_hemisphere_on_a_polar_grid_is_in_part_outside() {
    // the square of 6,000 km has 36e12 m2 of 2 pi R2 = 255.03e12 m2, in an equal-area projection
    let grid = plane((-2750e3, 500e3, 12), (-2750e3, 500e3, 12), "m", LAEA, |_, _| 1.0);
    let (_, inside, shares) = covered("hemisphere", grid, area(-180.0, 0.0, 180.0, 90.0));
    assert_eq!(shares, vec![1.0; 144]);
    near(inside, 36e12 / (std::f64::consts::TAU * 6371e3 * 6371e3), 1e-4);
}

#[test]
fn the_whole_globe_on_a_rotated_grid() {
    let grid = || plane((-85.0, 10.0, 18), (-175.0, 10.0, 36), "degrees", ROTATED, |_, _| 1.0);
    let (sum, inside, shares) = covered("rotated-all", grid(), area(-180.0, -90.0, 180.0, 90.0));
    near(sum, 4.0 * std::f64::consts::PI, 1e-4);
    assert!(shares.len() == 648 && shares.iter().all(|s| (s - 1.0).abs() < 2e-3), "{shares:?}");
    near(inside, 1.0, 1e-12);
    for (name, west, south, east, north) in [
        ("rotated-octant", 0.0, 0.0, 90.0, 60.0),
        ("rotated-pole", -170.0, 30.0, -150.0, 50.0),
        ("rotated-dateline", 170.0, -10.0, 190.0, 10.0),
        ("rotated-cap", -180.0, -90.0, 180.0, -50.0),
    ] {
        let fine = plane((-89.5, 1.0, 180), (-179.5, 1.0, 360), "degrees", ROTATED, |_, _| 1.0);
        let (sum, _, _) = covered(name, fine, area(west, south, east, north));
        near(sum, band(east - west, south, north), 2e-3);
    }
}

#[test]
fn a_box_on_a_conic_grid_has_its_area_wherever_it_is_drawn() {
    let grid = || plane((-980e3, 40e3, 50), (-980e3, 40e3, 50), "m", CONIC, |_, _| 1.0);
    let (sum, inside, shares) = covered("conic", grid(), area(-100.0, 35.0, -95.0, 40.0));
    // a cell covered in part counts by its whole area: 1e-4
    near(sum, band(5.0, 35.0, 40.0), 1e-4);
    assert_eq!(inside, 1.0);
    assert_eq!(covered("conic-east", grid(), area(260.0, 35.0, 265.0, 40.0)).2, shares);
    // far away on the other side, where the cone is cut: nothing, and no error
    let t = Folder::new("conic-far");
    t.write("v.nc", grid());
    let far = vec![area(60.0, -89.0, 110.0, 80.0)];
    t.write("r.geojson", geojson(&[("a", vec![area(-100.0, 35.0, -95.0, 40.0)]), ("far", far)]));
    let said = t.fine(INDEX);
    assert!(
        said.starts_with("warning: wholly outside the grid, null in the output: 1 region: `far`\n"),
        "{said}"
    );
    assert!(
        said.trim_end().ends_with(
            "2 regions (none repaired), 180 pairs of region and cell, y 50 cells -1000000.0000 .. 1000000.0000, \
             x 50 cells -1000000.0000 .. 1000000.0000, +proj=lcc +lon_0=-97.5 +lat_0=40 +lat_1=30 +lat_2=60 +x_0=0 \
             +y_0=0 +R=6371000 +to_meter=1"
        ),
        "{said}"
    );
}

#[test]
fn a_mean_on_a_mercator_grid_by_hand() {
    // a sphere on which a degree at the equator is one metre: x is the longitude
    let mercator = [
        ("grid_mapping_name", "mercator"),
        ("longitude_of_projection_origin", "#0"),
        ("standard_parallel", "#0"),
        ("earth_radius", "#57.29577951308232"),
    ];
    let t = Folder::new("mercator");
    t.write("v.nc", plane((0.5, 1.0, 2), (262.5, 1.0, 4), "m", &mercator, |_, x| x));
    t.write("r.geojson", geojson(&[("a", vec![area(-97.0, 0.0, -95.75, 1.0)])]));
    t.fine(INDEX);
    t.fine("aggregate --index v.idx v.nc -o o.csv");
    let row = &t.rows("o.csv")[0];
    // the cell 263.5 and a quarter of 264.5, of the same area; the region ends where y is 1.00005
    assert_eq!(
        (&row[1..3], row[4].as_str()),
        (&["263.5".to_string(), "264.5".to_string()][..], "1")
    );
    assert!((row[3].parse::<f64>().unwrap() - 263.7).abs() < 1e-9, "{row:?}");
    let said = t.fine("info v.idx");
    assert!(said.contains("rows (y)     `y`, 2 cells, 0.0000 .. 2.0000"), "{said}");
    assert!(
        said.contains("crs          +proj=merc +lon_0=0 +lat_ts=0 +x_0=0 +y_0=0 +R=57.2957"),
        "{said}"
    );
    assert!(t.fine("info v.nc").contains("crs          +proj=merc"));
}

#[test]
fn a_pole_that_is_not_rotated_gives_the_plain_answer() {
    let north = [
        ("grid_mapping_name", "rotated_latitude_longitude"),
        ("grid_north_pole_latitude", "#90"),
        ("grid_north_pole_longitude", "#180"),
    ];
    let t = Folder::new("unrotated");
    t.write(
        "v.nc",
        plane((38.5, 1.0, 11), (-111.5, 1.0, 19), "degrees", &north, |y, x| value(y, x + 360.0)),
    );
    t.write("r.geojson", geojson(&[("a", vec![area(263.0, 42.0, 264.25, 43.0)])]));
    t.fine(INDEX);
    t.fine("aggregate --index v.idx --weights coverage v.nc -o o.csv");
    let mean: f64 = t.rows("o.csv")[0][3].parse().unwrap();
    assert!((mean - 438.7).abs() < 1e-4, "{mean}");
}

#[test]
fn the_same_bytes_whatever_the_threads() {
    let t = Folder::new("plane-threads");
    t.write("v.nc", plane((980e3, -40e3, 50), (-980e3, 40e3, 50), "m", CONIC, |_, _| 1.0));
    let boxes: Vec<_> = (0..30)
        .map(|k| {
            (
                format!("r{k}"),
                vec![area(-105.0 + f64::from(k) / 3.0, 35.0, -104.0 + f64::from(k) / 3.0, 41.0)],
            )
        })
        .collect();
    let named: Vec<_> = boxes.iter().map(|(n, r)| (n.as_str(), r.clone())).collect();
    t.write("r.geojson", geojson(&named));
    t.fine(&format!("{INDEX} --threads 1"));
    let one = std::fs::read(t.0.join("v.idx")).unwrap();
    for threads in [2, 3, 7] {
        t.fine(&format!("{INDEX} --threads {threads}"));
        assert!(std::fs::read(t.0.join("v.idx")).unwrap() == one, "{threads}");
    }
}

#[test]
fn what_a_projection_says_is_not_enough() {
    let t = Folder::new("plane-errors");
    t.write("r.geojson", geojson(&[("a", vec![area(-100.0, 35.0, -95.0, 40.0)])]));
    let sees = |units: &str, mapping: &[(&str, &str)], text: &str| {
        t.write("v.nc", plane((0.0, 10.0, 3), (0.0, 10.0, 3), units, mapping, |_, _| 1.0));
        let (code, said) = t.run(INDEX);
        assert_eq!((code, said.trim_end()), (1, text));
    };
    sees(
        "m",
        &[("grid_mapping_name", "lambert_conformal_conic")],
        "error: the projection cannot be computed: it lacks `standard_parallel`\n  at v.nc: grid mapping `crs`\n\n\
         hint: regrid the file to latitude and longitude first (`cdo remapbil`)",
    );
    sees(
        "m",
        &[("grid_mapping_name", "geostationary")],
        "error: the projection cannot be computed: it lacks `perspective_point_height`\n  \
         at v.nc: grid mapping `crs`\n\nhint: regrid the file to latitude and longitude first (`cdo remapbil`)",
    );
    sees(
        "1",
        CONIC,
        "error: x and y are in a plain number (`1`), which does not suit the projection `lambert_conformal_conic`\n  \
         at v.nc: grid mapping `crs`\n\nhint: a rotated pole goes with degrees, a geostationary view with radians or \
         lengths, any other projection with lengths such as `m` or `km`",
    );
    sees(
        "m",
        ROTATED,
        "error: x and y are in lengths, which does not suit the projection `rotated_latitude_longitude`\n  \
         at v.nc: grid mapping `crs`\n\nhint: a rotated pole goes with degrees, a geostationary view with radians or \
         lengths, any other projection with lengths such as `m` or `km`",
    );
    sees(
        "m",
        &[("grid_mapping_name", "mercator"), ("semi_major_axis", "#-1")],
        "error: the attribute `semi_major_axis` is `-1`: a length of the Earth is positive\n  \
         at v.nc: grid mapping `crs`\n\nhint: write it as one number (`standard_parallel` may have two)",
    );
}

#[test]
fn a_mapping_may_be_told_in_other_words() {
    let conic = |text: (&'static str, String)| {
        let attrs = [("grid_mapping_name", "unknown"), (text.0, text.1.as_str())];
        plane((-980e3, 40e3, 50), (-980e3, 40e3, 50), "m", &attrs, |_, _| 1.0)
    };
    let plain = plane((-980e3, 40e3, 50), (-980e3, 40e3, 50), "m", CONIC, |_, _| 1.0);
    let ring = || area(-100.0, 35.0, -95.0, 40.0);
    let wanted = covered("words-cf", plain, ring()).2;
    let wkt = "PROJCS[\"x\",GEOGCS[\"x\",DATUM[\"x\",SPHEROID[\"x\",6371000,0]],PRIMEM[\"Greenwich\",0],\
               UNIT[\"degree\",0.0174532925199433]],PROJECTION[\"Lambert_Conformal_Conic_2SP\"],\
               PARAMETER[\"standard_parallel_1\",30],PARAMETER[\"standard_parallel_2\",60],\
               PARAMETER[\"latitude_of_origin\",40],PARAMETER[\"central_meridian\",-97.5],UNIT[\"metre\",1]]";
    let proj = "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=-97.5 +R=6371000 +units=m +no_defs";
    for (name, attr, text) in [
        ("words-wkt", "crs_wkt", wkt),
        ("words-gdal", "spatial_ref", wkt),
        ("words-proj", "proj4", proj),
    ] {
        assert_eq!(covered(name, conic((attr, text.to_string())), ring()).2, wanted, "{name}");
    }
}

#[test]
fn an_index_for_another_projection_is_refused() {
    let t = Folder::new("plane-other");
    let grid = |mapping| plane((-980e3, 40e3, 50), (-980e3, 40e3, 50), "m", mapping, |_, _| 1.0);
    t.write("v.nc", grid(CONIC));
    t.write("r.geojson", geojson(&[("a", vec![area(-100.0, 35.0, -95.0, 40.0)])]));
    t.fine(INDEX);
    t.write("w.nc", grid(LAEA));
    let (code, said) = t.run("aggregate --index v.idx w.nc -o o.csv");
    assert_eq!(code, 1);
    assert!(
        said.starts_with(
            "error: the index is for another grid than `w.nc`: the systems differ: `+proj=lcc +lon_0=-97.5 +lat_0=40 \
             +lat_1=30 +lat_2=60 +x_0=0 +y_0=0 +R=6371000 +to_meter=1` and `+proj=laea +lon_0=0 +lat_0=90 +x_0=0 +y_0=0 \
             +R=6371000 +to_meter=1`\n"
        ),
        "{said}"
    );
}
