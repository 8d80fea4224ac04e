"""Settings: where values come from, and what a wrong one says."""

import pytest

import config
from impl.run.errors import EtlError


@pytest.fixture(autouse=True)
def no_short_forms(monkeypatch):
    for variable in config.SHORT_FORMS.values():
        monkeypatch.delenv(variable, raising=False)


def test_the_default_is_local_with_sample_data_below_the_checkout():
    env = config.environment({})
    assert (env.name, env.source.kind, env.source.synthetic) == ("local", "sample", True)
    assert env.data == config.ROOT / "data/local"
    assert env.store == f"{config.ROOT}/data/local/store"


def test_the_short_form_wins_over_the_file(monkeypatch):
    monkeypatch.setenv("ETL_SOURCE", "remote")
    assert config.environment({"source": "sample"}).source == config.Source("remote")


def test_a_mirror_is_a_folder_or_an_address(tmp_path):
    assert config.environment({"source": f"mirror:{tmp_path}"}).source == config.Source("mirror", str(tmp_path))
    assert config.environment({"source": "mirror:https://x.org/raw"}).source.place == "https://x.org/raw"


def test_a_relative_mirror_is_meant_from_where_you_stand(tmp_path, monkeypatch):
    (tmp_path / "downloads").mkdir()
    monkeypatch.chdir(tmp_path)
    assert config.environment({"source": "mirror:downloads"}).source.place == str(tmp_path / "downloads")


@pytest.mark.parametrize(
    ("settings", "what", "hint"),
    [
        ({"source": "smaple"}, "there is no source `smaple`", "did you mean `sample`"),
        ({"source": "mirror:"}, "the mirror has no place", "mirror:FOLDER"),
        ({"source": "mirror:nowhere/at/all"}, "the mirror is not a folder", "a folder that exists"),
        ({"env": "locl"}, "there is no environment `locl`", "did you mean `local`"),
        ({"jobs": "many"}, "the number of jobs is not a number", "auto"),
        ({"jobs": "0"}, "the number of jobs is not a number", "auto"),
        ({"sorce": "sample"}, "there is no setting `etl.sorce`", "did you mean `etl.source`"),
    ],
)
def test_a_wrong_value_is_told_with_the_nearest_right_one(settings, what, hint):
    with pytest.raises(EtlError) as caught:
        config.environment(settings)
    assert caught.value.what == what
    assert hint in caught.value.hint


def test_nothing_else_reads_environment_variables():
    """config.py is the only reader; `os.environ` elsewhere only hands all of it on to a program."""
    readers = [
        str(path.relative_to(config.ROOT))
        for folder in ("impl", "task")
        for path in (config.ROOT / folder).rglob("*.py")
        if any(word in path.read_text() for word in ("os.environ[", "os.environ.get", "os.getenv"))
    ]
    assert readers == []
