"""A lane: one ordered stream of a connection, a state machine over the events that arrive on it."""

from enum import Enum, auto

from proxy.core.bundle import Bundle
from proxy.core.events import TERMINAL, Event, Kind, lane_name
from proxy.core.heads import Head
from proxy.core.reasons import Whole
from proxy.core.refusal import refusal


class State(Enum):
    """What a lane is doing."""

    IDLE = auto()
    AWAITED = auto()  # a create is written, nothing came yet
    STREAMING = auto()
    DRAINING = auto()  # the caller is gone; what still comes is dropped
    QUARANTINED = auto()  # never used again
    CLOSED = auto()


class Signal(Enum):
    """What can happen to a lane."""

    CREATE = auto()
    EVENT = auto()
    END = auto()  # a terminal event, or an error
    ABANDON = auto()  # the turn has no caller any more
    DISTRUST = auto()  # what comes can no longer be told
    CLOSE = auto()


TRANSITIONS: dict[tuple[State, Signal], State] = {
    (State.IDLE, Signal.CREATE): State.AWAITED,
    (State.IDLE, Signal.DISTRUST): State.QUARANTINED,
    (State.AWAITED, Signal.EVENT): State.STREAMING,
    (State.AWAITED, Signal.END): State.IDLE,
    (State.AWAITED, Signal.ABANDON): State.DRAINING,
    (State.AWAITED, Signal.DISTRUST): State.QUARANTINED,
    (State.STREAMING, Signal.EVENT): State.STREAMING,
    (State.STREAMING, Signal.END): State.IDLE,
    (State.STREAMING, Signal.ABANDON): State.DRAINING,
    (State.STREAMING, Signal.DISTRUST): State.QUARANTINED,
    (State.DRAINING, Signal.EVENT): State.DRAINING,
    (State.DRAINING, Signal.END): State.IDLE,
    (State.DRAINING, Signal.DISTRUST): State.QUARANTINED,
    (State.QUARANTINED, Signal.DISTRUST): State.QUARANTINED,
    **{(state, Signal.CLOSE): State.CLOSED for state in State},
}
_IN_FLIGHT = frozenset({State.AWAITED, State.STREAMING, State.DRAINING})
# A fork has its parent's context once `response.in_progress` is there (protocol.md, "Lanes"): these come before it.
_NOT_YET = frozenset({"response.created", "response.queued"})


class OutOfPlace(Exception):
    """An event or a call that the state does not allow: the stream it came on cannot be trusted any more."""


class Unowned(OutOfPlace):
    """An error that names no lane, where several are at work: the host's errors do not say whose they are."""


class Whose(Enum):
    """For whom an event is."""

    TURN = auto()
    PROBE = auto()
    NOBODY = auto()


class Verdict(Enum):
    """What a host did with a made-up response id."""

    REFUSED = auto()
    ACCEPTED = auto()
    UNCLEAR = auto()


