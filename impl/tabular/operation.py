"""What an operation is: it reads its options, says which columns come out, and works on batches.

A class per operation in `operations/*.py`, registered under the name that documents use:

    @operation("rename_columns")
    class Rename(RowWise):
        def read(self, spec): self.renames = spec.mapping("columns")
        def columns(self, given): ...          # problems with columns are found here, before any row
        def apply(self, batch): ...            # RowWise: each batch by itself, order kept

    @operation("sort_rows")
    class Sort(Operation):
        def run(self, flows, context): ...     # all others: batches in, batches out
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from fnmatch import translate
from typing import TYPE_CHECKING, Any, ClassVar

from impl.run.errors import EtlError
from impl.tabular.flow import Column, Context, Flow
from impl.tabular.spec import Spec, nearest

if TYPE_CHECKING:
    import polars as pl

OPERATIONS: dict[str, type[Operation]] = {}


class Operation(ABC):
    """One operation of a transformation. `sources`: further nodes that it reads (`$sources.x`), for union and join."""

    name: ClassVar[str] = ""
    sources: Sequence[str] = ()

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.read(spec)
        spec.done(also=("operation", "repartition", *(("sources",) if self.sources else ())))

    def read(self, spec: Spec) -> None:  # noqa: B027 - not all have options
        """Take the options; what is wrong is noted in `spec`."""

    @abstractmethod
    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        """The columns that come out, from those of the main input and of `sources`; None where only rows tell.

        Unknown columns are noted as problems here if the input's columns are known, else raised when rows come.
        """

    def reads(self, after: Set[str] | None) -> Set[str] | None:
        """The columns of the main input that are read where `after` are read of what comes out; None: all of them.

        Only asked after `columns`. What nobody reads does not have to be made: a source can leave it in its file.
        """
        return None

    @abstractmethod
    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """The rows that come out, from those of the main input and of `sources`."""

    def failed(self, what: str, hint: str = "", row: int | None = None, value: Any = None, key: Any = None) -> EtlError:
        """The error of this operation while rows flow: it names file, line, node, operation, row (from 1) and value."""
        where = self.spec.where(key)
        if row is not None:
            where += f", row {row:,}"
        if value is not None:
            where += f": `{str(value)[:200]}`"
        return EtlError(what, where=where, hint=hint or None)

    def need(self, wanted: Sequence[str], given: Sequence[Column] | None, key: Any = None) -> None:
        """Note a problem for each wanted column that is not given."""
        if given is not None:
            names = [one.name for one in given]
            for one in wanted:
                if one not in names:
                    self.spec.note(f"there is no column `{one}`", key, nearest(one, names))


class RowWise(Operation):
    """Works on each batch by itself and keeps the order of rows. Neighbours in a document run in one pass."""

    @abstractmethod
    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        """One batch in, one out."""

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        self.begin(context)
        for batch in flows[0].batches():
            yield self.apply(batch)

    def begin(self, context: Context) -> None:
        """Before the first batch of a run; `self.row` may count rows from here."""


def operation(name: str) -> Callable[[type[Operation]], type[Operation]]:
    """Register a class under the name that documents use."""

    def register(made: type[Operation]) -> type[Operation]:
        made.name = name
        OPERATIONS[name] = made
        return made

    return register


def matching(pattern: str, names: Collection[str]) -> list[str]:
    """The names that a name with * ? [] stands for, in their order. A mapping or set of names is the faster one to look in."""
    if not _WILD.search(pattern):
        return [pattern] if pattern in names else []
    matches = re.compile(translate(pattern)).match
    return [one for one in names if matches(one)]


_WILD = re.compile(r"[*?\[]")
