"""The files of a lake in a local folder: `<home>/<collection>/...`. bucket.py does the same in object storage.

Importing it loads nothing heavy: asking what is there takes milliseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from impl.run.errors import EtlError
from impl.run.files import beside, replacing, sweep

if TYPE_CHECKING:
    import pyarrow

LOG = "_delta_log"
PROPERTIES = {"delta.logRetentionDuration": "interval 36500 days"}  # of a table; see manifest.py
COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet")
NOTES = "_notes"  # beside the collections: what a store remembers about itself
_DROPPED = ".dropped-"  # a collection on its way out


class Folder:
    """A folder with one Delta table per collection."""

    local: Literal[True] = True
    properties = PROPERTIES

    def __init__(self, home: str | Path) -> None:
        self.home = self.address = str(home)
        self._folder = Path(home)

    def at(self, name: str = "") -> str:
        """Where a collection lies, for messages."""
        return str(self._folder / name)

    def identity(self) -> str:
        """The folder itself, whatever links lead to it."""
        return str(self._folder.resolve())

    def names(self) -> list[str]:
        """The folders that have a log."""
        if not self._folder.is_dir():
            return []
        visible = (one.name for one in self._folder.iterdir() if not one.name.startswith("."))
        return sorted(
            name for name in visible if any(COMMIT.fullmatch(n) or CHECKPOINT.fullmatch(n) for n in self.log(name)[0])
        )

    def log(self, name: str, whole: bool = False) -> tuple[list[str], bool]:
        """The names in the log of a table, and whether these are all; none where there is no table."""
        try:
            return [one.name for one in (self._folder / name / LOG).iterdir()], True
        except (FileNotFoundError, NotADirectoryError):
            return [], True

    def commit(self, name: str, file: str) -> str:
        """One file of the log."""
        return (self._folder / name / LOG / file).read_text(encoding="utf-8")

    def path(self, name: str, file: str) -> str:
        """A file of a table as other libraries take it."""
        return str(self._folder.absolute() / name / file)

    def scratch(self, name: str) -> Path:
        """Where rows are put aside that do not fit into memory."""
        return self._folder / f"{name}.rows"

    def prepare(self, name: str) -> None:
        """What has to be there before the first file is written."""
        (self._folder / name).mkdir(parents=True, exist_ok=True)

    def write(self, name: str, file: str, table: pyarrow.Table, **settings: Any) -> int:
        """Write a Parquet file, whole or not at all; its size."""
        import pyarrow.parquet

        with replacing(self._folder / name / file) as part:
            pyarrow.parquet.write_table(table, part, **settings)
        return (self._folder / name / file).stat().st_size

    def put_new(self, name: str, file: str, content: bytes) -> None:
        """Write a file that is not there yet, whole; a `FileExistsError` where it is."""
        part = beside(self._folder / name / file)
        try:
            part.write_bytes(content)
            os.link(part, self._folder / name / file)
        finally:
            part.unlink(missing_ok=True)

    def stat(self, name: str, files: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Size and time of change, in milliseconds, of those files of a table that are there."""
        found = {}
        for file in files:
            with suppress(FileNotFoundError, NotADirectoryError):
                seen = (self._folder / name / file).stat()
                found[file] = (seen.st_size, seen.st_mtime_ns // 1_000_000)
        return found

    def note(self, file: str) -> tuple[bytes, str] | None:
        """The content of a note, and a mark that tells it from any other; None where there is none."""
        try:
            content = (self._folder / NOTES / file).read_bytes()
        except FileNotFoundError:
            return None
        return content, hashlib.sha256(content).hexdigest()

    def put_note(self, file: str, content: bytes, mark: str | None) -> str | None:
        """Write a note in the place of the one with this mark (None: of none); its own mark, or None where it was another."""
        (self._folder / NOTES).mkdir(parents=True, exist_ok=True)
        guard = os.open(self._folder / NOTES / ".guard", os.O_RDWR | os.O_CREAT, 0o664)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)  # for the moment between looking and writing; the kernel drops it
            found = self.note(file)
            if (found and found[1]) != mark:
                return None
            with replacing(self._folder / NOTES / file) as part:
                part.write_bytes(content)
            return hashlib.sha256(content).hexdigest()
        finally:
            os.close(guard)

    def remove(self, name: str, files: Sequence[str]) -> None:
        """Remove files of a table; those that are gone already are fine."""
        for file in files:
            (self._folder / name / file).unlink(missing_ok=True)

    def drop(self, name: str) -> None:
        """Remove a table: out of sight first, in one step."""
        aside = self._folder / f"{_DROPPED}{name}-{uuid.uuid4().hex}"
        try:
            (self._folder / name).rename(aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside)

    def clear(self, keep: str = "") -> None:
        """Remove all that is here, but for what is called `keep`."""
        for one in self._folder.iterdir() if self._folder.is_dir() else ():
            if one.name != keep:
                shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink(missing_ok=True)

    def youngest(self) -> dict[str, datetime]:
        """When something was last written below each folder that is here."""
        folders = [one for one in self._folder.iterdir() if one.is_dir()] if self._folder.is_dir() else []
        times = {one.name: max(below.lstat().st_mtime for below in (one, *one.rglob("*"))) for one in folders}
        return {name: datetime.fromtimestamp(time, UTC) for name, time in times.items()}

    def sweep(self) -> None:
        """Remove what killed processes left."""
        sweep(self._folder)
        for aside in self._folder.glob(f"{_DROPPED}*"):
            shutil.rmtree(aside, ignore_errors=True)

    def size(self) -> int:
        """The bytes of all tables, without the logs."""
        files = self._folder.rglob("*") if self._folder.is_dir() else ()
        return sum(file.stat().st_size for file in files if file.is_file() and file.parent.name != LOG)

    def delta(self, name: str) -> dict[str, Any]:
        """How the Delta library finds a table."""
        return {"table_uri": str(self._folder / name)}

    def arrow(self, name: str, sizes: Mapping[str, int]) -> Any:
        """Arrow's own file system below a table: with Delta's, Python aborts at its end (1.6.6)."""
        from pyarrow import fs

        return fs.SubTreeFileSystem(str(self._folder / name), fs.LocalFileSystem())

    def explain(self, error: Exception, name: str) -> EtlError | None:
        """Errors of a folder are those of the system, which `run/errors.py` knows."""
        return None
