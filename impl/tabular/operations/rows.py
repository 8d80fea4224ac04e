"""Operations on rows: which of them stay, several from one, and a look at them."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from impl.tabular import query
from impl.tabular.flow import BOOLEAN, FLOAT, INTEGER, STEADY, TEXT, Column, Context, Flow
from impl.tabular.operation import Operation, RowWise, operation
from impl.tabular.spec import Spec, nearest

if TYPE_CHECKING:
    import polars as pl

_LEFT, _RIGHT, _TRIM = "[\"'", "\"']", " \t\r\n\"'"


@operation("filter_rows")
class FilterRows(Operation):
    """The rows of which a query is true (`include`) or not (`exclude`). The language is that of pandas: see query.py.

    A query that looks at each row by itself works on each batch (`_FilterEach`); any other needs all rows at once.
    """

    def __new__(cls, spec: Spec) -> FilterRows:
        try:
            each_row = query.parse(str(spec.options.get("query", ""))).each_row
        except query.QueryError:
            each_row = True  # read() says what is wrong
        return object.__new__(_FilterEach if each_row and cls is FilterRows else cls)

    def read(self, spec: Spec) -> None:
        self.row = 0
        text = spec.text("query")
        behavior = spec.choice("behavior", ("include", "exclude"))
        try:
            self.query = query.parse(text, exclude=behavior == "exclude")
        except query.QueryError as error:
            spec.wrong(error.what, "query", error.hint)

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        if given[0] is None:
            return None
        names = [one.name for one in given[0]]
        absent = query.columns(self.query, names)
        for one in absent:
            self.spec.note(f"there is no column `{one}`", "query", _hint(one, names))
        kinds = {one.name: one.kind for one in given[0]}
        if not absent and all(kinds.get(one, TEXT) in (TEXT, STEADY, INTEGER, FLOAT) for one in self.query.names.values()):
            try:
                query.check(self.query, _types(kinds))
            except query.QueryError as error:
                self.spec.note(error.what, "query", error.hint)
        return given[0]

    def reads(self, after: Set[str] | None) -> Set[str] | None:
        return None if after is None else {*after, *self.query.names.values()}

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        import polars as pl

        context.say(f"warning: {self.spec.where('query')}: the query looks at other rows too, so all rows are held in memory")
        self.row = 0
        yield self.kept(pl.concat(list(flows[0].batches()), how="vertical_relaxed"))

    def kept(self, batch: pl.DataFrame) -> pl.DataFrame:
        for one in query.columns(self.query, batch.columns):
            raise self.failed(f"there is no column `{one}`", _hint(one, batch.columns), key="query")
        try:
            return query.keep(self.query, batch)
        except query.QueryError as error:
            row = None if error.row is None else self.row + error.row + 1
            raise self.failed(error.what, error.hint, row, key="query") from error


class _FilterEach(RowWise, FilterRows):
    """A query that is answered row by row."""

    def begin(self, context: Context) -> None:
        self.row = 0

    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        kept = self.kept(batch)
        self.row += batch.height
        return kept


def _hint(name: str, names: list[str]) -> str:
    """A word that is no column may be a text without its quotes."""
    hint = nearest(name, names)
    return hint if hint.startswith("did") else f"{hint}; a text stands in quotes: '{name}'"


def _types(kinds: dict[str, str]) -> dict[str, pl.DataType]:
    import polars as pl

    types = {INTEGER: pl.Int64(), FLOAT: pl.Float64(), BOOLEAN: pl.Boolean()}
    return {name: types.get(kind, pl.String()) for name, kind in kinds.items()}


@operation("limit_rows")
class LimitRows(Operation):
    """`count` rows after the first `offset`.

    Where there are fewer than count + offset rows, the strict result is the last `count` of all rows, with a warning;
    with another `compat` it is what is left after the first `offset`.
    """

    def read(self, spec: Spec) -> None:
        self.count, self.offset = spec.count("count", least=1), spec.count("offset", 0)
        self.strict = getattr(spec, "compat", "strict") == "strict"

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        return given[0]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        end, seen, sent = self.offset + self.count, 0, False
        last: deque[pl.DataFrame] = deque()  # the last `count` rows, as long as it is open where the result begins
        held, empty = 0, None
        for batch in flows[0].batches():
            empty = batch.head(0) if empty is None else empty
            batch = batch.head(end - seen)
            seen += batch.height
            if batch.height and (self.offset == 0 or not self.strict):
                passed = batch.tail(max(0, seen - max(self.offset, seen - batch.height)))
                if passed.height:
                    sent = True
                    yield passed
            elif batch.height:
                last.append(batch)
                held += batch.height
                while last and held - last[0].height >= self.count:
                    held -= last.popleft().height
            if seen >= end:
                break
        if last:
            if seen < end:
                what = f"there are {seen:,} rows, fewer than offset + count = {end:,}: the last {min(seen, self.count):,} of them pass"
                context.say(f"warning: {self.spec.where('offset')}: {what}")
            last[0] = last[0].tail(last[0].height - max(0, held - self.count))
            yield from last
        elif not sent and empty is not None:
            yield empty


@operation("flatten")
class Flatten(RowWise):
    """One row for each piece of a text: `["a", "b"]` gives a and b. The other columns are repeated; the pieces are last.

    left_wrapper, right_wrapper: characters that go from either end of the text, in any order and number; trim_whitespace:
    the same for each piece. separator: one character, or a regular expression where it is longer. A text without one is one
    piece, an empty text an empty piece, and a missing value stays missing.
    """

    def read(self, spec: Spec) -> None:
        self.column, self.new = spec.text("flatten_column"), spec.text("value_column")
        self.left, self.right = spec.text("left_wrapper", _LEFT), spec.text("right_wrapper", _RIGHT)
        self.trim, self.separator = spec.text("trim_whitespace", _TRIM), spec.text("separator", ",")
        try:
            self.pattern = re.compile(self.separator)
        except re.error as error:
            if len(self.separator) != 1:
                spec.wrong(f"`{self.separator}` is no regular expression: {error}", "separator")

    def problem(self, names: list[str]) -> tuple[str, str, str] | None:
        """What is wrong with these columns, the option, and a hint."""
        if self.column not in names:
            return f"there is no column `{self.column}`", "flatten_column", nearest(self.column, names)
        if self.new in names:
            return f"there is a column `{self.new}` already", "value_column", "choose another name"
        return None

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        if given[0] is None:
            return None
        problem = self.problem([one.name for one in given[0]])
        if problem:
            self.spec.note(*problem)
        return [one for one in given[0] if one.name not in (self.column, self.new)] + [Column(self.new, STEADY)]

    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        problem = self.problem(batch.columns)
        if problem:
            raise self.failed(problem[0], problem[2], key=problem[1])
        text = pl.col(self.new)
        if self.left:
            text = text.str.strip_chars_start(self.left)
        if self.right:
            text = text.str.strip_chars_end(self.right)
        made = batch.drop(self.column).with_columns(_texts(batch[self.column]).alias(self.new)).with_columns(text)
        if len(self.separator) == 1:
            made = made.with_columns(pl.col(self.new).str.split(self.separator))
        else:
            pieces = [None if one is None else self.split(one) for one in made[self.new].to_list()]
            made = made.with_columns(pl.Series(self.new, pieces, dtype=pl.List(pl.String)))
        made = made.explode(self.new)
        return made.with_columns(pl.col(self.new).str.strip_chars(self.trim)) if self.trim else made

    def split(self, text: str) -> list[str]:
        """The pieces; what a group of the expression matches is one too."""
        return [one for one in self.pattern.split(text) if one is not None]


def _texts(column: pl.Series) -> pl.Series:
    """Each value as Python writes it: a list with brackets and quotes."""
    import polars as pl

    if column.dtype == pl.String:
        return column
    return pl.Series(column.name, [None if one is None else str(one) for one in column.to_list()], dtype=pl.String)


@operation("debug")
class Debug(Operation):
    """Prints rows (`head`, `tail`), a summary (`describe`) or the names of the columns on stdout; all rows pass.

    rows: how many of head or tail; transpose: a line for each column; keep_columns, skip_columns: which are printed.
    """

    def read(self, spec: Spec) -> None:
        self.function = spec.choice("function", ("head", "tail", "describe", "columns"), "head")
        self.rows = spec.count("rows", 5)
        self.kept, self.skipped = spec.texts("keep_columns", []), spec.texts("skip_columns", [])
        self.transpose = spec.flag("transpose")

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        return given[0]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        import polars as pl

        number = f" {self.rows}" if self.function in ("head", "tail") else ""
        title = (
            f"debug ({self.function}{number}{', Transpose' if self.transpose else ''}) for {self.spec.ref.removeprefix('$')}:"
        )
        held: list[pl.DataFrame] = []
        height, seen, shown = 0, 0, False
        for batch in flows[0].batches():
            names = [one for one in batch.columns if (not self.kept or one in self.kept) and one not in self.skipped]
            if self.function == "columns":
                if not shown:
                    context.say(title)
                    sys.stdout.write(f"{batch.columns}\n")
                    shown = True
            elif not shown:
                held.append(batch.select(names))
                seen += batch.height
                height += batch.height
                if self.function == "tail":
                    while len(held) > 1 and height - held[0].height >= self.rows:
                        height -= held.pop(0).height
                elif self.function == "head" and height >= self.rows:
                    context.say(title)
                    self.show(pl.concat(held, how="vertical_relaxed").head(self.rows), 0)
                    shown, held = True, []
            yield batch
        if not shown:
            context.say(title)
            table = pl.concat(held, how="vertical_relaxed")
            table = table.tail(self.rows) if self.function == "tail" else table
            self.show(table, seen - table.height)

    def show(self, table: pl.DataFrame, first: int) -> None:
        """Print it as pandas does. first: the number of its first row, from 0."""
        import pandas

        frame = pandas.DataFrame(
            {name: query.to_pandas(table[name]) for name in table.columns},
            index=range(table.height),
            columns=pandas.Index(table.columns, dtype=object),
        )
        frame.index = pandas.RangeIndex(first, first + table.height)
        if self.function == "describe":
            frame = frame.describe()
        if self.transpose:
            frame = frame.transpose().reset_index(names="column")
        sys.stdout.write(frame.to_string(index=False) + "\n")
