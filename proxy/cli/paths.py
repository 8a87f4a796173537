"""`openline paths`: where Openline's files are, in this environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import platformdirs

from proxy.cli.background.daemon import Place
from proxy.cli.flags import Flags
from proxy.cli.table import table
from proxy.config import Settings
from proxy.instance import running
from proxy.state import state_file


class _Place(msgspec.Struct, frozen=True):
    """One file or folder."""

    name: str
    path: str | None
    """None where there is none, by the settings."""
    exists: bool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def paths(*, as_json: bool) -> None:
    """Say where Openline's files are, and which of them exist.

    The settings count as `openline run` would read them in this environment.
    """
    found = list(_places())
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    rows = [(place.name, "there" if place.exists else "-", place.path or "none, by the settings") for place in found]
    click.echo("\n".join(table(rows)))


def _places() -> Iterator[_Place]:
    loaded = Flags({}, None).load()
    yield _place("settings", loaded.file or platformdirs.user_config_path("openline") / "config.toml")
    state = state_file(loaded.settings)
    yield _place("state", state.path if state else None)
    yield _place("instances", running())
    yield _place("log", _log(loaded.settings))


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
