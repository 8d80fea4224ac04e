"""Damaged files: an error or an answer, never a panic, a hang, or memory beyond a bound."""

import resource
import subprocess

import netCDF4
import numpy as np
import pytest

from impl.ncproj import tool

pytestmark = pytest.mark.slow
PROGRAM = tool.CRATE / "target/release/ncproj"
MEMORY, SECONDS, TIMES = 1 << 30, 20, 120
KINDS = {
    "netCDF-4, chunks, zlib, shuffle, fletcher32": (
        "NETCDF4",
        {"zlib": True, "shuffle": True, "fletcher32": True, "chunksizes": (1, 4, 5)},
    ),
    "netCDF-4, contiguous": ("NETCDF4", {"contiguous": True}),
    "netCDF-4, packed": ("NETCDF4", {"zlib": True, "packed": True}),
    "netCDF-3, classic": ("NETCDF3_CLASSIC", {}),
    "netCDF-3, 64-bit offset": ("NETCDF3_64BIT_OFFSET", {}),
    "CDF-5": ("NETCDF3_64BIT_DATA", {}),
}
SQUARES = """{"type": "FeatureCollection", "features": [
{"type": "Feature", "properties": {"name": "a"}, "geometry": {"type": "Polygon", "coordinates": [[[0,0],[3,0],[3,3],[0,3],[0,0]]]}},
{"type": "Feature", "properties": {"name": "b"}, "geometry": {"type": "Polygon", "coordinates": [[[3,1],[9,1],[9,7],[3,7],[3,1]]]}}]}"""


def write(path, kind):
    form, how = KINDS[kind]
    how = dict(how)
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size, units in (("lat", 8, "degrees_north"), ("lon", 10, "degrees_east")):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = 0.5 + np.arange(size)
        file.createDimension("time", None if form != "NETCDF4" else 6)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(6)
        packed = how.pop("packed", False)
        values = file.createVariable("v", "i2" if packed else "f4", ("time", "lat", "lon"), fill_value=-9999, **how)
        if packed:
            values.scale_factor, values.add_offset = 0.01, 273.0
        values[:] = 280 + np.arange(480).reshape(6, 8, 10) % 37
    return path


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=SECONDS, preexec_fn=limited)


def damages(data, chance):
    """Cut, flipped, overwritten by large numbers, with a piece moved: one after the other."""
    for number in range(TIMES):
        bad = bytearray(data)
        way = number % 4
        at = int(chance.integers(0, len(bad) - 8))
        if way == 0:
            del bad[at:]
        elif way == 1:
            for place in chance.integers(0, len(bad), int(chance.integers(1, 9))):
                bad[place] ^= 1 << int(chance.integers(0, 8))
        elif way == 2:
            bad[at : at + 8] = chance.choice([b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f"])
        else:
            other = int(chance.integers(0, len(bad) - 8))
            bad[at : at + 32] = bad[other : other + 32]
        yield bytes(bad)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_an_error_or_an_answer(ncproj, tmp_path, kind):
    good = write(tmp_path / "good.nc", kind)
    (tmp_path / "r.geojson").write_text(SQUARES)
    index = tmp_path / "index"
    assert run("index", "--regions", tmp_path / "r.geojson", "--key", "name", "--grid", good, "-o", index).returncode == 0
    whole = run("aggregate", "--index", index, good, "-o", tmp_path / "good.csv")
    assert whole.returncode == 0, whole.stderr
    bad, refused = tmp_path / "bad.nc", 0
    for data in damages(good.read_bytes(), np.random.default_rng(7)):
        bad.write_bytes(data)
        for words in (("info", bad), ("aggregate", "--index", index, bad, "-o", tmp_path / "out.csv")):
            done = run(*words)
            assert done.returncode in (0, 1), (done.returncode, done.stderr)
            assert "panicked" not in done.stderr
            if done.returncode == 1:
                refused += 1
                assert done.stderr.startswith("error: "), done.stderr
    assert refused > TIMES / 4
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_damaged_index_is_refused(ncproj, tmp_path):
    good = write(tmp_path / "good.nc", "netCDF-4, contiguous")
    (tmp_path / "r.geojson").write_text(SQUARES)
    index, bad = tmp_path / "index", tmp_path / "bad"
    run("index", "--regions", tmp_path / "r.geojson", "--key", "name", "--grid", good, "-o", index)
    data = index.read_bytes()
    for damaged in damages(data, np.random.default_rng(8)):
        bad.write_bytes(damaged)
        done = run("aggregate", "--index", bad, good, "-o", tmp_path / "out.csv")
        # the index ends with a digest of all before: only what is not damaged passes
        assert done.returncode == (0 if damaged == data else 1), done.stderr
        assert "panicked" not in done.stderr
