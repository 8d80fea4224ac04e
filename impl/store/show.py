"""What is in a store, in words: the text of `store.list` and of `store.show NAME`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from impl.run.columns import aligned
from impl.run.errors import EtlError
from impl.store.interface import Collection, Store
from impl.store.rejected import is_rejected

SAMPLE_ROWS = 5
SHOWN_PARTS = 20
SHORT = 12  # of a fingerprint's 64 digits


def list_text(store: Store) -> str:
    """One line a collection: rows, size, key, fingerprint, when it was updated, and whether it is synthetic."""
    header = ("collection", "rows", "size", "key", "fingerprint", "updated (UTC)", "")
    lines = [_line(store.facts(name)) for name in store.names()]
    if not lines:
        return f"the store is empty: {store.home}\n\n`invoke all.build` fills it; production is filled by `invoke promote.run`"
    total = f"{len(lines)} collection{'' if len(lines) == 1 else 's'} in {store.home}"
    return aligned([header, *lines], right={1, 2}) + f"\n\n{total}"


def _line(facts: Collection) -> tuple[str, ...]:
    return (
        facts.name,
        f"{facts.rows:,}",
        size_text(facts.bytes),
        ", ".join(facts.key),
        facts.fingerprint[:SHORT],
        f"{facts.updated:%Y-%m-%d %H:%M}" if facts.updated else "",
        ", ".join(filter(None, ("rejected rows" if is_rejected(facts.name) else "", "synthetic" if facts.synthetic else ""))),
    )


def show_text(store: Store, name: str, width: int | None = None) -> str:
    """All about one collection: its columns with types, units and meaning, its parts, and five rows."""
    from impl.store.output import as_table

    facts = store.facts(name)
    sample = store.query(f'SELECT * FROM "{name}" LIMIT {SAMPLE_ROWS}')
    about = [
        ("rows", f"{facts.rows:,}"),
        ("size", size_text(facts.bytes)),
        ("key", ", ".join(facts.key)),
        ("partitions", ", ".join(facts.partition_by)),
        ("geometry", f"{facts.geometry}, EPSG:4326" if facts.geometry else ""),
        ("fingerprint", facts.fingerprint),
        ("version", str(facts.version)),
        ("updated", f"{facts.updated:%Y-%m-%d %H:%M:%S} UTC" if facts.updated else ""),
        ("source", facts.source),
        ("licence", facts.licence),
        ("synthetic", "yes: sample data, not observed and not modelled" if facts.synthetic else ""),
    ]
    columns = [(c.name, c.type, c.unit, c.meaning) for c in facts.columns]
    sections = [
        f"{facts.name}: {facts.description}" if facts.description else facts.name,
        aligned([line for line in about if line[1]]),
        aligned([("column", "type", "unit", "meaning"), *columns]),
    ]
    if facts.partition_by:
        sections.append(_parts(facts))
    sections.append(as_table(sample, width=width).rpartition("\n\n")[0] if facts.rows else "no rows")
    return "\n\n".join(sections)


def _parts(facts: Collection) -> str:
    lines = [
        (*(str(value) for value in values), f"{part.rows:,}", size_text(part.bytes), part.fingerprint[:SHORT])
        for values, part in facts.parts.items()
    ]
    header = (*facts.partition_by, "rows", "size", "fingerprint")
    text = aligned([header, *lines[:SHOWN_PARTS]], right={len(facts.partition_by), len(facts.partition_by) + 1})
    return text + (f"\n{SHOWN_PARTS} shown of {len(lines)} parts" if len(lines) > SHOWN_PARTS else "")


def not_as_loaded(env: Any, names: Sequence[str], fills: Mapping[str, str]) -> EtlError:
    """The error for collections that `verify` found something wrong with: what makes them again."""
    found = f"{len(names)} collection{' is' if len(names) == 1 else 's are'} not as {'it was' if len(names) == 1 else 'they were'} loaded"
    made = [f"`invoke {one}`" for one in dict.fromkeys(fills[name] for name in names if name in fills)]
    if not env.direct:
        hint = "`invoke promote.run` makes it again from what development has shown"
    elif made:
        hint = f"{' and '.join(made)} makes it again"
    else:
        hint = "no dataset fills it: load it again from where it came"
    return EtlError(found, where=f"{', '.join(names)} in {env.name}", hint=hint)


def size_text(size: float) -> str:
    """`12.3 MB`, for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
