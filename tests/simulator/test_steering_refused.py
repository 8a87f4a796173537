"""Steering input that is refused when it comes."""

import json

import pytest

from proxy.simulator import Fault, render
from tests.simulator.conftest import Start
from tests.simulator.test_steering import begun, steer, struck, user
from tests.simulator.wire import Event, Running

pytestmark = pytest.mark.timeout(30)


def code(frame: Event) -> str:
    """The error code of a failed steer."""
    assert frame["type"] == "response.steer.failed", frame
    assert frame["error"]["type"] == "invalid_request_error"
    assert frame["error"]["message"]
    text: str = frame["error"]["code"]
    return text


async def test_an_unknown_response_is_refused_with_its_input(running: Running) -> None:
    """The failure gives back the input as it came, and names no submission: none was allocated."""
    socket = await running.socket()
    given = [user("one"), {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "two"}]}]
    frame = await steer(socket, "resp_1", given)
    assert code(frame) == "response_not_found"
    assert frame["steer"] == {"previous_response_id": "resp_1", "input": given}
    assert isinstance(frame["sequence_number"], int)


async def test_another_connections_response_is_unknown(running: Running) -> None:
    """A response can be steered on its own connection only, and so cannot one over HTTP, stored or not."""
    one, other = await running.socket(), await running.socket()
    parent = await begun(running, one, store=True)
    assert code(await steer(other, parent, "shorter")) == "response_not_found"
    running.sim.faults.release()
    assert (await one.answer())[-1]["type"] == "response.completed"
    _, stored = await running.create(input="x")
    assert code(await steer(one, stored["id"], "shorter")) == "response_not_found"
    assert len(running.sim.journal) == 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, "response_already_completed"),
        (Fault("failed", "terminal"), "response_not_active"),
        (Fault("incomplete", "terminal"), "response_not_active"),
        (Fault("error", "terminal"), "response_not_active"),
    ],
    ids=["completed", "failed", "incomplete", "error"],
)
async def test_a_response_that_has_ended_takes_no_more(running: Running, fault: Fault | None, expected: str) -> None:
    """The code says how it ended, the event carries its lane, and nothing starts."""
    socket = await running.socket()
    running.sim.faults.extend([fault] if fault else [])
    await socket.send(input="x", stream_id="a")
    parent = (await socket.answer("a"))[0]["response"]["id"]
    frame = await steer(socket, parent, "shorter")
    assert (code(frame), frame["stream_id"]) == (expected, "a")
    assert len(running.sim.journal) == 1


async def test_a_steered_response_takes_no_more_after_its_end(running: Running) -> None:
    """Whoever wants to steer on after `incomplete` has to name the successor."""
    socket = await running.socket()
    parent = await begun(running, socket)
    running.sim.faults.add(Fault("hang", "start"))
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    await socket.answer()
    await struck(running, 2)
    assert code(await steer(socket, parent, "much")) == "response_not_active"
    running.sim.faults.release()
    assert (await socket.answer())[-1]["type"] == "response.completed"
    assert running.last.prompt == render({"model": "m"}, [user("x"), user("shorter")])


@pytest.mark.parametrize(
    "fields",
    [
        {"generate": False},
        {"conversation": "conv_1"},
        {"context_management": [{"type": "compaction"}]},
        {"multi_agent": {"enabled": True}},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_some_responses_cannot_be_steered(running: Running, fields: Event) -> None:
    """Warm-ups, and responses of a conversation, of automatic compaction or of several agents, go on as they are."""
    socket = await running.socket()
    parent = await begun(running, socket, **fields)
    assert code(await steer(socket, parent, "shorter")) == "steering_not_supported"
    running.sim.faults.release()
    assert (await socket.answer())[-1]["type"] == "response.completed"
    assert len(running.sim.journal) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"input": None},
        {"input": []},
        {"input": 7},
        {"input": ["x"]},
        {"input": [{"role": "developer", "content": "x"}]},
        {"input": [{"role": "user", "content": "x", "id": "msg_1"}]},
        {"input": [{"type": "reasoning", "role": "user", "content": "x"}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        {"input": [{"role": "user"}]},
        {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
        {"input": [{"role": "user", "content": ["x"]}]},
        {"stream_id": "a"},
        {"model": "m"},
    ],
    ids=json.dumps,
)
async def test_malformed_steers_are_refused(running: Running, bad: Event) -> None:
    """Only `type`, `previous_response_id` and `input` with messages of the user are taken; the response goes on."""
    socket = await running.socket()
    parent = await begun(running, socket, stream_id="a")
    more = {name: value for name, value in bad.items() if name != "input"}
    frame = await steer(socket, parent, bad.get("input", "x"), **more)
    assert code(frame) == "invalid_input"
    assert (frame["stream_id"], frame["sequence_number"]) == ("a", 2)
    assert "id" not in frame["steer"]
    running.sim.faults.release()
    assert (await socket.answer("a"))[-1]["type"] == "response.completed"
    assert len(running.sim.journal) == 1


@pytest.mark.parametrize("named", [None, 7, ["resp_1"]], ids=repr)
async def test_a_steer_must_name_a_response(running: Running, named: object) -> None:
    """Without a string for an id, nothing is looked up."""
    frame = await steer(await running.socket(), named, "x")
    assert code(frame) == "invalid_input"
    assert frame["steer"] == {"previous_response_id": named, "input": "x"}


async def test_hosts_without_steering_do_not_know_the_event(start: Start) -> None:
    """`steering=False`: the frame is as unknown as any other, and the response goes on."""
    running = await start(steering=False)
    socket = await running.socket()
    parent = await begun(running, socket)
    frame = await steer(socket, parent, "shorter")
    assert (frame["type"], frame["status"]) == ("error", 400)
    assert frame["error"]["message"] == "Unknown event type: 'response.steer'."
    running.sim.faults.release()
    assert (await socket.answer())[-1]["type"] == "response.completed"
