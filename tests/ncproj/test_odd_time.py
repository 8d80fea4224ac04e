"""What a time axis says, against cftime where it has an answer."""

import csv
import io

import cftime
import netCDF4
import numpy as np
import pyarrow.feather
import pyarrow.parquet
import pytest

UNIX = "seconds since 1970-01-01"


def timed(desk, units, values, *, calendar=None, kind="f8", name="t.nc", attrs=None, along="time", more=None):
    """A file with `w` over (time, lat, lon), which at step k is k everywhere."""

    def make(file):
        file.createDimension(along, len(values))
        time = file.createVariable("time", kind, (along,))
        time.set_auto_maskandscale(False)
        said = {"units": units, "calendar": calendar, **(attrs or {})}
        time.setncatts({key: value for key, value in said.items() if value is not None})
        time[:] = np.array(values, kind)
        field = file.createVariable("w", "f8", (along, "lat", "lon"))
        field[:] = np.arange(len(values))[:, None, None]
        if more:
            more(file)

    return desk.grid(0, name=name, more=make)


def times(desk, *words, **options):
    """The column `time` of `w`, or the error."""
    rows = desk.run(words=("--variables", "w", *words), stats="max", **options)
    return rows if isinstance(rows, str) else [row["time"] for row in rows]


def as_cftime(units, calendar, value):
    """The same instant by cftime, written as a timestamp of the proleptic Gregorian calendar."""
    date = cftime.num2date(value, units, calendar)
    # 1 January 1970 was 19 December 1969 in the Julian calendar
    seconds = cftime.date2num(date, UNIX if calendar != "julian" else "seconds since 1969-12-19", calendar)
    return cftime.num2date(seconds, UNIX, "proleptic_gregorian").strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("units", "value", "text"),
    [
        ("days since 2000-01-01 00:00:00 +05:30", 1, "2000-01-01T18:30:00Z"),
        ("hours since 2000-1-1T6Z", 1, "2000-01-01T07:00:00Z"),
        ("hours since 2000-01-01T06:00:00+05:30", 0, "2000-01-01T00:30:00Z"),
        ("seconds since 1970-01-01 00:00:00.0 UTC", 5, "1970-01-01T00:00:05Z"),
        ("days since 2000-01-01 24:00:00", 0, "2000-01-02T00:00:00Z"),
        ("days since 2000-01-01 -5:00", 0, "2000-01-01T05:00:00Z"),
        ("Days Since 2000-1-1", 1.5, "2000-01-02T12:00:00Z"),
        ("days since 20000101", 1, "2000-01-02T00:00:00Z"),
        ("days since 2000", 1, "2000-01-02T00:00:00Z"),
        ("weeks since 2000-01-01", 1, "2000-01-08T00:00:00Z"),
        ("6 hours since 2000-01-01", 3, "2000-01-01T18:00:00Z"),
        ("msec since 2000-01-01", 1500, "2000-01-01T00:00:01.500000Z"),
        ("microseconds since 2000-01-01", 1001, "2000-01-01T00:00:00.001001Z"),
        ("day as %Y%m%d.%f", 20000131.25, "2000-01-31T06:00:00Z"),
        ("days since 12000-01-01", 31, "12000-02-01T00:00:00Z"),
    ],
)
def test_units_of_time_are_read(desk, units, value, text):
    timed(desk, units, [value])
    assert times(desk) == [text]


@pytest.mark.parametrize(
    ("units", "calendar", "value"),
    [
        ("days since 1582-10-04", "standard", 1),
        ("days since 1582-10-04", "julian", 1),
        ("days since 1500-02-29", "standard", 0),
        ("days since 0001-01-01", "gregorian", 700000),
        ("days since -0004-01-01", "standard", 10),
        ("days since 0000-02-29", "proleptic_gregorian", 1000000),
        ("hours since 1900-01-01", "julian", 876000),
    ],
)
def test_instants_are_those_of_cftime(desk, units, calendar, value):
    timed(desk, units, [value], calendar=calendar)
    said = times(desk)
    expected = as_cftime(units, calendar, value)
    if expected.startswith("-"):
        expected = expected.replace("-5-", "-0005-", 1).replace("-4-", "-0004-", 1).replace("-3-", "-0003-", 1)
    assert said == [expected]


