"""Coordinates as files really carry them: units, bounds, spacing, names. Values of `v` are the row's own latitude unless said."""

import itertools
import json

import numpy as np
import pytest
import shapely

from tests.ncproj.odd import LAT, LON, box

ROWS = LAT[:, None]  # every cell holds its latitude, 0.5 .. 3.5


def bounds(file, name, pairs, **attrs):
    """Adds the variable of bounds; pairs: (n, 2)."""
    if "two" not in file.dimensions:
        file.createDimension("two", 2)
    variable = file.createVariable(name, "f8", (name.split("_")[0], "two"))
    variable.setncatts(attrs)
    variable[:] = pairs


def pairs(edges):
    return np.column_stack([edges[:-1], edges[1:]])


@pytest.mark.parametrize(
    "unit",
    [
        "degrees_north",
        "degree_north",
        "degree_N",
        "degrees_N",
        "degreeN",
        "degreesN",
        "DEGREES_NORTH",
        "degrees",
        "degree",
        "deg",
        None,
    ],
)
def test_degrees_in_all_spellings_of_cf(desk, unit):
    desk.grid(ROWS, lat_attrs={"units": unit, "standard_name": "latitude"})
    assert desk.value("max", desk.regions(box(10, 0, 14, 2))) == 1.5  # rows 0..1 and 1..2


@pytest.mark.parametrize(
    ("unit", "degrees"),
    [
        ("radian", 180 / np.pi),
        ("radians", 180 / np.pi),
        ("rad", 180 / np.pi),
        ("grad", 0.9),
        ("gon", 0.9),
        ("arc_minute", 1 / 60),
        ("arcsec", 1 / 3600),
        ("turn", 360),
    ],
)
def test_other_units_of_angle_are_brought_to_degrees(desk, unit, degrees):
    odd = {"units": unit}
    desk.grid(
        ROWS,
        lat=LAT / degrees,
        lon=LON / degrees,
        lat_attrs={**odd, "standard_name": "latitude"},
        lon_attrs={**odd, "standard_name": "longitude"},
    )
    region = desk.regions(box(10, 1, 12, 2.5))
    # a whole row of 1.5 and half a row of 2.5, by covered share: (1.5 + 2.5 / 2) / 1.5
    assert desk.value("mean", region, words=["--weights", "coverage"]) == pytest.approx((1.5 + 1.25) / 1.5, rel=1e-6)
    assert desk.value("count", region) == pytest.approx(3, rel=1e-6)


def test_bounds_in_radian_are_brought_to_degrees_with_their_coordinate(desk):
    edges = np.array([0.0, 1.0, 3.0, 3.5, 4.0])
    centres = (edges[:-1] + edges[1:]) / 2
    desk.grid(
        centres[:, None],
        lat=np.radians(centres),
        lat_attrs={"units": "radian", "standard_name": "latitude", "bounds": "lat_bnds"},
        more=lambda file: bounds(file, "lat_bnds", np.radians(pairs(edges))),
    )
    assert desk.value("count", desk.regions(box(10, 1, 14, 3))) == pytest.approx(4)
    assert desk.value("max", desk.regions(box(10, 1, 14, 3))) == 2.0


def test_south_and_west_count_backwards(desk):
    # stored 3.5 .. 0.5 degrees south, and 13.5 .. 10.5 degrees west
    desk.grid(ROWS, lat=LAT, lon=LON, lat_attrs={"units": "degrees_south"}, lon_attrs={"units": "degrees_west"})
    assert desk.value("max", desk.regions(box(-14, -2, -10, 0))) == 1.5
    assert desk.value("count", desk.regions(box(-11, -4, -10, 0))) == 4
    assert "no region touches the grid" in desk.value("count", desk.regions(box(10, 0, 14, 4)))


@pytest.mark.parametrize("unit", ["m", "1", "K", "degC", "km", "degrees_true", "pixels", 1])
def test_a_unit_that_is_no_angle_is_refused_by_name(desk, unit):
    desk.grid(ROWS, lat_attrs={"units": unit, "standard_name": "latitude"})
    said = desk.value("mean")
    assert f"the latitude is in `{unit}`" in said and "t.nc: variable `lat`, attribute `units`" in said


