"""The graph of all checkpoints, and its run: doit decides what is up to date, this file tells it how to look.

What doit is given here that it does not have by itself (docs/decisions/0001): a state file that is written
after each checkpoint and not at the end, content digests instead of time stamps, targets that are checked by
content, versions of collections in a store, and a reporter of our own.
"""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatch
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from doit.action import BaseAction
from doit.control import TaskControl
from doit.dependency import DatabaseException, Dependency, FileChangedChecker, SqliteDB
from doit.exceptions import InvalidDodoFile, InvalidTask, TaskFailed
from doit.runner import MThreadRunner, Runner
from doit.task import Stream, Task

from impl.run import progress
from impl.run.checkpoint import Checkpoint, function_of, signature
from impl.run.depot import Depot
from impl.run.digest import Digests, text_digest
from impl.run.errors import EtlError, explain, unknown
from impl.run.files import sweep
from impl.run.lock import only_run
from impl.run.place import Place
from impl.run.secrets import redact_error

Say = Callable[[str], None]
Tell = Callable[[dict[str, Any]], None]

AT_ONCE = 256  # checkpoints handed to a cluster at once; it gives each worker as many as it has threads, others wait there

DEPENDENCY_REASONS = {  # doit's name: our words
    "changed_file_dep": "changed",
    "added_file_dep": "is read now",
    "removed_file_dep": "is no longer read",
}
NEVER_RAN = "it has not run yet"


@dataclass
class Summary:
    """What a run did: names of the checkpoints by what became of them, and the seconds that it took."""

    made: list[str]
    kept: list[str]
    seconds: float


@dataclass(frozen=True)
class Standing:
    """One row of the status table."""

    name: str
    dataset: str
    verb: str
    current: bool
    why: str
    finished: str | None
    seconds: float | None
    note: str


class _State(SqliteDB):
    """doit's sqlite file, but each success is on disk when its checkpoint ends (doit writes when the run ends)."""

    _dirty: set[str]

    def flush(self) -> None:
        for task_id in self._dirty:
            self._conn.execute("insert or replace into doit values (?,?)", (task_id, self.codec.encode(self._cache[task_id])))
        self._conn.commit()
        self._dirty = set()


class _Content(FileChangedChecker):
    """Files by content. doit's own checker takes equal modification times for equal content."""

    place: Place
    digests: Digests

    def exists(self, file_path: str) -> bool:
        return self.digests.of(self.place.path(file_path)) is not None

    def info(self, file_path: str) -> str:
        digest = self.digests.of(self.place.path(file_path))
        if digest is None:
            raise FileNotFoundError(file_path)
        return digest

    def check_modified(self, file_path: str, file_stat: str, state: str) -> bool:
        return file_stat != state

    def get_state(self, dep: str, current_state: str | None) -> str:
        return self.info(dep)


class _Action(BaseAction):
    """Runs the checkpoint's action and keeps its error whole: doit's own would drop the exception."""

    def __init__(self, step: "_Step") -> None:
        self.step = step
        self.task = None
        self.out = self.err = self.result = None
        self.values: dict[str, Any] = {}

    def execute(self, out: Any = None, err: Any = None) -> TaskFailed | None:
        try:
            self.step.run()
        except Exception as exception:  # noqa: BLE001 - kept in `failures` and raised at the end of the run
            error = redact_error(explain(exception, where=self.step.checkpoint.name))
            self.step.graph.failures[self.step.checkpoint.name] = error
            return TaskFailed(error.what)
        return None


