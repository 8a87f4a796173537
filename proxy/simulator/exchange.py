"""Exchange: one `POST /v1/responses` over HTTP, answered as an SSE stream or as JSON."""

import secrets
from contextlib import suppress

import msgspec
from aiohttp import web

from proxy.simulator import cors, noise
from proxy.simulator.answers import api_headers, error_answer, json_answer
from proxy.simulator.bodies import decompress, parse
from proxy.simulator.errors import ApiError, RefusedError
from proxy.simulator.faults import Fault
from proxy.simulator.host import Host
from proxy.simulator.journal import Entry, Headers
from proxy.simulator.prompt import Item
from proxy.simulator.turn import Turn


async def create(host: Host, request: web.BaseRequest, headers: Headers, raw: bytes) -> web.StreamResponse:
    """Journal the create, run its turn, and return what has been or is to be sent."""
    number = host.journal.next_number()
    try:
        body = parse(decompress(raw, request.headers.get("Content-Encoding", "")))
    except RefusedError as refused:
        error = refused.error
        entry = Entry(number, "http", 0, None, headers, raw, None)
        host.journal.add(entry)
        host.saw(host.journal.note(entry, outcome="rejected", status=error.status, error_code=error.code))
        return error_answer(error)
    previous = body.get("previous_response_id")
    entry = Entry(
        number,
        "http",
        0,
        None,
        headers,
        raw,
        body,
        previous if isinstance(previous, str) else None,
        generate=body.get("generate") is not False,
    )
    host.journal.add(entry)
    to_page = host.behaviour.cors and "Origin" in request.headers
    stream, background = body.get("stream") is True, bool(body.get("background"))
    sink = _Stream(request, to_page=to_page) if stream else _Whole(request, background=background)
    with suppress(ConnectionError):  # the caller hung up: the journal says `cut`
        await Turn(host, entry, None, sink).run()
    return await sink.answer()


class _Stream:
    """A turn's events as SSE. The status is not sent before the first event: an early error has its own."""

    def __init__(self, request: web.BaseRequest, *, to_page: bool) -> None:
        self._request = request
        self._more = cors.HEADERS if to_page else {}
        self._response: web.StreamResponse | None = None

    async def event(self, event: Item, *, terminal: bool) -> None:  # noqa: ARG002 - the stream just ends
        await self._write(b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event)))

    async def error(self, error: ApiError, sequence_number: int) -> None:
        if self._response is None:
            self._response = error_answer(error)
        else:
            await self.event(error.event(sequence_number), terminal=True)

    async def strike(self, fault: Fault) -> bool:
        if fault.what in {"close", "age_limit"}:
            return True
        if fault.what == "abort":
            _abort(self._request)
            return True
        data = noise.text(fault) if fault.what != "binary" else noise.binary()
        await self._write(b"data: %b\n\n" % data)
        return False

    async def answer(self) -> web.StreamResponse:
        return self._response or web.Response(status=200, content_type="text/event-stream")

    async def _write(self, data: bytes) -> None:
        if self._response is None:
            self._response = web.StreamResponse(headers={**api_headers(), **self._more})
            self._response.content_type = "text/event-stream"
            self._response.charset = "utf-8"
            await self._response.prepare(self._request)
        await self._response.write(data)


class _Whole:
    """A turn's final response as one JSON object."""

    def __init__(self, request: web.BaseRequest, *, background: bool) -> None:
        self._request = request
        self._background = background
        self._response: web.StreamResponse | None = None

    async def event(self, event: Item, *, terminal: bool) -> None:
        final = event.get("response")
        if terminal and isinstance(final, dict):
            queued: dict[str, object] = {"status": "queued", "output": [], "usage": None, "completed_at": None}
            self._response = json_answer({**final, **queued} if self._background else final)

    async def error(self, error: ApiError, sequence_number: int) -> None:  # noqa: ARG002 - nothing was sent yet
        self._response = error_answer(error)

    async def strike(self, fault: Fault) -> bool:
        if fault.what in {"close", "abort", "age_limit"}:
            _abort(self._request)
            return True
        data = noise.text(fault) if fault.what != "binary" else noise.binary()
        self._response = web.Response(body=data, content_type="application/json", headers=api_headers())
        return True

    async def answer(self) -> web.StreamResponse:
        return self._response or json_answer({"id": f"resp_{secrets.token_hex(24)}"})


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
