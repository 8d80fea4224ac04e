"""Runs the actions of checkpoints on a Dask cluster: `dask:ADDRESS` of a scheduler, or `dask:local:N`.

This process stays the coordinator: the graph, the state and the lock are here, and one action is one task of Dask.
Workers get the code from here and share the data folder, or fetch files from the depot and put them there. Where a worker dies, Dask gives its tasks to another: that is
safe, since files are written beside their name and renamed, and a load is one commit under a key, so an action that ran
one and a half times leaves what it leaves when it ran once. docs/cluster.md tells how to start one.
"""

import contextlib
import logging
import os
import pickle
import queue
import re
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from typing import Any

from impl.run import progress, secrets
from impl.run.depot import Depot, Trip, pack, unpack
from impl.run.digest import text_digest
from impl.run.errand import Terms, versions
from impl.run.errors import EtlError
from impl.run.worker import Done

KIND = "dask:"
LOCAL = "local:"
CONNECT_SECONDS = 10
PATIENCE = 60.0  # seconds without any worker
LOOK_SECONDS = 0.5  # how often the cluster is looked at
ATTEMPTS = 3  # of an action whose process is killed; for whole workers Dask counts, see its `allowed-failures`
SEEN_SECONDS = 60  # a shared folder may show late what a worker wrote
SHIPPED = (".py", ".yaml", ".jsont", ".jinja", ".csv")  # code, and the documents, templates and maps beside datasets
GOES_ON = "the same command goes on where this one stopped"


