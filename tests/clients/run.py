"""Run: one client through one script, once at the simulator itself and once through the proxy."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.clients.calls import Call
from tests.clients.client import Client
from tests.clients.driver import Driver, DriverError, Reply, driver
from tests.clients.environment import Environment, bytecode
from tests.clients.scripts import Break, Drop, Kill, Mend, Restart, Say, Script
from tests.clients.stage import Entry, Stage, stage

KEY = "sk-clients-under-test"


@dataclass(frozen=True)
class Turn:
    """One prompt for each conversation: what came of it, and the calls that the client made for it."""

    replies: tuple[Reply, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Side:
    """How the script went on one side. `given`: the prompts that the model was given; `log`: the proxy's lines."""

    turns: tuple[Turn, ...]
    given: tuple[Entry, ...]
    log: str

    @property
    def calls(self) -> list[Call]:
        """All calls."""
        return [call for turn in self.turns for call in turn.calls]


@dataclass(frozen=True)
class Pair:
    """Both sides of one script."""

    client: Client
    mode: str
    script: Script
    direct: Side
    proxied: Side


async def both(client: Client, mode: str, script: Script, environment: Environment) -> Pair:
    """Play the script on both sides, at the same time. DriverError where the client's process fails."""
    direct, proxied = await asyncio.gather(
        *(_play(client, mode, script, environment, proxied=proxied) for proxied in (False, True)),
        return_exceptions=True,
    )
    for side, name in ((direct, "directly"), (proxied, "through the proxy")):
        if isinstance(side, DriverError):
            raise DriverError(f"{name}: {side}") from side
        if isinstance(side, BaseException):
            raise side
    if isinstance(direct, BaseException) or isinstance(proxied, BaseException):
        raise TypeError("errors have been raised above")
    return Pair(client, mode, script, direct, proxied)


async def _play(
    client: Client,
    mode: str,
    script: Script,
    environment: Environment,
    *,
    proxied: bool,
) -> Side:
    with tempfile.TemporaryDirectory(prefix="openline-client-") as folder:
        async with stage(
            proxied=proxied,
            simulate=(*script.simulate, *client.simulate, *(() if proxied else client.direct)),
            environ={**script.environ, **client.openline(mode)},
        ) as scene:
            task = {"base_url": scene.base, "key": KEY, "mode": mode.partition("+")[0], "folder": folder}
            async with _Play(scene, environment.command(client.driver), task, client).running() as play:
                for step in script.steps:
                    await play.step(step)
                await play.end()
            given = await scene.journal()
            log = await scene.ended()
            (Path(folder) / "stderr.txt").unlink(missing_ok=True)
    return Side(tuple(play.turns), tuple(given), log)


class _Play:
    """A script under way."""

    def __init__(self, scene: Stage, command: list[str], task: dict[str, str], client: Client) -> None:
        self.turns: list[Turn] = []
        self._scene = scene
        self._command = command
        self._task = task
        self._client = client
        self._seen = 0
        self._opened = AsyncExitStack()
        self._driver: Driver | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["_Play"]:
        """With its client started."""
        async with self._opened:
            await self._start()
            yield self

    async def step(self, step: object) -> None:
        """Take one step."""
        match step:
            case Say(prompts):
                self._note(await self._client_now.say(prompts))
            case Break(fault):
                await self._scene.queue(fault)
            case Mend():
                await self._scene.clear()
            case Drop():
                await self._scene.drop()
            case Restart():
                await self.end()
                await self._start()
            case Kill(prompts, count):
                await self._client_now.begin(prompts)
                try:
                    await self._scene.struck(count)
                except TimeoutError:
                    raise DriverError("the fault that it was to be killed at never struck") from None
                await self._client_now.kill()
                await self._scene.clear()
                self._note([])
                await self._start()
            case _:
                raise TypeError(f"no such step: {step!r}")

    async def end(self) -> None:
        """Let the client end."""
        await self._client_now.end()

    @property
    def _client_now(self) -> Driver:
        if self._driver is None:
            raise TypeError("the client has not been started")
        return self._driver

    async def _start(self) -> None:
        environ = {self._client.variable: self._task["base_url"], "OPENAI_API_KEY": self._task["key"]}
        started = driver(self._command, self._task, {**bytecode(), **environ, **self._client.environ})
        self._driver = await self._opened.enter_async_context(started)

    def _note(self, replies: list[Reply]) -> None:
        calls = self._scene.calls()
        self.turns.append(Turn(tuple(replies), tuple(calls[self._seen :])))
        self._seen = len(calls)
