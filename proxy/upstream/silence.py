"""Silence: how long nothing was heard on a line, by both clocks, so that a machine that slept is noticed."""

import asyncio
import time
from collections.abc import Awaitable

from websockets.exceptions import ConnectionClosed

# How far the wall clock may run ahead of the monotonic one before the machine is taken to have slept, in seconds.
_SLEPT = 2.0


class Silence:
    """Begins anew with everything that is heard."""

    def __init__(self) -> None:
        self.heard = 0
        self._since = _clocks()

    def broken(self) -> None:
        """Something was heard."""
        self.heard += 1
        self._since = time.monotonic(), time.time()

    async def ended(self, pong: Awaitable[float], seconds: float) -> bool:
        """Whether `pong` came, or anything was heard, within `seconds`: the line's end, too."""
        heard = self.heard
        try:
            async with asyncio.timeout(seconds):
                await pong
        except TimeoutError:
            return self.heard > heard
        except ConnectionClosed:
            return True
        return True

    def doubtful(self, after: float) -> bool:
        """Whether the line may be gone unseen: silent for `after` seconds, across the machine's sleep, or ever since.

        Some middleboxes let upgrades through, and no frames.
        """
        if not self.heard:
            return True
        (monotonic, wall), (was_monotonic, was_wall) = _clocks(), self._since
        silent = monotonic - was_monotonic
        return silent > after or (wall - was_wall) - silent > _SLEPT


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()
