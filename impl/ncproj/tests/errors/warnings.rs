//! Warnings: the run is fine, but something should be known.

use crate::common::*;
use crate::make::{dbf, shp};
use crate::snapshot::Area;

#[test]
fn warnings() {
    let mut a = Area::new("warnings");
    let at = |w: f64, s: f64, e: f64, n: f64| vec![area(w, s, e, n)];
    let index = |name: &str| format!("index --regions {name} --key id --grid v.nc -o o.idx");
    a.write(
        "out.geojson",
        geojson(&[("a", at(10.0, 50.0, 11.0, 51.0)), ("b", at(260.0, 40.0, 261.0, 41.0))]),
    );
    a.says("wholly outside", &index("out.geojson"));
    let many: Vec<String> = (0..7).map(|k| format!("r{k}")).collect();
    let many: Vec<_> = many.iter().map(|k| (k.as_str(), at(259.0, 40.0, 261.0, 41.0))).collect();
    a.write("part.geojson", geojson(&many));
    a.says("in part outside", &index("part.geojson"));
    a.write("part.geojson", geojson(&many[..1]));
    a.says("one in part outside", &index("part.geojson"));
    let line = vec![vec![[260.0, 40.0], [261.0, 40.0], [262.0, 40.0]]];
    a.write("flat.geojson", geojson(&[("a", line), ("b", at(260.0, 40.0, 261.0, 41.0))]));
    a.says("without area", &index("flat.geojson"));
    let round = at(179.0, 40.0, -179.0, 41.0);
    a.write("round.geojson", geojson(&[("a", round), ("b", at(260.0, 40.0, 261.0, 41.0))]));
    a.says("taken to cross the date line", &index("round.geojson"));
    let good = at(260.0, 40.0, 261.0, 41.0);
    let fine = |lat: fn(f64) -> f64| {
        vec![(0..12).map(|k| -165.0 + 30.0 * f64::from(k)).map(|lon| [lon, lat(lon)]).collect()]
    };
    for (title, ring) in [
        ("taken to go the long way round", at(-179.5, -60.0, 179.5, 60.0)),
        ("round a pole", fine(|_| 70.0)),
        ("an edge that may go either way round", at(-170.0, 40.0, 170.0, 41.0)),
        ("a ring that may hold either pole", fine(|lon| lon / 10.0)),
    ] {
        a.write("round.geojson", geojson(&[("a", ring), ("b", good.clone())]));
        a.says(title, &index("round.geojson"));
    }
    a.write("s.shp", shp());
    a.write("s.dbf", dbf(1));
    a.says("no coordinate system", &index("s.shp"));
    a.write(
        "two.geojson",
        geojson(&[("a", at(260.0, 40.0, 261.0, 41.0)), ("b", at(261.0, 41.0, 262.0, 42.0))]),
    );
    a.t.fine("index --regions two.geojson --key id --grid v.nc -o two.idx");
    a.write(
        "people.nc",
        file((40.5, 3), (260.5, 3), 1, |_, y, _| if y < 41.0 { 1.0 } else { 0.0 }),
    );
    a.says("without weight", "aggregate --index two.idx --weights people.nc:v v.nc -o o.csv");
    let back = Classic::default()
        .dim("time", 2)
        .dim("lat", 3)
        .dim("lon", 3)
        .var("time", DOUBLE, &["time"], &[("units", "days since 2005-01-01")], &[1.0, 0.0])
        .var("lat", DOUBLE, &["lat"], NORTH, &[40.5, 41.5, 42.5])
        .var("lon", DOUBLE, &["lon"], EAST, &[260.5, 261.5, 262.5])
        .var("v", FLOAT, &["time", "lat", "lon"], &[], &[1.0; 18]);
    a.write("back.nc", back.bytes());
    a.says("times that do not rise", "aggregate --index v.idx back.nc -o o.csv");
    a.write(".o.csv.resume", [7; 100]);
    a.says("what another run kept", "aggregate --index v.idx v.nc --resume -o o.csv");
    // 512 bytes are enough for what is kept, not for the rows
    std::fs::remove_file(a.t.0.join(".o.csv.resume")).unwrap_or_default();
    a.write("long.nc", file((40.5, 3), (260.5, 3), 30, |_, _, _| 1.0));
    let run = "ncproj aggregate --index v.idx long.nc --resume -o o.csv";
    a.case(
        "a run that broke off",
        &format!("(trap '' XFSZ; ulimit -f 1; {run} || true) 2> /dev/null; {run}"),
    );
    a.finish();
}
