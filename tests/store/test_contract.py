"""What every home of the store has to do. A further home joins by one entry in conftest.py."""

from datetime import date, datetime, timezone

import pyarrow
import pyarrow.parquet
import pytest

from impl.run.errors import EtlError
from impl.store import load, open_store
from tests.store.conftest import COUNTY_KEY, counties, days, part


def test_an_empty_store_has_no_collections(store):
    assert store.names() == []


def test_what_was_put_in_comes_out(store):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    assert store.names() == ["region_county"]
    rows = store.read("region_county").to_pylist()
    assert sorted(row["name"] for row in rows) == ["Adams", "Lexington", "Rockbridge"]
    assert store.read("region_county", ["area_km2"], "name = 'Adams'").to_pylist() == [{"area_km2": 4.0}]


def test_every_type_comes_back_as_it_went_in(store):
    moment = datetime(2005, 7, 1, 12, 30, 0, 250, tzinfo=timezone.utc)
    row = {
        "key": "é",
        "whole": 2**40,
        "number": 0.1,
        "yes": True,
        "moment": moment,
        "day": date(1900, 2, 28),
        "raw": b"\x00\xff",
    }
    empty = dict.fromkeys(row) | {"key": "leer"}
    store.replace("things", [row, empty], key="key")
    assert store.read("things", where="key = 'é'").to_pylist() == [row]
    assert store.read("things", where="key = 'leer'").to_pylist() == [empty]


def test_facts_say_what_a_reader_needs(store):
    store.replace(
        "region_county", counties(), key="gis_join", geometry="geometry", description="Counties", synthetic=True,
        source="TIGER/Line 2010", licence="public domain", columns={"name": "its name", "area_km2": ("km2", "its area")},
    )  # fmt: skip
    facts = store.facts("region_county")
    assert (facts.name, facts.key, facts.rows, facts.geometry, facts.synthetic) == (
        "region_county",
        ("gis_join",),
        3,
        "geometry",
        True,
    )
    assert (facts.description, facts.source, facts.licence) == ("Counties", "TIGER/Line 2010", "public domain")
    assert [tuple(column) for column in facts.columns] == [
        ("gis_join", "text", "", ""),
        ("name", "text", "", "its name"),
        ("area_km2", "double", "km2", "its area"),
        ("geometry", "geometry", "", ""),
    ]
    assert facts.bytes > 0
    assert abs((datetime.now(timezone.utc) - facts.updated).total_seconds()) < 60


def test_a_second_load_changes_nothing(store):
    first = store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    before = store.facts("region_county")
    again = store.replace("region_county", list(reversed(counties())), key="gis_join", geometry="geometry")
    assert (first.changed, again.changed) == (True, False)
    assert store.facts("region_county") == before


def test_a_changed_description_is_taken_over_and_the_rows_stay(store):
    first = store.replace("region_county", counties(), key="gis_join", geometry="geometry", description="old")
    second = store.replace("region_county", counties(), key="gis_join", geometry="geometry", description="new")
    assert second.changed and second.fingerprint == first.fingerprint
    assert store.facts("region_county").description == "new"
    assert store.facts("region_county").bytes > 0
    assert store.read("region_county").num_rows == 3


def test_a_whole_load_may_change_the_columns(store):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    store.replace("region_county", [{"gis_join": 1, "people": 7}], key="gis_join", description="other")
    assert [column[:2] for column in store.facts("region_county").columns] == [("gis_join", "bigint"), ("people", "bigint")]
    assert store.read("region_county").to_pylist() == [{"gis_join": 1, "people": 7}]


def test_a_whole_load_may_change_the_partitions(store):
    rows = [{"key": 1, "model": "A"}, {"key": 2, "model": "B"}]
    plain = store.replace("things", rows, key="key")
    split = store.replace("things", rows, key="key", partition_by=["model"])
    assert split.changed and split.fingerprint == plain.fingerprint
    assert set(store.facts("things").parts) == {("A",), ("B",)}
    assert sorted(store.read("things").column("key").to_pylist()) == [1, 2]


