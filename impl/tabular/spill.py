"""Tables larger than memory: what an operation holds goes to files in the run's folder once it is too much.

Spool(context)           keeps batches in their order, to be read more than once
Partitions(context, by)  splits rows by the hash of some columns: equal keys are in one part, in the order they came
Sorter(context, by)      sorts: runs that fit are sorted, written and merged; equal rows keep the order they came in

All three stay in memory while they hold less than a `share` of `context.memory_limit` (batches on their way and the work on
what is held take the rest), and give the same rows either way.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.tabular.flow import BATCH, CELLS, Context, framed

if TYPE_CHECKING:
    import polars as pl

PARTS = 32  # of one split; a part that is still too large is split again, into as many as it needs
LEVELS = 4  # of splits; rows that are still together then have one key
FAN = 32  # runs that are merged at once
VIEW = 16  # bytes of a text beside its letters
ON_THE_WAY = 96 << 20  # bytes of batches that are read, worked on and written at one time, about


def share(context: Context) -> int:
    """Bytes that one holder may keep in memory: a quarter, as a sort or a join of what is held takes as much again and more."""
    return max(1, max(context.memory_limit - ON_THE_WAY, context.memory_limit // 4) // 4)


def size_of(frame: pl.DataFrame) -> int:
    """Bytes that a frame takes in memory, about. Polars counts the letters of texts, not where they stand."""
    import polars as pl

    texts = sum(1 for one in frame.dtypes if one == pl.String)
    return int(frame.estimated_size()) + VIEW * texts * frame.height


def compact(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with texts of its own: rows picked from a larger frame keep all of its texts in memory otherwise."""
    import polars as pl

    return frame.with_columns(pl.col(pl.String) + "")


