"""The relay: from a lane to a caller, over real sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from proxy.config import Timeouts
from proxy.core.answer import Answer
from proxy.core.recovery import Fault
from proxy.core.refusal import Refusal
from proxy.errors import TurnFault
from proxy.turns.relay import Relay
from proxy.turns.sink import CallerGone
from proxy.upstream.lease import Lease
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import LIMIT, Line, Peer, completed, created, event, failure, over, patience, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
DELTA = event("response.output_text.delta", delta="x")


@dataclass
class Rig:
    """A create that was sent, and the relay of its answer."""

    wiring: Wiring
    line: Line
    lease: Lease

    async def run(self, sink: Recorder, **timeouts: float) -> Refusal | None:
        """Relay the answer."""
        answer = Answer()
        relay = Relay(self.lease, sink, Timeouts(**timeouts), answer, lambda: sink.calls.append("on_end"))
        return await relay.run(await self.lease.batch(LIMIT))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A turn under way."""
    async with Peer() as peer, Wiring(on(peer.base)) as wiring:
        lease = await soon(wiring.pool.lease(wiring.turn().key, patience()))
        line = await peer.line()
        await lease.send(b'{"type":"response.create"}', None, None)
        yield Rig(wiring, line, lease)
        wiring.pool.give_back(lease)


async def test_what_is_ready_goes_in_one_write(rig: Rig) -> None:
    """All events that have arrived are one write, unchanged and in order; the end is told before it is delivered."""
    sink = Recorder()
    frames = said()
    await rig.line.send(*frames)
    await until(lambda: len(rig.lease._inbox) == len(frames))
    assert await soon(rig.run(sink)) is None
    assert sink.calls == ["on_end", "write"]
    assert [sent.frame for sent in sink.events] == frames


async def test_batches_follow_each_other(rig: Rig) -> None:
    """What comes later is written later; nothing waits for the end."""
    sink = Recorder()
    await rig.line.send(created())
    running = rig.wiring.tasks.start(rig.run(sink), "relay")
    await until(lambda: len(sink.events) == 1)
    await rig.line.send(DELTA)
    await until(lambda: len(sink.events) == 2)
    await rig.line.send(*said()[1:])
    await soon(running)
    assert sink.types[:2] == ["response.created", "response.output_text.delta"]
    assert sink.types[-1] == "response.completed"


async def test_an_unknown_event_passes(rig: Rig) -> None:
    """An event type that nobody knows yet is the caller's to read, byte for byte."""
    sink = Recorder()
    odd = b'{"type":"response.new.thing",  "a":1}'
    await rig.line.send(created(), odd, *said()[1:])
    await soon(rig.run(sink))
    assert odd in [sent.frame for sent in sink.events]


async def test_the_caller_sees_no_parent_that_he_did_not_name(rig: Rig) -> None:
    """previous_response_id is restored to what the caller's own request says."""
    sink = Recorder()
    await rig.line.send(created(parent="resp_0"), *said()[1:])
    await soon(rig.run(sink))
    assert not any(b"resp_0" in sent.frame for sent in sink.events)


async def test_a_json_caller_gets_nothing_before_the_end(rig: Rig) -> None:
    """Only the end counts."""
    sink = Recorder(wants_json=True)
    await rig.line.send(*said())
    await soon(rig.run(sink, keepalive_seconds=0.001))
    assert sink.calls == ["on_end"]


@pytest.mark.parametrize("kind", ["response.failed", "response.incomplete"])
async def test_a_short_end_is_an_end(rig: Rig, kind: str) -> None:
    """Failed and incomplete responses end the turn as they came."""
    sink = Recorder()
    await rig.line.send(created(), event(kind, response={"id": "resp_1", "status": "failed"}))
    assert await soon(rig.run(sink)) is None
    assert sink.types == ["response.created", kind]


