"""`openline run`: the proxy in the foreground, from its settings to its last turn."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from typing import get_args

import click

from proxy.cli import occupant
from proxy.cli.greeting import greeting
from proxy.cli.output import Output
from proxy.config import Lanes, Match, Mode
from proxy.errors import StartFault
from proxy.server.admin import CannotListen
from proxy.server.app import Openline
from proxy.server.descriptors import raise_limit
from proxy.settings_sources import ConfigError, Loaded, load
from proxy.tasks import Tasks
from proxy.telemetry.logs import turn_line

_CLOSE_SECONDS = 5.0
# The settings of options that are not called as they are.
_KEYS = {"upstream": "upstream.url", "lanes": "upstream.lanes"}


class _BadSettings(click.ClickException):
    """Settings that cannot be used."""

    exit_code = 2


class _Signals:
    """SIGINT and SIGTERM: the first asks to end, the second to end at once, a third is the system's."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.status = 0
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._came, number)

    def _came(self, number: signal.Signals) -> None:
        self.status = 128 + number
        if not self.first.is_set():
            self.first.set()
            return
        self.second.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to listen.  [default: 127.0.0.1:6736]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Short for --listen 127.0.0.1:PORT; 0: any free one.")
@click.option(
    "--token-file", metavar="FILE", help="The token that callers must show; needed where --listen is not loopback."
)
@click.option("--upstream", metavar="URL", help="The API.  [default: https://api.openai.com/v1]")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings file, TOML.")
@click.option(
    "--mode", type=click.Choice(get_args(Mode)), help="Deltas over WebSockets, or everything over plain HTTP."
)
@click.option("--match", type=click.Choice(get_args(Match)), help="When two items are the same.  [default: faithful]")
@click.option(
    "--lanes", type=click.Choice(get_args(Lanes)), help="Several conversations on one connection.  [default: auto]"
)
@click.option("-v", "--verbose", is_flag=True, default=None, help="Say which settings are not the defaults, and why.")
def run(*, listen: str | None, port: int | None, config: Path | None, **others: object) -> int:
    """Run the proxy in the foreground.

    It prints the line to paste, then one line per turn. Ctrl-C lets running turns end; twice ends at once.
    """
    if listen is not None and port is not None:
        raise click.UsageError("give --listen or --port, not both", click.get_current_context())
    if port is not None:
        listen = f"127.0.0.1:{port}"
    flags = {"listen": listen, **{_KEYS.get(name, name): value for name, value in others.items()}}
    try:
        loaded = load({k: v for k, v in flags.items() if v is not None}, os.environ, config=config)
    except ConfigError as error:
        raise _BadSettings(str(error)) from None
    raise_limit()
    out = Output(sys.stdout.fileno())
    try:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            return runner.run(_serve(loaded, out))
    finally:
        out.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """The loop of uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(loaded: Loaded, out: Output) -> int:
    """Serve until a signal; gives the exit status."""
    settings = loaded.settings
    signals = _Signals()
    app = Openline(settings, lambda outcome: out.line(turn_line(outcome)), lambda text: out.line(f"openline: {text}"))
    try:
        try:
            base = await app.start()
        except StartFault as fault:
            raise _BadSettings(str(fault)) from None
        except CannotListen as refused:
            raise click.ClickException(await _no_admin(refused.place, refused.error)) from None
        except OSError as error:
            raise click.ClickException(await _refusal((settings.listen_host, settings.listen_port), error)) from None
        for line in greeting(loaded, base, app.admin):
            out.line(line)
        await signals.first.wait()
        return await _drain(app, settings.drain_seconds, signals, out)
    finally:
        # The process ends either way: a close that hangs must not keep it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await app.close()


async def _drain(app: Openline, limit: float, signals: _Signals, out: Output) -> int:
    """Let running turns end, unless a second signal or the limit comes first."""
    count = app.running
    if count:
        turns = "1 running turn" if count == 1 else f"{count} running turns"
        again = "press Ctrl-C again to end at once"
        out.line(f"openline: waiting for {turns}, at most {limit:g} s; {again}")
    tasks = Tasks()
    draining = tasks.start(app.drain(limit), "drain")
    at_once = tasks.start(signals.second.wait(), "second signal")
    await asyncio.wait((draining, at_once), timeout=limit + 1.0, return_when=asyncio.FIRST_COMPLETED)
    if draining.done():
        await draining
    left = app.running
    await tasks.close()
    if not left and not signals.second.is_set():
        out.line("openline: ended")
        return 0
    out.line(f"openline: ended with {left} unfinished")
    return signals.status


async def _refusal(address: tuple[str, int], error: OSError) -> str:
    """Why callers cannot be listened to there, and what to do."""
    why = await _why(address, error)
    taken = error.errno == errno.EADDRINUSE
    way = "another port with --port (0: any free one)" if taken else "another with --port or --listen"
    return f"{why}; choose {way}"


async def _no_admin(place: Path | tuple[str, int], error: OSError) -> str:
    """The same of the admin listener."""
    return f'admin_listen: {await _why(place, error)}; choose another, or "auto"'


async def _why(place: Path | tuple[str, int], error: OSError) -> str:
    name = f"the socket {place}" if isinstance(place, Path) else f"port {place[1]} on {place[0]}"
    if error.errno == errno.EADDRINUSE:
        return f"{name} is taken: {await occupant.describe(place)}"
    return f"{name} cannot be listened on: {error.strerror or error}"
