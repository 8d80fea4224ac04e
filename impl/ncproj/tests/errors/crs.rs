//! Coordinate systems, of regions and of grids, that cannot be computed.

use crate::common::*;
use crate::make::{Column, dbf, parquet, shp, wkb};
use crate::snapshot::Area;

const EARTH: &str = r#"GEOGCS["x",DATUM["x",SPHEROID["x",6378137,298.25]],PRIMEM["Greenwich",0],UNIT["Degree",0.0174532925199433]]"#;

#[test]
fn of_regions() {
    let mut a = Area::new("crs_of_regions");
    a.write("s.shp", shp());
    a.write("s.dbf", dbf(1));
    let albers = r#"PROJECTION["Albers"],PARAMETER["standard_parallel_1",30],PARAMETER["central_meridian",0]"#;
    let of = |earth: &str, more: &str| format!("PROJCS[\"here\",{earth},{more},UNIT[\"Meter\",1]]");
    for (title, text) in [
        ("a projection that nobody knows", of(EARTH, r#"PROJECTION["Winkel_Tripel"]"#)),
        (
            "an oblique projection",
            of(EARTH, r#"PROJECTION["Hotine_Oblique_Mercator"],PARAMETER["azimuth",30]"#),
        ),
        ("a parameter is not there", of(EARTH, r#"PROJECTION["Albers"]"#)),
        ("a sphere's formula", of(EARTH, r#"PROJECTION["Sinusoidal_Spherical"]"#)),
        ("text that is cut short", "PROJCS[\"here\",GEOGCS[".to_string()),
        ("a local system", "LOCAL_CS[\"here\",UNIT[\"m\",1]]".to_string()),
        ("no ellipsoid", of("GEOGCS[\"x\"]", albers)),
        ("another meridian", of(&EARTH.replace("Greenwich\",0", "Paris\",2.3"), albers)),
        ("no projection", of(EARTH, "PARAMETER[\"central_meridian\",0]")),
        ("an ellipsoid that cannot be", of(&EARTH.replace("6378137", "0"), albers)),
        ("parameters that do not fit", of(EARTH, &albers.replace("30]", "30],PARAMETER[\"standard_parallel_2\",-30]"))),
        ("a parameter without end", of(EARTH, &albers.replace(",30]", ",1e999]"))),
        (
            "a corner that is no place",
            of(
                EARTH,
                r#"PROJECTION["Lambert_Azimuthal_Equal_Area"],PARAMETER["latitude_of_center",0],PARAMETER["longitude_of_center",0]"#,
            )
            .replace("Meter\",1", "Meter\",1e9"),
        ),
    ] {
        a.write("s.prj", text);
        a.says(title, "index --regions s.shp --key id --grid v.nc -o o.idx");
    }
    let json = geojson(&[("a", vec![area(0.0, 0.0, 1.0, 1.0)])]);
    for (title, name) in [
        ("a number that nobody knows", "urn:ogc:def:crs:EPSG::2263"),
        ("a name that nobody knows", "my system"),
    ] {
        let crs = format!(r#"{{"crs":{{"properties":{{"name":"{name}"}}}},"type""#);
        a.write("c.geojson", json.replacen("{\"type\"", &crs, 1));
        a.says(title, "index --regions c.geojson --key id --grid v.nc -o o.idx");
    }
    let path = a.t.0.join("p.parquet");
    let base = r#""datum":{"ellipsoid":{"semi_major_axis":6378137,"inverse_flattening":298.25}}"#;
    for (title, base, unit) in [
        ("GeoParquet without an ellipsoid", "\"datum\":{}", "metre"),
        (
            "GeoParquet with half an ellipsoid",
            r#""datum":{"ellipsoid":{"semi_major_axis":6378137}}"#,
            "metre",
        ),
        (
            "GeoParquet with another meridian",
            r#""datum":{"ellipsoid":{"radius":6378137},"prime_meridian":{"longitude":2.3}}"#,
            "metre",
        ),
        ("GeoParquet with a unit that nobody knows", base, "furlong"),
    ] {
        let crs = format!(
            r#"{{"type":"ProjectedCRS","name":"here","base_crs":{{{base}}},"conversion":{{"method":{{"name":"Sinusoidal"}}}},"coordinate_system":{{"axis":[{{"unit":"{unit}"}}]}}}}"#
        );
        let geo = format!(
            r#"{{"primary_column":"geometry","columns":{{"geometry":{{"encoding":"WKB","crs":{crs}}}}}}}"#
        );
        let shape = wkb();
        let columns = [("id", Column::Text("a")), ("geometry", Column::Bytes(&shape))];
        parquet(&path, Some(&geo), &columns);
        a.says(title, "index --regions p.parquet --key id --grid v.nc -o o.idx");
    }
    let crs = r#"{"type":"ProjectedCRS","name":"here","base_crs":{"datum":{"ellipsoid":{"radius":6378137}}},"conversion":{"method":{"name":"Sinusoidal"},"parameters":[{"name":"False easting","value":1,"unit":"furlong"}]},"coordinate_system":{"axis":[{"unit":"metre"}]}}"#;
    let geo = format!(
        r#"{{"primary_column":"geometry","columns":{{"geometry":{{"encoding":"WKB","crs":{crs}}}}}}}"#
    );
    let shape = wkb();
    parquet(&path, Some(&geo), &[("id", Column::Text("a")), ("geometry", Column::Bytes(&shape))]);
    a.says(
        "GeoParquet with a parameter in a unit that nobody knows",
        "index --regions p.parquet --key id --grid v.nc -o o.idx",
    );
    a.finish();
}

#[test]
fn of_grids() {
    let mut a = Area::new("crs_of_grids");
    let mut tried = |title: &str, units: &str, mapping: &[(&str, &str)]| {
        a.write("p.nc", plane((0.0, 1e5, 3), (0.0, 1e5, 3), units, mapping, |_, _| 1.0));
        a.says(title, "index --regions r.geojson --key id --grid p.nc -o o.idx");
    };
    let name = "grid_mapping_name";
    tried("a projection that nobody knows", "m", &[(name, "winkel_tripel")]);
    for (title, cf, lacks) in [
        ("a conic without its parallel", "lambert_conformal_conic", ""),
        ("a conic without its meridian", "albers_conical_equal_area", "standard_parallel"),
        ("no meridian", "transverse_mercator", ""),
        ("no side of the pole", "polar_stereographic", ""),
        ("no latitude", "stereographic", ""),
        ("no latitude for the area", "lambert_azimuthal_equal_area", ""),
        ("no pole", "rotated_latitude_longitude", ""),
    ] {
        tried(title, "m", &[(name, cf), (if lacks.is_empty() { "x" } else { lacks }, "#30")]);
    }
    for (title, proj) in [
        ("PROJ's text with a number that is none", "+proj=lcc +lat_1=x"),
        ("PROJ's text with another meridian", "+proj=merc +pm=paris"),
        ("PROJ's text with an ellipsoid that nobody knows", "+proj=merc +ellps=potato"),
        ("PROJ's text with a unit that nobody knows", "+proj=merc +units=furlong"),
        ("PROJ's text without a zone", "+proj=utm"),
        ("PROJ's text without a pole", "+proj=ob_tran +o_proj=longlat"),
        ("PROJ's text without a parallel", "+proj=aea"),
        ("PROJ's text of a projection that nobody knows", "+proj=wintri"),
    ] {
        tried(title, "m", &[("proj4", proj)]);
    }
    let well_known = "PROJCS[\"x\"";
    tried("well-known text that is cut short", "m", &[("crs_wkt", well_known)]);
    let conic: &[(&str, &str)] = &[
        (name, "lambert_conformal_conic"),
        ("standard_parallel", "#30,60"),
        ("longitude_of_central_meridian", "#262.5"),
        ("latitude_of_projection_origin", "#40"),
    ];
    tried("units that nobody knows", "furlongs", conic);
    tried("degrees for a conic", "degrees", conic);
    let equal_area: &[(&str, &str)] = &[
        (name, "lambert_azimuthal_equal_area"),
        ("latitude_of_projection_origin", "#40"),
        ("longitude_of_projection_origin", "#262.5"),
    ];
    let beyond = plane((-1.6e7, 4e6, 9), (-1.6e7, 4e6, 9), "m", equal_area, |_, _| 1.0);
    a.write("b.nc", beyond);
    a.says(
        "a grid beyond its projection",
        "index --regions r.geojson --key id --grid b.nc -o o.idx",
    );
    // A transverse Mercator ends before it is a quarter round the globe
    let transverse: &[(&str, &str)] =
        &[(name, "transverse_mercator"), ("longitude_of_central_meridian", "#0")];
    a.write("m.nc", plane((-3e6, 1e6, 7), (-1.5e7, 3e6, 11), "m", transverse, |_, _| 1.0));
    a.write("far.geojson", geojson(&[("a", vec![area(75.0, -5.0, 100.0, 5.0)])]));
    a.says(
        "a region beyond the projection",
        "index --regions far.geojson --key id --grid m.nc -o o.idx",
    );
    a.write("only.nc", plane((0.0, 1e5, 3), (0.0, 1e5, 3), "m", conic, |_, _| 1.0));
    a.write(
        "flat.nc",
        Classic::default()
            .dim("j", 3)
            .dim("i", 3)
            .dim("one", 1)
            .var("crs", DOUBLE, &["one"], &[(name, "lambert_conformal_conic")], &[0.0])
            .var("v", FLOAT, &["j", "i"], &[("grid_mapping", "crs")], &[0.0; 9])
            .bytes(),
    );
    a.says("no x and y", "index --regions r.geojson --key id --grid flat.nc -o o.idx");
    a.says("another projection", "aggregate --index v.idx only.nc -o o.csv");
    a.finish();
}
