"""Brings the answer of a query to where somebody asked for it: the screen, a pipe or a file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from impl.run.errors import EtlError, unknown
from impl.run.files import replacing, sweep_beside
from impl.store import output

if TYPE_CHECKING:
    import pyarrow


def deliver(rows: pyarrow.Table, kind: str, to: str = "", shown: int = output.SHOWN_ROWS) -> None:
    """Write `rows` as `kind` ("table" or one of `output.FORMATS`) to the file `to`, or to stdout where `to` is empty.

    With a file and the kind "table", its extension says the kind. A table has at most `shown` rows and, on a
    terminal, is as wide as that. Parquet does not go to a terminal.
    """
    if kind not in ("table", *output.FORMATS):
        raise unknown("format", kind, ("table", *output.FORMATS), where="--format")
    if to:
        extension = Path(to).suffix.lstrip(".")
        if kind == "table" and extension not in output.FORMATS:
            raise unknown("format", extension, output.FORMATS, where=f"--to {to}")
        sweep_beside(Path(to))
        with replacing(to) as part, open(part, "wb") as file:
            output.write(rows, extension if kind == "table" else kind, file)
    elif kind == "table":
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        sys.stdout.write(output.as_table(rows, shown, width).rstrip("\n") + "\n")
    elif kind == "parquet" and sys.stdout.isatty():
        raise EtlError("Parquet is not for the screen", where="--format parquet", hint="add `--to FILE.parquet`, or a pipe")
    else:
        sys.stdout.flush()
        output.write(rows, kind, sys.stdout.buffer)
