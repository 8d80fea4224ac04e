"""What stands in a document, with where it stands, and the problems found in it: all of them at once.

spec = Spec(...)                       # the options of one operation
column = spec.text("column")           # a problem is noted where it is missing or no text
names = spec.texts("columns", default=())
spec.done()                            # notes keys that nobody asked for, with the nearest right name
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from impl.run.errors import EtlError

GLOBAL_KEYS = ("debug", "expect", "on_fail", "require_rows", "show_progress", "repartition")  # of any node
# Keys of a node or an operation that name a file; in a package relative to its own document.
PATH_KEYS = ("file", "template", "map_file", "colspec_file", "schema")


class Map(dict):
    """A mapping of the document. file: where it was written; line: of its first key; lines: of each key, as written (from 1)."""

    file: str = ""
    line: int = 0
    lines: Mapping[Any, int] = {}


class Seq(list):
    """A sequence of the document, with the line of each of its items."""

    file: str = ""
    line: int = 0
    lines: Sequence[int] = ()


@dataclass(frozen=True)
class Problem:
    """Something wrong with a document. where: `file, line 7: $transformations.x, operation 2 (add_columns)`."""

    what: str
    where: str
    hint: str = ""

    def error(self) -> EtlError:
        return EtlError(self.what, where=self.where, hint=self.hint or None)


class SkippedError(Exception):
    """Ends the reading of one part of the document after its problem was noted."""


@dataclass
class Problems:
    """Collects what is wrong (and what is only odd), so that a document is told all of it in one go."""

    found: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def note(self, what: str, where: str, hint: str = "") -> None:
        problem = Problem(what, where, hint)
        if problem not in self.found:
            self.found.append(problem)

    def warn(self, what: str, where: str, hint: str = "") -> None:
        self.warnings.append(Problem(what, where, hint))

    def raise_if_any(self) -> None:
        """One problem is its own error; several are one error that lists them."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise self.found[0].error()
        listed = "\n".join(f"{one.where}\n     {one.what}{f' ({one.hint})' if one.hint else ''}" for one in self.found)
        raise EtlError(f"the document has {len(self.found)} problems", where=listed.replace("\n", "\n  "))


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or what there is."""
    known = list(dict.fromkeys(str(one) for one in known))  # a source and a destination may have one name
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"there is {', '.join(known[:12])}{' ...' if len(known) > 12 else ''}" if known else "there is none"


@dataclass
class Spec:
    """The options of a node or an operation, read one by one. ref: `$transformations.x`; number: of the operation, from 1."""

    options: Map
    problems: Problems
    ref: str
    name: str = ""
    number: int = 0
    asked: set[str] = field(default_factory=set)
    # What the planner knows of where this was written: makes a path absolute by the defining document; its Jinja; strict or fixed.
    path: Callable[[str], Path] = Path
    environment: Any = None
    compat: str = "strict"

    def where(self, key: Any = None) -> str:
        """`project.yaml, line 12: $transformations.x, operation 2 (add_columns), `columns``."""
        line = self.options.lines.get(key, self.options.line) if key is not None else self.options.line
        text = f"{self.options.file}, line {line}: {self.ref}"
        if self.number:
            text += f", operation {self.number} ({self.name})"
        return text + (f", `{key}`" if key is not None else "")

    def wrong(self, what: str, key: Any = None, hint: str = "") -> NoReturn:
        """Note a problem and leave this node or operation."""
        self.problems.note(what, self.where(key), hint)
        raise SkippedError

    def note(self, what: str, key: Any = None, hint: str = "") -> None:
        """Note a problem and go on."""
        self.problems.note(what, self.where(key), hint)

    def has(self, key: str) -> bool:
        self.asked.add(key)
        return key in self.options and self.options[key] is not None

    def value(self, key: str, default: Any = ...) -> Any:
        """Whatever stands under `key`; without a default it has to be there."""
        if self.has(key):
            return self.options[key]
        if default is ...:
            self._missing(key)
        return default

    def _missing(self, key: str) -> NoReturn:
        """A key that is there and was not asked for may be the one that is missing, misspelt."""
        others = [str(one) for one in self.options if str(one) not in self.asked]
        close = difflib.get_close_matches(key, others, n=1, cutoff=0.75)
        if close:
            self.wrong(f"there is no option `{close[0]}`", close[0], f"did you mean `{key}`?")
        self.wrong(f"`{key}` is missing", None, f"write `{key}:`")

    def text(self, key: str, default: Any = ...) -> Any:
        found = self.value(key, default)
        if key in self.options and isinstance(found, Map | Seq | dict | list):
            return self._otherwise(default, f"`{key}` has to be one text", key)
        return str(found) if self.has(key) else found

    def texts(self, key: str, default: Any = ...) -> Any:
        """A list of texts; one text alone is a list of one."""
        found = self.value(key, default)
        if not self.has(key):
            return found
        if isinstance(found, dict):
            return self._otherwise(default, f"`{key}` has to be a list", key)
        return [str(one) for one in found] if isinstance(found, list | tuple) else [str(found)]

    def flag(self, key: str, default: bool = False) -> bool:
        found = self.value(key, default)
        if not isinstance(found, bool):
            return bool(self._otherwise(default, f"`{key}` has to be True or False", key))
        return found

    def count(self, key: str, default: Any = ..., least: int = 0) -> Any:
        found = self.value(key, default)
        if self.has(key) and (isinstance(found, bool) or not isinstance(found, int) or found < least):
            return self._otherwise(default, f"`{key}` has to be a whole number, {least} or more", key)
        return found

    def choice(self, key: str, known: Sequence[str], default: Any = ...) -> Any:
        found = self.text(key, default)
        if self.has(key) and found not in known:
            return self._otherwise(default, f"`{key}` cannot be `{found}`", key, nearest(str(found), known))
        return found

    def mapping(self, key: str, default: Any = ...) -> Any:
        found = self.value(key, default)
        if self.has(key) and not isinstance(found, dict):
            return self._otherwise(default, f"`{key}` has to be a mapping", key)
        return found

    def _otherwise(self, default: Any, what: str, key: str, hint: str = "") -> Any:
        """Note that an option is wrong; with its default the rest is read and checked, without one it cannot be."""
        if default is ...:
            self.wrong(what, key, hint)
        self.note(what, key, hint)
        return default

    def done(self, also: Iterable[str] = ()) -> None:
        """Every key has to have been asked for."""
        known = sorted({*self.asked, *also})
        for key in self.options:
            if str(key) not in known:
                self.note(f"there is no option `{key}`", key, nearest(str(key), known))


def walk(value: Any) -> Iterator[Any]:
    """All values below `value`, itself first."""
    yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(one)
