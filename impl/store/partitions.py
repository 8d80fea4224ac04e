"""Rows sorted into their partitions, with no more memory than one partition and a fixed reserve need.

Batches are put aside as they come, and written to a scratch file when there are many. Then the partitions are taken
out one by one, each sorted by the key and checked: no empty key, no key twice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.run.files import beside
from impl.store import fingerprint
from impl.store.interface import Values
from impl.store.rejected import MOST_ROWS
from impl.store.rows import Types, arrow_schema

if TYPE_CHECKING:
    import numpy
    import pyarrow

RESERVE = 512 * 1024 * 1024  # bytes of rows held in memory before the scratch file is used
SHOWN = 3  # faulty keys in a message


class FaultyKeysError(EtlError):
    """Keys that are empty or stand twice, with the rows that have them."""

    def __init__(self, what: str, where: object, hint: str, rows: pyarrow.Table) -> None:
        super().__init__(what, where, hint)
        self.rows = rows


class Partitions:
    """Takes batches, gives whole partitions. Use in a `with`; at its end the scratch file is gone."""

    def __init__(
        self, types: Types, partition_by: Sequence[str], key: Sequence[str], scratch: Path, reserve: int = RESERVE
    ) -> None:
        self.types, self.partition_by, self.key = types, tuple(partition_by), tuple(key)
        self.rows = 0
        self.sums: dict[Values, int] = {}
        self.counts: dict[Values, int] = {}
        self._held: dict[Values, list[pyarrow.RecordBatch]] = {}
        self._held_bytes = 0
        self._numbers: dict[Values, list[numpy.ndarray]] = {}  # which incoming row it was, for messages
        self._spilled: dict[Values, list[int]] = {}
        self._spilled_batches = 0
        self._scratch = beside(scratch)
        self._writer: Any = None
        self._reserve = reserve

    def __enter__(self) -> Partitions:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._scratch.unlink(missing_ok=True)

    def put(self, batch: pyarrow.RecordBatch) -> list[tuple[Values, pyarrow.RecordBatch]]:
        """Take one batch; what of it belongs to which partition."""
        pieces = []
        for values, numbers, piece in split(batch, self.partition_by):
            self.sums[values] = self.sums.get(values, 0) + fingerprint.sum_of_rows(piece, list(self.types.items()))
            self.counts[values] = self.counts.get(values, 0) + piece.num_rows
            self._held.setdefault(values, []).append(piece)
            self._numbers.setdefault(values, []).append(numbers + self.rows)
            self._held_bytes += piece.nbytes
            pieces.append((values, piece))
        self.rows += batch.num_rows
        if self._held_bytes > self._reserve and self.partition_by:
            self._spill()
        return pieces

    def take(self) -> Iterator[tuple[Values, list[pyarrow.ChunkedArray]]]:
        """Each partition in order: its values, and its columns sorted by the key. Each is there once."""
        keys_seen = _KeysSeen(self.key) if len(self.counts) > 1 and not set(self.partition_by) <= set(self.key) else None
        spilled = self._reopen()
        for values in sorted(self.counts):
            yield values, self._sorted(values, spilled, keys_seen)
            self._held.pop(values, None)

    def _sorted(self, values: Values, spilled: Any, keys_seen: _KeysSeen | None) -> list[pyarrow.ChunkedArray]:
        import numpy
        import pyarrow
        import pyarrow.compute

        pieces = [spilled.get_batch(place) for place in self._spilled.get(values, ())] + self._held.pop(values, [])
        table = pyarrow.Table.from_batches(pieces, schema=arrow_schema(self.types))
        numbers = numpy.concatenate(self._numbers.pop(values))
        pieces.clear()
        keys = table.select(self.key).combine_chunks()
        self._check_filled(table, keys, numbers)
        order = pyarrow.compute.sort_indices(keys, sort_keys=[(name, "ascending") for name in self.key])
        self._check_once(table, keys, order, numbers)
        if keys_seen is not None:
            keys_seen.put(keys, self.types)
        if bool((order.to_numpy() == numpy.arange(len(order))).all()):
            return list(table.columns)
        columns = []
        while table.num_columns:  # one column at a time, so that the rows are never in memory twice
            columns.append(pyarrow.chunked_array([table.column(0).combine_chunks().take(order)]))
            table = table.remove_column(0)
        return columns

    def _check_filled(self, table: pyarrow.Table, keys: pyarrow.Table, numbers: numpy.ndarray) -> None:
        import pyarrow
        import pyarrow.compute

        for name in self.key:
            column = keys.column(name)
            empty = pyarrow.compute.is_null(column)
            if pyarrow.types.is_string(column.type):
                empty = pyarrow.compute.or_(empty, pyarrow.compute.fill_null(pyarrow.compute.equal(column, ""), True))
            places = pyarrow.compute.indices_nonzero(empty).to_numpy()
            if len(places):
                shown = ", ".join(str(numbers[place] + 1) for place in places[:SHOWN])
                raise FaultyKeysError(
                    f"the key `{name}` is empty in {_count(len(places), 'row')}",
                    where=f"row {shown}{' and more' if len(places) > SHOWN else ''} of {self.rows:,}",
                    hint="give each row a key, or leave such rows out before loading",
                    rows=table.take(places[:MOST_ROWS]),
                )

    def _check_once(self, table: pyarrow.Table, keys: pyarrow.Table, order: pyarrow.Array, numbers: numpy.ndarray) -> None:
        import numpy
        import pyarrow.compute

        same = numpy.ones(max(len(order) - 1, 0), dtype=bool)
        for name in self.key:
            if not same.any():
                return
            column = keys.column(name).take(order)
            same &= pyarrow.compute.equal(column[:-1], column[1:]).to_numpy()
        places = numpy.flatnonzero(same)
        if len(places):
            rows = order.to_numpy()
            shown = []
            for place in places[:SHOWN]:
                row = keys.slice(int(rows[place]), 1).to_pylist()[0]
                shown.append(f"{_describe(row)}: rows {numbers[rows[place]] + 1:,} and {numbers[rows[place + 1]] + 1:,}")
            faulty = table.take(rows[numpy.unique([places, places + 1])][:MOST_ROWS])
            raise _twice(len(places), self.key, shown, self.rows, faulty)

    def _spill(self) -> None:
        import pyarrow

        if self._writer is None:
            self._scratch.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pyarrow.ipc.new_file(str(self._scratch), arrow_schema(self.types))
        for values, pieces in self._held.items():
            table = pyarrow.Table.from_batches(pieces).combine_chunks()
            for batch in table.to_batches():
                self._writer.write_batch(batch)
                self._spilled.setdefault(values, []).append(self._spilled_batches)
                self._spilled_batches += 1
        self._held, self._held_bytes = {}, 0

    def _reopen(self) -> Any:
        import pyarrow

        if self._writer is None:
            return None
        self._writer.close()
        return pyarrow.ipc.open_file(pyarrow.memory_map(str(self._scratch)))


def scratch_for(name: str) -> Path:
    """Where a home without a folder of its own puts the rows of a load aside."""
    return Path(tempfile.gettempdir()) / f"etl-{os.getuid()}" / f"{name}.rows"


def split(
    batch: pyarrow.RecordBatch, partition_by: Sequence[str]
) -> Iterator[tuple[Values, numpy.ndarray, pyarrow.RecordBatch]]:
    """The rows of `batch` by partition: its values, the places of its rows in `batch`, the rows."""
    import numpy
    import pyarrow

    if not batch.num_rows:
        return
    everything = numpy.arange(batch.num_rows)
    if not partition_by:
        yield (), everything, batch
        return
    codes, choices = numpy.zeros(batch.num_rows, dtype=numpy.int64), []
    for name in partition_by:
        column = batch.column(name)
        if column.null_count or (pyarrow.types.is_string(column.type) and "" in column.unique().to_pylist()):
            raise EtlError(
                f"the partition column `{name}` is empty in some rows",
                hint="each row belongs to one partition: fill it in before loading",
            )
        encoded = column.dictionary_encode()
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
        choices.append(encoded.dictionary.to_pylist())
    for code in numpy.unique(codes):
        places = everything if (codes == code).all() else numpy.flatnonzero(codes == code)
        rest, values = int(code), []
        for choice in reversed(choices):
            rest, place = divmod(rest, len(choice))
            values.append(choice[place])
        piece = batch if len(places) == batch.num_rows else batch.take(pyarrow.array(places))
        yield tuple(reversed(values)), places, piece


class _KeysSeen:
    """The keys of all partitions so far, where one key could stand in two of them."""

    def __init__(self, key: Sequence[str]) -> None:
        self.key = key
        self.known: set[bytes] = set()

    def put(self, keys: pyarrow.Table, types: Types) -> None:
        kinds = [(name, types[name]) for name in self.key]
        for batch in keys.to_batches():
            for place, digest in enumerate(fingerprint.digests_of_rows(batch, kinds)):
                if digest in self.known:
                    row = batch.slice(place, 1).to_pylist()[0]
                    raise _twice(1, self.key, [f"{_describe(row)}: in two partitions"], None, keys.slice(place, 1))
                self.known.add(digest)


def _twice(count: int, key: Sequence[str], shown: list[str], rows: int | None, faulty: pyarrow.Table) -> FaultyKeysError:
    more = [f"and {count - len(shown):,} more"] if count > len(shown) else []
    whole = [f"of {rows:,} rows"] if rows else []
    return FaultyKeysError(
        f"{_count(count, 'key')} {'stand' if count > 1 else 'stands'} in more than one row",
        where="\n     ".join([*shown, *more, *whole]),
        hint=f"the key is {', '.join(f'`{name}`' for name in key)}: add the column that tells these rows apart, or leave one out",
        rows=faulty,
    )


def _describe(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
