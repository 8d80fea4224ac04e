//! `check`, `export`, `completion`, `man`: what they print and write, word for word.

mod common;
use common::*;

/// Two regions on lat 40..43, lon 260..263: `a` covers two cells, `b` lies half outside; the cell 260.5 is missing.
fn prepare(name: &str) -> Folder {
    let t = Folder::new(name);
    let sea = |s: usize, y: f64, x: f64| {
        if x == 260.5 && (s == 0 || y == 40.5) { -9999.0 } else { value(y, x) }
    };
    t.write("v.nc", file((40.5, 3), (260.5, 3), 2, sea));
    let regions =
        [("a", vec![area(260.0, 40.0, 262.0, 41.0)]), ("b", vec![area(-98.0, 41.0, -96.0, 42.0)])];
    t.write("r.geojson", geojson(&regions));
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    t
}

#[test]
fn check_says_what_lies_outside_and_over_missing_cells() {
    let t = prepare("check");
    assert_eq!(
        t.fine("check --index v.idx v.nc"),
        "index        lat 3 cells 40.0000 .. 43.0000, lon 3 cells 260.0000 .. 263.0000\n\
         outside      1 region in part outside the grid: `b` 50.0 %\n\
         file         v.nc: fits\n  \
         v: the first step: 1 region in part over missing cells: `a` 50.0 %\n"
    );
    assert!(
        t.fine("check --all-steps --index v.idx v.nc")
            .ends_with("v: 2 steps: 1 region in part over missing cells: `a` 50.0 %\n")
    );
    let json = t.fine("check --json --index v.idx v.nc");
    for part in [
        "\"fits\": true",
        "\"outside\": [\n    0.0,\n    0.5\n  ]",
        "\"missing\": [\n            0.5,\n            0.0\n",
    ] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
}

#[test]
fn check_ends_with_1_where_a_file_does_not_fit() {
    let t = prepare("check-other");
    t.write("w.nc", file((40.5, 3), (261.5, 3), 1, |_, y, x| value(y, x)));
    let (code, said) = t.run("check --index v.idx v.nc w.nc");
    assert_eq!(code, 1);
    assert!(
        said.ends_with(
            "file         w.nc: does not fit\n  v: another grid: the longitudes differ: a cell begins at 260.000000 and at \
             261.000000\n"
        ),
        "{said}"
    );
    let (code, said) = t.run(&format!("check --index v.idx {}", data("curvilinear.nc")));
    assert_eq!(code, 1);
    assert!(
        said.ends_with(
            "file         curvilinear.nc: does not fit\n  t: another grid: one of them is curvilinear, the other is not\n"
        ),
        "{said}"
    );
}

#[test]
fn the_index_as_csv() {
    let t = prepare("export-csv");
    assert_eq!(
        t.fine("export --index v.idx -o p.csv"),
        "p.csv: 2 regions, 3 pairs of region and cell\n"
    );
    let rows = t.rows("p.csv");
    assert!(t.read("p.csv").starts_with("id,row,column,latitude,longitude,coverage,area_weight\n"));
    assert_eq!(rows[0][..6], ["a", "0", "0", "40.5", "260.5", "1"]);
    assert_eq!(rows[2][..6], ["b", "1", "2", "41.5", "262.5", "1"]);
    // one degree x (sin 41 - sin 40)
    let weight: f64 = rows[0][6].parse().unwrap();
    let wanted = 1f64.to_radians() * (41f64.to_radians().sin() - 40f64.to_radians().sin());
    assert!((weight / wanted - 1.0).abs() < 1e-12, "{weight}");
}

#[test]
fn weights_for_xesmf_are_read_back() {
    let t = prepare("export-nc");
    t.fine("export --index v.idx -q -o w.nc");
    let mut source = ncproj::netcdf::Source::open(&t.0.join("w.nc")).unwrap();
    assert_eq!(source.read_numbers("row").unwrap(), [1.0, 1.0, 2.0]);
    assert_eq!(source.read_numbers("col").unwrap(), [1.0, 2.0, 6.0]);
    assert_eq!(source.read_numbers("S").unwrap(), [0.5, 0.5, 1.0]);
    assert_eq!(source.read_texts("region").unwrap().unwrap(), ["a", "b"]);
    let (code, said) = t.run("export --index v.idx -o w.xlsx");
    assert_eq!(
        (code, said.trim_end()),
        (
            2,
            "error: `w.xlsx` is no kind of export known here\n\nhint: name it .csv, .parquet or .nc (weights for xesmf)"
        )
    );
}

#[test]
fn the_index_as_parquet_has_the_same_pairs() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let t = prepare("export-parquet");
    t.fine("export --index v.idx -q -o p.parquet");
    let reader =
        SerializedFileReader::new(std::fs::File::open(t.0.join("p.parquet")).unwrap()).unwrap();
    let rows: Vec<String> =
        reader.get_row_iter(None).unwrap().map(|r| r.unwrap().to_string()).collect();
    assert_eq!(rows.len(), 3);
    assert!(
        rows[2].starts_with(
            "{id: \"b\", row: 1, column: 2, latitude: 41.5, longitude: 262.5, coverage: 1.0, "
        ),
        "{}",
        rows[2]
    );
}

#[test]
fn completion_and_manual_know_every_command() {
    let t = Folder::new("shell");
    for shell in ["bash", "zsh", "fish"] {
        let script = t.fine(&format!("completion {shell}"));
        for word in ["aggregate", "check", "export", "regions", "min-valid"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let page = t.fine("man");
    assert!(page.contains(".TH ncproj 1") && page.contains("ncproj\\-export(1)"), "{page}");
    assert!(t.fine("man aggregate").contains(".TH ncproj-aggregate 1"));
    let (code, said) = t.run("man expor");
    assert_eq!(
        (code, said.trim_end()),
        (2, "error: there is no command `expor`\n\nhint: did you mean `export`?")
    );
}
