"""Brings a raw file to its place: over HTTP, or from a folder that mirrors the publisher.

What arrives is written beside the target and takes its name only when it is whole and as pinned. A download that
broke off goes on where it stopped, also in the next run, as long as the server says that the file is the same.
"""

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from impl.run import progress, secrets
from impl.run.errors import EtlError, explain, nearest
from impl.run.files import beside, replacing, sync_folder
from impl.source import whole

BLOCK = 64 * 1024  # bytes that are read at once; what a broken connection can cost
LONGEST_WAIT = 120.0  # seconds between two tries, also where the server asks for more
_AGAIN = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}  # answers that may be another one soon
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class Pin:
    """A raw file as we know it: where it is, and how to tell that it is the one."""

    url: str
    sha256: str | None = None
    size: int | None = None
    licence: str = ""
    date: str = ""
    name: str = ""  # of the file, where the address does not end with one


def download(
    url: str,
    target: str | os.PathLike,
    *,
    sha256: str | None = None,
    size: int | None = None,
    timeout: float = 60.0,
    attempts: int = 6,
    wait: float = 1.0,
) -> str:
    """Fetch `url` as the file `target` and check its size and sha256, where they are given.

    timeout: seconds without a sign of the server, to connect and between two blocks.
    attempts: tries that get no further before it gives up; those that do are not counted.
    wait: seconds before the second try; doubled after each, and longer where the server asks for it.
    """
    from tenacity import Retrying, retry_if_exception_type

    target, shown = Path(target), _shown(url)
    _check_address(url, shown)
    revealed = secrets.reveal(url, shown)
    tries = _Tries(attempts, wait)
    with _disk_errors(target), _partial(target) as partial:
        resumed_from = partial.open_for(url)
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(_TryAgainError), stop=tries.stop, wait=tries.wait_before, reraise=True
            ):
                with attempt, tries.counting(partial):
                    _try(revealed, shown, target, partial, size, timeout)
                    if partial.total() is None and size is None and sha256 is None:
                        _only_the_format_tells(partial, target)
        except _TryAgainError as error:
            raise EtlError(
                "the file could not be fetched",
                where=f"{shown}: {error.reason}, {tries.fruitless} times in a row; {_bytes(partial.length())} have arrived",
                hint="run the same command again later: it goes on where this one stopped" if partial.length() else error.hint,
            ) from error
        checked = _check(partial.path, target.name, shown, sha256, size, partial.forget)
        if partial.total() is None and size is None and sha256 is None and not whole.tells(partial.path, target.name):
            checked.append("whether it is whole nobody tells: no length, no digest")
        note = _bytes(partial.length())
        partial.become(target)
    return ", ".join([note, *([f"continued at {_bytes(resumed_from)}"] if resumed_from else []), *checked])


def copy(source: str | os.PathLike, target: str | os.PathLike, *, sha256: str | None = None, size: int | None = None) -> str:
    """Copy the file `source` of a mirror folder to `target` and check its size and sha256, where they are given."""
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise _not_in_the_mirror(source)
    with _disk_errors(target), replacing(target) as part:
        with open(source, "rb") as reads, open(part, "wb") as writes:
            expected = os.fstat(reads.fileno()).st_size
            with progress.track(target.name, total=expected, unit="bytes") as bar:
                while block := reads.read(16 * BLOCK):
                    writes.write(block)
                    bar.advance(len(block))
        checked = _check(part, target.name, source, sha256, expected if size is None else size)
    return ", ".join([_bytes(expected), *checked])


class _TryAgainError(Exception):
    """This try came to nothing, another one may not."""

    def __init__(
        self, reason: str, after: float | None = None, hint: str = "is the address right, and are you online?"
    ) -> None:
        super().__init__(reason)
        self.reason, self.after, self.hint = reason, after, hint


