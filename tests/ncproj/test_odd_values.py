"""What the attributes of a variable say of its numbers, and in what types and containers they come."""

import h5py
import netCDF4
import numpy as np
import pytest

from .odd import LAT, LON, box

MIXED = np.full((4, 4), 2000)
MIXED[0, 0] = 300
AREA = 0.0625  # each of 16 cells, nearly: rows of cells differ by 1e-3 in area


def plain_hdf5(desk, make, name="t.nc", **options):
    """A file by h5py: lat and lon with scales, and what `make(file)` adds."""
    path = desk.folder / name
    path.unlink(missing_ok=True)
    with h5py.File(path, "w", **options) as file:
        for side, centres, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file[side] = centres
            file[side].attrs["units"] = units
            file[side].make_scale(side)
        make(file)
    return path


def on_grid(file, name, values=None, group="/", **options):
    """A data set over (lat, lon) that says so."""
    made = file[group].create_dataset(name, data=values, **options)
    for k, side in enumerate(("lat", "lon")):
        made.dims[k].attach_scale(file[side])
    return made


def as_netcdf4_reads(path, name="v"):
    with netCDF4.Dataset(path) as file:
        return file[name][:]


# ---- packing ----


@pytest.mark.parametrize("factor", [np.float32, np.float64])
@pytest.mark.parametrize("bound", [np.float32, np.float64])
def test_a_range_of_floats_beside_packed_integers_is_in_unpacked_units(desk, factor, bound):
    # 300 * 0.01 + 250 = 253 and 2000 * 0.01 + 250 = 270: 254 .. 331 leaves fifteen cells of 270
    packing = {"scale_factor": factor(0.01), "add_offset": factor(250)}
    desk.grid(MIXED, kind="i2", attrs=packing | {"valid_range": bound([254, 331])})
    (row,) = desk.run()
    assert (float(row["count_v"]), float(row["min_v"])) == (15, pytest.approx(270, rel=1e-6))
    desk.grid(MIXED, kind="i2", attrs=packing | {"valid_min": bound(185), "valid_max": bound(331)})
    assert desk.value("count") == 16


def test_a_range_of_the_stored_type_is_in_packed_units(desk):
    attrs = {"scale_factor": 0.01, "add_offset": 250.0, "valid_range": np.int16([301, 5000])}
    path = desk.grid(MIXED, kind="i2", attrs=attrs)
    assert as_netcdf4_reads(path).count() == 15
    assert desk.value("count") == 15
    desk.grid(MIXED, kind="i2", attrs=attrs | {"valid_range": np.int32([0, 1999])})  # another integer: packed too
    assert (desk.value("count"), desk.value("mean")) == (1, pytest.approx(253))


def test_a_bound_counts_however_float32_rounds_it(desk):
    # 8110 * 0.01 + 250 = 331.1 itself is the upper bound, and -3 * -0.1 = 0.3 the lower one of a falling scale
    desk.grid(8110, kind="i2", attrs={"scale_factor": 0.01, "add_offset": 250.0, "valid_max": np.float32(331.1)})
    assert desk.value("count") == 16
    desk.grid(-3, kind="i2", attrs={"scale_factor": -0.1, "valid_min": np.float32(0.3)})
    assert desk.value("mean") == pytest.approx(0.3)
    desk.grid(-2, kind="i2", attrs={"scale_factor": -0.1, "valid_min": np.float32(0.3), "valid_max": 9.0})
    assert "valid_min" in desk.value("mean")  # all are 0.2: outside


def test_a_wider_range_of_packed_floats_is_unpacked(desk):
    # 27 * 10 = 270 lies in 185 .. 331, 27 does not
    desk.grid(27, kind="f4", attrs={"scale_factor": 10.0, "valid_range": np.float64([185, 331])})
    assert desk.value("mean") == 270
    desk.grid(27, kind="f4", attrs={"scale_factor": 10.0, "valid_range": np.float32([20, 30])})
    assert desk.value("mean") == 270


