"""sort_rows and distinct_rows. What is expected was read from files that the peer (0.4.9) wrote for the same tables."""

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import Column, Context, Flow
from tests.tabular.peer import run_ours
from tests.tabular.test_tables import frame_of, lines, problems_of, read

GIVEN = "id,k,m 1,a,10 2,b,~ 3,c,7 4,a,10 5,d,~"


def column(text, at=-1):
    return [row.split(",")[at] for row in text.split(" ")[1:]]


def sort(folder, given, *columns, **options):
    return lines(folder, "sort_rows", given, columns=list(columns), **options)


def test_text_is_sorted_by_code_points_and_numbers_as_text(tmp_path):
    given = "k,n é,1 z,2 Z,3 😀,4 \uffee,5 10,6 9,7"
    assert column(sort(tmp_path, given, "k"), 0) == ["10", "9", "Z", "z", "é", "\uffee", "😀"]


def test_missing_values_come_last_in_both_directions(tmp_path):
    assert column(sort(tmp_path, GIVEN, "-m"), 0) == ["3", "1", "4", "2", "5"]
    assert column(sort(tmp_path, GIVEN, "m", "-id"), 0) == ["4", "1", "3", "5", "2"]


def test_descending_goes_before_signs(tmp_path):
    given = "k,n a,1 b,2 a,3"
    assert column(sort(tmp_path, given, "k", "-n")) == ["3", "1", "2"]
    assert column(sort(tmp_path, given, "+k", "n", descending=True)) == ["2", "3", "1"]


def test_only_the_first_sign_belongs_to_the_order(tmp_path):
    assert sort(tmp_path, "+k,n 2,a 1,b", "++k") == "+k,n 1,b 2,a"


def test_no_columns_and_one_column_twice(tmp_path):
    assert column(sort(tmp_path, GIVEN), 0) == ["1", "2", "3", "4", "5"]
    assert column(sort(tmp_path, GIVEN, "k", "-k"), 0) == ["1", "4", "2", "3", "5"]


# 60 rows with one of three keys each, numbered from 0, and the numbers as the peer sorts them by the key alone
KEYS = "accabcbccacabbcaacbccbbcaacacbcacaacababbccbcbbccbabaaababcb"
UP = [
    0,
    33,
    25,
    24,
    34,
    36,
    38,
    16,
    15,
    27,
    11,
    31,
    53,
    9,
    56,
    52,
    3,
    54,
    50,
    57,
    55,
    49,
    39,
    40,
    43,
    51,
    46,
    37,
    45,
    29,
    59,
    4,
    6,
    22,
    21,
    18,
    12,
    13,
    1,
    2,
    5,
    7,
    8,
    10,
    48,
    47,
    30,
    58,
    17,
    42,
    41,
    19,
    20,
    35,
    23,
    26,
    32,
    28,
    14,
    44,
]
DOWN = [
    30,
    14,
    1,
    28,
    26,
    41,
    23,
    42,
    20,
    19,
    44,
    17,
    32,
    35,
    47,
    48,
    2,
    10,
    8,
    58,
    7,
    5,
    57,
    37,
    39,
    55,
    40,
    46,
    43,
    51,
    49,
    45,
    59,
    4,
    29,
    6,
    22,
    21,
    18,
    13,
    12,
    33,
    50,
    3,
    56,
    54,
    53,
    52,
    9,
    15,
    11,
    34,
    16,
    24,
    25,
    27,
    38,
    36,
    31,
    0,
]


def test_equal_rows_by_one_column_are_in_the_order_that_the_peer_leaves_them_in(tmp_path):
    given = "k,n " + " ".join(f"{key},{at}" for at, key in enumerate(KEYS))
    assert [int(one) for one in column(sort(tmp_path, given, "k"))] == UP
    assert [int(one) for one in column(sort(tmp_path, given, "-k"))] == DOWN


STEADILY = "".join(f"{at} " for key in "abc" for at, one in enumerate(KEYS) if one == key).split()


