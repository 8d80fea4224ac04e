"""JSON lines as columns of tokens: each value as it is written (`12.50`, `"a\\nb"`, `{"x": [1]}`), null where there is none.

Blocks of lines go through patterns that are made of the keys as they were seen: first that of the usual line, with all of its
keys in their order, then one in which any key may be absent. What fits neither is read line by line with Python's `json`, and
what that shows of keys goes into the patterns. All three give the same, and a test says so.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import TYPE_CHECKING

from impl.run.errors import EtlError
from impl.tabular.flow import framed
from impl.tabular.sources import bytestream

if TYPE_CHECKING:
    import polars as pl

ROW = "\0row"  # the number of a line in its block
FEW = 64  # lines that are read one by one before the patterns are tried again
WIDTH = 8  # columns of one pattern, about: with more, regular expressions leave the fast way
DEPTH = 4  # of lists and objects within one another that a pattern follows
LONG = 4096  # bytes of lines, on average, that Python reads faster than patterns with keys that may be absent
LONGEST = 1 << 30  # bytes of one line

_BLANK = "[ \t\r]*"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_SHORT_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?"
_WHOLE_LETTER = r'\\(?:["\\/bfnrt]|u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))'
# Values that teach nothing any more about a column, by what is known of it.
FORMS = {"text": rf'null|"(?:[^"\\]|{_WHOLE_LETTER})*"', "float": f"null|NaN|{_SHORT_NUMBER}"}
_NOTHING: dict[str | None, str | None] = {"null": None, "NaN": None}
_SKIP = re.compile(_BLANK).match
_PAIR = re.compile(
    rf'"([^"\\]*)"{_BLANK}:{_BLANK}("[^"\\]*(?:{_ESCAPE}[^"\\]*)*"|{_NUMBER}|true|false|null){_BLANK}([,}}]){_BLANK}'
)
_decoder = json.JSONDecoder(strict=False)  # letters below 32 in texts, which pandas takes too


class NoObjectError(Exception):
    """A line that is no JSON object."""


class LooseError(Exception):
    """A line is no JSON, but pandas reads it."""


@dataclass(frozen=True)
class Pattern:
    """Of a part of a line. names: of its groups but the last one, which is there if it fits.

    until: the text, with the next key, at which the part ends; None: it goes to the end, or leaves the rest in its last group.
    """

    text: str
    names: list[str]
    until: str | None


class Lines:
    """What the lines of a file look like, as far as they were seen.

    names: keys in the order in which they first came. order: the same, such that most lines have them in this order. nested:
    keys that had a list or an object. usual: the keys of the usual line.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.order: list[str] = []
        self.written: dict[str, str] = {}  # the keys as they are written, between quotes
        self.nested: set[str] = set()
        self.usual: tuple[str, ...] = ()
        self.forms: dict[str, str] = {}
        self._patterns: dict[tuple[object, ...], list[Pattern]] = {}

    def settle(self, name: str, form: str) -> None:
        """From now on the usual line goes without tokens for `name` where it has one of this form of FORMS."""
        if self.forms.get(name) != form:
            self.forms[name] = form
            self._patterns.clear()

    def unsettle(self) -> None:
        """All tokens are wanted again."""
        self.forms.clear()
        self._patterns.clear()

    def learn(self, found: dict[str, str], written: dict[str, str]) -> bool:
        """Take what one line has; whether something of it was new."""
        before = (len(self.names), len(self.nested))
        if not found.keys() <= self.written.keys():
            last = -1
            for name in found:
                if name in self.written:
                    last = self.order.index(name)
                else:
                    self.names.append(name)
                    self.written[name] = written[name]
                    last += 1
                    self.order.insert(last, name)
        self.nested.update(name for name, token in found.items() if token[0] in "[{")
        self.usual = self.usual or tuple(found)
        new = before != (len(self.names), len(self.nested))
        if new:
            self._patterns.clear()
        return new

    def patterns(self, usual: bool, nulls: bool, wanted: Set[str] | None) -> list[Pattern]:
        """The patterns that follow one another in a line.

        usual: of the usual line, else of lines with some of the keys. nulls: they are tokens.
        wanted: the keys whose values are groups; None: all.
        """
        key = (usual, nulls, self.usual if usual else (), wanted)
        if key not in self._patterns:
            self._patterns[key] = self._made(self._parts(self.usual if usual else self.order), usual, nulls, wanted)
        return self._patterns[key]

    def _parts(self, names: Sequence[str]) -> list[list[str]]:
        parts: list[list[str]] = [[]]
        weight = 0
        for name in names:
            own = WIDTH if name in self.nested else 1
            weight += own
            if weight > WIDTH and parts[-1]:
                parts.append([])
                weight = own
            parts[-1].append(name)
        return parts

    def _made(self, parts: list[list[str]], usual: bool, nulls: bool, wanted: Set[str] | None) -> list[Pattern]:
        made = []
        for number, part in enumerate(parts):
            taken = [name for name in part if wanted is None or name in wanted]
            if usual:
                taken = [name for name in taken if name not in self.forms]
            pairs = [self._key(name) + self._value(name, nulls, name in taken, usual) for name in part]
            last = number == len(parts) - 1
            until = None
            if usual:
                if number:  # the key was taken off
                    pairs[0] = _BLANK + self._value(part[0], nulls, part[0] in taken, usual)
                body = ",".join(pairs) + (rf"(\}}){_BLANK}" if last else f",{_BLANK}()")
                until = None if last else f'"{self.written[parts[number + 1][0]]}":'
            else:
                body = "".join(rf"(?:{one}(?:,|\}}{_BLANK}$))?" for one in pairs) + ("()" if last else "((?s:.*))")
            start = "^" if number else rf"^{_BLANK}\{{"
            made.append(Pattern(f"{start}{body}$", taken, until))
        return made

    def _key(self, name: str) -> str:
        letters = (one if one.isascii() and one.isalnum() else rf"\x{{{ord(one):x}}}" for one in self.written[name])
        return f'{_BLANK}"{"".join(letters)}"{_BLANK}:{_BLANK}'

    def _value(self, name: str, nulls: bool, taken: bool, usual: bool) -> str:
        value = _value(DEPTH if name in self.nested else 0)
        if not taken:
            value = f"(?:{FORMS[self.forms[name]]})" if usual and name in self.forms else f"(?:null|NaN|{value})"
        else:
            value = f"(null|NaN|{value})" if nulls else f"(?:null|NaN|({value}))"
        return value + _BLANK


