"""Stage: a simulator of its own process, a proxy in front of it or none, and a tap in front of both for the client."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import msgspec

from tests.cli.process import Command, started
from tests.clients.calls import Call, calls
from tests.clients.environment import bytecode
from tests.clients.tap import Tap

_SECONDS = 30.0


class Entry(msgspec.Struct):
    """The part of the simulator's journal that is looked at: what the model was given for a create."""

    prompt: str | None = None
    transport: str = ""
    generate: bool = True
    outcome: str = ""


class _Faults(msgspec.Struct):
    struck: list[dict[str, object]]


@dataclass
class Stage:
    """`base` is the URL for the client. Everything else steers the simulator or says what went on."""

    base: str
    api: str
    tap: Tap
    session: aiohttp.ClientSession
    proxy: Command | None

    async def queue(self, fault: Mapping[str, object]) -> None:
        """Let this fault wait for the next request that it fits."""
        await self._control("POST", "faults", [fault])

    async def clear(self) -> None:
        """Forget the faults that wait, and let what hangs go on."""
        await self._control("DELETE", "faults")

    async def release(self) -> None:
        """Let what hangs go on."""
        await self._control("POST", "release")

    async def drop(self) -> None:
        """Reset every WebSocket of the simulator."""
        await self._control("DELETE", "connections")

    async def struck(self, count: int) -> None:
        """Wait until that many faults have struck; TimeoutError if they never do."""
        async with asyncio.timeout(_SECONDS):
            while len(msgspec.json.decode(await self._control("GET", "faults"), type=_Faults).struck) < count:
                pass  # each look is a round trip to another process

    async def journal(self) -> list[Entry]:
        """What the model was given, create by create."""
        entries = msgspec.json.decode(await self._control("GET", "journal"), type=list[Entry])
        return [entry for entry in entries if entry.generate]

    def calls(self) -> list[Call]:
        """What the client asked so far."""
        return calls(self.tap.lines)

    async def ended(self) -> str:
        """End the proxy; gives its lines."""
        if self.proxy is None:
            return ""
        self.proxy.send(signal.SIGTERM)
        _, out, err = await self.proxy.end()
        return out + err

    async def _control(self, method: str, name: str, body: Sequence[Mapping[str, object]] = ()) -> bytes:
        url = f"{self.api.removesuffix('/v1')}/_simulator/{name}"
        async with self.session.request(method, url, data=msgspec.json.encode(body) if body else None) as answer:
            content = await answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"the simulator's control, {method} {name}: {answer.status} {content.decode()}")
        return content


@contextlib.asynccontextmanager
async def stage(*, proxied: bool, simulate: Sequence[str], environ: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Start the processes; `simulate` are flags of the simulator, `environ` settings of the proxy."""
    async with AsyncExitStack() as opened:
        simulator = await opened.enter_async_context(started("simulate", "--port", "0", *simulate, environ=bytecode()))
        api = base = (await simulator.line()).removeprefix("export OPENAI_BASE_URL=")
        proxy = None
        if proxied:
            arguments = ("run", "--port", "0", "--upstream", api)
            proxy = await opened.enter_async_context(started(*arguments, environ={**bytecode(), **environ}))
            base = await proxy.base()
        session = await opened.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=False)
        )
        tap = Tap()
        try:
            yield Stage(await tap.start(base), api, tap, session, proxy)
        finally:
            await tap.close()
