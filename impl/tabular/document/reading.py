"""Reads documents one by one: variables, Jinja, YAML."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from impl.run.errors import EtlError
from impl.run.secrets import redact
from impl.tabular.document.part import SECTIONS, Part, Place
from impl.tabular.document.rendering import Rendering, make_environment
from impl.tabular.document.yamltext import parse, unshared, yaml_hint
from impl.tabular.spec import Map, Problems

VERSION = 2

_CONFIG = re.compile(r"^(?:config|\"config\"|'config')[ \t]*:(?=\s|$)", re.MULTILINE)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_NO_JINJA = re.compile(r"(?!.*__)[\w ./:,@+-]*")  # a value that cannot end a text of Jinja, nor be more than a name in it


class Reader:
    """Reads documents one by one; their `parameter_defaults` and macros add up.

    params: what was given wins over the first document's defaults, and these over the next one's. foreign: a package has
    given what may be Jinja in the texts of the others, the project's own among them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        params: Mapping[str, Any],
        variables: Mapping[str, str],
        problems: Problems,
        trust: bool = False,
        served: bool = False,
    ) -> None:
        self.folder, self.variables, self.problems = folder, variables, problems
        self.params = {str(key): str(value) for key, value in params.items()}
        self.macros = ""
        self.trust, self.served = trust and not served, served
        self._macro_places: list[Place] = []
        self.foreign = False
        for kind in SECTIONS:
            if kind in variables or kind in self.params:
                problems.warn(f"a variable is called `{kind}`: it takes the place of `${kind}.NAME`", "the environment")

    def label(self, path: Path) -> str:
        """How messages call a file."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)

    def open(self, path: Path, name: str = "", root: bool = True) -> Part:
        """Read a file and its config; its defaults and macros are known from here on."""
        try:
            written = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            where = f"{self.label(path)}, line {line}"
            raise EtlError("the document is not UTF-8", where=where, hint="save it as UTF-8") from error
        part = Part(path, self.label(path), written.replace("\r\n", "\n").replace("\r", "\n"), name, root)
        part.config = self._config(part)
        if part.config is not None:
            self._take(part, part.config)
        return part

    def read(self, part: Part) -> Map:
        """The document as it stands after variables, Jinja and YAML, with all defaults and macros known so far."""
        found = self._rendered(part)
        if part.config is None and isinstance(found.get("config"), Map):
            # It only stands there after Jinja (an include, a condition): what it defines is used from here on.
            part.config = found["config"]
            self._take(part, part.config)
            if part.macros or part.config.get("parameter_defaults"):
                found = self._rendered(part)
        return found

    def _config(self, part: Part) -> Map | None:
        """The config, wherever it stands, before any Jinja; None where it cannot be told without."""
        text, lines = _substituted(part.written, {**self.params, **self.variables})
        starts = [one.start() for one in _CONFIG.finditer(_COMMENT.sub(_blank, text))]
        if len(starts) != 1:
            return None
        first = text.count("\n", 0, starts[0])
        block = _block(text[starts[0] :])

        def place(index: int) -> list[Place]:
            return [(part.label, lines[min(first + block.count("\n", 0, index), len(lines) - 1)])]

        try:
            found = parse(block, place, Problems())
        except (yaml.YAMLError, RecursionError):
            return None
        config = found.get("config") if isinstance(found, Map) else None
        return config if isinstance(config, Map) else None

    def _take(self, part: Part, config: Map) -> None:
        """Let the defaults and macros of a config be known, and put the defaults into its own texts."""
        defaults = config.get("parameter_defaults")
        for key, value in (defaults if isinstance(defaults, Map) else {}).items():
            if str(key) not in self.params:
                self.params[str(key)] = str(value)
                self.foreign = self.foreign or not (part.root or _NO_JINJA.fullmatch(str(value)))
        for key, value in config.items():
            if isinstance(value, str):
                config[key] = string.Template(value).safe_substitute(self.params)
        given = config.get("macros")
        part.macros = given.strip() if isinstance(given, str) else ""
        if not part.macros:
            return
        self.foreign = self.foreign or not part.root
        places = _macro_places(part, config, part.macros)
        # As the last line of these and the first of those before are one line, so are their places.
        self._macro_places = places[: len(places) - 1 if self.macros else None] + (self._macro_places or [])
        self.macros = part.macros + self.macros

    def _rendered(self, part: Part) -> Map:
        text, lines = _substituted(part.written, {**self.params, **self.variables})
        source = f"{self.macros}\n{text}" if self.macros else text
        table = [*(self._macro_places if self.macros else ()), *((part.label, line) for line in lines)]
        sandboxed = self.served or (not self.trust and (self.foreign or not part.root))
        rendering = Rendering(part, source, table, make_environment(part.path.parent, sandboxed), self.label)
        rendered = rendering.run()
        part.unknown = rendering.unknown
        try:
            found = parse(rendered, rendering.place, self.problems)
        except yaml.YAMLError as error:
            self._wrong_yaml(error, rendering, part)
        except RecursionError as error:
            what = "the document has lists or mappings in each other without end"
            raise EtlError(what, where=part.label, hint="look for brackets that are not closed") from error
        if found is None:
            found = Map()
        if not isinstance(found, Map):
            raise EtlError("the document has to be a mapping", where=part.label, hint="it begins with `version: 2`")
        found = unshared(found, part.label)
        if found.get("version") != VERSION or isinstance(found.get("version"), bool):
            has = f"`version` is {found['version']!r}" if "version" in found else "`version` is missing"
            where = f"{part.label}, line {found.lines.get('version', 1)}"
            self.problems.note(f"{has}, it has to be {VERSION}", where, "write `version: 2`")
        return found

    def _wrong_yaml(self, error: yaml.YAMLError, rendering: Rendering, part: Part) -> NoReturn:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        index = mark.index if mark is not None else getattr(error, "position", 0)
        file, line = rendering.place(index)[-1]
        where = f"{file}, line {line}"
        if file == part.label and 0 < line <= len(part.lines):
            # As written: with its variables put in it might show a secret.
            where += f": `{redact(part.lines[line - 1].strip())[:120]}`"
        begun = getattr(error, "context_mark", None)
        if begun is not None and mark is not None and begun.line != mark.line:
            at = rendering.place(begun.index)[-1]
            if at != (file, line):
                where += f" (what it belongs to begins in {'' if at[0] == file else at[0] + ', '}line {at[1]})"
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
        raise EtlError(f"the YAML cannot be read: {what}", where=where, hint=yaml_hint(str(error), part, file, line)) from error


def _substituted(text: str, values: Mapping[str, str]) -> tuple[str, list[int]]:
    """Variables put in, and for each line that comes out the line (from 1) it was; a value may have lines of its own."""
    if "$" not in text:
        return text, list(range(1, text.count("\n") + 2))
    made, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        now = string.Template(line).safe_substitute(values) if "$" in line else line
        made.append(now)
        lines += [number] * (now.count("\n") + 1)
    return "\n".join(made), lines


def _block(text: str) -> str:
    """The first key of `text` with all that is indented below it."""
    taken: list[str] = []
    for line in text.splitlines(keepends=True):
        if taken and line.strip() and not line.startswith((" ", "\t", "#")):
            break
        taken.append(line)
    return "".join(taken)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found.group())


def _macro_places(part: Part, config: Map, macros: str) -> list[Place]:
    """Where each line of the macros was written: told exactly in a `|` block, else by the line of their key."""
    start = config.lines.get("macros", 1)
    first, *others = (one.strip() for one in macros.split("\n"))
    for number in range(start, min(start + 40, len(part.lines))):
        below = [one.strip() for one in part.lines[number : number + 1 + len(others)]]
        if below == [first, *others]:
            return [(part.label, number + 1 + at) for at in range(len(below))]
    return [(part.label, start)] * (1 + len(others))
