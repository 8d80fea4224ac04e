"""group_by and group_by_with_rank. What is expected was read from files that the peer (0.4.9) wrote, unless a test says otherwise."""

import random

import numpy as np
import pandas as pd
import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import Context
from impl.tabular.operations import groups, tallies
from impl.tabular.operations.groups import sums
from impl.tabular.operations.numbers import number, numbers
from tests.tabular.test_tables import lines, problems_of, result

GIVEN = "k,j,v,s b,x,1,p a,y,2,q b,x,3,r a,z,, ,w,5,t c,x,7,u"
NUMBERS = ["min", "max", "sum", "mean", "std", "var"]


def group(folder, given, by="k", **created):
    """The lines that come out, the same whether rows are held or counted up in pieces of three."""
    options = {"group_by_columns": [by] if isinstance(by, str) else by, "create_columns": created}
    held = lines(folder, "group_by", given, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "PIECE", 3)
        patch.setattr(tallies, "PIECE", 3)
        assert lines(folder, "group_by", given, again=True, **options) == held
    return held


def all_of(column="v"):
    return {name: f"{name}({column})" for name in NUMBERS}


def test_counts(tmp_path):
    assert group(tmp_path, GIVEN, a="count()", b="size()", c="count(v)") == "k,a,b,c ,1,1,1 a,2,2,2 b,2,2,2 c,1,1,1"


def test_several_columns_are_sorted_one_after_the_other_as_text(tmp_path):
    assert group(tmp_path, GIVEN, ["k", "j"], n="count()") == "k,j,n ,w,1 a,y,1 a,z,1 b,x,2 c,x,1"
    given = "k,j,v b,2,1 b,10,1 a,z,3 b,2,9"
    assert group(tmp_path, given, ["j", "k"], n="agg(v,;)") == "j,k,n 10,b,1 2,b,1;9 z,a,3"


def test_whole_numbers_stay_whole_if_all_groups_are(tmp_path):
    given = "k,v a,1 a,2 b,3 b,4 b,5"
    assert (
        group(tmp_path, given, **all_of())
        == "k,min,max,sum,mean,std,var a,1,2,3,1.5,0.7071067811865476,0.5 b,3,5,12,4.0,1.0,1.0"
    )


def test_one_fraction_or_empty_text_makes_the_column_floats(tmp_path):
    assert group(tmp_path, "k,v a,1 a,2 b, c,2.5 d,7", **all_of()) == (
        "k,min,max,sum,mean,std,var a,1.0,2.0,3.0,1.5,0.7071067811865476,0.5 b,,,0.0,0.0,, c,2.5,2.5,2.5,2.5,, d,7.0,7.0,7.0,7.0,,"
    )


def test_the_mean_divides_by_all_rows_of_the_group(tmp_path):
    assert group(tmp_path, GIVEN, m="mean(v)", a="avg(v)") == "k,m,a ,5.0,5.0 a,1.0,1.0 b,2.0,2.0 c,7.0,7.0"
    # missing: 10, -, 7, 10, - are five rows
    given = "k,v 1,10 1,~ 1,7 1,10 1,~"
    assert group(tmp_path, given, **all_of()) == "k,min,max,sum,mean,std,var 1,7.0,10.0,27.0,5.4,1.7320508075688772,3.0"


def test_numbers_as_python_writes_them(tmp_path):
    given = "k,v a,9007199254740993 a,1.5 b,inf b,1 c,-inf c,inf d,0.30000000000000004 e,1e16 f,1e-5 g,123456789012345680"
    assert group(tmp_path, given, min="min(v)", max="max(v)", sum="sum(v)", mean="mean(v)", std="std(v)") == (
        "k,min,max,sum,mean,std a,1.5,9007199254740992.0,9007199254740994.0,4503599627370497.0,6369051672525772.0 "
        "b,1.0,inf,inf,inf, c,-inf,inf,,, d,0.3,0.3,0.3,0.3, e,1e+16,1e+16,1e+16,1e+16, f,1e-05,1e-05,1e-05,1e-05, "
        "g,1.2345678901234568e+17,1.2345678901234568e+17,1.2345678901234568e+17,1.2345678901234568e+17,"
    )


