"""Loops over a list that stands in a column: `{% for one in codes.split(";") %}`, `{% for one in fromjson(scores) %}`.

Rows differ and elements seldom do, so the body is rendered once for each distinct element and place in its list, as far as
the body asks for the place; or, where that saves nothing or the body is plain, as the template of a table of all elements
(`elements.py`). That is only done where nothing but the element, the place and columns can change what the body writes;
whatever else happens (an error too) is left to the loop as it stands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from impl.tabular.templates.elements import Elements, Fields, OtherError
from impl.tabular.templates.jinja import fromjson
from impl.tabular.templates.rows import FailedRowError, Program, RowError, copied
from impl.tabular.templates.syntax import (
    CHANGES,
    IMPLICIT,
    ROW_DATA,
    ROW_NUMBER,
    Parsed,
    closure,
    described,
    names_read,
    names_stored,
    walk,
)

if TYPE_CHECKING:
    import polars as pl

    from impl.tabular.templates.plan import Plan, Rows

AT_ONCE = 1_000  # rows whose elements are held: Python looks through all that is held again and again
OUTER = 2  # columns that a body may read beside its element
TRIAL = 20_000  # elements after which the distinct ones have to have saved half of the renderings
KEPT = 65_536  # texts of bodies,
KEPT_CHARACTERS = 32 << 20  # and their size
_SAFE_READERS = {"length", "count", "first", "last", "join"}  # filters that a list may go through as well
PLACES: dict[str, Callable[[int, int], Any]] = {
    "index": lambda at, length: at + 1,
    "index0": lambda at, length: at,
    "first": lambda at, length: not at,
    "last": lambda at, length: at + 1 == length,
    "length": lambda at, length: length,
    "revindex": lambda at, length: length - at,
    "revindex0": lambda at, length: length - at - 1,
}


@dataclass(frozen=True)
class Source:
    """Where the elements are. between: what stands between the texts of the list; None: it is JSON."""

    column: str
    between: str | None

    def of(self, text: str) -> list:
        """The list in a text of the column."""
        return fromjson(text) if self.between is None else text.split(self.between)


def source(node: nodes.Node, plan: Plan) -> Source | None:
    """The list that an expression stands for, if it is one in a column of texts."""
    import polars as pl

    if isinstance(node, nodes.Name):
        made = plan.definitions.get(node.name)
        return source(made.node, plan) if isinstance(made, nodes.Assign) else None
    if not isinstance(node, nodes.Call) or node.kwargs or node.dyn_args or node.dyn_kwargs:
        return None
    if isinstance(node.node, nodes.Getattr) and node.node.attr == "split":
        given, argument = node.node.node, node.args[0] if len(node.args) == 1 else None
        if not isinstance(argument, nodes.Const) or not isinstance(argument.value, str) or not argument.value:
            return None
        found = Source(_name(given), argument.value)
    elif isinstance(node.node, nodes.Name) and node.node.name == "fromjson" and len(node.args) == 1:
        if (
            "fromjson" in plan.types
            or "fromjson" in plan.parsed.stored
            or plan.environment.globals.get("fromjson") is not fromjson
        ):
            return None
        found = Source(_name(node.args[0]), None)
    else:
        return None
    return found if plan.types.get(found.column) == pl.String and found.column not in plan.parsed.stored else None


def _name(node: nodes.Node) -> str:
    return node.name if isinstance(node, nodes.Name) else ""


def is_read_by_loops(name: str, body: Iterable[nodes.Node], plan: Plan) -> bool:
    """Whether a list that a template sets is only gone through: then each loop may make it for itself."""
    everything = [part for one in [*body, *plan.parsed.portable.values()] for part in walk(one)]
    loads = sum(1 for one in everything if isinstance(one, nodes.Name) and one.name == name and one.ctx == "load")
    read = [one.iter for one in everything if isinstance(one, nodes.For)]
    read += [
        one.node for one in everything if isinstance(one, nodes.Filter) and one.name in _SAFE_READERS and one.node is not None
    ]
    always = any(isinstance(one, nodes.For) and _name(one.iter) == name for one in body)  # an error in it is one of every row
    return always and loads == sum(1 for one in read if _name(one) == name) and not _changes(everything)


def _changes(parts: Iterable[nodes.Node]) -> bool:
    """Whether something in a template may change a value in its place, or write what others read."""
    return any(
        (isinstance(one, nodes.Getattr) and one.attr in CHANGES)
        or (isinstance(one, nodes.Getitem) and not isinstance(one.arg, nodes.Const | nodes.Slice))
        or (isinstance(one, nodes.Const) and isinstance(one.value, str) and one.value in CHANGES)
        or (isinstance(one, nodes.Filter) and one.name in ("attr", "map"))
        or isinstance(one, nodes.NSRef)
        for one in parts
    )


def loop(node: nodes.For, plan: Plan, whole: Rows) -> Loop | None:
    """The loop by its elements, where that is surely the same. whole: renders it as it stands."""
    found = source(node.iter, plan)
    if found is None or node.else_ or node.recursive or not isinstance(node.target, nodes.Name):
        return None
    target = node.target.name
    if node.test is not None and _name(node.test) != target:
        return None
    places = _places(node.body)
    if places is None or target in plan.types or target in ("loop", ROW_DATA, ROW_NUMBER):
        return None
    read = names_read(node.body) - {target}
    reached = closure(read - {"loop"}, plan.definitions)
    needed = [plan.definitions[name] for name in plan.definitions if name in reached]
    if _changes(part for one in [*needed, *node.body] for part in walk(one)):
        return None
    own = {target, *names_stored(node.body)}
    if own & ({"loop"} | set(plan.types) | set(plan.definitions)) or reached & {
        *(IMPLICIT - {"loop"}),
        ROW_DATA,
        ROW_NUMBER,
        "col",
    }:
        return None
    # what is set elsewhere; and macros that would find names of the body, which they do not see where they stand
    if (read & plan.parsed.stored) - own - set(plan.definitions):
        return None
    if any(own & (names_read([one]) - set(names_stored([one]))) for one in needed):
        return None
    outer = [name for name in plan.types if name in reached]
    if any(not _plain(plan.types[name]) or not name.isidentifier() for name in outer):
        return None
    body = [_placed(copied(one)) for one in node.body]
    filtered = node.test is not None
    ways: list[Distinct | Table] = []
    if len(outer) <= OUTER:
        ways.append(Distinct(found, plan, [*needed, *body], target, places, outer, filtered))
    if target not in names_stored(node.body):
        fields = Fields(target, keyed=found.between is None)
        parsed = described(plan.environment, [*needed, *(fields.rewritten(copied(one)) for one in body)])
        placed = {f"__loop_{place}__": place for place in places}
        inner = partial(plan.inner, parsed)
        table = Table(Elements(found.column, found.between, fields.names, placed, outer, filtered, inner))
        ways.insert(0 if _is_plain(plan, parsed, fields, placed, outer) else 1, table)
    return Loop(whole, found, ways, outer) if ways else None


def _is_plain(plan: Plan, parsed: Parsed, fields: Fields, placed: Iterable[str], outer: Iterable[str]) -> bool:
    """Whether the body needs no Jinja where elements are texts: then it costs less than to look for those that are the same."""
    import polars as pl

    types = dict.fromkeys(fields.names.values(), pl.String)
    types |= dict.fromkeys(placed, pl.Int64) | {name: plan.types[name] for name in outer}
    return plan.inner(parsed, types).is_plain()


def _plain(kind: Any) -> bool:
    import polars as pl

    return kind == pl.String or kind == pl.Boolean or kind.is_integer()


def _places(body: Sequence[nodes.Node]) -> list[str] | None:
    """What a body asks `loop` for; None where it is more than its place."""
    parts = [part for one in body for part in walk(one)]
    loads = sum(1 for one in parts if isinstance(one, nodes.Name) and one.name == "loop")
    if not loads:
        return []
    if any(isinstance(one, nodes.For | nodes.Macro | nodes.CallBlock) for one in parts):
        return None
    asked = [one.attr for one in parts if isinstance(one, nodes.Getattr) and _name(one.node) == "loop" and one.attr in PLACES]
    return list(dict.fromkeys(asked)) if len(asked) == loads else None


def _placed(node: Any) -> Any:
    """A node with `loop.index` as a name of its own."""
    if isinstance(node, nodes.Getattr) and _name(node.node) == "loop":
        return nodes.Name(f"__loop_{node.attr}__", "load", lineno=node.lineno)
    if isinstance(node, nodes.Node):
        for name, value in list(node.iter_fields()):
            setattr(node, name, _placed(value))
        return node
    return type(node)(_placed(one) for one in node) if isinstance(node, list | tuple) else node


class Loop:
    """A loop that is rendered by its elements. ways: to do that, the better first; one that does not fit is given up."""

    def __init__(self, whole: Rows, source: Source, ways: list[Distinct | Table], outer: list[str]) -> None:
        self.whole, self.ways = whole, ways
        self.names = list(dict.fromkeys([source.column, *outer]))

    def evaluate(self, frame: pl.DataFrame) -> pl.Series:
        """The texts of `frame`'s rows. Raises FailedRowError."""
        import polars as pl

        if not self.ways or frame.select(pl.col(self.names).has_nulls()).row(0).count(True):
            return self.whole.evaluate(frame)
        different = frame.select(self.names).unique(maintain_order=True)
        repeated = different.height * 2 < frame.height
        found = self.tried(different if repeated else frame)
        if found is None:
            return self.whole.evaluate(frame)
        if not repeated:
            return found
        lookup = different.with_columns(found.alias("\0text"))
        return frame.select(self.names).join(lookup, on=self.names, how="left", maintain_order="left")["\0text"]

    def tried(self, frame: pl.DataFrame) -> pl.Series | None:
        """The texts by the first way that fits."""
        for way in list(self.ways):
            found = None
            if not way.given_up:
                try:
                    found = way.evaluate(frame)
                except (OtherError, FailedRowError, RowError, ValueError, TypeError, RecursionError):
                    way.given_up = True
            if way.given_up:
                self.ways = [one for one in self.ways if one is not way]
            if found is not None:
                return found
        return None


