"""A serving proxy: from its settings to its last turn, with its lines, its signals and its instance file."""

import asyncio
import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from proxy import __version__
from proxy.cli import occupant
from proxy.cli.background.succession import Heir
from proxy.cli.background.tenure import Tenure
from proxy.cli.control import waiting_lines
from proxy.cli.flags import BadSettings
from proxy.cli.greeting import greeting
from proxy.cli.output import Output
from proxy.errors import StartFault
from proxy.instance import Instance
from proxy.server.activation import Handed
from proxy.server.admin import CannotListen
from proxy.server.app import Openline
from proxy.server.reload import Reload
from proxy.settings_shown import shown_url
from proxy.settings_sources import ConfigError, Loaded
from proxy.tasks import Tasks
from proxy.telemetry.lines import Lines

_CLOSE_SECONDS = 5.0
_PLACE_SECONDS = 0.2
# So long may a turn go on in a process that another one has taken over from.
_LEAVE_SECONDS = 3_600.0


class _Signals:
    """SIGINT and SIGTERM: the first asks to end, the second to end at once, a third is the system's.

    SIGHUP asks to end, too, where there is a terminal, which has gone then; elsewhere it has the settings read anew.
    Where it was ignored from the start (nohup), it stays so.
    """

    def __init__(self, hang_up: Callable[[], None]) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.status = 0
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._came, number)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            return
        if os.isatty(0) or os.isatty(1):
            self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        else:
            self._loop.add_signal_handler(signal.SIGHUP, hang_up)

    def _hung_up(self) -> None:
        """The first one, at most: of one terminal that closes there may be two."""
        if not self.first.is_set():
            self._came(signal.SIGHUP)

    def _came(self, number: signal.Signals) -> None:
        self.status = 128 + number
        if not self.first.is_set():
            self.first.set()
            return
        self.second.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)


