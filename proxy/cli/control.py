"""`openline mode` and `openline reload`: changes to the Openline that runs."""

from typing import get_args

import click
import msgspec

from proxy.cli.client import Client, NoAnswer, find
from proxy.cli.flags import BadSettings
from proxy.config import Mode
from proxy.errors import Problem

_PORT = click.option("--port", type=click.IntRange(1, 65_535), help="The one whose callers use this port.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
_DOES = {
    "on": "turns go as deltas where that is possible",
    "observe": "everything goes over plain HTTP",
    "off": "everything goes over plain HTTP",
}


class _Mode(msgspec.Struct, frozen=True):
    mode: str


class _Reload(msgspec.Struct, frozen=True):
    """What a reload changed, and what waits for the next start."""

    changed: list[str]
    waiting: list[str]


@click.command()
@click.argument("mode", required=False, type=click.Choice(get_args(Mode)))
@_PORT
@_JSON
def mode(*, mode: str | None, port: int | None, as_json: bool) -> None:
    """Show what is done with turns, or change it from the next turn on.

    What the settings say counts again from the next start or reload on.
    """
    client = Client(find(port))
    now = client.post("/mode", {"mode": mode}, _Mode) if mode else client.get("/status", _Mode)
    if as_json:
        click.echo(msgspec.json.encode(now))
        return
    does = _DOES.get(now.mode, "this version does not know that mode")
    click.echo(f"{now.mode}: {does}" + (", until it is started anew or reads its settings anew" if mode else ""))


@click.command()
@_PORT
@_JSON
def reload(*, port: int | None, as_json: bool) -> None:
    """Have the Openline that runs read its settings anew.

    It reads them from where it had them at its start. Running turns end by the old ones.
    """
    try:
        told = Client(find(port)).post("/reload", {}, _Reload)
    except NoAnswer as error:
        _, code, said = Problem.SETTINGS.value
        if error.code != code:
            raise
        line = error.format_message().removeprefix(f"{said} (").removesuffix(")")
        raise BadSettings(f"{line}; the old settings stay") from None
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    click.echo(f"changed: {', '.join(told.changed)}" if told.changed else "nothing changed that counts now")
    if told.waiting:
        click.echo(f"from the next start on: {', '.join(told.waiting)}")
