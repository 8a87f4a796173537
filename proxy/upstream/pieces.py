"""Pieces: the events of text that came last, and whose they are. What follows in kind goes the same way, unread."""

from dataclasses import dataclass

from proxy.core.events import Event, Kind
from proxy.core.lane import Lane, State
from proxy.core.runs import alike, names_lane
from proxy.upstream.lease import Lease


@dataclass(frozen=True, slots=True)
class Pieces:
    """The hot path of a connection: most of what comes takes it.

    A lane that streams to a turn that listens does nothing with an event that only passes but pass it: nobody need be
    asked about one that begins and ends as the last did. Anything else is for the connection to judge.
    """

    type: str
    head: bytes
    tail: bytes
    lane: Lane
    lease: Lease

    def took(self, messages: list[bytes]) -> bool:
        """Pass what one read brought, if all of it is of this kind. Otherwise nothing is done."""
        listener = self.lease.listener
        if listener is None or self.lane.state is not State.STREAMING:
            return False
        head, tail = self.head, self.tail
        for message in messages:
            if not message.startswith(head) or not message.endswith(tail):
                return False
        if not tail and names_lane(messages):
            return False
        if tail:
            end = -len(tail)
            messages = [message[:end] + b"}" for message in messages]
        listener.pieces(self.type, messages)
        return True


def pieces(event: Event, lane: Lane, lease: Lease) -> Pieces | None:
    """Those that may follow this event, as it came on the lane; None where that cannot be told by their bytes."""
    known = alike(event, named=lane.name is not None) if event.kind is Kind.PASS else None
    if known is None or (lane.name is not None and not known[1]):
        return None
    return Pieces(event.type, *known, lane, lease)
