"""The command `mover`: runs, checks and shows documents of the tabular engine.

Exit codes are the peer's: 0, 99 nothing has changed, 255 an error, 1 what was asked for is unknown or there is nothing to
do, 2 flags that cannot be read. `diff` ends with 1 where something differs.

The engine knows no store and no cluster. Whoever calls `main` may hand it the `Surroundings` that do (impl/mover.py, impl/documents.py).
"""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from impl.run.errors import ENDING, INTERRUPTED, EtlError, explain, nearest
from impl.run.secrets import redact

if TYPE_CHECKING:
    from impl.tabular.collections import Declared
    from impl.tabular.document import Document
    from impl.tabular.flow import Context, Flow
    from impl.tabular.plan import Plan, Step
    from impl.tabular.results import Results
    from impl.tabular.run import Outcome
    from impl.tabular.state import Made, Seen

NAME = "mover"
OK, FAILED, UNCHANGED, REFUSED, DIFFERENT, USAGE = 0, 255, 99, 1, 1, 2
COMPILED = "earthmover_compiled.yaml"
STARTER = Path(__file__).parent / "starter"
SHOWN_ROWS = 10
WIDEST = 40  # letters of a column that are shown
OBJECTS = 50_000  # made between two looks for rings of objects; Python's own number is 700
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Loading(Protocol):
    """A store that a document's destinations may go to. file: the document."""

    def check(self, wanted: Sequence[Declared], file: Path) -> None:
        """Raise an EtlError where one of the collections is not the document's to replace."""

    def load(self, wanted: Declared, rows: Path, file: Path) -> dict[str, Any]:
        """Put the rows of a Parquet file in the place of the collection: rows, fingerprint, changed, warnings."""

    def remove(self, names: Sequence[str], file: Path) -> list[str]:
        """Take away those of the collections that the document made; their names."""


class Surroundings(Protocol):
    """What there is around the engine where it is called."""

    def store(self, typed: str, address: str) -> Loading | None:
        """The store, for what was typed (`run`); at `address`, if one was given. None where none is known."""

    def by_partition(self, call: Call) -> int:
        """Run the document by partition (`--partitions`); the exit code."""


@dataclass
class Screen:
    """What is told. Text goes to stderr and data to stdout; with `lines` everything goes to stdout as JSON lines."""

    lines: bool = False
    level: int = 20

    def say(self, text: str) -> None:
        if self.level <= _LEVELS["INFO"]:
            self._tell("info", text)

    def warn(self, text: str) -> None:
        if self.level <= _LEVELS["WARNING"]:
            self._tell("warning", text)

    def _tell(self, event: str, text: str) -> None:
        if self.lines:
            self.event(event, text=text)
        else:
            _aloud(f"{'warning: ' if event == 'warning' else ''}{text}\n")

    def event(self, event: str, **facts: Any) -> None:
        """One JSON line, where these are asked for. Who reads them may go away: the work goes on."""
        if self.lines:
            try:
                self.put(json.dumps({"event": event, **facts}, ensure_ascii=False, default=str) + "\n")
            except BrokenPipeError:
                _unheard()

    def put(self, text: str) -> None:
        """Data, on stdout."""
        if sys.stdout is None:
            raise EtlError("there is no standard output to write to", hint="it was closed (`>&-`); name a file or a pipe")
        sys.stdout.write(text)
        sys.stdout.flush()

    def error(self, error: EtlError) -> None:
        with suppress(OSError, EtlError):  # it may be about this very output
            self.event("error", what=error.what, where=error.where, hint=error.hint)
        _aloud(f"{error}\n")


def _aloud(text: str) -> None:
    """On stderr, if anybody listens: what is told is no reason to end the work."""
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


