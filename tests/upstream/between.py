"""What stands between Openline and an upstream in tests: a TLS end in front of it, a forward proxy's process."""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec

from proxy.tasks import Tasks
from tests.upstream.peer import soon


class TlsRelay:
    """Speaks TLS in front of an upstream that does not. `name`: the URL's host, if it is to be no address."""

    def __init__(self, context: ssl.SSLContext, name: str = "") -> None:
        self.port = 0
        self._context = context
        self._name = name
        self._target = ("", 0)
        self._tasks = Tasks()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take a port, without an upstream so far."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def start(self, base: str) -> str:
        """Listen in front of `base`. Returns the base URL to use instead."""
        parts = urlsplit(base)
        self._target = (parts.hostname or "", parts.port or 0)
        if self._server is None:
            await self.listen()
        return f"https://{self._name or f'127.0.0.1:{self.port}'}{parts.path}"

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            self._server.close()
        await self._tasks.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, far_writer]
        self._tasks.start(_carry(reader, far_writer), "relay up")
        self._tasks.start(_carry(far_reader, writer), "relay down")


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Asked(msgspec.Struct, frozen=True):
    """One request that the forward proxy saw."""

    line: str
    headers: dict[str, str]
    status: int


class ForwardProcess:
    """tests/upstream/connect_proxy.py, running."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    async def asked(self) -> Asked:
        """The next request that it saw."""
        if self._process.stdout is None:
            raise TypeError("stdout is a pipe here")
        return msgspec.json.decode(await soon(self._process.stdout.readline()), type=Asked)

    async def all(self) -> list[Asked]:
        """Those that it saw and nobody took, to its end: it is stopped."""
        self._process.terminate()
        out, _ = await soon(self._process.communicate())
        return [msgspec.json.decode(line, type=Asked) for line in out.splitlines()]


@contextlib.asynccontextmanager
async def forward_process(*arguments: str) -> AsyncIterator[ForwardProcess]:
    """Start one; it is stopped at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.upstream.connect_proxy", *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None:
            raise TypeError("stdout is a pipe here")
        async with asyncio.timeout(20.0):
            port = int(await process.stdout.readline())
        yield ForwardProcess(process, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
