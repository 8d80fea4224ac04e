//! What a file of regions says of its coordinate system: well-known text, PROJJSON or a code of EPSG.

use crate::crs::System;
use serde_json::Value;

/// What the file says about its coordinates.
pub(crate) enum Crs {
    /// Longitude and latitude of WGS 84, as GeoJSON and GeoParquet have it unless they say otherwise.
    Geographic,
    Known(System),
    /// Its name, and why it cannot be used.
    Refused(String, String),
    Unknown,
}

/// A system by any text that PROJ reads: well-known text, `EPSG:2056`, a URN, PROJ's own words.
pub(crate) fn crs_of_wkt(text: &str) -> Crs {
    let text = text.trim_start_matches('\u{feff}').trim_matches(['\0', ' ', '\t', '\r', '\n']);
    if text.is_empty() || text.eq_ignore_ascii_case("undefined") {
        return Crs::Unknown;
    }
    if is_wgs84(text) {
        return Crs::Geographic;
    }
    let name = || {
        let quoted = text.split('"').nth(1).unwrap_or(text);
        quoted.chars().take(80).collect::<String>()
    };
    match System::read(text) {
        Ok(system) => Crs::Known(system),
        Err(why) => Crs::Refused(name(), why),
    }
}

/// The commonest texts of WGS 84, for which PROJ need not look into its data base.
fn is_wgs84(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let esri = r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#;
    let gdal = r#"GEOGCS["WGS84",DATUM["WGS_1984",SPHEROID["WGS84",6378137,298.257223563"#;
    bare == esri
        || (bare.starts_with(gdal)
            && bare.ends_with(r#"AUTHORITY["EPSG","4326"]]"#)
            && bare.contains(r#"PRIMEM["Greenwich",0"#)
            && !bare.contains("TOWGS84"))
        || ["EPSG:4326", "OGC:CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84"].contains(&text)
}

/// By a code of EPSG.
pub(crate) fn crs_of_epsg(name: &str, code: u32) -> Crs {
    let code = match code {
        // the web's Mercator, before EPSG gave it a number
        900_913 | 3785 => 3857,
        102_100 | 102_113 => 3857,
        c => c,
    };
    if code == 4326 {
        return Crs::Geographic;
    }
    match System::read(&format!("EPSG:{code}")) {
        Ok(system) => Crs::Known(system),
        Err(why) => Crs::Refused(name.to_string(), why),
    }
}

/// By PROJJSON, as GeoParquet has it.
pub(crate) fn crs_of_json(c: &Value) -> Crs {
    match c {
        Value::Null => Crs::Unknown,
        Value::String(text) => crs_of_wkt(text),
        // the commonest of all, without a look into the data base
        _ if c["type"] == "GeographicCRS"
            && [("OGC", Value::from("CRS84")), ("EPSG", Value::from(4326))]
                .iter()
                .any(|(a, code)| c["id"]["authority"] == *a && c["id"]["code"] == *code) =>
        {
            Crs::Geographic
        }
        _ => match System::read(&c.to_string()) {
            Ok(system) => Crs::Known(system),
            Err(why) => {
                Crs::Refused(c["name"].as_str().unwrap_or("without a name").to_string(), why)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_a_broken_text_is_refused() {
        let Crs::Refused(name, _) = crs_of_wkt("PROJCS[\"Albers\",GEOGCS[]]") else { panic!() };
        assert_eq!(name, "Albers");
        assert!(matches!(crs_of_wkt(""), Crs::Unknown));
        assert!(matches!(crs_of_wkt("nonsense"), Crs::Refused(..)));
    }

    #[test]
    fn all_ways_to_name_a_system_lead_to_it() {
        for text in [
            "EPSG:4326",
            "urn:ogc:def:crs:EPSG::4326",
            "http://www.opengis.net/def/crs/EPSG/0/4326",
            "https://www.opengis.net/def/crs/EPSG/0/4326",
            "EPSG:4979",
        ] {
            match crs_of_wkt(text) {
                Crs::Geographic => {}
                Crs::Known(s) => assert_eq!((s.name.as_str(), s.geographic), ("WGS 84", true)),
                _ => panic!("{text}"),
            }
        }
    }
}
