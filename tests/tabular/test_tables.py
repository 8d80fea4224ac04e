"""union and join. What is expected was read from files that the peer (0.4.9) wrote for the same tables, unless a test says otherwise."""

import polars as pl
import pytest

import impl.tabular.operations  # noqa: F401
from impl.run.errors import EtlError
from impl.tabular.flow import ANY, BOOLEAN, FLOAT, INTEGER, OBJECT, STEADY, TEXT, TIME, Column, Context, Flow
from impl.tabular.operation import OPERATIONS
from impl.tabular.operations.tables import as_text, kind_of
from impl.tabular.spec import Map, Problems, SkippedError, Spec

EACH = [TEXT, INTEGER, FLOAT, BOOLEAN, TIME, OBJECT]
POSSIBLE = {ANY: EACH, OBJECT: EACH, INTEGER: [INTEGER, FLOAT], STEADY: [TEXT]}  # what may come of what was announced


def table(text):
    """`k,v a,1 b,~`: a header and rows, with blanks between them; ~ is a missing value."""
    head, *rows = [line.split(",") for line in text.split(" ")]
    return pl.DataFrame(
        {
            name: pl.Series([None if row[at] == "~" else row[at] for row in rows], dtype=pl.String)
            for at, name in enumerate(head)
        }
    )


def read(name, **options):
    """The operation, and the problems of its options."""
    problems = Problems()
    spec = Spec(Map(operation=name, **options), problems, "$transformations.t", name, 1)
    try:
        return OPERATIONS[name](spec), problems
    except SkippedError:
        return None, problems


def problems_of(name, *tables, **options):
    """What is found wrong before any row."""
    made, problems = read(name, **options)
    if made is not None:
        made.columns([[Column(one, kind_of(of[one])) for one in of.columns] for of in map(frame_of, tables)])
    return [f"{one.what}{f' ({one.hint})' if one.hint else ''}" for one in problems.found]


def frame_of(given):
    return table(given) if isinstance(given, str) else given


def result(folder, name, *tables, limit=1 << 30, size=2, again=False, **options):
    """The frame that comes out, and that it has the columns that were announced. again: the rows can be had more than once."""
    made, problems = read(name, **options)
    problems.raise_if_any()
    frames = [frame_of(one) for one in tables]
    columns = [[Column(one, kind_of(of[one])) for one in of.columns] for of in frames]
    announced = made.columns(columns)
    problems.raise_if_any()
    flows = [
        Flow(of_columns, lambda of=of: iter(list(of.iter_slices(size)) or [of]), again)
        for of, of_columns in zip(frames, columns, strict=True)
    ]
    out = list(made.run(flows, Context(folder, memory_limit=limit)))
    assert not list(folder.iterdir())
    frame = pl.concat(out)
    if announced is not None:
        assert [one.name for one in announced] == frame.columns
        assert all(kind_of(frame[one.name]) in POSSIBLE.get(one.kind, [one.kind]) for one in announced)
    return frame


def lines(folder, name, *tables, **options):
    """Header and rows as a destination writes the values: missing is empty, numbers as Python has them."""
    frame = result(folder, name, *tables, **options)
    texts = frame.with_columns(as_text(one).fill_null("") for one in frame)
    return " ".join(",".join(row) for row in [frame.columns, *texts.rows()])


def join(folder, how, left, *rights, left_key="k", right_key="k", **options):
    sources = [f"$sources.{at}" for at in range(len(rights))]
    keys = {"left_key": left_key, "right_key": right_key}
    if isinstance(left_key, list):
        keys = {"left_keys": left_key, "right_keys": right_key}
    return lines(folder, "join", left, *rights, sources=sources, join_type=how, **keys, **options)


def test_union_of_floats_and_then_true_and_false_is_of_floats(tmp_path):
    floats, truths = pl.DataFrame({"v": [2.5]}), pl.DataFrame({"v": [True, None]})
    assert lines(tmp_path, "union", floats, truths, sources=["$sources.b"]) == "v 2.5 1.0 "
    assert lines(tmp_path, "union", truths, floats, sources=["$sources.b"]) == "v True  2.5"


def test_a_join_by_lists_is_refused(tmp_path):
    frame = pl.DataFrame([pl.Series("k", [[1]], dtype=pl.Object)])
    with pytest.raises(EtlError, match="`k` holds lists, mappings or values of several types") as raised:
        join(tmp_path, "left", "k,v a,1", frame)
    assert "`right_key`" in raised.value.where


def test_union_goes_by_names_in_the_order_of_the_first_table(tmp_path):
    assert lines(tmp_path, "union", "a,b 1,x", "b,a y,2", sources=["$sources.b"]) == "a,b 1,x 2,y"


def test_union_fills_columns_that_one_table_lacks(tmp_path):
    found = lines(tmp_path, "union", "a,b 1,x", "c,b y,2", sources=["$sources.b"], fill_missing_columns=True)
    assert found == "a,b,c 1,x, ,2,y"


