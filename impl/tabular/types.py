"""Texts as the types that a destination asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from impl.run.errors import EtlError

if TYPE_CHECKING:
    import polars as pl

TYPES = ("text", "integer", "float", "boolean", "date", "timestamp")
TRUE, FALSE = ["true", "yes", "1"], ["false", "no", "0"]


def typed(
    batch: pl.DataFrame, types: Mapping[str, str], start_row: int, failed: Callable[[str, int, str], EtlError]
) -> pl.DataFrame:
    """The batch with some columns as `types`; what is missing or empty is null.

    integer: 64 bits; float: as Python reads it; boolean: true, yes, 1 or false, no, 0 in any case; date and timestamp (UTC): ISO 8601.
    failed(what, row from 1, value): the error for a text that is none of that type.
    """
    import polars as pl

    for name, wanted in types.items():
        column = batch[name]
        text = column.cast(pl.String) if column.dtype != pl.String else column
        if wanted == "text":
            batch = batch.with_columns(text)
            continue
        text = text.str.strip_chars().replace("", None)
        if wanted == "integer":
            made = column if column.dtype.is_integer() else text.str.replace(r"^\+", "").cast(pl.Int64, strict=False)
        elif wanted == "float":
            made = column.cast(pl.Float64) if column.dtype.is_numeric() else text.cast(pl.Float64, strict=False)
        elif wanted == "boolean":
            lower = text.str.to_lowercase()
            known = lower.is_in([*TRUE, *FALSE])
            made = lower.is_in(TRUE).zip_with(known, pl.Series([None], dtype=pl.Boolean))
        elif wanted == "date":
            made = text.str.to_date("%Y-%m-%d", strict=False)
        else:
            made = text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        wrong = (made.is_null() & text.is_not_null()).arg_true()
        if len(wrong):
            at = int(wrong[0])
            raise failed(f"`{name}` is no {wanted}", start_row + at + 1, str(column[at]))
        batch = batch.with_columns(made.alias(name))
    return batch
