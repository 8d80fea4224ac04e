"""A candidate becomes live in PostGIS, and back: what others made on the live table goes on, and no reader sees half of it."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from impl.run.errors import EtlError
from impl.store import open_store
from tests.store.conftest import counties, days


@pytest.fixture
def live(postgres, schema):
    return open_store(postgres.address(schema=schema))


@pytest.fixture
def candidate(postgres, schema):
    return open_store(postgres.address(schema=f"{schema}_next"))


def load(store, mark="", rows=None):
    return store.replace(
        "region_county",
        [{**row, "name": f"{mark}{row['name']}"} for row in (rows or counties())],
        key="gis_join",
        geometry="geometry",
        description=f"Counties {mark}",
    )


def one_more():
    return [*counties()[1:], {**counties()[0], "gis_join": "G9999999", "name": "New"}]


def test_what_others_made_on_a_live_table_goes_on(live, candidate, postgres, schema):
    load(live, "v0 ")
    postgres.sql(
        f"create role visitor_{schema}; grant usage on schema {schema} to visitor_{schema};"
        f"grant select on {schema}.region_county to visitor_{schema};"
        f"create schema own_{schema}; create view own_{schema}.names as select gis_join, name from {schema}.region_county;"
        f"create materialized view own_{schema}.kept as select min(name) as name from {schema}.region_county;"
        f"create table own_{schema}.notes (gis_join text references {schema}.region_county, note text);"
        f"insert into own_{schema}.notes values ('G0800010', 'ours');"
        f"alter table {schema}.region_county enable row level security;"
        f"create policy part_of_it on {schema}.region_county for select using (gis_join <> 'G5106780')"
    )
    assert live.dependents("region_county") == [
        f"foreign key notes_gis_join_fkey of own_{schema}.notes",
        f"materialized view own_{schema}.kept",
        f"view own_{schema}.names",
    ]
    for mark in ("v1 ", "v2 "):
        done = load(candidate, mark)
        live.take_over(candidate, ["region_county"])
        assert candidate.names() == []
        assert live.holds("region_county", None, done.fingerprint) and live.verify("region_county", deep=True) == []
        assert postgres.sql(f"select min(name) from own_{schema}.names") == [[f"{mark}Adams"]]
        postgres.sql(f"refresh materialized view own_{schema}.kept")
        assert postgres.sql(f"select name from own_{schema}.kept") == [[f"{mark}Adams"]]
        assert postgres.sql(f"select note from own_{schema}.notes") == [["ours"]]
        as_visitor = f"set role visitor_{schema}; select count(*) from {schema}.region_county"
        assert postgres.sql(as_visitor) == [["2"]], "the grant and the policy are those of before"
        assert live.facts("region_county").description == f"Counties {mark}"
    live.give_back(["region_county"])
    assert postgres.sql(f"select min(name) from own_{schema}.names") == [["v1 Adams"]]
    assert live.facts("region_county").description == "Counties v1 " and live.verify("region_county", deep=True) == []
    with pytest.raises(AssertionError, match="violates foreign key"):
        postgres.sql(f"insert into own_{schema}.notes values ('none', '')")


def test_a_row_that_a_foreign_key_needs_is_not_taken_away(live, candidate, postgres, schema):
    load(live)
    postgres.sql(f"create table {schema}.notes (gis_join text references {schema}.region_county)")
    postgres.sql(f"insert into {schema}.notes values ('G0800010')")
    load(candidate, rows=one_more())
    with pytest.raises(EtlError, match="others refer to") as refused:
        live.take_over(candidate, ["region_county"])
    assert "notes" in refused.value.where and "G0800010" in refused.value.where
    assert live.facts("region_county").rows == 3 and live.verify("region_county", deep=True) == []
    postgres.sql(f"delete from {schema}.notes")
    live.take_over(candidate, ["region_county"])
    assert live.verify("region_county", deep=True) == []


def test_rows_that_stay_are_not_written_and_what_is_kept_is_what_changed(live, candidate, postgres, schema):
    load(live)
    written = f"select gis_join, xmin from {schema}.region_county where gis_join = 'G5101630'"
    before = postgres.sql(written)
    load(candidate, rows=one_more())
    live.take_over(candidate, ["region_county"])
    assert postgres.sql(written) == before
    assert postgres.sql(f"select gis_join from {schema}_previous.region_county") == [["G0800010"]]
    assert postgres.sql(f"select gis_join from {schema}_previous._added_region_county") == [["G9999999"]]
    live.give_back(["region_county"])
    assert sorted(live.read("region_county", ["name"])["name"].to_pylist()) == ["Adams", "Lexington", "Rockbridge"]
    assert live.kept(["region_county"]) == {"region_county": None}


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("shape", ["rows", "a column more", "a year more"])
def test_a_reader_in_a_transaction_sees_the_rows_of_before_or_the_new_ones(live, candidate, postgres, schema, level, shape):
    from adbc_driver_postgresql import dbapi

    def fill(store, year, mark):
        more = {"wind": 1.0} if shape == "a column more" and mark else {}
        for one in (year, *([2006] if shape == "a year more" and mark else [])):
            rows = [{**row, "mean_precipitation_mm": row["mean_precipitation_mm"] + mark, **more} for row in days(one)]
            store.replace("macav2_county", rows, key=["gis_join", "timestamp"], part={"year": one}, partition_by=["year"])

    fill(live, 2005, 0.0)
    fill(candidate, 2005, 100.0)
    asked = f"select count(*) as n, min(mean_precipitation_mm) as least from {schema}.macav2_county"
    with dbapi.connect(postgres.address()) as reader, reader.cursor() as cursor:
        cursor.execute(f"set transaction isolation level {level}")
        cursor.execute("select count(*) from pg_class")  # the snapshot is taken, the table not yet read
        cursor.fetchall()
        live.take_over(candidate, ["macav2_county"])
        cursor.execute(asked)
        seen = cursor.fetchall()[0]
        new = (12 if shape == "a year more" else 6, 100.0)
        assert seen == (new if level == "read committed" else (6, 0.0))
        reader.commit()
        cursor.execute(asked)
        assert cursor.fetchall()[0] == new
    assert live.verify("macav2_county", deep=True) == []
    live.give_back(["macav2_county"])
    assert live.verify("macav2_county", deep=True) == [] and live.facts("macav2_county").rows == 6
    assert {column.name for column in live.facts("macav2_county").columns} == {"gis_join", "timestamp", "mean_precipitation_mm", "year"}  # fmt: skip


def test_collections_that_are_new_or_go_come_and_go_as_tables(live, candidate, postgres, schema):
    load(live)
    load(candidate, "v1 ")
    candidate.replace("region_state", [{"k": 1, "v": "x"}], key="k")
    live.take_over(candidate, ["region_county", "region_state"])
    assert live.names() == ["region_county", "region_state"] and live.verify("region_state", deep=True) == []
    postgres.sql(f"drop schema {schema}_next cascade")
    postgres.sql(f"delete from {schema}.region_state")
    assert live.lost("region_state"), "its trigger does not hang on the schema of the candidate"
    live.replace("region_state", [{"k": 1, "v": "x"}], key="k")
    live.take_over(candidate, ["region_state"])  # the candidate has none: it is taken away
    assert live.names() == ["region_county"]
    live.give_back(["region_state"])
    assert live.names() == ["region_county", "region_state"] and live.verify("region_state", deep=True) == []
    live.give_back(["region_county"])
    assert live.read("region_county", ["name"], "gis_join = 'G0800010'")["name"].to_pylist() == ["Adams"]


def test_a_collection_that_a_view_reads_is_not_taken_away(live, candidate, postgres, schema):
    load(live)
    postgres.sql(f"create view {schema}.mine as select * from {schema}.region_county")
    with pytest.raises(EtlError, match="`region_county` would go, and others hang on it") as refused:
        live.take_over(candidate, ["region_county"])
    assert f"view {schema}.mine" in refused.value.where and live.names() == ["region_county"]
    postgres.sql(f"drop view {schema}.mine")
    live.take_over(candidate, ["region_county"])
    assert live.names() == []


def test_a_candidate_that_others_changed_does_not_go_live(live, candidate, postgres, schema):
    load(live)
    load(candidate, "v1 ")
    postgres.sql(
        f"alter table {schema}_next.region_county disable trigger all; update {schema}_next.region_county set name = 'x'"
    )
    with pytest.raises(EtlError, match="would not be what was shown: the candidate was changed by others"):
        live.take_over(candidate, ["region_county"])
    assert live.read("region_county", ["name"], "gis_join = 'G0800010'")["name"].to_pylist() == ["Adams"]
    load(candidate, "v1 ")
    live.take_over(candidate, ["region_county"])
    assert live.verify("region_county", deep=True) == []


@pytest.mark.parametrize(
    "typed",
    [
        "update {s}_previous.region_county set name = 'x'",
        "delete from {s}_previous.region_county",
        "truncate {s}_previous._added_region_county",
        "alter table {s}_previous.region_county drop column name",
    ],
)
def test_what_was_kept_and_others_changed_does_not_come_back(live, candidate, postgres, schema, typed):
    load(live)
    done = load(candidate, rows=one_more())
    live.take_over(candidate, ["region_county"])
    postgres.sql(typed.format(s=schema))
    with pytest.raises(EtlError):
        live.give_back(["region_county"])
    assert live.holds("region_county", None, done.fingerprint) and live.verify("region_county", deep=True) == []
    load(candidate, "v2 ")  # and there is a way forward
    live.take_over(candidate, ["region_county"])
    live.give_back(["region_county"])
    assert live.holds("region_county", None, done.fingerprint)


def test_what_an_earlier_version_kept_as_whole_tables_comes_back(live, postgres, schema):
    previous = open_store(postgres.address(schema=f"{schema}_previous"))
    for store, mark in ((previous, "v0 "), (live, "v1 ")):
        load(store, mark)
        store.replace("region_state", [{"k": number, "v": mark} for number in range(3 if mark == "v0 " else 5)], key="k")
    number = postgres.sql(f"select '{schema}.region_state'::regclass::oid")
    live.give_back(["region_county", "region_state"])
    assert live.read("region_county", ["name"], "gis_join = 'G0800010'")["name"].to_pylist() == ["v0 Adams"]
    assert live.read("region_state")["v"].to_pylist() == ["v0 "] * 3
    assert all(live.verify(name, deep=True) == [] for name in live.names()) and previous.names() == []
    assert postgres.sql(f"select '{schema}.region_state'::regclass::oid") == number


def test_a_table_that_went_in_production_comes_again(live, candidate, postgres, schema):
    load(live)
    postgres.sql(f"drop table {schema}.region_county")
    assert live.names() == []
    done = load(candidate)
    live.take_over(candidate, ["region_county"])
    assert live.holds("region_county", None, done.fingerprint) and live.lost("region_county") is None


def test_a_session_that_holds_the_table_is_named(live, candidate, postgres, schema, monkeypatch, capsys):
    from adbc_driver_postgresql import dbapi

    from impl.store.postgis import database

    monkeypatch.setattr(database, "TOLD_AFTER", 0.2)
    load(live)
    candidate.replace("region_county", [{**row, "more": 1} for row in counties()], key="gis_join", geometry="geometry")
    with dbapi.connect(postgres.address()) as reader, reader.cursor() as cursor:
        cursor.execute(f"select count(*) from {schema}.region_county")  # a column more needs the table alone
        cursor.fetchall()
        with pytest.raises(EtlError, match="others held `region_county` for") as refused:
            live.take_over(candidate, ["region_county"], wait=1)
        for word in ("pid ", "loader", "127.0.0.1", "idle in transaction", "select count(*) from"):
            assert word in refused.value.where
        assert "waiting for `region_county`, held by pid" in capsys.readouterr().err
        assert live.lost("region_county") is None
        reader.commit()
        live.take_over(candidate, ["region_county"], wait=1)
    assert "more" in live.read("region_county").column_names


def read_all_the_time(address, level, stop, results, ready):
    """Counts reads whose rows are neither the old nor the new ones, and errors."""
    from adbc_driver_postgresql import dbapi

    reads, wrong = 0, []
    with dbapi.connect(address) as connection, connection.cursor() as cursor:
        while not stop.is_set():
            try:
                cursor.execute(f"set transaction isolation level {level}")
                cursor.execute("select pg_sleep(0.01)::text")  # its snapshot is that of before many a switch
                cursor.fetchall()
                seen = []
                for _ in range(2):
                    cursor.execute("select count(*), min(left(name, 2)), max(left(name, 2)) from region_county")
                    seen.append(cursor.fetchall()[0])
                connection.commit()
                fine = all(n == 3 and low == high for n, low, high in seen)
                if not fine or (level == "repeatable read" and seen[0] != seen[1]):
                    wrong.append(seen)
            except Exception as error:
                wrong.append(str(error))
                connection.rollback()
            reads += 1
            ready.release()
    results.put((reads, wrong))


def test_twenty_promotions_under_eight_readers_half_of_them_in_repeatable_read(live, candidate, postgres, schema):
    load(live, "v0 ")
    context = multiprocessing.get_context("spawn")
    stop, results, ready = context.Event(), context.Queue(), context.Semaphore(0)
    address = postgres.address(options=f"-csearch_path%3D{schema}%2Cpublic")
    levels = ["read committed", "repeatable read"] * 4
    readers = [context.Process(target=read_all_the_time, args=(address, level, stop, results, ready)) for level in levels]
    for reader in readers:
        reader.start()
    try:
        for _ in range(3 * len(readers)):  # they are at it
            assert ready.acquire(timeout=60)
        for number in range(1, 21):
            load(candidate, f"v{number % 10} ")
            live.take_over(candidate, ["region_county"])
            if number % 5 == 0:
                live.give_back(["region_county"])
    finally:
        stop.set()
    found = [results.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    assert [wrong for _, wrong in found if wrong] == []
    assert all(reads > 5 for reads, _ in found)


def waiting(postgres):
    """How many sessions wait for a lock."""
    return int(postgres.sql("select count(*) from pg_locks where not granted")[0][0])


def take_over(live, candidate, names):
    open_store(live).take_over(open_store(candidate), names)


def give_back(live, names):
    open_store(live).give_back(names)


@pytest.mark.parametrize("back", [False, True], ids=["forward", "back"])
def test_killed_at_any_statement_the_rows_are_the_old_or_the_new_ones(live, candidate, postgres, schema, back):
    """A lock that this test holds on one table of the switch after the other stops it there; then it is killed."""
    from adbc_driver_postgresql import dbapi

    old = load(live, "v0 ")
    live.replace("region_state", [{"k": 1, "v": "old"}], key="k")

    def again():
        load(candidate, "v1 ")
        candidate.replace("region_state", [{"k": 1, "v": "new"}], key="k")
        live.take_over(candidate, ["region_county", "region_state"])

    if back:
        again()
    else:
        load(candidate, "v1 ")
        candidate.replace("region_state", [{"k": 1, "v": "new"}], key="k")
    wanted = {name: live.facts(name).fingerprint for name in live.names()}
    names = ["region_county", "region_state"]
    stops = [f"{schema}.region_county", f"{schema}.region_state", f"{schema}_previous._collections", f"{schema}._parts"]
    stops += [f"{schema}_previous.region_state"] if back else [f"{schema}_next.region_state"]
    for table in stops:
        with dbapi.connect(postgres.address()) as holder, holder.cursor() as cursor:
            cursor.execute(f"lock table {table} in share row exclusive mode")
            arguments = (live.address, names) if back else (live.address, candidate.address, names)
            process = multiprocessing.get_context("spawn").Process(target=give_back if back else take_over, args=arguments)
            process.start()
            postgres.wait_until(lambda: waiting(postgres), seconds=20)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        postgres.wait_until(lambda: postgres.loads() == 0, seconds=20)
        assert {name: live.facts(name).fingerprint for name in live.names()} == wanted, table
        assert all(live.verify(name, deep=True) == [] for name in names), table
    if back:
        live.give_back(names)
        assert live.holds("region_county", None, old.fingerprint)
    else:
        live.take_over(candidate, names)
        assert not live.holds("region_county", None, old.fingerprint)
    assert all(live.verify(name, deep=True) == [] for name in names)


def test_a_reader_waits_for_nothing(live, candidate, postgres, schema):
    """A long reader of the live table neither stops a promotion of other rows nor is stopped by it."""
    from adbc_driver_postgresql import dbapi

    load(live)
    load(candidate, "v1 ")
    with dbapi.connect(postgres.address()) as reader, reader.cursor() as cursor:
        cursor.execute(f"select count(*) from {schema}.region_county")
        cursor.fetchall()  # its transaction stays open
        done = threading.Thread(target=live.take_over, args=(candidate, ["region_county"]))
        done.start()
        done.join(timeout=60)
        assert not done.is_alive()
        began = time.monotonic()
        cursor.execute(f"select min(name) from {schema}.region_county")
        assert cursor.fetchall() == [("v1 Adams",)] and time.monotonic() - began < 30
