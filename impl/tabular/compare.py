"""What differs between two runs: counts of nodes, files, and rows by key. And where we differ from the peer on purpose.

A run is named by its results file, by the folder with its output, or by one file. Rows are those of JSON lines, CSV, TSV
(packed by gzip or not) and Parquet; of other files each line is a row. Large files are split by key into parts that fit into memory.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError, unknown
from impl.tabular import results
from impl.tabular.state import file_digest

PART = 64 << 20  # bytes of files that are compared at once
MOST_PARTS = 256
SHOWN = 5  # rows that are shown of each kind
PACKED, UNPACKED = ".gz", 10  # the ending of what gzip has made, and how much larger it was, about
DELIMITERS = {".csv": ",", ".tsv": "\t"}

# Where what comes out is not what the peer makes, and why.
INTENDED: tuple[tuple[str, str], ...] = (
    ("columns of `columns:`, `optional_fields` and join's keep and drop lists", "in the listed order; the peer's order is that of a set and varies"),
    ("order of `group_by`", "always sorted by key; the peer's order depends on how it splits the input"),
    ("what is passed as unchanged", "by inputs, templates and what they include, map and column files, the document, parameters and engine; the peer overlooks some"),
    ("outputs that are missing or were changed", "are made again; the peer does not look at them"),
    ("a run with something to do", "makes only the destinations that are not up to date; the peer makes all"),
    ("state with destinations that have no template", "works; the peer fails"),
    ("a folder as a source, with state", "is looked at file by file; the peer always runs"),
    ("`header_rows: 0` and pickle files", "as documented (pickle only with `--trust`, since reading one runs code); the peer fails"),
    ("a first row that is longer than the header", "is an error with its line; the peer shifts every value by one column"),
    ("`limit_rows` with an offset, on few rows", "`compat: strict` gives the peer's rows and a warning, `compat: fixed` the right ones"),
    ("`group_by_with_rank` behind a filter, a sort, a limit or distinct rows", "ranks are those of the rows as they stand; the peer gives them to other rows, and none to some"),
    ("`flatten` behind `union` and `sort_rows` or `distinct_rows`", "gives the parts of each row; the peer gives rows that have the same number in their files each other's parts, too"),
    ("a selector that chooses nothing", "is an error; the peer does nothing and says that it is done"),
    ("options that nobody knows", "are errors with the nearest right name; the peer passes them"),
    ("columns that are not there", "are found before a row is read, all at once; the peer finds one when it comes to it"),
    ("names in templates and expressions that are no column", "are errors before any row, unless `is defined` or `default` asks about them; the peer writes nothing there"),
    ("`config` behind another key", "is read wherever it stands; the peer passes it over in silence unless it comes first"),
    ("two destinations of one file, and one over what is read", "are errors; the peer writes one over the other, and empties the input"),
    ("several `--set`", "count together; the peer takes the last"),
    ("a results file (`-r`) over a file that holds something else", "is an error; the peer writes over it"),
    ("what a package gives for a parameter", "is text: where it may be Jinja, the project's own is rendered in the sandbox, too; the peer runs it"),
    ("two columns of one name (`rename_columns`), no column left (`drop_columns`, `keep_columns`)", "are errors; the peer loses a column, or writes `{  }` for each row"),
    ("a file of JSON that holds an empty list", "has no rows; the peer writes one row without columns"),
    ("JSON lines that begin with a byte order mark", "are read; the peer refuses them"),
    ("a line of JSON lines that is no object (`5`, `[1, 2]`)", "is an error with its line; the peer makes columns `0`, `1` of them"),
    ("one text where a list is meant (`columns: a`), a number where a text is (`extension: 5`)", "is taken as it is meant; the peer refuses it"),
    ("equal rows in `sort_rows` by one column, behind `union` or of numbers or times", "stay as they were; the peer's sort leaves them in an order that a sample of the rows or the processor decides"),
    ("times that `flatten` or `pivot` by several columns turn into text", "are written whole (`2024-02-29 00:00:00`); the peer writes days where all of the column are midnights"),
    ("a missing text of Parquet in a `pivot` by several columns", "is `nan`; the peer writes `None`"),
    ("`null` of JSON among texts, cells that `pivot` leaves empty, missing values behind `flatten`, in expressions", "are missing as in all files (`x != x`); the peer has `None`. In templates of destinations both are empty"),
    ("`sort_rows` on numbers and texts that `melt` has put into one column", "sorts all as texts; the peer has numbers first"),
    ("`map_values` on a column without any value, beside numbers alone", "leaves whole numbers as they are; the peer writes `1.0`"),
    ("joins of whole numbers with decimal ones as keys", "write both as decimal numbers; the peer keeps whole ones as they were"),
    ("missing times among several keys of an outer join", "stand last; in the peer first"),
    ("joins of True and False with text as keys", "are errors; the peer finds no partners"),
    ("decimal numbers of 32 bits (Stata) that `flatten` goes through", "are written with all their digits; the peer rounds them"),
    ("names in the document's own Jinja that nobody gives", "are as empty as in the peer, with a warning that says which and where"),
    ("queries with `.str[:4]` or `.astype(...)`, functions of columns with a dot or a blank (`sum(a.b)`)", "run; the peer fails"),
    ("a negative `offset` of `limit_rows`", "is an error; the peer passes it"),
    ("errors", "name file, line, node, operation and row, whatever the log level"),
    ("files that are written", "appear whole, when they are whole; the peer leaves empty or half files behind an error"),
    ("results files", "are also written where nothing was to do or something failed, with `exit_code` and `error`"),
    ("`clean`", "removes what this document made; other files in the folder stay unless `--force` is given"),
    ("packages", "are rendered in a sandbox unless `--trust` is given"),
    ("the graph", "is Mermaid text, and pictures where Graphviz is installed; the peer needs Graphviz, pygraphviz and matplotlib"),
    ("the working directory", "stays; the peer goes to the document's folder (paths mean the same)"),
)  # fmt: skip


@dataclass
class Run:
    """name: as it was asked for; counts: rows by node; files: name below the output folder -> file."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    files: dict[str, RunFile] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFile:
    """sha256: as the run wrote it, or None where the file as it is now is meant."""

    path: Path
    sha256: str | None = None
    rows: int | None = None


