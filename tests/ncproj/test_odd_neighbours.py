"""What was found by trying: inputs beside those of the other files that a first version got wrong."""

import netCDF4
import numpy as np
import pyproj
import pytest
import shapely

from tests.ncproj.odd import LAT, LON


def steps(file, dimension, values, **attrs):
    """A 1-D time on a dimension, which is made if need be."""
    if dimension not in file.dimensions:
        file.createDimension(dimension, len(values))
    time = file.createVariable(attrs.pop("name", dimension), "f8", (dimension,))
    time.setncatts({"units": "hours since 2000-01-01", **attrs})
    time[:] = values


def field(file, *dimensions, **attrs):
    """`w`, 1 everywhere, over these dimensions and the grid's."""
    variable = file.createVariable("w", "f8", (*dimensions, "lat", "lon"))
    variable.setncatts(attrs)
    variable[:] = 1
    return variable


def only(desk, **options):
    return desk.run(stats="mean,count", words=("--variables", "w"), **options)


def test_a_file_of_a_stack_of_which_a_range_masks_everything_is_a_warning(desk):
    for name, day, most in (("a.nc", 0, 9), ("b.nc", 1, 1)):

        def more(file, day=day, most=most):
            steps(file, "time", [24 * day])
            variable = file.createVariable("w", "i2", ("time", "lat", "lon"))
            variable.valid_max = np.int16(most)
            variable.set_auto_maskandscale(False)
            variable[:] = 5

        desk.grid(1.0, name=name, more=more)
    rows = only(desk, grids=("a.nc", "b.nc"))
    assert [row["mean_w"] for row in rows] == ["5", ""]
    assert "warning: b.nc: variable `w`: every value of `w` lies outside of its valid_max" in desk.said.replace(
        "`valid_max`", "valid_max"
    )
    alone = desk.run(grids=("b.nc",), words=("--variables", "w"))
    assert "every value of `w` lies outside of its" in alone


@pytest.mark.parametrize("beginning", ["forecast_reference_time", None])
def test_times_beside_the_beginnings_of_forecasts_are_the_times(desk, beginning):
    def more(file):
        attrs = {"standard_name": beginning} if beginning else {}
        steps(file, "reftime", [0, 24], **attrs)
        steps(file, "reftime", [6, 30], name="time", standard_name="time")
        field(file, "reftime", coordinates="time")

    desk.grid(1.0, more=more)
    if beginning:
        assert [row["time"][:13] for row in only(desk)] == ["2000-01-01T06", "2000-01-02T06"]


def test_valid_times_beside_steps_are_the_times(desk):
    def more(file):
        step = {"units": "hours", "standard_name": "forecast_period"}
        steps(file, "step", [6, 12], **step)
        steps(file, "step", [6, 12], name="valid_time", standard_name="time")
        scalar = file.createVariable("time", "f8", ())
        scalar.setncatts({"units": "hours since 2000-01-01", "standard_name": "forecast_reference_time"})
        scalar[:] = 0
        field(file, "step", coordinates="time valid_time")

    desk.grid(1.0, more=more)
    assert [row["time"][:13] for row in only(desk)] == ["2000-01-01T06", "2000-01-01T12"]


def test_times_of_two_dimensions_are_refused_by_name(desk):
    def more(file):
        steps(file, "time", [0, 24], standard_name="forecast_reference_time")
        steps(file, "step", [6, 12], units="hours", standard_name="forecast_period")
        both = file.createVariable("valid_time", "f8", ("time", "step"))
        both.setncatts({"units": "hours since 2000-01-01", "standard_name": "time"})
        both[:] = [[6, 12], [30, 36]]
        field(file, "time", "step")

    desk.grid(1.0, more=more)
    said = only(desk)
    assert "the times stand in `valid_time(time, step)`" in said and "t.nc: variable `w`" in said


@pytest.mark.parametrize(
    ("kind", "missing"), [("u2", np.int32(-2)), ("u1", np.float32(-2)), ("u2", np.float64(-2)), ("u4", np.int64(-1000))]
)
def test_a_negative_missing_value_of_a_wider_type_masks_no_unsigned_number(desk, kind, missing):
    values = np.full((4, 4), 100)
    values[0, 0] = np.array(-2 if kind != "u4" else -1000).astype(kind)  # the number that has these bits
    desk.grid(values, kind=kind, attrs={"missing_value": missing})
    got = desk.value("count")
    assert got == 16 or (isinstance(got, str) and "missing_value" in got)


@pytest.mark.parametrize(
    ("bounds", "coordinate"), [("degrees", "degrees_north"), ("deg", "degree_north"), ("degree_N", "degrees")]
)
def test_bounds_may_spell_their_unit_otherwise(desk, bounds, coordinate):
    def more(file):
        file.createDimension("two", 2)
        pairs = file.createVariable("lat_bnds", "f8", ("lat", "two"))
        pairs.units = bounds
        pairs[:] = np.column_stack([np.arange(4), np.arange(1, 5)])

    attrs = {"bounds": "lat_bnds", "units": coordinate, "standard_name": "latitude"}
    desk.grid(1.0, lat_attrs=attrs, more=more)
    assert desk.value("count") == 16


