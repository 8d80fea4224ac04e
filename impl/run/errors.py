"""The one error of this repository, and the one place where it is put into words.

Anything else that reaches the top is turned into one by `explain`. A task raises it as `namespace.ToldError`, of which invoke
prints the text and takes the code; this file does not know invoke, as the command `mover` would pay for loading it.
"""

import errno
import logging
import os
import signal
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

INTERRUPTED = 130  # what a shell reports for Ctrl-C
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # how a process is asked to end


class EtlError(Exception):
    """What is wrong, where, and what to do next.

    what: the fault in one line, names in backticks, no full stop.
    where: file, variable, region, both numbers.
    hint: the next thing to try.
    code: the exit code of the program.
    """

    def __init__(self, what: str, where: object = None, hint: str | None = None, code: int = 1) -> None:
        self.what, self.where, self.hint = what, None if where is None else str(where), hint
        self.checks: list[dict[str, Any]] = []  # what the checks of a load had found, for the record of the run
        self.trace: str | None = None  # of the unforeseen exception behind it; shown with --debug
        self.code = code
        Exception.__init__(self, what)

    @property
    def message(self) -> str:
        """What invoke prints on stderr; with invoke's `--debug` the traceback comes first."""
        if logging.getLogger("invoke").isEnabledFor(logging.DEBUG):
            return f"{self.trace or traceback.format_exc()}\n{self._text()}"
        return self._text()

    def _text(self) -> str:
        text = f"error: {self.what}"
        if self.where:
            text += f"\n  at {self.where}"
        if self.hint:
            text += f"\n\nhint: {self.hint}"
        return text

    def __str__(self) -> str:
        return self._text()

    def __reduce__(self):
        # an error crosses from a worker process to the one that prints it
        return (_restored, (self.what, self.where, self.hint, self.code, self.trace, self.checks))


def _restored(
    what: str, where: str | None, hint: str | None, code: int, trace: str | None, checks: list[dict[str, Any]]
) -> EtlError:
    error = EtlError(what, where, hint, code)
    error.trace, error.checks = trace, checks
    return error


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names in `known` that look most like `name`, best first, at most three; upper and lower case are equal."""
    from difflib import get_close_matches

    by_lower = {str(one).lower(): str(one) for one in known}
    return [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]


def unknown(kind: str, name: str, known: Iterable[str], where: object = None, hint: str | None = None) -> EtlError:
    """The error for a name that is not there: says which right ones are near, or lists them."""
    known = sorted({str(one) for one in known})
    close = nearest(name, known)
    if close:
        advice = f"did you mean {' or '.join(f'`{one}`' for one in close)}?"
    elif known:
        advice = f"there is {', '.join(f'`{one}`' for one in known[:12])}{' and more' if len(known) > 12 else ''}"
    else:
        advice = "there is none yet"
    if hint:
        advice += f" {hint}" if advice.endswith("?") else f"; {hint[0].lower()}{hint[1:]}"
    return EtlError(f"there is no {kind} `{name}`", where=where, hint=advice)


_OS_ERRORS = {
    errno.ENOSPC: (
        "the disk is full",
        "free some space (`invoke all.status` names what is kept) and run the same command again: what was finished stays",
    ),
    errno.EDQUOT: ("your disk quota is used up", "free some space and run the same command again: what was finished stays"),
    errno.EFBIG: (
        "the file is larger than this system lets a file be",
        "raise the limit (`ulimit -f`) and run the same command again",
    ),
    errno.EROFS: ("the disk is read-only", "choose another folder with `etl.data` in invoke.yaml, or INVOKE_ETL_DATA"),
    errno.EACCES: ("you may not write or read here", "mend the rights of the folder, or choose another with `etl.data`"),
    errno.EPERM: ("you may not write or read here", "mend the rights of the folder, or choose another with `etl.data`"),
    errno.ENOENT: ("a file is missing", "run the task that makes it; `invoke all.status` shows which"),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n`)"),
}


def explain(exception: BaseException, where: object = None) -> EtlError:
    """The `EtlError` for any exception; one that nobody foresaw says so and names `--debug`."""
    if isinstance(exception, EtlError):
        return exception
    if isinstance(exception, OSError) and exception.errno in _OS_ERRORS:
        what, hint = _OS_ERRORS[exception.errno]
        path = exception.filename if exception.filename is not None else None
        places = [str(place) for place in (where, path) if place is not None]
        return EtlError(what, where=": ".join(places) or os.strerror(exception.errno), hint=hint)
    if isinstance(exception, MemoryError):
        return EtlError("the memory is used up", where=where, hint="run fewer checkpoints at once: `--jobs 1`")
    if isinstance(exception, KeyboardInterrupt):
        return EtlError("interrupted", where=where, hint="the same command goes on where this one stopped", code=INTERRUPTED)
    last = traceback.extract_tb(exception.__traceback__)[-1:]
    frame = "".join(f"{'/'.join(Path(one.filename).parts[-2:])}:{one.lineno}" for one in last)
    places = [str(place) for place in (where, frame) if place]
    return EtlError(
        f"something we did not foresee: {type(exception).__name__}: {exception}",
        where=", ".join(places) or None,
        hint="run it again with `invoke --debug ...` for the traceback, and tell us",
    )
