"""One aggregate in every format, read back by pyarrow, pandas and xarray."""

import io
import itertools
import json
import os
import subprocess

import cftime
import netCDF4
import numpy as np
import pandas
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
import pytest
import xarray

from impl.run.files import beside

LAT, LON = 40.5 + np.arange(4), -99.5 + np.arange(6)
TIMES = ["2000-02-27T00:00", "2000-02-28T00:00", "2000-03-01T00:00"]  # noleap: the day after February 28 is March 1
BOXES = {"a": (-99, 40, -97.5, 42), "b,c": (-97, 41, -95.75, 43), "Ñuble": (-99.9, 42.1, -99.6, 42.4), "off": (10, 10, 11, 11)}
COLUMNS = [f"{stat}_{name}" for name in ("rain", "t") for stat in ("mean", "q05", "valid")]
WORDS = ("--stats", "mean,q05,valid", "--variables", "rain,t")


def write(path, name, units, first=0, steps=3, seed=7, calendar="noleap", since="days since 2000-02-27", member=False):
    """A file of one variable; the cell in the corner is always missing, one step is missing everywhere."""
    dimensions = ("time", "member", "lat", "lon") if member else ("time", "lat", "lon")
    with netCDF4.Dataset(path, "w") as file:
        for side, values, unit in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file.createDimension(side, len(values))
            axis = file.createVariable(side, "f8", (side,))
            axis.units, axis[:] = unit, values
        file.createDimension("time", steps)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar, time[:] = since, calendar, first + np.arange(steps)
        if member:
            file.createDimension("member", 2)
            file.createVariable("member", str, ("member",))[:] = np.array(["low", "high"], dtype=object)
        field = file.createVariable(name, "f4", dimensions, fill_value=-9999.0, zlib=True)
        field.units = units
        values = np.random.default_rng(seed).normal(280, 10, field.shape)
        values[..., 0, 0] = np.nan
        values[1] = np.nan
        field[:] = np.where(np.isnan(values), -9999.0, values)
    return path


def regions(path, boxes):
    def feature(name):
        west, south, east, north = boxes[name]
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Polygon", "coordinates": [ring]}}

    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(name) for name in boxes]}))
    return path


@pytest.fixture(scope="module")
def folder(ncproj, tmp_path_factory):
    """Two variables, an index of four regions, and `aggregate` of them in every format: long.FORMAT, wide.FORMAT."""
    folder = tmp_path_factory.mktemp("outputs")
    files = [write(folder / "t.nc", "t", "K"), write(folder / "rain.nc", "rain", "mm", seed=8)]
    words = ("--regions", regions(folder / "r.geojson", BOXES), "--key", "name", "--grid", files[0], "-o", folder / "index")
    done = ncproj("index", *words)
    assert done.returncode == 0, done.stderr
    for name in ("long.parquet", "long.csv", "long.arrow", "long.nc", "wide.parquet", "wide.csv", "wide.arrow"):
        wide = ("--wide",) if name.startswith("wide") else ()
        done = ncproj("aggregate", "--index", folder / "index", *WORDS, *wide, *files, "-o", folder / name)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    """What the others are compared with."""
    return parquet.read_table(folder / "long.parquet").to_pandas()


def plain(table):
    """Times as they are, without a word on the zone or the resolution."""
    table["time"] = pandas.to_datetime(table["time"], utc=True).dt.as_unit("us")
    return table


def same(one, other):
    pandas.testing.assert_frame_equal(plain(one), plain(other), check_exact=True, check_dtype=False)


def test_the_rows_are_those_that_were_asked_for(rows):
    assert list(rows.columns) == ["name", "time", *COLUMNS]
    assert list(rows["name"]) == list(BOXES) * 3
    assert list(rows["time"].dt.strftime("%Y-%m-%dT%H:%M")) == list(np.repeat(TIMES, 4))
    means = rows["mean_t"].to_numpy().reshape(3, 4)
    assert np.isnan(means[1]).all() and np.isnan(means[:, 3]).all()
    assert not np.isnan(means[[0, 2], :3]).any()
    assert list(rows["valid_t"][:4]) == [1, 1, 1, 0]


def test_csv_holds_the_same_numbers_to_the_last_digit(folder, rows):
    same(pandas.read_csv(folder / "long.csv"), rows)


def test_arrow_holds_the_same_numbers(folder, rows):
    with ipc.open_file(folder / "long.arrow") as file:
        table = file.read_all()
    assert table.column("mean_t").null_count == rows["mean_t"].isna().sum()
    same(table.to_pandas(), rows)


def test_netcdf_holds_the_same_numbers(folder, rows):
    with xarray.open_dataset(folder / "long.nc") as data:
        data = data.load()
    assert [name.decode() for name in data["name"].values] == list(BOXES)
    times = data["time"].values
    assert list(times) == [np.datetime64(text) for text in TIMES]
    for column in COLUMNS:
        assert data[column].dims == ("time", "region")
        assert np.array_equal(data[column].values.ravel(), rows[column].to_numpy(), equal_nan=True), column


