"""Jinja on tables: expressions of operations and templates of destinations, with the result of plain Jinja on every row.

    made = environment(macros, folder, sandboxed=True)
    wanted = Expression("{{ name | lower }}", spec, "columns", environment=made)
    wanted.check(columns)                       # unknown names are problems of the document, before any row
    column = wanted.evaluate(batch, start_row)

    template = RowTemplate(text, environment=made, file="template.jsont")
    lines = template.render(batch, start_row)   # a text per row

`jinja.py` makes the environment, `syntax.py` reads templates, `unroll.py` writes out loops that are known, `plan.py` decides what
is a column expression (`vectors.py`) and what Jinja renders: loops over lists in columns by their elements (`loops.py`), the rest
row by row (`rows.py`, with the Python of `generator.py`; in other processes: `pool.py`). start_row: how many rows came before the batch.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes

from impl.run.errors import EtlError
from impl.tabular.flow import ANY, BOOLEAN, FLOAT, INTEGER, TEXT, TIME, Column
from impl.tabular.spec import Spec, nearest
from impl.tabular.templates.jinja import environment
from impl.tabular.templates.plan import Plan, prepared
from impl.tabular.templates.rows import FailedRowError, RowError
from impl.tabular.templates.syntax import IMPLICIT, ROW_DATA, ROW_NUMBER, Parsed, has_jinja, parse

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Expression", "RowTemplate", "environment", "has_jinja"]

_KINDS = {str: TEXT, bool: BOOLEAN, int: INTEGER, float: FLOAT, type(None): TEXT, datetime.date: TIME, datetime.datetime: TIME}
_BLANKS = re.compile(r"\s+")


class _Text:
    """A template with its plans, one for each schema that it meets."""

    def __init__(
        self, made: jinja2.Environment, parsed: Parsed, *, operation: bool, workers: int, as_written: bool = False
    ) -> None:
        self.environment, self.parsed, self.operation, self.workers = made, parsed, operation, workers
        self.as_written = as_written
        self.plans: dict[tuple, Plan] = {}

    @property
    def names(self) -> frozenset[str] | None:
        if self.parsed.whole_row:
            return None
        return frozenset(set(self.parsed.reads) - set(self.parsed.portable) - {ROW_NUMBER})

    def use(self, workers: int) -> None:
        self.workers = workers
        for one in self.plans.values():
            one.workers = workers

    def unknown(self, columns: Iterable[str]) -> list[tuple[str, int, bool]]:
        """Names that are neither a column nor anything else: name, line, and whether only their truth is asked for."""
        parsed = self.parsed
        known = {*columns, *parsed.stored, *parsed.portable, *self.environment.globals, *IMPLICIT, ROW_DATA, ROW_NUMBER}
        known |= parsed.guarded
        return [(name, line, name in parsed.tested) for name, line in parsed.reads.items() if name not in known]

    def evaluate(self, batch: pl.DataFrame, start: int) -> pl.Series:
        plan, frame = prepared(batch, self.names, self.plan, self.operation)
        if not frame.width and batch.width:  # the height of a frame without columns
            frame = batch.select(batch.columns[0])
        return plan.evaluate(frame, start)

    def plan(self, types: dict[str, Any]) -> Plan:
        key = tuple(types.items())
        if key not in self.plans:
            self.plans[key] = Plan(
                self.environment,
                self.parsed,
                types,
                operation=self.operation,
                workers=self.workers,
                as_written=self.as_written,
            )
        return self.plans[key]


class Expression:
    """A value of `add_columns` or `modify_columns`: a constant, or Jinja that gives a text for each row.

    key: under which `spec` holds it. environment: may come later, with `bind`. kind: of the column that comes out.
    names: the columns that it may read; None if all of them.
    """

    def __init__(
        self, value: Any, spec: Spec, key: Any, *, environment: jinja2.Environment | None = None, workers: int = 0
    ) -> None:
        self.value, self.spec, self.key, self.workers = value, spec, key, workers
        self.literal = not has_jinja(value)
        self.kind = TEXT if not self.literal else _KINDS.get(type(value), ANY)
        self._text: _Text | None = None
        self._warned = False
        if isinstance(value, dict | list):
            spec.note(f"the value of `{key}` has to be a text, a number, True, False or a date", key)
            self.literal, self.value, self.kind = True, None, TEXT
        elif environment is not None:
            self.bind(environment)
        elif not self.literal:
            self._syntax(_bare())  # the macros are not known yet, the syntax is

    @property
    def names(self) -> frozenset[str] | None:
        return frozenset() if self.literal else self._text.names if self._text is not None else None

    def bind(self, made: jinja2.Environment) -> None:
        """Use this environment from now on."""
        parsed = None if self.literal else self._syntax(made)
        self._text = None if parsed is None else _Text(made, parsed, operation=True, workers=self.workers)

    def use(self, workers: int) -> None:
        """Take so many processes where the work is long; 0: one per core."""
        self.workers = workers
        if self._text is not None:
            self._text.use(workers)

    def _syntax(self, made: jinja2.Environment) -> Parsed | None:
        try:
            return parse(made, str(self.value))
        except jinja2.TemplateError as error:
            self.spec.note(f"`{self.key}` is no Jinja: {error}", self.key, _shown(self.value))
            return None

    def check(self, columns: Sequence[Column | str] | None) -> None:
        """Note names that are no column. They may be missing where the expression asks (`is defined`, `default`)."""
        for name, _, tested in self._unknown(columns):
            what = f"there is no column `{name}`"
            if not tested:
                self.spec.note(what, self.key, nearest(name, _names(columns)))
            elif not self._warned:
                self.spec.problems.warn(what, self.spec.where(self.key), "it counts as false here")
        self._warned = True

    def _unknown(self, columns: Sequence[Column | str] | None) -> list[tuple[str, int, bool]]:
        return [] if columns is None or self._text is None else self._text.unknown(_names(columns))

    def demand(self, columns: Sequence[Column | str]) -> None:
        """Raise for the first name that is no column: for tables whose columns are only known with their rows."""
        for name, _, tested in self._unknown(columns):
            if not tested:
                raise EtlError(f"there is no column `{name}`", self.spec.where(self.key), nearest(name, _names(columns)))

    def evaluate(self, batch: pl.DataFrame, start_row: int = 0) -> pl.Series:
        """The column for a batch: texts, or the constant. Raises EtlError with the row and its values."""
        import polars as pl

        if self.literal:
            kind = pl.String if self.value is None else None
            return pl.Series([self.value], dtype=kind).new_from_index(0, batch.height)
        if self._text is None:
            self.bind(_bare())
        if self._text is None:
            raise EtlError(f"`{self.key}` is no Jinja", self.spec.where(self.key), _shown(self.value))
        try:
            return self._text.evaluate(batch, start_row)
        except FailedRowError as failed:
            where = f"{self.spec.where(self.key)}, row {failed.number:,}{_values(failed.row)}"
            raise EtlError(_cause(failed.error), where, _advice(failed.error) or _shown(self.value)) from None


class RowTemplate:
    """A destination's template: one text per row of any table.

    file: it is read from, for messages. linearize: every run of blanks is one blank, also inside of Jinja's texts.
    """

    def __init__(
        self, text: str, *, environment: jinja2.Environment, file: str = "", linearize: bool = True, workers: int = 0
    ) -> None:
        self.raw, self.file, self.environment = text, file or "template", environment
        try:
            self._lines = parse(environment, text)
            parsed = parse(environment, _BLANKS.sub(" ", text)) if linearize else self._lines
        except jinja2.TemplateSyntaxError as error:
            place = error.filename or self.file
            raise EtlError(f"the template is no Jinja: {error.message}", f"{place}, line {error.lineno}") from None
        self._text = _Text(environment, parsed, operation=False, workers=workers)

    @classmethod
    def default(cls, columns: Sequence[str], *, environment: jinja2.Environment, workers: int = 0) -> RowTemplate:
        """`{ "a": "1", "b": "2" }`: each row as a JSON object."""
        made = cls("", environment=environment, file="the default template", workers=workers)
        body: list[nodes.Node] = [nodes.TemplateData("{ ")]
        row = nodes.Name(ROW_DATA, "load")
        for place, name in enumerate(columns):
            value = nodes.Getitem(row, nodes.Const(name), "load")
            body += [nodes.TemplateData(f'"{name}": '), nodes.Filter(value, "tojson", [], [], None, None)]
            body += [nodes.TemplateData(", ")] if place + 1 < len(columns) else []
        tree = nodes.Template([nodes.Output([*body, nodes.TemplateData(" }")])], lineno=1)
        tree.set_environment(environment)
        made._text.parsed.body += tree.body
        made._text.parsed.reads.update(dict.fromkeys(columns, 1))
        made._text.parsed.guarded.update(columns)
        return made

    @property
    def names(self) -> frozenset[str] | None:
        """The columns that it may read; None if all of them."""
        return self._text.names

    def use(self, workers: int) -> None:
        """Take so many processes where the work is long; 0: one per core."""
        self._text.use(workers)

    def check(self, columns: Sequence[Column | str] | None, spec: Spec) -> None:
        """Note names that are no column, with the template's file and line."""
        if columns is None:
            return
        lines = self._lines.reads
        for name, line, tested in self._text.unknown(_names(columns)):
            what, where = f"there is no column `{name}`", f"{self.file}, line {lines.get(name, line)}: {spec.ref}"
            if tested:
                spec.problems.warn(what, where, "it counts as false here")
            else:
                spec.problems.note(what, where, nearest(name, _names(columns)))

    def render(self, batch: pl.DataFrame, start_row: int = 0) -> pl.Series:
        """The text of each row. Raises EtlError with the template's line, the row and its values."""
        try:
            return self._text.evaluate(batch, start_row)
        except FailedRowError as failed:
            error = failed.error
            file, line = self._place(batch, start_row, failed)
            where = f"{file}{f', line {line}' if line else ''}"
            raise EtlError(
                _cause(error), f"{where}, row {failed.number:,}{_values(failed.row)}", _advice(error) or None
            ) from None

    def demand(self, columns: Sequence[Column | str]) -> None:
        """Raise for the first name that is no column: for tables whose columns are only known with their rows."""
        for name, line, tested in self._text.unknown(_names(columns)):
            if not tested:
                where = f"{self.file}, line {self._lines.reads.get(name, line)}"
                raise EtlError(f"there is no column `{name}`", where, nearest(name, _names(columns)))

    def _place(self, batch: pl.DataFrame, start: int, failed: FailedRowError) -> tuple[str, int | None]:
        """The file and line that fail, found by rendering the row once more with the template as it was written."""
        error = failed.error
        if self.raw and not error.file:
            row = batch.slice(failed.number - 1 - start, 1)
            again = _Text(self.environment, self._lines, operation=False, workers=1, as_written=True)
            try:
                again.evaluate(row, failed.number - 1)
            except FailedRowError as found:
                error = found.error
        return error.file or self.file, error.line


def _bare() -> jinja2.Environment:
    return environment("", ".", sandboxed=False)


def _names(columns: Sequence[Column | str] | None) -> list[str]:
    return [one.name if isinstance(one, Column) else one for one in columns or ()]


def _cause(error: RowError) -> str:
    return f"Jinja cannot render this row: {error.cause}"


def _advice(error: RowError) -> str:
    if error.sandbox:
        return "packages run in a sandbox; `--trust` lets them do as they like"
    if "is undefined" in error.cause:
        return "guard the name with `is defined` or `default('')`"
    return ""


def _shown(value: Any) -> str:
    return f"the text is `{str(value)[:200]}`"


def _values(row: dict[str, Any]) -> str:
    shown = [f"`{name}` = {str(value)[:60]!r}" for name, value in row.items() if name != ROW_NUMBER]
    return f": {', '.join(shown[:4])}{' ...' if len(shown) > 4 else ''}" if shown else ""
