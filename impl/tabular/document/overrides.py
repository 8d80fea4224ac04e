"""What the command line sets: `--set PATH VALUE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from impl.run.errors import EtlError
from impl.tabular.spec import Map, Problems

SET = "--set"  # stands for the file of what came from the command line


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


def override(found: Map, path: str, value: str, number: int, problems: Problems) -> None:
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
