"""Overload, from the first caller to the last: a socket, then plain HTTP, then a 503 that says when to come again."""

import pytest

from proxy.config import Pool, Settings, Timeouts, Upstream
from proxy.simulator import Behaviour, Fault
from proxy.tasks import Tasks
from tests.e2e.stack import chat, goes_on, prompt_of, stack

# One of each.
_POOL = Pool(max_connections=1, max_connections_per_key=1, wait_seconds=0.05, http_connections=1)


@pytest.mark.parametrize("stream", [False, True])
async def test_each_limit_leads_to_the_next(*, stream: bool) -> None:
    """The third of three at once gets the API's kind of error and Retry-After; the others, and later ones, end well."""
    settings = Settings(
        upstream=Upstream(verifies_ids="yes", lanes="off"), pool=_POOL, timeouts=Timeouts(dial_seconds=0.05)
    )
    tasks = Tasks()
    async with stack(Behaviour(lanes=False), settings) as running:
        running.sim.faults.add(Fault("hang", "events", after=2, times=2))
        talks = [chat(f"Caller {number}. [[rounds=0]]", stream=stream) for number in range(3)]
        under_way = []
        for talk in talks[:2]:
            under_way.append(tasks.start(running.ask(talk.body), "caller"))
            await running.sim.until(lambda: len(running.sim.faults.struck) >= len(under_way))
        refused = await running.ask(talks[2].body)
        assert (refused.status, refused.route, refused.reason) == (503, "http", "pool_full")
        assert (refused.error["code"], refused.streamed) == ("openline_overloaded", False)
        assert int(refused.headers["retry-after"]) >= 1
        running.sim.faults.release()
        replies = [await one for one in under_way]
        assert [(one.status, one.route, one.reason) for one in replies] == [
            (200, "full", "first"),
            (200, "http", "pool_full"),
        ]
        assert running.prompts() == [prompt_of(talk) for talk in talks[:2]]
        await goes_on(running, talks[0].followed(replies[0].output))
        again = await running.ask(talks[2].body)
        assert (again.status, again.cut) == (200, False)
    await tasks.close()
