"""What others do to the tables of a PostGIS store behind its back: it is noticed, named, and made again by the same load."""

import pytest

from impl.run.errors import EtlError
from impl.store import checks, open_store
from tests.store.conftest import COUNTY_KEY, counties, days, part


@pytest.fixture
def store(postgres, schema):
    return open_store(postgres.address(schema=schema))


def load(store, name):
    """The collections of these tests: one without years, one with two."""
    if name == "region_county":
        return [store.replace(name, counties(), key="gis_join", geometry="geometry", checks=[checks.row_count()])]
    return [
        store.replace(name, days(year), key=COUNTY_KEY, part=part(year), checks=[checks.row_count()]) for year in (2004, 2005)
    ]


def holds(store, name, done):
    return [store.holds(name, one.part, one.fingerprint) for one in done]


TRUNCATED_LEAF = "truncate {s}._macav2_county_2004"
BEHIND = [  # collection, what somebody types, a word of what is said
    ("region_county", "update {s}.region_county set name = 'x' where gis_join = 'G0800010'", "rows"),
    ("region_county", "delete from {s}.region_county where gis_join = 'G0800010'", "rows"),
    ("region_county", "truncate {s}.region_county", "rows"),
    ("region_county", "insert into {s}.region_county (gis_join, name) values ('G9', 'x')", "rows"),
    ("region_county", "drop table {s}.region_county", "the table is gone"),
    ("region_county", "drop table {s}.region_county cascade", "the table is gone"),
    ("region_county", "alter table {s}.region_county drop column name", "the column `name` is gone"),
    ("region_county", "alter table {s}.region_county drop column gis_join", "the column `gis_join` is gone"),
    ("region_county", "alter table {s}.region_county drop column geometry", "the column `geometry` is gone"),
    ("region_county", "alter table {s}.region_county rename column name to label", "the column `name` is gone"),
    ("region_county", "alter table {s}.region_county alter column area_km2 type real", "`area_km2` is real, was double"),
    ("region_county", "alter table {s}.region_county rename to elsewhere", "the table is gone"),
    ("region_county", "alter table {s}.region_county disable trigger all; delete from {s}.region_county", "the trigger"),
    (
        "region_county",
        "alter table {s}.region_county disable trigger all; delete from {s}.region_county; alter table {s}.region_county enable trigger all",
        "the trigger",
    ),
    (
        "region_county",
        "delete from {s}.region_county; alter table {s}.region_county disable trigger touched, enable always trigger touched",
        "rows",
    ),
    ("region_county", "drop trigger touched on {s}.region_county; delete from {s}.region_county", "the trigger"),
    ("region_county", "set session_replication_role = replica; delete from {s}.region_county", "rows"),
    ("region_county", "set session_replication_role = replica; truncate {s}.region_county", "rows"),
    ("macav2_county", "update {s}._macav2_county_2004 set mean_precipitation_mm = -1", "rows"),
    ("macav2_county", "delete from {s}._macav2_county_2004 where gis_join = 'G0800010'", "rows"),
    ("macav2_county", TRUNCATED_LEAF, "rows"),
    ("macav2_county", f"set session_replication_role = replica; {TRUNCATED_LEAF}", "rows"),
    ("macav2_county", "alter table {s}.macav2_county detach partition {s}._macav2_county_2004", "the rows of 2004 are gone"),
    ("macav2_county", "drop table {s}._macav2_county_2004", "the rows of 2004 are gone"),
    ("macav2_county", "drop table {s}.macav2_county", "the table is gone"),
    ("macav2_county", "alter table {s}.macav2_county drop column mean_precipitation_mm", "`mean_precipitation_mm` is gone"),
    ("macav2_county", "alter table {s}._macav2_county_2004 disable trigger user", "the trigger"),
    ("macav2_county", "insert into {s}.macav2_county select gis_join, timestamp, 9, 'X', scenario, year from {s}.macav2_county", "rows"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "typed", "said"), BEHIND, ids=[typed.replace("{s}.", "")[-60:] for _, typed, _ in BEHIND])
def test_what_others_did_is_noticed_named_and_made_again(store, postgres, schema, name, typed, said):
    done = load(store, name)
    wanted = store.facts(name)
    rows = store.read(name).sort_by([(one, "ascending") for one in wanted.key]).to_pylist()
    assert store.lost(name) is None and store.verify(name, deep=True) == [] and all(holds(store, name, done))
    postgres.sql(typed.format(s=schema))
    assert said in (store.lost(name) or "")
    assert store.verify(name, deep=False)
    assert not any(holds(store, name, done)), "no part of a table that others changed counts as held"
    again = load(store, name)
    assert all(holds(store, name, again)) and [one.fingerprint for one in again] == [one.fingerprint for one in done]
    assert store.facts(name).parts.keys() == wanted.parts.keys()
    assert store.lost(name) is None and store.verify(name, deep=True) == []
    assert store.read(name).sort_by([(one, "ascending") for one in wanted.key]).to_pylist() == rows
    assert load(store, name)[0].changed is False
    if "drop" not in typed:  # the trigger works again
        postgres.sql(f"delete from {schema}.{name}")
        assert not any(holds(store, name, again))


