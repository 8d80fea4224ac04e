"""The rights that docs/store.md names are enough."""

import pytest

from impl.run.errors import EtlError
from impl.store import open_store


def test_create_on_a_database_with_postgis_is_enough(postgres):
    import shapely

    postgres.sql("create database rights template template0", "postgres")
    postgres.sql("create role plain login; grant create, connect on database rights to plain", "rights")
    store = open_store(postgres.address("rights", "plain"))
    rows = [{"key": 1, "geometry": shapely.to_wkb(shapely.Point(1, 2))}]
    with pytest.raises(EtlError, match="PostGIS is not set up"):
        store.replace("things", rows, key="key", geometry="geometry")
    postgres.sql("create extension postgis schema public", "rights")
    assert store.replace("things", rows, key="key", geometry="geometry").rows == 1
    assert store.query("select ST_X(geometry) as x from things").to_pylist() == [{"x": 1.0}]
