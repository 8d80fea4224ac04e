"""Destinations: bytes that the peer (0.4.9) wrote for the same tables, and files of our own formats."""

import gzip
import json

import polars as pl
import pytest
from jinja2.utils import htmlsafe_json_dumps

from impl.run.errors import EtlError
from impl.tabular.destinations import open_destination
from impl.tabular.flow import Column, Context, Flow
from impl.tabular.spec import Map, Problems, Spec
from impl.tabular.templates import environment

ROWS = pl.DataFrame({"a": ["1", "2", "é&<"], "b": ["x", None, 'q"o']})
NOBODY = ROWS.clear()


def opened(tmp_path, name="out", macros="", template=None, variables=None, **options):
    if template is not None:
        (tmp_path / "row.jsont").write_text(template, encoding="utf-8")
        options["template"] = "row.jsont"
    written = Map({"source": "$sources.s", **options})
    written.file, written.line, written.lines = "p.yaml", 3, {key: 3 + place for place, key in enumerate(written)}
    spec = Spec(written, Problems(), f"$destinations.{name}")
    made = environment(macros, tmp_path, sandboxed=False)
    return open_destination(spec, lambda text: tmp_path / text, environment=made, variables=variables)


def write(tmp_path, *batches, columns=None, **options):
    made = opened(tmp_path, **options)
    assert made.spec.problems.found == []
    flow = Flow(columns, lambda: iter(batches))
    count = made.write(flow, tmp_path / "out", Context(folder=tmp_path, workers=1))
    assert count == sum(one.height for one in batches)
    assert [one.name for one in (tmp_path / "out").rglob("*.part")] == []
    return made.file(tmp_path / "out").read_bytes()


def problems(tmp_path, **options):
    return [one.what for one in opened(tmp_path, **options).spec.problems.found]


def test_without_a_template_a_row_is_an_object_of_texts(tmp_path):
    expected = b'{ "a": "1", "b": "x" }\n{ "a": "2", "b": "" }\n{ "a": "\\u00e9\\u0026\\u003c", "b": "q\\"o" }\n'
    assert write(tmp_path, ROWS) == expected
    assert write(tmp_path, ROWS.head(1), NOBODY, ROWS.tail(2)) == expected


@pytest.mark.parametrize("text", [*map(chr, range(130)), "\u2028", None])
def test_each_letter_is_written_as_the_template_language_writes_it(tmp_path, text):
    rows = pl.DataFrame({"a": [text, "x"], 'b "{n}"': ["", "y z"]}, schema=dict.fromkeys(["a", 'b "{n}"'], pl.String))
    written = "" if text is None else htmlsafe_json_dumps(text)[1:-1]
    lines = [f'{{ "a": "{one}", "b "{{n}}"": "{two}" }}\n' for one, two in ((written, ""), ("x", "y z"))]
    assert write(tmp_path, rows) == "".join(lines).encode()


def test_typed_cells_are_texts_and_mappings_stay_mappings(tmp_path):
    rows = pl.DataFrame({"i": [1.0, None], "d": [{"x": 1, "a": "q"}, None], "t": [True, False]})
    assert write(tmp_path, rows) == (
        b'{ "i": "1.0", "d": {"a": "q", "x": 1}, "t": "True" }\n{ "i": "", "d": "", "t": "False" }\n'
    )


def test_macros_stand_before_each_row_and_the_header(tmp_path):
    # the peer's bytes; the macros leave a line end behind
    macros = "{% macro m(x) %}<{{x}}>{% endmacro %}\n{% macro k() %}k{% endmacro %}\n"
    template = '{{b|tojson}} {{(b|tojson) + "&"}} {{ "x   y" }} {{ b[0:1] }}|{{ m(b) }}'
    footer = "{{ __row_data__.__row_data__.a }}\n"
    found = write(tmp_path, ROWS, template=template, macros=macros, header="lit{", footer=footer)
    assert found == b'lit{\n"x" "x"&amp; x y x|<x>\n\n"" ""&amp; x y |<>\n\n"q\\"o" "q\\"o"&amp; x y q|<q"o>\n\n1\n'


def test_a_literal_header_has_no_line_end_and_one_with_jinja_has(tmp_path):
    assert write(tmp_path, ROWS.head(1), template="{{a}}", header="[", footer="]") == b"[1\n]"
    assert write(tmp_path, NOBODY, ROWS.head(1), template="{{a}}", header="{{a}}{{b}}", footer="{# #}end") == b"1x\n1\nend\n"


