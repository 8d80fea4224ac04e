"""What the house itself costs: listing the tasks, a run with nothing to do, the sample made and built.

    python benchmarks/house.py [--runs 3]

What the first two stand beside is the floor: Python that imports invoke and does nothing.
ncproj is compiled before anything is measured.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from measure import Cost, cost  # noqa: E402


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=3)
    wish = arguments.parse_args()

    def invoke(data: str, *words: str) -> Cost:
        environment = {**os.environ, "INVOKE_ETL_DATA": data, "ETL_SOURCE": "sample"}
        return cost([sys.executable, "-m", "invoke", *words], cwd=ROOT, env=environment)

    def say(name: str, costs: list[Cost], wanted: str) -> None:
        middle = Cost(median(c.cpu for c in costs), median(c.wall for c in costs), max(c.memory for c in costs))
        print(f"{name:<44} {middle}   {wanted}", flush=True)

    with tempfile.TemporaryDirectory() as data:
        invoke(data, "ncproj.compile")
        say("python -c 'import invoke'", [cost([sys.executable, "-c", "import invoke"]) for _ in range(wish.runs)], "(floor)")
        say("invoke -l", [invoke(data, "-l") for _ in range(wish.runs)], "<= 0.6 CPU-s")
        say("invoke all.build, tool compiled, empty disk", [invoke(data, "all.build")], "<= 40 s on 2 cores")
        say("invoke all.build, nothing to do", [invoke(data, "all.build") for _ in range(wish.runs)], "<= 1.0 CPU-s")


if __name__ == "__main__":
    main()
