"""What a load would change in a collection, worked out the same way for every home.

`gather` takes the rows in, checks them and sorts them into partitions; the functions below say what the facts of the
collection will be and whether anything has to be written at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from impl.run import progress
from impl.run.errors import EtlError, unknown
from impl.store import checking, fingerprint
from impl.store import rows as incoming_rows
from impl.store.checks import Check, Result
from impl.store.interface import Collection, Column, Part, PartFacts, Store, Values, as_names, describe_part
from impl.store.partitions import FaultyKeysError, Partitions


@dataclass
class Load:
    """Rows that were checked, on their way into a collection."""

    wanted: Collection  # the facts as the caller states them, without parts
    part: dict[str, Any] | None
    new: dict[Values, PartFacts]
    rows: Partitions
    checks: tuple[Result, ...]


@contextmanager
def gather(
    name: str,
    rows: Any,
    before: Collection | None,
    store: Store,
    scratch: Path,
    *,
    key: str | Sequence[str],
    part: Mapping[str, Any] | None,
    partition_by: Sequence[str],
    description: str,
    columns: Mapping[str, str | Sequence[str]] | None,
    geometry: str | None,
    synthetic: bool,
    source: str,
    licence: str,
    may_be_empty: bool,
    checks: Sequence[Check],
) -> Iterator[Load]:
    """The rows of a `Store.replace`, checked and sorted into partitions; at the end of the `with` the scratch file is gone."""
    part = dict(part) if part else None
    known = {column.name: column.type for column in before.columns} if before and part else {}
    incoming = incoming_rows.from_rows(rows, geometry=geometry, constants=part, known=known)
    wanted = Collection(
        name=name,
        key=as_names(key),
        columns=documented(incoming.types, columns or {}),
        partition_by=as_names(partition_by) or (before.partition_by if before and part else tuple(part or ())),
        geometry=incoming.geometry,
        description=description,
        source=source,
        licence=licence,
    )
    _check_columns_named(wanted, part)
    about = checking.Load(
        store, name, incoming.types, wanted.key, wanted.partition_by, part, before, synthetic, incoming.geometry, source
    )
    checked = checking.Checking(checks, about)
    with Partitions(incoming.types, wanted.partition_by, wanted.key, scratch) as partitions:
        with progress.track(f"load {name}", total=incoming.total, unit="rows") as bar:
            for batch in incoming.batches:
                for values, piece in partitions.put(batch):
                    checked.look(values, piece)
                bar.advance(batch.num_rows)
        if not partitions.rows and not may_be_empty:
            raise EtlError(
                f"there are no rows to load into `{name}`",
                where=describe_part(part) or store.home,
                hint="look at the step before; if it may be empty, say `may_be_empty=True`",
            )
        new = {
            values: PartFacts(count, 0, fingerprint.as_hex(partitions.sums[values]), synthetic)
            for values, count in sorted(partitions.counts.items())
        }
        if not new and part:
            new = _empty_part(wanted, part, synthetic)
        try:
            yield Load(wanted, part, new, partitions, checked.decide())
        except FaultyKeysError as fault:
            raise checked.refused(fault) from None
    checked.succeeded()


def merge(
    before: Collection | None, wanted: Collection, part: dict[str, Any] | None, new: dict[Values, PartFacts]
) -> Collection:
    """The collection as it will be after the load; an error where the part does not fit to what is there."""
    if before is None or part is None:
        return replace(wanted, parts=dict(sorted(new.items())))
    _check_fits(before, wanted)
    gone = before.matching(part)
    kept = {values: facts for values, facts in before.parts.items() if values not in gone}
    about = {column.name: column for column in wanted.columns}
    return replace(
        before,
        columns=tuple(about[c.name] if about[c.name][2:] != ("", "") else c for c in before.columns),
        parts=dict(sorted({**kept, **new}.items())),
        description=wanted.description or before.description,
        source=wanted.source or before.source,
        licence=wanted.licence or before.licence,
    )


def _check_fits(before: Collection, wanted: Collection) -> None:
    there = {column.name: column.type for column in before.columns}
    come = {column.name: column.type for column in wanted.columns}
    differing = [
        *(f"`{name}` is missing" for name in there if name not in come),
        *(f"`{name}` is new" for name in come if name not in there),
        *(f"`{name}` is {come[name]}, was {there[name]}" for name in there if come.get(name, there[name]) != there[name]),
    ]
    if before.key and before.key != wanted.key:
        differing.append(f"the key is {', '.join(wanted.key)}, was {', '.join(before.key)}")
    if before.partition_by != wanted.partition_by:
        differing.append(
            f"the partitions are by {', '.join(wanted.partition_by) or 'nothing'}, "
            f"were by {', '.join(before.partition_by) or 'nothing'}"
        )
    if before.geometry != wanted.geometry:
        differing.append(f"the geometry is {wanted.geometry or 'missing'}, was {before.geometry or 'missing'}")
    if differing:
        dataset = before.name.partition("_")[0]
        raise EtlError(
            f"the part does not fit into the collection `{before.name}`",
            where="; ".join(differing),
            hint=f"clean the collection first, then load all of its parts again (`invoke {dataset}.clean`)",
        )


def same_rows(before: Collection, merged: Collection, part: dict[str, Any] | None, new: dict[Values, PartFacts]) -> bool:
    def essence(parts: Mapping[Values, PartFacts]) -> dict[Values, tuple[int, str]]:
        return {values: (facts.rows, facts.fingerprint) for values, facts in parts.items()}

    return (
        essence(before.matching(part)) == essence(new)
        and [column[:2] for column in before.columns] == [column[:2] for column in merged.columns]
        and (before.partition_by, before.geometry, before.key) == (merged.partition_by, merged.geometry, merged.key)
    )


def same_facts(before: Collection, merged: Collection) -> bool:
    flags = {values: facts.synthetic for values, facts in before.parts.items()}
    return (before.columns, before.description, before.source, before.licence, flags) == (
        merged.columns,
        merged.description,
        merged.source,
        merged.licence,
        {values: facts.synthetic for values, facts in merged.parts.items()},
    )


def answer(collection: Collection, part: dict[str, Any] | None, changed: bool) -> Part:
    rows = sum(facts.rows for facts in collection.matching(part).values())
    return Part(collection.name, part, rows, collection.fingerprint_of(part), collection.version, changed)


def documented(types: Mapping[str, str], about: Mapping[str, str | Sequence[str]]) -> tuple[Column, ...]:
    for name in about:
        if name not in types:
            raise unknown("column", name, types, where="the columns that the dataset describes")

    def column(name: str, kind: str) -> Column:
        said = about.get(name, "")
        unit, meaning = ("", said) if isinstance(said, str) else said
        return Column(name, kind, unit, meaning)

    return tuple(column(name, kind) for name, kind in types.items())


def by_others(left: Collection, found: Collection) -> tuple[Result, ...]:
    """The warning of a load that puts right what others changed: `left` is what the last load wrote, `found` what is there."""
    prints = [{values: part.fingerprint for values, part in one.parts.items() if part.rows} for one in (left, found)]
    if prints[0] == prints[1]:
        return ()
    told = f"others had changed it: {left.rows:,} rows were left there, {found.rows:,} were found; they are replaced"
    return (Result("changed by nobody else", (), found.rows, 1, False, True, told),)


def settings_of(facts: Collection) -> dict[str, Any]:
    """What `gather` is told to make such a collection again, from all of its rows."""
    return {
        "key": facts.key,
        "partition_by": facts.partition_by,
        "description": facts.description,
        "columns": {column.name: (column.unit, column.meaning) for column in facts.columns},
        "geometry": facts.geometry,
        "synthetic": facts.synthetic,
        "source": facts.source,
        "licence": facts.licence,
        "may_be_empty": True,
        "checks": (),
    }


def _check_columns_named(wanted: Collection, part: dict[str, Any] | None) -> None:
    """The key, the partitions and the part name columns that are there, of types that can serve so."""
    types = {column.name: column.type for column in wanted.columns}
    for kind, names in (("key column", wanted.key), ("partition column", wanted.partition_by)):
        for name in names:
            if name not in types:
                raise unknown(kind, name, types, where=f"the rows for `{wanted.name}`")
    if not wanted.key:
        raise EtlError(f"`{wanted.name}` has no key", hint='name the columns that tell rows apart, as key="gis_join"')
    for name in wanted.partition_by:
        if types[name] not in ("text", "smallint", "integer", "bigint"):
            raise EtlError(
                f"`{name}` is {types[name]} and cannot be a partition column",
                where=f"the rows for `{wanted.name}`",
                hint="partition by texts or whole numbers, as model and year",
            )
    for name in part or ():
        if name not in wanted.partition_by:
            raise unknown("partition column", name, wanted.partition_by, where=f"the part of `{wanted.name}`")
    if set(types) == set(wanted.partition_by):
        raise EtlError(f"`{wanted.name}` has only partition columns", hint="leave one column in the files")


def _empty_part(wanted: Collection, part: dict[str, Any], synthetic: bool) -> dict[Values, PartFacts]:
    if set(part) != set(wanted.partition_by):
        return {}
    values = tuple(part[name] for name in wanted.partition_by)
    return {values: PartFacts(0, 0, fingerprint.as_hex(0), synthetic)}
