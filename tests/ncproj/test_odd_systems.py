"""Coordinate systems, of regions and of grids, as files have them; pyproj, geopandas and shapely are the independent answer."""

import csv
import io
import json
import subprocess

import geopandas
import netCDF4
import numpy as np
import pyproj
import pytest
import shapely
from pyproj import CRS, Transformer

from tests.ncproj.odd import box

WGS84 = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}


@pytest.fixture(autouse=True)
def without_network():
    pyproj.network.set_network_enabled(False)


def around(lon, lat, half=1.0, cells=8):
    """Centres of latitudes and longitudes of a small grid round a place."""
    step = 2 * half / cells
    return lat - half + step * (np.arange(cells) + 0.5), lon - half + step * (np.arange(cells) + 0.5)


def file_of(desk, shape, system, name="r.gpkg"):
    path = desk.folder / name
    geopandas.GeoDataFrame({"id": ["a"]}, geometry=[shape], crs=system).to_file(path)
    return path


def pairs(desk, regions, grid="t.nc", key="id"):
    """{(row, column): coverage} of the one region, or the error's text."""
    done = desk.index(regions, grid, key=key)
    desk.said = done.stderr
    if done.returncode:
        return desk.refusal(done)
    out = desk.folder / "pairs.csv"
    assert desk.program("export", "-q", "--index", desk.folder / "t.index", "-o", out).returncode == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    return {(int(row["row"]), int(row["column"])): float(row["coverage"]) for row in rows}


def by_shapely(shape, y, x):
    """The same by shapely, on a plane: centres ascend evenly."""
    dy, dx = (y[1] - y[0]) / 2, (x[1] - x[0]) / 2
    cells = {(j, k): shapely.box(a - dx, b - dy, a + dx, b + dy) for j, b in enumerate(y) for k, a in enumerate(x)}
    found = {at: shape.intersection(cell).area / cell.area for at, cell in cells.items()}
    return {at: share for at, share in found.items() if share > 0}


def same(got, wanted, slack=1e-6):
    assert isinstance(got, dict), got
    far = {
        at: (got.get(at, 0), wanted.get(at, 0))
        for at in got.keys() | wanted.keys()
        if abs(got.get(at, 0) - wanted.get(at, 0)) > slack
    }
    assert not far, far


# Regions: geopandas' `to_crs(4326)` of edges cut finely is the answer.

PROJECTED = {
    "EPSG:5514": (15, 49.8),  # Krovak
    "EPSG:5513": (15, 49.8),  # Krovak, axes south and west
    "ESRI:54009": (20, 30),  # Mollweide
    "ESRI:54030": (-60, -20),  # Robinson
    "EPSG:8857": (100, 20),  # Equal Earth
    "EPSG:29873": (115, 4.5),  # RSO Borneo: Hotine oblique Mercator, variant B
    "EPSG:26931": (-134, 57.5),  # Alaska zone 1: variant A
    "EPSG:21781": (8, 46.8),  # Swiss, oblique Mercator
    "EPSG:2056": (8, 46.8),
    "EPSG:5880": (-50, -15),  # polyconic
    "EPSG:30200": (-61.3, 10.5),  # Cassini, in links
    "EPSG:27200": (173, -41),  # New Zealand map grid
    "EPSG:27700": (-2, 53),
    "EPSG:3857": (10, 50),
    "ESRI:54008": (20, 30),  # sinusoidal
    "EPSG:3035": (10, 52),
    "EPSG:2263": (-74, 40.7),  # feet of the US survey
    "EPSG:27572": (2.5, 47),  # Paris, grads
    "EPSG:28992": (5.4, 52.2),  # oblique stereographic, Bessel
    "EPSG:31370": (4.4, 50.6),
    "EPSG:2193": (173, -41),
    "EPSG:31467": (9, 50),  # Gauss-Krueger, northing first
    "EPSG:32040": (-97, 28.5),  # NAD27, feet
    "EPSG:2400": (15, 60),  # deprecated
    "EPSG:3995": (30, 75),
}


@pytest.mark.parametrize("system", PROJECTED)
def test_regions_in_a_projected_system_are_where_geopandas_puts_them(desk, system):
    lon, lat = PROJECTED[system]
    y, x = around(lon, lat)
    desk.grid(1, lat=y, lon=x)
    there = Transformer.from_crs(4326, system, always_xy=True)
    middle = there.transform(lon, lat)
    edge = there.transform(lon + 0.05, lat + 0.35)
    reach = np.hypot(edge[0] - middle[0], edge[1] - middle[1])
    shape = shapely.affinity.translate(shapely.Point(0, 0).buffer(reach, quad_segs=2), *middle)
    regions = file_of(desk, shape, system, "r.shp" if system == "EPSG:27700" else "r.gpkg")
    fine = geopandas.GeoSeries([shape.segmentize(reach / 2000)], crs=system).to_crs(4326)[0]
    same(pairs(desk, regions), by_shapely(fine, y, x))


