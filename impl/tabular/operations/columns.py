"""Operations on columns: their names, which of them stay, and what stands in them value by value."""

from __future__ import annotations

import csv
import re
import string
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from impl.tabular.flow import ANY, OBJECT, STEADY, TEXT, Column, Context, Flow
from impl.tabular.operation import Operation, RowWise, matching, operation
from impl.tabular.spec import Spec, nearest
from impl.tabular.spill import Spool

if TYPE_CHECKING:
    import polars as pl

_CACHED = 500_000  # dates whose text is remembered
_DIGITS = 2**63


class _Columns(RowWise):
    """Looks at the names of the columns: before any row if they are known then, else when rows come."""

    _checked: list[str] | None = None

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """What is wrong with these columns, and a hint."""
        yield from ()

    def after(self, given: list[Column]) -> list[Column]:
        """The columns that come out; as good as can be told where there are problems."""
        return given

    @abstractmethod
    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        """The batch, changed."""

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        if given[0] is None:
            return None
        wrong = list(self.problems([one.name for one in given[0]]))
        for what, hint in wrong:
            self.spec.note(what, self.key, hint)
        left = self.after(given[0])
        if given[0] and not left and not wrong:
            self.spec.note(NOTHING_LEFT, self.key, KEEP_ONE)
        return left

    key: ClassVar[str | None] = "columns"  # the option that the problems are about

    def begin(self, context: Context) -> None:
        self._checked = None

    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        names = batch.columns
        if names != self._checked:
            for what, hint in self.problems(names):
                raise self.failed(what, hint, key=self.key)
            self._checked = names
        changed = self.change(batch)
        if names and not changed.columns:
            raise self.failed(NOTHING_LEFT, KEEP_ONE, key=self.key)
        return changed


NOTHING_LEFT = "no column is left"  # and rows without columns are none
KEEP_ONE = "keep one column at least"


