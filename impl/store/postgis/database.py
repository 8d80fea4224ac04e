"""One connection to the database, and what it says in our words."""

from __future__ import annotations

import atexit
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

from impl.run import secrets
from impl.run.errors import EtlError
from impl.store.interface import no_collection
from impl.store.postgis import catalogue
from impl.store.postgis.sql import quoted, text

if TYPE_CHECKING:
    import pyarrow

    from impl.store.postgis import PostGIS

LOCK_SECONDS = 300  # how long a load waits for another one
SWITCH_SECONDS = 0.5  # how long readers may have to wait for one that waits for a reader
TOLD_AFTER = 10  # seconds after which it is said who is waited for


class Database:
    """One connection, used for one thing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._reading: Any = None  # a cursor that is let go closes its stream
        self.knows_too_little = False  # it asked for the types of the database before there was PostGIS

    def run(self, sql: str) -> None:
        """One statement without an answer."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table().to_pylist()

    def is_set_up(self, schema: str, column: str = "facts") -> bool:
        """Whether the schema has our tables, and `_collections` this column of theirs."""
        found = self.rows(
            f"SELECT to_regclass({text(f'{quoted(schema)}._parts')}) IS NOT NULL AND EXISTS (SELECT FROM pg_attribute "
            f"WHERE attrelid = to_regclass({text(f'{quoted(schema)}._collections')}) AND attname = {text(column)}) AS there"
        )
        return bool(found[0]["there"])

    def lock(self, name: str, shared: bool = False, wait: float = LOCK_SECONDS) -> None:
        """Hold the lock of this name until the transaction ends."""
        take = f"PERFORM pg_advisory_xact_lock{'_shared' if shared else ''}(hashtextextended({text(name)}, 0))"
        self._patiently(take, TOLD_AFTER, wait, f"`{name}`", lambda: catalogue.holders(self, [], name))

    def lock_tables(self, tables: Sequence[tuple[str, str]], wait: float = LOCK_SECONDS) -> None:
        """Have tables (schema, name) for oneself until the transaction ends.

        Who waits for that holds up all readers that come later, so each wait is short and is begun again.
        """
        for schema, name in tables:
            take = f"LOCK TABLE {quoted(schema)}.{quoted(name)} IN ACCESS EXCLUSIVE MODE"
            self._patiently(take, SWITCH_SECONDS, wait, f"`{name}`", lambda: catalogue.holders(self, list(tables)))

    def _patiently(self, take: str, each: float, wait: float, what: str, holders: Callable[[], list[str]]) -> None:
        began, told = time.monotonic(), False
        while True:
            self.run(f"SET LOCAL lock_timeout = '{max(min(each, wait), 0.001) * 1000:.0f}ms'")
            # The block is a transaction within ours: without it, a lock that is not to be had would end all.
            self.run(
                f"DO $$ BEGIN {take}; PERFORM set_config('etl.locked', 'yes', true); "
                "EXCEPTION WHEN lock_not_available THEN PERFORM set_config('etl.locked', 'no', true); END $$"
            )
            if self.rows("SELECT current_setting('etl.locked') AS locked")[0]["locked"] == "yes":
                self.run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                return
            waited = time.monotonic() - began
            if waited >= wait:
                raise EtlError(
                    f"others held {what} for {waited:.0f} s",
                    where="\n     ".join(holders()) or "they have just let go",
                    hint="nothing was changed: run the same command again when they are done, or end a session with "
                    "`select pg_terminate_backend(PID)`",
                )
            if waited >= TOLD_AFTER and not told:
                told = True
                sys.stderr.write(f"waiting for {what}, held by {'; '.join(holders()) or 'nobody any more'}\n")
            time.sleep(random.uniform(0.05, 0.2) if each < TOLD_AFTER else 0)

    def ingest(self, table: str, schema: str | None, batches: Iterator[pyarrow.RecordBatch]) -> None:
        """COPY rows into a table that is there; without a schema it is a temporary one."""
        import pyarrow

        first = next(batches, None)
        if first is None:
            return
        stream = pyarrow.RecordBatchReader.from_batches(first.schema, chain([first], batches))
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, stream, mode="append", db_schema_name=schema, temporary=schema is None)

    def read(self, sql: str, schema: str, role: str | None) -> pyarrow.RecordBatchReader:
        """The answer to a query that may do nothing but read, as a role that may do nothing else where that can be."""
        self._connection.commit()
        self.run("SET TRANSACTION READ ONLY")
        self.run(f"SET LOCAL search_path = {quoted(schema)}, public")
        self.run("SET LOCAL TIME ZONE 'UTC'")
        if role and self.rows(
            f"SELECT 1 AS yes FROM pg_roles WHERE rolname = {text(role)} AND pg_has_role(current_user, oid, 'MEMBER')"
        ):
            self.run(f"SET LOCAL ROLE {quoted(role)}")
        self._reading = cursor = self._connection.cursor()
        if sql.lstrip().lower().startswith(("explain", "show")):  # these cannot be copied out
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
        cursor.execute(sql)
        return cursor.fetch_record_batch()

    def stream(self, sql: str) -> pyarrow.RecordBatchReader:
        """The answer to a query of ours, in the transaction that is under way."""
        self._reading = cursor = self._connection.cursor()
        cursor.execute(sql)
        return cursor.fetch_record_batch()

    def let_go(self) -> None:
        """End the answer that is being read."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()

    def commit(self) -> None:
        self._connection.commit()


_idle: dict[tuple[int, str], list[Any]] = {}  # by process and address: connections that are done with, for the next one
_one_at_a_time = Lock()
KEPT_IDLE = 2


@atexit.register
def close_idle() -> None:
    """Before the driver's own module is gone; those of a parent process are not ours to close."""
    with _one_at_a_time:
        mine = [connection for key in list(_idle) if key[0] == os.getpid() for connection in _idle.pop(key)]
    for connection in mine:
        with suppress(Exception):
            connection.close()


