"""The command `mover`, as it is called: exit codes, what is written, what is said."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from impl.tabular.command import STARTER, main

ROOT = Path(__file__).resolve().parents[2]
# Written by the peer for the starter.
COUNTIES = """\
{ "county": "Boulder", "days": "2", "most_mm": "3.5", "gauges": "BO1;BO1" }
{ "county": "Larimer", "days": "2", "most_mm": "12.4", "gauges": "LA1;LA1" }
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(STARTER, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WET_FROM", raising=False)
    return folder


def change(file, before, after):
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_run_writes_what_the_peer_writes(project, capsys):
    assert main(["run"]) == 0
    assert (project / "output/counties.jsonl").read_text() == COUNTIES
    assert (project / "output/days.jsonl").read_bytes() == (STARTER / "expected/days.jsonl").read_bytes()
    assert "[+] $destinations.counties  2 rows" in capsys.readouterr().err


def test_without_a_command_it_runs_and_warns(project, capsys):
    assert main([]) == 0
    assert "warning: no command was given" in capsys.readouterr().err


def test_what_is_odd_is_told_beside_what_is_wrong(project, capsys):
    change(project / "earthmover.yaml", 'to_format: "%Y-%m-%d"', 'to_format: "{{day}}"')
    change(project / "earthmover.yaml", "operation: group_by\n", "operation: grup_by\n")
    assert main(["run"]) == 255
    said = capsys.readouterr().err
    assert "`day` is undefined, so nothing is written there" in said
    assert "there is no operation `grup_by`" in said and "did you mean `group_by`?" in said


def test_a_selector_is_looked_for_in_the_full_name_as_in_the_peer(project, capsys):
    def made(selector):
        shutil.rmtree("output", ignore_errors=True)
        return main(["run", "-k", "-s", selector]), sorted(one.name for one in Path("output").rglob("*"))

    assert made("destinations.count*") == (0, ["counties.jsonl"])
    assert made("$destinations.counties") == (0, ["counties.jsonl"])  # our own: the peer takes the `$` for an end
    assert made("destinations") == (0, ["counties.jsonl", "days.jsonl"])
    assert made("nations, nobody") == (0, ["counties.jsonl", "days.jsonl"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "-s", "["], "the selector cannot be read: unterminated character set"),
        (["run", "-p", '{"PASSWORD": "pass-word-1"'], "`--params` is no JSON"),
        (["run", "-p", '"pass-word-1"'], "`--params` is no JSON object"),
        (["run", "--set", "sources.days.file", "a\0b.csv"], "the name of a file cannot hold a zero byte"),
    ],
)
def test_words_that_cannot_be_read_are_told_without_what_may_be_secret(project, capsys, words, said):
    assert main(words) == 255
    told = capsys.readouterr().err
    assert f"error: {said}" in told and "pass-word-1" not in told


def test_a_source_that_no_destination_reads_may_be_absent(project, capsys):
    change(project / "earthmover.yaml", "\nsources:\n", "\nsources:\n  unread: {file: nowhere.csv}\n")
    assert main(["run"]) == 0
    assert "$sources.unread: no destination is made of it, so it is left out" in capsys.readouterr().err


def test_two_destinations_of_one_file_and_one_over_what_is_read_are_refused(project, capsys):
    before = (project / "sources/days.csv").read_bytes()
    change(project / "earthmover.yaml", "./output\n", "./sources\n")
    change(
        project / "earthmover.yaml",
        "destinations:\n",
        "destinations:\n  counties.jsonl: {source: $sources.days}\n  days.csv: {source: $sources.gauges}\n",
    )
    assert main(["run"]) == 255
    said = capsys.readouterr().err
    assert "sources/days.csv` is what $sources.days reads, too" in said
    assert "sources/counties.jsonl` is what $destinations.counties.jsonl writes, too" in said
    assert (project / "sources/days.csv").read_bytes() == before


