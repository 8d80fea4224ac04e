"""Templates with their loops written out, where a loop's turns are known before any row.

    {% for n in range(1, 3) %}{% set score = col('score_' ~ n) %}{{ n }}: {{ score }}{% if not loop.last %}, {% endif %}{% endfor %}

is `1: {{ score_1 }}, 2: {{ score_2 }}`: lists and mappings that stand in the template, `range` of numbers, and the columns of
`__row_data__` are known. What finds a column by a name that is then constant (`col`, `self._TemplateReference__context.resolve`)
is the column, and a file that is included is what it says. Only what surely writes the same is rewritten; a loop that changes
lists, or sets names that something else reads, stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import jinja2
from jinja2 import nodes

from impl.tabular.templates.generator import METHODS, names_loop
from impl.tabular.templates.loops import PLACES
from impl.tabular.templates.syntax import CHANGES, ROW_DATA, SCOPES, Parsed, described, names_read, names_stored, walk

TURNS = 200  # of a loop that is written out,
PARTS = 6_000  # and the pieces that all of them may become
_CONTEXT = "_TemplateReference__context"
_LISTS = (nodes.List, nodes.Tuple, nodes.Dict)
_PARTS = (nodes.Pair, nodes.Const)
_OF_MAPPINGS = frozenset(dir(dict))
_FOLDED = nodes.BinExpr | nodes.UnaryExpr | nodes.Concat | nodes.Compare | nodes.Filter | nodes.Test | nodes.Getitem
_APART = (nodes.Macro, nodes.CallBlock, nodes.Import, nodes.FromImport, nodes.With, nodes.FilterBlock, nodes.Scope)
_INNER = nodes.For | nodes.Macro | nodes.CallBlock | nodes.With | nodes.Scope  # what is set in them stays in them


class OtherwiseError(Exception):
    """This loop stays as it is."""


def unrolled(environment: jinja2.Environment, parsed: Parsed, columns: Sequence[str], selfish: bool) -> Parsed:
    """A template for one table. selfish: whether `__row_data__` holds itself, as in destinations."""
    whole = [*parsed.portable.values(), *parsed.body]
    if not any(isinstance(one, nodes.For | nodes.Include) or _asks_context(one) for top in whole for one in walk(top)):
        return parsed
    if parsed.ordered or any(isinstance(one, nodes.Extends | nodes.Block) for one in whole):
        return parsed
    work = _Unroller(environment, columns, selfish, whole)
    body: list[nodes.Node] = []
    for node in work.with_files(whole):
        body += work.statement(node)
        work.learn(node)
    return described(environment, body) if work.changed else parsed


def _asks_context(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name in ("self", "col")


class _Unroller:
    def __init__(self, environment: jinja2.Environment, columns: Sequence[str], selfish: bool, whole: list[nodes.Node]) -> None:
        self.environment, self.columns, self.selfish = environment, list(columns), selfish
        self.stored = names_stored(whole)
        self.constants: dict[str, nodes.Node] = {}
        self.changes = _changes(whole, self.stored)
        self.numbers, self.left, self.changed = count(1), PARTS, False
        self.including: list[str] = []

    def own(self, name: str) -> bool:
        """Whether a global is what it says: no column and nothing that is set has its name."""
        return name not in self.columns and name not in self.stored

    def learn(self, node: nodes.Node) -> None:
        """Remember a list or mapping that the template sets to what stands in it; one that is empty may grow."""
        if (
            isinstance(node, nodes.Assign)
            and isinstance(node.target, nodes.Name)
            and isinstance(node.node, _LISTS)
            and node.node.items  # type: ignore[attr-defined]
            and self.stored.count(node.target.name) <= 1
            and all(isinstance(one, (*_LISTS, *_PARTS)) for one in walk(node.node))
        ):
            self.constants[node.target.name] = node.node

    # --- statements ----------------------------------------------------------------------------------------------------------

    def statements(self, body: Iterable[nodes.Node]) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for node in body:
            made += self.statement(node)
        return made

    def statement(self, node: nodes.Node) -> list[nodes.Node]:
        if isinstance(node, nodes.For):
            left, changed = self.left, self.changed
            try:
                return self.turns(node)
            except OtherwiseError:
                self.left, self.changed = left, changed
            return [
                self.again(
                    node,
                    body=self.statements(node.body),
                    else_=self.statements(node.else_),
                    iter=self.named(node.iter),
                    test=self.named(node.test),
                )
            ]
        if isinstance(node, nodes.If):
            chosen = self.chosen(node)
            return chosen if chosen is not None else [self.branches(node)]
        if isinstance(node, nodes.Macro | nodes.AssignBlock):
            return [self.again(node, body=self.statements(node.body))]
        if isinstance(node, nodes.Output):
            return [self.again(node, nodes=[self.named(one) for one in node.nodes])]
        return [self.named(node)]

    def again(self, node: Any, /, **fields: Any) -> Any:
        """A node with other fields."""
        made = object.__new__(type(node))
        made.__dict__.update(vars(node))
        made.__dict__.update(fields)
        return made

    def branches(self, node: nodes.If) -> nodes.If:
        return self.again(
            node,
            test=self.named(node.test),
            body=self.statements(node.body),
            elif_=[self.again(one, test=self.named(one.test), body=self.statements(one.body)) for one in node.elif_],
            else_=self.statements(node.else_),
        )

    def chosen(self, node: nodes.If) -> list[nodes.Node] | None:
        """What an `if` comes to whose conditions are known; None where they are not."""
        for one in [node, *node.elif_]:
            test = self.named(one.test)
            if not isinstance(test, nodes.Const):
                return None
            if test.value:
                return self.statements(one.body)
        return self.statements(node.else_)

    # --- loops ---------------------------------------------------------------------------------------------------------------

    def turns(self, node: nodes.For) -> list[nodes.Node]:
        """All turns of a loop, one behind the other. Raises OtherwiseError."""
        if (
            node.recursive
            or self.changes
            or any(isinstance(one, (*SCOPES, *_APART)) for part in node.body for one in walk(part))
        ):
            raise OtherwiseError
        ahead, given = self.given(node)
        given, tests = self.kept(node, given)
        if node.else_ and not given:
            fresh = self.fresh(_set_first(node.else_))
            made = self.statements(_replaced(one, fresh) for one in node.else_)
            if any(isinstance(one, SCOPES) or _asks_context(one) for part in made for one in walk(part)):
                raise OtherwiseError
            self.changed = True
            return [*ahead, *made]
        made = []
        direct = _set_first(node.body)
        for place, (values, test) in enumerate(zip(given, tests, strict=True)):
            names = {**values, **self.fresh(direct)}
            body = self.statements(_replaced(_placed(one, place, len(given)), names) for one in node.body)
            parts = [one for part in body for one in walk(part)]
            self.left -= len(parts)
            if self.left < 0 or any(map(_asks_context, parts)):
                raise OtherwiseError
            made += body if test is None else [nodes.If(test, body, [], [], lineno=node.lineno)]
        self.changed = True
        return [*ahead, *made]

    def given(self, node: nodes.For) -> tuple[list[nodes.Node], list[dict[str, nodes.Node]]]:
        """What is to be set before a loop, and what its names stand for in each turn. Raises OtherwiseError."""
        ahead: list[nodes.Node] = []
        elements = [self.simple(one, ahead) for one in self.elements(self.named(node.iter))]
        stored, targets = set(names_stored(node.body)), set(_names(node.target))
        read = set().union(*(names_read([one]) for one in elements))
        if targets & stored or "loop" in targets | stored or read & (stored | targets):
            raise OtherwiseError
        return ahead, [_matched(node.target, one) for one in elements]

    def kept(
        self, node: nodes.For, given: list[dict[str, nodes.Node]]
    ) -> tuple[list[dict[str, nodes.Node]], list[nodes.Node | None]]:
        """The turns that a loop's condition leaves, each with what it depends on yet. Raises OtherwiseError."""
        if node.test is None:
            return given, [None] * len(given)
        if names_loop(node.test):
            raise OtherwiseError
        asked = [self.named(_replaced(node.test, one)) for one in given]
        decided = [bool(one.value) for one in asked if isinstance(one, nodes.Const)]
        if len(decided) == len(given):
            left = [one for one, kept in zip(given, decided, strict=True) if kept]
            return left, [None] * len(left)
        if node.else_ or any(map(names_loop, node.body)):
            raise OtherwiseError  # what the place is, and whether there is a turn, rows decide
        return given, list(asked)

    def fresh(self, names: Iterable[str]) -> dict[str, nodes.Node]:
        """Names that nothing else has, for what is set in one place and not seen in others."""
        return {name: nodes.Name(f"__{name}_{next(self.numbers)}__", "load") for name in names}

    def elements(self, node: Any) -> list[nodes.Node]:
        """What a loop goes through. Raises OtherwiseError where that is not known."""
        found: list[nodes.Node] | None = None
        if isinstance(node, nodes.Name):
            node = self.constants.get(node.name, node)
        if isinstance(node, nodes.List | nodes.Tuple):
            found = list(node.items)
        elif isinstance(node, nodes.Dict):
            found = [key for key, _ in _pairs(node)]
        elif _is_row(node):
            found = [key for key, _ in self.fields()]
        elif isinstance(node, nodes.Call) and not (node.kwargs or node.dyn_args or node.dyn_kwargs):
            called = node.node
            if isinstance(called, nodes.Name) and called.name == "range" and self.own("range"):
                found = _numbers([one.value if isinstance(one, nodes.Const) else None for one in node.args])
            elif isinstance(called, nodes.Getattr) and not node.args and called.attr in ("items", "keys", "values"):
                mapping: nodes.Node = called.node
                if isinstance(mapping, nodes.Name):
                    mapping = self.constants.get(mapping.name, mapping)
                pairs = self.fields() if _is_row(mapping) else _pairs(mapping) if isinstance(mapping, nodes.Dict) else None
                if pairs is not None:
                    pick = {"items": lambda pair: nodes.Tuple(list(pair), "load"), "keys": _first, "values": _second}[
                        called.attr
                    ]
                    found = [pick(pair) for pair in pairs]
        if found is None or len(found) > TURNS:
            raise OtherwiseError
        return found

    def fields(self) -> list[tuple[nodes.Expr, nodes.Expr]]:
        """What `__row_data__` holds."""
        if ROW_DATA in self.stored:
            raise OtherwiseError
        row = nodes.Name(ROW_DATA, "load")
        found: list[tuple[nodes.Expr, nodes.Expr]] = [
            (nodes.Const(name), nodes.Getitem(row, nodes.Const(name), "load")) for name in self.columns if name != ROW_DATA
        ]
        return [*found, (nodes.Const(ROW_DATA), row)] if self.selfish else found

    def simple(self, node: nodes.Node, ahead: list[nodes.Node]) -> nodes.Node:
        """An element as what may be read again and again. ahead: gets what is to be set before."""
        if isinstance(node, nodes.Const | nodes.Name) or _is_field(node):
            return node
        if isinstance(node, nodes.List | nodes.Tuple):
            return self.again(node, items=[self.simple(one, ahead) for one in node.items])
        if isinstance(node, nodes.Dict):
            return self.again(node, items=[self.again(one, value=self.simple(one.value, ahead)) for one in node.items])
        name = f"__set_{next(self.numbers)}__"
        ahead.append(nodes.Assign(nodes.Name(name, "store"), node, lineno=node.lineno))
        return nodes.Name(name, "load", lineno=node.lineno)

    # --- files ---------------------------------------------------------------------------------------------------------------

    def with_files(self, body: Iterable[nodes.Node]) -> list[nodes.Node]:
        """Statements with what files say in the place of their names."""
        made: list[nodes.Node] = []
        for node in body:
            if isinstance(node, nodes.Include):
                made += self.included(node)
                continue
            inner = {name: value for name in ("body", "elif_", "else_") if isinstance(value := getattr(node, name, None), list)}
            made.append(self.again(node, **{name: self.with_files(value) for name, value in inner.items()}) if inner else node)
        return made

    def included(self, node: nodes.Include) -> list[nodes.Node]:
        """What a file says that is included by its name."""
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        if not isinstance(name, str) or not node.with_context or name in self.including or self.environment.loader is None:
            return [node]
        try:
            source, file, _ = self.environment.loader.get_source(self.environment, name)
            body = self.environment.parse(source, name, file).body
        except (jinja2.TemplateError, OSError, UnicodeError):
            return [node]
        parts = [part for one in body for part in walk(one)]
        if any(isinstance(one, (*SCOPES[1:], *_APART)) or _asks_context(one) for one in parts):
            return [node]
        if _changes(body, names_stored(body)):
            return [node]
        self.including.append(name)
        try:
            direct = _set_first(body)
        except OtherwiseError:
            return [node]
        else:
            fresh = self.fresh(direct)
            self.changed = True
            return self.with_files(_replaced(one, fresh) for one in body)
        finally:
            self.including.pop()

    # --- expressions ---------------------------------------------------------------------------------------------------------

    def named(self, node: Any) -> Any:
        """An expression with what is known of it in its place."""
        if isinstance(node, list | tuple):
            return type(node)(self.named(one) for one in node)
        if not isinstance(node, nodes.Node):
            return node
        made = self.again(node, **{name: self.named(value) for name, value in node.iter_fields()})
        if isinstance(made, nodes.Call) and (column := self.column(made)) is not None:
            self.changed = True
            return nodes.Name(column, "load", lineno=node.lineno)
        return self.folded(made)

    def column(self, node: nodes.Call) -> str | None:
        """The name that `col("name")` and its older form look up."""
        if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) != 1 or not isinstance(node.args[0], nodes.Const):
            return None
        called, name = node.node, node.args[0].value
        by_name = isinstance(called, nodes.Name) and called.name == "col" and self.own("col")
        by_self = (
            isinstance(called, nodes.Getattr)
            and called.attr == "resolve"
            and isinstance(called.node, nodes.Getattr)
            and called.node.attr == _CONTEXT
            and isinstance(called.node.node, nodes.Name)
            and called.node.node.name == "self"
        )
        if not (by_name or by_self) or not isinstance(name, str) or not name.isidentifier() or name in self.stored:
            return None
        return name if name not in ("self", "loop", ROW_DATA) else None

    def folded(self, node: Any) -> Any:
        """A constant in the place of what is one."""
        found: Any = node
        if isinstance(node, nodes.Getitem | nodes.Getattr) and (picked := _picked(node)) is not None:
            return picked
        if isinstance(node, nodes.CondExpr) and isinstance(node.test, nodes.Const) and node.expr2 is not None:
            return node.expr1 if node.test.value else node.expr2
        try:
            if isinstance(node, _FOLDED) and all(
                isinstance(one, nodes.Const | nodes.Operand | nodes.TemplateData | nodes.Slice)
                for one in node.iter_child_nodes()
            ):
                found = node.as_const(nodes.EvalContext(self.environment))
            elif isinstance(node, nodes.Call) and not (node.kwargs or node.dyn_args or node.dyn_kwargs):
                called, given = node.node, [one.value for one in node.args if isinstance(one, nodes.Const)]
                if (
                    isinstance(called, nodes.Getattr)
                    and METHODS.get(called.attr) == "str"
                    and isinstance(called.node, nodes.Const)
                    and type(called.node.value) is str
                    and len(given) == len(node.args)
                ):
                    found = getattr(called.node.value, called.attr)(*given)
        except Exception:  # noqa: BLE001 - it is an error of each row then
            return node
        if type(found) in (str, int, float, bool, type(None)):
            return nodes.Const(found, lineno=node.lineno)
        return node