def test_a_part_replaces_exactly_itself(store):
    for year in (2004, 2005):
        store.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    kept = store.facts("macav2_county").parts[("CCSM4", "historical", 2004)]
    store.replace("macav2_county", days(2005, count=1), key=COUNTY_KEY, part=part(2005))
    facts = store.facts("macav2_county")
    assert facts.partition_by == ("model", "scenario", "year")
    assert facts.parts[("CCSM4", "historical", 2004)] == kept
    counted = store.query("select year, count(*) as rows from macav2_county group by year order by year").to_pylist()
    assert counted == [{"year": 2004, "rows": 6}, {"year": 2005, "rows": 2}]


def test_some_of_the_partition_columns_name_all_the_partitions_below(store):
    rows = [{"key": f"{model}{year}", "model": model, "year": year} for model in "AB" for year in (1, 2)]
    store.replace("things", rows, key="key", partition_by=["model", "year"])
    store.replace("things", [{"key": "new", "year": 3}], key="key", part={"model": "A"})
    assert set(store.facts("things").parts) == {("A", 3), ("B", 1), ("B", 2)}
    assert sorted(store.read("things").column("key").to_pylist()) == ["B1", "B2", "new"]


def test_the_parts_add_up_to_the_fingerprint_of_the_whole(store):
    for year in (2004, 2005):
        store.replace("by_part", days(year), key=COUNTY_KEY, part=part(year))
    rows = [{**row, **part(year)} for year in (2005, 2004) for row in days(year)]
    types = {"year": "int32"}
    table = pyarrow.Table.from_pylist(rows)
    table = table.set_column(table.schema.get_field_index("year"), "year", table.column("year").cast(types["year"]))
    whole = store.replace("at_once", table, key=COUNTY_KEY)
    assert store.facts("by_part").fingerprint == whole.fingerprint


def test_every_home_has_the_same_rows_and_the_same_fingerprints(store, tmp_path):
    other = open_store(tmp_path / "other")
    for one in (store, other):
        one.replace("region_county", counties(), key="gis_join", geometry="geometry")
        for year in (2004, 2005):
            one.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    for name in ("region_county", "macav2_county"):
        here, there = store.facts(name), other.facts(name)
        assert (here.fingerprint, here.rows, here.columns) == (there.fingerprint, there.rows, there.columns)
        order = [(column, "ascending") for column in here.key]
        assert store.read(name).sort_by(order) == other.read(name).sort_by(order)


def test_the_store_holds_what_was_loaded_and_nothing_else(store):
    done = store.replace("macav2_county", days(), key=COUNTY_KEY, part=part())
    assert store.holds("macav2_county", part(), done.fingerprint)
    assert store.holds("macav2_county", None, done.fingerprint)  # its only part so far
    assert not store.holds("macav2_county", part(2004), done.fingerprint)
    assert not store.holds("macav2_county", part(), "0" * 64)
    assert not store.holds("macav2_count", None, done.fingerprint)
    store.replace("macav2_county", days(offset=1), key=COUNTY_KEY, part=part())
    assert not store.holds("macav2_county", part(), done.fingerprint)
    store.drop("macav2_county")
    assert not store.holds("macav2_county", part(), done.fingerprint)


def test_a_dropped_collection_is_gone_and_dropping_again_is_fine(store):
    store.replace("region_county", counties(), key="gis_join")
    store.drop("region_county")
    store.drop("region_county")
    assert store.names() == []


def test_files_are_loaded_by_a_plain_function(home, tmp_path):
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(days(2005, first="G0100010")[:2]), paths[0])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(days(2005, first="G0200010")[2:]), paths[1])
    done = load(home, "macav2_county", [str(path) for path in paths], key=COUNTY_KEY, part=part())
    assert (done["rows"], done["changed"], done["part"]) == (6, True, part())
    assert open_store(home).holds("macav2_county", done["part"], done["fingerprint"])
    assert not load(home, "macav2_county", paths, key=COUNTY_KEY, part=part())["changed"]


