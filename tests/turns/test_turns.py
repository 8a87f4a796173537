"""Turns from request to outcome, over real sockets, and every way out of them."""

import asyncio

import msgspec
import pytest

from proxy.config import Pool, Settings, Timeouts
from proxy.core.continuation import Delta
from proxy.core.reasons import Plain, Route, Whole
from proxy.simulator import Behaviour, Fault, Simulator
from proxy.turns.outcome import End
from proxy.turns.sink import CallerGone
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Recorder, Wiring, on
from tests.upstream.peer import Peer, created, event, failure, message, over, patience, refusal, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
ONE = Pool(max_connections=1, wait_seconds=0.02)
NEXT: tuple[dict[str, object], ...] = (USER, message("hello"), {"role": "user", "content": "and?"})
LIMIT_REACHED = failure("websocket_connection_limit_reached")


def with_(settings: Settings, **changes: str) -> Settings:
    """The same settings, but for these."""
    return msgspec.structs.replace(settings, **changes)


def frame_of(turn: Turn) -> int:
    """The bytes of a turn's full create."""
    return len(turn.request.frame())


async def test_a_streaming_turn(peer: Peer) -> None:
    """Full create up, events down, one outcome with all that is to be known of the turn."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=True)
        sink, _ = await wiring.exchange(turn, peer)
        assert sink.calls[0] == "begin"
        assert sink.calls[-1] == "end"
        assert [sent.frame for sent in sink.events] == said()
        outcome = turn.outcome
        assert (outcome.route, outcome.reason, outcome.status) == (Route.FULL, Whole.FIRST, 200)
        assert (outcome.end, outcome.replays, outcome.faults) == (End.COMPLETED, 0, [])
        assert outcome.sent_bytes == frame_of(turn)
        assert outcome.first_event_seconds is not None
        tokens = outcome.input_tokens, outcome.cached_tokens, outcome.output_tokens, outcome.reasoning_tokens
        assert tokens == (10, 5, 7, 3)


async def test_a_json_turn(peer: Peer) -> None:
    """The caller gets the final response alone."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn()
        sink, _ = await wiring.exchange(turn, peer)
        assert sink.calls == ["answer"]
        assert sink.answers[0].status == turn.outcome.status == 200
        assert msgspec.json.decode(sink.answers[0].body)["id"] == "resp_1"
        assert turn.outcome.end is End.COMPLETED


