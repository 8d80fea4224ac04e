//! Weights of the user's own, the run record, progress, and runs that were killed.

mod common;
use common::*;
use serde_json::Value;
use std::process::{Command, Stdio};

/// Cells (40.5, 260.5) = 415.5 and (40.5, 261.5) = 416.5, both in region `a`; `b` is the cell to the north of the first.
fn prepare(name: &str, steps: usize) -> Folder {
    let t = Folder::new(name);
    t.write("v.nc", file((40.5, 3), (260.5, 3), steps, |_, y, x| value(y, x)));
    let regions =
        [("a", vec![area(260.0, 40.0, 262.0, 41.0)]), ("b", vec![area(260.0, 41.0, 261.0, 42.0)])];
    t.write("r.geojson", geojson(&regions));
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    t
}

fn people(f: impl Fn(f64, f64) -> f64) -> Vec<u8> {
    file((40.5, 3), (260.5, 3), 1, |_, y, x| f(y, x))
}

#[test]
fn cells_count_by_their_people() {
    let t = prepare("people", 1);
    // three live in the first cell, one in the second, nobody and nothing known elsewhere
    t.write(
        "p.nc",
        people(|y, x| match (y < 41.0, x) {
            (true, 260.5) => 3.0,
            (true, 261.5) => 1.0,
            (true, _) => 0.0,
            _ => -9999.0,
        }),
    );
    let said = t.fine(
        "aggregate --index v.idx --weights p.nc:v --stats mean,min,max,valid,mode v.nc -o o.csv",
    );
    assert!(said.starts_with("warning: without weight, null in the output: `b`\n"), "{said}");
    let rows = t.rows("o.csv");
    // (3 * 415.5 + 416.5) / 4
    assert_eq!(rows[0][2..], ["415.75", "415.5", "416.5", "1", "415.5"]);
    assert_eq!(rows[1][2..], ["", "", "", "0", ""]);
    // a cell where nobody lives counts for nothing
    t.write("q.nc", people(|_, x| if x == 260.5 { 0.0 } else { 2.0 }));
    t.fine("aggregate --index v.idx --weights q.nc:v --stats mean,min v.nc -o o.csv");
    assert_eq!(t.rows("o.csv")[0][2..], ["416.5", "416.5"]);
}

#[test]
fn the_record_says_what_was_done() {
    let t = prepare("record", 3);
    let record: Value =
        serde_json::from_str(&t.fine("aggregate -q --index v.idx v.nc -o o.csv --json"))
            .expect("JSON");
    let whole = std::fs::read(t.0.join("v.nc")).expect("the file");
    assert_eq!(record["inputs"][0]["bytes"], whole.len());
    assert_eq!(record["inputs"][0]["blake3"], blake3::hash(&whole).to_hex().to_string());
    let out = std::fs::read(t.0.join("o.csv")).expect("the output");
    assert_eq!(record["output"]["blake3"], blake3::hash(&out).to_hex().to_string());
    assert_eq!(record["counts"]["rows"], 6);
    assert!(record["seconds"]["total"].as_f64().is_some_and(|s| s > 0.0));
    t.fine("aggregate -q --index v.idx v.nc -o o.csv --json=run.json");
    assert!(t.read("run.json").contains("\"command\": \"aggregate\""));
    let (code, said) = t.run("aggregate --index v.idx v.nc -o - --json");
    assert_eq!(
        (code, said.lines().next()),
        (2, Some("error: the rows and the record cannot both go to stdout"))
    );
}