def test_a_destination_over_the_project_itself_is_refused_also_where_a_part_is_run(project, capsys):
    (project / "plan.csv").write_text("a\n1\n")
    (project / "parts").mkdir()
    change(project / "earthmover.yaml", "output_dir: ./output", "output_dir: ./")
    change(
        project / "earthmover.yaml",
        "\nsources:\n",
        "\nsources:\n  unread: {file: plan.csv}\n  parts: {file: parts, type: parquet, optional: True, columns: [a]}\n",
    )
    names = {
        "earthmover.yaml": "is a document of the project, too",
        "plan.csv": "is what $sources.unread reads, too",
        ".state.csv": "is the state file, too",
        "parts/new.parquet": "parts`, which is what $sources.parts reads",
        "days.jsonl/more": "days.jsonl`, which is what $destinations.days writes",
    }
    more = "".join(f"  {name}: {{source: $sources.days}}\n" for name in names)
    change(project / "earthmover.yaml", "\ndestinations:\n", f"\ndestinations:\n{more}")
    before = (project / "earthmover.yaml").read_bytes()
    assert main(["run", "-s", "destinations*", "--set", "config.state_file", ".state.csv"]) == 255
    said = capsys.readouterr().err
    for name, text in names.items():
        assert f"{name}` " in said and text in said
    assert (project / "earthmover.yaml").read_bytes() == before and not (project / "days.jsonl").exists()


def test_results_do_not_take_the_place_of_something_else(project, capsys):
    before = (project / "earthmover.yaml").read_bytes()
    assert main(["run", "-r", "earthmover.yaml"]) == 255
    assert "the file for the results holds something else" in capsys.readouterr().err
    assert (project / "earthmover.yaml").read_bytes() == before and not (project / "output").exists()
    assert main(["run", "-r", "r.json"]) == 0 and main(["run", "-r", "r.json"]) == 99


