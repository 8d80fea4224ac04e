"""What only a lake in object storage has: conditional put, a network, credentials, drops by a commit."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import deltalake
import pyarrow
import pytest

from impl.run import secrets
from impl.run.errors import EtlError
from impl.run.files import this_host
from impl.store import open_store, partitions, probe
from impl.store.bucket import Bucket
from tests.object_storage import SECRET, prefix_for
from tests.store.conftest import COUNTY_KEY, counties, days, part

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(s3_server):
    yield s3_server
    s3_server.app.deaf, s3_server.app.hook = False, None


@pytest.fixture
def prefix(tmp_path):
    return prefix_for(tmp_path)


@pytest.fixture
def address(server, prefix):
    return server.address("lake", prefix)


@pytest.fixture
def store(address):
    return open_store(address)


def python(code, *words, **environment):
    """Another Python that runs `code` in this checkout."""
    variables = {**os.environ, **SECRET, **environment}
    words = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(words, cwd=ROOT, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def is_put(environment, ending):
    return environment["REQUEST_METHOD"] == "PUT" and environment["PATH_INFO"].endswith(ending)


def grown_old(prefix, days=30):
    """Make all objects below `prefix` look as if written long ago; the buckets live in this process."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    for name, key in s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets["lake"].keys.items():
        if name.startswith(prefix):
            key.last_modified -= timedelta(days=days)


def test_the_same_rows_take_as_many_bytes_as_in_a_folder(store, lake):
    for one in (store, lake):
        one.replace("region_county", counties(), key="gis_join", geometry="geometry")
        for year in (2004, 2005):
            one.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))
    for name in ("region_county", "macav2_county"):
        assert store.facts(name).bytes == lake.facts(name).bytes


def test_other_tools_read_it_as_a_delta_table(store, address):
    store.replace("things", [{"key": 1, "year": 2004}, {"key": 2, "year": 2005}], key="key", partition_by=["year"])
    table = deltalake.DeltaTable(**Bucket(address).delta("things"))
    assert table.count() == 2
    deltalake.write_deltalake(table, pyarrow.table({"key": [3], "year": [2005]}), mode="append")
    assert store.facts("things").rows == 3 and store.facts("things").key == ("key",)
    assert store.query("select sum(key) as total from things where year = 2005").to_pylist() == [{"total": 5}]


def test_a_query_reaches_nothing_but_the_collections(store, server):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    for sql in ("from 's3://lake/x.parquet'", f"from read_csv('{server.endpoint}/lake/x.csv')", "from '/etc/passwd'"):
        with pytest.raises(EtlError):
            store.query(sql)
    with pytest.raises(EtlError, match="a query reads"):
        store.query("copy region_county to '/tmp/x.csv'")


# requests


def test_asking_and_loading_take_few_requests(store, server):
    for year in range(2000, 2025):
        done = store.replace("macav2_county", days(year, count=1), key=COUNTY_KEY, part=part(year))
    server.app.requests.clear()
    assert store.holds("macav2_county", part(2024), done.fingerprint)
    assert len(server.app.requests) <= 4  # the last one looks at the file
    server.app.requests.clear()
    store.replace("macav2_county", days(2025, count=1), key=COUNTY_KEY, part=part(2025))
    assert len(server.app.requests) <= 50
    server.app.requests.clear()
    assert store.query("select count(*) as n from macav2_county where year = 2003").to_pylist() == [{"n": 2}]
    assert len({path for _, path, *_ in server.app.requests if path.endswith(".parquet") and "year=" in path}) == 1


# several writers, and stores that do not keep their word


