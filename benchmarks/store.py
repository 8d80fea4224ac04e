"""A year of counties into PostGIS: our load beside a bare COPY of the same rows as CSV, and beside a lake.

    python benchmarks/store.py [--counties 3109] [--runs 3]

The rows are shaped like macav2_county: 3,109 counties x 365 days, 27 numbers, key and partition columns. The database is a private
one, started for this and removed. The bare COPY gets the finished CSV, into a table without a key, as `\\copy` of psql
does it; our load gets Parquet, checks key and types, works out the fingerprint, and makes the primary key.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from impl.store import open_store  # noqa: E402
from tests.postgres import Cluster  # noqa: E402

KEY = ["gis_join", "timestamp", "model", "scenario"]
PART = {"model": "CCSM4", "scenario": "historical", "year": 2005}


def make_rows(path: Path, counties: int, days: int) -> None:
    import numpy
    import pyarrow
    import pyarrow.parquet

    chance = numpy.random.default_rng(1)
    count = counties * days
    first = numpy.datetime64("2005-01-01", "us")
    columns = {
        "gis_join": pyarrow.array(numpy.tile([f"G{number:07}" for number in range(counties)], days)),
        "timestamp": pyarrow.array(
            numpy.repeat(first + numpy.arange(days) * numpy.timedelta64(1, "D"), counties), pyarrow.timestamp("us", "UTC")
        ),
    }
    for number in range(27):  # a third are means with all digits, the others minima and maxima as the files have them
        values = chance.normal(280, 10, count)
        columns[f"value_{number:02}"] = pyarrow.array(values if number % 3 == 0 else values.round(2))
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--counties", type=int, default=3109)
    arguments.add_argument("--runs", type=int, default=3)
    wish = arguments.parse_args()
    cluster = Cluster()
    try:
        cluster.sql("create database etl", "postgres")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            rows, text = folder / "rows.parquet", folder / "rows.csv"
            make_rows(rows, wish.counties, 365)
            store = open_store(cluster.address())
            store.replace("first", rows, key=KEY[:2], part=PART)  # its table is the pattern for the bare one
            cluster.sql("create table bare as select * from etl.first with no data")
            subprocess.run(
                [
                    cluster.bin / "psql",
                    "-q",
                    "-d",
                    cluster.address(),
                    "-c",
                    f"\\copy (select * from etl.first) to '{text}' (format csv)",
                ],
                check=True,
            )
            print(f"{wish.counties * 365:,} rows x 32 columns, {text.stat().st_size / 1e6:,.0f} MB as CSV")
            seconds: dict[str, list[float]] = {}

            def timed(name, action):
                started = time.perf_counter()
                action()
                seconds.setdefault(name, []).append(time.perf_counter() - started)
                print(f"  {name:<28} {seconds[name][-1]:7.2f} s", flush=True)

            for _ in range(wish.runs):
                cluster.sql("truncate bare")
                copy = [cluster.bin / "psql", "-q", "-d", cluster.address(), "-c", f"\\copy bare from '{text}' (format csv)"]
                timed("bare COPY of CSV", lambda copy=copy: subprocess.run(copy, check=True))
                store.drop("county")
                timed("load into PostGIS", lambda: store.replace("county", rows, key=KEY, part=PART))
                lake = open_store(folder / "lake")
                lake.drop("county")
                timed("load into a lake", lambda lake=lake: lake.replace("county", rows, key=KEY, part=PART))
            best = {name: min(times) for name, times in seconds.items()}
            print(f"load into PostGIS: {best['load into PostGIS'] / best['bare COPY of CSV']:.2f}x the time of the bare COPY")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
