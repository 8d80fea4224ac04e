"""Candidates that become live, and what was live again: on a lake in a folder and in a bucket."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import deltalake
import pyarrow
import pyarrow.parquet
import pytest

from impl.run import secrets
from impl.run.errors import EtlError
from impl.store import lake, lease, open_store, switch
from impl.store.switch import NotAsMeantError, candidate_of, mark
from tests.object_storage import SECRET, prefix_for

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["one", "two"]


@pytest.fixture(params=["folder", "s3", "gs"])
def home(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "live")
    if request.param == "gs":
        return request.getfixturevalue("s3_server").google_address("lake", f"{prefix_for(tmp_path)}/live")
    return request.getfixturevalue("s3_server").address("lake", f"{prefix_for(tmp_path)}/live")


def fill(store, value, names=NAMES):
    for name in names:
        store.replace(name, [{"key": key, "value": value} for key in range(3)], key="key", columns={"value": ("mm", "rain")})
    return store


def values(store):
    return {name: store.read(name)["value"].to_pylist()[0] for name in store.names()}


def promote(home, value, promotion="p1", check=lambda: None):
    """Versions and marks of before, and the marks of after; what a promotion keeps of itself."""
    live, made = open_store(home), fill(open_store(candidate_of(home, promotion)), value)
    there = live.names()
    before = {name: mark(live.facts(name)) if name in there else None for name in NAMES}
    after = {name: mark(made.facts(name)) for name in NAMES}
    versions = switch.before_switch(home, NAMES, promotion)
    switch.switch(home, made.address, NAMES, meant=after, check=check)
    return versions, before, after


def vacuum(store, name):
    table = deltalake.DeltaTable(**store._files.delta(name))
    return table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def test_a_switch_and_back(home):
    live = fill(open_store(home), "old")
    versions, before, after = promote(home, "new")
    assert values(live) == {"one": "new", "two": "new"}
    assert {name: mark(live.facts(name)) for name in NAMES} == after
    assert {name: mark(facts) for name, facts in switch.kept_before(home, versions).items()} == before
    switch.restore(home, versions, meant=before, check=lambda: None)
    assert values(live) == {"one": "old", "two": "old"} and all(live.verify(name, deep=True) == [] for name in NAMES)
    switch.clear_candidates(home)
    assert open_store(candidate_of(home, "p1")).names() == []


@pytest.mark.parametrize("how", ["vacuumed", "rewritten"])
def test_what_can_not_come_back_as_it_was_is_told_and_nothing_is_changed(tmp_path, how):
    home = str(tmp_path / "live")
    live = fill(open_store(home), "old")
    [old] = Path(home, "two").glob("*.parquet")
    versions, before, _ = promote(home, "new")
    if how == "vacuumed":
        vacuum(live, "two")
    else:
        table = pyarrow.parquet.read_table(old)
        pyarrow.parquet.write_table(table.set_column(1, "value", pyarrow.array(["bad"] * 3)), old)
    kept = {name: mark(facts) for name, facts in switch.kept_before(home, versions).items()}
    assert kept["one"] == before["one"] and kept["two"] != before["two"]
    with pytest.raises(EtlError):
        switch.restore(home, versions, meant=before, check=lambda: None)
    assert values(live) == {"one": "new", "two": "new"}
    assert len(list(Path(home, "one").glob("*.parquet"))) == 2  # what was written for the first is gone again


@pytest.mark.parametrize("how", ["other rows", "a lost file"])
def test_a_candidate_that_somebody_changed_does_not_go_live(tmp_path, how):
    home = str(tmp_path / "live")
    live, made = fill(open_store(home), "old"), fill(open_store(candidate_of(home, "p")), "new")
    after = {name: mark(made.facts(name)) for name in NAMES}
    [file] = Path(made.home, "two").glob("*.parquet")
    if how == "other rows":
        time.sleep(0.01)
        table = pyarrow.parquet.read_table(file)
        pyarrow.parquet.write_table(table.set_column(1, "value", pyarrow.array(["bad"] * 3)), file)
    else:
        file.unlink()
    assert made.verify("two", deep=True)
    with pytest.raises(NotAsMeantError if how == "other rows" else EtlError):
        switch.switch(home, made.address, NAMES, meant=after, check=lambda: None)
    assert values(live) == {"one": "old", "two": "old"}


def test_a_full_disk_in_a_switch_leaves_all_as_it_was(small_disk):
    home = str(small_disk / "live")
    live, made = fill(open_store(home), "old"), open_store(candidate_of(home, "p"))
    made.replace("one", [{"key": 1, "value": "new"}], key="key")
    made.replace("two", [{"key": key, "value": os.urandom(1000).hex()} for key in range(600)], key="key")
    after = {name: mark(made.facts(name)) for name in NAMES}
    with pytest.raises(EtlError, match="the disk is full"):
        switch.switch(home, made.address, NAMES, meant=after, check=lambda: None)
    assert values(live) == {"one": "old", "two": "old"}
    assert len(list(small_disk.glob("live/*/*.parquet"))) == 2


def test_a_property_that_forbids_changes_is_found_before_the_first_commit_and_the_hint_leads_on(tmp_path):
    home = str(tmp_path / "live")
    live = fill(open_store(home), "old")
    deltalake.DeltaTable(Path(home, "two")).alter.set_table_properties({"delta.appendOnly": "true"})
    with pytest.raises(EtlError, match="`two` takes no rows away") as caught:
        switch.check_writable(home, NAMES)
    assert os.system(caught.value.hint.split("`")[-2]) == 0
    switch.check_writable(home, NAMES)
    promote(home, "new")
    assert values(live) == {"one": "new", "two": "new"}


def test_a_damaged_log_of_a_live_table_does_not_stop_a_switch(tmp_path):
    home = str(tmp_path / "live")
    live = fill(open_store(home), "old")
    Path(home, "two/_delta_log", f"{0:020}.json").write_text("garbage\n")
    assert live.lost("two").startswith("its log is damaged") and live.verify("two", deep=False)
    made = fill(open_store(candidate_of(home, "p")), "new")
    after = {name: mark(made.facts(name)) for name in NAMES}
    assert switch.before_switch(home, NAMES, "p") == {"one": 0, "two": None}
    switch.switch(home, made.address, NAMES, meant=after, check=lambda: None)
    assert values(live) == {"one": "new", "two": "new"}


def test_tidy_keeps_what_the_last_rollbacks_need_however_old_it_is(home, monkeypatch):
    live = fill(open_store(home), "old")
    versions, before, _ = promote(home, "new")
    monkeypatch.setattr(lake, "KEPT_HOURS", 0)
    vacuum_of = deltalake.DeltaTable.vacuum

    def a_week_later(table, **words):
        return vacuum_of(table, enforce_retention_duration=False, **words)

    monkeypatch.setattr(deltalake.DeltaTable, "vacuum", a_week_later)
    open_store(home).tidy()
    switch.restore(home, versions, meant=before, check=lambda: None)
    assert values(live) == {"one": "old", "two": "old"}


def test_tidy_removes_candidates_that_nobody_went_on_with(home, monkeypatch):
    fill(open_store(home), "old")
    fill(open_store(candidate_of(home, "p")), "new")
    switch.tidy(home)
    assert open_store(candidate_of(home, "p")).names() == NAMES
    monkeypatch.setattr(lake, "KEPT_HOURS", -1)
    open_store(switch.beside(home)).clear_old()
    assert open_store(candidate_of(home, "p")).names() == []


# two operators


def test_of_two_promotions_one_is_refused_by_the_name_of_the_other(home):
    with lease.hold(home, "p1") as held:
        with pytest.raises(EtlError, match="another promotion is at work") as caught, lease.hold(home, "p2"):
            pass
        assert "promotion p1" in caught.value.where and f"process {os.getpid()}" in caught.value.where
        held.check()
    with lease.hold(home, "p2") as held:
        held.check()
    assert open_store(home).names() == []


HOLDER = """
import sys, time
from impl.run import secrets
secrets.provide({"TEST_S3_SECRET": "kept away from everybody"})
from impl.store import lease
with lease.hold(sys.argv[1], "killed") as held:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        held.check()
        print("still", flush=True)
    except Exception as error:
        print("lost", type(error).__name__, flush=True)
