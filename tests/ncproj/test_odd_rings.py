"""Odd rings and parts: across the date line, round the poles, far smaller than a cell, overlapping, crossing.

Counts are sums of covered shares of cells of one degree, so square degrees. Where a number is not worked out beside it, shapely does it:
`make_valid` by structure, union of the parts, intersection with the cells.
"""

import csv
import struct
import time

import geopandas
import netCDF4
import numpy as np
import pytest
import shapely
from shapely import MultiPolygon, Polygon, make_valid
from shapely.geometry import mapping

from .odd import box

WEST, EAST = np.arange(-179.5, 180), np.arange(0.5, 360)  # centres of a globe from -180 and from 0
SOUTH = np.arange(-29.5, 0)
GLOBE = np.arange(-89.5, 90)


@pytest.fixture
def globe(desk):
    """Cells of one degree of the whole globe, all 1; longitudes from -180."""
    desk.grid(1.0, lat=GLOBE, lon=WEST)
    return desk


def count(desk, *rings, kind="Polygon", **options):
    got = desk.value("count", desk.regions(*rings, kind=kind), **options)
    return got if got is None or isinstance(got, str) else pytest.approx(got, abs=1e-6)


def layer(desk, *shapes, crs=4326, name="t.parquet"):
    """A GeoParquet file of these shapes, keys from 0."""
    path = desk.folder / name
    geopandas.GeoDataFrame({"id": [str(k) for k in range(len(shapes))]}, geometry=list(shapes), crs=crs).to_parquet(path)
    return path


def shares(desk, regions):
    """{(region, row, column): covered share} of the index."""
    done = desk.index(regions)
    assert done.returncode == 0, done.stderr
    desk.said = done.stderr
    assert desk.program("export", "--index", desk.folder / "t.index", "-o", desk.folder / "x.csv").returncode == 0
    with (desk.folder / "x.csv").open() as file:
        return {(row["id"], int(row["row"]), int(row["column"])): float(row["coverage"]) for row in csv.DictReader(file)}


def refused(desk, what):
    assert isinstance(what, str) and "region `a`" in what and "hint:" in what, what
    return what


# Across the date line


@pytest.mark.parametrize("lon", [WEST, EAST, np.arange(20.5, 380), np.arange(-179.5, 180)[::-1]])
@pytest.mark.parametrize(
    "hole",
    [(-178, -174), (182, 186), (176, 180), (177, -179), (179, -177)],
    ids=str,
)
@pytest.mark.parametrize("shell", [(170, -170), (170, 190), (-190, -170)], ids=str)
def test_a_hole_goes_with_its_shell_over_the_date_line(desk, shell, hole, lon):
    desk.grid(1.0, lat=SOUTH, lon=lon)
    # 20 x 10 without 4 x 6
    outline, inner = box(shell[0], -20, shell[1], -10), box(hole[0], -18, hole[1], -12)
    assert count(desk, outline, inner[::-1]) == 176


@pytest.mark.parametrize("hole", [(-178, -174), (182, 186), (179, -177)], ids=str)
def test_a_part_and_its_hole_over_the_date_line_beside_other_parts(desk, hole):
    desk.grid(1.0, lat=SOUTH, lon=WEST)
    parts = [
        [box(170, -20, -170, -10), box(hole[0], -18, hole[1], -12)[::-1]],
        [box(0, -5, 2, -3)],
        [box(-180, -25, -178, -24)],
    ]
    assert count(desk, *parts, kind="MultiPolygon") == 176 + 4 + 2


@pytest.mark.parametrize("lon", [WEST, EAST])
@pytest.mark.parametrize(("west", "east"), [(350, 10), (345, 5), (359, 19)])
def test_a_ring_in_0_to_360_that_jumps_over_0(desk, lon, west, east):
    desk.grid(1.0, lat=SOUTH, lon=lon)
    assert count(desk, box(west, -20, east, -10)) == 200
    # with a hole on either side, written in either way: 200 - 2 x 4
    for a, b in ((-1, 1), (359, 1), (359, 361)):
        if west < 359:
            assert count(desk, box(west, -20, east, -10), box(a, -18, b, -14)[::-1]) == 192


def test_what_was_put_together_over_the_date_line_is_said(desk):
    desk.grid(1.0, lat=SOUTH, lon=EAST)
    done = desk.index(desk.regions(box(170, -20, -170, -10)))
    assert "taken to cross the date line (or 0): 1 region: `a`" in done.stderr


def test_a_fine_ring_over_the_date_line_may_turn_either_way(globe):
    circle = [[(180 + 8 * np.cos(t) + 180) % 360 - 180, 8 * np.sin(t)] for t in np.linspace(0, 2 * np.pi, 64, endpoint=False)]
    area = 32 * 64 * np.sin(2 * np.pi / 64)  # of a polygon of 64 corners: n / 2 r^2 sin(2 pi / n)
    for ring in (circle, circle[::-1], circle[20:] + circle[:20]):
        assert count(globe, [*ring, ring[0]]) == pytest.approx(area)


