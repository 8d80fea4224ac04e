"""Operations on rows. The expected values are what the original writes for the same rows, or worked out by hand."""

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import FLOAT, Column, Context, Flow
from impl.tabular.operation import RowWise
from tests.tabular.test_columns import operation, problems_with, run

JOINED = {"k": ["1", "2", "3"], "b": ["x", "y", ""], "w": ["xx", None, "1"]}


def keys(query, behavior="include", *batches):
    return "".join(run("filter_rows", *(batches or [JOINED]), query=query, behavior=behavior).rows["k"])


@pytest.mark.parametrize(
    ("query", "behavior", "kept"),
    [
        ("w.isnull()", "include", "2"),
        ("w != 'xx'", "include", "23"),
        ("w < 'z'", "include", "13"),
        ("w < 'z'", "exclude", "2"),
        ("w == None", "include", ""),
        ("k > '1' and b != ''", "include", "2"),
        ("k == 2", "include", ""),
        ("w.str.contains('x', na=False)", "exclude", "23"),
        ("w.str.len() < 2", "include", "3"),
        ("k == '2'\n", "exclude", "13"),
        ("b.str.startswith('x') or b == ''", "exclude", "2"),
    ],
)
def test_filter(query, behavior, kept):
    assert keys(query, behavior) == kept


def test_a_filter_that_looks_at_each_row_works_batch_by_batch():
    assert isinstance(
        operation("filter_rows", query="w != 'x' and b.fillna('').str.zfill(2) == '0x'", behavior="include")[0], RowWise
    )
    assert not isinstance(operation("filter_rows", query="k == k.max()", behavior="include")[0], RowWise)


def test_a_filter_that_looks_at_other_rows_sees_all_of_them():
    assert keys("k == k.max()", "include", {"k": ["1", "5"]}, {"k": ["3"]}) == "5"
    assert keys("k.duplicated()", "include", {"k": ["1", "5"]}, {"k": ["1"]}) == "1"
    assert keys("index > 1", "include", {"k": ["1", "5"]}, {"k": ["3", "4"]}) == "34"


def test_filter_on_numbers():
    batch = {"k": ["1", "2", "3"], "n": [5, 5, 4], "f": [1.5, None, 1.5]}
    assert keys("n > 4 and f < 2", "include", batch) == "1"
    assert keys("f != 2", "include", batch) == "123"


def test_filter_without_rows_keeps_the_columns():
    out = run("filter_rows", JOINED, query="b == 'nobody'", behavior="include").rows
    assert out.schema == {"k": pl.String, "b": pl.String, "w": pl.String}
    assert out.height == 0


@pytest.mark.parametrize(
    ("query", "what", "hint"),
    [
        ("scool == 'x'", "there is no column `scool`", "did you mean `school`?"),
        ("school == x", "there is no column `x`", "there is school, n; a text stands in quotes: 'x'"),
        (
            "school < 2",
            "text is compared with a number",
            "a file holds text: write '2' in quotes; texts are compared letter by letter, '10' is before '9'",
        ),
        ("n < '2'", "text is compared with a number", ""),
        ("school = 'x'", "the query cannot be read: invalid syntax", "two things are compared with `==`"),
        ("school == 'x'\nor n == 1", "the query has more than one line", "write it with `>` instead of `|`, or in one line"),
        ("school is None", "a query cannot contain `is`", ""),
        ("school == @x", "a query knows no variables with `@`", "write the value itself"),
    ],
)
def test_what_is_wrong_with_a_query_is_told_before_any_row(query, what, hint):
    made, problems = operation("filter_rows", query=query, behavior="include")
    if made:
        made.columns([[Column("school"), Column("n", FLOAT)]])
    assert [(one.what, one.hint) for one in problems.found] == [(what, hint)]


def test_behavior_is_needed_and_one_of_two():
    assert operation("filter_rows", query="a == 'x'")[1].found[0].what == "`behavior` is missing"
    assert operation("filter_rows", query="a == 'x'", behavior="keep")[1].found[0].what == "`behavior` cannot be `keep`"


def test_a_missing_value_has_no_answer_and_its_row_is_named():
    with pytest.raises(EtlError) as error:
        keys("w.str.contains('x')", "include", {"k": ["0"], "w": ["x"]}, {"k": ["1", "2"], "w": ["x", None]})
    assert error.value.what == "`w.str.contains('x')` is neither true nor false of a missing value"
    assert error.value.where.endswith("(filter_rows), `query`, row 3")


EIGHT = [{"a": ["0", "1", "2"]}, {"a": ["3", "4"]}, {"a": ["5", "6", "7"]}]


@pytest.mark.parametrize(
    ("count", "offset", "passed"),
    [
        (3, 0, "012"),
        (3, 2, "234"),
        (3, 6, "567"),
        (30, 6, "01234567"),
        (1, 7, "7"),
        (2, 6, "67"),
        (5, 0, "01234"),
        (4, 3, "3456"),
    ],
)
def test_limit_takes_the_last_rows_where_there_are_too_few(count, offset, passed):
    done = run("limit_rows", *EIGHT, count=count, offset=offset)
    assert "".join(done.rows["a"]) == passed
    assert len(done.said) == (offset + count > 8 and offset > 0)


def test_limit_reads_no_more_than_it_needs():
    def batches():
        yield pl.DataFrame({"a": ["0", "1", "2"]})
        raise AssertionError("read too far")

    made, _ = operation("limit_rows", count=2)
    out = list(made.run([Flow(None, batches)], Context(None)))
    assert [one["a"].to_list() for one in out] == [["0", "1"]]


