"""Checkpoints on a Dask cluster: the same result as here, and what happens when a part of the cluster dies."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from impl.run import progress
from impl.run.checkpoint import checkpoint
from impl.run.errors import EtlError
from tests.dask_cluster import DaskCluster

from . import actions

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
pytest.importorskip("distributed", reason="a cluster needs `pip install -e '.[servers]'`")

COORDINATOR = """
import sys
from pathlib import Path
from impl.run import cluster, secrets
from impl.run.checkpoint import checkpoint
from impl.run.errors import EtlError, explain
from impl.run.graph import Graph
from impl.run.place import Place
from tests.run import actions

if __name__ == "__main__":
    root, address = Path(sys.argv[1]), sys.argv[2]
    cluster.PATIENCE = 3
    place = Place(root=root, state=root / "state", data=root / "data")
    steps = [
        checkpoint(f"word.{n}", actions.write_slowly, root / f"data/{n}", "whole" * 1000, seconds=0.4, targets=[root / f"data/{n}"])
        for n in range(6)
    ]
    graph = Graph(steps, place)
    try:
        graph.run([step.name for step in steps], say=lambda line: print(line, flush=True), jobs=0, cluster=address)
    except (EtlError, KeyboardInterrupt) as error:
        print(explain(error), file=sys.stderr)
        sys.exit(explain(error).code)
