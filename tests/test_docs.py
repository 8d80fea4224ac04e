"""The docs do not lie: tables are up to date, everything is in some page, what the README tells to type works."""

import pathlib
import re
import subprocess
import sys

import pytest

from .conftest import ROOT

PAGES = {
    page: page.read_text() for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
HEAVY = {
    "numpy",
    "pandas",
    "pyarrow",
    "geopandas",
    "shapely",
    "netCDF4",
    "xarray",
    "duckdb",
    "deltalake",
    "matplotlib",
    "requests",
    "dask",
    "distributed",
}
EVERYTHING = "\n".join(PAGES.values())


def shell_blocks(page):
    return [block.strip() for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)]


@pytest.mark.slow
def test_generated_tables_are_up_to_date(checkout):
    checkout.invoke("dev.docs", "--check")


def test_every_task_is_in_a_page(checkout):
    names = re.findall(r"^  (\S+\.\S+)", checkout.invoke("-l").stdout, re.MULTILINE)
    assert len(names) >= 25
    assert [name for name in names if name not in EVERYTHING] == []


def test_every_task_and_file_that_a_page_or_a_hint_names_is_there(checkout):
    """Whoever types a hint gets on: `invoke x.y` is a task, and `task/x.py` a file."""
    tasks = set(re.findall(r"^  (\S+)", checkout.invoke("-l").stdout, re.MULTILINE))
    made_up = ("gridmet.", "trips.", "x.")  # the dataset that somebody adds
    code = {
        path: path.read_text()
        for folder in ("impl", "task")
        for path in (ROOT / folder).rglob("*.py")
        if "target" not in path.parts
    }
    for place, text in {**PAGES, **code}.items():
        for name in re.findall(r"invoke ([a-z_0-9]+(?:\.[a-z_0-9]+)+)", text):
            assert name in tasks or name.startswith(made_up), f"{place.relative_to(ROOT)}: invoke {name}"
        for name in re.findall(r"(?<![\w/.{])((?:task|docs|impl|requirements)/[\w/-]+\.(?:py|md|yaml|txt|in))\b", text):
            assert (ROOT / name).exists() or pathlib.Path(name).stem in ("gridmet", "trips", "gauges", "x"), (
                f"{place.relative_to(ROOT)}: {name}"
            )


def test_every_flag_is_in_a_page(checkout):
    for task in ("macav2.build", "macav2.clean", "macav2.map", "store.query", "store.export", "dev.new", "dev.docs"):
        flags = re.findall(r"--[a-z][a-z-]+", checkout.invoke("--help", task).stdout.partition("Options:")[2])
        missing = [flag for flag in set(flags) if flag not in EVERYTHING]
        assert missing == [], task


def test_every_setting_is_in_a_page():
    import config
    from task import macav2

    names = [f"etl.{name}" for name in config.SETTINGS] + [f"macav2.{name}" for name in macav2.SETTINGS]
    assert [name for name in names if f"`{name}`" not in EVERYTHING] == []


def test_every_column_is_in_a_page():
    from task import macav2, region

    assert [name for name in (*macav2.COLUMNS, *region.COLUMNS) if f"`{name}`" not in EVERYTHING] == []


def test_links_between_pages_lead_somewhere():
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)}: {link}"


def test_the_two_commands_are_those_that_ci_runs():
    blocks, script = shell_blocks("README.md"), (ROOT / ".ci/run").read_text()
    assert blocks[1:3] == ["pip install -e . && invoke all.build", "pip install -e '.[test]' && pytest -n 2 --dist worksteal"]
    assert blocks[1] in script
    assert blocks[2] in script


def test_listing_the_tasks_loads_no_heavy_library():
    """What makes `invoke -l` instant; the figure itself is in benchmarks/house.py."""
    code = "import sys, tasks; print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert (HEAVY | {"rich", "doit"}) & set(loaded) == set()


def test_a_run_with_nothing_to_do_loads_no_heavy_library(staged):
    code = (
        "import sys; sys.argv = ['invoke', 'region.stage']\n"
        "from invoke.main import program\n"
        "program.run(sys.argv, exit=False)\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=staged.environment, capture_output=True, text=True, check=True
    )
    assert "[+]" not in done.stderr
    assert HEAVY & set(done.stdout.split()) == set()
