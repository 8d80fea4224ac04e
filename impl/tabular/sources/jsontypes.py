"""The type of a column of JSON tokens as pandas finds it when it has the whole column, from facts that are collected by block.

`Facts` takes blocks and says which of the `Kind`s the column is. Where facts do not tell (odd dates, texts beside numbers), it is
`ASKED`: pandas reads the distinct tokens, in the order in which they first came, and what it makes of them is looked up. What
pandas does depends on nothing else: it asks whether all values are this or that, and takes the form of a date from the first.
"""

from __future__ import annotations

import itertools
import json
import math
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

# The first seconds that pandas takes for a date, and the last ones in each unit, well before its nanoseconds end in 2262.
_FIRST = 31_536_000
_LAST = 9_200_000_000
_UNITS = (("s", 1), ("ms", 1000), ("us", 1_000_000))
_DECIMALS = 15  # digits behind the point that pandas looks at
_DIGITS = 15  # of a number that floats hold exactly

_NUMBER = r'^"[-+]?(?:[0-9]{1,18}|[0-9]{1,15}\.[0-9]{0,15})"$'
_DECIMAL = r"^-?[0-9]{1,18}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,4})?$"
_DAY = r"(?:1[7-9]|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2}"
_TIME = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_PLAIN_TIME = rf'^"{_DAY}(?:{_TIME})?"$'
_UTC_TIME = rf'^"{_DAY}{_TIME}(?:Z|\+00:00)"$'


class Kind(Enum):
    """What a column is."""

    TEXT = auto()
    BOOLEAN = auto()
    INTEGER = auto()
    FLOAT = auto()
    WHOLE_FLOAT = auto()  # floats without a fraction: whole numbers
    TEXT_INTEGER = auto()  # numbers in quotes
    TEXT_FLOAT = auto()
    TEXT_WHOLE_FLOAT = auto()
    TIME = auto()
    UTC_TIME = auto()
    SECONDS = auto()
    MILLISECONDS = auto()
    MICROSECONDS = auto()
    OBJECT = auto()
    ASKED = auto()


