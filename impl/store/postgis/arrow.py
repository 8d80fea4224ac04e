"""Batches of Arrow as COPY takes them, and answers of the database with types that every reader of Arrow knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from impl.store import rows as incoming_rows
from impl.store.postgis.sql import SRID

if TYPE_CHECKING:
    import pyarrow


def for_copy(batch: pyarrow.RecordBatch, types: Mapping[str, str], schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    """As COPY wants it: geometry with its reference system."""
    import numpy
    import pyarrow
    import shapely

    arrays = []
    for name, array in zip(types, batch.columns, strict=True):
        if types[name] == "geometry":
            shapes = shapely.set_srid(shapely.from_wkb(numpy.array(array.to_pylist(), dtype=object)), SRID)
            array = pyarrow.array(shapely.to_wkb(shapes, byte_order=1, include_srid=True), pyarrow.binary())
        arrays.append(array)
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _type_name(field: pyarrow.Field) -> str:
    """What PostgreSQL calls the type of a column of an answer."""
    return str((field.metadata or {}).get(b"POSTGRESQL:type", b"").decode())


def plain_schema(answer: pyarrow.Schema) -> pyarrow.Schema:
    """Types that every reader of Arrow knows: `numeric` is a double, what has no type in Arrow is text."""
    import pyarrow

    def plain(field: pyarrow.Field) -> pyarrow.Field:
        kind = field.type.storage_type if isinstance(field.type, pyarrow.BaseExtensionType) else field.type
        if _type_name(field) == "numeric":
            kind = pyarrow.float64()
        shape = {"encoding": "WKB", "crs": incoming_rows.GEOMETRY_CRS} if _type_name(field) == "geometry" else None
        return pyarrow.field(field.name, kind, metadata=shape)

    return pyarrow.schema([plain(field) for field in answer])


def plain_batch(batch: pyarrow.RecordBatch, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    import numpy
    import pyarrow
    import shapely

    arrays = []
    for array, field in zip(batch.columns, schema, strict=True):
        if isinstance(array, pyarrow.ExtensionArray):
            array = array.storage
        if (field.metadata or {}).get(b"encoding") == b"WKB":
            shapes = shapely.from_wkb(numpy.array(array.to_pylist(), dtype=object))
            array = pyarrow.array(shapely.to_wkb(shapes, output_dimension=2, byte_order=1, flavor="iso"), pyarrow.binary())
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
