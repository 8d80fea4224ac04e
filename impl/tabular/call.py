"""One call of the command, and what there is around the engine where it is called."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from impl.run.errors import EtlError
from impl.tabular.screen import LEVELS, Screen

if TYPE_CHECKING:
    from impl.tabular.collections import Declared
    from impl.tabular.document import Document
    from impl.tabular.plan import Plan
    from impl.tabular.results import Results

NAME = "mover"


class Loading(Protocol):
    """A store that a document's destinations may go to. file: the document."""

    def check(self, wanted: Sequence[Declared], file: Path) -> None:
        """Raise an EtlError where one of the collections is not the document's to replace."""

    def load(self, wanted: Declared, rows: Path, file: Path) -> dict[str, Any]:
        """Put the rows of a Parquet file in the place of the collection: rows, fingerprint, changed, warnings."""

    def remove(self, names: Sequence[str], file: Path) -> list[str]:
        """Take away those of the collections that the document made; their names."""


class Surroundings(Protocol):
    """What there is around the engine where it is called."""

    def store(self, typed: str, address: str) -> Loading | None:
        """The store, for what was typed (`run`); at `address`, if one was given. None where none is known."""

    def by_partition(self, call: Call) -> int:
        """Run the document by partition (`--partitions`); the exit code."""


@dataclass
class Call:
    """One call of the command: what was asked for, the environment and where it was asked."""

    given: argparse.Namespace
    screen: Screen
    variables: Mapping[str, str]
    folder: Path
    results: Results | None = field(default=None)
    around: Surroundings | None = None

    @property
    def document(self) -> Path | None:
        return Path(self.given.config_file) if self.given.config_file else None

    def params(self) -> dict[str, str]:
        """What `--params` says. EtlError where it is no JSON object."""
        text = self.given.params
        try:
            found = json.loads(text) if text else {}
        except ValueError as error:
            raise EtlError(
                "`--params` is no JSON", where=f"`--params`: {error}", hint='write it like `--params \'{"YEAR": "2026"}\'`'
            ) from error
        if not isinstance(found, dict):
            raise EtlError(
                "`--params` is no JSON object",
                where=f"it is a {type(found).__name__}",
                hint='write `--params \'{"NAME": "value"}\'`',
            )
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}

    def state_file(self, document: Document) -> Path | None:
        """Where it is remembered what was made, if that is asked for."""
        return None if self.given.skip_hashing else document.config.state_file

    def load(self, *, served: bool = False) -> Document:
        """The document, and how much is told from here on."""
        from impl.tabular.document import find, load

        path = find(self.document, self.folder)
        if self.document is None:
            self.screen.say(f"no document was named with `-c`; taking ./{path.name}")
        document = load(
            path,
            params=self.params(),
            overrides=self.given.set or (),
            variables=self.variables,
            trust=self.given.trust,
            served=served,
            folder=self.folder,
        )
        config = document.config
        self.screen.level = LEVELS["DEBUG"] if self.given.show_stacktrace else LEVELS[config.log_level]
        self.given.show_stacktrace = self.given.show_stacktrace or config.show_stacktrace
        return document

    def loading(self, typed: str, where: str, needed: bool = True) -> Any:
        """The store that collections go to. EtlError where one is needed and none is known."""
        address = self.given.store or self.variables.get("ETL_STORE", "")
        found = self.around.store(typed, address) if self.around is not None else None
        if found is None and needed:
            raise EtlError(
                "a destination goes to the store, and no store is named",
                where=where,
                hint="name one with `--store ADDRESS` or ETL_STORE: a folder, or `postgresql://etl:${DB_PASSWORD}@host/database`; "
                "`invoke tabular.run` takes the one of the environment",
            )
        return found

    def plan(self, document: Document, selector: str = "*", keep: str = "") -> Plan:
        """The plan of the document; what is odd in it is told."""
        from impl.tabular.plan import make_plan

        try:
            plan = make_plan(document, selector, trust=self.given.trust, keep=keep)
        finally:
            # What is odd is often why something is wrong.
            for one in document.problems.warnings:
                self.screen.warn(f"{one.where}: {one.what}{f' ({one.hint})' if one.hint else ''}")
        if self.screen.level <= LEVELS["DEBUG"]:
            for step in plan.steps.values():
                step.guard.debug = True
        return plan


def needs_environment(flag: str) -> EtlError:
    return EtlError(
        f"`{flag}` wants an environment, and none is here",
        where=f"{NAME} run",
        hint=f"`invoke tabular.run ... {flag}` in a checkout takes the environment that ETL_ENV names",
    )
