"""`openline restart`: another process takes over from the daemon, and no caller is refused meanwhile."""

import click
import msgspec

from proxy.cli.background.succession import SERVE_SECONDS
from proxy.cli.client import Client, NoAnswer, find
from proxy.cli.port import Port
from proxy.errors import Problem
from proxy.instance import instances

_MARGIN_SECONDS = 10.0


class NotRestarted(click.ClickException):
    """The old process goes on."""

    exit_code = 1


class _Heir(msgspec.Struct, frozen=True):
    pid: int


@click.command()
@click.option("--port", type=Port(), help="The one whose callers use this port.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def restart(*, port: int | None, as_json: bool) -> None:
    """Put a new process in the place of the daemon: after an upgrade, or for settings that a reload does not change.

    It is started as the old one was, and serves before that stops: no caller is refused. Turns that run go on to their
    end in the old one. Where the new one does not come to serve, the old one goes on, and the reason is said.
    """
    instance = find(port)
    try:
        heir = Client(instance, SERVE_SECONDS + _MARGIN_SECONDS).post("/restart", {}, _Heir)
    except NoAnswer as error:
        _, code, said = Problem.SUCCESSION.value
        if error.code != code:
            raise
        line = error.format_message().removeprefix(f"{said} (").removesuffix(")")
        raise NotRestarted(f"pid {instance.pid} goes on, as no other could take over: {line}") from None
    found = next((one for one in instances() if one.pid == heir.pid), None)
    version = found.version if found else "unknown"
    if as_json:
        told = {"pid": heir.pid, "version": version, "before": {"pid": instance.pid, "version": instance.version}}
        click.echo(msgspec.json.encode(told))
    else:
        before = f"pid {instance.pid} (version {instance.version})"
        click.echo(f"restarted: pid {heir.pid} (version {version}) serves {instance.api} in place of {before}")
