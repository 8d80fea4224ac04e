"""Any file of areas that GDAL reads -> GeoParquet that `ncproj index` takes: valid, in the system asked for, edges cut finely.

For what ncproj refuses by name: formats that it does not read (KML, GML, File Geodatabase, MapInfo), curves, systems that need
a grid file. Shapefiles, GeoPackage, GeoJSON, GeoParquet and FlatGeobuf in common systems it reads itself.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError, unknown
from impl.run.files import replacing

if TYPE_CHECKING:
    import numpy
    from pyproj import CRS

TOLERANCE = 1e-6  # of the size of the layer: how far a piece of an edge may lie from where it should
_ROUNDS = 8  # each cuts what is still too far in as many pieces as it needs; more than three were never seen


def to_geoparquet(
    source: str | os.PathLike, target: str | os.PathLike, key: str, *, layer: str | None = None, crs: Any = None
) -> str:
    """Write the areas in `source` as the GeoParquet file `target`: the columns of `source`, one row for each area.

    key: the column that names an area; no two rows may have the same.
    layer: where the file has several.
    crs: the system to write them in, as pyproj takes it (`EPSG:3031`, PROJ's or well-known text), or the attributes of a CF grid
        mapping as a dict. None keeps that of the file. Edges are straight in the file's own system, and cut until each piece,
        straight in the new one, lies within a millionth of the layer's size of where it should.

    Errors: a file that GDAL cannot read, a layer or a key that is not there, empty or equal keys, no coordinate system where one
    has to be known, shapes that are no areas, corners outside of what the system is for.
    """
    source = Path(source)
    areas = _read(source, layer)
    if key not in areas.columns:
        raise unknown("column", key, [str(name) for name in areas.columns if name != areas.geometry.name], where=source)
    _check_key(source, areas[key], key)
    if crs is not None:
        if areas.crs is None:
            raise EtlError(
                "the file does not say its coordinate system, so it cannot be brought to another",
                where=source,
                hint="get the .prj, or write the system into the file with `ogr2ogr -a_srs`",
            )
        wanted = system(crs)
        areas = areas.set_geometry(moved(areas.geometry.array, areas.crs, wanted, where=source), crs=wanted)
    areas = areas.set_geometry(_valid(source, areas, key))
    with replacing(target) as part:
        areas.to_parquet(part, index=False, geometry_encoding="WKB", compression="zstd", schema_version="1.1.0")
    return f"{len(areas):,} areas"


def system(crs: Any) -> "CRS":
    """A coordinate system by its name, its text, or the attributes of a CF grid mapping."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_cf(crs) if isinstance(crs, dict) else CRS.from_user_input(crs)
    except (CRSError, KeyError) as error:
        raise EtlError(
            f"the coordinate system `{crs}` is not known", where=str(error), hint="name it as in `EPSG:4326`"
        ) from error


def operation(source: "CRS", target: "CRS", *, where: Any):
    """The one transformation for a whole layer, without a file of shifts.

    PROJ would else choose another one for each point (Hawaii moves by half a metre, the rest does not), depending on what is
    installed, and tear borders apart.
    """
    from pyproj.transformer import TransformerGroup

    possible = TransformerGroup(source, target, always_xy=True).transformers
    chosen = next((one for one in possible if "grids=" not in one.definition), None)
    if chosen is None:
        raise EtlError(
            f"the coordinates cannot be brought to `{target.name}`",
            where=f"{where}: {source.name}",
            hint="reproject the file with `ogr2ogr -t_srs`, where the file of shifts is installed",
        )
    return chosen


def moved(geometry, source: "CRS", target: "CRS", *, where: Any) -> "numpy.ndarray":
    """Shapes in another system; edges that are straight in the first are cut so finely that they are so in the second too.

    geometry: shapely's, any number; where: for messages, the file.
    """
    import numpy
    import shapely

    shapes = numpy.array(shapely.force_2d(numpy.asarray(geometry)), dtype=object)
    if source == target:
        return shapes
    chosen = operation(source, target, where=where)
    period = 360.0 if target.is_geographic else numpy.inf
    if not (source.is_geographic and target.is_geographic):
        for _ in range(_ROUNDS):
            longest = _longest_pieces(shapes, chosen, period)
            coarse = numpy.isfinite(longest)
            if not coarse.any():
                break
            shapes[coarse] = shapely.segmentize(shapes[coarse], longest[coarse])
    there = shapely.transform(shapes, chosen.transform, interleaved=False)
    if not numpy.isfinite(shapely.get_coordinates(there)).all():
        raise EtlError(
            f"some corners have no place in `{target.name}`",
            where=f"{where}: {source.name}",
            hint="check that the file says the right system, or cut off what lies beyond it",
        )
    return there


def _longest_pieces(shapes, chosen, period: float) -> "numpy.ndarray":
    """For each shape how long its edges may be; infinite where they are short enough."""
    import numpy
    import shapely

    points, owner = shapely.get_coordinates(shapes, return_index=True)
    longest = numpy.full(len(shapes), numpy.inf)
    if len(points) < 2:
        return longest
    rings, of = shapely.get_rings(shapes, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    start, end, owner = points[:-1][same], points[1:][same], numpy.asarray(of)[ring[1:][same]]
    middle = (start + end) / 2
    a, b, m = (numpy.column_stack(chosen.transform(*one.T)) for one in (start, end, middle))
    there = numpy.isfinite(a).all(1) & numpy.isfinite(b).all(1) & numpy.isfinite(m).all(1)
    if not there.any():
        return longest
    extent = numpy.ptp(a[there], axis=0).max() or 1.0
    far = m - (a + b) / 2
    if numpy.isfinite(period):  # over the date line or round a pole: the chord is the short way round
        far[:, 0] -= numpy.round(far[:, 0] / (period / 2)) * (period / 2)
    off = numpy.hypot(*far.T) / (TOLERANCE * extent)
    pieces = numpy.ceil(numpy.sqrt(numpy.where(there, off, 1.0)))
    length = numpy.hypot(*(end - start).T)
    numpy.minimum.at(longest, owner, numpy.where(pieces > 1, length / numpy.maximum(pieces, 1), numpy.inf))
    return longest


def _read(source: Path, layer: str | None):
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        layers = [str(name) for name in pyogrio.list_layers(source)[:, 0]]
        if layer is not None and layer not in layers:
            raise unknown("layer", layer, layers, where=source)
        if layer is None and len(layers) > 1:
            raise EtlError(f"the file has {len(layers)} layers", where=f"{source}: {', '.join(layers[:12])}", hint="name one")
        areas = pyogrio.read_dataframe(source, layer=layer or layers[0])
    except (DataSourceError, DataLayerError) as error:
        raise EtlError("the file of areas cannot be read", where=f"{source}: {error}", hint="is it whole?") from error
    if not hasattr(areas, "geometry") or not len(areas):
        raise EtlError("there are no areas in the file", where=source, hint="check that it is the right file, or layer")
    return areas


def _check_key(source: Path, values, key: str) -> None:
    empty = values.isna() | values.astype("string").str.strip().eq("").fillna(True)
    if empty.any():
        raise EtlError(
            f"the key `{key}` is empty in row {empty.to_numpy().argmax() + 1}",
            where=source,
            hint="choose a column that every area has",
        )
    twice = values[values.duplicated()]
    if len(twice):
        raise EtlError(
            f"the key `{key}` is not unique: `{twice.iloc[0]}` comes more than once",
            where=source,
            hint="choose a column that names each area once",
        )


def _valid(source: Path, areas, key: str):
    """Each shape as valid polygons; lines and points that are left over from repairs are dropped."""
    import numpy
    import shapely

    shapes = numpy.array(shapely.force_2d(areas.geometry.array), dtype=object)
    broken = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken], method="structure", keep_collapsed=False)
    for row, shape in enumerate(shapes):
        if shape is not None and shape.geom_type == "GeometryCollection":
            parts = [one for one in shapely.get_parts(shape) if one.geom_type in ("Polygon", "MultiPolygon")]
            shape = shapes[row] = shapely.union_all(parts)
        if shape is None or shapely.area(shape) == 0:
            kind = "missing" if shape is None else shape.geom_type
            raise EtlError(
                f"`{areas[key].iloc[row]}` has no area: its shape is {kind}",
                where=f"{source}, row {row + 1}",
                hint="leave this row out, or give points and lines an extent (a buffer)",
            )
    return shapes
