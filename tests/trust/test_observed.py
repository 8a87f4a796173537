"""Mode observe: of what it reads beside the turns nothing is shown, and nothing is kept."""

import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import msgspec
import pytest

from proxy.config import Settings
from proxy.config import Upstream as Target
from proxy.core.events import NotAnEvent, sniff, sse
from proxy.server.app import Openline
from proxy.tasks import Tasks
from proxy.telemetry.lines import Human, Json
from proxy.turns.outcome import Outcome
from tests.chaos.census import quiet
from tests.fuzz.streams import Script, texts_of
from tests.fuzz.upstream import Create, Cut, Upstream
from tests.trust.markers import TEXTS, forms, found
from tests.trust.session import CREDENTIALS, Quoting, asking, reply
from tests.trust.test_remembered import reachable
from tests.trust.test_reprs import held, ours, said
from tests.upstream.peer import until

_FORMS = {name: tuple(forms(text)) for name, text in TEXTS.items()}
_SSE, _JSON = b"content-type: text/event-stream", b"content-type: application/json"
WAYS = ("go on", "reject", "break off", "no json", "no event", "odd type", "fail", "hollow", "close")


def over_http(create: Create, quoting: Quoting) -> Script:
    """What the quoting upstream says on a socket, as plain HTTP has it."""
    script = quoting.answer(create)
    frames = texts_of(script)
    if not create.body.get("stream"):
        return [reply(200, _response(frames[-1]), _JSON)]
    stream = b"".join(_framed(frame) for frame in frames)
    if isinstance(script[-1], Cut):
        return [reply(200, stream + b" " * 9, _SSE)[:-9], script[-1]]
    return [reply(200, stream, _SSE)]


def _response(frame: bytes) -> bytes:
    """The response in the last event, where it is one that has one."""
    try:
        return bytes(msgspec.json.decode(frame, type=dict[str, msgspec.Raw])["response"])
    except (msgspec.MsgspecError, KeyError):
        return frame


def _framed(frame: bytes) -> bytes:
    try:
        return sse(sniff(frame))
    except NotAnEvent:
        return b"data: " + frame + b"\n\n"


@dataclass
class Watched:
    """A proxy that observes, and what it reported."""

    app: Openline
    base: str
    upstream: Upstream
    session: aiohttp.ClientSession
    outcomes: list[Outcome]

    async def ask(self, content: str, *, stream: bool) -> bytes:
        """One create; whatever comes of it."""
        body = asking(content, stream=stream, store=stream)
        async with self.session.post(f"{self.base}/responses", json=body, headers=CREDENTIALS) as response:
            try:
                return await response.read()
            except aiohttp.ClientPayloadError:
                return b""


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """In front of a host that quotes every text in its answers."""
    quoting, outcomes = Quoting(), list[Outcome]()
    upstream = Upstream(lambda _create: [], lambda create: over_http(create, quoting))
    async with upstream.serving() as url, aiohttp.ClientSession() as session:
        target = Target(url=url, verifies_ids="yes")
        app = Openline(Settings(listen="127.0.0.1:0", mode="observe", upstream=target), outcomes.append)
        yield Watched(app, await app.start(), upstream, session, outcomes)
        await app.close()


async def test_no_text_outlives_its_turn(watched: Watched) -> None:
    """After answers of every kind, seen whole or given up: neither texts nor keys."""
    for stream in (True, False):
        for way in WAYS:
            await watched.ask(way, stream=stream)
    await quiet(watched.app)
    gc.collect()
    everything = list(reachable(watched.app))
    assert {"Observer", "ImaginedPool", "Head", "Trace"} <= {type(one).__name__ for one in everything}
    raw = [one for one in everything if isinstance(one, bytes | bytearray | memoryview | str)]
    data = [one.encode("utf-8", "surrogatepass") if isinstance(one, str) else bytes(one) for one in raw]
    assert [name for name, known in _FORMS.items() if any(form in one for form in known for one in data)] == []


async def test_no_record_shows_what_was_read(watched: Watched) -> None:
    """Neither for a person nor for a program, however odd it was."""
    for stream in (True, False):
        for way in WAYS:
            await watched.ask(way, stream=stream)
    await quiet(watched.app)
    assert len(watched.outcomes) == 2 * len(WAYS)
    assert all(outcome.would for outcome in watched.outcomes)
    assert any("not observed" in fault for outcome in watched.outcomes for fault in outcome.faults)
    shown = [f"{way.turn(outcome)} {outcome!r}" for way in (Human(), Json()) for outcome in watched.outcomes]
    assert [line for line in shown if found(line.encode())] == []


async def test_no_object_of_a_running_turn_shows_what_is_private(watched: Watched) -> None:
    """In mid-answer, neither in its repr nor in its str."""
    tasks = Tasks()
    tasks.start(watched.ask("hang", stream=True), "caller")
    await until(lambda: len(watched.upstream.creates) == 1 and any(said(one) for one in held()))
    mine = {id(one): one for one in held() if ours(one)}.values()
    assert {"Observation", "Tap", "Cutter", "Turn", "Outcome", "Would", "Lease"} <= {type(one).__name__ for one in mine}
    shown = {f"{type(one).__name__}: {one!r} {one!s}" for one in mine}
    assert [text[:2_000] for text in shown if found(text.encode())] == []
    await tasks.close()
