"""Strays: what a host says behind an error is no answer to the next turn."""

import pytest

from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Peer, event, failure, message, said, soon

pytestmark = pytest.mark.usefixtures("nothing_left")
FAILED = event("response.failed", response={"id": "resp_0", "status": "failed", "error": {"code": "no_way"}})


async def test_a_failure_behind_a_refusal_reaches_nobody(peer: Peer) -> None:
    """A host that says `response.failed` of a create that it refused: the next turn does not get that, but a 502."""
    async with Wiring(on(peer.base)) as wiring:
        refused, line = await wiring.exchange(wiring.turn(), peer, failure("no_way"))
        assert refused.answers[0].status == 400
        second = wiring.run(wiring.turn({"role": "user", "content": "two"}), sink := Recorder(wants_json=True))
        await line.frame()
        await line.send(FAILED)
        await soon(second)
        assert ([answer.status for answer in sink.answers], sink.events) == ([502], [])
        third = wiring.run(wiring.turn({"role": "user", "content": "three"}), last := Recorder(wants_json=True))
        again = await peer.line()
        await again.frame()
        await again.send(*said("resp_3", "to three"))
        await soon(third)
        assert b"to three" in last.answers[0].body, "and the answer to the second, still to come, is nobody's"


async def test_a_failure_behind_a_forgotten_response_reaches_nobody(peer: Peer) -> None:
    """Nor does the replay on the same line get what is said of the delta."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(USER, message("hello"), {"role": "user", "content": "and?"})
        running = wiring.run(turn, sink := Recorder(wants_json=True))
        assert (await line.frame())["previous_response_id"] == "resp_1"
        await line.send(failure("previous_response_not_found"))
        assert "previous_response_id" not in await line.frame()
        await line.send(FAILED)
        await soon(running)
        assert [answer.status for answer in sink.answers] == [502]
