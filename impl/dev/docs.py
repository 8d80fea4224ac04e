"""Tables in the docs that are made from the code, so that they cannot lie.

A page asks for one between two marks, and `invoke dev.docs` fills it in:

    <!-- generated: columns region -->
    <!-- end -->

Kinds: `tasks` (all tasks), `settings [SECTION]`, `columns DATASET` (of each collection that it loads),
`names MODULE CONSTANT`, `help PROGRAM [COMMAND]`, `features PROGRAM` (what it does with what files say), `document PART` (what may
stand in documents of the tabular engine).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError, unknown

MARK = re.compile(r"(<!-- generated: (?P<what>[^>]*?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Facts:
    """What the tables are made of; callables, so that a page pays only for what it shows."""

    tasks: Callable[[], Mapping[str, str]]  # name -> first line of its docstring
    settings: Callable[[], Mapping[str, Mapping[str, tuple[str, str]]]]  # section -> name -> (default, meaning)
    collections: Callable[[str], Mapping[str, Mapping[str, Any]]]  # dataset -> collection -> facts of its load
    constants: Callable[[str, str], Iterable[str]]  # module, constant
    help: Callable[[str, list[str]], str]  # program, command
    features: Callable[[str], Iterable[Mapping[str, str]]]  # program -> entries with `of`, `name`, `does`, `how`
    document: Callable[[], Any]  # the module with the tables of what may stand in a document


def pages(root: Path) -> list[Path]:
    """The pages that may hold generated tables."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def update(root: Path, facts: Facts, *, check: bool = False) -> list[Path]:
    """Fill in the tables of all pages; the pages that changed. With `check` write nothing: old tables are an error."""
    old = []
    for page in pages(root):
        text = page.read_text()
        place = page.relative_to(root)
        new = MARK.sub(partial(_filled, facts=facts, page=place), text)
        if new != text:
            old.append(place)
            if not check:
                page.write_text(new)
    if check and old:
        raise EtlError(
            "generated tables are old", where=", ".join(map(str, old)), hint="run `invoke dev.docs` and commit the pages"
        )
    return old


def _filled(found: re.Match, facts: Facts, page: Path) -> str:
    return found[1] + _body(found["what"].split(), facts, page) + found[4]


def _body(what: list[str], facts: Facts, page: Path) -> str:
    kinds: dict[str, Callable[..., str]] = {
        "tasks": _tasks,
        "settings": _settings,
        "columns": _columns,
        "names": _names,
        "help": _help,
        "features": _features,
        "document": _document,
    }
    if not what or what[0] not in kinds:
        raise unknown("generated table", " ".join(what), kinds, where=page)
    return kinds[what[0]](facts, *what[1:])


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(headings), *(list(row) for row in rows)]
    out = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
    out.insert(1, "|" + " --- |" * len(lines[0]))
    return "\n".join(out) + "\n"


def _tasks(facts: Facts) -> str:
    return table(("task", "what it does"), ((f"`{name}`", doc) for name, doc in sorted(facts.tasks().items())))


def _settings(facts: Facts, section: str = "") -> str:
    every = facts.settings()
    if section and section not in every:
        raise unknown("section of settings", section, every)
    return table(
        ("setting", "default", "meaning", "variable"),
        (
            (f"`{one}.{name}`", f"`{default}`", meaning, f"`INVOKE_{one.upper()}_{name.upper()}`")
            for one in ([section] if section else every)
            for name, (default, meaning) in every[one].items()
        ),
    )


def _columns(facts: Facts, dataset: str) -> str:
    collections = facts.collections(dataset)
    if not collections:
        raise EtlError(f"the dataset `{dataset}` loads no collection", where=f"generated: columns {dataset}")
    out = []
    for name, load in collections.items():
        key = load["key"] if isinstance(load["key"], str) else ", ".join(load["key"])
        rows = []
        for column, meaning in load["columns"].items():
            unit, text = ("", meaning) if isinstance(meaning, str) else meaning
            rows.append((f"`{column}`", unit, text))
        checks = "".join(f"- `{check}`{' (warns only)' if check.warn else ''}\n" for check in load.get("checks", ()))
        checked = f"\nChecked in every load, beside the key:\n\n{checks}" if checks else ""
        out.append(f"`{name}`: {load['description']}. Key: {key}.\n\n" + table(("column", "unit", "meaning"), rows) + checked)
    return "\n".join(out)


def _names(facts: Facts, module: str, constant: str) -> str:
    return ", ".join(f"`{name}`" for name in facts.constants(module, constant)) + "\n"


def _help(facts: Facts, program: str, *command: str) -> str:
    return f"```text\n{facts.help(program, list(command)).rstrip()}\n```\n"


def _features(facts: Facts, program: str) -> str:
    groups: dict[str, list[Mapping[str, str]]] = {}
    for entry in facts.features(program):
        groups.setdefault(entry["of"], []).append(entry)
    out = []
    for group, entries in groups.items():
        rows = []
        for entry in entries:
            how = entry["how"].replace("{}", "...")
            rows.append((entry["name"], entry["does"], f"“{how}”" if entry["does"] == "refused" else how))
        out.append(
            f"### {group[0].upper()}{group[1:]}\n{table(('what a file says', 'it is', 'how, or with which message'), rows)}"
        )
    return "\n".join(out)


def _document(facts: Facts, part: str) -> str:
    schema = facts.document()
    parts = {
        "config": schema.CONFIG,
        "packages": schema.PACKAGE,
        "sources": schema.SOURCE,
        "destinations": schema.DESTINATION,
        "nodes": schema.NODE,
    }
    if part in parts:
        return table(("key", "what it is", "default"), map(_key, parts[part].items()))
    if part != "operations":
        raise unknown("part of a document", part, [*parts, "operations"])
    out = []
    for name, (meaning, options, needed) in sorted(schema.OPERATIONS.items()):
        either = {one: other for pair in schema.EITHER.get(name, ()) for one, other in (pair, pair[::-1])}
        rows = []
        for key, option in options.items():
            wanted, meant, default = _key((key, option))
            default = "needed" if key in needed else f"this or `{either[key]}`" if key in either else default
            rows.append((wanted, meant, default))
        out.append(f"### {name}\n{meaning}.\n" + (f"\n{table(('option', 'what it is', 'default'), rows)}" if rows else ""))
    return "\n".join(out)


def _key(named: tuple[str, Mapping[str, Any]]) -> tuple[str, str, str]:
    name, option = named
    choices = [one for listed in option.get("anyOf", ()) for one in listed.get("enum", ())]
    among = f" ({', '.join(f'`{one}`' for one in choices)})" if choices else ""
    default = option.get("default")
    shown = "" if default is None else f"`{str(default).encode('unicode_escape').decode()}`" if default != "" else "empty"
    return f"`{name}`", option["description"] + among, shown
