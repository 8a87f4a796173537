"""The observer: what is noted of turns that it sees pass, and that nothing about them disturbs it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import Pool as Limits
from proxy.config import Settings, Upstream
from proxy.core.events import NotAnEvent, sniff, sse
from proxy.core.fingerprint import Fingerprints
from proxy.core.lane import OutOfPlace
from proxy.core.meaning import Rules
from proxy.core.reasons import Plain, Route, Whole
from proxy.turns.memory import Keyed
from proxy.turns.observer import Observation, Observer
from proxy.turns.outcome import End, Would
from proxy.turns.tap import Unread
from proxy.turns.turn import Turn
from tests.turns.wiring import USER, Wiring
from tests.upstream.peer import completed, created, event, failure, message, said

SSE = {"Content-Type": "text/event-stream"}
AND: dict[str, object] = {"role": "user", "content": "and?"}
NEXT = (USER, message("hello"), AND)
LAST = (*NEXT, message("hello"), AND)


@dataclass
class World:
    """An observer, and turns for it."""

    wiring: Wiring
    observer: Observer
    now: list[float] = field(default_factory=lambda: [0.0])

    def begin(self, *items: dict[str, object], store: bool = False) -> tuple[Turn, Observation]:
        """A turn begins; its head is answered."""
        turn = self.wiring.turn(*items, stream=True, store=store)
        observation = self.observer.begin(turn)
        return turn, observation

    def answered(self, *frames: bytes, items: tuple[dict[str, object], ...] = (USER,), store: bool = False) -> Turn:
        """A turn is answered with these events."""
        turn, observation = self.begin(*items, store=store)
        streamed(observation, *frames)
        observation.whole()
        observation.end()
        return turn

    def would(self, *items: dict[str, object]) -> tuple[Route, str | None]:
        """How the next turn would go."""
        turn, observation = self.begin(*items)
        observation.end()
        assert turn.outcome.would
        return turn.outcome.would.route, turn.outcome.would.reason


def streamed(observation: Observation, *frames: bytes) -> None:
    """A stream begins with these events."""
    observation.answered(200, CIMultiDictProxy(CIMultiDict(SSE)))
    for frame in frames:
        observation.see(sse(sniff(frame)))


Make = Callable[..., World]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes an observer for an upstream that is described so."""
    wirings: list[Wiring] = []

    def making(
        *,
        pool: Limits | None = None,
        verifies: Literal["yes", "no", "auto"] = "yes",
        lanes: Literal["on", "off", "auto"] = "auto",
        frame_limit_bytes: int = 0,
    ) -> World:
        upstream = Upstream(
            url="http://127.0.0.1:1/v1",
            verifies_ids=verifies,
            lanes=lanes,
            age_limit_seconds=1_000.0,
            frame_limit_bytes=frame_limit_bytes,
        )
        settings = Settings(upstream=upstream, pool=pool or Limits())
        wiring = Wiring(settings)
        wirings.append(wiring)
        keyed = Keyed(passing=Fingerprints(b"k" * 32), stored=Fingerprints(b"s" * 32))
        now = [0.0]
        return World(wiring, Observer(settings, Rules(), keyed, wiring.host, lambda: now[0]), now)

    yield making
    for wiring in wirings:
        await wiring.http.close()


async def test_what_was_answered_would_be_continued(make: Make) -> None:
    """With the size of that very frame; the record of the turn itself says what was really done."""
    world = make()
    world.answered(*said())
    turn = world.answered(*said("resp_2"), items=NEXT)
    frame = turn.request.frame("resp_1", 2)
    assert turn.outcome.would == Would(Route.DELTA, None, len(frame))
    assert (turn.outcome.route, turn.outcome.reason, turn.outcome.sent_bytes) == (Route.FULL, None, 0)
    assert turn.outcome.end is End.HUNG_UP


async def test_tokens_are_told(make: Make) -> None:
    """What the upstream counted is known of an observed turn too."""
    outcome = make().answered(*said()).outcome
    tokens = outcome.input_tokens, outcome.cached_tokens, outcome.output_tokens, outcome.reasoning_tokens
    assert tokens == (10, 5, 7, 3)


