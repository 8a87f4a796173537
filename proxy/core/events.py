"""Upstream events: told apart by their first bytes, parsed only where they name the chain, framed for callers."""

import functools
import json
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from proxy.core.spans import NotJson, object_fields, splice

_HEAD = b'{"type":"'
# Looked for as numbers: that is ten times as fast as looking for a byte string of one.
_LINE_FEED, _RETURN = b"\n\r"


class NotAnEvent(ValueError):
    """A frame that is no JSON object with a type, and no error that lacks one."""


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
    """One frame and what it is; with `more` behind it, a run of such (see `core/runs.py`)."""

    type: str
    kind: Kind
    frame: bytes
    more: Sequence[bytes] = ()
    """Frames of the same type and lane that came right behind it, where the type is one that only passes."""

    @property
    def events(self) -> int:
        """How many events it stands for."""
        return 1 + len(self.more)

    @property
    def size(self) -> int:
        """The bytes of all its frames."""
        return len(self.frame) + sum(map(len, self.more))

    @property
    def label(self) -> str:
        """What it may be called in a log: its type where that is a known one; any other is text of the upstream."""
        return self.type if self.type in _KINDS else "an event"

    def __repr__(self) -> str:
        return f"Event({self.label}, {self.size} bytes)"


class _Labels(msgspec.Struct):
    type: object = None
    stream_id: object = None


_labels = msgspec.json.Decoder(_Labels)


def sniff(frame: bytes) -> Event:
    """Tell what `frame` is without parsing it where its type comes first, as the API writes it. Raises NotAnEvent.

    Errors may lack their type (protocol.md, "Known hosts": xAI).
    """
    name = told(frame) or _type(frame)
    return Event(name, _KINDS.get(name, Kind.PASS), frame)


def told(frame: bytes) -> str:
    """The type where it comes first; empty where it can only be told by parsing."""
    if not frame.startswith(_HEAD):
        return ""
    end = frame.find(b'"', len(_HEAD), 100)
    raw = frame[len(_HEAD) : end]
    return raw.decode() if end > 0 and b"\\" not in raw and raw.isascii() else ""


def sse(event: Event) -> bytes:
    """The event as the API frames it over HTTP: one join for a whole run, as most of an answer is runs.

    Line ends between tokens of the JSON would end the field: blanks.
    """
    head = _fields(event.type)
    frame = event.frame
    if event.more:
        frames = (frame, *event.more)
        if any(_LINE_FEED in each or _RETURN in each for each in frames):
            frames = tuple(map(_on_one_line, frames))
        return head + (b"\n\n" + head).join(frames) + b"\n\n"
    if _LINE_FEED in frame or _RETURN in frame:
        frame = _on_one_line(frame)
    return head + frame + b"\n\n"


@functools.lru_cache(256)
def _fields(kind: str) -> bytes:
    """What stands before a frame of this type."""
    name = kind.encode(errors="replace")
    return b"data: " if _LINE_FEED in name or _RETURN in name else b"event: " + name + b"\ndata: "


def _on_one_line(frame: bytes) -> bytes:
    return frame.replace(b"\r", b" ").replace(b"\n", b" ")


def restored(event: Event) -> Event:
    """The event without the parent that the caller did not name.

    Raises:
        NotAnEvent: it is not the JSON that its type promises.
    """
    if event.kind not in NAMES_RESPONSE:
        return event
    frame = event.frame
    try:
        fields = object_fields(frame)
        field = fields.get("response")
        parent = object_fields(frame[field.start : field.end]).get("previous_response_id") if field else None
    except NotJson:
        return event._replace(frame=_without_parent(frame))
    if field is None or parent is None:
        return event
    return event._replace(frame=splice(frame, [(field.start + parent.start, field.start + parent.end, b"null")]))


def _without_parent(frame: bytes) -> bytes:
    """The same where bytes cannot be told apart (a key twice, half of a surrogate pair): written anew."""
    read = loosely(frame)
    response = read.get("response")
    if isinstance(response, dict) and "previous_response_id" in response:
        response["previous_response_id"] = None
    return compact(read)


def _type(frame: bytes) -> str:
    found = _member(frame, "type")
    if isinstance(found, str):
        return found
    if found is None and any(loosely(frame).get(name) for name in ("error", "message")):
        return "error"
    raise NotAnEvent("a frame without a type")


def _member(frame: bytes, name: str) -> object:
    try:
        labels = _labels.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return loosely(frame).get(name)
    return labels.type if name == "type" else labels.stream_id


def loosely(frame: bytes) -> dict[str, object]:
    """Read what the strict parser does not: some gateways cut a text within a surrogate pair. Raises NotAnEvent."""
    try:
        read = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise NotAnEvent("a frame that is no JSON") from error
    if not isinstance(read, dict):
        raise NotAnEvent("a frame that is no JSON object")
    return read


def compact(read: dict[str, object]) -> bytes:
    """What was read loosely, written as JSON."""
    return json.dumps(read, separators=(",", ":")).encode()


def lane_name(frame: bytes) -> str | None:
    """The lane that an event names, None where it names none. Raises NotAnEvent."""
    name = _member(frame, "stream_id")
    if name is not None and not isinstance(name, str):
        raise NotAnEvent("a frame with an odd stream_id")
    return name


def unnamed(event: Event, name: str) -> Event:
    """The event without its lane's name, which the caller knows nothing of. Raises NotAnEvent."""
    if event.more:
        more = [_unnamed(frame, event.type, name) for frame in event.more]
        return event._replace(frame=_unnamed(event.frame, event.type, name), more=more)
    return event._replace(frame=_unnamed(event.frame, event.type, name))


def _unnamed(frame: bytes, kind: str, name: str) -> bytes:
    last = named_last(name)
    if frame.endswith(last):
        return frame[: -len(last)] + b"}"
    first = named_first(kind, name)
    if frame.startswith(first):
        return b'{"type":"%b",%b' % (kind.encode(), frame[len(first) :])
    try:
        fields = object_fields(frame)
    except NotJson:
        read = loosely(frame)
        read.pop("stream_id", None)
        return compact(read)
    kept_fields = [frame[key:end] for name, (key, _, end) in fields.items() if name != "stream_id"]
    return b"{" + b",".join(kept_fields) + b"}"


def named_last(name: str) -> bytes:
    """How a frame ends whose lane's name comes last. Of valid JSON nothing else ends so: it is no inner object's."""
    return b',"stream_id":"%b"}' % name.encode()


def named_first(kind: str, name: str) -> bytes:
    """How a frame of this type begins whose lane's name comes right behind it."""
    return b'{"type":"%b","stream_id":"%b",' % (kind.encode(), name.encode())
