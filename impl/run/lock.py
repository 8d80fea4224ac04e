"""One run at a time per environment: a lock that names its holder and goes away with it."""

import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from impl.run.errors import EtlError


@contextmanager
def only_run(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; raise `EtlError` naming the holder where somebody else has it.

    The kernel drops the lock when its holder dies, by kill -9 too, so a lock is never left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EtlError(
                "another run is at work in this environment",
                where=_holder(handle),
                hint="wait until it ends, or stop it (Ctrl-C in its window); what it finished stays",
            ) from None
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(["invoke", *sys.argv[1:]]),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
    except ValueError:  # between taking the lock and writing the name
        return "its holder has only just started"
    return "process {pid} on {host}, `{command}`, since {since}".format(**holder)
