"""The lock of a promotion, in the store that it changes: wherever two begin, one is refused and told who has it.

In a lake it is a note that says until when it is held. The holder renews it; it is written only in the place of the very
note that was read, so of two that want it one gets it, and a holder who lost it, because it was stopped for long, is told by
`check` before it changes anything. In a database it is an advisory lock, held by a connection.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from impl.run import secrets
from impl.run.errors import EtlError
from impl.run.files import alive
from impl.store import open_store

NOTE = "promotion.json"
SECONDS, RENEWED = 120, 20  # how long a lock is held without a sign of life, and how often one is given


class Lease:
    """A lock that is held."""

    def check(self) -> None:
        """An error where it is no longer held: what comes next must not be done."""


@contextmanager
def hold(home: str, promotion: str) -> Iterator[Lease]:
    """Hold the lock of the store at `home` for the block; an `EtlError` that names the holder where somebody else has it."""
    store: Any = open_store(home)
    if hasattr(store, "take_over"):
        with _in_database(store, promotion) as held:
            yield held
        return
    lease = _Note(store, promotion)
    lease.take()
    try:
        yield lease
    finally:
        lease.release()


class _Note(Lease):
    def __init__(self, lake: Any, promotion: str) -> None:
        self._files, self.home = lake._files, lake.home
        self._about = {
            "promotion": promotion,
            "user": _user(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "command": secrets.redact(" ".join(["invoke", *sys.argv[1:]])),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": uuid.uuid4().hex,
        }
        self._mark: str | None = None
        self._one_by_one, self._over = threading.Lock(), threading.Event()
        self._renewing = threading.Thread(target=self._renew_until_over, daemon=True)

    def take(self) -> None:
        there = self._files.note(NOTE)
        if there and not self._is_free(there):
            raise self._refused(json.loads(there[0]))
        self._mark = self._put(time.time() + SECONDS, there[1] if there else None)
        if self._mark is None:
            raise self._refused(self._holder())
        self._renewing.start()

    def check(self) -> None:
        with self._one_by_one:
            self._mark = self._put(time.time() + SECONDS, self._mark) if self._mark else None
            if self._mark is None:
                raise EtlError(
                    f"the lock of the promotion {self._about['promotion']} is no longer held",
                    where=f"{self.home}: {_said(self._holder())}",
                    hint="another promotion went on meanwhile, and this one changed nothing more: `invoke promote.plan` shows how it stands",
                )

    def release(self) -> None:
        self._over.set()
        with self._one_by_one, suppress(EtlError, OSError):  # a store that does not answer: the lock runs out
            if self._mark is not None:
                self._put(0, self._mark)

    def _renew_until_over(self) -> None:
        while not self._over.wait(RENEWED):
            with self._one_by_one, suppress(EtlError, OSError):  # `check` asks again
                self._mark = self._put(time.time() + SECONDS, self._mark) if self._mark and not self._over.is_set() else None

    def _is_free(self, there: tuple[bytes, str]) -> bool:
        """Whether nobody holds it: it was given back, its holder on this machine is gone, or no sign of life comes."""
        held = json.loads(there[0])
        if not held["until"] or (held["host"] == socket.gethostname() and not alive(held["pid"])):
            return True
        if held["until"] > time.time():
            return False
        time.sleep(2 * RENEWED)  # the clocks of two machines may differ: only a lock that stays as it is has run out
        return bool(self._files.note(NOTE) == there)

    def _put(self, until: float, mark: str | None) -> str | None:
        """Write the note in the place of the one with this mark; its own mark, or None where it was another's."""
        content = json.dumps({**self._about, "until": until}).encode()
        put = self._files.put_note(NOTE, content, mark)
        there = None if put else self._files.note(NOTE)  # the answer to a first try may have been lost
        return put or (there[1] if there and there[0] == content else None)

    def _holder(self) -> Mapping[str, Any]:
        there = self._files.note(NOTE)
        return json.loads(there[0]) if there else {}

    def _refused(self, held: Mapping[str, Any]) -> EtlError:
        until = f"{datetime.fromtimestamp(held['until'], UTC):%H:%M:%S} UTC" if held.get("until") else "now"
        return EtlError(
            "another promotion is at work in this store",
            where=f"{self.home}: {_said(held)}",
            hint=f"wait until it ends, then run the same command again; if its machine is gone, the lock runs out at {until}",
        )


@contextmanager
def _in_database(store: Any, promotion: str) -> Iterator[Lease]:
    from impl.store.postgis.catalogue import holders

    lock = f"promotion {store.schema}"
    connection = store._connected(of_its_own=True)
    database = connection.__enter__()
    try:
        name = f"promotion {promotion} {_user()}@{socket.gethostname()} {os.getpid()}".replace("'", "")[:63]
        database.run(f"SET application_name = '{name}'")
        if not database.rows(f"SELECT pg_try_advisory_lock(hashtextextended('{lock}', 0)) AS taken")[0]["taken"]:
            raise EtlError(
                "another promotion is at work in this store",
                where=f"{store.home}: {'; '.join(holders(database, [], lock)) or 'it has just ended'}",
                hint="wait until it ends, then run the same command again; the lock goes with its connection",
            )
        database.commit()
        yield _Connection(store, database)
    finally:
        connection.__exit__(None, None, None)  # it gives the lock back; what the block raises is not about this connection


class _Connection(Lease):
    def __init__(self, store: Any, database: Any) -> None:
        self._store, self._database = store, database

    def check(self) -> None:
        from adbc_driver_manager import Error

        try:
            self._database.rows("SELECT 1 AS one")
            self._database.commit()
        except Error as error:
            raise EtlError(
                "the connection that holds the lock of the promotion is lost",
                where=self._store.home,
                hint="run the same command again: it goes on where this one stopped",
            ) from error


def _said(held: Mapping[str, Any]) -> str:
    if not held:
        return "nobody holds it"
    return "{user} on {host}, process {pid}, `{command}`, promotion {promotion}, since {since}".format(**held)


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())
