"""A promotion or a rollback of a lake that ends at any step: the same command brings it to its end."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from impl import promote
from impl.run.errors import EtlError
from impl.store import open_store
from impl.store.lake import Lake, Writing

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["one", "two"]


@dataclass
class Target:
    """An environment, as far as promotions look at it."""

    store: str
    state: Path
    name: str = "production"
    notify: tuple = ()
    live: str = ""
    unchanged: frozenset = frozenset()
    said: list = field(default_factory=list)


def target_at(folder):
    return Target(str(folder / "live"), folder / "state")


def fill(home, value):
    for name in NAMES:
        rows = [{"key": key, "value": value} for key in range(3)]
        open_store(home).replace(name, rows, key="key")


def values(target):
    live = open_store(target.store)
    assert all(live.verify(name, deep=True) == [] for name in live.names())
    return [live.read(name)["value"].to_pylist()[0] for name in live.names()]


def promoted(target, folder, value):
    """`promote.run`, as somebody types it: what was broken off is settled first."""
    promote.settle(target, target.said.append)
    shown = Target(str(folder / "development"), folder / "development-state", "development")
    fill(shown.store, value)
    live, dev = open_store(target.store), open_store(shown.store)
    there = live.names()
    differs = [name for name in NAMES if name not in there or live.facts(name).fingerprint != dev.facts(name).fingerprint]
    differs += [name for name in there if name not in differs and live.lost(name)]
    record = {"id": "shown", "code": {"commit": "c" * 40}, "environment": "development"}
    found = promote.Plan(shown, target, record, NAMES, new=differs)

    def build(env, again):
        for name in differs:
            open_store(env.store).replace(name, [{"key": key, "value": value} for key in range(3)], key="key")
        return {}

    promote.run(found, build, target.said.append)


class Steps:
    """Counts the steps of a promotion and ends it at one of them."""

    def __init__(self, at, end):
        self.at, self.end, self.seen = at, end, 0

    def __call__(self):
        self.seen += 1
        if self.seen == self.at:
            self.end()

    def within(self, function):
        def stepping(*words, **more):
            self()
            done = function(*words, **more)
            self()
            return done

        return stepping

    def patch(self, put):
        put(Writing, "write", self.within(Writing.write))
        put(Writing, "commit", self.within(Writing.commit))
        put(Lake, "drop", self.within(Lake.drop))
        put(Lake, "pin", self.within(Lake.pin))
        put(promote, "_keep", self.within(promote._keep))


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def full():
    raise EtlError("the disk is full")


def end_at(folder, what, step):
    """In another process: ends with the signal, or with 0 where there is no such step."""
    code = f"""
import pathlib, sys
from tests.store import test_kills as kills
folder = pathlib.Path(sys.argv[1])
kills.Steps({step}, kills.kill).patch(setattr)
target = kills.target_at(folder)
kills.promoted(target, folder, "new") if {what == "promote"} else kills.promote.rollback(target, target.said.append)
"""
    return subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_killed_at_any_step_the_next_command_ends_it(tmp_path, what):
    for step in range(1, 60):
        folder = tmp_path / str(step)
        target = target_at(folder)
        promoted(target, folder, "old")
        if what == "rollback":
            promoted(target, folder, "new")
        done = end_at(folder, what, step)
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0, done.stderr
            break
        assert set(values(target)) <= {"old", "new"}
        if what == "promote":
            promoted(target, folder, "new")
            assert values(target) == ["new", "new"]
            promote.rollback(target, target.said.append)
            assert values(target) in (["old", "old"], ["new", "new"])
        else:
            promote.settle(target, target.said.append)
            if values(target) == ["new", "new"]:
                promote.rollback(target, target.said.append)
            assert values(target) == ["old", "old"]
    assert step > 10


@pytest.mark.slow
@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_disk_that_is_full_at_any_step_is_said_and_the_same_command_ends_it(tmp_path, what, monkeypatch):
    for step in range(1, 60):
        folder = tmp_path / str(step)
        target = target_at(folder)
        promoted(target, folder, "old")
        if what == "rollback":
            promoted(target, folder, "new")
        with monkeypatch.context() as patched:
            Steps(step, full).patch(patched.setattr)
            try:
                promoted(target, folder, "new") if what == "promote" else promote.rollback(target, target.said.append)
                ended = True
            except EtlError as error:
                assert error.what == "the disk is full"
                ended, where = False, str(error.where)
        now = values(target)
        assert set(now) <= {"old", "new"}
        if not ended and len(set(now)) == 2:
            assert "live in production: one is " in where
        if what == "promote":
            promoted(target, folder, "new")
            assert values(target) == ["new", "new"]
        else:
            promote.settle(target, target.said.append)
            if values(target) == ["new", "new"] and not ended:
                promote.rollback(target, target.said.append)
            assert values(target) == ["old", "old"]
        if ended:
            break
    assert step > 10