def test_dates_that_were_moved_are_said(desk):
    timed(desk, "days since 1582-10-04", [0, 1], calendar="standard")
    assert times(desk) == ["1582-10-14T00:00:00Z", "1582-10-15T00:00:00Z"]
    assert "proleptic Gregorian" in desk.said
    timed(desk, "days since 2000-01-01", [0], calendar="julian")
    assert times(desk) == ["2000-01-14T00:00:00Z"]
    assert "julian" in desk.said
    timed(desk, "days since 1582-10-04", [1], calendar="standard")
    times(desk)
    assert "warning" not in desk.said


def test_a_year_without_leap_days_keeps_its_dates(desk):
    timed(desk, "days since 2000-02-28", [1, 366], calendar="NOLEAP")
    assert times(desk) == ["2000-03-01T00:00:00Z", "2001-03-01T00:00:00Z"]
    timed(desk, "common_years since 2000-01-01", [4], calendar="365_day")
    assert times(desk) == ["2004-01-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("units", "calendar", "word"),
    [
        ("days since 1582-10-10", "standard", "1582-10-10"),
        ("days since 1582-10-10", None, "1582-10-10"),
        ("days since 2001-02-29", "noleap", "2001-02-29"),
        ("days since 2001-02-29", "standard", "2001-02-29"),
        ("days since 1900-02-29", "proleptic_gregorian", "1900-02-29"),
        ("days since 2000-02-30", "all_leap", "2000-02-30"),
        ("days since 2000-01-31", "360_day", "2000-01-31"),
        ("days since 2000-04-31", None, "2000-04-31"),
        ("days since 0000-01-01", "standard", "year 0"),
        ("days since 0-1-1", "julian", "year 0"),
        ("days since 2000-13-01", None, "2000-13-01"),
        ("months since 2000-01-01", "standard", "months"),
        ("years since 2000-01-01", "noleap", "years"),
        ("common_years since 2000-01-01", None, "common_years"),
        ("fathoms since 2000-01-01", None, "fathoms"),
        ("days since yesterday", None, "yesterday"),
        ("days since 2000-01-01 25:00", None, "25:00"),
        ("days since 2000-01-01 24:30", None, "24:30"),
        ("days since 2000-01-01 00:61", None, "00:61"),
        ("days since 2000-01-01 00:00 EST", None, "EST"),
        ("month as %Y%m.%f", None, "%Y%m.%f"),
        ("days since 2000-01-01", "tai", "tai"),
        ("days since 2000-01-01", "utc", "utc"),
        ("days since 2000-01-01", "none", "none"),
        ("days since 2000-01-01", "martian", "martian"),
    ],
)
def test_what_is_no_date_or_calendar_is_refused(desk, units, calendar, word):
    timed(desk, units, [1], calendar=calendar)
    said = times(desk)
    assert isinstance(said, str) and word in said and "t.nc: dimension `time`" in said and "hint:" in said


def test_months_of_its_own_are_refused(desk):
    timed(
        desk, "days since 2000-01-01", [1], attrs={"month_lengths": np.int32([34, 31, 32, 30, 29, 27, 28, 28, 28, 32, 32, 34])}
    )
    assert "month_lengths" in times(desk)


@pytest.mark.parametrize(
    ("units", "value", "text"),
    [
        ("days since 2005-01-01", 59.25, "2005-02-30T06:00:00"),
        ("months since 2005-01-01", 13, "2006-02-01T00:00:00"),
        ("years since 0000-02-30", 2005, "2005-02-30T00:00:00"),
        ("hours since 1850-12-30", -24, "1850-12-29T00:00:00"),
    ],
)
def test_years_of_360_days_are_texts(desk, units, value, text):
    timed(desk, units, [value], calendar="360_day")
    assert times(desk) == [text]
    if not units.startswith("years"):
        assert cftime.num2date(value, units, "360_day").strftime("%Y-%m-%dT%H:%M:%S") == text


