"""What a destination says of the collection of the store that its rows go to.

Read here and carried to the store by whoever has one (impl/documents.py by hand, impl/steps.py in a dataset): the engine itself
knows no store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from impl.tabular.spec import Spec, nearest

KEYS = ("key", "columns", "partition_by", "description", "origin", "licence", "may_be_empty", "checks")
NO_FILE = ("template", "extension", "linearize", "header", "footer", "format", "compression", "schema")  # there is no file
RESERVED = "rejected_"  # of rows that a check refused
# check: (what it takes by position, what by name); as in impl/store/checks.py
CHECKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "not_null": (("columns",), ()),
    "accepted_range": (("columns",), ("low", "high")),
    "references": (("column", "collection"), ("to",)),
    "complete": (("region", "day"), ("of", "to", "where", "calendar", "under_way")),
    "row_count": ((), ("at_least", "at_most")),
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class DeclaredCheck:
    """A check by its name, with what it is given."""

    kind: str
    given: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Declared:
    """A collection as a document declares it. columns: name -> (unit, meaning); origin: where the data come from."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, tuple[str, str]]
    partition_by: tuple[str, ...] = ()
    description: str = ""
    origin: str = ""
    licence: str = ""
    may_be_empty: bool = False
    checks: tuple[DeclaredCheck, ...] = ()

    def named(self) -> dict[str, tuple[str, ...]]:
        """The columns that have to be there, by the key of the document that names them."""
        return {"key": self.key, "columns": tuple(self.columns), "partition_by": self.partition_by}


def read_collection(spec: Spec) -> Declared | None:
    """The collection that a destination names under `store`, if it does; what is wrong is noted in `spec`."""
    if not spec.has("store"):
        for key in KEYS:
            if spec.has(key):
                spec.note(f"`{key}` is said of a collection, and none is named", key, "write `store: COLLECTION` too")
        return None
    name = spec.text("store")
    if not _NAME.fullmatch(name) or name.startswith(RESERVED):
        hint = f"lower-case letters, digits and underscores, a letter first, and not `{RESERVED}...`: `river_gauges`"
        spec.note(f"a collection cannot be called `{name}`", "store", hint)
    for key in NO_FILE:
        if spec.has(key):
            spec.note(f"rows that go to the store have no `{key}`", key, "leave it out, or add a second destination for a file")
    return Declared(
        name,
        key=tuple(spec.texts("key")),
        columns=_columns(spec),
        partition_by=tuple(spec.texts("partition_by", ())),
        description=spec.text("description", ""),
        origin=spec.text("origin", ""),
        licence=spec.text("licence", ""),
        may_be_empty=spec.flag("may_be_empty"),
        checks=tuple(_checks(spec)),
    )


def _columns(spec: Spec) -> dict[str, tuple[str, str]]:
    found = {}
    for name, said in spec.mapping("columns", {}).items():
        if isinstance(said, list) and len(said) == 2:
            found[str(name)] = (str(said[0]), str(said[1]))
        elif isinstance(said, list | dict):
            spec.note(f"`{name}` is not described", "columns", "write its meaning, or `[unit, meaning]`")
        else:
            found[str(name)] = ("", str(said or ""))
    return found


def _checks(spec: Spec) -> list[DeclaredCheck]:
    listed = spec.value("checks", [])
    if not isinstance(listed, list):
        spec.note("`checks` has to be a list", "checks", "write `- not_null: [COLUMN]`")
        return []
    found = [_check(spec, kind, given) for one in listed for kind, given in _pairs(spec, one)]
    return [one for one in found if one is not None]


def _pairs(spec: Spec, one: Any) -> list[tuple[str, Any]]:
    if isinstance(one, dict) and len(one) == 1:
        return [(str(kind), given) for kind, given in one.items()]
    spec.note(f"`{one}` is no check", "checks", "write each as `- NAME: what it takes`, as `- not_null: [COLUMN]`")
    return []


def _check(spec: Spec, kind: str, given: Any) -> DeclaredCheck | None:
    """`not_null: [a, b]`, or `accepted_range: {columns: [a], low: 0}`."""
    if kind not in CHECKS:
        spec.note(f"there is no check `{kind}`", "checks", nearest(kind, CHECKS))
        return None
    first, more = CHECKS[kind]
    settings = (
        dict(given) if isinstance(given, dict) else dict(zip(first, [given], strict=False)) if first == ("columns",) else {}
    )
    unknown = [one for one in settings if one not in (*first, *more, "warn")]
    missing = [one for one in first if settings.get(one) in (None, "", [])]
    if not isinstance(given, dict) and first != ("columns",):
        spec.note(
            f"`{kind}` wants a mapping", "checks", f"write `{kind}: {{{', '.join(f'{one}: ...' for one in (*first, *more))}}}`"
        )
    elif unknown:
        spec.note(f"`{kind}` takes no `{unknown[0]}`", "checks", nearest(str(unknown[0]), (*first, *more, "warn")))
    elif missing:
        spec.note(f"`{kind}` lacks `{missing[0]}`", "checks", f"write `{kind}: {{{missing[0]}: ...}}`")
    else:
        words = [settings.pop(one) for one in first]
        flat = [str(one) for word in words for one in (word if isinstance(word, list) else [word])]
        return DeclaredCheck(kind, tuple(flat), settings)
    return None
