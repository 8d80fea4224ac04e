"""Fixed width, JSON, Excel, Arrow, statistics, XML, HTML, pickle. Expected values were seen in the peer's output (0.4.9)."""

import datetime as dt
import decimal
import subprocess
import sys

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import Column
from tests.tabular.peer import run_ours
from tests.tabular.test_sources_delimited import Opened, problems


@pytest.fixture
def read(tmp_path):
    """Reads `text` as a source with these options."""

    def opened(text, name, trust=False, **options):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return Opened(tmp_path, {"file": name, **options}, trust)

    return opened


@pytest.fixture
def stored(tmp_path):
    """Reads a file that the test wrote."""
    return lambda name, trust=False, **options: Opened(tmp_path, {"file": name, **options}, trust)


def texts(source):
    """The rows as the peer writes them: null is nothing."""
    return [tuple("" if value is None else str(value) for value in row) for row in source.rows()]


def test_fixed_width_is_cut_at_the_places_of_the_document(read):
    source = read(
        "001Anna   12\n002Bob\n\n003 Eve  x  \n", "a.txt", columns=["id", "name", "n"], colspecs=[[0, 3], [3, 10], [10, None]]
    )
    assert source.names() == ["id", "name", "n"]
    assert source.rows() == [("001", "Anna", "12"), ("002", "Bob", None), ("003", "Eve  x", None)]


def test_fixed_width_without_places_takes_those_that_the_first_lines_show(read):
    text = "001 Anna   12\n002 Bob    3\n\n003 Eve    NA\n"
    assert read(text, "a.fwf", columns=["id", "name", "n"]).rows() == [
        ("001", "Anna", "12"),
        ("002", "Bob", "3"),
        ("003", "Eve", None),
    ]
    assert read(text, "a.fwf", columns=["id", "name", "n", "m"]).rows()[0] == ("001", "Anna", "12", None)


def test_fixed_width_drops_the_header_and_one_more_for_each_header_row(read):
    text = "idx name   nn\n001 Anna   12\n002 Bob    3\n"
    assert texts(read(text, "a.fwf", columns=["id", "name", "n"], header_rows=0)) == [
        ("001", "Anna", "12"),
        ("002", "Bob", "3"),
    ]
    assert texts(read(text, "a.fwf", columns=["id", "name", "n"], header_rows=1)) == [("002", "Bob", "3")]


def test_fixed_width_with_fewer_names_than_columns_is_an_error_and_no_shift(read):
    with pytest.raises(EtlError, match="the lines have 3 columns and `columns` names 2"):
        read("001 Anna   12\n002 Bob    3\n", "a.fwf", columns=["id", "name"]).rows()


def test_fixed_width_reads_its_places_from_a_table(read, tmp_path):
    (tmp_path / "widths.csv").write_text("f,w\nid,3\nname,7\nn,2\n")
    (tmp_path / "places.csv").write_text("f,from,to\nid,0,3\nn,10,12\n")
    text = "001Änna   12\n002Bob    3\n".encode("latin-1")
    by_width = read(
        text,
        "a.fwf",
        colspec_file="widths.csv",
        colspec_headers={"name": "f", "width": "w"},
        encoding="latin-1",
        columns=["n", "name"],
    )
    assert by_width.rows() == [("12", "Änna"), ("3", "Bob")]
    assert by_width.source.files() == [tmp_path / "a.fwf", tmp_path / "widths.csv"]
    by_place = read(
        text,
        "a.fwf",
        colspec_file="places.csv",
        colspec_headers={"name": "f", "start": "from", "end": "to"},
        encoding="latin-1",
    )
    assert by_place.names() == ["id", "n"]
    assert by_place.rows() == [("001", "12"), ("002", "3")]


