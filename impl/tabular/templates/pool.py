"""Rows rendered in other processes, in order, for templates that need Python row by row."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from impl.run.errors import ENDING
from impl.tabular.templates.jinja import Settings, environment
from impl.tabular.templates.rows import RowError, compiled, render

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_pools: dict[int, ProcessPoolExecutor] = {}
_lock = threading.Lock()
_runs = 0  # that may use them


def workers(wanted: int) -> int:
    """How many processes: one per core of ours if nothing is said."""
    return wanted or len(os.sched_getaffinity(0))


def pool(count: int) -> ProcessPoolExecutor:
    """The pool of `count` processes; they are started afresh (spawn), since threads of ours may hold locks."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with _lock:
        if count not in _pools:
            _pools[count] = made = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)
            with _undisturbed():
                for _ in range(count):  # each starts a process, as none is idle yet
                    made.submit(os.getpid)
        return _pools[count]


@contextmanager
def ended() -> Iterator[None]:
    """The processes end with the block, however it ends; where blocks run side by side, with the last of them.

    What they are at is finished first, which is a part of one batch.
    """
    global _runs
    with _lock:
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            done = [] if _runs else list(_pools.values())
            if not _runs:
                _pools.clear()
        for one in done:
            one.shutdown(cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A signal that comes meanwhile is answered at the end: here, as a process that is half started tells that with a traceback,
    and in the processes that are started, when they have come to `_begin`.
    """
    came: list[tuple[Any, int, Any]] = []
    main = threading.current_thread() is threading.main_thread()  # no other one may say what answers, nor is it disturbed
    answers = {one: signal.getsignal(one) for one in ENDING} if main else {}
    for one, answer in answers.items():
        if callable(answer):
            signal.signal(one, partial(_note, came, answer))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for one, answer in answers.items():
            if callable(answer):
                signal.signal(one, answer)
    for answer, number, frame in came[:1]:
        answer(number, frame)


def _note(came: list[tuple[Any, int, Any]], answer: Any, number: int, frame: Any) -> None:
    came.append((answer, number, frame))


def _begin() -> None:
    """In a new process: Ctrl-C and other signals to all processes of a group are answered by the one that started this one; if
    that is killed, this one ends too."""
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def render_in_pool(
    count: int,
    settings: Settings,
    source: str,
    names: Sequence[str],
    columns: Sequence[list],
    rows: int,
    size: int,
    how: tuple[bool, bool, bool, bool],
) -> list[str]:
    """Render `rows` rows in `count` processes, `size` at a time. Raises RowError of the first row that fails."""
    starts = range(0, rows, size)
    made = pool(count)
    jobs = [
        made.submit(
            _render, settings, source, list(names), [one[start : start + size] for one in columns], min(size, rows - start), how
        )
        for start in starts
    ]
    texts: list[str] = []
    try:
        for start, job in zip(starts, jobs, strict=True):
            found = job.result()
            if isinstance(found, tuple):
                index, *rest = found
                raise RowError(index, *rest).behind(start)
            texts += found
    finally:
        for job in jobs:
            job.cancel()
    return texts


@lru_cache(maxsize=64)
def _template(settings: Settings, source: str) -> Any:
    return compiled(environment(settings.macros, settings.folder, sandboxed=settings.sandboxed), source)


def _render(
    settings: Settings, source: str, names: list[str], columns: list[list], rows: int, how: tuple[bool, bool, bool, bool]
) -> list[str] | tuple[Any, ...]:
    try:
        return render(_template(settings, source), names, columns, rows, *how)
    except RowError as error:
        return error.args
