//! Coordinate systems: longitude and latitude -> x and y, and back; and what files say of their systems.
//!
//! The formulas are PROJ's; the rotated pole has its own, here. Longitude and latitude of a projection are those of its own
//! datum, counted from Greenwich.

mod cf;
mod define;
mod proj;

use std::fmt;
use std::sync::Arc;

pub use cf::{FEATURES, Mapping, REFUSALS, Unit, read_mapping};
pub use define::length_unit;
pub use proj::{System, Transfer, forget_environment};

/// A projection that can be computed.
#[derive(Clone)]
pub struct Projection {
    /// Says everything that the result depends on, in PROJ's words; the same projection has the same text.
    pub text: String,
    /// The meridian in the middle: x is known for longitudes within 180 degrees of it.
    pub lon_0: f64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Latitude of the pole (sine, cosine) and the grid's own longitude of the true pole.
    Rotated { sin: f64, cos: f64, turn: f64 },
    /// PROJ's words and their number, the meridian that PROJ itself counts from, the square of the eccentricity, and the
    /// authalic q of the pole.
    Plane { id: u64, words: Arc<str>, turn: f64, e2: f64, pole: f64 },
}

impl PartialEq for Projection {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn wrap(lon: f64) -> f64 {
    if (-180.0..=180.0).contains(&lon) {
        lon
    } else {
        lon - ((lon + 180.0) / 360.0).floor() * 360.0
    }
}

impl Projection {
    /// Reads PROJ's own words: `+proj=lcc +lat_1=33 ...`.
    pub fn parse(text: &str) -> Result<Projection, String> {
        define::of_proj(text)?.build(None)
    }

    /// Are x and y longitudes and latitudes about another pole, in degrees?
    pub fn is_rotated(&self) -> bool {
        matches!(self.kind, Kind::Rotated { .. })
    }

    /// The latitude in the middle and the reach in degrees of a projection that shows the Earth as a disc, from afar.
    pub fn disc(&self) -> Option<(f64, f64)> {
        let word = |name: &str| {
            let at = self.text.split(' ').find_map(|w| w.strip_prefix(name))?;
            at.parse::<f64>().ok()
        };
        let earth = word("+a=").or(word("+R="))?;
        let reach = |h: f64| (earth / (earth + h)).acos().to_degrees() + 0.2;
        match self.text.split(' ').next()? {
            "+proj=geos" => Some((0.0, reach(word("+h=")?))),
            "+proj=nsper" => Some((word("+lat_0=").unwrap_or(0.0), reach(word("+h=")?))),
            "+proj=ortho" => Some((word("+lat_0=").unwrap_or(0.0), 90.0)),
            _ => None,
        }
    }

    /// Does the whole Earth lie on a map whose corners are no places? There PROJ's way back may give some place all the same.
    pub fn is_world(&self) -> bool {
        const WORLDS: [&str; 27] = [
            "aitoff",
            "crast",
            "denoy",
            "eck1",
            "eck2",
            "eck3",
            "eck4",
            "eck5",
            "eck6",
            "eqearth",
            "fahey",
            "hammer",
            "hatano",
            "kav5",
            "kav7",
            "loxim",
            "moll",
            "natearth",
            "natearth2",
            "nell_h",
            "putp2",
            "robin",
            "sinu",
            "vandg",
            "wag4",
            "wink1",
            "wintri",
        ];
        let code = self.text.split(' ').next().and_then(|w| w.strip_prefix("+proj="));
        code.is_some_and(|c| WORLDS.contains(&c))
    }

    /// Longitude and latitude of a place on the map; nothing off the map of the world.
    pub fn place(&self, x: f64, y: f64, slack: f64) -> Option<[f64; 2]> {
        let g = self.inverse(x, y)?;
        if self.is_world() {
            // Some go on beyond their edges.
            if (g[0] - self.lon_0).abs() > 180.0 + 1e-9 || g[1].abs() > 90.0 + 1e-9 {
                return None;
            }
            let back = self.forward_from_middle(g[0] - self.lon_0, g[1])?;
            let off = (back[0] - x).hypot(back[1] - y);
            if off.is_nan() || off > slack {
                return None;
            }
        }
        Some(g)
    }

    /// x and y of a point `d` degrees east of the middle meridian; -180 and 180 are different edges of the map.
    pub fn forward_from_middle(&self, d: f64, lat: f64) -> Option<[f64; 2]> {
        match &self.kind {
            Kind::Rotated { sin, cos, turn } => {
                // `d` counts from the meridian opposite to the pole's.
                let (sd, cd) = (d + 180.0).to_radians().sin_cos();
                let (sp, cp) = lat.to_radians().sin_cos();
                let z = sp * sin + cp * cos * cd;
                let (a, b) = (-sd * cp, -cp * sin * cd + sp * cos);
                Some([a.atan2(b).to_degrees() + turn, z.atan2(a.hypot(b)).to_degrees()])
            }
            Kind::Plane { id, words, turn, .. } => {
                proj::project(*id, words, false, (turn + d).to_radians(), lat.to_radians())
            }
        }
    }

    /// x and y of a longitude and latitude in degrees.
    pub fn forward(&self, lon: f64, lat: f64) -> Option<[f64; 2]> {
        self.forward_from_middle(wrap(lon - self.lon_0), lat)
    }

