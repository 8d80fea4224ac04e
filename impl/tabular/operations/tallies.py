"""Groups that are counted up while rows pass: what is held grows with the number of groups, not with that of rows.

Counts, smallest and largest values can always be had so. A sum depends on the order in which floats are added, in its last
digit, so only whole numbers are added up here; the sum of other numbers needs all rows of a group (`groups.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impl.tabular.flow import Context
from impl.tabular.operations.numbers import numbers, short_whole_numbers
from impl.tabular.spill import Partitions, aligned, share, size_of

if TYPE_CHECKING:
    import polars as pl

NUMERIC = ("min", "max", "sum", "mean", "std", "var")
ALWAYS = ("count", "str_min", "str_max")  # whatever the values are
TALLIED = (*ALWAYS, "min", "max", "sum", "mean")
PIECE = 250_000  # rows that are counted at once, about: each piece makes a row for each of its groups
EXACT = 2**53  # whole numbers up to here are floats without loss


@dataclass(frozen=True)
class Created:
    """A column that is made: its name, what is done, with which column; separator: of `agg`, or `str` for JSON texts."""

    name: str
    function: str
    column: str = ""
    separator: str = ""


class Tally:
    """One row for each group seen, with what is needed of it.

    Columns beside the keys, of column c: rows; w.c how many whole numbers; s.c their sum; i.c and I.c the smallest and
    largest of them; f.c and F.c the smallest and largest of all numbers; t.c and T.c the first and last of texts. All names
    begin with \\0.
    """

    def __init__(self, context: Context, by: Sequence[str], made: Sequence[Created]) -> None:
        self.context, self.by, self.made = context, list(by), made
        functions: dict[str, set[str]] = {}
        for one in made:
            functions.setdefault(one.column, set()).add(one.function)
        self.added = [column for column, found in functions.items() if found & {"sum", "mean"}]
        self.compared = [column for column, found in functions.items() if found & {"min", "max"} and column not in self.added]
        self.largest = dict.fromkeys(self.added, 0)
        self.missing = dict.fromkeys(self.added, False)
        self.rows = 0
        self.held: list[pl.DataFrame] = []
        self.loose = self.merged = 0  # rows that are held: not merged yet, and merged
        self.parts = Partitions(context, by)
        self.summed, self.least, self.most = self._columns()

    @staticmethod
    def serves(made: Sequence[Created], again: bool) -> bool:
        """Whether these can be counted up. again: rows can be had once more if the values turn out to be others."""
        return all(one.function in (TALLIED if again else ALWAYS) for one in made)

    def _columns(self) -> tuple[list[str], list[str], list[str]]:
        """The columns that are summed, and those of which the smallest and the largest count."""
        summed, least, most = ["\0rows"], [], []
        for one in self.made:
            if one.function in NUMERIC:
                summed.append(f"\0w.{one.column}")
            if one.function in ("sum", "mean"):
                summed.append(f"\0s.{one.column}")
            numeric = [f"i.{one.column}"] + [f"f.{one.column}"] * (one.column in self.compared)
            if one.function == "min":
                least += [f"\0{name}" for name in numeric]
            elif one.function == "max":
                most += [f"\0{name.replace('i.', 'I.', 1).replace('f.', 'F.', 1)}" for name in numeric]
            elif one.function == "str_min":
                least.append(f"\0t.{one.column}")
            elif one.function == "str_max":
                most.append(f"\0T.{one.column}")
        return tuple(list(dict.fromkeys(names)) for names in (summed, least, most))  # type: ignore[return-value]

    def add(self, rows: pl.DataFrame) -> bool:
        """Count these rows in. False, and nothing is counted, if their numbers are not for counting up."""
        import polars as pl

        self.rows += rows.height
        sources: dict[str, pl.Series] = {}
        for column in self.added:
            whole = self._whole(rows[column])
            if whole is None or not self._adds_up(column, whole):
                return False
            sources[f"\0i.{column}"] = whole
        for column in self.compared:
            if rows[column].dtype == pl.Boolean:  # the smallest of True and False is no number
                return False
            floats, whole = numbers(rows[column])
            known = floats.is_not_null() | rows[column].is_null()
            if rows[column].dtype == pl.String:
                known |= rows[column] == ""
            # which of 0.0 and -0.0 is the smaller depends on their order
            if not known.all() or ((floats == 0) & (1 / floats < 0)).any():
                return False
            sources[f"\0i.{column}"], sources[f"\0f.{column}"] = whole, floats
        self._keep(self._counted(rows, sources))
        return True

    def _whole(self, column: pl.Series) -> pl.Series | None:
        """Whole numbers, or None if there are others."""
        import polars as pl

        if column.dtype == pl.String:
            return short_whole_numbers(column)
        signed = column.dtype.is_signed_integer() or column.dtype in (pl.UInt8, pl.UInt16, pl.UInt32)
        return column.cast(pl.Int64) if signed else None

    def _adds_up(self, column: str, whole: pl.Series) -> bool:
        """Whether the sum is the same in any order: a group with missing values is one of floats."""
        least, most = whole.min(), whole.max()
        if isinstance(least, int) and isinstance(most, int):
            self.largest[column] = max(self.largest[column], abs(least), abs(most))
        self.missing[column] = self.missing[column] or whole.null_count() > 0
        return not self.missing[column] or self.largest[column] * self.rows < EXACT

    def _counted(self, rows: pl.DataFrame, sources: dict[str, pl.Series]) -> pl.DataFrame:
        """A row for each group of these rows."""
        import polars as pl

        def made(name: str) -> pl.Expr:
            kind, column = name[1], name[3:]
            if kind in "wsiI":
                source = pl.col(f"\0i.{column}")
            else:
                source = pl.col(f"\0f.{column}") if kind in "fF" else pl.col(f"\0t.{column}")
            work = {"w": pl.Expr.count, "s": pl.Expr.sum}.get(kind) or (pl.Expr.min if kind.islower() else pl.Expr.max)
            found = work(source)
            return (found.cast(pl.Int64) if kind == "w" else found).alias(name)

        # texts under names of their own: a column of the table may be a key too
        texts = {name[3:] for name in [*self.least, *self.most] if name[1] in "tT"}
        table = rows.select(self.by).with_columns(series.alias(name) for name, series in sources.items())
        table = table.with_columns(rows[column].alias(f"\0t.{column}") for column in texts)
        return table.group_by(self.by).agg(
            pl.len().cast(pl.Int64).alias("\0rows"), *(made(name) for name in [*self.summed[1:], *self.least, *self.most])
        )

    def _keep(self, counted: pl.DataFrame) -> None:
        self.held.append(counted)
        self.loose += counted.height
        if self.loose > max(PIECE, 2 * self.merged):
            one = self._together(self.held)
            self.held, self.loose, self.merged = [one], 0, one.height
            if size_of(one) > share(self.context) // 2:
                self.parts.add(one)
                self.held, self.merged = [], 0

    def _together(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        import polars as pl

        return (
            pl.concat(frames)
            .group_by(self.by)
            .agg(
                [
                    pl.col(self.summed).sum(),
                    *(pl.col(one).min() for one in self.least),
                    *(pl.col(one).max() for one in self.most),
                ]
            )
        )

    def groups(self, mixed: set[str]) -> Iterator[pl.DataFrame]:
        """The created columns: min, max and sum as floats, and after \\0 as whole numbers where they are. Closes the tally.

        mixed: gets the names of those that are not whole in every group.
        """
        for one in self.held:
            self.parts.add(one)
        self.held = []
        for (rows,) in aligned([self.parts]):
            yield self._finished(self._together([rows]), mixed)

    def _finished(self, groups: pl.DataFrame, mixed: set[str]) -> pl.DataFrame:
        import polars as pl

        made: list[pl.Expr] = []
        for one in self.made:
            column = one.column
            if one.function == "count":
                made.append(pl.col("\0rows").alias(one.name))
            elif one.function in ("str_min", "str_max"):
                made.append(pl.col(f"\0{'t' if one.function == 'str_min' else 'T'}.{column}").alias(one.name))
            elif one.function == "mean":
                made.append((pl.col(f"\0s.{column}").cast(pl.Float64) / pl.col("\0rows").cast(pl.Float64)).alias(one.name))
            else:
                whole = pl.col(f"\0w.{column}") == pl.col("\0rows")
                number, of_all = {"sum": ("s", ""), "min": ("i", "f"), "max": ("I", "F")}[one.function]
                found = pl.col(f"\0{number}.{column}")
                floats = found.cast(pl.Float64)
                if column in self.compared:
                    floats = pl.when(whole).then(floats).otherwise(pl.col(f"\0{of_all}.{column}"))
                made += [floats.alias(one.name), pl.when(whole).then(found).alias(f"\0{one.name}")]
                if not (groups[f"\0w.{column}"] == groups["\0rows"]).all():
                    mixed.add(one.name)
        return groups.select([*self.by, *made])

    def close(self) -> None:
        self.held = []
        self.parts.close()