class _Step:
    """A checkpoint as a doit task: its own `uptodate` and what is saved when it succeeds."""

    def __init__(self, graph: "Graph", checkpoint: Checkpoint) -> None:
        self.graph, self.checkpoint = graph, checkpoint
        self.why: list[str] = []
        self.saved: dict[str, Any] = {}
        self.worker = ""  # where it ran, if not here
        # doit would find the makers of files by itself, but keeps files in a set: the order of runs would change
        makers = [graph.makers[path] for path in checkpoint.file_dep if path in graph.makers]
        self.before = list(dict.fromkeys([*checkpoint.after, *makers]))

    @cached_property
    def signature(self) -> dict[str, str]:
        return signature(self.checkpoint, self.graph.place)

    def task(self) -> Task:
        step = self.checkpoint
        return Task(
            step.name,
            [_Action(self)],
            file_dep=[self.graph.place.key(path) for path in step.file_dep],
            targets=[self.graph.place.key(path) for path in step.targets],
            task_dep=self.before,
            uptodate=[self.uptodate],
        )

    def uptodate(self, task: Task, values: Mapping[str, Any]) -> bool:
        """Whether parameters, action, targets and collection are as at the last success; else `why` says what is not."""
        self.why = []
        task.value_savers = [lambda: self.saved]
        if not values:
            self.why.append(NEVER_RAN)
            return False
        before = values["signature"]
        for part, digest in self.signature.items():
            if before.get(part) != digest:
                self.why.append(f"{part} changed")
        if before.keys() - self.signature.keys():
            self.why.append(f"{', '.join(sorted(before.keys() - self.signature.keys()))} is gone")
        for target in self.checkpoint.targets:
            name = self.graph.place.shown(target)
            now = self.graph.digests.of(target)
            if now is None:
                self.why.append(f"{name} is missing")
            elif now != values["targets"].get(self.graph.place.key(target)):
                self.why.append(f"{name} was changed since it was made")
        outside = self.checkpoint.outside
        if outside and not self.why and not outside.holds(values["result"]):
            self.why.append(f"{outside.name} is not what it left")
        return not self.why

    def run(self) -> None:
        """The action, and what the next run compares with."""
        graph, step = self.graph, self.checkpoint
        reads = {path: graph.digests.of(path) for path in step.file_dep}
        if None in reads.values():
            raise graph.missing_input(step.name, "an input is missing")
        # A tool is compiled on this machine: a worker needs no compiler, and takes the program from the shared folder.
        executor = graph.here if step.here or step.verb == "compile" else graph.executor
        call = (step.name, step.action, step.args, step.kwargs)
        if graph.depot and not executor.away:
            with progress.track(step.name):
                graph.bring(reads)
        result, seconds, self.worker, taken = executor.run(*call, reads, step.targets)
        if graph.depot and not executor.away:
            graph.send(step.targets)
        for path, (stat, digest) in taken.items():
            graph.digests.take(path, stat, digest)
        for path, digest in reads.items():
            if graph.digests.of(path) != digest:
                raise EtlError(
                    "an input changed while it was read",
                    where=f"{step.name}: {graph.place.shown(path)}",
                    hint="run the same command again when nobody writes to it",
                )
        facts = dict(result) if isinstance(result, Mapping) else {"note": result or ""}
        targets = {path: graph.digests.of(path) for path in step.targets}
        for path, digest in targets.items():
            if digest is None:
                raise EtlError(
                    f"checkpoint `{step.name}` did not make its target",
                    where=graph.place.shown(path),
                    hint="its action has to write the file that `targets` names",
                )
        self.saved = {
            "signature": self.signature,
            "targets": {graph.place.key(path): digest for path, digest in targets.items()},
            "result": json.loads(json.dumps(facts, default=str)),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
        }


class _Reporter:
    """One line a checkpoint on stderr: `[+] name  note  seconds` made, `[|] name` kept, `[!] name` failed."""

    desc = "one line a checkpoint"

    def __init__(self, graph: "Graph", say: Say, tell: Tell) -> None:
        self.graph, self.say, self.tell = graph, say, tell
        self.made: list[str] = []
        self.kept: list[str] = []

    def execute_task(self, task: Task) -> None:
        step, place = self.graph.steps[task.name], self.graph.place
        changed = [] if step.why == [NEVER_RAN] else sorted(task.dep_changed or ())
        self.graph.why[task.name] = [*step.why, *(f"{place.shown(place.path(key))} changed" for key in changed)]
        slow = self.graph.checkpoints[task.name].slow
        if slow:
            self.say(f"[.] {task.name}  {slow}")
        self.tell({"event": "begun", "checkpoint": task.name, "why": self.graph.why[task.name]})

    def add_success(self, task: Task) -> None:
        self.graph.state.backend.flush()
        self.made.append(task.name)
        self.graph.done[task.name] = "made"
        step = self.graph.steps[task.name]
        saved, worker = step.saved, f" on worker {step.worker}" if step.worker else ""
        note = saved["result"].get("note", "")
        self.say(f"[+] {task.name}{f'  {note}' if note else ''}  {saved['seconds']:.1f} s{worker}")
        about = {"seconds": saved["seconds"], **({"worker": step.worker} if step.worker else {})}
        self.tell({"event": "made", "checkpoint": task.name, **about, **saved["result"]})

    def skip_uptodate(self, task: Task) -> None:
        self.kept.append(task.name)
        self.graph.done[task.name] = "kept"
        self.say(f"[|] {task.name}")
        self.tell({"event": "kept", "checkpoint": task.name})

    def add_failure(self, task: Task, fail: Any) -> None:
        self.graph.state.backend.flush()
        error = self.graph.failures.get(task.name)
        if error is None:  # doit found it while looking at dependencies
            error = self.graph.failures[task.name] = self.graph.missing_input(task.name, str(fail.message))
        self.say(f"[!] {task.name}  {error.what}")
        told = {"what": error.what, "where": error.where, "hint": error.hint}
        self.tell({"event": "failed", "checkpoint": task.name, "error": told})

    def runtime_error(self, message: str) -> None:
        raise EtlError("the graph of checkpoints does not hold together", where=message)

    def get_status(self, task: Task) -> None: ...
    def skip_ignore(self, task: Task) -> None: ...
    def cleanup_error(self, error: Any) -> None: ...
    def teardown_task(self, task: Task) -> None: ...
    def complete_run(self) -> None: ...