"""


@pytest.fixture
def dask_cluster(tmp_path):
    cluster = DaskCluster(tmp_path / "cluster")
    yield cluster
    cluster.stop()


class Coordinator:
    """The run of six words in a process of its own."""

    def __init__(self, tmp_path, address):
        script = tmp_path / "coordinator.py"
        script.write_text(textwrap.dedent(COORDINATOR))
        self.place = tmp_path / "place"
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.place), address],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def first(self):
        """Wait until one checkpoint is made; others are at work then."""
        while not (line := self.line()).startswith("[+]"):
            assert line, self.process.stderr.read()
            self.lines.append(line)
        self.lines.append(line)
        time.sleep(0.1)

    def line(self):
        """The next line and not a letter more: what a file object reads ahead, `communicate` does not see."""
        read = b""
        while not read.endswith(b"\n") and (letter := os.read(self.process.stdout.fileno(), 1)):
            read += letter
        return read.decode()

    def end(self, seconds=60):
        said, self.problems = self.process.communicate(timeout=seconds)
        self.lines += said.splitlines()
        return self.process.returncode

    def made(self):
        return [line.split()[1] for line in self.lines if line.startswith("[+]")]

    def assert_whole(self):
        """Six whole words, and nothing half written beside them."""
        found = {path.name: path.read_text() for path in (self.place / "data").iterdir()}
        assert found == {str(n): "whole" * 1000 for n in range(6)}
        assert sorted(path.name for path in (self.place / "state").iterdir()) == [
            "checkpoints.sqlite",
            "digests.sqlite",
            "lock",
        ]


def assert_goes_on(tmp_path, address, made):
    """The same command makes what is missing and nothing else."""
    again = Coordinator(tmp_path, address)
    assert again.end() == 0, again.problems
    assert not set(again.made()) & set(made), "made twice"
    # What was finished in the moment of the stop may be kept without that its line was written.
    assert len(again.made() + made) >= 5
    again.assert_whole()


def test_the_store_is_the_same_from_one_process_two_local_workers_and_two_separate_ones(staged, tmp_path, two_workers):
    part = {"INVOKE_MACAV2_YEARS": "2005", "INVOKE_MACAV2_VARIABLES": "pr,tasmax"}
    found = {}
    for name, where in (
        ("one", {"INVOKE_ETL_JOBS": "1"}),
        ("local", {"ETL_CLUSTER": "dask:local:2"}),
        ("separate", {"ETL_CLUSTER": two_workers.address}),
    ):
        checkout = type(staged)(staged.root, Path(shutil.copytree(staged.data, tmp_path / name)))
        said = checkout.invoke("macav2.build", **part, **where).stderr
        assert "[+] macav2.CCSM4.historical.2005.load  124,830 rows" in said
        if name == "separate":
            assert set(re.findall(r"s on worker (\w+)$", said, re.MULTILINE)) == {"anna", "bert"}
        found[name] = re.findall(r"fingerprint  (\w{64})", checkout.invoke("store.show", "macav2_county").stdout)
    assert "[+]" not in checkout.invoke("macav2.build", **part, **where).stderr  # nor does a cluster make it anew
    assert found["one"] == found["local"] == found["separate"]
    assert len(found["one"]) == 1


def test_what_a_worker_made_is_not_read_again_by_the_coordinator(runs, place, two_workers, monkeypatch):
    from impl.run import digest

    read = []
    monkeypatch.setattr(digest, "file_digest", lambda path: read.append(path))
    target = place.data / "x"
    first = checkpoint("x", actions.write, target, "text", targets=[target])
    second = checkpoint("y", actions.write, place.data / "y", "more", file_dep=[target], targets=[place.data / "y"])
    runs(first, second, jobs=0, cluster=two_workers.address)
    assert read == []


def test_a_failing_action_is_said_as_here_with_the_worker(runs, place, two_workers):
    step = checkpoint("well", actions.fail, place.data / "well", targets=[place.data / "well"])
    with pytest.raises(EtlError, match="the well is dry") as caught:
        runs(step, jobs=0, cluster=two_workers.address)
    assert re.fullmatch(r"well \(worker (anna|bert)\)", caught.value.where)
    assert caught.value.hint == "dig"
    assert [line for line in runs.said if line.startswith("[!]")] == ["[!] well  the well is dry"]


def test_each_action_has_a_process_of_its_own_whatever_threads_a_worker_has(runs, place, dask_cluster):
    dask_cluster.start()
    dask_cluster.worker("wide", threads=3)
    steps = [
        checkpoint(f"pid.{n}", actions.write_pid, place.data / str(n), seconds=0.5, targets=[place.data / str(n)])
        for n in range(3)
    ]
    runs(*steps, jobs=0, cluster=dask_cluster.address)
    assert len({(place.data / str(n)).read_text() for n in range(3)}) == 3


def test_bars_of_workers_come_back_with_the_name_of_the_worker(runs, place, two_workers, monkeypatch):
    seen = []
    monkeypatch.setattr(progress, "_sink", lambda *report: seen.append(report))
    runs(checkpoint("x", actions.write_pid, place.data / "x", seconds=0.3, targets=[place.data / "x"]), jobs=0, cluster=two_workers.address)  # fmt: skip
    time.sleep(0.2)
    assert seen[0][0] in ("x (anna)", "x (bert)")
    assert seen[-1][:2] == (seen[0][0], progress.ENDED)


def test_a_killed_worker_s_checkpoint_is_made_by_another(tmp_path, dask_cluster):
    dask_cluster.start("anna", "bert")
    running = Coordinator(tmp_path, dask_cluster.address)
    running.first()
    dask_cluster.kill("anna")
    assert running.end() == 0, running.problems
    assert sorted(running.made()) == [f"word.{n}" for n in range(6)]
    assert any(line.startswith("[w] worker anna is gone; another takes word.") for line in running.lines)
    running.assert_whole()


def test_without_any_worker_the_run_waits_and_stops_and_goes_on_later(tmp_path, dask_cluster):
    dask_cluster.start("anna", "bert")
    running = Coordinator(tmp_path, dask_cluster.address)
    running.first()
    dask_cluster.kill("anna", "bert")
    assert running.end(20) == 1
    assert running.problems == (
        "error: all workers are gone\n  at no worker came for 3 s\n\n"
        "hint: start workers again (docs/cluster.md); the same command goes on where this one stopped\n"
    )
    dask_cluster.worker("carl")
    dask_cluster.wait_for("carl")
    assert_goes_on(tmp_path, dask_cluster.address, running.made())


def test_when_the_scheduler_dies_the_run_stops_and_goes_on_with_a_new_one(tmp_path, dask_cluster):
    dask_cluster.start("anna", "bert")
    running = Coordinator(tmp_path, dask_cluster.address)
    running.first()
    dask_cluster.kill("scheduler")
    assert running.end(20) == 1
    assert running.problems.startswith("error: the scheduler is gone\n\nhint: start it and its workers again")
    for name in ("anna", "bert"):  # workers end with their scheduler
        dask_cluster.processes[name].wait(20)
    dask_cluster.start("carl")
    assert_goes_on(tmp_path, dask_cluster.address, running.made())


def test_a_worker_that_hangs_is_given_up_and_what_it_does_late_does_no_harm(tmp_path, dask_cluster):
    dask_cluster.start("anna", "bert")
    running = Coordinator(tmp_path, dask_cluster.address)
    running.first()
    dask_cluster.signal("anna", signal.SIGSTOP)
    assert running.end() == 0, running.problems
    dask_cluster.signal("anna", signal.SIGCONT)
    assert sorted(running.made()) == [f"word.{n}" for n in range(6)]
    dask_cluster.until(lambda: not dask_cluster.errands())
    running.assert_whole()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_when_the_coordinator_is_stopped_the_workers_stop_too(tmp_path, dask_cluster, how):
    dask_cluster.start("anna", "bert")
    running = Coordinator(tmp_path, dask_cluster.address)
    running.first()
    assert dask_cluster.errands()
    running.process.send_signal(how)
    assert running.end(8) == (130 if how == signal.SIGINT else -9)
    if how == signal.SIGINT:
        assert running.problems == "error: interrupted\n\nhint: the same command goes on where this one stopped\n"
    at_the_end = sorted(path.name for path in (running.place / "data").iterdir() if not path.name.startswith("."))
    time.sleep(1)  # what still worked would have made its word by now
    assert sorted(path.name for path in (running.place / "data").iterdir()) == at_the_end
    assert_goes_on(tmp_path, dask_cluster.address, running.made())


def test_an_action_that_is_killed_is_tried_again_and_named_when_it_is_killed_each_time(runs, place, two_workers):
    place.data.mkdir(parents=True)
    step = checkpoint("fat", actions.die, place.data / "x", place.data / "tries", times=1, targets=[place.data / "x"])
    runs(step, jobs=0, cluster=two_workers.address)
    assert (place.data / "x").read_text() == "survived"
    assert re.search(r"\[w\] fat on (anna|bert): I take more and more", "\n".join(runs.said))
    (place.data / "tries").unlink()
    step = checkpoint("fat", actions.die, place.data / "x", place.data / "tries", times=9, targets=[place.data / "x"])
    with pytest.raises(EtlError, match="the process of a checkpoint was killed on its worker") as caught:
        runs(step, jobs=0, cluster=two_workers.address)
    assert re.fullmatch(r"fat, 3 times, the last on worker (anna|bert): was ended by signal 9", caught.value.where)


def test_a_checkpoint_that_kills_its_workers_is_named(runs, place, dask_cluster):
    dask_cluster.start("anna", "bert", "carl", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
    step = checkpoint("poison", actions.kill_worker, place.data / "x", targets=[place.data / "x"])
    with pytest.raises(EtlError, match="a checkpoint killed one worker after the other") as caught:
        runs(step, jobs=0, cluster=dask_cluster.address)
    assert re.fullmatch(r"poison, the last was (anna|bert|carl)", caught.value.where)
    assert len([line for line in runs.said if "is gone" in line]) == 2


def test_a_worker_with_other_versions_is_refused_by_name(runs, place, dask_cluster, tmp_path):
    other = tmp_path / "other/deltalake-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: deltalake\nVersion: 0.0.1\n")
    dask_cluster.start("anna")
    dask_cluster.worker("odd", PYTHONPATH=str(other.parent))
    dask_cluster.wait_for("odd")
    with pytest.raises(EtlError, match="a worker has other versions than this checkout") as caught:
        runs(checkpoint("x", actions.write, place.data / "x", "", targets=[place.data / "x"]), jobs=0, cluster=dask_cluster.address)  # fmt: skip
    assert re.fullmatch(r"worker odd: deltalake 0\.0\.1 \(here [\d.]+\)", caught.value.where)


def test_a_worker_with_other_code_runs_this_checkout_s(runs, place, dask_cluster, tmp_path):
    other = tmp_path / "other/impl/run"
    other.mkdir(parents=True)
    for package in (other, other.parent):
        (package / "__init__.py").write_text("raise ImportError('another checkout')")
    dask_cluster.start("odd", PYTHONPATH=str(tmp_path / "other"))
    runs(checkpoint("x", actions.write, place.data / "x", "ours", targets=[place.data / "x"]), jobs=0, cluster=dask_cluster.address)  # fmt: skip
    assert (place.data / "x").read_text() == "ours"


def test_a_worker_that_does_not_see_the_data_folder_is_refused_by_name(runs, place, dask_cluster):
    unshare = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    hide = (*unshare, "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(place.root / "state"))
    place.state.mkdir(parents=True)
    if subprocess.run([*hide, "true"], capture_output=True).returncode:
        pytest.skip("hiding a folder from a process is not allowed here")
    dask_cluster.start("anna")
    dask_cluster.worker("far", before=hide)
    dask_cluster.wait_for("far")
    with pytest.raises(EtlError, match="a worker does not see the data folder") as caught:
        runs(checkpoint("x", actions.write, place.data / "x", "", targets=[place.data / "x"]), jobs=0, cluster=dask_cluster.address)  # fmt: skip
    assert caught.value.where == f"worker far: {place.state}"


def test_a_program_that_does_not_start_on_a_worker_is_refused_with_a_hint(runs, place, dask_cluster):
    program = place.data / "tools/tool"
    program.parent.mkdir(parents=True)
    text = '#!/bin/sh\n[ -z "$OLD_LIBC" ] || { echo "version \'GLIBC_2.99\' not found" >&2; exit 1; }\necho $1\n'
    compiled = replace(checkpoint("tool", actions.write_program, program, text, targets=[program]), verb="compile")
    use = checkpoint("use", actions.call, program, place.data / "x", file_dep=[program], targets=[place.data / "x"])
    dask_cluster.start("old", OLD_LIBC="yes")
    with pytest.raises(EtlError, match="the program `tool` does not start on a worker") as caught:
        runs(compiled, use, jobs=0, cluster=dask_cluster.address)
    assert caught.value.where.startswith("worker old (")
    assert "GLIBC_2.99" in caught.value.where
    assert not [line for line in runs.said if line.startswith("[+] tool") and "worker" in line]  # compiled here


def test_a_secret_reaches_the_worker_and_no_log(runs, place, two_workers, capfd, monkeypatch):
    from impl.run import secrets

    monkeypatch.setattr(secrets, "_known", {"THE_PASSWORD": "Zq8-planted-Zq8"})
    step = checkpoint("x", actions.whisper, place.data / "x", "db://me:${THE_PASSWORD}@host", targets=[place.data / "x"])
    runs(step, jobs=0, cluster=two_workers.address)
    assert (place.data / "x").read_text() == str(len("db://me:Zq8-planted-Zq8@host"))
    assert [line.partition(": ")[2] for line in runs.said if line.startswith("[w]")] == ["connecting to db://me:***@host"]
    said = "".join(capfd.readouterr())
    kept = b"".join(path.read_bytes() for path in place.root.rglob("*") if path.is_file())
    assert "planted" not in two_workers.logs() + said
    assert b"planted" not in kept


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("dask:tcp://127.0.0.1:9", "the scheduler does not answer"),
        ("dask:local:none", "this is not a cluster"),
        ("spark://x", "this is not a cluster"),
    ],
)
def test_an_address_that_leads_nowhere_is_said(runs, place, monkeypatch, address, what):
    from impl.run import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(EtlError, match=what):
        runs(checkpoint("x", actions.write, place.data / "x", "", targets=[place.data / "x"]), jobs=0, cluster=address)


def test_a_scheduler_without_workers_is_said(runs, place, monkeypatch, dask_cluster):
    from impl.run import cluster

    monkeypatch.setattr(cluster, "PATIENCE", 1)
    dask_cluster.start()
    with pytest.raises(EtlError, match="the scheduler has no workers"):
        runs(checkpoint("x", actions.write, place.data / "x", "", targets=[place.data / "x"]), jobs=0, cluster=dask_cluster.address)  # fmt: skip


def test_without_the_library_the_extra_is_named(runs, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EtlError, match="the library for a cluster is not installed") as caught:
        runs(checkpoint("x", actions.write, place.data / "x", "", targets=[place.data / "x"]), jobs=0, cluster="dask:local:1")
    assert caught.value.hint == "pip install -e '.[servers]'"
