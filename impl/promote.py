"""Promotion: what development has shown goes to production, beside what is live, and takes its place in one step.

    plan      what would change: collections that are new, changed or unchanged, and their rows by key
    run       checks that this is what development ran; builds in production beside the live collections; compares
              fingerprints with development's; switches; records and tells
    rollback  the version before is live again

What no dataset fills any more stays live, unless `run` is told to take it away.

The candidate is a store of its own beside the live one: the schema `<schema>_next`, or the folder `<store>.next/<id>`. A
crash at any moment leaves the live collections as they are; the next promotion begins where this one stopped. Only in a
lake a crash can come between two collections of one switch: the record of the promotion tells what stood there before
and what comes after, and `settle` brings it to an end. Two at once, from two checkouts: one is refused (lease.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impl.closing import collections_of, tell, tidy
from impl.run import records
from impl.run.errors import EtlError
from impl.run.files import replacing
from impl.run.lock import only_run
from impl.store import compare, lease, open_store
from impl.store.interface import DAMAGED_LOG, Collection, NotAsMeantError, describe_part
from impl.store.rejected import is_rejected
from impl.store.switch import (
    WAIT_SECONDS,
    before_switch,
    candidate_of,
    check_writable,
    clear_candidates,
    kept_before,
    mark,
    restore,
    switch,
)

Say = Callable[[str], None]
# Makes the collections in an environment and gives the record of that run; True: also what is up to date, but for raw files and tools
Build = Callable[[Any, bool], Mapping[str, Any]]

BUILDING, SWITCHING, LIVE, NOTHING, FAILED = "building", "switching", "live", "nothing to do", "failed"
TAKING_BACK, TAKEN_BACK = "taking back", "taken back"
BEFORE, AFTER, OTHER = "as before", "switched", "changed by others"  # where a collection of a switch stands


@dataclass
class Plan:
    """What a promotion would do. refusals: why it may not be run."""

    source: Any
    target: Any
    record: dict[str, Any] | None  # of development
    chosen: list[str]
    new: list[str] = field(default_factory=list)
    changed: dict[str, compare.Changes] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)  # in the target no longer as it was left: what is wrong
    unchanged: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)  # in the target, and no dataset fills them any more
    remove_orphans: bool = False
    removals: dict[str, list[str]] = field(default_factory=dict)  # parts of the target that the source has no longer
    accept_removals: bool = False
    dependents: dict[str, list[str]] = field(default_factory=dict)  # what others made on collections of the target
    in_switch: str = ""  # what is said of a promotion that is in the middle of its switch

    @property
    def to_do(self) -> list[str]:
        return [*self.new, *self.changed, *self.lost]

    @property
    def to_remove(self) -> list[str]:
        return self.orphans if self.remove_orphans else []


def plan(
    source: Any,
    target: Any,
    datasets: Sequence[str],
    graph: Any,
    rows: bool = True,
    remove_orphans: bool = False,
    accept_removals: bool = False,
) -> Plan:
    """Compare the environment `source` with `target`.

    graph: that of `source`. rows: count changed rows by key, too. remove_orphans: take away what no dataset fills any more.
    accept_removals: let parts of collections go (years, models) that `source` has no longer.
    """
    if source.name == target.name:
        raise EtlError("an environment is not promoted to itself", where=source.name, hint="--from development --to production")
    from_store, to_store = open_store(source.store), open_store(target.store)
    if from_store.identity() == to_store.identity():
        raise EtlError(
            f"{source.name} and {target.name} are the same store",
            where=to_store.home,
            hint=f"give each its own: `store` of `etl.environments.{source.name}` and of `etl.environments.{target.name}` in invoke.yaml",
        )
    chosen = chosen_collections(graph, datasets)
    record = _newest(source, graph, chosen)
    found = Plan(source, target, record, chosen, remove_orphans=remove_orphans, in_switch=_in_switch(target))
    found.accept_removals = accept_removals
    here, there = set(from_store.names()), set(to_store.names())
    for name in chosen:
        if name not in here:
            found.refusals.append(f"{source.name} has no collection `{name}`: build it there first")
            continue
        if said := from_store.lost(name):
            found.refusals.append(f"`{name}` in {source.name} is no longer whole, {said}: build it there again")
            continue
        facts = from_store.facts(name)
        if name not in there:
            found.new.append(name)
        elif said := to_store.lost(name):
            found.lost[name] = said
        elif to_store.facts(name).fingerprint == facts.fingerprint and to_store.facts(name).columns == facts.columns:
            found.unchanged.append(name)
            continue
        else:
            found.changed[name] = compare.stores(to_store, from_store, name) if rows else compare.Changes()
        with suppress(EtlError):  # of what cannot be read any more nobody can tell what it had
            if name in there and (gone := _parts_that_go(to_store.facts(name), facts)):
                found.removals[name] = gone
    found.dependents = {name: made for name in sorted(there) if (made := to_store.dependents(name))}
    orphans = [name for name in sorted(there) if _is_orphan(name, datasets, graph)]
    found.orphans = [name for name in orphans if not _is_of_a_document(to_store, name)]
    found.refusals += _refusals(found, graph)
    return found


def _parts_that_go(there: Collection, here: Collection) -> list[str]:
    """The parts with rows in `there` that `here` has not, in words."""
    left = {values for values, part in here.parts.items() if part.rows}
    if there.partition_by != here.partition_by:
        return []
    return [
        f"{describe_part(dict(zip(there.partition_by, values, strict=True)))} with {part.rows:,} rows"
        for values, part in there.parts.items()
        if part.rows and values not in left
    ]


def _is_orphan(name: str, datasets: Sequence[str], graph: Any) -> bool:
    """Whether no checkpoint fills it any more; where datasets are named, only what is called after one of them."""
    if is_rejected(name) or name in {one.outside.collection for one in graph.checkpoints.values() if one.outside}:
        return False
    members = [wanted.replace(".", "_") for wanted in datasets]
    return not members or any(name == one or name.startswith(f"{one}_") for one in members)


def _is_of_a_document(store: Any, name: str) -> bool:
    """Whether somebody loaded it by hand with a document (`mover run`): no dataset ever filled it. Or nobody can tell."""
    from impl.documents import made_by

    return (store.lost(name) or "").startswith(DAMAGED_LOG) or bool(made_by(store.facts(name).source))


def chosen_collections(graph: Any, datasets: Sequence[str]) -> list[str]:
    """The collections that the checkpoints of these datasets (all, where none is named) fill."""
    names: dict[str, None] = {}
    known = {one.dataset for one in graph.checkpoints.values()}
    for wanted in datasets:
        if not any(one == wanted or one.startswith(f"{wanted}.") for one in known):
            from impl.run.errors import unknown

            raise unknown("dataset", wanted, known | {one.partition(".")[0] for one in known}, where="promotion")
    for one in graph.checkpoints.values():
        mine = not datasets or any(one.dataset == wanted or one.dataset.startswith(f"{wanted}.") for wanted in datasets)
        if mine and one.outside is not None and one.outside.collection:
            names[one.outside.collection] = None
    if not names:
        raise EtlError(
            "there is no collection to promote", where=", ".join(datasets), hint="`invoke store.list` in development"
        )
    return list(names)


def loads(graph: Any, chosen: Sequence[str]) -> list[str]:
    """The checkpoints that fill the chosen collections."""
    return [one.name for one in graph.checkpoints.values() if one.outside and one.outside.collection in chosen]


def made_from_raw(graph: Any, names: Sequence[str], env: Any) -> list[str]:
    """These checkpoints and what they depend on, without raw files and tools."""
    kept = (env.raw, env.tools)
    return [
        name
        for name in graph.order(names)
        if not any(target.is_relative_to(folder) for target in graph.checkpoints[name].targets for folder in kept)
    ]


def _newest(source: Any, graph: Any, chosen: Sequence[str]) -> dict[str, Any] | None:
    """The newest record of `source` that was about all loads of the chosen collections."""
    needed = set(loads(graph, chosen))
    for record in reversed(records.all_of(source.state)):
        if needed <= {one["name"] for one in record.get("checkpoints", ())}:
            return record
    return None


def _refusals(found: Plan, graph: Any) -> list[str]:
    """Why development has not shown what is to be promoted."""
    source, record = found.source, found.record
    if record is None:
        return [f"{source.name} has no run of all that is to be promoted: `ETL_ENV={source.name} invoke all.build`"]
    said = []
    if record["outcome"] != records.SUCCESS:
        said.append(f"the newest run of {source.name} ended with {record['outcome']}: {record['id']}")
    here = records.code(source.root)
    if not record["code"]["clean"] or not record["code"]["commit"]:
        said.append(f"the run {record['id']} was made of a checkout with changes: commit, and build in {source.name} again")
    if here["commit"] != record["code"]["commit"]:
        said.append(f"this checkout is at {here['commit'][:12]}, the run {record['id']} was of {record['code']['commit'][:12]}")
    if not here["clean"]:
        said.append(f"this checkout has changes: {', '.join(here['changed'][:5])}")
    store = open_store(source.store)
    there = set(store.names())
    for name, kept in ((one["name"], one) for one in record.get("collections", ())):
        if name not in found.chosen or (name in there and store.lost(name)):  # that was said already
            continue
        if name not in there or store.facts(name).fingerprint != kept["fingerprint"]:
            said.append(f"`{name}` in {source.name} is no longer what the run {record['id']} left: build it again")
    failed = [
        f"{one['name']}: {check['check']}"
        for one in record.get("checkpoints", ())
        for check in one.get("checks", ())
        if not check["passed"] and not check["warn"]
    ]
    said += [f"a check had failed: {one}" for one in failed]
    stale = [row.name for row in graph.standing(loads(graph, found.chosen)) if not row.current]
    if stale:
        said.append(f"{source.name} is not up to date: {stale[0]}{f' and {len(stale) - 1} more' if len(stale) > 1 else ''}")
    return said


def plan_text(found: Plan) -> str:
    """The plan, for people."""
    record = found.record
    lines = [f"from {found.source.name} to {found.target.name}"]
    if record:
        lines.append(
            f"run {record['id']}, commit {record['code']['commit'][:12] or 'none'}, {len(record.get('inputs', ()))} raw files"
        )
    lines += [found.in_switch] if found.in_switch else []
    for name in found.new:
        lines.append(f"[+] {name}  new, {open_store(found.source.store).facts(name).rows:,} rows")
    for name, changes in found.changed.items():
        lines.append(f"[~] {name}  {changes}")
    lines += [f"[!] {name}  lost, and made again: {said}" for name, said in found.lost.items()]
    for name in found.unchanged:
        lines.append(f"[|] {name}  unchanged")
    asks = "" if found.accept_removals else "; `promote.run` asks for --accept-removals"
    lines += [f"[-] {name}  {'; '.join(gone)} would go{asks}" for name, gone in found.removals.items()]
    stays = "" if found.remove_orphans else "; it stays, unless you add --remove-orphans"
    lines += [f"[-] {name}  no dataset fills it any more{stays}" for name in found.orphans]
    lines += [f"    on {name}: {', '.join(made)}" for name, made in found.dependents.items()]
    lines += ["", *(f"refused: {one}" for one in found.refusals)] if found.refusals else []
    if not found.refusals:
        words = f"--from {found.source.name} --to {found.target.name}{' --remove-orphans' if found.to_remove else ''}"
        words += " --accept-removals" if found.removals else ""
        lines += ["", f"`invoke promote.run {words}` does it"]
    return "\n".join(lines)


def run(found: Plan, build: Build, say: Say, wait: float = WAIT_SECONDS) -> dict[str, Any]:
    """Do what was planned. wait: seconds for others who hold a table of the target."""
    if found.refusals:
        raise EtlError(
            f"{found.source.name} has not shown what would go to {found.target.name}",
            where="\n     ".join(found.refusals),
            hint=f"mend these in {found.source.name}; `invoke promote.plan` lists them again",
        )
    if found.removals and not found.accept_removals:
        raise EtlError(
            f"{found.source.name} has parts no longer that are live in {found.target.name}",
            where="\n     ".join(f"{name}: {'; '.join(gone)}" for name, gone in found.removals.items()),
            hint="nothing was changed: add --accept-removals if they are to go; if not, put them into the settings again "
            f"and build in {found.source.name}",
        )
    assert found.record is not None  # else it would be refused
    target, source = found.target, found.source
    promotion: dict[str, Any] = {
        "id": records.new_id(_folder(target)),
        "from": source.name,
        "run": found.record["id"],
        "commit": found.record["code"]["commit"],
        "collections": {},
        "state": BUILDING,
        "started": records._now(),
    }
    command = f"promote.run from {source.name}"
    with (
        only_run(Path(target.state) / "promotion.lock"),
        lease.hold(target.store, promotion["id"]) as held,
        _told(target, promotion["id"], command, _earlier(target, command)),
        _kept_if_broken_off(target, promotion),
    ):
        if not found.to_do and not found.to_remove:
            promotion["state"] = NOTHING
            _keep(target, promotion)
            say(f"nothing differs: {target.name} is what {source.name} has shown")
            tidy(target)
            return promotion
        check_writable(target.store, [*found.to_do, *found.to_remove])
        begun = _begun(target)
        promotion["candidate"] = begun or promotion["id"]
        _keep(target, promotion)
        clear_candidates(target.store, keep=promotion["candidate"])
        home = candidate_of(target.store, promotion["candidate"])
        candidate = replace(target, store=home, unchanged=frozenset(found.unchanged), live=target.store)
        for name in [*found.unchanged, *found.orphans]:  # what an earlier promotion may have left
            open_store(home).drop(name)
        if found.to_do:
            built = _build(found, candidate, build, begun != "", say)
            _check_inputs(found.record, built)
            _check_fingerprints(found, candidate)
        names = [*found.to_do, *found.to_remove]
        promotion["before"] = _marks(open_store(target.store), names)
        promotion["after"] = _marks(open_store(home), names)
        held.check()
        promotion["collections"] = before_switch(target.store, names, promotion["id"])
        promotion["state"] = SWITCHING
        _keep(target, promotion)
        try:
            switch(target.store, home, found.to_do, found.to_remove, meant=promotion["after"], check=held.check, wait=wait)
        except NotAsMeantError:
            _drop(home, found.to_do)
            raise
        promotion["state"] = LIVE
        promotion["finished"] = records._now()
        _keep(target, promotion)
        clear_candidates(target.store)
        tidy(target)
    for name in found.to_do:
        say(f"[+] {name} is live in {target.name}")
    for name in found.to_remove:
        say(f"[-] {name} is gone from {target.name}; `invoke promote.rollback` brings it back")
    return promotion


def _begun(target: Any) -> str:
    """The candidate of the last promotion, where that was broken off: what it has built already need not be built again."""
    last = promotions(target)[-1:]
    return last[0].get("candidate", "") if last and last[0]["state"] in (BUILDING, FAILED) else ""


def _build(found: Plan, candidate: Any, build: Build, begun: bool, say: Say) -> Mapping[str, Any]:
    """Build the candidate. begun: some of it was there, and whoever changed it since is not to be promoted.

    Checkpoints do not see a helper that their actions call. What development has made again since such a change, production
    makes again too: as long as the result is another, from its raw files on.
    """
    built, made, shown = build(candidate, False), open_store(candidate.store), open_store(found.source.store)
    changed = [name for name in found.to_do if begun and made.verify(name, deep=True)]
    if changed:
        _drop(candidate.store, changed)
        built = build(candidate, False)
    other = [name for name in found.to_do if made.facts(name).fingerprint != shown.facts(name).fingerprint]
    if other:
        say(f"[ ] {', '.join(other)}  not what {found.source.name} has shown: made again from the raw files on")
        _drop(candidate.store, other)
        built = build(candidate, True)
    return built


def _drop(home: str, names: Iterable[str]) -> None:
    for name in names:
        open_store(home).drop(name)


def _check_inputs(record: Mapping[str, Any], built: Mapping[str, Any]) -> None:
    # the run in development may have been about more than what is promoted
    part = {one["name"] for one in built.get("checkpoints", ())}
    wanted = {one["file"]: one["sha256"] for one in record.get("inputs", ()) if one["checkpoint"] in part}
    there = {one["file"]: one["sha256"] for one in built.get("inputs", ())}
    differing = [name for name in sorted(wanted.keys() | there.keys()) if wanted.get(name) != there.get(name)]
    if differing:
        raise EtlError(
            f"{len(differing)} raw file{'s are' if len(differing) > 1 else ' is'} not that of {record['environment']}",
            where="\n     ".join(
                f"{name}: {wanted.get(name, 'none')[:12]} and {there.get(name, 'none')[:12]}" for name in differing[:5]
            ),
            hint="nothing was changed: bring the same files to both, or build in development with these",
        )


def _check_fingerprints(found: Plan, candidate: Any) -> None:
    made, shown = open_store(candidate.store), open_store(found.source.store)
    for name in found.to_do:
        one, other = made.facts(name), shown.facts(name)
        if one.fingerprint != other.fingerprint:
            raise EtlError(
                f"`{name}` was built in {found.target.name} and is not what {found.source.name} has shown",
                where=f"{other.fingerprint[:12]} in {found.source.name}, {one.fingerprint[:12]} here: {compare.stores(shown, made, name)}",
                hint="nothing was changed: look for what differs between the two machines (`invoke runs.show last` in both)",
            )


def rollback(target: Any, say: Say, wait: float = WAIT_SECONDS) -> dict[str, Any]:
    """Make the version before the last promotion live again, and tell it. All of it, or nothing. wait: as in `run`."""
    with only_run(Path(target.state) / "promotion.lock"):
        with lease.hold(target.store, "that is taken back") as held:
            last, there = _last(target)
            names = [name for name, stands in there.items() if stands == AFTER]
            if last["state"] in (BUILDING, SWITCHING) and not names:
                _end(target, last, FAILED)
                say(f"[|] {last['id']} was broken off before it changed anything: what is live in {target.name} stays")
                return last
            with _told(target, last["id"], "promote.rollback"):
                _check_left(target, last, there)
                _check_kept(target, last, names)
                check_writable(target.store, names)
                _take_back(target, last, names, held, wait)
            clear_candidates(target.store)
    for name in last["collections"]:
        say(f"[-] {name} is in {target.name} what it was before {last['id']}")
    return last


def _check_left(target: Any, last: Mapping[str, Any], there: Mapping[str, str]) -> None:
    for name, stands in there.items():
        if stands == OTHER or (stands == BEFORE and last["state"] == LIVE):
            raise EtlError(
                f"`{name}` is not what the promotion {last['id']} left",
                where=target.name,
                hint="somebody changed it since, and what is live stays: `invoke promote.plan` compares it with "
                f"{last['from']}, and `invoke promote.run` brings what {last['from']} has shown",
            )


def _check_kept(target: Any, last: Mapping[str, Any], names: Sequence[str]) -> None:
    if gone := _not_kept(target, last, names):
        raise EtlError(
            f"what `{gone[0]}` was before the promotion {last['id']} is no longer kept",
            where=f"{target.name}: {', '.join(gone)}; somebody's VACUUM, or more than a week",
            hint="what is live stays. To go back, promote the older commit: check it out, build it in "
            f"{last['from']}, `invoke promote.run`",
        )


def _not_kept(target: Any, last: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of a promotion that cannot be brought back as they were before it."""
    kept = kept_before(target.store, {name: last["collections"][name] for name in names}, _gone(last, names))
    return [name for name in names if mark(kept[name]) != last["before"][name]]