@dataclass(frozen=True, slots=True)
class Serving:
    """What one `openline run` goes by. `reread` reads the settings anew, from the same sources."""

    loaded: Loaded
    reread: Callable[[], Loaded]
    lines: Lines
    out: Output
    handed: Handed
    tenure: Tenure

    async def run(self) -> int:
        """Serve until a signal, or until another process does; gives the exit status."""
        settings, control = self.loaded.settings, self.tenure.control
        app = Openline(settings, lambda outcome: self.out.line(self.lines.turn(outcome)), self._say, control=control)
        app.reloader = lambda: self._reload(app)
        app.origins = self.loaded.origins
        if self.tenure.can_pass_on:
            app.successor = lambda: self.tenure.pass_on(app)
        signals = _Signals(lambda: self._hang_up(app))
        tasks = Tasks()
        try:
            base = await self._start(app)
            signing = tasks.start(self._sign_in(app, base), "instance file")
            # One that ends just now may have the place for as long as its turns run; a daemon has inherited it.
            await asyncio.wait((signing,), timeout=None if self.tenure.can_pass_on else _PLACE_SECONDS)
            if signing.done():
                await signing
            self._greet(app, base)
            self.tenure.serves()
            ends = [tasks.start(event.wait(), "end") for event in (signals.first, self.tenure.passed_on)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self.tenure.heir:
                await self._leave(app, self.tenure.heir, signals, tasks)
            return await self._drain(app, app.settings.drain_seconds, signals)
        finally:
            self.tenure.end()
            await tasks.close()
            # The process ends either way: a close that hangs must not keep it.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await app.close()

    def _say(self, text: str) -> None:
        self.out.line(self.lines.notice(text))

    async def _start(self, app: Openline) -> str:
        settings = self.loaded.settings
        try:
            return await app.start(sockets=self.handed.api, admin=self.handed.admin, ours=self.tenure.can_pass_on)
        except StartFault as fault:
            raise BadSettings(str(fault)) from None
        except CannotListen as refused:
            raise click.ClickException(await _no_admin(refused.place, refused.error)) from None
        except OSError as error:
            raise click.ClickException(await refusal((settings.listen_host, settings.listen_port), error)) from None

    async def _sign_in(self, app: Openline, base: str) -> None:
        """Leave the file by which the command line finds this process; without it the turns go on all the same."""
        instance = Instance(
            pid=app.status().identity.pid,
            version=__version__,
            api=base,
            admin=app.admin,
            control=app.control,
            started_at=time.time(),
            log=str(self.tenure.log) if self.tenure.log else None,
        )
        try:
            await self.tenure.begin(instance)
        except OSError as error:
            if self.tenure.can_pass_on:
                # Nobody would find a daemon, to stop it: its elder goes on, or nothing is started.
                raise BadSettings(f"no file for the command line can be left ({error.strerror})") from None
            self._say(f"no file for the command line can be left ({error.strerror}): it will not find this process")

    def _greet(self, app: Openline, base: str) -> None:
        text = "\n".join(greeting(self.loaded, base, app.admin))
        settings = self.loaded.settings
        details = {
            "version": __version__,
            "api": base,
            "admin": app.admin,
            "upstream": shown_url(settings.upstream.url),
        }
        self.out.line(self.lines.event("listening", text, **details, mode=settings.mode))

    def _reload(self, app: Openline) -> Reload:
        """Go by the settings as they are now. Raises ConfigError, StartFault: then the old ones stay."""
        loaded = self.reread()
        told = app.reload(loaded.settings)
        app.origins = loaded.origins
        self._say(reload_line(told))
        return told

    def _hang_up(self, app: Openline) -> None:
        try:
            self._reload(app)
        except (ConfigError, StartFault) as error:
            self._say(f"the settings cannot be used, and the old ones stay: {error}")

    async def _leave(self, app: Openline, heir: Heir, signals: _Signals, tasks: Tasks) -> None:
        """Another process serves: let each turn end that runs here, unless a signal comes first, by way of the heir."""
        app.hand_over()
        self._say(f"pid {heir.pid} has taken over; what runs here goes on to its end")

        async def obey() -> None:
            while (now := await heir.told()) is not None:
                signals.first.set()
                if now:
                    signals.second.set()
            signals.first.set()  # it has ended, and will not say more

        async def empty() -> None:
            await app.left()
            await self.tenure.alone()

        tasks.start(obey(), "heir's word")
        ends = (tasks.start(empty(), "callers"), tasks.start(signals.first.wait(), "end"))
        await asyncio.wait(ends, timeout=_LEAVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    async def _drain(self, app: Openline, limit: float, signals: _Signals) -> int:
        """Let running turns end, unless a second signal or the limit comes first."""
        self.tenure.stop(now=False)
        if self.handed.api and not self.tenure.can_pass_on:
            # Whoever holds the sockets starts another process for them: callers wait for that, rather than be refused.
            app.hand_over()
        count = app.running
        if count:
            turns = "1 running turn" if count == 1 else f"{count} running turns"
            self._say(f"waiting for {turns}, at most {limit:g} s; press Ctrl-C again to end at once")
        tasks = Tasks()
        draining = tasks.start(self._empty(app, limit), "drain")
        at_once = tasks.start(signals.second.wait(), "second signal")
        await asyncio.wait((draining, at_once), timeout=limit + 1.0, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            await draining
        left = app.running
        await tasks.close()
        if signals.second.is_set():
            self.tenure.stop(now=True)
        if not left and not signals.second.is_set():
            self._say("ended")
            return 0
        self._say(f"ended with {left} unfinished")
        return signals.status

    async def _empty(self, app: Openline, limit: float) -> None:
        await app.drain(limit)
        await self.tenure.alone()


def reload_line(told: Reload) -> str:
    """What a reload changed, in words."""
    changed = f"changed: {', '.join(told.changed)}" if told.changed else "nothing changed that counts now"
    return "; ".join((f"settings read anew, {changed}", *waiting_lines(told.waiting)))


async def refusal(address: tuple[str, int], error: OSError) -> str:
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
