"""What a source is: columns before any row, batches, and what a checkpoint depends on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from impl.run.errors import EtlError
from impl.run.secrets import redact
from impl.tabular.flow import ANY, BATCH, TEXT, Column, Context, Flow, framed
from impl.tabular.spec import GLOBAL_KEYS, SkippedError, Spec, nearest

if TYPE_CHECKING:
    import polars as pl

INSTALL = "pip install -e '.[tabular]'"


class Source(ABC):
    """One source of a document.

    remote: it has no files that can be hashed. reads: facts that tell whether it reads something else than before, without
    passwords. kind: of columns whose kind is not known before the rows.
    """

    remote: ClassVar[bool] = False
    again: ClassVar[bool] = True  # its batches may be asked for twice
    kind: ClassVar[str] = ANY
    key: ClassVar[str] = "file"  # the option that errors point at

    def __init__(self, spec: Spec, path: Callable[[str], Path]) -> None:
        self.spec, self.path = spec, path
        self.optional = spec.flag("optional")
        self.optional_fields: list[str] = list(dict.fromkeys(spec.texts("optional_fields", ())))
        spec.count("chunksize", None, least=1)  # the peer's partitions; batches here have a size of their own
        self.selected: list[str] | None = None
        self.rename = False
        self.needed: Set[str] | None = (
            None  # the columns of the file that frames have to have from the second one on; None: all
        )
        self.read(spec)
        spec.done(also=GLOBAL_KEYS)

    def read(self, spec: Spec) -> None:  # noqa: B027 - not all have options
        """Take the options; what is wrong is noted in `spec`."""

    @property
    @abstractmethod
    def reads(self) -> dict[str, str]:
        """What it reads, in words for a record; no passwords."""

    def files(self) -> list[Path]:
        """The local files that it reads, those that exist or not."""
        return []

    def given(self) -> list[Column] | None:
        """The columns as they stand in the file, where a glance tells; else None. Raises `EtlError`."""
        return None

    @abstractmethod
    def frames(self, context: Context) -> Iterator[pl.DataFrame]:
        """The rows with all columns of the file; at least one frame. Raises `EtlError`."""

    def columns(self) -> list[Column] | None:
        """The columns that come out, or None where only rows tell; problems are noted, and then None comes back."""
        try:
            given = self.given()
        except EtlError as error:
            self.spec.problems.note(error.what, error.where or self.spec.where(self.key), error.hint or "")
            return None
        if given is None:
            return self._foretold()

        def wrong(what: str, hint: str) -> NoReturn:
            self.spec.wrong(what, "columns", hint)

        try:
            return [column for _, column in self._shape(given, wrong)]
        except SkippedError:
            return None

    def flow(self, context: Context, wanted: Set[str] | None = None) -> Flow:
        """The rows, in batches of text or of the types of the file. wanted: columns; others are left out. None: all."""
        columns = self.columns()
        if wanted is not None and columns is not None:
            columns = [one for one in columns if one.name in wanted]
        return Flow(columns or None, lambda: self._batches(context, wanted), again=self.again)

    def failed(self, what: str, hint: str = "", place: object = None) -> EtlError:
        """The error of this source: it names the file of the document, the line, the node and `place`."""
        where = self.spec.where(self.key) + (f": {redact(str(place))}" if place is not None else "")
        return EtlError(redact(what), where=where, hint=hint or None)

    def missing(self, module: str | None, what: str) -> EtlError:
        """The error where a library is not installed."""
        return self.failed(
            f"reading {what} needs the package `{module}`", f"install what the tabular engine reads with: {INSTALL}"
        )

    def _batches(self, context: Context, wanted: Set[str] | None) -> Iterator[pl.DataFrame]:
        def wrong(what: str, hint: str) -> NoReturn:
            raise EtlError(what, where=self.spec.where("columns"), hint=hint or None)

        shape: list[tuple[str | None, Column]] | None = None
        self.needed = None
        for frame in self.frames(context):
            if shape is None:
                given = [Column(name, kind_of(dtype)) for name, dtype in frame.schema.items()]
                shape = self._shape(given, wrong)
                same = [column for _, column in shape] == given
                if wanted is not None and any(column.name not in wanted for _, column in shape):
                    # a frame without columns would have no rows
                    shape = [one for one in shape if one[1].name in wanted] or shape[:1]
                    same = False
                    self.needed = {origin for origin, _ in shape if origin is not None}
            shaped = frame if same else _shaped(frame, shape)
            if shaped.height <= BATCH:
                yield shaped
            else:
                yield from shaped.iter_slices(BATCH)

    def _shape(self, given: Sequence[Column], wrong: Callable[[str, str], NoReturn]) -> list[tuple[str | None, Column]]:
        """What comes out: the name in the file (None: an optional field that is not there) and the column, in order."""
        names = [one.name for one in given]
        shaped: list[tuple[str | None, Column]] = [(one.name, one) for one in given]
        if self.selected is not None and self.rename:
            if len(names) != len(self.selected):
                wrong(
                    f"`columns` names {len(self.selected)} columns and the source has {len(names)}",
                    f"the source has {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}",
                )
            shaped = [(one.name, Column(new, one.kind)) for one, new in zip(given, self.selected, strict=True)]
        elif self.selected is not None:
            by_name = {one.name: one for one in given}
            wanted = [one for one in self.selected if one in by_name or one not in self.optional_fields]
            absent = [one for one in wanted if one not in by_name]
            if absent:
                near = nearest(absent[0], names)
                wrong(
                    f"the source has no column {', '.join(f'`{one}`' for one in absent)}",
                    f"{near}{'' if near.endswith('?') else '.'} A column that may be absent stands in `optional_fields`"
                    if names
                    else "the source has no columns",
                )
            shaped = [(one, by_name[one]) for one in wanted]
        present = {column.name for _, column in shaped}
        return shaped + [(None, Column(one, TEXT)) for one in self.optional_fields if one not in present]

    def _foretold(self) -> list[Column] | None:
        """The columns that the options alone tell: all listed ones have to be there."""
        if self.selected is None or (not self.rename and set(self.selected) & set(self.optional_fields)):
            return None
        listed = [Column(one, self.kind) for one in self.selected]
        return listed + [Column(one, TEXT) for one in self.optional_fields if one not in self.selected]


def read_columns(source: Source, spec: Spec) -> None:
    """Take `columns` and `rename_cols` into `source`."""
    source.selected = spec.texts("columns", None)
    source.rename = spec.flag("rename_cols")
    twice = sorted({one for one in source.selected or () if (source.selected or []).count(one) > 1})
    if twice:
        spec.wrong(f"`columns` lists {', '.join(f'`{one}`' for one in twice)} twice", "columns", "name each column once")
    if source.rename and not source.selected:
        spec.wrong("`rename_cols` needs `columns`", "rename_cols", "list the new names of all columns under `columns:`")
    if source.optional and not source.selected:
        spec.wrong(
            "an optional source needs `columns`", "optional", "list under `columns:` what comes out where the file is not there"
        )


def kind_of(dtype: pl.DataType | type[pl.DataType]) -> str:
    """The kind of a Polars type."""
    import polars as pl

    from impl.tabular.flow import BOOLEAN, FLOAT, INTEGER, OBJECT, TIME

    if dtype == pl.String:
        return TEXT
    if dtype.is_integer():
        return INTEGER
    if dtype.is_float():
        return FLOAT
    if dtype == pl.Boolean:
        return BOOLEAN
    return TIME if dtype.is_temporal() else OBJECT


def empty(names: Sequence[str]) -> pl.DataFrame:
    """No rows, with text columns of these names."""
    import polars as pl

    return pl.DataFrame(schema=dict.fromkeys(names, pl.String))


def _shaped(frame: pl.DataFrame, shape: list[tuple[str | None, Column]]) -> pl.DataFrame:
    """The columns of `shape` from `frame`. By name and not by expression: names such as `*` are patterns there."""
    import polars as pl

    return framed(
        pl.Series(column.name, [""], pl.String).new_from_index(0, frame.height).alias(column.name)
        if origin is None
        else frame.get_column(origin).alias(column.name)
        for origin, column in shape
    )
