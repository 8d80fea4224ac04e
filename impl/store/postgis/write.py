"""One load: from rows in partitions to rows in a table, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.store import change
from impl.store import rows as incoming_rows
from impl.store.checks import Result
from impl.store.interface import Collection, Part, Values
from impl.store.postgis import catalogue, tables
from impl.store.postgis.arrow import for_copy
from impl.store.postgis.sql import YEAR, differ, key_of, leaf_of, literal, names, part_of, quoted, same, text

if TYPE_CHECKING:
    import pyarrow

    from impl.store.postgis import PostGIS
    from impl.store.postgis.database import Database

BATCH_ROWS = 65_536


class Write:
    """The load `load` in the transaction of `db`."""

    def __init__(self, store: PostGIS, db: Database, load: change.Load) -> None:
        self.store, self.db, self.load = store, db, load
        self.name = load.wanted.name
        self.table = f"{store._q}.{quoted(self.name)}"
        self.warnings: tuple[Result, ...] = ()

    def run(self) -> Part:
        db, load = self.db, self.load
        before = self._before()
        merged = change.merge(before, load.wanted, load.part, load.new)
        merged = replace(merged, parts={v: facts for v, facts in merged.parts.items() if v not in self.foreign})
        if before is not None and self.is_whole and change.same_rows(before, merged, load.part, load.new):
            if change.same_facts(before, merged) and not self.touched:
                return self._answer(before, changed=False)
            sizes = {values: facts.bytes for values, facts in before.parts.items()}
            merged = replace(merged, parts={v: facts._replace(bytes=sizes[v]) for v, facts in merged.parts.items()})
            note(db, self.store, before, merged, None if self.touched else load.part)
            db.commit()
            return self._answer(merged, changed=True)
        db.run("SET LOCAL etl.loading = 'yes'")
        if before is None or not tables.can_reshape(before, merged):
            self._into_new_table(before, merged)
        else:
            self._into_what_is_there(before, merged)
        merged = self._sized(merged)
        merged = replace(merged, version=(before.version if before else 0) + 1, updated=datetime.now(UTC))
        note(db, self.store, before, merged, None if self.touched else load.part)
        db.commit()
        return self._answer(merged, changed=True)

    def _answer(self, collection: Collection, changed: bool) -> Part:
        return change.answer(collection, self.load.part, changed)._replace(checks=(*self.load.checks, *self.warnings))

    def _before(self) -> Collection | None:
        """The facts as they are once nobody else writes the same rows; worked out anew where others changed them.

        Loads of different years go side by side. Whoever makes, mends or replaces the whole table is alone.
        """
        place, store, db = f"{self.store.schema}.{self.name}", self.store, self.db
        years = self._years() if self.load.part else None
        noted = store._noted(db, self.name)
        db.commit()  # facts are read again below, in the transaction that holds the locks
        alone = noted is None or not noted.signed or years is None or len(years) != 1
        db.lock(place, shared=not alone)
        if not alone and years:
            db.lock(f"{place} {years[0]}")
        noted = store._noted(db, self.name)
        if not alone and (noted is None or not noted.signed):
            raise EtlError(
                f"`{self.name}` was dropped or changed at the same time", where=store.home, hint="run the same command again"
            )
        self.foreign: set[Values] = set()
        self.touched = noted is not None and not noted.signed
        self.is_whole = True
        if noted is None or not noted.there:
            return None
        if noted.as_left:
            return noted.facts
        if {c.name: c.type for c in noted.facts.columns}.items() - catalogue.columns(db, store.schema, self.name).items():
            db.lock_tables([(store.schema, self.name)])
            tables.mend_columns(db, store, noted.facts)
            self.is_whole = False
        self.is_whole = self.is_whole and tables.has_key(db, store, noted.facts)
        found = store._recomputed(db, noted.facts)
        self.foreign = found.parts.keys() - noted.facts.parts.keys() - self.load.new.keys()
        self.is_whole = self.is_whole and not self.foreign
        self.warnings = change.by_others(noted.facts, found)
        return found

    def _years(self) -> list[Any] | None:
        """The years that the load is about; None where the collection is not by year."""
        wanted, part = self.load.wanted, self.load.part or {}
        if YEAR not in wanted.partition_by:
            return None
        if YEAR in part:
            return [part[YEAR]]
        return tables.years_of(replace(wanted, parts=self.load.new))

    def _into_new_table(self, before: Collection | None, merged: Collection) -> None:
        """A table of its own beside the old one, then in its place; the old one is gone in the same moment."""
        db, store = self.db, self.store
        if before is not None:
            tables.refuse_dependents(db, store, self.name, "becomes another table, by year or no longer")
        fresh = f"_new_{self.name}"
        db.run(f"DROP TABLE IF EXISTS {store._q}.{quoted(fresh)}")
        tables.make(db, store, fresh, merged)
        years = self._years()
        leaves = {None: fresh} if years is None else {year: leaf_of(fresh, year) for year in years}
        for leaf in leaves.values() if years is not None else ():
            tables.make_leaf(db, store, leaf, fresh)
        for values, batches in self._batches():
            db.ingest(leaves[self._year_of(values)], store.schema, batches)
        for year, leaf in leaves.items() if years is not None else ():
            tables.finish_leaf(db, store, leaf, year, fresh, merged)
        tables.finish(db, store, fresh, merged)
        db.run(f"DROP TABLE IF EXISTS {self.table}")
        db.run(f"ALTER TABLE {store._q}.{quoted(fresh)} RENAME TO {quoted(self.name)}")
        for year, leaf in leaves.items() if years is not None else ():
            tables.put_aside(db, store, leaf_of(self.name, year))
            db.run(f"ALTER TABLE {store._q}.{quoted(leaf)} RENAME TO {quoted(leaf_of(self.name, year))}")

    def _into_what_is_there(self, before: Collection, merged: Collection) -> None:
        """Change the rows of the part, or of the whole, by their key; the table stays the same one."""
        db, store = self.db, self.store
        rekey = not tables.has_key(db, store, before) if self.touched else False
        if not tables.is_shape(before, merged):
            db.lock_tables([(store.schema, self.name)])
            rekey = tables.reshape(db, store, before, merged) or rekey
        for values in self.foreign:
            here = " AND ".join(
                f"{quoted(n)} IS NOT DISTINCT FROM {literal(v)}" for n, v in zip(before.partition_by, values, strict=True)
            )
            db.run(f"DELETE FROM {self.table} WHERE {here}")
        if rekey:
            db.run(f"DELETE FROM {self.table} t WHERE {self._condition('t')}")
        there = catalogue.leaves(db, store.schema, self.name)
        missing = {year: leaf for year in self._years() or () if (leaf := leaf_of(self.name, year)) not in there}
        for leaf in missing.values():
            tables.make_leaf(db, store, leaf, self.name)
        aside = None
        empty = rekey or (not missing and not self._has_rows())
        for values, batches in self._batches():
            year = self._year_of(values)
            if year in missing:
                db.ingest(missing[year], store.schema, batches)
            elif empty:
                db.ingest(self.name, store.schema, batches)
            else:
                if aside is None:
                    aside = "_incoming"
                    db.run(f"CREATE TEMP TABLE {aside} (LIKE {self.table}) ON COMMIT DROP")
                db.ingest(aside, None, batches)
        if aside or not empty:
            self._merge_rows(merged, aside, sorted(missing))
        for year, leaf in missing.items():
            tables.finish_leaf(db, store, leaf, year, self.name, merged)
        if rekey:
            tables.finish_key(db, store, merged)
        for leaf in {leaf_of(self.name, year) for year in self._years() or ()} or {self.name}:
            db.run(f"ANALYZE {store._q}.{quoted(leaf)}")

    def _merge_rows(self, merged: Collection, aside: str | None, fresh_years: Sequence[Any]) -> None:
        db, keys = self.db, key_of(merged)
        here = self._condition("t")
        if fresh_years:
            here = f"{here} AND t.{quoted(YEAR)} NOT IN ({', '.join(str(literal(year)) for year in fresh_years)})"
        if aside is None:
            db.run(f"DELETE FROM {self.table} t WHERE {here}")
            return
        db.run(f"CREATE INDEX ON {aside} ({names(keys)})")
        db.run(f"ANALYZE {aside}")
        db.run(f"DELETE FROM {self.table} t WHERE {here} AND NOT EXISTS (SELECT FROM {aside} i WHERE {same(keys, 'i', 't')})")
        every = names(column.name for column in merged.columns)
        rest = [column.name for column in merged.columns if column.name not in keys]
        update = f"UPDATE SET {', '.join(f'{quoted(one)} = excluded.{quoted(one)}' for one in rest)}" if rest else "NOTHING"
        where = f" WHERE {differ(rest, 't', 'excluded')}" if rest else ""
        db.run(
            f"INSERT INTO {self.table} AS t ({every}) SELECT {every} FROM {aside} ON CONFLICT ({names(keys)}) DO {update}{where}"
        )

    def _batches(self) -> Iterator[tuple[Values, Iterator[pyarrow.RecordBatch]]]:
        """The rows of each partition, as COPY takes them."""
        import pyarrow

        types = {column.name: column.type for column in self.load.wanted.columns}
        schema = incoming_rows.arrow_schema(types).remove_metadata()
        for values, columns in self.load.rows.take():
            table = pyarrow.table(columns, schema=incoming_rows.arrow_schema(types))
            yield values, (for_copy(batch, types, schema) for batch in table.to_batches(BATCH_ROWS))

    def _year_of(self, values: Values) -> Any:
        by = self.load.wanted.partition_by
        return values[by.index(YEAR)] if YEAR in by else None

    def _condition(self, alias: str) -> str:
        part = self.load.part or {}
        return " AND ".join(f"{alias}.{quoted(name)} = {literal(value)}" for name, value in part.items()) or "true"

    def _has_rows(self) -> bool:
        return bool(self.db.rows(f"SELECT 1 AS yes FROM {self.table} t WHERE {self._condition('t')} LIMIT 1"))

    def _sized(self, merged: Collection) -> Collection:
        """The bytes that each new part takes, by its share of the table's rows."""
        size = (
            self.db.rows(
                f"SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint AS bytes FROM pg_partition_tree({text(self.table)})"
            )[0]["bytes"]
            or self.db.rows(f"SELECT pg_total_relation_size({text(self.table)}) AS bytes")[0]["bytes"]
        )
        each = size / max(merged.rows, 1)
        new = {v: f._replace(bytes=round(f.rows * each)) for v, f in merged.parts.items() if v in self.load.new}
        return replace(merged, parts={**merged.parts, **new})


