"""Invented daily weather of the invented country, as netCDF files shaped like MACAv2-METDATA.

The grid is a window of the real one. Fields are made day by day from the number of the day, so that a file comes
out the same whether it is made alone or among others. Steps that many numbers go through are sums and products
of few binary digits: they are exact, and thus equal on every machine.
"""

import datetime
import os
import zlib
from functools import lru_cache

from impl.run.errors import EtlError, unknown
from impl.run.files import replacing

FIRST_ROW, FIRST_COLUMN = 288, 600  # of the window in the real grid of 585 x 1386 cells
ROWS, COLUMNS = 96, 144  # of the window
FILL = -9999.0
CHUNK = (61, 48, 72)  # days, rows, columns; the real files, too, have blocks of many days
EPOCH = datetime.date(1900, 1, 1)
_NODE = 8  # cells from one node of the weather to the next

# name in the file's name: name inside, long name, units, cell method, values are multiples of
VARIABLES = {
    "tasmax": ("air_temperature", "Daily Maximum Near-Surface Air Temperature", "K", "maximum", 1 / 16),
    "tasmin": ("air_temperature", "Daily Minimum Near-Surface Air Temperature", "K", "minimum", 1 / 16),
    "rhsmax": ("relative_humidity", "Daily Maximum Near-Surface Relative Humidity", "%", "maximum", 1 / 4),
    "rhsmin": ("relative_humidity", "Daily Minimum Near-Surface Relative Humidity", "%", "minimum", 1 / 4),
    "pr": ("precipitation", "Precipitation", "mm", "sum", 1 / 16),
    "rsds": (
        "surface_downwelling_shortwave_flux_in_air",
        "Daily Mean Downward Shortwave Radiation at Surface",
        "W m-2",
        "mean",
        1 / 2,
    ),
    "huss": ("specific_humidity", "Daily Mean Near-Surface Specific Humidity", "kg kg-1", "mean", 2**-16),
    "uas": ("eastward_wind", "Daily Mean Near-Surface Eastward Wind", "m s-1", "mean", 1 / 16),
    "vas": ("northward_wind", "Daily Mean Near-Surface Northward Wind", "m s-1", "mean", 1 / 16),
    "vpd": ("vpd", "Mean Vapor Pressure Deficit", "kPa", "mean", 1 / 64),
}
WARMING = {"historical": 0.015, "rcp45": 0.03, "rcp85": 0.06}  # kelvin per year, from 2005 on or up to it


def macav2(
    target: str | os.PathLike,
    *,
    variable: str,
    model: str,
    run: str,
    scenario: str,
    first_year: int,
    last_year: int,
    years: list[int],
) -> str:
    """Write the days of `years` of one variable as the netCDF file `target`, shaped like MACAv2-METDATA.

    `first_year` and `last_year` are the span that the file's name promises; `years` lie in it.
    """
    if variable not in VARIABLES:
        raise unknown("sample variable", variable, VARIABLES, where=target)
    if scenario not in WARMING:
        raise unknown("sample scenario", scenario, WARMING, where=target)
    outside = [year for year in years if not first_year <= year <= last_year]
    if outside or not years:
        raise EtlError(
            f"the year {outside[0]} is not in the span of the file" if outside else "no year is asked for",
            where=f"{target}: {first_year} to {last_year}",
            hint="`years` are years from `first_year` to `last_year`",
        )
    inside, long_name, units, method, step = VARIABLES[variable]
    story = (model, run, scenario)
    attributes = {
        "long_name": long_name,
        "units": units,
        "grid_mapping": "crs",
        "standard_name": {"precipitation": "precipitation_amount", "vpd": "water_vapor_saturation_deficit_in_air"}.get(
            inside, inside
        ),
        "cell_methods": f"time: {method}(interval: 24 hours)",
        "coordinates": "time lon lat",
        "comments": "SYNTHETIC: invented weather, not the output of any climate model",
    }
    about = {
        "title": f"SYNTHETIC sample shaped like MACAv2-METDATA: {variable} {model} {run} {scenario} {first_year}-{last_year}",
        "comment": "SYNTHETIC: made by sustain-etl to try things out. No model made these numbers, nothing was measured",
        "synthetic": "true",
        "Conventions": "CF-1.6",
        "parent_experiment": scenario,
        "model": model,
        "run": run,
    }
    days = _days(years)
    _write(target, inside, attributes, about, days, lambda block: _field(variable, story, block), step)
    return f"{len(days):,} made-up days of {variable}"


