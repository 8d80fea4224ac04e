"""What is held in memory and what is held in files give the same rows."""

import errno

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impl.run.errors import EtlError
from impl.tabular.flow import Context
from impl.tabular.spill import Partitions, Sorter, Spool, aligned, placed
from tests.tabular.test_tables import result

TINY = 600  # bytes: after some 40 rows nothing stays in memory

texts = st.none() | st.sampled_from(["", "a", "b", "B", "é", "😀", "10", "9", "a|b"])
wholes = st.integers(-99, 99).map(str)


@st.composite
def tables(draw, least=0):
    rows = draw(st.lists(st.tuples(texts, texts, wholes), min_size=least, max_size=120))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pl.DataFrame({name: pl.Series(one, dtype=pl.String) for name, one in zip("klv", columns, strict=True)})


def both(tmp_path_factory, name, *frames, **options):
    """The result in memory and the one from files."""
    folder = tmp_path_factory.mktemp("spill")
    return (result(folder, name, *frames, limit=limit, size=7, **options) for limit in (1 << 30, TINY))


quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

OPERATIONS = [
    ("sort_rows", {"columns": ["k"]}),
    ("sort_rows", {"columns": ["-k", "l"]}),
    ("distinct_rows", {"columns": ["k", "l"]}),
    ("distinct_rows", {}),
    ("group_by_with_rank", {"group_by_columns": ["k"], "rank_column": "r"}),
    ("melt", {"id_vars": ["k"]}),
    (
        "group_by",
        {"group_by_columns": ["k", "l"], "create_columns": {"n": "count()", "s": "sum(v)", "d": "std(v)", "t": "agg(v,;)"}},
    ),
]


@pytest.mark.parametrize(("name", "options"), OPERATIONS)
@quick
@given(frame=tables())
def test_an_operation_on_files_gives_the_same_rows(tmp_path_factory, name, options, frame):
    memory, files = both(tmp_path_factory, name, frame, **options)
    assert files.equals(memory)


def test_a_full_disk_is_told_with_its_folder(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_ipc", full)
    spool = Spool(Context(tmp_path, memory_limit=TINY))
    with pytest.raises(EtlError, match="cannot be put aside: No space left on device") as raised:
        spool.add(pl.DataFrame({"k": ["a"] * 1000}))
    assert str(tmp_path) == str(raised.value.where) and "`config.tmp_dir`" in raised.value.hint


ITEMS = [[1, "x"], {"a": None}, None, "text", 2.5]  # what JSON holds in one column


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sort_rows", {"columns": ["k"]}),
        ("sort_rows", {"columns": ["n"]}),
        ("distinct_rows", {"columns": ["k"]}),
        ("group_by_with_rank", {"group_by_columns": ["k"], "rank_column": "r"}),
        ("melt", {"id_vars": ["k", "items"]}),
        ("group_by", {"group_by_columns": ["k"], "create_columns": {"t": "agg(items,;)"}}),
        ("map_values", {"column": "k", "mapping": {"a": 1, "b": 2}}),
    ],
)
def test_lists_and_mappings_go_to_files_too(tmp_path_factory, name, options):
    given = [one for one in ITEMS if one is not None] if name == "group_by" else ITEMS
    rows = [(str("ab"[at % 2]), at % 7, given[at % len(given)]) for at in range(100)]
    frame = pl.DataFrame([pl.Series("k", [k for k, _, _ in rows]), pl.Series("n", [n for _, n, _ in rows]),
                          pl.Series("items", [one for _, _, one in rows], dtype=pl.Object)])  # fmt: skip
    memory, files = both(tmp_path_factory, name, frame, **options)
    assert files.to_dicts() == memory.to_dicts()
    assert name == "group_by" or memory["items"].to_list()[:2] == ITEMS[:2] or name == "sort_rows"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["left", "right", "outer"])
