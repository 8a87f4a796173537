"""What a turn leaves behind: nothing that holds its text, and without waiting for a garbage collection."""

import gc
from collections.abc import Iterator

import pytest

from proxy.turns.turn import Turn
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, created, failure, over, said, until

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing refers to any more goes away."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def remembered() -> int:
    """The turns that are still in memory; each has its caller's body."""
    return sum(type(one) is Turn for one in gc.get_objects())


async def completes(line: Line) -> None:
    """A whole answer."""
    await line.send(*said())


async def is_refused(line: Line) -> None:
    """An error in place of one."""
    await line.send(failure("no_way"))


async def is_cut(line: Line) -> None:
    """It begins, and its line is lost."""
    await line.send(created())
    await line.close(1011)


async def is_garbled(line: Line) -> None:
    """It begins, and what follows is no event."""
    await line.send(created(), b"rubbish")


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("end", [completes, is_refused, is_cut, is_garbled])
async def test_an_ended_turn_is_gone(peer: Peer, end: object) -> None:
    """However it ended: its request and what was said are freed with it, on a line that lives on and on a lost one."""
    async with Wiring(on(peer.base)) as wiring:
        running = wiring.run(wiring.turn(stream=True), Recorder())
        line = await peer.line()
        await line.frame()
        assert remembered() == 1
        assert callable(end)
        await end(line)
        await over(running)
        del running
        await until(lambda: remembered() == 0)


@pytest.mark.usefixtures("no_collector")
async def test_an_abandoned_turn_is_gone(peer: Peer) -> None:
    """Its caller hung up in mid-answer."""
    async with Wiring(on(peer.base)) as wiring:
        running = wiring.run(wiring.turn(stream=True), sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(created())
        await until(lambda: bool(sink.events))
        running.cancel()
        await over(running)
        del running
        await until(lambda: remembered() == 0)
