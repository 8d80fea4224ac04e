"""Files come whole or not at all, over a network that breaks."""

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from impl.run import progress
from impl.run.errors import EtlError
from impl.source import fetch
from tests.source.conftest import answers, drops_after, is_silent, says_length, send, sends_without_length

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / "county.zip"


@pytest.fixture
def download(host, target):
    """Fetch the host's file as the target, without long waits."""
    return lambda **options: fetch.download(options.pop("url", host.url), target, **{"wait": 0.01, "timeout": 5, **options})


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole_and_is_held_against_its_pin(host, target, download):
    note = download(sha256=hashlib.sha256(host.body).hexdigest(), size=1000)
    assert target.read_bytes() == host.body
    assert note == "1.0 kB, sha256 as pinned"
    assert names(target) == ["county.zip"]


def test_a_broken_download_goes_on_where_it_stopped(host, target, download):
    host.faults = [drops_after(600), drops_after(300)]
    download()
    assert target.read_bytes() == host.body
    assert host.asked == [None, "bytes=600-", "bytes=900-"]


def test_the_next_run_goes_on_where_this_one_gave_up(host, target, download):
    host.faults = [drops_after(600), answers(503)]
    with pytest.raises(EtlError, match="600 bytes have arrived") as failed:
        download(attempts=2)
    assert "goes on where this one stopped" in failed.value.hint
    assert not target.exists()
    assert download() == "1.0 kB, continued at 600 bytes"
    assert target.read_bytes() == host.body
    assert host.asked[-1] == "bytes=600-"


def test_tries_that_get_further_are_not_counted(host, target, download):
    host.faults = [drops_after(100)] * 9
    download(attempts=2)
    assert target.read_bytes() == host.body


def test_a_server_that_refuses_ranges_starts_anew(host, target, download):
    host.serves_ranges = False
    host.faults = [drops_after(600)]
    download()
    assert target.read_bytes() == host.body
    assert host.asked == [None, "bytes=600-"]


def test_a_server_that_cannot_name_the_edition_is_not_asked_for_the_rest(host, target, download):
    host.headers = {}
    host.faults = [drops_after(600)]
    download()
    assert target.read_bytes() == host.body
    assert host.asked == [None, None]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(host, target, download):
    host.faults = [drops_after(600), host.changes_to(b"another edition" * 100, '"second"')]
    download()
    assert target.read_bytes() == b"another edition" * 100


def test_a_rest_of_another_edition_is_not_joined_to_ours(host, target, download):
    def careless(handler):  # serves the range of another file, and does not look at If-Range
        host.headers = {"ETag": '"second"'}
        host.body = b"x" * 1000
        handler.headers.replace_header("If-Range", '"second"')
        send(handler, host)

    host.faults = [drops_after(600), careless]
    download()
    assert target.read_bytes() == b"x" * 1000


def test_a_rest_that_the_server_does_not_have_any_more_starts_anew(host, target, download):
    host.faults = [drops_after(600), answers(416)]
    download()
    assert target.read_bytes() == host.body
    assert host.asked == [None, "bytes=600-", None]


def test_a_part_that_nobody_asked_for_is_not_taken_for_the_whole(host, target, download):
    host.faults = [answers(206, Content_Range="bytes 0-0/1000")]
    download()
    assert target.read_bytes() == host.body
    assert host.asked == [None, None]


def test_a_length_that_is_too_long_is_not_believed(host, target, download):
    host.faults = [says_length(1500)] * 3
    host.serves_ranges = False
    with pytest.raises(EtlError) as failed:
        download(attempts=3)
    assert failed.value.what == "the file could not be fetched"
    assert "the connection broke off at 1,000 bytes of 1,500, 3 times in a row" in failed.value.where
    assert not target.exists()


def test_a_server_that_lied_about_the_length_once_is_forgiven(host, target, download):
    host.faults = [says_length(1500)]
    download()
    assert target.read_bytes() == host.body
    assert host.asked == [None, "bytes=1000-", None]


@pytest.mark.parametrize("pin", [{"size": 1000}, {"sha256": hashlib.sha256(bytes(n % 251 for n in range(1000))).hexdigest()}])
def test_a_length_that_is_too_short_is_seen_by_the_pin(host, target, download, pin):
    host.faults = [says_length(400)]
    with pytest.raises(EtlError):
        download(**pin)
    assert names(target) == []