@pytest.mark.parametrize(("kind", "top"), [("i1", 255), ("i2", 65535), ("i4", 2**32 - 1)])
def test_signed_integers_with_an_unsigned_range_are_unsigned(desk, kind, top):
    values = np.full((4, 4), 50)
    values[1] = -56  # the bits of top + 1 - 56
    desk.grid(values, kind=kind, attrs={"valid_range": np.array([0, top], "i8")}, fill=np.dtype(kind).type(0))
    (row,) = desk.run()
    assert (float(row["min_v"]), float(row["max_v"])) == (50, top - 55)
    assert "unsigned" in desk.said


def test_a_range_that_masks_all_of_a_file_is_said(desk):
    desk.grid(np.full((4, 4), 300.0), kind="f4", attrs={"valid_range": np.float32([0, 100])})
    said = desk.value("mean")
    assert "t.nc: variable `v`" in said and "`valid_range` 0 .. 100" in said and "every value" in said
    assert not (desk.folder / "t.csv").exists()


def test_a_file_of_masked_values_among_others_is_missing(desk):
    def make(day, value):
        def more(file):
            file.createDimension("time", 1)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2000-01-01"
            time[:] = day
            field = file.createVariable("w", "f4", ("time", "lat", "lon"))
            field.valid_range = np.float32([0, 10])
            field[:] = value

        return more

    for name, day, value in (("a.nc", 0, 5), ("b.nc", 1, 500)):
        desk.grid(1, name=name, more=make(day, value))
    rows = desk.run(grids=("a.nc", "b.nc"), words=("--variables", "w"))
    assert [row["mean_w"] for row in rows] == ["5", ""]
    assert "b.nc: variable `w`" in desk.run(grids=("b.nc",), words=("--variables", "w"))


def test_a_region_of_masked_cells_is_null_where_others_hold(desk):
    values = np.full((4, 4), 300.0)
    values[3, 3] = 50
    desk.grid(values, attrs={"valid_max": 100.0})
    assert desk.value("mean", desk.regions(box(10, 0, 12, 2))) is None
    desk.grid(np.full((4, 4), -1.0), fill=-1.0, attrs={"valid_max": 100.0})
    assert desk.value("mean") is None  # missing by its fill value, not by the range


@pytest.mark.parametrize(
    ("attrs", "word"),
    [
        ({"valid_range": np.float64([100, 0])}, "valid_range"),
        ({"valid_range": np.float64([np.nan, 5])}, "valid_range"),
        ({"valid_range": np.float64([5])}, "1 values"),
        ({"valid_range": np.float64([5, 6, 7])}, "3 values"),
        ({"valid_range": "0,100"}, "0,100"),
        ({"valid_min": np.float64([1, 2])}, "valid_min"),
        ({"valid_min": 5.0, "valid_max": 4.0}, "valid_max"),
        ({"valid_range": np.float64([0, 5]), "valid_max": 6.0}, "valid_max"),
        ({"valid_max": "warm"}, "warm"),
        ({"valid_max": np.nan}, "valid_max"),
        ({"missing_value": "-9,999"}, "-9,999"),
        ({"scale_factor": "0,01"}, "0,01"),
        ({"scale_factor": 0.0}, "scale_factor"),
        ({"scale_factor": np.nan}, "scale_factor"),
        ({"add_offset": np.inf}, "add_offset"),
        ({"scale_factor": [0.1, 0.2]}, "scale_factor"),
        ({"Scale_factor": 0.1}, "Scale_factor"),
        ({"FillValue": 7.0}, "FillValue"),
        ({"missing_values": 7.0}, "missing_values"),
        ({"Valid_Range": [0.0, 5.0]}, "Valid_Range"),
    ],
)
@pytest.mark.parametrize("kind", ["f4", "f8", "i4"])
def test_attributes_that_cannot_be_meant_are_refused(desk, attrs, word, kind):
    desk.grid(7, kind=kind, attrs=attrs)
    said = desk.value("mean")
    assert word in said and "t.nc: variable `v`" in said and "hint:" in said


