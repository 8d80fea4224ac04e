"""The query language of `filter_rows`: that of pandas' `DataFrame.query`, worked out by Polars where that gives the same rows.

query = parse("a == 'x' and not b.isnull()")    # QueryError where it cannot be read
kept = keep(query, batch)                       # the rows for which it is true

A missing value is never equal to, less or greater than anything, so `a != 'x'` is true of it. What Polars does not do
in just the same way (methods and patterns seldom used) goes to pandas, with the same result.
"""

from __future__ import annotations

import ast
import copy
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

_SCOPE = {"Timestamp", "datetime", "inf", "Inf", "list", "tuple"}  # names that a query knows besides the columns
_POSITION = {"index", "ilevel_0", "columns"}
_NODES = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Invert, ast.USub, ast.UAdd,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow, ast.FloorDiv,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn,
    ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple, ast.Attribute, ast.Call, ast.keyword, ast.Subscript, ast.Slice,
)  # fmt: skip
_WORDS: dict[type, str] = {ast.Is: "is", ast.IsNot: "is not", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>"}
_EACH_ROW = {
    "isnull", "isna", "notnull", "notna", "isin", "between", "eq", "ne", "lt", "le", "gt", "ge",
    "fillna", "astype", "abs", "round", "str", "dt",
}  # fmt: skip
# what Python's strip() takes away, written out: to look for it takes a tenth of a second
_STRIPPED = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# patterns that mean the same to Rust as to Python: plain characters, `.`, `|`, `^`, and one quantifier after a character
_SAME_PATTERN = re.compile(r"\^?(?:[\w ,:;@%='\"<>!~/&-][*+?]?|[^\x00-\x7f][*+?]?|\.[*+?]?|\|\^?)*", re.ASCII)


class QueryError(ValueError):
    """A query that cannot be read or worked out. what, hint: as in `EtlError`; row: of the batch, from 0."""

    def __init__(self, what: str, hint: str = "", row: int | None = None) -> None:
        super().__init__(what)
        self.what, self.hint, self.row = what, hint, row


@dataclass(frozen=True)
class Query:
    """text: as pandas gets it, with a plain name for each quoted column; names: columns that it reads, by that name.

    each_row: whether the rows can be looked at one by one (not so with a maximum, with duplicates, with `index`).
    """

    text: str
    tree: ast.expr = field(compare=False)
    names: Mapping[str, str] = field(compare=False)
    each_row: bool = True


def parse(text: str, exclude: bool = False) -> Query:
    """Read a query; `exclude` turns it round. QueryError where it is not one."""
    text = text.strip()
    if len([line for line in text.splitlines() if line.strip()]) > 1:
        raise QueryError("the query has more than one line", "write it with `>` instead of `|`, or in one line")
    plain, quoted = _unquoted(f"not( {text} )" if exclude else text)
    try:
        tree = ast.parse(plain.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        reason = getattr(error, "msg", None) or str(error)
        hint = "two things are compared with `==`" if re.search(r"[^=!<>]=[^=]", plain) else ""
        raise QueryError(f"the query cannot be read: {reason}", hint) from error
    names = {}
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            word = ast.unparse(node) if isinstance(node, ast.expr) else _WORDS.get(type(node), type(node).__name__)
            raise QueryError(f"a query cannot contain `{word}`")
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise QueryError(f"a query cannot contain `{node.attr}`")
        if isinstance(node, ast.Name):
            names[node.id] = quoted.get(node.id, node.id)
    return Query(plain.strip(), tree, names, _each_row(tree))


def columns(query: Query, given: Sequence[str]) -> list[str]:
    """The names in the query that stand for no column of `given` and for nothing else either."""
    known = {*given, *_SCOPE, *_POSITION}
    return [name for name in query.names.values() if name not in known]


def check(query: Query, schema: Mapping[str, pl.DataType]) -> None:
    """QueryError where the query compares what cannot be compared, such as text with a number, whatever the rows are."""
    _compiled(query, schema)


def keep(query: Query, batch: pl.DataFrame) -> pl.DataFrame:
    """The rows of which the query is true, in their order. QueryError where it cannot be worked out."""
    compiled = _compiled(query, batch.schema)
    if compiled is None:
        return batch.filter(_by_pandas(query, batch))
    if compiled.filled:
        missing = batch.select(one.is_null().arg_max().alias(str(at)) for at, (one, _) in enumerate(compiled.filled))
        lacks = batch.select(one.is_null().any().alias(str(at)) for at, (one, _) in enumerate(compiled.filled))
        for at, (_, text) in enumerate(compiled.filled):
            if batch.height and lacks[str(at)][0]:
                raise QueryError(
                    f"`{text}` is neither true nor false of a missing value",
                    "say what it is to be: `na=False` as the last thing in the brackets",
                    missing[str(at)][0],
                )
    return batch.filter(compiled.mask)


def _unquoted(text: str) -> tuple[str, dict[str, str]]:
    """`&` and `|` become `and` and `or`; each column in backticks a plain name; a comment goes. Text in quotes stays."""
    parts: list[str] = []
    quoted: dict[str, str] = {}
    at = 0
    while at < len(text):
        character = text[at]
        if character in "'\"":
            end = at + 1
            while end < len(text) and text[end] != character:
                end += 2 if text[end] == "\\" else 1
            parts.append(text[at : end + 1])
            at = end + 1
            continue
        if character == "`":
            end = text.find("`", at + 1)
            if end < 0:
                raise QueryError("a backtick is not closed", "write it before and after the name of the column")
            name = text[at + 1 : end]
            alias = next((one for one, known in quoted.items() if known == name), f"column_{len(quoted)}_")
            quoted[alias] = name
            parts.append(f" {alias} " if not name.isidentifier() else alias)
            at = end + 1
            continue
        if character == "@":
            raise QueryError("a query knows no variables with `@`", "write the value itself")
        if character == "#":
            break
        parts.append({"&": " and ", "|": " or "}.get(character, character))
        at += 1
    return "".join(parts), quoted


def _each_row(node: ast.AST) -> bool:
    """Whether what the query says of a row depends on that row alone."""
    if isinstance(node, ast.Name):
        return node.id not in _POSITION
    if isinstance(node, ast.Attribute):
        inside = node.value
        if isinstance(inside, ast.Attribute) and inside.attr in ("str", "dt"):
            return node.attr not in ("cat", "get_dummies") and _each_row(inside.value)
        return node.attr in _EACH_ROW and _each_row(inside)
    if isinstance(node, ast.Call):
        arguments = [*node.args, *(one.value for one in node.keywords)]
        return isinstance(node.func, ast.Attribute) and _each_row(node.func) and all(map(_constant, arguments))
    if isinstance(node, ast.Compare) and any(isinstance(one, ast.In | ast.NotIn) for one in node.ops):
        sides = [node.left, *node.comparators]
        if sum(not _constant(one) for one in sides) > 1:  # `a in b` looks at all of b
            return False
    return all(_each_row(one) for one in ast.iter_child_nodes(node))


def _constant(node: ast.AST) -> bool:
    return not any(isinstance(one, ast.Name | ast.Attribute | ast.Call) for one in ast.walk(node))


class _OnlyPandasError(Exception):
    """This part of the query is left to pandas."""


# What a part of a query is: a mask (true or false of each row), an answer (a mask that may be missing), text, numbers, or
# one value of the query itself.
_MASK, _ANSWER, _TEXT, _NUMBER, _VALUE = "mask", "answer", "text", "number", "value"


@dataclass(frozen=True)
class _Part:
    kind: str
    expr: Any = None
    value: Any = None


@dataclass(frozen=True)
class _Compiled:
    """mask: the rows; filled: what must not be missing of any row, with its words."""

    mask: pl.Expr
    filled: list[tuple[pl.Expr, str]]


def _compiled(query: Query, schema: Mapping[str, pl.DataType]) -> _Compiled | None:
    """The query in Polars; None where only pandas does it."""
    compiler = _Compiler(query, schema)
    try:
        part = compiler.part(query.tree)
        if part.kind == _ANSWER:
            compiler.filled.append((part.expr, ast.unparse(query.tree)))
        elif part.kind != _MASK:
            return None
    except _OnlyPandasError:
        return None
    return _Compiled(part.expr, compiler.filled)


class _Compiler:
    def __init__(self, query: Query, schema: Mapping[str, pl.DataType]) -> None:
        self.names, self.schema = query.names, schema
        self.filled: list[tuple[pl.Expr, str]] = []

    def part(self, node: ast.AST) -> _Part:
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool | int | float | str)):
            return _Part(_VALUE, value=node.value)
        if isinstance(node, ast.List | ast.Tuple):
            items = [self.part(one) for one in node.elts]
            if any(one.kind != _VALUE for one in items):
                raise _OnlyPandasError
            return _Part(_VALUE, value=[one.value for one in items])
        if isinstance(node, ast.Name):
            return self.column(self.names[node.id])
        if isinstance(node, ast.UnaryOp):
            return self.turned(node)
        if isinstance(node, ast.BoolOp):
            return self.joined(node)
        if isinstance(node, ast.Compare):
            return self.chained(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return self.method(node, node.func)
        raise _OnlyPandasError

    def column(self, name: str) -> _Part:
        import polars as pl

        if name not in self.schema:
            raise _OnlyPandasError
        kind = self.schema[name]
        if kind == pl.String:
            return _Part(_TEXT, pl.col(name))
        if kind.is_float():
            return _Part(_NUMBER, pl.col(name).fill_nan(None))
        if kind.is_integer():
            return _Part(_NUMBER, pl.col(name).cast(pl.Int64))
        raise _OnlyPandasError

    def turned(self, node: ast.UnaryOp) -> _Part:
        part = self.part(node.operand)
        if isinstance(node.op, ast.USub) and part.kind == _VALUE and _number(part.value):
            return _Part(_VALUE, value=-part.value)
        if isinstance(node.op, ast.Not | ast.Invert):
            if part.kind == _ANSWER:  # there is no `not` of a missing answer
                self.filled.append((part.expr, ast.unparse(node.operand)))
                return _Part(_MASK, ~part.expr)
            if part.kind == _MASK:
                return _Part(_MASK, ~part.expr)
        raise _OnlyPandasError

    def joined(self, node: ast.BoolOp) -> _Part:
        parts = [self.part(one) for one in node.values]
        if any(one.kind not in (_MASK, _ANSWER) for one in parts):
            raise _OnlyPandasError
        join: Callable[[Any, Any], Any] = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        masks = [one.expr if one.kind == _MASK else one.expr.fill_null(False) for one in parts]
        if isinstance(node.op, ast.Or) and parts[0].kind == _ANSWER:
            # a missing answer on the left makes the first `or` false, on the right it does not count
            masks[:2] = [(masks[0] | masks[1]) & parts[0].expr.is_not_null()]
        while len(masks) > 1:  # by pairs: hundreds of them one within the other are too deep
            masks = [join(*masks[at : at + 2]) if at + 1 < len(masks) else masks[at] for at in range(0, len(masks), 2)]
        return _Part(_MASK, masks[0])

    def chained(self, node: ast.Compare) -> _Part:
        masks, left = [], node.left
        for how, right in zip(node.ops, node.comparators, strict=True):
            masks.append(self.compared(self.part(left), how, self.part(right)))
            left = right
        found = masks[0]
        for one in masks[1:]:
            found = found & one
        return _Part(_MASK, found)

    def compared(self, left: _Part, how: ast.cmpop, right: _Part) -> pl.Expr:
        import polars as pl

        if isinstance(how, ast.In | ast.NotIn):
            if right.kind == _VALUE and isinstance(right.value, str):
                right = _Part(_VALUE, value=[right.value])
            if left.kind == _VALUE and isinstance(left.value, str | list):  # 'x' in a: is a one of these?
                left, right = right, _Part(_VALUE, value=left.value if isinstance(left.value, list) else [left.value])
            if left.kind == _VALUE or right.kind != _VALUE or not isinstance(right.value, list):
                raise _OnlyPandasError
            found = self.among(left, right.value)
            return found if isinstance(how, ast.In) else ~found
        if left.kind == _VALUE:
            if right.kind == _VALUE:
                raise _OnlyPandasError
            turned = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
            left, right, how = right, left, turned.get(type(how), type(how))()
        equal, unequal = isinstance(how, ast.Eq), isinstance(how, ast.NotEq)
        value = right.value
        if right.kind == _VALUE and isinstance(value, list):
            if not equal and not unequal:
                raise _OnlyPandasError
            found = self.among(left, value)
            return found if equal else ~found
        if left.kind in (_MASK, _ANSWER):
            if right.kind != _VALUE or not isinstance(value, bool) or not (equal or unequal):
                raise _OnlyPandasError
            same = (left.expr if value else ~left.expr).fill_null(False)
            return same if equal else ~same
        if right.kind == _VALUE and value is None:
            return self.always(left, unequal)
        if right.kind == _VALUE and not isinstance(value, str) and not _number(value):
            raise _OnlyPandasError
        other = _TEXT if right.kind == _VALUE and isinstance(value, str) else _NUMBER if right.kind == _VALUE else right.kind
        if other not in (_TEXT, _NUMBER):
            raise _OnlyPandasError
        if left.kind != other:
            if equal or unequal:
                return self.always(left, unequal)
            raise QueryError(
                "text is compared with a number",
                f"a file holds text: write '{value}' in quotes; texts are compared letter by letter, '10' is before '9'"
                if other == _NUMBER and right.kind == _VALUE
                else "",
            )
        expr = pl.lit(value) if right.kind == _VALUE else right.expr
        if unequal:
            return (left.expr != expr).fill_null(True)
        compare: dict[type, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
            ast.Eq: lambda one, two: one == two,
            ast.Lt: lambda one, two: one < two,
            ast.LtE: lambda one, two: one <= two,
            ast.Gt: lambda one, two: one > two,
            ast.GtE: lambda one, two: one >= two,
        }
        return compare[type(how)](left.expr, expr).fill_null(False)

    def always(self, part: _Part, answer: bool) -> pl.Expr:
        """The same answer for each row; tied to a column, for its length."""
        return part.expr.is_null().or_(True) if answer else part.expr.is_null().and_(False)

    def among(self, part: _Part, values: list[Any]) -> pl.Expr:
        import polars as pl

        if part.kind == _TEXT and all(isinstance(one, str) or _number(one) or one is None for one in values):
            texts = [one for one in values if isinstance(one, str)]
            if not texts:
                return self.always(part, False)
            return part.expr.is_in(pl.Series(texts, dtype=pl.String).implode()).fill_null(False)
        if part.kind == _NUMBER and values and all(_number(one) for one in values):
            kind = pl.Float64 if any(isinstance(one, float) for one in values) else None
            found = self.always(part, False)
            for one in values:
                found = found | ((part.expr.cast(kind) if kind else part.expr) == one).fill_null(False)
            return found
        raise _OnlyPandasError

    def method(self, node: ast.Call, attribute: ast.Attribute) -> _Part:
        """`a.isnull()`, `a.str.contains('x')`. Whatever is not done here is left to pandas."""
        import polars as pl

        arguments = [self.part(one) for one in node.args]
        options = {one.arg: self.part(one.value) for one in node.keywords}
        if any(one.kind != _VALUE for one in [*arguments, *options.values()]):
            raise _OnlyPandasError
        values = [one.value for one in arguments]
        name, inside = attribute.attr, attribute.value
        if not (isinstance(inside, ast.Attribute) and inside.attr == "str"):
            part = self.part(inside)
            if options or part.kind not in (_TEXT, _NUMBER):
                raise _OnlyPandasError
            if name in ("isnull", "isna") and not values:
                return _Part(_MASK, part.expr.is_null())
            if name in ("notnull", "notna") and not values:
                return _Part(_MASK, part.expr.is_not_null())
            if name == "isin" and len(values) == 1 and isinstance(values[0], list):
                return _Part(_MASK, self.among(part, values[0]))
            if name == "fillna" and part.kind == _TEXT and len(values) == 1 and isinstance(values[0], str):
                return _Part(_TEXT, part.expr.fill_null(pl.lit(values[0])))
            raise _OnlyPandasError
        part = self.part(inside.value)
        if part.kind != _TEXT:
            raise _OnlyPandasError
        if name in ("contains", "startswith", "endswith", "fullmatch"):
            return self.found(part, name, values, {key: one.value for key, one in options.items() if key is not None})
        if options:
            raise _OnlyPandasError
        if name in ("lower", "upper") and not values:
            return _Part(_TEXT, getattr(part.expr.str, f"to_{name}case")())
        if name == "len" and not values:
            return _Part(_NUMBER, part.expr.str.len_chars().cast(pl.Int64))
        if name in ("strip", "lstrip", "rstrip") and (not values or (len(values) == 1 and isinstance(values[0], str))):
            strip = {"strip": "strip_chars", "lstrip": "strip_chars_start", "rstrip": "strip_chars_end"}[name]
            characters = values[0] if values else _STRIPPED
            return _Part(_TEXT, getattr(part.expr.str, strip)(characters)) if characters else part
        if name == "slice" and 1 <= len(values) <= 2 and all(type(one) is int and one >= 0 for one in values):
            length = None if len(values) == 1 else max(values[1] - values[0], 0)
            return _Part(_TEXT, part.expr.str.slice(values[0], length))
        raise _OnlyPandasError

    def found(self, part: _Part, name: str, values: list[Any], options: dict[str, Any]) -> _Part:
        """The predicates on text: true, false, or missing where the text is and `na` does not say."""
        missing = options.pop("na", None)
        regex = options.pop("regex", True) if name == "contains" else name == "fullmatch"
        if options or len(values) != 1 or not isinstance(values[0], str) or regex not in (True, False):
            raise _OnlyPandasError
        pattern = values[0]
        if regex and (not _SAME_PATTERN.fullmatch(pattern) or (name == "fullmatch" and not _plain(pattern))):
            raise _OnlyPandasError
        if name == "contains":
            expr = part.expr.str.contains(pattern, literal=not regex or _plain(pattern))
        elif name == "fullmatch":
            expr = part.expr == pattern
        else:
            expr = part.expr.str.starts_with(pattern) if name == "startswith" else part.expr.str.ends_with(pattern)
        if missing is None:
            return _Part(_ANSWER, expr)
        if not isinstance(missing, bool):
            raise _OnlyPandasError
        return _Part(_MASK, expr.fill_null(missing))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def _plain(pattern: str) -> bool:
    return not any(one in pattern for one in ".|^*+?")


_PANDAS_ERRORS = (
    TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError, NameError, SyntaxError,
    ArithmeticError, re.error,
)  # fmt: skip


def _by_pandas(query: Query, batch: pl.DataFrame) -> pl.Series:
    """The mask that pandas finds, on the columns that the query reads."""
    import warnings

    import polars as pl

    try:
        import pandas
    except ImportError as error:
        raise QueryError("this query needs pandas", "pip install pandas") from error
    used = {alias: name for alias, name in query.names.items() if name in batch.columns}
    frame = pandas.DataFrame({alias: to_pandas(batch[name]) for alias, name in used.items()}, index=range(batch.height))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = _with_times(query, frame)
            rows = frame.query(text, engine="python", local_dict={}, global_dict={}).index
    except _PANDAS_ERRORS as error:
        raise QueryError(f"the query cannot be worked out: {str(error).splitlines()[0]}") from error
    mask = pl.repeat(False, batch.height, dtype=pl.Boolean, eager=True)
    return mask.scatter(list(rows), True) if len(rows) else mask


def _with_times(query: Query, frame: Any) -> str:
    """The text of the query, with columns of `frame` in the place of `when == '2024-02-29'`: pandas 3 finds a text equal to no time.

    As pandas 2 has it: texts are times if all of them can be, and an empty one is a missing time.
    """
    times = [name for name in frame.columns if frame[name].dtype.kind == "M"]
    if not times:
        return query.text
    found = _Times(frame, times)
    tree = ast.unparse(found.visit(copy.deepcopy(query.tree)))
    for name, answer in found.answers.items():
        frame[name] = answer
    return tree if found.answers else query.text


class _Times(ast.NodeTransformer):
    """Answers the comparisons of a column of times with texts for equality, and puts a name in their place."""

    def __init__(self, frame: Any, times: Sequence[str]) -> None:
        self.frame, self.times = frame, times
        self.answers: dict[str, Any] = {}

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            return self._answered(node, [node.left, *node.comparators], isinstance(node.ops[0], ast.Eq | ast.In))
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "isin":
            return self._answered(node, [node.func.value, *node.args], True)
        return self.generic_visit(node)

    def _answered(self, node: ast.AST, sides: Sequence[ast.AST], whether: bool) -> ast.AST:
        columns = [one.id for one in sides if isinstance(one, ast.Name) and one.id in self.times]
        texts = [one for side in sides for one in _texts_of(side)]
        if len(columns) != 1 or not texts:
            return self.generic_visit(node)
        name = f"answer_{len(self.answers)}_"
        found = self._among(self.frame[columns[0]], texts)
        self.answers[name] = found if whether else ~found
        return ast.Name(name, ast.Load())

    def _among(self, column: Any, texts: Sequence[str]) -> Any:
        import pandas

        try:
            times = [pandas.Timestamp(one) for one in texts]
        except ValueError:
            times = []
        if any(one.tzinfo for one in times):
            times = []
        found = column.isin([one for one in times if one is not pandas.NaT])
        return found | column.isna() if pandas.NaT in times else found


def _texts_of(node: ast.AST) -> list[str]:
    """The texts that a part of a query is: one, or a list of nothing else."""
    nodes = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    texts = [one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return texts if len(texts) == len(nodes) else []


def to_pandas(series: pl.Series) -> Any:
    """A column as pandas has it after reading: text, and whatever is no number, is `object`, missing is NaN."""
    import pandas
    import polars as pl

    kind = series.dtype
    if kind.is_float() or (kind.is_integer() and series.null_count()):
        return pandas.Series(series.cast(pl.Float64).fill_null(float("nan")).to_numpy())
    if kind.is_integer() or (kind == pl.Boolean and not series.null_count()):
        return pandas.Series(series.to_numpy())
    if kind in (pl.Datetime, pl.Date) and getattr(kind, "time_zone", None) is None:
        return pandas.Series(series.to_list(), dtype="datetime64[us]").astype("datetime64[ns]")
    nan = float("nan")
    return pandas.Series([nan if one is None else one for one in series.to_list()], dtype=object)
