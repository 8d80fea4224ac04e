"""Jinja itself, row by row, without what makes it slow: one call renders all rows of a batch.

The pieces of a template become the body of a `for` over the rows, so that columns are plain Python variables and no context
is made. Templates that need a context (`include`, `self`, `col`) get one that is used again for every row of a call; none
is shared between calls, and so none between threads.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import SecurityError

from impl.tabular.templates.syntax import ROW_DATA, names_read, names_stored

_ROWS, _TEXT = "__rows__", "__text__"


class RowError(Exception):
    """A row that could not be rendered. index: in the rows given; line: of the template, if known; file: of what it includes."""

    def __init__(self, index: int, cause: str, line: int | None = None, file: str | None = None, sandbox: bool = False) -> None:
        super().__init__(index, cause, line, file, sandbox)
        self.index, self.cause, self.line, self.file, self.sandbox = index, cause, line, file, sandbox

    def behind(self, count: int) -> RowError:
        """The error as it is where `count` rows come before."""
        return RowError(self.index + count, self.cause, self.line, self.file, self.sandbox)


class FailedRowError(Exception):
    """number: of the row, from 1; row: the values that the piece was given; error: what happened."""

    def __init__(self, number: int, row: dict[str, Any], error: RowError) -> None:
        super().__init__(number, row, error)
        self.number, self.row, self.error = number, row, error


class Program:
    """Pieces of a template, compiled on first use. names: the columns that `render` is given, in this order.

    loop: whether the pieces may run in one loop; whole_row: whether `__row_data__` is asked for;
    selfish: whether that holds itself, as in a destination's template; numbered: whether the last name is the row's number.
    """

    def __init__(
        self,
        environment: jinja2.Environment,
        body: Sequence[nodes.Node],
        names: Sequence[str],
        *,
        loop: bool,
        row: bool,
        selfish: bool,
        numbered: bool,
    ) -> None:
        self.environment, self.body, self.names, self.numbered = environment, list(body), list(names), numbered
        self.loop, self.row, self.selfish = loop and all(name.isidentifier() for name in self._targets(row)), row, selfish
        self._source: str | None = None
        self._template: jinja2.Template | None = None
        self._lock = threading.Lock()

    def _targets(self, row: bool) -> list[str]:
        """With `__row_data__` there may be columns that no template can name."""
        return [name for name in self.names if name.isidentifier()] if row else self.names

    @property
    def source(self) -> str:
        """The Python that Jinja makes of it: what a worker process is sent."""
        if self._source is None:
            body = _joined(copied(one) for one in self.body)
            if self.loop:
                targets = [*self._targets(self.row), *([ROW_DATA] if self.row else [])]
                target: nodes.Node = nodes.Tuple([nodes.Name(name, "store") for name in targets], "store")
                if not targets:
                    target = nodes.Name("__row__", "store")
                ahead, body = _ahead(body, {*self.names, ROW_DATA})
                block = nodes.AssignBlock(nodes.Name(_TEXT, "store"), None, body)
                written = nodes.Output([nodes.Name(_TEXT, "load")])
                body = [*ahead, nodes.For(target, nodes.Name(_ROWS, "load"), [block, written], [], None, False)]
            tree = nodes.Template(body, lineno=1)
            _number(tree)
            tree.set_environment(self.environment)
            self._source = self.environment.compile(tree, raw=True)
        return self._source

    def template(self) -> jinja2.Template:
        with self._lock:
            if self._template is None:
                self._template = compiled(self.environment, self.source)
            return self._template

    def render(self, columns: Sequence[Sequence[Any]], count: int) -> list[str]:
        """The text of each row. columns: values by column of `names`. Raises RowError."""
        return render(self.template(), self.names, columns, count, self.loop, self.row, self.selfish, self.numbered)


@lru_cache(maxsize=512)
def compiled(environment: jinja2.Environment, source: str) -> jinja2.Template:
    """A program's Python; documents have the same expression in many places."""
    return environment.template_class.from_code(
        environment, compile(source, "<template>", "exec"), environment.make_globals(None)
    )