def daily_grid(
    target: str | os.PathLike,
    *,
    variable: str,
    units: str,
    years: list[int],
    long_name: str = "",
    low: float = 0.0,
    high: float = 1.0,
    seed: int = 0,
) -> str:
    """Write the days of `years` of an invented variable that swings from `low` in winter to `high` in summer.

    For the sample of a new dataset on a daily grid: the window, the coast and the attributes are those of `macav2`.
    """
    if not years or not low < high:
        raise EtlError(
            "the sample needs a year, and `low` below `high`",
            where=f"{target}: years {years}, low {low}, high {high}",
            hint="for instance `years=[2004], low=0.0, high=30.0`",
        )
    step = 2.0 ** -_digits(high - low)
    attributes = {
        "long_name": long_name or variable,
        "units": units,
        "grid_mapping": "crs",
        "coordinates": "time lon lat",
    }
    about = {
        "title": f"SYNTHETIC sample: {variable}",
        "comment": "SYNTHETIC: made by sustain-etl to try things out. Nothing was measured",
        "synthetic": "true",
        "Conventions": "CF-1.6",
    }

    def field(block):
        share = 0.5 + 0.3 * _season(block)[:, None, None] + 0.2 * _front(("grid", str(seed)), "warm", block)
        return _spread(share, 1 / 256) * (high - low) + low

    days = _days(years)
    _write(target, variable, attributes, about, days, field, step)
    return f"{len(days):,} made-up days of {variable}"


def window():
    """Latitudes and longitudes (0..360) of the cell centres of the window."""
    import numpy

    latitude = numpy.linspace(25.063078, 49.396023, 585)[FIRST_ROW : FIRST_ROW + ROWS]
    longitude = numpy.linspace(235.227844, 292.935669, 1386)[FIRST_COLUMN : FIRST_COLUMN + COLUMNS]
    return latitude.round(6), longitude.round(6)


@lru_cache(maxsize=1)
def sea():
    """Which cells of the window have no values: those with their centre in the sea."""
    import numpy
    import shapely

    from impl.source.sample.country import land

    latitude, longitude = window()
    x, y = numpy.meshgrid(longitude - 360.0, latitude)
    ground = land()
    shapely.prepare(ground)
    return ~shapely.contains_xy(ground, x, y)


def _days(years: list[int]):
    """The days of `years` as days since 1900-01-01."""
    import numpy

    first_days = [
        ((datetime.date(year, 1, 1) - EPOCH).days, (datetime.date(year + 1, 1, 1) - EPOCH).days) for year in sorted(set(years))
    ]
    return numpy.concatenate([numpy.arange(first, last) for first, last in first_days])


