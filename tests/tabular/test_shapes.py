"""melt and pivot. What is expected was read from files that the peer (0.4.9) wrote for the same tables, unless a test says otherwise."""

import polars as pl
import pytest

from impl.run.errors import EtlError
from tests.tabular.test_tables import lines, problems_of

WIDE = "id,x,y,z 1,a,b,c 2,d,,f"
LONG = "id,j,c,v 2,x,B,1 1,y,A,2 1,y,B,3 10,x,A,4 2,x,a,5"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"id_vars": "id", "value_vars": ["z", "x"]}, "id,melt_variable,melt_value 1,z,c 2,z,f 1,x,a 2,x,d"),
        ({"id_vars": ["id"]}, "id,melt_variable,melt_value 1,x,a 2,x,d 1,y,b 2,y, 1,z,c 2,z,f"),
        ({"value_vars": ["z", "x"]}, "melt_variable,melt_value z,c z,f x,a x,d"),
        ({}, "melt_variable,melt_value id,1 id,2 x,a x,d y,b y, z,c z,f"),
        ({"id_vars": [], "value_vars": []}, "melt_variable,melt_value id,1 id,2 x,a x,d y,b y, z,c z,f"),
        ({"id_vars": ["id"], "value_vars": []}, "id,melt_variable,melt_value"),
        ({"id_vars": ["id", "x"], "value_vars": "y", "var_name": "w", "value_name": "v"}, "id,x,w,v 1,a,y,b 2,d,y,"),
        ({"id_vars": ["id", "x"], "value_vars": ["x", "y"]}, "id,x,melt_variable,melt_value 1,a,y,b 2,d,y,"),
        ({"id_vars": ["id"], "value_vars": ["x", "x"]}, "id,melt_variable,melt_value 1,x,a 2,x,d"),
        ({"id_vars": ["id"], "value_vars": ["y"], "var_name": "id"}, "id,melt_value y,b y,"),
        ({"id_vars": ["id"], "value_vars": ["y"], "var_name": "v", "value_name": "v"}, "id,v 1,y 2,y"),
    ],
)
def test_melt(tmp_path, options, expected):
    assert lines(tmp_path, "melt", WIDE, size=1, **options) == expected


def test_melt_of_whole_numbers_and_floats_gives_floats(tmp_path):
    given = pl.DataFrame({"k": ["a", "b"], "n": [2, 1], "s": [2.5, 2.0]})
    assert lines(tmp_path, "melt", given, id_vars="k") == "k,melt_variable,melt_value a,n,2.0 b,n,1.0 a,s,2.5 b,s,2.0"


def test_melt_of_numbers_beside_true_and_false_makes_numbers_of_them(tmp_path):
    given = pl.DataFrame({"k": ["a", "b"], "n": [2, 3], "t": [True, False]})
    assert lines(tmp_path, "melt", given, id_vars="k") == "k,melt_variable,melt_value a,n,2 b,n,3 a,t,1 b,t,0"
    given = pl.DataFrame({"k": ["a", "b"], "t": [True, False], "s": [2.5, 2.0]})
    assert lines(tmp_path, "melt", given, id_vars="k") == "k,melt_variable,melt_value a,t,1.0 b,t,0.0 a,s,2.5 b,s,2.0"


def test_melt_of_true_and_false_alone_beside_text_or_with_one_missing_leaves_them(tmp_path):
    given = pl.DataFrame({"t": [True, False], "s": ["x", "y"]})
    assert lines(tmp_path, "melt", given) == "melt_variable,melt_value t,True t,False s,x s,y"
    given = pl.DataFrame({"t": [True, False], "s": [None, True]})
    assert lines(tmp_path, "melt", given) == "melt_variable,melt_value t,True t,False s, s,True"
    given = pl.DataFrame({"t": [True, None], "n": [1, 2], "s": [0.5, 2.0]})
    assert lines(tmp_path, "melt", given, size=1) == "melt_variable,melt_value t,True t, n,1 n,2 s,0.5 s,2.0"


def test_melt_of_a_table_without_rows(tmp_path):
    assert lines(tmp_path, "melt", "id,x", id_vars="id") == "id,melt_variable,melt_value"


