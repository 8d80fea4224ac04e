//! Regions from a file: a key and rings for each. Shapefiles, GeoPackage, GeoParquet, GeoJSON and FlatGeobuf, zipped or plain.

mod dbf;
mod encoding;
mod flatgeobuf;
mod geojson;
mod geopackage;
mod geoparquet;
pub(crate) mod reproject;
mod shapefile;
mod system;
mod wkb;
mod zip;

pub(crate) use self::system::{Crs, crs_of_epsg, crs_of_json, crs_of_wkt};
use crate::crs::System;
use crate::error::{Error, Result, base_name, list, nearest, open, read_whole, thousands};
use crate::features::{Feature, Refusal};
use crate::great_circle::along_great_circles;
use crate::repair::{Point, Shape};
use std::collections::HashMap;
use std::path::Path;

/// An attribute of the regions, one value each.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
}

#[derive(Default)]
pub struct Regions {
    pub file: String,
    pub key_name: String,
    pub keys: Vec<String>,
    /// The polygons of each region; their rings may turn either way.
    pub shapes: Vec<Shape>,
    /// What joins two corners.
    pub edges: Edges,
    /// Further fields, one value for each region, in the order of asking.
    pub carried: Vec<(String, Column)>,
    pub warnings: Vec<String>,
}

/// What joins two corners of a ring: a straight line in the file's coordinates, or a part of a great circle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edges {
    #[default]
    Planar,
    Spherical,
}

/// What a reader hands over: the fields' values, and the rings.
pub(crate) struct Features {
    /// One for each field asked for, in the order of asking.
    pub values: Vec<Field>,
    pub shapes: Vec<Shape>,
    pub crs: Crs,
    pub edges: Edges,
    pub warnings: Vec<String>,
}

/// The values of one field, as people read them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Field {
    pub texts: Vec<Option<String>>,
    pub kind: Kind,
    /// Any value is there.
    seen: bool,
}

/// A file's bytes, and its name for messages.
pub(crate) struct Input {
    pub name: String,
    pub bytes: bytes::Bytes,
}

/// What the texts of a field stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Text,
    Int,
    /// A number in decimal digits, all of them.
    Decimal,
    /// A number in binary: beyond 2^53 its digits are not those that somebody wrote.
    Float,
}

impl Field {
    /// One value more. What the field stands for is what all its values can stand for.
    pub fn push(&mut self, text: Option<String>, kind: Kind) {
        if text.is_some() || !self.seen {
            self.kind = match (self.kind, kind) {
                _ if !self.seen => kind,
                (a, b) if a == b => a,
                (Kind::Text, _) | (_, Kind::Text) => Kind::Text,
                (Kind::Float, _) | (_, Kind::Float) => Kind::Float,
                _ => Kind::Decimal,
            };
        }
        self.seen |= text.is_some();
        self.texts.push(text);
    }

    fn column(&self) -> Column {
        fn all<T: std::str::FromStr>(texts: &[Option<String>]) -> Option<Vec<Option<T>>> {
            texts
                .iter()
                .map(|t| t.as_ref().map(|t| t.parse().ok()).map_or(Some(None), |v| v.map(Some)))
                .collect()
        }
        // A number too long for 64 bits stays as it is written.
        let as_numbers = match self.kind {
            Kind::Text => None,
            Kind::Int => all(&self.texts).map(Column::Int),
            Kind::Decimal | Kind::Float => all(&self.texts).map(Column::Float),
        };
        as_numbers.unwrap_or_else(|| Column::Text(self.texts.clone()))
    }
}

/// A number as people read it: `12`, not `12.0`; nothing for what is no number.
pub(crate) fn float_text(v: f64) -> Option<String> {
    match v {
        v if v.is_nan() => None,
        0.0 => Some("0".to_string()), // and not `-0`
        v => Some(v.to_string()),
    }
}

