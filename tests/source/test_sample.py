"""The sample has the shape of the real data, the awkward parts too, and says that it is invented."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import geopandas
import numpy
import pytest
import shapely
import xarray

from impl.run.errors import EtlError
from impl.source import sample, shapefile
from tests.source.conftest import COUNTY_FIELDS, STATE_FIELDS, STORY

ROOT = Path(__file__).resolve().parents[2]
CELL = 1 / 24  # degrees


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def raw(sample_folder):
    """The counties as they lie in the zip, by name."""
    return geopandas.read_file(sample_folder / "tl_2010_us_county10.zip").set_index("NAME10")


@pytest.fixture(scope="module")
def counties(sample_folder):
    return shapefile.read(sample_folder / "tl_2010_us_county10.zip", COUNTY_FIELDS, "gis_join").set_index("name")


@pytest.fixture(scope="module")
def states(sample_folder):
    return shapefile.read(sample_folder / "tl_2010_us_state10.zip", STATE_FIELDS, "gis_join")


@pytest.fixture(scope="module")
def warmest(sample_folder):
    return xarray.open_dataset(sample_folder / "tasmax.nc").load()


def test_the_zips_say_that_they_are_invented(sample_folder):
    for level in ("county", "state"):
        with zipfile.ZipFile(sample_folder / f"tl_2010_us_{level}10.zip") as opened:
            assert opened.comment.startswith(b"SYNTHETIC")
            assert opened.read("SYNTHETIC.txt").startswith(b"SYNTHETIC")
            assert {Path(name).suffix for name in opened.namelist()} == {".txt", ".cpg", ".dbf", ".prj", ".shp", ".shx"}


def test_there_are_as_many_boundaries_as_promised(counties, states):
    assert {"county": len(counties), "state": len(states)} == sample.COUNTS


def test_the_fields_are_those_of_the_census(raw):
    assert raw.crs.to_epsg() == 4269
    county = raw.loc["Piñon Vista"]
    assert county.GEOID10 == county.STATEFP10 + county.COUNTYFP10
    assert county.NAMELSAD10 == "Piñon Vista County"
    assert set(raw.STATEFP10) == {"03", "07", "14", "43", "52"}  # codes that no real state has
    assert raw.ALAND10.sum() / 1e6 == pytest.approx(153_778, rel=1e-3)


def test_some_rings_touch_themselves_and_repair_keeps_the_area(raw, sample_folder, tmp_path):
    assert (~raw.geometry.is_valid).sum() == 9
    note = shapefile.to_rows(sample_folder / "tl_2010_us_county10.zip", tmp_path / "county.parquet", COUNTY_FIELDS, "gis_join")
    assert note == "342 rows, 9 repaired (area changed by 0.000 %)"


def test_counties_leave_no_gaps_and_do_not_overlap(counties):
    union = shapely.union_all(counties.geometry.array)
    assert union.area == pytest.approx(shapely.area(counties.geometry.array).sum(), rel=1e-12)
    assert len(union.geoms) == 5  # the mainland and four islands
    assert sum(len(part.interiors) for part in union.geoms) == 0  # the cities fill their holes


def test_states_are_the_union_of_their_counties(counties, states):
    for state in states.itertuples():
        own = counties[counties.gis_join.str.startswith(state.gis_join)].geometry.array
        assert shapely.union_all(own).symmetric_difference(state.geometry).area < 1e-9


def test_neighbours_share_their_very_vertices(raw):
    ends = shapely.get_coordinates(raw.geometry.array)
    _, counts = numpy.unique(ends, axis=0, return_counts=True)
    shared = float((counts >= 2).mean())
    # by hand: 76 of the 758 lines of the lattice, a tenth, have nobody on their other side
    assert shared == pytest.approx(0.9, abs=0.02)


def test_a_city_fills_the_hole_of_its_county(counties):
    county, city = counties.geometry["Piñon Vista"], counties.geometry["Sampleton"]
    assert shapely.Polygon(county.geoms[0].interiors[0]).equals(city.geoms[0])
    assert city.area > 4 * CELL**2


def test_a_city_is_smaller_than_a_cell(counties):
    assert 0 < counties.geometry["Little Sample"].area < CELL**2


def test_a_county_has_several_islands(counties):
    assert len(counties.geometry["Sample Islands"].geoms) == 4


def test_boundaries_are_the_same_bytes_every_time(sample_folder, tmp_path):
    for level in ("county", "state"):
        sample.boundaries(tmp_path / "again.zip", level)
        assert digest(tmp_path / "again.zip") == digest(sample_folder / f"tl_2010_us_{level}10.zip")


def test_boundaries_are_these_bytes_on_every_machine(sample_folder):
    # no library takes part in making them; change these when you mean to change the sample
    assert (
        digest(sample_folder / "tl_2010_us_county10.zip") == "ed4e6daf6ab1e31c14532611bf2d0b261e47b1de74f1ee87b8dff9dff395ba1a"
    )
    assert (
        digest(sample_folder / "tl_2010_us_state10.zip") == "4ccf6789050a86a871ec6a73fecfc241b5a62f70c708498c3fd30c191183de7f"
    )


def test_weather_is_the_same_made_alone_in_another_process(sample_folder, tmp_path):
    code = f"from impl.source import sample; sample.macav2({str(tmp_path / 'a.nc')!r}, variable='tasmin', **{STORY!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert digest(tmp_path / "a.nc") == digest(sample_folder / "tasmin.nc")


def test_a_year_is_the_same_in_a_file_of_one_and_of_several(tmp_path, warmest):
    sample.macav2(tmp_path / "several.nc", variable="tasmax", **{**STORY, "years": [2003, 2004]})
    several = xarray.open_dataset(tmp_path / "several.nc").air_temperature
    assert several.sizes["time"] == 365 + 366
    xarray.testing.assert_equal(several.sel(time="2004"), warmest.air_temperature)


def test_the_grid_is_a_window_of_the_real_one(warmest):
    # by hand: row 288 of 0..584 lies at 25.063078 + 288 x 24.332945 / 584, column 600 of 0..1385 at 235.227844 + 600 x 57.707825 / 1385
    assert float(warmest.lat[0]) == pytest.approx(37.062886, abs=1e-6)
    assert float(warmest.lon[0]) == pytest.approx(260.227624, abs=1e-6)
    assert warmest.air_temperature.dims == ("time", "lat", "lon")
    assert warmest.air_temperature.dtype == numpy.float32
    assert (warmest.time[0].dt.strftime("%Y-%m-%d").item(), warmest.sizes["time"]) == ("2004-01-01", 366)


def test_the_file_looks_like_the_real_one_and_says_that_it_is_invented(warmest):
    found, raw_attributes = warmest.air_temperature, warmest.air_temperature.encoding
    assert (found.standard_name, found.units, found.cell_methods) == (
        "air_temperature",
        "K",
        "time: maximum(interval: 24 hours)",
    )
    assert raw_attributes["_FillValue"] == -9999
    assert warmest.time.encoding["units"] == "days since 1900-01-01 00:00:00"
    assert warmest.crs.grid_mapping_name == "latitude_longitude"
    assert warmest.title.startswith("SYNTHETIC")
    assert warmest.synthetic == "true"


def test_the_window_has_a_margin_around_the_counties(counties, warmest):
    west, south, east, north = counties.geometry.total_bounds
    assert float(warmest.lon[0]) - 360 < west - 2 * CELL
    assert float(warmest.lon[-1]) - 360 > east + 2 * CELL
    assert float(warmest.lat[0]) < south - 2 * CELL
    assert float(warmest.lat[-1]) > north + 2 * CELL


def test_there_are_values_on_land_and_none_in_the_sea(counties, warmest):
    x, y = numpy.meshgrid(warmest.lon - 360, warmest.lat)
    land = shapely.contains_xy(shapely.union_all(counties.geometry.array), x, y)
    missing = warmest.air_temperature.isnull()
    assert not missing.values[:, land].any()
    assert bool(missing.isel(lon=-1).all())  # the sea is in the east
    assert bool((missing == missing[0]).all())  # and stays where it is
    assert 0.15 < float(missing[0].mean()) < 0.45


def test_the_day_is_warmer_than_the_night_and_summer_than_winter(sample_folder, warmest):
    coldest = xarray.open_dataset(sample_folder / "tasmin.nc").air_temperature
    days = warmest.air_temperature
    assert float((days - coldest).min()) > 0
    by_month = days.groupby("time.month").mean(...)
    assert int(by_month.idxmax("month")) in (7, 8)
    assert int(by_month.idxmin("month")) in (1, 2)
    assert 245 < float(coldest.min()) < float(days.max()) < 320


def test_it_does_not_rain_on_most_days(sample_folder):
    rain = xarray.open_dataset(sample_folder / "pr.nc").precipitation
    assert float(rain.min()) == 0
    assert 0.1 < float((rain > 0).sum() / rain.notnull().sum()) < 0.5


@pytest.mark.parametrize("variable", ["rhsmax", "rhsmin", "rsds", "huss", "uas", "vas", "vpd"])
def test_the_other_variables_stay_within_nature(tmp_path, variable):
    sample.macav2(tmp_path / "a.nc", variable=variable, **{**STORY, "first_year": 2004, "years": [2004]})
    lowest, highest = {
        "rhsmax": (20, 100), "rhsmin": (0, 100), "rsds": (0, 400), "huss": (0.0001, 0.03), "uas": (-30, 30), "vas": (-30, 30), "vpd": (0, 8),
    }[variable]  # fmt: skip
    values = xarray.open_dataset(tmp_path / "a.nc")[sample.VARIABLES[variable][0]]
    assert lowest <= float(values.min()) < float(values.max()) <= highest


def test_models_differ(tmp_path, warmest):
    sample.macav2(tmp_path / "a.nc", variable="tasmax", **{**STORY, "model": "CCSM4"})
    other = xarray.open_dataset(tmp_path / "a.nc").air_temperature
    assert float(abs(other - warmest.air_temperature).mean()) > 0.5


def test_a_daily_grid_of_your_own_lies_between_its_bounds(tmp_path):
    note = sample.daily_grid(tmp_path / "a.nc", variable="soil_moisture", units="%", years=[2004], low=5.0, high=40.0)
    assert note == "366 made-up days of soil_moisture"
    opened = xarray.open_dataset(tmp_path / "a.nc")
    assert opened.synthetic == "true"
    assert opened.soil_moisture.units == "%"
    assert 5.0 <= float(opened.soil_moisture.min()) < float(opened.soil_moisture.max()) <= 40.0


def test_a_wrong_name_lists_the_right_ones(tmp_path):
    with pytest.raises(EtlError, match="did you mean `tasmax`"):
        sample.macav2(tmp_path / "a.nc", variable="tasmx", **STORY)
    with pytest.raises(EtlError, match="did you mean `county`"):
        sample.boundaries(tmp_path / "a.zip", "counties")
    with pytest.raises(EtlError, match="the year 1999 is not in the span of the file"):
        sample.macav2(tmp_path / "a.nc", variable="tasmax", **{**STORY, "years": [1999]})
    assert list(tmp_path.iterdir()) == []


def test_importing_the_sources_loads_nothing_heavy():
    code = (
        "import sys; from impl.source import fetch, grid, sample, shapefile;"
        "print({'numpy', 'pandas', 'geopandas', 'shapely', 'netCDF4', 'xarray', 'requests', 'pyproj', 'tenacity'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