async def test_the_next_turn_goes_as_a_delta(peer: Peer) -> None:
    """On the same connection, from the response it continues, with the new item alone; sent_bytes says so."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT, stream=True)
        sink = Recorder()
        running = wiring.run(turn, sink)
        frame = await line.frame()
        await line.send(created("resp_2", parent="resp_1"), *said("resp_2")[1:])
        await soon(running)
        assert (frame["previous_response_id"], frame["input"]) == ("resp_1", [NEXT[2]])
        assert (turn.outcome.route, turn.outcome.reason) == (Route.DELTA, None)
        assert 0 < turn.outcome.sent_bytes < frame_of(turn)
        assert not any(b"resp_1" in sent.frame for sent in sink.events)
        assert len(peer.upgrades) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_the_end_is_noted_before_the_caller_has_it(peer: Peer, stream: bool) -> None:  # noqa: FBT001
    """When the terminal event is handed over the lane is free, and the next turn would be a delta."""
    async with Wiring(on(peer.base, pool=ONE)) as wiring:
        seen: list[tuple[bool, bool]] = []

        def look(call: str) -> None:
            if (stream and "response.completed" in sink.types) or call == "answer":
                follower = wiring.turn(*NEXT, stream=stream)
                wiring.memory.choose(follower)
                seen.append((wiring.leased, isinstance(follower.continuation, Delta)))

        sink = Recorder(wants_json=not stream, look=look)
        running = wiring.run(wiring.turn(stream=stream), sink)
        line = await peer.line()
        await line.frame()
        await line.send(*said())
        await soon(running)
        assert seen[0] == (False, True)


async def test_equal_histories_under_two_keys_share_nothing(peer: Peer) -> None:
    """Word for word the same conversation of another caller is sent in full, on a connection of its own."""
    async with Wiring(on(peer.base)) as wiring:
        await wiring.exchange(wiring.turn(stream=True, key="a"), peer)
        turn = wiring.turn(*NEXT, stream=True, key="b")
        _, line = await wiring.exchange(turn, peer)
        assert line.asked["authorization"] == "Bearer b"
        assert (turn.outcome.route, turn.outcome.reason) == (Route.FULL, Whole.NO_MATCH)
        again = wiring.turn(*NEXT, stream=True, key="a")
        wiring.memory.choose(again)
        assert isinstance(again.continuation, Delta)


@pytest.mark.parametrize("call", ["begin", "drain", "end"])
@pytest.mark.parametrize("how", ["cancelled", "gone"])
async def test_every_way_out_ends_the_lease(peer: Peer, call: str, how: str) -> None:
    """A caller cancelled or gone (hung up, too slow) in any call leaves no lease; an answer under way is stopped."""

    def leave(made: str) -> None:
        if made == call:
            raise CallerGone("hung up")

    async with Wiring(on(peer.base, pool=ONE)) as wiring:
        sink = Recorder(look=leave) if how == "gone" else Recorder(blocks=frozenset({call}))
        running = wiring.run(wiring.turn(stream=True), sink)
        line = await peer.line()
        await line.frame()
        await line.send(*(said() if call == "end" else [created()]))
        if how == "cancelled":
            await soon(sink.reached.wait())
            running.cancel()
        await over(running)
        assert running.cancelled() or isinstance(running.exception(), CallerGone)
        assert not wiring.leased
        if call != "end":
            await line.closed()
        turn = wiring.turn(stream=True)  # the only connection that there may be is free
        await wiring.exchange(turn, peer, line=line if call == "end" else None)
        assert turn.outcome.route is Route.FULL


async def test_cancelled_while_dialling(peer: Peer) -> None:
    """The dial ends with its turn; nothing is counted as coming any more."""
    async with Wiring(on(peer.base, pool=ONE)) as wiring:
        peer.gate = asyncio.Event()
        running = wiring.run(wiring.turn(), Recorder(wants_json=True))
        await until(lambda: len(peer.upgrades) == 1)
        running.cancel()
        await over(running)
        assert wiring.pool._coming.total() == 0
        assert wiring.pool.open_connections == 0


async def test_cancelled_before_the_first_event(peer: Peer) -> None:
    """The socket is closed: that stops the generation."""
    async with Wiring(on(peer.base)) as wiring:
        running = wiring.run(wiring.turn(), Recorder(wants_json=True))
        line = await peer.line()
        await line.frame()
        running.cancel()
        await line.closed()
        assert not wiring.leased
        assert wiring.pool.open_connections == 0


async def test_an_early_error_is_an_http_answer(peer: Peer) -> None:
    """The first event decides the status: the whole error object and Retry-After, and no stream is begun."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=True)
        frame = failure("rate_limit_exceeded", status=429)[:-1] + b',"headers":{"retry-after":"7"}}'
        sink, _ = await wiring.exchange(turn, peer, frame)
        assert sink.calls == ["answer"]
        answer = sink.answers[0]
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert msgspec.json.decode(answer.body)["error"]["code"] == "rate_limit_exceeded"
        assert (turn.outcome.status, turn.outcome.end, turn.outcome.replays) == (429, End.ERROR, 0)
        assert wiring.pool.open_connections == 1


