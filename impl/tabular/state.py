"""What was made of what, kept in a CSV file, so that a run makes only what is not as it would make it.

The file begins with the seven columns that the peer writes; what decides is in the two columns behind them. For each
destination a fingerprint is kept of all that its file is made of: the nodes that it comes from as they stand in the
compiled document, the content of every file that they read, macros, parameters and the engine. A destination is passed
where its file has the content that it had when it was made with the same fingerprint.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import re
import string
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.run.files import replacing
from impl.tabular.plan import with_reads
from impl.tabular.spec import PATH_KEYS

if TYPE_CHECKING:
    from impl.tabular.document import Document
    from impl.tabular.plan import Plan, Step
    from impl.tabular.run import Output

VERSION = "0.1.0"
PEER_COLUMNS = (
    "run_timestamp",
    "config_hash",
    "sources_hash",
    "templates_hash",
    "mappings_hash",
    "params_hash",
    "selector",
)
COLUMNS = (*PEER_COLUMNS, "engine", "made")
MANY_ROWS = 10_000
# Their versions decide bytes too: what renders and writes, and what reads typed files.
LIBRARIES = ("polars", "jinja2", "MarkupSafe", "PyYAML", "numpy", "pandas", "pyarrow", "openpyxl", "lxml", "pyreadstat")
QUARANTINE = "quarantine"
SHORT = 32  # letters of a digest, as the peer has
# Keys of `config` that change how it runs, not what comes out.
MANNERS = (
    *("output_dir", "state_file", "tmp_dir", "log_level", "show_graph", "show_stacktrace", "show_progress"),
    *("git_auth_timeout", "memory_limit", "workers", "given"),
)
_REFERS = re.compile(r"\{%.*?\b(?:include|import|extends)\b", re.DOTALL)

Row = dict[str, str]


@dataclass(frozen=True)
class Made:
    """A destination as it was made. files: path -> sha256; the first is its own, further ones are of rows put aside."""

    fingerprint: str
    files: dict[str, str]
    rows: int


# What a destination is made of


def engine() -> str:
    """Version of the engine, and a digest of its code, of Python and of the libraries that decide bytes: `0.1.0+3f2a9c01d4b7`."""
    import importlib.metadata

    digest = hashlib.sha256(f"{sys.version_info.major}.{sys.version_info.minor}\0".encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    for name in LIBRARIES:
        try:
            digest.update(f"{name}={importlib.metadata.version(name)}\0".encode())
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{VERSION}+{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Seen:
    """What a plan would be made of, looked at before the run, so that what changes while it runs is seen the next time.

    fingerprints: destination -> of all that its file is made of; None where that cannot be known (remote sources,
    templates whose names are made of rows).
    hashes: of the content of sources, templates and mappings, and of settings and parameters, as in a row.
    """

    fingerprints: dict[str, str | None]
    hashes: dict[str, str]
    engine: str


def look(plan: Plan, variables: Mapping[str, str], made_by: str | None = None, since: int | None = None) -> Seen:
    """Read all that decides. variables: the environment, which wins over parameters in what `$NAME` stands for.

    since: when the plan was begun (`time.time_ns`). Of a file that was written after it, the plan may know what it was before.
    """
    made_by = made_by or engine()
    settings = digest(_settings(plan.document))
    params = dict(sorted(plan.document.params.items()))
    common = [made_by, settings, plan.document.macros, params]
    read = _Read(plan.document.macros, {**params, **variables}, since)
    own: dict[str, str | None] = {}
    contents: dict[str, list[str]] = {"sources_hash": [], "templates_hash": [], "mappings_hash": []}
    for ref, step in plan.steps.items():
        if remote(step):
            own[ref] = None
            continue
        found_in = read.of(step)
        known = found_in is not None and not read.written_meanwhile(step)
        own[ref] = digest([ref, step.spec.options, found_in]) if known else None
        for kind, paths in files_of(step).items():
            contents[f"{kind}_hash"] += [read.content(path) for path in paths]
    found: dict[str, str | None] = {}
    for step in plan.destinations:
        parts = [own[ref] for ref in sorted(with_reads([step.ref], plan.steps))]
        found[step.ref] = None if None in parts else digest([*common, *parts])[:SHORT]
    hashes = {kind: digest(sorted(one))[:SHORT] if one else "" for kind, one in contents.items()}
    hashes |= {"config_hash": settings[:SHORT], "params_hash": digest(params)[:SHORT] if params else ""}
    return Seen(found, hashes, made_by)


def only(plan: Plan, refs: Iterable[str]) -> Plan:
    """The part of a plan that makes these nodes."""
    wanted = with_reads(refs, plan.steps)
    return type(plan)(plan.document, {ref: step for ref, step in plan.steps.items() if ref in wanted}, plan.warnings)


def remote(step: Step) -> bool:
    """Whether what a step reads cannot be looked at without fetching it."""
    options = step.spec.options
    return step.kind == "sources" and (
        bool(getattr(step.part, "remote", False)) or options.get("connection") is not None or _is_url(options.get("file"))
    )


def files_of(step: Step) -> dict[str, list[Path]]:
    """The files that decide what a step makes: sources, templates, mappings; the part of the step may name more."""
    found: dict[str, list[Path]] = {"sources": [], "templates": [], "mappings": []}
    own = {"sources": "sources", "destinations": "templates"}.get(step.kind, "mappings")
    for part in step.part if isinstance(step.part, list) else [step.part]:
        files = getattr(part, "files", None) or ()
        found[own] += [Path(one) for one in (files() if callable(files) else files) if not _is_url(one)]
    operations = step.spec.options.get("operations")
    for options in [step.spec.options, *(operations if isinstance(operations, list) else ())]:
        for key in PATH_KEYS:
            named = options.get(key) if isinstance(options, dict) else None
            if isinstance(named, str) and named.strip() and not _is_url(named):
                found[own].append(Path(step.node.path(named)))
    return {kind: list(dict.fromkeys(paths)) for kind, paths in found.items()}


class _Read:
    """The content of the files that steps read; each file is read once.

    macros: stand before every template, so what they import counts for each. variables: what `$NAME` in a template stands for.
    """

    def __init__(self, macros: str, variables: Mapping[str, str], since: int | None = None) -> None:
        self.macros, self.variables, self.since = macros, variables, since
        self._seen: dict[Path, str] = {}
        self._of: dict[str, list[Path]] = {}
        self._step = ""

    @property
    def files(self) -> list[Path]:
        """All that were read; some may be absent."""
        return [path for paths in self._of.values() for path in paths]

    def of(self, step: Step) -> list[Any] | None:
        """What decides beside the step's own options; None where it is only known with the rows."""
        found: list[Any] = []
        self._step = step.ref
        texts = [self.macros, *_texts(step.spec.options)]
        for kind, paths in files_of(step).items():
            for path in paths:
                found.append([path.name, self.content(path)])
                if kind == "templates" and path.is_file():
                    texts.append(string.Template(_text_of(path)).safe_substitute(self.variables))
                    found.append(texts[-1])
        folders = [*step.node.folders, Path(step.node.file).parent, *(path.parent for path in files_of(step)["templates"])]
        included = self._included(texts, folders)
        return None if included is None else [*found, *included]

    def written_meanwhile(self, step: Step) -> bool:
        return self.since is not None and any(
            path.exists() and path.stat().st_mtime_ns > self.since for path in self._of.get(step.ref, ())
        )

    def content(self, path: Path) -> str:
        self._of.setdefault(self._step, []).append(path)
        if path not in self._seen:
            self._seen[path] = file_digest(path)
        return self._seen[path]

    def _included(self, texts: list[str], folders: list[Path]) -> list[Any] | None:
        """The content of what templates include or import, and of what that includes; None where a name is made of the row."""
        found: dict[str, str] = {}
        waiting = list(texts)
        while waiting:
            for name in _references(waiting.pop()):
                if name is None:
                    return None
                if name not in found:
                    here = next((folder / name for folder in folders if (folder / name).is_file()), None)
                    found[name] = self.content(here) if here else "absent"
                    waiting += [_text_of(here)] if here else []
        return sorted(found.items())


