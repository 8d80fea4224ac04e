"""Latitude and longitude of two dimensions: cells are quadrilaterals of their corners.

Right is what shapely says of these quadrilaterals in the plane of longitude and latitude, and what can be had on paper.
"""

import csv
import json

import netCDF4
import numpy as np
import pytest
import shapely
from shapely.geometry import Polygon, mapping

from tests.ncproj.odd import ALL, box

RADIAN = np.pi / 180


def mesh(lat, lon):
    """Two-dimensional latitude and longitude of a plain grid."""
    return np.meshgrid(lat, lon, indexing="ij")


def square_bounds(lat, lon, half=0.5):
    """The corners of squares about the centres, counter-clockwise from the south-west."""
    south_west = [(-half, -half), (-half, half), (half, half), (half, -half)]
    return tuple(np.stack([side + step[k] for step in south_west], axis=-1) for k, side in enumerate((lat, lon)))


def sea(desk, lat, lon, bounds=None, *, values=None, name="t.nc", kind="f8", dims=("y", "x"), attrs=None, data_dims=None,
        lat_attrs=None, lon_attrs=None, names=("lat", "lon"), fill=None, more=None):
    """A file with `v` and two-dimensional `lat`, `lon`; `bounds` are arrays of one dimension more."""
    path = desk.folder / name
    path.unlink(missing_ok=True)
    lat, lon = np.ma.asarray(lat, float), np.ma.asarray(lon, float)
    with netCDF4.Dataset(path, "w") as file:
        for dim, length in zip(dims, lat.shape):
            file.createDimension(dim, length)
        if bounds is not None:
            file.createDimension("vertices", bounds[0].shape[-1])
        for k, (side, centres, units, odd) in enumerate(
            ((names[0], lat, "degrees_north", lat_attrs), (names[1], lon, "degrees_east", lon_attrs))
        ):
            axis = file.createVariable(side, kind, dims, fill_value=1e20)
            axis.setncatts({key: v for key, v in {"units": units, **(odd or {})}.items() if v is not None})
            axis[:] = np.ma.masked_invalid(centres)
            if bounds is not None:
                axis.bounds = side + "_bnds"
                file.createVariable(side + "_bnds", kind, (*dims, "vertices"), fill_value=1e20)[:] = np.ma.masked_invalid(bounds[k])
        order = data_dims or dims
        field = file.createVariable("v", "f8", order, fill_value=fill)
        field.setncatts({"coordinates": " ".join(names), **(attrs or {})})
        values = np.arange(lat.size, dtype=float).reshape(lat.shape) if values is None else np.broadcast_to(values, lat.shape)
        field[:] = values if tuple(order[-2:]) == tuple(dims) else values.T
        if more:
            more(file)
    return path


def shares(desk, regions=None, grid="t.nc", *words):
    """{(row, column): share} of the one region, or {key: {...}} where there are several; the error's text where it is refused."""
    done = desk.index(regions, grid, *words)
    if done.returncode:
        return desk.refusal(done)
    desk.said = done.stderr
    done = desk.program("export", "--index", desk.folder / "t.index", "-o", desk.folder / "pairs.csv")
    assert done.returncode == 0, done.stderr
    out = {}
    with (desk.folder / "pairs.csv").open() as file:
        for row in csv.DictReader(file):
            out.setdefault(row["id"], {})[int(row["row"]), int(row["column"])] = (float(row["coverage"]), float(row["area_weight"]))
    desk.weights = {key: {cell: pair[1] for cell, pair in pairs.items()} for key, pairs in out.items()}
    plain = {key: {cell: pair[0] for cell, pair in pairs.items()} for key, pairs in out.items()}
    return next(iter(plain.values())) if list(plain) == ["a"] else plain


def many(desk, polygons, name="many.geojson"):
    """Regions of several shapely polygons, with their places as keys."""
    features = [{"type": "Feature", "properties": {"id": f"r{k}"}, "geometry": mapping(p)} for k, p in enumerate(polygons)]
    path = desk.folder / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def by_shapely(corners_lat, corners_lon, region, turns=(0,)):
    """{(row, column): share} of a polygon, in the plane of longitude and latitude."""
    out = {}
    for row, column in np.ndindex(corners_lat.shape[:2]):
        cell = Polygon(np.column_stack([corners_lon[row, column], corners_lat[row, column]]))
        part = sum(cell.intersection(shapely.affinity.translate(region, 360 * turn)).area for turn in turns) / cell.area
        if part > 1e-10:
            out[row, column] = part
    return out


