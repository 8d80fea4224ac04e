"""In the process that a worker of a cluster starts for actions: calls come in through a pipe, answers go out.

The process is not Dask's: it holds one thread of work, as netCDF and HDF5 want it, it can be ended while it works, and
when it dies (of memory, say) the worker lives. It runs the code that the coordinator shipped, and looks at its first
call whether its machine fits.
"""

import contextlib
import os
import pickle
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from impl.run import secrets
from impl.run.depot import Depot, Trip, pack, unpack
from impl.run.digest import file_digest, stat_of
from impl.run.errors import EtlError, explain
from impl.run.files import replacing
from impl.run.worker import Done, _guarded, _start

IDLE_SECONDS = 60  # without a call a process goes; the worker starts another when it needs one
KEPT = "kept"  # folder of small inputs that actions share
KEPT_SMALL, KEPT_BYTES = 64 << 20, 1 << 30
SEEN_SECONDS = 5  # a shared folder may show a new file late
PACKAGES = ("deltalake", "duckdb", "geopandas", "netCDF4", "numpy", "pandas", "pyarrow", "shapely")


class Terms(NamedTuple):
    """What a machine has to fulfil to take part in a run.

    probe: a file in the state folder, and what stands in it. versions: of Python and of the packages that decide
    what results look like. depot: where files are kept, if not in a shared folder.
    """

    probe: Path
    content: str
    versions: Mapping[str, str]
    depot: str


def versions() -> dict[str, str]:
    """The versions of this process that results depend on."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def check_machine(terms: Terms, worker: str) -> None:
    """Raise `EtlError` that names the worker where this machine does not fulfil the terms."""
    ours = versions()
    other = [f"{name} {ours[name]} (here {wanted})" for name, wanted in terms.versions.items() if ours.get(name) != wanted]
    if other:
        raise EtlError(
            "a worker has other versions than this checkout",
            where=f"worker {worker}: {', '.join(other)}",
            hint="install the same on it (`pip install -e '.[servers]'` from this checkout, same Python), or stop that worker",
        )
    if terms.depot:
        _check_depot(terms, worker)
        return
    folder, end = terms.probe.parent, time.monotonic() + SEEN_SECONDS
    while not _reads(terms):
        if time.monotonic() > end:
            raise EtlError(
                "a worker does not see the data folder",
                where=f"worker {worker}: {folder}",
                hint="the folder of `etl.data` has to be the same shared folder, under the same path, on every machine",
            )
        time.sleep(0.2)
    try:
        mark = terms.probe.with_name(f"{terms.probe.name}.{worker.replace('/', '_')}.{os.getpid()}")
        with replacing(mark) as part:
            part.touch()
        mark.unlink()
    except OSError as error:
        raise EtlError(
            "a worker may not write to the data folder",
            where=f"worker {worker}: {folder}: {os.strerror(error.errno or 0)}",
            hint="mount it for writing there, and run the worker as a user that may write to it",
        ) from error


def _check_depot(terms: Terms, worker: str) -> None:
    try:
        Depot(terms.depot, Path.cwd()).check(f".{terms.probe.name}.{worker.replace('/', '_')}.{os.getpid()}")
    except EtlError as error:
        raise EtlError(
            "a worker does not reach the data folder in object storage",
            where=f"worker {worker}: {error.what} ({error.where})",
            hint=error.hint,
        ) from error


def _reads(terms: Terms) -> bool:
    try:
        return terms.probe.read_text() == terms.content
    except OSError:
        return False


def check_programs(programs: Iterable[Path], worker: str) -> None:
    """Raise `EtlError` where a compiled program of the shared folder does not start on this machine."""
    from impl.run.command import run_command

    for program in programs:
        try:
            run_command([program, "--version"])
        except (OSError, EtlError) as error:
            said = error.where if isinstance(error, EtlError) else error
            libc = " ".join(platform.libc_ver())
            raise EtlError(
                f"the program `{program.name}` does not start on a worker",
                where=f"worker {worker} ({platform.machine()}, {libc}): {said}",
                hint="it was compiled by the machine that you typed on; take workers of the same architecture and with a C "
                "library at least as new, or compile it on the oldest of them",
            ) from error


class _Pipe:
    """The pipe to the worker; reports may come from several threads."""

    def __init__(self, handle: int) -> None:
        self._pipe, self._lock = Connection(handle), threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        with self._lock:
            self._pipe.send((kind, content))

    def put(self, report: tuple) -> None:
        self.send("report", report)

    def calls(self) -> Any:
        while self._pipe.poll(IDLE_SECONDS):
            try:
                yield self._pipe.recv()
            except EOFError:
                return


def serve() -> None:
    """Answer calls until there are no more. Words of the command line: handle of the pipe, parent, worker's name, the code."""
    handle, parent, worker = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]  # the code is on `sys.path` already
    pipe = _Pipe(handle)
    _start(parent, None, {})  # secrets come with each call
    checked: set[Any] = set()
    for known, wants_reports, packed in pipe.calls():
        secrets.provide(known)
        if wants_reports and not checked:
            from impl.run import progress

            progress.send_to(pipe)
        try:
            answer = _answer(packed, worker, checked)
        except EtlError as error:
            answer = pickle.dumps(error)
        pipe.send("done", answer)


