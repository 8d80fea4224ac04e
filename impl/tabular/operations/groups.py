"""One row for each group of rows, and the place of each row in its group."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence, Set
from itertools import chain
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import ANY, FLOAT, INTEGER, OBJECT, STEADY, TEXT, Column, Context, Flow, framed
from impl.tabular.operation import Operation, operation
from impl.tabular.operations.numbers import BLANK, INTEGER_TEXT, numbers
from impl.tabular.operations.tables import as_text, comparable
from impl.tabular.operations.tallies import NUMERIC, PIECE, Created, Tally
from impl.tabular.spec import Spec, nearest
from impl.tabular.spill import Partitions, Sorter, Spool, aligned, compact, gathered, share, size_of

if TYPE_CHECKING:
    import polars as pl

# what documents may write, and what it is
FUNCTIONS = {
    "count": "count", "size": "count", "agg": "agg", "aggregate": "agg", "json_array_agg": "json_array_agg",
    "min": "min", "minimum": "min", "max": "max", "maximum": "max", "sum": "sum", "avg": "mean", "mean": "mean",
    "std": "std", "stdev": "std", "stddev": "std", "var": "var", "variance": "var",
    "str_min": "str_min", "str_minimum": "str_min", "str_max": "str_max", "str_maximum": "str_max",
}  # fmt: skip
_CALL = re.compile(r"([A-Za-z0-9_]*)\(([A-Za-z0-9_]*)?,?(.*)?\)")


@operation("group_by")
class GroupBy(Operation):
    """group_by_columns; create_columns: {new: `function(column, separator)`}. One row a group, sorted by the columns.

    count, size: rows. min, max, sum, mean = avg (the sum divided by all rows), std, var (of a sample): numbers, an empty text
    counts as missing. str_min, str_max: by code points. agg: texts one after the other. json_array_agg: as they are, or
    quoted with `str`. Rows with a missing group column are left out.
    """

    def read(self, spec: Spec) -> None:
        self.kinds: dict[str, str] | None = None  # of the columns that come in, where they are known
        self.by = spec.texts("group_by_columns")
        calls = spec.mapping("create_columns")
        spec.value("repartition", None)
        if not self.by:
            spec.note("`group_by_columns` names no column", "group_by_columns")
        for one in sorted({one for one in self.by if self.by.count(one) > 1}):
            spec.note(f"`{one}` stands twice", "group_by_columns")
        self.calls = {str(name): str(call) for name, call in calls.items()}
        for name, call in self.calls.items():
            if name in self.by:
                spec.note(f"`{name}` is a group column and cannot be created", "create_columns")
            found = _CALL.search(call)
            if found is None:
                spec.note(f"`{call}` of `{name}` is no call", "create_columns", "write it like `agg(column, ;)` or `count()`")
            elif found[1] not in FUNCTIONS:
                spec.note(f"there is no function `{found[1]}` (for `{name}`)", "create_columns", nearest(found[1], FUNCTIONS))

    def _created(self, names: Sequence[str] | None) -> tuple[list[Created], list[tuple[str, str]]]:
        """The columns to make, and what is wrong with them: (what, hint)."""
        made, wrong = [], []
        for name, call in self.calls.items():
            found = _CALL.search(call)
            if found is None or found[1] not in FUNCTIONS:
                continue
            function, column, separator = FUNCTIONS[found[1]], found[2] or "", found[3] or ""
            if function != "count" and names is not None and column not in names:
                # the grammar knows letters, digits and _ ; a column with other characters is taken if its name fits
                inside = call[found.start(2) : found.end() - 1]
                whole = max((one for one in names if inside == one or inside.startswith(f"{one},")), key=len, default="")
                if whole:
                    column, separator = whole, inside[len(whole) + 1 :]
                elif not column:
                    wrong.append((f"`{call}` of `{name}` names no column", "write it like `sum(column)`"))
                else:
                    wrong.append((f"there is no column `{column}` (in `{call}` of `{name}`)", nearest(column, names)))
            made.append(Created(name, function, "" if function == "count" else column, separator))
        return made, wrong

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        kinds = self.kinds = None if given[0] is None else {one.name: one.kind for one in given[0]}
        self.need(self.by, given[0], "group_by_columns")
        made, wrong = self._created(None if kinds is None else list(kinds))
        for what, hint in wrong:
            self.spec.note(what, "create_columns", hint)
        kinds = kinds or {}
        # What comes out stands in pandas as objects, so whole numbers stay whole beside what is missing.
        fixed = {"count": OBJECT, "agg": TEXT, "json_array_agg": TEXT, "mean": FLOAT, "std": FLOAT, "var": FLOAT}
        kept = [Column(one, kinds.get(one, ANY)) for one in self.by]
        for one in made:
            kind = kinds.get(one.column, ANY)
            kind = TEXT if kind == STEADY else kind
            kept.append(Column(one.name, fixed.get(one.function) or (kind if one.function[:4] == "str_" else OBJECT)))
        return kept

    def reads(self, after: Set[str] | None) -> Set[str] | None:
        if self.kinds is None:
            return None
        return {*self.by, *(one.column for one in self._created(list(self.kinds))[0] if one.column)}

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        import polars as pl

        batches = flows[0].batches()
        first = next(batches)
        comparable(self, self.by, first, "group_by_columns")
        made, wrong = self._created(first.columns)
        for what, hint in wrong:
            raise self.failed(what, hint, key="create_columns")
        sorter = Sorter(context, self.by)
        mixed: set[str] = set()
        for groups in self._groups(flows[0], first, batches, made, context, mixed):
            sorter.add(groups)
        for frame in sorter:
            # a column is of whole numbers only if every group of it is
            doubles = [one.name for one in made if one.function in ("min", "max", "sum")]
            chosen = [f"\0{one}" if one not in mixed else one for one in doubles]
            yield frame.with_columns(pl.col(now).alias(one) for one, now in zip(doubles, chosen, strict=True)).select(
                [*self.by, *self.calls]
            )

    def _groups(
        self,
        flow: Flow,
        first: pl.DataFrame,
        batches: Iterator[pl.DataFrame],
        made: Sequence[Created],
        context: Context,
        mixed: set[str],
    ) -> Iterator[pl.DataFrame]:
        """The groups: counted up while rows pass, or if that cannot be, made of rows that are held together."""
        wanted = list(dict.fromkeys([*self.by, *(one.column for one in made if one.column)]))

        def pieces(given: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
            return gathered((one.select(wanted).drop_nulls(self.by) for one in given), lambda: PIECE, context)

        rest = pieces(chain([first], batches))
        if Tally.serves(made, flow.again):
            tally = Tally(context, self.by, made)
            for number, piece in enumerate(rest):
                if not tally.add(piece):
                    tally.close()
                    if number:  # what was counted up is no use: all rows are asked for again
                        if isinstance(batches, Generator):
                            batches.close()
                        rest = pieces(flow.batches())
                    else:
                        rest = chain([piece], rest)
                    break
            else:
                yield from tally.groups(mixed)
                return
        parts = Partitions(context, self.by)
        for piece in rest:
            parts.add(piece)
        for (rows,) in aligned([parts]):
            yield self._aggregate(rows, made, mixed)

    def _aggregate(self, rows: pl.DataFrame, made: Sequence[Created], mixed: set[str]) -> pl.DataFrame:
        """One row a group. min, max and sum are there twice: as floats, and after \\0 as whole numbers where they are."""
        import polars as pl

        expressions: list[pl.Expr] = [pl.len().cast(pl.Int64).alias("\0rows")]
        sources: dict[str, pl.Series] = {}
        numeric = list(dict.fromkeys(one.column for one in made if one.function in NUMERIC))
        for column in numeric:
            floats, integers = numbers(rows[column])
            bad = rows[column].is_not_null() & floats.is_null() & integers.is_null()
            if rows[column].dtype == pl.String:
                bad &= rows[column] != ""
            if bad.any():
                self._no_number(rows, column, int(bad.arg_true()[0]), made)
            sources[f"\0f{column}"], sources[f"\0i{column}"] = floats, integers
            expressions += [pl.col(f"\0f{column}"), pl.col(f"\0i{column}").alias(f"\0i{column}")]
        for one in made:
            if one.function in ("agg", "json_array_agg"):
                quoted = one.function == "json_array_agg" and one.separator == "str"
                if rows[one.column].null_count() and not quoted:
                    row = int(rows[one.column].is_null().arg_true()[0])
                    raise self._wrong(rows, row, one, "a value is missing", "fill it before, for example with `modify_columns`")
                name = f"\0t{one.column}" if not quoted else f"\0q{one.column}"
                if name not in sources:
                    sources[name] = _quoted(rows[one.column]) if quoted else as_text(rows[one.column])
                joined = pl.col(name).str.join(one.separator if one.function == "agg" else ",")
                expressions.append((pl.format("[{}]", joined) if one.function != "agg" else joined).alias(one.name))
            elif one.function == "str_min":
                expressions.append(pl.col(one.column).min().alias(one.name))
            elif one.function == "str_max":
                expressions.append(pl.col(one.column).max().alias(one.name))
            elif one.function == "count":
                expressions.append(pl.len().cast(pl.Int64).alias(one.name))
        keyed = rows.with_columns(series.alias(name) for name, series in sources.items())
        keyed = keyed.rename({one: f"\0k{one}" for one in self.by if f"\0k{one}" not in keyed.columns})
        keys = [f"\0k{one}" for one in self.by]
        keyed = keyed.with_columns(pl.col(key).alias(one) for key, one in zip(keys, self.by, strict=True))
        grouped = keyed.group_by(keys).agg(expressions)
        results = [grouped[key].alias(one) for key, one in zip(keys, self.by, strict=True)]
        computed = {column: _Numbers(grouped, column, rows.schema[column]) for column in numeric}
        for one in made:
            if one.function not in NUMERIC:
                results.append(grouped[one.name])
                continue
            found = computed[one.column]
            floats = found.float_result(one.function)
            if one.function in ("min", "max", "sum"):
                whole = found.whole_result(one.function)
                if rows.schema[one.column] == pl.Boolean and one.function != "sum":
                    whole = whole.cast(pl.Boolean)
                    floats = as_text(whole).zip_with(whole.is_not_null(), as_text(floats))
                results.append(whole.alias(f"\0{one.name}"))
                if not found.whole.all():
                    mixed.add(one.name)
            results.append(floats.alias(one.name))
        return framed(results)

    def _no_number(self, rows: pl.DataFrame, column: str, row: int, made: Sequence[Created]) -> None:
        one = next(one for one in made if one.column == column and one.function in NUMERIC)
        text = str(rows[column][row])
        what = "a whole number is too large" if re.match(INTEGER_TEXT, text.strip(BLANK)) else "a value is no number"
        raise self._wrong(
            rows, row, one, what, f"`{one.function}` wants numbers; mend the values before, or use `str_min`, `str_max`"
        )

    def _wrong(self, rows: pl.DataFrame, row: int, one: Created, what: str, hint: str) -> Exception:
        group = ", ".join(f"{key} = {rows[key][row]!r}" for key in self.by)
        return self.failed(
            f"{what}: column `{one.column}`, group {group}", hint, value=rows[one.column][row], key="create_columns"
        )


class _Numbers:
    """The numbers of one column, group by group: flat arrays, and where each group starts. single: they have 32 bits."""

    def __init__(self, grouped: pl.DataFrame, column: str, dtype: pl.DataType) -> None:
        import numpy as np
        import polars as pl

        self.single = dtype == pl.Float32

        lengths = grouped["\0rows"].to_numpy()
        self.rows = lengths
        self.starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(lengths) else lengths
        lists = grouped[f"\0i{column}"]
        self.integers = lists.explode()
        given = self.integers.is_not_null().to_numpy()
        self.whole = np.logical_and.reduceat(given, self.starts) if len(lengths) else np.zeros(0, bool)
        floats = grouped[f"\0f{column}"].explode().to_numpy().astype(np.float64)
        self.whole_values = self.integers.fill_null(0).to_numpy()
        # in a group of whole numbers it is those that become floats, not their texts
        in_whole = np.repeat(self.whole, lengths)
        self.values = np.where(in_whole, self.whole_values.astype(np.float64), floats)

    def whole_result(self, function: str) -> pl.Series:
        """min, max or sum of each group of whole numbers (that wraps around, as pandas' does); missing for others."""
        import numpy as np
        import polars as pl

        if not len(self.rows):
            return pl.Series([], dtype=pl.Int64)
        reduce = {"min": np.minimum, "max": np.maximum, "sum": np.add}[function]
        found = reduce.reduceat(self.whole_values, self.starts)
        return pl.Series(found).set(~pl.Series(self.whole), None)

    def float_result(self, function: str) -> pl.Series:
        """What pandas gives, to the last digit; missing if there is no value (but a sum of none is 0)."""
        import numpy as np
        import polars as pl

        if not len(self.rows):
            return pl.Series([], dtype=pl.Float64)
        with np.errstate(all="ignore"):
            found = self._float(function)
            found = found.astype(np.float32) if self.single else found
        return pl.Series(found, dtype=pl.Float64).fill_nan(None)

    def _float(self, function: str) -> Any:
        import numpy as np

        missing = np.isnan(self.values)
        count = np.add.reduceat(~missing, self.starts, dtype=np.int64)
        if function in ("min", "max"):
            edge, reduce = (np.inf, np.minimum) if function == "min" else (-np.inf, np.maximum)
            found = reduce.reduceat(np.where(missing, edge, self.values), self.starts)
            whole = {"min": np.minimum, "max": np.maximum}[function].reduceat(self.whole_values, self.starts)
            return np.where(self.whole, whole.astype(np.float64), np.where(count == 0, np.nan, found))
        filled = np.where(missing, 0.0, self.values)
        total = sums(filled.astype(np.float32) if self.single else filled, self.starts)
        if function in ("sum", "mean"):
            whole = np.add.reduceat(self.whole_values, self.starts).astype(np.float64)
            total = np.where(self.whole, whole, total).astype(total.dtype)
            return total / self.rows.astype(total.dtype) if function == "mean" else total
        # pandas has bottleneck compute these, one value after the other, as bincount does
        groups = np.repeat(np.arange(len(self.rows)), self.rows)
        mean = np.bincount(groups, filled, len(self.rows)) / count
        squares = np.where(missing, 0.0, (self.values - mean[groups]) ** 2)
        found = np.where(count > 1, np.bincount(groups, squares, len(self.rows)) / (count - 1), np.nan)
        return np.sqrt(found) if function == "std" else found


def sums(values: Any, starts: Any) -> Any:
    """The sum of each stretch of an array as `numpy.sum` has it: pairwise, so that the last digit is the same, and never -0.0.

    `reduceat` takes the first value of a stretch as it is and sums the others; with a -0.0 before each stretch, all of them.
    """
    import numpy as np

    with_zeros = np.insert(values, starts, -0.0)
    return np.add.reduceat(with_zeros, starts + np.arange(len(starts))) + values.dtype.type(0)


def _quoted(column: pl.Series) -> pl.Series:
    """Each value as pandas writes it in JSON: non-ASCII escaped, `/` too; missing is `null`."""
    import polars as pl

    def quote(value: Any) -> str:
        if value is None or value != value:
            return "null"
        return json.dumps(round(value, 10) if isinstance(value, float) else value).replace("/", "\\/")

    texts = {one: quote(one) for one in column.unique().to_list()}
    return pl.Series([texts[one] for one in column.to_list()], dtype=pl.String)


@operation("group_by_with_rank")
class Rank(Operation):
    """group_by_columns, rank_column: how many rows of the group came before, from 0.

    Rows with a missing group column have no rank; with one of those in the table ranks are floats, as pandas keeps them.
    """

    def read(self, spec: Spec) -> None:
        self.by, self.rank = spec.texts("group_by_columns"), spec.text("rank_column")
        spec.value("repartition", None)
        if not self.by:
            spec.note("`group_by_columns` names no column", "group_by_columns")

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        if given[0] is None:
            return None
        self.need(self.by, given[0], "group_by_columns")
        kept = [Column(one.name, INTEGER) if one.name == self.rank else one for one in given[0]]
        return kept if any(one.name == self.rank for one in kept) else [*kept, Column(self.rank, INTEGER)]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """Counts of the groups seen are held; rows go to a spool, as only the last one tells whether ranks are floats."""
        import polars as pl

        by, spool, missing, start = list(dict.fromkeys(self.by)), Spool(context), False, 0
        batches = flows[0].batches()
        first = next(batches)
        comparable(self, by, first, "group_by_columns")
        present = pl.all_horizontal(pl.col(one).is_not_null() for one in by)

        def ranked(batch: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
            rows = batch.join(seen, on=by, how="left", nulls_equal=True, maintain_order="left")
            within = pl.int_range(pl.len(), dtype=pl.Int64).over(by) + pl.col("\0before").fill_null(0)
            return rows.with_columns(pl.when(present).then(within).alias("\0rank")).drop("\0before")

        # in a list, as the reader of batches asks for its height
        seen = [first.select(by).clear().with_columns(pl.lit(0, pl.Int64).alias("\0before"))]
        for batch in gathered(chain([first], batches), lambda: seen[0].height, context):
            missing = missing or batch.select(by).null_count().sum_horizontal().item() > 0
            spool.add(ranked(batch, seen[0]))
            counts = batch.filter(present).group_by(by).agg(pl.len().cast(pl.Int64).alias("\0before"))
            seen[0] = compact(pl.concat([seen[0], counts]).group_by(by).agg(pl.col("\0before").sum()))
            if size_of(seen[0]) > share(context) // 4:  # what looks values up takes several times their size
                break
        rest, before = Partitions(context, by), Partitions(context, by)
        for batch in batches:
            missing = missing or batch.select(by).null_count().sum_horizontal().item() > 0
            rest.add(batch.with_columns(pl.int_range(start, start + batch.height, dtype=pl.Int64).alias("\0row")))
            start += batch.height
        if start:
            before.add(seen.pop())
            sorter = Sorter(context, ["\0row"])
            for rows, counts in aligned([rest, before]):
                sorter.add(ranked(rows, counts))
            for frame in sorter:
                spool.add(frame.drop("\0row"))
        for frame in spool:
            column = pl.col("\0rank").cast(pl.Float64 if missing else pl.Int64)
            yield frame.with_columns(column.alias(self.rank)).drop("\0rank")
        spool.close()
