"""The step in which the rows of a candidate become live, and the step back; both in one transaction.

The live table stays the same table: rows that differ are changed in it, by their key. So views, foreign keys, grants and
policies of others go on as they are, readers wait for nothing, and who reads in REPEATABLE READ sees the rows of before to
the end of the transaction: PostgreSQL keeps row versions for each snapshot, but of tables only one state.

What it takes to go back stands in the schema `<schema>_previous`: of each collection the facts of before, and

    <collection>          the rows that were changed or went, as they were; all rows where the columns became others
    _added_<collection>   the keys of the rows that were added

A collection that was not there before comes as the candidate's own table, and goes to `_previous` where it is taken away.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from impl.store.interface import Collection, NotAsMeantError
from impl.store.postgis import catalogue, tables
from impl.store.postgis.sql import differ, key_of, names, quoted, same, text
from impl.store.postgis.write import note

if TYPE_CHECKING:
    from impl.store.postgis import PostGIS
    from impl.store.postgis.database import Database

KEPT = "kept"  # among the facts in `_previous`: what of the rows is there
CHANGED, ALL = "changed", "all"


class Exchange(NamedTuple):
    """Between the live store and what it had before, in the transaction of `db`."""

    db: Database
    live: PostGIS
    previous: PostGIS
    wait: float  # seconds for a table that others hold

    def take(self, name: str, candidate: PostGIS) -> None:
        """The rows of the candidate become those of the live collection; without a candidate it is taken away."""
        here, there = self.live._noted(self.db, name), candidate._noted(self.db, name)
        self._forget(self.previous, name)
        live = here.facts if here and here.there else None
        if there is None or not there.there:
            if live is not None:
                tables.refuse_dependents(self.db, self.live, name, "would go")
                self._keep_facts(live, ALL)
                self._move(name, self.live, self.previous)
            self._forget(self.live, name)
            return
        if live is None:
            self._forget(self.live, name)
            self._move(name, candidate, self.live)
            note(self.db, self.live, None, there.facts, None)
        else:
            self._become(live, there.facts, candidate)
            note(self.db, self.live, None, replace(there.facts, name=name), None)
            self._forget(candidate, name)
        self._check(there.facts, "the candidate was changed by others since it was built")

    def give_back(self, name: str) -> None:
        """The rows of before are live again; what was not there before goes."""
        here, before = self.live._noted(self.db, name), self.previous._noted(self.db, name)
        live = here.facts if here and here.there else None
        if before is None:
            if live is not None:
                tables.refuse_dependents(self.db, self.live, name, "would go")
            self._forget(self.live, name)
            return
        if live is None:
            self._forget(self.live, name)
            self._move(name, self.previous, self.live)
        elif self._kept(name) == CHANGED:
            self._undo(live, before.facts)
        else:
            self._become(live, before.facts, self.previous, keep=False)
        note(self.db, self.live, None, before.facts, None)
        self._forget(self.previous, name)
        self._check(before.facts, "what was kept of it was changed by others")

    def _become(self, live: Collection, wanted: Collection, of: PostGIS, keep: bool = True) -> None:
        """The live table has the rows of the table of the same name in the store `of`. keep: for a way back."""
        self.db.run("SET LOCAL etl.loading = 'yes'")
        if not tables.can_reshape(live, wanted):
            tables.refuse_dependents(self.db, self.live, live.name, "becomes another table, by year or no longer")
            if keep:
                self._keep_facts(live, ALL)
                self._move(live.name, self.live, self.previous)
            self._forget(self.live, live.name)
            self._move(live.name, of, self.live)
        elif not tables.is_shape(live, wanted) or not tables.has_key(self.db, self.live, live):
            self._all_rows(live, wanted, of, keep)
        else:
            self._by_key(live, wanted, of, keep)

    def _all_rows(self, live: Collection, wanted: Collection, of: PostGIS, keep: bool) -> None:
        """The table takes the columns and the key of `wanted`; its rows go, and those of `of` come."""
        db, (table, source, aside, _) = self.db, self._places(live.name, of)
        every = names(column.name for column in wanted.columns)
        db.lock_tables([(self.live.schema, live.name)], self.wait)
        if keep:
            self._keep_facts(live, ALL)
            db.run(f"CREATE TABLE {aside} AS TABLE {table}")
        tables.reshape(db, self.live, live, wanted)
        db.run(f"DELETE FROM {table}")
        tables.need_leaves(db, self.live, wanted)
        db.run(f"INSERT INTO {table} ({every}) SELECT {every} FROM {source}")
        tables.finish_key(db, self.live, wanted)
        db.run(f"ANALYZE {table}")

    def _by_key(self, live: Collection, wanted: Collection, of: PostGIS, keep: bool) -> None:
        """Only rows that differ are touched: `going` has those that change or go, as they are now, `coming` the keys of new ones."""
        db, keys, (table, source, aside, added) = self.db, key_of(wanted), self._places(live.name, of)
        rest = [column.name for column in wanted.columns if column.name not in keys]
        other = f" OR {differ(rest, 't', 's')}" if rest else ""
        tables.need_leaves(db, self.live, wanted)
        if keep:
            self._keep_facts(live, CHANGED)
        going, coming = (aside, added) if keep else (quoted(f"_going_{live.name}"), quoted(f"_coming_{live.name}"))
        kind, until = ("TABLE", "") if keep else ("TEMP TABLE", " ON COMMIT DROP")
        db.run(
            f"CREATE {kind} {going}{until} AS SELECT t.* FROM {table} t LEFT JOIN {source} s ON {same(keys, 's', 't')} "
            f"WHERE s.{quoted(keys[0])} IS NULL{other}"
        )
        db.run(
            f"CREATE {kind} {coming}{until} AS SELECT {names(keys)} FROM {source} s "
            f"WHERE NOT EXISTS (SELECT FROM {table} t WHERE {same(keys, 's', 't')})"
        )
        for one in (going, coming):
            db.run(f"ANALYZE {one}")
        db.run(
            f"DELETE FROM {table} t USING {going} p WHERE {same(keys, 'p', 't')} "
            f"AND NOT EXISTS (SELECT FROM {source} s WHERE {same(keys, 's', 'p')})"
        )
        if rest:
            sets = ", ".join(f"{quoted(one)} = s.{quoted(one)}" for one in rest)
            db.run(
                f"UPDATE {table} t SET {sets} FROM {going} p JOIN {source} s ON {same(keys, 's', 'p')} "
                f"WHERE {same(keys, 'p', 't')}"
            )
        every = [column.name for column in wanted.columns]
        chosen = ", ".join(f"s.{quoted(one)}" for one in every)
        db.run(
            f"INSERT INTO {table} ({names(every)}) SELECT {chosen} FROM {source} s JOIN {coming} n ON {same(keys, 'n', 's')}"
        )
        db.run(f"ANALYZE {table}")

    def _places(self, name: str, of: PostGIS) -> tuple[str, str, str, str]:
        """The live table, that of the store `of`, and what is kept of the live one: its rows, and the keys that came."""
        aside, added = (f"{self.previous._q}.{quoted(one)}" for one in (name, f"_added_{name}"))
        return f"{self.live._q}.{quoted(name)}", f"{of._q}.{quoted(name)}", aside, added

    def _undo(self, live: Collection, before: Collection) -> None:
        """Rows that were changed or went are as they were, rows that were added go."""
        db, keys, (table, _, aside, added) = self.db, key_of(live), self._places(live.name, self.previous)
        db.run("SET LOCAL etl.loading = 'yes'")
        tables.need_leaves(db, self.live, before)
        db.run(f"DELETE FROM {table} t USING {added} n WHERE {same(keys, 'n', 't')}")
        rest = [column.name for column in before.columns if column.name not in keys]
        if rest:
            sets = ", ".join(f"{quoted(one)} = p.{quoted(one)}" for one in rest)
            db.run(f"UPDATE {table} t SET {sets} FROM {aside} p WHERE {same(keys, 'p', 't')}")
        every = names(column.name for column in before.columns)
        db.run(
            f"INSERT INTO {table} ({every}) SELECT {every} FROM {aside} p "
            f"WHERE NOT EXISTS (SELECT FROM {table} t WHERE {same(keys, 'p', 't')})"
        )
        db.run(f"ANALYZE {table}")

    def _check(self, wanted: Collection, why: str) -> None:
        """The rows that are there now are those that the facts tell, or nothing of this is done."""
        found = self.live._recomputed(self.db, wanted)
        if found.fingerprint != wanted.fingerprint:
            raise NotAsMeantError(
                f"`{wanted.name}` would not be what was shown: {why}",
                where=f"{self.live.home}: {wanted.fingerprint[:12]} with {wanted.rows:,} rows was shown, "
                f"{found.fingerprint[:12]} with {found.rows:,} rows is there",
                hint="nothing was changed: `invoke promote.run` builds it again",
            )

    def _kept(self, name: str) -> str:
        found = self.db.rows(
            f"SELECT coalesce(facts ->> '{KEPT}', '{ALL}') AS kept FROM {self.previous._q}._collections WHERE name = {text(name)}"
        )
        return str(found[0]["kept"]) if found else ALL

    def _keep_facts(self, facts: Collection, kept: str) -> None:
        """The facts of what is live, beside what is kept of its rows."""
        one = text(facts.name)
        marked = f"facts || {text(json.dumps({KEPT: kept}))}::jsonb"
        self.db.run(
            f"INSERT INTO {self.previous._q}._collections (name, facts, version, updated, touched) "
            f"SELECT name, {marked}, version, updated, false FROM {self.live._q}._collections WHERE name = {one}"
        )
        self.db.run(f"INSERT INTO {self.previous._q}._parts SELECT * FROM {self.live._q}._parts WHERE name = {one}")

    def _forget(self, store: PostGIS, name: str) -> None:
        for table in (name, f"_added_{name}"):
            if catalogue.dependents(
                self.db, store.schema, table
            ):  # they follow a table that was moved here: it is not ours to end
                tables.put_aside(self.db, store, table)
            self.db.run(f"DROP TABLE IF EXISTS {store._q}.{quoted(table)}")
        self.db.run(f"DELETE FROM {store._q}._collections WHERE name = {text(name)}")

    def _move(self, name: str, here: PostGIS, there: PostGIS) -> None:
        """The table itself goes from one schema to the other; nobody has it while it does."""
        self.db.lock_tables([(here.schema, name)], self.wait)
        for one in [name, *sorted(catalogue.leaves(self.db, here.schema, name))]:
            self.db.run(f"ALTER TABLE {here._q}.{quoted(one)} SET SCHEMA {there._q}")
            there._let_read(self.db, f"SELECT ON {there._q}.{quoted(one)}")
            # it calls the function of the schema that the table came from
            self.db.run(f"DROP TRIGGER IF EXISTS {catalogue.TRIGGER} ON {there._q}.{quoted(one)}")
        self.db.run(f"DELETE FROM {here._q}._collections WHERE name = {text(name)}")