def test_a_body_without_a_length_arrives(host, target, download):
    host.faults = [sends_without_length]
    download(size=1000)
    assert target.read_bytes() == host.body


def test_a_packed_body_is_unpacked_and_its_length_is_not_that_of_the_file(host, target, download):
    import gzip

    original = b"year,day\n" * 1000
    host.body, host.headers = gzip.compress(original), {"Content-Encoding": "gzip", "ETag": '"packed"'}
    download(size=9000)
    assert target.read_bytes() == original


def test_a_wrong_checksum_names_both_and_leaves_nothing(host, target, download):
    pinned = "0" * 64
    with pytest.raises(EtlError) as failed:
        download(sha256=pinned)
    assert hashlib.sha256(host.body).hexdigest() in failed.value.where
    assert pinned in failed.value.where
    assert names(target) == []


def test_a_wrong_checksum_leaves_the_old_file(host, target, download):
    target.parent.mkdir()
    target.write_text("old")
    with pytest.raises(EtlError):
        download(sha256="0" * 64)
    assert target.read_text() == "old"


def test_another_size_than_pinned_is_seen_before_the_body_comes(host, target, download):
    with pytest.raises(EtlError) as failed:
        download(size=999)
    assert failed.value.where == f"{host.url}: 1,000 bytes, expected are 999"
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (404, "the server has no such file"),
        (403, "the server does not give you this file"),
        (400, "the server does not understand the request"),
    ],
)
def test_an_answer_that_will_not_change_is_not_asked_for_again(host, download, status, what):
    host.faults = [answers(status)]
    with pytest.raises(EtlError) as failed:
        download()
    assert failed.value.what == what
    assert f"{host.url}: {status}" in failed.value.where
    assert len(host.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_answer_that_may_change_is_asked_for_again(host, target, download, status):
    host.faults = [answers(status), answers(status)]
    download()
    assert target.read_bytes() == host.body


def test_the_server_says_how_long_to_wait(host, download):
    host.faults = [answers(503, Retry_After="1")]
    download()
    assert host.times[1] - host.times[0] >= 1.0


def test_waits_double(host, download):
    host.faults = [answers(503)] * 3
    download(wait=0.1)
    first, second, third = (later - sooner for sooner, later in zip(host.times, host.times[1:], strict=False))
    assert first >= 0.1
    assert second >= 0.2
    assert third >= 0.4


def test_a_silent_server_is_asked_again(host, target, download):
    host.faults = [is_silent(0.5)]
    download(timeout=0.1)
    assert target.read_bytes() == host.body


def test_nobody_at_home_is_said_in_words(target):
    with pytest.raises(EtlError) as failed:
        fetch.download("http://127.0.0.1:9/county.zip", target, attempts=2, wait=0.01)
    assert failed.value.where.startswith("http://127.0.0.1:9/county.zip: the connection was refused, 2 times in a row")


def test_a_login_page_is_not_taken_for_the_file(host, target, download):
    host.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(EtlError, match="web page"):
        download()
    assert names(target) == []


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a.zip", "/data/a.zip", "http://", "http://host:port/a.zip", "file:///etc/passwd"]
)
def test_only_http_is_fetched(target, url):
    with pytest.raises(EtlError, match="this is no address to fetch from"):
        fetch.download(url, target)


@pytest.mark.parametrize("fault", [answers(404), answers(503), drops_after(10)])
def test_a_password_in_the_address_is_never_shown(host, target, fault, download):
    host.faults = [fault]
    url = host.url.replace("http://", "http://user:secret@") + "?token=hidden"
    with pytest.raises(EtlError) as failed:
        download(url=url, attempts=1)
    assert "secret" not in str(failed.value)
    assert "hidden" not in str(failed.value)
    assert host.url in str(failed.value)
    kept = [path.read_text(errors="replace") for path in target.parent.iterdir()]
    assert not any("secret" in text or "hidden" in text for text in kept)


