"""Operations on columns. The expected values are what the original writes for the same rows, or worked out by hand."""

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import Column, Context, Flow
from impl.tabular.operation import OPERATIONS, RowWise
from impl.tabular.operations import columns, rows  # noqa: F401 - registers them
from impl.tabular.spec import Map, Problems, SkippedError, Spec


def operation(name, **options):
    """The operation and the problems of its document."""
    problems = Problems()
    options = Map(operation=name, **options)
    options.file, options.line, options.lines = "project.yaml", 7, {}
    try:
        return OPERATIONS[name](Spec(options, problems, "$transformations.t", name, 1)), problems
    except SkippedError:
        return None, problems


def run(name, *batches, folder=None, memory_limit=2 << 30, **options):
    """The rows that come out for batches of rows, and what was said."""
    made, problems = operation(name, **options)
    assert not problems.found, problems.found
    said = []
    context = Context(folder=folder, memory_limit=memory_limit, say=said.append)
    frames = [pl.DataFrame(one) if isinstance(one, dict) else one for one in batches]
    done = list(made.run([Flow(None, lambda: iter(frames))], context))
    assert len({str(one.schema) for one in done}) == 1  # one table: each batch has the same columns of the same types
    return SimpleNamespace(rows=pl.concat(done), said=said, warnings=[one.what for one in problems.warnings], made=made)


def texts(frame):
    """Each column as it is written."""
    return {one.name: ["" if value is None else str(value) for value in one.to_list()] for one in frame}


def problems_with(name, given, **options):
    """What the document is told, with the columns known; the columns that come out."""
    made, problems = operation(name, **options)
    out = made.columns([[Column(one) for one in given]]) if made else None
    return [(one.what, one.hint) for one in problems.found], out and [one.name for one in out]


def test_rename_takes_all_pairs_at_once_and_keeps_the_order():
    out = run("rename_columns", {"aId": ["1"], "b": ["x"], "c": ["z"]}, columns={"aId": "x y", "c": "aid"}).rows
    assert out.to_dict(as_series=False) == {"x y": ["1"], "b": ["x"], "aid": ["z"]}


def test_rename_tells_all_problems_before_any_row():
    found, out = problems_with("rename_columns", ["school", "b"], columns={"scool": "x", "b": "school"})
    assert found == [
        ("there is a column `school` already", "drop it before, or choose another name"),
        ("there is no column `scool`", "did you mean `school`?"),
    ]
    assert out == ["school", "school", "x"]


def test_rename_does_not_swap():
    assert problems_with("rename_columns", ["a", "b"], columns={"a": "b", "b": "a"})[0][0][0] == "there is a column `b` already"


def test_rename_to_one_name_twice_is_a_problem():
    assert operation("rename_columns", columns={"a": "z", "b": "z"})[1].found[0].what == "two columns would be called `z`"


def test_a_column_that_yaml_takes_for_yes_has_to_be_quoted():
    found = operation("rename_columns", columns={True: "z"})[1].found
    assert [(one.what, one.hint) for one in found] == [("`True` is no name of a column", "put it in quotes")]


def test_columns_known_only_with_the_rows_are_looked_at_then():
    made, problems = operation("rename_columns", columns={"scool": "x"})
    assert made.columns([None]) is None
    assert not problems.found
    with pytest.raises(EtlError) as error:
        made.apply(pl.DataFrame({"school": ["1"]}))
    assert error.value.what == "there is no column `scool`"
    assert error.value.where == "project.yaml, line 7: $transformations.t, operation 1 (rename_columns), `columns`"
    assert error.value.hint == "did you mean `school`?"


def test_duplicate_overwrites_in_place_and_a_later_pair_sees_the_earlier():
    done = run("duplicate_columns", {"a": ["1"], "b": ["x"], "c": ["z"]}, columns={"a": "b", "b": "n"})
    assert done.rows.to_dict(as_series=False) == {"a": ["1"], "b": ["1"], "c": ["z"], "n": ["1"]}
    assert done.warnings == ["the column `b` is overwritten"]


def test_duplicate_of_an_absent_column_is_a_problem():
    assert problems_with("duplicate_columns", ["a"], columns={"b": "c"})[0] == [("there is no column `b`", "there is a")]


