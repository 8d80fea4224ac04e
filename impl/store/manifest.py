"""The facts of a collection, as they ride in the commits of its Delta table.

Every commit of ours carries the whole manifest in its `commitInfo`, so rows and facts change together or not at
all. It is read here with `json` alone, without the Delta library: `holds` and `store.list` take milliseconds.

Commits of other tools carry none. Those that move rows about (OPTIMIZE) or change nothing leave the last manifest
true; any other makes it stale, and the lake computes it again from the rows. So that none is lost, tables are made
with properties that keep the log (it takes about a two-thousandth of the rows).

The manifest names the files too, with size and time of change: what was lost or rewritten is then seen without the rows.

In object storage, where a folder cannot be renamed, a collection is dropped by a commit that takes all rows away and
says so in the place of the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from impl.run.errors import EtlError
from impl.store.folder import CHECKPOINT, COMMIT
from impl.store.interface import Collection, Column, File, PartFacts, Values

if TYPE_CHECKING:
    from impl.store.bucket import Bucket
    from impl.store.folder import Folder

FIELD = "sustain_etl"  # in commitInfo
DROPPED = {FIELD: {"format": 1, "dropped": True}}  # instead of a manifest
_DELTA_TYPES = {
    "text": "string",
    "smallint": "short",
    "integer": "integer",
    "bigint": "long",
    "real": "float",
    "double": "double",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "date": "date",
    "bytes": "binary",
    "geometry": "binary",
}


class StaleError(Exception):
    """Rows changed after the last manifest. `last` is that manifest, as far as there is one."""

    def __init__(self, last: Collection | None) -> None:
        super().__init__("the rows changed without a manifest")
        self.last = last


class Dropped(NamedTuple):
    """The collection is gone since the commit of this version."""

    version: int


def to_metadata(collection: Collection) -> dict[str, Any]:
    """The manifest as custom metadata of a commit."""
    places = {values: place for place, values in enumerate(collection.parts)}
    files = [[places[values], *one[:3]] for values, some in (collection.files or {}).items() for one in some]
    return {
        FIELD: {
            "format": 1,
            "name": collection.name,
            "key": list(collection.key),
            "columns": [list(column) for column in collection.columns],
            "partition_by": list(collection.partition_by),
            "parts": [[list(values), *facts] for values, facts in collection.parts.items()],
            **({} if collection.files is None else {"files": files}),
            "geometry": collection.geometry,
            "description": collection.description,
            "source": collection.source,
            "licence": collection.licence,
        }
    }


def _from_metadata(stored: dict[str, Any], version: int, milliseconds: int) -> Collection:
    parts = {tuple(values): PartFacts(*facts) for values, *facts in stored["parts"]}
    in_order = list(parts)
    files = by_part((in_order[place], File(*file)) for place, *file in stored["files"]) if "files" in stored else None
    return Collection(
        name=stored["name"],
        key=tuple(stored["key"]),
        columns=tuple(Column(*column) for column in stored["columns"]),
        partition_by=tuple(stored["partition_by"]),
        parts=parts,
        files=files,
        geometry=stored["geometry"],
        description=stored["description"],
        source=stored["source"],
        licence=stored["licence"],
        version=version,
        updated=datetime.fromtimestamp(milliseconds / 1000, UTC),
    )


def read(files: Folder | Bucket, name: str) -> Collection | None:
    """The manifest of the newest version of a table; None where there is no table, or a dropped one.

    Raises `StaleError` where rows changed without one, and an `EtlError` where the log is damaged.
    """
    found = state(files, name)
    return None if isinstance(found, Dropped) else found


def state(files: Folder | Bucket, name: str) -> Collection | Dropped | None:
    """As `read`, and tells a dropped table from none at all."""
    try:
        return _state(files, name)
    except FileNotFoundError:  # dropped between the look at the log and into it
        return _state(files, name)


def _state(files: Folder | Bucket, name: str) -> Collection | Dropped | None:
    names, whole = files.log(name)
    try:
        return _search(files, name, names)
    except StaleError as stale:
        if whole or stale.last is not None:
            raise
    return _search(files, name, files.log(name, whole=True)[0])


def _search(files: Folder | Bucket, name: str, names: list[str]) -> Collection | Dropped | None:
    commits = sorted((int(found.group(1)) for one in names if (found := COMMIT.fullmatch(one))), reverse=True)
    checkpoints = [int(found.group(1)) for one in names if (found := CHECKPOINT.fullmatch(one))]
    if not commits and not checkpoints:
        return None
    newest, unbroken, schemas = max(commits + checkpoints), True, list[dict[str, Any]]()
    moved: list[list[dict[str, Any]]] = []  # what commits of others did with files, newest first
    for expected, version in enumerate(commits):
        unbroken = unbroken and version == newest - expected
        said, same_rows = _read_commit(files, name, version, schemas, moved)
        if isinstance(said, Dropped):
            if unbroken:
                return Dropped(newest)
            raise StaleError(None)
        if said is not None:
            if unbroken and all(_is_schema_of(said, schema) for schema in schemas):
                return replace(said, version=newest, files=_as_moved(said, moved))
            raise StaleError(said)
        unbroken = unbroken and same_rows
    raise StaleError(None)


def _read_commit(
    files: Folder | Bucket, name: str, version: int, schemas: list[dict[str, Any]], moved: list[list[dict[str, Any]]]
) -> tuple[Collection | Dropped | None, bool]:
    """The manifest in one commit, or else whether the commit left the rows as they were.

    Adds to `schemas` what it set, and to `moved` what it did with files."""
    same_rows, file = True, f"{version:020}.json"
    moved.append([])
    try:
        for action in _actions(files.commit(name, file)):
            information = action.get("commitInfo", {})
            if FIELD in information:
                if information[FIELD].get("dropped"):
                    return Dropped(version), False
                return _from_metadata(information[FIELD], version, information["timestamp"]), True
            for change in ("add", "remove"):
                same_rows = same_rows and not action.get(change, {"dataChange": False}).get("dataChange", True)
                moved[-1] += [action] if change in action else []
            if "metaData" in action:
                schemas.append(action["metaData"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(files, name, f"{file}: {error}") from error
    return None, same_rows


def _as_moved(collection: Collection, commits: list[list[dict[str, Any]]]) -> Mapping[Values, tuple[File, ...]] | None:
    """The files of a collection after commits of others that moved its rows about."""
    if collection.files is None or not any(commits):
        return collection.files
    parts = {tuple(map(str, values)): values for values in collection.parts}
    now = {file.path: (values, file) for values, some in collection.files.items() for file in some}
    for action in (action for commit in reversed(commits) for action in commit):
        if "remove" in action:
            now.pop(unquote(action["remove"]["path"]), None)
        else:
            add = action["add"]
            values = parts.get(tuple(str(add["partitionValues"].get(column)) for column in collection.partition_by))
            if values is None:
                return None
            path = unquote(add["path"])
            now[path] = (values, File(path, add["size"], add["modificationTime"], exact=False))
    return by_part(now.values())


def by_part(files: Iterable[tuple[Values, File]]) -> dict[Values, tuple[File, ...]]:
    """Files with their partition values, by these."""
    found: dict[Values, tuple[File, ...]] = {}
    for values, file in files:
        found[values] = (*found.get(values, ()), file)
    return found


def at(files: Folder | Bucket, name: str, version: int) -> Collection | None:
    """The last manifest up to one version of a table; None where there is none."""
    names = [one for one in files.log(name, whole=True)[0] if one[:20].isdigit() and int(one[:20]) <= version]
    try:
        found = _search(files, name, names)
    except StaleError as stale:
        found = stale.last
    return replace(found, version=version) if isinstance(found, Collection) else None


def removed(files: Folder | Bucket, name: str, version: int) -> list[str]:
    """The paths of the files that one commit took away, as the log writes them."""
    return [action["remove"]["path"] for action in _actions(files.commit(name, f"{version:020}.json")) if "remove" in action]


def _is_schema_of(collection: Collection, metadata: dict[str, Any]) -> bool:
    """Whether metadata that another tool wrote, to set a property say, have the columns that the manifest has."""
    fields = [(field["name"], field["type"]) for field in json.loads(metadata["schemaString"])["fields"]]
    columns = [(column.name, _DELTA_TYPES[column.type]) for column in collection.columns]
    return fields == columns and tuple(metadata["partitionColumns"]) == collection.partition_by


def _actions(text: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in text.split("\n") if line.strip())


def damaged(files: Folder | Bucket, name: str, detail: str) -> EtlError:
    """The error for a table that cannot be read."""
    dataset, _, member = name.partition("_")
    return EtlError(
        f"the collection `{name}` is damaged",
        where=f"{files.at(name)}: {detail}",
        hint=f"remove that folder, then run the task of `{'.'.join(filter(None, (dataset, member)))}` that makes it "
        f"(`invoke -l {dataset}`)",
    )
