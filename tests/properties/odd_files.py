"""Random netCDF files as they come: types, packing, ranges, units, axis directions, spans, calendars; and what their rows are.

The file is written raw (no packing or masking by the library), and what its numbers mean is worked out here from the stored
arrays by the text of CF 1.11 (sections 2.5.1, 4, 7.1, 8.1), in numpy; dates by cftime, covered shares by shapely. Nothing here
shares code or an idea with the program.
"""

from dataclasses import dataclass, field

import cftime
import netCDF4
import numpy as np
import shapely

TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
CLASSIC = ["i1", "i2", "i4", "f4", "f8"]
SMALLEST = 1e-9  # a share below this is rounding, here and there


@dataclass
class Odd:
    """One random variable: raw numbers, attributes, and the values that they mean (NaN: missing).

    lawful: does CF allow it? If so it may be refused only now and then; else any refusal by name is fine.
    """

    name: str
    kind: str
    stored: np.ndarray
    attrs: dict
    meant: np.ndarray
    lawful: bool = True
    story: list = field(default_factory=list)


def limits(kind):
    """The smallest and the largest number of a type."""
    about = np.iinfo(kind) if kind[0] in "iu" else np.finfo(kind)
    return about.min, about.max


def variable(chance, name, shape, kinds):
    """A random variable. chance: numpy's Generator; shape: as it is stored; kinds: the types that the file can hold."""
    kind = str(chance.choice(kinds))
    whole = kind[0] in "iu"
    unsigned_bytes = kind == "i1" and chance.random() < 0.2
    if whole:
        low, high = (0, 200) if kind[0] == "u" or unsigned_bytes else (-100, 100)
        stored = chance.integers(low, high + 1, shape).astype("u1" if unsigned_bytes else kind)
    else:
        stored = np.round(chance.uniform(-100, 100, shape), 3).astype(kind)
    odd = Odd(name, kind, stored, {}, np.empty(0))
    sense = "u1" if unsigned_bytes else kind
    if unsigned_bytes:
        odd.attrs["_Unsigned"] = "true"
        odd.story.append("_Unsigned")

    # values that mean missing
    missing = []
    how = chance.choice(
        ["none", "_FillValue", "missing_value", "both", "vector", "wider", "nan"], p=[0.3, 0.25, 0.1, 0.1, 0.1, 0.1, 0.05]
    )
    sentinel = {True: (7, 11), False: (-9999.0, 1e20)}[whole]
    as_stored = np.dtype(kind).type
    if how in ("_FillValue", "both"):
        missing.append(sentinel[0])
        odd.attrs["_FillValue"] = as_stored(sentinel[0])
    if how in ("missing_value", "both"):
        missing.append(sentinel[1])
        odd.attrs["missing_value"] = as_stored(sentinel[1])
    if how == "vector":
        missing += sentinel
        odd.attrs["missing_value"] = np.array(sentinel, kind)
    if how == "wider":
        # a float that the type holds exactly: common in files that tools have packed anew
        missing.append(sentinel[0])
        odd.attrs["missing_value"] = np.float64(sentinel[0])
    if how == "nan" and not whole:
        odd.attrs["_FillValue"] = as_stored(np.nan)
    odd.story.append(f"missing: {how}")
    flat = stored.reshape(-1)
    for value in missing:
        flat[chance.random(flat.size) < 0.15] = np.array(value).astype(stored.dtype)
    if how == "nan" and not whole:
        flat[chance.random(flat.size) < 0.15] = np.nan

    # packing
    scale, offset = None, None
    packed = chance.choice(["no", "scale", "offset", "both"], p=[0.45, 0.15, 0.1, 0.3])
    wide = np.float32 if chance.random() < 0.4 and kind not in ("i4", "u4", "i8", "u8", "f8") else np.float64
    if packed in ("scale", "both"):
        scale = wide(chance.choice([0.01, 0.1, 2.0, 0.5, -0.25, 1.0]))
    if packed in ("offset", "both"):
        offset = wide(chance.choice([0.0, 250.0, -3.5, 1000.0]))
    dress = chance.choice(["number", "array", "text"], p=[0.75, 0.15, 0.1])
    for name, value in (("scale_factor", scale), ("add_offset", offset)):
        if value is not None:
            odd.attrs[name] = {"number": value, "array": np.array([value]), "text": str(float(value))}[dress]
            odd.lawful &= dress != "text"
    factor, term = float(scale) if scale is not None else 1.0, float(offset) if offset is not None else 0.0
    odd.story.append(f"packing: {packed} {dress} {factor} {term}")

    # the numbers that are allowed
    bounds = [-np.inf, np.inf]  # of stored numbers
    sort = chance.choice(["none", "range", "min", "max", "both"], p=[0.5, 0.2, 0.1, 0.1, 0.1])
    low, high = ((3, 150) if sense[0] == "u" else (-60, 60)) if whole else (-60.5, 60.25)
    if sort != "none":
        in_unpacked = packed != "no" and whole and dress != "text" and chance.random() < 0.4
        ends = [low, high]
        if in_unpacked:
            ends = sorted(value * factor + term for value in ends)
            # a bound in the middle between two values: rounding of the product decides nothing
            ends = [ends[0] - abs(factor) / 2, ends[1] + abs(factor) / 2]
            typed = np.array(ends, wide)
        elif whole and chance.random() < 0.15:
            typed = np.array(ends, "i2" if kind in ("i1", "u1") else "i4")  # another whole type, whose numbers fit
            odd.lawful = False
        else:
            typed = np.array(ends, sense if not unsigned_bytes else "u1")
            if unsigned_bytes:
                typed = typed.view("i1")
        odd.story.append(f"{sort} {typed.dtype} {ends} {'unpacked' if in_unpacked else 'packed'}")
        if sort == "range":
            odd.attrs["valid_range"] = typed
        if sort in ("min", "both"):
            odd.attrs["valid_min"] = typed[0]
        if sort in ("max", "both"):
            odd.attrs["valid_max"] = typed[1]
        if in_unpacked and factor < 0:
            keep = {"range": (low, high), "both": (low, high), "min": (-np.inf, high), "max": (low, np.inf)}[sort]
        else:
            keep = {"range": (low, high), "both": (low, high), "min": (low, np.inf), "max": (-np.inf, high)}[sort]
        bounds = list(keep)

    plain = stored.astype("f8")
    gone = ~((plain >= bounds[0]) & (plain <= bounds[1]))
    for value in missing:
        gone |= plain == float(np.array(value).astype(stored.dtype))
    if "_FillValue" not in odd.attrs:
        # netCDF's own fill value, but for bytes, which use all their numbers
        default = netCDF4.default_fillvals[sense]
        if stored.dtype.itemsize > 1:
            gone |= plain == float(default)
    odd.meant = np.where(gone, np.nan, plain * factor + term)
    odd.stored = stored.view("i1") if unsigned_bytes else stored
    odd.attrs["units"] = "K"
    return odd