def test_the_direction_of_a_wide_box_says_which_way_it_goes(globe):
    # counter-clockwise over the date line, as GeoJSON has its outlines; counter-clockwise as drawn, as shapely.box makes it
    assert count(globe, box(170, -20, -170, -10)) == pytest.approx(200)
    assert count(globe, box(170, -20, -170, -10)[::-1]) == pytest.approx(3400)
    assert count(globe, box(-170, -20, 170, -10)) == pytest.approx(3400)


def test_a_corner_in_the_middle_of_an_edge_says_which_way_it_goes(globe):
    ring = [[-170, -20], [0, -20], [170, -20], [170, -10], [0, -10], [-170, -10], [-170, -20]]
    assert count(globe, ring) == 3400
    assert count(globe, ring[::-1]) == 3400


@pytest.mark.parametrize(("west", "east"), [(-100, 100), (-135, 135), (0, 200), (30, 260)])
def test_a_wide_box_is_as_drawn(globe, west, east):
    assert count(globe, box(west, 0, east, 10)) == 10 * (east - west)


def test_a_wide_box_of_a_shapefile_is_as_drawn_though_it_turns_the_other_way(globe):
    path = globe.folder / "t.shp"
    geopandas.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(-100, 0, 100, 10)], crs=4326).to_file(path)
    assert globe.value("count", path) == pytest.approx(2000)


def test_the_pacific_drawn_from_100_to_minus_100_is_refused(globe):
    refused(globe, count(globe, box(100, 0, -100, 10)))
    assert count(globe, box(100, 0, 260, 10)) == 1600


def test_almost_the_whole_globe_is_no_strip_along_the_date_line(globe):
    assert count(globe, box(-179.5, -60, 179.5, 60)) == 359 * 120
    assert count(globe, box(0, -60, 359.5, 60)) == 359.5 * 120


def test_parts_that_meet_when_longitudes_go_round_count_once(globe):
    # 170..190 and -180..-175 (185): 20 x 10; the second written on both sides
    for other in (box(-180, 0, -175, 10), box(180, 0, 185, 10), box(540, 0, 545, 10)):
        assert count(globe, [box(170, 0, 190, 10)], [other], kind="MultiPolygon") == 200
    assert count(globe, [box(-180, 0, 180, 10)], [box(170, 0, 190, 10)], kind="MultiPolygon") == 3600
    assert count(globe, box(-180, 0, 300, 10)) == 3600


@pytest.mark.parametrize(
    "lon", [np.arange(170.5, 190), np.arange(-189.5, -170), np.arange(530.5, 550)], ids=["170", "-190", "530"]
)
def test_a_grid_over_the_date_line(desk, lon):
    desk.grid(1.0, lat=SOUTH, lon=lon)
    for west, east in ((175, -175), (175, 185), (-185, -175)):
        assert count(desk, box(west, -20, east, -10)) == 100
    # a tenth of it beyond the grid's edge at -170: 170..-168 is 22 wide
    (row,) = desk.run(desk.regions(box(170, -20, -168, -10)))
    assert float(row["valid_v"]) == pytest.approx(20 / 22)


def test_a_grid_from_an_odd_meridian(desk):
    desk.grid(1.0, lat=SOUTH, lon=np.arange(-179.25, 180))  # edges from -179.75
    assert count(desk, box(170, -20, -170, -10)) == 200
    got = shares(desk, desk.regions(box(179, -20, -179, -19)))
    # cells 0 (-179.75..-178.75), 358 (178.25..179.25), 359 (179.25..180.25)
    row = 10
    assert got == {("a", row, 0): 0.75, ("a", row, 358): 0.25, ("a", row, 359): 1.0}


# Edges of the whole globe


@pytest.mark.parametrize("lon", [WEST, EAST, np.arange(20.5, 380)], ids=["-180", "0", "20"])
@pytest.mark.parametrize(("west", "east"), [(-180, 180), (0, 360), (180, -180), (-90, 270), (360, 0)], ids=str)
def test_a_band_round_the_globe(desk, lon, west, east):
    desk.grid(1.0, lat=GLOBE, lon=lon)
    ring = box(west, 10, east, 20)
    assert count(desk, ring) == 3600
    assert count(desk, ring[::-1]) == 3600
    assert count(desk, [*ring[2:-1], *ring[:3]]) == 3600  # begun at another corner


@pytest.mark.parametrize(
    "hole", [(5, 15), (170, 180), (-180, -170), (175, 185), (175, -175), (-185, -175), (355, 5), (359, 369)], ids=str
)
def test_a_band_round_the_globe_with_a_hole(globe, hole):
    for west, east in ((-180, 180), (0, 360)):
        # 3600 without 10 x 6
        assert count(globe, box(west, 10, east, 20), box(hole[0], 12, hole[1], 18)[::-1]) == 3540


def test_a_band_with_a_notch_at_the_seam(globe):
    # one end runs from (-180, 20) to (-170, 15) to (-180, 10): 3600 without a triangle of 10 x 10 / 2
    ring = [[-180, 10], [180, 10], [180, 20], [-180, 20], [-170, 15], [-180, 10]]
    assert count(globe, ring) == 3550