@pytest.mark.parametrize(
    ("attrs", "word"),
    [
        ({"missing_value": np.int32(99999)}, "99999"),
        ({"missing_value": np.float32(-99999)}, "-99999"),
        ({"valid_range": np.int32([40000, 50000]), "add_offset": 1.0}, "valid_range"),
        ({"valid_min": np.float32(500), "scale_factor": np.float32(0.01)}, "valid_min"),  # int16 ends at 327.67
        ({"scale": 0.1}, "scale"),
        ({"intercept": 5}, "intercept"),
        ({"_Unsigned": "yes"}, "yes"),
    ],
)
def test_what_int16_cannot_hold_is_refused(desk, attrs, word):
    desk.grid(7, kind="i2", attrs=attrs)
    assert word in desk.value("mean")


@pytest.mark.parametrize(
    ("attrs", "mean"),
    [
        ({"scale_factor": "0.01"}, 0.07),
        ({"scale_factor": np.float64([0.01])}, 0.07),
        ({"scale_factor": -0.5}, -3.5),
        ({"add_offset": 3}, 10),
        ({"scale_factor": np.float32(0.01)}, 0.07),
        ({"scale_factor": 1.0, "add_offset": 0.0}, 7),
        ({"scale_factor": ""}, 7),
        ({"slope": 1.0, "intercept": 0.0}, 7),
        ({"scale_factor": 2.0, "scale": 9.0}, 14),
        ({"missing_value": "-9999"}, 7),
        ({"missing_value": np.float32(1e20), "scale_factor": 2.0}, 14),
        ({"missing_value": 7.5}, 7),
        ({"missing_value": np.nan}, 7),
        ({"valid_range": "0 100"}, 7),
        ({"valid_range": np.int16([7, 7])}, 7),
        ({"flag_values": np.int16([1, 7]), "flag_meanings": "sea land"}, 7),
        ({"least_significant_digit": 1, "actual_range": np.int16([1, 2])}, 7),
        ({"_Unsigned": "false"}, 7),
        ({"offset": "none"}, 7),
    ],
)
def test_attributes_that_can_be_meant_are_honoured(desk, attrs, mean):
    desk.grid(7, kind="i2", attrs=attrs)
    assert desk.value("mean") == pytest.approx(mean, rel=1e-6)


def test_a_wider_bound_below_all_unsigned_values_masks_nothing(desk):
    desk.grid(200, kind="u1", attrs={"valid_range": np.int16([-10, 250])})
    assert desk.value("mean") == 200


def test_a_missing_value_in_unpacked_units_is_missing(desk):
    # -999.9 is no int16, but -9999 * 0.1: netCDF4 passes it over with a warning, which leaves -999.9 in the mean
    values = np.full((4, 4), 20)
    values[0] = -9999
    desk.grid(values, kind="i2", attrs={"scale_factor": 0.1, "missing_value": np.float32(-999.9)})
    assert (desk.value("mean"), desk.value("count")) == (pytest.approx(2), 12)


@pytest.mark.parametrize("missing", [np.float32(-999.9), np.float64(-999.9), "-999.9", np.float32([1e20, -999.9])])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_missing_values_of_another_type_mask_what_was_meant(desk, kind, missing):
    values = np.full((4, 4), 2.0)
    values[0] = -999.9
    desk.grid(values, kind=kind, attrs={"missing_value": missing})
    assert (desk.value("mean"), desk.value("count")) == (2, 12)


def test_several_missing_values_are_all_missing(desk):
    values = np.arange(16).reshape(4, 4)
    desk.grid(values, kind="i2", fill=0, attrs={"missing_value": np.int16([15, 14, 13])})
    assert (desk.value("min"), desk.value("max"), desk.value("count")) == (1, 12, 12)


