"""The command `mover`: a store is named by an address, and there is no cluster. What it does is in impl/tabular/command.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from impl.tabular import command
from impl.tabular.call import Call, needs_environment
from impl.tabular.process import be_process

if TYPE_CHECKING:
    from impl.documents import Loading


def main(argv: Sequence[str] | None = None, begin: Callable[[], None] = lambda: None) -> int:
    return command.main(argv, Alone(), begin)


def process() -> NoReturn:
    """What the installed `mover` calls."""
    # the connections of a store are closed when their objects go
    be_process(main, at_once=lambda: "impl.documents" not in sys.modules)


class Alone:
    """No environment: the store is the one that was named. It is loaded when there is one: `mover` starts at once."""

    def store(self, typed: str, address: str) -> Loading | None:
        if not address:
            return None
        from impl.documents import Loading
        from impl.run import secrets

        secrets.refuse_plain(address, "`--store` or ETL_STORE")
        given = dict(os.environ)
        file = Path(given["ETL_SECRETS"]) if given.get("ETL_SECRETS") else None
        secrets.provide(secrets.look_up(secrets.named_in(address), given, file))
        return Loading(address, {})

    def by_partition(self, call: Call) -> int:
        raise needs_environment("--partitions")


if __name__ == "__main__":
    process()
