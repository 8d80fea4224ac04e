"""Every code block of every page, as somebody new types it: in order, in a clean clone, and what the page shows is what comes.

    ```sh           is run, and ends with 0; `pip install` is left out: what it would bring is here
    ```text         right behind it is what it says; with `$ COMMAND` lines it runs these and is what they say
    ```yaml, ...    behind a line that ends with "`FILE`:" is written to that file; else settings, or a part of earthmover.yaml
    ```python       is run, with `yield` as the checkpoints of a dataset
    "`COMMAND` writes `FILE`:"   before a block: the command is run, and the block is the file

`<!-- not run: REASON -->` before a block leaves it out. Seconds, times and ids are not compared; a line `...` stands for any lines.
A page begins with the sample built in `local` and `development`, and its raw files in ../downloads under their own names.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z")
GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
FIGURES = ("text", "")  # without a command they are drawings
SHOWN = (*FIGURES, "json", "csv")  # what may stand behind a command as what it says
SAMPLE = ("local", "development")  # environments that are there
AT_MOST_NOT_RUN = 14
NORMAL = (  # what differs from run to run
    (re.compile(r"\d+\.\d+ s\b"), "N s"),
    (re.compile(r"\d{8}T\d{6}\.\d+Z-\w\w"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?"), "TIME"),
    (re.compile(r"(on worker) \S+"), r"\1 W"),
    (re.compile(r"\b[0-9a-f]{12}\b|(?<=-)[0-9a-f]{8}\b"), "DIGEST"),
    (re.compile(r"/\S*/checkout\b"), "CHECKOUT"),
    (re.compile(r"[ \t─]+"), " "),
)
PRELUDE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import config
from impl.run.checkpoint import checkpoint
from impl.source import regions
from impl.steps import *
class c: env = config.environment({{}})
raw, target, stations = Path("raw.zip"), Path("target.parquet"), Path("stations.csv")
"""


@dataclass
class Block:
    place: str
    kind: str
    text: str
    before: str  # the last line of prose before it
    behind: bool  # nothing stands between it and the block before
    not_run: str


def blocks(page):
    text = GENERATED.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
    found, end = [], 0
    for match in FENCE.finditer(text):
        between = text[end : match.start()]
        marker = NOT_RUN.search(between)
        prose = [line for line in re.sub(r"<!--.*?-->", "", between, flags=re.DOTALL).splitlines() if line.strip()]
        line = text[: match.start()].count("\n") + 1
        found.append(
            Block(
                f"{page.relative_to(ROOT)}:{line}", match[1], match[2], prose[-1] if prose else "", bool(end) and not prose,
                marker[1] if marker else "",
            )
        )  # fmt: skip
        end = match.end()
    return found


WITH_BLOCKS = [page for page in PAGES if any(one.kind not in FIGURES or "$ " in one.text for one in blocks(page))]


