"""A gate: a relay in front of the simulator that meddles with WebSockets on the level of bytes, as it is told."""

import asyncio
import base64
import hashlib
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from proxy.tasks import Tasks

Then = Literal["go on", "end", "reset", "freeze"]
# What the gate does with an upgrade in the simulator's place: its bytes, given the request, and what follows them.
Doorkeeper = Callable[[bytes], tuple[bytes, Then]]
_TEXT = 0x1
CLOSE = b"\x88\x02\x03\xe9"
"""A close frame with code 1001."""


@dataclass(frozen=True)
class Meddling:
    """Before the event number `after` from here on goes down: these bytes, a part of that event, then this."""

    after: int = 0
    raw: bytes = b""
    part: float = 0.0
    """How much of the event still goes down, where it is not to go on."""
    tail: bytes = b""
    """What goes down behind that."""
    then: Then = "go on"


class Gate:
    """Plain HTTP passes as it is. Frozen, a connection carries nothing any more, either way, and stays open."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.doorkeepers: deque[Doorkeeper | None] = deque()
        """For the upgrades to come; without one, or with None, the simulator sees them."""
        self.greetings: deque[bytes] = deque()
        """What the connections to come are sent at once, whatever they ask for, before they are closed."""
        self.meddling: Meddling | None = None
        self.upgrades = 0
        """Sockets that were asked for, as far as the gate could read that."""
        self._tls = tls
        self._tasks = Tasks()
        self._server: asyncio.Server | None = None
        self._target = ("", 0)
        self._port = 0
        self._sockets: list[_Socket] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, base: str) -> str:
        """Listen in front of `base`. Returns the base URL to use instead."""
        parts = urlsplit(base)
        self._target = (parts.hostname or "", parts.port or 0)
        await self.open()
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}{parts.path}"

    async def open(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """End all connections; nobody listens any more."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def now(self, meddling: Meddling) -> None:
        """Meddle with what is open, without waiting for an event."""
        for socket in self._sockets:
            socket.meddle(meddling)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        await self.shut()
        await self._tasks.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            if self.greetings:
                writer.write(self.greetings.popleft())
                writer.close()
                return
            if self._tls:
                await writer.start_tls(self._tls)
            head = await reader.readuntil(b"\r\n\r\n")
            upgrade = b"websocket" in head.lower()
            self.upgrades += upgrade
            doorkeeper = self.doorkeepers.popleft() if upgrade and self.doorkeepers else None
            if doorkeeper:
                raw, then = doorkeeper(head)
                writer.write(raw)
                _follow(writer, then)
                return
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return  # whoever dialled is gone
        self._writers.append(far_writer)
        far_writer.write(head)
        socket = _Socket(self, writer, far_writer)
        self._tasks.start(_carry(reader, far_writer, socket), "gate up")
        if not upgrade:
            self._tasks.start(_carry(far_reader, writer, socket), "gate down")
            return
        self._sockets.append(socket)
        self._tasks.start(_carry_frames(far_reader, writer, socket), "gate down")


class _Socket:
    """One relayed connection."""

    def __init__(self, gate: Gate, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self.over = False
        self._gate = gate
        self._down = down
        self._up = up

    def event(self, frame: bytes) -> None:
        """Pass an event down, or do what was planned for this moment."""
        plan = self._gate.meddling
        if plan is None or plan.after:
            self._gate.meddling = plan and replace(plan, after=plan.after - 1)
            self._down.write(frame)
            return
        self._gate.meddling = None
        self.meddle(plan, frame)

    def meddle(self, plan: Meddling, frame: bytes = b"") -> None:
        """Do it now."""
        self._down.write(plan.raw)
        if plan.then == "go on":
            self._down.write(frame)
            return
        self._down.write(frame[: int(len(frame) * plan.part)] + plan.tail)
        self.over = True
        _follow(self._down, plan.then)
        if plan.then != "freeze":
            self._up.transport.abort()


def _follow(writer: asyncio.StreamWriter, then: Then) -> None:
    if then == "end":
        writer.close()
    elif then == "reset":
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: _Socket) -> None:
    """Carry bytes one way until an end closes."""
    try:
        while (data := await reader.read(65_536)) and not socket.over:
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # an end is gone: the other goes with it
    if not socket.over:
        writer.close()


async def _carry_frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: _Socket) -> None:
    """Carry the answer to the upgrade down, then one frame after another; all as it is where there are none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        if b" 101 " not in head.partition(b"\r\n")[0]:
            await _carry(reader, writer, socket)
            return
        while not socket.over:
            frame = await _frame(reader)
            if socket.over:
                return
            if frame[0] & 0x0F == _TEXT:
                socket.event(frame)
            else:
                writer.write(frame)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        if not socket.over:
            writer.transport.abort()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame of a server, which masks none."""
    head = await reader.readexactly(2)
    size = head[1] & 0x7F
    if size >= 126:
        more = await reader.readexactly(2 if size == 126 else 8)
        head, size = head + more, int.from_bytes(more, "big")
    return head + await reader.readexactly(size)


def accepting(after: bytes, then: Then = "end") -> Doorkeeper:
    """Accepts the upgrade and sends these frames in the same write."""

    def answer(head: bytes) -> tuple[bytes, Then]:
        (key,) = [line.partition(b":")[2].strip() for line in head.split(b"\r\n") if _names_key(line)]
        proof = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        accept = b"Sec-WebSocket-Accept: " + base64.b64encode(proof)
        return b"\r\n".join([*lines, accept, b"", b""]) + after, then

    return answer


def _names_key(line: bytes) -> bool:
    return line.lower().startswith(b"sec-websocket-key:")


def saying(raw: bytes, then: Then = "end") -> Doorkeeper:
    """Answers an upgrade with these bytes."""
    return lambda _head: (raw, then)
