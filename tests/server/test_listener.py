"""The listener: so many connections, so long for a head, and how it empties."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from aiohttp import web

from proxy.config import Limits, Timeouts
from proxy.errors import Problem
from proxy.server.listener import Listener, bind
from proxy.server.status import url
from proxy.simulator import Fault
from proxy.tasks import Tasks
from proxy.turns.outcome import End
from tests.server.wire import KEY, Response, connected, request, rigged
from tests.upstream.peer import until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HELLO: dict[str, object] = {"model": "gpt-5.4", "input": "hello", "store": False}
CREATE = request("POST", "/v1/responses", [KEY], msgspec.json.encode(HELLO))
STREAM = request("POST", "/v1/responses", [KEY], msgspec.json.encode({**HELLO, "stream": True}))
MODELS = request("GET", "/v1/models", [KEY])


def overloaded(response: Response) -> bool:
    """Whether it says in the API's shape that there is too much to do, and when to come again."""
    said = (response.status, response.error()["code"], response.header("retry-after"), response.header("connection"))
    return said == (503, "openline_overloaded", "1", "close")


async def _yes(_: web.Request) -> web.Response:
    """Answer at once."""
    return web.Response()


@contextlib.asynccontextmanager
async def crowded(most: int, answer: Handler = _yes) -> AsyncIterator[tuple[Listener, str]]:
    """A listener that has room for `most`, where whoever is idle gives way at once; and its URL."""
    # So long for a head that no test is over by it.
    listener = Listener(answer, Problem.answer, most=most, header_seconds=600, spare_seconds=0)
    await listener.start(bind("127.0.0.1", 0))
    try:
        yield listener, url(*listener.addresses[0])
    finally:
        await listener.close()


# ---- so many


async def test_a_connection_too_many_is_told_so() -> None:
    """Its first request gets a 503, is reported, and it is closed; those who are in are served as ever."""
    async with rigged(limits=Limits(connections=2)) as rig, connected(rig.url) as one, connected(rig.url) as two:
        for line in (one, two):
            await line.send(MODELS)
            assert (await line.response()).status == 200
            await rig.outcome()
        async with connected(rig.url) as three:
            await three.send(MODELS + MODELS)
            assert overloaded(await three.response())
            assert await three.at_end()
        outcome = await rig.outcome()
        assert (outcome.status, outcome.end) == (503, End.ERROR)
        for line in (one, two):
            await line.send(MODELS)
            assert (await line.response()).status == 200
        assert len(rig.sim.requests) == 4


async def test_the_longest_idle_gives_way() -> None:
    """Connections that are only kept open do not keep others out; those with a request under way stay."""
    waiting, release = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/wait":
            waiting.set()
            await release.wait()
        return web.Response()

    async with (
        crowded(3, answer) as (listener, base),
        connected(base) as busy,
        connected(base) as old,
        connected(base) as new,
    ):
        for line in (busy, old, new):
            await line.send(request("GET", "/"))
            assert (await line.response()).status == 200
        await busy.send(request("GET", "/wait"))
        await asyncio.wait_for(waiting.wait(), 5)
        async with connected(base) as more:
            await more.send(request("GET", "/"))
            assert (await more.response()).status == 200
            assert await old.at_end()
            assert listener.connections == 3
        release.set()
        assert (await busy.response()).status == 200
        await new.send(request("GET", "/"))
        assert (await new.response()).status == 200


async def test_silence_gives_way_too() -> None:
    """Connections that say nothing keep nobody out for as long as a head may take."""
    async with crowded(1) as (listener, base), connected(base) as silent:
        await until(lambda: listener.connections == 1)
        async with connected(base) as other:
            await other.send(request("GET", "/"))
            assert (await other.response()).status == 200
            assert await silent.at_end()


async def test_half_a_head_keeps_nobody_out() -> None:
    """Who begins a request and does not go on gives way too, and never stands before others who are idle."""
    async with (
        crowded(2) as (listener, base),
        connected(base) as half,
        connected(base) as idle,
        contextlib.AsyncExitStack() as others,
    ):
        await until(lambda: listener.connections == 2)
        await half.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: any(caller._framing.in_head for caller in listener._callers))
        for one in (idle, half):
            other = await others.enter_async_context(connected(base))
            await other.send(request("GET", "/"))
            assert (await other.response()).status == 200
            assert await one.at_end()
            assert listener.connections == 2


