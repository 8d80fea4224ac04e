"""The embedded home: one Delta table per collection, in a folder (folder.py) or in object storage (bucket.py).

    <home>/<collection>/_delta_log/             commits; each carries the manifest (manifest.py)
    <home>/<collection>/model=CCSM4/year=2005/  one Parquet file per partition, rows sorted by the key

A load writes its files, then makes one commit. Killed before that, it leaves files that nothing refers to (`tidy`
removes them); the commit is one new file in the log, there or not. A commit is refused when another one came between,
then the manifest is read again and merged: no writer's part is lost.

The files of a commit are looked for before it and after it. Later `lost` compares names, sizes and times with the
manifest; where a time tells that a file was written, its rows are read once, and what came of it is kept in a note.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from impl.run.errors import EtlError, explain
from impl.store import change, fingerprint, manifest
from impl.store import rows as incoming_rows
from impl.store.folder import CHECKPOINT, COMMIT, LOG
from impl.store.interface import (
    DAMAGED_LOG,
    Collection,
    File,
    FilesGoneError,
    Part,
    PartFacts,
    Values,
    check_name,
    describe_part,
    no_collection,
)

if TYPE_CHECKING:
    import deltalake
    import pyarrow

    from impl.store.bucket import Bucket
    from impl.store.checks import Check
    from impl.store.folder import Folder

ROWS_PER_GROUP = 131_072  # of a Parquet file: what a reader takes at once
KEPT_HOURS = 168  # replaced files stay a week: readers of an older version, and Delta's own lower bound
AT_ONCE = 8  # logs in object storage that are read side by side
KEPT, KEPT_PROMOTIONS = "kept.json", 3  # the note of versions that `tidy` leaves, and of how many promotions
TIDY_SECONDS = 60  # then the rest waits for another day


class _ConflictError(Exception):
    """Another commit came between."""


class Lake:
    """A store of files. Holds where they are and what had to be computed again from rows."""

    def __init__(self, files: Folder | Bucket) -> None:
        self.home, self.address = files.home, files.address
        self._files = files
        self._recomputed: dict[str, Collection] = {}  # of tables that another tool changed

    def names(self) -> list[str]:
        names = self._files.names()
        if self._files.local or not names:
            return names
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [name for name, there in zip(names, pool.map(self._is_there, names), strict=True) if there]

    def facts(self, name: str) -> Collection:
        found = self._facts(name)
        if found is None:
            raise no_collection(name, self.names(), self.home)
        return found

    def holds(self, name: str, part: Mapping[str, Any] | None, fingerprint: str) -> bool:
        try:
            found = manifest.read(self._files, name)
            if found is None or not found.matching(part) or found.fingerprint_of(part) != fingerprint:
                return False
            return next(self._faults(found, part), None) is None
        except (EtlError, manifest.StaleError, OSError):
            return False

    def lost(self, name: str) -> str | None:
        try:
            found = manifest.read(self._files, name)
        except manifest.StaleError:
            found = self._as_listed(name)
        except EtlError as error:
            if "is damaged" not in error.what:
                raise
            return f"{DAMAGED_LOG}: {error.where}"
        return None if found is None else next(self._faults(found), None)

    def verify(self, name: str, deep: bool) -> list[str]:
        try:
            found = manifest.read(self._files, name)
        except manifest.StaleError as stale:
            theirs = ["another program changed its rows since it was loaded"] if stale.last else []
            return [*theirs, *self._faults(self._as_listed(name))]
        except EtlError as error:
            if "is damaged" not in error.what:
                raise
            return [f"{DAMAGED_LOG}: {error.where}"]
        if found is None:
            raise no_collection(name, self.names(), self.home)
        return list(self._faults(found, deep=deep))

    def dependents(self, name: str) -> list[str]:
        return []

    def identity(self) -> str:
        return self._files.identity()

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
        with self._said(name):
            before = self._before(name)
            left = self._left(name) or before  # what others did to it since is replaced
            scratch = self._files.scratch(name)
            with change.gather(name, rows, left, self, scratch, may_be_empty=may_be_empty, **settings) as load:
                writing = Writing(self, load, before)
                warnings = change.by_others(left, before) if left and before else ()
                try:
                    return writing.commit()._replace(checks=(*load.checks, *warnings))
                finally:
                    writing.end()

    @contextmanager
    def written(self, facts: Collection, rows: Any) -> Iterator[Writing]:
        """Rows for the place of a whole collection, as files that no commit refers to yet: `commit` them within the block."""
        settings = change.settings_of(facts)
        with self._said(facts.name):
            before = self._before(facts.name)
            with change.gather(facts.name, rows, before, self, self._files.scratch(facts.name), part=None, **settings) as load:
                writing = Writing(self, load, before, anew=True)
                try:
                    writing.write()
                except BaseException:
                    writing.end()
                    raise
            try:
                yield writing
            finally:
                writing.end()

    def drop(self, name: str) -> None:
        check_name(name)
        with self._said(name):
            if self._files.local:
                self._files.drop(name)
            else:
                self._drop_by_commit(name)

    def read(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.Table:
        return self.stream(name, columns, where).read_all()

    def stream(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.RecordBatchReader:
        from impl.store import query

        facts = self.facts(name)
        return query.stream(self, query.select(facts, columns, where))

    def kept_at(self, name: str, version: int) -> Collection | None:
        """The facts of an earlier version, with fingerprints from the rows; None where they cannot be read any more."""
        from pyarrow import ArrowException

        try:
            facts, table = self.facts_at(name, version), self._table(name, version)
            return replace(facts, parts=self._parts_from_rows(name, table, facts)[1])
        except (EtlError, OSError, ArrowException, *_library_errors()) as error:
            if told := self._files.explain(error, name):
                raise told from error
            if isinstance(error, EtlError) and "is damaged" not in error.what and "is missing" not in error.what:
                raise
            return None

    def pin(self, promotion: str, versions: Mapping[str, int | None]) -> None:
        """Let `tidy` keep these versions, for the rollback of a promotion; those of the last few are kept."""
        there = self._files.note(KEPT)
        pinned = {**(json.loads(there[0]) if there else {}), promotion: dict(versions)}
        last = dict(list(pinned.items())[-KEPT_PROMOTIONS:])
        if not self._files.put_note(KEPT, json.dumps(last).encode(), there[1] if there else None):
            self.pin(promotion, versions)

    def pinned(self) -> dict[str, list[int]]:
        """The versions that a rollback may need, by collection."""
        there = self._files.note(KEPT)
        found: dict[str, list[int]] = {}
        for versions in json.loads(there[0]).values() if there else ():
            for name, version in versions.items():
                found.setdefault(name, []).extend([] if version is None else [version])
        return found

    def check_writable(self, names: Sequence[str]) -> None:
        """An error where somebody set a property that forbids to change the rows of one of these."""
        for name in names:
            with self._said(name):
                if self._files.log(name)[0] and self._table(name).metadata().configuration.get("delta.appendOnly") == "true":
                    raise EtlError(
                        f"`{name}` takes no rows away", where=self._files.at(name), hint=_writable_again(self._files, name)
                    )

    def facts_at(self, name: str, version: int) -> Collection:
        """The facts of an earlier version."""
        with self._said(name):
            found = manifest.at(self._files, name, version)
        if found is None:
            raise manifest.damaged(self._files, name, f"version {version} has no manifest")
        return found

    def stream_at(self, name: str, version: int) -> pyarrow.RecordBatchReader:
        """The rows of an earlier version, as long as `tidy` has left them."""
        self.facts(name)
        with self._said(name):
            return self._scannable(name, self._table(name, version)).scanner().to_reader()

    def query(self, sql: str) -> pyarrow.Table:
        from impl.store import query

        return query.stream(self, sql).read_all()

    def dataset(self, name: str) -> Any:
        """The rows of `name` as they are now, as a pyarrow dataset."""
        self.facts(name)
        with self._said(name):
            return self._scannable(name, self._table(name))

    def files(self, name: str) -> dict[str, dict[str, Any]] | None:
        """The local Parquet files of `name` with their partition values; None where they alone do not tell the rows."""
        if not self._files.local:
            return None
        try:
            found = manifest.read(self._files, name)
        except manifest.StaleError:
            return None
        if found is None:
            raise no_collection(name, self.names(), self.home)
        with self._said(name):
            table = self._table(name)
            if table.protocol().reader_features:
                return None
            actions = table.get_add_actions(flatten=True)
            partitions = [actions.column(f"partition.{column}").to_pylist() for column in found.partition_by]
            places = [self._files.path(name, unquote(path)) for path in actions.column("path").to_pylist()]
            return {
                place: dict(zip(found.partition_by, values, strict=True))
                for place, *values in sorted(zip(places, *partitions, strict=True))
            }

    def clear(self, keep: str = "") -> None:
        """Remove all that lies here, but for what is called `keep`."""
        with self._said():
            self._files.clear(keep)

    def clear_old(self) -> None:
        """Remove what has not been written to for a week."""
        old = datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
        with self._said():
            for name, written in self._files.youngest().items():
                if written < old:
                    self._files.drop(name)

    def tidy(self) -> int:
        import random

        before, begun = self._files.size(), time.monotonic()
        with self._said():
            self._files.sweep()
        pinned, names = self.pinned(), self._files.names()
        random.shuffle(names)  # where the time does not suffice for all, each has its turn
        for name in names:
            if time.monotonic() - begun > TIDY_SECONDS:
                break
            with self._said(name):
                if not self._files.log(name)[0]:
                    continue
                table = self._table(name)
                kept = [version for version in pinned.get(name, ()) if version <= table.version()]
                hours: dict[str, Any] = {"retention_hours": KEPT_HOURS, "full": True, "keep_versions": kept or None}
                if table.vacuum(dry_run=True, **hours):
                    table.vacuum(dry_run=False, **hours)
                if not self._files.local and isinstance(found := self._state(name), manifest.Dropped):
                    self._clean_dropped(name, found.version)
                    self._files.forget(name, found.version)
        return before - self._files.size()

    # what is no longer as it was left

    def _faults(self, found: Collection, part: Mapping[str, Any] | None = None, deep: bool = False) -> Iterator[str]:
        """What is not as the log says, of the collection or a part of it. deep: its rows too, whatever the files look like."""
        if found.files is None:
            found = self._as_listed(found.name, found)
        files, parts = found.files or {}, found.matching(part)
        seen = self._files.stat(found.name, [file.path for values in parts for file in files.get(values, ())])
        for values, facts in parts.items():
            whole, written = True, deep
            for file in files.get(values, ()):
                size, modified = seen.get(file.path, (None, 0))
                if size is None:
                    yield f"{file.path} is missing"
                elif size != file.size:
                    yield f"{file.path} has {size:,} bytes, the log says {file.size:,}"
                written |= modified > file.modified or (file.exact and modified != file.modified)
                whole &= size == file.size
            if whole and written and facts.fingerprint:
                said = self._fingerprint(found, values, {f.path: seen[f.path] for f in files.get(values, ())}, deep)
                if said != facts.fingerprint:
                    which = describe_part(dict(zip(found.partition_by, values, strict=True)))
                    yield said if " " in said else f"the rows{f' of {which}' if which else ''} are not those that were loaded"

    def _as_listed(self, name: str, facts: Collection | None = None) -> Collection:
        """The collection with the files that Delta's own log lists. Without facts: its parts without fingerprints."""
        import pyarrow

        with self._said(name):
            table = self._table(name)
            listed = pyarrow.table(table.get_add_actions(flatten=True)).to_pylist()
            partition_by = tuple(table.metadata().partition_columns)
        files = manifest.by_part(
            (
                tuple(one[f"partition.{column}"] for column in partition_by),
                File(unquote(one["path"]), one["size_bytes"], one["modification_time"], exact=False),
            )
            for one in listed
        )
        unknown = {values: PartFacts(0, 0, "") for values in files}
        known = facts or Collection(name=name, key=(), columns=(), partition_by=partition_by, parts=unknown)
        return replace(known, files=files, version=table.version())

    def _fingerprint(self, found: Collection, values: Values, seen: Mapping[str, tuple[int, int]], deep: bool) -> str:
        """The fingerprint of the rows in the files of one part, or what is wrong with them. It is computed once for files
        as they are `seen`, unless `deep`."""
        note = f"rows-{found.name}-{hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]}.json"
        looked_at = [[path, *facts] for path, facts in sorted(seen.items())]
        there = self._files.note(note)
        with suppress(ValueError, KeyError):
            known = json.loads(there[0]) if there else {}
            if known.get("files") == looked_at and not deep:
                return str(known["fingerprint"])
        said = self._fingerprint_of_rows(found, values, {path: size for path, (size, _) in seen.items()})
        with suppress(EtlError, OSError):  # who may only read computes it again the next time
            kept = json.dumps({"files": looked_at, "fingerprint": said}).encode()
            self._files.put_note(note, kept, there[1] if there else None)
        return said

    def _fingerprint_of_rows(self, found: Collection, values: Values, sizes: Mapping[str, int]) -> str:
        import pyarrow
        import pyarrow.dataset

        schema = incoming_rows.arrow_schema({column.name: column.type for column in found.columns})
        files, parquet = self._files.arrow(found.name, sizes), pyarrow.dataset.ParquetFileFormat()
        true, total = pyarrow.dataset.scalar(True), 0
        for name, value in zip(found.partition_by, values, strict=True):
            true &= pyarrow.dataset.field(name) == pyarrow.scalar(value, schema.field(name).type)
        for path in sizes:
            try:
                fragment = parquet.make_fragment(path, files, true)
                reader = pyarrow.dataset.FileSystemDataset([fragment], schema, parquet, files).scanner().to_reader()
                incoming = incoming_rows.from_rows(reader, geometry=found.geometry)
                for batch in incoming.batches:
                    total += fingerprint.sum_of_rows(batch, list(incoming.types.items()))
            except (OSError, pyarrow.ArrowException) as error:
                if told := self._files.explain(error, found.name):
                    raise told from error
                return f"{path} cannot be read: {' '.join(str(error).split())[:200]}"
        return fingerprint.as_hex(total)

    # reading what is there

    def _before(self, name: str) -> Collection | None:
        """The facts for a load. Where others changed rows that cannot be read any more, no part has a fingerprint: each is
        then written again by its own load."""
        try:
            return self._facts(name)
        except EtlError as error:
            try:
                manifest.read(self._files, name)
            except manifest.StaleError as stale:
                listed = self._as_listed(name, stale.last or Collection(name=name, key=(), columns=()))
                return replace(listed, parts={one: facts._replace(fingerprint="0" * 64) for one, facts in listed.parts.items()})
            raise error

    def _facts(self, name: str) -> Collection | None:
        found = self._state(name)
        return None if isinstance(found, manifest.Dropped) else found

    def _state(self, name: str) -> Collection | manifest.Dropped | None:
        try:
            return manifest.state(self._files, name)
        except manifest.StaleError as stale:
            with self._said(name):
                return self._recompute(name, stale.last)

    def _left(self, name: str) -> Collection | None:
        """What the last load of ours left, where others have made commits since."""
        try:
            manifest.state(self._files, name)
        except manifest.StaleError as stale:
            return stale.last
        except EtlError:  # damaged: `_before` tells what that means
            return None
        return None

    def _is_there(self, name: str) -> bool:
        try:
            return manifest.read(self._files, name) is not None
        except (manifest.StaleError, EtlError):  # changed by another tool, or damaged: it is there all the same
            return True

    def _recompute(self, name: str, last: Collection | None) -> Collection:
        """The facts from the rows themselves, where another tool changed them; what it could not know is kept."""
        table = self._table(name)
        known = self._recomputed.get(name)
        if known is not None and known.version == table.version():
            return known
        about = {column.name: (column.unit, column.meaning) for column in (last.columns if last else ())}
        incoming, parts = self._parts_from_rows(name, table, last)
        self._recomputed[name] = replace(
            last or Collection(name=name, key=(), columns=()),
            columns=change.documented(incoming.types, {one: about[one] for one in about if one in incoming.types}),
            partition_by=tuple(table.metadata().partition_columns),
            geometry=incoming.geometry,
            parts=parts,
            files=None,
            version=table.version(),
            updated=last.updated if last else None,
        )
        return self._recomputed[name]

    def _parts_from_rows(
        self, name: str, table: deltalake.DeltaTable, last: Collection | None
    ) -> tuple[Any, dict[Values, PartFacts]]:
        """The rows of a table as they come in, read already, and the facts of its parts."""
        from impl.store.partitions import split

        reader = self._scannable(name, table).scanner().to_reader()
        incoming = incoming_rows.from_rows(reader, geometry=last.geometry if last else None)
        partition_by, synthetic = tuple(table.metadata().partition_columns), bool(last and last.synthetic)
        kinds, sums, counts = list(incoming.types.items()), dict[Values, int](), dict[Values, int]()
        for batch in incoming.batches:
            for values, _, piece in split(batch, partition_by):
                sums[values] = sums.get(values, 0) + fingerprint.sum_of_rows(piece, kinds)
                counts[values] = counts.get(values, 0) + piece.num_rows
        return incoming, {v: PartFacts(counts[v], 0, fingerprint.as_hex(sums[v]), synthetic) for v in sorted(counts)}

    def _table(self, name: str, version: int | None = None) -> deltalake.DeltaTable:
        import deltalake

        return deltalake.DeltaTable(**self._files.delta(name), version=version)

    def _scannable(self, name: str, table: deltalake.DeltaTable) -> Any:
        """The rows of a table for Arrow, which leaves out files by their partition and their least and greatest key.

        The Delta library's own (1.6.6) takes a column without statistics for one that no value is in.
        """
        import pyarrow
        import pyarrow.dataset

        if table.protocol().reader_features:
            return table.to_pyarrow_dataset(filesystem=self._files.arrow(name, {}))
        schema = pyarrow.schema(table.schema().to_arrow())
        actions = pyarrow.table(table.get_add_actions(flatten=True)).to_pylist()
        paths = [unquote(action["path"]) for action in actions]
        sizes = {path: action["size_bytes"] for path, action in zip(paths, actions, strict=True)}
        files, parquet = self._files.arrow(name, sizes), pyarrow.dataset.ParquetFileFormat()
        partition_by = table.metadata().partition_columns
        fragments = [
            parquet.make_fragment(path, files, _holds_only(action, partition_by, schema))
            for path, action in zip(paths, actions, strict=True)
        ]
        return pyarrow.dataset.FileSystemDataset(fragments, schema, parquet, files)

    # writing

    def _drop_by_commit(self, name: str) -> None:
        """Where a folder cannot be renamed: one commit takes all rows away, and what it made superfluous is removed.

        The log stays, a few small files, and a new collection of that name goes on in it: were it removed while another
        process makes the collection anew, the new commits could be removed with the old ones.
        """
        from deltalake import CommitProperties
        from deltalake.exceptions import CommitFailedError

        for attempt in _attempts():
            with attempt:
                try:
                    found = self._state(name)
                    if isinstance(found, manifest.Dropped):
                        return self._clean_dropped(name, found.version)
                    if found is None:
                        return None
                    table = self._table(name)
                except EtlError as error:
                    if "is damaged" not in error.what:
                        raise
                    return self._files.drop(name)
                self._files.prepare(name)
                version = table.version()
                properties = CommitProperties(custom_metadata=manifest.DROPPED, max_commit_retries=0)
                try:
                    table.create_write_transaction(
                        [],
                        mode="overwrite",
                        schema=table.schema(),
                        partition_by=table.metadata().partition_columns,
                        commit_properties=properties,
                    )
                except CommitFailedError as error:
                    raise _ConflictError(str(error)) from error
                return self._clean_dropped(name, version + 1)
        return None

    def _clean_dropped(self, name: str, version: int) -> None:
        """Remove the rows of a dropped collection; killed in between, `drop` or `tidy` goes on.

        The log before that stays a while, for those who are just reading it.
        """
        if f"{version:020}.checkpoint.parquet" in self._files.log(name, whole=True)[0]:
            return
        self._files.remove(name, [unquote(path) for path in manifest.removed(self._files, name, version)])
        table = self._table(name)
        if table.version() == version:  # not made anew in between
            table.create_checkpoint()

    @contextmanager
    def _said(self, name: str = "") -> Iterator[None]:
        """Turn what the file system and the libraries raise into an `EtlError` that says what to do."""
        try:
            yield
        except (OSError, *_library_errors()) as error:  # type: ignore[misc]
            if told := self._files.explain(error, name):
                raise told from error
            numbered = _with_number(error)
            if isinstance(numbered, OSError):
                raise explain(numbered, where=self._files.at(name)) from error
            raise manifest.damaged(self._files, name, f"{type(error).__name__}: {error}") from error