async def test_a_turn_that_would_go_in_full_says_why(make: Make) -> None:
    """The reason, the size of the whole frame, and the explanation that mode on would give."""
    world = make()
    turn = world.answered(*said())
    assert turn.outcome.would == Would(Route.FULL, Whole.FIRST, len(turn.request.frame()))
    assert turn.outcome.why is None
    turn = world.answered(*said(), items=(USER, message("hullo"), AND))
    assert turn.outcome.would == Would(Route.FULL, Whole.NO_MATCH, len(turn.request.frame()))
    assert turn.outcome.why
    assert (turn.outcome.why.item, turn.outcome.why.paths) == (1, ("content[0].text",))


async def test_a_head_is_used_up(make: Make) -> None:
    """By the turn that continues it, whatever becomes of that: a retry or an undo would go in full."""
    world = make()
    world.answered(*said())
    assert world.would(*NEXT) == (Route.DELTA, None)
    assert world.would(*NEXT) == (Route.FULL, Whole.PARENT_CONTINUED)


async def test_a_stored_answer_is_not_used_up(make: Make) -> None:
    """As the upstream keeps it."""
    world = make()
    world.answered(*said(store=True), store=True)
    for _ in range(2):
        turn, observation = world.begin(*NEXT, store=True)
        observation.end()
        assert turn.outcome.would
        assert turn.outcome.would.route is Route.DELTA


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], Whole.NO_MATCH),
        (said()[:-1], Whole.NO_MATCH),
        ([failure("server_error", status=500)], Whole.NO_MATCH),
        ([created(), failure("server_error", status=500), *said()], Whole.NO_MATCH),
        ([*said()[:-1], event("response.failed", response={"id": "resp_1", "status": "failed"})], Whole.UNFINISHED),
        ([*said()[:-1], event("response.incomplete", response={"id": "resp_1"})], Whole.UNFINISHED),
        ([created(), completed()], Whole.UNCLEAR_OUTPUT),
        ([created(), event("response.output_item.done", item=7), completed()], Whole.UNCLEAR_OUTPUT),
    ],
    ids=["nothing", "cut", "error", "error in the middle", "failed", "incomplete", "no items", "odd item"],
)
async def test_what_did_not_end_well_is_not_continued(make: Make, frames: list[bytes], reason: Whole) -> None:
    """With the reason that mode on gives; the next conversation is as good as ever."""
    world = make()
    outcome = world.answered(*frames).outcome
    assert outcome.faults == []
    assert world.would(*NEXT) == (Route.FULL, reason)
    world.answered(*said())
    assert world.would(*NEXT) == (Route.DELTA, None)


async def test_a_continuation_that_is_refused_costs_its_parent(make: Make) -> None:
    """As an error to it makes the upstream forget."""
    world = make()
    world.answered(*said())
    _, observation = world.begin(*NEXT)
    observation.answered(400, CIMultiDictProxy(CIMultiDict(SSE)))
    observation.see(b"whatever")
    observation.whole()
    observation.end()
    assert world.would(*NEXT) == (Route.FULL, Whole.REJECTED)


@pytest.mark.parametrize("lanes", ["on", "off"])
@pytest.mark.parametrize("refused", [429, 500, 200])
@pytest.mark.parametrize(
    "frames",
    [said(), said()[-1:], said()[:-1], [], [failure("server_error")]],
    ids=["whole", "end", "cut", "none", "error"],
)
async def test_behind_a_refusal_all_is_as_ever(
    make: Make, lanes: Literal["on", "off"], refused: int, frames: list[bytes]
) -> None:
    """Over HTTP it is followed by nothing, so that whatever the next answer on its lane is, it is the next one's."""
    world = make(lanes=lanes)
    _, observation = world.begin(USER)
    if refused == 200:
        streamed(observation, failure("server_error"))
    else:
        observation.answered(refused, CIMultiDictProxy(CIMultiDict(SSE)))
    observation.end()
    assert world.answered(*frames).outcome.faults == []
    assert all(lane.idle for connection in world.observer._pool._connections.values() for lane in connection.lanes)
    world.answered(*said("resp_2"))
    assert world.would(*NEXT) == (Route.DELTA, None)


