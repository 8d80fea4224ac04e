"""Chooses the reader of a source by its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from impl.run.secrets import redact
from impl.tabular.sources.arrow import Arrow
from impl.tabular.sources.database import Database, FtpTable
from impl.tabular.sources.delimited import Delimited
from impl.tabular.sources.file import TYPES, type_of
from impl.tabular.sources.fixedwidth import FixedWidth
from impl.tabular.sources.jsonlines import Json
from impl.tabular.sources.source import Source
from impl.tabular.sources.typed import Pickle, Typed
from impl.tabular.spec import Spec, nearest

READERS: dict[str, type[Source]] = {
    "csv": Delimited,
    "tsv": Delimited,
    "fixedwidth": FixedWidth,
    "parquet": Arrow,
    "feather": Arrow,
    "orc": Arrow,
    **dict.fromkeys(("json", "jsonl"), Json),
    **dict.fromkeys(("excel", "sas", "spss", "stata", "xml", "html"), Typed),
}


def open_source(spec: Spec, path: Callable[[str], Path] | None = None, *, trust: bool = False) -> Source:
    """The source that the options of a node describe; `path` makes a text absolute by the folder of the document (else `spec.path`).

    Nothing is read yet. What is wrong with the options is noted in `spec`, and `SkippedError` ends it. trust: the document
    may do what a program may (pickle).
    """
    path = path or spec.path
    if spec.has("connection"):
        return Database(spec, path) if spec.has("query") else FtpTable(spec, path)
    if "file" not in spec.options:
        spec.wrong("the source says not where it reads", None, "write `file:`, or `connection:` with `query:`")
    spec.has("file")
    text = spec.text("file", "")
    kind = spec.text("type", None)
    if kind is None:
        kind = type_of(text)
        if kind is None and text:
            spec.wrong(
                f"the type of `{redact(text)}` cannot be told from its name", "file", f"say `type:`; {nearest('', _types())}"
            )
    if kind == "pickle":
        if not trust:
            spec.wrong(
                "a pickle runs what its author wrote, and is not read",
                "file",
                "write it as Parquet, or run with `--trust` if you trust whoever made it",
            )
        return Pickle(spec, path)
    if kind and kind not in READERS:
        spec.wrong(f"there is no type `{kind}`", "type", nearest(kind, _types()))
    return READERS[kind or "csv"](spec, path)


def _types() -> list[str]:
    return sorted(set(TYPES.values()))
