"""What a dataset demands of its rows, declared beside it and checked in every load before a reader sees any of them.

    checks=[
        not_null("name"),
        accepted_range("mean_precipitation_mm", 0, 1500),
        references("gis_join", "region_county"),
        complete("gis_join", "timestamp", of="region_county"),
        row_count(at_least=0.9),
    ]

That each key stands in one row, and is not empty, is checked always. A check that fails leaves the version before in
place, and the rows that it refused in a collection of their own (rejected.py). With `warn=True` the load goes on, and
what was found is said at the end of the run.

A check is plain data: it goes into the arguments of the load's checkpoint, so a changed check makes the load run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from impl.run.errors import EtlError, unknown

CALENDARS = ("standard", "noleap", "either")


class Check(NamedTuple):
    """One demand. Made by the functions below."""

    kind: str
    columns: tuple[str, ...]
    settings: Mapping[str, Any]
    warn: bool = False

    def __str__(self) -> str:
        """As it is declared: `accepted_range(wind_m_per_s, low=0, high=60)`."""
        said = [*self.columns, *(f"{name}={value}" for name, value in self.settings.items() if value is not None)]
        return f"{self.kind}({', '.join(said)})"


class Result(NamedTuple):
    """What a check found in one load."""

    check: str
    columns: tuple[str, ...]
    rows: int  # looked at
    bad: int  # values that fail, keys that are missing, or rows that are too few or too many
    passed: bool
    warn: bool = False
    found: str = ""  # in words, where it did not pass


def not_null(*columns: str, warn: bool = False) -> Check:
    """No row is empty there: no null, no NaN, no empty text."""
    return Check("not_null", columns, {}, warn)


def accepted_range(*columns: str, low: float | None = None, high: float | None = None, warn: bool = False) -> Check:
    """Numbers lie between `low` and `high`, both included; an empty value is no fault, NaN is one."""
    if low is None and high is None:
        raise EtlError("a range has no limit", where=f"accepted_range({', '.join(columns)})", hint="give `low`, `high` or both")
    return Check("accepted_range", columns, {"low": low, "high": high}, warn)


def references(column: str, collection: str, *, to: str | None = None, warn: bool = False) -> Check:
    """Each value stands in the column `to` (the same name, unless given) of another collection of the same store."""
    return Check("references", (column,), {"collection": collection, "to": to}, warn)


def complete(
    region: str,
    day: str,
    *,
    of: str,
    to: str | None = None,
    where: str | None = None,
    calendar: str = "standard",
    under_way: bool = False,
    warn: bool = False,
) -> Check:
    """Each region has a row on each day: of the year, in collections partitioned by `year`, else from the first to the last.

    of: the collection that lists the regions, in its column `to`; where: an SQL condition that chooses among them.
    calendar: "noleap" expects no 29 February, "either" expects it where any region has it.
    under_way: the last year goes on; days after the last one that any region has are not expected yet.
    """
    if calendar not in CALENDARS:
        raise unknown("calendar", calendar, CALENDARS, where=f"complete({region}, {day})")
    settings = {"of": of, "to": to, "where": where, "calendar": calendar, "under_way": under_way or None}
    return Check("complete", (region, day), settings, warn)


def row_count(*, at_least: float | None = 0.9, at_most: float | None = None, warn: bool = False) -> Check:
    """The rows are so many times those of the last version of the same part; a first load has nothing to compare with.

    Sample data are not compared with real ones.
    """
    return Check("row_count", (), {"at_least": at_least, "at_most": at_most}, warn)