async def test_room_that_is_left_is_taken() -> None:
    """When one of them goes, the next one is let in."""
    async with rigged(limits=Limits(connections=1)) as rig:
        for _ in range(5):
            async with connected(rig.url) as line:
                await line.send(MODELS)
                assert (await line.response()).status == 200
            await until(lambda: rig.app.status().connections == 0)


async def test_a_crowd_is_turned_away_at_the_door() -> None:
    """Where too many stand about already, the next is told so without being asked, and not kept."""
    async with rigged(limits=Limits(connections=1)) as rig, connected(rig.url) as one, connected(rig.url) as two:
        await until(lambda: rig.app.status().connections == 2)
        async with connected(rig.url) as three:
            assert overloaded(await three.response())
            assert await three.at_end()
        assert rig.app.status().connections == 2
        for line, status in ((one, 200), (two, 503)):
            await line.send(MODELS)
            assert (await line.response()).status == status


async def test_a_request_too_many_is_told_so() -> None:
    """With limits.requests in flight the next one gets a 503; when one has ended there is room again."""
    tasks = Tasks()
    async with rigged(limits=Limits(requests=1)) as rig:
        rig.sim.faults.add(Fault("hang", "events"))
        running = tasks.start(rig.create(HELLO), "turn")
        await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
        async with connected(rig.url) as line:
            await line.send(CREATE)
            response = await line.response()
            assert overloaded(response)
            assert response.header("x-openline-route") is None
            assert await line.at_end()
        assert (await rig.ask("GET", "/healthz")).status == 200
        rig.sim.faults.release()
        assert (await running).status == 200
        assert (await rig.create(HELLO)).status == 200
        assert [(await rig.outcome()).status for _ in range(3)] == [503, 200, 200]


# ---- so long


@pytest.mark.parametrize("beginning", [b"G", b"GET /v1/models HTTP/1.1\r\n", MODELS[:-2]])
async def test_a_head_that_does_not_end_is_a_408(beginning: bytes) -> None:
    """Who begins a request and does not go on is told so, reported and closed."""
    async with rigged(timeouts=Timeouts(header_seconds=0.05)) as rig, connected(rig.url) as line:
        await line.send(beginning)
        response = await line.response()
        assert (response.status, response.error()["code"]) == (408, "openline_slow_request")
        assert response.header("connection") == "close"
        assert await line.at_end()
        outcome = await rig.outcome()
        assert (outcome.status, outcome.end, outcome.path) == (408, End.ERROR, "-")


async def test_silence_is_closed_without_a_word() -> None:
    """A connection that never says anything does not stay, and is no request: nothing is answered or reported."""
    async with rigged(timeouts=Timeouts(header_seconds=0.05)) as rig, connected(rig.url) as line:
        assert await line.at_end()
        assert rig.outcomes.empty()


async def test_trickling_does_not_help() -> None:
    """The limit counts from the first byte, however many follow it one by one."""
    async with rigged(timeouts=Timeouts(header_seconds=0.2)) as rig, connected(rig.url) as line:
        tasks = Tasks()
        answer = tasks.start(line.response(), "answer")
        await line.send(MODELS[:-2] + b"X-A: ")
        while not answer.done():
            line.writer.write(b"a")
            await asyncio.wait({answer}, timeout=0.01)
        assert (await answer).status == 408


async def test_a_body_and_an_idle_connection_have_longer() -> None:
    """The limit is for heads: neither a body that takes its time nor a pause between requests is cut by it."""
    async with rigged(timeouts=Timeouts(header_seconds=0.05)) as rig, connected(rig.url) as line:

        async def later() -> None:
            async with connected(rig.url) as silent:
                assert await silent.at_end()

        await line.send(request("POST", "/v1/_echo/x", [KEY, ("Content-Length", "4")]))
        await later()
        await line.send(b"body")
        assert (await line.response()).status == 200
        await later()
        await line.send(MODELS)
        assert (await line.response()).status == 200
        await line.send(b"GET")
        assert (await line.response()).status == 408


