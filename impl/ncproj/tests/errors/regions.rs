//! Regions: the file, its fields and layers, the shapes.

use crate::common::*;
use crate::make::{Column, dbf, find, fixture, parquet, patched, shp, wkb, zip};
use crate::snapshot::Area;

const POINT: &str =
    r#"{"type":"Feature","properties":{"id":"a"},"geometry":{"type":"Point","coordinates":[1,2]}}"#;

fn tried(a: &mut Area, title: &str, regions: &str, key: &str) {
    a.says(title, &format!("index --regions {regions} --key {key} --grid v.nc -o o.idx"));
}

#[test]
fn files_and_keys() {
    let mut a = Area::new("regions");
    tried(&mut a, "a field that is not there", "r.geojson", "idd");
    tried(&mut a, "another field than the only one", "r.geojson", "population");
    tried(&mut a, "no field", "r.geojson", "''");
    tried(&mut a, "a column without a name", "r.geojson --key-name ''", "id");
    tried(&mut a, "a brace that is not closed", "r.geojson", "'G{id'");
    tried(&mut a, "nothing within the braces", "r.geojson", "'G{}'");
    tried(&mut a, "no such file", "none.geojson", "id");
    a.write("r.txt", "");
    tried(&mut a, "another kind of file", "r.txt", "id");
    tried(&mut a, "an address", "https://host/r.geojson", "id");
    tried(&mut a, "a layer where there is none", "r.geojson --layer x", "id");
    std::fs::create_dir(a.t.0.join("f.geojson")).expect("a folder");
    tried(&mut a, "a folder", "f.geojson", "id");
    a.pipe("pipe.geojson");
    tried(&mut a, "a pipe", "pipe.geojson", "id");
    let one = || vec![area(260.0, 40.0, 261.0, 41.0)];
    a.write("two.geojson", geojson(&[("a", one()), ("b", one()), ("a", one())]));
    tried(&mut a, "keys that come twice", "two.geojson", "id");
    a.write("none.geojson", geojson(&[("", one())]));
    tried(&mut a, "a key that is empty", "none.geojson", "id");
    a.write("p.geojson", geojson(&[("a", vec![area(500000.0, 4e6, 500001.0, 4.1e6)])]));
    tried(&mut a, "metres taken for degrees", "p.geojson", "id");
    a.write("away.geojson", geojson(&[("a", vec![area(10.0, 50.0, 11.0, 51.0)])]));
    tried(&mut a, "another part of the world", "away.geojson", "id");
    a.write("q.geojson", "{\"type\": \"FeatureColl");
    tried(&mut a, "JSON that is cut short", "q.geojson", "id");
    a.write("q.geojson", "{\"type\": \"FeatureCollection\", \"features\": NaN}");
    tried(&mut a, "JSON with a word of another language", "q.geojson", "id");
    a.write("q.geojson", "{\"type\": \"Topology\"}");
    tried(&mut a, "JSON of another kind", "q.geojson", "id");
    a.write("q.geojson", r#"{"type":"FeatureCollection","features":[{"properties":{"id":1}}]}"#);
    tried(&mut a, "a region without a shape", "q.geojson", "id");
    a.write("q.geojson", POINT);
    tried(&mut a, "a point", "q.geojson", "id");
    a.write("q.geojson", POINT.replace("Point", "Polygon"));
    tried(&mut a, "coordinates that are no rings", "q.geojson", "id");
    a.write("l.zip", fixture("layers.zip"));
    tried(&mut a, "several shapefiles", "l.zip", "id");
    a.write("g.gpkg", fixture("regions.gpkg"));
    tried(&mut a, "several layers", "g.gpkg", "id");
    tried(&mut a, "a layer that is not there", "g.gpkg --layer box", "id");
    tried(&mut a, "a field that the layer lacks", "g.gpkg --layer boxes", "name");
    a.finish();
}

#[test]
fn shapefiles() {
    let mut a = Area::new("shapefiles");
    a.write("s.shp", shp());
    tried(&mut a, "a .shp alone", "s.shp", "id");
    a.write("s.dbf", dbf(1));
    tried(&mut a, "no .shp", "t.shp", "id");
    a.write("t.shp", "hello");
    a.write("t.dbf", dbf(1));
    tried(&mut a, "no shapefile", "t.shp", "id");
    a.write("t.shp", &shp()[..150]);
    tried(&mut a, "a .shp that is cut short", "t.shp", "id");
    let changed = |at: usize, to: u8| {
        let mut b = shp();
        b[at] = to;
        b
    };
    a.write("t.shp", changed(148, 9));
    tried(&mut a, "rings that lie outside", "t.shp", "id");
    for (kind, title) in [
        (1, "points"),
        (3, "lines"),
        (8, "sets of points"),
        (31, "multipatches"),
        (99, "shapes that nobody knows"),
    ] {
        a.write("t.shp", changed(108, kind));
        tried(&mut a, title, "t.shp", "id");
    }
    a.write("t.shp", &shp()[..100]);
    a.write("t.dbf", dbf(0));
    tried(&mut a, "a shapefile without shapes", "t.shp", "id");
    a.write("t.shp", shp());
    a.write("t.dbf", "");
    tried(&mut a, "an empty .dbf", "t.shp", "id");
    a.write("t.dbf", dbf(2));
    tried(&mut a, "more rows than shapes", "t.shp", "id");
    a.write("z.zip", "PK");
    tried(&mut a, "a zip that is cut short", "z.zip", "id");
    a.write("z.zip", zip(&[("readme.txt", b"hello")]));
    tried(&mut a, "a zip without shapes", "z.zip", "id");
    a.write("z.zip", zip(&[("s.shp", &shp())]));
    tried(&mut a, "a zip without fields", "z.zip", "id");
    let whole = zip(&[("s.shp", &shp()), ("s.dbf", &dbf(1))]);
    let entry = find(&whole, b"PK\x01\x02");
    let member = |at: usize, new: &[u8]| {
        let mut b = whole.clone();
        b[entry + at..entry + at + new.len()].copy_from_slice(new);
        b
    };
    for (title, bytes) in [
        ("a member that is packed otherwise", member(10, &[12, 0])),
        ("a member whose checksum is wrong", member(16, &[1, 2, 3, 4])),
        ("a member that ends too early", member(20, &[0, 0, 1, 0])),
        ("a member that is too large", member(24, &[0, 0, 0, 127])),
        ("a member that does not inflate", member(10, &[8, 0])),
    ] {
        a.write("z.zip", bytes);
        tried(&mut a, title, "z.zip", "id");
    }
    a.finish();
}

#[test]
fn geopackages() {
    let mut a = Area::new("geopackages");
    let whole = fixture("regions.gpkg");
    a.write("g.gpkg", "<html>404</html>");
    tried(&mut a, "no GeoPackage", "g.gpkg", "id");
    a.write("g.gpkg", &whole);
    a.write("g.gpkg-wal", "x");
    tried(&mut a, "a log beside it that holds nothing", "g.gpkg --layer boxes", "fid");
    std::fs::remove_file(a.t.0.join("g.gpkg-wal")).expect("it goes away");
    let page = |n: usize| (n - 1) * 512;
    let at = |text: &str| find(&whole, text.as_bytes());
    let set = |at: usize, new: &[u8]| {
        let mut b = whole.clone();
        b[at..at + new.len()].copy_from_slice(new);
        b
    };
    let layers = at("boxesgeom") / 512 + 1;
    // The table of layers as a page that leads on to another.
    let inner = |to: u32| {
        let mut b = set(page(layers), &[5, 0, 0, 0, 0]);
        b[page(layers) + 8..page(layers) + 12].copy_from_slice(&to.to_be_bytes());
        b
    };
    for (title, bytes) in [
        ("a header that cannot be", set(16, &[0, 3])),
        (
            "SQLite of another kind",
            patched(&whole, "gpkg_geometry_columns", "gpkg_geometry_columnz"),
        ),
        ("a column that is not there", patched(&whole, "srs_id", "srs_ix")),
        ("a layer without a table", patched(&whole, "tableboxesboxes", "tableboxezboxez")),
        ("a layer without its column", patched(&whole, "boxesgeom", "boxesgeoq")),
        ("a page that cannot be read", set(page(layers), &[77])),
        ("a page that is not there", inner(10_000)),
        ("pages in a circle", inner(layers as u32)),
        ("a file without layers", set(page(layers) + 3, &[0, 0])),
        ("a shape that is damaged", patched(&whole, "GP\0\x03", "GX\0\x03")),
    ] {
        a.write("g.gpkg", bytes);
        tried(&mut a, title, "g.gpkg --layer boxes", "fid");
    }
    a.finish();
}

/// Title, metadata, columns.
type Case<'a> = (&'a str, Option<&'a str>, Vec<(&'a str, Column<'a>)>);

#[test]
fn geoparquet() {
    let mut a = Area::new("geoparquet");
    a.write("g.parquet", "hello");
    tried(&mut a, "no Parquet", "g.parquet", "id");
    let path = a.t.0.join("g.parquet");
    let geo = r#"{"primary_column":"geometry","columns":{"geometry":{"encoding":"WKB"}}}"#;
    let shape = wkb();
    let mut point = shape.clone();
    point[1] = 1;
    let line = [&[1, 2, 0, 0, 0, 1, 0, 0, 0][..], &[0; 16]].concat();
    let points = [&[1, 4, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0][..], &[0; 16]].concat();
    let unknown = [1, 99, 0, 0, 0];
    let of = |shape| vec![("id", Column::Text("a")), ("geometry", Column::Bytes(shape))];
    let cases: [Case; 10] = [
        ("Parquet without shapes", None, vec![("id", Column::Text("a"))]),
        (
            "shapes that are kept otherwise",
            Some(r#"{"primary_column":"g","columns":{"g":{"encoding":"polygon"}}}"#),
            vec![("id", Column::Text("a"))],
        ),
        (
            "a key of fractions",
            Some(geo),
            vec![("id", Column::Double(1.5)), ("geometry", Column::Bytes(&shape))],
        ),
        ("the column of shapes is not there", Some(geo), vec![("id", Column::Text("a"))]),
        (
            "a column of shapes that holds numbers",
            Some(geo),
            vec![("id", Column::Text("a")), ("geometry", Column::Double(1.5))],
        ),
        (
            "a shape that is damaged",
            Some(geo),
            vec![("id", Column::Text("a")), ("geometry", Column::Bytes(&shape[..40]))],
        ),
        ("a point", Some(geo), of(&point)),
        ("a line", Some(geo), of(&line)),
        ("a set of points", Some(geo), of(&points)),
        ("a shape that nobody knows", Some(geo), of(&unknown)),
    ];
    for (title, geo, columns) in cases {
        parquet(&path, geo, &columns);
        tried(&mut a, title, "g.parquet", "id");
    }
    a.finish();
}
