"""Turns on hosts whose sockets come to nothing, and errors that only Openline can have caused."""

import msgspec
import pytest

from proxy.config import Pool
from proxy.core.continuation import Delta
from proxy.core.reasons import Plain, Route, Whole
from proxy.simulator import Fault, Simulator
from proxy.turns.outcome import End
from proxy.turns.turn import Turn
from tests.turns.doorman import Doorman
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Line, Peer, created, event, failure, message, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
NEXT: tuple[dict[str, object], ...] = (USER, message("hello"), {"role": "user", "content": "and?"})
ACTING: dict[str, object] = {"tools": [{"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1"}]}
LIMIT_REACHED = failure("websocket_connection_limit_reached")


async def run(wiring: Wiring, turn: Turn) -> Recorder:
    """A whole turn that nobody has to play the upstream for."""
    sink = Recorder(wants_json=not turn.request.stream)
    await soon(wiring.turns.run(turn, sink))
    return sink


@pytest.mark.parametrize("code", [1000, 1013])
async def test_a_host_that_accepts_and_closes_at_once(code: int) -> None:
    """Two upgrades at most, then plain HTTP answers the turn; after some turns no upgrade is tried any more."""
    async with Doorman(code) as doorman, Wiring(on(doorman.base, pool=Pool(breaker_failures=4))) as wiring:
        for upgrades, reason in ((2, Plain.LINE_LOST), (4, Plain.LINE_LOST), (4, Plain.BREAKER_OPEN)):
            turn = wiring.turn()
            sink = await run(wiring, turn)
            assert (sink.answers[0].status, sink.answers[0].body) == (200, b'{"ok":true}')
            assert (turn.outcome.route, turn.outcome.end, turn.outcome.replays) == (Route.HTTP, End.PASSED, 0)
            assert (doorman.upgrades, turn.outcome.reason) == (upgrades, reason)


async def test_a_host_whose_sockets_die_at_the_first_frame() -> None:
    """It costs the first turns an error each; after breaker_failures lost lines plain HTTP answers at once."""
    async with Simulator() as simulator:
        base = await simulator.start()
        simulator.faults.add(Fault("abort", "start", transport="ws", times=1_000))
        async with Wiring(on(base, pool=Pool(breaker_failures=4))) as wiring:
            turns = [wiring.turn() for _ in range(4)]
            statuses = [(await run(wiring, turn)).answers[0].status for turn in turns]
        assert statuses == [502, 502, 200, 200]
        assert [turn.outcome.reason for turn in turns[2:]] == [Plain.BREAKER_OPEN] * 2
        assert len(simulator.handshakes) == 4


async def test_a_line_that_answered_is_no_line_in_vain() -> None:
    """Sockets that brought an event before they died say nothing against the next one."""
    async with Simulator() as simulator:
        base = await simulator.start()
        simulator.faults.add(Fault("abort", "events", transport="ws", after=2, times=5))
        async with Wiring(on(base, pool=Pool(breaker_failures=1))) as wiring:
            for _ in range(5):
                turn = wiring.turn(stream=True)
                assert (await run(wiring, turn)).calls[-1] == "cut"
                assert turn.outcome.route is Route.FULL


@pytest.mark.parametrize("why", ["unsent", "acts"])
async def test_a_loss_over_the_probe_is_replayed(peer: Peer, why: str) -> None:
    """While the probe has no answer the create behind it cannot have run: it may go out again whatever it does."""
    settings = msgspec.structs.replace(
        on(peer.base, verifies_ids="auto"), replay="unsent" if why == "unsent" else "always"
    )
    async with Wiring(settings) as wiring:
        turn = wiring.turn(stream=True, **(ACTING if why == "acts" else {}))
        running = wiring.run(turn, Recorder())
        line = await peer.line()
        assert (await line.frame())["generate"] is False
        await line.frame()
        line.abort()
        again = await peer.line()
        assert "generate" not in await again.frame()
        await again.send(*said())
        await soon(running)
        assert (turn.outcome.end, turn.outcome.replays) == (End.COMPLETED, 0)


