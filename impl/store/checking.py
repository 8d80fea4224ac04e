"""Runs the checks of a collection on the rows of one load, batch by batch, before the store writes any of them.

Checks on single rows look at each batch. Completeness keeps one byte for a region and day, and nothing for a day that
every region has. What has to be known of other collections is read once, when the load begins.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from impl.run.errors import EtlError, unknown
from impl.store.checks import Check, Result
from impl.store.interface import Collection, Store, Values, describe_part
from impl.store.partitions import FaultyKeysError
from impl.store.rejected import Rejected, forget

if TYPE_CHECKING:
    import numpy
    import pyarrow

SHOWN = 3  # faulty keys in a message
NUMBERS = ("smallint", "integer", "bigint", "real", "double")
DAY_US = 86_400_000_000  # microseconds
EPOCH = date(1970, 1, 1).toordinal()


class Load(NamedTuple):
    """The load that is checked."""

    store: Store
    name: str
    types: Mapping[str, str]
    key: tuple[str, ...]
    partition_by: tuple[str, ...]
    part: dict[str, Any] | None
    before: Collection | None
    synthetic: bool
    geometry: str | None
    source: str = ""

    @property
    def shown_key(self) -> list[str]:
        """The columns that tell rows apart within the part."""
        return [name for name in self.key if name not in (self.part or {})] or list(self.key)


class Checking:
    """All checks of one load."""

    def __init__(self, checks: Sequence[Check], load: Load) -> None:
        self.load = load
        self.rejected = Rejected(load.types)
        self.rows = 0
        self.results: list[Result] = []
        others = _Others(load.store, load.name)
        kinds: dict[str, Callable[[Check, Load, _Others, Rejected], Any]] = {
            "not_null": _NotNull,
            "accepted_range": _AcceptedRange,
            "references": _References,
            "complete": _Complete,
            "row_count": _RowCount,
        }
        for check in checks:
            for column in check.columns:
                if column not in load.types:
                    raise unknown("column", column, load.types, where=f"{check} of `{load.name}`")
        self.checks = [(check, kinds[check.kind](check, load, others, self.rejected)) for check in checks]

    def look(self, values: Values, batch: pyarrow.RecordBatch) -> None:
        """Look at rows of one partition."""
        self.rows += batch.num_rows
        for _, one in self.checks:
            one.look(values, batch)

    def decide(self) -> tuple[Result, ...]:
        """What was found, once all rows were seen. Raises an `EtlError` where a check failed that does not only warn."""
        load = self.load
        # the key is checked while the partitions are taken out, and refuses the load by itself
        results = [Result("unique", load.key, self.rows, 0, True)]
        for check, one in self.checks:
            bad, found = one.found()
            results.append(Result(str(check), check.columns, self.rows, bad, not bad, check.warn, found))
        self.results = results
        failed = [one for one in results if not one.passed and not one.warn]
        if failed:
            what = f"the check {failed[0].check} fails" if len(failed) == 1 else f"{len(failed)} of {len(results)} checks fail"
            faults = [one.found if len(failed) == 1 else f"{one.check}: {one.found}" for one in failed]
            place = f"{describe_part(load.part)} of {load.store.home}" if load.part else load.store.home
            error = EtlError(
                f"`{load.name}` was not loaded: {what}",
                where="\n     ".join([place, *faults]),
                hint=f"{self.put_aside()}Mend the step before, or the check {_where_declared(load.source)}",
            )
            raise self._with(results[1:], error)  # nobody has looked at the key yet
        return tuple(results)

    def put_aside(self) -> str:
        """Write the refused rows into their collection; what to tell of it, or of why it could not be."""
        load = self.load
        stays = "The version before is still there. " if load.before else ""
        try:
            name = self.rejected.write(load.store, load.name, load.part, geometry=load.geometry, synthetic=load.synthetic)
        except EtlError as error:
            return f"the refused rows could not be kept: {error.what}. {stays}"
        if name is None:
            return stays
        return f'look at what was refused: `invoke store.query "select * from {name}"`. {stays}'

    def refused(self, fault: FaultyKeysError) -> EtlError:
        """The error for keys that are empty or stand twice, once their rows are put aside."""
        self.rejected = Rejected(self.load.types)
        self.rejected.put("unique", fault.rows, [fault.what] * fault.rows.num_rows)
        found = [Result("unique", self.load.key, self.rows, fault.rows.num_rows, False, False, fault.what), *self.results[1:]]
        error = EtlError(fault.what, where=fault.where, hint=f"{fault.hint}; {self.put_aside()}".strip().removesuffix("."))
        return self._with(found, error)

    def _with(self, results: Sequence[Result], error: EtlError) -> EtlError:
        """The error, with what the record of the run tells of the checks."""
        error.checks = [one._asdict() for one in results]
        return error

    def succeeded(self) -> None:
        """The load is done: what earlier ones left of refused rows goes."""
        forget(self.load.store, self.load.name, self.load.part)


def _where_declared(source: str) -> str:
    """Where the checks of a collection stand: documents say in its source which one made it."""
    document = re.search(r"(?:^|; )document ([^;]+)$", source)
    return f"in {document[1]}" if document else "beside the columns, in the module below task/ that loads it"


class _Others:
    """Columns of other collections, each read once."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self.known: dict[tuple[str, str, str | None], pyarrow.Array] = {}

    def _with(self, collection: str) -> Store | None:
        """The store that has it: a candidate of a promotion lacks what stays as it is in the live one."""
        from impl.store.switch import live_of

        if collection in self.store.names():
            return self.store
        live = live_of(self.store.address)
        return live if live is not None and collection in live.names() else None

    def values(self, check: Check, collection: str, column: str, where: str | None, kind: str) -> pyarrow.Array:
        """The values of `column`, sorted, each once."""
        import pyarrow.compute as compute

        from impl.store.rows import arrow_type

        asked = (collection, column, where)
        if asked not in self.known:
            store = self._with(collection)
            if store is None:
                raise EtlError(
                    f"the check {check} of `{self.name}` needs the collection `{collection}`, which is not there",
                    where=self.store.home,
                    hint="load it first: `invoke -l` lists the tasks, `invoke store.list` what there is; "
                    "a dataset names the checkpoint that loads it in `after`",
                )
            found = store.read(collection, [column], where).column(0).drop_null().unique()
            self.known[asked] = found.take(compute.array_sort_indices(found))
        known = self.known[asked]
        if known.type != arrow_type(kind):
            raise EtlError(
                f"the check {check} of `{self.name}` compares {arrow_type(kind)} with {known.type}",
                where=f"`{column}` of `{collection}` in {self.store.home}",
                hint="bring both columns to one type in the step before",
            )
        return known


