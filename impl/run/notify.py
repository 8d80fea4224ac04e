"""One message for each run, promotion and rollback, to where the environment says: success, failure, recovery after a failure.

Addresses are those of Apprise: `mailto://...`, `slack://${SLACK_TOKEN}/...`, `json://host/path`. A message that
cannot be sent is said on stderr and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from impl.run import secrets
from impl.run.errors import EtlError, unknown

KINDS = {"success": "success", "failure": "failure", "recovery": "info"}  # ours: Apprise's


@dataclass(frozen=True)
class Message:
    kind: str  # one of KINDS
    title: str
    body: str


def message(record: dict[str, Any], before: Sequence[dict[str, Any]]) -> Message:
    """The message about a finished run; `before` are the earlier records of the environment, oldest first."""
    same = [one for one in before if one["command"] == record["command"] and one["id"] != record["id"]]
    failed = record["outcome"] != "success"
    kind = "failure" if failed else "recovery" if same and same[-1]["outcome"] != "success" else "success"
    steps = record.get("checkpoints", [])
    count = {what: sum(one["done"] == what for one in steps) for what in ("made", "kept", "failed")}
    lines = []
    if "checkpoints" in record:  # a promotion has none of its own
        told = f"{count['made']} checkpoints made, {count['kept']} up to date, {count['failed']} failed"
        lines.append(f"{told}, {record.get('seconds', 0):.0f} s")
    if failed:
        error = record.get("error", {})
        lines += [f"error: {error.get('what', record['outcome'])}"]
        lines += [f"  at {error['where']}"] if error.get("where") else []
        lines += [f"hint: {error['hint']}"] if error.get("hint") else []
    if kind == "recovery":
        lines.append(f"the run before, {same[-1]['id']}, had failed")
    lines += [f"{one['name']}: {one['rows']:,} rows, {one['fingerprint'][:12]}" for one in record.get("collections", ())]
    lines.append(f"run {record['id']} on {record['host']}")
    words = {"success": "done", "failure": "failed", "recovery": "works again"}
    title = f"{record['environment']}: {record['command']} {words[kind]}"
    return Message(kind, secrets.redact(title), secrets.redact("\n".join(lines)))


def send(addresses: Sequence[str], what: Message) -> list[str]:
    """Send to each of `addresses`; the addresses, without secrets, of those that did not take it."""
    apprise = _apprise()
    failed = []
    for address in addresses:
        target = apprise.Apprise()
        if not target.add(secrets.reveal(address, where="etl.notify")) or not target.notify(
            title=what.title, body=what.body, notify_type=KINDS[what.kind]
        ):
            failed.append(secrets.redact(address))
    return failed


def check(addresses: Sequence[str]) -> None:
    """An `EtlError` for an address that Apprise does not know; nothing is sent."""
    apprise = _apprise()
    for address in addresses:
        if not apprise.Apprise().add(secrets.reveal(address, where="etl.notify")):
            scheme = address.partition("://")[0]
            raise unknown(
                "kind of address",
                scheme,
                ("mailto", "json", "slack", "msteams", "ntfy", "discord"),
                where=f"etl.notify: {secrets.redact(address)}",
                hint="see the list of services of Apprise",
            )


def _apprise() -> Any:
    import logging

    try:
        import apprise
    except ImportError:
        raise EtlError(
            "messages need the package apprise",
            where="etl.notify",
            hint="`pip install -e '.[servers]'`, or leave `notify` empty",
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would log addresses
    return apprise


def shown(addresses: Sequence[str]) -> list[str]:
    """The addresses without secrets."""
    return [secrets.redact(address) for address in addresses]
