//! What the user sees when something is wrong, word for word.

mod common;
use common::*;

fn prepare(name: &str) -> Folder {
    let t = Folder::new(name);
    t.write("v.nc", file((40.5, 3), (260.5, 3), 2, |_, y, x| value(y, x)));
    t.write("r.geojson", geojson(&[("a", vec![area(260.0, 40.0, 262.0, 42.0)])]));
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    t
}

fn sees(t: &Folder, arguments: &str, code: i32, text: &str) {
    let (got, said) = t.run(arguments);
    assert_eq!((got, said.trim_end()), (code, text), "{arguments}");
    let left: Vec<_> = std::fs::read_dir(&t.0)
        .expect("the folder")
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?} was left behind");
}

#[test]
fn a_variable_that_is_not_there() {
    sees(
        &prepare("variable"),
        "aggregate --index v.idx --variables vv v.nc -o o.parquet",
        1,
        "error: there is no variable `vv`\n  at v.nc: `time(time)`, `lat(lat)`, `lon(lon)`, `v(time, lat, lon)`\n\n\
         hint: did you mean `v`?",
    );
}

#[test]
fn a_field_that_is_not_there() {
    sees(
        &prepare("field"),
        "index --regions r.geojson --key idd --grid v.nc -o o.idx",
        1,
        "error: there is no field `idd`\n  at r.geojson: `id`\n\nhint: did you mean `id`?",
    );
}

#[test]
fn a_file_cut_short() {
    let t = prepare("short");
    let whole = std::fs::read(t.0.join("v.nc")).expect("the file");
    t.write("cut.nc", &whole[..whole.len() - 10]);
    let wanted = format!(
        "error: `cut.nc` is cut short: {} bytes are there, at least {} are needed\n  at cut.nc\n\n\
         hint: fetch the file again: the download or the copy broke off",
        whole.len() - 10,
        whole.len()
    );
    sees(&t, "aggregate --index v.idx cut.nc -o o.parquet", 1, &wanted);
    let members = std::fs::read(data("members.nc")).expect("the fixture");
    t.write("four.nc", &members[..members.len() / 2]);
    let (code, text) = t.run("info four.nc");
    assert_eq!(code, 1);
    assert!(text.starts_with("error: `four.nc` is cut short: "), "{text}");
}

#[test]
fn what_is_no_netcdf() {
    let t = prepare("html");
    t.write("page.nc", "<html>404</html>");
    sees(
        &t,
        "info page.nc",
        1,
        "error: `page.nc` is not a netCDF file\n  at page.nc\n\n\
         hint: netCDF files begin with `CDF` or `\\x89HDF`; a failed download is often an HTML page",
    );
    sees(
        &t,
        "info none.nc",
        1,
        "error: cannot read `none.nc`: there is no such file or folder\n\n\
         hint: check the path; paths are relative to the folder you are in",
    );
}

#[test]
fn an_index_for_another_grid() {
    let t = prepare("grid");
    t.write("w.nc", file((40.5, 3), (261.5, 3), 1, |_, y, x| value(y, x)));
    sees(
        &t,
        "aggregate --index v.idx w.nc -o o.parquet",
        1,
        "error: the index is for another grid than `w.nc`: the longitudes differ: a cell begins at 260.000000 and at \
         261.000000\n  at the index: lat 3 cells 40.0000 .. 43.0000, lon 3 cells 260.0000 .. 263.0000\n  \
         and `v`: lat 3 cells 40.0000 .. 43.0000, lon 3 cells 261.0000 .. 264.0000\n\n\
         hint: make an index for this grid: `ncproj index --grid w.nc`",
    );
}

#[test]
fn a_damaged_index_and_one_of_another_format() {
    let t = prepare("index");
    let good = std::fs::read(t.0.join("v.idx")).expect("the index");
    let mut bad = good.clone();
    bad[60] ^= 1;
    t.write("bad.idx", bad);
    sees(
        &t,
        "aggregate --index bad.idx v.nc -o o.parquet",
        1,
        "error: `bad.idx` is damaged: its checksum is wrong\n  at bad.idx\n\nhint: make it again with `ncproj index`",
    );
    let mut old = good;
    old[8] = 7;
    t.write("old.idx", old);
    sees(
        &t,
        "aggregate --index old.idx v.nc -o o.parquet",
        1,
        "error: `old.idx` is an index of format 7, this ncproj reads formats 1 and 2\n  at old.idx\n\n\
         hint: make it again with `ncproj index`",
    );
}

