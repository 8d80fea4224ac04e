"""The files of a lake in object storage: what folder.py does, over the network.

An object is there whole or not at all, and one that must not be there yet is written with a conditional put: that is
what makes a commit refuse to take the place of another. A store that does not honour it is refused (probe.py).
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from impl.run.errors import EtlError
from impl.run.files import sweep
from impl.run.objects import ObjectStorage
from impl.store.folder import LOG, NOTES, PROPERTIES
from impl.store.partitions import scratch_for

if TYPE_CHECKING:
    import pyarrow

KEPT_HOURS = 168  # files that no log refers to: of loads that may still run
ONE_BY_ONE = 3  # objects that are asked for by name; more are listed


class Bucket:
    """A prefix of a bucket with one Delta table per collection."""

    local: Literal[False] = False
    properties: ClassVar = {**PROPERTIES, "delta.checkpointInterval": "10"}  # a reader fetches each commit since the last

    def __init__(self, home: str) -> None:
        self._objects = ObjectStorage(home, "the home of the store", "the home of the store (`etl.store`)")
        self.home, self.address = self._objects.home, self._objects.address
        self.at, self.explain = self._objects.at, self._objects.explain

    def identity(self) -> str:
        """The prefix at its endpoint, whoever asks for it."""
        return f"{self.home} {self._objects.endpoint}"

    # what there is

    def names(self) -> list[str]:
        """Whatever may be a collection; a dropped one keeps a log, so look into it."""
        import obstore

        with self._objects.told():
            found = obstore.list_with_delimiter(self._objects.store)["common_prefixes"]
        names = (path.rstrip("/").rpartition("/")[2] for path in found)
        return sorted(name for name in names if not name.startswith((".", "_")))

    def log(self, name: str, whole: bool = False) -> tuple[list[str], bool]:
        """The names in the log of a table, unless `whole` those since its last checkpoint, and whether these are all."""
        start = None if whole else self._last_checkpoint(name)
        # what is listed comes after the offset: a digit less is before all names of that version
        offset = None if start is None else f"{name}/{LOG}/{start:020}"
        return [one.rpartition("/")[2] for one in self._listed(f"{name}/{LOG}", offset, name)], start is None

    def _last_checkpoint(self, name: str) -> int | None:
        try:
            return int(json.loads(self._get(f"{name}/{LOG}/_last_checkpoint"))["version"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def commit(self, name: str, file: str) -> str:
        """One file of the log."""
        return self._get(f"{name}/{LOG}/{file}").decode("utf-8")

    def size(self) -> int:
        """The bytes of all tables, without the logs."""
        import obstore

        with self._objects.told():
            listed = [one for some in obstore.list(self._objects.store) for one in some]
        return sum(one["size"] for one in listed if f"/{LOG}/" not in f"/{one['path']}")

    # writing

    def scratch(self, name: str) -> Path:
        """Where rows are put aside that do not fit into memory."""
        return scratch_for(name)

    def prepare(self, name: str) -> None:
        """Before anything is written: the store must honour conditional put."""
        from impl.store import probe

        if not self._objects.connection.probed:
            probe.conditional_put(self)
            self._objects.connection.probed = True

    def write(self, name: str, file: str, table: pyarrow.Table, **settings: Any) -> int:
        """Write a Parquet file, whole or not at all; its size."""
        import obstore
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink, **settings)
        content = sink.getvalue()
        with self._objects.told(name):
            obstore.put(self._objects.store, f"{name}/{file}", memoryview(content).cast("B"))
        return content.size

    def put_new(self, name: str, file: str, content: bytes) -> None:
        """Write an object that is not there yet; a `FileExistsError` where it is."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._objects.told(name):
                obstore.put(self._objects.store, f"{name}/{file}", content, mode="create", use_multipart=False)
        except EtlError as error:
            if isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
                raise FileExistsError(f"{self.at(name)}/{file}") from error
            raise

    def stat(self, name: str, files: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Size and time of change, in milliseconds, of those objects of a table that are there.

        Whole seconds: of one object a server tells no more, of many it does.
        """
        import obstore

        found = []
        with self._objects.told(name):
            if len(files) > ONE_BY_ONE:
                below = "/".join([name, os.path.commonpath([file.rpartition("/")[0] for file in files])]).rstrip("/")
                found = [one for some in obstore.list(self._objects.store, below) for one in some]
            else:
                for file in files:
                    with suppress(FileNotFoundError):
                        found.append(obstore.head(self._objects.store, f"{name}/{file}"))
        seen = {one["path"].removeprefix(f"{name}/"): one for one in found}
        return {
            file: (seen[file]["size"], int(seen[file]["last_modified"].timestamp()) * 1000) for file in files if file in seen
        }

    def note(self, file: str) -> tuple[bytes, str] | None:
        """The content of a note, and a mark that tells it from any other; None where there is none."""
        import obstore

        try:
            with self._objects.told():
                found = obstore.get(self._objects.store, f"{NOTES}/{file}")
                return found.bytes().to_bytes(), _mark(found.meta)
        except FileNotFoundError:
            return None

    def put_note(self, file: str, content: bytes, mark: str | None) -> str | None:
        """Write a note in the place of the one with this mark (None: of none); its own mark, or None where it was another."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        self.prepare(NOTES)
        mode: Any = "create" if mark is None else json.loads(mark)
        try:
            with self._objects.told():
                put = obstore.put(self._objects.store, f"{NOTES}/{file}", content, mode=mode, use_multipart=False)
                return _mark(put)
        except FileNotFoundError:  # the one with this mark is gone
            return None
        except EtlError as error:
            if isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
                return None
            raise

    def remove(self, name: str, files: Sequence[str]) -> None:
        """Remove objects of a table; those that are gone already are fine."""
        self._delete([f"{name}/{file}" for file in files], name)

    def _delete(self, paths: Sequence[str], name: str = "") -> None:
        import obstore

        if paths:
            with self._objects.told(name):
                obstore.delete(self._objects.store, list(paths))

    def drop(self, name: str) -> None:
        """Remove a damaged table: its log last, so that it is seen as damaged until it is gone."""
        listed = self._listed(name, None, name)
        for in_log in (False, True):
            self._delete([one for one in listed if one.startswith(f"{name}/{LOG}/") == in_log], name)

    def forget(self, name: str, version: int) -> None:
        """Remove the log before the commit that dropped a table, if that was long ago."""
        import obstore

        checkpoint, old = f"{version:020}.checkpoint.parquet", datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
        with self._objects.told(name):
            listed = [one for some in obstore.list(self._objects.store, f"{name}/{LOG}") for one in some]
        if any(one["path"].endswith(checkpoint) and one["last_modified"] < old for one in listed):
            found = ((re.match(r"(\d{20})\.", one["path"].rpartition("/")[2]), one["path"]) for one in listed)
            self._delete([path for number, path in found if number and int(number.group(1)) < version], name)

    def clear(self, keep: str = "") -> None:
        """Remove all that is here, but for what lies below `keep`."""
        listed = self._listed("", None, "")
        self._delete([one for one in listed if not keep or not one.startswith(f"{keep}/")])

    def youngest(self) -> dict[str, datetime]:
        """When something was last written below each prefix that is here."""
        import obstore

        with self._objects.told():
            listed = [one for some in obstore.list(self._objects.store) for one in some]
        times: dict[str, datetime] = {}
        for one in listed:
            name = one["path"].partition("/")[0]
            times[name] = max(times.get(name, one["last_modified"]), one["last_modified"])
        return times

    def sweep(self) -> None:
        """Remove what killed processes left where no log is: rows of a first load, probes."""
        import obstore

        sweep(self.scratch("any").parent)
        with self._objects.told():
            listed = [one for some in obstore.list(self._objects.store) for one in some]
        with_log = {one["path"].partition("/")[0] for one in listed if f"/{LOG}/" in one["path"]} | {NOTES}
        old = datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
        tables = {one["path"] for one in listed if "/" in one["path"] and one["path"].partition("/")[0] not in with_log}
        self._delete([one["path"] for one in listed if one["path"] in tables and one["last_modified"] < old])

    # for the libraries

    def delta(self, name: str) -> dict[str, Any]:
        """How the Delta library finds a table."""
        return {"table_uri": f"{self.home}/{name}", "storage_options": self._objects.connection.delta_options()}

    def arrow(self, name: str, sizes: Mapping[str, int]) -> Any:
        """An Arrow file system that reads below a table; a file whose size is known need not be asked for it."""
        return _reader(self, name, sizes)

    def _get(self, path: str) -> bytes:
        import obstore

        with self._objects.told(path.partition("/")[0]):
            return obstore.get(self._objects.store, path).bytes().to_bytes()

    def size_of(self, path: str) -> int:
        """The bytes of one object."""
        import obstore

        with self._objects.told(path.partition("/")[0]):
            return int(obstore.head(self._objects.store, path)["size"])

    def range_of(self, path: str, start: int, end: int) -> bytes:
        """Some bytes of one object."""
        import obstore

        with self._objects.told(path.partition("/")[0]):
            return obstore.get_range(self._objects.store, path, start=start, end=end).to_bytes()

    def _listed(self, prefix: str, offset: str | None, name: str) -> list[str]:
        import obstore

        with self._objects.told(name):
            return [one["path"] for some in obstore.list(self._objects.store, prefix, offset=offset) for one in some]


def _mark(about: Mapping[str, Any]) -> str:
    """What a conditional put asks for: S3 and Azure know an object by its tag, Google by its version."""
    return json.dumps({name: about[name] for name in ("e_tag", "version") if about.get(name)})


def _reader(bucket: Bucket, name: str, sizes: Mapping[str, int]) -> Any:
    from pyarrow import fs

    class Reader(fs.FileSystemHandler):
        """What Arrow needs to read Parquet files; it writes nothing."""

        def get_type_name(self) -> str:
            return "object storage"

        def normalize_path(self, path: str) -> str:
            return path

        def get_file_info(self, paths: list[str]) -> list[Any]:
            return [fs.FileInfo(path, fs.FileType.File) for path in paths]

        def open_input_file(self, path: str) -> Any:
            import pyarrow

            return pyarrow.PythonFile(_Object(bucket, f"{name}/{path}", sizes.get(path)), mode="r")

        open_input_stream = open_input_file

        def _refuse(self, *_: Any, **__: Any) -> Any:
            raise io.UnsupportedOperation("this file system is for reading")

        get_file_info_selector = create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
        delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse

    return fs.PyFileSystem(Reader())


class _Object(io.RawIOBase):
    """An object as a file to read from; each read asks for the bytes that it is about."""

    def __init__(self, bucket: Bucket, path: str, size: int | None) -> None:
        self._bucket, self._path, self._place = bucket, path, 0
        self._size = bucket.size_of(path) if size is None else size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._place + size)
        if end <= self._place:
            return b""
        content = self._bucket.range_of(self._path, self._place, end)
        self._place += len(content)
        return content
