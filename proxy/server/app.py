"""The composition root: the one place that builds the objects and wires them."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from secrets import token_bytes, token_hex

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler as Next

from proxy.config import Settings
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Heads
from proxy.core.meaning import Rules
from proxy.server.guard import Guard
from proxy.server.handler import Handler
from proxy.server.responses import as_said
from proxy.state import State, state_file
from proxy.tasks import Tasks
from proxy.turns.memory import Keyed, Memory
from proxy.turns.outcome import Outcome
from proxy.turns.turns import Turns
from proxy.upstream.address import Address
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.dial import dialler
from proxy.upstream.http import LARGEST_HEADER, MOST_HEADERS, PlainHttp
from proxy.upstream.pool import Pool

# What drain did not wait for gets no second grace, but for the last bytes to be written.
_CLOSE_SECONDS = 0.1
_SAVE_SECONDS = 30.0
_LOG = logging.getLogger("openline.server")


class Openline:
    """One running proxy.

    caller ─▶ Handler ─▶ Turns ─▶ Pool ─▶ upstream
                 └────▶ PlainHttp ──────▶ upstream
    """

    def __init__(self, settings: Settings, report: Callable[[Outcome], None]) -> None:
        self._settings = settings
        self._report = report
        self._handler: Handler | None = None
        self._runner: web.AppRunner | None = None
        self._pool: Pool | None = None
        self._http: PlainHttp | None = None
        self._heads: Heads | None = None
        self._tasks = Tasks()
        self._file = state_file(settings)
        self._state = State()

    @property
    def running(self) -> int:
        """Turns and requests in flight."""
        return self._handler.running if self._handler else 0

    async def start(self, *, sock: socket.socket | None = None) -> str:
        """Listen where the settings say, or on `sock`. Returns the base URL for callers. Raises OSError."""
        self._state = self._file.load() if self._file else State()
        self._handler = self._wire()
        runner = self._runner = web.AppRunner(
            _application(self._handler),
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=_log(),
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
            max_headers=MOST_HEADERS,
            shutdown_timeout=_CLOSE_SECONDS,
        )
        await runner.setup()
        host, port = self._settings.listen_host, self._settings.listen_port
        site = web.SockSite(runner, sock) if sock else web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError:
            self._file = None  # it belongs to the one that listens there
            await self.close()
            raise
        self._tasks.start(self._keep(), "state file")
        bound = runner.addresses[0]
        return f"http://{'[' + bound[0] + ']' if ':' in bound[0] else bound[0]}:{bound[1]}/v1"

    async def drain(self, limit: float) -> None:
        """Take no new turns; wait for the running ones, at most `limit` seconds."""
        if self._handler:
            await self._handler.drain(limit)

    async def close(self) -> None:
        """End whatever still runs and close every socket."""
        await self.drain(0)
        await self._tasks.close()
        if self._runner:
            await self._runner.cleanup()
        await self._save()
        if self._pool:
            await self._pool.close()
        if self._http:
            await self._http.close()

    async def _keep(self) -> None:
        """Save what is stored now and then: a crash forgets little, and what is forgotten is sent in full."""
        while self._file:
            await asyncio.sleep(_SAVE_SECONDS)
            await self._save()

    async def _save(self) -> None:
        if self._file is None or self._heads is None:
            return
        heads, items = self._heads.stored()
        if (heads, items) == (list(self._state.heads), list(self._state.items)):
            return
        self._state = State(self._state.key, heads, items)
        try:
            await asyncio.to_thread(self._file.save, self._state)
        except OSError as error:
            _LOG.warning("the state file %s cannot be written: %s", self._file.path, error.strerror)

    def _wire(self) -> Handler:
        settings = self._settings
        address = Address(settings.upstream.url)
        heads = self._heads = Heads(
            most=settings.heads.max_count, max_age=settings.heads.max_age_seconds, clock=time.monotonic
        )
        known = capabilities(settings.upstream)
        host = Host(known, recheck_seconds=settings.pool.recheck_seconds, clock=time.monotonic)
        dial = dialler(settings, address)
        marker = f"1.1 openline-{token_hex(6)}"
        self._pool = Pool(settings, host, dial, heads)
        self._http = PlainHttp(address, settings.timeouts, dial.tls, marker)
        keyed = Keyed(passing=Fingerprints(token_bytes(32)), stored=Fingerprints(self._state.key))
        heads.restore(self._state.heads, self._state.items)
        memory = Memory(Rules(settings.match, known.summaries_count), keyed, heads, host)
        turns = Turns(settings, memory, host, self._pool, self._http)
        guard = Guard(settings, marker)
        return Handler(settings, address, keyed.stored, turns, self._http, guard, self._report)


def _application(answer: Handler) -> web.Application:
    @web.middleware
    async def every_request(request: web.Request, handler: Next) -> web.StreamResponse:  # noqa: ARG001 - passed by name
        """No routes: the library would answer by itself what fits none."""
        return await answer(request)

    application = web.Application(middlewares=[every_request])
    application.on_response_prepare.append(as_said)
    return application


def _log() -> logging.Logger:
    """Where the library reports our faults. A caller's malformed request is none, and its text would be in the log."""
    logger = logging.getLogger("openline.server")
    logger.addFilter(_is_our_fault)
    return logger


def _is_our_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