static LOST_DIGITS: Refusal = Refusal {
    of: "region fields",
    name: "a key that is a floating-point number of 2^53 or more",
    message: "the key field `{}` holds the floating-point number {}, too large for its last digits to be right",
    hint: "write the field as text or as whole numbers, or choose another for `--key`",
};
static NOT_A_FIELD: Refusal = Refusal {
    of: "region fields",
    name: "bytes, lists, structures, durations, memos",
    message: "the field `{}` can be no key and cannot be carried along: ncproj does not read {}",
    hint: "choose another field, or write it as text",
};
static NESTED_VALUE: Refusal = Refusal {
    of: "region fields",
    name: "a property of GeoJSON that is a list or an object",
    message: "the property `{}` is {}, not one value",
    hint: "choose another field, or write it as text",
};
static BAD_VALUE: Refusal = Refusal {
    of: "region fields",
    name: "a value of a .dbf that is not of its field's type",
    message: "`{}` is no {}",
    hint: "correct the value, or choose another field",
};
static NO_SUCH_ENCODING: Refusal = Refusal {
    of: "text of a .dbf",
    name: ".cpg file with a name that is not known",
    message: "the .cpg file says that the texts are in `{}`, which ncproj does not know",
    hint: "write the name of a known encoding into it, `UTF-8`, `1252` or `GBK` for instance",
};
static NO_SUCH_CODE_PAGE: Refusal = Refusal {
    of: "text of a .dbf",
    name: "byte 29 with a number that is not known",
    message: "the .dbf says that its texts are in the encoding {} (byte 29), which ncproj does not know",
    hint: "put a .cpg file beside it that names the encoding, `UTF-8`, `1252` or `GBK` for instance",
};
static NOT_THE_ENCODING: Refusal = Refusal {
    of: "text of a .dbf",
    name: "bytes that are not of the encoding that is said",
    message: "the text `{}` is not in the encoding that the .cpg file or byte 29 of the .dbf says",
    hint: "write the right encoding into the .cpg file beside it, `UTF-8`, `1252` or `GBK` for instance",
};
static NO_SUCH_DBF: Refusal = Refusal {
    of: "shapefile",
    name: "table of dBASE II or dBASE 7",
    message: "the .dbf is of {}, which ncproj does not read",
    hint: "write it again, with `ogr2ogr out.shp in.shp` for instance",
};
static ENCRYPTED_DBF: Refusal = Refusal {
    of: "shapefile",
    name: "encrypted table",
    message: "the .dbf is encrypted",
    hint: "write it again without, with the program that made it",
};
static LYING_SHX: Refusal = Refusal {
    of: "shapefile",
    name: ".shx that does not fit its .shp",
    message: "the .shx file does not fit the .shp: it {}",
    hint: "copy all files again; without the .shx the shapes are read one after the other",
};
static NOT_STRAIGHT: Refusal = Refusal {
    of: "geometry",
    name: "curves (CurvePolygon, CompoundCurve, CircularString)",
    message: "region {} is a {}, whose edges are arcs",
    hint: "make its edges straight first: `ogr2ogr -nlt CONVERT_TO_LINEAR out.gpkg in.gpkg`",
};
static NOT_A_POLYGON: Refusal = Refusal {
    of: "geometry",
    name: "points, lines, TIN, polyhedral surfaces, multipatches",
    message: "region {} is a {}, not a polygon",
    hint: "ncproj needs polygons; give points an extent first (buffer them)",
};
static EXTENDED_SHAPE: Refusal = Refusal {
    of: "GeoPackage",
    name: "ExtendedGeoPackageBinary",
    message: "the shape is of a type that an extension of GeoPackage adds",
    hint: "write the file again, with `ogr2ogr -f GPKG` for instance",
};
static SPATIALITE: Refusal = Refusal {
    of: "region files",
    name: "SpatiaLite (.sqlite)",
    message: "`{}` is a data base of SpatiaLite, which ncproj does not read",
    hint: "make a GeoPackage of it first: `ogr2ogr -f GPKG out.gpkg in.sqlite`",
};
static SPHERICAL_PLANE: Refusal = Refusal {
    of: "GeoParquet",
    name: "`edges` spherical in a projected system",
    message: "the edges are parts of great circles (`edges` is `spherical`), but the system `{}` is a plane",
    hint: "write the file in longitude and latitude, or its edges as `planar`",
};
static ENCODING: Refusal = Refusal {
    of: "GeoParquet",
    name: "`encoding` other than WKB and GeoArrow's polygons",
    message: "the shapes are encoded as `{}`, not as WKB, `polygon` or `multipolygon`",
    hint: "write it with `geometry_encoding=\"WKB\"`",
};
static EDGES: Refusal = Refusal {
    of: "GeoParquet",
    name: "`edges` other than planar and spherical",
    message: "the edges between corners are `{}`, and `planar` and `spherical` are known",
    hint: "put further corners on long edges first, and write the file again as `planar`",
};
static CRS_OF_ANOTHER_KIND: Refusal = Refusal {
    of: "coordinate system of regions",
    name: "links and other ways to name it",
    message: "the coordinate system is given as `{}`, which ncproj does not look up",
    hint: "write the file again with EPSG:4326, with `ogr2ogr -t_srs EPSG:4326` for instance",
};
static TWO_CRS: Refusal = Refusal {
    of: "GeoJSON",
    name: "several coordinate systems (`crs`) in one file",
    message: "the features are not all in one coordinate system (`crs`)",
    hint: "write the file again with one, with `ogr2ogr -t_srs EPSG:4326` for instance",
};
static BARE_GEOMETRY: Refusal = Refusal {
    of: "GeoJSON",
    name: "a geometry without a feature",
    message: "there is a {} without a `Feature` around it, so that nothing is its key",
    hint: "put it into a `Feature` with `properties`",
};
static NO_FEATURE_ID: Refusal = Refusal {
    of: "GeoJSON",
    name: "`--key @id` where the features have no `id`",
    message: "the features have no `id` for `@id`",
    hint: "choose one of their properties for `--key`",
};
static NO_SUCH_METHOD: Refusal = Refusal {
    of: "zip",
    name: "members packed by another method than deflate",
    message: "`{}` in the archive is packed by {}, not by deflate",
    hint: "unpack the archive and name the file within, or pack it again with `zip`",
};
static PASSWORD: Refusal = Refusal {
    of: "zip",
    name: "encrypted members",
    message: "`{}` in the archive is encrypted",
    hint: "unpack the archive first, and name the file within",
};
static OTHER_FORMAT: Refusal = Refusal {
    of: "region files",
    name: "KML, GML, CSV, TopoJSON, Esri JSON, MapInfo, File Geodatabase, Feather, UTF-16",
    message: "`{}` is {}, which ncproj does not read",
    hint: "make a file of it that is read: `ogr2ogr -f GPKG out.gpkg {}` for instance",
};