def test_geoparquet_says_itself_where_its_geometry_is(home, tmp_path):
    import geopandas
    import shapely

    frame = geopandas.GeoDataFrame({"gis_join": ["G1"], "outline": [shapely.box(0, 0, 1, 1)]}, geometry="outline", crs=4326)
    frame.to_parquet(tmp_path / "regions.parquet")
    done = load(home, "region_county", tmp_path / "regions.parquet", key="gis_join")
    assert open_store(home).facts("region_county").geometry == "outline"
    assert open_store(home).replace("region_county", frame, key="gis_join").fingerprint == done["fingerprint"]


def test_geometry_is_the_same_however_its_bytes_are_ordered(store):
    import shapely

    square = shapely.box(0, 0, 1, 1)
    forms = [shapely.to_wkb(square, byte_order=0), shapely.to_wkb(shapely.set_srid(square, 4326), include_srid=True)]
    prints = {store.replace("r", [{"k": 1, "g": form}], key="k", geometry="g").fingerprint for form in forms}
    assert len(prints) == 1
    assert shapely.from_wkb(store.read("r").to_pylist()[0]["g"]) == square


def test_an_empty_part_is_allowed_only_when_said(store):
    store.replace("macav2_county", days(), key=COUNTY_KEY, part=part())
    nothing = pyarrow.Table.from_pylist(days()).slice(0, 0)
    with pytest.raises(EtlError, match="no rows to load") as caught:
        store.replace("macav2_county", nothing, key=COUNTY_KEY, part=part())
    assert "may_be_empty" in caught.value.hint
    assert store.facts("macav2_county").rows == 6
    done = store.replace("macav2_county", nothing, key=COUNTY_KEY, part=part(), may_be_empty=True)
    assert done.rows == 0 and store.holds("macav2_county", part(), done.fingerprint)
    assert store.read("macav2_county").num_rows == 0


def test_one_synthetic_part_makes_the_collection_synthetic(store):
    store.replace("macav2_county", days(2004), key=COUNTY_KEY, part=part(2004), synthetic=True)
    store.replace("macav2_county", days(2005), key=COUNTY_KEY, part=part(2005))
    assert store.facts("macav2_county").synthetic
    store.replace("macav2_county", days(2004), key=COUNTY_KEY, part=part(2004))
    assert not store.facts("macav2_county").synthetic


def test_a_double_key_names_the_key_and_its_rows(store):
    rows = [{"gis_join": "B"}, {"gis_join": "A"}, {"gis_join": "B"}]
    with pytest.raises(EtlError) as caught:
        store.replace("region_county", rows, key="gis_join")
    assert "1 key stands in more than one row" in caught.value.what
    assert "gis_join=B: rows 1 and 3" in caught.value.where
    assert store.names() == ["rejected_region_county"]


def test_a_double_key_is_found_across_partitions(store):
    rows = [{"key": "A", "year": 2004}, {"key": "A", "year": 2005}]
    with pytest.raises(EtlError, match="more than one row"):
        store.replace("things", rows, key="key", partition_by=["year"])


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_key_names_its_row(store, empty):
    rows = [{"gis_join": "A", "name": "x"}, {"gis_join": empty, "name": "y"}]
    with pytest.raises(EtlError) as caught:
        store.replace("region_county", rows, key="gis_join")
    assert "the key `gis_join` is empty in 1 row" in caught.value.what
    assert "row 2 of 2" in caught.value.where