def _changes(body: Iterable[nodes.Node], stored: list[str]) -> bool:
    """Whether a template may change a value in its place that is not a list or mapping of its own, which began empty."""
    everything = [part for one in body for part in walk(one)]
    empty = {
        one.target.name
        for one in everything
        if isinstance(one, nodes.Assign)
        and isinstance(one.target, nodes.Name)
        and stored.count(one.target.name) == 1
        and isinstance(one.node, nodes.List | nodes.Dict)
        and not one.node.items
    }
    return any(
        (
            isinstance(one, nodes.Getattr)
            and one.attr in CHANGES
            and not (isinstance(one.node, nodes.Name) and one.node.name in empty)
        )
        or (isinstance(one, nodes.Filter) and one.name in ("attr", "map"))
        for one in everything
    )


def _first(pair: tuple[nodes.Expr, nodes.Expr]) -> nodes.Expr:
    return pair[0]


def _second(pair: tuple[nodes.Expr, nodes.Expr]) -> nodes.Expr:
    return pair[1]


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == ROW_DATA


def _is_field(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Getitem) and _is_row(node.node) and isinstance(node.arg, nodes.Const)


def _pairs(node: nodes.Dict) -> list[tuple[Any, nodes.Expr]]:
    """The keys and values of a mapping whose keys are texts. Raises OtherwiseError."""
    keys = [one.key.value if isinstance(one.key, nodes.Const) else None for one in node.items]
    if not all(type(one) is str for one in keys) or len(set(keys)) < len(keys):
        raise OtherwiseError
    return [(one.key, one.value) for one in node.items]


