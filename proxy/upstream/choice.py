"""The choice: which connection a turn gets that continues nothing, as a plain function of what there is."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from proxy.config import Pool as Limits


class Sight(Protocol):
    """What the choice asks of a connection."""

    used_at: float

    @property
    def busy(self) -> bool:
        """Whether any turn has a part of it."""

    @property
    def spare(self) -> bool:
        """Whether a turn can start on it without a conversation being given up."""

    @property
    def occupied(self) -> bool:
        """Whether a turn can start on it if a conversation is given up."""


class Coming(NamedTuple):
    """Dials under way."""

    own: int
    all: int


class Move(Enum):
    """What to do where no connection is chosen."""

    DIAL = auto()
    WAIT = auto()


def choose(
    own: Sequence[Sight], others: Sequence[Sight], coming: Coming, limits: Limits
) -> tuple[Move | None, Sight | None]:
    """The connection for a turn that continues nothing.

    In this order: one with a lane that remembers no conversation; a new one; a new one in place of another key's
    oldest idle one; the oldest of its own with an idle lane, whose conversation is given up.

    Returns:
        (None, connection): use it. (DIAL, None): open one. (DIAL, connection): close that one, open one. (WAIT, None).
    """
    spare = [one for one in own if one.spare]
    if spare:
        return None, max(spare, key=lambda one: one.used_at)
    below_own = len(own) + coming.own < limits.max_connections_per_key
    if below_own and len(own) + len(others) + coming.all < limits.max_connections:
        return Move.DIAL, None
    strangers = [one for one in others if not one.busy]
    if below_own and strangers:
        return Move.DIAL, min(strangers, key=lambda one: one.used_at)
    occupied = [one for one in own if one.occupied]
    if occupied:
        return None, min(occupied, key=lambda one: one.used_at)
    return Move.WAIT, None
