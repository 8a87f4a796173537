"""A stack: a simulator and a proxy in front of it, each a process of its own, on ports that the system chose."""

import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.caller import Caller
from bench.process import BenchError, Process, started
from bench.upstream import Upstream
from proxy.simulator import Link
from proxy.tasks import Tasks

_NO_LINK = Link()


@dataclass(frozen=True, slots=True)
class Host:
    """Which API the simulator is. Times are in seconds."""

    lanes: bool
    model_seconds: float = 0.0
    event_seconds: float = 0.0
    link: Link = _NO_LINK

    @property
    def name(self) -> str:
        """For a table."""
        return "lanes" if self.lanes else "no lanes"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Those of `openline simulate`. The journal holds prompts: the benchmarks keep their own account."""
        times = ("--think-seconds", str(self.model_seconds), "--event-seconds", str(self.event_seconds))
        link = ("--latency", str(self.link.latency), "--uplink", str(self.link.uplink))
        # Nothing that it stored is forgotten.
        kept = ("--journal-limit", "1", "--store-limit", "100000")
        return ("--lanes" if self.lanes else "--no-lanes", *times, *link, *kept)


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs. `caller` asks the proxy."""

    proxy: Process
    upstream: Upstream
    caller: Caller


@contextlib.asynccontextmanager
async def simulator(host: Host) -> AsyncIterator[tuple[str, Upstream, aiohttp.ClientSession, Path]]:
    """A simulator alone: its base URL, what arrives there, a session for callers, and the folder that will go."""
    tasks = Tasks()
    async with contextlib.AsyncExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="openline-bench-")))
        session = await opened.enter_async_context(_session())
        process = await opened.enter_async_context(started(home, "simulate", "--port", "0", *host.arguments))
        opened.push_async_callback(tasks.close)
        base = await base_of(process)
        upstream = Upstream(base, session)
        process.hear = upstream.hear
        tasks.start(process.listen(), "simulator's lines")
        tasks.start(upstream.watch(), "open sockets")
        yield base, upstream, session, home


@contextlib.asynccontextmanager
async def stack(host: Host, settings: Mapping[str, object] | None = None) -> AsyncIterator[Stack]:
    """Both of them. `settings` are the proxy's, by the names of their environment variables without `OPENLINE_`."""
    tasks = Tasks()
    environ = {f"OPENLINE_{name}": str(value) for name, value in (settings or {}).items()}
    async with simulator(host) as (direct, upstream, session, home), contextlib.AsyncExitStack() as opened:
        arguments = ("run", "--port", "0", "--upstream", direct, "--lanes", "on" if host.lanes else "off")
        process = await opened.enter_async_context(started(home, *arguments, environ=environ))
        opened.push_async_callback(tasks.close)
        base = await base_of(process)
        tasks.start(process.listen(), "proxy's lines")
        yield Stack(process, upstream, Caller(session, base))


def _session() -> aiohttp.ClientSession:
    """As many connections as there are agents; a turn may take long, but not be silent for ever."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))


async def base_of(process: Process) -> str:
    """The base URL, from the first line."""
    line = await process.line()
    found = re.fullmatch(r"export OPENAI_BASE_URL=(http://\S+/v1)", line)
    if found is None:
        raise BenchError(f"`openline` began with {line!r}, which is no base URL")
    return found[1]