def test_drop_ignores_what_is_not_there():
    out = run("drop_columns", {"aId": ["1"], "b": ["x"], "has blank": ["q"]}, columns=["a*", "zzz", "has ?lank"]).rows
    assert out.columns == ["b"]


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [(["c", "*"], ["c", "aId", "b", "has blank"]), (["*b*", "aId", "aI[cd]"], ["b", "has blank", "aId"])],
)
def test_keep_takes_the_order_of_the_list_and_each_column_once(patterns, kept):
    out = run("keep_columns", {"aId": ["1"], "b": ["x"], "c": ["z"], "has blank": ["q"]}, columns=patterns).rows
    assert out.columns == kept
    assert problems_with("keep_columns", ["aId", "b", "c", "has blank"], columns=patterns) == ([], kept)


def test_keep_needs_every_pattern_to_match():
    found, out = problems_with("keep_columns", ["student", "b"], columns=["studnt", "b", "x*"])
    assert found == [
        ("there is no column `studnt`", "did you mean `student`?"),
        ("there is no column `x*`", "there is student, b"),
    ]
    assert out == ["studnt", "b", "x*"]


def test_combine_takes_each_column_once_and_the_place_of_its_name():
    batch = {"aId": ["01", "bar"], "b": ["x", ""]}
    out = run("combine_columns", batch, columns=["b", "a*", "b"], new_column="aId", separator="-").rows
    assert out.to_dict(as_series=False) == {"aId": ["x-01", "-bar"], "b": ["x", ""]}
    out = run("combine_columns", batch, columns=["a*", "b"], new_column="new").rows
    assert out.to_dict(as_series=False) == {**batch, "new": ["01x", "bar"]}


def test_combine_names_the_row_and_column_of_a_missing_value():
    with pytest.raises(EtlError) as error:
        run(
            "combine_columns", {"k": ["1"], "w": ["x"]}, {"k": ["2", "3"], "w": ["y", None]}, columns=["k", "w"], new_column="z"
        )
    assert error.value.what == "`w` is missing, it cannot be combined"
    assert error.value.where.endswith("(combine_columns), `columns`, row 3")


def test_combine_wants_text():
    with pytest.raises(EtlError, match="`n` holds numbers, only text can be combined"):
        run("combine_columns", {"k": ["1"], "n": [5]}, columns=["k", "n"], new_column="z")


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("aId", "a_id"),
        ("has blank", "has_blank"),
        ("HTTPServer", "http_server"),
        ("schoolYear (2)", "school_year_2_"),
        ("__a--B", "a_b"),
        ("ABcDe", "a_bc_de"),
        ("a1B", "a1_b"),
        ("Été", "été"),
        ("x.y/Z#", "x_y_z_"),
    ],
)
def test_snake_case(name, snake):
    assert run("snake_case_columns", {name: ["1"]}).rows.columns == [snake]


def test_lower_and_upper_case():
    assert run("lowercase_columns", {"aId": ["1"], "Has Blank": ["x"]}).rows.columns == ["aid", "has blank"]
    assert run("uppercase_columns", {"aId": ["1"], "has blank": ["x"]}).rows.columns == ["AID", "HAS BLANK"]


def test_two_columns_of_one_case_are_a_problem():
    found, _ = problems_with("lowercase_columns", ["a", "b", "A"])
    assert found == [("`a` and `A` would both be called `a`", "rename one of them before")]


def test_map_takes_whole_values_once():
    out = run("map_values", {"a": ["01", "foo", "", "bar", None, "foo "]}, column="a", mapping={"foo": "bar", "bar": "foo"})
    assert out.rows["a"].to_list() == ["01", "bar", "", "foo", None, "foo "]
    assert isinstance(out.made, RowWise)


def test_a_number_as_key_is_never_found_in_text_and_warned_of():
    out = run("map_values", {"a": ["01", "1"]}, column="a", mapping={1: "one", "x": "y"})
    assert out.rows["a"].to_list() == ["01", "1"]
    assert out.warnings == ["`1` is no text to YAML and will never be found in text"]


def test_null_as_key_and_as_value():
    out = run("map_values", {"w": ["xx", None, "1"]}, column="w", mapping={None: "none", "1": None}).rows
    assert out["w"].to_list() == ["xx", "none", None]


