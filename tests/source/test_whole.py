"""A file is told to be whole by its own format, of each format that raw files have."""

import bz2
import gzip
import json
import lzma
import zipfile

import pytest

from impl.run.errors import EtlError
from impl.source import fetch
from impl.source.whole import not_whole
from tests.source.conftest import says_length, sends_without_length


def make_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in range(20):
            archive.writestr(f"{one}.txt", f"{one}" * 300)


def make_netcdf(form, unlimited=False):
    def make(path):
        import netCDF4
        import numpy

        with netCDF4.Dataset(path, "w", format=form) as opened:
            opened.setncattr("title", "numbers")
            opened.createDimension("time", None if unlimited else 7)
            opened.createDimension("x", 33)
            for name, kind in (("a", "i2"), ("b", "f8"))[: 1 if unlimited == "one" else 2]:
                variable = opened.createVariable(name, kind, ("time", "x"))
                variable.units = "m"
                variable[:] = numpy.arange(7 * 33).reshape(7, 33)

    return make


def make_tiff(**options):
    def make(path):
        import numpy
        from PIL import Image

        pages = [Image.fromarray(numpy.random.default_rng(one).random((90, 100), dtype="float32")) for one in (1, 2)]
        pages[0].save(path, format="TIFF", save_all=True, append_images=pages[1:], **options)

    return make


def make_parquet(path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": list(range(500))}), path)


def make_geopackage(path):
    import geopandas
    import shapely

    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs=4326).to_file(path, driver="GPKG")


MADE = {
    "a.zip": make_zip,
    "v4.nc": make_netcdf("NETCDF4"),
    "v3.nc": make_netcdf("NETCDF3_CLASSIC"),
    "v3-64.nc": make_netcdf("NETCDF3_64BIT_OFFSET"),
    "v3-data.nc": make_netcdf("NETCDF3_64BIT_DATA"),
    "v3-records.nc": make_netcdf("NETCDF3_CLASSIC", unlimited=True),
    "v3-record.nc": make_netcdf("NETCDF3_CLASSIC", unlimited="one"),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(b"year,day\n" * 900, mtime=0)),
    "a.csv.bz2": lambda path: path.write_bytes(bz2.compress(b"year,day\n" * 900)),
    "a.csv.xz": lambda path: path.write_bytes(lzma.compress(b"year,day\n" * 900)),
    "plain.tif": make_tiff(),
    "packed.tif": make_tiff(compression="tiff_adobe_deflate"),
    "big.tif": make_tiff(big_tiff=True),
    "a.parquet": make_parquet,
    "a.gpkg": make_geopackage,
    "a.json": lambda path: path.write_text(json.dumps([["NAME", "P"], ["a", "1"]]) + "\n"),
    "a.geojson": lambda path: path.write_text(json.dumps({"type": "FeatureCollection", "features": [{}, {}]}, indent=1)),
    "a.grb2": lambda path: path.write_bytes(b"GRIB" + bytes(100) + b"7777"),
}


@pytest.mark.parametrize("name", MADE)
def test_a_whole_file_is_whole_and_a_cut_one_is_not(tmp_path, name):
    path = tmp_path / name
    MADE[name](path)
    content = path.read_bytes()
    assert not_whole(path, name, by_name=True) == ""
    for kept in (len(content) - 1, len(content) - 5, len(content) // 2, 40, 12):
        padding = 16 if name.endswith(".tif") else 4 if name.endswith((".nc", "json")) else 0
        if kept >= len(content) - padding and kept != len(content) - 1 - padding:
            continue
        path.write_bytes(content[:kept])
        assert not_whole(path, name, by_name=True), f"{kept} of {len(content)}"


def test_a_file_of_another_format_is_not_what_its_name_says(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>please log in</html>")
    assert not_whole(tmp_path / "a.zip", "a.zip") == ""
    assert not_whole(tmp_path / "a.zip", "a.zip", by_name=True) == "it is no zip file, as its name says"


@pytest.fixture
def zipped_host(host, tmp_path):
    make_zip(tmp_path / "a.zip")
    host.body = (tmp_path / "a.zip").read_bytes()
    return host


def test_less_than_the_file_without_a_length_is_asked_for_again(zipped_host, tmp_path):
    host, body = zipped_host, zipped_host.body

    def cut(handler):
        host.body = body[:-100]
        sends_without_length(handler)
        host.body = body

    host.faults = [cut, sends_without_length]
    target = tmp_path / "raw/county.zip"
    fetch.download(host.url, target, wait=0.01, timeout=5)
    assert target.read_bytes() == body and len(host.asked) == 2
    host.faults = [cut] * 3
    with pytest.raises(EtlError, match="could not be fetched") as caught:
        fetch.download(host.url, tmp_path / "raw/other.zip", wait=0.01, timeout=5, attempts=3)
    assert "no whole file (zip" in caught.value.where
    assert [one.name for one in target.parent.iterdir()] == ["county.zip"]


def test_a_length_that_is_too_short_is_seen_by_the_format(zipped_host, tmp_path):
    zipped_host.faults = [says_length(400)]
    with pytest.raises(EtlError, match="the file is not whole") as caught:
        fetch.download(zipped_host.url, tmp_path / "raw/county.zip", wait=0.01, timeout=5)
    assert zipped_host.url in caught.value.where and list((tmp_path / "raw").iterdir()) == []


def test_what_nobody_tells_is_said(host, tmp_path):
    host.body, host.faults = b"year,day\n", [sends_without_length]
    assert "nobody tells" in fetch.download(host.url, tmp_path / "raw/days.csv", wait=0.01, timeout=5)


def test_a_mirror_folder_with_a_cut_file(zipped_host, tmp_path):
    (tmp_path / "cut.zip").write_bytes(zipped_host.body[:-100])
    with pytest.raises(EtlError, match="the file is not whole"):
        fetch.copy(tmp_path / "cut.zip", tmp_path / "raw/county.zip")
    assert not list((tmp_path / "raw").iterdir())


def test_a_mirror_with_a_password(zipped_host, tmp_path, monkeypatch):
    import base64

    from impl.run import secrets

    word = 'p@ss:w/rd%41 "x"'
    monkeypatch.setattr(secrets, "_known", {"MIRROR_WORD": word})
    seen = []
    zipped_host.faults = [
        lambda handler: (seen.append(handler.headers["Authorization"]), says_length(len(zipped_host.body))(handler))
    ]
    fetch.download(zipped_host.url.replace("//", "//me:${MIRROR_WORD}@"), tmp_path / "raw/county.zip", wait=0.01, timeout=5)
    assert base64.b64decode(seen[0].removeprefix("Basic ")).decode() == f"me:{word}"
