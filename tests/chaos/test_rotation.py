"""Rotation: sockets are replaced before their age limit, between turns, not all at once, and no caller notices."""

import asyncio

import pytest

from proxy.config import Lanes, Pool, Settings, Upstream
from proxy.simulator import Behaviour, Fault
from proxy.tasks import Tasks
from tests.chaos.census import check_maps, connections, quiet
from tests.chaos.judge import Judge, Verdict
from tests.e2e.stack import Body, Reply, Stack, begun, chat, goes_on, prompt_of, stack

both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
with_and_without_lanes = pytest.mark.parametrize("lanes", ["on", "off"])
AGE, MARGIN, AGENTS, ROTATED = 1.0, 0.2, 12, 24


def configured(lanes: Lanes, **pool: float) -> Settings:
    """A host with a short age limit."""
    limits = Pool(min_remaining_seconds=MARGIN, **pool)  # type: ignore[arg-type] # seconds
    return Settings(upstream=Upstream(verifies_ids="yes", lanes=lanes, age_limit_seconds=AGE), pool=limits)


async def converse(running: Stack, number: int, asked: list[tuple[Body, Reply]]) -> None:
    """One agent's turns, until enough conversations had to move to another socket."""
    talk = chat(f"I am agent {number}. [[rounds=99 calls=1]]", stream=number % 2 == 0)
    while sum(reply.reason == "rotated" for _, reply in asked) < ROTATED:
        reply = await running.ask(talk.body, key=f"key-{number % 2}")
        asked.append((talk.body, reply))
        assert (reply.status, reply.cut) == (200, False), reply.body[:300]
        talk = (
            talk.followed(reply.output) if len(talk.items) < 40 else chat(f"I am agent {number} again. [[rounds=99]]")
        )


@with_and_without_lanes
async def test_under_load_nobody_notices(lanes: Lanes) -> None:
    """Twelve agents at once over several generations of sockets: every answer right, nothing replayed, nothing cut."""
    asked: list[tuple[Body, Reply]] = []
    # The host's own limit is far off, so that whatever ends a socket here is the proxy.
    async with stack(Behaviour(event_seconds=0.001, journal_limit=100_000), configured(lanes)) as running:
        await running.ask(chat("The first.").body, key="key-0")
        async with asyncio.TaskGroup() as group:
            for number in range(AGENTS):
                group.create_task(converse(running, number, asked))
        judge = Judge(list(running.sim.journal))
        assert {judge.judge(body, reply) for body, reply in asked} == {Verdict.RIGHT}
        outcomes = [running.outcomes.get_nowait() for _ in range(running.outcomes.qsize())]
        assert not [outcome.faults for outcome in outcomes if outcome.faults]
        assert sum(outcome.replays for outcome in outcomes) == 0
        routes = [(reply.route, reply.reason) for _, reply in asked]
        assert sum(route == "delta" for route, _ in routes) > len(routes) / 8
        await quiet(running.app)
        check_maps(running.app, 2, 20_000)


async def test_sockets_opened_together_are_not_replaced_together() -> None:
    """Each keeps at least min_remaining of its age limit, and a share of up to a fifth more that is its own."""
    async with stack(settings=configured("off")) as running:
        running.sim.faults.add(Fault("hang", "events", times=8))
        tasks = Tasks()
        asked = [tasks.start(running.ask(chat(f"I am {number}.").body), "caller") for number in range(8)]
        await running.sim.until(lambda: len(running.sim.faults.struck) == 8)
        left = [AGE - (connection.expires - connection.opened_at) for connection in connections(running.app)]
        running.sim.faults.release()
        await asyncio.gather(*asked)
    assert max(left) - min(left) > MARGIN / 50, left
    assert all(MARGIN * 0.99 < one < MARGIN * 1.21 for one in left), left


@both
@with_and_without_lanes
async def test_a_turn_that_outlives_the_age_limit(lanes: Lanes, *, stream: bool) -> None:
    """It is not disturbed by the rotation of its socket, which takes no other turn and closes with it."""
    async with stack(settings=configured(lanes)) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.faults.add(Fault("hang", "events", after=3))
        tasks = Tasks()
        asked = tasks.start(running.ask(talk.body), "caller")
        await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
        (old,) = connections(running.app)
        old.expires = old.opened_at  # its time is over
        await begun(running, chat("Another.", stream=stream))
        assert (old.open, old.lanes.retiring, len(connections(running.app))) == (True, True, 2)
        running.sim.faults.release()
        reply = await asked
        assert (reply.status, reply.route, reply.cut) == (200, "delta", False)
        assert prompt_of(talk) in running.prompts()
        await running.outcome()
        assert not old.open
        await running.sim.until(lambda: running.sim.connections == 1)
        await goes_on(running, talk.followed(reply.output), "full", "rotated")