@dataclass
class Side:
    """A coordinate: edges of its cells in degrees, ascending, and how the file holds them."""

    edges: np.ndarray
    falling: bool
    unit: str
    factor: float  # degrees of one unit
    bounds: bool
    kind: str

    @property
    def centres(self):
        return (self.edges[:-1] + self.edges[1:]) / 2

    def write(self, file, name, standard_name):
        order = slice(None, None, -1 if self.falling else 1)
        file.createDimension(name, len(self.edges) - 1)
        axis = file.createVariable(name, self.kind, (name,))
        axis.setncatts({"units": self.unit, "standard_name": standard_name})
        axis[:] = self.centres[order] / self.factor
        if self.bounds:
            if "two" not in file.dimensions:
                file.createDimension("two", 2)
            axis.bounds = f"{name}_bnds"
            pairs = np.column_stack([self.edges[:-1], self.edges[1:]])[order] / self.factor
            file.createVariable(f"{name}_bnds", self.kind, (name, "two"))[:] = pairs


UNITS = {
    "lat": [
        ("degrees_north", 1),
        ("degree_N", 1),
        ("degrees", 1),
        ("radian", 180 / np.pi),
        ("degrees_south", -1),
        ("grad", 0.9),
    ],
    "lon": [
        ("degrees_east", 1),
        ("degreesE", 1),
        ("degree", 1),
        ("rad", 180 / np.pi),
        ("degrees_west", -1),
        ("arc_minute", 1 / 60),
    ],
}


def side(chance, name, *, whole_globe=False):
    """A random latitude (longitude)."""
    unit, factor = UNITS[name][chance.choice(len(UNITS[name]), p=[0.4, 0.15, 0.15, 0.1, 0.1, 0.1])]
    count = int(chance.integers(2, 8))
    step = float(chance.choice([0.25, 1.0, 2.5]))
    if whole_globe:
        count, step = 24, 15.0
    if name == "lat":
        first = float(chance.choice([-90.0, -20.0, 0.25, 37.5, 90.0 - count * step]))
    else:
        first = float(chance.choice([-180.0, -100.0, -0.5, 0.0, 179.0, 235.0, 355.0]))
    edges = first + step * np.arange(count + 1)
    bounds = bool(chance.random() < 0.4)
    if bounds and not whole_globe and chance.random() < 0.5:
        edges[1:-1] += chance.uniform(-0.3, 0.3, count - 1) * step
    kind = "f4" if unit.startswith("degree") and chance.random() < 0.3 and np.all(edges == edges.astype("f4")) else "f8"
    return Side(edges, bool(chance.random() < 0.3), unit, factor, bounds, kind)


