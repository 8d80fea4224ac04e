"""Columns into rows, and rows into columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import ANY, TEXT, Column, Context, Flow
from impl.tabular.operation import Operation, operation
from impl.tabular.operations.tables import as_text, comparable, known
from impl.tabular.spec import Spec
from impl.tabular.spill import Partitions, Sorter, Spool, aligned

if TYPE_CHECKING:
    import polars as pl


@operation("melt")
class Melt(Operation):
    """id_vars stay, value_vars (default: all others) become rows: all rows of the first column, then of the second, ...

    var_name: the column with the names (`melt_variable`); value_name: the one with the values (`melt_value`).
    """

    def read(self, spec: Spec) -> None:
        self.ids = spec.texts("id_vars", None)
        self.values = spec.texts("value_vars", None)
        self.variable, self.value = spec.text("var_name", "melt_variable"), spec.text("value_name", "melt_value")
        spec.value("repartition", None)

    def _melted(self, names: Sequence[str]) -> list[str]:
        """The columns that become rows."""
        if self.values is None or not (self.ids or self.values):
            chosen: Sequence[str] = names
        else:
            chosen = list(dict.fromkeys(self.values))
        return [one for one in chosen if one not in (self.ids or [])]

    @property
    def _names(self) -> list[str]:
        # a name that is used twice is one column, as in the peer
        return list(dict.fromkeys([*(self.ids or []), self.variable, self.value]))

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        self.need(self.ids or [], given[0], "id_vars")
        self.need(self.values or [], given[0], "value_vars")
        kinds = {one.name: one.kind for one in given[0] or []}
        if self.value in kinds:
            self.spec.note(f"`value_name` cannot be `{self.value}`, as there is a column of this name", "value_name")
        melted = {kinds.get(one, ANY) for one in self._melted(list(kinds))}
        kinds[self.value] = melted.pop() if len(melted) == 1 else ANY
        kinds[self.variable] = TEXT
        return [Column(one, kinds.get(one, ANY)) for one in self._names]

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """The table is kept aside and read once for each column."""
        import polars as pl

        batches = flows[0].batches()
        first = next(batches)
        known(self, self.ids or [], first.columns, "id_vars")
        known(self, self.values or [], first.columns, "value_vars")
        if self.value in first.columns:
            raise self.failed(f"`value_name` cannot be `{self.value}`, as there is a column of this name", key="value_name")
        melted = self._melted(first.columns)
        schema = first.schema
        truths = [one for one in melted if schema[one] == pl.Boolean]
        spool, unsure = Spool(context), False
        for batch in chain([first], batches):
            unsure = unsure or any(batch[one].null_count() for one in truths)
            spool.add(batch.select(list(dict.fromkeys([*(self.ids or []), *melted]))))
        if not melted:
            frame = {one: first[one].clear() for one in self.ids or []}
            yield pl.DataFrame(
                {**frame, self.value: pl.Series([], dtype=pl.String), self.variable: pl.Series([], dtype=pl.String)}
            ).select(self._names)
        dtype = _common([schema[one] for one in melted], unsure)
        for one in melted:
            for batch in spool:
                values = as_text(batch[one]) if dtype == pl.String else batch[one].cast(dtype)
                columns = {name: batch[name] for name in self.ids or []}
                columns[self.value] = values
                columns[self.variable] = pl.Series([one], dtype=pl.String).new_from_index(0, batch.height)
                yield pl.DataFrame({name: columns[name] for name in self._names})
        spool.close()


def _common(types: Sequence[Any], unsure: bool) -> Any:
    """The type of a column that takes values of all of `types`: numbers beside numbers, `1` for True among them, others text.

    unsure: some True or False is missing, and then they are no numbers.
    """
    import polars as pl

    found = set(types) - {pl.Null}
    if len(found) == 1:
        return found.pop()
    if pl.Boolean in found and not unsure:
        found.remove(pl.Boolean)
    if found and all(one.is_integer() for one in found):
        return pl.Int64
    return pl.Float64 if found and all(one.is_numeric() for one in found) else pl.String


@operation("pivot")
class Pivot(Operation):
    """rows_by: what makes a row; cols_by: the column whose values become columns; values: the column that fills them.

    Rows and columns are sorted. Several `rows_by` are sorted as one text, joined by `|`. A place without a value is missing.
    It is an error if two rows have the same place.
    """

    def read(self, spec: Spec) -> None:
        self.by = spec.texts("rows_by")
        self.across, self.values = spec.text("cols_by"), spec.text("values")
        spec.value("repartition", None)
        if not self.by:
            spec.note("`rows_by` names no column", "rows_by")
        if self.across in self.by:
            spec.note(f"`{self.across}` stands in `rows_by` and in `cols_by`", "cols_by")
        if self.by == [self.values]:
            spec.note(f"`{self.values}` stands in `rows_by` and in `values`", "values")
        if self.across == self.values:
            spec.note(f"`{self.values}` stands in `cols_by` and in `values`", "values")

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        self.need(self.by, given[0], "rows_by")
        self.need([self.across], given[0], "cols_by")
        self.need([self.values], given[0], "values")
        return None

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        import polars as pl

        batches = flows[0].batches()
        first = next(batches)
        for key, wanted in (("rows_by", self.by), ("cols_by", [self.across]), ("values", [self.values])):
            comparable(self, wanted, first, key)
        several = len(self.by) > 1
        row, wanted = ("\0row" if several else self.by[0]), [*self.by, self.across, self.values]
        # rows that get the same text for `rows_by` are one row, though they may differ in the columns
        parts, names = Partitions(context, [row]), first[self.across].clear()
        for batch in chain([first], batches):
            batch = batch.select(list(dict.fromkeys(wanted)))
            if several:
                texts = [as_text(batch[one]).fill_null("nan").alias(f"\0{one}") for one in self.by]
                batch = batch.with_columns(
                    pl.concat_str(texts, separator="|").alias(row) if batch.height else texts[0].alias(row)
                )
            parts.add(batch)
            names = pl.concat([names, batch[self.across]]).unique()
        names = names.drop_nulls().sort()
        labels = as_text(names).to_list()
        if not several and self.by[0] in labels:
            raise self.failed(f"a value of `{self.across}` is called like the column of `rows_by`", "rename the column before",
                              value=self.by[0], key="cols_by")  # fmt: skip
        sorter = Sorter(context, [row])
        for (rows,) in aligned([parts], times=8):
            sorter.add(self._pivoted(rows, row, names, labels))
        yield from _floats_where_missing(sorter, labels, self.by, row if several else "", context)

    def _pivoted(self, rows: pl.DataFrame, row: str, names: pl.Series, labels: list[str]) -> pl.DataFrame:
        import polars as pl

        place = [*self.by, self.across]
        twice = rows.select(pl.struct(place).is_duplicated()).to_series()
        if twice.any():
            one = rows.row(int(twice.arg_true()[0]), named=True)
            text = ", ".join(f"{name} = {one[name]!r}" for name in place)
            raise self.failed(
                f"several rows have the same place: {text}", "use `group_by` before, to make one row of them", key="rows_by"
            )
        rows = rows.drop_nulls(row)
        # of rows that have one text for `rows_by`, the first value counts
        found = rows.select(row, pl.col(self.across).alias("\0across"), pl.col(self.values).alias("\0value")).drop_nulls()
        found = found.unique([row, "\0across"], keep="first", maintain_order=True)
        columns = {f"\0{label}": name for name, label in zip(names.to_list(), labels, strict=True)}
        result = rows.select(row).unique()
        if not labels:
            return result
        wide = found.pivot("\0across", on_columns=names, index=row, values="\0value", aggregate_function="first")
        wide.columns = [row, *columns]
        return result.join(wide, on=row, how="left")


def _floats_where_missing(
    frames: Sorter, labels: list[str], by: list[str], composite: str, context: Context
) -> Iterator[pl.DataFrame]:
    """The pivoted columns under their names; whole numbers are floats where one is missing, as pandas keeps them."""
    import polars as pl

    spool, missing = Spool(context), set()
    for frame in frames:
        held = {one.name: one for one in frame.get_columns()}
        found = {one: held[f"\0{one}"] for one in labels}
        missing |= {name for name, one in found.items() if one.dtype.is_integer() and one.null_count()}
        spool.add(frame)
    for frame in spool:
        keys = [frame[one] for one in by] if not composite else _split(frame[composite], by)
        values = [frame[f"\0{one}"].alias(one) for one in labels if one not in by]
        columns = [*keys, *(one.cast(pl.Float64) if one.name in missing else one for one in values)]
        yield pl.DataFrame({one.name: one for one in columns})  # as a list an empty name would become `column_1`
    spool.close()


def _split(texts: pl.Series, names: list[str]) -> list[pl.Series]:
    """What several `rows_by` were joined to, taken apart again (a `|` in a value goes wrong, as in the peer)."""
    parts = texts.to_frame("text")["text"].str.splitn("|", len(names)).struct.fields
    split = texts.str.splitn("|", len(names)).struct
    return [split.field(part).alias(name) for part, name in zip(parts, names, strict=True)]
