"""Several tables into one: one below the other, or side by side by keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import ANY, BATCH, BOOLEAN, FLOAT, INTEGER, OBJECT, STEADY, TEXT, TIME, Column, Context, Flow
from impl.tabular.operation import Operation, operation
from impl.tabular.spec import Spec, nearest
from impl.tabular.spill import Partitions, Sorter, Spool, aligned, gathered

if TYPE_CHECKING:
    import polars as pl

ONE_PARTITION = 1_000_000  # rows: what the peer handles in one piece, where its order of rows is fixed
Wrong = Callable[[str, str, str], None]


def known(operation: Operation, wanted: Sequence[str], names: Sequence[str], key: str) -> None:
    """Raise for the first wanted column that is not there: for tables whose columns are only known with their rows."""
    there = set(names)
    for one in wanted:
        if one not in there:
            raise operation.failed(f"there is no column `{one}`", nearest(one, names), key=key)


def comparable(operation: Operation, wanted: Sequence[str], frame: pl.DataFrame, key: str) -> None:
    """Raise for the first wanted column that is not there, or whose values cannot be told apart, sorted or matched."""
    import polars as pl

    known(operation, wanted, frame.columns, key)
    schema = frame.schema
    for one in wanted:
        if schema[one] == pl.Object:
            what = f"`{one}` holds lists, mappings or values of several types, which cannot be compared"
            raise operation.failed(what, f"make it text before: `modify_columns` with `{one}: '{{{{value}}}}'`", key=key)


def kind_of(column: pl.Series) -> str:
    """The kind of a column of a batch."""
    dtype = column.dtype
    if str(dtype) in ("String", "Null"):
        return TEXT
    if dtype.is_integer():
        return INTEGER
    if dtype.is_float():
        return FLOAT
    return BOOLEAN if str(dtype) == "Boolean" else TIME if dtype.is_temporal() else OBJECT


def as_text(column: pl.Series) -> pl.Series:
    """A column as Python writes its values (`1e+16`, `True`); missing stays missing, and not-a-number becomes it."""
    import polars as pl

    if column.dtype == pl.String:
        return column
    if column.dtype.is_integer() or column.dtype == pl.Null:
        return column.cast(pl.String)
    values = [None if one is None or one != one else str(one) for one in column.to_list()]
    return pl.Series(column.name, values, pl.String)


@operation("union")
class Union(Operation):
    """sources: tables whose rows follow, columns by name; fill_missing_columns: what one does not have is empty there."""

    def read(self, spec: Spec) -> None:
        self.sources = spec.texts("sources")
        self.fill = spec.flag("fill_missing_columns", False)
        spec.value("repartition", None)

    def _names(self, tables: Sequence[Sequence[str]], wrong: Wrong) -> list[str]:
        """All columns, those of the first table first."""
        names = list(tables[0])
        for ref, others in zip(self.sources, tables[1:], strict=True):
            here, there = set(names), set(others)
            missing, more = [one for one in names if one not in there], [one for one in others if one not in here]
            if (missing or more) and not self.fill:
                text = [f"it lacks `{'`, `'.join(missing)}`"] if missing else []
                text += [f"it has also `{'`, `'.join(more)}`"] if more else []
                wrong(f"`{ref}` has other columns than the tables before it: {' and '.join(text)}", "sources",
                      "rename or drop columns, or set `fill_missing_columns: True`")  # fmt: skip
            names += more
        return names

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        tables = [{one.name: one.kind for one in table} for table in given if table is not None]
        if len(tables) < len(given):
            return None
        names = self._names([list(one) for one in tables], lambda what, key, hint: self.spec.note(what, key, hint))
        kinds = {name: _united([one.get(name) for one in tables])[0] or ANY for name in names}
        # the peer sorts a union in pieces that it finds by a sample of the rows
        return [Column(name, STEADY if kind == TEXT else kind) for name, kind in kinds.items()]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """Columns whose tables disagree on the type become text, which shows the same, or numbers of one type."""
        import polars as pl

        def wrong(what: str, key: str, hint: str) -> None:
            raise self.failed(what, hint, key=key)

        opened = []
        for flow in flows:
            batches = flow.batches()
            opened.append((next(batches), batches))
        names = self._names([first.columns for first, _ in opened], wrong)
        told = [{one.name: one.kind for one in flow.columns or ()} for flow in flows]
        types: dict[str, Any] = {}
        numbers: list[dict[str, Any]] = [{} for _ in opened]  # what the columns of each table become before they are text
        tables = [{one.name: one for one in first.get_columns()} for first, _ in opened]
        for name in names:
            firsts = [table.get(name) for table in tables]
            kinds = [_kind(first, known.get(name, ANY)) for first, known in zip(firsts, told, strict=True)]
            for made, kind, one in zip(numbers, _united(kinds)[1], firsts, strict=True):
                if one is not None and kind in _NUMBERS and not (kind == INTEGER and one.dtype.is_float()):
                    made[name] = getattr(pl, _NUMBERS[kind])
            joined = {made.get(name, one.dtype) for made, one in zip(numbers, firsts, strict=True) if one is not None}
            joined -= {pl.Null}
            types[name] = joined.pop() if len(joined) == 1 else pl.String
        for number, (first, batches) in enumerate(opened):
            for batch in chain([first], batches):
                table = {one.name: one for one in batch.get_columns()}
                yield pl.DataFrame(
                    {name: _filled(table.get(name), batch.height, numbers[number].get(name), types[name]) for name in names}
                )


_NUMBERS = {INTEGER: "Int64", FLOAT: "Float64"}


def _kind(first: pl.Series | None, told: str) -> str | None:
    """The kind of a column of one table: as it was told, or as its first batch has it; None where the table lacks it."""
    if first is None:
        return None
    return kind_of(first) if told == ANY else told


def _united(kinds: Sequence[str | None]) -> tuple[str | None, list[str | None]]:
    """The kind of a column of several tables (None: the table lacks it), and what becomes of it in each of them.

    As pandas has it where one table after the other comes to those before: whole numbers are floats beside floats and
    beside what is missing. What is an object to it (what `group_by` makes) stays as it is.
    """
    kinds = [TEXT if one == STEADY else one for one in kinds]
    kind, each = kinds[0], [kinds[0]]
    for one in kinds[1:]:
        both = {kind, one}
        if ANY in both:
            kind = ANY
        elif both in ({INTEGER, FLOAT}, {INTEGER, None}, {FLOAT, None}) or (kind, one) == (FLOAT, BOOLEAN):
            kind = FLOAT
        elif both == {INTEGER, BOOLEAN}:
            kind = INTEGER
        elif both == {TEXT, None}:
            kind = TEXT
        elif len(both) > 1:
            kind = OBJECT
        each = [before and kind for before in (*each, one)] if kind in _NUMBERS else [*each, one]
    return kind, each


def _filled(column: pl.Series | None, height: int, number: Any, dtype: Any) -> pl.Series:
    """A column of a batch in the wanted type, be it by way of a number; all missing if it is not there."""
    import polars as pl

    if column is None:
        return pl.Series([None], dtype=dtype).new_from_index(0, height)
    return _typed(column if number is None else column.cast(number), dtype)


def _typed(column: pl.Series, dtype: Any) -> pl.Series:
    if column.dtype == dtype:
        return column
    return as_text(column) if str(dtype) == "String" else column.cast(dtype)


@dataclass(frozen=True)
class Plan:
    """How two tables are joined. left, right: the name in the result of each column that takes part; on: the keys pair by
    pair, by those names; merged: pairs that become one column (the right's has a name of no document until then)."""

    how: str
    left: dict[str, str]
    right: dict[str, str]
    on: list[tuple[str, str]]
    merged: list[tuple[str, str]]
    names: list[str]
    types: dict[str, Any] = field(default_factory=dict)  # of keys that are cast

    def numbered(self, batch: pl.DataFrame, new: dict[str, str], row: str, start: int) -> pl.DataFrame:
        """A batch of one table with the new names, the types of the keys and its rows numbered."""
        import polars as pl

        number = pl.int_range(start, start + batch.height, dtype=pl.Int64).alias(row)
        return (
            batch.select(list(new))
            .rename(new)
            .with_columns(number, *(pl.col(one).cast(self.types[one]) for one in new.values() if one in self.types))
        )

    def join(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        how: Any = {"outer": "full"}.get(self.how, self.how)
        joined = left.join(right, how=how, left_on=[one for one, _ in self.on], right_on=[other for _, other in self.on],
                           nulls_equal=True, coalesce=False, maintain_order="left_right")  # fmt: skip
        if self.how in ("right", "outer"):
            joined = joined.with_columns(pl.coalesce(one, other).alias(one) for one, other in self.merged)
        if self.how == "outer":
            joined = joined.with_columns(pl.coalesce(*pair).alias(f"\0key{at}") for at, pair in enumerate(self.on))
        return joined

    @property
    def order(self) -> list[str]:
        """What the rows of the result are sorted by."""
        if self.how == "right":
            return ["\0r", "\0l"]
        return [*(f"\0key{at}" for at in range(len(self.on))), "\0l", "\0r"] if self.how == "outer" else ["\0l", "\0r"]


@operation("join")
class Join(Operation):
    """sources: tables joined one after the other by the same keys; join_type: inner, left, right, outer.

    left_key(s), right_key(s): keys of one name become one column, others both stay. Columns that both tables have get `_x`
    and `_y`. Missing keys match each other. The order is the left table's (inner, left), the right's (right), by key (outer).
    """

    def read(self, spec: Spec) -> None:
        self.sources = spec.texts("sources")
        self.how = spec.choice("join_type", ("inner", "left", "right", "outer"))
        self.left_keys, self.right_keys = self._keys(spec, "left"), self._keys(spec, "right")
        self.keep = {side: spec.texts(f"{side}_keep_columns", []) for side in ("left", "right")}
        self.drop = {side: spec.texts(f"{side}_drop_columns", []) for side in ("left", "right")}
        spec.value("repartition", None)
        if len(self.left_keys) != len(self.right_keys):
            spec.note(f"{len(self.left_keys)} left keys and {len(self.right_keys)} right keys do not pair", self._key("right"))
        for side, keys in (("left", self.left_keys), ("right", self.right_keys)):
            for one in self.drop[side]:
                if one in keys and not self.keep[side]:
                    spec.note(f"`{one}` is a key and cannot be dropped", f"{side}_drop_columns")

    def _key(self, side: str) -> str:
        return f"{side}_key" if self.spec.has(f"{side}_key") else f"{side}_keys"

    @staticmethod
    def _keys(spec: Spec, side: str) -> list[str]:
        one, several = spec.text(f"{side}_key", None), spec.texts(f"{side}_keys", [])
        if bool(one) == bool(several):
            spec.wrong(f"write either `{side}_key` or `{side}_keys`", f"{side}_keys" if several else None)
        return [one] if one else several

    def _taken(self, side: str, names: Sequence[str], keys: Sequence[str], wrong: Wrong, warn: Wrong | None) -> list[str]:
        """The columns of one table that take part, in the order listed."""
        for one in keys:
            if one not in names:
                wrong(f"there is no column `{one}` in the {side} table", self._key(side), nearest(one, names))
        if self.keep[side]:
            for one in self.keep[side]:
                if one not in names:
                    wrong(f"there is no column `{one}` in the {side} table", f"{side}_keep_columns", nearest(one, names))
            return list(dict.fromkeys([*self.keep[side], *keys]))
        for one in self.drop[side]:
            if one not in names and warn:
                warn(f"there is no column `{one}` to drop in the {side} table", f"{side}_drop_columns", nearest(one, names))
        return [one for one in names if one not in self.drop[side]]

    def _plan(self, left: Sequence[str], right: Sequence[str], wrong: Wrong) -> Plan:
        """The plan for two tables, from those of their columns that take part."""
        pairs = list(zip(self.left_keys, self.right_keys, strict=False))
        same = [one for one, other in pairs if one == other]
        clash = set(left) & set(right) - set(same)
        new_left = {one: f"{one}_x" if one in clash else one for one in left}
        new_right = {one: f"\0{one}" if one in same else f"{one}_y" if one in clash else one for one in right}
        names = [*new_left.values(), *(one for one in new_right.values() if one[:1] != "\0")]
        for one in sorted(one for one, times in Counter(names).items() if times > 1):
            wrong(f"the join would make two columns `{one}`", "sources", "rename or drop one of them before")
        on = [(new_left.get(one, one), new_right.get(other, other)) for one, other in pairs]
        return Plan(
            self.how, new_left, new_right, on, [(one, f"\0{one}") for one in dict.fromkeys(same)], list(dict.fromkeys(names))
        )

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        def note(what: str, key: str, hint: str) -> None:
            self.spec.note(what, key, hint)

        def warn(what: str, key: str, hint: str) -> None:
            self.spec.problems.warn(what, self.spec.where(key), hint)

        if given[0] is None:
            return None
        names = self._taken("left", [one.name for one in given[0]], self.left_keys, note, warn)
        kinds = {one.name: one.kind for one in given[0]}
        for table in given[1:]:
            if table is None:
                return None
            others = self._taken("right", [one.name for one in table], self.right_keys, note, warn)
            plan = self._plan(names, others, note)
            more = {plan.right.get(one.name, one.name): one.kind for one in table}
            kinds = {plan.left[one]: kinds.get(one, ANY) for one in names}
            if self.how in ("right", "outer"):
                kinds = {one: _perhaps(kind) for one, kind in kinds.items()}
            if self.how in ("left", "outer"):
                more = {one: _perhaps(kind) for one, kind in more.items()}
            kinds = {**more, **kinds} | {one: TEXT for pair in plan.on for one in pair if {**more, **kinds}.get(one) == STEADY}
            names = plan.names
        return [Column(one, kinds.get(one, ANY)) for one in names]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        def wrong(what: str, key: str, hint: str) -> None:
            raise self.failed(what, hint, key=key)

        left: Iterator[pl.DataFrame] = flows[0].batches()
        first = next(left)
        names = self._taken("left", first.columns, self.left_keys, wrong, None)
        left = (batch.select(names) for batch in chain([first], left))
        for flow in flows[1:]:
            left = self._joined(left, flow.batches(), context, wrong)
        yield from left

    def _joined(
        self, lefts: Iterator[pl.DataFrame], rights: Iterator[pl.DataFrame], context: Context, wrong: Wrong
    ) -> Iterator[pl.DataFrame]:
        first, other = next(lefts), next(rights)
        plan = self._plan(first.columns, self._taken("right", other.columns, self.right_keys, wrong, None), wrong)
        comparable(self, self.left_keys, first, self._key("left"))
        comparable(self, self.right_keys, other, self._key("right"))
        plan.types.update(self._key_types(plan, first.rename(plan.left), other.select(list(plan.right)).rename(plan.right)))
        right = Partitions(context, [one for _, one in plan.on])
        for batch in chain([other], rights):
            right.add(plan.numbered(batch, plan.right, "\0r", right.rows))
        lefts = chain([first], lefts)
        looked_up = self.how in ("inner", "left") and not right.parts
        if looked_up and self.how == "inner":
            looked_up = not right.frame().select(right.by).is_duplicated().any()
        frames = (_looked_up if looked_up else _held)(plan, lefts, right, context)
        left_names, right_names = set(plan.left.values()) - {one for one, _ in plan.merged}, set(plan.right.values())
        unmatched = {"left": right_names, "right": left_names, "outer": left_names | right_names}.get(self.how, set())
        yield from _floats((frame.select(plan.names) for frame in frames), unmatched, context)

    def _key_types(self, plan: Plan, left: pl.DataFrame, right: pl.DataFrame) -> dict[str, Any]:
        """The types that keys are cast to, so that pairs can be compared: numbers with numbers, otherwise the same."""
        import polars as pl

        types: dict[str, Any] = {}
        for one, other in plan.on:
            a, b = left.schema[one], right.schema[other]
            if a == b:
                continue
            if pl.Null in (a, b):
                types[one] = types[other] = b if a == pl.Null else a
            elif a.is_numeric() and b.is_numeric():
                types[one] = types[other] = pl.Int64 if a.is_integer() and b.is_integer() else pl.Float64
            else:
                raise self.failed(f"the keys `{one}` ({kind_of(left[one])}) and `{other.strip(chr(0))}` ({kind_of(right[other])}) "
                                  "cannot be compared", "make both text with `modify_columns`", key=self._key("left"))  # fmt: skip
        return types


def _looked_up(plan: Plan, lefts: Iterator[pl.DataFrame], right: Partitions, context: Context) -> Iterator[pl.DataFrame]:
    """left, and inner if keys are unique on the right: the left table passes and is not held."""
    table, start = right.frame(), 0
    once = _unique(table, right.by)
    for batch in gathered(lefts, lambda: min(table.height, ONE_PARTITION), context):
        for piece in batch.iter_slices(batch.height if once else 2 * BATCH) if batch.height else [batch]:
            yield plan.join(plan.numbered(piece, plan.left, "\0l", start), table)
            start += piece.height


def _unique(table: pl.DataFrame, keys: list[str]) -> bool:
    """Whether a join with `table` makes no more rows than the other side has."""
    return not table.select(keys).is_duplicated().any()


def _held(plan: Plan, lefts: Iterator[pl.DataFrame], right: Partitions, context: Context) -> Iterator[pl.DataFrame]:
    """Both tables are held, in parts if they are large; the rows are put in order at the end."""
    left = Partitions(context, [one for one, _ in plan.on])
    if right.parts:
        right.split()
    for batch in lefts:
        left.add(plan.numbered(batch, plan.left, "\0l", left.rows))
    if not (left.parts or right.parts):
        one, other = left.frame(), right.frame()
        joined = plan.join(one, other)
        if plan.how == "inner":
            joined = _as_the_peer_orders(plan, one, other, joined)
        else:
            joined = joined.sort(plan.order, nulls_last=True)
        yield from joined.iter_slices(BATCH) if joined.height else [joined]
        return
    sorter = Sorter(context, plan.order)
    for one, other in aligned([left, right]):
        # pieces, as one key on both sides makes many rows; not where rows of the right that match nothing come out
        rows = 20_000 if plan.how in ("inner", "left") and not _unique(other, right.by) else max(1, one.height)
        for piece in one.iter_slices(rows) if one.height else [one]:
            sorter.add(plan.join(piece, other))
    yield from sorter


def _as_the_peer_orders(plan: Plan, left: pl.DataFrame, right: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """An inner join that happens to have as many rows as its left table, in the odd order that pandas 2 gives it.

    pandas puts the rows, grouped by key, back with a permutation that is only right if each row on the left matched once; it
    takes that for granted if the numbers of rows are equal. Sorted tables with unique keys on the left go another way.
    """
    import numpy as np
    import polars as pl

    rows = left.height
    if joined.height != rows or rows > ONE_PARTITION or joined["\0l"].n_unique() == rows:
        return joined
    keys, others = [one for one, _ in plan.on], [other for _, other in plan.on]
    if not left.select(keys).is_duplicated().any():
        both = pl.concat([left.select(keys), right.select(others).rename(dict(zip(others, keys, strict=True)))])
        if len(keys) == 1:
            code, ordered = both[keys[0]], both[keys[0]].null_count() == 0
        else:
            ordered, code = True, pl.Series([0] * both.height, dtype=pl.Int64)
            for one in keys:
                first = both.select(pl.int_range(pl.len()).min().over(pl.col(one)) + pl.col(one).is_null() * pl.len())
                more = first.to_series().rank("dense").cast(pl.Int64)
                code = (code * (more.n_unique() + 1) + more).rank("dense").cast(pl.Int64)
        if ordered and code.head(rows).is_sorted() and code.slice(rows).is_sorted():
            return joined
    first_row = pl.col("\0l").min().over(keys)
    if len(keys) == 1:  # one missing key comes after all others
        first_row = pl.when(pl.col(keys[0]).is_null()).then(rows).otherwise(first_row)
    firsts = left.select("\0l", first_row.alias("\0first"))
    sorted_left = firsts.sort("\0first", "\0l")["\0l"].to_numpy()
    grouped = joined.with_columns(firsts["\0first"].gather(joined["\0l"])).sort("\0first", "\0l", "\0r")
    places = np.empty(rows, np.int64)
    places[sorted_left] = np.arange(rows)
    return grouped[places]


def _floats(frames: Iterator[pl.DataFrame], names: set[str], context: Context) -> Iterator[pl.DataFrame]:
    """Whole numbers become floats in columns that some row is missing in, as pandas keeps them: `2` is then `2.0`."""
    import polars as pl

    first = next(frames)
    whole = [one for one, dtype in first.schema.items() if one in names and dtype.is_integer()]
    if not whole:
        yield first
        yield from frames
        return
    spool, missing = Spool(context), set()
    for frame in chain([first], frames):
        missing |= {one for one in whole if frame[one].null_count()}
        spool.add(frame)
    for frame in spool:
        yield frame.with_columns(pl.col(one).cast(pl.Float64) for one in whole if one in missing)
    spool.close()


def _perhaps(kind: str) -> str:
    """The kind of a column that may get missing values. Whole numbers are floats then, but pandas goes on planning with whole ones."""
    return ANY if kind == BOOLEAN else kind
