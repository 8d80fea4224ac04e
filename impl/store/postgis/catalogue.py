"""What the catalogue of the database tells of a table: whether it is as our last commit left it, what hangs on it, who holds it.

Rows cannot be watched by looking at them, so each table and each of its years has a trigger that notes when somebody else
writes; it is set to fire always, in a session of replication too. What can be done to get past it (to switch it off, to
drop or detach a table, to change its columns) changes rows of the catalogue, and a digest of these is kept with the facts:
the `signature`. It holds the numbers of the tables, and the transactions that wrote the triggers, which VACUUM, CLUSTER,
ANALYZE, new indexes, policies and grants leave as they are.
"""

from __future__ import annotations

from typing import Any

from impl.store.interface import Collection
from impl.store.postgis.sql import TYPES, YEAR, leaf_of, quoted, text

TRIGGER = "touched"
OUR_TYPES = {sql: ours for ours, sql in TYPES.items()}


def regclass(schema: str, name: str) -> str:
    """The table as SQL, null where it is not there."""
    return f"to_regclass({text(f'{quoted(schema)}.{quoted(name)}')})"


def _tables(schema: str, name: str) -> str:
    """A query for the table and its years."""
    table = regclass(schema, name)
    return f"SELECT {table} AS oid UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = {table}"


def signature(schema: str, name: str) -> str:
    """An expression: the digest of columns and triggers; null where there is no table."""
    return f"""(WITH tables AS ({_tables(schema, name)}), lines AS (
        SELECT concat_ws(' ', attrelid::oid, attname, format_type(atttypid, atttypmod)) AS line FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM tables) AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT concat_ws(' ', tgrelid::oid, xmin, tgenabled) FROM pg_trigger
        WHERE tgrelid IN (SELECT oid FROM tables) AND tgname = '{TRIGGER}')
        SELECT md5(string_agg(line, chr(10) ORDER BY line)) FROM lines)"""


def columns(db: Any, schema: str, name: str) -> dict[str, str]:
    """The columns of a table with our words for their types; a type that is none of ours as the database says it."""
    found = db.rows(
        "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        f"WHERE attrelid = {regclass(schema, name)} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return {row["name"]: OUR_TYPES.get(row["type"], row["type"]) for row in found}


def leaves(db: Any, schema: str, name: str) -> set[str]:
    """The tables of the years of a table."""
    found = db.rows(
        "SELECT c.relname::text AS leaf FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        f"WHERE i.inhparent = {regclass(schema, name)}"
    )
    return {row["leaf"] for row in found}


def unwatched(db: Any, schema: str, name: str) -> dict[str, bool]:
    """The table and its years without our trigger, or (True) with one that was switched off."""
    found = db.rows(
        f"WITH tables AS ({_tables(schema, name)}) SELECT c.relname::text AS name, t.oid IS NOT NULL AS off FROM tables "
        f"JOIN pg_class c USING (oid) LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = '{TRIGGER}' "
        "WHERE t.tgenabled IS DISTINCT FROM 'A'"
    )
    return {row["name"]: row["off"] for row in found}


def changed(db: Any, schema: str, noted: Collection) -> str:
    """What of a table is not as the catalogue had it, in words; empty where that cannot be told."""
    there = columns(db, schema, noted.name)
    if not there:
        return "the table is gone"
    for column in noted.columns:
        if column.name not in there:
            return f"the column `{column.name}` is gone"
        if there[column.name] != column.type:
            return f"the column `{column.name}` is {there[column.name]}, was {column.type}"
    if YEAR in noted.partition_by:
        place, attached = noted.partition_by.index(YEAR), leaves(db, schema, noted.name)
        for year in sorted({values[place] for values, part in noted.parts.items() if part.rows}):
            if leaf_of(noted.name, year) not in attached:
                return f"the rows of {year} are gone: `{leaf_of(noted.name, year)}` is no longer a part of the table"
    off = unwatched(db, schema, noted.name)
    return f"the trigger `{TRIGGER}` of `{next(iter(off))}` is off or gone, so that changes of rows go unseen" if off else ""


def dependents(db: Any, schema: str, name: str, column: str = "") -> list[str]:
    """What others made that hangs on a table, or on one column of it: views, materialized views, foreign keys."""
    table = regclass(schema, name)
    only = f"AND d.refobjsubid = (SELECT attnum FROM pg_attribute WHERE attrelid = {table} AND attname = {text(column)})"
    found = db.rows(
        f"""SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass AS what
        FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_class v ON v.oid = r.ev_class
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = {table} AND v.oid <> d.refobjid {only if column else ""}
        UNION SELECT 'foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass FROM pg_constraint
        WHERE contype = 'f' AND confrelid = {table} AND conparentid = 0
        {
            f"AND (SELECT attnum FROM pg_attribute WHERE attrelid = {table} AND attname = {text(column)}) = ANY (confkey)"
            if column
            else ""
        } ORDER BY 1"""
    )
    return [row["what"] for row in found]


def holders(db: Any, tables: list[tuple[str, str]], lock: str = "") -> list[str]:
    """The sessions that hold locks on tables (schema, name), or the advisory lock of this name, for people."""
    found = db.rows(
        f"""SELECT DISTINCT a.pid, concat_ws(', ', 'pid ' || a.pid, a.usename, nullif(a.application_name, ''),
        coalesce(host(a.client_addr), 'this host'), a.state || ' for ' || extract(epoch from now() - a.xact_start)::int || ' s')
        || ': ' || left(regexp_replace(a.query, '\\s+', ' ', 'g'), 100) AS who
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.granted AND l.pid <> pg_backend_pid() AND (
            l.locktype = 'relation' AND l.relation IN (SELECT unnest(ARRAY[{", ".join(regclass(*one) for one in tables)}]::oid[]))
            OR l.locktype = 'advisory' AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended({text(lock)}, 0))
        ORDER BY 1"""
    )
    return [row["who"] for row in found]
