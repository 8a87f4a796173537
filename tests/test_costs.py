"""Costs: what an event and a turn take, counted and not timed, so that no noise can move it.

A bound that is met is not a goal: who makes something dearer is to see it here, and say why.
"""

import asyncio
import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Literal

import pytest

from proxy.config import Timeouts
from proxy.core.answer import Answer
from proxy.core.beginnings import Beginnings, read, unread
from proxy.core.events import Event, sse
from proxy.errors import Answer as Reply
from proxy.server.responses import Stream
from proxy.turns.outcome import Outcome
from proxy.turns.relay import Relay
from tests.upstream.reads import Wire
from tests.upstream.test_pieces import Streaming, said

PIECES = 200
# Calls of functions, ours and the interpreter's, for one piece of text from the read that brings it to the write.
CALLS_ALONE = 31
CALLS_IN_A_CLUMP = 5
# Of a turn that goes on from a body which is known, whatever the size of that.
CALLS_TO_READ = 600
# Memory at the peak of a read, as a multiple of its bytes: frames, without a name, joined, in a chunk.
COPIES = 5


class Counted(Wire):
    """A transport that counts its writes, and keeps nothing."""

    writes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Count it."""
        self.writes += bool(data)

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0


class Sink:
    """A streaming caller's end."""

    wants_json = False
    full = False

    def __init__(self) -> None:
        self.wire = Counted()
        self._stream = Stream(self.wire, self.drain, chunked=True)

    def write(self, events: Sequence[Event]) -> None:
        """As to any HTTP caller."""
        self._stream.write(sse(events[0]) if len(events) == 1 else b"".join(map(sse, events)))

    async def drain(self) -> None:
        """Nothing waits."""

    def keep_alive(self) -> None:
        """Nobody is silent."""

    async def begin(self, outcome: Outcome) -> None:
        """It has."""

    async def end(self) -> None:
        """It does not."""

    async def answer(self, answer: Reply, outcome: Outcome) -> None:
        """It streams."""

    async def forward(self, response: object, outcome: Outcome) -> None:
        """Nothing goes over plain HTTP."""

    def cut(self) -> None:
        """Nothing is lost."""


def calls(work: Callable[[], object]) -> int:
    """How many functions are called while it runs."""
    count = 0

    def seen(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


async def streaming(*, named: bool) -> tuple[Streaming, Sink, list[bytes]]:
    """A turn that streams to a caller, and what its host says next, each in a frame of its own."""
    one, sink = await Streaming(named=named).begin(1), Sink()
    (lane,) = one.turns
    one.leases[0].listen(None)
    one.leases[0].listen(Relay(one.leases[0], sink, Timeouts(), Answer(), lambda: None))
    one.hear(said("response.output_text.delta", lane))
    frames = []
    for number in range(PIECES):
        one.ends.host.send_text(said("response.output_text.delta", lane, f"{number:250}"))
        frames.append(one.ends.said())
    sink.wire.writes = 0
    return one, sink, frames


@pytest.mark.parametrize("named", [True, False], ids=["on a lane", "on a line of its own"])
async def test_a_piece_that_comes_alone(named: bool) -> None:  # noqa: FBT001 - a parameter
    """From its read to its write it takes so many calls, and one write."""
    one, sink, frames = await streaming(named=named)

    def work() -> None:
        for frame in frames:
            one.ends.socket.data_received(frame)

    count = calls(work)
    assert sink.wire.writes == PIECES
    assert count / PIECES <= CALLS_ALONE
    await one.tasks.close()


@pytest.mark.parametrize("named", [True, False], ids=["on a lane", "on a line of its own"])
async def test_pieces_that_come_together(named: bool) -> None:  # noqa: FBT001 - a parameter
    """A read that brings many takes a few calls for each, and one write for all."""
    one, sink, frames = await streaming(named=named)
    clump = b"".join(frames)
    count = calls(lambda: one.ends.socket.data_received(clump))
    assert sink.wire.writes == 1
    assert count / PIECES <= CALLS_IN_A_CLUMP
    await one.tasks.close()


async def test_what_a_read_takes_of_memory() -> None:
    """A few copies of its bytes at the peak, and none of them when it is done."""
    one, _, frames = await streaming(named=True)
    clump = b"".join(frames)
    one.ends.socket.data_received(clump)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        one.ends.socket.data_received(clump)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= COPIES * len(clump)
    assert after - before <= len(clump) / 10
    await one.tasks.close()


def test_a_turn_is_read_from_where_the_last_one_ended() -> None:
    """Ten times the history takes no more calls and no more parsing: only its bytes are digested anew."""
    counts, parsed = [], []
    for items in (20, 200):
        history = [{"role": "user", "content": "x" * 5_000}] * items
        beginnings = Beginnings(b"key", float)
        body = json.dumps({"model": "m", "input": history}).encode()
        create = read(body, *beginnings.match(body), most_items=1_000)
        beginnings.keep(create, [b"m" * 16] * items, [b"c" * 16] * (items + 1))
        more = json.dumps({"model": "m", "input": [*history, {"role": "user", "content": "more"}]}).encode()
        known, _ = beginnings.match(more)
        parsed.append(len(unread(more, known)))
        counts.append(calls(lambda: read(more, *beginnings.match(more), most_items=1_000)))  # noqa: B023 - called at once
    assert parsed[0] == parsed[1] < 100
    assert max(counts) <= CALLS_TO_READ
    assert counts[1] - counts[0] <= 3 * 180, "three calls for each item that is known, to have its place"


def test_who_sleeps_is_not_woken() -> None:
    """While pieces come no task runs: the turn that waits for the end of its answer is left alone."""

    async def run() -> int:
        one, sink, frames = await streaming(named=True)
        relay = Relay(one.leases[0], sink, Timeouts(), Answer(), lambda: None)
        one.leases[0].listen(None)
        task = one.tasks.start(relay.run([]), "relay")
        await asyncio.sleep(0)
        woken = 0
        wait = relay._news.wait

        async def counted() -> Literal[True]:
            nonlocal woken
            woken += 1
            return await wait()

        relay._news.wait = counted  # type: ignore[method-assign] # it looks on
        for frame in frames:
            one.ends.socket.data_received(frame)
            await asyncio.sleep(0)
        task.cancel()
        await one.tasks.close()
        return woken

    assert asyncio.run(run()) == 0