def _unheard() -> None:
    """Nobody reads our output any more: what comes is thrown away."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass
class Call:
    """One call of the command: what was asked for, the environment and where it was asked."""

    given: argparse.Namespace
    screen: Screen
    variables: Mapping[str, str]
    folder: Path
    results: Results | None = field(default=None)
    around: Surroundings | None = None

    @property
    def document(self) -> Path | None:
        return Path(self.given.config_file) if self.given.config_file else None

    def params(self) -> dict[str, str]:
        """What `--params` says. EtlError where it is no JSON object."""
        text = self.given.params
        try:
            found = json.loads(text) if text else {}
        except ValueError as error:
            raise EtlError(
                "`--params` is no JSON", where=f"`--params`: {error}", hint='write it like `--params \'{"YEAR": "2026"}\'`'
            ) from error
        if not isinstance(found, dict):
            raise EtlError(
                "`--params` is no JSON object",
                where=f"it is a {type(found).__name__}",
                hint='write `--params \'{"NAME": "value"}\'`',
            )
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}

    def state_file(self, document: Document) -> Path | None:
        """Where it is remembered what was made, if that is asked for."""
        return None if self.given.skip_hashing else document.config.state_file

    def load(self, *, served: bool = False) -> Document:
        """The document, and how much is told from here on."""
        from impl.tabular.document import find, load

        path = find(self.document, self.folder)
        if self.document is None:
            self.screen.say(f"no document was named with `-c`; taking ./{path.name}")
        document = load(
            path,
            params=self.params(),
            overrides=self.given.set or (),
            variables=self.variables,
            trust=self.given.trust,
            served=served,
            folder=self.folder,
        )
        config = document.config
        self.screen.level = _LEVELS["DEBUG"] if self.given.show_stacktrace else _LEVELS[config.log_level]
        self.given.show_stacktrace = self.given.show_stacktrace or config.show_stacktrace
        return document

    def loading(self, typed: str, where: str, needed: bool = True) -> Any:
        """The store that collections go to. EtlError where one is needed and none is known."""
        address = self.given.store or self.variables.get("ETL_STORE", "")
        found = self.around.store(typed, address) if self.around is not None else None
        if found is None and needed:
            raise EtlError(
                "a destination goes to the store, and no store is named",
                where=where,
                hint="name one with `--store ADDRESS` or ETL_STORE: a folder, or `postgresql://etl:${DB_PASSWORD}@host/database`; "
                "`invoke tabular.run` takes the one of the environment",
            )
        return found

    def plan(self, document: Document, selector: str = "*", keep: str = "") -> Plan:
        """The plan of the document; what is odd in it is told."""
        from impl.tabular.plan import make_plan

        try:
            plan = make_plan(document, selector, trust=self.given.trust, keep=keep)
        finally:
            # What is odd is often why something is wrong.
            for one in document.problems.warnings:
                self.screen.warn(f"{one.where}: {one.what}{f' ({one.hint})' if one.hint else ''}")
        if self.screen.level <= _LEVELS["DEBUG"]:
            for step in plan.steps.values():
                step.guard.debug = True
        return plan


def main(
    argv: Sequence[str] | None = None, around: Surroundings | None = None, begin: Callable[[], None] = lambda: None
) -> int:
    """Do what the words ask for; returns the exit code and raises nothing. begin: called when the words are read."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    try:
        given, unknown = parser.parse_known_intermixed_args(words)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE
    # What `show` and `diff` print is data already; what is told beside it goes to stderr.
    screen = Screen(lines=given.json and given.command not in ("show", "diff"))
    call = Call(given, screen, dict(os.environ), Path.cwd(), around=around)
    try:
        begin()
        return _answer(call, unknown)
    except BrokenPipeError:  # who reads our output has seen enough
        _unheard()
        return OK
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors are put into words
        if given.show_stacktrace:
            _aloud(redact(getattr(error, "trace", None) or traceback.format_exc()))
        told = _explained(error)
        code = error.code if isinstance(error, EndedError) else INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        try:
            _write_results(call, code, told)
        except EtlError as unwritten:
            if unwritten.what != told.what:
                screen.error(unwritten)
        screen.error(told)
        return code