def _write(target, name: str, attributes: dict, about: dict, days, field, step: float) -> None:
    """Write `field(block of days)`, rounded to multiples of `step`, with the fill value over the sea."""
    import netCDF4
    import numpy

    latitude, longitude = window()
    water = sea()
    axes = {
        "lat": (
            latitude,
            {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude", "axis": "Y"},
        ),
        "lon": (
            longitude,
            {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude", "axis": "X"},
        ),
        "time": (
            days,
            {"units": f"days since {EPOCH} 00:00:00", "calendar": "gregorian", "standard_name": "time", "axis": "T"},
        ),
    }
    with replacing(target) as part, netCDF4.Dataset(part, "w", format="NETCDF4") as file:
        file.setncatts(about)
        file.createDimension("crs", 1)
        for axis, (values, described) in axes.items():
            file.createDimension(axis, len(values))
            file.createVariable(axis, "f8", (axis,)).setncatts(described)
            file[axis][:] = values
        file.createVariable("crs", "i4", ("crs",)).setncatts(
            {
                "grid_mapping_name": "latitude_longitude",
                "longitude_of_prime_meridian": 0.0,
                "semi_major_axis": 6378137.0,
                "inverse_flattening": 298.257223563,
                "long_name": "WGS 84",
            }
        )
        file["crs"][:] = 1
        chunk = (min(CHUNK[0], len(days)), *CHUNK[1:])
        written = file.createVariable(
            name, "f4", ("time", "lat", "lon"), zlib=True, complevel=4, shuffle=True, chunksizes=chunk, fill_value=FILL
        )
        written.setncatts(attributes)
        written.set_auto_maskandscale(False)
        for start in range(0, len(days), chunk[0]):
            values = field(days[start : start + chunk[0]]).astype(numpy.float32, copy=False)
            values *= numpy.float32(1 / step)
            numpy.rint(values, out=values)
            values *= numpy.float32(step)
            numpy.copyto(values, numpy.float32(FILL), where=water)
            written[start : start + chunk[0]] = values


def _field(variable: str, story: tuple, days):
    """The values of `variable` on `days`, not yet rounded: [day, row, column]."""
    import numpy

    if variable in ("tasmax", "tasmin"):
        sign = 1 if variable == "tasmax" else -1
        half = 6.5 - 4.0 * _cloud(story, days)
        mean = 10.0 * _season(days)[:, None, None] + 6.0 * _front(story, "warm", days) + _warming(story, days)[:, None, None]
        return _spread(mean + sign * half, 1 / 16) + _ground()["temperature"]
    if variable in ("rhsmax", "rhsmin"):
        highest = 74.0 + 24.0 * _front(story, "moist", days)
        if variable == "rhsmin":
            highest = highest - 40.0 + 14.0 * _cloud(story, days)
        values = _spread(highest, 1 / 4) + _ground()["humidity"]
        return numpy.clip(values, 4.0, 100.0, out=values)
    if variable == "pr":
        wet = _spread(60.0 * (_front(story, "moist", days) - 0.22), 1 / 16)
        return numpy.maximum(wet, 0.0, out=wet) * _ground()["rain"]
    if variable == "rsds":
        clear = 205.0 + 105.0 * _season(days, lag=0)[:, None, None]
        values = _spread(clear * (1 - 0.7 * _cloud(story, days)), 1 / 2) + _ground()["radiation"]
        return numpy.maximum(values, 4.0, out=values)
    if variable == "huss":
        vapour = _saturation((_field("tasmax", story, days) + _field("tasmin", story, days)) * numpy.float32(0.5))
        vapour *= _field("rhsmax", story, days) + _field("rhsmin", story, days)
        return vapour * numpy.float32(0.5 * 0.01 * 0.622 / 95.0)
    if variable == "vpd":
        day = _saturation(_field("tasmax", story, days)) * (100.0 - _field("rhsmin", story, days))
        night = _saturation(_field("tasmin", story, days)) * (100.0 - _field("rhsmax", story, days))
        return (day + night) * numpy.float32(0.005)
    if variable == "uas":
        return _spread(2.5 + 6.0 * _front(story, "west wind", days), 1 / 16) + _ground()["wind"]
    return _spread(0.5 + 5.5 * _front(story, "south wind", days), 1 / 16) - _ground()["wind"]


def _saturation(kelvin):
    """Vapour pressure at saturation in kPa; near enough between -25 and 45 degrees, and made of products only."""
    import numpy

    root = 1 + (kelvin - numpy.float32(273.15)) * numpy.float32(0.0043)
    for _ in range(4):
        root = root * root
    return root * numpy.float32(0.611)


def _season(days, lag: int = 28):
    """-1 in midwinter, 1 in midsummer; `lag` days behind the sun. Parabolas for a sine: equal on all machines."""
    turn = ((days - 80 - lag) / 365.25) % 1.0
    half = (turn * 2) % 1.0
    arch = 4 * half * (1 - half)
    return (1 - 2 * (turn >= 0.5)) * arch


def _warming(story: tuple, days):
    """Kelvin above 2005."""
    return WARMING[story[2]] * ((days - 38_350) / 365.25)


def _cloud(story: tuple, days):
    """Cover from 0 to 1 at the nodes."""
    import numpy

    return numpy.clip(0.45 + 0.9 * _front(story, "moist", days), 0.0, 1.0)


def _front(story: tuple, name: str, days):
    """Weather in -1..1 at the nodes of the window: [day, node row, node column]. It moves east and changes on the way."""
    return _fronts(zlib.crc32("/".join((*story, name)).encode()), int(days[0]), int(days[-1]) + 1)[days - days[0]]


@lru_cache(maxsize=128)
def _fronts(seed: int, first: int, last: int):
    import numpy

    from impl.source.sample.noise import smooth

    day, row, column = numpy.ogrid[first:last, 0 : ROWS // _NODE + 1, 0 : COLUMNS // _NODE + 1]
    wide = smooth(seed, day / 4.0, row / 7.0 + day * 0.06, column / 8.0 - day * 0.42)
    narrow = smooth(seed + 1, day / 2.0, row / 3.0 - day * 0.11, column / 3.0 - day * 0.8)
    return numpy.clip(1.15 * wide + 0.35 * narrow, -1.0, 1.0)


def _spread(nodes, step: float):
    """Node values (rounded to `step`) spread over the cells in straight lines: [day, row, column], float32, exact."""
    import numpy

    rounded = (numpy.rint(nodes * (1 / step)) * step).astype(numpy.float32)
    return _weights(ROWS) @ (rounded @ _weights(COLUMNS).T)


@lru_cache(maxsize=2)
def _weights(count: int):
    """The share of each node in each cell."""
    import numpy

    cell = numpy.arange(count)
    weights = numpy.zeros((count, count // _NODE + 1), dtype=numpy.float32)
    weights[cell, cell // _NODE] = 1 - cell % _NODE / _NODE
    weights[cell, cell // _NODE + 1] = cell % _NODE / _NODE
    return weights


@lru_cache(maxsize=1)
def _ground() -> dict:
    """What the place alone does to each quantity: [row, column], float32."""
    import numpy

    from impl.source.sample.noise import smooth

    row, column = numpy.ogrid[0:ROWS, 0:COLUMNS]
    hills = sum(smooth(k, row / size, column / size) * size for k, size in ((31, 24.0), (32, 9.0), (33, 4.0))) / 37.0
    west = numpy.clip(1 - column / 95.0, 0.0, 1.0)
    metres = numpy.clip(1500.0 * west * west + 320.0 + 650.0 * hills * (0.4 + west), 0.0, None)
    fields = {
        "temperature": 287.5 - 0.0065 * metres - 0.025 * (row - ROWS / 2),
        "humidity": 8.0 - 22.0 * west + 4.0 * hills,
        "rain": 0.55 + 0.5 * (1 - west) + 0.5 * hills + metres * 0.0002,
        "radiation": 18.0 * west - 0.12 * (row - ROWS / 2) - 6.0 * hills,
        "wind": 1.5 * hills + metres * 0.0006,
    }
    return {name: (numpy.rint(values * 16) / 16).astype(numpy.float32) for name, values in fields.items()}


def _digits(width: float) -> int:
    """How many binary digits after the point make about a thousand steps of `width`."""
    digits = 0
    while width * 2**digits < 1000 and digits < 40:
        digits += 1
    while width * 2**digits >= 2000:
        digits -= 1
    return digits
