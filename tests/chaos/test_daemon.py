"""A storm over `openline run` in a process of its own: descriptors, sockets and turns, counted from outside."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec

from proxy.config import Settings
from proxy.server.app import Openline
from proxy.simulator import Behaviour, Simulator
from tests.chaos.census import until
from tests.chaos.judge import Verdict
from tests.chaos.storm import Agent, Callers, Storm, all_of
from tests.cli.process import Command, started
from tests.e2e.stack import Stack

AGENTS, TURNS, STORMS = 20, 4, 2
_SETTINGS = {
    "OPENLINE_ADMIN_LISTEN": "127.0.0.1:0",
    "OPENLINE_UPSTREAM__LANES": "on",
    "OPENLINE_UPSTREAM__AGE_LIMIT_SECONDS": "1",
    "OPENLINE_POOL__BREAKER_SECONDS": "0.05",
    "OPENLINE_POOL__RECHECK_SECONDS": "0.05",
    "OPENLINE_POOL__MIN_REMAINING_SECONDS": "0.2",
    "OPENLINE_POOL__MAX_CONNECTIONS": "24",
    "OPENLINE_TIMEOUTS__DIAL_SECONDS": "1",
    "OPENLINE_TIMEOUTS__FIRST_EVENT_SECONDS": "2",
    "OPENLINE_TIMEOUTS__SILENCE_SECONDS": "2",
    "OPENLINE_HEADS__SURVIVE_RESTARTS": "false",
}


class _Sockets(msgspec.Struct):
    idle: int
    busy: int
    retiring: int
    coming: int


class _Pool(msgspec.Struct):
    sockets: _Sockets
    waiting: int


class _Status(msgspec.Struct):
    running: int
    connections: int
    pool: _Pool

    @property
    def at_rest(self) -> bool:
        """Whether nothing is done for anybody."""
        sockets = self.pool.sockets
        return not (self.running or self.connections or self.pool.waiting or sockets.busy or sockets.coming)


class Daemon:
    """One `openline run`, seen from outside."""

    def __init__(self, command: Command, base: str, admin: str) -> None:
        self.base = base
        self._pid = command.pid
        self._admin = admin

    def descriptors(self) -> int:
        """How many it has open."""
        listed = Path(f"/proc/{self._pid}/fd")
        if listed.exists():
            return sum(1 for _ in listed.iterdir())
        found = subprocess.run(["/usr/sbin/lsof", "-p", str(self._pid)], capture_output=True, check=True)  # noqa: S603
        return found.stdout.count(b"\n")

    async def at_rest(self) -> int:
        """Wait until it does nothing for anybody. Returns its open WebSockets."""
        async with asyncio.timeout(15), aiohttp.ClientSession(headers={"connection": "close"}) as session:
            while True:
                async with session.get(f"{self._admin}/status") as response:
                    status = msgspec.json.decode(await response.read(), type=_Status)
                if status.at_rest:
                    return status.pool.sockets.idle


@contextlib.asynccontextmanager
async def daemon(upstream: str) -> AsyncIterator[Daemon]:
    """Start one."""
    async with started("run", "--port", "0", "--upstream", upstream, environ=_SETTINGS) as command:
        base = (await command.line()).removeprefix("export OPENAI_BASE_URL=")
        while not (line := await command.line()).startswith("admin: "):
            pass
        yield Daemon(command, base, line.split()[1])


def kept_alive(sim: Simulator) -> int:
    """The connections of plain HTTP."""
    return len(sim._runner.server.connections) if sim._runner and sim._runner.server else 0


async def test_nothing_is_left_of_a_storm() -> None:
    """After each storm, with sockets cut and callers gone, the process has what it had open before the first turn."""
    seed = "daemon"
    async with Simulator(Behaviour(event_seconds=0.001, journal_limit=100_000, forgetful=0.05, age_limit=1.0)) as sim:
        direct = await sim.start()
        async with daemon(direct) as proxy:
            await proxy.at_rest()
            before = proxy.descriptors()
            for storm in range(STORMS):
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
                    unstarted = Openline(Settings(), print)  # the one that runs is in the other process
                    callers = Callers(Stack(sim, unstarted, proxy.base, direct, session), Storm(noise=True))
                    agents = [Agent(callers, number, f"{seed}-{storm}") for number in range(AGENTS)]
                    await all_of(agents, TURNS)
                    sim.faults.clear()
                told = callers.judged().told
                assert told[Verdict.RIGHT] > told.total() / 2, told
                assert callers.arrived() > told.total() / 2
                await proxy.at_rest()
                await sim.drop_connections()
                await until(lambda: sim.connections == 0, lambda: sim.connections)
                assert await proxy.at_rest() == 0
                # Plain HTTP keeps some connections for the next turn; they are counted at their other end.
                await until(lambda: proxy.descriptors() <= before + kept_alive(sim), proxy.descriptors)
