"""Run documents of the tabular engine by hand. What a document is: docs/tabular.md; the same as a command: `mover`"""

from invoke.exceptions import Exit

from impl.run.namespace import commands, task
from impl.tabular import command

DOCUMENT = {
    "config": "the document (default: earthmover.yaml here)",
    "params": 'what stands for `${NAME}` in it, as JSON: \'{"YEAR": "2026"}\'',
    "set": "override what stands in it: `--set config.tmp_dir=/tmp`; may be given again",
}
RUN = {
    **DOCUMENT,
    "selector": "a part: nodes with commas between, `*` for anything",
    "force": "run even if nothing has changed",
    "skip-hashing": "do not look at the state file nor write to it",
    "show-graph": "draw the graph, too",
    "results-file": "write what was done as JSON",
    "json": "tell everything as JSON lines",
}


def call(*words, set=None, **options):
    """The command with these words; an option that is empty is left out."""
    pairs = [word for pair in set or () for word in pair.split("=", 1)]
    given = [word for name, value in options.items() if value for word in (f"--{name}", *([] if value is True else [value]))]
    code = command.main([*words, *given, *(["--set", *pairs] if pairs else [])])
    if code:
        raise Exit(code=code)


@task(help=RUN, iterable=["set"])
def run(
    c,
    config="",
    params="",
    set=None,
    selector="",
    force=False,
    skip_hashing=False,
    show_graph=False,
    results_file="",
    json=False,
):
    """Run a document: sources -> transformations -> destinations"""
    more = {"config-file": config, "skip-hashing": skip_hashing, "show-graph": show_graph, "results-file": results_file}
    call("run", set=set, params=params, selector=selector, force=force, json=json, **more)


@task(help=DOCUMENT, iterable=["set"])
def compile(c, config="", params="", set=None):
    """Write the compiled document and check it, without a row"""
    call("compile", set=set, params=params, **{"config-file": config})


@task(help=DOCUMENT, iterable=["set"])
def deps(c, config="", params="", set=None):
    """Install the packages that a document is built on"""
    call("deps", set=set, params=params, **{"config-file": config})


@task(help={**DOCUMENT, "force": "the whole output folder"}, iterable=["set"])
def clean(c, config="", params="", set=None, force=False):
    """Remove what a document made"""
    call("clean", set=set, params=params, force=force, **{"config-file": config})


@task(positional=["name"], help={"name": "of the new folder"})
def init(c, name):
    """Make a folder with a small document to begin with"""
    call("init", name)


@task(
    positional=["node"],
    help={**DOCUMENT, "node": "`$transformations.x`, or its name", "limit": "so many rows"},
    iterable=["set"],
)
def show(c, node, limit=10, config="", params="", set=None):
    """Show the first rows of a node"""
    call("show", node, set=set, params=params, limit=str(limit), **{"config-file": config})


@task(
    positional=["a", "b"],
    help={"a": "results of a run, or its folder", "b": "of a later one", "key": "columns that tell rows apart"},
)
def diff(c, a, b, key=""):
    """Show what differs between the outputs of two runs, by key"""
    call("diff", a, b, key=key)


@task(help=DOCUMENT, iterable=["set"])
def graph(c, config="", params="", set=None):
    """Draw the graph of a document"""
    call("graph", set=set, params=params, **{"config-file": config})


namespace = commands("tabular", run, compile, deps, clean, init, show, diff, graph)
