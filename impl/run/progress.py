"""How far a long step is. Work reports to whatever was put in place; by default to nobody.

    with progress.track("tl_2010_us_county10.zip", total=size, unit="bytes") as bar:
        bar.advance(len(block))

`show_on_terminal` puts bars on a terminal (stderr); elsewhere the one line per checkpoint has to do. What runs in a
worker process reports through a queue (`send_to` there, `receive_from` here).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Sink = Callable[[str, int, float | None, str], None]  # description, done (ENDED: no more), total, unit

ENDED = -1
OFTEN = 0.1  # seconds between two reports of one bar across processes

_sink: Sink | None = None


class Bar:
    """The place of one step: `advance` it by what was done."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description, self.total, self.unit, self.done = description, total, unit, 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if _sink:
            _sink(self.description, self.done, self.total, self.unit)


@contextmanager
def track(description: str, total: float | None = None, unit: str = "") -> Iterator[Bar]:
    """A step of `total` units (unknown: None) that reports while it runs."""
    bar = Bar(description, total, unit)
    if _sink:
        _sink(description, 0, total, unit)
    try:
        yield bar
    finally:
        if _sink:
            _sink(description, ENDED, total, unit)


@contextmanager
def show_on_terminal() -> Iterator[None]:
    """While the block runs, draw bars on stderr, if that is a terminal."""
    global _sink
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[far]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as screen:
        bars: dict[str, TaskID] = {}

        def sink(description: str, done: int, total: float | None, unit: str) -> None:
            if done == ENDED:
                if description in bars:
                    screen.remove_task(bars.pop(description))
                return
            far = f"{100 * done / total:.0f} %" if total else f"{done:,} {unit}".strip() if done else ""
            if description not in bars:
                bars[description] = screen.add_task(description, total=total, far=far)
            screen.update(bars[description], completed=done, total=total, far=far)

        before, _sink = _sink, sink
        try:
            yield
        finally:
            _sink = before


def wanted() -> bool:
    """Whether anybody looks at the bars of this process."""
    return _sink is not None


def send_to(queue: Any) -> None:
    """In a worker process: report to `queue`, not more often than eyes can follow."""
    global _sink
    last: dict[str, float] = {}

    def sink(description: str, done: int, total: float | None, unit: str) -> None:
        now = time.monotonic()
        if done == ENDED or now - last.get(description, 0.0) > OFTEN:
            last[description] = now
            queue.put((description, done, total, unit))

    _sink = sink


def receive_from(queue: Any) -> Callable[[], None]:
    """In the process with the screen: show what workers put into `queue`, until the returned function is called."""

    def follow() -> None:
        while (report := queue.get()) is not None:
            if _sink:
                _sink(*report)

    threading.Thread(target=follow, daemon=True).start()
    return lambda: queue.put(None)