def test_results_go_to_a_device_and_do_not_take_its_place(project):
    assert main(["run", "-r", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_several_set_count_together(project):
    assert main(["run", "--set", "config.output_dir", "a", "--set", "destinations.days.extension", "json"]) == 0
    assert sorted(one.name for one in (project / "a").iterdir()) == ["counties.jsonl", "days.json"]


def test_a_document_that_is_named_without_c_is_told_how(project, capsys):
    assert main(["run", "other.yaml"]) == 1
    assert "unknown arguments `other.yaml`; a document is named with `-c other.yaml`" in capsys.readouterr().err


def test_nothing_changed_is_99_and_force_runs_all_the_same(project):
    assert [main(["run"]), main(["run"]), main(["run", "-f"]), main(["run", "-k"]), main(["run"])] == [0, 99, 0, 0, 99]


def test_a_changed_map_is_seen_where_the_peer_sees_none(project):
    main(["run"])
    change(project / "earthmover.yaml", "G: good", "G: well")
    assert main(["run"]) == 0
    assert "well" in (project / "output/days.jsonl").read_text()


def test_only_what_is_not_up_to_date_is_made(project, capsys):
    main(["run"])
    before = (project / "output/counties.jsonl").stat().st_ino
    (project / "output/days.jsonl").unlink()
    capsys.readouterr()
    assert main(["run"]) == 0
    assert "[|] $destinations.counties  nothing has changed" in capsys.readouterr().err
    assert (project / "output/counties.jsonl").stat().st_ino == before
    assert (project / "output/days.jsonl").exists()


def test_a_selected_part_is_remembered_as_a_part(project):
    assert main(["run", "-s", "counties"]) == 0
    # days.jsonl is not made of it.
    assert sorted(one.name for one in (project / "output").iterdir()) == ["counties.jsonl"]
    assert main(["run", "-s", "counties"]) == 99
    assert main(["run"]) == 0
    assert main(["run"]) == 99


def test_parameters_and_environment(project, monkeypatch):
    assert main(["run", "-p", '{"WET_FROM": "50"}']) == 0
    assert '"wet": true' not in (project / "output/days.jsonl").read_text()
    monkeypatch.setenv("WET_FROM", "3")
    assert main(["run", "-p", '{"WET_FROM": "50"}']) == 0
    assert (project / "output/days.jsonl").read_text().count('"wet": true') == 2


@pytest.mark.parametrize(
    ("right", "typed", "key"),
    [("operation: map_values", "opration: map_values", "operation"), ("join_type: left", "join_typ: left", "join_type")],
)
def test_a_misspelt_key_is_the_only_problem_that_it_makes(project, capsys, right, typed, key):
    change(project / "earthmover.yaml", right, typed)
    assert main(["run"]) == 255
    said = capsys.readouterr().err
    assert f"`{typed.split(':')[0]}`" in said and f"hint: did you mean `{key}`?" in said and "problems" not in said


def test_only_its_owner_reads_what_compile_writes(project):
    assert main(["compile", "-c", "earthmover.yaml"]) == 0  # a password that a variable stands for is in it
    assert stat.S_IMODE((project / "earthmover_compiled.yaml").stat().st_mode) == 0o600


def test_what_is_set_wins_and_is_not_in_what_compile_writes(project):
    assert main(["run", "--set", "config.output_dir", "elsewhere", "destinations.days.extension", "txt"]) == 0
    assert (project / "elsewhere/days.txt").exists() and not (project / "output").exists()
    assert main(["compile", "--set", "destinations.days.extension", "txt"]) == 0
    assert "txt" not in (project / "earthmover_compiled.yaml").read_text()


def test_paths_are_those_of_the_document_and_the_working_directory_stays(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "-c", "project/earthmover.yaml", "-r", "results/r.json"]) == 0
    assert Path.cwd() == tmp_path
    assert (project / "output/days.jsonl").exists() and (project / "runs.csv").exists()
    assert (tmp_path / "results/r.json").exists()


def test_results_are_those_of_the_peer_and_more(project):
    assert main(["run", "-r", "r.json"]) == 0
    found = json.loads((project / "r.json").read_text())
    assert list(found)[:7] == [
        *("started_at", "working_dir", "config_file", "output_dir"),
        *("row_counts", "completed_at", "runtime_sec"),
    ]
    assert found["working_dir"] == str(project) and found["output_dir"] == "./output"
    assert found["row_counts"] == {
        "$sources.days": 5,
        "$sources.gauges": 3,
        "$transformations.days_of_gauges": 5,
        "$transformations.counties": 2,
        "$destinations.days": 5,
        "$destinations.counties": 2,
    }
    written = found["written"]["$destinations.counties"]
    assert (written["rows"], written["bytes"], written["status"]) == (2, len(COUNTIES), "written")
    assert main(["run", "-r", "r.json"]) == 99
    found = json.loads((project / "r.json").read_text())
    assert found["exit_code"] == 99 and found["written"]["$destinations.counties"] == {**written, "status": "unchanged"}


def test_an_error_says_what_where_and_what_to_do_without_a_traceback(project, capsys):
    change(project / "earthmover.yaml", "operation: sort_rows", "operation: sort_row")
    assert main(["run", "-r", "r.json"]) == 255
    said = capsys.readouterr().err
    assert "error: there is no operation `sort_row`" in said and "hint: did you mean `sort_rows`?" in said
    assert "Traceback" not in said and "earthmover.yaml, line 57" in said
    found = json.loads((project / "r.json").read_text())
    assert found["exit_code"] == 255 and found["error"]["hint"] == "did you mean `sort_rows`?"
    assert main(["run", "-e"]) == 255
    assert "Traceback" in capsys.readouterr().err


def test_a_run_that_fails_leaves_what_was_and_is_run_again(project):
    main(["run"])
    before = (project / "output/days.jsonl").read_bytes()
    change(project / "sources/days.csv", "0.2", "-1")  # it promises 0 or more
    assert main(["run"]) == 255
    assert (project / "output/days.jsonl").read_bytes() == before
    assert main(["run"]) == 255


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["frob"], 1, "unknown command `frob`"),
        (["complie"], 1, "did you mean `compile`?"),
        (["run", "--force-regenerate"], 1, "unknown arguments `--force-regenerate`"),
        (["run", "--selctor", "x"], 1, "did you mean `--selector`?"),
        (["run", "--result-files=x"], 1, "did you mean `--results-file`?"),
        (["run", "more"], 1, "unknown arguments `more`"),
        (["deps"], 1, "asks for no packages"),
        (["clean"], 1, "nothing to remove"),
        (["run", "-p"], 2, "expected one argument"),
        (["run", "-p", "{bad"], 255, "`--params` is no JSON"),
        (["run", "-p", "[1]"], 255, "no JSON object"),
        (["run", "--set", "a"], 255, "`--set`"),
        (["run", "-s"], 255, "`-s` names no nodes"),
        (["run", "-s", "zzz"], 255, "the selector chooses no node"),
        (["run", "-c", "nope.yaml"], 255, "there is no `nope.yaml`"),
        (["show"], 255, "`show` wants a node"),
        (["show", "gaugs"], 255, "did you mean `gauges`?"),
        (["diff", "a"], 255, "`diff` wants two runs"),
    ],
)
def test_exit_codes(project, capsys, words, code, said):
    assert main(words) == code
    assert said in capsys.readouterr().err


