"""Daemons of a test: commands that share a folder, and the end of all that they have started."""

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.cli.client import Client
from proxy.instance import Instance, instances
from tests.cli.process import ran

NOWHERE = "http://127.0.0.1:9/v1"
Serve = Callable[[web.Application], Awaitable[TestServer]]
_SECONDS = 20.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Home:
    """Where the commands of one test have their files."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """What they are told of it."""
        folder = str(self.folder)
        return {"XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder, "OPENLINE_LOG_FORMAT": "auto"}

    @property
    def running(self) -> list[Instance]:
        """Those that the command line finds."""
        return list(instances(self.folder / "openline" / "running"))

    def log(self, port: int) -> Path:
        """The log of the daemon at this port."""
        return self.folder / "openline" / "log" / f"127.0.0.1-{port}.log"

    async def ran(self, *arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Run a command to its end."""
        return await ran(*arguments, environ={**self.environ, **(environ or {})})

    async def start(self, *arguments: str, environ: dict[str, str] | None = None) -> Instance:
        """Start a daemon at a free port."""
        words = ("start", "--port", "0", *(arguments or ("--upstream", NOWHERE)))
        before = {one.pid for one in self.running}
        status, out, err = await self.ran(*words, environ=environ)
        assert (status, err) == (0, ""), err
        (found,) = [one for one in self.running if one.pid not in before]
        assert out.startswith(f"export OPENAI_BASE_URL={found.api}\n")
        return found

    async def restart(self, instance: Instance) -> Instance:
        """Have another process take over, as `openline restart` does; gives that one."""
        client = Client(instance, _SECONDS)
        pid = (await asyncio.to_thread(client.post, "/restart", {}, dict[str, int]))["pid"]
        (found,) = [one for one in self.running if one.pid == pid]
        return found


@contextlib.asynccontextmanager
async def home(folder: Path) -> AsyncIterator[Home]:
    """The folder; whatever still runs in the end with a file in it is killed."""
    try:
        yield Home(folder)
    finally:
        ps = await asyncio.create_subprocess_exec("ps", "-Aww", "-o", "pid=,args=", stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(ps.communicate(), _SECONDS)
        for pid, command in re.findall(r"^ *([0-9]+) (.*)$", out.decode(errors="replace"), re.MULTILINE):
            if f"--log-file {folder}/" in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


async def until(so: Callable[[], bool]) -> None:
    """Wait for what other processes bring about."""
    async with asyncio.timeout(_SECONDS):
        while not so():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(_PAUSE_SECONDS)


def runs(pid: int) -> bool:
    """Whether there is such a process; one that has ended and that nobody has asked for is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:  # there is no /proc, or no process any more
        return not stat.parent.parent.exists()
    except ProcessLookupError:  # it ended just now
        return False


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


class Upstream:
    """Answers `/v1/models` at once, and all else in two halves, the second once the test lets it."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.may_end = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if request.path == "/v1/models":
            return web.Response(text="answered")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first half, ")
        self.came.set()
        async with asyncio.timeout(30):
            await self.may_end.wait()
        await response.write(b"second half")
        return response

    async def serve(self, server: Serve) -> str:
        """Where it is."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        return f"http://127.0.0.1:{(await server(app)).port}/v1"


async def get(url: str) -> tuple[int, str]:
    """One GET on a connection of its own: status and text."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        return response.status, await response.text()
