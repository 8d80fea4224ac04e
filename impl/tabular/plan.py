"""The plan of a document: every node read and checked, in an order in which each comes after what it reads."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError
from impl.tabular.flow import Column
from impl.tabular.operation import OPERATIONS, Operation
from impl.tabular.spec import GLOBAL_KEYS, Map, Problems, SkippedError, Spec, nearest

ON_FAIL = ("error", "warn", "quarantine")
KINDS = ("sources", "transformations", "destinations")
_REFERENCE = re.compile(r"^\$(sources|transformations)\.(.+)$")


@dataclass
class Guard:
    """What a node promises of its rows. expect: Jinja expressions; require_rows: at least so many; debug: print its head."""

    expect: list[Any] = field(default_factory=list)
    on_fail: str = "error"
    require_rows: int = 0
    debug: bool = False

    @property
    def whole_rows(self) -> bool:
        """Whether more is looked at than how many rows there are."""
        return bool(self.expect or self.debug)


@dataclass
class Step:
    """A node of the plan. part: the source, the operations or the destination; reads: refs of the nodes that it reads."""

    ref: str
    node: Any
    spec: Spec
    part: Any
    reads: list[str]
    guard: Guard
    columns: list[Column] | None = None

    @property
    def kind(self) -> str:
        return str(self.node.kind)


@dataclass
class Plan:
    """The steps of a document in their order, and what each is read by."""

    document: Any
    steps: dict[str, Step]
    warnings: list[Any]

    def readers(self, ref: str) -> list[Step]:
        return [step for step in self.steps.values() if ref in step.reads]

    @property
    def destinations(self) -> list[Step]:
        return [step for step in self.steps.values() if step.kind == "destinations"]

    def columns_read(self, whole: Collection[str] = ()) -> dict[str, Set[str] | None]:
        """The columns of each node that others read; None: all of them. whole: nodes that are looked at themselves."""
        found: dict[str, Set[str] | None] = dict.fromkeys(self.steps, frozenset())
        found |= dict.fromkeys(whole)
        for ref, step in reversed(self.steps.items()):
            read = None if step.guard.whole_rows else found[ref]
            found[ref] = read
            if step.kind == "transformations":
                for one in reversed(step.part):
                    read = one.reads(read)
            elif step.kind == "destinations":
                read = None
            # what a further node of a join or a union is read for is not asked
            for number, one in enumerate(step.reads):
                before = found[one]
                found[one] = None if number or read is None or before is None else before | read
        return found

    def files(self) -> list[Path]:
        """All files that decide what comes out, beside the document: data, templates, maps, column positions."""
        return list(dict.fromkeys(file for step in self.steps.values() for file in _files(step)))


def _files(step: Step) -> Iterator[Path]:
    """The files that a node reads."""
    for part in step.part if isinstance(step.part, list) else [step.part]:
        files = getattr(part, "files", ())
        yield from map(Path, files() if callable(files) else files)


def make_plan(document: Any, selector: str = "*", *, trust: bool = False, keep: str = "") -> Plan:
    """Read and check all nodes, and order those that the selector chooses. Raises all problems at once.

    keep: a node that is left in, with what it reads, though no destination is made of it.
    """
    problems: Problems = document.problems
    nodes = {one.ref: one for kind in KINDS for one in getattr(document, kind).values()}
    environment = _environments(document, trust)
    steps: dict[str, Step] = {}
    for ref, node in nodes.items():
        try:
            step = _step(ref, node, nodes, problems, document, environment, trust)
        except SkippedError:
            continue
        except OSError as error:
            _unreadable(error, node.spec(problems))
            continue
        steps[ref] = step
    ordered = _ordered(steps, problems)
    chosen = _chosen(ordered, steps, selector, problems) | with_reads([keep] if keep in steps else [], steps)
    # What is left out may name files that are not there; but where something was found, it may be left out because of that.
    for ref in ordered if problems.found else [one for one in ordered if one in chosen]:
        _columns(steps[ref], steps, problems)
    _own_files(ordered, chosen, steps, document, problems)
    problems.raise_if_any()
    return Plan(document, {ref: steps[ref] for ref in ordered if ref in chosen}, problems.warnings)


def _step(
    ref: str, node: Any, nodes: Any, problems: Problems, document: Any, environment: Callable[[Any], Any], trust: bool
) -> Step:
    spec: Spec = node.spec(problems)
    spec.path = node.path
    spec.environment = environment(node)
    spec.compat = document.config.compat
    guard: Guard | None = None
    try:
        guard = _guard(spec)
    except SkippedError:
        if node.kind != "transformations":
            raise
    if node.kind == "transformations":
        return _transformation(ref, node, nodes, spec, guard)
    assert guard is not None
    if node.kind == "sources":
        from impl.tabular.sources import open_source

        part: Any = open_source(spec, node.path, trust=trust)
        return Step(ref, node, spec, part, [], guard)
    from impl.tabular.destinations import open_destination

    reads: list[str] = []
    with suppress(SkippedError):  # what is wrong with its options is told too
        reads = [_reference(spec, "source", spec.text("source"), nodes)]
    part = open_destination(spec, node.path, environment=spec.environment, variables=document.variables)
    if not reads:
        raise SkippedError
    return Step(ref, node, spec, part, reads, guard)


def _transformation(ref: str, node: Any, nodes: Any, spec: Spec, guard: Guard | None) -> Step:
    import impl.tabular.operations  # noqa: F401 - registers them

    reads: list[str] = []
    with suppress(SkippedError):  # what is wrong below is told too
        reads = [_reference(spec, "source", spec.text("source"), nodes)]
    listed = spec.value("operations")
    if not isinstance(listed, list):
        spec.wrong("`operations` has to be a list", "operations", "write `operations: []` where there is nothing to do")
    spec.done(also=("source", "operations", *GLOBAL_KEYS))
    operations: list[Any] = []
    for number, options in enumerate(listed, 1):
        if not isinstance(options, Map):
            spec.note(f"operation {number} is no mapping", "operations", "write `- operation: NAME` and its options")
            continue
        own = Spec(options, spec.problems, ref, str(options.get("operation", "?")), number)
        own.path, own.environment, own.compat = spec.path, spec.environment, spec.compat
        try:
            name = own.text("operation")
            if name not in OPERATIONS:
                own.wrong(f"there is no operation `{name}`", "operation", nearest(name, OPERATIONS))
            made: Operation = OPERATIONS[name](own)
            reads += [_reference(own, "sources", one, nodes) for one in made.sources]
            operations.append(made)
        except SkippedError:
            _note_missing(own)
            operations.append(_Unread())
    if not reads or guard is None:
        raise SkippedError
    return Step(ref, node, spec, operations, reads, guard)


def _note_missing(spec: Spec) -> None:
    """Reading an operation ends with the first option that is missing or wrong: the others that are missing."""
    from impl.tabular.schema import OPERATIONS as DESCRIBED

    needed = DESCRIBED[spec.name][2] if spec.name in DESCRIBED else ()
    for key in needed:
        near = difflib.get_close_matches(key, [one for one in map(str, spec.options) if one not in needed], n=1, cutoff=0.75)
        if key not in spec.options and not near:
            spec.note(f"`{key}` is missing", None, f"write `{key}:`")


class _Unread:
    """In the place of an operation that could not be read: what columns come out of it is not known."""

    sources = ()

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        return None


def _reference(spec: Spec, key: str, text: str, nodes: Any) -> str:
    if text in nodes and _REFERENCE.match(text):
        return text
    known = [one for one in nodes if _REFERENCE.match(one)]
    spec.wrong(f"there is no node `{text}`", key, nearest(text, known))


def _guard(spec: Spec) -> Guard:
    from impl.tabular.templates import Expression

    expected = spec.value("expect", [])
    listed = expected if isinstance(expected, list) else [expected]
    expect = [Expression(f"{{{{{one}}}}}", spec, "expect", environment=spec.environment) for one in listed]
    on_fail = spec.choice("on_fail", ON_FAIL, "error")
    required = spec.value("require_rows", 0)
    if isinstance(required, bool):
        required = int(required)
    if not isinstance(required, int) or required < 0:
        spec.note("`require_rows` has to be True or a whole number, 0 or more", "require_rows")
        required = 0
    return Guard(expect, on_fail, required, spec.flag("debug"))


def _environments(document: Any, trust: bool) -> Callable[[Any], Any]:
    """One Jinja environment per folder of a document, in a sandbox where the node's text is not the project's own."""
    from impl.tabular.templates import environment

    made: dict[tuple[Path, bool], Any] = {}

    def of(node: Any) -> Any:
        key = (Path(node.file).parent, not (trust or node.trusted))
        if key not in made:
            made[key] = environment(document.macros, key[0], sandboxed=key[1])
        return made[key]

    return of


def _ordered(steps: dict[str, Step], problems: Problems) -> list[str]:
    """Each after what it reads, else in the order of the document; a circle is a problem."""
    ordered: dict[str, None] = {}
    for start in steps:
        path: list[str] = []
        waiting = [(start, False)]
        while waiting:
            ref, done = waiting.pop()
            if done:
                path.pop()
                ordered[ref] = None
            elif ref in path:
                circle = [*path[path.index(ref) :], ref]
                problems.note("nodes read each other in a circle", steps[ref].spec.where(), " -> ".join(circle))
                return []
            elif ref not in ordered and ref in steps:
                path.append(ref)
                waiting.append((ref, True))
                waiting += [(one, False) for one in reversed(steps[ref].reads)]
    return list(ordered)


def _columns(step: Step, steps: dict[str, Step], problems: Problems) -> None:
    """What columns come out of a step, as far as it can be known before any row."""
    given = [steps[one].columns if one in steps else None for one in step.reads]
    try:
        if step.kind == "sources":
            step.columns = step.part.columns()
        elif step.kind == "destinations":
            step.columns = given[0]
            step.part.check(given[0])
        else:
            step.columns = given[0]
            others = iter(given[1:])
            for one in step.part:
                step.columns = one.columns([step.columns, *(next(others) for _ in one.sources)])
        for one in step.guard.expect:
            one.check(step.columns)
    except SkippedError:
        step.columns = None
    except OSError as error:
        _unreadable(error, step.spec)
        step.columns = None


def _unreadable(error: OSError, spec: Spec) -> None:
    spec.note(f"`{error.filename}` cannot be read: {(error.strerror or str(error)).lower()}", None, "mend its rights")


def _chosen(ordered: Sequence[str], steps: dict[str, Step], selector: str, problems: Problems) -> set[str]:
    """The nodes of which the name matches, with all that they read and all that is made of them, if a destination is."""
    try:
        wanted = {ref for ref in ordered if _selected(ref, selector)}
    except re.error as error:
        hint = "nodes with commas between, `*` for anything; the rest is read as a regular expression"
        raise EtlError(f"the selector cannot be read: {error}", where=f"`{selector}`", hint=hint) from error
    if not wanted:
        problems.raise_if_any()
        names = [steps[ref].node.name for ref in ordered]
        raise EtlError("the selector chooses no node", where=f"`{selector}`", hint=nearest(selector, names))
    below = set(wanted)
    for ref in ordered:
        if below & set(steps[ref].reads):
            below.add(ref)
    found = with_reads(below, steps)
    useful = with_reads([ref for ref in found if steps[ref].kind == "destinations"], steps)
    for ref in ordered:
        if ref in found and ref not in useful and not problems.found:
            problems.warn("no destination is made of it, so it is left out", steps[ref].spec.where())
    return useful


def with_reads(refs: Iterable[str], steps: Mapping[str, Step]) -> set[str]:
    """The nodes and all that they are made of."""
    found: set[str] = set()
    waiting = list(refs)
    while waiting:
        ref = waiting.pop()
        if ref not in found and ref in steps:
            found.add(ref)
            waiting += steps[ref].reads
    return found


def _selected(ref: str, selector: str) -> bool:
    """As the peer has it: `*` stands for anything, and a part of the full name (`$sources.x`) is enough. `$sources.x` is itself."""
    return any(one == ref or re.search(one.replace("*", ".*"), ref) for one in map(str.strip, selector.split(",")) if one)


def _own_files(ordered: Sequence[str], chosen: Set[str], steps: Mapping[str, Step], document: Any, problems: Problems) -> None:
    """Note each destination that would write over what another one writes, or over what the project is made of.

    What nodes read that are not chosen counts, too: a part of a run is no reason to lose what the rest of it reads.
    """
    taken = dict.fromkeys((file.resolve() for file in document.files), "a document of the project")
    if document.config.state_file is not None:
        taken[document.config.state_file.resolve()] = "the state file"
    for ref in ordered:
        for file in (*_files(steps[ref]), *_folder(steps[ref])):
            taken.setdefault(file.resolve(), f"what {ref} reads")
    destinations = [steps[ref] for ref in ordered if ref in chosen and steps[ref].kind == "destinations"]
    files = {step.ref: step.part.file(Path(document.config.output_dir)) for step in destinations}
    for step in destinations:
        taken.setdefault(files[step.ref].resolve(), f"what {step.ref} writes")
    for step in destinations:
        file, own = files[step.ref], f"what {step.ref} writes"
        path = file.resolve()
        above = next((one for one in path.parents if one in taken), None)
        if taken[path] != own:
            what = f"`{file}` is {taken[path]}, too"
        elif above is not None:
            what = f"`{file}` lies in `{above}`, which is {taken[above]}"
        else:
            continue
        where = step.spec.where("extension" if step.spec.has("extension") else None)
        problems.note(what, where, "give it another name, `extension` or `output_dir`")


def _folder(step: Step) -> list[Path]:
    """The folder that a source reads as one table."""
    named = step.spec.options.get("file") if step.kind == "sources" else None
    folder = step.node.path(str(named)) if named and not step.part.remote else None
    return [folder] if folder is not None and folder.is_dir() else []
