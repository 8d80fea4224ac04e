"""Settings: where values come from, and what a wrong one says."""

import pytest

import config
from impl.run import secrets
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


def test_what_is_said_for_one_environment_is_about_that_one():
    settings = {"jobs": "1", "environments": {"development": {"store": "postgresql://etl@db/etl", "jobs": "3"}}}
    assert config.environment(settings).store.endswith("data/local/store")
    env = config.environment({**settings, "env": "development"})
    assert (env.store, env.jobs, env.data) == ("postgresql://etl@db/etl", 3, config.ROOT / "data/development")
    assert env.named("production").jobs == 1 and not env.named("production").direct and env.direct


def test_a_short_form_is_about_the_chosen_environment(monkeypatch):
    monkeypatch.setenv("ETL_STORE", "postgresql://etl@here/etl")
    env = config.environment({})
    assert env.store == "postgresql://etl@here/etl"
    assert env.named("development").store.endswith("data/development/store")


@pytest.mark.parametrize(
    ("own", "what"),
    [
        ({"develoment": {}}, "there is no environment `develoment`"),
        ({"development": {"stor": "x"}}, "there is no setting `etl.environments.development.stor`"),
        ({"local": {"direct": "perhaps"}}, "neither yes nor no"),
        ({"local": {"store": "postgresql://etl:hunter2@db/etl"}}, "the address has a password in it"),
    ],
)
def test_a_wrong_section_of_an_environment(own, what):
    with pytest.raises(EtlError) as caught:
        config.environment({"environments": own})
    assert caught.value.what == what
    assert "hunter2" not in str(caught.value)


def test_secrets_come_from_variables_or_a_file_that_nobody_else_reads(monkeypatch, tmp_path):
    monkeypatch.setattr(secrets, "_known", {})
    settings = {"environments": {"local": {"store": "postgresql://etl:${DB_WORD}@${DB_HOST}/etl"}}}
    file = tmp_path / "secrets"
    file.write_text("# two\nDB_WORD = 'from file'\nDB_HOST=far\nOTHER=not asked for\n")
    monkeypatch.setenv("ETL_SECRETS", str(file))
    file.chmod(0o644)
    with pytest.raises(EtlError, match="can be read by others"):
        config.environment(settings)
    file.chmod(0o600)
    monkeypatch.setenv("DB_HOST", "near")
    env = config.environment(settings)
    assert env.store == "postgresql://etl:${DB_WORD}@${DB_HOST}/etl"
    assert secrets.reveal(env.store) == "postgresql://etl:from%20file@near/etl"
    assert secrets.known() == {"DB_WORD": "from file", "DB_HOST": "near"}
    monkeypatch.setenv("ETL_SECRETS", str(tmp_path / "gone"))
    with pytest.raises(EtlError, match="the file of secrets is not there"):
        config.environment(settings)


def test_nothing_else_reads_environment_variables():
    """config.py is the only reader; `os.environ` elsewhere only hands all of it on to a program."""
    readers = [
        str(path.relative_to(config.ROOT))
        for folder in ("impl", "task")
        for path in (config.ROOT / folder).rglob("*.py")
        if "target" not in path.relative_to(config.ROOT).parts  # what cargo unpacks
        and any(word in path.read_text() for word in ("os.environ[", "os.environ.get", "os.getenv"))
    ]
    assert readers == []


@pytest.mark.parametrize(
    "settings",
    [
        {"source": "mirror:https://u:hunter2@host/raw"},
        {"data": "s3://b/p?secret_access_key=hunter2"},
        {"cluster": "dask:tls://u:hunter2@host:8786"},
        {"notify": "json://chat/x mailto://u:hun ter2@host"},
        {"environments": {"production": {"store": "postgresql://u:hunter2@host/d"}}},
    ],
)
def test_a_password_in_any_address_is_refused(settings):
    with pytest.raises(EtlError, match="has a password in it") as caught:
        config.environment(settings)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("place", ["gs:/b", "s3:bucket/prefix", "postgresql:/db/etl", "s3//bucket", "foo:bar"])
@pytest.mark.parametrize("setting", ["store", "data"])
def test_half_an_address_is_no_folder(setting, place):
    with pytest.raises(EtlError, match="half an address") as caught:
        config.environment({setting: place})
    assert "://" in caught.value.hint
    assert f"`./{place}`" in caught.value.hint and config.environment({setting: f"./{place}"})


def test_a_relative_store_is_meant_from_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("lakes/mine", "./lakes/mine", "file://lakes/mine"):
        monkeypatch.setenv("ETL_STORE", place)
        assert config.environment({}).store == f"{config.ROOT}/lakes/mine"
    monkeypatch.setenv("ETL_STORE", "~/mine")
    monkeypatch.setenv("HOME", "/home/me")
    assert config.environment({}).store == "/home/me/mine"
    monkeypatch.setenv("ETL_STORE", "file:///mine")
    assert config.environment({}).store == "/mine"


def test_an_empty_short_form_is_empty_where_that_is_a_value(monkeypatch):
    settings = {"cluster": "dask:tcp://far:8786", "store": "s3://b/p", "source": "remote"}
    for variable in config.SHORT_FORMS.values():
        monkeypatch.setenv(variable, "")
    env = config.environment(settings)
    assert env.cluster == "" and env.store == f"{env.data}/store"
    assert (env.name, env.source.kind) == ("local", "remote")


def test_variables_that_are_no_settings_are_refused(monkeypatch):
    monkeypatch.setenv("ETL_STROE", "x")
    with pytest.raises(EtlError, match="there is no variable `ETL_STROE`") as caught:
        config.environment({})
    assert "did you mean `ETL_STORE`" in caught.value.hint
    monkeypatch.delenv("ETL_STROE")
    monkeypatch.setenv("ETL_PASSWORD", "x4711")  # a secret that an address names, of whatever environment
    config.environment({"environments": {"production": {"store": "postgresql://etl:${ETL_PASSWORD}@h/d"}}})


def test_every_variable_that_this_repository_reads_is_known():
    import re
    import subprocess

    found = subprocess.run(["git", "grep", "-ohwE", r"E[T]L_[A-Z_]+"], cwd=config.ROOT, capture_output=True, text=True).stdout
    known = {*config.SHORT_FORMS.values(), config.SECRETS, *config.OTHERS}
    wrong = {"E" + "TL_STROE", "E" + "TL_PASSWORD", "E" + "TL_"}  # above, in tests
    assert set(re.findall(r"\S+", found)) - wrong == known
