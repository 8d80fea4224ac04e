"""The chosen environment for people: what it is, and whether each part of it works."""

from __future__ import annotations

import platform
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any

from impl.run import notify, secrets
from impl.run.columns import aligned
from impl.run.depot import Depot
from impl.run.errors import EtlError, explain
from impl.store import open_store

LEAST_FREE = 2 * 10**9  # bytes; a year of macav2 with its raw files takes about this
SHOWN_VERSIONS = ("deltalake", "pyarrow", "duckdb", "netCDF4", "geopandas", "adbc-driver-postgresql", "distributed", "apprise")


@dataclass(frozen=True)
class Finding:
    """One part of the environment that was tried. hint: what to mend, where it did not work."""

    part: str
    works: bool
    detail: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"[{'|' if self.works else '!'}] {self.part:<14} {self.detail}".rstrip()
        return text + (f"\n    hint: {self.hint}" if self.hint else "")


def show_text(env: Any) -> str:
    """All that an environment resolves to; secrets stand as their names."""
    rows = []
    for one in fields(env):
        value = getattr(env, one.name)
        if one.name in ("named", "live", "unchanged"):
            continue
        if one.name == "source":
            value = f"{value.kind}:{value.place}".rstrip(":")
        elif one.name == "notify":
            value = " ".join(secrets.redact(address) for address in value) or "nobody"
        elif one.name == "cluster":
            value = value or "none: checkpoints run here"
        elif one.name == "depot":
            value = value or "none: files are in the data folder"
        elif one.name == "direct":
            value = "yes" if value else "no: it is only promoted to"
        rows.append((one.name, secrets.redact(str(value))))
    named = secrets.named_in(f"{env.depot} {env.source.place} {env.store} {env.cluster} {' '.join(env.notify)}")
    known = secrets.known()
    rows += [(f"${{{name}}}", "known" if name in known else "not known") for name in named]
    rows.append(("python", f"{platform.python_version()} on {socket.gethostname()}"))
    for package in SHOWN_VERSIONS:
        try:
            rows.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            rows.append((package, "not installed (`pip install -e '.[servers]'`)"))
    return aligned(rows) + "\n"


def check(env: Any) -> Iterator[Finding]:
    """Try every part of `env`, one finding each."""
    yield from _tried("data folder", lambda: _folder(env))
    if env.depot:
        yield from _tried("object storage", lambda: _depot(env))
    yield from _tried("store", lambda: _store(env))
    if env.cluster:
        yield from _tried("cluster", lambda: _cluster(env))
    if env.notify:
        yield from _tried("messages", lambda: _messages(env))


def _tried(part: str, attempt: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(part, True, attempt())
    except EtlError as error:
        yield Finding(part, False, f"{error.what}{f' ({error.where})' if error.where else ''}", error.hint or "")
    except Exception as exception:  # noqa: BLE001 - every part is tried, whatever goes wrong with one
        unforeseen = explain(exception)
        yield Finding(part, False, secrets.redact(f"{unforeseen.what} ({unforeseen.where})"), unforeseen.hint or "")


def _folder(env: Any) -> str:
    env.data.mkdir(parents=True, exist_ok=True)
    probe = env.data / f".check-{uuid.uuid4().hex}"
    try:
        probe.write_text("check")
        if probe.read_text() != "check":
            raise EtlError("what was written is not what is read", where=env.data, hint="look for what is wrong with this disk")
    finally:
        probe.unlink(missing_ok=True)
    free = shutil.disk_usage(env.data).free
    if free < LEAST_FREE:
        raise EtlError(
            "the disk is nearly full",
            where=f"{env.data}: {free / 1e9:.1f} GB free",
            hint="free some space, or choose another folder with `etl.data`",
        )
    return f"{env.data}, {free / 1e9:.0f} GB free"


def _depot(env: Any) -> str:
    from impl.store import probe
    from impl.store.bucket import Bucket

    depot = Depot(env.depot, env.data)
    depot.check(f".check-{uuid.uuid4().hex}")
    probe.conditional_put(Bucket(env.depot))
    return f"{secrets.redact(env.depot.partition('?')[0])}, writes and reads"


def _store(env: Any) -> str:
    """A small collection with a geometry goes in, comes out and goes away."""
    import shapely

    store = open_store(env.store)
    name = f"check_{uuid.uuid4().hex[:8]}"
    row = {"key": name, "geometry": shapely.to_wkb(shapely.Point(1, 2))}
    try:
        done = store.replace(name, [row], key="key", geometry="geometry", description="made and removed by env.check")
        read = store.read(name).to_pylist()
        if read != [row] or not store.holds(name, None, done.fingerprint):
            raise EtlError(
                "what was written is not what is read", where=store.home, hint="look for what is wrong with this store"
            )
    finally:
        store.drop(name)
    return f"{store.home}, {len(store.names())} collections"


def _cluster(env: Any) -> str:
    """Connecting compares Python and packages, and lets each worker read the data folder and start ncproj."""
    from impl.run.cluster import Cluster

    env.state.mkdir(parents=True, exist_ok=True)
    programs = [path for path in (env.tools / "ncproj",) if path.exists()]
    depot = Depot(env.depot, env.data) if env.depot else None
    connected = Cluster(env.cluster, env.state, modules=["impl.steps"], programs=programs, say=lambda line: None, depot=depot)
    try:
        workers = connected.workers()
    finally:
        connected.close()
    return f"{env.cluster}, {len(workers)} worker{'s' if len(workers) != 1 else ''}: {', '.join(workers[:8])}"


def _messages(env: Any) -> str:
    notify.check(env.notify)
    return f"{len(env.notify)} address{'es' if len(env.notify) > 1 else ''} known; `invoke env.notify` sends a message"
