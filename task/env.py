"""The chosen environment: what it is, and whether every part of it works. Settings: docs/settings.md"""

from impl import environment
from impl.run import notify
from impl.run.errors import EtlError
from impl.run.namespace import commands, task


@task
def show(c):
    """Show the resolved environment; secrets stay hidden"""
    print(environment.show_text(c.env), end="")


@task
def check(c):
    """Try every part: folder, store, cluster, messages; say what to mend"""
    broken = 0
    for finding in environment.check(c.env):
        print(finding, flush=True)
        broken += not finding.works
    if broken:
        raise EtlError(
            f"{broken} part{'s' if broken > 1 else ''} of `{c.env.name}` {'do' if broken > 1 else 'does'} not work",
            hint="mend what is marked with [!]",
        )


@task(name="notify", help={"dry-run": "show the message, and send nothing"})
def send_message(c, dry_run=False):
    """Send a message to everybody whom the environment tells about runs"""
    what = notify.Message("success", f"{c.env.name}: a test", "This is what a message about a run looks like. Nothing was run.")
    if dry_run or not c.env.notify:
        print(f"to: {', '.join(notify.shown(c.env.notify)) or 'nobody (set `etl.notify`)'}\n\n{what.title}\n{what.body}")
        return
    refused = notify.send(c.env.notify, what)
    if refused:
        raise EtlError(
            "the message was not taken", where=", ".join(refused), hint="check the address, and that its service is up"
        )
    print(f"sent to {', '.join(notify.shown(c.env.notify))}")


namespace = commands("env", show, check, send_message)