def test_control_c_keeps_what_has_arrived(host, target, download, monkeypatch):
    def interrupt(description, done, total, unit):
        if done >= 600:
            raise KeyboardInterrupt

    host.faults = [drops_after(600)]
    monkeypatch.setattr(progress, "_sink", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download()
    monkeypatch.setattr(progress, "_sink", None)
    assert download() == "1.0 kB, continued at 600 bytes"
    assert target.read_bytes() == host.body


def test_a_killed_run_is_continued_by_the_next(host, target, download):
    host.body = host.body * 200  # more than the block that is read at once
    host.faults = [lambda handler: stall(handler, host, 150_000)]
    code = f"from impl.source.fetch import download; download({host.url!r}, {str(target)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    partial = target.with_name(".county.zip.partial")
    while not partial.exists() or partial.stat().st_size < 2 * fetch.BLOCK:
        time.sleep(0.01)
        assert process.poll() is None
    process.kill()
    process.wait()
    note = download()
    assert "continued at 131.1 kB" in note  # two blocks of 65,536 bytes
    assert target.read_bytes() == host.body


def stall(handler, host, count):
    """Say the true length, send `count` bytes, and then nothing until the other side goes."""
    handler.send_response(200)
    handler.send_header("ETag", host.headers["ETag"])
    handler.send_header("Content-Length", str(len(host.body)))
    handler.end_headers()
    handler.wfile.write(host.body[:count])
    handler.wfile.flush()
    handler.connection.settimeout(5)
    handler.connection.recv(1)


def test_two_at_once_do_not_hurt_each_other(host, target):
    both_are_here = threading.Barrier(2, timeout=10)

    def slowly(handler):
        both_are_here.wait()
        send(handler, host)

    host.faults = [slowly, slowly]
    notes = []
    threads = [threading.Thread(target=lambda: notes.append(fetch.download(host.url, target))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes == ["1.0 kB", "1.0 kB"]
    assert target.read_bytes() == host.body
    assert names(target) == ["county.zip"]


def test_a_full_disk_is_said_before_the_body_comes(host, small_disk):
    host.body = b"x" * 2_000_000
    with pytest.raises(EtlError, match="the disk is too full for this file") as failed:
        fetch.download(host.url, small_disk / "county.zip")
    assert "2.0 MB to come" in failed.value.where


def test_a_disk_that_fills_up_is_said_with_the_file(host, small_disk):
    host.body, host.faults = b"x" * 2_000_000, [sends_without_length]
    with pytest.raises(EtlError, match="the disk is full") as failed:
        fetch.download(host.url, small_disk / "county.zip")
    assert "county.zip" in failed.value.where
    assert list(small_disk.iterdir()) == []


def test_a_read_only_disk_is_said_with_the_file(host, read_only_disk):
    with pytest.raises(EtlError, match="the disk is read-only") as failed:
        fetch.download(host.url, read_only_disk / "county.zip")
    assert "county.zip" in failed.value.where


def test_a_mirror_is_copied_and_held_against_its_pin(tmp_path, target):
    source = tmp_path / "county.zip"
    source.write_bytes(b"12345")
    assert fetch.copy(source, target, sha256=hashlib.sha256(b"12345").hexdigest()) == "5 bytes, sha256 as pinned"
    assert target.read_bytes() == b"12345"


def test_a_mirror_with_another_edition_is_refused(tmp_path, target):
    source = tmp_path / "county.zip"
    source.write_bytes(b"12345")
    with pytest.raises(EtlError, match="another size"):
        fetch.copy(source, target, size=6)
    with pytest.raises(EtlError, match="another sha256"):
        fetch.copy(source, target, sha256="0" * 64)
    assert names(target) == []


def test_a_file_that_the_mirror_lacks_names_its_like(tmp_path, target):
    (tmp_path / "tl_2010_us_county10.zip").write_bytes(b"")
    with pytest.raises(EtlError) as failed:
        fetch.copy(tmp_path / "tl_2010_us_county00.zip", target)
    assert failed.value.what == "the mirror has no file `tl_2010_us_county00.zip`"
    assert failed.value.hint == "near names are `tl_2010_us_county10.zip`"


def test_a_mirror_that_is_not_there_says_so(tmp_path, target):
    with pytest.raises(EtlError, match="the mirror folder is not there"):
        fetch.copy(tmp_path / "nowhere" / "county.zip", target)


def test_a_full_disk_leaves_nothing_of_a_copy(tmp_path, small_disk):
    source = tmp_path / "county.zip"
    source.write_bytes(b"x" * 2_000_000)
    with pytest.raises(EtlError, match="the disk is full"):
        fetch.copy(source, small_disk / "county.zip")
    assert list(small_disk.iterdir()) == []
