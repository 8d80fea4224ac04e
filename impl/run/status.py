"""The status table: every checkpoint, up to date or why not, when it last ran, how long it took."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impl.run.graph import Standing

HEADINGS = ("checkpoint", "", "last ran", "seconds", "what it said, or why it will run")


def table(rows: "Sequence[Standing]") -> str:
    """The table as text, one line a checkpoint, and a closing line that counts."""
    cells = [HEADINGS]
    for row in rows:
        finished = datetime.fromisoformat(row.finished).astimezone().strftime("%Y-%m-%d %H:%M:%S") if row.finished else "never"
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        cells.append((row.name, "[|]" if row.current else "[?]", finished, seconds, row.note if row.current else row.why))
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS) - 1)]
    lines = []
    for name, mark, finished, seconds, text in cells:
        lines.append(f"{name:<{widths[0]}}  {mark:<3}  {finished:<{widths[2]}}  {seconds:>{widths[3]}}  {text}".rstrip())
    current = sum(row.current for row in rows)
    lines.append(f"{current} of {len(rows)} up to date ([|]); [?] will run")
    return "\n".join(lines) + "\n"
