"""Reads a document: the file is found, its variables put in, its Jinja rendered, its YAML read, its packages merged, its keys checked.

document = load(None, variables=os.environ, folder=Path.cwd())
document.sources["x"].spec(document.problems)      # the options of a node, each with the line in which it was written

Lines are those of the file as written. Each line of a Jinja template is put out by itself (`_ByLine`), so that a rendered
text knows which line made each of its parts, also in loops and includes. What a macro makes belongs to the line that calls it.
"""

from __future__ import annotations

import os
import re
import string
import sys
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import jinja2
import yaml
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.lexer import TOKEN_DATA
from jinja2.sandbox import SecurityError

from impl.run.errors import EtlError
from impl.run.secrets import redact
from impl.tabular.sandbox import Sandbox
from impl.tabular.spec import PATH_KEYS, Map, Problem, Problems, Seq, SkippedError, Spec, nearest
from impl.tabular.templates.jinja import fromjson, md5

NAMES = ("earthmover.yaml", "earthmover.yml")
VERSION = 2
SECTIONS = ("sources", "transformations", "destinations")
TOP_LEVEL = ("version", "config", "definitions", "packages", *SECTIONS)
PACKAGES = "packages"  # the folder of installed packages, beside the document
COMMIT = ".commit"  # in a package's folder: the commit it was made from
SET = "--set"  # stands for the file of what came from the command line
COMPAT = ("strict", "fixed")
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")
MEMORY_LIMIT = 2 << 30
MOST_VALUES, MOST_DEPTH = 2_000_000, 100  # of a document with its aliases written out

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:(ki|mi|gi|ti|k|m|g|t)?b?)\s*$", re.IGNORECASE)
_CONFIG = re.compile(r"^(?:config|\"config\"|'config')[ \t]*:(?=\s|$)", re.MULTILINE)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_DEFINED = re.compile(r"\{%[-+]?\s*(?:macro|set)\s+(\w+)|\bimport\s+[^%]*?(\w+)\s*[-+]?%\}")
_BRACKETS = re.compile(r"[\[\]{}]")
_DEEP = re.compile(r"(?:[-?] ){100}")
_LONE_TAG = re.compile(r"(?<![^\s\[{,])!(?=[\s,\]}]|$)")
_NO_JINJA = re.compile(r"(?!.*__)[\w ./:,@+-]*")  # a value that cannot end a text of Jinja, nor be more than a name in it
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_UNDEFINED = re.compile(r"^'(\w+)' is undefined")
FOR_THE_ROWS = "Jinja that is meant for each row stands between `{% raw %}` and `{% endraw %}`"
Place = tuple[str, int]  # file as it is called in messages, line


@dataclass
class Config:
    """What stands under `config`, with what `--set config.*` changed. Paths are absolute; given: all of it as written."""

    output_dir: Path
    state_file: Path | None = None  # None: no state is kept
    log_level: str = "INFO"
    tmp_dir: Path | None = None  # None: the system's
    show_graph: bool = False
    show_stacktrace: bool = False
    macros: str = ""
    parameter_defaults: dict[str, str] = field(default_factory=dict)
    show_progress: bool = False
    git_auth_timeout: float = 60
    memory_limit: int = MEMORY_LIMIT  # bytes
    compat: str = "strict"
    workers: int = 0  # one per core
    given: Map = field(default_factory=Map)


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
    parts = _with_packages(root, reader)
    for part in parts:
        problems.warnings += part.unknown
    problems.raise_if_any()
    merged, folders = _merged(parts, problems)
    compiled, written = _plain(merged), list(root.found)
    config = read_config(root, pairs, problems)
    for number, (key, value) in enumerate(pairs, 1):
        _override(merged, key, value, number, problems)
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


