"""Mode observe, end to end: it touches nothing, and what it says is what mode on does."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.config import Lanes, Match, Mode, Settings
from proxy.core.reasons import Reason, Route
from proxy.simulator import Behaviour, Fault, Recorded
from proxy.tasks import Tasks
from proxy.turns.outcome import Outcome
from tests.cli.process import started
from tests.conftest import DEEP
from tests.e2e.captures import RUNS, run
from tests.e2e.stack import Reply, Stack, chat, stack
from tests.e2e.test_captures import LIKE_OPENAI
from tests.e2e.test_properties import Callers, Talk
from tests.e2e.test_sdk import agents

EXAMPLES, STEPS = (300, 50) if DEEP else (40, 20)


class Course(NamedTuple):
    """How a turn goes, or would."""

    route: Route
    reason: Reason | None
    sent_bytes: int
    why: object


def course(outcome: Outcome) -> Course:
    """The same of either mode: what is compared with what turn differs in its id alone."""
    told = outcome.would or outcome
    return Course(told.route, told.reason, told.sent_bytes, outcome.why and replace(outcome.why, compared_with=None))


def given(mode: Mode, lanes: Lanes = "off", match: Match = "faithful") -> Settings:
    """Settings for a host that is known to verify ids."""
    return Settings(mode=mode, match=match, upstream=msgspec.structs.replace(LIKE_OPENAI, lanes=lanes))


async def courses(name: str, mode: Mode, match: Match) -> list[Course]:
    """A recorded run, turn by turn."""
    recorded = run(name)
    behaviour = Behaviour(model=Recorded([exchange.output for exchange in recorded]), lanes=False)
    found: list[Course] = []
    async with stack(behaviour, given(mode, match=match)) as running:
        for exchange in recorded:
            reply = await running.ask_raw(exchange.raw, headers=exchange.headers)
            assert (reply.status, reply.output) == (200, list(exchange.output))
            outcome = await running.outcome()
            assert (outcome.would is None) == (mode == "on")
            found.append(course(outcome))
    return found


@pytest.mark.parametrize(
    ("name", "match"),
    [*((name, "faithful") for name in RUNS), ("pysdk-chatstyle", "relaxed"), ("aisdk-plain", "strict")],
)
async def test_a_recorded_run_would_go_as_it_does(name: str, match: Match) -> None:
    """For every recorded client: the routes, reasons, explanations and sizes that mode on has without lanes."""
    assert await courses(name, "observe", match) == await courses(name, "on", match)


@dataclass
class World:
    """Two proxies, each with a simulator of its own: that of `stack` is on, the other observes."""

    runner: asyncio.Runner
    stack: Stack
    observing: Stack
    seen: Counter[str] = field(default_factory=Counter)
    serial: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def ask(self, talks: Sequence[Talk]) -> list[Reply]:
        """Send the next request of each through both, one after the other."""
        return self.runner.run(self._ask(talks))

    async def _ask(self, talks: Sequence[Talk]) -> list[Reply]:
        return [await self._both(talk) for talk in talks]

    async def _both(self, talk: Talk) -> Reply:
        reply, observed = [await one.ask(talk.body, key=talk.key) for one in (self.stack, self.observing)]
        assert (observed.status, observed.reason) == (reply.status, "observed")
        if reply.status == 200:
            assert observed.output == reply.output
        does, would = [course(await one.outcome()) for one in (self.stack, self.observing)]
        assert would == does
        self.seen[does.reason or does.route] += 1
        return reply


class Observed(Callers):
    """The callers of the main proof, without the faults: what becomes of a line cannot be observed."""

    world: ClassVar[World]  # type: ignore[assignment] # it asks the same of it

    def host(self, **_drawn: object) -> None:
        """The host stays what it is."""

    def lose(self, **_drawn: object) -> None:
        """Nothing is lost."""

    def drop(self) -> None:
        """Nothing is dropped."""

    def forget(self) -> None:
        """Nothing is forgotten."""


@pytest.fixture(params=["on", "off"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Both proxies, with or without lanes, in a loop of their own: hypothesis drives it from outside."""
    behaviour = Behaviour(lanes=request.param == "on")
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        on, observing = (
            runner.run(opened.enter_async_context(stack(behaviour, given(mode, request.param))))
            for mode in ("on", "observe")
        )
        try:
            yield World(runner, on, observing)
        finally:
            runner.run(opened.aclose())


@pytest.mark.timeout(3_600 if DEEP else 60)
def test_any_callers_would_go_as_they_do(world: World) -> None:
    """Whatever callers do, one after the other: observe tells the route, reason, explanation and size of mode on."""

    class CallersHere(Observed):
        """The callers of this world."""

    CallersHere.world = world
    run_state_machine_as_test(
        CallersHere,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=list(Phase) if DEEP else [Phase.generate],
            derandomize=not DEEP,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # Without these the property would say little.
    assert world.seen["delta"] > world.seen.total() / 5
    assert {"first", "no_match", "parent_continued"} <= set(world.seen)


@pytest.mark.parametrize(("lanes", "expected"), [("on", {"delta": 8}), ("off", {"delta": 1, "parent_continued": 7})])
async def test_siblings_would_fork_where_there_are_lanes(lanes: Lanes, expected: dict[str, int]) -> None:
    """Eight that start together from one history, all in flight at once: as in mode on."""
    tasks = Tasks()
    async with stack(settings=given("observe", lanes)) as running:
        talk = chat("Talk. [[rounds=0]]")
        talk = talk.followed((await running.ask(talk.body)).output)
        await running.outcome()
        running.sim.faults.add(Fault("hang", "events", after=3, times=8))
        children = [talk.followed([], f"Child {number}.") for number in range(8)]
        asked = [tasks.start(running.ask(each.body), "sibling") for each in children]
        await running.sim.until(lambda: len(running.sim.faults.struck) == 8)
        running.sim.faults.release()
        for each in asked:
            await each
        told = [course(await running.outcome()) for _ in children]
    assert Counter(each.reason or each.route for each in told) == expected


@pytest.mark.parametrize("way", ["sync", "stream"])
async def test_an_agent_on_the_sdk_reads_what_it_would_gain(way: str) -> None:
    """The real SDK through the real command: all of it passes, and each line says what would have been sent."""
    async with (
        started("simulate", "--port", "0") as upstream,
        started("run", "--port", "0", "--mode", "observe", "--upstream", base_of(await upstream.line())) as proxy,
    ):
        await agents(way, 1, 4, await proxy.base())
        lines = [re.split(r"  +", await proxy.line()) for _ in range(5)]
    assert [line[:3] for line in lines] == [["http", "200", "observed"]] * 5
    would = [re.fullmatch(r"would be (.*), [0-9.]+ k?B", line[4]) for line in lines]
    assert [found and found[1] for found in would] == ["full (first)", *["delta"] * 4]


def base_of(line: str) -> str:
    """The base URL in the line that the simulator prints."""
    return line.removeprefix("export OPENAI_BASE_URL=")
