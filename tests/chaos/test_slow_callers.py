"""Slow callers: one that takes nothing costs bounded memory and its own turn; all others go on beside it."""

import asyncio
import contextlib
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.config import Lanes, Settings, Timeouts, Upstream
from proxy.core.lane import State
from proxy.tasks import Tasks
from proxy.turns.outcome import End
from proxy.upstream.connection import _HIGH_WATER
from proxy.upstream.lease import _OVERFLOW
from tests.chaos.census import connections, held, nothing_left, process, quiet, until
from tests.chaos.rig import Create, Rig, request, rigged, right
from tests.e2e.stack import Reply
from tests.upstream.peer import event, soon

_MIB = 1_048_576
# More than both ends' socket buffers and all that the proxy may hold.
_FLOOD = 96 * _MIB
both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
with_and_without_lanes = pytest.mark.parametrize("lanes", ["on", "off"])


@contextlib.asynccontextmanager
async def running(lanes: Lanes, write_seconds: float = 60.0) -> AsyncIterator[Rig]:
    """A rig that ends as empty as it began."""
    before = process()
    # Compressed, a repeated piece would be too small for any socket buffer.
    upstream = Upstream(verifies_ids="yes", lanes=lanes, compression=False)
    settings = Settings(upstream=upstream, timeouts=Timeouts(write_seconds=write_seconds))
    async with rigged(settings) as rig:
        yield rig
        await quiet(rig.app)
    await nothing_left(before)


async def begun(rig: Rig, name: str, streaming: int) -> tuple[Create, list[bytes]]:
    """The create of a caller that has just asked, and its answer, begun."""
    create = await rig.host.create()
    assert create.text == name
    answer = create.said(f"for {name}")
    assert await create.answer(answer[0])
    await rig.lanes_in(State.STREAMING, streaming)
    return create, answer


async def served(rig: Rig, name: str, *, stream: bool) -> Create:
    """Another caller's turn, from its request to its whole answer."""
    asked = rig.ask(name, stream=stream)
    create = await rig.host.create()
    assert create.text == name
    answer = create.said(f"for {name}")
    assert await create.answer(*answer)
    right(await asked.reply(), answer, stream=stream)
    return create


def slow(rig: Rig, *, stream: bool = True) -> "asyncio.Task[aiohttp.ClientResponse]":
    """A caller that asks, takes the headers, and reads no further unless it is told to."""
    headers = {"authorization": "Bearer k"}
    post = rig.session.post(f"{rig.base}/responses", json=request("slow", stream=stream), headers=headers)
    return rig.tasks.start(post.__aenter__(), "slow caller")


class Flood:
    """Pieces of one answer, sent as fast as the socket takes them."""

    def __init__(self, create: Create, tasks: Tasks, size: int) -> None:
        self.frame = event("response.output_text.delta", **create.lane, output_index=0, delta="x" * 65_536)
        self.sent = 0
        self.ended = tasks.start(self._send(create, size), "flood")

    async def _send(self, create: Create, size: int) -> None:
        while self.sent < size:
            await create.line.socket.send(self.frame, text=True)
            self.sent += len(self.frame)


def waiting(rig: Rig) -> int:
    """The bytes that wait for the turn that has most of them."""
    return max((lease.waiting for line in connections(rig.app) for lease in line._leases.values()), default=0)


@with_and_without_lanes
async def test_alone_on_its_line_it_stops_the_upstream(lanes: Lanes) -> None:
    """No more is read than may wait, whatever the host would send; after write_seconds the caller counts as gone."""
    async with running(lanes, write_seconds=0.3) as rig:
        tracemalloc.start()
        try:
            asked = slow(rig)
            create, _ = await begun(rig, "slow", 1)
            at_first = tracemalloc.get_traced_memory()[0]
            flood = Flood(create, rig.tasks, _FLOOD)
            await until(lambda: waiting(rig) > _HIGH_WATER, lambda: waiting(rig))
            assert waiting(rig) <= _HIGH_WATER + len(flood.frame)
            assert (await rig.ended(1)).end is End.HUNG_UP
            grown = tracemalloc.get_traced_memory()[1] - at_first
        finally:
            tracemalloc.stop()
        assert grown < 12 * _MIB, grown
        await until(lambda: connections(rig.app) == [], lambda: flood.sent)
        await until(flood.ended.done, lambda: flood.sent)
        assert flood.ended.exception() is not None
        assert flood.sent < _FLOOD
        (await asked).close()
        await served(rig, "next", stream=True)