def _numbers(arguments: list[Any]) -> list[nodes.Node] | None:
    if not 1 <= len(arguments) <= 3 or not all(type(one) is int for one in arguments) or 0 in arguments[2:]:
        return None
    found = range(*arguments)
    return [nodes.Const(one) for one in found] if len(found) <= TURNS else None


def _names(target: nodes.Node) -> list[str]:
    return [one.name for one in walk(target) if isinstance(one, nodes.Name)]


def _matched(target: nodes.Node, element: nodes.Node) -> dict[str, nodes.Node]:
    """What the names of a loop stand for in one turn. Raises OtherwiseError."""
    if isinstance(target, nodes.Name):
        return {target.name: element}
    if not isinstance(target, nodes.Tuple) or not isinstance(element, nodes.List | nodes.Tuple):
        raise OtherwiseError
    if len(target.items) != len(element.items) or len(set(_names(target))) < len(_names(target)):
        raise OtherwiseError
    found: dict[str, nodes.Node] = {}
    for name, value in zip(target.items, element.items, strict=True):
        found.update(_matched(name, value))
    return found


def _set_first(body: Sequence[nodes.Node]) -> list[str]:
    """Names that a body sets for itself, each before it reads it. Raises OtherwiseError where one may be read before."""
    direct: list[str] = []
    read: set[str] = set()
    for node in body:
        if isinstance(node, nodes.Assign | nodes.AssignBlock):
            inside = [node.node] if isinstance(node, nodes.Assign) else [*node.body, *([node.filter] if node.filter else [])]
            if any(_sets(one) for one in inside):
                raise OtherwiseError
            read |= names_read(inside)
            names = [one.name for one in walk(node.target) if isinstance(one, nodes.Name)]
            if any(name in read and name not in direct for name in names):
                raise OtherwiseError
            direct += [name for name in names if name not in direct]
        elif set(_sets(node)) - set(direct):
            raise OtherwiseError
        else:
            read |= names_read([node])
    return direct