async def test_an_error_for_a_continuation_drops_its_head(peer: Peer) -> None:
    """The caller gets the error, and his next turn goes in full and says why."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        await wiring.exchange(wiring.turn(*NEXT), peer, failure("server_error", status=500), line=line)
        turn = wiring.turn(*NEXT)
        await wiring.exchange(turn, peer, line=line)
        assert turn.outcome.reason is Whole.REJECTED


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_in_mid_stream(peer: Peer, stream: bool) -> None:  # noqa: FBT001
    """A streaming caller gets it in the stream, a JSON caller as the status; neither head nor line is kept."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=stream)
        sink, _ = await wiring.exchange(turn, peer, created(), failure("server_error", status=500))
        assert turn.outcome.end is End.ERROR
        assert sink.calls[-1] == ("end" if stream else "answer")
        assert [answer.status for answer in sink.answers] == ([] if stream else [500])
        assert len(wiring.heads) == 0
        assert wiring.pool.open_connections == 0


@pytest.mark.parametrize("lanes", ["off", "on"])
async def test_what_follows_an_error_in_mid_stream(peer: Peer, lanes: str) -> None:
    """Some hosts say `response.failed` after the error: it finds no other turn, however late it comes."""
    async with Wiring(on(peer.base, lanes=lanes)) as wiring:
        lane = {"stream_id": "l1"} if lanes == "on" else {}
        error = event("error", **lane, code="server_error", message="no", sequence_number=1)
        _, line = await wiring.exchange(wiring.turn(stream=True), peer, created("resp_1", **lane), error)
        sink = Recorder()
        running = wiring.run(wiring.turn({"role": "user", "content": "else"}, stream=True), sink)
        if lanes == "off":
            other = await peer.line()
            assert await line.closed() == 1000
        else:
            await line.send(event("response.failed", **lane, response={"id": "resp_1"}))
            other, lane = line, {"stream_id": "l2"}
        assert (await other.frame()).get("stream_id") == lane.get("stream_id")
        await other.send(created("resp_2", **lane), event("response.completed", **lane, response={"id": "resp_2"}))
        await soon(running)
        assert sink.types == ["response.created", "response.completed"]


async def test_not_found_is_repaired_on_the_same_line(peer: Peer) -> None:
    """A parent that the upstream no longer knows: full context at once, counted, and the caller sees nothing of it."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT, stream=True)
        sink = Recorder()
        running = wiring.run(turn, sink)
        delta = await line.frame()
        await line.send(failure("previous_response_not_found"))
        full = await line.frame()
        await line.send(*said("resp_2"))
        await soon(running)
        assert "previous_response_id" in delta
        assert full["input"] == list(NEXT)
        assert "error" not in sink.types
        assert (turn.outcome.replays, turn.outcome.reason) == (1, Whole.NOT_FOUND)
        assert turn.outcome.sent_bytes > frame_of(turn)
        assert len(turn.outcome.faults) == 1


async def test_not_found_and_then_garbage(peer: Peer) -> None:
    """A line that goes bad between the two creates is left for another one."""
    async with Wiring(on(peer.base)) as wiring:
        _, line = await wiring.exchange(wiring.turn(stream=True), peer)
        turn = wiring.turn(*NEXT, stream=True)
        running = wiring.run(turn, Recorder())
        await line.frame()
        await line.send(failure("previous_response_not_found"), b"garbage")
        other = await peer.line()
        full = await other.frame()
        await other.send(*said("resp_2"))
        await soon(running)
        assert full["input"] == list(NEXT)
        assert (turn.outcome.route, turn.outcome.end) == (Route.FULL, End.COMPLETED)
        await line.closed()


@pytest.mark.parametrize("stream", [True, False])
async def test_the_age_limit_costs_a_new_connection(peer: Peer, stream: bool) -> None:  # noqa: FBT001
    """Full context on another line, whether or not the host hangs up; the caller never notices."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=stream)
        running = wiring.run(turn, sink := Recorder(wants_json=not stream))
        old = await peer.line()
        await old.frame()
        await old.send(LIMIT_REACHED)
        new = await peer.line()
        assert (await new.frame())["input"] == [USER]
        await new.send(*said())
        await soon(running)
        assert turn.outcome.end is End.COMPLETED
        assert (turn.outcome.replays, turn.outcome.reason) == (1, Whole.ROTATED)
        assert sink.calls[-1] == ("end" if stream else "answer")


