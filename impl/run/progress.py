"""How far a long step is. Work reports to whatever was put in place; by default to nobody.

    with progress.track("tl_2010_us_county10.zip", total=size, unit="bytes") as bar:
        bar.advance(len(block))

`show_on_terminal` puts bars on a terminal (stderr); elsewhere the one line per checkpoint has to do.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Sink = Callable[[str, int, float | None, str], None]  # description, done, total, unit

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
    try:
        yield bar
    finally:
        if _sink:
            _sink(description, -1, total, unit)


@contextmanager
def show_on_terminal() -> Iterator[None]:
    """While the block runs, draw bars on stderr, if that is a terminal."""
    global _sink
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("    {task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as screen:
        bars: dict[str, object] = {}

        def sink(description: str, done: int, total: float | None, unit: str) -> None:
            if done < 0:
                if description in bars:
                    screen.remove_task(bars.pop(description))  # type: ignore[arg-type]
                return
            if description not in bars:
                bars[description] = screen.add_task(description, total=total)
            screen.update(bars[description], completed=done)  # type: ignore[arg-type]

        before, _sink = _sink, sink
        try:
            yield
        finally:
            _sink = before
