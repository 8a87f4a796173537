"""A breaker: stops the dials of one pool key for a while after lines in a row came to nothing."""

from collections.abc import Callable
from enum import StrEnum

import cachetools

from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.status import BreakerStatus

_MOST = 1_024


class State(StrEnum):
    """What a breaker does with dials."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts failures in a row. A first event on any line of the key ends the row.

    CLOSED ─failures─▶ OPEN ─seconds pass─▶ HALF_OPEN (one dial at a time) ─event─▶ CLOSED
       └──a mute line──▶ ▲────────failure────────┘
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float]) -> None:
        self.failures = 0
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._tripped = False
        self._pause = seconds
        self._failed_at = float("-inf")
        self._open_until = 0.0
        self._trial_until = 0.0

    @property
    def state(self) -> State:
        """What it does now."""
        if not self._tripped:
            return State.CLOSED
        return State.OPEN if self.seconds_left else State.HALF_OPEN

    @property
    def seconds_left(self) -> float:
        """Until an open one lets a dial through; 0.0 where it is not open."""
        if not self._tripped:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def check(self) -> None:
        """Let a dial through, or raise TurnFault."""
        state, now = self.state, self._clock()
        if state is State.OPEN or (state is State.HALF_OPEN and now < self._trial_until):
            raise TurnFault(Fault.BREAKER_OPEN, f"{self.failures} lines in a row came to nothing")
        if state is State.HALF_OPEN:
            # A line may be up and bring nothing, neither event nor end: then another may try.
            self._trial_until = now + self._pause

    def failed(self, began: float) -> bool:
        """A line that was begun at `began` came to nothing; lines that fall together are one failure.

        Returns whether that opened the breaker, which it did not if it was open or half-open before.
        """
        if began < self._failed_at:
            return False
        return self._fail(self._seconds, trips=self.failures + 1 >= self._most)

    def mute(self, began: float) -> bool:
        """A line took a create at `began`, and said nothing for as long as a turn waits.

        It is enough to open the breaker, for as long as it took: each more would cost a caller as much. Returns as
        `failed` does.
        """
        return self._fail(max(self._seconds, self._clock() - began) if self._seconds else 0.0, trips=True)

    def _fail(self, pause: float, *, trips: bool) -> bool:
        opened = trips and not self._tripped
        self._tripped |= trips
        self.failures += 1
        self._pause = pause
        self._failed_at = self._clock()
        self._open_until = self._failed_at + pause
        self._trial_until = 0.0
        return opened

    def untried(self) -> None:
        """A dial that was let through ended without a word on the host: the next may try."""
        self._trial_until = 0.0


class Breakers:
    """One for each pool key that had a failure; of too many, those used longest ago are forgotten."""

    def __init__(
        self, failures: int, seconds: float, *, name: str, clock: Callable[[], float], notice: Callable[[str], None]
    ) -> None:
        self._failures = failures
        self._seconds = seconds
        self._name = name
        self._clock = clock
        self._notice = notice
        self._all: cachetools.LRUCache[bytes, Breaker] = cachetools.LRUCache(_MOST)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: bytes) -> bool:
        return key in self._all

    def __getitem__(self, key: bytes) -> Breaker:
        found: Breaker = self._all[key]
        return found

    def check(self, key: bytes) -> None:
        """Let a dial of this key through, or raise TurnFault."""
        if key in self._all:
            self[key].check()

    def failed(self, key: bytes, began: float) -> None:
        """A line of this key came to nothing."""
        breaker: Breaker = self._all.setdefault(key, Breaker(self._failures, self._seconds, self._clock))
        if breaker.failed(began):
            self._notice(
                f"WebSockets to {self._name} came to nothing {breaker.failures} times in a row:"
                f" a caller's turns go over plain HTTP, tried again in {self._seconds:g} s"
            )

    def mute(self, key: bytes, began: float) -> None:
        """A line of this key took a create, and said nothing for as long as a turn waits."""
        breaker: Breaker = self._all.setdefault(key, Breaker(self._failures, self._seconds, self._clock))
        if breaker.mute(began):
            self._notice(
                f"a WebSocket to {self._name} took a turn and brought nothing of an answer:"
                f" a caller's turns go over plain HTTP, tried again in {breaker.seconds_left:.3g} s"
            )

    def untried(self, key: bytes) -> None:
        """A dial of this key said nothing of the host."""
        if key in self._all:
            self[key].untried()

    def worked(self, key: bytes) -> None:
        """An event came: the way to the host is good."""
        breaker = self._all.pop(key, None)
        if breaker and breaker.state is not State.CLOSED:
            self._notice(f"WebSockets to {self._name} work again")

    def status(self) -> BreakerStatus:
        """How many are open and half-open."""
        states = [breaker.state for breaker in self._all.values()]
        left = [breaker.seconds_left for breaker in self._all.values() if breaker.state is State.OPEN]
        return BreakerStatus(states.count(State.OPEN), states.count(State.HALF_OPEN), round(min(left, default=0.0), 3))
