"""Steering input that was accepted and that no response carries on: given back, or gone with its line."""

import asyncio
from typing import Literal

import pytest

from proxy.simulator import Behaviour, Entry, Fault, render
from proxy.simulator.errors import ApiError
from proxy.simulator.host import Host
from proxy.simulator.memory import Memory
from proxy.simulator.prompt import Item
from proxy.simulator.steering import Steering
from proxy.simulator.turn import Turn
from tests.simulator.conftest import Start
from tests.simulator.test_steering import begun, steer, struck, types, user
from tests.simulator.wire import TOOL, Event, Running, Socket

pytestmark = pytest.mark.timeout(30)
End = Literal["abort", "close", "age_limit"]


class Steers:
    """Where events go: it steers the first response as soon as it is created, and keeps what comes."""

    def __init__(self, steering: Steering) -> None:
        self.seen: list[Item] = []
        self._steering = steering

    async def event(self, event: Item, *, terminal: bool) -> None:
        """Keep the event; steer at the first one."""
        assert terminal is (str(event["type"]).partition("response.")[2] in {"completed", "failed", "incomplete"})
        self.seen.append(event)
        response = event.get("response")
        if len(self.seen) == 1 and isinstance(response, dict):
            frame = {"type": "response.steer", "previous_response_id": response["id"], "input": "shorter"}
            await self._steering.submit(frame, self.elsewhere)

    async def elsewhere(self, lane: str | None, event: Item) -> None:
        """Nothing is said outside the response's own stream."""
        raise AssertionError((lane, event))

    async def error(self, error: ApiError, sequence_number: int) -> None:
        """Keep the error as an event."""
        self.seen.append({"type": "error", "code": error.code, "sequence_number": sequence_number})

    async def strike(self, fault: Fault) -> bool:
        """The line is lost by a reset only."""
        return fault.what == "abort"


async def steered(*faults: Fault) -> tuple[Host, list[Item]]:
    """One create, steered at its first event, with these faults queued: the host and what was sent."""
    host, steering = Host(Behaviour(), None), Steering()
    host.faults.add(*faults)
    entry = Entry(host.journal.next_number(), "ws", 1, None, (), b"", {"model": "m", "input": "x"})
    host.journal.add(entry)
    sink = Steers(steering)
    await Turn(host, entry, Memory(), sink, steering=steering).run()
    return host, sink.seen


def given_back(frame: Item, accepted: object) -> None:
    """The frame is a failure that returns the accepted input under its own id."""
    assert frame["type"] == "response.steer.failed", frame
    assert isinstance(accepted, dict)
    assert frame["steer"] == {**accepted, "input": "shorter"}
    error = frame["error"]
    assert isinstance(error, dict)
    assert error["code"] == "successor_creation_failed"


async def waiting(running: Running, socket: Socket, **fields: object) -> tuple[Event, object, Event]:
    """A response that was steered and ended with an open call: its end, its steer, and the call's output."""
    parent = await begun(running, socket, 3, tools=[TOOL], **fields)
    accepted = await steer(socket, parent, "shorter")
    running.sim.faults.release()
    lane = fields.get("stream_id")
    ended = (await socket.answer(lane if isinstance(lane, str) else None))[-1]["response"]
    assert (await socket.receive())["type"] == "response.steer.pending"
    call_id = ended["output"][-1]["call_id"]
    return ended, accepted["steer"], {"type": "function_call_output", "call_id": call_id, "output": "y"}


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Fault("failed", "terminal"), "response.failed"),
        (Fault("incomplete", "terminal"), "response.incomplete"),
        (Fault("error", "terminal"), "error"),
        (Fault("error", "events", after=500), "error"),
    ],
    ids=["failed", "incomplete", "error", "error after more events than come"],
)
async def test_a_response_that_ends_badly_gives_its_input_back(fault: Fault, ending: str) -> None:
    """Accepted input comes back under the same id, after the response's own end; nothing starts."""
    host, seen = await steered(fault)
    assert [event["type"] for event in seen][-2:] == [ending, "response.steer.failed"]
    given_back(seen[-1], seen[1]["steer"])
    assert len(host.journal) == len(host.faults.struck) == 1


async def test_a_fault_at_the_end_of_a_steered_response_comes_before_its_successor() -> None:
    """When it costs the line, no successor starts; when it does not, one does."""
    host, seen = await steered(Fault("abort", "end"))
    assert seen[-1]["type"] == "response.incomplete"
    assert (len(host.journal), len(host.faults.struck)) == (1, 1)
    host, seen = await steered(Fault("garbage", "end"))
    assert seen[-1]["type"] == "response.completed"
    assert [entry.outcome for entry in host.journal] == ["incomplete", "completed"]
    assert len(host.faults.struck) == 1


async def test_a_successor_that_cannot_be_created_gives_its_input_back() -> None:
    """Nobody sent a create, so no error frame answers one: the steer fails, and the journal has the reason."""
    host, seen = await steered(Fault("error", skip=1))
    assert [event["type"] for event in seen][-2:] == ["response.incomplete", "response.steer.failed"]
    given_back(seen[-1], seen[1]["steer"])
    assert [entry.outcome for entry in host.journal] == ["incomplete", "rejected"]
    assert (host.journal[-1].error_code, host.journal[-1].status) == ("server_error", 500)


