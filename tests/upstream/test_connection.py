"""One connection against a real WebSocket server."""

import asyncio

import pytest
from websockets.protocol import State as SocketState

from proxy.config import Pool as Limits
from proxy.core.events import Event
from proxy.core.heads import Head
from proxy.core.lane import State
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.capabilities import Capabilities, Host
from proxy.upstream.connection import _HIGH_WATER
from proxy.upstream.lease import _OVERFLOW
from tests.upstream.peer import (
    LIMIT,
    Line,
    completed,
    created,
    event,
    failure,
    named,
    over,
    patience,
    said,
    soon,
    until,
)
from tests.upstream.rig import CREATE, Rig, head_on, lease_of, lost, send, two_lanes, types

pytestmark = pytest.mark.usefixtures("nothing_left")
PROBE = b'{"type":"response.create","generate":false}'
ALWAYS_DOUBTFUL = Limits(doubtful_after_seconds=0.0, pong_seconds=0.05)


async def test_a_turn_there_and_back(rig: Rig) -> None:
    """A create goes out as one text frame; the events come back in order, and the line stays for the next turn."""
    connection, line = await rig.open()
    for _ in range(2):
        lease = await send(connection)
        assert lease.dead is None
        assert await line.frame() == {"type": "response.create"}
        await line.send(*said())
        expected = ["response.created", "response.output_item.added", "response.output_item.done"]
        assert await types(lease, 4) == [*expected, "response.completed"]
        connection.release(lease)
    assert connection.open
    assert rig.ends == []


async def test_what_has_arrived_comes_as_one_batch(rig: Rig) -> None:
    """All events that wait are handed over together, verbatim."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.send(*said())
    await until(lambda: len(lease._inbox) == 4)
    assert [event.frame for event in await lease.batch(LIMIT)] == said()


async def test_silence_is_a_timeout(rig: Rig) -> None:
    """A batch that does not come is waited for no longer than asked; the line stays usable."""
    connection, line = await rig.open()
    lease = await send(connection)
    with pytest.raises(TimeoutError):
        await lease.batch(0.01)
    await line.send(*said())
    assert len(await types(lease, 4)) == 4


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_close_is_seen_at_once_while_idle(rig: Rig, orderly: bool) -> None:  # noqa: FBT001
    """An idle socket that ends takes its head with it, with no turn looking."""
    connection, line = await rig.open()
    head = head_on(connection)
    assert head.place.holds(head)
    if orderly:
        await line.close()
    else:
        line.abort()
    await until(lambda: bool(rig.ends))
    assert rig.ends == [(connection, [head], Whole.CONNECTION_LOST)]
    assert not connection.open
    assert not head.place.holds(head)
    assert not connection.lanes.spare()
    assert not connection.lanes.oldest()


async def test_a_line_that_is_closing_is_not_used(rig: Rig) -> None:
    """From the moment the host's close frame is here the line is not open, and nothing is written to it."""
    connection, line = await rig.open()
    lease = lease_of(connection)
    line.deafen()  # it does not see our answer, and so keeps the TCP connection
    line.socket.protocol.send_close(1001)
    line.socket.transport.write(b"".join(line.socket.protocol.data_to_send()))
    await until(lambda: connection._socket.state is not SocketState.OPEN)
    assert not connection.open
    with pytest.raises(TurnFault) as caught:
        await soon(lease.send(CREATE, None, None))
    assert caught.value.fault is Fault.LINE_LOST


@pytest.mark.parametrize(
    "frame",
    [
        created(),
        event("response.output_text.delta", delta="x"),
        failure("server_error", status=500),
        b"no json",
        b"{}",
        b"",
        b'{"type":"\xff"}',
    ],
)
async def test_an_unexpected_frame_while_idle_closes_the_line(rig: Rig, frame: bytes) -> None:
    """A frame that nobody asked for says that the two sides disagree: the connection and its head are given up."""
    connection, line = await rig.open()
    head = head_on(connection)
    await line.send(frame)
    await line.closed()
    assert rig.ends == [(connection, [head], Whole.CONNECTION_LOST)]
    assert connection.fault is not None


