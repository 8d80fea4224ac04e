"""The `config` of a document: its keys, their defaults, and what `--set config.*` changes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from impl.tabular.document.overrides import SET, override
from impl.tabular.document.part import Part
from impl.tabular.document.yamltext import unshared
from impl.tabular.spec import Map, Problems, SkippedError, Spec, nearest

COMPAT = ("strict", "fixed")
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")
MEMORY_LIMIT = 2 << 30

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:(ki|mi|gi|ti|k|m|g|t)?b?)\s*$", re.IGNORECASE)


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


def read_config(root: Part, pairs: Sequence[tuple[str, str]], problems: Problems) -> Config:
    """The config of the project, with `--set config.*` laid over it; what is wrong with it is noted."""
    given = Map()
    given.file = SET
    if root.config is not None:
        given = unshared(root.config, root.label)
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
            override(holder, key, value, number, problems)
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
