"""What is said about a netCDF file is what is in it."""

import netCDF4
import numpy
import pytest

from impl.run.errors import EtlError
from impl.source import grid


def make(
    path, latitude=(10.5, 11.5), longitude=(0.5, 1.5, 2.5), time_units="days since 2000-01-01", calendar="noleap", **options
):
    """A small grid of 2 x 3 cells and 2 times."""
    with netCDF4.Dataset(path, "w") as file:
        file.title = "A small grid"
        for name, values, units in (
            ("lat", latitude, "degrees_north"),
            ("lon", longitude, "degrees_east"),
            ("time", (58, 59), time_units),
        ):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis.units, axis[:] = units, values
        file["time"].calendar = calendar
        rain = file.createVariable("pr", "i2", ("time", "lat", "lon"), **options)
        rain.units, rain.scale_factor = "mm", 0.1
        rain[:] = numpy.zeros((2, len(latitude), len(longitude)))
    return path


def test_a_packed_chunked_variable_is_described(tmp_path):
    found = grid.describe(make(tmp_path / "a.nc", zlib=True, complevel=5, chunksizes=(1, 2, 3), fill_value=-1))
    rain = found.variables["pr"]
    assert (rain.dimensions, rain.dtype, rain.units) == (("time", "lat", "lon"), "int16", "mm")
    assert (rain.chunks, rain.filters, rain.fill_value, rain.packed) == ((1, 2, 3), ("shuffle", "zlib 5"), -1, True)
    assert found.dimensions == {"lat": 2, "lon": 3, "time": 2}
    assert list(found.variables) == ["pr"]


def test_the_calendar_of_the_file_is_used(tmp_path):
    time = grid.describe(make(tmp_path / "a.nc")).time
    assert (time.calendar, time.first, time.last) == ("noleap", "2000-02-28 00:00", "2000-03-01 00:00")  # no 29th of February


@pytest.mark.parametrize(
    ("longitude", "convention"), [((358.5, 359.5), "0..360"), ((-1.5, -0.5), "-180..180"), ((0.5, 1.5), "either")]
)
def test_longitudes_tell_their_convention(tmp_path, longitude, convention):
    assert grid.describe(make(tmp_path / "a.nc", longitude=longitude)).longitude.convention == convention


def test_axes_tell_their_order_and_step(tmp_path):
    found = grid.describe(make(tmp_path / "a.nc", latitude=(12.0, 11.5, 11.0), longitude=(0.0, 1.0, 5.0)))
    assert (found.latitude.first, found.latitude.last, found.latitude.step, found.latitude.order) == (
        12.0,
        11.0,
        -0.5,
        "descending",
    )
    assert (found.longitude.step, found.longitude.order) == (None, "ascending")


def test_a_file_that_was_cut_short_is_an_error(tmp_path):
    path = make(tmp_path / "a.nc")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(EtlError) as failed:
        grid.describe(path)
    assert failed.value.what == "the file is not netCDF, or cut short"
    assert f"{path}: " in failed.value.where


@pytest.mark.parametrize(
    ("content", "looks"), [(b"", "empty"), (b"<!DOCTYPE html>", "like a web page"), (b"GRIB....", "it begins with b'GRIB....'")]
)
def test_what_is_no_netcdf_says_what_it_looks_like(tmp_path, content, looks):
    path = tmp_path / "a.nc"
    path.write_bytes(content)
    with pytest.raises(EtlError) as failed:
        grid.describe(path)
    assert looks in failed.value.where


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(EtlError, match="there is no such file"):
        grid.describe(tmp_path / "a.nc")


def test_a_time_axis_that_counts_from_nowhere_is_an_error(tmp_path):
    with pytest.raises(EtlError, match="the time axis cannot be read"):
        grid.describe(make(tmp_path / "a.nc", time_units="days since yesterday"))


def test_the_sample_tells_that_it_is_synthetic(sample_folder):
    found = grid.describe(sample_folder / "tasmax.nc")
    assert found.synthetic
    assert found.summary().splitlines()[1].strip().startswith("title      SYNTHETIC")
    assert "air_temperature (time, lat, lon) float32 K, chunks of 61 x 48 x 72, shuffle + zlib 4" in found.summary()


@pytest.mark.real
def test_the_real_climate_model_file_has_months_and_no_time(real_data):
    found = grid.describe(real_data / "tas_Amon_CCSM4_rcp85_monthavg_20700101-20991231.nc")
    assert list(found.variables) == ["tas"]
    assert found.variables["tas"].chunks is None
    assert found.time is None
    assert (found.longitude.first, found.longitude.last, found.longitude.convention) == (0.0, 358.75, "0..360")
    assert (found.latitude.first, found.latitude.last, found.latitude.count) == (-90.0, 90.0, 192)