CALENDARS = ["standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "julian", "all_leap", "360_day", None]
SINCE = [
    "1970-01-01",
    "1900-01-01 00:00:00",
    "2000-2-28 06:00",
    "1850-01-01T12:00:00Z",
    "1582-10-04",
    "0001-01-01",
    "2001-12-31 23:59:59.5",
]


@dataclass
class Time:
    """The time axis: stored numbers, attributes, and its dates."""

    stored: np.ndarray
    attrs: dict
    dates: list  # cftime's
    lawful: bool


def time(chance):
    """A random time axis of one to four steps."""
    calendar = CALENDARS[chance.integers(len(CALENDARS))]
    unit = str(chance.choice(["days", "hours", "minutes", "seconds", "day", "h", "sec"]))
    since = str(chance.choice([one for one in SINCE if calendar != "360_day" or "-31" not in one]))
    one = {"d": 1, "h": 24, "m": 1440, "s": 86400}[unit[0]]
    steps = np.sort(chance.choice(np.arange(20000), int(chance.integers(1, 5)), replace=False)).astype("f8")
    if chance.random() < 0.5:
        steps += chance.choice([0.0, 0.25, 0.5])
    stored = steps * one
    attrs = {"units": f"{unit} since {since}"}
    if calendar:
        attrs["calendar"] = calendar
    dates = list(cftime.num2date(stored, attrs["units"], calendar or "standard", only_use_cftime_datetimes=True))
    # a date that no real calendar has
    unreal = calendar == "all_leap" and any((d.month, d.day) == (2, 29) and not leap(d.year) for d in dates)
    return Time(stored, attrs, dates, not unreal)


def leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def label(date, calendar):
    """A date as the rows hold it: in UTC to the second; julian dates (and the standard calendar's old ones) on the Gregorian day."""
    if calendar == "360_day":
        return f"{date.year:04}-{date.month:02}-{date.day:02}T{date.hour:02}:{date.minute:02}:{date.second:02}"
    if calendar in ("julian", "standard", "gregorian", None):
        number = cftime.date2num(date, "days since 2000-01-01", "julian" if calendar == "julian" else "standard")
        zero = cftime.date2num(
            cftime.datetime(2000, 1, 1, calendar="proleptic_gregorian").change_calendar(
                "julian" if calendar == "julian" else "standard"
            ),
            "days since 2000-01-01",
            "julian" if calendar == "julian" else "standard",
        )
        date = cftime.num2date(number - zero, "days since 2000-01-01", "proleptic_gregorian", only_use_cftime_datetimes=True)
    return f"{date.year:04}-{date.month:02}-{date.day:02}T{date.hour:02}:{date.minute:02}:{date.second:02}"


def shares(lat, lon, shape):
    """The covered share of each cell, (lat, lon) ascending; shape: a shapely polygon in degrees."""
    west, south = np.meshgrid(lon.edges[:-1], lat.edges[:-1])
    east, north = np.meshgrid(lon.edges[1:], lat.edges[1:])
    cells = shapely.box(west, south, east, north)
    out = np.zeros(cells.shape)
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):
        out += shapely.area(shapely.intersection(cells, shapely.affinity.translate(shape, turn))) / shapely.area(cells)
    return out


def areas(lat, lon):
    """The cells' areas on the unit sphere, (lat, lon) ascending."""
    height = np.diff(np.sin(np.radians(np.clip(lat.edges, -90, 90))))
    return height[:, None] * np.radians(np.diff(lon.edges))[None, :]


def region(chance, lat, lon):
    """A polygon that meets the grid: a box, a triangle, or one with a hole."""
    south, north = np.sort(chance.uniform(lat.edges[0], lat.edges[-1], 2))
    west, east = np.sort(chance.uniform(lon.edges[0], lon.edges[-1], 2))
    south, north = np.clip([south, max(north, south + 0.05)], -90, 90)
    if north - south < 0.01:
        south = north - 0.05
    east = max(east, west + 0.05)
    if east - west >= 170:
        east = west + 169  # wider ones are the matter of test_odd_rings.py
    shape = shapely.box(west, south, east, north)
    sort = chance.choice(["box", "triangle", "hole"])
    if sort == "triangle":
        shape = shapely.Polygon([(west, south), (east, south), (chance.uniform(west, east), north)])
    if sort == "hole":
        shape -= shapely.affinity.scale(shape, 0.4, 0.4)
    return shape


def dated(rows, calendar, dates):
    """Do the rows' times say these dates?"""
    wanted = [label(date, calendar) for date in dates]
    seconds = [text.rstrip("Z").split(".")[0] for text in rows]
    return all(a == b for a, b in zip(seconds, wanted, strict=True)), wanted
