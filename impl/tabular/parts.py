"""What partitions have written, put together: files of parts in their order become one file.

Beside each part lies what is needed for that (`Ends`): where its header ends and its footer begins. The first part that has rows
gives both, since a header may be made with the first row.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from impl.run.errors import EtlError
from impl.run.files import replacing

CHUNK = 8 << 20
LEVEL = 6  # of gzip, as of a destination


class Ends(NamedTuple):
    """Of a part: how it is written, how many rows it has, and the bytes of its text at which header and rows end."""

    format: str
    compression: str
    rows: int
    header_end: int
    footer_start: int


def part_of(target: Path, label: str) -> Path:
    """Where the part of a partition lies: beside the file that it becomes a part of."""
    return target.with_name(f"{target.name}.parts") / f"{label}{''.join(target.suffixes)}"


def ends_of(part: Path) -> Path:
    """The file with the `Ends` of a part."""
    return part.with_name(f"{part.name}.ends")


def write_ends(part: Path, ends: Ends) -> None:
    with replacing(ends_of(part)) as file:
        file.write_text(json.dumps(ends._asdict()) + "\n")


def read_ends(part: Path) -> Ends:
    return Ends(**json.loads(ends_of(part).read_text()))


def with_rows(parts: Sequence[Path]) -> list[Path]:
    """The parts that have rows; the first where none has: it knows the columns."""
    return [one for one in parts if read_ends(one).rows] or list(parts[:1])


def gather(parts: Sequence[Path], target: Path) -> int:
    """Write `target` from its parts, in their order, and say how many rows it has."""
    if not parts:
        raise EtlError("there are no partitions", where=target, hint="name their values, or look whether the files are there")
    ends = [read_ends(one) for one in parts]
    with replacing(target) as file:
        if ends[0].format == "parquet":
            _one_table(with_rows(parts), file)
        else:
            _one_text(parts, ends, file)
    return sum(one.rows for one in ends)


def _one_text(parts: Sequence[Path], ends: Sequence[Ends], target: Path) -> None:
    if ends[0].format == "csv":
        _same_header(parts, ends)
    gives = next((at for at, one in enumerate(ends) if one.rows), 0)
    packed = ends[0].compression == "gzip"
    with _writing(target, packed) as file:
        with _reading(parts[gives], packed) as part:
            file.write(part.read(ends[gives].header_end))
        for path, one in zip(parts, ends, strict=True):
            with _reading(path, packed) as part:
                part.seek(one.header_end)
                _copy(part, file, one.footer_start - one.header_end)
        with _reading(parts[gives], packed) as part:
            part.seek(ends[gives].footer_start)
            file.write(part.read())


def _same_header(parts: Sequence[Path], ends: Sequence[Ends]) -> None:
    heads = []
    for path, one in zip(parts, ends, strict=True):
        with _reading(path, one.compression == "gzip") as part:
            heads.append(part.read(one.header_end).decode("utf-8").strip())
    for path, head in zip(parts, heads, strict=True):
        if head != heads[0]:
            raise _other_columns(parts[0], heads[0], path, head)


def _copy(part: BinaryIO, file: BinaryIO, count: int) -> None:
    while count > 0:
        block = part.read(min(CHUNK, count))
        if not block:
            raise EtlError("a part is shorter than it was", where=getattr(part, "name", None), hint="run it again")
        file.write(block)
        count -= len(block)


@contextmanager
def _writing(target: Path, packed: bool) -> Iterator[BinaryIO]:
    with open(target, "wb") as raw:
        if packed:
            with gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as file:
                yield file  # type: ignore[misc]
        else:
            yield raw


@contextmanager
def _reading(part: Path, packed: bool) -> Iterator[BinaryIO]:
    with gzip.open(part, "rb") if packed else open(part, "rb") as file:
        yield file  # type: ignore[misc]


def _one_table(parts: Sequence[Path], target: Path) -> None:
    """Row groups of one part after the other; no more than one of them is in memory."""
    from pyarrow import parquet

    writer: Any = None
    schema: Any = None
    try:
        for path in parts:
            part = parquet.ParquetFile(path)
            schema = schema or part.schema_arrow
            if not part.schema_arrow.equals(schema):
                raise _other_columns(parts[0], _described(schema), path, _described(part.schema_arrow))
            writer = writer or parquet.ParquetWriter(target, schema, compression="zstd")
            for at in range(part.num_row_groups):
                table = part.read_row_group(at)
                writer.write_table(table, row_group_size=max(table.num_rows, 1))
    finally:
        if writer is not None:
            writer.close()


def _described(schema: Any) -> str:
    return ", ".join(f"{one.name} ({one.type})" for one in schema)


def _other_columns(first: Path, before: str, other: Path, now: str) -> EtlError:
    return EtlError(
        "the partitions have different columns",
        where=f"{first.stem}: {before[:300]}\n    {other.stem}: {now[:300]}",
        hint="bring them to the same columns (keep_columns, rename_columns) and types (`types` of the destination)",
    )
