"""What a run has done, as the JSON file that `--results-file` asks for and that `diff` reads.

The keys up to `runtime_sec` are those of the peer; a file is also written where nothing was to do or something failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError
from impl.run.files import replacing


@dataclass(frozen=True)
class Written:
    """A file that a destination has made. status: `written`, or `unchanged` where it was up to date.

    aside: files of rows on its way that were not as expected.
    """

    file: str
    rows: int
    bytes: int
    sha256: str
    status: str = "written"
    aside: list[str] = field(default_factory=list)


@dataclass
class Results:
    """row_counts: by node, of those that were run; written, and loaded into the store: by destination."""

    document: Path
    output_dir: str
    engine: str
    started: datetime
    row_counts: dict[str, int] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    loaded: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def as_json(self, finished: datetime, code: int, error: EtlError | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "started_at": self.started.isoformat(timespec="microseconds"),
            "working_dir": str(self.document.parent),
            "config_file": str(self.document),
            "output_dir": self.output_dir,
            "row_counts": self.row_counts,
            "completed_at": finished.isoformat(timespec="microseconds"),
            "runtime_sec": (finished - self.started).total_seconds(),
            "engine": self.engine,
            "exit_code": code,
            "warnings": self.warnings,
            "written": {ref: vars(one) for ref, one in self.written.items()},
        }
        if self.loaded:
            found["loaded"] = self.loaded
        if error is not None:
            found["error"] = error_as_json(error)
        return found


def written(files: Mapping[str, str], rows: int, status: str = "written") -> Written:
    """Of a destination whose first file (path -> sha256) is its own."""
    (path, sha256), *others = files.items()
    return Written(path, rows, Path(path).stat().st_size, sha256, status, [one for one, _ in others])


def error_as_json(error: EtlError) -> dict[str, Any]:
    return {"what": error.what, "where": error.where, "hint": error.hint}


def write(file: Path, found: Mapping[str, Any]) -> None:
    """Write results; the folder is made where it is missing."""
    text = json.dumps(found, indent=4, ensure_ascii=False) + "\n"
    if _is_stream(file):
        file.write_text(text, encoding="utf-8")
        return
    with replacing(file) as part:
        part.write_text(text, encoding="utf-8")


def may_be_written(file: Path) -> None:
    """Raise an EtlError where there is something else already: a slip of the fingers is no reason to lose it."""
    if file.is_file() and not _is_stream(file) and file.stat().st_size:
        try:
            read(file)
        except EtlError as error:
            hint = "name another file with `-r`, or remove this one"
            raise EtlError("the file for the results holds something else", where=file, hint=hint) from error


def _is_stream(file: Path) -> bool:
    """`/dev/stdout` and the like, in the place of which nothing can be put."""
    return file.is_char_device() or file.is_fifo() or file.parent == Path("/dev")


def read(file: Path) -> dict[str, Any]:
    """The results of a run. EtlError where the file holds something else."""
    hint = "`mover run --results-file FILE` writes one"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EtlError("there are no such results", where=file, hint=hint) from error
    except ValueError as error:
        raise EtlError("these are no results of a run", where=f"{file}: {error}", hint=hint) from error
    if not isinstance(found, dict) or not isinstance(found.get("row_counts"), dict):
        raise EtlError("these are no results of a run", where=f"{file}: it has no `row_counts`", hint=hint)
    for one in _written_in(found):
        if not (isinstance(one, dict) and {"file", "rows", "sha256"} <= one.keys()):
            raise EtlError(
                "these are no results of a run", where=f"{file}: what is `written` has no file, rows and sha256", hint=hint
            )
    return found


def _written_in(found: Mapping[str, Any]) -> list[Any]:
    """What the results tell of files; those of the peer tell nothing."""
    told = found.get("written", {})
    return list(told.values()) if isinstance(told, dict) else [told]


def ordered(counts: Mapping[str, int], refs: Iterable[str]) -> dict[str, int]:
    """The counts in the order of the plan."""
    return {ref: counts[ref] for ref in refs if ref in counts}