@pytest.mark.parametrize("frame", [b"no json", b"[]", b'{"kind":1}'])
async def test_garbage_in_an_answer_is_a_fault_of_the_turn(rig: Rig, frame: bytes) -> None:
    """The waiting turn is told GARBAGE after the events before it, and the line is closed."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.send(created(), frame)
    assert await types(lease, 1) == ["response.created"]
    assert (await lost(lease)).fault is Fault.GARBAGE
    await line.closed()


async def test_a_binary_frame_is_garbage(rig: Rig) -> None:
    """The protocol has text frames only."""
    connection, line = await rig.open()
    lease = await send(connection)
    await soon(line.socket.send(created(), text=False))
    assert (await lost(lease)).fault is Fault.GARBAGE
    await line.closed()


async def test_the_age_limit_while_idle_counts_as_rotation(rig: Rig) -> None:
    """The host's own limit is no fault: the next turn is told that the connection was rotated."""
    connection, line = await rig.open()
    head = head_on(connection)
    await line.send(failure("websocket_connection_limit_reached"))
    await line.closed()
    assert rig.ends == [(connection, [head], Whole.ROTATED)]


async def test_the_age_limit_in_answer_to_a_create(rig: Rig) -> None:
    """The create can go elsewhere, and the connection serves no other turn, closed by the host or not."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.send(failure("websocket_connection_limit_reached"))
    assert (await lost(lease)).fault is Fault.CONNECTION_LIMIT
    assert rig.reasons == [Whole.ROTATED]
    await line.closed()


async def test_the_age_limit_in_mid_answer_is_a_lost_line(rig: Rig) -> None:
    """What began to be answered cannot simply go elsewhere."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.send(created(), failure("websocket_connection_limit_reached"))
    assert await types(lease, 1) == ["response.created"]
    assert (await lost(lease)).fault is Fault.LINE_LOST
    assert rig.reasons == [Whole.ROTATED]


async def test_an_oversize_frame_is_never_sent(rig: Rig) -> None:
    """A frame of the limit or more is refused before a byte of it, or of its probe, goes out; the line lives on."""
    rig.host = Host(Capabilities(frame_limit_bytes=len(CREATE) + 1), recheck_seconds=1, clock=lambda: 0.0)
    connection, line = await rig.open()
    head = head_on(connection)
    for size in (1, 100):
        lease = lease_of(connection)
        with pytest.raises(TurnFault) as caught:
            await lease.send(CREATE + b" " * size, PROBE, head)
        connection.release(lease)
        assert caught.value.fault is Fault.OVERSIZE
    assert head.place.holds(head)
    assert (await send(connection)).dead is head
    assert await line.frame() == {"type": "response.create"}


@pytest.mark.parametrize(
    ("code", "fault"),
    [(1009, Fault.OVERSIZE), (1000, Fault.LINE_LOST), (1011, Fault.LINE_LOST), (1012, Fault.LINE_LOST)],
)
async def test_close_codes(rig: Rig, code: int, fault: Fault) -> None:
    """1009 in answer to a create says that it was too big; any other close is a lost line, named by its code."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.frame()
    await line.close(code)
    found = await lost(lease)
    assert found.fault is fault
    assert str(code) in found.detail


async def test_a_reset_is_a_lost_line(rig: Rig) -> None:
    """A line that ends without a close frame is lost, after the events that came before."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.send(created())
    await until(lambda: bool(lease._inbox))
    line.abort()
    await until(lambda: bool(rig.ends))
    assert await types(lease, 1) == ["response.created"]
    found = await lost(lease)
    assert (found.fault, found.detail) == (Fault.LINE_LOST, "the line was lost without a close frame")


@pytest.mark.parametrize("frame", [b"x", None])
async def test_a_create_on_a_dead_line_is_unsent(rig: Rig, frame: bytes | None) -> None:
    """Whatever ended the line, a create that was not written is told LINE_LOST."""
    connection, line = await rig.open()
    lease = lease_of(connection)
    if frame:
        await line.send(frame)
        await line.closed()
    else:
        await line.close(1009)
    await until(lambda: bool(rig.ends))
    with pytest.raises(TurnFault) as caught:
        await lease.send(CREATE, None, None)
    assert caught.value.fault is Fault.LINE_LOST


