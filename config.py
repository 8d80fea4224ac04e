"""The environments, and the settings that all datasets share. The only reader of environment variables.

`tasks.py` alone reads this file; code sees the result as `c.env`. Values come from, last one wins: the defaults
below, invoke.yaml (and invoke's other configuration files), INVOKE_ETL_*, and the short forms ETL_*.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impl.run import objects, secrets
from impl.run.errors import EtlError, unknown
from impl.run.settings import INVOKES_OWN, PREFIX, check_sections, check_variables

ROOT = Path(__file__).resolve().parent

SETTINGS = {  # name below `etl`: (default, meaning)
    "env": ("local", "the environment: `local` needs no server, `development`, `production`; short form ETL_ENV"),
    "source": (
        "sample",
        "where raw data come from: `sample` (generated), `mirror:PATH-OR-URL`, `remote`; short form ETL_SOURCE",
    ),
    "data": (
        "data",
        "the folder below which each environment keeps raw, cache, state and store, relative to the checkout; or `s3://...` (gs, az)",
    ),
    "work": ("data", "where `data` is in object storage: this machine's folder for state and for what it works on"),
    "jobs": ("auto", "how many checkpoints run at once; `auto` is one per core, at most 4; `--jobs` overrides it"),
    "store": (
        "",
        "the home of the store: a folder, `s3://...` or `postgresql://...`; empty is a folder below `data`; short form ETL_STORE",
    ),
    "cluster": (
        "",
        "where checkpoints run: empty is here, `dask:ADDRESS` of a scheduler, `dask:local:N`; short form ETL_CLUSTER",
    ),
    "notify": ("", "where messages about runs go: addresses of Apprise, by blanks"),
    "direct": ("", "whether tasks may build and clean by hand: `yes` or `no`; empty is yes, but no in production"),
}
SHORT_FORMS = {"env": "ETL_ENV", "source": "ETL_SOURCE", "store": "ETL_STORE", "cluster": "ETL_CLUSTER"}
ENVIRONMENTS = ("local", "development", "production")
OWN = tuple(name for name in SETTINGS if name != "env")  # what `etl.environments.NAME` may say for one environment alone
OTHERS = (  # variables that the tests and CI read
    "ETL_REAL_DATA",
    "ETL_TABULAR_CHAINS",
    "ETL_TABULAR_PEER",
    "ETL_TABULAR_SEED",
    "ETL_TESTS_MUST_RUN",
)
SECRETS = "ETL_SECRETS"  # a file of NAME=VALUE lines; default: secrets.env in the checkout, which git ignores


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
    store: str  # secrets in it stand as ${NAME}; see impl/run/secrets.py
    source: Source
    jobs: int
    cluster: str = ""
    notify: tuple[str, ...] = ()
    direct: bool = True
    depot: str = ""  # where in object storage the files of `data` are kept, if they are; secrets as in `store`
    live: str = ""  # while a promotion builds in `store`: the home of the live store,
    unchanged: frozenset[str] = frozenset()  # and its collections that stay
    named: Callable[[str], "Environment"] = field(kw_only=True, repr=False, compare=False)


def variables(known: Iterable[str] | None = None) -> Mapping[str, str]:
    """The environment's variables. known: the names that invoke takes for settings; others that look like one are refused."""
    if known is not None:
        own = tuple(f"{PREFIX}{section.upper()}" for section in INVOKES_OWN)
        check_variables((one for one in os.environ if not one.startswith(own)), PREFIX, known)
    return os.environ