class Lane:
    """What a lane is doing, and the head that it can be continued from.

    Creates are answered in order: the events that arrive belong to the first one that has not ended.

        IDLE ─create─▶ AWAITED ─event─▶ STREAMING ─end─▶ IDLE        any ─close─▶ CLOSED
                          └──────abandon───▶ DRAINING ─end─▶ IDLE    any but CLOSED ─distrust─▶ QUARANTINED
    """

    # Most lanes are at rest, and there are many: what one takes is what an idle conversation costs.
    __slots__ = (
        "_begun",
        "_refused",
        "_unanswered",
        "ahead",
        "continued",
        "forked",
        "kept",
        "lanes",
        "latest",
        "leased",
        "name",
        "parent",
        "single",
        "state",
        "taken",
        "used_at",
        "verdict",
    )

    def __init__(self, lanes: Bundle, name: str | None) -> None:
        self.lanes = lanes
        self.name = name
        self.state = State.IDLE
        self.leased = False
        self.latest: Head | None = None
        self.parent: Head | None = None
        """The head that its turn continues: held by the upstream until that turn ends."""
        self.continued: Head | None = None
        """What it moved on from for the turn that it has, if that was continued, here or elsewhere: not given up."""
        self.forked: Head | None = None
        """The head of another lane that its turn continues: until that has begun, the other may not move on."""
        self.kept = False
        """Whether a conversation went on from it elsewhere: kept for an undo while nothing else needs the lane."""
        self.single = False
        """Whether what it holds was over after its first turn: it asked for no result."""
        self.used_at = 0.0
        """When a turn was done with it last."""
        self.taken = False
        """Whether the host has shown that it took the name: by an event, or by what it said of a made-up id there."""
        self.ahead: int | None = None
        """How many names were used on the connection before this one; None until a create has used it."""
        self.verdict: Verdict | None = None
        self._unanswered: tuple[Whose, ...] = ()
        self._begun = False
        """Whether an event of its turn came, abandoned or not."""
        self._refused = False
        """Whether the last event was an error: `response.failed` behind it is no answer to the next create."""

    @property
    def connection(self) -> int:
        """The number of the connection that this lane is on."""
        return self.lanes.connection

    @property
    def idle(self) -> bool:
        """Whether a turn may have it."""
        return self.state is State.IDLE and not self.leased

    @property
    def in_flight(self) -> bool:
        """Whether the upstream is at work on it."""
        return self.state in _IN_FLIGHT

    @property
    def free(self) -> bool:
        """Whether it may move on from what it holds."""
        return self.idle and not (self.latest and self.lanes.forking(self.latest))

    @property
    def vacant(self) -> bool:
        """Whether a turn can have it without a conversation being given up."""
        return self.free and (self.latest is None or self.kept)

    def holds(self, head: Head) -> bool:
        """Whether `head` can be continued here now."""
        return self.latest is head and self.free and self.lanes.room

    def lends(self, head: Head) -> bool:
        """Whether a sibling may fork from `head` now.

        It may while the first child has this lane, or while this lane may not move on as others fork from it.
        """
        pinned = self.latest is head and self.idle and not self.free
        return (self.parent is head or pinned) and self.lanes.can_fork(head)

    def keeps(self, head: Head) -> bool:
        """Whether `head` can be continued on another lane, so that it stays here for an undo, at nobody's expense."""
        return self.holds(head) and self.lanes.keeps(head)

    def barred(self, head: Head) -> Whole:
        """Why `head` is not continued now."""
        if self.lanes.reason:
            return self.lanes.reason
        if self.latest is head and self.idle:
            return Whole.LANES_BUSY
        return Whole.PARENT_CONTINUED if self.continued is head or self.parent is head else Whole.EVICTED

    def create(self, *creates: Whose, continuing: Head | None = None) -> Head | None:
        """Creates are about to be written, in this order. Returns the head that dies by it."""
        self._move(Signal.CREATE)
        if self.ahead is None:
            self.ahead, self.lanes.written = self.lanes.written, self.lanes.written + 1
        self._unanswered += creates
        self._begun = False
        dead, self.latest = self.latest, None
        if dead and (dead is continuing or self.kept):
            self.continued = dead
        self.parent, self.kept = continuing if dead is continuing else None, False
        return dead

    def take(self, event: Event) -> Whose:
        """An event arrived: whose is it? Raises OutOfPlace where nobody waits for one."""
        if self.state is State.QUARANTINED:
            return Whose.NOBODY
        if not self._unanswered:
            raise OutOfPlace(f"{event.label} while nothing was asked")
        if self._refused and event.kind in TERMINAL:
            raise OutOfPlace(f"{event.label} of a create that was refused already")
        self._refused = event.kind is Kind.ERROR
        self.taken |= not self._refused
        whose, dropped = self._unanswered[0], self.state is State.DRAINING
        ended = event.kind in TERMINAL or event.kind is Kind.ERROR
        if ended:
            self._unanswered = self._unanswered[1:]
        if whose is Whose.PROBE:
            self.verdict = _verdict(event) if ended else None
            # Who looks for an id on a lane knows lanes, if it names this one.
            self.taken |= self.verdict is Verdict.REFUSED and self.lanes.proven
            return Whose.NOBODY if dropped else whose
        self._move(Signal.END if ended else Signal.EVENT)
        if self.forked and event.type not in _NOT_YET:
            self.lanes.begun(self)
        if ended:
            self.parent, self.forked = None, None if dropped else self.forked
        if event.kind is not Kind.ERROR:
            self._begun = True
        elif self._begun:
            self._broken_off(event)
        return Whose.NOBODY if dropped else whose

    def _broken_off(self, error: Event) -> None:
        """Behind an error in mid-answer some hosts say `response.failed`: no other turn may meet that."""
        if self.name is not None and b'"stream_id"' in error.frame and lane_name(error.frame) == self.name:
            self.distrust()
            self.lanes.lost_name()
        else:
            self.lanes.retire(self.lanes.reason or Whole.CONNECTION_LOST)

    def release(self) -> None:
        """The turn is done with it, whether or not it wrote a create."""
        self.leased, self.continued, self.used_at = False, None, self.lanes.clock()
        if self.state is State.IDLE:
            self.parent = self.forked = None

    def abandon(self) -> None:
        """The turn's caller is gone: what still comes of it is dropped."""
        self._move(Signal.ABANDON)

    def distrust(self) -> Head | None:
        """Never use it again. Returns the head that dies by it."""
        self._move(Signal.DISTRUST)
        return self._forget()

    def close(self) -> Head | None:
        """The connection is gone. Returns the head that dies with it."""
        self._move(Signal.CLOSE)
        return self._forget()

    def commit(self, head: Head) -> None:
        """The turn that just ended can be continued from `head`. Raises OutOfPlace unless the lane is idle."""
        if self.state is not State.IDLE:
            raise OutOfPlace(f"a head for a lane that is {self.state.name}")
        if self.forked:  # what it continued, or could not continue there: its conversation goes on from here
            self.lanes.keep(self.forked)
        self.latest, self.kept, self.single, self.forked = head, False, False, None

    def remembers(self, head: Head) -> bool:
        """Whether `head` is what it was left with, by all that is known."""
        return self.latest is head

    def drop(self, head: Head) -> None:
        """Nobody can find `head` any more: it is in no other turn's way."""
        if self.latest is head:
            self.latest, self.kept = None, False

    def _forget(self) -> Head | None:
        dead, self._unanswered = self.latest, ()
        self.latest = self.parent = self.forked = None
        return dead

    def _move(self, signal: Signal) -> None:
        if (self.state, signal) not in TRANSITIONS:
            raise OutOfPlace(f"{signal.name} while {self.state.name}")
        self.state = TRANSITIONS[self.state, signal]


def _verdict(event: Event) -> Verdict:
    if event.kind is Kind.ERROR:
        return Verdict.REFUSED if refusal(event.frame).not_found else Verdict.UNCLEAR
    # A failure may have any cause; whatever else ends a response means that the id was taken for a known one.
    return Verdict.UNCLEAR if event.type == "response.failed" else Verdict.ACCEPTED