class Graph:
    """All checkpoints of all datasets, in one environment."""

    def __init__(self, checkpoints: Iterable[Checkpoint], place: Place, depot: str = "") -> None:
        """depot: where the files of the data folder are kept, if not in it: see depot.py."""
        self.place = place
        self.depot = Depot(depot, place.data) if depot else None
        self.failures: dict[str, EtlError] = {}
        self.done: dict[str, str] = {}  # what became of each in the last run: made or kept
        self.why: dict[str, list[str]] = {}
        self.here: Any = None
        self.executor: Any = None
        self.checkpoints: dict[str, Checkpoint] = {}
        for one in checkpoints:
            if one.name in self.checkpoints:
                raise EtlError(
                    f"two checkpoints are called `{one.name}`",
                    where=f"{self.checkpoints[one.name].dataset} and {one.dataset}",
                    hint="a name starts with its dataset's; put what tells them apart into it",
                )
            self.checkpoints[one.name] = one
        self.makers = {path: one.name for one in self.checkpoints.values() for path in one.targets}
        with self._in_our_words():
            self.digests = Digests(place.state / "digests.sqlite", self.depot)
            _Content.place, _Content.digests = place, self.digests
            self.state = Dependency(_State, str(place.state / "checkpoints.sqlite"), checker_cls=_Content)
            self.steps = {name: _Step(self, one) for name, one in self.checkpoints.items()}
            self.control = TaskControl([step.task() for step in self.steps.values()])

    def select(self, wanted: Iterable[str], only: str | None = None) -> list[str]:
        """The names in `wanted` that match the pattern `only`; a name without `*` may be any part of it."""
        wanted = set(wanted)
        names = [name for name in self.checkpoints if name in wanted]
        if only is None:
            return names
        pattern = only if "*" in only else f"*{only}*"
        chosen = [name for name in names if fnmatch(name, pattern)]
        if not chosen:
            raise unknown("checkpoint", only, names, hint="`invoke all.status` lists them")
        return chosen

    def run(
        self,
        selected: Sequence[str],
        *,
        say: Say,
        jobs: int = 1,
        cluster: str = "",
        force: bool = False,
        keep_going: bool = False,
        tell: Tell = lambda event: None,
    ) -> Summary:
        """Make what is not up to date among `selected` and what they depend on.

        jobs: how many at once; 0, on a cluster, as many as its workers take. cluster: where actions run, see
        `impl.run.cluster`; empty is here. force: also what is up to date, but only of `selected`. keep_going: after a
        failure go on with all that does not depend on it. tell: hears of each checkpoint as a dict, for programs.
        Raises the first failure as `EtlError`.
        """
        from impl.run.worker import Here, Workers

        started = time.perf_counter()
        reporter = _Reporter(self, say, tell)
        with self._in_our_words(), only_run(self.place.state / "lock"):
            sweep(self.place.data)
            if force:
                for name in selected:
                    self.state.remove(name)
            runner: Runner
            self.here = Here()
            if cluster:
                self.executor = _Lazily(lambda: self._cluster(cluster, say), away=True)
                count = jobs or AT_ONCE
                runner = MThreadRunner(self.state, reporter, continue_=keep_going, stream=Stream(0), num_process=count)
            elif jobs > 1:
                self.executor = _Lazily(lambda: Workers(jobs))
                runner = MThreadRunner(self.state, reporter, continue_=keep_going, stream=Stream(0), num_process=jobs)
            else:
                self.executor = self.here
                runner = Runner(self.state, reporter, continue_=keep_going, stream=Stream(0))
            finished = False
            try:
                self.control.process(list(selected))
                runner.run_all(self.control.task_dispatcher())
                finished = True
            finally:
                self.executor.close(kill=not finished)
                sweep(self.place.data)  # of those that outlived a killed run, and ended since
        for name in reporter.made:
            for warning in self.steps[name].saved["result"].get("warnings", ()):
                say(f"\nwarning: {name}: {warning}")
        if self.failures:
            first, *others = self.failures.values()
            for other in others:
                if str(other) == str(first):  # the scheduler is gone for all that were at work
                    continue
                say(f"\nalso failed: {other.what}{f' ({other.where})' if other.where else ''}")
            raise first
        return Summary(reporter.made, reporter.kept, time.perf_counter() - started)

    def _cluster(self, address: str, say: Say) -> Any:
        from impl.run.cluster import Cluster

        modules = {function_of(step.action).__module__ for step in self.checkpoints.values()}
        programs = [path for step in self.checkpoints.values() if step.verb == "compile" for path in step.targets]
        return Cluster(address, self.place.state, modules=modules, programs=programs, say=say, depot=self.depot)

    def bring(self, reads: Mapping[Path, str | None]) -> None:
        """Have what an action reads in this machine's folder, as it is in the depot."""
        for path, digest in reads.items():
            if self.depot and digest and self.depot.holds(path) and self.digests.here(path) != digest:
                self.depot.fetch(path, digest)

    def send(self, made: Iterable[Path]) -> None:
        """Put what an action made where all find it."""
        for path in made:
            digest = self.digests.here(path)
            if self.depot and digest and self.depot.holds(path):
                self.digests.take(path, self.depot.put(path, digest), digest)

    def standing(self, selected: Iterable[str] | None = None) -> list[Standing]:
        """Each checkpoint (or the `selected` and what they depend on), in the order of a run: up to date, or why not."""
        with self._in_our_words():
            return self._standing(selected)

    def _standing(self, selected: Iterable[str] | None) -> list[Standing]:
        rows: dict[str, Standing] = {}
        for name in self.order(self.checkpoints if selected is None else selected):
            step, task = self.steps[name], self.control.tasks[name]
            found = self.state.get_status(task, self.control.tasks, get_log=True)
            why = list(step.why)
            changed = dict(found.reasons)
            if step.why != [NEVER_RAN]:
                for reason, words in DEPENDENCY_REASONS.items():
                    why += [f"{self.place.shown(self.place.path(key))} {words}" for key in changed.get(reason, ())]
            before = [dep for dep in task.task_dep if dep in rows and not rows[dep].current]
            missing = [key for key in changed.get("missing_file_dep", ()) if key not in self.control.targets]
            why += [f"{self.place.shown(self.place.path(key))} is missing" for key in missing]
            if before and not why:
                why.append(f"after {before[0]}{f' and {len(before) - 1} more' if len(before) > 1 else ''}")
            values = self.state.get_values(name)
            one = self.checkpoints[name]
            note = values.get("result", {}).get("note", "")
            rows[name] = Standing(
                name, one.dataset, one.verb, not why, "; ".join(why), values.get("finished"), values.get("seconds"), note
            )
        return list(rows.values())

    def order(self, selected: Iterable[str]) -> list[str]:
        """`selected` and what they depend on, each after its dependencies."""
        ordered: dict[str, None] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in ordered:
                return
            if name in path:
                raise self._not_a_graph(" -> ".join([*path[path.index(name) :], name]))
            path.append(name)
            for dep in self.control.tasks[name].task_dep:
                visit(dep)
            path.pop()
            ordered[name] = None

        for name in selected:
            visit(name)
        return list(ordered)

    def told(self, selected: Sequence[str]) -> list[dict[str, Any]]:
        """What became of each of `selected` and what they depend on in the last run, for its record."""
        rows = []
        for name in self.order(selected):
            step, one = self.steps[name], self.checkpoints[name]
            done = "failed" if name in self.failures else self.done.get(name, "not reached")
            # doit closes its state with a run, but keeps what it looked at
            values = step.saved if done == "made" else self.state.get_values(name) if done == "kept" else {}
            result = dict(values.get("result", {}))
            failure = self.failures.get(name)
            why = failure.what if failure else "; ".join(self.why.get(name, step.why)) if done == "made" else ""
            rows.append(
                {
                    "name": name,
                    "dataset": one.dataset,
                    "verb": one.verb,
                    "done": done,
                    "why": why,
                    "note": result.get("note", ""),
                    "seconds": values.get("seconds"),
                    "finished": values.get("finished"),
                    "signature": text_digest(json.dumps(step.signature, sort_keys=True)),
                    "checks": failure.checks if failure else result.get("checks", []),
                    "worker": step.worker,
                }
            )
        return rows

    def result(self, name: str) -> dict[str, Any]:
        """What the action of a checkpoint has returned, in the last run or when it was made before."""
        made = self.done.get(name) == "made"
        return dict((self.steps[name].saved if made else self.state.get_values(name)).get("result", {}))

    def inputs(self, selected: Sequence[str]) -> list[dict[str, Any]]:
        """The raw files that a run of `selected` reads, with size and SHA-256; those that are not there are left out."""
        paths: dict[Path, str] = {}
        for name in self.order(selected):
            step = self.checkpoints[name]
            # of a raw file that was copied from a mirror, the copy counts
            for path in step.targets if step.raw else [one for one in step.file_dep if one not in self.makers]:
                paths.setdefault(path, name)
        found = []
        for path, name in paths.items():
            digest = self.digests.of(path)
            size = self.digests.size(path)
            if digest is not None and size is not None:
                found.append({"file": self.place.key(path), "checkpoint": name, "bytes": size, "sha256": digest})
        return found

    def clean(self, selected: Sequence[str], *, say: Say, raw: bool = False, dry_run: bool = False) -> int:
        """Take away what the `selected` checkpoints made; raw data only with `raw`. Returns how many things went."""
        gone = 0
        with self._in_our_words(), only_run(self.place.state / "lock"):
            for name in reversed(self.order(selected)):
                step = self.checkpoints[name]
                if name not in selected or (step.raw and not raw):
                    continue
                things: list[tuple[str, Callable[[], None]]] = [
                    (self.place.shown(path), partial(self._remove, path))
                    for path in step.targets
                    if self.digests.of(path) is not None
                ]
                if step.outside and (self.state.get_values(name) or step.outside.exists()):
                    things.append((step.outside.name, step.outside.remove))
                for thing, remove in things:
                    say(f"[-] {thing}")
                    gone += 1
                    if not dry_run:
                        remove()
                if not dry_run:
                    self.state.remove(name)
                    self.state.backend.flush()
        return gone

    def _remove(self, path: Path) -> None:
        if self.depot and self.depot.holds(path):
            self.depot.remove(path)
        else:
            path.unlink()

    def close(self) -> None:
        with self._in_our_words():
            self.state.close()
            self.digests.close()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """What doit and sqlite raise, as `EtlError`."""
        try:
            yield
        except (sqlite3.DatabaseError, DatabaseException) as error:
            raise _corrupt(self.place, error) from error
        except (InvalidTask, InvalidDodoFile) as error:
            raise self._not_a_graph(str(error)) from error

    def missing_input(self, name: str, message: str) -> EtlError:
        """The error for a file that a checkpoint reads, that is not there and that no checkpoint makes."""
        for path in self.checkpoints[name].file_dep:
            if self.digests.of(path) is None:
                return EtlError(
                    "a file to read is not there and nothing makes it",
                    where=f"{name}: {self.place.shown(path)}",
                    hint="check `etl.source` (ETL_SOURCE); `invoke all.status` shows where each file should come from",
                )
        return EtlError(message, where=name)

    def _not_a_graph(self, where: str) -> EtlError:
        return EtlError(
            "the checkpoints do not make a graph",
            where=where,
            hint="a file has one maker, `after` names checkpoints that exist, and nothing waits for itself",
        )


