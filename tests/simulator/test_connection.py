"""A WebSocket connection: its memory, its lanes, its age, its frames."""

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from proxy.simulator import Answer, Fault, render
from tests.simulator.conftest import Start
from tests.simulator.wire import Running, Socket

pytestmark = pytest.mark.timeout(30)


def refusal(frame: dict[str, Any]) -> tuple[str | None, int]:
    """Code and status of an error frame."""
    assert frame["type"] == "error", frame
    return frame["error"]["code"], frame["status"]


async def warm(socket: Socket, **fields: object) -> str:
    """A warm-up; the id to continue from."""
    frame = await socket.turn(generate=False, **{"input": "hi", **fields})
    assert frame["type"] == "response.completed", frame
    identifier: str = frame["response"]["id"]
    return identifier


async def test_a_turn_streams_numbered_frames(running: Running) -> None:
    """The frames of a turn are the API's events, numbered from 0, and carry no stream_id on the default lane."""
    socket = await running.socket()
    await socket.send(input="hi")
    frames = await socket.answer()
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
    assert [frame["type"] for frame in frames[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert not any("stream_id" in frame for frame in frames)


async def test_a_continuation_has_the_context_of_its_parent(running: Running) -> None:
    """The prompt of a continuation is that of the whole conversation sent in full, settings not inherited."""
    socket = await running.socket()
    first = await socket.turn(input="one", instructions="be brief")
    second = await socket.turn(input="two", previous_response_id=first["response"]["id"], temperature=0.5)
    items = [{"role": "user", "content": "one"}, *first["response"]["output"], {"role": "user", "content": "two"}]
    assert running.last.prompt == render({"model": "m", "temperature": 0.5}, items)
    assert second["response"]["previous_response_id"] == first["response"]["id"]
    assert running.sim.journal[0].connection == running.last.connection == 1


async def test_a_warm_up_has_no_output_and_can_be_continued(running: Running) -> None:
    """`generate: false` answers created, in_progress, completed with an empty output; its input is remembered."""
    socket = await running.socket()
    await socket.send(input="hi", generate=False)
    frames = await socket.answer()
    assert [frame["type"] for frame in frames] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert frames[-1]["response"]["output"] == []
    assert running.last.prompt is None
    assert running.last.generate is False
    await socket.turn(input="more", previous_response_id=frames[-1]["response"]["id"])
    assert running.last.prompt == render({"model": "m"}, [{"role": "user", "content": text} for text in ("hi", "more")])


async def test_only_the_latest_response_is_remembered(running: Running) -> None:
    """An older id gives previous_response_not_found, word for word as the API has it."""
    socket = await running.socket()
    older = await warm(socket)
    await warm(socket)
    frame = await socket.turn(input="x", previous_response_id=older)
    assert frame == {
        "type": "error",
        "status": 400,
        "error": {
            "type": "invalid_request_error",
            "code": "previous_response_not_found",
            "message": f"Previous response with id '{older}' not found.",
            "param": "previous_response_id",
        },
    }
    assert running.last.outcome == "rejected"
    assert running.last.error_code == "previous_response_not_found"


async def test_another_connection_knows_nothing(running: Running) -> None:
    """What is not stored is known on its own connection only."""
    one, other = await running.socket(), await running.socket()
    identifier = await warm(one)
    assert refusal(await other.turn(input="x", previous_response_id=identifier))[0] == "previous_response_not_found"
    assert (await one.turn(input="x", previous_response_id=identifier))["type"] == "response.completed"


async def test_stored_responses_are_known_everywhere(running: Running) -> None:
    """`store: true` (the default) makes an older id work on any connection and over HTTP."""
    one, other = await running.socket(), await running.socket()
    older = await warm(one, store=True)
    await warm(one)
    assert (await other.turn(input="x", previous_response_id=older))["type"] == "response.completed"
    assert (await running.create(input="x", previous_response_id=older))[0] == 200
    assert [len(entry.context or ()) for entry in running.sim.journal][2:] == [2, 2]


async def test_a_host_without_retention_stores_nothing(start: Start) -> None:
    """`honours_store=False`: the echo says false, and the id is unknown elsewhere."""
    running = await start(honours_store=False)
    socket = await running.socket()
    frame = await socket.turn(input="x", store=True)
    assert frame["response"]["store"] is False
    assert (await running.json("GET", f"/v1/responses/{frame['response']['id']}"))[0] == 404


async def test_a_refused_continuation_evicts_its_parent(running: Running) -> None:
    """A continuation on the same lane that is answered with an error costs the id that it named."""
    socket = await running.socket()
    identifier = await warm(socket)
    assert refusal(await socket.turn(input=[{"x": 1}], previous_response_id=identifier))[1] == 400
    frame = await socket.turn(input="x", previous_response_id=identifier)
    assert refusal(frame)[0] == "previous_response_not_found"


async def test_a_refused_full_turn_evicts_nothing(running: Running) -> None:
    """An error of a create that names no id leaves the lane's latest response alone."""
    socket = await running.socket()
    identifier = await warm(socket)
    assert refusal(await socket.turn(input=[{"x": 1}]))[1] == 400
    assert (await socket.turn(input="x", previous_response_id=identifier))["type"] == "response.completed"


async def test_a_failed_fork_keeps_the_parent(running: Running) -> None:
    """An error of a fork from another lane leaves the parent, and the error carries the fork's lane."""
    socket = await running.socket()
    identifier = await warm(socket)
    frame = await socket.turn(input=[{"x": 1}], previous_response_id=identifier, stream_id="b")
    assert frame["stream_id"] == "b"
    assert (await socket.turn(input="x", previous_response_id=identifier))["type"] == "response.completed"


async def test_a_failed_response_cannot_be_continued(running: Running) -> None:
    """`response.failed` leaves the lane with nothing to continue from."""
    socket = await running.socket()
    identifier = await warm(socket)
    running.sim.faults.add(Fault("failed", "events", after=2))
    frame = await socket.turn(input="x", previous_response_id=identifier)
    assert frame["type"] == "response.failed"
    for lost in (identifier, frame["response"]["id"]):
        assert refusal(await socket.turn(input="x", previous_response_id=lost))[0] == "previous_response_not_found"


async def test_a_parent_may_be_continued_once_only(start: Start) -> None:
    """`once_only_parents`: the second continuation of one parent finds nothing, stored or not."""
    running = await start(once_only_parents=True)
    socket = await running.socket()
    for store in (False, True):
        identifier = await warm(socket, store=store)
        for lane, outcome in (("a", "response.completed"), ("b", "error")):
            frame = await socket.turn(input="x", previous_response_id=identifier, stream_id=lane)
            assert frame["type"] == outcome


async def test_lenient_hosts_lose_the_context(start: Start) -> None:
    """`lenient_ids`: an unknown id is answered as if nothing were wrong, with the new items for all context."""
    running = await start(lenient_ids=True)
    socket = await running.socket()
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    frame = await socket.turn(input=[output], previous_response_id="resp_made_up")
    assert frame["type"] == "response.completed"
    assert running.last.prompt == render({"model": "m"}, [output])


async def test_forgetful_hosts_forget(start: Start) -> None:
    """`forgetful`: a response that the predicate (or the dice) picks is gone at once."""
    for forgetful in (1.0, lambda identifier: identifier.startswith("resp_")):
        socket = await (await start(forgetful=forgetful)).socket()
        identifier = await warm(socket)
        frame = await socket.turn(input="x", previous_response_id=identifier)
        assert refusal(frame)[0] == "previous_response_not_found"


async def test_the_status_of_not_found_can_be_404(start: Start) -> None:
    """Some servers refuse unknown ids with 404."""
    socket = await (await start(not_found_status=404)).socket()
    assert refusal(await socket.turn(input="x", previous_response_id="resp_x")) == ("previous_response_not_found", 404)


async def test_lanes_run_at_the_same_time(running: Running) -> None:
    """While one lane hangs, another one answers; events of a named lane carry its name."""
    socket = await running.socket()
    running.sim.faults.add(Fault("hang", "events", after=1))
    await socket.send(input="x", stream_id="slow")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    await socket.send(input="x", stream_id="quick")
    frames = await socket.answer("quick")
    assert frames[-1]["type"] == "response.completed"
    assert {frame["stream_id"] for frame in frames} == {"slow", "quick"}
    running.sim.faults.release()
    assert (await socket.answer("slow"))[-1]["type"] == "response.completed"


async def test_one_lane_is_first_in_first_out(running: Running) -> None:
    """Creates of one lane are answered one after the other, in order."""
    socket = await running.socket()
    for text in "abc":
        await socket.send(input=text, metadata={"text": text})
    for text in "abc":
        frames = await socket.answer()
        assert {frame["response"]["metadata"]["text"] for frame in frames if "response" in frame} == {text}


async def test_sixteen_are_in_flight_and_the_seventeenth_waits(running: Running) -> None:
    """At most 16 responses run on one connection; more are queued, not refused."""
    socket = await running.socket()
    running.sim.faults.add(Fault("hang", times=17))
    for number in range(17):
        await socket.send(input="x", stream_id=f"lane{number}")
    await running.sim.until(lambda: len(running.sim.journal) == 17 and len(running.sim.faults.struck) == 16)
    for _ in range(5):  # round trips, so that the seventeenth had every chance
        await socket.connection.send("{}")
        assert refusal(await socket.receive())[1] == 400
    assert len(running.sim.faults.struck) == 16
    running.sim.faults.release()
    await running.sim.until(lambda: len(running.sim.faults.struck) == 17)
    running.sim.faults.release()
    finished = 0
    while finished < 17:
        finished += (await socket.receive())["type"] == "response.completed"


async def test_a_connection_names_32_lanes_in_its_life(running: Running) -> None:
    """The 33rd name is refused with websocket_stream_limit_reached; known names and the default lane go on."""
    socket = await running.socket()
    for number in range(32):
        await warm(socket, stream_id=f"lane{number}")
    frame = await socket.turn(input="x", stream_id="one-more")
    assert refusal(frame) == ("websocket_stream_limit_reached", 400)
    assert frame["stream_id"] == "one-more"
    await warm(socket, stream_id="lane0")
    await warm(socket)


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 257, "a/b", 7, "a\n"], ids=repr)
async def test_odd_lane_names_are_refused(running: Running, name: object) -> None:
    """A lane's name has 1 to 256 characters of letters, digits, '_', '.' and '-'."""
    socket = await running.socket()
    await socket.send(input="x", stream_id=name)
    assert refusal(await socket.receive()) == ("invalid_stream_id", 400)
    await warm(socket, stream_id="A.b_c-9" + "x" * 249)