@dataclass
class FileDifference:
    """What differs between two files. examples: at most some of each kind; columns: in how many rows each differs."""

    name: str
    rows: tuple[int | None, int | None] = (None, None)
    same: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    repeated: int = 0  # keys of several rows
    columns: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

    @property
    def equal(self) -> bool:
        return not (self.added or self.removed or self.changed or self.note)


@dataclass
class Comparison:
    before: str
    after: str
    counts: dict[str, tuple[int | None, int | None]]
    files: list[FileDifference]

    @property
    def equal(self) -> bool:
        return not self.counts and all(one.equal for one in self.files)


def compare(before: Path, after: Path, key: Sequence[str] = (), shown: int = SHOWN) -> Comparison:
    """What differs between two runs. key: columns that tell rows apart (`a.b` for what is nested); without, whole rows."""
    one, other = read_run(before), read_run(after)
    counts: dict[str, tuple[int | None, int | None]] = {}
    for ref in dict.fromkeys([*one.counts, *other.counts]) if one.counts and other.counts else ():
        pair = one.counts.get(ref), other.counts.get(ref)
        if pair[0] != pair[1]:
            counts[ref] = pair
    files = []
    if len(one.files) == len(other.files) == 1 and before.is_file() and after.is_file() and not (one.counts or other.counts):
        (first,), (second,) = one.files.values(), other.files.values()
        files.append(_two(f"{before.name} and {after.name}", first, second, key, shown))
    else:
        pairs = {name: (one.files.get(name), other.files.get(name)) for name in sorted({*one.files, *other.files})}
        # A key is that of some of the files; the rows of others are compared whole.
        keyed = {name for name, pair in pairs.items() if key and all(file and _has(file.path, key) for file in pair)}
        for name, (left, right) in pairs.items():
            files.append(_two(name, left, right, key if name in keyed or not keyed else (), shown))
    return Comparison(str(before), str(after), counts, files)


