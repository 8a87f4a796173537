"""`openline run` with handed sockets: it serves on them, leaves them to its successor, and minds its settings."""

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.server.handover import handed_to
from tests.server.wire import Line, ask, request_head, scripted

RUN = ("-m", "proxy", "run", "--upstream", "http://127.0.0.1:9/v1", "--log-format", "human")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """The socket that whoever starts Openline holds."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def environ(tmp_path: Path, listening: socket.socket) -> dict[str, str]:
    """Settings that name it, and folders of the test's own."""
    return {
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "OPENLINE_LISTEN": f"127.0.0.1:{listening.getsockname()[1]}",
        "OPENLINE_ADMIN_LISTEN": "off",
        "OPENLINE_DRAIN_SECONDS": "60",
    }


async def pid_at(sock: socket.socket) -> int:
    """The process that answers a caller there."""
    timeout = aiohttp.ClientTimeout(total=20)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/healthz"
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        return int(json.loads(await response.read())["pid"])


async def test_a_caller_is_served_by_whoever_comes_next(listening: socket.socket, environ: dict[str, str]) -> None:
    """Called before the first one runs, after its crash, and after an orderly end: nobody is refused."""
    for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGTERM):
        async with asyncio.TaskGroup() as callers:
            waiting = callers.create_task(pid_at(listening))
            async with handed_to(RUN, {"api": listening}, environ) as process:
                assert await waiting == process.pid
                process.send_signal(end)
                await asyncio.wait_for(process.wait(), 20)
                assert process.returncode == (-end if end == signal.SIGKILL else 0)


async def test_callers_wait_while_a_turn_ends(listening: socket.socket, environ: dict[str, str]) -> None:
    """Asked to end with a turn in flight, it lets that end; who comes meanwhile is for the next one."""

    async def hold(line: Line) -> None:
        await request_head(line)
        asked.set()
        async with asyncio.timeout(20):
            await may_answer.wait()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    asked, may_answer = asyncio.Event(), asyncio.Event()
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with scripted(hold) as upstream, asyncio.TaskGroup() as callers:
        run = (*RUN[:4], upstream, *RUN[5:])
        async with handed_to(run, {"api": listening}, environ) as first:
            turn = callers.create_task(ask(base, "GET", "/v1/models"))
            async with asyncio.timeout(20):
                await asked.wait()
            first.send_signal(signal.SIGTERM)
            assert first.stdout is not None
            async with asyncio.timeout(20):
                while b"waiting for 1 running turn" not in await first.stdout.readline():
                    pass
            late = callers.create_task(pid_at(listening))
            async with handed_to(run, {"api": listening}, environ) as second:
                assert await late == second.pid
                may_answer.set()
                assert (await turn).body == b"ok"
                assert await asyncio.wait_for(first.wait(), 20) == 0


@pytest.mark.parametrize(
    ("names", "listen", "line"),
    [
        ("api", "127.0.0.1:6736", "openline: listen: '127.0.0.1:6736' is another address than 127.0.0.1:"),
        ("admin", "", "openline: admin_listen: 'off' is not where the socket 'admin' is"),
    ],
)
async def test_a_socket_that_the_settings_do_not_name_stops_the_start(
    names: str, listen: str, line: str, listening: socket.socket, environ: dict[str, str]
) -> None:
    """One line says what was handed over and what the settings say; status 2, as no new start would help."""
    given = {**environ, **({"OPENLINE_LISTEN": listen} if listen else {})}
    async with handed_to(RUN, {names: listening}, given) as process:
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith(line)
    assert err.count(b"\n") == 1
