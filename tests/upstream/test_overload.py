"""Overload on the way out: plain HTTP connections have a limit, and running out of descriptors is survived."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config import Pool, Settings, Timeouts
from proxy.errors import Problem, Refused
from proxy.tasks import Tasks
from proxy.upstream.address import Address
from proxy.upstream.http import HttpRequest, PlainHttp
from proxy.upstream.way import Way
from tests.server.wire import Line, request_head, scripted
from tests.upstream.peer import LIMIT, soon, until

ROOT = Path(__file__).parents[2]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = HttpRequest("GET", "/v1/models", (), None)


class Slow:
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    async def __call__(self, line: Line) -> None:
        """Serve one connection."""
        while True:
            await request_head(line)
            self.asked += 1
            await self.go.wait()
            await line.send(OK)


@contextlib.asynccontextmanager
async def plain(base: str, wait: float) -> AsyncIterator[PlainHttp]:
    """A client with two connections."""
    settings = Settings(pool=Pool(http_connections=2, wait_seconds=wait / 2), timeouts=Timeouts(dial_seconds=wait / 2))
    http = PlainHttp(Way(Address(base)), settings, "1.1 openline-test")
    try:
        yield http
    finally:
        await http.close()


async def read(http: PlainHttp) -> bytes:
    """A whole exchange."""
    async with await http.open(GET) as response:
        return await response.read()


async def test_no_more_connections_than_the_limit() -> None:
    """Whoever finds none free waits for one, and gets it when another's answer is over."""
    upstream, tasks = Slow(), Tasks()
    async with scripted(upstream) as base, plain(base, 2 * LIMIT) as http:
        reading = [tasks.start(read(http), "request") for _ in range(5)]
        await until(lambda: upstream.asked == 2)
        upstream.go.set()
        assert await soon(asyncio.gather(*reading)) == [b"ok"] * 5
        assert upstream.asked == 5
    await tasks.close()


async def test_the_wait_for_one_is_bounded() -> None:
    """After it the caller is told to come again: 503 with Retry-After, and the busy ones are not disturbed."""
    upstream, tasks = Slow(), Tasks()
    async with scripted(upstream) as base, plain(base, 0.3) as http:
        busy = [tasks.start(read(http), "request") for _ in range(2)]
        await until(lambda: upstream.asked == 2)
        with pytest.raises(Refused) as refused:
            await soon(read(http))
        assert refused.value.problem is Problem.OVERLOADED
        answer = refused.value.problem.answer(refused.value.detail)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        upstream.go.set()
        assert await soon(asyncio.gather(*busy)) == [b"ok"] * 2
        assert await soon(read(http)) == b"ok"
    await tasks.close()


async def test_a_slow_upstream_is_no_overload() -> None:
    """A connection that does not come about is the upstream's fault, also where others are open."""

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(-1)
        writer.close()
        over.set()

    over = asyncio.Event()
    async with await asyncio.start_server(says_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Settings(timeouts=Timeouts(dial_seconds=0.05))
        way = Way(Address(f"https://127.0.0.1:{port}/v1"))
        http = PlainHttp(way, settings, "1.1 openline-test")
        with pytest.raises(Refused) as refused:
            await soon(http.open(GET))
        assert refused.value.problem is Problem.UNREACHABLE
        await http.close()
        await soon(over.wait())


def test_running_out_of_descriptors() -> None:
    """In a process with few: turns go on in what there is, then a 503; no breaker opens, and after it all is well."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.upstream.starved"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    # An idle socket was closed to make room for the one that a turn needed.
    assert told["made room"] == {"route": "full", "status": 200, "faults": 1, "sockets": 1}
    # With nothing to close: over the HTTP connection that is open already.
    assert told["over http"] == {"route": "http", "reason": "no_descriptor", "status": 200}
    # Nor that.
    assert told["nothing"] == {"status": 503, "code": "openline_overloaded"}
    assert told["breakers"] == {"open": 0, "half_open": 0, "failures": 0}
    assert told["after"] == {"route": "full", "status": 200}