class _Tries:
    """Counts the tries since the download last got further than ever before."""

    def __init__(self, attempts: int, wait: float) -> None:
        self.attempts, self.wait = attempts, wait
        self.fruitless, self.furthest = 0, 0

    @contextmanager
    def counting(self, partial: "_Partial") -> Iterator[None]:
        self.furthest = max(self.furthest, partial.length())
        try:
            yield
        finally:
            further = partial.length() > self.furthest
            self.fruitless = 1 if further else self.fruitless + 1
            self.furthest = max(self.furthest, partial.length())

    def stop(self, state: Any) -> bool:
        return self.fruitless >= self.attempts

    def wait_before(self, state: Any) -> float:
        asked = getattr(state.outcome.exception(), "after", None) or 0.0
        return min(max(self.wait * 2.0 ** (self.fruitless - 1), asked), LONGEST_WAIT)


class _Partial:
    """The file that grows beside the target, and the note of which edition it is a part of."""

    def __init__(self, path: Path, handle: int, note: Path | None) -> None:
        self.path, self.handle, self.note = path, handle, note  # without a note, no later run goes on with it
        self.edition: dict[str, Any] = {}
        self.address = ""

    def open_for(self, url: str) -> int:
        """Take up what an earlier run left; how many bytes that is."""
        self.address = hashlib.sha256(url.encode()).hexdigest()  # the address itself may hold a password
        try:
            noted = json.loads(self.note.read_text()) if self.note else None
        except (FileNotFoundError, ValueError):
            noted = None
        if isinstance(noted, dict) and noted.pop("address", None) == self.address:
            self.edition = noted
        if not self.validator() or self.length() > (self.total() or self.length()):
            self.start_anew({})
        return self.length()

    def length(self) -> int:
        return os.fstat(self.handle).st_size

    def total(self) -> int | None:
        return self.edition.get("total")

    def validator(self) -> str | None:
        """What the server can tell this edition by. A weak ETag will not do: it allows other bytes."""
        etag = self.edition.get("etag") or ""
        return etag if etag.startswith('"') else self.edition.get("modified")

    def start_anew(self, edition: dict[str, Any]) -> None:
        os.ftruncate(self.handle, 0)  # first: a note must never speak of other bytes than these
        self.edition = edition
        if self.note and self.validator():
            self.note.write_text(json.dumps({"address": self.address, **edition}))
        else:
            self._drop_note()

    def append(self, block: bytes) -> None:
        at = self.length()
        while block:
            written = os.pwrite(self.handle, block, at)
            at, block = at + written, block[written:]

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._drop_note()

    def become(self, target: Path) -> None:
        os.fsync(self.handle)
        self._drop_note()
        self.path.replace(target)
        sync_folder(target.parent)

    def _drop_note(self) -> None:
        if self.note:
            self.note.unlink(missing_ok=True)


