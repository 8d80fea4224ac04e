"""What goes wrong around a run: files that are not what they say, disks that are full, runs that are killed or meet another.

In each case there is one error that says where, no traceback, and the output is what it was.
"""

import bz2
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from impl.tabular.command import main

OLD = "what was there before\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes a document that reads `file` into output/rows.jsonl, which is there already; gives what `run` says of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    (tmp_path / "output/rows.jsonl").write_text(OLD)

    def write(name, content, options="", operations="[]"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        (tmp_path / "earthmover.yaml").write_text(
            f"version: 2\nconfig: {{output_dir: ./output}}\nsources:\n  rows: {{file: {name}{options}}}\n"
            f"transformations:\n  made: {{source: $sources.rows, operations: {operations}}}\n"
            "destinations:\n  rows: {source: $transformations.made, extension: jsonl}\n"
        )

    return write


def files():
    return sorted(one.name for one in Path("output").rglob("*") if one.is_file())


PACKED = gzip.compress(b"a\n" + b"1\n" * 50_000, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("a.csv.gz", PACKED[: len(PACKED) // 2], "", "the compressed file is damaged"),
        ("a.csv.gz", PACKED[:-8] + b"\0" * 8, "", "the compressed file is damaged: CRC check failed"),
        ("a.csv.gz", b"a\n1\n", "", "the compressed file is damaged: Not a gzipped file"),
        ("a.csv.bz2", b"a\n1\n", "", "the compressed file is damaged: Invalid data stream"),
        ("a.csv.bz2", bz2.compress(b"a\n1\n")[:-9], "", "the compressed file is damaged"),
        ("a.csv", b"a\n1\n\xfc\n", "", "the byte 0xfc is not valid utf-8"),
        ("a.csv", b"", "", "the file is empty"),
        ("a.csv", b"a\n", ", encoding: base64", "there is no encoding `base64`"),
        ("a.parquet", b"PAR1 and no more", "", "the file cannot be read as parquet"),
        ("a.xlsx", b"PK", "", "the file cannot be read as excel"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "", "reading type `excel` needs the package"),
        ("a.xml", b"<r><d><a>1</a></d></r>", ", xpath: '//['", "`xpath` cannot be read"),
        ("a.html", b"<p>no table</p>", "", "the file cannot be read as html: No tables found"),
        ("a.html", b"<table><tr><td>1</td></tr></table>", ", match: '['", "the file cannot be read as html: unterminated"),
        ("folder.csv", None, "", "this is a folder, not a file"),
        ("folder.xlsx", None, "", "the file cannot be read as excel: Is a directory"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_one_error_with_its_place(project, capsys, name, content, options, said):
    project(name, content, options)
    if content is None:
        Path(name).mkdir()
    assert main(["run"]) == 255
    told = capsys.readouterr().err
    assert said in told and "earthmover.yaml, line 4: $sources.rows" in told
    assert "Traceback" not in told and "did not foresee" not in told
    assert files() == ["rows.jsonl"] and Path("output/rows.jsonl").read_text() == OLD


def test_rows_without_columns_are_refused_before_they_are_lost(project, capsys):
    project("a.csv", b"a\n1\n", operations="[{operation: drop_columns, columns: ['*']}]")
    assert main(["run"]) == 255
    assert "no column is left" in capsys.readouterr().err


@pytest.mark.slow
def test_a_very_long_value_is_read_in_time_that_grows_with_it(project):
    project("a.csv", b"a,b\n1," + b"x" * 20_000_000 + b"\n2,y\n")
    assert main(["run"]) == 0
    assert Path("output/rows.jsonl").stat().st_size == 20_000_000 + len('{ "a": "1", "b": "" }\n{ "a": "2", "b": "y" }\n')


@pytest.mark.slow
def test_ten_thousand_columns_are_written(project):
    names = [f"c{number}" for number in range(10_000)]
    project("a.csv", (",".join(names) + "\n" + ",".join("1" for _ in names) + "\n").encode())
    assert main(["run"]) == 0
    assert Path("output/rows.jsonl").read_text() == "{ " + ", ".join(f'"{name}": "1"' for name in names) + " }\n"


def test_what_cannot_be_written_is_said_with_the_name_of_the_file(project, capsys):
    project("a.csv", b"a\n1\n")
    Path("output/rows.jsonl").unlink()
    Path("output/rows.jsonl").mkdir()
    assert main(["run"]) == 255
    told = capsys.readouterr().err
    assert "is a directory" in told and "output/rows.jsonl" in told and ".part" not in told
    assert files() == []


@pytest.fixture
def small_disk(tmp_path):
    """The folder `output` on a disk of one megabyte, with the rows of before."""
    if os.geteuid():
        pytest.skip("only root may mount a disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path / "output"], capture_output=True)
    if done.returncode:
        pytest.skip("no disk may be mounted here")
    (tmp_path / "output/rows.jsonl").write_text(OLD)
    yield
    subprocess.run(["umount", tmp_path / "output"], check=True)


def test_a_full_disk_leaves_what_was_there(project, small_disk, capsys):
    project("a.csv", b"a\n" + b"a long line of text\n" * 100_000)
    assert main(["run"]) == 255
    told = capsys.readouterr().err
    assert "error: no space left on device" in told and "hint: make room" in told and "did not foresee" not in told
    assert files() == ["rows.jsonl"] and Path("output/rows.jsonl").read_text() == OLD


SORT = "[{operation: sort_rows, columns: [a]}, {operation: add_columns, columns: {b: '{%raw%}{{md5(a)}}{%endraw%}'}}]"


def hears():
    """As a process that a person starts, whoever started these tests (`nohup` has SIGHUP ignored by all below it)."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL if one != signal.SIGINT else signal.default_int_handler)


def start(*words, **streams):
    return subprocess.Popen(
        [sys.executable, "-m", "impl.tabular.command", "run", *words],
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **streams},
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        preexec_fn=hears,
    )


@pytest.fixture
def ended(project, tmp_path, monkeypatch):
    """Sends a signal to a run that has begun to write; gives its exit code, what it said and what is in its folder of temporary files."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    slow = SORT.replace("{{md5(a)}}", "{{ range(1000)|sum }}{{md5(a)}}")  # seconds of work behind the first sign of it
    project("a.csv", b"a\n" + b"".join(b"%d\n" % number for number in range(200_000)), operations=slow)

    def ended(number):
        run = start()
        deadline = time.monotonic() + 60
        while not any(one.name.endswith(".part") for one in Path("output").iterdir()):
            assert run.poll() is None and time.monotonic() < deadline, "the run has ended before it could be asked to"
            time.sleep(0.01)
        run.send_signal(number)
        said = run.communicate()[1].decode()
        assert Path("output/rows.jsonl").read_text() == OLD
        return run.returncode, said, list((tmp_path / "tmp").iterdir())

    return ended


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_what_was_there_and_the_next_one_sweeps(ended, tmp_path):
    code, _, left = ended(signal.SIGKILL)
    assert (code, len(left)) == (-9, 1)
    assert main(["run"]) == 0
    assert files() == ["rows.jsonl"] and not list((tmp_path / "tmp").iterdir())
    assert len(Path("output/rows.jsonl").read_text().splitlines()) == 200_000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_asked_to_end_leaves_nothing_behind(ended, number, code):
    found, said, left = ended(number)
    assert (found, left, files()) == (code, [], ["rows.jsonl"])
    assert "error: interrupted" in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_of_a_run_ends_it_without_a_traceback(project, number):
    template = "{% set d = {} %}{% for k in range(1000) %}{% set _ = d.update({k: a}) %}{% endfor %}{{ d | length }}"
    project("a.csv", b"a\n" + b"".join(b"%d\n" % number for number in range(100_000)))
    Path("t.jinja").write_text(template)
    text = Path("earthmover.yaml").read_text().replace("extension: jsonl", "extension: jsonl, template: t.jinja")
    Path("earthmover.yaml").write_text(text.replace("output_dir: ./output", "output_dir: ./output, workers: 2"))
    run = start(start_new_session=True)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    deadline = time.monotonic() + 60
    while len(children.read_text().split()) < 3:  # the workers, and one that sweeps behind them
        assert run.poll() is None and time.monotonic() < deadline, "the run has ended before it had workers"
        time.sleep(0.01)
    os.killpg(run.pid, number)
    said = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 128 + number
    assert "error: interrupted" in said and "Traceback" not in said
    assert files() == ["rows.jsonl"] and Path("output/rows.jsonl").read_text() == OLD


def test_a_run_goes_on_when_nobody_listens_any_more(project):
    project("a.csv", b"a\n1\n")
    for words, stream in (((), "stderr"), (("--json",), "stdout")):
        Path("output/rows.jsonl").unlink()
        reader, writer = os.pipe()
        os.close(reader)
        run = start(*words, **{stream: writer})
        os.close(writer)
        run.communicate()
        assert (run.returncode, files()) == (0, ["rows.jsonl"])


@pytest.mark.parametrize("words", [[], ["-s", "nobody"]])
def test_results_that_cannot_be_written_are_an_error_beside_that_of_the_run(project, capsys, words):
    project("a.csv", b"a\n1\n")
    Path("results").mkdir()
    assert main(["run", "-r", "results", *words]) == 255
    said = capsys.readouterr().err
    assert said.count("error: the results cannot be written: is a directory") == 1
    assert ("the selector chooses no node" in said) == bool(words)


@pytest.mark.slow
def test_two_runs_at_once_both_end_and_the_file_is_whole(project):
    project("a.csv", b"a\n" + b"".join(b"%d\n" % number for number in range(50_000)), operations=SORT)
    runs = [start(), start()]
    said = [run.communicate(timeout=120)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert files() == ["rows.jsonl"]
    assert len(Path("output/rows.jsonl").read_text().splitlines()) == 50_000


@pytest.mark.parametrize("ending", ["csv", "foo"])
def test_a_password_in_an_address_is_hidden_whatever_is_wrong_with_it(project, capsys, ending):
    project("a.csv", b"", options="")
    text = f"version: 2\nsources: {{a: {{file: 'https://ada:pass-word-1@127.0.0.1:9/x.{ending}'}}}}\n"
    Path("earthmover.yaml").write_text(text + "destinations: {d: {source: $sources.a}}\n")
    assert main(["run"]) == 255
    said = capsys.readouterr().err
    assert "pass-word-1" not in said and ("cannot be fetched" in said) == (ending == "csv")


def test_a_password_in_a_traceback_is_hidden(project, capsys):
    project("a.csv", b"")
    text = "version: 2\nsources: {a: {connection: 'nosuch://ada:pass-word-1@db/x', query: select 1}}\n"
    Path("earthmover.yaml").write_text(text + "destinations: {d: {source: $sources.a}}\n")
    assert main(["run", "-e"]) == 255
    said = capsys.readouterr()
    assert "Traceback" in said.err and "pass-word-1" not in said.err + said.out


WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(WITHOUT_RIGHTS) and not shutil.which("setpriv"), reason="root may read and write everything")
def test_what_may_not_be_read_or_written_is_told_with_its_place(project):
    def run(*words):
        done = subprocess.run(
            [*WITHOUT_RIGHTS, sys.executable, "-m", "impl.tabular.command", "run", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        assert done.returncode == 255
        return done.stderr

    project("a.csv", b"a\n1\n")
    Path("output").chmod(0o555)
    said = run()
    Path("output").chmod(0o755)
    assert "error: permission denied" in said and "output/rows.jsonl\n" in said and "hint: mend its rights" in said
    Path("a.csv").chmod(0)
    Path("t.jinja").touch(0)
    said = run("--set", "destinations.rows.template", "t.jinja")
    assert "error: the document has 2 problems" in said and "t.jinja` cannot be read: Permission denied" in said
    assert "earthmover.yaml, line 4: $sources.rows\n" in said and "a.csv` cannot be read: permission denied" in said


def test_all_that_is_wrong_with_a_node_is_told_at_once(capsys, project):
    project("a.csv", b"a\n1\n")
    text = (
        Path("earthmover.yaml")
        .read_text()
        .replace(
            "extension: jsonl",
            "extension: [x], on_fail: ignore, require_rows: -1, format: cvs, linearize: maybe, expect: ['a ==', b == 1]",
        )
    )
    Path("earthmover.yaml").write_text(text)
    assert main(["run"]) == 255
    said = capsys.readouterr().err
    for one in (
        "`extension` has to be one text",
        "`on_fail` cannot be `ignore`",
        "`require_rows` has to be True or a whole number",
        "`format` cannot be `cvs` (did you mean `csv`?)",
        "`linearize` has to be True or False",
        "`expect` is no Jinja: unexpected",
        "there is no column `b`",
    ):
        assert said.count(one) == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("tmp_dir: a.csv", "the folder for temporary files is a file"),
        ("state_file: a.csv/state.csv", "the state cannot be kept: file exists"),
        ("output_dir: a.csv", "rows.jsonl` lies in `"),
    ],
)
def test_a_folder_that_is_a_file_is_told_before_the_work(capsys, project, config, said):
    project("a.csv", b"a\n1\n")
    Path("earthmover.yaml").write_text(Path("earthmover.yaml").read_text().replace("output_dir: ./output", config))
    assert main(["run"]) == 255
    told = capsys.readouterr().err
    assert said in told and "[+]" not in told and "hint: " in told
    assert files() == ["rows.jsonl"] and Path("output/rows.jsonl").read_text() == OLD
