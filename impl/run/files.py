"""Files that are there whole or not at all: written beside their name, renamed at the end."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = re.compile(r"^\..+\.(\d+)\.part$")


def beside(target: Path) -> Path:
    """The hidden name next to `target` under which this process writes it."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


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
    """Remove what killed processes left beside their targets below `folder`; what a live process writes stays."""
    swept = []
    for root, _, names in os.walk(folder):
        for name in names:
            found = _PART.match(name)
            if found and not alive(int(found.group(1))):
                leftover = Path(root, name)
                leftover.unlink(missing_ok=True)
                swept.append(leftover)
    return swept


def alive(pid: int) -> bool:
    """Whether a process of this number lives on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
