"""All of a project: its nodes, its config, its macros."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from impl.run.errors import EtlError
from impl.tabular.document.config import Config, read_config
from impl.tabular.document.files import find
from impl.tabular.document.merging import merged_parts, with_packages
from impl.tabular.document.overrides import SET, override, override_pairs
from impl.tabular.document.part import SECTIONS, TOP_LEVEL, Part
from impl.tabular.document.reading import Reader
from impl.tabular.document.yamltext import plain
from impl.tabular.spec import Map, Problems, Spec, nearest


@dataclass
class Node:
    """A source, transformation or destination.

    file: the document that has it (of several, the one that wins); folders: those of all that have it, the winner's first.
    trusted: its Jinja may be rendered outside the sandbox.
    """

    kind: str
    name: str
    options: Map
    file: Path
    folder: Path
    folders: Sequence[Path] = ()
    trusted: bool = True

    @property
    def ref(self) -> str:
        return f"${self.kind}.{self.name}"

    def spec(self, problems: Problems) -> Spec:
        return Spec(self.options, problems, self.ref)

    def path(self, text: str) -> Path:
        """The file that `text` names: relative to the folder of the project, whatever the working directory is."""
        if "\0" in text:
            raise EtlError("the name of a file cannot hold a zero byte", where=self.spec(Problems()).where())
        return self.folder / text  # not normalized: `..` is for the system to follow, which knows about links


@dataclass
class Document:
    """All of a project. compiled: the merged document before `--set`, as plain values; files: it and its packages' documents."""

    file: Path
    folder: Path
    config: Config
    params: dict[str, str]
    macros: str
    sources: dict[str, Node]
    transformations: dict[str, Node]
    destinations: dict[str, Node]
    compiled: dict[Any, Any]
    problems: Problems
    files: list[Path]
    variables: dict[str, str] = field(default_factory=dict)  # what `$NAME` stands for, in templates too

    @cached_property
    def text(self) -> str:
        """The compiled YAML, as `compile` writes it."""
        return yaml.dump(self.compiled, default_flow_style=False, sort_keys=False)

    @property
    def nodes(self) -> list[Node]:
        return [*self.sources.values(), *self.transformations.values(), *self.destinations.values()]


def load(
    file: Path | None,
    *,
    params: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    variables: Mapping[str, str],
    trust: bool = False,
    served: bool = False,
    folder: Path,
) -> Document:
    """Read the project in `file` (else in `folder`). Raises an `EtlError` where there is none or where it cannot be read.

    params: win over the document's `parameter_defaults`, and `variables` (the environment) win over both. overrides:
    `path, value, path, value`. Problems that leave something to read are noted in `problems` of the document, not raised.
    The project's own Jinja is trusted and that of packages is sandboxed; with `trust` neither, when `served` both are.
    """
    problems = Problems()
    path = find(file, folder)
    reader = Reader(path.parent, params=params or {}, variables=variables, problems=problems, trust=trust, served=served)
    pairs = override_pairs(overrides)
    root = reader.open(path)
    parts = with_packages(root, reader)
    for part in parts:
        problems.warnings += part.unknown
    problems.raise_if_any()
    merged, folders = merged_parts(parts, problems)
    compiled, written = plain(merged), list(root.found)
    config = read_config(root, pairs, problems)
    for number, (key, value) in enumerate(pairs, 1):
        override(merged, key, value, number, problems)
    _check_top(merged, written, [key.split(".")[0] for key, _ in pairs], root, problems)
    trusted = trust and not served
    own = not served and not reader.foreign
    sections: dict[str, dict[str, Node]] = {}
    for kind in SECTIONS:
        sections[kind] = {}
        for name, options in _nodes(merged, kind, problems):
            has = folders.get((kind, str(name))) or [root.path]  # one that only `--set` makes is the project's
            sections[kind][str(name)] = Node(
                kind,
                str(name),
                options,
                file=has[0],
                folder=root.path.parent,
                folders=list(dict.fromkeys(one.parent for one in has)),
                trusted=trusted or (own and set(has) == {root.path}),
            )
    problems.warnings = list(dict.fromkeys(problems.warnings))
    return Document(
        file=root.path,
        folder=root.path.parent,
        config=config,
        params=reader.params,
        macros=reader.macros,
        compiled=compiled,
        problems=problems,
        files=[part.path for part in parts],
        variables={**reader.params, **variables},
        **sections,
    )


def _check_top(merged: Map, written: list[Any], set_keys: list[str], root: Part, problems: Problems) -> None:
    for key in (*written, *set_keys):
        if key not in TOP_LEVEL:
            where = f"{merged.file or root.label}, line {merged.lines[key]}" if key in written else SET
            problems.note(f"there is no `{key}` in a document", where, nearest(str(key), TOP_LEVEL))
    for kind in SECTIONS:
        if merged.get(kind) is None and kind != "transformations":
            line = merged.lines.get(kind)
            where = f"{merged.file or root.label}{f', line {line}' if line else ''}"
            problems.note(
                f"`{kind}` is {'empty' if kind in merged else 'missing'}",
                where,
                f"write `{kind}:` with a node or more below it",
            )


def _nodes(merged: Map, kind: str, problems: Problems) -> Iterable[tuple[Any, Map]]:
    section = merged.get(kind)
    if section is None:
        return
    if not isinstance(section, Map):
        where = f"{merged.file}, line {merged.lines.get(kind, merged.line)}"
        problems.note(f"`{kind}` has to be a mapping", where, "below it stands `NAME:`, and below that the node's options")
        return
    for name, options in section.items():
        if isinstance(options, Map):
            yield name, options
        else:
            where = f"{section.file}, line {section.lines.get(name, section.line)}: ${kind}.{name}"
            problems.note("the node has to be a mapping", where, "write its options below its name, indented")
