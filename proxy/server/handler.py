"""The handler: each HTTP request becomes a turn, or passes through."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from secrets import token_hex

import msgspec
from aiohttp import web

from proxy.config import Mode, Settings
from proxy.core.reasons import Passed, Plain, Route
from proxy.core.request import NotPlain
from proxy.errors import Answer, Problem, Refused
from proxy.server.body import BodyFault, Prefix, Upload, read
from proxy.server.caller import crowded
from proxy.server.cors import is_preflight
from proxy.server.engine import Engine
from proxy.server.guard import Guard
from proxy.server.intake import Intake
from proxy.server.reservation import by_header, by_image
from proxy.server.responses import HttpSink, labels
from proxy.server.status import Identity
from proxy.server.target import Target, target
from proxy.turns.outcome import End, Outcome, Would
from proxy.turns.sink import CallerGone, Onlooker
from proxy.turns.turn import Turn
from proxy.upstream.address import pool_key
from proxy.upstream.http import HttpRequest, sliced

_RESPONSES = "/v1/responses"
_HEALTH = "/healthz"
_MODE = "x-openline-mode"
_MODES = ("on", "full", "off")
# No standard scheme: an SDK must not take Openline's token for the API's key.
_CHALLENGE = {"www-authenticate": 'Openline-Token realm="openline"'}


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, and where its answer and its record go."""

    request: web.Request
    target: Target
    upload: Upload
    sink: HttpSink
    outcome: Outcome
    engine: Engine
    began: float

    def origin(self) -> HttpRequest:
        """The request as it came. Raises Refused: a header that the HTTP library cannot write."""
        try:
            headers = tuple((name.decode(), value.decode()) for name, value in self.request.raw_headers)
        except UnicodeDecodeError as error:
            raise Refused(Problem.BAD_REQUEST, "a header is not UTF-8") from error
        body = self.upload if self.request.body_exists else None
        return HttpRequest(self.request.method, self.target.text, headers, body)