class Cluster:
    """Runs actions on the workers of a scheduler; `run` may be called from many threads, and Dask puts them in a queue.

    state: the environment's state folder, where workers show that they share the data, unless that is in a `depot`. modules: those of the actions,
    whose packages are shipped. programs: compiled tools, which have to start on a worker. say: takes lines for people.
    """

    def __init__(
        self,
        address: str,
        state: Path,
        *,
        modules: Iterable[str],
        programs: Iterable[Path],
        say: Callable[[str], None],
        depot: Depot | None = None,
    ) -> None:
        distributed, self._remote = _libraries()
        self._programs, self._say, self._depot = list(programs), say, depot
        self._run = uuid.uuid4().hex[:8]
        # One name per environment: what a coordinator that was killed left at the scheduler is taken away by the next.
        self._name = f"etl-{text_digest(str(state))[:12]}"
        self._names: dict[str, str] = {}  # address of a worker -> its name
        self._waiting: dict[str, Future] = {}
        self._bars: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._broken: EtlError | None = None
        self._closed = threading.Event()
        self._terms = Terms(state / f"cluster-{self._run}", self._run, versions(), depot.address if depot else "")
        for old in state.glob("cluster-*"):  # of a coordinator that was killed
            old.unlink(missing_ok=True)
        self._terms.probe.write_text(self._run)
        self._local: Any = None
        self._client: Any = None
        try:
            self._connect(distributed, address, modules)
        except BaseException:
            self.close(kill=True)
            raise

    def _connect(self, distributed: Any, address: str, modules: Iterable[str]) -> None:
        where = secrets.redact(address)
        place = secrets.reveal(address.removeprefix(KIND))
        if not address.startswith(KIND) or not _ADDRESS.fullmatch(place):
            raise _no_address(where)
        if place.startswith(LOCAL):
            self._local = _start_local(place.removeprefix(LOCAL), where)
            place = self._local
        try:
            self._client = distributed.Client(place, timeout=CONNECT_SECONDS, set_as_default=False, name="etl")
        except (OSError, ValueError, TimeoutError) as error:
            raise EtlError(
                "the scheduler does not answer",
                where=where,
                hint="start it (`dask scheduler`) or mend the address in `etl.cluster` (ETL_CLUSTER); docs/cluster.md",
            ) from error
        self._wait_for_workers(where)
        self._same_python()
        self._reports: queue.Queue = queue.Queue()
        self._end_reports = progress.receive_from(self._reports)
        self._client.subscribe_topic(self._name, self._report)
        self._client.subscribe_topic("all", self._happened)
        home = self._remote.Home(self._name, _packed(modules), secrets.known(), progress.wanted())
        self._client.register_plugin(home, name=self._name)
        threading.Thread(target=self._watch, daemon=True).start()
        self._check_workers()

    def run(
        self,
        name: str,
        action: Callable[..., Any],
        args: tuple,
        kwargs: Mapping[str, Any],
        reads: Mapping[Path, str],
        makes: Iterable[Path],
    ) -> Done:
        programs, trip, folder = self._programs_of(args, kwargs), None, Path("/nowhere")
        if self._depot:
            folder = self._depot.folder
            asked = {path: (digest, self._depot.size(path) or 0) for path, digest in reads.items() if self._depot.holds(path)}
            trip = Trip(self._depot.address, folder, asked)
        packed = pack((programs, (name, action, args, dict(kwargs)), list(makes)), folder)
        call = pickle.dumps((self._terms, trip, packed))
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._ask(f"{name}-{self._run}-{attempt}", name, call)
            worker = answer["worker"]
            for line in secrets.redact(answer["said"]).splitlines():
                self._say(f"[w] {name} on {worker}: {line}")
            if answer["done"] is not None:
                break
            self._say(f"[w] {name} on {worker}: its process {_how(answer['died'])}")
        else:
            raise EtlError(
                "the process of a checkpoint was killed on its worker",
                where=f"{name}, {ATTEMPTS} times, the last on worker {worker}: {_how(answer['died'])}",
                hint=f"often the memory was used up: fewer threads per worker, or a larger machine; {GOES_ON}",
            )
        done = unpack(answer["done"], folder)
        if isinstance(done, EtlError):
            raise done
        if not self._depot:
            self._wait_for_files(done.digests, worker)
        return done

    def workers(self) -> list[str]:
        """The names of the workers that were found fit."""
        return sorted(self._names.values())

    def close(self, *, kill: bool = False) -> None:
        """Ends what is at work; with `kill` without waiting for anything."""
        self._closed.set()
        self._fail(EtlError("the run was stopped", hint=GOES_ON))
        with contextlib.suppress(OSError):
            self._terms.probe.unlink()
        if self._client is not None:
            # A scheduler that is gone, or goes now, must not keep us: each of these can raise whatever its comm does.
            with contextlib.suppress(Exception):
                if self._client.status == "running":
                    self._client.sync(self._client._unregister_worker_plugin, name=self._name, callback_timeout=5)
            with contextlib.suppress(Exception):
                self._client.close(timeout=2)
        if self._local is not None:
            with contextlib.suppress(Exception):
                self._local.close(timeout=5)
        if hasattr(self, "_end_reports"):
            self._end_reports()

    def _ask(self, key: str, name: str, call: bytes, worker: str | None = None) -> dict[str, Any]:
        """What the worker answers to which Dask gives the call."""
        from distributed import KilledWorker

        waiting: Future = Future()
        with self._lock:
            if self._broken:
                raise self._broken
            self._waiting[key] = waiting
        try:
            # pure: Dask would take two calls with equal arguments for one. retries: an error of ours is an answer.
            call_there = self._remote.Task(self._name, key, call)
            task = self._client.submit(call_there, key=key, pure=False, retries=0, workers=worker)
            task.add_done_callback(lambda done: _settle(waiting, done.status))
            if waiting.result() in ("cancelled", "lost"):
                raise self._broken or _scheduler_gone()
            return task.result(timeout=PATIENCE)
        except KilledWorker as error:
            raise EtlError(
                "a checkpoint killed one worker after the other",
                where=f"{name}, the last was {self._names.get(error.last_worker.address, error.last_worker.address)}",
                hint=f"often the memory was used up: look at the worker's log; {GOES_ON}",
            ) from None
        except EtlError:
            raise
        except Exception as error:  # whatever Dask's comm raises when its other end is going
            if self._broken or self._client.status != "running":
                raise self._broken or _scheduler_gone() from error
            raise EtlError(f"Dask lost a checkpoint: {type(error).__name__}: {error}", where=name, hint=GOES_ON) from error
        finally:
            with self._lock:
                self._waiting.pop(key, None)
                for bar in self._bars.pop(key, ()):
                    self._reports.put((bar, progress.ENDED, None, ""))

    def _wait_for_workers(self, where: str) -> None:
        end = time.monotonic() + PATIENCE
        while not (workers := self._client.scheduler_info(n_workers=-1)["workers"]):
            if time.monotonic() > end:
                raise EtlError(
                    "the scheduler has no workers",
                    where=f"{where}, after {PATIENCE:.0f} s",
                    hint="start some: `dask worker ADDRESS --nthreads 1`; docs/cluster.md",
                )
            time.sleep(LOOK_SECONDS)
            self._client.sync(self._client._update_scheduler_info)
        self._names = {address: str(facts["name"]) for address, facts in workers.items()}

    def _same_python(self) -> None:
        """Code travels as Python's own byte code, so before anything is sent the versions have to be the same."""
        found = self._client.get_versions(check=False)["workers"]
        ours = ".".join(map(str, sys.version_info[:2]))
        other = {}
        for address, facts in found.items():
            theirs = ".".join(facts["host"]["python"].split(".")[:2])
            if theirs != ours:
                other[self._names.get(address, address)] = theirs
        if other:
            raise EtlError(
                "a worker has another Python",
                where=", ".join(f"worker {name}: {version} (here {ours})" for name, version in other.items()),
                hint="start workers from an environment with the same Python and `pip install -e '.[servers]'`",
            )

    def _check_workers(self) -> None:
        """Each worker looks whether its machine fits; one that joins later does so before its first action."""
        call = pickle.dumps((self._terms, None, None))
        refused: list[EtlError] = []

        def check(address: str, name: str) -> None:
            try:
                answer = self._ask(f"check-{name}-{self._run}", f"worker {name}", call, worker=address)
                if answer["done"] is None:
                    raise EtlError(
                        "a worker cannot run this checkout's code",
                        where="\n    ".join([f"worker {name}: {_how(answer['died'])}", *answer["said"].splitlines()[-4:]]),
                        hint="install what it needs there: `pip install -e '.[servers]'` from this checkout",
                    )
                if isinstance(error := pickle.loads(answer["done"]), EtlError):
                    raise error
            except EtlError as error:
                refused.append(error)

        checks = [threading.Thread(target=check, args=one, daemon=True) for one in self._names.items()]
        for one in checks:
            one.start()
        for one in checks:
            one.join()
        if refused:
            first = refused[0]
            alike = dict.fromkeys(str(one.where) for one in refused if one.what == first.what)
            raise EtlError(first.what, where="\n    ".join(alike), hint=first.hint)

    def _programs_of(self, args: tuple, kwargs: Mapping[str, Any]) -> list[Path]:
        """The compiled tools among the arguments of an action."""
        given = {str(one) for one in (*args, *kwargs.values()) if isinstance(one, (str, Path))}
        return [one for one in self._programs if str(one) in given]

    def _wait_for_files(self, made: Iterable[Path], worker: str) -> None:
        """A shared folder may remember for a while that a file was not there; reading its folder makes it look again."""
        end = time.monotonic() + SEEN_SECONDS
        for path in made:
            while not path.exists():
                if time.monotonic() > end:
                    raise EtlError(
                        "a file that a worker made is not seen here",
                        where=f"{path}, made by worker {worker}, after {SEEN_SECONDS} s",
                        hint=f"the folder of `etl.data` has to be the same shared folder on every machine; {GOES_ON}",
                    )
                with contextlib.suppress(OSError):
                    list(path.parent.iterdir())
                time.sleep(0.2)

    def _watch(self) -> None:
        alone_since = None
        while not self._closed.wait(LOOK_SECONDS):
            try:
                if self._client.status != "running":
                    raise OSError
                workers = self._client.sync(self._client.scheduler.ncores, callback_timeout=30)
            except Exception:  # noqa: BLE001 - whatever Dask's comm raises, it means the same
                if not self._closed.is_set():
                    self._fail(_scheduler_gone())
                return
            if workers:
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
                self._say(f"[w] no worker is left; waiting {PATIENCE:.0f} s for one")
            elif time.monotonic() - alone_since > PATIENCE:
                return self._fail(
                    EtlError(
                        "all workers are gone",
                        where=f"no worker came for {PATIENCE:.0f} s",
                        hint=f"start workers again (docs/cluster.md); {GOES_ON}",
                    )
                )

    def _fail(self, error: EtlError) -> None:
        """End everybody's waiting."""
        with self._lock:
            self._broken = self._broken or error
            waiting = list(self._waiting.values())
        for one in waiting:
            if not one.done():
                with contextlib.suppress(Exception):  # settled in this very moment
                    one.set_exception(self._broken)

    def _report(self, event: tuple) -> None:
        """A worker says how far it is."""
        key, (description, done, total, unit) = event[1]["key"], event[1]["report"]
        bar = f"{description} ({event[1]['name']})"
        with self._lock:
            if key in self._waiting:
                self._bars.setdefault(key, set()).add(bar)
                self._reports.put((bar, done, total, unit))

    def _happened(self, event: tuple) -> None:
        """Workers come and go."""
        facts = event[1]
        if facts.get("action") == "remove-worker":
            ours = [str(key) for key in facts.get("processing-tasks", ()) if str(key) in self._waiting]
            if ours:
                names = ", ".join(key.rsplit("-", 2)[0] for key in ours)
                worker = self._names.get(facts["worker"], facts["worker"])
                self._say(f"[w] worker {worker} is gone; another takes {names}")


