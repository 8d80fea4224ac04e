"""The tasks that people type, made from small modules in a folder of their own and run by invoke itself."""

import itertools
import re
import sys
import textwrap

import pytest
from invoke.program import Program

from impl.run.errors import EtlError
from impl.run.namespace import check_typed, discover

_numbers = itertools.count()

PLACES = '''
"""Two levels from one function: the trap in which invoke loses one of two equal tasks."""
from functools import partial
from impl.run.checkpoint import checkpoint
from impl.run.namespace import dataset, group
from tests.run import actions

def checkpoints(c, level):
    target = c.env.data / f"{level}.txt"
    yield checkpoint(f"place.{level}.rows", actions.write, target, level, targets=[target])

namespace = group("place", *(dataset(level, stage=partial(checkpoints, level=level)) for level in ("county", "state")))
'''
WEATHER = '''
"""A dataset that needs another one's file, with settings and a task of its own."""
from impl.run.checkpoint import checkpoint
from impl.run.namespace import dataset, task
from tests.run import actions

SETTINGS = {"factor": ("2", "by what to multiply")}

def stage(c):
    yield checkpoint("weather.raw", actions.write, c.env.data / "raw", "21", targets=[c.env.data / "raw"], raw=True)

def build(c):
    raw, county, target = c.env.data / "raw", c.env.data / "county.txt", c.env.data / "weather"
    yield checkpoint("weather.rows", actions.multiply, raw, target, int(c.weather.factor), file_dep=[raw, county], targets=[target])

@task(help={"day": "which"})
def map(c, day):
    """Draw a map"""
    print(f"map of {day} in {c.env.data.name}")

@task
def stumble(c):
    """Do something nobody foresaw"""
    {}["nothing"]

@task
def interrupted(c):
    """Be stopped by Ctrl-C"""
    raise KeyboardInterrupt

namespace = dataset("weather", stage=stage, build=build, tasks=[map, stumble, interrupted], settings=SETTINGS)
'''


class Env:
    """What the tests need of an environment."""

    def __init__(self, root):
        self.root, self.data, self.state, self.jobs = root, root / "data", root / "state", 1
        self.name, self.direct = "local", True
        self.cluster = self.depot = self.live = ""