def environment(settings: Mapping[str, Any], name: str = "") -> Environment:
    """The environment `name`, or the one that the `etl` section of invoke's configuration and the short forms name.

    For one environment alone: what `etl.environments.NAME` says comes before what `etl` says for all. A short form is
    about the environment that is chosen, not about others that are asked for by name.
    """
    own = settings.get("environments") or {}
    _check(settings, own)
    check_variables(os.environ, "ETL_", [*SHORT_FORMS.values(), SECRETS, *OTHERS, *_secrets_in(settings)])
    chosen = name or os.environ.get(SHORT_FORMS["env"]) or str(settings.get("env", SETTINGS["env"][0]))
    if chosen not in ENVIRONMENTS:
        raise unknown("environment", chosen, ENVIRONMENTS, where=f"`etl.env` or {SHORT_FORMS['env']}")
    values = {one: str(settings.get(one, default)) for one, (default, _) in SETTINGS.items()}
    values |= {one: str(value) for one, value in (own.get(chosen) or {}).items()}
    for one, variable in SHORT_FORMS.items():
        if one == "source" or not name:
            # an empty variable is a value where an empty setting is one: `ETL_CLUSTER=` is here
            values[one] = os.environ.get(variable, values[one]) or ("" if SETTINGS[one][0] == "" else values[one])

    where = f"the environment `{chosen}`"
    notify = _addresses(values["notify"])
    asked = [values["data"], values["source"], values["store"], values["cluster"], *notify]
    for address in asked:
        secrets.refuse_plain(address, where)
    for one in ("data", "work", "store"):
        objects.refuse_half(values[one], f"`etl.{one}`" + (f" or {SHORT_FORMS[one]}" if one in SHORT_FORMS else ""))
    if "://" in values["work"]:
        raise EtlError(
            "the folder of this machine is an address",
            where=f"`etl.work`: `{secrets.redact(values['work'])}`",
            hint="write a folder; object storage stands in `etl.data`",
        )
    depot = _depot(values["data"], chosen)
    data = (ROOT / Path(values["work" if depot else "data"]).expanduser()).absolute() / chosen
    secrets.provide(_secrets(" ".join(asked)))
    return Environment(
        name=chosen,
        root=ROOT,
        data=data,
        raw=data / "raw",
        cache=data / "cache",
        state=data / "state",
        tools=data / "tools",
        store=_store(values["store"]) or (objects.below(depot, "store") if depot else f"{data}/store"),
        source=_source(values["source"]),
        jobs=_jobs(values["jobs"]),
        cluster=values["cluster"],
        notify=notify,
        direct=_yes(values["direct"], default=chosen != "production"),
        depot=depot,
        named=lambda other: environment(settings, other),
    )


def _check(settings: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    check_sections({"etl": settings}, (), {"etl": SETTINGS}, "invoke.yaml")
    for environment_name, section in own.items():
        place = f"etl.environments.{environment_name}"
        if environment_name not in ENVIRONMENTS:
            raise unknown("environment", environment_name, ENVIRONMENTS, where=f"invoke.yaml, section `{place}`")
        for one, value in (section or {}).items():
            if one not in OWN:
                raise unknown("setting", f"{place}.{one}", (f"{place}.{known}" for known in OWN), where="invoke.yaml")
            for address in _addresses(str(value)):
                secrets.refuse_plain(address, f"invoke.yaml, `{place}.{one}`")


def _addresses(text: str) -> tuple[str, ...]:
    """Addresses with blanks between; a blank within one stays."""
    return tuple(re.split(r"\s+(?=\w[\w.+-]*://)", text.strip())) if text.strip() else ()


def _secrets_in(settings: Mapping[str, Any]) -> list[str]:
    """The names of all secrets that settings and short forms ask for, in whatever environment."""
    own = [value for section in (settings.get("environments") or {}).values() for value in (section or {}).values()]
    return secrets.named_in(
        " ".join(map(str, [*settings.values(), *own, *(os.environ.get(one, "") for one in SHORT_FORMS.values())]))
    )


def _secrets(addresses: str) -> dict[str, str]:
    """The secrets that addresses ask for: from environment variables, else from the file of secrets."""
    given = os.environ.get(SECRETS)
    path = Path(given or ROOT / secrets.FILE).expanduser()
    return secrets.look_up(secrets.named_in(addresses), os.environ, path if given or path.exists() else None)


def _yes(text: str, default: bool) -> bool:
    words = {"": default, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise EtlError("neither yes nor no", where=f"`direct`: `{text}`", hint="write yes or no")
    return words[text.lower()]


def _store(text: str) -> str:
    """The home of the store; a folder is meant from the checkout, wherever you stand."""
    place = text.removeprefix("file://")
    return text if not text or "://" in place else str((ROOT / Path(place).expanduser()).absolute())


def _depot(text: str, chosen: str) -> str:
    """Where files are kept, if `data` names object storage."""
    if objects.is_address(text):
        return objects.below(text, chosen)
    if "://" in text:
        raise EtlError(
            "the data folder is neither a folder nor in object storage",
            where=f"`etl.data`: `{secrets.redact(text)}`",
            hint="write a folder, or `s3://bucket/prefix` (gs://, az://)",
        )
    return ""


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