def test_large_whole_numbers_wrap_around(tmp_path):
    given = "k,v a,9223372036854775807 a,1 c,-9223372036854775808 c,-1"
    assert group(tmp_path, given, min="min(v)", sum="sum(v)", mean="mean(v)", std="std(v)") == (
        "k,min,sum,mean,std a,1,-9223372036854775808,-4.611686018427388e+18,6.521908912666392e+18 "
        "c,-9223372036854775808,9223372036854775807,4.611686018427388e+18,6.521908912666392e+18"
    )


def test_texts_of_a_group(tmp_path):
    assert group(tmp_path, GIVEN, a="agg(s)", b="agg(s,|)", c="aggregate(s,; )", d="str_min(s)", e="str_max(s)") == (
        "k,a,b,c,d,e ,t,t,t,t,t a,q,q|,q; ,,q b,pr,p|r,p; r,p,r c,u,u,u,u,u"
    ).replace("; ", "; ")


def test_json_of_a_group(tmp_path):
    given = pl.DataFrame({"k": ["a", "a"], "v": ['q"/é<\\', "2"]})
    made = {"n": "json_array_agg(v,str)", "m": "json_array_agg(v)", "o": "json_array_agg(v, str)"}
    found = result(tmp_path, "group_by", given, group_by_columns=["k"], create_columns=made)
    assert found.rows() == [("a", '["q\\"\\/\\u00e9<\\\\","2"]', '[q"/é<\\,2]', '[q"/é<\\,2]')]
    numbers = pl.DataFrame({"k": ["a", "a"], "n": [2, 3], "f": [2.5, None]})
    found = result(tmp_path, "group_by", numbers, group_by_columns=["k"], create_columns={"n": "json_array_agg(n,str)", "f": "json_array_agg(f,str)"})  # fmt: skip
    assert found.rows() == [("a", "[2,3]", "[2.5,null]")]


def test_the_sum_of_negative_noughts_is_no_negative_nought(tmp_path):
    assert (
        group(tmp_path, "k,v a,-0.0 b,-0.0 b,-0", s="sum(v)", m="mean(v)", n="min(v)")
        == "k,s,m,n a,0.0,0.0,-0.0 b,0.0,0.0,-0.0"
    )


def test_true_and_false_add_up_as_whole_numbers_and_stay_what_they_are_otherwise(tmp_path):
    given = pl.DataFrame({"k": ["a", "a", "b"], "v": [True, False, True]})
    assert (
        group(tmp_path, given, s="sum(v)", m="mean(v)", n="min(v)", x="max(v)")
        == "k,s,m,n,x a,1,0.5,False,True b,1,1.0,True,True"
    )
    given = pl.DataFrame({"k": ["a", "a", "b"], "v": [True, None, False]})
    assert group(tmp_path, given, s="sum(v)", n="min(v)", x="max(v)") == "k,s,n,x a,1.0,1.0,1.0 b,0.0,False,False"


def test_numbers_of_32_bits_are_added_up_in_32_bits(tmp_path):
    given = pl.DataFrame({"k": ["a"] * 4, "v": pl.Series([0.1, 0.7, 1.5, 2.0], dtype=pl.Float32)})
    # as numpy's float32 has it: 0.1 + 0.7 + 1.5 + 2.0, and a quarter of that
    assert group(tmp_path, given, s="sum(v)", m="mean(v)") == "k,s,m a,4.300000190734863,1.0750000476837158"


