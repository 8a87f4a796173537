"""Patience: how long a turn may be kept from its answer by sockets that come to nothing, in seconds."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

# The part that is kept for after a create was on its way: one that ran for long, and whose line was then lost, may
# still dial once more.
_KEPT = 0.2


class Patience:
    """One turn's: all waits before a create could run are paid from it, and add up to `seconds` at most.

    A fifth can be spent only once a create was written. While less than a fifth is left, nothing new is tried.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = self._share = seconds * _KEPT
        self._free = seconds - self._share
        self._ran = False
        self._clock = clock

    @property
    def left(self) -> float:
        """What may be spent now."""
        return self._free + self._kept if self._ran else self._free

    @property
    def with_kept(self) -> float:
        """What may be spent once the create is written."""
        return self._free + self._kept

    @property
    def used_up(self) -> bool:
        """Whether too little is left for another attempt."""
        return self.left < self._share

    def ran(self) -> None:
        """A create was written: what is lost from now on may have run."""
        self._ran = True

    def spend(self, seconds: float) -> None:
        """A wait of that long is over; more than is left is not taken."""
        free = min(seconds, self._free)
        self._free -= free
        self._kept -= min(seconds - free, self._kept)

    @contextlib.asynccontextmanager
    async def waiting(self, most: float) -> AsyncIterator[None]:
        """Wait, for at most `most` and for what is left. Raises TimeoutError."""
        allowed, began = min(most, self.left), self._clock()
        try:
            async with asyncio.timeout(allowed):
                yield
        finally:
            self.spend(min(self._clock() - began, allowed))