class EndedError(KeyboardInterrupt):
    """The process is asked to end. code: what a shell reports for the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def _end(number: int, frame: object) -> NoReturn:
    """End as an error does, so that nothing half done is left behind; asked once more, at once."""
    signal.signal(number, signal.SIG_DFL)
    raise EndedError(number)


def be_process(command: Callable[..., int], *, at_once: Callable[[], bool] = lambda: True) -> NoReturn:
    """Do a command (as `main`) as all that this process does, and end with its exit code.

    What short runs pay for is Python around them: it looks for rings of objects while modules are loaded, and takes all of
    them apart at the end, a quarter of the time of a small run together. The first is done less often, the second is left
    to the system. at_once: asked at the end, whether nothing has to be taken apart with care.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    asked = [one for one in ENDING if signal.getsignal(one) is not signal.SIG_IGN]  # ignored as under nohup

    def begin() -> None:
        for one in asked:
            signal.signal(one, _end)

    for one in asked:  # as long as there is nothing to leave behind
        signal.signal(one, signal.SIG_DFL)
    code = command(begin=begin)
    ended = code in [128 + one for one in ENDING]
    if ended or at_once():
        with suppress(OSError):  # what cannot be written is told by the usual end
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            if not ended:  # what was under way may be waited for in vain
                atexit._run_exitfuncs()
            os._exit(code)
    sys.exit(code)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Maps tables: reads files and databases, transforms them and writes JSON, CSV and other text, as a YAML "
        "document says (docs/tabular.md).",
        epilog="commands:\n" + "\n".join(f"  {name:<9} {one.__doc__}" for name, one in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("command", nargs="?", help=f"one of {', '.join(COMMANDS)}; `run` if none is given")
    add("rest", nargs="*", metavar="...", help="what the command wants: show NODE, diff RUN RUN, init NAME")
    add("-c", "--config-file", nargs="?", metavar="FILE", help="the document; else earthmover.yaml or earthmover.yml here")
    add("-v", "--version", action="store_true", help="show the version and end")
    add("-t", "--test", action="store_true", help="run the example that comes with it and compare what comes out")
    add("-s", "--selector", nargs="?", metavar="NODES", help="run a part: nodes with commas between, `*` for anything")
    add("-f", "--force", action="store_true", help="run even if nothing has changed; `clean`: remove the whole folder")
    add("-k", "--skip-hashing", action="store_true", help="do not look at the state file nor write to it")
    add("-p", "--params", metavar="JSON", help="parameters as a JSON object; the environment wins over them")
    add("-g", "--show-graph", action="store_true", help="draw the graph, and again with counts of rows after the run")
    add("-e", "--show-stacktrace", action="store_true", help="show tracebacks and the first rows of every node")
    add("-r", "--results-file", metavar="FILE", help="write what was done as JSON")
    add(
        "--set",
        nargs="*",
        action="extend",
        metavar="KEY VALUE",
        help="override what stands in the document: --set config.tmp_dir /tmp",
    )
    add("--trust", action="store_true", help="render packages outside the sandbox and read pickle files: both can run code")
    add("--json", action="store_true", help="tell everything as JSON lines on stdout")
    add("--store", metavar="ADDRESS", help="run: where collections go (`store:` of a destination); else ETL_STORE")
    add("--partitions", metavar="NAME=VALUES", help="run: once for each value of a parameter, or for each file (raw/*.csv)")
    add("--independent", action="store_true", help="run: no group, key or order goes across partitions")
    add("--limit", type=int, default=SHOWN_ROWS, metavar="N", help=f"show: so many rows ({SHOWN_ROWS})")
    add("--key", metavar="COLUMNS", help="diff: columns that tell rows apart, with commas between")
    add("--explain-diff", action="store_true", help="list what we do differently from the peer, and why")
    parser.set_defaults(selector="*", params="", results_file="")
    return parser


def _answer(call: Call, unknown: Sequence[str]) -> int:
    """Do what was asked for; the exit code."""
    given, screen = call.given, call.screen
    if given.command is not None and given.command not in COMMANDS:
        near = nearest(given.command, COMMANDS)
        advice = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(COMMANDS)}"
        sys.stderr.write(f"unknown command `{given.command}`: {advice}\n")
        return REFUSED
    more = [*unknown, *given.rest[WORDS.get(given.command, 0) :]]
    if more:
        file = next((one for one in more if one.endswith((".yaml", ".yml"))), None)
        advice = f"a document is named with `-c {file}`" if file else f"`{NAME} -h` lists what there is"
        sys.stderr.write(f"unknown arguments {', '.join(f'`{one}`' for one in more)}; {advice}\n")
        return REFUSED
    if given.version:
        from impl.tabular.state import VERSION

        screen.put(f"{NAME}, version {VERSION}\n")
        return OK
    if given.explain_diff:
        from impl.tabular.compare import INTENDED

        for what, why in INTENDED:
            screen.put(json.dumps({"what": what, "why": why}) + "\n" if screen.lines else f"{what}:\n    {why}\n")
        return OK
    if given.test:
        return try_starter(call)
    if given.selector is None:
        raise EtlError("`-s` names no nodes", where="`-s`", hint="write `-s NODE,NODE*`, or leave it out to run all")
    return COMMANDS[given.command or "run"](call)