class Writing:
    """A load of a lake between its files and its commit.

    anew: the files are written whatever is there, and the commit is made on top of the version that was there at the
    beginning or not at all.
    """

    def __init__(self, lake: Lake, load: change.Load, before: Collection | None, anew: bool = False) -> None:
        self.name, self.checks = load.wanted.name, load.checks
        self._lake, self._files, self._load, self._anew = lake, lake._files, load, anew
        self._new = load.new
        self._on = before.version if before else None
        self._written: list[tuple[Values, deltalake.transaction.AddAction]] = []
        self._committed = self._tried = False

    @property
    def facts(self) -> Collection:
        """The collection as it will be, where all of it is written."""
        return replace(self._load.wanted, parts=self._new)

    def write(self) -> None:
        """Write one Parquet file for each partition."""
        self._files.prepare(self.name)
        for values, columns in self._load.rows.take():
            action = _write_partition(self._files, self._load.wanted, values, columns, self._load.rows.counts[values])
            self._written.append((values, action))
            self._new = {**self._new, values: self._new[values]._replace(bytes=action.size)}

    def commit(self) -> Part:
        """Make the commit; if another writer was first, merge with what it did and try again."""
        part = self._load.part
        try:
            for attempt in _attempts():
                with attempt:
                    before = self._lake._before(self.name)
                    if self._stands(before):
                        break
                    merged = change.merge(before, self._load.wanted, part, self._new)
                    same_rows = before is not None and self._is_there(before, merged)
                    if same_rows and before is not None:
                        if change.same_facts(before, merged) and before is not self._lake._recomputed.get(self.name):
                            return change.answer(before, part, changed=False)
                        sizes = {values: facts.bytes for values, facts in before.parts.items()}
                        sized = {v: facts._replace(bytes=sizes[v]) for v, facts in merged.parts.items()}
                        merged = replace(merged, parts=sized)
                    if not same_rows and not self._written:
                        self.write()
                        merged = change.merge(before, self._load.wanted, part, self._new)
                    self._look()
                    merged = replace(merged, files=self._files_after(before, same_rows))
                    self._tried = True
                    actions = [] if same_rows else [action for _, action in self._written]
                    _commit_once(self._files, before, merged, part, actions, same_rows)
                    self._committed = not same_rows
            self._look()
            return change.answer(self._lake._facts(self.name) or merged, part, changed=True)
        except _ConflictError as conflict:
            raise EtlError(
                f"other writers of `{self.name}` were faster for five minutes",
                where=f"{self._files.at(self.name)}: {conflict}",
                hint="run the same command again, with fewer jobs at once",
            ) from conflict

    def end(self) -> None:
        """Remove the files that no commit refers to.

        An answer can be lost on its way from an object store: a commit that seems to have failed may stand there and
        refer to these files. Then `tidy` decides.
        """
        if not self._committed and (self._files.local or not self._tried):
            self._files.remove(self.name, [action.path for _, action in self._written])

    def _is_there(self, before: Collection, merged: Collection) -> bool:
        """Whether the very rows are there already, with all their files."""
        return (
            not self._anew
            and change.same_rows(before, merged, self._load.part, self._load.new)
            and next(self._lake._faults(before, self._load.part), None) is None
        )

    def _stands(self, before: Collection | None) -> bool:
        """Whether the commit is there though its answer was lost; an error where somebody else made one that may not be."""
        if not self._anew or (before.version if before else None) == self._on:
            return False
        ours = {action.path for _, action in self._written}
        there = {file.path for some in ((before and before.files) or {}).values() for file in some}
        self._committed = self._tried and ours <= there
        if not self._committed:
            raise EtlError(
                f"somebody changed `{self.name}` while it was to be switched",
                where=f"{self._files.at(self.name)}: version {before.version if before else 'none'}, it was {self._on}",
                hint="`invoke promote.plan` shows how it stands, and `invoke promote.run` goes on",
            )
        return True

    def _look(self) -> None:
        """The files are there, whole; and their times are noted. Somebody's VACUUM takes what no commit refers to yet."""
        from dataclasses import replace as with_

        seen = self._files.stat(self.name, [action.path for _, action in self._written])
        for _, action in self._written:
            if seen.get(action.path, (None, 0))[0] != action.size:
                raise FilesGoneError(
                    f"a file of `{self.name}` was removed while it was loaded",
                    where=f"{self._files.at(self.name)}/{action.path}",
                    hint="somebody's VACUUM without a time to keep, most likely: run the same command again when it is through",
                )
        self._written = [(values, with_(one, modification_time=seen[one.path][1])) for values, one in self._written]

    def _files_after(self, before: Collection | None, same_rows: bool) -> dict[Values, tuple[File, ...]]:
        """The files that the collection has after the commit."""
        kept: dict[Values, tuple[File, ...]] = {}
        if before is not None and (self._load.part or same_rows):
            known = before if before.files is not None else self._lake._as_listed(self.name, before)
            gone = {} if same_rows else before.matching(self._load.part)
            kept = {values: some for values, some in (known.files or {}).items() if values not in gone}
        ours = ((v, File(one.path, one.size, one.modification_time)) for v, one in ([] if same_rows else self._written))
        return {**kept, **manifest.by_part(ours)}


