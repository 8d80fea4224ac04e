"""Runs a plan: batches are pulled through the nodes by the destinations.

A node that one other reads hands its batches on as they come. What several read is computed once and put aside (spool),
in memory while it is small and in a file of the run's folder beyond that.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from impl.run.errors import EtlError
from impl.run.files import alive, replacing, this_host
from impl.tabular.flow import Column, Context, Flow
from impl.tabular.operation import RowWise
from impl.tabular.plan import Plan, Step
from impl.tabular.spill import Spool
from impl.tabular.templates import pool

if TYPE_CHECKING:
    import polars as pl

AHEAD = 2  # batches that are made while the one before is worked on
QUARANTINE = "quarantine"
SCRATCH = "tabular-"  # how the name of a run's folder begins
WARNING = "warning: "  # how a line begins that counts among the outcome's warnings


class Output(NamedTuple):
    """A file as it was written."""

    path: Path
    sha256: str


@dataclass
class Outcome:
    """What a run did. counts: rows by node; written: by destination."""

    counts: dict[str, int] = field(default_factory=dict)
    written: dict[str, Output] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def run_plan(
    plan: Plan,
    *,
    say: Callable[[str], None] = lambda line: None,
    folder: Path | None = None,
    deliver: Callable[[Step, Flow, Context], int | None] = lambda step, flow, context: None,
    counted: bool = False,
    hashed: bool = False,
) -> Outcome:
    """Write all destinations of the plan. deliver: takes a destination's rows elsewhere (a store), or None where it is a file.

    counted: nodes are read to their end where what comes behind them (`limit_rows`) wants less, so that their counts are whole.
    hashed: files are hashed as they are written.
    """
    config = plan.document.config
    outcome = Outcome()
    with _scratch(folder or (Path(config.tmp_dir) if config.tmp_dir else None)) as scratch:

        def tell(line: str) -> None:
            if line.startswith(WARNING):
                outcome.warnings.append(line.removeprefix(WARNING))
            say(line)

        context = Context(
            folder=scratch,
            memory_limit=config.memory_limit,
            workers=config.workers,
            say=tell,
            hashed=hashed,
        )
        flows = _Flows(plan, context, outcome, to_the_end=counted)
        for step in plan.destinations:
            flow = flows.of(step.reads[0])
            flow = flows.guarded(step, flow)
            rows = deliver(step, flow, context)
            if rows is None:
                rows = step.part.write(flow, Path(config.output_dir), context)
                outcome.written[step.ref] = Output(step.part.file(Path(config.output_dir)), step.part.sha256)
            outcome.counts[step.ref] = rows
            say(f"[+] {step.ref}  {rows:,} rows")
    return outcome


def show(plan: Plan, ref: str, limit: int) -> pl.DataFrame:
    """The first rows of a node."""
    import polars as pl

    config = plan.document.config
    with _scratch(Path(config.tmp_dir) if config.tmp_dir else None) as scratch:
        context = Context(folder=scratch, memory_limit=config.memory_limit, workers=1)
        taken: list[pl.DataFrame] = []
        for batch in _Flows(plan, context, Outcome(), [ref], to_the_end=None).of(ref).batches():
            taken.append(batch.head(limit - sum(one.height for one in taken)))
            if sum(one.height for one in taken) >= limit:
                break
        return pl.concat(taken, how="vertical_relaxed")


class _Flows:
    """The flow of each node, made when it is first asked for. whole: nodes of which all columns are wanted.

    to_the_end: all rows of each node are read; False: of nodes that promise something of them; None: of none.
    """

    def __init__(
        self, plan: Plan, context: Context, outcome: Outcome, whole: Collection[str] = (), to_the_end: bool | None = False
    ) -> None:
        self.plan, self.context, self.outcome = plan, context, outcome
        self.read = plan.columns_read(whole)
        self.to_the_end = to_the_end
        self._made: dict[str, Flow] = {}

    def of(self, ref: str) -> Flow:
        if ref not in self._made:
            step = self.plan.steps[ref]
            flow = self._counted(step, self.guarded(step, self._flow(step)))
            # A union or join may name one node twice: each time is a reader.
            readers = sum(one.reads.count(ref) for one in self.plan.steps.values())
            self._made[ref] = self._spooled(flow) if readers > 1 else flow
        return self._made[ref]

    def _flow(self, step: Step) -> Flow:
        if step.kind == "sources":
            return _ahead(step.part.flow(self.context, self.read[step.ref]))
        flow = self.of(step.reads[0])
        others = iter(step.reads[1:])
        together: list[RowWise] = []
        for one in step.part:
            if isinstance(one, RowWise):
                together.append(one)
                continue
            flow = _row_wise(flow, together, self.context)
            together = []
            flow = _one(one, [flow, *(self.of(next(others)) for _ in one.sources)], self.context)
        return _row_wise(flow, together, self.context)

    def guarded(self, step: Step, flow: Flow) -> Flow:
        """With what the node promises looked at. Rows that are asked for again are held to it again, but that is told once."""
        guard = step.guard
        if not (guard.expect or guard.require_rows or guard.debug):
            return flow
        shown = told = False

        def batches() -> Iterator[pl.DataFrame]:
            nonlocal shown, told
            rows = 0
            expectations = _Expectations(step, self.plan, self.context, self.outcome) if guard.expect else None
            for batch in flow.batches():
                if guard.debug and not shown and batch.height:
                    shown = True
                    self.context.say(f"{step.ref}: {batch.columns}\n{batch.head(5)}")
                kept = expectations.of(batch) if expectations else batch
                rows += kept.height
                yield kept
            if expectations and not told:
                told = True
                expectations.end()
            if rows < guard.require_rows:
                raise EtlError(
                    f"{step.ref} has {rows} rows, {guard.require_rows} or more are required",
                    where=step.spec.where("require_rows"),
                    hint="look at what comes in: `tabular.show`",
                )

        promised = bool(guard.expect or guard.require_rows) and self.to_the_end is not None
        return Flow(flow.columns, batches, flow.again, flow.to_the_end or promised)

    def _counted(self, step: Step, flow: Flow) -> Flow:
        counts = self.outcome.counts

        def batches() -> Iterator[pl.DataFrame]:
            counts[step.ref] = 0
            for batch in flow.batches():
                counts[step.ref] += batch.height
                yield batch

        return Flow(flow.columns, batches, flow.again, flow.to_the_end or bool(self.to_the_end))

    def _spooled(self, flow: Flow) -> Flow:
        """Computed once, at the first time that it is asked for."""
        spool = Spool(self.context)
        filled = False

        def batches() -> Iterator[pl.DataFrame]:
            nonlocal filled
            if not filled:
                for batch in flow.batches():
                    spool.add(batch)
                filled = True
            yield from spool

        return Flow(flow.columns, batches, again=True, to_the_end=flow.to_the_end)


class _Expectations:
    """The expectations of a node: a row fails where one of them renders as `False`."""

    def __init__(self, step: Step, plan: Plan, context: Context, outcome: Outcome) -> None:
        self.step, self.plan, self.context, self.outcome = step, plan, context, outcome
        self.row, self.failed, self.first = 0, 0, ""
        self.aside: list[Any] = []

    def of(self, batch: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        bad = pl.Series([False] * batch.height, dtype=pl.Boolean)
        why = [""] * batch.height
        for test in self.step.guard.expect:
            text = str(test.value)[2:-2]
            found = test.evaluate(batch, self.row).cast(pl.String) == "False"
            for at in found.arg_true().to_list():
                why[at] = why[at] or text
                if not self.first:
                    self.first = f"row {self.row + at + 1:,}: `{text}`, {dict(batch.row(at, named=True))}"[:300]
            bad = bad | found
        rows = int(bad.sum())
        if rows and self.step.guard.on_fail == QUARANTINE:
            extra = [
                pl.Series("__row_number__", range(self.row + 1, self.row + batch.height + 1)),
                pl.Series("__expect__", why),
            ]
            self.aside.append(batch.with_columns(extra).filter(bad))
        self.failed += rows
        self.row += batch.height
        return batch.filter(~bad) if rows and self.step.guard.on_fail == QUARANTINE else batch

    def end(self) -> None:
        if self.step.guard.on_fail == QUARANTINE and not self.failed:
            self._target.unlink(missing_ok=True)  # of a run before this one
        if not self.failed:
            return
        what = f"{self.failed:,} of {self.row:,} rows of {self.step.ref} are not as expected"
        if self.step.guard.on_fail == "error":
            raise EtlError(
                what, where=f"{self.step.spec.where('expect')}; {self.first}", hint="`on_fail: warn` or `quarantine` goes on"
            )
        if self.step.guard.on_fail == QUARANTINE:
            what += f"; they are in {self._quarantine()}"
        self.context.say(f"{WARNING}{what} ({self.first})")

    @property
    def _target(self) -> Path:
        return Path(self.plan.document.config.output_dir) / QUARANTINE / f"{self.step.ref.removeprefix('$')}.csv"

    def _quarantine(self) -> Path:
        import polars as pl

        with replacing(self._target) as part:
            pl.concat(self.aside, how="vertical_relaxed").write_csv(part)
        return self._target


def _row_wise(flow: Flow, operations: list[RowWise], context: Context) -> Flow:
    """Neighbouring operations in one pass over the batches."""
    if not operations:
        return flow

    def batches() -> Iterator[pl.DataFrame]:
        for one in operations:
            one.begin(context)
        for batch in flow.batches():
            done = batch
            for one in operations:
                done = one.apply(done)
            yield done

    return Flow(_after(flow.columns, operations), batches, flow.again, flow.to_the_end)


def _one(operation: Any, flows: list[Flow], context: Context) -> Flow:
    columns = operation.columns([one.columns for one in flows])
    held = [_Held(one) for one in flows if one.to_the_end]
    if not held:
        return Flow(columns, lambda: operation.run(flows, context))
    others = iter(held)
    given = [Flow(one.columns, next(others).batches, one.again) if one.to_the_end else one for one in flows]

    def batches() -> Iterator[pl.DataFrame]:
        yield from operation.run(given, context)
        for one in held:
            one.finish()

    return Flow(columns, batches, to_the_end=True)


class _Held:
    """A flow that is read to its end, whatever an operation takes of it."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.read = flow, False
        self.rest: Iterator[pl.DataFrame] | None = None

    def batches(self) -> Iterator[pl.DataFrame]:
        self.rest = self.flow.batches()
        for batch in self.rest:  # noqa: UP028 - that would end it with who asked
            yield batch
        self.read = True

    def finish(self) -> None:
        for _ in () if self.read else self.rest or self.flow.batches():
            pass


