//! The classes of `frac` and `weighted_frac`.

use crate::common::*;
use crate::snapshot::Area;

/// 3 x 3 cells, of which 4 are the class 1, 4 are 2 and one is 7.
fn cover(attrs: &[(&str, &str)]) -> Vec<u8> {
    let at = [40.5, 41.5, 42.5];
    let values = [1.0, 1.0, 2.0, 1.0, 7.0, 2.0, 1.0, 2.0, 2.0];
    Classic::default()
        .dim("lat", 3)
        .dim("lon", 3)
        .var("lat", DOUBLE, &["lat"], NORTH, &at)
        .var("lon", DOUBLE, &["lon"], EAST, &at.map(|v| v + 220.0))
        .var("v", FLOAT, &["lat", "lon"], attrs, &values)
        .bytes()
}

#[test]
fn classes() {
    let mut a = Area::new("classes");
    a.write("c.nc", cover(&[]));
    a.write("w.geojson", geojson(&[("a", vec![area(260.0, 40.0, 263.0, 43.0)])]));
    a.t.fine("index --regions w.geojson --key id --grid c.nc -o c.idx");
    let run = "aggregate --index c.idx c.nc -o o.csv";
    a.says("classes of nothing", &format!("{run} --classes 1,2"));
    for (title, list) in [
        ("an empty entry", "1,,2"),
        ("no name", "=1,2"),
        ("auto and more", "auto,1"),
        ("a missing value", "1,nan"),
        ("one class twice", "1,2,1.0"),
        ("nothing but the rest", "other"),
        ("a class that is no number", "water"),
        ("two classes of one float32", "0.1,0.10000000149,other"),
        ("a variable that is not there", "w=1"),
        ("given twice", "1 --classes 2"),
        ("given twice for one variable", "v=1 --classes v=2"),
        ("values that are no class", "1"),
    ] {
        a.says(title, &format!("{run} --stats frac --classes {list}"));
    }
    a.says("very many classes", &format!("{run} --stats frac --classes $(seq -s, 5000)"));
    let mut file = |title: &str, attrs: &[(&str, &str)]| {
        a.write("c.nc", cover(attrs));
        a.says(title, &format!("{run} --stats frac"));
    };
    file("flags that are no numbers", &[("flag_values", "one two")]);
    file("too few meanings", &[("flag_values", "1 2 7"), ("flag_meanings", "a b")]);
    file("packed flags", &[("flag_values", "1 2 7"), ("scale_factor", "0.5")]);
    file("masks", &[("flag_masks", "1 2 4")]);
    let many: Vec<String> = (0..5000).map(|k| k.to_string()).collect();
    file("very many flags", &[("flag_values", &many.join(" "))]);
    a.finish();
}