# The peer's commands


def run(call: Call) -> int:
    """make what the document's destinations say (the default); `--partitions` does it part by part"""
    import time

    from impl.tabular import state
    from impl.tabular.run import run_plan

    since = time.time_ns()
    given, screen = call.given, call.screen
    if given.partitions:
        return _by_partition(call)
    if given.independent:
        screen.warn("`--independent` counts for nothing without `--partitions`")
    if given.command is None:
        screen.warn("no command was given; taking `run`, but better say so")
    _begin_results(call)
    document = call.load()
    config = document.config
    if call.results:
        call.results.document, call.results.output_dir = document.file, str(config.given.get("output_dir", "./"))
    plan = call.plan(document, given.selector)
    if call.results:
        call.results.warnings = [f"{one.where}: {one.what}" for one in plan.warnings]
    if given.show_graph or config.show_graph:
        _draw(call, plan)
    seen, current = _up_to_date(call, plan, since)
    todo = state.only(plan, [step.ref for step in plan.destinations if step.ref not in current]) if current else plan
    if not todo.destinations:
        _write_results(call, UNCHANGED)
        return UNCHANGED
    remembered = bool(call.state_file(document) or call.results or screen.lines)
    outcome = run_plan(todo, say=screen.say, deliver=_to_store(call, todo), counted=call.results is not None, hashed=remembered)
    if remembered:
        _remember(call, todo, seen, outcome, given.selector if todo is plan else "")
    for line in outcome.warnings if screen.lines or screen.level > _LEVELS["INFO"] else ():
        screen.warn(line)  # else the run has said so
    if given.show_graph or config.show_graph:
        _draw(call, todo, outcome.counts)
    _write_results(call, OK)
    screen.say("done")
    return OK


def compile_document(call: Call) -> int:
    """check the document and write it as it stands after variables, Jinja and packages"""
    from impl.run.files import replacing

    document = call.load()
    target = document.folder / COMPILED
    with replacing(target) as part:
        part.touch(mode=0o600)  # what variables stand for is written out, passwords too
        part.write_text(document.text, encoding="utf-8")
    if call.given.selector != "*":
        call.screen.say("`-s` counts for nothing here: all of the document is checked")
    plan = call.plan(document)
    if call.given.show_graph or document.config.show_graph:
        _draw(call, plan)
    call.screen.say(f"looks ok: {len(plan.steps)} nodes; {target.name} is written")
    return OK


def deps(call: Call) -> int:
    """install the packages that the document asks for"""
    from impl.tabular.packages import install

    installed = install(
        call.document,
        params=call.params(),
        overrides=call.given.set or (),
        variables=call.variables,
        trust=call.given.trust,
        folder=call.folder,
        say=call.screen.say,
    )
    if not installed:
        call.screen.warn("the document asks for no packages")
        return REFUSED
    for one in installed:
        call.screen.event("installed", package=one.path, folder=one.folder, commit=one.commit)
    call.screen.say(f"done: {len(installed)} packages")
    return OK


def clean(call: Call) -> int:
    """remove what `run` and `compile` have made"""
    document = call.load()
    output = document.config.output_dir
    if ".." in output.parts:  # behind a link `..` is another folder than the text says
        output = output.resolve()
    gone: list[Path | str] = []
    compiled = document.folder / COMPILED
    if compiled.is_file():
        compiled.unlink()
        gone.append(compiled)
    if output.is_dir():
        held = _held(document, output, call.folder)
        if held is not None:
            call.screen.warn(f"{output} stays: it holds {held}")
        elif call.given.force:
            import shutil

            shutil.rmtree(output)
            gone.append(output)
        else:
            gone += _remove_made(call, document, output)
    gone += _remove_collections(call, document)
    for one in gone:
        call.screen.say(f"removed {one}")
    if not gone:
        call.screen.warn("there is nothing to remove")
        return REFUSED
    return OK


