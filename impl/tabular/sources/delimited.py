"""CSV and TSV: every value is text, an empty one stays empty, a missing one is null; constant memory.

Blocks of the file go to the CSV reader of Polars where they are plain (every quote opens or closes a field, no blank line).
Others go to Python's `csv`, which reads odd quotes as the peer does. Both give the same for plain text, and a test says so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from impl.run.errors import EtlError
from impl.tabular.flow import TEXT, Column, Context
from impl.tabular.sources import bytestream
from impl.tabular.sources.file import FileSource
from impl.tabular.sources.headers import deduplicated, joined
from impl.tabular.sources.source import empty
from impl.tabular.spec import Spec

if TYPE_CHECKING:
    import polars as pl

LONGEST = 64 << 20  # bytes of one record; longer is a quote that nobody closed
_END = "\0end\0"
_NUL = r"(?s)\x00.*"


@dataclass
class Head:
    """names: of the columns; start: byte at which rows begin; line: of that byte, from 1."""

    names: list[str]
    start: int
    line: int


class Delimited(FileSource):
    """csv, tsv."""

    kind = TEXT

    def read(self, spec: Spec) -> None:
        super().read(spec)
        self.separator = "\t" if self.type == "tsv" else ","
        self.encoding = bytestream.read_encoding(spec)
        self.headers = read_header_rows(spec)

    def look(self) -> list[Column]:
        return [Column(name) for name in self.head(self.file).names]

    def rows(self, file: Path, context: Context) -> Iterator[pl.DataFrame]:
        head = self.head(file)
        yield empty(head.names)
        yield from Rows(self, file, head).frames()

    def head(self, file: Path) -> Head:
        """Reads as much of the file as its header needs."""
        where = self.spec.where(self.key)
        start, tried = b"", 0
        for block in bytestream.blocks(file, self.encoding, where, bytestream.Size(1 << 16)):
            start += block
            if len(start) < 2 * tried:  # each look begins at the top of the file
                continue
            tried = len(start)
            found = self._head(start, file, final=False)
            if found is not None:
                return found
            if len(start) > LONGEST:
                break
        found = self._head(start, file, final=True)
        if found is None:
            raise self.failed(*self._no_header(start), place=file)
        return found

    def _no_header(self, start: bytes) -> tuple[str, str]:
        if not start.strip():
            return "the file is empty", "it needs a header at least; `header_rows: 0` with `columns` reads a file without one"
        return "the header ends before the file does" if len(start) > LONGEST else "the file ends before its header", (
            "check `header_rows`: it counts lines that are not blank"
        )

    def _head(self, text: bytes, file: Path, final: bool) -> Head | None:
        """The head, or None where `text` is too short for it."""
        if not final:
            text = text[: text.rfind(b"\n") + 1]
        wanted, skipped = self.headers.wanted, self.headers.skipped
        plain: list[list[str]] = []
        start = line = 0
        began = None if skipped is not None else (0, 1)
        for number, record in enumerate(records(self.decoded(text, file, 1), self.separator)):
            if not final and record.end >= len(text):
                return None  # it may go on
            if record.unclosed:
                raise self.unclosed(file, record.line)
            if not record.blank:
                plain.append(record.fields)
            if began is None and skipped is not None and number >= skipped and not record.blank:
                start, line = record.end, record.next_line
                began = (start, line)
            if began is not None and len(plain) > max(wanted, default=0):
                break
        if began is None or len(plain) <= max(wanted, default=0):
            return None
        return Head(self._names(plain, file), *began)

    def _names(self, plain: list[list[str]], file: Path) -> list[str]:
        if not self.headers.wanted:
            count = len(plain[0])
            if not self.selected:
                return [str(number) for number in range(count)]
            if len(self.selected) != count:
                raise self.failed(
                    f"`columns` names {len(self.selected)} columns and the first row has {count}",
                    "without a header, `columns` names all columns in their order",
                    file,
                )
            return list(self.selected)
        names = self.headers.names([plain[number] for number in self.headers.wanted])
        return self.unique(names, file)

    def decoded(self, text: bytes, file: Path, line: int) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            where = self.spec.where(self.key)
            at = line + text.count(b"\n", 0, error.start)
            raise bytestream.badly_encoded(file, where, "utf-8", at, text[error.start]) from error

    def unclosed(self, file: Path, line: int) -> EtlError:
        """The error of a quote that opens in this line and goes on to the end."""
        return self.failed(
            "a quote is not closed", "close it, or write it twice where it is part of the value", f"{file}, line {line:,}"
        )


@dataclass
class HeaderRows:
    """What `header_rows` says. wanted: lines that are not blank, from 0; skipped: lines before the one that rows follow."""

    wanted: list[int]
    skipped: int | None
    levels: bool = False
    fill: bool = False

    def names(self, lines: list[list[str]]) -> list[str]:
        """The names of the columns from the lines of the header."""
        if not self.levels:
            return deduplicated(lines[0])
        return joined(lines, self.fill)


def read_header_rows(spec: Spec) -> HeaderRows:
    """The options `header_rows` and `fill_sparse_headers`."""
    fill = spec.flag("fill_sparse_headers")
    found = spec.value("header_rows", 1)
    hint = (
        "write the number of the header line, from 1 (0: none), or a list of line numbers from 0 for a header of several lines"
    )

    def number(value: object, least: int = 0) -> int:
        text = str(value)
        if isinstance(value, bool) or not text.isascii() or not text.isdigit():
            spec.wrong(f"`header_rows` cannot be `{value}`", "header_rows", hint)
        return int(text)

    if isinstance(found, list):
        if not found:
            spec.wrong("`header_rows` is empty", "header_rows", hint)
        lines = [number(one) for one in found]
        return HeaderRows(lines, max(lines), len(lines) > 1, fill)
    count = number(found)
    return HeaderRows([count - 1], count - 1, False, fill) if count else HeaderRows([], None, False, fill)


@dataclass
class Record:
    """fields; blank: a line without anything; unclosed: its quote is still open; end: bytes up to its end; line, next_line."""

    fields: list[str]
    blank: bool
    unclosed: bool
    end: int
    line: int
    next_line: int


def records(text: str, separator: str) -> Iterator[Record]:
    """The records of `text`, blank ones too, as Python's `csv` reads them: quotes within a plain field are text."""
    import io

    csv.field_size_limit(max(csv.field_size_limit(), 2 * LONGEST))
    taken: list[str] = []
    blanks = " \r\n" if separator == "\t" else " \t\r\n"

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line
        taken.append(_END)
        yield _END

    end, line = 0, 1
    reader = csv.reader(lines(), delimiter=separator)
    for fields in reader:
        unclosed = bool(taken) and taken[-1] == _END and len(taken) > 1
        if taken == [_END]:
            return
        raw = "".join(taken[:-1] if unclosed else taken)
        end += len(raw.encode())
        following = line + len(taken) - unclosed
        yield Record(fields, not raw.strip(blanks), unclosed, end, line, following)
        line = following
        taken.clear()
        if unclosed:
            return


