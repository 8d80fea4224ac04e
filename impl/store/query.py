"""SQL over a lake with DuckDB: each collection is a view of its own name, and nothing else can be reached.

DuckDB reads the Parquet files of the newest Delta version directly (several times faster than through Arrow), is
allowed those files and no others, and is given nothing but a SELECT. Extensions are never fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from impl.run.errors import EtlError, nearest, unknown
from impl.store.interface import Collection, no_collection, not_whole

if TYPE_CHECKING:
    import duckdb
    import pyarrow

    from impl.store.lake import Lake

BATCH_ROWS = 65_536

_SQL_TYPES = {
    "text": "VARCHAR",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
    "date": "DATE",
    "bytes": "BLOB",
    "geometry": "BLOB",
}


def select(facts: Collection, columns: Sequence[str] | None, where: str | None) -> str:
    """The SELECT for some columns and rows of one collection."""
    known = [column.name for column in facts.columns]
    for name in columns or ():
        if name not in known:
            raise unknown("column", name, known, where=f"the collection `{facts.name}`")
    chosen = ", ".join(_quoted(name) for name in columns or known)
    return f"SELECT {chosen} FROM {_quoted(facts.name)}" + (f" WHERE {where}" if where else "")


def stream(lake: Lake, sql: str) -> pyarrow.RecordBatchReader:
    """The answer to one SELECT, batch by batch."""
    import duckdb

    known = lake.names()
    mentioned = [name for name in known if name in sql.lower()]
    try:
        connection = duckdb.connect(config={"python_enable_replacements": "false", "temp_directory": ""})
        connection.execute("SET TimeZone = 'UTC'")
        _check_only_reads(connection, sql)
        sources = {name: _source(lake, connection, name) for name in mentioned or known}
        allowed = [file for files, _ in sources.values() for file in files]
        connection.execute(f"SET allowed_paths = {_list(allowed)}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET lock_configuration = true")
        for name, (_, source) in sources.items():
            connection.execute(f"CREATE VIEW {_quoted(name)} AS {source}")
        reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
    except duckdb.Error as error:
        raise _explained(error, lake, mentioned, known) from error
    return _checked(reader, connection, lake, mentioned, known)


def _checked(
    reader: pyarrow.RecordBatchReader, connection: duckdb.DuckDBPyConnection, lake: Lake, mentioned: list[str], known: list[str]
) -> pyarrow.RecordBatchReader:
    """`reader`, with errors that come up while it runs put into our words."""
    import duckdb
    import pyarrow

    def batches() -> Iterator[pyarrow.RecordBatch]:
        try:
            yield from reader
        except (duckdb.Error, OSError, pyarrow.ArrowException) as error:
            raise _explained(error, lake, mentioned, known) from error
        finally:
            connection.close()

    return pyarrow.RecordBatchReader.from_batches(reader.schema, batches())


def _check_only_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """One statement, and one that reads: SELECT (also FROM, WITH, DESCRIBE, SUMMARIZE, SHOW), PIVOT, or its EXPLAIN."""
    statements = connection.extract_statements(sql)
    kinds = [str(statement.type).rpartition(".")[2] for statement in statements]
    if kinds == ["EXPLAIN"]:
        explained = re.fullmatch(r"\s*explain\s+(?:analyze\s+)?(.*)", sql, re.IGNORECASE | re.DOTALL)
        if explained:
            return _check_only_reads(connection, explained.group(1))
    if len(kinds) != 1:
        raise EtlError(f"the query has {len(kinds)} statements", hint='ask one thing at a time: "select ... from ..."')
    if kinds[0] not in ("SELECT", "MULTI"):  # a PIVOT is a MULTI; several statements are not
        raise EtlError(
            f"a query reads, and this one would {kinds[0].replace('_', ' ')}",
            hint="begin with SELECT; data come into the store through the tasks, and out of it with `invoke store.export`",
        )


def _source(lake: Lake, connection: duckdb.DuckDBPyConnection, name: str) -> tuple[list[str], str]:
    """The files of a collection, and the SELECT over them."""
    facts = lake.facts(name)
    columns = ", ".join(_quoted(column.name) for column in facts.columns)
    files = lake.files(name)
    if files == {}:
        nothing = ", ".join(f"NULL::{_SQL_TYPES[column.type]} AS {_quoted(column.name)}" for column in facts.columns)
        return [], f"SELECT {nothing} WHERE false"
    if files is None or not all(_told_by_path(path, values) for path, values in files.items()):
        connection.register(f"arrow {name}", lake.dataset(name))
        return [], f"SELECT {columns} FROM {_quoted(f'arrow {name}')}"
    types = {column.name: column.type for column in facts.columns}
    hive = ", ".join(f"{_text(column)}: {_SQL_TYPES[types[column]]}" for column in facts.partition_by)
    settings = f"hive_partitioning = true, hive_types = {{{hive}}}" if hive else "hive_partitioning = false"
    return list(files), f"SELECT {columns} FROM read_parquet({_list(list(files))}, {settings})"


def _told_by_path(path: str, values: dict[str, Any]) -> bool:
    """Whether DuckDB will read the partition values off the folders, and off no other part of the path."""
    found = [folder.partition("=") for folder in Path(path).parts[:-1] if "=" in folder]
    return [(name, unquote(value)) for name, _, value in found] == [(n, str(v)) for n, v in values.items()]


def _explained(error: Exception, lake: Lake, mentioned: list[str], known: list[str]) -> EtlError:
    import duckdb

    for name in mentioned:
        if lost := lake.lost(name):
            return not_whole(name, f"{lake.home}/{name}: {lost}")
    said = str(error).partition("\n\nLINE ")
    first, place = said[0].strip(), f"LINE {said[2]}".rstrip() if said[1] else None
    first = first.partition("\n")[0]
    if missing := re.search(r'Table with name "?(.+?)"? does not exist', first):
        if re.fullmatch(r"\w+", missing.group(1)):
            return no_collection(missing.group(1), known, lake.home)
        return _no_files(first, known)
    columns = sorted({column.name for name in mentioned for column in lake.facts(name).columns})
    column = re.search(r'(?:Referenced column|does not have a column named) "([^"]+)"', first)
    if isinstance(error, duckdb.BinderException) and column:
        return unknown("column", column.group(1), columns, where=place)
    if isinstance(error, duckdb.ParserException):
        return EtlError(
            f"the query is not understood: {first.removeprefix('Parser Error: ')}", where=place, hint=_next_step(known)
        )
    if isinstance(error, duckdb.PermissionException):
        return _no_files(first, known)
    if isinstance(error, duckdb.OutOfMemoryException):
        return EtlError("the memory is used up by the query", where=first, hint="ask for fewer rows or columns")
    close = nearest(mentioned[0], columns) if mentioned and "column" in first else []
    return EtlError(f"the query failed: {first}", where=place, hint=f"did you mean {close[0]}?" if close else None)


def _no_files(said: str, known: Sequence[str]) -> EtlError:
    return EtlError("a query reaches the collections of the store and no files", where=said, hint=_next_step(known))


def _next_step(known: Sequence[str]) -> str:
    return f"the collections are {', '.join(f'`{name}`' for name in known)}" if known else "the store is empty"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(_text(value) for value in values) + "]"
