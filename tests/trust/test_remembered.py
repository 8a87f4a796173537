"""What is remembered: of turns that are over, nothing that can be reached from the proxy holds a text of theirs."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

import aiohttp
import msgspec
import pytest

from proxy.config import Lanes, Settings
from proxy.config import Upstream as Target
from proxy.server.app import Openline
from proxy.tasks import Tasks
from tests.chaos.census import connections, quiet, until
from tests.fuzz.upstream import Upstream
from tests.trust.markers import TEXTS, forms
from tests.trust.session import CREDENTIALS, Quoting, asking, reply

_TEXTS = {name: tuple(forms(text)) for name, text in TEXTS.items()}
_RAW = (bytes, bytearray, memoryview, str)
# What leads from an object into all the rest of the process.
_ELSEWHERE = (type, ModuleType, BuiltinFunctionType, asyncio.AbstractEventLoop)


def reachable(start: object) -> Iterator[object]:
    """All that is kept alive by an object: what its coroutines wait with, too."""
    seen: set[int] = set()
    todo: list[object] = [start]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, _ELSEWHERE):
            continue
        seen.add(id(one))
        yield one
        todo += [one.__closure__, one.__defaults__] if isinstance(one, FunctionType) else gc.get_referents(one)


def remembered(app: Openline) -> list[str]:
    """The names of the private texts that are still held, and by what kind of value."""
    gc.collect()
    everything = list(reachable(app))
    raw = [one for one in everything if isinstance(one, _RAW)]
    # The search is of use only where it comes to all that lasts: lines, lanes, heads, and callers' connections.
    kinds = {type(one).__name__ for one in everything}
    assert {"Connection", "Lane", "Head", "Silence", "Caller", "Fingerprints", "TCPConnector"} <= kinds, kinds
    return [
        f"{name} in {type(one).__name__} of {len(data)}"
        for one in raw
        for data in [one.encode("utf-8", "surrogatepass") if isinstance(one, str) else bytes(one)]
        for name, known in _TEXTS.items()
        if any(form in data for form in known)
    ]


@pytest.fixture(params=["on", "off"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Openline, str]]:
    """A proxy in front of a host that quotes every text in its answers."""
    lanes: Lanes = request.param
    upstream = Upstream(Quoting().answer, lambda _create: [reply(200, b"{}")])
    async with upstream.serving() as url:
        settings = Settings(listen="127.0.0.1:0", upstream=Target(url=url, verifies_ids="yes", lanes=lanes))
        app = Openline(settings, lambda _outcome: None)
        yield app, await app.start()
        await app.close()


async def test_no_text_outlives_its_turn(running: tuple[Openline, str]) -> None:
    """After streams, JSON answers, deltas, errors and plain HTTP, with sockets and callers still connected: none."""
    app, base = running
    async with aiohttp.ClientSession() as session:
        for stream in (True, False):
            for content in ("go on", "reject", "break off", "fail", "close", "no json", "go on"):
                for mode in ("on", "off") if content == "go on" else ("on",):
                    await asked(session, base, content, mode, stream=stream)
            await twice(session, base, stream=stream)
        await quiet(app)
        for line in connections(app):
            # The WebSocket library keeps the last frame until the next one. Its own pings, every 20 s, see to that.
            await (await line._socket.ping())
        assert remembered(app) == []


async def test_the_search_finds_a_running_turns_texts(running: tuple[Openline, str]) -> None:
    """While an answer is under way its request is held, and what has come of it: the search sees that."""
    app, base = running
    tasks = Tasks()
    async with aiohttp.ClientSession() as session:
        await asked(session, base, "go on", "on", stream=True)
        tasks.start(asked(session, base, "hang", "on", stream=False), "caller")
        await until(lambda: app.running == 1 and {"prompt", "encrypted"} <= set(names(remembered(app))), lambda: app)
        await tasks.close()


def names(found: list[str]) -> list[str]:
    """Of the texts."""
    return [one.partition(" in ")[0] for one in found]


async def asked(session: aiohttp.ClientSession, base: str, content: str, mode: str, *, stream: bool) -> None:
    """One create; whatever comes of it."""
    await sent(session, base, asking(content, stream=stream, store=content == "go on" and stream), mode)


async def twice(session: aiohttp.ClientSession, base: str, *, stream: bool) -> None:
    """A turn, and its continuation as a delta."""
    body = asking("go on", stream=False)
    said = msgspec.convert((await sent(session, base, body, "on"))["output"], list[dict[str, object]])
    items = msgspec.convert(body["input"], list[dict[str, object]])
    body |= {"input": [*items, *said, {"role": "user", "content": TEXTS["tool output"]}], "stream": stream}
    await sent(session, base, body, "on")


async def sent(session: aiohttp.ClientSession, base: str, body: dict[str, object], mode: str) -> dict[str, object]:
    """The JSON of the answer, if it is that."""
    headers = {**CREDENTIALS, "x-openline-mode": mode}
    async with session.post(f"{base}/responses", data=msgspec.json.encode(body), headers=headers) as response:
        try:
            data = await response.read()
        except aiohttp.ClientPayloadError:
            return {}
        return msgspec.json.decode(data, type=dict[str, object]) if data.startswith(b"{") else {}