def _libraries() -> tuple[Any, Any]:
    """Dask's library, quiet, and our module for workers, which travels by value."""
    try:
        import distributed
        from cloudpickle import register_pickle_by_value
    except ImportError as error:
        raise EtlError(
            "the library for a cluster is not installed",
            where=f"`etl.cluster`: {error}",
            hint="pip install -e '.[servers]'",
        ) from error
    from impl.run import cluster_worker

    register_pickle_by_value(cluster_worker)
    # What it would log on the terminal is said here in our words. Its loggers have levels of their own.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return distributed, cluster_worker


def _start_local(count: str, where: str) -> Any:
    """A scheduler and `count` workers of one thread inside this process; each works in a process of its own, as on any
    worker. Nothing
    listens beyond 127.0.0.1, and it is up in half a second."""
    if not count.isdigit() or int(count) < 1:
        raise _no_address(where)
    import tempfile

    import dask
    from distributed import LocalCluster

    quiet: dict[str, list] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with dask.config.set(quiet):
        return LocalCluster(
            n_workers=int(count),
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=0,
            local_directory=tempfile.gettempdir(),
            silence_logs=logging.CRITICAL,
        )


def _packed(modules: Iterable[str]) -> bytes:
    """The Python files and documents of the packages of `modules` and of this one, as a zip; what is installed is not ours to ship."""
    ours = Path(__file__).resolve().parents[2]
    packages = {ours / name.partition(".")[0] for name in modules} | {ours / "impl", ours / "task"}
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
        for package in sorted(packages):
            for folder, below, names in os.walk(package, followlinks=True):
                below[:] = sorted(set(below) - {"target", "__pycache__"})
                for path in (Path(folder, name) for name in sorted(names) if name.endswith(SHIPPED)):
                    files.write(path, path.relative_to(ours))
    return packed.getvalue()


def _settle(waiting: Future, status: str) -> None:
    with contextlib.suppress(Exception):  # it was given up in this very moment
        waiting.set_result(status)


def _how(died: int) -> str:
    return f"was ended by signal {died}" if died > 0 else f"ended with exit code {-died}"


def _scheduler_gone() -> EtlError:
    return EtlError(
        "the scheduler is gone",
        hint=f"start it and its workers again, or work here (ETL_CLUSTER=); what was finished stays, and {GOES_ON}",
    )


_ADDRESS = re.compile(rf"{LOCAL}.*|((tcp|tls|ws|wss|ucx)://)?[^/\s]+/?")


def _no_address(where: str) -> EtlError:
    return EtlError(
        "this is not a cluster",
        where=f"`etl.cluster` or ETL_CLUSTER: `{where}`",
        hint="write `dask:tcp://HOST:PORT` of a scheduler, or `dask:local:2` for two workers on this machine",
    )