async def test_a_line_lost_while_writing(rig: Rig) -> None:
    """A reset in the middle of a large write is told to the turn that waits for its answer, and ends the write."""
    connection, line = await rig.open()
    line.deafen()
    lease = lease_of(connection)
    writing = rig.tasks.start(lease.send(CREATE + b" " * 15_000_000, None, None), "writing")
    await until(lambda: connection._socket.transport.get_write_buffer_size() > 0)
    line.abort()
    await over(writing)
    assert (await lost(lease)).fault is Fault.LINE_LOST


async def test_a_head_dies_by_the_next_create(rig: Rig) -> None:
    """A head is live while its lane is idle, unleased and has it as latest; a create gives it up for good."""
    connection, line = await rig.open()
    head = head_on(connection)
    lease = lease_of(connection)
    assert not head.place.holds(head)
    connection.release(lease)
    assert head.place.holds(head)
    lease = await send(connection)
    assert lease.dead is head
    await line.send(*said())
    await types(lease, 4)
    connection.release(lease)
    assert not head.place.holds(head)
    newer = head_on(connection)
    assert newer.place.holds(newer)
    assert not head.place.holds(head)


async def test_no_head_on_a_line_that_is_gone(rig: Rig) -> None:
    """A turn whose line ended right behind its last event cannot be continued there."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.send(*said())
    await types(lease, 4)
    await line.close()
    await until(lambda: bool(rig.ends))
    assert not lease.commit(Head("resp_1", (b"f",), b"key", lease.lane, stored=False))


@pytest.mark.parametrize("taken", [True, False])
async def test_given_back_after_a_whole_answer(rig: Rig, taken: bool) -> None:  # noqa: FBT001
    """The line stays open for the next turn and counts as used just now; what was not taken is forgotten."""
    connection, line = await rig.open()
    used = connection.used_at
    lease = await send(connection)
    await line.send(*said())
    await until(lambda: len(lease._inbox) == 4)
    if taken:
        await types(lease, 4)
    connection.release(lease)
    assert (connection.busy, bool(connection.lanes.spare()), connection.open) == (False, True, True)
    assert connection.used_at > used
    again = await send(connection)
    await line.send(created("resp_2"))
    assert b"resp_2" in (await again.batch(LIMIT))[0].frame


@pytest.mark.parametrize("frames", [[], [created()], said()[:3]])
async def test_given_back_in_mid_answer_it_is_closed(rig: Rig, frames: list[bytes]) -> None:
    """A lease that ends with an answer outstanding or begun stops the generation: the socket closes."""
    connection, line = await rig.open()
    lease = await send(connection)
    await line.frame()
    await line.send(*frames)
    await until(lambda: len(lease._inbox) == len(frames))
    connection.release(lease)
    assert not connection.open
    assert rig.reasons == [Whole.UNFINISHED]
    assert await line.closed() == 1000


async def test_the_end_comes_once(rig: Rig) -> None:
    """However often a connection is closed, its end is told once, with the first reason."""
    connection, line = await rig.open()
    connection.close(Whole.EVICTED)
    connection.close(Whole.ROTATED)
    connection.retire(Whole.ROTATED)
    await line.closed()
    assert rig.reasons == [Whole.EVICTED]


async def test_a_retired_connection_finishes_its_turn(rig: Rig) -> None:
    """Retiring takes no new turn and disturbs none: the socket closes when the last lease ends."""
    connection, line = await rig.open()
    lease = await send(connection)
    connection.retire(Whole.ROTATED)
    assert not connection.lanes.spare()
    assert not connection.lanes.oldest()
    await line.send(*said())
    assert len(await types(lease, 4)) == 4
    assert connection.open
    connection.release(lease)
    assert await line.closed() == 1000
    assert rig.reasons == [Whole.ROTATED]


async def test_a_probe_goes_ahead_in_the_same_breath(rig: Rig) -> None:
    """Question and create are both there before any answer; the question's events are for the host alone."""
    connection, line = await rig.open()
    lease = await send(connection, probe=PROBE)
    assert [await line.frame(), await line.frame()] == [
        {"type": "response.create", "generate": False},
        {"type": "response.create"},
    ]
    assert lease.asked
    await line.send(failure("previous_response_not_found"), *said())
    await lease.probed(LIMIT, patience())
    assert (await types(lease, 4))[0] == "response.created"
    assert rig.host.trust(b"").verified
    assert lease.commit(Head("resp_1", (b"f",), b"key", lease.lane, stored=False))


