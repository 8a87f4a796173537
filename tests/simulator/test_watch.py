"""Waiting without sleeping."""

import pytest

from proxy.simulator.watch import Watch
from proxy.tasks import Tasks


async def test_it_returns_at_once_when_it_holds() -> None:
    """Nothing needs to happen."""
    await Watch().until(lambda: True, 0.1)


async def test_it_looks_again_at_each_notice() -> None:
    """Every waiter sees the change that it waits for."""
    watch, tasks, values = Watch(), Tasks(), [0]

    async def waiter(number: int) -> int:
        await watch.until(lambda: values[0] >= number)
        return values[0]

    waiting = [tasks.start(waiter(number), "waiter") for number in (1, 2)]

    async def step() -> None:
        values[0] += 1
        watch.notify()

    results = []
    for task in waiting:
        await tasks.start(step(), "step")
        results.append(await task)
    assert results == [1, 2]


async def test_it_gives_up_and_leaves_nothing_behind() -> None:
    """TimeoutError at the limit."""
    watch = Watch()
    with pytest.raises(TimeoutError):
        await watch.until(lambda: False, 0.001)
    assert not watch._waiting
