"""Actions for the tests' checkpoints: functions of a module, as every action is."""

import os
import signal
import sys
import time
from pathlib import Path

from impl.run import secrets
from impl.run.command import run_command
from impl.run.errors import EtlError
from impl.run.files import replacing


def multiply(source: Path, target: Path, factor: int) -> str:
    with replacing(target) as part:
        part.write_text(str(int(source.read_text()) * factor))
    return f"times {factor}"


def add(sources: list[Path], target: Path) -> str:
    with replacing(target) as part:
        part.write_text(str(sum(int(source.read_text()) for source in sources)))
    return "added"


def write(target: Path, text: str) -> None:
    with replacing(target) as part:
        part.write_text(text)


def write_slowly(target: Path, text: str, seconds: float) -> None:
    with replacing(target) as part:
        part.write_text(text[: len(text) // 2])
        time.sleep(seconds)
        part.write_text(text)


def forget_to_write(target: Path) -> None:
    pass


def change_input(source: Path, target: Path) -> None:
    write(target, source.read_text())
    source.write_text("changed meanwhile")


def fail(target: Path) -> None:
    raise EtlError("the well is dry", where=target.name, hint="dig")


def stumble(target: Path) -> None:
    raise KeyError("foo")


def leave(note: str, version: Path) -> dict:
    version.write_text(note)
    return {"fingerprint": note, "note": f"left {note}"}


def write_pid(target: Path, seconds: float) -> None:
    time.sleep(seconds)
    write(target, str(os.getpid()))


def die(target: Path, marker: Path, times: int) -> None:
    """Killed, as by a system without memory, until it was tried `times` times."""
    tries = int(marker.read_text()) if marker.exists() else 0
    if tries < times:
        marker.write_text(str(tries + 1))
        print("I take more and more")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(target, "survived")


def kill_worker(target: Path) -> None:
    """Takes the worker with it that asked for this."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(5)


def whisper(target: Path, address: str) -> None:
    """Needs the secret of the address, and is careless with it."""
    revealed = secrets.reveal(address)
    print(f"connecting to {revealed}")
    write(target, str(len(revealed)))


def call(program: Path, target: Path) -> None:
    write(target, run_command([program, "hello"]).stdout)


def write_program(target: Path, text: str) -> None:
    write(target, text)
    target.chmod(0o755)
