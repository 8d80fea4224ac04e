"""The map of one day, for collections with a row per region and day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from impl.run.errors import EtlError
from impl.store import open_store
from impl.view.map import choropleth


def map_of_day(
    store: str,
    target: str | Path,
    *,
    collection: str,
    column: str,
    day: str,
    region: str = "",
    where: Mapping[str, str] | None = None,
) -> str:
    """Draw `column` of `collection` on `day` (ISO 8601) into the PNG `target`; its path.

    region: "" for all, or "state:NAME". where: further columns and the value that each has to have.
    """
    try:
        first = date.fromisoformat(day)
    except ValueError:
        raise EtlError(f"`{day}` is not a day", where="--date", hint="write it as 2005-07-15") from None
    kind, _, name = region.partition(":")
    if region and (kind != "state" or not name):
        raise EtlError(f"`{region}` is not a region", where="--region", hint="write `state:NAME`, as in `state:Colorado`")
    conditions = [f"timestamp >= '{first}' and timestamp < '{first + timedelta(days=1)}'"]
    for one, value in (where or {}).items():
        quoted = value.replace("'", "''")
        conditions.append(f"\"{one}\" = '{quoted}'")
    opened = open_store(store)
    described = {one.name: one for one in opened.facts(collection).columns}
    meaning = described[column].meaning if column in described else ""
    title = f"{(meaning or column)[:1].upper()}{(meaning or column)[1:]}, {first}"
    return choropleth(
        opened,
        collection=collection,
        column=column,
        where=" and ".join(conditions),
        within=("state", name) if region else None,
        title=title,
        note=", ".join((where or {}).values()),
        target=target,
    )