def _after(columns: list[Column] | None, operations: list[RowWise]) -> list[Column] | None:
    for one in operations:
        columns = one.columns([columns])
    return columns


def _ahead(flow: Flow) -> Flow:
    """The next batches are read by a thread while this one is worked on."""

    def batches() -> Iterator[pl.DataFrame]:
        ready: queue.Queue[Any] = queue.Queue(AHEAD)
        stop = threading.Event()

        def put(thing: Any) -> bool:
            while not stop.is_set():
                try:
                    ready.put(thing, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def read() -> None:
            try:
                for batch in flow.batches():
                    if not put(batch):
                        return
                put(None)
            except BaseException as error:  # noqa: BLE001 - raised where the batches are asked for
                put(error)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        # a batch without rows costs each operation as much as one with few: it only passes where there is no other
        empty, any_rows = None, False
        try:
            while (batch := ready.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                if not batch.height:
                    empty = batch
                    continue
                any_rows = True
                yield batch
            if not any_rows and empty is not None:
                yield empty
        finally:
            stop.set()
            thread.join()

    return Flow(flow.columns, batches, flow.again)


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    """The folder of a run. At its end, however it ends, the folder and the processes that rendered for it are gone.

    What a run that was killed has left goes with the next one: the name has the host and the number of the process.
    """
    within = folder or Path(tempfile.gettempdir())
    try:
        within.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise EtlError("the folder for temporary files is a file", where=within, hint="look at `config.tmp_dir`") from error
    own = f"{SCRATCH}{this_host()}-"
    for left in within.glob(f"{own}*-*"):
        number = left.name.removeprefix(own).partition("-")[0]
        if number.isdecimal() and not alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{own}{os.getpid()}-", dir=within))
    try:
        with pool.ended():
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
