"""A document that is run by hand meets the store and the cluster: what `invoke tabular.run` and `mover` do beyond files.

A collection that a document made says so in its source: `...; document FOLDER/FILE`. Only what that document made is replaced by it.
What a dataset fills is never replaced by hand, also where it has not been loaded yet.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from impl.run.checkpoint import Checkpoint, Outside, checkpoint
from impl.run.digest import text_digest
from impl.run.errors import EtlError
from impl.steps import collection_facts, load_rows
from impl.store import open_store, rejected
from impl.tabular.call import Call
from impl.tabular.checkpoints import gather_parts, loaded, run_partition
from impl.tabular.collections import Declared
from impl.tabular.command import OK, UNCHANGED
from impl.tabular.partitions import Partition, asked, refuse, some
from impl.tabular.parts import ends_of, part_of, with_rows

_MARK = re.compile(r"(?:^|; )document ([^;]+)$")
_NAMES = re.compile(r"\$\{?([A-Za-z_]\w*)", re.ASCII)


class Loading:
    """The store at `home`. owned: collections that datasets fill -> the dataset."""

    def __init__(self, home: str, owned: Mapping[str, str]) -> None:
        self.home, self.owned = home, owned

    def check(self, wanted: Sequence[Declared], file: Path) -> None:
        names = [one.name for one in wanted]
        for name in names:
            if names.count(name) > 1:
                raise EtlError("two destinations go to one collection", where=f"{file}: {name}", hint="give each its own")
            if name in self.owned:
                raise EtlError(
                    "the collection belongs to a dataset",
                    where=f"{name}: `invoke {self.owned[name]}.stage` or `.build` fills it",
                    hint="give yours another name in `store:`",
                )
            check_mine(self.home, name, label_of(file))

    def load(self, wanted: Declared, rows: Path, file: Path) -> dict[str, Any]:
        return load_declared(self.home, wanted.name, [rows], document=label_of(file), facts=collection_facts(wanted))

    def remove(self, names: Sequence[str], file: Path) -> list[str]:
        home = open_store(self.home)
        there = home.names()
        mine = [one for one in names if one in there and made_by(home.facts(one).source) == label_of(file)]
        for name in mine:
            home.drop(name)
            rejected.forget(home, name, None)
        return mine


def label_of(file: Path) -> str:
    """How a document is called in what it made: its folder and its name."""
    return f"{file.resolve().parent.name}/{file.name}".replace(";", ",")


def made_by(source: str) -> str:
    """The document that made a collection of this source; nothing where it was none."""
    found = _MARK.search(source)
    return found[1] if found else ""


def check_mine(store: str, name: str, document: str) -> None:
    """Raise an EtlError where there is a collection that this document did not make."""
    home = open_store(store)
    if name not in home.names():
        return
    facts = home.facts(name)
    if made_by(facts.source) == document:
        return
    made = made_by(facts.source)
    raise EtlError(
        "the collection was not made by this document",
        where=f"{name} in {home.home}: " + (f"made by {made}" if made else f"{facts.description or 'of another origin'}"),
        hint=f"give yours another name in `store:`{'; `mover clean` of the other document takes its own away' if made else ''}",
    )


def load_declared(store: str, name: str, parts: Sequence[Path], *, document: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the rows of Parquet files in the place of a collection that `document` made, or makes now. One commit."""
    check_mine(store, name, document)
    source = "; ".join(filter(None, [facts["source"], f"document {document}"]))
    done = load_rows(store, name, list(parts), **{**facts, "source": source})
    kept = {key: done[key] for key in ("rows", "fingerprint", "version", "changed", "warnings", "note")}
    return {"collection": name, **kept}


