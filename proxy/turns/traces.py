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

    def add(self, trace: Trace, parent: Trace | None) -> None:
        """Keep a turn; it takes the place of its parent. Where that is not known, it is looked for."""
        parent = parent or self._parent(trace)
        if parent:
            self._turns.pop(parent.point, None)
        self._turns.pop(trace.point, None)
        if self._size(trace) <= self._turns.maxsize:
            self._turns[trace.point] = trace

    def get(self, point: bytes) -> Trace | None:
        """The turn that ended at this point."""
        return self._turns.get(point)

    def of(self, pool_key: bytes, *, stored: bool) -> list[Trace]:
        """Those of one pool key whose digests are under one of the two keys, in the order in which they came."""
        return [trace for trace in self._turns.values() if (trace.pool_key, trace.stored) == (pool_key, stored)]

    def _parent(self, trace: Trace) -> Trace | None:
        """The longest turn that this one goes on from, answer and all: what only begins alike is a sibling's."""
        known = [other for other in self.of(trace.pool_key, stored=trace.stored) if trace.follows(other)]
        return max(reversed(known), key=lambda one: (one.count, one.scope == trace.scope), default=None)

    def _size(self, trace: Trace) -> int:
        return max(self._part, trace.count)
