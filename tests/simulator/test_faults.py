"""Faults: each kind at each place, over both transports."""

import json

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus

from proxy.simulator import Fault, possible
from proxy.simulator.connection import Connection
from proxy.simulator.faults import KINDS, PLACES, TURN_PLACES, Faults, What, Where
from proxy.simulator.watch import Watch
from proxy.tasks import Tasks
from tests.simulator.wire import KEY, TERMINAL, Running, Socket, parse_sse

CELLS = [(where, what) for where in PLACES for what in KINDS if possible(where, what)]
TURN_CELLS = [(where, what) for where, what in CELLS if where in TURN_PLACES]
NOISE = ("garbage", "binary", "foreign_lane", "stray", "oversized")


def test_the_matrix_has_its_size() -> None:
    """Every place can go wrong, and only sensible cells exist."""
    assert {where for where, _ in CELLS} == set(PLACES)
    assert {what for _, what in CELLS} == set(KINDS)
    assert len(TURN_CELLS) == 3 * 14 + 11


@pytest.mark.parametrize(
    "bad",
    [
        {"what": "refuse", "where": "start"},
        {"what": "failed", "where": "end"},
        {"what": "error", "where": "now"},
        {"what": "abort", "times": 0},
        {"what": "abort", "skip": -1},
        {"what": "delay", "seconds": -1.0},
    ],
    ids=str,
)
def test_impossible_faults_are_refused(bad: dict[str, str]) -> None:
    """A fault that makes no sense is refused when it is made."""
    with pytest.raises(ValueError, match="Fault: "):
        Fault(**bad)  # type: ignore[arg-type] # wrong on purpose


def test_where_a_fault_strikes() -> None:
    """A place is a position among the events; one beyond the last is just before the last."""
    places: list[tuple[Where, int, int]] = [
        ("start", 1, 0),
        ("events", 3, 3),
        ("events", 99, 9),
        ("terminal", 1, 9),
        ("end", 1, 10),
    ]
    for where, after, position in places:
        assert Fault("abort", where, after=after).position(10) == position


def test_requests_take_faults_in_order() -> None:
    """The first fault that matches is taken; `skip` lets requests pass, `times` repeats, `transport` narrows."""
    faults = Faults(Watch())
    first = Fault("abort", skip=1, times=2, transport="ws")
    faults.extend([first, Fault("close", "upgrade"), Fault("hang")])
    assert faults.of_turn("http") == Fault("hang")
    taken = [faults.of_turn("ws") for _ in range(4)]
    assert [fault.what if fault else None for fault in taken] == [None, "abort", "abort", None]
    assert len(faults) == 1
    assert faults.at_upgrade() == Fault("close", "upgrade")
    assert faults.at_upgrade() is None


def test_now_is_not_queued() -> None:
    """A fault of the place `now` has no request to wait for."""
    with pytest.raises(ValueError, match=r"Simulator\.strike"):
        Faults(Watch()).add(Fault("abort", "now"))


async def test_clear_lets_hanging_turns_go_on(running: Running) -> None:
    """`clear` empties the queue and releases what hangs."""
    running.sim.faults.add(Fault("hang", "terminal"), Fault("abort"))
    socket = await running.socket()
    await socket.send(input="x")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    running.sim.faults.clear()
    assert (await socket.answer())[-1]["type"] == "response.completed"
    assert len(running.sim.faults) == 0


async def read(socket: Socket) -> list[object]:
    """All that comes until a terminal frame, the end of the socket, or a frame that is no JSON object."""
    seen: list[object] = []
    while not seen or not isinstance(seen[-1], dict) or seen[-1].get("type") not in TERMINAL:
        try:
            frame = await socket.connection.recv()
        except ConnectionClosedError as error:
            return [*seen, error.rcvd.code if error.rcvd else "lost"]
        try:
            seen.append(json.loads(frame) if isinstance(frame, str) else frame)
        except ValueError:
            seen.append(frame)
    return seen


def kinds(seen: list[object]) -> list[object]:
    """What was seen, events by their type."""
    return [frame.get("type") if isinstance(frame, dict) else frame for frame in seen]