def _holds_only(action: dict[str, Any], partition_by: Sequence[str], schema: pyarrow.Schema) -> Any:
    """What is true of each row in a file, as far as the log tells."""
    import pyarrow
    import pyarrow.dataset

    true = pyarrow.dataset.scalar(True)
    for name in schema.names:
        column, kind = pyarrow.dataset.field(name), schema.field(name).type
        if name in partition_by:
            value = action[f"partition.{name}"]
            true &= column.is_null() if value is None else column == pyarrow.scalar(value, kind)
        elif pyarrow.types.is_integer(kind) or pyarrow.types.is_date(kind):  # others may be cut short in the log
            least, greatest = action.get(f"min.{name}"), action.get(f"max.{name}")
            if action.get(f"null_count.{name}") == 0 and least is not None and greatest is not None:
                true &= (column >= pyarrow.scalar(least, kind)) & (column <= pyarrow.scalar(greatest, kind))
    return true


def _attempts() -> Any:
    """A commit again and again, while other writers are faster."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

    return Retrying(
        retry=retry_if_exception_type(_ConflictError),
        stop=stop_after_delay(300),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )


def _write_partition(
    files: Folder | Bucket, wanted: Collection, values: Values, columns: list[Any], count: int
) -> deltalake.transaction.AddAction:
    import pyarrow
    from deltalake.transaction import AddAction

    types = {column.name: column.type for column in wanted.columns}
    schema = incoming_rows.arrow_schema({name: kind for name, kind in types.items() if name not in wanted.partition_by})
    by_name = dict(zip(types, columns, strict=True))
    table = pyarrow.table([by_name[name] for name in schema.names], schema=schema)
    below = [f"{name}={_plain(value)}" for name, value in zip(wanted.partition_by, values, strict=True)]
    path = "/".join([*below, f"{uuid.uuid4().hex}.parquet"])
    size = files.write(
        wanted.name,
        path,
        table,
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in schema.names if types[name] == "text"],
        write_statistics=[name for name in schema.names if types[name] not in ("bytes", "geometry")],
        store_schema=False,
    )
    return AddAction(
        path=path,
        size=size,
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
    files: Folder | Bucket,
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
        if before is not None:
            _mend_log(files, before)
        if before is not None and (part or same_rows):
            table = DeltaTable(**files.delta(merged.name))
            if table.version() != before.version:
                raise _ConflictError(f"version {table.version()} was made beside this load")
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
        if before is None and not files.local:
            found = manifest.state(files, merged.name)
            if isinstance(found, manifest.Dropped):
                return _commit_anew(files, found.version + 1, merged, schema, written)
        files.prepare(merged.name)
        create_table_with_add_actions(
            **files.delta(merged.name),
            schema=schema,
            add_actions=written,
            mode="error" if before is None else "overwrite",
            partition_by=partition_by,
            name=merged.name,
            description=merged.description or None,
            configuration=files.properties,
            commit_properties=properties,
        )
    except CommitFailedError as error:
        raise _refused(files, merged.name, before, error) from error
    except DeltaError as error:
        if before is None and "already exists" in str(error):
            raise _ConflictError(str(error)) from error
        raise


def _mend_log(files: Folder | Bucket, before: Collection) -> None:
    """The commit that a checkpoint took the place of, where somebody removed it: the Delta library commits on no other."""
    names = files.log(before.name)[0]
    if any(COMMIT.fullmatch(name) for name in names) or not any(CHECKPOINT.fullmatch(name) for name in names):
        return
    said = {"commitInfo": {"timestamp": int(time.time() * 1000), "operation": "MEND", **manifest.to_metadata(before)}}
    with suppress(FileExistsError):
        files.put_new(before.name, f"{LOG}/{before.version:020}.json", f"{json.dumps(said)}\n".encode())


def _refused(files: Folder | Bucket, name: str, before: Collection | None, error: Exception) -> Exception:
    """Why a commit was not taken: another came between, or it never will be."""
    from deltalake import DeltaTable

    if before is None or DeltaTable(**files.delta(name)).version() != before.version:
        return _ConflictError(str(error))
    return EtlError(
        f"`{name}` takes no such commit",
        where=f"{files.at(name)}: {error}",
        hint=_writable_again(files, name) if "append-only" in str(error) else "see the properties of the Delta table",
    )


def _writable_again(files: Folder | Bucket, name: str) -> str:
    """How to take away the property that forbids to change rows."""
    about = files.delta(name)
    options = ", storage_options={...}" if about.get("storage_options") else ""
    return (
        f'somebody set `delta.appendOnly`. Take it away: `python -c "from deltalake import DeltaTable; '
        f"DeltaTable('{about['table_uri']}'{options}).alter.set_table_properties({{'delta.appendOnly': 'false'}})\"`"
    )


def _commit_anew(files: Bucket, version: int, merged: Collection, schema: Any, written: list[Any]) -> None:
    """The first commit of a collection that was dropped, on top of that. The Delta library would make it on top of
    whatever it finds, the first commit of another writer too; so it is written here, to be refused then."""
    now = int(time.time() * 1000)
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now, "operation": "CREATE OR REPLACE TABLE", **manifest.to_metadata(merged)}},
        {
            "metaData": {
                "id": str(uuid.uuid4()),
                "name": merged.name,
                "description": merged.description or None,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema.to_json(),
                "partitionColumns": list(merged.partition_by),
                "configuration": files.properties,
                "createdTime": now,
            }
        },
    ]
    for one in written:
        about = {"partitionValues": one.partition_values, "modificationTime": one.modification_time, "stats": one.stats}
        actions.append({"add": {"path": quote(one.path, safe="/="), "size": one.size, "dataChange": True, **about}})
    text = "".join(f"{json.dumps(action)}\n" for action in actions)
    try:
        files.put_new(merged.name, f"{LOG}/{version:020}.json", text.encode())
    except FileExistsError as error:
        raise _ConflictError(str(error)) from error


def _as_text(value: Any) -> str:
    return str(value)


def _plain(value: Any) -> str:
    """A partition value as a part of a folder's name."""
    return quote(str(value), safe="")


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
