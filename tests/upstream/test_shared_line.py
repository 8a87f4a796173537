"""A line that several turns share, when something comes that ends it: whose fault it is, and whose not."""

from collections.abc import AsyncIterator

import pytest

from proxy.core.lane import State
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.upstream.capabilities import Capabilities, Host
from tests.upstream.peer import Peer, failure, said, soon, until
from tests.upstream.rig import Rig, lost, send, two_lanes, types

pytestmark = pytest.mark.usefixtures("nothing_left")
LIMIT_REACHED = failure("websocket_connection_limit_reached")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A rig on a host with lanes; nothing is left behind."""
    async with Peer() as peer:
        one = Rig(peer, host=Host(Capabilities(lanes=True), recheck_seconds=1, clock=lambda: 0.0))
        yield one
        await soon(one.tasks.close())


def on_lane(frame: bytes, name: str) -> bytes:
    """The frame as the host names its lane."""
    return frame[:-1] + b',"stream_id":"%b"}' % name.encode()


@pytest.mark.parametrize("others", ["streaming", "draining", "both"])
async def test_a_nameless_error_is_given_to_nobody(rig: Rig, others: str) -> None:
    """With two lanes at work it may be anyone's: no turn gets it, all have lost their line, and lanes are given up."""
    connection, line, one, two = await two_lanes(rig)
    turns = [one, two, await send(connection)]  # the third waits for its first event
    if others != "streaming":
        turns.remove(two)
        connection.release(two)
        assert two.lane.state is State.DRAINING
    if others == "draining":
        turns.remove(one)
        await line.send(*said("resp_a", stream_id="l1")[1:])
        await types(one, 3)
        connection.release(one)
    await line.send(failure("server_error", text="a private text"))
    for turn in turns:
        found = await lost(turn)
        assert found.fault is Fault.LINE_LOST
        assert found.answer is None
        assert "private" not in str(found)
    assert not rig.host.has_lanes
    await line.closed()


@pytest.mark.parametrize("frame", [b"noise", b'{"type":"response.created"}', on_lane(b'{"type":"response.x"}', "l9")])
async def test_one_odd_frame_costs_the_host_no_lanes(rig: Rig, frame: bytes) -> None:
    """The line goes, as nothing on it can be told any more; only if it happens again the host has no lanes."""
    for has_lanes in (True, False):
        connection, line, one, two = await two_lanes(rig)
        await line.send(frame)
        assert [(await lost(turn)).fault for turn in (one, two)] == [Fault.LINE_LOST] * 2
        await line.closed()
        assert rig.host.has_lanes is has_lanes
        assert not connection.open


async def test_a_nameless_error_with_one_lane_at_work_is_its_own(rig: Rig) -> None:
    """Then it can be told whose it is: the turn gets it, and the others' lanes are kept."""
    connection, line, one, two = await two_lanes(rig)
    await line.send(*said("resp_a", stream_id="l1")[1:])
    await types(one, 3)
    connection.release(one)
    await line.send(failure("server_error"))
    assert await types(two, 1) == ["error"]
    assert (connection.open, rig.host.has_lanes) == (True, True)


async def test_the_age_limit_is_that_of_the_create_it_answers(rig: Rig) -> None:
    """Only the create that is refused did not run; all the others have lost their line."""
    connection, line, one, two = await two_lanes(rig)
    three, four = await send(connection), await send(connection)
    await line.send(on_lane(LIMIT_REACHED, three.named or ""))
    assert (await lost(three)).fault is Fault.CONNECTION_LIMIT
    assert [(await lost(turn)).fault for turn in (one, two, four)] == [Fault.LINE_LOST] * 3
    assert rig.reasons == [Whole.ROTATED]


@pytest.mark.parametrize("waiting", [1, 2])
async def test_an_age_limit_of_no_lane_is_nobodys_create(rig: Rig, waiting: int) -> None:
    """With several turns at work it cannot be told which create it refused, if any: each may have run."""
    connection, line, one, two = await two_lanes(rig)
    turns = [one, two, *[await send(connection) for _ in range(waiting)]]
    await line.send(LIMIT_REACHED)
    assert [(await lost(turn)).fault for turn in turns] == [Fault.LINE_LOST] * len(turns)
    assert rig.reasons == [Whole.ROTATED]


async def test_too_big_is_nobodys_create_where_several_are_at_work(rig: Rig) -> None:
    """A close with 1009 names no lane."""
    connection, line, one, two = await two_lanes(rig)
    three = await send(connection)
    await line.frame()
    await line.close(1009)
    assert [(await lost(turn)).fault for turn in (one, two, three)] == [Fault.LINE_LOST] * 3


async def test_half_a_surrogate_pair_loses_its_lane_name_alone(rig: Rig) -> None:
    """A text that was cut within a character reaches the turn as it came, wherever the lane's name stands."""
    connection, line, one, _ = await two_lanes(rig)
    frames = [
        rb'{"type":"response.output_text.delta","stream_id":"l1","delta":"\ud83d","sequence_number":1}',
        rb'{"type":"response.output_text.delta","delta":"\ude00","sequence_number":2,"stream_id":"l1"}',
        rb'{"type":"response.output_text.delta","delta":"\ud83d","stream_id":"l1","sequence_number":3}',
    ]
    await line.send(*frames)
    await until(lambda: len(one._inbox) == len(frames))
    got = [event.frame for event in await soon(one.batch(1))]
    assert got == [
        rb'{"type":"response.output_text.delta","delta":"\ud83d","sequence_number":1}',
        rb'{"type":"response.output_text.delta","delta":"\ude00","sequence_number":2}',
        rb'{"type":"response.output_text.delta","delta":"\ud83d","sequence_number":3}',
    ]
    assert connection.open


async def test_what_comes_after_the_end_says_nothing_of_the_host(rig: Rig) -> None:
    """A line that we close while an event is on its way: that it finds no turn is no sign of a host without lanes."""
    connection, line, one, two = await two_lanes(rig)
    line.socket.protocol.send_text(on_lane(failure("no_way"), "l1"))
    line.socket.send_data()
    connection.close(Whole.EVICTED)
    await line.closed()
    await until(lambda: not len(rig.tasks))
    assert connection.host.has_lanes
    assert one.fault is not None
    assert two.fault is not None