@pytest.mark.parametrize(
    ("given", "mapping", "written"),
    [
        (["1", "", "3"], {"1": 101, "3": 102, "": 7}, ["101", "7", "102"]),
        (["xx", None, "1"], {"xx": 101, "1": 7}, ["101.0", "", "7.0"]),
        (["1", "", "3"], {"1": 1.5, "3": 2, "": 7}, ["1.5", "7.0", "2.0"]),
        (["1", "", "3"], {"1": True, "3": False, "": True}, ["True", "True", "False"]),
        (["xx", None, "1"], {"xx": True, "1": False}, ["True", "", "False"]),
        (["1", "", "3"], {"1": 1.5, "3": "abc", "": True}, ["1.5", "True", "abc"]),
        (["01", "1", "foo"], {"1": 101, "01": 102}, ["102", "101", "foo"]),
        (["1", "2"], {"1": 1, "2": True}, ["1", "True"]),
        (["1", "2"], {"1": None, "2": 2}, ["", "2.0"]),
        (["1", None], {None: 5, "1": 6}, ["6", "5"]),
        (["1"], {"1": 10**20}, ["100000000000000000000"]),
        (["1"], {"1": 1e20}, ["1e+20"]),
        ([None, None], {"1": 5}, ["", ""]),
    ],
)
def test_values_that_are_no_text_make_the_column_one_kind_or_text(given, mapping, written):
    column = pl.Series("c", given, dtype=pl.String)
    assert texts(run("map_values", pl.DataFrame([column]), column="c", mapping=mapping).rows)["c"] == written
    # the same where each row comes in a batch of its own: the kind is that of the whole column
    one_by_one = [pl.DataFrame([column[at : at + 1]]) for at in range(len(given))]
    assert texts(run("map_values", *one_by_one, column="c", mapping=mapping).rows)["c"] == written


def test_rows_that_wait_for_the_kind_of_their_column_are_put_on_disk(tmp_path):
    batches = [{"c": ["1", "2"]}, {"c": ["2"]}, {"c": ["1"]}, {"c": [None]}]
    done = run("map_values", *batches, folder=tmp_path, memory_limit=8, column="c", mapping={"1": 10, "2": 20})
    assert done.rows["c"].to_list() == [10.0, 20.0, 20.0, 10.0, None]
    assert not list(tmp_path.iterdir())


def test_numbers_are_mapped_by_numbers():
    out = run("map_values", {"n": [1, 2], "f": [1.0, 2.5], "b": [True, False]}, columns=["*"], mapping={1: "x", "2": "y"}).rows
    assert out.to_dict(as_series=False) == {"n": ["x", "2"], "f": ["x", "2.5"], "b": [True, False]}
    assert run("map_values", {"n": [1, 2]}, column="n", mapping={1: 1.5}).rows["n"].to_list() == [1.5, 2.0]
    assert run("map_values", {"n": [1, 2]}, column="n", mapping={1.0: 7, -1: 8}).rows["n"].to_list() == [7, 2]
    small = pl.DataFrame({"n": pl.Series([1, 2], dtype=pl.UInt8)})
    assert run("map_values", small, column="n", mapping={2: 7, -1: 8}).rows["n"].to_list() == [1, 7]


def test_a_value_for_missing_numbers_makes_them_text_in_every_batch():
    done = run("map_values", {"f": [1.5]}, {"f": pl.Series([None], dtype=pl.Float64)}, column="f", mapping={None: "none"})
    assert done.rows["f"].to_list() == ["1.5", "none"]


def test_map_file_is_read_without_its_header(tmp_path):
    (tmp_path / "m.csv").write_text('from,to\nx,EX\n"a,b",É\nx,last\n', encoding="utf-8")
    done = run("map_values", {"b": ["x", "a,b", "from"]}, columns=["b*"], map_file=str(tmp_path / "m.csv"))
    assert done.rows["b"].to_list() == ["last", "É", "from"]
    assert list(done.made.files) == [tmp_path / "m.csv"]
    (tmp_path / "m.tsv").write_text("from\tto\nx\ta,b\n")
    assert run("map_values", {"b": ["x"]}, column="b", map_file=str(tmp_path / "m.tsv")).rows["b"].to_list() == ["a,b"]
    (tmp_path / "head.csv").write_text("from,to\n")
    assert run("map_values", {"b": ["x"]}, column="b", map_file=str(tmp_path / "head.csv")).rows["b"].to_list() == ["x"]


