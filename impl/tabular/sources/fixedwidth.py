"""Text in columns of fixed width: values are trimmed text, empty ones and what pandas takes for missing are null."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from impl.tabular.flow import TEXT, Column, Context
from impl.tabular.sources import bytestream
from impl.tabular.sources.file import FileSource
from impl.tabular.sources.source import empty
from impl.tabular.spec import Spec, nearest

if TYPE_CHECKING:
    import polars as pl

LOOKED_AT = 100  # lines, where nobody says how wide the columns are
_TRIMMED = " \t\r\n"
# What pandas 2 takes for a missing value in a text file.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL"),
    *("NaN", "None", "n/a", "nan", "null"),
)

Span = tuple[int, int | None]


class FixedWidth(FileSource):
    """fixedwidth: `columns` with `colspecs` or with widths that the first lines show, or a table of the columns."""

    kind = TEXT

    def read(self, spec: Spec) -> None:
        super().read(spec)
        self.encoding = bytestream.read_encoding(spec)
        self.dropped = 0
        if spec.has("header_rows"):
            self.dropped = spec.count("header_rows") + 1
        self.table: Path | None = None
        self.spans: list[Span] | None = None
        table = spec.text("colspec_file", None)
        if table is not None:
            self.table = self.path(table)
            self._read_headings(spec)
            return
        if not self.selected:
            spec.wrong(
                "a source of fixed width needs `columns`", None, "name all its columns in their order, or give a `colspec_file`"
            )
        self.names = list(self.selected)
        if spec.has("colspecs") and spec.value("colspecs") != "infer":
            self.spans = [self._span(one) for one in spec.value("colspecs")]
            self._fits(len(self.spans))

    def files(self) -> list[Path]:
        return super().files() + ([self.table] if self.table else [])

    def look(self) -> list[Column]:
        if self.table is not None:
            self._read_table(self.table)
        return [Column(name) for name in self.names]

    def rows(self, file: Path, context: Context) -> Iterator[pl.DataFrame]:
        self.look()
        yield empty(self.names)
        spans, left, line = self.spans, self.dropped, 1
        for text in self._texts(file):
            lines = text.decode().split("\n") if text.isascii() else self._decoded(text, file, line).split("\n")
            if not lines[-1]:
                lines.pop()
            line += len(lines)
            if spans is None:
                spans = widths(lines[:LOOKED_AT])
                self._fits(len(spans), file)
            frame = self._cut(lines, spans)
            if left:
                taken = min(left, frame.height)
                left, frame = left - taken, frame.slice(taken)
            yield frame

    def _cut(self, lines: list[str], spans: list[Span]) -> pl.DataFrame:
        import polars as pl

        whole = pl.DataFrame({"line": pl.Series(lines, dtype=pl.String)})
        cut = whole.select(
            pl.col("line")
            .str.slice(start, None if end is None else max(end - start, 0))
            .str.strip_chars(_TRIMMED)
            .alias(str(number))
            for number, (start, end) in enumerate(spans)
        )
        cut = cut.filter(pl.any_horizontal(pl.all() != ""))
        cut = cut.with_columns(pl.when(~pl.all().is_in(MISSING)).then(pl.all()))
        cut = cut.with_columns(pl.lit(None, pl.String).alias(str(number)) for number in range(len(spans), len(self.names)))
        cut.columns = self.names
        return cut

    def _texts(self, file: Path) -> Iterator[bytes]:
        """Blocks of whole lines, each of which ends with a line feed; the first has as many as the widths need."""
        held, first, size = b"", True, bytestream.Size()
        for block in bytestream.blocks(file, self.encoding, self.spec.where(self.key), size):
            held += block
            end = held.rfind(b"\n") + 1
            if end and not (first and held.count(b"\n") <= LOOKED_AT and len(held) < 8 * bytestream.BLOCK):
                whole = _line_feeds(held[:end])
                size.seen(len(whole), whole.count(b"\n") * len(self.names))
                yield whole
                held, first = held[end:], False
        if held:
            yield _line_feeds(held)

    def _decoded(self, text: bytes, file: Path, line: int) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            at = line + text.count(b"\n", 0, error.start)
            raise bytestream.badly_encoded(file, self.spec.where(self.key), "utf-8", at, text[error.start]) from error

    def _fits(self, count: int, file: Path | None = None) -> None:
        """More columns in the file than names are an error: the peer would shift all values."""
        if count > len(self.names) or (file is None and count != len(self.names)):
            what = f"{'`colspecs` has' if file is None else 'the lines have'} {count} columns and `columns` names {len(self.names)}"
            hint = "name all of them, or say in `colspecs` where each begins and ends"
            if file is None:
                self.spec.wrong(what, "colspecs", hint)
            raise self.failed(what, hint, file)

    def _span(self, value: object) -> Span:
        pair = value if isinstance(value, list) and len(value) == 2 else [None, -1]
        start, end = 0 if pair[0] is None and pair[1] != -1 else pair[0], pair[1]
        if type(start) is not int or start < 0 or not (end is None or (type(end) is int and end >= start)):
            self.spec.wrong(
                f"`colspecs` cannot hold `{value}`", "colspecs", "write pairs of begin and end, from 0: `[[0, 3], [3, 10]]`"
            )
        return start, end

    def _read_headings(self, spec: Spec) -> None:
        headings = spec.mapping("colspec_headers")
        known = ("name", "start", "end", "width")
        for key in headings:
            if key not in known:
                spec.wrong(f"`colspec_headers` has no `{key}`", "colspec_headers", nearest(str(key), known))
        self.headings = {key: str(value) for key, value in headings.items() if value is not None}
        if "name" not in self.headings or not ({"start", "end"} <= set(self.headings) or "width" in self.headings):
            spec.wrong(
                "`colspec_headers` needs `name`, and `width` or `start` and `end`",
                "colspec_headers",
                "write which column of the table has each: `{name: field, width: length}`",
            )

    def _read_table(self, table: Path) -> None:
        """Names and places from the table of columns."""
        where = self.spec.where("colspec_file")
        text = b"".join(bytestream.blocks(table, "utf-8", where, bytestream.Size()))
        lines = list(csv.DictReader(self._decoded(text, table, 1).splitlines()))
        by_place = {"start", "end"} <= set(self.headings)
        wanted = ("name", "start", "end") if by_place else ("name", "width")
        there = list(lines[0]) if lines else []
        for heading in (self.headings[one] for one in wanted):
            if heading not in there:
                raise self.failed(f"the table of columns has no column `{heading}`", nearest(heading, there), table)
        self.names, self.spans, at = [], [], 0
        for number, line in enumerate(lines, 2):
            try:
                start, end = (int(float(line[self.headings[one]])) for one in wanted[1:]) if by_place else (
                    at, at + int(float(line[self.headings["width"]]))
                )  # fmt: skip
            except (TypeError, ValueError) as error:
                raise self.failed(
                    "the table of columns has something that is no whole number", "mend the line", f"{table}, line {number}"
                ) from error
            self.names.append(str(line[self.headings["name"]] or ""))
            self.spans.append((start, end))
            at = end
        self.unique(self.names, table)


def widths(lines: list[str]) -> list[Span]:
    """Where columns stand: everywhere where any of the lines has a letter."""
    longest = max(map(len, lines), default=0)
    filled = [False] * (longest + 1)
    for line in lines:
        for place, letter in enumerate(line):
            if letter not in _TRIMMED:
                filled[place] = True
    edges = [place for place in range(longest + 1) if filled[place] != (place > 0 and filled[place - 1])]
    return list(zip(edges[0::2], edges[1::2], strict=True))


def _line_feeds(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text
