"""The steps that most datasets share, as checkpoints: get a raw file, run a document, load a collection.

Here a checkpoint meets the source and the store; those two know nothing of each other, and `run` knows neither.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from impl.run.checkpoint import Checkpoint, Outside, checkpoint
from impl.run.errors import EtlError, unknown
from impl.run.files import replacing
from impl.source import fetch
from impl.source.fetch import Pin
from impl.store import load, open_store, rejected
from impl.store.interface import describe_part
from impl.tabular.checkpoints import check_partitions, gather_parts, run_document, run_partition

ROOT = Path(__file__).resolve().parents[1]


def raw_file(c: Any, name: str, target: Path, pin: Pin, sample: Callable[..., str], **sample_facts: Any) -> Checkpoint:
    """The checkpoint that brings one raw file to `target`, from where the environment says raw data come from.

    sample: the file is made by `sample(target, **sample_facts)`. mirror: it is copied from the folder, or fetched
    from below the URL, under its own name. remote: it is fetched from `pin.url`. Size and sha256 of the pin are
    checked for remote files; a mirror may hold another edition, so there only the copy itself is checked.
    """
    source = c.env.source
    if source.kind == "sample":
        return checkpoint(name, sample, target, targets=[target], raw=True, **sample_facts)
    own_name = pin.name or pin.url.rsplit("/", 1)[-1]
    if source.kind == "mirror" and "://" not in source.place:
        original = Path(source.place) / own_name
        reads = [original] if original.exists() else []  # where it is missing, `copy` says so and names what is there
        return checkpoint(name, fetch.copy, original, target, file_dep=reads, targets=[target], raw=True)
    if source.kind == "mirror":
        return checkpoint(name, fetch.download, f"{source.place.rstrip('/')}/{own_name}", target, targets=[target], raw=True)
    return checkpoint(name, fetch.download, pin.url, target, sha256=pin.sha256, size=pin.size, targets=[target], raw=True)


def tabular_document(
    name: str,
    document: str,
    *,
    reads: Mapping[str, Path],
    targets: Mapping[str, Path],
    also: Iterable[str] = (),
    **parameters: Any,
) -> Checkpoint:
    """The checkpoint that runs a document of the tabular engine: `document` is its place below the checkout.

    reads: what `${NAME}` in it stands for -> a file that it reads. targets: destination -> the file that it becomes.
    also: further files of the checkout that decide: templates, maps. parameters: other `${NAME}`.
    """
    from impl.tabular.state import engine

    return checkpoint(
        name,
        run_document,
        document,
        dict(targets),
        parameters={**parameters, **reads},
        engine=engine(),
        file_dep=[*(ROOT / one for one in (document, *also)), *reads.values()],
        targets=list(targets.values()),
    )


def partitioned_document(
    name: str,
    document: str,
    *,
    over: Mapping[str, Iterable[Any]],
    targets: Mapping[str, Path],
    reads: Mapping[str, Path | Callable[[Any], Path]] | None = None,
    also: Iterable[str] = (),
    independent: bool = False,
    gathered: bool = True,
    **parameters: Any,
) -> Iterator[Checkpoint]:
    """The checkpoints that run a document once per partition, each by itself, and put their parts together in `targets`.

    over: one parameter and its values, `{"YEAR": [2019, 2020]}`; a value that is a path is a file that its partition reads.
        With dots it is a place in the document: `{"sources.trips.file": files}`. The result has the order of the values.
    reads: as for `tabular_document`; a function says which file the partition of a value reads.
    independent: the module promises that no group, no key and no order goes across partitions. Without it a document that
        would give something else than over all rows is refused (docs/tabular.md#by-partition).
    gathered: False leaves the parts by themselves, for `partitioned_collection`.

    A new or changed file runs its partition and the gathering; one that is gone is left out of the result.
    """
    from impl.tabular.parts import ends_of, part_of
    from impl.tabular.state import engine

    code = engine()
    parts: dict[str, list[Path]] = {one: [] for one in targets}
    runs: list[Checkpoint] = []
    each: list[tuple[Mapping[str, Any], Sequence[str]]] = []
    checked = next(iter(targets.values())).with_name(f"{next(iter(targets.values())).name}.parts") / "partitions.json"
    for one in _partitions(name, over):
        files = {key: file(one.value) if callable(file) else file for key, file in (reads or {}).items()}
        own = {destination: part_of(target, one.label) for destination, target in targets.items()}
        given = {**parameters, **files, **one.parameters}
        each.append((given, one.overrides))
        for destination, part in own.items():
            parts[destination].append(part)
        read = [*files.values(), *([one.value] if isinstance(one.value, Path) else [])]
        runs.append(
            checkpoint(
                f"{name}.{one.label}",
                run_partition,
                document,
                own,
                parameters=given,
                overrides=one.overrides,
                engine=code,
                file_dep=[*(ROOT / file for file in (document, *also)), *read],
                targets=[file for part in own.values() for file in (part, ends_of(part))],
                after=[f"{name}.partitions"],
            )
        )
    yield checkpoint(
        f"{name}.partitions",
        check_partitions,
        document,
        checked,
        by=next(iter(over)),
        each=each,
        independent=independent,
        engine=code,
        file_dep=[ROOT / file for file in (document, *also)],
        targets=[checked],
    )
    yield from runs
    if gathered:
        read = [file for listed in parts.values() for part in listed for file in (part, ends_of(part))]
        yield checkpoint(name, gather_parts, parts, dict(targets), file_dep=read, targets=list(targets.values()))


def _partitions(name: str, over: Mapping[str, Iterable[Any]]) -> list[Any]:
    from impl.tabular.partitions import make

    if len(over) != 1:
        raise EtlError(
            "a document is partitioned by one parameter",
            where=f"{name}: {', '.join(over) or 'none'}",
            hint='write `over={"YEAR": [2019, 2020]}`',
        )
    ((parameter, values),) = over.items()
    return make(parameter, values)


def partitioned_collection(
    c: Any,
    name: str,
    collection_name: str,
    target: Path,
    *,
    over: Mapping[str, Iterable[Any]],
    column: str,
    key: str | list[str],
    **facts: Any,
) -> Iterator[Checkpoint]:
    """The checkpoints that load the parts of a `partitioned_document` into a collection, each as a part of its own.

    target, over: as there. column: has the value of the partition in each row; values are texts or whole numbers. A part of
    which the partition is gone loses its rows. Readers see each part as it was before or after.
    """
    from impl.tabular.parts import part_of

    partitions = _partitions(name, over)
    kept = target.with_name(f"{target.name}.parts") / f"kept-{collection_name}.json"
    yield kept_parts(c, f"{name}.kept", collection_name, kept, [{column: one.value} for one in partitions])
    after = [*facts.pop("after", ()), f"{name}.kept"]
    for one in partitions:
        rows, part = part_of(target, one.label), {column: one.value}
        yield collection(c, f"{name}.{one.label}", collection_name, rows, key=key, part=part, after=after, **facts)


def kept_parts(c: Any, name: str, collection_name: str, target: Path, parts: Iterable[Mapping[str, Any]]) -> Checkpoint:
    """The checkpoint that takes out of a collection what is none of these parts any more; its loads come `after` it.

    parts: values of partition columns. target: a file that is written to have been here.
    """
    return checkpoint(
        name, keep_parts, c.env.store, collection_name, target, parts=[dict(one) for one in parts], targets=[target]
    )


def keep_parts(store: str, collection_name: str, target: Path, *, parts: Sequence[Mapping[str, Any]]) -> str:
    """Empty the parts of a collection that are none of `parts`."""
    import json

    home, gone = open_store(store), list[dict[str, Any]]()
    if collection_name in home.names():
        facts = home.facts(collection_name)
        there = [dict(zip(facts.partition_by, values, strict=True)) for values, one in facts.parts.items() if one.rows]
        gone = [one for one in there if not any(wanted.items() <= one.items() for wanted in parts)]
        none = home.read(collection_name, where="1 = 0") if gone else None
        for one in gone:
            home.replace(
                collection_name, none, key=facts.key, part=one, geometry=facts.geometry, may_be_empty=True,
                columns={column.name: (column.unit, column.meaning) for column in facts.columns},
            )  # fmt: skip
    with replacing(target) as file:
        file.write_text(json.dumps([dict(one) for one in parts]) + "\n")
    said = "; ".join(describe_part(one) for one in gone)
    return f"{said} taken out of {collection_name}" if gone else ""


def document_collection(
    c: Any,
    name: str,
    document: str,
    destination: str,
    rows: Path,
    *,
    after: Iterable[str] = (),
    reads: Iterable[Path] = (),
    **parameters: Any,
) -> Checkpoint:
    """The checkpoint that loads `rows`, which `tabular_document` made, as the document itself declares it: `store`, `key`, ...

    parameters: `${NAME}`, where the document cannot be read without.
    """
    facts = declared(document, destination, parameters)
    return collection(c, name, facts.pop("name"), rows, after=after, reads=reads, **facts)


def declared(document: str, destination: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a document below the checkout declares of a destination's collection: its name, and settings of `collection`."""
    from impl.tabular.collections import read_collection

    found = _read(document, tuple((name, str(value)) for name, value in parameters.items()))
    if destination not in found.destinations:
        raise unknown("destination", destination, found.destinations, where=document)
    wanted = read_collection(found.destinations[destination].spec(found.problems))
    found.problems.raise_if_any()
    if wanted is None:
        raise EtlError(
            f"the destination `{destination}` names no collection", where=document, hint="write `store: COLLECTION` and `key`"
        )
    return {"name": wanted.name, **collection_facts(wanted)}


@cache
def _read(document: str, parameters: tuple[tuple[str, str], ...]) -> Any:
    from impl.tabular.checkpoints import loaded

    return loaded(document, dict(parameters))


def collection_facts(wanted: Any) -> dict[str, Any]:
    """What a document declares of a collection, as settings of `impl.store.load`."""
    from impl.store import checks

    made = [getattr(checks, one.kind)(*one.given, **one.settings) for one in wanted.checks]
    return {
        "key": list(wanted.key),
        "columns": dict(wanted.columns),
        "partition_by": list(wanted.partition_by),
        "description": wanted.description,
        "source": wanted.origin,
        "licence": wanted.licence,
        "may_be_empty": wanted.may_be_empty,
        "checks": made,
    }


def collection(
    c: Any,
    name: str,
    collection_name: str,
    rows: Path,
    *,
    key: str | list[str],
    part: Mapping[str, Any] | None = None,
    after: Iterable[str] = (),
    reads: Iterable[Path] = (),
    **facts: Any,
) -> Checkpoint:
    """The checkpoint that loads the Parquet file `rows` into a collection, or into one `part` of it.

    Loading twice gives the same collection. It is passed while the store still holds what it loaded.
    reads: files behind other collections that its checks look at: when one changes, the rows are checked again.
    facts: description, columns, source, licence, checks; see `impl.store.load`. Whether the rows come from synthetic
    data is noted with them.
    """
    store = c.env.store
    if c.env.source.synthetic:
        facts["source"] = f"synthetic sample, shaped like {facts.get('source', 'the real data')}"

    def holds(result: Mapping[str, Any]) -> bool:
        # a promotion builds beside the live store, and leaves there what does not change
        home = c.env.live if collection_name in c.env.unchanged else store
        return open_store(home).holds(collection_name, part, result["fingerprint"])

    def exists() -> bool:
        home = open_store(store)
        return collection_name in home.names() or bool(rejected.left(home, collection_name, None))

    def remove() -> None:
        home = open_store(store)
        home.drop(collection_name)
        rejected.forget(home, collection_name, None)

    return checkpoint(
        name,
        load_rows,
        store,
        collection_name,
        rows,
        key=key,
        part=dict(part) if part else None,
        synthetic=c.env.source.synthetic,
        file_dep=[rows, *reads],
        after=after,
        outside=Outside(f"collection {collection_name}", holds, remove, collection_name, exists),
        **facts,
    )


def load_rows(store: str, collection_name: str, rows: Path | Sequence[Path], **facts: Any) -> dict[str, Any]:
    """Load `rows` and say how many there were, and what checks that only warn have found."""
    loaded = dict(load(store, collection_name, rows, **facts))
    unchanged = "" if loaded["changed"] else ", unchanged"
    warnings = [f"{one['check']}: {one['found']}" for one in loaded["checks"] if not one["passed"]]
    return {**loaded, "warnings": warnings, "note": f"{loaded['rows']:,} rows in {collection_name}{unchanged}"}
