"""Rows as people and programs read them: a table for the screen, CSV, JSON, Parquet.

Times are ISO 8601 in UTC, an empty value is empty (null in JSON), geometry is WKT (GeoJSON in JSON).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import IO, TYPE_CHECKING, Any

from impl.run.errors import unknown

if TYPE_CHECKING:
    import pyarrow

SHOWN_ROWS = 40
WIDEST_CELL = 40
FORMATS = ("csv", "json", "jsonl", "parquet")


def as_table(rows: pyarrow.Table, shown: int = SHOWN_ROWS, width: int | None = None) -> str:
    """`rows` for the screen: numbers to the right, and below it what did not fit.

    shown: how many rows at most. width: how many characters a line may have (None: any number).
    """
    shapes = geometry_columns(rows)
    head = rows.slice(0, shown)
    columns = [_cells(name, head.column(place), name in shapes) for place, name in enumerate(rows.column_names)]
    right = [_is_number(field.type) for field in rows.schema]
    widths = [max(len(cell) for cell in column) for column in columns]
    fitting = _fitting(widths, width)
    lines = []
    for place in range(head.num_rows + 1):
        cells = [
            columns[at][place].rjust(widths[at]) if right[at] else columns[at][place].ljust(widths[at]) for at in range(fitting)
        ]
        lines.append("  ".join(cells).rstrip())
        if place == 0:
            lines.append("  ".join("─" * widths[at] for at in range(fitting)))
    hidden = rows.column_names[fitting:]
    return "\n".join([*lines, "", *_footer(head.num_rows, rows.num_rows, hidden)])


def _footer(shown: int, rows: int, hidden: Sequence[str]) -> list[str]:
    counted = f"{rows:,} row{'' if rows == 1 else 's'}"
    lines = [counted if shown == rows else f"{shown:,} shown of {counted}"]
    if hidden:
        more = f" and {len(hidden) - 6} more" if len(hidden) > 6 else ""
        lines.append(f"{len(hidden)} columns do not fit: {', '.join(hidden[:6])}{more}")
    return lines


def _fitting(widths: Sequence[int], width: int | None) -> int:
    used = 0
    for place, one in enumerate(widths):
        used += one + (2 if place else 0)
        if width is not None and used > width and place:
            return place
    return len(widths)


def _cells(name: str, column: pyarrow.ChunkedArray, is_shape: bool) -> list[str]:
    values = column.to_pylist()
    if is_shape:
        texts = [_shape_in_short(value) for value in values]
    elif any(isinstance(value, datetime) for value in values):
        texts = _times(values)
    else:
        texts = [_cell(value) for value in values]
    return [_cut(text) for text in [name, *texts]]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return (
            f"{value:.6g}" if abs(value) < 1e6 or value != value or value in (float("inf"), -float("inf")) else f"{value:.1f}"
        )
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return str(value).replace("\n", "⏎")


def _times(values: Sequence[datetime | None]) -> list[str]:
    """Dates where all are at midnight, else dates with times."""
    there = [_utc(value) for value in values if value is not None]
    pattern = (
        "%Y-%m-%d"
        if all(one.hour == one.minute == one.second == one.microsecond == 0 for one in there)
        else "%Y-%m-%d %H:%M:%S"
    )
    return ["" if value is None else _utc(value).strftime(pattern) for value in values]


def _shape_in_short(value: bytes | None) -> str:
    import shapely

    if value is None:
        return ""
    shape = shapely.from_wkb(value)
    if shape.geom_type == "Point":
        return shape.wkt
    return f"{shape.geom_type.upper()} ({shapely.get_num_coordinates(shape):,} points)"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 1] + "…"


def _is_number(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_decimal(kind)


def geometry_columns(rows: pyarrow.Table | pyarrow.RecordBatch) -> list[str]:
    """The binary columns whose values are all well-known binary."""
    import pyarrow

    found = []
    for field in rows.schema:
        if pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
            sample = [value for value in rows.column(field.name).slice(0, 100).to_pylist() if value is not None]
            if sample and all(_is_wkb(value) for value in sample):
                found.append(field.name)
    return found


def _is_wkb(value: bytes) -> bool:
    import shapely

    return len(value) >= 9 and value[0] in (0, 1) and shapely.from_wkb(value, on_invalid="ignore") is not None


def as_csv(rows: pyarrow.Table) -> str:
    """With a header line; text is quoted where it must be."""
    return _written(rows, "csv").decode()


def as_json(rows: pyarrow.Table) -> str:
    """One array, an object per row on its own line."""
    return _written(rows, "json").decode()


def as_lines(rows: pyarrow.Table) -> str:
    """JSON lines: an object per row and nothing around."""
    return _written(rows, "jsonl").decode()


def as_parquet(rows: pyarrow.Table) -> bytes:
    return _written(rows, "parquet")


def _written(rows: pyarrow.Table, kind: str) -> bytes:
    into = io.BytesIO()
    write(rows, kind, into)
    return into.getvalue()


def write(rows: pyarrow.Table | pyarrow.RecordBatchReader, kind: str, into: IO[bytes]) -> int:
    """Write `rows` batch by batch as `kind` (one of FORMATS) to an open binary file; the number of rows."""
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    return {"csv": _write_csv, "json": _write_json, "jsonl": _write_lines, "parquet": _write_parquet}[kind](rows, into)


def _batches(rows: pyarrow.Table | pyarrow.RecordBatchReader) -> Iterable[pyarrow.RecordBatch]:
    return rows.to_batches() if hasattr(rows, "to_batches") else rows


def _write_csv(rows: Any, into: IO[bytes]) -> int:
    import pyarrow

    count = 0
    empty = _plain(pyarrow.RecordBatch.from_pylist([], schema=rows.schema))
    into.write(_csv_lines(empty, header=True))
    for batch in _batches(rows):
        into.write(_csv_lines(_plain(batch), header=False))
        count += batch.num_rows
    return count


def _csv_lines(batch: pyarrow.RecordBatch, header: bool) -> bytes:
    """Without quotation marks where no text needs them, as mostly; Arrow would put them around every text."""
    import pyarrow
    import pyarrow.csv

    styles = ("none", "needed")
    for style in styles:
        into = io.BytesIO()
        options = pyarrow.csv.WriteOptions(include_header=header, quoting_style=style, quoting_header=style)
        try:
            pyarrow.csv.write_csv(batch, into, write_options=options)
        except pyarrow.ArrowInvalid:
            if style == styles[-1]:
                raise
            continue
        return into.getvalue()
    raise AssertionError("one of the styles fits")


def _plain(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Times and geometry as text, other bytes as hexadecimal; the rest as it is."""
    import pyarrow

    shapes, arrays = geometry_columns(batch), []
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        if pyarrow.types.is_timestamp(array.type):
            array = pyarrow.array([_iso(value) for value in array.to_pylist()], pyarrow.string())
        elif pyarrow.types.is_binary(array.type) or pyarrow.types.is_large_binary(array.type):
            texts = [_wkt(v) if name in shapes else None if v is None else v.hex() for v in array.to_pylist()]
            array = pyarrow.array(texts, pyarrow.string())
        arrays.append(array)
    return pyarrow.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _wkt(value: bytes | None) -> str | None:
    import shapely

    return None if value is None else shapely.to_wkt(shapely.from_wkb(value), rounding_precision=-1)