def _absent(wanted: Iterable[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for one in wanted:
        if one not in names:
            yield f"there is no column `{one}`", nearest(one, names)


def _unmatched(patterns: Iterable[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    there = dict.fromkeys(names)
    for one in patterns:
        if not matching(one, there):
            yield f"there is no column `{one}`", nearest(one, names)


def _matched(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The columns that the patterns stand for, each once, in the order of the patterns."""
    there = dict.fromkeys(names)
    return list(dict.fromkeys(name for one in patterns for name in matching(one, there)))


def _pairs(spec: Spec) -> dict[str, str]:
    """`columns: {old: new}`; a name that YAML takes for a number or a yes or no has to be quoted."""
    pairs = {}
    for old, new in spec.mapping("columns").items():
        for one in (old, new):
            if not isinstance(one, str):
                spec.note(f"`{one}` is no name of a column", "columns", "put it in quotes")
        pairs[str(old)] = str(new)
    return pairs


def _which(spec: Spec) -> list[str]:
    """`column` or `columns`, just one of them."""
    column, columns = spec.text("column", ""), spec.texts("columns", [])
    if bool(column) == bool(columns):
        both = "`column` and `columns` are both there" if column else "there is no `column`"
        spec.wrong(both, "columns" if column else None, "write one `column`, or several `columns`")
    return columns or [column]


@operation("rename_columns")
class RenameColumns(_Columns):
    """Other names; order and values stay. All pairs are taken at once, so a new name may not be one that is there."""

    def read(self, spec: Spec) -> None:
        self.renames = _pairs(spec)
        _told_twice(self, self.renames.values())

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        for new in self.renames.values():
            if new in names:
                yield f"there is a column `{new}` already", "drop it before, or choose another name"
        yield from _absent(self.renames, names)

    def after(self, given: list[Column]) -> list[Column]:
        names = [one.name for one in given]
        added = [Column(new, ANY) for old, new in self.renames.items() if old not in names]
        return [Column(self.renames.get(one.name, one.name), one.kind) for one in given] + added

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.rename(self.renames)


def _told_twice(made: Operation, names: Iterable[str]) -> None:
    seen = set()
    for one in names:
        if one in seen:
            made.spec.note(f"two columns would be called `{one}`", "columns")
        seen.add(one)


@operation("duplicate_columns")
class DuplicateColumns(_Columns):
    """Copies under new names, last; a later pair may copy an earlier copy. A copy onto a column takes its place."""

    _told = False

    def read(self, spec: Spec) -> None:
        self.copies = _pairs(spec)

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        there = list(names)
        for old, new in self.copies.items():
            yield from _absent([old], there)
            if new in there and not self._told:
                self.spec.problems.warn(f"the column `{new}` is overwritten", self.spec.where("columns"))
            there.append(new)
        self._told = True

    def after(self, given: list[Column]) -> list[Column]:
        kinds = {one.name: one.kind for one in given}
        for old, new in self.copies.items():
            kinds[new] = kinds.get(old, ANY)
        return [Column(name, kind) for name, kind in kinds.items()]

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        made: dict[str, pl.Series] = {}
        for old, new in self.copies.items():
            made[new] = (made[old] if old in made else batch[old]).alias(new)
        return batch.with_columns(made.values())


@operation("drop_columns")
class DropColumns(_Columns):
    """Without some columns; what is not there need not be dropped."""

    def read(self, spec: Spec) -> None:
        self.patterns = spec.texts("columns")

    def after(self, given: list[Column]) -> list[Column]:
        gone = set(_matched(self.patterns, [one.name for one in given]))
        return [one for one in given if one.name not in gone]

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.drop(_matched(self.patterns, batch.columns))


@operation("keep_columns")
class KeepColumns(_Columns):
    """Some columns, in the order of the list."""

    def read(self, spec: Spec) -> None:
        self.patterns = spec.texts("columns")

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        yield from _unmatched(self.patterns, names)

    def after(self, given: list[Column]) -> list[Column]:
        known = {one.name: one for one in given}
        kept = []
        for pattern in self.patterns:
            kept += [known[name] for name in matching(pattern, known)] or [Column(pattern, ANY)]
        return list({one.name: one for one in kept}.values())

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.select(_matched(self.patterns, batch.columns))


@operation("combine_columns")
class CombineColumns(_Columns):
    """The texts of some columns, one after the other, in a column that is last or takes the place of one of its name."""

    def read(self, spec: Spec) -> None:
        self.patterns = spec.texts("columns")
        self.new = spec.text("new_column")
        self.separator = spec.text("separator", "")
        self.row = 0

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        yield from _unmatched(self.patterns, names)

    def after(self, given: list[Column]) -> list[Column]:
        kinds = {one.name: one.kind for one in given} | {self.new: TEXT}
        return [Column(name, kind) for name, kind in kinds.items()]

    def begin(self, context: Context) -> None:
        super().begin(context)
        self.row = 0

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        names = _matched(self.patterns, batch.columns)
        for name in names:
            column = batch[name]
            if column.dtype != pl.String and column.null_count() < batch.height:
                what = f"`{name}` holds {_kind_word(column)}, only text can be combined"
                raise self.failed(what, "make it text with `modify_columns`: '{{value}}'", self.row + 1, key="columns")
            if column.null_count():
                row = self.row + (column.is_null().arg_max() or 0) + 1
                what = f"`{name}` is missing, it cannot be combined"
                raise self.failed(
                    what, f"give it a value before, or leave out such rows: `{name}.notnull()`", row, key="columns"
                )
        self.row += batch.height
        texts = [pl.col(name).cast(pl.String) for name in names]
        return batch.with_columns(pl.concat_str(texts, separator=self.separator).alias(self.new))


def _kind_word(column: pl.Series) -> str:
    return "numbers" if column.dtype.is_numeric() else "dates" if column.dtype.is_temporal() else "no text"


class _Cased(_Columns):
    key = None

    def read(self, spec: Spec) -> None:
        """There are no options."""

    @staticmethod
    @abstractmethod
    def cased(name: str) -> str:
        """The new name of a column."""

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        first: dict[str, str] = {}
        for one in names:
            new = self.cased(one)
            if new in first:
                yield f"`{first[new]}` and `{one}` would both be called `{new}`", "rename one of them before"
            first.setdefault(new, one)

    def after(self, given: list[Column]) -> list[Column]:
        return list({one: Column(one, column.kind) for column in given for one in [self.cased(column.name)]}.values())

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.rename({one: self.cased(one) for one in batch.columns})


_CAMEL = re.compile("(?<=.)(?=[A-Z][a-z])|(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN = re.compile(f"[{re.escape(string.punctuation)} ]+")


@operation("snake_case_columns")
class SnakeCaseColumns(_Cased):
    """`schoolYear (2)` becomes `school_year_2_`: each punctuation mark or blank is a `_`, never two, none in front."""

    @staticmethod
    def cased(name: str) -> str:
        return _BETWEEN.sub("_", _CAMEL.sub("_", name)).removeprefix("_").lower()


@operation("lowercase_columns")
class LowercaseColumns(_Cased):
    @staticmethod
    def cased(name: str) -> str:
        return name.lower()


@operation("uppercase_columns")
class UppercaseColumns(_Cased):
    @staticmethod
    def cased(name: str) -> str:
        return name.upper()


@operation("map_values")
class MapValues(Operation):
    """Other values for whole values; what is not in the mapping stays.

    A mapping to texts works on each batch (`_MapTexts`). Values that are no text make the column one of numbers if all of it
    becomes numbers (101, but 101.0 where some are missing), which is known when all rows were seen; else they are text.
    files: the mapping's, for checkpoints.
    """

    files: Sequence[Path] = ()

    def __new__(cls, spec: Spec) -> MapValues:
        mapping = spec.options.get("mapping")
        typed = isinstance(mapping, dict) and any(one is not None and not isinstance(one, str) for one in mapping.values())
        return object.__new__(cls if typed or cls is not MapValues else _MapTexts)

    def read(self, spec: Spec) -> None:
        self.patterns = _which(spec)
        mapping, map_file = spec.mapping("mapping", {}), spec.text("map_file", "")
        if mapping:
            self.mapping = dict(mapping)
            self.check_mapping()
        elif map_file:
            path = Path(getattr(spec, "path", Path)(map_file))
            self.files = [path]
            self.mapping = self.read_file(path, map_file)
        else:
            spec.wrong("there is no mapping", None, "write `mapping:` (old: new) or `map_file:` (CSV or TSV with two columns)")

    def check_mapping(self) -> None:
        """Only plain values; keys that YAML makes numbers are worth a warning."""
        for value in self.mapping.values():
            if isinstance(value, dict | list):
                self.spec.wrong("a value of the mapping has to be one value", "mapping")
        odd = [str(one) for one in self.mapping if one is not None and not isinstance(one, str)]
        if odd:
            listed = ", ".join(f"`{one}`" for one in odd[:5]) + (" and more" if odd[5:] else "")
            what = f"{listed} {'are' if odd[1:] else 'is'} no text to YAML and will never be found in text"
            self.spec.problems.warn(what, self.spec.where("mapping"), "put it in quotes, as it is written in the file")

    def read_file(self, path: Path, named: str) -> dict[Any, Any]:
        """Two columns of a CSV or TSV file, without its header; of two equal keys the last counts."""
        separator = {"csv": ",", "tsv": "\t"}.get(named.lower().rsplit(".", 1)[-1])
        if separator is None:
            self.spec.wrong(f"`{named}` is no .csv and no .tsv", "map_file")
        try:
            with path.open(encoding="utf-8") as file:
                rows = list(csv.reader(file, delimiter=separator))
        except FileNotFoundError:
            self.spec.wrong(f"there is no file `{path}`", "map_file", "a path is relative to the file that names it")
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self.spec.wrong(f"`{path}` cannot be read: {error}", "map_file")
        for number, row in enumerate(rows[1:], 2):
            if len(row) != 2:
                self.spec.wrong(f"row {number} of `{path}` has {len(row)} columns, not two", "map_file")
        return dict(rows[1:])

    def columns(self, given: list[list[Column] | None]) -> list[Column] | None:
        if given[0] is None:
            return None
        names = [one.name for one in given[0]]
        for what, hint in _unmatched(self.patterns, names):
            self.spec.note(what, "columns" if self.spec.has("columns") else "column", hint)
        mapped = _matched(self.patterns, names)
        return [Column(one.name, self.kind(one.kind)) if one.name in mapped else one for one in given[0]]

    def kind(self, given: str) -> str:
        return OBJECT if given in (TEXT, STEADY, OBJECT) else ANY  # numbers of texts are objects to pandas

    def mapped(self, batch: pl.DataFrame) -> list[str]:
        """The columns that the mapping is for."""
        for what, hint in _unmatched(self.patterns, batch.columns):
            raise self.failed(what, hint, key="columns" if self.spec.has("columns") else "column")
        return _matched(self.patterns, batch.columns)

    def run(self, flows: list[Flow], context: Context) -> Iterator[pl.DataFrame]:
        """Rows wait until the kind of each column is known: text as soon as one text is seen, else at the end."""
        held = Spool(context)
        kinds: dict[str, set[str]] = {}
        open_ = True
        for batch in flows[0].batches():
            if open_:
                for name in self.mapped(batch):
                    kinds.setdefault(name, set()).update(self.seen(batch[name]))
                open_ = any(not _is_text(one) for one in kinds.values())
            if open_:
                held.add(batch)
                continue
            if held.empty is not None:
                yield from self._released(held, kinds)
                held = Spool(context)
            yield self.changed(batch, kinds)
        yield from self._released(held, kinds)

    def _released(self, held: Spool, kinds: Mapping[str, set[str]]) -> Iterator[pl.DataFrame]:
        """The rows that waited."""
        for batch in held:
            yield self.changed(batch, kinds)
        held.close()

    def seen(self, column: pl.Series) -> set[str]:
        """What sorts of values come out for these: text, integer, float, boolean, null."""
        import polars as pl

        pairs = self.fitting(column.dtype)
        there = column.drop_nulls()
        found = {_sort(self.missing)} if there.len() < column.len() else set()
        if not pairs:
            return found | ({_sort_of(column.dtype)} if there.len() else set())
        kind = pl.Int64() if column.dtype.is_integer() else column.dtype
        there = there.cast(kind)
        known = there.is_in(pl.Series(list(pairs), dtype=kind).implode())
        if not known.all():
            found.add(_sort_of(column.dtype))
        return found | {_sort(pairs[one]) for one in there.filter(known).unique().to_list()}

    @property
    def missing(self) -> Any:
        """What a missing value becomes."""
        return next((new for old, new in self.mapping.items() if old is None or old != old), None)

    def fitting(self, dtype: pl.DataType) -> dict[Any, Any]:
        """The part of the mapping whose keys can stand in such a column: text is never a number, and True is no 1."""
        import polars as pl

        def fits(key: Any) -> bool:
            if dtype == pl.String:
                return isinstance(key, str)
            if dtype == pl.Boolean:
                return isinstance(key, bool)
            number = isinstance(key, int | float) and not isinstance(key, bool) and abs(key) < _DIGITS
            return number and (dtype.is_float() or (dtype.is_integer() and key == int(key)))

        whole = dtype.is_integer()
        return {int(key) if whole else key: value for key, value in self.mapping.items() if fits(key)}

    def changed(self, batch: pl.DataFrame, kinds: Mapping[str, set[str]]) -> pl.DataFrame:
        import polars as pl

        made = []
        for name in self.mapped(batch):
            column, sorts = batch[name], kinds[name] - {"null"}
            pairs = self.fitting(column.dtype)
            if _is_text(kinds[name]) or not sorts:
                made.append(self.texts(column, pairs))
                continue
            whole = sorts == {"integer"} and "null" not in kinds[name] and not column.dtype.is_float()
            kind = pl.Int64() if whole else pl.Boolean() if sorts == {"boolean"} else pl.Float64()
            values = [self.missing if one is None else pairs.get(one, one) for one in column.to_list()]
            made.append(pl.Series(name, [None if _sort(one) == "null" else one for one in values], dtype=kind, strict=False))
        return batch.with_columns(made)

    def texts(self, column: pl.Series, pairs: Mapping[Any, Any]) -> pl.Series:
        """The column after the mapping, as text; unchanged where nothing of it can be in the mapping."""
        import polars as pl

        missing = _text(self.missing)
        if column.dtype != pl.String:
            if not pairs and missing is None:
                return column
            values = [missing if one is None else _text(pairs.get(one, one)) for one in column.to_list()]
            return pl.Series(column.name, values, dtype=pl.String)
        made = column
        if pairs:
            new = pl.Series([_text(one) for one in pairs.values()], dtype=pl.String)
            made = column.replace(pl.Series(list(pairs), dtype=pl.String), new)
        if missing is not None and column.null_count():
            made = pl.select(pl.when(column.is_null()).then(pl.lit(missing)).otherwise(made)).to_series().alias(column.name)
        return made


class _MapTexts(RowWise, MapValues):
    """A mapping to texts: nothing depends on other rows."""

    def kind(self, given: str) -> str:
        return given if given in (TEXT, STEADY, OBJECT) else ANY

    def apply(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.with_columns(self.texts(batch[one], self.fitting(batch[one].dtype)) for one in self.mapped(batch))


def _sort(value: Any) -> str:
    if value is None or value != value:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and abs(value) < _DIGITS:
        return "integer"
    return "float" if isinstance(value, float) else TEXT


def _sort_of(dtype: pl.DataType) -> str:
    import polars as pl

    return "integer" if dtype.is_integer() else "float" if dtype.is_float() else "boolean" if dtype == pl.Boolean else TEXT


def _is_text(sorts: set[str]) -> bool:
    """Whether values of these sorts have no kind in common: only numbers do, or True and False with none missing."""
    return bool(sorts) and sorts != {"null"} and not (sorts <= {"integer", "float", "null"} or sorts == {"boolean"})


def _text(value: Any) -> str | None:
    return None if _sort(value) == "null" else str(value)


@operation("date_format")
class DateFormat(_Columns):
    """Dates in another form. A missing or empty value is missing after it.

    The dates are read by pandas, each one that differs once. exact_match: whether the whole value has to be the date, not
    only a part of it. ignore_errors: what is no date becomes missing.
    """

    def read(self, spec: Spec) -> None:
        self.patterns = _which(spec)
        self.old, self.new = spec.text("from_format"), spec.text("to_format")
        self.ignore, self.exact = spec.flag("ignore_errors"), spec.flag("exact_match")
        self.row = 0
        self.known: dict[str, dict[Any, str | None]] = {}  # by type of column

    def problems(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        yield from _unmatched(self.patterns, names)

    def after(self, given: list[Column]) -> list[Column]:
        dates = _matched(self.patterns, [one.name for one in given])
        return [Column(one.name, TEXT) if one.name in dates else one for one in given]

    def begin(self, context: Context) -> None:
        super().begin(context)
        self.row = 0

    def change(self, batch: pl.DataFrame) -> pl.DataFrame:
        made = [self.formatted(batch[name]) for name in _matched(self.patterns, batch.columns)]
        self.row += batch.height
        return batch.with_columns(made)

    def formatted(self, column: pl.Series) -> pl.Series:
        import polars as pl

        if column.dtype.is_nested() or column.dtype == pl.Object:
            raise self.failed(f"`{column.name}` holds {_kind_word(column)}", key="from_format")
        known = self.known.setdefault(str(column.dtype), {})
        if len(known) > _CACHED:
            known.clear()
        values = column.drop_nulls().unique(maintain_order=True)
        listed = values.to_list()
        new = [one for one in listed if one not in known]
        if new:
            texts, wrong = self.converted(new)
            if wrong:
                value, reason = next(iter(wrong.items()))
                row = self.row + column.to_list().index(value) + 1
                what = f"`{column.name}` is no date of the form `{self.old}`: {reason}"
                hint = "mend `from_format`, or let such values be missing: `ignore_errors: True`"
                raise self.failed(what, hint, row, value, "from_format")
            known.update(zip(new, texts, strict=True))
        if not listed:
            return pl.Series(column.name, [None] * column.len(), dtype=pl.String)
        shown = pl.Series([known[one] for one in listed], dtype=pl.String)
        return column.replace_strict(values, shown, default=None, return_dtype=pl.String)

    def converted(self, values: list[Any]) -> tuple[list[str | None], dict[Any, str]]:
        """The new text of each value, and the values that are no dates, with what pandas says of them."""
        import warnings

        import pandas

        # Years that a 64-bit count of nanoseconds cannot hold are no dates: so it is with pandas before 3.
        options: dict[str, Any] = {"format": self.old, "exact": self.exact}
        asked = pandas.Series(values, dtype=object)
        wrong: dict[Any, str] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dates = pandas.to_datetime(asked, errors="coerce", **options)
                naive = dates.dt.tz_localize(None)
                outside = (naive < pandas.Timestamp.min) | (naive > pandas.Timestamp.max)
                dates = dates.where(~outside)
                found = dates.dt.strftime(self.new)
            except (ValueError, TypeError, AttributeError) as error:
                raise self.failed(f"the dates cannot be read: {error}", key="from_format") from error
            if not self.ignore:
                for at in dates.index[dates.isna()]:
                    try:
                        again = pandas.to_datetime(asked[[at]], errors="raise", **options)
                        if bool(outside[at]) and not again.isna().all():
                            wrong[values[at]] = "the year is too far away"
                    except ValueError as error:
                        wrong[values[at]] = str(error).splitlines()[0].split(", at position")[0].split(". You might")[0]
                    if wrong:
                        break
        return [one if isinstance(one, str) else None for one in found.tolist()], wrong
