"""What the example of docs/tabular.md needs: a destination called as what it is made of, a clean that leaves nothing, all faults."""

import pytest

from impl import mover

DOCUMENT = """version: 2
config: {output_dir: ./output}
sources:
  days: {file: days.csv}
transformations:
  wet:
    source: $sources.days
    operations:
      - {operation: rename_columns, columns: {a: b}}
destinations:
  wet: {source: $transformations.wet, extension: jsonl}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "days.csv").write_text("a,c\n1,2\n")
    (tmp_path / "earthmover.yaml").write_text(DOCUMENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_destination_called_as_what_it_is_made_of_is_shown_by_its_rows(project, capsys):
    assert mover.main(["show", "wet"]) == 0
    assert capsys.readouterr().out.split() == ["b", "c", "-", "-", "1", "2"]
    (project / "earthmover.yaml").write_text(DOCUMENT.replace("  days: {", "  wet: {").replace("sources.days", "sources.wet"))
    assert mover.main(["show", "wet"]) == 255
    assert "several nodes are called `wet`" in capsys.readouterr().err


def test_clean_leaves_nothing_that_was_made(project):
    for words in (["run"], ["compile"], ["graph"], ["clean"]):
        assert mover.main(words) == 0
    assert sorted(one.name for one in project.iterdir()) == ["days.csv", "earthmover.yaml"]
    (project / "graph.md").write_text("# mine\n")
    assert mover.main(["clean"]) == 1  # nothing to remove
    assert (project / "graph.md").exists()


def test_all_that_is_wrong_is_said_at_once(project, capsys):
    (project / "earthmover.yaml").write_text(
        """version: 2
config: {outputdir: ./output}
sources:
  days: {file: days.csv, typ: csv}
transformations:
  wet:
    source: $sources.dayz
    on_fail: perhaps
    operations:
      - {operation: filter_rowz, query: "a == 1"}
      - {operation: date_format, column: a}
destinations:
  wet: {source: $transformations.wat, extensio: jsonl}
"""
    )
    assert mover.main(["compile"]) == 255
    said = capsys.readouterr().err
    for one in (
        "no option `outputdir`",
        "no option `typ`",
        "no node `$sources.dayz`",
        "`on_fail`",
        "no operation `filter_rowz`",
        "`from_format` is missing",
        "`to_format` is missing",
        "no node `$transformations.wat`",
        "no option `extensio`",
    ):
        assert one in said, said
