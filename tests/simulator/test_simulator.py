"""The simulator as a whole: start, close, change, wait."""

import asyncio
import re
import time
from dataclasses import replace

import aiohttp
import pytest
import uvloop

from proxy.simulator import Behaviour, Fault, Link, Simulator
from proxy.simulator.host import Seen
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, Running


async def test_a_free_port_is_found() -> None:
    """Port 0 picks one, and the URL says which; close frees it, twice is no matter."""
    async with Simulator() as sim:
        base = await sim.start()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", base)
        port = int(base.rpartition(":")[2].removesuffix("/v1"))
        async with Simulator() as other:
            with pytest.raises(OSError, match="in use"):
                await other.start(port)
        await sim.close()
        await sim.close()
        async with Simulator() as third:
            assert await third.start(port) == base


async def test_closing_cuts_what_hangs(running: Running) -> None:
    """Turns that hang, on a socket or over HTTP, do not keep the simulator from closing."""
    socket = await running.socket()
    running.sim.faults.add(Fault("hang"), Fault("hang", "events"))
    await socket.send(input="x")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    body = b'{"model":"m","input":"x","stream":true}'
    async with running.http.post(f"{running.base}/responses", data=body, headers={"api-key": "k"}) as answer:
        async with asyncio.timeout(0.5):  # aiohttp's own patience is longer
            await running.sim.close()
        with pytest.raises(aiohttp.ClientError):
            await answer.read()
    assert {entry.outcome for entry in running.sim.journal} == {"cut"}
    assert await socket.closed() == 1006


async def test_behaviour_can_change_while_it_runs(running: Running) -> None:
    """What is assigned counts for what comes next, on open sockets too."""
    socket = await running.socket()
    running.sim.behaviour = replace(running.sim.behaviour, not_found_status=404)
    assert (await socket.turn(input="x", previous_response_id="resp_x"))["status"] == 404
    assert running.sim.behaviour.not_found_status == 404


async def test_connections_are_dropped(running: Running) -> None:
    """`drop_connections` resets every socket and returns when they are gone."""
    sockets = [await running.socket() for _ in range(3)]
    assert running.sim.connections == 3
    await running.sim.drop_connections()
    assert running.sim.connections == 0
    assert [await socket.closed() for socket in sockets] == [1006] * 3


async def test_only_faults_of_now_strike_now(running: Running) -> None:
    """Any other place has to wait for its request."""
    with pytest.raises(ValueError, match="only a fault of the place 'now' strikes at once"):
        await running.sim.strike(Fault("abort"))


async def test_the_observer_sees_each_request_once(running: Running) -> None:
    """Creates, handshakes and other requests are told as they are answered."""
    seen: list[Seen] = []
    async with Simulator(observer=seen.append) as sim:
        base = await sim.start()
        for path in ("models", "responses"):
            async with running.http.post(f"{base}/{path}", data=b"{}", headers={"api-key": "k"}) as answer:
                await answer.read()
        assert [type(one).__name__ for one in seen] == ["Request", "Entry"]


async def test_the_link_is_emulated_for_upgrades_and_creates(start: Start) -> None:
    """A round trip for the upgrade, and one for each create."""
    running = await start(link=Link(latency=0.02), think_seconds=0.01, event_seconds=0.001)
    socket = await running.socket()
    begun = time.monotonic()
    assert (await socket.turn(input="x"))["type"] == "response.completed"
    assert time.monotonic() - begun >= 0.05
    assert (await running.create(input="x"))[0] == 200
    assert time.monotonic() - begun >= 0.1


async def test_waiting_has_a_limit() -> None:
    """`until` gives up."""
    with pytest.raises(TimeoutError):
        await Simulator(Behaviour()).until(lambda: False, 0.01)


def test_it_closes_at_once_on_uvloop_too() -> None:
    """The command and the demo run on uvloop, whose transports are not asyncio's."""

    async def close_while_it_hangs() -> str:
        async with Simulator() as sim, aiohttp.ClientSession() as http:
            socket = await http.ws_connect(f"{await sim.start()}/responses", headers=KEY)
            sim.faults.add(Fault("hang"))
            await socket.send_json({"type": "response.create", "model": "m", "input": "x"})
            await sim.until(lambda: len(sim.faults.struck) == 1)
            async with asyncio.timeout(0.5):
                await sim.close()
            return sim.journal[0].outcome

    assert uvloop.run(close_while_it_hangs()) == "cut"
