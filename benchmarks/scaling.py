"""What docs/scaling.md calculates with: seconds and bytes of each step of macav2, on files of the real size.

    python benchmarks/scaling.py [--days 365] [--folder FOLDER] [--counties ZIP]

The year 2005 of 585 x 1386 cells, chunked by day; the counties of the ZIP (tl_2010_us_county10.zip; default: the sample's). One
variable is aggregated and stands for all ten. The store is a lake in the folder.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import pyarrow.parquet as parquet  # noqa: E402
from zonal import LAYOUTS, PROGRAM, make_grid  # noqa: E402

from impl.run.checkpoint import checkpoint  # noqa: E402
from impl.run.graph import Graph  # noqa: E402
from impl.run.place import Place  # noqa: E402
from impl.source import fetch, sample, shapefile  # noqa: E402
from impl.store import load, open_store  # noqa: E402
from impl.transform import wide  # noqa: E402
from task.macav2 import KEY, LICENCE, STATISTICS, VARIABLES  # noqa: E402
from task.region import FIELDS  # noqa: E402


def megabytes(path):
    found = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in found) / 1e6


def timed(what, work, *words, **named):
    """The result of `work`; prints its wall and CPU seconds, those of children too."""
    before, started = os.times(), time.perf_counter()
    result = work(*words, **named)
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    print(f"{what:48}{time.perf_counter() - started:8.2f} s wall {cpu:8.2f} s CPU", flush=True)
    return result


def dispatch(folder, count, **where):
    """Checkpoints that copy a file of two bytes: what the coordinator and its cluster cost."""
    place = Place(root=folder, state=folder / "state", data=folder / "data")
    source = folder / "two bytes"
    source.parent.mkdir(exist_ok=True)
    source.write_text("2\n")
    targets = [folder / f"data/{number}" for number in range(count)]
    steps = [checkpoint(f"copy.{one.name}", fetch.copy, source, one, file_dep=[source], targets=[one]) for one in targets]
    graph = Graph(steps, place)
    try:
        graph.run([one.name for one in steps], say=lambda line: None, **where)
    finally:
        graph.close()


def small_loads(store, small, first, count):
    for number in range(first, first + count):
        load(store, "small", small, key=KEY, part={"model": "m", "scenario": "historical", "year": number})


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--days", type=int, default=365)
    words.add_argument("--folder", type=Path)
    words.add_argument("--counties", type=Path)
    chosen = words.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="etl-scaling-"))
    folder.mkdir(parents=True, exist_ok=True)

    grid = make_grid(folder / "year.nc", chosen.days, LAYOUTS["by day"], first=1)
    print(f"raw file of {chosen.days} days: {megabytes(grid):,.0f} MB")
    archive = chosen.counties or folder / "county.zip"
    if not archive.exists():
        sample.boundaries(archive, "county")
    regions = folder / "county.parquet"
    shapefile.to_rows(archive, regions, fields=FIELDS["county"], key="gis_join")
    index = folder / "county.index"
    call = [PROGRAM, "index", "--regions", regions, "--key", "gis_join", "--grid", grid, "-o", index]
    timed("index", subprocess.run, call, check=True, capture_output=True)

    parts = []
    for _, stem, *_ in VARIABLES.values():
        parts.append(folder / f"{stem}.parquet")
        names = ["--variables", f"air_temperature={stem}", "--stats", ",".join([*STATISTICS, "valid"])]
        call = [PROGRAM, "aggregate", "--index", index, *names, "-o", parts[-1], grid]
        timed(f"aggregate variable {len(parts)}", subprocess.run, call, check=True, capture_output=True)
    print(f"rows of one variable: {megabytes(parts[0]):,.0f} MB")
    year = folder / "year.parquet"
    said = timed(
        "ten variables side by side", wide.side_by_side, parts, year, key=["gis_join", "time"],
        rename={"time": "timestamp"}, year=2005, lowest={"valid_": "valid_share"},
    )  # fmt: skip
    print(f"{said}: {megabytes(year):,.0f} MB")
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    for number in range(3):
        part = {"model": f"m{number}", "scenario": "historical", "year": 2005}
        facts = timed(f"load, part {number + 1} of the collection", load, store, "macav2_county", year, key=KEY, part=part, licence=LICENCE)  # fmt: skip
    print(f"store: {megabytes(store) / 3:,.0f} MB for {facts['rows']:,} rows")
    timed("does the store still hold a part?", open_store(store).holds, "macav2_county", part, facts["fingerprint"])
    with open(grid, "rb") as content:
        timed("SHA-256 of the raw file", hashlib.file_digest, content, "sha256")
    small = folder / "small.parquet"
    parquet.write_table(parquet.read_table(year).slice(0, 10), small)
    for first in (0, 100, 200, 300):
        timed(f"100 loads of ten rows, parts {first} to {first + 99}", small_loads, store, small, first, 100)
    for label, where in (("here", {"jobs": 1}), ("dask:local:2", {"jobs": 0, "cluster": "dask:local:2"})):
        timed(f"1,000 small copies, {label}", dispatch, folder / f"copies {label}", 1000, **where)
        timed(f"1,000 small copies, up to date, {label}", dispatch, folder / f"copies {label}", 1000, **where)


if __name__ == "__main__":
    main()