async def test_a_probe_without_an_answer_ends_the_line(rig: Rig) -> None:
    """A host that is silent about a made-up id holds the turn no longer than asked; twice, and it is asked no more."""
    for times in (1, 2):
        connection, _ = await rig.open()
        lease = await send(connection, probe=PROBE)
        with pytest.raises(TurnFault) as caught:
            await lease.probed(0.01, patience())
        assert caught.value.fault is Fault.LINE_LOST
        assert not connection.open
        assert rig.host.must_be_asked(b"") is (times == 1)


async def test_a_line_lost_over_the_probe(rig: Rig) -> None:
    """A host that hangs up instead of answering counts as asked in vain, and the turn is told at once."""
    for times in (1, 2):
        connection, line = await rig.open()
        lease = await send(connection, probe=PROBE)
        line.abort()
        with pytest.raises(TurnFault):
            await lease.probed(LIMIT, patience())
        assert rig.host.must_be_asked(b"") is (times == 1)


async def test_without_a_probe_there_is_no_answer_to_wait_for(rig: Rig) -> None:
    """A turn that asked nothing goes straight to its events."""
    connection, _ = await rig.open()
    lease = await send(connection)
    await lease.probed(0.0, patience())
    assert not lease.asked


async def test_a_lenient_host_is_found_out(rig: Rig) -> None:
    """A host that goes on from a made-up id is noted as such; the turn behind it is answered all the same."""
    connection, line = await rig.open()
    lease = await send(connection, probe=PROBE)
    await line.send(created("made_up"), completed("made_up"), *said())
    assert len(await types(lease, 4)) == 4
    assert not rig.host.must_be_asked(b"")
    assert not rig.host.trust(b"").verified


async def test_an_unclear_verdict_leaves_the_question_open(rig: Rig) -> None:
    """An error that says nothing about the id proves nothing; the next connection asks again."""
    connection, line = await rig.open()
    lease = await send(connection, probe=PROBE)
    await line.send(failure("rate_limit_exceeded", status=429), *said())
    assert len(await types(lease, 4)) == 4
    assert rig.host.must_be_asked(b"")


async def test_a_pong_in_time_settles_the_doubt(rig: Rig) -> None:
    """A line silent for long gets a ping together with the turn; a pong, and nothing happens."""
    connection, _ = await rig.open(ALWAYS_DOUBTFUL)
    await send(connection)
    await over(named("doubtful line"))
    assert connection.open


async def test_an_event_in_time_settles_the_doubt(rig: Rig) -> None:
    """An event proves the line as well as a pong does."""
    connection, line = await rig.open(ALWAYS_DOUBTFUL)
    line.deafen()
    await send(connection)
    await line.send(created())
    await over(named("doubtful line"))
    assert connection.open


async def test_neither_pong_nor_event_means_lost(rig: Rig) -> None:
    """A doubtful line from which nothing comes within pong_seconds is lost, long before the silence limits."""
    connection, line = await rig.open(ALWAYS_DOUBTFUL)
    line.deafen()
    lease = await send(connection)
    found = await lost(lease)
    assert found.fault is Fault.LINE_LOST
    assert "pong" in found.detail


