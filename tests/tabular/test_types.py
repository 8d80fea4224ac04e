"""Types that a destination asks for."""

import datetime

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.document import load
from impl.tabular.plan import make_plan
from impl.tabular.run import run_plan
from impl.tabular.types import typed


def failed(what, row, value):
    return EtlError(what, f"row {row}: {value}")


def test_texts_become_what_is_asked_for_and_empty_ones_nothing():
    batch = pl.DataFrame({"i": [" 7", "+8", "-9", ""], "f": ["1.5", "2", "1e3", None], "b": ["Yes", "false", "0", ""]})
    made = typed(batch, {"i": "integer", "f": "float", "b": "boolean"}, 0, failed)
    assert made.rows() == [(7, 1.5, True), (8, 2.0, False), (-9, 1000.0, False), (None, None, None)]
    days = typed(
        pl.DataFrame({"d": ["2010-04-01"], "t": ["2010-04-01T12:30:00+02:00"]}), {"d": "date", "t": "timestamp"}, 0, failed
    )
    assert days.rows() == [(datetime.date(2010, 4, 1), datetime.datetime(2010, 4, 1, 10, 30, tzinfo=datetime.timezone.utc))]


@pytest.mark.parametrize(
    ("wanted", "text"), [("integer", "1.5"), ("float", "abc"), ("boolean", "maybe"), ("date", "1 April"), ("timestamp", "x")]
)
def test_a_text_of_no_such_type_is_named_with_its_row(wanted, text):
    with pytest.raises(EtlError, match=f"`a` is no {wanted}") as caught:
        typed(pl.DataFrame({"a": ["", text]}), {"a": wanted}, 10, failed)
    assert caught.value.where == f"row 12: {text}"


def document(tmp_path, types):
    (tmp_path / "in.csv").write_text("name,people\nA,7\nB,\nC,8\n")
    text = f"""version: 2
sources:
  a: {{file: in.csv}}
destinations:
  b:
    source: $sources.a
    format: parquet
    extension: parquet
    types: {types}
"""
    (tmp_path / "x.yaml").write_text(text)
    return load(tmp_path / "x.yaml", variables={}, folder=tmp_path)


def test_a_document_writes_parquet_with_types(tmp_path):
    outcome = run_plan(make_plan(document(tmp_path, "{people: integer}")))
    [file] = outcome.written.values()
    assert pl.read_parquet(file.path).to_dict(as_series=False) == {"name": ["A", "B", "C"], "people": [7, None, 8]}
    assert outcome.counts == {"$sources.a": 3, "$destinations.b": 3}


def test_a_type_or_column_that_there_is_not_is_a_problem_before_any_row(tmp_path):
    with pytest.raises(EtlError) as caught:
        make_plan(document(tmp_path, "{peple: integr}"))
    said = str(caught.value)
    assert "there is no type `integr` (of `peple`) (did you mean `integer`?)" in said
    assert "there is no column `peple` (did you mean `people`?)" in said


def test_an_error_while_rows_flow_names_the_line_of_the_document(tmp_path):
    with pytest.raises(EtlError, match="`name` is no integer") as caught:
        run_plan(make_plan(document(tmp_path, "{name: integer}")))
    assert caught.value.where == "x.yaml, line 9: $destinations.b, `types`, row 1: `A`"
    assert not (tmp_path / "b.parquet").exists()
