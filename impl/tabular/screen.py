"""What a command tells: text on stderr and data on stdout, or JSON lines."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from impl.run.errors import EtlError

LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


@dataclass
class Screen:
    """What is told. Text goes to stderr and data to stdout; with `lines` everything goes to stdout as JSON lines."""

    lines: bool = False
    level: int = 20

    def say(self, text: str) -> None:
        if self.level <= LEVELS["INFO"]:
            self._tell("info", text)

    def warn(self, text: str) -> None:
        if self.level <= LEVELS["WARNING"]:
            self._tell("warning", text)

    def _tell(self, event: str, text: str) -> None:
        if self.lines:
            self.event(event, text=text)
        else:
            aloud(f"{'warning: ' if event == 'warning' else ''}{text}\n")

    def event(self, event: str, **facts: Any) -> None:
        """One JSON line, where these are asked for. Who reads them may go away: the work goes on."""
        if self.lines:
            try:
                self.put(json.dumps({"event": event, **facts}, ensure_ascii=False, default=str) + "\n")
            except BrokenPipeError:
                unheard()

    def put(self, text: str) -> None:
        """Data, on stdout."""
        if sys.stdout is None:
            raise EtlError("there is no standard output to write to", hint="it was closed (`>&-`); name a file or a pipe")
        sys.stdout.write(text)
        sys.stdout.flush()

    def error(self, error: EtlError) -> None:
        with suppress(OSError, EtlError):  # it may be about this very output
            self.event("error", what=error.what, where=error.where, hint=error.hint)
        aloud(f"{error}\n")


def aloud(text: str) -> None:
    """On stderr, if anybody listens: what is told is no reason to end the work."""
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


def unheard() -> None:
    """Nobody reads our output any more: what comes is thrown away."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
