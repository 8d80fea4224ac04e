"""Projected grids beside pyproj, shapely and geodesic areas: PROJ's own C code reads the CF attributes and computes.

The edges of a polygon are cut finely in longitude and latitude and transformed point by point; shapely cuts the cells of the
plane with them; a cell's area is that of its outline on the ellipsoid.
"""

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import geopandas
import netCDF4
import numpy as np
import pandas
import pyproj
import pytest
import shapely
from hypothesis import given, note, settings
from hypothesis import strategies as st

from .random_grids import MANY

pytestmark = pytest.mark.slow
SOME = settings(MANY, max_examples=15)
FINE = 100  # pieces per cell's width; what an arc bulges between its ends falls with the square: about 1e-6 cell
NEAR = 1e-5  # so far from the true edge, in cells, ncproj may draw it: see the README, "Projected grids"
AREA = 2e-5  # of a cell's true area: to 1e-5 where cells are taken in pieces of 25 km, far from the parallels of a cone

NAMES = [
    "lambert_conformal_conic",
    "albers_conical_equal_area",
    "polar_stereographic",
    "rotated_latitude_longitude",
    "mercator",
    "lambert_azimuthal_equal_area",
    "lambert_cylindrical_equal_area",
    "transverse_mercator",
    "stereographic",
    "azimuthal_equidistant",
    "sinusoidal",
]
EARTHS = [
    {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563},
    {"semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.3142},
    {"earth_radius": 6371200.0},
]


@st.composite
def mappings(draw, name):
    """Attributes of a CF grid mapping, and a longitude and latitude that its grid may lie about."""
    earth = draw(st.sampled_from(EARTHS))
    middle = draw(st.integers(-180, 180))
    north = draw(st.sampled_from([1, -1]))
    lat = north * draw(st.integers(15, 65))
    lon = middle + draw(st.integers(-25, 25))
    false = {"false_easting": draw(st.sampled_from([0.0, 5e5])), "false_northing": draw(st.sampled_from([0.0, 1e6]))}
    parallels = [north * draw(st.integers(20, 35)), north * draw(st.integers(40, 60))]
    if name == "lambert_conformal_conic":
        parallel = draw(st.sampled_from([parallels, parallels[0]]))
        origin = parallel if parallel == parallels[0] else lat
        own = {"standard_parallel": parallel, "latitude_of_projection_origin": origin, "longitude_of_central_meridian": middle}
    elif name == "albers_conical_equal_area":
        own = {"standard_parallel": parallels, "latitude_of_projection_origin": lat, "longitude_of_central_meridian": middle}
    elif name == "polar_stereographic":
        lat = north * draw(st.integers(55, 90))
        lon = draw(st.integers(-180, 180))
        own = {"straight_vertical_longitude_from_pole": middle, "latitude_of_projection_origin": 90.0 * north}
        own |= draw(st.sampled_from([{"standard_parallel": 70.0 * north}, {"scale_factor_at_projection_origin": 0.994}]))
    elif name == "rotated_latitude_longitude":
        earth, false = {"earth_radius": 6371229.0}, {}
        pole = draw(st.integers(20, 80))
        own = {"grid_north_pole_latitude": float(pole), "grid_north_pole_longitude": float(middle)}
        own |= draw(st.sampled_from([{}, {"north_pole_grid_longitude": 30.0}]))
        lon, lat = middle + 180 + draw(st.integers(-20, 20)), 90 - pole + draw(st.integers(-10, 10))
    elif name == "mercator":
        own = {"longitude_of_projection_origin": middle}
        own |= draw(st.sampled_from([{"standard_parallel": 20.0}, {"scale_factor_at_projection_origin": 1.0}]))
    elif name == "lambert_azimuthal_equal_area":
        lat = draw(st.sampled_from([lat, 90 * north, 0]))
        own = {"latitude_of_projection_origin": lat, "longitude_of_projection_origin": middle}
    elif name == "lambert_cylindrical_equal_area":
        own = {"longitude_of_central_meridian": middle, "standard_parallel": 30.0}
    elif name == "sinusoidal":
        own = {"longitude_of_projection_origin": middle}
    else:
        lon = middle + draw(st.integers(-5, 5))
        own = {"latitude_of_projection_origin": lat}
        if name == "transverse_mercator":
            own |= {"longitude_of_central_meridian": middle, "scale_factor_at_central_meridian": 0.9996}
        else:
            own |= {"longitude_of_projection_origin": middle}
        if name == "stereographic":
            own |= {"scale_factor_at_projection_origin": 0.9999}
    own = {key: value if isinstance(value, list) else float(value) for key, value in own.items()}
    return {"grid_mapping_name": name, **earth, **own, **false}, lon, lat


@functools.cache
def globe(earth_radius=None, **axes):
    """Longitude and latitude on an ellipsoid, by CF's attributes."""
    ellipsoid = pyproj.crs.datum.CustomEllipsoid(radius=earth_radius, **axes)
    return pyproj.crs.GeographicCRS(datum=pyproj.crs.datum.CustomDatum(ellipsoid=ellipsoid))


class Plane:
    """A projected grid: edges of cells, ascending, in metres (degrees about another pole), and the way there and back."""

    def __init__(self, mapping, lon, lat, step, columns, rows):
        self.mapping, self.lon = mapping, lon
        self.rotated = mapping["grid_mapping_name"] == "rotated_latitude_longitude"
        earth = globe(**{key: value for key, value in mapping.items() if any(key in one for one in EARTHS)})
        self.geod = earth.get_geod()
        # pyproj takes a third of a second for each ellipsoid that it reads from a mapping: it reads the rest, beside a known one.
        rest = {key: value for key, value in mapping.items() if not any(key in one for one in EARTHS)}
        system = pyproj.CRS.from_cf({**rest, "horizontal_datum_name": "World Geodetic System 1984"})
        if self.rotated:
            self.there = pyproj.Transformer.from_crs(system.source_crs, system, always_xy=True).transform
        else:
            self.there = pyproj.Proj(pyproj.crs.ProjectedCRS(system.coordinate_operation, geodetic_crs=earth).to_wkt())
        middle = np.round(self.there((lon + 180) % 360 - 180, lat), 2 if self.rotated else -1)
        self.x = middle[0] + step * (np.arange(columns + 1) - columns / 2)
        self.y = middle[1] + step * (np.arange(rows + 1) - rows / 2)
        self.step = step

    @property
    def shape(self):
        return len(self.y) - 1, len(self.x) - 1

    def cells(self, beyond=0.0):
        west, south = np.meshgrid(self.x[:-1] - beyond, self.y[:-1] - beyond)
        east, north = np.meshgrid(self.x[1:] + beyond, self.y[1:] + beyond)
        return shapely.box(west, south, east, north)

    def forward(self, points):
        """(longitude, latitude) -> (x, y)"""
        x, y = self.there(points[:, 0], points[:, 1])
        if self.rotated:  # the same meridian as the grid has it
            x = np.asarray(x) - 360 * np.round((np.asarray(x) - self.x.mean()) / 360)
        return np.stack([x, y], axis=1)

    def back(self, points):
        """(x, y) -> (longitude, latitude), longitudes within half a turn of the grid's"""
        way = {"direction": "INVERSE"} if self.rotated else {"inverse": True}
        lon, lat = self.there(points[:, 0], points[:, 1], **way)
        return np.stack([self.lon + (np.asarray(lon) - self.lon + 180) % 360 - 180, lat], axis=1)

    def true_area(self, shape):
        """Of a polygon in longitude and latitude, in square metres."""
        return abs(self.geod.geometry_area_perimeter(shapely.geometry.polygon.orient(shape))[0])

    def true_area_within(self, box, drawn):
        """Of what lies in a box of the plane, in square metres."""
        parts = [part for part in shapely.get_parts(shapely.intersection(box, drawn)) if isinstance(part, shapely.Polygon)]
        return sum(self.true_area(shapely.transform(shapely.segmentize(part, self.step / 64), self.back)) for part in parts)

    def cell_areas(self):
        """Of each cell, by its outline of 256 points; and by what share the scale differs from that within a cell, at most."""
        whole = np.reshape([self.true_area_within(cell, cell) for cell in self.cells().ravel()], self.shape)
        south, west = self.y[0], self.x[0]
        corner = shapely.box(west, south, west + self.step / 2, south + self.step / 2)
        south, west = self.y[-1], self.x[-1]
        other = shapely.box(west - self.step / 2, south - self.step / 2, west, south)
        quarters = [(self.true_area_within(corner, corner), whole[0, 0]), (self.true_area_within(other, other), whole[-1, -1])]
        # A quarter shows half of the way from the cell's middle to its corner; the scale bends a little, too.
        return whole, 3 * max(abs(4 * quarter / cell - 1) for quarter, cell in quarters) + 1e-6

    def radius(self):
        """Of the sphere that has the area of the ellipsoid."""
        a, e2 = self.geod.a, self.geod.es
        if e2 == 0:
            return a
        e = np.sqrt(e2)
        return a * np.sqrt((1 + (1 - e2) / e * np.arctanh(e)) / 2)

    def write(self, path, values, descending, unit, bounds):
        """values: (y, x), y ascending."""
        scale = {"km": 1000.0, "m": 1.0, "degrees": 1.0}[unit]
        names = ("grid_latitude", "grid_longitude") if self.rotated else ("projection_y_coordinate", "projection_x_coordinate")
        order = slice(None, None, -1) if descending else slice(None)
        with netCDF4.Dataset(path, "w") as file:
            mapping = file.createVariable("system", "i4")
            mapping.setncatts(
                {key: value / scale if key.startswith("false_") else value for key, value in self.mapping.items()}
            )
            file.createDimension("two", 2)
            for side, edges, name in (("y", self.y[order] / scale, names[0]), ("x", self.x / scale, names[1])):
                file.createDimension(side, len(edges) - 1)
                axis = file.createVariable(side, "f8", (side,))
                axis.standard_name, axis.units = name, unit
                axis[:] = (edges[:-1] + edges[1:]) / 2
                if bounds or len(edges) == 2:  # one cell's size is known by its bounds alone
                    axis.bounds = f"{side}_bnds"
                    file.createVariable(f"{side}_bnds", "f8", (side, "two"))[:] = np.stack([edges[:-1], edges[1:]], axis=1)
            field = file.createVariable("v", "f8", ("y", "x"), fill_value=-9999.0)
            field.grid_mapping = "system"
            field[:] = np.where(np.isnan(values), -9999.0, values)[order]


class Region(NamedTuple):
    """In longitude and latitude; finely cut in the plane; its true area in square metres."""

    shape: shapely.Geometry
    drawn: shapely.Geometry
    area: float


@st.composite
def planes(draw, name):
    mapping, lon, lat = draw(mappings(name))
    step = draw(st.sampled_from([0.11, 0.5, 2.0] if name == "rotated_latitude_longitude" else [1e3, 5e3, 25e3, 100e3, 200e3]))
    return Plane(mapping, lon, lat, step, draw(st.integers(1, 6)), draw(st.integers(1, 5)))


@st.composite
def regions(draw, plane):
    """Near the grid, or nothing where the projection would tear what was drawn."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corner, size = np.array([plane.x[0], plane.y[0]]), np.array([np.ptp(plane.x), np.ptp(plane.y)])
    kind = draw(st.sampled_from(["triangle", "hull", "box", "hole", "tiny", "two parts", "cap"]))

    def corners(count):
        return np.round(plane.back(corner + chance.uniform(-0.2, 1.2, (count, 2)) * size), 9)

    fine = (plane.step if plane.rotated else np.degrees(plane.step / 6371000)) / FINE
    if kind == "cap" and plane.mapping["grid_mapping_name"] == "polar_stereographic":
        # All longitudes to the pole. What is drawn in the plane is its edge alone.
        north = np.sign(plane.mapping["latitude_of_projection_origin"])
        lat = float(np.round(north * chance.uniform(80, 89.5), 3))
        ring = [(float(lon), lat) for lon in range(-180, 181, 30)]
        shape = shapely.Polygon([*ring, *((float(lon), 90.0 * north) for lon in range(180, -181, -30))])
        circle = shapely.Polygon(shapely.get_coordinates(shapely.segmentize(shapely.LineString(ring), 30 / 4096)))
        return Region(shape, shapely.transform(circle, plane.forward), plane.true_area(circle))
    if kind == "box":
        (west, south), (east, north) = np.sort(corners(2), axis=0)
        shape = shapely.box(west, south, east, north)
    elif kind == "tiny":
        (x, y), step = corners(1)[0], 3 * fine
        shape = shapely.Polygon([(x, y), (x + step, y), (x + step, min(y + step, 90)), (x - step, min(y + step / 2, 90))])
    elif kind == "two parts":
        shape = shapely.union_all([shapely.MultiPoint(corners(3)).convex_hull for _ in range(2)])
    else:
        shape = shapely.MultiPoint(corners(3 if kind == "triangle" else 6)).convex_hull
        if kind == "hole":
            shape = shape.difference(shapely.affinity.scale(shape, 0.5, 0.5))
    cut = shapely.segmentize(shape, fine)
    drawn = shapely.transform(cut, plane.forward)
    west, _, east, _ = shape.bounds
    if east - west > 170 or not shape.is_valid or shape.area == 0 or not drawn.is_valid or np.isinf(drawn.bounds).any():
        return None
    moved = shapely.affinity.translate(shape, draw(st.sampled_from([0.0, 360.0, -360.0])))  # the same meridians
    if not (moved.bounds[0] >= -360 and moved.bounds[2] <= 540):
        moved = shape
    return Region(moved, drawn, sum(plane.true_area(part) for part in shapely.get_parts(cut)))


@st.composite
def cases(draw, name):
    plane = draw(planes(name))
    shapes = [region for region in (draw(regions(plane)) for _ in range(draw(st.integers(1, 3)))) if region]
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = chance.normal(280, 10, plane.shape)
    values[chance.random(values.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    return plane, shapes, values


def covered(plane, drawn):
    """The share of each cell, and how far ncproj may be from it.

    Each piece of an edge lies within `NEAR` cell of where it should: the area that this can add to a cell or take from it is at
    most that times the length of the outline in the cell, or just beside it.
    """
    whole = plane.step**2
    share = shapely.area(shapely.intersection(plane.cells(), drawn)) / whole
    lines, slack = drawn.boundary, np.zeros(plane.shape)
    for place, box in np.ndenumerate(plane.cells(beyond=1e-4 * plane.step)):
        slack[place] = shapely.length(shapely.clip_by_rect(lines, *box.bounds)) / plane.step
    return share, 1.2 * NEAR * slack + 1e-9


@pytest.mark.parametrize("name", NAMES)
@SOME
@given(data=st.data(), weights=st.sampled_from(["area", "coverage"]))
def test_projected_grids_are_covered_as_pyproj_and_shapely_say(ncproj, name, data, weights):
    plane, shapes, values = data.draw(cases(name))
    if not shapes:
        return
    note(f"{plane.mapping}\nx {plane.x.tolist()}\ny {plane.y.tolist()}\n" + "\n".join(shape.shape.wkt for shape in shapes))
    descending = data.draw(st.booleans())
    unit = "degrees" if plane.rotated else data.draw(st.sampled_from(["m", "km"]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plane.write(folder / "v.nc", values, descending, unit, bounds=data.draw(st.booleans()))
        names = [f"r{number}" for number in range(len(shapes))]
        frame = geopandas.GeoDataFrame({"name": names}, geometry=[region.shape for region in shapes], crs="EPSG:4326")
        frame.to_parquet(folder / "r.parquet")
        words = ("--regions", folder / "r.parquet", "--key", "name", "--grid", folder / "v.nc", "-o", folder / "i")
        done = ncproj("index", *words)
        if done.returncode == 1 and "no region touches the grid" in done.stderr:
            assert all(covered(plane, region.drawn)[0].max() < 2 * NEAR for region in shapes)
            return
        assert done.returncode == 0, done.stderr
        done = ncproj("export", "--index", folder / "i", "-o", folder / "pairs.csv")
        assert done.returncode == 0, done.stderr
        done = ncproj("aggregate", "--index", folder / "i", "--weights", weights, folder / "v.nc", "-o", folder / "o.csv")
        assert done.returncode == 0, done.stderr
        pairs = pandas.read_csv(folder / "pairs.csv")
        rows = pandas.read_csv(folder / "o.csv").set_index("name")
    if descending:
        pairs["row"] = plane.shape[0] - 1 - pairs["row"]
    areas, uneven = plane.cell_areas()
    grid = shapely.box(plane.x[0], plane.y[0], plane.x[-1], plane.y[-1])

    # What is said of a cell alone: its place and its true area.
    middles = np.stack([plane.x[pairs["column"]] + plane.step / 2, plane.y[pairs["row"]] + plane.step / 2], axis=1)
    lon, lat = plane.back(middles).T
    assert np.abs(pairs["latitude"] - lat).max() < 1e-7
    assert np.abs((pairs["longitude"] - lon + 180) % 360 - 180).where(np.abs(lat) < 89, 0).max() < 1e-7
    ours = pairs["area_weight"] / pairs["coverage"] * plane.radius() ** 2
    assert np.abs(ours / areas[pairs["row"], pairs["column"]] - 1).max() < AREA

    for number, region in enumerate(shapes):
        share, slack = covered(plane, region.drawn)
        own = pairs[pairs["name"] == f"r{number}"]
        found = np.zeros(plane.shape)
        found[own["row"], own["column"]] = own["coverage"]
        assert (np.abs(found - share) <= slack).all(), (found - share, slack)

        row = rows.loc[f"r{number}"]
        known = ~np.isnan(values)
        weight = share * (areas if weights == "area" else 1.0)
        doubt = slack * (areas if weights == "area" else 1.0) + AREA * weight
        # The share within the grid: ncproj adds up its cells' areas, and takes the scale as even within a cell.
        inside = plane.true_area_within(grid, region.drawn) / region.area
        parts = (share > 0) & (share < 1 - 1e-6)
        unsure = ((slack + uneven * share * parts) * areas).sum() / region.area + 2 * AREA
        if weight.sum() > 0:
            doubtful = 2 * doubt.sum() / weight.sum()
            valid = inside * weight[known].sum() / weight.sum()
            assert row["valid_v"] == pytest.approx(min(valid, 1), abs=unsure + doubtful)
        if weight[known].sum() > 10 * doubt.sum():  # else a hair decides
            mean = (weight * np.nan_to_num(values)).sum() / weight[known].sum()
            spread = np.ptp(values[known])
            assert row["mean_v"] == pytest.approx(mean, abs=1e-9 + 2 * spread * doubt[known].sum() / weight[known].sum())
        certain = known & (share > slack)
        possible = known & (share + slack > 0) & (found > 0) | certain
        if certain.any():
            assert values[possible].min() <= row["min_v"] <= values[certain].min()
            assert values[certain].max() <= row["max_v"] <= values[possible].max()
