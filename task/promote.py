"""From development to production: what was shown to work there goes live here. The walk: docs/promotion.md"""

from impl import promote
from impl.closing import collections_of
from impl.run import records
from impl.run.namespace import commands, graph_in, task
from impl.run.progress import show_on_terminal

HELP = {
    "from": "the environment that has shown it",
    "to": "the one that gets it",
    "datasets": "some, by commas (default: all)",
    "remove-orphans": "take away collections that no dataset fills any more",
}


def _plan(c, from_, to, datasets, remove_orphans, rows=True):
    source, target = c.env.named(from_), c.env.named(to)
    graph = graph_in(c, source)
    try:
        return promote.plan(source, target, [one for one in datasets.split(",") if one], graph, rows, remove_orphans)
    finally:
        graph.close()


@task(help=HELP)
def plan(c, from_="development", to="production", datasets="", remove_orphans=False):
    """Show what a promotion would change: collections, rows by key, and what speaks against it"""
    print(promote.plan_text(_plan(c, from_, to, datasets, remove_orphans)))


@task(help=HELP)
def run(c, from_="development", to="production", datasets="", remove_orphans=False):
    """Promote: build beside what is live, compare with development, switch in one step"""
    from impl.run.graph import to_stderr  # it brings doit

    promote.settle(c.env.named(to), to_stderr)
    found = _plan(c, from_, to, datasets, remove_orphans, rows=False)

    def build(env):
        graph = graph_in(c, env)
        try:
            loads = promote.loads(graph, found.to_do)
            with records.keep(env, graph, loads, collections_of) as record, show_on_terminal():
                graph.run(loads, say=to_stderr, jobs=0 if env.cluster else env.jobs, cluster=env.cluster)
            return record
        finally:
            graph.close()

    promote.run(found, build, to_stderr)


@task(help={"to": "the environment"})
def rollback(c, to="production"):
    """Take the last promotion back: what was live before is live again"""
    from impl.run.graph import to_stderr

    promote.rollback(c.env.named(to), to_stderr)


@task(name="list", help={"to": "the environment"})
def list_promotions(c, to="production"):
    """List the promotions to an environment, newest last"""
    print(promote.list_text(promote.promotions(c.env.named(to))))


namespace = commands("promote", plan, run, rollback, list_promotions)