def test_the_globe_but_for_a_hole(globe):
    for west, east in ((-180, 180), (0, 360)):
        assert count(globe, box(west, -90, east, 90), box(10, 0, 20, 10)[::-1]) == 64800 - 100
        assert count(globe, box(west, -90, east, 90), box(175, 0, -175, 10)[::-1]) == 64800 - 100


def test_bands_that_are_cut_at_the_seam_are_one(globe):
    halves = [[box(-180, 10, 0, 20)], [box(0, 10, 180, 20)]]
    assert count(globe, *halves, kind="MultiPolygon") == 3600
    done = globe.index(globe.regions(*halves, kind="MultiPolygon"))
    assert "none repaired" in done.stderr


def test_a_box_with_edges_of_180_degrees(globe):
    assert count(globe, box(-90, 0, 90, 10)) == 1800
    assert count(globe, box(0, 0, 180, 10)[::-1]) == 1800
    assert count(globe, box(180, 0, 360, 10)) == 1800


# Round the poles


def polar(crs, shape):
    return geopandas.GeoSeries([shape], crs=crs).to_crs(4326)[0]


@pytest.mark.parametrize(("crs", "south"), [(3031, True), (3413, False), (3995, False), (6932, True)])
@pytest.mark.parametrize("centre", [(3e5, 2e5), (0, 0), (-8e5, 1e5)])
def test_a_circle_round_a_pole_holds_it(globe, crs, south, centre):
    circle = shapely.Point(centre).buffer(1e6, 64)
    ring = polar(crs, circle)
    # in bands of longitude: from the ring to the pole, by the trapezium between its corners
    x, y = np.array(ring.exterior.coords)[:-1].T
    step = (np.diff(x, append=x[0]) + 180) % 360 - 180
    expected = abs(np.sum(step * (90 - np.abs(y + np.roll(y, -1)) / 2)))
    path = layer(globe, ring, MultiPolygon([ring, shapely.box(0, 0, 2, 2)]), polar(crs, circle.reverse()))
    rows = globe.run(path)
    assert float(rows[0]["count_v"]) == pytest.approx(expected, abs=1e-6)
    assert float(rows[1]["count_v"]) == pytest.approx(expected + 4, abs=1e-6)
    assert float(rows[2]["count_v"]) == pytest.approx(expected, abs=1e-6)
    assert "round a pole" in globe.index(path).stderr
    # and in its own system, with its edges straight there, about the same
    own = globe.run(layer(globe, circle, crs=crs, name="own.parquet"))
    assert float(own[0]["count_v"]) == pytest.approx(expected, rel=2e-3)
    assert (90 - abs(y)).min() > 0 and (y < 0).all() == south


@pytest.mark.parametrize("own", [False, True])
def test_a_ring_of_land_round_a_pole_leaves_the_pole_out(globe, own):
    outer, inner = shapely.Point(1e5, 0).buffer(2e6, 128), shapely.Point(-1e5, 2e5).buffer(1e6, 128)
    ring = outer.difference(inner)
    whole, hole = (next(float(row["count_v"]) for row in globe.run(layer(globe, polar(3031, s)))) for s in (outer, inner))
    path = layer(globe, ring, crs=3031) if own else layer(globe, polar(3031, ring))
    assert float(globe.run(path)[0]["count_v"]) == pytest.approx(whole - hole, rel=2e-4 if own else 1e-9)


@pytest.mark.parametrize("hole", [(60, 70), (175, 185), (-5, 5)], ids=str)
def test_a_hole_beside_the_pole_in_a_ring_round_it(globe, hole):
    circle = [[lon, -70] for lon in range(-175, 180, 10)]
    whole = count(globe, [*circle, circle[0]])
    assert whole == 360 * 20
    west, east = ((lon + 180) % 360 - 180 for lon in hole)
    assert count(globe, [*circle, circle[0]], box(west, -80, east, -75)[::-1]) == 360 * 20 - 50


@pytest.mark.parametrize("turned", [False, True])
def test_a_ring_that_is_closed_along_the_pole_is_as_drawn(globe, turned):
    # the parallel of 70 S with its closing edges, as Natural Earth draws Antarctica; with and without corners on 180
    for first, last in ((-180, 180), (-175, 175)):
        ring = [[first, -90], *([lon, -70] for lon in np.linspace(first, last, 36)), [last, -90], [first, -90]]
        assert count(globe, ring[::-1] if turned else ring) == 20 * (last - first)
    fine = [
        [-180, -90],
        *([lon, -90] for lon in range(-90, 180, 90)),
        [180, -90],
        [180, -70],
        *([lon, -70] for lon in range(170, -180, -10)),
        [-180, -70],
    ]
    assert count(globe, [*fine, fine[0]]) == 7200


def test_a_ring_round_the_globe_from_minus_180_to_180_without_closing_edges(globe):
    # as some programs write it: corners on both ends of the date line, and nothing more
    ring = [[lon, -80] for lon in range(-180, 181, 10)]
    assert count(globe, [*ring, ring[0]]) == 3600
    ring = [[lon, 80] for lon in range(0, 361, 10)]
    assert count(globe, [*ring, ring[0]]) == 3600