def test_union_of_other_columns_is_a_problem_that_names_them():
    (found,) = problems_of("union", "a,b 1,x", "b,c 1,x", sources=["$sources.b"])
    assert found == (
        "`$sources.b` has other columns than the tables before it: it lacks `a` and it has also `c` "
        "(rename or drop columns, or set `fill_missing_columns: True`)"
    )


def test_union_finds_other_columns_with_the_rows_where_columns_are_not_known_before(tmp_path):
    made, _ = read("union", sources=["$sources.b"])
    assert made.columns([None, None]) is None
    flows = [Flow(None, lambda: iter([table("a 1")])), Flow(None, lambda: iter([table("b 1")]))]
    with pytest.raises(EtlError, match="it lacks `a` and it has also `b`"):
        list(made.run(flows, Context(tmp_path)))


def test_union_of_numbers_and_text_shows_what_each_showed(tmp_path):
    counts = pl.DataFrame({"k": ["a", "b"], "n": [1, 2]})
    assert lines(tmp_path, "union", counts, "k,n b,x", sources=["$sources.b"]) == "k,n a,1 b,2 b,x"
    floats = pl.DataFrame({"k": ["c"], "n": [1e16]})
    assert lines(tmp_path, "union", counts, floats, sources=["$sources.b"]) == "k,n a,1.0 b,2.0 c,1e+16"
    found = lines(tmp_path, "union", counts, "k,id a,1", sources=["$sources.b"], fill_missing_columns=True)
    assert found == "k,n,id a,1.0, b,2.0, a,,1"


LEFT, RIGHT = "id,k,n 1,b,x 2,a,y 3,c,z 4,b,w 5,q,v", "k,n,m a,1,p b,2,q b,3,r d,4,s B,5,t"


def test_left_join_keeps_the_order_of_the_left_and_of_the_right_within(tmp_path):
    found = join(tmp_path, "left", LEFT, RIGHT)
    assert found == "id,k,n_x,n_y,m 1,b,x,2,q 1,b,x,3,r 2,a,y,1,p 3,c,z,, 4,b,w,2,q 4,b,w,3,r 5,q,v,,"


def test_right_join_keeps_the_order_of_the_right(tmp_path):
    found = join(tmp_path, "right", LEFT, RIGHT)
    assert found == "id,k,n_x,n_y,m 2,a,y,1,p 1,b,x,2,q 4,b,w,2,q 1,b,x,3,r 4,b,w,3,r ,d,,4,s ,B,,5,t"


def test_outer_join_is_sorted_by_key(tmp_path):
    found = join(tmp_path, "outer", LEFT, RIGHT)
    assert found == "id,k,n_x,n_y,m ,B,,5,t 2,a,y,1,p 1,b,x,2,q 1,b,x,3,r 4,b,w,2,q 4,b,w,3,r 3,c,z,, ,d,,4,s 5,q,v,,"


def test_inner_join_keeps_the_order_of_the_left(tmp_path):
    left, right = "k,v b,1 a,2 b,3 a,4", "k,w b,x a,y b,z c,q a,r"
    assert join(tmp_path, "inner", left, right) == "k,v,w b,1,x b,1,z a,2,y a,2,r b,3,x b,3,z a,4,y a,4,r"


def test_inner_join_with_as_many_rows_as_the_left_has_the_odd_order_of_the_peer(tmp_path):
    found = join(tmp_path, "inner", LEFT, RIGHT)
    assert found == "id,k,n_x,n_y,m 1,b,x,2,q 4,b,w,2,q 4,b,w,3,r 1,b,x,3,r 2,a,y,1,p"


def test_inner_join_of_sorted_tables_has_no_odd_order(tmp_path):
    assert join(tmp_path, "inner", "k,i a,1 b,2 c,3", "k,j a,1 a,2 c,3") == "k,i,j a,1,1 a,1,2 c,3,3"


def test_keys_of_other_names_both_stay(tmp_path):
    right = "kk,n,m a,1,p b,2,q d,4,s"
    found = join(tmp_path, "outer", "id,k,n 1,b,x 2,a,y 3,c,z", right, right_key="kk")
    assert found == "id,k,n_x,kk,n_y,m 2,a,y,a,1,p 1,b,x,b,2,q 3,c,z,,, ,,,d,4,s"


def test_a_pair_of_keys_of_one_name_and_a_pair_of_two(tmp_path):
    left, right = "k,j,v b,1,x a,2,y a,1,z", "k,i,w a,1,p b,1,q a,9,r c,1,s"
    keys = {"left_key": ["k", "j"], "right_key": ["k", "i"]}
    assert join(tmp_path, "inner", left, right, **keys) == "k,j,v,i,w b,1,x,1,q a,1,z,1,p"
    assert join(tmp_path, "outer", left, right, **keys) == "k,j,v,i,w a,1,z,1,p a,2,y,, a,,,9,r b,1,x,1,q c,,,1,s"


