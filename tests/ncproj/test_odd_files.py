"""Files that follow each other in time or stand side by side, and do not say the same of what becomes one column."""

import numpy as np
import pytest

from tests.ncproj.odd import LAT, LON


def file(
    desk,
    name,
    day,
    values,
    *,
    units="K",
    variable="w",
    kind="f8",
    dims=("time", "lat", "lon"),
    time="days since 2000-01-01",
    calendar=None,
    levels=None,
    height=None,
    level_attrs=None,
    **attrs,
):
    """A file with one variable at one day (or several): `values` for every cell, one number per day."""
    days, numbers = np.atleast_1d(day), np.atleast_1d(values)

    def more(made):
        made.createDimension("time", None)
        axis = made.createVariable("time", "f8", ("time",))
        axis.units = time
        if calendar:
            axis.calendar = calendar
        axis[:] = days
        if levels is not None:
            made.createDimension("lev", len(levels))
            level = made.createVariable("lev", "f8", ("lev",))
            level.setncatts(level_attrs or {"units": "hPa"})
            level[:] = levels
        if height is not None:
            scalar = made.createVariable("height", "f8", ())
            scalar.units = "m"
            scalar[...] = height
            attrs["coordinates"] = "height"
        field = made.createVariable(variable, kind, dims)
        field.set_auto_maskandscale(False)
        said = {"units": units, **attrs}
        field.setncatts({key: value for key, value in said.items() if value is not None})
        shape = {"time": len(days), "lat": len(LAT), "lon": len(LON), "lev": len(levels or [])}
        along = [len(numbers) if d == "time" else 1 for d in dims]
        field[:] = np.broadcast_to(numbers.reshape(along), [shape[d] for d in dims])

    return desk.grid(1.0, name=name, more=more)


def rows(desk, *grids, stats="mean", variables="w", words=()):
    return desk.run(grids=grids, stats=stats, words=("--variables", variables, *words))


def means(desk, *grids, column="mean_w", **options):
    got = rows(desk, *grids, **options)
    return got if isinstance(got, str) else [float(row[column]) for row in got]


def test_kelvin_and_celsius_in_two_files_are_an_error_that_names_both(desk):
    file(desk, "a.nc", 0, 280.0)
    file(desk, "b.nc", 1, 7.0, units="degC")
    said = rows(desk, "a.nc", "b.nc")
    for word in ("a.nc", "b.nc", "`K`", "`degC`", "--convert w=K"):
        assert word in said


@pytest.mark.parametrize(("wanted", "result"), [("w=K", [280, 280.15]), ("degC", [6.85, 7]), ("w=degF", [44.33, 44.6])])
def test_both_files_are_brought_to_the_unit_asked_for(desk, wanted, result):
    file(desk, "a.nc", 0, 280.0)  # 280 - 273.15 = 6.85 degC = 44.33 degF
    file(desk, "b.nc", 1, 7.0, units="degC")  # 280.15 K = 44.6 degF
    assert means(desk, "a.nc", "b.nc", words=("--convert", wanted)) == pytest.approx(result, abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("K", "kelvin"),
        ("m s-1", "m/s"),
        ("degC", "Celsius"),
        ("mm", "millimeter"),
        ("W m-2", "W m**-2"),
        ("1", None),
        ("hPa", "mbar"),
        ("m s-1", " m  s-1 "),
        ("kg m-2 s-1", "kg/m^2/s"),
    ],
)
def test_spellings_of_one_unit_are_no_error(desk, one, other):
    file(desk, "a.nc", 0, 1.0, units=one)
    file(desk, "b.nc", 1, 2.0, units=other)
    assert means(desk, "a.nc", "b.nc") == [1, 2]


@pytest.mark.parametrize(
    ("one", "other", "hint"),
    [
        ("mm", "m", "--convert"),
        ("hPa", "Pa", "--convert"),
        ("mm/day", "mm/month", "neither can"),
        ("mm", "kg m-2", "neither can"),
        ("K", "K m-1", "neither can"),
        ("counts", "Counts", "neither can"),
        ("%", None, "says no unit"),
        ("K", None, "says no unit"),
        ("1", "%", "--convert"),
        ("C", "degC", "neither can"),
    ],
)
def test_other_units_are_an_error(desk, one, other, hint):
    file(desk, "a.nc", 0, 1.0, units=one)
    file(desk, "b.nc", 1, 2.0, units=other)
    said = rows(desk, "a.nc", "b.nc")
    assert isinstance(said, str)
    assert "a.nc" in said and "b.nc" in said and hint in said
    file(desk, "a.nc", 1, 1.0, units=one)  # the other way round
    file(desk, "b.nc", 0, 2.0, units=other)
    assert hint in rows(desk, "a.nc", "b.nc")