class Typed:
    """Types `invoke ...` in this process: exit code, stdout, stderr."""

    def __init__(self, root, namespace, monkeypatch, capfd):
        self.root, self.namespace, self.monkeypatch, self.capfd = root, namespace, monkeypatch, capfd

    def __call__(self, words):
        argv = ["invoke", *words.split()]
        self.monkeypatch.setattr(sys, "argv", argv)
        code = 0
        try:
            Program(namespace=self.namespace, name="invoke", binary="invoke").run(argv)
        except SystemExit as end:
            code = end.code
        out, err = self.capfd.readouterr()
        return code, out, err


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules into a new folder of tasks and discover them."""
    folder = tmp_path / f"toytask{next(_numbers)}"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def write(**texts):
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return discover(
            folder,
            root=tmp_path,
            settings={"env": ("local", "which")},
            environment=lambda settings: Env(tmp_path),
            closing=lambda env, summary: f"closing: {len(summary.made)} made",
        )

    return write


@pytest.fixture
def typed(modules, tmp_path, monkeypatch, capfd):
    return Typed(tmp_path, modules(place=PLACES, weather=WEATHER), monkeypatch, capfd)


def test_the_names_are_those_of_the_modules_and_of_all(typed):
    assert set(typed.namespace.task_names) == {
        "all.build", "all.clean", "all.compile", "all.stage", "all.status",
        "place.clean", "place.county.clean", "place.county.stage", "place.stage", "place.state.clean", "place.state.stage",
        "weather.build", "weather.clean", "weather.interrupted", "weather.map", "weather.stage", "weather.stumble",
    }  # fmt: skip


def test_two_tasks_of_one_name_and_one_body_both_run(typed):
    """invoke takes them for the same task and would drop the second without a word."""
    code, _, err = typed("place.county.stage place.state.stage")
    assert code == 0
    assert "[+] place.county.rows" in err
    assert "[+] place.state.rows" in err


def test_build_on_an_empty_disk_stages_what_another_dataset_has_to_give(typed):
    code, _, err = typed("weather.build")
    assert code == 0
    assert "[+] place.county.rows" in err
    assert "place.state.rows" not in err
    assert (typed.root / "data/weather").read_text() == "42"


def test_all_build_runs_everything_and_closes_with_a_summary(typed):
    _, _, err = typed("all.build")
    assert "place.state.rows" in err
    assert err.rstrip().endswith("closing: 4 made")


def test_dry_run_says_why_and_does_nothing(typed):
    code, _, err = typed("weather.build --dry-run")
    assert code == 0
    assert "[?] weather.rows  it has not run yet" in err
    assert not (typed.root / "data").exists()


def test_a_setting_of_the_dataset_counts(typed):
    typed("weather.build")
    typed.monkeypatch.setenv("INVOKE_WEATHER_FACTOR", "3")
    _, _, err = typed("weather.build")
    assert "[+] weather.rows" in err
    assert "[|] weather.raw" in err


def test_the_status_is_a_table_of_all_checkpoints(typed):
    typed("weather.stage")
    code, out, _ = typed("all.status")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "[|]" in lines["weather.raw"]
    assert "it has not run yet" in lines["place.state.rows"]
    assert "1 of 4 up to date" in out


def test_clean_keeps_raw_data_and_says_so(typed):
    typed("all.build")
    _, _, err = typed("weather.clean")
    assert "raw data stay" in err
    assert (typed.root / "data/raw").exists()
    assert not (typed.root / "data/weather").exists()


def test_a_plain_task_gets_the_environment(typed):
    assert typed("weather.map --day 2005-07-15") == (0, "map of 2005-07-15 in data\n", "")


def test_what_nobody_foresaw_in_a_task_is_no_traceback(typed):
    code, _, err = typed("weather.stumble")
    assert code == 1
    assert err.startswith("error: something we did not foresee: KeyError: 'nothing'")
    assert "Traceback" not in err


def test_an_error_raised_in_a_task_keeps_its_words_and_its_code(modules, tmp_path, monkeypatch, capfd):
    well = """
        from impl.run.errors import EtlError
        from impl.run.namespace import commands, task

        @task
        def draw(c):
            raise EtlError("the well is dry", where="bucket 3", hint="dig", code=4)

        namespace = commands("well", draw)
        """
    typed = Typed(tmp_path, modules(well=well), monkeypatch, capfd)
    assert typed("well.draw") == (4, "", "error: the well is dry\n  at bucket 3\n\nhint: dig\n")


def test_debug_shows_the_traceback(typed, caplog):
    caplog.set_level("DEBUG")  # what `--debug` does where no test has set up logging before it
    _, _, err = typed("weather.stumble")
    assert "Traceback" in err
    assert "error: something we did not foresee" in err


def test_ctrl_c_is_a_word_and_130(typed):
    code, _, err = typed("weather.interrupted")
    assert code == 130
    assert err.startswith("error: interrupted")


@pytest.mark.parametrize(
    "words", ["--echo wether.build --jobs 2", "weather.map --day 1 wether.build", "-f x.yaml wether.build"]
)
def test_an_unknown_task_names_the_nearest(typed, words):
    with pytest.raises(EtlError, match=r"there is no task `wether\.build`") as caught:
        check_typed(["invoke", *words.split()], typed.namespace)
    assert "`weather.build`" in caught.value.hint


def test_an_unknown_option_names_the_nearest(typed):
    with pytest.raises(EtlError, match=r"there is no option `--jbos`") as caught:
        check_typed(["invoke", "place.stage", "weather.build", "--jbos", "2"], typed.namespace)
    assert "`--jobs`" in caught.value.hint and "`invoke --help weather.build`" in caught.value.hint
    assert caught.value.where == "invoke weather.build"


@pytest.mark.parametrize(
    "words",
    [
        "invoke -f settings.yaml weather.build",
        "invoke weather.build --echo weather.map --day 1",
        "invoke -l",
        "invoke --list weather",
        "invoke --help weather.map",
        "invoke --complete -- invoke weather.bu",
        "pytest wether.build",
    ],
)
def test_what_can_be_typed_is_let_pass(typed, words):
    check_typed(words.split(), typed.namespace)


def test_help_tells_what_the_options_are_for(typed):
    check_typed(["invoke", "--help", "weather.map"], typed.namespace)
    code, out, _ = typed("--help weather.map")
    assert code == 0 and re.search(r"--day=STRING\s+which", out)


def test_an_unknown_setting_names_the_nearest(typed, tmp_path):
    (tmp_path / "settings.yaml").write_text("weather: {facter: 3}\n")
    code, _, err = typed(f"-f {tmp_path / 'settings.yaml'} weather.build")
    assert code == 1
    assert "did you mean `weather.factor`?" in err


def test_a_module_that_cannot_be_loaded_is_named(modules):
    with pytest.raises(EtlError) as caught:
        modules(broken="import nothing_of_that_name\n")
    assert "broken.py" in str(caught.value)
    assert "nothing_of_that_name" in str(caught.value)


def test_a_module_without_a_namespace_is_told_how_to_end(modules):
    with pytest.raises(EtlError, match="the module has no namespace"):
        modules(empty='"""Nothing."""\n')
