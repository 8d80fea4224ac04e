"""Who reads what we print may have seen enough: `invoke -l | head` ends without a word."""

import atexit
import os
import select
import sys
from contextlib import suppress
from typing import Any


def end_quietly() -> None:
    """From now on, this process ends well where nobody reads its stdout any more."""
    atexit.register(unheard)  # Python's own last flush would complain
    usual = sys.excepthook

    def hook(kind: type[BaseException], exception: BaseException, trace: Any) -> None:
        if isinstance(exception, BrokenPipeError) and unheard():
            os._exit(0)
        usual(kind, exception, trace)

    sys.excepthook = hook


def unheard() -> bool:
    """Whether nobody reads stdout any more; what is still to come is thrown away then."""
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    pipe = select.poll()
    try:
        pipe.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is no file
        return False
    if not any(event & select.POLLERR for _, event in pipe.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
