"""Reads a zipped shapefile of boundaries: checks it, repairs it, and gives one row per boundary.

A shapefile is several files, and a layer in one zip is the whole of it. What comes out has whole, valid areas in
longitude and latitude (EPSG:4326), the columns that were asked for, and `area_km2`.
"""

import os
import string
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impl.run.errors import EtlError, nearest
from impl.run.files import replacing
from impl.source.regions import moved

if TYPE_CHECKING:
    import geopandas

NEEDED = {  # file of the layer: why it has to be there
    ".shp": "it holds the shapes",
    ".shx": "it says where each shape begins",
    ".dbf": "it holds the fields",
    ".prj": "it says what the coordinates mean",
}
_SHOWN = 3  # names or rows in a message before "and 14 more"
_OWN_COLUMNS = ("area_km2", "geometry")


@dataclass(frozen=True)
class Repairs:
    """What repairing did: how many boundaries, and how much area came or went."""

    repaired: int
    changed_km2: float
    changed_share: float

    def __str__(self) -> str:
        if not self.repaired:
            return "all valid"
        return f"{self.repaired:,} repaired (area changed by {100 * self.changed_share:.3f} %)"


def to_rows(archive: str | os.PathLike, target: str | os.PathLike, fields: dict[str, str], key: str | list[str]) -> str:
    """Write the boundaries in `archive` as the GeoParquet file `target`, one row each; see `read`."""
    boundaries, repairs = _load(Path(archive), fields, key)
    with replacing(target) as part:
        boundaries.to_parquet(part, index=False, geometry_encoding="WKB", compression="zstd", schema_version="1.1.0")
    return f"{len(boundaries):,} rows, {repairs}{_damaged_letters(boundaries, fields)}"


def _damaged_letters(boundaries: "geopandas.GeoDataFrame", columns: Iterable[str]) -> str:
    """How many rows came with letters that an earlier program had already lost (U+FFFD), for the note; "" where none."""
    damaged = sum(any("\ufffd" in str(value) for value in row) for row in boundaries[list(columns)].itertuples(index=False))
    return f", {damaged:,} with damaged letters" if damaged else ""


def read(archive: str | os.PathLike, fields: dict[str, str], key: str | list[str]) -> "geopandas.GeoDataFrame":
    """The boundaries in the zip `archive`, sorted by key: key, the other fields, `area_km2`, geometry.

    fields: column -> template over the attributes of the shapefile, as "G{STATEFP10}0". The result is text; a
        template that is one attribute and nothing else ("{ALAND10}") keeps the type of that attribute.
        A row without one of the attributes has no value in that column.
    key: the column, or the columns, that no two rows have in common.

    The geometry is MultiPolygon in EPSG:4326, valid, outer rings counter-clockwise. `area_km2` is geodesic, on
    the ellipsoid of WGS 84. What was repaired is in `.attrs["repairs"]`.
    """
    boundaries, repairs = _load(Path(archive), fields, key)
    boundaries.attrs["repairs"] = vars(repairs)
    return boundaries


def _load(archive: Path, fields: dict[str, str], key: str | list[str]) -> tuple["geopandas.GeoDataFrame", Repairs]:
    import geopandas

    keys = [key] if isinstance(key, str) else list(key)
    _check_columns(archive, fields, keys)
    layer = _layer(archive)
    wanted = {column: _attributes(archive, column, template) for column, template in fields.items()}
    raw = _read_layer(archive, layer, wanted)
    columns = {column: _filled(archive, raw, fields[column], wanted[column]) for column in [*keys, *fields]}
    _check_keys(archive, {column: columns[column] for column in keys})
    names = [", ".join(str(columns[column][row]) for column in keys) for row in range(len(raw))]
    geometry, area, repairs = _repaired(archive, _to_longitude_latitude(archive, raw), names)
    boundaries = geopandas.GeoDataFrame({**columns, "area_km2": area}, geometry=geometry, crs="EPSG:4326")
    return boundaries.sort_values(keys, kind="stable", ignore_index=True), repairs


def _check_columns(archive: Path, fields: dict[str, str], keys: list[str]) -> None:
    for column in keys:
        if column not in fields:
            close = nearest(column, fields)
            advice = f"did you mean `{close[0]}`?" if close else f"the columns are {_some(fields)}."
            raise EtlError(f"the key `{column}` is not among the columns", where=archive, hint=f"{advice} Name it in `fields`")
    for column in _OWN_COLUMNS:
        if column in fields:
            raise EtlError(f"the column `{column}` is made by reading", where=archive, hint="choose another name in `fields`")


