"""The detour over WebSockets: what a turn may lose on it is bounded, and then plain HTTP answers."""

import time

import pytest

from proxy.config import Pool, Timeouts
from proxy.core.reasons import Plain, Route
from tests.turns.doorman import Doorman
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import Peer, created, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")


class Hole(Doorman):
    """Never answers an upgrade; plain HTTP at once."""

    def __init__(self) -> None:
        super().__init__(1000)

    def _turned_away(self, head: bytes) -> bytes:  # noqa: ARG002 - the base's shape
        return b""


async def test_a_black_hole_is_dialled_once() -> None:
    """A dial that used up the time is not repeated: plain HTTP answers after detour_seconds, not after dial_seconds."""
    limits = Timeouts(dial_seconds=60.0, detour_seconds=0.1)
    async with Hole() as hole, Wiring(on(hole.base, timeouts=limits)) as wiring:
        turn = wiring.turn()
        sink = Recorder(wants_json=True)
        await soon(wiring.turns.run(turn, sink))
        assert (sink.answers[0].status, sink.answers[0].body) == (200, b'{"ok":true}')
        assert (turn.outcome.route, turn.outcome.reason, hole.upgrades) == (Route.HTTP, Plain.DIAL_FAILED, 1)
        assert turn.patience.left == 0.0


async def test_a_full_pool_and_a_black_hole_share_the_time(peer: Peer) -> None:
    """The wait for a socket is paid from the same purse as the dial."""
    pool = Pool(max_connections=1, wait_seconds=60.0)
    async with Wiring(on(peer.base, pool=pool, timeouts=Timeouts(detour_seconds=0.1))) as wiring:
        running = wiring.run(wiring.turn(stream=True), Recorder())
        line = await peer.line()
        await line.frame()
        turn = wiring.turn(stream=True)
        sink = Recorder()
        await soon(wiring.turns.run(turn, sink))
        assert (turn.outcome.reason, turn.patience.left) == (Plain.POOL_FULL, 0.0)
        await line.send(*said())
        await soon(running)


async def test_a_host_that_does_not_answer_the_made_up_id(peer: Peer) -> None:
    """It is waited for as long as there is time, not for its own limit of ten seconds."""
    settings = on(peer.base, timeouts=Timeouts(detour_seconds=0.1), verifies_ids="auto")
    async with Wiring(settings) as wiring:
        turn = wiring.turn(stream=True)
        await soon(wiring.turns.run(turn, Recorder()))
        assert (turn.outcome.route, turn.outcome.reason) == (Route.HTTP, Plain.LINE_LOST)
        assert len(peer.upgrades) == 1


async def test_a_turn_that_ran_for_long_may_dial_once_more(peer: Peer) -> None:
    """Time in which the create could run is no detour: its line lost, it is sent again on a new one."""
    limits = Timeouts(detour_seconds=0.5)
    async with Wiring(on(peer.base, timeouts=limits)) as wiring:
        turn = wiring.turn()
        running = wiring.run(turn, sink := Recorder(wants_json=True))
        line = await peer.line()
        await line.frame()
        await line.send(created())
        await until(lambda: turn.outcome.first_event_seconds is not None)
        began = time.monotonic()
        await until(lambda: time.monotonic() > began + limits.detour_seconds)
        assert turn.patience.left == turn.patience.with_kept, "the kept part may be spent now"
        assert not turn.patience.used_up
        line.abort()
        again = await peer.line()
        await again.frame()
        await again.send(*said())
        await soon(running)
        assert (sink.answers[0].status, turn.outcome.replays) == (200, 1)


async def test_a_doubtful_line_is_given_up_in_time(peer: Peer) -> None:
    """No pong: lost when the time is up, whatever pong_seconds says, and sent again over plain HTTP, which counts."""
    pool = Pool(max_connections=1, max_connections_per_key=1, doubtful_after_seconds=0.0, pong_seconds=60.0)
    async with Wiring(on(peer.base, pool=pool, timeouts=Timeouts(detour_seconds=0.2))) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        line.deafen()
        turn = wiring.turn(stream=True)
        await soon(wiring.turns.run(turn, Recorder()))
        assert turn.patience.left == 0.0
        assert (turn.outcome.route, turn.outcome.reason, turn.outcome.replays) == (Route.HTTP, Plain.LINE_LOST, 1)


async def test_a_create_that_gets_nowhere_is_given_up_in_time(peer: Peer) -> None:
    """A line that takes nothing, though nobody doubted it: plain HTTP answers in time; nothing can have run twice."""
    pool = Pool(max_connections=1, max_connections_per_key=1, pong_seconds=60.0)
    settings = on(peer.base, timeouts=Timeouts(detour_seconds=0.3), pool=pool, compression=False)
    async with Wiring(settings) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        line.deafen()
        turn = wiring.turn({"role": "user", "content": "x" * 14_000_000}, stream=True)
        await soon(wiring.turns.run(turn, Recorder()))
        assert turn.patience.left == 0.0
        assert (turn.outcome.route, turn.outcome.reason, turn.outcome.replays) == (Route.HTTP, Plain.LINE_LOST, 0)
        assert turn.outcome.faults[0] == (
            "the line was lost: what was sent did not arrive for 0.3 s: plain HTTP for this turn"
        )