    /// Longitude (within 180 degrees of the middle meridian) and latitude in degrees.
    pub fn inverse(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        match &self.kind {
            Kind::Rotated { sin, cos, turn } => {
                let (sl, cl) = (x - turn).to_radians().sin_cos();
                let (sp, cp) = y.to_radians().sin_cos();
                let z = sp * sin + cp * cos * cl;
                let (a, b) = (-sin * cl * cp + cos * sp, sl * cp);
                let lon = (-b).atan2(a).to_degrees() + 180.0;
                let lat = z.atan2(a.hypot(b)).to_degrees();
                Some([self.lon_0 + wrap(lon), lat])
            }
            Kind::Plane { id, words, turn, .. } => {
                let [lon, lat] = proj::project(*id, words, true, x, y)?;
                Some([self.lon_0 + (lon.to_degrees() - turn), lat.to_degrees()])
            }
        }
    }

    /// The sine of the authalic latitude: areas between two latitudes are as its differences.
    pub fn authalic_sine(&self, lat: f64) -> f64 {
        let sin = lat.to_radians().sin();
        match self.kind {
            Kind::Plane { e2, pole, .. } if e2 > 0.0 => authalic_q(sin, e2) / pole,
            _ => sin,
        }
    }

    /// The point on the unit sphere that keeps areas: longitude and authalic latitude.
    pub fn on_sphere(&self, lon: f64, lat: f64) -> [f64; 3] {
        let z = self.authalic_sine(lat).clamp(-1.0, 1.0);
        let r = (1.0 - z * z).sqrt();
        let (s, c) = lon.to_radians().sin_cos();
        [r * c, r * s, z]
    }
}

fn authalic_q(sin: f64, e2: f64) -> f64 {
    let e = e2.sqrt();
    (1.0 - e2) * (sin / (1.0 - e2 * sin * sin) + (e * sin).atanh() / e)
}

/// The area of the triangle of great circles between three points of the unit sphere, positive when counter-clockwise.
pub fn triangle(a: [f64; 3], b: [f64; 3], c: [f64; 3]) -> f64 {
    let dot = |p: [f64; 3], q: [f64; 3]| p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
    // a . (b x c) from differences: exact for small triangles too
    let (u, v) = ([b[0] - a[0], b[1] - a[1], b[2] - a[2]], [c[0] - a[0], c[1] - a[1], c[2] - a[2]]);
    let cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    2.0 * dot(a, cross).atan2(1.0 + dot(a, b) + dot(b, c) + dot(c, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: Option<[f64; 2]>, wanted: [f64; 2], slack: f64) {
        let got = got.unwrap();
        assert!(
            (got[0] - wanted[0]).abs() < slack && (got[1] - wanted[1]).abs() < slack,
            "{got:?} is not {wanted:?}"
        );
    }

    #[test]
    fn on_a_sphere_mercator_is_the_logarithm() {
        let p = Projection::parse("+proj=merc +R=1000 +lon_0=10").unwrap();
        // ln tan(45 + 30 / 2) = 0.5493061443; 90 degrees are pi / 2
        near(p.forward(100.0, 30.0), [1570.7963267949, 549.3061443341], 1e-6);
        near(p.inverse(1570.7963267949, 549.3061443341), [100.0, 30.0], 1e-9);
    }

    #[test]
    fn the_rotated_pole_of_the_atlantic() {
        // pole at 162 W, 39.25 N: the grid's equator runs through 18 E, 50.75 N
        let p = Projection::parse(
            "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18 +R=6371229",
        )
        .unwrap();
        near(p.forward(18.0, 50.75), [0.0, 0.0], 1e-12);
        near(p.forward(18.0, 60.75), [0.0, 10.0], 1e-12);
        near(p.inverse(0.0, 10.0), [18.0, 60.75], 1e-12);
        near(p.forward(-162.0, 39.25).map(|v| [0.0, v[1]]), [0.0, 90.0], 1e-6);
        // a quarter round the grid's equator is a quarter round the globe's from the pole's meridian
        near(p.inverse(90.0, 0.0), [108.0, 0.0], 1e-12);
        let back = p.inverse(-23.7, 31.2).unwrap();
        near(p.forward(back[0], back[1]), [-23.7, 31.2], 1e-12);
    }

    #[test]
    fn longitudes_may_be_written_any_way_round() {
        let p = Projection::parse("+proj=lcc +lat_1=25 +lat_2=25 +lat_0=25 +lon_0=265 +R=6371200")
            .unwrap();
        assert_eq!(p.lon_0, -95.0);
        near(p.forward(-90.0, 40.0), p.forward(270.0, 40.0).unwrap(), 1e-6);
        assert_eq!(
            p,
            Projection::parse("+R=6371200 +proj=lcc +lat_0=25 +lon_0=-95 +lat_1=25 +lat_2=25")
                .unwrap()
        );
    }

    #[test]
    fn an_octant_is_an_eighth_of_the_sphere() {
        let area = triangle([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
        assert!((area - std::f64::consts::FRAC_PI_2).abs() < 1e-15);
    }

    #[test]
    fn equal_area_planes_have_the_ellipsoids_area() {
        // a square of 1 m in an equal-area projection: 1 / R^2 with the authalic radius of WGS84, 6371007.1809 m
        let p = Projection::parse("+proj=laea +lat_0=52 +lon_0=10 +ellps=WGS84").unwrap();
        let at = |x: f64, y: f64| p.inverse(x, y).map(|g| p.on_sphere(g[0], g[1])).unwrap();
        let c = [at(1e5, 1e5), at(1.1e5, 1e5), at(1.1e5, 1.1e5), at(1e5, 1.1e5)];
        let area = triangle(c[0], c[1], c[2]) + triangle(c[0], c[2], c[3]);
        let wanted = 1e8 / (6371007.1809f64 * 6371007.1809);
        assert!((area / wanted - 1.0).abs() < 1e-6, "{}", area / wanted);
    }
}
