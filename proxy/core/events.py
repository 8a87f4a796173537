"""Upstream events: told apart by their first bytes, parsed only where they name the chain, framed for callers."""

from enum import Enum, auto
from typing import NamedTuple

import msgspec

from proxy.core.spans import NotJson, object_fields, splice

_HEAD = b'{"type":"'


class NotAnEvent(ValueError):
    """A frame that is no JSON object with a type."""


class Kind(Enum):
    """What an event means to a turn."""

    PASS = auto()
    NAMES_CHAIN = auto()
    ITEM_ADDED = auto()
    ITEM_DONE = auto()
    COMPLETED = auto()
    ENDED_SHORT = auto()
    ERROR = auto()


_KINDS = {
    "response.created": Kind.NAMES_CHAIN,
    "response.in_progress": Kind.NAMES_CHAIN,
    "response.queued": Kind.NAMES_CHAIN,
    "response.output_item.added": Kind.ITEM_ADDED,
    "response.output_item.done": Kind.ITEM_DONE,
    "response.completed": Kind.COMPLETED,
    "response.failed": Kind.ENDED_SHORT,
    "response.incomplete": Kind.ENDED_SHORT,
    "error": Kind.ERROR,
}
TERMINAL = frozenset({Kind.COMPLETED, Kind.ENDED_SHORT})
NAMES_RESPONSE = TERMINAL | {Kind.NAMES_CHAIN}


class Event(NamedTuple):
    """One frame and what it is."""

    type: str
    kind: Kind
    frame: bytes


class _Typed(msgspec.Struct):
    type: str


class _Named(msgspec.Struct):
    stream_id: str | None = None


_typed = msgspec.json.Decoder(_Typed)
_named = msgspec.json.Decoder(_Named)


def sniff(frame: bytes) -> Event:
    """Tell what `frame` is without parsing it where its type comes first, as the API writes it. Raises NotAnEvent."""
    name = ""
    if frame.startswith(_HEAD):
        end = frame.find(b'"', len(_HEAD), 100)
        raw = frame[len(_HEAD) : end]
        if end > 0 and b"\\" not in raw and raw.isascii():
            name = raw.decode()
    if not name:
        try:
            name = _typed.decode(frame).type
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NotAnEvent("a frame without a type") from error
    return Event(name, _KINDS.get(name, Kind.PASS), frame)


def sse(event: Event) -> bytes:
    """The event as the API frames it over HTTP. Line ends between tokens of the JSON would end the field: blanks."""
    frame = event.frame
    if b"\n" in frame or b"\r" in frame:
        frame = frame.replace(b"\r", b" ").replace(b"\n", b" ")
    name = event.type.encode()
    if b"\n" in name or b"\r" in name:
        return b"data: " + frame + b"\n\n"
    return b"event: " + name + b"\ndata: " + frame + b"\n\n"


def restored(event: Event) -> Event:
    """The event without what only the socket has: the lane's name, and the parent that the caller did not name.

    Raises:
        NotAnEvent: it is not the JSON that its type promises.
    """
    frame = event.frame
    if event.kind not in NAMES_RESPONSE:
        return event
    try:
        fields = object_fields(frame)
        field = fields.get("response")
        if field is None:
            return event
        inner = object_fields(frame[field.start : field.end])
    except NotJson as error:
        raise NotAnEvent(str(error)) from error
    parent = inner.get("previous_response_id")
    if parent is None:
        return event
    edit = (field.start + parent.start, field.start + parent.end, b"null")
    return event._replace(frame=splice(frame, [edit]))


def lane_name(frame: bytes) -> str | None:
    """The lane that an event names, None where it names none. Raises NotAnEvent."""
    try:
        return _named.decode(frame).stream_id
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotAnEvent("a frame with an odd stream_id") from error


def unnamed(event: Event, name: str) -> Event:
    """The event without its lane's name, which the caller knows nothing of. Raises NotAnEvent."""
    frame = event.frame
    field = b'"stream_id":"%b"' % name.encode()
    last = b"," + field + b"}"
    if frame.endswith(last):
        return event._replace(frame=frame[: -len(last)] + b"}")
    after_type = b'{"type":"%b",%b,' % (event.type.encode(), field)
    if frame.startswith(after_type):
        kept = len(after_type) - len(field) - 1
        return event._replace(frame=frame[:kept] + frame[len(after_type) :])
    try:
        fields = object_fields(frame)
    except NotJson as error:
        raise NotAnEvent(str(error)) from error
    kept_fields = [frame[key:end] for name, (key, _, end) in fields.items() if name != "stream_id"]
    return event._replace(frame=b"{" + b",".join(kept_fields) + b"}")
