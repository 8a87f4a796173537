"""Stored heads: what the host once refused to continue is not asked for again."""

import pytest

from proxy.core.reasons import Route, Whole
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Peer, failure, message, said, soon

pytestmark = pytest.mark.usefixtures("nothing_left")
NEXT: tuple[dict[str, object], ...] = (USER, message("hello"), {"role": "user", "content": "and?"})
OTHER: tuple[dict[str, object], ...] = (*NEXT[:2], {"role": "user", "content": "or?"})


async def test_a_response_that_is_gone_is_asked_for_once(peer: Peer) -> None:
    """not_found buries a stored head for good: a sibling goes in full at once, and nothing of it is saved."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        running = wiring.run(wiring.turn(*NEXT, stream=True, store=True), Recorder())
        assert (await line.frame())["previous_response_id"] == "resp_1"
        await line.send(failure("previous_response_not_found"))
        assert "previous_response_id" not in await line.frame()
        await line.send(*said("resp_2", store=True))
        await soon(running)
        assert {kept.response_id for kept in wiring.memory.lasting()[0]} == {"resp_2"}
        sibling = wiring.turn(*OTHER, stream=True, store=True)
        await wiring.exchange(sibling, peer, *said("resp_3", store=True))
        assert (sibling.outcome.route, sibling.outcome.reason) == (Route.FULL, Whole.NOT_FOUND)
        assert sibling.outcome.replays == 0


async def test_what_is_stored_and_gone_says_nothing_of_forks(peer: Peer) -> None:
    """Asked for on another connection while its own has no room, and not found: it is given up, and forks go on."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(stream_id="l1", store=True))
        busy = wiring.run(wiring.turn(stream=True, model="other"), Recorder())
        name = (await line.frame())["stream_id"]
        [connection] = wiring.pool._numbered.values()
        connection.retire(Whole.ROTATED)
        running = wiring.run(wiring.turn(*NEXT, stream=True, store=True), Recorder())
        again = await peer.line()
        assert (await again.frame())["previous_response_id"] == "resp_1"
        await again.send(failure("previous_response_not_found")[:-1] + b',"stream_id":"l1"}')
        assert "previous_response_id" not in await again.frame()
        await again.send(*said("resp_2", stream_id="l1", store=True))
        await line.send(*said("resp_3", stream_id=str(name)))
        await soon(running)
        await soon(busy)
        assert wiring.host.has_forks
        assert {kept.response_id for kept in wiring.memory.lasting()[0]} == {"resp_2"}


async def test_an_answer_under_suspicion_is_not_kept(peer: Peer) -> None:
    """What was said from a context that may have been lost is not continued, by no later process either."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True, tokens=10_000))
        turn = wiring.turn(*NEXT, stream=True, store=True)
        await wiring.exchange(turn, peer, *said("resp_2", store=True, tokens=100), line=line)
        assert turn.outcome.context_suspect
        assert "resp_2" not in {kept.response_id for kept in wiring.heads.stored()[0]}
        assert wiring.memory.lasting() == ([], []), "the next process would trust this host again"


async def test_stored_reasoning_that_goes_out_of_use_is_not_missed(peer: Peer) -> None:
    """It comes back as a label, and a user's message ends its use: few tokens are counted then, and nothing is lost."""
    thought: dict[str, object] = {"type": "reasoning", "id": "rs_1", "summary": []}
    call: dict[str, object] = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    result: dict[str, object] = {"type": "function_call_output", "call_id": "c", "output": "x"}
    history = (USER, thought, call, result)
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(*history, stream=True), peer, *said(store=True, tokens=9_400))
        turn = wiring.turn(*history, *NEXT[1:], stream=True)
        await wiring.exchange(turn, peer, *said("resp_2", store=True, tokens=450), line=line)
        assert (turn.outcome.route, turn.outcome.context_suspect) == (Route.DELTA, False)
        assert not wiring.host.suspect


async def test_what_a_compaction_leaves_out_is_not_missed(peer: Peer) -> None:
    """A history that goes on behind a compaction counts few tokens, as all before it is pruned: no suspicion."""
    opening: dict[str, object] = {"role": "user", "content": "x" * 100_000}
    compaction: dict[str, object] = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
    async with Wiring(on(peer.base)) as wiring:
        begun = wiring.turn(opening, stream=True, store=True)
        _, line = await wiring.exchange(begun, peer, *said(store=True, tokens=100_000))
        turn = wiring.turn(opening, *NEXT[1:], compaction, message("done"), USER, stream=True, store=True)
        await wiring.exchange(turn, peer, *said("resp_3", store=True, tokens=1_000), line=line)
        assert (turn.outcome.route, turn.outcome.context_suspect) == (Route.DELTA, False)


@pytest.mark.parametrize(
    ("statuses", "routes"),
    [
        ([429, 429, 429], [Route.DELTA] * 4),
        ([503, 429], [Route.DELTA] * 3),
        ([500, 500], [Route.DELTA, Route.DELTA, Route.FULL]),
        ([400], [Route.DELTA, Route.FULL]),
        ([404], [Route.DELTA, Route.FULL]),
    ],
)
async def test_what_an_error_says_of_a_stored_response(peer: Peer, statuses: list[int], routes: list[Route]) -> None:
    """It outlives errors: only where the delta itself may be at fault the same request is sent in full next time."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        gone = []
        for status in statuses:
            turn = wiring.turn(*NEXT, stream=True, store=True)
            sink, _ = await wiring.exchange(turn, peer, failure("an_error", status=status), line=line)
            assert sink.answers[0].status == status
            gone.append(turn.outcome.route)
        turn = wiring.turn(*NEXT, stream=True, store=True)
        await wiring.exchange(turn, peer, *said("resp_2", store=True), line=line)
        assert [*gone, turn.outcome.route] == routes
        assert turn.outcome.reason is (Whole.REJECTED if routes[-1] is Route.FULL else None)
