"""Where the actions of checkpoints run: in this process, or side by side in worker processes of this machine.

netCDF and HDF5 libraries are not safe in threads, and Python computes in one thread at a time: so several at once
means processes. They are started afresh (spawn), never forked from a process that already runs threads.
Workers on other machines are in `cluster.py`; each of them starts processes that `serve` here.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from impl.run import progress, secrets
from impl.run.errors import EtlError, explain

ORPHAN_SECONDS = 0.5  # how often a worker looks whether its parent still lives
LEAVE_SECONDS = 3  # what a worker gets to unwind


class Done(NamedTuple):
    """What came of an action: its result, how long it took, and on which worker where that is not this machine.

    digests: of the files that it made, where the worker took them: path -> (what `stat` said, digest).
    """

    result: Any
    seconds: float
    worker: str = ""
    digests: Mapping[Path, tuple[str, str]] = {}


class Here:
    """Runs each action in this process."""

    away = False  # whether files that lie here are of no use to the action

    def run(self, name: str, action: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any], *_: Any) -> Done:
        return _guarded(name, action, args, dict(kwargs))

    def close(self, *, kill: bool = False) -> None:
        pass


class Workers:
    """Runs actions in `count` processes; `run` may be called from as many threads."""

    def __init__(self, count: int) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        context = multiprocessing.get_context("spawn")
        reports = context.Queue() if progress.wanted() else None
        self._end_reports = progress.receive_from(reports) if reports else lambda: None
        self._pool = ProcessPoolExecutor(
            count, mp_context=context, initializer=_start, initargs=(os.getpid(), reports, secrets.known())
        )

    def run(self, name: str, action: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any], *_: Any) -> Done:
        # Ctrl-C goes to every process of the terminal. Workers inherit that they do not hear it (they are started
        # from this thread); the main thread does, and ends them by SIGTERM
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(_in_worker, name, action, args, dict(kwargs)).result()
        except BrokenProcessPool:
            raise EtlError(
                "a worker process was killed",
                where=name,
                hint="often the memory was used up: try `--jobs 1`; the same command goes on where this one stopped",
            ) from None

    def close(self, *, kill: bool = False) -> None:
        if kill:
            processes = list((self._pool._processes or {}).values())
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(LEAVE_SECONDS)
                process.kill()
        self._pool.shutdown(wait=not kill, cancel_futures=True)
        self._end_reports()


def _guarded(name: str, action: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Done:
    """What came of the action; whatever goes wrong in it is raised as an `EtlError` (it survives pickling)."""
    started = time.perf_counter()
    try:
        with progress.track(name):
            result = action(*args, **kwargs)
    except EtlError:
        raise
    except Exception as exception:  # the edge of the process: nothing beyond it could tell what this was
        error = explain(exception, where=name)
        if error.trace is None:
            import traceback

            error.trace = traceback.format_exc()
        raise error from exception
    return Done(result, time.perf_counter() - started)


def _in_worker(*call: Any) -> Done:
    """As `_guarded`; the pool would catch the SystemExit of SIGTERM as any exception, and the worker would stay."""
    try:
        return _guarded(*call)
    except SystemExit:
        os._exit(1)


def _start(parent: int, reports: Any, known: Mapping[str, str]) -> None:
    """In a worker: report how far it is, and end with the parent, by unwinding: half-written files and children go too."""
    secrets.provide(known)
    if reports is not None:
        progress.send_to(reports)

    def leave(*_: Any) -> None:
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, leave)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
