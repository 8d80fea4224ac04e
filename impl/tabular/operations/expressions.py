"""Columns that are computed from the row: constants, or Jinja that reads the other columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import Column, Context, framed
from impl.tabular.operation import RowWise, matching, operation
from impl.tabular.spec import Map, Spec
from impl.tabular.templates import Expression

if TYPE_CHECKING:
    import polars as pl

VALUE = "value"  # what `modify_columns` calls the column that it changes


class _Computed(RowWise):
    """`columns`: name -> value, one after the other, so that later ones see earlier ones."""

    def read(self, spec: Spec) -> None:
        self.row, self.demanded = 0, False
        self.expressions: dict[str, Expression] = {}
        written = spec.mapping("columns")
        options = written if isinstance(written, Map) else _with_place(written, spec)
        own = replace(spec, options=options, asked=set())
        for name, value in options.items():
            if not isinstance(name, str):
                own.note(f"the column name `{name}` is no text", name, f'write "{name}" in quotes')
                continue
            self.expressions[name] = Expression(value, own, name, environment=spec.environment)

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        columns = given[0]
        if columns is None:
            return None
        made = {one.name: one for one in columns}
        for name, expression in self.expressions.items():
            for one in self.checked(name, expression, made):
                made[one] = Column(one, expression.kind)
        self.demanded = True
        return list(made.values())

    @abstractmethod
    def checked(self, name: str, expression: Expression, there: Collection[str]) -> list[str]:
        """The columns that the expression under `name` computes, where those of `there` are; notes what it asks for in vain."""

    def begin(self, context: Context) -> None:
        self.row = 0
        for one in self.expressions.values():
            one.use(context.workers)

    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        start, self.row = self.row, self.row + batch.height
        table = {one.name: one for one in batch.get_columns()}
        for name, expression in self.expressions.items():
            self.compute(name, expression, table, batch.height, start)
        self.demanded = True
        return framed(table.values())

    @abstractmethod
    def compute(self, name: str, expression: Expression, table: dict[str, pl.Series], height: int, start: int) -> None:
        """Put what the expression under `name` computes into the table; `start` rows came before it."""

    def evaluated(self, expression: Expression, table: Mapping[str, pl.Series], height: int, start: int) -> pl.Series:
        """The column that an expression makes. It gets the columns that it may read: all of them take long where there are many."""
        import polars as pl

        if not self.demanded and not _all_there(expression, table):
            expression.demand(list(table))
        names: Collection[str] = table.keys()
        if expression.names is not None:
            read = [one for one in expression.names if one in table]
            if not any(table[one].dtype.is_numeric() for one in read):  # numbers depend on what else there is: `widened`
                names = read
        given = framed(table[one] for one in names)
        if not given.width:  # rows without columns would be none
            given = pl.DataFrame({"": pl.repeat(None, height, dtype=pl.Null, eager=True)})
        return expression.evaluate(given, start)


def _all_there(expression: Expression, names: Collection[str]) -> bool:
    """Whether all that an expression may read are columns: then there is nothing to look for."""
    return expression.names is not None and all(one in names for one in expression.names)


@operation("add_columns")
class AddColumns(_Computed):
    """New columns, behind the others; one that is there already gets the new values in its place."""

    def checked(self, name: str, expression: Expression, there: Collection[str]) -> list[str]:
        if not _all_there(expression, there):
            expression.check(list(there))
        return [name]

    def compute(self, name: str, expression: Expression, table: dict[str, pl.Series], height: int, start: int) -> None:
        table[name] = self.evaluated(expression, table, height, start).alias(name)


@operation("modify_columns")
class ModifyColumns(_Computed):
    """New values for columns; a name may have wildcards, and `value` is the column's own value."""

    def checked(self, name: str, expression: Expression, there: Collection[str]) -> list[str]:
        found = matching(name, there)
        if found and not expression.literal:
            if VALUE in there:
                expression.spec.note(_CLASH, name, _RENAME)
            if not _all_there(expression, {*there, VALUE}):
                expression.check([*there, VALUE])
        return found

    def compute(self, name: str, expression: Expression, table: dict[str, pl.Series], height: int, start: int) -> None:
        for one in matching(name, table):
            if not expression.literal:
                if VALUE in table:
                    raise self.failed(_CLASH, _RENAME, key="columns")
                table[VALUE] = table[one].alias(VALUE)
            changed = self.evaluated(expression, table, height, start)
            if not expression.literal:
                del table[VALUE]
            table[one] = changed.alias(one)


_CLASH = "there is a column `value`, and the expression's `value` is the column that it changes"
_RENAME = "rename the column first (rename_columns)"


def _with_place(written: Any, spec: Spec) -> Map:
    """A mapping without lines of its own stands where `columns` does."""
    made = Map(written)
    made.file, made.line = spec.options.file, spec.options.lines.get("columns", spec.options.line)
    return made
