"""Traces: the latest turn of each recent conversation, as digests, for whoever asks why the next one was no delta."""

import cachetools

from proxy.core.trace import Trace


class Traces:
    """A ring of its own: nothing is continued from here. At most so many turns, of so many items in all."""

    def __init__(self, *, most: int = 200, most_items: int = 200_000) -> None:
        # A turn counts for one conversation's part of the room at least, so that one bound is both. The next turn of a
        # conversation comes in anew: the first that came in is the one that was used longest ago.
        self._part = max(1, most_items // most)
        self._turns: cachetools.FIFOCache[bytes, Trace] = cachetools.FIFOCache(self._part * most, self._size)

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, trace: Trace, before: Trace | None) -> None:
        """Keep a turn; it takes the place of the one `before`, whose items it goes on from."""
        if before and before.count < trace.count and trace.items.startswith(before.items):
            self._turns.pop(before.point, None)
        self._turns.pop(trace.point, None)
        if self._size(trace) <= self._turns.maxsize:
            self._turns[trace.point] = trace

    def get(self, point: bytes) -> Trace | None:
        """The turn that ended at this point."""
        return self._turns.get(point)

    def of(self, pool_key: bytes, *, stored: bool) -> list[Trace]:
        """Those of one pool key whose digests are under one of the two keys, in the order in which they came."""
        return [trace for trace in self._turns.values() if (trace.pool_key, trace.stored) == (pool_key, stored)]

    def _size(self, trace: Trace) -> int:
        return max(self._part, trace.count)
