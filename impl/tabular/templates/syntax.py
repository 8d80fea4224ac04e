"""What a template says before it meets a row: its pieces, the names it reads, and which of them may be missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import jinja2
from jinja2 import nodes
from jinja2.defaults import DEFAULT_FILTERS, DEFAULT_NAMESPACE, DEFAULT_TESTS

from impl.tabular.templates.jinja import settings_of

ROW_DATA, ROW_NUMBER = "__row_data__", "__row_number__"
OURS = {"md5", "fromjson", "col"}
IMPLICIT = {"self", "super", "loop", "caller", "varargs", "kwargs"}
SCOPES = (nodes.Include, nodes.Extends, nodes.Block)
# what changes a value in its place
CHANGES = {"append", "extend", "insert", "pop", "popitem", "remove", "clear", "sort", "reverse", "update", "setdefault"}
_DICT = frozenset(dir(dict))


def has_jinja(value: object) -> bool:
    """Whether a value of the document is a template: it holds an opening and a closing mark of one kind."""
    text = str(value)
    return any(start in text and end in text for start, end in (("{{", "}}"), ("{%", "%}"), ("{#", "#}")))


@dataclass
class Parsed:
    """A template with the macros that it uses.

    body: its nodes. portable: macros by name, which may stand before any piece of the body.
    reads: every name that is read; stored: every name that is set somewhere. guarded: names that may be missing, since the
    template asks whether they are there; tested: names whose truth is asked for. whole_row: reads columns whose names are
    not written in it. context: needs Jinja's own context for each row. ordered: its result depends on more than the row.
    """

    body: list[nodes.Node]
    portable: dict[str, nodes.Node] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)  # name: line of its first use
    stored: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)
    tested: set[str] = field(default_factory=set)
    whole_row: bool = False
    context: bool = False
    ordered: bool = False


def parse(environment: jinja2.Environment, text: str) -> Parsed:
    """Read `text` with the macros of its environment before it. Raises jinja2.TemplateSyntaxError."""
    macros = settings_of(environment).macros.strip()
    if not macros:
        body = environment.parse(text).body
    elif (
        macros.endswith(("%}", "#}")) and not macros.endswith(("-%}", "+%}", "-#}", "+#}")) and (ahead := _macros(environment))
    ):
        body = [*ahead, *environment.parse(text).body]  # lines count from the text itself
    else:
        body = environment.parse(macros + text).body
    return described(environment, body)


@lru_cache(maxsize=64)
def _macros(environment: jinja2.Environment) -> tuple[nodes.Node, ...]:
    """The macros of an environment, or nothing if they do not stand by themselves."""
    try:
        return tuple(environment.parse(settings_of(environment).macros.strip()).body)
    except jinja2.TemplateSyntaxError:
        return ()


def names_read(items: Iterable[nodes.Node]) -> set[str]:
    return set().union(*(_remembered(one).read if isinstance(one, nodes.Macro) else _read(one) for one in items))


def names_stored(items: Iterable[nodes.Node]) -> list[str]:
    """Names that are set, once for each time."""
    found: list[str] = []
    for item in items:
        found += _remembered(item).stored if isinstance(item, nodes.Macro) else _stored(item)
    return found


@dataclass(frozen=True)
class _Facts:
    read: frozenset[str]
    stored: tuple[str, ...]
    contextual: bool


@lru_cache(maxsize=4096)
def _remembered(macro: nodes.Macro) -> _Facts:
    """A project's macros stand before each of its hundreds of expressions, and are looked through once."""
    return _Facts(frozenset(_read(macro)), tuple(_stored(macro)), _contextual(macro))


def _contextual(item: nodes.Node) -> bool:
    """Whether a piece hands the whole context on."""
    return any(
        isinstance(one, SCOPES) or (isinstance(one, nodes.Import | nodes.FromImport) and one.with_context) for one in walk(item)
    )


def _read(item: nodes.Node) -> set[str]:
    return {one.name for one in walk(item) if isinstance(one, nodes.Name) and one.ctx == "load"}


def _stored(item: nodes.Node) -> list[str]:
    found: list[str] = []
    for one in walk(item):
        if (isinstance(one, nodes.Name) and one.ctx in ("store", "param")) or isinstance(one, nodes.Macro):
            found.append(one.name)
        elif isinstance(one, nodes.Import):
            found.append(one.target)
        elif isinstance(one, nodes.FromImport):
            found += [name if isinstance(name, str) else name[1] for name in one.names]
    return found


def walk(node: nodes.Node) -> Iterator[nodes.Node]:
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(one.iter_child_nodes())


def row_field(node: nodes.Node) -> str | None:
    """The column of `__row_data__.name` or `__row_data__['name']`."""
    if isinstance(node, nodes.Getitem | nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == ROW_DATA:
        if isinstance(node, nodes.Getattr):
            return node.attr if node.attr not in _DICT and node.attr != ROW_DATA else None
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) and node.arg.value != ROW_DATA:
            return node.arg.value
    return None