@pytest.mark.parametrize(("kind", "big"), [("i8", 2**53), ("u8", 2**63), ("i8", -(2**62))])
def test_neighbours_of_a_fill_value_of_64_bits_are_values(desk, kind, big):
    # a float64 does not tell big and big + 1 apart
    values = np.full((4, 4), big, dtype=kind) + np.dtype(kind).type(1)
    values[0, 0] = big
    desk.grid(values, kind=kind, fill=np.dtype(kind).type(big))
    assert (desk.value("count"), desk.value("max")) == (15, float(big + 1))
    desk.grid(values, kind=kind, attrs={"missing_value": np.dtype(kind).type(big)})
    assert desk.value("count") == 15
    desk.grid(values, kind=kind, attrs={"valid_min": np.dtype(kind).type(big + 1)})
    assert desk.value("count") == 15


@pytest.mark.parametrize("flag", ["true", "True", "1", np.int8(1)])
def test_unsigned_by_any_word_for_true(desk, flag):
    values = np.full((4, 4), -56)  # 200
    values[0] = -1  # 255: the fill value
    desk.grid(
        values, kind="i1", fill=np.int8(-1), attrs={"_Unsigned": flag, "scale_factor": 0.5, "valid_range": np.int8([0, -2])}
    )
    assert (desk.value("mean"), desk.value("count")) == (100, 12)


@pytest.mark.parametrize(
    ("kind", "value"), [("u1", 255), ("i1", -127), ("i2", -32767), ("f4", 9.969209968386869e36), ("u8", 2**64 - 2)]
)
def test_defaults_of_netcdf_are_missing_as_netcdf4_has_it(desk, kind, value):
    assert as_netcdf4_reads(desk.grid(np.array(value, kind), kind=kind)).count() == 0
    assert desk.value("mean") is None

    def no_fill(file):
        file.createVariable("w", kind, ("lat", "lon"), fill_value=False)[:] = np.array(value, kind)

    path = desk.grid(1, more=no_fill)
    count = int(np.ma.count(as_netcdf4_reads(path, "w")))
    assert [row["count_w"] for row in desk.run(words=("--variables", "w"))] == [str(count) if count else ""]


def test_packed_coordinates_are_unpacked(desk):
    def pack(file):
        file.renameVariable("lat", "old")
        lat = file.createVariable("lat", "i2", ("lat",))
        lat.set_auto_scale(False)
        lat.setncatts({"units": "degrees_north", "scale_factor": 0.5, "add_offset": np.float32(0.5)})
        lat[:] = [0, 2, 4, 6]

    desk.grid(np.arange(4.0)[:, None], more=pack)
    assert desk.value("mean", desk.regions(box(10, 2, 14, 3))) == 2


def test_a_slope_of_stored_floats_is_a_warning(desk):
    desk.grid(7.0, kind="f4", attrs={"slope": 0.1, "nodatavals": -9999.0})
    assert desk.value("mean") == 7
    assert "`slope`" in desk.said and "`nodatavals`" in desk.said


# ---- types ----


def test_enums_and_booleans_are_their_integers(desk):
    def make(file):
        on_grid(file, "yes", np.eye(4, dtype=bool))
        on_grid(file, "kind", np.full((4, 4), 3), dtype=h5py.enum_dtype({"sea": 0, "land": 3}, basetype="i2"))

    plain_hdf5(desk, make)
    (row,) = desk.run(stats="count,max,mean")
    assert (float(row["max_yes"]), float(row["mean_kind"]), float(row["count_yes"])) == (1, 3, 16)
    assert float(row["mean_yes"]) == pytest.approx(0.25)


def test_enums_of_netcdf4_are_their_integers(desk):
    def make(file):
        kind = file.createEnumType(np.uint8, "cover", {"sea": 0, "land": 3})
        file.createVariable("e", kind, ("lat", "lon"))[:] = np.full((4, 4), 3)

    desk.grid(1, more=make)
    assert desk.run(words=("--variables", "e"), stats="mean")[0]["mean_e"] == "3"


