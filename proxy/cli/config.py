"""`openline config`: what the settings are, and whether a file of them can be used."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from proxy.cli.client import Client, find
from proxy.cli.flags import BadSettings, Flags, flags, with_flags
from proxy.cli.table import table
from proxy.config import Settings
from proxy.errors import StartFault
from proxy.settings_shown import ShownSettings, show
from proxy.settings_sources import TOKEN_VARIABLE, ConfigError, Loaded
from proxy.telemetry.logs import printable
from proxy.upstream.way import way_upstream

_LONGEST = 200


@click.group()
def config() -> None:
    """Show the settings, or check a file of them."""


@config.command(short_help="Say what is wrong with a settings file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def check(*, file: Path | None, as_json: bool) -> int:
    """Say whether a settings file can be used, and all that is wrong with it.

    It is read as `openline run --config FILE` would in this environment; without FILE, as `openline run` would. The
    exit status is 2 where it cannot be used.
    """
    if file is not None and not file.exists():
        raise BadSettings(f"{file}: no such settings file")
    mistakes: Sequence[str] = ()
    try:
        loaded = Flags({}, file).read()
        way_upstream(loaded.settings, os.environ)
    except ConfigError as error:
        mistakes = (str(error), *error.others)
    except StartFault as fault:
        mistakes = (str(fault),)
    else:
        return _sound(loaded, as_json=as_json)
    if as_json:
        click.echo(msgspec.json.encode({"ok": False, "mistakes": mistakes}))
    else:
        for line in mistakes:
            click.echo(f"openline: {line}", err=True)
    return BadSettings.exit_code


def _sound(loaded: Loaded, *, as_json: bool) -> int:
    """Say how many settings there are, and how many of them are not the defaults."""
    pairs = list(zip(show(loaded.settings, {}).settings, show(Settings(), {}).settings, strict=True))
    count = sum(here != usual for here, usual in pairs)
    told = {"ok": True, "settings": len(pairs), "not_default": count, "mistakes": ()}
    click.echo(msgspec.json.encode(told) if as_json else f"ok: {len(pairs)} settings, {count} not default")
    return 0


@config.command("show", short_help="Show every setting as it counts.")
@with_flags
@click.option("--origin", is_flag=True, help="Say where each came from.")
@click.option("--running", is_flag=True, help="Those of the Openline that runs; with --port, of the one at this port.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON, with the origins.")
def shown(*, origin: bool, running: bool, as_json: bool, **given: object) -> None:
    """Show every setting as it counts with these flags, which are those of `run`.

    No token is shown, and of upstream.url no path that could be a secret.
    """
    told = _running(given) if running else _here(given)
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        click.echo("\n".join(_lines(told, origin=origin)))


def _here(given: dict[str, object]) -> ShownSettings:
    """What `run` would go by."""
    loaded = flags(**given).load()  # type: ignore[arg-type] # click has checked the values' types
    return show(loaded.settings, loaded.origins)


def _running(given: dict[str, object]) -> ShownSettings:
    """What the one that runs goes by."""
    port = given.pop("port")
    if any(value is not None for value in given.values()):
        raise click.UsageError("with --running, only --port says which one", click.get_current_context())
    return Client(find(port if isinstance(port, int) else None)).get("/settings", ShownSettings)


def _lines(told: ShownSettings, *, origin: bool) -> Iterator[str]:
    """As a settings file has them."""
    rows = []
    for each in told.settings:
        row = (each.key, f"= {printable(msgspec.json.encode(each.value).decode(), _LONGEST)}")
        rows.append((*row, f"# {each.origin or 'not known'}") if origin else row)
    yield from table(rows)
    if told.token:
        where = f"the first line of {told.token.file}" if told.token.file else TOKEN_VARIABLE
        yield f"# callers show a token: {where}"
