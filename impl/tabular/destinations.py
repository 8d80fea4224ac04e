"""Destinations: a table written to a file, row by row through a template, or as CSV, Parquet or JSON lines.

    destination = open_destination(spec, path, environment=spec.environment, variables=variables)
    destination.check(columns)                              # names that the template reads and no column has
    rows = destination.write(flow, output_dir, context)     # the file is there whole, or as it was

Without a template a row is a JSON object of texts. `header` and `footer` are written as they are; with Jinja in them they are
rendered with the first row (with empty texts if there is none), and a line ends behind them.
"""

from __future__ import annotations

import gzip
import io
import json
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from impl.run.errors import EtlError
from impl.run.files import replacing, sweep_beside
from impl.tabular.behind import Behind
from impl.tabular.collections import read_collection
from impl.tabular.flow import BATCH, Column, Context, Flow
from impl.tabular.spec import GLOBAL_KEYS, Spec, nearest
from impl.tabular.state import file_digest
from impl.tabular.templates import RowTemplate, has_jinja
from impl.tabular.types import TYPES, typed

if TYPE_CHECKING:
    import jinja2
    import polars as pl

TEMPLATE, CSV, PARQUET, JSONL = FORMATS = ("template", "csv", "parquet", "jsonl")
COMPRESSIONS = ("none", "gzip")
ROW_GROUP = 250_000  # rows of a group in a Parquet file, about
LEVEL = 6  # of gzip
_PLAIN = bytes(code for code in range(32, 127) if chr(code) not in "\"\\<>&'")  # what JSON that is safe in HTML writes as it is


def open_destination(
    spec: Spec,
    path: Callable[[str], Path] = Path,
    *,
    environment: jinja2.Environment | None = None,
    variables: Mapping[str, str] | None = None,
) -> Destination:
    """Read a destination's options; what is wrong is noted in `spec`.

    path: makes a template's path absolute. variables: what `$NAME` in a template stands for.
    """
    return Destination(spec, path, environment, variables or {})