@pytest.mark.parametrize(
    ("dtype", "values", "word"),
    [
        (h5py.string_dtype(), np.full((4, 4), "warm", object), "string"),
        ("S5", np.full((4, 4), b"warm"), "string"),
        (np.dtype([("r", "f4"), ("i", "f4")]), np.ones((4, 4), [("r", "f4"), ("i", "f4")]), "compound"),
        (h5py.opaque_dtype(np.dtype("V3")), None, "opaque"),
        (np.dtype(("f4", (2,))), None, "array"),
        (h5py.vlen_dtype("f4"), None, "list of variable length"),
    ],
)
def test_what_is_no_number_says_what_it_is(desk, dtype, values, word):
    def make(file):
        on_grid(file, "v", values, dtype=dtype, shape=(4, 4))

    plain_hdf5(desk, make)
    assert f"`v` is of type {word}" in desk.run()
    desk.grid(1, name="other.nc")
    assert desk.index(None, "other.nc").returncode == 0
    done = desk.program(
        "aggregate", "--index", desk.folder / "t.index", desk.folder / "t.nc", "--variables", "v", "-o", desk.folder / "t.csv"
    )
    assert f"`v` is of type {word}" in desk.refusal(done)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunks": (3, 3), "shuffle": True}])
@pytest.mark.parametrize("dtype", ["f2", ">f2", "f16", ">f8", ">i4"])
def test_odd_numbers_are_read_as_h5py_reads_them(desk, dtype, options):
    values = np.arange(16).reshape(4, 4) / 8 if "f" in dtype else np.arange(16).reshape(4, 4)
    plain_hdf5(desk, lambda file: on_grid(file, "v", values.astype(dtype), **options))
    assert desk.value("max") == values.max()
    assert desk.value("max", desk.regions(box(10, 0, 11, 1))) == values[0, 0]
    assert desk.value("max", desk.regions(box(13, 2, 14, 3))) == values[2, 3]


def test_integers_of_24_bits_are_widened(desk):
    def make(file):
        for name, kind in (("v", h5py.h5t.STD_I32LE), ("u", h5py.h5t.STD_U16BE)):
            kind = kind.copy()
            kind.set_precision(24 if name == "v" else 12)
            space = h5py.h5s.create_simple((4, 4))
            made = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space))
            made[:] = np.full((4, 4), -70000 if name == "v" else 4000)
            for k, side in enumerate(("lat", "lon")):
                made.dims[k].attach_scale(file[side])

    plain_hdf5(desk, make)
    (row,) = desk.run(stats="mean")
    assert (float(row["mean_v"]), float(row["mean_u"])) == (-70000, 4000)


def test_bit_fields_are_named(desk):
    def make(file):
        space = h5py.h5s.create_simple((4, 4))
        made = h5py.Dataset(h5py.h5d.create(file.id, b"v", h5py.h5t.STD_B8LE, space))
        for k, side in enumerate(("lat", "lon")):
            made.dims[k].attach_scale(file[side])

    plain_hdf5(desk, make)
    assert "bit field" in desk.value("mean")


@pytest.mark.parametrize(
    ("value", "mean"),
    [
        (np.array([b"0.5", b""]), 3.5),
        ("0.5", 3.5),
        (np.float16(0.5), 3.5),
        (np.array(2, dtype=h5py.enum_dtype({"two": 2})), 14),
        (h5py.Empty("f8"), 7),
        (h5py.Empty("S1"), 7),
        (np.zeros((), [("a", "f4")]), "scale_factor"),
    ],
)
def test_attributes_come_in_many_types(desk, value, mean):
    plain_hdf5(desk, lambda file: on_grid(file, "v", np.full((4, 4), 7)).attrs.__setitem__("scale_factor", value))
    got = desk.value("mean")
    assert mean in got if isinstance(mean, str) else got == mean


def test_units_in_latin_1_and_utf_8_are_both_read(desk):
    def make(file):
        on_grid(file, "v", np.ones((4, 4))).attrs["units"] = np.bytes_("°C".encode("latin-1"))
        on_grid(file, "w", np.ones((4, 4))).attrs["units"] = "°C"

    plain_hdf5(desk, make)
    desk.index()
    desk.program(
        "aggregate", "--index", desk.folder / "t.index", desk.folder / "t.nc", "--stats", "mean", "-o", desk.folder / "o.nc"
    )
    with netCDF4.Dataset(desk.folder / "o.nc") as file:
        assert [file[f"mean_{name}"].units for name in "vw"] == ["°C", "°C"]