async def test_an_error_of_a_successor_that_was_created_is_an_error(running: Running) -> None:
    """From its first event on, a successor is a response like any other: its input is committed."""
    socket = await running.socket()
    parent = await begun(running, socket)
    running.sim.faults.add(Fault("error", "events", after=2))
    await steer(socket, parent, "shorter")
    running.sim.faults.release()
    await socket.answer()
    assert types(await socket.answer()) == ["response.created", "response.in_progress", "error"]
    assert (running.last.successor, running.last.outcome) == (True, "failed")
    assert (await socket.turn(input="y"))["type"] == "response.completed"


async def test_a_forgetful_host_cannot_continue_what_was_steered(start: Start) -> None:
    """The steered response is lost at once: its input comes back, and the lane goes on."""
    running = await start(forgetful=1.0)
    socket = await running.socket()
    parent = await begun(running, socket, stream_id="a")
    accepted = await steer(socket, parent, "shorter")
    running.sim.faults.release()
    assert (await socket.answer("a"))[-1]["type"] == "response.incomplete"
    frame = await socket.receive()
    assert frame["stream_id"] == "a"
    given_back(frame, accepted["steer"])
    assert (running.last.successor, running.last.error_code) == (True, "previous_response_not_found")
    assert (await socket.turn(input="y", stream_id="a"))["type"] == "response.completed"


async def test_a_lane_that_goes_on_without_the_outputs_gives_the_input_back(running: Running) -> None:
    """A create that continues something else ends the wait: the failure follows its last event."""
    socket = await running.socket()
    _, accepted, _ = await waiting(running, socket)
    assert (await socket.turn(input="something else"))["type"] == "response.completed"
    given_back(await socket.receive(), accepted)
    assert running.last.steered == ()
    assert running.last.prompt == render({"model": "m"}, [user("something else")])


async def test_a_refused_continuation_gives_the_input_back(running: Running) -> None:
    """The create without the output is refused, its parent is gone, and so the steer fails after the error."""
    socket = await running.socket()
    ended, accepted, _ = await waiting(running, socket)
    assert (await socket.turn(input="no output", previous_response_id=ended["id"]))["type"] == "error"
    given_back(await socket.receive(), accepted)
    assert (await socket.turn(input="y"))["type"] == "response.completed"


async def test_another_refused_create_leaves_the_input_waiting(running: Running) -> None:
    """An error of a create that names no parent costs nothing."""
    socket = await running.socket()
    ended, _, output = await waiting(running, socket)
    assert (await socket.turn(input=[{"x": 1}]))["type"] == "error"
    assert (await socket.turn(input=[output], previous_response_id=ended["id"]))["type"] == "response.completed"
    items = [user("x"), *ended["output"], user("shorter"), output]
    assert running.last.prompt == render({"model": "m"}, items)


async def test_a_fork_does_not_take_the_input_along(running: Running) -> None:
    """Input waits for the lane of the steered response: a fork on another one has none of it, refused or not."""
    socket = await running.socket()
    ended, _, output = await waiting(running, socket, stream_id="a")
    for given, ending in (([output], "response.completed"), ("no output", "error")):
        frame = await socket.turn(input=given, previous_response_id=ended["id"], stream_id="b")
        assert frame["type"] == ending
    assert running.sim.journal[1].prompt == render({"model": "m"}, [user("x"), *ended["output"], output])
    await socket.turn(input=[output], previous_response_id=ended["id"], stream_id="a")
    items = [user("x"), *ended["output"], user("shorter"), output]
    assert running.last.prompt == render({"model": "m"}, items)


@pytest.mark.parametrize("how", ["abort", "close", "age_limit"])
@pytest.mark.parametrize("place", ["steered", "successor", "waiting"])
async def test_a_lost_line_leaves_nothing_behind(running: Running, how: End, place: str) -> None:
    """Wherever the line is lost, every turn ends in the journal, and no task of the connection is left."""
    socket = await running.socket()
    if place == "waiting":
        await waiting(running, socket)
    else:
        parent = await begun(running, socket)
        running.sim.faults.add(Fault("hang", "start"))
        await steer(socket, parent, "shorter")
    if place == "successor":
        running.sim.faults.release()
        await struck(running, 2)
    await running.sim.strike(Fault(how, "now"))
    await running.sim.until(lambda: running.sim.connections == 0)
    expected = {"steered": ["cut"], "successor": ["incomplete", "cut"], "waiting": ["completed"]}[place]
    await running.sim.until(lambda: [entry.outcome for entry in running.sim.journal] == expected)
    names = {task.get_name() for task in asyncio.all_tasks() if not task.done()}
    assert not [name for name in names if name.startswith("simulator: create")]
    again = await running.socket()
    running.sim.faults.clear()
    assert (await again.turn(input="y"))["type"] == "response.completed"