def _sets(node: nodes.Node) -> list[str]:
    """What a statement sets for those behind it."""
    if isinstance(node, nodes.Assign | nodes.AssignBlock):
        return _names(node.target) if not isinstance(node.target, nodes.NSRef) else []
    if isinstance(node, _INNER):
        return []
    return [name for one in node.iter_child_nodes() for name in _sets(one)]


def _replaced(value: Any, given: Mapping[str, nodes.Node]) -> Any:
    """A copy in which names stand for something else; a name that is set gets the new one."""
    if isinstance(value, list | tuple):
        return type(value)(_replaced(one, given) for one in value)
    if not isinstance(value, nodes.Node):
        return value
    if isinstance(value, nodes.Name) and (other := given.get(value.name)) is not None:
        if value.ctx == "load":
            return _located(other, value.lineno)
        return nodes.Name(other.name if isinstance(other, nodes.Name) else value.name, value.ctx, lineno=value.lineno)
    if isinstance(value, nodes.NSRef) and (other := given.get(value.name)) is not None:
        if not isinstance(other, nodes.Name):
            raise OtherwiseError
        return nodes.NSRef(other.name, value.attr, lineno=value.lineno)
    made = object.__new__(type(value))
    made.__dict__.update({name: _replaced(one, given) for name, one in vars(value).items() if name != "environment"})
    made.environment = value.environment
    return made


