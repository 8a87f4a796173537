"""Steering a response that runs: what is said, what the successor is given, what waits for tool outputs."""

import json
from collections.abc import Sequence

import openai
import pytest
from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter

from proxy.simulator import Fault, render
from tests.simulator.wire import TOOL, Event, Running, Socket

pytestmark = pytest.mark.timeout(30)
ENCRYPTED = {"include": ["reasoning.encrypted_content"]}


def user(text: str) -> dict[str, str]:
    """A message of the user."""
    return {"role": "user", "content": text}


async def struck(running: Running, number: int) -> None:
    """So many faults have struck."""
    await running.sim.until(lambda: len(running.sim.faults.struck) >= number)


async def begun(running: Running, socket: Socket, after: int = 2, **fields: object) -> str:
    """Send a create that hangs after so many events, and read these; the response's id."""
    before = len(running.sim.faults.struck)
    running.sim.faults.add(Fault("hang", "events", after=after))
    await socket.send(**{"input": "x", **fields})
    frames = [await socket.receive() for _ in range(after)]
    await struck(running, before + 1)
    identifier: str = frames[0]["response"]["id"]
    return identifier


async def steer(socket: Socket, response_id: object, given: object, **more: object) -> Event:
    """Send a steer; the next frame."""
    frame = {"type": "response.steer", "previous_response_id": response_id, "input": given, **more}
    await socket.connection.send(json.dumps(frame))
    return await socket.receive()


def types(frames: Sequence[Event]) -> list[str]:
    """The names of the events."""
    return [frame["type"] for frame in frames]


async def test_a_steered_response_stops_after_its_item_and_a_successor_starts(running: Running) -> None:
    """`accepted`, the rest of the item, `incomplete` with `steered`; then a response of its own, unasked."""
    socket = await running.socket()
    parent = await begun(running, socket, 3, **ENCRYPTED)
    accepted = await steer(socket, parent, "shorter")
    assert accepted["type"] == "response.steer.accepted"
    assert accepted["steer"] == {"id": accepted["steer"]["id"], "previous_response_id": parent}
    assert accepted["steer"]["id"].startswith("steer_")
    running.sim.faults.release()
    frames = await socket.answer()
    assert types(frames[-2:]) == ["response.output_item.done", "response.incomplete"]
    assert frames[-1]["response"]["incomplete_details"] == {"reason": "steered"}
    assert frames[-1]["response"]["output"] == [frames[-2]["item"]]
    assert frames[-2]["item"]["type"] == "reasoning"
    assert [frame["sequence_number"] for frame in (accepted, *frames)] == list(range(3, len(frames) + 4))
    successor = await socket.answer()
    assert types(successor)[:2] == ["response.created", "response.in_progress"]
    assert [frame["sequence_number"] for frame in successor] == list(range(len(successor)))
    assert successor[-1]["type"] == "response.completed"
    assert successor[-1]["response"]["previous_response_id"] == parent
    assert successor[-1]["response"]["id"] != parent


async def test_a_successor_has_the_context_and_the_settings_of_the_steered_response(running: Running) -> None:
    """Its prompt is that of the conversation in full: input, the whole items that were said, what was steered."""
    socket = await running.socket()
    settings = {"instructions": "be kind", "temperature": 0.5, **ENCRYPTED}
    parent = await begun(running, socket, 3, **settings)
    await steer(socket, parent, [user("shorter"), {"type": "message", **user("much")}])
    running.sim.faults.release()
    said = (await socket.answer())[-1]["response"]["output"]
    after = (await socket.answer())[-1]["response"]
    items = [user("x"), *said, user("shorter"), user("much")]
    assert running.last.prompt == render({"model": "m", **settings}, items)
    assert (after["instructions"], after["temperature"]) == ("be kind", 0.5)


async def test_the_journal_tells_a_create_from_a_successor(running: Running) -> None:
    """Both have an entry; only the successor is marked, has no bytes, and names what steered it."""
    socket = await running.socket()
    parent = await begun(running, socket, stream_id="a")
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    await socket.answer("a")
    after = (await socket.answer("a"))[-1]["response"]["id"]
    create, successor = running.sim.journal
    assert (create.successor, create.steered, create.outcome, create.response_id) == (False, (), "incomplete", parent)
    assert (successor.successor, successor.raw, successor.outcome) == (True, b"", "completed")
    assert (successor.n, successor.lane, successor.connection) == (2, "a", create.connection)
    assert (successor.previous_response_id, successor.response_id) == (parent, after)
    assert successor.steered == ({"type": "message", **user("shorter")},)
    status, journal = await running.json("GET", "/_simulator/journal")
    assert (status, [entry["successor"] for entry in journal]) == (200, [False, True])


