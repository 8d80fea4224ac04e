"""What a plan knows of its nodes."""

import pytest

from impl.run.errors import EtlError
from impl.tabular import spill, state
from impl.tabular.document import load
from impl.tabular.operations import groups, tallies
from impl.tabular.plan import make_plan
from impl.tabular.run import run_plan, show
from impl.tabular.sources import bytestream

DOCUMENT = """version: 2
config: {{output_dir: ./out}}
sources:
  days: {{file: days.csv{source}}}
  schools: {{file: schools.csv}}
transformations:
  some:
    source: $sources.days{node}
    operations:
      - {{operation: filter_rows, query: "kind == 'x'", behavior: include}}
  sums:
    source: $transformations.some
    operations:
      - {{operation: group_by, group_by_columns: [school], create_columns: {{n: sum(hours)}}}}
      - {{operation: join, sources: [$sources.schools], join_type: left, left_key: school, right_key: school}}
destinations:
  sums: {{source: $transformations.sums, extension: jsonl}}
{destination}
"""


@pytest.fixture
def plan(tmp_path):
    def made(source="", node="", destination=""):
        (tmp_path / "days.csv").write_text("day,school,kind,hours,name\n1,a,x,2,n\n2,a,x,3,m\n3,b,y,4,o\n")
        (tmp_path / "schools.csv").write_text("school,city\na,A\n")
        text = DOCUMENT.format(source=source, node=node, destination=destination)
        (tmp_path / "x.yaml").write_text(text)
        return make_plan(load(tmp_path / "x.yaml", variables={}, folder=tmp_path))

    return made


def test_what_a_filter_and_a_group_by_read_is_all_that_is_wanted_of_a_source(plan, tmp_path):
    made = plan()
    assert made.columns_read() == {
        "$sources.days": {"school", "hours", "kind"},
        "$transformations.some": {"school", "hours"},
        "$sources.schools": None,
        "$transformations.sums": None,
        "$destinations.sums": frozenset(),
    }
    run_plan(made)
    assert (tmp_path / "out/sums.jsonl").read_text() == '{ "school": "a", "n": "5", "city": "A" }\n'


def test_a_selector_that_chooses_nothing_is_told_each_name_once(plan):
    with pytest.raises(EtlError, match="chooses no node") as told:
        make_plan(plan().document, "zzz")
    assert told.value.hint == "there is days, schools, some, sums"  # `sums` is a transformation and a destination


@pytest.mark.parametrize(
    "also",
    [
        {"destination": "  all: {source: $transformations.some, extension: jsonl}"},
        {"node": "\n    expect: [\"day != ''\"]"},
        {"source": ", debug: True"},
    ],
)
def test_all_columns_are_wanted_where_something_looks_at_whole_rows(plan, also):
    assert plan(**also).columns_read()["$sources.days"] is None


def test_a_node_that_is_shown_has_all_its_columns(plan):
    assert show(plan(), "$sources.days", 2).rows() == [("1", "a", "x", "2", "n"), ("2", "a", "x", "3", "m")]
    assert show(plan(), "$transformations.some", 9).columns == ["day", "school", "kind", "hours", "name"]


GUARD = "\n    require_rows: 2\n    expect: [\"hours != '3'\"]\n    on_fail: warn"


@pytest.mark.parametrize(("hours", "total"), [("4", "10"), ("4.5", "10.5")])
def test_behind_a_node_that_is_looked_at_groups_are_counted_up_and_what_fails_is_told_once(
    plan, tmp_path, monkeypatch, hours, total
):
    held = []
    made = plan(node=GUARD)
    monkeypatch.setattr(groups, "PIECE", 1)
    monkeypatch.setattr(tallies, "PIECE", 1)
    monkeypatch.setattr(bytestream, "BLOCK", 44)  # a row or two
    monkeypatch.setattr(groups, "aligned", lambda parts: held.append(parts) or spill.aligned(parts))
    (tmp_path / "days.csv").write_text(f"day,school,kind,hours,name\n1,a,x,3,n\n2,a,x,3,m\n3,a,y,9,o\n4,a,x,{hours},p\n")
    outcome = run_plan(made)
    assert (tmp_path / "out/sums.jsonl").read_text() == f'{{ "school": "a", "n": "{total}", "city": "A" }}\n'
    assert bool(held) == ("." in hours)  # a decimal number: all rows are asked for again, and held
    assert [one.split(" are ")[0] for one in outcome.warnings] == ["2 of 3 rows of $transformations.some"]
    assert outcome.counts["$transformations.some"] == 3


LIMIT = """version: 2
config: {{output_dir: ./out}}
sources:
  days: {{file: days.csv{promise}}}
transformations:
  first:
    source: $sources.days
    operations: [{{operation: lowercase_columns}}, {{operation: limit_rows, count: 1}}, {{operation: limit_rows, count: 1}}]
destinations:
  first: {{source: $transformations.first, extension: jsonl}}
"""


@pytest.fixture
def limited(tmp_path):
    def made(promise=""):
        (tmp_path / "days.csv").write_text("day\n" + "".join(f"{day}\n" for day in range(200_000)))
        (tmp_path / "x.yaml").write_text(LIMIT.format(promise=promise))
        return make_plan(load(tmp_path / "x.yaml", variables={}, folder=tmp_path))

    return made


@pytest.mark.parametrize("promise", ["expect: [\"day != '199999'\"]", "require_rows: 200001"])
def test_what_a_node_promises_is_held_where_only_its_first_rows_are_wanted(limited, tmp_path, promise):
    with pytest.raises(EtlError, match=r"200,?000 rows"):
        run_plan(limited(f", {promise}"))
    assert not (tmp_path / "out/first.jsonl").exists()
    assert show(limited(f", {promise}"), "$transformations.first", 1).rows() == [("0",)]


def test_counts_are_those_of_whole_nodes_where_they_are_asked_for(limited):
    assert run_plan(limited(), counted=True).counts["$sources.days"] == 200_000


def test_what_is_remembered_of_a_file_is_what_this_run_wrote_whoever_has_written_it_since(limited):
    plan = limited()
    seen = state.look(plan, {}, "1")
    outcome = run_plan(plan, hashed=True)
    file = outcome.written["$destinations.first"].path
    rows = [state.new_row(plan, "*", seen, state.made_now(plan, seen, outcome.written, outcome.counts, file.parent))]
    assert list(state.current(rows, seen, {"$destinations.first": file})) == ["$destinations.first"]
    file.write_text("of another run\n")  # as if it had come before the row
    rows = [state.new_row(plan, "*", seen, state.made_now(plan, seen, outcome.written, outcome.counts, file.parent))]
    assert state.current(rows, seen, {"$destinations.first": file}) == {}