@pytest.mark.parametrize("dtype", ["S4", h5py.string_dtype(), "S1"])
def test_texts_along_an_axis_are_labels(desk, dtype):
    names = [b"a", b"c"]

    def make(file):
        file.create_dataset(
            "part", data=np.array(names, object) if dtype == h5py.string_dtype() else np.array(names, dtype), dtype=dtype
        )
        file["part"].make_scale("part")
        made = file.create_dataset("v", data=np.arange(32.0).reshape(2, 4, 4))
        for k, side in enumerate(("part", "lat", "lon")):
            made.dims[k].attach_scale(file[side])

    plain_hdf5(desk, make)
    assert [(row["part"], row["min_v"]) for row in desk.run()] == [("a", "0"), ("c", "16")]


def test_labels_of_64_bits_are_exact(desk):
    def make(file):
        file.createDimension("member", 2)
        file.createVariable("member", "i8", ("member",))[:] = [2**53 + 1, -(2**53) - 1]
        file.createVariable("w", "f8", ("member", "lat", "lon"))[:] = 1

    desk.grid(1, more=make)
    rows = desk.run(words=("--variables", "w"))
    assert [row["member"] for row in rows] == [str(2**53 + 1), str(-(2**53) - 1)]


# ---- containers ----


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzf"},
        {"compression": "lzf", "shuffle": True, "fletcher32": True},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"scaleoffset": 0},
        {"scaleoffset": 0, "compression": "gzip"},
        {"scaleoffset": 0, "compression": "lzf"},
    ],
)
@pytest.mark.parametrize("chunks", [(4, 4), (3, 3)])
def test_filters_of_hdf5_and_h5py_are_undone(desk, options, chunks):
    values = np.arange(16).reshape(4, 4) % 5
    plain_hdf5(desk, lambda file: on_grid(file, "v", values, dtype="i4", chunks=chunks, **options))
    for row in range(4):
        assert desk.value("max", desk.regions(box(13, row, 14, row + 1))) == values[row, 3]


def test_nbit_is_undone(desk):
    def make(file):
        kind = h5py.h5t.STD_I32LE.copy()
        kind.set_precision(12)
        kind.set_offset(4)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((3, 3))
        plist.set_filter(h5py.h5z.FILTER_NBIT)
        plist.set_deflate(4)
        made = h5py.Dataset(h5py.h5d.create(file.id, b"v", kind, h5py.h5s.create_simple((4, 4)), plist))
        made[:] = np.arange(16).reshape(4, 4) - 8
        for k, side in enumerate(("lat", "lon")):
            made.dims[k].attach_scale(file[side])

    plain_hdf5(desk, make)
    assert (desk.value("min"), desk.value("max")) == (-8, 7)


def test_a_chunk_that_skipped_its_filter_is_read_as_it_is(desk):
    def make(file):
        made = on_grid(file, "v", shape=(4, 4), dtype="f8", chunks=(4, 4), compression="gzip")
        made.id.write_direct_chunk((0, 0), np.full((4, 4), 6.5).tobytes(), filter_mask=1)

    plain_hdf5(desk, make)
    assert desk.value("mean") == 6.5


def test_a_wrong_checksum_is_an_error(desk):
    path = plain_hdf5(desk, lambda file: on_grid(file, "v", np.full((4, 4), 6.5), chunks=(4, 4), fletcher32=True))
    raw = path.read_bytes()
    at = raw.find(np.full(4, 6.5).tobytes())
    path.write_bytes(raw[:at] + b"\x01" + raw[at + 1 :])
    assert "fletcher32" in desk.value("mean")


def test_a_block_of_the_users_before_the_file_is_passed_over(desk):
    for chunks in (None, (3, 3)):
        plain_hdf5(
            desk, lambda file, c=chunks: on_grid(file, "v", np.arange(16.0).reshape(4, 4), chunks=c), userblock_size=1024
        )
        assert (desk.value("min"), desk.value("max")) == (0, 15)


