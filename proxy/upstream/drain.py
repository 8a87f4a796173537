"""A drain: an abandoned answer on a shared line, whose rest is dropped until its lane is free again or given up."""

import asyncio
from collections.abc import Callable

from proxy.core.lane import Lane, State
from proxy.tasks import Tasks

# How long, and how many bytes, the answer may take to its end before its lane is given up.
_SECONDS = 10.0
_BYTES = 262_144


class Drain:
    """Watches one lane from the moment that its turn let go."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._bytes = 0
        self._changed = asyncio.Event()

    def dropped(self, size: int) -> None:
        """That many bytes came and were dropped, or the line ended."""
        self._bytes += size
        self._changed.set()

    async def run(self) -> bool:
        """Whether the answer ended within the limits."""
        try:
            async with asyncio.timeout(_SECONDS):
                while self._lane.state is State.DRAINING and self._bytes < _BYTES:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass  # it may have ended at the same moment, and be another turn's lane by now
        return self._lane.state is not State.DRAINING


class Drains:
    """Those of one connection; `over` is told of each lane whether its answer ended within the limits."""

    def __init__(self, tasks: Tasks, over: Callable[[Lane, bool], None]) -> None:
        self._tasks = tasks
        self._over = over
        self._running: dict[Lane, Drain] = {}

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, lane: Lane) -> None:
        """The lane's turn let go."""
        drain = self._running[lane] = Drain(lane)
        self._tasks.start(self._watch(lane, drain), "drain")

    def dropped(self, lane: Lane, size: int) -> None:
        """That many bytes came for it."""
        if lane in self._running:
            self._running[lane].dropped(size)

    def end(self) -> None:
        """The line is gone."""
        for drain in self._running.values():
            drain.dropped(0)

    async def _watch(self, lane: Lane, drain: Drain) -> None:
        ended = await drain.run()
        if self._running.get(lane) is drain:
            del self._running[lane]
        self._over(lane, ended)