def test_southern_seas_between_a_straight_line_and_the_coast(globe):
    # 60 S as one edge of 360 degrees, the coast at 70 S
    ring = [[-180, -60], *([lon, -70] for lon in range(-180, 181, 10)), [180, -60], [-180, -60]]
    assert count(globe, ring) == 3600


def test_a_ring_round_the_globe_on_both_sides_of_the_equator_is_refused(globe):
    ring = [[lon, lon / 20] for lon in range(-175, 180, 10)]
    assert "pole" in refused(globe, count(globe, [*ring, ring[0]]))


def test_three_corners_round_the_globe_are_refused(globe):
    said = refused(globe, count(globe, [[-170, 10], [170, 10], [0, 40], [-170, 10]]))
    assert "from longitude -170 to 170" in said


def test_a_corner_at_the_pole_is_the_end_of_every_meridian(globe):
    # a sector as it comes from a polar system, where the pole's longitude is 0
    for pole in (0, 120, -30):
        assert count(globe, [[pole, -90], [50, -70], [70, -70], [pole, -90]]) == 400
    # two corners at the pole: as drawn
    assert count(globe, box(50, -90, 70, -70)) == 400
    assert count(globe, [[60, -90], [70, -70], [50, -70], [60, -90]]) == 200


def test_latitudes_a_hair_beyond_the_pole_are_the_pole(globe):
    assert count(globe, box(0, 80, 10, 90.0000001)) == 100
    assert "no longitude and latitude" in count(globe, box(0, 80, 10, 91))


# Grids that hold a pole, regions on them


def plane(desk, x, y, mapping, units="m"):
    path = desk.folder / "t.nc"
    names = ("projection_y_coordinate", "projection_x_coordinate") if units == "m" else ("grid_latitude", "grid_longitude")
    with netCDF4.Dataset(path, "w") as file:
        for side, centres, name in (("y", y, names[0]), ("x", x, names[1])):
            file.createDimension(side, len(centres))
            axis = file.createVariable(side, "f8", (side,))
            axis.units, axis.standard_name, axis[:] = units, name, centres
        file.createVariable("crs", "i4").setncatts(mapping)
        field = file.createVariable("v", "f8", ("y", "x"))
        field.grid_mapping, field[:] = "crs", 1.0
    return desk


POLAR = {
    "grid_mapping_name": "polar_stereographic",
    "latitude_of_projection_origin": -90.0,
    "straight_vertical_longitude_from_pole": 0.0,
    "standard_parallel": -71.0,
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
}
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


@pytest.fixture
def antarctic(desk):
    x = np.arange(-3950e3, 3951e3, 1e5)
    return plane(desk, x, x[::-1], POLAR)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(-180, -90, 180, -70),
        shapely.box(0, -90, 360, -70),
        shapely.box(-180, -90, 180, -70).difference(shapely.box(10, -80, 20, -75)),
        shapely.box(10, -90, 80, -65),
        shapely.box(175, -80, 190, -75),
        shapely.Point(150.3, -70.1).buffer(5e-7),
        shapely.Point(150.3, -70.1).buffer(1e-9),
        shapely.Point(179.9999, -89.99).buffer(5e-7),
    ],
    ids=["cap", "cap-360", "cap-hole", "sector", "dateline", "tiny", "tinier", "near-pole"],
)
def test_a_region_within_a_polar_grid_is_wholly_inside(antarctic, shape):
    (row,) = antarctic.run(layer(antarctic, shape), words=("--min-valid", "1"))
    assert row["valid_v"] == "1" and row["mean_v"] == "1"
    assert "outside" not in antarctic.index(layer(antarctic, shape)).stderr


@pytest.mark.parametrize(
    ("shape", "cells"),
    [
        (shapely.Point(3e5, 2e5).buffer(1e6), None),
        (shapely.box(-1e6, -1e6, 1e6, 1e6), 400),
        (shapely.box(-4e6, -4e6, 4e6, 4e6), 6400),
        (Polygon([(0, 0), (1e6, 1e5), (1e5, 1e6)]), 49.5),
        (shapely.Point(10, 10).buffer(1), None),
    ],
    ids=["circle", "square", "all", "tip", "ten-metres"],
)
def test_a_region_in_the_grids_own_system_that_holds_or_touches_the_pole(antarctic, shape, cells):
    (row,) = antarctic.run(layer(antarctic, shape, crs=3031), words=("--min-valid", "1"))
    assert row["valid_v"] == "1"
    assert float(row["count_v"]) == pytest.approx(cells or shape.area / 1e10, rel=1e-4)


def test_a_region_that_reaches_beyond_a_polar_grid_says_so(antarctic):
    done = antarctic.index(layer(antarctic, shapely.box(-4.1e6, -4e6, 4e6, 4e6), crs=3031))
    assert "in part outside the grid: 1 region" in done.stderr