# ---- until it is empty


async def test_draining_closes_what_is_idle() -> None:
    """Connections without a request are closed at once, those that never had one too."""
    async with rigged() as rig, connected(rig.url) as used, connected(rig.url) as fresh:
        await used.send(MODELS)
        await used.response()
        await until(lambda: rig.app.status().connections == 2)
        await rig.app.drain(1)
        assert await used.at_end()
        assert await fresh.at_end()


async def test_a_request_that_crosses_the_drain_is_answered() -> None:
    """What has come already when the drain begins gets a clear 503 with Retry-After, not a closed connection."""
    async with rigged() as rig, connected(rig.url) as line:
        await line.send(MODELS)
        await line.response()
        line.writer.write(MODELS)  # it is in the system's buffer, and the loop has not seen it
        await rig.app.drain(0.01)
        response = await line.response()
        assert (response.status, response.error()["code"]) == (503, "openline_draining")
        assert (response.header("retry-after"), response.header("connection")) == ("1", "close")
        assert await line.at_end()


async def test_half_a_head_that_crosses_the_drain_is_answered() -> None:
    """A request of which only the beginning has come may come whole."""
    async with rigged() as rig, connected(rig.url) as line:
        await line.send(MODELS)
        await line.response()
        await line.send(MODELS[:20])
        await until(lambda: next(iter(rig.app._listener._callers))._framing.in_head)  # type: ignore[union-attr]
        await rig.app.drain(0.01)
        await line.send(MODELS[20:])
        assert (await line.response()).error()["code"] == "openline_draining"
        assert await line.at_end()


@pytest.mark.parametrize("create", [CREATE, STREAM], ids=["JSON", "stream"])
async def test_a_running_turn_is_answered_whole_and_says_it_is_the_last(create: bytes) -> None:
    """An answer that begins while draining has `Connection: close`, and the connection ends after it."""
    tasks = Tasks()
    async with rigged() as rig, connected(rig.url) as line:
        rig.sim.faults.add(Fault("hang", "start"))
        await line.send(create)
        await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
        draining = tasks.start(rig.app.drain(10), "drain")
        await until(lambda: rig.app.status().unready is not None)
        rig.sim.faults.release()
        response = await line.response()
        assert (response.status, response.header("connection")) == (200, "close")
        assert b"completed" in response.body
        assert await line.at_end()
        async with asyncio.timeout(10):
            await draining


async def test_a_stream_that_began_before_the_drain_is_the_last_too() -> None:
    """Its headers are gone already: it ends whole, and then the connection is closed."""
    tasks = Tasks()
    async with rigged() as rig, connected(rig.url) as line:
        rig.sim.faults.add(Fault("hang", "events", after=2))
        await line.send(STREAM)
        head = await line.head()
        assert (head.status, head.header("connection")) == (200, None)
        draining = tasks.start(rig.app.drain(10), "drain")
        await until(lambda: rig.app.status().unready is not None)
        rig.sim.faults.release()
        text = b""
        while chunk := await line.chunk():
            text += chunk
        assert b"response.completed" in text
        assert await line.at_end()
        async with asyncio.timeout(10):
            await draining


async def test_an_upload_under_way_is_read_to_its_end() -> None:
    """A request whose body is still coming when the drain begins is served."""
    tasks = Tasks()
    async with rigged() as rig, connected(rig.url) as line:
        await line.send(CREATE[:-10])
        await until(lambda: rig.app.running == 1)
        draining = tasks.start(rig.app.drain(10), "drain")
        await until(lambda: rig.app.status().unready is not None)
        await line.send(CREATE[-10:])
        response = await line.response()
        assert (response.status, response.header("connection")) == (200, "close")
        async with asyncio.timeout(10):
            await draining


# ---- the sockets


def test_all_addresses_of_a_name_have_one_port() -> None:
    """`localhost` may have two addresses: a free port is the same for both."""
    sockets = bind("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_taken_port_leaves_no_socket_open() -> None:
    """Where the port is taken, bind says so, and (warnings are errors) forgets no socket."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])