class _Named(_Read):
    """Which files are read, without their content."""

    def content(self, path: Path) -> str:
        self._of.setdefault(self._step, []).append(path)
        return ""


def files_behind(document: Document) -> tuple[list[Path], bool]:
    """The files that decide what a document makes, as far as it says so itself, and whether these are all: a source that has
    to be fetched is none of them, nor is a template whose name is made of the row. No data are opened. Some may be absent."""
    from impl.tabular.plan import Guard, Step
    from impl.tabular.spec import Problems

    read = _Named(document.macros, document.variables)
    steps = [Step(node.ref, node, node.spec(Problems()), None, [], Guard()) for node in document.nodes]
    known = [read.of(step) is not None and not remote(step) for step in steps]
    return list(dict.fromkeys([*document.files, *read.files])), all(known)


def _text_of(template: Path) -> str:
    return template.read_text(encoding="utf-8", errors="replace")


def _references(text: str) -> list[str | None]:
    """The templates that a Jinja text names; None for one that is only known with the rows."""
    if not _REFERS.search(text):
        return []
    import jinja2
    from jinja2 import meta

    try:
        return list(meta.find_referenced_templates(jinja2.Environment().parse(text)))
    except jinja2.TemplateSyntaxError:
        return [None]


def _settings(document: Any) -> Any:
    """What stands in `config`, without what does not change rows."""
    return {key: value for key, value in sorted(vars(document.config).items()) if key not in MANNERS}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", value) is not None


