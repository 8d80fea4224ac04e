"""The data folder in object storage: a real S3 server, and workers that share no folder with the coordinator."""

import hashlib
import random
import shutil

import pytest

from impl.run.checkpoint import checkpoint
from impl.run.depot import Depot, pack, unpack
from impl.run.digest import Digests
from impl.run.errors import EtlError
from impl.run.graph import Graph
from impl.run.place import Place
from tests.object_storage import prefix_for

from . import actions
from .conftest import Runs, sums


class Stored:
    """The objects of a test, as another program sees them."""

    def __init__(self, server, prefix):
        self.server, self.prefix = server, prefix

    def names(self):
        return sorted(name.removeprefix(f"{self.prefix}/") for name in self.server.objects("lake", self.prefix))

    def read(self, name):
        return self.server.client().get_object(Bucket="lake", Key=f"{self.prefix}/{name}")["Body"].read().decode()

    def write(self, name, text):
        self.server.client().put_object(Bucket="lake", Key=f"{self.prefix}/{name}", Body=text.encode())

    def delete(self, name):
        self.server.client().delete_object(Bucket="lake", Key=f"{self.prefix}/{name}")

    def read_times(self, name):
        return [one[1] for one in self.server.app.requests if one[0] == "GET" and one[1].endswith(f"{self.prefix}/{name}")]


@pytest.fixture
def address(s3_server, tmp_path):
    return s3_server.address("lake", prefix_for(tmp_path))


@pytest.fixture
def stored(s3_server, tmp_path):
    """With the raw files 1 and 2, put there by somebody else."""
    stored = Stored(s3_server, prefix_for(tmp_path))
    stored.write("raw/a", "1")
    stored.write("raw/b", "2")
    yield stored
    s3_server.app.hook = None


@pytest.fixture
def runs(place, address):
    return Runs(place, address)


def made(runs):
    return [line.split()[1] for line in runs.said if line.startswith("[+]")]


EVERYTHING = ["sum.a", "sum.b", "sum.all"]


def test_files_are_kept_there_and_what_lies_here_is_a_copy(runs, place, stored):
    runs(*sums(place))
    assert stored.names() == ["doubled/a", "doubled/b", "raw/a", "raw/b", "sum"]
    assert stored.read("sum") == "6"  # 2 * 1 + 2 * 2
    shutil.rmtree(place.data)
    runs(*sums(place))
    assert made(runs) == [] and not place.data.exists()
    runs(*sums(place, times=3))
    assert made(runs) == EVERYTHING and stored.read("sum") == "18"


@pytest.mark.parametrize("jobs", [1, 2])
def test_side_by_side_too(runs, place, stored, jobs):
    runs(*sums(place), jobs=jobs)
    assert stored.read("sum") == "6"


def test_only_what_is_needed_is_brought(runs, place, stored):
    runs(*sums(place))
    shutil.rmtree(place.data)
    stored.write("raw/b", "5")
    runs(*sums(place))
    assert made(runs) == ["sum.b", "sum.all"] and stored.read("sum") == "12"
    assert sorted(path.name for path in (place.data / "raw").iterdir()) == ["b"]


def test_what_others_did_there_is_seen_and_mended(runs, place, stored):
    runs(*sums(place))
    stored.delete("sum")
    stored.write("doubled/a", "900")
    why = {name: row.why for name, row in runs.standing(*sums(place)).items()}
    assert "doubled/a was changed since it was made" in why["sum.a"]
    assert "sum is missing" in why["sum.all"]
    runs(*sums(place))
    assert made(runs) == ["sum.a", "sum.all"] and stored.read("sum") == "6"


def test_a_copy_that_was_changed_here_counts_for_nothing(runs, place, stored):
    runs(*sums(place))
    (place.data / "doubled/a").write_text("900")
    runs(*sums(place))
    assert made(runs) == []
    stored.write("raw/b", "3")
    runs(*sums(place))
    assert stored.read("sum") == "8"


def test_the_digest_is_carried_and_not_computed_again(runs, place, stored, address, tmp_path):
    runs(*sums(place))
    head = stored.server.client().head_object(Bucket="lake", Key=f"{stored.prefix}/sum")
    assert head["Metadata"] == {"sha256": hashlib.sha256(b"6").hexdigest()}
    before = len(stored.read_times("sum"))
    other = Place(root=tmp_path, state=tmp_path / "other/state", data=tmp_path / "other/data")
    elsewhere = Digests(other.state / "digests.sqlite", Depot(address, other.data))
    assert elsewhere.of(other.data / "sum") == hashlib.sha256(b"6").hexdigest()
    assert elsewhere.of(other.data / "raw/a") == hashlib.sha256(b"1").hexdigest()  # carries none, so it is read
    assert elsewhere.of(other.data / "nothing") is None
    assert elsewhere.size(other.data / "sum") == 1
    assert len(stored.read_times("sum")) == before


def test_google_is_another_address(place, s3_server, stored, tmp_path):
    address = s3_server.google_address("lake", prefix_for(tmp_path))
    runs, seen = Runs(place, address), len(s3_server.app.requests)
    runs(*sums(place))
    assert stored.read("sum") == "6"
    shutil.rmtree(place.data)
    runs(*sums(place))
    assert made(runs) == []
    asked = {who.partition(" ")[0] for method, *_, who in s3_server.app.requests[seen:] if method == "PUT"}
    assert asked == {"Bearer"}