class Rows:
    """The rows of one file, read once."""

    def __init__(self, source: Delimited, file: Path, head: Head) -> None:
        self.source, self.file, self.names = source, file, head.names
        self.start, self.line = head.start, head.line
        self.separator = source.separator.encode()
        self.width = len(head.names)
        self.blank = False  # whether the last piece had blank lines
        self.by_columns = True  # whether columns that nobody needs may be left out

    def frames(self) -> Iterator[pl.DataFrame]:
        """One frame for each block, all columns text."""
        left = self.start
        held = b""
        size = bytestream.Size()
        for block in bytestream.blocks(self.file, self.source.encoding, self.source.spec.where(self.source.key), size):
            if left:
                taken = min(left, len(block))
                left -= taken
                block = block[taken:]
            held += block
            if not held:
                continue
            frame, used = self.take(held, final=False)
            held = held[used:]
            if len(held) > LONGEST + bytestream.BLOCK:
                raise self.source.unclosed(self.file, self.line)
            if frame is not None and frame.height:
                size.seen(used, frame.height * frame.width)
                yield frame
        if held:
            frame, _ = self.take(held, final=True)
            if frame is not None:
                yield frame

    def take(self, text: bytes, final: bool) -> tuple[pl.DataFrame | None, int]:
        """The frame of the whole records at the beginning of `text`, and how many bytes those are."""
        quotes = Quotes(text) if b'"' in text else None
        if quotes is not None and quotes.within(text, self.separator[0]):
            quotes = None
        if quotes is not None and not quotes.plain(text, self.separator[0]):
            return self._slowly(text, final)
        end = text.rfind(b"\n") + 1 if quotes is None else quotes.last_line_end(text)
        if final:
            end = len(text)
        if not end and b"\r" not in text:
            return None, 0
        piece = text if end == len(text) else text[:end]
        if not end or self._odd_lines(piece) or (quotes is not None and final and quotes.odd):
            return self._slowly(text, final)
        frame = self._parsed(piece, quotes)
        if frame is None:
            return self._slowly(text, final)
        # counting line ends takes a tenth of the time of reading; where no line is blank there is one a row
        self.line += piece.count(b"\n") if quotes is not None or self.blank else frame.height
        return frame, end

    def _without_blank_lines(self, piece: bytes, quotes: Quotes | None) -> bytes:
        # looking for fixed bytes is much faster than the pattern, and most files have none of them
        if not (piece[:1] in b" \t\r\n" or any(start in piece for start in (b"\n\n", b"\n\r", b"\n ", b"\n\t"))):
            return piece
        pattern = _BLANK_TSV if self.separator == b"\t" else _BLANK
        if quotes is None:
            return pattern.sub(b"", piece)
        parts, start = [], 0
        for found in pattern.finditer(piece):
            if quotes.are_closed(found.start()):
                parts.append(piece[start : found.start()])
                start = found.end()
        return b"".join([*parts, piece[start:]]) if parts else piece

    def _odd_lines(self, piece: bytes) -> bool:
        """Whether lines end with a lone carriage return."""
        return b"\r" in piece and piece.count(b"\r") != piece.count(b"\r\n")

    def _parsed(self, piece: bytes, quotes: Quotes | None) -> pl.DataFrame | None:
        """What Polars reads, or None where a row is too long or the text is not UTF-8: the slow way says where."""
        import polars as pl

        # A blank line is a short row to Polars, so it is looked for only where a row is short, or one value long.
        self.blank = False
        if quotes is None and (frame := self._some(piece)) is not None:
            return frame
        frame = self._read(piece, quotes) if self.width > 1 else None
        if frame is None or self._may_be_short(frame):
            plain = self._without_blank_lines(piece, quotes)
            if frame is None or plain is not piece:
                self.blank = plain is not piece
                quotes = quotes if plain is piece or quotes is None else Quotes(plain)
                frame = self._read(plain, quotes, measured=False)
            if frame is None:
                return None
            frame = self._with_missing(frame, plain, quotes)
            if frame is None:
                return None
        if b"\0" in piece:
            frame = frame.with_columns(pl.all().str.replace(_NUL, ""))  # the peer's values end there
        frame.columns = self.names
        return frame

    def _some(self, piece: bytes) -> pl.DataFrame | None:
        """Only the columns that are needed, and the last one; None where all have to be read.

        Polars then does not see that a row is too long. If no row lacks its last value, none is short, and if there are as
        many separators as full rows have, none is long.
        """
        import polars as pl

        needed = self.source.needed
        if needed is None or not self.by_columns:
            return None
        columns = [number for number, name in enumerate(self.names) if name in needed or number == self.width - 1]
        if len(columns) == self.width:
            return None
        frame = self._read(piece, None, columns=columns)
        if frame is None:
            return None
        if self._may_be_short(frame):
            self.by_columns = False  # so it will be in further pieces
            return None
        if piece.count(self.separator) != frame.height * (self.width - 1):
            return None
        if b"\0" in piece:
            frame = frame.with_columns(pl.all().str.replace(_NUL, ""))
        frame.columns = [self.names[number] for number in columns]
        return frame

    def _read(
        self, piece: bytes, quotes: Quotes | None, measured: bool = True, columns: list[int] | None = None
    ) -> pl.DataFrame | None:
        """The rows, short ones filled with empty texts; None where Polars cannot read them.

        measured: the first row is taken for the measure. Otherwise a row of full width is put before it and taken off again.
        columns: the numbers of those that are read; None: all.
        """
        import polars as pl
        from polars.exceptions import PolarsError

        first = b""
        if not measured:
            first = b'""' + self.separator * (self.width - 1) + b"\n"
            if quotes is None:
                first = first[2:] if self.width > 1 else b"-\n"
        try:
            frame = pl.read_csv(
                first + piece if first else piece,
                has_header=False,
                schema={str(number): pl.String for number in range(self.width)},
                separator=self.source.separator,
                quote_char=None if quotes is None else '"',
                empty_string_is_null=False,
                infer_schema=False,
                columns=columns,
            )
        except PolarsError:
            return None
        return frame if measured else frame.slice(1)

    def _may_be_short(self, frame: pl.DataFrame) -> bool:
        """Whether the last value of a row is empty: it may not have been there."""
        return bool((frame.to_series(-1) == "").any())

    def _with_missing(self, frame: pl.DataFrame, piece: bytes, quotes: Quotes | None) -> pl.DataFrame | None:
        """`frame` with null where a row was too short; None where that has to be found out the slow way."""
        full = frame.height * (self.width - 1)
        separators = piece.count(self.separator) if quotes is None else quotes.outside(piece, self.separator[0])
        if separators == full:
            return frame
        return None if quotes is not None or separators > full else self._missing(frame, piece)

    def _missing(self, frame: pl.DataFrame, piece: bytes) -> pl.DataFrame | None:
        """`frame` with null where a row was too short; the text has no quotes."""
        import polars as pl

        lines = piece.decode().split("\n")
        if not lines[-1]:
            lines.pop()
        if len(lines) != frame.height:
            return None
        fields = pl.Series("fields", lines, pl.String).str.count_matches(self.source.separator, literal=True)
        return frame.with_columns(
            pl.when(fields >= number).then(pl.col(str(number))).alias(str(number)) for number in range(1, self.width)
        )

    def _slowly(self, text: bytes, final: bool) -> tuple[pl.DataFrame | None, int]:
        """As `take`, with Python's `csv`. The last record is left for the next block unless the file ends."""
        import polars as pl

        if not final:
            text = text[: max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1]
        rows: list[list[str | None]] = []
        used, line = 0, self.line
        held: Record | None = None
        for record in records(self.source.decoded(text, self.file, self.line), self.source.separator):
            if held is not None:
                self._add(held, rows)
                used, line = held.end, self.line + held.next_line - 1
            held = record
        if held is not None and final:
            if held.unclosed:
                raise self.source.unclosed(self.file, self.line + held.line - 1)
            self._add(held, rows)
            used, line = held.end, self.line + held.next_line - 1
        self.line = line
        columns = list(zip(*rows, strict=True)) if rows else [()] * self.width
        values = [pl.Series(str(number), column, pl.String) for number, column in enumerate(columns)]
        frame = pl.DataFrame(values)
        if b"\0" in text:
            frame = frame.with_columns(pl.all().str.replace(_NUL, ""))
        frame.columns = self.names
        return frame, used

    def _add(self, record: Record, rows: list[list[str | None]]) -> None:
        fields: list[str | None] = list(record.fields)
        if record.blank:
            return
        if len(fields) > self.width:
            self._too_long(len(fields), self.line + record.line - 1)
        if len(fields) < self.width:
            fields += [None] * (self.width - len(fields))
        rows.append(fields)

    def _too_long(self, count: int, line: int) -> NoReturn:
        raise self.source.failed(
            f"the row has {count} values and the header has {self.width}",
            f"a value with the separator in it has to stand in quotes; if the header is another line, say `header_rows` "
            f"(type `{self.source.type}`)",
            f"{self.file}, line {line:,}",
        )


