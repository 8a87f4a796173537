"""The explainer: which turns it compares, how far it looks, and when it does not look at all."""

import pytest

from proxy.core.continuation import Full
from proxy.core.explanation import Explanation
from proxy.core.reasons import MEANINGS, Whole
from tests.turns.wiring import USER, Wiring, on
from tests.upstream.peer import Peer, message, said

pytestmark = pytest.mark.usefixtures("nothing_left")
AND: dict[str, object] = {"role": "user", "content": "and?"}
LATE: dict[str, object] = {"role": "user", "content": "never seen before"}


def told(wiring: Wiring, *items: dict[str, object], **fields: object) -> Explanation | None:
    """Why a turn with these items goes in full."""
    turn = wiring.turn(*items, stream=True, **fields)
    wiring.memory.choose(turn)
    assert isinstance(turn.continuation, Full)
    return turn.outcome.why


async def test_a_sibling_leaves_the_turn_that_it_forked_from(peer: Peer) -> None:
    """It begins alike and was answered otherwise: the first conversation is compared with its own answer as before."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, stream=True), peer)
        sibling = wiring.turn(USER, message("another answer"), AND, stream=True)
        await wiring.exchange(sibling, peer, *said("resp_2"))
        found = told(wiring, USER, message("hello "), AND)
        assert found is not None
        assert (found.item, found.paths) == (1, ("content[0].text",))


async def test_a_turn_that_goes_on_in_full_leaves_one_trace(peer: Peer) -> None:
    """Forced, or with another setting: it takes the place of the turn whose answer it holds."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, stream=True), peer)
        forced = wiring.turn(USER, message("hello"), AND, stream=True)
        forced.forced_full = True
        await wiring.exchange(forced, peer, *said("resp_2"))
        again = wiring.turn(USER, message("hello"), AND, message("hello"), AND, stream=True, model="other")
        await wiring.exchange(again, peer, *said("resp_3"))
        assert len(wiring.memory._explainer._traces) == 1


def read(wiring: Wiring) -> int:
    """How many items were digested under the key of what is not stored."""
    return len(wiring.fingerprints._known)


async def test_a_turn_that_was_stored_is_compared_with_one_that_was_not(peer: Peer) -> None:
    """Where it begins alike; its items are digested under the other key for that."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, stream=True), peer)
        before = read(wiring)
        found = told(wiring, USER, message("hello"), LATE, store=True)
        assert found is not None
        assert found.settings == ("store",)
        assert read(wiring) > before


async def test_what_begins_otherwise_is_not_digested_twice(peer: Peer) -> None:
    """The first item says so, and is all that is read."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, stream=True), peer)
        before = read(wiring)
        found = told(wiring, LATE, message("another"), AND, store=True)
        assert found is not None
        assert found.compared_with is None
        assert read(wiring) == before + 1


async def test_a_large_request_is_not_digested_twice(peer: Peer) -> None:
    """It would keep all callers waiting for what may be of no use."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, stream=True), peer)
        before = read(wiring)
        large: dict[str, object] = {"role": "user", "content": "x" * 1_100_000}
        found = told(wiring, USER, message("hello"), large, store=True)
        assert found is not None
        assert found.compared_with is None
        assert read(wiring) == before


@pytest.mark.parametrize("reason", [Whole.FORCED, Whole.TRUNCATION, Whole.CONTEXT_SUSPECT, Whole.FIRST])
async def test_a_reason_that_says_it_all_is_not_looked_into(peer: Peer, reason: Whole) -> None:
    """Nothing is compared for it, so that nothing is digested under another key."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(USER, stream=True), peer)
        before = read(wiring)
        turn = wiring.turn(USER, message("hello"), LATE, stream=True, store=True)
        why = wiring.memory._explainer.why(turn, reason)
        spoken = reason not in (Whole.FORCED, Whole.FIRST)
        assert (why.text if why else None) == (MEANINGS[reason] if spoken else None)
        assert read(wiring) == before
