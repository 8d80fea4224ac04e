"""A command as all that a process does: how it is asked to end, and how it ends quickly."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from impl.run.errors import ENDING

OBJECTS = 50_000  # made between two looks for rings of objects; Python's own number is 700


class EndedError(KeyboardInterrupt):
    """The process is asked to end. code: what a shell reports for the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def _end(number: int, frame: object) -> NoReturn:
    """End as an error does, so that nothing half done is left behind; asked once more, at once."""
    signal.signal(number, signal.SIG_DFL)
    raise EndedError(number)


def be_process(command: Callable[..., int], *, at_once: Callable[[], bool] = lambda: True) -> NoReturn:
    """Do a command (as `main`) as all that this process does, and end with its exit code.

    What short runs pay for is Python around them: it looks for rings of objects while modules are loaded, and takes all of
    them apart at the end, a quarter of the time of a small run together. The first is done less often, the second is left
    to the system. at_once: asked at the end, whether nothing has to be taken apart with care.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    asked = [one for one in ENDING if signal.getsignal(one) is not signal.SIG_IGN]  # ignored as under nohup

    def begin() -> None:
        for one in asked:
            signal.signal(one, _end)

    for one in asked:  # as long as there is nothing to leave behind
        signal.signal(one, signal.SIG_DFL)
    code = command(begin=begin)
    ended = code in [128 + one for one in ENDING]
    if ended or at_once():
        with suppress(OSError):  # what cannot be written is told by the usual end
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            if not ended:  # what was under way may be waited for in vain
                atexit._run_exitfuncs()
            os._exit(code)
    sys.exit(code)
