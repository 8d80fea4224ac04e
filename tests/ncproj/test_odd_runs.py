"""What may happen to a run: inputs that change, signals, limits of the system, odd names and closed streams.

No test waits for time. A run is held at a known point by a stderr that is full (`--progress` then waits to be read), or by a
lease on a file that it opens; there the test does what it has to, and lets it go on.
"""

import errno
import fcntl
import os
import resource
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import geopandas
import netCDF4
import numpy as np
import pytest

from tests.ncproj.conftest import CRATE
from tests.ncproj.odd import LAT, LON

PROGRAM = CRATE / "target/release/ncproj"
STEPS = 40_000  # several windows of a run on one thread


def until(what, process=None):
    """Polls until `what()` is true; an assertion where the process ends before, or after a minute."""
    for _ in range(60_000):
        if what():
            return
        assert process is None or process.poll() is None, "the run was over before it was held"
        time.sleep(0.001)
    raise AssertionError("never came true")


def long_file(path, value=1.0, steps=STEPS, start=0, form="NETCDF3_CLASSIC", variable="w"):
    with netCDF4.Dataset(path, "w", format=form) as file:
        for side, centres, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file.createDimension(side, len(centres))
            axis = file.createVariable(side, "f8", (side,))
            axis.units = units
            axis[:] = centres
        file.createDimension("time", steps)
        axis = file.createVariable("time", "f8", ("time",))
        axis.units = "minutes since 2000-01-01"
        axis[:] = start + np.arange(steps)
        packing = {"zlib": True, "chunksizes": (min(steps, 1000), 4, 4)} if form == "NETCDF4" else {}
        file.createVariable(variable, "f4", ("time", "lat", "lon"), **packing)[:] = value
    return path


@pytest.fixture(autouse=True)
def plain_signals():
    """A pytest in the background ignores some signals, and what it starts inherits that."""
    before = {}
    for one in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGXCPU):
        before[one] = signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


class Held:
    """`ncproj WORDS --progress`, held at its first word of progress: after the first window of steps."""

    def __init__(self, folder, *words, output="o.csv", **options):
        self.folder = folder
        self.read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        try:
            while True:
                os.write(write_end, b"." * 512)
        except BlockingIOError:
            os.set_blocking(write_end, True)
        command = [PROGRAM, "aggregate", "--threads", "1", "--progress", "--index", "t.index", *map(str, words), "-o", output]
        self.process = subprocess.Popen(command, cwd=folder, stderr=write_end, stdout=subprocess.PIPE, **options)
        os.close(write_end)
        until(self.writes, self.process)

    def writes(self):
        """It waits in a call of the system whose first argument is stderr."""
        with open(f"/proc/{self.process.pid}/syscall") as file:
            return file.read().split()[1:2] == ["0x2"]

    def parts(self):
        return [p.name for p in self.folder.glob(".*.part")]

    def go_on(self):
        """Exit code and what it says."""
        said = b""
        while piece := os.read(self.read_end, 1 << 16):
            said += piece
        os.close(self.read_end)
        self.process.stdout.read()
        return self.process.wait(), said.lstrip(b".").decode()

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait()
        return code, self.go_on()[1]


@pytest.fixture
def held(desk):
    """A long file `l.nc`, its index, and a maker of held runs; what is left running is killed."""
    desk.index(grid=long_file(desk.folder / "l.nc").name)
    runs = []

    def make(*words, **options):
        runs.append(Held(desk.folder, *(words or ["l.nc"]), **options))
        return runs[-1]

    yield make
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def rows(path):
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def written(path, at, count=4000, value=2.0):
    """Overwrites floats in the place."""
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(np.full(count, value, ">f4").tobytes())


def appended(path):
    with open(path, "ab") as file:
        file.write(b"more")


def put_back(path):
    old = path.stat()
    written(path, -1_000_000)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


