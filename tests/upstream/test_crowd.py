"""A crowd: many turns at once share few sockets where the host has lanes, and find room there as soon as may be."""

import asyncio
from collections import Counter

import pytest

from proxy.config import Pool as Limits
from proxy.core.recovery import Fault
from proxy.upstream.lease import Lease
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import LIMIT, Line, Peer, created, failure, refusal, said, soon, until
from tests.upstream.test_pool import CREATE, Rig, fault_of

pytestmark = pytest.mark.usefixtures("nothing_left")
PATIENT = Limits(max_connections_per_key=1, wait_seconds=LIMIT)


async def served(rig: Rig, peer: Peer, count: int) -> tuple[list[Lease], list[Line]]:
    """So many turns at once: each sends its create, and the first of each line is answered."""
    leased: list[Lease] = []

    async def turn() -> None:
        lease = await rig.leasing()
        leased.append(lease)
        await lease.send(CREATE, None, None)

    turns = [rig.tasks.start(turn(), "turn") for _ in range(count)]
    await until(lambda: len(rig.pool._waiting) + len(leased) == count)
    lines = [await peer.line() for _ in range(rig.pool.open_connections)]
    for line in lines:
        await line.frame()
        await line.send(created(stream_id="l1"))
    await soon(asyncio.gather(*turns))
    return leased, lines


async def test_a_hundred_turns_at_once_share_eight_sockets(peer: Peer) -> None:
    """All are under way as soon as the first of each socket is answered: none waits for another's end."""
    async with Rig(peer, Limits(wait_seconds=LIMIT), lanes="on") as rig:
        leased, lines = await served(rig, peer, 100)
        assert len(lines) == len(peer.upgrades) == rig.pool.open_connections == 8
        assert len({lease.lane for lease in leased}) == 100
        assert max(Counter(lease.lane.connection for lease in leased).values()) <= 16


async def test_a_crowd_waits_for_its_own_dials_however_short_the_wait_for_others_is(peer: Peer) -> None:
    """What is being opened, or has yet to echo its first name, will have room: the setting is for what is busy."""
    async with Rig(peer, Limits(wait_seconds=0.0), lanes="on") as rig:
        peer.gate = asyncio.Event()
        turns = [rig.leasing() for _ in range(100)]
        await until(lambda: len(peer.upgrades) == 8)
        peer.gate.set()
        first = [await soon(turn) for turn in turns[:8]]
        lines = [await peer.line() for _ in first]
        for lease in first:
            await lease.send(CREATE, b"{}", None)
        for line in lines:
            await line.frame()
            await line.send(echo("l1"))
        leased = [*first, *[await soon(turn) for turn in turns[8:]]]
        assert max(Counter(lease.lane.connection for lease in leased).values()) <= 16
        assert len(peer.upgrades) == 8


async def test_a_crowd_opens_as_many_as_it_needs_at_once(peer: Peer) -> None:
    """Those who wait fit into what is coming: for the others more is opened beside it, and not one by one."""
    async with Rig(peer, Limits(), lanes="on") as rig:
        peer.gate = asyncio.Event()
        turns = [rig.leasing() for _ in range(200)]
        await until(lambda: len(peer.upgrades) == 13)
        assert len(rig.pool._waiting) == 187
        peer.refusals.extend(refusal(503) for _ in range(3))
        peer.gate.set()
        await until(lambda: len(peer.upgrades) == 16)  # what three were to bring, others of those who wait see to
        failed = [turn for turn in turns if turn.done() and turn.exception()]
        assert len(failed) == 3


async def test_who_waits_for_what_others_think_about_does_not_wait_long(peer: Peer) -> None:
    """A lone create went out with no question ahead of it: its first event is the model's, and may take minutes."""
    async with Rig(peer, Limits(max_connections_per_key=1, wait_seconds=0.0), lanes="on") as rig:
        lease = await rig.lease()
        await lease.send(CREATE, None, None)
        assert await fault_of(rig.leasing()) is Fault.POOL_FULL


async def test_who_waits_for_a_dial_that_fails_dials_himself(peer: Peer) -> None:
    """What was to have room for both does not come."""
    async with Rig(peer, Limits(max_connections_per_key=1, wait_seconds=0.0), lanes="on") as rig:
        peer.gate = asyncio.Event()
        peer.refusals.append(refusal(503))
        first, second = rig.leasing(), rig.leasing()
        await rig.waiting(1)
        peer.gate.set()
        assert await fault_of(first) is Fault.DIAL_FAILED
        assert (await soon(second)).named == "l1"


async def test_the_wait_is_short_once_nothing_more_is_on_its_way(peer: Peer) -> None:
    """What came had room for fifteen of sixteen, and no more may be opened: the last is told so at once."""
    async with Rig(peer, Limits(max_connections_per_key=1, wait_seconds=0.0), lanes="on") as rig:
        peer.gate = asyncio.Event()
        first = rig.leasing()
        turns = [rig.leasing() for _ in range(15)]
        await rig.waiting(15)
        peer.gate.set()
        lease = await soon(first)
        await lease.send(CREATE, b"{}", None)
        late = rig.leasing()
        assert await fault_of(late) is Fault.POOL_FULL
        line = await peer.line()
        await line.send(echo("l1"))
        assert len({(await soon(turn)).named for turn in turns}) == 15
        assert not rig.pool._waiting