def test_a_single_file_is_converted_too_and_the_unit_stands_in_the_output(desk):
    import pyarrow.parquet

    file(desk, "a.nc", 0, 0.25, units="m")
    desk.index(grid="a.nc")
    target = desk.folder / "o.parquet"
    done = desk.program(
        "aggregate",
        "--index",
        desk.folder / "t.index",
        desk.folder / "a.nc",
        "--variables",
        "w",
        "--convert",
        "mm",
        "-o",
        target,
    )
    assert done.returncode == 0, done.stderr
    table = pyarrow.parquet.read_table(target)
    assert table["mean_w"].to_pylist() == [250]  # 0.25 m
    assert b'"units":"mm"' in table.schema.metadata[b"ncproj"]


def test_a_variance_is_converted_by_the_square_and_a_spread_without_the_zero(desk):
    def more(made):
        made["v"].units = "K"

    values = np.full((4, 4), 280.0)
    values[:, :2] = 282.0
    desk.grid(values, more=more)
    plain = desk.run(stats="variance,stdev,min,max,q50,sum,count", words=())[0]
    got = desk.run(stats="variance,stdev,min,max,q50,sum,count", words=("--convert", "degF"))[0]
    assert float(got["variance_v"]) == pytest.approx(float(plain["variance_v"]) * 1.8**2, rel=1e-9)
    assert float(got["stdev_v"]) == pytest.approx(float(plain["stdev_v"]) * 1.8, rel=1e-9)
    assert float(got["min_v"]) == pytest.approx(44.33, abs=1e-9)  # 280 K
    assert float(got["max_v"]) == pytest.approx(47.93, abs=1e-9)  # 282 K
    assert float(got["sum_v"]) == pytest.approx(8 * 44.33 + 8 * 47.93, abs=1e-6)  # by share: 16 whole cells
    assert got["count_v"] == plain["count_v"] == "16"


@pytest.mark.parametrize(
    "says",
    [
        {"units_metadata": "temperature: difference"},
        {"cell_methods": "time: standard_deviation"},
        {"standard_name": "air_temperature_anomaly"},
        {"cell_methods": "time: range"},
        {"standard_name": "air_temperature standard_error"},
    ],
)
def test_a_difference_of_temperatures_has_no_zero(desk, says):
    file(desk, "a.nc", 0, 2.0, **says)
    assert means(desk, "a.nc", words=("--convert", "degC")) == [2]
    assert means(desk, "a.nc", words=("--convert", "degF")) == pytest.approx([3.6])


def test_a_temperature_on_scale_has_its_zero(desk):
    file(desk, "a.nc", 0, 2.0, units="degC", units_metadata="temperature: on_scale")
    assert means(desk, "a.nc", words=("--convert", "K")) == [275.15]


def test_what_may_be_a_difference_or_not_is_not_converted(desk):
    file(desk, "a.nc", 0, 2.0, units_metadata="temperature: unknown")
    assert "units_metadata" in means(desk, "a.nc", words=("--convert", "degC"))
    assert means(desk, "a.nc", words=("--convert", "mK")) == [2000]  # a factor is a factor


def test_a_difference_beside_a_temperature_is_an_error(desk):
    file(desk, "a.nc", 0, 2.0, units_metadata="temperature: difference")
    file(desk, "b.nc", 1, 2.0, units_metadata="temperature: on_scale")
    said = rows(desk, "a.nc", "b.nc")
    assert "units_metadata" in said and "a.nc" in said and "b.nc" in said
    file(desk, "b.nc", 1, 2.0)
    assert "difference" in rows(desk, "a.nc", "b.nc")


def test_packed_values_are_unpacked_before_they_are_converted(desk):
    file(desk, "a.nc", 0, 2500, kind="i2", units="K", scale_factor=0.1, add_offset=30.0)  # 280 K
    assert means(desk, "a.nc", words=("--convert", "degC")) == pytest.approx([6.85])


