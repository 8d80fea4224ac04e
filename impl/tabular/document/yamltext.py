"""YAML as mappings and lists that know the lines they were written in."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import yaml

from impl.run.errors import EtlError
from impl.tabular.document.part import Part, Place
from impl.tabular.spec import Map, Problems, Seq

MOST_VALUES, MOST_DEPTH = 2_000_000, 100  # of a document with its aliases written out

_BRACKETS = re.compile(r"[\[\]{}]")
_DEEP = re.compile(r"(?:[-?] ){100}")
_LONE_TAG = re.compile(r"(?<![^\s\[{,])!(?=[\s,\]}]|$)")


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


def parse(text: str, place: Callable[[int], list[Place]], problems: Problems) -> Any:
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


def unshared(value: Any, label: str) -> Any:
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


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def yaml_hint(message: str, part: Part, file: str, line: int) -> str:
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
