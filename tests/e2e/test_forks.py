"""Forks: sub-agents that start together from one history."""

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
        assert len({entry.lane for entry in running.creates()}) == _CHILDREN
