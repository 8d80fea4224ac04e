"""What `export` writes is enough to aggregate with: a few lines of numpy, and exactextract for the real counties."""

import geopandas
import netCDF4
import numpy as np
import pandas
import pyarrow.parquet as parquet
import pytest
import shapely

from .conftest import COUNTY_KEY

LAT, LON = np.linspace(44.5, 30.5, 15), np.linspace(-110.5, -91.5, 20)  # the file runs from the north
WEIGHTS = {"area": "area_weight", "coverage": "coverage"}


def write(path, lat, lon, field):
    with netCDF4.Dataset(path, "w") as file:
        for side, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createDimension(side, len(values))
            axis = file.createVariable(side, "f8", (side,))
            axis.units, axis[:] = units, values
        file.createDimension("time", 1)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time[:] = "days since 2005-01-01", 0
        file.createVariable("v", "f4", ("time", "lat", "lon"), zlib=True)[:] = field[None]
    return path


def export(ncproj, index, target, *flags):
    done = ncproj("export", "--index", index, *flags, "-o", target)
    assert done.returncode == 0, done.stderr
    return target


def matrix(path):
    """Region, cell and weight of each pair, from 0, and the names of the regions."""
    with netCDF4.Dataset(path) as file:
        names = [bytes(row.compressed()).decode() for row in file["region"][:]]
        assert len(file.dimensions["n_b"]) == len(names)
        return file["row"][:].data - 1, file["col"][:].data - 1, file["S"][:].data, names


@pytest.fixture(scope="module")
def folder(ncproj, tmp_path_factory):
    """A field, an index of twelve Voronoi cells and of one region in part outside the grid, and its exports."""
    folder = tmp_path_factory.mktemp("export")
    chance = np.random.default_rng(5)
    field = chance.normal(280, 10, (len(LAT), len(LON))).astype("f4")
    write(folder / "v.nc", LAT, LON, field)
    box = shapely.box(-109.3, 31.2, -93.1, 43.7)
    points = shapely.MultiPoint(chance.uniform([-109.3, 31.2], [-93.1, 43.7], (12, 2)))
    tiles = [shapely.intersection(tile, box) for tile in shapely.get_parts(shapely.voronoi_polygons(points, extend_to=box))]
    names = [f"r{number}" for number in range(12)] + ["half"]
    frame = geopandas.GeoDataFrame({"name": names}, geometry=[*tiles, shapely.box(-92, 40, -88, 41.3)], crs="EPSG:4326")
    frame.to_parquet(folder / "r.parquet")
    words = ("--regions", folder / "r.parquet", "--key", "name", "--grid", folder / "v.nc", "-o", folder / "i")
    assert ncproj("index", *words).returncode == 0
    for form in ("csv", "parquet"):
        export(ncproj, folder / "i", folder / f"pairs.{form}")
    for weights in WEIGHTS:
        export(ncproj, folder / "i", folder / f"{weights}.nc", "--weights", weights)
        words = ("--index", folder / "i", "--weights", weights, "--stats", "mean", folder / "v.nc")
        assert ncproj("aggregate", *words, "-o", folder / f"{weights}.csv").returncode == 0
    return folder


def values(folder):
    with netCDF4.Dataset(folder / "v.nc") as file:
        return file["v"][0].data.astype("f8")


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_matrix_for_xesmf_gives_the_means(folder, weights):
    region, cell, weight, names = matrix(folder / f"{weights}.nc")
    assert np.abs(np.bincount(region, weight) - 1).max() < 1e-12
    means = np.bincount(region, weight * values(folder).ravel()[cell])
    wanted = pandas.read_csv(folder / f"{weights}.csv")
    assert list(wanted["name"]) == names
    assert np.abs(means - wanted["mean_v"]).max() < 1e-6


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_of_pairs_give_the_means(folder, form, weights):
    pairs = read(folder / f"pairs.{form}")
    pairs["weight"] = pairs[WEIGHTS[weights]]
    pairs["part"] = pairs["weight"] * values(folder)[pairs["row"], pairs["column"]]
    sums = pairs.groupby("name", sort=False)[["part", "weight"]].sum()
    wanted = pandas.read_csv(folder / f"{weights}.csv").set_index("name")["mean_v"]
    assert list(sums.index) == list(wanted.index)
    assert np.abs(sums["part"] / sums["weight"] - wanted).max() < 1e-6


