"""Rows that a check refused, in a collection of their own beside the one that they were for.

    rejected_region_county                                     of a load of the whole collection
    rejected_macav2_county__ccsm4_historical_2005              of a load of one part

Each part has its own, so that loads side by side do not meet in one. It is written in one commit, in the place of what
an earlier failure left, and it goes when a load of that part (or of the whole) succeeds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from impl.store.interface import Store, describe_part

if TYPE_CHECKING:
    import pyarrow

PREFIX = "rejected_"
MOST_ROWS = 100_000  # kept of one load; the count in the message is of all
MOST_BYTES = 64 * 1024 * 1024
LONGEST_NAME = 58  # PostgreSQL has 63 characters for the name of a table, and one that is being made is called `_new_...`
NUMBER, CHECK, WHY = "rejected_number", "rejected_by", "rejected_because"


def name_of(collection: str, part: Mapping[str, Any] | None) -> str:
    """The collection that holds what a load of `collection`, or of a part of it, refused."""
    words = "_".join(re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_") for value in (part or {}).values())
    name = f"{PREFIX}{collection}{f'__{words}' if part else ''}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(f'{collection} {describe_part(part)}'.encode()).hexdigest()[:8]}"


def is_rejected(collection: str) -> bool:
    """Whether that is the name of a collection of rejected rows."""
    return collection.startswith(PREFIX)


def left(store: Store, collection: str, part: Mapping[str, Any] | None) -> list[str]:
    """What loads of this part have left of refused rows; for the whole collection that of all its parts."""
    if is_rejected(collection):
        return []
    own = name_of(collection, part)
    return [name for name in store.names() if name == own or (not part and name.startswith(f"{own}__"))]


def forget(store: Store, collection: str, part: Mapping[str, Any] | None) -> None:
    """Remove what `left` names."""
    for name in left(store, collection, part):
        store.drop(name)


class Rejected:
    """The refused rows of one load, as far as there is room."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self.types = types
        self.rows = 0
        self._bytes = 0
        self._pieces: list[pyarrow.Table] = []

    @property
    def room(self) -> int:
        """How many more rows would be kept."""
        return MOST_ROWS - self.rows if self._bytes < MOST_BYTES else 0

    def put(self, check: str, rows: pyarrow.RecordBatch | pyarrow.Table, why: Sequence[str]) -> None:
        """Keep `rows`, each with its reason. Columns that they lack stay empty."""
        import pyarrow

        from impl.store.rows import arrow_schema

        count = min(rows.num_rows, self.room)
        if not count:
            return
        rows = rows.slice(0, count)
        schema = arrow_schema({NUMBER: "bigint", CHECK: "text", WHY: "text", **self.types})
        said = {NUMBER: range(self.rows + 1, self.rows + count + 1), CHECK: [check] * count, WHY: why[:count]}
        given = set(rows.schema.names)

        def column(field: pyarrow.Field) -> Any:
            if field.name in said:
                return pyarrow.array(said[field.name], field.type)
            return rows.column(field.name) if field.name in given else pyarrow.nulls(count, field.type)

        self._pieces.append(pyarrow.table([column(field) for field in schema], schema=schema))
        self.rows += count
        self._bytes += rows.nbytes

    def write(self, store: Store, collection: str, part: Mapping[str, Any] | None, **facts: Any) -> str | None:
        """Put them into their collection and return its name; None where no row was refused. An older one goes."""
        import pyarrow

        if not self.rows:
            forget(store, collection, part)
            return None
        name = name_of(collection, part)
        of = f"{collection}, {describe_part(part)}" if part else collection
        columns = {CHECK: "the check that refused the row", WHY: "what is wrong with it"}
        rows = pyarrow.concat_tables(self._pieces)
        store.replace(name, rows, key=NUMBER, description=f"Rejected rows of {of}", columns=columns, **facts)
        return name
