"""The tasks that people type: a dataset's verbs, groups of datasets, plain tasks, and `all.*` over everything.

    namespace = dataset("macav2", stage=stage, index=index, build=build, tasks=[draw_map])
    namespace = group("region", dataset("county", stage=...), dataset("state", stage=...))

A verb is a function from the context to checkpoints. The tasks only choose checkpoints; `impl.run.graph` runs
them. (A "collection" in this repository is a table in the store; invoke's Collection is called namespace here.)
"""

import importlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ContextDecorator, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import invoke
from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import Task

from impl.run import settings as names_of_settings
from impl.run.checkpoint import Checkpoint
from impl.run.errors import EtlError, explain, unknown
from impl.run.pipe import end_quietly, unheard
from impl.run.secrets import redact_error

Verb = Callable[[Any], Iterable[Checkpoint]]
Recorded = Callable[[Any, Any, Sequence[str]], AbstractContextManager[Any]]

VERBS = {  # verb: what it says in `invoke -l`; a verb runs those before it too, where they are listed
    "compile": "Compile what {name} needs",
    "stage": "Load the raw data of {name} into the store, without real work",
    "index": "Index the grid of {name}",
    "build": "Compute {name} from staged data, with all that it needs",
}
INCLUDES = {
    "compile": ("compile",),
    "stage": ("stage",),
    "index": ("stage", "index"),
    "build": ("compile", "stage", "index", "build"),
}
HELP = {
    "only": "just the checkpoints with this in their name (or matching a pattern with *), and what they need",
    "jobs": "how many checkpoints at once (default: setting etl.jobs, or what the cluster takes)",
    "dry-run": "say what would run and why, and do nothing",
    "force": "run also what is up to date",
    "keep-going": "after a failure go on with what does not depend on it",
    "raw": "raw data too; without it they stay",
    "direct": "the environment's name, to change by hand what is only promoted to",
    "json": "one JSON object a line on stdout for each checkpoint that begins or ends, for programs",
}


@dataclass(frozen=True)
class Node:
    """A module's namespace: verbs of its own, members below it, plain tasks and settings."""

    name: str
    verbs: Mapping[str, Verb]
    members: tuple["Node", ...] = ()
    tasks: tuple[Task, ...] = ()
    settings: Mapping[str, tuple[str, str]] | None = None
    cleans: bool = True
    path: str = ""

    def below(self, parent: str) -> "Node":
        """The same node with dotted names from the root."""
        path = f"{parent}.{self.name}" if parent else self.name
        return replace(self, path=path, members=tuple(member.below(path) for member in self.members))

    def walk(self) -> Iterator["Node"]:
        yield self
        for member in self.members:
            yield from member.walk()


def dataset(
    name: str,
    *,
    stage: Verb | None = None,
    index: Verb | None = None,
    build: Verb | None = None,
    tasks: Sequence[Task] = (),
    settings: Mapping[str, tuple[str, str]] | None = None,
) -> Node:
    """A dataset with the verbs that it has; `clean` comes by itself. settings: name -> (default, meaning)."""
    verbs = {verb: way for verb, way in (("stage", stage), ("index", index), ("build", build)) if way}
    return Node(name, verbs, tasks=tuple(tasks), settings=settings)


def tool(name: str, *, compile: Verb, tasks: Sequence[Task] = ()) -> Node:
    """A compiled tool: it has `compile`, and what it made stays when datasets are cleaned."""
    return Node(name, {"compile": compile}, tasks=tuple(tasks), cleans=False)


def group(name: str, *members: Node) -> Node:
    """Datasets under one name: its verbs are those of its members, one after the other."""
    return Node(name, {}, members=members)


def commands(name: str, *tasks: Task) -> Node:
    """Plain tasks under one name."""
    return Node(name, {}, tasks=tasks, cleans=False)