# Digests


def digest(value: Any) -> str:
    """Of a value with its types: `1`, `"1"` and `True` differ, and so do two mappings in another order."""
    running = hashlib.sha256()
    _feed(running, value)
    return running.hexdigest()


def _feed(running: Any, value: Any) -> None:
    if isinstance(value, dict):
        running.update(b"{")
        for key, one in value.items():
            _feed(running, key)
            running.update(b":")
            _feed(running, one)
        running.update(b"}")
    elif isinstance(value, list | tuple):
        running.update(b"[")
        for one in value:
            _feed(running, one)
            running.update(b",")
        running.update(b"]")
    else:
        text = str(value) if isinstance(value, Path) else repr(value)
        running.update(f"{type(value).__name__}{len(text)}:{text}".encode("utf-8", "surrogatepass"))


def file_digest(path: Path) -> str:
    """Of the content of a file, or of all files in a folder with their names; `absent` where there is none."""
    if path.is_dir():
        names = sorted(one for one in path.rglob("*") if one.is_file())
        return digest([[one.relative_to(path).as_posix(), file_digest(one)] for one in names])
    try:
        with path.open("rb") as given:
            return hashlib.file_digest(given, "sha256").hexdigest()
    except FileNotFoundError:
        return "absent"


# The state file


def read(file: Path) -> list[Row]:
    """The rows of a state file, oldest first; none where there is no file. EtlError where it is no state file."""
    if not file.exists():
        return []
    try:
        text = file.read_text(encoding="utf-8")
        return _rows(text, file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _damaged(file, str(error)) from error
    except IsADirectoryError as error:
        raise EtlError(
            "the state file is a folder", where=file, hint="name a file: `state_file: ./state.csv` in `config`"
        ) from error


def _rows(text: str, file: Path) -> list[Row]:
    if not text.strip():
        return []
    before = csv.field_size_limit(sys.maxsize)
    try:
        listed = list(csv.reader(io.StringIO(text, newline="")))
    finally:
        csv.field_size_limit(before)
    header = listed[0]
    if tuple(header[: len(PEER_COLUMNS)]) != PEER_COLUMNS:
        raise _damaged(file, f"line 1 is {','.join(header)[:100]}")
    return [dict(zip(header, one, strict=False)) for one in listed[1:] if one]


def _damaged(file: Path, why: str) -> EtlError:
    return EtlError(
        "this is no state file, or it is damaged",
        where=f"{file}: {why}",
        hint="name another file with `state_file`; if this is one that was damaged, remove it: everything is then made once more",
    )


def add(file: Path, row: Mapping[str, str]) -> int:
    """Put one row at the end, beside what others put there meanwhile. Returns how many rows there are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file):
        rows = [*read(file), dict(row)]
        with replacing(file) as part, part.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return len(rows)


def may_be_written(file: Path) -> None:
    """Raise an EtlError where a row could not be put into the file: better before the work than behind it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file):
            pass
    except OSError as error:
        hint = "name another file with `state_file`, or leave the state alone: `--skip-hashing`"
        raise EtlError(f"the state cannot be kept: {(error.strerror or str(error)).lower()}", where=file, hint=hint) from error


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """While the block runs no other run writes to the state file."""
    with lock_file(file).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def lock_file(file: Path) -> Path:
    """What runs that write to the same state file take turns with."""
    return file.with_name(f".{file.name}.lock")


