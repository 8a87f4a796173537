"""Errors in place of the first event, on a lane whose name the host never took: the lane's fault, or the caller's."""

import pytest

from proxy.core.reasons import Whole
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, failure, said, soon

pytestmark = pytest.mark.usefixtures("nothing_left")
VAGUE = failure("bad_request", text="Bad Request")


def on_lane(frame: bytes, name: object) -> bytes:
    """The frame as the host names its lane."""
    return frame[:-1] + b',"stream_id":"%b"}' % str(name).encode()


async def conversed(wiring: Wiring, line: Line, text: str) -> None:
    """A turn that goes well on `line`."""
    turn = wiring.run(wiring.turn({"role": "user", "content": text}, stream=True), Recorder())
    frame = await line.frame()
    await line.send(*said(f"resp_{text}", stream_id=str(frame["stream_id"])))
    await soon(turn)


async def test_a_vague_refusal_of_a_lane_is_repeated_without_one(peer: Peer) -> None:
    """It goes well on a connection of its own: the caller sees nothing, and the host is known to have no lanes."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, Recorder())
        line = await peer.line()
        assert (await line.frame())["stream_id"] == "l1"
        await line.send(on_lane(VAGUE, "l1"))
        again = await peer.line()
        assert "stream_id" not in await again.frame()
        assert wiring.host.has_lanes
        await again.send(*said())
        await soon(running)
        assert turn.outcome.reason is Whole.LANES_REFUSED
        assert not wiring.host.has_lanes
        await line.closed()


async def test_a_callers_own_mistake_costs_the_host_no_lanes(peer: Peer) -> None:
    """Without a lane it is refused alike: the caller gets that answer, once, and lanes are used as before."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        running = wiring.run(wiring.turn(stream=True), sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(on_lane(VAGUE, "l1"))
        again = await peer.line()
        await again.frame()
        await again.send(failure("bad_request", text="No such model"))
        await soon(running)
        assert [answer.status for answer in sink.answers] == [400]
        assert b"No such model" in sink.answers[0].body
        assert wiring.host.has_lanes


@pytest.mark.parametrize(
    "frame",
    [
        failure("rate_limit_exceeded", status=429),
        failure("invalid_api_key", status=401),
        failure("forbidden", status=403),
        failure("context_length_exceeded"),
        failure("invalid_prompt"),
        failure("odd_model", param="model"),
    ],
)
async def test_what_is_not_about_the_lane_is_not_repeated(peer: Peer, frame: bytes) -> None:
    """A status, a code or a parameter that says what it is about: the caller gets it at once."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        running = wiring.run(wiring.turn(stream=True), sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(on_lane(frame, "l1"))
        await soon(running)
        assert len(sink.answers) == len(peer.upgrades) == 1


async def test_a_host_that_took_names_is_believed_to_have_lanes_after_one_refusal(peer: Peer) -> None:
    """A further name is refused, for no reason told: once may be chance. Twice, and it has only so many.

    The conversations of the connection are kept, and the name that was refused is not tried again.
    """
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        running = wiring.run(wiring.turn({"role": "user", "content": "a"}, stream=True), Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(*said("resp_a", stream_id="l1"))
        await soon(running)
        await conversed(wiring, line, "b")
        nameless: list[Line] = []
        for text in ("c", "d"):
            assert wiring.host.names == 32
            running = wiring.run(wiring.turn({"role": "user", "content": text}, stream=True), Recorder())
            assert (await line.frame())["stream_id"] == "l3"
            await line.send(on_lane(VAGUE, "l3"))
            nameless.append(await peer.line())
            assert "stream_id" not in await nameless[-1].frame()
            await nameless[-1].send(*said(f"resp_{text}"))
            await soon(running)
        assert (wiring.host.names, wiring.host.has_lanes) == (2, True)
        running = wiring.run(wiring.turn({"role": "user", "content": "e"}, stream=True), Recorder())
        new = await peer.line()
        await new.frame()
        await new.send(*said("resp_e", stream_id="l1"))
        await soon(running)
        assert not any(one.lanes.retiring for one in wiring.pool._numbered.values())


async def test_a_question_that_is_refused_by_name_shows_that_the_name_was_taken(peer: Peer) -> None:
    """Who looks for a made-up id on a lane knows lanes: the error behind it is the caller's own."""
    async with Wiring(on(peer.base, lanes="on", verifies_ids="auto")) as wiring:
        running = wiring.run(wiring.turn(stream=True), sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.frame()
        await line.send(on_lane(failure("previous_response_not_found"), "l1"), on_lane(VAGUE, "l1"))
        await soon(running)
        assert len(sink.answers) == len(peer.upgrades) == 1
        assert wiring.host.has_lanes
