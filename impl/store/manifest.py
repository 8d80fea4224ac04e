"""The facts of a collection, as they ride in the commits of its Delta table.

Every commit of ours carries the whole manifest in its `commitInfo`, so rows and facts change together or not at
all. It is read here with `json` alone, without the Delta library: `holds` and `store.list` take milliseconds.

Commits of other tools carry none. Those that move rows about (OPTIMIZE) or change nothing leave the last manifest
true; any other makes it stale, and the lake computes it again from the rows. So that none is lost, tables are made
with PROPERTIES that keep the log (it takes about a two-thousandth of the rows).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError
from impl.store.interface import Collection, Column, PartFacts

FIELD = "sustain_etl"  # in commitInfo
PROPERTIES = {"delta.logRetentionDuration": "interval 36500 days"}
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet")
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


def to_metadata(collection: Collection) -> dict[str, Any]:
    """The manifest as custom metadata of a commit."""
    return {
        FIELD: {
            "format": 1,
            "name": collection.name,
            "key": list(collection.key),
            "columns": [list(column) for column in collection.columns],
            "partition_by": list(collection.partition_by),
            "parts": [[list(values), *facts] for values, facts in collection.parts.items()],
            "geometry": collection.geometry,
            "description": collection.description,
            "source": collection.source,
            "licence": collection.licence,
        }
    }


def _from_metadata(stored: dict[str, Any], version: int, milliseconds: int) -> Collection:
    return Collection(
        name=stored["name"],
        key=tuple(stored["key"]),
        columns=tuple(Column(*column) for column in stored["columns"]),
        partition_by=tuple(stored["partition_by"]),
        parts={tuple(values): PartFacts(*facts) for values, *facts in stored["parts"]},
        geometry=stored["geometry"],
        description=stored["description"],
        source=stored["source"],
        licence=stored["licence"],
        version=version,
        updated=datetime.fromtimestamp(milliseconds / 1000, UTC),
    )


def from_commit(information: dict[str, Any], version: int) -> Collection:
    """The manifest in the information of one commit, as the Delta library gives it."""
    stored = information[FIELD]
    return _from_metadata(json.loads(stored) if isinstance(stored, str) else stored, version, information["timestamp"])


def is_table(folder: Path) -> bool:
    """Whether a Delta table lies in `folder`, whole or not."""
    try:
        return any(_COMMIT.fullmatch(one.name) or _CHECKPOINT.fullmatch(one.name) for one in _log(folder).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def read(folder: Path) -> Collection | None:
    """The manifest of the newest version of the table in `folder`; None where there is no table.

    Raises `StaleError` where rows changed without one, and an `EtlError` where the log is damaged.
    """
    try:
        names = [one.name for one in _log(folder).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    commits = sorted((int(found.group(1)) for name in names if (found := _COMMIT.fullmatch(name))), reverse=True)
    checkpoints = [int(found.group(1)) for name in names if (found := _CHECKPOINT.fullmatch(name))]
    if not commits and not checkpoints:
        return None
    newest, unbroken, schemas = max(commits + checkpoints), True, list[dict[str, Any]]()
    for expected, version in enumerate(commits):
        unbroken = unbroken and version == newest - expected
        collection, same_rows = _read_commit(_log(folder) / f"{version:020}.json", version, schemas)
        if collection is not None:
            if unbroken and all(_is_schema_of(collection, schema) for schema in schemas):
                return replace(collection, version=newest)
            raise StaleError(collection)
        unbroken = unbroken and same_rows
    raise StaleError(None)


def _log(folder: Path) -> Path:
    return folder / "_delta_log"


def _read_commit(path: Path, version: int, schemas: list[dict[str, Any]]) -> tuple[Collection | None, bool]:
    """The manifest in one commit, or else whether the commit left the rows as they were; adds to `schemas` what it set."""
    same_rows = True
    try:
        for action in _actions(path):
            information = action.get("commitInfo", {})
            if FIELD in information:
                return _from_metadata(information[FIELD], version, information["timestamp"]), True
            for change in ("add", "remove"):
                same_rows = same_rows and not action.get(change, {"dataChange": False}).get("dataChange", True)
            if "metaData" in action:
                schemas.append(action["metaData"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path.parent.parent, f"{path.name}: {error}") from error
    return None, same_rows


def _is_schema_of(collection: Collection, metadata: dict[str, Any]) -> bool:
    """Whether metadata that another tool wrote, to set a property say, have the columns that the manifest has."""
    fields = [(field["name"], field["type"]) for field in json.loads(metadata["schemaString"])["fields"]]
    columns = [(column.name, _DELTA_TYPES[column.type]) for column in collection.columns]
    return fields == columns and tuple(metadata["partitionColumns"]) == collection.partition_by


def _actions(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def damaged(folder: Path, detail: str) -> EtlError:
    """The error for a table that cannot be read."""
    dataset, _, member = folder.name.partition("_")
    return EtlError(
        f"the collection `{folder.name}` is damaged",
        where=f"{folder}: {detail}",
        hint=f"remove that folder, then run the task of `{'.'.join(filter(None, (dataset, member)))}` that makes it "
        f"(`invoke -l {dataset}`)",
    )
