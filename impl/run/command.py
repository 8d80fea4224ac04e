"""Runs other programs: a list of words in, their output or a clear error out."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from impl.run.errors import EtlError

_OWN_WORDS = re.compile(
    r"^error: (?P<what>[^\n]+)(?:\n  at (?P<where>.+?))?(?:\n\n?hint: (?P<hint>.+?))?\s*\Z", re.DOTALL | re.MULTILINE
)
LAST_LINES = 12  # of a failing program's output; enough for its own message


def find_program(name: str, hint: str) -> str:
    """The path of the program `name`; `hint` tells how to install it where it is missing."""
    found = shutil.which(name)
    if found is None:
        raise EtlError(f"the program `{name}` is not installed", where="PATH", hint=hint)
    return found


def run_command(
    command: Sequence[str | os.PathLike],
    *,
    cwd: str | os.PathLike | None = None,
    environment: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> subprocess.CompletedProcess:
    """Run `command`, wait for it, return it with its output as text.

    Raises `EtlError` with the command, its exit code and its last lines. A program of ours that already says
    what, where and hint (`error: ...`) is quoted and not wrapped a second time.
    """
    words = [os.fspath(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **environment} if environment else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return done
    said = _own_words(done.stderr)
    if said is not None:
        raise said
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()][-LAST_LINES:]
    ended = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
    raise EtlError(
        f"`{Path(words[0]).name}` failed with {ended}",
        where="\n    ".join([shlex.join(words), *lines]),
        hint=hint,
    )


def _own_words(stderr: str) -> EtlError | None:
    """The error that a program of ours wrote as `error: what`, `  at where`, blank, `hint: hint`; the last two may lack."""
    found = _OWN_WORDS.search(stderr)
    if found is None or not (found["where"] or found["hint"]):
        return None
    return EtlError(found["what"], where=found["where"], hint=found["hint"])
