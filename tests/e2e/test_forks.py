"""Forks: sub-agents that start together from one history."""

import asyncio

from proxy.config import Settings, Upstream
from proxy.simulator import Behaviour, Fault
from proxy.tasks import Tasks
from tests.e2e.stack import begun, chat, goes_on, prompt_of, stack

_CHILDREN = 8


async def test_eight_siblings_are_eight_deltas_on_one_socket() -> None:
    """All eight are in flight at once from an unstored history, on a host that keeps a lane's latest response alone."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", lanes="on"))
    tasks = Tasks()
    async with stack(Behaviour(parent_gone_at="next_completed"), settings) as running:
        talk = await begun(running, chat("Talk. [[rounds=0]]"))
        talks = [talk.followed([], f"Child {number}.") for number in range(_CHILDREN)]
        running.sim.faults.add(Fault("hang", "events", after=3, times=_CHILDREN))
        asked = [tasks.start(running.ask(each.body), "sibling") for each in talks]
        await running.sim.until(lambda: len(running.sim.faults.struck) == _CHILDREN)
        running.sim.faults.release()
        replies = [await each for each in asked]
        assert [reply.route for reply in replies] == ["delta"] * _CHILDREN
        assert len(running.sim.handshakes) == 1
        assert set(running.prompts()[-_CHILDREN:]) == {prompt_of(each) for each in talks}
        for each, reply in zip(talks, replies, strict=True):
            await goes_on(running, each.followed(reply.output))
        # Each goes on where it is; the parent stays where it was, and a late sibling continues it, too.
        assert len({entry.lane for entry in running.creates()}) == 1 + _CHILDREN
        await goes_on(running, talk.followed([], "One more child."))


async def test_siblings_over_open_connections_fork_too() -> None:
    """A program that is at work sends them in one breath: none finds the parent taken, and not yet lent."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", lanes="on"))
    async with stack(Behaviour(parent_gone_at="next_completed", event_seconds=0.01), settings) as running:
        await asyncio.gather(*(running.ask(chat(f"Warm {n}. [[rounds=0]]").body) for n in range(_CHILDREN)))
        talk = await begun(running, chat("Talk. [[rounds=0]]"))
        talks = [talk.followed([], f"Child {number}.") for number in range(_CHILDREN)]
        replies = await asyncio.gather(*(running.ask(each.body) for each in talks))
        assert [reply.route for reply in replies] == ["delta"] * _CHILDREN