def test_a_latitude_that_says_degrees_east_is_refused(desk):
    desk.grid(ROWS, lat_attrs={"units": "degrees_east", "standard_name": "latitude"})
    assert "a unit of the other axis" in desk.value("mean")


def test_units_tell_the_axis_where_names_lie(desk):
    # called lat and lon, but the units say that it is the other way round
    desk.grid(ROWS, lat=LON, lon=LAT, lat_attrs={"units": "degrees_east"}, lon_attrs={"units": "degrees_north"})
    assert desk.value("count", desk.regions(box(10, 0, 11, 4))) == 4
    assert desk.value("max", desk.regions(box(10, 0, 11, 4))) == 0.5  # the first row of the file is the column at 10 E


def test_a_radian_longitude_that_goes_round_the_globe_is_global(desk):
    lon = np.arange(-179.5, 180)
    desk.grid(lon[None, :], lon=np.radians(lon), lon_attrs={"units": "radian", "standard_name": "longitude"})
    assert desk.value("count", desk.regions(box(179, 0, 181, 1))) == pytest.approx(2)
    assert desk.value("min", desk.regions(box(179, 0, 181, 1))) == -179.5


def test_bounds_that_name_no_variable_are_refused(desk):
    desk.grid(ROWS, lat_attrs={"bounds": "lat_bnds"})
    said = desk.value("mean")
    assert "there is no variable `lat_bnds`" in said and "attribute `bounds`" in said


@pytest.mark.parametrize("shape", [("two", "lat"), ("lat",), ("lat", "lon")])
def test_bounds_of_another_shape_are_refused(desk, shape):
    def more(file):
        file.createDimension("two", 2)
        file.createVariable("lat_bnds", "f8", shape)[:] = 0

    desk.grid(ROWS, lat_attrs={"bounds": "lat_bnds"}, more=more)
    assert "has not the shape of bounds" in desk.value("mean")


@pytest.mark.parametrize("shift", [2, -3, 0.6])
def test_bounds_that_do_not_hold_their_centres_are_refused(desk, shift):
    edges = np.arange(0, 5.0) + shift
    desk.grid(ROWS, lat_attrs={"bounds": "lat_bnds"}, more=lambda file: bounds(file, "lat_bnds", pairs(edges)))
    said = desk.value("mean")
    assert "the bounds do not hold their centre: the latitude" in said and "variable `lat_bnds`, bounds of `lat`" in said


@pytest.mark.parametrize("gap", [0.2, 0.005, -0.3])
def test_cells_with_gaps_or_overlaps_are_refused(desk, gap):
    found = pairs(np.arange(0, 5.0))
    found[2, 0] += gap
    desk.grid(ROWS, lat_attrs={"bounds": "lat_bnds"}, more=lambda file: bounds(file, "lat_bnds", found))
    assert "the cells do not meet" in desk.value("mean")


def test_a_refused_number_is_short_however_large_it_is(desk):
    found = pairs(np.arange(0, 5.0))
    found[3, 1] = 1e300
    desk.grid(ROWS, lat_attrs={"bounds": "lat_bnds"}, more=lambda file: bounds(file, "lat_bnds", found))
    said = desk.value("mean")
    assert isinstance(said, str) and max(map(len, said.splitlines())) < 200 and "0" * 30 not in said


def test_bounds_in_another_unit_than_their_coordinate_are_refused(desk):
    desk.grid(
        ROWS,
        lat_attrs={"bounds": "lat_bnds"},
        more=lambda file: bounds(file, "lat_bnds", np.radians(pairs(np.arange(0, 5.0))), units="radian"),
    )
    assert "the bounds are in `radian`, their coordinate is in `degrees_north`" in desk.value("mean")


