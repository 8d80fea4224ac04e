"""JSON, and JSON lines in bounded memory.

A type is only known when all values were seen. So lines are read twice: the first time for the types of the columns, the
second time for their values. A file that is small is kept from the first time.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import Context, framed
from impl.tabular.sources.jsontokens import ROW, Lines, LooseError, Tokens
from impl.tabular.sources.jsontypes import BadTokenError, Facts, Kind, is_dated, values_of
from impl.tabular.sources.source import empty
from impl.tabular.sources.typed import ARCHIVES, Typed
from impl.tabular.sources.values import column_of
from impl.tabular.spec import Spec
from impl.tabular.spill import size_of

if TYPE_CHECKING:
    import polars as pl

HELD = 32 << 20  # bytes of tokens that are kept from the first reading
# Names that pandas does not take for numbers or dates; where all of them are, it renames the columns.
_NAME = re.compile(
    "[a-z]{2,}(_[a-z]+)+|name|type|title|text|value|label|code|key|status|state|city|email|url|user|count|data|id"
)
# Of the columns of the file that asks pandas: a column that may hold dates, one that may not, and one that is no date by its name.
_DATED, _PLAIN, _BESIDE = "date", "plain_column", "column_beside"


@dataclass
class Known:
    """What the first reading found. names: of the columns, by key. kinds, by key. looked_up: tokens and their values, by key."""

    lines: Lines
    names: dict[str, str]
    kinds: dict[str, Kind]
    looked_up: dict[str, tuple[pl.Series, pl.Series]] = field(default_factory=dict)


class Json(Typed):
    """json, jsonl. Lists and other orientations are read as a whole, and so are archives."""

    def read(self, spec: Spec) -> None:
        super().read(spec)
        self._found: dict[tuple[str, int, int], Known] = {}

    def rows(self, file: Path, context: Context) -> Iterator[pl.DataFrame]:
        if not self._in_lines(file):
            yield from super().rows(file, context)
            return
        state = file.stat()
        key = (str(file), state.st_mtime_ns, state.st_size)
        held = None
        if key not in self._found:
            try:
                self._found[key], held = self._first(file, context)
            except LooseError:
                yield from super().rows(file, context)
                return
        known = self._found[key]
        if not known.names:
            yield empty(())
            return
        yield self._frame(framed([_nothing(ROW)]), known)
        for frame in self._again(file, known) if held is None else held:
            yield self.guarded(functools.partial(self._frame, frame, known), file)

    def _in_lines(self, file: Path) -> bool:
        if ARCHIVES.search(file.name):
            return False
        if self.type == "jsonl":
            return True
        return self.orientation == "records" and self.object_type == "frame" and not self._is_list(file)

    def _first(self, file: Path, context: Context) -> tuple[Known, list[pl.DataFrame] | None]:
        """The first reading of the file, all of it; and its tokens, where they are few."""
        lines = Lines()
        tokens = self._tokens(lines, file)
        facts: dict[str, Facts] = {}
        held: list[pl.DataFrame] | None = []
        rows = size = 0
        for frame in tokens.frames():
            rows += frame.height
            for name in frame.columns[1:]:
                try:
                    facts.setdefault(name, Facts(is_dated(name))).add(frame.get_column(name))
                except BadTokenError as error:
                    raise tokens.broken(error.row) from error
            size += size_of(frame)
            if held is not None and size <= HELD:
                held.append(frame)
                continue
            held = None
            for name, fact in facts.items():
                form = fact.form()
                if form:
                    lines.settle(name, form)
        lines.unsettle()
        labels = self._labels(lines.names, file)
        names = dict(zip(lines.names, self.unique([str(one) for one in labels], file), strict=True))
        kinds = {}
        for name, label in zip(lines.names, labels, strict=True):
            found = facts.get(name) or Facts(is_dated(name))
            kinds[name] = found.kind(rows) if found.dated == is_dated(label) else Kind.ASKED
        known = Known(lines, names, kinds)
        self._ask(known, {name: is_dated(label) for name, label in zip(lines.names, labels, strict=True)}, file, context)
        return known, held

    def _tokens(self, lines: Lines, file: Path, nulls: bool = False) -> Tokens:
        return Tokens(lines, file, self.encoding, self.spec.where(self.key), self.failed, nulls)

    def _again(self, file: Path, known: Known) -> Iterator[pl.DataFrame]:
        tokens = self._tokens(known.lines, file)
        if self.needed is not None:
            tokens.wanted = frozenset(key for key, name in known.names.items() if name in self.needed)
        return tokens.frames()

    def _frame(self, tokens: pl.DataFrame, known: Known) -> pl.DataFrame:
        """The values of all columns, or of those that are needed."""
        return framed(
            self._column(tokens, key, known).alias(name)
            for key, name in known.names.items()
            if self.needed is None or name in self.needed
        )

    def _column(self, frame: pl.DataFrame, key: str, known: Known) -> pl.Series:
        tokens = frame.get_column(key) if key in frame.columns else _nothing(key, frame.height)
        if key in known.looked_up:
            return _looked_up(tokens, *known.looked_up[key])
        return values_of(tokens, known.kinds[key])

    def _labels(self, names: list[str], file: Path) -> list[Any]:
        """What pandas makes of the names: where all are numbers or dates, they are no texts any more."""
        if not names or any(_NAME.fullmatch(one) for one in names):
            return list(names)
        import io

        import pandas

        row = json.dumps(dict.fromkeys(names, 0))
        return self.guarded(lambda: list(pandas.read_json(io.StringIO(row), orient="records", lines=True).columns), file)

    def _ask(self, known: Known, dated: dict[str, bool], file: Path, context: Context) -> None:
        """Have pandas read the distinct values of the columns that facts do not tell."""
        import polars as pl

        asked = [key for key, kind in known.kinds.items() if kind is Kind.ASKED]
        if not asked:
            return
        seen = {key: _nothing(key) for key in asked}
        tokens = self._tokens(known.lines, file, nulls=True)
        tokens.wanted = frozenset(asked)
        for frame in tokens.frames():
            for key in asked:
                column = frame.get_column(key) if key in frame.columns else _nothing(key, 1)
                seen[key] = pl.concat([seen[key], column.unique(maintain_order=True)]).unique(maintain_order=True)
        for key in asked:
            read = functools.partial(self._read_by_pandas, seen[key], dated[key], context)
            values = self.guarded(read, file)
            if values is None:
                known.kinds[key] = Kind.OBJECT
            else:
                known.looked_up[key] = (seen[key], values)

    def _read_by_pandas(self, tokens: pl.Series, dated: bool, context: Context) -> pl.Series | None:
        """The value of each token; None where values stay as they are."""
        import polars as pl

        name = _DATED if dated else _PLAIN
        with tempfile.NamedTemporaryFile("w", dir=context.folder, suffix=".jsonl", encoding="utf-8") as file:
            for token in tokens:
                file.write(f'{{"{_BESIDE}":0}}\n' if token is None else f'{{"{_BESIDE}":0,"{name}":{token}}}\n')
            file.flush()
            found = self._read_json(Path(file.name), orient="records", lines=True, encoding="utf-8")
        values = column_of(found[name], name)
        return None if values.dtype == pl.Object and found[name].dtype == object else values


def _looked_up(tokens: pl.Series, old: pl.Series, new: pl.Series) -> pl.Series:
    import polars as pl

    if new.dtype == pl.Object:
        values = dict(zip(old, new, strict=True))
        return pl.Series(tokens.name, [None if token is None else values[token] for token in tokens], dtype=pl.Object)
    there = old.is_not_null()
    return tokens.replace_strict(old.filter(there), new.filter(there), default=None, return_dtype=new.dtype)


def _nothing(name: str, rows: int = 0) -> pl.Series:
    import polars as pl

    return pl.Series(name, [None] * rows, pl.String)