async def test_hosts_without_lanes_refuse_them(start: Start) -> None:
    """`lanes=False`: any stream_id is a 400 error frame that names no lane."""
    socket = await (await start(lanes=False)).socket()
    await socket.send(input="x", stream_id="a")
    frame = await socket.receive()
    assert frame["error"]["param"] == "stream_id"
    assert "stream_id" not in frame


@pytest.mark.parametrize(
    ("how", "code", "param", "named"),
    [
        ("unknown_parameter", "unknown_parameter", "stream_id", True),
        ("invalid_stream_id", "invalid_stream_id", None, False),
        ("text", None, None, True),
        ("vague", None, None, False),
    ],
)
async def test_how_a_lane_is_refused(
    start: Start, how: str, code: str | None, param: str | None, *, named: bool
) -> None:
    """`lane_refusal`: by a code, by the param, in the message alone, or in no words; no response begins."""
    running = await start(lanes=False, lane_refusal=how)
    socket = await running.socket()
    await socket.send(input="x", stream_id="a")
    error = (await socket.receive())["error"]
    assert (error["code"], error["param"], "stream_id" in error["message"]) == (code, param, named)
    assert (running.last.outcome, running.last.prompt, running.last.lane) == ("rejected", None, "a")
    await warm(socket)


async def test_a_lane_may_be_ignored(start: Start) -> None:
    """`lane_refusal="ignored"`: all creates are the default lane's, in order, and no event carries a name."""
    running = await start(lanes=False, lane_refusal="ignored")
    socket = await running.socket()
    identifier = await warm(socket)
    await socket.send(input="x", stream_id="a", previous_response_id=identifier)
    await socket.send(input="y", stream_id="b", previous_response_id=identifier)
    frames = [*await socket.answer(), *await socket.answer()]
    assert not any("stream_id" in frame for frame in frames)
    assert refusal(frames[-1])[0] == "previous_response_not_found"
    assert [entry.lane for entry in running.sim.journal] == [None] * 3
    assert [entry.echoed for entry in running.sim.journal] == [False] * 3


