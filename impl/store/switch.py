"""A candidate store beside a live one, and the step in which its collections take the place of the live ones.

In a database the rows of all live tables change in one transaction (postgis/exchange.py). In a lake each collection is one Delta commit, and the version before stays.
All files are written before the first of these commits, and their rows are compared with what was meant on the way.
Killed between two of them, `switch` and `restore` do the rest when they are asked again: the candidates go last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from impl.run.errors import EtlError
from impl.run.objects import below, options_of, query_of
from impl.store import open_store
from impl.store.interface import DAMAGED_LOG, Collection, NotAsMeantError, Store

WAIT_SECONDS = 300  # for others who hold a table
Check = Callable[[], None]  # an error where the promotion may not go on


def mark(facts: Collection | None) -> str | None:
    """Rows and columns: what is said about a column may change while all rows stay."""
    return None if facts is None else hashlib.sha256(json.dumps([facts.fingerprint, facts.columns]).encode()).hexdigest()


def candidate_of(home: str, promotion: str) -> str:
    """The home of the candidate of one promotion to the store at `home`. In a lake each has its own."""
    return beside(home) if home.startswith(("postgresql://", "postgres://")) else below(beside(home), promotion)


def beside(home: str, which: str = "next") -> str:
    """The home of the candidate of the store at `home`; or, `previous`, of what was live and is no more."""
    if not home.startswith(("postgresql://", "postgres://")):
        place, mark, options = home.partition("?")  # of object storage
        return f"{place.rstrip('/')}.{which}{mark}{options}"
    from impl.store.postgis import SCHEMA

    parts = urlsplit(home)
    asked = options_of(parts.query)
    asked["schema"] = f"{asked.get('schema', SCHEMA)}_{which}"
    return urlunsplit(parts._replace(query=query_of(asked)))


def live_of(home: str) -> Store | None:
    """The live store beside which the candidate at `home` is built; None where it is no candidate."""
    if not home.startswith(("postgresql://", "postgres://")):
        place, mark, options = home.partition("?")
        live, found, promotion = place.rpartition(".next/")
        return open_store(f"{live}{mark}{options}") if found and "/" not in promotion else None
    parts = urlsplit(home)
    asked = options_of(parts.query)
    if not asked.get("schema", "").endswith("_next"):
        return None
    asked["schema"] = asked["schema"].removesuffix("_next")
    return open_store(urlunsplit(parts._replace(query=query_of(asked))))


def clear_candidates(home: str, keep: str = "") -> None:
    """Remove the candidates of all promotions but one: they were broken off. In a database the next one goes on in it."""
    store: Any = open_store(beside(home))
    if hasattr(store, "clear"):
        store.clear(keep)


def tidy(home: str) -> int:
    """Remove what nobody needs any more, of a store and of candidates that were left a week ago; the bytes that came free."""
    candidates: Any = open_store(beside(home))
    if hasattr(candidates, "clear_old"):
        candidates.clear_old()
    return open_store(home).tidy()


def before_switch(live: str, names: Sequence[str], promotion: str) -> dict[str, int | None]:
    """The version of each collection that is live; None where there is none. What `restore` needs, and `tidy` then keeps."""
    there: Any = open_store(live)
    known = there.names()
    versions: dict[str, int | None] = {}
    for name in names:
        try:
            versions[name] = there.facts(name).version if name in known else None
        except EtlError:
            if not there.lost(name):
                raise
            versions[name] = None  # what cannot be read cannot come back
    if hasattr(there, "pin"):
        there.pin(promotion, versions)
    return versions


def check_writable(live: str, names: Sequence[str]) -> None:
    """An error where a collection could not be switched, whatever one tries."""
    store: Any = open_store(live)
    if hasattr(store, "check_writable"):
        store.check_writable(names)


def switch(
    live: str,
    candidate: str,
    names: Sequence[str],
    gone: Sequence[str] = (),
    *,
    meant: Mapping[str, str | None],
    check: Check,
    wait: float = WAIT_SECONDS,
) -> None:
    """Make the candidates live, and take away those that are `gone`.

    wait: seconds for others who hold a table. meant: the `mark` of each; other rows are refused, before anything is changed. check: asked before each step.
    """
    there: Any = open_store(live)
    made: Any = open_store(candidate)
    if hasattr(there, "take_over"):
        for name in names:
            if mark(made.facts(name)) != meant[name]:
                raise _not_as_meant(name, f"{made.home}: {made.lost(name) or 'it was loaded again'}")
        check()
        there.take_over(made, [*names, *gone], wait)
        return
    away: Any = open_store(beside(live, "previous"))
    for name in names:
        if (there.lost(name) or "").startswith(DAMAGED_LOG):  # nobody reads it, and no commit can be made on it
            check()
            there.drop(name)
    _put_away(there, away, gone)
    _commit_all(there, {name: (made.facts(name), made.stream(name)) for name in names}, meant, check)
    for name in gone:
        check()
        there.drop(name)
    for name in names:
        made.drop(name)


def _commit_all(store: Any, rows: Mapping[str, tuple[Collection, Any]], meant: Mapping[str, str | None], check: Check) -> None:
    """Put rows in the place of whole collections: all files first, then a commit for each."""
    with ExitStack() as files:
        written = []
        for name, (facts, stream) in rows.items():
            one = files.enter_context(store.written(facts, stream))
            if mark(one.facts) != meant[name]:
                raise _not_as_meant(name, f"{store.home}: the fingerprint is {one.facts.fingerprint[:12]}")
            written.append(one)
        for one in written:
            check()
            one.commit()


def _not_as_meant(name: str, where: str) -> NotAsMeantError:
    return NotAsMeantError(
        f"the rows for `{name}` are not those that were compared",
        where=where,
        hint="somebody changed them since, and nothing of them went live: `invoke promote.run` makes them again",
    )


def _put_away(there: Any, away: Any, gone: Sequence[str]) -> None:
    """A lake drops a collection with all its versions: what a rollback would need is kept in a lake beside it, for a week."""
    from impl.store.lake import KEPT_HOURS

    old, needed = datetime.now(UTC) - timedelta(hours=KEPT_HOURS), there.pinned()
    for name in away.names():
        updated = away.facts(name).updated
        if name not in needed and updated is not None and updated < old:
            away.drop(name)
    rows = {name: (there.facts(name), there.stream(name)) for name in gone if not there.lost(name)}
    _commit_all(away, rows, {name: mark(facts) for name, (facts, _) in rows.items()}, lambda: None)


def kept_before(live: str, before: Mapping[str, Any], gone: Sequence[str] = ()) -> dict[str, Collection | None]:
    """The facts of what `restore` would bring back of each collection, from its rows; None where it cannot be read."""
    store: Any = open_store(live)
    if hasattr(store, "give_back"):
        return dict(store.kept(list(before)))
    away: Any = open_store(beside(live, "previous"))
    put_away = {name: away.kept_at(name, away.facts(name).version) for name in set(gone) & set(away.names())}
    versions = {name: version for name, version in before.items() if name not in gone}
    found = {name: None if version is None else store.kept_at(name, version) for name, version in versions.items()}
    return {**dict.fromkeys(before), **found, **put_away}


def restore(
    live: str,
    before: Mapping[str, Any],
    gone: Sequence[str] = (),
    *,
    meant: Mapping[str, str | None],
    check: Check,
    wait: float = WAIT_SECONDS,
) -> None:
    """Take a switch back: each collection is what it was before, or gone where it was not there. Else as `switch`."""
    store: Any = open_store(live)
    if hasattr(store, "give_back"):
        check()
        store.give_back(list(before), wait)
        return
    away: Any = open_store(beside(live, "previous"))
    rows = {}
    for name, version in before.items():
        if name in gone:
            rows[name] = (away.facts(name), away.stream(name))
        elif version is not None:
            rows[name] = (store.facts_at(name, version), store.stream_at(name, version))
    _commit_all(store, rows, meant, check)
    for name, version in before.items():
        if version is None and name not in gone:
            check()
            store.drop(name)
    for name in gone:
        away.drop(name)
