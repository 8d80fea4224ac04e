//! Shapes of files: netCDF-4 layouts, order of dimensions, several files, the Parquet schema, the same bytes again.

mod common;
use common::*;

const REGION: [f64; 4] = [-97.0, 42.0, -95.75, 43.0]; // the cell 438.5 and a quarter of 439.5

fn prepare(name: &str, grid: &str) -> Folder {
    let t = Folder::new(name);
    let [w, s, e, n] = REGION;
    t.write("r.geojson", geojson(&[("a", vec![area(w, s, e, n)])]));
    t.fine(&format!("index --regions r.geojson --key id --grid {grid} -o v.idx"));
    t
}

#[test]
fn packed_big_endian_shorts_in_checked_chunks() {
    let grid = data("packed.nc");
    let t = prepare("packed", &grid);
    t.fine(&format!("aggregate --index v.idx --weights coverage {grid} -o o.csv"));
    // noleap: 28 February 2001, then 1 March
    assert_eq!(t.rows("o.csv")[0], ["a", "2001-02-28T00:00:00Z", "438.5", "439.5", "438.7", "1"]);
    assert_eq!(t.rows("o.csv")[1], ["a", "2001-03-01T00:00:00Z", "538.5", "539.5", "538.7", "1"]);
}

#[test]
fn further_axes_become_columns_and_unwritten_chunks_are_missing() {
    let grid = data("members.nc");
    let t = prepare("members", &grid);
    t.fine(&format!(
        "aggregate --index v.idx --weights coverage --stats mean,valid {grid} -o o.csv"
    ));
    assert!(t.read("o.csv").starts_with("id,time,member,mean_t,valid_t\n"));
    let rows = t.rows("o.csv");
    assert_eq!(rows[0], ["a", "2001-02-28T00:00:00Z", "low", "438.7", "1"]);
    assert_eq!(rows[1], ["a", "2001-02-28T00:00:00Z", "high", "", "0"]);
    assert_eq!(rows[2], ["a", "2001-03-01T00:00:00Z", "low", "538.7", "1"]);
}

#[test]
fn info_says_what_a_file_is() {
    let t = prepare("info", &data("packed.nc"));
    let said = t.fine(&format!("info {}", data("packed.nc")));
    assert!(
        said.contains("latitude     `lat`, 5 cells, 40.0000 .. 45.0000 descending, regular"),
        "{said}"
    );
    assert!(said.contains("chunked [2,1,3] fletcher32+shuffle+deflate"), "{said}");
    assert!(t.fine("info v.idx").contains("pairs        2\n"));
    assert!(t.fine("info --json v.idx").contains("\"pairs\": 2"));
}

#[test]
fn files_side_by_side_and_one_after_another() {
    let t = prepare("several", &data("packed.nc"));
    let days = |first: f64, name: &str, add: f64| {
        let lats: Vec<f64> = (0..5).map(|k| 44.5 - f64::from(k)).collect();
        let lons: Vec<f64> = (0..5).map(|k| 260.5 + f64::from(k)).collect();
        let v: Vec<f64> = (0..2)
            .flat_map(|s| {
                lats.iter()
                    .flat_map(|y| {
                        lons.iter().map(|x| value(*y, *x) + add + f64::from(s)).collect::<Vec<_>>()
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        Classic::default()
            .dim("time", 2)
            .dim("lat", 5)
            .dim("lon", 5)
            .var(
                "time",
                DOUBLE,
                &["time"],
                &[("units", "days since 2005-01-01")],
                &[first, first + 1.0],
            )
            .var("lat", DOUBLE, &["lat"], NORTH, &lats)
            .var("lon", DOUBLE, &["lon"], EAST, &lons)
            .var(name, FLOAT, &["time", "lat", "lon"], &[], &v)
            .bytes()
    };
    t.write("high_1.nc", days(0.0, "t", 1000.0));
    t.write("high_2.nc", days(2.0, "t", 2000.0));
    t.write("low_1.nc", days(0.0, "t", 0.0));
    t.write("low_2.nc", days(2.0, "t", 0.0));
    let all = "aggregate --index v.idx --stats max --variables high:t=high,low_*:t=low";
    t.fine(&format!("{all} high_2.nc low_1.nc high_1.nc low_2.nc -o o.csv"));
    let wanted = "id,time,max_high,max_low\n\
        a,2005-01-01T00:00:00Z,1439.5,439.5\n\
        a,2005-01-02T00:00:00Z,1440.5,440.5\n\
        a,2005-01-03T00:00:00Z,2439.5,439.5\n\
        a,2005-01-04T00:00:00Z,2440.5,440.5\n";
    assert_eq!(t.read("o.csv"), wanted);
    // the order of the files changes nothing, and neither do the threads
    t.fine(&format!("{all} low_2.nc high_1.nc low_1.nc high_2.nc --threads 3 -o again.csv"));
    assert_eq!(t.read("again.csv"), wanted);
    let (code, text) = t.run("aggregate --index v.idx high_1.nc low_1.nc -o o.csv");
    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: `high_1.nc` and `low_1.nc` both have `t` at the same times\n"),
        "{text}"
    );
    let (code, text) = t.run(
        "aggregate --index v.idx --variables high_1:t=t,low_2:t=u high_1.nc low_2.nc -o o.csv",
    );
    assert_eq!(code, 1);
    assert!(text.contains("the spans of time differ in their variables: `t` and `u`"), "{text}");
}

#[test]
fn parquet_has_the_schema_and_the_same_bytes_each_time() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let grid = data("members.nc");
    let t = prepare("parquet", &grid);
    t.fine(&format!("aggregate --index v.idx {grid} -o one.parquet --threads 1"));
    t.fine(&format!("aggregate --index v.idx {grid} -o two.parquet --threads 4"));
    let read = |n: &str| std::fs::read(t.0.join(n)).expect("the output");
    assert_eq!(read("one.parquet"), read("two.parquet"));
    let file = std::fs::File::open(t.0.join("one.parquet")).expect("the output");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let meta = reader.metadata().file_metadata();
    let columns: Vec<String> = meta
        .schema_descr()
        .columns()
        .iter()
        .map(|c| format!("{} {} {}", c.name(), c.physical_type(), c.max_def_level()))
        .collect();
    assert_eq!(
        columns,
        [
            "id BYTE_ARRAY 0",
            "time INT64 0",
            "member BYTE_ARRAY 0",
            "min_t DOUBLE 1",
            "max_t DOUBLE 1",
            "mean_t DOUBLE 1",
            "valid_t DOUBLE 1"
        ]
    );
    assert_eq!(meta.num_rows(), 4);
    let notes = meta.key_value_metadata().and_then(|n| n.first()).and_then(|n| n.value.clone());
    let notes = notes.expect("provenance");
    assert!(notes.contains(r#""files":["members.nc"]"#), "{notes}");
    assert!(
        notes.contains(r#""min_t":{"units":"K","variable":"t","cell_method":"area: minimum"}"#),
        "{notes}"
    );
}

#[test]
fn zstd_is_unpacked() {
    let t = Folder::new("zstd");
    let grid = data("filters.nc");
    t.write("f.geojson", geojson(&[("a", vec![area(-97.0, 42.0, -95.75, 43.0)])]));
    t.fine(&format!("index --regions f.geojson --key id --grid {grid} --variable z -o f.idx"));
    t.fine(&format!("aggregate --index f.idx --variables z --weights coverage {grid} -o o.csv"));
    // the cell 438.5 and a quarter of 439.5
    assert_eq!(t.rows("o.csv")[0], ["a", "438.5", "439.5", "438.7", "1"]);
}