@pytest.mark.parametrize(
    "shape",
    [shapely.box(-180, 80, 180, 90), shapely.box(0, 40, 30, 60), shapely.Point(18.3, 50.1).buffer(5e-7)],
    ids=["cap", "box", "tiny"],
)
def test_a_region_within_a_rotated_grid_is_wholly_inside(desk, shape):
    plane(desk, np.arange(-49.5, 50), np.arange(-49.5, 50), ROTATED, "degrees")
    (row,) = desk.run(layer(desk, shape), words=("--min-valid", "1"))
    assert row["valid_v"] == "1" and row["mean_v"] == "1"


# Far smaller than a cell


@pytest.mark.parametrize("radius", [1e-3, 5e-7, 1e-9])
@pytest.mark.parametrize("place", [(150.3, 49.6), (179.9999, 0.5), (-150.3, -89.9), (0.5, 89.9), (150, 50)], ids=str)
def test_a_tiny_region_within_the_grid_is_wholly_inside(globe, place, radius):
    path = layer(globe, shapely.Point(place).buffer(radius))
    (row,) = globe.run(path, words=("--min-valid", "1"))
    assert (row["valid_v"], row["mean_v"]) == ("1", "1")
    assert float(row["count_v"]) == pytest.approx(shapely.Point(0, 0).buffer(radius).area, rel=1e-3 if radius < 1e-8 else 1e-6)
    assert "outside" not in globe.index(path).stderr


def test_a_tiny_region_over_four_cells_takes_its_parts_of_each(desk):
    desk.grid([[1, 2, 0, 0], [3, 10, 0, 0], [0] * 4, [0] * 4])
    # three quarters of it in the western column, half in the southern row, by coverage: 3/8 (1 + 3) + 1/8 (2 + 10)
    x, y, side = 11, 1, 1e-6
    ring = box(x - 0.75 * side, y - 0.5 * side, x + 0.25 * side, y + 0.5 * side)
    mean = desk.value("mean", desk.regions(ring), words=("--weights", "coverage"))
    assert mean == pytest.approx(3.0, rel=1e-7)


@pytest.mark.parametrize("out", [0.5, 0.1, 1e-3])
def test_a_tiny_region_that_is_in_part_outside_says_so(desk, out):
    desk.grid(1.0)
    ring = box(14 - 1e-6 * (1 - out), 1, 14 + 1e-6 * out, 1.5)
    (row,) = desk.run(desk.regions(ring))
    assert float(row["valid_v"]) == pytest.approx(1 - out, rel=1e-6)
    assert "in part outside" in desk.index(desk.regions(ring)).stderr
    assert desk.value("mean", desk.regions(ring), words=("--min-valid", "1")) is None


@pytest.mark.parametrize("beyond", [1e-6, 1e-7])
def test_a_region_a_millionth_outside_says_so(desk, beyond):
    desk.grid(1.0)
    for ring in (box(10, 0, 14 + beyond, 4), box(10, -beyond, 14, 4), box(12, 3, 13, 4 + beyond)):
        done = desk.index(desk.regions(ring))
        assert "in part outside" in done.stderr
        assert desk.value("mean", desk.regions(ring), words=("--min-valid", "1")) is None


def test_a_region_along_the_edges_of_a_grid_of_tenths_is_wholly_inside(desk):
    # edges are made of centres, 10.05 + 0.1 k: they differ from decimals by rounding
    desk.grid(1.0, lat=0.05 + 0.1 * np.arange(40), lon=10.05 + 0.1 * np.arange(40))
    for ring in (box(10, 0, 14, 4), box(10, 0, 10.3, 0.7), box(13.7, 3.3, 14, 4)):
        (row,) = desk.run(desk.regions(ring), words=("--min-valid", "1"))
        assert row["valid_v"] == "1"


def test_all_cells_of_a_large_region_valid_is_a_share_of_1(desk):
    desk.grid(1.0, lat=np.arange(-89.95, 90, 0.1)[::3], lon=np.arange(-179.95, 180, 0.1)[::3])
    corners = [[-170.3, -80.7], [0, -60.1], [171.1, 3.3], [-20.9, 83.3], [-170.3, -80.7]]
    (row,) = desk.run(desk.regions(corners), words=("--min-valid", "1"))
    assert row["valid_v"] == "1"


# Parts, nested and overlapping