async def test_a_doubtful_line_is_found_out_while_a_large_create_is_written(rig: Rig) -> None:
    """A dead line that takes no bytes is lost after pong_seconds too, although the write cannot end."""
    connection, line = await rig.open(ALWAYS_DOUBTFUL)
    line.deafen()
    lease = lease_of(connection)
    writing = rig.tasks.start(lease.send(CREATE + b" " * 15_000_000, None, None), "writing")
    await until(lambda: bool(rig.ends))
    assert (await lost(lease)).fault is Fault.LINE_LOST
    await over(writing)


async def test_a_line_lost_while_in_doubt(rig: Rig) -> None:
    """A reset that comes before the pong ends the doubt and the line, once."""
    connection, line = await rig.open(ALWAYS_DOUBTFUL)
    line.deafen()
    lease = await send(connection)
    doubt = named("doubtful line")
    line.abort()
    assert "without a close frame" in (await lost(lease)).detail
    await over(doubt)
    assert len(rig.ends) == 1


async def test_a_line_in_use_is_not_doubted(rig: Rig) -> None:
    """Within doubtful_after_seconds of the last event no ping is sent."""
    connection, line = await rig.open()
    lease = await send(connection)
    doubt = named("doubtful line")  # it had brought nothing so far
    await line.send(*said())
    await types(lease, 4)
    await over(doubt)
    connection.release(lease)
    await send(connection)
    with pytest.raises(LookupError):
        named("doubtful line")


async def test_a_machine_that_slept_doubts_the_line(rig: Rig) -> None:
    """A wall clock that ran ahead of the monotonic one since the last event (the laptop slept) is a doubt too."""
    connection, line = await rig.open(Limits(pong_seconds=0.05))
    monotonic, wall = connection._silence._since
    connection._silence._since = monotonic, wall - 10.0
    line.deafen()
    lease = await send(connection)
    assert (await lost(lease)).fault is Fault.LINE_LOST


async def flood(line: Line, frames: int, size: int) -> None:
    """Send that many events of that size."""
    await line.send(created())
    frame = event("response.output_text.delta", delta="x" * size)
    for _ in range(frames):
        await line.socket.send(frame, text=True)


async def test_a_turn_that_takes_nothing_stops_the_reader(rig: Rig) -> None:
    """No more than the high-water mark waits in memory; what is taken makes room; giving up closes the socket."""
    size, frames = 65_536, 1_000
    connection, line = await rig.open()
    lease = await send(connection)
    flooding = rig.tasks.start(flood(line, frames, size), "flooding")
    for _ in range(2):
        _, going = await asyncio.wait({flooding}, timeout=0.3)
        assert going
        assert _HIGH_WATER < lease.waiting < _HIGH_WATER + 2 * size
        assert await lease.batch(LIMIT)
    connection.release(lease)
    await over(flooding)
    await line.closed()
    assert lease.waiting < _HIGH_WATER + 2 * size


async def test_a_slow_turn_still_gets_everything(rig: Rig) -> None:
    """Stopping and going on loses and reorders nothing."""
    connection, line = await rig.open()
    lease = await send(connection)
    flooding = rig.tasks.start(flood(line, 100, 65_536), "flooding")
    assert len(await types(lease, 101)) == 101
    await over(flooding)


async def test_a_connection_does_not_show_its_credential(rig: Rig) -> None:
    """Neither it, nor its key, host, lease or fault, says whose it is."""
    connection, _ = await rig.open()
    lease = lease_of(connection)
    connection.close(Whole.EVICTED)
    shown = f"{connection!r} {connection.key!r} {connection.host!r} {lease!r} {connection.fault!r} {connection.fault}"
    assert "secret" not in shown


async def test_what_was_closed_ends_by_itself(rig: Rig) -> None:
    """The tasks of a closed connection end without being cancelled, and the peer gets its close frame."""
    connection, line = await rig.open()
    connection.close(Whole.CONNECTION_LOST)
    await soon(rig.tasks.finish(LIMIT))
    assert not len(rig.tasks)
    assert await line.closed() == 1000