def test_without_a_document_it_says_how_to_name_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 255
    assert "earthmover.yaml" in capsys.readouterr().err


def test_version_imports_nothing_heavy():
    code = "import sys; from impl.tabular.command import main; main(['-v']); print(*{'polars', 'jinja2', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "mover, version 0.1.0\n\n"


def test_as_a_program(project):
    done = subprocess.run(
        [sys.executable, "-m", "impl.tabular.command", "frob"], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == 1


def test_show_prints_the_first_rows_of_a_node(project, capsys):
    assert main(["show", "gauges", "--limit", "2"]) == 0
    assert capsys.readouterr().out == (
        "gauge  name                 county\n"
        "-----  -------------------  -------\n"
        'LA1    Fort Collins "West"  Larimer\n'
        "LA2    Estes Park           Larimer\n"
    )
    assert main(["show", "-c", "earthmover.yaml", "gauges", "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"gauge": "LA1", "name": 'Fort Collins "West"', "county": "Larimer"}
    assert main(["show", "destinations.counties", "--limit", "1"]) == 0
    assert capsys.readouterr().out == COUNTIES.splitlines(keepends=True)[0]
    assert not (project / "output").exists()


def test_diff_tells_rows_by_key(project, capsys):
    main(["run"])
    shutil.copytree(project / "output", project / "before")
    change(project / "sources/days.csv", "12.4", "12.5")
    main(["run"])
    capsys.readouterr()
    assert main(["diff", "before", "output", "--key", "county"]) == 1
    said = capsys.readouterr().out
    assert '~ county="Larimer": most_mm "12.4" -> "12.5"' in said
    assert main(["diff", "before", "before"]) == 0


def test_json_lines_tell_what_happened(project, capsys):
    assert main(["run", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["node"]: one["rows"] for one in events if one["event"] == "written"} == {
        "$destinations.days": 5,
        "$destinations.counties": 2,
    }
    change(project / "earthmover.yaml", "sort_rows", "sort_row")
    assert main(["compile", "--json"]) == 255
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["hint"] == "did you mean `sort_rows`?"


def test_the_graph_is_text_and_pictures_where_there_is_graphviz(project, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    assert main(["graph"]) == 0
    told = capsys.readouterr()
    assert "apt install graphviz" in told.err and "n3 --> n4" in told.out
    program = tmp_path / "programs/dot"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n/bin/cp "$4" "$3"\n')  # dot -Tsvg -o OUT IN
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert main(["run", "-g"]) == 0
    assert '"counties<br/>filter_rows<br/>group_by<br/>sort_rows<br/>2 rows"' in (project / "graph.md").read_text()
    assert "n1 -> n3;" in (project / "graph.svg").read_text() and (project / "graph.png").exists()


def test_clean_removes_what_was_made_and_only_that(project, capsys):
    main(["run"])
    main(["compile"])
    assert main(["clean"]) == 0
    assert not (project / "output").exists() and not (project / "earthmover_compiled.yaml").exists()
    main(["run", "-f"])
    (project / "output/mine.txt").write_text("mine")
    assert main(["clean"]) == 0
    assert [one.name for one in (project / "output").iterdir()] == ["mine.txt"]
    assert "mine.txt was not made by this document" in capsys.readouterr().err
    assert main(["clean", "-f"]) == 0
    assert not (project / "output").exists()


@pytest.mark.parametrize("place", ["./", "..", "sources", "~"])
def test_clean_never_removes_the_document_its_inputs_or_your_home(project, tmp_path, monkeypatch, capsys, place):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/mine").write_text("mine")
    assert main(["clean", "-f", "--set", "config.output_dir", place]) == 1
    assert "stays: it holds" in capsys.readouterr().err
    assert (project / "sources/days.csv").exists() and (tmp_path / "home/mine").exists()


def test_clean_removes_what_a_former_document_made(project):
    main(["run"])
    change(project / "earthmover.yaml", "extension: jsonl\n    linearize", "extension: txt\n    linearize")
    assert main(["clean"]) == 0
    assert not (project / "output").exists()


def test_clean_leaves_what_a_link_points_to(project, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/mine").write_text("mine")
    (project / "output").symlink_to(tmp_path / "real")
    assert main(["clean", "-f"]) == 1
    assert (tmp_path / "real/mine").exists()


def test_clean_follows_a_link_as_the_system_does(project, tmp_path):
    (tmp_path / "real/below").mkdir(parents=True)
    (project / "link").symlink_to(tmp_path / "real/below")
    change(project / "earthmover.yaml", "output_dir: ./output", "output_dir: link/../made")
    (project / "made").mkdir()
    (project / "made/mine").write_text("mine")
    assert main(["run"]) == 0 and (tmp_path / "real/made/days.jsonl").exists()
    assert main(["clean", "-f"]) == 0
    assert not (tmp_path / "real/made").exists() and (project / "made/mine").read_text() == "mine"


def test_what_a_destination_packs_is_shown_as_text(project, capsys):
    change(
        project / "earthmover.yaml",
        "\ndestinations:\n",
        "\ndestinations:\n  p: {source: $sources.gauges, format: parquet}\n  g: {source: $sources.gauges, compression: gzip}\n",
    )
    for name, first in (("p", "gauge  "), ("g", '{ "gauge": ')):
        assert main(["show", name, "--limit", "1"]) == 0
        assert capsys.readouterr().out.startswith(first)


def test_init_makes_a_project_that_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "rain gauges!"]) == 0
    assert "cd raingauges" in capsys.readouterr().out
    assert main(["run", "-c", "raingauges"]) == 0
    assert (tmp_path / "raingauges/output/counties.jsonl").read_text() == COUNTIES
    assert main(["init", "rain gauges!"]) == 1
    assert main(["init", str(tmp_path / "below/other")]) == 0
    assert (tmp_path / "below/other/earthmover.yaml").exists()
    assert main(["init", "!"]) == 1


def test_init_asks_for_a_name(tmp_path, monkeypatch):
    import io

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("mine\n"))
    assert main(["init"]) == 0
    assert (tmp_path / "mine/earthmover.yaml").exists()


def test_the_test_of_the_installation_passes(capsys):
    assert main(["-t"]) == 0
    assert "what comes out is what is expected" in capsys.readouterr().err


def test_intended_differences_are_listed_with_a_reason_each(capsys):
    assert main(["--explain-diff", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(listed) >= 10 and all(one["what"] and one["why"] for one in listed)


def test_packages_are_installed_by_deps(project, tmp_path, capsys):
    package = tmp_path / "package"
    package.mkdir()
    (package / "earthmover.yaml").write_text("version: 2\nsources: {}\ndestinations: {}\n")
    change(project / "earthmover.yaml", "version: 2\n", f"version: 2\npackages:\n  more:\n    local: {package}\n")
    assert main(["compile"]) == 255
    assert "`deps`" in capsys.readouterr().err
    assert main(["deps"]) == 0
    assert main(["compile"]) == 0


def test_rows_that_are_put_aside_are_told_and_cleaned(project):
    change(
        project / "earthmover.yaml", "precipitation_mm | float >= 0", "precipitation_mm | float < 12\n    on_fail: quarantine"
    )
    assert main(["run", "-r", "r.json"]) == 0
    found = json.loads((project / "r.json").read_text())
    aside = project / "output/quarantine/transformations.days_of_gauges.csv"
    assert found["written"]["$destinations.days"]["aside"] == [str(aside)]
    assert found["row_counts"]["$destinations.days"] == 4 and len(found["warnings"]) == 1
    assert main(["run"]) == 99
    aside.unlink()
    assert main(["run"]) == 0 and aside.exists()
    change(project / "earthmover.yaml", "float < 12", "float < 1000")
    assert main(["run"]) == 0 and not aside.exists(), "no row is put aside any more"
    assert main(["clean"]) == 0
    assert not (project / "output").exists()


def test_the_command_does_not_load_what_only_tasks_need():
    loaded = "import sys, impl.tabular.command; print([one for one in ('invoke', 'polars', 'jinja2') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("level", "told"), [("DEBUG", 4), ("INFO", 3), ("WARNING", 2), ("ERROR", 1), ("CRITICAL", 1)])
def test_less_is_said_where_the_document_asks_for_it(project, capsys, level, told):
    change(project / "earthmover.yaml", "config:\n", f"config:\n  log_level: {level}\n")
    change(project / "earthmover.yaml", "\nsources:\n", "\nsources:\n  unread: {file: nowhere.csv}\n")
    assert main(["run", "-c", "earthmover.yaml"]) == 0
    said = capsys.readouterr().err
    assert ("$sources.days: [" in said, "[+] $destinations.days" in said, "warning: " in said) == (told > 3, told > 2, told > 1)
