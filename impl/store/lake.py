"""The embedded home: a folder with one Delta table per collection.

    <home>/<collection>/_delta_log/             commits; each carries the manifest (manifest.py)
    <home>/<collection>/model=CCSM4/year=2005/  one Parquet file per partition, rows sorted by the key

A load writes its files, then makes one commit. Killed before that, it leaves files that nothing refers to (`tidy`
removes them); the commit is one new file in the log, there or not. A commit is refused when another one came between,
then the manifest is read again and merged: no writer's part is lost.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from impl.run.errors import EtlError, explain
from impl.run.files import replacing, sweep
from impl.store import change, fingerprint, manifest
from impl.store import rows as incoming_rows
from impl.store.interface import (
    Collection,
    Part,
    PartFacts,
    Values,
    check_name,
    no_collection,
)

if TYPE_CHECKING:
    import deltalake
    import pyarrow

    from impl.store.checks import Check

ROWS_PER_GROUP = 131_072  # of a Parquet file: what a reader takes at once
KEPT_HOURS = 168  # replaced files stay a week: readers of an older version, and Delta's own lower bound
DROPPED = ".dropped-"  # a collection on its way out


class _ConflictError(Exception):
    """Another commit came between."""


class Lake:
    """A store in a folder. Holds the path and what had to be computed again from rows; nothing stays open."""

    def __init__(self, home: str | Path) -> None:
        self.home = self.address = str(home)
        self._folder = Path(home)
        self._recomputed: dict[str, Collection] = {}  # of tables that another tool changed

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(one.name for one in self._folder.iterdir() if not one.name.startswith(".") and manifest.is_table(one))

    def facts(self, name: str) -> Collection:
        found = self._facts(name)
        if found is None:
            raise no_collection(name, self.names(), self.home)
        return found

    def holds(self, name: str, part: Mapping[str, Any] | None, fingerprint: str) -> bool:
        try:
            found = manifest.read(self._folder / name)
        except (EtlError, manifest.StaleError, OSError):
            return False
        return found is not None and bool(found.matching(part)) and found.fingerprint_of(part) == fingerprint

    def replace(
        self,
        name: str,
        rows: Any,
        *,
        key: str | Sequence[str],
        part: Mapping[str, Any] | None = None,
        partition_by: Sequence[str] = (),
        description: str = "",
        columns: Mapping[str, str | Sequence[str]] | None = None,
        geometry: str | None = None,
        synthetic: bool = False,
        source: str = "",
        licence: str = "",
        may_be_empty: bool = False,
        checks: Sequence[Check] = (),
    ) -> Part:
        settings: dict[str, Any] = {
            "key": key,
            "part": part,
            "partition_by": partition_by,
            "description": description,
            "columns": columns,
        }
        settings |= {"geometry": geometry, "synthetic": synthetic, "source": source, "licence": licence, "checks": checks}
        check_name(name)
        with _said(self._folder / name):
            before = self._facts(name)
            scratch = self._folder / f"{name}.rows"
            with change.gather(name, rows, before, self, scratch, may_be_empty=may_be_empty, **settings) as load:
                return self._commit(load.wanted, load.part, load.new, load.rows)._replace(checks=load.checks)

    def drop(self, name: str) -> None:
        check_name(name)
        aside = self._folder / f"{DROPPED}{name}-{uuid.uuid4().hex}"
        with _said(self._folder / name):
            try:
                (self._folder / name).rename(aside)
            except FileNotFoundError:
                return
            shutil.rmtree(aside)

    def read(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.Table:
        return self.stream(name, columns, where).read_all()

    def stream(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.RecordBatchReader:
        from impl.store import query

        facts = self.facts(name)
        return query.stream(self, query.select(facts, columns, where))

    def facts_at(self, name: str, version: int) -> Collection:
        """The facts of an earlier version."""
        import deltalake

        with _said(self._folder / name):
            for commit in deltalake.DeltaTable(self._folder / name).history():  # newest first
                if commit["version"] <= version and manifest.FIELD in commit:
                    return manifest.from_commit(commit, version)
        raise manifest.damaged(self._folder / name, f"version {version} has no manifest")

    def stream_at(self, name: str, version: int) -> pyarrow.RecordBatchReader:
        """The rows of an earlier version, as long as `tidy` has left them."""
        import deltalake

        self.facts(name)
        with _said(self._folder / name):
            table = deltalake.DeltaTable(self._folder / name, version=version)
            return self._scannable(name, table).scanner().to_reader()

    def query(self, sql: str) -> pyarrow.Table:
        from impl.store import query

        return query.stream(self, sql).read_all()

    def dataset(self, name: str) -> Any:
        """The rows of `name` as they are now, as a pyarrow dataset."""
        self.facts(name)
        with _said(self._folder / name):
            return self._scannable(name, self._table(name))

    def files(self, name: str) -> dict[str, dict[str, Any]] | None:
        """The Parquet files of `name` with their partition values; None where they alone do not tell the rows."""
        try:
            found = manifest.read(self._folder / name)
        except manifest.StaleError:
            return None
        if found is None:
            raise no_collection(name, self.names(), self.home)
        with _said(self._folder / name):
            table = self._table(name)
            if table.protocol().reader_features:
                return None
            actions = table.get_add_actions(flatten=True)
            partitions = [actions.column(f"partition.{column}").to_pylist() for column in found.partition_by]
            places = [str(self._folder.absolute() / name / unquote(path)) for path in actions.column("path").to_pylist()]
            return {
                place: dict(zip(found.partition_by, values, strict=True))
                for place, *values in sorted(zip(places, *partitions, strict=True))
            }

    def tidy(self) -> int:
        before = _size_of_rows(self._folder)
        with _said(self._folder):
            sweep(self._folder)
            for aside in self._folder.glob(f"{DROPPED}*"):
                shutil.rmtree(aside, ignore_errors=True)
        for name in self.names():
            with _said(self._folder / name):
                table = self._table(name)
                if table.vacuum(retention_hours=KEPT_HOURS, dry_run=True, full=True):
                    table.vacuum(retention_hours=KEPT_HOURS, dry_run=False, full=True)
        return before - _size_of_rows(self._folder)

    # reading what is there

    def _facts(self, name: str) -> Collection | None:
        folder = self._folder / name
        try:
            return manifest.read(folder)
        except manifest.StaleError as stale:
            with _said(folder):
                return self._recompute(name, stale.last)

    def _recompute(self, name: str, last: Collection | None) -> Collection:
        """The facts from the rows themselves, where another tool changed them; what it could not know is kept."""
        from impl.store.partitions import split

        table = self._table(name)
        known = self._recomputed.get(name)
        if known is not None and known.version == table.version():
            return known
        reader = self._scannable(name, table).scanner().to_reader()
        incoming = incoming_rows.from_rows(reader, geometry=last.geometry if last else None)
        about = {column.name: (column.unit, column.meaning) for column in (last.columns if last else ())}
        partition_by = tuple(table.metadata().partition_columns)
        kinds, sums, counts = list(incoming.types.items()), dict[Values, int](), dict[Values, int]()
        for batch in incoming.batches:
            for values, _, piece in split(batch, partition_by):
                sums[values] = sums.get(values, 0) + fingerprint.sum_of_rows(piece, kinds)
                counts[values] = counts.get(values, 0) + piece.num_rows
        synthetic = bool(last and last.synthetic)
        self._recomputed[name] = replace(
            last or Collection(name=name, key=(), columns=()),
            columns=change.documented(incoming.types, {one: about[one] for one in about if one in incoming.types}),
            partition_by=partition_by,
            geometry=incoming.geometry,
            parts={v: PartFacts(counts[v], 0, fingerprint.as_hex(sums[v]), synthetic) for v in sorted(counts)},
            version=table.version(),
            updated=last.updated if last else None,
        )
        return self._recomputed[name]

    def _table(self, name: str) -> deltalake.DeltaTable:
        import deltalake

        return deltalake.DeltaTable(self._folder / name)

    def _scannable(self, name: str, table: deltalake.DeltaTable) -> Any:
        """The table for Arrow, read through Arrow's own file system: with Delta's, Python aborts at its end (1.6.6)."""
        from pyarrow import fs

        return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(str(self._folder / name), fs.LocalFileSystem()))

    # writing

    def _commit(self, wanted: Collection, part: dict[str, Any] | None, new: dict[Values, PartFacts], rows: Any) -> Part:
        """Write the files and make the commit; if another writer was first, merge with what it did and try again."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

        folder = self._folder / wanted.name
        written: list[deltalake.transaction.AddAction] = []
        committed = False
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(_ConflictError),
                stop=stop_after_delay(300),
                wait=wait_random_exponential(multiplier=0.05, max=2),
                reraise=True,
            ):
                with attempt:
                    before = self._facts(wanted.name)
                    merged = change.merge(before, wanted, part, new)
                    same_rows = before is not None and change.same_rows(before, merged, part, new)
                    if same_rows and before is not None:
                        if change.same_facts(before, merged) and before is not self._recomputed.get(before.name):
                            return change.answer(before, part, changed=False)
                        sizes = {values: facts.bytes for values, facts in before.parts.items()}
                        sized = {v: facts._replace(bytes=sizes[v]) for v, facts in merged.parts.items()}
                        merged = replace(merged, parts=sized)
                    if not same_rows and not written:
                        new = self._write(folder, wanted, new, rows, written)
                        merged = change.merge(before, wanted, part, new)
                    _commit_once(folder, before, merged, part, [] if same_rows else written, same_rows)
                    committed = not same_rows
            return change.answer(self._facts(wanted.name) or merged, part, changed=True)
        except _ConflictError as conflict:
            raise EtlError(
                f"other writers of `{wanted.name}` were faster for five minutes",
                where=f"{folder}: {conflict}",
                hint="run the same command again, with fewer jobs at once",
            ) from conflict
        finally:
            if not committed:
                for action in written:
                    (folder / action.path).unlink(missing_ok=True)

    def _write(
        self,
        folder: Path,
        wanted: Collection,
        new: dict[Values, PartFacts],
        rows: Any,
        written: list[deltalake.transaction.AddAction],
    ) -> dict[Values, PartFacts]:
        """One Parquet file for each partition; adds to `written` and returns the facts with their sizes."""
        sized = dict(new)
        for values, columns in rows.take():
            action = _write_partition(folder, wanted, values, columns, rows.counts[values])
            written.append(action)
            sized[values] = new[values]._replace(bytes=action.size)
        return sized


