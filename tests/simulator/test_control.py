"""The control calls, over the listener as another process would use them."""

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.simulator import Behaviour, Fault, control
from proxy.simulator.host import Host
from tests.simulator.wire import Running


async def test_faults_are_queued_and_strike(running: Running) -> None:
    """A JSON list of faults is queued; what struck is told."""
    fault = {"what": "error", "where": "start", "status": 503, "times": 2}
    assert await running.json("POST", "/_simulator/faults", [fault]) == (200, {"waiting": 1})
    assert (await running.create(input="x"))[0] == 503
    _, told = await running.json("GET", "/_simulator/faults")
    assert told["waiting"] == 1
    assert [struck["status"] for struck in told["struck"]] == [503]
    assert (await running.json("DELETE", "/_simulator/faults"))[0] == 204
    assert (await running.create(input="x"))[0] == 200


@pytest.mark.parametrize(
    "body", [b"{", {"what": "abort"}, [{"what": "explode"}], [{"what": "failed", "where": "end"}], [{}]]
)
async def test_bad_faults_are_refused(running: Running, body: object) -> None:
    """What is no list of faults is refused, with the reason, and nothing is queued."""
    status, told = await running.json("POST", "/_simulator/faults", body)
    assert status == 400
    assert told["error"].startswith("expected a JSON list of faults: ")
    assert len(running.sim.faults) == 0


async def test_faults_can_strike_now(running: Running) -> None:
    """A fault of the place `now` is not queued but happens; sockets can be counted and dropped."""
    socket = await running.socket()
    assert await running.json("GET", "/_simulator/connections") == (200, {"connections": 1})
    await running.json("POST", "/_simulator/faults", [{"what": "stray", "where": "now"}])
    assert (await socket.receive())["item_id"] == "msg_of_nobody"
    assert (await running.json("DELETE", "/_simulator/connections"))[0] == 204
    assert await socket.closed() == 1006
    await running.sim.until(lambda: running.sim.connections == 0)


async def test_hanging_turns_are_released(running: Running) -> None:
    """`release` lets a turn go on that hangs."""
    await running.json("POST", "/_simulator/faults", [{"what": "hang"}])
    socket = await running.socket()
    await socket.send(input="x")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    await running.json("POST", "/_simulator/release")
    assert (await socket.answer())[-1]["type"] == "response.completed"


async def test_the_journal_is_told_without_the_key(running: Running) -> None:
    """The journal has what arrived and the prompt, but no credential; it can be emptied."""
    await running.create(input="x")
    _, entries = await running.json("GET", "/_simulator/journal")
    (entry,) = entries
    assert entry["prompt"] == running.last.prompt
    assert entry["size"] == len(running.last.raw)
    assert entry["body"]["input"] == "x"
    assert [value for name, value in entry["headers"] if name == "Authorization"] == ["***"]
    assert (await running.json("DELETE", "/_simulator/journal"))[0] == 204
    assert len(running.sim.journal) == len(running.sim.handshakes) == len(running.sim.requests) == 0


async def test_unknown_calls_are_refused(running: Running) -> None:
    """There is nothing else to control."""
    assert (await running.json("PUT", "/_simulator/faults"))[0] == 404
    assert (await running.json("GET", "/_simulator/secrets"))[0] == 404


async def test_control_calls_are_no_requests_of_a_client(running: Running) -> None:
    """Controlling leaves no trace in the journal, and needs no key."""
    assert (await running.json("GET", "/_simulator/journal", headers={}))[0] == 200
    assert len(running.sim.requests) == 0


@pytest.mark.parametrize(
    ("remote", "own"), [("127.0.0.1", True), ("::1", True), ("::1%lo", True), ("192.0.2.1", False), (None, False)]
)
def test_only_this_machine_controls(remote: str | None, *, own: bool) -> None:
    """Another machine's address is not loopback."""
    assert control._loopback(remote) is own


async def test_another_machine_is_refused() -> None:
    """A request from elsewhere gets 403, whatever it asks."""
    host = Host(Behaviour(), None)
    request = make_mocked_request("GET", "/_simulator/journal").clone(remote="192.0.2.1")

    async def strike(fault: Fault) -> None:
        raise AssertionError(fault)

    assert (await control.handle(host, strike, request, b"")).status == 403
    assert (await control.handle(host, strike, request.clone(remote="127.0.0.1"), b"")).status == 200
