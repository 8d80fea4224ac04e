"""`frac`, `weighted_frac`, `variety` and `coefficient_of_variation`: by hand on 4 x 4 cells, and against exactextract."""

import csv
import io
import json
import subprocess
import time

import netCDF4
import numpy as np
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.ncproj.conftest import CRATE
from tests.ncproj.odd import ALL, LAT, LON, box

# Rows from south to north, as the file has them. By hand: of 15 cells with a value 4 are 1, 4 are 2, 4 are 3, 3 are 4.
COVER = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, -9, 4], [3, 3, 4, 4]])
COVERAGE = ("--weights", "coverage")
PART = box(10.5, 0.5, 13, 3.5)  # half cells along its western, southern and northern sides


@pytest.fixture
def cover(desk):
    """The desk with COVER on it as int32, -9 missing."""
    desk.grid(COVER, kind="i4", fill=-9)
    return desk


def numbers(row):
    return {name: float(text) if text else None for name, text in row.items() if name not in ("id", "time")}


def value(desk, stat, regions=None, **options):
    """The one number of a statistic."""
    return desk.value(stat, regions, stats=stat, **options)


def timed(desk, values, *, kind="i4", fill=-9, attrs=None, name="t.nc", chunks=None, first=0):
    """A file with `v` over (time, lat, lon)."""
    path = desk.folder / name
    path.unlink(missing_ok=True)
    values = np.asarray(values)
    with netCDF4.Dataset(path, "w") as file:
        for side, centres, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file.createDimension(side, len(centres))
            axis = file.createVariable(side, "f8", (side,))
            axis.units = units
            axis[:] = centres
        file.createDimension("time", None)
        days = file.createVariable("time", "f8", ("time",))
        days.units = "days since 2000-01-01"
        days[:] = np.arange(first, first + len(values))
        field = file.createVariable("v", kind, ("time", "lat", "lon"), fill_value=fill, chunksizes=chunks, zlib=True)
        field.set_auto_maskandscale(False)
        field.setncatts(attrs or {})
        field[:] = values
    return path


