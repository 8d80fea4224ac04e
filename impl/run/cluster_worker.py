"""What a worker of a Dask cluster is given for a run: the code, and a process of its own for each action at work.

This module goes to the workers by value, so that they need nothing of this repository: it imports none of it.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from io import BytesIO
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import cloudpickle
import distributed

LEAVE_SECONDS = 3  # what a process gets to unwind
START = "import sys; sys.path.insert(0, sys.argv[4]); from impl.run.errand import serve; serve()"
LAST_CHARACTERS = 2000  # of what an action wrote on its output


class Sealed:
    """Bytes that no log and no page of Dask shows: what Dask prints of a task is the `repr` of its arguments."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __repr__(self) -> str:
        return "Sealed"


class Errand:
    """One process that runs actions, one after the other, of the code in the folder `code`."""

    def __init__(self, code: Path, worker: str) -> None:
        self.worker = worker
        self.pipe, theirs = Pipe()
        self.said = tempfile.TemporaryFile(dir=code)  # noqa: SIM115 - open as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs.fileno()), str(os.getpid()), worker, str(code)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=self.said,
            cwd=code,
            start_new_session=True,  # Ctrl-C in the worker's terminal is the worker's; and what it starts is ended with it
        )
        theirs.close()

    def ask(self, call: tuple, report: Any) -> dict[str, Any]:
        """What the process answers to `call`; where it dies meanwhile, by which signal (or minus its exit code)."""
        from_here = os.fstat(self.said.fileno()).st_size
        done = None
        try:
            self.pipe.send(call)
            while done is None:
                kind, content = self.pipe.recv()
                if kind == "done":
                    done = content
                else:
                    report(content)
        except (EOFError, OSError):
            pass
        died = None if done is not None else -self.process.wait()
        said = os.pread(self.said.fileno(), 1 << 20, from_here)[-LAST_CHARACTERS:].decode(errors="replace")
        return {"worker": self.worker, "done": done, "died": died, "said": said}

    def end(self) -> None:
        """Now; what it wrote half and what it started go too. Does not wait."""
        if self.process.poll() is None:
            self.process.terminate()
            threading.Thread(target=self._make_sure, daemon=True).start()

    def _make_sure(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LEAVE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Home(distributed.WorkerPlugin):
    """Keeps the code of a run and its processes on one worker. Those who join later are given one too."""

    def __init__(self, name: str, code: bytes, known: dict[str, str], reports: bool) -> None:
        self.name, self.code, self.known, self.reports = name, code, known, reports

    def setup(self, worker: Any) -> None:
        self.worker = worker
        self.at_work: dict[str, Errand] = {}
        self.idle: list[Errand] = []
        self.lock = threading.Lock()
        self.folder = Path(tempfile.mkdtemp(prefix="etl-", dir=worker.local_directory))
        with zipfile.ZipFile(BytesIO(self.code)) as packed:
            packed.extractall(self.folder)

    def teardown(self, worker: Any) -> None:
        with self.lock:
            for one in [*self.idle, *self.at_work.values()]:
                one.end()
            self.idle.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Dask lets go of a task that is at work when it is cancelled or when the coordinator is gone: so its process ends."""
        if start in ("executing", "long-running") and finish == "released":
            with self.lock:
                errand = self.at_work.get(key)
            if errand:
                errand.end()

    def run(self, key: str, call: bytes) -> dict[str, Any]:
        def report(content: list) -> None:
            self.worker.log_event(self.name, {"key": key, "name": str(self.worker.name), "report": list(content)})

        with self.lock:
            errand = next((one for one in self.idle if one.process.poll() is None), None)
            self.idle = [one for one in self.idle if one is not errand and one.process.poll() is None]
            errand = errand or Errand(self.folder, str(self.worker.name))
            self.at_work[key] = errand
        task = self.worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":  # before there was a process that `transition` could end
            errand.end()
        answer: dict[str, Any] = {}
        try:
            answer = errand.ask((self.known, self.reports, call), report)
        finally:
            with self.lock:
                del self.at_work[key]
                if answer.get("done") is not None:
                    self.idle.append(errand)
                else:
                    errand.end()
        if answer["died"] == 0:  # it had waited long enough and went just as the call came
            return self.run(key, call)
        return answer


def run(name: str, key: str, call: Sealed) -> dict[str, Any]:
    """The Dask task: one action, in a process of the worker that it came to."""
    home: Any = distributed.get_worker().plugins[name]
    return home.run(key, call.content)


class Task:
    """A call of `run` that travels by value: what is inside a graph Dask would pickle by the name of its module."""

    def __init__(self, name: str, key: str, call: bytes) -> None:
        self.words = (name, key, Sealed(call))

    def __call__(self) -> dict[str, Any]:
        return run(*self.words)

    def __reduce__(self) -> tuple:
        return cloudpickle.loads, (cloudpickle.dumps(functools.partial(run, *self.words)),)
