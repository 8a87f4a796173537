"""HTTP sinks: how an answer reaches a caller that asked over HTTP, as a stream or as JSON."""

from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from proxy.core.events import Event, sse
from proxy.errors import Answer
from proxy.turns.outcome import Outcome
from proxy.turns.sink import CallerGone
from proxy.upstream.http import end_to_end

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


def labels(outcome: Outcome) -> dict[str, str]:
    """The headers that say how a turn went."""
    headers = {"x-openline-route": outcome.route.value}
    if outcome.reason:
        headers["x-openline-reason"] = outcome.reason.value
    return headers


class HttpSink:
    """One HTTP request's answer. `wants_json` as the request's `stream` says."""

    def __init__(self, request: web.Request, *, wants_json: bool) -> None:
        self._request = request
        self._wants_json = wants_json
        self.response: web.StreamResponse | None = None

    @property
    def wants_json(self) -> bool:
        """Whether the caller waits for the final response alone."""
        return self._wants_json

    async def begin(self, outcome: Outcome) -> None:
        """Commit to a stream with status 200."""
        await self._prepare(200, {**_STREAM_HEADERS, "x-request-id": outcome.id, **labels(outcome)})

    async def write(self, events: Sequence[Event]) -> None:
        """All events in one write."""
        await self._write(b"".join(map(sse, events)))

    async def keep_alive(self) -> None:
        """An SSE comment: parsers skip it."""
        await self._write(b": keep-alive\n\n")

    async def end(self) -> None:
        """The last chunk."""
        if self.response:
            try:
                await self.response.write_eof()
            except ConnectionError as error:
                raise CallerGone("the caller hung up") from error

    async def answer(self, answer: Answer, outcome: Outcome) -> None:
        """A complete answer. The request id is the upstream's where it gave one."""
        headers = {"x-request-id": outcome.id, **answer.headers, **labels(outcome)}
        await self._prepare(answer.status, {**headers, "content-length": str(len(answer.body))})
        await self._write(answer.body)
        await self.end()

    async def forward(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        """The upstream's answer as it comes: status, end-to-end headers, body. Cut short where it is."""
        async with response:
            headers = CIMultiDict(end_to_end(decoded(response.raw_headers)))
            headers.setdefault("x-request-id", outcome.id)
            headers.update(labels(outcome))
            await self._prepare(response.status, headers, response.reason)
            try:
                async for chunk in response.content.iter_any():
                    await self._write(chunk)
            except (aiohttp.ClientError, TimeoutError):
                outcome.faults.append("the upstream's answer was cut short")
                self.cut()
                return
            await self.end()

    def cut(self) -> None:
        """Close without the last chunk, as a lost line would look."""
        transport = self._request.transport
        if transport:
            transport.close()

    async def _prepare(self, status: int, headers: Mapping[str, str], reason: str | None = None) -> None:
        self.response = web.StreamResponse(status=status, reason=reason, headers=CIMultiDict(headers))
        try:
            await self.response.prepare(self._request)
        except ConnectionError as error:
            raise CallerGone("the caller hung up") from error

    async def _write(self, data: bytes) -> None:
        if self.response is None:
            return
        try:
            await self.response.write(data)
        except ConnectionError as error:
            raise CallerGone("the caller hung up") from error


def decoded(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Header pairs as text, byte for byte."""
    return [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in headers
    ]
