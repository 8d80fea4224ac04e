//! Regions in the forms that other programs write: what is refused, and in which words.

use crate::make::{Column, dbf, fixture, parquet, patched, shp, wkb, zip};
use crate::snapshot::Area;

fn tried(a: &mut Area, title: &str, regions: &str, key: &str) {
    a.says(title, &format!("index --regions {regions} --key {key} --grid v.nc -o o.idx"));
}

#[test]
fn tables_of_shapefiles() {
    let mut a = Area::new("tables");
    a.write("t.shp", shp());
    let changed = |at: usize, to: &[u8]| {
        let mut b = dbf(1);
        b[at..at + to.len()].copy_from_slice(to);
        b
    };
    for (title, bytes) in [
        ("text that is not UTF-8", changed(66, b"\xf1")),
        ("an encoding that nobody knows by number", {
            let mut b = changed(66, b"\xf1");
            b[29] = 0x69;
            b
        }),
        ("Latin-1 that looks like UTF-8", {
            let mut b = changed(66, b"\xc3\xb1");
            b[29] = 0x57;
            b
        }),
        ("a memo", changed(43, b"M")),
        ("a field of an unknown type", changed(43, b"Q")),
        ("a field of FoxPro that may be null", {
            let mut b = changed(0, &[0x30]);
            b[50] = 2;
            b
        }),
        ("a number that is none", changed(43, b"N")),
        ("a date that is none", changed(43, b"D")),
        ("a table of dBASE 7", changed(0, &[4])),
        ("an encrypted table", changed(15, &[1])),
    ] {
        a.write("t.dbf", bytes);
        tried(&mut a, title, "t.shp", "id");
    }
    let mut twice = dbf(1);
    twice[8] = 97;
    twice[10] = 9;
    let field = twice[32..64].to_vec();
    twice.splice(64..64, field);
    twice.splice(twice.len() - 1.., *b"b   \x1a");
    a.write("t.dbf", twice);
    tried(&mut a, "a field that comes twice", "t.shp", "id");
    a.write("t.dbf", changed(66, b"\xf1"));
    a.write("t.cpg", "KLINGON");
    tried(&mut a, "an encoding that nobody knows by name", "t.shp", "id");
    a.write("t.cpg", "UTF-8");
    tried(&mut a, "text in another encoding than is said", "t.shp", "id");
    std::fs::remove_file(a.t.0.join("t.cpg")).expect("it goes away");
    a.write("t.dbf", dbf(1));
    let shx = |offset: i32, words: i32| {
        let mut out = shp()[..100].to_vec();
        out.extend(offset.to_be_bytes());
        out.extend(words.to_be_bytes());
        out
    };
    for (title, bytes) in [
        ("a .shx that leads out of the .shp", shx(5000, 64)),
        ("a .shx that leads to no record", shx(50, 8)),
        ("a .shx that is none", b"hello".to_vec()),
        ("a .shx that is cut short", {
            let mut b = shx(50, 64);
            b[24..28].copy_from_slice(&5000i32.to_be_bytes());
            b
        }),
        ("a .shx that leads twice to one place", {
            let mut b = shx(50, 64);
            let entry = b[100..].to_vec();
            b.extend(entry);
            b
        }),
    ] {
        a.write("t.shx", bytes);
        tried(&mut a, title, "t.shp", "id");
    }
    std::fs::remove_file(a.t.0.join("t.shx")).expect("it goes away");
    let mut long = shp();
    long[24..28].copy_from_slice(&5000i32.to_be_bytes());
    a.write("t.shp", long);
    tried(&mut a, "a .shp that is shorter than it says", "t.shp", "id");
    a.finish();
}

