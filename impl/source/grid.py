"""Opens a netCDF file and says what it is: variables, dimensions, axes, calendar, chunks, CRS. Reads no data but the axes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError

_LATITUDE = {"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"}
_LONGITUDE = {"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"}


@dataclass(frozen=True)
class Variable:
    """A variable as it lies in the file."""

    name: str
    dimensions: tuple[str, ...]
    dtype: str
    units: str = ""
    long_name: str = ""
    fill_value: float | int | None = None
    packed: bool = False
    chunks: tuple[int, ...] | None = None  # None: one after the other, not chunked
    filters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Axis:
    """Latitudes or longitudes: centres of the cells, from the first to the last."""

    name: str
    count: int
    first: float
    last: float
    step: float | None  # None: irregular
    order: str  # ascending, descending or none
    convention: str = ""  # of longitudes: 0..360 or -180..180
    bounds: str = ""


@dataclass(frozen=True)
class Time:
    """The time axis: calendar, first and last time as text."""

    name: str
    count: int
    first: str
    last: str
    units: str
    calendar: str


@dataclass(frozen=True)
class Grid:
    """What a netCDF file holds."""

    path: Path
    format: str
    dimensions: dict[str, int]
    variables: dict[str, Variable]  # without axes, bounds and grid mappings
    latitude: Axis | None
    longitude: Axis | None
    time: Time | None
    crs: str
    title: str
    synthetic: bool

    def summary(self) -> str:
        """The facts as a few lines of text."""
        lines = [f"{self.path.name} ({self.format})"]
        if self.title:
            lines.append(f"  title      {self.title}")
        lines.append(f"  dimensions {', '.join(f'{name} {size:,}' for name, size in self.dimensions.items())}")
        for axis in (self.latitude, self.longitude):
            if axis:
                step = "irregular" if axis.step is None else f"step {axis.step:.6g}"
                convention = f", {axis.convention}" if axis.convention else ""
                lines.append(
                    f"  {axis.name:10} {axis.first:.6f} .. {axis.last:.6f}, {axis.count:,} cells, {step}, {axis.order}{convention}"
                )
        if self.time:
            time = self.time
            lines.append(
                f"  {time.name:10} {time.first} .. {time.last}, {time.count:,} steps, {time.calendar} calendar, {time.units}"
            )
        lines.append(f"  crs        {self.crs}")
        for one in self.variables.values():
            stored = f"chunks of {' x '.join(map(str, one.chunks))}" if one.chunks else "not chunked"
            filters = f", {' + '.join(one.filters)}" if one.filters else ""
            packed = ", packed" if one.packed else ""
            lines.append(
                f"  {one.name} ({', '.join(one.dimensions)}) {one.dtype} {one.units or 'without units'}, {stored}{filters}{packed}"
            )
        return "\n".join(lines)


def describe(path: str | os.PathLike) -> Grid:
    """What the netCDF file `path` holds."""
    path = Path(path)
    import netCDF4

    if not path.exists():
        raise EtlError("there is no such file", where=path, hint="run the task that fetches it, or name another")
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            return _described(path, file)
    except OSError as error:
        size = path.stat().st_size if path.is_file() else 0
        raise EtlError(
            "the file is not netCDF, or cut short",
            where=f"{path}: {size:,} bytes, {_beginning(path)}",
            hint="delete it and run the task that fetches it again",
        ) from error
    except RuntimeError as error:  # the netCDF library read the head, and not what it promises
        raise EtlError(
            "the netCDF file is damaged", where=f"{path}: {error}", hint="delete it and run the task that fetches it again"
        ) from error


def _described(path: Path, file: Any) -> Grid:
    named: set[str] = set()  # variables that only describe others
    for variable in file.variables.values():
        for attribute in ("bounds", "grid_mapping", "coordinates", "cell_measures", "climatology"):
            named.update(str(getattr(variable, attribute, "")).replace(":", " ").split())
    latitude = _axis(file, _LATITUDE, "latitude", ("lat", "latitude"))
    longitude = _axis(file, _LONGITUDE, "longitude", ("lon", "longitude"))
    time = _time(file)
    mapping = next((one for one in file.variables.values() if hasattr(one, "grid_mapping_name")), None)
    axes = {axis.name for axis in (latitude, longitude, time) if axis}
    bounds = {axis.bounds for axis in (latitude, longitude) if axis}
    hidden = named | axes | bounds | set(file.dimensions) | ({mapping.name} if mapping is not None else set())
    return Grid(
        path=path,
        format=file.data_model,
        dimensions={name: len(dimension) for name, dimension in file.dimensions.items()},
        variables={name: _variable(one) for name, one in file.variables.items() if name not in hidden and one.dimensions},
        latitude=latitude,
        longitude=longitude,
        time=time,
        crs=_crs(mapping, latitude, longitude),
        title=str(getattr(file, "title", "")),
        synthetic=str(getattr(file, "synthetic", "")).lower() == "true",
    )


def _variable(variable: Any) -> Variable:
    chunking = variable.chunking()
    filters = variable.filters() or {}
    names = [name for name in ("shuffle", "zlib", "zstd", "bzip2", "szip", "blosc", "fletcher32") if filters.get(name)]
    fill: Any = getattr(variable, "_FillValue", getattr(variable, "missing_value", None))
    return Variable(
        name=variable.name,
        dimensions=variable.dimensions,
        dtype=str(variable.dtype),
        units=str(getattr(variable, "units", "")),
        long_name=str(getattr(variable, "long_name", "")),
        fill_value=fill.item() if hasattr(fill, "item") else fill,
        packed=hasattr(variable, "scale_factor") or hasattr(variable, "add_offset"),
        chunks=tuple(chunking) if isinstance(chunking, list) else None,
        filters=tuple(f"{name} {filters['complevel']}" if name == "zlib" else name for name in names),
    )


def _axis(file: Any, units: set[str], standard_name: str, names: tuple[str, ...]) -> Axis | None:
    """The one-dimensional axis with these units or this name, if there is one."""
    import numpy

    for variable in file.variables.values():
        found = (
            str(getattr(variable, "units", "")).lower() in units
            or getattr(variable, "standard_name", "") == standard_name
            or variable.name.lower() in names
        )
        if not found or variable.dimensions != (variable.name,) or not variable.size:
            continue
        values = variable[:].astype(float)
        steps = numpy.diff(values)
        even = bool(steps.size) and bool(numpy.allclose(steps, steps.mean(), rtol=1e-3, atol=0.0))
        order = "ascending" if (steps > 0).all() else "descending" if (steps < 0).all() else "none"
        convention = (
            ""
            if standard_name == "latitude"
            else "0..360"
            if values.max() > 180
            else "-180..180"
            if values.min() < 0
            else "either"
        )
        return Axis(
            name=variable.name,
            count=len(values),
            first=float(values[0]),
            last=float(values[-1]),
            step=float((values[-1] - values[0]) / steps.size) if even else None,
            order=order,
            convention=convention,
            bounds=str(getattr(variable, "bounds", "")),
        )
    return None


def _time(file: Any) -> Time | None:
    """The axis whose units count from a date, if there is one; a plain number of the month is none."""
    import netCDF4

    for variable in file.variables.values():
        units = str(getattr(variable, "units", ""))
        if " since " not in units or variable.dimensions != (variable.name,) or not variable.size:
            continue
        calendar = str(getattr(variable, "calendar", "standard"))
        try:
            values = variable[:].astype(float)
            first, last = (f"{netCDF4.num2date(value, units, calendar):%Y-%m-%d %H:%M}" for value in (values[0], values[-1]))
        except ValueError as error:
            raise EtlError(
                "the time axis cannot be read",
                where=f"{file.filepath()}: `{variable.name}`: {units}, {calendar} calendar: {error}",
                hint="units look like `days since 1900-01-01`",
            ) from error
        return Time(variable.name, len(values), first, last, units, calendar)
    return None


def _crs(mapping: Any, latitude: Axis | None, longitude: Axis | None) -> str:
    """The name of the grid's CRS; what CF takes for granted is said so."""
    if mapping is None:
        return "latitude and longitude (no grid_mapping)" if latitude and longitude else "unknown"
    if mapping.grid_mapping_name == "latitude_longitude":
        return f"latitude_longitude ({getattr(mapping, 'long_name', mapping.name)})"
    return str(mapping.grid_mapping_name)


def _beginning(path: Path) -> str:
    """What the first bytes of a file look like."""
    try:
        with open(path, "rb") as opened:
            first = opened.read(16)
    except OSError:
        return "not readable"
    if first.startswith((b"\x89HDF", b"CDF")):
        return "it begins like netCDF"
    if first.lstrip()[:1] == b"<":
        return "it begins like a web page"
    return f"it begins with {first!r}" if first else "empty"