GEOGRAPHIC = {
    "EPSG:4807": (2.5, 46.5),  # grads from Paris
    "EPSG:4806": (12, 42),  # Monte Mario from Rome
    "EPSG:4267": (-100, 40),  # NAD27
    "EPSG:4230": (5, 50),  # ED50
    "EPSG:4277": (-2, 53),  # OSGB36
    "EPSG:4301": (138, 36),  # Tokyo
    "EPSG:4312": (14, 47.5),  # MGI
    "EPSG:4284": (40, 55),  # Pulkovo 1942
    "EPSG:4805": (14, 47.5),  # MGI from Ferro
    "EPSG:4149": (8, 46.8),  # CH1903
    "EPSG:4617": (-75, 46),  # NAD83(CSRS)
    "EPSG:4269": (-156, 20),  # NAD83 in Hawaii
    "EPSG:4901": (2.5, 46.5),  # ATF, grads from Paris
    "OGC:CRS27": (-100, 40),
    "EPSG:4820": (114.3, -2),  # from Jakarta
}


def shifted(desk, system, lon, lat, write):
    """Pairs of a diamond in the system, and what shapely makes of pyproj's corners."""
    y, x = around(lon, lat, 0.02)
    desk.grid(1, lat=y, lon=x)
    back = Transformer.from_crs(4326, system, always_xy=True)
    corners = [back.transform(lon + a, lat + b) for a, b in ((-0.013, 0), (0, -0.011), (0.012, 0.001), (0.001, 0.014))]
    shape = shapely.Polygon(corners)
    forth = Transformer.from_crs(system, 4326, always_xy=True)
    fine = shape.segmentize(50) if CRS(system).is_projected else shape
    wanted = shapely.transform(fine, lambda p: np.column_stack(forth.transform(p[:, 0], p[:, 1])))
    return pairs(desk, write(shape)), by_shapely(wanted, y, x)


@pytest.mark.parametrize("system", GEOGRAPHIC)
def test_regions_on_another_datum_or_meridian_come_out_as_pyprojs(desk, system):
    # cells of 0.005 degrees: a difference of 1e-9 degrees is 2e-7 of a cell
    got, wanted = shifted(desk, system, *GEOGRAPHIC[system], lambda shape: file_of(desk, shape, system))
    same(got, wanted)