def same(got, wanted, slack=1e-9):
    assert isinstance(got, dict), got
    assert got.keys() == wanted.keys(), (got.keys() ^ wanted.keys())
    worst = max((abs(got[cell] - wanted[cell]) for cell in wanted), default=0)
    assert worst <= slack, worst


LAT, LON = mesh(np.arange(0.5, 4), np.arange(10.5, 14))  # the cells of `desk.grid`


def test_a_copy_of_a_plain_grid_has_its_shares(desk):
    region = desk.regions([[10.3, 0.2], [13.7, 0.4], [12.9, 3.9], [10.1, 2.2], [10.3, 0.2]])
    desk.grid(1)
    plain = shares(desk, region)
    weights = desk.weights["a"]
    for bounds in (None, square_bounds(LAT, LON)):
        sea(desk, LAT, LON, bounds)
        same(shares(desk, region), plain, 1e-12)
        same(desk.weights["a"], weights, 1e-12 * max(weights.values()))


@pytest.mark.parametrize("lon", [np.arange(0.5, 360), np.arange(-179.5, 180), np.arange(30.5, 390)])
def test_a_copy_of_the_globe_has_its_shares_to_the_poles_and_over_the_date_line(desk, lon):
    lat = np.arange(-89.5, 90)
    rings = [box(-180, -90, 180, -83.3), box(170.2, 10, 190.7, 12), [[-10, 80], [30, 85], [10, 90], [-20, 90], [-10, 80]]]
    region = desk.regions(*[[ring] for ring in rings], kind="MultiPolygon")
    desk.grid(1, lat=lat, lon=lon)
    plain, weights = shares(desk, region), desk.weights["a"]
    two = mesh(lat, lon)
    for bounds in (None, square_bounds(*two)):
        sea(desk, *two, bounds)
        same(shares(desk, region), plain, 1e-12)
        same(desk.weights["a"], weights, 1e-15)


def test_a_diamond_has_quarters(desk):
    """One cell with corners in the four directions; the square east of the middle and north of it holds a quarter."""
    lat, lon = np.array([[2.0]]), np.array([[12.0]])
    bounds = np.array([[[0.0, 2, 4, 2]]]), np.array([[[12.0, 14, 12, 10]]])
    sea(desk, lat, lon, bounds)
    assert shares(desk, desk.regions(box(12, 2, 14, 4))) == {(0, 0): 0.25}
    assert shares(desk, desk.regions(box(10, 0, 14, 4))) == {(0, 0): 1}


def turned(n, degrees, centre=(0.0, 20.0), step=1.0):
    """Centres of n x n squares, turned about the middle."""
    k = (np.arange(n) - (n - 1) / 2) * step
    y, x = np.meshgrid(k, k, indexing="ij")
    c, s = np.cos(degrees * RADIAN), np.sin(degrees * RADIAN)
    return centre[0] + s * x + c * y, centre[1] + c * x - s * y


def test_squares_turned_by_45_degrees_without_bounds(desk):
    """4 x 4 squares of side 1 about 20 E, 0 N: what lies north and east of the middle is a quarter of the whole."""
    lat, lon = turned(4, 45)
    sea(desk, lat, lon)
    got = shares(desk, desk.regions(box(20, 0, 40, 20)))
    assert sum(got.values()) == pytest.approx(4, abs=1e-12)
    assert got[3, 3] == pytest.approx(0.5, abs=1e-12) or got[0, 3] == pytest.approx(0.5, abs=1e-12)


def test_the_mean_is_by_area_on_the_sphere(desk):
    """Cells of one degree at 0.5 and 60.5 north: weights sin(1) - sin(0) and sin(61) - sin(60)."""
    lat, lon = mesh([0.5, 60.5], [10.5, 11.5])
    sea(desk, lat, lon, square_bounds(lat, lon), values=[[1, 1], [4, 4]])
    weights = np.diff(np.sin(np.radians([0, 1, 60, 61])))[::2]
    ring = [[box(10, 0, 12, 1)], [box(10, 60, 12, 61)]]
    region = desk.regions(*ring, kind="MultiPolygon")
    assert desk.value("mean", region) == pytest.approx((weights * [1, 4]).sum() / weights.sum(), rel=1e-12)
    assert desk.value("mean", region, words=("--weights", "coverage")) == 2.5
    assert desk.value("valid", region) == 1


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize("first", range(4))
def test_corners_may_begin_anywhere_and_turn_either_way(desk, clockwise, first):
    lat, lon = turned(3, 30)
    half = 0.5 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    c, s = np.cos(30 * RADIAN), np.sin(30 * RADIAN)
    bounds = [np.stack([lat + s * x + c * y for y, x in half], -1), np.stack([lon + c * x - s * y for y, x in half], -1)]
    bounds = [np.roll(side[..., ::-1] if clockwise else side, first, axis=-1) for side in bounds]
    sea(desk, lat, lon, bounds)
    region = [[19, -1], [21.3, -0.7], [20.2, 1.4], [19, -1]]
    same(shares(desk, desk.regions(region)), by_shapely(*bounds, Polygon(region)))