async def test_the_budgets_of_lanes_can_be_chosen(start: Start) -> None:
    """`named_lanes` and `in_flight` are the host's own numbers."""
    running = await start(named_lanes=2, in_flight=1)
    socket = await running.socket()
    running.sim.faults.add(Fault("hang", times=2))
    for lane in "ab":
        await socket.send(input="x", stream_id=lane)
    assert refusal(await socket.turn(input="x", stream_id="c"))[0] == "websocket_stream_limit_reached"
    assert len(running.sim.faults.struck) == 1
    running.sim.faults.release()
    await running.sim.until(lambda: len(running.sim.faults.struck) == 2)


async def test_creates_say_what_was_going_on_as_they_came(running: Running) -> None:
    """`at_work` counts those that the socket had not done yet, `echoed` tells whether a lane's name had come back."""
    socket, other = await running.socket(), await running.socket()
    running.sim.faults.add(Fault("hang", "events", after=1, times=2))
    await socket.send(input="x")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    await socket.send(input="x", stream_id="a")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 2)
    await socket.send(input="x", stream_id="b")
    assert (await socket.answer("b"))[-1]["type"] == "response.completed"
    await socket.turn(input="x", stream_id="b")
    running.sim.faults.add(Fault("hang", "events", after=1))
    await other.send(input="x", generate=False)
    await running.sim.until(lambda: len(running.sim.faults.struck) == 3)
    await other.turn(input="x", stream_id="a")
    seen = [(entry.at_work, entry.echoed) for entry in running.sim.journal]
    assert seen == [(1, False), (2, False), (3, True), (3, True), (1, False), (1, False)]


