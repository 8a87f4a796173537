"""Tasks: each has an owner that holds it, sees it end, and ends it."""

import asyncio

import pytest

from proxy.tasks import Tasks


async def rounds(count: int) -> None:
    """Let the loop go round, so that every task that can go on does."""
    for _ in range(count):
        round_over = asyncio.Event()
        asyncio.get_running_loop().call_soon(round_over.set)
        await round_over.wait()


async def test_a_task_runs_and_is_let_go() -> None:
    """The owner holds a task while it runs, by name, and gives its result to whoever awaits it."""
    tasks = Tasks()
    go = asyncio.Event()

    async def work() -> int:
        await go.wait()
        return 7

    task = tasks.start(work(), "counting")
    assert len(tasks) == 1
    assert task.get_name() == "counting"
    go.set()
    assert await task == 7
    assert len(tasks) == 0


async def test_what_a_task_raises_is_for_whoever_awaits_it() -> None:
    """An error does not disturb the owner."""
    tasks = Tasks()

    async def fail() -> None:
        raise ValueError("broken")

    task = tasks.start(fail(), "failing")
    with pytest.raises(ValueError, match="broken"):
        await task
    await tasks.close()
    assert len(tasks) == 0


async def test_close_cancels_and_waits_for_the_end() -> None:
    """After close nothing runs any more, however long a task needs to clean up."""
    tasks = Tasks()
    began = asyncio.Event()
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await rounds(5)
            ended.append(name)

    for name in ("one", "two"):
        tasks.start(work(name), name)
    await began.wait()
    await tasks.close()
    assert sorted(ended) == ["one", "two"]
    assert len(tasks) == 0


async def test_close_ends_what_starts_during_the_close() -> None:
    """A task that starts another while it cleans up leaves nothing behind."""
    tasks = Tasks()
    began, ended = asyncio.Event(), asyncio.Event()

    async def second() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def first() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            tasks.start(second(), "second")
            await rounds(3)

    tasks.start(first(), "first")
    await began.wait()
    await tasks.close()
    assert len(tasks) == 0
    assert ended.is_set()


async def test_close_survives_a_failing_clean_up() -> None:
    """One task's error does not keep the others running."""
    tasks = Tasks()
    ended = asyncio.Event()

    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("broken")

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks.start(fail(), "failing")
    tasks.start(work(), "working")
    await rounds(1)
    await tasks.close()
    assert ended.is_set()


async def test_closing_an_owner_of_nothing_is_nothing() -> None:
    """An owner may be closed at any time, and twice."""
    tasks = Tasks()
    await tasks.close()
    await tasks.close()
    assert len(tasks) == 0


async def test_finish_lets_tasks_end_by_themselves_first() -> None:
    """What ends within the limit is not cancelled; what does not, is."""
    tasks = Tasks()
    ended: list[str] = []

    async def brief() -> None:
        await rounds(3)
        ended.append("brief")

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    tasks.start(brief(), "brief")
    await tasks.finish(5.0)
    assert ended == ["brief"]
    tasks.start(endless(), "endless")
    await tasks.finish(0.01)
    assert ended == ["brief", "cancelled"]
    await tasks.finish(5.0)
    assert len(tasks) == 0


async def test_close_takes_what_has_just_ended_for_ended() -> None:
    """A task that is done, but whose callbacks the loop has not run yet, does not keep close busy for ever."""
    tasks = Tasks()
    ended = tasks.start(asyncio.sleep(0), "ended")
    await asyncio.wait([ended])
    tasks._running.add(ended)
    async with asyncio.timeout(5):
        await tasks.close()
    assert len(tasks) == 0
