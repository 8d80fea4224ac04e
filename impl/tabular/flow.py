"""Tables on their way: columns that are known before any row, and rows in batches.

A batch is a Polars frame. Text columns are `String`; null is what pandas calls NaN. Other types come from readers that
know types (JSON, Parquet, SQL) and from operations that make numbers; `kind` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

TEXT, INTEGER, FLOAT, BOOLEAN, TIME, OBJECT, ANY = "text", "integer", "float", "boolean", "time", "object", "any"
STEADY = "steady text"  # text too, but rows that are sorted by it alone stay as they were where it is equal (see `sort_rows`)
BATCH = 50_000  # rows, about
CELLS = 1 << 20  # values of a batch that a reader makes, about: each takes 16 bytes and its letters, however few these are


@dataclass(frozen=True)
class Column:
    """name; kind: one of the above, as pandas plans with it (`any` where it is only known with the rows).

    Whole numbers may be floats when the rows come, where some are missing; what is an object to pandas may be anything.
    """

    name: str
    kind: str = TEXT


@dataclass
class Flow:
    """What comes out of a node. columns: None where they are only known with the rows (a pivot, a file that needs its reader).

    batches() may be asked once unless `again`; the first batch may be empty, but there is always one, with the columns.
    to_the_end: all rows have to be read, also by who wants no more of them: somebody looks at each (run.py).
    """

    columns: list[Column] | None
    batches: Callable[[], Iterator[pl.DataFrame]]
    again: bool = False
    to_the_end: bool = False

    @property
    def names(self) -> list[str] | None:
        return None if self.columns is None else [one.name for one in self.columns]


@dataclass
class Context:
    """What a run gives to its parts.

    folder: of temporary files, removed at the end. memory_limit: bytes that the run may take, about; what holds rows keeps
    a share of them in memory (spill.py), the rest goes to the folder.
    hashed: what is written is hashed.
    """

    folder: Any
    memory_limit: int = 2 << 30
    workers: int = 0  # processes for templates that need Python row by row; 0: one per core
    say: Callable[[str], None] = lambda line: None
    hashed: bool = False


def framed(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """A frame of columns under their own names: of a list Polars makes one in which `column_0` takes the place of an empty name."""
    import polars as pl

    listed = list(columns)
    named = {one.name: one for one in listed}
    return pl.DataFrame(named if len(named) == len(listed) else listed)  # two of one name are an error of Polars