@pytest.mark.parametrize(("where", "what"), [cell for cell in TURN_CELLS if cell[0] != "end"])
async def test_a_turn_on_a_socket_goes_wrong(running: Running, where: Where, what: What) -> None:
    """Each kind happens exactly where it is asked for, seen by the client."""
    fault = Fault(what, where, after=2, code="teapot", status=418, close_code=4000, size=1_000_000)
    socket = await running.socket()
    running.sim.faults.add(fault)
    await socket.send(input="x")
    await running.sim.until(lambda: running.sim.faults.struck == [fault])
    running.sim.faults.release()
    seen = await read(socket)
    before = {"start": 0, "events": 2}.get(where, len(seen) - 1)
    if what in {"close", "abort"}:
        assert seen[before:] == [4000 if what == "close" else "lost"]
        assert running.last.outcome == "cut"
    elif what == "age_limit":
        assert kinds(seen)[-1] == "error"
        assert await socket.closed() == 1000
    elif what in {"error", "failed", "incomplete"}:
        names = {"error": "error", "failed": "response.failed", "incomplete": "response.incomplete"}
        assert kinds(seen)[-1] == names[what]
        assert len(seen) == (before + 1 if where != "start" or what == "error" else 3)
        ended = "rejected" if where == "start" else "failed"
        assert running.last.outcome == (ended if what == "error" else what)
    else:
        assert kinds(seen)[-1] == "response.completed"
        position = {"start": 0, "events": 2}.get(where, len(seen) - 2)
        odd = seen[position]
        if what == "garbage":
            assert isinstance(odd, str)
        elif what == "binary":
            assert isinstance(odd, bytes)
        elif what in {"foreign_lane", "stray", "oversized"}:
            assert isinstance(odd, dict)
            assert odd["item_id"] == "msg_of_nobody"
            assert ("stream_id" in odd) is (what == "foreign_lane")
            assert (len(odd["delta"]) == 1_000_000) is (what == "oversized")