def test_centres_that_lie_on_the_edge_of_their_bounds_are_fine(desk):
    # as atmosphere models have it at the poles: the centre -90 of a half cell -90 .. -89
    lat = np.array([-90.0, -88.0, -86.0])
    edges = np.array([-90.0, -89, -87, -85])
    desk.grid(lat[:, None], lat=lat, lat_attrs={"bounds": "lat_bnds"}, more=lambda file: bounds(file, "lat_bnds", pairs(edges)))
    assert desk.value("count", desk.regions(box(10, -90, 14, -88))) == 6  # a row, and half of the next
    assert desk.value("min", desk.regions(box(10, -90, 14, -89))) == -90


def gaussian(n):
    """The n Gaussian latitudes, ascending: the roots of the Legendre polynomial."""
    return np.degrees(np.arcsin(np.polynomial.legendre.leggauss(n)[0]))


@pytest.mark.parametrize("n", [8, 64, 320, 640])
def test_gaussian_latitudes_use_their_real_midpoints(desk, n):
    lat = gaussian(n)
    desk.grid(np.arange(n)[:, None], lat=lat)
    edges = np.concatenate([[lat[0] - (lat[1] - lat[0]) / 2], (lat[:-1] + lat[1:]) / 2, [lat[-1] + (lat[-1] - lat[-2]) / 2]])
    south, north = 3.3, 41.7
    region = desk.regions(box(10, south, 14, north))
    shares = np.clip(np.minimum(edges[1:], north) - np.maximum(edges[:-1], south), 0, None) / np.diff(edges)
    wanted = (shares * np.arange(n)).sum() / shares.sum()
    assert desk.value("mean", region, words=["--weights", "coverage"]) == pytest.approx(wanted, rel=1e-12)


def test_rows_that_differ_by_a_hundred_thousandth_of_a_degree_are_not_even(desk):
    # the second row begins at 0.99 and not at 1: its centre was moved by 2e-5 times 500
    lat = np.array([0.5, 1.50001, 2.5, 3.5]) + 1e-9
    desk.grid(ROWS, lat=lat)
    edges = [lat[0] - (lat[1] - lat[0]) / 2, *(lat[:-1] + lat[1:]) / 2, lat[-1] + 0.5]
    region = desk.regions(box(10, 1, 14, 2))
    shares = [(min(b, 2) - max(a, 1)) / (b - a) if min(b, 2) > max(a, 1) else 0 for a, b in itertools.pairwise(edges)]
    wanted = sum(s * v for s, v in zip(shares, LAT, strict=True)) / sum(shares)
    assert desk.value("mean", region, words=["--weights", "coverage"]) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_centres_that_were_written_with_few_decimals_are_even(desk, digits):
    # thirds of a degree, rounded: the cell 1/3 .. 2/3 is covered wholly by the box between
    lat = np.round((np.arange(600) + 0.5) / 3 - 100 + 1 / 3, digits)
    lat = lat[(lat > -60) & (lat < 60)]
    desk.grid(np.arange(len(lat))[:, None], lat=lat)
    done = desk.program("info", desk.folder / "t.nc")
    assert ("regular" in done.stdout.split("latitude")[1].splitlines()[0]) == (digits > 2), done.stdout


@pytest.mark.parametrize("digits", [4, 5, 6, 7])
@pytest.mark.parametrize("start", [260.2276245, 12.0000004, 0.02083349, -124.7729999])
def test_an_even_axis_is_even_wherever_its_decimals_were_cut(desk, digits, start):
    """The first and the last value were rounded too: what is drawn through them may lie two roundings off."""
    for n in (48, 145, 1386):
        step = 1 / 240
        desk.grid(0.0, lon=np.round(start + np.arange(n) * step, digits))
        done = desk.program("info", "--json", desk.folder / "t.nc")
        assert json.loads(done.stdout)["grid"]["lon"]["regular"] == (digits > 4), (n, done.stdout)


def swapped_names(file):
    file.renameVariable("lat", "rows")
    file.renameVariable("lon", "columns")
    for name in ("rows", "columns"):
        del file[name].units