class BadTokenError(Exception):
    """A value is no JSON. row: the number of the token in its block."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def is_dated(label: object) -> bool:
    """Whether pandas looks for dates in a column of this name."""
    if not isinstance(label, str):
        return False
    name = label.lower()
    return name.endswith(("_at", "_time")) or name in ("modified", "date", "datetime") or name.startswith("timestamp")


class Facts:
    """What was seen of one column. dated: whether it may hold dates by its name."""

    def __init__(self, dated: bool) -> None:
        self.dated = dated
        self.filled = 0  # values that are there
        self.texts = self.booleans = self.integers = self.floats = self.nested = False
        self.settled = False  # there is a text that is no number, so texts stay
        self.fraction = False  # there is a float that is not whole, so numbers are floats
        self.decimals = self.long = False  # of numbers in quotes: with a point, with more digits than a float holds
        self.plain_times = self.utc_times = self.other_texts = False
        self.low, self.high = math.inf, -math.inf
        self.odd_number = False  # a text that is a number as `1_000` or `inf` is
        self.odd = False

    def add(self, tokens: pl.Series) -> None:
        """Take the tokens of a block. Raises `BadTokenError` where one is no JSON."""
        have = tokens.drop_nulls() if tokens.null_count() else tokens
        if not len(have):
            return
        self.filled += len(have)
        quoted = have.str.starts_with('"')
        count = int(quoted.sum())
        if count:
            self._add_texts(have if count == len(have) else have.filter(quoted))
        if count < len(have):
            others = have.filter(~quoted) if count else have
            try:
                self._add_others(others)
            except ValueError as error:
                raise BadTokenError(_first_bad(tokens)) from error

    def _add_texts(self, have: pl.Series) -> None:
        import polars as pl

        self.texts = True
        if not self.odd and _has_halves(have):
            self.odd = True
        if self.dated and not (self.odd or self.other_texts):
            self._add_times(have)
        if self.settled:
            return
        integers = _inner(have).cast(pl.Int64, strict=False)
        if not integers.null_count():
            self.long |= int(have.str.len_bytes().max()) > _DIGITS + 2  # type: ignore[arg-type]  # with the quotes
            return
        number = have.str.contains(_NUMBER)
        rest = have.filter(~number)
        for token in itertools.chain(rest.head(1), rest.unique(maintain_order=True) if len(rest) > 1 else ()):
            try:
                float(json.loads(token, strict=False))
                self.odd_number = True
            except ValueError:
                self.settled = True
                return
        if len(rest) < len(have):
            plain = have.filter(number)
            self.long |= bool((plain.str.len_bytes() > _DIGITS + 2).any())
            pointed = plain.str.contains(".", literal=True)
            self.decimals |= bool(pointed.any())
            self.fraction |= bool(plain.filter(pointed).str.contains(r"\.[0-9]*[1-9]").any())

    def _add_times(self, have: pl.Series) -> None:
        utc = have.str.contains(_UTC_TIME)
        rest = have if not utc.any() else have.filter(~utc)
        self.utc_times |= len(rest) < len(have)
        self.plain_times |= bool(len(rest))
        self.other_texts = not bool(rest.str.contains(_PLAIN_TIME).all()) or bool(_days(have).null_count())

    def _add_others(self, have: pl.Series) -> None:
        import polars as pl

        numbers = have.cast(pl.Int64, strict=False)
        if numbers.null_count() < len(have):
            self.integers = True
            self._range(numbers)
        if not numbers.null_count():
            return
        rest = have.filter(numbers.is_null())
        digits = rest.str.contains("^-?[0-9]")
        if digits.any():
            self._add_floats(rest.filter(digits))
        if not digits.all():
            self._add_words(rest.filter(~digits))

    def _range(self, numbers: pl.Series) -> None:
        self.low = min(self.low, numbers.min())  # type: ignore[type-var, assignment]
        self.high = max(self.high, numbers.max())  # type: ignore[type-var, assignment]

    def _add_floats(self, tokens: pl.Series) -> None:
        self.floats = True
        if not tokens.str.contains(_DECIMAL).all() or not tokens.str.contains("[.eE]").all():
            self.odd = True  # whole numbers of more than 64 bits, and powers of ten that no float has
            return
        if self.fraction and not self.dated:
            return
        values = floats(tokens)
        if not self.fraction:
            self.fraction = not bool(((values % 1 == 0) & (values.abs() < float(1 << 63))).all())
        self._range(values)

    def _add_words(self, tokens: pl.Series) -> None:
        words = _is_word(tokens)
        self.booleans |= bool(words.any())
        if words.all():
            return
        rest = tokens.filter(~words)
        nested = rest.str.contains(r"^[\[{]")
        if not nested.all():
            self.odd = True  # Infinity
        if nested.any():
            self.nested = True
            json.loads(_list(rest.filter(nested)), strict=False)  # patterns do not tell all

    def form(self) -> str | None:
        """What further values teach nothing about the column: one of the FORMS of tokens."""
        if self.dated or self.odd or self.nested:
            return None
        if self.settled:
            return "text"
        return "float" if self.fraction and not (self.texts or self.booleans) else None

    def kind(self, rows: int) -> Kind:
        """What the column is, if all blocks were taken; they had so many rows."""
        gaps = self.filled < rows
        numbers = self.integers or self.floats
        if self.nested and not self.dated:
            return Kind.OBJECT
        if self.odd or self.nested or self.low <= -(1 << 63):  # which is NaT in places
            return Kind.ASKED
        if self.texts and (self.booleans or numbers):
            return Kind.OBJECT if self.settled and not self.dated else Kind.ASKED
        if self.texts:
            return self._text(gaps)
        if self.booleans:
            return Kind.ASKED if numbers else Kind.FLOAT if gaps else Kind.BOOLEAN
        if self.dated and (not numbers or self.low > _FIRST):
            return self._time(gaps) if numbers else Kind.ASKED
        if not self.floats:
            return Kind.FLOAT if gaps or not numbers else Kind.INTEGER
        return Kind.FLOAT if gaps or self.fraction else Kind.WHOLE_FLOAT

    def _text(self, gaps: bool) -> Kind:
        if self.dated:
            if self.other_texts or self.plain_times == self.utc_times:
                return Kind.ASKED
            return Kind.TIME if self.plain_times else Kind.UTC_TIME
        if self.settled:
            return Kind.TEXT
        if self.odd_number or (self.decimals and self.long):
            return Kind.ASKED
        if gaps or self.fraction:
            return Kind.TEXT_FLOAT
        return Kind.TEXT_WHOLE_FLOAT if self.decimals else Kind.TEXT_INTEGER

    def _time(self, gaps: bool) -> Kind:
        """Whole numbers that are a time: in the first unit in which all of them are years that pandas counts."""
        if self.floats:
            return Kind.ASKED
        for (_, factor), kind in zip(_UNITS, (Kind.SECONDS, Kind.MILLISECONDS, Kind.MICROSECONDS), strict=True):
            if self.high <= _LAST * factor:
                return kind
            if self.high <= 1.01 * _LAST * factor:
                return Kind.ASKED  # near the end of what there is in this unit
        return Kind.ASKED


def values_of(tokens: pl.Series, kind: Kind) -> pl.Series:
    """The values of a column that is of this kind."""
    import polars as pl

    if kind is Kind.TEXT:
        return texts(tokens)
    if kind is Kind.OBJECT:
        return _objects(tokens)
    if kind is Kind.BOOLEAN:
        return tokens == "true"
    if kind is Kind.INTEGER:
        return tokens.cast(pl.Int64)
    if kind is Kind.FLOAT:
        return floats(tokens)
    if kind is Kind.WHOLE_FLOAT:
        return floats(tokens).cast(pl.Int64)
    if kind in (Kind.TIME, Kind.UTC_TIME):
        made = times(tokens)
        return made.dt.replace_time_zone("UTC") if kind is Kind.UTC_TIME else made
    if kind in (Kind.SECONDS, Kind.MILLISECONDS, Kind.MICROSECONDS):
        factor = {Kind.SECONDS: 1_000_000, Kind.MILLISECONDS: 1000, Kind.MICROSECONDS: 1}[kind]
        return (tokens.cast(pl.Int64) * factor).cast(pl.Datetime("us"))
    inner = _inner(tokens).str.strip_prefix("+")
    if kind is Kind.TEXT_INTEGER:
        return inner.cast(pl.Int64)
    made = inner.cast(pl.Float64)
    return made if kind is Kind.TEXT_FLOAT else made.cast(pl.Int64)


def texts(tokens: pl.Series) -> pl.Series:
    """What stands between the quotes."""
    inner = _inner(tokens)
    escaped = inner.str.contains("\\", literal=True)
    if not escaped.any():
        return inner
    places = escaped.arg_true()
    return inner.scatter(places, json.loads(_list(tokens.gather(places)), strict=False))


def floats(tokens: pl.Series) -> pl.Series:
    """Numbers (and true, false) as the parser of pandas reads them: 15 digits behind the point, times a power of ten, added."""
    import polars as pl

    integers = tokens.cast(pl.Int64, strict=False)
    if integers.null_count() == tokens.null_count():
        return integers.cast(pl.Float64)
    parts = tokens.str.strip_prefix("-").str.split_exact(".", 1).struct.unnest()
    behind = parts.to_series(1).str.head(_DECIMALS)
    powers = pl.Series([float(f"1e-{digits}") for digits in range(_DECIMALS + 1)]).gather(behind.str.len_bytes())
    value = parts.to_series(0).cast(pl.Int64, strict=False).cast(pl.Float64)
    value += (behind.cast(pl.Int64, strict=False).cast(pl.Float64) * powers).fill_null(0.0)
    made = (-value).zip_with(tokens.str.starts_with("-") & (tokens != "-0"), value)
    words = _is_word(tokens)
    if words.any():
        made = (tokens == "true").cast(pl.Float64).zip_with(words, made)
    scaled = tokens.str.contains("[0-9][eE]")
    if scaled.any():
        from pandas.io.json import ujson_loads  # type: ignore[attr-defined]

        places = scaled.arg_true()
        read = ujson_loads(_list(tokens.gather(places)))
        made = made.scatter(places, [float(one) for one in read])
    return made.alias(tokens.name)


def times(tokens: pl.Series) -> pl.Series:
    """Dates in quotes as 2024-01-31, with a time behind it or without; a zone is not looked at. They have to be such."""
    import polars as pl

    lengths = tokens.str.len_bytes()
    if lengths.min() == lengths.max():  # all have one form: that is faster
        form = {12: '"%Y-%m-%d"', 21: '"%Y-%m-%d %H:%M:%S"', 22: '"%Y-%m-%d %H:%M:%SZ"'}.get(int(lengths.min() or 0))  # type: ignore[arg-type]
        if form:
            made = tokens.str.to_datetime(form.replace(" ", str(tokens.drop_nulls()[0][11])), time_unit="us", strict=False)
            if made.null_count() == tokens.null_count():
                return made
    day = _days(tokens)
    time = pl.col("time")

    def number(start: int) -> pl.Expr:
        return time.str.slice(start, 2).cast(pl.Int64, strict=False).fill_null(0)

    behind = time.str.extract(r"\.([0-9]+)").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    microseconds = ((number(0) * 60 + number(3)) * 60 + number(6)) * 1_000_000 + behind
    parts = pl.DataFrame({"day": day, "time": tokens.str.slice(12)})
    whole = parts.select((pl.col("day").cast(pl.Datetime("us")).cast(pl.Int64) + microseconds).cast(pl.Datetime("us")))
    return whole.to_series().alias(tokens.name)


def _days(tokens: pl.Series) -> pl.Series:
    """The day at the beginning; null where there is none such."""
    return tokens.str.slice(1, 10).str.to_date("%Y-%m-%d", strict=False)


def _inner(tokens: pl.Series) -> pl.Series:
    return tokens.str.strip_prefix('"').str.strip_suffix('"')


def _is_word(tokens: pl.Series) -> pl.Series:
    return (tokens == "true") | (tokens == "false")


def _list(tokens: pl.Series) -> str:
    return "[" + ",".join(tokens) + "]"


def _objects(tokens: pl.Series) -> pl.Series:
    import polars as pl
    from pandas.io.json import ujson_loads  # type: ignore[attr-defined]

    places = tokens.is_not_null().arg_true()
    values: list[Any] = [None] * len(tokens)
    for place, value in zip(places, ujson_loads(_list(tokens.gather(places))), strict=True):
        values[place] = value
    return pl.Series(tokens.name, values, dtype=pl.Object)


def _has_halves(have: pl.Series) -> bool:
    """Whether a text has half of a letter (`\\ud83d` without what follows it), which is no text elsewhere."""
    escaped = have.str.contains("\\u", literal=True)
    if not escaped.any():
        return False
    halves = have.filter(escaped)
    halves = halves.filter(halves.str.contains(r"\\u[dD][89a-fA-F]"))
    try:
        "".join(json.loads(_list(halves), strict=False)).encode()
    except UnicodeEncodeError:
        return True
    return False


def _first_bad(tokens: pl.Series) -> int:
    for place, token in enumerate(tokens):
        try:
            json.loads(token or "null", strict=False)
        except ValueError:
            return place
    raise AssertionError("tokens that are JSON one by one make a list")
