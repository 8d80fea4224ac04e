//! Index files.

use crate::snapshot::Area;

#[test]
fn indexes() {
    let mut a = Area::new("index");
    let good = a.bytes("v.idx");
    let sealed = |mut body: Vec<u8>| {
        let hash = blake3::hash(&body);
        body.extend(hash.as_bytes());
        body
    };
    let mut bad = good.clone();
    bad[60] ^= 1;
    let mut other = good.clone();
    other[8] = 7;
    let mut longer = good[..good.len() - 32].to_vec();
    longer.push(0);
    // The version stands in the header, as a text of the same length.
    let mut earlier = good[..good.len() - 32].to_vec();
    let at = earlier.windows(10).position(|w| w == b"ncproj 0.2").expect("the version");
    earlier[at + 9] = b'1';
    for (title, bytes) in [
        ("damaged", bad),
        ("an earlier version", sealed(earlier)),
        ("another format", other),
        ("parts that do not fit", sealed(longer)),
        ("no index", b"hello".to_vec()),
    ] {
        a.write("x.idx", bytes);
        a.says(title, "aggregate --index x.idx v.nc -o o.csv");
    }
    a.says("no such index", "aggregate --index none.idx v.nc -o o.csv");
    a.says("a folder", "aggregate --index . v.nc -o o.csv");
    a.case("an endless device", "ncproj export --index /dev/zero -o o.csv");
    a.says("check: a damaged index", "check --index x.idx v.nc");
    a.says("info: a damaged index", "info x.idx");
    a.finish();
}

#[test]
fn exports() {
    let mut a = Area::new("export");
    a.says("another kind of file", "export --index v.idx -o o.xlsx");
    a.says("a folder that is not there", "export --index v.idx -o no/o.csv");
    a.says("weights that nobody knows", "export --index v.idx --weights people -o o.nc");
    a.t.fine("index --regions r.geojson --key id --key-name row --grid v.nc -o row.idx");
    a.says("two columns of one name", "export --index row.idx -o o.csv");
    let limited = "trap '' XFSZ; ulimit -f 0; ncproj export --index v.idx -o";
    for ending in ["csv", "parquet", "nc"] {
        a.case(&format!("no room for .{ending}"), &format!("{limited} o.{ending}"));
    }
    std::fs::copy(a.t.0.join("v.idx"), a.t.0.join("i.nc")).expect("a copy");
    a.says("in the place of the index", "export --index i.nc -o i.nc");
    // 50,000 x 50,000 cells
    let axis = |from: f64, step: f64| -> Vec<f64> {
        (0..50_000).map(|k| from + step * f64::from(k)).collect()
    };
    use crate::common::{Classic, DOUBLE, EAST, FLOAT, NORTH};
    let huge = Classic::default()
        .dim("lat", 50_000)
        .dim("lon", 50_000)
        .var("lat", DOUBLE, &["lat"], NORTH, &axis(20.0, 1e-3))
        .var("lon", DOUBLE, &["lon"], EAST, &axis(230.0, 1e-3))
        .var("v", FLOAT, &["lat", "lon"], &[], &[]);
    a.write("h.nc", huge.bytes());
    let small = crate::common::area(260.0, 40.0, 260.01, 40.01);
    a.write("s.geojson", crate::common::geojson(&[("a", vec![small])]));
    a.t.fine("index --regions s.geojson --key id --grid h.nc -o h.idx");
    a.says("more cells than xesmf's numbers reach", "export --index h.idx -o o.nc");
    a.finish();
}
