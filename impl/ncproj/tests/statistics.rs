//! Every statistic on paper: the cells 438.5 (whole) and 439.5 (a quarter of it), and what becomes of gaps and chunks.

mod common;
use common::*;

const ALL: &str = "sum,count,mean,variance,stdev,median,q05,q97.5,mode,min,max,valid";

fn folder(name: &str, f: impl Fn(usize, f64, f64) -> f64) -> Folder {
    let t = Folder::new(name);
    t.write("v.nc", file((38.5, 11), (248.5, 19), 2, f));
    t.write("r.geojson", geojson(&[("a", vec![area(263.0, 42.0, 264.25, 43.0)])]));
    t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
    t
}

fn numbers(row: &[String]) -> Vec<Option<f64>> {
    row[2..].iter().map(|v| v.parse().ok()).collect()
}

#[test]
fn one_cell_and_a_quarter_of_the_next() {
    let t = folder("stats", |_, y, x| value(y, x));
    t.fine(&format!("aggregate --index v.idx --weights coverage --stats {ALL} v.nc -o o.csv"));
    let names = ALL.split(',').map(|s| format!(",{s}_v")).collect::<String>();
    assert!(t.read("o.csv").starts_with(&format!("id,time{names}\n")));
    // sum 438.5 + 439.5 / 4; variance 0.8 * 0.2^2 + 0.2 * 0.8^2; quantiles lie on the line from 438.5 (0) to 439.5 (1)
    let wanted =
        [548.375, 1.25, 438.7, 0.16, 0.4, 439.0, 438.55, 439.475, 438.5, 438.5, 439.5, 1.0];
    for (got, wanted) in numbers(&t.rows("o.csv")[0]).iter().zip(wanted) {
        assert!(got.is_some_and(|g| (g - wanted).abs() < 1e-9), "{got:?} is not {wanted}");
    }
}

#[test]
fn sum_and_count_go_by_share_whatever_the_weights() {
    let t = folder("stats-area", |_, y, x| value(y, x));
    t.fine("aggregate --index v.idx --stats sum,count v.nc -o o.csv");
    assert_eq!(numbers(&t.rows("o.csv")[0]), [Some(548.375), Some(1.25)]);
}

#[test]
fn a_gap_leaves_one_value_and_nothing_leaves_null() {
    let t = folder("stats-gap", |s, y, x| if s == 0 && x < 264.0 { value(y, x) } else { -9999.0 });
    t.fine(&format!("aggregate --index v.idx --weights coverage --stats {ALL} v.nc -o o.csv"));
    let one = |v: f64| Some(v);
    let v = 438.5;
    assert_eq!(numbers(&t.rows("o.csv")[0]), [v, 1.0, v, 0.0, 0.0, v, v, v, v, v, v, 0.8].map(one));
    let mut nothing = vec![None; 11];
    nothing.push(Some(0.0));
    assert_eq!(numbers(&t.rows("o.csv")[1]), nothing);
}

#[test]
fn quantiles_of_packed_values_in_small_chunks_and_on_several_threads() {
    let grid = data("packed.nc");
    let t = Folder::new("stats-packed");
    t.write("r.geojson", geojson(&[("a", vec![area(-97.0, 42.0, -95.75, 43.0)])]));
    t.fine(&format!("index --regions r.geojson --key id --grid {grid} -o v.idx"));
    for threads in [1, 3] {
        t.fine(&format!(
            "aggregate --index v.idx --weights coverage --stats q05,mode,variance --threads {threads} {grid} -o {threads}.csv"
        ));
    }
    assert_eq!(t.read("1.csv"), t.read("3.csv"));
    let got = numbers(&t.rows("1.csv")[1]);
    assert!((got[0].unwrap_or(0.0) - 538.55).abs() < 1e-9 && got[1] == Some(538.5), "{got:?}");
}

#[test]
fn what_is_no_statistic() {
    let t = folder("stats-names", |_, y, x| value(y, x));
    for (name, text) in [
        ("stdv", "error: there is no statistic `stdv`\n\nhint: did you mean `stdev`?"),
        (
            "q101",
            "error: the quantile `q101` lies beyond 100 %\n\n\
             hint: quantiles are named by their percentage: `q05`, `q50`, `q97.5`",
        ),
    ] {
        let (code, said) = t.run(&format!("aggregate --index v.idx --stats {name} v.nc -o o.csv"));
        assert_eq!((code, said.trim_end()), (2, text));
    }
}
