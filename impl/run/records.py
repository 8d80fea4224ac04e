"""Run records: what a run was made of and what came of it, one JSON file each, below the state of its environment.

    <state>/runs/<id>.json

A record is begun when the run begins and finished when it ends, whatever way; one that stays unfinished and whose
process is gone was killed. Secrets are taken out of it before it is written.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import secrets as random
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run import secrets
from impl.run.columns import aligned
from impl.run.digest import file_digest
from impl.run.errors import EtlError, explain, unknown
from impl.run.files import alive, replacing

if TYPE_CHECKING:
    from impl.run.graph import Graph

FORMAT = 1
_MOMENT = "%Y%m%dT%H%M%S.%fZ"
LOCKED = ("requirements/run.txt", "requirements/servers.txt", "requirements/tabular.txt", "impl/ncproj/Cargo.lock")
SAID = ("error", "why", "note", "checks", "command")
RUNNING, SUCCESS, FAILURE, KILLED = "running", "success", "failure", "killed"

Record = dict[str, Any]


def folder(state: Path) -> Path:
    return state / "runs"


@contextmanager
def keep(env: Any, graph: Graph, selected: Sequence[str], facts_of: Callable[[Any], list[Record]]) -> Iterator[Record]:
    """Record the run that the block makes of `graph`; the block may add to what it is given.

    facts_of: the collections of the store of `env`, each as a dict.
    """
    started = time.perf_counter()
    record: Record = {
        "format": FORMAT,
        "id": new_id(folder(env.state)),
        "environment": env.name,
        "store": secrets.redact(env.store),
        "source": f"{env.source.kind}:{env.source.place}".rstrip(":"),
        "command": shlex.join(["invoke", *sys.argv[1:]]),
        "started": _now(),
        "host": socket.gethostname(),
        "user": _user(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "code": code(env.root),
        "outcome": RUNNING,
    }
    path = folder(env.state) / f"{record['id']}.json"
    _write(path, record)
    error: EtlError | None = None
    try:
        yield record
        record["outcome"] = SUCCESS
    except BaseException as exception:
        error = explain(exception)
        record["outcome"] = FAILURE
        raise
    finally:
        record["finished"] = _now()
        record["seconds"] = round(time.perf_counter() - started, 3)
        if error is not None:
            record["error"] = {"what": error.what, "where": error.where, "hint": error.hint}
        record["checkpoints"] = graph.told(selected)
        record["inputs"] = graph.inputs(selected)
        with suppress(EtlError):  # a store that cannot be reached is the error of the run already
            record["collections"] = facts_of(env)
        _write(path, record)


def new_id(beside: Path) -> str:
    """A name that sorts behind all records in the folder `beside`: `20261121T104703.025910Z-4f`.

    It is the moment, or a little more than the youngest name: a machine whose clock goes ahead may have written there.
    """
    moment = datetime.now(timezone.utc)
    for name in sorted((path.stem.partition("-")[0] for path in beside.glob("*.json")), reverse=True):
        with suppress(ValueError):  # some other file
            youngest = datetime.strptime(name, _MOMENT).replace(tzinfo=timezone.utc)
            moment = max(moment, youngest + timedelta(microseconds=1))
            break
    return f"{moment:{_MOMENT}}-{random.token_hex(1)}"


def code(root: Path) -> Record:
    """The commit of the checkout, whether anything in it was changed, and digests of the lock files."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        except OSError:
            return None
        return done.stdout.rstrip("\n") if done.returncode == 0 else None

    changed = git("status", "--porcelain", "--untracked-files=normal")
    return {
        "commit": git("rev-parse", "HEAD") or "",
        "clean": changed == "",
        "changed": [line[3:] for line in (changed or "").splitlines()][:50],
        "locked": {name: file_digest(root / name) for name in LOCKED if (root / name).exists()},
    }


def ids(state: Path) -> list[str]:
    """The records of an environment, oldest first."""
    return sorted(path.stem for path in folder(state).glob("*.json"))


def read(state: Path, wanted: str) -> Record:
    """The record whose id is `wanted`, or begins or ends with it; `last` is the newest."""
    known = ids(state)
    if wanted == "last" and known:
        found = known[-1:]
    else:
        found = [one for one in known if one == wanted] or [
            one for one in known if one.startswith(wanted) or one.endswith(wanted)
        ]
    if len(found) != 1:
        if found:
            raise EtlError(
                f"`{wanted}` is the beginning of {len(found)} runs", where=", ".join(found[:5]), hint="give more of it"
            )
        raise unknown(
            "run", wanted, known[-20:], where=folder(state), hint="`invoke runs.list` lists them; `last` is the newest"
        )
    path = folder(state) / f"{found[0]}.json"
    try:
        record: Record = json.loads(path.read_text())
    except ValueError as error:
        raise EtlError("the record of the run is damaged", where=f"{path}: {error}", hint="remove it") from error
    if record["outcome"] == RUNNING and record["host"] == socket.gethostname() and not alive(record["pid"]):
        record["outcome"] = KILLED
    return record


def all_of(state: Path) -> list[Record]:
    """All readable records, oldest first."""
    found = []
    for one in ids(state):
        with suppress(EtlError):
            found.append(read(state, one))
    return found


