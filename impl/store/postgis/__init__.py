"""The served home: a schema of a PostgreSQL database with PostGIS, one table per collection.

    postgresql://user@host/database                   the schema is `etl`
    postgresql://user:${DB_PASSWORD}@host/database?schema=climate

    <schema>.<collection>       the rows; primary key, comments with units, a GiST index where there is a geometry.
                                Collections with a partition column `year` are partitioned by it
    <schema>._collections       the facts of each collection
    <schema>._parts             rows, bytes and fingerprint of each of its parts

A load is one transaction: rows and facts change together or not at all, and readers see the rows of before until it
ends. Rows come by COPY; what is there already is changed by key, and unchanged rows are not touched; a table stays the same
one, with all that others made on it (tables.py). When somebody else changes rows or tables (catalogue.py), the facts are
computed again from the rows. `<schema>_reader` is a role that may read. exchange.py makes a candidate live.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from impl.run import secrets
from impl.run.errors import EtlError
from impl.run.objects import options_of, query_of
from impl.store import change, fingerprint
from impl.store import rows as incoming_rows
from impl.store.interface import (
    Collection,
    Column,
    Part,
    PartFacts,
    Values,
    check_name,
    describe_part,
    no_collection,
)
from impl.store.partitions import scratch_for
from impl.store.postgis import catalogue
from impl.store.postgis.arrow import plain_batch, plain_schema
from impl.store.postgis.database import LOCK_SECONDS, Database, check_only_reads, connected, said
from impl.store.postgis.exchange import Exchange
from impl.store.postgis.sql import names as as_sql
from impl.store.postgis.sql import quoted, text
from impl.store.postgis.write import Write

if TYPE_CHECKING:
    import pyarrow

    from impl.store.checks import Check

SCHEMA = "etl"
SERVER_ROLES = ("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program")

_SET_UP = (
    "CREATE SCHEMA IF NOT EXISTS {schema}",
    """CREATE TABLE IF NOT EXISTS {schema}._collections (
        name text PRIMARY KEY, facts jsonb NOT NULL, version bigint NOT NULL, updated timestamptz NOT NULL,
        touched boolean NOT NULL DEFAULT false, signature text)""",
    "ALTER TABLE {schema}._collections ADD COLUMN IF NOT EXISTS signature text",
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


class Noted(NamedTuple):
    """What our last commit wrote of a collection, and how the table stands to it."""

    facts: Collection
    there: bool  # the table is
    as_left: bool  # as far as is known: a store of an earlier version has no signatures
    signed: bool


class PostGIS:
    """A store in a schema of a database. Holds the address; each call has a connection to itself."""

    def __init__(self, home: str) -> None:
        self.home = secrets.redact(home)
        self.address = home
        parts = urlsplit(home)
        options = options_of(parts.query)
        self.schema = options.pop("schema", SCHEMA)
        check_name(self.schema)
        options = {"connect_timeout": "10", "application_name": "sustain-etl", **options}
        self._uri = urlunsplit(parts._replace(scheme="postgresql", query=query_of(options)))
        self._use(self.schema)

    def _use(self, schema: str) -> None:
        self.schema, self._q, self._reader = schema, quoted(schema), f"{schema}_reader"

    # what is there

    def names(self) -> list[str]:
        with self._connected() as db:
            if not db.is_set_up(self.schema):
                return []
            there = f"to_regclass(format('%I.%I', {text(self.schema)}, name)) IS NOT NULL"
            return [row["name"] for row in db.rows(f"SELECT name FROM {self._q}._collections WHERE {there} ORDER BY name")]

    def facts(self, name: str) -> Collection:
        with self._connected() as db:
            found = self._facts(db, name)
        if found is None:
            raise no_collection(name, self.names(), self.home)
        return found

    def holds(self, name: str, part: Mapping[str, Any] | None, fingerprint: str) -> bool:
        """One question: a run asks it for each of thousands of parts."""
        from impl.store.fingerprint import add

        question = (
            f"SELECT p.fingerprint FROM {self._q}._collections c JOIN {self._q}._parts p USING (name) "
            f"WHERE name = {text(name)} AND NOT touched AND signature = {catalogue.signature(self.schema, name)} "
            f"AND part @> {text(json.dumps(dict(part or {})))}::jsonb"
        )
        try:
            with self._connected() as db:
                found = db.rows(question)
        except EtlError:
            return False
        return bool(found) and add(row["fingerprint"] for row in found) == fingerprint

    def lost(self, name: str) -> str | None:
        """What the catalogue tells that others changed; None where the table is as our last commit left it."""
        with self._connected() as db:
            noted = self._noted(db, name)
            if noted is None or noted.as_left:
                return None
            return catalogue.changed(db, self.schema, noted.facts) or "others changed its rows, or made the table anew"

    def verify(self, name: str, deep: bool) -> list[str]:
        """All that is wrong; deep: the fingerprint of each part is computed again from its rows."""
        wrong = self.lost(name)
        with self._connected() as db:
            noted = self._noted(db, name)
            if noted is None:
                raise no_collection(name, self.names(), self.home)
            if not noted.there or not deep:
                return [wrong] if wrong else []
            found, facts = self._recomputed(db, noted.facts), noted.facts
        differing = [
            f"{describe_part(dict(zip(facts.partition_by, values, strict=True))) or 'the rows'}: "
            f"{was.rows if was else 0:,} rows {was.fingerprint[:12] if was else ''} were left, "
            f"{now.rows if now else 0:,} rows {now.fingerprint[:12] if now else ''} are there"
            for values in sorted(facts.parts.keys() | found.parts.keys())
            if ((was := facts.parts.get(values)) and was.rows and was.fingerprint)
            != ((now := found.parts.get(values)) and now.rows and now.fingerprint)
        ]
        return [*([wrong] if wrong else []), *differing]

    def identity(self) -> str:
        """This schema in this database of this run of the server: names of hosts and users may differ."""
        with self._connected() as db:
            found = db.rows(
                "SELECT concat_ws(' ', pg_postmaster_start_time()::text, (SELECT oid FROM pg_database "
                "WHERE datname = current_database())) AS place"
            )
        return f"{found[0]['place']} {self.schema}"

    def dependents(self, name: str) -> list[str]:
        """What others made that hangs on the table: views, materialized views, foreign keys."""
        with self._connected() as db:
            return catalogue.dependents(db, self.schema, name)

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
        with self._connected() as db:
            _refuse_superuser(db, self)
        # What fails while rows are on their way comes here as an error of Arrow.
        with said(self):
            return self._stream(sql.strip().removesuffix(";"), None).read_all()

    def _stream(self, sql: str, types: dict[str, str] | None) -> pyarrow.RecordBatchReader:
        import pyarrow

        check_only_reads(sql)
        with ExitStack() as stack:
            # what somebody else's query does to a session (a lock, say) ends with it
            db = stack.enter_context(self._connected(of_its_own=types is None))
            reader = db.read(sql, self.schema, self._reader)
            schema = incoming_rows.arrow_schema(types) if types else plain_schema(reader.schema)
            open_still = stack.pop_all()

        def batches() -> Iterator[pyarrow.RecordBatch]:
            with open_still:
                for batch in reader:
                    yield plain_batch(batch, schema)

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
            noted = self._noted(db, name)
        before = noted.facts if noted and noted.there else None  # what others did to it since is replaced
        with change.gather(name, rows, before, self, scratch_for(name), may_be_empty=may_be_empty, **settings) as load:
            with self._connected() as db:
                self._set_up(db)
                return Write(self, db, load).run()

    def drop(self, name: str) -> None:
        check_name(name)
        with self._connected() as db:
            if not db.is_set_up(self.schema):
                return
            db.lock(f"{self.schema}.{name}")
            db.run(f"DROP TABLE IF EXISTS {self._q}.{quoted(name)}")
            db.run(f"DELETE FROM {self._q}._collections WHERE name = {text(name)}")
            db.commit()

    def tidy(self) -> int:
        """Nothing is left by killed writers, and PostgreSQL itself frees the room of old rows."""
        return 0

    def take_over(self, candidate: PostGIS, names: Sequence[str], wait: float = LOCK_SECONDS) -> None:
        """The rows of `candidate` become those of this schema, in one transaction; a name that it lacks is taken away."""
        with self._exchange(names, wait, candidate) as exchange:
            for name in names:
                exchange.take(name, candidate)

    def give_back(self, names: Sequence[str], wait: float = LOCK_SECONDS) -> None:
        """What the last `take_over` did to these, undone."""
        with self._exchange(names, wait) as exchange:
            for name in names:
                exchange.give_back(name)

    def kept(self, names: Sequence[str]) -> dict[str, Collection | None]:
        """The facts of what `give_back` would bring back."""
        previous = self._previous()
        with self._connected() as db:
            noted = {name: previous._noted(db, name) for name in names}
        return {name: one.facts if one and one.there else None for name, one in noted.items()}

    def _previous(self) -> PostGIS:
        other = PostGIS(self.address)
        other._use(f"{self.schema}_previous")
        return other

    @contextmanager
    def _exchange(self, names: Sequence[str], wait: float, *others: PostGIS) -> Iterator[Exchange]:
        previous = self._previous()
        with self._connected() as db:
            for one in (self, previous, *others):
                one._set_up(db)
            for name in names:
                db.lock(f"{self.schema}.{name}", wait=wait)
            yield Exchange(db, self, previous, wait)
            db.commit()

    def _set_up(self, db: Database) -> None:
        if db.is_set_up(self.schema, "signature"):
            return
        db.lock(f"{self.schema} is set up")
        for statement in _SET_UP:
            db.run(statement.format(schema=self._q))
        db.run(_READER.format(name=text(self._reader), role=quoted(self._reader)))
        self._let_read(db, f"USAGE ON SCHEMA {self._q}")
        self._let_read(db, f"SELECT ON {self._q}._collections, {self._q}._parts")
        db.commit()

    def _let_read(self, db: Database, what: str) -> None:
        """Grant to the reading role, where it could be made."""
        db.run(
            f"""DO $$ BEGIN
                IF EXISTS (SELECT FROM pg_roles WHERE rolname = {text(self._reader)}) THEN
                    GRANT {what} TO {quoted(self._reader)};
                END IF;
            END $$"""
        )

    # facts

    def _facts(self, db: Database, name: str) -> Collection | None:
        noted = self._noted(db, name)
        if noted is None or not noted.there:
            return None
        return noted.facts if noted.as_left else self._recomputed(db, noted.facts)

    def _noted(self, db: Database, name: str) -> Noted | None:
        if not db.is_set_up(self.schema):
            return None
        found = db.rows(
            f"SELECT facts::text, version, updated, touched, {catalogue.regclass(self.schema, name)} IS NOT NULL AS there, "
            f"to_jsonb(c) ->> 'signature' AS noted, {catalogue.signature(self.schema, name)} AS signature "
            f"FROM {self._q}._collections c WHERE name = {text(name)}"
        )
        if not found:
            return None
        stored = json.loads(found[0]["facts"])
        parts = db.rows(
            f"SELECT part::text, rows, bytes, fingerprint, synthetic FROM {self._q}._parts WHERE name = {text(name)}"
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
        one = found[0]
        signed = one["there"] and not one["touched"] and one["noted"] == one["signature"]
        unsigned = one["there"] and not one["touched"] and one["noted"] is None
        return Noted(collection, one["there"], signed or unsigned, signed)

    def _recomputed(self, db: Database, last: Collection) -> Collection:
        """The facts from the rows themselves, which somebody else changed; of columns that are no longer there, none."""
        from impl.store.partitions import split

        there = catalogue.columns(db, self.schema, last.name)
        columns = tuple(column for column in last.columns if there.get(column.name) == column.type)
        types = {column.name: column.type for column in columns}
        partition_by = tuple(one for one in last.partition_by if one in types)
        schema = incoming_rows.arrow_schema(types)
        sums, counts = dict[Values, int](), dict[Values, int]()
        for batch in db.stream(f"SELECT {as_sql(types)} FROM {self._q}.{quoted(last.name)}") if types else ():
            for values, _, piece in split(plain_batch(batch, schema), partition_by):
                sums[values] = sums.get(values, 0) + fingerprint.sum_of_rows(piece, list(types.items()))
                counts[values] = counts.get(values, 0) + piece.num_rows
        return replace(
            last,
            columns=columns,
            key=tuple(one for one in last.key if one in types),
            partition_by=partition_by,
            geometry=last.geometry if last.geometry in types else None,
            parts={
                values: PartFacts(
                    counts[values],
                    last.parts[values].bytes if values in last.parts else 0,
                    fingerprint.as_hex(sums[values]),
                    last.synthetic,
                )
                for values in sorted(counts)
            },
            version=last.version + 1,
        )

    @contextmanager
    def _connected(self, of_its_own: bool = False) -> Iterator[Database]:
        """A connection with a transaction begun; what is not committed is undone at the end."""
        try:
            import adbc_driver_postgresql  # noqa: F401
        except ImportError as error:
            raise EtlError(
                "what PostGIS needs is not installed", where=self.home, hint="pip install -e '.[servers]'"
            ) from error
        with said(self), connected(secrets.reveal(self._uri, where=self.home), of_its_own=of_its_own) as database:
            yield database


def _refuse_superuser(db: Database, store: PostGIS) -> None:
    """Who may read files of the server can do so in a SELECT; no role keeps them from it, since a query can leave it."""
    may = " OR ".join(f"pg_has_role(session_user, '{role}', 'MEMBER')" for role in SERVER_ROLES)
    if db.rows(f"SELECT rolsuper OR {may} AS may FROM pg_roles WHERE rolname = session_user")[0]["may"]:
        raise EtlError(
            "a query does not run as a user who may read files of the database server",
            where=store.home,
            hint="load as a user of its own, who owns the schema and is no superuser (docs/store.md, Roles), or ask as "
            f"another one: `ETL_STORE=postgresql://READER@.../...` with `GRANT {store._reader} TO READER`",
        )