def exact(values, ring, *operations, weights=None):
    """exactextract's answer for one polygon: a dict by operation."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource
    from shapely.geometry import Polygon

    sides = {"xmin": 10, "xmax": 14, "ymin": 0, "ymax": 4}
    options = {} if weights is None else {"weights": NumPyRasterSource(np.array(weights, dtype="f8")[::-1], **sides)}
    feature = {"type": "Feature", "properties": {}, "geometry": Polygon(ring).__geo_interface__}
    (done,) = exact_extract(
        NumPyRasterSource(np.array(values, dtype="f8")[::-1], **sides), feature, list(operations), **options
    )
    return done["properties"]


def areas():
    """Of the cells on the sphere, up to a factor."""
    edges = np.radians(np.arange(5.0))
    return np.repeat(np.diff(np.sin(edges))[:, None], 4, axis=1)


def test_each_class_has_a_column_with_its_share_of_the_cells_that_have_a_value(cover):
    (row,) = cover.run(stats="frac", words=COVERAGE)
    assert list(row) == ["id", "frac_1_v", "frac_2_v", "frac_3_v", "frac_4_v"]
    assert list(numbers(row).values()) == pytest.approx([4 / 15, 4 / 15, 4 / 15, 3 / 15], abs=1e-15)


def test_frac_goes_by_covered_share_and_weighted_frac_by_the_weights_of_the_run(desk):
    # by hand: two cells of 30 degrees, wholly covered; their areas are as sin 30 - sin 0 and sin 60 - sin 30
    desk.grid([[1] * 4, [2] * 4], lat=[15.0, 45.0], kind="i4")
    row = numbers(desk.run(desk.regions(box(10, 0, 11, 60)), stats="frac,weighted_frac")[0])
    low, high = 0.5, np.sqrt(3) / 2 - 0.5
    assert row["frac_1_v"] == row["frac_2_v"] == 0.5
    assert row["weighted_frac_1_v"] == pytest.approx(low / (low + high), abs=1e-12)
    assert row["weighted_frac_2_v"] == pytest.approx(high / (low + high), abs=1e-12)


@pytest.mark.parametrize("ring", [PART, ALL, [[10.2, 0.3], [13.7, 0.9], [12.1, 3.8], [10.2, 0.3]]])
def test_shares_variety_and_spread_are_those_of_exactextract(cover, ring):
    field = np.random.default_rng(3).integers(1, 9, (4, 4))
    cover.grid(field, name="w.nc", kind="f8")
    regions = cover.regions(ring)
    words = ("--weights", f"{cover.folder / 'w.nc'}:v")
    ours = numbers(cover.run(regions, stats="frac,weighted_frac,variety,count,sum", words=words)[0])
    plain = numbers(cover.run(regions, stats="coefficient_of_variation,stdev,mean,variance", words=COVERAGE)[0])
    values = np.where(COVER == -9, np.nan, COVER)
    asked = [
        "unique",
        "frac",
        "weighted_frac",
        "variety",
        "count",
        "sum",
        "coefficient_of_variation",
        "stdev",
        "mean",
        "variance",
    ]
    theirs = exact(values, ring, *asked, weights=field)
    for value, share, weighted in zip(theirs["unique"], theirs["frac"], theirs["weighted_frac"], strict=True):
        assert ours[f"frac_{value:g}_v"] == pytest.approx(share, abs=2e-7)  # exactextract keeps coverage as float32
        assert ours[f"weighted_frac_{value:g}_v"] == pytest.approx(weighted, abs=2e-7)
    assert ours["variety_v"] == theirs["variety"]
    assert ours["count_v"] == pytest.approx(theirs["count"], abs=2e-6)
    for name in ("coefficient_of_variation", "stdev", "mean", "variance"):
        assert plain[f"{name}_v"] == pytest.approx(theirs[name], rel=1e-6)


def test_shares_by_area_are_those_of_exactextract_with_areas_as_weights(cover):
    ours = numbers(cover.run(cover.regions(PART), stats="weighted_frac")[0])
    theirs = exact(np.where(COVER == -9, np.nan, COVER), PART, "unique", "weighted_frac", weights=areas())
    for value, share in zip(theirs["unique"], theirs["weighted_frac"], strict=True):
        assert ours[f"weighted_frac_{value:g}_v"] == pytest.approx(share, abs=2e-7)


def test_listed_classes_come_in_their_order_and_an_absent_one_is_0(cover):
    (row,) = cover.run(stats="frac", words=("--classes", "4,11,3,2,1", *COVERAGE))
    assert list(row) == ["id", "frac_4_v", "frac_11_v", "frac_3_v", "frac_2_v", "frac_1_v"]
    assert row["frac_11_v"] == "0" and sum(numbers(row).values()) == pytest.approx(1, abs=1e-15)


def test_a_value_of_no_class_is_an_error_that_says_which_and_how_often(cover):
    said = cover.run(stats="frac", words=("--classes", "1,2"))
    assert "`v` has values that are none of its classes: 3 (in 4 cells), 4 (in 3 cells)" in said
    assert "t.nc: variable `v`" in said and "--classes 1,2,other" in said


def test_a_value_of_no_class_outside_the_regions_is_no_error(cover):
    row = numbers(cover.run(cover.regions(box(10, 0, 14, 2)), stats="frac", words=("--classes", "1,2", *COVERAGE))[0])
    assert row == {"frac_1_v": 0.5, "frac_2_v": 0.5}


def test_other_takes_what_is_no_class(cover):
    row = numbers(cover.run(stats="frac,weighted_frac", words=("--classes", "2,other", *COVERAGE))[0])
    assert row["frac_2_v"] == pytest.approx(4 / 15) and row["frac_other_v"] == pytest.approx(11 / 15)
    assert row["weighted_frac_other_v"] == row["frac_other_v"]


def test_flag_values_of_the_file_are_the_classes_and_their_meanings_are_kept(desk):
    flags = {"flag_values": np.array([1, 2, 3, 4, 5], "i4"), "flag_meanings": "water urban crop forest ice"}
    desk.grid(COVER, kind="i4", fill=-9, attrs=flags)
    desk.index()
    target = desk.folder / "o.parquet"
    done = desk.program("aggregate", "--index", desk.folder / "t.index", desk.folder / "t.nc", "--stats", "frac", "-o", target)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(target)
    assert table.column_names == ["id", *(f"frac_{k}_v" for k in range(1, 6))]
    assert table["frac_5_v"].to_pylist() == [0.0]
    about = json.loads(table.schema.metadata[b"ncproj"])
    assert about["columns"]["frac_4_v"]["meaning"] == "forest" and about["columns"]["frac_4_v"]["class"] == 4
    assert about["classes"]["v"] == {"from": "flag_values", "values": [1, 2, 3, 4, 5], "other": False}


def test_a_value_that_is_no_flag_is_an_error(desk):
    desk.grid(COVER, kind="i4", fill=-9, attrs={"flag_values": np.array([1, 2, 3], "i4"), "flag_meanings": "a b c"})
    assert "none of its classes: 4 (in 3 cells)" in desk.run(stats="frac")


def test_flags_of_unsigned_bytes_kept_as_signed_ones_are_the_values_that_are_read(desk):
    # as ESA's land cover: 200 is stored as -56, and so is its flag
    cover = np.array([10, 10, -56, -56] * 4).reshape(4, 4)
    attrs = {"_Unsigned": "true", "flag_values": np.array([0, 10, -56], "i1"), "flag_meanings": "none crop bare"}
    desk.grid(cover, kind="i1", attrs=attrs)
    assert numbers(desk.run(stats="frac", words=COVERAGE)[0]) == {"frac_0_v": 0, "frac_10_v": 0.5, "frac_200_v": 0.5}


def test_flags_as_a_text_of_numbers_are_read(desk):
    desk.grid(COVER, kind="i4", fill=-9, attrs={"flag_values": "1b, 2b, 3b, 4b", "flag_meanings": "a, b, c, d"})
    assert numbers(desk.run(stats="frac", words=COVERAGE)[0])["frac_4_v"] == pytest.approx(0.2)
    desk.grid(COVER, kind="i4", fill=-9, attrs={"flag_values": "one two"})
    assert "`flag_values` is the text `one two`" in desk.run(stats="frac")


def test_more_meanings_than_flags_are_an_error(desk):
    desk.grid(COVER, kind="i4", fill=-9, attrs={"flag_values": np.array([1, 2, 3, 4], "i4"), "flag_meanings": "a b c"})
    said = desk.run(stats="frac")
    assert "there are 4 `flag_values` but 3 `flag_meanings`" in said and "t.nc: variable `v`" in said


def test_flags_of_packed_data_are_an_error_but_listed_classes_are_not(desk):
    attrs = {"scale_factor": 0.5, "flag_values": np.array([1, 2, 3, 4], "i4"), "flag_meanings": "a b c d"}
    desk.grid(COVER, kind="i4", fill=-9, attrs=attrs)
    assert "`flag_values` of packed data" in desk.run(stats="frac")
    row = numbers(desk.run(stats="frac", words=("--classes", "0.5,1,1.5,2", *COVERAGE))[0])
    assert row["frac_1.5_v"] == pytest.approx(4 / 15)


def test_flag_masks_are_classes_as_a_whole_and_it_is_said(desk):
    desk.grid(COVER, kind="i4", fill=-9, attrs={"flag_masks": np.array([1, 2, 4], "i4"), "flag_meanings": "a b c"})
    row = numbers(desk.run(stats="frac", words=COVERAGE)[0])
    assert row["frac_3_v"] == pytest.approx(4 / 15) and "warning: `v` has `flag_masks`" in desk.said


def test_other_statistics_do_not_care_for_flags(desk):
    desk.grid(COVER, kind="i4", fill=-9, attrs={"flag_values": "one two"})
    assert value(desk, "mode") == 1


def test_float32_classes_are_found_as_people_write_them_and_compared_as_they_are_stored(desk):
    desk.grid(np.array([[0.1, 0.1, 0.7, -2.5]] * 4), kind="f4")
    (row,) = desk.run(stats="frac", words=COVERAGE)
    assert numbers(row) == {"frac_-2.5_v": 0.25, "frac_0.1_v": 0.5, "frac_0.7_v": 0.25}
    assert numbers(desk.run(stats="frac", words=("--classes", "0.1,0.7,-2.5", *COVERAGE))[0])["frac_0.1_v"] == 0.5
    assert "the classes 0.1 and 0.10000000149 are the same float32" in desk.run(
        stats="frac", words=("--classes", "0.1,0.10000000149,other")
    )


def test_float64_classes_are_compared_exactly(desk):
    desk.grid(np.array([[0.1, 0.1 + 2**-56, 0.7, 0.7]] * 4), kind="f8")
    said = desk.run(stats="frac", words=("--classes", "0.1,0.7"))
    assert "none of its classes: 0.10000000000000002 (in 4 cells)" in said
    assert numbers(desk.run(stats="variety")[0]) == {"variety_v": 3}


def test_a_field_of_many_values_has_no_classes_and_the_error_says_how_many(desk):
    side = np.linspace(0.02, 3.98, 100)
    desk.grid(np.arange(10_000).reshape(100, 100) * 0.1, lat=side, lon=side + 10, kind="f8")
    said = desk.run(desk.regions(box(10.5, 0.5, 13.5, 3.5)), stats="mean,frac")
    assert "different values: too many to be classes" in said and "t.nc: variable `v`" in said
    count = int(said.split("`v` has ")[1].split(" ")[0].replace(",", ""))
    assert 5625 <= count <= 77 * 77  # 75 cells along each side, and those at its rim


def test_two_variables_may_have_classes_of_their_own(desk):
    def second(file):
        field = file.createVariable("w", "i2", ("lat", "lon"))
        field[:] = np.array([[7, 7, 7, 8]] * 4)

    desk.grid(COVER, kind="i4", fill=-9, more=second)
    (row,) = desk.run(stats="frac", words=("--classes", "v=1,other", "--classes", "8,7", *COVERAGE))
    assert list(row) == ["id", "frac_1_v", "frac_other_v", "frac_8_w", "frac_7_w"]
    assert row["frac_7_w"] == "0.75"
    assert "`--classes` is given twice for `v`" in desk.run(stats="frac", words=("--classes", "v=1", "--classes", "v=2"))
    assert "did you mean `w`?" in desk.run(stats="frac", words=("--classes", "ww=1"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--classes", "1,,2"), "an entry is empty"),
        (("--classes", "1,1.0"), "the class 1 stands twice"),
        (("--classes", "water"), "`water` is no number"),
        (("--classes", "nan,1"), "a missing value is no class"),
        (("--classes", "other"), "it names no class"),
        (("--classes", "auto,1"), "`auto` stands alone"),
    ],
)
def test_a_wrong_list_of_classes_is_an_error_of_the_command_line(cover, words, said):
    cover.index()
    done = cover.program(
        "aggregate", "--index", cover.folder / "t.index", cover.folder / "t.nc", "--stats", "frac", *words, "-o", "-"
    )
    assert done.returncode == 2 and said in done.stderr


def test_classes_without_shares_are_an_error(cover):
    assert "`--classes` says the classes of nothing" in cover.run(stats="mode", words=("--classes", "1"))


def test_negative_classes_need_no_trick_on_the_command_line(desk):
    desk.grid(np.array([[-1, -1, 5, 5]] * 4), kind="i2")
    assert numbers(desk.run(stats="frac", words=("--classes", "-1,5", *COVERAGE))[0]) == {"frac_-1_v": 0.5, "frac_5_v": 0.5}


def test_nothing_valid_is_null_in_every_column_and_min_valid_too(cover):
    hole = cover.regions(box(12.1, 2.1, 12.9, 2.9))  # within the missing cell
    row = cover.run(hole, stats="frac,weighted_frac,variety,coefficient_of_variation", words=("--classes", "1,2,other"))[0]
    assert set(numbers(row).values()) == {None}
    words = ("--min-valid", "0.95")
    row = numbers(cover.run(stats="frac,variety,valid", words=words)[0])
    assert row["frac_1_v"] is None and row["variety_v"] is None and row["valid_v"] == pytest.approx(15 / 16, abs=1e-3)


def test_minus_zero_and_zero_are_one_value(desk):
    desk.grid(np.array([[0.0, -0.0, 1.0, 1.0]] * 4), kind="f4")
    row = numbers(desk.run(stats="frac,variety", words=COVERAGE)[0])
    assert row == {"frac_0_v": 0.5, "frac_1_v": 0.5, "variety_v": 2}


def test_the_variety_counts_each_value_once_whatever_its_share(cover):
    # by hand: the box has 1, 2, 3 and a sliver of the only touching 4
    assert value(cover, "variety", cover.regions(box(10, 0, 13.001, 3.0))) == 4
    assert value(cover, "variety", cover.regions(box(10, 0, 13, 3.0))) == 3


def test_the_coefficient_of_variation_is_the_deviation_over_the_mean(desk):
    desk.grid(np.array([[2, 2, 6, 6]] * 4), kind="f8")
    # by hand: mean 4, deviation 2
    assert value(desk, "coefficient_of_variation", words=COVERAGE) == pytest.approx(0.5, abs=1e-15)
    desk.grid(np.array([[-2, -2, -6, -6]] * 4), kind="f8")
    assert value(desk, "coefficient_of_variation") == pytest.approx(-0.5, abs=1e-12)
    desk.grid(3.0)
    assert value(desk, "coefficient_of_variation") == 0


@pytest.mark.parametrize("words", [(), COVERAGE])
def test_a_mean_of_0_has_no_coefficient_of_variation(desk, words):
    desk.grid(np.array([[0.1, -0.1, 0.3, -0.3]] * 4), kind="f8")
    assert value(desk, "coefficient_of_variation", desk.regions(PART[:]), words=words) is not None
    assert value(desk, "coefficient_of_variation", words=words) is None
    desk.grid(0.0)
    assert value(desk, "coefficient_of_variation", words=words) is None


def test_integers_that_float64_takes_for_each_other_are_no_classes(desk):
    desk.grid(np.array([[2**53, 2**53 + 1, 1, 1]] * 4), kind="i8")
    for stat in ("variety", "frac"):
        assert "cannot tell integers apart" in desk.run(stats=stat)
    assert desk.run(stats="frac", words=("--classes", "1,other")).startswith("error: ")
    desk.grid(np.array([[2**53 - 1, 2**53 - 2, 1, 1]] * 4), kind="i8")
    assert value(desk, "variety") == 3


def test_cells_without_weight_have_no_share_and_make_no_class(cover):
    field = np.where(COVER == 4, 0.0, 2.0)
    cover.grid(field, name="w.nc")
    row = numbers(cover.run(stats="frac,weighted_frac,variety", words=("--weights", f"{cover.folder / 'w.nc'}:v"))[0])
    assert set(row) == {"variety_v", *(f"{s}_{k}_v" for s in ("frac", "weighted_frac") for k in (1, 2, 3))}
    assert row["frac_1_v"] == pytest.approx(1 / 3) and row["variety_v"] == 3


def test_classes_are_those_of_all_steps_and_of_the_times_asked_for_alone(desk):
    timed(desk, [COVER, np.where(COVER == 4, 7, COVER), COVER])
    rows = desk.run(stats="frac", words=COVERAGE)
    assert list(rows[0]) == ["id", "time", *(f"frac_{k}_v" for k in (1, 2, 3, 4, 7))]
    assert [row["frac_7_v"] for row in rows] == ["0", "0.2", "0"]
    (row,) = desk.run(stats="frac", words=("--time", "2000-01-02", *COVERAGE))
    assert [name for name in row if name.startswith("frac")] == [f"frac_{k}_v" for k in (1, 2, 3, 7)]


def test_classes_of_files_that_follow_each_other_are_put_together(desk):
    timed(desk, [COVER], name="a.nc")
    timed(desk, [np.where(COVER == 4, 0.5, COVER)], name="b.nc", kind="f4", first=1)
    rows = desk.run(grids=("a.nc", "b.nc"), stats="frac", words=COVERAGE)
    assert [name for name in rows[0] if name.startswith("frac")] == [f"frac_{k}_v" for k in ("0.5", 1, 2, 3, 4)]
    assert [rows[0]["frac_4_v"], rows[1]["frac_0.5_v"]] == ["0.2", "0.2"]


def test_a_flag_that_means_another_thing_in_the_next_file_is_an_error(desk):
    for name, meaning, first in (("a.nc", "w x y z", 0), ("b.nc", "w x y q", 1)):
        flags = {"flag_values": np.array([1, 2, 3, 4], "i4"), "flag_meanings": meaning}
        timed(desk, [COVER], name=name, attrs=flags, first=first)
    said = desk.run(grids=("a.nc", "b.nc"), stats="frac")
    assert "`v` has `flag_meanings` = `w x y z` in `a.nc`, but `w x y q` in `b.nc`" in said


def test_chunks_threads_and_other_statistics_beside_change_nothing(desk):
    many = np.random.default_rng(1).integers(0, 5, (40, 4, 4))
    stats = "min,max,mean,sum,variance,median,q10,mode,valid"
    timed(desk, many, chunks=(7, 2, 3), fill=0)
    ring = desk.regions(PART)
    words = ("--threads", "3")
    alone = desk.run(ring, stats=stats)
    both = desk.run(ring, stats=f"frac,{stats},variety,weighted_frac,coefficient_of_variation", words=words)
    assert [{name: row[name] for name in alone[0]} for row in both] == alone  # to the bit
    for k, row in enumerate(both):
        values = np.where(many[k] == 0, np.nan, many[k])
        theirs = exact(values, PART, "unique", "frac", "variety")
        shares = dict(zip(theirs["unique"], theirs["frac"], strict=True))
        for value in range(1, 5):
            assert float(row[f"frac_{value}_v"]) == pytest.approx(shares.get(value, 0), abs=2e-7)
        assert float(row["variety_v"]) == theirs["variety"]
        assert sum(float(row[f"weighted_frac_{k}_v"]) for k in range(1, 5)) == pytest.approx(1, abs=1e-14)


def write(desk, name, *words):
    target = desk.folder / name
    done = desk.program(
        "aggregate", "--index", desk.folder / "t.index", desk.folder / "t.nc", "--stats", "frac,variety", *words, "-o", target
    )
    assert done.returncode == 0, done.stderr
    desk.said = done.stderr
    return target


def test_every_kind_of_output_has_a_column_or_variable_for_each_class(desk):
    timed(desk, [COVER, COVER], attrs={"flag_values": np.array([1, 2, 3, 4], "i4"), "flag_meanings": "w x y z"})
    desk.index()
    wanted = [*(f"frac_{k}_v" for k in range(1, 5)), "variety_v"]
    table = pq.read_table(write(desk, "o.parquet", *COVERAGE))
    assert table.column_names == ["id", "time", *wanted]
    assert table.equals(
        pyarrow.feather.read_table(write(desk, "o.arrow", *COVERAGE))
        .cast(table.schema)
        .replace_schema_metadata(table.schema.metadata)
    )
    rows = list(csv.DictReader(io.StringIO(write(desk, "o.csv", *COVERAGE).read_text())))
    assert [float(row["frac_4_v"]) for row in rows] == table["frac_4_v"].to_pylist() == [0.2, 0.2]
    with netCDF4.Dataset(write(desk, "o.nc", *COVERAGE)) as file:
        field = file["frac_4_v"]
        assert field.dimensions == ("time", "region") and field[:].tolist() == [[0.2], [0.2]]
        assert field.units == "1" and field.comment.endswith("class 4 (z)")
    wide = pq.read_table(write(desk, "w.parquet", "--wide", *COVERAGE))
    assert wide.column_names == ["time", *(f"{name}_a" for name in wanted)]


def test_a_killed_run_goes_on_with_the_same_columns(desk):
    timed(desk, np.random.default_rng(2).integers(1, 5, (200_000, 4, 4)), chunks=(500, 4, 4), kind="i1")
    desk.index()
    whole = write(desk, "o.csv").read_text()
    killed(desk, "r.csv", "--stats", "frac,variety")
    assert write(desk, "r.csv", "--resume").read_text() == whole
    assert "windows were kept" in desk.said


def killed(desk, name, *words):
    """Ends a run with `--resume` as soon as it has kept something."""
    folder = desk.folder
    words = [
        "aggregate",
        "--index",
        folder / "t.index",
        folder / "t.nc",
        *words,
        "--resume",
        "--threads",
        "1",
        "-o",
        folder / name,
    ]
    run = subprocess.Popen([CRATE / "target/release/ncproj", *map(str, words)])
    kept = folder / f".{name}.resume"
    while run.poll() is None and not (kept.exists() and kept.stat().st_size > 20_000):
        time.sleep(0.002)
    run.kill()
    run.wait()
    assert kept.exists() and not (folder / name).exists()


def test_regions_of_one_class_have_a_share_of_exactly_1(cover):
    ring = [[10.1, 0.2], [11.9, 0.4], [11.3, 1.7], [10.1, 0.2]]
    assert numbers(cover.run(cover.regions(ring), stats="frac,weighted_frac")[0]) == {"frac_1_v": 1.0, "weighted_frac_1_v": 1.0}


def test_a_tie_of_the_mode_goes_to_the_smaller_value_here_and_to_the_larger_in_exactextract(cover):
    assert value(cover, "mode", words=COVERAGE) == 1
    assert exact(np.where(COVER == -9, np.nan, COVER), ALL, "mode")["mode"] == 3


def test_the_median_of_equal_values_differs_from_exactextract_as_the_docs_say(desk):
    # by hand: 1 1 1 5, whole cells: the median of four numbers is 1; exactextract takes 1 (weight 3) and 5 (weight 1)
    desk.grid(np.array([[1, 1, 1, 5]] * 4))
    ring = box(10, 0, 14, 1)
    assert value(desk, "median", desk.regions(ring), words=COVERAGE) == 1
    assert exact(np.array([[1, 1, 1, 5]] * 4), ring, "median")["median"] > 1
