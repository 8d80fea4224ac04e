"""Collections as files: other programs read them back."""

import csv
import json

import geopandas
import pyarrow.parquet
import pytest
import shapely

from impl.run.errors import EtlError
from impl.store.export import export
from tests.store.conftest import COUNTY_KEY, counties, days, part


@pytest.fixture
def filled(lake):
    lake.replace("region_county", counties(), key="gis_join", geometry="geometry")
    lake.replace("macav2_county", days(), key=COUNTY_KEY, part=part())
    return lake


@pytest.mark.parametrize("ending", ["parquet", "geojson", "gpkg"])
def test_geopandas_reads_what_was_exported(filled, tmp_path, ending):
    target = tmp_path / "new folder" / f"counties.{ending}"
    assert export(filled, "region_county", target) == 3
    frame = geopandas.read_parquet(target) if ending == "parquet" else geopandas.read_file(target)
    frame = frame.set_index("gis_join")
    assert frame.crs.to_epsg() == 4326
    assert frame.loc["G5101630"].geometry.equals(shapely.from_wkb(counties()[1]["geometry"]))  # with its hole
    assert frame.loc["G5101630"]["area_km2"] == 15.0
    assert [one.name for one in target.parent.iterdir()] == [target.name]


def test_geoparquet_says_what_it_holds(filled, tmp_path):
    export(filled, "region_county", tmp_path / "counties.parquet")
    about = json.loads(pyarrow.parquet.read_metadata(tmp_path / "counties.parquet").metadata[b"geo"])
    column = about["columns"]["geometry"]
    assert about["primary_column"] == "geometry" and column["encoding"] == "WKB" and column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [0.0, 0.0, 6.0, 4.0]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}


def test_geojson_turns_outer_rings_to_the_left_and_names_no_coordinates(filled, tmp_path):
    export(filled, "region_county", tmp_path / "counties.geojson")
    said = json.loads((tmp_path / "counties.geojson").read_text())
    assert "crs" not in said and len(said["features"]) == 3
    for feature in said["features"]:
        assert shapely.Polygon(feature["geometry"]["coordinates"][0]).exterior.is_ccw
        assert "geometry" not in feature["properties"]


def test_csv_has_the_shape_as_text(filled, tmp_path):
    export(filled, "region_county", tmp_path / "counties.csv", where="name = 'Adams'")
    with open(tmp_path / "counties.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["gis_join"] for row in rows] == ["G0800010"]
    assert shapely.from_wkt(rows[0]["geometry"]).equals(shapely.box(0, 0, 2, 2))


def test_some_rows_of_a_collection_without_geometry(filled, tmp_path):
    assert export(filled, "macav2_county", tmp_path / "days.parquet", where="gis_join = 'G0800010'") == 3
    table = pyarrow.parquet.read_table(tmp_path / "days.parquet")
    assert table.column("mean_precipitation_mm").to_pylist() == [0.0, 1.0, 2.0]
    assert b"geo" not in (table.schema.metadata or {})


@pytest.mark.parametrize("ending", ["geojson", "gpkg"])
def test_without_geometry_there_is_no_map_file(filled, tmp_path, ending):
    with pytest.raises(EtlError, match="has no geometry") as caught:
        export(filled, "macav2_county", tmp_path / f"days.{ending}")
    assert ".csv or .parquet" in caught.value.hint


def test_an_unknown_ending_names_the_nearest(filled, tmp_path):
    with pytest.raises(EtlError) as caught:
        export(filled, "region_county", tmp_path / "counties.geojsn")
    assert "did you mean `.geojson`" in caught.value.hint
    with pytest.raises(EtlError) as caught:
        export(filled, "region_county", tmp_path / "counties")
    assert "`.gpkg`" in caught.value.hint


def test_a_failed_export_leaves_the_old_file(filled, tmp_path):
    target = tmp_path / "counties.csv"
    target.write_text("old")
    with pytest.raises(EtlError):
        export(filled, "region_county", target, where="no such column = 1")
    assert target.read_text() == "old" and list(tmp_path.glob(".*.part")) == []


def test_a_read_only_disk_is_named(filled, read_only_disk):
    with pytest.raises(EtlError, match="disk is read-only"):
        export(filled, "region_county", read_only_disk / "counties.csv")
