"""A lane: one ordered stream of turns on a connection, as a state machine over the events that arrive."""

from collections import deque
from enum import Enum, auto

from proxy.core.events import TERMINAL, Event, Kind
from proxy.core.heads import Head
from proxy.core.refusal import refusal


class State(Enum):
    """What a lane is doing."""

    IDLE = auto()
    AWAITED = auto()  # a create is written, nothing came yet
    STREAMING = auto()
    CLOSED = auto()


class Signal(Enum):
    """What can happen to a lane."""

    CREATE = auto()
    EVENT = auto()
    END = auto()  # a terminal event, or an error
    CLOSE = auto()


TRANSITIONS: dict[tuple[State, Signal], State] = {
    (State.IDLE, Signal.CREATE): State.AWAITED,
    (State.IDLE, Signal.CLOSE): State.CLOSED,
    (State.AWAITED, Signal.EVENT): State.STREAMING,
    (State.AWAITED, Signal.END): State.IDLE,
    (State.AWAITED, Signal.CLOSE): State.CLOSED,
    (State.STREAMING, Signal.EVENT): State.STREAMING,
    (State.STREAMING, Signal.END): State.IDLE,
    (State.STREAMING, Signal.CLOSE): State.CLOSED,
    (State.CLOSED, Signal.CLOSE): State.CLOSED,
}


class OutOfPlace(Exception):
    """An event or a call that the lane's state does not allow: nothing on this lane can be trusted any more."""


class Whose(Enum):
    """For whom an event is."""

    TURN = auto()
    PROBE = auto()


class Verdict(Enum):
    """What a host did with a made-up response id."""

    REFUSED = auto()
    ACCEPTED = auto()
    UNCLEAR = auto()


class Lane:
    """What a lane is doing, and the head that it can be continued from.

    Creates are answered in order: the events that arrive belong to the first one that has not ended.

        IDLE ─create─▶ AWAITED ─event─▶ STREAMING ─end─▶ IDLE        any ─close─▶ CLOSED
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.latest: Head | None = None
        self.verdict: Verdict | None = None
        self._unanswered: deque[Whose] = deque()

    def holds(self, head: Head) -> bool:
        """Whether `head` can be continued here now."""
        return self.state is State.IDLE and self.latest is head

    def create(self, *creates: Whose) -> Head | None:
        """Creates are about to be written, in this order. Returns the head that dies by it."""
        self._move(Signal.CREATE)
        self._unanswered.extend(creates)
        dead, self.latest = self.latest, None
        return dead

    def take(self, event: Event) -> Whose:
        """An event arrived: whose is it? Raises OutOfPlace where nobody waits for one."""
        if not self._unanswered:
            raise OutOfPlace(f"{event.type} while nothing was asked")
        whose = self._unanswered[0]
        if event.kind not in TERMINAL and event.kind is not Kind.ERROR:
            if whose is Whose.TURN:
                self._move(Signal.EVENT)
            return whose
        self._unanswered.popleft()
        if whose is Whose.PROBE:
            self.verdict = _verdict(event)
        if not self._unanswered:
            self._move(Signal.END)
        return whose

    def close(self) -> Head | None:
        """The connection is gone. Returns the head that dies with it."""
        self._move(Signal.CLOSE)
        self._unanswered.clear()
        dead, self.latest = self.latest, None
        return dead

    def commit(self, head: Head) -> None:
        """The turn that just ended can be continued from `head`. Raises OutOfPlace unless the lane is idle."""
        if self.state is not State.IDLE:
            raise OutOfPlace(f"a head for a lane that is {self.state.name}")
        self.latest = head

    def _move(self, signal: Signal) -> None:
        try:
            self.state = TRANSITIONS[self.state, signal]
        except KeyError:
            raise OutOfPlace(f"{signal.name} while {self.state.name}") from None


def _verdict(event: Event) -> Verdict:
    if event.kind is Kind.ERROR:
        return Verdict.REFUSED if refusal(event.frame).not_found else Verdict.UNCLEAR
    # A failure may have any cause; whatever else ends a response means that the id was taken for a known one.
    return Verdict.UNCLEAR if event.type == "response.failed" else Verdict.ACCEPTED
