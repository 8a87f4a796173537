"""The guard: which requests are let in at all."""

import ipaddress
import re

from aiohttp import web

from proxy.config import Settings, is_loopback
from proxy.errors import Problem, Refused
from proxy.server.cors import Cors

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{0,5})?")
_UNENCODED = ("", "chunked")


class Guard:
    """Keeps foreign web pages (DNS rebinding, cross-origin posts), our own requests and what no proxy can carry out."""

    def __init__(self, settings: Settings, marker: str, *, listening: str | None = None) -> None:
        """`listening` is the host listened on, where that is not the setting `listen`."""
        listening = listening or settings.listen_host
        self._hosts = {"localhost", listening.lower(), *(host.lower() for host in settings.allowed_hosts)}
        self._abroad = not is_loopback(listening)
        self.cors = Cors(settings.allowed_origins)
        self._marker = marker

    def check(self, request: web.Request) -> None:
        """Raise Refused where the request must not go on."""
        if not self._allows(request.headers.get("Host", "")):
            raise Refused(Problem.HOST)
        if not self.cors.admits(request):
            raise Refused(Problem.ORIGIN)
        if any(self._marker in value for value in request.headers.getall("Via", ())):
            raise Refused(Problem.LOOP)
        if not request.raw_path.startswith("/"):
            raise Refused(Problem.BAD_REQUEST, "the request target must be a path: Openline is not a forward proxy")
        if request.headers.get("Transfer-Encoding", "").lower() not in _UNENCODED:
            raise Refused(Problem.BAD_REQUEST, "the only transfer coding that can be passed on is chunked")
        if "websocket" in request.headers.get("Upgrade", "").lower():
            raise Refused(Problem.UPGRADE)

    def _allows(self, header: str) -> bool:
        """Whether a Host header names this proxy, with any port: ports are forwarded and mapped.

        Where other machines may call, any address will do: whoever rebinds a name has that name in Host.
        """
        parts = _HOST.fullmatch(header.lower())
        host = (parts[1] or parts[2]) if parts else ""
        return host in self._hosts or is_loopback(host) or (self._abroad and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
