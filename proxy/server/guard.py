"""The guard: which requests are let in at all (Host, Origin, loops)."""

from urllib.parse import urlsplit

from aiohttp import web

from proxy.config import Settings
from proxy.errors import Problem

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


class Guard:
    """Keeps foreign web pages (DNS rebinding, cross-origin posts) and our own requests out."""

    def __init__(self, settings: Settings, marker: str) -> None:
        self._hosts = _LOOPBACK | {host.lower() for host in settings.allowed_hosts}
        self._origins = frozenset(settings.allowed_origins)
        self._marker = marker

    def refuse(self, request: web.Request) -> Problem | None:
        """Why the request is refused, if it is."""
        if _host(request.headers.get("Host", "")) not in self._hosts:
            return Problem.HOST
        origin = request.headers.get("Origin")
        if origin is not None and not self._allows(origin):
            return Problem.ORIGIN
        if any(self._marker in value for value in request.headers.getall("Via", ())):
            return Problem.LOOP
        return None

    def _allows(self, origin: str) -> bool:
        return origin in self._origins


def _host(header: str) -> str:
    """The host without its port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""
