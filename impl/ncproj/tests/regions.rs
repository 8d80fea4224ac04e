//! Regions from every kind of file and in other systems than longitude and latitude; layers.

mod common;
use common::*;

fn prepare(name: &str) -> Folder {
    let t = Folder::new(name);
    t.write("v.nc", file((38.5, 11), (248.5, 19), 1, |_, y, x| value(y, x)));
    t
}

fn index(regions: &str, key: &str, more: &str) -> String {
    format!("index --regions {regions} --key {key} --grid v.nc -o v.idx {more}")
}

/// The mean of each region by coverage.
fn means(t: &Folder, regions: &str, key: &str, more: &str) -> Vec<(String, f64)> {
    t.fine(&index(regions, key, more));
    t.fine("aggregate --index v.idx --weights coverage --stats mean v.nc -o o.csv");
    t.rows("o.csv").iter().map(|r| (r[0].clone(), r[2].parse().unwrap())).collect()
}

fn sees(t: &Folder, arguments: &str, code: i32, text: &str) {
    let (got, said) = t.run(arguments);
    assert_eq!((got, said.trim_end()), (code, text), "{arguments}");
}

#[test]
fn a_geopackage_by_layer_and_its_rows_over_many_pages() {
    let t = prepare("gpkg");
    let file = data("regions.gpkg");
    // a: the cell 438.5 and a quarter of 439.5; b: the one cell at 40.5, 263.5
    let got = means(&t, &file, "fid", "--layer boxes");
    assert_eq!(got.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), ["7", "400"]);
    assert!((got[0].1 - 438.7).abs() < 1e-9 && (got[1].1 - 418.5).abs() < 1e-9, "{got:?}");
    let got = means(&t, &file, "{size}", "--layer boxes");
    assert_eq!((got[0].0.as_str(), got[1].0.as_str()), ("1.5", "2"));
}

#[test]
fn a_projected_layer_is_put_into_degrees() {
    let t = prepare("gpkg-mercator");
    let got = means(&t, &data("regions.gpkg"), "id", "--layer mercator");
    assert!((got[0].1 - 438.7).abs() < 1e-9, "{got:?}");
    let got = means(&t, &data("mercator.parquet"), "id", "");
    assert!((got[0].1 - 438.7).abs() < 1e-9, "{got:?}");
    let got = means(&t, &data("layers.zip"), "id", "--layer two");
    // this .prj says Mercator on the ellipsoid, but its name, `WGS_84_Pseudo_Mercator`, that of the web
    assert!((got[0].1 - 438.7).abs() < 1e-9, "{got:?}");
}

#[test]
fn a_zip_of_several_shapefiles_by_layer() {
    let t = prepare("zip-layers");
    let file = data("layers.zip");
    for layer in ["one", "one.shp"] {
        let got = means(&t, &file, "id", &format!("--layer {layer}"));
        assert!((got[0].1 - 438.7).abs() < 1e-9, "{got:?}");
    }
    sees(
        &t,
        &index(&file, "id", ""),
        1,
        "error: the file has 2 shapefiles\n  at layers.zip: `one`, `two`\n\nhint: choose one, for instance `--layer one`",
    );
    sees(
        &t,
        &index(&file, "id", "--layer on"),
        1,
        "error: there is no layer `on`\n  at layers.zip: `one`, `two`\n\nhint: did you mean `one`?",
    );
}

#[test]
fn geojson_in_a_system_named_by_number() {
    let t = prepare("geojson-epsg");
    let r = 6378137.0f64;
    let x = |lon: f64| r * lon.to_radians();
    let y = |lat: f64| r * lat.to_radians().sin().atanh();
    let ring = area(x(-97.0), y(42.0), x(-95.75), y(43.0));
    let plain = geojson(&[("a", vec![ring])]);
    let named = |name: &str| {
        let crs = format!(r#"{{"crs":{{"type":"name","properties":{{"name":"{name}"}}}},"#);
        plain.replacen('{', &crs, 1)
    };
    t.write("r.geojson", named("urn:ogc:def:crs:EPSG::3857"));
    let got = means(&t, "r.geojson", "id", "");
    assert!((got[0].1 - 438.7).abs() < 1e-9, "{got:?}");
    t.write("r.geojson", named("urn:ogc:def:crs:EPSG::2056"));
    sees(
        &t,
        &index("r.geojson", "id", ""),
        1,
        "error: region 1 has the corner (-10797990.606947536, 5160979.444049782), which is no place in the system \
         `CH1903+ / LV95`\n  at r.geojson\n\n\
         hint: check that the file says the right coordinate system, and that the region lies on its map",
    );
}
