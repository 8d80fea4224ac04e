//! Options that are missing, not known, or have values that cannot be.

use crate::snapshot::Area;

#[test]
fn options() {
    let mut a = Area::new("command_line");
    let run = "aggregate --index v.idx v.nc -o o.csv";
    a.says("no files", "aggregate --index v.idx -o o.csv");
    a.says("no output", "aggregate --index v.idx v.nc");
    a.says("no regions", "index --key id --grid v.nc -o o.idx");
    a.says("an option that nobody knows", &format!("{run} --stat min"));
    a.says("a command that nobody knows", "agregate");
    a.says("no threads", &format!("{run} --threads 0"));
    a.says("threads that are no number", &format!("{run} --threads many"));
    a.says(
        "no threads for an index",
        "index --regions r.geojson --key id --grid v.nc -o o.idx --threads 0",
    );
    a.says("a share beyond 1", &format!("{run} --min-valid 80"));
    a.says("a share that is no number", &format!("{run} --min-valid half"));
    a.says("a share that is not a number", &format!("{run} --min-valid nan"));
    a.says("a format that nobody knows", &format!("{run} --format xlsx"));
    for (title, stats) in [
        ("a statistic that nobody knows", "min,maxx"),
        ("an empty statistic", "min,"),
        ("a quantile beyond 100 %", "q101"),
        ("a quantile of too many digits", "q2.12345"),
        ("a quantile that is no number", "q1.2.3"),
    ] {
        a.says(title, &format!("{run} --stats {stats}"));
    }
    a.says("a shell that nobody knows", "completion tcsh");
    a.says("the manual of no command", "man agregate");
    a.finish();
}

#[test]
fn quiet_is_quiet() {
    let mut a = Area::new("quiet");
    use crate::common::{area, geojson};
    // wholly outside, in part outside, without area, round the date line
    let regions = geojson(&[
        ("out", vec![area(10.0, 50.0, 11.0, 51.0)]),
        ("part", vec![area(259.0, 40.0, 261.0, 41.0)]),
        ("flat", vec![vec![[260.0, 40.0], [261.0, 40.0], [262.0, 40.0]]]),
    ]);
    a.write("w.geojson", regions);
    a.says("index", "index --regions w.geojson --key id --grid v.nc -o o.idx");
    a.says("index, quiet", "index -q --regions w.geojson --key id --grid v.nc -o o.idx");
    a.says("aggregate", "aggregate --index v.idx v.nc -o o.csv --progress");
    a.says("aggregate, quiet", "aggregate -q --index v.idx v.nc -o o.csv --progress");
    a.says("aggregate, quiet, in error", "aggregate -q --index v.idx v.nc -o o.csv --variables w");
    a.says("export", "export --index v.idx -o o.csv");
    a.says("export, quiet", "export -q --index v.idx -o o.csv");
    a.finish();
}
