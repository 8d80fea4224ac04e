"""Files at the other end of an address, streamed into a folder: http, https, ftp. Passwords are in no message."""

from __future__ import annotations

import ftplib
import re
import tempfile
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from impl.run.errors import EtlError
from impl.run.secrets import redact, reveal

CONNECT, READ = 20, 120  # seconds
_PART = 1 << 20
_FTP = re.compile(
    r"ftp://(?:(?P<user>[^:@/]*)(?::(?P<password>.*))?@)?(?P<host>\[[^\]]+\]|[^:/@]+)(?::(?P<port>\d+))?/(?P<path>.+)\Z", re.I
)


def fetch(address: str, folder: Path, where: str, may_lack: bool = False) -> Path | None:
    """The file behind `address`, with its extension, in `folder`. Raises `EtlError`; None where it is not there and may lack."""
    scheme = address.split("://")[0].lower()
    ways = {"http": _http, "https": _http, "ftp": _ftp}
    if scheme not in ways:
        raise EtlError(
            f"files are not fetched from `{scheme}://`",
            where=f"{where}: {redact(address)}",
            hint="there is https, http and ftp",
        )
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(address.split("?")[0].split("#")[0]).name
    suffix = "".join(re.findall(r"\.\w+", name)[-2:])
    with tempfile.NamedTemporaryFile(dir=folder, prefix="fetched.", suffix=suffix, delete=False) as target:
        path = Path(target.name)
    try:
        if ways[scheme](address, path, where, may_lack):
            return path
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    path.unlink()
    return None


def _failed(address: str, where: str, what: str, hint: str, cause: BaseException | None = None) -> NoReturn:
    raise EtlError(redact(what), where=f"{where}: {redact(address)}", hint=hint) from cause


def _http(address: str, target: Path, where: str, may_lack: bool) -> bool:
    import requests

    revealed = reveal(address, where)
    try:
        with requests.get(revealed, stream=True, timeout=(CONNECT, READ)) as answer:
            if may_lack and answer.status_code in (404, 410):
                return False
            if not answer.ok:
                hint = "check the address"
                if answer.status_code in (401, 403):
                    hint = "it wants a user: https://${USER}:${PASSWORD}@host/..."
                elif answer.status_code >= 500 or answer.status_code == 429:
                    hint = "the server has trouble; try again later"
                _failed(address, where, f"the server answers {answer.status_code} {answer.reason}", hint)
            with open(target, "wb") as file:
                for part in answer.iter_content(_PART):
                    file.write(part)
    except requests.Timeout as error:
        _failed(address, where, "the server does not answer in time", "try again later", error)
    except requests.RequestException as error:
        _failed(
            address,
            where,
            f"the file cannot be fetched: {_plainly(error, revealed)}",
            "check the address and the network",
            error,
        )
    return True


def _plainly(error: Exception, revealed: str) -> str:
    """What a library says, without the address (it may hold a password) and without its classes."""
    deepest: BaseException = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__  # type: ignore[assignment]
    said = str(deepest) or str(error) or type(error).__name__
    said = re.sub(r"\w+\(.*?\): ", "", said.replace(revealed, "")).replace(revealed.split("://", 1)[-1], "")
    return redact(said)[:200]


def _ftp(address: str, target: Path, where: str, may_lack: bool) -> bool:
    found = _FTP.match(address)
    if found is None:
        _failed(
            address,
            where,
            "this is no address of a file on an FTP server",
            "write ftp://user:password@host:port/path/to/file.csv",
        )
    given = {name: _part(value, where) for name, value in found.groupdict().items()}
    user, password, host, port, path = (given[name] for name in ("user", "password", "host", "port", "path"))
    try:
        with ftplib.FTP(timeout=READ) as server:
            server.connect(host.strip("[]"), int(port or ftplib.FTP_PORT), timeout=CONNECT)
            server.login(user, password)  # both empty: anonymous
            server.voidcmd("TYPE I")
            try:
                size = server.size(path)
            except ftplib.error_perm:
                size = None  # not every server tells
            with open(target, "wb") as file:
                server.retrbinary(f"RETR {path}", file.write, _PART)
    except ftplib.error_perm as error:
        code = str(error)[:3]
        if code == "550" and may_lack:
            return False
        if code == "530":
            _failed(
                address,
                where,
                "the FTP server refuses the user or the password",
                "check both: ftp://user:${PASSWORD}@host/...",
                error,
            )
        what = "the FTP server has no such file, or may not show it" if code == "550" else f"the FTP server refuses: {error}"
        _failed(
            address, where, _without(what, password), "check the path; it begins in the folder where the user arrives", error
        )
    except TimeoutError as error:
        _failed(address, where, "the FTP server does not answer in time", "try again later", error)
    except (ftplib.Error, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # our own disk
        _failed(
            address, where, _without(f"the FTP server cannot be reached: {error or type(error).__name__}", password),
            "check host and port", error,
        )  # fmt: skip
    if size is not None and target.stat().st_size != size:
        _failed(address, where, f"the file came with {target.stat().st_size:,} of {size:,} bytes", "try again")
    return True


def _part(written: str | None, where: str) -> str:
    """A part of an address: a secret is taken as it is, other text may be percent-encoded."""
    if not written:
        return ""
    revealed = reveal(written, where)
    return revealed if revealed != written else unquote(written)


def _without(text: str, password: str) -> str:
    return text.replace(password, "***") if password else text