def _located(node: Any, line: int) -> Any:
    made = _replaced(node, {})
    for one in walk(made):
        one.lineno = line
    return made


def _placed(value: Any, place: int, length: int) -> Any:
    """A copy in which `loop` is known. Raises OtherwiseError where something else than a place is asked for."""
    if isinstance(value, list | tuple):
        return type(value)(_placed(one, place, length) for one in value)
    if not isinstance(value, nodes.Node):
        return value
    if isinstance(value, nodes.Getattr) and isinstance(value.node, nodes.Name) and value.node.name == "loop":
        if value.attr not in PLACES:
            raise OtherwiseError
        return nodes.Const(PLACES[value.attr](place, length), lineno=value.lineno)
    if isinstance(value, nodes.Name) and value.name == "loop":
        raise OtherwiseError
    made = object.__new__(type(value))
    made.__dict__.update(vars(value))
    for name, one in value.iter_fields():
        inner = isinstance(value, nodes.For) and name == "body"  # its `loop` is another one
        made.__dict__[name] = one if inner else _placed(one, place, length)
    return made


def _picked(node: Any) -> nodes.Node | None:
    """The item of a list or mapping that stands there."""
    if isinstance(node, nodes.Getattr):
        key: Any = node.attr if node.attr not in _OF_MAPPINGS else None
    else:
        key = node.arg.value if isinstance(node.arg, nodes.Const) else None
    if isinstance(node.node, nodes.Dict) and type(key) is str:
        try:
            return {one.value: value for one, value in _pairs(node.node)}.get(key)
        except OtherwiseError:
            return None
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.List | nodes.Tuple) and type(key) is int:
        return node.node.items[key] if 0 <= key < len(node.node.items) else None
    return None
