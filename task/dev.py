"""For those who add datasets: a new module, checks, generated tables. The walk: docs/adding-a-dataset.md"""

from functools import partial
from importlib import import_module

from impl.dev import check as checks
from impl.dev import docs as tables
from impl.dev import new as templates
from impl.run.namespace import commands, docs_facts, task


@task(
    help={"name": "of the dataset, as in `invoke NAME.build`", "like": "the template: region (boundaries) or macav2 (gridded)"}
)
def new(c, name, like="region"):
    """Write a new dataset: its module, its docs page and its test"""
    for path in templates.write(c.env.root, name, like):
        print(path)
    print(f"\nFill in the numbered places of task/{name}.py; docs/adding-a-dataset.md walks you through")


@task
def check(c):
    """Run the linters, the type checker and the quick tests"""
    checks.run(c.env.root, print)


@task(help={"check": "write nothing; fail where a table is old"})
def docs(c, check=False):
    """Fill in the generated tables of the docs: tasks, settings, columns, flags"""
    facts = docs_facts(c, partial(tables.Facts, document=lambda: import_module("impl.tabular.schema")))
    for path in tables.update(c.env.root, facts, check=check):
        print(path)


namespace = commands("dev", new, check, docs)
