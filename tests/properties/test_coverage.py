"""ncproj beside a slow and simple reference: shapely cuts every cell with every polygon, numpy does the rest.

Small random grids and polygons: holes, parts, slivers, corners that lie on the corners and edges of cells, all of the
globe, the poles, both conventions of longitude. The reference shares no code and no idea with the program.
"""

import json
import struct
import tempfile
from pathlib import Path

import geopandas
import netCDF4
import numpy as np
import pyarrow.parquet as parquet
import pytest
import shapely
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow
MANY = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALLEST = 1e-9  # a share below this is rounding, here and there


class Grid:
    """Edges of cells in degrees; both axes ascending here, whatever the file says."""

    def __init__(self, west, south, step, columns, rows, descending):
        self.lon = west + step * np.arange(columns + 1)
        self.lat = np.clip(south + step * np.arange(rows + 1), -90, 90)
        self.descending = descending

    @property
    def shape(self):
        return len(self.lat) - 1, len(self.lon) - 1

    def cells(self):
        west, south = np.meshgrid(self.lon[:-1], self.lat[:-1])
        east, north = np.meshgrid(self.lon[1:], self.lat[1:])
        return shapely.box(west, south, east, north)

    def area(self):
        """Of each row's cells on the sphere, up to a factor."""
        return np.diff(np.sin(np.radians(self.lat)))[:, None] * np.ones(self.shape)

    def write(self, path, values):
        """values: (step, lat, lon), latitude ascending; NaN is missing."""
        order = slice(None, None, -1) if self.descending else slice(None)
        with netCDF4.Dataset(path, "w") as file:
            for name, edges, units in (("lat", self.lat[order], "degrees_north"), ("lon", self.lon, "degrees_east")):
                file.createDimension(name, len(edges) - 1)
                file.createDimension("two", 2) if "two" not in file.dimensions else None
                axis = file.createVariable(name, "f8", (name,))
                axis.units, axis.bounds = units, f"{name}_bnds"
                axis[:] = (edges[:-1] + edges[1:]) / 2
                file.createVariable(f"{name}_bnds", "f8", (name, "two"))[:] = np.stack([edges[:-1], edges[1:]], axis=1)
            file.createDimension("time", len(values))
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2005-01-01"
            time[:] = np.arange(len(values))
            field = file.createVariable("v", "f8", ("time", "lat", "lon"), fill_value=-9999.0, zlib=True)
            field[:] = np.where(np.isnan(values), -9999.0, values)[:, order]


@st.composite
def grids(draw):
    step = draw(st.sampled_from([0.25, 1.0, 3.0]))
    columns, rows = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    west = draw(st.sampled_from([-180.0, -100.0, -0.5, 0.0, 179.0 - step * columns, 235.0]))
    south = draw(st.sampled_from([-90.0, -20.0, 0.0, 37.5, 90.0 - step * rows]))
    return Grid(west, south, step, columns, rows, draw(st.booleans()))


