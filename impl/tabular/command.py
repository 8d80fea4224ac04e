"""The command `mover`: runs, checks and shows documents of the tabular engine.

Exit codes are the peer's: 0, 99 nothing has changed, 255 an error, 1 what was asked for is unknown or there is nothing to
do, 2 flags that cannot be read. `diff` ends with 1 where something differs.

The engine knows no store and no cluster. Whoever calls `main` may hand it the `Surroundings` that do (impl/mover.py, impl/documents.py).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import INTERRUPTED, EtlError, nearest
from impl.run.secrets import redact
from impl.tabular.call import NAME, Call, Surroundings, needs_environment
from impl.tabular.cleaning import held_in, remove_collections, remove_made
from impl.tabular.failures import explained, said_by_system
from impl.tabular.process import EndedError, be_process
from impl.tabular.screen import LEVELS, Screen, aloud, unheard

if TYPE_CHECKING:
    from impl.tabular.document import Document
    from impl.tabular.flow import Context, Flow
    from impl.tabular.plan import Plan, Step
    from impl.tabular.run import Outcome
    from impl.tabular.state import Made, Seen

OK, FAILED, UNCHANGED, REFUSED, DIFFERENT, USAGE = 0, 255, 99, 1, 1, 2
COMPILED = "earthmover_compiled.yaml"
STARTER = Path(__file__).parent / "starter"
SHOWN_ROWS = 10
WIDEST = 40  # letters of a column that are shown


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
        unheard()
        return OK
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors are put into words
        if given.show_stacktrace:
            aloud(redact(getattr(error, "trace", None) or traceback.format_exc()))
        told = explained(error)
        code = error.code if isinstance(error, EndedError) else INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        try:
            _write_results(call, code, told)
        except EtlError as unwritten:
            if unwritten.what != told.what:
                screen.error(unwritten)
        screen.error(told)
        return code


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
    add(
        "--partitions",
        metavar="NAME=VALUES",
        help="of `invoke tabular.run` alone: once for each value of a parameter, or for each file (raw/*.csv)",
    )
    add(
        "--independent",
        action="store_true",
        help="of `invoke tabular.run` alone: no group, key or order goes across partitions",
    )
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
        advice = f"a document is named with `-c {file}`" if file else _nearest_flag(more)
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


def _nearest_flag(words: Sequence[str]) -> str:
    """What to do about words of which one is no flag."""
    flag = next((one.partition("=")[0] for one in words if one.startswith("--")), "")
    near = nearest(flag, re.findall(r"--[a-z][a-z-]+", make_parser().format_help())) if flag else []
    return f"did you mean `{near[0]}`?" if near else f"`{NAME} -h` lists what there is"


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
    for line in outcome.warnings if screen.lines or screen.level > LEVELS["INFO"] else ():
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
    """remove what `run`, `compile` and `graph` have made"""
    from impl.tabular.graph import drawn

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
        held = held_in(document, output, call.folder)
        if held is not None:
            call.screen.warn(f"{output} stays: it holds {held}")
        elif call.given.force:
            import shutil

            shutil.rmtree(output)
            gone.append(output)
        else:
            gone += remove_made(call, document, output)
    for picture in drawn(document.file, document.folder):
        picture.unlink()
        gone.append(picture)
    gone += remove_collections(call, document)
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
                f"the results cannot be written: {said_by_system(unwritten)}", where=file, hint="name another file"
            ) from unwritten


def _draw(call: Call, plan: Plan, counts: Mapping[str, int] | None = None) -> None:
    from impl.tabular.graph import draw

    made, hint = draw(plan, plan.document.folder, counts)
    call.screen.say(f"the graph is in {', '.join(one.name for one in made)}")
    if hint and counts is None:
        call.screen.say(f"hint: {hint}")
    call.screen.event("graph", files=made)


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
    # a destination is often called as what it is made of: its rows are meant
    found = [one for one in found if not _is_made_of(document, one, found)] or found
    if len(found) > 1:
        kinds = " or ".join(f"`{one.removeprefix('$')}`" for one in found)
        raise EtlError(f"several nodes are called `{name}`", where=", ".join(found), hint=f"name it with its kind: {kinds}")
    if not found:
        near = nearest(name, [one.name for one in document.nodes])
        advice = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(refs[:12])}"
        raise EtlError(f"there is no node `{name}`", where=document.file, hint=advice)
    return found[0]


def _is_made_of(document: Document, ref: str, others: Sequence[str]) -> bool:
    """Whether a node is a destination of one of `others`."""
    node = next(one for one in document.nodes if one.ref == ref)
    return str(node.kind) == "destinations" and node.options.get("source") in others


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


if __name__ == "__main__":
    be_process(main)
