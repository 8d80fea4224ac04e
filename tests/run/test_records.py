"""What a run leaves: its record, for people and for machines."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def records(staged):
    """Types `invoke runs.show RUN --json` for the last run."""
    return lambda run="last": json.loads(staged.invoke("runs.show", run, "--json").stdout)


def test_a_record_says_what_a_run_was_made_of(staged, records):
    staged.invoke("region.state.clean")
    staged.invoke("region.state.stage")
    record = records()
    assert (record["outcome"], record["environment"], record["source"]) == ("success", "local", "sample")
    assert record["command"].endswith("region.state.stage")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=staged.root, capture_output=True, text=True).stdout.strip()
    assert record["code"]["commit"] == commit and set(record["code"]["locked"]) >= {"requirements/run.txt"}
    done = {one["name"]: (one["done"], one["why"]) for one in record["checkpoints"]}
    assert done == {
        "region.state.raw": ("kept", ""),
        "region.state.rows": ("made", "it has not run yet"),
        "region.state.load": ("made", "it has not run yet"),
    }
    [raw] = record["inputs"]
    file = staged.data / "local/raw/region/tl_2010_us_state10.zip"
    assert raw["file"] == "<data>/raw/region/tl_2010_us_state10.zip" and raw["bytes"] == file.stat().st_size
    assert raw["sha256"] == subprocess.run(["sha256sum", file], capture_output=True, text=True).stdout.split()[0]
    [state] = [one for one in record["collections"] if one["name"] == "region_state"]
    assert (state["rows"], state["key"]) == (5, ["gis_join"]) and ["gis_join", "text"] in [one[:2] for one in state["columns"]]


def test_runs_stand_in_the_order_in_which_they_were_written(tmp_path):
    from impl.run.records import new_id

    (tmp_path / "30261201T000000.000000Z-aa.json").touch()  # by a machine whose clock is ahead
    (tmp_path / "no-record.json").touch()
    names = []
    for _ in range(50):
        names.append(new_id(tmp_path))
        (tmp_path / f"{names[-1]}.json").touch()
    assert names == sorted(names) and len(set(names)) == 50 and names[0] > "30261201T000000.000000Z-aa"


def test_a_failed_run_leaves_its_error(staged, records, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    failed = staged.type("region.state.stage", ETL_SOURCE=f"mirror:{empty}")
    assert failed.returncode == 1
    record = records()
    assert record["outcome"] == "failure" and record["error"]["what"] in failed.stderr
    assert [one["done"] for one in record["checkpoints"]] == ["failed", "not reached", "not reached"]
    assert "  failure  " in staged.invoke("runs.list").stdout.splitlines()[-3]
    assert f"error: {record['error']['what']}" in staged.invoke("runs.show", "last").stdout


def test_a_load_that_fails_a_check_leaves_what_its_checks_found(copy_of_checkout):
    checkout = copy_of_checkout
    checkout.invoke("region.state.stage")
    module = checkout.root / "task/region.py"
    was = module.read_text()
    module.write_text(was.replace("low=smallest, high=largest", "low=smallest, high=1"))  # a square kilometre
    for jobs in ("1", "2"):  # in this process, and in a worker
        assert checkout.type("region.state.stage", "--jobs", jobs).returncode == 1
        record = json.loads(checkout.invoke("runs.show", "last", "--json").stdout)
        load = {one["name"]: one for one in record["checkpoints"]}["region.state.load"]
        assert load["done"] == "failed" and record["outcome"] == "failure"
        found = {one["check"].partition("(")[0]: (one["rows"], one["bad"], one["passed"]) for one in load["checks"]}
        assert found == {"not_null": (5, 0, True), "accepted_range": (5, 5, False), "row_count": (5, 0, True)}
    shown = checkout.invoke("runs.show", "last").stdout
    assert "3 checks of rows, 1 did not hold\n" in shown
    assert "  region.state.load: accepted_range(area_km2, low=100, high=1): " in shown
    assert "  region.state.load: row_count(at_least=0.9): holds\n" in shown
    module.write_text(was)
    checkout.invoke("region.state.stage")
    assert "4 checks of rows, 0 did not hold" in checkout.invoke("runs.show", "last").stdout  # the key was looked at, too


def test_a_killed_run_is_told_as_such(staged, records):
    staged.invoke("region.clean")
    before = len(list((staged.data / "local/state/runs").glob("*.json")))
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", "region.stage"], cwd=staged.root, env=staged.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while len(list((staged.data / "local/state/runs").glob("*.json"))) == before:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert records()["outcome"] == "killed"


def test_two_runs_side_by_side(staged, records, tmp_path):
    staged.invoke("region.state.stage")
    first = records()["id"]
    staged.invoke("region.state.stage")
    assert staged.invoke("runs.diff", first, "last").stdout == "nothing differs\n"
    name = "tl_2010_us_state10.zip"
    (tmp_path / name).write_bytes((staged.data / "local/raw/region" / name).read_bytes() + b" ")
    staged.invoke("region.state.stage", ETL_SOURCE=f"mirror:{tmp_path}")
    lines = staged.invoke("runs.diff", first, "last").stdout.splitlines()
    assert f"source: sample -> mirror:{tmp_path}" in lines
    assert f"input <data>/raw/region/{name}: changed" in lines
    assert "parameters of checkpoint region.state.load: changed" in lines  # it is no longer called synthetic
    wrong = staged.type("runs.show", "nothing")
    assert wrong.returncode == 1 and "there is no run `nothing`" in wrong.stderr


def test_programs_read_a_line_for_each_event(staged):
    staged.invoke("region.state.clean")
    done = staged.invoke("region.state.stage", "--json", "--jobs", "1")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["event"], one["checkpoint"]) for one in events] == [
        ("kept", "region.state.raw"),
        ("begun", "region.state.rows"),
        ("made", "region.state.rows"),
        ("begun", "region.state.load"),
        ("made", "region.state.load"),
    ]
    assert events[-1]["rows"] == 5 and done.stderr == ""