#[test]
fn keys_that_are_empty_or_come_twice() {
    let t = prepare("keys");
    let one = || vec![area(260.0, 40.0, 261.0, 41.0)];
    t.write("two.geojson", geojson(&[("a", one()), ("b", one()), ("a", one())]));
    sees(
        &t,
        "index --regions two.geojson --key id --grid v.nc -o o.idx",
        1,
        "error: keys come more than once: `a`\n  at two.geojson: key `id`, rows 1 and 3\n\n\
         hint: choose a field, or fields as in `G{STATEFP10}0{COUNTYFP10}0`, that name each region once",
    );
    t.write("none.geojson", geojson(&[("", one())]));
    sees(
        &t,
        "index --regions none.geojson --key id --grid v.nc -o o.idx",
        1,
        "error: region 1 has an empty key: no `id`\n  at none.geojson, row 1\n\nhint: choose a field that every region has",
    );
}

#[test]
fn grids_that_are_not_read() {
    let t = prepare("grids");
    let (code, text) = t
        .run(&format!("index --regions r.geojson --key id --grid {} -o o.idx", data("lambert.nc")));
    assert_eq!(code, 1);
    assert!(
        text.starts_with(
            "error: the projection cannot be computed: it lacks `standard_parallel`\n"
        ),
        "{text}"
    );
    let (code, text) = t.run(&format!(
        "index --regions r.geojson --key id --grid {} -o o.idx",
        data("curvilinear.nc")
    ));
    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: the grid is curvilinear: `lat` and `lon` have two dimensions\n"),
        "{text}"
    );
}

#[test]
fn the_command_line_is_checked_first() {
    let t = prepare("usage");
    sees(
        &t,
        "aggregate --index v.idx v.nc -o o.xlsx",
        2,
        "error: `o.xlsx` is no kind of output known here\n\nhint: name it .parquet, .csv, .arrow or .nc, or say `--format`",
    );
    sees(
        &t,
        "aggregate --index v.idx --stats min,maxx v.nc -o o.csv",
        2,
        "error: there is no statistic `maxx`\n\nhint: did you mean `max`?",
    );
    assert_eq!(t.run("aggregate").0, 2);
    assert_eq!(t.run("--version").0, 0);
    assert_eq!(t.run("").0, 2);
}

#[test]
fn regions_that_are_not_in_longitude_and_latitude() {
    let t = prepare("crs");
    t.write("p.geojson", geojson(&[("a", vec![area(500000.0, 4e6, 500001.0, 4.1e6)])]));
    sees(
        &t,
        "index --regions p.geojson --key id --grid v.nc -o o.idx",
        1,
        "error: region `a` has the corner (500000, 4000000), which is no longitude and latitude\n  at p.geojson\n\n\
         hint: the coordinates look projected: reproject to EPSG:4326 first",
    );
}

#[test]
fn a_folder_that_is_not_there() {
    sees(
        &prepare("nofolder"),
        "aggregate --index v.idx v.nc -o no/o.parquet",
        1,
        "error: cannot write `no/o.parquet`: there is no such file or folder\n\n\
         hint: check the path; paths are relative to the folder you are in",
    );
}

#[test]
fn filters_that_are_not_known_are_named() {
    let t = prepare("filters");
    let grid = data("filters.nc");
    t.write("f.geojson", geojson(&[("a", vec![area(-97.0, 42.0, -95.75, 43.0)])]));
    t.fine(&format!("index --regions f.geojson --key id --grid {grid} --variable z -o f.idx"));
    for (variable, filter) in [("b", "blosc"), ("s", "szip")] {
        let wanted = format!(
            "error: `{variable}` is packed with the filter `{filter}`, which ncproj does not know\n  at filters.nc: variable \
             `{variable}`\n\nhint: repack it first: `nccopy -F none in.nc plain.nc`, or any tool that reads it"
        );
        sees(
            &t,
            &format!("aggregate --index f.idx --variables {variable} {grid} -o o.csv"),
            1,
            &wanted,
        );
    }
    t.fine(&format!("aggregate --index f.idx --variables z --weights coverage {grid} -o o.csv"));
    assert_eq!(t.rows("o.csv")[0], ["a", "438.5", "439.5", "438.7", "1"]);
}

#[test]
fn an_output_that_would_take_the_place_of_an_input() {
    let t = prepare("place");
    for name in ["v.nc", "./v.nc"] {
        let wanted = format!(
            "error: the output `{name}` would take the place of an input\n\nhint: give the output another name"
        );
        sees(&t, &format!("aggregate --index v.idx v.nc -o {name}"), 2, &wanted);
    }
}