def test_limit_of_nothing_keeps_the_columns():
    assert run("limit_rows", {"a": []}, count=2, offset=1).rows.columns == ["a"]


@pytest.mark.parametrize(("count", "offset"), [(0, 0), (-1, 0), (1, -1), (True, 0)])
def test_limit_wants_whole_numbers(count, offset):
    assert len(operation("limit_rows", count=count, offset=offset)[1].found) == 1


@pytest.mark.parametrize(
    ("value", "options", "pieces"),
    [
        ("a,b", {}, ["a", "b"]),
        ("c", {}, ["c"]),
        ("", {}, [""]),
        (None, {}, [None]),
        ("[\"x\", 'y']", {}, ["x", "y"]),
        (",", {}, ["", ""]),
        (" p , q ", {}, ["p", "q"]),
        ('"[a,b]"', {}, ["a", "b"]),
        ("a\xa0, b", {}, ["a\xa0", "b"]),
        ("a--b", {"separator": "--"}, ["a", "b"]),
        ("a1b22c", {"separator": r"\d+"}, ["a", "b", "c"]),
        ("a1b22c", {"separator": r"(\d)+"}, ["a", "1", "b", "2", "c"]),
        ("a.b", {"separator": "."}, ["a", "b"]),
        ("a||b", {"separator": "||"}, ["", "a", "|", "|", "b", ""]),
        ("abc", {"separator": ""}, ["", "a", "b", "c", ""]),
        ("[[a],b]", {"left_wrapper": "[", "right_wrapper": "]"}, ["a]", "b"]),
        ("[a]", {"left_wrapper": "", "right_wrapper": ""}, ["[a]"]),
        (" a , b ", {"trim_whitespace": ""}, [" a ", " b "]),
        (["x", "y"], {}, ["x", "y"]),
        (2.5, {}, ["2.5"]),
    ],
)
def test_flatten(value, options, pieces):
    batch = pl.DataFrame({"k": ["1"], "a": [value], "z": ["z"]}, schema_overrides={"a": pl.String} if value is None else None)
    out = run("flatten", batch, flatten_column="a", value_column="v", **options).rows
    assert out.to_dict(as_series=False) == {"k": ["1"] * len(pieces), "z": ["z"] * len(pieces), "v": pieces}


def test_flatten_wants_its_column_and_a_new_name():
    options = {"flatten_column": "tags", "value_column": "tag"}
    assert problems_with("flatten", ["tag", "tags"], **options)[0] == [
        ("there is a column `tag` already", "choose another name")
    ]
    assert problems_with("flatten", ["id", "tagz"], **options) == (
        [("there is no column `tags`", "did you mean `tagz`?")],
        ["id", "tagz", "tag"],
    )
    assert operation("flatten", separator="((", **options)[1].found[0].what.startswith("`((` is no regular expression")


DEBUGGED = [
    {
        "aId": ["01", "1", "foo", ""],
        "b": ["x", "y", "x,y", "z"],
        "c": ["01/02/2020", "", "12/31/1999", ""],
        "has blank": ["q", "r", "s", ""],
    },
    {
        "aId": ["bar", "5", "7", "8"],
        "b": ["", "w", "x", "x"],
        "c": ["13/01/2020 noon", "x", "2/3/21", "1"],
        "has blank": ["t", "u", "", "1"],
    },
]
HEAD = """\
aId   b               c has blank
 01   x      01/02/2020         q
  1   y                         r
foo x,y      12/31/1999         s
      z                          
bar     13/01/2020 noon         t
"""  # noqa: W291


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({}, HEAD),
        (
            {"function": "tail", "rows": 2, "transpose": True},
            "   column      6 7\n      aId      7 8\n        b      x x\n        c 2/3/21 1\nhas blank        1\n",
        ),
        (
            {"function": "describe"},
            "aId b c has blank\n  8 8 8         8\n  8 6 7         7\n 01 x            \n  1 3 2         2\n",
        ),
        (
            {"function": "describe", "transpose": True, "skip_columns": ["b"]},
            "   column count unique top freq\n      aId     8      8  01    1\n        c     8      7        2\nhas blank     8      7        2\n",
        ),
        ({"function": "columns"}, "['aId', 'b', 'c', 'has blank']\n"),
        ({"rows": 2, "keep_columns": ["c", "aId"]}, "aId          c\n 01 01/02/2020\n  1           \n"),
        ({"rows": 0}, "Empty DataFrame\nColumns: [aId, b, c, has blank]\nIndex: []\n"),
    ],
)
def test_debug_prints_and_passes_all_rows(options, printed, capsys):
    done = run("debug", *DEBUGGED, **options)
    assert capsys.readouterr().out == printed
    assert done.rows.equals(pl.concat(pl.DataFrame(one) for one in DEBUGGED))


def test_debug_says_what_it_prints(capsys):
    assert run("debug", JOINED, function="tail", transpose=True).said == ["debug (tail 5, Transpose) for transformations.t:"]
    assert run("debug", JOINED, function="describe").said == ["debug (describe) for transformations.t:"]
    assert "NaN" not in capsys.readouterr().out.split("\n")[0]


def test_debug_prints_a_missing_value_as_nan(capsys):
    run("debug", JOINED)
    assert capsys.readouterr().out == "k b   w\n1 x  xx\n2 y NaN\n3     1\n"
