"""Explanations: what a turn that went in full is told, over real sockets."""

import asyncio

import msgspec
import pytest

from proxy.config import Pool
from proxy.core.explanation import Explanation
from proxy.core.reasons import MEANINGS, Plain, Whole
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, created, event, failure, message, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
REASONING: dict[str, object] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
AND: dict[str, object] = {"role": "user", "content": "and?"}
ONE = Pool(max_connections=1, max_connections_per_key=1, wait_seconds=0.02)
NEXT: tuple[dict[str, object], ...] = (USER, message("hello"), AND)


def answered(*items: dict[str, object], name: str = "resp_1") -> list[bytes]:
    """A whole response that says these items."""
    streamed: list[bytes] = []
    for at, item in enumerate(items):
        streamed.append(event("response.output_item.added", output_index=at, item=item))
        streamed.append(event("response.output_item.done", output_index=at, item=item))
    ended = {"id": name, "status": "completed", "output": items}
    return [created(name), *streamed, event("response.completed", response=ended, sequence_number=9)]


def chosen(wiring: Wiring, *items: dict[str, object], **fields: object) -> Turn:
    """A turn as it would go now."""
    turn = wiring.turn(*(items or NEXT), stream=True, **fields)
    wiring.memory.choose(turn)
    return turn


def told(wiring: Wiring, *items: dict[str, object], **fields: object) -> Explanation:
    """Why it would be no delta."""
    found = chosen(wiring, *items, **fields).outcome.why
    assert found is not None
    return found


async def test_dropped_reasoning_is_told(peer: Peer) -> None:
    """The item that is missing, by its place and type, and the turn that it was said in."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer, *answered(REASONING, message("hello")))
        found = told(wiring)
        assert (found.kind, found.item, found.item_type, found.compared_with) == ("item", 1, "reasoning", "ol_1")


async def test_a_changed_text_is_told_without_it(peer: Peer) -> None:
    """By its path; neither the old text nor the new one is there."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        found = told(wiring, USER, message("hello!!"), AND)
        assert (found.item, found.paths) == (1, ("content[0].text",))
        assert b"hello" not in msgspec.json.encode(found)


async def test_a_changed_setting_is_told(peer: Peer) -> None:
    """By its name, `store` too, which decides by which key histories are compared."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        for name, value in (("model", "other"), ("store", True), ("user", "u")):
            found = told(wiring, *NEXT, **{name: value})
            assert (found.kind, found.settings, found.item) == ("setting", (name,), None)


async def test_a_setting_that_changed_once_is_told_once(peer: Peer) -> None:
    """The turn that it changed in is what the next one is compared with."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT, stream=True, model="other")
        await wiring.exchange(turn, peer, *said("resp_2"))
        assert turn.outcome.why is not None
        assert turn.outcome.why.settings == ("model",)
        found = told(wiring, *NEXT, message("hello!!"), AND, model="other")
        assert (found.settings, found.item) == ((), 3)


async def test_a_turn_that_needs_no_explanation_has_none(peer: Peer) -> None:
    """A delta, a first turn, and one that was forced."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        delta, first, forced = chosen(wiring), chosen(wiring, USER), wiring.turn(*NEXT, stream=True)
        forced.forced_full = True
        wiring.memory.choose(forced)
        assert delta.continued is not None
        assert [turn.outcome.why for turn in (delta, first, forced)] == [None, None, None]


async def test_a_lost_line_is_told(peer: Peer) -> None:
    """With its close code, and how long after its last turn that was."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await line.close(1001)
        await until(lambda: wiring.pool.open_connections == 0)
        found = told(wiring)
        meaning = MEANINGS[Whole.CONNECTION_LOST].removesuffix(".")
        assert found.text == f"{meaning} (the line was lost with code 1001, 0 s after its last turn)."
        assert (found.kind, found.item) == ("connection", None)


async def test_a_changed_answer_is_told_behind_a_lost_line(peer: Peer) -> None:
    """The line was lost a turn ago: that the next answer is not known has a cause of its own."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await line.close(1001)
        await until(lambda: wiring.pool.open_connections == 0)
        await wiring.exchange(wiring.turn(*NEXT, stream=True), peer, *answered(REASONING, message("hi"), name="resp_2"))
        turn = chosen(wiring, *NEXT, message("hi"), AND)
        assert turn.outcome.reason is Whole.CONNECTION_LOST
        assert turn.outcome.why is not None
        assert (turn.outcome.why.item, turn.outcome.why.item_type) == (3, "reasoning")


async def test_a_fork_is_told_with_its_sibling(peer: Peer) -> None:
    """The turn that went on from there first."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await wiring.exchange(wiring.turn(*NEXT, stream=True), peer, *said("resp_2"), line=line)
        found = told(wiring, USER, message("hello"), {"role": "user", "content": "or?"})
        assert found.text == MEANINGS[Whole.PARENT_CONTINUED]
        assert found.compared_with == "ol_1"