@quick
@given(left=tables(), right=tables())
def test_a_join_on_files_gives_the_same_rows(tmp_path_factory, how, left, right):
    options = {"sources": ["$sources.b"], "join_type": how, "left_keys": ["k", "l"], "right_keys": ["k", "l"]}
    memory, files = both(tmp_path_factory, "join", left, right, **options)
    assert files.equals(memory)


@pytest.mark.slow
@quick
@given(left=tables(), right=tables())
def test_an_inner_join_on_files_gives_the_same_rows(tmp_path_factory, left, right):
    options = {"sources": ["$sources.b"], "join_type": "inner", "left_key": "k", "right_key": "k"}
    memory, files = both(tmp_path_factory, "join", left, right, **options)
    if memory.height == left.height:  # the order of the peer is odd then, and only kept in memory
        memory, files = memory.sort(memory.columns), files.sort(files.columns)
    assert files.equals(memory)


@quick
@given(frame=tables())
def test_a_pivot_on_files_gives_the_same_rows(tmp_path_factory, frame):
    frame = frame.unique(["k", "l"], keep="first", maintain_order=True)
    memory, files = both(tmp_path_factory, "pivot", frame, rows_by="k", cols_by="l", values="v")
    assert files.equals(memory)


def many(rows=5000):
    chance = np.random.default_rng(2)
    keys = chance.choice(np.array(["a", "b", "zz", "é", None, *map(str, range(40))], dtype=object), rows)
    return pl.DataFrame({"k": pl.Series(keys.tolist(), dtype=pl.String), "i": range(rows)})


@pytest.mark.parametrize("descending", [False, True])
def test_many_runs_are_merged_in_rounds_and_equal_rows_keep_their_order(tmp_path, descending):
    frame = many()
    sorter = Sorter(Context(tmp_path, memory_limit=1000), ["k"], [descending])
    for batch in frame.iter_slices(77):
        sorter.add(batch)
    assert len(sorter.runs) > 24
    wanted = sorted(frame.rows(), key=lambda row: row[0] or "", reverse=descending)
    assert pl.concat(list(sorter)).rows() == [one for one in wanted if one[0]] + [one for one in wanted if not one[0]]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_parts_of_two_tables_have_the_same_keys_and_keep_the_order(tmp_path):
    frame = many()
    left, right = (Partitions(Context(tmp_path, memory_limit=4000), ["k"]) for _ in range(2))
    for batch in frame.iter_slices(100):
        left.add(batch)
    right.add(frame.head(10))  # small enough to stay in memory by itself
    found, seen = [], set()
    for one, other in aligned([left, right]):
        assert set(other["k"]) <= set(one["k"])
        assert not seen & set(one["k"])
        seen |= set(one["k"])
        for key in set(one["k"]):
            assert one.filter(pl.col("k").eq_missing(key))["i"].is_sorted()
        found.append(one)
    assert len(found) > 10
    assert sorted(pl.concat(found)["i"]) == list(range(5000))
    assert not list(tmp_path.iterdir())


def test_a_spool_is_read_again_and_rows_can_be_placed(tmp_path):
    frame, context = many(), Context(tmp_path, memory_limit=4000)
    spool = Spool(context)
    for batch in frame.iter_slices(100):
        spool.add(batch)
    assert len(list(tmp_path.iterdir())) == 1
    for _ in range(2):
        assert pl.concat(list(spool)).equals(frame)
    backwards = np.arange(4999, -1, -1)
    assert pl.concat(list(placed(spool, backwards, context))).equals(frame.reverse())
    assert not list(tmp_path.iterdir())


def test_files_are_removed_when_a_reader_stops_early(tmp_path):
    frame, context = many(), Context(tmp_path, memory_limit=4000)
    sorter = Sorter(context, ["k"])
    for batch in frame.iter_slices(100):
        sorter.add(batch)
    rows = iter(sorter)
    next(rows)
    rows.close()
    assert not list(tmp_path.iterdir())
