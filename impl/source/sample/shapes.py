"""Writes the invented country as zipped shapefiles with the fields of TIGER/Line 2010.

The shapefile is written here, byte by byte, and not by GDAL: GDAL puts today's date into it.
"""

import math
import os
import struct
import zipfile

from impl.run.errors import unknown
from impl.run.files import replacing
from impl.source.sample import country

COUNTS = {"county": 342, "state": 5}  # rows in each zip

SYNTHETIC = (
    "SYNTHETIC. An invented country, made by sustain-etl to try things out.\n"
    "It has the fields of TIGER/Line 2010, but no place in it is real, and its state FIPS codes\n"
    "(03, 07, 14, 43, 52) are codes that no real state has.\n"
)
_NAD83 = (
    'GEOGCS["GCS_North_American_1983",DATUM["D_North_American_1983",SPHEROID["GRS_1980",6378137,298.257222101]],'
    'PRIMEM["Greenwich",0],UNIT["Degree",0.017453292519943295]]'
)
_EARTH_RADIUS = 6_371_007.2  # metres, of the sphere with the earth's surface

# field: (type, width), in the order of the real files
_COUNTY_FIELDS = {
    "STATEFP10": ("C", 2),
    "COUNTYFP10": ("C", 3),
    "COUNTYNS10": ("C", 8),
    "GEOID10": ("C", 5),
    "NAME10": ("C", 100),
    "NAMELSAD10": ("C", 100),
    "LSAD10": ("C", 2),
    "CLASSFP10": ("C", 2),
    "MTFCC10": ("C", 5),
    "CSAFP10": ("C", 3),
    "CBSAFP10": ("C", 5),
    "METDIVFP10": ("C", 5),
    "FUNCSTAT10": ("C", 1),
    "ALAND10": ("N", 14),
    "AWATER10": ("N", 14),
    "INTPTLAT10": ("C", 11),
    "INTPTLON10": ("C", 12),
}
_STATE_FIELDS = {
    "REGION10": ("C", 2),
    "DIVISION10": ("C", 2),
    "STATEFP10": ("C", 2),
    "STATENS10": ("C", 8),
    "GEOID10": ("C", 2),
    "STUSPS10": ("C", 2),
    "NAME10": ("C", 100),
    "LSAD10": ("C", 2),
    "MTFCC10": ("C", 5),
    "FUNCSTAT10": ("C", 1),
    "ALAND10": ("N", 14),
    "AWATER10": ("N", 14),
    "INTPTLAT10": ("C", 11),
    "INTPTLON10": ("C", 12),
}


