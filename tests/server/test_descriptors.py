"""Descriptors: the limit is raised at the start, and running out is survived, in a real process on both loops."""

import asyncio
import contextlib
import os
import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy.server.descriptors import affordable
from proxy.simulator import Behaviour, Simulator
from proxy.tasks import Tasks
from tests.cli.process import Command, started
from tests.server.wire import KEY, Line, ask, connected, request

CALLERS = 200
CREATE = request(
    "POST",
    "/v1/responses",
    [KEY],
    msgspec.json.encode({"model": "gpt-5.4", "input": "hello", "stream": True, "store": False}),
)


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a process with this loop: without uvloop it takes the standard library's."""
    if request.param == "uvloop":
        return {}
    (tmp_path / "uvloop.py").write_text('raise ImportError("not here")')
    return {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """A simulator that thinks for a moment, so that all callers are there at once."""
    sim = Simulator(Behaviour(think_seconds=0.1))
    yield await sim.start()
    await sim.close()


def spent(command: Command) -> float:
    """The seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{command.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sockets(command: Command) -> int:
    """How many sockets a process has."""
    count = 0
    for each in Path(f"/proc/{command.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed just now
            count += os.readlink(each).startswith("socket:")  # noqa: PTH115 - what it names is no path
    return count


def left(command: Command, more: int) -> None:
    """Let a running process open so many descriptors more."""
    now = len(list(Path(f"/proc/{command.pid}/fd").iterdir()))
    resource.prlimit(command.pid, resource.RLIMIT_NOFILE, (now + more, now + more))


async def create(base: str) -> str:
    """One streamed turn on a connection of its own: what came of it."""
    async with connected(base) as line:
        await line.send(CREATE)
        return await outcome(line)


async def outcome(line: Line) -> str:
    """Status, and whether the answer is whole or the code of its error."""
    response = await line.response()
    if response.status == 200:
        return "whole" if b"response.completed" in response.body else "cut"
    return f"{response.status} {response.error()['code']} {response.header('retry-after')}"


@pytest.mark.parametrize("more", [6, 24])
async def test_running_out_is_survived(more: int, loop: dict[str, str], upstream: str) -> None:
    """Of 200 callers at once each gets a whole answer or a clear 503; then a new one is served as ever."""
    if sys.platform != "linux":
        return  # nowhere else can the limit of a running process be changed
    async with started("run", "--port", "0", "--upstream", upstream, environ=loop) as command:
        base = await command.base()
        assert await create(base) == "whole"
        left(command, more)
        tasks = Tasks()
        callers = [tasks.start(create(base), "caller") for _ in range(CALLERS)]
        results = Counter(await asyncio.gather(*callers))
        assert set(results) <= {"whole", "503 openline_overloaded 1"}, results
        async with asyncio.timeout(20):
            while await create(base) != "whole":  # the last of them may not be gone yet
                pass
        status, _, errors = await ended(command)
        assert (status, errors) == (0, "")


async def test_waiting_for_descriptors_is_not_busy(loop: dict[str, str], upstream: str) -> None:
    """While callers that say nothing hold all there are, the next are told so at once, and the process rests."""
    if sys.platform != "linux":
        return  # nowhere else can the limit of a running process be changed
    async with started("run", "--port", "0", "--upstream", upstream, environ=loop) as command:
        base = await command.base()
        open_before = sockets(command)
        assert await create(base) == "whole"
        async with asyncio.timeout(20):
            while sockets(command) > open_before + 1:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0)  # until the caller's end is closed there too, only the upstream's is left
        left(command, 10)
        hogs = [
            await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2].partition("/")[0]))
            for _ in range(40)
        ]
        before = spent(command)
        for _ in range(100):
            assert await create(base) == "503 openline_overloaded 1"
        assert spent(command) - before < 2.0
        for _, writer in hogs:
            writer.close()
        async with asyncio.timeout(20):
            while await create(base) != "whole":
                pass


async def ended(command: Command) -> tuple[int, str, str]:
    """Ask it to end, and wait for that."""
    command.send(15)  # type: ignore[arg-type] # SIGTERM
    return await command.end()


@pytest.mark.parametrize(("soft", "hard", "expected"), [(64, 900, 900), (900, 900, 900), (64, 100_000, 65_536)])
async def test_the_limit_is_raised(soft: int, hard: int, expected: int) -> None:
    """`openline run` takes what the system allows, up to 65,536."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {min(hard, most)}))\n"
        "from proxy.server.descriptors import raise_limit; print(raise_limit())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert int(out) == min(expected, most)


def test_callers_get_half_of_what_there_is() -> None:
    """Each caller may need a connection upstream, and the process some of its own; one caller is always served."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert affordable(1) == 1
    assert affordable(10 * soft) <= soft // 2


async def test_the_command_raises_its_limit(upstream: str) -> None:
    """A process that was started with a low limit has a higher one when it serves."""
    if sys.platform != "linux":
        return  # nowhere else can the limit of another process be read
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))  # inherited
    try:
        async with started("run", "--port", "0", "--upstream", upstream) as command:
            base = await command.base()
            assert resource.prlimit(command.pid, resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
            assert (await ask(base, "GET", "/healthz")).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
