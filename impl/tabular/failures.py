"""What stopped a command, in words."""

from __future__ import annotations

import errno
import os
import re

from impl.run.errors import INTERRUPTED, EtlError, explain
from impl.run.secrets import redact

_ROOM = "make room, or name other folders: `config.output_dir`, `config.tmp_dir`"
_RIGHTS = "mend its rights, or name another: `config.output_dir`, `config.state_file`, `config.tmp_dir`"
_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit of the size of files (`ulimit -f`)",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENAMETOOLONG: "give it a shorter name",
}


def said_by_system(error: OSError) -> str:
    """What the system says. Polars and pyarrow have its words, but neither its number nor the file."""
    said = re.sub(r"^.*\[errno \d+\] ", "", error.strerror or str(error).partition(" (os error ")[0])
    return said[:1].lower() + said[1:]


def explained(error: BaseException) -> EtlError:
    if isinstance(error, EtlError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return EtlError("interrupted", hint="files that were finished stay, and none is half written", code=INTERRUPTED)
    if isinstance(error, OSError):
        said = said_by_system(error)
        hint = next((hint for number, hint in _HINTS.items() if os.strerror(number).lower() in said.lower()), None)
        place = error.filename2 or error.filename
        where = None if place is None else re.sub(r"(^|/)\.([^/]+)\.[^/.]+\.\d+\.part$", r"\1\2", str(place))
        return EtlError(said, where=where, hint=hint)
    told = explain(error)
    told.what = redact(told.what)
    if not isinstance(error, MemoryError):
        told.hint = "run it again with `-e` for the traceback, and tell us"
    return told
