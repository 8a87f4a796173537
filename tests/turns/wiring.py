"""A wiring like Openline's, open to a test, and a sink that records what a caller would get."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from proxy.config import Pool as PoolLimits
from proxy.config import Settings, Timeouts, Upstream
from proxy.core.beginnings import read
from proxy.core.events import Event
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Heads
from proxy.core.meaning import Rules
from proxy.core.reasons import Route
from proxy.errors import Answer
from proxy.tasks import Tasks
from proxy.turns.memory import Keyed, Memory
from proxy.turns.outcome import Outcome
from proxy.turns.turn import Turn
from proxy.turns.turns import Turns
from proxy.upstream.address import pool_key
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.dial import dialler
from proxy.upstream.http import HttpRequest, PlainHttp
from proxy.upstream.pool import Pool
from proxy.upstream.way import way_upstream
from tests.upstream.peer import Line, Peer, said, soon

USER: dict[str, object] = {"role": "user", "content": "hi"}


def single(event: Event) -> list[Event]:
    """The events of a run, each by itself."""
    return [event._replace(frame=frame, more=()) for frame in (event.frame, *event.more)]


@dataclass(slots=True)
class Recorder:
    """A sink that notes every call, in order, and lets the test look around in each."""

    wants_json: bool = False
    calls: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    look: Callable[[str], None] = lambda _call: None
    blocks: frozenset[str] = frozenset()
    """The calls that never return, as a caller's that takes nothing."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when such a call was made."""
    gate: asyncio.Event | None = None
    """Where set, every call waits for it."""

    async def _note(self, call: str) -> None:
        self.calls.append(call)
        self.look(call)
        if self.gate:
            await self.gate.wait()
        if call in self.blocks:
            self.reached.set()
            await asyncio.Event().wait()

    async def begin(self, outcome: Outcome) -> None:  # noqa: ARG002 - the protocol's shape
        """Note it."""
        await self._note("begin")

    @property
    def full(self) -> bool:
        """After every write, so that the relay waits each time."""
        return "write" in self.calls and self.calls[-1] != "drain"

    def write(self, events: Sequence[Event]) -> None:
        """Keep the events."""
        self.events += [each for event in events for each in single(event)]
        self.calls.append("write")
        self.look("write")

    async def drain(self) -> None:
        """Note it."""
        await self._note("drain")

    def keep_alive(self) -> None:
        """Note it."""
        self.calls.append("keep_alive")
        self.look("keep_alive")

    async def end(self) -> None:
        """Note it."""
        await self._note("end")

    async def answer(self, answer: Answer, outcome: Outcome) -> None:  # noqa: ARG002 - same
        """Keep the answer."""
        self.answers.append(answer)
        await self._note("answer")

    async def forward(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        """Read the upstream's answer to its end."""
        async with response:
            self.answers.append(Answer(outcome.status, await response.read(), {}))
        await self._note("forward")

    def cut(self) -> None:
        """Note it."""
        self.calls.append("cut")

    @property
    def types(self) -> list[str]:
        """The types of the events that the caller got."""
        return [event.type for event in self.events]


class Wiring:
    """The objects of one proxy without its listener, as server/app.py wires them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notices: list[str] = []
        way = way_upstream(settings, {})
        self.address = way.address
        self.fingerprints = Fingerprints(b"k" * 32)
        self.heads = Heads(most=100, max_age=1_000.0, clock=time.monotonic)
        self.host = Host(
            capabilities(settings.upstream), recheck_seconds=settings.pool.recheck_seconds, clock=time.monotonic
        )
        self.pool = Pool(settings, self.host, dialler(settings, way), self.heads, self.notices.append)
        self.http = PlainHttp(way, settings, "1.1 openline-test")
        rules = Rules(settings.match, self.host.known.summaries_count)
        keyed = Keyed(passing=self.fingerprints, stored=Fingerprints(b"s" * 32))
        self.memory = Memory(rules, keyed, self.heads, self.host)
        self.turns = Turns(settings, self.memory, self.host, self.pool, self.http)
        self.tasks = Tasks()

    async def __aenter__(self) -> "Wiring":
        """Nothing has to be started."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close as Openline does: turns, connections, HTTP. No lease may be left by then."""
        await self.tasks.close()
        assert not self.leased
        await self.pool.close()
        await self.http.close()

    def turn(self, *items: dict[str, object], key: object = "k", **fields: object) -> Turn:
        """A turn with these items, from the caller with this key."""
        body = msgspec.json.encode({"model": "m", "store": False, **fields, "input": items or (USER,)})
        return self.raw_turn(body, key=key)

    def raw_turn(self, body: bytes, *, key: object = "k") -> Turn:
        """A turn with this body."""
        known, mark = self.memory.beginnings.match(body)
        create = read(body, known, mark, most_items=1_000)
        headers = (("Authorization", f"Bearer {key}"), ("Content-Type", "application/json"))
        upstream = self.settings.upstream
        owner = pool_key(self.address, headers, upstream.identity_headers, upstream.beta_header, self.fingerprints)
        outcome = Outcome("ol_1", Route.FULL, request_bytes=len(body))
        return Turn(
            create,
            owner,
            HttpRequest("POST", "/v1/responses", headers, body),
            forced_full=False,
            outcome=outcome,
        )

    @property
    def leased(self) -> bool:
        """Whether any turn holds a lane."""
        return any(lane.leased for one in self.pool._numbered.values() for lane in one.lanes)

    def run(self, turn: Turn, sink: Recorder) -> "asyncio.Task[None]":
        """Run a turn beside the test."""
        return self.tasks.start(self.turns.run(turn, sink), "turn")

    async def exchange(self, turn: Turn, peer: Peer, *frames: bytes, line: Line | None = None) -> tuple[Recorder, Line]:
        """A whole turn that the upstream answers with these frames, on a new line or on a known one."""
        sink = Recorder(wants_json=not turn.request.stream)
        task = self.run(turn, sink)
        line = line or await peer.line()
        await line.frame()
        await line.send(*(frames or said()))
        await soon(task)
        return sink, line


def on(base: str, *, pool: PoolLimits | None = None, timeouts: Timeouts | None = None, **upstream: object) -> Settings:
    """Settings for an upstream that is known to verify ids."""
    known = msgspec.convert({"url": base, "verifies_ids": "yes", **upstream}, Upstream)
    return Settings(upstream=known, pool=pool or PoolLimits(), timeouts=timeouts or Timeouts())
