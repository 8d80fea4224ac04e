"""Two at once, Ctrl-C and kill -9: what is left behind, and that the next run goes on from there."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from impl.run.checkpoint import checkpoint
from impl.run.errors import EtlError
from impl.run.files import beside, replacing, sweep, this_host
from impl.run.lock import only_run

from . import actions

ROOT = Path(__file__).resolve().parents[2]
SLOWLY = """
import sys
from pathlib import Path
from impl.run.checkpoint import checkpoint
from impl.run.graph import Graph
from impl.run.place import Place
from tests.run import actions

if __name__ == "__main__":
    root, jobs = Path(sys.argv[1]), int(sys.argv[2])
    place = Place(root=root, state=root / "state", data=root / "data")
    steps = [
        checkpoint(f"word.{n}", actions.write_slowly, root / f"data/{n}", "whole" * 1000, seconds=0.15, targets=[root / f"data/{n}"])
        for n in range(6)
    ]
    graph = Graph(steps, place)
    graph.run([step.name for step in steps], say=lambda line: print(line, flush=True), jobs=jobs)
"""


def start(tmp_path, jobs):
    script = tmp_path / "slowly.py"
    script.write_text(textwrap.dedent(SLOWLY))
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "place"), str(jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_files(tmp_path):
    return {path.name: path.read_text() for path in (tmp_path / "place/data").glob("[0-9]")}


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_and_ends_the_same(tmp_path, jobs, how):
    running = start(tmp_path, jobs)
    first = running.stdout.readline()  # one checkpoint is done, the next is half written
    assert first.startswith("[+]")
    time.sleep(0.05)
    running.send_signal(how)
    running.wait(10)
    assert running.returncode != 0
    time.sleep(0.7 if jobs > 1 else 0)  # workers notice within half a second that they are alone
    for text in finished_files(tmp_path).values():
        assert text == "whole" * 1000

    again = start(tmp_path, jobs)
    said, problems = again.communicate(timeout=60)
    assert again.returncode == 0, problems
    assert "[|] word." in said  # what was done is not done again
    assert set(finished_files(tmp_path)) == set("012345")
    leftovers = [path for path in (tmp_path / "place/data").iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_a_second_run_at_the_same_time_is_told_who_holds_the_lock(tmp_path):
    running = start(tmp_path, 1)
    running.stdout.readline()
    other = start(tmp_path, 1)
    _, problems = other.communicate(timeout=30)
    assert other.returncode != 0
    assert "another run is at work in this environment" in problems
    assert f"process {running.pid} on " in problems
    running.communicate(timeout=30)
    assert running.returncode == 0


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    running = start(tmp_path, 1)
    running.stdout.readline()
    assert json.loads((tmp_path / "place/state/lock").read_text())["pid"] == running.pid
    running.kill()
    running.wait()
    with only_run(tmp_path / "place/state/lock"):
        pass


def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path):
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as part:
        part.write_text("new")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_sweep_takes_leftovers_of_the_dead_and_leaves_those_of_the_living(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "deep").mkdir()
    ghost = tmp_path / f"deep/.x.nc.{this_host()}.{dead.pid}.part"
    ours = beside(tmp_path / "y")
    for path in (ghost, ours, tmp_path / "kept.part"):
        path.touch()
    assert sweep(tmp_path) == [ghost]
    assert ours.exists()


def test_what_another_host_writes_stays_for_a_week(tmp_path):
    theirs, old = tmp_path / f".x.other.{2**22 + 1}.part", tmp_path / ".x.other.1.part"
    older = tmp_path / ".x.1.part"  # of a version that did not write the host
    now = time.time()
    for path, days in ((theirs, 6.9), (old, 7.1), (older, 7.1)):
        path.touch()
        os.utime(path, (now - days * 86400, now - days * 86400))
    assert sorted(sweep(tmp_path)) == [older, old]
    assert theirs.exists()


@pytest.mark.parametrize("name, said", [("node-7.cluster.local", "node-7-cluster-local"), ("a/b c", "a-b-c"), ("", "host")])
def test_a_name_of_a_host_fits_into_the_name_of_a_file(tmp_path, monkeypatch, name, said):
    this_host.cache_clear()
    monkeypatch.setattr("socket.gethostname", lambda: name)
    try:
        assert beside(tmp_path / "x.nc").name == f".x.nc.{said}.{os.getpid()}.part"
    finally:
        this_host.cache_clear()


def test_a_full_disk_is_said_and_loses_nothing(small_disk, place, runs):
    target = small_disk / "target"
    step = checkpoint("word", actions.write, target, "x" * 3_000_000, targets=[target])
    with pytest.raises(EtlError, match="the disk is full"):
        runs(step)
    assert list(small_disk.iterdir()) == []
    step = checkpoint("word", actions.write, target, "x" * 1000, targets=[target])
    runs(step)
    assert target.stat().st_size == 1000


def test_a_full_disk_under_the_state_file_is_said(small_disk, chain):
    from impl.run.graph import Graph
    from impl.run.place import Place

    (small_disk / "filler").write_bytes(b"0" * (small_disk_free(small_disk) - 4096))
    with pytest.raises((EtlError, OSError)) as caught:
        graph = Graph(chain(), Place(root=small_disk.parent, state=small_disk / "state", data=small_disk))
        graph.run(["sum.all"], say=lambda line: None)
    from impl.run.errors import explain

    assert "the disk is full" in str(explain(caught.value))


def small_disk_free(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_read_only_disk_is_said(read_only_disk, runs):
    target = read_only_disk / "target"
    with pytest.raises(EtlError, match="the disk is read-only"):
        runs(checkpoint("word", actions.write, target, "x", targets=[target]))


def test_a_read_only_state_folder_is_said(read_only_disk, chain):
    from impl.run.errors import explain
    from impl.run.graph import Graph
    from impl.run.place import Place

    with pytest.raises((EtlError, OSError)) as caught:
        Graph(chain(), Place(root=read_only_disk.parent, state=read_only_disk / "state", data=read_only_disk))
    assert "read-only" in str(explain(caught.value)) or "cannot be written" in str(explain(caught.value))


def test_what_outlives_a_killed_run_leaves_nothing_once_the_next_is_through(tmp_path):
    """A worker may live on for a moment: what it leaves then is no longer there at the end of the next run."""
    code = "import os, time; os.setsid(); time.sleep(0.6)"
    orphan = subprocess.Popen([sys.executable, "-c", code])
    (tmp_path / "data").mkdir()
    left = tmp_path / f"data/.0.{this_host()}.{orphan.pid}.part"
    left.write_text("half")
    reaper = threading.Thread(target=orphan.wait)
    reaper.start()
    script = tmp_path / "slowly.py"
    script.write_text(SLOWLY)
    subprocess.run([sys.executable, script, tmp_path, "1"], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    reaper.join()
    assert list((tmp_path / "data").glob(".*")) == []


def test_a_number_that_came_again_is_not_who_wrote(tmp_path):
    left = tmp_path / f".x.{this_host()}.{os.getpid()}.part"
    left.write_text("half")
    assert sweep(tmp_path) == []
    os.utime(left, (time.time() - 86400, time.time() - 86400))  # before this process began
    assert sweep(tmp_path) == [left]


def test_a_file_that_was_asked_for_again_leaves_nothing_of_the_killed_try(tmp_path):
    import pyarrow

    from impl.store.deliver import deliver

    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f".rows.csv.{this_host()}.{dead.pid}.part").write_text("half")
    deliver(pyarrow.table({"a": [1]}), "csv", str(tmp_path / "rows.csv"))
    assert [one.name for one in tmp_path.iterdir()] == ["rows.csv"]
