"""The invented country: five states of counties on a lattice that was shaken, with a coast in the east.

Two counties that meet share the very same vertices: a border is one line, made once and walked in both
directions. A state is the union of its counties: the lines that only one of them has.

On purpose there are: three independent cities (one fills a hole, one fills a hole and is smaller than a cell of
the grid, one touches the border of the county around it), a county of several islands, and rings that touch
themselves, as many of the real file do.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

from impl.source.sample.noise import uniform

SEED = 2015
ROWS, COLUMNS = 18, 20  # of the lattice; every square is a county or half of one
WEST, SOUTH, NORTH = -99.6, 37.2, 40.88  # degrees
COAST = (  # longitude where the land ends, from south to north, one per line of the lattice
    *(-95.62, -95.50, -95.30, -95.22, -95.30, -95.46, -95.60, -95.56, -95.36, -95.14),
    *(-94.98, -94.90, -94.92, -95.04, -95.22, -95.36, -95.40, -95.34, -95.24),
)
STEPS = 16  # lines from one corner of the lattice to the next

STATES = {  # FIPS code that no real state has: name, postal code, region, division, where its middle is (row, column)
    "03": ("North Sample", "XN", "2", "4", 14.5, 6.0),
    "07": ("East Sample", "XE", "1", "2", 12.0, 16.5),
    "14": ("South Sample", "XS", "3", "7", 2.5, 13.5),
    "43": ("West Sample", "XW", "2", "4", 5.5, 3.5),
    "52": ("Middle Sample", "XM", "3", "6", 8.0, 11.0),
}
_FIRST = [
    "Amber",
    "Birch",
    "Cedar",
    "Dover",
    "Elder",
    "Fern",
    "Gray",
    "Hazel",
    "Iron",
    "Juniper",
    "Kestrel",
    "Linden",
    "Maple",
    "North",
    "Otter",
    "Pine",
    "Quarry",
    "Rowan",
    "Stone",
    "Thorn",
]
_SECOND = [
    "bank",
    "brook",
    "dale",
    "field",
    "ford",
    "gate",
    "grove",
    "haven",
    "hill",
    "land",
    "mere",
    "mont",
    "port",
    "ridge",
    "shore",
    "ton",
    "vale",
    "ville",
    "water",
    "wood",
]

# squares (row, column) where something special is
_CITY_IN_A_HOLE, _SMALL_CITY, _CITY_ON_THE_BORDER = (6, 4), (10, 8), (3, 12)
_SPIKES = ((1, 3), (2, 16), (5, 9), (7, 14), (9, 2), (12, 12), (14, 5), (16, 17))
_ISLANDS = (
    (-94.62, 38.05, 0.16),
    (-94.42, 38.33, 0.10),
    (-94.30, 38.58, 0.07),
    (-94.52, 38.52, 0.03),
)  # middle, radius


@dataclass(frozen=True)
class Place:
    """A county, an independent city or a state: closed rings, outer ones counter-clockwise, holes clockwise."""

    state: str
    code: str
    name: str
    rings: list = field(repr=False)
    city: bool = False


@lru_cache(maxsize=1)
def counties() -> tuple[Place, ...]:
    """All counties, by state and code."""
    import numpy

    lines = _lines()
    found = []
    for number, squares in enumerate(_merged()):
        middle = numpy.mean([_middle(square, lines) for square in squares], axis=0)
        rings = _outline(squares, lines)
        name = f"{_FIRST[number * 7 % 20]}{_SECOND[(number * 7 // 20 * 3 + number) % 20]}"
        state, first = _state(squares[0]), squares[0]
        if first == _CITY_IN_A_HOLE:
            city = _round(middle, 0.055, 16, 1)
            rings.append(city[::-1])
            found.append((state, "Sampleton", [city], True))
            name = "Piñon Vista"  # a name that is not ASCII: the .cpg says how it is written
        if first == _SMALL_CITY:
            city = _round(middle, 0.012, 12, 2)
            rings.append(city[::-1])
            found.append((state, "Little Sample", [city], True))
        if first == _CITY_ON_THE_BORDER:
            city, rings[0] = _city_on_the_border(rings[0], middle)
            found.append((state, "Bordertown", [city], True))
        if first in _SPIKES:
            rings[0] = _with_a_spike(rings[0], middle)
        found.append((state, name, rings, False))
    islands = [_round((x, y), radius, 28, 10 + k) for k, (x, y, radius) in enumerate(_ISLANDS)]
    found.append(("07", "Sample Islands", islands, False))
    return tuple(_with_codes(found))


@lru_cache(maxsize=1)
def states() -> tuple[Place, ...]:
    """The states, by FIPS code; each covers what its counties cover."""
    lines = _lines()
    islands = next(county for county in counties() if county.name == "Sample Islands")
    places = []
    for fips, (name, *_) in STATES.items():
        squares = [(row, column) for row in range(ROWS) for column in range(COLUMNS) if _state((row, column)) == fips]
        rings = _outline(squares, lines) + (islands.rings if fips == islands.state else [])
        places.append(Place(fips, "", name, rings))
    return tuple(places)


def land():
    """Where the grid has values: the country, what lies beyond it in the north, west and south, and the islands."""
    import numpy
    from shapely import MultiPolygon, Polygon

    lines = _lines()
    coast = numpy.concatenate([lines["up", row, COLUMNS][:-1] for row in range(ROWS)] + [lines["up", ROWS - 1, COLUMNS][-1:]])
    (south, north), far_west = (SOUTH - 5, NORTH + 5), WEST - 5
    mainland = [(far_west, south), (coast[0][0], south), *coast, (coast[-1][0], north), (far_west, north)]
    return MultiPolygon([Polygon(mainland), *(Polygon(_round((x, y), r, 28, 10 + k)) for k, (x, y, r) in enumerate(_ISLANDS))])


@lru_cache(maxsize=1)
def _lines() -> dict:
    """Every border of two squares as a line of STEPS + 1 vertices: ("right" or "up", row, column) of its first corner."""
    import numpy

    corners = _corners()
    keys = [("right", row, column) for row in range(ROWS + 1) for column in range(COLUMNS)]
    keys += [("up", row, column) for row in range(ROWS) for column in range(COLUMNS + 1)]
    first = numpy.array([corners[row, column] for _, row, column in keys])
    last = numpy.array([corners[row + (way == "up"), column + (way == "right")] for way, row, column in keys])
    rough = numpy.array([0.15 if way == "up" and column == COLUMNS else 0.11 for way, _, column in keys])
    points = numpy.stack([first, last], axis=1)
    level = 0
    while points.shape[1] <= STEPS:  # move the middle of each piece to its side, by a share of its length
        begin, end = points[:, :-1], points[:, 1:]
        aside = numpy.stack([begin[..., 1] - end[..., 1], end[..., 0] - begin[..., 0]], axis=-1)
        chance = uniform(SEED, 1, level, numpy.arange(len(keys))[:, None], numpy.arange(begin.shape[1])[None, :])
        middle = (begin + end) * 0.5 + aside * (chance * rough[:, None])[..., None]
        woven = numpy.empty((len(keys), 2 * points.shape[1] - 1, 2))
        woven[:, ::2], woven[:, 1::2] = points, middle
        points, level = woven, level + 1
    return dict(zip(keys, points.round(6), strict=True))


def _corners():
    """The corners of the lattice, shaken: [row, column] -> longitude, latitude."""
    import numpy

    row, column = numpy.mgrid[0 : ROWS + 1, 0 : COLUMNS + 1]
    inside_rows, inside_columns = (row > 0) & (row < ROWS), (column > 0) & (column < COLUMNS)
    down = row + numpy.where(inside_rows, 0.22 * uniform(SEED, 2, row, column), 0.0)
    across = column + numpy.where(inside_columns, 0.22 * uniform(SEED, 3, row, column), 0.0)
    latitude = SOUTH + (NORTH - SOUTH) / ROWS * down
    width = numpy.array(COAST)[:, None] - WEST
    return numpy.stack([WEST + width / COLUMNS * across, latitude], axis=-1).round(6)


def _state(square) -> str:
    """The state whose middle is nearest."""
    return min(STATES, key=lambda fips: (square[0] - STATES[fips][4]) ** 2 + (square[1] - STATES[fips][5]) ** 2)


def _merged() -> list:
    """The squares by county: most alone, some joined with the next one to the right."""
    alone = {_CITY_IN_A_HOLE, _SMALL_CITY, _CITY_ON_THE_BORDER, *_SPIKES}
    taken, merged = set(), []
    for row in range(ROWS):
        for column in range(COLUMNS):
            here, right = (row, column), (row, column + 1)
            if here in taken:
                continue
            join = column + 1 < COLUMNS and uniform(SEED, 4, row, column)[0] > 0.82
            join = join and not {here, right} & alone and _state(here) == _state(right)
            merged.append([here, right] if join else [here])
            taken.update(merged[-1])
    return merged


def _outline(squares, lines) -> list:
    """The closed rings around `squares`: lines that two of them share cancel out, the rest is walked head to tail."""
    import numpy

    leaving: dict[tuple, list] = {}  # corner -> the corner that the outline goes to next
    for row, column in squares:
        around = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
        for corner, after in zip(around, around[1:] + around[:1], strict=True):
            if corner in leaving.get(after, ()):
                leaving[after].remove(corner)
            else:
                leaving.setdefault(corner, []).append(after)
    rings = []
    while any(leaving.values()):
        corner = start = min(corner for corner, after in leaving.items() if after)
        pieces: list = []
        before = None
        while not pieces or corner != start:
            after = min(leaving[corner], key=lambda choice: _turn(before, corner, choice))
            leaving[corner].remove(after)
            pieces.append(_walk(corner, after, lines)[:-1])
            before, corner = corner, after
        rings.append(numpy.concatenate([*pieces, pieces[0][:1]]))
    return rings


def _turn(before, corner, after) -> int:
    """-1 for a turn to the left, 0 straight on, 1 to the right: rings that only touch at a corner stay apart."""
    if before is None:
        return 0
    (up, right), (up_then, right_then) = (
        (corner[0] - before[0], corner[1] - before[1]),
        (after[0] - corner[0], after[1] - corner[1]),
    )
    return up * right_then - right * up_then


def _walk(corner, after, lines):
    """The line from one corner to the next one, in the direction asked for."""
    way = "right" if corner[0] == after[0] else "up"
    line = lines[(way, *min(corner, after))]
    return line if corner < after else line[::-1]


def _middle(square, lines):
    """The middle of the four corners of a square."""
    row, column = square
    return (lines["right", row, column][[0, -1]].mean(axis=0) + lines["right", row + 1, column][[0, -1]].mean(axis=0)) / 2


def _round(middle, radius, count, seed, towards=(1.0, 0.0)):
    """A closed uneven ring around `middle`, counter-clockwise; its first vertex lies in the direction `towards`."""
    import numpy

    quarter = numpy.arange(count) * 4 // count
    share = numpy.arange(count) * 4 / count - quarter
    cosine, sine = (1 - share**2) / (1 + share**2), 2 * share / (1 + share**2)  # no library: equal on all machines
    for turn in range(1, 4):
        later = quarter >= turn
        cosine, sine = numpy.where(later, -sine, cosine), numpy.where(later, cosine, sine)
    reach = radius * (1 + 0.18 * uniform(SEED, 5, seed, numpy.arange(count)))
    x = middle[0] + reach * (cosine * towards[0] - sine * towards[1])
    y = middle[1] + reach * (cosine * towards[1] + sine * towards[0])
    ring = numpy.stack([x, y], axis=1).round(6)
    return numpy.concatenate([ring, ring[:1]])


def _inward(ring, middle):
    """A vertex in the middle of the first line of `ring`, and the unit vector from there to `middle`."""
    start = ring[STEPS // 2]
    way = middle - start
    return start, way / math.sqrt(way[0] * way[0] + way[1] * way[1])


def _with_a_spike(ring, middle):
    """The ring with a line into the county and straight back: no area, but not valid any more."""
    import numpy

    start, way = _inward(ring, middle)
    place = STEPS // 2 + 1
    return numpy.concatenate([ring[:place], [(start + 0.03 * way).round(6), start], ring[place:]])


def _city_on_the_border(ring, middle):
    """A city that touches `ring` in one vertex; and the ring that walks around it there, so that it touches itself."""
    import numpy

    start, way = _inward(ring, middle)
    city = _round(start + 0.06 * way, 0.04, 14, 3, towards=-way)
    city[0] = city[-1] = start
    place = STEPS // 2 + 1
    return city, numpy.concatenate([ring[:place], city[::-1][1:], ring[place:]])


def _with_codes(found) -> list[Place]:
    """Codes as the Census gives them: counties odd and by name, independent cities from 510 on."""
    places = []
    for state in STATES:
        for city, first, step in ((False, 1, 2), (True, 510, 10)):
            here = sorted((name, k) for k, (of, name, _, is_city) in enumerate(found) if of == state and is_city == city)
            for order, (name, k) in enumerate(here):
                places.append(Place(state, f"{first + order * step:03d}", name, found[k][2], city))
    return places
