"""Actions for the tests' checkpoints: functions of a module, as every action is."""

import time
from pathlib import Path

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