@pytest.mark.parametrize(
    "typed",
    [
        "vacuum full {s}.region_county",
        "vacuum (freeze, analyze) {s}.region_county",
        "cluster {s}.region_county using {key}",
        "reindex table {s}.region_county",
        "create index on {s}.region_county (name)",
        "grant select on {s}.region_county to public",
        "alter table {s}.region_county enable row level security",
        "create view {s}.mine as select * from {s}.region_county",
        "comment on table {s}.region_county is 'ours'",
        "alter table {s}.region_county alter column name set statistics 500",
        "alter table {s}.region_county set (fillfactor = 70)",
        "begin; update {s}.region_county set name = 'x'; rollback",
    ],
)
def test_what_leaves_the_rows_as_they_are_is_no_tampering(store, postgres, schema, typed):
    done = load(store, "region_county")
    key = postgres.sql(
        f"select conname from pg_constraint where conrelid = '{schema}.region_county'::regclass and contype = 'p'"
    )
    postgres.sql(typed.format(s=schema, key=key[0][0]))
    assert store.lost("region_county") is None
    assert all(holds(store, "region_county", done))


def test_a_detached_year_keeps_its_rows_beside_the_one_that_is_made_again(store, postgres, schema):
    load(store, "macav2_county")
    postgres.sql(f"alter table {schema}.macav2_county detach partition {schema}._macav2_county_2004")
    postgres.sql(f"update {schema}._macav2_county_2004 set mean_precipitation_mm = -1")
    load(store, "macav2_county")
    aside = postgres.sql(
        f"select tablename from pg_tables where schemaname = '{schema}' and tablename like '%2004_detached_%' order by 1"
    )
    assert len(aside) == 1
    assert postgres.sql(f"select distinct mean_precipitation_mm from {schema}.{aside[0][0]}") == [["-1"]]


def test_foreign_rows_go_with_a_warning_whatever_the_row_count_says(store, postgres, schema):
    load(store, "region_county")
    postgres.sql(
        f"insert into {schema}.region_county (gis_join, name) select 'F' || g, 'foreign' from generate_series(1, 500) g"
    )
    done = load(store, "region_county")[0]  # its row_count check asks for nine tenths of the last version
    assert store.facts("region_county").rows == 3
    warned = [one for one in done.checks if not one.passed]
    assert len(warned) == 1 and warned[0].warn and "3 rows were left there, 503 were found" in warned[0].found


def test_parts_that_nobody_loaded_go(store, postgres, schema):
    done = load(store, "macav2_county")
    postgres.sql(
        f"insert into {schema}.macav2_county select gis_join, timestamp, mean_precipitation_mm, 'X', scenario, year"
        f" from {schema}.macav2_county where year = 2005"
    )
    assert ("X", "historical", 2005) in store.facts("macav2_county").parts
    store.replace("macav2_county", days(2004), key=COUNTY_KEY, part=part(2004))  # any part that is loaded
    assert ("X", "historical", 2005) not in store.facts("macav2_county").parts
    assert all(holds(store, "macav2_county", done))


def test_a_column_that_a_view_needs_is_not_taken_away_and_the_view_is_named(store, postgres, schema):
    load(store, "region_county")
    postgres.sql(f"create view {schema}.mine as select name from {schema}.region_county")
    assert store.dependents("region_county") == [f"view {schema}.mine"]
    without = [{key: value for key, value in row.items() if key != "name"} for row in counties()]
    with pytest.raises(EtlError, match="the column `name` of `region_county` goes") as refused:
        store.replace("region_county", without, key="gis_join", geometry="geometry")
    assert f"view {schema}.mine" in refused.value.where
    assert store.facts("region_county").rows == 3 and store.lost("region_county") is None
    postgres.sql(f"drop view {schema}.mine")  # what the hint says
    store.replace("region_county", without, key="gis_join", geometry="geometry")
    assert "name" not in store.read("region_county").column_names


def test_a_table_that_takes_another_shape_is_still_the_same_table(store, postgres, schema):
    load(store, "region_county")
    postgres.sql(f"create view {schema}.mine as select gis_join from {schema}.region_county")
    number = f"select '{schema}.region_county'::regclass::oid"
    before = postgres.sql(number)
    more = [{**row, "area_km2": str(row["area_km2"]), "fips": place} for place, row in enumerate(counties())]
    done = store.replace("region_county", more, key="gis_join", geometry="geometry")
    assert postgres.sql(number) == before and postgres.sql(f"select count(*) from {schema}.mine") == [["3"]]
    assert sorted(store.read("region_county", ["fips"])["fips"].to_pylist()) == [0, 1, 2]
    assert store.holds("region_county", None, done.fingerprint) and store.verify("region_county", deep=True) == []
    other_key = store.replace("region_county", more, key="fips", geometry="geometry")
    assert postgres.sql(number) == before and other_key.changed
    with pytest.raises(EtlError, match="key"):
        store.replace("region_county", [*more, more[0]], key="fips", geometry="geometry")
    assert store.verify("region_county", deep=True) == []


def test_a_store_of_an_earlier_version_is_read_and_brought_up_to_date(store, postgres, schema):
    done = load(store, "region_county")
    postgres.sql(f"alter table {schema}._collections drop column signature; drop trigger touched on {schema}.region_county")
    assert store.names() == ["region_county"] and store.facts("region_county").rows == 3
    assert not any(holds(store, "region_county", done)), "nobody knows what happened to it"
    assert all(holds(store, "region_county", load(store, "region_county")))
    assert store.lost("region_county") is None
