"""The steps that most datasets share, as checkpoints: get a raw file, load a collection.

Here a checkpoint meets the source and the store; those two know nothing of each other, and `run` knows neither.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from impl.run.checkpoint import Checkpoint, Outside, checkpoint
from impl.source import fetch
from impl.source.fetch import Pin
from impl.store import load, open_store, rejected
from impl.tabular.checkpoints import run_document

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


def load_rows(store: str, collection_name: str, rows: Path, **facts: Any) -> dict[str, Any]:
    """Load `rows` and say how many there were, and what checks that only warn have found."""
    loaded = dict(load(store, collection_name, rows, **facts))
    unchanged = "" if loaded["changed"] else ", unchanged"
    warnings = [f"{one['check']}: {one['found']}" for one in loaded["checks"] if not one["passed"]]
    return {**loaded, "warnings": warnings, "note": f"{loaded['rows']:,} rows in {collection_name}{unchanged}"}