def note(db: Database, store: PostGIS, before: Collection | None, after: Collection, part: dict[str, Any] | None) -> None:
    """Write facts, parts and comments, and what the catalogue says of the table. part: the parts that changed; None for all."""
    tables.watch(db, store, after.name)
    facts = {
        "key": list(after.key),
        "columns": [list(column) for column in after.columns],
        "partition_by": list(after.partition_by),
        "geometry": after.geometry,
        "description": after.description,
        "source": after.source,
        "licence": after.licence,
    }
    db.run(
        f"INSERT INTO {store._q}._collections (name, facts, version, updated) VALUES ({text(after.name)}, "
        f"{text(json.dumps(facts))}::jsonb, 1, clock_timestamp()) ON CONFLICT (name) DO UPDATE SET facts = excluded.facts, "
        "version = _collections.version + 1, updated = clock_timestamp(), touched = false"
    )
    place = f"{store._q}._parts"
    if before is None or part is None:
        db.run(f"DELETE FROM {place} WHERE name = {text(after.name)}")
    else:
        for values in before.matching(part):
            db.run(f"DELETE FROM {place} WHERE name = {text(after.name)} AND part = {part_of(before, values)}")
    kept = after.matching(None if before is None else part)
    rows = [
        f"({text(after.name)}, {part_of(after, values)}, {one.rows}, {one.bytes}, {text(one.fingerprint)}, "
        f"{'true' if one.synthetic else 'false'})"
        for values, one in kept.items()
    ]
    if rows:
        db.run(
            f"INSERT INTO {place} (name, part, rows, bytes, fingerprint, synthetic) VALUES {', '.join(rows)} "
            "ON CONFLICT (name, part) DO UPDATE SET rows = excluded.rows, bytes = excluded.bytes, "
            "fingerprint = excluded.fingerprint, synthetic = excluded.synthetic"
        )
    if before is None or before.columns != after.columns or before.description != after.description:
        tables.describe(db, store, after)
    # Last, and in a statement of its own: it sees the years that others have added while we waited for this row.
    db.run(
        f"UPDATE {store._q}._collections SET signature = {catalogue.signature(store.schema, after.name)} "
        f"WHERE name = {text(after.name)}"
    )