async def test_an_error_in_mid_stream(rig: Rig) -> None:
    """It takes the API's flat shape with the next sequence number, after what came before it, and ends the turn."""
    sink = Recorder()
    await rig.line.send(created(), DELTA, DELTA, failure("server_error", status=500, text="sorry"))
    refused = await soon(rig.run(sink))
    assert refused is not None
    assert refused.status == 500
    assert sink.types == ["response.created", *["response.output_text.delta"] * 2, "error"]
    flat = event("error", code="server_error", message="sorry", param=None, sequence_number=3)
    assert sink.events[-1].frame == flat
    assert "on_end" not in sink.calls


async def test_an_error_in_mid_stream_after_batches(rig: Rig) -> None:
    """The sequence number goes on over batches."""
    sink = Recorder()
    await rig.line.send(created())
    running = rig.wiring.tasks.start(rig.run(sink), "relay")
    await until(lambda: len(sink.events) == 1)
    await rig.line.send(failure("server_error", status=500))
    await soon(running)
    assert b'"sequence_number":1}' in sink.events[-1].frame


@pytest.mark.parametrize(
    "frame",
    [b'{"type":"response.output_item.added"}', b'{"type":"response.output_item.done","output_index":"x"}'],
)
async def test_an_odd_item_event_passes(rig: Rig, frame: bytes) -> None:
    """An item event that Openline cannot read goes to the caller as it came, who may know what to do with it."""
    sink = Recorder()
    await rig.line.send(created(), frame, *said()[1:])
    await soon(rig.run(sink))
    assert sink.events[1].frame == frame
    assert sink.types[-1] == "response.completed"


async def test_an_end_that_is_not_what_it_says(rig: Rig) -> None:
    """A terminal event that cannot be read is garbage, and never the end."""
    sink = Recorder()
    await rig.line.send(created(), b'{"type":"response.completed","response":')
    with pytest.raises(TurnFault) as caught:
        await soon(rig.run(sink))
    assert caught.value.fault is Fault.GARBAGE
    assert "on_end" not in sink.calls


async def test_silence_is_bridged_and_then_ended(rig: Rig) -> None:
    """A streaming caller is shown that the line is alive, until silence_seconds have passed."""
    sink = Recorder()
    await rig.line.send(created())
    with pytest.raises(TurnFault) as caught:
        await soon(rig.run(sink, keepalive_seconds=0.02, silence_seconds=0.1))
    assert caught.value.fault is Fault.SILENCE
    assert sink.calls[0] == "write"
    assert 2 <= sink.calls.count("keep_alive") <= 5


async def test_silence_for_a_json_caller(rig: Rig) -> None:
    """There is nothing to show, but the same limit."""
    sink = Recorder(wants_json=True)
    await rig.line.send(created())
    with pytest.raises(TurnFault) as caught:
        await soon(rig.run(sink, keepalive_seconds=0.01, silence_seconds=0.03))
    assert caught.value.fault is Fault.SILENCE
    assert sink.calls == []


async def test_a_lost_line_is_told_after_what_came(rig: Rig) -> None:
    """Every event that arrived is delivered before the loss counts."""
    sink = Recorder()
    await rig.line.send(created(), DELTA)
    await until(lambda: len(rig.lease._inbox) == 2)
    rig.line.abort()
    with pytest.raises(TurnFault) as caught:
        await soon(rig.run(sink))
    assert caught.value.fault is Fault.LINE_LOST
    assert len(sink.events) == 2


async def test_a_caller_who_goes_ends_the_relay(rig: Rig) -> None:
    """CallerGone goes through at once."""

    def leave(_call: str) -> None:
        raise CallerGone("hung up")

    await rig.line.send(created())
    with pytest.raises(CallerGone):
        await soon(rig.run(Recorder(look=leave)))


async def test_cancelled_it_stops(rig: Rig) -> None:
    """Cancelling while it waits for events ends it there."""
    sink = Recorder()
    await rig.line.send(created())
    running = rig.wiring.tasks.start(rig.run(sink), "relay")
    await until(lambda: bool(sink.events))
    running.cancel()
    await over(running)
    assert running.cancelled()


async def test_what_ended_is_not_waited_for(rig: Rig) -> None:
    """A batch that holds the terminal event is the last one."""
    sink = Recorder()
    await rig.line.send(completed())
    await soon(rig.run(sink))
    assert sink.types == ["response.completed"]
