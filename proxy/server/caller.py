"""A caller's connection: what comes in is checked before the HTTP library reads it, within limits of time."""

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import StreamReader, web

from proxy.errors import Answer, Problem
from proxy.server.framing import Framing
from proxy.server.head import LARGEST_HEAD, MOST_FIELDS, Malformed

# Both of the library's parsers refuse this wherever they are: so they come to the error when it is its turn.
_NONSENSE = b"\x00\r\n\r\n"
# Long: a client that sends just as its idle connection is closed does not see its request answered.
_IDLE_SECONDS = 3_600.0
# What is on its way of a refused request is read for so long: a closed socket would answer it with a reset, which may
# overtake the refusal.
_LINGER_SECONDS = 2.0
# A connection too many gets so long to say what it wants, and to be told no.
_CROWDED_SECONDS = 5.0
_LOG = logging.getLogger("openline.server")


class Refusal(web.Response):
    """An answer to what never became a request: after it the connection is closed, by way of `linger`."""

    def __init__(self, answer: Answer, linger: Callable[[], Awaitable[None]]) -> None:
        super().__init__(status=answer.status, body=answer.body, headers={**answer.headers, "connection": "close"})
        self.force_close()
        self._linger = linger

    async def write_eof(self, data: bytes = b"") -> None:
        """The end of the answer, and of the connection."""
        await super().write_eof(data)
        await self._linger()

    async def _prepare_headers(self) -> None:
        """The library adds its name here; the signal by which answers to requests lose it is not sent for these."""
        await super()._prepare_headers()
        self.headers.pop("Server", None)


@dataclass(frozen=True, slots=True)
class Reception:
    """What a listener's connections have in common.

    `refuse` makes and reports the answer to what is no request; `gone` hears of each connection's end.
    """

    server: web.Server
    header_seconds: float
    refuse: Callable[[Problem, str], Answer]
    gone: Callable[["Caller"], None]


