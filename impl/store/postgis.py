"""The served home: a schema of a PostgreSQL database with PostGIS, one table per collection.

    postgresql://user@host/database                   the schema is `etl`
    postgresql://user:${DB_PASSWORD}@host/database?schema=climate

    <schema>.<collection>       the rows; primary key, comments with units, a GiST index where there is a geometry.
                                Collections with a partition column `year` are partitioned by it
    <schema>._collections       the facts of each collection
    <schema>._parts             rows, bytes and fingerprint of each of its parts

A load is one transaction: rows and facts change together or not at all, and readers see the rows of before until it
ends. Rows come by COPY; what is there already is changed by key, and unchanged rows are not touched. A trigger notes when
somebody else changes rows: then the facts are computed again from them. `<schema>_reader` is a role that may read.
"""

from __future__ import annotations

import atexit
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from impl.run import secrets
from impl.run.errors import EtlError
from impl.store import change, fingerprint
from impl.store import rows as incoming_rows
from impl.store.interface import Collection, Column, Part, PartFacts, Values, check_name, no_collection
from impl.store.partitions import scratch_for

if TYPE_CHECKING:
    import pyarrow

    from impl.store.checks import Check

SCHEMA = "etl"
YEAR = "year"  # the partition column that tables are partitioned by
SRID = 4326
BATCH_ROWS = 65_536
LOCK_SECONDS = 300  # how long a load waits for another one
SWITCH_MILLISECONDS = 500  # how long readers may have to wait for a switch that waits for a reader

_SQL_TYPES = {
    "text": "text",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "real": "real",
    "double": "double precision",
    "boolean": "boolean",
    "timestamp": "timestamp with time zone",
    "date": "date",
    "bytes": "bytea",
    "geometry": f"geometry(Geometry, {SRID})",
}

_SET_UP = (
    "CREATE SCHEMA IF NOT EXISTS {schema}",
    """CREATE TABLE IF NOT EXISTS {schema}._collections (
        name text PRIMARY KEY, facts jsonb NOT NULL, version bigint NOT NULL, updated timestamptz NOT NULL,
        touched boolean NOT NULL DEFAULT false)""",
    "COMMENT ON TABLE {schema}._collections IS 'the facts of each collection; written by the loads'",
    """CREATE OR REPLACE FUNCTION {schema}._touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF current_setting('etl.loading', true) IS DISTINCT FROM 'yes' THEN
                EXECUTE format('UPDATE %I._collections SET touched = true WHERE name = $1 AND NOT touched', TG_TABLE_SCHEMA)
                USING TG_ARGV[0];
            END IF;
            RETURN NULL;
        END $$""",
    """CREATE TABLE IF NOT EXISTS {schema}._parts (
        name text NOT NULL REFERENCES {schema}._collections ON DELETE CASCADE, part jsonb NOT NULL, rows bigint NOT NULL,
        bytes bigint NOT NULL, fingerprint text NOT NULL, synthetic boolean NOT NULL, PRIMARY KEY (name, part))""",
    "COMMENT ON TABLE {schema}._parts IS 'rows, bytes and fingerprint of each part of a collection; written by the loads'",
)
_READER = """DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN
        CREATE ROLE {role} NOLOGIN;
        GRANT {role} TO CURRENT_USER;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL; END $$"""