async def test_a_deltas_trace_takes_its_parents_place(peer: Peer) -> None:
    """So does that of a turn that went in full, for whatever reason, if it goes on from the answer."""
    async with Wiring(on(peer.base, pool=ONE)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await wiring.exchange(wiring.turn(*NEXT, stream=True), peer, *said("resp_2"), line=line)
        changed = (*NEXT, message("another"), AND)
        await wiring.exchange(wiring.turn(*changed, stream=True), peer, *said("resp_3"), line=line)
        forced = wiring.turn(*changed, message("hello"), AND, stream=True)
        forced.forced_full = True
        await wiring.exchange(forced, peer, *said("resp_4"), line=line)
        assert len(wiring.memory._explainer._traces) == 2


async def test_an_answer_that_cannot_be_continued_is_told(peer: Peer) -> None:
    """With the types of what the upstream ran; an undocumented one is not named."""
    async with Wiring(on(peer.base)) as wiring:
        search: dict[str, object] = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
        odd: dict[str, object] = {"type": "secret_call", "id": "x_1"}
        await wiring.exchange(wiring.turn(stream=True), peer, *answered(search, odd, message("hello")))
        found = told(wiring, USER, search, odd, message("hello"), AND)
        assert found.text == f"{MEANINGS[Whole.HOSTED_TOOLS].removesuffix('.')} (other, web_search_call)."
        assert told(wiring, USER, search, odd, message("hello"), AND, model="n").settings == ("model",)


async def test_a_refused_continuation_is_told(peer: Peer) -> None:
    """By the turn that was refused."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await wiring.exchange(wiring.turn(*NEXT, stream=True), peer, failure("server_error", status=500), line=line)
        found = told(wiring)
        assert found.text == f"{MEANINGS[Whole.REJECTED].removesuffix('.')} (the turn ol_1)."


async def test_a_response_that_is_gone_is_told(peer: Peer) -> None:
    """Of the turn that found it so, which went as a delta first."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT, stream=True)
        running = wiring.run(turn, Recorder())
        await line.frame()
        await line.send(failure("previous_response_not_found"))
        await line.frame()
        await line.send(*said("resp_2"))
        await soon(running)
        assert turn.outcome.why == Explanation("connection", MEANINGS[Whole.NOT_FOUND])


async def sent_elsewhere(wiring: Wiring, peer: Peer, line: Line) -> Turn:
    """A turn whose line is lost before any event, and that is answered on another."""
    turn = wiring.turn(*NEXT, stream=True)
    running = wiring.run(turn, Recorder())
    await line.frame()
    await line.close(1012)
    again = await peer.line()
    await again.frame()
    await again.send(*said("resp_2"))
    await soon(running)
    return turn


async def test_a_replay_is_told_with_what_happened(peer: Peer) -> None:
    """The line that was lost, where the turn would have been a delta."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = await sent_elsewhere(wiring, peer, line)
        assert turn.outcome.reason is Whole.CONNECTION_LOST
        assert turn.outcome.why is not None
        assert turn.outcome.why.kind == "connection"
        assert "the line was lost with code 1012" in turn.outcome.why.text


async def test_plain_http_is_told_with_what_happened(peer: Peer) -> None:
    """Why no socket would do."""
    async with Wiring(on(peer.base, pool=ONE)) as wiring:
        busy = wiring.run(wiring.turn(stream=True), Recorder())
        line = await peer.line()
        await line.frame()
        turn = wiring.turn(*NEXT, stream=True)
        await soon(wiring.turns.run(turn, Recorder()))
        assert turn.outcome.reason is Plain.POOL_FULL
        assert turn.outcome.why is not None
        assert turn.outcome.why.text == f"{MEANINGS[Plain.POOL_FULL].removesuffix('.')} (all connections are busy)."
        await line.send(*said())
        await soon(busy)


async def test_a_line_that_ends_with_the_answer_is_told(peer: Peer) -> None:
    """There never was a head."""
    async with Wiring(on(peer.base)) as wiring:
        sink = Recorder(gate=asyncio.Event())
        running = wiring.run(wiring.turn(stream=True), sink)
        line = await peer.line()
        await line.frame()
        await line.send(*said())
        await until(lambda: "begin" in sink.calls)
        await line.close()
        await until(lambda: wiring.pool.open_connections == 0)
        assert sink.gate is not None
        sink.gate.set()
        await soon(running)
        assert "(as it gave the answer)" in told(wiring).text


async def test_a_relaxed_match_forgives_and_is_not_told(peer: Peer) -> None:
    """What `match = "relaxed"` continues is a delta; what it does not is compared with the form that is nearest."""
    settings = msgspec.structs.replace(on(peer.base), match="relaxed")
    async with Wiring(settings) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer, *answered(REASONING, message("hello")))
        assert chosen(wiring).continued is not None
        found = told(wiring, USER, message("hello!!"), AND)
        assert (found.item, found.item_type, found.paths) == (1, "message", ("content[0].text",))


async def test_no_name_that_is_not_documented_is_kept(peer: Peer) -> None:
    """Neither keys nor settings nor types that a caller made up are in what is remembered of a turn, nor in why."""
    odd: dict[str, object] = {"role": "user", "content": [{"type": "SECRET1", "SECRET2": 1}], "SECRET3": {"SECRET4": 1}}
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, odd, stream=True, SECRET5="SECRET6"), peer)
        found = told(wiring, USER, {**odd, "SECRET3": 2}, message("hello"), AND, SECRET5=2)
        assert found.settings == ("another setting",)
        assert found.paths == ("another key",)
        [trace] = wiring.memory._explainer._traces.of(wiring.turn().key.digest, stored=False)
        assert "SECRET" not in repr(found) + repr(trace) + repr(wiring.fingerprints._outlines)