class Caller(web.RequestHandler):
    """One connection. What is malformed is answered in its turn; nothing behind it is read.

    socket ─▶ Framing ─▶ the library's parser ─▶ requests, one after the other
    """

    def __init__(self, reception: Reception, loop: asyncio.AbstractEventLoop, *, crowded: bool) -> None:
        super().__init__(
            reception.server,
            loop=loop,
            logger=_LOG,
            access_log=None,  # type: ignore[arg-type] # the library's own way to have none
            auto_decompress=False,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            # Wider than those of head.py, which are the ones that count.
            max_line_size=LARGEST_HEAD,
            max_field_size=LARGEST_HEAD,
            max_headers=2 * MOST_FIELDS,
        )
        self.crowded = crowded
        """One connection too many: what it asks for is refused."""
        self._reception = reception
        self._head_seconds = min(reception.header_seconds, _CROWDED_SECONDS if crowded else float("inf"))
        self._framing = Framing()
        self._broken: tuple[Problem, str] | None = None
        self._content: StreamReader | None = None
        self._line: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = 0
        self._answered = 0
        self._now = loop.time
        self._idle_since = loop.time()
        self._leaving = False
        self._hung_up = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The library takes over; the first head is waited for."""
        super().connection_made(transport)
        # The library forgets its own as soon as it closes it, with bytes still to be written.
        self._line = self.transport
        self._watch()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The end, whoever brought it about."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._hung_up.set()
        self._reception.gone(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give the library what is right. Without data it calls this itself, to go on after a pause."""
        if not data:
            super().data_received(data)
            return
        if self._broken or self.transport is None:
            return
        waited = not self._framing.in_head
        try:
            for piece in self._framing.feed(data):
                super().data_received(piece)
        except Malformed as fault:
            self._break(Problem.BAD_REQUEST, str(fault))
        self._watch()
        if waited and self._framing.in_head:
            self._idle_since = max(self._idle_since, self._now())
        if self._leaving and self._quiet:
            self.force_close()

    @property
    def body_broken(self) -> bool:
        """Whether the request that is handled now is the one whose body turned out malformed."""
        return self._broken is not None and not self._framing.between and self._begun == self._framing.heads

    def begin(self, request: web.Request) -> None:
        """A request is about to be handled: its body is what may turn out to be broken."""
        self._begun += 1
        self._task = request.task
        self._idle_since = float("inf")
        self._content = request.content
        self._tell()

    def end(self) -> None:
        """It has been answered."""
        self._answered += 1
        self._task = None
        self._idle_since = self._now()
        # No upgrade is served: what follows one would be read as requests, unchecked.
        if self._framing.upgraded or (self._leaving and self._quiet):
            self.close()

    async def linger(self) -> None:
        """Say that nothing more comes, and wait a little for the caller to hang up; what he still sends is dropped."""
        self._broken = self._broken or (Problem.BAD_REQUEST, "after the last answer")
        if self.transport is not None and not self.transport.is_closing():
            # OSError: he has hung up, and the loop has not seen it yet.
            with contextlib.suppress(TimeoutError, OSError):
                self.transport.write_eof()
                async with asyncio.timeout(_LINGER_SECONDS):
                    await self._hung_up.wait()
        self.force_close()

    def leave(self) -> None:
        """Take no more requests: close at once where none is under way, else after its answer."""
        self._leaving = True
        if self._quiet:
            self.force_close()

    def stop(self) -> None:
        """End the request that is under way, and close once what was written of its answer is on its way."""
        if self._task:
            self._task.cancel()
        self.force_close()

    def abort(self) -> None:
        """Close now, whatever is still to be written."""
        if self._line:
            self._line.abort()

    @property
    def unsent(self) -> bool:
        """Whether it has been answered, and the system has not taken all of the answer yet: its reader is slow."""
        answered = self._idle_since != float("inf")
        return answered and self._line is not None and self._line.get_write_buffer_size() > 0

    @property
    def idle_since(self) -> float:
        """Since when nothing came of it, on the loop's clock; infinity where it waits for an answer."""
        return self._idle_since

    def give_way(self) -> bool:
        """Close where it has nothing under way but, perhaps, a head; whether it had not."""
        if self._answered_all:
            self.force_close()
            return True
        return False

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ARG002,ASYNC109 - the library's signature
        """The library's own would wait for a running handler with a future that it may set after it was cancelled."""
        self.stop()
        self.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The library's answers to what it cannot parse (400), and to exceptions of our own, in the API's shape."""
        if status == 400:
            # Where both parsers differ, ours has let it pass: then the library's word holds.
            self._broken = self._broken or (Problem.BAD_REQUEST, "the HTTP library refuses it")
            return Refusal(self._reception.refuse(*self._broken), self.linger)
        if isinstance(exc, ConnectionError) and (self.transport is None or self.transport.is_closing()):
            raise exc  # a caller that has gone is no fault
        super().handle_error(request, status, exc, message)  # logs it; raises where an answer has begun
        return Refusal(Problem.FAULT.answer(), self.linger)

    @property
    def _quiet(self) -> bool:
        """Whether every request that came has been answered, and nothing of another one is there."""
        return self._answered_all and not self._framing.in_head

    @property
    def _answered_all(self) -> bool:
        idle = self._framing.between and self._answered == self._framing.heads
        return idle and self._broken is None and not self._has_unread()

    def _has_unread(self) -> bool:
        """Whether the system has bytes for us that the loop has not read yet: a request may be among them."""
        if self.transport is None:
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _break(self, problem: Problem, detail: str) -> None:
        """Nothing more is read. What came before is answered, then this."""
        self._broken = problem, detail
        self._tell()
        super().data_received(_NONSENSE)

    def _tell(self) -> None:
        """Whoever waits for the rest of a body hears that it does not come: not every parser says so."""
        if self._broken and self.body_broken and self._content:
            self._content.set_exception(web.RequestPayloadError(self._broken[1]))

    def _watch(self) -> None:
        """Limit the time for a head: for the first from the start, for others from their first byte."""
        due = self._broken is None and (self._framing.in_head or not self._framing.heads)
        if self._timer and not due:
            self._timer.cancel()
            self._timer = None
        elif due and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._head_seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._framing.in_head:
            self._break(Problem.SLOW, f"its head was not complete after {self._head_seconds:g} s")
        else:
            self.force_close()


def crowded(request: web.Request) -> bool:
    """Whether the request came by a connection too many."""
    return isinstance(request.protocol, Caller) and request.protocol.crowded


def turn_away(line: socket.socket) -> None:
    """Say 503 and close, in passing: nothing is read or waited for."""
    answer = Problem.OVERLOADED.answer()
    fields = {**answer.headers, "content-length": str(len(answer.body)), "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with line, contextlib.suppress(OSError):
        line.settimeout(0)
        line.send(f"HTTP/1.1 {answer.status} Service Unavailable\r\n{head}\r\n".encode() + answer.body)
        line.shutdown(socket.SHUT_WR)
        line.recv(65_536)
