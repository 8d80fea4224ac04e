"""Messages about runs, taken by a real receiver on loopback."""

import json

import pytest

from impl.run import notify, secrets
from impl.run.errors import EtlError


def record(outcome="success", id="b", command="invoke all.build", **more):
    steps = [{"name": "a", "done": "made"}, {"name": "b", "done": "kept"}]
    return {"id": id, "environment": "development", "command": command, "outcome": outcome, "host": "here", "seconds": 2.0,
            "checkpoints": steps, "collections": [{"name": "region_state", "rows": 5, "fingerprint": "f" * 64}], **more}  # fmt: skip


def test_success_failure_and_recovery(receiver):
    failed = record("failure", "a", error={"what": "the disk is full", "where": "/data", "hint": "free some space"})
    for before, one in (([], record(id="0")), ([record(id="0")], failed), ([record(id="0"), failed], record(id="b"))):
        assert notify.send([receiver.address], notify.message(one, [*before, one])) == []
    kinds = [(body["type"], body["title"]) for _, body in receiver.got]
    assert kinds == [
        ("success", "development: invoke all.build done"),
        ("failure", "development: invoke all.build failed"),
        ("info", "development: invoke all.build works again"),
    ]
    texts = [body["message"] for _, body in receiver.got]
    assert "1 checkpoints made, 1 up to date, 0 failed, 2 s" in texts[0] and "region_state: 5 rows, ffffffffffff" in texts[0]
    assert "error: the disk is full" in texts[1] and "hint: free some space" in texts[1]
    assert "the run before, a, had failed" in texts[2]


def test_another_command_is_no_recovery():
    failed = record("failure", "a", command="invoke region.stage")
    assert notify.message(record(), [failed]).kind == "success"


def test_secrets_go_to_the_service_and_into_no_message(receiver, monkeypatch):
    monkeypatch.setattr(secrets, "_known", {"HOOK": "hook-word-4711"})
    address = f"{receiver.address}/${{HOOK}}"
    one = record("failure", error={"what": "it failed", "where": "postgresql://u:hook-word-4711@h/d", "hint": None})
    assert notify.send([address], notify.message(one, [])) == []
    [(path, body)] = receiver.got
    assert path == "/hook-word-4711"
    assert "4711" not in json.dumps(body) and "postgresql://u:***@h/d" in body["message"]
    assert notify.shown([address]) == [address]


def test_a_receiver_that_refuses_and_one_that_is_not_there(receiver):
    receiver.take.status = 500
    nowhere = "json://127.0.0.1:1"
    assert notify.send([receiver.address, nowhere], notify.message(record(), [])) == [receiver.address, nowhere]


def test_an_address_of_no_service():
    with pytest.raises(EtlError, match="no kind of address `jsn`") as caught:
        notify.check(["jsn://127.0.0.1"])
    assert "did you mean `json`" in caught.value.hint


@pytest.mark.slow
def test_each_run_sends_one_message_and_a_broken_receiver_fails_none(staged, receiver):
    staged.invoke("region.stage", INVOKE_ETL_NOTIFY=receiver.address)
    assert [body["title"] for _, body in receiver.got] == ["local: invoke region.stage done"]
    receiver.take.status = 500
    done = staged.invoke("region.stage", INVOKE_ETL_NOTIFY=receiver.address)
    assert "the message about this run was not sent: it was not taken by json://127.0.0.1" in done.stderr
    shown = staged.invoke("env.notify", "--dry-run", INVOKE_ETL_NOTIFY=receiver.address)
    assert "to: json://127.0.0.1" in shown.stdout and len(receiver.got) == 2
    refused = staged.type("env.notify", INVOKE_ETL_NOTIFY=receiver.address)
    assert refused.returncode == 1 and "the message was not taken" in refused.stderr
