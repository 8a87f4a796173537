"""A lease: the right to use one lane for one turn, and the events that arrive for it."""

import asyncio
import math
from collections.abc import Container
from typing import Protocol

from proxy.core.events import Event
from proxy.core.heads import Head
from proxy.core.lane import Lane, State, Whose
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.arrival import Arrival
from proxy.upstream.patience import Patience

# Bytes that may wait for a turn on a line that others share: beyond, the turn is lost.
_OVERFLOW = 16 * 1_048_576


class Line(Protocol):
    """What a lease asks of its connection."""

    @property
    def asked(self) -> Container[bytes]:
        """The models of which it was asked what they do with a made-up id."""

    async def write(self, lease: "Lease", frame: bytes, probe: bytes | None, pong_seconds: float) -> None:
        """Write a create (and a probe ahead of it); a doubtful line has that long to prove itself. Raises TurnFault."""

    def taken(self) -> None:
        """A turn took what had arrived: there is room again."""

    def retire(self, reason: Whole) -> None:
        """Take no new turns."""

    def give_up_probe(self, lease: "Lease") -> None:
        """The host does not answer the probe: the lane is of no use."""


class Listener(Protocol):
    """Who takes a turn's events as they come, in the same breath as the read that brought them."""

    def events(self, events: list[Event]) -> None:
        """All that have come since the last call."""

    def pieces(self, kind: str, frames: list[bytes]) -> None:
        """The same for events of one type that only pass, one at least."""

    def ended(self, fault: TurnFault) -> None:
        """Nothing more will come."""


class Lease:
    """Held by a turn from its choice to its end. Nothing of another turn ever reaches it."""

    def __init__(self, line: Line, lane: Lane) -> None:
        self.lane = lane
        self.model = b""
        """For which model its create is, and a made-up id ahead of it."""
        self.waiting = 0
        """Bytes that have arrived and were not taken."""
        self.fault: TurnFault | None = None
        self.arrival: Arrival | None = None
        """The watch over its create, on a line that others share."""
        self.dead: Head | None = None
        """The head that died when the lane moved on."""
        self.continuing: Head | None = None
        self.probe: asyncio.Event | None = None
        self.given_up = False
        """Whether the line was given up here, and not ended by the host, while the made-up id had no answer."""
        self._line = line
        self._inbox: list[Event] = []
        self.listener: Listener | None = None
        """Who takes what comes at once; without one it waits for `batch`."""
        self._arrived = asyncio.Event()

    @property
    def named(self) -> str | None:
        """The lane's name, for the create."""
        return self.lane.name

    @property
    def asked(self) -> bool:
        """Whether a made-up id was sent for its model on this connection."""
        return self.model in self._line.asked

    @property
    def proven(self) -> bool:
        """Whether it is known that the connection has lanes, or that it has none."""
        return self.lane.lanes.proven or self.named is None

    async def send(
        self, frame: bytes, probe: bytes | None, continuing: Head | None, pong_seconds: float = math.inf
    ) -> None:
        """Write the create, which continues `continuing`. Raises TurnFault.

        A line that may be gone unseen is lost after `pong_seconds`, or the setting if that is less, without a sound.
        """
        self.continuing = continuing
        if probe:
            self.probe = asyncio.Event()
        await self._line.write(self, frame, probe, pong_seconds)

    def begin(self) -> None:
        """The create is about to be written: the lane moves on."""
        creates = (Whose.PROBE, Whose.TURN) if self.probe and not self.probe.is_set() else (Whose.TURN,)
        self.dead = self.lane.create(*creates, continuing=self.continuing) or self.dead

    def spoil(self, reason: Whole) -> None:
        """The connection is to take no new turns."""
        self._line.retire(reason)

    async def probed(self, most: float, patience: Patience) -> None:
        """Wait until the host has answered the made-up id, if it was asked. Raises TurnFault where it does not."""
        if self.probe is None:
            return
        try:
            async with patience.waiting(most):
                await self.probe.wait()
        except TimeoutError:
            self.given_up = True
            self._line.give_up_probe(self)
        if self.fault and self.lane.verdict is None:
            self.given_up |= self.fault.waited > 0.0
            raise TurnFault(Fault.LINE_LOST, self.fault.detail)

    async def batch(self, seconds: float) -> list[Event]:
        """The events that have arrived, at least one. Raises TurnFault: the line's end, TimeoutError: silence."""
        if not self._inbox:
            self._arrived.clear()
            if self.fault:
                raise _anew(self.fault)
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
            if not self._inbox and self.fault:
                raise _anew(self.fault)
        events = self._take_all()
        self._line.taken()
        return events

    def listen(self, listener: Listener | None) -> None:
        """From now on `listener` gets what comes, and what waits already; with None it waits for `batch` again."""
        self.listener = listener
        if listener:
            self.hand_over()
            self._line.taken()
            if self.fault:
                listener.ended(_anew(self.fault))

    def hand_over(self) -> None:
        """Give the listener what waits, if there is one."""
        if self.listener and self._inbox:
            self.listener.events(self._take_all())

    def commit(self, head: Head) -> bool:
        """The turn that ended here can be continued from `head`: False where the line is gone meanwhile."""
        if self.lane.state is not State.IDLE:
            return False
        self.lane.commit(head)
        return True

    def deliver(self, event: Event) -> None:
        """An event of this turn arrived. After the end nothing counts any more."""
        if self.fault:
            return
        if self.arrival:
            self.arrival.over()  # what is answered has arrived
        self._inbox.append(event)
        self.waiting += event.size
        if self.listener is None:
            self._arrived.set()

    def shed(self) -> None:
        """A caller that takes far less than its turn brings must not hold up those that share the line."""
        if self.waiting > _OVERFLOW:
            self.end(TurnFault(Fault.LINE_LOST, "the caller was too slow for a shared connection"))

    def end(self, fault: TurnFault) -> None:
        """Nothing more will come."""
        self.hand_over()
        self.fault = self.fault or fault
        self._arrived.set()
        if self.listener:
            self.listener.ended(_anew(self.fault))
        if self.probe:
            self.probe.set()

    def _take_all(self) -> list[Event]:
        events, self._inbox, self.waiting = self._inbox, [], 0
        return events


def _anew(fault: TurnFault) -> TurnFault:
    """The same fault, to be raised: one that is kept would hold on to the turn, and its text, by its traceback."""
    return TurnFault(fault.fault, fault.detail, fault.answer, waited=fault.waited)
