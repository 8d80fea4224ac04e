"""Rows that differ between two states, by key; in one home, across homes, between versions."""

import pytest

from impl.store import compare, open_store
from tests.store.conftest import COUNTY_KEY, counties, days, part


@pytest.fixture
def other(tmp_path):
    return open_store(tmp_path / "other")


def test_added_removed_and_changed_rows_are_counted_and_shown(store, other):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    rows = counties()
    rows[0]["name"] = "Adams County"
    rows[2]["gis_join"] = "G9900000"
    other.replace("region_county", rows, key="gis_join", geometry="geometry")
    changes = compare.stores(store, other, "region_county")
    assert (changes.added, changes.removed, changes.changed) == (1, 1, 1)
    assert changes.examples == ["added: gis_join=G9900000", "removed: gis_join=G5106780", "changed: gis_join=G0800010"]
    assert str(changes).splitlines()[0] == "1 rows added, 1 rows removed, 1 rows changed"


def test_only_parts_that_differ_are_read(store, other, monkeypatch):
    for one in (store, other):
        for year in (2004, 2005):
            one.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    other.replace("macav2_county", days(2005, offset=1), key=COUNTY_KEY, part=part(2005))
    read = []
    stream = type(other).stream
    monkeypatch.setattr(
        type(other),
        "stream",
        lambda self, name, columns=None, where=None: read.append(where) or stream(self, name, columns, where),
    )
    changes = compare.stores(store, other, "macav2_county")
    assert (changes.added, changes.removed, changes.changed) == (0, 0, 6)
    assert set(read) == {'"model" = \'CCSM4\' AND "scenario" = \'historical\' AND "year" = 2005'}


def test_a_new_collection_and_one_that_is_gone(store, other):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    assert compare.stores(store, other, "region_county").removed == 3
    assert compare.stores(other, store, "region_county").added == 3


def test_other_columns_are_other_rows(store, other):
    store.replace("things", [{"key": 1, "a": 1}], key="key")
    other.replace("things", [{"key": 1, "a": 1, "b": 2}], key="key")
    assert compare.stores(store, other, "things").changed == 1
    other.replace("things", [{"key": 1, "new": 1}], key="new")
    changes = compare.stores(store, other, "things")
    assert (changes.removed, changes.added) == (1, 1)


def test_versions_of_a_lake(lake):
    first = lake.replace("region_county", counties(), key="gis_join", geometry="geometry", description="one")
    second = lake.replace("region_county", counties()[:2], key="gis_join", geometry="geometry", description="two")
    text = compare.between_versions(lake, "region_county", first.version, second.version)
    assert text == "rows of region_county by key: 1 rows removed\n    removed: gis_join=G5106780"
    assert lake.facts_at("region_county", first.version).description == "one"
    assert lake.facts_at("region_county", first.version).rows == 3