@pytest.mark.parametrize("why", ["unsent", "acts"])
async def test_a_loss_behind_the_probe_may_have_acted(peer: Peer, why: str) -> None:
    """As soon as the probe is answered the create may run: a loss from there on is a 502."""
    settings = msgspec.structs.replace(
        on(peer.base, verifies_ids="auto"), replay="unsent" if why == "unsent" else "always"
    )
    async with Wiring(settings) as wiring:
        turn = wiring.turn(stream=True, **(ACTING if why == "acts" else {}))
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(failure("previous_response_not_found"))
        await until(lambda: wiring.host.trust(wiring.turn().model).verified)
        await line.frame()
        await until(lambda: turn.phase.name == "WRITTEN")
        line.abort()
        await soon(running)
        assert (sink.answers[0].status, len(peer.upgrades)) == (502, 1)


async def test_garbage_right_behind_the_probes_answer(peer: Peer) -> None:
    """Even before the turn could look: the create may run by then, and is not sent again unseen."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        turn = wiring.turn(stream=True, **ACTING)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.frame()
        for frame in (failure("previous_response_not_found"), b"rubbish"):
            line.socket.protocol.send_text(frame)
        line.socket.send_data()  # in one segment
        await soon(running)
        assert ([answer.status for answer in sink.answers], len(peer.upgrades)) == ([502], 1)


@pytest.mark.parametrize("status", [400, 404])
async def test_a_stored_head_that_is_refused_is_gone(peer: Peer, status: int) -> None:
    """On whatever lane it was continued: the caller gets the error, and his next try goes in full."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True, store=True), peer, *said(store=True))
        line.abort()
        await until(lambda: wiring.pool.open_connections == 0)
        turn = wiring.turn(*NEXT, store=True)
        sink, again = await wiring.exchange(turn, peer, failure("server_error", status=status))
        assert (turn.outcome.route, sink.answers[0].status) == (Route.DELTA, status)
        turn = wiring.turn(*NEXT, store=True)
        running = wiring.run(turn, Recorder(wants_json=True))
        frame = await again.frame()
        await again.send(*said("resp_2", store=True))
        await soon(running)
        assert ("previous_response_id" in frame, frame["input"]) == (False, list(NEXT))
        assert turn.outcome.reason is Whole.REJECTED


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("invalid_request_error", "Response resp_1 does not exist"),
        ("server_error", "cannot load 'resp_1'"),
        ("invalid_previous_response_id", "Previous response with id 'resp_x' not found."),
        ("previous_response_not_found", "no"),
    ],
)
async def test_an_error_about_our_own_id_reaches_no_caller(peer: Peer, code: str, text: str) -> None:
    """The caller named no response: the same turn goes out in full, and he sees that answer alone."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT)
        running = wiring.run(turn, sink := Recorder(wants_json=True))
        assert (await line.frame())["previous_response_id"] == "resp_1"
        await line.send(failure(code, text=text))
        assert (await line.frame())["input"] == list(NEXT)
        await line.send(*said("resp_2"))
        await soon(running)
        assert sink.answers[0].status == 200
        assert b"resp_1" not in sink.answers[0].body
        assert (turn.outcome.replays, turn.outcome.reason) == (1, Whole.NOT_FOUND)


async def test_an_error_about_an_id_of_the_callers_own_is_his(peer: Peer) -> None:
    """Where the create went in full the same words are about what the caller sent."""
    async with Wiring(on(peer.base)) as wiring:
        text = "Response resp_1 does not exist"
        sink, _ = await wiring.exchange(wiring.turn(), peer, failure("invalid_request_error", text=text))
        assert sink.answers[0].status == 400
        assert text.encode() in sink.answers[0].body


async def proven(wiring: Wiring, peer: Peer) -> Line:
    """A line on which a turn has shown that the host knows lanes."""
    _, line = await wiring.exchange(wiring.turn(stream=True, key="k"), peer, *said(stream_id="l1"))
    return line


async def test_a_nameless_error_reaches_no_caller(peer: Peer) -> None:
    """Who waits is replayed, who streams is cut; neither sees the error, and the host is asked for no more lanes."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await proven(wiring, peer)
        streaming, waiting = wiring.turn(stream=True), wiring.turn(USER, USER, stream=True)
        first = wiring.run(streaming, cut := Recorder())
        await line.send(created("resp_a", stream_id=str((await line.frame())["stream_id"])))
        await until(lambda: bool(cut.events))
        second = wiring.run(waiting, served := Recorder())
        await line.frame()
        await line.send(failure("context_length_exceeded", text="a private text"))
        again = await peer.line()
        assert "stream_id" not in await again.frame()
        await again.send(*said("resp_b"))
        await soon(first)
        await soon(second)
        assert (cut.calls[-1], streaming.outcome.end) == ("cut", End.CUT)
        assert (served.types[-1], waiting.outcome.replays) == ("response.completed", 1)
        for sink in (cut, served):
            assert not any(b"private" in sent.frame for sent in sink.events)
            assert sink.answers == []


