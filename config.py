"""The environments, and the settings that all datasets share. The only reader of environment variables.

`tasks.py` alone reads this file; code sees the result as `c.env`. Values come from, last one wins: the defaults
below, invoke.yaml (and invoke's other configuration files), INVOKE_ETL_*, and the short forms ETL_*.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError, unknown

ROOT = Path(__file__).resolve().parent

SETTINGS = {  # name below `etl`: (default, meaning)
    "env": ("local", "the environment: `local` needs no server; short form ETL_ENV"),
    "source": (
        "sample",
        "where raw data come from: `sample` (generated), `mirror:PATH-OR-URL`, `remote`; short form ETL_SOURCE",
    ),
    "data": ("data", "the folder below which each environment keeps raw, cache, state and store; relative to the checkout"),
    "jobs": ("auto", "how many checkpoints run at once; `auto` is one per core, at most 4; `--jobs` overrides it"),
}
SHORT_FORMS = {"env": "ETL_ENV", "source": "ETL_SOURCE"}

ENVIRONMENTS = {  # name: what differs. development and production will name a store and a cluster here
    "local": {"store": "{data}/store"},
}


@dataclass(frozen=True)
class Source:
    """Where raw data come from. kind: sample, mirror or remote; place: the folder or URL of a mirror."""

    kind: str
    place: str = ""

    @property
    def synthetic(self) -> bool:
        return self.kind == "sample"


@dataclass(frozen=True)
class Environment:
    """One environment, resolved: what code sees as `c.env`."""

    name: str
    root: Path
    data: Path
    raw: Path
    cache: Path
    state: Path
    tools: Path
    store: str
    source: Source
    jobs: int


def environment(settings: Mapping[str, Any]) -> Environment:
    """The environment that the `etl` section of invoke's configuration and the short forms name."""
    for name in settings:
        if name not in SETTINGS:
            raise unknown("setting", f"etl.{name}", (f"etl.{one}" for one in SETTINGS), where="invoke.yaml, section `etl`")
    values = {name: str(settings.get(name, default)) for name, (default, _) in SETTINGS.items()}
    for name, variable in SHORT_FORMS.items():
        values[name] = os.environ.get(variable) or values[name]

    name = values["env"]
    if name not in ENVIRONMENTS:
        raise unknown("environment", name, ENVIRONMENTS, where=f"`etl.env` or {SHORT_FORMS['env']}")
    data = (ROOT / Path(values["data"]).expanduser()).absolute() / name
    return Environment(
        name=name,
        root=ROOT,
        data=data,
        raw=data / "raw",
        cache=data / "cache",
        state=data / "state",
        tools=data / "tools",
        store=ENVIRONMENTS[name]["store"].format(data=data),
        source=_source(values["source"]),
        jobs=_jobs(values["jobs"]),
    )


def _source(text: str) -> Source:
    kind, _, place = text.partition(":")
    where = f"`etl.source` or {SHORT_FORMS['source']}: `{text}`"
    if kind == "mirror":
        if not place:
            raise EtlError("the mirror has no place", where=where, hint="write `mirror:FOLDER` or `mirror:https://...`")
        if "://" not in place:
            folder = Path(place).expanduser()
            # a folder is meant from where you stand, or else from the checkout
            place = str((folder if folder.is_dir() else ROOT / folder).absolute())
            if not Path(place).is_dir():
                raise EtlError("the mirror is not a folder", where=where, hint="give a folder that exists, or a URL")
        return Source(kind, place)
    if kind not in ("sample", "remote") or place:
        raise unknown("source", text, ("sample", "remote", "mirror:PATH"), where=where)
    return Source(kind)


def _jobs(text: str) -> int:
    if text == "auto":
        return max(1, min(4, len(os.sched_getaffinity(0))))
    if text.isdigit() and int(text) >= 1:
        return int(text)
    raise EtlError("the number of jobs is not a number", where=f"`etl.jobs`: `{text}`", hint="write 1, 2, ... or auto")
