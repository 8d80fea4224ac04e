"""Loops whose elements differ: all elements of a batch become a table of their own, and the body of the loop is its template.

What the body asks of an element is a column (the element itself, what an object has under a key), as are its place in the
list and the columns of its row. The texts of the elements are put together again row by row. JSON has values of several
types under one key; elements that are alike in their types are a table each, so that a column is what Jinja sees there.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from impl.tabular.flow import framed
from impl.tabular.templates.jinja import fromjson, fromjsons

if TYPE_CHECKING:
    import polars as pl

    from impl.tabular.templates.plan import Plan

AT_ONCE = 1_000  # rows whose objects are held: Python looks through all that is held again and again
SHAPES = 32  # tables of elements that differ in their types
MANY = 12  # keys of an object whose lists are looked for by their letters
_TEXT = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9abcefABCEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))*"'
_WRITTEN = {str: _TEXT, int: "-?(?:0|[1-9][0-9]{0,17})"}
_KEY = re.compile(r"[A-Za-z0-9_ .-]+\Z")
NUMBER, OWNER = "\x00number", "\x00owner"  # of an element among all of them, and of its row
WRITTEN = "\x00written "  # before the name of a column: its texts, as Jinja writes them
_LARGE = 1 << 62
_OF_OBJECTS = frozenset(dir(dict))


class _Missing:
    """Stands for what an object does not have."""


class OtherError(Exception):
    """A value that is no list, or elements that are not what the body takes them for."""


class Fields:
    """What a body asks of an element. names: columns by key; the element itself has no key. keyed: whether it may be an object."""

    def __init__(self, target: str, keyed: bool) -> None:
        self.target, self.keyed = target, keyed
        self.names: dict[str | None, str] = {}

    def rewritten(self, node: Any) -> Any:
        """A node with `element.key` and `element["key"]` as names of their own."""
        if (key := self.key(node)) is not None:
            name = self.names.setdefault(key, f"__field_{len(self.names)}__")
            return nodes.Name(name, "load", lineno=node.lineno)
        if isinstance(node, nodes.Name) and node.name == self.target:
            self.names[None] = self.target
        if isinstance(node, nodes.Node):
            for name, value in list(node.iter_fields()):
                setattr(node, name, self.rewritten(value))
            return node
        return type(node)(self.rewritten(one) for one in node) if isinstance(node, list | tuple) else node

    def key(self, node: Any) -> str | None:
        """The key that is looked up in an element. Methods of objects are none."""
        if not self.keyed or not isinstance(node, nodes.Getattr | nodes.Getitem) or not isinstance(node.node, nodes.Name):
            return None
        found = node.attr if isinstance(node, nodes.Getattr) else node.arg.value if isinstance(node.arg, nodes.Const) else None
        return found if node.node.name == self.target and isinstance(found, str) and found not in _OF_OBJECTS else None


class Elements:
    """A loop over a table of elements.

    between: what stands between the texts of a list; None: the list is JSON. places: what the body asks of the place in the
    list, by column. outer: columns of the row that it reads. filtered: without elements that are false. inner: makes the plan
    of the body for a schema.
    """

    def __init__(
        self,
        column: str,
        between: str | None,
        fields: dict[str | None, str],
        places: dict[str, str],
        outer: Sequence[str],
        filtered: bool,
        inner: Callable[[dict[str, Any]], Plan],
    ) -> None:
        self.column, self.between, self.fields, self.filtered, self.inner = column, between, fields, filtered, inner
        self.places, self.outer = places, list(outer)
        self.plans: dict[tuple, Plan] = {}
        self.alike = not filtered and None not in fields
        self.lock = threading.Lock()

    def texts(self, frame: pl.DataFrame) -> pl.Series:
        """The texts of `frame`'s rows. Raises OtherError, FailedRowError, ValueError, TypeError."""
        import polars as pl

        tables, lengths = self.split(frame) if self.between is not None else self.parsed(frame)
        rows = pl.DataFrame({OWNER: pl.int_range(frame.height, eager=True), "length": lengths})
        owners = rows.select(pl.col(OWNER).repeat_by("length").explode().drop_nulls()).to_series()
        if not owners.len():
            return pl.repeat("", frame.height, dtype=pl.String, eager=True)
        around = self.around(frame, owners, lengths)
        written = [self.written(table, around, owners.len()) for table in tables]
        made = (
            written[0]
            if len(written) == 1
            else pl.concat(written).gather(pl.concat([one[NUMBER] for one in tables]).arg_sort())
        )
        every = pl.DataFrame({OWNER: owners.set_sorted(), "text": made}).group_by(OWNER, maintain_order=True).agg("text")
        joined = every.select(OWNER, pl.col("text").list.join(""))
        if joined.height < frame.height:  # lists without elements
            joined = rows.join(joined, on=OWNER, how="left", maintain_order="left")
        return joined["text"].fill_null("")

    def written(self, table: pl.DataFrame, around: pl.DataFrame, count: int) -> pl.Series:
        """The text of each element of a table. around: what is known of all `count` elements."""
        if around.width:
            table = table.hstack(around if table.height == count else around[table[NUMBER]])
        schema = dict(table.drop(NUMBER).schema)
        key = tuple(schema.items())
        with self.lock:
            if key not in self.plans:
                if len(self.plans) == SHAPES:
                    raise OtherError
                self.plans[key] = self.inner(schema)
            if not self.plans[key].is_worth_it() and table.height * 2 > count:
                raise OtherError
        return self.plans[key].evaluate(table, 0)

    def split(self, frame: pl.DataFrame) -> tuple[list[pl.DataFrame], pl.Series]:
        """The elements of lists between marks, and how many each row has."""
        import polars as pl

        lists = frame[self.column].str.split(self.between or "")
        if self.filtered:
            lists = lists.list.eval(pl.element().filter(pl.element() != ""))
        flat = lists.explode().drop_nulls()
        numbers = pl.int_range(flat.len(), eager=True).alias(NUMBER)
        return [pl.DataFrame([numbers, *(flat.alias(name) for name in self.fields.values())])], lists.list.len()

    def parsed(self, frame: pl.DataFrame) -> tuple[list[pl.DataFrame], pl.Series]:
        """The elements of lists in JSON, those of the same types in a table each, and how many each row has."""
        import polars as pl

        if self.alike:
            if (found := _decoded(frame[self.column], self.fields)) is not None:
                return found
            self.alike = False
        lengths: list[int] = []
        tables: dict[tuple, list[pl.DataFrame]] = {}
        done = 0
        for piece in frame[self.column].to_frame().iter_slices(AT_ONCE):
            lists = fromjsons(piece.to_series().to_list())
            if set(map(type, lists)) - {list}:
                raise OtherError
            if self.filtered:
                lists = [[one for one in elements if one] for elements in lists]
            lengths += map(len, lists)
            flat = list(chain.from_iterable(lists))
            for table in self.tables(flat, done):
                tables.setdefault(tuple(table.schema.items()), []).append(table)
            done += len(flat)
        return [_in_order(pl.concat(many)) for many in tables.values()], pl.Series(lengths, dtype=pl.UInt32)

    def tables(self, flat: list, start: int) -> Iterator[pl.DataFrame]:
        """Tables of elements that are alike. start: the number of the first one."""
        import polars as pl

        columns = {name: _values(flat, key) for key, name in self.fields.items()}
        numbers = pl.int_range(start, start + len(flat), eager=True).alias(NUMBER)
        if all(len(set(map(type, values))) == 1 for values in columns.values()):
            yield pl.DataFrame([numbers, *(made for name, values in columns.items() for made in _columns(name, values))])
            return
        kinds = [map(type, values) for values in columns.values()]
        alike: dict[tuple, list[int]] = {}
        for place, shape in enumerate(zip(*kinds, strict=True)):
            alike.setdefault(shape, []).append(place)
        for places in alike.values():
            parts = {name: [values[place] for place in places] for name, values in columns.items()}
            yield pl.DataFrame([numbers[places], *(made for name, values in parts.items() for made in _columns(name, values))])

    def around(self, frame: pl.DataFrame, owners: pl.Series, lengths: pl.Series) -> pl.DataFrame:
        """The place of each element, and the columns of its row."""
        import polars as pl

        made = frame.select(self.outer)[owners] if self.outer else pl.DataFrame()
        lengths = lengths.cast(pl.Int64)
        places = pl.DataFrame({"start": lengths.cum_sum() - lengths, "length": lengths})[owners]
        at, length = pl.int_range(pl.len()) - pl.col("start"), pl.col("length")
        meant = {
            "index": at + 1,
            "index0": at,
            "first": at == 0,
            "last": at + 1 == length,
            "length": length,
            "revindex": length - at,
            "revindex0": length - at - 1,
        }
        asked = [meant[place].alias(name) for name, place in self.places.items()]
        return framed([*made.get_columns(), *places.select(asked).get_columns()])


