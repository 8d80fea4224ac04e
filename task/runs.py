"""What the runs of this environment did: one record each. What is in a record: docs/promotion.md"""

from impl.run import records
from impl.run.namespace import commands, task
from impl.store import open_store
from impl.store.compare import between_versions


@task(name="list", help={"all": "all of them, and not the last twenty"})
def list_runs(c, all=False):
    """List the runs of this environment, newest last"""
    print(records.list_text(records.all_of(c.env.state)[0 if all else -20 :]), end="")


@task(name="show", positional=["run"], help={"run": "its id, or the beginning of it, or `last`", "json": "as it is kept"})
def show_run(c, run, json=False):
    """Show one run: code, inputs, checkpoints and why they ran, collections"""
    record = records.read(c.env.state, run)
    print(records.as_json(record) if json else records.show_text(record), end="")


@task(positional=["a", "b"], help={"a": "a run, as in runs.show", "b": "a later one"})
def diff(c, a, b):
    """Show what changed between two runs: code, inputs, parameters, rows by key"""
    one, other = records.read(c.env.state, a), records.read(c.env.state, b)
    lines = records.difference(one, other)
    for name, before, after in records.paired(one, other):
        if before and after and before["fingerprint"] != after["fingerprint"]:
            lines.append(between_versions(open_store(c.env.store), name, before["version"], after["version"]))
    print("\n".join(lines) or "nothing differs")


namespace = commands("runs", list_runs, show_run, diff)
