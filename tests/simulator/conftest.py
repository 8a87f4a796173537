"""Fixtures: simulators that listen, each closed when its test ends."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from proxy.simulator import Behaviour, Simulator
from tests.simulator.wire import Running

Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators with the given options of Behaviour."""
    running: list[Running] = []

    async def begin(**options: object) -> Running:
        sim = Simulator(Behaviour(**options))  # type: ignore[arg-type] # the options' names and types are Behaviour's
        one = Running(sim, await sim.start(), aiohttp.ClientSession(), [])
        running.append(one)
        return one

    yield begin
    for one in running:
        await one.sim.close()
        await one.http.close()
        for connection in one.sockets:
            await connection.close()


@pytest.fixture
async def running(start: Start) -> Running:
    """A simulator with the default behaviour."""
    return await start()
