"""What was lost or rewritten behind the back of a lake is noticed, and made again; in a folder and in a bucket."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import deltalake
import pyarrow
import pyarrow.parquet
import pytest

from impl.run.errors import EtlError
from impl.store import bucket, checks, lake, load, open_store
from impl.store.interface import FilesGoneError
from tests.object_storage import prefix_for
from tests.store.conftest import COUNTY_KEY, days, part

ROWS = [{"key": 1, "value": "a"}, {"key": 2, "value": "b"}]


class Files:
    """The Parquet files of a lake, to do with as somebody might."""

    def __init__(self, store, server=None, prefix=""):
        self.store, self.server, self.prefix = store, server, prefix

    def names(self, name="things"):
        if self.server:
            listed = self.server.objects("lake", f"{self.prefix}/{name}/")
            found = [key.removeprefix(f"{self.prefix}/") for key in listed]
        else:
            found = [str(path.relative_to(self.store.home)) for path in Path(self.store.home, name).rglob("*.parquet")]
        return sorted(one for one in found if one.endswith(".parquet") and "_delta_log" not in one)

    def remove(self, file):
        if self.server:
            self.server.client().delete_object(Bucket="lake", Key=f"{self.prefix}/{file}")
        else:
            Path(self.store.home, file).unlink()

    def get(self, file):
        if self.server:
            return self.server.client().get_object(Bucket="lake", Key=f"{self.prefix}/{file}")["Body"].read()
        return Path(self.store.home, file).read_bytes()

    def put(self, file, content):
        if self.server:
            time.sleep(1.1)  # a bucket tells whole seconds
            self.server.client().put_object(Bucket="lake", Key=f"{self.prefix}/{file}", Body=content)
        else:
            time.sleep(0.01)
            Path(self.store.home, file).write_bytes(content)

    def rewrite(self, file):
        """The same rows with another value, in as many bytes."""
        content = self.get(file)
        table = pyarrow.parquet.read_table(io.BytesIO(content))
        table = table.set_column(table.column_names.index("value"), "value", pyarrow.array(["x"] * len(table)))
        sink = io.BytesIO()
        pyarrow.parquet.write_table(table, sink)
        self.put(file, sink.getvalue())

    def table(self, name="things"):
        return deltalake.DeltaTable(**self.store._files.delta(name))


@pytest.fixture(params=["folder", "s3"])
def files(request, tmp_path):
    if request.param == "folder":
        return Files(open_store(tmp_path / "store"))
    server, prefix = request.getfixturevalue("s3_server"), prefix_for(tmp_path)
    return Files(open_store(server.address("lake", prefix)), server, prefix)


def damage(files, how):
    file = files.names()[0]
    if how == "removed":
        files.remove(file)
    elif how == "cut short":
        files.put(file, files.get(file)[:-30])
    else:
        files.rewrite(file)


DAMAGES = {"removed": "is missing", "cut short": "the log says", "rewritten": ""}


@pytest.mark.parametrize("how", DAMAGES)
def test_what_somebody_did_to_a_file_is_seen_and_the_next_load_makes_it_again(files, how):
    done = files.store.replace("things", ROWS, key="key")
    assert files.store.lost("things") is None and files.store.verify("things", deep=True) == []
    damage(files, how)
    assert not files.store.holds("things", None, done.fingerprint)
    if how != "rewritten":  # a reader of the file sees that it is one, and no more
        for look in (lambda: files.store.query("from things"), lambda: files.store.read("things")):
            with pytest.raises(EtlError, match="`things` is not whole") as caught:
                look()
            assert files.names()[:1] == [] or DAMAGES[how] in caught.value.where
    assert DAMAGES[how] in files.store.lost("things")
    assert files.store.verify("things", deep=False) == [files.store.lost("things")]
    again = files.store.replace("things", ROWS, key="key")
    assert again.changed and again.fingerprint == done.fingerprint
    assert files.store.holds("things", None, done.fingerprint) and files.store.verify("things", deep=True) == []
    assert files.store.read("things").sort_by("key").to_pylist() == ROWS


def test_a_lost_file_of_one_part_leaves_the_others_passed(files):
    for year in (2004, 2005):
        files.store.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    facts = files.store.facts("macav2_county")
    files.remove(next(name for name in files.names("macav2_county") if "2004" in name))
    held = {year: files.store.holds("macav2_county", part(year), facts.fingerprint_of(part(year))) for year in (2004, 2005)}
    assert held == {2004: False, 2005: True}
    assert files.store.replace("macav2_county", days(2004), key=COUNTY_KEY, part=part(2004)).changed
    assert files.store.verify("macav2_county", deep=True) == []
    assert files.store.read("macav2_county").num_rows == 12


def test_a_file_that_was_only_touched_is_read_once(files, monkeypatch):
    done = files.store.replace("things", ROWS, key="key")
    file = files.names()[0]
    files.put(file, files.get(file))
    read = []
    compute = lake.Lake._fingerprint_of_rows
    monkeypatch.setattr(lake.Lake, "_fingerprint_of_rows", lambda *words: read.append(words) or compute(*words))
    assert files.store.holds("things", None, done.fingerprint)
    assert open_store(files.store.address).holds("things", None, done.fingerprint)
    assert len(read) == 1
    assert not files.store.replace("things", ROWS, key="key").changed


def test_a_rewritten_file_with_the_size_and_the_time_of_before_is_seen_by_a_deep_look(lake):
    lake.replace("things", [{"key": 1, "value": 7}], key="key")
    [file] = Path(lake.home, "things").glob("*.parquet")
    before, content = file.stat(), file.read_bytes()
    lake.replace("others", [{"key": 1, "value": 8}], key="key")
    [other] = Path(lake.home, "others").glob("*.parquet")
    assert len(other.read_bytes()) == len(content)
    file.write_bytes(other.read_bytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lake.lost("things") is None
    assert lake.verify("things", deep=True) == ["the rows are not those that were loaded"]
    os.utime(file, ns=(0, 0))  # and by a cheap one where the time is another, an older one too
    assert lake.lost("things") == "the rows are not those that were loaded"


def test_what_others_do_that_leaves_the_rows_alone_is_no_loss(files):
    for year in (2004, 2005):
        files.store.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    fingerprint = files.store.facts("macav2_county").fingerprint
    others = (
        "import deltalake, sys; table = deltalake.DeltaTable(**eval(sys.argv[1])); table.optimize.z_order(['timestamp']); "
        "table.alter.set_table_properties({'delta.checkpointInterval': '5'})"
    )
    subprocess.run([sys.executable, "-c", others, repr(files.store._files.delta("macav2_county"))], check=True)
    assert files.store.lost("macav2_county") is None and files.store.holds("macav2_county", None, fingerprint)
    files.table("macav2_county").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert files.store.verify("macav2_county", deep=True) == []
    files.remove(files.names("macav2_county")[0])  # one that the other tool wrote
    assert "is missing" in files.store.lost("macav2_county")


def test_a_manifest_of_before_without_files_is_compared_with_the_log(lake):
    done = lake.replace("things", ROWS, key="key")
    commit = Path(lake.home, "things/_delta_log", f"{0:020}.json")
    actions = [json.loads(line) for line in commit.read_text().splitlines()]
    for action in actions:
        action.get("commitInfo", {}).get("sustain_etl", {}).pop("files", None)
    commit.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    assert lake.holds("things", None, done.fingerprint) and lake.verify("things", deep=True) == []
    next(Path(lake.home, "things").glob("*.parquet")).unlink()
    assert not lake.holds("things", None, done.fingerprint) and "is missing" in lake.lost("things")
    assert lake.replace("things", ROWS, key="key").changed and lake.verify("things", deep=True) == []


def test_rows_of_others_that_are_lost_too_do_not_block_the_next_load(files):
    files.store.replace("things", ROWS, key="key")
    ours = files.names()
    deltalake.write_deltalake(files.table(), pyarrow.table({"key": [3], "value": ["c"]}), mode="append")
    files.remove(ours[0])
    assert "is missing" in files.store.lost("things")
    done = files.store.replace("things", ROWS, key="key")
    assert done.changed and files.store.holds("things", None, done.fingerprint)
    assert files.store.verify("things", deep=True) == []


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_vacuum_during_a_load_never_leaves_a_collection_with_a_missing_file(files, moment, monkeypatch, tmp_path):
    files.store.replace("things", ROWS, key="key")
    commit, done = lake._commit_once, []

    def vacuumed(*words):
        if moment == "after the commit":
            commit(*words)
        if not done:
            done.append(True)
            for file in set(files.names()) - set(before):
                files.remove(file)
        if moment == "before the commit":
            commit(*words)

    before = files.names()
    monkeypatch.setattr(lake, "_commit_once", vacuumed)
    more = [*ROWS, {"key": 3, "value": "c"}]
    with pytest.raises(FilesGoneError, match="was removed while it was loaded") as caught:
        files.store.replace("things", more, key="key")
    assert "run the same command again" in caught.value.hint
    assert files.store.lost("things")  # it says so, until it is loaded again
    done.clear()
    rows = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*more, {"key": 4, "value": "d"}]), rows)
    assert load(files.store.address, "things", rows, key="key")["rows"] == 4  # a checkpoint reads its file again by itself
    assert files.store.verify("things", deep=True) == []


def test_what_never_can_be_committed_is_refused_at_once_and_the_hint_leads_on(lake):
    lake.replace("things", ROWS, key="key")
    deltalake.DeltaTable(Path(lake.home, "things")).alter.set_table_properties({"delta.appendOnly": "true"})
    begun = time.monotonic()
    with pytest.raises(EtlError, match="takes no such commit") as caught:
        lake.replace("things", ROWS[:1], key="key")
    assert time.monotonic() - begun < 10
    assert os.system(caught.value.hint.split("`")[-2]) == 0
    assert lake.replace("things", ROWS[:1], key="key").changed


def test_a_log_whose_json_is_gone_behind_a_checkpoint_is_not_damaged(lake):
    lake.replace("things", ROWS, key="key")
    lake.replace("things", ROWS[:1], key="key")
    deltalake.DeltaTable(Path(lake.home, "things")).create_checkpoint()
    for commit in Path(lake.home, "things/_delta_log").glob("*.json"):
        commit.unlink()
    assert lake.read("things").num_rows == 1 and lake.lost("things") is None
    done = lake.replace("things", ROWS, key="key")
    assert lake.holds("things", None, done.fingerprint) and lake.verify("things", deep=True) == []


def test_asking_costs_one_request_more_in_a_bucket(s3_server, tmp_path):
    store = open_store(s3_server.address("lake", prefix_for(tmp_path)))
    done = store.replace("things", ROWS, key="key")
    s3_server.app.requests.clear()
    assert store.holds("things", None, done.fingerprint)
    assert len(s3_server.app.requests) == 4
    assert bucket.ONE_BY_ONE == 3


def test_rows_that_others_appended_go_with_a_warning_whatever_the_row_count_says(tmp_path):
    store, settings = open_store(tmp_path / "lake"), {"key": "key", "checks": [checks.row_count()]}
    store.replace("things", ROWS, **settings)
    rows = pyarrow.table({"key": range(10, 510), "value": ["foreign"] * 500})
    deltalake.write_deltalake(tmp_path / "lake/things", rows, mode="append")
    assert store.facts("things").rows == 502
    done = store.replace("things", ROWS, **settings)  # its check asks for nine tenths of the last version
    assert store.facts("things").rows == 2 and store.verify("things", deep=True) == []
    warned = [one for one in done.checks if not one.passed]
    assert len(warned) == 1 and warned[0].warn and "2 rows were left there, 502 were found" in warned[0].found
    assert all(one.passed for one in store.replace("things", ROWS, **settings).checks)