def test_compact_and_unwritten_data_sets_are_read(desk):
    def make(file):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        made = h5py.Dataset(h5py.h5d.create(file.id, b"v", h5py.h5t.IEEE_F32BE, h5py.h5s.create_simple((4, 4)), plist))
        made[:] = np.full((4, 4), 2.5)
        for k, side in enumerate(("lat", "lon")):
            made.dims[k].attach_scale(file[side])
        half = on_grid(file, "w", shape=(4, 4), dtype="f4", chunks=(2, 4), fillvalue=-1.0)
        half[:2] = 3.0
        half.attrs["_FillValue"] = np.float32(-1)

    plain_hdf5(desk, make)
    (row,) = desk.run()
    assert (row["mean_v"], row["mean_w"], row["count_w"]) == ("2.5", "3", "8")


def test_external_and_virtual_data_sets_are_named(desk):
    def external(file):
        made = file.create_dataset("v", (4, 4), "f8", external=[(str(desk.folder / "v.bin"), 0, 128)])
        made[:] = 1
        for k, side in enumerate(("lat", "lon")):
            made.dims[k].attach_scale(file[side])

    plain_hdf5(desk, external)
    assert "external" in desk.value("mean")

    def virtual(file):
        layout = h5py.VirtualLayout((4, 4), "f8")
        layout[:] = h5py.VirtualSource("absent.h5", "v", (4, 4))
        file.create_virtual_dataset("v", layout)
        for k, side in enumerate(("lat", "lon")):
            file["v"].dims[k].attach_scale(file[side])

    plain_hdf5(desk, virtual)
    assert "virtual" in desk.value("mean")


def test_a_data_set_of_another_file_is_named(desk):
    plain_hdf5(desk, lambda file: on_grid(file, "v", np.full((4, 4), 3.0)), name="other.h5")
    plain_hdf5(desk, lambda file: file.__setitem__("v", h5py.ExternalLink("other.h5", "/v")))
    assert "external link" in desk.value("mean")


def test_groups_that_hold_themselves_come_to_an_end(desk):
    def make(file):
        on_grid(file, "v", np.full((4, 4), 3.0))
        file["a/b/up"] = file["/"]
        file["a/b/again"] = file["a"]

    plain_hdf5(desk, make)
    assert desk.value("mean") == 3


def in_groups(desk):
    """lat and lon in the root; `tas` in `model`, and another with axes of its own in `model/fine`."""

    def make(file):
        model = file.createGroup("model")
        tas = model.createVariable("tas", "i2", ("lat", "lon"))
        tas.set_auto_scale(False)
        tas.setncatts({"scale_factor": 0.5, "units": "K"})
        tas[:] = np.arange(16).reshape(4, 4)
        fine = model.createGroup("fine")
        for side, centres, units in (("lat", LAT / 2, "degrees_north"), ("lon", 10 + (LON - 10) / 2, "degrees_east")):
            fine.createDimension(side, 4)
            axis = fine.createVariable(side, "f8", (side,))
            axis.units = units
            axis[:] = centres
        fine.createVariable("tas", "f4", ("lat", "lon"))[:] = 5

    path = desk.grid(1, more=make)
    return path


def test_variables_in_groups_go_by_their_path(desk):
    in_groups(desk)
    rows = desk.run(words=("--variables", "model/tas,v"), stats="max,mean")
    assert (rows[0]["max_tas"], rows[0]["max_v"]) == ("7.5", "1")
    assert [key for key in desk.run(stats="max")[0] if key != "id"] == ["max_v"]  # not asked for, not taken
    assert desk.run(words=("--variables", "/model/tas=t"), stats="max")[0]["max_t"] == "7.5"
    assert desk.run(words=("--group", "model"), stats="max")[0]["max_tas"] == "7.5"
    assert desk.run(words=("--group", "model", "--variables", "tas"), stats="max")[0]["max_tas"] == "7.5"


