"""The memory: what is noted of a turn's end, seen by what the next turn is told."""

import asyncio

import msgspec
import pytest

from proxy.config import Pool
from proxy.core.continuation import Delta
from proxy.core.reasons import Route, Whole
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Peer, completed, created, event, failure, message, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
NEXT: tuple[dict[str, object], ...] = (USER, message("hello"), {"role": "user", "content": "and?"})


def chosen(wiring: Wiring, *items: dict[str, object], **fields: object) -> Turn:
    """A turn as it would go now."""
    turn = wiring.turn(*(items or NEXT), stream=True, **fields)
    wiring.memory.choose(turn)
    return turn


async def test_a_whole_answer_can_be_continued(peer: Peer) -> None:
    """From the response's id, skipping what it covers."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        continuation = chosen(wiring).continuation
        assert isinstance(continuation, Delta)
        assert (continuation.head.response_id, continuation.skip) == ("resp_1", 2)


async def test_a_response_without_output_can_be_continued(peer: Peer) -> None:
    """The history then grows by the caller's next item alone."""
    async with Wiring(on(peer.base)) as wiring:
        empty = event(
            "response.completed", response={"id": "resp_1", "status": "completed", "output": []}, sequence_number=1
        )
        await wiring.exchange(wiring.turn(*NEXT, stream=True), peer, created(), empty)
        turn = chosen(wiring, *NEXT, {"role": "user", "content": "hello?"})
        assert isinstance(turn.continuation, Delta)


async def test_a_compaction_in_the_answer_is_no_loss(peer: Peer) -> None:
    """The upstream prunes its context, counts few tokens and says so: no suspicion, and no head."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer, *said(tokens=100_000))
        turn = wiring.turn(*NEXT, stream=True)
        item: dict[str, object] = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
        frames = [
            created("resp_2"),
            event("response.output_item.added", output_index=0, item=item, sequence_number=1),
            event("response.output_item.done", output_index=0, item=item, sequence_number=2),
            completed("resp_2", tokens=1_000),
        ]
        await wiring.exchange(turn, peer, *frames, line=line)
        assert (turn.outcome.route, turn.outcome.context_suspect) == (Route.DELTA, False)
        assert chosen(wiring, *NEXT, item, {"role": "user", "content": "more"}).outcome.reason is Whole.COMPACTION


async def test_a_host_that_verifies_no_ids_keeps_no_lane(peer: Peer) -> None:
    """What it remembers is never continued: the next turn has the same socket, and says why it goes in full."""
    async with Wiring(on(peer.base, verifies_ids="no")) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT, stream=True)
        await wiring.exchange(turn, peer, *said("resp_2"), line=line)
        assert (turn.outcome.route, turn.outcome.reason) == (Route.FULL, Whole.HOST_UNVERIFIED)
        assert len(peer.upgrades) == 1


@pytest.mark.parametrize(
    ("fields", "items", "frames", "reason"),
    [
        ({"truncation": "auto"}, (), said(), Whole.TRUNCATION),
        ({}, ({"type": "compaction_trigger"},), said(), Whole.COMPACTION),
        ({}, (), [created(), event("response.failed", response={"id": "r", "status": "failed"})], Whole.UNFINISHED),
        ({}, (), [created(), completed()[:-1] + b"]"], None),
        ({}, (), [created(), said()[2], completed()], Whole.UNCLEAR_OUTPUT),
    ],
)
async def test_what_cannot_be_continued(
    peer: Peer,
    fields: dict[str, object],
    items: tuple[dict[str, object], ...],
    frames: list[bytes],
    reason: Whole | None,
) -> None:
    """No head, and the next turn is told why (or nothing, where not even the end could be read)."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, *items, stream=True, **fields), peer, *frames)
        assert len(wiring.heads) == 0
        follower = chosen(wiring, USER, *items, message("hello"), USER, **fields)
        assert follower.outcome.reason is (reason or Whole.NO_MATCH)


async def test_lost_context_trips_the_wire(peer: Peer) -> None:
    """A delta whose input tokens are far below what its head implies: noted, and no more deltas to this host."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer, *said(tokens=10_000))
        turn = wiring.turn(*NEXT, stream=True)
        await wiring.exchange(turn, peer, *said("resp_2", tokens=100), line=line)
        assert turn.outcome.context_suspect
        assert wiring.host.suspect
        follower = chosen(wiring, *NEXT, message("hello"), USER)
        assert follower.outcome.reason is Whole.CONTEXT_SUSPECT


async def test_the_same_request_again_is_no_continuation(peer: Peer) -> None:
    """A retry of a turn is not a continuation of its own answer."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await wiring.exchange(wiring.turn(*NEXT, stream=True), peer, *said("resp_2"), line=line)
        assert chosen(wiring).outcome.reason is Whole.PARENT_CONTINUED


async def test_another_setting_is_another_conversation(peer: Peer) -> None:
    """A setting that may change how the context is read starts anew."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        assert chosen(wiring, model="other").outcome.reason is Whole.NO_MATCH
        assert isinstance(chosen(wiring, instructions="other").continuation, Delta)


async def test_a_turn_can_be_forced_to_go_in_full(peer: Peer) -> None:
    """x-openline-mode: full."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT)
        turn.forced_full = True
        wiring.memory.choose(turn)
        assert turn.outcome.reason is Whole.FORCED


async def test_a_line_that_ends_with_the_answer_leaves_no_head(peer: Peer) -> None:
    """The next turn is told that the connection was lost."""
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
        assert sink.types[-1] == "response.completed"
        assert chosen(wiring).outcome.reason is Whole.CONNECTION_LOST