def test_what_is_wrong_with_fixed_width_is_noted(read, tmp_path):
    (tmp_path / "w.csv").write_text("f,w\nid,3\n")
    assert "needs `columns`" in problems(tmp_path, file="a.txt")[0].what
    assert (
        "`colspecs` has 1 columns and `columns` names 2"
        in problems(tmp_path, file="a", type="fixedwidth", columns=["a", "b"], colspecs=[[0, 1]])[0].what
    )
    assert "cannot hold `[3, 1]`" in problems(tmp_path, file="a.txt", columns=["a"], colspecs=[[3, 1]])[0].what
    source = read("001\n", "a.fwf", colspec_file="w.csv", colspec_headers={"name": "f", "width": "wide"})
    assert source.names() is None and "no column `wide`" in source.problems.found[0].what


def test_fixed_width_is_read_in_bounded_blocks_with_lines_over_their_ends(read, monkeypatch):
    from impl.tabular.sources import bytestream

    monkeypatch.setattr(bytestream.blocks, "__defaults__", (11,))
    monkeypatch.setattr(bytestream, "BLOCK", 11)
    lines = [f"{number:04} é{number}" for number in range(300)]
    source = read("\n".join(lines), "a.txt", columns=["n", "x"], colspecs=[[0, 4], [5, 12]])
    assert source.rows() == [(f"{number:04}", f"é{number}") for number in range(300)]


@pytest.mark.parametrize(
    ("name", "text", "options", "names", "rows"),
    [
        (
            "a.json",
            '[{"a":1,"b":"001","c":null,"d":true,"e":1.5},{"a":2,"b":"x","c":3,"d":false,"e":2}]',
            {},
            ["a", "b", "c", "d", "e"],
            [("1", "001", "", "True", "1.5"), ("2", "x", "3.0", "False", "2.0")],
        ),
        ("a.json", '{"a":{"0":1,"1":2},"b":{"0":"01","1":"02"}}', {}, ["a", "b"], [("1", "1"), ("2", "2")]),
        (
            "a.json",
            '{"r1":{"a":1,"b":"x"},"r2":{"a":2,"b":"y"}}',
            {"orientation": "index"},
            ["a", "b"],
            [("1", "x"), ("2", "y")],
        ),
        (
            "a.json",
            '{"columns":["a","b"],"data":[[1,"x"],[2,null]]}',
            {"orientation": "split"},
            ["a", "b"],
            [("1", "x"), ("2", "")],
        ),
        ("a.json", '[{"c":"1.0","d":1.0},{"c":"1e3","d":2.0}]', {}, ["c", "d"], [("1", "1"), ("1000", "2")]),
        ("a.json", '[{"date":"9999-12-31"},{"date":"2020-01-01"}]', {}, ["date"], [("9999-12-31",), ("2020-01-01",)]),
        ("a.json", '[{"a":1},{"a":2}]', {"orientation": "records"}, ["a"], [("1",), ("2",)]),
        ("a.json", '{"a":1}\n{"a":2}\n', {"orientation": "records"}, ["a"], [("1",), ("2",)]),
        (
            "a.json",
            '[{"date":"2020-01-02","m_at":1577923200,"n":{"x":1}}]',
            {},
            ["date", "m_at", "n"],
            [("2020-01-02 00:00:00", "2020-01-02 00:00:00", "{'x': 1}")],
        ),
        (
            "a.jsonl",
            '{"a":1,"b":true}\n{"a":null,"b":null,"c":"z"}\n',
            {},
            ["a", "b", "c"],
            [("1.0", "1.0", ""), ("", "", "z")],
        ),
        (
            "a.ndjson",
            '{"a":1,"n":{"x":[1,2]},"s":"10"}\n\n{"a":2,"n":{"y":null},"s":"1.50"}\n',
            {},
            ["a", "n", "s"],
            [("1", "{'x': [1, 2]}", "10.0"), ("2", "{'y': None}", "1.5")],
        ),
        (
            "a.xml",
            '<?xml version="1.0"?><r><row id="001"><n>1</n><s>x</s></row><row id="002"><n></n><s>NA</s></row></r>',
            {},
            ["id", "n", "s"],
            [("1", "1.0", "x"), ("2", "", "")],
        ),
        (
            "a.xml",
            "<r><h/><rows><row><n>1</n><b>true</b></row><row><n>2</n><b>false</b></row></rows></r>",
            {"xpath": ".//row"},
            ["n", "b"],
            [("1", "True"), ("2", "False")],
        ),
    ],
)
def test_json_and_xml_have_the_types_of_the_peer(read, name, text, options, names, rows):
    source = read(text, name, **options)
    assert source.names() is None  # only the rows tell
    assert (source.batches()[0].columns, texts(source)) == (names, rows)


