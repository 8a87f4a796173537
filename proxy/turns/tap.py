"""A tap: a copy of an answer over plain HTTP, read while it passes as the events that a socket would have brought."""

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from multidict import CIMultiDictProxy

from proxy.core.coding import Decoder, NotDecodable, TooLarge
from proxy.core.events import NAMES_RESPONSE, Event, Kind, sniff, told
from proxy.core.sse import Cutter, lines

# All callers wait while a piece of any answer is read: what is done at once takes some 20 ms at most. Real answers have
# a tenth of all this; what is larger, unpacks to more or is more finely divided is there to keep us busy.
MIB = 1_048_576
MOST = 16 * MIB
MOST_AT_ONCE = MIB
MOST_TIMES = 100
MOST_EVENTS = 50_000
# A piece has 128 kB unless it is packed, and an event three lines.
MOST_LINES = 6_000
# A JSON answer, one event, and all items together with the final output.
MOST_JSON = 4 * MIB
MOST_VALUES = 20_000
# Each item is looked at as often as it comes, however little it holds.
_AN_EVENT = 5
# What some hosts end their streams with.
_DONE = b"[DONE]"
_NONE = msgspec.Raw(b"null")
# What decoding raises: MsgspecError and UnicodeDecodeError are ValueErrors.
_ODD = (ValueError, RecursionError)
_TOO_MUCH = "its output is too large to be compared"


class Unread(Exception):
    """The copy cannot be read, or not on. It says why in words that hold nothing of it."""


class _Response(msgspec.Struct):
    status: Literal["completed", "failed", "incomplete"]
    output: msgspec.Raw = _NONE


class _Output(msgspec.Struct):
    output: msgspec.Raw = _NONE


class _Named(msgspec.Struct):
    response: _Output


class Tap:
    """One answer with the status 200: a stream of events, or one JSON object."""

    def __init__(self, headers: CIMultiDictProxy[str]) -> None:
        """Raise Unread where it is neither, or is coded in a way that is not known."""
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in ("text/event-stream", "application/json"):
            raise Unread("its content type is neither that of events nor JSON")
        self._cutter = Cutter() if kind == "text/event-stream" else None
        self._decoder = _decoder(headers)
        self._most = MOST if self._cutter else MOST_JSON
        self._came = 0
        self._read = 0
        self._lines = 0
        self._events = 0
        self._kept = 0
        self._values = 0
        length = headers.get("Content-Length", "")
        self._coming = float(length) if length.isascii() and length.isdigit() else math.inf
        self._text: list[bytes] = []

    def see(self, piece: bytes) -> Iterable[Event]:
        """What the next piece of the body ends. It, and what it gives, raises Unread and NotAnEvent."""
        text = self._decoded(piece)
        if self._cutter:
            self._count(text)
            return self._sniffed(self._cutter.feed(text))
        self._text.append(text)
        return self.whole() if self._came >= self._coming else []

    def whole(self) -> Iterable[Event]:
        """The same of its end: of JSON that has a length, that is the last piece."""
        return [] if self._cutter else self._led_to(b"".join(self._text))

    def _decoded(self, piece: bytes) -> bytes:
        try:
            text = self._decoder.decode(piece, MOST_AT_ONCE) if self._decoder else piece
        except NotDecodable as error:
            raise Unread("its content encoding could not be undone") from error
        except TooLarge as error:
            raise Unread(f"it unpacks to more than {MOST_AT_ONCE // MIB} MiB at once") from error
        self._came += len(piece)
        self._read += len(text)
        if self._read > self._most:
            raise Unread(f"it is larger than {self._most // MIB} MiB")
        if self._read > MOST_AT_ONCE + MOST_TIMES * self._came:
            raise Unread(f"it unpacks to more than {MOST_TIMES} times its size")
        return text

    def _count(self, text: bytes) -> None:
        """Before the text is cut: its many lines would be many objects."""
        count = lines(text)
        self._lines += count
        if count > MOST_LINES or self._lines > 4 * MOST_EVENTS:
            raise Unread("it has more lines than any answer")

    def _sniffed(self, found: Iterable[bytes]) -> Iterator[Event]:
        parsed = 0
        for data in found:
            if data == _DONE:
                continue
            self._events += 1
            if self._events > MOST_EVENTS:
                raise Unread(f"it has more than {MOST_EVENTS:,} events")
            parsed += 0 if told(data) else _AN_EVENT + _bulk(data)
            if parsed > MOST_VALUES or len(data) > MOST_JSON:
                raise Unread("an event of it is too large to be read")
            event = sniff(data)
            if event.kind in (Kind.ITEM_ADDED, Kind.ITEM_DONE):
                self._keep(data)
            elif event.kind in NAMES_RESPONSE:
                self._keep(_output(data))
            yield event

    def _led_to(self, text: bytes) -> Iterator[Event]:
        """A final response as the events that would have led to it."""
        try:
            response = msgspec.json.decode(text, type=_Response)
            if _bulk(response.output) > MOST_VALUES:
                raise Unread(_TOO_MUCH)
            items = msgspec.json.decode(response.output, type=list[msgspec.Raw] | None) or []
        except _ODD as error:
            raise Unread("its JSON is no response that has ended") from error
        for index, item in enumerate(items):
            frame = b'{"output_index":%d,"item":%b}' % (index, bytes(item))
            self._keep(frame)
            yield Event("response.output_item.added", Kind.ITEM_ADDED, frame)
            self._keep(frame)
            yield Event("response.output_item.done", Kind.ITEM_DONE, frame)
        yield sniff(b'{"type":"response.%b","response":%b}' % (response.status.encode(), text))

    def _keep(self, said: bytes | msgspec.Raw) -> None:
        """What is said of the answer's items is looked at when it ends, all at once."""
        self._kept += len(memoryview(said))
        self._values += _AN_EVENT + _bulk(said)
        if self._kept > MOST_JSON or self._values > MOST_VALUES:
            raise Unread(_TOO_MUCH)


def _bulk(text: bytes | msgspec.Raw) -> int:
    """As many values as a JSON has, or more: what is in its texts counts, as the arguments of a call are JSON again."""
    raw = bytes(text)
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _output(frame: bytes) -> msgspec.Raw:
    """The output in an event that names its response."""
    try:
        return msgspec.json.decode(frame, type=_Named).response.output
    except _ODD:  # then nothing is made of it later on either
        return _NONE


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
