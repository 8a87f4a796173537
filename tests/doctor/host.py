"""A host that answers creates over plain HTTP, and upgrades, as a test says."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.config import Settings, Timeouts, Upstream


@dataclass
class Host:
    """What it answers, and what it was asked."""

    plain: int = 400
    upgrade: int = 101
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.asked.append(request)
        if request.headers.get("upgrade") != "websocket":
            return web.Response(status=self.plain, headers=self.headers)
        if self.upgrade != 101:
            return web.Response(status=self.upgrade)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket


@asynccontextmanager
async def answering(plain: int = 400, upgrade: int = 101, **headers: str) -> AsyncIterator[Host]:
    """Listen while the block runs."""
    host = Host(plain, upgrade, headers)
    application = web.Application()
    application.router.add_route("*", "/v1/responses", host.answer)
    server = TestServer(application)
    await server.start_server()
    try:
        host.url = f"http://127.0.0.1:{server.port}/v1"
        yield host
    finally:
        await server.close()


def settings(url: str, *, seconds: float = 5.0, ca_file: str = "") -> Settings:
    """Settings for this upstream, which has so long for each answer."""
    return Settings(
        upstream=Upstream(url=url, ca_file=ca_file),
        timeouts=Timeouts(dial_seconds=seconds, first_event_seconds=seconds),
    )
