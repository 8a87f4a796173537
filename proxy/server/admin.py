"""The admin listener: health, readiness and status, for people, probes and the command line; nothing of any caller."""

import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from proxy.config import Settings, is_loopback
from proxy.errors import Answer, Problem, Refused
from proxy.server.caller import crowded
from proxy.server.guard import Guard
from proxy.server.listener import Listener, bind
from proxy.server.socket_file import SocketFile
from proxy.server.status import Status, url

_HEADERS = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff"}
_METHODS = ("GET", "HEAD")
# A few probes, a person, a command: who holds more than this holds up nobody but others of them.
_MOST_CONNECTIONS = 32


class CannotListen(Exception):
    """The address that `admin_listen` asks for cannot be had."""

    def __init__(self, place: Path | tuple[str, int], error: OSError) -> None:
        super().__init__(str(error))
        self.place = place
        self.error = error


class Admin:
    """Serves `/healthz`, `/readyz` and, unless it is for probes alone, `/status`. One request a connection.

    No token is asked for: it is on loopback, or a socket file for its owner, or says nothing but yes and no.
    """

    def __init__(self, settings: Settings, marker: str, status: Callable[[], Status]) -> None:
        self._settings = settings
        self._marker = marker
        self._status = status
        self._guard = Guard(settings, marker)
        self._listener: Listener | None = None
        self._file: SocketFile | None = None
        self._pages: dict[str, Callable[[], Answer]] = {"/healthz": self._health, "/readyz": self._ready}
        if settings.admin_scope == "all":
            self._pages["/status"] = self._all

    async def start(self) -> str | None:
        """Listen where the settings say. Gives where that is, `http://…` or `unix:…`, or None for nowhere.

        Raises:
            CannotListen: never for `auto`, which then does without.
        """
        place = self._settings.admin_address
        if place == "off":
            return None
        if place == "auto":
            return await self._anywhere()
        try:
            return await (self._on_file(place) if isinstance(place, Path) else self._on_port(*place))
        except OSError as error:
            raise CannotListen(place, error) from error

    async def close(self) -> None:
        """Stop listening. A socket file goes too."""
        if self._file:
            self._file.remove()
        if self._listener:
            await self._listener.close()

    async def _anywhere(self) -> str | None:
        """On loopback: at the port below the callers', else at any."""
        listen = self._settings.listen_host
        host = listen if is_loopback(listen) and listen != "localhost" else "127.0.0.1"
        for port in sorted({max(self._settings.listen_port - 1, 0), 0}, reverse=True):
            with contextlib.suppress(OSError):
                return await self._on_port(host, port)
        return None

    async def _on_port(self, host: str, port: int) -> str:
        self._guard = Guard(self._settings, self._marker, listening=host)
        listener = await self._listen(bind(host, port))
        return url(*listener.addresses[0])

    async def _on_file(self, path: Path) -> str:
        self._guard = Guard(self._settings, self._marker, listening="localhost")
        self._file = SocketFile(path)
        await self._listen([self._file.bind()])
        return f"unix:{path}"

    async def _listen(self, sockets: Sequence[socket.socket]) -> Listener:
        listener = Listener(
            self._answer, _refuse, most=_MOST_CONNECTIONS, header_seconds=self._settings.timeouts.header_seconds
        )
        try:
            await listener.start(sockets)
        except OSError:
            await listener.close()
            raise
        self._listener = listener
        return listener

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = self._page(request)()
        except Refused as refused:
            headers = {"allow": ", ".join(_METHODS)} if refused.problem is Problem.ADMIN_METHOD else None
            answer = refused.problem.answer(refused.detail, headers)
        response = web.Response(status=answer.status, body=answer.body, headers={**_HEADERS, **answer.headers})
        response.force_close()
        return response

    def _page(self, request: web.Request) -> Callable[[], Answer]:
        """What was asked for. Raises Refused."""
        if crowded(request):
            raise Refused(Problem.OVERLOADED)
        self._guard.check(request)
        page = self._pages.get(request.raw_path.partition("?")[0])
        if page is None:
            raise Refused(Problem.ADMIN_PATH, f"it has {', '.join(self._pages)}")
        if request.method not in _METHODS:
            raise Refused(Problem.ADMIN_METHOD)
        return page

    def _health(self) -> Answer:
        """The process is alive."""
        identity = self._status().identity
        whole = self._settings.admin_scope == "all"
        return Answer(200, msgspec.json.encode(identity if whole else {"name": identity.name}))

    def _ready(self) -> Answer:
        """Whether a new turn would be taken now."""
        reason = self._status().unready
        if reason is None:
            return Answer(200, msgspec.json.encode({"ready": True}))
        return Answer(503, msgspec.json.encode({"ready": False, "reason": reason}))

    def _all(self) -> Answer:
        """How it is doing, laid out for a person too."""
        return Answer(200, msgspec.json.format(msgspec.json.encode(self._status())) + b"\n")


def _refuse(problem: Problem, detail: str) -> Answer:
    """What is no request."""
    return problem.answer(detail)
