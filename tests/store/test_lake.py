"""What only the lake has: commits, other tools, kills, several writers, disks, damage."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import deltalake
import pyarrow
import pyarrow.parquet
import pytest

from impl.run.errors import EtlError
from impl.run.files import this_host
from impl.store import manifest, open_store, partitions
from impl.store.folder import Folder
from tests.store.conftest import COUNTY_KEY, counties, days, part

ROOT = Path(__file__).resolve().parents[2]


def versions(lake, name="things"):
    return len(list(Path(lake.home, name, "_delta_log").glob("*.json")))


def data_files(lake, name="things"):
    return sorted(Path(lake.home, name).rglob("*.parquet"))


def python(code, *words):
    """Another Python that runs `code` in this checkout."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_a_load_is_one_commit_and_a_second_load_none(lake):
    lake.replace("things", [{"key": 1, "model": "A"}, {"key": 2, "model": "B"}], key="key", partition_by=["model"])
    assert versions(lake) == 1
    lake.replace("things", [{"key": 2, "model": "B"}, {"key": 1, "model": "A"}], key="key", partition_by=["model"])
    assert versions(lake) == 1 and len(data_files(lake)) == 2
    lake.replace("things", [{"key": 3}], key="key", part={"model": "B"})
    assert versions(lake) == 2


def test_rows_lie_sorted_by_the_key_and_the_same_rows_make_the_same_file(lake):
    lake.replace("things", [{"key": 3}, {"key": 1}, {"key": 2}], key="key")
    lake.replace("others", [{"key": 2}, {"key": 3}, {"key": 1}], key="key")
    first, second = data_files(lake, "things")[0], data_files(lake, "others")[0]
    assert pyarrow.parquet.read_table(first).column("key").to_pylist() == [1, 2, 3]
    assert first.read_bytes() == second.read_bytes()


def test_other_tools_read_it_as_a_delta_table(lake):
    lake.replace("region_county", counties(), key="gis_join", geometry="geometry")
    table = deltalake.DeltaTable(Path(lake.home, "region_county"))
    assert table.count() == 3
    fields = {field.name: field for field in table.schema().fields}
    assert fields["geometry"].metadata == {"encoding": "WKB", "crs": "EPSG:4326"}


def test_more_rows_than_memory_are_put_aside_and_load_alike(lake, monkeypatch):
    rows = [{"key": place, "year": place % 3, "text": "x" * (place % 7)} for place in range(1000)]
    table = pyarrow.Table.from_pylist(rows)
    expected = lake.replace("at_once", table, key="key", partition_by=["year"]).fingerprint
    monkeypatch.setattr(partitions.Partitions.__init__, "__defaults__", (1000,))
    batches = pyarrow.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=64))
    assert lake.replace("things", batches, key="key", partition_by=["year"]).fingerprint == expected
    assert [one.name for one in Path(lake.home).iterdir() if one.is_file()] == []


def test_asking_whether_it_holds_loads_no_heavy_library(lake):
    done = lake.replace("things", [{"key": 1}], key="key")
    code = """
import sys
from impl.store import open_store
lake = open_store(sys.argv[1])
assert lake.holds("things", None, sys.argv[2]) and lake.names() == ["things"] and lake.facts("things").rows == 1
assert not {"deltalake", "pyarrow", "duckdb", "numpy"} & set(sys.modules)
"""
    other = python(code, lake.home, done.fingerprint)
    assert other.wait() == 0, other.stderr.read()


# other tools in the same table


def test_compaction_by_another_tool_changes_no_facts(lake):
    for year in (2004, 2005):
        lake.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    before = lake.facts("macav2_county")
    table = deltalake.DeltaTable(Path(lake.home, "macav2_county"))
    table.optimize.z_order(["timestamp"])
    after = lake.facts("macav2_county")
    assert after.version == before.version + 1
    assert after.fingerprint == before.fingerprint
    assert lake.holds("macav2_county", part(2004), before.fingerprint_of(part(2004)))
    assert lake.read("macav2_county").num_rows == 12