class _OwnTask(Task):
    """invoke takes two tasks of one name and one body for the same and drops the second; ours are told apart."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def arg_opts(self, name: str, default: str, taken_names: set[str]) -> dict[str, Any]:  # type: ignore[override]
        """`-h` asks for help, of every task."""
        return super().arg_opts(name, default, {*taken_names, "h"})


def task(*args: Any, **options: Any) -> Any:
    """`invoke.task` for a module below task/: gives `c.env`, and says errors in our words, never with a traceback."""
    if args and callable(args[0]):
        return task(**options)(args[0])

    def wrap(body: Callable[..., Any]) -> Task:
        import functools

        @functools.wraps(body)
        def guarded(c: Any, *arguments: Any, **named: Any) -> Any:
            with _InOurWords(body.__module__):
                _prepare(c)
                return body(c, *arguments, **named)

        return invoke.task(guarded, klass=_OwnTask, **options)  # type: ignore[return-value]

    return wrap


class ToldError(EtlError, Exit):  # type: ignore[misc]  # what Exit sets is worked out here when it is asked for
    """An `EtlError` on its way to invoke, which prints its text on stderr and ends with its code, without a traceback."""

    code = 1  # each has its own; of Exit it is a property

    @classmethod
    def of(cls, error: EtlError) -> "ToldError":
        told = cls(error.what, error.where, error.hint, error.code)
        told.checks, told.trace = error.checks, error.trace
        redact_error(told)
        return told


class _InOurWords(ContextDecorator):
    """Whatever leaves the block leaves as an `EtlError` that invoke knows."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, exception: BaseException | None, trace: Any) -> None:
        if isinstance(exception, BrokenPipeError) and unheard():
            raise Exit(code=0) from exception
        if isinstance(exception, KeyboardInterrupt) or (isinstance(exception, Exception) and not isinstance(exception, Exit)):
            where = None if isinstance(exception, KeyboardInterrupt) else self.where
            error = explain(exception, where=where)
            error.trace = error.trace or "".join(traceback.format_exception(exception))
            raise ToldError.of(error) from exception


def _prepare(c: Any) -> None:
    """Put the resolved environment on the context, once all names of settings are ones that there are."""
    if "env" not in c.config:
        resolve = c.config["resolve"]
        found = {name: c.config[name] for name in dict(c.config)}
        names_of_settings.check_sections(found, ("resolve", *_of_other_projects(c.config)), resolve["known"], "invoke.yaml")
        resolve["variables"]([names_of_settings.variable_of(name) for name in _leaves(found)])
        c.config["env"] = resolve["environment"](dict(c.config["etl"]))


def _of_other_projects(config: Any) -> set[str]:
    """Sections of the files of the user and of the system alone: these are about whatever invoke is used for."""
    here = {*getattr(config, "_project", ()), *getattr(config, "_runtime", ())}
    return {*getattr(config, "_system", ()), *getattr(config, "_user", ())} - here