def _layer(archive: Path) -> str:
    """The path of the .shp inside the zip, after checking that zip and layer are whole."""
    again = "delete it and run the same command again, so that it is fetched anew"
    try:
        with zipfile.ZipFile(archive) as opened:
            damaged = opened.testzip()
            members = {member.filename: member.file_size for member in opened.infolist() if not _ignored(member)}
    except FileNotFoundError as error:
        raise EtlError("there is no such zip", where=archive, hint="run the task that fetches it, or name another") from error
    except (zipfile.BadZipFile, EOFError) as error:
        size = f"{archive.stat().st_size:,} bytes"
        raise EtlError("the zip is damaged or cut short", where=f"{archive}: {size}: {error}", hint=again) from error
    except (RuntimeError, NotImplementedError) as error:  # a password, a method that Python does not know
        raise EtlError(
            "the zip cannot be opened", where=f"{archive}: {error}", hint="zip it anew, without a password"
        ) from error
    if damaged:
        raise EtlError("the zip is damaged", where=f"{archive}: {damaged}", hint=again)
    layers = [name for name in members if name.lower().endswith(".shp")]
    if len(layers) > 1:
        names = _some([Path(name).stem for name in layers])
        raise EtlError(f"the zip holds {len(layers)} layers", where=f"{archive}: {names}", hint="make one zip for each layer")
    stems = {name[:-4] for name in layers} or {name[:-4] for name in members if name.lower().endswith((".dbf", ".shx"))}
    if not stems:
        raise EtlError("the zip holds no shapefile", where=f"{archive}: {_some(members)}", hint="is it the right file?")
    stem = min(stems)
    parts = {name[len(stem) :].lower(): name for name in members if name.startswith(stem)}
    for end, why in NEEDED.items():
        if end not in parts:
            raise EtlError(
                f"the zip has no {end}: {why}",
                where=f"{archive}: {_some([Path(name).name for name in parts.values()], 6)}",
                hint="a shapefile is several files: zip all of them together, or fetch the zip anew",
            )
    with zipfile.ZipFile(archive) as opened:
        head = opened.read(parts[".dbf"])[:8]
    shapes, rows = (members[parts[".shx"]] - 100) // 8, struct.unpack("<I", head[4:8])[0] if len(head) == 8 else 0
    if shapes != rows:
        raise EtlError(
            "shapes and fields do not belong together",
            where=f"{archive}: {shapes:,} shapes in the .shx, {rows:,} rows in the .dbf",
            hint=again,
        )
    return parts[".shp"]


def _ignored(member: zipfile.ZipInfo) -> bool:
    return member.is_dir() or member.filename.startswith("__MACOSX/")


def _attributes(archive: Path, column: str, template: str) -> list[str]:
    """The names of the attributes that stand in a template."""
    try:
        return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise EtlError(
            f"the template of the column `{column}` cannot be read",
            where=f"{archive}: {template!r}: {error}",
            hint="names of attributes stand in braces, as in `G{STATEFP10}0`",
        ) from error