def read(path):
    return pandas.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path).to_pandas()


def test_all_exports_hold_the_same_pairs(folder):
    pairs = read(folder / "pairs.csv")
    pandas.testing.assert_frame_equal(pairs, read(folder / "pairs.parquet"), check_exact=True, check_dtype=False)
    assert np.abs(pairs["latitude"] - LAT[pairs["row"]]).max() < 1e-9
    assert np.abs((pairs["longitude"] - LON[pairs["column"]] + 180) % 360 - 180).max() < 1e-9
    for weights, column in WEIGHTS.items():
        region, cell, weight, names = matrix(folder / f"{weights}.nc")
        assert list(pairs["name"]) == [names[number] for number in region]
        assert list(pairs["row"] * len(LON) + pairs["column"]) == list(cell)
        share = pairs[column] / pairs.groupby("name")[column].transform("sum")
        assert np.abs(weight - share).max() < 1e-15


def test_area_weights_are_steradians(folder):
    """By hand: a cell of 1 degree is 1 degree in radians wide, and sin(top) - sin(bottom) high."""
    pairs = read(folder / "pairs.parquet")
    height = np.sin(np.radians(pairs["latitude"] + 0.5)) - np.sin(np.radians(pairs["latitude"] - 0.5))
    assert np.abs(pairs["area_weight"] / (pairs["coverage"] * np.radians(1) * height) - 1).max() < 1e-9


@pytest.mark.real
@pytest.mark.slow
def test_the_pairs_of_all_counties_are_those_of_exactextract(ncproj, counties, real_data, tmp_path):
    """The counties on MACAv2's grid, read from the zip and repaired by ncproj; for exactextract repaired by shapely.

    exactextract keeps coverage as float32, whose steps below 1 are 6e-8, and drops what comes out as 0; ncproj keeps what is above
    1e-10. So coverage is compared to 1e-6, and a pair that one of them alone has must have less than that. (With exactextract
    0.3.0 there is none: 583,139 pairs in both, the least of 2.3e-8, the largest difference 5.7e-8.)
    """
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    lat, lon = np.linspace(25.0631, 49.3960, 585), np.linspace(235.2278, 292.9351, 1386)
    day = write(tmp_path / "day.nc", lat, lon, np.zeros((585, 1386), "f4"))
    regions = ("--regions", real_data / "tl_2010_us_county10.zip", "--key", COUNTY_KEY, "--key-name", "gis_join")
    done = ncproj("index", *regions, "--grid", day, "-o", tmp_path / "index")
    assert done.returncode == 0, done.stderr
    pairs = parquet.read_table(export(ncproj, tmp_path / "index", tmp_path / "pairs.parquet")).to_pandas()
    pairs["cell"] = pairs["row"] * 1386 + pairs["column"]

    boundaries = geopandas.read_parquet(counties)[["gis_join", "geometry"]]
    boundaries["geometry"] = boundaries.geometry.translate(xoff=360)
    dy, dx = (lat[-1] - lat[0]) / 584, (lon[-1] - lon[0]) / 1385
    box = {"xmin": lon[0] - dx / 2, "xmax": lon[-1] + dx / 2, "ymin": lat[0] - dy / 2, "ymax": lat[-1] + dy / 2}
    source = NumPyRasterSource(np.zeros((585, 1386)), **box)
    found = exact_extract(source, boundaries, ["cell_id", "coverage"], include_cols=["gis_join"], output="pandas")
    found = found.explode(["cell_id", "coverage"]).dropna()
    down, across = np.divmod(found["cell_id"].to_numpy("i8"), 1386)
    found["cell"] = (584 - down) * 1386 + across  # it counts rows from the north
    both = pairs.merge(found, on=["gis_join", "cell"], how="outer", suffixes=("", "_there"))
    coverage, there = both["coverage"].astype("f8"), both["coverage_there"].astype("f8")
    alone = coverage.isna() | there.isna()
    assert len(pairs) > 500_000
    assert coverage.fillna(there)[alone].max() < 1e-6 or not alone.any()
    assert alone.sum() < 10
    assert np.abs(coverage - there)[~alone].max() < 1e-6