def test_a_header_over_no_rows_has_empty_texts(tmp_path):
    found = write(tmp_path, NOBODY, template="{{a.x.y}}", header="h{{a}}[{{__row_data__.b}}]", footer="FOOT")
    assert found == b"h[]\nFOOT"
    assert write(tmp_path, NOBODY) == b""


def test_line_ends_of_a_template_stay_unless_it_is_made_linear(tmp_path):
    assert write(tmp_path, ROWS.head(2), template="{{ a }}\n-\n\n", linearize=False) == b"1\n-\n\n2\n-\n\n"
    assert write(tmp_path, ROWS.head(2), template="{{ a }}\n-\n\n") == b"1 - \n2 - \n"


def test_values_with_line_ends_and_quotes_are_written_as_they_are(tmp_path):
    rows = pl.DataFrame({"a": ["x\ny", 'a"b,c', "", "\r"]})
    assert write(tmp_path, rows, template="{{ a }}") == b'x\ny\na"b,c\n\n\r\n'


def test_variables_are_put_into_the_template(tmp_path):
    found = write(tmp_path, ROWS.head(1), template="$WHO ${WHO} $$ ${UNSET} {{ a }}", variables={"WHO": "me"})
    assert found == b"me me $ ${UNSET} 1\n"


def test_a_name_with_a_slash_makes_folders_and_none_leads_out(tmp_path):
    made = opened(tmp_path, name="sub/deep/d", extension="jsonl")
    assert made.file(tmp_path) == tmp_path / "sub/deep/d.jsonl"
    write(tmp_path, ROWS, name="sub/deep/d", extension="jsonl")
    assert (tmp_path / "out/sub/deep/d.jsonl").read_bytes().startswith(b'{ "a"')
    for name in ("../x", "/etc/x", "a/../../x", "a/"):
        assert "cannot be written to" in problems(tmp_path, name=name)[0]
    assert "cannot be written to" in problems(tmp_path, extension="x/../../../y")[0]


def test_a_link_out_of_the_output_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "else").mkdir()
    (tmp_path / "out/sub").symlink_to(tmp_path / "else")
    with pytest.raises(EtlError, match="leaves the output folder"):
        write(tmp_path, ROWS, name="sub/d")


def test_another_place_may_be_written_instead(tmp_path):
    made = opened(tmp_path)
    made.place = tmp_path / "elsewhere.jsonl"
    made.write(Flow(None, lambda: iter([ROWS])), tmp_path / "out", Context(folder=tmp_path, workers=1))
    assert made.place.read_bytes().count(b"\n") == 3


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/out").write_text("old")
    with pytest.raises(EtlError) as caught:
        write(tmp_path, ROWS.head(1), ROWS, template="{\n{{ 1 // (a|length - 3) }}}")
    assert caught.value.where == f"{tmp_path}/row.jsont, line 2, row 4: `a` = 'é&<'"
    assert [(one.name, one.read_text()) for one in (tmp_path / "out").iterdir()] == [("out", "old")]


def test_unknown_names_are_found_before_any_row_with_the_line_of_the_template(tmp_path):
    made = opened(tmp_path, template="{\n{{ a }}\n{{ bb }}\n}", header="{{ cc }}")
    made.check([Column("a"), Column("b")])
    assert [one.what for one in made.spec.problems.found] == ["there is no column `bb`", "there is no column `cc`"]
    assert made.spec.problems.found[0].where == f"{tmp_path}/row.jsont, line 3: $destinations.out"
    with pytest.raises(EtlError, match="there is no column `bb`"):
        write(tmp_path, ROWS, template="{{ bb }}")


def test_all_that_is_wrong_with_the_options_is_told(tmp_path):
    assert "cannot be read" in problems(tmp_path, template=None, schema="absent.json")[0]
    assert "cannot be read" in problems(tmp_path, footer="x", name="x", extension="y", header="", schema="no")[0]
    assert "the template is no Jinja" in problems(tmp_path, template="{{ a b }}")[0]
    assert problems(tmp_path, footer=5) == ["`footer` has to be a text"]
    assert problems(tmp_path, format="csv", header="x", template="{{a}}") == [
        "a `csv` file has no template",
        "a `csv` file has no `header`",
    ]
    assert problems(tmp_path, tempalte="x") == ["there is no option `tempalte`"]
    assert problems(tmp_path, format="parquet", compression="gzip") == ["a Parquet file is compressed inside"]


