"""The composition root: the one place that builds the objects and wires them."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from secrets import token_bytes, token_hex
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Heads
from proxy.core.meaning import Rules
from proxy.server.admin import Admin, CannotListen
from proxy.server.guard import Guard
from proxy.server.handler import Handler
from proxy.server.listener import Listener, bind
from proxy.server.status import Identity, Status, url
from proxy.state import State, state_file
from proxy.tasks import Tasks
from proxy.turns.memory import Keyed, Memory
from proxy.turns.outcome import Outcome
from proxy.turns.turns import Turns
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.dial import dialler
from proxy.upstream.http import PlainHttp
from proxy.upstream.pool import Pool
from proxy.upstream.way import way_upstream

_SAVE_SECONDS = 30.0
_LOG = logging.getLogger("openline.server")


class Openline:
    """One running proxy. `report` hears of each turn, `notice` is told what else a person should know, in one line.

    caller ─▶ Handler ─▶ Turns ─▶ Pool ─▶ upstream
                 └────▶ PlainHttp ──────▶ upstream
    """

    def __init__(
        self, settings: Settings, report: Callable[[Outcome], None], notice: Callable[[str], None] = _LOG.warning
    ) -> None:
        self._settings = settings
        self._report = report
        self._notice = notice
        self._marker = f"1.1 openline-{token_hex(6)}"
        self._began = time.monotonic()
        self._guard = Guard(settings, self._marker)
        self._admin = Admin(settings, self._marker, self.status)
        self._identity = Identity()
        self._handler: Handler | None = None
        self._listener: Listener | None = None
        self._pool: Pool | None = None
        self._http: PlainHttp | None = None
        self._memory: Memory | None = None
        self._tasks = Tasks()
        self._file = state_file(settings)
        self._state = State()

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

    def status(self) -> Status:
        """How it is doing. Raises RuntimeError before the start."""
        if self._handler is None or self._pool is None or self._listener is None:
            raise RuntimeError("there is no status before the start")
        parts = urlsplit(self._settings.upstream.url)
        return Status(
            identity=self._identity,
            uptime_seconds=round(time.monotonic() - self._began, 3),
            mode=self._settings.mode,
            upstream=f"{parts.scheme}://{parts.netloc}",
            unready=self._handler.unready,
            running=self._handler.running,
            connections=self._listener.connections,
            pool=self._pool.status(),
        )

    async def start(self, *, sock: socket.socket | None = None) -> str:
        """Listen where the settings say, or on `sock`. Returns the base URL for callers.

        Raises:
            OSError: nothing can listen there.
            CannotListen: the same of the admin listener's address.
            StartFault: a setting cannot be used.
        """
        self._state = self._file.load() if self._file else State()
        self._handler = self._wire()
        settings = self._settings
        self._listener = Listener(
            self._handler,
            self._handler.refuse,
            most=settings.limits.connections,
            header_seconds=settings.timeouts.header_seconds,
            mark=self._guard.cors.mark,
        )
        try:
            await self._listener.start([sock] if sock else bind(settings.listen_host, settings.listen_port))
        except OSError:
            self._file = None  # it belongs to the one that listens there
            await self.close()
            raise
        base = f"{url(*self._listener.addresses[0])}/v1"
        self._identity = self._handler.identity = Identity(api=base)
        try:
            self._identity = self._handler.identity = Identity(api=base, admin=await self._admin.start())
        except CannotListen:
            await self.close()
            raise
        self._tasks.start(self._keep(), "state file")
        return base

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
        if self._pool:
            await self._pool.close()
        if self._http:
            await self._http.close()
        await self._admin.close()  # last, so that it can tell to the end

    async def _keep(self) -> None:
        """Save what is stored now and then: a crash forgets little, and what is forgotten is sent in full."""
        while self._file:
            await asyncio.sleep(_SAVE_SECONDS)
            await self._save()

    async def _save(self) -> None:
        if self._file is None or self._memory is None:
            return
        heads, items = self._memory.lasting()
        if (heads, items) == (list(self._state.heads), list(self._state.items)):
            return
        self._state = State(self._state.key, heads, items)
        try:
            await asyncio.to_thread(self._file.save, self._state)
        except OSError as error:
            _LOG.warning("the state file %s cannot be written: %s", self._file.path, error.strerror)

    def _wire(self) -> Handler:
        settings = self._settings
        way = way_upstream(settings, os.environ)
        heads = Heads(most=settings.heads.max_count, max_age=settings.heads.max_age_seconds, clock=time.monotonic)
        known = capabilities(settings.upstream)
        host = Host(known, recheck_seconds=settings.pool.recheck_seconds, clock=time.monotonic)
        self._pool = Pool(settings, host, dialler(settings, way), heads, self._notice)
        self._http = PlainHttp(way, settings, self._marker)
        keyed = Keyed(passing=Fingerprints(token_bytes(32)), stored=Fingerprints(self._state.key))
        heads.restore(self._state.heads, self._state.items)
        memory = self._memory = Memory(Rules(settings.match, known.summaries_count), keyed, heads, host)
        turns = Turns(settings, memory, host, self._pool, self._http)
        return Handler(settings, way.address, keyed.stored, turns, self._http, self._guard, self._report)
