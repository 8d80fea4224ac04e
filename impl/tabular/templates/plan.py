"""How a template is rendered over a batch: which pieces are column expressions, which need Jinja, and how often.

A template is cut at its top level, and inside of its `if`s. A piece that `vectors` understands is a column expression; any
other is rendered by Jinja, once for each distinct tuple of the columns that it reads while that saves at least half of the
work, else row by row. What is set and read again stays together in one piece.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from impl.run.errors import EtlError
from impl.tabular.flow import framed
from impl.tabular.templates import loops, pool
from impl.tabular.templates.elements import WRITTEN
from impl.tabular.templates.jinja import settings_of
from impl.tabular.templates.rows import FailedRowError, Program, RowError
from impl.tabular.templates.syntax import (
    OURS,
    ROW_DATA,
    ROW_NUMBER,
    Parsed,
    closure,
    names_read,
    names_stored,
    row_field,
    walk,
)
from impl.tabular.templates.unroll import unrolled
from impl.tabular.templates.values import NAN, json_texts, texts, values, widened
from impl.tabular.templates.vectors import NOTHING, ROW, Compiler, NotVectorError, Vector

if TYPE_CHECKING:
    import polars as pl

FEW = 3  # columns of a piece that is tried by distinct values for longer
TRIAL = 60_000  # rows after which the distinct values of a piece have to have saved half of the renderings
CACHED = 65_536  # texts kept of a piece,
CACHED_CHARACTERS = 32 << 20  # and their size
PARALLEL_AFTER = 1.0  # seconds that a piece may take in this process; the rest is sent to others
PARALLEL_ROWS = 200  # rows whose time is taken first, then that of more and more,
MEASURED = 0.1  # until it is this part of PARALLEL_AFTER
WORTH_SENDING = 0.02  # part of PARALLEL_AFTER that the rest of a batch has to take
JOB_SECONDS = 0.5  # that a process is given to do at once


class Cache:
    """Texts by the values that they were rendered from; the longest unused go first."""

    def __init__(self) -> None:
        self.found: OrderedDict[Any, str] = OrderedDict()
        self.size = 0

    def get(self, key: Any) -> str | None:
        text = self.found.get(key)
        if text is not None:
            self.found.move_to_end(key)
        return text

    def put(self, key: Any, text: str) -> None:
        self.found[key] = text
        self.size += len(text)
        while len(self.found) > CACHED or self.size > CACHED_CHARACTERS:
            self.size -= len(self.found.popitem(last=False)[1])


@dataclass
class Fixed:
    """Text that is the same in every row."""

    text: str


@dataclass
class Columns:
    """A column expression. node: what Jinja renders in the rows where the expression is not right; odd: says which those are.

    names: columns that are read; nulls: columns where something missing makes a row odd; doubts: whether one is for another reason.
    """

    plan: Plan
    vector: Vector
    node: nodes.Node
    names: frozenset[str]
    odd: Any = None  # an expression, or None where the expression is always right
    nulls: Sequence[str] = ()
    doubts: Any = None  # likewise

    @cached_property
    def rest(self) -> Rows:
        return self.plan.rows([self.node])


class Rows:
    """A piece for Jinja."""

    def __init__(self, plan: Plan, body: Sequence[nodes.Node], *, loop: bool = True, ordered: bool = False) -> None:
        self.plan, self.body, self.loop, self.ordered = plan, list(body), loop, ordered
        read = closure(names_read(body), plan.definitions)
        needed = [plan.definitions[name] for name in plan.definitions if name in read]
        fields = {name for one in [*needed, *body] for part in walk(one) if (name := row_field(part)) is not None}
        whole = plan.parsed.whole_row and (not loop or ROW_DATA in read)
        self.names = [name for name in plan.types if whole or name in read or name in fields]
        self.numbered = (ROW_NUMBER in read or not loop) and ROW_NUMBER not in plan.types
        row = loop and ROW_DATA in read
        self.program = Program(
            plan.environment,
            [*needed, *body],
            [*self.names, *([ROW_NUMBER] if self.numbered else [])],
            loop=loop,
            row=row,
            selfish=plan.selfish,
            numbered=self.numbered,
        )
        kinds = [plan.types[name] for name in self.names]
        self.distinct = not (
            ordered or ROW_NUMBER in read or any(one.is_float() or one.is_nested() or one == _object() for one in kinds)
        )
        self.cache, self.lock = Cache(), threading.Lock()
        self.seen = self.rendered = 0
        self.seconds, self.timed = 0.0, 0  # that rows took in this process, and how many they were

    def evaluate(self, frame: pl.DataFrame) -> pl.Series:
        """The texts of `frame`'s rows. Raises RowError, whose index is the number of the row."""
        import polars as pl

        count = frame.height
        if not count:
            return pl.Series([], dtype=pl.String)
        if not self.names and self.distinct:
            return _series(self.render(frame.head(1))).new_from_index(0, count)
        if self.distinct and count > 1:
            return self.by_distinct_values(frame)
        return _series(self.render(frame))

    def by_distinct_values(self, frame: pl.DataFrame) -> pl.Series:
        # to count rows that differ costs a tenth of finding them
        if len(self.names) > FEW and self.judge(frame.height, frame.select(self.names).hash_rows().n_unique()):
            return _series(self.render(frame))
        different = frame.select([*self.names, ROW]).unique(subset=self.names, keep="first", maintain_order=True)
        if self.judge(frame.height, different.height):
            return _series(self.render(frame))
        with self.lock:
            keys = different.select(self.names).rows() if len(self.names) > 1 else different[self.names[0]].to_list()
            found = [self.cache.get(key) for key in keys]
            unknown = [place for place, text in enumerate(found) if text is None]
            if unknown:
                fresh = self.render(different[unknown] if len(unknown) < len(keys) else different)
                for place, text in zip(unknown, fresh, strict=True):
                    found[place] = text
                    self.cache.put(keys[place], text)
            self.seen += frame.height
            self.rendered += len(unknown)
        lookup = different.select(self.names).with_columns(_series(found).alias(ROW))
        return frame.select(self.names).join(lookup, on=self.names, how="left", nulls_equal=True, maintain_order="left")[ROW]

    def judge(self, count: int, different: int) -> bool:
        """Whether distinct values are given up: most rows differ, in this batch and so far."""
        if (len(self.names) > FEW and different * 2 > count >= 1000) or (self.seen >= TRIAL and self.rendered * 2 > self.seen):
            self.distinct = False
        if not self.distinct:
            self.cache = Cache()
        return not self.distinct

    def render(self, frame: pl.DataFrame) -> list[str]:
        """One after the other, or in other processes where it takes long."""
        columns = [values(frame[name], self.plan.missing) for name in self.names]
        if self.numbered:
            columns.append(frame[ROW].to_list())
        try:
            return self.render_rows(columns, frame.height)
        except RowError as error:
            row = {name: column[error.index] for name, column in zip(self.program.names, columns, strict=True)}
            raise FailedRowError(frame[ROW][error.index], row, error) from None

    def render_rows(self, columns: list[list], count: int) -> list[str]:
        """Render `count` rows: more and more of them here, until it is known how long the rest takes. Raises RowError."""
        workers = pool.workers(self.plan.workers)
        if workers < 2 or not self.portable():
            return self.program.render(columns, count)
        self.program.template()  # compiling it says nothing about rows
        texts: list[str] = []
        size = PARALLEL_ROWS
        while (done := len(texts)) < count:
            rest = count - done
            if self.seconds > MEASURED * PARALLEL_AFTER:
                expected = self.seconds / self.timed * rest
                if self.seconds + expected > PARALLEL_AFTER and expected > WORTH_SENDING * PARALLEL_AFTER:
                    return texts + self.render_in_pool(workers, columns, count, done)
                size = rest
            size = min(size, rest)
            some = columns if size == count else [one[done : done + size] for one in columns]
            started = time.perf_counter()
            try:
                texts += self.program.render(some, size)
            except RowError as error:
                raise error.behind(done) from None
            self.seconds += time.perf_counter() - started
            self.timed += size
            size *= 2
        return texts

    def render_in_pool(self, workers: int, columns: list[list], count: int, done: int) -> list[str]:
        program = self.program
        how = (program.loop, program.row, program.selfish, program.numbered)
        rest = [one[done:] for one in columns]
        # Small enough that a run that is broken off does not wait for long, and that all processes end at about the same time.
        size = max(min(int(JOB_SECONDS * self.timed / self.seconds), -(-(count - done) // (workers * 2))), 1)
        settings = settings_of(self.plan.environment)
        try:
            return pool.render_in_pool(workers, settings, program.source, program.names, rest, count - done, size, how)
        except RowError as error:
            raise error.behind(done) from None

    def portable(self) -> bool:
        """Whether another process can make the same environment."""
        environment = self.plan.environment
        return not self.ordered and hasattr(environment, "settings") and set(environment.globals) <= {*DEFAULT_NAMESPACE, *OURS}


@dataclass
class Branches:
    """An `if` with pieces for Jinja inside. tests: a truth for each body but the last, or a piece that writes something."""

    tests: list[Vector | Rows]
    bodies: list[list[Part]]
    whole: Rows  # for rows where a test is no expression
    odd: Any = None

    def evaluate(self, frame: pl.DataFrame, plan: Plan) -> pl.Series:
        import polars as pl

        place = "\x00place"
        rest = frame.with_columns(pl.int_range(pl.len()).alias(place))
        found: list[pl.Series] = []
        places: list[pl.Series] = []

        def take(part: pl.DataFrame, written: pl.Series) -> None:
            found.append(written)
            places.append(part[place])

        if self.odd is not None:
            odd = rest.select(self.odd).to_series()
            if odd.any():
                part = rest.filter(odd)
                take(part, self.whole.evaluate(part))
                rest = rest.filter(~odd)
        for test, body in zip(self.tests, self.bodies, strict=False):
            if isinstance(test, Rows):
                holds = test.evaluate(rest) != ""
            else:
                holds = rest.select(test.expr).to_series() if rest.height else pl.Series([], dtype=pl.Boolean)
                holds = holds.new_from_index(0, rest.height) if holds.len() == 1 != rest.height else holds
            part = rest.filter(holds)
            take(part, plan.write(body, part))
            rest = rest.filter(~holds)
        take(rest, plan.write(self.bodies[-1], rest))
        order = pl.concat(places).arg_sort()
        return pl.concat(found).gather(order)


Part = Fixed | Columns | Rows | Branches | loops.Loop


class Plan:
    """A template for one schema. types: of the columns, as the template sees them. as_written: with its loops as they stand."""

    def __init__(
        self,
        environment: jinja2.Environment,
        parsed: Parsed,
        types: dict[str, Any],
        *,
        operation: bool,
        workers: int,
        as_written: bool = False,
    ) -> None:
        if not as_written:
            parsed = unrolled(environment, parsed, list(types), not operation)
        self.environment, self.parsed, self.types, self.workers = environment, parsed, types, workers
        self.operation, self.selfish = operation, not operation
        self.missing: Any = NAN if operation else ""
        self.definitions: dict[str, nodes.Node] = dict(parsed.portable)
        written = {name[len(WRITTEN) :]: name for name in types if name.startswith(WRITTEN)}
        # what macros are given, and set, has its name in them alone
        meant = {*names_stored(parsed.body), *parsed.portable, *(set(environment.globals) - set(types))}
        self.compiler = Compiler(types, meant, written=written)
        self.compiler.macros = {name: one for name, one in parsed.portable.items() if isinstance(one, nodes.Macro)}
        # values that a template can change: what reads them stays in one program
        self.shared = {name for name, kind in types.items() if kind.is_nested() or kind == _object()}
        self.shared |= {ROW_DATA} if parsed.whole_row else set()
        if parsed.context or parsed.ordered:
            self.parts: list[Part] = [Rows(self, parsed.body, loop=not parsed.context, ordered=parsed.ordered)]
        else:
            self.parts = self.cut(self.without_values(parsed.body))
        self.json = self.json_needed()
        self.needed = self.columns_needed(self.parts)
        self.needed |= {name for _, vector in self.json for name in vector.names}
        self.numbered = not self.is_plain() or any(
            ROW in vector.expr.meta.root_names() for vector in [*self.vectors(self.parts), *(one for _, one in self.json)]
        )

    def inner(self, parsed: Parsed, types: dict[str, Any]) -> Plan:
        """A plan for the body of a loop over a table of its elements, where what is missing was made None."""
        made = Plan(self.environment, parsed, types, operation=False, workers=self.workers)
        made.missing = None
        return made

    def is_plain(self) -> bool:
        """Whether nothing in it needs Jinja, but for rows that are odd."""
        return all(isinstance(one, Fixed | Columns) for one in self.parts)

    def is_worth_it(self) -> bool:
        """Whether so little needs Jinja that a loop costs less as a table."""
        jinja = sum(1 for one in self.parts if isinstance(one, Rows) and one.names)
        return not jinja or jinja * 2 < sum(1 for one in self.parts if not isinstance(one, Fixed))

    # --- cutting -------------------------------------------------------------------------------------------------------------

    def without_values(self, body: list[nodes.Node]) -> list[nodes.Node]:
        """The body without `set`s of plain values: what they are set to is known wherever it is read."""
        stored = names_stored([*body, *self.parsed.portable.values()])
        before: set[str] = set()
        kept = []
        for node in body:
            if (
                isinstance(node, nodes.Assign)
                and isinstance(node.target, nodes.Name)
                and stored.count(node.target.name) == 1
                and node.target.name not in before | names_read([node.node])
                and (self.understood(node.node) or self.is_list(node, body))
            ):
                self.definitions[node.target.name] = node
                self.compiler.values = {**self.compiler.values, node.target.name: node.node}
            else:
                before |= closure(names_read([node]), self.definitions)
                kept.append(node)
        return kept

    def is_list(self, node: nodes.Assign, body: list[nodes.Node]) -> bool:
        """Whether it is a list that is only gone through."""
        name = node.target.name if isinstance(node.target, nodes.Name) else ""
        return loops.source(node.node, self) is not None and loops.is_read_by_loops(name, body, self)

    def understood(self, node: nodes.Node) -> bool:
        try:
            return self.compiler.value(node).kind != NOTHING
        except NotVectorError:
            return False

    def cut(self, body: Iterable[nodes.Node]) -> list[Part]:
        pieces: list[nodes.Node] = []
        for node in body:
            pieces += node.nodes if isinstance(node, nodes.Output) else [node]
        together = _together(pieces, self.definitions, self.shared)
        parts: list[Part] = []
        place = 0
        while place < len(pieces):
            end = together.get(place)
            parts.append(self.piece(pieces[place]) if end is None else self.rows(pieces[place : end + 1]))
            place = place + 1 if end is None else end + 1
        return _merged(self, parts)

    def rows(self, pieces: Sequence[nodes.Node]) -> Rows:
        return Rows(self, [nodes.Output([one]) if isinstance(one, nodes.Expr | nodes.TemplateData) else one for one in pieces])

    def piece(self, node: nodes.Node) -> Part:
        try:
            if isinstance(node, nodes.If):
                return self.columns(self.compiler.branches(node), node)
            if isinstance(node, nodes.Expr):
                return self.columns(self.compiler.output(node), node)
        except NotVectorError:
            if isinstance(node, nodes.If):
                return self.branches(node)
        whole = self.rows([node])
        return (loops.loop(node, self, whole) if isinstance(node, nodes.For) else None) or whole

    def columns(self, vector: Vector, node: nodes.Node) -> Part:
        if vector.constant is not ...:
            return Fixed(vector.constant)
        nulls, doubts = self.nulls([vector]), self.doubts([vector])
        odd = self.odd([vector])
        names = vector.names if odd is None else vector.names | closure(names_read([node]), self.definitions) & set(self.types)
        if odd is not None and any(row_field(one) is not None for one in walk(node)):
            names |= set(self.rows([node]).names)
        return Columns(self, vector, node, names, odd, nulls, _any(doubts))

    def odd(self, vectors: Sequence[Vector]) -> Any:
        """An expression that is true where one of `vectors` is not right."""
        import polars as pl

        return _any([*(pl.col(name).is_null() for name in self.nulls(vectors)), *self.doubts(vectors)])

    def nulls(self, vectors: Sequence[Vector]) -> list[str]:
        """Columns in which something missing is not what `vectors` take it for."""
        return sorted({name for one in vectors for name in one.names}) if self.operation else []

    def doubts(self, vectors: Sequence[Vector]) -> list[Any]:
        """Conditions on what is there under which `vectors` are not right."""
        import polars as pl

        conditions = []
        for name in sorted({name for one in vectors for name in one.ascii if self.types[name] == pl.String}):
            conditions.append(pl.col(name).str.len_bytes() != pl.col(name).str.len_chars())
        for one in vectors:
            conditions += [~guard for guard in one.guards]
        return conditions

    def branches(self, node: nodes.If) -> Part:
        """An `if` whose bodies are cut, unless it reads so little that its distinct values are few."""
        whole = self.rows([node])
        if len(whole.names) <= FEW or closure(names_read([node]), self.definitions) & self.shared:
            return whole
        tests: list[Vector | Rows] = []
        for one in [node, *node.elif_]:
            try:
                test = self.compiler.truth(one.test)
                tests.append(test)
            except NotVectorError:
                asked = self.rows([nodes.If(one.test, [nodes.Output([nodes.TemplateData("1")])], [], [], lineno=one.lineno)])
                if len(asked.names) > FEW:
                    return whole
                tests.append(asked)
        bodies = [self.cut(one.body) for one in [node, *node.elif_]] + [self.cut(node.else_)]
        if all(len(body) == 1 and isinstance(body[0], Rows) for body in bodies if body):
            return whole
        return Branches(tests, bodies, whole, self.odd([one for one in tests if isinstance(one, Vector)]))

    def json_needed(self) -> list[tuple[str, Vector]]:
        used = {name for vector in self.vectors(self.parts) for name in vector.expr.meta.root_names()}
        return [(name, vector) for name, vector in self.compiler.json.values() if name in used]

    def vectors(self, parts: Iterable[Part]) -> list[Vector]:
        found = []
        for one in parts:
            if isinstance(one, Columns):
                found.append(one.vector)
            elif isinstance(one, Branches):
                found += [test for test in one.tests if isinstance(test, Vector)]
                found += [vector for body in one.bodies for vector in self.vectors(body)]
        return found

    def columns_needed(self, parts: Iterable[Part]) -> set[str]:
        found: set[str] = set()
        for one in parts:
            if isinstance(one, Rows):
                found |= set(one.names)
            elif isinstance(one, Columns):
                found |= one.names
            elif isinstance(one, Branches):
                found |= set(one.whole.names) | self.columns_needed(part for body in one.bodies for part in body)
            elif isinstance(one, loops.Loop):
                found |= set(one.whole.names) | set(one.names)
        return found

    # --- rendering -----------------------------------------------------------------------------------------------------------

    def evaluate(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """The texts of a batch with the columns that the template needs. Raises FailedRowError."""

        frame = _with_numbers(batch, start) if self.numbered else batch
        if self.json and frame.height:
            made = frame.select([vector.expr.alias(name) for name, vector in self.json])
            frame = frame.with_columns([json_texts(made[name]).alias(name) for name, _ in self.json])
        return self.write(self.parts, frame, start)

    def write(self, parts: Sequence[Part], frame: pl.DataFrame, start: int = 0) -> pl.Series:
        """All parts, one behind the other. start: how many rows came before, where `frame` has no numbers."""
        import polars as pl

        count = frame.height
        if not count:
            return pl.Series([], dtype=pl.String)
        if all(isinstance(one, Fixed) for one in parts):
            return pl.Series(["".join(one.text for one in parts if isinstance(one, Fixed))]).new_from_index(0, count)
        asked = [one.doubts for one in parts if isinstance(one, Columns) and one.doubts is not None]
        some = iter(frame.select([one.any().alias(str(place)) for place, one in enumerate(asked)]).row(0) if asked else ())
        made: list[pl.Series] = []
        pieces: list[Any] = []
        for one in parts:
            if isinstance(one, Fixed):
                pieces.append(pl.lit(one.text))
                continue
            if isinstance(one, Columns):
                doubted = one.doubts is not None and next(some)
                if not doubted and not any(frame[name].null_count() for name in one.nulls):
                    pieces.append(one.vector.expr)
                    continue
                written = self.mended(one, frame if ROW in frame.columns else _with_numbers(frame, start))
            elif isinstance(one, Branches):
                written = one.evaluate(frame, self)
            else:
                written = one.evaluate(frame)
            made.append(written.alias(f"\x00made{len(made)}"))
            pieces.append(pl.col(made[-1].name))
        if len(pieces) == 1 and made:
            return made[0]
        return (frame.hstack(made) if made else frame).select(pl.concat_str(pieces).alias(ROW)).to_series()

    def mended(self, one: Columns, frame: pl.DataFrame) -> pl.Series:
        """An expression with the rows where it is not right rendered by Jinja."""
        odd, written = frame.select(one.odd.alias("odd"), one.vector.expr.alias("written")).get_columns()
        rendered = one.rest.evaluate(frame.filter(odd))
        return rendered.gather((odd.cast(int).cum_sum() - 1).clip(0)).zip_with(odd, written)


def prepared(
    batch: pl.DataFrame, names: frozenset[str] | None, plan_for: Callable[[dict[str, Any]], Plan], operation: bool
) -> tuple[Plan, pl.DataFrame]:
    """The plan for a batch's schema, and the columns that it needs as the template sees them. names: that it may read; None: all."""
    import polars as pl

    batch = widened(batch)
    if names is not None:
        # without a query, which costs more than the rest where an operation has few rows
        batch = framed(one for one in batch.get_columns() if one.name in names)
    types: dict[str, Any] = dict(batch.schema)
    if not operation:
        types = {name: pl.String if _scalar(kind) else kind for name, kind in types.items()}
    plan = plan_for(types)
    needed = [one for one in batch.get_columns() if one.name in plan.needed]
    return plan, framed(needed if operation else map(texts, needed))


def _with_numbers(frame: pl.DataFrame, start: int) -> pl.DataFrame:
    """With the number of each row, from 1 for the first of all."""
    import polars as pl

    numbers = pl.int_range(start + 1, start + 1 + frame.height, eager=True).alias(ROW)
    return framed([*frame.get_columns(), numbers])


def _any(conditions: Sequence[Any]) -> Any:
    """Whether one of them holds or cannot be told; None where there is none."""
    import polars as pl

    return pl.any_horizontal(conditions).fill_null(True) if conditions else None


def _scalar(kind: Any) -> bool:
    import polars as pl

    return (
        kind in (pl.String, pl.Null, pl.Boolean)
        or kind.is_integer()
        or kind.is_float()
        or isinstance(kind, pl.Categorical | pl.Enum)
    )


def _object() -> Any:
    import polars as pl

    return pl.Object


def _series(found: Sequence[str | None]) -> pl.Series:
    import polars as pl

    try:
        return pl.Series(found, dtype=pl.String)
    except UnicodeEncodeError as error:
        raise EtlError(
            "a text of a template is no Unicode",
            f"{error.object[error.start : error.end]!r}",
            "it has half of a surrogate pair",
        ) from None


def _binds(node: nodes.Node) -> set[str]:
    """Names that a piece sets for those behind it."""
    if isinstance(node, nodes.Assign | nodes.Macro | nodes.Import | nodes.FromImport):
        return set(names_stored([node.target if isinstance(node, nodes.Assign) else node])) | _attributes_set(node)
    if isinstance(node, nodes.AssignBlock):
        return set(names_stored([node.target])) | _attributes_set(node)
    if isinstance(node, nodes.If | nodes.Output | nodes.ScopedEvalContextModifier):
        return {name for one in node.iter_child_nodes() for name in _binds(one)}
    return set()


def _attributes_set(node: nodes.Node) -> set[str]:
    """Namespaces of which a piece sets an attribute."""
    return {one.name for one in walk(node) if isinstance(one, nodes.NSRef)}


def _together(pieces: Sequence[nodes.Node], definitions: dict[str, nodes.Node], shared: set[str]) -> dict[int, int]:
    """Which pieces have to be rendered by one program: from the one that sets a name to the last that reads it."""
    read = [closure(names_read([one]), definitions) | _attributes_set(one) for one in pieces]
    spans: list[tuple[int, int]] = []
    first: set[str] = set()
    for place, node in enumerate(pieces):
        bound = _binds(node) | (read[place] & shared - first)
        first |= read[place]
        last = max((later for later in range(place, len(pieces)) if read[later] & bound), default=place) if bound else place
        if spans and spans[-1][1] >= place:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        elif last > place or _binds(node):
            spans.append((place, last))
    return dict(spans)


def _merged(plan: Plan, parts: list[Part]) -> list[Part]:
    """Neighbours that need Jinja in one piece, if they then still read few columns or read many anyhow; fixed texts joined."""
    done: list[Part] = []
    for one in parts:
        last = done[-1] if done else None
        if isinstance(one, Fixed) and isinstance(last, Fixed):
            done[-1] = Fixed(last.text + one.text)
        elif isinstance(one, Rows) and isinstance(last, Rows) and _fit(last, one):
            done[-1] = Rows(plan, [*last.body, *one.body])
        elif (
            isinstance(one, Rows)
            and isinstance(last, Fixed)
            and len(done) > 1
            and isinstance(before := done[-2], Rows)
            and _fit(before, one)
        ):
            done[-2:] = [Rows(plan, [*before.body, nodes.Output([nodes.TemplateData(last.text)]), *one.body])]
        else:
            done.append(one)
    return done


def _fit(one: Rows, other: Rows) -> bool:
    together = len({*one.names, *other.names})
    return together <= max(len(one.names), len(other.names)) or (len(one.names) > FEW and len(other.names) > FEW)