def _write_json(rows: Any, into: IO[bytes]) -> int:
    count = 0
    into.write(b"[")
    for text in _json_rows(rows):
        into.write((b",\n " if count else b"") + text.encode())
        count += 1
    into.write(b"]\n")
    return count


def _write_lines(rows: Any, into: IO[bytes]) -> int:
    count = 0
    for text in _json_rows(rows):
        into.write(text.encode() + b"\n")
        count += 1
    return count


def _json_rows(rows: Any) -> Iterator[str]:
    for batch in _batches(rows):
        shapes = geometry_columns(batch)
        for row in batch.to_pylist():
            yield json.dumps({name: json_value(value, name in shapes) for name, value in row.items()}, ensure_ascii=False)


def json_value(value: Any, is_shape: bool = False) -> Any:
    """A value as JSON has it: no NaN, times as ISO text, a shape as GeoJSON geometry."""
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return None
    if isinstance(value, bytes):
        import shapely

        return json.loads(shapely.to_geojson(shapely.from_wkb(value))) if is_shape else value.hex()
    if isinstance(value, dict):
        return {str(name): json_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [json_value(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _iso(value: datetime | None) -> str | None:
    return None if value is None else _utc(value).isoformat().replace("+00:00", "Z")


def _utc(value: datetime) -> datetime:
    """A time without a zone is in UTC, as everything in a store."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _write_parquet(rows: Any, into: IO[bytes]) -> int:
    import pyarrow
    import pyarrow.parquet

    count = 0
    with pyarrow.parquet.ParquetWriter(into, rows.schema, compression="zstd") as writer:
        for batch in _batches(rows):
            writer.write_table(pyarrow.Table.from_batches([batch]))
            count += batch.num_rows
    return count