def test_rows_with_a_missing_key_are_left_out(tmp_path):
    given = "id,k,z 1,a,a 2,b,~ 3,c,c 4,a,a"
    assert group(tmp_path, given, "z", a="agg(id,;)") == "z,a a,1;4 c,3"
    assert group(tmp_path, given, ["z", "k"], a="agg(id,;)") == "z,k,a a,a,1;4 c,c,3"


def test_groups_of_numbers_and_of_the_key_itself(tmp_path):
    counts = pl.DataFrame({"k": ["a", "b", "c", "d"], "n": [2, 1, 1, 1]})
    assert group(tmp_path, counts, "n", s="sum(n)", m="str_min(k)", l="str_max(n)") == "n,s,m,l 1,3,b,1 2,2,a,2"
    assert group(tmp_path, "k,v a,1 a,2", n="agg(k)", m="str_min(k)") == "k,n,m a,aa,a"


def test_a_created_column_may_have_the_name_of_another_and_none_may_be_created(tmp_path):
    assert group(tmp_path, "k,v a,1", v="sum(v)") == "k,v a,1"
    assert group(tmp_path, "k,v b,1 a,1") == "k a b"
    assert group(tmp_path, "k,v", n="agg(v)", m="count()", s="sum(v)") == "k,n,m,s"


def test_a_column_with_a_blank_in_its_name_can_be_used(tmp_path):
    given = pl.DataFrame({"k": ["a", "a"], "a b": ["1", "2"]})  # the peer takes letters, digits and _ only
    assert group(tmp_path, given, n="sum(a b)", m="agg(a b,;)") == "k,n,m a,3,1;2"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("foo(v)", "there is no function `foo` (for `n`)"),
        ("summ(v)", "there is no function `summ` (for `n`) (did you mean `sum`?)"),
        ("hello", "`hello` of `n` is no call (write it like `agg(column, ;)` or `count()`)"),
        ("sum(vv)", "there is no column `vv` (in `sum(vv)` of `n`) (did you mean `v`?)"),
        ("str_min(x)", "there is no column `x` (in `str_min(x)` of `n`)"),
        ("sum()", "`sum()` of `n` names no column (write it like `sum(column)`)"),
        ("agg( v,;)", "`agg( v,;)` of `n` names no column (write it like `sum(column)`)"),
    ],
)
def test_problems_of_a_call_are_found_before_any_row(call, problem):
    (found,) = problems_of("group_by", "k,v a,1", group_by_columns=["k"], create_columns={"n": call})
    assert found.startswith(problem)


def test_problems_of_group_columns():
    assert problems_of("group_by", "k a", group_by_columns=["x"], create_columns={"n": "count()"})
    assert problems_of("group_by", "k a", group_by_columns=["k", "k"], create_columns={}) == ["`k` stands twice"]
    assert problems_of("group_by", "k a", group_by_columns=["k"], create_columns={"k": "count()"}) == [
        "`k` is a group column and cannot be created"
    ]
    assert problems_of("group_by", "k a", group_by_columns=[], create_columns={}) == ["`group_by_columns` names no column"]


def test_a_value_that_is_no_number_is_named_with_its_group(tmp_path):
    with pytest.raises(EtlError, match=r"a value is no number: column `v`, group k = 'b'(.|\n)*`1_000`"):
        group(tmp_path, "k,v a,1 b,1_000", n="sum(v)")
    with pytest.raises(EtlError, match="a whole number is too large: column `v`, group k = 'b'"):
        group(tmp_path, "k,v a,1 b,99999999999999999999", n="sum(v)")


def test_a_missing_value_among_texts_to_join_is_named_with_its_group(tmp_path):
    with pytest.raises(EtlError, match="a value is missing: column `v`, group k = 'b'"):
        group(tmp_path, "k,v a,1 b,~", n="agg(v)")


