"""Secrets: any character in a value, no part of one in a text, plain ones refused."""

import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from impl.run import objects, secrets
from impl.run.errors import EtlError

WORD = 'p@ss:w/rd%41 "x"'
ADDRESS = "postgresql://etl:${DB_PASSWORD}@db.host:5432/etl?schema=climate"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(secrets, "_known", {"DB_PASSWORD": WORD})


@pytest.mark.parametrize(
    ("written", "revealed"),
    [
        (ADDRESS, "postgresql://etl:p%40ss%3Aw%2Frd%2541%20%22x%22@db.host:5432/etl?schema=climate"),
        ("postgresql://etl@h/d?password=${DB_PASSWORD}", "postgresql://etl@h/d?password=p%40ss%3Aw%2Frd%2541%20%22x%22"),
        ("json://h/hook/${DB_PASSWORD}", "json://h/hook/p%40ss:w/rd%2541%20%22x%22"),  # a path of its own may have slashes
        ("${DB_PASSWORD}", WORD),  # alone it is no address
    ],
)
def test_a_value_is_encoded_for_its_place_in_an_address(written, revealed):
    assert secrets.reveal(written) == revealed


def test_hosts_and_whole_addresses_stay_as_they_are():
    secrets.provide({"HOST": "[::1]:5432", "HOOK": "json://chat/hook?x=1", "WEAK": "T1/B2/x3"})
    assert secrets.reveal("postgresql://etl@${HOST}/etl") == "postgresql://etl@[::1]:5432/etl"
    assert secrets.reveal("${HOOK}") == "json://chat/hook?x=1"
    assert secrets.reveal("slack://${WEAK}") == "slack://T1/B2/x3"


@pytest.mark.parametrize(
    "said",
    [
        f"could not connect with password {WORD}",
        'could not translate host name "ss:w" to address: Name or service not known',
        'invalid integer value "w/rd%41" for connection option "port"',
        "GET /rd%41%20 and user ss:w/rd",
        f"encoded {quote(WORD, safe='')} and {quote(WORD)} and {quote(WORD, safe='').lower()}",
        json.dumps({"error": WORD}),
        f"decoded by a library that took it for encoded: {WORD.replace('%41', 'A')}",
    ],
)
def test_no_part_of_a_value_is_left(said):
    left = secrets.redact(said)
    assert secrets.HIDDEN in left
    assert not any(part in left for part in ("ss:w", "w/rd", "rd%41", "rd%2541", "ss%3Aw", "ss%3aw", "rdA", '"x"')), left


def test_parts_of_a_value_are_hidden_where_they_stand_alone(monkeypatch):
    monkeypatch.setattr(secrets, "_known", {"A": "data@hunter22"})
    assert secrets.redact("user hunter22 at database data/local") == "user *** at database ***/local"
    assert secrets.redact("metadata, hunter221") == "metadata, hunter221"


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("postgresql://etl:hunter2@db/etl", "postgresql://etl:***@db/etl"),
        ("postgresql://etl:hun/ter@2#x@db/etl", "postgresql://etl:***@db/etl"),
        ("postgresql://etl:hun ter2@db/etl", "postgresql://etl:***@db/etl"),
        ("mirror:https://u:hunter2@host/raw", "mirror:https://u:***@host/raw"),
        ("dask:tls://u:hunter2@host:8786", "dask:tls://u:***@host:8786"),
        ("postgresql://etl@db/etl?password=hunter2", "postgresql://etl@db/etl?password=***"),
        ("mailto://me@host?pass=hunter2", "mailto://me@host?pass=***"),
        ("az://c/p?account_name=a&sas_token=hunter2", "az://c/p?account_name=a&sas_token=***"),
    ],
)
def test_a_password_that_is_written_out_is_refused_and_not_shown(address, left):
    with pytest.raises(EtlError, match="has a password in it") as caught:
        secrets.refuse_plain(address, "here")
    assert caught.value.where == f"here: {left}"


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS,
        "https://host:8080/a@b",
        "s3://b/p?endpoint_url=http://127.0.0.1:9000&access_key_id=a@b",
        "dask:tcp://10.0.0.5:8786",
        "mirror:/home/me/data",
        "postgresql://etl@db/etl?passfile=/home/me/.pgpass",
    ],
)
def test_what_has_no_password_is_not_refused(address):
    secrets.refuse_plain(address, "here")


def test_a_secret_that_is_not_there_names_both_places():
    with pytest.raises(EtlError) as caught:
        secrets.reveal("postgresql://u:${NO_SUCH}@h/d", "the store")
    assert "environment variable NO_SUCH" in caught.value.hint
    assert "`secrets.env`" in caught.value.hint and "ETL_SECRETS" in caught.value.hint


def test_a_file_of_secrets_keeps_quotes_that_belong_to_a_value(tmp_path):
    file = tmp_path / "secrets.env"
    file.write_text(f"A={WORD}\nB='{WORD}'\nC=\" blank \"\nD=a=b\n")
    file.chmod(0o600)
    assert secrets.look_up("ABCDE", {}, file) == {"A": WORD, "B": WORD, "C": " blank ", "D": "a=b", "E": ""}


def test_a_plus_in_a_key_is_a_plus():
    assert objects.options_of("access_key_id=AK+I/A=&secret_access_key=${X}&region=a%20b") == {
        "access_key_id": "AK+I/A=",
        "secret_access_key": "${X}",
        "region": "a b",
    }
    secrets.provide({"S3_SECRET": "se+cr/et="})
    asked = objects.ObjectStorage("s3://b/p?region=x&access_key_id=AK+I/A&secret_access_key=${S3_SECRET}", "it", "it")
    config = asked.connection._config
    assert (config["aws_access_key_id"], config["aws_secret_access_key"]) == ("AK+I/A", "se+cr/et=")


