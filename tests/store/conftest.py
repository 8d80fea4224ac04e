"""Stores of every home, and small collections shaped like the real ones."""

from datetime import datetime, timedelta, timezone

import pytest

from impl.store import open_store
from tests.object_storage import prefix_for
from tests.postgres import schema_for

HOMES = ["lake", "postgis", "s3", "gs"]  # a further home: its name here, its address in `home`

COUNTY_KEY = ["gis_join", "timestamp", "model", "scenario"]


@pytest.fixture(params=HOMES)
def home(request, tmp_path):
    """The address of an empty store."""
    if request.param == "postgis":
        return request.getfixturevalue("postgres").address(schema=schema_for(tmp_path))
    if request.param == "s3":
        return request.getfixturevalue("s3_server").address("lake", prefix_for(tmp_path))
    if request.param == "gs":
        return request.getfixturevalue("s3_server").google_address("lake", prefix_for(tmp_path))
    return tmp_path / "store"


@pytest.fixture
def store(home):
    return open_store(home)


@pytest.fixture
def schema(tmp_path):
    """The schema of this test alone, in PostGIS."""
    return schema_for(tmp_path)


@pytest.fixture
def lake(tmp_path):
    """An empty store in a folder, for what only a folder has."""
    return open_store(tmp_path / "store")


def counties():
    """Three counties, the second with a hole that holds the third."""
    import shapely

    box = shapely.box
    return [
        {"gis_join": "G0800010", "name": "Adams", "area_km2": 4.0, "geometry": shapely.to_wkb(box(0, 0, 2, 2))},
        {"gis_join": "G5101630", "name": "Rockbridge", "area_km2": 15.0,
         "geometry": shapely.to_wkb(box(2, 0, 6, 4) - box(3, 1, 4, 2))},
        {"gis_join": "G5106780", "name": "Lexington", "area_km2": 1.0, "geometry": shapely.to_wkb(box(3, 1, 4, 2))},
    ]  # fmt: skip


def days(year=2005, count=3, first="G0800010", offset=0.0):
    """`count` days of two counties, without model, scenario and year."""
    start = datetime(year, 1, 1, tzinfo=timezone.utc)
    return [
        {"gis_join": county, "timestamp": start + timedelta(days=day), "mean_precipitation_mm": float(day + place + offset)}
        for day in range(count)
        for place, county in enumerate((first, "G5101630"))
    ]


def part(year=2005, model="CCSM4"):
    return {"model": model, "scenario": "historical", "year": year}
