"""Shutdown and crash of a real process: no running turn is lost in time, and the next start is not blocked."""

import asyncio
import contextlib
import signal
import socket
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from proxy.simulator import Behaviour, Fault, Simulator
from proxy.tasks import Tasks
from tests.cli.process import started
from tests.server.wire import KEY, CutShort, Line, ask, connected, request

TURNS = 24
# So that the fault strikes the turn, not the question ahead of it.
ASKS_NOTHING = {"OPENLINE_UPSTREAM__VERIFIES_IDS": "yes"}


def create(number: int, *, stream: bool = True) -> bytes:
    """A turn of a caller of its own."""
    body = {"model": "gpt-5.4", "input": f"hello {number}", "stream": stream, "store": False}
    return request("POST", "/v1/responses", [KEY], msgspec.json.encode(body))


async def whole(line: Line) -> bool:
    """Whether a streamed answer comes to its end, and the connection with it."""
    response = await line.response()
    assert response.status == 200
    return b"response.completed" in response.body and await line.at_end()


async def refused_or_told(base: str) -> str:
    """What a new caller gets while it drains."""
    try:
        response = await ask(base, "GET", "/v1/models", [KEY])
    except (ConnectionError, asyncio.IncompleteReadError):
        return "refused"
    assert (response.header("retry-after"), response.header("connection")) == ("1", "close")
    return str(response.error()["code"])


async def test_no_running_turn_is_lost() -> None:
    """SIGTERM under load: streams that run and streams that begin meanwhile all end whole; who is idle is let go."""
    tasks = Tasks()
    sim = Simulator(Behaviour(event_seconds=0.02, think_seconds=0.2))
    base = await sim.start()
    async with started("run", "--port", "0", "--upstream", base, environ=ASKS_NOTHING) as command:
        url = await command.base()
        async with contextlib.AsyncExitStack() as open_lines:
            idle, fresh, *callers = [await open_lines.enter_async_context(connected(url)) for _ in range(TURNS + 2)]
            await idle.send(request("GET", "/v1/models", [KEY]))
            assert (await idle.response()).status == 200
            for number, caller in enumerate(callers):
                await caller.send(create(number))
            await sim.until(lambda: len(sim.journal) >= TURNS)
            await callers[0].head()  # one has begun before, the others begin after
            answers = [tasks.start(whole(caller), "caller") for caller in callers[1:]]
            command.send(signal.SIGTERM)
            assert await idle.at_end()
            assert await fresh.at_end()
            assert await refused_or_told(url) == "openline_draining"
            text = b""
            while chunk := await callers[0].chunk():
                text += chunk
            assert b"response.completed" in text
            assert await callers[0].at_end()
            assert Counter(await asyncio.gather(*answers)) == {True: TURNS - 1}
        status, out, errors = await command.end()
    await sim.close()
    assert (status, errors) == (0, "")
    assert out.endswith("openline: ended\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_what_outlives_the_drain_is_cut_visibly(*, stream: bool) -> None:
    """After the limit a stream ends without its last chunk, a JSON caller gets no answer; nobody takes it for whole."""
    sim = Simulator(Behaviour())
    base = await sim.start()
    sim.faults.add(Fault("hang", "events", after=2))
    environ = {**ASKS_NOTHING, "OPENLINE_DRAIN_SECONDS": "0.2"}
    async with started("run", "--port", "0", "--upstream", base, environ=environ) as command:
        async with connected(await command.base()) as line:
            await line.send(create(1, stream=stream))
            await sim.until(lambda: len(sim.faults.struck) == 1)
            command.send(signal.SIGTERM)
            with pytest.raises((CutShort, asyncio.IncompleteReadError, ConnectionError)):
                await line.response()
        status, out, errors = await command.end()
    await sim.close()
    assert (status, errors) == (128 + signal.SIGTERM, "")
    assert "ended with 1 unfinished" in out


async def test_a_crash_blocks_nothing(tmp_path: Path) -> None:
    """After SIGKILL in mid-turn the next start has the same port, admin socket and state file, and serves."""
    sim = Simulator(Behaviour())
    base = await sim.start()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {**ASKS_NOTHING, "OPENLINE_ADMIN_LISTEN": f"unix:{tmp_path / 'admin'}", "XDG_STATE_HOME": str(tmp_path)}
    for _ in range(3):
        sim.faults.add(Fault("hang", "events", after=2))
        async with started("run", "--port", str(port), "--upstream", base, environ=environ) as command:
            url = await command.base()
            async with connected(url) as line, connected(url) as idle:
                await idle.send(request("GET", "/v1/models", [KEY]))
                assert (await idle.response()).status == 200
                await line.send(create(1))
                assert (await line.head()).status == 200
                command.send(signal.SIGKILL)
                status, _, errors = await command.end()
        assert (status, errors) == (-signal.SIGKILL, "")
        sim.faults.release()
    assert (tmp_path / "admin").exists()
    await sim.close()