def render(
    template: jinja2.Template,
    names: Sequence[str],
    columns: Sequence[Sequence[Any]],
    count: int,
    loop: bool,
    row: bool,
    selfish: bool,
    numbered: bool,
) -> list[str]:
    """Render `count` rows with a program's template."""
    fields = names[:-1] if numbered else names
    done: list[str] = []
    try:
        if loop:
            rows: Iterable[Any]
            if row:
                named = [place for place, name in enumerate(names) if name.isidentifier()]
                rows = (
                    (*[values[place] for place in named], _row_data(fields, values, selfish))
                    for values in (zip(*columns, strict=True) if columns else ((),) * count)
                )
            else:
                rows = zip(*columns, strict=True) if columns else ((),) * count
            context = template.new_context({_ROWS: rows})
            done.extend(template.root_render_func(context))
            return done
        context = template.new_context({})
        shared = dict(context.parent)
        blocks = {name: list(found) for name, found in context.blocks.items()}
        join = template.environment.concat
        for values in zip(*columns, strict=True) if columns else ((),) * count:
            given = dict(zip(names, values, strict=True))
            given[ROW_DATA] = _row_data(fields, values, selfish)
            context.parent = {**shared, **given}
            context.vars, context.exported_vars = {}, set()
            context.blocks = {name: list(found) for name, found in blocks.items()}
            done.append(join(template.root_render_func(context)))
        return done
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        raise _failed(error, len(done)) from None


def _row_data(names: Sequence[str], values: Sequence[Any], selfish: bool) -> dict[str, Any]:
    made = dict(zip(names, values, strict=False))  # a row's number stands behind them
    if selfish:
        made[ROW_DATA] = made
    return made


def _failed(error: Exception, index: int) -> RowError:
    line = file = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        template = frame.f_globals.get("__jinja_template__")
        if isinstance(template, jinja2.Template) and file is None:
            included = None if template.filename in (None, "<template>") else template.filename
            if included is not None or line is None:  # where a macro is called; but the line of a file that is included
                line, file = template.get_corresponding_lineno(number), included
    if isinstance(error, jinja2.TemplateSyntaxError):
        line, file = error.lineno, error.filename
    cause = str(error) if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
    return RowError(index, cause, line, file, isinstance(error, SecurityError))


def _joined(body: Iterable[nodes.Node]) -> list[nodes.Node]:
    """What is written one behind the other in one piece."""
    made: list[nodes.Node] = []
    for one in body:
        if isinstance(one, nodes.Output) and made and isinstance(made[-1], nodes.Output):
            made[-1].nodes.extend(one.nodes)
        else:
            made.append(one)
    return made


def _ahead(body: list[nodes.Node], columns: set[str]) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """What is the same for every row, and the rest: macros that read no column, nor what is set anywhere; files of macros."""
    stored = names_stored(body)
    imports = []
    for place, one in enumerate(body):
        names = names_stored([one]) if _is_import(one) else []
        if names and all(stored.count(name) == 1 for name in names) and not names_read(body[:place]) & set(names):
            imports.append(one)
    macros = {one.name: one for one in body if isinstance(one, nodes.Macro) and stored.count(one.name) == 1}
    changing = columns | (set(stored) - set(macros) - set(names_stored(imports)))
    free = {name: names_read([one]) - {given.name for given in one.args} for name, one in macros.items()}
    rest = {name for name in macros if free[name] & changing}
    while more := {name for name in macros if name not in rest and free[name] & rest}:
        rest |= more
    known = {id(one) for name, one in macros.items() if name not in rest} | set(map(id, imports))
    return [one for one in body if id(one) in known], [one for one in body if id(one) not in known]


def _is_import(node: nodes.Node) -> bool:
    """Whether macros are taken from a file that its name alone tells."""
    return (
        isinstance(node, nodes.Import | nodes.FromImport) and not node.with_context and isinstance(node.template, nodes.Const)
    )


def copied(value: Any) -> Any:
    """A node without what it shares with others: the compiler changes what it compiles."""
    if isinstance(value, nodes.Node):
        made = object.__new__(type(value))
        made.__dict__.update({name: copied(one) for name, one in vars(value).items() if name != "environment"})
        made.environment = None
        return made
    if isinstance(value, list | tuple):
        return type(value)(copied(one) for one in value)
    return value


def _number(node: nodes.Node) -> None:
    """Give a line to the nodes that we made ourselves."""
    stack = [node]
    while stack:
        one = stack.pop()
        if getattr(one, "lineno", None) is None:
            one.lineno = 1
        stack.extend(one.iter_child_nodes())