#[test]
fn only_the_chunks_that_are_needed_are_read() {
    let grid = data("packed.nc"); // chunks of 2 rows, 1 day, 3 columns
    let t = Folder::new("chunks");
    let regions =
        [("a", vec![area(260.0, 40.0, 261.0, 41.0)]), ("b", vec![area(264.0, 43.0, 265.0, 45.0)])];
    t.write("r.geojson", geojson(&regions));
    t.fine(&format!("index --regions r.geojson --key id --grid {grid} -o v.idx"));
    let chunks = |more: &str| -> u64 {
        let said = t.fine(&format!("aggregate -q --index v.idx {more} {grid} -o o.csv --json"));
        let record: Value = serde_json::from_str(&said).expect("JSON");
        record["counts"]["chunks"].as_u64().expect("a number")
    };
    // a chunk for each region, two days
    assert_eq!(chunks(""), 4);
    assert_eq!(chunks("--where a"), 2);
    assert_eq!(chunks("--bbox=-96,43.5,-95,45"), 2);
    assert_eq!(chunks("--time 2001-03-01"), 2);
    assert_eq!(chunks("--time 2001-03-01 --where b --stats q05,mode"), 1);
}

#[test]
fn progress_is_said_when_asked_for() {
    let t = prepare("progress", 2);
    let said = t.fine("aggregate --progress --index v.idx v.nc -o o.csv");
    assert!(said.starts_with("2 of 2 steps, 100 %, 0 s left\n"), "{said}");
    assert!(!t.fine("aggregate --index v.idx v.nc -o o.csv").contains("left"));
}

const LONG: usize = 150_000;

fn killed(t: &Folder) -> bool {
    let mut run = Command::new(env!("CARGO_BIN_EXE_ncproj"))
        .args("aggregate -q --index v.idx --resume --threads 1 v.nc -o o.csv".split(' '))
        .current_dir(&t.0)
        .stderr(Stdio::null())
        .spawn()
        .expect("ncproj runs");
    let journal = t.0.join(".o.csv.resume");
    for _ in 0..20_000 {
        let begun = std::fs::metadata(&journal).is_ok_and(|m| m.len() > 1000);
        if begun || run.try_wait().is_ok_and(|done| done.is_some()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    run.kill().expect("it is killed");
    run.wait().expect("it is gone");
    journal.exists()
}

fn left(t: &Folder) -> Vec<String> {
    let names = std::fs::read_dir(&t.0).expect("the folder");
    let mut left: Vec<String> = names
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.starts_with('.'))
        .collect();
    left.sort();
    left
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let t = prepare("killed", LONG);
    t.fine("aggregate --index v.idx v.nc -o whole.csv");
    assert!(killed(&t), "the run was over before it was killed");
    assert!(!t.0.join("o.csv").exists());
    let said = t.fine("aggregate --index v.idx --resume --threads 2 v.nc -o o.csv");
    assert!(said.starts_with("resumed: "), "{said}");
    assert!(t.read("o.csv") == t.read("whole.csv"), "the bytes differ");
    assert_eq!(left(&t), [""; 0]);
}

#[test]
fn what_another_run_kept_is_not_taken() {
    let t = prepare("another", LONG);
    assert!(killed(&t), "the run was over before it was killed");
    let said =
        t.fine("aggregate --index v.idx --resume --weights coverage --stats max v.nc -o o.csv");
    assert!(
        said.starts_with(
            "warning: what `.o.csv.resume` keeps is of other files, options or another version: begun anew\n"
        ),
        "{said}"
    );
    assert_eq!(t.rows("o.csv")[0][2..], ["416.5"]);
    // the same options, but the file is another
    assert!(killed(&t), "the run was over before it was killed");
    t.write("v.nc", file((40.5, 3), (260.5, 3), LONG, |_, y, x| value(y, x) + 1.0));
    let said = t.fine("aggregate --index v.idx --resume v.nc -o o.csv");
    assert!(said.contains("begun anew"), "{said}");
    assert_eq!(t.rows("o.csv")[0][2], "416.5");
    let (code, said) = t.run("aggregate --index v.idx --resume v.nc -o -");
    assert_eq!(
        (code, said.trim_end()),
        (2, "error: a stream cannot be resumed\n\nhint: name a file with `-o`")
    );
}
