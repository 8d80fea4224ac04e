"""Row files that share a key, put side by side: one file per variable becomes one row with all variables."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impl.run.errors import EtlError
from impl.run.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 200_000  # rows at a time: bounds the memory whatever the number of years


def side_by_side(
    files: Sequence[Path], target: Path, *, key: Sequence[str], rename: Mapping[str, str], year: int, lowest: Mapping[str, str]
) -> str:
    """Join `files` on equal `key` columns into the Parquet file `target`, one year of them.

    files: Parquet, each with the key columns in the same order of rows (ncproj writes them so: time, then region).
    key: names of the key columns in the files; the last is the time, which `year` (UTC) selects.
    rename: name in the files -> name in the target.
    lowest: prefix -> column: the columns that start with the prefix give way to their row-wise minimum.
    Rows without any value (regions outside the grid) are left out. Raises `EtlError` where keys differ.
    """
    import pyarrow.parquet as parquet

    rows = 0
    readers = [_of_year(path, key[-1], year) for path in files]
    with replacing(target) as part:
        writer = None
        try:
            for number, tables in enumerate(zip(*readers, strict=True)):
                table = _joined(tables, files, key, number)
                table = _without_empty(_lowest(table, lowest), key, lowest)
                table = table.rename_columns([rename.get(name, name) for name in table.column_names])
                if writer is None:
                    writer = parquet.ParquetWriter(part, table.schema, compression="zstd")
                writer.write_table(table)
                rows += table.num_rows
        except ValueError as error:  # zip: one of the files has fewer rows
            raise EtlError("the files do not have the same rows", where=", ".join(path.name for path in files)) from error
        finally:
            if writer is not None:
                writer.close()
        if rows == 0:
            raise EtlError(f"there are no rows for the year {year}", where=", ".join(path.name for path in files))
    return f"{rows:,} rows x {len(table.column_names)} columns"


def _of_year(path: Path, time: str, year: int) -> "Iterator[pa.Table]":
    """The rows of one year in batches; all files of a span are cut at the same rows."""
    from datetime import datetime, timezone

    import pyarrow as pa
    import pyarrow.dataset as dataset

    first, after = (datetime(one, 1, 1, tzinfo=timezone.utc) for one in (year, year + 1))
    wanted = (dataset.field(time) >= pa.scalar(first)) & (dataset.field(time) < pa.scalar(after))
    pending, count = [], 0
    for batch in dataset.dataset(path, format="parquet").to_batches(filter=wanted, batch_size=BATCH):
        pending.append(batch)
        count += batch.num_rows
        while count >= BATCH:
            table = pa.Table.from_batches(pending)
            yield table.slice(0, BATCH)
            pending, count = table.slice(BATCH).to_batches(), count - BATCH
    if count:
        yield pa.Table.from_batches(pending)


def _joined(tables: "Sequence[pa.Table]", files: Sequence[Path], key: Sequence[str], number: int) -> "pa.Table":
    first = tables[0]
    joined = first
    for table, path in zip(tables[1:], files[1:], strict=True):
        for column in key:
            if not table[column].equals(first[column]):
                raise EtlError(
                    f"the column `{column}` differs between files that belong together",
                    where=f"{files[0].name} and {path.name}, rows from {number * BATCH:,} on",
                    hint="they have to come from the same index and the same days",
                )
        for name in table.column_names:
            if name in key:
                continue
            if name in joined.column_names:
                raise EtlError(f"the column `{name}` stands in two files", where=f"{files[0].name} and {path.name}")
            joined = joined.append_column(table.schema.field(name), table[name])
    return joined


def _lowest(table: "pa.Table", lowest: Mapping[str, str]) -> "pa.Table":
    import pyarrow.compute as compute

    for prefix, name in lowest.items():
        columns = [column for column in table.column_names if column.startswith(prefix)]
        values = compute.min_element_wise(*(table[column] for column in columns), skip_nulls=False)
        table = table.drop_columns(columns).append_column(name, values)
    return table


def _without_empty(table: "pa.Table", key: Sequence[str], lowest: Mapping[str, str]) -> "pa.Table":
    import pyarrow.compute as compute

    values = [name for name in table.column_names if name not in key and name not in lowest.values()]
    if not values:
        return table
    any_value = compute.is_valid(compute.coalesce(*(table[name] for name in values)))
    return table.filter(any_value)
