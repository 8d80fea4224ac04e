"""Values with types as batches: what pandas holds, and rows of a database in the types that pandas would give them."""

from __future__ import annotations

import datetime
import decimal
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.tabular.flow import BATCH, framed

if TYPE_CHECKING:
    import pandas
    import polars as pl


def from_pandas(frame: pandas.DataFrame, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Batches of `frame` under these names; NaN, NaT and None are null. A column has one type in all of them."""

    columns = [column_of(frame.iloc[:, place], name) for place, name in enumerate(names)]
    whole = framed(columns)
    yield from whole.iter_slices(BATCH) if whole.height else iter([whole])


def column_of(values: pandas.Series, name: str) -> pl.Series:
    """One column of pandas."""
    import pandas
    import polars as pl

    dtype = values.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        values = values.astype(object)
        dtype = values.dtype
    if pandas.api.types.is_object_dtype(dtype) or isinstance(dtype, pandas.StringDtype):
        missing = values.isna().to_numpy()
        return series(name, [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)])
    if pandas.api.types.is_timedelta64_dtype(dtype):
        return pl.Series(name, [None if value is pandas.NaT else value for value in values.tolist()], dtype=pl.Object)
    if isinstance(dtype, pandas.PeriodDtype | pandas.IntervalDtype):
        return series(name, values.astype(object).tolist())
    try:
        return pl.Series(name, pl.from_pandas(values, nan_to_null=True))
    except pl.exceptions.ComputeError:  # a time zone that Polars has no name for, such as +05:30
        return pl.Series(name, [None if value is pandas.NaT else value for value in values.tolist()], dtype=pl.Object)


def series(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of Python values, None is null: text, numbers and times in a column of their own, all else as objects."""
    return of_types(name, values, {type(value) for value in values})


def of_types(name: str, values: Sequence[Any], types: set[type]) -> pl.Series:
    """As `series`, for values of a column whose types are `types`: the same for all parts of it."""
    import polars as pl

    dtype = dtype_of(types)
    if dtype == pl.Object:
        return pl.Series(name, [_plain(value) for value in values], dtype=pl.Object)
    if dtype == pl.String and types - {str, type(None)}:
        values = [None if value is None else str(value) for value in values]
    if dtype == pl.Float64:
        values = [None if value is None or value != value else float(value) for value in values]
    try:
        return pl.Series(name, values, dtype=dtype, strict=True)
    except (OverflowError, TypeError, ValueError, pl.exceptions.PolarsError):
        return pl.Series(name, list(values), dtype=pl.Object)


def dtype_of(types: set[type]) -> Any:
    """The Polars type of Python values of these types."""
    import polars as pl

    found = types - {type(None)}
    if not found:
        return pl.String
    for kind, dtype in (
        (str, pl.String),
        (bool, pl.Boolean),
        (int, pl.Int64),
        (float, pl.Float64),
        (datetime.date, pl.Date),
        (bytes, pl.Binary),
        (datetime.time, pl.Time),
    ):
        if found == {kind}:
            return dtype
    return pl.Object


def _plain(value: Any) -> Any:
    """Python's own values for those of NumPy; spans of time as pandas writes them (`1 days 00:00:00`)."""
    if type(value) is datetime.timedelta:
        import pandas

        return pandas.Timedelta(value)
    if hasattr(value, "tolist") and type(value).__module__.startswith("numpy"):
        return value.tolist()
    return bytes(value) if isinstance(value, memoryview) else value


class Spool:
    """Rows of a database on their way: kept on disk until the types of all values are known, then given in batches.

    pandas decides by the whole column: whole numbers with a NULL among them are floats. Memory holds one batch.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self.names = list(names)
        self.types: list[set[type]] = [set() for _ in self.names]
        self.wide = [False] * len(self.names)
        self.parts = 0
        self.zones: list[set[datetime.timedelta | None]] = [set() for _ in self.names]
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - frames() closes it

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take some rows."""
        columns = [_told(column) for column in zip(*rows, strict=True)]
        for place, column in enumerate(columns):
            self.types[place].update(map(type, column))
            self.zones[place].update(value.utcoffset() for value in column if type(value) is datetime.datetime)
            self.wide[place] |= any(type(value) is int and not -(1 << 63) <= value < 1 << 63 for value in column)
        pickle.dump(columns, self.file, protocol=5)
        self.parts += 1

    def frames(self) -> Iterator[pl.DataFrame]:
        """Everything that was added, in its order; at least one frame. The file is gone afterwards."""
        import polars as pl

        if not self.parts:
            yield pl.DataFrame(schema=dict.fromkeys(self.names, pl.String))
        kinds = [_settled(*known) for known in zip(self.types, self.wide, self.zones, strict=True)]
        with self.file as file:
            file.seek(0)
            for _ in range(self.parts):
                columns = pickle.load(file)
                yield framed(_as(name, column, kind) for name, column, kind in zip(self.names, columns, kinds, strict=True))


def _told(column: Sequence[Any]) -> Sequence[Any]:
    """Views of bytes as bytes: they cannot be kept."""
    return (
        [bytes(value) if isinstance(value, memoryview) else value for value in column]
        if memoryview in map(type, column)
        else column
    )


def _settled(types: set[type], wide: bool, zones: set[datetime.timedelta | None]) -> Any:
    """The Polars type of a whole column, as pandas.read_sql decides."""
    import polars as pl

    found = types - {type(None)}
    if wide and float not in found and decimal.Decimal not in found:
        return pl.Object
    if found and found <= {int, float, decimal.Decimal}:
        return pl.Int64 if found == {int} and type(None) not in types else pl.Float64
    if found == {datetime.datetime}:
        # one offset that is not zero would be lost
        known = {frozenset({None}): pl.Datetime("us"), frozenset({datetime.timedelta(0)}): pl.Datetime("us", "UTC")}
        return known.get(frozenset(zones), pl.Object)
    return dtype_of(types)


def _as(name: str, column: Sequence[Any], dtype: Any) -> pl.Series:
    import polars as pl

    if dtype == pl.Float64:
        return pl.Series(name, [None if value is None or value != value else float(value) for value in column], dtype=dtype)
    if dtype == pl.Object:
        return pl.Series(name, [_plain(value) for value in column], dtype=dtype)
    return pl.Series(name, column, dtype=dtype)