def arguments(end, seen):
    """The words of all programs that run, until the end."""
    while not end.is_set():
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(one.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
        time.sleep(0.05)


@pytest.mark.slow
def test_no_part_of_a_password_is_shown_or_kept(copy_of_checkout, postgres):
    """Typed as people do: it connects; screen, records, ledger, arguments and files have no part of it."""
    checkout = copy_of_checkout
    quoted = WORD.replace("'", "''")
    postgres.sql(f"create role sealed login superuser password '{quoted}'")
    postgres.sql("create database dev", "postgres")
    postgres.sql("create database prod", "postgres")
    hba = postgres.folder / "data/pg_hba.conf"
    hba.write_text("host all sealed 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    postgres.sql("select pg_reload_conf()")
    place = f"sealed:${{PGSEC}}@127.0.0.1:{postgres.port}"
    (checkout.root / "invoke.yaml").write_text(
        "etl:\n  environments:\n"
        f"    development:\n      store: postgresql://{place}/dev?schema=climate\n"
        f"    production:\n      store: postgresql://{place}/prod?schema=climate\n"
    )
    (checkout.root / ".gitignore").write_text("secrets.env\n")
    file = checkout.root / "secrets.env"
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=checkout.root, check=True)
    end, seen = threading.Event(), set()
    watching = threading.Thread(target=arguments, args=(end, seen))
    watching.start()
    try:
        told = [
            checkout.type("env.check", ETL_ENV="development", PGSEC=f"{WORD} wrong"),
            checkout.type("env.check", ETL_ENV="development"),
        ]
        assert all(one.returncode for one in told)
        assert "secrets.env" in told[1].stdout and "PGSEC" in told[1].stdout
        file.write_text(f"PGSEC={WORD}\n")
        file.chmod(0o600)
        development = {"ETL_ENV": "development"}
        told += [
            checkout.invoke("env.show", **development),
            checkout.invoke("env.check", **development),
            checkout.invoke("region.stage", **development),
            checkout.type("promote.run", "--datasets", "region"),
            checkout.type("promote.list"),
            checkout.invoke("runs.show", "last", **development),
            checkout.type("--debug", "store.query", "select nothing from nowhere", **development),
            checkout.type("region.stage", ETL_STORE=f"postgresql://{place.replace('127.0.0.1', 'nowhere.invalid')}/dev"),
        ]
    finally:
        end.set()
        watching.join()
        hba.write_text(hba.read_text().partition("\n")[2])
    assert told[5].returncode == 0, told[5].stderr
    said = [text for one in told for text in (one.stdout, one.stderr)]
    kept = [
        one.read_text(errors="replace")
        for folder in (checkout.data, checkout.root)
        for one in folder.rglob("*")
        if one.is_file() and one != file and not one.is_symlink() and ".git" not in one.parts
    ]
    assert len(kept) > 20 and len(seen) > 5
    parts = re.compile("|".join(map(re.escape, ("ss:w", "w/rd", "rd%41", "rd%2541", "ss%3Aw", "rdA "))))
    ours = [text for text in kept if "ss:w/rd%41" not in text or "WORD" not in text]  # but for this test itself
    for text in (*said, *ours, *(one for one in seen if str(os.getpid()) not in one)):
        found = parts.search(text)
        assert not found, text[max(0, found.start() - 200) : found.end() + 200]


def test_whoever_takes_an_address_to_pieces_finds_the_value(receiver, known):
    """The libraries that are handed revealed addresses: messages, databases of documents."""
    import base64

    import sqlalchemy

    from impl.run import notify

    heard = []
    receiver.take.parse_request = lambda self, usual=receiver.take.parse_request: (usual(self), heard.append(self.headers))[0]
    message = notify.message({"outcome": "success", "environment": "e", "command": "c", "id": "1", "host": "h"}, [])
    assert notify.send([receiver.address.replace("//", "//me:${DB_PASSWORD}@")], message) == []
    assert base64.b64decode(heard[0]["Authorization"].removeprefix("Basic ")).decode() == f"me:{WORD}"
    found = sqlalchemy.make_url(secrets.reveal(ADDRESS))
    assert (found.password, found.host, found.database) == (WORD, "db.host", "etl")


def test_what_a_run_record_keeps_has_no_part(known):
    from impl.run.records import _redacted

    secrets.provide({"PHRASE": "region county"})
    name = {"checkpoints": [{"name": "region.county.load", "why": "region is wrong"}]}
    assert _redacted(name) == {"checkpoints": [{"name": "region.county.load", "why": "*** is wrong"}]}
    kept = json.dumps(_redacted({"error": {"where": f"ss:w and {WORD}", "n": 3}, "list": [f"x {quote(WORD)}"]}))
    assert not any(part in kept for part in ("ss:w", "w/rd", "rd%41", "rd%2541"))


def test_an_error_that_nobody_foresaw_is_told_without_parts(known, monkeypatch):
    import logging

    from invoke.exceptions import Exit

    from impl.run.namespace import _InOurWords

    with pytest.raises(Exit) as caught, _InOurWords("task/x.py"):
        raise LookupError('no host "ss:w/rd%41" in a driver of others')
    monkeypatch.setattr(logging.getLogger("invoke"), "level", logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("invoke"), "_cache", {})
    told = caught.value.message
    assert "Traceback" in told and "something we did not foresee: LookupError: no host" in told
    assert not any(
        part in told.replace('raise LookupError(\'no host "ss:w/rd%41"', "") for part in ("ss:w", "w/rd", "rd%41")
    ), told
