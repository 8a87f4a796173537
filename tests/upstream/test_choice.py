"""The choice of a connection, as the plain function that it is."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Pool as Limits
from proxy.upstream.choice import Coming, Move, choose


@dataclass(eq=False)
class Seen:
    """What the choice sees of a connection, and of its lanes."""

    used_at: float = 0.0
    busy: bool = False
    spares: bool = False
    occupied: bool = True
    ended: bool = False
    promising: bool = False
    retiring: bool = False
    has_single: bool = False
    conversations: int = 0

    @property
    def lanes(self) -> "Seen":
        """Itself."""
        return self

    def spare(self) -> object | None:
        """Whether there is one."""
        return self if self.spares else None

    def oldest(self) -> object | None:
        """Whether there is one."""
        return self if self.occupied else None

    def rested(self) -> object | None:
        """Whether there is one."""
        return self if self.ended else None


ONCE = Seen(3, has_single=True)
SPARE = Seen(1, spares=True)
NEWER_SPARE = Seen(2, spares=True)
OLD = Seen(1)
NEW = Seen(2)
BUSY = Seen(busy=True, occupied=False)
BUSY_WITH_ROOM = Seen(3, busy=True, spares=True)
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
        ([OLD, ONCE], [], Coming(0, 0), (None, ONCE)),
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
    assert choose(own, others, coming, LIMITS, lanes=False) == expected


sights = st.lists(
    st.builds(
        Seen,
        st.floats(0, 9),
        busy=st.booleans(),
        spares=st.booleans(),
        occupied=st.booleans(),
        has_single=st.booleans(),
    ),
    max_size=5,
)


@given(sights, sights, st.integers(0, 3), st.integers(0, 3), st.integers(1, 6), st.integers(1, 6))
def test_a_choice_breaks_no_limit(
    own: list[Seen], others: list[Seen], own_coming: int, others_coming: int, per_key: int, most: int
) -> None:
    """Nothing in use is closed, only what has room is used, no dial exceeds a limit, a wait means nothing is left."""
    limits = Limits(max_connections=most, max_connections_per_key=per_key)
    coming = Coming(own_coming, own_coming + others_coming)
    move, sight = choose(own, others, coming, limits, lanes=False)
    spare = [one for one in own if one.spares]
    occupied = [one for one in own if one.occupied]
    if move is None:
        assert sight is not None
        pool = spare or occupied
        assert any(sight is one for one in pool)
        oldest = [one for one in pool if one.has_single] or pool
        assert sight.used_at == (max(one.used_at for one in pool) if spare else min(one.used_at for one in oldest))
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


# --- with lanes

LIGHT = Seen(1, spares=True, conversations=12)
NEWER_LIGHT = Seen(2, spares=True, conversations=3)
LOADED = Seen(1, busy=True, spares=True, conversations=14)
LESS_LOADED = Seen(0, busy=True, spares=True, conversations=13)
FULL = Seen(2, busy=True, occupied=False, conversations=32)
AT_REST = Seen(5, ended=True, conversations=32)
LONGER_AT_REST = Seen(4, ended=True, conversations=32)
UNPROVEN = Seen(3, busy=True, occupied=False, promising=True, conversations=1)
LEAVING = Seen(busy=True, occupied=False, retiring=True)
ROOMY = Limits(max_connections=12, max_connections_per_key=10)


@pytest.mark.parametrize(
    ("own", "others", "coming", "expected"),
    [
        ([], [], Coming(0, 0), (Move.DIAL, None)),
        ([LIGHT, LOADED], [], Coming(0, 0), (None, LIGHT)),
        ([LIGHT, NEWER_LIGHT], [], Coming(0, 0), (None, NEWER_LIGHT)),
        ([LIGHT] + [FULL] * 7, [], Coming(0, 0), (None, LIGHT)),
        ([LESS_LOADED], [], Coming(0, 0), (Move.DIAL, None)),
        ([UNPROVEN], [], Coming(0, 0), (Move.DIAL, None)),
        ([AT_REST], [], Coming(6, 6), (Move.DIAL, None)),
        ([LOADED, LESS_LOADED] + [FULL] * 6, [], Coming(0, 0), (None, LESS_LOADED)),
        ([LOADED, LESS_LOADED], [], Coming(6, 6), (None, LESS_LOADED)),
        ([LOADED, UNPROVEN, AT_REST] + [FULL] * 5, [], Coming(0, 0), (None, LOADED)),
        ([UNPROVEN, AT_REST] + [FULL] * 6, [], Coming(0, 0), (Move.WAIT, None)),
        ([AT_REST] + [FULL] * 6, [], Coming(1, 1), (Move.WAIT, None)),
        ([AT_REST] + [FULL] * 7, [], Coming(0, 1), (None, AT_REST)),
        ([AT_REST, LONGER_AT_REST] + [FULL] * 6, [], Coming(0, 0), (None, LONGER_AT_REST)),
        ([OLD] + [FULL] * 7, [], Coming(0, 0), (Move.DIAL, None)),
        ([FULL] * 10, [], Coming(0, 0), (Move.WAIT, None)),
        ([OLD] + [FULL] * 9, [], Coming(0, 0), (None, OLD)),
        ([OLD] + [AT_REST] + [FULL] * 8, [], Coming(0, 0), (None, AT_REST)),
        ([LOADED], [BUSY] * 10 + [OLD], Coming(0, 0), (None, LOADED)),
        ([LOADED] + [LEAVING] * 8, [], Coming(0, 0), (Move.DIAL, None)),
        ([FULL] * 8, [OLD] * 4, Coming(0, 0), (Move.DIAL, OLD)),
        ([FULL, LOADED], [BUSY] * 10, Coming(0, 0), (None, LOADED)),
        ([OLD, LOADED], [BUSY] * 9, Coming(0, 1), (None, LOADED)),
        ([OLD, UNPROVEN], [BUSY] * 10, Coming(0, 0), (Move.WAIT, None)),
        ([OLD, AT_REST], [BUSY] * 10, Coming(0, 0), (None, AT_REST)),
        ([OLD, FULL], [BUSY] * 10, Coming(0, 0), (None, OLD)),
        ([UNPROVEN] + [FULL] * 7, [], Coming(0, 0, waiting=14), (Move.WAIT, None)),
        ([UNPROVEN] + [FULL] * 7, [], Coming(0, 0, waiting=15), (Move.DIAL, None)),
        ([UNPROVEN] + [FULL] * 7, [], Coming(1, 1, waiting=29), (Move.WAIT, None)),
        ([UNPROVEN] + [FULL] * 7, [], Coming(1, 1, waiting=30), (Move.DIAL, None)),
        ([UNPROVEN, AT_REST] + [FULL] * 7, [], Coming(1, 1, waiting=30), (None, AT_REST)),
        ([UNPROVEN] + [FULL] * 7, [], Coming(1, 1, waiting=1, each=1), (Move.WAIT, None)),
        ([UNPROVEN] + [FULL] * 7, [], Coming(1, 1, waiting=2, each=1), (Move.DIAL, None)),
    ],
)
def test_the_order_of_choice_with_lanes(
    own: list[Seen], others: list[Seen], coming: Coming, expected: tuple[Move | None, Seen | None]
) -> None:
    """Few on it, dial up to eight, the least loaded, what is about to have room, what has rested, dial, give one up."""
    assert choose(own, others, coming, ROOMY, lanes=True) == expected


crowded = st.lists(
    st.builds(
        Seen,
        st.floats(0, 9),
        busy=st.booleans(),
        spares=st.booleans(),
        occupied=st.booleans(),
        ended=st.booleans(),
        promising=st.booleans(),
        conversations=st.integers(0, 32),
    ).filter(lambda one: one.occupied or not one.ended),
    max_size=10,
)


@given(crowded, sights, st.integers(0, 3), st.integers(0, 3), st.integers(1, 12), st.integers(1, 16))
def test_a_choice_with_lanes_breaks_no_limit(
    own: list[Seen], others: list[Seen], own_coming: int, others_coming: int, per_key: int, most: int
) -> None:
    """Nothing in use is closed, no limit broken; a ninth only where nothing else is left, a wait not where there is."""
    limits = Limits(max_connections=most, max_connections_per_key=per_key)
    coming = Coming(own_coming, own_coming + others_coming)
    move, sight = choose(own, others, coming, limits, lanes=True)
    spare = [one for one in own if one.spares]
    rested = [one for one in own if one.ended]
    waits = own_coming or any(one.promising for one in own)
    if move is None:
        (chosen,) = [one for one in own if one is sight]
        assert chosen.spares or (not spare and not waits and (chosen.ended or (not rested and chosen.occupied)))
    if move is Move.DIAL:
        assert len(own) + own_coming < per_key
        assert any(sight is one and not one.busy for one in others) or len(own) + len(others) + coming.all < most
        assert all(one.conversations >= 13 for one in spare)
        assert len(own) + own_coming < 8 or not (spare or rested or waits)
    if move is Move.WAIT:
        assert sight is None
        assert not spare
        assert waits or not any(one.occupied for one in own)