def test_files_that_decide_what_is_written_are_known(tmp_path):
    (tmp_path / "s.json").write_text("{}")
    made = opened(tmp_path, template="{{ a }}", schema="s.json")
    assert made.files == [tmp_path / "row.jsont", tmp_path / "s.json"]


def test_csv_has_a_header_and_quotes_what_needs_it(tmp_path):
    rows = pl.DataFrame({"a": ["1", "x,y", None], "f": [1.0, 1e-7, None], "d": [[1, 2], None, []]})
    assert write(tmp_path, rows.head(1), rows.tail(2), format="csv", extension="csv") == (
        b'a,f,d\n1,1.0,"[1, 2]"\n"x,y",1e-07,\n,,[]\n'
    )
    assert write(tmp_path, NOBODY, format="csv") == b"a,b\n"


def test_parquet_keeps_types_over_batches(tmp_path):
    batches = [
        pl.DataFrame({"a": ["x"], "i": [1]}),
        pl.DataFrame({"a": [None], "i": [None]}),
        pl.DataFrame({"a": ["é"], "i": [3]}),
    ]
    write(tmp_path, *batches, format="parquet", extension="parquet")
    found = pl.read_parquet(tmp_path / "out/out.parquet")
    assert found.schema == {"a": pl.String, "i": pl.Int64}
    assert found.rows() == [("x", 1), (None, None), ("é", 3)]
    write(tmp_path, NOBODY, format="parquet", extension="parquet")
    assert pl.read_parquet(tmp_path / "out/out.parquet").shape == (0, 2)


def test_json_lines_keep_types(tmp_path):
    rows = pl.DataFrame({"a": ["x\n", None], "i": [1, None], "d": [{"x": [1]}, {"x": None}]})
    lines = write(tmp_path, rows, format="jsonl").decode().splitlines()
    assert [json.loads(one) for one in lines] == rows.to_dicts()


def test_a_packed_file_has_the_same_rows_and_the_same_bytes_each_time(tmp_path):
    first = write(tmp_path, ROWS, template="{{ a }}", extension="jsonl", compression="gzip")
    assert gzip.decompress(first) == "1\n2\né&<\n".encode()
    assert (tmp_path / "out/out.jsonl.gz").read_bytes() == first
    assert write(tmp_path, ROWS, template="{{ a }}", extension="jsonl.gz", compression="gzip") == first
    assert gzip.decompress(write(tmp_path, ROWS, NOBODY, ROWS, format="csv", compression="gzip")).count(b"\n") == 7


@pytest.mark.parametrize("place", ["#/nowhere", "http://127.0.0.1:9/x.json", "other.json", "#/properties/a"])
def test_a_schema_refers_to_itself_and_nothing_is_fetched(tmp_path, place):
    (tmp_path / "s.json").write_text(json.dumps({"properties": {"a": {"$ref": place}}}))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(EtlError, match="the schema cannot be followed"):
        write(tmp_path, ROWS, schema="s.json")


def test_a_schema_of_an_odd_kind_is_told(tmp_path):
    (tmp_path / "s.json").write_text('{"$schema": 5}')
    assert "is no JSON Schema: `$schema` has to be a text" in problems(tmp_path, schema="s.json")[0]


def test_rows_are_held_against_a_schema(tmp_path):
    pytest.importorskip("jsonschema")
    (tmp_path / "s.json").write_text('{"type": "object", "properties": {"a": {"maxLength": 1}}}')
    assert write(tmp_path, ROWS.head(2), schema="s.json").count(b"\n") == 2
    with pytest.raises(EtlError) as caught:
        write(tmp_path, ROWS, schema="s.json")
    assert "too long" in caught.value.what
    assert caught.value.where.endswith("row 3, $.a")
    with pytest.raises(EtlError, match="the row is no JSON"):
        write(tmp_path, ROWS, schema="s.json", template='{"a": {{ a }}}', name="other")
    (tmp_path / "s.json").write_text('{"type": 5}')
    assert "is no JSON Schema" in problems(tmp_path, schema="s.json")[0]


def test_large_batches_are_written_in_parts_with_going_numbers(tmp_path):
    rows = pl.DataFrame({"a": [str(one) for one in range(120_001)]})
    lines = write(tmp_path, rows, rows.head(1), template="{{ __row_number__ }} {{ a }}").decode().splitlines()
    assert (lines[0], lines[120_000], lines[120_001]) == ("1 0", "120001 120000", "120002 0")
