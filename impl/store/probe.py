"""Asks an object store whether it keeps its word: what is to be written only where nothing is must be refused otherwise.

A store that takes every such put loses rows: of two commits with one number both succeed, and the second stands.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from impl.run.errors import EtlError

if TYPE_CHECKING:
    from impl.store.bucket import Bucket

FOLDER = "_probe"  # no collection begins so
AT_ONCE = 4


def conditional_put(bucket: Bucket) -> None:
    """An `EtlError` where the store does not honour conditional put. Leaves nothing behind."""
    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    try:
        first, second = _put(bucket, one), _put(bucket, one)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            at_once = sum(pool.map(lambda _: _put(bucket, other), range(AT_ONCE)))
    finally:
        bucket.remove(FOLDER, [one, other])
    if (first, second, at_once) != (True, False, 1):
        done = "the second put of one object took the place of the first" if second else ""
        done = done or f"of {AT_ONCE} puts of one object at once {at_once} were accepted"
        raise EtlError(
            "the object store does not honour conditional put: two writers at once would lose rows",
            where=f"{bucket.home}: with `If-None-Match: *`, {done}",
            hint="choose a store that does (AWS S3, MinIO, Ceph, GCS, Azure), a newer version of this one, or a folder",
        )


def _put(bucket: Bucket, name: str) -> bool:
    try:
        bucket.put_new(FOLDER, name, b"probe")
    except FileExistsError:
        return False
    return True
