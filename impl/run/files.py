"""Files that are there whole or not at all: written beside their name, renamed at the end."""

import glob
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

KEPT_SECONDS = 7 * 24 * 3600  # nothing is written for so long without a byte in between
_PART = re.compile(r"^\.(.+)\.(\d+)\.part$")


def beside(target: Path) -> Path:
    """The hidden name next to `target` under which this process writes it.

    `.NAME.<host>.<pid>.part`: a folder may be shared, and two hosts have the same numbers. ncproj writes under the same
    names (impl/ncproj/src/partial.rs).
    """
    return target.with_name(f".{target.name}.{this_host()}.{os.getpid()}.part")


@cache
def this_host() -> str:
    """The name of this machine, as it may stand in the name of a file."""
    return re.sub(rb"[^A-Za-z0-9-]", b"-", os.fsencode(socket.gethostname())).decode() or "host"


@contextmanager
def replacing(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a path to write to; at the end of the block it takes the place of `target`, on disk and whole.

    A reader sees the old file or the new one. If the block raises, the old file stays and nothing else does.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = beside(target)
    try:
        yield part
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> list[Path]:
    """Remove what killed processes left beside their targets below `folder`; what a live process writes stays.

    Nobody here knows the processes of another host: what they left goes when it is a week old.
    """
    swept = []
    for root, _, names in os.walk(folder):
        for name in names:
            found = _PART.match(name)
            if found and _is_left(Path(root, name), found.group(1), int(found.group(2))):
                leftover = Path(root, name)
                leftover.unlink(missing_ok=True)
                swept.append(leftover)
    return swept


def _begun(pid: int) -> float | None:
    """When a process began, where the system tells (Linux): in seconds since 1970."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def sweep_beside(target: Path) -> None:
    """As `sweep`, for what was left of this one file."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        found = _PART.match(left.name)
        if found and _is_left(left, found.group(1), int(found.group(2))):
            left.unlink(missing_ok=True)


def _is_left(path: Path, name_and_host: str, pid: int) -> bool:
    _, dot, host = name_and_host.rpartition(".")
    with suppress(FileNotFoundError):  # it was just renamed
        written = path.stat().st_mtime
        if dot and host == this_host() and not alive(pid, at=written):
            return True
        return written < time.time() - KEPT_SECONDS
    return False


def alive(pid: int, at: float | None = None) -> bool:
    """Whether a process of this number lives on this machine; with `at`, whether it may be the one that lived then."""
    if at is not None and (begun := _begun(pid)) is not None and begun > at + 2:
        return False  # numbers come again
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