def test_axes_of_a_group_go_before_those_above(desk):
    in_groups(desk)
    for index, words in (
        (("--variable", "model/fine/tas"), ("--variables", "model/fine/tas")),
        (("--group", "model/fine"), ("--group", "model/fine")),
    ):
        (row,) = desk.run(desk.regions(box(10, 0, 12, 2)), index=index, words=words)
        assert (row["mean_tas"], row["count_tas"]) == ("5", "16")  # 16 cells of half a degree
    assert "another grid" in desk.run(words=("--variables", "model/fine/tas"))


def test_a_file_of_groups_says_how_to_ask(desk):
    with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
        for side, centres, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file.createDimension(side, 4)
            axis = file.createVariable(side, "f8", (side,))
            axis.units = units
            axis[:] = centres
        file.createVariable("model/tas", "f4", ("lat", "lon"))[:] = 2
    said = desk.run()
    assert "model/tas" in said and "--variable" in said and "--group model" in said
    said = desk.run(index=("--variable", "model/tas"))
    assert "`--variables model/tas`" in said
    assert desk.run(index=("--group", "model"), words=("--group", "model"))[0]["mean_tas"] == "2"
    assert "no variable on a grid in the group `nodel`" in desk.run(index=("--group", "nodel"))


def test_hdf5_without_scales_says_so(desk):
    def make(file, lon):
        file["lat"], file["lon"], file["v"] = LAT, lon, np.ones((4, len(lon)))
        file["lat"].attrs["units"], file["lon"].attrs["units"] = "degrees_north", "degrees_east"

    for lon in (LON, np.arange(10.5, 15)):
        with h5py.File(desk.folder / "t.nc", "w") as file:
            make(file, lon)
        got = desk.value("count")
        assert got == 16 if len(lon) == 5 else "without dimension scales" in got


def test_a_dimension_twice_is_refused(desk):
    def make(file):
        file.createDimension("n", 2)
        file.createVariable("w", "f8", ("n", "n", "lat", "lon"))[:] = 1

    desk.grid(1, more=make)
    assert "twice" in desk.run(words=("--variables", "w"))


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("lone", [True, False])
def test_records_of_classic_files_are_padded_but_for_a_single_variable(desk, kind, lone):
    with netCDF4.Dataset(desk.folder / "t.nc", "w", format=kind) as file:
        file.createDimension("time", None)
        for side, centres, units in (("lat", LAT[:3], "degrees_north"), ("lon", LON[:3], "degrees_east")):
            file.createDimension(side, 3)
            axis = file.createVariable(side, "f8", (side,))
            axis.units = units
            axis[:] = centres
        field = file.createVariable("v", "i1", ("time", "lat", "lon"))
        if not lone:
            file.createVariable("time", "i2", ("time",)).units = "days since 2000-01-01"
        field[:3] = np.arange(27).reshape(3, 3, 3)
        if not lone:
            file["time"][:] = [1, 2, 3]
    rows = desk.run(desk.regions(box(10, 0, 13, 3)))
    assert [(row["min_v"], row["max_v"]) for row in rows] == [("0", "8"), ("9", "17"), ("18", "26")]


@pytest.mark.parametrize(
    ("begin", "word"),
    [
        (b"\x0e\x03\x13\x01rest", "HDF4"),
        (b"GRIB\x00\x00\x00\x02", "GRIB"),
        (b"PK\x03\x04....", "zip"),
        (b"\x1f\x8b\x08....", "gzip"),
        (b"II*\0....", "TIFF"),
        (b"PAR1....", "Parquet"),
        (b"lat,lon,value\n1,2,3\n", "CSV"),
        (b"<!DOCTYPE html>", "HTML"),
        (b'{"refs": {}}', "JSON"),
        (b"netcdf x {\n", "CDL"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "not a netCDF file"),
        (b"", "empty"),
    ],
)
def test_other_kinds_of_files_are_named(desk, begin, word):
    (desk.folder / "t.nc").write_bytes(begin)
    assert word in desk.run()