def described(environment: jinja2.Environment, body: list[nodes.Node]) -> Parsed:
    """What nodes say that a template consists of."""
    contextual = any(_remembered(one).contextual if isinstance(one, nodes.Macro) else _contextual(one) for one in body)
    stored = names_stored(body)
    portable: dict[str, nodes.Node] = {}
    if not contextual:
        top = {one.name for one in body if isinstance(one, nodes.Macro)}
        times = Counter(stored)
        # a macro that reads what the template sets has to stay in its place
        set_names = set(stored) - top
        for one in body:
            if not isinstance(one, nodes.Macro) or times[one.name] > 1:
                continue
            if not (_remembered(one).read - set(_remembered(one).stored)) & set_names:
                portable[one.name] = one
        rest = [one for one in body if not (isinstance(one, nodes.Macro) and one.name in portable)]
        used = closure(names_read(rest), portable)
        portable = {name: portable[name] for name in portable if name in used}
        body = rest
    by_name = contextual or not names_read([*body, *portable.values()]).isdisjoint(("self", "col"))
    body = body if by_name else _without_unused_sets(body, portable)
    parsed = Parsed(body, portable, stored=set(stored), context=contextual)
    for item in [*parsed.body, *portable.values()]:
        _describe(environment, parsed, item)
    if "loop" in parsed.reads and not _loop_is_inside([*parsed.body, *portable.values()]):
        parsed.context = True
    if "self" in parsed.reads:
        parsed.context = parsed.whole_row = True
    return parsed


def closure(names: set[str], portable: dict[str, nodes.Node]) -> set[str]:
    """`names` and what the definitions behind them read."""
    found, rest = set(names), list(names)
    while rest:
        if (node := portable.get(rest.pop())) is not None:
            fresh = names_read([node]) - found
            found |= fresh
            rest += fresh
    return found


def _without_unused_sets(body: list[nodes.Node], portable: dict[str, nodes.Node]) -> list[nodes.Node]:
    """Constants that stand among the macros for other templates cost nothing here."""
    read = names_read([*body, *portable.values()])
    return [
        one
        for one in body
        if not (
            isinstance(one, nodes.Assign)
            and isinstance(one.target, nodes.Name)
            and one.target.name not in read
            and isinstance(one.node, nodes.Literal)
            and all(isinstance(part, nodes.Literal | nodes.Pair) for part in walk(one.node))
        )
    ]


def _loop_is_inside(items: Iterable[nodes.Node]) -> bool:
    """Whether every `loop` stands in the body of a `for` (or in a macro, where it is a name like any other)."""

    def free(node: nodes.Node) -> bool:
        if isinstance(node, nodes.For):
            return any(free(one) for one in [node.iter, *node.else_, *([node.test] if node.test else [])])
        if isinstance(node, nodes.Name):
            return node.name == "loop"
        return any(free(one) for one in node.iter_child_nodes())

    return not any(free(one) for one in items)


def _describe(environment: jinja2.Environment, parsed: Parsed, item: nodes.Node) -> None:
    accessed = {id(next(one.iter_child_nodes())) for one in walk(item) if row_field(one) is not None}
    for one in walk(item):
        if isinstance(one, nodes.Name) and one.ctx == "load":
            if one.name == ROW_DATA:
                parsed.whole_row |= id(one) not in accessed
            else:
                parsed.reads.setdefault(one.name, one.lineno)
                if one.name in environment.globals and one.name not in parsed.stored:
                    parsed.ordered |= one.name == "lipsum" or (one.name not in DEFAULT_NAMESPACE and one.name not in OURS)
                if one.name == "col":
                    parsed.context = parsed.whole_row = True
        elif isinstance(one, nodes.Getattr | nodes.Getitem) and (name := row_field(one)) is not None:
            parsed.reads.setdefault(name, one.lineno)
            parsed.guarded.add(name)  # the peer gives an empty text, and the writer looked it up by name
        elif isinstance(one, nodes.Filter):
            if one.name == "random" or environment.filters.get(one.name) is not DEFAULT_FILTERS.get(one.name):
                parsed.ordered = True
            if one.name in ("default", "d") and isinstance(one.node, nodes.Name):
                parsed.guarded.add(one.node.name)
        elif isinstance(one, nodes.Test):
            if environment.tests.get(one.name) is not DEFAULT_TESTS.get(one.name):
                parsed.ordered = True
            if one.name in ("defined", "undefined") and isinstance(one.node, nodes.Name):
                parsed.guarded.add(one.node.name)
        elif isinstance(one, SCOPES) or (isinstance(one, nodes.Import | nodes.FromImport) and one.with_context):
            parsed.context = parsed.whole_row = True
        if isinstance(one, nodes.If | nodes.CondExpr):
            for part in _truths(one.test):
                parsed.tested.add(part)


def _truths(node: nodes.Node | None) -> Iterator[str]:
    """Names whose bare truth a test asks for: a missing one counts as false."""
    if isinstance(node, nodes.Name):
        yield node.name
    elif isinstance(node, nodes.And | nodes.Or):
        yield from _truths(node.left)
        yield from _truths(node.right)
    elif isinstance(node, nodes.Not):
        yield from _truths(node.node)