def _write_partition(
    folder: Path, wanted: Collection, values: Values, columns: list[Any], count: int
) -> deltalake.transaction.AddAction:
    import pyarrow
    import pyarrow.parquet
    from deltalake.transaction import AddAction

    types = {column.name: column.type for column in wanted.columns}
    schema = incoming_rows.arrow_schema({name: kind for name, kind in types.items() if name not in wanted.partition_by})
    by_name = dict(zip(types, columns, strict=True))
    table = pyarrow.table([by_name[name] for name in schema.names], schema=schema)
    below = [f"{name}={_plain(value)}" for name, value in zip(wanted.partition_by, values, strict=True)]
    path = Path(*below, f"{uuid.uuid4().hex}.parquet")
    with replacing(folder / path) as beside:
        pyarrow.parquet.write_table(
            table,
            beside,
            row_group_size=ROWS_PER_GROUP,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in schema.names if types[name] == "text"],
            write_statistics=[name for name in schema.names if types[name] not in ("bytes", "geometry")],
            store_schema=False,
        )
    return AddAction(
        path=path.as_posix(),
        size=(folder / path).stat().st_size,
        partition_values={name: _as_text(value) for name, value in zip(wanted.partition_by, values, strict=True)},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps(_statistics(by_name, wanted, types, count)),
    )