async def test_the_successor_is_the_lanes_latest_response(running: Running) -> None:
    """It can be continued; the steered response cannot any more."""
    socket = await running.socket()
    parent = await begun(running, socket)
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    await socket.answer()
    after = (await socket.answer())[-1]["response"]
    assert (await socket.turn(input="y", previous_response_id=after["id"]))["type"] == "response.completed"
    assert running.last.prompt == render({"model": "m"}, [user("x"), user("shorter"), *after["output"], user("y")])
    frame = await socket.turn(input="y", previous_response_id=parent)
    assert frame["error"]["code"] == "previous_response_not_found"


async def test_a_response_in_its_last_item_completes_and_a_successor_follows(running: Running) -> None:
    """What has no further item is not cut: it keeps its completed status, and the input is carried on."""
    socket = await running.socket()
    parent = await begun(running, socket, 4)
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    said = (await socket.answer())[-1]
    assert said["type"] == "response.completed"
    assert (await socket.answer())[-1]["type"] == "response.completed"
    assert running.last.prompt == render({"model": "m"}, [user("x"), *said["response"]["output"], user("shorter")])


async def test_a_response_that_has_said_nothing_stops_at_once(running: Running) -> None:
    """Steered before its first item, a response ends with an empty output."""
    socket = await running.socket()
    parent = await begun(running, socket)
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    frames = await socket.answer()
    assert types(frames) == ["response.incomplete"]
    assert frames[0]["response"]["output"] == []


async def test_several_steers_go_into_one_successor_in_order(running: Running) -> None:
    """Each is accepted under an id of its own, at most 16 wait, and all stand in the successor's input."""
    socket = await running.socket()
    parent = await begun(running, socket)
    texts = [f"steer {number}" for number in range(16)]
    accepted = [await steer(socket, parent, text) for text in texts]
    assert set(types(accepted)) == {"response.steer.accepted"}
    assert len({frame["steer"]["id"] for frame in accepted}) == 16
    refused = await steer(socket, parent, "one more")
    assert (refused["type"], refused["error"]["code"]) == ("response.steer.failed", "too_many_pending_steers")
    running.sim.faults.release()
    for _ in range(2):
        await socket.answer()
    assert running.last.prompt == render({"model": "m"}, [user("x"), *map(user, texts)])
    assert len(running.sim.journal) == 2


async def test_a_successor_can_be_steered_too(running: Running) -> None:
    """A successor is a turn like any other: it takes faults, and steering it starts the next one."""
    socket = await running.socket()
    running.sim.faults.add(Fault("hang", "events", after=2, times=3))
    await socket.send(input="x")
    for number in range(3):
        created, _ = await socket.receive(), await socket.receive()
        await struck(running, number + 1)
        await steer(socket, created["response"]["id"], f"steer {number}")
        running.sim.faults.release()
        assert (await socket.answer())[-1]["type"] == "response.incomplete"
    assert (await socket.answer())[-1]["type"] == "response.completed"
    assert running.last.prompt == render({"model": "m"}, [user("x"), *(user(f"steer {n}") for n in range(3))])


async def test_the_successor_comes_before_the_lanes_next_create(running: Running) -> None:
    """A create that is queued on the lane waits until the successor has ended."""
    socket = await running.socket()
    parent = await begun(running, socket)
    await socket.send(input="next", metadata={"n": "next"})
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    for metadata in ({}, {}, {"n": "next"}):
        frames = await socket.answer()
        assert all(frame["response"]["metadata"] == metadata for frame in frames if "response" in frame)
    assert [entry.successor for entry in running.sim.journal] == [False, False, True]


async def test_steering_minds_its_own_lane(running: Running) -> None:
    """Events of a named lane carry its name, and the other lane's response goes on."""
    socket = await running.socket()
    other = await begun(running, socket, stream_id="b")
    parent = await begun(running, socket, stream_id="a")
    accepted = await steer(socket, parent, "shorter")
    assert accepted["stream_id"] == "a"
    running.sim.faults.release()
    ended: list[Event] = []
    while len(ended) < 3:
        frame = await socket.receive()
        assert frame["stream_id"] in {"a", "b"}
        ended += [frame] if "response" in frame and frame["response"]["status"] != "in_progress" else []
    by_id = {frame["response"]["id"]: (frame["stream_id"], frame["response"]["status"]) for frame in ended}
    assert by_id[parent] == ("a", "incomplete")
    assert by_id[other] == ("b", "completed")
    assert sorted(by_id.values()) == [("a", "completed"), ("a", "incomplete"), ("b", "completed")]


