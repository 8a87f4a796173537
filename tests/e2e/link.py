"""A link: bytes between the proxy and the simulator, until it is cut without a word."""

import asyncio
from dataclasses import dataclass

from tests.relay import Relay


class Link(Relay):
    """Frozen, its open connections carry nothing any more, as when a router loses its memory."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[asyncio.Event] = set()
        self._most = 0
        self._wide = asyncio.Event()
        self._wide.set()

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

    def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        frozen = asyncio.Event()
        self._open.add(frozen)
        self._tasks.start(_carried(reader, far_writer, frozen, Narrow(self._most, self._wide)), "link up")
        self._tasks.start(_carried(far_reader, writer, frozen), "link down")


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


async def _carried(
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