async def test_a_lane_that_is_not_free_only_ends_the_observation(make: Make) -> None:
    """Wherever that is found: the record says so, its connection is closed, and the next turn is as good as ever."""
    world = make(lanes="on")
    turn, observation = world.begin(USER)
    assert observation.lease
    observation.lease.lane.abandon()
    observation.end()
    assert len(world.observer._pool) == 0
    observation.end()
    turn, observation = world.begin(USER)
    assert observation.lease
    observation.lease.lane.close()
    streamed(observation, *said())
    observation.end()
    assert turn.outcome.faults == ["not observed: its imagined lane was not free for it"]
    world.answered(*said())
    assert world.would(*NEXT) == (Route.DELTA, None)


async def test_a_lost_connection_only_ends_the_observations_on_it(make: Make) -> None:
    """Those of the turns beside it too."""
    world = make(lanes="on")
    (_, one), (turn, other) = world.begin(USER), world.begin({"role": "user", "content": "hullo"})
    assert one.lease
    one.lease.lane.abandon()
    one.end()
    streamed(other, *said())
    other.end()
    assert turn.outcome.faults == ["not observed: its imagined lane was not free for it"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Unread("it is odd"), "it is odd"),
        (OutOfPlace("secret"), "its imagined lane was not free for it"),
        (NotAnEvent("secret"), "its request cannot be read"),
        (RecursionError("secret"), "its request cannot be read"),
    ],
)
async def test_whatever_goes_wrong_only_ends_the_observation(make: Make, fault: Exception, why: str) -> None:
    """In each of its steps: its lane is free, and the record says why in words that hold nothing of what was read."""
    world = make()
    turn, observation = world.begin(USER)
    with observation.at_risk("its request"):
        raise fault
    streamed(observation, *said())
    assert (turn.outcome.faults, observation.lease) == ([f"not observed: {why}"], None)
    assert world.would(*NEXT) == (Route.FULL, Whole.UNCLEAR_OUTPUT)


async def test_an_error_in_mid_answer_is_no_refusal(make: Make) -> None:
    """The parent was continued, whatever came of it."""
    world = make()
    world.answered(*said())
    world.answered(created("resp_2"), failure("server_error"), items=NEXT)
    assert world.would(*NEXT) == (Route.FULL, Whole.PARENT_CONTINUED)


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ({}, b"", "not observed: its content type is neither that of events nor JSON"),
        (SSE, b"data: secret\n\n", "not observed: an event of it cannot be read"),
        (SSE, b'data: {"secret": 1}\n\n', "not observed: an event of it cannot be read"),
        ({**SSE, "Content-Encoding": "gzip"}, b"secret", "not observed: its content encoding could not be undone"),
        ({"Content-Type": "application/json"}, b"secret", "not observed: its JSON is no response that has ended"),
    ],
)
async def test_what_cannot_be_read_is_given_up(make: Make, headers: dict[str, str], body: bytes, why: str) -> None:
    """Its record says so once, without a word of it; what follows from it is not known, and all else goes on."""
    world = make()
    turn, observation = world.begin(USER)
    observation.answered(200, CIMultiDictProxy(CIMultiDict(headers)))
    for piece in (body, body):
        observation.see(piece)
    observation.whole()
    observation.end()
    assert turn.outcome.faults == [why]
    turn, observation = world.begin(*NEXT)
    assert turn.outcome.would
    assert turn.outcome.would.reason is Whole.UNCLEAR_OUTPUT
    assert turn.outcome.why
    assert "its answer was not observed" in turn.outcome.why.text
    streamed(observation, *said("resp_2"))
    assert world.would(*LAST) == (Route.DELTA, None)


async def test_what_follows_the_end_does_not_count(make: Make) -> None:
    """Neither in the same piece nor in another."""
    world = make()
    _, observation = world.begin(USER)
    streamed(observation, *said()[:-1])
    observation.see(sse(sniff(completed())) + b"data: secret\n\n")
    streamed(observation, failure("server_error"), b'{"type":"x"}')
    observation.whole()
    observation.end()
    assert world.would(*NEXT) == (Route.DELTA, None)


async def test_it_is_noted_before_the_caller_has_it(make: Make) -> None:
    """With the piece that ends the answer: the next turn does not wait for ours to be over."""
    world = make()
    _, observation = world.begin(USER)
    streamed(observation, *said())
    assert world.would(*NEXT) == (Route.DELTA, None)
    observation.end()


