"""The Jinja of a document, rendered so that each part of the text knows the line it was written in.

Each line of a template is put out by itself (`_ByLine`), so that a rendered text knows which line made each of its parts,
also in loops and includes. What a macro makes belongs to the line that calls it.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.lexer import TOKEN_DATA
from jinja2.sandbox import SecurityError

from impl.run.errors import EtlError
from impl.run.secrets import redact
from impl.tabular.document.part import Part, Place
from impl.tabular.sandbox import Sandbox
from impl.tabular.spec import Problem, nearest
from impl.tabular.templates.jinja import fromjson, md5

FOR_THE_ROWS = "Jinja that is meant for each row stands between `{% raw %}` and `{% endraw %}`"

_DEFINED = re.compile(r"\{%[-+]?\s*(?:macro|set)\s+(\w+)|\bimport\s+[^%]*?(\w+)\s*[-+]?%\}")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_UNDEFINED = re.compile(r"^'(\w+)' is undefined")


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


class Rendering:
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


def _calling_frames(rendering: Rendering) -> Iterable[Place]:
    """The places in templates that are being rendered now, outermost first."""
    frame, places = sys._getframe(), []
    while frame is not None:
        template = frame.f_globals.get("__jinja_template__")
        if template is not None:
            places.append(rendering._at(template, rendering._line(template, frame.f_lineno)))
        frame = frame.f_back  # type: ignore[assignment]
    return reversed(places)


def _template_frames(trace: TracebackType | None, rendering: Rendering) -> Iterable[Place]:
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
