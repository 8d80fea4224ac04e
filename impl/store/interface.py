"""What a data store is, whatever its home: collections with a key, columns and a fingerprint.

A home (a lake of files, a database) is a class that meets `Store`; `tests/store/test_contract.py` holds each to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from impl.run.errors import EtlError, unknown

if TYPE_CHECKING:
    import pyarrow

    from impl.store.checks import Check, Result

Values = tuple[Any, ...]  # of the partition columns, in the order of `partition_by`; () where there are none

TYPES = ("text", "smallint", "integer", "bigint", "real", "double", "boolean", "timestamp", "date", "bytes", "geometry")


class Column(NamedTuple):
    """One column: its type is one of `TYPES`, the same word in every home."""

    name: str
    type: str
    unit: str = ""
    meaning: str = ""


class PartFacts(NamedTuple):
    """One partition of a collection as it lies in the store."""

    rows: int
    bytes: int
    fingerprint: str
    synthetic: bool = False


class File(NamedTuple):
    """One file of a collection in a lake, as the commit left it."""

    path: str  # below the collection
    size: int
    modified: int  # milliseconds since 1970
    exact: bool = True  # False: another tool wrote it, and its log says only that the file is not younger


class Part(NamedTuple):
    """What `replace` did: the rows that now stand there, and whether anything had to change."""

    name: str
    part: dict[str, Any] | None
    rows: int
    fingerprint: str
    version: int
    changed: bool
    checks: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Collection:
    """The facts of one collection at one version."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()
    parts: Mapping[Values, PartFacts] = field(default_factory=dict)
    geometry: str | None = None
    description: str = ""
    source: str = ""
    licence: str = ""
    version: int = 0
    updated: datetime | None = None
    files: Mapping[Values, tuple[File, ...]] | None = field(default=None, compare=False, repr=False)  # of a lake, if known

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts.values())

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts.values())

    @property
    def synthetic(self) -> bool:
        """Whether any of it is sample data."""
        return any(part.synthetic for part in self.parts.values())

    @property
    def fingerprint(self) -> str:
        """The sum of the fingerprints of the parts (see fingerprint.py)."""
        return self.fingerprint_of(None)

    def matching(self, part: Mapping[str, Any] | None) -> dict[Values, PartFacts]:
        """The parts whose partition columns have the values of `part`; all of them for None."""
        if not part:
            return dict(self.parts)
        places = [(self.partition_by.index(name), value) for name, value in part.items() if name in self.partition_by]
        if len(places) < len(part):
            return {}
        return {values: facts for values, facts in self.parts.items() if all(values[i] == v for i, v in places)}

    def fingerprint_of(self, part: Mapping[str, Any] | None) -> str:
        from impl.store.fingerprint import add

        return add(facts.fingerprint for facts in self.matching(part).values())


DAMAGED_LOG = "its log is damaged"  # how `lost` begins where nothing can be read at all


class FilesGoneError(EtlError):
    """What a load had written was removed before it was through."""


class NotAsMeantError(EtlError):
    """Rows that were to become live are not those that were meant. Nothing was changed."""


class Store(Protocol):
    """One home of collections."""

    home: str  # for people, without secrets
    address: str  # for `open_store`

    def names(self) -> list[str]:
        """The collections, in order of name."""

    def facts(self, name: str) -> Collection:
        """What is known of `name`. An `EtlError` with the nearest names where there is none."""

    def holds(self, name: str, part: Mapping[str, Any] | None, fingerprint: str) -> bool:
        """Whether the store still has these very rows. Milliseconds; False rather than an error, and where `lost` speaks."""

    def lost(self, name: str) -> str | None:
        """What of a collection is no longer as its last commit left it, in words; None where nothing is, or it is not there.

        A cheap look: names, sizes and times, and rows only where a time tells that something was written. What a load
        would put right counts, not rows that somebody committed: those are in the facts.
        """

    def verify(self, name: str, deep: bool) -> list[str]:
        """All that is wrong with a collection, in words. deep: its fingerprint is computed again from the rows."""

    def identity(self) -> str:
        """What is the same for two addresses that lead to the same place."""

    def dependents(self, name: str) -> list[str]:
        """What others made in the store that hangs on a collection: views, foreign keys; in a lake there is no such thing."""

    def replace(
        self,
        name: str,
        rows: Any,
        *,
        key: str | Sequence[str],
        part: Mapping[str, Any] | None = None,
        partition_by: Sequence[str] = (),
        description: str = "",
        columns: Mapping[str, str | Sequence[str]] | None = None,
        geometry: str | None = None,
        synthetic: bool = False,
        source: str = "",
        licence: str = "",
        may_be_empty: bool = False,
        checks: Sequence[Check] = (),
    ) -> Part:
        """Put `rows` in the place of the whole collection, or of exactly `part` of it, in one commit.

        rows: a table, a stream of batches, a (Geo)DataFrame or a list of dicts.
        key: the columns that tell rows apart; an empty or a double key among `rows` is an error.
        part: values of partition columns, as {"model": "CCSM4", "year": 2005}. Columns that `rows` lack are filled from it.
        columns: {"wind_m_per_s": ("m/s", "daily mean at 10 m")}, or the meaning alone.
        checks: what has to hold of the rows, see checks.py; where one fails, nothing is changed and an `EtlError` tells.
        The same rows with the same facts change nothing.
        """

    def drop(self, name: str) -> None:
        """Remove the collection; one that is not there is fine."""

    def read(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.Table:
        """The rows of `name` that meet the SQL condition `where`."""

    def stream(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pyarrow.RecordBatchReader:
        """As `read`, batch by batch."""

    def query(self, sql: str) -> pyarrow.Table:
        """The answer to one SELECT over the collections."""

    def tidy(self) -> int:
        """Remove what killed writers left and versions older than a week; the bytes that came free."""


def check_name(name: str) -> None:
    """A collection is called in lower case, with letters, digits and underscores."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise EtlError(
            f"`{name}` is no name for a collection",
            hint="lower-case letters, digits and underscores, a letter first: `region_county`",
        )


def no_collection(name: str, known: Sequence[str], where: object) -> EtlError:
    """The error for a collection that is not there: the nearest names, and how to find the task that makes it."""
    return unknown(
        "collection",
        name,
        known,
        where=where,
        hint="A collection is called as the task that fills it: `invoke -l` lists tasks, `invoke store.list` collections",
    )


def not_whole(name: str, where: str) -> EtlError:
    """The error for a collection of which something is lost, where somebody reads it."""
    dataset, _, member = name.partition("_")
    return EtlError(
        f"the collection `{name}` is not whole",
        where=where,
        hint=f"the tasks of `{'.'.join(filter(None, (dataset, member)))}` make it again (`invoke -l {dataset}`), "
        "and in production `invoke promote.run`",
    )


def as_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several, as several."""
    return (names,) if isinstance(names, str) else tuple(names)


def describe_part(part: Mapping[str, Any] | None) -> str:
    """`model=CCSM4, year=2005`, for messages."""
    return ", ".join(f"{name}={value}" for name, value in part.items()) if part else ""
