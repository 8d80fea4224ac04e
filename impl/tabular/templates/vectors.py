"""Templates as column expressions: the pieces of Jinja whose result on texts is known without running it.

A piece that is not understood raises NotVectorError and is left to Jinja. Every value is a text that is there; rows where a
column is null, not ASCII (where letters have case or blanks have kinds), or no number (`int`) are left to Jinja as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from impl.tabular.templates.syntax import IMPLICIT, ROW_DATA, ROW_NUMBER, names_read, row_field

if TYPE_CHECKING:
    pass

TEXT, NUMBER, TRUTH, NOTHING = "text", "number", "truth", "nothing"
ROW = "\x00row"  # column of row numbers that a batch carries beside its own
CALLS = 4  # macros within macros: their expressions stand in one another
_FOREIGN = r"[^\x00-\x7f]"
# a letter that begins a word in Polars and none in Jinja, whose words end at blanks and at - ( { [ < alone
_OTHER_WORDS = _FOREIGN + r"|[^A-Za-z \t\n\r\x0b\x0c\-({\[<][A-Za-z]"
_BLANKS = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"


class NotVectorError(Exception):
    """This piece has to be rendered by Jinja."""


@dataclass
class Vector:
    """One value per row. kind: text, number, truth or nothing (a name that is not there). constant: where it is always one.

    names: columns it reads; ascii: those that have to be ASCII; guards: expressions that hold where `expr` is right.
    """

    kind: str
    expr: Any
    constant: Any = ...
    names: frozenset[str] = frozenset()
    ascii: frozenset[str] = frozenset()
    guards: tuple[Any, ...] = ()

    def like(self, kind: str, expr: Any, *others: Vector, ascii_too: bool = False) -> Vector:
        """Another value, made of this one and `others`."""
        every = [self, *others]
        names = frozenset().union(*(one.names for one in every))
        return Vector(
            kind,
            expr,
            names=names,
            ascii=names if ascii_too else frozenset().union(*(one.ascii for one in every)),
            guards=tuple(guard for one in every for guard in one.guards),
        )


@dataclass
class Compiler:
    """Compiles nodes for one schema.

    types: of the columns. known: names that are set or stand for something else than columns. values: what names are set
    to, where that is a vector as well; in a macro, what it is given. json: columns to be made by `json_texts`, by name: the texts they are made from.
    written: columns of texts, by the columns that are written so. macros: that may be called. calls: the one that this compiles,
    with those around it.
    """

    types: Mapping[str, Any]
    known: set[str]
    values: Mapping[str, nodes.Node | Vector] = field(default_factory=dict)
    json: dict[str, tuple[str, Vector]] = field(default_factory=dict)  # key: (name, text)
    written: Mapping[str, str] = field(default_factory=dict)
    macros: Mapping[str, nodes.Macro] = field(default_factory=dict)
    calls: tuple[str, ...] = ()

    def output(self, node: nodes.Node) -> Vector:
        """The text that `{{ node }}` writes."""
        if isinstance(node, nodes.TemplateData):
            return _constant(node.data)
        if isinstance(node, nodes.Filter) and node.name == "tojson" and not (node.args or node.kwargs or node.dyn_args):
            return self.tojson(node)
        if isinstance(node, nodes.Getitem) and (letter := self.letter(node)) is not None:
            return letter
        if isinstance(node, nodes.CondExpr):
            return self.either(node)
        if isinstance(node, nodes.Name) and node.name in self.written and node.name not in self.values:
            return self.column(self.written[node.name])
        return self.text(self.value(node))

    def text(self, value: Vector) -> Vector:
        """A value as it is written."""
        import polars as pl

        if value.kind == TEXT:
            return value
        if value.kind == NOTHING:
            return _constant("")
        if value.constant is not ...:
            return _constant(str(value.constant))
        if value.kind == TRUTH:
            return value.like(TEXT, pl.when(value.expr).then(pl.lit("True")).otherwise(pl.lit("False")))
        return value.like(TEXT, value.expr.cast(pl.String))

    def tojson(self, node: nodes.Filter) -> Vector:
        import polars as pl

        if node.node is None:
            raise NotVectorError
        inner = self.value(node.node)
        if inner.kind == NUMBER and inner.constant is ...:
            return self.text(inner)
        if inner.kind != TEXT or inner.constant is not ...:
            raise NotVectorError
        key = repr((self.calls, node.node))
        if key not in self.json:
            self.json[key] = (f"\x00json{len(self.json)}", inner)
        return inner.like(TEXT, pl.col(self.json[key][0]))

    def either(self, node: nodes.CondExpr) -> Vector:
        """`{{ a if b else c }}`, written."""
        import polars as pl

        test, first = self.truth(node.test), self.output(node.expr1)
        second = self.output(node.expr2) if node.expr2 is not None else _constant("")
        if test.constant is not ...:
            return first if test.constant else second
        return test.like(TEXT, pl.when(test.expr).then(first.expr).otherwise(second.expr), first, second)

    def letter(self, node: nodes.Getitem) -> Vector | None:
        """`x[0]`, written: nothing where the text is too short."""
        place = _number(node.arg)
        if place is None or row_field(node) is not None:
            return None
        inner = self.value(node.node)
        if inner.kind != TEXT or inner.constant is not ...:
            return None
        if place >= 0:
            return inner.like(TEXT, inner.expr.str.slice(place, 1))
        ends = inner.expr.str.tail(-place)  # the whole text where it is too short: then there is no such letter
        import polars as pl

        return inner.like(TEXT, pl.when(inner.expr.str.len_chars() >= -place).then(ends.str.slice(0, 1)).otherwise(pl.lit("")))

    def branches(self, node: nodes.If) -> Vector:
        """An `if` of expressions with bodies of expressions."""
        import polars as pl

        cases = [(self.truth(one.test), self.body(one.body)) for one in [node, *node.elif_]]
        result = self.body(node.else_)
        for test, body in reversed(cases):
            if test.constant is not ...:
                result = body if test.constant else result
            else:
                result = test.like(TEXT, pl.when(test.expr).then(body.expr).otherwise(result.expr), body, result)
        return result

    def body(self, body: Iterable[nodes.Node]) -> Vector:
        """What pieces write, one behind the other."""
        import polars as pl

        found: list[Vector] = []
        for node in body:
            if isinstance(node, nodes.If):
                found.append(self.branches(node))
            elif isinstance(node, nodes.Output):
                found += [self.output(one) for one in node.nodes]
            else:
                raise NotVectorError
        if all(one.constant is not ... for one in found):
            return _constant("".join(one.constant for one in found))
        return found[0].like(TEXT, pl.concat_str([one.expr for one in found]), *found[1:])

    def call(self, node: nodes.Call) -> Vector:
        """The text of a macro whose body is made of expressions."""
        macro = self.macros.get(node.node.name) if isinstance(node.node, nodes.Name) else None
        if macro is None or macro.name in self.values or node.dyn_args or node.dyn_kwargs or len(self.calls) >= CALLS:
            raise NotVectorError
        names = [one.name for one in macro.args]
        named = {one.key: one.value for one in node.kwargs}
        if len(node.args) > len(names) or set(named) - set(names[len(node.args) :]) or names_read(macro.body) & IMPLICIT:
            raise NotVectorError
        given: dict[str, nodes.Node | Vector] = {name: Vector(NOTHING, None) for name in names}
        for name, default in zip(names[len(names) - len(macro.defaults) :], macro.defaults, strict=True):
            if not isinstance(default, nodes.Const):
                raise NotVectorError  # it may read what it is given before
            given[name] = self.value(default)
        given |= {name: self.value(one) for name, one in [*zip(names, node.args, strict=False), *named.items()]}
        return replace(self, values=given, calls=(*self.calls, repr(node))).body(macro.body)

    def truth(self, node: nodes.Node) -> Vector:
        """Whether a value counts as true."""
        if isinstance(node, nodes.Not):
            inner = self.truth(node.node)
            return _truth(not inner.constant) if inner.constant is not ... else inner.like(TRUTH, ~inner.expr)
        if isinstance(node, nodes.And | nodes.Or):
            left, right = self.truth(node.left), self.truth(node.right)
            both = isinstance(node, nodes.And)
            for one, other in ((left, right), (right, left)):
                if one.constant is not ...:
                    # a constant on the right decides only if the left cannot fail, and nothing here can
                    return other if bool(one.constant) is both else _truth(bool(one.constant))
            return left.like(TRUTH, left.expr & right.expr if both else left.expr | right.expr, right)
        value = self.value(node)
        if value.constant is not ...:
            return _truth(bool(value.constant))
        if value.kind == NOTHING:
            return _truth(False)
        if value.kind == TRUTH:
            return value
        return value.like(TRUTH, value.expr != ("" if value.kind == TEXT else 0))

    def value(self, node: nodes.Node | None) -> Vector:
        if isinstance(node, nodes.Const):
            return _constant(node.value)
        if isinstance(node, nodes.Name):
            return self.name(node.name)
        if node is not None and (name := row_field(node)) is not None:
            return self.column(name) if name in self.types else Vector(NOTHING, None)
        for kinds, method in _METHODS:
            if isinstance(node, kinds):
                return method(self, node)
        raise NotVectorError

    def name(self, name: str) -> Vector:
        import polars as pl

        if name in self.values:
            meant = self.values[name]
            return meant if isinstance(meant, Vector) else self.value(meant)
        if name in self.known or name == ROW_DATA or name in IMPLICIT:
            raise NotVectorError
        if name in self.types:
            return self.column(name)
        if name == ROW_NUMBER:
            return Vector(NUMBER, pl.col(ROW))
        return Vector(NOTHING, None)

    def column(self, name: str) -> Vector:
        import polars as pl

        if self.types[name] == pl.String:
            return Vector(TEXT, pl.col(name), names=frozenset({name}))
        if self.types[name].is_integer():
            return Vector(NUMBER, pl.col(name), names=frozenset({name}))
        if self.types[name] == pl.Boolean:
            return Vector(TRUTH, pl.col(name), names=frozenset({name}))
        raise NotVectorError

    def filter(self, node: nodes.Filter) -> Vector:
        import polars as pl

        if node.kwargs or node.dyn_args or node.dyn_kwargs or node.node is None:
            raise NotVectorError
        inner = self.value(node.node)
        if node.name in ("default", "d"):
            return self.default(node, inner)
        if inner.kind == NUMBER and inner.constant is ... and not node.args and node.name in ("int", "string"):
            return inner if node.name == "int" else self.text(inner)
        if inner.kind != TEXT or inner.constant is not ...:
            raise NotVectorError
        expr = inner.expr
        if node.name in ("lower", "upper") and not node.args:
            return inner.like(
                TEXT, expr.str.to_lowercase() if node.name == "lower" else expr.str.to_uppercase(), ascii_too=True
            )
        if node.name in ("capitalize", "title") and not node.args:
            first, rest = expr.str.slice(0, 1).str.to_uppercase(), expr.str.slice(1).str.to_lowercase()
            titled = node.name == "title"
            made = inner.like(TEXT, expr.str.to_titlecase() if titled else pl.concat_str([first, rest]))
            made.guards += (~expr.str.contains(_OTHER_WORDS if titled else _FOREIGN),)
            return made
        if node.name == "trim" and not node.args:
            return inner.like(TEXT, expr.str.strip_chars(_BLANKS), ascii_too=True)
        if node.name == "string" and not node.args:
            return inner
        if node.name in ("length", "count") and not node.args:
            return inner.like(NUMBER, expr.str.len_chars().cast(pl.Int64))
        if node.name == "replace" and len(node.args) == 2:
            old, new = (self.value(one) for one in node.args)
            if old.kind == new.kind == TEXT and old.constant not in ("", ...) and new.constant is not ...:
                return inner.like(TEXT, expr.str.replace_all(old.constant, new.constant, literal=True))
        if node.name == "int" and not node.args and not inner.guards:
            made = inner.like(NUMBER, expr.cast(pl.Int64, strict=False))
            made.guards += (expr.str.contains(r"^-?[0-9]{1,15}$"),)
            return made
        raise NotVectorError

    def default(self, node: nodes.Filter, inner: Vector) -> Vector:
        import polars as pl

        if not node.args or inner.constant is not ...:
            raise NotVectorError
        other = self.value(node.args[0])
        also_false = len(node.args) > 1 and self.value(node.args[1]).constant
        if also_false is ... or len(node.args) > 2:
            raise NotVectorError
        if inner.kind == NOTHING:
            return other
        if not also_false:
            return inner
        if inner.kind != TEXT or other.kind != TEXT:
            raise NotVectorError
        return inner.like(TEXT, pl.when(inner.expr != "").then(inner.expr).otherwise(other.expr), other)

    def slice(self, node: nodes.Getitem) -> Vector:
        if not isinstance(node.arg, nodes.Slice) or node.arg.step is not None:
            raise NotVectorError
        inner = self.value(node.node)
        if inner.kind != TEXT or inner.constant is not ...:
            raise NotVectorError
        start, stop = (None if one is None else _number(one) for one in (node.arg.start, node.arg.stop))
        if (node.arg.start is not None and start is None) or (node.arg.stop is not None and stop is None):
            raise NotVectorError
        start, expr = start or 0, inner.expr
        if start >= 0:
            if stop is None:
                expr = expr.str.slice(start)
            elif stop >= 0:
                expr = expr.str.slice(start, max(stop - start, 0))
            else:
                expr = expr.str.head(stop)
                expr = expr.str.slice(start) if start else expr
        elif stop is None:
            expr = expr.str.tail(-start)
        elif stop < 0:
            expr = expr.str.tail(-start).str.head(stop)
        else:
            raise NotVectorError
        return inner.like(TEXT, expr)

    def joined(self, node: nodes.Concat) -> Vector:
        import polars as pl

        parts = [self.text(self.value(one)) for one in node.nodes]
        if all(one.constant is not ... for one in parts):
            return _constant("".join(one.constant for one in parts))
        return parts[0].like(TEXT, pl.concat_str([one.expr for one in parts]), *parts[1:])

    def added(self, node: nodes.Add) -> Vector:
        import polars as pl

        left, right = self.value(node.left), self.value(node.right)
        if left.kind == right.kind == TEXT and (left.constant is ... or right.constant is ...):
            return left.like(TEXT, pl.concat_str([left.expr, right.expr]), right)
        raise NotVectorError

    def compared(self, node: nodes.Compare) -> Vector:
        if len(node.ops) != 1:
            raise NotVectorError
        left, how, other = self.value(node.expr), node.ops[0].op, node.ops[0].expr
        if how in ("in", "notin"):
            made = self.among(left, other)
            return made if how == "in" else _negated(made)
        right = self.value(other)
        if left.constant is not ... and right.constant is not ...:
            raise NotVectorError
        if left.kind != right.kind or left.kind not in (TEXT, NUMBER):
            if {left.kind, right.kind} == {TEXT, NUMBER} and how in ("eq", "ne"):
                return _truth(how == "ne")  # a text is never a number
            raise NotVectorError
        made = {
            "eq": lambda: left.expr == right.expr,
            "ne": lambda: left.expr != right.expr,
            "lt": lambda: left.expr < right.expr,
            "lteq": lambda: left.expr <= right.expr,
            "gt": lambda: left.expr > right.expr,
            "gteq": lambda: left.expr >= right.expr,
        }[how]()
        return left.like(TRUTH, made, right)

    def among(self, left: Vector, other: nodes.Expr) -> Vector:
        if isinstance(other, nodes.Tuple | nodes.List):
            choices = [self.value(one) for one in other.items]
            if (
                left.kind == TEXT
                and left.constant is ...
                and all(one.kind == TEXT and one.constant is not ... for one in choices)
            ):
                return left.like(
                    TRUTH, left.expr.is_in([one.constant for one in choices]) if choices else left.expr != left.expr
                )
            raise NotVectorError
        right = self.value(other)
        if left.kind == right.kind == TEXT and (left.constant is ... or right.constant is ...):
            if left.constant is not ...:
                return right.like(TRUTH, right.expr.str.contains(left.constant, literal=True))
            import polars as pl

            texts = pl.lit(right.constant) if right.constant is not ... else right.expr
            return left.like(TRUTH, texts.str.contains(left.expr, literal=True), right)
        raise NotVectorError

    def chosen(self, node: nodes.CondExpr) -> Vector:
        import polars as pl

        test = self.truth(node.test)
        first = self.value(node.expr1)
        second = self.value(node.expr2) if node.expr2 is not None else Vector(NOTHING, None)
        if test.constant is not ...:
            return first if test.constant else second
        if first.kind != second.kind or first.kind not in (TEXT, NUMBER):
            raise NotVectorError
        return test.like(first.kind, pl.when(test.expr).then(first.expr).otherwise(second.expr), first, second)

    def tested(self, node: nodes.Test) -> Vector:
        if node.args or node.kwargs:
            raise NotVectorError
        inner = self.value(node.node)
        if node.name in ("defined", "undefined"):
            return _truth((inner.kind != NOTHING) is (node.name == "defined"))
        if node.name == "none" and inner.constant is ...:
            return _truth(False)  # what is missing is NaN or an empty text
        if node.name == "string" and inner.kind == TEXT and inner.constant is ...:
            return inner.like(TRUTH, inner.expr.is_not_null())
        raise NotVectorError

    def logic(self, node: nodes.Expr) -> Vector:
        if isinstance(node, nodes.Not):
            return self.truth(node)
        left, right = self.value(node.left), self.value(node.right)  # type: ignore[attr-defined]
        if left.kind == right.kind == TRUTH:
            return self.truth(node)
        raise NotVectorError  # gives one of its operands


_METHODS: tuple[tuple[Any, Any], ...] = (
    (nodes.Filter, Compiler.filter),
    (nodes.Call, Compiler.call),
    (nodes.Getitem, Compiler.slice),
    (nodes.Concat, Compiler.joined),
    (nodes.Add, Compiler.added),
    (nodes.Compare, Compiler.compared),
    (nodes.CondExpr, Compiler.chosen),
    (nodes.Test, Compiler.tested),
    ((nodes.And, nodes.Or, nodes.Not), Compiler.logic),
)


def _constant(value: Any) -> Vector:
    import polars as pl

    if isinstance(value, str):
        return Vector(TEXT, pl.lit(str(value)), constant=str(value))
    if isinstance(value, bool):
        return _truth(value)
    if isinstance(value, int) and abs(value) < 1 << 62:
        return Vector(NUMBER, pl.lit(value), constant=value)
    raise NotVectorError


def _truth(value: bool) -> Vector:
    import polars as pl

    return Vector(TRUTH, pl.lit(value), constant=value)


def _negated(value: Vector) -> Vector:
    return _truth(not value.constant) if value.constant is not ... else value.like(TRUTH, ~value.expr)


def _number(node: nodes.Node | None) -> int | None:
    """The whole number that a node is."""
    if isinstance(node, nodes.Neg) and (inner := _number(node.node)) is not None:
        return -inner
    if isinstance(node, nodes.Const) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return None
