"""HTTP sinks: how an answer reaches a caller that asked over HTTP, as a stream or as JSON."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp
from aiohttp import HttpVersion11, web
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from proxy.core.events import Event, sse
from proxy.core.reasons import Route
from proxy.errors import Answer
from proxy.turns.outcome import End, Outcome
from proxy.turns.sink import CallerGone, Onlooker
from proxy.upstream.http import end_to_end

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
# What the library adds to an answer that lacks it: a caller is to see the upstream's headers, not the library's.
_ADDED = ("server", "date", "content-type")
_ADDED_TO_OURS = ("server",)
# Bytes that may wait for a caller: one read's events, mostly, and some more.
_HIGH_WATER = 1_048_576
# What a recipient is to replace by blanks before it passes a header on (RFC 9110, 5.5).
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Reply(web.StreamResponse):
    """An answer. Of the headers in `unsaid` it has those that it was made with; the library adds none."""

    def __init__(self, status: int, reason: str | None, headers: Mapping[str, str], unsaid: Sequence[str]) -> None:
        super().__init__(status=status, reason=reason, headers=headers)
        self._unsaid = [name for name in unsaid if name not in self.headers]

    def opened(self) -> "Stream":
        """Its body, once the head is written. Raises ConnectionError where the caller is gone."""
        writer = self._payload_writer
        if not isinstance(writer, StreamWriter) or writer.transport is None:
            raise ConnectionResetError("the caller's connection is closed")
        writer.send_headers()  # the library keeps them back until something follows
        return Stream(writer.transport, writer.drain, chunked=writer.chunked)

    def drop_unsaid(self) -> None:
        """Take out what the library has added meanwhile."""
        for name in self._unsaid:
            self.headers.pop(name, None)


class Stream:
    """The body of an answer of no known length: what is written goes to the transport at once, by no task."""

    __slots__ = ("_chunked", "_transport", "drain")

    def __init__(self, transport: asyncio.Transport, drain: Callable[[], Awaitable[None]], *, chunked: bool) -> None:
        self._transport = transport
        self._chunked = chunked
        self.drain = drain
        """Wait until the caller has taken most of it."""

    @property
    def waiting(self) -> int:
        """The bytes that the kernel has not taken."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write without waiting. Raises CallerGone."""
        if self._transport.is_closing():
            raise CallerGone("the caller hung up")
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)


async def as_said(_request: web.Request, response: web.StreamResponse) -> None:
    """Runs just before the headers of any answer are written."""
    if isinstance(response, Reply):
        response.drop_unsaid()
    else:
        response.headers.pop("Server", None)


def labels(outcome: Outcome) -> dict[str, str]:
    """The headers that say how a turn went; none where Openline itself answers what was to pass through."""
    if outcome.route is Route.PASSTHROUGH and outcome.end is End.ERROR:
        return {}
    headers = {"x-openline-route": outcome.route.value}
    if outcome.reason:
        headers["x-openline-reason"] = outcome.reason.value
    return headers


class HttpSink:
    """One HTTP request's answer. `wants_json` as the request's `stream` says.

    A caller that takes nothing for `seconds` counts as gone. While `closing()`, an answer says that it is the last one.
    """

    def __init__(self, request: web.Request, seconds: float, closing: Callable[[], bool]) -> None:
        self._request = request
        self._seconds = seconds
        self._closing = closing
        self.wants_json = False
        self._stream: Stream | None = None
        self.response: web.StreamResponse = web.Response(status=499)
        """What the library is to end; the one that it begins with goes to nobody."""

    async def begin(self, outcome: Outcome) -> None:
        """Commit to a stream with status 200."""
        headers = {**_STREAM_HEADERS, "x-request-id": outcome.id, **labels(outcome)}
        reply = Reply(200, None, headers, _ADDED_TO_OURS)
        await self._start(reply)
        try:
            self._stream = reply.opened()
        except ConnectionError as error:
            raise CallerGone("the caller hung up") from error

    @property
    def full(self) -> bool:
        """Whether a MiB waits for the caller."""
        return self._stream is not None and self._stream.waiting > _HIGH_WATER

    def write(self, events: Sequence[Event]) -> None:
        """All events in one write."""
        if self._stream:
            self._stream.write(sse(events[0]) if len(events) == 1 else b"".join(map(sse, events)))

    async def drain(self) -> None:
        """Wait until the caller has taken most of it."""
        if self._stream:
            await self._within(self._stream.drain())

    def keep_alive(self) -> None:
        """An SSE comment: parsers skip it."""
        if self._stream:
            self._stream.write(b": keep-alive\n\n")

    async def end(self) -> None:
        """The last chunk."""
        await self._within(self.response.write_eof())

    async def answer(self, answer: Answer, outcome: Outcome, *, close: bool = False) -> None:
        """A complete answer. The request id is the upstream's where it gave one."""
        headers = {"x-request-id": outcome.id, **answer.headers, **labels(outcome)}
        reply = Reply(answer.status, None, {**headers, "content-length": str(len(answer.body))}, _ADDED_TO_OURS)
        if close:
            reply.force_close()
        await self._start(reply)
        await self._write(answer.body)
        await self.end()

    async def forward(
        self, response: aiohttp.ClientResponse, outcome: Outcome, onlooker: Onlooker | None = None
    ) -> None:
        """The upstream's answer as it comes: status, end-to-end headers, body. Cut short where it is."""
        async with response:
            if onlooker:
                onlooker.answered(response.status, response.headers)
            headers = CIMultiDict(end_to_end((_text(name), _text(value)) for name, value in response.raw_headers))
            headers.setdefault("x-request-id", outcome.id)
            headers.update(labels(outcome))
            reason = _CONTROL.sub(" ", response.reason or "")
            await self._start(Reply(response.status, reason, headers, _ADDED))
            try:
                async for chunk in response.content.iter_any():
                    if onlooker:
                        onlooker.see(chunk)
                    await self._write(chunk)
            except (aiohttp.ClientError, TimeoutError):
                outcome.faults.append("the upstream's answer was cut short")
                outcome.end = End.CUT
                self.cut()
                return
            if onlooker:
                onlooker.whole()
            await self.end()

    def cut(self) -> None:
        """Close without the last chunk, as a lost line would look."""
        self._request.protocol.force_close()

    def abort(self) -> None:
        """Close at once: the caller takes nothing, so that what is written would wait for ever."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _start(self, reply: Reply) -> None:
        self.response = reply
        endless = reply.content_length is None and self._request.version < HttpVersion11
        if endless or self._closing():  # the end of HTTP/1.0's answer without a length is the connection's
            reply.force_close()
        await self._within(reply.prepare(self._request))

    async def _write(self, data: bytes) -> None:
        await self._within(self.response.write(data))

    async def _within(self, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await work
        except TimeoutError as error:
            raise CallerGone(f"the caller took nothing for {self._seconds:g} s") from error
        except ConnectionError as error:
            raise CallerGone("the caller hung up") from error


def _text(raw: bytes) -> str:
    """A header's name or value. What is not UTF-8 is Latin-1, as HTTP had it once; the library writes UTF-8 only."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return _CONTROL.sub(" ", text)