def test_objects_of_json_stay_objects(read):
    assert read('[{"a":{"x":[1,2]}},{"a":[3]},{"a":null}]', "a.json").rows() == [({"x": [1, 2]},), ([3],), (None,)]


def test_listed_columns_of_a_typed_file_are_known_before_its_rows(read):
    source = read('[{"a":1,"b":2}]', "a.json", columns=["b"], optional_fields=["z"])
    assert source.source.columns() == [Column("b", "any"), Column("z", "text")]
    assert source.rows() == [(2, "")]
    with pytest.raises(EtlError, match="the source has no column `c`"):
        read('[{"a":1}]', "a.json", columns=["c"]).rows()


HTML = (
    "<html><table><tr><th>q</th></tr><tr><td>1</td></tr></table><table><thead><tr><th>id</th><th>n</th><th>s</th></tr></thead>"
    "<tbody><tr><td>001</td><td>1</td><td>NA</td></tr><tr><td>002</td><td></td><td>x</td></tr></tbody></table></html>"
)


def test_the_first_table_of_a_page_or_the_first_that_matches_is_read(read):
    assert texts(read(HTML, "a.html")) == [("1",)]
    assert texts(read(HTML, "a.html", match="002")) == [("1", "1", "NA"), ("2", "", "x")]


def test_xml_that_reads_other_files_or_grows_is_refused(read, tmp_path):
    (tmp_path / "secret").write_text("hidden")
    for definition in (f'<!ENTITY e SYSTEM "file://{tmp_path}/secret">', '<!ENTITY e "aaaa">'):
        with pytest.raises(EtlError, match="the XML defines entities"):
            read(f"<!DOCTYPE r [{definition}]><r><row><n>&e;</n></row></r>", "a.xml").rows()


def test_a_broken_file_is_an_error_that_names_it(read):
    for name in ("a.json", "a.xlsx", "a.xml", "a.parquet", "a.orc", "a.feather", "a.dta", "a.sav", "a.sas7bdat"):
        source = read("<this is not it", name)
        with pytest.raises(EtlError, match=f"the file cannot be read as .*\n.*{name}"):
            source.rows()


@pytest.fixture
def workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    rows = [
        ["id", "n", "d", "t", "b", "x", "e"],
        ["001", 1, dt.datetime(2020, 1, 2), "NA", True, 1.5, None],
        ["002", None, dt.datetime(2020, 1, 3, 4, 5, 6), None, False, 2, None],
        [3, 2, None, "z", None, "y", None],
    ]
    for row in rows:
        book.active.append(row)
    second, third = book.create_sheet("two"), book.create_sheet("three")
    for row in [["", "", "X", None], ["a", "b", "a", "b"], [1, 2, 3, 4]]:
        second.append(row)
    for row in [["title"], ["a", "b"], ["1", "x"]]:
        third.append(row)
    book.save(tmp_path / "a.xlsx")


def test_a_workbook_has_the_types_of_the_peer(workbook, stored):
    assert texts(stored("a.xlsx")) == [
        ("1", "1", "2020-01-02 00:00:00", "NA", "True", "1.5", ""),
        ("2", "", "2020-01-03 04:05:06", "", "False", "2", ""),
        ("3", "2", "", "z", "", "y", ""),
    ]