async def test_a_loss_before_any_event_is_replayed_once(peer: Peer) -> None:
    """Once more in full on a new connection; a second loss is a 502, and both are told in the outcome."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        for _ in range(2):
            line = await peer.line()
            await line.frame()
            line.abort()
        await soon(running)
        assert sink.answers[0].status == turn.outcome.status == 502
        assert (turn.outcome.replays, turn.outcome.end, len(turn.outcome.faults)) == (1, End.ERROR, 2)
        assert turn.outcome.sent_bytes == 2 * frame_of(turn)


@pytest.mark.parametrize("why", ["unsent", "acts"])
async def test_a_loss_that_may_have_acted_is_not_replayed(peer: Peer, why: str) -> None:
    """With replay = "unsent", or with tools that act at the upstream: 502 at once."""
    settings = with_(on(peer.base), replay="unsent" if why == "unsent" else "always")
    async with Wiring(settings) as wiring:
        tools: dict[str, object] = {"tools": [{"type": "code_interpreter"}]} if why == "acts" else {}
        turn = wiring.turn(stream=True, **tools)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        line.abort()
        await soon(running)
        assert (sink.answers[0].status, turn.outcome.replays, len(peer.upgrades)) == (502, 0, 1)


async def test_a_loss_in_mid_stream_is_a_cut(peer: Peer) -> None:
    """As plain HTTP would: the body ends without its last chunk."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(created())
        await until(lambda: bool(sink.events))
        line.abort()
        await soon(running)
        assert sink.calls[-1] == "cut"
        assert turn.outcome.end is End.CUT


async def test_a_loss_in_mid_stream_may_be_said(peer: Peer) -> None:
    """With after_loss = "failed" the caller gets response.failed and a whole stream."""
    async with Wiring(with_(on(peer.base), after_loss="failed")) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(created())
        await until(lambda: bool(sink.events))
        line.abort()
        await soon(running)
        assert sink.types[-1] == "response.failed"
        assert sink.calls[-1] == "end"
        assert turn.outcome.end is End.ERROR