class Quotes:
    """Where the quotes of a text are, which begins outside of quotes."""

    def __init__(self, text: bytes) -> None:
        import numpy

        self.at = numpy.flatnonzero(numpy.frombuffer(text, numpy.uint8) == 0x22)
        self.odd = bool(len(self.at) % 2)

    def within(self, text: bytes, separator: int) -> bool:
        """Whether no field begins with a quote: then all of them are text, as in `5" pipe`."""
        import numpy

        before = numpy.frombuffer(text, numpy.uint8)[numpy.maximum(self.at - 1, 0)]
        return bool(self.at[0] > 0) and not numpy.isin(before, (separator, 0x0A, 0x0D)).any()

    def plain(self, text: bytes, separator: int) -> bool:
        """Whether each quote opens a field at its beginning, closes it at its end, or stands twice for itself."""
        import numpy

        letters = numpy.frombuffer(text, numpy.uint8)
        opens, closes = self.at[0::2], self.at[1::2]
        # a closing quote with its neighbour is one that stands for itself: then the neighbour opens again
        before = letters[numpy.maximum(opens - 1, 0)]
        begins = (opens == 0) | (before == separator) | (before == 0x0A)
        begins[1:] |= opens[1:] == closes[: len(opens) - 1] + 1
        after = letters[numpy.minimum(closes + 1, len(letters) - 1)]
        ends = (closes == len(letters) - 1) | (after == separator) | (after == 0x0A) | (after == 0x0D) | (after == 0x22)
        return bool(begins.all() and ends.all())

    def are_closed(self, place: int) -> bool:
        import numpy

        return not int(numpy.searchsorted(self.at, place)) % 2

    def last_line_end(self, text: bytes) -> int:
        """The byte after the last line end outside of quotes; 0 where there is none."""
        import numpy

        end = text.rfind(b"\n")
        if end >= 0 and self.are_closed(end):
            return end + 1
        ends = numpy.flatnonzero(numpy.frombuffer(text, numpy.uint8) == 0x0A)
        outside = ends[numpy.searchsorted(self.at, ends) % 2 == 0]
        return int(outside[-1]) + 1 if len(outside) else 0

    def outside(self, text: bytes, letter: int) -> int:
        """How often `letter` stands outside of quotes."""
        import numpy

        found = numpy.flatnonzero(numpy.frombuffer(text, numpy.uint8) == letter)
        return int((numpy.searchsorted(self.at, found) % 2 == 0).sum())


_BLANK, _BLANK_TSV = (
    re.compile(rb"(?:(?<=\n)|\A)[%b]*\r?\n|(?<=\n)[%b]+\Z|\A[%b]+\Z" % (blank, blank, blank)) for blank in (b" \t", b" ")
)
