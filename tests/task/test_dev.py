"""The author's path: a new dataset from the template, run on its sample, with no shared file touched."""

import subprocess
import sys

import pytest

from impl.dev import docs, new
from impl.run.errors import EtlError
from impl.tabular import schema


def tracked(root):
    """Every file of the copy and its content, but for the new ones."""
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "impl/ncproj" not in str(path) and "__pycache__" not in str(path)
    }


def linted(root, *files):
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *map(str, files)], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_dataset_of_boundaries_works_without_touching_another_file(copy_of_checkout):
    before = tracked(copy_of_checkout.root)
    made = copy_of_checkout.invoke("dev.new", "parks", "--like", "region").stdout.split()
    assert {"task/parks.py", "docs/parks.md", "tests/task/test_parks.py"} <= set(made)
    assert "parks.stage" in copy_of_checkout.invoke("-l").stdout
    copy_of_checkout.invoke("parks.stage")
    assert copy_of_checkout.query("select count(*) > 100 as many from parks") == [{"many": True}]
    after = tracked(copy_of_checkout.root)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 3
    copy_of_checkout.invoke("dev.docs")
    assert "| `area_km2` | km2 |" in (copy_of_checkout.root / "docs/parks.md").read_text()
    linted(copy_of_checkout.root, "task/parks.py", "tests/task/test_parks.py")


@pytest.mark.slow
def test_a_new_gridded_dataset_works_and_its_own_test_passes(copy_of_checkout):
    copy_of_checkout.invoke("dev.new", "gridmet", "--like", "macav2")
    copy_of_checkout.invoke("gridmet.build")
    rows = copy_of_checkout.query(
        "select count(distinct gis_join) > 100 as many, count(distinct timestamp) as days from gridmet_county"
    )
    assert rows == [{"many": True, "days": 365}]
    assert "[+]" not in copy_of_checkout.invoke("gridmet.build").stderr
    linted(copy_of_checkout.root, "task/gridmet.py", "tests/task/test_gridmet.py")
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/task/test_gridmet.py"],
        cwd=copy_of_checkout.root,
        capture_output=True,
        text=True,
    )
    assert own.returncode == 0, own.stdout


@pytest.mark.parametrize(
    ("name", "what"),
    [("Grid-Met", "cannot be the name"), ("class", "cannot be the name"), ("region", "there is a `region` already")],
)
def test_a_name_that_does_not_do_is_refused(tmp_path, name, what):
    (tmp_path / "task").mkdir()
    (tmp_path / "task/region.py").touch()
    with pytest.raises(EtlError, match=what):
        new.write(tmp_path, name, "region")
    assert [path.name for path in tmp_path.rglob("*.py")] == ["region.py"]


def test_an_unknown_template_names_the_nearest(tmp_path):
    with pytest.raises(EtlError) as caught:
        new.write(tmp_path, "x", "regon")
    assert "`region`" in caught.value.hint


def facts(**changes):
    nothing = {
        "tasks": dict,
        "settings": dict,
        "collections": lambda name: {},
        "constants": lambda m, c: [],
        "help": lambda p, c: "",
        "features": lambda p: [],
        "document": lambda: schema,
    }
    return docs.Facts(**{**nothing, **changes})


def test_generated_tables_are_filled_in_and_checked(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("nothing here\n")
    page = tmp_path / "docs/x.md"
    page.write_text("a\n<!-- generated: tasks -->\nold\n<!-- end -->\nb\n")
    known = facts(tasks=lambda: {"x.build": "Build x"})
    with pytest.raises(EtlError, match="generated tables are old"):
        docs.update(tmp_path, known, check=True)
    assert [str(path) for path in docs.update(tmp_path, known)] == ["docs/x.md"]
    assert page.read_text() == (
        "a\n<!-- generated: tasks -->\n| task | what it does |\n| --- | --- |\n| `x.build` | Build x |\n<!-- end -->\nb\n"
    )
    assert docs.update(tmp_path, known, check=True) == []


def test_the_reference_says_what_is_needed_and_what_one_may_choose():
    operations, nodes = (docs._body(["document", part], facts(), "x.md") for part in ("operations", "nodes"))
    assert "### date_format\nDates in another form.\n" in operations
    assert "| `column` | The column | this or `columns` |\n" in operations
    assert "| `behavior` | What is done with rows for which it holds (`include`, `exclude`) | needed |\n" in operations
    assert "| `separator` | Between them | empty |\n" in operations
    assert "(`error`, `warn`, `quarantine`) | `error` |\n" in nodes
    with pytest.raises(EtlError, match="no part of a document `opertions`"):
        docs._body(["document", "opertions"], facts(), "x.md")


def test_what_a_program_does_with_files_is_a_table_for_each_group():
    entries = [
        {"of": "packing", "name": "`scale_factor`", "does": "honoured", "how": "undone"},
        {"of": "packing", "name": "`scale_factor` of 0", "does": "refused", "how": "`{}` is 0"},
    ]
    assert docs._body(["features", "ncproj"], facts(features=lambda program: entries), "x.md") == (
        "### Packing\n| what a file says | it is | how, or with which message |\n| --- | --- | --- |\n"
        "| `scale_factor` | honoured | undone |\n| `scale_factor` of 0 | refused | “`...` is 0” |\n"
    )


def test_an_unknown_kind_of_table_is_an_error(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("<!-- generated: taks -->\n<!-- end -->\n")
    with pytest.raises(EtlError) as caught:
        docs.update(tmp_path, facts())
    assert "`tasks`" in caught.value.hint
