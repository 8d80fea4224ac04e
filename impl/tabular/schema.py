"""The JSON Schema of documents, for editors: what may stand where, with a line on each key.

One table, below, has all keys of nodes and operations. `mover schema` prints what is made of it, and
docs/tabular.schema.json is that text. Where a number or True is wanted a text with `$NAME` or Jinja in it does too,
since a schema is held against a document as it is written.
"""

from __future__ import annotations

from typing import Any

from impl.tabular.collections import CHECKS

ID = "urn:sustain-etl:tabular.schema.json"
SCALAR = ["string", "number", "boolean"]
FILLED_IN = {"type": "string", "pattern": r"\$|\{\{|\{%"}

Option = dict[str, Any]


def text(description: str, *known: str, pattern: str = "", **more: Any) -> Option:
    """One text, or one of the known ones."""
    if known:
        return {"description": description, "anyOf": [{"enum": list(known)}, FILLED_IN], **more}
    return {"description": description, "type": SCALAR, **({"pattern": pattern} if pattern else {}), **more}


def texts(description: str, **more: Any) -> Option:
    """A list of texts, or one."""
    one: Option = {"type": SCALAR}
    return {"description": description, "anyOf": [{"type": "array", "items": one}, one], **more}


def flag(description: str, default: bool = False) -> Option:
    return {"description": description, "anyOf": [{"type": "boolean"}, FILLED_IN], "default": default}


def count(description: str, least: int = 0, **more: Any) -> Option:
    return {"description": description, "anyOf": [{"type": "integer", "minimum": least}, FILLED_IN], **more}


def mapping(description: str, values: Any = True, **more: Any) -> Option:
    return {"description": description, "type": "object", "additionalProperties": values, **more}


def anything(description: str, **more: Any) -> Option:
    return {"description": description, **more}


REFERENCE = text(
    "The node that is read: `$sources.NAME` or `$transformations.NAME`", pattern=r"^\$(sources|transformations)\.|\{"
)
REFERENCES: Option = {
    "description": "Further nodes that are read: `$sources.NAME` or `$transformations.NAME`",
    "anyOf": [{"type": "array", "items": REFERENCE, "minItems": 1}, REFERENCE],
}
COLUMN, COLUMNS = text("The column"), texts("The columns")
WITH_WILDCARDS = texts("The columns; `*`, `?` and `[]` stand for what they stand for in file names")
RENAMES = mapping("Old name: new name", {"type": SCALAR})

# Of every node.
NODE: dict[str, Option] = {
    "debug": flag("Print the columns and the first rows"),
    "expect": {
        "description": "Jinja expressions that hold for every row; one that gives `False` fails the row",
        "anyOf": [{"type": "array", "items": {"type": SCALAR}}, {"type": SCALAR}],
    },
    "on_fail": text(
        "What is done with rows that are not as expected: an error, a warning, or put aside in a file",
        "error",
        "warn",
        "quarantine",
        default="error",
    ),
    "require_rows": {
        "description": "How many rows there have to be at least; True is 1",
        "anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0}, FILLED_IN],
    },
    "show_progress": flag("Accepted; progress is always shown on a terminal"),
    "repartition": anything("Accepted and without meaning here: rows flow in batches"),
}

# What the peer reads, by file ending or by name.
TYPES = (
    *("csv", "tsv", "fixedwidth", "excel", "json", "jsonl", "parquet", "feather", "orc"),
    *("sas", "spss", "stata", "xml", "html", "pickle"),
)

SOURCE: dict[str, Option] = {
    "file": text("Path (relative to the document) or address; its ending tells the type"),
    "type": text("The type, where the ending does not tell it", *TYPES),
    "columns": {
        "description": "CSV: the columns to keep (or new names, with `rename_cols`); fixed width: the names; "
        "optional files: the columns of the empty table",
        "anyOf": [{"type": "array", "items": {"type": SCALAR}}, FILLED_IN],
    },
    "rename_cols": flag("`columns` are new names for all columns, by position"),
    "header_rows": {
        "description": "The line that is the header, from 1; or the lines of a header of several, from 0",
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "array", "items": {"type": "integer", "minimum": 0}},
            FILLED_IN,
        ],
        "default": 1,
    },
    "fill_sparse_headers": flag("An empty cell of a header of several lines has the text of its left neighbour"),
    "encoding": text("Of a text file", default="utf8"),
    "colspecs": {
        "description": "Fixed width: start (from 0) and end of each column",
        "anyOf": [
            {"type": "array", "items": {"type": "array", "items": {"type": ["integer", "null"]}, "minItems": 2, "maxItems": 2}},
            {"enum": ["infer"]},
        ],
    },
    "colspec_file": text("Fixed width: a CSV file with the columns and their places"),
    "colspec_headers": {
        "description": "Fixed width: what the columns of `colspec_file` are called",
        "type": "object",
        "properties": {
            "name": text("Name of a column"),
            "start": text("Its first place"),
            "end": text("Its last place"),
            "width": text("Its width"),
        },
        "required": ["name"],
        "additionalProperties": False,
    },
    "object_type": text("JSON: as pandas' `typ`", "frame", "series", default="frame"),
    "orientation": text(
        "JSON: how the table is laid out", "columns", "records", "index", "split", "values", "table", default="columns"
    ),
    "sheet": anything("Excel: name or number (from 0) of the sheet", type=SCALAR, default=0),
    "xpath": text("XML: which elements are rows", default="./*"),
    "match": text("HTML: a text that the table has", default=".+"),
    "optional": flag("The file may be absent or unnamed; `columns` are then those of an empty table"),
    "optional_fields": texts("Columns that are added, empty, where the file has none"),
    "chunksize": count("Accepted and without meaning here: rows flow in batches", 1, default=1_000_000),
    "connection": text("Address of a database (SQLAlchemy) or of a file on an FTP server"),
    "query": text("SQL"),
}