pub const REFUSALS: &[&Refusal] = &[
    &OTHER_FORMAT,
    &SPATIALITE,
    &NO_SUCH_METHOD,
    &PASSWORD,
    &NO_SUCH_DBF,
    &ENCRYPTED_DBF,
    &LYING_SHX,
    &NO_SUCH_ENCODING,
    &NO_SUCH_CODE_PAGE,
    &NOT_THE_ENCODING,
    &EXTENDED_SHAPE,
    &ENCODING,
    &EDGES,
    &SPHERICAL_PLANE,
    &BARE_GEOMETRY,
    &NO_FEATURE_ID,
    &TWO_CRS,
    &CRS_OF_ANOTHER_KIND,
    &NOT_A_POLYGON,
    &NOT_STRAIGHT,
    &LOST_DIGITS,
    &NOT_A_FIELD,
    &NESTED_VALUE,
    &BAD_VALUE,
];

pub const FEATURES: &[Feature] = &[
    Feature::honoured(
        "region files",
        "shapefile, plain, .zip, .shz",
        "all shapes and fields; several in one archive by `--layer`",
    ),
    Feature::honoured(
        "region files",
        "GeoPackage",
        "by SQLite itself; layers and views by `--layer`",
    ),
    Feature::honoured(
        "region files",
        "GeoParquet 0.1 to 1.1, Parquet's GEOMETRY and GEOGRAPHY, GeoArrow's types",
        "all codecs but LZO, all row groups",
    ),
    Feature::honoured(
        "region files",
        "GeoJSON, a Feature a line (.geojsonl, .ndjson), RFC 8142, .geojson.gz",
        "with or without a byte order mark",
    ),
    Feature::honoured("region files", "FlatGeobuf", "with and without index and count"),
    Feature::honoured(
        "region files",
        "GeoPackage, GeoParquet, GeoJSON, FlatGeobuf within .zip",
        "one alone, or by `--layer`",
    ),
    Feature::honoured(
        "zip",
        "zip64, names in code page 437 or UTF-8, stored or deflated",
        "`__MACOSX` is passed over",
    ),
    Feature::honoured(
        "shapefile",
        "records of the .dbf that are deleted",
        "they and their shapes are skipped",
    ),
    Feature::honoured(
        "shapefile",
        ".shx",
        "shapes are where it says, in any order, with gaps; without it one after the other",
    ),
    Feature::honoured(
        "shapefile",
        "shapes of type 0, Z and M",
        "a region without a shape; heights and measures are passed over",
    ),
    Feature::honoured(
        "text of a .dbf",
        ".cpg file, else byte 29",
        "the encodings of the web, and the code pages of DOS",
    ),
    Feature::converted(
        "text of a .dbf",
        "no encoding said",
        "UTF-8 where all is, else Latin-1 with a warning",
    ),
    Feature::converted(
        "text of a .dbf",
        "a character that the field's width cuts in two",
        "left away at the end",
    ),
    Feature::converted(
        "region fields",
        "whole numbers in a floating-point field, `12.000` in a .dbf",
        "`12`",
    ),
    Feature::converted(
        "region fields",
        "other floating-point numbers",
        "their shortest digits, `0.1`",
    ),
    Feature::honoured(
        "region fields",
        "integers of 8 to 64 bits, with or without sign, decimals",
        "all digits",
    ),
    Feature::converted(
        "region fields",
        "dates, times, moments",
        "ISO 8601; with a zone in UTC, `2024-02-29T12:00:00Z`",
    ),
    Feature::converted("region fields", "boolean", "`true`, `false`"),
    Feature::honoured("region fields", "categories (dictionaries), UUID", "the text of each"),
    Feature::converted(
        "region fields",
        "`****` in a number of a .dbf, NaN, null",
        "missing; an error in a key",
    ),
    Feature::honoured("GeoJSON", "a feature's own `id`", "`--key @id`"),
    Feature::honoured(
        "GeoPackage",
        "the number of a row",
        "`--key @id`, or the name of its column (`fid`)",
    ),
    Feature::honoured(
        "GeoPackage",
        "changes that stand in a `-wal` file",
        "SQLite reads them with the file",
    ),
    Feature::honoured(
        "GeoParquet",
        "`crs`, absent",
        "longitude and latitude, as the standard says",
    ),
    Feature::converted("GeoParquet", "`epoch`", "passed over: plates move by centimetres a year"),
    Feature::converted(
        "GeoParquet",
        "`orientation`, `bbox`, `covering`, `geometry_types`",
        "passed over: the shapes say it themselves",
    ),
    Feature::honoured(
        "geometry",
        "Polygon, MultiPolygon, MultiSurface, collections",
        "of collections the polygons, at any depth up to 64",
    ),
    Feature::converted("geometry", "heights and measures (Z, M)", "passed over"),
    Feature::converted("geometry", "null, empty", "a region without a shape: null in the output"),
];

