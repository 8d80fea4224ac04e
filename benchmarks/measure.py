"""Runs a command as a whole process and says what it cost."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds, and the peak of resident memory in bytes, of a process and its children."""

    cpu: float
    wall: float
    memory: int

    def __str__(self) -> str:
        return f"{self.cpu:8.2f} CPU-s  {self.wall:8.2f} s  {self.memory / 1e6:8.0f} MB"


def cost(command: Sequence[str], **options: object) -> Cost:
    """What one run of `command` costs. Raises where it fails, with its last words."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options) as process:
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{said[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss * 1024)


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
