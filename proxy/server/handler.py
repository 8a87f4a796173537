"""The handler: each HTTP request becomes a turn, or passes through."""

import asyncio
import os
import time
from collections.abc import Callable
from secrets import token_hex

import aiohttp
import msgspec
from aiohttp import web

from proxy import __version__
from proxy.config import Settings
from proxy.core.fingerprint import Fingerprints
from proxy.core.reasons import Passed, Plain, Reason, Route
from proxy.core.request import NotPlain, parse
from proxy.errors import Answer, Problem
from proxy.server.body import NotDecodable, Prefix, TooLarge, decode, read
from proxy.server.guard import Guard
from proxy.server.responses import HttpSink, decoded
from proxy.turns.outcome import End, Outcome
from proxy.turns.sink import CallerGone
from proxy.turns.turn import Turn, Turns
from proxy.upstream.address import SEMANTIC, Address, pool_key
from proxy.upstream.http import HttpRequest, PlainHttp

_RESPONSES = "/v1/responses"
_MODE = "x-openline-mode"


class Handler:
    """Serves one listener's requests and reports the outcome of each."""

    def __init__(
        self,
        settings: Settings,
        address: Address,
        fingerprints: Fingerprints,
        turns: Turns,
        http: PlainHttp,
        guard: Guard,
        report: Callable[[Outcome], None],
    ) -> None:
        self._settings = settings
        self._address = address
        self._fingerprints = fingerprints
        self._turns = turns
        self._http = http
        self._guard = guard
        self._report = report
        self._semantic = {*SEMANTIC, *(name.lower() for name in settings.upstream.semantic_headers)}
        self.running = 0
        self._draining = False
        self._idle = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        began = time.monotonic()
        outcome = Outcome(f"ol_{token_hex(12)}", Route.PASSTHROUGH, method=request.method, path=request.path)
        sink = HttpSink(request, wants_json=False)
        self.running += 1
        try:
            problem = Problem.DRAINING if self._draining else self._guard.refuse(request)
            if problem:
                outcome.end, outcome.status = End.ERROR, problem.value[0]
                await sink.answer(problem.answer(headers={"connection": "close"}), outcome)
            else:
                sink = await self._serve(request, outcome, sink)
        except CallerGone:
            outcome.end = End.HUNG_UP
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()
            if outcome.status == 0:
                outcome.end = End.HUNG_UP
            outcome.total_seconds = time.monotonic() - began
            self._report(outcome)
        return sink.response or web.Response(status=499)

    async def drain(self, limit: float) -> None:
        """Take no new requests; wait for the running ones, at most `limit` seconds."""
        self._draining = True
        if not self.running:
            return
        self._idle.clear()
        try:
            async with asyncio.timeout(limit):
                await self._idle.wait()
        except TimeoutError:
            return

    async def _serve(self, request: web.Request, outcome: Outcome, sink: HttpSink) -> HttpSink:
        """Decide what the request is. Returns the sink that answered it."""
        if request.path == "/healthz":
            outcome.status = 200
            await sink.answer(_health(), outcome)
            return sink
        if request.path != _RESPONSES or request.method != "POST":
            await self._pass(request, outcome, sink, Passed.OTHER_PATH, request.content)
            return sink
        if request.rel_url.raw_query_string or "?" in request.raw_path:
            await self._pass(request, outcome, sink, Passed.QUERY, request.content)
            return sink
        mode = request.headers.get(_MODE, self._settings.mode).lower()
        plain = self._plain(request, mode)
        if plain:
            outcome.route = Route.HTTP
            await self._pass(request, outcome, sink, plain, request.content)
            return sink
        raw = await read(request.content, self._settings.limits.body_bytes)
        return await self._turn(request, raw, outcome, sink, forced_full=mode == "full")

    def _plain(self, request: web.Request, mode: str) -> Plain | None:
        if mode == "off":
            return Plain.MODE_OFF
        if mode == "observe":
            return Plain.OBSERVED
        if any(name in request.headers for name in self._semantic):
            return Plain.SEMANTIC_HEADER
        return None

    async def _turn(
        self, request: web.Request, raw: bytes | Prefix, outcome: Outcome, sink: HttpSink, *, forced_full: bool
    ) -> HttpSink:
        limits = self._settings.limits
        try:
            if isinstance(raw, Prefix):
                raise TooLarge
            outcome.request_bytes = len(raw)
            body = decode(raw, ",".join(request.headers.getall("Content-Encoding", ())), limits.body_bytes)
            create = parse(body, most_items=limits.items)
        except (NotPlain, NotDecodable, TooLarge) as error:
            reason = error.reason if isinstance(error, NotPlain) else Passed.ODD_BODY
            await self._pass(request, outcome, sink, reason, raw)
            return sink
        headers = decoded(request.raw_headers)
        upstream = self._settings.upstream
        key = pool_key(self._address, headers, upstream.identity_headers, upstream.beta_header, self._fingerprints)
        origin = HttpRequest(request.method, request.raw_path, tuple(headers), raw)
        outcome.route = Route.FULL
        sink = HttpSink(request, wants_json=not create.stream)
        await self._turns.run(Turn(create, key, origin, forced_full, outcome), sink)
        return sink

    async def _pass(
        self,
        request: web.Request,
        outcome: Outcome,
        sink: HttpSink,
        reason: Reason,
        body: aiohttp.StreamReader | Prefix | bytes,
    ) -> None:
        """Send the request on untouched, and the answer back."""
        outcome.reason = reason
        outcome.end = End.PASSED
        if request.headers.get("Upgrade"):
            outcome.end, outcome.status = End.ERROR, 426
            await sink.answer(Problem.UPGRADE.answer(), outcome)
            return
        data = body if isinstance(body, bytes | Prefix) else body.iter_any() if request.can_read_body else None
        try:
            response = await self._http.open(
                HttpRequest(request.method, request.raw_path, tuple(decoded(request.raw_headers)), data)
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome.end, outcome.status = End.ERROR, 502
            await sink.answer(Problem.UNREACHABLE.answer(type(error).__name__), outcome)
            return
        outcome.status = response.status
        await sink.forward(response, outcome)


def _health() -> Answer:
    """Who is here: `openline run` asks it when the port is taken."""
    body = msgspec.json.encode({"name": "openline", "version": __version__, "pid": os.getpid()})
    return Answer(200, body, {"content-type": "application/json"})