def test_rows_that_another_tool_added_are_seen_and_counted(lake):
    done = lake.replace("things", [{"key": 1, "x": "a"}], key="key", description="kept")
    deltalake.write_deltalake(Path(lake.home, "things"), pyarrow.table({"key": [2], "x": ["b"]}), mode="append")
    assert not lake.holds("things", None, done.fingerprint)
    facts = lake.facts("things")
    assert (facts.rows, facts.key, facts.description) == (2, ("key",), "kept")
    assert facts.fingerprint == lake.replace("same", [{"key": 1, "x": "a"}, {"key": 2, "x": "b"}], key="key").fingerprint
    assert lake.query("select sum(key) as total from things").to_pylist() == [{"total": 3}]
    back = lake.replace("things", [{"key": 1, "x": "a"}], key="key")
    assert back.changed and lake.holds("things", None, done.fingerprint)


def test_a_load_of_what_another_tool_made_says_so_in_the_log(lake):
    lake.replace("things", [{"key": 1}], key="key")
    deltalake.write_deltalake(Path(lake.home, "things"), pyarrow.table({"key": [2]}), mode="append")
    done = lake.replace("things", [{"key": 1}, {"key": 2}], key="key")
    assert lake.holds("things", None, done.fingerprint)


def test_a_table_that_another_tool_made_is_a_collection(lake):
    deltalake.write_deltalake(Path(lake.home, "theirs"), pyarrow.table({"a": [1, 2]}))
    assert lake.names() == ["theirs"]
    assert (lake.facts("theirs").rows, lake.facts("theirs").key) == (2, ())
    assert lake.query("select count(*) as rows from theirs").to_pylist() == [{"rows": 2}]


@pytest.mark.slow
def test_checkpoints_and_cleaning_the_log_after_a_month_keep_the_facts(lake):
    for year in range(1, 112):
        last = lake.replace("things", [{"key": year, "value": year}], key="key", part={"year": year})
    log = Path(lake.home, "things", "_delta_log")
    assert list(log.glob("*.checkpoint.parquet"))  # Delta makes one each hundred commits
    table = deltalake.DeltaTable(Path(lake.home, "things"))
    table.alter.set_table_properties({"delta.checkpointInterval": "10"})  # a commit of another tool, without our facts
    table.create_checkpoint()
    month_ago = time.time() - 40 * 86400
    for commit in log.iterdir():
        os.utime(commit, (month_ago, month_ago))
    table.cleanup_metadata()
    facts = lake.facts("things")
    assert facts.rows == 111 and facts.key == ("key",) and facts.version == 111
    assert lake.holds("things", {"year": 111}, last.fingerprint)
    lake.replace("things", [{"key": 0, "value": 0}], key="key", part={"year": 1})
    assert lake.read("things").num_rows == 111


def test_facts_are_computed_again_where_the_log_has_lost_them(lake):
    lake.replace("things", [{"key": 1}], key="key")
    folder = Path(lake.home, "things")
    deltalake.write_deltalake(folder, pyarrow.table({"key": [2]}), mode="append")
    deltalake.DeltaTable(folder).create_checkpoint()
    (folder / "_delta_log" / f"{0:020}.json").unlink()
    with pytest.raises(manifest.StaleError):
        manifest.read(Folder(lake.home), "things")
    expected = lake.replace("same", [{"key": 1}, {"key": 2}], key="key").fingerprint
    assert lake.facts("things").fingerprint == expected
    assert lake.replace("things", [{"key": 2}, {"key": 1}], key="key").changed
    assert lake.holds("things", None, expected) and lake.facts("things").key == ("key",)


# several writers