CHANGES = {
    "overwritten": lambda p: written(p, -1_000_000),
    "appended": appended,
    "truncated": lambda p: os.truncate(p, p.stat().st_size - 4000),
    "emptied": lambda p: os.truncate(p, 0),
    "its time put back": put_back,
    "made anew": lambda p: long_file(p, 3.0),
    "touched": lambda p: os.utime(p),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_changes_while_it_is_read_is_an_error(desk, held, change):
    (desk.folder / "o.csv").write_text("as before\n")
    run = held()
    if change == "made anew":  # netCDF4 writes in the place
        inode = (desk.folder / "l.nc").stat().st_ino
    CHANGES[change](desk.folder / "l.nc")
    if change == "made anew":
        assert (desk.folder / "l.nc").stat().st_ino == inode
    code, said = run.go_on()
    assert code == 1
    assert "`l.nc` changed while it was read" in said
    assert (desk.folder / "o.csv").read_text() == "as before\n"
    assert run.parts() == []


@pytest.mark.parametrize("change", ["overwritten", "truncated"])
def test_a_packed_input_that_changes_is_not_called_damaged(desk, held, change):
    long_file(desk.folder / "l.nc", form="NETCDF4")
    run = held()
    path = desk.folder / "l.nc"
    size = path.stat().st_size
    os.truncate(path, size // 2)
    if change == "overwritten":
        os.truncate(path, size)  # zeros: no chunk inflates
    code, said = run.go_on()
    assert code == 1
    assert "changed while it was read" in said and "fetch" not in said


def test_the_index_that_changes_is_an_error_too(desk, held):
    run = held()
    appended(desk.folder / "t.index")
    code, said = run.go_on()
    assert code == 1 and "`t.index` changed while it was read" in said


def test_the_field_of_weights_that_changes_is_an_error_too(desk, held):
    desk.grid(1.0, name="people.nc")
    run = held("--weights", "people.nc:v", "l.nc")
    os.utime(desk.folder / "people.nc")
    code, said = run.go_on()
    assert code == 1 and "`people.nc` changed while it was read" in said


def test_an_index_that_is_made_again_does_no_harm_to_who_has_read_the_old_one(desk, held):
    run = held()
    desk.index(grid="l.nc")  # written beside, and renamed
    assert run.go_on()[0] == 0


def test_an_input_that_is_replaced_by_a_rename_is_read_from_the_old_file(desk, held):
    run = held()
    long_file(desk.folder / "new.nc", 5.0).rename(desk.folder / "l.nc")
    assert run.go_on()[0] == 0
    assert {row[-1] for row in rows(desk.folder / "o.csv")} == {"1"}  # `valid`
    assert {row[2] for row in rows(desk.folder / "o.csv")} == {"1"}  # `min`, all of the old one


def test_an_input_that_is_deleted_is_read_to_its_end(desk, held):
    run = held()
    (desk.folder / "l.nc").unlink()
    assert run.go_on()[0] == 0


def test_a_link_or_a_mode_is_no_change(desk, held):
    run = held()
    os.link(desk.folder / "l.nc", desk.folder / "backup.nc")
    (desk.folder / "l.nc").chmod(0o444)
    assert run.go_on()[0] == 0


@pytest.mark.parametrize("change", ["replaced", "overwritten", "deleted"])
def test_a_later_input_is_the_one_that_was_planned(desk, held, change):
    later = long_file(desk.folder / "m.nc", start=STEPS)
    run = held("l.nc", "m.nc")
    match change:
        case "replaced":
            long_file(desk.folder / "new.nc", 5.0, start=STEPS).rename(later)
        case "overwritten":
            written(later, -1000, 10)
        case "deleted":
            later.unlink()
    code, said = run.go_on()
    assert code == 1
    assert "m.nc" in said and ("changed while it was read" in said or "there is no such file" in said)
    assert not (desk.folder / "o.csv").exists()


def test_the_record_is_of_the_bytes_that_were_read(desk, held):
    run = held("--json=run.json", "l.nc")
    long_file(desk.folder / "new.nc", 5.0).rename(desk.folder / "l.nc")
    code, said = run.go_on()
    assert code == 1 and "another file has taken its place" in said
    assert not (desk.folder / "run.json").exists()


def test_a_stream_says_at_its_end_that_an_input_changed(desk, held):
    command = [PROGRAM, "aggregate", "--threads", "1", "--index", "t.index", "l.nc", "-o", "-"]
    with subprocess.Popen(command, cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.readline()  # the rest does not fit into the pipe
        written(desk.folder / "l.nc", -1000, 10)
        run.stdout.read()
        assert b"changed while it was read" in run.stderr.read()
        assert run.wait() == 1


@contextmanager
def leased(path):
    """Who opens the file has to wait; yields a function that says whether someone does."""
    asked = []
    before = signal.signal(signal.SIGIO, lambda *_: asked.append(True))
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield lambda: bool(asked)
    finally:
        os.close(file)
        signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize("change", ["overwritten", "appended", "replaced"])
def test_a_grid_that_changes_while_an_index_is_made_is_an_error(desk, change):
    grid = desk.grid(1.0)
    regions = desk.regions([[10, 0], [14, 0], [14, 4], [10, 4], [10, 0]])
    whole = grid.read_bytes()
    with leased(regions) as asked:
        words = ["index", "--regions", "t.geojson", "--key", "id", "--grid", "t.nc", "-o", "t.index"]
        run = subprocess.Popen([PROGRAM, *words], cwd=desk.folder, stderr=subprocess.PIPE, text=True)
        until(asked, run)  # the grid is read, the regions are not
        match change:
            case "overwritten":
                with grid.open("r+b") as file:
                    file.seek(-16, os.SEEK_END)
                    file.write(bytes(16))
            case "appended":
                with grid.open("ab") as file:
                    file.write(b"x")
            case "replaced":
                (desk.folder / "new").write_bytes(whole)
                (desk.folder / "new").rename(grid)
    _, said = run.communicate()
    if change == "replaced":
        assert run.returncode == 0  # what was read is whole
    else:
        assert run.returncode == 1 and "`t.nc` changed while it was read" in said
        assert not (desk.folder / "t.index").exists()


SIGNALS = [
    (signal.SIGINT, "interrupted"),
    (signal.SIGTERM, "told to stop"),
    (signal.SIGHUP, "its terminal went away"),
    (signal.SIGQUIT, "told to quit"),
]


@pytest.mark.parametrize(("number", "word"), SIGNALS)
def test_a_signal_ends_the_run_and_leaves_nothing_behind(desk, held, number, word):
    run = held("--json=run.json", "l.nc")
    assert len(run.parts()) == 2
    code, _ = run.end(number)
    assert code == 128 + number
    assert run.parts() == []
    assert not (desk.folder / "o.csv").exists()


@pytest.mark.parametrize(("number", "word"), SIGNALS)
def test_a_signal_is_said(desk, number, word):
    """Held by a pipe of its own, so that stderr has room."""
    desk.index(grid=long_file(desk.folder / "l.nc").name)
    command = [PROGRAM, "aggregate", "--threads", "1", "--index", "t.index", "l.nc", "-o", "-"]
    with subprocess.Popen(command, cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.send_signal(number)
        assert run.wait() == 128 + number
        assert f"error: {word}" in run.stderr.read()


def test_the_seconds_that_are_allowed_are_named(desk):
    desk.index(grid=long_file(desk.folder / "l.nc").name)
    command = [PROGRAM, "aggregate", "--threads", "1", "--index", "t.index", "l.nc", "-o", "-"]
    with subprocess.Popen(command, cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.send_signal(signal.SIGXCPU)  # what the system sends at the soft limit of `ulimit -t`
        assert run.wait() == 1
        assert "`ulimit -t`" in run.stderr.read()


def test_a_signal_that_is_to_be_ignored_is_ignored(desk, held):
    run = held(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as `nohup` does
    run.process.send_signal(signal.SIGHUP)
    assert run.go_on()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_stopped_run_kept_is_gone_on_from(desk, held, number):
    desk.program("aggregate", "--index", desk.folder / "t.index", desk.folder / "l.nc", "-o", desk.folder / "whole.csv")
    run = held("--resume", "l.nc")
    journal = desk.folder / ".o.csv.resume"
    until(lambda: journal.stat().st_size > 40, run.process)  # a window is kept
    assert run.end(number)[0] == 128 + number
    assert journal.exists() and run.parts() == []
    done = desk.program(
        "aggregate", "--resume", "--index", desk.folder / "t.index", desk.folder / "l.nc", "-o", desk.folder / "o.csv"
    )
    assert done.returncode == 0 and "resumed" in done.stderr
    assert (desk.folder / "o.csv").read_bytes() == (desk.folder / "whole.csv").read_bytes()
    assert not journal.exists()


def test_what_a_killed_run_left_goes_with_the_next(desk, held):
    run = held()
    run.process.kill()
    run.process.wait()
    assert len(run.parts()) == 1
    again = held()
    assert len(again.parts()) == 1
    assert again.go_on()[0] == 0
    assert again.parts() == []


def test_two_runs_of_one_output_leave_each_other_alone_and_one_wins_whole(desk, held):
    long_file(desk.folder / "m.nc", 7.0)
    one = held("l.nc")
    two = held("m.nc")
    assert len(two.parts()) == 2
    assert two.go_on()[0] == 0
    assert {row[2] for row in rows(desk.folder / "o.csv")} == {"7"}
    assert len(one.parts()) == 1
    assert one.go_on()[0] == 0
    assert {row[2] for row in rows(desk.folder / "o.csv")} == {"1"}
    assert len(rows(desk.folder / "o.csv")) == STEPS


def test_two_runs_of_one_output_that_keep_what_is_finished_are_not_let(desk, held):
    held("--resume", "l.nc")
    done = desk.program(
        "aggregate", "--resume", "--index", desk.folder / "t.index", desk.folder / "l.nc", "-o", desk.folder / "o.csv"
    )
    assert done.returncode == 1 and "another run writes `o.csv`" in done.stderr


def limited(desk, limits, *words, hard=True, **options):
    """Runs ncproj in the folder under limits of the system."""

    def before():
        for what, most in limits.items():
            resource.setrlimit(what, (most, most if hard else resource.getrlimit(what)[1]))

    return subprocess.run(
        [PROGRAM, *map(str, words)], cwd=desk.folder, capture_output=True, text=True, preexec_fn=before, **options
    )


RUN = ("aggregate", "--index", "t.index", "t.nc", "-o", "o.csv")


@pytest.fixture
def small(desk):
    desk.grid(1.0)
    desk.index()
    return desk


@pytest.mark.parametrize("files", [4, 5, 6, 8, 12, 20])
def test_few_open_files_are_enough_or_named(small, files):
    done = limited(small, {resource.RLIMIT_NOFILE: files}, *RUN)
    assert "damaged" not in done.stderr and "panicked" not in done.stderr
    if done.returncode:
        assert files < 6 and "too many files are open" in done.stderr and "ulimit -n" in done.stderr
    else:
        assert rows(small.folder / "o.csv")[0][1] == "1"


@pytest.mark.parametrize("files", [4, 5])
@pytest.mark.parametrize(
    "words",
    [
        ("info", "t.nc"),
        ("index", "--regions", "t.geojson", "--key", "id", "--grid", "t.nc", "-o", "u.index"),
        ("check", "--index", "t.index", "t.nc"),
    ],
)
def test_other_commands_name_the_limit_of_open_files_too(small, files, words):
    done = limited(small, {resource.RLIMIT_NOFILE: files}, *words)
    assert "damaged" not in done.stderr
    assert done.returncode == 0 or "too many files are open" in done.stderr


@pytest.mark.parametrize("files", [4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("regions", ["r.parquet", "r.gpkg", "r.shp", "r.fgb", "r.shp.zip"])
def test_regions_of_each_format_name_the_limit_of_open_files(small, files, regions):
    geopandas.read_file(small.folder / "t.geojson").set_crs(4326, allow_override=True).pipe(
        lambda table: (
            table.to_parquet(small.folder / regions) if "parquet" in regions else table.to_file(small.folder / regions)
        )
    )
    words = ("index", "--regions", regions, "--key", "id", "--grid", "t.nc", "-o", "u.index")
    done = limited(small, {resource.RLIMIT_NOFILE: files}, *words)
    assert "damaged" not in done.stderr and "write it again" not in done.stderr, done.stderr
    assert done.returncode == 0 or "too many files are open" in done.stderr, done.stderr


def test_many_files_one_after_the_other_need_few_open_files(desk):
    names = [
        long_file(desk.folder / f"f{day:04}.nc", float(day), steps=1, start=day * 1440, form="NETCDF4").name
        for day in range(300)
    ]
    desk.index(grid=names[0])
    done = limited(
        desk, {resource.RLIMIT_NOFILE: 16}, "aggregate", "--index", "t.index", *names, "--stats", "mean", "-o", "o.csv"
    )
    assert done.returncode == 0, done.stderr
    assert [float(row[2]) for row in rows(desk.folder / "o.csv")] == list(range(300))


def test_a_limit_that_the_shell_begins_with_is_raised_where_that_is_allowed(desk):
    names = [long_file(desk.folder / f"f{k:04}.nc", float(k), steps=1, variable=f"w{k}").name for k in range(60)]
    desk.index(grid=names[0])
    words = ("aggregate", "--index", "t.index", *names, "--stats", "mean", "-o", "o.csv")
    assert limited(desk, {resource.RLIMIT_NOFILE: 32}, *words, hard=False).returncode == 0
    done = limited(desk, {resource.RLIMIT_NOFILE: 32}, *words)
    assert done.returncode == 1 and "too many files are open" in done.stderr and ".nc" in done.stderr


def test_little_memory_is_enough_or_named(small):
    """From what the loader needs upward: every amount ends with rows or a word, never with a signal."""
    ends = set()
    least = least_memory(small)
    for kilobytes in [*range(least, least + 10_000, 500), 2 * least, 100_000, 400_000]:
        done = limited(small, {resource.RLIMIT_AS: kilobytes * 1024}, *RUN, "--threads", "2")
        assert done.returncode in (0, 1), (kilobytes, done)
        assert "panicked" not in done.stderr and "damaged" not in done.stderr, (kilobytes, done.stderr)
        assert done.returncode == 0 or "memory" in done.stderr, (kilobytes, done.stderr)
        ends.add(done.returncode)
    assert 0 in ends
    assert list(small.folder.glob(".*.part")) == []


def least_memory(desk):
    """Kilobytes with which the program is loaded and comes to its own first words."""

    def starts(kilobytes):
        return limited(desk, {resource.RLIMIT_AS: kilobytes * 1024}, "--version").returncode == 0

    return next(kilobytes for kilobytes in range(8_000, 400_000, 500) if starts(kilobytes)) + 1_000


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "nc"])
def test_much_data_and_little_memory_end_with_a_word(desk, form):
    rings = [[[[10, 0], [14, 0], [14, 4], [10, 4], [10, 0]]]]
    desk.index(desk.regions(*rings, kind="MultiPolygon"), long_file(desk.folder / "l.nc", steps=200_000).name)
    for more in (3_000, 6_000, 12_000, 24_000):
        kilobytes = least_memory(desk) + more
        done = limited(
            desk,
            {resource.RLIMIT_AS: kilobytes * 1024},
            "aggregate",
            "--index",
            "t.index",
            "l.nc",
            "--stats",
            "mean,median",
            "-o",
            f"o.{form}",
            "--threads",
            "2",
        )
        assert done.returncode == 0 or (done.returncode == 1 and "memory" in done.stderr), (
            kilobytes,
            done.returncode,
            done.stderr,
        )
        assert list(desk.folder.glob(".*.part")) == []


def test_a_small_stack_is_enough(small):
    for kilobytes in (64, 256, 1024):
        done = limited(small, {resource.RLIMIT_STACK: kilobytes * 1024}, *RUN)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "nc"])
def test_a_limit_to_the_size_of_files_is_named(small, form):
    done = limited(small, {resource.RLIMIT_FSIZE: 10}, *RUN[:-1], f"o.{form}")
    assert done.returncode == 1
    assert "larger than is allowed here" in done.stderr and f"o.{form}" in done.stderr
    assert [p.name for p in small.folder.glob("*o.*")] == []


def test_a_limit_to_the_size_of_an_index_is_named(small):
    done = limited(
        small, {resource.RLIMIT_FSIZE: 10}, "index", "--regions", "t.geojson", "--key", "id", "--grid", "t.nc", "-o", "u.index"
    )
    assert done.returncode == 1 and "larger than is allowed here" in done.stderr


def test_threads_that_cannot_start_are_done_without_or_named(small):
    if os.getuid() != 0:
        pytest.skip("only root may become another user, who has no other process")
    for folder in [small.folder, *small.folder.parents]:
        if folder.stat().st_uid == 0 and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o007)
    for name in ("t.nc", "t.index"):
        (small.folder / name).chmod(0o644)
    nobody = 65_433
    if subprocess.run(
        [PROGRAM, "--version"], user=nobody, group=nobody, extra_groups=[], capture_output=True, check=False
    ).returncode:
        pytest.skip("another user cannot run the program where it lies")
    for most in (1, 2, 3, 4):

        def before(most=most):
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))

        done = subprocess.run(
            [PROGRAM, *RUN, "--threads", "4"],
            cwd=small.folder,
            capture_output=True,
            text=True,
            user=nobody,
            group=nobody,
            extra_groups=[],
            preexec_fn=before,
        )
        assert done.returncode == 0 or ("no thread can be started" in done.stderr and done.returncode == 1), done


def test_closed_streams_are_no_harm(small):
    run = f"'{PROGRAM}' aggregate --index t.index t.nc -o o.csv"
    for streams in ("<&-", "2>&-", ">&-", "<&- >&- 2>&-"):
        (small.folder / "o.csv").unlink(missing_ok=True)
        assert subprocess.run(["bash", "-c", f"{run} {streams}"], cwd=small.folder).returncode == 0
        assert rows(small.folder / "o.csv")[0][1] == "1"
    wrong = f"'{PROGRAM}' aggregate --index t.index none.nc -o o.csv 2>&-"
    assert subprocess.run(["bash", "-c", wrong], cwd=small.folder).returncode == 1


def test_a_reader_that_goes_away_is_no_error(desk):
    desk.index(grid=long_file(desk.folder / "l.nc").name)
    command = [PROGRAM, "aggregate", "--index", "t.index", "l.nc", "-o", "-"]
    with subprocess.Popen(command, cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
        assert run.wait() == 0


def test_no_folder_for_temporary_files_is_needed(small):
    done = subprocess.run([PROGRAM, *RUN], cwd=small.folder, env={"TMPDIR": "/none"}, capture_output=True)
    assert done.returncode == 0


def test_a_folder_that_is_gone_is_named(small):
    gone = small.folder / "gone"
    gone.mkdir()
    script = f"cd '{gone}' && rmdir '{gone}' && '{PROGRAM}' aggregate --index ../t.index ../t.nc -o o.csv"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and "there is no such" in done.stderr
    script = f"mkdir '{gone}'; cd '{gone}' && rmdir '{gone}' && '{PROGRAM}' aggregate --index '{small.folder}/t.index' '{small.folder}/t.nc' -o '{small.folder}/o.csv'"
    assert subprocess.run(["bash", "-c", script]).returncode == 0


@pytest.mark.parametrize(
    "name", ["with blanks", "with\na newline", "ü", "'\"$`;", b"\xff\xfe latin \xe9", "n" * 240, "-dash", "*"]
)
@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_odd_names_of_files_work(desk, name, form):
    name = os.fsdecode(name)
    long_file(desk.folder / "l.nc", steps=2, form=form).rename(desk.folder / f"{name}.nc")
    desk.regions([[10, 0], [14, 0], [14, 4], [10, 4], [10, 0]]).rename(desk.folder / f"{name}.geojson")

    def run(*words):
        return subprocess.run([PROGRAM, *words], cwd=desk.folder, capture_output=True)

    done = run("index", "--regions", f"./{name}.geojson", "--key", "id", "--grid", f"./{name}.nc", "-o", f"./{name}.index")
    assert done.returncode == 0, done.stderr
    for end in ("csv", "parquet"):
        done = run("aggregate", "--index", f"./{name}.index", f"./{name}.nc", "--resume", "-o", f"./{name}.{end}")
        assert done.returncode == 0, done.stderr
    assert len(rows(desk.folder / f"{name}.csv")) == 2
    assert [p for p in desk.folder.iterdir() if p.name.startswith(".")] == []


def test_the_longest_name_that_a_disk_has_is_fine_for_an_output(small):
    name = "n" * 251 + ".csv"
    done = small.program(
        "aggregate", "--resume", "--index", small.folder / "t.index", small.folder / "t.nc", "-o", small.folder / name
    )
    assert done.returncode == 0, done.stderr
    done = small.program(
        "aggregate", "--index", small.folder / "t.index", small.folder / "t.nc", "-o", small.folder / f"n{name}"
    )
    assert done.returncode == 1 and "the name is too long" in done.stderr


def test_links_that_lead_nowhere_are_named(small):
    (small.folder / "broken.nc").symlink_to("none.nc")
    (small.folder / "circle.nc").symlink_to("circle.nc")
    for name, word in (
        ("broken.nc", "a link to a file that is not there"),
        ("circle.nc", "lead in a circle"),
        (".", "it is a folder"),
        ("t.nc/x.nc", "is a file, not a folder"),
    ):
        done = limited(small, {}, "aggregate", "--index", "t.index", name, "-o", "o.csv")
        assert done.returncode == 1 and word in done.stderr, done.stderr
    done = limited(small, {}, "aggregate", "--index", "circle.nc", "t.nc", "-o", "o.csv")
    assert done.returncode == 1 and "lead in a circle" in done.stderr
    done = limited(small, {}, *RUN[:-1], "circle.nc", "--format", "csv")
    assert done.returncode in (1, 2) and "circle" in done.stderr


def test_an_output_that_is_a_device_is_refused(small):
    done = limited(small, {}, *RUN[:-1], "/dev/full", "--format", "csv")
    assert done.returncode == 1 and "a pipe or a device" in done.stderr
    assert Path("/dev/full").exists()


def test_a_full_disk_is_named(small):
    """A disk of our own that is too small for the rows."""
    disk = small.folder / "disk"
    disk.mkdir()
    long_file(small.folder / "l.nc")
    script = f"mount -t tmpfs -o size=64k none '{disk}' && '{PROGRAM}' aggregate --index t.index l.nc -o disk/o.csv; code=$?; ls -A disk; exit $code"
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], cwd=small.folder, capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 1 and "the disk is full" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("what", ["/proc", "a read-only folder"])
def test_what_is_not_there_is_not_needed(small, what):
    if what == "/proc":
        prepare = "mount -t tmpfs none /proc"
    else:
        (small.folder / "in").mkdir()
        for name in ("t.nc", "t.index"):
            (small.folder / name).rename(small.folder / "in" / name)
        prepare = (
            f"mount --bind '{small.folder}/in' '{small.folder}/in' && mount -o remount,ro,bind '{small.folder}/in' && cd in"
        )
    out = small.folder / "o.csv"
    script = f"{prepare} && '{PROGRAM}' aggregate --index t.index t.nc -o '{out}'"
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], cwd=small.folder, capture_output=True, text=True)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 0, done.stderr
    assert rows(out)[0][1] == "1"


def test_a_file_that_is_locked_for_writing_says_so(small):
    with netCDF4.Dataset(small.folder / "t.nc", "a"):
        done = limited(small, {}, *RUN)
        assert done.returncode == 0 or "open for writing" in done.stderr
    assert errno.EAGAIN  # what the lock gives