class Chunks:
    """Frames in one file, each readable by its number. What Polars has no type for (lists and mappings of JSON) is pickled in it."""

    def __init__(self, context: Context) -> None:
        handle, name = tempfile.mkstemp(".chunks", dir=context.folder)
        self.path, self.file = Path(name), os.fdopen(handle, "w+b")
        self.places: list[tuple[int, int]] = []
        self.bytes = self.rows = 0

    def append(self, frame: pl.DataFrame) -> None:
        try:
            start = self.file.seek(0, io.SEEK_END)
            _without_objects(frame).write_ipc(self.file, compression="lz4")
            self.places.append((start, self.file.seek(0, io.SEEK_END) - start))
        except OSError as error:
            raise EtlError(
                f"rows that do not fit into memory cannot be put aside: {error.strerror or error}",
                where=self.path.parent,
                hint="name a folder with more room as `config.tmp_dir`, or raise `config.memory_limit`",
            ) from error
        self.bytes += size_of(frame)
        self.rows += frame.height

    def read(self, number: int) -> pl.DataFrame:
        import polars as pl

        start, length = self.places[number]
        self.file.seek(start)
        return _with_objects(pl.read_ipc(io.BytesIO(self.file.read(length))))

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for number in range(len(self)):
            yield self.read(number)

    def close(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


_OBJECTS = "\0object:"  # how the name of a column begins that holds pickled values


def _without_objects(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its objects pickled, as Polars writes none."""
    import polars as pl

    if pl.Object not in frame.dtypes:
        return frame
    return framed(
        pl.Series(_OBJECTS + one.name, [None if value is None else pickle.dumps(value) for value in one.to_list()], pl.Binary)
        if one.dtype == pl.Object
        else one
        for one in frame
    )


def _with_objects(frame: pl.DataFrame) -> pl.DataFrame:
    """What `_without_objects` was given."""
    import polars as pl

    if not any(name.startswith(_OBJECTS) for name in frame.columns):
        return frame
    return framed(
        pl.Series(
            one.name.removeprefix(_OBJECTS), [None if value is None else pickle.loads(value) for value in one], dtype=pl.Object
        )
        if one.name.startswith(_OBJECTS)
        else one
        for one in frame
    )


class _Held(ABC):
    """Batches that are kept in memory until they are too much. empty: a frame of no rows with the columns."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.held: list[pl.DataFrame] = []
        self.bytes = self.rows = 0
        self.empty: pl.DataFrame | None = None

    def add(self, frame: pl.DataFrame) -> None:
        if self.empty is None:
            self.empty = frame.clear()
        if not frame.height:
            return
        self.rows += frame.height
        self.held.append(frame if frame.height > BATCH // 2 else compact(frame))
        self.bytes += size_of(frame)
        if self.bytes > share(self.context):
            self.write()

    @abstractmethod
    def write(self) -> None:
        """What is held goes to files."""


class Spool(_Held):
    """Batches in the order they came, as often as they are wanted. empty: a frame of no rows with the columns."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.chunks: Chunks | None = None

    def write(self) -> None:
        self.chunks = self.chunks or Chunks(self.context)
        for one in self.held:
            self.chunks.append(one)
        self.held, self.bytes = [], 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The batches; one of no rows if there were none."""
        if not self.rows and self.empty is not None:
            yield self.empty
        if self.chunks:
            yield from self.chunks
        yield from self.held

    def close(self) -> None:
        if self.chunks:
            self.chunks.close()
        self.held = []


class Partitions(_Held):
    """Rows by the hash of columns; `aligned` gives them back, several tables that were split alike side by side."""

    def __init__(self, context: Context, by: Sequence[str], level: int = 0, count: int = PARTS) -> None:
        super().__init__(context)
        self.by, self.level, self.count = list(by), level, count
        self.parts: list[Chunks] = []

    def write(self) -> None:
        self.split()

    def split(self) -> None:
        """Write what is held to its parts."""
        import polars as pl

        self.parts = self.parts or [Chunks(self.context) for _ in range(self.count)]
        if not self.held:
            return
        part: pl.Expr = pl.lit(0, pl.UInt64)
        for name in self.by:
            part = part * 31 ^ pl.col(name).hash(self.level)
        held, self.held, self.bytes = self.held[::-1], [], 0
        while held:
            # small batches together, since each piece of a part costs something by itself; large ones are gone once written
            some = [held.pop()]
            while held and sum(one.height for one in some) < min(4 * BATCH, 2 * CELLS // max(1, some[0].width)):
                some.append(held.pop())
            frame = pl.concat(some).with_columns((part % self.count).alias("\0part"))
            some.clear()
            for (number,), rows in frame.partition_by("\0part", as_dict=True, include_key=False).items():
                self.parts[number].append(rows)

    def frame(self) -> pl.DataFrame:
        """All rows, while they are in memory."""
        import polars as pl

        assert self.empty is not None
        return pl.concat(self.held) if self.held else self.empty

    def close(self) -> None:
        for one in self.parts:
            one.close()
        self.held = []


def aligned(sides: Sequence[Partitions], times: int = 2) -> Iterator[list[pl.DataFrame]]:
    """One frame of each table at a time, such that rows of equal keys come together. Closes the tables.

    times: how often the frames together fit into the share, as what is done with them takes more of it.
    """
    import polars as pl

    try:
        if not any(one.parts for one in sides):
            yield [one.frame() for one in sides]
            return
        for one in sides:
            one.split()
        context, level = sides[0].context, sides[0].level
        total = sum(part.bytes for one in sides for part in one.parts)
        for number in range(sides[0].count):
            size = sum(one.parts[number].bytes for one in sides)
            if size > share(context) // times and level < LEVELS and size < 0.9 * total:
                count = min(PARTS, 2 * (1 + size * times // share(context)))  # twice, as they are not of one size
                finer = [Partitions(context, one.by, level + 1, count) for one in sides]
                for one, sub in zip(sides, finer, strict=True):
                    assert one.empty is not None
                    sub.add(one.empty)
                    for frame in one.parts[number]:
                        sub.add(frame)
                for sub in finer:
                    sub.split()
                yield from aligned(finer, times)
            else:
                if size:
                    yield [pl.concat([one.empty, *one.parts[number]]) for one in sides if one.empty is not None]
            for one in sides:
                one.parts[number].close()
    finally:
        for one in sides:
            one.close()


class Sorter:
    """Rows in the order of columns: text by code points, nulls last, equal rows as they came."""

    def __init__(self, context: Context, by: Sequence[str], descending: Sequence[bool] | None = None) -> None:
        self.context, self.by = context, list(by)
        self.descending = list(descending) if descending else [False] * len(self.by)
        self.held: list[pl.DataFrame] = []
        self.bytes = 0
        self.runs: list[Chunks] = []
        self.empty: pl.DataFrame | None = None

    def add(self, frame: pl.DataFrame) -> None:
        if self.empty is None:
            self.empty = frame.clear()
        if not frame.height:
            return
        self.held.append(frame if frame.height > BATCH // 2 else compact(frame))
        self.bytes += size_of(frame)
        if self.bytes > share(self.context):
            self._write(self._run())

    def _run(self) -> Iterator[pl.DataFrame]:
        """What is held, sorted, a piece at a time: no sorted copy of all of it. Nothing is held after."""
        import polars as pl

        frame = pl.concat(self.held, rechunk=True)
        self.held, self.bytes = [], 0
        if not self.by:
            yield from frame.iter_slices(BATCH)
            return
        order = self._order(frame)
        for start in range(0, frame.height, BATCH):
            yield frame[order.slice(start, BATCH)]

    def _sorted(self, frames: list[pl.DataFrame]) -> pl.DataFrame:
        import polars as pl

        frame = pl.concat(frames, rechunk=True)
        return frame[self._order(frame)] if self.by else frame

    def _order(self, frame: pl.DataFrame) -> pl.Series:
        """The numbers of the rows, sorted."""
        import polars as pl

        texts = all(frame.schema[name] == pl.String for name in self.by)
        if not texts or len(self.by) < 2 or len(set(self.descending)) > 1:
            places = pl.arg_sort_by(self.by, descending=self.descending, nulls_last=True, maintain_order=True)
        else:
            # Several columns as one value are sorted in half the time. Where nulls go in there nobody says, so that is said
            # before each column that has some; the last value keeps equal rows in their order.
            down = self.descending[0]
            values: list[pl.Expr] = []
            for name in self.by:
                if frame[name].null_count():
                    values.append((pl.col(name).is_not_null() if down else pl.col(name).is_null()).alias(f"\0{name}"))
                values.append(pl.col(name))
            values.append((pl.int_range(frame.height, 0, -1) if down else pl.int_range(frame.height)).alias("\0"))
            places = pl.struct(values).arg_sort(descending=down)
        return frame.select(places).to_series()

    def _write(self, frames: Iterator[pl.DataFrame]) -> None:
        # a chunk is small enough that two of every run fit while they are merged
        run = Chunks(self.context)
        self.runs.append(run)
        for frame in frames:
            rows = max(500, int(frame.height * share(self.context) / (2 * FAN) / max(1, size_of(frame))))
            for start in range(0, frame.height, rows):
                run.append(frame.slice(start, rows))

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The sorted rows in batches, at least one. Closes the sorter."""
        try:
            if not self.runs:
                if self.held:
                    yield from self._run()
                elif self.empty is not None:
                    yield self.empty
                return
            if self.held:
                self._write(self._run())
            while len(self.runs) > FAN:
                # neighbours, so that equal rows stay in their order
                runs, self.runs = self.runs, []
                for start in range(0, len(runs), FAN):
                    self._write(self._merge(runs[start : start + FAN]))
            yield from self._merge(self.runs)
        finally:
            self.close()

    def _merge(self, runs: list[Chunks]) -> Iterator[pl.DataFrame]:
        import polars as pl

        assert self.empty is not None
        columns = self.empty.columns
        at = [0] * len(runs)
        pieces: list[pl.DataFrame | None] = [None] * len(runs)
        while True:
            loaded = []
            for number, run in enumerate(runs):
                piece = pieces[number]
                if at[number] < len(run) and (piece is None or piece.height < run.rows / len(run)):
                    more = run.read(at[number])
                    at[number] += 1
                    piece = more if piece is None else pl.concat([piece, more])
                if piece is not None and piece.height:
                    loaded.append(
                        piece.with_columns(
                            pl.lit(number, pl.UInt32).alias("\0run"),
                            # what follows the last row of a run that has more is not known yet
                            ((pl.int_range(pl.len()) == pl.len() - 1) & pl.lit(at[number] < len(run))).alias("\0last"),
                        )
                    )
            if not loaded:
                break
            frame = self._sorted(loaded)
            bound = frame["\0last"].arg_true()
            cut = bound[0] + 1 if len(bound) else frame.height
            yield frame.head(cut).select(columns)
            rest = frame.slice(cut).drop("\0last").partition_by("\0run", as_dict=True, include_key=False)
            pieces = [rest.get((number,)) for number in range(len(runs))]
        for run in runs:
            run.close()

    def close(self) -> None:
        for run in self.runs:
            with contextlib.suppress(ValueError):
                run.close()


def placed(spool: Spool, places: Any, context: Context) -> Iterator[pl.DataFrame]:
    """The rows of a spool put where `places` (an array of whole numbers, one a row) says. Closes the spool."""
    import polars as pl

    sorter, start = Sorter(context, ["\0place"]), 0
    try:
        for frame in spool:
            numbers = pl.Series("\0place", places[start : start + frame.height], pl.Int64)
            sorter.add(frame.with_columns(numbers))
            start += frame.height
    finally:
        spool.close()
    for frame in sorter:
        yield frame.drop("\0place")


def gathered(batches: Iterator[pl.DataFrame], rows: Callable[[], int], context: Context) -> Iterator[pl.DataFrame]:
    """Batches joined until they have as many rows as `rows()` says, so that what is looked up is not built too often."""
    import polars as pl

    held: list[pl.DataFrame] = []
    size = height = 0
    for batch in batches:
        held.append(batch)
        size += size_of(batch)
        height += batch.height
        if height >= rows() or size > share(context) // 4:
            yield pl.concat(held)
            held, size, height = [], 0, 0
    if held:
        yield pl.concat(held)
