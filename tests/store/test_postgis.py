"""What only the database has: keys, indexes, comments, a reading role, readers beside a load, broken connections."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pyarrow
import pytest

from impl.run import secrets
from impl.run.errors import EtlError
from impl.store import open_store
from tests.conftest import mounted
from tests.postgres import Cluster
from tests.store.conftest import COUNTY_KEY, counties, days, part


@pytest.fixture
def store(postgres, schema):
    return open_store(postgres.address(schema=schema))


def many(rows, year=2005, offset=0.0):
    """So many rows of one county, one a second."""
    start = pyarrow.scalar(f"{year}-01-01", pyarrow.string()).cast(pyarrow.timestamp("s")).value
    return pyarrow.table(
        {
            "gis_join": pyarrow.repeat("G0800010", rows),
            "timestamp": pyarrow.array(range(start, start + rows), pyarrow.timestamp("s")).cast(pyarrow.timestamp("us", "UTC")),
            "mean_precipitation_mm": pyarrow.array([offset + row % 1000 for row in range(rows)], pyarrow.float64()),
        }
    )


def test_the_table_has_a_key_comments_and_an_index_on_its_geometry(store, postgres, schema):
    store.replace(
        "region_county", counties(), key="gis_join", geometry="geometry", description="Counties of 2010",
        columns={"area_km2": ("km2", "area on the ellipsoid"), "name": "its name"},
    )  # fmt: skip
    indexes = [
        row[0]
        for row in postgres.sql(
            f"select indexdef from pg_indexes where schemaname = '{schema}' and tablename = 'region_county'"
        )
    ]
    assert any("UNIQUE" in one and "(gis_join)" in one for one in indexes)
    assert any("USING gist (geometry)" in one for one in indexes)
    table = f"'{schema}.region_county'::regclass"
    assert postgres.sql(f"select obj_description({table})") == [["Counties of 2010"]]
    said = postgres.sql(
        f"select attname, col_description({table}, attnum) from pg_attribute where attrelid = {table} and attnum > 0 order by attnum"
    )
    assert said == [["gis_join", ""], ["name", "its name"], ["area_km2", "km2: area on the ellipsoid"], ["geometry", ""]]
    within = f"select name from {schema}.region_county where st_contains(geometry, st_setsrid(st_point(3.5, 1.5), 4326))"
    assert postgres.sql(within) == [["Lexington"]]
    assert postgres.sql(f"select distinct st_srid(geometry) from {schema}.region_county") == [["4326"]]


def test_a_collection_with_years_is_partitioned_by_them(store, postgres, schema):
    for model in ("CCSM4", "GFDL"):
        for year in (2004, 2005):
            store.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year, model))
    leaves = postgres.sql(
        f"select inhrelid::regclass::text from pg_inherits where inhparent = '{schema}.macav2_county'::regclass order by 1"
    )
    assert leaves == [[f"{schema}._macav2_county_2004"], [f"{schema}._macav2_county_2005"]]
    plan = "\n".join(row[0] for row in postgres.sql(f"explain select * from {schema}.macav2_county where year = 2004"))
    assert "_2004" in plan and "_2005" not in plan
    key = postgres.sql(
        f"select pg_get_constraintdef(oid) from pg_constraint where conrelid = '{schema}.macav2_county'::regclass and contype = 'p'"
    )
    assert key == [['PRIMARY KEY (gis_join, "timestamp", model, scenario, year)']]
    assert store.facts("macav2_county").rows == 24


def test_rows_that_stay_the_same_are_not_written_again(store, postgres, schema):
    store.replace("macav2_county", days(2005, count=3), key=COUNTY_KEY, part=part())
    asked = f"select gis_join, timestamp::date, xmin::text from {schema}.macav2_county order by 1, 2"
    before = {tuple(row[:2]): row[2] for row in postgres.sql(asked)}
    changed = [{**row, "mean_precipitation_mm": 99.0} if place == 0 else row for place, row in enumerate(days(2005, count=2))]
    store.replace("macav2_county", changed, key=COUNTY_KEY, part=part())
    after = {tuple(row[:2]): row[2] for row in postgres.sql(asked)}
    assert set(before) - set(after) == {("G0800010", "2005-01-03"), ("G5101630", "2005-01-03")}
    assert [row for row in after if after[row] != before[row]] == [("G0800010", "2005-01-01")]
    assert store.read("macav2_county", where="mean_precipitation_mm = 99").num_rows == 1


def test_the_reading_role_reads_and_does_nothing_else(store, postgres, schema):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    store.replace("macav2_county", days(), key=COUNTY_KEY, part=part())
    postgres.sql(f"create role guest_of_{schema} login in role {schema}_reader")
    guest = f"guest_of_{schema}"
    assert postgres.sql(f"select count(*) from {schema}.region_county", user=guest) == [["3"]]
    assert postgres.sql(f"select count(*) from {schema}.macav2_county", user=guest) == [["6"]]
    for forbidden in (
        f"delete from {schema}.region_county",
        f"create table {schema}.mine (x int)",
        f"drop table {schema}.region_county",
    ):
        with pytest.raises(AssertionError, match=r"permission denied|must be owner"):
            postgres.sql(forbidden, user=guest)
    as_guest = open_store(postgres.address(user=guest, schema=schema))
    assert as_guest.query("select count(*) as n from region_county").to_pylist() == [{"n": 3}]
    with pytest.raises(EtlError, match="may not do this"):
        as_guest.drop("region_county")


@pytest.mark.parametrize(
    "sql",
    [
        "delete from region_county",
        "with gone as (delete from region_county returning *) select * from gone",
        "select 1; drop table region_county",
        "copy region_county to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "create table mine as select 1",
    ],
)
def test_a_query_only_reads(store, sql):
    store.replace("region_county", counties(), key="gis_join")
    with pytest.raises(EtlError):
        store.query(sql)
    assert store.facts("region_county").rows == 3 and store.read("region_county").num_rows == 3


@pytest.mark.parametrize("right", ["superuser", "in role pg_read_server_files"])
def test_a_query_does_not_run_as_one_who_may_read_files_of_the_server(store, postgres, schema, right):
    """No role would keep it from them: a query leaves a role by `set_config`, and begins another by `query_to_xml`."""
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    user = f"mighty_{schema}"[:60]
    postgres.sql(f"drop role if exists {user}; create role {user} login {right}; grant loader to {user}")
    mighty = open_store(postgres.address(user=user, schema=schema))
    leave = (
        "select set_config('role', 'none', true), query_to_xml('select pg_read_file(''/etc/hostname'') as x', true, true, '')"
    )
    for sql in (leave, "select count(*) from region_county"):
        with pytest.raises(EtlError, match="does not run as a user who may read files") as refused:
            mighty.query(sql)
    assert f"{schema}_reader" in refused.value.hint
    assert mighty.read("region_county").num_rows == 3  # what is asked for by our own words
    postgres.sql(f"create role asks_{schema[:50]} login; grant {schema}_reader to asks_{schema[:50]}")  # what the hint says
    reader = open_store(postgres.address(user=f"asks_{schema[:50]}", schema=schema))
    assert reader.query("select count(*) as n from region_county").to_pylist() == [{"n": 3}]
    with pytest.raises(EtlError, match=r"may not do this|query fails"):
        reader.query(leave)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select name::int from region_county", "the query fails: invalid input syntax for type integer"),
        ("select area_km2 / (area_km2 - 4) from region_county", "the query fails: division by zero"),
        ("select (select gis_join from region_county)", "the query fails: more than one row"),
        ("select now() at time zone 'nowhere'", "the query fails: time zone"),
        ("select 1 / 0", "out of its range"),
        ("select row(1, 2)", "a type that cannot be read"),
        ("select (", "the query has a mistake"),
        (" ; ", "the query is empty"),
        ("", "the query is empty"),
        ("-- nothing", "a query reads"),
    ],
)
def test_a_query_with_a_mistake_is_told_from_a_database_that_is_not_there(store, sql, said):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    with pytest.raises(EtlError, match=said) as refused:
        store.query(sql)
    assert "reached" not in refused.value.what
    assert store.query("select count(*) as n from region_county;").to_pylist() == [{"n": 3}]


def test_answers_have_types_that_everybody_knows(store):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    row = store.query(
        "select sum(area_km2::numeric) as area, count(*) as n, st_union(geometry) as all_of_it, '{}'::jsonb as j from region_county"
    )
    assert row.column("area").to_pylist() == [20.0] and row.column("n").to_pylist() == [3]
    import shapely

    assert (
        shapely.from_wkb(row.column("all_of_it")[0].as_py()).area == 20.0
    )  # 4 + 8 for the second and third, which share a square
    assert store.query("explain select 1").num_rows >= 1


def test_somebody_elses_change_is_seen(store, postgres, schema):
    done = store.replace("region_county", counties(), key="gis_join", geometry="geometry", description="Counties")
    postgres.sql(f"update {schema}.region_county set name = 'Other' where gis_join = 'G0800010'")
    assert not store.holds("region_county", None, done.fingerprint)
    assert store.facts("region_county").fingerprint != done.fingerprint
    assert store.facts("region_county").description == "Counties"
    again = store.replace("region_county", counties(), key="gis_join", geometry="geometry", description="Counties")
    assert again.changed and store.holds("region_county", None, done.fingerprint)
    assert store.read("region_county", ["name"], "gis_join = 'G0800010'").to_pylist() == [{"name": "Adams"}]


def test_a_key_of_another_part_is_refused_and_nothing_changes(store):
    rows = [{"key": "a", "year": 2004, "model": "A"}]
    store.replace("things", rows, key="key", partition_by=["year", "model"])
    with pytest.raises(EtlError, match="in another part"):
        store.replace("things", [{"key": "a"}], key="key", part={"year": 2004, "model": "B"})
    assert store.facts("things").rows == 1


def test_loads_of_different_years_go_side_by_side_and_of_one_year_one_after_another(postgres, schema):
    address = postgres.address(schema=schema)
    open_store(address).replace("macav2_county", days(2000), key=COUNTY_KEY, part=part(2000))
    parts = [part(year, model) for year in range(2001, 2005) for model in ("CCSM4", "GFDL")]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_load, [(address, one) for one in parts])
    facts = open_store(address).facts("macav2_county")
    assert facts.rows == 6 * 9 and facts.version == 9
    counted = postgres.sql(f"select count(*) from {schema}.macav2_county")
    assert counted == [["54"]]


def _load(address, one):
    open_store(address).replace("macav2_county", days(one["year"]), key=COUNTY_KEY, part=one)


def test_two_first_loads_at_once(postgres, schema):
    address = postgres.address(schema=schema)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(_load, [(address, part(year)) for year in (2001, 2002, 2003)])
    assert open_store(address).facts("macav2_county").rows == 18


@pytest.mark.slow
def test_readers_see_the_old_rows_or_the_new_ones(store, postgres, schema):
    """Whole loads, of the same shape and of others, while somebody counts all the time."""
    store.replace("things", [{"key": place, "round": 0} for place in range(2000)], key="key")
    seen, errors, over = set(), [], threading.Event()

    def look():
        reader = open_store(postgres.address(schema=schema))
        while not over.is_set():
            try:
                [row] = reader.query("select count(*) as n, count(distinct round) as rounds from things").to_pylist()
                seen.add((row["n"], row["rounds"]))
            except EtlError as error:
                errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(1, 9):
        rows = [{"key": place, "round": turn, **({"more": 1} if turn % 3 == 0 else {})} for place in range(2000)]
        store.replace("things", rows, key="key")
    over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert seen == {(2000, 1)}


@pytest.mark.slow
def test_a_load_that_is_killed_changes_nothing(postgres, schema):
    address = postgres.address(schema=schema)
    store = open_store(address)
    first = store.replace("macav2_county", many(1000), key=COUNTY_KEY, part=part())
    working = "select 1 from pg_stat_activity where query ilike 'copy%' and state = 'active'"
    for year in (2005, 2006):  # rows of a part that is there, and of a new year
        process = multiprocessing.get_context("spawn").Process(target=_load_many, args=(address, year))
        process.start()
        postgres.wait_until(lambda: postgres.sql(working) != [])
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        postgres.wait_until(lambda: postgres.sql(working) == [])
        assert store.facts("macav2_county").fingerprint == first.fingerprint
        assert postgres.sql(f"select count(*) from {schema}.macav2_county") == [["1000"]]
    done = store.replace("macav2_county", many(2000, 2006), key=COUNTY_KEY, part=part(2006))
    assert done.changed and store.facts("macav2_county").rows == 3000


def _load_many(address, year):
    open_store(address).replace("macav2_county", many(1_500_000, year, offset=1.0), key=COUNTY_KEY, part=part(year))


@pytest.mark.slow
def test_a_server_that_stops_in_the_middle_is_said_and_loses_nothing():
    cluster = Cluster(synchronous_commit="on")
    try:
        cluster.sql("create database etl owner loader", "postgres")
        store = open_store(cluster.address())
        first = store.replace("macav2_county", many(1000), key=COUNTY_KEY, part=part())

        def stop():
            cluster.wait_until(lambda: cluster.loads() > 0)
            time.sleep(0.1)
            cluster.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(EtlError) as caught:
            store.replace("macav2_county", many(1_500_000, offset=1.0), key=COUNTY_KEY, part=part())
        stopper.join()
        assert "database" in caught.value.what and "nothing was changed" in caught.value.hint
        with pytest.raises(EtlError, match="cannot be reached"):
            store.names()
        assert not store.holds("macav2_county", part(), first.fingerprint)
        cluster.start()
        assert store.holds("macav2_county", part(), first.fingerprint)
        assert store.facts("macav2_county").fingerprint == first.fingerprint
    finally:
        cluster.remove()


@pytest.fixture
def small_tablespace(postgres):
    """A tablespace on a disk of 8 MB, and how to make that disk larger."""
    disk = mounted(postgres.folder / "disk", "size=8m")  # the server may not look into pytest's own folders
    shutil.chown(disk, postgres.user or os.geteuid())
    postgres.sql(f"create tablespace small location '{disk}'")
    postgres.sql("grant create on tablespace small to loader")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
    finally:
        postgres.sql("drop tablespace small")
        subprocess.run(["umount", "-l", str(disk)], check=True)
        disk.rmdir()


def test_a_disk_of_the_database_that_is_full_is_said_and_loses_nothing(postgres, schema, small_tablespace):
    database = f"full_{os.getpid()}"
    postgres.sql(f"create database {database} owner loader")
    try:
        postgres.sql(f"alter database {database} set default_tablespace = small")
        store = open_store(postgres.address(database, schema=schema))
        first = store.replace("macav2_county", many(1000), key=COUNTY_KEY, part=part())
        store.replace("region_county", counties(), key="gis_join", geometry="geometry")
        free = shutil.disk_usage(postgres.folder / "disk").free
        assert 4_000_000 < free < 8_300_000  # the small load lies there, and the next one has 100 bytes a row
        for year in (2005, 2006):  # rows of a part that is there, and of a new year
            with pytest.raises(EtlError) as caught:
                store.replace("macav2_county", many(200_000, year, offset=1.0), key=COUNTY_KEY, part=part(year))
            assert caught.value.what == "the disk of the database is full"
            assert "No space left on device" in caught.value.where and database in caught.value.where
            assert "free some space" in caught.value.hint and "nothing was changed" in caught.value.hint
            assert store.holds("macav2_county", part(), first.fingerprint) and store.read("macav2_county").num_rows == 1000
            assert postgres.sql(f"select count(*) from {schema}.macav2_county", database) == [["1000"]]
            assert store.facts("region_county").rows == 3
            small_tablespace("9m")  # what was written into a table that stays is dead rows, and VACUUM needs some room itself
            postgres.sql(f"vacuum {schema}.macav2_county", database)
            postgres.wait_until(lambda: shutil.disk_usage(postgres.folder / "disk").free > free / 2)
        small_tablespace("256m")
        for year in (2005, 2006):
            done = store.replace("macav2_county", many(200_000, year, offset=1.0), key=COUNTY_KEY, part=part(year))
            elsewhere = open_store(postgres.address(schema=schema))  # the same rows where there was always room
            wanted = elsewhere.replace("macav2_county", many(200_000, year, offset=1.0), key=COUNTY_KEY, part=part(year))
            assert done.fingerprint == wanted.fingerprint
        assert store.facts("macav2_county").rows == store.read("macav2_county").num_rows == 400_000
    finally:
        postgres.sql(f"drop database {database} with (force)")


def test_addresses_that_lead_nowhere(postgres):
    cases = [
        (postgres.address("nowhere"), "the database is not there"),
        (f"postgresql://etl@127.0.0.1:{_free_port()}/etl", "cannot be reached"),
        (postgres.address(user="stranger"), "does not let this user in"),
    ]
    for address, said in cases:
        with pytest.raises(EtlError) as caught:
            open_store(address).names()
        assert said in caught.value.what, str(caught.value)
        assert not open_store(address).holds("region_county", None, "0" * 64)


def _free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_secret_stays_a_secret(postgres, schema, monkeypatch):
    monkeypatch.setattr(secrets, "_known", {"DB_PASSWORD": "hunter2-secret"})
    postgres.sql(f"create role u_{schema} login password 'hunter2-secret'")
    address = f"postgresql://u_{schema}:${{DB_PASSWORD}}@127.0.0.1:{postgres.port}/etl?schema={schema}"
    store = open_store(address)
    assert store.names() == [] and "hunter2" not in store.home
    with pytest.raises(EtlError) as caught:  # this user may not make a schema
        store.replace("region_county", counties(), key="gis_join")
    assert "hunter2" not in str(caught.value)
    wrong = open_store(address.replace("/etl?", "/nowhere?"))
    with pytest.raises(EtlError) as caught:
        wrong.names()
    assert "hunter2" not in str(caught.value) and "not there" in caught.value.what
    with pytest.raises(EtlError, match="no secret `DB_PASSWOR`"):
        open_store(address.replace("DB_PASSWORD", "DB_PASSWOR")).names()


def test_a_text_that_the_database_cannot_hold(store):
    with pytest.raises(EtlError, match="no place for"):
        store.replace("things", [{"key": "a\x00b"}], key="key")
    assert store.names() == []


def test_without_its_libraries_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(EtlError, match="what PostGIS needs is not installed") as caught:
        open_store("postgresql://etl@127.0.0.1:1/etl").names()
    assert caught.value.hint == "pip install -e '.[servers]'"


def test_options_of_the_address_arrive_as_they_were_written(postgres, schema):
    """A `+` is one, and a blank is a blank: `libpq` decodes no forms."""
    store = open_store(postgres.address(schema=schema, options="-cetl.mark%3Da+b%5C%20c"))
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    assert store.query("select current_setting('etl.mark') as mark").to_pylist() == [{"mark": "a+b c"}]
