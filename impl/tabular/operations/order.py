"""The order of rows, and rows that are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import STEADY, Column, Context, Flow
from impl.tabular.operation import Operation, operation
from impl.tabular.operations.tables import ONE_PARTITION, comparable
from impl.tabular.spec import Spec
from impl.tabular.spill import Partitions, Sorter, Spool, aligned, compact, gathered, placed, share, size_of

if TYPE_CHECKING:
    import polars as pl


@operation("sort_rows")
class Sort(Operation):
    """columns: `c` or `+c` ascending, `-c` descending; descending: True turns all. Text by code points, nulls last."""

    def read(self, spec: Spec) -> None:
        given = spec.texts("columns")
        down = spec.value("descending", False) is True
        spec.value("repartition", None)
        self.by: dict[str, bool] = {}
        for one in given:
            name = one[1:] if one[:1] in ("+", "-") else one
            self.by.setdefault(name, down or one.startswith("-"))

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        self.need(list(self.by), given[0], "columns")
        return given[0]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """By several columns, or a steady one, equal rows keep their order; by one they are as the peer leaves them (see `ties`)."""
        if not self.by:
            yield from flows[0].batches()
            return
        (name, *more), down = self.by, next(iter(self.by.values()))
        sorter = Sorter(context, list(self.by), list(self.by.values()))
        steady = Column(name, STEADY) in (flows[0].columns or ())
        keys: list[pl.Series] | None = None if more or steady else []
        spool, rows = Spool(context), 0
        for batch in flows[0].batches():
            comparable(self, list(self.by), batch, "columns")
            rows += batch.height
            if keys is not None and (rows > ONE_PARTITION or not _is_text(batch[name])):
                for frame in spool:
                    sorter.add(frame)
                spool.close()
                keys = None
            if keys is None:
                sorter.add(batch)
            else:
                keys.append(batch[name])
                spool.add(batch)
        if keys is None:
            yield from sorter
        elif not rows:
            yield from spool
        else:
            yield from placed(spool, ties(keys, down), context)


def _first(frame: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The first of rows that are equal in some columns, in their order."""
    import polars as pl

    schema = frame.schema
    if any(schema[name] != pl.String for name in by):
        return frame.unique(by, keep="first", maintain_order=True)
    # the same for texts, in two thirds of the time
    return frame.filter((pl.struct(by) if len(by) > 1 else pl.col(by)).is_first_distinct())


def _is_text(column: pl.Series) -> bool:
    return str(column.dtype) in ("String", "Null")


def ties(keys: list[pl.Series], descending: bool) -> Any:
    """The place of each row after the peer's sort by one column of text.

    It uses numpy's introsort, which leaves equal rows in a fixed but odd order; only the comparisons matter to it, so whole
    numbers in the order of the texts stand for them.
    """
    import numpy as np
    import polars as pl

    key = pl.concat(keys)
    missing = key.is_null().to_numpy()
    codes = key.rank("dense").fill_null(0).to_numpy()
    rows = np.flatnonzero(~missing)
    if len(np.unique(codes[rows])) == len(rows):
        order = rows[np.argsort(codes[rows], kind="stable")]
        order = order[::-1] if descending else order
    else:
        turned = rows[::-1] if descending else rows
        order = turned[codes[turned].astype(object).argsort(kind="quicksort")]
        order = order[::-1] if descending else order
    order = np.concatenate([order, np.flatnonzero(missing)])
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


@operation("distinct_rows")
class Distinct(Operation):
    """column or columns: what has to differ (default: all). The first of equal rows stays, in its place."""

    def read(self, spec: Spec) -> None:
        column, columns = spec.text("column", None), spec.texts("columns", [])
        spec.value("repartition", None)
        self.key = "column" if column else "columns"
        self.by = [column] if column else list(dict.fromkeys(columns))

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        self.need(self.by, given[0], self.key)
        return given[0]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """Rows pass while the values seen fit in memory; after that they are split by hash, and put in order at the end."""
        import polars as pl

        batches = flows[0].batches()
        first = next(batches)
        by = self.by or first.columns
        comparable(self, by, first, self.key)
        yield first.clear()
        if not by:
            return
        seen = [first.select(by).clear()]  # in a list, as the reader of batches asks for its height
        for batch in gathered(chain([first], batches), lambda: seen[0].height, context):
            new = _first(batch, by)
            new = new.join(seen[0], on=by, how="anti", nulls_equal=True, maintain_order="left")
            yield new
            seen[0] = pl.concat([seen[0], compact(new.select(by))])
            if size_of(seen[0]) > share(context) // 4:  # what looks values up takes several times their size
                break
        parts, start = Partitions(context, by), 0
        passed = pl.concat([first.clear(), *seen], how="diagonal").with_columns(pl.lit(-1, pl.Int64).alias("\0row"))
        seen.clear()
        for batch in batches:
            if not start:
                parts.add(passed)
            parts.add(batch.with_columns(pl.int_range(start, start + batch.height, dtype=pl.Int64).alias("\0row")))
            start += batch.height
        if not start:
            parts.close()
            return
        del passed
        sorter = Sorter(context, ["\0row"])
        for (rows,) in aligned([parts]):
            sorter.add(_first(rows, by).filter(pl.col("\0row") >= 0))
        for frame in sorter:
            yield frame.drop("\0row")