def test_a_part_with_other_columns_is_refused_and_they_are_named(store):
    store.replace("macav2_county", days(2004), key=COUNTY_KEY, part=part(2004))
    rows = [{"gis_join": "A", "timestamp": datetime(2005, 1, 1), "wind_m_per_s": 1.0}]
    with pytest.raises(EtlError) as caught:
        store.replace("macav2_county", rows, key=COUNTY_KEY, part=part(2005))
    assert "`mean_precipitation_mm` is missing" in caught.value.where and "`wind_m_per_s` is new" in caught.value.where
    assert "clean the collection" in caught.value.hint
    assert store.facts("macav2_county").rows == 6


def test_rows_of_another_part_are_refused(store):
    rows = [{**row, **part(2004)} for row in days(2004)]
    with pytest.raises(EtlError, match="`year` = 2004, but the part to load is `year` = 2005"):
        store.replace("macav2_county", rows, key=COUNTY_KEY, part=part(2005))


def test_a_missing_collection_names_the_nearest_and_how_to_find_its_task(store):
    store.replace("region_county", counties(), key="gis_join")
    with pytest.raises(EtlError) as caught:
        store.facts("region_conty")
    assert "there is no collection `region_conty`" in caught.value.what
    assert "did you mean `region_county`" in caught.value.hint
    with pytest.raises(EtlError) as caught:
        store.read("macav2_county")
    assert "`invoke -l` lists tasks" in caught.value.hint  # a document's collection has no task of its name


def test_a_key_that_is_no_column_names_the_nearest(store):
    with pytest.raises(EtlError) as caught:
        store.replace("region_county", counties(), key="gisjoin")
    assert "did you mean `gis_join`" in caught.value.hint


def test_a_description_of_a_column_that_is_not_there_is_an_error(store):
    with pytest.raises(EtlError, match="no column `area_km`"):
        store.replace("region_county", counties(), key="gis_join", columns={"area_km": ("km2", "")})


def test_geometry_in_other_coordinates_is_refused(store):
    import geopandas
    import shapely

    frame = geopandas.GeoDataFrame({"k": ["a"], "geometry": [shapely.box(0, 0, 1, 1)]}, crs=5070)
    with pytest.raises(EtlError, match="EPSG:5070") as caught:
        store.replace("region_county", frame, key="k")
    assert "to_crs(4326)" in caught.value.hint


def test_bytes_that_are_no_geometry_are_refused(store):
    with pytest.raises(EtlError, match="no well-known binary"):
        store.replace("region_county", [{"k": 1, "g": b"nonsense"}], key="k", geometry="g")


def test_a_time_finer_than_a_microsecond_is_refused_and_the_column_named(store):
    rows = pyarrow.table({"key": [1], "at": pyarrow.array([1], pyarrow.timestamp("ns"))})
    with pytest.raises(EtlError, match="column `at` does not fit"):
        store.replace("things", rows, key="key")


@pytest.mark.parametrize("name", ["Region", "region-county", "../region", "", "1st"])
def test_a_name_that_is_none_is_refused(store, name):
    with pytest.raises(EtlError, match="no name for a collection"):
        store.replace(name, counties(), key="gis_join")


def test_a_type_that_no_store_holds_is_named(store):
    with pytest.raises(EtlError, match="column `many` is a list"):
        store.replace("things", [{"key": 1, "many": [1, 2]}], key="key")


def test_partition_values_may_be_any_text(store):
    values = ["a b/c=d", "ü%20", "'; drop", "..", "x.y", "NULL"]
    rows = [{"key": place, "model": value} for place, value in enumerate(values)]
    store.replace("things", rows, key="key", partition_by=["model"])
    assert sorted(store.read("things").to_pylist(), key=lambda row: row["key"]) == rows
    store.replace("things", [{"key": 99}], key="key", part={"model": values[0]})
    assert store.read("things", ["key"], "model = 'a b/c=d'").to_pylist() == [{"key": 99}]


def test_an_unknown_kind_of_home_is_refused():
    with pytest.raises(EtlError, match="no store of the kind `gopher://`"):
        open_store("gopher://somewhere")
