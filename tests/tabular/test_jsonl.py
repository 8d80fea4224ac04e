"""JSON lines: read in blocks, they are what the whole-file reader makes of them, which is what the peer's pandas reads.

The whole-file reader is still there, for archives and lists; it is the answer that the blocks are compared with.
"""

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
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
    st.sampled_from(["NaN", "Infinity", "-Infinity", "1e3", "1E-7", "-0", "-0.0", "1e400", "0.1234567890123456789", "1e15", "123456789012345678.5"]),
)
texts = st.one_of(
    st.text(max_size=6).map(json.dumps),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(["1", "-2", "+3", "007", "1.0", "2.50", ".5", "1.", " 1 ", "1_0", "nan", "inf", "1e3", "-", "٣", "9007199254740993"]).map(json.dumps),
    st.integers(-(1 << 65), 1 << 65).map(lambda number: f'"{number}"'),
    st.sampled_from(['"\\ud83d"', '"\\ud83d\\ude00"', '"\\/"', '"\t"', '"\\u0000"']),
)
nested = st.recursive(
    st.one_of(plain, texts, st.sampled_from(["1.1", "0.30000000000000004", "5"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: f"[{', '.join(some)}]"),
        st.lists(st.tuples(st.sampled_from(["k", "l", "é", "]", "a b"]), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{json.dumps(key)}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
)
days = st.sampled_from(["2024-01-02", "2024-02-30", "1999-12-31", "1500-01-01", "9999-12-31", "0001-01-01", "2024-1-2", "01/02/2024", "20240102", "", "x", "Jan"])
clocks = st.sampled_from(["", "T03:04:05", " 03:04:05", "T03:04", "T03:04:05.1", "T03:04:05.123456", "T03:04:05.1234567", "T24:00:00"])
zones = st.sampled_from(["", "Z", "+00:00", " UTC"])
dates = st.tuples(days, clocks, zones).map(lambda parts: json.dumps("".join(parts)))
iso = st.tuples(st.sampled_from(["2024-01-02", "1999-12-31"]), st.sampled_from(["T03:04:05", " 03:04:05.25", ""])).map(lambda parts: json.dumps("".join(parts)))
stamps = st.one_of(
    st.sampled_from([31536000, 31536001, 1700000000, 9223372036, 9223372037, 1700000000000, 1700000000000000, 1700000000000000000, -5, 0]).map(str),
    st.integers(31_536_001, 1 << 62).map(str),
    st.sampled_from(["1700000000.0", "1700000000.5", "12.5", '"1700000000"']),
)

NAMES = ("a", "b_c", "date", "made_at", "é", "1", "a b", "", "run_time", "Timestamp", 'q"\\')


@st.composite
def files(draw):
    """Lines of objects. Most have the same keys in the same order, and the values of a column are mostly of one sort."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    sorts = {}
    for name in names:
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


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), st.sampled_from(BLOCKS))
def test_blocks_give_what_the_whole_file_gives(tmp_path_factory, text, block):
    ours, whole = both(text, block, tmp_path_factory.mktemp("both"))
    if isinstance(whole, str):
        assert isinstance(ours, str)
    else:
        assert ours == whole