def test_netcdf_is_what_cf_calls_a_time_series(folder):
    with xarray.open_dataset(folder / "long.nc") as data:
        assert (data.attrs["featureType"], data.attrs["Conventions"][:3]) == ("timeSeries", "CF-")
        assert data["name"].attrs["cf_role"] == "timeseries_id"
        assert {"name", "latitude", "longitude"} <= set(data["mean_t"].encoding["coordinates"].split())
        units = {column: data[column].attrs["units"] for column in COLUMNS}
        assert units == {"mean_rain": "mm", "q05_rain": "mm", "valid_rain": "1", "mean_t": "K", "q05_t": "K", "valid_t": "1"}
        assert data["mean_t"].attrs["cell_methods"] == "area: mean"
        assert [data[name].attrs["standard_name"] for name in ("latitude", "longitude", "time")] == [
            "latitude",
            "longitude",
            "time",
        ]
        # `a` covers the cells -98.5 and, by half, -97.5: a third of the way, and a little, for the Earth is round
        assert data["longitude"].values[0] == pytest.approx(-98.5 + 1 / 3, abs=0.01)
        assert data["latitude"].values[0] == pytest.approx(41, abs=0.05)
        assert np.isnan(data["latitude"].values[3])


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_wide_rows_hold_the_same_numbers(folder, rows, form):
    if form == "csv":
        wide = pandas.read_csv(folder / "wide.csv")
    elif form == "parquet":
        wide = parquet.read_table(folder / "wide.parquet").to_pandas()
    else:
        with ipc.open_file(folder / "wide.arrow") as file:
            wide = file.read_all().to_pandas()
    assert list(wide.columns) == ["time", *(f"{column}_{name}" for column, name in itertools.product(COLUMNS, BOXES))]
    for column, (place, name) in itertools.product(COLUMNS, enumerate(BOXES)):
        assert np.array_equal(wide[f"{column}_{name}"], rows[column][place::4], equal_nan=True)
    assert list(plain(wide)["time"]) == list(plain(rows)["time"][::4])


@pytest.mark.parametrize("shape", ["long", "wide"])
@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_a_stream_holds_what_the_file_holds(ncproj, folder, form, shape):
    wide = ("--wide",) if shape == "wide" else ()
    words = ("--index", folder / "index", *WORDS, *wide, folder / "t.nc", folder / "rain.nc", "-o", "-", "--format", form)
    done = ncproj("aggregate", *words, text=False)
    assert done.returncode == 0, done.stderr
    if form == "arrow":  # a stream of it is another format than a file
        with ipc.open_file(folder / f"{shape}.arrow") as file:
            assert ipc.open_stream(io.BytesIO(done.stdout)).read_all().equals(file.read_all(), check_metadata=True)
    else:
        assert done.stdout == (folder / f"{shape}.{form}").read_bytes()


def test_netcdf_is_not_streamed_and_not_wide(ncproj, folder):
    for words in (("-o", "-", "--format", "nc"), ("-o", folder / "wide.nc", "--wide")):
        done = ncproj("aggregate", "--index", folder / "index", folder / "t.nc", *words)
        assert done.returncode == 2 and "netCDF" in done.stderr
    assert not (folder / "wide.nc").exists()


def test_every_format_says_where_it_comes_from(folder):
    in_parquet = json.loads(parquet.read_metadata(folder / "long.parquet").metadata[b"ncproj"])
    with ipc.open_file(folder / "long.arrow") as file:
        in_arrow = json.loads(file.schema.metadata[b"ncproj"])
    with xarray.open_dataset(folder / "long.nc") as data:
        in_netcdf = json.loads(data.attrs["ncproj"])
    assert in_parquet == in_arrow == in_netcdf
    assert in_parquet["files"] == ["rain.nc", "t.nc"]
    assert in_parquet["stats"] == ["mean", "q05", "valid"]
    assert in_parquet["regions"]["file"] == "r.geojson"
    assert (in_parquet["weights"]["name"], in_parquet["min_valid"]) == ("area", 0)
    assert set(in_parquet["columns"]) == set(COLUMNS)
    assert in_parquet["columns"]["mean_t"] == {"units": "K", "variable": "t", "cell_method": "area: mean"}
    assert in_parquet["tool"].startswith("ncproj ")