@pytest.mark.parametrize(
    ("parts", "cells"),
    [
        ([[box(10, 0, 12, 2)], [box(11, 1, 13, 3)]], 7),  # 4 + 4 - 1
        ([[box(10, 0, 14, 4)], [box(11, 1, 13, 3)]], 16),
        ([[box(10, 0, 14, 4)], [box(10, 0, 14, 4)]], 16),
        ([[box(10, 0, 14, 4), box(11, 1, 13, 3)], [box(11, 1, 13, 3)]], 16),  # the part fills the hole
        ([[box(10, 0, 14, 4), box(11, 1, 13, 3)], [box(11, 1, 12, 3)]], 14),  # half of it
        ([[box(10, 0, 14, 4), box(11, 1, 13, 3)], [box(11.5, 1.5, 12.5, 2.5)]], 13),  # an island
        ([[box(10, 0, 14, 4), box(11, 1, 13, 3)], [box(10, 0, 14, 4), box(12, 1, 14, 3)]], 14),  # holes: only 12..13 in both
        ([[box(10, 0, 11, 1)], [box(11, 0, 12, 1)], [box(11, 1, 12, 2)]], 3),  # neighbours
        ([[box(10, 0, 12, 2)], [box(11, 0, 13, 2)], [box(12, 0, 14, 2)]], 8),
        ([[box(10, 0, 14, 4), box(10, 0, 14, 4)], [box(10, 0, 11, 1)]], 1),  # a hole like its outline
        ([[box(10, 0, 12, 2), box(11.5, 0.5, 12.5, 1.5)]], 3.5),  # half of the hole outside
        ([[box(10, 0, 12, 2), box(12, 0.5, 13, 1.5)]], 4),  # it only touches
        ([[box(10, 0, 12, 2), box(13, 1, 14, 2)]], 5),  # wholly outside: GEOS has it as an outline
        ([[box(10, 0, 14, 4), box(11, 1, 13, 3), box(11.5, 1.5, 12.5, 2.5)]], 12),  # a hole in a hole
        ([[box(10, 0, 14, 4), box(11, 1, 12, 3), box(11.5, 1, 13, 3)]], 12),  # holes that overlap: 2 x 2
        ([[box(10, 0, 14, 4), box(11, 1, 13, 3)[::-1], box(11, 1, 13, 3)]], 12),  # the same hole, either way
    ],
)
def test_parts_are_dissolved_and_holes_belong_to_their_own(desk, parts, cells):
    desk.grid(1.0)
    assert count(desk, *parts, kind="MultiPolygon") == cells
    assert count(desk, *parts[::-1], kind="MultiPolygon") == cells
    collection = [{"type": "Polygon", "coordinates": part} for part in parts]
    assert count(desk, *collection, kind="GeometryCollection") == cells
    turned = [[ring[::-1] for ring in part] for part in parts]
    assert count(desk, *turned, kind="MultiPolygon") == cells


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 0), (2, 2), (2, 0), (0, 2)],
        [(0, 0), (1, 1), (2, 2), (2, 0), (1, 1), (0, 2)],
        [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (2, 1), (2, 2), (1, 2)],
        [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 2), (2, 2), (2, 1)],
        [(0, 0), (4, 0), (4, 4), (1, 4), (1, 0), (3, 0), (3, 2), (0, 2)],
        [(1, 0), (3, 4), (0, 1.5), (4, 1.5), (1, 4)],
        [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (1, 0), (1, 1), (0, 1)],
        [(0, 0), (2, 0), (2, 1), (4, 1), (2, 1), (2, 2), (0, 2)],
        [(0, 0), (4, 0), (4, 4), (0, 4), (0, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2)],
    ],
)
def test_a_ring_that_crosses_or_touches_itself_is_what_make_valid_has_by_structure(desk, ring):
    desk.grid(1.0)
    expected = make_valid(Polygon(ring), method="structure").area
    assert count(desk, [[x + 10, y] for x, y in ring]) == pytest.approx(expected, abs=1e-9)
    assert count(desk, [[x + 10, y] for x, y in ring][::-1]) == pytest.approx(expected, abs=1e-9)


def test_valid_regions_of_several_parts_are_not_repaired(desk):
    desk.grid(1.0)
    parts = [[box(10, 0, 14, 4), box(11, 1, 13, 3)[::-1]], [box(11.5, 1.5, 12.5, 2.5)]]
    assert "1 regions (none repaired)" in desk.index(desk.regions(*parts, kind="MultiPolygon")).stderr
    parts.append([box(11, 1, 12, 2)])
    assert "1 repaired (0 touched themselves, 1 crossed)" in desk.index(desk.regions(*parts, kind="MultiPolygon")).stderr


def test_a_sliver_that_two_parts_share_counts_once(desk):
    desk.grid(1.0)
    assert desk.value(
        "count", desk.regions([box(10, 0, 12, 4)], [box(12 - 1e-9, 0, 14, 4)], kind="MultiPolygon")
    ) == pytest.approx(16, abs=1e-12)


def test_corners_that_are_no_numbers_are_refused(desk):
    desk.grid(1.0)
    path = layer(desk, Polygon([(10, 0), (14, 0), (np.nan, 4)]), shapely.box(10, 0, 11, 1))
    assert "no longitude and latitude" in desk.run(path) or "no place" in desk.run(path)


def test_rings_without_area_are_null_and_named(desk):
    desk.grid(1.0)
    line = [[10, 0], [14, 4], [10, 0]]
    path = desk.folder / "t.geojson"
    shapes = {"line": [line], "flat": [[[10, 0], [12, 0], [14, 0], [10, 0]]], "whole": [box(10, 0, 11, 1)]}
    features = ",".join(
        f'{{"type":"Feature","properties":{{"id":"{k}"}},"geometry":{{"type":"Polygon","coordinates":{v}}}}}'
        for k, v in shapes.items()
    )
    path.write_text(f'{{"type":"FeatureCollection","features":[{features}]}}')
    rows = {row["id"]: row["count_v"] for row in desk.run(path)}
    assert rows == {"line": "", "flat": "", "whole": "1"}
    assert "without area, null in the output: 2 regions: `line`, `flat`" in desk.index(path).stderr