def list_text(records: Sequence[Record]) -> str:
    """A line for each run, newest last."""
    if not records:
        return "no runs yet; `invoke all.build` makes one; promotions stand in `invoke promote.list`\n"
    rows = [("run", "outcome", "made", "kept", "seconds", "commit", "command")]
    for one in records:
        steps = one.get("checkpoints", [])
        commit = one["code"]["commit"][:8] + ("" if one["code"]["clean"] else "+")
        count = [str(sum(step["done"] == what for step in steps)) for what in ("made", "kept")]
        rows.append((one["id"], one["outcome"], *count, f"{one.get('seconds', 0):.1f}", commit, one["command"]))
    return aligned(rows, right={2, 3, 4}) + "\n\n+ behind a commit: the checkout had changes\n"


def show_text(record: Record) -> str:
    """All of one record, for people."""
    names = ["id", "outcome", "environment", "store", "source", "command"]
    names += ["started", "finished", "seconds", "host", "user", "python"]
    about: list[tuple[str, str]] = [(name, str(record[name])) for name in names if name in record]
    made_of = record["code"]
    about.append(("commit", (made_of["commit"] or "no git checkout") + ("" if made_of["clean"] else ", with changes")))
    about += [("changed", name) for name in made_of["changed"]]
    about += [(name, digest[:12]) for name, digest in made_of["locked"].items()]
    sections = [aligned(about)]
    if "error" in record:
        error = record["error"]
        sections.append(
            "\n".join(text for text in (f"error: {error['what']}", error["where"] and f"  at {error['where']}") if text)
        )
    steps = [
        (one["done"], one["name"], one["why"] or one["note"]) for one in record.get("checkpoints", ()) if one["done"] != "kept"
    ]
    kept = sum(one["done"] == "kept" for one in record.get("checkpoints", ()))
    sections.append(aligned([*steps, ("kept", f"{kept} checkpoints", "")]) if steps or kept else "no checkpoints")
    if record.get("inputs"):
        sections.append(
            aligned([(one["file"], f"{one['bytes']:,}", one["sha256"][:12]) for one in record["inputs"]], right={1})
        )
    if record.get("collections"):
        rows = [(one["name"], f"{one['rows']:,}", one["fingerprint"][:12]) for one in record["collections"]]
        sections.append(aligned(rows, right={1}))
    results = [(step, one) for step in record.get("checkpoints", ()) for one in step.get("checks", ())]
    if results:
        failed = [one for _, one in results if not one["passed"]]
        lines = [f"{len(results)} checks of rows, {len(failed)} did not hold"]
        lines += [f"  {_check_text(step, one)}" for step, one in results if not one["passed"] or step["done"] == "failed"]
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def _check_text(step: Record, result: Record) -> str:
    """What a check found; of a load that failed, those that hold are told too."""
    said = "holds" if result["passed"] else result["found"] or f"{result['bad']:,} rows"
    return f"{step['name']}: {result['check']}: {said}"


def difference(a: Record, b: Record) -> list[str]:
    """What differs between two runs, in lines: code, settings, inputs, collections."""
    lines = []
    for name in ("environment", "source", "store", "host", "python"):
        if a.get(name) != b.get(name):
            lines.append(f"{name}: {a.get(name)} -> {b.get(name)}")
    one, other = a["code"], b["code"]
    if one["commit"] != other["commit"]:
        lines.append(f"commit: {one['commit'][:12]} -> {other['commit'][:12]}")
    if (one["clean"], one["changed"]) != (other["clean"], other["changed"]):
        lines.append(
            f"changes in the checkout: {', '.join(one['changed']) or 'none'} -> {', '.join(other['changed']) or 'none'}"
        )
    lines += _changes("lock file", one["locked"], other["locked"])
    lines += _changes("input", *({i["file"]: i["sha256"] for i in record.get("inputs", ())} for record in (a, b)))
    lines += _changes(
        "parameters of checkpoint", *({s["name"]: s["signature"] for s in r.get("checkpoints", ())} for r in (a, b))
    )
    for name, before, after in paired(a, b):
        if before is None or after is None:
            lines.append(f"collection {name}: {'new' if before is None else 'gone'}")
        elif before["fingerprint"] != after["fingerprint"]:
            rows = (
                f"{before['rows']:,} -> {after['rows']:,} rows"
                if before["rows"] != after["rows"]
                else f"{after['rows']:,} rows"
            )
            parts = _changes("  part", before["parts"], after["parts"])
            lines += [f"collection {name}: {rows}, {before['fingerprint'][:12]} -> {after['fingerprint'][:12]}", *parts[:20]]
            if len(parts) > 20:
                lines.append(f"    and {len(parts) - 20} parts more")
        elif before["columns"] != after["columns"]:
            lines.append(f"collection {name}: what is said about its columns changed")
    return lines


def paired(a: Record, b: Record) -> list[tuple[str, Record | None, Record | None]]:
    """The collections of two records by name."""
    before, after = ({one["name"]: one for one in record.get("collections", ())} for record in (a, b))
    return [(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]


def _changes(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            lines.append(f"{kind} {name}: {'new' if name not in before else 'gone'}")
        elif before[name] != after[name]:
            lines.append(f"{kind} {name}: changed")
    return lines


def _write(path: Path, record: Record) -> None:
    with replacing(path) as part:
        part.write_text(as_json(_redacted(record)))


def _redacted(value: Any, said: bool = False) -> Any:
    """Text by text: in the whole of a record an address would seem to go on beyond its quotes.

    said: what others have said, which may hold parts of secrets; of names only whole ones are taken out.
    """
    if isinstance(value, Mapping):
        return {key: _redacted(one, said or key in SAID) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one, said) for one in value]
    return value if value is None or isinstance(value, int | float) else secrets.redact(str(value), parts=said)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())


def as_json(record: Record) -> str:
    """The record as it is kept."""
    return json.dumps(record, indent=1, default=str) + "\n"