@st.composite
def polygons(draw, grid):
    """A valid polygon near the grid. Half of the corners lie on the lattice of the cells or of their halves."""
    width, height = grid.lon[-1] - grid.lon[0], grid.lat[-1] - grid.lat[0]
    step = grid.lon[1] - grid.lon[0]

    def corner():
        x = grid.lon[0] + draw(st.floats(-0.2, 1.2)) * width
        y = grid.lat[0] + draw(st.floats(-0.2, 1.2)) * height
        if draw(st.booleans()):
            x = grid.lon[0] + round((x - grid.lon[0]) / step * 2) * step / 2
            y = grid.lat[0] + round((y - grid.lat[0]) / step * 2) * step / 2
        x, y = np.clip(x, grid.lon[0] - 1, grid.lon[-1] + 1), np.clip(y, -90, 90)
        return round(float(x), 9), round(float(y), 9)  # with numbers like 5e-324 GEOS cuts wrong areas

    def part():
        kind = draw(st.sampled_from(["hull", "box", "sliver", "tiny", "hole"]))
        a, b = corner(), corner()
        if kind == "box":
            return shapely.box(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        if kind == "sliver":
            return shapely.LineString([a, b]).buffer(step * 1e-3, cap_style="flat")
        if kind == "tiny":
            return shapely.Point(a).buffer(step * 0.01, quad_segs=2)
        hull = shapely.MultiPoint([a, b, *(corner() for _ in range(4))]).convex_hull
        if kind == "hole" and isinstance(hull, shapely.Polygon):
            return hull.difference(shapely.affinity.scale(hull, 0.5, 0.5))
        return hull

    shape = shapely.union_all([part() for _ in range(draw(st.integers(1, 3)))])
    shape = shapely.intersection(shape, shapely.box(-720, -90, 720, 90))
    parts = [one for one in shapely.get_parts(shape) if isinstance(one, shapely.Polygon) and one.area > 1e-7]
    return shapely.MultiPolygon(parts)


@st.composite
def cases(draw):
    grid = draw(grids())
    shapes = [shape for shape in (draw(polygons(grid)) for _ in range(draw(st.integers(1, 6)))) if not shape.is_empty]
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng(seed)
    values = chance.normal(280, 10, (3, *grid.shape))
    values[chance.random(values.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    return grid, shapes, values


def run(ncproj, folder, grid, shapes, values, *flags):
    """Rows of ncproj by (step, region), or None where it says that no region touches the grid."""
    grid.write(folder / "v.nc", values)
    turn = 360.0 if grid.lon[0] < -90 else -360.0 if grid.lon[-1] > 270 else 0.0  # the polygons' own convention
    frame = geopandas.GeoDataFrame({"name": [f"r{n}" for n in range(len(shapes))]}, geometry=shapes, crs="EPSG:4326")
    if turn and all(-360 <= x <= 360 for shape in shapes for x in (shape.bounds[0] + turn, shape.bounds[2] + turn)):
        frame["geometry"] = frame.geometry.translate(xoff=turn)
    frame.to_parquet(folder / "r.parquet")
    done = ncproj("index", "--regions", folder / "r.parquet", "--key", "name", "--grid", folder / "v.nc", "-o", folder / "i")
    if done.returncode == 1 and "no region touches the grid" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    done = ncproj("aggregate", "--index", folder / "i", *flags, folder / "v.nc", "-o", folder / "o.parquet")
    assert done.returncode == 0, done.stderr
    return parquet.read_table(folder / "o.parquet").to_pandas().set_index(["time", "name"])


def reference(grid, shapes, values, weights):
    """For each step and region: min, max, mean, valid; as the README of ncproj defines them."""
    cells = grid.cells()
    whole = shapely.area(cells)
    for step in range(len(values)):
        for number, shape in enumerate(shapes):
            covered = np.zeros(grid.shape)
            for turn in (-360.0, 0.0, 360.0):  # a polygon beyond the seam lies also a turn away
                moved = shapely.affinity.translate(shape, turn)
                covered += shapely.area(shapely.intersection(cells, moved)) / whole
            by_a_hair = ((covered > 0) & (covered < 1e-6)).any()  # which side of rounding is nobody's truth
            covered[covered < SMALLEST] = 0
            weight = covered * (grid.area() if weights == "area" else 1.0)
            there = (covered > 0) & ~np.isnan(values[step])
            inside = (covered * whole).sum() / shape.area
            if there.any():
                v, w = values[step][there], weight[there]
                yield step, number, v.min(), v.max(), (v * w).sum() / w.sum(), w.sum() / weight.sum() * inside, by_a_hair
            else:
                yield step, number, None, None, None, 0.0, by_a_hair


@MANY
@given(case=cases(), weights=st.sampled_from(["area", "coverage"]))
def test_every_number_is_that_of_the_slow_way(ncproj, case, weights):
    grid, shapes, values = case
    if not shapes:
        return
    note(f"lon {grid.lon} lat {grid.lat}\n" + "\n".join(shape.wkt for shape in shapes))
    with tempfile.TemporaryDirectory() as temporary:
        rows = run(ncproj, Path(temporary), grid, shapes, values, "--weights", weights)
    steps = [] if rows is None else sorted(rows.index.get_level_values("time").unique())
    for step, number, low, high, mean, valid, by_a_hair in reference(grid, shapes, values, weights):
        if rows is None:
            assert valid < 1e-6
            continue
        row = rows.loc[(steps[step], f"r{number}")]
        assert row["valid_v"] == pytest.approx(valid, abs=1e-6)
        if by_a_hair:
            continue
        if low is None:
            assert np.isnan(row["min_v"]) and np.isnan(row["max_v"]) and np.isnan(row["mean_v"])
        else:
            assert (row["min_v"], row["max_v"]) == (low, high)
            assert row["mean_v"] == pytest.approx(mean, abs=1e-6)


def pairs(path):
    """(region, cell, share) of an index, read by the description of the format in the crate's README."""
    data = path.read_bytes()
    assert data[:8] == b"ncprojix"
    length = struct.unpack("<Q", data[12:20])[0]
    header = json.loads(data[20 : 20 + length])
    at = 20 + length
    rows, columns = header["grid"]["lat"]["cells"], header["grid"]["lon"]["cells"]
    at += 8 * (rows + 1 + columns + 1)
    keys = []
    for _ in range(header["regions"]["count"]):
        size = struct.unpack("<I", data[at : at + 4])[0]
        keys.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    at += 8 * len(keys)
    starts = np.frombuffer(data, "<u8", len(keys) + 1, at)
    at += 8 * len(starts)
    cells = np.frombuffer(data, "<u4", header["pairs"], at)
    shares = np.frombuffer(data, "<f8", header["pairs"], at + 4 * len(cells))
    region = np.repeat(np.arange(len(keys)), np.diff(starts).astype(int))
    return region, cells, shares, rows * columns


@MANY
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 30))
def test_regions_that_tile_cover_each_cell_once(ncproj, seed, count):
    """Voronoi cells of random points, cut to a box: their shares sum to the box's share of the cell."""
    chance = np.random.default_rng(seed)
    grid = Grid(-100.0, 30.0, 0.5, 12, 10, False)
    box = shapely.box(-99.7, 30.2, -94.3, 34.9)
    points = shapely.MultiPoint(chance.uniform([-99.7, 30.2], [-94.3, 34.9], (count, 2)))
    tiles = [shapely.intersection(tile, box) for tile in shapely.get_parts(shapely.voronoi_polygons(points, extend_to=box))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run(ncproj, folder, grid, tiles, np.ones((1, *grid.shape)))
        _, cells, shares, size = pairs(folder / "i")
    sums = np.bincount(cells, shares, size).reshape(grid.shape)
    wanted = shapely.area(shapely.intersection(grid.cells(), box)) / shapely.area(grid.cells())
    assert np.abs(sums - wanted).max() < 1e-9
    assert (shares > 0).all() and (shares <= 1 + 1e-12).all()


@MANY
@given(case=cases(), order=st.randoms(use_true_random=False))
def test_the_order_of_regions_and_the_number_of_threads_change_nothing(ncproj, case, order):
    grid, shapes, values = case
    if not shapes:
        return
    shuffled = list(range(len(shapes)))
    order.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as temporary:
        one, other = Path(temporary, "one"), Path(temporary, "other")
        one.mkdir()
        other.mkdir()
        first = run(ncproj, one, grid, shapes, values, "--threads", "1")
        same = run(ncproj, other, grid, shapes, values, "--threads", "3")
        if first is None:
            assert same is None
            return
        assert (one / "o.parquet").read_bytes() == (other / "o.parquet").read_bytes()
        again = run(ncproj, other, grid, [shapes[n] for n in shuffled], values)
    for place, number in enumerate(shuffled):
        left = first.xs(f"r{number}", level="name").to_numpy()
        right = again.xs(f"r{place}", level="name").to_numpy()
        assert np.array_equal(left, right, equal_nan=True)