class _Lazily:
    """Starts the workers with the first action: a run that has nothing to do starts none."""

    def __init__(self, make: Callable[[], Any], away: bool = False) -> None:
        self._make, self._lock, self.away = make, threading.Lock(), away
        self._made: Any = None
        self._failed: EtlError | None = None

    def run(self, *args: Any) -> Any:
        with self._lock:
            if self._failed:
                raise self._failed
            if self._made is None:
                try:
                    self._made = self._make()
                except EtlError as error:
                    self._failed = error  # else each that waits here would try, and wait, again
                    raise
        return self._made.run(*args)

    def close(self, *, kill: bool = False) -> None:
        if self._made is not None:
            self._made.close(kill=kill)


def _corrupt(place: Place, error: Exception) -> EtlError:
    if "unable to open" in str(error) or "readonly" in str(error):
        return EtlError(
            "the state file cannot be written",
            where=f"{place.state}: {error}",
            hint="mend the rights of the folder, or choose another with `etl.data` in invoke.yaml or INVOKE_ETL_DATA",
        )
    if "full" in str(error):
        return EtlError("the disk is full", where=str(place.state), hint="free some space and run the same command again")
    return EtlError(
        "the state file is corrupt",
        where=f"{place.state}: {str(error).splitlines()[0]}",
        hint="remove that folder; the next run makes every checkpoint again and ends in the same store",
    )


def to_stderr(line: str) -> None:
    """The default `say`: one line on stderr; stdout is for data."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def to_stdout(event: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout."""
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()