/// The key of a region: a field, or a text with fields in braces.
struct Template {
    /// (text before, field)
    parts: Vec<(String, String)>,
    tail: String,
    plain: bool,
}

impl Template {
    fn parse(key: &str) -> Result<Template> {
        if key.is_empty() {
            return Err(Error::usage("`--key` names no field").hint(
                "name a field of the regions, or write fields in braces: `G{STATEFP10}0{COUNTYFP10}0`",
            ));
        }
        if !key.contains('{') {
            let parts = vec![(String::new(), key.to_string())];
            return Ok(Template { parts, tail: String::new(), plain: true });
        }
        let mut parts = Vec::new();
        let mut rest = key;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}') else {
                return Err(Error::usage(format!("the key `{key}` has `{{` without `}}`"))
                    .hint("write fields in braces: `G{STATEFP10}0{COUNTYFP10}0`"));
            };
            let field = &rest[open + 1..open + close];
            if field.is_empty() {
                return Err(Error::usage(format!(
                    "the key `{key}` has no field within its braces"
                ))
                .hint("write fields in braces: `G{STATEFP10}0{COUNTYFP10}0`"));
            }
            parts.push((rest[..open].to_string(), field.to_string()));
            rest = &rest[open + close + 1..];
        }
        Ok(Template { parts, tail: rest.to_string(), plain: false })
    }

    fn fields(&self) -> Vec<String> {
        self.parts.iter().map(|(_, f)| f.clone()).collect()
    }
}