def find(file: Path | None, folder: Path) -> Path:
    """The absolute path of the document; an `EtlError` with the nearest names where there is none."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links, and paths in the project are relative to the link
    given = Path(os.path.normpath(folder / os.path.expanduser(file or "")))  # noqa: PTH111 - Path's fails on `~nobody`
    known: Sequence[str] = NAMES
    if file is None or given.is_dir():
        wanted = [given / name for name in NAMES]
    else:
        wanted, known = [given], [given.name]
    for one in wanted:
        if one.is_file():
            return one
    place = wanted[0].parent
    near = sorted(one.name for one in place.glob("*.y*ml")) if place.is_dir() else []
    hint = nearest(known[0], near) if near else "name the document with `--config FILE`"
    what = f"there is no {' or '.join(f'`{one}`' for one in known)}" if place.is_dir() else "there is no such folder"
    raise EtlError(what, where=place, hint=hint)


# Reading one file --------------------------------------------------------------------------------------------------------


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
            found = _parse(block, place, Problems())
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
        rendering = _Rendering(part, source, table, make_environment(part.path.parent, sandboxed), self.label)
        rendered = rendering.run()
        part.unknown = rendering.unknown
        try:
            found = _parse(rendered, rendering.place, self.problems)
        except yaml.YAMLError as error:
            self._wrong_yaml(error, rendering, part)
        except RecursionError as error:
            what = "the document has lists or mappings in each other without end"
            raise EtlError(what, where=part.label, hint="look for brackets that are not closed") from error
        if found is None:
            found = Map()
        if not isinstance(found, Map):
            raise EtlError("the document has to be a mapping", where=part.label, hint="it begins with `version: 2`")
        found = _unshared(found, part.label)
        if found.get("version") != VERSION or isinstance(found.get("version"), bool):
            has = f"`version` is {found['version']!r}" if "version" in found else "`version` is missing"
            where = f"{part.label}, line {found.lines.get('version', 1)}"
            self.problems.note(f"{has}, it has to be {VERSION}", where, "write `version: 2`")
        return found

    def _wrong_yaml(self, error: yaml.YAMLError, rendering: _Rendering, part: Part) -> NoReturn:
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
        raise EtlError(
            f"the YAML cannot be read: {what}", where=where, hint=_yaml_hint(str(error), part, file, line)
        ) from error


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


# Jinja -------------------------------------------------------------------------------------------------------------------


class _ByLine(CodeGenerator):
    """Puts out each line of a template by itself, so that the line that made a text is known when it comes."""

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        for child in node.nodes:
            pieces: list[nodes.Expr] = [child]
            if isinstance(child, nodes.TemplateData):
                texts = child.data.split("\n")
                texts = [f"{one}\n" for one in texts[:-1]] + texts[-1:]
                pieces = [nodes.TemplateData(one, lineno=child.lineno + at) for at, one in enumerate(texts) if one]
            for piece in pieces:
                self.newline(piece)
                super().visit_Output(nodes.Output([piece], lineno=piece.lineno), frame)


class _Environment(jinja2.Environment):
    code_generator_class = _ByLine


class _Sandbox(Sandbox):
    code_generator_class = _ByLine


def make_environment(folder: Path, sandboxed: bool) -> jinja2.Environment:
    """A Jinja environment that finds files in `folder` and has `md5` and `fromjson`."""
    made = (_Sandbox if sandboxed else _Environment)(loader=jinja2.FileSystemLoader(str(folder)))
    made.globals.update(md5=md5, fromjson=fromjson)
    return made


def _telling(tell: Callable[[str], None]) -> type[jinja2.Undefined]:
    """Names that nobody gives are as empty as ever, and `tell` is told when what they hold is asked for.

    `is defined` and `default` look at the kind of the thing only, and so do not ask.
    """

    class Unknown(jinja2.Undefined):
        __slots__ = ()
        __hash__ = jinja2.Undefined.__hash__

        def __str__(self) -> str:
            tell(self._undefined_message)
            return super().__str__()

        def __iter__(self) -> Iterator[Any]:
            tell(self._undefined_message)
            return super().__iter__()

        def __len__(self) -> int:
            tell(self._undefined_message)
            return super().__len__()

        def __bool__(self) -> bool:
            tell(self._undefined_message)
            return super().__bool__()

        def __eq__(self, other: object) -> bool:
            tell(self._undefined_message)
            return super().__eq__(other)

    return Unknown


def _in_backticks(said: str) -> str:
    """`'name' is undefined` of Jinja as we write names."""
    return re.sub(r"'(\w+)'", r"`\1`", said)


def _calling_frames(rendering: _Rendering) -> Iterable[Place]:
    """The places in templates that are being rendered now, outermost first."""
    frame, places = sys._getframe(), []
    while frame is not None:
        template = frame.f_globals.get("__jinja_template__")
        if template is not None:
            places.append(rendering._at(template, rendering._line(template, frame.f_lineno)))
        frame = frame.f_back  # type: ignore[assignment]
    return reversed(places)


class _Rendering:
    """A document rendered, and for each part of the text where it was written.

    table: for each line of `source` the place it was written at. place(index): the places behind a character, from the
    document's own to that of the innermost include.
    """

    def __init__(
        self,
        part: Part,
        source: str,
        table: list[Place],
        environment: jinja2.Environment,
        label: Callable[[Path], str],
    ) -> None:
        self.part, self.source, self.table, self.environment, self._label = part, source, table, environment, label
        self._lines: dict[int, tuple[list[int], list[int]]] = {}
        self._starts: list[int] = []
        self._places: list[list[Place]] = []
        self.unknown: list[Problem] = []
        environment.undefined = _telling(self._asked)

    def run(self) -> str:
        if "{" not in self.source:  # no Jinja at all
            source = self.source.removesuffix("\n")
            at = 0
            for number, line in enumerate(source.split("\n"), 1):
                self._starts.append(at)
                self._places.append([self._at(None, number)])
                at += len(line) + 1
            return source
        texts: list[str] = []
        at = 0
        try:
            if (only := self._only_text()) is not None:
                return only
            code = self.environment.compile(self.source, filename=str(self.part.path))
            template = self.environment.template_class.from_code(
                self.environment, code, self.environment.make_globals(None), None
            )
            self._main = template
            stream = template.root_render_func(template.new_context({}))
            for text in stream:
                self._starts.append(at)
                self._places.append(self._stack(stream))
                texts.append(text)
                at += len(text)
        except jinja2.TemplateSyntaxError as error:
            place = self._file_line(error.filename, error.lineno)
            raise self._error(
                f"the Jinja cannot be read: {error.message}", [place], _syntax_hint(str(error.message))
            ) from error
        except Exception as error:
            raise self._failed(error) from error
        return "".join(texts)

    def _only_text(self) -> str | None:
        """The text of a document without any Jinja but `raw` and comments: nothing has to be compiled. Else None."""
        found: list[tuple[int, str]] = []
        for token in self.environment.lexer.tokenize(self.source, filename=str(self.part.path)):
            if token.type != TOKEN_DATA:
                return None
            found.append((token.lineno, token.value))
        at = 0
        for first, text in found:
            for number, line in enumerate(_LINES.findall(text), first):
                self._starts.append(at)
                self._places.append([self._at(None, number)])
                at += len(line)
        return "".join(text for _, text in found)

    def place(self, index: int) -> list[Place]:
        at = bisect_right(self._starts, index) - 1
        return self._places[at] if 0 <= at < len(self._places) else [(self.part.label, 1)]

    def _stack(self, stream: Any) -> list[Place]:
        """Where the text that `stream` has just given was made: in the document, and below it in the files that it includes."""
        places: list[Place] = []
        while (frame := getattr(stream, "gi_frame", None)) is not None:
            template = frame.f_globals.get("__jinja_template__")
            if template is None:
                break
            places.append(self._at(template, self._line(template, frame.f_lineno)))
            # An include keeps its stream in `gen`; a block is asked for by `yield from`.
            included = frame.f_locals.get("gen") if "gen" in frame.f_code.co_varnames else None
            stream = included if getattr(included, "gi_frame", None) is not None else stream.gi_yieldfrom
        return places or [(self.part.label, 1)]

    def _line(self, template: Any, code_line: int) -> int:
        """The line of the template that a line of its code was made from."""
        if id(template) not in self._lines:
            pairs = sorted((code, line) for line, code in template.debug_info)
            self._lines[id(template)] = ([code for code, _ in pairs], [line for _, line in pairs])
        codes, lines = self._lines[id(template)]
        at = bisect_right(codes, code_line) - 1
        return lines[at] if at >= 0 else 1

    def _at(self, template: Any, line: int) -> Place:
        if template is None or template is self._main:
            return self.table[min(max(line, 1), len(self.table)) - 1]
        return (self._label(Path(template.filename)), line) if template.filename else (self.part.label, line)

    _main: Any = None

    def _file_line(self, filename: str | None, line: int) -> Place:
        if filename is None or filename == str(self.part.path):
            return self._at(None, line)
        return self._label(Path(filename)), line

    def _asked(self, what: str) -> None:
        """What a name that nobody gives stands for is asked for: empty, as in the peer, but told."""
        told = self._error(_in_backticks(what), list(_calling_frames(self)), self._unknown_hint(what))
        problem = Problem(f"{told.what}, so nothing is written there", str(told.where), told.hint or "")
        if problem not in self.unknown:
            self.unknown.append(problem)

    def _unknown_hint(self, what: str) -> str:
        """The nearest name of the document, and what else such a name may have been meant for."""
        found = _UNDEFINED.match(what)
        if found is None:
            return ""
        known = {one for pair in _DEFINED.findall(self.source) for one in pair if one} | {"md5", "fromjson"}
        near = nearest(found.group(1), sorted(known))
        return f"{near} {FOR_THE_ROWS}" if near.startswith("did you mean") else FOR_THE_ROWS

    def _failed(self, error: Exception) -> EtlError:
        places = list(_template_frames(error.__traceback__, self))
        what, hint = f"the Jinja failed: {redact(str(error)) or type(error).__name__}", ""
        if isinstance(error, jinja2.TemplateNotFound):
            folder = self.part.path.parent
            files = [one.relative_to(folder).as_posix() for one in folder.glob("**/*") if one.is_file()]
            what, hint = f"there is no file `{error.name}` to include", nearest(str(error.name), files)
        elif isinstance(error, SecurityError):
            hint = "it is rendered in a sandbox, as it comes from a package or was asked for by a server; `--trust` leaves it"
        elif isinstance(error, jinja2.UndefinedError):
            what, hint = f"the Jinja failed: {_in_backticks(str(error))}", self._unknown_hint(str(error))
        return self._error(what, places, hint)

    def _error(self, what: str, places: list[Place], hint: str) -> EtlError:
        """The innermost place first."""
        places = list(dict.fromkeys(reversed(places))) or [(self.part.label, 1)]
        (file, line), called = places[0], places[1:]
        where = f"{file}, line {line}"
        if file == self.part.label and 0 < line <= len(self.part.lines):
            where += f": `{redact(self.part.lines[line - 1].strip())[:120]}`"
        if called:
            where += f", called in {called[-1][0]}, line {called[-1][1]}"
        return EtlError(what, where=where, hint=hint or None)


def _template_frames(trace: TracebackType | None, rendering: _Rendering) -> Iterable[Place]:
    """The places in templates along a traceback, outermost first."""
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            yield rendering._at(template, rendering._line(template, trace.tb_lineno))
        trace = trace.tb_next


def _syntax_hint(message: str) -> str:
    if "end of template" in message or "Unexpected end" in message:
        return "a `{% if %}`, `{% for %}` or `{% macro %}` is not ended, or a `}}` or `%}` is missing"
    if "unknown tag 'end" in message:
        return "it ends what was not begun"
    if "unknown tag" in message:
        name = re.search(r"unknown tag '(\w+)'", message)
        known = ("for", "if", "elif", "else", "endif", "endfor", "macro", "endmacro", "set", "import", "from", "include", "raw")
        return nearest(name.group(1), known) if name else ""
    if "filter named" in message:
        name = re.search(r"filter named '(\w+)'", message)
        return nearest(name.group(1), jinja2.defaults.DEFAULT_FILTERS) if name else ""
    if "comment" in message:
        return "a `{#` begins a comment, which ends with `#}`"
    return "text with `{{`, `{%` or `{#` that is no Jinja stands between `{% raw %}` and `{% endraw %}`"


def _yaml_hint(message: str, part: Part, file: str, line: int) -> str:
    written = part.lines[line - 1] if file == part.label and 0 < line <= len(part.lines) else ""
    if "\\t" in message or "\t" in written[: len(written) - len(written.lstrip())]:
        return "indent with blanks, not with tabs"
    if "unhashable" in message or "{{" in written:
        return 'a value that Jinja fills may need quotes around it: `key: "{{ value }}"`'
    if "undefined alias" in message:
        return "an anchor (`&name`) stands before what uses it (`*name`)"
    if "cannot start any token" in message:
        return "put the value in quotes"
    if "mapping values are not allowed" in message:
        return "a text with `: ` in it needs quotes; else look at the indentation"
    if "looks like" in message:
        return "put a text in quotes"
    if "could not determine a constructor" in message:
        return "put a value that begins with `!` in quotes"
    return "look at the indentation, at quotes and at `- ` around this line"


# YAML --------------------------------------------------------------------------------------------------------------------


class _Construct:
    """Makes `Map` and `Seq` with the lines as written. Mixed into PyYAML's loaders."""

    place: Callable[[int], list[Place]]
    problems: Problems

    def construct_map(self, node: Any) -> Iterable[Map]:
        made = Map()
        yield made
        pairs = node.value
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "a mapping was expected", node.start_mark)
        first = self.place((pairs[0][0] if pairs else node).start_mark.index)[-1]
        made.file, made.line = first
        lines: dict[Any, int] = {}
        seen: set[Any] = set()
        own = {id(key) for key, _ in pairs}
        self.flatten_mapping(node)  # type: ignore[attr-defined]
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[attr-defined]
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    "while constructing a mapping", node.start_mark, "found unhashable key", key_node.start_mark
                )
            made[key] = self.value(value_node)
            lines[key] = _line_in(made.file, self.place(key_node.start_mark.index))
            if id(key_node) in own:
                if key in seen:
                    self.problems.warn(f"the key `{key}` stands twice, the last one counts", f"{made.file}, line {lines[key]}")
                seen.add(key)
        made.lines = lines

    def value(self, node: Any) -> Any:
        try:
            return self.construct_object(node)  # type: ignore[attr-defined]
        except ValueError as error:  # `2020-13-45` looks like a date and is none
            what = f"`{node.value}` looks like a date or a number and is none"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error

    def construct_seq(self, node: Any) -> Iterable[Seq]:
        made = Seq()
        yield made
        made.file, made.line = self.place((node.value[0] if node.value else node).start_mark.index)[-1]
        made.extend(self.value(one) for one in node.value)
        made.lines = [_line_in(made.file, self.place(one.start_mark.index)) for one in node.value]