@contextmanager
def connected(uri: str, *, of_its_own: bool = False) -> Iterator[Database]:
    """A connection with a transaction begun; what is not committed is undone at the end.

    Beginning one takes longer (40 ms) than most of what is asked: up to two stay open in this process, outside of any
    transaction. of_its_own: a new one, which ends with the block and all that it holds.
    """
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    key, connection, fine = (os.getpid(), uri), None, False
    while connection is None and not of_its_own:
        with _one_at_a_time:
            waiting = _idle.get(key)
            connection = waiting.pop() if waiting else None
        if connection is None:
            break
        try:  # the server may have closed it since
            connection.adbc_connection.set_autocommit(False)
            Database(connection).rows("SELECT 1 AS one")
        except Error:
            with suppress(Error):
                connection.close()
            connection = None
    if connection is None:
        connection = dbapi.connect(uri)
    database = Database(connection)  # held for as long as rows of its answers are read
    try:
        yield database
        fine = not of_its_own and not database.knows_too_little
    finally:
        try:
            if fine:
                database.let_go()
                connection.rollback()
                connection.adbc_connection.set_autocommit(True)
                with _one_at_a_time:
                    waiting = _idle.setdefault(key, [])
                    fine = len(waiting) < KEPT_IDLE
                    if fine:
                        waiting.append(connection)
        except Error:
            fine = False
        if not fine:
            with suppress(Error):
                connection.close()
        if database.knows_too_little:
            close_idle()


def check_only_reads(sql: str) -> None:
    """The database itself allows one statement that reads; this says so in our words."""
    if not sql.strip(" ;\n"):
        raise EtlError("the query is empty", hint='begin with SELECT: `invoke store.query "select * from NAME limit 5"`')
    plain = re.sub(r"(--[^\n]*\n|/\*.*?\*/|\s|\()*", "", sql, count=1, flags=re.DOTALL).lower()
    if not plain.startswith(("select", "with", "values", "table", "explain", "show")):
        raise EtlError(
            f"a query reads, and this one begins with `{(plain.split() or sql.split())[0].upper()}`",
            hint="begin with SELECT; data come into the store through the tasks, and out of it with `invoke store.export`",
        )


