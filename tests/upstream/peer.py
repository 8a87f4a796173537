"""A peer: a WebSocket server on loopback that does exactly what a test tells it to, and what such tests share."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from types import TracebackType
from typing import TypeVar

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from proxy.upstream.patience import Patience

# No wait of a test is longer, in seconds; reaching it is a failure.
LIMIT = 5.0
_SMALL = 65_536
T = TypeVar("T")


def patience() -> Patience:
    """As much as any test needs."""
    return Patience(10 * LIMIT)


async def soon(work: Awaitable[T]) -> T:
    """What `work` gives, within the limit."""
    async with asyncio.timeout(LIMIT):
        return await work


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition()` holds; TimeoutError at the limit."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - only yields to the loop: what is waited for has no event of its own
            await asyncio.sleep(0)


class Line:
    """One socket that the peer accepted. The test reads and writes it; pings are answered by the library."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    @property
    def asked(self) -> Headers:
        """The headers of the upgrade."""
        if self.socket.request is None:
            raise LookupError("no upgrade request")
        return self.socket.request.headers

    async def frame(self) -> dict[str, object]:
        """The next frame that came in, decoded."""
        return msgspec.json.decode(await soon(self.socket.recv()), type=dict[str, object])

    async def send(self, *frames: bytes) -> None:
        """Write text frames, one right after the other."""
        for frame in frames:
            await soon(self.socket.send(frame, text=True))

    async def close(self, code: int = 1000) -> None:
        """An orderly end."""
        await soon(self.socket.close(code))

    async def closed(self) -> int | None:
        """Wait for the end; its close code."""
        await soon(self.socket.wait_closed())
        return self.socket.close_code

    def abort(self) -> None:
        """A TCP reset."""
        self.socket.transport.abort()

    def deafen(self) -> None:
        """Read nothing more: no frame, no ping. The kernel takes little in its place."""
        kernel: socket.socket = self.socket.transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        self.socket.transport.pause_reading()

    def undeafen(self) -> None:
        """Read on, if it did not."""
        if not self.socket.transport.is_closing():
            self.socket.transport.resume_reading()


class Peer:
    """Listens while the `async with` block runs. Every upgrade is accepted unless `refusals` holds an answer."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.upgrades: list[Request] = []
        self.refusals: deque[Response] = deque()
        self.gate: asyncio.Event | None = None
        """Where set, upgrades wait for it."""
        self._tls = tls
        self._held: list[Line] = []
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._server: Server | None = None

    async def __aenter__(self) -> "Peer":
        """Listen on a free port."""
        self._server = await serve(
            self._hold, "127.0.0.1", 0, process_request=self._upgrade, ssl=self._tls, close_timeout=1, max_size=2**26
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every socket and stop listening."""
        if self.gate:
            self.gate.set()
        for line in self._held:
            line.undeafen()
        if self._server:
            self._server.close()
            await soon(self._server.wait_closed())

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1] if self._server else 0
        return port

    @property
    def base(self) -> str:
        """The upstream URL to give to the proxy."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def untaken(self) -> int:
        """Lines that were opened and that no test has taken yet."""
        return self._lines.qsize()

    async def line(self) -> Line:
        """The next socket that was opened."""
        return await soon(self._lines.get())

    async def _upgrade(self, _socket: ServerConnection, request: Request) -> Response | None:
        self.upgrades.append(request)
        if self.gate:
            await self.gate.wait()
        return self.refusals.popleft() if self.refusals else None

    async def _hold(self, socket: ServerConnection) -> None:
        line = Line(socket)
        self._held.append(line)
        self._lines.put_nowait(line)
        await socket.wait_closed()


def refusal(status: int, body: bytes = b"", **headers: str) -> Response:
    """An answer to an upgrade; underscores in the headers' names stand for dashes."""
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    fields["Content-Length"] = str(len(body))
    return Response(status, HTTPStatus(status).phrase, fields, body)


def event(kind: str, **fields: object) -> bytes:
    """A frame as the API writes it: its type comes first."""
    return msgspec.json.encode({"type": kind, **fields})


def created(name: str = "resp_1", parent: str | None = None, **lane: str) -> bytes:
    """The first event of a response."""
    response: dict[str, object] = {"id": name, "previous_response_id": parent, "status": "in_progress", "output": []}
    return event("response.created", **lane, response=response, sequence_number=0)


def message(text: str) -> dict[str, object]:
    """A message item, as the model says it."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def completed(
    name: str = "resp_1", text: str = "hello", *, store: bool = False, tokens: int = 10, **lane: str
) -> bytes:
    """The terminal event of a response that says `text`."""
    usage = {
        "input_tokens": tokens,
        "output_tokens": 7,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    response = {"id": name, "status": "completed", "store": store, "output": [message(text)], "usage": usage}
    return event("response.completed", **lane, response=response, sequence_number=3)


def said(
    name: str = "resp_1", text: str = "hello", *, store: bool = False, tokens: int = 10, **lane: str
) -> list[bytes]:
    """A whole response: one message. `stream_id` names its lane."""
    item = message(text)
    return [
        created(name, **lane),
        event("response.output_item.added", **lane, output_index=0, item={**item, "content": []}, sequence_number=1),
        event("response.output_item.done", **lane, output_index=0, item=item, sequence_number=2),
        completed(name, text, store=store, tokens=tokens, **lane),
    ]


def failure(code: str, *, status: int = 400, text: str = "no", **fields: object) -> bytes:
    """An error frame."""
    error = {"type": "invalid_request_error", "code": code, "message": text, "param": None, **fields}
    return event("error", status=status, error=error)


def named(name: str) -> asyncio.Task[object]:
    """The running task with this name; LookupError unless there is exactly one."""
    found: list[asyncio.Task[object]] = [task for task in asyncio.all_tasks() if task.get_name() == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} tasks are named {name}")
    return found[0]


async def over(work: "asyncio.Task[T] | Coroutine[object, object, T]") -> None:
    """Wait until a task has ended, however it ended."""
    if not isinstance(work, asyncio.Task):
        raise TypeError("a task is waited for")
    done, _ = await asyncio.wait({work}, timeout=LIMIT)
    if not done:
        raise TimeoutError(f"{work.get_name()} does not end")