def _read_layer(archive: Path, layer: str, wanted: dict[str, list[str]]) -> "geopandas.GeoDataFrame":
    """The shapes with the wanted attributes only."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    path = f"/vsizip/{{{archive.resolve()}}}/{layer}"  # in braces, a name need not end in .zip
    names = list(dict.fromkeys(name for several in wanted.values() for name in several))
    try:
        about = pyogrio.read_info(path)
        present = list(about["fields"])
        for name in names:
            if name not in present:
                close = nearest(name, present)
                advice = f"did you mean `{close[0]}`? " if close else ""
                raise EtlError(
                    f"the shapefile has no field `{name}`",
                    where=f"{archive}: {_some(present)}",
                    hint=f"{advice}The fields are chosen in the module of the dataset, below task/",
                )
        if "Polygon" not in str(about["geometry_type"]):
            kind = about["geometry_type"]
            raise EtlError("the shapes are not areas", where=f"{archive}: {kind}", hint="boundaries have to be polygons")
        raw = pyogrio.read_dataframe(path, columns=names, force_2d=True)
    except (DataSourceError, DataLayerError) as error:
        raise EtlError("the shapefile cannot be read", where=f"{archive}: {error}", hint="fetch the zip anew") from error
    except UnicodeDecodeError as error:
        raise EtlError(
            "a text in the .dbf is not written as the .cpg says",
            where=f"{archive}: {about['encoding']}: {error.object!r}",
            hint="put the right name into the .cpg; often it is `ISO-8859-1` or `UTF-8`",
        ) from error
    if not len(raw):
        raise EtlError("the shapefile is empty", where=archive, hint="is it the right file?")
    return raw


def _filled(archive: Path, raw, template: str, names: list[str]) -> list:
    """The column that a template makes; without a value where an attribute is missing."""
    if [template] == [f"{{{name}}}" for name in names]:
        return raw[names[0]].array
    rows = zip(*(raw[name].tolist() for name in names), strict=True) if names else ((),) * len(raw)
    try:
        return [None if _missing(values) else template.format(**dict(zip(names, values, strict=True))) for values in rows]
    except (ValueError, TypeError) as error:
        raise EtlError(f"the template {template!r} does not fit its attributes", where=f"{archive}: {error}") from error


def _missing(values) -> bool:
    import pandas

    return any(pandas.isna(value) for value in values)


def _check_keys(archive: Path, columns: dict) -> None:
    """No row without a key, no two rows with the same."""
    import pandas

    keys = pandas.DataFrame(columns)
    name = ", ".join(f"`{column}`" for column in columns)
    empty = keys.isna().any(axis=1) | keys.astype("string").apply(lambda column: column.str.strip().eq("")).any(axis=1).fillna(
        True
    )
    if empty.any():
        rows = [f"row {row + 1}" for row in keys.index[empty]]
        raise EtlError(
            f"the key {name} is empty in {_count(len(rows), 'row')}",
            where=f"{archive}: {_some(rows, 6)}",
            hint="choose a field that every boundary has",
        )
    double = keys.duplicated(keep=False)
    if double.any():
        twice = keys[double].astype("string").agg(", ".join, axis=1)
        groups = [
            f"`{value}` in rows {_some([str(row + 1) for row in rows], 6)}"
            for value, rows in twice.groupby(twice).groups.items()
        ]
        raise EtlError(
            f"the key {name} is not unique",
            where=f"{archive}: {'; '.join(groups[:_SHOWN])}{_more(groups)}",
            hint="add the field that tells these rows apart to the template, or to the key",
        )


def _to_longitude_latitude(archive: Path, raw):
    """The shapes in EPSG:4326, edges of a projected system cut finely."""
    from pyproj import CRS

    if raw.crs is None:
        raise EtlError(
            "the .prj does not say what the coordinates mean",
            where=archive,
            hint="get the .prj of this layer from its publisher",
        )
    return moved(raw.geometry.array, raw.crs, CRS.from_epsg(4326), where=archive)


def _repaired(archive: Path, geometry, names: list[str]):
    """Valid MultiPolygons, their areas in km2, and what repairing changed."""
    import numpy
    import shapely

    _refuse_empty(archive, geometry, names)
    valid = shapely.is_valid(geometry)
    whole = geometry.copy()
    # "structure" keeps outer rings and holes as they were meant, and with them the area; lines and points are dropped
    whole[~valid] = shapely.make_valid(geometry[~valid], method="structure", keep_collapsed=False)
    whole = numpy.array([shapely.MultiPolygon(_polygons(one)) for one in whole], dtype=object)
    whole = shapely.orient_polygons(whole)
    _refuse_empty(archive, whole, names)
    area = numpy.array([_area_km2(one) for one in whole])
    before = numpy.array([_area_km2(one) for one in geometry[~valid]])
    changed = float(numpy.abs(area[~valid] - before).sum())
    return whole, area, Repairs(int((~valid).sum()), changed, changed / float(area.sum()))


def _polygons(geometry) -> list:
    """The polygons in a geometry; what is not an area is left out."""
    if geometry.geom_type == "Polygon":
        return [geometry]
    return [polygon for part in getattr(geometry, "geoms", ()) for polygon in _polygons(part)]


def _refuse_empty(archive: Path, geometry, names: list[str]) -> None:
    import shapely

    empty = [
        f"row {row + 1} ({name})" for row, name in enumerate(names) if geometry[row] is None or shapely.is_empty(geometry[row])
    ]
    if empty:
        raise EtlError(
            f"{_count(len(empty), 'boundary', 'boundaries')} without an area",
            where=f"{archive}: {_some(empty, 6)}",
            hint="leave these rows out of the shapefile, or get their shapes",
        )


def _area_km2(geometry) -> float:
    """Geodesic area on the ellipsoid of WGS 84, outer rings less holes, however the rings are oriented."""
    from pyproj import Geod

    ellipsoid = Geod(ellps="WGS84")
    area = 0.0
    for polygon in _polygons(geometry):
        for ring, sign in [(polygon.exterior, 1), *((hole, -1) for hole in polygon.interiors)]:
            longitude, latitude = ring.coords.xy
            area += sign * abs(ellipsoid.polygon_area_perimeter(longitude, latitude)[0])
    return area / 1e6


def _some(names, shown: int = _SHOWN) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:shown]) + _more(names, shown)


def _more(names: list, shown: int = _SHOWN) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
