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


def sea(
    desk,
    lat,
    lon,
    bounds=None,
    *,
    values=None,
    name="t.nc",
    kind="f8",
    dims=("y", "x"),
    attrs=None,
    data_dims=None,
    lat_attrs=None,
    lon_attrs=None,
    names=("lat", "lon"),
    fill=None,
    more=None,
):
    """A file with `v` and two-dimensional `lat`, `lon`; `bounds` are arrays of one dimension more."""
    path = desk.folder / name
    path.unlink(missing_ok=True)
    lat, lon = np.ma.asarray(lat, float), np.ma.asarray(lon, float)
    with netCDF4.Dataset(path, "w") as file:
        for dim, length in zip(dims, lat.shape, strict=False):
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
                file.createVariable(side + "_bnds", kind, (*dims, "vertices"), fill_value=1e20)[:] = np.ma.masked_invalid(
                    bounds[k]
                )
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
            out.setdefault(row["id"], {})[int(row["row"]), int(row["column"])] = (
                float(row["coverage"]),
                float(row["area_weight"]),
            )
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
    assert got.keys() == wanted.keys(), got.keys() ^ wanted.keys()
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
    # the cells along the row to the north-east, and those that the two lines halve
    halved = {cell for cell, share in got.items() if share == pytest.approx(0.5, abs=1e-12)}
    assert len(got) == 6 and len(halved) == 4


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
    for _case in range(200):
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


def polar_square(n=5, step=2.0, pole=1, offset=0.0):
    """Centres and corners of n x n squares about the pole, `step` degrees of the polar distance wide, in Lambert's plane."""
    edge = (np.arange(n + 1) - n / 2 + offset) * np.radians(step)
    centre = (edge[:-1] + edge[1:]) / 2

    def place(x, y):
        return pole * (90 - 2 * np.degrees(np.arcsin(np.hypot(x, y) / 2))), np.degrees(np.arctan2(pole * y, x))

    lat, lon = place(*np.meshgrid(centre, centre, indexing="ij"))
    nodes = place(*np.meshgrid(edge, edge, indexing="ij"))
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    return lat, lon, tuple(np.stack([side[a : a + n, b : b + n] for a, b in ring], -1) for side in nodes)


@pytest.mark.parametrize("pole", [1, -1])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("n", [4, 5])
def test_squares_about_a_pole_have_their_true_area_and_leave_nothing_out(desk, pole, given, n):
    """The plane keeps areas: each cell has (2 degrees)^2, and a cap of 3 degrees 2 pi (1 - cos 3), whatever cell holds the pole."""
    lat, lon, bounds = polar_square(n, pole=pole)
    sea(desk, lat, lon, bounds if given else None)
    cap = box(-180, 87, 180, 90) if pole > 0 else box(-180, -90, 180, -87)
    got = shares(desk, desk.regions(cap))
    assert sum(desk.weights["a"].values()) == pytest.approx(2 * np.pi * (1 - np.cos(np.radians(3))), rel=1e-6)
    for cell, weight in desk.weights["a"].items():
        assert weight / got[cell] == pytest.approx(np.radians(2) ** 2, rel=1e-9 if given else 1e-2)
    if n == 5:
        assert got[2, 2] == 1
        assert got[2, 1] == pytest.approx(got[2, 3], abs=1e-6) and got[1, 2] == pytest.approx(got[2, 1], abs=1e-6)
    assert desk.value("valid", desk.regions(cap)) == 1


def test_a_sector_at_the_pole_meets_the_cells_on_its_side(desk):
    """0..90 east within 1 degree of the pole: of the cell that holds the pole a quarter disc, pi / 4 x 1 of 4 square degrees."""
    lat, lon, bounds = polar_square(5)
    sea(desk, lat, lon, bounds)
    got = shares(desk, desk.regions(box(0, 89, 90, 90)))
    cap = 2 * np.pi * (1 - np.cos(np.radians(1)))
    assert set(got) == {(2, 2)} and got[2, 2] == pytest.approx(cap / 4 / np.radians(2) ** 2, rel=1e-5)


def test_a_coarse_cell_that_holds_the_pole_ends_where_its_neighbours_begin(desk):
    """A cap north of 75 as one cell with corners at 0, 90, 180 and 270 east, among squares of 90 degrees: nothing is left out."""
    lon = np.array([[45.0, 135, 225, 315], [0, 0, 0, 0]])
    lat = np.array([[67.5] * 4, [90, np.nan, np.nan, np.nan]])
    lats, lons = (np.full((2, 4, 4), np.nan) for _ in range(2))
    for k in range(4):
        lats[0, k], lons[0, k] = [60, 60, 75, 75], [90 * k, 90 * k + 90, 90 * k + 90, 90 * k]
    lats[1, 0], lons[1, 0] = 75, [0, 90, 180, 270]
    sea(desk, lat, lon, (lats, lons))
    region = desk.regions(box(-180, 60, 180, 90))
    got = shares(desk, region)
    assert set(got) == {(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)} and set(got.values()) == {1.0}
    assert sum(desk.weights["a"].values()) == pytest.approx(2 * np.pi * (1 - np.sin(np.radians(60))), rel=1e-6)
    assert desk.value("valid", region) == 1