def test_all_leap_years_are_texts_where_a_date_is_none(desk):
    timed(desk, "days since 2001-01-01", [58, 59], calendar="all_leap")
    assert times(desk) == ["2001-02-28T00:00:00", "2001-02-29T00:00:00"]
    timed(desk, "days since 2001-01-01", [58, 60], calendar="all_leap", name="b.nc")
    assert times(desk, grids=("b.nc",)) == ["2001-02-28T00:00:00Z", "2001-03-01T00:00:00Z"]
    timed(desk, "days since 2000-01-01", [58, 60], calendar="366_day", name="a.nc")
    rows = times(desk, grids=("a.nc", "t.nc"))
    assert rows == ["2000-02-28T00:00:00", "2000-03-01T00:00:00", "2001-02-28T00:00:00", "2001-02-29T00:00:00"]
    assert times(desk, "--time", "2000", grids=("a.nc", "b.nc")) == ["2000-02-28T00:00:00Z", "2000-03-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("2005-02", [1, 2, 3]),
        ("2005-02-30", [3]),
        ("2005-02-29..2005-03", [2, 3, 4]),
        ("..2005-01-31", [0]),
        ("2005-01-31..", [1, 2, 3, 4]),
        ("2005-02-30T00..2005-02-30T06", [3]),
    ],
)
def test_times_are_chosen_by_the_calendars_own_dates(desk, asked, kept):
    # 30 January, 1, 29 and 30 February, 1 March
    timed(desk, "days since 2005-01-01", [29, 30, 58, 59, 60], calendar="360_day")
    rows = desk.run(words=("--variables", "w", "--time", asked), stats="max")
    assert [float(row["max_w"]) for row in rows] == kept


def test_a_date_that_is_none_chooses_nothing_from_real_days(desk):
    timed(desk, "days since 2005-01-01", [0, 59])
    assert "`2005-02-30` is no date" in times(desk, "--time", "2005-02-30")


@pytest.mark.parametrize("form", ["parquet", "arrow", "nc", "wide"])
def test_all_outputs_hold_dates_that_are_none(desk, form):
    timed(desk, "days since 2005-01-01", [59.5, 60], calendar="360_day")
    desk.index()
    target = desk.folder / f"o.{'csv' if form == 'wide' else form}"
    words = ("--wide",) if form == "wide" else ()
    done = desk.program(
        "aggregate",
        "--index",
        desk.folder / "t.index",
        desk.folder / "t.nc",
        "--variables",
        "w",
        "--stats",
        "max",
        "-o",
        target,
        *words,
    )
    assert done.returncode == 0, done.stderr
    texts = ["2005-02-30T12:00:00", "2005-03-01T00:00:00"]
    assert texts[0] in done.stderr
    if form == "nc":
        with netCDF4.Dataset(target) as file:
            time = file["time"]
            assert time.calendar == "360_day"
            dates = cftime.num2date(time[:], time.units, time.calendar)
            got = [date.strftime("%Y-%m-%dT%H:%M:%S") for date in dates]
    elif form == "wide":
        got = [row["time"] for row in csv.DictReader(io.StringIO(target.read_text()))]
    else:
        table = pyarrow.parquet.read_table(target) if form == "parquet" else pyarrow.feather.read_table(target)
        got = table["time"].to_pylist()
        assert b'"calendar":"360_day"' in table.schema.metadata[b"ncproj"]
    assert got == texts


def test_files_of_real_and_other_dates_do_not_mix(desk):
    timed(desk, "days since 2005-01-01", [1], calendar="360_day", name="a.nc")
    timed(desk, "days since 2005-01-01", [2], calendar="standard", name="b.nc")
    said = times(desk, grids=("a.nc", "b.nc"))
    assert "`360_day` of `a.nc`" in said and "b.nc" in said


def test_nanoseconds_of_64_bits_are_exact_to_the_microsecond(desk):
    # 2^60 ns is 1152921504.606846976 s, and 1000 ns later is one microsecond later: no float64 tells them apart
    timed(desk, "nanoseconds since 1970-01-01", [2**60, 2**60 + 1000], kind="i8")
    assert times(desk) == ["2006-07-14T23:58:24.606847Z", "2006-07-14T23:58:24.606848Z"]