async def test_the_age_limit_replays_the_create_that_it_answers_alone(peer: Peer) -> None:
    """Another lane's create may have run: with a tool that acts it is a 502, not a second run."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        line = await proven(wiring, peer)
        acting, refused = wiring.turn(stream=True, **ACTING), wiring.turn(USER, USER, stream=True, **ACTING)
        first = wiring.run(acting, failed := Recorder())
        await line.frame()
        second = wiring.run(refused, Recorder())
        lane = str((await line.frame())["stream_id"])
        await line.send(LIMIT_REACHED[:-1] + b',"stream_id":"%b"}' % lane.encode())
        again = await peer.line()
        named = str((await again.frame())["stream_id"])
        await again.send(*said("resp_b", stream_id=named))
        await soon(first)
        await soon(second)
        assert (failed.answers[0].status, acting.outcome.replays) == (502, 0)
        assert (refused.outcome.end, refused.outcome.reason) == (End.COMPLETED, Whole.ROTATED)
        assert len(peer.upgrades) == 2


async def test_half_a_surrogate_pair_on_a_host_with_lanes(peer: Peer) -> None:
    """A delta that was cut within a character reaches the caller unharmed, and the conversation can be continued."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        whole = said(stream_id="l1")
        delta = rb'{"type":"response.output_text.delta","delta":"\ud83d","stream_id":"l1","sequence_number":2}'
        await line.send(*whole[:2], delta, *whole[2:])
        await soon(running)
        assert sink.events[2].frame == (rb'{"type":"response.output_text.delta","delta":"\ud83d","sequence_number":2}')
        assert (turn.outcome.end, turn.outcome.faults) == (End.COMPLETED, [])
        follower = wiring.turn(*NEXT)
        wiring.memory.choose(follower)
        assert isinstance(follower.continuation, Delta)


async def test_a_loss_that_cannot_be_said_is_a_cut(peer: Peer) -> None:
    """With after_loss = "failed", but no response.created to make the event of, the stream is cut."""
    settings = msgspec.structs.replace(on(peer.base), after_loss="failed")
    async with Wiring(settings) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(event("response.output_text.delta", delta="x"))
        await until(lambda: bool(sink.events))
        line.abort()
        await soon(running)
        assert (sink.calls[-1], turn.outcome.end) == ("cut", End.CUT)


async def test_a_shared_line_that_takes_nothing(peer: Peer) -> None:
    """A turn goes another way in its time for detours, counted as sent twice; who is answered on the line stays."""
    settings = on(peer.base, lanes="on", compression=False, pool=Pool(pong_seconds=0.2))
    async with Wiring(settings) as wiring:
        other = wiring.run(wiring.turn(USER, stream=True), eldest := Recorder())
        line = await peer.line()
        lane = (await line.frame())["stream_id"]
        await line.send(created("resp_a", stream_id=str(lane)))
        await until(lambda: bool(eldest.events))
        line.deafen()
        stuck = wiring.turn({"role": "user", "content": " " * 1_000_000}, stream=True)
        running = wiring.run(stuck, youngest := Recorder())
        elsewhere = await peer.line()
        lane_there = (await elsewhere.frame())["stream_id"]
        await elsewhere.send(*said("resp_b", stream_id=str(lane_there)))
        await soon(running)
        assert youngest.types[-1] == "response.completed"
        assert (stuck.outcome.route, stuck.outcome.reason) == (Route.FULL, Whole.CONNECTION_LOST)
        assert (stuck.outcome.replays, eldest.types) == (1, ["response.created"])
        await line.send(*said("resp_a", stream_id=str(lane))[1:])
        await soon(other)
        assert eldest.types[-1] == "response.completed"