def two_at_once(server, address, parts, version):
    """Two loads whose commits of one version reach the server together."""
    met = threading.Barrier(2)
    waited = set()

    def hook(environment):
        if (
            is_put(environment, f"things/_delta_log/{version:020}.json")
            and threading.get_ident() not in waited
            and len(waited) < 2
        ):
            waited.add(threading.get_ident())
            met.wait(20)

    server.app.hook = hook
    faults = []

    def load(number):
        try:
            rows = [{"key": f"{number}-{row}"} for row in range(10)]
            open_store(address).replace("things", rows, key="key", part={"writer": number})
        except Exception as error:
            faults.append(error)

    writers = [threading.Thread(target=load, args=(number,)) for number in parts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    server.app.hook = None
    return faults


@pytest.mark.parametrize("first", ["first load of all", "a further part", "first load after a drop"])
def test_of_two_commits_at_once_none_is_lost(server, store, address, first):
    version = 0
    if first != "first load of all":
        store.replace("things", [{"key": "0"}], key="key", part={"writer": 0})
        version = 1
    if first == "first load after a drop":
        store.drop("things")
        version = 2
    assert two_at_once(server, address, (1, 2), version) == []
    counted = store.query("select writer, count(*) as n from things group by writer order by writer").to_pylist()
    assert counted[-2:] == [{"writer": 1, "n": 10}, {"writer": 2, "n": 10}]
    assert store.facts("things").rows == 20 + (first == "a further part")


def test_a_store_that_ignores_conditions_would_lose_rows(server, store, address, monkeypatch):
    monkeypatch.setattr(probe, "conditional_put", lambda bucket: None)
    store.replace("things", [{"key": "0"}], key="key", part={"writer": 0})
    server.app.deaf = True
    assert two_at_once(server, address, (1, 2), 1) == []  # both say that all is well
    assert store.read("things").num_rows == 11  # 10 of 20 new rows are gone


@pytest.mark.parametrize("provider", ["s3", "gs"])
def test_a_store_that_ignores_conditions_is_refused_before_the_first_write(server, address, prefix, provider):
    store = open_store(address if provider == "s3" else server.google_address("lake", prefix))
    server.app.deaf = True
    with pytest.raises(EtlError, match="does not honour conditional put") as caught:
        store.replace("things", [{"key": 1}], key="key")
    assert "If-None-Match" in caught.value.where and caught.value.hint
    assert server.objects("lake", prefix) == []  # not even the probe is left
    server.app.deaf = False
    assert store.replace("things", [{"key": 1}], key="key").rows == 1


def test_a_store_that_honours_conditions_only_one_after_the_other_is_refused(server, store):
    taken, lock = set(), threading.Lock()

    def hook(environment):  # forgets the condition of those that come close together
        path = environment["PATH_INFO"]
        if environment["REQUEST_METHOD"] == "PUT" and "_probe" in path:
            with lock:
                first = path not in taken
                taken.add(path)
            if not first and len(taken) > 1:
                environment.pop("HTTP_IF_NONE_MATCH", None)

    server.app.hook = hook
    with pytest.raises(EtlError, match="does not honour conditional put") as caught:
        store.replace("things", [{"key": 1}], key="key")
    assert "at once 4 were accepted" in caught.value.where


def test_the_probe_is_made_once_and_not_for_reading(server, address):
    store = open_store(address)
    assert store.names() == [] and not store.holds("things", None, "")
    assert not [path for _, path, *_ in server.app.requests if "_probe" in path and prefix_of(address) in path]
    for key in (1, 2):
        open_store(address).replace("things", [{"key": key}], key="key")
    puts = [
        path for method, path, *_ in server.app.requests if method == "PUT" and "_probe" in path and prefix_of(address) in path
    ]
    assert len(puts) == 2 + probe.AT_ONCE


def prefix_of(address):
    return address.partition("?")[0].removeprefix("s3:/")


WRITER = """
import os, sys, time
from impl.run import secrets
from impl.store import open_store
secrets.provide({"TEST_S3_SECRET": os.environ["TEST_S3_SECRET"]})
store, writer = open_store(sys.argv[1]), int(sys.argv[2])
import deltalake, pyarrow
while time.time() < float(sys.argv[3]):
    pass
for year in range(10):
    rows = [{"key": f"{writer} {year} {row}"} for row in range(20)]
    store.replace("things", rows, key="key", part={"writer": writer, "year": year})
"""


@pytest.mark.slow
def test_three_processes_that_load_ten_parts_each_lose_nothing(store, address):
    start = time.time() + 2
    writers = [python(WRITER, address, number, start) for number in range(3)]
    for writer in writers:
        assert writer.wait() == 0, writer.stderr.read()
    facts = store.facts("things")
    assert set(facts.parts) == {(writer, year) for writer in range(3) for year in range(10)}
    assert facts.rows == 600 == store.read("things").num_rows
    assert store.replace("copy", store.read("things"), key="key").fingerprint == facts.fingerprint


# the network


def test_a_server_that_stops_in_the_middle_of_a_load_leaves_the_old_rows(server, store):
    rows = [{"key": year, "year": year} for year in range(5)]
    old = store.replace("things", [{"key": -1, "year": 0}], key="key", partition_by=["year"])
    written = []

    def hook(environment):
        if is_put(environment, ".parquet"):
            written.append(environment["PATH_INFO"])
            if len(written) == 3:
                server.stop()
                return "500 Internal Server Error"
        return None

    server.app.hook = hook
    start = time.monotonic()
    with pytest.raises(EtlError, match="the object store does not answer") as caught:
        store.replace("things", rows, key="key", partition_by=["year"])
    assert time.monotonic() - start < 30 and "run the same command again" in caught.value.hint
    assert not store.holds("things", None, old.fingerprint)  # nobody can tell now
    server.app.hook = None
    server.start()
    assert store.holds("things", None, old.fingerprint) and store.read("things").num_rows == 1
    assert store.replace("things", rows, key="key", partition_by=["year"]).rows == 5
    assert store.read("things").num_rows == 5


@pytest.mark.parametrize("file", ["_delta_log/00000000000000000001.json", ".parquet"])
def test_an_answer_that_is_lost_on_its_way_costs_no_rows(server, store, file):
    store.replace("things", [{"key": 1, "year": 1}], key="key", partition_by=["year"])
    lost = []

    def hook(environment):
        if is_put(environment, file) and not lost:
            lost.append(environment["PATH_INFO"])
            return ("done", "500 Internal Server Error")
        return None

    server.app.hook = hook
    done = store.replace("things", [{"key": 2}], key="key", part={"year": 2})
    assert lost and done.rows == 1
    assert sorted(store.read("things")["key"].to_pylist()) == [1, 2]


def test_a_busy_server_is_asked_again(server, store):
    busy = []

    def hook(environment):
        if len(busy) < 2:
            busy.append(environment["PATH_INFO"])
            return "503 Slow Down"
        return None

    server.app.hook = hook
    assert store.replace("things", [{"key": 1}], key="key").rows == 1


def test_a_server_that_is_not_there_is_said_within_seconds(server, prefix, tmp_path):
    start = time.monotonic()
    store = open_store(server.address("lake", prefix, endpoint_url="http://127.0.0.1:9"))
    for use in (store.names, lambda: store.replace("things", [{"key": 1}], key="key"), lambda: store.read("things")):
        with pytest.raises(EtlError, match="the object store does not answer") as caught:
            use()
        assert "127.0.0.1:9" in caught.value.where
    assert not store.holds("things", None, "")
    assert time.monotonic() - start < 30


def test_a_bucket_that_is_not_there_is_named(server, prefix):
    store = open_store(server.address("no-such-lake", prefix))
    with pytest.raises(EtlError, match="there is no bucket `no-such-lake`") as caught:
        store.replace("things", [{"key": 1}], key="key")
    assert "make the bucket" in caught.value.hint


@pytest.mark.parametrize("status", ["403 Forbidden", "401 Unauthorized"])
def test_credentials_that_are_refused_are_named(server, store, status):
    server.app.hook = lambda environment: status
    for use in (store.names, lambda: store.replace("things", [{"key": 1}], key="key")):
        with pytest.raises(EtlError, match="refuses the credentials") as caught:
            use()
        assert "docs/store.md" in caught.value.hint


def test_one_who_may_only_read_is_told_so_before_any_rows_are_sent(server, store):
    server.app.hook = lambda environment: "403 Forbidden" if environment["REQUEST_METHOD"] == "PUT" else None
    with pytest.raises(EtlError, match="refuses the credentials"):
        store.replace("things", [{"key": 1}], key="key")


def test_a_data_file_that_is_gone_is_named(server, store, prefix):
    store.replace("things", [{"key": 1}], key="key")
    gone = next(one for one in server.objects("lake", prefix) if one.endswith(".parquet"))
    server.client().delete_object(Bucket="lake", Key=gone)
    with pytest.raises(EtlError) as caught:
        store.read("things")
    assert gone.rpartition("/")[2] in str(caught.value)


def test_a_damaged_log_is_named_and_the_collection_can_be_dropped(server, store, prefix):
    done = store.replace("region_county", [{"key": 1}], key="key")
    log = f"{prefix}/region_county/_delta_log/{0:020}.json"
    server.client().put_object(Bucket="lake", Key=log, Body=b"not json\n")
    with pytest.raises(EtlError, match="the collection `region_county` is damaged"):
        store.read("region_county")
    assert not store.holds("region_county", None, done.fingerprint)
    store.drop("region_county")
    assert store.replace("region_county", [{"key": 1}], key="key").fingerprint == done.fingerprint


# kills


@pytest.mark.slow
def test_a_load_that_is_killed_leaves_only_files_that_tidy_removes(server, store, address, prefix):
    old = store.replace("things", [{"key": "old"}], key="key", part={"writer": 1, "year": 0}).fingerprint
    store.tidy()
    before = set(server.objects("lake", prefix))
    reached, go_on = threading.Event(), threading.Event()

    def hook(environment):
        if is_put(environment, f"{1:020}.json"):
            reached.set()
            go_on.wait(20)
            return "503 Slow Down"
        return None

    server.app.hook = hook
    writer = python(WRITER, address, 1, 0)
    assert reached.wait(20)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    server.app.hook = None
    go_on.set()
    assert store.facts("things").fingerprint == old and store.read("things").num_rows == 1
    left = set(server.objects("lake", prefix)) - before
    assert len(left) == 1 and next(iter(left)).endswith(".parquet")
    store.tidy()
    assert set(server.objects("lake", prefix)) == before | left  # it could be of a load that still runs
    grown_old(prefix)
    assert store.tidy() > 0
    assert {one for one in server.objects("lake", prefix) if one.endswith(".parquet")} <= before
    assert store.facts("things").fingerprint == old and store.read("things").num_rows == 1


def test_tidy_removes_the_files_of_a_first_load_that_was_killed(server, store, prefix):
    server.client().put_object(Bucket="lake", Key=f"{prefix}/things/x.parquet", Body=b"rows")
    assert store.names() == []
    store.tidy()
    assert server.objects("lake", prefix) == [f"{prefix}/things/x.parquet"]
    grown_old(prefix)
    assert store.tidy() == 4 and server.objects("lake", prefix) == []


def test_rows_put_aside_by_a_killed_load_are_removed_from_this_machine(store, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Bucket("s3://lake/x").scratch("things")
    monkeypatch.setattr(partitions.Partitions.__init__, "__defaults__", (1000,))
    rows = pyarrow.Table.from_pylist([{"key": row, "year": row % 3} for row in range(1000)])
    assert store.replace("things", rows, key="key", partition_by=["year"]).rows == 1000
    assert list(scratch.parent.iterdir()) == []
    left = scratch.with_name(f".things.rows.{this_host()}.{2**22 + 1}.part")
    not_ours = tmp_path / f".other.{this_host()}.{2**22 + 1}.part"
    left.write_bytes(b"rows")
    not_ours.write_bytes(b"rows")
    store.tidy()
    assert not left.exists() and not_ours.exists()


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("moment", ["before the rows go", "before the log goes"])
@pytest.mark.parametrize("then", ["drop", "tidy", "replace"])
def test_a_drop_killed_in_the_middle_is_a_drop_and_can_be_finished(server, store, address, prefix, monkeypatch, moment, then):
    for year in (2004, 2005):
        store.replace("macav2_county", days(year), key=COUNTY_KEY, part=part(year))

    def die(*_):
        raise _KilledError

    monkeypatch.setattr(Bucket, "remove", die) if moment == "before the rows go" else monkeypatch.setattr(
        deltalake.DeltaTable, "create_checkpoint", die
    )
    with pytest.raises(_KilledError):
        store.drop("macav2_county")
    monkeypatch.undo()
    other = open_store(address)
    assert other.names() == [] and not other.holds("macav2_county", part(2004), "")
    with pytest.raises(EtlError, match="no collection `macav2_county`"):
        other.facts("macav2_county")
    if then == "replace":
        done = other.replace("macav2_county", [{"key": 1}], key="key")
        assert (done.rows, other.read("macav2_county").to_pylist()) == (1, [{"key": 1}])
        return
    getattr(other, then)(*(["macav2_county"] if then == "drop" else []))
    assert all("/_delta_log/" in one for one in server.objects("lake", prefix))
    grown_old(prefix)
    other.tidy()
    assert len(server.objects("lake", prefix)) == 3 and other.names() == []
    assert other.replace("macav2_county", [{"key": 1}], key="key").rows == 1 == other.read("macav2_county").num_rows


def test_a_dropped_collection_comes_back_with_other_columns_and_partitions(store):
    for round_ in range(3):
        store.replace("things", [{"key": 1, "model": "A b/ü%"}, {"key": 2, "model": "B"}], key="key", partition_by=["model"])
        assert sorted(store.read("things", where="model = 'A b/ü%'").to_pylist(), key=str) == [{"key": 1, "model": "A b/ü%"}]
        store.drop("things")
        assert store.names() == []
        done = store.replace("things", [{"number": round_}], key="number", description="another")
        assert done.changed and store.read("things").to_pylist() == [{"number": round_}]
        assert store.facts("things").description == "another"
        store.drop("things")


def test_a_load_beside_a_drop_stays_whole_or_is_dropped_whole(server, store, address):
    store.replace("things", [{"key": "0"}], key="key", part={"writer": 0})
    stop, faults = threading.Event(), []

    def drop():
        while not stop.is_set():
            try:
                open_store(address).drop("things")
            except Exception as error:
                faults.append(error)

    dropper = threading.Thread(target=drop)
    dropper.start()
    for number in range(5):
        open_store(address).replace("things", [{"key": f"{number}"}], key="key", part={"writer": number})
        stop.set() if number == 4 else None
    dropper.join()
    done = store.replace("things", [{"key": "last"}], key="key", part={"writer": 99})
    assert store.holds("things", {"writer": 99}, done.fingerprint)
    assert store.read("things").num_rows == store.facts("things").rows
    assert faults == []


# who asks


READER = """
import sys
from impl.store import open_store
store = open_store(sys.argv[1])
store.replace("things", [{"key": 1}], key="key")
assert store.read("things").num_rows == 1 and store.names() == ["things"]
"""


@pytest.mark.parametrize("given", ["variables", "profile"])
def test_credentials_come_from_where_other_programs_take_them(server, prefix, tmp_path, given):
    places = {"AWS_ENDPOINT_URL": server.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    if given == "variables":
        places |= {"AWS_ACCESS_KEY_ID": "FROMVARIABLES", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-west-1"}
    else:
        (tmp_path / "credentials").write_text("[climate]\naws_access_key_id = FROMPROFILE\naws_secret_access_key = x\n")
        (tmp_path / "config").write_text("[profile climate]\nregion = eu-west-1\n")
        places |= {"AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/credentials", "AWS_CONFIG_FILE": f"{tmp_path}/config"}
        places |= {"AWS_PROFILE": "climate"}
    server.app.requests.clear()
    reader = python(READER, f"s3://lake/{prefix}", **places)
    assert reader.wait() == 0, reader.stderr.read()
    signed = {re.search("Credential=(.+?)/[0-9]+/(.+?)/", one[3]).groups() for one in server.app.requests}
    assert signed == {("FROMVARIABLES" if given == "variables" else "FROMPROFILE", "eu-west-1")}


def test_no_secret_is_said_or_written(server, store, address, prefix, caplog, capfd, tmp_path):
    caplog.set_level(logging.DEBUG)
    secret = SECRET["TEST_S3_SECRET"]
    store.replace("things", [{"key": 1, "year": 1}], key="key", partition_by=["year"])
    said = [store.home, repr(store), str(vars(store)), str(store.facts("things"))]
    server.app.hook = lambda environment: "403 Forbidden"
    for use in (store.names, lambda: store.read("things"), lambda: store.drop("things")):
        with pytest.raises(EtlError) as caught:
            use()
        said += [str(caught.value), repr(caught.value)]
    server.app.hook = None
    kept = [server.client().get_object(Bucket="lake", Key=one)["Body"].read() for one in server.objects("lake", prefix)]
    assert kept and not any(secret.encode() in one for one in kept)
    captured = capfd.readouterr()
    assert not any(secret in one for one in [*said, caplog.text, captured.out, captured.err])


def test_a_secret_in_the_address_itself_is_refused(server, prefix):
    with pytest.raises(EtlError, match="has a password in it") as caught:
        open_store(server.address("lake", prefix, secret_access_key="plain-to-see"))
    assert "plain-to-see" not in str(caught.value) and "${NAME}" in caught.value.hint
    assert secrets.redact("s3://b/p?secret_access_key=x1&region=a") == "s3://b/p?secret_access_key=***&region=a"
    assert secrets.redact("s3://b/p?secret_access_key=${X}") == "s3://b/p?secret_access_key=${X}"


def test_an_address_that_is_wrong_is_named():
    with pytest.raises(EtlError, match="no option `regoin`") as caught:
        open_store("s3://lake/x?regoin=y")
    assert "did you mean `region`" in caught.value.hint
    with pytest.raises(EtlError, match="names no bucket"):
        open_store("s3:///x")


def test_other_providers_are_a_matter_of_the_address():
    """No server of these runs here: what is shown is that both libraries take the address and its options."""
    secrets.provide({"AZURE_KEY": "c2VjcmV0"})
    bucket = Bucket("az://lake/store?account_name=climate&account_key=${AZURE_KEY}")
    assert bucket.home == "az://lake/store"
    options = bucket.delta("things")["storage_options"]
    assert (options["azure_storage_account_name"], options["azure_storage_account_key"]) == ("climate", "c2VjcmV0")
    assert "aws_conditional_put" not in options