def init(call: Call) -> int:
    """begin a project: a small example that runs"""
    import shutil

    name = Path(call.given.rest[0] if call.given.rest else _asked("Name of the project: "))
    clean_name = "".join(one for one in name.name if one.isalnum() or one in "_-")
    if not clean_name:
        sys.stderr.write("error: the name has no letter, digit, `_` or `-`\n")
        return REFUSED
    place = name.parent / clean_name
    target = call.folder / place
    try:
        shutil.copytree(STARTER, target, ignore=shutil.ignore_patterns("expected", "__pycache__"))
    except FileExistsError:
        sys.stderr.write(f"error: there is already something at {target}\n")
        return REFUSED
    call.screen.put(f"{target} is made. Try it:\n\ncd {place}\n{NAME} run\n")
    return OK


# Ours


def show(call: Call) -> int:
    """show the first rows of a node: show NODE --limit N"""
    from impl.tabular.run import show as first_rows

    given = call.given
    if not given.rest:
        raise EtlError("`show` wants a node", where="the command line", hint=f"`{NAME} show NODE --limit 10`")
    if given.limit < 1:
        raise EtlError("`--limit` has to be 1 or more", where=f"--limit {given.limit}")
    document = call.load(served=not given.trust)
    ref = _ref(document, given.rest[0])
    plan = call.plan(document, keep=ref)
    step = plan.steps[ref]
    if step.kind == "destinations" and step.part.format == "parquet":
        ref = step.reads[0]  # of a collection or a Parquet file its rows
    elif step.kind == "destinations":
        call.screen.put(_rendered(plan, step, given.limit))
        return OK
    rows = first_rows(plan, ref, given.limit)
    if given.json:
        call.screen.put("".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows.iter_rows(named=True)))
    else:
        call.screen.put(_table(rows.columns, rows.rows()))
    return OK


def diff(call: Call) -> int:
    """say what differs between two runs: diff RUN RUN --key COLUMNS; a run is a results file, a folder or a file"""
    from impl.tabular.compare import as_json, as_text, compare

    given = call.given
    if len(given.rest) != 2:
        raise EtlError(
            "`diff` wants two runs", where="the command line", hint=f"`{NAME} diff before.json after.json`, or two folders"
        )
    key = [one.strip() for one in (given.key or "").split(",") if one.strip()]
    found = compare(call.folder / given.rest[0], call.folder / given.rest[1], key)
    if given.json:
        for one in as_json(found):
            call.screen.put(json.dumps(one, ensure_ascii=False, default=str) + "\n")
    else:
        call.screen.put(as_text(found))
    return OK if found.equal else DIFFERENT


def graph(call: Call) -> int:
    """draw the graph of the document into graph.md, graph.svg and graph.png, and print it as Mermaid text"""
    from impl.tabular.graph import mermaid

    document = call.load()
    plan = call.plan(document, call.given.selector)
    _draw(call, plan)
    if not call.screen.lines:
        call.screen.put(mermaid(plan))
    return OK


def schema(call: Call) -> int:
    """print the JSON Schema of documents, for editors"""
    from impl.tabular.schema import as_text

    call.screen.put(as_text())
    return OK


COMMANDS: dict[str, Callable[[Call], int]] = {
    "run": run,
    "compile": compile_document,
    "deps": deps,
    "clean": clean,
    "init": init,
    "show": show,
    "diff": diff,
    "graph": graph,
    "schema": schema,
}
WORDS = {"show": 1, "diff": 2, "init": 1}  # how many words a command takes behind it


