"""SQL over a lake: what it can reach, what it cannot, and what it says when it does not work."""

import pytest

from impl.run.errors import EtlError
from tests.store.conftest import COUNTY_KEY, counties, days, part


@pytest.fixture
def filled(lake):
    lake.replace("region_county", counties(), key="gis_join", geometry="geometry")
    lake.replace("macav2_county", days(2005), key=COUNTY_KEY, part=part(2005))
    return lake


def test_collections_are_joined_by_their_names(filled):
    sql = """
        select name, sum(mean_precipitation_mm) as rain_mm
        from macav2_county join region_county using (gis_join) group by name order by name
    """
    # Adams: 0 + 1 + 2; Rockbridge: 1 + 2 + 3
    assert filled.query(sql).to_pylist() == [{"name": "Adams", "rain_mm": 3.0}, {"name": "Rockbridge", "rain_mm": 6.0}]


def test_names_may_be_written_in_capitals_and_in_quotation_marks(filled):
    assert filled.query('SELECT count(*) AS n FROM "REGION_COUNTY"').to_pylist() == [{"n": 3}]


def test_a_time_without_a_zone_is_meant_in_utc(filled):
    sql = "select count(*) as n from macav2_county where timestamp = '2005-01-02' and year = 2005"
    assert filled.query(sql).to_pylist() == [{"n": 2}]


def test_what_there_is_can_be_asked_in_sql(filled):
    assert filled.query("show tables").column("name").to_pylist() == ["macav2_county", "region_county"]
    assert filled.query("describe region_county").num_rows == 4
    assert filled.query("pivot macav2_county on gis_join using sum(mean_precipitation_mm)").num_rows > 0
    assert filled.query("explain select * from region_county").num_rows > 0


@pytest.mark.parametrize(
    "sql",
    [
        "insert into region_county values (1)",
        "delete from region_county",
        "create table x as select 1",
        "copy region_county to 'x.csv'",
        "explain analyze copy region_county to 'x.csv'",
        "attach 'x.db'",
        "set threads = 1",
        "install spatial",
        "pragma database_list",
    ],
)
def test_a_query_only_reads(filled, sql):
    before = filled.facts("region_county")
    with pytest.raises(EtlError, match=r"a query reads"):
        filled.query(sql)
    assert filled.facts("region_county") == before


def test_two_statements_are_refused(filled):
    with pytest.raises(EtlError, match="the query has 2 statements"):
        filled.query("select 1; drop table x")


def test_a_query_reaches_no_files(filled, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for sql in (f"from '{secret}'", f"from read_csv('{secret}')", f"from glob('{tmp_path}/*')", f"from read_text('{secret}')"):
        with pytest.raises(EtlError, match="no files"):
            filled.query(sql)


def test_a_query_sees_no_variables_of_the_program(filled):
    rows = counties()  # DuckDB would find it by its name
    assert rows
    with pytest.raises(EtlError, match="no collection `rows`"):
        filled.query("select * from rows")


def test_an_unknown_collection_names_the_nearest(filled):
    with pytest.raises(EtlError) as caught:
        filled.query("select * from region_conty")
    assert "did you mean `region_county`" in caught.value.hint


def test_an_unknown_column_names_the_nearest_and_the_place(filled):
    with pytest.raises(EtlError) as caught:
        filled.query("select mean_precip_mm\nfrom macav2_county")
    assert caught.value.what == "there is no column `mean_precip_mm`"
    assert "did you mean `mean_precipitation_mm`" in caught.value.hint


def test_a_slip_in_the_grammar_shows_the_place(filled):
    with pytest.raises(EtlError) as caught:
        filled.query("selec * from region_county")
    assert 'syntax error at or near "selec"' in caught.value.what
    assert "^" in caught.value.where
    assert "`macav2_county`" in caught.value.hint


def test_a_value_that_cannot_be_turned_is_an_error_of_ours(filled):
    with pytest.raises(EtlError, match="Could not convert string"):
        filled.query("select cast(name as integer) from region_county")


def test_an_empty_store_says_so(lake):
    with pytest.raises(EtlError) as caught:
        lake.query("select * from region_county")
    assert "there is none yet" in caught.value.hint


def test_a_condition_that_is_wrong_is_an_error_of_ours(filled):
    with pytest.raises(EtlError, match="no column `nam`"):
        filled.read("region_county", where="nam = 'x'")
