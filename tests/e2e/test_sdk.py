"""The real SDK, the real command and the simulator, each in a process of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest

from tests.cli.process import ROOT, Command, started

_SECONDS = 50.0
_ROUNDS = 20
_FEWER_ROUNDS = 8
WAYS = ("sync", "raw", "async", "stream", "helper")


@dataclass(frozen=True)
class Processes:
    """`openline run` in front of `openline simulate`, and the base URL of each."""

    proxy: Command
    base: str
    direct: str


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    """Both commands, on free ports."""
    async with AsyncExitStack() as opened:
        simulator = await opened.enter_async_context(started("simulate", "--port", "0"))
        direct = (await simulator.line()).removeprefix("export OPENAI_BASE_URL=")
        proxy = await opened.enter_async_context(started("run", "--port", "0", "--upstream", direct))
        yield Processes(proxy, await proxy.base(), direct)


async def agents(way: str, count: int, rounds: int, base: str) -> dict[str, str]:
    """Run the agents in a process of their own: what each was told in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.agent", way, str(count), str(rounds), base),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return msgspec.json.decode(out, type=dict[str, str])


async def routes(proxy: Command) -> list[str]:
    """End the proxy; the route of each turn, from the lines that it printed."""
    proxy.send(signal.SIGTERM)
    status, out, err = await proxy.end()
    assert (status, err) == (0, "")
    return [line.split()[0] for line in out.splitlines() if not line.startswith("openline")]


@pytest.mark.parametrize("way", WAYS)
async def test_an_agent_on_the_sdk_gets_deltas_and_the_same_answer(processes: Processes, way: str) -> None:
    """Twenty tool rounds: every turn after the first is a delta, and the answer is that of the API itself."""
    ended = await agents(way, 1, _ROUNDS, processes.base)
    assert ended == await agents(way, 1, _ROUNDS, processes.direct)
    assert await routes(processes.proxy) == ["full", *["delta"] * _ROUNDS]


async def test_eight_agents_at_once_with_eight_keys(processes: Processes) -> None:
    """Agents with different keys do not get into each other's way: each has all but its first turn as deltas."""
    ended = await agents("async", 8, _FEWER_ROUNDS, processes.base)
    assert ended == await agents("async", 8, _FEWER_ROUNDS, processes.direct)
    assert len(set(ended.values())) == 8
    taken = await routes(processes.proxy)
    assert (taken.count("full"), taken.count("delta")) == (8, 8 * _FEWER_ROUNDS)