WRITER = """
import sys, time
from impl.store import open_store
lake, model, value = open_store(sys.argv[1]), sys.argv[2], float(sys.argv[3])
import deltalake, pyarrow
while time.time() < float(sys.argv[4]):
    pass
for year in range(4):
    rows = [{"key": f"{model} {year} {row}", "value": value} for row in range(50)]
    lake.replace("things", rows, key="key", part={"model": model, "year": year})
"""


@pytest.mark.slow
def test_writers_of_different_parts_at_once_lose_nothing(lake):
    start = time.time() + 1.5
    writers = [python(WRITER, lake.home, model, 1, start) for model in "ABCD"]
    for writer in writers:
        assert writer.wait() == 0, writer.stderr.read()
    facts = lake.facts("things")
    assert set(facts.parts) == {(model, year) for model in "ABCD" for year in range(4)}
    assert facts.rows == 16 * 50 == lake.read("things").num_rows
    rows = lake.read("things")
    assert lake.replace("copy", rows, key="key").fingerprint == facts.fingerprint
    assert len(data_files(lake)) == 16


@pytest.mark.slow
def test_of_two_writers_of_one_part_one_stays_whole(lake):
    start = time.time() + 1.0
    writers = [python(WRITER, lake.home, "A", value, start) for value in (1, 2)]
    for writer in writers:
        assert writer.wait() == 0, writer.stderr.read()
    counted = lake.query("select year, count(*) as rows, count(distinct value) as writers from things group by year")
    assert counted.num_rows == 4
    assert all((row["rows"], row["writers"]) == (50, 1) for row in counted.to_pylist())
    assert lake.replace("copy", lake.read("things"), key="key").fingerprint == lake.facts("things").fingerprint


# kills