@pytest.mark.parametrize("provider", ["s3", "gs"])
def test_a_large_file_goes_in_parts_and_comes_back_as_it_was(place, s3_server, stored, tmp_path, provider):
    address = {"s3": s3_server.address, "gs": s3_server.google_address}[provider]("lake", prefix_for(tmp_path))
    depot, file = Depot(address, place.data), place.data / "raw/large"
    file.parent.mkdir(parents=True)
    file.write_bytes(content := random.Random(1).randbytes(23_000_000))
    depot.put(file, digest := hashlib.sha256(content).hexdigest())
    assert [query for *_, query, _ in s3_server.app.requests if "partNumber=3" in query and "uploadId" in query]
    file.unlink()
    depot.fetch(file, digest)
    assert file.read_bytes() == content
    assert Digests(tmp_path / "other.sqlite", Depot(address, place.data)).of(file) == digest


def test_what_changed_on_the_way_is_not_taken_for_what_was_meant(place, address, stored):
    depot, target = Depot(address, place.data), place.data / "raw/a"
    target.parent.mkdir(parents=True)
    target.write_text("before")
    with pytest.raises(EtlError, match="a file in object storage is not what it was") as caught:
        depot.fetch(target, hashlib.sha256(b"other").hexdigest())
    assert "/raw/a: SHA-256 6b86b273ff34, d9298a10d1b0 was meant" in caught.value.where  # of `1` and of `other`
    assert target.read_text() == "before" and [path.name for path in target.parent.iterdir()] == ["a"]


def test_what_cannot_be_put_there_is_the_checkpoints_error_and_is_made_the_next_time(runs, place, stored):
    refused = lambda request: "403 Forbidden" if request["REQUEST_METHOD"] == "PUT" else None  # noqa: E731
    stored.server.app.hook = refused
    with pytest.raises(EtlError, match="the object store refuses the credentials"):
        runs(*sums(place))
    assert stored.names() == ["raw/a", "raw/b"]
    stored.server.app.hook = None
    runs(*sums(place))
    assert made(runs) == EVERYTHING


def test_clean_takes_the_objects_away(runs, place, stored):
    runs(*sums(place))
    assert runs.clean(*sums(place)) == 3
    assert stored.names() == ["raw/a", "raw/b"] and not (place.data / "sum").exists()


def test_a_program_stays_one(place, address, stored, tmp_path):
    program = place.data / "tools/tool"
    actions.write_program(program, "#!/bin/sh\necho hello\n")
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    Depot(address, place.data).put(program, digest)
    elsewhere = tmp_path / "elsewhere"
    Depot(address, elsewhere).fetch(elsewhere / "tools/tool", digest)
    assert (elsewhere / "tools/tool").stat().st_mode & 0o777 == 0o755


def test_inputs_of_a_record_have_their_size_and_digest(place, address, stored):
    graph = Graph(sums(place), place, address)
    found = {one["file"]: (one["bytes"], one["sha256"]) for one in graph.inputs(EVERYTHING)}
    graph.close()
    assert found == {f"<data>/raw/{n}": (1, hashlib.sha256(text).hexdigest()) for n, text in (("a", b"1"), ("b", b"2"))}


def test_files_are_named_anew_wherever_they_stand(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    content = {"path": here / "a", "text": f"{here}/b", "deep": [(here / "c/d",)], "other": tmp_path, "word": "here/b"}
    assert unpack(pack(content, here), there) == {
        "path": there / "a", "text": f"{there}/b", "deep": [(there / "c/d",)], "other": tmp_path, "word": "here/b",
    }  # fmt: skip


# on a cluster


@pytest.mark.slow
class TestCluster:
    def test_workers_need_no_folder_of_the_coordinator(self, runs, place, stored, two_workers):
        runs(*sums(place), jobs=0, cluster=two_workers.address)
        assert stored.read("sum") == "6" and not place.data.exists()
        assert all(" on worker " in line for line in runs.said if line.startswith("[+]"))
        runs(*sums(place))  # here, what the cluster made is up to date
        assert made(runs) == []
        assert list(two_workers.folder.rglob("work-*")) == []

    def test_what_many_read_comes_to_each_worker_once(self, runs, place, stored, two_workers):
        source = place.data / "raw/a"
        steps = [
            checkpoint(f"n.{n}", actions.multiply, source, place.data / f"n/{n}", factor=n, file_dep=[source], targets=[place.data / f"n/{n}"])
            for n in range(12)
        ]  # fmt: skip
        graph = Graph(steps, place, runs.depot)
        assert graph.digests.of(source)  # carries no digest, so this reads it
        graph.close()
        before = len(stored.read_times("raw/a"))
        runs(*steps, jobs=0, cluster=two_workers.address)
        assert [stored.read(f"n/{n}") for n in range(12)] == [str(n) for n in range(12)]
        assert len(stored.read_times("raw/a")) - before <= 2

    def test_an_error_names_files_as_the_coordinator_does(self, runs, place, stored, two_workers):
        hidden = place.data / "raw/hidden"
        step = checkpoint("x", actions.multiply, hidden, place.data / "x", factor=1, targets=[place.data / "x"])
        with pytest.raises(EtlError, match="a file is missing") as caught:
            runs(step, jobs=0, cluster=two_workers.address)
        assert caught.value.where.startswith(f"x: {hidden} (worker ")

    def test_a_worker_that_does_not_reach_the_store_is_refused(self, runs, place, stored, two_workers):
        stored.server.app.hook = lambda request: "403 Forbidden" if ".cluster-" in request["PATH_INFO"] else None
        step = checkpoint("x", actions.write, place.data / "x", "text", targets=[place.data / "x"])
        with pytest.raises(EtlError, match="a worker does not reach the data folder in object storage") as caught:
            runs(step, jobs=0, cluster=two_workers.address)
        assert "worker anna: the object store refuses the credentials" in caught.value.where
        assert "worker bert" in caught.value.where
        stored.server.app.hook = None
        runs(step, jobs=0, cluster=two_workers.address)
        assert stored.read("x") == "text"
