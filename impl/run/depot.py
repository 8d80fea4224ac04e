"""The data folder in object storage: raw files, what is made of them, and tools, for every machine that works on them.

What a checkpoint reads is brought into a folder of the machine that runs it, and what it made is put back. Each object
carries the SHA-256 of its content: whether something is up to date is asked without reading it, and what was brought
is compared with what was meant.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from impl.run.errors import EtlError
from impl.run.files import replacing
from impl.run.objects import ObjectStorage

_DIGEST, _MODE = "sha256", "mode"  # what an object carries beside its content
_CHUNK = 8 << 20


class Trip(NamedTuple):
    """What a worker elsewhere needs for one action: where the files are, by which folder they are named, and those to bring."""

    address: str
    folder: Path
    reads: Mapping[Path, tuple[str, int]]  # path -> (SHA-256, bytes)


class Depot:
    """The files below `folder`, kept at an address of object storage; may be used by several threads."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self._objects = ObjectStorage(address, "the data folder", "`etl.data`")
        self._listed: dict[str, dict[str, str]] = {}  # first part of the name -> name -> what `stat` says
        self._lock = threading.Lock()

    def holds(self, path: Path) -> bool:
        """Whether this is a file that is kept here, be it there or not."""
        return path.is_relative_to(self.folder)

    def at(self, path: Path) -> str:
        """The place of a file, for messages."""
        return self._objects.at(self._name(path))

    def stat(self, path: Path) -> str | None:
        """Size and tag of the object as it was when first asked for, or as we put it; None where there is none."""
        name = self._name(path)
        return self._stats(name).get(name)

    def size(self, path: Path) -> int | None:
        """The bytes of the object."""
        stat = self.stat(path)
        return None if stat is None else int(stat.partition(" ")[0])

    def digest(self, path: Path) -> str:
        """The SHA-256 of the object: what it carries, or where somebody else put it there, of its content."""
        import obstore

        name = self._name(path)
        with self._told(name):
            carried = obstore.get(self._objects.store, name, options={"head": True}).attributes.get(_DIGEST)
            if carried:
                return str(carried)
            sum_of = hashlib.sha256()
            for block in obstore.get(self._objects.store, name).stream(min_chunk_size=_CHUNK):
                sum_of.update(memoryview(block))
        return sum_of.hexdigest()

    def fetch(self, path: Path, digest: str, to: Path | None = None) -> None:
        """Bring a file to its place in the folder (or `to`), whole or not at all; an `EtlError` where it is not what was meant."""
        import obstore

        name, sum_of = self._name(path), hashlib.sha256()
        with replacing(to or path) as part:
            with self._told(name), open(part, "wb") as content:
                got = obstore.get(self._objects.store, name)
                for block in got.stream(min_chunk_size=_CHUNK):
                    sum_of.update(memoryview(block))
                    content.write(memoryview(block))
            if sum_of.hexdigest() != digest:
                raise EtlError(
                    "a file in object storage is not what it was",
                    where=f"{self._objects.at(name)}: SHA-256 {sum_of.hexdigest()[:12]}, {digest[:12]} was meant",
                    hint="somebody else writes there: run the same command again when nobody does",
                )
            if mode := got.attributes.get(_MODE):
                part.chmod(int(str(mode), 8))

    def put(self, path: Path, digest: str) -> str:
        """Put a file of the folder where all find it, whole or not at all; what `stat` says of it from now on."""
        import obstore

        name, found = self._name(path), path.stat()
        carried = {_DIGEST: digest} | ({_MODE: "755"} if found.st_mode & 0o100 else {})
        with self._told(name):
            done = obstore.put(self._objects.store, name, path, attributes=carried)
        stat = f"{found.st_size} {done['e_tag']}"
        self.note(path, stat)
        return stat

    def note(self, path: Path, stat: str) -> None:
        """Somebody who works for us has put this object there."""
        name = self._name(path)
        with self._lock:
            self._listed.get(_first(name), {})[name] = stat

    def remove(self, path: Path) -> None:
        """Take a file away, and its copy in the folder."""
        import obstore

        name = self._name(path)
        with self._told(name):
            obstore.delete(self._objects.store, name)
        with self._lock:
            self._listed.get(_first(name), {}).pop(name, None)
        path.unlink(missing_ok=True)

    def check(self, name: str) -> None:
        """Write, read and remove a small object; an `EtlError` where that does not work."""
        import obstore

        with self._told(name):
            obstore.put(self._objects.store, name, b"check")
            try:
                read = obstore.get(self._objects.store, name).bytes().to_bytes()
            finally:
                obstore.delete(self._objects.store, name)
        if read != b"check":
            raise EtlError(
                "what was written is not what is read", where=self._objects.at(name), hint="look for what is wrong there"
            )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _stats(self, name: str) -> dict[str, str]:
        """Listed once for all names that begin alike: one answer tells a thousand objects."""
        import obstore

        first = _first(name)
        with self._lock:
            if first not in self._listed:
                listed: Any
                with self._told(first):
                    if first:
                        listed = [one for some in obstore.list(self._objects.store, first) for one in some]
                    else:
                        listed = obstore.list_with_delimiter(self._objects.store)["objects"]
                self._listed[first] = {one["path"]: f"{one['size']} {one['e_tag']}" for one in listed}
            return self._listed[first]

    def _told(self, name: str) -> Any:
        return self._objects.told(name)


def _first(name: str) -> str:
    """The first folder of a name; none where it lies in no folder."""
    return name.partition("/")[0] if "/" in name else ""


class _Packer(pickle.Pickler):
    """Names files below a folder by their place in it, wherever in the pickled thing they stand."""

    def __init__(self, to: io.BytesIO, folder: Path) -> None:
        super().__init__(to)
        self._folder = str(folder)

    def persistent_id(self, one: Any) -> Any:
        if isinstance(one, str | Path) and (text := str(one)).startswith(f"{self._folder}/"):
            return isinstance(one, Path), text.removeprefix(f"{self._folder}/")
        return None


class _Unpacker(pickle.Unpickler):
    def __init__(self, packed: io.BytesIO, folder: Path) -> None:
        super().__init__(packed)
        self._folder = folder

    def persistent_load(self, named: Any) -> Any:
        is_path, rest = named
        return self._folder / rest if is_path else f"{self._folder}/{rest}"


def pack(content: Any, folder: Path) -> bytes:
    """`content` pickled, so that another machine finds its files below a folder of its own. See `unpack`."""
    to = io.BytesIO()
    _Packer(to, folder).dump(content)
    return to.getvalue()


def unpack(packed: bytes, folder: Path) -> Any:
    """What was packed, with its files below `folder`."""
    return _Unpacker(io.BytesIO(packed), folder).load()