async def test_turns_side_by_side_are_told_apart(make: Make) -> None:
    """Each has an answer of its own."""
    world = make()
    other: dict[str, object] = {"role": "user", "content": "hullo"}
    (_, one), (_, two) = world.begin(USER), world.begin(other)
    streamed(one, *said("resp_1", "hello")[:-1])
    streamed(two, *said("resp_2", "hello"))
    two.end()
    one.see(sse(sniff(completed("resp_1", "hello"))))
    one.end()
    assert world.would(*NEXT) == (Route.DELTA, None)
    assert world.would(other, message("hello"), AND) == (Route.DELTA, None)


async def test_connections_end_at_the_age_limit(make: Make) -> None:
    """What they held would go in full once."""
    world = make()
    world.answered(*said())
    world.now[0] = 999.0
    assert world.would(*NEXT) == (Route.FULL, Whole.ROTATED)


@pytest.mark.parametrize(
    ("verifies", "would"),
    [("yes", (Route.DELTA, None)), ("auto", (Route.DELTA, None)), ("no", (Route.FULL, Whole.HOST_UNVERIFIED))],
)
async def test_a_host_that_was_not_asked_is_taken_to_verify_ids(
    make: Make, verifies: Literal["yes", "no", "auto"], would: tuple[Route, Whole | None]
) -> None:
    """Nobody asks it in this mode; one that is known not to verify them would get no deltas."""
    world = make(verifies=verifies)
    world.answered(*said())
    assert world.would(*NEXT) == would


async def test_a_host_without_websockets_would_get_plain_http(make: Make) -> None:
    """Where that was learned in mode on."""
    world = make()
    world.wiring.host.refused_websocket()
    turn = world.answered(*said())
    assert turn.outcome.would == Would(Route.HTTP, Plain.NO_WEBSOCKET, turn.outcome.request_bytes)
    assert turn.outcome.why


async def test_a_frame_that_is_too_large_would_go_over_http(make: Make) -> None:
    """It leaves its parent as it was, and what it is answered cannot be continued."""
    world = make(frame_limit_bytes=350)
    world.answered(*said())
    large: dict[str, object] = {"role": "user", "content": "x" * 400}
    turn = world.answered(*said("resp_2"), items=(USER, message("hello"), large))
    assert turn.outcome.would == Would(Route.HTTP, Plain.OVERSIZE, turn.outcome.request_bytes)
    assert world.would(*NEXT) == (Route.DELTA, None)


async def test_where_all_are_busy_it_would_go_over_http(make: Make) -> None:
    """Nothing waits here: a turn that would have had to is told as one that waited in vain."""
    world = make(pool=Limits(max_connections=1))
    _, running = world.begin(USER)
    assert world.would(USER) == (Route.HTTP, Plain.POOL_FULL)
    streamed(running, *said())
    assert world.would(*NEXT) == (Route.DELTA, None)


async def test_nothing_of_it_is_real(make: Make) -> None:
    """The memory of mode on knows nothing of what was observed; neither does the observer of what was not."""
    world = make()
    world.answered(*said(store=True), store=True)
    turn = world.wiring.turn(*NEXT, stream=True, store=True)
    world.wiring.memory.choose(turn)
    assert (turn.outcome.route, turn.outcome.reason) == (Route.FULL, Whole.NO_MATCH)
    assert world.wiring.memory.lasting() == ([], [])


async def test_a_count_that_is_too_low_stops_nothing_in_earnest(make: Make) -> None:
    """What would have been a suspicion of the host ends the deltas that are imagined, and no others."""
    world = make()
    world.answered(*said(tokens=10_000))
    turn = world.answered(*said("resp_2", tokens=20), items=NEXT)
    assert not turn.outcome.context_suspect
    assert world.would(*LAST) == (Route.FULL, Whole.CONTEXT_SUSPECT)
    assert not world.wiring.host.suspect


async def test_memory_is_bounded(make: Make) -> None:
    """However many conversations there are: no more connections are imagined than there might be, nor heads."""
    world = make(pool=Limits(max_connections=4, max_connections_per_key=4))
    for number in range(100):
        world.answered(*said(f"resp_{number}"), items=({"role": "user", "content": str(number)},))
    assert len(world.observer._pool) == 4
    assert len(world.observer._heads) == 4