def load_parts(store: str, name: str, parts: Sequence[Path], *, document: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """As `load_declared`, of the parts of partitions; what an empty one says of types is not asked."""
    return load_declared(store, name, with_rows(parts), document=document, facts=facts)


class InEnvironment:
    """The environment that invoke has resolved: its store, its workers, its state."""

    def __init__(self, env: Any, owned: Callable[[], Mapping[str, str]], allowed: Callable[[str], None]) -> None:
        """owned: the collections that datasets fill. allowed: raises where the environment may not be changed by hand."""
        self.env, self._owned, self._allowed = env, owned, allowed

    def store(self, typed: str, address: str) -> Loading:
        self._allowed(f"tabular.{typed}")
        return Loading(self.env.store, self._owned())

    def by_partition(self, call: Call) -> int:
        """Each partition is a checkpoint of the environment, and so is the gathering."""
        from impl.run.graph import Graph, to_stdout
        from impl.run.place import Place
        from impl.run.progress import show_on_terminal

        env, given = self.env, call.given
        run = _ByPartition(self, call)
        for flag, used in (("--show-graph", given.show_graph), ("--skip-hashing", given.skip_hashing)):
            if used:
                call.screen.warn(f"`{flag}` counts for nothing by partition")
        steps = run.checkpoints()
        names = [one.name for one in steps]
        jobs = 0 if env.cluster else env.jobs  # a cluster itself knows how many at once
        heard: dict[str, Any] = {"say": call.screen.say}
        if call.screen.lines:
            heard = {"say": lambda line: None, "tell": to_stdout}
        graph = Graph(steps, Place(env.root, env.state, env.data), env.depot)
        try:
            with show_on_terminal():
                made = graph.run(names, jobs=jobs, cluster=env.cluster, force=given.force, **heard).made
            code = OK if made else UNCHANGED
            run.write_results(graph, made, code)
        finally:
            graph.close()
        return code


class _ByPartition:
    """One call of `run --partitions`: the documents of the partitions, and the checkpoints that they are."""

    def __init__(self, around: InEnvironment, call: Call) -> None:
        from impl.tabular import results
        from impl.tabular.document import find
        from impl.tabular.state import engine

        self.call, self.env = call, around.env
        self.file = find(call.document, call.folder)
        if call.given.results_file:
            results.may_be_written(call.folder / call.given.results_file)
            call.results = results.Results(self.file, "", engine(), datetime.now())
        self.partitions = asked(call.given.partitions, [call.folder, self.file.parent])
        self.variables = self._variables()
        self.documents = [self._document(one) for one in self.partitions]
        first = self.documents[0]
        first.problems.raise_if_any()
        refuse(some(self.documents), self.partitions[0].name, call.given.independent)
        self.steps = call.plan(first, call.given.selector).destinations
        self.output = Path(first.config.output_dir)
        self.stored = {step.ref: step.part.collection for step in self.steps if step.part.collection}
        for step in self.steps:
            step.part.stays_inside(self.target(step), self.output)
        if self.stored:
            call.loading("run", "`store:` of a destination").check(list(self.stored.values()), self.file)

    def _variables(self) -> dict[str, str]:
        """Of the environment what the document and its templates name: a worker has another one. Not the partition's own."""
        first = self.partitions[0]
        variables = {name: value for name, value in self.call.variables.items() if name != first.name}
        document = loaded(str(self.file), self._given(first), self._overrides(first), variables)
        templates = [
            one.path(str(one.options["template"])) for one in document.destinations.values() if one.options.get("template")
        ]
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in [*document.files, *templates] if path.is_file()]
        named = {name for text in texts for name in _NAMES.findall(text)}
        return {name: variables[name] for name in sorted(named) if name in variables}

    def _document(self, one: Partition) -> Any:
        return loaded(str(self.file), self._given(one), self._overrides(one), self.variables)

    def _given(self, one: Partition) -> dict[str, Any]:
        return {**self.call.params(), **one.parameters}

    def _overrides(self, one: Partition) -> list[str]:
        return [*(self.call.given.set or ()), *one.overrides]

    @property
    def key(self) -> str:
        """What the document is called in the state and in the cache of the environment."""
        return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', self.file.stem)}-{text_digest(str(self.file))[:8]}"

    def _part(self, step: Any, one: Partition) -> Path:
        name = f"{step.node.name}.parquet" if step.ref in self.stored else step.part.file_name
        return part_of(self.env.cache / "tabular" / self.key / name, one.label)

    def target(self, step: Any) -> Path:
        return Path(step.part.file(self.output))

    def checkpoints(self) -> list[Checkpoint]:
        from impl.tabular.state import engine

        code = engine()
        found = [self._run(one, document, code) for one, document in zip(self.partitions, self.documents, strict=True)]
        files = [step for step in self.steps if step.ref not in self.stored]
        if files:
            parts = {step.node.name: [self._part(step, one) for one in self.partitions] for step in files}
            targets = {step.node.name: self.target(step) for step in files}
            found.append(
                checkpoint(
                    f"tabular.{self.key}",
                    gather_parts,
                    parts,
                    targets,
                    file_dep=_with_ends(parts),
                    targets=list(targets.values()),
                    here=True,
                )
            )
        return [*found, *(self._load(step, self.stored[step.ref]) for step in self.steps if step.ref in self.stored)]

    def _run(self, one: Partition, document: Any, code: str) -> Checkpoint:
        from impl.tabular.state import digest, files_behind

        parts = {step.node.name: self._part(step, one) for step in self.steps}
        files, known = files_behind(document)
        return checkpoint(
            f"tabular.{self.key}.{one.label}",
            run_partition,
            str(self.file),
            parts,
            parameters=self._given(one),
            overrides=self._overrides(one),
            variables=self.variables,
            selector=self.call.given.selector,
            engine=code,
            asked=0.0 if known else time.time(),
            compiled=digest([document.compiled, document.macros]),
            file_dep=_there(files),
            targets=_with_ends({name: [part] for name, part in parts.items()}),
        )

    def _load_name(self, wanted: Declared) -> str:
        return f"tabular.{self.key}.store.{wanted.name}"

    def _load(self, step: Any, wanted: Declared) -> Checkpoint:
        store, document = self.env.store, label_of(self.file)
        parts = [self._part(step, one) for one in self.partitions]

        def holds(result: Mapping[str, Any]) -> bool:
            return open_store(store).holds(wanted.name, None, result["fingerprint"])

        def remove() -> None:
            Loading(store, {}).remove([wanted.name], self.file)

        return checkpoint(
            self._load_name(wanted),
            load_parts,
            store,
            wanted.name,
            parts,
            document=document,
            facts=collection_facts(wanted),
            file_dep=_with_ends({"": parts}),
            outside=Outside(f"collection {wanted.name}", holds, remove, wanted.name),
        )

    def write_results(self, graph: Any, made: Sequence[str], code: int) -> None:
        """What `--results-file` asks for; of a run that fails `main` tells."""
        from impl.run.digest import file_digest
        from impl.tabular import results

        told = self.call.results
        if told is None:
            return
        told.output_dir = str(self.output)
        gathered = f"tabular.{self.key}"
        status = "written" if gathered in made else "unchanged"
        for step in self.steps:
            if step.ref in self.stored:
                done = graph.result(self._load_name(self.stored[step.ref]))
                told.loaded[step.ref] = {key: value for key, value in done.items() if key not in ("warnings", "note")}
                told.row_counts[step.ref] = done["rows"]
            else:
                path, rows = self.target(step), graph.result(gathered)["rows"][step.node.name]
                told.row_counts[step.ref] = rows
                told.written[step.ref] = results.written({str(path): file_digest(path)}, rows, status)
        results.write(self.call.folder / self.call.given.results_file, told.as_json(datetime.now(), code))


def _with_ends(parts: Mapping[str, Sequence[Path]]) -> list[Path]:
    return [file for listed in parts.values() for part in listed for file in (part, ends_of(part))]


def _there(files: Sequence[Path]) -> list[Path]:
    """Those that are there; of folders the files in them."""
    found: list[Path] = []
    for path in files:
        found += sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path] if path.is_file() else []
    return found
