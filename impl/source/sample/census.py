"""Tables of people and homes for the invented counties, as the API of the 2010 census answers: a list of lists, names first."""

import json
import os

from impl.run.errors import unknown
from impl.run.files import replacing
from impl.source.sample import country
from impl.source.sample.noise import uniform

_SEED = 2010
TABLES = {
    "population": ("P001001", "P013001"),  # people, median age
    "housing": ("H003001", "H003002", "H003003"),  # homes, of these occupied, of these vacant
}


def census_table(target: str | os.PathLike, table: str) -> str:
    """One of the `TABLES` for every county, as JSON text."""
    if table not in TABLES:
        raise unknown("table", table, TABLES)
    rows: list[list[str]] = [["NAME", *TABLES[table], "state", "county"]]
    for number, place in enumerate(country.counties()):
        name = f"{place.name} {'city' if place.city else 'County'}, {country.STATES[place.state][0]}"
        rows.append([name, *map(str, _values(number, place)[table]), place.state, place.code])
    with replacing(target) as part:
        part.write_text("[" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "]", encoding="utf-8")
    return f"{len(rows) - 1} made-up counties"


def _values(number: int, place: country.Place) -> dict[str, tuple]:
    """People by thousands up to some hundred thousand, more in a city; a home for two or three of them, a tenth of them vacant."""
    chance = [float(uniform(_SEED, number, k)[0]) for k in range(4)]
    people = int(10 ** (4.3 + 0.9 * chance[0])) * (4 if place.city else 1)
    homes = int(people / (2.4 + 0.4 * chance[1]))
    vacant = int(homes * (0.10 + 0.06 * chance[2]))
    return {"population": (people, round(38 + 6 * chance[3], 1)), "housing": (homes, homes - vacant, vacant)}
