"""Chaos: fifty agents at once under random faults. Every answer is right or a clean error, and nothing is left over."""

import asyncio
import logging
import os
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from proxy.config import Heads, Pool, Settings, Timeouts, Upstream
from proxy.simulator import Behaviour
from tests.chaos.census import check_maps, nothing_left, of_turns, process, quiet
from tests.chaos.judge import Verdict
from tests.chaos.storm import KEYS, Agent, Callers, Storm, all_of
from tests.e2e.stack import stack

DEEP = os.environ.get("OPENLINE_DEEP") == "1"
AGENTS = 50
TURNS, SEEDS = (40, range(20)) if DEEP else (7, range(1))
MOST_HEADS = 80
"""Fewer than such a storm would leave, so that the bound is seen to hold."""
# Short limits: what hangs ends soon, and what is refused is tried again soon.
_POOL = Pool(
    max_connections=24,
    max_connections_per_key=6,
    wait_seconds=0.3,
    min_remaining_seconds=0.2,
    pong_seconds=0.5,
    doubtful_after_seconds=0.2,
    breaker_seconds=0.05,
    recheck_seconds=0.05,
)
_TIMEOUTS = Timeouts(dial_seconds=1.0, first_event_seconds=2.0, silence_seconds=2.0, keepalive_seconds=0.1)
_BASE = Settings(pool=_POOL, timeouts=_TIMEOUTS, heads=Heads(max_count=MOST_HEADS, survive_restarts=False))
_HOST = Behaviour(event_seconds=0.001, journal_limit=1_000_000, forgetful=0.05, age_limit=1.0)


def _with(upstream: Upstream, **changes: object) -> Settings:
    known = {name: getattr(_BASE, name) for name in ("pool", "timeouts", "heads")}
    return Settings(upstream=upstream, **{**known, **changes})


@dataclass(frozen=True)
class Weather:
    """A host, the settings for it, and what goes wrong."""

    settings: Settings
    noise: bool = True
    forgets: bool = True
    host: Behaviour = _HOST


WEATHERS = {
    "lanes": Weather(_with(Upstream(verifies_ids="yes", lanes="on", age_limit_seconds=1.0)), noise=False),
    "lanes, noise": Weather(_with(Upstream(verifies_ids="yes", lanes="on"), after_loss="failed")),
    "no lanes": Weather(_with(Upstream(verifies_ids="yes", lanes="off", age_limit_seconds=1.0))),
    "unknown host": Weather(_with(Upstream(), replay="unsent")),
    # It would go on from an id that it does not hold without a word: one dead head continued, and an answer is wrong.
    # Not with lanes: a fork may lose the race with its parent's first child, which hosts that verify ids tell.
    "lenient host": Weather(
        _with(Upstream(verifies_ids="yes", lanes="off")),
        forgets=False,
        host=replace(_HOST, lenient_ids=True, forgetful=0.0),
    ),
}


@pytest.fixture
async def faults_of_ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as an error, or raised in a task that nobody waited for."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(f"{context['message']}: {context.get('exception')!r}"))
    caplog.set_level(logging.ERROR)
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weather", WEATHERS)
async def test_fifty_agents_in_a_storm(
    weather: str, seed: int, caplog: pytest.LogCaptureFixture, faults_of_ours: list[str]
) -> None:
    """Each is answered from exactly its own request, or told of an error; then all is as quiet as before."""
    here = WEATHERS[weather]
    before = process()
    async with stack(here.host, here.settings) as running:
        callers = Callers(running, Storm(here.noise, here.forgets))
        agents = [Agent(callers, number, f"{weather}-{seed}") for number in range(AGENTS)]
        await all_of(agents, TURNS)
        running.sim.faults.clear()
        running.sim.behaviour = replace(here.host, age_limit=3_600.0, forgetful=0.0)
        await quiet(running.app)
        routes, siblings = callers.routes(), list[int]()
        for _ in range(2):
            for some in (agents[at : at + 10] for at in range(0, AGENTS, 10)):
                routes += Counter(await asyncio.gather(*(agent.calm() for agent in some)))
                siblings += await asyncio.gather(*(agent.siblings() for agent in some[:6]))
        told, struck = callers.judged().told, len(running.sim.faults.struck)
        # A storm in which little happens would prove little.
        assert told[Verdict.RIGHT] > told.total() / 2, told
        assert routes["delta"] > 20, routes  # how many depends on what else the machine does: sockets age by the clock
        if running.app.status().pool.host.lanes and not here.settings.upstream.age_limit_seconds:
            assert siblings.count(3) > 5, Counter(siblings)  # where sockets age, a slow machine has few left to fork on
        # Cuts and short answers count with the errors: the more is healed unseen, the fewer of these are left.
        assert min(struck, callers.left, told.total() - told[Verdict.RIGHT]) > 10, (struck, callers.left, told)
        await quiet(running.app)
        calls, outcomes = callers.arrived(), running.outcomes
        replays = sum(outcomes.get_nowait().replays for _ in range(outcomes.qsize()))
        # A create behind a question that is still open counts as unsent: it may arrive, but it never ran.
        ran = sum(entry.generate and entry.context is not None for entry in running.sim.journal)
        assert ran <= calls + replays, "something ran again, and was not counted"
        if here.settings.upstream.verifies_ids == "yes" and here.settings.upstream.lanes == "off":
            assert len(running.sim.journal) <= calls + replays, "something was sent again, and not counted"
        check_maps(running.app, KEYS, MOST_HEADS)
        assert of_turns() == 0
    await nothing_left(before)
    assert not faults_of_ours
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