CHECK: Option = {"type": ["object", "array", "string"]}

DESTINATION: dict[str, Option] = {
    "source": REFERENCE,
    "template": text("Jinja template of a row (path, relative to the document); without one a row is a JSON object"),
    "extension": text("File ending; the file is `output_dir/NAME.extension`"),
    "linearize": flag("Every run of white space in the template becomes one blank", True),
    "header": text("Text before all rows; with Jinja in it, made with the first row"),
    "footer": text("Text behind all rows; with Jinja in it, made with the first row"),
    "format": text(
        "What is written: rows through the template (JSON objects without one), or the table as it is",
        "template",
        "csv",
        "parquet",
        "jsonl",
        default="template",
    ),
    "compression": text("Of the file; `gzip` adds `.gz` to its name", "none", "gzip", default="none"),
    "schema": text("JSON Schema (path, relative to the document) that every row has to fit"),
    "types": anything(
        "Column -> integer, float, boolean, date, timestamp or text, for `parquet`, `csv`, `jsonl` and collections"
    ),
    "store": text(
        "The collection of the store that the rows go to, in the place of a file", pattern=r"^[a-z][a-z0-9_]*$|\$|\{"
    ),
    "key": texts("Of a collection: the columns that tell its rows apart"),
    "columns": mapping("Of a collection: column -> its meaning, or [unit, meaning]", {"type": ["string", "array", "null"]}),
    "partition_by": texts("Of a collection: columns by which it is kept in parts, as `year`"),
    "description": text("Of a collection: what a row is"),
    "origin": text("Of a collection: where the data come from"),
    "licence": text("Of a collection: that of the data"),
    "may_be_empty": flag("A collection without any row is no error"),
    "checks": {
        "description": f"Of a collection: what has to hold of its rows, each as `- NAME: what it takes`: {', '.join(CHECKS)}",
        "type": "array",
        "items": {
            "type": "object",
            "properties": dict.fromkeys(CHECKS, CHECK),
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    },
}

AGGREGATES = (
    *("count", "size", "min", "minimum", "max", "maximum", "str_min", "str_minimum", "str_max", "str_maximum"),
    *("sum", "mean", "avg", "std", "stdev", "stddev", "var", "variance", "agg", "aggregate", "json_array_agg"),
)

# name: (description, options, those that have to be there)
OPERATIONS: dict[str, tuple[str, dict[str, Option], tuple[str, ...]]] = {
    "union": (
        "Rows of several nodes below each other, columns by name",
        {"sources": REFERENCES, "fill_missing_columns": flag("A column that a node lacks is empty there")},
        ("sources",),
    ),
    "join": (
        "Rows beside rows of other nodes that have the same key",
        {
            "sources": REFERENCES,
            "join_type": text("Which rows without a partner stay", "inner", "left", "right", "outer"),
            "left_key": text("Key column"),
            "left_keys": texts("Key columns"),
            "right_key": text("Key column of the others"),
            "right_keys": texts("Key columns of the others"),
            "left_keep_columns": texts("Columns that stay"),
            "left_drop_columns": texts("Columns that go"),
            "right_keep_columns": texts("Columns of the others that stay"),
            "right_drop_columns": texts("Columns of the others that go"),
        },
        ("sources", "join_type"),
    ),
    "melt": (
        "Columns become rows",
        {
            "id_vars": texts("Columns that stay"),
            "value_vars": texts("Columns that become rows"),
            "var_name": text("Name of the column with the old names", default="melt_variable"),
            "value_name": text("Name of the column with the values", default="melt_value"),
        },
        (),
    ),
    "pivot": (
        "Rows become columns",
        {
            "rows_by": texts("Columns that tell the rows apart"),
            "cols_by": text("Column with the new names"),
            "values": text("Column with the values"),
        },
        ("cols_by", "values"),
    ),
    "debug": (
        "Print what comes by; the rows go on as they are",
        {
            "function": text("What is printed", "head", "tail", "describe", "columns", default="head"),
            "rows": count("How many rows", 1, default=5),
            "transpose": flag("Columns below each other"),
            "skip_columns": texts("Columns that are not printed"),
            "keep_columns": texts("Columns that are printed"),
        },
        (),
    ),
    "add_columns": (
        "New columns, each a literal or a Jinja expression of the row",
        {"columns": mapping("Name: literal or Jinja; later ones see earlier ones")},
        ("columns",),
    ),
    "modify_columns": (
        "New values for columns",
        {"columns": mapping("Name (with wildcards): literal or Jinja; `value` is the old value")},
        ("columns",),
    ),
    "rename_columns": ("New names", {"columns": RENAMES}, ("columns",)),
    "duplicate_columns": (
        "Copies of columns",
        {"columns": mapping("Old name: name of the copy", {"type": SCALAR})},
        ("columns",),
    ),
    "drop_columns": ("Without these columns", {"columns": WITH_WILDCARDS}, ("columns",)),
    "keep_columns": ("Only these columns, in this order", {"columns": WITH_WILDCARDS}, ("columns",)),
    "combine_columns": (
        "Texts of several columns one after the other",
        {
            "columns": WITH_WILDCARDS,
            "new_column": text("Name of the new column"),
            "separator": text("Between them", default=""),
        },
        ("columns", "new_column"),
    ),
    "map_values": (
        "Other values for values",
        {
            "column": COLUMN,
            "columns": WITH_WILDCARDS,
            "mapping": mapping("Old value: new value"),
            "map_file": text("CSV or TSV file with old and new values; its first line is a header"),
        },
        (),
    ),
    "date_format": (
        "Dates in another form",
        {
            "column": COLUMN,
            "columns": WITH_WILDCARDS,
            "from_format": text("As in Python's strptime"),
            "to_format": text("As in Python's strftime"),
            "ignore_errors": flag("What is no date becomes empty"),
            "exact_match": flag("The whole text has to be the date"),
        },
        ("from_format", "to_format"),
    ),
    "snake_case_columns": ("Names like_this", {}, ()),
    "lowercase_columns": ("Names in lower case", {}, ()),
    "uppercase_columns": ("Names in upper case", {}, ()),
    "distinct_rows": (
        "The first of rows that are equal in these columns (all, if none are named)",
        {"column": COLUMN, "columns": COLUMNS},
        (),
    ),
    "filter_rows": (
        "Some of the rows",
        {
            "query": text("As pandas' `query`; every column is text"),
            "behavior": text("What is done with rows for which it holds", "include", "exclude"),
        },
        ("query", "behavior"),
    ),
    "sort_rows": (
        "Rows in order",
        {"columns": texts("Columns; `-NAME` from the last to the first"), "descending": flag("All columns from the last")},
        ("columns",),
    ),
    "limit_rows": (
        "So many rows",
        {"count": count("How many", 1), "offset": count("How many before them are left out", default=0)},
        ("count",),
    ),
    "flatten": (
        "A row for each value in a text",
        {
            "flatten_column": text("Column with several values in a text"),
            "value_column": text("Name of the column with one value"),
            "separator": text("Between values; several letters are a regular expression", default=","),
            "left_wrapper": text("Letters that are taken away on the left", default="[\"'"),
            "right_wrapper": text("Letters that are taken away on the right", default="\"']"),
            "trim_whitespace": text("Letters that are taken away around each value", default=" \t\r\n\"'"),
        },
        ("flatten_column", "value_column"),
    ),
    "group_by": (
        "A row for each group",
        {
            "group_by_columns": texts("Columns that tell groups apart"),
            "create_columns": mapping(
                f"New column: FUNCTION(COLUMN) or agg(COLUMN,SEPARATOR); functions: {', '.join(AGGREGATES)}",
                {"type": SCALAR, "pattern": rf"^\s*({'|'.join(AGGREGATES)})\s*\(.*\)\s*$|\{{"},
            ),
        },
        ("group_by_columns", "create_columns"),
    ),
    "group_by_with_rank": (
        "The number of a row in its group, from 0",
        {"group_by_columns": texts("Columns that tell groups apart"), "rank_column": text("Name of the new column")},
        ("group_by_columns", "rank_column"),
    ),
}

# One of each pair has to be there.
EITHER: dict[str, tuple[tuple[str, str], ...]] = {
    "join": (("left_key", "left_keys"), ("right_key", "right_keys")),
    "map_values": (("column", "columns"), ("mapping", "map_file")),
    "date_format": (("column", "columns"),),
}

CONFIG: dict[str, Option] = {
    "output_dir": text("Folder of the files that are written; made where it is missing", default="./"),
    "state_file": text("CSV file that remembers what was made of what; without it everything is made in each run"),
    "log_level": text("How much is said", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", default="INFO"),
    "tmp_dir": text("Folder for what does not fit into memory"),
    "show_graph": flag("Draw the graph into graph.md, and into graph.svg and graph.png where Graphviz is installed"),
    "show_stacktrace": flag("Show the traceback of an error"),
    "show_progress": flag("Accepted; progress is always shown on a terminal"),
    "macros": text("Jinja put before the document, templates and expressions"),
    "parameter_defaults": mapping("Name: value of `$NAME` where neither the environment nor `--params` has it"),
    "git_auth_timeout": count("Seconds that a package from git may take", 1, default=60),
    "compat": text(
        "strict: the same bytes as the peer, its faults too, where it is deterministic; fixed: without them",
        "strict",
        "fixed",
        default="strict",
    ),
    "memory_limit": anything(
        "What a run may take in memory, about, before tables go to disk: bytes, or a text like `2GB`",
        type=["integer", "string"],
    ),
    "workers": count("Processes for templates that need Python row by row; 0 is one per core", default=0),
}

PACKAGE: dict[str, Option] = {
    "local": text("Folder of the package"),
    "git": text("Address of its repository"),
    "subdirectory": text("Folder in the repository"),
    "branch": text("Branch or tag of the repository"),
    "commit": text("Commit that it has to be: 7 digits or more of its hash"),
}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a document."""
    definitions: dict[str, Any] = {
        "source": {
            **_object("A table that is read", {**SOURCE, **NODE}),
            "anyOf": [{"required": ["file"]}, {"required": ["connection"]}],
        },
        "transformation": _object(
            "A table that is made of others",
            {
                "source": REFERENCE,
                "operations": {
                    "description": "What is done, one after the other",
                    "type": "array",
                    "items": {"$ref": "#/$defs/operation"},
                },
                **NODE,
            },
            ("source", "operations"),
        ),
        "destination": _object("A table that is written", {**DESTINATION, **NODE}, ("source",)),
        "package": {
            **_object("A document that this one is built on", PACKAGE),
            "anyOf": [{"required": ["local"]}, {"required": ["git"]}],
        },
        "config": _or_none(_object("How it is run", CONFIG)),
        "operation": {
            "description": "One step of a transformation",
            "type": "object",
            "properties": {"operation": {"description": "Which", "enum": list(OPERATIONS)}},
            "required": ["operation"],
            "allOf": [
                {
                    "if": {"properties": {"operation": {"const": name}}, "required": ["operation"]},
                    "then": {"$ref": f"#/$defs/{name}"},
                }
                for name in OPERATIONS
            ],
        },
    }
    for name, (description, options, required) in OPERATIONS.items():
        operation = {"description": description, "const": name}
        made = _object(
            description,
            {"operation": operation, **options, "repartition": NODE["repartition"]},
            ("operation", *required),
        )
        if name in EITHER:
            made["allOf"] = [{"anyOf": [{"required": [one]} for one in pair]} for pair in EITHER[name]]
        definitions[name] = made
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Document of the tabular engine",
        "description": "Tables that are read, made of each other and written (docs/tabular.md)",
        "type": "object",
        "properties": {
            "version": {"description": "Has to be 2", "const": 2},
            "config": {"$ref": "#/$defs/config"},
            "definitions": {"description": "Not read: a place for YAML anchors"},
            "packages": _or_none(_named("Documents that this one is built on", "package")),
            "sources": _named("Tables that are read", "source"),
            "transformations": _or_none(_named("Tables that are made of others", "transformation")),
            "destinations": _named("Tables that are written", "destination"),
        },
        "required": ["version"],
        "anyOf": [{"required": ["sources", "destinations"]}, {"required": ["packages"]}],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _object(description: str, options: dict[str, Option], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these keys and no others; a key that may be absent may be empty."""
    return {
        "description": description,
        "type": "object",
        "properties": {key: one if key in required else _or_none(one) for key, one in options.items()},
        "required": list(required),
        "additionalProperties": False,
    }


def _named(description: str, what: str) -> dict[str, Any]:
    return {"description": description, "type": "object", "additionalProperties": {"$ref": f"#/$defs/{what}"}}


def _or_none(option: Option) -> Option:
    """What may also be empty in YAML. As a further type where that will do, since `anyOf` blurs the messages of checkers."""
    if "type" in option:
        types = option["type"] if isinstance(option["type"], list) else [option["type"]]
        return {**option, "type": [*types, "null"]}
    return {**option, "anyOf": [*option["anyOf"], {"type": "null"}]} if "anyOf" in option else option


def as_text() -> str:
    """The schema as it stands in docs/tabular.schema.json."""
    import json

    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