def test_a_sheet_is_chosen_and_its_header_may_have_several_lines(workbook, stored):
    two = stored("a.xlsx", sheet="two", header_rows=[0, 1])
    assert (two.batches()[0].columns, texts(two)) == (["a", "b", "X__a", "X__b"], [("1", "2", "3", "4")])
    assert stored("a.xlsx", sheet=1).batches()[0].columns == ["Unnamed: 0", "Unnamed: 1", "X", "Unnamed: 3"]
    three = stored("a.xlsx", sheet="three", header_rows=2)
    assert (three.batches()[0].columns, texts(three)) == (["a", "b"], [("1", "x")])
    with pytest.raises(EtlError, match="Worksheet named 'four' not found"):
        stored("a.xlsx", sheet="four").rows()


@pytest.fixture
def table():
    import pyarrow as pa

    return pa.table(
        {
            "i": pa.array([1, None, 3], pa.int64()),
            "j": pa.array([1, 2, 3], pa.int32()),
            "s": ["01", None, ""],
            "b": pa.array([True, None, False]),
            "f": [1.5, float("nan"), None],
            "d": pa.array([dt.date(2020, 1, 2), None, dt.date(2020, 1, 3)]),
            "ts": pa.array([dt.datetime(2020, 1, 2, 3), None, dt.datetime(2020, 1, 3, 0, 0, 0, 1000)], pa.timestamp("us")),
        }
    )


WANTED = [
    ("1.0", "1", "01", "True", "1.5", "2020-01-02", "2020-01-02 03:00:00"),
    ("", "2", "", "", "", "", ""),
    ("3.0", "3", "", "False", "", "2020-01-03", "2020-01-03 00:00:00.001000"),
]


def test_parquet_and_feather_have_the_types_of_the_peer(table, stored, tmp_path):
    from pyarrow import feather, parquet

    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    parquet.write_table(table, tmp_path / "b.parquet", write_statistics=False)
    feather.write_feather(table, str(tmp_path / "a.feather"))
    for name in ("a.parquet", "b.parquet", "a.feather"):
        assert texts(stored(name)) == WANTED
        assert stored(name).names() == ["i", "j", "s", "b", "f", "d", "ts"]


def test_dates_of_orc_are_times(table, stored, tmp_path):
    from pyarrow import orc

    orc.write_table(table, str(tmp_path / "a.orc"))
    assert texts(stored("a.orc"))[0] == ("1.0", "1", "01", "True", "1.5", "2020-01-02 00:00:00", "2020-01-02 03:00:00")


