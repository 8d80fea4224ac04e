//! Rows as Arrow, netCDF, wide rows and a stream.

mod common;
use common::*;

fn prepare(name: &str) -> Folder {
    let t = Folder::new(name);
    t.write("v.nc", file((40.5, 3), (260.5, 3), 2, |s, y, x| value(y, x) + s as f64));
    let regions = [
        ("a", vec![area(260.0, 40.0, 261.0, 41.0)]),
        ("b,c", vec![area(-98.0, 41.0, -97.0, 43.0)]),
        ("off", vec![area(0.0, 0.0, 1.0, 1.0)]),
    ];
    t.write("r.geojson", geojson(&regions));
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    t
}

#[test]
fn wide_rows_have_a_column_per_region() {
    let t = prepare("wide");
    t.fine("aggregate --index v.idx --stats min,max --wide v.nc -o o.csv");
    // cells (40.5, 260.5) = 415.5; (41.5, 262.5) = 427.5 and (42.5, 262.5) = 437.5
    assert_eq!(
        t.read("o.csv"),
        "time,min_v_a,\"min_v_b,c\",min_v_off,max_v_a,\"max_v_b,c\",max_v_off\n\
         2005-01-01T00:00:00Z,415.5,427.5,,415.5,437.5,\n\
         2005-01-02T00:00:00Z,416.5,428.5,,416.5,438.5,\n"
    );
}

#[test]
fn a_stream_is_the_same_rows() {
    let t = prepare("stream");
    t.fine("aggregate --index v.idx v.nc -o o.csv");
    assert_eq!(t.fine("aggregate -q --index v.idx v.nc -o -"), t.read("o.csv"));
    t.fine("aggregate --index v.idx v.nc --format csv -o o.txt");
    assert_eq!(t.read("o.txt"), t.read("o.csv"));
    let said = t.fine("aggregate --index v.idx v.nc -o - --where a");
    assert!(said.starts_with("the stream: 2 rows: 2 steps x 1 regions"), "{said}");
    let (code, said) = t.run("aggregate --index v.idx v.nc --format nc -o -");
    assert_eq!(
        (code, said.trim_end()),
        (
            2,
            "error: netCDF cannot be streamed: its parts are written in several places\n\n\
             hint: name a file, or choose `--format csv`, `arrow` or `parquet`"
        )
    );
}

#[test]
fn parquet_streams_too() {
    let t = prepare("stream-parquet");
    t.fine("aggregate --index v.idx v.nc -o o.parquet");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_ncproj"))
        .args("aggregate -q --index v.idx v.nc --format parquet -o -".split(' '))
        .current_dir(&t.0)
        .output()
        .expect("ncproj runs");
    assert!(out.stdout == std::fs::read(t.0.join("o.parquet")).expect("the output"));
}

#[test]
fn arrow_has_the_schema_and_the_values() {
    use arrow_array::{Array, Float64Array, StringArray};
    let t = prepare("arrow");
    t.fine("aggregate --index v.idx --stats max,valid v.nc -o o.arrow");
    let file = std::fs::File::open(t.0.join("o.arrow")).expect("the output");
    let mut reader = arrow_ipc::reader::FileReader::try_new(file, None).expect("Arrow");
    let fields: Vec<String> = reader
        .schema()
        .fields()
        .iter()
        .map(|f| format!("{} {} {}", f.name(), f.data_type(), f.is_nullable()))
        .collect();
    assert_eq!(
        fields,
        [
            "id Utf8 false",
            "time Timestamp(µs, \"UTC\") false",
            "max_v Float64 true",
            "valid_v Float64 true"
        ]
    );
    let batch = reader.next().expect("a batch").expect("whole");
    let keys = batch.column(0).as_any().downcast_ref::<StringArray>().expect("texts");
    let max = batch.column(2).as_any().downcast_ref::<Float64Array>().expect("numbers");
    assert_eq!((batch.num_rows(), keys.value(1), max.value(1)), (6, "b,c", 437.5));
    assert!(max.is_null(2));
}

#[test]
fn netcdf_is_read_by_ourselves() {
    let t = prepare("netcdf");
    t.fine("aggregate --index v.idx --stats max,valid v.nc -o o.nc");
    let said = t.fine("info o.nc");
    assert!(said.contains("netCDF"), "{said}");
    let mut source = ncproj::netcdf::Source::open(&t.0.join("o.nc")).expect("netCDF");
    assert_eq!(
        source.read_texts("id").expect("texts"),
        Some(vec!["a".into(), "b,c".into(), "off".into()])
    );
    let got = source.read_numbers("max_v").expect("numbers");
    assert_eq!((got[0], got[1], got[3], got[4]), (415.5, 437.5, 416.5, 438.5));
    assert!(got[2].is_nan() && got[5].is_nan());
    // 35 years of which 9 have a leap day
    assert_eq!(source.read_numbers("time").expect("times")[0], 86400.0 * (35.0 * 365.0 + 9.0));
    let at = source.read_numbers("longitude").expect("places");
    assert!((at[0] + 99.5).abs() < 1e-9 && at[2].is_nan(), "{at:?}");
    let text = |name: &str| source.var("max_v").and_then(|v| v.text(name)).map(str::to_string);
    assert_eq!(text("cell_methods").as_deref(), Some("area: maximum"));
    assert_eq!(text("units").as_deref(), Some("K"));
}

#[test]
fn further_axes_stand_in_netcdf_as_axes() {
    let grid = data("members.nc");
    let t = Folder::new("netcdf-axes");
    t.write("r.geojson", geojson(&[("a", vec![area(-97.0, 42.0, -95.75, 43.0)])]));
    t.fine(&format!("index --regions r.geojson --key id --grid {grid} -o v.idx"));
    t.fine(&format!("aggregate --index v.idx --weights coverage --stats mean {grid} -o o.nc"));
    let mut source = ncproj::netcdf::Source::open(&t.0.join("o.nc")).expect("netCDF");
    assert_eq!(
        source.read_texts("member").expect("texts"),
        Some(vec!["low".to_string(), "high".to_string()])
    );
    let got = source.read_numbers("mean_t").expect("numbers");
    assert!((got[0] - 438.7).abs() < 1e-9 && got[1].is_nan() && (got[2] - 538.7).abs() < 1e-9);
}