def _answer(packed: bytes, worker: str, checked: set[Any]) -> bytes:
    terms, trip, call = pickle.loads(packed)
    if "machine" not in checked:
        check_machine(terms, worker)
        checked.add("machine")
    if call is None:
        return pickle.dumps(None)
    if trip is None:
        return pickle.dumps(_done(_read(call, Path("/nowhere"), worker), worker, checked))
    with tempfile.TemporaryDirectory(prefix="work-", dir=Path.cwd()) as scratch:
        here = Path(scratch)
        try:
            return pack(_at_depot(trip, call, here, worker, checked), here)
        except EtlError as error:
            raise _named_by(trip.folder, here, error) from error


def _read(call: bytes, folder: Path, worker: str) -> tuple:
    try:
        return unpack(call, folder)
    except Exception as exception:  # a module of the action that cannot be imported here fails in any way
        raise explain(exception, where=f"worker {worker}, reading the call") from exception


def _done(read: tuple, worker: str, checked: set[Any]) -> Done:
    programs, call, makes = read
    if new := [one for one in programs if one.name not in checked]:
        check_programs(new, worker)
        checked.update(one.name for one in new)
    try:
        done = _guarded(*call)
    except EtlError as error:
        error.where = f"{error.where} (worker {worker})" if error.where else f"worker {worker}"
        raise
    # Taken here, where the file is still in memory: else the coordinator would read every byte that a worker wrote.
    digests = {path: (stat_of(path.stat()), file_digest(path)) for path in makes if path.is_file()}
    return done._replace(worker=worker, digests=digests)


def _at_depot(trip: Trip, call: bytes, here: Path, worker: str, checked: set[Any]) -> Done:
    """Bring what the action reads into the folder `here`, run it there, and put what it made into the depot."""
    depot = Depot(trip.address, here)
    for path, (digest, size) in trip.reads.items():
        _bring(depot, here / path.relative_to(trip.folder), digest, size)
    done = _done(_read(call, here, worker), worker, checked)
    put = {path: (depot.put(path, digest), digest) for path, (_, digest) in done.digests.items() if depot.holds(path)}
    return done._replace(digests={**done.digests, **put})


def _bring(depot: Depot, path: Path, digest: str, size: int) -> None:
    """Many actions read the same tool and the same index: small files stay on the worker, those that were used last."""
    if size > KEPT_SMALL:
        return depot.fetch(path, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Path.cwd() / KEPT
    kept.mkdir(exist_ok=True)
    try:
        os.link(kept / digest, path)
        os.utime(kept / digest)
    except FileNotFoundError:
        path.unlink(missing_ok=True)
        depot.fetch(path, digest)
        with contextlib.suppress(OSError):  # another process keeps or forgets it in this moment
            os.link(path, kept / digest)
            _forget(kept)


def _forget(kept: Path) -> None:
    """Keep no more than so many bytes; what is at work has links of its own."""
    found = sorted(((one.stat(), one) for one in kept.iterdir()), key=lambda pair: pair[0].st_mtime)
    held = sum(stat.st_size for stat, _ in found)
    for stat, one in found:
        if held <= KEPT_BYTES:
            return
        one.unlink(missing_ok=True)
        held -= stat.st_size


def _named_by(folder: Path, here: Path, error: EtlError) -> EtlError:
    """The error with files named as the coordinator names them."""
    for part in ("what", "where", "hint", "trace"):
        text = getattr(error, part, None)
        if text is not None:
            setattr(error, part, str(text).replace(str(here), str(folder)))
    return error
