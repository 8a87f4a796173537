"""`openline paths`: where Openline's files are, in this environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import platformdirs

from proxy.cli.background.daemon import Place
from proxy.cli.flags import BadSettings, Flags
from proxy.cli.table import table
from proxy.config import Settings
from proxy.doctor.state import folder, trouble
from proxy.instance import running
from proxy.settings_sources import CONFIG_VARIABLE, Loaded
from proxy.state import state_file


class _Place(msgspec.Struct, frozen=True):
    """One file or folder."""

    name: str
    path: str | None
    """None where there is none, by the settings, or where these cannot be used."""
    exists: bool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def paths(*, as_json: bool) -> int:
    """Say where Openline's files are, and which of them exist.

    The settings count as `openline run` would read them in this environment. The exit status is 2 where they cannot be
    used, 1 where the folder cannot.
    """
    status, loaded = 0, None
    try:
        loaded = Flags({}, None).load()
    except BadSettings as bad:
        click.echo(f"openline: {bad.format_message()}", err=True)
        status = bad.exit_code
    found = list(_places(loaded))
    why = trouble(folder()) or trouble(running())
    if why:
        click.echo(f"openline: {folder()} cannot be used: {why}", err=True)
        status = status or 1
    if as_json:
        click.echo(msgspec.json.encode(found))
        return status
    none = "none, by the settings" if loaded else "not known: the settings cannot be used"
    rows = [(place.name, "there" if place.exists else "-", place.path or none) for place in found]
    click.echo("\n".join(table(rows)))
    return status


def _places(loaded: Loaded | None) -> Iterator[_Place]:
    named = os.environ.get(CONFIG_VARIABLE)
    yield _place("settings", Path(named) if named else platformdirs.user_config_path("openline") / "config.toml")
    state = state_file(loaded.settings) if loaded else None
    yield _place("state", state.path if state else None)
    yield _place("instances", running())
    yield _place("log", _log(loaded.settings) if loaded else None)


def _log(settings: Settings) -> Path | None:
    """That of `openline start`; None for a port that is another one each time."""
    if not settings.listen_port:
        return None
    try:
        return Place.listening(settings.listen_host, settings.listen_port).log
    except OSError as error:
        raise click.ClickException(f"listen: {settings.listen_host!r} cannot be found ({error.strerror})") from None


def _place(name: str, path: Path | None) -> _Place:
    return _Place(name, os.fspath(path.absolute()) if path else None, bool(path and path.exists()))
