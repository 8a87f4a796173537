"""Two creates that generate nothing: the simulator in its variants, and a peer that answers as it likes."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from proxy.config import Answer, Lanes, Settings, Timeouts, Upstream
from proxy.core.fingerprint import Fingerprints
from proxy.doctor.checks import Finding
from proxy.doctor.creates import Creates
from proxy.simulator import Behaviour, Simulator
from proxy.tasks import Tasks
from proxy.upstream.address import Address, pool_key
from proxy.upstream.way import way_upstream
from tests.upstream.peer import Line, Peer, created, event, failure, soon

pytestmark = pytest.mark.usefixtures("nothing_left")

MODEL = "gpt-5-mini"


def asking(url: str, *, verifies_ids: Answer = "auto", lanes: Lanes = "auto", seconds: float = 5.0) -> Creates:
    """With a credential that any simulator takes, and settings that say what the host does."""
    upstream = Upstream(url=url, verifies_ids=verifies_ids, lanes=lanes)
    chosen = Settings(upstream=upstream, timeouts=Timeouts(first_event_seconds=seconds))
    key = pool_key(Address(url), [("authorization", "Bearer sk-1")], (), "", Fingerprints(b"k" * 32))
    return Creates(chosen, way_upstream(chosen, os.environ), key, MODEL)


@asynccontextmanager
async def simulated(behaviour: Behaviour) -> AsyncIterator[tuple[Simulator, str]]:
    """A simulator, and its URL."""
    async with Simulator(behaviour) as simulator:
        yield simulator, await simulator.start()


async def answered(peer: Peer, ask: Callable[[], Awaitable[Finding]], *frames: bytes) -> Finding:
    """What is found where the peer answers the create with these frames."""
    found, _ = await exchanged(peer, ask, *frames)
    return found


async def exchanged(
    peer: Peer, ask: Callable[[], Awaitable[Finding]], *frames: bytes
) -> tuple[Finding, dict[str, object]]:
    """The same, and the create."""
    tasks = Tasks()

    async def work() -> Finding:
        return await ask()

    asked = tasks.start(work(), "the doctor")
    line: Line = await peer.line()
    create = await line.frame()
    await line.send(*frames)
    found = await soon(asked)
    await line.closed()
    await tasks.close()
    return found, create


async def test_a_host_that_refuses_a_made_up_id() -> None:
    """Deltas are safe there; the question is one create that generates nothing and names no lane."""
    async with simulated(Behaviour()) as (simulator, url):
        found = await asking(url).ids()
        (entry,) = simulator.journal
    assert (found.name, found.state) == ("ids", "ok")
    assert (entry.generate, entry.lane, entry.error_code) == (False, None, "previous_response_not_found")


@pytest.mark.parametrize("shape", ["wrapped", "flat", "text"])
async def test_a_refusal_in_any_shape(shape: str) -> None:
    """As the proxy reads it."""
    async with simulated(Behaviour(error_shape=shape, not_found_status=404)) as (_, url):  # type: ignore[arg-type] # one of its shapes
        assert (await asking(url).ids()).state == "ok"


async def test_a_host_that_continues_what_never_was() -> None:
    """A failure, in which no delta goes there; where a setting promises otherwise, it is the setting that is wrong."""
    async with simulated(Behaviour(lenient_ids=True)) as (_, url):
        found = await asking(url).ids()
        trusted = await asking(url, verifies_ids="yes").ids()
    assert (found.state, "sends no deltas" in found.text) == ("failed", True)
    assert (trusted.state, trusted.advice) == (
        "failed",
        'set upstream.verifies_ids = "no", or Openline would send deltas all the same',
    )


async def test_a_host_that_could_have_deltas() -> None:
    """The setting that rules them out is noted."""
    async with simulated(Behaviour()) as (_, url):
        found = await asking(url, verifies_ids="no").ids()
    assert (found.state, found.advice) == ("note", "take that setting away")


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([failure("rate_limit_exceeded", status=429)], "error 429"),
        ([failure("insufficient_quota", status=429)], "error 429"),
        ([created(), event("response.failed", response={"id": "resp_1"})], "response.failed"),
    ],
)
async def test_what_proves_nothing(peer: Peer, frames: list[bytes], words: str) -> None:
    """An error about something else is a failure too, and said to be unclear."""
    found = await answered(peer, asking(peer.base).ids, *frames)
    assert (found.state, words in found.text, "not clear" in found.text) == ("failed", True, True)


@pytest.mark.parametrize(
    "refusal",
    [
        failure("model_not_found", status=404),
        failure("invalid_request_error", param="model"),
        failure("bad_request", text=f"The model `{MODEL}` does not exist or you do not have access to it."),
        failure("bad_request", text=f"Unknown model: {MODEL}"),
    ],
)
async def test_a_model_that_the_host_does_not_know(peer: Peer, refusal: bytes) -> None:
    """Both are skipped, with the flag that names another."""
    for ask in (asking(peer.base).ids, asking(peer.base).lanes):
        found, create = await exchanged(peer, ask, refusal)
        assert create["model"] == MODEL
        assert (found.state, MODEL in found.text) == ("skipped", True)
        assert "--model" in found.advice


async def test_an_answer_that_never_ends(peer: Peer) -> None:
    """A host that began to answer has taken the id, however long it goes on."""
    found = await answered(peer, asking(peer.base, seconds=0.2).ids, created())
    assert (found.state, "taken for a known one" in found.text) == ("failed", True)


async def test_no_answer(peer: Peer) -> None:
    """It is waited for as long as for a first event; both checks say so."""
    creates = asking(peer.base, seconds=0.1)
    for ask in (creates.ids, creates.lanes):
        found = await answered(peer, ask)
        assert (found.state, found.text) == ("failed", "no answer within 0.1 s")


async def test_a_line_that_is_lost(peer: Peer) -> None:
    """The fault in words."""
    tasks = Tasks()
    creates = asking(peer.base)
    asked = tasks.start(creates.lanes(), "the doctor")
    line = await peer.line()
    await line.frame()
    line.abort()
    found = await soon(asked)
    await tasks.close()
    assert (found.name, found.state) == ("lanes", "failed")
    assert found.text.startswith("no answer: ")


async def test_a_host_with_lanes() -> None:
    """It echoes the lane's name: as it should be where Openline counts on it, and a tip where not."""
    async with simulated(Behaviour()) as (simulator, url):
        counted, uncounted = await asking(url, lanes="on").lanes(), await asking(url).lanes()
        entry = simulator.journal[-1]
    assert (entry.lane, entry.generate, entry.outcome) == ("l1", False, "completed")
    assert (counted.state, counted.text) == ("ok", "the host has lanes: conversations share connections")
    assert (uncounted.state, uncounted.advice) == ("note", 'set upstream.lanes = "on"')


