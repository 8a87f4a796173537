"""The listener: accepts callers' connections, only so many, and goes on when the system has no descriptors left."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from proxy.errors import Answer, Problem
from proxy.server.caller import Caller, Reception, turn_away
from proxy.server.descriptors import affordable
from proxy.server.responses import as_said
from proxy.tasks import Tasks

# What drain did not wait for gets no second grace, but for the last bytes to be written.
_CLOSE_SECONDS = 0.1
_BACKLOG = 1_024
# Accepted at a time, so that a rush does not hold up those who are being served.
_BURST = 64
# Connections too many that are told so politely, each for seconds at most; those beyond are told in passing.
_CROWD = 32
_PAUSE_SECONDS = 0.25
# Between two requests of a client that is at work there is less, mostly; one that sends just now would see a reset.
_SPARE_SECONDS = 5.0
# The system has nothing to make a connection of. Other errors of accept() are of the one connection.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LOG = logging.getLogger("openline.server")


class Listener:
    """One or more listening sockets, and the connections that came in by them.

    `answer` serves requests; `refuse` makes the answer to what is none. At most `most` connections at once, or as many
    as the system's descriptors allow; for one more, the one that is idle for longest is closed, if it is for
    `spare_seconds`. A head may take `header_seconds`. `mark` may add to an answer's headers just before they are sent.
    """

    def __init__(
        self,
        answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
        refuse: Callable[[Problem, str], Answer],
        *,
        most: int,
        header_seconds: float,
        spare_seconds: float = _SPARE_SECONDS,
        mark: Callable[[web.Request, web.StreamResponse], Awaitable[None]] | None = None,
    ) -> None:
        self._answer = answer
        self._refuse = refuse
        self._most = affordable(most)
        self._header_seconds = header_seconds
        self._spare_seconds = spare_seconds
        self._marks = (as_said, self._last, *((mark,) if mark else ()))
        self._runner: web.AppRunner | None = None
        self._reception: Reception | None = None
        self._sockets: list[socket.socket] = []
        self._callers: set[Caller] = set()
        self._at_work = 0
        self._changed = asyncio.Event()
        self._tasks = Tasks()
        self._spare = -1
        self._draining = False
        self._leaving = False

    @property
    def connections(self) -> int:
        """Callers' connections that are open."""
        return len(self._callers)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Those that it listens on."""
        return tuple(self._sockets)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on bound sockets; they are closed in the end. Raises OSError."""
        self._runner = web.AppRunner(
            self._application(), handler_cancellation=True, shutdown_timeout=_CLOSE_SECONDS, access_log=None
        )
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("a runner that is set up has a server")
        self._reception = Reception(server, self._header_seconds, self._refuse, self._gone)
        self._sockets = list(sockets)
        self._hold_spare()
        for sock in self._sockets:
            sock.settimeout(0)
            sock.listen(_BACKLOG)
            self._listen(sock)

    def drain(self) -> None:
        """Close what is idle at once, and the others after their answer. New ones are still told what goes on."""
        self._draining = True
        for caller in list(self._callers):
            caller.leave()

    def hand_over(self) -> None:
        """Accept nothing more: another process does, by the same sockets. Every answer is its connection's last."""
        self._leaving = True
        self._stop_listening()

    async def left(self) -> None:
        """Wait until no connection is left. Those that have been idle for `spare_seconds` are closed."""
        while self._callers or self._at_work:
            latest = asyncio.get_running_loop().time() - self._spare_seconds
            for caller in list(self._callers):
                if caller.idle_since <= latest:
                    caller.give_way()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._changed.wait()

    @property
    def unsent(self) -> int:
        """Answers that are complete and not on their way yet, as their callers read slowly."""
        return sum(caller.unsent for caller in self._callers)

    async def sent(self) -> None:
        """Wait until every complete answer is on its way: for as long as a caller takes nothing."""
        await self._until(lambda: not self.unsent)

    async def close(self) -> None:
        """Accept nothing more and cut what still runs."""
        self._stop_listening()
        await self._tasks.finish(_CLOSE_SECONDS)
        await self._empty()
        if self._runner:
            await self._runner.cleanup()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _stop_listening(self) -> None:
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets = []

    async def _last(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Runs just before the headers of any answer are written."""
        if self._leaving:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _empty(self) -> None:
        """End each connection and what is at work for it: politely, and after a moment in any case."""
        for how in (Caller.stop, Caller.abort):
            for caller in list(self._callers):
                how(caller)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._until(lambda: not self._callers and not self._at_work)

    async def _until(self, so: Callable[[], bool]) -> None:
        """Wait; what it is asked for changes with a request's or a connection's end."""
        while not so():
            self._changed.clear()
            await self._changed.wait()

    def _gone(self, caller: Caller) -> None:
        self._callers.discard(caller)
        self._changed.set()

    def _application(self) -> web.Application:
        """No routes: the library would answer by itself what fits none."""

        @web.middleware
        async def every_request(request: web.Request, handler: object) -> web.StreamResponse:  # noqa: ARG001 - its form
            caller = request.protocol
            if not isinstance(caller, Caller):
                raise TypeError("this listener makes no other connections")
            caller.begin(request)
            self._at_work += 1
            try:
                answer = await self._answer(request)
            finally:
                self._at_work -= 1
                caller.end()
                self._changed.set()
            if caller.body_broken:
                await caller.linger()
            return answer

        application = web.Application(middlewares=[every_request])
        application.on_response_prepare.extend(self._marks)
        return application

    def _listen(self, sock: socket.socket) -> None:
        if sock in self._sockets:  # not closed meanwhile
            asyncio.get_running_loop().add_reader(sock, self._knock, sock)

    def _knock(self, sock: socket.socket) -> None:
        """Let in who waits at the door."""
        for _ in range(_BURST):
            try:
                line, _ = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED or not self._refuse_one(sock):
                    return
            else:
                self._let_in(line)

    def _let_in(self, line: socket.socket) -> None:
        if len(self._callers) >= self._most:
            self._make_room()
        if self._reception is None or len(self._callers) >= self._most + min(_CROWD, self._most):
            turn_away(line)
            return
        loop = asyncio.get_running_loop()
        caller = Caller(self._reception, loop, crowded=len(self._callers) >= self._most)
        self._callers.add(caller)
        self._tasks.start(self._open(line, caller), "caller's connection")

    def _make_room(self) -> None:
        """Close what is only kept open, or begins a request and does not go on with it."""
        latest = asyncio.get_running_loop().time() - self._spare_seconds
        idle = [caller for caller in self._callers if caller.idle_since <= latest]
        for caller in sorted(idle, key=lambda caller: caller.idle_since):
            if caller.give_way():
                self._callers.discard(caller)
                return

    async def _open(self, line: socket.socket, caller: Caller) -> None:
        try:
            line.settimeout(0)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: caller, line)
        except OSError:  # it has gone again, or the loop can take no more
            self._callers.discard(caller)
            line.close()

    def _refuse_one(self, sock: socket.socket) -> bool:
        """There is no descriptor for the next one, but the spare one: say so, rather than let it wait for nothing.

        Whether there was one: without descriptors the system does not say that nobody waits.
        """
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        try:
            line, _ = sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._pause(sock)
            return False
        else:
            turn_away(line)
        finally:
            self._hold_spare()
        return True

    def _hold_spare(self) -> None:
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _pause(self, sock: socket.socket) -> None:
        """Look again later: the socket stays ready, so that going on at once would be a busy loop."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.call_later(_PAUSE_SECONDS, self._listen, sock)


def bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of `host`, not listening yet; all have one port. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            if os.name == "posix":  # elsewhere it would let two programs have one port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port or sockets[0].getsockname()[1], *address[2:]))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL or len(sockets) == 1:
                    raise
                sockets.pop().close()  # a name may have an address that this machine does not
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
