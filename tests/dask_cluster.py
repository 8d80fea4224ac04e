"""A real Dask scheduler and real workers for tests: processes of their own on 127.0.0.1, gone with their fixture."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# A worker that hangs is given up after two seconds, and not after Dask's five minutes.
SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "2s"}


class DaskCluster:
    """Each worker has its own working folder, and nothing of this checkout in its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.tcp = f"tcp://127.0.0.1:{self.port}"
        self.address = f"dask:{self.tcp}"

    def start(self, *workers: str, **environment: str) -> "DaskCluster":
        """The scheduler and workers with these names, all with these variables."""
        self._start("scheduler", ["scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"], environment)
        for name in workers:
            self.worker(name, **environment)
        self.wait_for(*workers)
        return self

    def worker(self, name: str, *, threads: int = 1, before: tuple[str, ...] = (), **environment: str) -> None:
        words = ["worker", self.tcp, "--name", name, "--nthreads", str(threads), "--no-nanny", "--no-dashboard"]
        words += ["--host", "127.0.0.1", "--local-directory", "."]
        self._start(name, words, environment, before)

    def _start(self, name: str, words: list[str], environment: dict[str, str], before: tuple[str, ...] = ()) -> None:
        own = self.folder / name
        own.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("ETL_")}
        with open(own / "log", "a") as log:
            self.processes[name] = subprocess.Popen(
                [*before, sys.executable, "-m", "dask", *words],
                cwd=own,
                env={**kept, **SETTINGS, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, *workers: str, seconds: float = 30) -> None:
        self.until(lambda: all("Registered to" in self.log(name) for name in workers), seconds)

    @staticmethod
    def until(condition, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "what was waited for did not come"
            time.sleep(0.05)

    def log(self, name: str) -> str:
        path = self.folder / name / "log"
        return path.read_text() if path.exists() else ""

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*/log"))

    def kill(self, *names: str) -> None:
        """As kill -9, and forget the log, so that one of the same name can be waited for."""
        for name in names:
            process = self.processes.pop(name)
            process.kill()
            process.wait()
            log = self.folder / name / "log"
            log.rename(log.with_name("log of the dead"))

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def errands(self) -> list[int]:
        """The processes that work for our workers."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
                inside = str(path.with_name("cwd").readlink())
            except OSError:
                continue
            if any(b"impl.run.errand" in word for word in words) and inside.startswith(str(self.folder)):
                found.append(int(path.parent.name))
        return found

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.until(lambda: not self.errands(), 10)
