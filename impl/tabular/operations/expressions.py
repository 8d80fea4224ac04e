"""Columns that are computed from the row: constants, or Jinja that reads the other columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import Column, Context
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
            made |= {one: Column(one, expression.kind) for one in self.checked(name, expression, list(made))}
        self.demanded = True
        return list(made.values())

    @abstractmethod
    def checked(self, name: str, expression: Expression, there: Sequence[str]) -> list[str]:
        """The columns that the expression under `name` computes, where those of `there` are; notes what it asks for in vain."""

    def begin(self, context: Context) -> None:
        self.row = 0
        for one in self.expressions.values():
            one.use(context.workers)

    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        start, self.row = self.row, self.row + batch.height
        done = self.compute(batch, start)
        self.demanded = True
        return done

    @abstractmethod
    def compute(self, batch: pl.DataFrame, start: int) -> pl.DataFrame:
        """The batch with the computed columns; `start` rows came before it."""


@operation("add_columns")
class AddColumns(_Computed):
    """New columns, behind the others; one that is there already gets the new values in its place."""

    def checked(self, name: str, expression: Expression, there: Sequence[str]) -> list[str]:
        expression.check(there)
        return [name]

    def compute(self, batch: pl.DataFrame, start: int) -> pl.DataFrame:
        for name, expression in self.expressions.items():
            if not self.demanded:
                expression.demand(batch.columns)
            batch = batch.with_columns(expression.evaluate(batch, start).alias(name))
        return batch


@operation("modify_columns")
class ModifyColumns(_Computed):
    """New values for columns; a name may have wildcards, and `value` is the column's own value."""

    def checked(self, name: str, expression: Expression, there: Sequence[str]) -> list[str]:
        found = matching(name, there)
        if found and not expression.literal:
            if VALUE in there:
                expression.spec.note(_CLASH, name, _RENAME)
            expression.check([*there, VALUE])
        return found

    def compute(self, batch: pl.DataFrame, start: int) -> pl.DataFrame:
        for name, expression in self.expressions.items():
            for one in matching(name, batch.columns):
                if expression.literal:
                    changed = expression.evaluate(batch, start)
                else:
                    if VALUE in batch.columns:
                        raise self.failed(_CLASH, _RENAME, key="columns")
                    given = batch.with_columns(batch[one].alias(VALUE))
                    if not self.demanded:
                        expression.demand(given.columns)
                    changed = expression.evaluate(given, start)
                batch = batch.with_columns(changed.alias(one))
        return batch


_CLASH = "there is a column `value`, and the expression's `value` is the column that it changes"
_RENAME = "rename the column first (rename_columns)"


def _with_place(written: Any, spec: Spec) -> Map:
    """A mapping without lines of its own stands where `columns` does."""
    made = Map(written)
    made.file, made.line = spec.options.file, spec.options.lines.get("columns", spec.options.line)
    return made
