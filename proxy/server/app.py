"""The composition root: the one place that builds the objects and wires them."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex, token_urlsafe

import msgspec
from aiohttp import web

from proxy.config import Mode, Settings
from proxy.server.activation import Handed
from proxy.server.admin import Admin, CannotListen
from proxy.server.engine import Engine
from proxy.server.guard import Guard
from proxy.server.handler import Handler
from proxy.server.listener import Listener, bind
from proxy.server.pages import Pages, Successor
from proxy.server.reload import Reload, Reloader, difference, in_force
from proxy.server.status import Identity, Status, url
from proxy.settings_sources import Origin
from proxy.state import State, state_file
from proxy.tasks import Tasks
from proxy.telemetry.history import History
from proxy.telemetry.metrics import Load, Metrics
from proxy.telemetry.summary import Tallies
from proxy.turns.outcome import Outcome

_SAVE_SECONDS = 30.0
# Nothing is served any more by then: what closes is only connections.
_CLOSE_SECONDS = 2.0
_LOG = logging.getLogger("openline.server")


class Openline:
    """One running proxy. `report` hears of each turn, `notice` is told what else a person should know, in one line.

    caller ─▶ Listener ─▶ Handler ─▶ Engine ─▶ upstream
                             └─ outcome ─▶ history, summary, metrics, report
    """

    def __init__(
        self,
        settings: Settings,
        report: Callable[[Outcome], None],
        notice: Callable[[str], None] = _LOG.warning,
        *,
        control: str | None = None,
    ) -> None:
        self.control = control or token_urlsafe(24)
        """The secret that the control pages of the admin listener ask for: a predecessor's, or a new one."""
        self.history = History()
        self.tallies = Tallies()
        self.reloader: Reloader | None = None
        """Where set, reads the settings anew when a reload is asked for."""
        self.successor: Successor | None = None
        """Where set, starts another process in this one's place when a restart is asked for."""
        self.origins: Mapping[str, Origin] = {}
        """Where each setting came from, as far as that is known."""
        self._settings = self._started_by = settings
        self._tell = report
        self._notice = notice
        self._marker = f"1.1 openline-{token_hex(6)}"
        self._began = time.monotonic()
        self._guard = Guard(settings, self._marker)
        self._admin = Admin(settings, self._marker, Pages(self).by_path, self.control)
        self._identity = Identity()
        self._engine: Engine | None = None
        self._handler: Handler | None = None
        self._listener: Listener | None = None
        self._metrics: Metrics | None = None
        self._tasks = Tasks()
        self._retiring = Tasks()
        self._file = state_file(settings)
        self._state = State()
        self._saving = asyncio.Lock()
        self._resting = False

    @property
    def settings(self) -> Settings:
        """Those that it goes by now."""
        return self._settings

    @property
    def running(self) -> int:
        """Turns and requests in flight, and answers that slow callers have not taken yet."""
        if self._handler is None or self._listener is None:
            return 0
        return self._handler.running + self._listener.unsent

    @property
    def admin(self) -> str | None:
        """Where the admin listener is, `http://…` or `unix:…`; None for nowhere."""
        return self._identity.admin

    @property
    def handed(self) -> Handed:
        """What it listens on, for another process. Raises RuntimeError before the start."""
        return Handed(self._started()[2].sockets, self._admin.listening)

    @property
    def mode(self) -> Mode:
        """What it does with turns now. Raises RuntimeError before the start."""
        return self._started()[1].mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._started()[1].mode = mode

    def status(self) -> Status:
        """How it is doing. Raises RuntimeError before the start."""
        engine, handler, listener = self._started()
        return Status(
            identity=self._identity,
            uptime_seconds=round(time.monotonic() - self._began, 3),
            mode=handler.mode,
            upstream=engine.upstream,
            unready=handler.unready,
            running=handler.running,
            connections=listener.connections,
            pool=engine.pool.status(),
        )

    def metrics(self) -> tuple[bytes, str]:
        """The metrics, and their content type. Raises RuntimeError before the start."""
        if self._metrics is None:
            raise RuntimeError("there are no metrics before the start")
        return self._metrics.page()

    async def start(
        self, *, sockets: Sequence[socket.socket] = (), admin: socket.socket | None = None, ours: bool = False
    ) -> str:
        """Listen where the settings say, or on `sockets` and `admin`: with `ours` its file goes with this process.

        Returns the base URL for callers.

        Raises:
            OSError: nothing can listen there.
            CannotListen: the same of the admin listener's address.
            StartFault: a setting cannot be used.
        """
        self._state = self._file.load() if self._file else State()
        settings = self._settings
        self._engine = Engine(settings, self._state, self._marker, self._notice)
        self._metrics = self._measure(self._engine)
        self._handler = Handler(self._engine, self._guard, self._report)
        self._listener = Listener(
            self._handler,
            self._handler.refuse,
            most=settings.limits.connections,
            header_seconds=settings.timeouts.header_seconds,
            mark=self._mark,
        )
        try:
            await self._listener.start(sockets or bind(settings.listen_host, settings.listen_port))
        except OSError:
            self._file = None  # it belongs to the one that listens there
            await self.close()
            raise
        base = f"{url(*self._listener.addresses[0])}/v1"
        self._identity = self._handler.identity = Identity(api=base)
        try:
            where = await self._admin.start(admin, ours=ours)
        except CannotListen:
            await self.close()
            raise
        self._identity = self._handler.identity = Identity(api=base, admin=where)
        self._tasks.start(self._keep(), "state file")
        return base

    def reload(self, wanted: Settings) -> Reload:
        """Go by other settings from the next request on; running turns end by the old ones.

        Raises StartFault where a setting cannot be used: then nothing has changed.
        """
        engine, handler, _ = self._started()
        now = msgspec.structs.replace(self._settings, mode=handler.mode)
        told = difference(now, wanted, started=self._started_by)
        settings = in_force(self._started_by, wanted)
        if not engine.suits(settings):
            self._engine = Engine(settings, self._lasting(engine), self._marker, self._notice, before=engine)
            if self._engine.upstream != engine.upstream:
                self._metrics = self._measure(self._engine)
            self._retiring.start(engine.retire(), "retiring engine")
        self._settings = settings
        self._guard = Guard(settings, self._marker)
        self._admin.follow(settings)
        handler.follow(settings, self._engine or engine, self._guard)
        return told

    async def lay_down(self) -> None:
        """Save what is stored, and write no more: another process reads it."""
        await self._save()
        self._resting = True

    def take_up(self) -> None:
        """Go on writing: no other process does."""
        self._resting = False

    def hand_over(self) -> None:
        """Accept no more connections: another process does, by the same sockets. Those that are there are served."""
        self._started()[2].hand_over()
        self._admin.hand_over()

    async def left(self) -> None:
        """After that: wait until every caller has had his answer and gone."""
        await self._started()[2].left()
        await self._admin.left()

    async def drain(self, limit: float) -> None:
        """Take no new turns; wait for the running ones until all of their answers is sent, at most `limit` seconds."""
        if self._handler is None or self._listener is None:
            return
        until = time.monotonic() + limit
        self._listener.drain()
        await self._handler.drain(limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._listener.sent()

    async def close(self) -> None:
        """End whatever still runs and close every socket."""
        await self.drain(0)
        await self._tasks.close()
        if self._listener:
            await self._listener.close()
        await self._save()
        await self._retiring.finish(_CLOSE_SECONDS)
        if self._engine:
            await self._engine.close()
        await self._admin.close()  # last, so that it can tell to the end

    def _started(self) -> tuple[Engine, Handler, Listener]:
        if self._engine is None or self._handler is None or self._listener is None:
            raise RuntimeError("there is no status before the start")
        return self._engine, self._handler, self._listener

    def _measure(self, engine: Engine) -> Metrics:
        """Metrics of turns to one upstream: with another one their counters begin anew."""
        return Metrics(engine.upstream.partition("://")[2], lambda: self.status().pool, self._load)

    def _load(self) -> Load:
        status = self.status()
        return Load(status.running, status.connections)

    def _report(self, outcome: Outcome, engine: Engine) -> None:
        self.history.add(outcome)
        self.tallies.add(outcome)
        # A turn that began before a reload is not the new upstream's.
        if self._metrics and self._engine and self._engine.upstream == engine.upstream:
            self._metrics.turn(outcome)
        self._tell(outcome)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await self._guard.cors.mark(request, response)

    async def _keep(self) -> None:
        """Save what is stored now and then: a crash forgets little, and what is forgotten is sent in full."""
        while self._file:
            await asyncio.sleep(_SAVE_SECONDS)
            await self._save()

    def _lasting(self, engine: Engine) -> State:
        return State(self._state.key, *engine.memory.lasting())

    async def _save(self) -> None:
        async with self._saving:
            if self._file is None or self._engine is None or self._resting:
                return
            lasting = self._lasting(self._engine)
            if (lasting.heads, lasting.items) == (list(self._state.heads), list(self._state.items)):
                return
            self._state = lasting
            try:
                await asyncio.to_thread(self._file.save, self._state)
            except OSError as error:
                _LOG.warning("the state file %s cannot be written: %s", self._file.path, error.strerror)
