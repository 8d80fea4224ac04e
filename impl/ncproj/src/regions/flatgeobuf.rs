//! FlatGeobuf: the crate's own tables of the format, each checked within its bytes before it is read.

use super::{
    Crs, Edges, Features, Field, Input, Kind, NOT_A_FIELD, NOT_STRAIGHT, crs_of_epsg, crs_of_wkt,
    float_text, not_polygons, places,
};
use crate::error::{Error, Result, thousands};
use crate::repair::Shape;
use ::flatgeobuf::packed_r_tree::PackedRTree;
use ::flatgeobuf::{
    Column, ColumnType, Geometry, GeometryType, Header, size_prefixed_root_as_feature,
    size_prefixed_root_as_header,
};

pub fn read(input: &Input, wanted: &[String]) -> Result<Features> {
    let (b, file) = (&input.bytes, &input.name);
    let damaged = |why: &str| {
        Error::data(format!("`{file}` is not a whole FlatGeobuf file: {why}")).hint(
            "fetch the file again, or write it anew: a download or a copy may have broken off",
        )
    };
    if b.len() < 12 || &b[..3] != b"fgb" || &b[4..7] != b"fgb" {
        return Err(damaged("it does not begin like one"));
    }
    if b[3] != 3 {
        return Err(damaged(&format!("its version is {}, and 3 is known", b[3])));
    }
    let long = |at: usize| -> Option<usize> {
        let size = u32::from_le_bytes(b.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize;
        let end = at.checked_add(4)?.checked_add(size)?;
        (end <= b.len() && size >= 8).then_some(end)
    };
    let mut at = 8;
    let end = long(at).ok_or_else(|| damaged("it ends within its header"))?;
    let header = size_prefixed_root_as_header(&b[at..end])
        .map_err(|_| damaged("its header cannot be read"))?;
    at = end;
    // 0 stands for "not known"; there is no index then.
    let count = usize::try_from(header.features_count()).unwrap_or(usize::MAX);
    if count > b.len() / 12 {
        return Err(damaged("it has fewer features than it says"));
    }
    match header.index_node_size() {
        0 => {}
        1 => return Err(damaged("its index cannot be true")),
        _ if count == 0 => {}
        size => at += PackedRTree::index_size(count, size),
    }
    let columns = Columns::of(header.columns().map(|c| c.iter().collect()).unwrap_or_default());
    let mut chosen: Option<Vec<usize>> = None;
    let mut values = vec![Field::default(); wanted.len()];
    let mut shapes: Vec<Shape> = Vec::with_capacity(count);
    while at < b.len() {
        let row = shapes.len();
        let number = || thousands(row as u64 + 1);
        let end =
            long(at).ok_or_else(|| damaged(&format!("it ends within feature {}", number())))?;
        let feature = size_prefixed_root_as_feature(&b[at..end])
            .map_err(|_| damaged(&format!("feature {} cannot be read", number())))?;
        at = end;
        // A feature may have columns of its own.
        let own = feature.columns().map(|c| Columns::of(c.iter().collect()));
        let here = own.as_ref().unwrap_or(&columns);
        let chosen: &[usize] = match (&own, &chosen) {
            (Some(_), _) => &places(wanted, &here.names, file)?,
            (None, Some(known)) => known,
            (None, None) => chosen.insert(places(wanted, &columns.names, file)?),
        };
        let properties = feature.properties().map(|p| p.bytes()).unwrap_or_default();
        let row_values = here.values(properties, chosen).map_err(|e| match e {
            Some(e) => e.at(format!("{file}, row {}", number())),
            None => damaged(&format!("the fields of feature {} cannot be read", number())),
        })?;
        for (field, (text, kind)) in values.iter_mut().zip(row_values) {
            field.push(text, kind);
        }
        let mut out = Vec::new();
        if let Some(g) = feature.geometry() {
            let kind = match header.geometry_type() {
                GeometryType::Unknown => g.type_(),
                kind => kind,
            };
            shape(&g, kind, &mut out, 0).map_err(|e| match e {
                Wrong::Damaged => {
                    damaged(&format!("the shape of feature {} cannot be read", number()))
                }
                Wrong::Other(what) => not_polygons(what, row, file),
                Wrong::Curve(what) => NOT_STRAIGHT.error(&[&number(), what]).at(file.clone()),
            })?;
        }
        shapes.push(out);
    }
    if count > 0 && shapes.len() != count {
        return Err(damaged(&format!(
            "it should have {} features, and has {}",
            thousands(count as u64),
            thousands(shapes.len() as u64)
        )));
    }
    if shapes.is_empty() {
        places(wanted, &columns.names, file)?;
    }
    Ok(Features { values, shapes, crs: crs(&header), edges: Edges::Planar, warnings: Vec::new() })
}

fn crs(header: &Header) -> Crs {
    let Some(c) = header.crs() else { return Crs::Unknown };
    if let Some(wkt) = c.wkt().filter(|w| !w.trim().is_empty()) {
        return crs_of_wkt(wkt);
    }
    let org = c.org().unwrap_or("EPSG");
    match (u32::try_from(c.code()), c.code_string()) {
        (Ok(code @ 1..), _) if org.eq_ignore_ascii_case("EPSG") => {
            crs_of_epsg(&format!("EPSG:{code}"), code)
        }
        (Ok(code @ 1..), _) => crs_of_wkt(&format!("{org}:{code}")),
        (_, Some(text)) if !text.is_empty() => crs_of_wkt(&format!("{org}:{text}")),
        _ => Crs::Unknown,
    }
}

struct Columns {
    names: Vec<String>,
    kinds: Vec<ColumnType>,
}

/// One value, and what it stands for.
type Value = (Option<String>, Kind);

impl Columns {
    fn of(columns: Vec<Column>) -> Columns {
        Columns {
            names: columns.iter().map(|c| c.name().to_string()).collect(),
            kinds: columns.iter().map(Column::type_).collect(),
        }
    }

    /// The values of the chosen columns in the bytes of one feature; no error's text where the bytes are damaged.
    fn values(&self, b: &[u8], chosen: &[usize]) -> std::result::Result<Vec<Value>, Option<Error>> {
        let mut out = Vec::with_capacity(chosen.len());
        for place in chosen {
            out.push((None, of_column(self.kinds[*place])));
        }
        let mut at = 0;
        while at < b.len() {
            let column = usize::from(u16::from_le_bytes(take(b, &mut at).ok_or(None)?));
            let kind = *self.kinds.get(column).ok_or(None)?;
            let (value, name) = (value(b, &mut at, kind).ok_or(None)?, &self.names[column]);
            for (k, _) in chosen.iter().enumerate().filter(|(_, c)| **c == column) {
                let text = match &value {
                    Got::Value(text) => text.clone(),
                    Got::NoKey(what) => return Err(Some(NOT_A_FIELD.error(&[name, what]))),
                    Got::NotText => return Err(None),
                };
                out[k].0 = text;
            }
        }
        Ok(out)
    }
}

fn of_column(kind: ColumnType) -> Kind {
    match kind {
        ColumnType::Byte
        | ColumnType::UByte
        | ColumnType::Short
        | ColumnType::UShort
        | ColumnType::Int
        | ColumnType::UInt
        | ColumnType::Long
        | ColumnType::ULong => Kind::Int,
        ColumnType::Float | ColumnType::Double => Kind::Float,
        _ => Kind::Text,
    }
}

fn take<const N: usize>(b: &[u8], at: &mut usize) -> Option<[u8; N]> {
    let out = b.get(*at..at.checked_add(N)?)?.try_into().ok()?;
    *at += N;
    Some(out)
}

enum Got {
    Value(Option<String>),
    /// A type that is no key.
    NoKey(&'static str),
    NotText,
}

fn value(b: &[u8], at: &mut usize, kind: ColumnType) -> Option<Got> {
    let some = |text: String| Got::Value(Some(text));
    Some(match kind {
        ColumnType::Byte => some(i8::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::UByte => some(u8::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::Bool => some((take::<1>(b, at)? != [0]).to_string()),
        ColumnType::Short => some(i16::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::UShort => some(u16::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::Int => some(i32::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::UInt => some(u32::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::Long => some(i64::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::ULong => some(u64::from_le_bytes(take(b, at)?).to_string()),
        ColumnType::Float => {
            let v = f32::from_le_bytes(take(b, at)?);
            // As short as it is for 32 bits: 0.1, not 0.10000000149011612
            Got::Value(
                float_text(f64::from(v)).map(|t| if v.fract() == 0.0 { t } else { v.to_string() }),
            )
        }
        ColumnType::Double => Got::Value(float_text(f64::from_le_bytes(take(b, at)?))),
        ColumnType::String | ColumnType::DateTime | ColumnType::Json | ColumnType::Binary => {
            let size = u32::from_le_bytes(take(b, at)?) as usize;
            let bytes = b.get(*at..at.checked_add(size)?)?;
            *at += size;
            match kind {
                ColumnType::Json => Got::NoKey("JSON"),
                ColumnType::Binary => Got::NoKey("bytes"),
                _ => match std::str::from_utf8(bytes) {
                    Ok(text) => some(text.to_string()),
                    Err(_) => Got::NotText,
                },
            }
        }
        _ => return None,
    })
}

enum Wrong {
    Damaged,
    Other(&'static str),
    Curve(&'static str),
}

fn shape(
    g: &Geometry,
    kind: GeometryType,
    out: &mut Shape,
    depth: u32,
) -> std::result::Result<(), Wrong> {
    if depth > 64 {
        return Err(Wrong::Damaged);
    }
    match kind {
        GeometryType::Polygon => {
            let xy = g.xy().map(|v| v.iter().collect::<Vec<f64>>()).unwrap_or_default();
            let corners: Vec<[f64; 2]> = xy.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            if !xy.len().is_multiple_of(2) {
                return Err(Wrong::Damaged);
            }
            let ends: Vec<usize> = match g.ends() {
                Some(ends) if !ends.is_empty() => ends.iter().map(|e| e as usize).collect(),
                _ => vec![corners.len()],
            };
            let (mut rings, mut from) = (Vec::with_capacity(ends.len()), 0);
            for end in ends {
                rings.push(corners.get(from..end).ok_or(Wrong::Damaged)?.to_vec());
                from = end;
            }
            if from != corners.len() {
                return Err(Wrong::Damaged);
            }
            if !corners.is_empty() {
                out.push(rings);
            }
            Ok(())
        }
        GeometryType::MultiPolygon => {
            if g.parts().is_none() {
                return shape(g, GeometryType::Polygon, out, depth + 1);
            }
            for part in g.parts().iter().flatten() {
                shape(&part, GeometryType::Polygon, out, depth + 1)?;
            }
            Ok(())
        }
        GeometryType::GeometryCollection | GeometryType::MultiSurface => {
            // Of a collection only the polygons count (`make_valid` leaves lines and points beside them).
            let (mut other, before) = (None, out.len());
            for part in g.parts().iter().flatten() {
                match shape(&part, part.type_(), out, depth + 1) {
                    Err(Wrong::Other(name)) => other = Some(name),
                    r => r?,
                }
            }
            match other {
                Some(name) if out.len() == before => Err(Wrong::Other(name)),
                _ => Ok(()),
            }
        }
        GeometryType::Point => Err(Wrong::Other("point")),
        GeometryType::LineString | GeometryType::MultiLineString => Err(Wrong::Other("line")),
        GeometryType::MultiPoint => Err(Wrong::Other("set of points")),
        GeometryType::CurvePolygon => Err(Wrong::Curve("CurvePolygon")),
        GeometryType::CircularString
        | GeometryType::CompoundCurve
        | GeometryType::MultiCurve
        | GeometryType::Curve => Err(Wrong::Other("curve")),
        GeometryType::PolyhedralSurface => Err(Wrong::Other("polyhedral surface")),
        GeometryType::TIN | GeometryType::Triangle => Err(Wrong::Other("triangulated surface")),
        _ => Err(Wrong::Other("geometry of an unknown type")),
    }
}