class Handler:
    """Serves one listener's requests and reports the outcome of each.

    request ─▶ guard ─▶ a plain create? ─yes─▶ Turns ─▶ answer ─▶ outcome
                  └─ refused      └─ no ─▶ PlainHttp ──┘
    """

    def __init__(self, engine: Engine, guard: Guard, report: Callable[[Outcome, Engine], None]) -> None:
        self._report = report
        self.identity = Identity()
        self.running = 0
        self.draining = False
        self._drained = False
        self._idle = asyncio.Event()
        self._intake = Intake()
        self.follow(engine.settings, engine, guard)

    def follow(self, settings: Settings, engine: Engine, guard: Guard) -> None:
        """Serve new requests by these; those that run go on by what they began with."""
        self._settings = settings
        self._engine = engine
        self._guard = guard
        self.mode: Mode = settings.mode

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer any request, and report its outcome once, however it ends."""
        asked = target(request, self._settings.token)
        if asked.text.partition("?")[0] == _HEALTH and not is_preflight(request):
            return self._health(request, asked)
        began = time.monotonic()
        timeouts = self._settings.timeouts
        outcome = Outcome(
            f"ol_{token_hex(12)}", Route.PASSTHROUGH, method=request.method, path=asked.path, run=asked.run
        )
        call = _Call(
            request,
            asked,
            Upload(request.content, timeouts.silence_seconds),
            HttpSink(request, timeouts.write_seconds, lambda: self.draining),
            outcome,
            self._engine,
            began,
        )
        self.running += 1
        accounted = False
        try:
            with call.engine.at_work():
                await self._serve(call)
            accounted = True
        except CallerGone:
            outcome.end, accounted = End.HUNG_UP, True
            call.sink.abort()
        except asyncio.CancelledError:
            outcome.end, accounted = End.CUT if self._drained else End.HUNG_UP, True
            raise
        finally:
            if not accounted:
                # A fault of ours: the library logs it and answers 500; the record must not say that all went well.
                outcome.end, outcome.status = End.ERROR, outcome.status or 500
            outcome.request_bytes = call.upload.size
            outcome.total_seconds = time.monotonic() - began
            outcome.ended_at = time.time()
            self.running -= 1
            if not self.running:
                self._idle.set()
            self._report(outcome, call.engine)
        return call.sink.response

    def _health(self, request: web.Request, asked: Target) -> web.Response:
        """Who is here, also while draining: `openline run` asks it when the port is taken. No turn, so no outcome."""
        try:
            self._guard.check(request)
        except Refused as refused:
            answer = refused.problem.answer(refused.detail)
        else:
            who = self.identity if asked.trusted else {"name": self.identity.name}
            answer = Answer(200, msgspec.json.encode(who), {"content-type": "application/json"})
        response = web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        if answer.status != 200:
            response.force_close()
        return response

    @property
    def unready(self) -> str | None:
        """Why a new turn would be refused now, in a word; None where it would be taken."""
        if self.draining:
            return "draining"
        return "overloaded" if self.running >= self._settings.limits.requests else None

    def refuse(self, problem: Problem, detail: str) -> Answer:
        """The answer to what never became a request, reported as an outcome without a word of what was sent."""
        outcome = Outcome(f"ol_{token_hex(12)}", Route.PASSTHROUGH, method="-", path="-", end=End.ERROR)
        outcome.status, outcome.faults, outcome.ended_at = problem.value[0], [detail], time.time()
        self._report(outcome, self._engine)
        return problem.answer(detail, {"x-request-id": outcome.id, **labels(outcome)})

    async def drain(self, limit: float) -> None:
        """Take no new requests; wait for the running ones, at most `limit` seconds."""
        self.draining = True
        try:
            async with asyncio.timeout(limit):
                while self.running:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            # What still runs is going to be cut: it will not be its caller who hung up.
            self._drained = True

    async def _serve(self, call: _Call) -> None:
        """Answer the request, or say why not."""
        try:
            if is_preflight(call.request):
                await self._allow(call)
                return
            self._admit(call)
            await self._route(call)
        except Refused as refused:
            call.outcome.end, call.outcome.status = End.ERROR, refused.problem.value[0]
            call.outcome.faults.append(refused.detail or refused.problem.value[1])
            headers = _CHALLENGE if refused.problem is Problem.TOKEN else None
            # Closed, as the body may not have been read.
            await call.sink.answer(refused.problem.answer(refused.detail, headers), call.outcome, close=True)

    def _admit(self, call: _Call) -> None:
        if self.draining:
            raise Refused(Problem.DRAINING)
        if self.running > self._settings.limits.requests or crowded(call.request):
            raise Refused(Problem.OVERLOADED)
        self._guard.check(call.request)
        if not call.target.trusted:
            raise Refused(Problem.TOKEN)
        if call.target.ways - {call.engine.way}:
            raise Refused(Problem.MOVED)

    async def _allow(self, call: _Call) -> None:
        """Answer a preflight. It holds no token, and only behind an answered one can a page read why it is refused."""
        self._guard.check(call.request)
        answer = self._guard.cors.preflight(call.request)
        call.outcome.status, call.outcome.reason, call.outcome.end = answer.status, Passed.PREFLIGHT, End.COMPLETED
        await call.sink.answer(answer, call.outcome, close=crowded(call.request))

    async def _route(self, call: _Call) -> None:
        """Decide what the request is."""
        path, question, _ = call.target.text.partition("?")
        mode = self._mode(call.request)
        origin = call.origin()
        if path != _RESPONSES or call.request.method != "POST":
            await self._pass(call, origin, Passed.OTHER_PATH)
        elif question:
            await self._pass(call, origin, Passed.QUERY)
        elif mode == "off":
            await self._pass(call, origin, Plain.MODE_OFF)
        elif by_header(call.request.headers, call.engine.settings.upstream):
            await self._keep(call, origin, Plain.SEMANTIC_HEADER, mode)
        else:
            await self._turn(call, origin, mode)

    def _mode(self, request: web.Request) -> str:
        """The setting, or what the header says for this one turn."""
        asked = request.headers.get(_MODE)
        if asked is None:
            return self.mode
        if asked not in _MODES:
            raise Refused(Problem.BAD_REQUEST, f"the header {_MODE} must be one of {', '.join(_MODES)}")
        return asked

    async def _turn(self, call: _Call, origin: HttpRequest, mode: str) -> None:
        """Run a turn, or observe it, or pass on what is no plain create."""
        limits, upstream = self._settings.limits, call.engine.settings.upstream
        try:
            raw = await read(call.upload, limits.body_bytes)
        except BodyFault as fault:
            raise Refused(Problem.BAD_REQUEST, str(fault)) from fault
        if isinstance(raw, Prefix):
            await self._pass(call, replace(origin, body=raw), Passed.ODD_BODY)
            return
        # It has a length now, which some hosts want. Observed it goes on as in mode `off`, and in chunks if it came so.
        in_chunks = mode == "observe" and "Transfer-Encoding" in call.request.headers
        came = replace(origin, body=sliced(raw) if in_chunks else raw)
        try:
            encodings = ",".join(call.request.headers.getall("Content-Encoding", ()))
            create = await self._intake.create(raw, encodings, limits, call.engine.memory.beginnings)
        except NotPlain as error:
            await self._pass(call, came, error.reason)
            return
        if by_image(create, upstream):
            await self._keep(call, came, Plain.IMAGES, mode)
            return
        key = pool_key(
            call.engine.address,
            origin.headers,
            upstream.identity_headers,
            upstream.beta_header,
            call.engine.fingerprints,
        )
        call.outcome.route, call.outcome.request_bytes = Route.FULL, len(raw)
        call.sink.wants_json = not create.stream
        turn = Turn(create, key, replace(origin, body=raw), mode == "full", call.outcome)
        if mode == "observe":
            await self._observe(call, came, turn)
        else:
            await call.engine.turns.run(turn, call.sink)

    async def _observe(self, call: _Call, came: HttpRequest, turn: Turn) -> None:
        """Pass a turn on as it came, and note how it would have gone."""
        observation = call.engine.observer.begin(turn)
        try:
            await self._pass(call, came, Plain.OBSERVED, observation)
        finally:
            observation.end()

    async def _keep(self, call: _Call, came: HttpRequest, reason: Plain, mode: str) -> None:
        """Send a turn that is kept for plain HTTP, in mode `observe` with a note that `on` would have kept it too."""
        if mode != "observe":
            await self._pass(call, came, reason)
            return
        try:
            await self._pass(call, came, Plain.OBSERVED)
        finally:
            call.outcome.would = Would(Route.HTTP, reason, call.upload.size)

    async def _pass(
        self, call: _Call, origin: HttpRequest, reason: Passed | Plain, onlooker: Onlooker | None = None
    ) -> None:
        """Send the request on untouched, and the answer back."""
        outcome, upload = call.outcome, call.upload
        outcome.route = Route.HTTP if isinstance(reason, Plain) else Route.PASSTHROUGH
        outcome.reason, outcome.end = reason, End.PASSED
        try:
            response = await call.engine.http.open(origin)
            outcome.status = response.status
            outcome.first_event_seconds = time.monotonic() - call.began if isinstance(reason, Plain) else None
            await call.sink.forward(response, outcome, onlooker)
        except Refused as error:
            if upload.fault:
                raise Refused(Problem.BAD_REQUEST, upload.fault) from error
            raise
        finally:
            outcome.sent_bytes = upload.size
