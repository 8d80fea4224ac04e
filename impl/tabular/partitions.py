"""A document run once per partition: the values of one of its parameters, or the files that one of its sources may be.

    partitions = make("YEAR", [2019, 2020])                    # ${YEAR} in the document
    partitions = make("sources.trips.file", [Path("a.csv")])   # with a dot it is a place in the document, as for `--set`
    refuse(documents, "YEAR")                                  # an EtlError where parts would not be parts of the whole

What is made of the partitions one after the other, in their order, is the result (`gather` in parts.py). So a document may only
do what is the same by partition as over all rows: work row by row, and joins to tables that all partitions read.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from impl.run.errors import EtlError
from impl.tabular.document import Document, Node
from impl.tabular.spec import Problems, Spec

COUNTS = "`__row_number__` counts anew in each partition"
LOOKED_AT = 32  # documents that are compared with the first, to see what differs between partitions
OVER_ALL_ROWS = {  # operation: what it would do by partition
    "group_by": "its groups would be those of each partition",
    "group_by_with_rank": "it would count anew in each partition",
    "distinct_rows": "rows of different partitions would not be compared",
    "sort_rows": "each partition would be sorted by itself",
    "limit_rows": "it would take so many rows of each partition",
    "pivot": "each partition would have columns of its own",
}
ALSO_BY_PARTITION = ("melt", "debug")  # not row by row to the engine, but the same rows by partition
ROW_NUMBER = "__row_number__"
_YEARS = re.compile(r"(\d{4})-(\d{4})")
_PATTERN = re.compile(r"[*?\[]")


class Partition(NamedTuple):
    """One partition. label: its name in files and checkpoints; name: the parameter (or place) that has its value."""

    label: str
    name: str
    value: Any

    @property
    def parameters(self) -> dict[str, Any]:
        return {} if "." in self.name else {self.name: self.value}

    @property
    def overrides(self) -> list[str]:
        return [self.name, str(self.value)] if "." in self.name else []


def make(name: str, values: Iterable[Any]) -> list[Partition]:
    """The partitions in the order of their values. An EtlError where two are the same."""
    values = list(values)
    said = [value.stem if isinstance(value, Path) else str(value) for value in values]
    plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", one).strip(".-") for one in said]
    alike = Counter(one.casefold() for one, text in zip(plain, said, strict=True) if one == text)
    doubled = [str(value) for value, times in Counter(map(str, values)).items() if times > 1]
    if doubled:
        raise EtlError("a partition is named twice", where=f"{name}: {doubled[0]}", hint="name each once")
    labels = []
    for value, text, one in zip(values, said, plain, strict=True):
        own = one if one == text and alike[one.casefold()] == 1 else f"{one}-{_short(value)}".strip("-")
        labels.append(own)
    return [Partition(label, name, value) for label, value in zip(labels, values, strict=True)]


def _short(value: Any) -> str:
    """What tells values apart that would have the same label; of a file its last folders, as the others may be moved."""
    text = "/".join(value.parts[-3:]) if isinstance(value, Path) else str(value)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def asked(text: str, folders: Sequence[Path]) -> list[Partition]:
    """The partitions of `NAME=a,b,c`: values, spans of years (`2015-2024`) and patterns of files, below the first of `folders`
    that has any; their files are ordered by name."""
    name, equals, listed = text.partition("=")
    pieces = [one.strip() for one in listed.split(",") if one.strip()]
    if not equals or not name.strip() or not pieces:
        raise EtlError(
            "these are no partitions",
            where=f"--partitions {text}",
            hint="write `--partitions YEAR=2019,2020`, or for files `--partitions 'sources.NAME.file=raw/*.csv'`",
        )
    values: list[Any] = []
    for piece in pieces:
        values += _files(text, piece, folders) if _PATTERN.search(piece) else _years(piece)
    return make(name.strip().removeprefix("$"), values)


def _years(piece: str) -> list[str]:
    span = _YEARS.fullmatch(piece)
    if span is None:
        return [piece]
    if int(span[1]) > int(span[2]):
        raise EtlError("the years end before they begin", where=f"--partitions: {piece}", hint=f"write {span[2]}-{span[1]}")
    return [str(year) for year in range(int(span[1]), int(span[2]) + 1)]


def _files(text: str, pattern: str, folders: Sequence[Path]) -> list[Path]:
    for folder in folders:
        named = glob.glob(os.path.expanduser(pattern), root_dir=folder, recursive=True)  # noqa: PTH111, PTH207 - patterns may be absolute
        found = sorted(path for path in (folder / one for one in named) if path.is_file())
        if found:
            return found
    raise EtlError(
        "no file is like that", where=f"--partitions {text}: {pattern}", hint="paths begin where you stand, or at the document"
    )


# What may be partitioned


@dataclass
class Faults:
    """Why a document gives something else by partition. always: also where partitions are independent."""

    found: list[str] = field(default_factory=list)
    always: list[str] = field(default_factory=list)


def refuse(documents: Sequence[Document], name: str, independent: bool = False) -> None:
    """Raise an EtlError that names all that may not be in a document that is run by partition.

    documents: as they stand for some of the partitions. independent: nothing is said of groups, keys and order across
    partitions, since whoever calls has promised that there are none.
    """
    if len(documents) < 2:
        return
    faults = _Look(documents).faults()
    said = [*faults.always, *([] if independent else faults.found)]
    if not said:
        return
    hint = "take it out of the document; rows that fail can be `warn` or `error`"
    if not faults.always:
        hint = (
            "do it in a second document that reads the gathered result; or, where no group, no key and no order goes across "
            "partitions, say so: `--independent` (in a dataset `independent=True`)"
        )
    raise EtlError(f"by `{name}` the document gives something else than over all rows", where="\n    ".join(said), hint=hint)


def some(things: Sequence[Any]) -> list[Any]:
    """The first, the last and some between: enough to see what differs between partitions."""
    if len(things) <= LOOKED_AT:
        return list(things)
    step = (len(things) - 1) / (LOOKED_AT - 1)
    return [things[round(at * step)] for at in range(LOOKED_AT)]


class _Look:
    """Goes through a document from its sources on: what differs between partitions, and what is made of that."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.first, self.others = documents[0], documents[1:]
        self.nodes = {one.ref: one for one in self.first.nodes}
        self.result = Faults()
        self._parted: dict[str, bool] = {}

    def faults(self) -> Faults:
        for other in self.others:
            missing = self.nodes.keys() ^ {one.ref for one in other.nodes}
            if missing:
                self.result.always.append(f"{self.first.file}: {min(missing)} is not there in every partition")
                return self.result
        for ref, node in self.nodes.items():
            if node.options.get("on_fail") == "quarantine":
                self.result.always.append(f"{self._where(node, 'on_fail')}: each partition would write the same file")
            if node.kind != "destinations":
                self.parted(ref)
            elif not self.parted(str(node.options.get("source"))):
                self.result.found.append(f"{self._where(node)}: its rows are the same in every partition")
            elif ROW_NUMBER in _template(node):
                self.result.found.append(f"{self._where(node, 'template')}: {COUNTS}")
        if len({str(one.config.output_dir) for one in (self.first, *self.others)}) > 1:
            self.result.always.append(f"{self.first.file}: `output_dir` is another in each partition")
        return self.result

    def parted(self, ref: str) -> bool:
        """Whether the rows of a node are those of a partition."""
        if ref not in self._parted:
            self._parted[ref] = False  # of a circle the plan tells
            node = self.nodes.get(ref)
            if node is not None:
                self._parted[ref] = self._differs(node) if node.kind == "sources" else self._transformation(node)
        return self._parted[ref]

    def _same_elsewhere(self, node: Node) -> list[Node]:
        return [getattr(other, node.kind)[node.name] for other in self.others]

    def _differs(self, node: Node) -> bool:
        return any(other.options != node.options for other in self._same_elsewhere(node))

    def _transformation(self, node: Node) -> bool:
        others = self._same_elsewhere(node)
        source = str(node.options.get("source"))
        parted = self.parted(source) or any(other.options.get("source") != source for other in others)
        listed = _operations(node)
        for at, options in enumerate(listed):
            differs = any(_operations(other)[at : at + 1] != [options] for other in others)
            parted = self._operation(node, at + 1, options, parted) or differs
        return parted or any(len(_operations(other)) != len(listed) for other in others)

    def _operation(self, node: Node, number: int, options: Any, parted: bool) -> bool:
        """Whether rows are those of a partition behind the operation."""
        name = str(options.get("operation"))
        given = options.get("sources", [])
        beside = [str(one) for one in (given if isinstance(given, list) else [given])]
        theirs = [self.parted(one) for one in beside]
        if not parted and not any(theirs):
            return False
        spec = Spec(options, Problems(), node.ref, name, number)
        why = _why(spec, parted, theirs)
        if why:
            self.result.found.append(f"{spec.where()}: {why}")
        return True

    def _where(self, node: Node, key: str | None = None) -> str:
        return node.spec(Problems()).where(key)