def test_packed_times_are_unpacked(desk):
    timed(desk, "days since 2000-01-01", [4], kind="i2", attrs={"scale_factor": 0.25, "add_offset": 1.0})
    assert times(desk) == ["2000-01-03T00:00:00Z"]


@pytest.mark.parametrize("attrs", [{"missing_value": 7.0}, {"valid_max": 5.0}])
def test_missing_times_are_refused(desk, attrs):
    timed(desk, "days since 2000-01-01", [1, 7], attrs=attrs)
    assert "is missing: it is NaN" in times(desk)
    timed(desk, "days since 2000-01-01", [1, np.inf])
    assert "the time value inf is no time" in times(desk)


@pytest.mark.parametrize(
    ("units", "kind", "values"), [("hours", "i4", [0, 6]), (None, "i8", [20000101, 20000102]), ("month", "f4", [1, 2])]
)
def test_units_without_a_date_leave_the_values_as_labels(desk, units, kind, values):
    timed(desk, units, values, kind=kind)
    assert times(desk) == [str(v) for v in values]


def test_times_as_texts_are_labels(desk):
    def make(file):
        file.createDimension("time", 2)
        file.createDimension("length", 10)
        file.createVariable("time", "S1", ("time", "length"))[:] = netCDF4.stringtochar(
            np.array(["2000-01-01", "2000-01-02"], "S10")
        )
        file.createVariable("w", "f8", ("time", "lat", "lon"))[:] = 1

    desk.grid(1, more=make)
    assert times(desk) == ["2000-01-01", "2000-01-02"]


def test_a_lead_is_a_column_and_its_unit_is_kept(desk):
    def make(file):
        file.createDimension("step", 2)
        step = file.createVariable("step", "i4", ("step",))
        step.units = "hours"
        step[:] = [6, 12]
        file.createVariable("x", "f8", ("time", "step", "lat", "lon"))[:] = np.arange(4).reshape(2, 2, 1, 1)

    timed(desk, "days since 2000-01-01", [0, 1], more=make)
    rows = desk.run(words=("--variables", "x"), stats="max")
    assert [(r["time"][:10], r["step"], r["max_x"]) for r in rows] == [
        ("2000-01-01", "6", "0"),
        ("2000-01-01", "12", "1"),
        ("2000-01-02", "6", "2"),
        ("2000-01-02", "12", "3"),
    ]
    desk.program(
        "aggregate",
        "--index",
        desk.folder / "t.index",
        desk.folder / "t.nc",
        "--variables",
        "x",
        "-o",
        desk.folder / "o.parquet",
    )
    assert b'"axes":{"step":"hours"}' in pyarrow.parquet.read_schema(desk.folder / "o.parquet").metadata[b"ncproj"]


@pytest.mark.parametrize("order", [("reference", "time"), ("time", "reference")])
def test_of_two_times_the_one_called_time_by_cf_is_the_time(desk, order):
    def make(file):
        file.createDimension("reference", 2)
        reference = file.createVariable("reference", "f8", ("reference",))
        reference.setncatts({"units": "days since 2000-01-01", "standard_name": "forecast_reference_time"})
        reference[:] = [0, 0.5]
        field = file.createVariable("x", "f8", (*order, "lat", "lon"))
        field[:] = np.arange(4).reshape(2, 2, 1, 1)

    timed(desk, "days since 2000-01-01", [9, 10], attrs={"standard_name": "time"}, more=make)
    rows = desk.run(words=("--variables", "x"), stats="max")
    got = {(r["time"], r["reference"]): float(r["max_x"]) for r in rows}
    a, b = "2000-01-01T00:00:00Z", "2000-01-01T12:00:00Z"
    first, second = "2000-01-10T00:00:00Z", "2000-01-11T00:00:00Z"
    cross = [1, 2] if order[0] == "time" else [2, 1]
    assert got == {(first, a): 0, (first, b): cross[0], (second, a): cross[1], (second, b): 3}


