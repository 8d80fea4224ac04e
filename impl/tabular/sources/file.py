"""Sources that are a file, here or at the other end of an address."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from impl.run.secrets import redact
from impl.tabular.flow import Column, Context
from impl.tabular.sources import bytestream, remote
from impl.tabular.sources.source import Source, empty, read_columns
from impl.tabular.spec import Spec

if TYPE_CHECKING:
    import polars as pl

TYPES = {
    "csv": "csv",
    "tsv": "tsv",
    "dta": "stata",
    "feather": "feather",
    "fwf": "fixedwidth",
    "txt": "fixedwidth",
    "html": "html",
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "odf": "excel",
    "ods": "excel",
    "odt": "excel",
    "xls": "excel",
    "xlsb": "excel",
    "xlsm": "excel",
    "xlsx": "excel",
    "orc": "orc",
    "parquet": "parquet",
    "pickle": "pickle",
    "pkl": "pickle",
    "sas7bdat": "sas",
    "sav": "spss",
    "xml": "xml",
}
# What one reader takes and another ignores; a source of any type may have them, as in the peer.
OPTIONS = (
    *("header_rows", "fill_sparse_headers", "encoding", "colspecs", "colspec_file", "colspec_headers"),
    *("sheet", "object_type", "orientation", "xpath", "match", "type"),
)


def type_of(text: str) -> str | None:
    """The type by the extension of a path or an address; a compressed text is what it is without `.gz`."""
    name = text.lower()
    if "://" in name:
        name = name.split("?")[0].split("#")[0]
    for suffix in bytestream.COMPRESSED:
        name = name.removesuffix(suffix)
    return TYPES.get(name.rsplit(".", 1)[-1])


class FileSource(Source):
    """A file of one of the types. type: as written or by the extension; file: where it is, if it is here."""

    type = ""

    def read(self, spec: Spec) -> None:
        for option in OPTIONS:
            spec.has(option)
        self.text = spec.text("file", "")
        self.type = spec.text("type", type_of(self.text) or "")
        self.address = self.text if "://" in self.text else ""
        read_columns(self, spec)
        if not self.text and not self.optional:
            spec.wrong("`file` is empty", "file", "name a file, or say `optional: True` with `columns`")
        self.file = self.path(self.text) if self.text and not self.address else Path()
        self._downloaded: dict[str, Path] = {}

    @property
    def remote(self) -> bool:  # type: ignore[override]
        """Whether it stands at an address."""
        return bool(self.address)

    @property
    def reads(self) -> dict[str, str]:
        return {"file": redact(self.text), "type": self.type}

    def files(self) -> list[Path]:
        if not self.text or self.remote:
            return []
        return sorted(one for one in self.file.rglob("*") if one.is_file()) if self.file.is_dir() else [self.file]

    def given(self) -> list[Column] | None:
        if self.remote:
            return None
        if self.stands_empty():
            return [Column(one) for one in self.selected or ()]
        if not self.file.exists():
            raise bytestream.absent(self.file, self.spec.where(self.key))
        return self.look()

    def look(self) -> list[Column] | None:
        """The columns of the file, which is here, if a glance tells them."""
        return None

    def stands_empty(self) -> bool:
        """Whether what comes out are no rows, with the columns of the document: an optional file that is absent, an empty folder."""
        if self.remote:
            return False
        if not self.text:
            return True
        if self.file.is_dir():
            return self.type == "parquet" and not any(self.file.iterdir())
        return self.optional and (not self.file.exists() or not self.file.stat().st_size)

    def frames(self, context: Context) -> Iterator[pl.DataFrame]:
        if self.stands_empty():
            yield empty(self.selected or ())
            return
        file = self.file
        if self.remote:
            found = self._fetched(context)
            if found is None:
                yield empty(self.selected or ())
                return
            file = found
        if not file.exists():
            raise bytestream.absent(file, self.spec.where(self.key))
        yield from self.rows(file, context)

    @abstractmethod
    def rows(self, file: Path, context: Context) -> Iterator[pl.DataFrame]:
        """The rows of `file`, which is here."""

    def unique(self, names: list[str], file: Path) -> list[str]:
        """`names`, each of which has to be there once."""
        twice = sorted(one for one, times in Counter(names).items() if times > 1)
        if twice:
            raise self.failed(
                f"the header has {', '.join(f'`{one}`' for one in twice)} twice",
                "rename it in the file, or check `header_rows`",
                file,
            )
        return names

    def _fetched(self, context: Context) -> Path | None:
        """The file behind the address, fetched once in a run; None where it is optional and not there."""
        folder = str(context.folder)
        if folder not in self._downloaded or not self._downloaded[folder].exists():
            found = remote.fetch(self.address, Path(context.folder), self.spec.where(self.key), may_lack=self.optional)
            if found is None:
                return None
            self._downloaded[folder] = found
        return self._downloaded[folder]
