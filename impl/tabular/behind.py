"""What is made goes to a file by a thread, in its order, while the next is made."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Behind(Generic[T]):
    """Gives each thing that is `put` to `write`, in a thread. At the end of the block all is written, or the error is raised.

    One thing waits while one is written, so memory holds two and the one that is being made.
    """

    def __init__(self, write: Callable[[T], object]) -> None:
        self._write = write
        self._error: BaseException | None = None
        self._waiting: queue.Queue[T | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def put(self, thing: T) -> None:
        """Raises what went wrong with one before."""
        self._waiting.put(thing)
        if self._error is not None:
            raise self._error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (thing := self._waiting.get()) is not None:
            if self._error is None:  # what comes after it is only taken, so that nobody waits
                try:
                    self._write(thing)
                except BaseException as error:  # noqa: BLE001 - raised where things are put
                    self._error = error