def test_scanning_angles_have_their_names_of_cf_too(desk):
    with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
        crs = file.createVariable("crs", "i4", ())
        crs.setncatts(
            {
                "grid_mapping_name": "geostationary",
                "perspective_point_height": 35786023.0,
                "semi_major_axis": 6378137.0,
                "semi_minor_axis": 6356752.31414,
                "longitude_of_projection_origin": 0.0,
                "latitude_of_projection_origin": 0.0,
                "sweep_angle_axis": "y",
            }
        )
        for name in ("y", "x"):
            file.createDimension(name, 8)
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts({"units": "rad", "standard_name": f"projection_{name}_angular_coordinate"})
            axis[:] = (np.arange(8) - 3.5) * 0.005
        values = file.createVariable("v", "f8", ("y", "x"))
        values.grid_mapping = "crs"
        values[:] = 1
    ring = [[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]
    # 2 degrees in the middle of the disc are 2 pi/180 6378.137 km / 35786 km = 0.00622 rad, cells 0.005: 1.244 x 1.236 cells
    assert desk.value("count", desk.regions(ring)) == pytest.approx(1.244 * 1.236, rel=3e-3)


def test_a_mapping_that_does_not_say_what_it_is_is_named(desk):
    with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
        file.createVariable("crs", "i4", ()).semi_major_axis = 6378137.0
        for name in ("y", "x"):
            file.createDimension(name, 4)
            axis = file.createVariable(name, "f8", (name,))
            axis.units = "m"
            axis[:] = np.arange(4) * 1e5
        values = file.createVariable("v", "f8", ("y", "x"))
        values.grid_mapping = "crs"
        values[:] = 1
    said = desk.value("mean")
    assert "`crs` is the grid mapping of `v`, but says neither `grid_mapping_name`" in said


@pytest.mark.parametrize("attrs", [{"missing_value": -999.0}, {"valid_range": np.array([0.0, 3.0])}])
def test_a_time_that_is_missing_is_said_as_that(desk, attrs):
    def more(file):
        steps(file, "time", [0, -999 if "missing_value" in attrs else 5], units="days since 2000-01-01", **attrs)
        field(file, "time")

    desk.grid(1.0, lat=LAT, lon=LON, more=more)
    assert "value 2 of the time `time` is missing" in only(desk)


@pytest.mark.parametrize("system", ["sinu +R=6371007.181", "moll", "robin", "natearth", "eck4", "wintri", "eqearth"])
def test_a_map_of_the_whole_world_has_corners_that_are_no_places(desk, system):
    words = f"+proj={system} +lon_0=0"
    x, y = np.arange(-17.5e6, 18e6, 1e6), np.arange(-8.5e6, 9e6, 1e6)
    with netCDF4.Dataset(desk.folder / "t.nc", "w") as file:
        file.createVariable("crs", "i4", ()).crs_wkt = pyproj.CRS(words).to_wkt()
        for name, centres in (("y", y), ("x", x)):
            file.createDimension(name, len(centres))
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts({"units": "m", "standard_name": f"projection_{name}_coordinate"})
            axis[:] = centres
        values = file.createVariable("v", "f8", ("y", "x"))
        values.grid_mapping = "crs"
        values[:] = 1
    for west, south, east, north in [(-5, 10, 25, 50), (100, -40, 130, -10), (-170, 50, -140, 70)]:
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        fine = shapely.segmentize(shapely.Polygon(ring), 0.05)
        there = shapely.transform(
            fine, pyproj.Transformer.from_crs("OGC:CRS84", words, always_xy=True).transform, interleaved=False
        )
        rows = desk.run(desk.regions(ring), stats="count,valid")
        assert not isinstance(rows, str), rows
        # the true share of each cell: all lie on the map, so the area in the plane over that of a cell
        assert float(rows[0]["count_v"]) == pytest.approx(there.area / 1e12, rel=1e-4)
        assert float(rows[0]["valid_v"]) == pytest.approx(1, abs=1e-6)


WIDE = [(-170, -10, 170, 10), (-140, -10, 140, 10), (-179, -60, 179, 60), (10, 0, 350, 20)]


@pytest.mark.parametrize("bounds", WIDE)
def test_a_wide_box_that_turns_as_geojson_has_it_is_as_drawn(desk, bounds):
    west, south, east, north = bounds
    desk.grid(1.0, lat=np.arange(-87.5, 90, 5), lon=np.arange(-177.5, 180, 5))
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assert desk.value("count", desk.regions(ring)) == pytest.approx((east - west) * (north - south) / 25)
    said = desk.index(desk.regions(ring)).stderr
    assert (max(east - west, 0) <= 270) or ("warning: " in said and "long way" in said), said


def test_a_wide_hole_as_geos_makes_it_is_as_drawn(desk):
    desk.grid(1.0, lat=np.arange(-87.5, 90, 5), lon=np.arange(-177.5, 180, 5))
    shape = shapely.orient_polygons(shapely.box(-180, -90, 180, 90) - shapely.box(-150, -50, 150, 50))
    rings = [[list(p) for p in ring.coords] for ring in (shape.exterior, *shape.interiors)]
    assert desk.value("count", desk.regions(*rings)) == pytest.approx((360 * 180 - 300 * 100) / 25)
