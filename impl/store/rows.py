"""Rows on their way into a store: whatever was handed in becomes batches with the types of `interface.TYPES`.

    file, table, stream, DataFrame, list of dicts  ->  Incoming(columns, geometry, batches)

Text is UTF-8, times are UTC in microseconds, geometry is ISO WKB in two dimensions, little-endian, EPSG:4326.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.store.interface import TYPES

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 65_536
GEOMETRY_CRS = "EPSG:4326"
Types = dict[str, str]  # column: type


@dataclass
class Incoming:
    """A stream of rows whose types are settled before the first one is read."""

    types: Types
    geometry: str | None
    batches: Iterator[pyarrow.RecordBatch]
    total: int | None = None  # rows, where that is known beforehand


def arrow_type(kind: str) -> pyarrow.DataType:
    """How a type of ours is held in memory and in files."""
    import pyarrow

    return {
        "text": pyarrow.string(),
        "smallint": pyarrow.int16(),
        "integer": pyarrow.int32(),
        "bigint": pyarrow.int64(),
        "real": pyarrow.float32(),
        "double": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "timestamp": pyarrow.timestamp("us", "UTC"),
        "date": pyarrow.date32(),
        "bytes": pyarrow.binary(),
        "geometry": pyarrow.binary(),
    }[kind]


def arrow_schema(types: Types) -> pyarrow.Schema:
    """The schema of a collection; the geometry column says which coordinates it holds."""
    import pyarrow

    about = {"encoding": "WKB", "crs": GEOMETRY_CRS}
    return pyarrow.schema(
        [pyarrow.field(name, arrow_type(kind), metadata=about if kind == "geometry" else None) for name, kind in types.items()]
    )


def from_rows(
    rows: Any,
    *,
    geometry: str | None = None,
    constants: Mapping[str, Any] | None = None,
    known: Types | None = None,
) -> Incoming:
    """The rows in `rows` as canonical batches: a table, stream, (Geo)DataFrame, list of dicts, or paths of Parquet files.

    geometry: the WKB column, where the rows do not say so themselves.
    constants: values of columns that are the same in every row; filled in where the rows lack them.
    known: the types that columns of these names have in the store already.
    """
    settings: dict[str, Any] = {"geometry": geometry, "constants": constants, "known": known}
    if isinstance(rows, Path):
        rows = [rows]
    if isinstance(rows, list) and rows and isinstance(rows[0], Path):
        return _from_files(rows, **settings)
    schema, batches, total = _open(rows)
    return _settle(schema, batches, where=None, total=total, **settings)


def _from_files(paths: Sequence[Path], **settings: Any) -> Incoming:
    import pyarrow
    import pyarrow.parquet

    opened = []
    for path in paths:
        try:
            opened.append(pyarrow.parquet.ParquetFile(path))
        except FileNotFoundError as error:
            hint = "run the task that makes it; `invoke all.status` shows which"
            raise EtlError("the file to load is missing", where=path, hint=hint) from error
        except pyarrow.ArrowInvalid as error:
            hint = "remove it and run the task that makes it once more"
            raise EtlError("the file is no Parquet file, or only half of one", where=f"{path}: {error}", hint=hint) from error
    schema = opened[0].schema_arrow
    for path, file in zip(paths[1:], opened[1:], strict=True):
        other = file.schema_arrow
        differing = [
            name for name in schema.names if name not in other.names or other.field(name).type != schema.field(name).type
        ]
        differing += [name for name in other.names if name not in schema.names]
        if differing:
            raise EtlError(
                f"the files to load have different columns: {', '.join(f'`{name}`' for name in differing)}",
                where=f"{paths[0]} and {path}",
                hint="load files of one kind; make them again if a setting changed in between",
            )

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for path, file in zip(paths, opened, strict=True):
            try:
                for batch in file.iter_batches(BATCH_ROWS):
                    yield batch.select(schema.names)
            except (pyarrow.ArrowInvalid, OSError) as error:
                hint = "remove it and run the task that makes it once more"
                raise EtlError("the Parquet file is damaged", where=f"{path}: {error}", hint=hint) from error

    total = sum(file.metadata.num_rows for file in opened)
    return _settle(schema, batches(), where=str(paths[0]), total=total, **settings)


def _open(rows: Any) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch], int | None]:
    import pyarrow

    if hasattr(rows, "active_geometry_name"):
        rows = _from_geodataframe(rows)
    elif isinstance(rows, list):
        rows = pyarrow.Table.from_pylist(rows)
    elif hasattr(rows, "iloc"):
        rows = pyarrow.Table.from_pandas(rows, preserve_index=False)
    if isinstance(rows, pyarrow.RecordBatch):
        rows = pyarrow.Table.from_batches([rows])
    if isinstance(rows, pyarrow.Table):
        return rows.schema, iter(rows.to_batches(BATCH_ROWS)), rows.num_rows
    if not isinstance(rows, pyarrow.RecordBatchReader):
        if not hasattr(rows, "__arrow_c_stream__"):
            raise EtlError(
                f"a {type(rows).__name__} is no rows to load",
                hint="hand in a pyarrow table or stream, a (Geo)DataFrame or a list of dicts",
            )
        rows = pyarrow.RecordBatchReader.from_stream(rows)
    return rows.schema, iter(rows), None


def _from_geodataframe(frame: Any) -> pyarrow.Table:
    import pyarrow

    if frame.crs is not None and frame.crs.to_epsg() != 4326:
        raise _wrong_crs(frame.crs.to_string(), None)
    name = frame.active_geometry_name
    table = pyarrow.Table.from_pandas(frame.to_wkb(), preserve_index=False)
    about = {"primary_column": name, "columns": {name: {"encoding": "WKB"}}}
    return table.replace_schema_metadata({b"geo": json.dumps(about).encode()})


def _settle(
    schema: pyarrow.Schema,
    batches: Iterator[pyarrow.RecordBatch],
    *,
    where: str | None,
    total: int | None,
    geometry: str | None = None,
    constants: Mapping[str, Any] | None = None,
    known: Types | None = None,
) -> Incoming:
    constants, known = dict(constants or {}), known or {}
    geometry = geometry or _geometry_of(schema, where)
    if geometry is not None and geometry not in schema.names:
        raise EtlError(
            f"the rows have no geometry column `{geometry}`", where=where, hint=f"there is {', '.join(schema.names)}"
        )
    doubled = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if doubled:
        raise EtlError(f"the rows have two columns `{doubled[0]}`", where=where, hint="give each its own name")
    types = {one.name: "geometry" if one.name == geometry else _type_of(one, where) for one in schema}
    for name, value in constants.items():
        types.setdefault(name, known.get(name) or _type_of_value(name, value))
    target = arrow_schema(types)
    filled = {name: value for name, value in constants.items() if name not in schema.names}
    given = {name: value for name, value in constants.items() if name in schema.names}
    stream = (_canonical(batch, types, target, geometry, filled, given, where) for batch in batches)
    return Incoming(types, geometry, stream, total)


def _canonical(
    batch: pyarrow.RecordBatch,
    types: Types,
    target: pyarrow.Schema,
    geometry: str | None,
    filled: Mapping[str, Any],
    given: Mapping[str, Any],
    where: str | None,
) -> pyarrow.RecordBatch:
    import pyarrow
    import pyarrow.compute

    arrays = []
    for name in types:
        kind = target.field(name).type
        if name in filled:
            array = pyarrow.repeat(pyarrow.scalar(filled[name], kind), batch.num_rows)
        else:
            array = batch.column(name)
            if isinstance(array, pyarrow.ExtensionArray):
                array = array.storage
            array = _canonical_wkb(array, where) if name == geometry else _cast(array, kind, name, where)
        if name in given and batch.num_rows:
            same = pyarrow.compute.fill_null(pyarrow.compute.equal(array, pyarrow.scalar(given[name], kind)), False)
            if not pyarrow.compute.all(same).as_py():
                other = array.filter(pyarrow.compute.invert(same))[0].as_py()
                raise EtlError(
                    f"the rows hold `{name}` = {other!r}, but the part to load is `{name}` = {given[name]!r}",
                    where=where,
                    hint="load each part from its own rows, or name no part",
                )
        arrays.append(array)
    return pyarrow.RecordBatch.from_arrays(arrays, schema=target)


def _cast(array: pyarrow.Array, kind: pyarrow.DataType, name: str, where: str | None) -> pyarrow.Array:
    import pyarrow

    if array.type == kind:
        return array
    try:
        if pyarrow.types.is_timestamp(array.type) and array.type.tz is None:
            array = array.cast(pyarrow.timestamp("us"))
        return array.cast(kind)
    except pyarrow.ArrowInvalid as error:
        raise EtlError(f"column `{name}` does not fit into {kind}: {error}", where=where) from error


def _canonical_wkb(array: pyarrow.Array, where: str | None) -> pyarrow.Array:
    import numpy
    import pyarrow
    import shapely

    try:
        shapes = shapely.from_wkb(numpy.array(array.to_pylist(), dtype=object))
    except shapely.errors.GEOSException as error:
        raise EtlError("a geometry is no well-known binary (WKB)", where=where, hint=str(error)) from error
    return pyarrow.array(shapely.to_wkb(shapes, output_dimension=2, byte_order=1, flavor="iso"), pyarrow.binary())


def _type_of(column: pyarrow.Field, where: str | None) -> str:
    import pyarrow.types as is_

    kind = column.type
    if isinstance(kind, is_.lib.BaseExtensionType):
        kind = kind.storage_type
    if is_.is_dictionary(kind):
        kind = kind.value_type
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return "text"
    if is_.is_integer(kind):
        if is_.is_uint64(kind):
            return "bigint"
        bits = kind.bit_width * (2 if is_.is_unsigned_integer(kind) else 1)
        return {8: "smallint", 16: "smallint", 32: "integer"}.get(bits, "bigint")
    if is_.is_float64(kind):
        return "double"
    if is_.is_floating(kind):
        return "real"
    if is_.is_boolean(kind):
        return "boolean"
    if is_.is_timestamp(kind):
        return "timestamp"
    if is_.is_date(kind):
        return "date"
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind) or is_.is_binary_view(kind):
        return "bytes"
    what = "has no values, so no type" if is_.is_null(kind) else f"is a {kind}, which no store holds"
    raise EtlError(f"column `{column.name}` {what}", where=where, hint=f"make it one of {', '.join(TYPES)}")


def _type_of_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, str):
        return "text"
    raise EtlError(f"`{name}` = {value!r} names no part", hint="the values of a part are texts or whole numbers, as year=2005")


def _geometry_of(schema: pyarrow.Schema, where: str | None) -> str | None:
    """The geometry column that the metadata name (GeoParquet's or a store's), after a look at its coordinates."""
    about = (schema.metadata or {}).get(b"geo")
    if about is None:
        return next((one.name for one in schema if (one.metadata or {}).get(b"encoding") == b"WKB"), None)
    said = json.loads(about)
    name = said["primary_column"]
    column = said["columns"][name]
    if column["encoding"] != "WKB":
        raise EtlError(f"the geometry is encoded as {column['encoding']}", where=where, hint="write it as WKB")
    crs = column.get("crs")
    if crs is not None and not _is_longitude_latitude(crs):
        raise _wrong_crs(crs.get("name", "another system"), where)
    return name


def _is_longitude_latitude(crs: dict[str, Any]) -> bool:
    identity = crs.get("id", {})
    if (identity.get("authority"), str(identity.get("code"))) in {("EPSG", "4326"), ("OGC", "CRS84")}:
        return True
    import pyproj

    return pyproj.CRS.from_json_dict(crs).to_epsg() == 4326


def _wrong_crs(name: str, where: str | None) -> EtlError:
    return EtlError(
        f"the geometry is in {name}, and a store holds {GEOMETRY_CRS}",
        where=where,
        hint="reproject it first, as with `boundaries.to_crs(4326)`",
    )