class Table:
    """All elements of a batch as a table."""

    def __init__(self, elements: Elements) -> None:
        self.elements, self.given_up = elements, False

    def evaluate(self, frame: pl.DataFrame) -> pl.Series | None:
        return self.elements.texts(frame)


class Distinct:
    """Each element and place once."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        body: list[nodes.Node],
        target: str,
        places: list[str],
        outer: list[str],
        filtered: bool,
    ) -> None:
        self.source, self.outer, self.filtered = source, outer, filtered
        names = [target, *(f"__loop_{place}__" for place in places), *outer]
        self.program = Program(plan.environment, body, names, loop=True, row=False, selfish=plan.selfish, numbered=False)
        self.places = [PLACES[one] for one in places]
        self.known: dict[Any, str] = {}
        self.marked: dict[int, list[tuple[Any, ...]]] = {}
        self.lock = threading.Lock()
        self.size = self.seen = self.rendered = 0
        self.given_up = False

    def evaluate(self, frame: pl.DataFrame) -> pl.Series | None:
        """The texts of `frame`'s rows; None where elements turn out to differ."""
        import polars as pl

        made: list[str] = []
        with self.lock:
            for piece in frame.iter_slices(AT_ONCE):
                made += self.texts(piece)
                if self.seen >= TRIAL and self.rendered * 2 > self.seen:
                    self.given_up, self.known = True, {}
                    return None
        return pl.Series(made, dtype=pl.String)

    def texts(self, frame: pl.DataFrame) -> list[str]:
        if len(self.known) > KEPT or self.size > KEPT_CHARACTERS:
            self.known, self.size = {}, 0
        known, plain = self.known, self.source.between is not None
        fresh: dict[Any, tuple[Any, ...]] = {}
        rows = []
        for elements, others in zip(self.lists(frame[self.source.column]), self.others(frame), strict=True):
            # `repr` of what JSON holds tells 1 from True and from 1.0, and keeps the order of keys
            keys = list(zip(elements if plain else map(repr, elements), self.marks(len(elements)), repeat(others)))
            for key, one in zip(keys, elements, strict=True):
                if key not in known:
                    known[key] = ""
                    fresh[key] = (one, *key[1], *others)
            rows.append(keys)
        self.seen += sum(map(len, rows))
        self.rendered += len(fresh)
        if fresh:
            made = self.program.render(list(zip(*fresh.values(), strict=True)), len(fresh))
            known.update(zip(fresh, made, strict=True))
            self.size += sum(map(len, made))
        return ["".join(map(known.__getitem__, keys)) for keys in rows]

    def marks(self, length: int) -> list[tuple[Any, ...]]:
        """What the body asks of its place, for each place of a list."""
        if length not in self.marked:
            made = [tuple(place(at, length) for place in self.places) for at in range(length)]
            if length > 100:
                return made
            self.marked[length] = made
        return self.marked[length]

    def lists(self, column: pl.Series) -> Iterator[list]:
        for text in column.to_list():
            elements = self.source.of(text)
            if type(elements) is not list:
                raise OtherError
            yield [one for one in elements if one] if self.filtered else elements

    def others(self, frame: pl.DataFrame) -> Iterable[tuple[Any, ...]]:
        return frame.select(self.outer).iter_rows() if self.outer else [()] * frame.height
