"""Content digests of files, remembered as long as size, times and inode stay the same.

Hashing gigabytes must not cost more than the work that it saves. A digest is computed once per content and
kept in a small sqlite file with what `stat` said; it is computed again only when `stat` says something else.
"""

import hashlib
import os
import sqlite3
import threading
import time
from pathlib import Path

from impl.run.depot import Depot

BLOCK = 1 << 20
# A file changed within the clock tick in which it was hashed keeps its times. So what is this young is hashed
# again the next time (git calls such entries "racily clean").
YOUNG_NS = 50_000_000


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of the content of one file, as hexadecimal text."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 of a text, as hexadecimal text."""
    return hashlib.sha256(text.encode()).hexdigest()


def stat_of(found: os.stat_result) -> str:
    """What of `stat` tells that a file is still the one whose digest was taken; equal on all machines that share it."""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


class Digests:
    """Digests by path, kept in the sqlite file `home`; several threads may ask. Of what a depot holds, the object counts."""

    def __init__(self, home: Path, depot: Depot | None = None) -> None:
        self.depot = depot
        home.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(home, check_same_thread=False, isolation_level=None)
        self._rows.execute("create table if not exists digest (path text primary key, stat text, digest text)")

    def of(self, path: Path) -> str | None:
        """The digest of `path`, or None where there is no such file. A folder counts with all files below it."""
        if not self.kept_elsewhere(path):
            return self.here(path)
        assert self.depot is not None
        stat = self.depot.stat(path)
        if stat is None:
            return None
        if known := self._known(self.depot.at(path), stat):
            return known
        digest = self.depot.digest(path)
        self.take(path, stat, digest)
        return digest

    def size(self, path: Path) -> int | None:
        """The bytes of a file, or None where there is none."""
        if self.depot is not None and self.kept_elsewhere(path):
            return self.depot.size(path)
        return path.stat().st_size if path.is_file() else None

    def kept_elsewhere(self, path: Path) -> bool:
        """Whether the file is kept in object storage, and what lies here is a copy."""
        return self.depot is not None and self.depot.holds(path)

    def here(self, path: Path) -> str | None:
        """The digest of what lies on this machine."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if path.is_dir():
            parts = [f"{one.relative_to(path)} {self.of(one)}" for one in sorted(path.rglob("*")) if one.is_file()]
            return text_digest("\n".join(parts))
        stat, place = stat_of(found), str(path.absolute())
        if known := self._known(place, stat):
            return known
        digest = file_digest(path)
        if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > YOUNG_NS:
            self._keep(place, stat, digest)
        return digest

    def take(self, path: Path, stat: str, digest: str) -> None:
        """Remember a digest that was taken when `stat_of`, or the depot, said this; of what changed since, it is never asked for."""
        if self.depot is not None and self.kept_elsewhere(path):
            self.depot.note(path, stat)
            self._keep(self.depot.at(path), stat, digest)
        else:
            self._keep(str(path.absolute()), stat, digest)

    def _known(self, place: str, stat: str) -> str | None:
        with self._lock:
            row = self._rows.execute("select stat, digest from digest where path = ?", (place,)).fetchone()
        return row[1] if row and row[0] == stat else None

    def _keep(self, place: str, stat: str, digest: str) -> None:
        with self._lock:
            self._rows.execute("insert or replace into digest values (?, ?, ?)", (place, stat, digest))

    def close(self) -> None:
        self._rows.close()
