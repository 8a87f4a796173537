"""The choice of a connection, as the plain function that it is."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Pool as Limits
from proxy.upstream.choice import Coming, Move, choose


@dataclass(eq=False)
class Seen:
    """What the choice sees of a connection."""

    used_at: float = 0.0
    busy: bool = False
    spare: bool = False
    occupied: bool = True


SPARE = Seen(1, spare=True)
NEWER_SPARE = Seen(2, spare=True)
OLD = Seen(1)
NEW = Seen(2)
BUSY = Seen(busy=True, occupied=False)
BUSY_WITH_ROOM = Seen(3, busy=True, spare=True)
BUSY_WITH_HEADS = Seen(0, busy=True)
LIMITS = Limits(max_connections=4, max_connections_per_key=2)


@pytest.mark.parametrize(
    ("own", "others", "coming", "expected"),
    [
        ([], [], Coming(0, 0), (Move.DIAL, None)),
        ([SPARE], [], Coming(0, 0), (None, SPARE)),
        ([SPARE, NEWER_SPARE], [], Coming(0, 0), (None, NEWER_SPARE)),
        ([OLD, SPARE], [OLD], Coming(0, 0), (None, SPARE)),
        ([BUSY_WITH_ROOM, OLD], [], Coming(0, 0), (None, BUSY_WITH_ROOM)),
        ([OLD], [], Coming(0, 0), (Move.DIAL, None)),
        ([BUSY], [], Coming(0, 0), (Move.DIAL, None)),
        ([BUSY, BUSY], [], Coming(0, 0), (Move.WAIT, None)),
        ([BUSY], [], Coming(1, 1), (Move.WAIT, None)),
        ([BUSY], [], Coming(0, 3), (Move.WAIT, None)),
        ([OLD, NEW], [], Coming(0, 0), (None, OLD)),
        ([NEW, OLD], [OLD], Coming(0, 0), (None, OLD)),
        ([BUSY_WITH_HEADS, OLD], [], Coming(0, 0), (None, BUSY_WITH_HEADS)),
        ([BUSY], [BUSY, OLD, NEW], Coming(0, 0), (Move.DIAL, OLD)),
        ([OLD], [BUSY, BUSY, NEW], Coming(0, 0), (Move.DIAL, NEW)),
        ([OLD], [BUSY, BUSY, BUSY], Coming(0, 0), (None, OLD)),
        ([], [BUSY, BUSY, BUSY, BUSY], Coming(0, 0), (Move.WAIT, None)),
        ([], [BUSY_WITH_HEADS, BUSY_WITH_ROOM, BUSY, BUSY], Coming(0, 0), (Move.WAIT, None)),
        ([], [BUSY, BUSY, SPARE], Coming(0, 1), (Move.DIAL, SPARE)),
        ([BUSY, OLD], [OLD, OLD], Coming(0, 0), (None, OLD)),
        ([BUSY, BUSY], [OLD], Coming(0, 0), (Move.WAIT, None)),
    ],
)
def test_the_order_of_choice(
    own: list[Seen], others: list[Seen], coming: Coming, expected: tuple[Move | None, Seen | None]
) -> None:
    """Spare before dial, dial before another key's oldest, that before the own oldest, and waiting last."""
    assert choose(own, others, coming, LIMITS) == expected


sights = st.lists(
    st.builds(Seen, st.floats(0, 9), busy=st.booleans(), spare=st.booleans(), occupied=st.booleans()), max_size=5
)


@given(sights, sights, st.integers(0, 3), st.integers(0, 3), st.integers(1, 6), st.integers(1, 6))
def test_a_choice_breaks_no_limit(
    own: list[Seen], others: list[Seen], own_coming: int, others_coming: int, per_key: int, most: int
) -> None:
    """Nothing in use is closed, only what has room is used, no dial exceeds a limit, a wait means nothing is left."""
    limits = Limits(max_connections=most, max_connections_per_key=per_key)
    coming = Coming(own_coming, own_coming + others_coming)
    move, sight = choose(own, others, coming, limits)
    spare = [one for one in own if one.spare]
    occupied = [one for one in own if one.occupied]
    if move is None:
        assert sight is not None
        pool = spare or occupied
        assert any(sight is one for one in pool)
        assert sight.used_at == (max if spare else min)(one.used_at for one in pool)
    if move is Move.DIAL:
        assert not spare
        assert len(own) + own_coming < per_key
        # Closing one for a dial adds none; without it there is room.
        assert any(sight is one and not one.busy for one in others) or len(own) + len(others) + coming.all < most
    if move is Move.WAIT:
        assert sight is None
        assert not spare
        assert not occupied
        assert len(own) + own_coming >= per_key or all(one.busy for one in others)
