"""Runs the peer, earthmover 0.4.9, beside us: the interpreter that has it is named by ETL_TABULAR_PEER.

    python -m venv peer && peer/bin/pip install -r benchmarks/peers/tabular.txt
    ETL_TABULAR_PEER=peer/bin/python pytest tests/tabular/test_differential.py

Its import takes seconds, so one process runs many projects: each in a fork of its own, as the peer changes folder and globals.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

VERSION = "0.4.9"
GOLDEN = Path(__file__).parent / "golden"
TEMPORARY = ("output", "expected")

# Given to the peer's Python. Reads jobs from stdin: arguments, variables and a file for what is said; prints the exit codes.
_RUNNER = """
import json, os, sys
import earthmover.__main__ as peer
codes = []
for job in json.load(sys.stdin):
    child = os.fork()
    if not child:
        said = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ.update(job["variables"])
        sys.argv = ["earthmover", *job["arguments"]]
        code = 1
        try:
            peer.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code & 255)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


@dataclass
class Options:
    """How a project is run: params of `-p`, variables of the environment, pairs of `--set`."""

    params: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    set: Sequence[str] = ()


def interpreter() -> Path:
    """The Python that has the peer; the test is skipped where there is none."""
    named = os.environ.get("ETL_TABULAR_PEER", "")
    if not named:
        pytest.skip("ETL_TABULAR_PEER names no Python with earthmover (tests/tabular/peer.py)")
    if not Path(named).exists():
        pytest.skip(f"ETL_TABULAR_PEER: there is no {named}")
    return Path(os.path.abspath(named))  # noqa: PTH100 - resolve() would leave the environment


def package(python: Path) -> Path:
    """Where the peer's package is installed; skipped where it is another version."""
    code = (
        "import earthmover, importlib.metadata as m, pathlib; print(m.version('earthmover')); "
        "print(pathlib.Path(earthmover.__file__).parent)"
    )
    version, folder = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")[:2]
    if version != VERSION:
        pytest.skip(f"the peer is {version}, and {VERSION} is what we are compared with")
    return Path(folder)


def run(python: Path, projects: Sequence[tuple[Path, Options]], logs: Path) -> list[int]:
    """Run the documents one after another, as `earthmover run -c FILE` does; the exit codes."""
    logs.mkdir(parents=True, exist_ok=True)
    jobs = []
    for number, (document, options) in enumerate(projects):
        arguments = ["run", "-c", str(document), "-f"]
        arguments += ["-p", json.dumps(dict(options.params))] if options.params else []
        arguments += ["--set", *options.set] if options.set else []
        jobs.append({"arguments": arguments, "variables": dict(options.variables), "log": str(logs / f"{number}.txt")})
    done = subprocess.run(
        [python, "-c", _RUNNER],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def run_ours(document: Path, options: Options | None = None) -> Path:
    """Run a document through our engine, in this process; the folder of its output."""
    from impl.tabular.document import load
    from impl.tabular.plan import make_plan
    from impl.tabular.run import run_plan

    options = options or Options()
    loaded = load(document, params=options.params, overrides=options.set, variables=options.variables, folder=document.parent)
    run_plan(make_plan(loaded))
    return Path(loaded.config.output_dir)


def projects() -> list[str]:
    """The names of the golden projects."""
    return sorted(one.parent.name for one in GOLDEN.glob("*/earthmover.yaml"))


def copied(name: str, folder: Path) -> tuple[Path, Options]:
    """A golden project in a folder of its own, with the inputs that are made: its document and options."""
    from tests.tabular.golden.make import MAKERS

    target = folder / name
    shutil.copytree(GOLDEN / name, target, ignore=shutil.ignore_patterns(*TEMPORARY, "__pycache__"))
    if name in MAKERS:
        MAKERS[name](target)
    given = target / "options.json"
    options = Options(**json.loads(given.read_text())) if given.exists() else Options()
    return target / "earthmover.yaml", options


def files(folder: Path) -> dict[str, bytes]:
    """The content of all files below a folder, by their path in it."""
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}
