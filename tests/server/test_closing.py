"""Closing: what was answered is sent to its end, what still runs is ended without a word in the log."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from proxy.config import Limits
from proxy.errors import Problem
from proxy.server.listener import Listener, bind
from proxy.server.status import url
from proxy.tasks import Tasks
from proxy.turns.outcome import End
from tests.server.test_listener import CREATE
from tests.server.wire import KEY, connected, request, rigged
from tests.upstream.peer import until

ECHO = request("POST", "/v1/_echo/x", [KEY], b"x" * 20_000)


@contextlib.asynccontextmanager
async def slow(base: str) -> AsyncIterator[socket.socket]:
    """A connection of which little fits into the system's buffers."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.setblocking(False)  # noqa: FBT003 - its one argument
        parts = urlsplit(base)
        await asyncio.get_running_loop().sock_connect(line, (parts.hostname, parts.port))
        yield line


async def test_an_answer_is_sent_to_its_end() -> None:
    """A turn is over for its caller when its last byte has come: the drain waits for it, and counts it as running."""
    loop, tasks = asyncio.get_running_loop(), Tasks()
    async with rigged(limits=Limits(connections=4)) as rig, slow(rig.url) as line:
        asked = 0
        while not rig.app.running:
            await loop.sock_sendall(line, ECHO)
            assert (await rig.outcome()).end is End.PASSED
            asked += 1
            assert asked < 500
        draining = tasks.start(rig.app.drain(10), "drain")
        await until(lambda: rig.app.status().unready is not None)
        assert rig.app.running == 1
        read = b""
        while piece := await loop.sock_recv(line, 65_536):
            read += piece
            assert not draining.done() or not rig.app.running
        assert read.count(b"HTTP/1.1 200 OK") == asked
        assert read.endswith(b'eHg="}')  # the echo is in base64
        async with asyncio.timeout(10):
            await draining
        assert rig.app.running == 0


async def test_who_takes_nothing_is_not_waited_for_longer_than_the_limit() -> None:
    """The rest of an answer that nobody reads is given up at the drain's limit."""
    loop = asyncio.get_running_loop()
    async with rigged() as rig, slow(rig.url) as line:
        while not rig.app.running:
            await loop.sock_sendall(line, ECHO)
            assert (await rig.outcome()).end is End.PASSED
        async with asyncio.timeout(10):
            await rig.app.drain(0.05)
            assert rig.app.running == 1
            await rig.app.close()
        assert rig.app.running == 0


async def test_a_handler_that_ends_just_then_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """Requests that end at any moment of a close leave no traceback; all of them have ended when it is done."""
    caplog.set_level(logging.INFO)
    begun, ended, closing = 0, 0, asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        nonlocal begun, ended
        begun += 1
        try:
            await closing.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await asyncio.Event().wait()
        finally:
            ended += 1
        return web.Response()

    listener = Listener(answer, Problem.answer, most=100, header_seconds=5)
    await listener.start(bind("127.0.0.1", 0))
    async with contextlib.AsyncExitStack() as lines:
        for _ in range(50):
            line = await lines.enter_async_context(connected(url(*listener.addresses[0])))
            await line.send(request("GET", "/"))
        await until(lambda: begun == 50)
        closing.set()
        await listener.close()
    assert (ended, listener.connections, caplog.text) == (50, 0, "")


async def test_what_is_cut_is_not_taken_for_a_hang_up() -> None:
    """A turn that outlives the drain is reported as cut: its caller was there."""
    async with rigged() as rig, connected(rig.url) as line:
        await line.send(CREATE[:-10])
        await until(lambda: rig.app.running == 1)
        await rig.app.drain(0.01)
        await rig.app.close()
        assert (await rig.outcome()).end is End.CUT


async def test_a_connection_that_has_just_come_is_closed_too() -> None:
    """One that is accepted and not set up yet when the listener closes does not stay open."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    listener = Listener(answer, Problem.answer, most=10, header_seconds=5)
    (sock,) = bind("127.0.0.1", 0)
    await listener.start([sock])
    with socket.create_connection(listener.addresses[0], timeout=5) as line:
        listener._knock(sock)
        assert listener.connections == 1
        await listener.close()
        assert listener.connections == 0
        assert line.recv(1) == b""


async def test_who_is_gone_before_he_is_refused_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A caller that has hung up by the time that what he sent is refused leaves nothing in the log."""
    caplog.set_level(logging.INFO)
    async with rigged() as rig:
        parts = urlsplit(rig.url)
        for _ in range(20):
            with socket.create_connection((str(parts.hostname), parts.port or 0)) as line:
                line.sendall(b"GET / HTTP/1.1\r\nbroken\r\n\r\n")
                await until(lambda: any(caller._broken for caller in rig.app._listener._callers))  # type: ignore[union-attr]
            assert (await rig.outcome()).status == 400
            await until(lambda: rig.app.status().connections == 0)
    assert caplog.text == ""