def test_other_types_of_parquet(stored, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(
        pa.table(
            {
                "z": pa.array([dt.datetime(2020, 1, 2, 3)] * 2, pa.timestamp("us", "UTC")),
                "st": [{"x": 1}, {"x": None}],
                "l": [[1, 2], None],
                "n": pa.array([decimal.Decimal("1.50")] * 2),
                "c": pa.array(["a", "b"]).dictionary_encode(),
                "y": [b"x", b"y"],
                "none": pa.nulls(2),
            }
        ),
        tmp_path / "a.parquet",
    )
    source = stored("a.parquet")
    assert texts(source)[0] == ("2020-01-02 03:00:00+00:00", "{'x': 1.0}", "[1, 2]", "1.50", "a", "b'x'", "")
    assert source.rows()[1][2] is None


def test_the_index_of_pandas_is_no_column(stored, tmp_path):
    import pandas

    pandas.DataFrame({"k": ["x", "y"], "v": [1, 2]}).set_index("k").to_parquet(tmp_path / "a.parquet")
    assert stored("a.parquet").rows() == [(1,), (2,)]


def test_a_folder_of_parquet_is_read_in_the_order_of_numbers(stored, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "parts").mkdir()
    for number in (10, 2, 1):
        parquet.write_table(pa.table({"a": [number]}), tmp_path / f"parts/part.{number}.parquet")
    (tmp_path / "parts/_SUCCESS").touch()
    source = stored("parts", type="parquet")
    assert source.rows() == [(1,), (2,), (10,)]
    assert len(source.source.files()) == 4


def test_an_empty_folder_has_no_rows(stored, tmp_path):
    (tmp_path / "parts").mkdir()
    source = stored("parts", type="parquet", columns=["a", "b"])
    assert (source.names(), source.rows()) == (["a", "b"], [])
    assert stored("parts", type="parquet").batches()[0].shape == (0, 0)


@pytest.fixture
def study():
    import pandas

    return pandas.DataFrame(
        {
            "id": ["001", "2", ""],
            "n": [1, 2, 3],
            "f": [1.5, None, 2.0],
            "t": pandas.to_datetime(["2020-01-02", None, "2020-01-03"]),
        }
    )


def test_stata_spss_and_sas_have_the_types_of_the_peer(study, stored, tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    study.to_stata(tmp_path / "a.dta", write_index=False)
    labels = {"n": {1: "one", 2: "two", 3: "three"}}
    pyreadstat.write_sav(study, str(tmp_path / "a.sav"), variable_value_labels=labels)
    pyreadstat.write_xport(study.drop(columns=["t"]), str(tmp_path / "a.xpt"), file_format_version=5)
    first, second, third = ("2020-01-02 00:00:00", "", "2020-01-03 00:00:00")
    assert texts(stored("a.dta")) == [("001", "1", "1.5", first), ("2", "2", "", second), ("", "3", "2.0", third)]
    assert texts(stored("a.sav")) == [("001", "one", "1.5", first), ("2", "two", "", second), ("", "three", "2.0", third)]
    assert texts(stored("a.xpt", type="sas")) == [("001", "1.0", "1.5"), ("2", "2.0", ""), ("", "3.0", "2.0")]


def test_a_pickle_is_only_read_where_the_document_is_trusted(study, stored, tmp_path):
    study.to_pickle(tmp_path / "a.pkl")
    (problem,) = problems(tmp_path, file="a.pkl")
    assert problem.what == "a pickle runs what its author wrote, and is not read" and "--trust" in problem.hint
    assert texts(stored("a.pkl", trust=True))[0] == ("001", "1", "1.5", "2020-01-02 00:00:00")


def test_opening_a_source_of_text_loads_no_heavy_library(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    code = (
        "import sys; from pathlib import Path; from impl.tabular.sources import open_source; from impl.tabular.spec import *\n"
        f"source = open_source(Spec(Map(file={str(tmp_path / 'a.csv')!r}), Problems(), '$sources.s'), Path)\n"
        "assert [one.name for one in source.columns()] == ['a', 'b']\n"
        "print(sorted({'polars', 'pandas', 'pyarrow', 'numpy', 'requests', 'sqlalchemy', 'lxml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_missing_library_is_named_with_how_to_install_it(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(EtlError, match=r"needs the package `pyreadstat`[\s\S]*pip install -e '\.\[tabular\]'"):
        read(b"x", "a.sav").rows()


def test_whole_numbers_with_gaps_are_planned_as_whole_and_stay_floats_in_a_union(tmp_path):
    pl.DataFrame({"n": [1, 2]}).write_parquet(tmp_path / "first.parquet")
    pl.DataFrame({"n": [3, None]}).write_parquet(tmp_path / "second.parquet")
    document = tmp_path / "earthmover.yaml"
    document.write_text(
        "version: 2\nconfig: {output_dir: output}\n"
        "sources: {first: {file: first.parquet}, second: {file: second.parquet}}\n"
        "transformations: {t: {source: $sources.first, operations: [{operation: union, sources: [$sources.second]}]}}\n"
        "destinations: {t: {source: $transformations.t, extension: csv, format: csv}}\n"
    )
    # as the peer writes it: only the table with the gap has floats
    assert (run_ours(document) / "t.csv").read_text() == "n\n1\n2\n3.0\n\n"
