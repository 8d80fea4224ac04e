"""Processes that render rows end with the run that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = """version: 2
config: {output_dir: ./output, workers: 2}
sources:
  rows: {file: rows.csv}
destinations:
  out: {source: $sources.rows, template: row.txt, extension: txt}
"""
# every row is sent to other processes at once, whatever it takes
BEGIN = """
import sys
from impl.tabular.templates import plan
plan.PARALLEL_ROWS, plan.PARALLEL_AFTER = 1, 0.0
from impl.tabular.command import main
code = main(["run", "-c", sys.argv[1]])
from multiprocessing import active_children
print("left:", len(active_children()), flush=True)
sys.exit(code)
"""


def project(folder, template, rows):
    (folder / "rows.csv").write_text("id,n\n" + "".join(f"{one},{one % 7}\n" for one in range(rows)))
    (folder / "row.txt").write_text(template)
    (folder / "earthmover.yaml").write_text(DOCUMENT)
    words = [sys.executable, "-c", BEGIN, str(folder / "earthmover.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, process_group=0)


def group_is_gone(number, patience=20.0):
    """Whether no process of the group is left; a killed one needs a moment."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def children(number):
    return [int(one) for one in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "code"), [("{% for one in id %}{{ one }}{% endfor %}", 0), ("{{ 1 // (n | int - 6) }}{{ id.x }}", 255)]
)
def test_no_process_is_left_after_a_run_or_an_error(tmp_path, template, code):
    run = project(tmp_path, template, 20_000)
    said, errors = run.communicate(timeout=60)
    assert (run.returncode, said.splitlines()[-1]) == (code, "left: 0"), errors
    assert group_is_gone(run.pid)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_after_the_run_was_broken_off(tmp_path, how):
    run = project(tmp_path, "{% for one in range(2000) %}{{ id }}{{ one }}{% endfor %}", 60_000)
    while len(children(run.pid)) < 3:  # two that render, one that keeps the books of multiprocessing
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    time.sleep(1)
    if how == signal.SIGINT:
        os.killpg(run.pid, how)  # as a terminal does it
    else:
        os.kill(run.pid, how)
    run.wait(timeout=30)
    assert group_is_gone(run.pid)
