"""A link: bytes between the proxy and the simulator, until it is cut without a word."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.tasks import Tasks


class Link:
    """A TCP relay. Frozen, its open connections carry nothing any more, as when a router loses its memory."""

    def __init__(self) -> None:
        self._tasks = Tasks()
        self._server: asyncio.Server | None = None
        self._target = ("", 0)
        self._open: set[asyncio.Event] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._most = 0
        self._wide = asyncio.Event()
        self._wide.set()

    async def start(self, base: str) -> str:
        """Listen in front of `base`. Returns the base URL to use instead."""
        parts = urlsplit(base)
        self._target = (parts.hostname or "", parts.port or 0)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{parts.path}"

    def narrow(self, size: int) -> None:
        """Connections that are opened from here on carry that many bytes up, and then nothing until widened."""
        self._most = size
        self._wide.clear()

    def widen(self) -> None:
        """Carry all again."""
        self._wide.set()

    def freeze(self) -> None:
        """What is open now carries nothing from here on; new connections do."""
        for frozen in self._open:
            frozen.set()
        self._open.clear()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            self._server.close()
        await self._tasks.close()
        for writer in self._writers:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        frozen = asyncio.Event()
        self._open.add(frozen)
        self._writers += [writer, far_writer]
        self._tasks.start(_carry(reader, far_writer, frozen, Narrow(self._most, self._wide)), "link up")
        self._tasks.start(_carry(far_reader, writer, frozen), "link down")


@dataclass
class Narrow:
    """What one connection may still carry before it waits for `wide`."""

    left: int
    wide: asyncio.Event

    async def carried(self, size: int) -> None:
        """That many bytes are about to go."""
        if self.left < size:
            await self.wide.wait()
        self.left -= size


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frozen: asyncio.Event, narrow: Narrow | None = None
) -> None:
    """Carry bytes one way until an end closes or the link is frozen."""
    try:
        while data := await reader.read(16_384):
            if narrow:
                await narrow.carried(len(data))
            if frozen.is_set():
                return
            writer.write(data)
            await writer.drain()
        writer.close()
    except ConnectionError:
        writer.close()
