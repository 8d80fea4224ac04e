"""JSON lines: read in blocks, they are what the whole-file reader makes of them, which is what the peer's pandas reads.

The whole-file reader is still there, for archives and lists; it is the answer that the blocks are compared with.
"""

import datetime
import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impl.run.errors import EtlError
from impl.tabular.flow import Context
from impl.tabular.sources import bytestream, jsonlines, jsontokens
from impl.tabular.sources.typed import Typed
from tests.tabular.test_sources_delimited import Opened

BLOCKS = (1, 150, 4 << 20)  # bytes: each line a block of its own, some lines, all


def table(frames):
    """Names, types and values of frames of one file, all of which have to have the same columns."""
    assert len({tuple(frame.schema.items()) for frame in frames}) == 1
    rows = [frame for frame in frames if frame.height]
    columns = frames[0].columns
    return frames[0].schema, [[repr(one) for frame in rows for one in frame.get_column(name).to_list()] for name in columns]


def both(text, block, folder, **options):
    """What blocks of this size give, and what the whole file gives; an error is its text."""
    (folder / "a.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    opened = Opened(folder, {"file": "a.jsonl", **options})
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bytestream, "BLOCK", block)
        patch.setattr(jsonlines, "HELD", 0 if block < 4 << 20 else jsonlines.HELD)
        patch.setattr(jsontokens, "FEW", 2 if block < 4 << 20 else jsontokens.FEW)
        for way in (opened.source.rows, lambda *given: Typed.rows(opened.source, *given)):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                try:
                    found.append(table(list(way(folder / "a.jsonl", Context(Path(work))))))
                except EtlError as error:
                    found.append(error.what)
    return found