#[test]
fn flatgeobuf() {
    let mut a = Area::new("flatgeobuf");
    let whole = fixture("boxes.fgb");
    let size = u32::from_le_bytes(whole[8..12].try_into().expect("four")) as usize;
    let changed = |at: usize, to: &[u8]| {
        let mut b = whole.clone();
        b[at..at + to.len()].copy_from_slice(to);
        b
    };
    for (title, bytes) in [
        ("no FlatGeobuf", b"<html>404</html>".to_vec()),
        ("a later version", changed(3, &[9])),
        ("cut within the header", whole[..100].to_vec()),
        ("a header that cannot be read", changed(12, &[255; 8])),
        ("cut within a feature", whole[..whole.len() - 9].to_vec()),
        ("fewer features than it says", {
            let index = 12 + size + 3 * 40;
            let first = u32::from_le_bytes(whole[index..index + 4].try_into().expect("four"));
            whole[..index + 4 + first as usize].to_vec()
        }),
        ("a feature that cannot be read", changed(12 + size + 3 * 40 + 4, &[255; 8])),
    ] {
        a.write("f.fgb", bytes);
        tried(&mut a, title, "f.fgb", "id");
    }
    a.finish();
}

#[test]
fn geojson() {
    let mut a = Area::new("geojson");
    let ring = "[[[260,40],[262,40],[262,42],[260,42],[260,40]]]";
    let one = |more: &str, properties: &str, geometry: &str| {
        format!(r#"{{"type":"Feature"{more},"properties":{properties},"geometry":{geometry}}}"#)
    };
    let polygon = format!(r#"{{"type":"Polygon","coordinates":{ring}}}"#);
    let twice = one("", r#"{"id":"a","id":"b"}"#, &polygon);
    let crs = r#","crs":{"type":"name","properties":{"name":"EPSG:3857"}}"#;
    let plain = one("", r#"{"id":"a"}"#, &polygon);
    for (title, text, key) in [
        ("two members of one name", twice, "id"),
        ("an object as a key", one("", r#"{"id":{"a":1}}"#, &polygon), "id"),
        ("a list as a key", one("", r#"{"id":["a"]}"#, &polygon), "id"),
        ("a number too large for its digits", one("", r#"{"id":1e30}"#, &polygon), "id"),
        ("a feature's own id", one(r#","id":7"#, r#"{"a":1}"#, &polygon), "id"),
        ("no feature has an id", plain.clone(), "@id"),
        ("a geometry alone", polygon.clone(), "id"),
        ("Esri JSON", format!(r#"{{"rings":{ring},"spatialReference":{{}}}}"#), "id"),
        (
            "features of Esri JSON",
            r#"{"features":[{"attributes":{"id":1}}],"geometryType":"x"}"#.to_string(),
            "id",
        ),
        ("JSON that is not GeoJSON", r#"{"a":1}"#.to_string(), "id"),
        ("a list", "[1]".to_string(), "id"),
        ("UTF-16", "\u{0}{\u{0}}".to_string(), "id"),
        (
            "a feature of another type",
            r#"{"type":"FeatureCollection","features":[{"type":"Element"}]}"#.to_string(),
            "id",
        ),
        (
            "a feature without a type",
            r#"{"type":"FeatureCollection","features":[{"properties":{"id":1}}]}"#.to_string(),
            "id",
        ),
        ("two systems", format!("{}\n{plain}", one(crs, r#"{"id":"b"}"#, &polygon)), "id"),
        (
            "a system behind a link",
            one(r#","crs":{"type":"link"}"#, r#"{"id":"b"}"#, &polygon),
            "id",
        ),
        ("no shape at all", one("", r#"{"id":"a"}"#, "null"), "id"),
    ] {
        a.write("g.geojson", text);
        tried(&mut a, title, "g.geojson", key);
    }
    a.finish();
}

#[test]
fn other_formats() {
    let mut a = Area::new("formats");
    for (name, title) in [
        ("r.kml", "KML"),
        ("r.gml", "GML"),
        ("r.xlsx", "a spreadsheet"),
        ("r.tab", "MapInfo"),
        ("r.gdb", "a geodatabase"),
        ("r.feather", "Feather"),
        ("r.pbf", "OpenStreetMap"),
        ("r.dxf", "a drawing"),
        ("r.tif", "a raster"),
        ("r.dbf", "the table alone"),
        ("r.xyz", "a format that nobody knows"),
        ("r.geojson.gz", "no gzip"),
    ] {
        a.write(name, "hello");
        tried(&mut a, title, name, "id");
    }
    let mut whole = zip(&[("s.shp", &shp()), ("s.dbf", &dbf(1))]);
    for at in (0..whole.len() - 4).rev() {
        match &whole[at..at + 4] {
            b"PK\x03\x04" => whole[at + 6] = 1,
            b"PK\x01\x02" => whole[at + 8] = 1,
            _ => {}
        }
    }
    a.write("z.zip", whole);
    tried(&mut a, "an encrypted archive", "z.zip", "id");
    let path = a.t.0.join("s.sqlite");
    let db = rusqlite::Connection::open(&path).expect("a data base");
    db.execute_batch("CREATE TABLE geometry_columns (a); CREATE TABLE spatial_ref_sys (a);")
        .expect("two tables");
    tried(&mut a, "SpatiaLite", "s.sqlite", "id");
    drop(db);
    let path = a.t.0.join("g.gpkg");
    let db = rusqlite::Connection::open(&path).expect("a data base");
    db.execute_batch(
        "CREATE TABLE gpkg_spatial_ref_sys (srs_id, definition);
         CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id);
         INSERT INTO gpkg_geometry_columns VALUES ('gone', 'geom', 0), ('text', 'geom', 0), ('bytes', 'geom', 0), ('endless', 'geom', 0),
             ('extended', 'geom', 0);
         CREATE TABLE text (id, geom); INSERT INTO text VALUES (CAST(x'ff' AS TEXT), NULL);
         CREATE TABLE bytes (id, geom); INSERT INTO bytes VALUES (x'ff', NULL);
         CREATE TABLE extended (id, geom); INSERT INTO extended VALUES ('a', x'47500021');
         CREATE VIEW endless AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n)
             SELECT k AS id, NULL AS geom FROM n WHERE k < 0;",
    )
    .expect("layers");
    drop(db);
    for (layer, title) in [
        ("gone", "a layer without a table"),
        ("text", "text that is not UTF-8"),
        ("bytes", "bytes as a key"),
        ("endless", "an endless view"),
        ("extended", "a shape of an extension"),
    ] {
        tried(&mut a, title, &format!("g.gpkg --layer {layer}"), "id");
    }
    a.finish();
}

#[test]
fn geoparquet_of_other_kinds() {
    let mut a = Area::new("geoparquet_others");
    let path = a.t.0.join("g.parquet");
    let geo = r#"{"primary_column":"geometry","columns":{"geometry":{"encoding":"WKB"}}}"#;
    let shape = wkb();
    let kind = |code: u8| {
        let mut b = shape.clone();
        b[1] = code;
        b
    };
    let (surface, curve, polyhedral) = (kind(17), kind(10), kind(15));
    let columns = |shape| vec![("id", Column::Text("a")), ("geometry", Column::Bytes(shape))];
    let geo_of = |from: &str, to: &str| geo.replace(from, to);
    for (title, geo, shape) in [
        ("metadata that are cut short", geo[..40].to_string(), &shape),
        ("edges of great circles", geo_of("\"WKB\"", "\"WKB\",\"edges\":\"spherical\""), &shape),
        ("edges of another kind", geo_of("\"WKB\"", "\"WKB\",\"edges\":\"vincenty\""), &shape),
        ("an encoding that nobody knows", geo_of("WKB", "WKT"), &shape),
        ("a triangulated surface", geo.to_string(), &surface),
        ("a surface of arcs", geo.to_string(), &curve),
        ("a polyhedral surface", geo.to_string(), &polyhedral),
    ] {
        parquet(&path, Some(&geo), &columns(shape));
        tried(&mut a, title, "g.parquet", "id");
    }
    parquet(&path, Some(geo), &[("id", Column::Bytes(b"a")), ("geometry", Column::Bytes(&shape))]);
    tried(&mut a, "bytes as a key", "g.parquet", "id");
    let whole = std::fs::read(&path).expect("a file");
    a.write("g.parquet", patched(&whole, "geometry", "geometrx"));
    tried(&mut a, "another name of the column", "g.parquet", "id");
    a.finish();
}