/// Reads regions; `key` is a field's name or a template, `key_name` the name of the key's column, `layer` one of those
/// in the file, `carry` the fields that are handed over as they are.
///
/// `datum`: that of the grid, where it is not WGS 84.
pub fn read(
    path: &Path,
    key: &str,
    key_name: Option<&str>,
    layer: Option<&str>,
    carry: &[String],
    datum: Option<&System>,
) -> Result<Regions> {
    let text = path.to_string_lossy();
    if text.contains("://") {
        return Err(Error::data(format!("`{text}` is an address, not a file"))
            .hint("fetch the file first: ncproj reads files on this machine"));
    }
    let template = Template::parse(key)?;
    if key_name == Some("") {
        return Err(Error::usage("`--key-name` is empty")
            .hint("name the key's column, or leave `--key-name` away"));
    }
    let mut wanted = template.fields();
    wanted.extend_from_slice(carry);
    let mut found = read_any(path, &wanted, layer)?;
    let file = base_name(path);
    let spherical = found.edges == Edges::Spherical;
    if let (true, Crs::Known(system)) = (spherical, &found.crs)
        && !system.geographic
    {
        return Err(SPHERICAL_PLANE.error(&[&system.name]).at(file));
    }
    let mut warnings = std::mem::take(&mut found.warnings);
    reproject::bring(&mut found, &file, datum, &mut warnings)?;
    if found.shapes.is_empty() {
        return Err(Error::data("there are no regions in the file")
            .at(file)
            .hint("check that it is the right file, or layer"));
    }
    if found.shapes.iter().all(Vec::is_empty) {
        return Err(Error::data("no region has a shape")
            .at(file)
            .hint("check that it is the right file, or layer"));
    }
    let mut keys = Vec::with_capacity(found.shapes.len());
    for k in 0..found.shapes.len() {
        let mut text = String::new();
        let mut missing = None;
        for ((before, field), values) in template.parts.iter().zip(&found.values) {
            let value = values.texts.get(k).and_then(Option::as_deref).unwrap_or("");
            if value.is_empty() {
                missing = Some(field);
            }
            if values.kind == Kind::Float
                && value.parse().is_ok_and(|v: f64| v.abs() >= 9007199254740992.0)
            {
                return Err(LOST_DIGITS
                    .error(&[field, &format!("{:e}", value.parse::<f64>().unwrap_or(0.0))])
                    .at(format!("{file}, row {}", thousands(k as u64 + 1))));
            }
            text.push_str(before);
            text.push_str(value);
        }
        text.push_str(&template.tail);
        if let Some(field) = missing {
            let number = thousands(k as u64 + 1);
            return Err(Error::data(format!("region {number} has no `{field}`: its key is empty"))
                .at(format!("{file}, row {number}"))
                .hint("choose a field that every region has"));
        }
        keys.push(text);
    }
    if spherical {
        for (shape, key) in found.shapes.iter_mut().zip(&keys) {
            *shape = along_great_circles(shape).map_err(|o| o.error(key).at(file.clone()))?;
        }
    }
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(keys.len());
    let mut twice: Vec<String> = Vec::new();
    let mut rows = String::new();
    for (k, key) in keys.iter().enumerate() {
        match first.get(key.as_str()) {
            Some(earlier) => {
                if twice.is_empty() {
                    let number = |k: usize| thousands(k as u64 + 1);
                    rows = format!("rows {} and {}", number(*earlier), number(k));
                }
                if !twice.contains(key) && twice.len() < 1000 {
                    twice.push(key.clone());
                }
            }
            None => {
                first.insert(key, k);
            }
        }
    }
    if !twice.is_empty() {
        return Err(Error::data(format!("keys come more than once: {}", list(&twice, 5)))
            .at(format!("{file}: key `{key}`, {rows}"))
            .hint("choose a field, or fields as in `G{STATEFP10}0{COUNTYFP10}0`, that name each region once"));
    }
    for (k, shape) in found.shapes.iter().enumerate() {
        let bad = |p: &&Point| !(p[0].abs() <= 1080.0 && p[1].abs() <= 90.0 + 1e-6);
        if let Some(p) = shape.iter().flatten().flatten().find(bad) {
            return Err(Error::data(format!(
                "region `{}` has the corner ({}, {}), which is no longitude and latitude",
                keys[k], p[0], p[1]
            ))
            .at(file)
            .hint("the coordinates look projected: reproject to EPSG:4326 first"));
        }
    }
    let key_name = match key_name {
        Some(name) => name.to_string(),
        None if template.plain => key.to_string(),
        None => "key".to_string(),
    };
    let carried = carry
        .iter()
        .zip(&found.values[template.parts.len()..])
        .map(|(name, field)| (name.clone(), field.column()))
        .collect();
    Ok(Regions {
        file,
        key_name,
        keys,
        shapes: found.shapes,
        edges: found.edges,
        carried,
        warnings,
    })
}

