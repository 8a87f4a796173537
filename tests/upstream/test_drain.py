"""A drain: how long an abandoned answer may hold its lane."""

import asyncio

import pytest

from proxy.core.events import sniff
from proxy.core.lane import Lane, State, Whose
from proxy.core.lanes import Lanes
from proxy.tasks import Tasks
from proxy.upstream.drain import _BYTES, Drain
from tests.upstream.peer import completed, created, soon


def draining() -> Lane:
    """A lane whose turn let go in mid-answer."""
    lane = Lanes(1, named=True, clock=float).spare()
    assert lane is not None
    lane.create(Whose.TURN)
    lane.take(sniff(created(stream_id="l1")))
    lane.abandon()
    return lane


async def test_it_ends_with_the_answer() -> None:
    """The lane is free again as soon as the terminal event came, however much came before it within the limit."""
    lane = draining()
    drain, tasks = Drain(lane), Tasks()
    watching = tasks.start(drain.run(), "drain")
    drain.dropped(_BYTES - 1)
    lane.take(sniff(completed(stream_id="l1")))
    drain.dropped(0)
    assert await soon(watching) is True
    assert lane.state is State.IDLE


async def test_it_ends_with_the_line() -> None:
    """Nothing is left to be given up where the connection is gone."""
    lane = draining()
    drain, tasks = Drain(lane), Tasks()
    watching = tasks.start(drain.run(), "drain")
    lane.close()
    drain.dropped(0)
    assert await soon(watching) is True


@pytest.mark.parametrize("parts", [1, 4])
async def test_too_many_bytes_give_the_lane_up(parts: int) -> None:
    """All that was dropped counts together."""
    drain = Drain(draining())
    for _ in range(parts):
        drain.dropped(_BYTES // parts)
    assert await soon(drain.run()) is False


async def test_too_long_a_rest_gives_the_lane_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that trickles on for longer than its seconds is not waited for."""
    monkeypatch.setattr("proxy.upstream.drain._SECONDS", 0.01)
    lane = draining()
    assert await soon(Drain(lane).run()) is False
    assert lane.state is State.DRAINING


async def test_what_ended_already_is_not_waited_for() -> None:
    """An answer that ended before anybody watched costs no wait."""
    lane = draining()
    lane.take(sniff(completed(stream_id="l1")))
    assert await soon(Drain(lane).run()) is True


async def test_an_end_at_the_last_moment_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane may be another turn's by the time that anybody looks: it is not given up then."""
    monkeypatch.setattr("proxy.upstream.drain._SECONDS", 0.0)
    lane = draining()
    drain, tasks = Drain(lane), Tasks()
    watching = tasks.start(drain.run(), "drain")
    await asyncio.sleep(0)  # it watches, and its time is up with the loop's next turn
    lane.take(sniff(completed(stream_id="l1")))
    drain.dropped(1)
    assert await soon(watching) is True
