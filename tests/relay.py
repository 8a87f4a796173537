"""Relay: a TCP relay on a loopback port of its own, in front of a server."""

import asyncio
from abc import ABC, abstractmethod
from urllib.parse import urlsplit

from proxy.tasks import Tasks


class Relay(ABC):
    """Listens and, for each connection, opens another to its target; how bytes are carried is each kind's own."""

    def __init__(self) -> None:
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
        self._writers += [writer, far_writer]
        self._carry(reader, writer, far_reader, far_writer)

    @abstractmethod
    def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        """Start to carry the bytes of one connection both ways."""