async def test_two_turns_on_one_socket(rig: Rig) -> None:
    """Each turn gets the events of its own lane, without the lane's name, however they are mixed."""
    connection, line, one, two = await two_lanes(rig)
    mixed = zip(said("resp_b", stream_id="l2")[1:], said("resp_a", stream_id="l1")[1:], strict=True)
    for pair in mixed:
        await line.send(*pair)
    for lease, name in ((one, b"resp_a"), (two, b"resp_b")):
        events: list[Event] = []
        while len(events) < 3:
            events += await lease.batch(LIMIT)
        assert name in events[-1].frame
        assert not any(b"stream_id" in event.frame for event in events)
        connection.release(lease)
    assert (connection.open, connection.busy) == (True, False)


async def test_an_abandoned_lane_drains_and_is_used_again(rig: Rig) -> None:
    """Where others share the socket it stays open: the rest of the answer is dropped, then the lane is free."""
    connection, line, one, two = await two_lanes(rig)
    connection.release(one)
    assert one.lane.state is State.DRAINING
    drain = named("drain")
    await line.send(*said("resp_a", stream_id="l1")[1:], *said("resp_b", stream_id="l2")[1:])
    assert len(await types(two, 3)) == 3
    await over(drain)
    assert rig.rooms == 2  # when the lanes were proven, and now
    assert one.lane.idle
    assert connection.open
    assert lease_of(connection).lane is one.lane


async def test_an_abandoned_answer_that_an_error_breaks_off(rig: Rig) -> None:
    """Some hosts say `response.failed` behind the error: no other turn may have that lane. The line is kept."""
    connection, line, one, two = await two_lanes(rig)
    connection.release(one)
    drain = named("drain")
    await line.send(event("error", stream_id="l1", code="server_error", message="no"))
    await over(drain)
    assert one.lane.state is State.QUARANTINED
    spare = connection.lanes.spare()
    assert spare is not None
    assert spare.name == "l3"
    failed = event("response.failed", stream_id="l1", response={"id": "resp_a", "status": "failed"})
    await line.send(failed, *said("resp_b", stream_id="l2")[1:])
    assert (await types(two, 3))[-1] == "response.completed"
    connection.release(two)
    assert connection.open


async def test_an_abandoned_create_that_is_refused(rig: Rig) -> None:
    """It ends there, nothing of it had come: its lane is free again, and the others notice nothing."""
    connection, line, *_ = await two_lanes(rig)
    three = await send(connection)
    connection.release(three)
    drain = named("drain")
    await line.send(event("error", stream_id="l3", status=429, error={"code": "rate_limit_exceeded"}))
    await over(drain)
    assert three.lane.state is State.IDLE
    assert not connection.lanes.retiring
    assert connection.lanes.spare() is three.lane


async def test_a_nameless_error_in_mid_answer_retires_the_line(rig: Rig) -> None:
    """What may follow it has no name either, and could be taken for another turn's."""
    connection, line, one, two = await two_lanes(rig)
    await line.send(*said("resp_a", stream_id="l1")[1:])
    await types(one, 3)
    await line.send(event("error", code="server_error", message="no"))
    assert await types(two, 1) == ["error"]
    assert connection.lanes.retiring


async def test_a_long_drain_gives_the_lane_up(rig: Rig) -> None:
    """After 256 KB the lane is quarantined, its frames dropped; the line goes when the other turn has ended.

    What else it remembers was whole: that it was lost is true of it.
    """
    connection, line, one, two = await two_lanes(rig)
    connection.release(one)
    drain = named("drain")
    delta = event("response.output_text.delta", stream_id="l1", delta="x" * 100_000)
    await line.send(delta, delta, delta)
    await over(drain)
    assert one.lane.state is State.QUARANTINED
    await line.send(delta, *said("resp_b", stream_id="l2")[1:])
    assert len(await types(two, 3)) == 3
    assert connection.open
    connection.release(two)
    await line.closed()
    assert rig.reasons == [Whole.CONNECTION_LOST]


