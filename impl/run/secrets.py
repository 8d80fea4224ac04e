"""Secrets: where an address has `${NAME}`, the value of NAME stands only in the moment in which it is needed.

Addresses travel as they are written, with the name of the secret: into checkpoints, state files, logs and records.
`reveal` puts the value in for the library that connects; `redact` takes it out of whatever a library says.
"""

import re
from collections.abc import Mapping

from impl.run.errors import EtlError, unknown

HIDDEN = "***"
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^@\s]*)@")  # of user:password@host; a password may hold a slash
_OPTION = re.compile(r"(?<=[?&])(\w*(?:secret|password|token|account_key)\w*)=([^&#\s]+)", re.IGNORECASE)  # of ?name=value
_SHORTEST = 4  # a shorter value would be found everywhere

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


def reveal(text: str, where: object = None) -> str:
    """`text` with the value of each `${NAME}`; an `EtlError` that names the secret where it is not known."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in _known:
            raise unknown(
                "secret",
                name,
                _known,
                where=where,
                hint=f"set the environment variable {name}, or write it into the file that ETL_SECRETS names",
            )
        return _known[name]

    return _NAME.sub(value, text)


def redact(text: str) -> str:
    """`text` without the values of the known secrets and without passwords in addresses."""
    for secret in sorted(_known.values(), key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    text = _OPTION.sub(lambda found: found.group() if _NAME.fullmatch(found.group(2)) else f"{found.group(1)}={HIDDEN}", text)
    return _PASSWORD.sub(
        lambda found: found.group() if _NAME.fullmatch(found.group(2)) else f"{found.group(1)}:{HIDDEN}@", text
    )


def refuse_plain(address: str, where: object) -> None:
    """An `EtlError` where a password stands in an address itself: such an address would be kept in state and records."""
    given = [*_PASSWORD.finditer(address), *_OPTION.finditer(address)]
    if any(not _NAME.fullmatch(found.group(2)) for found in given):
        raise EtlError(
            "the address has a password in it",
            where=f"{where}: {redact(address)}",
            hint="write ${NAME} in its place, and set the environment variable NAME or add it to the file that ETL_SECRETS names",
        )
