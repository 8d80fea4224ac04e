"""What is made again, and what is not: nothing is passed that should run, and nothing runs that should not."""

import csv
import multiprocessing
import os
from pathlib import Path

import pytest

from impl.run.errors import EtlError
from impl.tabular import state
from impl.tabular.document import load
from impl.tabular.plan import Guard, Plan, Step
from impl.tabular.run import Output
from impl.tabular.spec import Problems

DOCUMENT = """\
version: 2
config:
  output_dir: ./out
  macros: "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"
  parameter_defaults: {WHO: world}
sources:
  days:
    file: days.csv
  gauges:
    file: gauges.fwf
    colspec_file: places.csv
transformations:
  mapped:
    source: $sources.days
    operations:
      - operation: map_values
        column: quality
        map_file: qualities.csv
      - operation: add_columns
        columns: {hello: "{% raw %}{% include 'hello.txt' %}{% endraw %}"}
destinations:
  one:
    source: $transformations.mapped
    template: one.jsont
    extension: jsonl
  other:
    source: $sources.gauges
    extension: jsonl
"""
FILES = {
    "days.csv": "day,quality\n1,G\n",
    "gauges.fwf": "LA1\n",
    "places.csv": "name,start,end\nid,1,3\n",
    "qualities.csv": "from,to\nG,good\n",
    "hello.txt": "hello {{ quality }}",
    "one.jsont": '{% from "part.jinja" import part %}{"day": "{{ part(day) }}", "who": "$WHO"}',
    "part.jinja": "{% macro part(x) %}{{ x }}{% endmacro %}",
}
BOTH = ["$destinations.one", "$destinations.other"]


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "earthmover.yaml").write_text(DOCUMENT)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def plan_of(folder, **more):
    """The nodes of a document with what each reads; their parts are not opened here."""
    document = load(None, variables=more.pop("variables", {}), folder=folder, **more)
    steps = {}
    for node in document.nodes:
        reads = [node.options["source"]] if "source" in node.options else []
        steps[node.ref] = Step(node.ref, node, node.spec(Problems()), None, reads, Guard())
    return Plan(document, steps, [])


def outputs(plan):
    return {step.ref: Path(plan.document.config.output_dir) / f"{step.node.name}.jsonl" for step in plan.destinations}


def run(folder, file=None, engine="1", **more):
    """As `mover run` decides: the destinations that are made."""
    file = file or folder / "state.csv"
    variables = more.get("variables", {})
    plan = plan_of(folder, **more)
    seen = state.look(plan, variables, engine)
    files = outputs(plan)
    current = state.current(state.read(file), seen, files)
    todo = [ref for ref in files if ref not in current]
    for ref in todo:
        files[ref].parent.mkdir(exist_ok=True)
        files[ref].write_text(f"{ref} {seen.fingerprints[ref]}\n")
    if todo:
        written = {ref: Output(files[ref], state.file_digest(files[ref])) for ref in todo}
        made = state.made_now(plan, seen, written, dict.fromkeys(todo, 1), folder / "out/quarantine")
        state.add(file, state.new_row(state.only(plan, todo), "*" if len(todo) == 2 else "", seen, made))
    return todo


