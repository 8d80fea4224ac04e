"""add_columns and modify_columns: rows that the peer (0.4.9) made of the same documents, or that are plain to see."""

import datetime

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import BOOLEAN, FLOAT, INTEGER, TEXT, TIME, Column, Context, Flow
from impl.tabular.operation import OPERATIONS
from impl.tabular.operations import expressions  # noqa: F401 - registers them
from impl.tabular.spec import Map, Problems, Spec
from impl.tabular.templates import environment

ROWS = pl.DataFrame({"a": ["1", "2"], "b": ["x", None]})


def opened(name, columns, macros=""):
    written = Map(columns)
    written.file, written.line, written.lines = "p.yaml", 8, {key: 8 + place for place, key in enumerate(columns)}
    options = Map({"operation": name, "columns": written})
    options.file, options.line, options.lines = "p.yaml", 7, {"columns": 7}
    spec = Spec(options, Problems(), "$transformations.t", name, 1)
    spec.environment = environment(macros, ".", sandboxed=False)
    return OPERATIONS[name](spec)


def run(name, columns, *batches, **options):
    made = opened(name, columns, **options)
    flow = Flow(None, lambda: iter(batches or (ROWS,)))
    return pl.concat(made.run([flow], Context(folder=None, workers=1))).to_dict(as_series=False)


def test_columns_are_added_behind_the_others_and_later_ones_see_earlier_ones():
    found = run("add_columns", {"five": 5, "half": 1.5, "c": "{{ a }}{{ five + 1 }}", "d": "{{ c }}!", "e": None, "t": "text"})
    assert found == {
        "a": ["1", "2"],
        "b": ["x", None],
        "five": [5, 5],
        "half": [1.5, 1.5],
        "c": ["16", "26"],
        "d": ["16!", "26!"],
        "e": [None, None],
        "t": ["text", "text"],
    }


def test_a_column_that_is_there_keeps_its_place():
    assert run("add_columns", {"a": "{{ b }}"}) == {"a": ["x", "nan"], "b": ["x", None]}


def test_the_row_of_an_expression_is_a_plain_mapping():
    expected = "1-{'a': '1', 'b': 'x', 'day': datetime.date(2020, 1, 2), 'value': '1'}"  # as the peer writes it
    found = run("add_columns", {"day": datetime.date(2020, 1, 2)})
    batch = pl.DataFrame(found, schema={"a": pl.String, "b": pl.String, "day": pl.Date})
    assert run("modify_columns", {"a": "{{value}}-{{__row_data__}}"}, batch)["a"][0] == expected


def test_modified_columns_are_found_by_wildcards_and_keys_come_one_after_another():
    found = run("modify_columns", {"*": "{{ value }}.", "a": "{{ value|upper }}{{ b }}", "z*": "{{ value }}"})
    assert found == {"a": ["1.x.", "2.nan."], "b": ["x.", "nan."]}


def test_a_constant_replaces_a_column():
    assert run("modify_columns", {"b": True}) == {"a": ["1", "2"], "b": [True, True]}


def test_a_column_called_value_is_a_problem_only_for_jinja():
    made = opened("modify_columns", {"a": "{{ value }}"})
    made.columns([[Column("a"), Column("value")]])
    assert "there is a column `value`" in made.spec.problems.found[0].what
    with pytest.raises(EtlError, match="there is a column `value`"):
        run("modify_columns", {"a": "{{ value }}"}, pl.DataFrame({"a": ["1"], "value": ["2"]}))
    assert run("modify_columns", {"a": "x"}, pl.DataFrame({"a": ["1"], "value": ["2"]})) == {"a": ["x"], "value": ["2"]}


def test_kinds_of_columns_are_known_before_any_row():
    made = opened("add_columns", {"i": 1, "f": 1.5, "t": True, "d": datetime.date(2020, 1, 2), "n": None, "j": "{{ a }}"})
    assert [one.kind for one in made.columns([[Column("a")]])] == [TEXT, INTEGER, FLOAT, BOOLEAN, TIME, TEXT, TEXT]
    assert made.columns([None]) is None


def test_an_unknown_name_is_a_problem_with_its_own_line():
    made = opened("add_columns", {"c": "{{ a }}", "d": "{{ c }}{{ bb }}"})
    made.columns([[Column("a"), Column("b")]])
    (problem,) = made.spec.problems.found
    assert problem.what == "there is no column `bb`"
    assert problem.where == "p.yaml, line 9: $transformations.t, operation 1 (add_columns), `d`"


def test_an_unknown_name_is_found_with_the_rows_if_columns_are_only_known_then():
    with pytest.raises(EtlError, match="there is no column `bb`"):
        run("add_columns", {"d": "{{ bb }}"})


def test_macros_are_no_unknown_names():
    made = opened("add_columns", {"c": "{{ m(a) }}"}, macros="{% macro m(x) %}<{{ x }}>{% endmacro %}")
    made.columns([[Column("a")]])
    assert made.spec.problems.found == []


def test_a_name_that_is_no_text_is_a_problem():
    assert "the column name `True` is no text" in opened("add_columns", {True: 1}).spec.problems.found[0].what


def test_rows_are_numbered_over_all_batches_and_again_from_one_in_the_next_run():
    made = opened("add_columns", {"n": "{{ __row_number__ }}"})
    flow = Flow(None, lambda: iter([ROWS, ROWS.clear(), ROWS]))
    for _ in range(2):
        assert pl.concat(made.run([flow], Context(folder=None, workers=1)))["n"].to_list() == ["1", "2", "3", "4"]


def test_an_error_names_the_row_and_its_values():
    with pytest.raises(EtlError) as caught:
        run("add_columns", {"c": "{{ 1 // (a|int - 2) }}"}, ROWS.clear(), ROWS)
    assert caught.value.where == "p.yaml, line 8: $transformations.t, operation 1 (add_columns), `c`, row 2: `a` = '2'"
