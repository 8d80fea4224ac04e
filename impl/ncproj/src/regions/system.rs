//! What a file of regions says of its coordinate system: well-known text, PROJJSON or a code of EPSG.

use crate::crs::{Projection, of_projjson, of_wkt};
use serde_json::Value;

/// What the file says about its coordinates.
pub(crate) enum Crs {
    Geographic,
    /// Its name, and how it is computed, or why it is not.
    Projected(String, std::result::Result<Projection, String>),
    Unknown,
}

/// Is this well-known text (or name) of a coordinate system geographic?
pub(crate) fn crs_of_wkt(text: &str) -> Crs {
    let text = text.trim_start_matches('\u{feff}').trim();
    let upper = text.to_uppercase();
    if text.is_empty() {
        return Crs::Unknown;
    }
    let name = text.split('"').nth(1).unwrap_or(text).to_string();
    let geographic = ["GEOGCS", "GEOGCRS", "GEODCRS", "GEOGRAPHIC"];
    if geographic.iter().any(|g| upper.starts_with(g)) {
        Crs::Geographic
    } else if upper == "UNDEFINED" {
        Crs::Unknown
    } else {
        Crs::Projected(name, of_wkt(text).and_then(|d| d.build(None)))
    }
}

/// By a code of EPSG: longitude and latitude, and a few projections that GeoJSON and the like name so.
pub(crate) fn crs_of_epsg(name: &str, code: u32) -> Crs {
    const CONUS: &str = "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +ellps=GRS80";
    const EUROPE: &str = "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80";
    let text = match code {
        4326 | 4269 | 4267 | 4258 | 4979 | 4283 | 4490 | 4612 | 4617 | 4674 | 4759 => {
            return Crs::Geographic;
        }
        3857 | 900_913 => "+proj=merc +a=6378137 +b=6378137".to_string(),
        5070 => CONUS.to_string(),
        3035 => EUROPE.to_string(),
        3413 => "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +ellps=WGS84".to_string(),
        3031 => "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=0 +ellps=WGS84".to_string(),
        32601..=32660 => format!("+proj=utm +zone={} +ellps=WGS84", code - 32600),
        32701..=32760 => format!("+proj=utm +zone={} +south +ellps=WGS84", code - 32700),
        26901..=26923 => format!("+proj=utm +zone={} +ellps=GRS80", code - 26900),
        25828..=25838 => format!("+proj=utm +zone={} +ellps=GRS80", code - 25800),
        _ => {
            let why = "ncproj knows few by their number alone".to_string();
            return Crs::Projected(name.to_string(), Err(why));
        }
    };
    Crs::Projected(name.to_string(), Projection::parse(&text))
}

/// By PROJJSON, as GeoParquet has it.
pub(crate) fn crs_of_json(c: &Value) -> Crs {
    let name = c["name"].as_str().unwrap_or("without a name").to_string();
    match c["type"].as_str() {
        Some("GeographicCRS" | "GeodeticCRS") => Crs::Geographic,
        Some("BoundCRS") => crs_of_json(&c["source_crs"]),
        Some("CompoundCRS") => crs_of_json(&c["components"][0]),
        Some(_) => Crs::Projected(name, of_projjson(c).and_then(|d| d.build(None))),
        None => Crs::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projected_systems_are_told_from_geographic_ones() {
        assert!(matches!(crs_of_wkt("GEOGCS[\"NAD83\",DATUM[]]"), Crs::Geographic));
        assert!(
            matches!(crs_of_wkt("PROJCS[\"Albers\",GEOGCS[]]"), Crs::Projected(n, Err(_)) if n == "Albers")
        );
        assert!(matches!(crs_of_wkt(""), Crs::Unknown));
    }
}