def test_packing_that_differs_between_files_is_fine(desk):
    file(desk, "a.nc", 0, 100, kind="i2", scale_factor=0.1, add_offset=270.0)  # 280
    file(desk, "b.nc", 1, 562, kind="i4", scale_factor=0.5)  # 281
    file(desk, "c.nc", 2, 282, kind="f4")
    file(desk, "d.nc", 3, 283, kind="f8")
    assert means(desk, "a.nc", "b.nc", "c.nc", "d.nc") == pytest.approx([280, 281, 282, 283])


@pytest.mark.parametrize("convert", ["w=m", "metres"])
def test_a_unit_of_another_kind_cannot_be_had(desk, convert):
    file(desk, "a.nc", 0, 2.0)
    assert "cannot be converted" in rows(desk, "a.nc", words=("--convert", convert))


@pytest.mark.parametrize(
    ("convert", "word"),
    [
        ("x=K", "names no column"),
        ("w=", "names no unit"),
        ("=K", "names no unit"),
        ("w=xyz", "no unit known"),
        ("K,degC", "two units"),
        ("w=days since 2000-01-01", "no unit known"),
        ("", "names no unit"),
    ],
)
def test_a_wish_that_says_nothing_is_refused(desk, convert, word):
    file(desk, "a.nc", 0, 2.0)
    assert word in rows(desk, "a.nc", words=("--convert", convert))


@pytest.mark.parametrize("unit", ["dBZ", "lg(re 1 mW)", "counts"])
def test_a_unit_that_is_not_known_is_not_converted(desk, unit):
    file(desk, "a.nc", 0, 2.0, units=unit)
    assert unit in rows(desk, "a.nc", words=("--convert", "K"))
    assert means(desk, "a.nc") == [2]  # as it is


def test_what_has_no_unit_is_not_converted(desk):
    file(desk, "a.nc", 0, 2.0, units=None)
    assert "says no unit" in rows(desk, "a.nc", words=("--convert", "K"))


def test_a_unit_may_be_asked_for_one_variable_and_another_for_the_rest(desk):
    def more(made):
        for name, unit in (("p", "hPa"), ("q", "Pa")):
            made.createVariable(name, "f8", ("lat", "lon")).units = unit
            made[name][:] = 10.0

    desk.grid(1.0, more=more)
    (row,) = desk.run(stats="mean", words=("--variables", "p,q=r", "--convert", "p=Pa,kPa"))
    assert (float(row["mean_p"]), float(row["mean_r"])) == (1000, 0.01)


@pytest.mark.parametrize(
    ("one", "other"), [("standard", "noleap"), (None, "365_day"), ("noleap", "all_leap"), ("julian", "standard")]
)
def test_calendars_that_differ_are_an_error_that_names_both(desk, one, other):
    file(desk, "a.nc", 0, 1.0, calendar=one)
    file(desk, "b.nc", 400, 2.0, calendar=other)
    said = rows(desk, "a.nc", "b.nc")
    assert "calendar" in said and "a.nc" in said and "b.nc" in said


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("standard", "gregorian"),
        (None, "standard"),
        ("noleap", "365_day"),
        ("standard", "proleptic_gregorian"),
        ("Standard", "STANDARD"),
    ],
)
def test_names_of_one_calendar_are_fine(desk, one, other):
    file(desk, "a.nc", 0, 1.0, calendar=one)
    file(desk, "b.nc", 1, 2.0, calendar=other)
    assert means(desk, "a.nc", "b.nc") == [1, 2]


def test_the_proleptic_calendar_is_another_before_1582(desk):
    file(desk, "a.nc", 0, 1.0, calendar="standard", time="days since 1400-01-01")
    file(desk, "b.nc", 20, 2.0, calendar="proleptic_gregorian", time="days since 1400-01-01")
    assert "calendar" in rows(desk, "a.nc", "b.nc")


def test_columns_side_by_side_share_a_calendar_too(desk):
    file(desk, "a.nc", 0, 1.0, calendar="standard")
    file(desk, "b.nc", 0, 2.0, calendar="noleap", variable="u")
    said = rows(desk, "a.nc", "b.nc", variables="w,u")
    assert "calendar" in said and "a.nc" in said and "b.nc" in said