class Destination:
    """What a table is written to. name: of the node, and of the file; place: a file to be written instead."""

    def __init__(
        self,
        spec: Spec,
        path: Callable[[str], Path],
        environment: jinja2.Environment | None,
        variables: Mapping[str, str],
    ) -> None:
        from impl.tabular.templates import environment as make

        self.spec, self.environment = spec, environment or make("", Path.cwd(), sandboxed=False)
        self.name = spec.ref.split(".", 1)[-1]
        self.place: Path | None = None
        self.sha256 = ""  # of what was written last, where it is asked for
        self.source = spec.text("source")
        self.collection = read_collection(spec)
        self.format = PARQUET if self.collection else spec.choice("format", FORMATS, TEMPLATE)
        self.compression = spec.choice("compression", COMPRESSIONS, "none")
        self.linearize = spec.flag("linearize", True)
        self.extension = spec.text("extension", "")
        self.file_name = self._file_name()
        self.files: list[Path] = []
        self.template = self._template(path, variables)
        self.header, self.footer = self._literal("header"), self._literal("footer")
        self.schema = self._schema(path)
        self.types = self._types()
        if self.format == PARQUET and self.compression != "none":
            spec.note("a Parquet file is compressed inside", "compression", "leave `compression` out")
        self.header_end = self.footer_start = 0  # bytes of what was written last; where it is compressed, of its text
        spec.done(also=GLOBAL_KEYS)

    # --- options -------------------------------------------------------------------------------------------------------------

    def _file_name(self) -> str:
        name = f"{self.name}.{self.extension}" if self.extension else self.name
        if self.compression == "gzip" and not name.endswith(".gz"):
            name += ".gz"
        parts = PurePosixPath(name).parts
        if not parts or name.endswith("/") or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
            name = name.replace("\0", "\\0")
            self.spec.note(f"a destination cannot be written to `{name}`", None, "its file has to stay in the output folder")
        return name

    def _template(self, path: Callable[[str], Path], variables: Mapping[str, str]) -> RowTemplate | None:
        named = self.spec.text("template", None)
        if not named or self.collection:
            return None
        if self.format != TEMPLATE:
            self.spec.note(f"a `{self.format}` file has no template", "template", "leave `format` or `template` out")
            return None
        file = path(named)
        self.files.append(file)
        text = self._text_of(file, "template")
        if text is None:
            return None
        text = string.Template(text).safe_substitute(variables)
        try:
            return RowTemplate(text, environment=self.environment, file=str(file), linearize=self.linearize)
        except EtlError as error:
            self.spec.problems.note(error.what, str(error.where), error.hint or "")
            return None

    def _text_of(self, file: Path, key: str) -> str | None:
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            self.spec.note(f"`{file}` cannot be read: {error.strerror or error}", key, "paths begin at the project's folder")
        except UnicodeDecodeError as error:
            self.spec.note(f"`{file}` is not UTF-8: byte {error.start:,}", key, "save it as UTF-8")
        return None

    def _literal(self, key: str) -> str | RowTemplate | None:
        if not self.spec.has(key):
            return None
        text = self.spec.options[key]
        if not isinstance(text, str):
            self.spec.note(f"`{key}` has to be a text", key, f"write `{key}:` and the text in quotes")
            return None
        if text and self.format in (PARQUET, CSV):
            self.spec.note(f"a `{self.format}` file has no `{key}`", key, "leave it out")
            return None
        if not has_jinja(text):
            return text or None
        try:
            return RowTemplate(text, environment=self.environment, file=self.spec.where(key), linearize=False)
        except EtlError as error:
            self.spec.note(error.what, key)
            return None

    def _schema(self, path: Callable[[str], Path]) -> Any:
        named = self.spec.text("schema", None)
        if not named:
            return None
        if self.format in (CSV, PARQUET):
            self.spec.note(f"the rows of a `{self.format}` file are no JSON", "schema", "leave `schema` out")
            return None
        file = path(named)
        self.files.append(file)
        text = self._text_of(file, "schema")
        if text is None:
            return None
        try:
            from jsonschema import SchemaError
            from jsonschema.validators import validator_for
            from jsonschema_specifications import REGISTRY
        except ImportError:
            self.spec.note("`schema` needs the package jsonschema", "schema", "pip install jsonschema")
            return None
        try:
            found = json.loads(text)
            if isinstance(found, dict) and not isinstance(found.get("$schema", ""), str):
                raise SchemaError("`$schema` has to be a text")
            kind = validator_for(found)
            kind.check_schema(found)
        except (ValueError, SchemaError) as error:
            self.spec.note(f"`{file}` is no JSON Schema: {str(error).splitlines()[0]}", "schema")
            return None
        return kind(found, registry=REGISTRY)  # what it refers to is in it: nothing is fetched

    def _types(self) -> dict[str, str]:
        found = self.spec.mapping("types", {})
        if found and self.format == TEMPLATE:
            self.spec.note(
                "what a template writes is text", "types", "say `format: parquet`, `jsonl` or `csv`, or leave `types` out"
            )
        for name, wanted in found.items():
            if wanted not in TYPES:
                self.spec.note(f"there is no type `{wanted}` (of `{name}`)", "types", nearest(str(wanted), TYPES))
        return {str(name): str(wanted) for name, wanted in found.items()}

    def check(self, columns: Sequence[Column] | None) -> None:
        """Note the names that the template, the header, the footer or `types` reads and that are no column."""
        read = {"types": tuple(self.types), **(self.collection.named() if self.collection else {})}
        for key, names in read.items() if columns is not None else ():
            for name in names:
                if name not in [one.name for one in columns or ()]:
                    self.spec.note(f"there is no column `{name}`", key, nearest(name, [one.name for one in columns or ()]))
        for one in (self.template, self.header, self.footer):
            if isinstance(one, RowTemplate):
                one.check(columns, self.spec)

    def file(self, output_dir: Path) -> Path:
        """The file that is written."""
        return self.place or Path(output_dir) / self.file_name

    # --- writing -------------------------------------------------------------------------------------------------------------

    def write(self, flow: Flow, output_dir: Path, context: Context) -> int:
        """Write all rows, in their order, and say how many. Raises EtlError; the old file then stays as it was."""
        target = self.file(Path(output_dir))
        flow = self._typed(flow) if self.types else flow
        if self.place is None:
            self.stays_inside(target, Path(output_dir))
            if target.exists() and not target.is_file():
                kind = "a directory" if target.is_dir() else "no file, but a device or a pipe"
                raise EtlError(f"`{target}` is {kind}", self.spec.where(), "give it another name, `extension` or `output_dir`")
        sweep_beside(target)
        with replacing(target) as part:
            if self.format == PARQUET:
                rows = self._parquet(flow, part)
            else:
                with self._opened(part) as file:
                    rows = self._csv(flow, file) if self.format == CSV else self._lines(flow, file, context)
            # before it has its name, under which another run may put another file at any time
            self.sha256 = file_digest(part) if context.hashed else ""
        return rows

    def _typed(self, flow: Flow) -> Flow:
        def failed(what: str, row: int, value: str) -> EtlError:
            hint = "mend the value (modify_columns, filter_rows), or ask for another type"
            return EtlError(what, f"{self.spec.where('types')}, row {row:,}: `{value[:200]}`", hint)

        def batches() -> Iterator[pl.DataFrame]:
            rows = 0
            for batch in flow.batches():
                for name in self.types:
                    if name not in batch.columns:
                        raise EtlError(f"there is no column `{name}`", self.spec.where("types"), nearest(name, batch.columns))
                yield typed(batch, self.types, rows, failed)
                rows += batch.height

        return Flow(flow.columns, batches)

    def stays_inside(self, target: Path, output_dir: Path) -> None:
        if not target.parent.resolve().is_relative_to(output_dir.resolve()):
            where = f"{self.spec.where()}: {target.parent.resolve()}"
            raise EtlError(f"`{target}` leaves the output folder", where, "is there a link in the way?")

    @contextmanager
    def _opened(self, part: Path) -> Iterator[BinaryIO]:
        with open(part, "wb") as raw:
            if self.compression == "gzip":
                # neither name nor time, so that the same rows are the same file
                with gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield raw

    def _lines(self, flow: Flow, file: BinaryIO, context: Context) -> int:
        count, first, begun = 0, None, False
        template = self.template
        objects = template is None and self.format == TEMPLATE  # each row is an object of texts
        with Behind(partial(_write, file=file, packed=self.compression == "gzip")) as behind:
            for batch in _slices(flow):
                if objects and template is None:
                    template = RowTemplate.default(batch.columns, environment=self.environment)
                if first is None:
                    if flow.columns is None and template is not None:
                        template.demand(batch.columns)
                    if template is not None:
                        template.use(context.workers)
                if first is None or not first.height:
                    first = batch.head(1)
                if not batch.height:
                    continue
                if not begun:
                    begun = True
                    self._write_literal(self.header, first, file)
                    self.header_end = file.tell()
                lines = _plain_lines(batch) if objects else None
                if lines is None:
                    lines = template.render(batch, count) if template is not None else _json_lines(batch)
                if self.schema is not None:
                    self._conforms(lines, count)
                behind.put(lines)
                count += batch.height
        if first is None:
            raise EtlError("the table has no columns", self.spec.where("source"))
        if not begun:
            first = _empty_row(first)
            self._write_literal(self.header, first, file)
            self.header_end = file.tell()
        self.footer_start = file.tell()
        self._write_literal(self.footer, first, file)
        return count

    def _write_literal(self, text: str | RowTemplate | None, first: pl.DataFrame, file: BinaryIO) -> None:
        if isinstance(text, RowTemplate):
            text = f"{text.render(first)[0]}\n"
        if text:
            file.write(text.encode("utf-8"))

    def _conforms(self, lines: pl.Series, start: int) -> None:
        """Each text is JSON as the schema has it."""
        from referencing.exceptions import Unresolvable

        for number, line in enumerate(lines.to_list(), start + 1):
            where = f"{self.spec.where('schema')}, row {number:,}"
            try:
                found = json.loads(line)
            except json.JSONDecodeError as error:
                shown = line[max(error.pos - 40, 0) : error.pos + 40]
                raise EtlError(f"the row is no JSON: {error.msg}", f"{where}, character {error.pos + 1}: `{shown}`") from None
            try:
                wrong = next(self.schema.iter_errors(found), None)
            except (Unresolvable, RecursionError) as error:
                why = "it refers to itself without end" if isinstance(error, RecursionError) else str(error)
                hint = "a `$ref` has to lead to a place in the same file: `#/$defs/NAME`"
                raise EtlError(f"the schema cannot be followed: {why[:300]}", self.spec.where("schema"), hint) from error
            if wrong is not None:
                raise EtlError(
                    f"the row is not as the schema has it: {wrong.message[:300]}",
                    f"{where}, {wrong.json_path}",
                    "mend the template, or the rows (expect, filter_rows)",
                )

    def _csv(self, flow: Flow, file: BinaryIO) -> int:
        count, named, self.header_end = 0, False, 0

        def write(frame: pl.DataFrame) -> None:
            nonlocal named
            if self.compression == "gzip":
                packed = io.BytesIO()
                frame.write_csv(packed, include_header=not named)
                file.write(packed.getvalue())
            else:
                frame.write_csv(file, include_header=not named)
            named = True

        with Behind(write) as behind:
            for batch in _slices(flow):
                written = batch.select([_cells(one) for one in batch.get_columns()])
                if not self.header_end:
                    self.header_end = len(written.head(0).write_csv().encode())
                behind.put(written)
                count += batch.height
        self.footer_start = file.tell()
        return count

    def _parquet(self, flow: Flow, part: Path) -> int:
        import polars as pl
        import pyarrow as pa
        from pyarrow import parquet

        count, writer = 0, None
        held: list[pl.DataFrame] = []
        types: dict[str, Any] | None = None

        def flush() -> None:
            nonlocal writer, held
            table = pl.concat(held).to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or parquet.ParquetWriter(part, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            held = []

        try:
            for batch in _slices(flow):
                if types is None:
                    types = {name: pl.String if kind == pl.Null else kind for name, kind in batch.schema.items()}
                    if pl.Object in types.values():
                        names = [name for name, kind in types.items() if kind == pl.Object]
                        raise EtlError(f"Parquet has no type for `{names[0]}`", self.spec.where("format"), "drop the column")
                held.append(batch.cast(types))  # type: ignore[arg-type]
                count += batch.height
                if sum(one.height for one in held) >= ROW_GROUP:
                    flush()
            if held or writer is None:
                flush()
        except (pl.exceptions.InvalidOperationError, pa.ArrowInvalid) as error:
            raise EtlError(f"the rows do not have one type: {str(error).splitlines()[0]}", self.spec.where("format")) from None
        finally:
            if writer is not None:
                writer.close()
        return count


def _slices(flow: Flow) -> Iterator[pl.DataFrame]:
    """The batches, none of them large: texts of a row may be a hundred times the row."""
    for batch in flow.batches():
        if batch.height <= 2 * BATCH:
            yield batch
        else:
            yield from batch.iter_slices(BATCH)


def _write(lines: pl.Series, file: BinaryIO, *, packed: bool) -> None:
    """Each text and the end of its line, as they are."""
    frame = lines.to_frame()
    target: Any = io.BytesIO() if packed else file
    frame.write_csv(target, include_header=False, quote_style="never", batch_size=8192)
    if packed:
        file.write(target.getvalue())


def _plain_lines(batch: pl.DataFrame) -> pl.Series | None:
    """Rows of texts as the default template writes them; None where a text needs more than quotes around it."""
    import polars as pl

    if not batch.width or any(kind != pl.String for kind in batch.dtypes):
        return None
    # looking at all texts of a column as one takes a third of the time of a look at each
    for text in batch.select(pl.all().str.join("")).row(0):
        if not text.isascii() or text.encode().translate(None, _PLAIN):
            return None
    pieces: list[pl.Expr] = []
    for place, column in enumerate(batch.get_columns()):
        separator = '", ' if place else "{ "
        pieces += [pl.lit(f'{separator}"{column.name}": "'), pl.col(column.name)]
    if any(column.null_count() for column in batch.get_columns()):
        batch = batch.fill_null("")
    return batch.select(pl.concat_str([*pieces, pl.lit('" }')]).alias("\0line")).to_series()


def _json_lines(batch: pl.DataFrame) -> pl.Series:
    """Rows as JSON objects with the types that columns have."""
    import polars as pl

    if pl.Object in batch.dtypes:
        lines = [json.dumps(row, default=str, ensure_ascii=False) for row in batch.iter_rows(named=True)]
        return pl.Series(lines, dtype=pl.String)
    return pl.Series(batch.write_ndjson().removesuffix("\n").split("\n"), dtype=pl.String)


def _empty_row(batch: pl.DataFrame) -> pl.DataFrame:
    """A row of empty texts, for a header over no rows."""
    import polars as pl

    return pl.DataFrame({name: [""] for name in batch.columns}, schema=dict.fromkeys(batch.columns, pl.String))


def _cells(series: pl.Series) -> pl.Series:
    """A column as texts for CSV: numbers as Python writes them, mappings and lists as JSON; what is missing stays so."""
    import polars as pl

    from impl.tabular.templates.values import texts

    kind = series.dtype
    if kind == pl.String or kind.is_temporal():
        return series
    if kind.is_nested() or kind == pl.Object:
        written = [None if one is None else json.dumps(one, default=str, ensure_ascii=False) for one in series.to_list()]
        return pl.Series(series.name, written, dtype=pl.String)
    made = texts(series)
    return made.zip_with(series.is_not_null(), pl.Series([None], dtype=pl.String)).alias(series.name)