@contextmanager
def _partial(target: Path) -> Iterator[_Partial]:
    """The partial file of `target`, for this process alone; a second one at the same time gets one of its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f".{target.name}.partial")
    note: Path | None = path.with_name(f"{path.name}.json")
    handle = _locked(path)
    if handle is None:
        path, note = beside(target.with_name(f"{target.name}.{threading.get_ident()}")), None
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    partial = _Partial(path, handle, note)
    try:
        yield partial
    finally:
        useless = note is None or not partial.length() or not partial.validator()
        if useless and path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):
            partial.forget()  # no later run could go on with it
        os.close(handle)


def _locked(path: Path) -> int | None:
    """The file `path`, opened and locked; None where somebody else has it. The lock goes away with its holder."""
    import fcntl

    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or a file system without locks
            os.close(handle)
            return None
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # its holder finished, and gave it the target's name, between our two calls


def _try(url: str, shown: str, target: Path, partial: _Partial, size: int | None, timeout: float) -> None:
    """Ask once for what is missing, and write what comes. Raises `_TryAgainError` where another try may help."""
    import requests
    from urllib3.exceptions import HTTPError, SSLError

    if not partial.validator():
        partial.start_anew({})
    start = partial.length()
    if start and start == partial.total():
        return  # the run before ended between the last byte and the name
    headers = {"Accept-Encoding": "identity", "User-Agent": "sustain-etl"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": str(partial.validator())}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            _take_up(answer, shown, target, partial, size)
            with progress.track(target.name, total=partial.total() or size, unit="bytes") as bar:
                bar.advance(partial.length())
                # read below requests, which keeps back up to a block of what came before the connection broke
                while block := answer.raw.read(BLOCK, decode_content=_encoded(answer)):
                    partial.append(block)
                    bar.advance(len(block))
    except (requests.exceptions.SSLError, SSLError) as error:
        raise EtlError(
            "the server cannot prove who it is",
            where=f"{shown}: its certificate is not accepted",
            hint="is the address right?",
        ) from error
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        raise _TryAgainError(_reason(error, timeout, partial)) from error
    except requests.RequestException as error:
        kind = type(error).__name__  # its text would show the whole address
        raise EtlError("the file cannot be fetched", where=f"{shown}: {kind}", hint="look at the address") from error
    arrived, total = partial.length(), partial.total()
    if not arrived:
        raise _TryAgainError("the server sent nothing")
    if total is not None and arrived != total:
        if arrived > total:
            partial.start_anew({})
        raise _TryAgainError(f"the server sent {arrived:,} bytes where it said {total:,}")


def _take_up(answer: Any, shown: str, target: Path, partial: _Partial, size: int | None) -> None:
    """Judge the answer's head: go on, start anew, try again, or give up."""
    status, start = answer.status_code, partial.length()
    if status == 416 or (status == 206 and not (start and _continues(answer, partial))):
        partial.start_anew({})
        raise _TryAgainError(f"the server does not go on at byte {start:,} (HTTP {status})")
    if status in _AGAIN:
        raise _TryAgainError(
            f"the server answers {status} {answer.reason}", after=_retry_after(answer), hint="run it again later"
        )
    if status not in (200, 206):
        raise _refused(status, answer.reason, shown)
    if status == 206:
        return
    kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "text/html" and target.suffix.lower() not in (".html", ".htm"):
        raise EtlError(
            "the server sent a web page in place of the file",
            where=shown,
            hint="open the address in a browser: it may want a login, or name the page and not the file",
        )
    encoded = _encoded(answer)
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() and not encoded else None
    if size is not None and total is not None and total != size:
        partial.start_anew({})
        raise _wrong_size(shown, total, size)
    resumable = {} if encoded else {"etag": answer.headers.get("ETag"), "modified": answer.headers.get("Last-Modified")}
    partial.start_anew({"total": total, **resumable})
    free = shutil.disk_usage(partial.path.parent).free
    if total is not None and total > free:
        raise EtlError(
            "the disk is too full for this file",
            where=f"{target}: {_bytes(total)} to come, {_bytes(free)} free",
            hint="free some space and run the same command again",
        )


def _only_the_format_tells(partial: _Partial, target: Path) -> None:
    """Where the server said no length and nobody a digest, the file has to be whole by its own format."""
    if fault := whole.not_whole(partial.path, target.name, by_name=True):
        partial.start_anew({})
        raise _TryAgainError(f"the server sent no whole file ({fault})", hint="run it again later")


def _encoded(answer: Any) -> bool:
    """Whether the body is packed, though we asked for no such thing: its length is then not that of the file."""
    return answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def _continues(answer: Any, partial: _Partial) -> bool:
    """Whether a 206 brings the bytes that follow ours, of the same edition."""
    unit, _, span = answer.headers.get("Content-Range", "").partition(" ")
    first, total = span.partition("-")[0], span.rpartition("/")[2]
    same_total = partial.total() is None or total in ("*", str(partial.total()))
    etag, ours = answer.headers.get("ETag"), partial.edition.get("etag")
    same_edition = etag is None or ours is None or etag == ours
    return unit == "bytes" and first == str(partial.length()) and same_total and same_edition


