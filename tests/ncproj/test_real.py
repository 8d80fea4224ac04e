"""All real counties on a real climate model's grid, beside exactextract."""

import geopandas
import netCDF4
import numpy as np
import pyarrow.parquet as parquet
import pytest

from .conftest import COUNTY_KEY, expected

pytestmark = [pytest.mark.real, pytest.mark.slow]
CMIP5 = "tas_Amon_CCSM4_rcp85_monthavg_20700101-20991231.nc"


@pytest.fixture(scope="module", params=["the zip, repaired by ncproj", "the rows, repaired by shapely"])
def rows(request, ncproj, counties, real_data, tmp_path_factory):
    """What ncproj makes of the twelve months by county."""
    folder = tmp_path_factory.mktemp("rows")
    regions = (
        ("--regions", real_data / "tl_2010_us_county10.zip", "--key", COUNTY_KEY, "--key-name", "gis_join")
        if request.param.startswith("the zip")
        else ("--regions", counties, "--key", "gis_join")
    )
    done = ncproj("index", *regions, "--grid", real_data / CMIP5, "-o", folder / "index")
    assert done.returncode == 0, done.stderr
    words = ("--index", folder / "index", "--variables", "tas", "--stats", "min,max,mean,valid")
    done = ncproj("aggregate", *words, real_data / CMIP5, "-o", folder / "rows.parquet")
    assert done.returncode == 0, done.stderr
    return parquet.read_table(folder / "rows.parquet").to_pandas()


def test_every_county_and_month_has_a_row(rows):
    assert len(rows) == 3221 * 12
    assert rows["mean_tas"].notna().all()
    assert sorted(rows["month"].unique()) == list(range(1, 13)) or rows["month"].nunique() == 12


def test_all_counties_agree_with_exactextract(rows, counties, real_data):
    """The grid is 0..360; for exactextract it is rolled, with the column of cells at the date line on both sides."""
    with netCDF4.Dataset(real_data / CMIP5) as file:
        latitude, longitude = file["lat"][:].data, file["lon"][:].data
        months = file["month"][:].data
        values = file["tas"][:].filled(np.nan).astype("f8")
    half = int(np.searchsorted(longitude, 180))
    rolled = np.concatenate([longitude[half:] - 360, longitude[: half + 1]])
    boundaries = geopandas.read_parquet(counties)[["gis_join", "geometry"]]
    for place in (0, 6, 11):
        field = np.concatenate([values[place][:, half:], values[place][:, : half + 1]], axis=1)
        wanted = expected(field, latitude, rolled, boundaries).set_index("gis_join")
        ours = rows[rows["month"] == months[place]].set_index("gis_join").loc[wanted.index]
        assert np.abs(ours["mean_tas"] - wanted["mean"]).max() < 1e-4
        assert (ours["min_tas"] == wanted["min"]).all()
        assert (ours["max_tas"] == wanted["max"]).all()
        assert "G0200160" in wanted.index  # Aleutians West, on both sides of the date line
