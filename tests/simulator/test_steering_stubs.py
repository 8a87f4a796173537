"""Which items of a steered response keep its input waiting, and the stubs that `response.steer.pending` lists."""

import pytest

from proxy.simulator import Recorded
from tests.simulator.conftest import Start
from tests.simulator.test_steering import begun, steer
from tests.simulator.wire import Event

pytestmark = pytest.mark.timeout(30)
CALL = {"id": "x_1", "call_id": "call_1", "status": "completed"}
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "done", "annotations": []}],
}


@pytest.mark.parametrize(
    ("item", "stub"),
    [
        (
            {"type": "function_call", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "name": "look"},
        ),
        ({"type": "custom_tool_call", "name": "run", "input": "x"}, {"type": "custom_tool_call_output"}),
        ({"type": "computer_call"}, {"type": "computer_call_output"}),
        ({"type": "shell_call"}, {"type": "shell_call_output"}),
        ({"type": "apply_patch_call"}, {"type": "apply_patch_call_output"}),
        ({"type": "tool_search_call", "execution": "client"}, {"type": "tool_search_output", "execution": "client"}),
    ],
    ids=lambda value: value["type"],
)
async def test_calls_of_the_client_keep_the_input_waiting(start: Start, item: Event, stub: Event) -> None:
    """Each stub names its call and lacks the result; a later item of the same answer is still said."""
    running = await start(model=Recorded([[{**CALL, **item}, MESSAGE]]))
    socket = await running.socket()
    accepted = await steer(socket, await begun(running, socket, 3), "shorter")
    running.sim.faults.release()
    ended = (await socket.answer())[-1]
    assert (ended["type"], len(ended["response"]["output"])) == ("response.completed", 2)
    pending = await socket.receive()
    assert (pending["type"], pending["steer"]) == ("response.steer.pending", accepted["steer"])
    assert pending["required_input"] == [{**stub, "call_id": "call_1"}]
    assert len(running.sim.journal) == 1


async def test_approvals_keep_the_input_waiting(start: Start) -> None:
    """The stub of an approval names the request by its id."""
    request = {"type": "mcp_approval_request", "id": "mcpr_1", "name": "look", "arguments": "{}", "server_label": "s"}
    running = await start(model=Recorded([[request]]))
    socket = await running.socket()
    await steer(socket, await begun(running, socket, 3), "shorter")
    running.sim.faults.release()
    await socket.answer()
    assert (await socket.receive())["required_input"] == [
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1"}
    ]


@pytest.mark.parametrize(
    "output",
    [
        [{**CALL, "type": "tool_search_call", "execution": "server"}],
        [{**CALL, "type": "web_search_call"}],
        [{**CALL, "type": "shell_call"}, {**CALL, "type": "shell_call_output", "output": []}],
    ],
    ids=["tool search of the server", "web search", "shell of the host"],
)
async def test_calls_that_the_host_answers_do_not(start: Start, output: list[Event]) -> None:
    """What needs nothing from the client is followed by a successor."""
    running = await start(model=Recorded([output, [MESSAGE]]))
    socket = await running.socket()
    await steer(socket, await begun(running, socket, 3), "shorter")
    running.sim.faults.release()
    assert [item["type"] for item in (await socket.answer())[-1]["response"]["output"]] == [
        item["type"] for item in output
    ]
    assert (await socket.answer())[-1]["type"] == "response.completed"
    assert running.last.successor