@pytest.mark.parametrize("store", [True, False])
async def test_a_loss_in_mid_answer_for_a_json_caller(peer: Peer, store: bool) -> None:  # noqa: FBT001
    """Nothing was delivered: replayed, unless the response was to be stored, which would then be there twice."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(store=store)
        running = wiring.run(turn, sink := Recorder(wants_json=True))
        line = await peer.line()
        await line.frame()
        await line.send(created())
        await until(lambda: turn.outcome.first_event_seconds is not None)
        line.abort()
        if not store:
            again = await peer.line()
            await again.frame()
            await again.send(*said())
        await soon(running)
        assert sink.answers[0].status == (502 if store else 200)
        assert turn.outcome.replays == (0 if store else 1)


async def test_silence_before_the_first_event(peer: Peer) -> None:
    """504 after first_event_seconds, never a replay; the socket is closed."""
    async with Wiring(on(peer.base, timeouts=Timeouts(first_event_seconds=0.02))) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await soon(running)
        assert (sink.answers[0].status, turn.outcome.replays) == (504, 0)
        await line.closed()


async def test_garbage_in_mid_stream(peer: Peer) -> None:
    """A terminal event that is none: cut, and the connection serves no other turn."""
    async with Wiring(on(peer.base)) as wiring:
        turn = wiring.turn(stream=True)
        sink, line = await wiring.exchange(turn, peer, created(), b'{"type":"response.completed","response":')
        assert sink.calls[-1] == "cut"
        await line.closed()
        assert wiring.pool.open_connections == 0


async def test_garbage_for_a_json_caller(peer: Peer) -> None:
    """A final event without a response is a 502."""
    async with Wiring(on(peer.base)) as wiring:
        sink, _ = await wiring.exchange(wiring.turn(), peer, created(), event("response.completed"))
        assert sink.answers[0].status == 502


async def test_a_refused_upgrade_is_the_callers_answer(peer: Peer) -> None:
    """429 goes to the caller as the host said it, at once."""
    async with Wiring(on(peer.base)) as wiring:
        peer.refusals.append(refusal(429, b'{"error":{}}'))
        turn = wiring.turn(stream=True)
        sink = Recorder()
        await soon(wiring.turns.run(turn, sink))
        assert (sink.answers[0].status, sink.answers[0].body) == (429, b'{"error":{}}')
        assert (turn.outcome.status, turn.outcome.sent_bytes) == (429, 0)


async def over_http(settings: Settings, reason: Plain) -> Turn:
    """Run a turn that must go over plain HTTP for this reason."""
    async with Wiring(settings) as wiring:
        turn = wiring.turn()
        sink = Recorder(wants_json=True)
        await soon(wiring.turns.run(turn, sink))
        assert sink.calls == ["forward"]
        assert (sink.answers[0].status, turn.outcome.status) == (200, 200)
        assert (turn.outcome.route, turn.outcome.reason, turn.outcome.end) == (Route.HTTP, reason, End.PASSED)
        assert turn.outcome.sent_bytes >= turn.outcome.request_bytes
        return turn


async def test_a_host_without_websocket_mode() -> None:
    """The first turn finds it out, the next one does not ask again: both go over plain HTTP."""
    async with Simulator(Behaviour(websocket=False)) as simulator:
        base = await simulator.start()
        async with Wiring(on(base)) as wiring:
            for _ in range(2):
                turn = wiring.turn()
                sink = Recorder(wants_json=True)
                await soon(wiring.turns.run(turn, sink))
                assert sink.answers[0].status == 200
                assert turn.outcome.reason is Plain.NO_WEBSOCKET
            assert len(simulator.handshakes) == 1


async def test_a_failed_dial_is_tried_once_more() -> None:
    """One more dial, then this turn goes over HTTP; where the second works nobody notices."""
    async with Simulator() as simulator:
        base = await simulator.start()
        simulator.faults.add(Fault("refuse", "upgrade", status=503, times=2))
        turn = await over_http(on(base), Plain.DIAL_FAILED)
        assert len(simulator.handshakes) == len(turn.outcome.faults) == 2
        simulator.faults.add(Fault("refuse", "upgrade", status=503))
        async with Wiring(on(base)) as wiring:
            turn = wiring.turn()
            await soon(wiring.turns.run(turn, Recorder(wants_json=True)))
            assert turn.outcome.route is Route.FULL


async def test_an_open_breaker_costs_no_dial() -> None:
    """After failures in a row turns go over HTTP without trying."""
    async with Simulator() as simulator:
        base = await simulator.start()
        simulator.faults.add(Fault("refuse", "upgrade", status=503))
        await over_http(on(base, pool=Pool(breaker_failures=1)), Plain.BREAKER_OPEN)
        assert len(simulator.handshakes) == 1


async def test_an_oversize_turn_goes_over_http() -> None:
    """A create at the host's frame limit is not sent over the socket, which stays open for others."""
    async with Simulator() as simulator:
        base = await simulator.start()
        settings = on(base)
        upstream = msgspec.structs.replace(settings.upstream, frame_limit_bytes=10)
        await over_http(msgspec.structs.replace(settings, upstream=upstream), Plain.OVERSIZE)
        assert [entry.transport for entry in simulator.journal] == ["http"]