class _Rows(ABC):
    """A check on single rows: a kind says which of them are bad, and why."""

    def __init__(self, check: Check, load: Load, others: _Others, rejected: Rejected) -> None:
        self.check, self.load, self.rejected = check, load, rejected
        self.rows = 0
        self.bad: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def look(self, values: Values, batch: pyarrow.RecordBatch) -> None:
        import pyarrow.compute as compute

        self.rows += batch.num_rows
        for name in self.check.columns:
            mask = self.is_bad(batch.column(name), self.load.types[name])
            count = 0 if mask is None else mask.true_count
            if not count:
                continue
            self.bad[name] = self.bad.get(name, 0) + count
            examples = self.examples.setdefault(name, [])
            wanted = self.rejected.room if not self.check.warn else 0
            places = compute.indices_nonzero(mask).slice(0, max(wanted, SHOWN - len(examples)))
            if not len(places):
                continue
            rows = batch.take(places)
            why = [self.why(name, value) for value in rows.column(name).to_pylist()]
            for row, reason in zip(
                rows.slice(0, SHOWN - len(examples)).select(self.load.shown_key).to_pylist(), why, strict=False
            ):
                examples.append(f"{_described(row)}: {reason}")
            if wanted:
                self.rejected.put(str(self.check), rows, why)

    def found(self) -> tuple[int, str]:
        said = []
        for name, count in self.bad.items():
            more = [f"and {count - len(self.examples[name]):,} more"] if count > len(self.examples[name]) else []
            said.append(f"`{name}` in {count:,} of {self.rows:,} rows: {'; '.join([*self.examples[name], *more])}")
        return sum(self.bad.values()), "\n     ".join(said)

    @abstractmethod
    def is_bad(self, column: pyarrow.Array, kind: str) -> pyarrow.BooleanArray | None:
        """Which values do not hold; None where all do."""

    @abstractmethod
    def why(self, name: str, value: Any) -> str:
        """What is wrong with one of them, for people."""


class _NotNull(_Rows):
    def is_bad(self, column: pyarrow.Array, kind: str) -> pyarrow.BooleanArray | None:
        import pyarrow.compute as compute

        if kind == "text":
            return compute.fill_null(compute.equal(column, ""), True)
        if kind in ("real", "double"):
            return compute.is_null(column, nan_is_null=True)
        return compute.is_null(column) if column.null_count else None

    def why(self, name: str, value: Any) -> str:
        return f"{name} is {'NaN' if value is not None and value != value else 'empty'}"


