"""Values of a table as a template sees them, and texts as JSON writes them."""

from __future__ import annotations

import datetime
import decimal
import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

NAN = float("nan")
# whatever stands outside of these is written otherwise by JSON that is safe in HTML
_PLAIN = r"[^ !#-%(-;=?-\[\]-~]"
_ESCAPES = {chr(code): json.dumps(chr(code))[1:-1] for code in [*range(32), 127, ord('"'), ord("\\")]}
_ESCAPES |= {mark: f"\\u{ord(mark):04x}" for mark in "<>&'"}


def widened(batch: pl.DataFrame) -> pl.DataFrame:
    """A row of nothing but numbers has one type in the peer: a decimal among them makes decimals of all."""
    import polars as pl

    if not batch.width or not batch.to_series(0).dtype.is_numeric():
        return batch
    types = batch.dtypes
    if all(one.is_numeric() for one in types) and any(one.is_float() for one in types):
        return batch.cast({name: pl.Float64 for name, one in batch.schema.items() if one.is_integer()})
    return batch


def texts(series: pl.Series) -> pl.Series:
    """A column as a destination's template sees it: nothing is an empty text, numbers and truth as Python writes them.

    Dates, mappings and lists stay what they are; there a missing one is left null.
    """
    import polars as pl

    kind = series.dtype
    if kind == pl.String:
        return series.fill_null("")
    if kind == pl.Null:
        return series.cast(pl.String).fill_null("")
    if kind.is_integer():
        return series.cast(pl.String).fill_null("")
    if kind == pl.Boolean:
        written = pl.select(pl.when(series).then(pl.lit("True")).otherwise(pl.lit("False"))).to_series()
        return written.zip_with(series.is_not_null(), pl.Series([""])).alias(series.name)
    if kind.is_float():
        values = ["" if one is None or one != one else str(one) for one in series.to_list()]
        return pl.Series(series.name, values, dtype=pl.String)
    if isinstance(kind, pl.Categorical | pl.Enum):
        return series.cast(pl.String).fill_null("")
    return series


def values(series: pl.Series, missing: Any) -> list:
    """Python values of a column, with `missing` where there is none."""
    import polars as pl

    found = series.to_list()
    if series.dtype == pl.Object or series.null_count():
        return [missing if one is None else one for one in found]
    return found


def json_texts(series: pl.Series) -> pl.Series:
    """Each text as `tojson` writes it (safe in HTML, ASCII only). Null stays null."""
    import polars as pl

    quoted = pl.select(pl.concat_str([pl.lit('"'), series, pl.lit('"')])).to_series() if series.len() else series
    odd = series.str.contains(_PLAIN)
    if not odd.any():
        return quoted
    different = series.filter(odd).unique()
    ascii_only = different.str.len_bytes() == different.str.len_chars()
    known = different.filter(ascii_only)
    escaped = known.str.replace_many(list(_ESCAPES), list(_ESCAPES.values())).to_list()
    foreign = different.filter(~ascii_only).to_list()
    old = known.to_list() + foreign
    new = [f'"{one}"' for one in escaped] + [json_text(one) for one in foreign]
    lookup = pl.DataFrame({"old": old, "new": new}, schema={"old": pl.String, "new": pl.String})
    found = pl.DataFrame({"old": series}).join(lookup, on="old", how="left", maintain_order="left")["new"]
    return found.zip_with(odd.fill_null(False), quoted)


def json_text(value: Any) -> str:
    """What `tojson` makes of a value, without the mark that it is safe in HTML. Raises TypeError for what JSON does not know."""
    written = dumps(value)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("'", "\\u0027")


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps` with sorted keys, without its price for a text: most of what `tojson` is given."""
    if options:
        return json.dumps(value, sort_keys=True, default=_plain, **options)
    return encode_basestring_ascii(value) if type(value) is str else _ENCODER.encode(value)


def _plain(value: Any) -> str:
    """What `tojson` writes for values that JSON does not know."""
    if isinstance(value, datetime.date | datetime.time | decimal.Decimal):
        return str(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_ENCODER = json.JSONEncoder(sort_keys=True, default=_plain)