async def test_a_host_without_lanes() -> None:
    """That is a note, whatever Openline counts on; it fails nothing."""
    async with simulated(Behaviour(lanes=False)) as (_, url):
        counted, uncounted = await asking(url, lanes="on").lanes(), await asking(url).lanes()
    assert (uncounted.state, uncounted.advice) == ("note", "")
    assert (counted.state, counted.advice) == ("note", 'set upstream.lanes = "off"')


async def test_a_host_that_ignores_the_name(peer: Peer) -> None:
    """No error, and no echo: no lanes."""
    end = event("response.completed", response={"id": "resp_1", "output": []})
    found = await answered(peer, asking(peer.base).lanes, created(), end)
    assert (found.state, "has no lanes" in found.text) == ("note", True)


async def test_an_error_about_something_else(peer: Peer) -> None:
    """Where it names the lane, the host has lanes; where it does not, nothing is known."""
    named = failure("rate_limit_exceeded", status=429).replace(
        b'{"type":"error"', b'{"type":"error","stream_id":"l1"', 1
    )
    assert "has lanes" in (await answered(peer, asking(peer.base).lanes, named)).text
    found = await answered(peer, asking(peer.base).lanes, failure("rate_limit_exceeded", status=429))
    assert (found.state, "error 429" in found.text) == ("failed", True)
