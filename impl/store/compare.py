"""What differs between two states of a collection, row by row: by its key, whatever the order and the home.

Only the parts whose fingerprints differ are read, one at a time; of each row no more than two digests are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.store import fingerprint
from impl.store.interface import Collection, Store, Values
from impl.store.rows import Types, from_rows

if TYPE_CHECKING:
    import numpy
    import pyarrow

EXAMPLES = 3  # keys that are shown of each kind of change


@dataclass
class Changes:
    """Rows that are in the second state alone, in the first alone, and in both with other values."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = [("added", self.added), ("removed", self.removed), ("changed", self.changed)]
        text = ", ".join(f"{count:,} rows {what}" for what, count in counts if count) or "the same rows"
        return text + "".join(f"\n    {one}" for one in self.examples)


def stores(one: Store, other: Store, name: str, as_name: str | None = None) -> Changes:
    """From collection `name` of `one` to that of `other`; either may be missing. `as_name`: what `other` calls it."""
    before = one.facts(name) if name in one.names() else None
    after = other.facts(as_name or name) if (as_name or name) in other.names() else None
    if before is None or after is None:
        return Changes(added=after.rows if after else 0, removed=before.rows if before else 0)
    if before.fingerprint == after.fingerprint:
        return Changes()
    whole = before.partition_by != after.partition_by or _types(before) != _types(after) or before.key != after.key
    changes = Changes()
    for values in [None] if whole else _differing(before, after):
        read_one = _reader(one, before, values)
        read_other = _reader(other, after, values)
        _add(changes, before.key if before.key == after.key else (), read_one(), read_other(), _types(before), _types(after))
    return changes


def between_versions(store: Any, name: str, before: int, after: int) -> str:
    """The same between two versions of a collection, as a line; only a lake keeps earlier versions, for a week."""
    if not hasattr(store, "stream_at"):
        return f"rows of {name} by key: only a lake keeps earlier versions"
    try:
        facts = store.facts(name)
        changes = Changes()
        first, second = store.stream_at(name, before), store.stream_at(name, after)
        types = [{one.name: one.type for one in facts.columns} for _ in range(2)]
        if set(first.schema.names) != set(types[0]) or set(second.schema.names) != set(types[1]):
            return f"rows of {name} by key: the columns are others"
        _add(changes, facts.key, first, second, *types)
    except EtlError as error:
        return f"rows of {name} by key: {error.what}"
    return f"rows of {name} by key: {changes}"


def _types(facts: Collection) -> Types:
    return {column.name: column.type for column in facts.columns}


def _differing(before: Collection, after: Collection) -> list[Values]:
    parts = before.parts.keys() | after.parts.keys()

    def print_of(facts: Collection, values: Values) -> str | None:
        return facts.parts[values].fingerprint if values in facts.parts else None

    return sorted(values for values in parts if print_of(before, values) != print_of(after, values))


def _reader(store: Store, facts: Collection, values: Values | None) -> Callable[[], Iterable[pyarrow.RecordBatch]]:
    def literal(value: Any) -> str:
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)

    where = None
    if values:
        where = " AND ".join(f'"{name}" = {literal(value)}' for name, value in zip(facts.partition_by, values, strict=True))
    return lambda: store.stream(facts.name, where=where)


def _add(
    changes: Changes,
    key: Sequence[str],
    before: Iterable[pyarrow.RecordBatch],
    after: Iterable[pyarrow.RecordBatch],
    types_before: Types,
    types_after: Types,
) -> None:
    import numpy

    if not key:  # another key: every row is another
        changes.removed += sum(batch.num_rows for batch in before)
        changes.added += sum(batch.num_rows for batch in after)
        return
    keys_a, rows_a, shown_a = _digests(key, before, types_before)
    keys_b, rows_b, shown_b = _digests(key, after, types_after)
    _, at_a, at_b = numpy.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    differing = rows_a[at_a] != rows_b[at_b]
    gone = numpy.setdiff1d(numpy.arange(len(keys_a)), at_a)
    new = numpy.setdiff1d(numpy.arange(len(keys_b)), at_b)
    changes.added += len(new)
    changes.removed += len(gone)
    changes.changed += int(differing.sum())
    for what, places, shown in (("added", new, shown_b), ("removed", gone, shown_a), ("changed", at_b[differing], shown_b)):
        there = sum(one.startswith(what) for one in changes.examples)
        for place in numpy.sort(places)[: EXAMPLES - there]:
            row = shown.slice(int(place), 1).to_pylist()[0]
            changes.examples.append(f"{what}: {', '.join(f'{name}={value}' for name, value in row.items())}")


def _digests(
    key: Sequence[str], batches: Iterable[pyarrow.RecordBatch], types: Types
) -> tuple[numpy.ndarray, numpy.ndarray, pyarrow.Table]:
    """Of each row: eight bytes of the digest of its key, eight of the whole row, and the key itself."""
    import numpy
    import pyarrow

    geometry = next((name for name, kind in types.items() if kind == "geometry"), None)
    reader = batches if isinstance(batches, pyarrow.RecordBatchReader) else None
    keys, rows, shown = [], [], []
    source = from_rows(reader, geometry=geometry).batches if reader is not None else iter(batches)
    for batch in source:
        batch = batch.select(list(types))
        keys += [digest[:8] for digest in fingerprint.digests_of_rows(batch.select(key), [(name, types[name]) for name in key])]
        rows += [digest[:8] for digest in fingerprint.digests_of_rows(batch, list(types.items()))]
        shown.append(batch.select(key))
    as_numbers = [numpy.frombuffer(b"".join(part), "<u8") for part in (keys, rows)]
    return as_numbers[0], as_numbers[1], pyarrow.Table.from_batches(shown) if shown else pyarrow.table({})
