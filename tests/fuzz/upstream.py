"""A raw upstream: it speaks WebSocket by hand, so that every bit of what it says can be wrong."""

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tests.fuzz.listening import listening

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SECONDS = 10.0


@dataclass(frozen=True)
class Cut:
    """Where a script ends the line: `close` or `reset` of TCP, `silence`, or `endless` headers."""

    how: str


Script = "list[bytes | Cut]"


@dataclass(frozen=True)
class Create:
    """A create that arrived, over a socket (`line` counts them from 1) or over HTTP (0)."""

    line: int
    body: dict[str, object] = field(repr=False)

    @property
    def input(self) -> list[object]:
        """Its items."""
        given = self.body.get("input")
        return given if isinstance(given, list) else [given]

    @property
    def lane(self) -> str | None:
        """The lane that it names."""
        name = self.body.get("stream_id")
        return name if isinstance(name, str) else None


def frame(payload: bytes, opcode: int = TEXT, *, first: int = 0x80, masked: bool = False) -> bytes:
    """One WebSocket frame. `first` is the top half of its first byte: FIN and the reserved bits."""
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        length = bytes([mask | size])
    elif size < 65_536:
        length = bytes([mask | 126]) + struct.pack("!H", size)
    else:
        length = bytes([mask | 127]) + struct.pack("!Q", size)
    return bytes([first | opcode]) + length + (b"\0\0\0\0" if masked else b"") + payload


class Upstream:
    """Answers each create with what `answer` gives for it: bytes as they are, one after the other.

    `upgrade` says what is answered to an upgrade instead of the right thing; `plain` what to a request over HTTP.
    """

    def __init__(
        self,
        answer: "Callable[[Create], list[bytes | Cut]]",
        plain: "Callable[[Create], list[bytes | Cut]]",
        upgrade: "Callable[[], list[bytes | Cut] | None]" = lambda: None,
    ) -> None:
        self.creates: list[Create] = []
        self._answer = answer
        self._plain = plain
        self._upgrade = upgrade
        self._lines = 0

    def serving(self) -> contextlib.AbstractAsyncContextManager[str]:
        """Listen while the block runs; gives the base URL."""
        return listening(self._serve, "raw upstream")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    if b"sec-websocket-key:" in head.lower():
                        await self._socket(head, reader, writer)
                        return
                    if not await self._http(head, reader, writer):
                        return
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            return
        finally:
            writer.close()

    async def _http(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        size = next(
            (
                int(part.partition(b":")[2])
                for part in head.lower().split(b"\r\n")
                if part.startswith(b"content-length:")
            ),
            0,
        )
        body = await reader.readexactly(size)
        create = Create(0, _object(body))
        self.creates.append(create)
        return await _play(self._plain(create), writer)

    async def _socket(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        instead = self._upgrade()
        if instead is not None:
            await _play(instead, writer)
            return
        self._lines += 1
        number = self._lines
        key = next(
            line.partition(b":")[2].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())  # noqa: S324 - the protocol's
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        while True:
            opcode, payload = await _frame(reader)
            if opcode == PING:
                writer.write(frame(payload, PONG))
            elif opcode == CLOSE:
                writer.write(frame(payload[:2], CLOSE))
                return
            elif opcode == TEXT:
                create = Create(number, msgspec.json.decode(payload, type=dict[str, object]))
                self.creates.append(create)
                if not await _play(self._answer(create), writer):
                    return


def _object(body: bytes) -> dict[str, object]:
    """The JSON object in a body, empty where there is none: what is passed on need not be one."""
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}


async def _play(script: "list[bytes | Cut]", writer: asyncio.StreamWriter) -> bool:
    """Write it; False where the line is over."""
    for step in script:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif step.how == "close":
            return False
        elif step.how == "reset":
            writer.transport.abort()
            return False
        elif step.how == "endless":
            # More headers than anyone would read, and then silence.
            for number in range(30):
                writer.write(b"X-%d: %b\r\n" % (number, b"a" * 60_000))
                await writer.drain()
            await asyncio.Event().wait()
        else:
            # It says nothing more, whatever is asked; the caller's limits, or the end of the test, end it.
            await asyncio.Event().wait()
    return True


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One frame of the client's, unmasked. The client sends whole messages."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size)
    whole = (mask * (size // 4 + 1))[:size]
    return first & 0x0F, (int.from_bytes(masked) ^ int.from_bytes(whole)).to_bytes(size)