async def test_a_fork_that_begins_after_the_parents_lane_moved_on_finds_nothing(running: Running) -> None:
    """With `store: false`, the parent is gone once its lane has another latest response."""
    socket = await running.socket()
    identifier = await warm(socket)
    running.sim.faults.add(Fault("hang"))
    await socket.send(input="fork", previous_response_id=identifier, stream_id="b")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    await warm(socket, previous_response_id=identifier)
    running.sim.faults.release()
    assert refusal((await socket.answer("b"))[-1])[0] == "previous_response_not_found"


@pytest.mark.parametrize(("gone_at", "outcome"), [("next_completed", "response.completed"), ("next_created", "error")])
async def test_when_a_parent_is_gone_can_be_chosen(start: Start, gone_at: str, outcome: str) -> None:
    """A host holds a parent until its lane's next response is completed, or (stricter) created."""
    running = await start(parent_gone_at=gone_at)
    socket = await running.socket()
    identifier = await warm(socket)
    running.sim.faults.add(Fault("hang", "events", after=2))
    await socket.send(input="first child", previous_response_id=identifier)
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    await socket.send(input="fork", previous_response_id=identifier, stream_id="b")
    assert (await socket.answer("b"))[-1]["type"] == outcome


async def test_stream_false_is_refused(running: Running) -> None:
    """`stream: false` in a frame is the 400 that was measured on the live service; `stream: true` is accepted."""
    socket = await running.socket()
    frame = await socket.turn(input="x", stream=False)
    assert frame["error"]["message"] == "The 'stream' parameter is not supported on /v1/responses."
    assert refusal(frame) == (None, 400)
    assert "code" in frame["error"]
    assert (await socket.turn(input="x", stream=True))["type"] == "response.completed"


