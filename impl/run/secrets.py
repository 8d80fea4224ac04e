"""Secrets: where an address has `${NAME}`, the value of NAME stands only in the moment in which it is needed.

Addresses travel as they are written, with the name of the secret: into checkpoints, state files, logs and records.
`reveal` puts the value in for the library that connects; `redact` takes it out of whatever a library says.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

from impl.run.errors import EtlError, unknown

HIDDEN = "***"
FILE = "secrets.env"  # in the checkout; ETL_SECRETS names another
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^@\s]*)@")  # of user:password@host; a password may hold a slash
_IN_ADDRESS = re.compile(r"(?<=://)([^/@:]*):(?!\d{1,5}(?:[/?&#]|$))(.*)@", re.DOTALL)  # the same, of an address alone
_OPTION = re.compile(  # of ?name=value
    r"(?<=[?&])(\w*(?:secret|passw|pwd|token|account_?key|api_?key|signature)\w*|pass|sig)=([^&#\s]+)", re.IGNORECASE
)
_SPAN = 8  # pieces in a row that are looked for together
_SHORTEST = 4  # a shorter value, or part of one, would be found everywhere
_SEPARATOR = re.compile(r"([@:/?#%&\s]+)")  # where a program that takes an address to pieces may cut a value

_known: dict[str, str] = {}


def provide(values: Mapping[str, str]) -> None:
    """Make these secrets known to this process. `config.py` does so, and whoever starts a worker."""
    _known.update({name: value for name, value in values.items() if value})


def known() -> dict[str, str]:
    """All secrets by name, to hand them on to a worker. Never for a log or a file."""
    return dict(_known)


def named_in(text: str) -> list[str]:
    """The names of the secrets that `text` asks for."""
    return list(dict.fromkeys(_NAME.findall(text)))


def look_up(names: Iterable[str], variables: Mapping[str, str], file: Path | None) -> dict[str, str]:
    """The values of these secrets: from environment variables, else from the `file` of NAME=VALUE lines."""
    names = list(names)
    kept = _read(file) if names and file is not None else {}
    return {name: variables.get(name) or kept.get(name, "") for name in names}


def _read(file: Path) -> dict[str, str]:
    if not file.exists():
        raise EtlError("the file of secrets is not there", where=f"ETL_SECRETS: {file}", hint="make it, with NAME=VALUE lines")
    if file.stat().st_mode & 0o077:
        raise EtlError("the file of secrets can be read by others", where=file, hint=f"`chmod 600 {file}`")
    kept = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise EtlError(
                    "a line of the file of secrets has no `=`", where=f"{file}, line {number}", hint="write NAME=VALUE"
                )
            kept[name.strip()] = _unquoted(value.strip())
    return kept


def _unquoted(value: str) -> str:
    """Without the quotes around all of it; those within belong to it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def reveal(text: str, where: object = None) -> str:
    """`text` with the value of each `${NAME}`; an `EtlError` that names the secret where it is not known.

    What goes into an address with `://` is percent-encoded for its place there, so that a value may hold any character.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in _known:
            raise unknown(
                "secret",
                name,
                _known,
                where=where,
                hint=f"set the environment variable {name}, or add a line {name}=VALUE to `{FILE}` in the checkout "
                "(or to the file that ETL_SECRETS names)",
            )
        return _encoded(_known[name], text, match.start())

    return _NAME.sub(value, text)


def _encoded(value: str, text: str, at: int) -> str:
    """A value for its place in an address: in the user and the options every sign is its own, hosts and paths have some."""
    _, address, before = text[:at].partition("://")
    if not address:
        return value
    rest = re.split(r"[?#\s]", text[at:], maxsplit=1)[0]
    in_user = "/" not in before and "@" in rest.partition("/")[0]
    return quote(value, safe="" if in_user or "?" in before or "#" in before else "/:,[]")


def redact(text: str, parts: bool = True) -> str:
    """`text` without the values of the known secrets, as they are or encoded, and without passwords in addresses.

    parts: nor parts of values. In a name of ours none can stand, but a word of it may be one of a value, too.
    """
    if hide := _hiding(tuple(sorted(_known.values())), parts):
        text = hide.sub(HIDDEN, text)
    text = _OPTION.sub(lambda found: found.group() if _NAME.fullmatch(found.group(2)) else f"{found.group(1)}={HIDDEN}", text)
    return _PASSWORD.sub(
        lambda found: found.group() if _NAME.fullmatch(found.group(2)) else f"{found.group(1)}:{HIDDEN}@", text
    )


def redact_error(error: EtlError) -> EtlError:
    """The same error with its texts redacted: libraries put addresses, and parts of them, into what they say."""
    error.what = redact(error.what)
    error.where = error.where and redact(error.where)
    error.hint = error.hint and redact(error.hint)
    error.trace = error.trace and redact(error.trace)
    return error


@lru_cache(maxsize=8)
def _hiding(values: tuple[str, ...], in_parts: bool) -> re.Pattern[str] | None:
    """What finds the values in a text: all of one anywhere, parts of one where they stand as words of their own."""
    whole = {form for value in values if len(value) >= _SHORTEST for form in _forms(value)}
    parts = {form for value in values for part in _parts(value) for form in _forms(part)} - whole if in_parts else set()
    if not whole:
        return None
    found = "|".join(re.escape(one) for one in sorted(whole, key=len, reverse=True))
    if parts:
        pieces = "|".join(re.escape(one) for one in sorted(parts, key=len, reverse=True))
        found += rf"|(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}}))(?:{pieces})(?![A-Za-z0-9])"
    return re.compile(found)


def _parts(value: str) -> set[str]:
    """What lies between any two separators of a value that are not far apart, and is not too short to be told from other words."""
    cut = _SEPARATOR.split(value)
    ends = ((first, last) for first in range(0, len(cut), 2) for last in range(first, min(len(cut), first + 2 * _SPAN), 2))
    spans = ("".join(cut[first : last + 1]) for first, last in ends)
    return {span for span in spans if _SHORTEST <= len(span) < len(value)}


def _forms(value: str) -> set[str]:
    """A value as it is, and as it stands in addresses, JSON and XML."""
    encoded = {quote(value, safe=""), quote(value), quote(value, safe="/:,[]"), quote_plus(value)}
    lower = {re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), one) for one in encoded}
    shown = {json.dumps(value)[1:-1], html.escape(value), repr(value)[1:-1], unquote(value)}
    return {one for one in {value, *encoded, *lower, *shown} if len(one) >= _SHORTEST}


def refuse_plain(address: str, where: object) -> None:
    """An `EtlError` where a password stands in an address itself: such an address would be kept in state and records."""
    given = [*_IN_ADDRESS.finditer(address), *_OPTION.finditer(address)]
    if any(not _NAME.fullmatch(found.group(2)) for found in given):
        shown = _IN_ADDRESS.sub(lambda found: f"{found.group(1)}:{HIDDEN}@", address)
        raise EtlError(
            "the address has a password in it",
            where=f"{where}: {_OPTION.sub(lambda found: f'{found.group(1)}={HIDDEN}', shown)}",
            hint="write ${NAME} in its place, and set the environment variable NAME, or add a line NAME=VALUE to "
            f"`{FILE}` in the checkout (or to the file that ETL_SECRETS names)",
        )
