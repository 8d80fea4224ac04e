//! netCDF files that are damaged, cut short, or made of what ncproj does not read.

use crate::common::*;
use crate::make::{Chunk, find, fixture};
use crate::snapshot::Area;

#[test]
fn files() {
    let mut a = Area::new("netcdf");
    a.says("no such file", "info none.nc");
    a.says("a folder", "info .");
    a.pipe("p.nc");
    a.says("a pipe", "info p.nc");
    a.case("the end of a pipe", "cat v.nc | ncproj info /dev/stdin");
    a.says("an address", "aggregate --index v.idx https://host/v.nc -o o.csv");
    a.says("a path through a file", "info v.nc/v.nc");
    a.write("e.nc", "");
    a.says("an empty file", "info e.nc");
    a.write("page.nc", "<html>404</html>");
    a.says("no netCDF", "info page.nc");
    let whole = a.bytes("v.nc");
    a.write("cut.nc", &whole[..whole.len() - 10]);
    a.says("values that are cut short", "aggregate --index v.idx cut.nc -o o.csv");
    a.write("cut.nc", &whole[..90]);
    a.says("a header that is cut short", "info cut.nc");
    a.write("four.nc", &fixture("members.nc")[..6000]);
    a.says("netCDF-4 that is cut short", "info four.nc");
    a.write("four.nc", [&fixture("members.nc")[..8], &[7; 5000]].concat());
    a.says("netCDF-4 that is damaged", "info four.nc");
    a.write("four.nc", endless());
    a.case(
        "netCDF-4 that HDF5 never comes to an end with",
        "NCPROJ_PATIENCE=1 ncproj info four.nc",
    );
    std::fs::create_dir_all(a.t.0.join("store.zarr")).expect("a folder");
    a.write("store.zarr/.zgroup", "{}");
    a.says("a Zarr store", "aggregate --index v.idx store.zarr -o o.csv");
    let set = |at: usize, new: &[u8]| {
        let mut b = whole.clone();
        b[at..at + new.len()].copy_from_slice(new);
        b
    };
    let attr = find(&whole, b"\0\0\0\x05units"); // the first attribute, of the first variable
    for (title, bytes) in [
        ("an unknown version", set(3, &[9])),
        ("a list with the wrong tag", set(8, &[0, 0, 0, 99])),
        ("a length that cannot be", set(16, &[127, 0, 0, 0])),
        ("a type that nobody knows", set(attr + 12, &[0, 0, 0, 99])),
        ("too many dimensions", set(attr - 16, &[0, 0, 1, 0])),
        ("a dimension that is not there", set(attr - 12, &[0, 0, 0, 99])),
    ] {
        a.write("d.nc", bytes);
        a.says(title, "info d.nc");
    }
    let huge = |time: usize| {
        Classic::default()
            .dim("time", time)
            .dim("lev", 0x7fff_ffff)
            .dim("lat", 3)
            .dim("lon", 3)
            .dim("more", 0x7fff_ffff)
            .var("lat", DOUBLE, &["lat"], NORTH, &[40.5, 41.5, 42.5])
            .var("lon", DOUBLE, &["lon"], EAST, &[260.5, 261.5, 262.5])
            .var("v", FLOAT, &["time", "lev", "more", "lat", "lon"], &[], &[])
    };
    a.write("d.nc", huge(0).bytes());
    a.says("records that cannot be", "info d.nc");
    a.write("d.nc", huge(2).bytes());
    a.says("a shape that cannot be", "check --index v.idx d.nc");
    let with = |attrs: &[(&str, &str)]| {
        Classic::default()
            .dim("lat", 3)
            .dim("lon", 3)
            .var("lat", DOUBLE, &["lat"], NORTH, &[40.5, 41.5, 42.5])
            .var("lon", DOUBLE, &["lon"], EAST, &[260.5, 261.5, 262.5])
            .var("v", FLOAT, &["lat", "lon"], attrs, &[1.0; 9])
            .bytes()
    };
    a.write("t.nc", with(&[("missing_value", "none")]));
    a.says("an attribute that is no number", "aggregate --index v.idx t.nc -o o.csv");
    a.finish();
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 100];
    let n = libdeflater::Compressor::new(libdeflater::CompressionLvl::default())
        .zlib_compress(bytes, &mut out)
        .expect("it is packed");
    out.truncate(n);
    out
}