def _decoded(column: pl.Series, fields: dict[str | None, str]) -> tuple[list[pl.DataFrame], pl.Series] | None:
    """What `Elements.parsed` makes of lists, where all are of objects with the same keys for plain texts and whole numbers.

    They are only taken for that where each of them is written as the first object makes expect, letter for letter.
    """
    import polars as pl

    first = next((text for text in column.head(AT_ONCE).to_list() if len(text) > len("[{}]")), "")
    try:
        (found, *_) = fromjson(first)
        kinds = {key: _WRITTEN[type(value)] for key, value in found.items()}
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    if len(kinds) > MANY or not all(map(_KEY.match, kinds)) or not set(fields) <= set(kinds):
        return None
    one = r"\{" + ", ?".join(f'"{re.escape(key)}": ?{written}' for key, written in kinds.items()) + r"\}"
    if not column.str.contains(rf"^\[(?:{one}(?:, ?{one})*)?\]$").all():
        return None
    types = {str(key): pl.String if type(found[key]) is str else pl.Int64 for key in fields}
    lists = column.str.json_decode(pl.List(pl.Struct(types)))
    lengths, flat = lists.list.len(), lists.explode().drop_nulls()
    numbers = pl.int_range(flat.len(), eager=True).alias(NUMBER)
    return [pl.DataFrame([numbers, *(flat.struct.field(str(key)).alias(name) for key, name in fields.items())])], lengths


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Elements of two types may have come to one table, one behind the other: what has no type of its own is any object."""
    return table if table[NUMBER].is_sorted() else table[table[NUMBER].arg_sort()]


def _values(flat: list, key: str | None) -> list:
    """What the elements have under a key; the elements themselves if there is none."""
    if key is None:
        return flat
    if set(map(type, flat)) - {dict}:
        raise OtherError
    try:
        return list(map(itemgetter(key), flat))
    except KeyError:
        return [one.get(key, _Missing) for one in flat]


def _columns(name: str, values: list) -> list[pl.Series]:
    """Values of one type as a column. What is missing has none, and is undefined where it is read."""
    import polars as pl

    first = values[0] if values else _Missing
    if first is _Missing:
        return []
    if type(first) is str:
        return [pl.Series(name, values, dtype=pl.String)]
    if type(first) is bool:
        return [pl.Series(name, values, dtype=pl.Boolean)]
    if type(first) is int and min(values) >= -_LARGE and max(values) <= _LARGE:
        return [pl.Series(name, values, dtype=pl.Int64)]
    if type(first) is float and all(map(math.isfinite, values)):
        return [pl.Series(name, values, dtype=pl.Float64), pl.Series(WRITTEN + name, list(map(repr, values)), dtype=pl.String)]
    if first is None:
        return [pl.Series(name, values, dtype=pl.Null), pl.Series(WRITTEN + name, ["None"]).new_from_index(0, len(values))]
    return [pl.Series(name, values, dtype=pl.Object)]
