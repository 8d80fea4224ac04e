"""Parquet (a file or a folder of them), Feather and ORC: in batches, with the types that pandas would give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.tabular.flow import BATCH, CELLS, FLOAT, Column, Context, framed
from impl.tabular.sources.file import FileSource
from impl.tabular.sources.source import empty, kind_of
from impl.tabular.sources.values import column_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow
    import pyarrow.dataset


class Arrow(FileSource):
    """parquet, feather, orc."""

    def look(self) -> list[Column] | None:
        data, names = self._opened(self.file)
        # whole numbers with gaps among them are floats when the rows come, but pandas plans with whole ones
        return [Column(name, _kind(data.schema.field(name).type)) for name in names]

    def rows(self, file: Path, context: Context) -> Iterator[pl.DataFrame]:
        data, names = self._opened(file)
        if not names:
            yield empty(())
            return
        try:
            gaps = self._with_gaps(data, names)
            yield self._frame(data.schema.empty_table().select(names), gaps)
            rows = max(1, min(BATCH, CELLS // len(names)))
            for batch in data.to_batches(columns=names, batch_size=rows, batch_readahead=2, fragment_readahead=1):
                if batch.num_rows:
                    import pyarrow

                    yield self._frame(pyarrow.Table.from_batches([batch]), gaps)
        except (ValueError, OSError) as error:
            raise self._broken(error, file) from error

    def _opened(self, file: Path) -> tuple[pyarrow.dataset.Dataset, list[str]]:
        """The data, and the names of the columns without those that pandas kept as its index."""
        try:
            import pyarrow.dataset as dataset
        except ImportError as error:
            raise self.missing("pyarrow", f"type `{self.type}`") from error
        files = [file]
        if file.is_dir():
            ending = f".{self.type}"
            there = [one for one in file.rglob("*") if one.is_file() and not one.name.startswith(("_", "."))]
            files = sorted([one for one in there if one.name.endswith(ending)] or there, key=_naturally)
        try:
            data = dataset.dataset([str(one) for one in files], format=self.type, partitioning=_partitions(file, files))
        except (ValueError, OSError, NotImplementedError) as error:
            raise self._broken(error, file) from error
        names = list(data.schema.names)
        index = (data.schema.pandas_metadata or {}).get("index_columns", []) if data.schema.metadata else []
        names = [one for one in names if one not in index]
        self.unique(names, file)
        return data, names

    def _broken(self, error: BaseException, file: Path) -> EtlError:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        return self.failed(f"the file cannot be read as {self.type}: {said}", "check the file, or say its `type:`", file)

    def _with_gaps(self, data: pyarrow.dataset.Dataset, names: list[str]) -> set[str]:
        """The columns of whole numbers that have a null: one look at these columns alone."""
        import pyarrow

        numbers = [one for one in names if pyarrow.types.is_integer(data.schema.field(one).type)]
        gaps: set[str] = set()
        if self.type == "parquet":
            unsure = _unsure(data, numbers, gaps)
            numbers = [one for one in numbers if one in unsure and one not in gaps]
        if numbers:
            for batch in data.to_batches(columns=numbers, batch_readahead=2, fragment_readahead=1):
                gaps.update(name for name, column in zip(numbers, batch.columns, strict=True) if column.null_count)
        return gaps

    def _frame(self, table: pyarrow.Table, gaps: set[str]) -> pl.DataFrame:

        return framed(
            self._column(name, column, name in gaps) for name, column in zip(table.column_names, table.columns, strict=True)
        )

    def _column(self, name: str, values: pyarrow.ChunkedArray, gap: bool) -> pl.Series:
        import polars as pl
        import pyarrow
        from pyarrow import types

        if types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if types.is_null(values.type):
            return pl.Series(name, [None] * len(values), dtype=pl.String)
        if types.is_nested(values.type) or types.is_duration(values.type):
            plain = column_of(values.to_pandas(), name)
            return (
                plain
                if plain.dtype == pl.Object
                else plain.cast(pl.Object)
                if len(plain)
                else pl.Series(name, [], dtype=pl.Object)
            )
        if self.type == "orc" and types.is_date(values.type):
            values = values.cast(pyarrow.timestamp("us"))
        read: Any = pl.from_arrow(values)
        read = read.alias(name)
        if gap:
            read = read.cast(pl.Float64)
        return read.fill_nan(None) if read.dtype.is_float() else read


def _kind(dtype: pyarrow.DataType) -> str:
    import polars as pl
    from pyarrow import types

    if types.is_dictionary(dtype):
        dtype = dtype.value_type
    if types.is_null(dtype):
        return kind_of(pl.String)
    if types.is_floating(dtype):
        return FLOAT
    if types.is_nested(dtype) or types.is_duration(dtype):
        return kind_of(pl.Object)
    read: Any = pl.from_arrow(_nothing(dtype))
    return kind_of(read.dtype)


def _nothing(dtype: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow

    return pyarrow.array([], dtype)


def _unsure(data: Any, numbers: list[str], gaps: set[str]) -> set[str]:
    """The columns whose gaps the statistics of the files do not tell; `gaps` gets those that have some."""
    unsure: set[str] = set()
    for fragment in data.get_fragments():
        told = fragment.metadata
        places = {told.schema.column(place).path: place for place in range(told.num_columns)}
        for name in numbers:
            if name not in places:
                unsure.add(name)
                continue
            for group in range(told.num_row_groups):
                known = told.row_group(group).column(places[name]).statistics
                if known is None or not known.has_null_count:
                    unsure.add(name)
                elif known.null_count:
                    gaps.add(name)
    return unsure


def _partitions(root: Path, files: list[Path]) -> Any:
    """`year=2020` in the path of a file is a column of text."""
    import pyarrow
    import pyarrow.dataset as dataset

    parts = [part for one in files[:1] if root.is_dir() for part in one.relative_to(root).parts[:-1] if "=" in part]
    if not parts:
        return None
    return dataset.partitioning(pyarrow.schema([(part.split("=")[0], pyarrow.string()) for part in parts]), flavor="hive")


def _naturally(path: Path) -> list[tuple[int, int | str]]:
    """part.2 before part.10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", str(path)) if part]