def _statistics(columns: dict[str, Any], wanted: Collection, types: Mapping[str, str], count: int) -> dict[str, Any]:
    """What lets a reader skip the file: least and greatest key."""
    import pyarrow.compute

    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    for name in wanted.key if count else ():
        if name in wanted.partition_by or types[name] in ("real", "double", "bytes", "geometry", "boolean"):
            continue
        ends = pyarrow.compute.min_max(columns[name]).as_py()
        least[name], greatest[name] = _as_statistic(ends["min"]), _as_statistic(ends["max"])
    return {"numRecords": count, "minValues": least, "maxValues": greatest, "nullCount": dict.fromkeys(least, 0)}


def _as_statistic(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value


def _commit_once(
    folder: Path,
    before: Collection | None,
    merged: Collection,
    part: dict[str, Any] | None,
    written: list[Any],
    same_rows: bool,
) -> None:
    """One commit on top of the version that `before` was read at, or a `_ConflictError`."""
    from deltalake import CommitProperties, DeltaTable, Schema
    from deltalake.exceptions import CommitFailedError, DeltaError
    from deltalake.transaction import create_table_with_add_actions

    properties = CommitProperties(custom_metadata=manifest.to_metadata(merged), max_commit_retries=0)
    schema = Schema.from_arrow(incoming_rows.arrow_schema({column.name: column.type for column in merged.columns}))
    partition_by = list(merged.partition_by)
    try:
        if before is not None and (part or same_rows):
            table = DeltaTable(folder, version=before.version)
            filters = [(name, "=", _as_text(value)) for name, value in (part or {}).items()]
            table.create_write_transaction(
                written,
                mode="append" if same_rows else "overwrite",
                schema=table.schema(),
                partition_by=partition_by,
                partition_filters=None if same_rows else filters,
                commit_properties=properties,
            )
            return
        folder.mkdir(parents=True, exist_ok=True)
        create_table_with_add_actions(
            str(folder),
            schema,
            written,
            mode="error" if before is None else "overwrite",
            partition_by=partition_by,
            name=merged.name,
            description=merged.description or None,
            configuration=manifest.PROPERTIES,
            commit_properties=properties,
        )
    except CommitFailedError as error:
        raise _ConflictError(str(error)) from error
    except DeltaError as error:
        if before is None and "already exists" in str(error):
            raise _ConflictError(str(error)) from error
        raise


def _as_text(value: Any) -> str:
    return str(value)


def _plain(value: Any) -> str:
    """A partition value as a part of a folder's name."""
    return quote(str(value), safe="")


def _size_of_rows(folder: Path) -> int:
    """The bytes below `folder`, without the logs."""
    files = folder.rglob("*") if folder.is_dir() else ()
    return sum(file.stat().st_size for file in files if file.is_file() and file.parent.name != "_delta_log")


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """Turn what the file system and the Delta library raise into an `EtlError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise explain(_with_number(error), where=folder) from error
    except _library_errors() as error:
        numbered = _with_number(error)
        if isinstance(numbered, OSError):
            raise explain(numbered, where=folder) from error
        raise manifest.damaged(folder, f"{type(error).__name__}: {error}") from error


def _library_errors() -> tuple[type[Exception], ...]:
    from deltalake.exceptions import DeltaError
    from pyarrow import ArrowException

    return (DeltaError, ArrowException)


def _with_number(error: Exception) -> Exception:
    """The error of the system that a library put into words, as itself."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    found = re.search(r"(?:os error|errno:?) (\d+)", str(error))
    return OSError(int(found.group(1)), os.strerror(int(found.group(1)))) if found else error