async def test_stream_options_need_stream(running: Running) -> None:
    """`stream_options` without `stream: true` is refused; with it, `include_obfuscation: false` is obeyed."""
    socket = await running.socket()
    options = {"include_obfuscation": False}
    assert refusal(await socket.turn(input="x", stream_options=options))[1] == 400
    for extra, obfuscated in (({"stream": True, "stream_options": options}, False), ({}, True)):
        await socket.send(input="x", **extra)
        deltas = [frame for frame in await socket.answer() if frame["type"] == "response.output_text.delta"]
        assert len(deltas) > 1
        assert all(("obfuscation" in delta) is obfuscated for delta in deltas)


async def test_background_is_refused(running: Running) -> None:
    """A socket does not run responses in the background."""
    socket = await running.socket()
    assert refusal(await socket.turn(input="x", background=True))[1] == 400


@pytest.mark.parametrize("frame", ["not json", "[]", '{"type":"response.cancel"}', "{}", b"\x00\x01"], ids=repr)
async def test_odd_frames_are_answered_and_the_connection_stays(running: Running, frame: str | bytes) -> None:
    """What is no client event gives a 400 error frame, and nothing else."""
    socket = await running.socket()
    await socket.connection.send(frame)
    assert refusal(await socket.receive())[1] == 400
    await warm(socket)
    assert len(running.sim.journal) == 1


@pytest.mark.parametrize(("extra", "code"), [(-1, None), (0, 1009), (1, 1009)])
async def test_frames_of_the_limit_are_cut_off(start: Start, extra: int, code: int | None) -> None:
    """A frame as large as the limit, or larger, closes with 1009; one byte less is served."""
    running = await start(frame_limit=70_000, compress=False)
    socket = await running.socket()
    frame = json.dumps({"type": "response.create", "model": "m", "store": False, "input": ""})
    await socket.connection.send(frame[:-2] + "x" * (70_000 + extra - len(frame)) + '"}')
    if code is None:
        assert (await socket.answer())[-1]["type"] == "response.completed"
        assert running.last.size == 69_999
    else:
        assert await socket.closed() == code


@pytest.mark.parametrize("size", [1_000, 1_001, 5_000])
async def test_compressed_frames_count_with_their_own_size(start: Start, size: int) -> None:
    """permessage-deflate does not get a large frame past the limit."""
    running = await start(frame_limit=1_000)
    socket = await running.socket()
    await socket.connection.send("x" * size)
    assert await socket.closed() == 1009


async def test_a_model_that_raises_does_not_keep_its_caller_waiting(start: Start) -> None:
    """A tester's own model with an error in it costs the connection, not an endless wait."""

    class Broken:
        def answer(self, prompt: str, settings: object, items: object) -> Answer:
            raise ValueError((prompt, settings, items))

    running = await start(model=Broken())
    socket = await running.socket()
    await socket.send(input="x")
    assert await socket.closed() == 1006
    assert running.last.outcome == "cut"


