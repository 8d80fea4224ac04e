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
    "accept-removals": "let parts go (years, models) that it has no longer",
}
WAIT = {"wait": "seconds for others who hold a table of PostGIS"}


def _plan(c, from_, to, datasets, remove_orphans, accept_removals, rows=True):
    source, target = c.env.named(from_), c.env.named(to)
    graph = graph_in(c, source)
    try:
        chosen = [one for one in datasets.split(",") if one]
        return promote.plan(source, target, chosen, graph, rows, remove_orphans, accept_removals)
    finally:
        graph.close()


@task(help=HELP)
def plan(c, from_="development", to="production", datasets="", remove_orphans=False, accept_removals=False):
    """Show what a promotion would change: collections, rows by key, and what speaks against it"""
    print(promote.plan_text(_plan(c, from_, to, datasets, remove_orphans, accept_removals)))


@task(help=HELP | WAIT)
def run(c, from_="development", to="production", datasets="", remove_orphans=False, accept_removals=False, wait=300):
    """Promote: build beside what is live, compare with development, switch in one step"""
    from impl.run.graph import to_stderr  # it brings doit

    promote.settle(c.env.named(to), to_stderr)
    found = _plan(c, from_, to, datasets, remove_orphans, accept_removals, rows=False)

    def build(env, again):
        graph = graph_in(c, env)
        try:
            loads = promote.loads(graph, found.to_do)
            if again:
                loads = promote.made_from_raw(graph, loads, env)
            with records.keep(env, graph, loads, collections_of) as record, show_on_terminal():
                graph.run(loads, say=to_stderr, jobs=0 if env.cluster else env.jobs, cluster=env.cluster, force=again)
            return record
        finally:
            graph.close()

    promote.run(found, build, to_stderr, wait)


@task(help={"to": "the environment"} | WAIT)
def rollback(c, to="production", wait=300):
    """Take the last promotion back: what was live before is live again"""
    from impl.run.graph import to_stderr

    promote.rollback(c.env.named(to), to_stderr, wait)


@task(name="list", help={"to": "the environment"})
def list_promotions(c, to="production"):
    """List the promotions to an environment, newest last"""
    print(promote.list_text(promote.promotions(c.env.named(to))))


namespace = commands("promote", plan, run, rollback, list_promotions)
