"""Which checkpoints run, and which do not."""

import functools
import sqlite3

import pytest

from impl.run.checkpoint import Outside, checkpoint
from impl.run.errors import EtlError
from impl.run.graph import Graph

from . import actions


def test_the_first_run_makes_everything_in_order_of_dependence(runs, chain, place):
    runs(*reversed(chain()))
    assert (place.data / "sum").read_text() == "6"  # by hand: 2 * 1 + 2 * 2
    assert [line.split("  ")[0] for line in runs.said][-1] == "[+] sum.all"


def test_the_second_run_makes_nothing(runs, chain):
    runs(*chain())
    summary = runs(*chain())
    assert summary.made == []
    assert sorted(runs.said) == ["[|] sum.a", "[|] sum.all", "[|] sum.b"]


def test_selecting_the_last_one_brings_what_it_needs(runs, chain, place):
    runs(*chain(), selected=["sum.all"])
    assert (place.data / "sum").read_text() == "6"


def test_a_changed_input_runs_what_depends_on_it_and_no_more(runs, chain, raw):
    runs(*chain())
    (raw / "a").write_text("5")
    assert sorted(runs(*chain()).made) == ["sum.a", "sum.all"]


def test_a_change_that_keeps_size_and_modification_time_is_seen(runs, chain, raw):
    import os

    runs(*chain())
    before = (raw / "a").stat()
    (raw / "a").write_text("7")
    os.utime(raw / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "sum.a" in runs(*chain()).made


def test_a_touched_input_runs_nothing(runs, chain, raw):
    runs(*chain())
    (raw / "a").touch()
    assert runs(*chain()).made == []


def test_a_target_that_was_made_again_but_is_equal_stops_the_chain_there(runs, chain, raw, place):
    runs(*chain())
    (raw / "a").write_text("01")  # another file, the same number, so the doubled file is equal
    assert runs(*chain()).made == ["sum.a"]


def test_a_changed_parameter_runs_its_checkpoint(runs, chain, place):
    runs(*chain())
    summary = runs(*chain(times=10))
    assert sorted(summary.made) == ["sum.a", "sum.all", "sum.b"]
    assert (place.data / "sum").read_text() == "60"


def test_a_half_written_target_is_not_taken_for_a_whole_one(runs, chain, place):
    runs(*chain())
    (place.data / "sum").write_text("")
    assert runs(*chain()).made == ["sum.all"]
    assert (place.data / "sum").read_text() == "6"


def test_a_target_that_only_exists_is_made(runs, chain, place):
    (place.data / "doubled").mkdir(parents=True)
    (place.data / "doubled/a").write_text("99")
    runs(*chain())
    assert (place.data / "sum").read_text() == "6"


def test_another_action_with_the_same_arguments_runs(runs, place):
    target = place.data / "word"
    runs(checkpoint("word", actions.write, target, "x", targets=[target]))
    runs(checkpoint("word", functools.partial(actions.write_slowly, seconds=0), target, "x", targets=[target]))
    assert runs.said[0].startswith("[+] word")


def test_the_text_of_the_action_counts(runs, place, tmp_path, monkeypatch):
    module = tmp_path / "words_of_a_test.py"
    body = "from pathlib import Path\ndef say(target: Path):\n    target.parent.mkdir(exist_ok=True); target.write_text('{}')\n"
    monkeypatch.syspath_prepend(tmp_path)
    target = place.data / "word"
    import importlib
    import linecache

    for word in ("one", "two, and more"):
        module.write_text(body.format(word))
        linecache.clearcache()
        importlib.invalidate_caches()
        import sys

        sys.modules.pop("words_of_a_test", None)
        say = importlib.import_module("words_of_a_test").say
        runs(checkpoint("word", say, target, targets=[target]))
        assert target.read_text() == word


def test_what_is_left_outside_is_asked_for(runs, place):
    version = place.root / "version"
    gone = []

    def steps():
        outside = Outside(
            "collection words", lambda result: version.read_text() == result["fingerprint"], lambda: gone.append(True)
        )
        return checkpoint("words.load", actions.leave, "first", version, outside=outside)

    runs(steps())
    assert runs(steps()).made == []
    version.write_text("somebody else's")
    assert runs(steps()).made == ["words.load"]
    assert runs.standing(steps())["words.load"].current
    runs.clean(steps())
    assert gone == [True]


def test_force_runs_what_is_up_to_date_but_not_what_it_needs(runs, chain):
    runs(*chain())
    assert runs(*chain(), selected=["sum.all"], force=True).made == ["sum.all"]


def test_a_failure_stops_the_run_and_is_raised_whole(runs, place):
    target = place.data / "water"
    with pytest.raises(EtlError) as caught:
        runs(checkpoint("water", actions.fail, target, targets=[target]))
    assert str(caught.value) == "error: the well is dry\n  at water\n\nhint: dig"
    assert runs.said == ["[!] water  the well is dry"]


def test_keep_going_makes_what_does_not_depend_on_the_failure(runs, chain, place):
    bad = place.data / "water"
    with pytest.raises(EtlError):
        runs(checkpoint("water", actions.fail, bad, targets=[bad]), *chain(), keep_going=True)
    assert (place.data / "sum").read_text() == "6"


def test_what_nobody_foresaw_is_put_into_words_and_keeps_its_traceback(runs, place):
    target = place.data / "water"
    with pytest.raises(EtlError) as caught:
        runs(checkpoint("water", actions.stumble, target, targets=[target]))
    assert "something we did not foresee: KeyError: 'foo'" in str(caught.value)
    assert "Traceback" in caught.value.trace
    assert "Traceback" not in caught.value.message


def test_an_action_that_forgets_its_target_is_told(runs, place):
    with pytest.raises(EtlError, match="did not make its target"):
        runs(checkpoint("water", actions.forget_to_write, place.data / "x", targets=[place.data / "x"]))


def test_an_input_that_changes_while_it_is_read_is_not_called_up_to_date(runs, raw, place):
    step = checkpoint(
        "copy", actions.change_input, raw / "a", place.data / "copy", file_dep=[raw / "a"], targets=[place.data / "copy"]
    )
    with pytest.raises(EtlError, match="changed while it was read"):
        runs(step)
    assert not runs.standing(step)["copy"].current


def test_a_missing_input_that_nothing_makes_is_named(runs, place):
    step = checkpoint(
        "copy",
        actions.multiply,
        place.data / "none",
        place.data / "x",
        1,
        file_dep=[place.data / "none"],
        targets=[place.data / "x"],
    )
    with pytest.raises(EtlError, match="a file to read is not there") as caught:
        runs(step)
    assert "copy: data/none" in str(caught.value)


@pytest.mark.parametrize("jobs", [2, 4])
def test_side_by_side_gives_the_same_as_one_by_one(runs, chain, place, jobs):
    runs(*chain(), jobs=jobs)
    assert (place.data / "sum").read_text() == "6"
    assert runs(*chain(), jobs=jobs).made == []


def test_an_error_in_a_worker_process_comes_back_whole(runs, place):
    target = place.data / "water"
    with pytest.raises(EtlError) as caught:
        runs(checkpoint("water", actions.fail, target, targets=[target]), jobs=2)
    assert caught.value.hint == "dig"


def test_the_standing_says_why(runs, chain, raw, place):
    assert runs.standing(*chain())["sum.a"].why == "it has not run yet"
    runs(*chain())
    (raw / "a").write_text("5")
    standing = runs.standing(*chain(times=3))
    assert standing["sum.a"].why == "`factor` changed; data/raw/a changed"
    assert standing["sum.b"].why == "`factor` changed"
    assert standing["sum.all"].why == "after sum.a and 1 more"
    assert standing["sum.b"].seconds is not None
    assert standing["sum.b"].finished is not None


def test_a_checkout_that_was_moved_is_still_up_to_date(runs, chain, copied_place, tmp_path_factory):
    from .conftest import Runs, sums

    runs(*chain())
    moved = copied_place(tmp_path_factory.mktemp("elsewhere") / "checkout")
    assert Runs(moved)(*sums(moved)).made == []


def test_clean_takes_targets_and_keeps_raw_data(runs, chain, place, raw):
    steps = [
        checkpoint("raw.c", actions.write, place.data / "raw/c", "3", targets=[place.data / "raw/c"], raw=True),
        *chain(),
    ]
    runs(*steps)
    runs.clean(*steps)
    assert not (place.data / "sum").exists()
    assert (place.data / "raw/c").exists()
    runs.clean(*steps, raw=True)
    assert not (place.data / "raw/c").exists()


def test_clean_with_dry_run_removes_nothing(runs, chain, place):
    runs(*chain())
    runs.clean(*chain(), dry_run=True)
    assert (place.data / "sum").exists()
    assert "[-] data/sum" in runs.said


def test_a_password_in_a_parameter_does_not_reach_the_state_file(runs, place):
    target = place.data / "word"
    secret = "correct-horse-battery"
    runs(checkpoint("word", functools.partial(actions.write, text=secret), target, targets=[target]))
    assert target.read_text() == secret
    for file in place.state.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_a_corrupt_state_file_is_an_error_that_says_what_to_do(runs, chain, place):
    runs(*chain())
    (place.state / "checkpoints.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(EtlError, match="the state file is corrupt") as caught:
        runs(*chain())
    assert "remove that folder" in caught.value.hint


def test_each_success_is_on_disk_before_the_next_checkpoint_starts(place, chain):
    """doit writes its state at the end of a run; a kill would lose all of it."""
    seen = []

    def say(line):
        rows = sqlite3.connect(place.state / "checkpoints.sqlite").execute("select count(*) from doit").fetchone()
        seen.append(rows[0])

    graph = Graph(chain(), place)
    graph.run(["sum.all"], say=say)
    graph.close()
    assert seen == [1, 2, 3]


def test_two_checkpoints_of_one_name_are_refused(place):
    steps = [checkpoint("x", actions.write, place.data / n, n, targets=[place.data / n]) for n in "ab"]
    with pytest.raises(EtlError, match="two checkpoints are called `x`"):
        Graph(steps, place)


def test_two_makers_of_one_file_are_refused(place):
    steps = [checkpoint(n, actions.write, place.data / "x", n, targets=[place.data / "x"]) for n in "ab"]
    with pytest.raises(EtlError, match="do not make a graph"):
        Graph(steps, place)


def test_a_circle_is_refused(place, runs):
    a, b = place.data / "a", place.data / "b"
    steps = [
        checkpoint("a", actions.multiply, b, a, 1, file_dep=[b], targets=[a]),
        checkpoint("b", actions.multiply, a, b, 1, file_dep=[a], targets=[b]),
    ]
    with pytest.raises(EtlError, match="do not make a graph"):
        runs(*steps)


def test_an_action_that_another_process_could_not_find_is_refused(place):
    with pytest.raises(EtlError, match="has to be a function of a module"):
        checkpoint("x", lambda: None, targets=[place.data / "x"])


def test_only_chooses_by_part_of_the_name_and_names_near_ones(place, chain):
    graph = Graph(chain(), place)
    assert graph.select(["sum.a", "sum.b"], "b") == ["sum.b"]
    assert graph.select(["sum.a", "sum.b"], "sum.*") == ["sum.a", "sum.b"]
    with pytest.raises(EtlError) as caught:
        graph.select(["sum.a", "sum.all"], "sum.alll")
    assert "did you mean `sum.all`" in caught.value.hint
    graph.close()


def test_what_was_built_in_a_candidate_counts_as_built_for_the_live_store(tmp_path):
    from impl.run.place import Place

    live, candidate = str(tmp_path / "live"), str(tmp_path / "live.next/p1")
    place = Place(tmp_path, tmp_path, tmp_path / "data")
    building = Place(tmp_path, tmp_path, tmp_path / "data", candidate, live)
    assert building.meant(candidate) == place.meant(live) != place.meant(candidate)
    assert building.meant("region_county") == "region_county"
