"""What a run leaves and says at its end: its record, a message, what there is now, and what to try next."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from impl.run import notify, records
from impl.run.errors import EtlError, explain

DAY_SECONDS = 24 * 3600
QUERY = (
    "select name, max(max_daily_high_temperature_kelvin) as hottest from macav2_county"
    " join region_county using (gis_join) group by name order by hottest desc limit 5"
)


def summary_of(env: Any, summary: Any) -> str:
    """Collections with their rows, the seconds, and three commands to go on with."""
    from impl.store import open_store
    from impl.store.rejected import is_rejected

    store = open_store(env.store)
    lines = [""]
    for name in store.names():
        facts = store.facts(name)
        marks = [*(["rejected rows"] if is_rejected(name) else []), *(["synthetic sample"] if facts.synthetic else [])]
        marked = f"  ({', '.join(marks)})" if marks else ""
        lines.append(f"  {name:<20} {facts.rows:>12,} rows  {facts.fingerprint[:12]}{marked}")
    made, kept = len(summary.made), len(summary.kept)
    lines += [
        "",
        f"{made} checkpoints made, {kept} up to date, in {summary.seconds:.1f} s. Next:",
        "",
        f'  invoke store.query "{QUERY}"',
        "  invoke macav2.map --variable mean_daily_high_temperature_kelvin --date 2005-07-15",
        "  ETL_SOURCE=remote invoke region.stage     # real boundaries; docs/macav2.md tells how to get real climate",
    ]
    return "\n".join(lines)


@contextmanager
def recorded(env: Any, graph: Any, selected: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Around a run: its record is kept, and its end is told to whom the environment names."""
    record: dict[str, Any] = {}
    try:
        with records.keep(env, graph, selected, collections_of) as record:
            yield record
    finally:
        if record:
            tell(env, record)
        if record.get("collections"):  # the store answers, and there is something in it
            tidy(env)


def tidy(env: Any) -> None:
    """Once a day: rows of killed loads go, and of versions older than a week. What goes wrong is said, and fails nothing."""
    from impl.store import switch

    done = Path(env.state) / "tidied"
    if done.exists() and 0 <= time.time() - done.stat().st_mtime < DAY_SECONDS:
        return
    try:
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()  # first: a store that cannot be tidied is not asked again at each run
        switch.tidy(env.store)
    except (EtlError, OSError) as error:
        sys.stderr.write(f"the store was not tidied: {explain(error).what}\n")


def tell(env: Any, record: dict[str, Any], before: Sequence[dict[str, Any]] | None = None) -> None:
    """Send the message about a run. What goes wrong here is said, and fails nothing.

    before: the earlier ones that it may be the recovery of; the runs of the environment where nothing else is given.
    """
    if not env.notify:
        return
    try:
        earlier = records.all_of(env.state) if before is None else before
        refused = notify.send(env.notify, notify.message(record, earlier))
        problem = f"it was not taken by {', '.join(refused)}" if refused else ""
    except Exception as error:  # noqa: BLE001 - a message must not fail the run that it is about
        problem = error.what if isinstance(error, EtlError) else explain(error).what
    if problem:
        sys.stderr.write(f"the message about this run was not sent: {problem}\n")


def collections_of(env: Any) -> list[dict[str, Any]]:
    """The facts of all collections, for a run record."""
    from impl.store import open_store
    from impl.store.rejected import is_rejected

    store = open_store(env.store)
    found: list[dict[str, Any]] = []
    for name in store.names():
        if is_rejected(name):
            continue
        facts = store.facts(name)
        found.append(
            {
                "name": name,
                "rows": facts.rows,
                "fingerprint": facts.fingerprint,
                "version": facts.version,
                "key": list(facts.key),
                "columns": [list(column) for column in facts.columns],
                "synthetic": facts.synthetic,
                "parts": {
                    "/".join(map(str, values)) or "all": f"{part.rows} {part.fingerprint}"
                    for values, part in facts.parts.items()
                },
            }
        )
    return found
