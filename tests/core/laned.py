"""Laned: the events, turns and lanes that the tests of one lane and of all of a connection share."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from proxy.core.events import Event, sniff
from proxy.core.heads import Head, Nowhere
from proxy.core.lane import Lane, Whose
from proxy.core.lanes import MOST_NAMED, Lanes

TURN = Whose.TURN
PROBE = Whose.PROBE
NOBODY = Whose.NOBODY


def event(kind: str, **fields: object) -> Event:
    """An upstream event."""
    return sniff(msgspec.json.encode({"type": kind, **fields}))


CREATED = event("response.created", response={"id": "r"})
DELTA = event("response.output_text.delta", delta="x")
UNKNOWN = event("response.something_new")
COMPLETED = event("response.completed", response={"id": "r"})
FAILED = event("response.failed", response={"id": "r"})
INCOMPLETE = event("response.incomplete", response={"id": "r"})
ERROR = event("error", status=429, error={"code": "rate_limit_exceeded", "message": "slow down"})
MISSPELLED = event(
    "error", status=400, error={"code": None, "message": "must be a valid UUID", "param": "previous_response_id"}
)
MISSING = event("error", status=400, error={"code": "previous_response_not_found", "message": "no"})


def head(name: str = "r") -> Head:
    """A head."""
    return Head(name, (name.encode(),), b"key", Nowhere(), stored=False)


HEAD = head()


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


def on(lane: Lane | str, kind: str = "response.created") -> Event:
    """An event that names a lane."""
    return event(kind, stream_id=lane if isinstance(lane, str) else lane.name)


def begin(lanes: Lanes) -> Lane:
    """A turn gets a lane that holds no conversation, and writes its create."""
    lane = lanes.spare()
    assert lane is not None
    lanes.lease(lane)
    lane.create(TURN)
    lane.leased = False
    return lane


def finish(lanes: Lanes, lane: Lane, named: str = "r") -> Head:
    """The lane's turn completes, and its head is committed."""
    last = on(lane, "response.completed") if lane.name else COMPLETED
    assert lanes.of(last).take(last) is TURN
    left = Head(named, (named.encode(),), b"key", lane, stored=False)
    lane.commit(left)
    return left


def turn_on(lanes: Lanes, lane: Lane) -> None:
    """A whole turn on a lane, in place of what that holds."""
    lanes.lease(lane)
    lane.create(TURN)
    finish(lanes, lane)
    lane.release()


def filled(lanes: Lanes, *, leaving: int = 0) -> None:
    """Conversations at rest on all lanes that may be had without one being given up, but for `leaving` new ones."""
    while len(list(lanes)) < MOST_NAMED - leaving:
        finish(lanes, begin(lanes))


def proven(clock: Callable[[], float] = float) -> Lanes:
    """The lanes of a connection whose host echoed a name."""
    lanes = Lanes(1, named=True, clock=clock)
    finish(lanes, begin(lanes))
    assert lanes.proven
    return lanes
