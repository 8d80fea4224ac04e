"""Settings that choose: comma lists, `all`, spans of years."""

import pytest

from impl.run import wanted
from impl.run.errors import EtlError


def test_names_come_in_the_order_of_what_there_is():
    assert wanted.names("c, a", ["a", "b", "c"], "x") == ["a", "c"]
    assert wanted.names("all", ["a", "b"], "x") == ["a", "b"]


def test_a_wrong_name_names_the_nearest():
    with pytest.raises(EtlError) as caught:
        wanted.names("CCSM5", ["CCSM4", "inmcm4"], "macav2.models")
    assert caught.value.hint.startswith("did you mean `CCSM4`")
    assert "macav2.models" in caught.value.where


def test_no_name_at_all_is_an_error():
    with pytest.raises(EtlError, match="nothing is chosen"):
        wanted.names(" ", ["a"], "x")


def test_years_and_spans_make_a_sorted_list():
    assert wanted.years("2005,1998-2000", 1950, 2099, "x") == [1998, 1999, 2000, 2005]
    assert wanted.years(2005, 1950, 2099, "x") == [2005]  # YAML reads a single year as a number


@pytest.mark.parametrize("text", ["2005-2004", "1949", "2100", "next year", "", "2004-"])
def test_a_wrong_year_says_what_can_be_written(text):
    with pytest.raises(EtlError, match="not a year") as caught:
        wanted.years(text, 1950, 2099, "x")
    assert "1950 to 2099" in caught.value.hint


def test_spans_are_cut_at_the_end():
    assert list(wanted.spans(1996, 2005, 5)) == [(1996, 2000), (2001, 2005)]
    assert list(wanted.spans(2001, 2006, 5)) == [(2001, 2005), (2006, 2006)]
