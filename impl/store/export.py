"""A collection as one file for other programs: GeoParquet or Parquet, GeoJSON, GeoPackage, CSV.

The ending of the name decides. Rows are streamed; the file is written beside its name and renamed at the end.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run import progress
from impl.run.errors import EtlError, explain, unknown
from impl.run.files import replacing, sweep_beside
from impl.store import output
from impl.store.interface import Collection, Store
from impl.store.rows import GEOMETRY_CRS

if TYPE_CHECKING:
    import pyarrow


def export(store: Store, name: str, to: str | Path, where: str | None = None) -> int:
    """Write the rows of collection `name` that meet the SQL condition `where` to the file `to`; how many there were."""
    to, facts = Path(to), store.facts(name)
    write = _WRITERS.get(to.suffix.lower())
    if write is None:
        raise unknown("file format", to.suffix or to.name, _WRITERS, where=to, hint="The ending of the name decides")
    if facts.geometry is None and write in (_geojson, _geopackage):
        raise EtlError(
            f"the collection `{name}` has no geometry, and a {to.suffix} file is made of it",
            where=to,
            hint="export it as .csv or .parquet, or join it with a region in `invoke store.query`",
        )
    try:
        sweep_beside(to)
        with replacing(to) as beside, progress.track(to.name, facts.rows, "rows") as bar:
            return write(_followed(store.stream(name, where=where), bar), beside, facts)
    except OSError as error:
        raise explain(error, where=to) from error


class _Followed:
    """A stream that reports how far it is."""

    def __init__(self, reader: pyarrow.RecordBatchReader, bar: progress.Bar) -> None:
        self.schema, self._reader, self._bar = reader.schema, reader, bar

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        for batch in self._reader:
            self._bar.advance(batch.num_rows)
            yield batch


def _followed(reader: pyarrow.RecordBatchReader, bar: progress.Bar) -> _Followed:
    return _Followed(reader, bar)


def _csv(rows: _Followed, path: Path, facts: Collection) -> int:
    with open(path, "wb") as file:
        return output.write(rows, "csv", file)  # type: ignore[arg-type]


def _parquet(rows: _Followed, path: Path, facts: Collection) -> int:
    import pyarrow
    import pyarrow.parquet

    count, seen = 0, _Seen()
    with pyarrow.parquet.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows:
            writer.write_table(pyarrow.Table.from_batches([batch]))
            count += batch.num_rows
            if facts.geometry:
                seen.look(batch.column(facts.geometry))
        if facts.geometry:
            writer.add_key_value_metadata({"geo": json.dumps(seen.geo_metadata(facts.geometry))})
    return count


class _Seen:
    """The kinds of geometry that passed, and the box around them."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.box: list[float] | None = None

    def look(self, column: pyarrow.Array) -> None:
        import numpy
        import shapely

        shapes = shapely.from_wkb(numpy.array(column.to_pylist(), dtype=object))
        shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
        if not len(shapes):
            return
        self.kinds |= {shape.geom_type for shape in shapes}
        west, south, east, north = (float(edge) for edge in shapely.total_bounds(shapes))
        old = self.box or [west, south, east, north]
        self.box = [min(old[0], west), min(old[1], south), max(old[2], east), max(old[3], north)]

    def geo_metadata(self, name: str) -> dict[str, Any]:
        """The `geo` entry of GeoParquet 1.1."""
        import pyproj

        about: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(self.kinds)}
        about["crs"] = pyproj.CRS(GEOMETRY_CRS).to_json_dict()
        if self.box:
            about["bbox"] = self.box
        return {"version": "1.1.0", "primary_column": name, "columns": {name: about}}


def _geojson(rows: _Followed, path: Path, facts: Collection) -> int:
    """RFC 7946: longitude and latitude in WGS 84, no `crs` member."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        for batch in rows:
            for row in batch.to_pylist():
                shape = output.json_value(_right_handed(row.pop(facts.geometry)), is_shape=True)
                properties = {name: output.json_value(value) for name, value in row.items()}
                feature = {"type": "Feature", "geometry": shape, "properties": properties}
                file.write((",\n" if count else "") + json.dumps(feature, ensure_ascii=False))
                count += 1
        file.write("\n]}\n")
    return count


def _right_handed(value: bytes | None) -> bytes | None:
    """RFC 7946 wants outer rings counterclockwise."""
    import shapely

    if value is None:
        return None
    return shapely.to_wkb(shapely.orient_polygons(shapely.from_wkb(value), exterior_cw=False))


def _geopackage(rows: _Followed, path: Path, facts: Collection) -> int:
    import pyarrow
    from pyogrio.raw import write_arrow

    counted = [0]
    plain = pyarrow.schema([field.remove_metadata() for field in rows.schema])

    def batches() -> Iterable[pyarrow.RecordBatch]:
        for batch in rows:
            counted[0] += batch.num_rows
            yield batch.cast(plain)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*extension.*")  # it is renamed at the end
        write_arrow(
            pyarrow.RecordBatchReader.from_batches(plain, batches()),
            str(path),
            layer=facts.name,
            driver="GPKG",
            geometry_name=facts.geometry,
            geometry_type="Unknown",
            crs=GEOMETRY_CRS,
        )
    return counted[0]


_WRITERS = {".parquet": _parquet, ".geojson": _geojson, ".gpkg": _geopackage, ".csv": _csv}
