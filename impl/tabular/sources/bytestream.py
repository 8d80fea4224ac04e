"""A text file as blocks of UTF-8, whatever its encoding and compression: constant memory."""

from __future__ import annotations

import codecs
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from impl.run.errors import EtlError
from impl.tabular.flow import CELLS
from impl.tabular.spec import Spec, nearest

BLOCK = 4 << 20
_BOM = b"\xef\xbb\xbf"
_USUAL = ("utf-8", "latin-1", "cp1252", "utf-16", "iso-8859-15", "cp437", "mac-roman", "ascii")
COMPRESSED = (".gz", ".bz2", ".xz")
_BROKEN = (zlib.error, lzma.LZMAError, EOFError)


def read_encoding(spec: Spec) -> str:
    """The option `encoding`, as Python calls it."""
    name = spec.text("encoding", "utf8")
    try:
        " ".encode(name)  # codecs such as `zip` are no encodings of text
        return codecs.lookup(name).name
    except LookupError:
        spec.wrong(f"there is no encoding `{name}`", "encoding", nearest(name, _USUAL))


class Size:
    """Bytes of the next block: fewer than BLOCK where values are so short that they would be more than CELLS."""

    def __init__(self, first: int = 0) -> None:
        self.next_one = first or max(1, BLOCK // 4)

    def seen(self, size: int, cells: int) -> None:
        """So many bytes had so many values."""
        if size and cells:
            self.next_one = min(BLOCK, max(1, BLOCK // 64, CELLS * size // cells))


def blocks(path: Path, encoding: str, where: str, size: Size) -> Iterator[bytes]:
    """The text of `path` as UTF-8 without a byte order mark.

    Raises `EtlError` with the line of a byte that does not fit. UTF-8 itself is passed on unchecked: who reads it checks it.
    """
    try:
        with _open(path, where) as file:
            yield from _without_mark(_transcoded(file, encoding, path, where, size))
    except _BROKEN as error:
        raise EtlError(
            f"the compressed file is damaged: {error}",
            where=f"{where}: {path}",
            hint="get the file again; it may have been cut off",
        ) from error
    except IsADirectoryError as error:
        raise EtlError("this is a folder, not a file", where=f"{where}: {path}", hint="name the file itself") from error
    except FileNotFoundError as error:
        raise absent(path, where) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # What gzip and bz2 say of a file that is not theirs, or whose sum is not right.
        raise EtlError(
            f"the compressed file is damaged: {error}",
            where=f"{where}: {path}",
            hint="check the file, and that its ending is right",
        ) from error


def absent(path: Path, where: str) -> EtlError:
    """The error of a file that is not there; it names the nearest in its folder."""
    hint = "check the path; it is relative to the folder of the document"
    if path.parent.is_dir():
        there = [one.name for one in path.parent.iterdir()]
        close = nearest(path.name, sorted(there)) if there else ""
        if close.startswith("did you mean"):
            hint = close
    return EtlError(
        "the source file is not there", where=f"{where}: {path}", hint=f"{hint} (`optional: True` with `columns` allows that)"
    )


def badly_encoded(path: Path, where: str, encoding: str, line: int, byte: int) -> EtlError:
    """The error of a byte that is no text in this encoding."""
    return EtlError(
        f"the byte 0x{byte:02x} is not valid {encoding}",
        where=f"{where}: {path}, line {line:,}",
        hint="say `encoding:` of the file, such as `cp1252` or `latin-1`" if encoding == "utf-8" else "check `encoding:`",
    )


def _open(path: Path, where: str) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        import gzip

        return cast(IO[bytes], gzip.open(path, "rb"))
    if suffix == ".bz2":
        import bz2

        return cast(IO[bytes], bz2.open(path, "rb"))
    if suffix == ".xz":
        return cast(IO[bytes], lzma.open(path, "rb"))
    if suffix == ".zip":
        raise EtlError("archives are not opened", where=f"{where}: {path}", hint="unpack it and name the file in it")
    return open(path, "rb")


def _lines(file: IO[bytes], size: Size) -> Iterator[bytes]:
    """Blocks that end with a line, so that who reads them has no rest to put before the next."""
    if isinstance(file, io.BufferedReader) and file.seekable():
        # where the line ends is looked up first: to put the rest of it behind the block is to copy the block
        start = file.tell()
        while True:
            file.seek(start + size.next_one - 1)
            last = len(file.readline(size.next_one + 1))  # of the block, and what of its line follows
            file.seek(start)
            block = file.read(size.next_one - 1 + max(last, 1))
            if not block:
                return
            start += len(block)
            yield block
    while block := file.read(size.next_one):
        yield block if block.endswith(b"\n") else block + file.readline(size.next_one)


def _transcoded(file: IO[bytes], encoding: str, path: Path, where: str, size: Size) -> Iterator[bytes]:
    if encoding in ("utf-8", "utf-8-sig"):
        yield from _lines(file, size)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    while True:
        block = file.read(size.next_one)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, "replace")
            raise badly_encoded(path, where, encoding, line + before.count("\n"), error.object[error.start]) from error
        line += text.count("\n")
        # surrogates are no text; some codecs let them through
        yield text.encode("utf-8", "surrogatepass")
        if not block:
            return


def _without_mark(parts: Iterator[bytes]) -> Iterator[bytes]:
    start = b""
    for part in parts:
        start += part
        if len(start) >= len(_BOM):
            break
    yield start.removeprefix(_BOM)
    yield from parts
