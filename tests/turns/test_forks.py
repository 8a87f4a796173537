"""Forks: what a person says leaves the point before it held, and a fork's error costs nobody but its caller."""

import pytest

from proxy.config import Pool as PoolLimits
from proxy.core.lanes import MOST_NAMED
from proxy.core.reasons import Route, Whole
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, created, failure, message, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")


def sibling(wiring: Wiring, text: str, role: str = "developer") -> Turn:
    """A child of the one answer that there is; with nothing of a user's it goes on in its parent's place."""
    return wiring.turn(USER, message("hello"), {"role": role, "content": text}, stream=True)


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


async def asked(wiring: Wiring, line: Line, turn: Turn, lane: str) -> tuple[object, object]:
    """A whole turn that is answered on `lane`: what it continues, and the lane that it names."""
    task = wiring.run(turn, Recorder())
    frame = await line.frame()
    await line.send(*said(f"resp_of_{lane}", stream_id=lane))
    await soon(task)
    return frame.get("previous_response_id"), frame["stream_id"]


async def test_what_a_person_says_leaves_the_point_before_it_held(peer: Peer) -> None:
    """He may edit it, take it back or break the answer off: each way on from the same point is a delta again."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        for number, lane in enumerate(["l2", "l3", "l4"]):
            turn = sibling(wiring, f"wording {number}", "user")
            assert await asked(wiring, line, turn, lane) == ("resp_1", lane)
            assert turn.outcome.route is Route.DELTA


async def test_a_tools_result_goes_on_in_place(peer: Peer) -> None:
    """A loop of tools uses one lane, however long: nobody takes back what a tool said."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        assert await asked(wiring, line, sibling(wiring, "result"), "l1") == ("resp_1", "l1")
        again = sibling(wiring, "another result")
        assert await asked(wiring, line, again, "l2") == (None, "l2")
        assert (again.outcome.route, again.outcome.reason) == (Route.FULL, Whole.PARENT_CONTINUED)


async def test_what_is_stored_needs_no_lane_to_be_kept_on(peer: Peer) -> None:
    """A stored response can be continued for as long as the host has it: a person's word goes on in place."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        first = wiring.turn(stream=True)
        _, line = await wiring.exchange(first, peer, *said(stream_id="l1", store=True))
        turn = sibling(wiring, "a person's word", "user")
        assert await asked(wiring, line, turn, "l1") == ("resp_1", "l1")


async def test_the_point_before_is_given_up_for_another_conversation(peer: Peer) -> None:
    """What is kept for an undo is in nobody's way: it goes first when the lanes run out, and the reason is true."""
    async with Wiring(on(peer.base, lanes="on", pool=PoolLimits(max_connections_per_key=1))) as wiring:
        line = await parents(wiring, peer)
        assert await asked(wiring, line, sibling(wiring, "a person's word", "user"), "l2") == ("resp_1", "l2")
        for number in [*range(3, MOST_NAMED + 1), 1]:
            other = wiring.turn({"role": "user", "content": f"other {number}"}, stream=True)
            assert await asked(wiring, line, other, f"l{number}") == (None, f"l{number}")
        undone = sibling(wiring, "other words", "user")
        assert (await asked(wiring, line, undone, "l3"))[0] is None  # what was over after one turn goes before l2
        assert (undone.outcome.route, undone.outcome.reason) == (Route.FULL, Whole.PARENT_CONTINUED)


async def test_a_lane_stays_while_a_fork_of_what_it_holds_has_not_begun(peer: Peer) -> None:
    """The host has the parent for a fork only once that is in progress: so long a tool's result forks, too."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        first = wiring.run(sibling(wiring, "a person's word", "user"), Recorder())
        assert (await line.frame())["stream_id"] == "l2"
        await line.send(created("resp_a", "resp_1", stream_id="l2"))
        second = wiring.run(sibling(wiring, "a tool's"), Recorder())
        assert (await line.frame())["stream_id"] == "l3"
        await line.send(*said("resp_a", stream_id="l2")[1:], *said("resp_b", stream_id="l3"))
        await soon(first)
        await soon(second)
        assert await asked(wiring, line, sibling(wiring, "another tool's"), "l1") == ("resp_1", "l1")


async def missed(line: Line, lane: str) -> None:
    """What a turn continues is not found for `lane`, and the full context is answered there."""
    assert "previous_response_id" in await line.frame()
    await line.send(failure("previous_response_not_found")[:-1] + b',"stream_id":"%b"}' % lane.encode())
    again = await line.frame()
    assert ("previous_response_id" in again, again["stream_id"]) == (False, lane)
    await line.send(*said(f"resp_again_on_{lane}", stream_id=lane))


async def test_a_host_that_lets_no_lane_go_on_from_anothers_is_asked_for_it_once(peer: Peer) -> None:
    """One replay tells: from then on a person's word goes on in place, and so does what was said before it."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        turn = sibling(wiring, "a person's word", "user")
        first = wiring.run(turn, Recorder())
        await missed(line, "l2")
        await soon(first)
        assert (turn.outcome.reason, turn.outcome.replays, wiring.host.has_forks) == (Whole.NOT_FOUND, 1, False)
        history = (*turn_items("a person's word"), message("hello"))
        later = wiring.turn(*history, {"role": "user", "content": "more"}, stream=True)
        assert await asked(wiring, line, later, "l2") == ("resp_again_on_l2", "l2")
        undone = sibling(wiring, "other words", "user")
        assert await asked(wiring, line, undone, "l1") == ("resp_1", "l1")
        [connection] = wiring.pool._numbered.values()
        assert connection.lanes.conversations == len(wiring.heads) == 2


async def test_what_is_not_found_in_place_either_is_given_up(peer: Peer) -> None:
    """Where the host had forgotten the response the next turn from it costs one replay more, and no lane is lost."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        for text, lane in (("a person's word", "l2"), ("other words", "l1")):
            running = wiring.run(sibling(wiring, text, "user"), Recorder())
            await missed(line, lane)
            await soon(running)
        turn = sibling(wiring, "third words", "user")
        assert (await asked(wiring, line, turn, "l3"))[0] is None
        assert (turn.outcome.reason, turn.outcome.replays) == (Whole.NOT_FOUND, 0)


async def test_a_host_that_is_known_to_fork_has_forgotten_what_it_does_not_find(peer: Peer) -> None:
    """The response is given up at once, its lane is free for others, and forks go on."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await parents(wiring, peer)
        assert await asked(wiring, line, sibling(wiring, "a word", "user"), "l2") == ("resp_1", "l2")
        running = wiring.run(sibling(wiring, "another", "user"), Recorder())
        await missed(line, "l3")
        await soon(running)
        [connection] = wiring.pool._numbered.values()
        empty = [lane.name for lane in connection.lanes if lane.latest is None]
        assert (wiring.host.has_forks, empty) == (True, ["l1"])
        turn = sibling(wiring, "third words", "user")
        assert await asked(wiring, line, turn, "l1") == (None, "l1")
        assert turn.outcome.reason is Whole.NOT_FOUND


def turn_items(text: str) -> tuple[dict[str, object], ...]:
    """What a sibling with this text sends."""
    return (USER, message("hello"), {"role": "user", "content": text})
