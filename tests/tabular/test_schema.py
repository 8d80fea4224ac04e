"""The JSON Schema of documents."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from impl.tabular.document import load
from impl.tabular.plan import make_plan
from impl.tabular.schema import OPERATIONS, as_text, schema

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "impl/tabular/starter/earthmover.yaml"
CHECKER = jsonschema.Draft202012Validator(schema())


def as_json(value):
    """As an editor sees YAML: keys are texts, and so are dates."""
    return json.loads(json.dumps(value, default=str))


def problems(document):
    return [f"{one.json_path}: {one.message}" for one in CHECKER.iter_errors(as_json(document))]


@pytest.fixture
def starter():
    return copy.deepcopy(yaml.safe_load(STARTER.read_text()))


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$id"] and schema()["$schema"].endswith("2020-12/schema")


def test_the_file_in_docs_is_current():
    assert (ROOT / "docs/tabular.schema.json").read_text() == as_text(), (
        "python -m impl.tabular.command schema > docs/tabular.schema.json"
    )


def test_the_starter_and_every_document_of_the_tests_is_accepted(starter):
    assert problems(starter) == []
    for path in sorted([*(ROOT / "tests/tabular").rglob("*.yaml"), *(ROOT / "task").glob("*.yaml")]):
        if "version: 2" in path.read_text():  # its Jinja is rendered: a schema is about what comes out of that
            assert problems(load(path, variables={}, folder=path.parent).compiled) == [], path


def test_every_operation_of_the_engine_stands_in_it_and_no_other():
    import impl.tabular.operations  # noqa: F401 - registers them
    from impl.tabular.operation import OPERATIONS as REGISTERED

    assert sorted(OPERATIONS) == sorted(REGISTERED)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("sources", "days", "heder_rows"), "heder_rows"),
        (("transformations", "counties", "operations", 1, "group_by_column"), "group_by_column"),
        (("destinations", "days", "linearise"), "linearise"),
        (("config", "output_folder"), "output_folder"),
        (("transformation",), "transformation"),
    ],
)
def test_a_misspelt_key_is_refused_and_named(starter, path, said):
    place = starter
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = 1
    (problem,) = problems(starter)
    assert f"'{said}' was unexpected" in problem


@pytest.mark.parametrize(
    "operation",
    [
        {"operation": "sort_row", "columns": ["a"]},
        {"operation": "filter_rows", "query": "a == '1'", "behavior": "keep"},
        {"operation": "join", "sources": ["$sources.gauges"], "join_type": "inner", "left_key": "a"},
        {"operation": "map_values", "column": "a"},
        {"operation": "limit_rows", "count": 0},
        {"operation": "group_by", "group_by_columns": ["a"], "create_columns": {"n": "cout()"}},
        {"columns": ["a"]},
    ],
)
def test_a_wrong_operation_is_refused(starter, operation):
    starter["transformations"]["counties"]["operations"].append(operation)
    assert len(problems(starter)) == 1


@pytest.mark.parametrize(
    "operation",
    [
        {"operation": "limit_rows", "count": "${ROWS}"},
        {"operation": "add_columns", "columns": {"a": 5, "b": True, "c": None, "d": "{{x}}"}},
        {"operation": "map_values", "columns": ["a*"], "map_file": "./a.csv"},
        {"operation": "snake_case_columns"},
        {
            "operation": "group_by",
            "group_by_columns": ["a"],
            "create_columns": {"n": "agg(a, ;)", "m": "json_array_agg(b,str)"},
        },
        {"operation": "union", "sources": ["$sources.gauges"], "fill_missing_columns": "${FILL}"},
    ],
)
def test_what_is_written_with_variables_or_in_short_is_accepted(starter, operation):
    starter["transformations"]["counties"]["operations"].append(operation)
    assert problems(starter) == []


def test_every_key_has_a_description():
    made = schema()
    for name, definition in made["$defs"].items():
        for key, option in definition["properties"].items():
            assert option.get("description"), f"{name}.{key}"


def test_the_store_of_a_destination_is_known_to_the_plan(starter, tmp_path):
    starter["destinations"]["days"]["store"] = "gauge_days"
    assert problems(starter) == []
    (tmp_path / "a.csv").write_text("a\n1\n")
    text = "version: 2\nsources: {a: {file: a.csv}}\ndestinations: {d: {source: $sources.a, store: gauge_days, key: a}}\n"
    (tmp_path / "earthmover.yaml").write_text(text)
    plan = make_plan(load(None, variables={}, folder=tmp_path))
    assert plan.destinations[0].node.options["store"] == "gauge_days"
