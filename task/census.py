"""People and homes by county (2010 census, Summary File 1).

Tables, licence and an example row: docs/census.md
"""

from impl.run.namespace import dataset
from impl.source import sample
from impl.steps import Pin, collection, raw_file, tabular_document
from impl.store.checks import accepted_range, not_null, references, row_count
from task import region

API = "https://api.census.gov/data/2010/dec/sf1"
LICENCE = "public domain (U.S. Census Bureau)"
TABLES = {  # table: the variables that are asked for
    "population": "NAME,P001001,P013001",
    "housing": "NAME,H003001,H003002,H003003",
}
COLUMNS = {  # column: meaning, or (unit, meaning)
    "gis_join": "NHGIS join code of the county, as in region_county",
    "population": ("people", "total population on 1 April 2010 (P001001)"),
    "median_age_years": ("years", "median age of both sexes (P013001)"),
    "housing_units": ("homes", "housing units (H003001)"),
    "occupied_housing_units": ("homes", "of these occupied (H003002)"),
    "vacant_housing_units": ("homes", "of these vacant (H003003)"),
}


def raw(c, table):
    return c.env.raw / f"census/sf1_{table}_2010.json"


def stage(c):
    """Two tables of the API -> census.yaml joins them -> collection census_county."""
    target = c.env.cache / "census/county.parquet"
    for table, variables in TABLES.items():
        pin = Pin(f"{API}?get={variables}&for=county:*", name=raw(c, table).name, licence=LICENCE)
        yield raw_file(c, f"census.{table}.raw", raw(c, table), pin, sample.census_table, table=table)
    yield tabular_document(
        "census.county.rows",
        "task/census.yaml",
        reads={table.upper(): raw(c, table) for table in TABLES},
        targets={"county": target},
    )
    checks = [
        not_null(*COLUMNS), accepted_range("population", low=1, high=20_000_000), accepted_range("median_age_years", low=15, high=80),
        references("gis_join", "region_county"), row_count(at_least=0.9),
    ]  # fmt: skip
    yield collection(
        c, "census.county.load", "census_county", target, key="gis_join", columns=COLUMNS, checks=checks,
        description="One row per county: people and homes of the 2010 census", source=API, licence=LICENCE,
        after=["region.county.load"], reads=[region.rows(c, "county")],
    )  # fmt: skip


namespace = dataset("census", stage=stage)
