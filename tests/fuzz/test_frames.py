"""Frames of an upstream that says anything: no turn is stuck or gets another's; only what was whole is continued."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Pool, Settings, Timeouts
from proxy.config import Upstream as Target
from proxy.server.app import Openline
from proxy.simulator import render_request
from proxy.turns.outcome import Outcome
from tests.conftest import DEEP
from tests.e2e.stack import Item, Reply
from tests.fuzz.answers import handshakes
from tests.fuzz.streams import Plan, Script, events, message, plans, texts_of, whole
from tests.fuzz.upstream import Create, Upstream
from tests.fuzz.world import LIMIT, QUICK, Watched, is_clean, thrown, watched

EXAMPLES = 3_000 if DEEP else 40
# Nothing that was learned of a host in one turn is to keep the next ones from being tried.
POOL = Pool(
    breaker_failures=1_000_000, recheck_seconds=0.0, doubtful_after_seconds=0.0, pong_seconds=0.5, wait_seconds=0.4
)

# Here only dials are waited for. Plain HTTP has time to connect, on a busy machine too.
DIALLING = Timeouts(dial_seconds=LIMIT, detour_seconds=0.25)


@dataclass
class Told:
    """What the upstream said in one answer."""

    line: int
    response_id: str
    script: Script


@dataclass
class Teller:
    """Answers each create by the plan for its caller's mark; then with what is right."""

    plans: dict[str, Plan]
    told: list[Told] = field(default_factory=list)
    serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, create: Create) -> Script:
        """The frames for a create."""
        mark, name = mark_of(create.input), f"resp_{next(self.serial)}"
        plan = self.plans.pop(mark, Plan())
        script = plan.script(mark, name, create.lane)
        self.told.append(Told(create.line, name, script))
        return script

    def plain(self, create: Create) -> Script:
        """What plain HTTP answers."""
        mark, name = mark_of(create.input), f"resp_{next(self.serial)}"
        final = msgspec.json.encode(events(mark, name, None)[-1]["response"])
        return [
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(final), final)
        ]

    def right(self, head: str, line: int, history: Sequence[object]) -> None:
        """A continuation of `head` on `line` by a caller with this history before its new item: is it one?"""
        (told,) = [told for told in self.told if told.response_id == head]
        assert told.line == line
        said = whole(texts_of(told.script), head)
        assert said is not None, told
        # The same to the model: what renders alike is judged by the simulator, which knows nothing of the core.
        assert rendered(said) == rendered(history[-len(said) :]), told


def mark_of(items: Sequence[object]) -> str:
    """Which caller's turn a create is: its last item says so."""
    last = items[-1] if items else ""
    return str(last.get("content")) if isinstance(last, dict) else str(last)


def rendered(items: Sequence[object]) -> str:
    """What the model is given for these items. In its status the final form of an item may differ from the streamed."""
    bare = [{**item, "status": None} if isinstance(item, dict) else item for item in items]
    return render_request({"input": bare})


def turn(mark: str, *history: Item, stream: bool) -> dict[str, object]:
    """A caller's request."""
    return {"model": "m", "store": False, "stream": stream, "input": [*history, {"role": "user", "content": mark}]}


async def asked(session: aiohttp.ClientSession, base: str, body: dict[str, object]) -> Reply:
    """A create through the proxy: answered, or cut, within the limit."""
    chunks: list[bytes] = []
    cut = False
    async with (
        asyncio.timeout(LIMIT),
        session.post(f"{base}/responses", json=body, headers={"authorization": "Bearer k"}) as response,
    ):
        try:
            while chunk := await response.content.readany():
                chunks.append(chunk)
        except aiohttp.ClientError:
            cut = True
        return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, b"".join(chunks), cut)


async def spoiled(given: Sequence[Plan], *, lanes: bool, stream: bool) -> None:
    """Some callers at once, each with an answer by its plan; then each takes its next turn, which goes right."""
    marks = [f"turn-{number}-mark" for number in range(len(given))]
    teller = Teller(dict(zip(marks, given, strict=True)))
    upstream = Upstream(teller.answer, teller.plain)
    async with upstream.serving() as url, aiohttp.ClientSession() as session:
        target = Target(url=url, verifies_ids="yes", lanes="on" if lanes else "off")
        app = Openline(Settings(listen="127.0.0.1:0", upstream=target, pool=POOL, timeouts=QUICK), _reported)
        base = await app.start()
        try:
            # A first turn shows whether the host knows lanes.
            assert (await asked(session, base, turn("warm", stream=True))).status == 200
            replies = await asyncio.gather(*(asked(session, base, turn(mark, stream=stream)) for mark in marks))
            for mark, reply in zip(marks, replies, strict=True):
                check(mark, marks, reply)
            await asyncio.gather(*(next_turn(session, base, upstream, teller, mark, marks) for mark in marks))
        finally:
            await app.close()
    assert app.running == 0