def tripolar(rows=60, columns=72, *, join=65.0, edges=False):
    """A grid of two northern poles on land, at 0 and 180 east of the join: Murray's bipolar cap above a plain grid (south from -78).

    Centres, or with `edges` corners; the last row folds along the line between the two poles.
    """
    south = np.linspace(-78, join, rows + 1)
    north = np.linspace(0, np.pi / 2, rows // 3 + 1)  # from the join to the fold
    across = np.arange(columns + 1) * 2 * np.pi / columns
    if not edges:
        south, north = (south[1:] + south[:-1]) / 2, (north[1:] + north[:-1]) / 2
        across = (across[1:] + across[:-1]) / 2
    else:
        north = north[1:]
    a, b = np.meshgrid(north, across, indexing="ij")
    # In the polar stereographic plane, of radius 1 at the join: circles through both poles, and those at right angles to them.
    # A half of them comes from one side and a half from the other: w = tan(z / 2) maps a strip to the disc.
    side = np.where(np.sin(b) >= 0, 1, -1)
    u = np.arctanh(np.clip(np.cos(b), -1 + 1e-12, 1 - 1e-12))
    w = np.tanh((u + 1j * side * (np.pi / 2 - a)) / 2)
    distance = 2 * np.degrees(np.arctan(np.abs(w) * np.tan(np.radians(90 - join) / 2)))
    lat = np.concatenate([np.repeat(south[:, None], across.size, 1), 90 - distance])
    lon = np.concatenate([np.repeat(np.degrees(across)[None, :], south.size, 0), np.degrees(np.angle(w)) % 360])
    return lat, lon


def tripolar_bounds(rows=60, columns=72):
    nodes = tripolar(rows, columns, edges=True)
    n = nodes[0].shape[0] - 1
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    return tuple(np.stack([side[a : a + n, b : b + columns] for a, b in ring], -1) for side in nodes)


@pytest.mark.parametrize("given", [True, False])
def test_a_tripolar_grid_covers_the_globe_once(desk, given):
    """All of the sphere north of 78 south: 2 pi (1 + sin 78), each cell wholly, whichever way the fold is crossed."""
    lat, lon = tripolar()
    sea(desk, lat, lon, tripolar_bounds() if given else None)
    region = desk.regions(box(-180, -78, 180, 90))
    got = shares(desk, region)
    assert isinstance(got, dict), got
    assert len(got) == lat.size and min(got.values()) > (1 - 1e-9 if given else 0.97)
    assert sum(desk.weights["a"].values()) == pytest.approx(
        2 * np.pi * (1 + np.sin(np.radians(78))), rel=1e-6 if given else 1e-3
    )
    assert desk.value("valid", region) == pytest.approx(1, abs=1e-6 if given else 1e-3)
    # a region over the fold and the pole
    cap = desk.regions(box(-180, 85, 180, 90))
    assert desk.value("valid", cap) == pytest.approx(1, abs=1e-6 if given else 2e-3)
    sum_of = sum(desk.weights["a"].values())
    assert sum_of > 0


@pytest.mark.parametrize("given", [True, False])
def test_the_mean_over_a_tripolar_grid_is_that_of_the_sphere(desk, given):
    """v = sin(latitude): the mean north of 60 is (1 + sin 60) / 2, to the size of the cells."""
    lat, lon = tripolar(rows=120, columns=144)
    sea(desk, lat, lon, tripolar_bounds(120, 144) if given else None, values=np.sin(np.radians(lat)))
    assert desk.value("mean", desk.regions(box(-180, 60, 180, 90))) == pytest.approx((1 + np.sin(np.radians(60))) / 2, abs=2e-4)


def test_cells_without_coordinates_are_none(desk):
    """A block of fill values: its values do not count, and the part of the region there lies outside."""
    lat, lon = LAT.copy(), LON.copy()
    lat[1:3, 1:3] = lon[1:3, 1:3] = np.nan
    for bounds in (None, tuple(np.where(np.isnan(lat)[..., None], np.nan, side) for side in square_bounds(LAT, LON))):
        sea(desk, lat, lon, bounds, values=np.where(np.isnan(lat), 1000, 1))
        (row,) = desk.run()
        assert float(row["mean_v"]) == 1 and float(row["count_v"]) == 12
        assert float(row["valid_v"]) == pytest.approx(12 / 16, abs=1e-12)
        assert "4 without a place" in desk.index().stderr


def test_blocks_at_one_place_are_none(desk):
    """Land-suppressed blocks with zeros for coordinates, no fill value: more cells at one place than any fold repeats."""
    lat, lon = mesh(np.arange(0.5, 8), np.arange(10.5, 18))
    lat[2:6, 3:6] = lon[2:6, 3:6] = 0
    sea(desk, lat, lon, values=np.where(lat == 0, 1000, 1))
    (row,) = desk.run(desk.regions(box(10, 0, 18, 8)))
    assert (float(row["mean_v"]), float(row["count_v"])) == (1, 64 - 12)


def test_bounds_without_values_leave_no_cell_and_three_corners_a_triangle(desk):
    lats, lons = square_bounds(LAT, LON)
    lats[0, 0], lons[0, 0] = np.nan, np.nan
    lats[3, 3, 2], lons[3, 3, 2] = np.nan, np.nan  # the north-east corner: half a square is left
    lat, lon = LAT.copy(), LON.copy()
    lat[3, 3], lon[3, 3] = 3.3, 13.3
    sea(desk, lat, lon, (lats, lons))
    got = shares(desk)
    assert len(got) == 15 and (0, 0) not in got and set(got.values()) == {1.0}
    assert got == {cell: 1.0 for cell in np.ndindex(4, 4) if cell != (0, 0)}
    assert sum(desk.weights["a"].values()) == pytest.approx(np.radians(1) ** 2 * 14.5, rel=2e-3)


def test_cells_without_area_are_none(desk):
    lats, lons = square_bounds(LAT, LON)
    lats[1, 1], lons[1, 1] = 1.5, 11.5
    sea(desk, LAT, LON, (lats, lons))
    got = shares(desk)
    assert len(got) == 15 and (1, 1) not in got


def test_bounds_that_do_not_hold_their_centre_are_refused(desk):
    lats, lons = square_bounds(LAT, LON)
    lons[2, 1] += 1.2
    sea(desk, LAT, LON, (lats, lons))
    said = shares(desk)
    assert "the cell in row 2, column 1 does not hold its centre" in said and "t.nc: `lat`, `lon`" in said
    lats, lons = square_bounds(LAT, LON)
    sea(desk, LAT, LON, (lons, lats))
    assert "is no latitude" in shares(desk) or "does not hold its centre" in shares(desk)


def test_corners_that_do_not_go_round_are_refused(desk):
    """South-west, south-east, north-west, north-east: the sides cross."""
    lats, lons = square_bounds(LAT, LON)
    sea(desk, LAT, LON, (lats[..., [0, 1, 3, 2]], lons[..., [0, 1, 3, 2]]))
    assert "the sides of the cell in row 0, column 0 cross" in shares(desk)


@pytest.mark.parametrize("given", [True, False])
def test_columns_that_repeat_others_count_once(desk, given):
    """NEMO's halo: the first and the last column are those before the last and after the first."""
    lat, lon = mesh(np.arange(-29.5, 30), np.arange(0.5, 360))
    lat, lon = np.concatenate([lat[:, -1:], lat, lat[:, :1]], 1), np.concatenate([lon[:, -1:] - 360, lon, lon[:, :1]], 1)
    values = np.ones(lat.shape)
    values[:, [0, -1]] = 1000  # a halo that was not filled
    sea(desk, lat, lon, square_bounds(lat, lon) if given else None, values=values)
    region = desk.regions(box(-10, -10, 10, 10))
    (row,) = desk.run(region)
    assert (float(row["mean_v"]), float(row["count_v"]), float(row["valid_v"])) == (1, 400, 1)
    assert "120 that repeat others left out" in desk.index(region).stderr


def test_a_fold_that_repeats_a_row_counts_once(desk):
    """NEMO's fold: the last row is the one before it, counted the other way."""
    lat, lon = tripolar(30, 36)
    lats, lons = tripolar_bounds(30, 36)
    lat, lon = np.concatenate([lat, lat[-1:, ::-1]]), np.concatenate([lon, lon[-1:, ::-1]])
    lats, lons = (np.concatenate([side, side[-1:, ::-1]]) for side in (lats, lons))
    sea(desk, lat, lon, (lats, lons))
    region = desk.regions(box(-180, 70, 180, 90))
    assert desk.value("valid", region) == pytest.approx(1, abs=1e-6)
    assert "36 that repeat others left out" in desk.index(region).stderr


def test_cells_that_overlap_are_refused(desk):
    """The second column moved by half a cell: what both cover would count twice."""
    lat, lon = LAT.copy(), LON.copy()
    lon[:, 1] -= 0.6
    sea(desk, lat, lon, square_bounds(lat, lon))
    said = shares(desk)
    assert "row 0, column 0 and row 0, column 1 overlap" in said


def test_cells_that_overlap_in_part_are_refused_where_a_region_lies(desk):
    """Cells of 1.3 degrees about centres one degree apart hold their own centres alone."""
    sea(desk, LAT, LON, square_bounds(LAT, LON, 0.65))
    assert "overlap" in shares(desk)


def test_the_dimensions_may_stand_the_other_way(desk):
    """lat(x, y) with v(x, y), and lat(y, x) with v(x, y): rows and columns are those of the coordinates."""
    lat, lon = mesh(np.arange(0.5, 4), np.arange(10.5, 16))
    region = desk.regions(box(11, 0, 12, 1))
    sea(desk, lat.T, lon.T, dims=("x", "y"))
    same(shares(desk, region), {(1, 0): 1.0}, 1e-12)
    assert desk.value("mean", region) == 4
    sea(desk, lat, lon, data_dims=("x", "y"))
    same(shares(desk, region), {(0, 1): 1.0}, 1e-12)
    assert desk.value("mean", region) == 1


def test_time_and_levels_before_and_after(desk):
    """v(time, y, x, level): each has its own row."""

    def more(file):
        file.createDimension("time", 2)
        file.createDimension("level", 3)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time[:] = "days since 2000-01-01", [0, 1]
        w = file.createVariable("w", "f8", ("time", "y", "x", "level"))
        w.coordinates = "lon lat"
        w[:] = np.arange(2)[:, None, None, None] * 10 + np.arange(3) + np.zeros((4, 4, 1))

    sea(desk, LAT, LON, more=more)
    rows = desk.run(words=("--variables", "w"), index=("--variable", "w"))
    assert [float(row["mean_w"]) for row in rows] == [0, 1, 2, 10, 11, 12]


def test_units_of_radians_and_grads(desk):
    region = desk.regions(box(10.25, 0, 13, 3))
    sea(desk, LAT, LON, square_bounds(LAT, LON))
    plain = shares(desk, region)
    for units, factor in (("radian", RADIAN), ("grad", 1 / 0.9)):
        odd = {"units": units}
        bounds = tuple(side * factor for side in square_bounds(LAT, LON))
        for given in (bounds, None):
            sea(
                desk,
                LAT * factor,
                LON * factor,
                given,
                lat_attrs=odd | {"standard_name": "latitude"},
                lon_attrs=odd | {"standard_name": "longitude"},
            )
            same(shares(desk, region), plain, 1e-11)
    sea(
        desk,
        LAT,
        -LON,
        tuple(side * sign for side, sign in zip(square_bounds(LAT, LON), (1, -1), strict=False)),
        lon_attrs={"units": "degrees_west"},
    )
    same(shares(desk, region), plain, 1e-12)


def test_an_unknown_unit_is_refused(desk):
    sea(desk, LAT, LON, lat_attrs={"units": "furlong", "standard_name": "latitude"})
    said = shares(desk)
    assert "`lat` is in `furlong`" in said and "attribute `units`" in said


def test_packed_coordinates_and_float32(desk):
    region = desk.regions(box(10.25, 0, 13, 3))
    sea(desk, LAT, LON, square_bounds(LAT, LON), kind="f4")
    same(shares(desk, region), {(r, c): (0.75 if c == 0 else 1.0) for r in range(3) for c in range(3)}, 1e-6)


def test_coordinates_that_the_variable_names_win(desk):
    """CICE's T and U points on the same dimensions; v names U, w names T, u names none."""

    def more(file):
        for side, values, units in (("TLAT", LAT, "degrees_north"), ("TLON", LON, "degrees_east")):
            axis = file.createVariable(side, "f8", ("y", "x"))
            axis.units, axis[:] = units, values
        for name, coordinates in (("w", "TLON TLAT"), ("u", None)):
            field = file.createVariable(name, "f8", ("y", "x"))
            field[:] = 1
            if coordinates:
                field.coordinates = coordinates

    sea(desk, LAT + 0.5, LON + 0.5, names=("ULAT", "ULON"), more=more)
    region = desk.regions(box(10, 0, 11, 1))
    same(shares(desk, region, "t.nc", "--variable", "w"), {(0, 0): 1.0})
    same(shares(desk, region, "t.nc", "--variable", "v"), {(0, 0): 0.25})
    said = shares(desk, region, "t.nc", "--variable", "u")
    assert "`u` could have several two-dimensional latitudes: `TLAT`, `ULAT`" in said


def test_nominal_coordinates_along_the_dimensions_do_not_hide_the_true_ones(desk):
    """MOM: yt_ocean and xt_ocean are nominal, geolat_t and geolon_t are true; where both agree the grid is plain."""

    def more(file):
        for side, values, units in (("y", np.arange(0.5, 4), "degrees_north"), ("x", np.arange(10.5, 14), "degrees_east")):
            axis = file.createVariable(side, "f8", (side,))
            axis.units, axis[:] = units, values

    region = desk.regions(box(10, 0, 11, 1))
    sea(desk, LAT + 0.5, LON, names=("geolat_t", "geolon_t"), more=more)
    same(shares(desk, region), {(0, 0): 0.5})
    sea(desk, LAT, LON, names=("geolat_t", "geolon_t"), more=more)
    same(shares(desk, region), {(0, 0): 1.0})
    assert "curvilinear" not in desk.said


def test_wrf_repeats_its_coordinates_along_time(desk):
    """XLAT(Time, south_north, west_east), the staggered ones on other dimensions; a nest that moves is refused."""

    def write(move):
        with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
            for dim, length in (("Time", 2), ("south_north", 4), ("west_east", 4), ("west_east_stag", 5)):
                file.createDimension(dim, length)
            stag = mesh(np.arange(0.5, 4), np.arange(10.0, 15))
            for name, values, units, across in (
                ("XLAT", LAT, "degree_north", "west_east"),
                ("XLONG", LON, "degree_east", "west_east"),
                ("XLAT_U", stag[0], "degree_north", "west_east_stag"),
                ("XLONG_U", stag[1], "degree_east", "west_east_stag"),
            ):
                axis = file.createVariable(name, "f4", ("Time", "south_north", across))
                axis.units, axis[:] = units, np.stack([values, values + move])
            for name, across, coordinates in (
                ("T2", "west_east", "XLONG XLAT XTIME"),
                ("U", "west_east_stag", "XLONG_U XLAT_U XTIME"),
            ):
                field = file.createVariable(name, "f4", ("Time", "south_north", across))
                field.coordinates, field[:] = coordinates, 1

    region = desk.regions(box(10, 0, 11, 1))
    write(0)
    same(shares(desk, region, "t.nc", "--variable", "T2"), {(0, 0): 1.0}, 1e-6)
    same(shares(desk, region, "t.nc", "--variable", "U"), {(0, 0): 0.5, (0, 1): 0.5}, 1e-6)
    write(1)
    assert "`XLAT` changes along `Time`: the grid moves" in shares(desk, region, "t.nc", "--variable", "T2")


def test_a_projection_goes_before_two_dimensional_coordinates(desk):
    def more(file):
        for side, values in (("y", np.arange(4) * 1000.0), ("x", np.arange(4) * 1000.0)):
            axis = file.createVariable(side, "f8", (side,))
            axis.units, axis.standard_name, axis[:] = "m", f"projection_{side}_coordinate", values
        crs = file.createVariable("crs", "i4")
        crs.setncatts(
            {
                "grid_mapping_name": "lambert_conformal_conic",
                "standard_parallel": 38.5,
                "longitude_of_central_meridian": -97.5,
                "latitude_of_projection_origin": 38.5,
                "earth_radius": 6371200.0,
            }
        )
        file["v"].grid_mapping = "crs"

    sea(desk, LAT, LON, more=more)
    shares(desk, desk.regions(box(-97.5, 38.5, -97.49, 38.51)))
    assert "+proj=lcc" in desk.said and "curvilinear" not in desk.said


@pytest.mark.parametrize("kind", ["ugrid", "ncol", "healpix", "cdi"])
def test_unstructured_grids_are_refused_by_name(desk, kind):
    with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
        dim = {"ugrid": "nMesh2_face", "ncol": "ncol", "healpix": "cells", "cdi": "cell"}[kind]
        file.createDimension("time", 2)
        file.createDimension(dim, 12)
        field = file.createVariable("v", "f8", ("time", dim))
        field[:] = 1
        if kind != "healpix":
            for side, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
                axis = file.createVariable(side, "f8", (dim,))
                axis.units, axis[:] = units, np.arange(12)
            field.coordinates = "lat lon"
        if kind == "ugrid":
            file.createVariable("Mesh2", "i4").setncatts({"cf_role": "mesh_topology", "topology_dimension": 2})
            field.mesh, field.location = "Mesh2", "face"
        if kind == "healpix":
            file.createVariable("crs", "i4").grid_mapping_name = "healpix"
            field.grid_mapping = "crs"
        if kind == "cdi":
            field.CDI_grid_type = "unstructured"
    assert "the grid is unstructured" in shares(desk)
    assert "the grid is unstructured" in shares(desk, None, "t.nc", "--variable", "v")


def test_one_row_without_bounds_has_no_size(desk):
    sea(desk, LAT[:1], LON[:1])
    assert "1 x 4 cells and no bounds" in shares(desk)
    sea(desk, LAT[:1], LON[:1], square_bounds(LAT[:1], LON[:1]))
    assert len(shares(desk)) == 4


def test_bounds_that_are_none(desk):
    """Of one coordinate only; of another shape; a name that the file does not have is said."""
    lats, _lons = square_bounds(LAT, LON)
    sea(desk, LAT, LON, more=lambda file: setattr(file["lat"], "bounds", "nothing"))
    assert len(shares(desk)) == 16 and "made from the centres (`nothing` is not in the file)" in desk.said

    def one(file):
        file.createDimension("vertices", 4)
        file["lat"].bounds = "lat_bnds"
        file.createVariable("lat_bnds", "f8", ("y", "x", "vertices"))[:] = lats

    sea(desk, LAT, LON, more=one)
    assert "`lat` has bounds and `lon` has none" in shares(desk)

    def two(file):
        file.createDimension("two", 2)
        file["lat"].bounds = "lat_bnds"
        file.createVariable("lat_bnds", "f8", ("y", "x", "two"))[:] = lats[..., :2]

    sea(desk, LAT, LON, more=two)
    assert "the bounds `lat_bnds` of `lat` have the shape 4 x 4 x 2" in shares(desk)


def test_bounds_with_the_corners_first_and_by_name_alone(desk):
    """vertices_latitude(vertices, y, x), without the attribute."""
    lats, lons = square_bounds(LAT, LON, 0.25)

    def more(file):
        file.createDimension("vertices", 4)
        for name, values, units in (("vertices_latitude", lats, "degrees_north"), ("vertices_longitude", lons, "degrees_east")):
            corners = file.createVariable(name, "f8", ("vertices", "y", "x"))
            corners.units, corners[:] = units, np.moveaxis(values, -1, 0)

    sea(desk, LAT, LON, names=("latitude", "longitude"), more=more)
    got = shares(desk, desk.regions(box(10.25, 0.25, 10.5, 0.75)))
    same(got, {(0, 0): 0.5}, 1e-12)
    assert "corners by `vertices_latitude` and `vertices_longitude`" in desk.said


def test_another_grid_is_refused_and_the_same_one_in_other_words_is_not(desk):
    sea(desk, LAT, LON, square_bounds(LAT, LON))
    sea(desk, LAT, LON + 360, square_bounds(LAT, LON + 360), name="turned.nc", kind="f4")
    sea(desk, LAT, LON, name="bare.nc")
    sea(desk, LAT, LON + 0.1, name="moved.nc")
    sea(desk, LAT[:3], LON[:3], name="less.nc")
    desk.grid(1, name="plain.nc")
    for name in ("turned.nc", "bare.nc"):
        (_row,) = desk.run(grids=("t.nc",), stats="count")
        done = desk.program(
            "aggregate", "--index", desk.folder / "t.index", desk.folder / name, "--stats", "count", "-o", desk.folder / "o.csv"
        )
        assert done.returncode == 0, done.stderr
    for name, what in (
        ("moved.nc", "lies at latitude 0.500000, longitude 10.5"),
        ("less.nc", "4 x 4 and 3 x 4 cells"),
        ("plain.nc", "one of them is curvilinear"),
    ):
        done = desk.program(
            "aggregate", "--index", desk.folder / "t.index", desk.folder / name, "--stats", "count", "-o", desk.folder / "o.csv"
        )
        assert done.returncode == 1 and "the index is for another grid" in done.stderr and what in done.stderr
        done = desk.program("check", "--index", desk.folder / "t.index", desk.folder / name)
        assert done.returncode == 1 and what in done.stdout


def test_check_info_and_export_know_the_grid(desk):
    def gaps(file):
        file["v"][0, :] = np.ma.masked

    sea(desk, LAT, LON, square_bounds(LAT, LON), fill=-1.0, more=gaps)
    region = desk.regions(box(10, 0, 11, 2))
    assert desk.index(region).returncode == 0
    index = desk.folder / "t.index"
    done = desk.program("check", "--index", index, desk.folder / "t.nc")
    assert done.returncode == 0 and "over missing cells: `a` 50.0 %" in done.stdout
    about = json.loads(desk.program("info", "--json", desk.folder / "t.nc").stdout)
    assert about["grid"]["lat"]["extent"] == [0.5, 3.5] and "4 x 4 cells" in about["grid"]["curvilinear"]
    gridded = [v["name"] for v in about["variables"] if v["gridded"]]
    assert gridded == ["v"]
    assert "corners by `lat_bnds` and `lon_bnds`" in desk.program("info", index).stdout
    weights = desk.folder / "w.nc"
    assert desk.program("export", "--index", index, "-o", weights).returncode == 0
    with netCDF4.Dataset(weights) as file:
        assert list(file["col"][:]) == [1, 5] and file.dimensions["n_a"].size == 16
        area = np.diff(np.sin(np.radians([0, 1, 2])))
        np.testing.assert_allclose(file["S"][:], area / area.sum(), rtol=1e-12)


def test_a_box_and_weights_of_ones_own(desk):
    """--bbox goes by the middles of cells; --weights FILE:VARIABLE by a field on the same grid."""
    sea(desk, LAT, LON, more=lambda file: None)
    sea(desk, LAT, LON, values=np.where(LON < 11, 3.0, 1.0), name="w.nc")
    regions = many(desk, [Polygon(box(10, 0, 12, 1)), Polygon(box(13, 3, 14, 4))])
    rows = desk.run(regions, words=("--bbox=10,0,12,2",))
    assert [row["id"] for row in rows] == ["r0"]
    rows = desk.run(regions, words=("--weights", f"{desk.folder / 'w.nc'}:v"))
    assert float(rows[0]["mean_v"]) == (3 * 0 + 1 * 1) / 4


def test_the_index_is_the_same_bytes_from_any_number_of_threads(desk):
    lat, lon = tripolar(30, 36)
    sea(desk, lat, lon)
    region = desk.regions(box(-100, 20, 60, 90))
    assert desk.index(region, "t.nc", "--threads", "1").returncode == 0
    one = (desk.folder / "t.index").read_bytes()
    assert desk.index(region, "t.nc", "--threads", "3").returncode == 0
    assert (desk.folder / "t.index").read_bytes() == one
    assert int.from_bytes(one[8:12], "little") == 3


def test_a_damaged_index_is_refused(desk):
    sea(desk, LAT, LON)
    assert desk.index().returncode == 0
    whole = (desk.folder / "t.index").read_bytes()
    for at in range(0, len(whole), 97):
        (desk.folder / "b.index").write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
        done = desk.program("info", desk.folder / "b.index")
        assert done.returncode == 1 and "panicked" not in done.stderr


def test_a_region_smaller_than_a_cell_lies_wholly_within(desk):
    sea(desk, *turned(5, 33, (0.0, 150.0)))
    region = desk.regions([[150.3, 0.2], [150.3 + 1e-6, 0.2], [150.3, 0.2 + 1e-6], [150.3, 0.2]])
    assert desk.value("valid", region) == 1


def test_a_swath_without_bounds(desk):
    """A satellite's lines across the date line, turned and bent: what shapely says of the corners between the centres."""
    y, x = np.meshgrid(np.arange(12), np.arange(9), indexing="ij")
    lat, lon = 30 + 0.4 * y + 0.05 * x + 0.004 * x**2, 177 + 0.5 * x - 0.1 * y
    lon = (lon + 180) % 360 - 180
    sea(desk, lat, lon)
    got = shares(desk, desk.regions(box(178, 31, 182, 33)))
    whole = np.where(lon < 0, lon + 360, lon)
    inner = [(side[:-1, :-1] + side[:-1, 1:] + side[1:, :-1] + side[1:, 1:]) / 4 for side in (lat, whole)]
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    corners = [np.stack([side[a : a + 10, b : b + 7] for a, b in ring], -1) for side in inner]
    wanted = {(r + 1, c + 1): s for (r, c), s in by_shapely(*corners, Polygon(box(178, 31, 182, 33))).items()}
    same({cell: got[cell] for cell in wanted}, wanted)


def test_the_ring_of_the_whole_grid_is_the_sum_of_its_cells(desk):
    assert desk.value("count", desk.regions(ALL), grids=(sea(desk, LAT, LON).name,)) == pytest.approx(16, abs=1e-12)


@pytest.mark.parametrize("turn", [0.0, 73.3])
def test_float32_corners_that_are_written_in_two_ways_leave_no_gap(desk, turn):
    """The seam at 73.3 and 433.3: float32 has other decimals there, and still the globe is covered."""
    lat, lon = mesh(np.arange(-89.875, 90, 2.25)[:80], turn + np.arange(1.125, 360, 2.25))
    lats, lons = square_bounds(lat, lon, 1.125)
    sea(desk, lat, lon, (np.clip(lats, -90, 90), lons), kind="f4")
    for region in (box(turn - 5, -5, turn + 5, 5), box(turn + 355, 10, turn + 365, 12)):
        assert desk.value("valid", desk.regions(region), words=("--min-valid", "1")) == 1


def test_bounds_that_are_repeated_along_time(desk):
    """lat_bnds(time, y, x, 4), the same at all times; others are refused."""

    def write(move):
        def more(file):
            file.createDimension("time", 4)
            file.createDimension("corner", 4)
            for name, values in zip(("lat", "lon"), square_bounds(LAT, LON, 0.25), strict=False):
                file[name].bounds = name + "_b"
                corners = file.createVariable(name + "_b", "f8", ("time", "y", "x", "corner"))
                corners[:] = values + move * np.arange(4)[:, None, None, None]

        sea(desk, LAT, LON, more=more)

    write(0)
    same(shares(desk, desk.regions(box(10.25, 0.25, 10.5, 0.75))), {(0, 0): 0.5}, 1e-12)
    write(0.01)
    assert "`lat_b` changes along `time`: the grid moves" in shares(desk)


def test_latitude_and_longitude_may_stand_crosswise(desk):
    """lat(y, x) and lon(x, y)."""
    lat, lon = mesh(np.arange(0.5, 4), np.arange(10.5, 16))
    with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
        file.createDimension("y", 4)
        file.createDimension("x", 6)
        for name, values, units, dims in (
            ("lat", lat, "degrees_north", ("y", "x")),
            ("lon", lon.T, "degrees_east", ("x", "y")),
        ):
            axis = file.createVariable(name, "f8", dims)
            axis.units, axis[:] = units, values
        file.createVariable("v", "f8", ("y", "x"))[:] = 1
    same(shares(desk, desk.regions(box(14, 1, 15, 2))), {(1, 4): 1.0}, 1e-12)


def test_halos_and_fold_without_bounds(desk):
    """NEMO without bounds: two columns and a row repeat others; each place counts once and nothing is left out."""
    lat, lon = tripolar(60, 72)
    lat, lon = (np.concatenate([side, side[-1:, ::-1]]) for side in (lat, lon))
    lat, lon = (np.concatenate([side[:, -1:], side, side[:, :1]], 1) for side in (lat, lon))
    sea(desk, lat, lon, kind="f4")
    region = desk.regions(box(-180, 40, 180, 90))
    assert desk.value("valid", region) == pytest.approx(1, abs=3e-3)
    total = desk.index(region).stderr
    assert "234 that repeat others left out" in total  # 2 x 81 in columns and 72 in the row


def test_a_region_of_many_corners_over_many_cells(desk):
    """A star of 20,000 corners over 40,000 cells: its area, and shapely on a sample of cells."""
    lat, lon = turned(200, 20, (10.0, 40.0), 0.1)
    sea(desk, lat, lon)
    angle = np.arange(20000) * 2 * np.pi / 20000
    far = 8 + 1.3 * np.sin(angle * 40) + 0.2 * np.sin(angle * 900)
    star = Polygon(np.column_stack([40 + far * np.cos(angle), 10 + far * np.sin(angle)]))
    got = shares(desk, many(desk, [star]))["r0"]
    assert sum(got.values()) * 0.01 == pytest.approx(star.area, rel=1e-9)
    c, s = np.cos(20 * RADIAN) * 0.05, np.sin(20 * RADIAN) * 0.05
    for row, column in np.random.default_rng(1).integers(0, 200, (300, 2)):
        y, x = lat[row, column], lon[row, column]
        cell = Polygon([(x - c + s, y - s - c), (x + c + s, y + s - c), (x + c - s, y + s + c), (x - c - s, y - s + c)])
        assert got.get((row, column), 0) == pytest.approx(star.intersection(cell).area / cell.area, abs=1e-9)


def test_all_of_the_coordinates_missing_is_refused(desk):
    sea(desk, np.full((4, 4), np.nan), LON)
    assert "no cell has a place and a size by `lat` and `lon`" in shares(desk)


def test_values_that_are_no_coordinates_are_refused(desk):
    lat = LAT.copy()
    lat[0, 0] = -999
    sea(desk, lat, LON)
    said = shares(desk)
    assert "-999 is no latitude" in said and "t.nc: variable `lat`" in said


def test_the_table_names_what_is_refused(ncproj):
    said = ncproj("features").stdout
    for name in ("curvilinear grid", "cells that overlap", "unstructured grid", "cell that does not hold its centre"):
        assert name in said
