"""Runs: events of one type and lane that follow each other and only pass, told by their first as one event.

Most of an answer are pieces of text, hundreds in one read: what is known of one is known of all that are alike.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from proxy.core.events import Event, Kind, lane_name, named_first, named_last, sniff, told

_NAME = b'"stream_id"'


def runs(frames: Sequence[bytes], *, named: bool) -> Iterator[Event]:
    """What the frames are, in their order. `named`: the lanes of their connection have names.

    Raises:
        NotAnEvent: a frame is none; those before it were given.
    """
    at = 0
    while at < len(frames):
        event = sniff(frames[at])
        at += 1
        if event.kind is Kind.PASS and at < len(frames):
            known = alike(event, named=named)
            if known:
                more = _leading(frames, at, *known)
                if not named and names_lane(more):
                    more = ()  # each for itself: whoever gets it says what is wrong with it
                at += len(more)
                event = event._replace(more=more) if more else event
        yield event


def _leading(frames: Sequence[bytes], at: int, head: bytes, tail: bytes) -> Sequence[bytes]:
    """The frames from `at` on that begin and end so, up to the first that does not."""
    end = at
    for frame in islice(frames, at, None):
        if not frame.startswith(head) or (tail and not frame.endswith(tail)):
            break
        end += 1
    return frames[at:end]


def alike(event: Event, *, named: bool) -> tuple[bytes, bytes] | None:
    """How a frame begins and ends that is of this event's type and lane; None where that cannot be told so."""
    if not told(event.frame):
        return None
    head = b'{"type":"%b",' % event.type.encode()
    if not named:
        return head, b""
    name = lane_name(event.frame)
    if name is None:
        return None
    last, first = named_last(name), named_first(event.type, name)
    if event.frame.endswith(last):
        return head, last
    return (first, b"") if event.frame.startswith(first) else None


def names_lane(frames: Sequence[bytes]) -> bool:
    """Whether any may name a lane: where none has a name, that is nobody's. Told at once for all of them."""
    return _NAME in (frames[0] if len(frames) == 1 else b"".join(frames))