#[test]
fn chunks() {
    let mut a = Area::new("chunks");
    a.write("g.geojson", geojson(&[("a", vec![area(260.0, 40.0, 265.0, 45.0)])]));
    let packed = fixture("packed.nc");
    a.write("packed.nc", &packed);
    a.t.fine("index --regions g.geojson --key id --grid packed.nc -o g.idx");
    let run = "aggregate --threads 1 --index g.idx x.nc -o o.csv";
    // 2 x 1 x 3 values of 16 bits: fletcher32, then shuffle, then deflate
    let all = Chunk::all(&packed, 3);
    let one = &all[0];
    let changed = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut b = packed.clone();
        f(&mut b);
        b
    };
    for (title, bytes) in [
        ("a checksum that is wrong", changed(&|b| one.put(b, &zlib(&[7; 16])))),
        (
            "shorter than its checksum",
            changed(&|b| {
                one.set_size(b, 3);
                one.set_skipped(b, 6); // neither deflate nor shuffle
            }),
        ),
        ("a size that cannot be", changed(&|b| one.set_size(b, 5000))),
        ("the wrong size", changed(&|b| one.set_skipped(b, 7))),
        ("a place beyond the file", changed(&|b| one.set_place(b, 1 << 20))),
        ("a place outside of the variable", changed(&|b| one.set_offset(b, 0, 1 << 20))),
        (
            "a table that is damaged",
            changed(&|b| {
                for k in 0..b.len() - 5 {
                    if b[k..].starts_with(b"TREE\x01") {
                        b[k] = b'X';
                    }
                }
            }),
        ),
    ] {
        a.write("x.nc", bytes);
        a.says(title, run);
    }
    a.says("check: a damaged chunk table", "check --index g.idx x.nc");
    a.says("info: a damaged chunk table", "info x.nc");
    let filters = fixture("filters.nc");
    a.write("x.nc", &filters);
    a.t.fine("index --regions g.geojson --key id --grid x.nc -o g.idx");
    a.says("blosc", "aggregate --index g.idx --variables b x.nc -o o.csv");
    a.says("szip", "aggregate --index g.idx --variables s x.nc -o o.csv");
    let members = fixture("members.nc");
    let one = &Chunk::all(&members, 4)[0];
    let mut bytes = members.clone();
    bytes[one.at..one.at + 8].fill(0xff);
    a.write("x.nc", &bytes);
    a.says("what does not inflate", run);
    let mut bytes = members.clone();
    one.put(&mut bytes, &zlib(&[1, 2, 3, 4]));
    a.write("x.nc", &bytes);
    a.says("what inflates to the wrong size", run);
    let one = &Chunk::all(&filters, 2)[0];
    let mut bytes = filters.clone();
    bytes[one.at..one.at + 4].fill(0xff);
    a.write("x.nc", &bytes);
    a.says("zstd that is damaged", "aggregate --index g.idx --variables z x.nc -o o.csv");
    let mut bytes = filters.clone();
    one.put(&mut bytes, &zstd::bulk::compress(&[1, 2, 3, 4], 1).expect("it is packed"));
    a.write("x.nc", &bytes);
    a.says("zstd of the wrong size", "aggregate --index g.idx --variables z x.nc -o o.csv");
    a.finish();
}

