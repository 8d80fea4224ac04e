"""Runs a command as a whole process and says what it cost."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds of a process and its children, and the peak of resident memory of the largest, in bytes."""

    cpu: float
    wall: float
    memory: int

    def __str__(self) -> str:
        return f"{self.cpu:8.2f} CPU-s  {self.wall:8.2f} s  {self.memory / 1e6:8.0f} MB"


def cost(command: Sequence[object], **options: object) -> Cost:
    """What one run of `command` costs. Raises where it fails, with its last words."""
    # a process starts with its parent's peak of memory, so it gets a small parent: this file, below
    launcher = [sys.executable, "-S", __file__, *map(str, command)]
    done = subprocess.run(launcher, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return Cost(**json.loads(done.stdout))


def compare(ours: tuple[str, Callable[[], Cost]], peers: dict[str, Callable[[], Cost]], runs: int) -> None:
    """Run ours and each peer in turn, `runs` times, and print medians and the ratio of CPU seconds to the best peer."""
    costs: dict[str, list[Cost]] = {name: [] for name in (ours[0], *peers)}
    for number in range(runs):
        for name, run in ((ours[0], ours[1]), *peers.items()):
            costs[name].append(run())
            print(f"  run {number + 1}  {name:<44} {costs[name][-1]}", file=sys.stderr, flush=True)
    middle = {name: median(one.cpu for one in many) for name, many in costs.items()}
    for name, many in costs.items():
        wall, memory = median(one.wall for one in many), max(one.memory for one in many)
        print(f"{name:<44} {Cost(middle[name], wall, memory)}")
    best = min(peers, key=lambda name: middle[name])
    print(f"ratio in CPU seconds: {middle[best] / middle[ours[0]]:.1f}x fewer than {best}")


if __name__ == "__main__":
    started = time.perf_counter()
    ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "wall": wall, "memory": used.ru_maxrss * 1024}))
    sys.exit(os.EX_OK if ended.returncode == 0 else 1)
