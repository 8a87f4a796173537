"""The memory and beginnings: what is known of a body from a turn before is what a look at all of it would say."""

import msgspec
import pytest

from proxy.core.beginnings import Beginnings
from proxy.core.continuation import Delta
from proxy.turns.turn import Turn
from tests.turns.wiring import Wiring, on
from tests.upstream.peer import Peer, message, said

pytestmark = pytest.mark.usefixtures("nothing_left")
LARGE: dict[str, object] = {"role": "user", "content": "x" * 20_000}
MORE: dict[str, object] = {"role": "user", "content": "and?"}


def asked(wiring: Wiring, *items: dict[str, object], **fields: object) -> Turn:
    """A turn whose settings come behind its items, as some clients write them."""
    return wiring.raw_turn(
        msgspec.json.encode({"input": items, "model": "m", "store": False, "stream": True, **fields})
    )


def both(wiring: Wiring, *items: dict[str, object], **fields: object) -> tuple[Turn, Turn]:
    """The same request, as it is read now, and as it is where nothing is known."""
    beginnings = wiring.memory.beginnings
    remembering = asked(wiring, *items, **fields)
    wiring.memory.beginnings = Beginnings(b"none", float)
    forgetful = asked(wiring, *items, **fields)
    wiring.memory.beginnings = beginnings
    for turn in (remembering, forgetful):
        wiring.memory.choose(turn)
    return remembering, forgetful


@pytest.mark.parametrize(
    "fields",
    [{}, {"store": True}, {"model": "another"}, {"tools": [{"type": "custom", "name": "t"}]}, {"top_p": 1}],
    ids=["alike", "stored", "another model", "another tool", "a free setting"],
)
async def test_the_fingerprints_are_the_same(peer: Peer, fields: dict[str, object]) -> None:
    """With settings that bind, with others, under either key: what a history means is no matter of how it is read."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(asked(wiring, LARGE), peer)
        for items in ((LARGE,), (LARGE, MORE), (LARGE, message("hello"), MORE), (LARGE, message("other"), MORE)):
            remembering, forgetful = both(wiring, *items, **fields)
            assert remembering.request.known is not None
            assert (remembering.chain, remembering.meant) == (forgetful.chain, forgetful.meant)
            assert remembering.continuation == forgetful.continuation
            assert remembering.outcome.why == forgetful.outcome.why


async def test_a_conversation_is_read_from_its_end_on(peer: Peer) -> None:
    """Turn by turn all but what is new is known, and each goes on as a delta."""
    async with Wiring(on(peer.base)) as wiring:
        items, line = [LARGE], None
        for number in range(3):
            turn = asked(wiring, *items)
            _, line = await wiring.exchange(turn, peer, *said(f"resp_{number}"), line=line)
            items += [message("hello"), MORE]
            remembering, forgetful = both(wiring, *items)
            assert remembering.request.known is not None
            assert remembering.request.known.count == 2 * number + 1
            assert isinstance(remembering.continuation, Delta)
            assert remembering.continuation == forgetful.continuation


async def test_what_a_reference_means_is_asked_each_time(peer: Peer) -> None:
    """A history with one is not kept: what it refers to may become known, or doubtful, later."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(asked(wiring, LARGE, {"type": "item_reference", "id": "msg_9"}, MORE), peer)
        remembering, _ = both(wiring, LARGE, {"type": "item_reference", "id": "msg_9"}, MORE, message("hello"), MORE)
        assert remembering.request.known is None