def _template(node: Node) -> str:
    """The text of a destination's template; of one that cannot be read the plan tells."""
    named = node.options.get("template")
    try:
        return node.path(str(named)).read_text(encoding="utf-8") if named else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _operations(node: Node) -> list[Any]:
    listed = node.options.get("operations")
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _why(spec: Spec, parted: bool, theirs: Sequence[bool]) -> str:
    """Why an operation gives something else by partition; nothing where it does not."""
    name, options = spec.name, spec.options
    if name in OVER_ALL_ROWS:
        return OVER_ALL_ROWS[name]
    if name == "union":
        return "" if parted and all(theirs) else "rows that all partitions read would come once for each"
    if name == "join":
        return _why_join(str(options.get("join_type")), parted, theirs)
    if ROW_NUMBER in str(options):
        return COUNTS
    return "" if name in ALSO_BY_PARTITION or _is_row_wise(name, spec) else "it looks at more than one row"


def _is_row_wise(name: str, spec: Spec) -> bool:
    """Whether the operation looks at each row by itself: what it is made depends on its options."""
    import impl.tabular.operations  # noqa: F401 - registers them
    from impl.tabular.operation import OPERATIONS, RowWise

    kind: Any = OPERATIONS.get(name)
    return kind is not None and isinstance(kind.__new__(kind, spec), RowWise)


def _why_join(kind: str, parted: bool, theirs: Sequence[bool]) -> str:
    if parted and any(theirs):
        return "keys of different partitions would not meet"
    again = "rows without a partner would come once for each partition"
    if parted:
        return "" if kind in ("inner", "left") else again
    # The rows of the partition are on the right: with one table there, what stays is what is on its side.
    return "" if len(theirs) == 1 and kind in ("inner", "right") else again
