"""A drain: an abandoned answer on a shared line, whose rest is dropped until its lane is free again or given up."""

import asyncio

from proxy.core.lanes import Lane, State

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
            return False
        return self._lane.state is not State.DRAINING