def test_a_further_axis_is_a_column_and_in_netcdf_a_dimension(ncproj, folder, tmp_path):
    file = write(tmp_path / "m.nc", "t", "K", member=True)
    for form in ("parquet", "csv", "arrow", "nc"):
        done = ncproj("aggregate", "--index", folder / "index", "--stats", "mean", file, "-o", tmp_path / f"o.{form}")
        assert done.returncode == 0, done.stderr
    rows = parquet.read_table(tmp_path / "o.parquet").to_pandas()
    assert list(rows.columns) == ["name", "time", "member", "mean_t"]
    assert list(rows["member"]) == (["low"] * 4 + ["high"] * 4) * 3
    same(pandas.read_csv(tmp_path / "o.csv"), rows)
    with ipc.open_file(tmp_path / "o.arrow") as opened:
        same(opened.read_all().to_pandas(), rows)
    with xarray.open_dataset(tmp_path / "o.nc") as data:
        assert data["mean_t"].dims == ("time", "member", "region")
        assert [name.decode() for name in data["member"].values] == ["low", "high"]
        assert np.array_equal(data["mean_t"].values.ravel(), rows["mean_t"], equal_nan=True)


@pytest.mark.parametrize(
    "calendar, since",
    [
        ("noleap", "days since 1999-12-31"),
        ("365_day", "days since 1850-01-01 06:00"),
        ("standard", "days since 1900-01-01"),
        ("standard", "hours since 1582-10-04 12:00"),  # the Julian calendar ends that day
        ("proleptic_gregorian", "minutes since 2004-02-29 23:59"),
        ("all_leap", "days since 2004-02-28"),
    ],
)
def test_times_of_other_calendars_are_real_dates(ncproj, folder, tmp_path, calendar, since):
    steps = 300 if calendar == "all_leap" else 800  # up to a February 29 that is no real date
    file = write(tmp_path / "c.nc", "t", "K", steps=steps, calendar=calendar, since=since)
    said = cftime.num2date(np.arange(steps), since, calendar, only_use_cftime_datetimes=True)
    done = ncproj("aggregate", "--index", folder / "index", "--stats", "valid", file, "-o", tmp_path / "o.csv")
    assert done.returncode == 0, done.stderr
    times = pandas.read_csv(tmp_path / "o.csv")["time"][::4]
    if "1582" in since:  # rows are dates of today's calendar: October 4 was its 14th
        days = cftime.date2num(said, "days since 1582-10-15", "standard")
        said = cftime.num2date(days, "days since 1582-10-15", "proleptic_gregorian")
    assert list(times) == [date.strftime("%Y-%m-%dT%H:%M:%SZ") for date in said]


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow", "nc"])
def test_neither_the_order_of_files_nor_the_threads_change_a_byte(ncproj, folder, tmp_path, form):
    """Two variables in three spans of time."""
    files = [
        write(tmp_path / f"{name}_{span}.nc", name, "K", first=3 * span, seed=10 * span + len(name))
        for name in ("t", "rain", "wind")
        for span in range(3)
    ]
    chance, outputs = np.random.default_rng(3), []
    for threads in ("1", "2", "3", "8"):
        out = tmp_path / f"{threads}.{form}"
        words = ("--stats", "min,mean,stdev,median,mode,valid", "--threads", threads, *files, "-o", out)
        done = ncproj("aggregate", "--index", folder / "index", *words)
        assert done.returncode == 0, done.stderr
        outputs.append(out.read_bytes())
        files = list(chance.permutation(files))
    assert outputs[1:] == outputs[:1] * 3


def test_the_order_of_regions_changes_the_order_of_rows_alone(ncproj, folder, tmp_path):
    """Each line of CSV stays as it is, to the byte; the same regions make the same index, to the byte."""
    lines = []
    for number, names in enumerate([list(BOXES), list(BOXES)[::-1], ["off", "a", "Ñuble", "b,c"]]):
        path = regions(tmp_path / "r.geojson", {name: BOXES[name] for name in names})
        for threads in ("1", "3"):
            words = ("--regions", path, "--key", "name", "--grid", folder / "t.nc", "--threads", threads)
            assert ncproj("index", *words, "-o", tmp_path / f"{number}.{threads}").returncode == 0
        assert (tmp_path / f"{number}.1").read_bytes() == (tmp_path / f"{number}.3").read_bytes()
        words = (*WORDS, folder / "t.nc", folder / "rain.nc", "-o", tmp_path / "o.csv")
        assert ncproj("aggregate", "--index", tmp_path / f"{number}.1", *words).returncode == 0
        lines.append((tmp_path / "o.csv").read_text().splitlines())
        assert list(pandas.read_csv(tmp_path / "o.csv")["name"]) == names * 3
    assert sorted(lines[0]) == sorted(lines[1]) == sorted(lines[2])
    assert lines[0] != lines[1]


def test_what_killed_runs_left_has_the_names_that_python_gives_and_sweeps(ncproj, folder, tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    ours = beside(tmp_path / "o.csv")  # of this process, which lives
    left = ours.with_name(ours.name.replace(f".{os.getpid()}.", f".{dead.pid}."))
    theirs = tmp_path / f".o.csv.other.{dead.pid}.part"
    for path in (ours, left, theirs):
        path.touch()
    done = ncproj("aggregate", "--index", folder / "index", "--resume", folder / "t.nc", "-o", tmp_path / "o.csv")
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == sorted([ours, theirs, tmp_path / "o.csv"])