def check(mark: str, marks: Sequence[str], reply: Reply) -> None:
    """An answer is clean, and has nothing in it of another caller's."""
    assert reply.status in {200, 400, 429, 500, 502, 504} or reply.status == 503, reply
    assert is_clean(reply.body), reply
    assert b"openline" in reply.body or reply.status != 502, reply
    for other in marks:
        assert other == mark or other.encode() not in reply.body, (mark, reply)


async def next_turn(
    session: aiohttp.ClientSession, base: str, upstream: Upstream, teller: Teller, mark: str, marks: Sequence[str]
) -> None:
    """What the caller says next, whatever it made of the answer, is put to the model in its whole context."""
    history: list[Item] = [{"role": "user", "content": mark}, *(message(mark, f"msg_{mark}_{n}") for n in range(2))]
    follow = f"{mark}-next"
    reply = await asked(session, base, turn(follow, *history, stream=True))
    assert (reply.status, reply.cut) == (200, False), (reply, [t.script for t in teller.told])
    assert [item["id"] for item in reply.output] == [f"msg_{follow}_0", f"msg_{follow}_1"] if reply.streamed else True
    check(follow, [f"{other}-next" for other in marks], reply)
    create = next(one for one in reversed(upstream.creates) if mark_of(one.input) == follow)
    head = create.body.get("previous_response_id")
    if head is None:
        assert create.input == [*history, {"role": "user", "content": follow}]
    else:
        assert create.input == [{"role": "user", "content": follow}]
        teller.right(str(head), create.line, history)


def _reported(_outcome: Outcome) -> None:
    """Outcomes are not looked at here."""


@pytest.fixture
def seen() -> Iterator[Watched]:
    """A loop in which every fault is noticed."""
    with watched() as watching:
        yield watching


@pytest.mark.parametrize("lanes", [True, False])
def test_spoiled_answers_harm_nobody(lanes: bool, seen: Watched) -> None:  # noqa: FBT001 - a parameter
    """Mutated events and frames: each turn ends, gets only its own, and what follows has its whole context."""

    @thrown(EXAMPLES)
    @given(st.lists(plans, min_size=1, max_size=3), st.booleans())
    def prove(given: list[Plan], stream: bool) -> None:  # noqa: FBT001 - drawn
        seen.run(spoiled(given, lanes=lanes, stream=stream))
        assert seen.faults == []

    prove()


async def refused(script: Script, after: int) -> None:
    """A host whose upgrades are answered with anything, from the `after`th on: turns go another way."""
    teller = Teller({})
    count = itertools.count()
    upstream = Upstream(teller.answer, teller.plain, lambda: script if next(count) >= after else None)
    async with upstream.serving() as url, aiohttp.ClientSession() as session:
        target = Target(url=url, verifies_ids="yes")
        app = Openline(Settings(listen="127.0.0.1:0", upstream=target, pool=POOL, timeouts=DIALLING), _reported)
        base = await app.start()
        try:
            for mark in ("one", "two"):
                reply = await asked(session, base, turn(mark, stream=False))
                assert is_clean(reply.body), reply
                # A 429 of the upgrade is the caller's; whatever else it was, plain HTTP is there.
                assert reply.status in {200, 429}, reply
        finally:
            await app.close()


def test_any_answer_to_an_upgrade_is_survived(seen: Watched) -> None:
    """Garbage, refusals, endless headers, silence: the turn goes over plain HTTP, or gets the host's 429."""

    async def all_refused(given: Sequence[tuple[Script, int]]) -> None:
        await asyncio.gather(*(refused(script, after) for script, after in given))

    @thrown(EXAMPLES // 5)
    @given(st.lists(st.tuples(handshakes, st.integers(0, 1)), min_size=4, max_size=8))
    def prove(given: list[tuple[Script, int]]) -> None:
        seen.run(all_refused(given))
        assert seen.faults == []

    prove()