def _line_in(file: str, places: list[Place]) -> int:
    """The line in `file`; of what another file brought, the line that brought it."""
    for name, line in reversed(places):
        if name == file:
            return line
    return places[0][1]


class _PureLoader(_Construct, yaml.SafeLoader):
    pass


class _FastLoader(_Construct, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    pass


for _one in (_PureLoader, _FastLoader):
    _one.add_constructor("tag:yaml.org,2002:map", _one.construct_map)
    _one.add_constructor("tag:yaml.org,2002:seq", _one.construct_seq)


def _parse(text: str, place: Callable[[int], list[Place]], problems: Problems) -> Any:
    """The value of a YAML text. libyaml is quick; where it refuses, PyYAML's own reader has the last word and the better message."""
    noted = len(problems.warnings)
    # A lone tag is the one thing that both read and differ about; and libyaml ends the process where it runs out of its stack.
    if _LONE_TAG.search(text) or _is_deep(text):
        return _parse_with(_PureLoader, text, place, problems)
    try:
        return _parse_with(_FastLoader, text, place, problems)
    except yaml.YAMLError:
        del problems.warnings[noted:]
        return _parse_with(_PureLoader, text, place, problems)


def _parse_with(loader: Any, text: str, place: Callable[[int], list[Place]], problems: Problems) -> Any:
    made = loader(text)
    made.place, made.problems = place, problems
    try:
        return made.get_single_data()
    finally:
        made.dispose()


def _is_deep(text: str) -> bool:
    """Whether a text looks like lists in lists without end: brackets that are not closed, or `- - - `."""
    if _DEEP.search(text):
        return True
    if text.count("[") + text.count("{") < MOST_DEPTH:
        return False
    depth = 0
    for one in _BRACKETS.findall(text):
        depth = max(depth + (1 if one in "[{" else -1), 0)
        if depth > MOST_DEPTH:
            return True
    return False


def _unshared(value: Any, label: str) -> Any:
    """A copy in which each alias is a value of its own, so that a change in one place is one change."""
    made = 0

    def copy(value: Any, above: frozenset[int]) -> Any:
        nonlocal made
        made += 1
        if not isinstance(value, Map | Seq):
            return value
        if id(value) in above:
            raise EtlError("an alias stands inside its own anchor", where=f"{label}, line {value.line}", hint="write it out")
        if made > MOST_VALUES or len(above) > MOST_DEPTH:
            what = f"more than {MOST_VALUES:,} values" if made > MOST_VALUES else f"more than {MOST_DEPTH} values in each other"
            raise EtlError(
                f"the document has {what}", where=f"{label}, line {value.line}", hint="look at its aliases (`*name`)"
            )
        inside = above | {id(value)}
        if isinstance(value, Map):
            return _like(value, Map((key, copy(one, inside)) for key, one in value.items()))
        return _like(value, Seq(copy(one, inside) for one in value))

    return copy(value, frozenset())


def _like(value: Any, made: Any) -> Any:
    made.file, made.line = value.file, value.line
    made.lines = dict(value.lines) if isinstance(value, Map) else list(value.lines)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


# Packages ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Package:
    """A package as a document asks for it: `local` or `git`. where: for messages."""

    name: str
    local: str | None = None
    git: str | None = None
    subdirectory: str | None = None
    branch: str | None = None
    commit: str | None = None
    where: str = ""


_COMMIT_HASH = re.compile(r"^[0-9a-f]{7,64}$", re.IGNORECASE)


def packages_of(found: Map, problems: Problems) -> list[Package]:
    """The packages that a document asks for; what is wrong with them is noted."""
    listed = found.get(PACKAGES)
    if listed is None:
        return []
    if not isinstance(listed, Map):
        where = f"{found.file}, line {found.lines.get(PACKAGES, found.line)}"
        problems.note(
            "`packages` has to be a mapping", where, "write `packages:`, below it `NAME:`, below that `local:` or `git:`"
        )
        return []
    packages = []
    for name, options in listed.items():
        where = f"{listed.file}, line {listed.lines.get(name, listed.line)}: packages.{name}"
        if not isinstance(options, Map):
            problems.note("the package has to be a mapping", where, "write `local: FOLDER` or `git: ADDRESS` below it")
            continue
        if not re.fullmatch(r"[\w][\w .+-]*", str(name)) or str(name).endswith("."):
            problems.note(
                f"a package cannot be called `{name}`", where, "its name becomes a folder: letters, digits, `_` and `-`"
            )
            continue
        spec = Spec(options, problems, f"packages.{name}")
        try:
            keys = {key: spec.text(key, None) for key in ("local", "git", "subdirectory", "branch", "commit")}
            spec.done()
            if bool(keys["local"]) == bool(keys["git"]):
                spec.wrong("a package has either `local` or `git`", None, "write `local: FOLDER` or `git: ADDRESS`")
            for key in ("subdirectory", "branch", "commit"):
                if keys[key] is not None and keys["git"] is None:
                    spec.wrong(f"`{key}` belongs to a package from `git`", key, "leave it out")
            if keys["commit"] is not None and not _COMMIT_HASH.match(keys["commit"]):
                spec.wrong(
                    f"`{keys['commit']}` is no commit",
                    "commit",
                    "write the hash in quotes, 7 digits or more, as `git log` shows it",
                )
        except SkippedError:
            continue
        packages.append(Package(str(name), **keys, where=where))
    return packages


def installed_document(folder: Path) -> Path | None:
    """The document of the package in `folder`."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def same_commit(pinned: str, commit: str) -> bool:
    return commit.lower().startswith(pinned.lower())


def _with_packages(root: Part, reader: Reader) -> list[Part]:
    """The document and those of all its packages, each before its own packages, in the order in which they are asked for."""
    root.found = reader.read(root)
    parts = [root]
    for package in packages_of(root.found, reader.problems):
        parts += _opened(package, root, reader)
    for part in parts if len(parts) > 1 else ():
        # Once more: each may use what the others define.
        part.found = reader.read(part)
    return parts


def _opened(package: Package, asked: Part, reader: Reader) -> list[Part]:
    folder = asked.path.parent / PACKAGES / package.name
    file = installed_document(folder)
    if file is None:
        what = (
            f"the package `{package.name}` has no {NAMES[0]}"
            if folder.is_dir()
            else f"the package `{package.name}` is not installed"
        )
        reader.problems.note(what, package.where, "install packages first: `deps`")
        return []
    if package.commit is not None:
        noted = folder / COMMIT
        has = noted.read_text().strip() if noted.is_file() else ""
        if not same_commit(package.commit, has):
            reader.problems.note(
                f"the package `{package.name}` is installed from {f'commit {has[:12]}' if has else 'an unknown commit'}"
                f", {package.commit[:12]} is asked for",
                package.where,
                "install it again: `deps`",
            )
            return []
    part = reader.open(file, package.name, root=False)
    parts = [part]
    for one in packages_of(reader.read(part), reader.problems):
        parts += _opened(one, part, reader)
    return parts


def _merged(parts: list[Part], problems: Problems) -> tuple[Map, dict[tuple[str, Any], list[Path]]]:
    """One document of all, the first winning, and for each node the documents that have it, the winner first."""
    merged: Map | None = None
    folders: dict[tuple[str, Any], list[Path]] = {}
    for part in reversed(parts):
        found = part.found
        if len(parts) > 1:
            _absolute(found, part.path.parent)
        if not part.root:
            _check_package(found, part, problems)
        for kind in SECTIONS:
            for name in found[kind] if isinstance(found.get(kind), Map) else ():
                folders.setdefault((kind, str(name)), []).insert(0, part.path)
        merged = found if merged is None else _over(merged, found)
    assert merged is not None
    return merged, folders


def _over(below: Map, above: Map) -> Map:
    """`above` laid over `below`. Lines are those of `above`'s file, so what comes from below has that of the mapping."""
    made = Map(below)
    made.file, made.line = above.file or below.file, above.line or below.line
    lines = {key: below.lines.get(key, 0) if below.file == made.file else made.line for key in below}
    for key, value in above.items():
        old = made.get(key)
        made[key] = _over(old, value) if isinstance(old, Map) and isinstance(value, Map) else value
        lines[key] = above.lines.get(key, above.line)
    made.lines = lines
    return made


def _absolute(found: Map, folder: Path) -> None:
    """Make the files that a package names its own, wherever it is used."""
    for kind in SECTIONS:
        section = found.get(kind)
        for node in section.values() if isinstance(section, Map) else ():
            operations = node.get("operations") if isinstance(node, Map) else None
            for one in (node, *(operations if isinstance(operations, Seq) else ())):
                for key in PATH_KEYS if isinstance(one, Map) else ():
                    text = one.get(key)
                    if isinstance(text, str) and text.strip() and "://" not in text:
                        one[key] = os.path.normpath(folder / text)


# Checks ------------------------------------------------------------------------------------------------------------------


def _check_package(found: Map, part: Part, problems: Problems) -> None:
    """What is odd in a package is not the reader's to mend, so it is only told."""
    for key in found:
        if key not in TOP_LEVEL:
            where = f"{found.file}, line {found.lines.get(key, found.line)}: package {part.name}"
            problems.warn(f"there is no `{key}` in a document", where, nearest(str(key), TOP_LEVEL))


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


def read_config(root: Part, pairs: Sequence[tuple[str, str]], problems: Problems) -> Config:
    """The config of the project, with `--set config.*` laid over it; what is wrong with it is noted."""
    given = Map()
    given.file = SET
    if root.config is not None:
        given = _unshared(root.config, root.label)
    elif root.found.get("config") is not None:
        problems.note(
            "`config` has to be a mapping", f"{root.label}, line {root.found.lines['config']}", "below it stands `KEY: VALUE`"
        )
    holder = Map(config=given)
    for number, (key, value) in enumerate(pairs, 1):
        if key.startswith("config."):
            if key.split(".")[1] in ("macros", "parameter_defaults"):
                problems.warn(
                    f"`{key}` has been used before {SET} is", f"{SET}, pair {number}", "give parameters with `--params`"
                )
            _override(holder, key, value, number, problems)
    folder = root.path.parent
    spec = Spec(given, problems, "config")

    def path(key: str, default: str | None) -> Path | None:
        text = spec.text(key, default)
        return None if text is None or not text.strip() else folder / os.path.expanduser(text)  # noqa: PTH111 - see `find`

    readers: dict[str, Callable[[], Any]] = {
        "output_dir": lambda: path("output_dir", "./") or folder,
        "state_file": lambda: path("state_file", None),
        "tmp_dir": lambda: path("tmp_dir", None),
        "log_level": lambda: _log_level(spec),
        "show_graph": lambda: spec.flag("show_graph"),
        "show_stacktrace": lambda: spec.flag("show_stacktrace"),
        "show_progress": lambda: spec.flag("show_progress"),
        "macros": lambda: spec.text("macros", ""),
        "parameter_defaults": lambda: {str(key): str(one) for key, one in spec.mapping("parameter_defaults", {}).items()},
        "git_auth_timeout": lambda: _number(spec, "git_auth_timeout", 60),
        "memory_limit": lambda: _memory(spec),
        "compat": lambda: spec.choice("compat", COMPAT, "strict"),
        "workers": lambda: spec.count("workers", 0),
    }
    read: dict[str, Any] = {}
    for key, reader in readers.items():
        try:
            read[key] = reader()
        except SkippedError:
            continue
    spec.done()
    read.setdefault("output_dir", folder)
    assert {one.name for one in fields(Config)} == {*readers, "given"}
    return Config(**read, given=given)


def _log_level(spec: Spec) -> str:
    level = str(spec.text("log_level", "INFO"))
    if level.upper() not in LOG_LEVELS:
        spec.wrong(f"`log_level` cannot be `{level}`", "log_level", nearest(level.upper(), LOG_LEVELS))
    return level.upper()


def _number(spec: Spec, key: str, default: float) -> float:
    found = spec.value(key, default)
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        spec.wrong(f"`{key}` has to be a number above 0", key)
    return float(found)


def _memory(spec: Spec) -> int:
    found = spec.value("memory_limit", MEMORY_LIMIT)
    size = read_size(str(found)) if not isinstance(found, bool) else None
    if not size:
        spec.wrong(f"`memory_limit` cannot be `{found}`", "memory_limit", "write bytes, or a text like `2GB` or `512MiB`")
    return size


def read_size(text: str) -> int | None:
    """Bytes of a text like `2GB`, `1.5 GiB` or `1000`; None where it is no size."""
    found = _SIZE.match(text)
    return int(float(found.group(1)) * _UNITS[(found.group(2) or "").lower()]) if found else None


# What the command line sets ----------------------------------------------------------------------------------------------


def override_pairs(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """`path, value, path, value` as pairs; of one path the last value counts."""
    if len(overrides) % 2:
        raise EtlError(
            f"`{SET}` has a path without a value",
            where=overrides[-1],
            hint=f"write `{SET} PATH VALUE`, e.g. `{SET} config.output_dir out`",
        )
    return list(dict(zip(overrides[::2], overrides[1::2], strict=True)).items())


def autocast(text: str) -> Any:
    """What a text of the command line stands for: a truth value, a number or itself."""
    if text.lower() in ("true", "yes", "on", "t", "y"):
        return True
    if text.lower() in ("false", "no", "off", "f", "n"):
        return False
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _override(found: Map, path: str, value: str, number: int, problems: Problems) -> None:
    """Set what a dotted path names; mappings on its way that are missing are made."""
    *way, last = path.split(".")
    current = found
    for at, key in enumerate(way):
        below = current.get(key)
        if below is None:
            below = Map()
            below.file, below.line, below.lines = SET, number, {}
            _put(current, key, below, number)
        if not isinstance(below, Map):
            have = ".".join(way[: at + 1])
            problems.note(
                f"`{have}` is no mapping, so nothing can be set below it",
                f"{SET}, pair {number}: {path}",
                f"set `{have}` itself",
            )
            return
        current = below
    _put(current, last, autocast(value), number)


def _put(current: Map, key: str, value: Any, number: int) -> None:
    if key not in current:
        current.lines = {**current.lines, key: number if current.file in (SET, "") else current.line}
    current[key] = value
