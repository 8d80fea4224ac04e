"""Names and values as SQL, and what PostgreSQL calls the types of columns."""

import json
from typing import Any

from impl.store.interface import Collection, Values

YEAR = "year"  # the partition column that tables are partitioned by
SRID = 4326
TYPES = {
    "text": "text",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "real": "real",
    "double": "double precision",
    "boolean": "boolean",
    "timestamp": "timestamp with time zone",
    "date": "date",
    "bytes": "bytea",
    "geometry": f"geometry(Geometry,{SRID})",
}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def names(several: Any) -> str:
    return ", ".join(quoted(one) for one in several)


def text(value: str) -> str:
    """A text as SQL; a backslash is itself."""
    return "'" + value.replace("'", "''") + "'"


def literal(value: Any) -> str:
    return text(value) if isinstance(value, str) else str(value)


def part_of(collection: Collection, values: Values) -> str:
    """The values of a part as SQL: `{"model": "CCSM4", "year": 2005}`."""
    return text(json.dumps(dict(zip(collection.partition_by, values, strict=True)))) + "::jsonb"


def comment(unit: str, meaning: str) -> str:
    """`K: daily mean of the air temperature`."""
    return f"{unit}: {meaning}" if unit and meaning else unit or meaning


def key_of(collection: Collection) -> list[str]:
    """The key, and what the table is partitioned by: a primary key has to hold that."""
    return [*collection.key, *([YEAR] if YEAR in collection.partition_by and YEAR not in collection.key else [])]


def leaf_of(name: str, year: Any) -> str:
    """The table of one year of a collection."""
    return f"_{name}_{year}"


def differ(columns: list[str], one: str, other: str) -> str:
    """Whether these columns of two rows have other bytes: PostgreSQL's own `=` takes -0.0 for 0.0."""
    sides = [f"ROW({', '.join(f'{alias}.{quoted(name)}' for name in columns)})::record" for alias in (one, other)]
    return f"{sides[0]} OPERATOR(pg_catalog.*<>) {sides[1]}"


def same(columns: list[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{quoted(name)} = {other}.{quoted(name)}" for name in columns)