plain = st.sampled_from(["null", "true", "false", "0", "-1", "12", "2.5", "-0.1", "7.0", '"x"', '""', '"a b"'])
numbers = st.one_of(
    st.integers(-(1 << 63), (1 << 64) - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-1_000_000, 1_000_000, places=3).map(str),
    st.sampled_from(
        [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e3",
            "1E-7",
            "-0",
            "-0.0",
            "1e400",
            "1e99999999999",
            "-1E-99999",
            "0.1234567890123456789",
            "1e15",
            "123456789012345678.5",
        ]
    ),
)
texts = st.one_of(
    st.text(max_size=6).map(json.dumps),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        ["1", "-2", "+3", "007", "1.0", "2.50", ".5", "1.", " 1 ", "1_0", "nan", "inf", "1e3", "-", "٣", "9007199254740993"]
    ).map(json.dumps),
    st.integers(-(1 << 65), 1 << 65).map(lambda number: f'"{number}"'),
    st.sampled_from(['"\\ud83d"', '"\\ud83d\\ude00"', '"\\/"', '"\t"', '"\\u0000"']),
)
nested = st.recursive(
    st.one_of(
        plain,
        texts,
        st.sampled_from(["1.1", "0.30000000000000004", "5", "18446744073709551615", "18446744073709551616", "1e999999"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: f"[{', '.join(some)}]"),
        st.lists(st.tuples(st.sampled_from(["k", "l", "é", "]", "a b"]), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{json.dumps(key)}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
)
days = st.sampled_from(
    [
        "2024-01-02",
        "2024-02-30",
        "1999-12-31",
        "1500-01-01",
        "9999-12-31",
        "0001-01-01",
        "2024-1-2",
        "01/02/2024",
        "20240102",
        "",
        "x",
        "Jan",
    ]
)
clocks = st.sampled_from(
    ["", "T03:04:05", " 03:04:05", "T03:04", "T03:04:05.1", "T03:04:05.123456", "T03:04:05.1234567", "T24:00:00"]
)
zones = st.sampled_from(["", "Z", "+00:00", " UTC"])
dates = st.tuples(days, clocks, zones).map(lambda parts: json.dumps("".join(parts)))
iso = st.tuples(st.sampled_from(["2024-01-02", "1999-12-31"]), st.sampled_from(["T03:04:05", " 03:04:05.25", ""])).map(
    lambda parts: json.dumps("".join(parts))
)
stamps = st.one_of(
    st.sampled_from(
        [31536000, 31536001, 1700000000, 9223372036, 9223372037, 1700000000000, 1700000000000000, 1700000000000000000, -5, 0]
    ).map(str),
    st.integers(31_536_001, 1 << 62).map(str),
    st.sampled_from(["1700000000.0", "1700000000.5", "12.5", '"1700000000"']),
)

# Values of one sort, as most columns of most files have.
pure = [
    st.sampled_from(["true", "false"]),
    st.integers(-5, 5).map(str),
    st.integers(0, 1 << 62).map(str),
    st.sampled_from(["1.0", "20.0", "-3.0", "4"]),
    st.decimals(-1000, 1000, places=2).map(str),
    st.floats(0, 1).map(repr),
    st.integers(-50, 50).map(lambda number: f'"{number:03}"'),
    st.integers(10**16, 10**18).map(lambda number: f'"{number}"'),
    st.sampled_from(['"1.0"', '"2.00"', '"3"']),
    st.decimals(-1000, 1000, places=2).map(lambda number: f'"{number}"'),
    st.sampled_from(["a", "b", 'c"', "é"]).map(json.dumps),
    st.dates(min_value=datetime.date(1700, 1, 1), max_value=datetime.date(2199, 12, 31)).map(lambda day: f'"{day}"'),
    st.datetimes(min_value=datetime.datetime(1700, 1, 1), max_value=datetime.datetime(2199, 12, 31)).map(
        lambda time: f'"{time.isoformat()}"'
    ),
    st.datetimes(min_value=datetime.datetime(1980, 1, 1), max_value=datetime.datetime(2040, 1, 1)).map(
        lambda time: f'"{time.isoformat(sep=" ", timespec="seconds")}"'
    ),
    st.datetimes(min_value=datetime.datetime(1980, 1, 1), max_value=datetime.datetime(2040, 1, 1)).map(
        lambda time: f'"{time.isoformat(timespec="seconds")}Z"'
    ),
    st.datetimes(min_value=datetime.datetime(1980, 1, 1), max_value=datetime.datetime(2040, 1, 1)).map(
        lambda time: f'"{time.isoformat(timespec="milliseconds")}+00:00"'
    ),
    st.integers(31_536_001, 2_000_000_000).map(str),
    st.integers(1_000_000_000_000, 2_000_000_000_000).map(str),
    st.integers(10**15, 2 * 10**15).map(str),
    nested,
]

NAMES = ("a", "b_c", "date", "made_at", "é", "1", "a b", "", "run_time", "Timestamp", 'q"\\')


@st.composite
def files(draw):
    """Lines of objects. Most have the same keys in the same order, and the values of a column are mostly of one sort."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    sorts = {}
    for name in names:
        if draw(st.booleans()):
            gap = draw(st.sampled_from([False, False, True]))
            one = draw(st.sampled_from(pure))
            sorts[name] = st.one_of(one, st.just("null")) if gap else one
            continue
        dated = st.sampled_from([plain, dates, iso, stamps, numbers])
        kinds = draw(st.lists(st.one_of(st.sampled_from([plain, numbers, texts, nested]), dated), min_size=1, max_size=2))
        some = draw(st.lists(st.one_of(kinds), min_size=1, max_size=4))
        sorts[name] = st.sampled_from(draw(st.sampled_from([some, [*some, "null"], some[:1]])))
    lines = []
    for _ in range(draw(st.integers(0, 12))):
        here = names
        if draw(st.integers(0, 3)) == 0:
            here = draw(st.lists(st.sampled_from(names), unique=draw(st.booleans()), max_size=5))
        space = draw(st.sampled_from(["", "", " "]))
        pairs = [f"{json.dumps(name, ensure_ascii=draw(st.booleans()))}{space}:{space}{draw(sorts[name])}" for name in here]
        lines.append(draw(st.sampled_from(["", "", "", "\n", "  ", " \r\n"])) + "{" + ("," + space).join(pairs) + "}" + space)
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines) + draw(st.sampled_from(["", "\n"]))


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), st.sampled_from(BLOCKS))
def test_blocks_give_what_the_whole_file_gives(tmp_path_factory, text, block):
    ours, whole = both(text, block, tmp_path_factory.mktemp("both"))
    if isinstance(whole, str):
        assert isinstance(ours, str)
    else:
        assert ours == whole


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(files())
def test_patterns_and_python_read_the_same_tokens(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("tokens") / "a.jsonl"
    file.write_text(text)
    wanted = [jsontokens.scanned(line.strip())[0] for line in text.split("\n") if line.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontokens, "FEW", 1)  # so that the patterns get most lines
        tokens = jsontokens.Tokens(jsontokens.Lines(), file, "utf-8", "here", failed, nulls=True)
        found = [
            {name: value for name, value in row.items() if value is not None and name != jsontokens.ROW}
            for frame in tokens.frames()
            for row in frame.iter_rows(named=True)
        ]
    assert found == wanted


def failed(what, hint, place):
    """An error as a source makes it."""
    return EtlError(what, place, hint)


@pytest.fixture
def read(tmp_path):
    """Reads `text` as a source with these options."""

    def opened(text, name="a.jsonl", **options):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return Opened(tmp_path, {"file": name, **options})

    return opened


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["1", "null"], ["1.0", "None"]),
        (["1", "2.5"], ["1.0", "2.5"]),
        (["1", "2.0"], ["1", "2"]),
        (["true", "null"], ["1.0", "None"]),
        (['"007"', '"8"'], ["7", "8"]),
        (['"007"', '"8x"'], ["007", "8x"]),
        (['"1"', "null"], ["1.0", "None"]),
        (['"x"', "1", "true"], ["x", "1", "True"]),
        (['{"k": [1, null]}', "[]", '"x"'], ["{'k': [1, None]}", "[]", "x"]),
        (["NaN", '"x"'], ["None", "x"]),
    ],
)
def test_a_type_is_that_of_the_whole_column_over_blocks(read, monkeypatch, values, texts):
    monkeypatch.setattr(bytestream, "BLOCK", 1)
    monkeypatch.setattr(jsonlines, "HELD", 0)
    source = read("".join(f'{{"n": {value}}}\n' for value in values))
    assert [str(row[0]) for row in source.rows()] == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (['"2024-01-02"', '"2024-01-02T03:04:05"'], ["2024-01-02 00:00:00", "2024-01-02 03:04:05"]),
        (['"2024-01-02T03:04:05Z"', "null"], ["2024-01-02 03:04:05+00:00", "None"]),
        (['"2024-01-02T03:04:05.250+05:30"', "null"], ["2024-01-02 03:04:05.250000+05:30", "None"]),
        (['"2024-01-02"', '"9999-12-31"'], ["2024-01-02", "9999-12-31"]),  # no nanosecond is that late
        (['"2024-01-02"', '"2024-02-30"'], ["2024-01-02", "2024-02-30"]),
        (['"01/31/2024"', '"02/01/2024"'], ["2024-01-31 00:00:00", "2024-02-01 00:00:00"]),
        (["1577923200", "1577923201"], ["2020-01-02 00:00:00", "2020-01-02 00:00:01"]),
        (["1577923200000", "1577923200"], ["2020-01-02 00:00:00", "1970-01-19 06:18:43.200000"]),
        (["12", "1577923200"], ["12", "1577923200"]),  # 12 is before 1971, so these are no times
    ],
)
def test_a_date_is_one_if_all_of_the_column_are(read, monkeypatch, values, texts):
    monkeypatch.setattr(bytestream, "BLOCK", 1)
    monkeypatch.setattr(jsonlines, "HELD", 0)
    source = read("".join(f'{{"made_at": {value}}}\n' for value in values))
    assert [str(row[0]) for row in source.rows()] == texts


def test_columns_come_in_the_order_in_which_their_keys_first_came(read):
    source = read(lines({"a": 1, "c": 2}, {"c": 3, "b": 4, "a": 5}, {}, {"d": "x"}))
    assert source.batches()[0].columns == ["a", "c", "b", "d"]
    assert source.rows() == [(1, 2, None, None), (5, 3, 4, None), (None,) * 4, (None, None, None, "x")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json"])
def test_byte_order_marks_blank_lines_and_carriage_returns_are_no_rows(read, name):
    text = '\ufeff\r\n{"a": "é"}\r\n\r\n  \r\n{"a": "b\\n"}'
    source = read(text.encode(), name, orientation="records")
    assert source.rows() == [("é",), ("b\n",)]


def test_other_encodings_and_compressed_files_are_read_by_block(read, monkeypatch):
    monkeypatch.setattr(bytestream, "BLOCK", 64)
    monkeypatch.setattr(jsonlines, "HELD", 0)
    rows = [{"n": number, "é": f"ä{number}"} for number in range(100)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    wanted = [tuple(row.values()) for row in rows]
    assert read(text.encode("utf-16"), encoding="utf-16").rows() == wanted
    assert read(text.encode("latin-1"), encoding="latin-1").rows() == wanted
    assert read(gzip.compress(text.encode()), "a.jsonl.gz").rows() == wanted
    assert read(gzip.compress(text.encode()), "a.json.gz", orientation="records").rows() == wanted
    assert read(gzip.compress(json.dumps(rows).encode()), "b.json.gz", orientation="records").rows() == wanted


def test_long_keys_and_long_lines_are_read_as_others(read):
    rows = [{"a" * 200_000: 1, "text": 'a "b" ' * 2000}, {"text": "c"}, {"a" * 200_000: 2}]
    assert read(lines(*rows)).rows() == [(1, 'a "b" ' * 2000), (None, "c"), (2, None)]


def test_a_list_is_no_file_of_lines(read):
    assert read('\n [{"a": 1},\n{"a": 2}]', "a.json", orientation="records").rows() == [(1,), (2,)]


@pytest.mark.parametrize("text", ['{"n": 007}\n{"n": 8}\n', '{"n": 7},{"n": 8}\n', '{"n": 7,}\n{"n": 8}\n'])
def test_what_is_no_json_but_read_by_the_peer_is_read(read, text):
    assert read(text).rows() == [(7,), (8,)]


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("x", "the line is no JSON: Expecting value at letter 1", "one JSON object"),
        (
            '{"a": 1, b: 2}',
            "the line is no JSON: Expecting property name enclosed in double quotes at letter 10",
            "one JSON object",
        ),
        ('{"a": [1}', "the line is no JSON: Expecting ',' delimiter at letter 9", "one JSON object"),
        ('{"a": [1}, "b": 2}', "the line is no JSON: Expecting ',' delimiter at letter 9", "one JSON object"),
        ('{"a": "\\q"}', "the line is no JSON: Invalid \\escape at letter 8", "one JSON object"),
        ('{"a": 1},', "the line is no JSON: Extra data at letter 9", "no commas between"),
        ('[{"a": 1},', "the line is no JSON: Expecting value at letter 11", "type `json`"),
        ("[1, 2]", "the line is a list and not an object", "type `json`"),
        ("12", "the line is a number and not an object", "one JSON object"),
        ("null", "the line is null and not an object", "one JSON object"),
        ('"a"', "the line is a text and not an object", "one JSON object"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "the line has too many lists within one another", "check the line"),
    ],
)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_line_that_is_no_object_is_an_error_with_its_number(read, monkeypatch, block, line, what, hint):
    monkeypatch.setattr(bytestream, "BLOCK", block)
    start = lines({"a": [1], "b": 2}, {"a": [], "b": 3})
    source = read(f"{start}\n{start}{line}\n{start}")
    for wanted in (None, {"b"}):  # also where nobody reads the column
        with pytest.raises(EtlError) as caught:
            source.batches(wanted)
        assert caught.value.what == what
        assert f"a.jsonl, line 6: {line[:40]}" in caught.value.where
        assert hint in caught.value.hint


def test_a_file_that_was_cut_off_says_so(read):
    text = lines({"a": 1, "b": "some text"}, {"a": 2, "b": "more"})
    with pytest.raises(EtlError) as caught:
        read(text[:-6]).rows()
    assert caught.value.what.startswith("the line is no JSON") and "cut off" in caught.value.hint
    assert caught.value.where.endswith('a.jsonl, line 2: {"a": 2, "b": "m')


def test_a_byte_of_another_encoding_is_an_error_with_its_line(read):
    with pytest.raises(EtlError, match=r"the byte 0xe4 is not valid utf-8\n.*line 3"):
        read(b'{"a": "x"}\n\n{"a": "\xe4"}\n').rows()


def test_nothing_is_written_of_a_file_with_a_bad_last_line(tmp_path):
    from tests.tabular import peer

    (tmp_path / "a.jsonl").write_text(lines(*[{"a": number} for number in range(1000)]) + '{"a": ')
    (tmp_path / "p.yaml").write_text(
        "version: 2\nconfig: {output_dir: ./out}\nsources:\n  a: {file: a.jsonl}\n"
        "destinations:\n  d: {source: $sources.a, extension: jsonl}\n"
    )
    with pytest.raises(EtlError, match="line 1,001"):
        peer.run_ours(tmp_path / "p.yaml")
    assert not peer.files(tmp_path / "out")


def test_listed_optional_and_renamed_columns(read):
    text = lines({"a": 1, "b": "x"}, {"a": 2, "b": "y"})
    assert read(text, columns=["b", "z"], optional_fields=["z"]).rows() == [("x", ""), ("y", "")]
    renamed = read(text, columns=["n", "t"], rename_cols=True)
    assert (renamed.names(), renamed.rows()) == (["n", "t"], [(1, "x"), (2, "y")])
    with pytest.raises(EtlError, match="the source has no column `c`"):
        read(text, columns=["c"]).rows()


def test_columns_that_nobody_reads_are_left_out(read, monkeypatch):
    monkeypatch.setattr(bytestream, "BLOCK", 64)
    monkeypatch.setattr(jsonlines, "HELD", 0)
    made = []
    values_of = jsonlines.values_of
    monkeypatch.setattr(jsonlines, "values_of", lambda tokens, kind: made.append(tokens.name) or values_of(tokens, kind))
    source = read(lines(*[{"a": number, "b": {"k": number}, "c": str(number)} for number in range(50)]))
    assert [row for batch in source.batches({"c"}) for row in batch.rows()] == [(number,) for number in range(50)]
    assert made[:3] == ["a", "b", "c"] and set(made[3:]) == {"c"}  # the first frame, without rows, has all


@pytest.mark.slow
def test_a_reader_holds_one_block_and_asks_no_one_who_takes_the_whole_file(read, monkeypatch):
    import pandas

    monkeypatch.setattr(bytestream, "BLOCK", 4096)
    monkeypatch.setattr(jsonlines, "HELD", 10_000)
    monkeypatch.setattr(pandas, "read_json", None)
    rows = [
        {
            "id": number,
            "text": f"é{number}",
            "score": number / 8,
            "yes": number % 2 == 0,
            "no": None,
            "made_at": f"2024-01-02T03:04:{number % 60:02}Z",
            "list": [number, {"k": "v"}],
        }
        for number in range(5000)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    source = read(text)
    heights = [batch.height for batch in source.batches()]
    assert sum(heights) == 5000 and max(heights) * len(text) / 5000 < 2 * 4096
    kept = source.source._first(source.folder / "a.jsonl", Context(source.folder / "work"))[1]
    assert kept is None  # 5000 rows are more than is held


def test_a_small_file_is_read_once_and_a_large_one_not_looked_through_twice(read, monkeypatch):
    opened = []
    blocks = bytestream.blocks
    monkeypatch.setattr(bytestream, "blocks", lambda *given: opened.append(given[0]) or blocks(*given))
    source = read(lines({"a": 1}, {"a": "x"}))
    assert source.rows() == [(1,), ("x",)]
    assert len(opened) == 1
    assert source.rows() == [(1,), ("x",)]
    assert len(opened) == 2
    monkeypatch.setattr(jsonlines, "HELD", 0)
    (source.folder / "a.jsonl").write_text(lines({"b": 5}, {"b": 6}))  # another file: what was known does not hold
    assert (source.rows(), len(opened)) == ([(5,), (6,)], 4)
    assert (source.rows(), len(opened)) == ([(5,), (6,)], 5)


DOCUMENT = """version: 2
config: {output_dir: ./output}
sources:
  rows: {file: rows.jsonl}
  more: {file: more.json, orientation: records}
transformations:
  some:
    source: $sources.rows
    operations:
      - {operation: rename_columns, columns: {code: number}}
      - {operation: add_columns, columns: {all: "{% raw %}{{id}}/{{number}}/{{mixed}}/{{flag}}/{{made_at}}/{{score}}{% endraw %}"}}
destinations:
  rows: {source: $sources.rows, template: row.jsont, extension: txt}
  some: {source: $transformations.some, template: all.jsont, extension: txt}
  more: {source: $sources.more, template: more.jsont, extension: txt}
"""


@pytest.mark.slow
def test_the_peer_writes_the_same_of_json_lines(tmp_path, monkeypatch, capsys):
    import random

    from tests.tabular import peer

    python = peer.interpreter()
    monkeypatch.setattr(bytestream, "BLOCK", 4096)
    monkeypatch.setattr(jsonlines, "HELD", 0)
    chance = random.Random(20_240_101)
    rows = []
    for number in range(3000):
        row = {
            "id": number,
            "code": f"{chance.randrange(1000):05}",
            "name": chance.choice(["Élan", 'a "b"', "x\ny", "", None]),
            "score": chance.choice([round(chance.random() * 100, 3), chance.random(), 7, None]),
            "flag": chance.random() < 0.5,
            "tags": chance.choice([{"a": ["é", {"b": [1.5, None]}]}, {"k": chance.random()}, None]),
            "made_at": f"2024-{1 + number % 12:02}-03T04:05:{number % 60:02}Z",
            "date": chance.choice(["2024-01-31", "2023-12-01"]),
            "timestamp": 1_700_000_000 + number,
            "run_time": chance.random(),
            "mixed": chance.choice([1, "1", "x", True, 2.5]),
        }
        if number % 7 == 0:
            del row["name"], row["tags"]
        if number > 2000 and number % 5 == 0:
            row["late"] = number
        rows.append(json.dumps(row, ensure_ascii=number % 2 == 0))
    for side in ("ours", "theirs"):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
        (folder / "more.json").write_text("\n\n".join(rows[:50]))
        names = [*json.loads(rows[1]), "late"]
        (folder / "row.jsont").write_text(" | ".join(f"{name}={{{{{name}}}}}" for name in names))
        (folder / "all.jsont").write_text("{{all}} {{number}}")
        (folder / "more.jsont").write_text(" | ".join(f"{name}={{{{{name}}}}}" for name in names[:-1]))
        (folder / "earthmover.yaml").write_text(DOCUMENT)
    assert peer.run(python, [(tmp_path / "theirs/earthmover.yaml", peer.Options())], tmp_path / "said") == [0]
    theirs, ours = peer.files(tmp_path / "theirs/output"), peer.files(peer.run_ours(tmp_path / "ours/earthmover.yaml"))
    assert len(theirs) == 3 and sorted(ours) == sorted(theirs)
    for name, content in theirs.items():
        assert ours[name] == content, name
