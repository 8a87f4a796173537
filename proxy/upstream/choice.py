"""The choice: which connection a turn gets that continues nothing, as a plain function of what there is."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from proxy.config import Pool as Limits
from proxy.core.lanes import MOST_IN_FLIGHT

# With lanes. Conversations that a connection takes before another is opened: less than the 16 turns that it may have in
# flight, so that each finds room there when they all speak at once, and that some is left for forks.
_FEW = 13
# So many carry a hundred agents. Beyond, what is there is used up first.
_ENOUGH = 8


class Room(Protocol):
    """What the choice asks of a connection's lanes."""

    @property
    def busy(self) -> bool:
        """Whether any turn has a part of it."""

    @property
    def retiring(self) -> bool:
        """Whether it takes no new turns."""

    @property
    def promising(self) -> bool:
        """Whether there may be room for more as soon as the first event is there."""

    @property
    def conversations(self) -> int:
        """How many it carries, those at rest among them."""

    @property
    def has_single(self) -> bool:
        """Whether a conversation that was over after its first turn can be given up there."""

    def spare(self) -> object | None:
        """A lane for a turn, without a conversation being given up."""

    def oldest(self) -> object | None:
        """A lane for a turn, if a conversation is given up."""

    def rested(self) -> object | None:
        """The same, of a conversation that can be taken to have ended."""


class Sight(Protocol):
    """What the choice asks of a connection."""

    used_at: float

    @property
    def lanes(self) -> Room:
        """What turns can have of it."""


class Coming(NamedTuple):
    """Dials under way, and who wants what they bring."""

    own: int
    all: int
    waiting: int = 0
    """Turns of the same caller that wait already, ahead of this one."""
    each: int = MOST_IN_FLIGHT - 1
    """How many turns find room on a connection beside the one that it is opened for."""

    def promised(self, own: Sequence[Sight]) -> int:
        """How many of those who wait will find room on what is being opened, or has not shown its lanes yet."""
        return self.each * (self.own + sum(one.lanes.promising for one in own))


class Move(Enum):
    """What to do where no connection is chosen."""

    DIAL = auto()
    WAIT = auto()


def choose(
    own: Sequence[Sight], others: Sequence[Sight], coming: Coming, limits: Limits, *, lanes: bool
) -> tuple[Move | None, Sight | None]:
    """The connection for a turn that continues nothing.

    In this order: one with a lane that remembers no conversation; a new one; a new one in place of another key's
    oldest idle one; the oldest of its own with an idle lane, whose conversation is given up (first those where one was
    over after its first turn). With lanes, `_shared` says when one is full enough, and when there are enough.

    Returns:
        (None, connection): use it. (DIAL, None): open one. (DIAL, connection): close that one, open one. (WAIT, None).
    """
    dial = more(own, others, coming, limits)
    spare = [one for one in own if one.lanes.spare()]
    if lanes:
        shared = _shared(own, spare, coming, more=dial == (Move.DIAL, None))
        if shared:
            return shared
    elif spare:
        return None, max(spare, key=lambda one: one.used_at)
    if dial:
        return dial
    occupied = [one for one in own if one.lanes.oldest()]
    if occupied:
        return None, min(occupied, key=lambda one: (not one.lanes.has_single, one.used_at))
    return Move.WAIT, None


def more(
    own: Sequence[Sight], others: Sequence[Sight], coming: Coming, limits: Limits
) -> tuple[Move, Sight | None] | None:
    """How one more connection may be had, if it may."""
    if len(own) + coming.own >= limits.max_connections_per_key:
        return None
    if len(own) + len(others) + coming.all < limits.max_connections:
        return Move.DIAL, None
    strangers = [one for one in others if not one.lanes.busy]
    return (Move.DIAL, min(strangers, key=lambda one: one.used_at)) if strangers else None


def _shared(
    own: Sequence[Sight], spare: Sequence[Sight], coming: Coming, *, more: bool
) -> tuple[Move | None, Sight | None] | None:
    """The choice among connections that many conversations share; None where one more is due, given room for `more`.

    First one that carries few; then new ones, up to a number; then the one that carries least; then what is about to
    have room, as far as it goes; then one whose conversation has ended.
    """
    light = [one for one in spare if one.lanes.conversations < _FEW]
    if light:
        return None, max(light, key=lambda one: one.used_at)
    if more and sum(not one.lanes.retiring for one in own) + coming.own < _ENOUGH:
        return None
    if spare:
        return None, min(spare, key=lambda one: one.lanes.conversations)
    if coming.waiting < coming.promised(own):
        return Move.WAIT, None
    rested = [one for one in own if one.lanes.rested()]
    return (None, min(rested, key=lambda one: one.used_at)) if rested else None
