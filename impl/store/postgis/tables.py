"""Tables of collections: made, given years, watched, and brought to another shape where they stand.

A table that is there stays the same table for the database, whatever is loaded into it: views, grants, foreign keys and
policies of others hang on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.store.interface import Collection
from impl.store.postgis import catalogue
from impl.store.postgis.sql import TYPES, YEAR, comment, key_of, leaf_of, literal, names, quoted, text

if TYPE_CHECKING:
    from impl.store.postgis import PostGIS
    from impl.store.postgis.database import Database


def make(db: Database, store: PostGIS, table: str, collection: Collection) -> None:
    """An empty table; key and index come when the rows are in (`finish`)."""
    if collection.geometry:
        _need_postgis(db)
    columns = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in collection.columns)
    by_year = f" PARTITION BY LIST ({YEAR})" if YEAR in collection.partition_by else ""
    db.run(f"CREATE TABLE {store._q}.{quoted(table)} ({columns}){by_year}")


def finish(db: Database, store: PostGIS, table: str, collection: Collection) -> None:
    """Key, indexes, statistics and the right to read of a table that has its rows."""
    place = f"{store._q}.{quoted(table)}"
    db.run(f"ALTER TABLE {place} ADD PRIMARY KEY ({names(key_of(collection))})")
    if collection.geometry:
        db.run(f"CREATE INDEX ON {place} USING gist ({quoted(collection.geometry)})")
    _note_partition_columns(db, collection, place)
    db.run(f"ANALYZE {place}")
    store._let_read(db, f"SELECT ON {place}")


def make_leaf(db: Database, store: PostGIS, leaf: str, like: str) -> None:
    """A table for a year, not yet a part of the whole."""
    put_aside(db, store, leaf)
    db.run(f"CREATE TABLE {store._q}.{quoted(leaf)} (LIKE {store._q}.{quoted(like)})")


def put_aside(db: Database, store: PostGIS, leaf: str) -> None:
    """A table that somebody detached has the name that a year needs: it keeps its rows, under another name."""
    number = db.rows(f"SELECT {catalogue.regclass(store.schema, leaf)}::oid::text AS oid")[0]["oid"]
    if number is not None:
        db.run(f"ALTER TABLE {store._q}.{quoted(leaf)} RENAME TO {quoted(f'{leaf}_detached_{number}')}")


def finish_leaf(db: Database, store: PostGIS, leaf: str, year: Any, parent: str, collection: Collection) -> None:
    """Key and check of a new year, then it belongs to the table; readers do not wait meanwhile."""
    table = f"{store._q}.{quoted(leaf)}"
    db.run(f"ALTER TABLE {table} ADD PRIMARY KEY ({names(key_of(collection))})")
    _note_partition_columns(db, collection, table)
    db.run(f"ALTER TABLE {table} ADD CONSTRAINT a_year CHECK ({quoted(YEAR)} = {literal(year)} AND {quoted(YEAR)} IS NOT NULL)")
    db.run(f"ALTER TABLE {store._q}.{quoted(parent)} ATTACH PARTITION {table} FOR VALUES IN ({literal(year)})")
    db.run(f"ALTER TABLE {table} DROP CONSTRAINT a_year")
    store._let_read(db, f"SELECT ON {table}")


def years_of(collection: Collection) -> list[Any]:
    """The years of the parts, in order; none where it is not by year."""
    if YEAR not in collection.partition_by:
        return []
    place = collection.partition_by.index(YEAR)
    return sorted({values[place] for values in collection.parts})


def need_leaves(db: Database, store: PostGIS, collection: Collection) -> None:
    """A table for each year that has none yet."""
    there = catalogue.leaves(db, store.schema, collection.name)
    for year in years_of(collection):
        leaf = leaf_of(collection.name, year)
        if leaf not in there:
            make_leaf(db, store, leaf, collection.name)
            finish_leaf(db, store, leaf, year, collection.name, collection)


def watch(db: Database, store: PostGIS, name: str) -> None:
    """The trigger that tells changes of others, on the table and on each year, whatever they do."""
    for table, off in catalogue.unwatched(db, store.schema, name).items():
        place = f"{store._q}.{quoted(table)}"
        if not off:
            db.run(
                f"CREATE TRIGGER {catalogue.TRIGGER} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {place} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {store._q}._touch({text(name)})"
            )
        db.run(f"ALTER TABLE {place} ENABLE ALWAYS TRIGGER {catalogue.TRIGGER}")


def describe(db: Database, store: PostGIS, collection: Collection) -> None:
    """What is said of the table and its columns, as comments."""
    table = f"{store._q}.{quoted(collection.name)}"
    db.run(f"COMMENT ON TABLE {table} IS {text(comment('', collection.description))}")
    for column in collection.columns:
        said = comment(column.unit, column.meaning)
        db.run(f"COMMENT ON COLUMN {table}.{quoted(column.name)} IS {text(said) if said else 'NULL'}")


def can_reshape(before: Collection, after: Collection) -> bool:
    """Whether a table can become another where it stands: not from by-year to whole, nor with years of another type."""
    types = [{column.name: column.type for column in one.columns} for one in (before, after)]
    by_year = [YEAR in one.partition_by for one in (before, after)]
    return by_year[0] == by_year[1] and (not by_year[0] or types[0][YEAR] == types[1][YEAR])


def is_shape(before: Collection, after: Collection) -> bool:
    """Whether the table of one is already that of the other."""
    columns = [sorted(column[:2] for column in one.columns) for one in (before, after)]
    return columns[0] == columns[1] and key_of(before) == key_of(after) and before.geometry == after.geometry


def reshape(db: Database, store: PostGIS, before: Collection, after: Collection) -> bool:
    """Give a table the columns of `after`; whether its key went with them: then all rows go, and `finish_key` comes last.

    Columns keep their place, new ones come last. What others made on a column that goes is named, and nothing changes.
    """
    table = f"{store._q}.{quoted(before.name)}"
    old, new = ({column.name: column.type for column in one.columns} for one in (before, after))
    there = catalogue.columns(db, store.schema, before.name)
    gone = [name for name in old if name in there and new.get(name) != old[name]]
    for name in gone:
        refuse_dependents(db, store, before.name, "goes" if name not in new else f"becomes {new[name]}", name)
    rekey = key_of(before) != key_of(after) or bool(set(gone) & set(key_of(before)))
    if rekey:
        _drop_key(db, store, before)
    if after.geometry:
        _need_postgis(db)
    for name in gone:
        db.run(f"ALTER TABLE {table} DROP COLUMN {quoted(name)}")
    for name, kind in new.items():
        if name in gone or name not in there:
            db.run(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {TYPES[kind]}")
    if after.geometry and (after.geometry != before.geometry or after.geometry in gone):
        db.run(f"CREATE INDEX ON {table} USING gist ({quoted(after.geometry)})")
    return rekey


def mend_columns(db: Database, store: PostGIS, noted: Collection) -> None:
    """Columns that others dropped, or gave another type, are there again; empty, until the load that comes."""
    there = catalogue.columns(db, store.schema, noted.name)
    table = f"{store._q}.{quoted(noted.name)}"
    for column in noted.columns:
        if column.name in there and there[column.name] != column.type:
            refuse_dependents(db, store, noted.name, f"becomes {column.type} again", column.name)
            db.run(f"ALTER TABLE {table} DROP COLUMN {quoted(column.name)}")
        if there.get(column.name) != column.type:
            db.run(f"ALTER TABLE {table} ADD COLUMN {quoted(column.name)} {TYPES[column.type]}")


def has_key(db: Database, store: PostGIS, collection: Collection) -> bool:
    """Whether rows can be told apart by the key: others may have dropped it, or a column of it."""
    found = db.rows(
        "SELECT array_agg(a.attname::text ORDER BY a.attname) AS names FROM pg_constraint c "
        "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey) "
        f"WHERE c.contype = 'p' AND c.conrelid = {catalogue.regclass(store.schema, collection.name)}"
    )
    return bool(found[0]["names"]) and sorted(found[0]["names"]) == sorted(key_of(collection))


def finish_key(db: Database, store: PostGIS, collection: Collection) -> None:
    _drop_key(db, store, collection)
    db.run(f"ALTER TABLE {store._q}.{quoted(collection.name)} ADD PRIMARY KEY ({names(key_of(collection))})")


def refuse_dependents(db: Database, store: PostGIS, name: str, why: str, column: str = "") -> None:
    """An `EtlError` that names what others made on a table, or on one column of it, where there is something."""
    found = catalogue.dependents(db, store.schema, name, column)
    if found:
        raise EtlError(
            f"{f'the column `{column}` of ' if column else ''}`{name}` {why}, and others hang on it",
            where=f"{store.home}: {', '.join(found)}",
            hint="drop these first, or have their owners change them; then run the same command again: nothing was changed",
        )


def _drop_key(db: Database, store: PostGIS, collection: Collection) -> None:
    table = catalogue.regclass(store.schema, collection.name)
    for row in db.rows(f"SELECT conname::text AS name FROM pg_constraint WHERE contype = 'p' AND conrelid = {table}"):
        db.run(f"ALTER TABLE {store._q}.{quoted(collection.name)} DROP CONSTRAINT {quoted(row['name'])}")


def _note_partition_columns(db: Database, collection: Collection, table: str) -> None:
    """So that one part of a year is found without reading the others: rows of a part lie together."""
    others: Sequence[str] = [one for one in collection.partition_by if one != YEAR]
    if others:
        db.run(f"CREATE INDEX ON {table} USING brin ({names(others)})")


def _need_postgis(db: Database) -> None:
    there = "SELECT 1 AS yes FROM pg_extension WHERE extname = 'postgis'"
    if not db.rows(there):
        db.lock("postgis is set up")  # two first loads at once
        db.knows_too_little = True
        db.run("CREATE EXTENSION IF NOT EXISTS postgis SCHEMA public")  # where every user and every schema finds it