def read_run(place: Path) -> Run:
    """A run by its results file, its folder or one of its files. EtlError where there is nothing."""
    if place.is_dir():
        found = {one.relative_to(place).as_posix(): RunFile(one) for one in sorted(place.rglob("*")) if _counts(one, place)}
        return Run(str(place), files=found)
    if not place.exists():
        near = [one.name for one in place.parent.iterdir()] if place.parent.is_dir() else []
        raise unknown("run", place.name, near, where=place.parent, hint="Name a results file (`-r`), a folder or a file")
    if place.suffix != ".json" or not _is_results(place):
        return Run(str(place), files={place.name: RunFile(place)})
    told = results.read(place)
    folder = Path(told.get("working_dir", "."), told.get("output_dir", "."))
    files = {}
    for ref, one in told.get("written", {}).items():
        path = Path(one["file"])
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ref
        files[name] = RunFile(path, one["sha256"], one["rows"])
    return Run(str(place), dict(told["row_counts"]), files)


def _is_results(place: Path) -> bool:
    try:
        results.read(place)
    except EtlError:
        return False
    return True


def _counts(path: Path, folder: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _two(name: str, before: RunFile | None, after: RunFile | None, key: Sequence[str], shown: int) -> FileDifference:
    if before is None or after is None:
        there = before or after
        rows = (None if before is None else before.rows, None if after is None else after.rows)
        note = f"only in the {'first' if after is None else 'second'} run" if there else ""
        return FileDifference(name, rows, note=note)
    # The file may have been written again since: what the results tell is all there is then.
    for which, one in (("first", before), ("second", after)):
        if one.sha256 is not None and file_digest(one.path) != one.sha256:
            rows = (before.rows, after.rows)
            if before.sha256 == after.sha256:
                return FileDifference(name, rows, same=before.rows or 0)
            return FileDifference(
                name, rows, note=f"differs; its rows cannot be compared, as {one.path} is not as the {which} run wrote it"
            )
    return compare_files(name, before.path, after.path, key, shown)


def compare_files(name: str, before: Path, after: Path, key: Sequence[str] = (), shown: int = SHOWN) -> FileDifference:
    """What differs between two files, row by row."""
    found = FileDifference(name)
    columns: Counter[str] = Counter()
    parts = min(MOST_PARTS, 1 + (_size(before) + _size(after)) // PART)
    counts = [0, 0]
    with tempfile.TemporaryDirectory(prefix="tabular-diff-") as folder:
        left = _split(_keyed(before, key), parts, Path(folder, "before"))
        right = _split(_keyed(after, key), parts, Path(folder, "after"))
        for one, other in zip(left, right, strict=True):
            _part(found, columns, counts, _by_key(one), _by_key(other), key, shown)
    if found.equal and (left_columns := _columns(before)) != (right_columns := _columns(after)):
        found.note = f"the columns are {', '.join(left_columns)} and {', '.join(right_columns)}"
    found.rows = (counts[0], counts[1])
    found.columns = dict(columns.most_common())
    return found


def _part(
    found: FileDifference,
    columns: Counter[str],
    counts: list[int],
    before: dict[str, list[str]],
    after: dict[str, list[str]],
    key: Sequence[str],
    shown: int,
) -> None:
    for text in dict.fromkeys([*before, *after]):
        left, right = before.get(text, []), after.get(text, [])
        counts[0] += len(left)
        counts[1] += len(right)
        found.repeated += bool(key) and (len(left) > 1 or len(right) > 1)
        both = Counter(left) & Counter(right)
        found.same += both.total()
        left, right = _without(left, both), _without(right, both)
        for one, other in zip(left, right, strict=False):
            found.changed += 1
            changes = _changes(json.loads(one), json.loads(other))
            columns.update(list(changes))
            if found.changed <= shown:
                found.examples.append({"key": dict(zip(key, json.loads(text), strict=True)), "changed": changes})
        for one in left[len(right) :]:
            found.removed += 1
            if found.removed <= shown:
                found.examples.append({"removed": json.loads(one)})
        for one in right[len(left) :]:
            found.added += 1
            if found.added <= shown:
                found.examples.append({"added": json.loads(one)})


def _without(rows: list[str], taken: Counter[str]) -> list[str]:
    left = Counter(taken)
    kept = []
    for one in rows:
        if left[one]:
            left[one] -= 1
        else:
            kept.append(one)
    return kept


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """Column -> value before and after; null where there is none."""
    return {
        name: [before.get(name), after.get(name)]
        for name in dict.fromkeys([*before, *after])
        if name not in before or name not in after or before[name] != after[name]
    }


def _keyed(path: Path, key: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each row of a file as two texts: its key, and all of it."""
    for number, row in enumerate(_rows(path), 1):
        flat = row if not isinstance(row, dict) else _flat(row)
        text = json.dumps(flat, ensure_ascii=False, sort_keys=True, default=str)
        if not key:
            yield text, text
            continue
        if not isinstance(flat, dict):
            raise EtlError(
                "rows without columns have no key",
                where=f"{path}, row {number:,}",
                hint="leave out `--key`: whole rows are compared",
            )
        for name in key:
            if name not in flat:
                raise unknown("column", name, flat, where=f"{path}, row {number:,}")
        yield json.dumps([flat[name] for name in key], ensure_ascii=False, default=str), text


def _flat(row: dict[str, Any], before: str = "") -> dict[str, Any]:
    """What is nested as columns `a.b`."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def _rows(path: Path) -> Iterator[Any]:
    """The rows of a file: mappings, or texts where it has no columns. EtlError where it is damaged."""
    try:
        yield from _read_rows(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EtlError(f"the compressed file is damaged: {error}", where=path) from error


def _read_rows(path: Path) -> Iterator[Any]:
    kind = _kind(path)
    if kind == ".parquet":
        import polars as pl

        try:
            for batch in pl.scan_parquet(path).collect_batches():
                yield from batch.iter_rows(named=True)
        except pl.exceptions.PolarsError as error:
            raise EtlError(f"the file cannot be read as Parquet: {str(error).splitlines()[0]}", where=path) from error
        return
    with _opened(path, newline="" if kind in DELIMITERS else None) as lines:
        if kind in DELIMITERS:
            yield from _delimited(lines, DELIMITERS[kind])
            return
        for line in lines:
            text = line.rstrip("\n")
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError:
                row = text
            yield row


def _opened(path: Path, newline: str | None) -> Any:
    unpack: Any = gzip.open if path.suffix.lower() == PACKED else open
    return unpack(path, "rt", encoding="utf-8", errors="surrogateescape", newline=newline)


def _kind(path: Path) -> str:
    """The ending of a file; of a packed one that of what is in it."""
    return Path(path.stem if path.suffix.lower() == PACKED else path.name).suffix.lower()


def _size(path: Path) -> int:
    """Bytes of its text, about."""
    return path.stat().st_size * (UNPACKED if path.suffix.lower() == PACKED else 1)


def _columns(path: Path) -> list[str]:
    """The columns that a file names apart from its rows, in the order of their names."""
    kind = _kind(path)
    if kind == ".parquet":
        import polars as pl

        return sorted(pl.read_parquet_schema(path))
    if kind not in DELIMITERS:
        return []
    with _opened(path, newline="") as lines:
        return sorted(_header(csv.reader(lines, delimiter=DELIMITERS[kind])))


def _header(rows: Iterator[list[str]]) -> list[str]:
    """Names of columns; one that stands there before has its number behind it."""
    seen: Counter[str] = Counter()
    names = []
    for name in next(rows, []):
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _delimited(lines: Iterable[str], delimiter: str) -> Iterator[dict[str, Any]]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.reader(lines, delimiter=delimiter)
        header = _header(reader)
        for row in reader:
            found: dict[str, Any] = dict(zip(header, row, strict=False))
            if len(row) > len(header):
                found["(more)"] = row[len(header) :]
            yield found
    finally:
        csv.field_size_limit(before)


def _split(rows: Iterable[tuple[str, str]], parts: int, folder: Path) -> list[Iterable[tuple[str, str]]]:
    """The rows in so many parts by key: one in memory, several in files."""
    if parts == 1:
        return [list(rows)]
    folder.mkdir()
    paths = [folder / str(number) for number in range(parts)]
    handles = [path.open("w", encoding="utf-8", errors="surrogateescape") for path in paths]
    try:
        for key, row in rows:
            handle = handles[zlib.crc32(key.encode("utf-8", "surrogateescape")) % parts]
            handle.write(f"{key}\n{row}\n")
    finally:
        for handle in handles:
            handle.close()
    return [_Stored(path) for path in paths]


@dataclass
class _Stored:
    path: Path

    def __iter__(self) -> Iterator[tuple[str, str]]:
        # JSON has no line ends within; only \n ends a line here.
        with self.path.open("r", encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            for key in lines:
                yield key.removesuffix("\n"), next(lines).removesuffix("\n")


def _has(path: Path, key: Sequence[str]) -> bool:
    """Whether the first row of a file has these columns."""
    first = next(iter(_rows(path)), None) if path.is_file() else None
    return isinstance(first, dict) and set(key) <= set(_flat(first))


def _by_key(rows: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(row)
    return found


def as_text(found: Comparison) -> str:
    """For people: what differs, or that nothing does."""
    out = io.StringIO()
    for ref, (before, after) in found.counts.items():
        out.write(f"{ref}  {_number(before)} -> {_number(after)} rows\n")
    for one in found.files:
        if one.equal:
            out.write(f"{one.name}  {_number(one.rows[1])} rows, the same\n")
            continue
        out.write(f"{one.name}  {_number(one.rows[0])} -> {_number(one.rows[1])} rows")
        if one.note:
            out.write(f": {one.note}\n")
            continue
        out.write(f": {one.added:,} added, {one.removed:,} removed, {one.changed:,} changed, {one.same:,} the same\n")
        if one.repeated:
            out.write(f"  {one.repeated:,} keys have several rows\n")
        if one.columns:
            out.write(f"  changed columns: {', '.join(f'{name} ({rows:,})' for name, rows in one.columns.items())}\n")
        for example in one.examples:
            out.write(f"  {_example(example)}\n")
    if found.equal:
        out.write("nothing differs\n")
    return out.getvalue()


def _example(example: dict[str, Any]) -> str:
    if "changed" in example:
        key = ", ".join(f"{name}={_value(value)}" for name, value in example["key"].items())
        changes = ", ".join(f"{name} {_value(old)} -> {_value(new)}" for name, (old, new) in example["changed"].items())
        return f"~ {key}: {changes}"
    kind, sign = ("added", "+") if "added" in example else ("removed", "-")
    return f"{sign} {_value(example[kind])}"


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _number(rows: int | None) -> str:
    return "?" if rows is None else f"{rows:,}"


def as_json(found: Comparison) -> Iterator[dict[str, Any]]:
    """One mapping for each node whose count differs and for each file."""
    for ref, pair in found.counts.items():
        yield {"node": ref, "rows": list(pair)}
    for one in found.files:
        yield {"file": one.name, **{key: value for key, value in vars(one).items() if key != "name"}, "equal": one.equal}