# Shapefiles: rings without order


def shapefile(desk, *records):
    """Rings exactly as given; GDAL would turn them."""
    body, index, place = b"", b"", 50
    for number, rings in enumerate(records, 1):
        points = [p for ring in rings for p in ring]
        starts = np.cumsum([0, *map(len, rings[:-1])])
        x, y = zip(*points, strict=True)
        content = struct.pack("<i4dii", 5, min(x), min(y), max(x), max(y), len(rings), len(points)) + struct.pack(
            f"<{len(rings)}i", *starts
        )
        content += b"".join(struct.pack("<2d", *p) for p in points)
        body += struct.pack(">ii", number, len(content) // 2) + content
        index += struct.pack(">ii", place, len(content) // 2)
        place += 4 + len(content) // 2
    path = desk.folder / "t.shp"
    for end, data in ((".shp", body), (".shx", index)):
        head = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 50 + len(data) // 2) + struct.pack(
            "<ii8d", 1000, 5, -180, -90, 180, 90, 0, 0, 0, 0
        )
        path.with_suffix(end).write_bytes(head + data)
    field = b"id".ljust(11, b"\0") + b"C" + bytes(4) + bytes([10, 0]) + bytes(14)
    rows = b"".join(b" " + str(k).encode().ljust(10) for k in range(len(records)))
    path.with_suffix(".dbf").write_bytes(
        struct.pack("<BBBBIHH20x", 3, 120, 1, 1, len(records), 65, 11) + field + b"\r" + rows + b"\x1a"
    )
    path.with_suffix(".prj").write_text(
        'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
    )
    return path


def outline(*sides):
    return box(*sides)[::-1]


LAND, LAKE, ISLAND = (0, 0, 9, 9), (1, 1, 6, 6), (2, 2, 3, 3)
RINGS = {
    "hole": [outline(*LAND), box(*LAKE)],
    "island": [outline(*LAND), box(*LAKE), outline(*ISLAND)],
    "island first": [outline(*ISLAND), box(*LAKE), outline(*LAND)],
    "all outlines": [outline(*LAND), outline(*LAKE)],
    "all holes": [box(*LAND), box(*LAKE)],
    "one, the wrong way": [box(*LAND)],
    "hole outside": [outline(*LAND), box(20, 1, 22, 3)],
    "overlapping": [outline(0, 0, 2, 2), outline(1, 1, 3, 3)],
    "hole pokes out": [outline(0, 0, 2, 2), box(1.5, 0.5, 2.5, 1.5)],
    "hole in hole": [outline(*LAND), box(*LAKE), box(*ISLAND)],
    "hole like outline": [outline(*LAND), box(*LAND)],
    "twice": [outline(*LAND), outline(*LAND)],
    "a hole in each": [outline(*LAND), outline(20, 0, 29, 9), box(21, 1, 22, 2), box(1, 1, 2, 2)],
    "hole over two": [outline(0, 0, 2, 2), outline(2, 0, 4, 2), box(1.5, 0.5, 2.5, 1.5)],
}


def test_the_rings_of_a_shapefile_are_read_as_gdal_reads_them(desk):
    desk.grid(1.0, lat=np.arange(0.5, 30), lon=np.arange(0.5, 30))
    path = shapefile(desk, *RINGS.values())
    frame = geopandas.read_file(path)
    expected = [make_valid(shape, method="structure").area for shape in frame.geometry]
    got = [float(row["count_v"] or 0) for row in desk.run(path)]
    assert dict(zip(RINGS, got, strict=True)) == pytest.approx(dict(zip(RINGS, expected, strict=True)))


def test_a_shapefile_of_which_every_ring_turns_the_wrong_way(desk):
    desk.grid(1.0, lat=np.arange(0.5, 30), lon=np.arange(0.5, 30))
    # GDAL makes a hole of the land here; what contains what tells better
    path = shapefile(desk, [box(*LAND), outline(*LAKE)], [box(*LAND), outline(*LAKE), box(*ISLAND)])
    assert [row["count_v"] for row in desk.run(path)] == ["56", "57"]


def test_a_shapefile_with_a_hole_beyond_the_date_line(desk):
    desk.grid(1.0, lat=SOUTH, lon=WEST)
    ring, hole = box(170, -20, -170, -10), box(-178, -18, -174, -12)
    path = shapefile(desk, [ring, hole], [ring, hole, outline(0, -5, 2, -3)], [ring[::-1][::-1]])
    assert [float(row["count_v"]) for row in desk.run(path)] == pytest.approx([176, 180, 200])


# Time


def timed(desk, path):
    start = time.process_time(), time.monotonic()
    done = desk.index(path, "t.nc", "--threads", "1")
    assert done.returncode == 0, done.stderr
    return time.monotonic() - start[1]


def test_many_corners_and_many_holes_take_no_square_of_the_time(desk):
    desk.grid(1.0, lat=SOUTH, lon=EAST)
    n = 100_000
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    r = 10 + 0.5 * np.cos(n / 4 * t)
    star = Polygon(np.c_[100 + r * np.cos(t), -15 + r * np.sin(t)])
    holes = [
        shapely.box(100 + 0.1 * k % 10, -20 + 0.1 * (k // 100), 100 + 0.1 * k % 10 + 0.05, -20 + 0.1 * (k // 100) + 0.05)
        for k in range(10_000)
    ]
    sieve = Polygon(shapely.box(99, -21, 111, -9).exterior, [h.exterior for h in holes])
    saw = np.c_[np.where(np.arange(n) % 2, 120.0, 125.0), np.linspace(-28, -2, n)]
    coast = Polygon([*saw, (130, -2), (130, -28)])
    many = MultiPolygon(
        [shapely.box(x, y, x + 0.1, y + 0.1) for x in np.arange(200, 220, 0.2) for y in np.arange(-28, -8, 0.2)]
    )
    for shape in (star, sieve, coast, many):
        path = layer(desk, shape)
        assert timed(desk, path) < 20
        assert sum(shares(desk, path).values()) == pytest.approx(shape.area, rel=1e-9)


# Against shapely, at random


def star(rng, x, y, radius, corners, decimals):
    turn, far = np.sort(rng.uniform(0, 2 * np.pi, corners)), radius * rng.uniform(0.4, 1, corners)
    return np.round(np.c_[x + far * np.cos(turn), y + far * np.sin(turn)], decimals)


def parts(rng, x, y, kind):
    """Outlines and holes of one region that overlap, cross, repeat and lie within each other."""
    decimals, out = int(rng.integers(0, 4)), []
    for _ in range(rng.integers(1, 5)):
        a, b, radius = x + rng.uniform(-6, 6), y + rng.uniform(-6, 6), rng.uniform(2, 8)
        if kind == "crossing" and rng.random() < 0.5:
            shell = np.round(np.c_[a + rng.uniform(-radius, radius, 7), b + rng.uniform(-radius, radius, 7)], decimals)
        elif rng.random() < 0.2:
            shell = np.round(np.array(box(a - radius, b - radius, a + radius, b + radius)[:-1]), decimals)
        else:
            shell = star(rng, a, b, radius, int(rng.integers(5, 14)), decimals)
            shell = shell[::-1] if kind != "date line" and rng.random() < 0.5 else shell
        reach = radius * (0.6 if kind == "date line" else 1.2)
        holes = [
            star(
                rng,
                a + rng.uniform(-reach, reach),
                b + rng.uniform(-reach, reach),
                radius * rng.uniform(0.1, 0.6),
                int(rng.integers(4, 8)),
                decimals,
            )[::-1]
            for _ in range(rng.integers(0, 4))
        ]
        if rng.random() < 0.1:
            holes.append(shell)
        out.append((shell, holes))
        if rng.random() < 0.15:
            out.append((shell, holes[:1]))
    return out


def doubtful(shell, holes, kind):
    """What rounding decides (a hole that touches its outline from outside), or what few corners leave open."""
    mended = make_valid(Polygon(shell), method="structure")
    if kind == "date line" and not (Polygon(shell).is_valid and Polygon(shell).exterior.is_ccw):
        return True
    for hole in holes:
        inner = make_valid(Polygon(hole), method="structure")
        if mended.distance(inner) < 1e-9 and mended.intersection(inner).area < 1e-9:
            return True
    return False


@pytest.mark.parametrize("seed", range(3))
def test_random_regions_are_the_union_that_shapely_makes(desk, seed):
    rng = np.random.default_rng(seed)
    desk.grid(1.0, lat=np.arange(-29.5, 30), lon=WEST if seed % 2 else EAST)
    shapes, expected = [], []
    while len(shapes) < 300:
        kind = ("plain", "crossing", "date line")[len(shapes) % 3]
        made = parts(rng, 180 if kind == "date line" else rng.uniform(-150, 150), rng.uniform(-10, 10), kind)
        if any(doubtful(shell, holes, kind) for shell, holes in made):
            continue
        valid = [make_valid(Polygon(shell, holes), method="structure") for shell, holes in made]
        union = shapely.union_all([part for shape in valid for part in shapely.get_parts(shape) if "Polygon" in part.geom_type])
        turn = lambda ring: np.c_[(ring[:, 0] + 180) % 360 - 180, ring[:, 1]]  # noqa: E731
        shapes.append(MultiPolygon([Polygon(turn(shell), [turn(hole) for hole in holes]) for shell, holes in made]))
        expected.append(union)
    got = shares(desk, layer(desk, *shapes))
    first = 180 if seed % 2 else 0
    for k, union in enumerate(expected):
        cells = {}
        west, south, east, north = union.bounds if not union.is_empty else (0, 0, 0, 0)
        for x in range(int(np.floor(west)), int(np.ceil(east))):
            for y in range(int(np.floor(south)), int(np.ceil(north))):
                place = (str(k), y + 30, (x + first) % 360)
                cells[place] = cells.get(place, 0) + union.intersection(shapely.box(x, y, x + 1, y + 1)).area
        for place in cells.keys() | {p for p in got if p[0] == str(k)}:
            assert got.get(place, 0) == pytest.approx(cells.get(place, 0), abs=1e-9), mapping(shapes[k])