def boundaries(target: str | os.PathLike, level: str) -> str:
    """Write the counties or states of the invented country as the zip `target`, shaped like TIGER/Line 2010."""
    levels = {
        "county": (_COUNTY_FIELDS, _county_attributes, country.counties),
        "state": (_STATE_FIELDS, _state_attributes, country.states),
    }
    if level not in levels:
        raise unknown("level of sample boundaries", level, levels, where=target)
    fields, attributes, made = levels[level]
    places = made()
    shapes, index = _shapes_and_index([place.rings for place in places])
    files = {
        ".cpg": b"UTF-8",
        ".dbf": _table(fields, [attributes(place) for place in places]),
        ".prj": _NAD83.encode("ascii"),
        ".shp": shapes,
        ".shx": index,
    }
    layer = f"tl_2010_us_{level}10"
    with replacing(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = SYNTHETIC.encode("ascii")
        for name, content in [("SYNTHETIC.txt", SYNTHETIC.encode("ascii"))] + [(layer + end, files[end]) for end in files]:
            # stored, not deflated: what deflate writes depends on the version of zlib
            member = zipfile.ZipInfo(name, date_time=(2010, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, content)
    return f"{len(places):,} made-up {'counties' if level == 'county' else 'states'}"


def _county_attributes(place: country.Place) -> dict:
    return {
        "STATEFP10": place.state,
        "COUNTYFP10": place.code,
        "COUNTYNS10": f"00{place.state}{place.code}0",
        "GEOID10": place.state + place.code,
        "NAME10": place.name,
        "NAMELSAD10": f"{place.name} {'city' if place.city else 'County'}",
        "LSAD10": "25" if place.city else "06",
        "CLASSFP10": "C7" if place.city else "H1",
        "MTFCC10": "G4020",
        "FUNCSTAT10": "F" if place.city else "A",
        **_measures(place.rings),
    }


def _state_attributes(place: country.Place) -> dict:
    name, postal_code, region, division, *_ = country.STATES[place.state]
    return {
        "REGION10": region,
        "DIVISION10": division,
        "STATEFP10": place.state,
        "STATENS10": f"000000{place.state}",
        "GEOID10": place.state,
        "STUSPS10": postal_code,
        "NAME10": name,
        "LSAD10": "00",
        "MTFCC10": "G4000",
        "FUNCSTAT10": "A",
        **_measures(place.rings),
    }


def _measures(rings) -> dict:
    """Area in square metres (on a sphere, to four digits less than that) and a point near the middle."""
    area = 0.0
    for ring in rings:
        for (x, y), (x_next, y_next) in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
            area += math.radians(x - x_next) * (math.sin(math.radians(y)) + math.sin(math.radians(y_next))) / 2
    west, south = rings[0].min(axis=0)
    east, north = rings[0].max(axis=0)
    return {
        "ALAND10": int(round(area * _EARTH_RADIUS**2, -4)),
        "AWATER10": 0,
        "INTPTLAT10": f"{(south + north) / 2:+011.7f}",
        "INTPTLON10": f"{(west + east) / 2:+012.7f}",
    }


def _shapes_and_index(places) -> tuple[bytes, bytes]:
    """The .shp and the .shx of polygons: each a list of closed rings, outer ones counter-clockwise."""
    import numpy

    records, entries, bounds, words = [], [], [], 50  # the file header has 50 words of 16 bits
    for number, rings in enumerate(places, start=1):
        clockwise = [ring[::-1] for ring in rings]  # as the shapefile wants its outer rings
        points = numpy.concatenate(clockwise)
        starts = numpy.cumsum([0] + [len(ring) for ring in clockwise[:-1]])
        box = [*points.min(axis=0), *points.max(axis=0)]
        content = (
            struct.pack("<i4d2i", 5, *box, len(rings), len(points))
            + starts.astype("<i4").tobytes()
            + points.astype("<f8").tobytes()
        )
        records.append(struct.pack(">2i", number, len(content) // 2) + content)
        entries.append(struct.pack(">2i", words, len(content) // 2))
        bounds.append(box)
        words += len(records[-1]) // 2
    all_bounds = numpy.array(bounds)
    box = [*all_bounds[:, :2].min(axis=0), *all_bounds[:, 2:].max(axis=0)]

    def header(length: int) -> bytes:
        return struct.pack(">7i", 9994, 0, 0, 0, 0, 0, length) + struct.pack("<2i8d", 1000, 5, *box, 0, 0, 0, 0)

    return header(words) + b"".join(records), header(50 + 4 * len(entries)) + b"".join(entries)


def _table(fields: dict, rows: list[dict]) -> bytes:
    """The .dbf of `rows`: text to the left, numbers to the right, in fixed widths; what a row lacks is blank."""
    width = 1 + sum(size for _, size in fields.values())
    head = struct.pack("<4B I 2H 20x", 3, 110, 1, 1, len(rows), 32 * len(fields) + 33, width)
    for name, (kind, size) in fields.items():
        head += struct.pack("<11s c 4x 2B 14x", name.encode("ascii"), kind.encode("ascii"), size, 0)
    body = []
    for row in rows:
        body.append(b" ")
        for name, (kind, size) in fields.items():
            text = str(row.get(name, "")).encode("utf-8")
            body.append(text.rjust(size) if kind == "N" else text.ljust(size))
    return head + b"\r" + b"".join(body) + b"\x1a"
