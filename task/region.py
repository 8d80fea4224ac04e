"""County and state boundaries of the United States (TIGER/Line 2010).

Fields, licence and an example row: docs/region.md
"""

from functools import partial

from impl.run.checkpoint import checkpoint
from impl.run.namespace import dataset, group
from impl.source import sample, shapefile
from impl.steps import Pin, collection, raw_file
from impl.store.checks import accepted_range, not_null, row_count

LICENCE = "public domain (U.S. Census Bureau)"
SERVER = "https://www2.census.gov/geo/tiger/TIGER2010"
PINS = {
    "county": Pin(f"{SERVER}/COUNTY/2010/tl_2010_us_county10.zip", licence=LICENCE),
    "state": Pin(f"{SERVER}/STATE/2010/tl_2010_us_state10.zip", licence=LICENCE),
}
FIELDS = {  # column: template over the shapefile's attributes
    "county": {
        "gis_join": "G{STATEFP10}0{COUNTYFP10}0",
        "name": "{NAME10}",
        "state_fips": "{STATEFP10}",
        "county_fips": "{COUNTYFP10}",
    },
    "state": {
        "gis_join": "G{STATEFP10}0",
        "name": "{NAME10}",
        "state_fips": "{STATEFP10}",
        "abbreviation": "{STUSPS10}",
    },
}
COLUMNS = {  # column: meaning, or (unit, meaning)
    "gis_join": "NHGIS join code: G, state, 0, and for counties county, 0",
    "name": "name without its kind: `Boulder`, `Colorado`",
    "state_fips": "FIPS code of the state, two digits",
    "county_fips": "FIPS code of the county within its state, three digits",
    "abbreviation": "postal abbreviation: `CO`",
    "area_km2": ("km2", "geodesic area, water included"),
    "geometry": ("WKB, EPSG:4326", "boundary, repaired where it was invalid"),
}
AREAS = {"county": (1, 400_000), "state": (100, 2_000_000)}  # km2: least and greatest that are believed


def rows(c, level):
    """The file of repaired boundaries that others read: gis_join, name, ..., geometry."""
    return c.env.cache / f"region/{level}.parquet"


def checkpoints(c, level):
    """Zip -> one row per boundary -> collection region_<level>."""
    raw, target = c.env.raw / f"region/tl_2010_us_{level}10.zip", rows(c, level)
    fields = FIELDS[level]
    columns = {name: COLUMNS[name] for name in (*fields, "area_km2", "geometry")}
    smallest, largest = AREAS[level]
    checks = [not_null(*columns), accepted_range("area_km2", low=smallest, high=largest), row_count(at_least=0.9)]
    yield raw_file(c, f"region.{level}.raw", raw, PINS[level], sample.boundaries, level=level)
    yield checkpoint(
        f"region.{level}.rows", shapefile.to_rows, raw, target, fields, key="gis_join", file_dep=[raw], targets=[target]
    )
    yield collection(
        c, f"region.{level}.load", f"region_{level}", target, key="gis_join", columns=columns,
        description=f"One row per {level}: boundaries of the 2010 census", source=PINS[level].url, licence=LICENCE,
        checks=checks,
    )  # fmt: skip


namespace = group("region", *(dataset(level, stage=partial(checkpoints, level=level)) for level in FIELDS))
