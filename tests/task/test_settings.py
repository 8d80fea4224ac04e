"""Settings as people write them: files and variables; what is no setting is told, whatever was typed."""

import subprocess
import sys

import pytest


def said(done):
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("ETL_STROE", "ETL_STORE"),
        ("INVOKE_ETL_SOURC", "INVOKE_ETL_SOURCE"),
        ("INVOKE_MACAV2_YEERS", "INVOKE_MACAV2_YEARS"),
        ("INVOKE_MACAV3_YEARS", "INVOKE_MACAV2_YEARS"),
        ("INVOKE_ETL_ENVIRONMENTS_DEVELOPMENT_STORE", "INVOKE_ETL_STORE"),  # of a section that is not there invoke takes none
    ],
)
def test_a_variable_that_is_no_setting(checkout, variable, nearest):
    told = said(checkout.type("env.show", **{variable: "x"}))
    assert f"there is no variable `{variable}`" in told and f"`{nearest}`" in told.partition("hint:")[2]
    assert checkout.type("-l", **{variable: "x"}).returncode == 0


def test_variables_of_invoke_itself_and_of_sections_that_are_there(copy_of_checkout):
    (copy_of_checkout.root / "invoke.yaml").write_text("etl:\n  environments:\n    local: {jobs: '3'}\n")
    shown = copy_of_checkout.invoke("env.show", INVOKE_ETL_ENVIRONMENTS_LOCAL_JOBS="2", INVOKE_RUN_ECHO="1").stdout
    assert ["jobs", "2"] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("macav3: {years: 2005}", ["no section of settings `macav3`", "did you mean `macav2`"]),
        ("macav2: {yeers: 2005}", ["no setting `macav2.yeers`", "did you mean `macav2.years`"]),
        ("etl: {sorce: sample}", ["no setting `etl.sorce`", "`etl.source`"]),
        ("etl: {environments: {develop: {}}}", ["no environment `develop`", "`development`"]),
        ("source: [", ["the settings are no YAML", "invoke.yaml, line"]),
        ("etl:\n\tsource: x", ["the settings are no YAML", "invoke.yaml, line 2"]),
        ("- etl", ["the file has no settings below it"]),
        ("etl: 5", ["the section `etl` has no settings below it"]),
        ("etl:", ["the section `etl` has no settings below it"]),
        ("macav2: {models: [CCSM4, inmcm4]}", ["`macav2.models` has more than one value", "`A,B`"]),
        ("etl: {environments: [x]}", ["`etl.environments` has no settings below it"]),
    ],
)
def test_a_file_that_says_something_else(copy_of_checkout, text, expected):
    (copy_of_checkout.root / "invoke.yaml").write_text(text)
    told = said(copy_of_checkout.type("env.show"))
    assert all(one in told for one in expected), told


def test_a_file_that_was_named(checkout, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("etl: [")
    assert "the settings are no YAML" in said(checkout.type("-f", str(file), "env.show"))
    file.write_text("macav2: {yeers: 1}")
    assert "did you mean `macav2.years`" in said(checkout.type("-f", str(file), "env.show"))


def test_a_variable_that_is_no_number_where_the_file_has_one(copy_of_checkout):
    (copy_of_checkout.root / "invoke.yaml").write_text("etl: {jobs: 2}")
    assert "INVOKE_ETL_JOBS is no number" in said(copy_of_checkout.type("env.show", INVOKE_ETL_JOBS="auto"))


def test_a_cluster_that_is_none(checkout):
    pytest.importorskip("distributed")
    told = said(checkout.type("region.stage", ETL_CLUSTER="dask:tpc://x"))
    assert "this is not a cluster" in told and "dask:tcp://HOST:PORT" in told


@pytest.mark.parametrize("words", ["-l", "--help all.status", "env.show", "store.list", "store.query 'select 1 as a'"])
def test_who_reads_may_stop(checkout, words):
    typed = f"{sys.executable} -m invoke {words} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", typed], cwd=checkout.root, env=checkout.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("task", ["all.clean", "all.build", "region.clean"])
def test_a_refusal_in_production_names_what_to_type(checkout, task):
    told = said(checkout.type(task, ETL_ENV="production"))
    typed = f"invoke {task} --direct production"
    assert f"`{typed}`" in told and "every dataset" not in told
    checkout.invoke(*typed.split()[1:], *(["--dry-run"] if "build" in task else []), ETL_ENV="production")


def test_an_empty_store_names_what_fills_it(checkout):
    shown = checkout.invoke("store.list", ETL_ENV="production").stdout
    assert "production is filled by `invoke promote.run`" in shown
    told = said(checkout.type("store.show", "gauge_days"))
    assert "invoke -l gauge" not in told and "`invoke -l` lists tasks" in told


def test_what_decides_how_the_program_is_compiled_is_its_input(monkeypatch, tmp_path):
    from impl.ncproj import tool

    monkeypatch.setattr(tool, "CRATE", tmp_path)
    for name in (
        "Cargo.toml",
        "rust-toolchain.toml",
        "rust-toolchain",
        "build.rs",
        ".cargo/config.toml",
        "src/a/b.rs",
        "clippy.toml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert {str(one.relative_to(tmp_path)) for one in tool.sources()} == {
        "Cargo.toml", "rust-toolchain.toml", "rust-toolchain", "build.rs", ".cargo/config.toml", "src/a/b.rs"
    }  # fmt: skip


def test_files_of_the_user_may_be_about_other_projects(checkout, tmp_path):
    (tmp_path / ".invoke.yaml").write_text("fabric: {user: me}\n")
    checkout.invoke("env.show", HOME=str(tmp_path))
    (tmp_path / ".invoke.yaml").write_text("fabric: {user: me}\nmacav2: {yeers: 1}\n")
    assert "did you mean `macav2.years`" in said(checkout.type("env.show", HOME=str(tmp_path)))
