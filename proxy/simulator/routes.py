"""Routes: from an HTTP request to the part that answers it, after the key has been checked."""

import asyncio

from aiohttp import web

from proxy.simulator import control, cors, echo, endpoints, exchange
from proxy.simulator.answers import api_headers, error_answer
from proxy.simulator.connection import Connection
from proxy.simulator.errors import ApiError
from proxy.simulator.faults import Fault
from proxy.simulator.host import Host
from proxy.simulator.journal import Handshake, Headers, Request

# Below the host's base path.
_RESPONSES = "/responses"
_ECHO, _ECHO_STREAM = "/_echo", "/_echo_stream"


class Routes:
    """Handles every request of the listener."""

    def __init__(self, host: Host, strike: control.Strike) -> None:
        self._host = host
        self._strike = strike

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # that was not part of the answer
        path = self._path(request)
        headers: Headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        )
        if request.path.startswith(control.PREFIX):
            return await control.handle(self._host, self._strike, request, await request.content.read())
        if path == _RESPONSES and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._upgrade(request, headers)
        if path == _ECHO_STREAM and self._host.behaviour.echo_paths:
            return await self._echo_stream(request, headers)
        if self._host.behaviour.cors and "Origin" in request.headers:
            return await self._to_page(request, headers)
        return await self._with_body(request, headers)

    def _path(self, request: web.BaseRequest) -> str:
        """The path below the host's base path; empty where it is not below it."""
        base = self._host.behaviour.base_path
        return request.path.removeprefix(base) if request.path.startswith(f"{base}/") else ""

    async def _to_page(self, request: web.BaseRequest, headers: Headers) -> web.StreamResponse:
        """Answer a page's browser. It asks first whether the page may ask, without a key."""
        if allowed := cors.preflight(request):
            self._host.saw(Request(request.method, request.raw_path, headers, b""))
            return allowed
        answer = await self._with_body(request, headers)
        if not answer.prepared:
            answer.headers.update(cors.HEADERS)
        return answer

    async def _with_body(self, request: web.BaseRequest, headers: Headers) -> web.StreamResponse:
        body = await request.content.read()
        error = self._unauthorised(request)
        if error is None and self._path(request) == _RESPONSES and request.method == "POST":
            return await exchange.create(self._host, request, headers, body)
        try:
            return error_answer(error) if error else await self._other(request, headers, body)
        finally:
            self._host.saw(Request(request.method, request.raw_path, headers, body))

    async def _echo_stream(self, request: web.BaseRequest, headers: Headers) -> web.StreamResponse:
        received: list[bytes] = []
        try:
            return await echo.stream(request, received)
        finally:
            self._host.saw(Request(request.method, request.raw_path, headers, b"".join(received)))

    async def _other(self, request: web.BaseRequest, headers: Headers, body: bytes) -> web.StreamResponse:
        method, path = request.method, self._path(request)
        if self._host.behaviour.echo_paths and (path == _ECHO or path.startswith(f"{_ECHO}/")):
            return echo.whole(request, headers, body)
        if (method, path) == ("POST", "/chat/completions"):
            return await endpoints.chat(request, body)
        return self._plain_call(request, body) or error_answer(ApiError(404, f"Invalid URL ({method} {request.path})"))

    def _plain_call(self, request: web.BaseRequest, body: bytes) -> web.Response | None:
        method, path = request.method, self._path(request)
        if (method, path) == ("GET", "/models"):
            return endpoints.models()
        if (method, path) == ("POST", f"{_RESPONSES}/compact"):
            return endpoints.compact(body, request.headers.get("Content-Encoding", ""))
        if path.startswith(f"{_RESPONSES}/"):
            identifier, _, rest = path.removeprefix(f"{_RESPONSES}/").partition("/")
            if not rest and method in {"GET", "DELETE"}:
                return endpoints.stored_response(self._host, method, identifier)
            if (method, rest) == ("GET", "input_items"):
                return endpoints.input_items(self._host, identifier)
        return None

    async def _upgrade(self, request: web.BaseRequest, headers: Headers) -> web.StreamResponse:
        behaviour = self._host.behaviour
        await self._host.until(self._host.crossing(0))
        fault = self._host.faults.at_upgrade()
        error: ApiError | None = None
        body: str | None = None
        if fault is not None:
            self._host.faults.strike(fault)
            error, body = await self._fault(request, fault), fault.body
        error = error or self._unauthorised(request)
        if error is None and not behaviour.websocket:
            error = ApiError(behaviour.websocket_refusal, "Websockets are not supported here.")
        if error is not None:
            self._host.saw(Handshake(request.raw_path, headers, error.status))
            if body is not None:
                return web.Response(status=error.status, text=body, headers=error.headers)
            return error_answer(error)
        number = self._host.next_socket()
        self._host.saw(Handshake(request.raw_path, headers, 101, number))
        return await Connection(self._host, request, headers, number).run(api_headers())

    async def _fault(self, request: web.BaseRequest, fault: Fault) -> ApiError | None:
        if fault.what == "hang":
            await self._host.faults.hang()
        elif fault.what == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.what in {"close", "abort"} and request.transport is not None:
            request.transport.abort() if fault.what == "abort" else request.transport.close()
        elif fault.what == "refuse":
            return fault.error()
        return fault.error() if fault.what in {"close", "abort"} else None

    def _unauthorised(self, request: web.BaseRequest) -> ApiError | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else request.headers.get("api-key", "")
        allowed = self._host.behaviour.api_keys
        if key and (not allowed or key in allowed):
            return None
        if not key:
            return ApiError(401, "You didn't provide an API key.", "invalid_api_key")
        return ApiError(401, "Incorrect API key provided.", "invalid_api_key")