LOADER = """
import sys
import deltalake, pyarrow, pyarrow.parquet, tenacity
from impl.store import open_store, lake, partitions
rows = 150_000
table = pyarrow.table({"key": list(range(rows, 0, -1)), "value": [1.0] * rows})
print("ready", flush=True)
open_store(sys.argv[1]).replace("things", table, key="key", part={"year": 2005})
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_load_killed_at_any_moment_leaves_the_old_rows_or_the_new(lake):
    old = lake.replace("things", [{"key": 1, "value": 0.5}], key="key", part={"year": 2005}).fingerprint
    table = pyarrow.table({"key": list(range(150_000, 0, -1)), "value": [1.0] * 150_000})
    new = open_store(Path(lake.home, "..", "elsewhere")).replace("things", table, key="key", part={"year": 2005}).fingerprint
    seen = set()
    for wait in (0.02, 0.2, 0.4):
        loader = subprocess.Popen([sys.executable, "-c", LOADER, lake.home], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        loader.stdout.readline()
        time.sleep(wait)
        loader.send_signal(signal.SIGKILL)
        loader.wait()
        facts = lake.facts("things")
        assert facts.fingerprint in (old, new)
        seen.add(facts.fingerprint)
        assert lake.read("things").num_rows == facts.rows == (1 if facts.fingerprint == old else 150_000)
        assert lake.replace("things", table, key="key", part={"year": 2005}).fingerprint == new
        assert lake.replace("things", [{"key": 1, "value": 0.5}], key="key", part={"year": 2005}).fingerprint == old
    assert old in seen  # at least the first was killed before it was done
    lake.tidy()
    assert lake.facts("things").fingerprint == old and lake.read("things").num_rows == 1


def test_a_reader_beside_a_writer_sees_whole_versions(lake):
    def rows(value):
        return pyarrow.table({"key": list(range(1000)), "value": [value] * 1000})

    lake.replace("things", rows(0), key="key")
    stop, faults = threading.Event(), []

    def read():
        while not stop.is_set():
            seen = lake.query("select count(*) as rows, count(distinct value) as versions from things").to_pylist()[0]
            if seen != {"rows": 1000, "versions": 1}:
                faults.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    for value in range(1, 15):
        lake.replace("things", rows(value), key="key")
    stop.set()
    reader.join()
    assert faults == []


def test_tidy_removes_what_killed_writers_left_and_keeps_the_rest(lake):
    lake.replace("things", [{"key": 1}], key="key")
    folder = Path(lake.home)
    (folder / f".things.rows.{this_host()}.{2**22 + 1}.part").write_bytes(bytes(100))  # no process has this number
    (folder / ".dropped-old-1").mkdir()
    (folder / ".dropped-old-1" / "x.parquet").write_bytes(bytes(50))
    orphan = folder / "things" / "orphan.parquet"
    orphan.write_bytes(bytes(30))
    month_ago = time.time() - 30 * 86400
    os.utime(orphan, (month_ago, month_ago))
    assert lake.tidy() >= 180
    assert sorted(one.name for one in folder.iterdir()) == ["things"]
    assert not orphan.exists() and lake.read("things").num_rows == 1


# faults


def test_a_read_only_disk_is_named(read_only_disk):
    with pytest.raises(EtlError, match="disk is read-only") as caught:
        open_store(read_only_disk / "store").replace("things", [{"key": 1}], key="key")
    assert str(read_only_disk) in caught.value.where


def test_a_full_disk_is_named_and_the_old_rows_stay(small_disk):
    lake = open_store(small_disk / "store")
    old = lake.replace("things", [{"key": 1, "noise": b"x"}], key="key")
    rows = [{"key": place, "noise": os.urandom(1000)} for place in range(3000)]
    with pytest.raises(EtlError, match="the disk is full"):
        lake.replace("things", rows, key="key")
    assert lake.holds("things", None, old.fingerprint)
    assert lake.read("things").num_rows == 1
    assert len(data_files(lake)) == 1  # nothing is left over


@pytest.mark.parametrize(
    "garbage", ["not json\n", '{"commitInfo": {"sustain_etl": 7}}\n', "[1, 2]\n"], ids=["text", "other json", "a list"]
)
def test_a_damaged_log_is_named_with_the_way_out(lake, garbage):
    done = lake.replace("region_county", [{"key": 1}], key="key")
    log = Path(lake.home, "region_county", "_delta_log", "00000000000000000000.json")
    log.write_text(garbage)
    for use in (
        lambda: lake.facts("region_county"),
        lambda: lake.read("region_county"),
        lambda: lake.query("from region_county"),
    ):
        with pytest.raises(EtlError, match="the collection `region_county` is damaged") as caught:
            use()
        assert "00000000000000000000.json" in caught.value.where
        assert "`region.county`" in caught.value.hint
    assert not lake.holds("region_county", None, done.fingerprint)
    lake.drop("region_county")
    lake.replace("region_county", [{"key": 1}], key="key")


def test_a_data_file_that_is_gone_or_damaged_is_named(lake):
    lake.replace("things", [{"key": 1}], key="key")
    data_files(lake)[0].write_bytes(b"PAR1 nonsense")
    with pytest.raises(EtlError) as caught:
        lake.read("things")
    assert data_files(lake)[0].name in str(caught.value)
    data_files(lake)[0].unlink()
    with pytest.raises(EtlError):
        lake.read("things")


def test_a_file_to_load_that_is_missing_or_damaged_is_named(lake, tmp_path):
    broken = tmp_path / "rows.parquet"
    with pytest.raises(EtlError, match="is missing") as caught:
        lake.replace("things", broken, key="key")
    assert str(broken) in caught.value.where
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(EtlError, match="no Parquet file") as caught:
        lake.replace("things", [broken], key="key")
    assert str(broken) in caught.value.where


def test_files_with_different_columns_are_refused(lake, tmp_path):
    for name, rows in (("a", {"key": [1]}), ("b", {"key": [2], "more": [3]})):
        pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / f"{name}.parquet")
    with pytest.raises(EtlError, match="different columns: `more`"):
        lake.replace("things", [tmp_path / "a.parquet", tmp_path / "b.parquet"], key="key")