"""


def holder(home):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, home], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lock_of_a_killed_holder_on_this_machine_is_taken_over_at_once(home):
    process = holder(home)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lease.hold(home, "next") as held:
        held.check()


def test_a_holder_that_was_stopped_for_too_long_does_nothing_more(home, monkeypatch):
    process = holder(home)
    process.send_signal(signal.SIGSTOP)
    store = open_store(home)
    content, at = store._files.note(lease.NOTE)
    old = {**json.loads(content), "host": "elsewhere", "until": time.time() - 1}  # its time runs out
    assert store._files.put_note(lease.NOTE, json.dumps(old).encode(), at)
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    with lease.hold(home, "next") as held:
        process.send_signal(signal.SIGCONT)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "lost EtlError\n"
        held.check()
    process.wait()


def test_a_lock_that_ran_out_by_the_clock_but_is_renewed_is_left_alone(tmp_path, monkeypatch):
    home = str(tmp_path / "live")
    files = open_store(home)._files
    about = {"promotion": "p1", "user": "maria", "host": "elsewhere", "pid": 1, "command": "invoke", "since": "now"}
    mark = files.put_note(lease.NOTE, json.dumps({**about, "until": time.time() - 1000}).encode(), None)
    monkeypatch.setattr(lease, "RENEWED", 0.1)
    renewed = []

    def sleep(seconds):  # its holder, whose clock is behind, gives a sign of life
        renewed.append(files.put_note(lease.NOTE, json.dumps({**about, "until": time.time() - 900}).encode(), mark))

    monkeypatch.setattr(lease.time, "sleep", sleep)
    with pytest.raises(EtlError, match="another promotion is at work") as caught, lease.hold(home, "p2"):
        pass
    assert renewed[0] and "maria on elsewhere" in caught.value.where


def test_a_holder_elsewhere_that_is_gone_is_named_with_the_time_that_is_left(tmp_path):
    home = str(tmp_path / "live")
    about = {"promotion": "p1", "user": "maria", "host": "elsewhere", "pid": 1, "command": "invoke", "since": "now"}
    until = datetime.now(UTC) + timedelta(seconds=100)
    open_store(home)._files.put_note(lease.NOTE, json.dumps({**about, "until": until.timestamp()}).encode(), None)
    with pytest.raises(EtlError) as caught, lease.hold(home, "p2"):
        pass
    assert f"the lock runs out at {until:%H:%M:%S} UTC" in caught.value.hint


def test_what_somebody_else_made_live_meanwhile_is_not_overwritten(home):
    live = fill(open_store(home), "old")
    done = []

    def other_one():
        if not done:
            done.append(fill(open_store(home), "theirs", ["one"]))

    with pytest.raises(EtlError, match="somebody changed `one` while it was to be switched"):
        promote(home, "new", check=other_one)
    assert values(live) == {"one": "theirs", "two": "old"}


def test_in_a_database_too_one_of_two_promotions_is_refused_by_name(postgres):
    home = postgres.address(schema="leased")
    with lease.hold(home, "p1") as held:
        with pytest.raises(EtlError, match="another promotion is at work") as caught, lease.hold(home, "p2"):
            pass
        assert "promotion p1" in caught.value.where
        with lease.hold(postgres.address(schema="another"), "p3"):
            held.check()
        postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'promotion p1%'")
        with pytest.raises(EtlError, match="the connection that holds the lock"):
            held.check()
    with lease.hold(home, "p2"):
        pass


def read_all_the_time(home, over, results, ready):
    """In a process of its own: how often it read, and what was neither the rows of one promotion nor of another."""
    secrets.provide(SECRET)
    mine, wrong, reads = open_store(home), [], 0
    while not over.is_set():
        try:
            for name in NAMES:
                rows = mine.read(name)
                if rows.num_rows != 3 or len(set(rows["value"].to_pylist())) != 1:
                    wrong.append(rows.to_pylist())
            reads += 1
            ready.release()
        except Exception as error:
            wrong.append(repr(error))
    results.put((reads, wrong))


def test_promotions_with_rollbacks_under_readers(home):
    """Whoever reads meanwhile finds whole collections whose rows are those of one promotion."""
    live, context = fill(open_store(home), "v0"), multiprocessing.get_context("spawn")
    over, results, ready = context.Event(), context.Queue(), context.Semaphore(0)
    readers = [context.Process(target=read_all_the_time, args=(home, over, results, ready)) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(2 * len(readers)):  # they are at it
            assert ready.acquire(timeout=60)
        # the buckets' server is this very process: twenty took 150 s, and found nothing that four do not
        for number in range(1, 5 if "://" in home else 21):
            versions, before, _ = promote(home, f"v{number}", f"p{number}")
            if number % 3 == 0:
                switch.restore(home, versions, meant=before, check=lambda: None)
                assert values(live) == dict.fromkeys(NAMES, f"v{number - 1}")
            switch.clear_candidates(home)
    finally:
        over.set()
    found = [results.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    assert [wrong for _, wrong in found if wrong] == [] and all(reads > 0 for reads, _ in found)
    assert all(live.verify(name, deep=True) == [] for name in NAMES)