async def test_a_line_that_ends_for_its_age_with_the_answer_says_so(peer: Peer) -> None:
    """What comes right behind the answer may end the line before its head is noted: the reason is the line's own."""
    async with Wiring(on(peer.base)) as wiring:
        running = wiring.run(wiring.turn(stream=True), Recorder())
        line = await peer.line()
        await line.frame()
        for frame in (*said(), failure("websocket_connection_limit_reached")):
            line.socket.protocol.send_text(frame)
        line.socket.send_data()
        await soon(running)
        await until(lambda: wiring.pool.open_connections == 0)
        assert chosen(wiring).outcome.reason is Whole.ROTATED


async def test_a_stored_response_survives_its_connection(peer: Peer) -> None:
    """Where the host verifies ids and echoed store: true, any connection of the key continues it."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        line.abort()
        await until(lambda: wiring.pool.open_connections == 0)
        turn = wiring.turn(*NEXT, stream=True, store=True)
        running = wiring.run(turn, Recorder())
        again = await peer.line()
        assert (await again.frame())["previous_response_id"] == "resp_1"
        await again.send(*said("resp_2"))
        await soon(running)


async def test_the_items_of_a_stored_response_may_be_referred_to(peer: Peer) -> None:
    """item_reference stands for the item that the stored response has under that id."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        reference: dict[str, object] = {"type": "item_reference", "id": "msg_1"}
        assert isinstance(chosen(wiring, USER, reference, USER, store=True).continuation, Delta)


async def test_a_stored_response_that_is_gone_is_forgotten(peer: Peer) -> None:
    """not_found buries even a stored head; the full context goes out at once."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        turn = wiring.turn(*NEXT, stream=True, store=True)
        running = wiring.run(turn, Recorder())
        assert "previous_response_id" in await line.frame()
        await line.send(failure("previous_response_not_found"))
        assert "previous_response_id" not in await line.frame()
        await line.send(*said("resp_2"))
        await soon(running)
        assert turn.outcome.reason is Whole.NOT_FOUND


@pytest.mark.parametrize("store", [True, False])
async def test_a_response_id_that_comes_again_continues_nothing(peer: Peer, store: bool) -> None:  # noqa: FBT001
    """A host that gives one id to several responses: which of them a delta would continue is not known."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=store), peer, *said("conv", store=store))
        turn = wiring.turn(*NEXT, stream=True, store=store)
        await wiring.exchange(turn, peer, *said("conv", store=store), line=line)
        assert turn.outcome.route is Route.DELTA
        undone = chosen(wiring, *NEXT[:2], {"role": "user", "content": "other words"}, store=store)
        assert undone.outcome.route is Route.FULL
        later = chosen(wiring, *NEXT, message("hello"), USER, store=store)
        assert (later.outcome.route, later.outcome.reason) == (Route.FULL, Whole.UNCLEAR_OUTPUT)
        assert later.outcome.why
        assert "its id names another response" in later.outcome.why.text
        assert len(wiring.heads) == 0
        [connection] = wiring.pool._numbered.values()
        assert connection.lanes.conversations == 0


@pytest.mark.parametrize(("match", "known"), [("faithful", True), ("relaxed", False)])
async def test_what_an_item_meant_under_other_rules_is_not_what_it_means(
    peer: Peer, match: str, *, known: bool
) -> None:
    """`match` may be changed between two processes: a reference stands for nothing that was read otherwise."""
    reference: dict[str, object] = {"type": "item_reference", "id": "msg_1"}
    async with Wiring(msgspec.structs.replace(on(peer.base), match=match)) as before:
        await before.exchange(before.turn(stream=True, store=True), peer, *said(store=True))
        kept = before.memory.lasting()
    async with Wiring(on(peer.base)) as wiring:
        wiring.heads.restore(*kept)
        named, spelled = (chosen(wiring, USER, item, USER, store=True) for item in (reference, message("hello")))
        assert (named.meant == spelled.meant) is known


async def test_an_evicted_conversation_is_told_so(peer: Peer) -> None:
    """A turn that takes the lane of another conversation gives that one up."""
    settings = on(peer.base)
    async with Wiring(settings) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        other = wiring.turn({"role": "user", "content": "another"}, stream=True)
        [connection] = wiring.pool._numbered.values()
        lane = connection.lanes.oldest()
        assert lane is not None
        other.lease = connection.lease(lane)  # as the pool does at its limits
        wiring.memory.choose(other)
        await other.lease.send(other.request.frame(), None, None)
        await line.frame()
        await line.send(*said("resp_2"))
        wiring.memory.released(other.lease)
        wiring.pool.give_back(other.lease)
        assert chosen(wiring).outcome.reason is Whole.EVICTED


async def test_a_refused_continuation_of_a_stored_head_buries_the_lanes_own(peer: Peer) -> None:
    """A stored response is continued on another conversation's lane and refused: that one's head is gone as well."""
    settings = on(peer.base, pool=Pool(max_connections=1, max_connections_per_key=1))
    async with Wiring(settings) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        other: dict[str, object] = {"role": "user", "content": "another"}
        await wiring.exchange(wiring.turn(other, stream=True), peer, *said("resp_2"), line=line)
        turn = wiring.turn(*NEXT, stream=True, store=True)
        await wiring.exchange(turn, peer, failure("invalid_prompt"), line=line)
        assert turn.continued is not None
        follower = chosen(wiring, other, message("hello"), {"role": "user", "content": "and?"})
        assert follower.outcome.reason is Whole.EVICTED
        assert len(wiring.heads) == 0
