"""A choropleth: one colour per region, from a column of a collection, as a PNG.

Regions without a value are grey. What is synthetic says so in the picture. The same rows give the same bytes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError, explain, unknown
from impl.run.files import replacing, sweep_beside
from impl.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path as Outline

WIDTH_INCHES = 10.0
DOTS_PER_INCH = 150
MARGIN, HEAD, FOOT, BAR = 0.25, 0.75, 0.5, 1.1  # inches around the map; the bar stands to its right
NO_VALUE, BORDER, QUIET, WARNING = "#dcdcdc", "#ffffff", "#6b6b6b", "#b3261e"
SYNTHETIC = "SYNTHETIC sample data"


def choropleth(
    store: Store,
    *,
    collection: str,
    column: str,
    target: str | Path,
    where: str | None = None,
    title: str = "",
    unit: str = "",
    regions: str = "region_county",
    key: str = "gis_join",
    within: tuple[str, str] | None = None,
    note: str | None = None,
    colours: str = "viridis",
) -> str:
    """Draw `column` of `collection` over `regions`, joined by `key`, into the PNG `target`; its path.

    where: an SQL condition that leaves one row per region, as "timestamp = '2005-07-01' and model = 'CCSM4'".
    within: ("state", "Colorado") draws the regions of one state.
    note: a line below the map; that the data are synthetic is said in any case.
    """
    facts, about = store.facts(collection), store.facts(regions)
    described = {one.name: one for one in facts.columns}
    if column not in described:
        numbers = [one.name for one in facts.columns if one.type in ("double", "real", "integer", "bigint", "smallint")]
        raise unknown("column", column, numbers, where=f"the collection `{collection}`")
    values = _values(store, collection, column, key, where)
    outlines, box = _outlines(store, regions, key, within, values)
    borders = _borders(store, within) if regions != "region_state" else []
    synthetic = facts.synthetic or about.synthetic
    origin = f"{'Shaped like' if synthetic else 'Source'}: {facts.source}" if facts.source else ""
    text = _Text(
        title=title or _capital(described[column].meaning or column.replace("_", " ")),
        unit=unit or described[column].unit,
        warning=SYNTHETIC if synthetic else "",
        small="   ".join(filter(None, (note, origin))),
    )
    try:
        sweep_beside(Path(target))
        with replacing(target) as beside:
            _draw(outlines, values, borders, box, text, colours, beside)
    except OSError as error:
        raise explain(error, where=target) from error
    return str(target)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class _Text:
    """What is written around the map."""

    def __init__(self, title: str, unit: str, warning: str, small: str) -> None:
        self.title, self.unit, self.warning, self.small = title, unit, warning, small


def _values(store: Store, collection: str, column: str, key: str, where: str | None) -> dict[str, float]:
    rows = store.read(collection, [key, column], where)
    place = f"`{collection}`" + (f" where {where}" if where else "")
    if not rows.num_rows:
        raise EtlError("there are no rows to draw", where=place, hint=_range_of_times(store, collection))
    keys = rows.column(key).to_pylist()
    if len(set(keys)) < len(keys):
        doubled = next(one for place_, one in enumerate(keys) if one in keys[:place_])
        raise EtlError(
            "a map shows one value for each region, and there are several",
            where=f"{place}: {len(keys):,} rows for {len(set(keys)):,} regions, as `{doubled}`",
            hint="narrow it down to one time, one model and one scenario",
        )
    numbers = dict(zip(keys, rows.column(column).to_pylist(), strict=True))
    try:
        found = {one: float(value) for one, value in numbers.items() if value is not None}
    except (TypeError, ValueError) as error:
        raise EtlError(f"`{column}` is no number and cannot be drawn", where=place) from error
    return {one: value for one, value in found.items() if math.isfinite(value)}


def _range_of_times(store: Store, collection: str) -> str:
    if not any(column.name == "timestamp" for column in store.facts(collection).columns):
        return f"`invoke store.show {collection}` shows what is there"
    ends = store.query(f'SELECT min("timestamp") AS first, max("timestamp") AS last FROM "{collection}"').to_pylist()[0]
    if ends["first"] is None:
        return f"the collection `{collection}` is empty"
    return f"the collection holds times from {ends['first']:%Y-%m-%d} to {ends['last']:%Y-%m-%d}"


def _outlines(
    store: Store, regions: str, key: str, within: tuple[str, str] | None, values: Mapping[str, float]
) -> tuple[dict[str, Outline], tuple[float, float, float, float]]:
    """The outline of each region, and the box around those to show: all of a state, or all that have a value."""
    import numpy
    import shapely

    geometry = store.facts(regions).geometry
    if geometry is None:
        raise EtlError(f"`{regions}` has no geometry to draw", hint="name a collection of regions, as region_county")
    rows = store.read(regions, [key, geometry], _within(store, regions, key, within))
    names = rows.column(key).to_pylist()
    shapes = shapely.from_wkb(numpy.array(rows.column(geometry).to_pylist(), dtype=object))
    shapes = _one_side_of_the_date_line(shapes)
    known = numpy.array([name in values for name in names], dtype=bool)
    if not known.any():
        what = f"none of the {len(values):,} values belongs to a region" if values else "there is no value to draw"
        where = f"`{regions}`" + (f" within {within[0]} {within[1]}" if within else "")
        raise EtlError(
            what, where=where, hint=f"both sides are joined by `{key}`; look at one of each with `invoke store.query`"
        )
    west, south, east, north = (float(edge) for edge in shapely.total_bounds(shapes if within else shapes[known]))
    air = 0.005 * max(east - west, north - south)  # the outermost border is drawn whole
    return dict(zip(names, map(_outline, shapes), strict=True)), (west - air, south - air, east + air, north + air)


def _within(store: Store, regions: str, key: str, within: tuple[str, str] | None) -> str | None:
    """The condition for the regions inside a bigger one: they begin with its code, as G08 for Colorado."""
    if within is None:
        return None
    level, name = within
    outer = f"region_{level}"
    columns = [column.name for column in store.facts(outer).columns]
    wanted = [one for one in ("name", "state_abbreviation") if one in columns]
    rows = store.read(outer, [key, *wanted]).to_pylist()
    for row in rows:
        if name.lower() in {str(row[one]).lower() for one in (key, *wanted)}:
            code = str(row[key])[:3]
            return f"\"{key}\" LIKE '{code}%'"
    raise unknown(level, name, [row["name"] for row in rows], where=f"the collection `{outer}`")


def _borders(store: Store, within: tuple[str, str] | None) -> list[Outline]:
    """The states, as lines above the counties; nothing where they are not staged."""
    if "region_state" not in store.names() or within is not None:
        return []
    import numpy
    import shapely

    geometry = store.facts("region_state").geometry
    if geometry is None:
        return []
    rows = store.read("region_state", [geometry])
    shapes = shapely.from_wkb(numpy.array(rows.column(geometry).to_pylist(), dtype=object))
    return [_outline(shape) for shape in _one_side_of_the_date_line(shapes)]


def _one_side_of_the_date_line(shapes: Any) -> Any:
    """Where the shapes reach around the world, put their eastern parts west of -180, so that Alaska is one."""
    import numpy
    import shapely

    bounds = shapely.total_bounds(shapes)
    if not bounds[2] - bounds[0] > 180:
        return shapes
    parts, owners = shapely.get_parts(shapes, return_index=True)
    east = shapely.bounds(parts)[:, 0] > 0
    parts[east] = shapely.transform(parts[east], lambda points: points - numpy.array([360.0, 0.0]))
    return shapely.multipolygons(parts, indices=owners)


def _outline(shape: Any) -> Outline:
    """All rings of a shape as one path; holes turn the other way, so they stay empty."""
    import numpy
    import shapely
    from matplotlib.path import Path as Outline

    rings = shapely.get_rings(shapely.get_parts(shapely.orient_polygons(shape)))
    if not len(rings):
        return Outline(numpy.zeros((0, 2)))
    points, owners = shapely.get_coordinates(rings, return_index=True)
    codes = numpy.full(len(points), Outline.LINETO, dtype=Outline.code_type)
    codes[numpy.flatnonzero(numpy.diff(owners, prepend=-1))] = Outline.MOVETO
    codes[numpy.flatnonzero(numpy.diff(owners, append=-1))] = Outline.CLOSEPOLY
    return Outline(points, codes)


def _draw(
    outlines: Mapping[str, Outline],
    values: Mapping[str, float],
    borders: Sequence[Outline],
    box: tuple[float, float, float, float],
    text: _Text,
    colours: str,
    path: Path,
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

    shown = {name: values[name] for name in outlines if name in values}
    inches = _map_inches(box)
    width, height = inches[0] + MARGIN + BAR, inches[1] + HEAD + FOOT
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((MARGIN / width, FOOT / height, inches[0] / width, inches[1] / height))
    axes.set_axis_off()
    axes.set_xlim(box[0], box[2])
    axes.set_ylim(box[1], box[3])
    line = max(0.1, min(0.6, 12 / math.sqrt(len(outlines) * 8)))
    empty = [outline for name, outline in outlines.items() if name not in shown]
    axes.add_collection(PathCollection(empty, facecolor=NO_VALUE, edgecolor=BORDER, linewidth=line, transform=axes.transData))
    filled = PathCollection(
        [outlines[name] for name in shown], cmap=colours, edgecolor=BORDER, linewidth=line, transform=axes.transData
    )
    least, greatest = min(shown.values()), max(shown.values())
    margin = 0.0 if greatest > least else max(abs(least), 1.0) * 0.01
    filled.set_array(list(shown.values()))
    filled.set_clim(least - margin, greatest + margin)
    axes.add_collection(filled)
    if borders:
        axes.add_collection(
            PathCollection(borders, facecolor="none", edgecolor="#303030", linewidth=0.5, transform=axes.transData)
        )
    tall = min(inches[1] * 0.8, 4.5)
    left, low = MARGIN + inches[0] + 0.2, FOOT + (inches[1] - tall) / 2
    beside = figure.add_axes((left / width, low / height, 0.16 / width, tall / height))
    bar = figure.colorbar(filled, cax=beside)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8, length=2, color=QUIET, labelcolor="#303030")
    bar.ax.set_title(text.unit, fontsize=9, loc="left", pad=8)
    in_sight = [one for one in empty if _in_sight(one, box)]
    _write_around(axes, text, len(in_sight), width, height)
    canvas.print_figure(path, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def _in_sight(outline: Outline, box: tuple[float, float, float, float]) -> bool:
    west, south, east, north = outline.get_extents().extents  # of no points: infinite, and so out of sight
    return bool(west < box[2] and east > box[0] and south < box[3] and north > box[1])


def _map_inches(box: tuple[float, float, float, float]) -> tuple[float, float]:
    """The size of the map: a degree of longitude is as wide as it is at the middle latitude."""
    across = max(box[2] - box[0], 1e-6) * math.cos(math.radians((box[1] + box[3]) / 2))
    up = max(box[3] - box[1], 1e-6)
    wide = WIDTH_INCHES - MARGIN - BAR
    tall = wide * up / across
    return (wide, tall) if tall <= 8 else (max(8 * across / up, 3.5), 8.0)


def _write_around(axes: Axes, text: _Text, without: int, width: float, height: float) -> None:
    figure, left = axes.figure, MARGIN / width
    title = "\n".join(textwrap.wrap(text.title, int(width * 8.5))[:2])  # about 8.5 letters of this size in an inch
    figure.text(left, 1 - HEAD / 2 / height, title, fontsize=14, fontweight="bold", color="#202020", va="center")
    small = "   ".join(filter(None, (text.small, f"grey: no value ({without})" if without else "")))
    below = FOOT / 2 / height
    if text.warning:
        figure.text(left, below, text.warning, fontsize=9, fontweight="bold", color=WARNING, va="center")
        left += 0.092 * len(text.warning) / width
    room = int((1 - left) * width * 14)
    figure.text(left, below, "\n".join(textwrap.wrap(small, room)[:2]), fontsize=8, color=QUIET, va="center")