@with_and_without_lanes
async def test_those_who_come_later_are_served_meanwhile(lanes: Lanes) -> None:
    """On the socket that a slow caller has brought to a stand, and on others: they begin and end before it."""
    async with running(lanes) as rig:
        asked = slow(rig)
        create, _ = await begun(rig, "slow", 1)
        flood = Flood(create, rig.tasks, 12 * _MIB)
        await until(lambda: waiting(rig) > _HIGH_WATER, lambda: waiting(rig))
        for name, stream in (("first", True), ("second", False)):
            beside = await served(rig, name, stream=stream)
            assert (beside.line is create.line) is (lanes == "on")
        assert [outcome.end for outcome in rig.outcomes] == [End.COMPLETED] * 2
        assert held(rig.app).running == 1
        (await asked).close()
        assert (await rig.ended(3)).end is End.HUNG_UP
        await create.answer(*[flood.frame] * 5)  # more than is drained, where lanes are


async def test_what_waits_on_a_shared_line_is_not_lost() -> None:
    """A caller that pauses while others share its socket gets all of its answer once it reads on."""
    async with running("on") as rig:
        other = rig.ask("bystander", stream=True)
        there, others = await begun(rig, "bystander", 1)
        asked = slow(rig)
        create, answer = await begun(rig, "slow", 2)
        async with await soon(asked) as response:
            flood = Flood(create, rig.tasks, 8 * _MIB)
            await soon(flood.ended)
            await there.answer(*others[1:])
            right(await other.reply(), others, stream=True)
            assert len(rig.outcomes) == 1
            await create.answer(*answer[1:])
            body = await soon(response.read())
        pieces = [flood.frame] * (flood.sent // len(flood.frame))
        right(Reply(200, {"content-type": "text/event-stream"}, body), [answer[0], *pieces, *answer[1:]], stream=True)
        assert (await rig.ended(2)).end is End.COMPLETED


async def test_too_much_on_a_shared_line_costs_the_slow_turn_alone() -> None:
    """Beyond the bound it gets no more, and finds its answer cut; those beside it are right."""
    async with running("on") as rig:
        other = rig.ask("bystander", stream=True)
        there, others = await begun(rig, "bystander", 1)
        asked = slow(rig)
        create, _ = await begun(rig, "slow", 2)
        async with await soon(asked) as response:
            flood = Flood(create, rig.tasks, 3 * _OVERFLOW)
            await until(flood.ended.done, lambda: flood.sent)
            await flood.ended
            # All of it may be in one write already, if the turn got to it just before the bound was reached.
            assert waiting(rig) <= _OVERFLOW + len(flood.frame)
            await there.answer(*others[1:])
            right(await other.reply(), others, stream=True)
            with pytest.raises(aiohttp.ClientPayloadError):
                await soon(response.read())
        await rig.ended(2)
        # The slow turn may end at once, or when its caller has taken what was on its way to it.
        assert Counter(outcome.end for outcome in rig.outcomes) == {End.COMPLETED: 1, End.CUT: 1}
        await create.answer(*[flood.frame] * 5)  # more than is drained


@with_and_without_lanes
async def test_a_slow_json_caller_holds_no_lane(lanes: Lanes) -> None:
    """Its answer is whole before the first byte of it is written: the next turn has the same socket meanwhile."""
    async with running(lanes) as rig:
        asked = slow(rig, stream=False)
        create = await rig.host.create()
        await create.answer(*create.said("x" * (24 * _MIB)))
        async with await soon(asked) as response:
            assert State.IDLE in rig.states()
            await served(rig, "next", stream=True)
            assert [outcome.end for outcome in rig.outcomes] == [End.COMPLETED]
            response.close()
            assert (await rig.ended(2)).end is End.HUNG_UP
