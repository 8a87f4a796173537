"""A status: what a pool shows of itself. Counts and yes or no, nothing private."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SocketStatus:
    """How many WebSockets are in which state."""

    idle: int
    busy: int
    retiring: int
    """Take no new turns: closed as soon as those that they have are done."""
    coming: int
    """Dials under way."""


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """How many pool keys dial no WebSocket for a while."""

    open: int
    half_open: int
    """One dial may try again, or is trying."""
    seconds_left: float
    """Until the first open one lets a dial through; 0.0 where none is open."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What was learned of the upstream host."""

    websocket: bool
    """Whether it has WebSocket mode, as far as is known."""
    verifies_ids: Literal["yes", "no", "some", "unknown"]
    lanes: bool
    suspect: bool
    """Whether it lost a context unseen: no more deltas to it."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """One pool, now."""

    sockets: SocketStatus
    waiting: int
    """Turns that wait for a lane."""
    breakers: BreakerStatus
    host: HostStatus