class PostGIS:
    """A store in a schema of a database. Holds the address; each call connects for itself."""

    def __init__(self, home: str) -> None:
        self.home = secrets.redact(home)
        self.address = home
        parts = urlsplit(home)
        asked = dict(parse_qsl(parts.query))
        self.schema = asked.pop("schema", SCHEMA)
        check_name(self.schema)
        asked = {"connect_timeout": "10", "application_name": "sustain-etl", **asked}
        self._uri = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(asked, safe="${}/:,")))
        self._q = _quoted(self.schema)
        self._reader = f"{self.schema}_reader"

    # what is there

    def names(self) -> list[str]:
        with self._connected() as db:
            if not db.is_set_up(self.schema):
                return []
            return [row["name"] for row in db.rows(f"SELECT name FROM {self._q}._collections ORDER BY name")]

    def facts(self, name: str) -> Collection:
        with self._connected() as db:
            found = self._facts(db, name)
        if found is None:
            raise no_collection(name, self.names(), self.home)
        return found

    def holds(self, name: str, part: Mapping[str, Any] | None, fingerprint: str) -> bool:
        """One question on a connection that stays open: a run asks it for each of thousands of parts."""
        from impl.store.fingerprint import add

        asked = (
            f"SELECT p.fingerprint FROM {self._q}._collections c JOIN {self._q}._parts p USING (name) "
            f"WHERE name = {_text(name)} AND NOT touched AND part @> {_text(json.dumps(dict(part or {})))}::jsonb"
        )
        try:
            found = _asked(secrets.reveal(self._uri, where=self.home), asked)
        except EtlError:
            return False
        return bool(found) and add(row["fingerprint"] for row in found) == fingerprint

    def lost(self, name: str) -> str | None:
        return None

    def verify(self, name: str, deep: bool) -> list[str]:
        return []

    # reading rows

    def read(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.Table:
        return self.stream(name, columns, where).read_all()

    def stream(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.RecordBatchReader:
        from impl.store.query import select

        facts = self.facts(name)
        types = {column.name: column.type for column in facts.columns if columns is None or column.name in columns}
        types = {one: types[one] for one in columns} if columns is not None and set(columns) <= set(types) else types
        return self._stream(select(facts, columns, where), types)

    def query(self, sql: str) -> pyarrow.Table:
        return self._stream(sql, None).read_all()

    def _stream(self, sql: str, types: dict[str, str] | None) -> pyarrow.RecordBatchReader:
        import pyarrow

        _check_only_reads(sql)
        with ExitStack() as stack:
            db = stack.enter_context(self._connected())
            reader = db.read(sql, self.schema, self._reader)
            schema = incoming_rows.arrow_schema(types) if types else _plain_schema(reader.schema)
            open_still = stack.pop_all()

        def batches() -> Iterator[pyarrow.RecordBatch]:
            with open_still:
                for batch in reader:
                    yield _plain_batch(batch, schema)

        return pyarrow.RecordBatchReader.from_batches(schema, batches())

    # writing

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
        check_name(name)
        settings: dict[str, Any] = {"key": key, "part": part, "partition_by": partition_by, "description": description}
        settings |= {"columns": columns, "geometry": geometry, "synthetic": synthetic, "source": source, "licence": licence}
        settings |= {"checks": checks}
        with self._connected() as db:
            before = self._facts(db, name)
        with change.gather(name, rows, before, self, scratch_for(name), may_be_empty=may_be_empty, **settings) as load:
            with self._connected() as db:
                self._set_up(db)
                return _Write(self, db, load).run()._replace(checks=load.checks)

    def drop(self, name: str) -> None:
        check_name(name)
        with self._connected() as db:
            if not db.is_set_up(self.schema):
                return
            db.lock(f"{self.schema}.{name}")
            db.run(f"DROP TABLE IF EXISTS {self._q}.{_quoted(name)}")
            db.run(f"DELETE FROM {self._q}._collections WHERE name = {_text(name)}")
            db.commit()

    def tidy(self) -> int:
        """Nothing is left by killed writers, and PostgreSQL itself frees the room of old rows."""
        return 0

    def take_over(self, candidate: PostGIS, names: Sequence[str]) -> None:
        """The tables of `candidate` become those of this schema, in one transaction; what was here is in `_previous`."""
        self._change_places(names, to=self._beside("previous"), from_=candidate)

    def give_back(self, names: Sequence[str]) -> None:
        """What `take_over` did, undone: what is in `_previous` comes back, what is here goes to `_next`."""
        self._change_places(names, to=self._beside("next"), from_=self._beside("previous"))

    def kept(self, names: Sequence[str]) -> dict[str, Collection | None]:
        """The facts of what `give_back` would bring back."""
        with self._connected() as db:
            return {name: self._beside("previous")._facts(db, name) for name in names}

    def _beside(self, which: str) -> PostGIS:
        other = PostGIS(self.address)
        other.schema, other._reader = f"{self.schema}_{which}", f"{self.schema}_{which}_reader"
        other._q = _quoted(other.schema)
        return other

    def _change_places(self, names: Sequence[str], to: PostGIS, from_: PostGIS) -> None:
        """Moving a table needs it for itself for a moment. Who waits for that holds up all readers that come later, so
        the wait is short and is begun again."""
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

        with self._connected() as db:
            for one in (self, to, from_):
                one._set_up(db)
        busy = retry_if_exception(lambda error: isinstance(error, EtlError) and error.what == _SAID["55P03"][0])
        for attempt in Retrying(
            retry=busy, reraise=True, stop=stop_after_delay(LOCK_SECONDS), wait=wait_random_exponential(multiplier=0.2, max=5)
        ):
            with attempt, self._connected() as db:
                for name in names:
                    db.lock(f"{self.schema}.{name}")
                db.run(f"SET LOCAL lock_timeout = '{SWITCH_MILLISECONDS}ms'")
                for name in names:
                    db.run(f"DROP TABLE IF EXISTS {to._q}.{_quoted(name)}")
                    db.run(f"DELETE FROM {to._q}._collections WHERE name = {_text(name)}")
                    self._move(db, name, self, to)
                    self._move(db, name, from_, self)
                db.commit()

    def _move(self, db: _Database, name: str, here: PostGIS, there: PostGIS) -> None:
        if not db.rows(f"SELECT 1 AS yes FROM {here._q}._collections WHERE name = {_text(name)}"):
            return
        table = _text(f"{here._q}.{_quoted(name)}")
        leaves = db.rows(
            f"SELECT c.relname::text AS leaf FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = {table}::regclass"
        )
        for one in [name, *(row["leaf"] for row in leaves)]:
            db.run(f"ALTER TABLE {here._q}.{_quoted(one)} SET SCHEMA {there._q}")
            there._let_read(db, f"SELECT ON {there._q}.{_quoted(one)}")
        db.run(f"INSERT INTO {there._q}._collections SELECT * FROM {here._q}._collections WHERE name = {_text(name)}")
        db.run(f"INSERT INTO {there._q}._parts SELECT * FROM {here._q}._parts WHERE name = {_text(name)}")
        db.run(f"DELETE FROM {here._q}._collections WHERE name = {_text(name)}")

    def _set_up(self, db: _Database) -> None:
        if db.is_set_up(self.schema):
            return
        db.lock(f"{self.schema} is set up")
        for statement in _SET_UP:
            db.run(statement.format(schema=self._q))
        db.run(_READER.format(name=_text(self._reader), role=_quoted(self._reader)))
        self._let_read(db, f"USAGE ON SCHEMA {self._q}")
        self._let_read(db, f"SELECT ON {self._q}._collections, {self._q}._parts")
        db.commit()

    def _let_read(self, db: _Database, what: str) -> None:
        """Grant to the reading role, where it could be made."""
        db.run(
            f"""DO $$ BEGIN
                IF EXISTS (SELECT FROM pg_roles WHERE rolname = {_text(self._reader)}) THEN
                    GRANT {what} TO {_quoted(self._reader)};
                END IF;
            END $$"""
        )

    # facts

    def _facts(self, db: _Database, name: str) -> Collection | None:
        if not db.is_set_up(self.schema):
            return None
        found = db.rows(f"SELECT facts::text, version, updated, touched FROM {self._q}._collections WHERE name = {_text(name)}")
        if not found:
            return None
        stored = json.loads(found[0]["facts"])
        parts = db.rows(
            f"SELECT part::text, rows, bytes, fingerprint, synthetic FROM {self._q}._parts WHERE name = {_text(name)}"
        )
        collection = Collection(
            name=name,
            key=tuple(stored["key"]),
            columns=tuple(Column(*column) for column in stored["columns"]),
            partition_by=tuple(stored["partition_by"]),
            parts=dict(
                sorted(
                    (
                        tuple(json.loads(one["part"])[column] for column in stored["partition_by"]),
                        PartFacts(one["rows"], one["bytes"], one["fingerprint"], one["synthetic"]),
                    )
                    for one in parts
                )
            ),
            geometry=stored["geometry"],
            description=stored["description"],
            source=stored["source"],
            licence=stored["licence"],
            version=found[0]["version"],
            updated=found[0]["updated"].astimezone(UTC),
        )
        if not found[0]["touched"]:
            return collection
        return self._recomputed(collection)

    def _recomputed(self, last: Collection) -> Collection:
        """The facts from the rows themselves, which somebody else changed."""
        from impl.store.partitions import split
        from impl.store.query import select

        types = {column.name: column.type for column in last.columns}
        schema = incoming_rows.arrow_schema(types)
        sums, counts = dict[Values, int](), dict[Values, int]()
        with self._connected() as db:
            for batch in db.read(select(last, None, None), self.schema, None):
                for values, _, piece in split(_plain_batch(batch, schema), last.partition_by):
                    sums[values] = sums.get(values, 0) + fingerprint.sum_of_rows(piece, list(types.items()))
                    counts[values] = counts.get(values, 0) + piece.num_rows
        parts = {
            values: PartFacts(counts[values], 0, fingerprint.as_hex(sums[values]), last.synthetic) for values in sorted(counts)
        }
        return replace(last, parts=parts, version=last.version + 1)

    @contextmanager
    def _connected(self) -> Iterator[_Database]:
        """A connection with a transaction begun; what is not committed is undone at the end."""
        try:
            from adbc_driver_manager import Error
            from adbc_driver_postgresql import dbapi
        except ImportError as error:
            raise EtlError(
                "what PostGIS needs is not installed", where=self.home, hint="pip install -e '.[servers]'"
            ) from error
        from pyarrow import ArrowException

        try:
            connection = dbapi.connect(secrets.reveal(self._uri, where=self.home))
        except Error as error:
            raise _explained(error, self) from None
        database = _Database(connection)
        try:
            yield database
        except (Error, ArrowException, OSError) as error:
            raise _explained(error, self) from None
        finally:
            with suppress(Error):
                connection.close()


class _Database:
    """One connection, used for one thing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._reading: Any = None  # a cursor that is let go closes its stream

    def run(self, sql: str) -> None:
        """One statement without an answer."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table().to_pylist()

    def is_set_up(self, schema: str) -> bool:
        found = self.rows(f"SELECT to_regclass({_text(f'{_quoted(schema)}._parts')}) IS NOT NULL AS there")
        return bool(found[0]["there"])

    def lock(self, name: str, shared: bool = False) -> None:
        """Hold the lock of this name until the transaction ends."""
        self.run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        self.rows(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(hashtextextended({_text(name)}, 0))::text")

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
        self.run(f"SET LOCAL search_path = {_quoted(schema)}, public")
        self.run("SET LOCAL TIME ZONE 'UTC'")
        if role and self.rows(
            f"SELECT 1 AS yes FROM pg_roles WHERE rolname = {_text(role)} AND pg_has_role(current_user, oid, 'MEMBER')"
        ):
            self.run(f"SET LOCAL ROLE {_quoted(role)}")
        self._reading = cursor = self._connection.cursor()
        if sql.lstrip().lower().startswith(("explain", "show")):  # these cannot be copied out
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
        cursor.execute(sql)
        return cursor.fetch_record_batch()

    def commit(self) -> None:
        self._connection.commit()


class _Write:
    """One load: from rows in partitions to rows in the table, in the transaction of `db`."""

    def __init__(self, store: PostGIS, db: _Database, load: change.Load) -> None:
        self.store, self.db, self.load = store, db, load
        self.name, self.schema = load.wanted.name, store._q
        self.table = f"{self.schema}.{_quoted(self.name)}"

    def run(self) -> Part:
        db, load = self.db, self.load
        before = self._locked()
        self.touched = before is not None and self._touched()
        merged = change.merge(before, load.wanted, load.part, load.new)
        if before is not None and change.same_rows(before, merged, load.part, load.new):
            if change.same_facts(before, merged) and not self.touched:
                return change.answer(before, load.part, changed=False)
            sizes = {values: facts.bytes for values, facts in before.parts.items()}
            merged = replace(merged, parts={v: facts._replace(bytes=sizes[v]) for v, facts in merged.parts.items()})
            self._note(before, merged, load.part)
            db.commit()
            return change.answer(merged, load.part, changed=True)
        db.run("SET LOCAL etl.loading = 'yes'")
        if self._needs_a_new_table(before, merged):
            self._into_new_table(merged)
        else:
            self._into_what_is_there(merged)
        merged = self._sized(merged)
        merged = replace(merged, version=(before.version if before else 0) + 1, updated=datetime.now(UTC))
        self._note(before, merged, load.part)
        db.commit()
        return change.answer(merged, load.part, changed=True)

    def _locked(self) -> Collection | None:
        """The facts as they are once nobody else writes the same rows.

        Loads of different years go side by side. Whoever makes or replaces the whole table is alone.
        """
        place = f"{self.store.schema}.{self.name}"
        years = self._years() if self.load.part else None
        before = self.store._facts(self.db, self.name)
        self.db.commit()  # facts are read again below, in the transaction that holds the locks
        alone = before is None or years is None or len(years) != 1
        self.db.lock(place, shared=not alone)
        if not alone and years:
            self.db.lock(f"{place} {years[0]}")
        before = self.store._facts(self.db, self.name)
        if before is None and not alone:  # dropped in between
            raise EtlError(
                f"`{self.name}` was dropped at the same time", where=self.store.home, hint="run the same command again"
            )
        return before

    def _touched(self) -> bool:
        return bool(
            self.db.rows(f"SELECT 1 AS yes FROM {self.schema}._collections WHERE touched AND name = {_text(self.name)}")
        )

    def _years(self) -> list[Any] | None:
        """The years that the load is about; None where the collection is not by year."""
        wanted, part = self.load.wanted, self.load.part or {}
        if YEAR not in wanted.partition_by:
            return None
        if YEAR in part:
            return [part[YEAR]]
        place = wanted.partition_by.index(YEAR)
        return sorted({values[place] for values in self.load.new})

    def _needs_a_new_table(self, before: Collection | None, merged: Collection) -> bool:
        def shape(one: Collection) -> tuple[Any, ...]:
            return ([column[:2] for column in one.columns], one.key, one.geometry, YEAR in one.partition_by)

        return before is None or (self.load.part is None and shape(before) != shape(merged))

    def _into_new_table(self, merged: Collection) -> None:
        """A table of its own beside the old one, then in its place; the old one is gone in the same moment."""
        db = self.db
        if merged.geometry:
            self._need_postgis()
        fresh = f"{self.schema}.{_quoted('_new_' + self.name)}"
        db.run(f"DROP TABLE IF EXISTS {fresh}")
        by_year = YEAR in merged.partition_by
        db.run(f"CREATE TABLE {fresh} ({self._columns(merged)}){f' PARTITION BY LIST ({YEAR})' if by_year else ''}")
        leaves = self._leaves(merged, "_new") if by_year else {None: "_new_" + self.name}
        for leaf in leaves.values():
            if by_year:
                db.run(f"CREATE TABLE {self.schema}.{_quoted(leaf)} (LIKE {fresh})")
        for values, batches in self._batches():
            db.ingest(leaves[self._year_of(values)], self.store.schema, batches)
        for year, leaf in leaves.items():
            if by_year:
                self._finish_leaf(merged, leaf, year, fresh)
        db.run(f"ALTER TABLE {fresh} ADD PRIMARY KEY ({self._key(merged)})")
        if merged.geometry:
            db.run(f"CREATE INDEX ON {fresh} USING gist ({_quoted(merged.geometry)})")
        self._note_partition_columns(merged, fresh)
        db.run(
            f"CREATE TRIGGER touched AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {fresh} FOR EACH STATEMENT "
            f"EXECUTE FUNCTION {self.schema}._touch({_text(self.name)})"
        )
        db.run(f"ANALYZE {fresh}")
        self.store._let_read(db, f"SELECT ON {fresh}")
        db.run(f"DROP TABLE IF EXISTS {self.table}")
        db.run(f"ALTER TABLE {fresh} RENAME TO {_quoted(self.name)}")
        for year, leaf in leaves.items():
            if by_year:
                db.run(f"ALTER TABLE {self.schema}.{_quoted(leaf)} RENAME TO {_quoted(self._leaf(year))}")

    def _into_what_is_there(self, merged: Collection) -> None:
        """Change the rows of the part, or of the whole, by their key."""
        db = self.db
        by_year = YEAR in merged.partition_by
        there = {row["leaf"] for row in db.rows(self._leaves_there())} if by_year else set()
        missing = {year: leaf for year, leaf in self._leaves(merged).items() if leaf not in there} if by_year else {}
        for leaf in missing.values():
            db.run(f"CREATE TABLE {self.schema}.{_quoted(leaf)} (LIKE {self.table})")
        aside = None
        empty = not missing and not self._has_rows()
        for values, batches in self._batches():
            year = self._year_of(values)
            if year in missing:
                db.ingest(missing[year], self.store.schema, batches)
            elif empty:
                db.ingest(self.name, self.store.schema, batches)
            else:
                if aside is None:
                    aside = "_incoming"
                    db.run(f"CREATE TEMP TABLE {aside} (LIKE {self.table}) ON COMMIT DROP")
                db.ingest(aside, None, batches)
        if aside or not empty:
            self._merge_rows(merged, aside, sorted(missing))
        for year, leaf in missing.items():
            self._finish_leaf(merged, leaf, year, self.table)
        if by_year:
            for leaf in {self._leaf(year) for year in self._years() or ()} & (there | set(missing.values())):
                db.run(f"ANALYZE {self.schema}.{_quoted(leaf)}")
        else:
            db.run(f"ANALYZE {self.table}")

    def _merge_rows(self, merged: Collection, aside: str | None, fresh_years: Sequence[Any]) -> None:
        db = self.db
        keys = self._key_names(merged)
        here = self._condition("t")
        if fresh_years:
            years = ", ".join(str(_literal(year)) for year in fresh_years)
            here = f"{here} AND t.{_quoted(YEAR)} NOT IN ({years})"
        if aside is None:
            db.run(f"DELETE FROM {self.table} t WHERE {here}")
            return
        db.run(f"CREATE INDEX ON {aside} ({', '.join(map(_quoted, keys))})")
        db.run(f"ANALYZE {aside}")
        same = " AND ".join(f"i.{_quoted(one)} = t.{_quoted(one)}" for one in keys)
        db.run(f"DELETE FROM {self.table} t WHERE {here} AND NOT EXISTS (SELECT FROM {aside} i WHERE {same})")
        names = [_quoted(column.name) for column in merged.columns]
        rest = [_quoted(column.name) for column in merged.columns if column.name not in keys]
        update = f"UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in rest)}" if rest else "NOTHING"
        where = f" WHERE ({', '.join(f't.{one}' for one in rest)}) IS DISTINCT FROM ({', '.join(f'excluded.{one}' for one in rest)})"
        db.run(
            f"INSERT INTO {self.table} AS t ({', '.join(names)}) SELECT {', '.join(names)} FROM {aside} "
            f"ON CONFLICT ({', '.join(map(_quoted, keys))}) DO {update}{where if rest else ''}"
        )

    def _batches(self) -> Iterator[tuple[Values, Iterator[pyarrow.RecordBatch]]]:
        """The rows of each partition, as COPY takes them."""
        import pyarrow

        types = {column.name: column.type for column in self.load.wanted.columns}
        schema = incoming_rows.arrow_schema(types).remove_metadata()
        for values, columns in self.load.rows.take():
            table = pyarrow.table(columns, schema=incoming_rows.arrow_schema(types))
            yield values, (_for_copy(batch, types, schema) for batch in table.to_batches(BATCH_ROWS))

    def _year_of(self, values: Values) -> Any:
        by = self.load.wanted.partition_by
        return values[by.index(YEAR)] if YEAR in by else None

    def _leaf(self, year: Any) -> str:
        return f"_{self.name}_{year}"

    def _leaves(self, merged: Collection, prefix: str = "") -> dict[Any, str]:
        place = merged.partition_by.index(YEAR)
        return {year: prefix + self._leaf(year) for year in sorted({values[place] for values in self.load.new})}

    def _leaves_there(self) -> str:
        return (
            "SELECT c.relname::text AS leaf FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            f"WHERE i.inhparent = {_text(self.table)}::regclass"
        )

    def _finish_leaf(self, merged: Collection, leaf: str, year: Any, parent: str) -> None:
        """Key and check of a new year, then it belongs to the table; readers do not wait meanwhile."""
        table = f"{self.schema}.{_quoted(leaf)}"
        self.db.run(f"ALTER TABLE {table} ADD PRIMARY KEY ({self._key(merged)})")
        self._note_partition_columns(merged, table)
        self.db.run(
            f"ALTER TABLE {table} ADD CONSTRAINT a_year CHECK ({_quoted(YEAR)} = {_literal(year)} AND {_quoted(YEAR)} IS NOT NULL)"
        )
        self.db.run(f"ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({_literal(year)})")
        self.db.run(f"ALTER TABLE {table} DROP CONSTRAINT a_year")
        self.store._let_read(self.db, f"SELECT ON {table}")

    def _note_partition_columns(self, merged: Collection, table: str) -> None:
        """So that one part of a year is found without reading the others: rows of a part lie together."""
        others = [_quoted(one) for one in merged.partition_by if one != YEAR]
        if others:
            self.db.run(f"CREATE INDEX ON {table} USING brin ({', '.join(others)})")

    def _key_names(self, merged: Collection) -> list[str]:
        """The key, and what the table is partitioned by: a primary key has to hold that."""
        return [*merged.key, *([YEAR] if YEAR in merged.partition_by and YEAR not in merged.key else [])]

    def _key(self, merged: Collection) -> str:
        return ", ".join(_quoted(one) for one in self._key_names(merged))

    def _columns(self, merged: Collection) -> str:
        return ", ".join(f"{_quoted(column.name)} {_SQL_TYPES[column.type]}" for column in merged.columns)

    def _condition(self, alias: str) -> str:
        part = self.load.part or {}
        return " AND ".join(f"{alias}.{_quoted(name)} = {_literal(value)}" for name, value in part.items()) or "true"

    def _has_rows(self) -> bool:
        return bool(self.db.rows(f"SELECT 1 AS yes FROM {self.table} t WHERE {self._condition('t')} LIMIT 1"))

    def _need_postgis(self) -> None:
        there = "SELECT 1 AS yes FROM pg_extension WHERE extname = 'postgis'"
        if not self.db.rows(there):
            self.db.lock("postgis is set up")  # two first loads at once
            self.db.run("CREATE EXTENSION IF NOT EXISTS postgis")

    def _sized(self, merged: Collection) -> Collection:
        """The bytes that each new part takes, by its share of the table's rows."""
        size = (
            self.db.rows(
                f"SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint AS bytes FROM pg_partition_tree({_text(self.table)})"
            )[0]["bytes"]
            or self.db.rows(f"SELECT pg_total_relation_size({_text(self.table)}) AS bytes")[0]["bytes"]
        )
        each = size / max(merged.rows, 1)
        new = {v: f._replace(bytes=round(f.rows * each)) for v, f in merged.parts.items() if v in self.load.new}
        return replace(merged, parts={**merged.parts, **new})

    def _note(self, before: Collection | None, merged: Collection, part: dict[str, Any] | None) -> None:
        """Write facts, parts and comments."""
        db = self.db
        facts = {
            "key": list(merged.key),
            "columns": [list(column) for column in merged.columns],
            "partition_by": list(merged.partition_by),
            "geometry": merged.geometry,
            "description": merged.description,
            "source": merged.source,
            "licence": merged.licence,
        }
        db.run(
            f"INSERT INTO {self.schema}._collections (name, facts, version, updated) VALUES ({_text(self.name)}, "
            f"{_text(json.dumps(facts))}::jsonb, 1, clock_timestamp()) ON CONFLICT (name) DO UPDATE SET facts = excluded.facts, "
            "version = _collections.version + 1, updated = clock_timestamp(), touched = false"
        )
        whole = part is None or before is None or self.touched
        if before is not None:
            for values in before.matching(None if whole else part):
                place = _part(before, values)
                db.run(f"DELETE FROM {self.schema}._parts WHERE name = {_text(self.name)} AND part = {place}")
        kept = merged.parts if whole else merged.matching(part)
        rows = [
            f"({_text(self.name)}, {_part(merged, values)}, {one.rows}, {one.bytes}, {_text(one.fingerprint)}, "
            f"{'true' if one.synthetic else 'false'})"
            for values, one in kept.items()
        ]
        if rows:
            db.run(
                f"INSERT INTO {self.schema}._parts (name, part, rows, bytes, fingerprint, synthetic) VALUES {', '.join(rows)} "
                "ON CONFLICT (name, part) DO UPDATE SET rows = excluded.rows, bytes = excluded.bytes, "
                "fingerprint = excluded.fingerprint, synthetic = excluded.synthetic"
            )
        if before is None or before.columns != merged.columns or before.description != merged.description:
            db.run(f"COMMENT ON TABLE {self.table} IS {_text(_comment('', merged.description))}")
            for column in merged.columns:
                said = _comment(column.unit, column.meaning)
                db.run(f"COMMENT ON COLUMN {self.table}.{_quoted(column.name)} IS {_text(said) if said else 'NULL'}")


_open: dict[str, Any] = {}  # by address: a connection of this process for `holds`
_open_one_at_a_time = Lock()


@atexit.register
def _close() -> None:
    """Before the driver's own module is gone."""
    while _open:
        with suppress(Exception):
            _open.popitem()[1].close()


def _asked(uri: str, sql: str) -> list[dict[str, Any]]:
    """The answer to a quick question; nothing where it cannot be had."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    with _open_one_at_a_time:
        for _ in range(2):  # the server may have closed a connection since
            fresh = uri not in _open
            try:
                if fresh:
                    _open[uri] = dbapi.connect(uri, autocommit=True)
                return _Database(_open[uri]).rows(sql)
            except Error:
                connection = _open.pop(uri, None)
                if connection is not None:
                    with suppress(Error):
                        connection.close()
                if fresh:
                    break
    return []


def _part(collection: Collection, values: Values) -> str:
    """The values of a part as SQL: `{"model": "CCSM4", "year": 2005}`."""
    return _text(json.dumps(dict(zip(collection.partition_by, values, strict=True)))) + "::jsonb"


def _comment(unit: str, meaning: str) -> str:
    """`K: daily mean of the air temperature`."""
    return f"{unit}: {meaning}" if unit and meaning else unit or meaning


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A text as SQL; a backslash is itself."""
    return "'" + value.replace("'", "''") + "'"


def _literal(value: Any) -> str:
    return _text(value) if isinstance(value, str) else str(value)


def _check_only_reads(sql: str) -> None:
    """The database itself allows one statement that reads; this says so in our words."""
    text = re.sub(r"(--[^\n]*\n|/\*.*?\*/|\s|\()*", "", sql, count=1, flags=re.DOTALL).lower()
    if not text.startswith(("select", "with", "values", "table", "explain", "show")):
        raise EtlError(
            f"a query reads, and this one begins with `{text.split()[0].upper() if text else ''}`",
            hint="begin with SELECT; data come into the store through the tasks, and out of it with `invoke store.export`",
        )


def _for_copy(batch: pyarrow.RecordBatch, types: Mapping[str, str], schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    """As COPY wants it: geometry with its reference system."""
    import numpy
    import pyarrow
    import shapely

    arrays = []
    for name, array in zip(types, batch.columns, strict=True):
        if types[name] == "geometry":
            shapes = shapely.set_srid(shapely.from_wkb(numpy.array(array.to_pylist(), dtype=object)), SRID)
            array = pyarrow.array(shapely.to_wkb(shapes, byte_order=1, include_srid=True), pyarrow.binary())
        arrays.append(array)
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _type_name(field: pyarrow.Field) -> str:
    """What PostgreSQL calls the type of a column of an answer."""
    return str((field.metadata or {}).get(b"POSTGRESQL:type", b"").decode())


def _plain_schema(answer: pyarrow.Schema) -> pyarrow.Schema:
    """Types that every reader of Arrow knows: `numeric` is a double, what has no type in Arrow is text."""
    import pyarrow

    def plain(field: pyarrow.Field) -> pyarrow.Field:
        kind = field.type.storage_type if isinstance(field.type, pyarrow.BaseExtensionType) else field.type
        if _type_name(field) == "numeric":
            kind = pyarrow.float64()
        shape = {"encoding": "WKB", "crs": incoming_rows.GEOMETRY_CRS} if _type_name(field) == "geometry" else None
        return pyarrow.field(field.name, kind, metadata=shape)

    return pyarrow.schema([plain(field) for field in answer])


def _plain_batch(batch: pyarrow.RecordBatch, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    import numpy
    import pyarrow
    import shapely

    arrays = []
    for array, field in zip(batch.columns, schema, strict=True):
        if isinstance(array, pyarrow.ExtensionArray):
            array = array.storage
        if (field.metadata or {}).get(b"encoding") == b"WKB":
            shapes = shapely.from_wkb(numpy.array(array.to_pylist(), dtype=object))
            array = pyarrow.array(shapely.to_wkb(shapes, output_dimension=2, byte_order=1, flavor="iso"), pyarrow.binary())
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


_SAID = {  # by SQLSTATE, or its class: what is wrong, what to do
    "28": ("the database does not let this user in", "check the user, the password and the server's pg_hba.conf"),
    "3D": ("the database is not there", "create it first (`createdb`), and check the name in the address"),
    "42501": ("the database user may not do this", "let the owner of the schema grant it, or use the loading user's address"),
    "25006": ("a query reads, and this one would write", "data come into the store through the tasks"),
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


def _explained(error: Exception, store: PostGIS) -> EtlError:
    """What the database said, in our words and without secrets."""
    state = str(getattr(error, "sqlstate", "") or "")
    said = secrets.redact(str(error))
    state = state or (re.search(r"SQLSTATE:? (\w{5})", said) or ["", ""])[1]
    detail = " ".join(
        re.sub(r"^\w+: (Failed to \w+ \w+: |\[libpq\] )?|SQLSTATE: \w+|Query was:.*", "", said, flags=re.DOTALL).split()
    )
    where = f"{store.home}: {detail}"
    if state == "42P01":
        missing = re.search(r'relation "([^"]*)"', said)
        if missing:
            return no_collection(missing.group(1).rpartition(".")[2], store.names(), store.home)
    if state == "42703":
        return EtlError("the query names a column that is not there", where=where, hint=_SAID["42"][1])
    if state == "23505" and "_pkey" in said:
        return EtlError(
            "a key stands in the rows to load and in another part of the collection",
            where=where,
            hint="the key has to tell apart all rows of the collection: add the column that does",
        )
    for length in (5, 2):
        if state[:length] in _SAID and state:
            what, hint = _SAID[state[:length]]
            return EtlError(what, where=where, hint=hint)
    if not state:
        for sign, key in (("password", "28"), ("role ", "28"), ("pg_hba.conf", "28"), ("does not exist", "3D")):
            if sign in said and "connection" in said:
                return EtlError(_SAID[key][0], where=where, hint=_SAID[key][1])
        return EtlError(
            "the database cannot be reached",
            where=where,
            hint="check host and port in the address, and that the server runs; nothing was changed",
        )
    return EtlError("the database answered with an error", where=where)
