"""A small graph of real files: two raw files -> numbers -> sum, with actions that live in a module of their own."""

import shutil
from pathlib import Path

import pytest

from impl.run.checkpoint import checkpoint
from impl.run.graph import Graph
from impl.run.place import Place

from . import actions


@pytest.fixture
def place(tmp_path):
    return Place(root=tmp_path, state=tmp_path / "state", data=tmp_path / "data")


@pytest.fixture
def raw(place):
    """Two raw files, 1 and 2."""
    folder = place.data / "raw"
    folder.mkdir(parents=True)
    for name, text in {"a": "1", "b": "2"}.items():
        (folder / name).write_text(text)
    return folder


class Runs:
    """Runs graphs over the same place and remembers what the last one said."""

    def __init__(self, place, depot=""):
        self.place, self.depot, self.said = place, depot, []

    def __call__(self, *checkpoints, selected=None, **options):
        self.said = []
        graph = Graph(checkpoints, self.place, self.depot)
        try:
            names = [one.name for one in checkpoints] if selected is None else selected
            return graph.run(names, say=self.said.append, **options)
        finally:
            graph.close()

    def standing(self, *checkpoints):
        graph = Graph(checkpoints, self.place, self.depot)
        try:
            return {row.name: row for row in graph.standing()}
        finally:
            graph.close()

    def clean(self, *checkpoints, **options):
        self.said = []
        graph = Graph(checkpoints, self.place, self.depot)
        try:
            return graph.clean([one.name for one in checkpoints], say=self.said.append, **options)
        finally:
            graph.close()


@pytest.fixture
def runs(place):
    return Runs(place)


def sums(place: Path, times: int = 1):
    """raw a, raw b -> double each -> sum of both."""
    data = place.data
    for name in ("a", "b"):
        source, target = data / f"raw/{name}", data / f"doubled/{name}"
        yield checkpoint(f"sum.{name}", actions.multiply, source, target, factor=2 * times, file_dep=[source], targets=[target])
    parts = [data / f"doubled/{name}" for name in ("a", "b")]
    yield checkpoint("sum.all", actions.add, parts, data / "sum", file_dep=parts, targets=[data / "sum"])


@pytest.fixture
def chain(place, raw):
    def make(**options):
        return list(sums(place, **options))

    return make


@pytest.fixture
def copied_place(place):
    """The whole place moved elsewhere, state and all."""

    def move(to: Path):
        shutil.copytree(place.root, to)
        return Place(root=to, state=to / "state", data=to / "data")

    return move