def test_reference_dates_may_differ(desk):
    file(desk, "a.nc", 366, 2.0)  # 2001-01-01: 2000 has 366 days
    file(desk, "b.nc", 24, 3.0, time="hours since 2001-01-01")  # 2001-01-02
    assert means(desk, "b.nc", "a.nc") == [2, 3]


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("cell_methods", "time: mean", "time: maximum"),
        ("cell_methods", "time: maximum within days", "time: maximum over days"),
        ("standard_name", "air_temperature", "surface_temperature"),
        ("positive", "up", "down"),
        ("flag_meanings", "water land", "land water"),
        ("flag_values", np.int8([0, 1]), np.int8([1, 2])),
    ],
)
def test_what_is_another_quantity_is_an_error(desk, name, one, other):
    file(desk, "a.nc", 0, 1.0, **{name: one})
    file(desk, "b.nc", 1, 1.0, **{name: other})
    said = rows(desk, "a.nc", "b.nc")
    assert isinstance(said, str)
    assert name in said and "a.nc" in said and "b.nc" in said


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("cell_methods", "time: mean", "time: mean (interval: 1 hour)"),
        ("cell_methods", "area: time: mean", "time: mean area: mean"),
        ("cell_methods", "time: mean", None),
        ("standard_name", None, "air_temperature"),
        ("long_name", "Temperature", "temperature"),
    ],
)
def test_what_says_no_other_quantity_is_fine(desk, name, one, other):
    file(desk, "a.nc", 0, 1.0, **{name: one})
    file(desk, "b.nc", 1, 2.0, **{name: other})
    assert means(desk, "a.nc", "b.nc") == [1, 2]


def test_a_scalar_height_that_differs_is_an_error(desk):
    file(desk, "a.nc", 0, 1.0, height=2.0)
    file(desk, "b.nc", 1, 2.0, height=10.0)
    said = rows(desk, "a.nc", "b.nc")
    assert "height" in said and "2 m" in said and "10 m" in said
    file(desk, "b.nc", 1, 2.0, height=2.0)
    assert means(desk, "a.nc", "b.nc") == [1, 2]


LEVELS = ("time", "lev", "lat", "lon")


def test_levels_have_one_unit_and_one_direction(desk):
    file(desk, "a.nc", 0, 1.0, dims=LEVELS, levels=[10, 20])
    file(desk, "b.nc", 1, 1.0, dims=LEVELS, levels=[10, 20], level_attrs={"units": "Pa"})
    said = rows(desk, "a.nc", "b.nc")
    assert "`lev`" in said and "hPa" in said and "`Pa`" in said
    file(desk, "b.nc", 1, 1.0, dims=LEVELS, levels=[10, 20], level_attrs={"units": "hectopascals"})
    assert means(desk, "a.nc", "b.nc") == [1] * 4
    file(desk, "a.nc", 0, 1.0, dims=LEVELS, levels=[10, 20], level_attrs={"units": "m", "positive": "up"})
    file(desk, "b.nc", 1, 1.0, dims=LEVELS, levels=[10, 20], level_attrs={"units": "m", "positive": "down"})
    assert "positive" in rows(desk, "a.nc", "b.nc")


def test_levels_of_other_values_are_an_error(desk):
    file(desk, "a.nc", 0, 1.0, dims=LEVELS, levels=[10, 20])
    for levels in ([10, 30], [20, 10], [10]):
        file(desk, "b.nc", 1, 1.0, dims=LEVELS, levels=levels)
        assert "another axis" in rows(desk, "a.nc", "b.nc")
    file(desk, "b.nc", 1, 1.0)  # none
    assert "another axis" in rows(desk, "a.nc", "b.nc")


def test_dimensions_may_stand_in_another_order(desk):
    values = np.arange(16.0).reshape(4, 4)

    def made(name, dims, day):
        def more(file):
            file.createDimension("time", 1)
            axis = file.createVariable("time", "f8", ("time",))
            axis.units = "days since 2000-01-01"
            axis[:] = day
            field = file.createVariable("w", "f8", dims)
            order = [("time", "lat", "lon").index(d) for d in dims]
            field[:] = values[None].transpose(order)

        desk.grid(1.0, name=name, more=more)

    made("a.nc", ("time", "lat", "lon"), 0)
    made("b.nc", ("lon", "time", "lat"), 1)
    made("c.nc", ("lat", "lon", "time"), 2)
    region = desk.regions([[10, 0], [12, 0], [12, 1], [10, 1], [10, 0]])
    got = desk.run(region, grids=("a.nc", "b.nc", "c.nc"), stats="mean", words=("--variables", "w"))
    assert [row["mean_w"] for row in got] == ["0.5"] * 3  # cells 0 and 1 of the first row


