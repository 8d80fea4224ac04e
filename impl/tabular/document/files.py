"""Which file is a document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from impl.run.errors import EtlError
from impl.tabular.spec import nearest

NAMES = ("earthmover.yaml", "earthmover.yml")


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


def installed_document(folder: Path) -> Path | None:
    """The document of the package in `folder`."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)