def new_row(plan: Plan, selector: str, seen: Seen, made: Mapping[str, Made]) -> Row:
    """The row of a run that has made these destinations."""
    kept = {
        ref: {"fingerprint": one.fingerprint, "files": one.files, "rows": one.rows}
        for ref, one in made.items()
        if one.fingerprint
    }
    return {
        "run_timestamp": repr(time.time()),
        **seen.hashes,
        "selector": "*" if selector == "*" else "|".join(plan.steps),
        "engine": seen.engine,
        "made": json.dumps(kept, separators=(",", ":")),
    }


def made_before(rows: Iterable[Row]) -> Iterator[tuple[str, Made]]:
    """The destinations that rows tell of, newest first. What cannot be read tells nothing."""
    for row in reversed(list(rows)):
        try:
            kept = json.loads(row.get("made") or "{}")
            found = [(ref, Made(one["fingerprint"], dict(one["files"]), int(one["rows"]))) for ref, one in kept.items()]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield from found


def current(rows: Iterable[Row], seen: Seen, files: Mapping[str, Path]) -> dict[str, Made]:
    """The destinations that need not be made: same fingerprint, and their files are there with the same content."""
    found: dict[str, Made] = {}
    now: dict[str, str] = {}

    def as_it_was(path: str, sha256: str) -> bool:
        if path not in now:
            now[path] = file_digest(Path(path))
        return now[path] == sha256

    for ref, made in made_before(rows):
        if (
            ref not in found
            and seen.fingerprints.get(ref) == made.fingerprint
            and next(iter(made.files), None) == str(files.get(ref))
            and all(as_it_was(path, sha256) for path, sha256 in made.files.items())
        ):
            found[ref] = made
    return found


def made_now(plan: Plan, seen: Seen, written: Mapping[str, Output], counts: Mapping[str, int], aside: Path) -> dict[str, Made]:
    """What a run has made. aside: the folder of rows that were put aside (`on_fail: quarantine`)."""
    found = {}
    for ref, output in written.items():
        files = {str(output.path): output.sha256}
        for one in sorted(with_reads([ref], plan.steps)):
            put_aside = aside / f"{one.removeprefix('$')}.csv"
            if plan.steps[one].guard.on_fail == QUARANTINE and put_aside.is_file():
                files[str(put_aside)] = file_digest(put_aside)
        found[ref] = Made(seen.fingerprints.get(ref) or "", files, counts.get(ref, 0))
    return found
