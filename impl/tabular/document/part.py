"""One document of a project: its own, or that of a package."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from impl.tabular.spec import Map, Problem

SECTIONS = ("sources", "transformations", "destinations")
TOP_LEVEL = ("version", "config", "definitions", "packages", *SECTIONS)
Place = tuple[str, int]  # file as it is called in messages, line


@dataclass
class Part:
    """One document: the project's own, or a package's.

    lines: as written; config: as it was read before Jinja; unknown: names that its Jinja asked for and that nobody gives.
    """

    path: Path
    label: str
    written: str
    name: str = ""  # of the package
    root: bool = True
    config: Map | None = None
    macros: str = ""
    found: Map = field(default_factory=Map)
    unknown: list[Problem] = field(default_factory=list)

    @cached_property
    def lines(self) -> list[str]:
        return self.written.split("\n")