@pytest.mark.parametrize("named", [True, False])
def test_a_scalar_time_is_that_of_all_rows(desk, named):
    def make(file):
        time = file.createVariable("time", "i4")
        time.units = "days since 2000-01-01"
        time[...] = 31
        reference = file.createVariable("reference", "i4")
        reference.setncatts({"units": "days since 2000-01-01", "standard_name": "forecast_reference_time"})
        reference[...] = 1
        field = file.createVariable("w", "f8", ("lat", "lon"))
        field[:] = 1
        if named:
            field.coordinates = "reference time"

    desk.grid(1, more=make)
    rows = desk.run(words=("--variables", "w"), stats="max")
    assert rows[0].get("time") == ("2000-02-01T00:00:00Z" if named else None)


def test_leads_of_one_forecast_keep_its_beginning(desk):
    # as cfgrib writes it: the leads are a dimension, `time` is a scalar and means the beginning of the forecast
    def make(file):
        file.createDimension("step", 2)
        step = file.createVariable("step", "f8", ("step",))
        step.setncatts({"units": "hours", "standard_name": "forecast_period"})
        step[:] = [0, 6]
        time = file.createVariable("time", "i8")
        time.setncatts({"units": UNIX, "standard_name": "forecast_reference_time"})
        time[...] = 86400
        for name, dims in (("w", ("step", "lat", "lon")), ("x", ("lat", "step", "lon"))):
            field = file.createVariable(name, "f8", dims)
            field.coordinates = "time step"
            field[:] = np.moveaxis(np.arange(2)[:, None, None] + np.zeros((2, 4, 4)), 0, dims.index("step"))

    desk.grid(1, more=make)
    for name in "wx":
        rows = desk.run(words=("--variables", name), stats="max")
        assert [(r["step"], r["time"], r[f"max_{name}"]) for r in rows] == [
            ("0", "1970-01-02T00:00:00Z", "0"),
            ("6", "1970-01-02T00:00:00Z", "1"),
        ]


def test_times_of_several_dimensions_are_refused(desk):
    def make(file):
        file.createDimension("time", 2)
        file.createDimension("member", 2)
        file.createVariable("time", "f8", ("time", "member")).units = UNIX
        file.createVariable("w", "f8", ("time", "lat", "lon"))[:] = 1

    desk.grid(1, more=make)
    assert "time(time, member)" in times(desk)


def test_files_of_one_scalar_time_each_follow_each_other(desk):
    for name, day in (("b.nc", 1), ("a.nc", 2)):

        def make(file, day=day):
            time = file.createVariable("time", "i4")
            time.units = "days since 2000-01-01"
            time[...] = day
            field = file.createVariable("w", "f8", ("lat", "lon"))
            field[:] = day
            field.coordinates = "time"

        desk.grid(1, name=name, more=make)
    rows = desk.run(grids=("a.nc", "b.nc"), words=("--variables", "w"), stats="max")
    assert [(row["time"], row["max_w"]) for row in rows] == [("2000-01-02T00:00:00Z", "1"), ("2000-01-03T00:00:00Z", "2")]


def test_times_that_fall_or_repeat_are_said(desk):
    timed(desk, "days since 2000-01-01", [1, 1, 0])
    assert times(desk) == ["2000-01-02T00:00:00Z", "2000-01-02T00:00:00Z", "2000-01-01T00:00:00Z"]
    assert "do not rise" in desk.said


def test_a_time_of_another_name_is_found_along_its_dimension(desk):
    timed(desk, "days since 2000-01-01", [0, 1], along="record")
    assert times(desk) == ["2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"]


def test_climatological_bounds_and_calendars_elsewhere_are_harmless(desk):
    def make(file):
        file.createDimension("two", 2)
        file["time"].climatology = "climatology_bounds"
        file.createVariable("climatology_bounds", "f8", ("time", "two"))[:] = [[0, 9]]
        file["w"].calendar = "nonsense"

    timed(desk, "days since 2000-01-01", [1], more=make)
    assert times(desk) == ["2000-01-02T00:00:00Z"]


def test_info_shows_the_dates_of_other_calendars(desk):
    timed(desk, "days since 2005-01-01", [59], calendar="360_day")
    assert "2005-02-30T00:00:00" in desk.program("info", desk.folder / "t.nc").stdout