def test_a_key_that_is_a_common_column_of_the_other_table_gets_a_suffix(tmp_path):
    found = join(tmp_path, "inner", "k,kk,v a,1,2", "kk,k,w a,5,6", right_key="kk")
    assert found == "k_x,kk_x,v,kk_y,k_y,w a,1,2,a,5,6"


def test_several_tables_are_joined_one_after_the_other(tmp_path):
    found = join(tmp_path, "left", LEFT, RIGHT, "k,m,o a,M1,O1 b,M2,O2")
    assert found == ("id,k,n_x,n_y,m_x,m_y,o 1,b,x,2,q,M2,O2 1,b,x,3,r,M2,O2 2,a,y,1,p,M1,O1 3,c,z,,,, "
                     "4,b,w,2,q,M2,O2 4,b,w,3,r,M2,O2 5,q,v,,,,")  # fmt: skip


def test_missing_keys_match_each_other_and_come_last(tmp_path):
    # by hand, from the peer's rule that a missing key equals another
    assert join(tmp_path, "inner", "k,v ~,1 a,2", "k,w a,x ~,y") == "k,v,w ,1,y a,2,x"
    assert join(tmp_path, "outer", "k,v ~,1 b,2", "k,w a,x ~,y") == "k,v,w a,,x b,2, ,1,y"


def test_kept_columns_come_in_the_order_listed_and_keys_are_kept_too(tmp_path):
    found = join(tmp_path, "left", LEFT, RIGHT, left_keep_columns=["n", "k", "id"], right_keep_columns=["m"])
    assert found.split(" ")[:2] == ["n,k,id,m", "x,b,1,q"]
    assert join(tmp_path, "left", LEFT, RIGHT, left_keep_columns=["n"], right_keep_columns=["m"]).split(" ")[0] == "n,k,m"


def test_dropped_columns_and_a_list_of_kept_ones_that_goes_before(tmp_path):
    found = join(tmp_path, "left", "id,k,n 1,b,x", RIGHT, left_drop_columns=["n"], right_drop_columns=["n"])
    assert found == "id,k,m 1,b,q 1,b,r"
    both = join(tmp_path, "left", "id,k,n 1,a,x", RIGHT, left_keep_columns=["n"], left_drop_columns=["n"])
    assert both == "n_x,k,n_y,m x,a,1,p"


def test_whole_numbers_become_floats_where_a_row_has_no_match(tmp_path):
    counts = pl.DataFrame({"k": ["a", "b"], "n": [1, 2]})
    assert join(tmp_path, "left", counts, "k,w a,1") == "k,n,w a,1,1 b,2,"
    assert join(tmp_path, "left", "k,w a,1 c,2", counts) == "k,w,n a,1,1.0 c,2,"
    assert join(tmp_path, "left", "k,w a,1", counts) == "k,w,n a,1,1"
    assert join(tmp_path, "outer", counts, "k,w a,1 c,2") == "k,n,w a,1.0,1 b,2.0, c,,2"


def test_joins_with_an_empty_table(tmp_path):
    assert join(tmp_path, "left", "id,k 1,b", "k,m") == "id,k,m 1,b,"
    assert join(tmp_path, "outer", "id,k", "k,m b,p a,q") == "id,k,m ,a,q ,b,p"
    assert join(tmp_path, "inner", "id,k", "k,m b,p") == "id,k,m"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"left_key": "kk"}, "there is no column `kk` in the left table (did you mean `k`?)"),
        ({"left_keep_columns": ["zz"]}, "there is no column `zz` in the left table (there is id, k, n)"),
        ({"left_drop_columns": ["k"]}, "`k` is a key and cannot be dropped"),
        ({"join_type": "cross"}, "`join_type` cannot be `cross` (there is inner, left, right, outer)"),
        ({"left_keys": ["k"]}, "write either `left_key` or `left_keys`"),
        ({"left_keyz": "k"}, "there is no option `left_keyz` (did you mean `left_key`?)"),
    ],
)
def test_problems_of_a_join_are_found_before_any_row(options, problem):
    given = {"sources": ["$sources.b"], "join_type": "left", "left_key": "k", "right_key": "k"} | options
    assert problem in problems_of("join", LEFT, RIGHT, **given)


def test_a_join_that_would_make_a_column_twice_is_a_problem():
    given = {"sources": ["$sources.b"], "join_type": "inner", "left_key": "k", "right_key": "k"}
    assert problems_of("join", "k,n,n_x a,1,2", "k,n a,5", **given) == [
        "the join would make two columns `n_x` (rename or drop one of them before)"
    ]


def test_a_number_is_not_compared_with_text(tmp_path):
    counts = pl.DataFrame({"k": [1, 2]})
    with pytest.raises(EtlError, match=r"the keys `k` \(integer\) and `k` \(text\) cannot be compared"):
        join(tmp_path, "inner", counts, "k,v 1,x")
