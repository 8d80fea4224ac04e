//! Units of angle, as the coordinates of grids carry them.

use crate::features::{Feature, Refusal};

/// Which way a coordinate counts, where its unit says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// `degrees_north`, `degrees_south`: a latitude.
    Latitude,
    /// `degrees_east`, `degrees_west`: a longitude.
    Longitude,
    /// `degree`, `radian`: the unit does not tell.
    Either,
}

/// A unit of angle: degrees = value * factor. South and west count with a negative factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angle {
    pub factor: f64,
    pub towards: Towards,
}

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        "coordinates",
        "`units` `degrees_north`, `degrees_east`",
        "with all spellings of CF: `degree_north`, `degree_N`, `degrees_N`, `degreeN`, `degreesN`, and for east",
    ),
    Feature::converted(
        "coordinates",
        "`units` `degrees_south`, `degrees_west`",
        "counted north and east",
    ),
    Feature::honoured(
        "coordinates",
        "`units` `degree`, `degrees`, `deg`, `arc_degree`, or none",
        "degrees, where `standard_name`, `axis`, the name or `--latitude` and `--longitude` tell the axis",
    ),
    Feature::converted(
        "coordinates",
        "`units` `radian`, `grad`, `arc_minute`, `arc_second`, `turn`",
        "to degrees, with UDUNITS' names: `rad`, `gon`, `gradian`, `arcminute`, `arcsec`, `circle`, `revolution`",
    ),
];

pub static UNKNOWN: Refusal = Refusal {
    of: "coordinates",
    name: "`units` that are no unit of angle",
    message: "the {} is in `{}`, which is no unit of angle that ncproj knows",
    hint: "write it in degrees and set `units` to `{}`",
};

pub static OTHER_WAY: Refusal = Refusal {
    of: "coordinates",
    name: "`units` of the other axis",
    message: "the {} is in `{}`, which is a unit of the other axis",
    hint: "repair the attribute `units`, or name the coordinates with `--latitude` and `--longitude`",
};

pub const REFUSALS: &[&Refusal] = &[&UNKNOWN, &OTHER_WAY];

/// The unit of this name, in any case of letters; no text at all is degrees.
pub fn unit(text: &str) -> Option<Angle> {
    let name = text.trim().to_lowercase();
    let plain = |factor: f64| Some(Angle { factor, towards: Towards::Either });
    match name.as_str() {
        "" | "degree" | "degrees" | "deg" | "degs" | "\u{b0}" | "arc_degree" | "arc_degrees"
        | "arcdeg" | "arcdegree" | "arcdegrees" | "angular_degree" | "angular_degrees" => {
            return plain(1.0);
        }
        "radian" | "radians" | "rad" => return plain(180.0 / std::f64::consts::PI),
        "grad" | "grads" | "grade" | "grades" | "gradian" | "gradians" | "gon" | "gons" => {
            return plain(0.9);
        }
        "arc_minute" | "arc_minutes" | "arcminute" | "arcminutes" | "arcmin" | "angular_minute"
        | "angular_minutes" | "'" | "\u{2032}" => return plain(1.0 / 60.0),
        "arc_second" | "arc_seconds" | "arcsecond" | "arcseconds" | "arcsec" | "angular_second"
        | "angular_seconds" | "\"" | "\u{2033}" => return plain(1.0 / 3600.0),
        "turn" | "turns" | "circle" | "circles" | "revolution" | "revolutions" => {
            return plain(360.0);
        }
        _ => {}
    }
    let rest = name.strip_prefix("degrees").or_else(|| name.strip_prefix("degree"))?;
    let (factor, towards) = match rest.trim_start_matches(['_', ' ']) {
        "north" | "n" => (1.0, Towards::Latitude),
        "south" | "s" => (-1.0, Towards::Latitude),
        "east" | "e" => (1.0, Towards::Longitude),
        "west" | "w" => (-1.0, Towards::Longitude),
        _ => return None,
    };
    Some(Angle { factor, towards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_cf_and_those_that_are_none() {
        for north in ["degrees_north", "degree_N", "degreesN", "Degrees_North", " degreeN "] {
            assert_eq!(
                unit(north),
                Some(Angle { factor: 1.0, towards: Towards::Latitude }),
                "{north}"
            );
        }
        assert_eq!(unit("degrees_west"), Some(Angle { factor: -1.0, towards: Towards::Longitude }));
        assert_eq!(unit("grad").map(|a| a.factor * 100.0), Some(90.0));
        for other in
            ["degree_Celsius", "degC", "m", "1", "degrees_true", "degrees_up", "radian_north", "km"]
        {
            assert_eq!(unit(other), None, "{other}");
        }
    }
}