async def test_conversations_fill_a_socket_before_the_next_is_opened(peer: Peer) -> None:
    """One at a time, thirteen share the first; what they leave is room for all of them at once, and for forks."""
    async with Rig(peer, Limits(), lanes="on") as rig:
        lines: list[Line] = []
        for number in range(14):
            lease = await rig.lease()
            while len(lines) < rig.pool.open_connections:
                lines.append(await peer.line())
            line = lines[-1]
            await lease.send(CREATE, None, None)
            await line.send(created(stream_id=lease.named or ""))
            await lease.batch(LIMIT)
            assert len(lines) == (1 if number < 13 else 2)


async def test_a_crowd_does_not_share_where_there_are_no_lanes(peer: Peer) -> None:
    """Each has a socket of its own, up to the limit."""
    async with Rig(peer, Limits(max_connections_per_key=20), lanes="off") as rig:
        leased = await soon(asyncio.gather(*(rig.leasing() for _ in range(20))))
        assert len(peer.upgrades) == len({lease.lane.connection for lease in leased}) == 20


# --- the question that makes room


def questions(frames: list[dict[str, object]]) -> int:
    """How many of the frames ask for a made-up id."""
    return sum(frame.get("generate") is False for frame in frames)


def echo(lane: object) -> bytes:
    """The answer to a made-up id, which names the lane."""
    return failure("previous_response_not_found")[:-1] + b',"stream_id":"%b"}' % str(lane).encode()


async def answered(line: Line, *frames: dict[str, object]) -> None:
    """Whole answers to these creates."""
    for frame in frames:
        await line.send(*said(f"resp_{frame['stream_id']}", stream_id=str(frame["stream_id"])))


async def test_the_echo_of_a_made_up_id_makes_room_at_once(peer: Peer) -> None:
    """Where others wait it goes ahead of the first create; its refusal names the lane long before a model says a word.

    It is asked once: the others that come to the line send their creates alone.
    """
    async with Wiring(on(peer.base, lanes="on", pool=PATIENT)) as wiring:
        turns = [wiring.run(wiring.turn(stream=True), Recorder()) for _ in range(20)]
        line = await peer.line()
        ahead, first = await line.frame(), await line.frame()
        assert questions([ahead]) == 1
        assert ahead["stream_id"] == first["stream_id"] == "l1"
        assert "previous_response_id" not in first
        await line.send(echo("l1"))
        more = [await line.frame() for _ in range(15)]
        assert len({frame["stream_id"] for frame in (first, *more)}) == 16
        assert len(wiring.pool._waiting) == 4
        await answered(line, first, *more)
        last = [await line.frame() for _ in range(4)]
        await answered(line, *last)
        await soon(asyncio.gather(*turns))
        assert questions([first, *more, *last]) == 0
        assert len(peer.upgrades) == 1


async def test_turns_that_come_together_ask_on_each_of_their_lines(peer: Peer) -> None:
    """While others are on their way to lines of their own, more may follow: each line's name is to be known soon."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        turns = [wiring.run(wiring.turn(stream=True), Recorder()) for _ in range(2)]
        for _ in turns:
            line = await peer.line()
            ahead, create = await line.frame(), await line.frame()
            assert (questions([ahead]), questions([create])) == (1, 0)
            await line.send(echo("l1"))
            await answered(line, create)
        await soon(asyncio.gather(*turns))
        assert len(peer.upgrades) == 2


async def test_a_lone_turn_asks_nothing(peer: Peer) -> None:
    """Nobody waits for the lane's name: the create goes alone, and so do those that come after its echo."""
    async with Wiring(on(peer.base, lanes="on", pool=PATIENT)) as wiring:
        turns = [wiring.run(wiring.turn(stream=True), Recorder())]
        line = await peer.line()
        frames = [await line.frame()]
        await line.send(created(stream_id="l1"))
        await until(lambda: any(lane.lanes.proven for one in wiring.pool._numbered.values() for lane in one.lanes))
        turns += [wiring.run(wiring.turn(stream=True), Recorder()) for _ in range(20)]
        frames += [await line.frame() for _ in range(15)]
        assert len(wiring.pool._waiting) == 5
        await line.send(*said("resp_l1", stream_id="l1")[1:])
        await answered(line, *frames[1:])
        last = [await line.frame() for _ in range(5)]
        await answered(line, *last)
        await soon(asyncio.gather(*turns))
        assert questions([*frames, *last]) == 0


async def test_a_line_is_asked_once_whatever_it_answered(peer: Peer) -> None:
    """Errors that name no lane prove nothing: the next turn waits for its own first event, as the others for it."""
    async with Wiring(on(peer.base, lanes="on", pool=PATIENT)) as wiring:
        turns = [wiring.run(wiring.turn(stream=True), Recorder()) for _ in range(3)]
        line = await peer.line()
        assert questions([await line.frame(), await line.frame()]) == 1
        await line.send(failure("previous_response_not_found"), failure("rate_limit_exceeded", status=429))
        second = await line.frame()
        assert (second["stream_id"], questions([second])) == ("l1", 0)
        await line.send(created("resp_l1", stream_id="l1"))
        third = await line.frame()
        assert (third["stream_id"], questions([third])) == ("l2", 0)
        await line.send(*said("resp_l1", stream_id="l1")[1:])
        await answered(line, third)
        await soon(asyncio.gather(*turns))


async def test_without_lanes_nobody_asks(peer: Peer) -> None:
    """A host that is known to verify ids is sent creates alone; those that wait do so for the turn's end."""
    async with Wiring(on(peer.base, lanes="off", pool=PATIENT)) as wiring:
        turns = [wiring.run(wiring.turn({"role": "user", "content": str(n)}, stream=True), Recorder()) for n in "123"]
        line = await peer.line()
        for _ in turns:
            frame = await line.frame()
            assert questions([frame]) == 0
            assert "stream_id" not in frame
            await line.send(*said())
        await soon(asyncio.gather(*turns))
