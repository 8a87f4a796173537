"""Reruns: a turn that may have run is sent again once, and one that was refused does not count as such."""

import msgspec
import pytest

from proxy.config import Timeouts
from proxy.core.reasons import Plain, Route, Whole
from proxy.turns.outcome import End
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, failure, message, said, soon

pytestmark = pytest.mark.usefixtures("nothing_left")


def second(wiring: Wiring) -> Turn:
    """A turn that continues the first."""
    return wiring.turn(USER, message("hello"), {"role": "user", "content": "and?"})


async def begun(wiring: Wiring, peer: Peer) -> Line:
    """A line with an answer that can be continued."""
    _, line = await wiring.exchange(wiring.turn(stream=True), peer)
    return line


@pytest.mark.parametrize("code", ["previous_response_not_found", "websocket_connection_limit_reached"])
async def test_a_line_lost_behind_a_refusal(peer: Peer, code: str) -> None:
    """The refused create ran nowhere: the lost one is the first that can have run, and goes out once more."""
    async with Wiring(on(peer.base)) as wiring:
        line = await begun(wiring, peer)
        turn = second(wiring)
        running = wiring.run(turn, sink := Recorder(wants_json=True))
        await line.frame()
        await line.send(failure(code))
        again = line if code == "previous_response_not_found" else await peer.line()
        await again.frame()
        again.abort()
        last = await peer.line()
        assert "previous_response_id" not in await last.frame()
        await last.send(*said("resp_2"))
        await soon(running)
        assert (sink.answers[0].status, turn.outcome.end, turn.outcome.replays) == (200, End.COMPLETED, 2)


async def test_and_no_more_than_once(peer: Peer) -> None:
    """Behind that replay a lost line is the caller's to hear of."""
    async with Wiring(on(peer.base)) as wiring:
        line = await begun(wiring, peer)
        running = wiring.run(second(wiring), sink := Recorder(wants_json=True))
        await line.frame()
        await line.send(failure("previous_response_not_found"))
        await line.frame()
        line.abort()
        again = await peer.line()
        await again.frame()
        again.abort()
        await soon(running)
        assert (sink.answers[0].status, len(peer.upgrades)) == (502, 2)


async def test_a_forgotten_response_is_named_so_afterwards(peer: Peer) -> None:
    """Where the replay fails too: the next turn from there says that the upstream did not know it."""
    async with Wiring(on(peer.base)) as wiring:
        line = await begun(wiring, peer)
        running = wiring.run(second(wiring), Recorder(wants_json=True))
        await line.frame()
        await line.send(failure("previous_response_not_found"))
        await line.frame()
        await line.send(failure("rate_limit_exceeded", status=429))
        await soon(running)
        turn = second(wiring)
        await wiring.exchange(turn, peer, *said("resp_2"), line=line)
        assert (turn.outcome.route, turn.outcome.reason) == (Route.FULL, Whole.NOT_FOUND)


@pytest.mark.parametrize("lanes", ["off", "on"])
async def test_a_line_that_never_answers_stops_the_dials(peer: Peer, lanes: str) -> None:
    """It takes turns, answers pings and says nothing: one turn pays for that, and plain HTTP answers the next ones."""
    limits = Timeouts(first_event_seconds=0.4)
    async with Wiring(on(peer.base, timeouts=limits, lanes=lanes)) as wiring:
        turn, sink = wiring.turn(), Recorder(wants_json=True)
        await soon(wiring.turns.run(turn, sink))
        assert (sink.answers[0].status, len(peer.upgrades)) == (504, 1)
        turn = wiring.turn()
        await soon(wiring.turns.run(turn, Recorder(wants_json=True)))
        assert (turn.outcome.route, turn.outcome.reason) == (Route.HTTP, Plain.BREAKER_OPEN)
        assert len(wiring.notices) == 1
        assert "brought nothing" in wiring.notices[0]


async def test_a_turn_that_is_silent_on_a_good_line_stops_nothing(peer: Peer) -> None:
    """A line that answered before says nothing against the next one; it takes no new turn itself."""
    limits = Timeouts(first_event_seconds=0.4)
    async with Wiring(on(peer.base, timeouts=limits)) as wiring:
        await begun(wiring, peer)
        await soon(wiring.turns.run(second(wiring), sink := Recorder(wants_json=True)))
        assert (sink.answers[0].status, len(peer.upgrades)) == (504, 1)
        turn = second(wiring)
        await wiring.exchange(turn, peer)
        assert (turn.outcome.route, turn.outcome.end, wiring.notices) == (Route.FULL, End.COMPLETED, [])


@pytest.mark.parametrize("why", ["unsent", "acts"])
async def test_a_host_that_answers_no_made_up_id_may_have_acted(peer: Peer, why: str) -> None:
    """It got the create too, and was given up by us: what may run once at most is not sent again."""
    settings = on(peer.base, timeouts=Timeouts(detour_seconds=0.3), verifies_ids="auto")
    settings = msgspec.structs.replace(settings, replay="unsent" if why == "unsent" else "always")
    tools = [{"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1"}]
    async with Wiring(settings) as wiring:
        turn = wiring.turn(**({"tools": tools} if why == "acts" else {}))
        await soon(wiring.turns.run(turn, sink := Recorder(wants_json=True)))
        assert (sink.answers[0].status, turn.outcome.route, len(peer.upgrades)) == (502, Route.FULL, 1)
