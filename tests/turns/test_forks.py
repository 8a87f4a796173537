"""Forks that fail: a sibling's error costs neither its parent nor the siblings after it."""

import pytest

from proxy.core.reasons import Route, Whole
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, created, failure, message, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")


def sibling(wiring: Wiring, text: str) -> Turn:
    """A child of the one answer that there is."""
    return wiring.turn(USER, message("hello"), {"role": "user", "content": text}, stream=True)


async def parents(wiring: Wiring, peer: Peer) -> Line:
    """A line with an answer that can be continued, on a host that has shown that it knows lanes."""
    _, line = await wiring.exchange(wiring.turn(stream=True), peer, *said(stream_id="l1"))
    return line


async def test_a_forks_error_keeps_its_parent(peer: Peer) -> None:
    """A fork that is refused is its caller's error alone: the next sibling forks too, and the first child goes on."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        first = wiring.run(sibling(wiring, "first"), eldest := Recorder())
        assert (await line.frame())["stream_id"] == "l1"
        await line.send(created("resp_a", "resp_1", stream_id="l1"))
        await until(lambda: bool(eldest.events))
        refused = Recorder()
        fork = wiring.run(sibling(wiring, "refused"), refused)
        asked = await line.frame()
        assert (asked["previous_response_id"], asked["stream_id"]) == ("resp_1", "l2")
        await line.send(failure("invalid_prompt")[:-1] + b',"stream_id":"l2"}')
        await soon(fork)
        assert refused.answers[0].status == 400
        turn = sibling(wiring, "third")
        third = wiring.run(turn, youngest := Recorder())
        asked = await line.frame()
        assert (asked["previous_response_id"], asked["stream_id"]) == ("resp_1", "l2")
        await line.send(*said("resp_c", stream_id="l2"), *said("resp_a", stream_id="l1")[1:])
        await soon(third)
        await soon(first)
        assert (turn.outcome.route, turn.outcome.reason) == (Route.DELTA, None)
        assert eldest.types[-1] == youngest.types[-1] == "response.completed"
        assert len(peer.upgrades) == 1


async def test_the_first_childs_error_ends_it_for_all(peer: Peer) -> None:
    """On the parent's own lane an error may have cost the host what it held: later siblings go in full, and say why."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        first = wiring.run(sibling(wiring, "first"), Recorder())
        await line.frame()
        await line.send(failure("invalid_prompt")[:-1] + b',"stream_id":"l1"}')
        await soon(first)
        turn = sibling(wiring, "second")
        await wiring.exchange(turn, peer, *said("resp_b", stream_id="l1"), line=line)
        assert (turn.outcome.route, turn.outcome.reason) == (Route.FULL, Whole.REJECTED)
