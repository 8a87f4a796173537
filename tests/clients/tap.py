"""Tap: a TCP relay in front of a server that keeps what went through it. It changes nothing."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from proxy.tasks import Tasks


@dataclass
class Line:
    """One connection: its bytes, and for each piece that the client sent its offset and its place in time."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[int, int]] = field(default_factory=list)

    def when(self, offset: int) -> int:
        """The place in time of the piece that holds this byte of the client's."""
        return max(place for begins, place in self.pieces if begins <= offset)


class Tap:
    """Listens on a loopback port of its own and relays to `base`."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._clock = itertools.count()
        self._tasks = Tasks()
        self._server: asyncio.Server | None = None
        self._target = ("", 0)
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, base: str) -> str:
        """Listen in front of `base`; gives the base URL to use instead."""
        parts = urlsplit(base)
        self._target = (parts.hostname or "", parts.port or 0)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{parts.path}"

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            self._server.close()
        await self._tasks.close()
        for writer in self._writers:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        line = Line()
        self.lines.append(line)
        self._writers += [writer, far_writer]
        self._tasks.start(self._up(reader, far_writer, line), "tap up")
        self._tasks.start(_carry(far_reader, writer, line.down), "tap down")

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
        await _carry(
            reader,
            writer,
            line.up,
            lambda: line.pieces.append((len(line.up), next(self._clock))),
        )


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    kept: bytearray,
    note: Callable[[], object] = lambda: None,
) -> None:
    """Carry bytes one way until an end closes; a reset is passed on as one."""
    try:
        while data := await reader.read(65_536):
            note()
            kept += data
            writer.write(data)
            await writer.drain()
        writer.close()
    except ConnectionError:
        writer.transport.abort()
