"""Files whose readers know types: JSON, Excel, SAS, SPSS, Stata, XML, HTML, pickle. Types are those that pandas gives.

A type is only known when all values were seen, so the file is in memory while it is read.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from impl.run.errors import EtlError
from impl.tabular.flow import Context
from impl.tabular.sources import bytestream
from impl.tabular.sources.delimited import read_header_rows
from impl.tabular.sources.file import FileSource
from impl.tabular.sources.headers import deduplicated, joined
from impl.tabular.sources.source import empty
from impl.tabular.sources.values import from_pandas
from impl.tabular.spec import Spec

if TYPE_CHECKING:
    import pandas
    import polars as pl

# What readers raise at a file that is not what it says; a SyntaxError is what lxml makes of XML.
BROKEN = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    SyntaxError,
    re.error,
    struct.error,
    zipfile.BadZipFile,
    OverflowError,
)
Read = TypeVar("Read")
_ORIENTATIONS = ("split", "records", "index", "columns", "values", "table")
ARCHIVES = re.compile(r"\.(zip|zst|tar|tgz|tar\.\w+)\Z", re.IGNORECASE)  # which pandas opens, and nobody else here
_NEEDS = {"excel": "openpyxl", "spss": "pyreadstat", "xml": "lxml", "html": "lxml"}


class Typed(FileSource):
    """All types that pandas reads as a whole."""

    def read(self, spec: Spec) -> None:
        super().read(spec)
        self.encoding = bytestream.read_encoding(spec)
        self.headers = read_header_rows(spec)
        self.sheet = spec.value("sheet", 0)
        if isinstance(self.sheet, bool | list | dict | float):
            spec.wrong("`sheet` has to be one name, or a number from 0", "sheet")
        self.match = spec.text("match", ".+")
        self.xpath = spec.text("xpath", "./*")
        self.orientation = spec.choice("orientation", _ORIENTATIONS, "columns")
        self.object_type = spec.choice("object_type", ("frame", "series"), "frame")

    def rows(self, file: Path, context: Context) -> Iterator[pl.DataFrame]:
        frame = self._whole(file)
        names = self.unique([str(name) for name in frame.columns], file)
        if not names:
            yield empty(())
            return
        yield from from_pandas(frame, names)

    def _whole(self, file: Path) -> pandas.DataFrame:
        readers: dict[str, Callable[[Path], Any]] = {
            "json": self._json,
            "jsonl": self._jsonl,
            "excel": self._excel,
            "sas": self._sas,
            "spss": self._spss,
            "stata": self._stata,
            "xml": self._xml,
            "html": self._html,
            **self.more(),
        }
        return self.guarded(lambda: readers[self.type](file), file)

    def guarded(self, read: Callable[[], Read], file: Path) -> Read:
        """What `read` gives; what libraries raise at a file that is not what it says becomes an error of this source."""
        try:
            return read()
        except ImportError as error:
            named = re.search(r"Import ([\w-]+)|dependency '([\w-]+)'", str(error))  # what pandas says, 3 and 2
            needed = named.group(1) or named.group(2) if named else error.name or _NEEDS.get(self.type)
            raise self.missing(needed, f"type `{self.type}`") from error
        except EtlError:
            raise
        except BROKEN as error:
            raise self.failed(
                f"the file cannot be read as {self.type}: {_first_line(error)}", "check the file, or say its `type:`", file
            ) from error
        except OSError as error:
            said = error.strerror or _first_line(error)
            raise self.failed(f"the file cannot be read as {self.type}: {said}", "check the file", file) from error

    def _json(self, file: Path) -> pandas.DataFrame:
        lines = self.orientation == "records" and not self._is_list(file)
        return self._read_json(file, orient=self.orientation, typ=self.object_type, lines=lines)

    def _is_list(self, file: Path) -> bool:
        if ARCHIVES.search(file.name):
            return False
        first = next(bytestream.blocks(file, self.encoding, self.spec.where(self.key), bytestream.Size(4096)), b"")
        return first.lstrip().startswith(b"[")

    def _jsonl(self, file: Path) -> pandas.DataFrame:
        return self._read_json(file, orient="records", lines=True)

    def _read_json(self, file: Path, **options: Any) -> pandas.DataFrame:
        """What pandas 2 reads. Later ones leave `"1.0"` a float, and know times that no nanoseconds count."""
        import pandas

        options.setdefault("encoding", self.encoding)
        found = pandas.read_json(file, **options)
        if isinstance(found, pandas.Series):
            return found.to_frame(name="0")
        written: pandas.DataFrame | None = None
        for place, dtype in enumerate(found.dtypes):
            values = found.iloc[:, place]
            if dtype.kind == "f" and len(values) and ((values % 1 == 0) & (values.abs() < 1 << 63)).all():
                found.isetitem(place, values.astype("int64"))
            elif isinstance(dtype, pandas.DatetimeTZDtype) or dtype.kind == "M":
                plain = values.dt.tz_convert(None) if values.dt.tz is not None else values
                if ((plain < pandas.Timestamp.min.ceil("D")) | (plain > pandas.Timestamp.max.floor("D"))).any():
                    if written is None:
                        written = pandas.read_json(file, **options, dtype=False)
                    found.isetitem(place, written.iloc[:, place])
        return found

    def _excel(self, file: Path) -> pandas.DataFrame:
        import pandas

        with pandas.ExcelFile(file) as book:
            if not self.headers.wanted:
                whole = pandas.read_excel(book, sheet_name=self.sheet, keep_default_na=False, header=None)
                if self.selected:
                    if len(self.selected) != whole.shape[1]:
                        raise self.failed(
                            f"`columns` names {len(self.selected)} columns and the sheet has {whole.shape[1]}",
                            "without a header, `columns` names all columns in their order",
                            file,
                        )
                    whole.columns = self.selected
                return whole
            return pandas.read_excel(
                book,
                sheet_name=self.sheet,
                keep_default_na=False,
                header=0,
                skiprows=self.headers.skipped,
                names=self.unique(self._excel_names(book), file),
            )

    def _excel_names(self, book: pandas.ExcelFile) -> list[str]:
        import pandas

        wanted = self.headers.wanted
        top = pandas.read_excel(
            book, sheet_name=self.sheet, keep_default_na=False, header=None, nrows=max(wanted) + 1, dtype=object
        )
        if len(top) <= max(wanted):
            raise self.failed("the sheet ends before its header", "check `sheet` and `header_rows`")
        lines = [["" if cell is None or cell != cell else str(cell) for cell in top.iloc[line]] for line in wanted]
        if not self.headers.levels:
            return deduplicated(lines[0])
        return joined(_merged(lines), self.headers.fill)

    def _sas(self, file: Path) -> pandas.DataFrame:
        import pandas

        if file.suffix.lower() in (".xpt", ".sas7bdat"):
            return pandas.read_sas(file, encoding=self.encoding)
        return pandas.read_sas(file, encoding=self.encoding, format="sas7bdat")

    def _spss(self, file: Path) -> pandas.DataFrame:
        import pandas
        import pyreadstat

        try:
            return pandas.read_spss(file)
        except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError) as error:
            raise ValueError(str(error)) from error

    def _stata(self, file: Path) -> pandas.DataFrame:
        import pandas

        return pandas.read_stata(file)

    def _xml(self, file: Path) -> pandas.DataFrame:
        """Entities are refused: they may read other files, or grow without end."""
        import io

        import pandas
        from lxml import etree

        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        tree = etree.parse(str(file), parser)
        if any(True for _ in tree.iter(etree.Entity)) or (
            tree.docinfo.internalDTD is not None and any(True for _ in tree.docinfo.internalDTD.iterentities())
        ):
            raise self.failed("the XML defines entities, which are not followed", "write their text into the file", file)
        tree.docinfo.clear()
        try:
            return pandas.read_xml(io.BytesIO(etree.tostring(tree)), xpath=self.xpath, parser="lxml")
        except etree.XPathError as error:
            raise self.failed(f"`xpath` cannot be read: {_first_line(error)}", "write it like `.//day`", self.xpath) from error

    def _html(self, file: Path) -> pandas.DataFrame:
        import pandas

        # Told by name, since pandas would ask for another library where this one finds no table.
        options: dict[str, Any] = {"match": self.match, "keep_default_na": False, "encoding": self.encoding, "flavor": "lxml"}
        found = pandas.read_html(file, **options)[0]
        if found.columns.nlevels > 1:
            found.columns = [" ".join(dict.fromkeys(map(str, parts))) for parts in found.columns]
        return found

    def more(self) -> dict[str, Callable[[Path], pandas.DataFrame]]:
        """Further types and how they are read."""
        return {}


class Pickle(Typed):
    """Only where the document is trusted."""

    def more(self) -> dict[str, Callable[[Path], pandas.DataFrame]]:
        return {"pickle": self._pickle}

    def _pickle(self, file: Path) -> pandas.DataFrame:
        import pandas

        found = pandas.read_pickle(file)
        if not isinstance(found, pandas.DataFrame):
            raise self.failed(f"the pickle holds a {type(found).__name__}, not a table", "pickle a pandas DataFrame", file)
        return found


def _merged(lines: list[list[str]]) -> list[list[str]]:
    """Empty cells of a header take the name on their left, as merged cells mean, below the same name of the line above."""
    free = [True] * len(lines[0])
    for line in lines:
        last = line[0]
        for place in range(1, len(line)):
            if not free[place]:
                last = line[place]
            if line[place]:
                free[place] = False
                last = line[place]
            else:
                line[place] = last
    return lines


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