def test_map_file_is_relative_to_what_the_document_says(tmp_path):
    (tmp_path / "m.csv").write_text("from,to\nx,EX\n")
    options = Map(operation="map_values", column="b", map_file="m.csv")
    spec = Spec(options, Problems(), "$transformations.t", "map_values", 1)
    spec.path = lambda named: tmp_path / named
    assert OPERATIONS["map_values"](spec).apply(pl.DataFrame({"b": ["x"]}))["b"].to_list() == ["EX"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"column": "b", "mapping": {}}, "there is no mapping"),
        ({"mapping": {"a": "b"}}, "there is no `column`"),
        ({"column": "a", "columns": ["b"], "mapping": {"a": "b"}}, "`column` and `columns` are both there"),
        ({"column": "b", "mapping": {"a": ["b"]}}, "a value of the mapping has to be one value"),
        ({"column": "b", "map_file": "x.txt"}, "`x.txt` is no .csv and no .tsv"),
        ({"column": "b", "map_file": "none.csv"}, "there is no file `none.csv`"),
        ({"column": "b", "mapping": {"a": "b"}, "maping": 1}, "there is no option `maping`"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_told(options, what):
    assert [one.what for one in operation("map_values", **options)[1].found] == [what]


def test_a_line_of_a_map_file_that_is_no_pair_is_named(tmp_path):
    path = Path(tmp_path, "m.csv")
    path.write_text("a,b\nx,X\n\n")
    assert (
        operation("map_values", column="b", map_file=str(path))[1].found[0].what == f"row 3 of `{path}` has 0 columns, not two"
    )


def test_map_needs_its_columns():
    found, _ = problems_with("map_values", ["b"], columns=["b", "a*"], mapping={"x": "y"})
    assert found == [("there is no column `a*`", "there is b")]


DATES = ["01/02/2020", "", "12/31/1999", "13/01/2020 noon", "x", "2/3/21", None]


def test_dates_may_stand_anywhere_in_the_value():
    out = run("date_format", {"c": DATES}, column="c", from_format="%m/%d/%Y", to_format="%Y-%m-%d", ignore_errors=True).rows
    assert out["c"].to_list() == ["2020-01-02", None, "1999-12-31", "2020-03-01", None, None, None]


def test_dates_have_to_be_the_whole_value_if_so_wished():
    options = {"columns": ["c"], "from_format": "%m/%d/%Y", "to_format": "%Y-%m-%d", "ignore_errors": True, "exact_match": True}
    assert run("date_format", {"c": DATES}, **options).rows["c"].to_list()[3] is None


def test_a_value_that_is_no_date_is_named_with_its_row():
    options = {"column": "c", "from_format": "%m/%d/%Y", "to_format": "%Y-%m-%d"}
    with pytest.raises(EtlError) as error:
        run("date_format", {"c": ["01/02/2020", ""]}, {"c": ["01/02/2020", "soon", "never"]}, **options)
    assert error.value.what.startswith("`c` is no date of the form `%m/%d/%Y`: ")
    assert error.value.where.endswith("operation 1 (date_format), `from_format`, row 4: `soon`")


@pytest.mark.parametrize(
    ("value", "from_format", "to_format", "written"),
    [
        ("2020-1-2", "%Y-%m-%d", "%m/%d/%Y", "01/02/2020"),
        ("Jan 02 2020", "%b %d %Y", "%j", "002"),
        ("02.03.21", "%d.%m.%y", "%B %d, %y", "March 02, 21"),
        ("01/02/2020 03:04 PM", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %H:%M:%S", "2020-01-02 15:04:00"),
        ("2020-01-02 03:04:05+01:00", "%Y-%m-%d %H:%M:%S%z", "%H", "03"),
        ("20200102", "%Y%m%d", "text", "text"),
    ],
)
def test_formats(value, from_format, to_format, written):
    out = run("date_format", {"c": [value]}, column="c", from_format=from_format, to_format=to_format).rows
    assert out["c"].to_list() == [written]


def test_a_year_that_nanoseconds_cannot_hold_is_no_date():
    options = {"column": "c", "from_format": "%Y-%m-%d", "to_format": "%Y"}
    with pytest.raises(EtlError, match=r"(?s)Out of bounds|the year is too far away"):
        run("date_format", {"c": ["9999-12-31"]}, **options)
    out = run("date_format", {"c": ["1600-01-01", "2300-05-06", "1700-01-01"]}, ignore_errors=True, **options).rows
    assert out["c"].to_list() == [None, None, "1700"]


def test_numbers_and_times_may_be_dates():
    times = {"c": [datetime(2020, 1, 2, 3, 4), None]}
    out = run("date_format", times, column="c", from_format="%Y", to_format="%d.%m.%Y %H").rows
    assert out["c"].to_list() == ["02.01.2020 03", None]
    out = run("date_format", {"c": [20200102, None]}, column="c", from_format="%Y%m%d", to_format="%d.%m.%Y").rows
    assert out["c"].to_list() == ["02.01.2020", None]
