"""The flags that set settings: the same for every command that reads them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import click

from proxy.cli.port import Port
from proxy.config import Lanes, LogFormat, Match, Mode
from proxy.settings_sources import ConfigError, Loaded, load

F = TypeVar("F", bound=Callable[..., object])
# The settings of options that are not called as they are.
_KEYS = {"upstream": "upstream.url", "lanes": "upstream.lanes"}
_WHERE = (
    click.option("--listen", metavar="HOST:PORT", help="Where to listen.  [default: 127.0.0.1:6736]"),
    click.option("--port", type=Port(0), help="Short for --listen 127.0.0.1:PORT; 0: any free one."),
    click.option(
        "--token-file", metavar="FILE", help="The token that callers must show; needed where --listen is not loopback."
    ),
)
_WHAT = (
    click.option("--upstream", metavar="URL", help="The API.  [default: https://api.openai.com/v1]"),
    click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings file, TOML."),
    click.option(
        "--mode", type=click.Choice(get_args(Mode)), help="Deltas over WebSockets, or everything over plain HTTP."
    ),
    click.option(
        "--match", type=click.Choice(get_args(Match)), help="When two items are the same.  [default: faithful]"
    ),
    click.option(
        "--lanes", type=click.Choice(get_args(Lanes)), help="Several conversations on one connection.  [default: auto]"
    ),
    click.option(
        "--log-format", type=click.Choice(get_args(LogFormat)), help="How lines are written.  [default: auto]"
    ),
    click.option("-v", "--verbose", is_flag=True, default=None, help="Say which settings are not the defaults."),
)


class BadSettings(click.ClickException):
    """Settings that cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Flags:
    """What was given on the command line: settings by dotted key, and the settings file."""

    given: Mapping[str, object]
    config: Path | None

    def read(self, environ: Mapping[str, str] = os.environ) -> Loaded:
        """The settings from all sources as they are now. Raises ConfigError."""
        return load(self.given, environ, config=self.config)

    def load(self, environ: Mapping[str, str] = os.environ) -> Loaded:
        """The same, for a start. Raises BadSettings."""
        try:
            return self.read(environ)
        except ConfigError as error:
            raise BadSettings(str(error)) from None


def with_flags(command: F) -> F:
    """Give `command` the flags; it hands what it gets to `flags`."""
    return _with(_WHERE, with_turn_flags(command))


def with_turn_flags(command: F) -> F:
    """Those alone that say what becomes of turns: not where to listen, and to whom."""
    return _with(_WHAT, command)


def flags(*, config: Path | None, listen: str | None = None, port: int | None = None, **others: object) -> Flags:
    """What the flags of `with_flags` said."""
    if listen is not None and port is not None:
        raise click.UsageError("give --listen or --port, not both", click.get_current_context())
    if port is not None:
        listen = f"127.0.0.1:{port}"
    given = {"listen": listen, **{_KEYS.get(name, name): value for name, value in others.items()}}
    return Flags({name: value for name, value in given.items() if value is not None}, config)


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command