def _value(depth: int) -> str:
    """The pattern of a value; its brackets may be those of another kind, so lists and objects have to be looked at again."""
    text = rf'"(?:[^"\\]|{_ESCAPE})*"'
    scalar = f"{text}|{_NUMBER}|true|false"
    if not depth:
        return scalar
    within = rf'(?:[^"\[\]{{}}]|{text})'
    nested = rf"[\[{{]{within}*[\]}}]"
    for _ in range(depth - 1):
        nested = rf"[\[{{](?:{within}|{nested})*[\]}}]"
    return f"{scalar}|{nested}"


class Tokens:
    """The lines of one file, read once. lines: what is known of them, and learns. nulls: `null` and `NaN` are tokens."""

    def __init__(
        self,
        lines: Lines,
        file: Path,
        encoding: str,
        where: str,
        failed: Callable[[str, str, str], EtlError],
        nulls: bool = False,
    ) -> None:
        self.lines, self.file, self.encoding, self.where, self.failed, self.nulls = lines, file, encoding, where, failed, nulls
        self.wanted: frozenset[str] | None = None  # the keys that frames have to have; None: all
        self.line = 1  # the number of the first line of the block
        self.block = b""
        self.usual = True  # whether the usual line is looked for
        self.changes = 0  # of it

    def frames(self) -> Iterator[pl.DataFrame]:
        """One frame for each block, with the column ROW beside those that it has."""
        size = bytestream.Size()
        held = b""
        for block in bytestream.blocks(self.file, self.encoding, self.where, size):
            held = held + block if held else block
            end = held.rfind(b"\n") + 1
            if not end:
                if len(held) > LONGEST:
                    raise self.failed(
                        "the line does not end",
                        "check that it has JSON objects, one a line",
                        f"{self.file}, line {self.line:,}",
                    )
                continue
            block, held = held[:end], held[end:]
            frame = self._frame(block)
            size.seen(len(block), frame.height * max(1, frame.width - 1))
            if frame.height:
                yield frame
            self.line += self.count
        if held:
            frame = self._frame(held)
            if frame.height:
                yield frame

    def broken(self, row: int) -> Exception:
        """The error of a row of the frame that came last."""
        number = int(self.rows[row])
        return self._broken(number, self.block.split(b"\n", number + 1)[number].decode().strip())

    def _wrong(self, number: int, what: str, hint: str) -> EtlError:
        text = self.block.split(b"\n", number + 1)[number].decode(errors="replace").strip()
        shown = text if len(text) <= 80 else f"{text[:60]} ... {text[-16:]}"
        return self.failed(what, hint, f"{self.file}, line {self.line + number:,}: {shown}")

    def _frame(self, block: bytes) -> pl.DataFrame:
        self.block = block
        frame = self._read(block)
        self.rows = frame.get_column(ROW)
        return frame

    def _read(self, block: bytes) -> pl.DataFrame:
        import polars as pl

        text = self._split(block)
        self.count = len(text)
        left = pl.DataFrame({ROW: pl.int_range(len(text), eager=True, dtype=pl.UInt32), "line": text})
        if not self.lines.names:
            self._learn_from(left)
        parts: list[pl.DataFrame] = []
        if self.usual and self.lines.usual:
            found, left = self._matched(left, True)
            parts.append(found)
            if found.height < left.height:
                self._other_usual(left)
        short = len(block) < LONG * len(text)
        if left.height and self.lines.order and short:
            found, left = self._matched(left, False)
            parts.append(found)
        many = FEW
        while left.height:
            found, new = self._one_by_one(left.head(many))
            parts.append(found)
            left = left.slice(many)
            many *= 2
            if new and left.height and short:
                found, left = self._matched(left, False)
                parts.append(found)
        parts = [one for one in parts if one.height]
        if not parts:
            return left.select(ROW)
        return parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal").sort(ROW)

    def _split(self, block: bytes) -> pl.Series:
        """The lines, blank ones too."""
        import polars as pl
        from polars.exceptions import PolarsError

        if b"\x01" not in block:
            # lines as a table of one column: no copy for each of them
            with contextlib.suppress(PolarsError):
                return pl.read_csv(
                    block,
                    has_header=False,
                    separator="\x01",
                    quote_char=None,
                    schema={"line": pl.String},
                    empty_string_is_null=False,
                ).to_series()
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            line = self.line + block.count(b"\n", 0, error.start)
            raise bytestream.badly_encoded(self.file, self.where, "utf-8", line, block[error.start]) from error
        return pl.Series("line", text.removesuffix("\n").split("\n"), pl.String)

    def _learn_from(self, left: pl.DataFrame) -> None:
        for text in left.get_column("line").head(FEW):
            if text.strip():
                try:
                    self.lines.learn(*scanned(text.strip()))
                except (NoObjectError, ValueError):
                    return  # it is told when its turn comes

    def _other_usual(self, left: pl.DataFrame) -> None:
        """Take the first of these lines for the usual one from the next block on, unless that was done often."""
        self.changes += 1
        self.usual = self.changes < FEW
        for text in left.get_column("line").head(FEW):
            with contextlib.suppress(NoObjectError, ValueError):
                self.lines.usual = tuple(scanned(text.strip())[0])
                return

    def _matched(self, left: pl.DataFrame, usual: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows that a pattern fits, with their tokens, and the others."""
        from polars.exceptions import PolarsError

        rest = left.get_column("line")
        columns: list[pl.Series] = [left.get_column(ROW)]
        fits: pl.Series | None = None
        for pattern in self.lines.patterns(usual, self.nulls, self.wanted):
            part = rest
            if pattern.until:
                part, rest = rest.str.splitn(pattern.until, 2).struct.unnest().get_columns()
            try:
                *groups, end = part.str.extract_groups(pattern.text).struct.unnest().get_columns()
            except PolarsError:  # keys so long that no pattern is made of them
                return left.select(ROW).clear(), left
            columns += [one.alias(name) for one, name in zip(groups, pattern.names, strict=True)]
            if not usual:
                rest = end
            fits = end.is_not_null() if fits is None else fits & end.is_not_null()
        assert fits is not None
        if not usual:  # a line that ends with a comma fits as well
            fits &= left.get_column("line").str.contains(r"\}[ \t\r]*$")
        found = framed(columns)
        if fits.all():
            return found, left.clear()
        return found.filter(fits), left.filter(~fits)

    def _one_by_one(self, left: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
        """All rows, and whether something new was learned of them."""
        import polars as pl

        new = False
        numbers: list[int] = []
        rows: list[dict[str, str]] = []
        for number, text in left.iter_rows():
            stripped = text.strip()
            if not stripped:
                continue
            try:
                found, written = scanned(stripped)
            except (NoObjectError, ValueError) as error:
                raise self._broken(number, stripped) from error
            new |= self.lines.learn(found, written)
            rows.append(found)
            numbers.append(number)
        names = dict.fromkeys(name for row in rows for name in row)
        gone: dict[str | None, str | None] = {} if self.nulls else _NOTHING
        columns = [
            pl.Series(name, [gone.get(one, one) for one in (row.get(name) for row in rows)], pl.String) for name in names
        ]
        return framed([pl.Series(ROW, numbers, pl.UInt32), *columns]), new

    def _broken(self, number: int, text: str) -> Exception:
        try:
            value = _decoder.decode(text)
        except RecursionError:
            return self._wrong(number, "the line has too many lists within one another", "check the line")
        except ValueError as error:
            if _taken_by_pandas(text):
                return LooseError()
            said = str(error).split(": line 1")[0]
            at = getattr(error, "pos", 0)
            last = self.block.count(b"\n") <= number
            hint = "check the line; each has to be one JSON object"
            if text[0] == "[" or text == "]":
                hint = "a file that is one JSON list is of type `json`"
            elif text.endswith(","):
                hint = "lines of JSON have no commas between them"
            elif last:
                hint = "it is the last line: the file may have been cut off; get it again"
            return self._wrong(number, f"the line is no JSON: {said} at letter {at + 1:,}", hint)
        kind = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
        hint = 'each line has to be one JSON object, as {"name": "value"}'
        if isinstance(value, list):
            hint += "; a file that is one JSON list is of type `json`"
        return self._wrong(number, f"the line is {kind} and not an object", hint)


def _taken_by_pandas(text: str) -> bool:
    """Whether it is no JSON, but objects to the parser of pandas, such as `{"n": 007}`."""
    from pandas.io.json import ujson_loads  # type: ignore[attr-defined]

    try:
        return all(isinstance(one, dict) for one in ujson_loads(f"[{text}]"))
    except ValueError:
        return False


def scanned(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The tokens of one line by their keys, and the keys as they are written. Raises `NoObjectError` or `ValueError`."""
    found: dict[str, str] = {}
    written: dict[str, str] = {}
    try:
        place = _after(text, "{", 0)
        if text[place] == "}":
            return _ended(text, place + 1, found, written)
        while True:
            pair = _PAIR.match(text, place)
            if pair:  # the same as below, but for lists and objects: much faster
                name, token, ended = pair.group(1, 2, 3)
                written[name], found[name], place = name, token, pair.end()
            else:
                if text[place] != '"':
                    raise NoObjectError
                name, end = scanstring(text, place + 1, False)
                written[name] = text[place + 1 : end - 1]
                place = _after(text, ":", _blank(text, end))
                _, end = _decoder.raw_decode(text, place)
                found[name] = text[place:end]
                place = _blank(text, end)
                ended = "}" if text[place] == "}" else ","
                place = _after(text, ended, place)
            if ended == "}":
                return _ended(text, place, found, written)
    except (IndexError, RecursionError) as error:
        raise NoObjectError from error


def _blank(text: str, place: int) -> int:
    found = _SKIP(text, place)
    assert found is not None
    return found.end()


def _after(text: str, letter: str, place: int) -> int:
    if text[place] != letter:
        raise NoObjectError
    return _blank(text, place + 1)


def _ended(text: str, place: int, found: dict[str, str], written: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    if place != len(text):
        raise NoObjectError
    return found, written
