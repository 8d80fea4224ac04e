"""What `clean` may remove of a document: what it made, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.tabular.call import Call

if TYPE_CHECKING:
    from impl.tabular.document import Document


def held_in(document: Document, output: Path, folder: Path) -> str | None:
    """What a folder holds that may not go with it."""
    from impl.tabular.spec import PATH_KEYS

    if output.is_symlink():
        return "what its link points to"
    real = output.resolve()
    for path, what in ((document.file, "the document"), (folder, "the folder you are in"), (Path.home(), "your home folder")):
        if path.resolve().is_relative_to(real):
            return what
    for node in document.nodes:
        listed = node.options.get("operations")
        for options in (node.options, *(listed if isinstance(listed, list) else ())):
            for key in PATH_KEYS:
                text = options.get(key) if isinstance(options, dict) else None
                if isinstance(text, str) and text and "://" not in text and node.path(text).resolve().is_relative_to(real):
                    return f"`{text}`, which {node.ref} reads"
    return None


def remove_made(call: Call, document: Document, output: Path) -> list[Path]:
    """Remove the files that the document writes and folders that are then empty; the rest stays and is named."""
    from impl.run.files import sweep
    from impl.tabular import state
    from impl.tabular.run import QUARANTINE

    made = {output / _file_name(one.name, one.options) for one in document.destinations.values()}
    made |= {output / QUARANTINE / f"{one.ref.removeprefix('$')}.csv" for one in document.nodes}
    if document.config.state_file is not None:
        made |= {document.config.state_file, state.lock_file(document.config.state_file)}
        for _, one in state.made_before(state.read(document.config.state_file)):
            made |= {Path(path) for path in one.files if Path(path).is_relative_to(output)}
    sweep(output)
    gone = []
    for path in sorted(made):
        if path.is_file() and path.resolve().is_relative_to(output.resolve()):
            path.unlink()
            gone.append(path)
    for folder in sorted((one for one in output.rglob("*") if one.is_dir() and not one.is_symlink()), reverse=True):
        with suppress(OSError):
            folder.rmdir()
    left = sorted(one.relative_to(output).as_posix() for one in output.rglob("*") if not one.is_dir())
    if left:
        named = f"{', '.join(left[:5])}{' ...' if len(left) > 5 else ''}"
        call.screen.warn(f"{output} stays: {named} was not made by this document; `--force` removes the whole folder")
        return gone
    output.rmdir()
    return [output]


def _file_name(name: str, options: Mapping[str, Any]) -> str:
    """Of a destination, by its options alone: what it reads may be gone."""
    extension = str(options.get("extension") or "")
    name = f"{name}.{extension}" if extension else name
    return f"{name}.gz" if options.get("compression") == "gzip" and not name.endswith(".gz") else name


def remove_collections(call: Call, document: Document) -> list[Path | str]:
    """Take away the collections that the document made; without a store they are named."""
    names = [str(one.options["store"]) for one in document.destinations.values() if one.options.get("store")]
    if not names:
        return []
    loading = call.loading("clean", "", needed=False)
    if loading is None:
        call.screen.warn(f"in the store stays what is there of {', '.join(names)}: no store is named (`--store`)")
        return []
    return [f"collection {one}" for one in loading.remove(names, document.file)]