@pytest.mark.parametrize("compress", [True, False])
async def test_compression_is_negotiated_when_offered(start: Start, *, compress: bool) -> None:
    """permessage-deflate is used if both sides want it."""
    socket = await (await start(compress=compress)).socket()
    response = socket.connection.response
    assert response is not None
    assert ("permessage-deflate" in response.headers.get("Sec-WebSocket-Extensions", "")) is compress
    await warm(socket)


async def test_the_age_limit_closes(start: Start) -> None:
    """At the age limit comes an error frame, then a close."""
    running = await start(age_limit=0.05)
    socket = await running.socket()
    assert refusal(await socket.receive())[0] == "websocket_connection_limit_reached"
    assert await socket.closed() == 1000
    await running.sim.until(lambda: running.sim.connections == 0)


async def test_the_age_limit_obeys_an_injected_clock(start: Start) -> None:
    """With a clock of the test's own, a create on an aged connection gets the limit's error."""
    now = [0.0]
    running = await start(clock=lambda: now[0], age_limit=3600)
    socket = await running.socket()
    await warm(socket)
    now[0] = 3600.0
    assert refusal(await socket.turn(input="x"))[0] == "websocket_connection_limit_reached"
    assert running.last.outcome == "rejected"
    assert await socket.closed() == 1000


async def test_a_queued_create_ends_as_cut_when_the_socket_goes(running: Running) -> None:
    """The journal says `cut` for every create whose terminal event was never sent."""
    socket = await running.socket()
    running.sim.faults.add(Fault("hang", "events", after=2))
    for _ in range(2):
        await socket.send(input="x")
    await running.sim.until(lambda: len(running.sim.journal) == 2 and len(running.sim.faults.struck) == 1)
    await running.sim.drop_connections()
    await running.sim.until(lambda: all(entry.outcome == "cut" for entry in running.sim.journal))


@pytest.mark.parametrize(("how", "same"), [("full", True), ("empty", False), ("differing", False)])
async def test_the_terminal_output_may_differ_from_what_was_streamed(start: Start, how: str, *, same: bool) -> None:
    """`completed_output`: some servers leave the list empty or write items differently; the streamed ones count."""
    running = await start(completed_output=how)
    socket = await running.socket()
    await socket.send(input="x", include=["reasoning.encrypted_content"])
    frames = await socket.answer()
    streamed = [frame["item"] for frame in frames if frame["type"] == "response.output_item.done"]
    shown = frames[-1]["response"]["output"]
    assert (shown == streamed) is same
    if how == "differing":
        assert [item["type"] for item in shown] == ["reasoning", "message"]
        assert shown[0]["encrypted_content"] != streamed[0]["encrypted_content"]
        assert shown[1]["content"] == streamed[1]["content"]
    await socket.turn(input="y", previous_response_id=frames[-1]["response"]["id"])
    assert running.last.context is not None
    assert list(running.last.context[1:-1]) == streamed


async def test_the_upgrade_needs_a_key(running: Running) -> None:
    """Without a key the upgrade is refused with 401, and the handshake is journaled."""
    with pytest.raises(InvalidStatus) as refused:
        await running.socket(Authorization="Basic x")
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["error"]["code"] == "invalid_api_key"
    assert running.sim.handshakes[-1].status == 401


async def test_the_upgrade_answers_with_the_apis_headers(running: Running) -> None:
    """Rate limits and the request id come with the upgrade."""
    socket = await running.socket()
    response = socket.connection.response
    assert response is not None
    assert response.headers["x-request-id"].startswith("req_")
    assert "x-ratelimit-remaining-tokens" in response.headers


async def test_a_client_that_hangs_up_is_forgotten(running: Running) -> None:
    """The end of a socket ends its turns and is counted."""
    socket = await running.socket()
    assert running.sim.connections == 1
    running.sim.faults.add(Fault("hang"))
    await socket.send(input="x")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    async with asyncio.timeout(5):
        await socket.connection.close()
    await running.sim.until(lambda: running.sim.connections == 0 and running.last.outcome == "cut")