@pytest.mark.parametrize("what", [what for where, what in TURN_CELLS if where == "end"])
async def test_right_after_a_turn_on_a_socket(running: Running, what: What) -> None:
    """The turn is complete, and then it goes wrong."""
    socket = await running.socket()
    running.sim.faults.add(Fault(what, "end", close_code=4000, size=1_000))
    await socket.send(input="x")
    frames = await socket.answer()
    assert frames[-1]["type"] == "response.completed"
    assert running.last.outcome == "completed"
    if what in {"close", "abort"}:
        assert await socket.closed() == (4000 if what == "close" else 1006)
    elif what == "age_limit":
        assert (await socket.receive())["error"]["code"] == "websocket_connection_limit_reached"
    elif what in {"garbage", "binary", "foreign_lane", "stray", "oversized"}:
        assert await socket.connection.recv()
    elif what == "forget":
        frame = await socket.turn(input="y", previous_response_id=frames[-1]["response"]["id"])
        assert frame["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize(("where", "what"), TURN_CELLS)
async def test_a_stream_goes_wrong(running: Running, where: Where, what: What) -> None:
    """The same faults strike an SSE stream: it is cut, ends early, or has something odd in it."""
    fault = Fault(what, where, after=2, code="teapot", status=418, size=1_000)
    running.sim.faults.add(fault)
    body = json.dumps({"model": "m", "stream": True, "input": "x"})
    lost, text, status = False, b"", 200
    tasks = Tasks()
    tasks.start(release_once_struck(running), "release")
    try:
        async with running.http.post(f"{running.base}/responses", data=body, headers=KEY) as answer:
            status = answer.status
            async for chunk in answer.content.iter_any():
                text += chunk
    except aiohttp.ClientError:
        lost = True
    await tasks.close()
    assert running.sim.faults.struck == [fault]
    assert lost is (what == "abort")
    assert status == (418 if what == "error" and where == "start" else 200)
    assert (b'"not for you"' in text) is (what in {"foreign_lane", "stray"})
    if not lost:
        whole = b"event: response.completed" in text
        assert whole is (where == "end" or what in {"delay", "hang", "forget", *NOISE})
    if what in {"failed", "incomplete"}:
        assert parse_sse(text)[-1]["type"] == f"response.{what}"


async def release_once_struck(running: Running) -> None:
    """Let a turn that hangs go on, as soon as it hangs."""
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    running.sim.faults.release()


@pytest.mark.parametrize("what", [what for what in KINDS if possible("terminal", what) and what != "hang"])
async def test_a_json_answer_goes_wrong(running: Running, what: What) -> None:
    """A caller without a stream sees a lost line, an error status, a body that is none, or a response that failed."""
    running.sim.faults.add(Fault(what, "terminal", status=418, size=1_000))
    body = json.dumps({"model": "m", "input": "x"})
    status, text = None, b""
    try:
        async with running.http.post(f"{running.base}/responses", data=body, headers=KEY) as answer:
            status, text = answer.status, await answer.read()
    except aiohttp.ClientError:
        assert what in {"close", "abort", "age_limit"}
        return
    if what == "error":
        assert status == 418
    elif what in {"garbage", "binary"}:
        with pytest.raises(ValueError):  # noqa: PT011 - either of JSON's and Unicode's errors
            json.loads(text)
    elif what in {"failed", "incomplete"}:
        assert json.loads(text)["status"] == what
    elif what in {"delay", "forget"}:
        assert json.loads(text)["status"] == "completed"
    else:
        assert what in {"foreign_lane", "stray", "oversized"}
        assert json.loads(text)["item_id"] == "msg_of_nobody"


async def test_upgrades_are_refused_as_often_as_asked(running: Running) -> None:
    """`refuse` answers with its status, headers and body for the next N upgrades."""
    running.sim.faults.add(
        Fault("refuse", "upgrade", times=2, status=429, code="rate_limit_exceeded", headers={"retry-after": "7"}),
        Fault("refuse", "upgrade", status=503, body="<html>busy</html>"),
    )
    for status in (429, 429, 503):
        with pytest.raises(InvalidStatus) as refused:
            await running.socket()
        response = refused.value.response
        assert response.status_code == status
        if status == 429:
            assert response.headers["retry-after"] == "7"
            assert json.loads(response.body or b"")["error"]["code"] == "rate_limit_exceeded"
        else:
            assert response.body == b"<html>busy</html>"
    await running.socket()
    assert [handshake.status for handshake in running.sim.handshakes] == [429, 429, 503, 101]


@pytest.mark.parametrize("what", ["close", "abort"])
async def test_upgrades_are_cut(running: Running, what: What) -> None:
    """The TCP connection ends without an answer."""
    running.sim.faults.add(Fault(what, "upgrade"))
    with pytest.raises((InvalidMessage, ConnectionError, EOFError)):
        await running.socket()


async def test_upgrades_can_be_slow(running: Running) -> None:
    """A delayed upgrade is granted in the end."""
    running.sim.faults.add(Fault("delay", "upgrade", seconds=0.01))
    assert (await (await running.socket()).turn(input="x"))["type"] == "response.completed"


async def test_upgrades_can_hang(running: Running) -> None:
    """A black hole takes the connection and never answers, until the simulator closes."""
    running.sim.faults.add(Fault("hang", "upgrade"))
    headers = {**KEY, "Connection": "Upgrade", "Upgrade": "websocket"}
    with pytest.raises(TimeoutError):
        await running.http.get(f"{running.base}/responses", headers=headers, timeout=aiohttp.ClientTimeout(total=0.05))
    assert running.sim.faults.struck == [Fault("hang", "upgrade")]
    assert running.sim.connections == 0


async def test_now_strikes_the_others_though_one_is_closing(running: Running) -> None:
    """What is written to a socket on its way out is lost, and no failure of the call."""
    _, other = await running.socket(), await running.socket()
    first = next(iter(running.sim._host.sockets.values()))
    assert isinstance(first, Connection)
    transport = first._request.transport
    assert transport is not None
    transport.close()
    await running.sim.strike(Fault("garbage", "now"))
    assert await other.connection.recv()


@pytest.mark.parametrize("what", [what for where, what in CELLS if where == "now"])
async def test_faults_strike_idle_sockets_at_once(running: Running, what: What) -> None:
    """`strike` reaches every open socket, although no turn is running."""
    sockets = [await running.socket(), await running.socket()]
    ids = [(await socket.turn(input="x", store=True))["response"]["id"] for socket in sockets]
    await running.sim.strike(Fault(what, "now", close_code=4000, size=1_000))
    for socket, identifier in zip(sockets, ids, strict=True):
        if what in {"close", "abort"}:
            assert await socket.closed() == (4000 if what == "close" else 1006)
        elif what == "forget":
            assert (await socket.turn(input="y", previous_response_id=identifier))["type"] == "error"
        elif what == "age_limit":
            assert (await socket.receive())["error"]["code"] == "websocket_connection_limit_reached"
        else:
            assert await socket.connection.recv()