def try_starter(call: Call) -> int:
    """Run the example in a folder of its own and compare what comes out."""
    import shutil
    import tempfile

    from impl.tabular.compare import as_text, compare
    from impl.tabular.document import load
    from impl.tabular.plan import make_plan
    from impl.tabular.run import run_plan

    with tempfile.TemporaryDirectory(prefix="tabular-test-") as made:
        folder = Path(shutil.copytree(STARTER, Path(made, "starter")))
        document = load(None, variables={}, folder=folder)
        run_plan(make_plan(document), say=call.screen.say)
        found = compare(STARTER / "expected", Path(document.config.output_dir))
    if not found.equal:
        raise EtlError("what comes out is not what is expected", where=as_text(found), hint="install the engine anew")
    call.screen.say("what comes out is what is expected")
    return OK


# Parts of the commands


def _begin_results(call: Call) -> None:
    """Results are known from the beginning, so that a run that fails is told of too."""
    from impl.tabular import results, state

    if call.given.results_file:
        results.may_be_written(call.folder / call.given.results_file)
        call.results = results.Results(call.document or call.folder, "", state.engine(), datetime.now())


def _up_to_date(call: Call, plan: Plan, since: int) -> tuple[Seen, dict[str, Made]]:
    """What the plan would be made of, and the destinations that were made of that already."""
    from impl.tabular import results, state

    kept = call.state_file(plan.document)
    engine = call.results.engine if call.results else state.engine()
    seen = state.look(plan, call.variables, engine, since) if kept else state.Seen({}, {}, engine)
    rows = []
    if kept:
        rows = state.read(kept)
        state.may_be_written(kept)
    if len(rows) > state.MANY_ROWS:
        call.screen.warn(f"{kept} has {len(rows):,} rows; remove it or its older rows to be quicker")
    files = {step.ref: step.part.file(Path(plan.document.config.output_dir)) for step in plan.destinations}
    current = {} if call.given.force else state.current(rows, seen, files)
    _tell_state(call, kept, seen, current)
    if call.results:
        call.results.written = {ref: results.written(one.files, one.rows, "unchanged") for ref, one in current.items()}
    return seen, current


def _remember(call: Call, plan: Plan, seen: Seen, outcome: Outcome, selector: str) -> None:
    """Put what was made into the state, the results and the events."""
    from impl.tabular import results, state
    from impl.tabular.run import QUARANTINE

    aside = Path(plan.document.config.output_dir) / QUARANTINE
    made = state.made_now(plan, seen, outcome.written, outcome.counts, aside)
    kept = call.state_file(plan.document)
    if kept:
        state.add(kept, state.new_row(plan, selector, seen, made))
    written = {ref: results.written(one.files, one.rows) for ref, one in made.items()}
    for ref, one in written.items():
        call.screen.event("written", node=ref, **vars(one))
    if call.results:
        call.results.row_counts = results.ordered(outcome.counts, plan.steps)
        call.results.warnings += outcome.warnings
        call.results.written |= written


def _by_partition(call: Call) -> int:
    if call.around is None:
        raise needs_environment("--partitions")
    return call.around.by_partition(call)


def needs_environment(flag: str) -> EtlError:
    return EtlError(
        f"`{flag}` wants an environment, and none is here",
        where=f"{NAME} run",
        hint=f"`invoke tabular.run ... {flag}` in a checkout takes the environment that ETL_ENV names",
    )


def _to_store(call: Call, plan: Plan) -> Callable[[Step, Flow, Context], int | None]:
    """What takes rows to the store where a destination names a collection. Whether it may is asked before any row."""
    stored = {step.ref: step.part.collection for step in plan.destinations if step.part.collection}
    if not stored:
        return lambda step, flow, context: None
    loading = call.loading("run", f"`store: {next(iter(stored.values())).name}`")
    loading.check(list(stored.values()), plan.document.file)

    def deliver(step: Step, flow: Flow, context: Context) -> int | None:
        if step.ref not in stored:
            return None
        # First a file: what is wrong with a row is told before anything is changed, and the store reads it batch by batch.
        step.part.place = Path(context.folder) / "rows.parquet"
        rows = int(step.part.write(flow, Path(context.folder), context))
        done = loading.load(stored[step.ref], step.part.place, plan.document.file)
        step.part.place.unlink()
        for warning in done.pop("warnings"):
            context.say(f"warning: {warning}")
        context.say(f"    {done['rows']:,} rows in {done['collection']}{'' if done['changed'] else ', unchanged'}")
        call.screen.event("loaded", node=step.ref, **done)
        if call.results:
            call.results.loaded[step.ref] = done
        return rows

    return deliver