def test_problems_of_melt():
    assert problems_of("melt", WIDE, id_vars=["idd"]) == ["there is no column `idd` (did you mean `id`?)"]
    assert problems_of("melt", WIDE, id_vars=["id"], value_name="x") == [
        "`value_name` cannot be `x`, as there is a column of this name"
    ]


def pivot(folder, given, rows_by="id", cols_by="c", values="v", **options):
    return lines(folder, "pivot", given, rows_by=rows_by, cols_by=cols_by, values=values, **options)


def test_pivot_sorts_rows_and_columns_by_code_points(tmp_path):
    assert pivot(tmp_path, LONG) == "id,A,B,a 1,2,3, 10,4,, 2,,1,5"


def test_pivot_by_several_columns_sorts_them_as_one_text(tmp_path):
    assert pivot(tmp_path, LONG, ["id", "j"]) == "id,j,A,B,a 10,x,4,, 1,y,2,3, 2,x,,1,5"
    assert pivot(tmp_path, LONG, ["j", "id"]) == "j,id,A,B,a x,10,4,, x,2,,1,5 y,1,2,3,"


def test_pivot_splits_a_value_with_a_bar_as_the_peer_does(tmp_path):
    assert pivot(tmp_path, "id,j,c,v a|b,x,B,1 a,b|x,C,2", ["id", "j"]) == "id,j,B,C a,b|x,1,2"


def test_pivot_with_missing_values(tmp_path):
    given = "id,k,m,z 1,a,10,a 2,b,~,~ 3,c,7,c 4,a,10,a 5,d,~,~"
    assert pivot(tmp_path, given, "id", "k", "m") == "id,a,b,c,d 1,10,,, 2,,,, 3,,,7, 4,10,,, 5,,,,"
    assert pivot(tmp_path, given, "m", "id", "k") == "m,1,2,3,4,5 10,a,,,a, 7,,,c,,"
    assert pivot(tmp_path, given, "id", "m", "k") == "id,10,7 1,a, 2,, 3,,c 4,a, 5,,"
    assert pivot(tmp_path, given, ["z", "m"], "id", "k") == "z,m,1,2,3,4,5 a,10,a,,,a, c,7,,,c,, nan,nan,,b,,,d"


def test_pivot_of_whole_numbers_gives_floats_where_one_is_missing(tmp_path):
    full = pl.DataFrame({"id": ["1", "1", "2", "2"], "c": ["a", "b", "a", "b"], "v": [1, 2, 3, 4]})
    assert pivot(tmp_path, full) == "id,a,b 1,1,2 2,3,4"
    assert pivot(tmp_path, full.head(3)) == "id,a,b 1,1,2.0 2,3,"


def test_pivot_without_rows_has_the_columns_of_its_rows_only(tmp_path):
    assert pivot(tmp_path, "id,c,v") == "id"


def test_pivot_with_two_rows_in_one_place_names_them(tmp_path):
    with pytest.raises(EtlError, match="several rows have the same place: id = '1', c = 'b'"):
        pivot(tmp_path, "id,c,v 1,a,1 1,b,1 1,b,1")


def test_pivot_with_a_value_called_like_the_column_of_rows(tmp_path):
    with pytest.raises(EtlError, match="a value of `c` is called like the column of `rows_by`"):
        pivot(tmp_path, "id,c,v 1,id,5 2,b,6")
    # of several columns the peer keeps the column of the rows
    assert pivot(tmp_path, "id,j,c,v 1,x,id,5 2,y,b,6", ["id", "j"]) == "id,j,b 1,x, 2,y,6"


def test_problems_of_pivot():
    assert problems_of("pivot", LONG, rows_by="id", cols_by="cc", values="v") == ["there is no column `cc` (did you mean `c`?)"]
    assert problems_of("pivot", LONG, cols_by="c", values="v") == ["`rows_by` is missing (write `rows_by:`)"]
    assert problems_of("pivot", LONG, rows_by=["id"], cols_by="c", values="id") == ["`id` stands in `rows_by` and in `values`"]
