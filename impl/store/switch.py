"""A candidate store beside a live one, and the step in which its collections take the place of the live ones.

In a database all collections change places in one transaction: the live tables move to the schema `<schema>_previous`,
those of `<schema>_next` into the live one. In a lake each collection is one Delta commit, and the version before stays.
Killed between two of them, `switch` and `restore` do the rest when they are asked again: the candidates go last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from impl.store import open_store
from impl.store.interface import Collection, Store


def beside(home: str, which: str = "next") -> str:
    """The home of the candidate of the store at `home`; or, `previous`, of what was live and is no more."""
    if not home.startswith(("postgresql://", "postgres://")):
        place, mark, options = home.partition("?")  # of object storage
        return f"{place.rstrip('/')}.{which}{mark}{options}"
    from impl.store.postgis import SCHEMA

    parts = urlsplit(home)
    asked = dict(parse_qsl(parts.query))
    asked["schema"] = f"{asked.get('schema', SCHEMA)}_{which}"
    return urlunsplit(parts._replace(query=urlencode(asked, safe="${}/:,")))


def live_of(home: str) -> Store | None:
    """The live store beside which the candidate at `home` is built; None where it is no candidate."""
    if not home.startswith(("postgresql://", "postgres://")):
        place, mark, options = home.partition("?")
        return open_store(f"{place.removesuffix('.next')}{mark}{options}") if place.endswith(".next") else None
    parts = urlsplit(home)
    asked = dict(parse_qsl(parts.query))
    if not asked.get("schema", "").endswith("_next"):
        return None
    asked["schema"] = asked["schema"].removesuffix("_next")
    return open_store(urlunsplit(parts._replace(query=urlencode(asked, safe="${}/:,"))))


def before_switch(live: str, names: Sequence[str]) -> dict[str, int | None]:
    """The version of each collection that is live; None where there is none. What `restore` needs."""
    there = open_store(live)
    known = there.names()
    return {name: there.facts(name).version if name in known else None for name in names}


def switch(live: str, candidate: str, names: Sequence[str], gone: Sequence[str] = ()) -> None:
    """Make the candidates live, and take away those that are `gone`."""
    there: Any = open_store(live)
    made: Any = open_store(candidate)
    if hasattr(there, "take_over"):
        there.take_over(made, [*names, *gone])
        return
    for name in names:
        _copy(there, made.facts(name), made.stream(name))
    _put_away(there, open_store(beside(live, "previous")), gone)
    for name in names:
        made.drop(name)


def _put_away(there: Any, away: Any, gone: Sequence[str]) -> None:
    """A lake drops a collection with all its versions: what a rollback would need is kept in a lake beside it, for a week."""
    from impl.store.lake import KEPT_HOURS

    old = datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
    for name in away.names():
        updated = away.facts(name).updated
        if updated is not None and updated < old:
            away.drop(name)
    for name in gone:
        _copy(away, there.facts(name), there.stream(name))
        there.drop(name)


def kept_before(live: str, before: Mapping[str, Any], gone: Sequence[str] = ()) -> dict[str, Collection | None]:
    """The facts of what `restore` would bring back of each collection; None where nothing is kept of it."""
    store: Any = open_store(live)
    if hasattr(store, "give_back"):
        return dict(store.kept(list(before)))
    away = open_store(beside(live, "previous"))
    put_away = {name: away.facts(name) for name in set(gone) & set(away.names())}
    versions = {name: version for name, version in before.items() if name not in gone}
    found = {name: None if version is None else store.facts_at(name, version) for name, version in versions.items()}
    return {**dict.fromkeys(before), **found, **put_away}


def restore(live: str, before: Mapping[str, Any], gone: Sequence[str] = ()) -> None:
    """Take a switch back: each collection is what it was before, or gone where it was not there. gone: as for `switch`."""
    store: Any = open_store(live)
    if hasattr(store, "give_back"):
        store.give_back(list(before))
        return
    away: Any = open_store(beside(live, "previous"))
    for name, version in before.items():
        if name in gone:
            _copy(store, away.facts(name), away.stream(name))
            away.drop(name)
        elif version is None:
            store.drop(name)
        else:
            _copy(store, store.facts_at(name, version), store.stream_at(name, version))


def _copy(store: Any, facts: Collection, rows: Any) -> None:
    store.replace(
        facts.name,
        rows,
        key=facts.key,
        partition_by=facts.partition_by,
        description=facts.description,
        columns={column.name: (column.unit, column.meaning) for column in facts.columns},
        geometry=facts.geometry,
        synthetic=facts.synthetic,
        source=facts.source,
        licence=facts.licence,
        may_be_empty=True,
    )