async def test_a_full_pool_is_no_reason_to_wait() -> None:
    """Where all connections are busy for wait_seconds, plain HTTP serves the turn."""
    async with Simulator() as simulator:
        base = await simulator.start()
        async with Wiring(on(base, pool=ONE)) as wiring:
            turn = wiring.turn()
            busy = await soon(wiring.pool.lease(turn.key, patience()))
            sink = Recorder(wants_json=True)
            await soon(wiring.turns.run(turn, sink))
            assert (turn.outcome.reason, sink.answers[0].status) == (Plain.POOL_FULL, 200)
            wiring.pool.give_back(busy)


async def test_no_upstream_at_all() -> None:
    """Neither transport: a clear 502, after two dials."""
    async with Peer() as peer:
        base = peer.base
    async with Wiring(on(base)) as wiring:
        turn = wiring.turn()
        sink = Recorder(wants_json=True)
        await soon(wiring.turns.run(turn, sink))
        assert sink.answers[0].status == turn.outcome.status == 502
        assert b"upstream.url" in sink.answers[0].body
        assert turn.outcome.end is End.ERROR


async def probing(wiring: Wiring, peer: Peer, *answer: bytes) -> tuple[dict[str, object], Turn]:
    """A first turn to an unknown host, which answers the probe so; the probe, and the turn."""
    turn = wiring.turn(stream=True)
    running = wiring.run(turn, Recorder())
    line = await peer.line()
    # Both are there before anything was answered: no round trip is lost.
    probe, create = await line.frame(), await line.frame()
    assert create["input"] == [USER]
    await line.send(*answer, *said())
    await soon(running)
    return probe, turn


async def test_an_unknown_host_is_asked_once(peer: Peer) -> None:
    """Ahead of the first create, with a made-up id that must cost nothing; then deltas flow and nothing is asked."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        probe, turn = await probing(wiring, peer, failure("previous_response_not_found"))
        assert (probe["generate"], probe["store"], probe["input"], probe["model"]) == (False, False, [], "m")
        assert str(probe["previous_response_id"]).startswith("resp_")
        assert turn.outcome.sent_bytes == frame_of(turn)
        follower = wiring.turn(*NEXT, stream=True)
        wiring.memory.choose(follower)
        assert isinstance(follower.continuation, Delta)
        other = wiring.turn(stream=True, key="other")
        _, line = await wiring.exchange(other, peer)
        assert line.socket.close_code is None


async def test_a_known_host_is_not_asked(peer: Peer) -> None:
    """Where the table or a setting says that ids are verified, the first frame is the create."""
    async with Wiring(on(peer.base)) as wiring:
        running = wiring.run(wiring.turn(stream=True), Recorder())
        line = await peer.line()
        assert "generate" not in await line.frame()
        await line.send(*said())
        await soon(running)


async def test_a_lenient_host_gets_no_deltas(peer: Peer) -> None:
    """A host that goes on from a made-up id loses context unseen: everything in full, and the reason says so."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        await probing(wiring, peer, *said("made_up"))
        turn = wiring.turn(*NEXT, stream=True)
        wiring.memory.choose(turn)
        assert turn.outcome.reason is Whole.HOST_UNVERIFIED


async def test_an_unclear_verdict_is_asked_for_again(peer: Peer) -> None:
    """On the next connection, not on the same one."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        await probing(wiring, peer, failure("rate_limit_exceeded", status=429))
        await probing(wiring, peer, failure("previous_response_not_found"))
        assert len(peer.upgrades) == 2
        assert wiring.host.trust(wiring.turn().model).verified


async def test_a_connection_is_asked_once(peer: Peer) -> None:
    """While the verdict is open, the next turn on the same connection goes without the question."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        running = wiring.run(wiring.turn(stream=True), Recorder())
        line = await peer.line()
        assert (await line.frame())["generate"] is False
        await line.frame()
        await line.send(*[failure("rate_limit_exceeded", status=429)] * 2)  # to the probe, and to the create
        await soon(running)
        running = wiring.run(wiring.turn(stream=True), Recorder())
        assert "generate" not in await line.frame()
        await line.send(*said())
        await soon(running)
        assert wiring.host.must_be_asked(wiring.turn().model)