def _remove_collections(call: Call, document: Document) -> list[Path | str]:
    """Take away the collections that the document made; without a store they are named."""
    names = [str(one.options["store"]) for one in document.destinations.values() if one.options.get("store")]
    if not names:
        return []
    loading = call.loading("clean", "", needed=False)
    if loading is None:
        call.screen.warn(f"in the store stays what is there of {', '.join(names)}: no store is named (`--store`)")
        return []
    return [f"collection {one}" for one in loading.remove(names, document.file)]


def _tell_state(call: Call, kept: Path | None, seen: Seen, current: Mapping[str, Made]) -> None:
    """Why what is run is run."""
    say = call.screen.say
    if call.given.skip_hashing:
        say("the state is left alone (`--skip-hashing`)")
    elif kept is None:
        say("no state is kept (there is no `state_file` in `config`): everything is made")
    elif call.given.force:
        say("everything is made (`--force`)")
    else:
        fetched = [ref for ref, one in seen.fingerprints.items() if one is None]
        if fetched:
            say(f"made anyway, as it reads what cannot be looked at: {', '.join(fetched)}")
        for ref in current:
            say(f"[|] {ref}  nothing has changed")
            call.screen.event("unchanged", node=ref)


def _write_results(call: Call, code: int, error: EtlError | None = None) -> None:
    if call.results is not None and call.given.results_file:
        from impl.tabular import results

        file = call.folder / call.given.results_file
        try:
            results.write(file, call.results.as_json(datetime.now(), code, error))
        except OSError as unwritten:
            raise EtlError(
                f"the results cannot be written: {_said(unwritten)}", where=file, hint="name another file"
            ) from unwritten


def _draw(call: Call, plan: Plan, counts: Mapping[str, int] | None = None) -> None:
    from impl.tabular.graph import draw

    made, hint = draw(plan, plan.document.folder, counts)
    call.screen.say(f"the graph is in {', '.join(one.name for one in made)}")
    if hint and counts is None:
        call.screen.say(f"hint: {hint}")
    call.screen.event("graph", files=made)


def _held(document: Document, output: Path, folder: Path) -> str | None:
    """What a folder holds that may not go with it."""
    from impl.tabular.spec import PATH_KEYS

    if output.is_symlink():
        return "what its link points to"
    real = output.resolve()
    for path, what in ((document.file, "the document"), (folder, "the folder you are in"), (Path.home(), "your home folder")):
        if path.resolve().is_relative_to(real):
            return what
    for node in document.nodes:
        listed = node.options.get("operations")
        for options in (node.options, *(listed if isinstance(listed, list) else ())):
            for key in PATH_KEYS:
                text = options.get(key) if isinstance(options, dict) else None
                if isinstance(text, str) and text and "://" not in text and node.path(text).resolve().is_relative_to(real):
                    return f"`{text}`, which {node.ref} reads"
    return None


def _remove_made(call: Call, document: Document, output: Path) -> list[Path]:
    """Remove the files that the document writes and folders that are then empty; the rest stays and is named."""
    from impl.run.files import sweep
    from impl.tabular import state
    from impl.tabular.run import QUARANTINE

    made = {output / _file_name(one.name, one.options) for one in document.destinations.values()}
    made |= {output / QUARANTINE / f"{one.ref.removeprefix('$')}.csv" for one in document.nodes}
    if document.config.state_file is not None:
        made |= {document.config.state_file, state.lock_file(document.config.state_file)}
        for _, one in state.made_before(state.read(document.config.state_file)):
            made |= {Path(path) for path in one.files if Path(path).is_relative_to(output)}
    sweep(output)
    gone = []
    for path in sorted(made):
        if path.is_file() and path.resolve().is_relative_to(output.resolve()):
            path.unlink()
            gone.append(path)
    for folder in sorted((one for one in output.rglob("*") if one.is_dir() and not one.is_symlink()), reverse=True):
        with suppress(OSError):
            folder.rmdir()
    left = sorted(one.relative_to(output).as_posix() for one in output.rglob("*") if not one.is_dir())
    if left:
        named = f"{', '.join(left[:5])}{' ...' if len(left) > 5 else ''}"
        call.screen.warn(f"{output} stays: {named} was not made by this document; `--force` removes the whole folder")
        return gone
    output.rmdir()
    return [output]