/// By the name's ending, or by how the file begins.
fn read_any(path: &Path, wanted: &[String], layer: Option<&str>) -> Result<Features> {
    let file = base_name(path);
    let lower = file.to_lowercase();
    let extension = lower.rsplit_once('.').map_or("", |(_, e)| e);
    let known = match extension {
        "zip" | "shz" => "zip",
        "gpkg" | "gpkx" | "sqlite" | "sqlite3" | "db" => "gpkg",
        "shp" => "shp",
        "parquet" | "geoparquet" | "pq" => "parquet",
        "geojson" | "json" | "geojsonl" | "geojsons" | "geojsonseq" | "ndjson" | "ndgeojson"
        | "jsonl" => "geojson",
        "fgb" => "fgb",
        "gz" if lower.contains("json") => "json.gz",
        other => match by_name(other) {
            Some(name) => return Err(other_format(name, &file)),
            None if path.is_dir() => "",
            None => by_content(path)?,
        },
    };
    if layer.is_some() && !["zip", "gpkg"].contains(&known) {
        return Err(Error::usage(format!("`{}` has no layers to choose from", path.display()))
            .hint("`--layer` is for .gpkg, and for .zip with several files of regions"));
    }
    let whole =
        || -> Result<Input> { Ok(Input { name: file.clone(), bytes: read_whole(path)?.into() }) };
    match known {
        "zip" => zip::read(path, wanted, layer),
        "gpkg" => geopackage::read(path, wanted, layer),
        "shp" => shapefile::read_files(path, wanted),
        "parquet" => geoparquet::read(path, wanted),
        "geojson" => geojson::read(&whole()?, wanted),
        "json.gz" => geojson::read(&gunzipped(&whole()?)?, wanted),
        "fgb" => flatgeobuf::read(&whole()?, wanted),
        _ => Err(Error::usage(format!("`{}` is not a regions file known here", path.display())).hint(
            "give a .zip or .shp (shapefile), .gpkg, .parquet (GeoParquet), .geojson or .fgb (FlatGeobuf)",
        )),
    }
    .map_err(|e| match e {
        Error::Data(_) => e.at(path.display().to_string()),
        e => e,
    })
}