def test_random_quadrilaterals_are_as_shapely_says(desk):
    """200 grids: corners moved at random, by bounds; regions at random, with more and fewer corners than cells."""
    random = np.random.default_rng(14)
    for case in range(200):
        rows, columns = random.integers(1, 7, 2)
        step = random.choice([0.05, 0.5, 3.0])
        south, west = random.uniform(-70, 55), random.uniform(-200, 300)
        y, x = np.meshgrid(np.arange(rows + 1), np.arange(columns + 1), indexing="ij")
        angle = random.uniform(0, 360) * RADIAN
        y, x = y + random.uniform(-0.22, 0.22, y.shape), x + random.uniform(-0.22, 0.22, x.shape)
        lat, lon = south + step * (y * np.cos(angle) + x * np.sin(angle)), west + step * (x * np.cos(angle) - y * np.sin(angle))
        lat = np.clip(lat, -79, 79)
        ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
        corners = [np.stack([side[a : a + rows, b : b + columns] for a, b in ring], -1) for side in (lat, lon)]
        sea(desk, corners[0].mean(-1), corners[1].mean(-1), corners)
        middle, size = (lon.mean(), lat.mean()), step * random.uniform(0.02, 1.2) * max(rows, columns)
        turns = np.sort(random.uniform(0, 2 * np.pi, random.integers(3, 60)))
        far = size * random.uniform(0.3, 1, turns.size)
        region = Polygon(np.column_stack([middle[0] + far * np.cos(turns), middle[1] + far * np.sin(turns)])).buffer(0)
        wanted = by_shapely(*corners, region)
        got = shares(desk, many(desk, [region]))
        if not wanted:
            assert isinstance(got, str)
            continue
        same(got["r0"], wanted)


def test_corners_of_neighbours_need_not_agree(desk):
    """Cells of 0.9 degrees about centres one degree apart: the rest lies outside."""
    sea(desk, LAT, LON, square_bounds(LAT, LON, 0.45))
    got = shares(desk)
    assert set(got.values()) == {1.0} and len(got) == 16
    assert desk.value("valid") == pytest.approx(0.81, abs=1e-12)


def test_a_cell_on_the_date_line(desk):
    """Centres 179.5 and -179.5, corners written 179, 180 and -180, -179: squares of one degree."""
    lat, lon = mesh([0.5, 1.5], [178.5, 179.5, -179.5, -178.5])
    _, corners = square_bounds(lat, lon)
    bounds = square_bounds(lat, lon)[0], corners
    for region in (box(179.5, 0.5, 180.5, 1), box(-180.5, 0.5, -179.5, 1)):
        for given in (bounds, None):
            sea(desk, lat, lon, given)
            same(shares(desk, desk.regions(region)), {(0, 1): 0.25, (0, 2): 0.25}, 1e-12)


def test_a_cell_that_straddles_the_date_line(desk):
    """Centre 180, corners at 179.5 and -179.5."""
    lat, lon = mesh([0.5, 1.5], [179.0, 180.0, -179.0])
    lats, lons = square_bounds(lat, lon)
    lons = np.where(lons > 180, lons - 360, lons)
    sea(desk, lat, lon, (lats, lons))
    same(shares(desk, desk.regions(box(179.5, 0, 180, 1))), {(0, 1): 0.5}, 1e-12)
    same(shares(desk, desk.regions(box(-180, 0, -179.5, 1))), {(0, 1): 0.5}, 1e-12)
    both = desk.regions([box(179.25, 0, 180, 1)], [box(-180, 0, -179.25, 1)], kind="MultiPolygon")
    same(shares(desk, both), {(0, 0): 0.25, (0, 1): 1, (0, 2): 0.25}, 1e-12)