FORMS = {
    "WKT1 of ESRI": lambda c: c.to_wkt("WKT1_ESRI"),
    "WKT1 of GDAL": lambda c: c.to_wkt("WKT1_GDAL"),
    "WKT2 of 2015": lambda c: c.to_wkt("WKT2_2015"),
    "WKT2 of 2019": lambda c: c.to_wkt("WKT2_2019"),
    "WKT2 on many lines, with a BOM": lambda c: "\ufeff" + c.to_wkt("WKT2_2019", pretty=True) + "\n\0",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("system", ["EPSG:27700", "EPSG:4230", "EPSG:4807"])
def test_a_prj_in_any_well_known_text_means_the_same(desk, form, system):
    def write(shape):
        path = file_of(desk, shape, system, "r.shp")
        path.with_suffix(".prj").write_text(FORMS[form](CRS(system)))
        return path

    lon, lat = {"EPSG:27700": (-2, 53), "EPSG:4230": (5, 50), "EPSG:4807": (2.5, 46.5)}[system]
    got, wanted = shifted(desk, system, lon, lat, write)
    same(got, wanted, 5e-6)


def geojson(desk, shape, crs):
    path = desk.folder / "r.geojson"
    ring = [list(p) for p in shape.exterior.coords]
    feature = {"type": "Feature", "properties": {"id": "a"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    named = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": named, "features": [feature]}))
    return path


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("urn:ogc:def:crs:EPSG::4277", 4277),
        ("http://www.opengis.net/def/crs/EPSG/0/4277", 4277),
        ("https://www.opengis.net/def/crs/EPSG/0/27700", 27700),
        ("EPSG:27700", 27700),
        ("urn:ogc:def:crs:EPSG:6.9:27700", 27700),
    ],
)
def test_a_system_by_its_name_in_geojson(desk, name, code):
    got, wanted = shifted(desk, f"EPSG:{code}", -2, 53, lambda shape: geojson(desk, shape, name))
    same(got, wanted, 5e-6)


@pytest.mark.parametrize(
    "name",
    ["urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84", "urn:ogc:def:crs:EPSG::4326", "http://www.opengis.net/def/crs/EPSG/0/4326",
     "EPSG:4326", "EPSG:4979", "EPSG:4258", "EPSG:4269", "urn:ogc:def:crs:OGC::CRS83"],
)  # fmt: skip
def test_wgs84_and_what_is_the_same_leave_each_bit(desk, name):
    y, x = around(-90, 40)
    desk.grid(1, lat=y, lon=x)
    shape = shapely.Polygon([(-90.1234567890123, 39.7), (-89.71, 39.9123456789), (-89.9, 40.3)])
    assert isinstance(pairs(desk, geojson(desk, shape, "OGC:CRS84")), dict)
    plain = (desk.folder / "t.index").read_bytes()
    assert isinstance(pairs(desk, geojson(desk, shape, name)), dict)
    assert (desk.folder / "t.index").read_bytes() == plain


def test_towgs84_in_the_text_decides(desk):
    # a datum of nobody's, whose points lie 1,000 m less far along the x axis of the Earth: at (90 E, 0 N) that is further
    # east by 0.0089832 degrees
    text = (
        'GEOGCS["mine",DATUM["mine",SPHEROID["WGS 84",6378137,298.257223563],TOWGS84[-1000,0,0,0,0,0,0]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
    )
    desk.grid(1, lat=np.array([-0.5, 0.5]), lon=np.array([90.5, 91.5]))
    path = file_of(desk, shapely.box(90, -1, 91, 1), 4326, "r.shp")
    path.with_suffix(".prj").write_text(text)
    move = np.degrees(1000 / 6378137)
    same(pairs(desk, path), {(0, 0): 1 - move, (1, 0): 1 - move, (0, 1): move, (1, 1): move}, 3e-6)


@pytest.mark.parametrize("system", ["EPSG:27700+5701", "EPSG:7405", "EPSG:9518"])
def test_of_a_compound_system_the_part_in_the_plane_counts(desk, system):
    plain = {"EPSG:9518": "EPSG:4326"}.get(system, "EPSG:27700")

    def write(shape):
        path = file_of(desk, shape, plain, "r.shp")
        path.with_suffix(".prj").write_text(CRS(system).to_wkt("WKT2_2019"))
        return path

    got, wanted = shifted(desk, plain, -2, 53, write)
    same(got, wanted, 5e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CRS(4978).to_wkt(), "geocentric"),
        (CRS(5773).to_wkt(), "heights"),
        ('LOCAL_CS["here",UNIT["m",1]]', "local"),
        ('ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]', "local"),
        ("hello world", "`hello world`"),
        ('PROJCS["cut",GEOGCS["cut"', "cannot read"),
        ("EPSG:1", "EPSG:1"),
        (CRS.from_user_input("+proj=longlat +a=3396190 +b=3376200 +type=crs").to_wkt().replace("unknown", "Mars"), ""),
    ],
)
def test_what_is_no_place_on_earth_is_refused_by_name(desk, text, words):
    desk.grid(1)
    path = file_of(desk, shapely.box(10, 0, 14, 4), 4326, "r.shp")
    path.with_suffix(".prj").write_text(text)
    got = pairs(desk, path)
    assert isinstance(got, str) and words in got


def test_a_datum_that_nobody_can_change_is_said_once(desk):
    desk.grid(1)
    text = (
        'GEOGCS["Gone",DATUM["Gone",SPHEROID["Clarke 1866",6378206.4,294.978698213898]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
    )
    path = file_of(desk, shapely.box(10, 0, 14, 4), 4326, "r.shp")
    path.with_suffix(".prj").write_text(text)
    assert len(pairs(desk, path)) == 16
    assert desk.said.count("warning") == 1 and "`Gone`" in desk.said and "`WGS 84`" in desk.said


@pytest.mark.parametrize(("system", "shape"), [
    ("ESRI:54009", shapely.box(1.7e7, 5e6, 1.8e7, 6e6)),  # beyond the ellipse of Mollweide's map
    ("ESRI:54030", shapely.box(1.7e7, 8e6, 1.72e7, 8.5e6)),
    ("EPSG:3035", shapely.box(2e7, 2e7, 2.1e7, 2.1e7)),
    ("ESRI:54008", shapely.box(1.9e7, 6e6, 1.91e7, 6.1e6)),
])  # fmt: skip
def test_a_corner_off_the_map_is_an_error(desk, system, shape):
    desk.grid(1)
    got = pairs(desk, file_of(desk, shape, system))
    assert isinstance(got, str) and "no place in the system" in got and "region 1" in got


def test_on_the_webs_mercator_the_next_turn_is_the_next_turn(desk):
    # 190 E is 170 W
    desk.grid(1, lat=np.arange(0.5, 4), lon=np.arange(-175.5, -166))
    x = 20037508.342789244 * 190 / 180
    r = 6378137.0
    shape = shapely.box(x, 0, x + r * np.radians(2), r * np.arcsinh(np.tan(np.radians(3))))
    same(pairs(desk, file_of(desk, shape, 3857)), {(j, k): 1.0 for j in range(3) for k in (6, 7)})