SAID = {  # by SQLSTATE, or its class: what is wrong, what to do
    "28": ("the database does not let this user in", "check the user, the password and the server's pg_hba.conf"),
    "3D": ("the database is not there", "create it first (`createdb`), and check the name in the address"),
    "42501": ("the database user may not do this", "let the owner of the schema grant it, or use the loading user's address"),
    "25006": ("a query reads, and this one would write", "data come into the store through the tasks"),
    "23503": (
        "others refer to rows that would go",
        "delete those references, or give the foreign key `ON DELETE`; nothing was changed: then run the same command again",
    ),
    "2BP01": (
        "others hang on what would go",
        "drop these first, or have their owners change them; nothing was changed: then run the same command again",
    ),
    "55P03": ("another load held the collection for too long", "run the same command again when that one is done"),
    "40": ("other loads came in the way", "run the same command again"),
    "53100": (
        "the disk of the database is full",
        "free some space there (then `VACUUM` frees what this load had written) and run the same command again: nothing was changed",
    ),
    "53": ("the database has no more room or connections", "run the same command again with fewer jobs at once"),
    "57": ("the database was stopped, or the query was", "run the same command again: nothing was changed"),
    "08": ("the connection to the database broke", "check the server and the network; nothing was changed: run it again"),
    "22021": ("a text holds a character that PostgreSQL has no place for", "the character 0 has to go before loading"),
    "22P05": ("a text holds a character that PostgreSQL has no place for", "the character 0 has to go before loading"),
    "58P01": ("the database server has no PostGIS", "install it there (Debian: `apt-get install postgresql-15-postgis-3`)"),
    "0A000": (
        "the database server has no PostGIS, or is too old",
        "install it there (`apt-get install postgresql-15-postgis-3`)",
    ),
    "42": ("the query has a mistake", "see `invoke store.show NAME` for the columns of a collection"),
    "22": ("a value of the query is out of its range", None),
}


@contextmanager
def said(store: PostGIS) -> Iterator[None]:
    """Turn what the driver raises into an `EtlError` that says what to do."""
    from adbc_driver_manager import Error
    from pyarrow import ArrowException

    try:
        yield
    except (Error, ArrowException, OSError) as error:
        raise explained(error, store) from None


def state_of(error: Exception) -> str:
    """The SQLSTATE of an error of the driver, empty where it has none."""
    found = str(getattr(error, "sqlstate", "") or "")
    return found or (re.search(r"SQLSTATE:? (\w{5})", str(error)) or ["", ""])[1]


def explained(error: Exception, store: PostGIS) -> EtlError:
    """What the database said, in our words and without secrets."""
    state = state_of(error)
    said = secrets.redact(str(error))
    detail = " ".join(
        re.sub(r"^\w+: (Failed to \w+ \w+: |\[libpq\] )?|SQLSTATE: \w+|Query was:.*", "", said, flags=re.DOTALL).split()
    )
    where = f"{store.home}: {detail}"
    if state == "42P01":
        missing = re.search(r'relation "([^"]*)"', said)
        if missing:
            return no_collection(missing.group(1).rpartition(".")[2], store.names(), store.home)
    if "create extension" in said:
        return EtlError(
            "PostGIS is not set up in the database, and this user may not do it",
            where=where,
            hint="as a superuser, once in this database: `CREATE EXTENSION postgis SCHEMA public`",
        )
    if state == "42703":
        return EtlError("the query names a column that is not there", where=where, hint=SAID["42"][1])
    if state == "23505" and "_pkey" in said:
        return EtlError(
            "a key stands in the rows to load and in another part of the collection",
            where=where,
            hint="the key has to tell apart all rows of the collection: add the column that does",
        )
    for length in (5, 2):
        if state[:length] in SAID and state:
            what, hint = SAID[state[:length]]
            return EtlError(what, where=where, hint=hint)
    if "ReadRecord failed" in said:
        return EtlError(
            "a column of the answer has a type that cannot be read", where=where, hint="cast it in the query, as in `r::text`"
        )
    server = re.search(r"(?:ERROR|FATAL): +([^\n]*)", said)
    if not state and server and "connection" not in said.split("ERROR")[0]:
        return EtlError(f"the query fails: {server[1]}", where=store.home, hint="mend the query, or the values that it meets")
    if not state:
        for sign, key in (("password", "28"), ("role ", "28"), ("pg_hba.conf", "28"), ("does not exist", "3D")):
            if sign in said and "connection" in said:
                return EtlError(SAID[key][0], where=where, hint=SAID[key][1])
        return EtlError(
            "the database cannot be reached",
            where=where,
            hint="check host and port in the address, and that the server runs; nothing was changed",
        )
    return EtlError("the database answered with an error", where=where)