def _last(target: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The last promotion that is live, or that was broken off, and where its collections stand."""
    for last in reversed(promotions(target)):
        if last["state"] in (BUILDING, LIVE, SWITCHING, TAKING_BACK):
            return last, _standing(target, last) if last.get("after") else {}
    raise EtlError("there is no promotion to take back", where=target.name, hint="`invoke promote.list` shows what there was")


def _take_back(
    target: Any, promotion: dict[str, Any], names: Sequence[str], held: lease.Lease, wait: float = WAIT_SECONDS
) -> None:
    state = promotion["state"]
    promotion["state"] = TAKING_BACK
    _keep(target, promotion)
    try:
        if names:
            versions, gone = {name: promotion["collections"][name] for name in names}, _gone(promotion, names)
            restore(target.store, versions, gone, meant=promotion["before"], check=held.check, wait=wait)
    except EtlError as error:
        if BEFORE not in _standing(target, promotion).values():
            _end(target, promotion, state)
        _say_what_is_live(target, promotion, error)
        raise
    _end(target, promotion, TAKEN_BACK)


def _gone(promotion: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those that a promotion takes away."""
    return [name for name in names if promotion["after"][name] is None]


def settle(target: Any, say: Say) -> None:
    """Bring to an end what was broken off in the middle of a switch, or of taking one back.

    A switch goes on as long as its candidates are still those that were compared with development; else what is switched
    is taken back; where that is no longer kept, it stays, and the promotion that comes makes all of it anew. What others
    have changed since is left alone.
    """
    with only_run(Path(target.state) / "promotion.lock"):
        for one in promotions(target):
            if one["state"] in (BUILDING, SWITCHING) and not one.get("after"):  # it never came to its switch
                _end(target, one, FAILED)
        broken_off = [one for one in promotions(target) if one["state"] in (SWITCHING, TAKING_BACK)]
        for one in broken_off:
            with lease.hold(target.store, one["id"]) as held:
                _settle(target, one, say, held)


def _settle(target: Any, one: dict[str, Any], say: Say, held: lease.Lease) -> None:
    there = _standing(target, one)
    done, missing = ([name for name in there if there[name] == which] for which in (AFTER, BEFORE))
    one["broken off"] = True
    home = candidate_of(target.store, one.get("candidate", one["id"]))
    if one["state"] == SWITCHING and not done:
        _end(target, one, FAILED)
    elif one["state"] == SWITCHING and _is_as_compared(home, one, missing):
        if missing:
            gone = _gone(one, missing)
            come = [name for name in missing if name not in gone]
            switch(target.store, home, come, gone, meant=one["after"], check=held.check)
        _drop(home, done)
        _end(target, one, LIVE)
        say(f"[+] {one['id']} was broken off in its switch: {', '.join(missing) or 'nothing'} was left to do")
    elif _not_kept(target, one, done):
        _end(target, one, FAILED)
        stands = ", ".join(f"{name} is {which}" for name, which in there.items())
        say(f"[!] {one['id']} was broken off, and what was before is no longer kept: {stands}; what differs is made anew")
    elif one["state"] == TAKING_BACK:
        _take_back(target, one, done, held)
        say(f"[-] {one['id']} was broken off while it was taken back: {', '.join(done) or 'nothing'} was left to do")
    else:
        _take_back(target, one, done, held)
        _end(target, one, FAILED)
        say(f"[-] {one['id']} was broken off in its switch, and is taken back: {', '.join(done)}")


def _is_as_compared(home: str, promotion: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether the candidates of these are still those that were compared with development."""
    made, meant = open_store(home), {name: promotion["after"][name] for name in names}
    return _marks(made, names) == meant and not any(made.verify(name, deep=True) for name in names if meant[name])


def _standing(target: Any, promotion: Mapping[str, Any]) -> dict[str, str]:
    """Where each collection of a promotion stands."""
    before, after = promotion["before"], promotion["after"]
    now = _marks(open_store(target.store), after)
    return {name: AFTER if now[name] == after[name] else BEFORE if now[name] == before[name] else OTHER for name in after}


def _in_switch(target: Any) -> str:
    """What to say of a promotion that is in the middle of its switch; nothing where there is none."""
    for one in promotions(target):
        if one["state"] in (SWITCHING, TAKING_BACK) and one.get("after"):
            there = ", ".join(f"{name} is {stands}" for name, stands in _standing(target, one).items())
            hint = "if it was killed, `promote.run` brings it to its end and `promote.rollback` takes it back"
            return f"{one['id']} is in the middle of {one['state']}: {there}; {hint}"
    return ""


def _marks(store: Any, names: Iterable[str]) -> dict[str, str | None]:
    """What tells one state of a collection from another, for each; None where it is not there."""
    known, found = set(store.names()), dict[str, str | None]()
    for name in names:
        try:
            found[name] = mark(store.facts(name) if name in known else None)
        except EtlError:
            found[name] = store.lost(name)  # of what cannot be read any more
            if not found[name]:
                raise
    return found


def promotions(target: Any) -> list[dict[str, Any]]:
    """What was promoted to an environment, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(_folder(target).glob("*.json"))]


def list_text(found: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"{one['id']}  {one['state']:<13}  {one['commit'][:12]}  {', '.join(one['collections'])}".rstrip() for one in found
    ]
    return "\n".join(lines) if lines else "nothing was promoted yet"


def _folder(target: Any) -> Path:
    return Path(target.state) / "promotions"


def _end(target: Any, promotion: dict[str, Any], state: str) -> None:
    promotion["state"] = state
    _keep(target, promotion)


def _keep(target: Any, promotion: Mapping[str, Any]) -> None:
    with replacing(_folder(target) / f"{promotion['id']}.json") as part:
        part.write_text(json.dumps(promotion, indent=1) + "\n")


@contextmanager
def _told(target: Any, which: str, command: str, before: Sequence[dict[str, Any]] = ()) -> Iterator[None]:
    """Tell how it ended to whom the environment names. before: what it may be the recovery of."""
    told = {"id": which, "environment": target.name, "command": command, "host": os.uname().nodename}
    try:
        yield
    except BaseException as error:
        failure = error if isinstance(error, EtlError) else EtlError("it was broken off", where=type(error).__name__)
        said = {"what": failure.what, "where": failure.where, "hint": failure.hint}
        tell(target, {**told, "outcome": records.FAILURE, "error": said}, before)
        raise
    tell(target, {**told, "outcome": records.SUCCESS, "collections": collections_of(target) if target.notify else []}, before)


def _earlier(target: Any, command: str) -> list[dict[str, Any]]:
    """The promotions before, for the message: wherever they came from, what counts is whether one could be promoted."""
    return [
        {"id": one["id"], "command": command, "outcome": records.SUCCESS if _went_well(one) else records.FAILURE}
        for one in promotions(target)
    ]


@contextmanager
def _kept_if_broken_off(target: Any, promotion: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        promotion["broken off"] = True
        with suppress(EtlError, OSError):  # a store that does not answer, a full disk: `settle` will see how far it came
            stands = _standing(target, promotion).values() if promotion["state"] == SWITCHING else ()
            if promotion["state"] == SWITCHING and isinstance(error, EtlError):
                _say_what_is_live(target, promotion, error)
            if AFTER not in stands and promotion["state"] in (BUILDING, SWITCHING):
                promotion["state"] = FAILED
            _keep(target, promotion)
        raise


def _say_what_is_live(target: Any, promotion: Mapping[str, Any], error: EtlError) -> None:
    """Add to an error that came up in a switch how far it came."""
    with suppress(EtlError, OSError):
        stands = ", ".join(f"{name} is {which}" for name, which in _standing(target, promotion).items())
        error.where = "\n     ".join(filter(None, (error.where, f"live in {target.name}: {stands}")))


def _went_well(promotion: Mapping[str, Any]) -> bool:
    """Whether an earlier promotion, which is over since this one holds the lock, came to its end by itself."""
    return promotion["state"] in (LIVE, NOTHING, TAKEN_BACK) and not promotion.get("broken off")