class _AcceptedRange(_Rows):
    def __init__(self, check: Check, load: Load, others: _Others, rejected: Rejected) -> None:
        super().__init__(check, load, others, rejected)
        self.low, self.high = check.settings["low"], check.settings["high"]
        for name in check.columns:
            if load.types[name] not in NUMBERS:
                raise EtlError(
                    f"the check {check} is for numbers, and `{name}` is {load.types[name]}",
                    where=f"the checks of `{load.name}`",
                    hint="name the column of numbers that is meant",
                )

    def is_bad(self, column: pyarrow.Array, kind: str) -> pyarrow.BooleanArray | None:
        import pyarrow.compute as compute

        # compared as inside and then turned round, since NaN is inside of nothing
        low, high = (-inf if self.low is None else self.low), (inf if self.high is None else self.high)
        inside = compute.and_(compute.greater_equal(column, float(low)), compute.less_equal(column, float(high)))
        return None if inside.false_count == 0 else compute.fill_null(compute.invert(inside), False)

    def why(self, name: str, value: Any) -> str:
        limits = [
            f"at least {self.low}" if self.low is not None else "",
            f"at most {self.high}" if self.high is not None else "",
        ]
        return f"{name} is {value:.7g}, not {' and '.join(filter(None, limits))}"


class _References(_Rows):
    def __init__(self, check: Check, load: Load, others: _Others, rejected: Rejected) -> None:
        super().__init__(check, load, others, rejected)
        (name,), self.collection = check.columns, check.settings["collection"]
        self.known = others.values(check, self.collection, check.settings["to"] or name, None, load.types[name])

    def is_bad(self, column: pyarrow.Array, kind: str) -> pyarrow.BooleanArray | None:
        import pyarrow.compute as compute

        bad = compute.invert(compute.is_in(column, value_set=self.known))
        return compute.and_(bad, column.is_valid()) if column.null_count else bad

    def why(self, name: str, value: Any) -> str:
        return f"{value} is not in {self.collection}"