def test_coordinates_that_the_file_does_not_tell_are_named_by_the_user(desk):
    desk.grid(ROWS, more=swapped_names)
    assert "there is no variable with latitude and longitude" in desk.value("mean")
    names = ["--latitude", "rows", "--longitude", "columns"]
    assert desk.value("max", desk.regions(box(10, 0, 14, 2)), index=names) == 1.5
    done = desk.program("info", desk.folder / "t.index")
    assert done.returncode == 0 and "rows" in done.stdout


def test_named_coordinates_go_before_what_the_file_says(desk):
    def more(file):
        other = file.createVariable("centre", "f8", ("lat",))
        other[:] = LAT + 10

    desk.grid(ROWS, more=more)
    assert desk.value("max", desk.regions(box(10, 10, 14, 12)), index=["--latitude", "centre", "--longitude", "lon"]) == 1.5


@pytest.mark.parametrize(
    "words", [["--latitude", "lat"], ["--latitude", "lat", "--longitude", "lon", "--y", "lat", "--x", "lon"]]
)
def test_one_name_alone_or_two_pairs_are_a_wrong_command_line(desk, words):
    desk.grid(ROWS)
    assert desk.index(None, "t.nc", *words).returncode == 2


def test_a_named_coordinate_that_is_not_there_gets_the_nearest_name(desk):
    desk.grid(ROWS)
    said = desk.value("mean", index=["--latitude", "latt", "--longitude", "lon"])
    assert "there is no variable `latt`" in said and "did you mean `lat`?" in said


def test_a_named_coordinate_of_two_dimensions_is_refused(desk):
    desk.grid(ROWS)
    assert "is no coordinate of a grid: both have to be numbers" in desk.value(
        "mean", index=["--latitude", "v", "--longitude", "lon"]
    )


def test_named_coordinates_may_have_the_two_dimensions_of_the_cells(desk):
    # two pairs of 2-D coordinates that no attribute tells apart: the second is 10 degrees further north
    def more(file):
        swapped_names(file)
        for name, values in (("p", LAT), ("q", LAT + 10)):
            file.createVariable(name, "f8", ("lat", "lon"))[:] = values[:, None]
        file.createVariable("r", "f8", ("lat", "lon"))[:] = LON[None, :]

    desk.grid(ROWS, more=more)
    for name, south in (("p", 0), ("q", 10)):
        names = ["--latitude", name, "--longitude", "r", "--variable", "v"]
        region = desk.regions(box(10, south, 14, south + 2))
        assert desk.value("max", region, index=names, words=["--variables", "v"]) == 1.5
        assert desk.value("count", region, index=names, words=["--variables", "v"]) == pytest.approx(8)


def test_axis_types_of_the_common_data_model_are_read(desk):
    def more(file):
        swapped_names(file)
        file["rows"]._CoordinateAxisType, file["columns"]._CoordinateAxisType = "Lat", "Lon"

    desk.grid(ROWS, more=more)
    assert desk.value("max", desk.regions(box(10, 0, 14, 2))) == 1.5


@pytest.mark.parametrize("turn", [-360, 0, 360])
@pytest.mark.parametrize("down", [False, True])
def test_longitudes_may_be_counted_any_way_and_fall(desk, turn, down):
    lon = (LON + turn)[:: -1 if down else 1]
    desk.grid(lon[None, :] - turn, lon=lon)
    region = desk.regions(box(11.5, 0, 13, 4))
    cells = shapely.box(np.arange(10, 14), 0, np.arange(11, 15), 4)
    shares = shapely.area(shapely.intersection(cells, shapely.box(11.5, 0, 13, 4))) / 4
    assert desk.value("mean", region) == pytest.approx((shares * LON).sum() / shares.sum())
    assert desk.value("count", region) == pytest.approx(shares.sum() * 4)


def test_latitudes_beyond_the_pole_and_missing_ones_are_refused(desk):
    desk.grid(ROWS, lat=[89.5, 90.5, 91.5, 92.5])
    assert "92.5 is no latitude" in desk.value("mean")
    desk.grid(ROWS, lat=[0.5, np.nan, 2.5, 3.5])
    assert "value 2 of the latitude is missing" in desk.value("mean")