/// Formats that are known not to be read.
fn by_name(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "kml" | "kmz" => "KML",
        "gml" | "xml" | "xsd" => "GML",
        "csv" | "tsv" | "txt" | "wkt" => "text (CSV or WKT)",
        "xls" | "xlsx" | "ods" => "a spreadsheet",
        "topojson" => "TopoJSON",
        "tab" | "mif" | "mid" => "MapInfo's format",
        "gdb" | "mdb" => "an Esri Geodatabase",
        "feather" | "arrow" | "ipc" | "arrows" => "Arrow's own format (Feather)",
        "gpx" => "GPX",
        "osm" | "pbf" => "OpenStreetMap's format",
        "dxf" | "dwg" => "a drawing",
        "tif" | "tiff" | "nc" | "nc4" => "a raster",
        "dbf" | "shx" | "prj" | "cpg" => "a part of a shapefile; its .shp is what to name",
        _ => return None,
    })
}

/// Files without a name that says it.
fn by_content(path: &Path) -> Result<&'static str> {
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(open(path)?, 64), &mut head)
        .map_err(|e| Error::file("read", path, e))?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    Ok(match &head[..] {
        h if h.starts_with(b"PK\x03\x04") => "zip",
        h if h.starts_with(b"SQLite format 3\0") => "gpkg",
        h if h.starts_with(b"PAR1") => "parquet",
        h if h.starts_with(b"fgb") => "fgb",
        [0, 0, 0x27, 0x0a, ..] => "shp",
        _ if text.starts_with(b"{") || text.starts_with(b"\x1e") => "geojson",
        _ => "",
    })
}

fn other_format(what: &str, file: &str) -> Error {
    OTHER_FORMAT.error(&[file, what, file]).at(file.to_string())
}

/// What gzip made of it, which is at most 1,032 times as much.
fn gunzipped(input: &Input) -> Result<Input> {
    let most = 1040 * (input.bytes.len() as u64 + 1);
    let mut out = Vec::new();
    let mut reader = std::io::Read::take(flate2::read::MultiGzDecoder::new(&input.bytes[..]), most);
    std::io::Read::read_to_end(&mut reader, &mut out).map_err(|e| {
        Error::data(format!("`{}` is not whole gzip: {e}", input.name))
            .hint("fetch the file again: the download or the copy broke off")
    })?;
    Ok(Input { name: input.name.clone(), bytes: out.into() })
}

impl Regions {
    /// A name for keys and geometry, as they were read.
    pub fn fingerprint(&self) -> String {
        let mut h = blake3::Hasher::new();
        h.update(b"ncproj regions 1");
        let mut bytes = Vec::new();
        for (key, shape) in self.keys.iter().zip(&self.shapes) {
            bytes.clear();
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend((shape.iter().map(Vec::len).sum::<usize>() as u64).to_le_bytes());
            for ring in shape.iter().flatten() {
                bytes.extend((ring.len() as u64).to_le_bytes());
                for p in ring {
                    bytes.extend(p[0].to_le_bytes());
                    bytes.extend(p[1].to_le_bytes());
                }
            }
            h.update(&bytes);
        }
        h.finalize().to_hex()[..32].to_string()
    }
}