def _refused(status: int, reason: str, shown: str) -> EtlError:
    if status in (404, 410):
        return EtlError(
            "the server has no such file",
            where=f"{shown}: {status} {reason}",
            hint="has the publisher moved it? The addresses are in the module of the dataset, below task/",
        )
    if status in (401, 403, 407):
        return EtlError(
            "the server does not give you this file",
            where=f"{shown}: {status} {reason}",
            hint="it may want a login, or refuse this network",
        )
    return EtlError(
        "the server does not understand the request", where=f"{shown}: {status} {reason}", hint="look at the address"
    )


def _check(path: Path, name: str, shown: object, sha256: str | None, size: int | None, forget: Any = lambda: None) -> list[str]:
    """Hold `path` against its pins, else against its own format; what was checked, in words. One that fails is forgotten."""
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        forget()
        raise _wrong_size(shown, found_size, size)
    if sha256 is None:
        if fault := whole.not_whole(path, name):
            forget()
            raise EtlError(
                "the file is not whole",
                where=f"{shown}: {fault}",
                hint="run it again, in case it was cut on the way; if it stays so, it is cut where it comes from",
            )
        return []
    with open(path, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != sha256.lower():
        forget()
        raise EtlError(
            "the file has another sha256 than its pin",
            where=f"{shown}: sha256 is {found}, pinned is {sha256.lower()}",
            hint="run it again, in case it was damaged on the way; if it stays so, the publisher has changed the file: "
            "look at it, then change the pin in the module of the dataset",
        )
    return ["sha256 as pinned"]


def _wrong_size(shown: object, found: int, size: int) -> EtlError:
    return EtlError(
        "the file has another size than it should",
        where=f"{shown}: {found:,} bytes, expected are {size:,}",
        hint="run it again, in case it was damaged on the way; if it stays so, the file was changed where it comes from",
    )


def _not_in_the_mirror(source: Path) -> EtlError:
    folder = source.parent
    if not folder.is_dir():
        return EtlError(
            "the mirror folder is not there",
            where=folder,
            hint="set ETL_SOURCE=mirror:PATH to a folder that holds the raw files",
        )
    names = [one.name for one in folder.iterdir() if one.is_file()]
    close = nearest(source.name, names)
    return EtlError(
        f"the mirror has no file `{source.name}`",
        where=f"{folder}: {len(names):,} {'file' if len(names) == 1 else 'files'}",
        hint=f"near names are {', '.join(f'`{name}`' for name in close)}"
        if close
        else "put the file there, under exactly this name",
    )


def _check_address(url: str, shown: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        raise EtlError(
            "this is no address to fetch from", where=shown, hint="an address begins with `https://` or `http://` and a host"
        )


def _shown(url: str) -> str:
    """The address as it may be shown: without user, password and query, which can hold a key."""
    scheme, colon, rest = url.partition("://")
    rest, query, _ = rest.partition("?")
    host, slash, path = rest.partition("/")
    return f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path.partition('#')[0]}{'?...' if query else ''}"


def _reason(error: Exception, timeout: float, partial: _Partial) -> str:
    """Why there was no answer, in words; the text of the error itself would show the whole address."""
    import requests

    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return f"the server was silent for {timeout:g} s"
    text = str(error)
    if "IncompleteRead" in text and partial.total():
        return f"the connection broke off at {partial.length():,} bytes of {partial.total():,}"
    for sign, words in {
        "NameResolution": "the host name is not known",
        "refused": "the connection was refused",
        "IncompleteRead": "the connection broke off midway",
    }.items():
        if sign in text:
            return words
    return "the connection broke"


def _retry_after(answer: Any) -> float | None:
    """The seconds that the server asks to wait: a number, or until a date."""
    import datetime
    from email.utils import parsedate_to_datetime

    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    now = datetime.datetime.now(until.tzinfo)
    return max((until - now).total_seconds(), 0.0)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """Say which file it was where the disk is full, read-only or not ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise explain(error, where=None if error.filename else target) from error
        raise


def _bytes(number: int) -> str:
    """A number of bytes for the screen: 2.8 MB."""
    amount, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{number} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
