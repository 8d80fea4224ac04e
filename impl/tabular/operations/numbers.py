"""Texts as numbers, read as pandas reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from impl.tabular.operations.tables import as_text

if TYPE_CHECKING:
    import polars as pl

BLANK = " \t\n\r\x0b\x0c"
INTEGER_TEXT = r"^[+-]?[0-9]+$"
SHORT = 15  # digits of which a float keeps each
_NUMBER = re.compile(r"([+-]?)([0-9]*)(\.[0-9]*)?(?:[eE]([+-]?[0-9]+))?")


def numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Values as floats and as whole numbers (missing where they are not), read as pandas reads texts.

    Both are missing for a missing value, an empty text and what is no number.
    """
    import polars as pl

    if column.dtype.is_integer() or column.dtype == pl.Boolean:
        return column.cast(pl.Float64), column.cast(pl.Int64)
    if column.dtype.is_float() or column.dtype == pl.Null:
        return column.cast(pl.Float64).fill_nan(None), pl.Series([None], dtype=pl.Int64).new_from_index(0, len(column))
    if column.dtype != pl.String:
        column = as_text(column)
    whole = short_whole_numbers(column)
    if whole is not None:
        return whole.cast(pl.Float64), whole
    plain = column.str.len_bytes() <= SHORT
    easy = plain & column.str.contains(r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$")
    integers = column.set(~(easy & column.str.contains(INTEGER_TEXT)).fill_null(False), None).cast(pl.Int64)
    floats = column.set(~easy.fill_null(False), None).cast(pl.Float64)
    hard = (~easy & (column != "")).fill_null(False)
    if hard.any():
        texts = column.filter(hard).unique()
        read = [number(one) for one in texts]
        table = pl.DataFrame(
            {
                "text": texts,
                "float": pl.Series([one for one, _ in read], dtype=pl.Float64),
                "whole": pl.Series([one for _, one in read], dtype=pl.Int64),
            }
        )
        found = pl.DataFrame({"text": column}).join(table, on="text", how="left", maintain_order="left")
        floats, integers = floats.zip_with(~hard, found["float"]), integers.zip_with(~hard, found["whole"])
    return floats, integers


def number(text: str) -> tuple[float | None, int | None]:
    """One number: as float, and as whole number if it is one. (None, None): it is none.

    pandas takes at most 17 digits and scales by a power of ten, which is not always the nearest float; so do we.
    """
    text = text.strip(BLANK)
    if text.lower().lstrip("+-") in ("inf", "infinity") and len(text) - len(text.lstrip("+-")) <= 1:
        return (float("-inf") if text[0] == "-" else float("inf")), None
    found = _NUMBER.fullmatch(text)
    if found is None or not (found[2] or (found[3] or ".") != "."):
        return None, None
    sign, digits, decimals, power = found.groups()
    taken = (digits + (decimals or ".")[1:])[:17]
    value = 0.0
    for one in taken:
        value = value * 10.0 + int(one)
    exponent = max(0, len(digits) - 17) - max(0, len(taken) - len(digits)) + int(power or 0)
    if exponent > 308:
        return None, None
    if exponent > 0:
        value *= float(f"1e{exponent}")
    elif exponent < -308:
        value = value / float(f"1e{min(308, -308 - exponent)}") / 1e308
    else:
        value /= float(f"1e{-exponent}")
    if value == float("inf"):
        return None, None
    value = -value if sign == "-" else value
    if decimals is not None or power is not None:
        return value, None
    whole = int(text)
    return (value, whole) if -(2**63) <= whole < 2**63 else (None, None)


def short_whole_numbers(column: pl.Series) -> pl.Series | None:
    """Texts as whole numbers, empty ones as missing; None if any is something else, has many digits or is `-0` (a float of its own)."""
    import polars as pl

    whole = column.cast(pl.Int64, strict=False)
    if whole.null_count() != column.null_count() and not ((column == "") | column.is_null() | whole.is_not_null()).all():
        return None
    longest = column.str.len_bytes().max()
    if isinstance(longest, int) and longest > SHORT:
        return None
    nought = column.filter(whole == 0)
    return None if nought.str.starts_with("-").any() else whole