@pytest.mark.parametrize(
    "variable", ["PROJ_DATA", "PROJ_LIB", "PROJ_NETWORK", "PROJ_AUX_DB", "PROJ_ONLY_BEST_DEFAULT", "PROJ_DEBUG"]
)
def test_the_environment_of_proj_changes_nothing(desk, variable, monkeypatch):
    old = desk.folder / "old"
    old.mkdir()
    (old / "proj.db").write_bytes(b"an old data base")
    monkeypatch.setenv(
        variable, {"PROJ_NETWORK": "ON", "PROJ_DEBUG": "3", "PROJ_ONLY_BEST_DEFAULT": "ON"}.get(variable, str(old))
    )
    monkeypatch.setenv("HOME", str(old))
    y, x = around(-2, 53, 0.02)
    desk.grid(1, lat=y, lon=x)
    regions = file_of(desk, shapely.box(399800, 345300, 400500, 346000), 27700)
    got = pairs(desk, regions)
    monkeypatch.delenv(variable)
    assert isinstance(got, dict) and got == pairs(desk, regions)


# Grids: pyproj of the mapping's own words is the answer.


def plane(desk, mapping, y, x, *, units="m", name="t.nc", extra=None, crs="crs", side=None):
    """A file with `v` over y and x, on a grid mapping of these attributes."""
    path = desk.folder / name
    path.unlink(missing_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for axis, centres in (("y", y), ("x", x)):
            file.createDimension(axis, len(centres))
            v = file.createVariable(axis, "f8", (axis,))
            v.standard_name = (side or "projection_{}_coordinate").format(axis)
            if units is not None:
                v.units = units
            v[:] = centres
        if mapping is not None:
            m = file.createVariable("crs", "i4", ())
            m.setncatts(mapping)
        v = file.createVariable("v", "f8", ("y", "x"))
        if crs:
            v.grid_mapping = crs
        v[:] = 1
        if extra:
            extra(file)
    return path


def on_plane(desk, words, lon, lat, mapping, *, unit=1.0, units="m", half=8e4, cells=8, size=0.5, slack=1e-5, meridian=0.0):
    """Pairs of a box of degrees on a grid round a place, and shapely's of the box's edges put there by pyproj."""
    system = CRS(words)
    ahead = Transformer.from_crs(system.geodetic_crs, system, always_xy=True)
    x0, y0 = ahead.transform(lon - meridian, lat)
    step = 2 * half / cells
    centres = step * (np.arange(cells) + 0.5) - half
    y, x = (y0 + centres) / unit, (x0 + centres) / unit
    plane(desk, mapping, y, x, units=units)
    edges = shapely.box(lon - size / 2, lat - size / 2, lon + size / 2, lat + size / 2).segmentize(size / 500)
    wanted = shapely.transform(edges, lambda p: np.column_stack(ahead.transform(p[:, 0] - meridian, p[:, 1])) / unit)
    got = pairs(desk, desk.regions(box(lon - size / 2, lat - size / 2, lon + size / 2, lat + size / 2)))
    same(got, by_shapely(wanted, y, x), slack)


MAPPINGS = {
    "albers_conical_equal_area": (
        "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96", (-100, 40),
        {"standard_parallel": [29.5, 45.5], "latitude_of_projection_origin": 23.0, "longitude_of_central_meridian": -96.0}),
    "azimuthal_equidistant": (
        "+proj=aeqd +lat_0=40 +lon_0=-100", (-98, 41), {"latitude_of_projection_origin": 40.0, "longitude_of_projection_origin": -100.0}),
    "lambert_azimuthal_equal_area": (
        "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000", (8, 50),
        {"latitude_of_projection_origin": 52.0, "longitude_of_projection_origin": 10.0, "false_easting": 4321000.0, "false_northing": 3210000.0}),
    "lambert_conformal_conic": (
        "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=-97", (-90, 45),
        {"standard_parallel": [30.0, 60.0], "latitude_of_projection_origin": 40.0, "longitude_of_central_meridian": -97.0}),
    "lambert_cylindrical_equal_area": (
        "+proj=cea +lat_ts=30 +lon_0=5", (10, 40), {"standard_parallel": 30.0, "longitude_of_central_meridian": 5.0}),
    "mercator": ("+proj=merc +lat_ts=20 +lon_0=5", (10, 40), {"standard_parallel": 20.0, "longitude_of_projection_origin": 5.0}),
    "oblique_mercator": (
        "+proj=omerc +lat_0=4 +lonc=115 +alpha=53.3158 +k=0.99984 +x_0=590476.87 +y_0=442857.65", (114, 3),
        {"azimuth_of_central_line": 53.3158, "latitude_of_projection_origin": 4.0, "longitude_of_projection_origin": 115.0,
         "scale_factor_at_projection_origin": 0.99984, "false_easting": 590476.87, "false_northing": 442857.65}),
    "orthographic": ("+proj=ortho +lat_0=40 +lon_0=-100", (-98, 41), {"latitude_of_projection_origin": 40.0, "longitude_of_projection_origin": -100.0}),
    "polar_stereographic": (
        "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=20", (30, -70),
        {"latitude_of_projection_origin": -90.0, "standard_parallel": -71.0, "straight_vertical_longitude_from_pole": 20.0}),
    "sinusoidal": ("+proj=sinu +lon_0=10", (20, 30), {"longitude_of_projection_origin": 10.0}),
    "stereographic": (
        "+proj=stere +lat_0=52 +lon_0=5 +k_0=0.9999", (6, 50),
        {"latitude_of_projection_origin": 52.0, "longitude_of_projection_origin": 5.0, "scale_factor_at_projection_origin": 0.9999}),
    "transverse_mercator": (
        "+proj=tmerc +lat_0=0 +lon_0=9 +k_0=0.9996 +x_0=500000", (10, 50),
        {"latitude_of_projection_origin": 0.0, "longitude_of_central_meridian": 9.0, "scale_factor_at_central_meridian": 0.9996, "false_easting": 500000.0}),
    "vertical_perspective": (
        "+proj=nsper +h=35785831 +lat_0=10 +lon_0=5", (6, 12),
        {"latitude_of_projection_origin": 10.0, "longitude_of_projection_origin": 5.0, "perspective_point_height": 35785831.0}),
    "geostationary": (
        "+proj=geos +h=35785831 +lon_0=5 +sweep=y", (6, 12),
        {"latitude_of_projection_origin": 0.0, "longitude_of_projection_origin": 5.0, "perspective_point_height": 35785831.0, "sweep_angle_axis": "y"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPPINGS)
def test_each_grid_mapping_of_cf_is_pyprojs_projection(desk, name):
    words, (lon, lat), attrs = MAPPINGS[name]
    on_plane(desk, words + " +ellps=WGS84 +type=crs", lon, lat, {"grid_mapping_name": name, **attrs, **WGS84})


@pytest.mark.parametrize(
    "system",
    [
        "EPSG:5514",
        "EPSG:2056",
        "EPSG:29873",
        "EPSG:26931",
        "ESRI:54009",
        "ESRI:54030",
        "EPSG:8857",
        "EPSG:5880",
        "EPSG:27572",
        "EPSG:27200",
        "EPSG:3857",
        "EPSG:32633",
    ],
)
def test_what_rioxarray_writes_is_the_system_that_was_meant(desk, system):
    # pyproj's attributes leave things out, or say them in grads: the text beside them is whole
    lon, lat = {**PROJECTED, "EPSG:32633": (15, 50)}[system]
    attrs = {k: v for k, v in CRS(system).to_cf().items() if v is not None}
    attrs["spatial_ref"] = attrs["crs_wkt"]
    attrs["GeoTransform"] = "0 1 0 0 0 -1"
    ahead = Transformer.from_crs(4326, system, always_xy=True)
    x0, y0 = ahead.transform(lon, lat)
    centres = 1e4 * (np.arange(16) + 0.5) - 8e4
    plane(desk, attrs, y0 + centres, x0 + centres, units="metre")
    shape = shapely.box(x0 - 33333, y0 - 41234, x0 + 27182, y0 + 31415)
    # regions in the grid's own system, by way of degrees on its own datum: they lie where they lay
    same(pairs(desk, file_of(desk, shape, system)), by_shapely(shape, y0 + centres, x0 + centres), 2e-5)


@pytest.mark.parametrize(
    ("units", "unit"), [("km", 1000), ("US_survey_foot", 1200 / 3937), ("10 km", 10000), ("kilometre", 1000), ("feet", 0.3048)]
)
def test_x_and_y_in_other_lengths(desk, units, unit):
    words, (lon, lat), attrs = MAPPINGS["lambert_conformal_conic"]
    on_plane(
        desk,
        words + " +ellps=WGS84 +type=crs",
        lon,
        lat,
        {"grid_mapping_name": "lambert_conformal_conic", **attrs, **WGS84},
        unit=unit,
        units=units,
    )


@pytest.mark.parametrize(
    ("units", "factor"), [("rad", 1.0), ("radian", 1.0), ("1", 1.0), ("microradian", 1e-6), ("degrees", np.pi / 180)]
)
@pytest.mark.parametrize("sweep", ["x", "y"])
def test_scanning_angles_of_a_geostationary_satellite(desk, units, factor, sweep):
    height = 35786023.0
    attrs = {"grid_mapping_name": "geostationary", "perspective_point_height": height, "longitude_of_projection_origin": -75.0,
             "latitude_of_projection_origin": 0.0, "fixed_angle_axis": {"x": "y", "y": "x"}[sweep], "long_name": "GOES-R ABI fixed grid projection",
             "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414, "inverse_flattening": 298.2572221}  # fmt: skip
    words = f"+proj=geos +h={height} +lon_0=-75 +sweep={sweep} +a=6378137 +b=6356752.31414 +type=crs"
    on_plane(desk, words, -80, 30, attrs, unit=height * factor, units=units)


def test_longitudes_of_a_grid_from_paris(desk):
    # a box from 2.33722917 + 1 to 2.33722917 + 3 degrees E covers two columns of cells wholly
    def more(file):
        m = file.createVariable("crs", "i4", ())
        m.setncatts({"grid_mapping_name": "latitude_longitude", "longitude_of_prime_meridian": 2.33722917, **WGS84})
        file["v"].grid_mapping = "crs"

    desk.grid(1, lon=np.arange(0.5, 4), more=more)
    got = pairs(desk, desk.regions(box(3.33722917, 0, 5.33722917, 1)))
    same(got, {(0, 1): 1.0, (0, 2): 1.0}, 1e-9)


def test_a_projections_longitudes_from_paris(desk):
    words, (lon, lat), attrs = MAPPINGS["lambert_conformal_conic"]
    attrs = {
        "grid_mapping_name": "lambert_conformal_conic",
        **attrs,
        **WGS84,
        "longitude_of_prime_meridian": 2.5,
        "prime_meridian_name": "mine",
    }
    on_plane(desk, words + " +ellps=WGS84 +type=crs", lon, lat, attrs, meridian=2.5)


@pytest.mark.parametrize("said", [
    {"horizontal_datum_name": "OSGB_1936"}, {"horizontal_datum_name": "OSGB36"}, {"geographic_crs_name": "OSGB36"},
    {"crs_wkt": CRS(4277).to_wkt()}, {"horizontal_datum_name": "Ordnance Survey of Great Britain 1936"},
])  # fmt: skip
def test_a_grid_on_another_datum_gets_the_regions_onto_it(desk, said):
    y, x = around(-2, 53, 0.02)

    def more(file):
        m = file.createVariable("crs", "i4", ())
        m.setncatts(
            {
                "grid_mapping_name": "latitude_longitude",
                "semi_major_axis": 6377563.396,
                "inverse_flattening": 299.3249646,
                **said,
            }
        )
        file["v"].grid_mapping = "crs"

    desk.grid(1, lat=y, lon=x, more=more)
    corners = box(-2.013, 52.989, -1.988, 53.012)
    there = Transformer.from_crs(4326, 4277, always_xy=True)
    wanted = shapely.Polygon([there.transform(*p) for p in corners])
    same(pairs(desk, desk.regions(corners)), by_shapely(wanted, y, x))
    # regions of that datum lie where they lay
    same(pairs(desk, file_of(desk, shapely.Polygon(corners), 4277)), by_shapely(shapely.Polygon(corners), y, x), 1e-9)


def test_files_on_different_datums_are_different_grids(desk):
    def on(code):
        def more(file):
            file.createVariable("crs", "i4", ()).setncatts(
                {"grid_mapping_name": "latitude_longitude", "crs_wkt": CRS(code).to_wkt()}
            )
            file["v"].grid_mapping = "crs"

        return more

    desk.grid(1, name="a.nc", more=on(4326))
    desk.grid(1, name="b.nc", more=on(4230))
    got = desk.run(grids=("a.nc", "b.nc"))
    assert isinstance(got, str) and "ED50" in got


CONIC = {"grid_mapping_name": "lambert_conformal_conic", **MAPPINGS["lambert_conformal_conic"][2]}
WKT = CRS("+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=-97 +ellps=WGS84 +type=crs").to_wkt()
OTHER = CRS("+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=-96 +ellps=WGS84 +type=crs").to_wkt()


@pytest.mark.parametrize(("mapping", "units", "words"), [
    ({**CONIC, "semi_major_axis": 6378.137, "inverse_flattening": 298.25}, "m", ("semi_major_axis", "6378.137", "km|kilomet")),
    ({**CONIC, "earth_radius": 6371.0}, "m", ("earth_radius", "6371", "kilomet")),
    ({**CONIC, "crs_wkt": OTHER}, "m", ("crs_wkt", "+lon_0=-96", "+lon_0=-97")),
    ({**CONIC, "spatial_ref": OTHER}, "m", ("spatial_ref", "+lon_0=-96", "+lon_0=-97")),
    ({**CONIC, "crs_wkt": "rubbish"}, "m", ("crs_wkt", "rubbish")),
    ({**CONIC, "crs_wkt": WKT, "proj4": "+proj=merc"}, "m", ("proj4", "+proj=merc")),
    ({**CONIC, "crs_wkt": CRS(4326).to_wkt()}, "m", ("crs_wkt", "longitude and latitude")),
    ({**CONIC, "longitude_of_projection_origin": -90.0}, "m", ("longitude_of_projection_origin", "longitude_of_central_meridian")),
    ({**CONIC, "standard_parallel": "thirty"}, "m", ("standard_parallel", "thirty")),
    ({**CONIC, "standard_parallel": [1.0, 2.0, 3.0]}, "m", ("standard_parallel",)),
    ({**CONIC, "false_easting": np.nan}, "m", ("false_easting",)),
    ({**CONIC, "azimuth_of_central_line": 30.0}, "m", ("azimuth_of_central_line", "30")),
    ({**CONIC, "rotation_parallel_angle": 5.0}, "m", ("rotation_parallel_angle", "5")),
    ({**CONIC, "prime_meridian_name": "Atlantis"}, "m", ("prime_meridian_name", "Atlantis")),
    ({**CONIC, "prime_meridian_name": "Paris", "longitude_of_prime_meridian": 0.0}, "m", ("prime_meridian", "2.337")),
    ({**CONIC, "horizontal_datum_name": "Atlantis 1900", **WGS84}, "m", ("horizontal_datum_name", "Atlantis 1900")),
    ({**CONIC, **WGS84, "semi_minor_axis": 6300000.0}, "m", ("semi_minor_axis", "inverse_flattening")),
    ({**CONIC, **WGS84, "earth_radius": 6371229.0}, "m", ("earth_radius", "6371229")),
    ({**CONIC, **WGS84, "horizontal_datum_name": "OSGB36"}, "m", ("horizontal_datum_name", "6377563")),
    (CONIC, None, ("units",)),
    (CONIC, "furlong", ("furlong",)),
    (CONIC, "degrees", ("angles",)),
    (CONIC, "rad", ("angles",)),
    ({"grid_mapping_name": "winkel_tripel"}, "m", ("winkel_tripel",)),
    ({"grid_mapping_name": "geostationary", "perspective_point_height": 35786.0, "longitude_of_projection_origin": 0.0}, "rad", ("perspective_point_height", "35786")),
    ({"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0, "latitude_of_projection_origin": 10.0}, "rad", ("latitude_of_projection_origin", "10")),
    ({"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0, "sweep_angle_axis": "x", "fixed_angle_axis": "x"}, "rad", ("sweep_angle_axis", "fixed_angle_axis")),
    ({"grid_mapping_name": "polar_stereographic", "latitude_of_projection_origin": 60.0, "straight_vertical_longitude_from_pole": 0.0}, "m", ("latitude_of_projection_origin", "60")),
    ({"grid_mapping_name": "polar_stereographic", "latitude_of_projection_origin": 90.0, "standard_parallel": -71.0}, "m", ("standard_parallel", "-71")),
])  # fmt: skip
def test_a_mapping_that_cannot_be_meant_names_attribute_and_value(desk, mapping, units, words):
    plane(desk, mapping, np.arange(0, 4e4, 1e4), np.arange(0, 4e4, 1e4), units=units)
    got = pairs(desk, desk.regions(box(-98, 39, -96, 41)))
    assert isinstance(got, str) and "t.nc" in got
    for word in words:
        assert any(one in got for one in word.split("|")), (word, got)


@pytest.mark.parametrize("more", [
    {"crs_wkt": WKT}, {"spatial_ref": WKT, "GeoTransform": "0 1 0 0 0 1"}, {"proj4": CRS(WKT).to_proj4()}, {"comment": "by hand", "long_name": "the grid"},
    {"false_easting": [0.0]}, {"false_easting": "0.0"}, {"prime_meridian_name": "Greenwich", "longitude_of_prime_meridian": 0.0},
    {"horizontal_datum_name": "WGS84"}, {"geographic_crs_name": "unknown"}, {"towgs84": [0.0, 0.0, 0.0]}, {"azimuth_of_central_line": 0.0},
    {"reference_ellipsoid_name": "WGS 84"}, {"scale_factor_at_projection_origin": 1.0}, {"history": "made", "crs_wkt": ""},
])  # fmt: skip
def test_what_agrees_or_means_nothing_changes_nothing(desk, more):
    words, (lon, lat), _ = MAPPINGS["lambert_conformal_conic"]
    on_plane(desk, words + " +ellps=WGS84 +type=crs", lon, lat, {**CONIC, **WGS84, **more})


def test_without_units_the_text_says_the_unit(desk):
    words, (lon, lat), _ = MAPPINGS["lambert_conformal_conic"]
    on_plane(desk, words + " +ellps=WGS84 +type=crs", lon, lat, {**CONIC, **WGS84, "crs_wkt": WKT}, units=None)


def test_a_grid_mapping_that_names_no_variable_is_an_error(desk):
    plane(desk, CONIC, np.arange(0, 4e4, 1e4), np.arange(0, 4e4, 1e4), crs="crss")
    got = pairs(desk, desk.regions(box(-98, 39, -96, 41)))
    assert "grid_mapping" in got and "`crss`" in got and "`v`" in got
    desk.grid(1, more=lambda file: file["v"].setncattr("grid_mapping", "nothing"))
    got = pairs(desk, desk.regions(box(10, 0, 11, 1)))
    assert "grid_mapping" in got and "`nothing`" in got


@pytest.mark.parametrize("crs", ["crs: x y", "crs: x y geo: lat lon", "geo: lat lon crs: x y", "crs: y x"])
def test_the_extended_form_of_a_grid_mapping(desk, crs):
    def extra(file):
        file.createVariable("geo", "i4", ()).grid_mapping_name = "latitude_longitude"
        for name, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
            v = file.createVariable(name, "f8", ("y", "x"))
            v.units, v.standard_name = units, {"lat": "latitude", "lon": "longitude"}[name]
            v[:] = 0
        file["v"].coordinates = "lat lon"

    centres = 2e4 * (np.arange(8) + 0.5) - 8e4
    plane(desk, {**CONIC, **WGS84}, centres, centres, crs="crs")
    plain = pairs(desk, desk.regions(box(-97.3, 39.8, -96.7, 40.2)))
    plane(desk, {**CONIC, **WGS84}, centres, centres, crs=crs, extra=extra)
    same(pairs(desk, desk.regions(box(-97.3, 39.8, -96.7, 40.2))), plain, 1e-12)


def test_x_and_y_in_different_units_are_an_error(desk):
    plane(desk, CONIC, np.arange(0, 4e4, 1e4), np.arange(0, 4e4, 1e4), extra=lambda file: file["x"].setncattr("units", "km"))
    got = pairs(desk, desk.regions(box(-98, 39, -96, 41)))
    assert "`km`" in got and "`m`" in got and "`x`" in got


def test_the_program_needs_nothing_beside_itself(desk, tmp_path):
    # copied elsewhere, without the folder that it was made in: the data base is within
    from impl.ncproj import tool

    alone = tmp_path / "alone" / "ncproj"
    alone.parent.mkdir()
    alone.write_bytes((tool.CRATE / "target/release/ncproj").read_bytes())
    alone.chmod(0o755)
    y, x = around(-2, 53, 0.02)
    desk.grid(1, lat=y, lon=x)
    regions = file_of(desk, shapely.box(399800, 345300, 400500, 346000), 27700)
    words = [alone, "index", "--regions", regions, "--key", "id", "--grid", desk.folder / "t.nc", "-o", tmp_path / "i"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    used = subprocess.run(["ldd", str(alone)], capture_output=True, text=True).stdout
    assert "libproj" not in used and "sqlite" not in used


def test_a_picture_of_the_whole_disc_with_sky_in_its_corners(desk):
    # a region in the middle of MSG's view, and its area: a degree square at (0..1 E, 0..1 N) on the sphere of equal area
    height = 35785831.0
    attrs = {
        "grid_mapping_name": "geostationary",
        "perspective_point_height": height,
        "longitude_of_projection_origin": 0.0,
        **WGS84,
    }
    step = 50000.0
    centres = step * (np.arange(220) + 0.5) - 110 * step  # the disc reaches 5,434 km
    plane(desk, attrs, centres, centres)
    ahead = Transformer.from_crs(4326, f"+proj=geos +h={height} +lon_0=0 +ellps=WGS84 +type=crs", always_xy=True)
    for lon, lat in ((0.5, 0.5), (-50, 40), (60, -30)):
        ring = box(lon - 2, lat - 2, lon + 2, lat + 2)
        fine = shapely.Polygon(ring).segmentize(0.01)
        wanted = by_shapely(
            shapely.transform(fine, lambda p: np.column_stack(ahead.transform(p[:, 0], p[:, 1]))), centres, centres
        )
        same(pairs(desk, desk.regions(ring)), wanted, 1e-5)
        (row,) = desk.run(desk.regions(ring), stats="mean,valid")
        assert float(row["mean_v"]) == 1 and abs(float(row["valid_v"]) - 1) < 1e-9
    # wholly behind the horizon: outside; in part: an error that names the region
    assert "no region touches the grid" in pairs(desk, desk.regions(box(150, 0, 152, 2)))
    got = pairs(desk, desk.regions(box(60, 0, 100, 2)))
    assert isinstance(got, str) and "no place for a corner of region `a`" in got
