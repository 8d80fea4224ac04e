"""A checkpoint: one step from files to files that is passed when nothing it depends on has changed.

A dataset module yields checkpoints; `impl.run.graph` puts those of all datasets into one graph and lets doit
decide what is up to date.
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impl.run.digest import text_digest
from impl.run.errors import EtlError
from impl.run.place import Place


@dataclass(frozen=True)
class Outside:
    """What a checkpoint leaves outside the file system: a version of a collection in a store, say.

    holds(result): whether what the action returned at its last success is still there. Cheap: asked in each run.
    remove(): takes it away, for `clean`.
    collection: the name of the collection, where it is one.
    exists(): whether something is there to take away though the last run failed.
    """

    name: str
    holds: Callable[[Mapping[str, Any]], bool]
    remove: Callable[[], None]
    collection: str = ""
    exists: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Checkpoint:
    """One step. Made by `checkpoint`, see there."""

    name: str
    action: Callable[..., Any]
    args: tuple
    kwargs: Mapping[str, Any]
    file_dep: tuple[Path, ...]
    targets: tuple[Path, ...]
    after: tuple[str, ...]
    raw: bool
    slow: str = ""
    outside: Outside | None = None
    here: bool = False
    counts_as: Mapping[str, str] = field(default_factory=dict)
    dataset: str = field(default="", compare=False)
    verb: str = field(default="", compare=False)


def checkpoint(
    name: str,
    action: Callable[..., Any],
    *args: Any,
    file_dep: Iterable[str | Path] = (),
    targets: Iterable[str | Path] = (),
    after: Iterable[str] = (),
    raw: bool = False,
    slow: str = "",
    outside: Outside | None = None,
    here: bool = False,
    counts_as: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Checkpoint:
    """The step `action(*args, **kwargs)` under the name `name`.

    name: unique in the whole repository; starts with the dataset's: `region.county.rows`.
    action: a function of a module (it may run in another process), with plain values as arguments. It returns
        a short note for the screen, or a dict of facts (with the note under "note"; what stands under "warnings"
        is said at the end of the run), or None.
    file_dep: files it reads. A file that another checkpoint makes brings that checkpoint before this one.
    targets: files it makes, each written beside its name and renamed.
    after: names of checkpoints that come first though no file of theirs is read.
    raw: the targets are raw data: `clean` keeps them unless told otherwise.
    slow: what to say when it starts, if it takes minutes.
    outside: what it leaves in a store.
    here: on a cluster too it runs on this machine, since its targets are to be here.
    counts_as: an argument that is compared as if it were another: what a promotion builds beside is as if it were live.

    It is passed when the content of `file_dep`, the arguments, the text of `action` and the content of the
    targets are as they were at the last success, and `outside` still holds.
    """
    function = function_of(action)
    if "<locals>" in function.__qualname__ or function.__name__ == "<lambda>":
        raise EtlError(
            f"the action of checkpoint `{name}` has to be a function of a module",
            where=f"{function.__module__}.{function.__qualname__}",
            hint="move it to the top level of its file, so that another process can run it",
        )
    if not targets and outside is None:
        raise EtlError(f"checkpoint `{name}` makes nothing", hint="name its files in `targets=[...]`")
    return Checkpoint(
        name=name,
        action=action,
        args=args,
        kwargs=kwargs,
        file_dep=_paths(file_dep),
        targets=_paths(targets),
        after=tuple(after),
        raw=raw,
        slow=slow,
        outside=outside,
        here=here,
        counts_as=counts_as or {},
    )


def function_of(action: Callable[..., Any]) -> Any:
    """The function that an action calls: itself, or the one that a partial holds."""
    return action.func if isinstance(action, functools.partial) else action


def _paths(given: Iterable[str | Path]) -> tuple[Path, ...]:
    return tuple(path if isinstance(path, Path) else Path(path) for path in given)


def signature(step: Checkpoint, place: Place) -> dict[str, str]:
    """Digests of what decides beside the files: the action's text and each argument by name.

    Only digests: an argument can hold a password, and what is kept in the state file is read by anybody.
    Paths count by their place below the data or the checkout, so what was moved is still up to date.
    """
    action, args, kwargs = step.action, step.args, dict(step.kwargs)
    if isinstance(step.action, functools.partial):
        action, args, kwargs = step.action.func, (*step.action.args, *args), {**step.action.keywords, **kwargs}
    parts = {"the text of its action": _text(action)}
    for position, value in enumerate(args):
        counted = step.counts_as.get(value, value) if isinstance(value, str) else value
        parts[f"argument {position + 1}"] = _value(counted, place)
    for key, value in kwargs.items():
        parts[f"`{key}`"] = _value(value, place)
    return parts


@functools.cache
def _text(action: Callable[..., Any]) -> str:
    return text_digest(f"{action.__module__}.{action.__qualname__}\n{inspect.getsource(action)}")


def _value(value: Any, place: Place) -> str:
    def plain(one: Any) -> Any:
        if isinstance(one, Path):
            return place.key(one)
        if isinstance(one, (set, frozenset)):
            return sorted(one)
        if hasattr(one, "__dataclass_fields__"):
            return [type(one).__name__, {name: getattr(one, name) for name in one.__dataclass_fields__}]
        raise TypeError(f"an argument of type {type(one).__name__} cannot be compared between runs: {one!r}")

    # order of a dict counts: it can be the order of columns
    return text_digest(
        json.dumps(place.key(value) if isinstance(value, str) and value.startswith("/") else value, default=plain)
    )
