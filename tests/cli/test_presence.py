"""A presence: who is at an address, as far as that is said within a moment."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing

from proxy.cli.execution.presence import Presence, addresses, presence
from proxy.simulator import Simulator
from tests.server.wire import rigged

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def at(port: int, host: str = "127.0.0.1") -> Presence:
    """Asked in a thread, as those who are asked run in this loop."""
    return await asyncio.to_thread(presence, host, port)


async def test_nobody() -> None:
    """The connection is refused, at each address of the name."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        assert await at(port, host) == Presence("nobody")


async def test_an_openline() -> None:
    """It says so, and its pid to those who may know it."""
    async with rigged() as rig:
        port = int(rig.url.rpartition(":")[2].removesuffix("/v1"))
        for host in ("127.0.0.1", "localhost"):
            assert await at(port, host) == Presence("openline", os.getpid())


async def test_another_program() -> None:
    """Whatever else is said, in whatever form, and however the connection ends."""
    async with Simulator() as simulator:
        assert await at(int((await simulator.start()).rpartition(":")[2].removesuffix("/v1"))) == Presence("another")
    for words in (b"", b"220 hello\r\n", b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 10_000):

        async def says(_: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes = words) -> None:
            writer.write(words)
            writer.close()

        assert await served(says) == Presence("another")


async def test_one_that_says_too_little_too_slowly() -> None:
    """Something is another program, and nothing is silence: neither is waited for."""
    over = asyncio.Event()
    for words, kind in ((b"HTTP/1.1 200 OK\r\n", "another"), (b"", "silent")):

        async def says(_: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes = words) -> None:
            writer.write(words)
            await over.wait()
            writer.close()

        assert (await served(says)).kind == kind
    over.set()


async def test_what_cannot_be_reached_is_silent() -> None:
    """A name that leads nowhere is not nobody: it may lead somewhere for the command."""
    assert addresses("no-such-name.invalid", 80) == []
    assert await at(80, "no-such-name.invalid") == Presence("silent")


async def served(serve: Serve) -> Presence:
    """Who is where this serves."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with closing(server):
        return await at(server.sockets[0].getsockname()[1])