def _file_name(name: str, options: Mapping[str, Any]) -> str:
    """Of a destination, by its options alone: what it reads may be gone."""
    extension = str(options.get("extension") or "")
    name = f"{name}.{extension}" if extension else name
    return f"{name}.gz" if options.get("compression") == "gzip" and not name.endswith(".gz") else name


def _asked(question: str) -> str:
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip()


def _ref(document: Document, name: str) -> str:
    """The node that is meant by `x`, `transformations.x` or `$transformations.x`."""
    refs = [one.ref for one in document.nodes]
    if f"${name.removeprefix('$')}" in refs:
        return f"${name.removeprefix('$')}"
    found = [one.ref for one in document.nodes if one.name == name]
    if len(found) > 1:
        kinds = " or ".join(f"`{one.removeprefix('$')}`" for one in found)
        raise EtlError(f"several nodes are called `{name}`", where=", ".join(found), hint=f"name it with its kind: {kinds}")
    if not found:
        near = nearest(name, [one.name for one in document.nodes])
        advice = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(refs[:12])}"
        raise EtlError(f"there is no node `{name}`", where=document.file, hint=advice)
    return found[0]


def _rendered(plan: Plan, step: Step, limit: int) -> str:
    """What a destination would write of its first rows."""
    import gzip
    import tempfile

    from impl.tabular.flow import Context, Flow
    from impl.tabular.run import show as first_rows

    rows = first_rows(plan, step.reads[0], limit)
    with tempfile.TemporaryDirectory(prefix="tabular-show-") as folder:
        step.part.write(Flow(step.columns, lambda: iter([rows])), Path(folder), Context(folder=Path(folder), workers=1))
        content = step.part.file(Path(folder)).read_bytes()
        return (gzip.decompress(content) if step.part.compression == "gzip" else content).decode("utf-8", errors="replace")


def _table(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    """Columns of text, none of them wider than a glance takes in; null is shown as a dot."""
    texts = [list(columns), *(["·" if one is None else " ".join(str(one).split("\n")) for one in row] for row in rows)]
    cut = [[one if len(one) <= WIDEST else f"{one[: WIDEST - 1]}…" for one in row] for row in texts]
    widths = [max(len(row[at]) for row in cut) for at in range(len(columns))]
    lines = ["  ".join(one.ljust(width) for one, width in zip(row, widths, strict=True)).rstrip() for row in cut]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def _said(error: OSError) -> str:
    """What the system says. Polars and pyarrow have its words, but neither its number nor the file."""
    said = re.sub(r"^.*\[errno \d+\] ", "", error.strerror or str(error).partition(" (os error ")[0])
    return said[:1].lower() + said[1:]


_ROOM = "make room, or name other folders: `config.output_dir`, `config.tmp_dir`"
_RIGHTS = "mend its rights, or name another: `config.output_dir`, `config.state_file`, `config.tmp_dir`"
_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit of the size of files (`ulimit -f`)",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENAMETOOLONG: "give it a shorter name",
}


def _explained(error: BaseException) -> EtlError:
    if isinstance(error, EtlError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return EtlError("interrupted", hint="files that were finished stay, and none is half written", code=INTERRUPTED)
    if isinstance(error, OSError):
        said = _said(error)
        hint = next((hint for number, hint in _HINTS.items() if os.strerror(number).lower() in said.lower()), None)
        place = error.filename2 or error.filename
        where = None if place is None else re.sub(r"(^|/)\.([^/]+)\.[^/.]+\.\d+\.part$", r"\1\2", str(place))
        return EtlError(said, where=where, hint=hint)
    told = explain(error)
    told.what = redact(told.what)
    if not isinstance(error, MemoryError):
        told.hint = "run it again with `-e` for the traceback, and tell us"
    return told


if __name__ == "__main__":
    be_process(main)