# what pandas 2.2.3, which the peer has, makes of a text: float, whole number; None is an error there (pandas 3 reads long ones exactly)
READ = {
    "1": (1.0, 1), " 2": (2.0, 2), "3 ": (3.0, 3), "1\n": (1.0, 1), "007": (7.0, 7), "+5": (5.0, 5), "-0": (-0.0, 0),
    "1e3": (1000.0, None), "1E5": (1e5, None), "1.": (1.0, None), ".5": (0.5, None), "1.e5": (1e5, None), "1e-400": (0.0, None),
    "inf": (float("inf"), None), "-Infinity": (float("-inf"), None), "+inf": (float("inf"), None), "INF": (float("inf"), None),
    "0.30000000000000004": (0.3, None), "4.9e-324": (5e-324, None), "8.5e-320": (8.5e-320, None), "1e23": (1e23, None),
    "123456789012345678": (123456789012345678.0, 123456789012345678), "12345678901234567890123456789.5": (1.2345678901234568e28, None),
    "-9223372036854775808": (-9.223372036854778e18, -9223372036854775808),
    "0.30329858588551006": (0.30329858588551, None), "995.5795276458257": (995.5795276458256, None),
    "0.1234567890123456789": (0.1234567890123456, None), "123456789.12345678": (123456789.12345678, None),
    "1.7976931348623157e308": (1.7976931348623157e308, None), "2.2250738585072014e-308": (2.2250738585072014e-308, None),
    **dict.fromkeys(["1_000", "nan", "NaN", "NA", "None", "true", "0x10", "  ", "1e400", "1,5", "１", "1d", "1 2", "-", "1e", "--1", ".",
                     "+", "5e", "1e5.0", "\u00a01", "99999999999999999999", "-9223372036854775809", "1.5.2", "++inf"], (None, None)),
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_a_text_is_read_as_pandas_does(text):
    floats, whole = numbers(pl.Series([text]))
    assert (floats[0], whole[0]) == READ[text]
    assert number(text) == READ[text]


def test_sums_have_the_last_digit_of_numpy():
    chance = np.random.default_rng(1)
    lengths = chance.integers(1, 400, 500)
    values = chance.normal(size=lengths.sum()) * 10.0 ** chance.integers(-8, 8, lengths.sum())
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    wanted = [np.sum(values[start : start + length]) for start, length in zip(starts, lengths, strict=True)]
    assert sums(values, starts).tolist() == wanted


def test_statistics_of_random_groups_are_those_of_pandas(tmp_path):
    chance = random.Random(5)
    makers = [
        lambda: f"{chance.uniform(-1e3, 1e3):.9f}",
        lambda: f"{chance.random():.3f}",
        lambda: "",
        lambda: str(chance.randint(-9, 9)),
    ]
    given = pl.DataFrame(
        {"k": [chance.choice("abcdef") for _ in range(2000)], "v": [chance.choice(makers)() for _ in range(2000)]}
    )
    found = result(tmp_path, "group_by", given, size=300, group_by_columns=["k"], create_columns=all_of())
    table = pd.DataFrame({"k": given["k"].to_list(), "v": given["v"].to_list()}, dtype=object)
    for key, *statistics in found.rows():
        values = pd.to_numeric(table[table.k == key].v).astype(float)
        total, deviation = values.sum(), values.std()
        assert statistics[:4] == [values.min(), values.max(), total, total / len(values)]
        assert statistics[4:] == pytest.approx([deviation, values.var()], rel=1e-14)


WHOLE = [lambda chance: str(chance.randint(-99, 99)), lambda chance: ""]
ANY_NUMBER = [*WHOLE, lambda chance: f"{chance.uniform(-9, 9):.3f}", lambda chance: "-0", lambda chance: "00000000000000000012"]


@pytest.mark.parametrize("limit", [1 << 30, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("makers", "late"), [(WHOLE[:1], None), (WHOLE, None), (ANY_NUMBER, None), (WHOLE, "0.1"), (WHOLE[:1], "-0")]
)
def test_groups_counted_up_are_those_of_rows_held(tmp_path, monkeypatch, makers, late, limit):
    """late: a value that shows only near the end that rows have to be held."""
    chance = random.Random(7)
    monkeypatch.setattr(groups, "PIECE", 200)
    monkeypatch.setattr(tallies, "PIECE", 200)
    values = [chance.choice(makers)(chance) for _ in range(3000)]
    values[2900:2901] = [late] if late else values[2900:2901]
    keys = [None if chance.random() < 0.1 else chance.choice("abé") * chance.randint(0, 99) for _ in range(3000)]
    given = pl.DataFrame({"k": keys, "v": values})
    created = {"n": "count()", "t": "str_min(v)", "T": "str_max(v)"} | {
        name: f"{name}(v)" for name in ("min", "max", "sum", "mean")
    }
    options = {"group_by_columns": ["k"], "create_columns": created, "size": 50, "limit": limit}
    held = result(tmp_path, "group_by", given, **options)
    assert held.equals(result(tmp_path, "group_by", given, again=True, **options))


def test_what_is_held_grows_with_groups_and_not_with_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tallies, "PIECE", 100)
    tally = tallies.Tally(Context(tmp_path), ["k"], [tallies.Created("s", "sum", "v")])
    piece = pl.DataFrame({"k": [str(number % 20) for number in range(100)], "v": ["3"] * 100})
    most = 0
    for _ in range(200):
        assert tally.add(piece)
        most = max(most, tally.loose + tally.merged)
    assert most <= 20 * 7  # 20 of what is merged, and 20 of each piece until there are more than 100 rows
    found = pl.concat(tally.groups(set()))
    assert found.height == 20
    assert found["s"].to_list() == [3.0 * 5 * 200] * 20  # five rows of each group in a piece, 200 pieces


def test_numbers_that_cannot_be_counted_up_are_refused(tmp_path):
    def counts(*values, function="sum"):
        tally = tallies.Tally(Context(tmp_path), ["k"], [tallies.Created("s", function, "v")])
        return tally.add(pl.DataFrame({"k": ["a"] * len(values), "v": values}))

    assert counts("1", "-2", "+3", "004", None, "")
    assert not counts("1", "2.5")  # the last digit of a sum depends on the order
    assert not counts("1", "-0")  # -0.0 if another value is missing
    assert not counts("1", "1234567890123456")  # not every such number is a float
    assert counts("9", "900000000000000", function="mean")
    assert not counts(*["900000000000000"] * 10, "")  # 9e15 is more than 2**53
    assert counts("1", "2.5", function="min")
    assert not counts("0.0", "-0.0", function="max")


def rank(folder, given, *by, column="r"):
    return lines(folder, "group_by_with_rank", given, group_by_columns=list(by), rank_column=column)


def test_rank_counts_from_nought_in_the_order_of_rows(tmp_path):
    given = "id,k 1,a 2,b 3,c 4,a 5,d"
    assert rank(tmp_path, given, "k") == "id,k,r 1,a,0 2,b,0 3,c,0 4,a,1 5,d,0"
    assert rank(tmp_path, given, "k", "id") == "id,k,r 1,a,0 2,b,0 3,c,0 4,a,0 5,d,0"
    assert rank(tmp_path, given, "k", column="id") == "id,k 0,a 0,b 0,c 1,a 0,d"
    assert rank(tmp_path, given, "k", column="k") == "id,k 1,0 2,0 3,0 4,1 5,0"


def test_rank_of_a_missing_key_is_missing_and_the_others_are_floats(tmp_path):
    assert rank(tmp_path, "id,m 1,10 2,~ 3,7 4,10", "m") == "id,m,r 1,10,0.0 2,, 3,7,0.0 4,10,1.0"


def test_problems_of_rank():
    assert problems_of("group_by_with_rank", "k a", group_by_columns=["kk"], rank_column="r") == [
        "there is no column `kk` (did you mean `k`?)"
    ]
