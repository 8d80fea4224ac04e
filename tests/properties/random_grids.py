"""Small random grids and polygons, and the slow and simple way to see what they cover: shapely cuts every cell.

Holes, parts, slivers, corners that lie on the corners and edges of cells, all of the globe, the poles, both conventions of
longitude. Nothing here shares code or an idea with the program.
"""

import geopandas
import netCDF4
import numpy as np
import pyarrow.parquet as parquet
import shapely
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MANY = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALLEST = 1e-9  # a share below this is rounding, here and there
HAIR = 1e-6  # whether a cell with less than this is touched is nobody's truth


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

    def covered(self, shape):
        """The share of each cell that a polygon covers, by (lat, lon)."""
        cells = self.cells()
        share = np.zeros(self.shape)
        for turn in (-360.0, 0.0, 360.0):  # a polygon beyond the seam lies also a turn away
            moved = shapely.affinity.translate(shape, turn)
            share += shapely.area(shapely.intersection(cells, moved)) / shapely.area(cells)
        return share

    def write(self, path, values, name="v", kind="f8", dimensions=("time", "lat", "lon"), chunks=None):
        """values: (time, lat, lon), latitude ascending; NaN is missing. `dimensions` is their order in the file."""
        order = slice(None, None, -1) if self.descending else slice(None)
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("two", 2)
            for side, edges, units in (("lat", self.lat[order], "degrees_north"), ("lon", self.lon, "degrees_east")):
                file.createDimension(side, len(edges) - 1)
                axis = file.createVariable(side, "f8", (side,))
                axis.units, axis.bounds = units, f"{side}_bnds"
                axis[:] = (edges[:-1] + edges[1:]) / 2
                file.createVariable(f"{side}_bnds", "f8", (side, "two"))[:] = np.stack([edges[:-1], edges[1:]], axis=1)
            file.createDimension("time", len(values))
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2005-01-01"
            time[:] = np.arange(len(values))
            field = file.createVariable(name, kind, dimensions, fill_value=-9999.0, zlib=True, chunksizes=chunks)
            turned = [("time", "lat", "lon").index(dimension) for dimension in dimensions]
            field[:] = np.where(np.isnan(values), -9999.0, values)[:, order].transpose(turned)


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


def index(ncproj, folder, grid, shapes):
    """Makes the index `i` of the grid in `v.nc`; False where ncproj says that no region touches the grid."""
    turn = 360.0 if grid.lon[0] < -90 else -360.0 if grid.lon[-1] > 270 else 0.0  # the polygons' own convention
    frame = geopandas.GeoDataFrame({"name": [f"r{n}" for n in range(len(shapes))]}, geometry=shapes, crs="EPSG:4326")
    if turn and all(-360 <= x <= 360 for shape in shapes for x in (shape.bounds[0] + turn, shape.bounds[2] + turn)):
        frame["geometry"] = frame.geometry.translate(xoff=turn)
    frame.to_parquet(folder / "r.parquet")
    done = ncproj("index", "--regions", folder / "r.parquet", "--key", "name", "--grid", folder / "v.nc", "-o", folder / "i")
    if done.returncode == 1 and "no region touches the grid" in done.stderr:
        return False
    assert done.returncode == 0, done.stderr
    return True


def aggregate(ncproj, folder, *flags, file="v.nc"):
    """Rows of ncproj by (time, region)."""
    done = ncproj("aggregate", "--index", folder / "i", *flags, folder / file, "-o", folder / "o.parquet")
    assert done.returncode == 0, done.stderr
    return parquet.read_table(folder / "o.parquet").to_pandas().set_index(["time", "name"])


def run(ncproj, folder, grid, shapes, values, *flags):
    """Rows of ncproj by (time, region), or None where it says that no region touches the grid."""
    grid.write(folder / "v.nc", values)
    return aggregate(ncproj, folder, *flags) if index(ncproj, folder, grid, shapes) else None
