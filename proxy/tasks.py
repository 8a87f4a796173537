"""Tasks: the one place where asyncio tasks are started, so that each has an owner that sees it end."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class Tasks:
    """The tasks of one owner: held strongly while they run, ended by `close`."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[object, object, T], name: str) -> "asyncio.Task[T]":
        """Run `work` until it ends or the owner closes. What it raises is for whoever awaits the task."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, seconds: float) -> None:
        """Let what still runs end by itself, for at most `seconds`; then cancel it."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)
        await self.close()

    async def close(self) -> None:
        """Cancel what still runs, also what starts meanwhile, and wait until all has ended."""
        while tasks := list(self._running):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Of tasks that had ended already the callbacks may not have run yet, and gather then does not yield.
            self._running.difference_update(tasks)
