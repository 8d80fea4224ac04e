"""`memory_limit` is about what the whole process takes: peaks of real runs on tables that are larger."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1_500_000
LIMIT = 160 << 20  # the table takes 190 MB, and its sort in memory as much again
BASE = 150 << 20  # interpreter, libraries and batches on their way, with some room for other machines

OPERATIONS = {
    "sort": "{operation: sort_rows, columns: [day, text]}",
    "distinct": "{operation: distinct_rows, columns: [number, text]}",
    "join": "{operation: join, sources: [$sources.more], join_type: left, left_key: number, right_key: number}",
    "pivot": "{operation: pivot, rows_by: number, cols_by: half, values: text}",
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """rows.tsv and more.tsv, both of so many rows in an order of their own; `number` is there once."""
    folder = tmp_path_factory.mktemp("memory")
    number = pl.int_range(ROWS, eager=True)
    for name, factor, text in (("rows", 7919, "text"), ("more", 104_729, "other")):
        mixed = number * factor % ROWS
        frame = pl.DataFrame(
            {"number": mixed, "day": mixed % 365, "half": mixed % 2, text: mixed % 997, f"{text}_more": mixed % 89}
        )
        frame.write_csv(folder / f"{name}.tsv", separator="\t")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes of ru_maxrss")
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_run_takes_little_more_than_its_limit(tables, name):
    document = tables / f"{name}.yaml"
    more = "  more: {file: more.tsv}\n" if name == "join" else ""
    document.write_text(
        f"version: 2\nconfig: {{output_dir: ./{name}, memory_limit: {LIMIT}}}\nsources:\n  rows: {{file: rows.tsv}}\n{more}"
        f"transformations:\n  some:\n    source: $sources.rows\n    operations:\n      - {OPERATIONS[name]}\n"
        f"destinations:\n  out: {{source: $transformations.some, format: csv, extension: csv}}\n"
    )
    # a process starts with its parent's peak, so a small one stands between
    words = [
        sys.executable,
        "-S",
        ROOT / "benchmarks/measure.py",
        sys.executable,
        "-m",
        "impl.tabular.command",
        "run",
        "-c",
        document,
    ]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    with (tables / name / "out.csv").open() as file:
        assert sum(1 for _ in file) == ROWS + 1
    peak = json.loads(done.stdout)["memory"]
    assert peak < LIMIT + BASE, f"{peak / 1e6:.0f} MB"