@pytest.mark.parametrize(
    ("tool", "stub"),
    [
        (TOOL, {"type": "function_call_output", "name": "look"}),
        ({"type": "custom", "name": "run"}, {"type": "custom_tool_call_output"}),
    ],
    ids=["function", "custom"],
)
@pytest.mark.parametrize("early", [False, True], ids=["after pending", "before pending"])
async def test_steering_waits_for_tool_outputs(running: Running, tool: object, stub: Event, *, early: bool) -> None:
    """An open call is never cut off: `completed`, `pending` with stubs, and the create that fills them commits."""
    socket = await running.socket()
    parent = await begun(running, socket, 3, tools=[tool], input="x [[calls=2]]")
    accepted = [await steer(socket, parent, text) for text in ("shorter", "much")]
    identifiers = [call["call_id"] for call in await calls(running, tool)]
    outputs = [{"type": stub["type"], "call_id": call_id, "output": "y"} for call_id in identifiers]
    fields = {"input": [*outputs, user("and now")], "previous_response_id": parent, "instructions": "own"}
    if early:
        await socket.send(**fields)
    running.sim.faults.release()
    ended = (await socket.answer())[-1]
    assert ended["type"] == "response.completed"
    pending = [await socket.receive() for _ in range(2)]
    assert types(pending) == ["response.steer.pending"] * 2
    assert [frame["steer"] for frame in pending] == [frame["steer"] for frame in accepted]
    assert [frame["sequence_number"] - ended["sequence_number"] for frame in pending] == [1, 2]
    for frame in pending:
        assert frame["reason"] == "waiting_for_required_input"
        assert frame["required_input"] == [{**stub, "call_id": call_id} for call_id in identifiers]
    if not early:
        await socket.send(**fields)
    assert (await socket.answer())[-1]["type"] == "response.completed"
    items = [user("x [[calls=2]]"), *ended["response"]["output"], user("shorter"), user("much")]
    settings = {"model": "m", "instructions": "own"}
    assert running.last.prompt == render(settings, [*items, *outputs, user("and now")])
    assert not running.last.successor
    assert [item["content"] for item in running.last.steered] == ["shorter", "much"]


async def calls(running: Running, tool: object) -> list[Event]:
    """The calls that this prompt is answered with, whatever the transport."""
    _, response = await running.create(tools=[tool], input="x [[calls=2]]")
    output: list[Event] = response["output"]
    return output


async def test_a_response_stops_ahead_of_a_call(running: Running) -> None:
    """Steered in its reasoning, a response never gets to the call: nothing is open, a successor starts by itself."""
    socket = await running.socket()
    parent = await begun(running, socket, 3, tools=[TOOL], **ENCRYPTED)
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    ended = (await socket.answer())[-1]
    assert ended["response"]["incomplete_details"] == {"reason": "steered"}
    assert [item["type"] for item in ended["response"]["output"]] == ["reasoning"]
    assert [item["type"] for item in (await socket.answer())[-1]["response"]["output"]] == [
        "reasoning",
        "function_call",
    ]


async def test_steering_keeps_no_slot(running: Running) -> None:
    """More steered turns on one connection than it has slots: each lets go of what it held."""
    socket = await running.socket()
    for number in range(17):
        parent = await begun(running, socket, stream_id=f"lane{number}")
        await steer(socket, parent, "shorter")
        running.sim.faults.release()
        for status in ("incomplete", "completed"):
            assert (await socket.answer(f"lane{number}"))[-1]["response"]["status"] == status


async def test_the_sdk_steers(running: Running) -> None:
    """The real SDK's call is understood, and every event satisfies the SDK's model of it."""
    adapter: TypeAdapter[ResponsesServerEvent] = TypeAdapter(ResponsesServerEvent)
    running.sim.faults.add(Fault("hang", "events", after=3))
    seen = []
    async with (
        openai.AsyncOpenAI(base_url=running.base, api_key="key", max_retries=0) as client,
        client.responses.connect() as connection,
    ):
        await connection.response.create(model="m", input="x", tools=[{**TOOL, "strict": False}])  # type: ignore[list-item]
        while (event := await connection.recv()).type != "response.steer.pending":
            adapter.validate_python(event.model_dump())
            seen.append(event.type)
            if event.type == "response.output_item.added":
                await connection.response.steer(previous_response_id=running.last.response_id or "", input="shorter")
                await connection.response.steer(previous_response_id="resp_x", input=[{"type": "message", **user("y")}])  # type: ignore[list-item]
            if event.type == "response.steer.failed":
                running.sim.faults.release()
    assert seen[3:5] == ["response.steer.accepted", "response.steer.failed"]
    assert seen[-1] == "response.completed"
