"""The packages of a document, and one document made of all of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from impl.tabular.document.files import NAMES, installed_document
from impl.tabular.document.part import SECTIONS, TOP_LEVEL, Part
from impl.tabular.document.reading import Reader
from impl.tabular.spec import PATH_KEYS, Map, Problems, Seq, SkippedError, Spec, nearest

PACKAGES = "packages"  # the folder of installed packages, beside the document
COMMIT = ".commit"  # in a package's folder: the commit it was made from

_COMMIT_HASH = re.compile(r"^[0-9a-f]{7,64}$", re.IGNORECASE)


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


def same_commit(pinned: str, commit: str) -> bool:
    return commit.lower().startswith(pinned.lower())


def with_packages(root: Part, reader: Reader) -> list[Part]:
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


def merged_parts(parts: list[Part], problems: Problems) -> tuple[Map, dict[tuple[str, str], list[Path]]]:
    """One document of all, the first winning, and for each node the documents that have it, the winner first."""
    merged: Map | None = None
    folders: dict[tuple[str, str], list[Path]] = {}
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


def _check_package(found: Map, part: Part, problems: Problems) -> None:
    """What is odd in a package is not the reader's to mend, so it is only told."""
    for key in found:
        if key not in TOP_LEVEL:
            where = f"{found.file}, line {found.lines.get(key, found.line)}: package {part.name}"
            problems.warn(f"there is no `{key}` in a document", where, nearest(str(key), TOP_LEVEL))
