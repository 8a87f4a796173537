"""A tap: a copy of an answer over plain HTTP, read while it passes as the events that a socket would have brought."""

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from multidict import CIMultiDictProxy

from proxy.core.coding import Decoder, NotDecodable, TooLarge
from proxy.core.events import Event, Kind, sniff
from proxy.core.sse import Cutter

MIB = 1_048_576
# Decoded; the longest answers have a tenth of it.
MOST = 64 * MIB
# Of one piece, which has 128 kB at most: no text packs so well, and what a bomb holds would keep all callers waiting.
MOST_AT_ONCE = 4 * MIB
# What some hosts end their streams with.
_DONE = b"[DONE]"


class Unread(Exception):
    """The copy cannot be read, or not on. It says why in words that hold nothing of it."""


class _Response(msgspec.Struct):
    status: Literal["completed", "failed", "incomplete"]
    output: list[msgspec.Raw] | None = None


class Tap:
    """One answer with the status 200: a stream of events, or one JSON object."""

    def __init__(self, headers: CIMultiDictProxy[str]) -> None:
        """Raise Unread where it is neither, or is coded in a way that is not known."""
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in ("text/event-stream", "application/json"):
            raise Unread("its content type is neither that of events nor JSON")
        self._cutter = Cutter() if kind == "text/event-stream" else None
        self._decoder = _decoder(headers)
        self._left = MOST
        length = headers.get("Content-Length", "")
        self._coming = float(length) if length.isascii() and length.isdigit() else math.inf
        self._text: list[bytes] = []

    def see(self, piece: bytes) -> Iterable[Event]:
        """What the next piece of the body ends. It, and what it gives, raises Unread and NotAnEvent."""
        text = self._decoded(piece)
        if self._cutter:
            return (sniff(data) for data in self._cutter.feed(text) if data != _DONE)
        self._text.append(text)
        self._coming -= len(piece)
        return self.whole() if self._coming <= 0 else []

    def whole(self) -> Iterable[Event]:
        """The same of its end: of JSON that has a length, that is the last piece."""
        return [] if self._cutter else _events(b"".join(self._text))

    def _decoded(self, piece: bytes) -> bytes:
        try:
            text = self._decoder.decode(piece, MOST_AT_ONCE) if self._decoder else piece
        except NotDecodable as error:
            raise Unread("its content encoding could not be undone") from error
        except TooLarge as error:
            raise Unread(f"it unpacks to more than {MOST_AT_ONCE // MIB} MiB at once") from error
        self._left -= len(text)
        if self._left < 0:
            raise Unread(f"it is larger than {MOST // MIB} MiB")
        return text


def _decoder(headers: CIMultiDictProxy[str]) -> Decoder | None:
    names = [name.strip().lower() for name in ",".join(headers.getall("Content-Encoding", ())).split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return None
    try:
        (coding,) = codings
        return Decoder(coding)
    except (ValueError, NotDecodable) as error:
        raise Unread("its content encoding is not known") from error


def _events(text: bytes) -> Iterator[Event]:
    """A final response as the events that would have led to it."""
    try:
        response = msgspec.json.decode(text, type=_Response)
    except (ValueError, RecursionError) as error:
        raise Unread("its JSON is no response that has ended") from error
    for index, item in enumerate(response.output or ()):
        frame = b'{"output_index":%d,"item":%b}' % (index, bytes(item))
        yield Event("response.output_item.added", Kind.ITEM_ADDED, frame)
        yield Event("response.output_item.done", Kind.ITEM_DONE, frame)
    yield sniff(b'{"type":"response.%b","response":%b}' % (response.status.encode(), text))