def test_what_has_not_changed_is_not_made_again(project):
    assert run(project) == BOTH
    assert run(project) == []


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("days.csv", ["$destinations.one"]),
        ("qualities.csv", ["$destinations.one"]),
        ("hello.txt", ["$destinations.one"]),
        ("one.jsont", ["$destinations.one"]),
        ("part.jinja", ["$destinations.one"]),
        ("gauges.fwf", ["$destinations.other"]),
        ("places.csv", ["$destinations.other"]),
    ],
)
def test_a_changed_file_makes_what_is_made_of_it_and_nothing_else(project, name, made):
    run(project)
    before = (project / name).stat()
    (project / name).write_text(FILES[name].replace(FILES[name][-3], "#"))
    os.utime(project / name, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time tells nothing
    assert run(project) == made
    assert run(project) == []


@pytest.mark.parametrize(
    ("before", "after", "made"),
    [
        ("column: quality", "column: day", ["$destinations.one"]),
        ("extension: jsonl\n  other", "linearize: False\n    extension: jsonl\n  other", ["$destinations.one"]),
        ("{{ x }}{{ x }}", "{{ x }} {{ x }}", BOTH),
        ("WHO: world", "WHO: you", BOTH),
        ("version: 2", "# a remark\nversion: 2", []),
        ("output_dir: ./out", "output_dir: ./out\n  log_level: DEBUG\n  tmp_dir: /tmp", []),
        ("output_dir: ./out", "output_dir: ./out\n  compat: fixed", BOTH),
    ],
)
def test_a_changed_document_makes_what_comes_of_it_and_a_remark_nothing(project, before, after, made):
    run(project)
    assert before in DOCUMENT
    (project / "earthmover.yaml").write_text(DOCUMENT.replace(before, after, 1))
    assert run(project) == made


def test_the_order_of_added_columns_counts(project):
    text = DOCUMENT.replace("columns: {hello:", "columns: {a: 1, hello:")
    (project / "earthmover.yaml").write_text(text)
    run(project)
    (project / "earthmover.yaml").write_text(text.replace("{a: 1, ", "{").replace('raw %}"}', 'raw %}", a: 1}'))
    assert run(project) == ["$destinations.one"]


def test_what_is_set_on_the_command_line_counts(project):
    run(project)
    assert run(project, overrides=["sources.days.header_rows", "2"]) == ["$destinations.one"]
    assert run(project, params={"WHO": "you"}) == BOTH


def test_the_environment_counts_where_a_template_names_it(project):
    run(project)
    assert run(project, variables={"HOME": "/elsewhere"}) == []
    assert run(project, variables={"WHO": "sky"}) == ["$destinations.one"]


def test_the_name_of_an_included_template_may_hold_a_variable(project):
    (project / "one.jsont").write_text('{% include "${WHICH}.jinja" %}')
    (project / "a.jinja").write_text("a")
    given = {"variables": {"WHICH": "a"}}
    run(project, **given)
    assert run(project, **given) == []
    (project / "a.jinja").write_text("A")
    assert run(project, **given) == ["$destinations.one"]


def test_a_variable_ends_where_its_letters_do(project):
    (project / "one.jsont").write_text("$UNITé")
    run(project, variables={"UNIT": "mm"})
    assert run(project, variables={"UNIT": "inch"}) == ["$destinations.one"]


def test_what_macros_import_counts_for_all(project):
    text = DOCUMENT.replace('macros: "', "macros: \"{% import 'lib.jinja' as lib %}")
    (project / "earthmover.yaml").write_text(text)
    (project / "lib.jinja").write_text("{% macro f(x) %}{{ x }}{% endmacro %}")
    run(project)
    assert run(project) == []
    (project / "lib.jinja").write_text("{% macro f(x) %}({{ x }}){% endmacro %}")
    assert run(project) == BOTH


def test_a_template_whose_name_is_made_of_the_row_is_looked_for_in_each_run(project):
    (project / "one.jsont").write_text('{% include "parts/" ~ day ~ ".jinja" %}')
    run(project)
    assert run(project) == ["$destinations.one"]


def test_another_engine_makes_everything(project):
    run(project)
    assert run(project, engine="2") == BOTH


def test_an_output_that_is_missing_or_was_changed_is_made_again(project):
    run(project)
    (project / "out/one.jsonl").unlink()
    assert run(project) == ["$destinations.one"]
    with (project / "out/other.jsonl").open("a") as out:
        out.write("by hand\n")
    assert run(project) == ["$destinations.other"]
    assert run(project) == []


def test_going_back_to_what_was_is_seen_from_what_lies_there(project):
    run(project)
    (project / "days.csv").write_text("day,quality\n2,G\n")
    run(project)
    (project / "days.csv").write_text(FILES["days.csv"])
    assert run(project) == ["$destinations.one"], "the file is that of the second run"
    assert run(project) == []


def test_two_parameter_sets_with_two_folders_do_not_push_each_other_out(project):
    one = {"params": {"WHO": "a"}, "overrides": ["config.output_dir", "out_a"]}
    other = {"params": {"WHO": "b"}, "overrides": ["config.output_dir", "out_b"]}
    assert run(project, **one) == run(project, **other) == BOTH
    assert run(project, **one) == run(project, **other) == []


def test_a_remote_source_is_always_made_and_what_does_not_read_it_is_not(project):
    (project / "earthmover.yaml").write_text(DOCUMENT.replace("file: gauges.fwf", "file: https://example.org/gauges.fwf"))
    run(project)
    assert run(project) == ["$destinations.other"]


def test_a_folder_as_a_source_is_looked_at_file_by_file(project):
    (project / "parts").mkdir()
    (project / "parts/1.parquet").write_text("1")
    (project / "earthmover.yaml").write_text(DOCUMENT.replace("file: days.csv", "file: parts"))
    run(project)
    assert run(project) == []
    (project / "parts/2.parquet").write_text("2")
    assert run(project) == ["$destinations.one"]


def test_an_absent_file_that_appears_is_seen(project):
    (project / "days.csv").unlink()
    run(project)
    assert run(project) == []
    (project / "days.csv").write_text("")
    assert run(project) == ["$destinations.one"]


def test_the_peer_finds_its_columns_first_and_its_rows_stay(project):
    file = project / "state.csv"
    peer = "run_timestamp,config_hash,sources_hash,templates_hash,mappings_hash,params_hash,selector\n1.5,a,b,c,,d,*\n"
    file.write_text(peer)
    run(project)
    with file.open() as rows:
        found = list(csv.DictReader(rows))
    assert list(found[0])[:7] == peer.splitlines()[0].split(",")
    assert (found[0]["run_timestamp"], found[0]["selector"]) == ("1.5", "*")
    assert found[1]["selector"] == "*" and len(found[1]["mappings_hash"]) == 32
    with file.open("a") as rows:
        rows.write("2.5,a,b,c,,d,*\n")  # the peer again
    assert run(project) == []
    assert len(state.read(file)) == 3


@pytest.mark.parametrize("text", ["name,age\nAnn,3\n", "\xff\xfe\x00", "run_timestamp\n1\n"])
def test_a_file_that_is_no_state_file_is_an_error_and_stays_as_it_is(project, text):
    file = project / "state.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(EtlError) as error:
        run(project)
    assert "no state file" in error.value.what and "remove it" in error.value.hint
    assert file.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(("cut", "made"), [(1, []), (10, BOTH), (20, BOTH), (200, BOTH), (400, BOTH)])
def test_a_row_that_was_cut_off_is_never_a_reason_to_pass(project, cut, made):
    run(project)
    file = project / "state.csv"
    file.write_text(file.read_text()[:-cut])  # the last letter is the end of the line
    assert run(project) == made
    assert run(project) == []


def test_an_empty_state_file_is_one_without_rows(project):
    (project / "state.csv").write_text("")
    assert run(project) == BOTH
    assert run(project) == []


def _add(file, number):
    for at in range(20):
        state.add(file, {"run_timestamp": f"{number}.{at}"})


def test_runs_at_the_same_time_lose_no_rows(tmp_path):
    file = tmp_path / "state.csv"
    workers = [multiprocessing.get_context("fork").Process(target=_add, args=(file, number)) for number in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert {row["run_timestamp"] for row in state.read(file)} == {f"{n}.{at}" for n in range(4) for at in range(20)}


def test_what_was_put_aside_is_made_again_where_it_is_gone(project):
    plan = plan_of(project)
    plan.steps["$transformations.mapped"].guard.on_fail = "quarantine"
    aside = project / "out/quarantine/transformations.mapped.csv"
    aside.parent.mkdir(parents=True)
    aside.write_text("x\n")
    (project / "out/one.jsonl").write_text("y\n")
    seen = state.look(plan, {}, "1")
    file = project / "out/one.jsonl"
    files = {"$destinations.one": Output(file, state.file_digest(file))}
    made = state.made_now(plan, seen, files, {}, aside.parent)
    rows = [state.new_row(plan, "*", seen, made)]
    assert list(state.current(rows, seen, outputs(plan))) == ["$destinations.one"]
    aside.unlink()
    assert state.current(rows, seen, outputs(plan)) == {}


def test_a_file_that_is_written_while_the_plan_is_made_is_not_taken_for_what_the_plan_knows(project):
    plan = plan_of(project)
    since = (project / "one.jsont").stat().st_mtime_ns
    for name in FILES:
        os.utime(project / name, ns=(since, since))
    assert None not in state.look(plan, {}, "1", since).fingerprints.values()
    os.utime(project / "part.jinja", ns=(since, since + 1))
    seen = state.look(plan, {}, "1", since).fingerprints
    assert seen["$destinations.one"] is None and seen["$destinations.other"] is not None


def test_digests_tell_types_and_order_apart():
    values = [1, "1", True, 1.0, None, [1], [[1]], {"a": 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {1: 1}, {"1": 1}, "", [], {}]
    assert len({state.digest(one) for one in values}) == len(values)
    assert state.digest(["ab", "c"]) != state.digest(["a", "bc"])


def test_the_version_is_that_of_the_project():
    import tomllib

    settings = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    assert settings["project"]["version"] == state.VERSION
    assert state.engine().startswith(f"{state.VERSION}+")


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
def test_another_version_of_a_library_is_another_engine(monkeypatch, library):
    import importlib.metadata

    before, version = state.engine(), importlib.metadata.version
    assert state.engine() == before
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == library else version(name))
    assert state.engine() != before