def _leaves(found: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The names of all values of a configuration: `etl.jobs`."""
    for name in dict(found):
        if name != "resolve" or above:
            value, path = found[name], f"{above}{name}"
            yield from _leaves(value, f"{path}.") if hasattr(value, "keys") and value else [path]


@_InOurWords("task/")
def discover(
    folder: Path,
    *,
    root: Path,
    settings: Mapping[str, tuple[str, str]],
    environment: Callable[[Mapping[str, Any]], Any],
    closing: Callable[[Any, Any], str],
    variables: Callable[[Iterable[str] | None], Mapping[str, str]] = lambda known: {},
    recorded: Recorded = lambda env, graph, selected: nullcontext(),
) -> Collection:
    """The root namespace: each module of `folder` that has a `namespace`, and `all.*` over all of them.

    settings: those of the section `etl`: name -> (default, meaning). environment: makes `c.env` from that section.
    closing: what `all.build` says at its end, from `c.env` and the run's summary.
    recorded: a context around each run, made from `c.env`, the graph and the names of the chosen checkpoints.
    """
    nodes = []
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_"):
            continue
        module = _import(f"{folder.name}.{file.stem}", file.relative_to(root))
        node = getattr(module, "namespace", None)
        if not isinstance(node, Node):
            raise EtlError(
                "the module has no namespace",
                where=file.relative_to(root),
                hint=f'end it with `namespace = dataset("{file.stem}", ...)`; see docs/adding-a-dataset.md',
            )
        nodes.append(node.below(""))
    everything = _Everything(tuple(nodes), recorded)
    # invoke copies a configuration; wrapped in a dict, a function comes through as it is
    configuration: dict[str, Any] = {"etl": {name: default for name, (default, _) in settings.items()}}
    known = {"etl": settings, **{node.name: node.settings for node in nodes if node.settings}}
    configuration["resolve"] = {"environment": environment, "everything": everything, "settings": settings}
    configuration["resolve"] |= {"known": known, "variables": variables}
    for node in nodes:
        if node.settings:
            configuration[node.name] = {name: default for name, (default, _) in node.settings.items()}
    namespace = everything.namespace = Collection()
    namespace.configure(configuration)
    namespace.add_collection(_all(everything, closing))
    for node in nodes:
        namespace.add_collection(everything.collection(node))
    if _typed(sys.argv):
        end_quietly()
        given = variables(None)
        for file in [*(root / name for name in names_of_settings.FILES), *_file_typed(given)]:
            names_of_settings.check_file(file, known, given)
        check_typed(sys.argv, namespace)
    return namespace


def _typed(argv: Sequence[str]) -> bool:
    """Whether invoke itself loads this, to do what somebody typed."""
    by_invoke = Path(argv[0]).name in ("invoke", "inv") or Path(argv[0]).parent.name == "invoke"
    return by_invoke and "--complete" not in argv


def _file_typed(variables: Mapping[str, str]) -> list[Path]:
    """The file of `invoke -f FILE`, or of the variable that says the same."""
    from invoke.main import program

    typed = (program.args.config.value if hasattr(program, "core") else None) or variables.get("INVOKE_RUNTIME_CONFIG")
    return [Path(typed)] if typed and Path(typed).suffix in (".yaml", ".yml", ".json") else []


def _import(name: str, file: Path) -> Any:
    try:
        return importlib.import_module(name)
    except EtlError:
        raise
    except Exception as exception:  # a module being written can fail in any way; the others' names still help
        raise EtlError(
            f"the module cannot be loaded: {type(exception).__name__}: {exception}",
            where=file,
            hint="mend it, or move it out of task/; `python -c 'import " + name + "'` shows the traceback",
        ) from exception


def check_typed(argv: Sequence[str], namespace: Collection) -> None:
    """Raise `EtlError` with the nearest names where `argv` has a task or an option that is not there.

    invoke itself only says that it has no idea. Asked when invoke loads tasks.py, since a parser of its own it
    does not let us give; what else is wrong, invoke says.
    """
    if not _typed(argv):
        return
    from invoke.exceptions import ParseError
    from invoke.main import program
    from invoke.parser import Parser

    helped = [(one, dict(one.help)) for one in (namespace[name] for name in namespace.task_names)]
    contexts = namespace.to_contexts()
    for one, help in helped:  # making a context takes the help out of the task, and invoke is still to make its own
        one.help = help
    try:
        Parser(initial=program.initial_context, contexts=contexts).parse_argv(list(argv[1:]))
    except ParseError as error:
        found = re.fullmatch("No idea what '(.+)' is!", str(error))
        if found and found[1].startswith("-") and error.context is not None:
            asked = error.context.name
            where = f"invoke {asked}" if asked else "invoke"
            listing = f"invoke --help {asked}" if asked else "invoke --help"
            raise unknown("option", found[1], error.context.flags, where=where, hint=f"`{listing}` lists them") from None
        if found:
            raise unknown("task", found[1], namespace.task_names, hint="`invoke -l` lists them") from None


def run(c: Any, name: str, verb: str) -> None:
    """Run the task `name.verb` from within another task of a module."""
    everything = c.config["resolve"]["everything"]
    nodes = [one for node in everything.nodes for one in node.walk() if one.path == name]
    everything.verb(verb, name, nodes)(c)


def graph_in(c: Any, env: Any) -> Any:
    """The graph of all checkpoints in another environment than the chosen one. To be closed."""
    return c.config["resolve"]["everything"].graph(_In(c.config, env))


@dataclass(frozen=True)
class _In:
    """What a verb sees of the context: its configuration, and an environment."""

    config: Any
    env: Any

    def __getattr__(self, name: str) -> Any:
        return self.config[name]


def collections_in(c: Any) -> dict[str, str]:
    """The collections that checkpoints of this environment fill, with their datasets."""
    steps: list[Checkpoint] = c.config["resolve"]["everything"].checkpoints(c)
    return {one.outside.collection: one.dataset for one in steps if one.outside and one.outside.collection}


def tasks_that_fill(c: Any) -> dict[str, str]:
    """The collections that checkpoints of this environment fill, with the task that does it: `region.county.stage`."""
    steps: list[Checkpoint] = c.config["resolve"]["everything"].checkpoints(c)
    return {one.outside.collection: f"{one.dataset}.{one.verb}" for one in steps if one.outside and one.outside.collection}


def docs_facts(c: Any, make: Callable[..., Any]) -> Any:
    """What the generated tables of the docs are made of, as `make(tasks=..., settings=..., ...)`."""
    everything: _Everything = c.config["resolve"]["everything"]

    def tasks() -> dict[str, str]:
        namespace = everything.namespace
        return {name: (namespace[name].__doc__ or "").strip().splitlines()[0] for name in namespace.task_names}

    def settings() -> dict[str, Mapping[str, tuple[str, str]]]:
        own = {node.name: node.settings for node in everything.nodes if node.settings}
        return {"etl": c.config["resolve"]["settings"], **own}

    def collections(name: str) -> dict[str, Mapping[str, Any]]:
        steps = [one for one in everything.checkpoints(c) if one.dataset.partition(".")[0] == name and one.outside]
        return {one.args[1]: one.kwargs for one in steps}

    def constants(module: str, constant: str) -> Iterable[str]:
        return getattr(importlib.import_module(f"task.{module}"), constant)

    def help(program: str, command: list[str]) -> str:
        from impl.run.command import run_command

        run(c, program, "compile")  # does nothing where it is up to date
        return run_command([c.env.tools / program, *command, "--help"]).stdout

    def features(program: str) -> list[dict[str, str]]:
        from impl.run.command import run_command

        run(c, program, "compile")
        return json.loads(run_command([c.env.tools / program, "features", "--json"]).stdout)

    return make(tasks=tasks, settings=settings, collections=collections, constants=constants, help=help, features=features)


class _Everything:
    """All nodes, and the tasks made from them."""

    namespace: Collection

    def __init__(self, nodes: tuple[Node, ...], recorded: Recorded) -> None:
        self.nodes, self.recorded = nodes, recorded

    def checkpoints(self, c: Any) -> list[Checkpoint]:
        """Those of all datasets, with their dataset and verb noted."""
        made = []
        for top in self.nodes:
            for node in top.walk():
                for verb, way in node.verbs.items():
                    for one in way(c):
                        made.append(replace(one, dataset=node.path, verb=verb))
        return made

    def graph(self, c: Any) -> Any:
        from impl.run.graph import Graph
        from impl.run.place import Place

        candidate = c.env.store if c.env.live else ""
        place = Place(c.env.root, c.env.state, c.env.data, candidate, c.env.live)
        return Graph(self.checkpoints(c), place, c.env.depot)

    def collection(self, node: Node) -> Collection:
        collection = Collection(node.name)
        for member in node.members:
            collection.add_collection(self.collection(member))
        for verb in self.verbs([node]):
            collection.add_task(self.verb(verb, node.path, [node]))
        if node.cleans:
            collection.add_task(self.clean(node.path, [node]))
        for one in node.tasks:
            collection.add_task(one)
        return collection

    @staticmethod
    def verbs(nodes: Iterable[Node]) -> list[str]:
        return [verb for verb in VERBS if any(verb in one.verbs for node in nodes for one in node.walk())]

    def verb(
        self, verb: str, label: str, nodes: Sequence[Node], after: Callable[[Any, Any], None] | None = None, typed: str = ""
    ) -> Task:
        """The task `verb` over the checkpoints of `nodes`. typed: what people type for it, where that is not its label."""
        paths = {one.path for node in nodes for one in node.walk()}

        def body(
            c: Any,
            only: str = "",
            jobs: int = 0,
            dry_run: bool = False,
            force: bool = False,
            keep_going: bool = False,
            direct: str = "",
            json: bool = False,
        ) -> None:
            from impl.run.graph import to_stderr, to_stdout
            from impl.run.progress import show_on_terminal

            if not dry_run and verb != "compile":
                check_direct(c, f"{typed or label}.{verb}", direct)
            if jobs < 0:
                raise EtlError("the number of jobs is not a number", where=f"--jobs {jobs}", hint="write 1, 2, ...")

            graph = self.graph(c)
            chosen = [s.name for s in graph.checkpoints.values() if s.dataset in paths and s.verb in INCLUDES[verb]]
            try:
                if not chosen:
                    raise EtlError(
                        f"there is nothing to {verb} for {label}",
                        where="its settings choose nothing that there is",
                        hint="docs/settings.md lists them; `invoke all.status` shows all checkpoints that there are",
                    )
                selected = graph.select(chosen, only or None)
                if dry_run:
                    forced = set(selected) if force else set()
                    for row in graph.standing(selected):
                        why = "forced" if row.name in forced and row.current else row.why
                        to_stderr(f"[?] {row.name}  {why}" if why else f"[|] {row.name}")
                    return
                with self.recorded(c.env, graph, selected), nullcontext() if json else show_on_terminal():
                    cluster = c.env.cluster
                    count = jobs or (0 if cluster else c.env.jobs)  # a cluster itself knows how many at once
                    heard = {"say": lambda line: None, "tell": to_stdout} if json else {"say": to_stderr}
                    summary = graph.run(selected, jobs=count, cluster=cluster, force=force, keep_going=keep_going, **heard)
            finally:
                graph.close()
            if after and not json:
                after(c, summary)

        body.__name__, body.__doc__ = verb, VERBS[verb].format(name=label)
        return task(help={name: HELP[name] for name in ("only", "jobs", "dry-run", "force", "keep-going", "direct", "json")})(
            body
        )

    def clean(self, label: str, nodes: Sequence[Node], typed: str = "") -> Task:
        """The task that takes away what the checkpoints of `nodes` made. typed: as for `verb`."""
        paths = {one.path for node in nodes for one in node.walk()}

        def clean(c: Any, raw: bool = False, dry_run: bool = False, direct: str = "") -> None:
            from impl.run.graph import to_stderr

            if not dry_run:
                check_direct(c, f"{typed or label}.clean", direct)
            graph = self.graph(c)
            try:
                chosen = [s.name for s in graph.checkpoints.values() if s.dataset in paths]
                gone = graph.clean(chosen, say=to_stderr, raw=raw, dry_run=dry_run)
            finally:
                graph.close()
            kept = "" if raw else "; raw data stay (--raw takes them too)"
            to_stderr(f"{gone} {'would be ' if dry_run else ''}removed{kept}")

        clean.__doc__ = f"Remove what {label} made and can make again"
        return task(help={"raw": HELP["raw"], "dry-run": "say what would go, and remove nothing", "direct": HELP["direct"]})(
            clean
        )


def check_direct(c: Any, typed: str, direct: str) -> None:
    """An environment that is only promoted to is not changed by hand, unless its name is given."""
    if c.env.direct or direct == c.env.name:
        return
    raise EtlError(
        f"nothing is built or cleaned by hand in {c.env.name}",
        where=f"invoke {typed}" + (f" --direct {direct}" if direct else ""),
        hint=f"`invoke promote.plan --from development --to {c.env.name}` shows what promotion would change; "
        f"to do it all the same, add `--direct {c.env.name}`, as in `invoke {typed} --direct {c.env.name}`",
    )


def _all(everything: _Everything, closing: Callable[[Any, Any], str]) -> Collection:
    """`all.*`: the same verbs over every module, and the table of all checkpoints."""
    nodes = [node for node in everything.nodes if node.verbs or node.members]

    def status(c: Any, only: str = "") -> None:
        """Show every checkpoint: up to date or why not, when it last ran, how long it took"""
        from impl.run.status import table

        graph = everything.graph(c)
        try:
            sys.stdout.write(table(graph.standing(graph.select(graph.checkpoints, only or None))))
        finally:
            graph.close()

    def close(c: Any, summary: Any) -> None:
        sys.stderr.write(closing(c.env, summary) + "\n")

    collection = Collection("all")
    for verb in ("compile", "stage", "build"):
        collection.add_task(everything.verb(verb, "everything", nodes, close if verb == "build" else None, "all"))
    collection.add_task(everything.clean("every dataset", [node for node in nodes if node.cleans], "all"))
    collection.add_task(task(help={"only": HELP["only"]})(status))
    return collection