@pytest.fixture(scope="session")
def sample_checkout(built, tmp_path_factory):
    """A clean clone with the sample built, and its raw files beside it."""
    folder = tmp_path_factory.mktemp("pages")
    root = folder / "checkout"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, root], check=True)
    # of a checkout at work, what is there now
    changed = subprocess.run(
        ["git", "ls-files", "-mo", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in changed:
        if (ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
        else:
            (root / name).unlink(missing_ok=True)
    for words in (["add", "-A"], ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m", "now"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    for name in SAMPLE:
        shutil.copytree(built.data / "local", root / "data" / name)
    # what production would make of the raw files is there: promotion loads it, and compiles nothing again
    shutil.copytree(built.data / "local", root / "data/production", ignore=shutil.ignore_patterns("store", "runs"))
    (folder / "downloads").mkdir()
    for file in (built.data / "local/raw").rglob("*.*"):
        shutil.copy2(file, folder / "downloads" / file.name)
    return folder


class Session:
    """A shell that goes on from block to block, in its folder and with its variables."""

    def __init__(self, folder):
        self.root, self.notes = folder / "checkout", folder / "session"
        self.notes.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ETL_", "INVOKE_"))}
        bin_ = Path(sys.executable).parent
        kept |= {"PATH": f"{bin_}:{kept['PATH']}", "PYTHONPATH": str(self.root), "COLUMNS": "200"}
        self.environment = kept | {"PYTHONDONTWRITEBYTECODE": "1"}
        (self.notes / "folder").write_text(f"{self.root}\n")
        (self.notes / "variables").write_text("")

    @property
    def folder(self):
        return Path((self.notes / "folder").read_text().strip())

    def run(self, place, command):
        """What the command wrote on stdout and on stderr; it has to go well."""
        script = (
            f'cd "$(cat {self.notes}/folder)"; source {self.notes}/variables; set -e -o pipefail\n{command}\n'
            f"pwd > {self.notes}/folder; export -p > {self.notes}/variables\n"
        )
        words = ["bash", "-c", script]
        done = subprocess.run(words, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"{place}: ended with {done.returncode}\n{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout, done.stderr

    def python(self, place, text):
        prelude = PRELUDE.format(root=str(self.root))
        if re.search(r"^\s*(yield|for .*yield)", text, re.MULTILINE):
            body = "".join(f"    {line}\n" for line in text.splitlines())
            text = f"def way():\n{body}\nmade = list(way())\nassert made\n"
        (self.notes / "block.py").write_text(prelude + text)
        self.run(place, f"python {self.notes}/block.py")


def normal(text):
    for pattern, words in NORMAL:
        text = pattern.sub(words, text)
    return [line.strip() for line in text.strip().splitlines()]


def same(shown, said):
    """Whether the lines of a page are those that came; `...` is any lines."""
    wanted = [re.escape(line) if line != "..." else None for line in normal(shown)]
    pattern = "".join("(?:.*\n)*?" if line is None else f"{line}\n" for line in wanted)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in normal(said))) is not None


def compare(block, *said):
    assert any(same(block.text, one) for one in said), f"{block.place} shows\n{block.text}\nand there came\n" + "\n--\n".join(
        said
    )


def typed(command):
    """A command without what would fetch packages."""
    lines = (re.sub(r"^pip install [^&|;]*?(\s+#.*)?(&&\s*|$)", "", line) for line in command.splitlines())
    return "\n".join(lines)


def settings(session, block):
    """Settings of invoke.yaml: they are known, and each environment that is named resolves."""
    file = session.notes / "settings.yaml"
    file.write_text(block.text)
    for name in (yaml.safe_load(block.text).get("etl") or {}).get("environments") or {"local": None}:
        session.run(block.place, f"ETL_ENV={name} invoke -f {file} env.show")


def part_of_document(session, block):
    """A part of the page's document takes the place of what was there."""
    file = session.folder / "earthmover.yaml"
    document = {**yaml.safe_load(file.read_text()), **yaml.safe_load(block.text)}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    session.run(block.place, "mover compile")


def prompted(text):
    """The commands behind `$`, which go on while a quote is open, and what stands below each."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        length = next(number for number in range(1, len(lines) + 1) if closed("".join(lines[:number])))
        yield "".join(lines[:length]), "".join(lines[length:])


def closed(command):
    try:
        return bool(shlex.split(command))
    except ValueError:
        return False


def take(session, block, said):
    """Do what a block says; what its commands wrote."""
    writes = re.search(r"`([^`]+)` writes `([^`]+)`:\s*$", block.before)
    file = re.search(r"`([\w./-]+\.\w+)`:\s*$", block.before)
    if writes and not block.behind:
        session.run(block.place, writes[1])
        compare(block, (session.folder / writes[2]).read_text())
    elif block.kind == "sh":
        return session.run(block.place, typed(block.text))
    elif block.kind in FIGURES and re.search(r"^\$ ", block.text, re.MULTILINE):
        for command, shown in prompted(block.text):
            out, err = session.run(block.place, command)
            compare(replace(block, text=shown), out, err, out + err)
    elif block.kind in SHOWN and block.behind and said is not None:
        out, err = said
        compare(block, out, err, out + err)
    elif file and file[1] != "invoke.yaml":
        (session.folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
        (session.folder / file[1]).write_text(block.text)
    elif block.kind == "python":
        session.python(block.place, block.text)
    elif block.kind == "yaml":
        known = {"etl", *(one.stem for one in (ROOT / "task").glob("*.py"))}
        (settings if set(yaml.safe_load(block.text)) <= known else part_of_document)(session, block)
    else:
        assert block.kind in FIGURES, f"{block.place}: nothing says what is to be done with this block; or write `not run`"
    return None


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_tells_to_type_works_and_what_it_shows_is_so(page, sample_checkout, tmp_path):
    shutil.copytree(sample_checkout, tmp_path / "page", symlinks=True)
    session, said = Session(tmp_path / "page"), None
    for block in blocks(page):
        said = None if block.not_run else take(session, block, said)


def test_few_blocks_are_not_run_and_each_says_why():
    left_out = [f"{one.place}: {one.not_run}" for page in WITH_BLOCKS for one in blocks(page) if one.not_run]
    assert len(left_out) <= AT_MOST_NOT_RUN, "\n".join(left_out)
