"""Run documents of the tabular engine by hand. What a document is: docs/tabular.md; the same as a command: `mover`"""

from invoke.exceptions import Exit

from impl.run.errors import EtlError
from impl.run.namespace import HELP, check_direct, collections_in, commands, task
from impl.tabular import command

DOCUMENT = {
    "config": "the document (default: earthmover.yaml here)",
    "params": 'what stands for `${NAME}` in it, as JSON: \'{"YEAR": "2026"}\'',
    "set": "override what stands in it: `--set config.tmp_dir=/tmp`; may be given again",
    "trust": "render packages outside the sandbox and read pickle files: both can run code",
}
UNTRUSTED = {name: text for name, text in DOCUMENT.items() if name != "trust"}
RUN = {
    **DOCUMENT,
    "selector": "a part: nodes with commas between, `*` for anything",
    "force": "run even if nothing has changed",
    "skip-hashing": "do not look at the state file nor write to it",
    "show-graph": "draw the graph, too",
    "results-file": "write what was done as JSON",
    "json": "tell everything as JSON lines",
    "partitions": "once for each value, side by side: `YEAR=2019,2020`, or each file: `'sources.NAME.file=raw/*.csv'`",
    "independent": "of partitions: no group, no key and no order goes across them",
    "direct": HELP["direct"],
}


def call(c, *words, set=None, direct="", **options):
    """The command with these words, in the environment; an option that is empty is left out."""
    from impl.documents import InEnvironment

    for pair in set or ():
        if "=" not in pair:
            raise EtlError("`--set` has a path without a value", where=pair, hint="write `--set PATH=VALUE`")
    pairs = [word for pair in set or () for word in pair.split("=", 1)]
    given = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items() if value]
    around = InEnvironment(c.env, lambda: collections_in(c), lambda typed: check_direct(c, typed, direct))
    code = command.main([*words, *given, *(["--set", *pairs] if pairs else [])], around)
    if code:
        raise Exit(code=code)


@task(help=RUN, iterable=["set"])
def run(
    c,
    config="",
    params="",
    selector="",
    force=False,
    skip_hashing=False,
    set=None,
    trust=False,
    show_graph=False,
    results_file="",
    json=False,
    partitions="",
    independent=False,
    direct="",
):
    """Run a document: sources -> transformations -> destinations"""
    more = {"config-file": config, "skip-hashing": skip_hashing, "show-graph": show_graph, "results-file": results_file}
    more |= {"partitions": partitions, "independent": independent}
    call(c, "run", set=set, params=params, selector=selector, force=force, trust=trust, json=json, direct=direct, **more)


@task(help=DOCUMENT, iterable=["set"])
def compile(c, config="", params="", set=None, trust=False):
    """Write the compiled document and check it, without a row"""
    call(c, "compile", set=set, params=params, trust=trust, **{"config-file": config})


@task(help=UNTRUSTED, iterable=["set"])
def deps(c, config="", params="", set=None):
    """Install the packages that a document is built on"""
    call(c, "deps", set=set, params=params, **{"config-file": config})


@task(help={**UNTRUSTED, "force": "the whole output folder", "direct": HELP["direct"]}, iterable=["set"])
def clean(c, config="", params="", set=None, force=False, direct=""):
    """Remove what a document made"""
    call(c, "clean", set=set, params=params, force=force, direct=direct, **{"config-file": config})


@task(positional=["name"], help={"name": "of the new folder"})
def init(c, name):
    """Make a folder with a small document to begin with"""
    call(c, "init", name)


@task(
    positional=["node"],
    help={**DOCUMENT, "node": "`$transformations.x`, or its name", "limit": "so many rows"},
    iterable=["set"],
)
def show(c, node, limit="10", config="", params="", set=None, trust=False):
    """Show the first rows of a node"""
    call(c, "show", node, set=set, params=params, trust=trust, limit=limit, **{"config-file": config})


@task(
    positional=["a", "b"],
    help={"a": "results of a run, or its folder", "b": "of a later one", "key": "columns that tell rows apart"},
)
def diff(c, a, b, key=""):
    """Show what differs between the outputs of two runs, by key"""
    call(c, "diff", a, b, key=key)


@task(help=DOCUMENT, iterable=["set"])
def graph(c, config="", params="", set=None, trust=False):
    """Draw the graph of a document"""
    call(c, "graph", set=set, params=params, trust=trust, **{"config-file": config})


namespace = commands("tabular", run, compile, deps, clean, init, show, diff, graph)
