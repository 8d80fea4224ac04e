"""The fingerprint of rows: which rows, whatever their order, their home, their partitions or their files.

Definition. A table has columns with a name and a kind; each row becomes bytes, each row's bytes are hashed with
SHA-256, and the digests, read as little-endian numbers, are added modulo 2**256. Written as 64 hex digits.

    row     = header + cell + cell + ...          cells in the order of the column names (by code point)
    header  = SHA-256 of the JSON text [["name","kind"],...], sorted by name, UTF-8, without blanks
    cell    = 01 + payload, or for an empty value 00 + as many zero bytes as the payload has
    payload = integer    8 bytes, little-endian, signed      (smallint, integer and bigint alike)
              number     8 bytes, IEEE 754 double, little-endian; a real is widened, -0.0 is 0.0, every NaN is
                         7ff8000000000000                    (real and double alike; NaN is not empty)
              boolean    8 bytes, 0 or 1 as an integer
              timestamp  8 bytes, microseconds since 1970-01-01 00:00 UTC as an integer
              date       8 bytes, days since 1970-01-01 as an integer
              text       SHA-256 of the UTF-8 bytes
              bytes      SHA-256 of the bytes; geometry is ISO WKB in two dimensions, little-endian throughout

Strength. Changed, missing, added and doubled rows are seen unless sums of SHA-256 digests collide by chance, 2**-256.
Addition is used and not exclusive or, where a row that comes twice would cancel itself. Someone who wants two
tables with one fingerprint and may choose millions of rows could find them (a generalised birthday attack); the
fingerprint guards against accidents, it is no signature. Parts add up: the fingerprint of a collection is the sum of
those of its partitions, and of nothing it is 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

MODULUS = 1 << 256
ROWS_AT_ONCE = 8_192  # their bytes stay in the processor's cache

_KINDS = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "real": "number",
    "double": "number",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "date": "date",
    "text": "text",
    "bytes": "bytes",
    "geometry": "bytes",
}


def as_hex(number: int) -> str:
    """A fingerprint as it is stored and shown."""
    return f"{number % MODULUS:064x}"


def add(fingerprints: Iterable[str]) -> str:
    """The fingerprint of several parts together."""
    return as_hex(sum(int(fingerprint, 16) for fingerprint in fingerprints))


def sum_of_rows(batch: pyarrow.RecordBatch, types: Sequence[tuple[str, str]]) -> int:
    """The sum of the row digests of `batch`, whose columns have these names and types (interface.TYPES)."""
    import numpy

    total = 0
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        digests = b"".join(digests_of_rows(batch.slice(start, ROWS_AT_ONCE), types))
        words = numpy.frombuffer(digests, "<u4").reshape(-1, 8).sum(axis=0, dtype="u8")
        total += sum(int(word) << (32 * place) for place, word in enumerate(words))
    return total % MODULUS


def digests_of_rows(batch: pyarrow.RecordBatch, types: Sequence[tuple[str, str]]) -> list[bytes]:
    """The digest of each row, in their order."""
    import numpy

    columns = sorted((name, _KINDS[kind]) for name, kind in types)
    layout: list[tuple[str, str]] = [("header", "V32")]
    for place, (_, kind) in enumerate(columns):
        layout += [(f"here{place}", "u1"), (f"cell{place}", "V32" if kind in ("text", "bytes") else "<i8")]
    rows = numpy.zeros(batch.num_rows, dtype=layout)
    header = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    rows["header"] = numpy.void(sha256(header.encode()).digest())
    for place, (name, kind) in enumerate(columns):
        values = batch.column(name)
        rows[f"cell{place}"] = _payload(values, kind)
        rows[f"here{place}"] = 1 if not values.null_count else values.is_valid().to_numpy(zero_copy_only=False)
    width, whole = rows.dtype.itemsize, rows.view(numpy.uint8).data
    return [sha256(whole[at : at + width]).digest() for at in range(0, len(whole), width)]


def _payload(values: pyarrow.Array, kind: str) -> Any:
    import numpy
    import pyarrow

    if kind == "text":
        encoded = values.dictionary_encode()
        digests = _digests(encoded.dictionary.cast(pyarrow.binary()))
        return numpy.append(digests, numpy.zeros(1, "V32"))[encoded.indices.fill_null(len(digests)).to_numpy()]
    if kind == "bytes":
        return _digests(values)
    if kind == "number":
        numbers = values.cast(pyarrow.float64()).fill_null(0.0).to_numpy() + 0.0  # -0.0 + 0.0 is 0.0
        numbers[numpy.isnan(numbers)] = numpy.nan
        return numbers.view("<i8")
    if kind == "date":
        values = values.cast(pyarrow.int32())
    return values.cast(pyarrow.int64()).fill_null(0).to_numpy()


def _digests(values: pyarrow.Array) -> Any:
    import numpy

    zero = bytes(32)
    digests = [zero if value is None else sha256(value).digest() for value in values.to_pylist()]
    return numpy.frombuffer(b"".join(digests), "V32")