class _Complete:
    """Which region has which day: for each partition and day, where in the list of regions there was a row."""

    def __init__(self, check: Check, load: Load, others: _Others, rejected: Rejected) -> None:
        self.check, self.load, self.rejected = check, load, rejected
        self.region, self.day = check.columns
        if load.types[self.day] not in ("timestamp", "date"):
            raise EtlError(
                f"the check {check} needs a time, and `{self.day}` is {load.types[self.day]}",
                where=f"the checks of `{load.name}`",
                hint="name the column that holds the day as a timestamp or a date",
            )
        self.of = check.settings["of"]
        column = check.settings["to"] or self.region
        self.regions = others.values(check, self.of, column, check.settings["where"], load.types[self.region])
        if not len(self.regions):
            raise EtlError(
                f"the check {check} of `{load.name}` finds no region in `{self.of}`",
                where=load.store.home,
                hint="its condition `where` chooses none, or the collection is empty",
            )
        self.seen: dict[Values, dict[int, numpy.ndarray | None]] = {}  # None: all of them

    def look(self, values: Values, batch: pyarrow.RecordBatch) -> None:
        import numpy
        import pyarrow.compute as compute

        places = compute.fill_null(compute.index_in(batch.column(self.region), value_set=self.regions), -1).to_numpy()
        days = _days(batch.column(self.day))
        known = (places >= 0) & batch.column(self.day).is_valid().to_numpy(zero_copy_only=False)
        if not known.all():
            places, days = places[known], days[known]
        seen = self.seen.setdefault(values, {})
        if not len(days):
            return
        if (numpy.diff(days) < 0).any():
            order = numpy.argsort(days, kind="stable")
            places, days = places[order], days[order]
        starts = numpy.flatnonzero(numpy.diff(days, prepend=days[0] - 1))
        for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
            day = int(days[start])
            there = seen.setdefault(day, numpy.zeros(len(self.regions), dtype=bool))
            if there is not None:
                there[places[start:end]] = True
                if there.all():
                    seen[day] = None

    def found(self) -> tuple[int, str]:
        missing, expected, examples = 0, 0, list[str]()
        for values, seen in sorted(self.seen.items()):
            fixed = dict(zip(self.load.partition_by, values, strict=True))
            for day in self._expected_days(fixed, seen):
                expected += len(self.regions)
                lacking = self._lacking(seen, day)
                missing += lacking
                wanted = 0 if self.check.warn else self.rejected.room
                if not lacking or not (wanted or len(examples) < SHOWN):
                    continue
                rows = self._keys(seen, day, fixed, max(wanted, SHOWN - len(examples)))
                for row in rows.slice(0, SHOWN - len(examples)).to_pylist():
                    about = {name: row[name] for name in (self.region, self.day)}
                    about |= {name: value for name, value in fixed.items() if name not in (self.load.part or {})}
                    examples.append(_described(about))
                if wanted:
                    self.rejected.put(str(self.check), rows, ["there is no such row"] * rows.num_rows)
        more = [f"and {missing - len(examples):,} more"] if missing > len(examples) else []
        return missing, f"{missing:,} of {expected:,} are missing: {'; '.join([*examples, *more])}" if missing else ""

    def _expected_days(self, fixed: Mapping[str, Any], seen: Mapping[int, Any]) -> Iterator[int]:
        calendar = self.check.settings["calendar"]
        if isinstance(fixed.get("year"), int):
            first, last = date(fixed["year"], 1, 1).toordinal() - EPOCH, date(fixed["year"], 12, 31).toordinal() - EPOCH
            last = max(seen, default=first) if self.check.settings["under_way"] else last
        elif seen:
            first, last = min(seen), max(seen)
        else:
            return
        for day in range(first, last + 1):
            if calendar == "standard" or not _is_leap_day(day) or (calendar == "either" and day in seen):
                yield day

    def _lacking(self, seen: Mapping[int, numpy.ndarray | None], day: int) -> int:
        if day not in seen:
            return len(self.regions)
        there = seen[day]
        return 0 if there is None else len(there) - int(there.sum())

    def _keys(self, seen: Mapping[int, Any], day: int, fixed: Mapping[str, Any], count: int) -> pyarrow.Table:
        """The first missing regions of a day, as rows that have only a key."""
        import numpy
        import pyarrow

        from impl.store.rows import arrow_type

        there = seen.get(day)
        regions = self.regions if there is None else self.regions.filter(pyarrow.array(numpy.logical_not(there)))
        regions = regions.slice(0, count)
        when: Any = date.fromordinal(day + EPOCH)
        if self.load.types[self.day] == "timestamp":
            when = datetime(when.year, when.month, when.day, tzinfo=timezone.utc)
        same = {**fixed, self.day: when}
        columns = {
            name: pyarrow.repeat(pyarrow.scalar(value, arrow_type(self.load.types[name])), len(regions))
            for name, value in same.items()
        }
        return pyarrow.table({self.region: regions, **columns})


class _RowCount:
    """As many rows as the last version of the same part had, or nearly."""

    def __init__(self, check: Check, load: Load, others: _Others, rejected: Rejected) -> None:
        self.check, self.load = check, load
        self.rows = 0

    def look(self, values: Values, batch: pyarrow.RecordBatch) -> None:
        self.rows += batch.num_rows

    def found(self) -> tuple[int, str]:
        load = self.load
        last = load.before.matching(load.part) if load.before else {}
        before = sum(facts.rows for facts in last.values())
        if not before or any(facts.synthetic != load.synthetic for facts in last.values()):
            return 0, ""
        least, most = self.check.settings["at_least"], self.check.settings["at_most"]
        too_few = least is not None and self.rows < least * before
        too_many = most is not None and self.rows > most * before
        if not too_few and not too_many:
            return 0, ""
        found = f"{self.rows:,} rows, and the version before had {before:,}; "
        clean = f"if that is right, `invoke {load.name.partition('_')[0]}.clean` and load again: then nothing is compared"
        return abs(self.rows - before), found + clean


def _days(column: pyarrow.Array) -> numpy.ndarray:
    """The day of each time in UTC, counted from 1970-01-01; any number where there is no time."""
    import numpy
    import pyarrow

    if pyarrow.types.is_date(column.type):
        return column.cast(pyarrow.int32()).fill_null(0).to_numpy().astype(numpy.int64)
    return column.cast(pyarrow.int64()).fill_null(0).to_numpy() // DAY_US


def _is_leap_day(day: int) -> bool:
    there = date.fromordinal(day + EPOCH)
    return (there.month, there.day) == (2, 29)


def _described(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_plain(value)}" for name, value in row.items())


def _plain(value: Any) -> Any:
    """A time at midnight as its date."""
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return f"{value:%Y-%m-%d}" if midnight else f"{value:%Y-%m-%d %H:%M:%S}"
    return value
