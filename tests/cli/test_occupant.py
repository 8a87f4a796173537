"""The occupant of a port: another Openline is known by its answer, any other program by name where that can be seen."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy import __version__
from proxy.cli.occupant import describe
from tests.cli.process import started

Serve = Callable[[web.Application], Awaitable[TestServer]]


COMM = Path("/proc/self/comm")
LINUX = COMM.exists()
UNNAMED = "another program is listening there"


def expected_here() -> str:
    """What is said of this very process."""
    return f"{UNNAMED}: {COMM.read_text().strip()} (pid {os.getpid()})" if LINUX else UNNAMED


async def serving(aiohttp_server: Serve, answer: web.Response) -> TestServer:
    """A server that gives this answer to `GET /healthz`."""

    async def health(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/healthz", health)
    return await aiohttp_server(app)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"version": "9.8.7", "pid": 4321, "api": "http://127.0.0.1:1/v1", "more": [1]},
            " (pid 4321, version 9.8.7) at http://127.0.0.1:1/v1",
        ),
        ({"version": "9.8.7", "pid": 4321}, " (pid 4321, version 9.8.7) there"),
        ({}, " there"),
        ({"version": "\x1b[31m", "pid": 1, "api": None}, " (pid 1, version ?[31m) there"),
    ],
)
async def test_another_openline_is_known_by_its_answer(
    aiohttp_server: Serve, more: dict[str, object], said: str
) -> None:
    """A health answer of the right shape gives pid, version and the address to use; one that wants a token its name."""
    port = (await serving(aiohttp_server, web.json_response({"name": "openline", **more}))).port
    assert port is not None
    assert await describe(("127.0.0.1", port)) == f"openline is already running{said}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - asked by another address
async def test_all_addresses_are_asked_by_one(host: str) -> None:
    """Where everything was to be listened on, whoever is on loopback is asked: another Host would be refused."""
    async with started("run", "--port", "0", "--upstream", "http://127.0.0.1:9/v1") as command:
        base = await command.base()
        asked = await describe((host, int(base.removesuffix("/v1").rpartition(":")[2])))
    assert f"(pid {command.pid}, " in asked or host == "::"


async def test_a_socket_file_is_asked_too(tmp_path: Path) -> None:
    """Another Openline behind a unix socket is known; what says nothing to the purpose is another program."""
    path = tmp_path / "s"
    environ = {"OPENLINE_ADMIN_LISTEN": f"unix:{path}"}
    async with started("run", "--port", "0", "--upstream", "http://127.0.0.1:9/v1", environ=environ) as command:
        base = await command.base()
        assert await describe(path) == (
            f"openline is already running (pid {command.pid}, version {__version__}) at {base}"
        )
    assert await describe(path) == UNNAMED


async def test_other_answers_are_from_other_programs(aiohttp_server: Serve) -> None:
    """JSON of another shape or name, and what is no JSON, is another program's."""
    answers = (
        web.json_response({"name": "other", "version": "1", "pid": 1}),
        web.json_response({"name": "openline", "pid": "1"}),
        web.Response(text="OK"),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    )
    for answer in answers:
        port = (await serving(aiohttp_server, answer)).port
        assert port is not None
        assert await describe(("127.0.0.1", port)) == expected_here()


async def test_a_program_that_says_nothing_is_not_waited_for() -> None:
    """A socket that accepts and stays silent is described after about a second."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with asyncio.timeout(10):
            assert await describe(("127.0.0.1", silent.getsockname()[1])) == expected_here()


async def test_a_program_that_speaks_no_http_is_another() -> None:
    """Bytes that are no HTTP answer are another program's."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        assert await describe(("127.0.0.1", server.sockets[0].getsockname()[1])) == expected_here()


async def test_ipv6_addresses_are_asked_too() -> None:
    """An address with colons is asked in brackets; nobody there is described without a name."""
    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as free:
        free.bind(("::1" if socket.has_ipv6 else "127.0.0.1", 0))
        host, port = free.getsockname()[:2]
    assert await describe((host, port)) == UNNAMED


async def test_the_holder_is_found_in_another_process() -> None:
    """On Linux a foreign process that listens is named with its own pid."""
    listen = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", listen, stdin=pipe, stdout=pipe)
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 10))
        said = await describe(("127.0.0.1", port))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    assert said.startswith(UNNAMED)
    assert said.endswith(f"(pid {process.pid})") or not LINUX