/// The places of the wanted fields, or an error that names the nearest.
pub(crate) fn places(wanted: &[String], known: &[String], file: &str) -> Result<Vec<usize>> {
    let find = |w: &String| {
        if known.iter().filter(|k| *k == w).count() > 1 {
            return Err(Error::data(format!(
                "the field `{w}` comes twice, so that it is not clear which is meant"
            ))
            .at(format!("{file}: {}", list(known, 12)))
            .hint("give the fields names of their own"));
        }
        known.iter().position(|k| k == w).ok_or_else(|| {
            Error::data(format!("there is no field `{w}`"))
                .at(format!("{file}: {}", list(known, 12)))
                .hint(nearest(w, known))
        })
    };
    wanted.iter().map(find).collect()
}

pub(crate) fn not_polygons(what: &str, row: usize, file: &str) -> Error {
    NOT_A_POLYGON.error(&[&thousands(row as u64 + 1), what]).at(file.to_string())
}

/// The place of the layer asked for, or of the only one there is.
pub(crate) fn choose_layer(
    names: &[String],
    wanted: Option<&str>,
    file: &str,
    what: &str,
) -> Result<usize> {
    match (wanted, names) {
        (_, []) => Err(Error::data("the file has no layers of regions")
            .at(file.to_string())
            .hint("check that it is the right file")),
        (None, [_]) => Ok(0),
        (None, _) => Err(Error::data(format!("the file has {} {what}", names.len()))
            .at(format!("{file}: {}", list(names, 12)))
            .hint(format!("choose one, for instance `--layer {}`", names[0]))),
        (Some(w), _) => names.iter().position(|n| n == w).ok_or_else(|| {
            Error::data(format!("there is no layer `{w}`"))
                .at(format!("{file}: {}", list(names, 12)))
                .hint(nearest(w, names))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_cut_at_its_fields() {
        let t = Template::parse("G{STATEFP10}0{COUNTYFP10}0").unwrap();
        assert_eq!(t.fields(), ["STATEFP10", "COUNTYFP10"]);
        assert_eq!(
            (t.parts[0].0.as_str(), t.parts[1].0.as_str(), t.tail.as_str()),
            ("G", "0", "0")
        );
        assert!(Template::parse("G{A").is_err());
    }

    #[test]
    fn carried_fields_come_with_their_types_and_a_key_is_text() {
        let folder = std::env::temp_dir().join(format!("ncproj-carry-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("r.geojson");
        let feature = |properties: &str| {
            format!(
                r#"{{"type": "Feature", "id": 9, "properties": {properties},
                "geometry": {{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}}}}"#
            )
        };
        let features = [
            feature(r#"{"k": 1, "n": 7, "f": 1.5, "t": "a", "m": 1, "u": 18446744073709551615}"#),
            feature(r#"{"k": 2, "n": null, "f": 2, "t": null, "m": "x", "u": 1}"#),
        ];
        std::fs::write(&path, features.join("\n")).unwrap();
        let carry = ["n", "f", "t", "m", "u", "k"].map(String::from);
        let got = read(&path, "k", None, None, &carry, None).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(got.keys, ["1", "2"]);
        let text = |v: &[&str]| Column::Text(v.iter().map(|t| Some(t.to_string())).collect());
        let columns: Vec<Column> = got.carried.iter().map(|c| c.1.clone()).collect();
        assert_eq!(columns[0], Column::Int(vec![Some(7), None]));
        assert_eq!(columns[1], Column::Float(vec![Some(1.5), Some(2.0)]));
        assert_eq!(columns[2], Column::Text(vec![Some("a".to_string()), None]));
        assert_eq!(columns[3], text(&["1", "x"]));
        // too large for 64 bits with a sign
        assert_eq!(columns[4], text(&["18446744073709551615", "1"]));
        assert_eq!(columns[5], Column::Int(vec![Some(1), Some(2)]));
        assert_eq!(got.carried[0].0, "n");
    }
}
