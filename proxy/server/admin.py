"""The admin listener: health, metrics, status and control, for people, probes and the command line."""

import contextlib
import hmac
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.config import Settings, is_loopback
from proxy.errors import Answer, Problem, Refused
from proxy.server.body import BodyFault, Prefix, Upload, read
from proxy.server.caller import crowded
from proxy.server.guard import Guard
from proxy.server.listener import Listener, bind
from proxy.server.pages import Asked, Page
from proxy.server.socket_file import SocketFile
from proxy.server.status import url

SECRET = "x-openline-control"  # noqa: S105 - the name of a header
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_METHODS = {"GET": ("GET", "HEAD"), "POST": ("POST",)}
_BODY_BYTES = 4_096
_BODY_SECONDS = 5.0
# A few probes, a person, a command: who holds more than this holds up nobody but others of them.
_MOST_CONNECTIONS = 32


class CannotListen(Exception):
    """The address that `admin_listen` asks for cannot be had."""

    def __init__(self, place: Path | tuple[str, int], error: OSError) -> None:
        super().__init__(str(error))
        self.place = place
        self.error = error


class Admin:
    """Serves the pages. One request a connection.

    No token is asked for: it is on loopback, or a socket file for its owner, or is for probes alone. Pages for the
    owner want `secret`, which stands in a file that he alone can read: on loopback there are other users, too.
    """

    def __init__(self, settings: Settings, marker: str, pages: Mapping[str, Page], secret: str) -> None:
        self._settings = settings
        self._marker = marker
        self._secret = secret.encode()
        self._host: str | None = None
        self._guard = Guard(settings, marker)
        self._listener: Listener | None = None
        self._file: SocketFile | None = None
        whole = settings.admin_scope == "all"
        self._pages = {path: page for path, page in pages.items() if whole or page.whom == "probes"}

    @property
    def listening(self) -> socket.socket | None:
        """What it listens on, if it does."""
        return self._listener.sockets[0] if self._listener and self._listener.sockets else None

    async def start(self, handed: socket.socket | None = None, *, ours: bool = False) -> str | None:
        """Listen where the settings say, or on `handed`: with `ours` its file, if it has one, goes with this process.

        Gives where that is, `http://…` or `unix:…`, or None for nowhere.

        Raises:
            CannotListen: never for `auto`, which then does without.
        """
        if handed is not None:
            return await self._on(handed, ours=ours)
        place = self._settings.admin_address
        if place == "off":
            return None
        if place == "auto":
            return await self._anywhere()
        try:
            return await (self._on_file(place) if isinstance(place, Path) else self._on_port(*place))
        except OSError as error:
            raise CannotListen(place, error) from error

    def follow(self, settings: Settings) -> None:
        """Who may ask is as these settings say from now on; where it listens, and what for, stays."""
        self._settings = settings
        self._guard = Guard(settings, self._marker, listening=self._host)

    def hand_over(self) -> None:
        """Accept nothing more: another process does, by the same socket."""
        if self._file:
            self._file.leave()
        if self._listener:
            self._listener.hand_over()

    async def left(self) -> None:
        """Wait until what was asked before is answered."""
        if self._listener:
            await self._listener.left()

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

    async def _on(self, handed: socket.socket, *, ours: bool) -> str:
        name = handed.getsockname()
        on_file = handed.family == socket.AF_UNIX
        if on_file and ours:
            self._file = SocketFile(Path(name))
            self._file.adopt()
        self._listen_on("localhost" if on_file else name[0])
        try:
            await self._listen([handed])
        except OSError as error:
            raise CannotListen(Path(name) if on_file else name[:2], error) from error
        return f"unix:{name}" if on_file else url(*name[:2])

    async def _on_port(self, host: str, port: int) -> str:
        self._listen_on(host)
        listener = await self._listen(bind(host, port))
        return url(*listener.addresses[0])

    async def _on_file(self, path: Path) -> str:
        self._listen_on("localhost")
        self._file = SocketFile(path)
        await self._listen([self._file.bind()])
        return f"unix:{path}"

    def _listen_on(self, host: str) -> None:
        self._host = host
        self.follow(self._settings)

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
        path, _, query = request.raw_path.partition("?")
        try:
            page = self._page(request, path)
            # The last of several wins, as for most readers of a query.
            body = await _body(request) if page.method == "POST" else b""
            answer = await page.answer(Asked(dict(parse_qsl(query)), body))
        except Refused as refused:
            answer = refused.problem.answer(refused.detail, self._allowed(path, refused))
        response = web.Response(status=answer.status, body=answer.body, headers={**_HEADERS, **answer.headers})
        response.force_close()
        return response

    def _page(self, request: web.Request, path: str) -> Page:
        """What was asked for. Raises Refused."""
        if crowded(request):
            raise Refused(Problem.OVERLOADED)
        self._guard.check(request)
        page = self._pages.get(path)
        if page is None:
            raise Refused(Problem.ADMIN_PATH, f"it has {', '.join(self._pages)}")
        if request.method not in _METHODS[page.method]:
            raise Refused(Problem.ADMIN_METHOD)
        if page.whom == "owner" and not self._is_owner(request):
            raise Refused(Problem.ADMIN_SECRET)
        return page

    def _is_owner(self, request: web.Request) -> bool:
        shown = request.headers.get(SECRET, "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(shown, self._secret)

    def _allowed(self, path: str, refused: Refused) -> dict[str, str] | None:
        if refused.problem is not Problem.ADMIN_METHOD:
            return None
        return {"allow": ", ".join(_METHODS[self._pages[path].method])}


async def _body(request: web.Request) -> bytes:
    """A small one, in a few seconds. Raises Refused."""
    try:
        body = await read(Upload(request.content, _BODY_SECONDS), _BODY_BYTES)
    except BodyFault as fault:
        raise Refused(Problem.BAD_REQUEST, str(fault)) from fault
    if isinstance(body, Prefix):
        raise Refused(Problem.BAD_REQUEST, f"its body has more than {_BODY_BYTES} bytes")
    return body


def _refuse(problem: Problem, detail: str) -> Answer:
    """What is no request."""
    return problem.answer(detail)