async def test_a_slow_drain_gives_the_lane_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abandoned answer that goes on for too long costs its lane too."""
    monkeypatch.setattr("proxy.upstream.drain._SECONDS", 0.01)
    connection, line, one, two = await two_lanes(rig)
    connection.release(two)
    await over(named("drain"))
    assert two.lane.state is State.QUARANTINED
    await line.send(*said("resp_a", stream_id="l1")[1:])
    assert len(await types(one, 3)) == 3
    connection.release(one)
    await line.closed()


async def test_a_line_lost_while_draining(rig: Rig) -> None:
    """The drain ends with the line."""
    connection, line, one, two = await two_lanes(rig)
    connection.release(one)
    drain = named("drain")
    line.abort()
    await over(drain)
    assert (await lost(two)).fault is Fault.LINE_LOST


async def test_a_stray_event_on_an_idle_lane_costs_that_lane(rig: Rig) -> None:
    """The other turn on the socket is not disturbed; the connection goes when it is done, and all heads with it."""
    connection, line, one, two = await two_lanes(rig)
    await line.send(*said("resp_a", stream_id="l1")[1:])
    await types(one, 3)
    heads = [Head(f"resp_{n}", (b"f",), b"key", lease.lane, stored=False) for n, lease in enumerate((one, two))]
    assert one.commit(heads[0])
    connection.release(one)
    await line.send(created("stray", stream_id="l1"), *said("resp_b", stream_id="l2")[1:])
    assert len(await types(two, 3)) == 3
    assert one.lane.state is State.QUARANTINED
    assert two.commit(heads[1])
    connection.release(two)
    await line.closed()
    [(_, dead, reason)] = rig.ends
    assert (dead, reason) == (heads, Whole.CONNECTION_LOST)


async def test_an_event_of_an_unknown_lane_closes_the_line(rig: Rig) -> None:
    """Where the lane cannot be told, nothing on the connection can be trusted: its turns have lost their line."""
    _, line, one, two = await two_lanes(rig)
    await line.send(created("who", stream_id="l99"))
    for lease in (one, two):
        assert (await lost(lease)).fault is Fault.LINE_LOST
    await line.closed()


async def test_a_host_that_echoes_no_name_has_no_lanes(rig: Rig) -> None:
    """The turn goes on on the one lane there is, and the host is asked for lanes no more."""
    rig.host = Host(Capabilities(lanes=True), recheck_seconds=1, clock=lambda: 0.0)
    connection, line = await rig.open(named=True)
    lease = await send(connection)
    await line.send(*said())
    assert len(await types(lease, 4)) == 4
    assert not rig.host.has_lanes
    assert lease.named is None


async def test_a_slow_caller_does_not_hold_up_those_that_share_its_socket(rig: Rig) -> None:
    """Its turn is given up when too much waits for it; the other one's go on, and memory stays bounded."""
    _, line, one, two = await two_lanes(rig)
    delta = event("response.output_text.delta", stream_id="l1", delta="x" * 1_000_000)
    await line.send(*[delta] * 40, *said("resp_b", stream_id="l2")[1:])
    assert len(await types(two, 3)) == 3
    assert one.waiting < _OVERFLOW + 2 * len(delta)
    assert one.fault is not None


async def test_cancelled_while_waiting_it_loses_no_event(rig: Rig) -> None:
    """A turn cancelled while it waits leaves the events for whoever ends the lease to see."""
    connection, line = await rig.open()
    lease = await send(connection)
    waiting = rig.tasks.start(lease.batch(LIMIT), "waiting")
    await line.frame()
    waiting.cancel()
    await over(waiting)
    await line.send(created())
    assert await types(lease, 1) == ["response.created"]


async def test_a_probe_on_a_lane_that_was_given_up_disturbs_nobody(rig: Rig) -> None:
    """A turn abandoned while the host still answers its probe costs those that share the socket nothing."""
    connection, line = await rig.open(named=True)
    one = await send(connection, probe=PROBE)
    await line.send(created("made_up", stream_id="l1"))
    await until(lambda: connection.lanes.spare() is not None)
    two = await send(connection)
    connection.release(one)
    await line.send(completed("made_up", stream_id="l1"), *said("resp_b", stream_id="l2"))
    assert len(await types(two, 4)) == 4
    assert connection.open
    connection.release(two)
