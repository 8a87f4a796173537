"""A listener on loopback: each connection is served by a task of its own until the block ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

from proxy.tasks import Tasks

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]
_LARGEST_READ = 2**26


@contextlib.asynccontextmanager
async def listening(serve: Serve, name: str) -> AsyncIterator[str]:
    """Listen while the block runs; gives the base URL."""
    tasks = Tasks()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.start(serve(reader, writer), name)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_LARGEST_READ)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await tasks.close()
