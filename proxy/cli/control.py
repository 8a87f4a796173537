"""`openline mode` and `openline reload`: changes to the Openline that runs."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import click
import msgspec

from proxy.cli.client import Client, NoAnswer, find
from proxy.cli.flags import BadSettings, Flags
from proxy.cli.port import Port
from proxy.config import Mode
from proxy.errors import Problem
from proxy.settings_shown import ShownSettings
from proxy.settings_sources import ConfigError
from proxy.telemetry.logs import printable

_PORT = click.option("--port", type=Port(), help="The one whose callers use this port.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
# They are handed over at a restart as they are.
_ADDRESSES = frozenset({"listen", "admin_listen"})
_LONGEST = 60
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

    It reads them from where it had them at its start. Running turns end by the old ones. What waits for another start
    is said: `openline restart` is one, but for the addresses that are listened on.
    """
    client = Client(find(port))
    before = client.get("/settings", ShownSettings)
    try:
        told = client.post("/reload", {}, _Reload)
    except NoAnswer as error:
        _, code, said = Problem.SETTINGS.value
        if error.code != code:
            raise
        line = error.format_message().removeprefix(f"{said} (").removesuffix(")")
        raise BadSettings(f"{line}; the old settings stay{_others(before)}") from None
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    if told.changed:
        after = client.get("/settings", ShownSettings)
        click.echo("changed: " + ", ".join(_change(key, before, after) for key in told.changed))
    elif not told.waiting:
        click.echo("the settings are as they were")
    for line in waiting_lines(told.waiting):
        click.echo(line)


def _change(key: str, before: ShownSettings, after: ShownSettings) -> str:
    """The setting, with both values where they can be shown and told apart: those of a token are neither."""
    was, now = (_shown(key, settings) for settings in (before, after))
    return key if was == now else f"{key} ({was} → {now})"


def _shown(key: str, told: ShownSettings) -> str:
    value = next((each.value for each in told.settings if each.key == key), "?")
    text = value if isinstance(value, str) and value else msgspec.json.encode(value).decode()
    return printable(text, _LONGEST)


def _others(told: ShownSettings) -> str:
    """Where to look for further mistakes, if the file that the settings came from has more than one."""
    file = next((each.origin.name for each in told.settings if each.origin and each.origin.kind == "file"), None)
    try:
        Flags({}, Path(file) if file else None).read()
    except ConfigError as error:
        if error.others:
            return f" (all of them: openline config check{f' {shlex.quote(file)}' if file else ''})"
    return ""


def waiting_lines(names: Sequence[str]) -> Iterator[str]:
    """What waits after a reload, and for what."""
    addresses = [name for name in names if name in _ADDRESSES]
    if others := [name for name in names if name not in _ADDRESSES]:
        yield f"from the next start or restart on: {', '.join(others)}"
    if addresses:
        yield f"after `openline stop`, from the next start on: {', '.join(addresses)}"
