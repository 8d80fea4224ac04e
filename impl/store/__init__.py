"""The data store: what others query. One interface, several homes.

    store = open_store("data/local/store")
    store.replace("region_county", boundaries, key="gis_join")
    store.query("select state_fips, sum(area_km2) from region_county group by all")

Importing this costs nothing: Delta, Arrow and DuckDB are loaded when they are first needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError
from impl.run.objects import refuse_half
from impl.store.interface import Collection, Column, FilesGoneError, Part, PartFacts, Store

__all__ = ["Collection", "Column", "Part", "PartFacts", "Store", "load", "open_store"]


def open_store(home: str | Path) -> Store:
    """The store at `home`: a folder (or file:// and its path) or s3://, gs://, az:// is a lake, postgresql:// a schema."""
    scheme, separator, rest = str(home).partition("://")
    if not separator:
        refuse_half(str(home), "the home of the store")
        rest = str(home)
    elif scheme in ("postgresql", "postgres"):
        from impl.store.postgis import PostGIS

        return PostGIS(str(home))
    elif scheme in ("s3", "gs", "az"):
        from impl.store.bucket import Bucket
        from impl.store.lake import Lake

        return Lake(Bucket(str(home)))
    elif scheme != "file":
        raise EtlError(
            f"there is no store of the kind `{scheme}://`",
            where="the home of the store",
            hint="name a folder, as `data/local/store`, object storage, as `s3://bucket/prefix` (or gs://, az://), "
            "or a database, as `postgresql://user@host/database`",
        )
    from impl.store.folder import Folder
    from impl.store.lake import Lake

    return Lake(Folder(rest))


def load(
    home: str | Path,
    collection: str,
    files: str | Path | Sequence[str | Path],
    *,
    key: str | Sequence[str],
    part: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Put the rows of Parquet or GeoParquet `files` into `collection` as `Store.replace` does (its settings too).

    An action for a checkpoint: plain arguments in, a plain dict of facts out (name, part, rows, fingerprint, version,
    changed, checks); `Store.holds` tells cheaply whether what it did still stands.
    """
    rows = [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
    store = open_store(home)
    try:
        done = store.replace(collection, rows, key=key, part=part, **settings)
    except FilesGoneError:  # somebody's VACUUM: what it has not seen it does not take
        done = store.replace(collection, rows, key=key, part=part, **settings)
    return {**done._asdict(), "checks": [check._asdict() for check in done.checks]}
