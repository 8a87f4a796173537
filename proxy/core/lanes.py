"""Lanes: the ordered streams of one connection, each a state machine over the events that arrive on it."""

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

from proxy.core.events import TERMINAL, Event, Kind, lane_name
from proxy.core.heads import Head
from proxy.core.refusal import refusal

# protocol.md, "Lanes": per connection.
MOST_IN_FLIGHT = 16
MOST_NAMED = 32


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
    (State.QUARANTINED, Signal.EVENT): State.QUARANTINED,
    (State.QUARANTINED, Signal.END): State.QUARANTINED,
    (State.QUARANTINED, Signal.DISTRUST): State.QUARANTINED,
    **{(state, Signal.CLOSE): State.CLOSED for state in State},
}
_IN_FLIGHT = frozenset({State.AWAITED, State.STREAMING, State.DRAINING})


class OutOfPlace(Exception):
    """An event or a call that the state does not allow: the stream it came on cannot be trusted any more."""


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

    def __init__(self, lanes: "Lanes", name: str | None) -> None:
        self.lanes = lanes
        self.name = name
        self.state = State.IDLE
        self.leased = False
        self.latest: Head | None = None
        self.parent: Head | None = None
        """The head that its turn continues: held by the upstream until that turn ends."""
        self.verdict: Verdict | None = None
        self._unanswered: deque[Whose] = deque()
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

    def holds(self, head: Head) -> bool:
        """Whether `head` can be continued here now."""
        return self.idle and self.latest is head and self.lanes.room

    def lends(self, head: Head) -> bool:
        """Whether a sibling may fork from `head` now, while its first child has this lane."""
        return (self.in_flight or self.leased) and self.parent is head and self.lanes.can_fork

    def create(self, *creates: Whose, continuing: Head | None = None) -> Head | None:
        """Creates are about to be written, in this order. Returns the head that dies by it."""
        self._move(Signal.CREATE)
        self._unanswered.extend(creates)
        dead, self.latest = self.latest, None
        self.parent = continuing if dead is continuing else None
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
        dropped, refused = self.state is State.DRAINING, self.state is State.AWAITED
        whose = self._unanswered[0]
        ended = event.kind in TERMINAL or event.kind is Kind.ERROR
        if ended:
            self._unanswered.popleft()
        if whose is Whose.PROBE:
            self.verdict = _verdict(event) if ended else None
            return Whose.NOBODY if dropped else whose
        self._move(Signal.END if ended else Signal.EVENT)
        if ended:
            self.parent = None
            # Behind an error that broke an answer off some hosts say `response.failed`: no other turn may meet that.
            self.lanes.retiring |= event.kind is Kind.ERROR and not refused
        return Whose.NOBODY if dropped else whose

    def release(self) -> None:
        """The turn is done with it, whether or not it wrote a create."""
        self.leased = False
        if self.state is State.IDLE:
            self.parent = None

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
        self.latest = head

    def _forget(self) -> Head | None:
        self._unanswered.clear()
        dead, self.latest, self.parent = self.latest, None, None
        return dead

    def _move(self, signal: Signal) -> None:
        try:
            self.state = TRANSITIONS[self.state, signal]
        except KeyError:
            raise OutOfPlace(f"{signal.name} while {self.state.name}") from None


class Lanes:
    """The lanes of one connection. Where the host has lanes every one is named; elsewhere there is one, nameless.

    Until an event has echoed a lane's name it is not known that the host understands names: so long there is
    never more than one create in flight, and a missing echo makes the one lane the nameless one.
    """

    def __init__(self, connection: int, *, named: bool) -> None:
        self.connection = connection
        self.named = named
        self.proven = False
        self.retiring = False
        """Takes no new turns; closes after those that it has."""
        self._lanes: dict[str | None, Lane] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    @property
    def in_flight(self) -> int:
        """Turns that the upstream is at work on, and leases that have not written theirs yet."""
        return sum(lane.in_flight or lane.leased for lane in self._lanes.values())

    @property
    def sole_awaited(self) -> Lane | None:
        """The lane whose create awaits its first event, where no other turn is about."""
        awaited = [lane for lane in self._lanes.values() if lane.state is State.AWAITED]
        return awaited[0] if len(awaited) == self.in_flight == 1 else None

    @property
    def room(self) -> bool:
        """Whether one more turn may start."""
        if self.retiring:
            return False
        return self.in_flight < (MOST_IN_FLIGHT if self.proven else 1)

    @property
    def can_fork(self) -> bool:
        """Whether a head that is being continued may be continued once more, on a lane of its own."""
        return self.proven and self.room and self.spare() is not None

    def spare(self) -> Lane | None:
        """A lane that remembers no conversation, made where the budget allows; None where there is none."""
        if not self.room:
            return None
        for lane in self._lanes.values():
            if lane.idle and lane.latest is None:
                return lane
        if len(self._lanes) >= (MOST_NAMED if self.named else 1):
            return None
        return Lane(self, f"l{len(self._lanes) + 1}" if self.named else None)

    def oldest(self) -> Lane | None:
        """An idle lane whose conversation may be given up, the one used longest ago; None where there is none."""
        if not self.room:
            return None
        return next((lane for lane in self._lanes.values() if lane.idle), None)

    def lease(self, lane: Lane, continuing: Head | None = None) -> None:
        """A turn has `lane` now, and goes on from `continuing` there."""
        lane.leased, lane.parent = True, continuing
        self._lanes.pop(lane.name, None)
        self._lanes[lane.name] = lane

    def of(self, event: Event) -> Lane:
        """The lane that an event belongs to. Raises OutOfPlace where that cannot be told."""
        name = lane_name(event.frame) if self.named or b'"stream_id"' in event.frame else None
        lane = self._lanes.get(name)
        if lane is not None:
            self.proven |= name is not None
            return lane
        error = event.kind is Kind.ERROR
        # On a lane that was given up the upstream may still be at work, for ever as far as can be known.
        at_work = [lane for lane in self._lanes.values() if lane.in_flight or lane.state is State.QUARANTINED]
        if name is not None or len(at_work) != 1 or (self.proven and not error):
            raise OutOfPlace(f"{event.label} of no known turn")
        if not self.proven and not error:
            self._unname(at_work[0])
        return at_work[0]

    def asked_by(self, event: Event) -> Lane | None:
        """The lane whose create this error answers, where that can be told."""
        try:
            lane = self.of(event)
        except OutOfPlace:
            return None
        return lane if lane.state is State.AWAITED else None

    def _unname(self, lane: Lane) -> None:
        """The host did not echo the name: it has no lanes, and took the create on its only one."""
        self.named = False
        lane.name = None
        self._lanes = {None: lane}


def _verdict(event: Event) -> Verdict:
    if event.kind is Kind.ERROR:
        return Verdict.REFUSED if refusal(event.frame).not_found else Verdict.UNCLEAR
    # A failure may have any cause; whatever else ends a response means that the id was taken for a known one.
    return Verdict.UNCLEAR if event.type == "response.failed" else Verdict.ACCEPTED