async def test_each_model_is_asked_about_once(peer: Peer) -> None:
    """Ahead of its first create, on an open connection too: another model may have another backend behind the host."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        running = wiring.run(wiring.turn(stream=True, model="a"), Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(failure("previous_response_not_found"), *said())
        await soon(running)
        await line.frame()
        running = wiring.run(wiring.turn(stream=True, model="b"), Recorder())
        other = await peer.line()
        probe = await other.frame()
        assert (probe["generate"], probe["model"]) == (False, "b")
        await other.send(*said("made_up"), *said("resp_2"))
        await soon(running)
        for model, reason in (("a", None), ("b", Whole.HOST_UNVERIFIED)):
            follower = wiring.turn(*NEXT, stream=True, model=model)
            wiring.memory.choose(follower)
            assert follower.outcome.reason is reason


async def test_a_model_is_asked_about_beside_others(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host does not answer that, the turn goes elsewhere, and those who share the line are not disturbed."""
    async with Wiring(on(peer.base, verifies_ids="auto", lanes="on")) as wiring:
        first = wiring.run(wiring.turn(stream=True, model="a"), eldest := Recorder())
        line = await peer.line()
        await line.frame()
        refused = failure("previous_response_not_found")[:-1] + b',"stream_id":"l1"}'
        await line.send(refused, created(stream_id="l1"))
        await until(lambda: bool(eldest.events))
        monkeypatch.setattr("proxy.turns.turns._PROBE_SECONDS", 0.05)
        second = wiring.run(turn := wiring.turn(stream=True, model="b"), Recorder())
        await line.frame()
        assert (await line.frame())["generate"] is False
        again = await peer.line()
        assert "generate" not in await again.frame()
        await again.send(*said("resp_2", stream_id="l1"))
        await line.send(*said(stream_id="l1")[1:])
        await soon(first)
        await soon(second)
        assert eldest.types[-1] == "response.completed"
        assert (turn.outcome.end, turn.outcome.replays) == (End.COMPLETED, 0)


async def test_a_replay_asks_nothing(peer: Peer) -> None:
    """A host that hung up on the probe is not asked in the same turn again."""
    async with Wiring(on(peer.base, verifies_ids="auto")) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, Recorder())
        line = await peer.line()
        assert (await line.frame())["generate"] is False
        line.abort()
        again = await peer.line()
        assert "generate" not in await again.frame()
        await again.send(*said())
        await soon(running)
        assert turn.outcome.end is End.COMPLETED


async def test_lanes_are_named_and_the_caller_sees_nothing_of_it(peer: Peer) -> None:
    """Where the host has lanes, creates (and the probe) name one; events come to the caller without it."""
    async with Wiring(on(peer.base, lanes="on", verifies_ids="auto")) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        lanes = [(await line.frame())["stream_id"] for _ in range(2)]
        assert lanes == ["l1", "l1"]
        await line.send(failure("previous_response_not_found")[:-1] + b',"stream_id":"l1"}', *said(stream_id="l1"))
        await soon(running)
        assert turn.outcome.end is End.COMPLETED
        assert not any(b"stream_id" in sent.frame for sent in sink.events)
        assert wiring.host.trust(wiring.turn().model).verified


@pytest.mark.parametrize("code", ["invalid_stream_id", "websocket_stream_limit_reached"])
async def test_a_host_that_takes_no_lane(peer: Peer, code: str) -> None:
    """The turn is repeated elsewhere, without; a host that has none left for the first has none at all."""
    async with Wiring(on(peer.base, lanes="on")) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, Recorder())
        line = await peer.line()
        await line.frame()
        await line.send(failure(code))
        again = await peer.line()
        assert "stream_id" not in await again.frame()
        await again.send(*said())
        await soon(running)
        assert not wiring.host.has_lanes
        assert turn.outcome.reason is Whole.LANES_REFUSED
        await line.closed()