def test_another_grid_is_an_error_that_names_the_file(desk):
    file(desk, "a.nc", 0, 1.0)
    desk.grid(1.0, name="b.nc", lon=LON + 0.25, more=lambda f: f.renameVariable("v", "w"))
    said = rows(desk, "a.nc", "b.nc")
    assert "b.nc" in said and "grid" in said


def test_the_same_times_twice_are_an_error_that_names_both(desk):
    file(desk, "a.nc", [0, 1], [1.0, 1.0])
    file(desk, "b.nc", [0, 1], [2.0, 2.0])
    said = rows(desk, "a.nc", "b.nc")
    assert "a.nc" in said and "b.nc" in said and "same times" in said
    file(desk, "b.nc", [1, 2], [2.0, 2.0])
    said = rows(desk, "a.nc", "b.nc")
    assert "a.nc" in said and "b.nc" in said and "overlap" in said


def test_the_same_file_twice_is_an_error_by_whatever_path(desk):
    path = file(desk, "a.nc", 0, 1.0)
    assert "twice" in rows(desk, "a.nc", "a.nc")
    for other in (desk.folder / "." / ".." / desk.folder.name / "a.nc", desk.folder / "link.nc"):
        if not other.exists():
            other.symlink_to(path)
        assert "same times" in rows(desk, "a.nc", other)


def test_two_variables_of_one_file_cannot_be_one_column(desk):
    def more(made):
        for name in ("p", "q"):
            made.createVariable(name, "f8", ("lat", "lon"))[:] = 1.0

    desk.grid(1.0, more=more)
    said = desk.run(stats="mean", words=("--variables", "p=x,q=x"))
    assert "`p`" in said and "`q`" in said and "`x`" in said


def test_two_variables_that_become_one_column_are_checked_as_one(desk):
    file(desk, "a.nc", 0, 280.0, variable="tas", standard_name="air_temperature")
    file(desk, "b.nc", 1, 281.0, variable="t2m", standard_name="air_temperature")
    assert means(desk, "a.nc", "b.nc", variables="tas=w,t2m=w") == [280, 281]
    file(desk, "b.nc", 1, 7.0, variable="t2m", units="degC")
    said = rows(desk, "a.nc", "b.nc", variables="tas=w,t2m=w")
    assert "`tas`" in said and "`t2m`" in said and "degC" in said


def test_columns_side_by_side_may_have_units_of_their_own(desk):
    file(desk, "a.nc", 0, 280.0)
    file(desk, "b.nc", 0, 7.0, variable="u", units="degC", cell_methods="time: maximum")
    (row,) = rows(desk, "a.nc", "b.nc", variables="w,u")
    assert (row["mean_w"], row["mean_u"]) == ("280", "7")


def test_a_third_file_is_checked_too(desk):
    file(desk, "a.nc", 0, 280.0)
    file(desk, "b.nc", 1, 281.0, units="kelvin")
    file(desk, "c.nc", 2, 7.0, units="degC")
    said = rows(desk, "a.nc", "b.nc", "c.nc")
    assert "c.nc" in said and "degC" in said


def test_the_times_that_are_not_asked_for_are_not_checked(desk):
    file(desk, "a.nc", 0, 280.0)
    file(desk, "b.nc", 400, 7.0, units="degC")
    assert means(desk, "a.nc", "b.nc", words=("--time", "2000")) == [280]


def test_missing_values_stay_missing_in_another_unit(desk):
    def more(made):
        made["v"].units = "K"

    values = np.full((4, 4), 280.0)
    values[0, :] = -999.0
    desk.grid(values, fill=-999.0, more=more)
    (row,) = desk.run(stats="min,mean,count", words=("--convert", "degC"))
    assert float(row["min_v"]) == pytest.approx(6.85) and row["count_v"] == "12"


def test_float32_is_converted_in_float64(desk):
    def more(made):
        made["v"].units = "m"

    desk.grid(0.1, kind="f4", more=more)
    (row,) = desk.run(stats="min,median,mean", words=("--convert", "mm"))
    wide = float(np.float32(0.1)) * 1000
    assert float(row["min_v"]) == float(row["median_v"]) == wide
    assert float(row["mean_v"]) == pytest.approx(wide, rel=1e-15)
