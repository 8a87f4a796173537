"""Echo: endpoints that answer with what they were sent, so that passthrough can be compared byte for byte."""

import base64
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from proxy.simulator.journal import Headers

STATUS_HEADER = "x-echo-status"
HEADER_HEADER = "x-echo-header"


def whole(request: web.BaseRequest, headers: Headers, body: bytes) -> web.Response:
    """Method, raw path, headers and body (base64) as JSON.

    The request header `x-echo-status` chooses the status, each `x-echo-header: NAME: VALUE` adds one to the answer.
    """
    seen = {
        "method": request.method,
        "path": request.raw_path,
        "headers": [list(pair) for pair in headers],
        "body": base64.b64encode(body).decode(),
    }
    return web.Response(
        status=_status(request),
        body=b"" if request.method == "HEAD" else msgspec.json.encode(seen),
        headers=[("Content-Type", "application/json"), *_asked_headers(request)],
    )


async def stream(request: web.BaseRequest, received: list[bytes]) -> web.StreamResponse:
    """The body's own bytes, sent back as they arrive; without a body, `?chunks=N` numbered lines.

    What has been read is added to `received`.
    """
    response = web.StreamResponse(
        status=_status(request), headers=[("Content-Type", "application/octet-stream"), *_asked_headers(request)]
    )
    await response.prepare(request)
    async for chunk in _chunks(request):
        received.append(chunk)
        await response.write(chunk)
    if not received:
        for number in range(int(request.query.get("chunks", "3"))):
            await response.write(b"chunk %d\n" % number)
    return response


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


def _status(request: web.BaseRequest) -> int:
    asked = request.headers.get(STATUS_HEADER, "")
    return int(asked) if asked.isdigit() and 200 <= int(asked) <= 599 else 200


def _asked_headers(request: web.BaseRequest) -> list[tuple[str, str]]:
    pairs = [asked.split(":", 1) for asked in request.headers.getall(HEADER_HEADER, []) if ":" in asked]
    return [(name.strip(), value.strip()) for name, value in pairs]
