"""Files of areas that only GDAL reads become GeoParquet that ncproj takes."""

import geopandas
import numpy as np
import pyproj
import pytest
import shapely

from impl.run.errors import EtlError
from impl.source import regions

ALBERS = "EPSG:5070"


def areas(*shapes, crs=4326, ids=None):
    return geopandas.GeoDataFrame({"id": ids or [f"r{k}" for k in range(len(shapes))]}, geometry=list(shapes), crs=crs)


def test_kml_becomes_geoparquet(tmp_path):
    areas(shapely.box(10, 0, 12, 3)).rename(columns={"id": "Name"}).to_file(tmp_path / "a.kml", driver="KML")
    assert regions.to_geoparquet(tmp_path / "a.kml", tmp_path / "a.parquet", "Name") == "1 areas"
    got = geopandas.read_parquet(tmp_path / "a.parquet")
    assert got.geometry[0].equals(shapely.box(10, 0, 12, 3)) and list(got["Name"]) == ["r0"]


def test_edges_that_are_straight_in_albers_are_bent_in_degrees(tmp_path):
    square = shapely.box(-5e5, 1e6, 5e5, 2e6)
    areas(square, crs=ALBERS).to_file(tmp_path / "a.gpkg")
    regions.to_geoparquet(tmp_path / "a.gpkg", tmp_path / "a.parquet", "id", crs="EPSG:4326")
    got = geopandas.read_parquet(tmp_path / "a.parquet").geometry[0]
    # independent: a thousand corners along each edge, taken over by pyproj
    fine = shapely.segmentize(square, 1e3)
    to_degrees = pyproj.Transformer.from_crs(ALBERS, 4326, always_xy=True)
    wanted = shapely.transform(fine, to_degrees.transform, interleaved=False)
    assert got.symmetric_difference(wanted).area < 2e-6 * wanted.area
    corners_only = shapely.transform(square, to_degrees.transform, interleaved=False)
    assert corners_only.symmetric_difference(wanted).area > 1e-3 * wanted.area  # what would have come out without


def test_a_region_round_the_pole_goes_to_the_grids_own_system(tmp_path):
    # a box in degrees, 60 S .. 90 S over all longitudes but a quarter: in polar stereographic three quarters of a disc
    areas(shapely.box(-180, -89.999, 90, -60)).to_file(tmp_path / "a.gpkg")
    mapping = {
        "grid_mapping_name": "polar_stereographic",
        "latitude_of_projection_origin": -90.0,
        "straight_vertical_longitude_from_pole": 0.0,
        "standard_parallel": -71.0,
        "false_easting": 0.0,
        "false_northing": 0.0,
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
    }
    regions.to_geoparquet(tmp_path / "a.gpkg", tmp_path / "a.parquet", "id", crs=mapping)
    got = geopandas.read_parquet(tmp_path / "a.parquet")
    x, y = pyproj.Transformer.from_crs(4326, 3031, always_xy=True).transform(0, -60)
    assert got.geometry[0].area == pytest.approx(0.75 * np.pi * np.hypot(x, y) ** 2, rel=1e-5)


def test_a_shape_that_crosses_itself_keeps_both_halves(tmp_path):
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    areas(bow).to_file(tmp_path / "a.gpkg")
    regions.to_geoparquet(tmp_path / "a.gpkg", tmp_path / "a.parquet", "id")
    got = geopandas.read_parquet(tmp_path / "a.parquet").geometry[0]
    assert got.is_valid and got.area == pytest.approx(2)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"key": "idd"}, "no column `idd`"),
        ({"ids": ["a", "a"]}, "`a` comes more than once"),
        ({"ids": ["a", ""]}, "the key `id` is empty in row 2"),
        ({"crs": "EPSG:999999"}, "`EPSG:999999` is not known"),
        ({"layer": "b"}, "no layer `b`"),
        ({"second": shapely.Point(1, 1)}, "`r1` has no area: its shape is Point"),
    ],
)
def test_what_cannot_be_right_is_an_error_that_names_it(tmp_path, change, what):
    second = change.get("second", shapely.box(2, 0, 3, 1))
    areas(shapely.box(0, 0, 1, 1), second, ids=change.get("ids")).to_file(tmp_path / "a.gpkg", layer="a")
    options = {name: change[name] for name in ("crs", "layer") if name in change}
    with pytest.raises(EtlError) as caught:
        regions.to_geoparquet(tmp_path / "a.gpkg", tmp_path / "a.parquet", change.get("key", "id"), **options)
    assert what in str(caught.value)
    assert not (tmp_path / "a.parquet").exists()


def test_a_file_without_a_system_is_not_brought_to_another(tmp_path):
    areas(shapely.box(0, 0, 1, 1)).to_file(tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    with pytest.raises(EtlError, match="does not say its coordinate system"):
        regions.to_geoparquet(tmp_path / "a.shp", tmp_path / "a.parquet", "id", crs="EPSG:5070")


def test_what_gdal_cannot_read_is_an_error(tmp_path):
    (tmp_path / "a.gpkg").write_bytes(b"nothing")
    with pytest.raises(EtlError, match="cannot be read"):
        regions.to_geoparquet(tmp_path / "a.gpkg", tmp_path / "a.parquet", "id")