@pytest.mark.parametrize(
    "operations",
    [
        ["{operation: flatten, flatten_column: k, value_column: p}"],
        ["{operation: flatten, flatten_column: k, value_column: q}", "{operation: rename_columns, columns: {q: p}}"],
        ["{operation: flatten, flatten_column: k, value_column: p}", "{operation: map_values, column: p, mapping: {x: y}}"],
        [
            "{operation: flatten, flatten_column: k, value_column: p}",
            "{operation: filter_rows, query: p > '', behavior: include}",
        ],
    ],
)
def test_equal_rows_by_the_column_that_flatten_made_keep_their_order(tmp_path, operations):
    (tmp_path / "days.csv").write_text("k,n\n" + "".join(f"{key},{at}\n" for at, key in enumerate(KEYS)))
    document = tmp_path / "earthmover.yaml"
    listed = "".join(f"      - {one}\n" for one in [*operations, "{operation: sort_rows, columns: [p]}"])
    document.write_text(
        "version: 2\nconfig: {output_dir: output}\nsources: {days: {file: days.csv}}\n"
        f"transformations:\n  t:\n    source: $sources.days\n    operations:\n{listed}"
        "destinations: {t: {source: $transformations.t, extension: csv, format: csv}}\n"
    )
    assert column((run_ours(document) / "t.csv").read_text().replace("\n", " ").strip(), 0) == STEADILY


def test_equal_rows_of_a_union_keep_their_order(tmp_path):
    given = "k,n " + " ".join(f"{key},{at}" for at, key in enumerate(KEYS))
    union, _ = read("union", sources=["$sources.b"])
    (announced, _) = union.columns([[Column("k"), Column("n")]] * 2)
    made, _ = read("sort_rows", columns=["k"])
    flow = Flow([announced], lambda: iter([frame_of(given)]))
    (found,) = made.run([flow], Context(tmp_path))
    assert found["n"].to_list() == STEADILY


def test_equal_rows_by_several_columns_keep_their_order(tmp_path):
    given = "k,j,n " + " ".join(f"{key},1,{at}" for at, key in enumerate(KEYS))
    assert column(sort(tmp_path, given, "k", "j")) == [str(at) for key in "abc" for at, one in enumerate(KEYS) if one == key]


def test_problems_of_sort():
    assert problems_of("sort_rows", GIVEN, columns=["-idd"]) == ["there is no column `idd` (did you mean `id`?)"]


def test_distinct_rows_keeps_the_first(tmp_path):
    given = "a,b 1,x 2,x 1,x 1,y"
    assert lines(tmp_path, "distinct_rows", given) == "a,b 1,x 2,x 1,y"
    assert lines(tmp_path, "distinct_rows", given, column="b") == "a,b 1,x 1,y"
    assert lines(tmp_path, "distinct_rows", given, columns=["a"]) == "a,b 1,x 2,x"
    assert lines(tmp_path, "distinct_rows", given, column="b", columns=["a"]) == "a,b 1,x 1,y"


def test_missing_values_are_equal_for_distinct_rows(tmp_path):
    assert column(lines(tmp_path, "distinct_rows", GIVEN, columns=["m"]), 0) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("sort_rows", {"columns": ["k", "items"]}, "columns"),
        ("distinct_rows", {"columns": ["items"]}, "columns"),
        ("distinct_rows", {}, "columns"),
        ("group_by", {"group_by_columns": ["items"], "create_columns": {"n": "count()"}}, "group_by_columns"),
        ("group_by_with_rank", {"group_by_columns": ["items"], "rank_column": "r"}, "group_by_columns"),
        ("pivot", {"rows_by": "k", "cols_by": "n", "values": "items"}, "values"),
    ],
)
def test_lists_and_mixed_values_cannot_be_compared(tmp_path, name, options, key):
    frame = pl.DataFrame([pl.Series("k", ["a"]), pl.Series("n", ["1"]), pl.Series("items", [[1]], dtype=pl.Object)])
    with pytest.raises(EtlError, match="`items` holds lists, mappings or values of several types") as raised:
        lines(tmp_path, name, frame, **options)
    assert f"`{key}`" in raised.value.where and "items: '{{value}}'" in raised.value.hint


def test_distinct_rows_of_a_table_without_columns_are_none(tmp_path):
    assert lines(tmp_path, "distinct_rows", pl.DataFrame()) == ""


def test_problems_of_distinct_rows():
    assert problems_of("distinct_rows", GIVEN, columns=["zz"]) == ["there is no column `zz` (there is id, k, m)"]
