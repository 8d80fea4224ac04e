//! Outputs: their names, folders and places; disks that are full, and what is kept for the next run.

use crate::common::*;
use crate::snapshot::Area;
use ncproj::error::Error;
use std::io::ErrorKind;
use std::path::Path;

#[test]
fn outputs() {
    let mut a = Area::new("output");
    let run = "aggregate --index v.idx v.nc -o";
    a.says("another kind of file", &format!("{run} o.xlsx"));
    a.says("a folder that is not there", &format!("{run} no/o.parquet"));
    a.says("a path through a file", &format!("{run} v.nc/o.csv"));
    std::fs::create_dir(a.t.0.join("d.csv")).expect("a folder");
    a.says("a folder", &format!("{run} d.csv"));
    a.pipe("p.csv");
    a.says("a pipe", &format!("{run} p.csv"));
    a.says("in the place of an input", &format!("{run} v.nc"));
    a.says("in the place of an input by another path", &format!("{run} ./v.nc"));
    a.says("the record in the place of an input", &format!("{run} o.csv --json=v.idx"));
    a.says("the record in the place of the rows", &format!("{run} o.csv --json=o.csv"));
    a.says("the record in a folder that is not there", &format!("{run} o.csv --json=no/run.json"));
    a.says("netCDF as a stream", &format!("{run} - --format nc"));
    a.says("wide netCDF", &format!("{run} o.nc --wide"));
    a.says("a stream that is resumed", &format!("{run} - --resume"));
    a.says("rows and record in one stream", &format!("{run} - --json"));
    a.says(
        "an index in the place of its regions",
        "index --regions r.geojson --key id --grid v.nc -o r.geojson",
    );
    a.says(
        "an index in the place of its grid",
        "index --regions r.geojson --key id --grid v.nc -o v.nc",
    );
    a.says(
        "an index in a folder that is not there",
        "index --regions r.geojson --key id --grid v.nc -o no/o.idx",
    );
    let limited = "trap '' XFSZ; ulimit -f 0; ncproj";
    for ending in ["csv", "parquet", "arrow", "nc"] {
        a.case(&format!("no room for .{ending}"), &format!("{limited} {run} o.{ending}"));
    }
    a.case(
        "no room for an index",
        &format!("{limited} index --regions r.geojson --key id --grid v.nc -o o.idx"),
    );
    a.case("no room for what is kept", &format!("{limited} {run} o.csv --resume"));
    for format in ["csv", "parquet", "arrow"] {
        a.case(
            &format!("a full disk behind stdout, {format}"),
            &format!("ncproj {run} - --format {format} > /dev/full"),
        );
    }
    a.case("a full disk behind stdout, info", "ncproj info v.nc > /dev/full");
    a.case("a full disk behind stdout, man", "ncproj man > /dev/full");
    a.case(
        "a reader that went away",
        &format!("ncproj -V > /dev/null; (sleep 0.2; ncproj {run} - ) | true"),
    );
    std::fs::create_dir(a.t.0.join(".k.csv.resume")).expect("a folder");
    a.case(
        "two runs at once that keep what is finished",
        &format!("touch .l.csv.resume; flock .l.csv.resume ncproj {run} l.csv --resume"),
    );
    a.says("a folder in the place of what is kept", &format!("{run} k.csv --resume"));
    a.finish();
}

/// What an operating system says; a disk that is full or read-only cannot be had in every test.
#[test]
fn the_systems_own_errors() {
    let mut a = Area::new("system");
    for (doing, kind) in [
        ("read", ErrorKind::NotFound),
        ("read", ErrorKind::PermissionDenied),
        ("read", ErrorKind::IsADirectory),
        ("read", ErrorKind::NotADirectory),
        ("read", ErrorKind::TimedOut),
        ("write", ErrorKind::NotFound),
        ("write", ErrorKind::PermissionDenied),
        ("write", ErrorKind::StorageFull),
        ("write", ErrorKind::ReadOnlyFilesystem),
        ("write", ErrorKind::IsADirectory),
        ("write", ErrorKind::NotADirectory),
        ("write", ErrorKind::FileTooLarge),
    ] {
        let e = Error::file(doing, Path::new("folder/o.csv"), kind.into());
        a.library(&format!("{doing}: {kind:?}"), Some(e));
    }
    for (name, number) in [
        ("EMFILE", libc::EMFILE),
        ("ELOOP", libc::ELOOP),
        ("ENAMETOOLONG", libc::ENAMETOOLONG),
        ("EIO", libc::EIO),
        ("ESTALE", libc::ESTALE),
        ("ENOMEM", libc::ENOMEM),
    ] {
        let system = std::io::Error::from_raw_os_error(number);
        let e = Error::file("read", Path::new("folder/v.nc"), system);
        a.library(&format!("read: {name}"), Some(e));
    }
    std::os::unix::fs::symlink("none.nc", a.t.0.join("link.nc")).expect("a link");
    a.says("a link to nowhere", "info link.nc");
    for place in ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        // Where root tries this by the program, a fault would cost the device.
        let e = ncproj::error::needs_file("write", Path::new(place), "name a file");
        a.library(&format!("write: {place}"), e.err());
    }
    let index = ncproj::index::Index::load(&a.t.0.join("v.idx")).expect("the index");
    a.library("no file to aggregate", ncproj::plan::plan(&index, &[], &[], None, &[]).err());
    let time = ncproj::time::TimeUnits::parse("days until 2005-01-01", "");
    a.library("no `since`", time.err());
    a.finish();
}

#[test]
fn a_folder_that_is_not_ours() {
    use std::os::unix::fs::PermissionsExt;
    let t = Folder::new("errors-closed");
    t.write("v.nc", file((40.5, 3), (260.5, 3), 1, |_, y, x| value(y, x)));
    t.write("r.geojson", geojson(&[("a", vec![area(260.0, 40.0, 262.0, 42.0)])]));
    let closed = t.0.join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).expect("its mode");
    if std::fs::write(closed.join("x"), "").is_ok() {
        return; // root may write everywhere
    }
    let (code, said) = t.run("index --regions r.geojson --key id --grid v.nc -o closed/v.idx");
    let wanted = "error: cannot write `closed/v.idx`: permission denied\n\n\
                  hint: check who owns the file and its folder (`ls -l`)";
    assert_eq!((code, said.trim_end()), (1, wanted));
}