#[test]
fn what_only_hdf5_knows() {
    use hdf5_metno as h5;
    let mut a = Area::new("hdf5");
    // A copy gets the name: HDF5's lock of the file itself lives on in children of other tests.
    let copied = |f: h5::File, name: &str| {
        drop(f);
        std::fs::copy(a.t.0.join(format!("{name}.h5")), a.t.0.join(name)).expect("a copy");
    };
    let create = |name: &str| h5::File::create(a.t.0.join(format!("{name}.h5"))).expect("a file");
    let start = |name: &str| {
        let f = create(name);
        let axis = |name: &str, values: &[f64]| {
            f.new_dataset_builder().with_data(values).create(name).expect("an axis");
        };
        axis("lat", &[40.5, 41.5, 42.5]);
        axis("lon", &[260.5, 261.5, 262.5, 263.5]);
        f
    };
    let f = create("groups.nc");
    let g = f.create_group("model").expect("a group");
    g.new_dataset::<f32>().shape(3).create("v").expect("a variable");
    drop(g);
    copied(f, "groups.nc");
    let f = start("external.nc");
    f.new_dataset::<f32>()
        .with_dcpl(|p| p.external("raw.bin", 0, 48))
        .shape((3, 4))
        .create("v")
        .expect("a variable");
    copied(f, "external.nc");
    let f = start("virtual.nc");
    f.new_dataset::<f32>()
        .with_dcpl(|p| p.virtual_map("o.nc", "v", (3, 4), .., (3, 4), ..))
        .shape((3, 4))
        .create("v")
        .expect("a variable");
    copied(f, "virtual.nc");
    let f = start("large.nc");
    f.new_dataset::<f32>()
        .chunk((1 << 25, 3, 4))
        .shape((h5::Extent::resizable(2), 3, 4))
        .create("v")
        .expect("a variable");
    copied(f, "large.nc");
    // An unlimited time that grew, and a variable that did not
    let f = create("shorter.nc");
    let mark = |set: &h5::Dataset, id: i32, dims: &[i32]| {
        let class: h5::types::FixedAscii<15> =
            h5::types::FixedAscii::from_ascii(b"DIMENSION_SCALE").expect("text");
        if dims.len() == 1 {
            set.new_attr::<h5::types::FixedAscii<15>>()
                .create("CLASS")
                .and_then(|a| a.write_scalar(&class))
                .expect("an attribute");
            set.new_attr::<i32>()
                .create("_Netcdf4Dimid")
                .and_then(|a| a.write_scalar(&id))
                .expect("an attribute");
        }
        set.new_attr_builder().with_data(dims).create("_Netcdf4Coordinates").expect("an attribute");
    };
    for (id, (name, values)) in [
        ("time", vec![0.0, 1.0, 2.0, 3.0, 4.0]),
        ("lat", vec![40.5, 41.5, 42.5]),
        ("lon", vec![260.5, 261.5, 262.5]),
    ]
    .into_iter()
    .enumerate()
    {
        let set = f.new_dataset_builder().with_data(&values).create(name).expect("an axis");
        mark(&set, id as i32, &[id as i32]);
    }
    let set = f.new_dataset::<f32>().shape((2, 3, 3)).create("v").expect("a variable");
    mark(&set, 0, &[0, 1, 2]);
    drop(set);
    copied(f, "shorter.nc");
    std::fs::copy(a.t.0.join("large.nc"), a.t.0.join("open.nc")).expect("a copy");
    let open = h5::File::open_rw(a.t.0.join("open.nc")).expect("a file");
    a.says("a file that is being written", "info open.nc");
    drop(open);
    a.says("variables in groups", "info groups.nc");
    let index = |n: &str| format!("index --regions r.geojson --key id --grid {n} -o {n}.idx");
    for (title, name) in [
        ("values in another file", "external.nc"),
        ("values put together from other files", "virtual.nc"),
        ("chunks that are too large", "large.nc"),
        ("a variable that is shorter than its dimension", "shorter.nc"),
    ] {
        a.t.fine(&index(name));
        a.says(title, &format!("aggregate --index {name}.idx --variables v {name} -o o.csv"));
    }
    a.finish();
}

/// netCDF-4 with a heap whose free space has no size: HDF5 looks for its end for ever.
fn endless() -> Vec<u8> {
    let mut bytes = fixture("members.nc");
    let mut at = find(&bytes, b"GCOL") + 16;
    let number =
        |at: usize, n: usize| (0..n).map(|k| usize::from(bytes[at + k]) << (8 * k)).sum::<usize>();
    while number(at, 2) != 0 {
        at += 16 + number(at + 8, 8).next_multiple_of(8);
    }
    bytes[at + 8..at + 16].fill(0);
    bytes
}
