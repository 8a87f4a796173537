"""Waiting: the turns for which there was no lane, and no right to dial, in the order in which they came."""

import asyncio
import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import Protocol

from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.address import PoolKey
from proxy.upstream.choice import Move
from proxy.upstream.lease import Lease
from proxy.upstream.patience import Patience


@dataclass(frozen=True, slots=True)
class Wish:
    """What a turn wants: a lane for a caller; `named` is False where it must do without a name."""

    key: PoolKey
    named: bool = True


@dataclass(slots=True, eq=False)
class _Waiter:
    wish: Wish
    given: "asyncio.Future[Lease | Move]"
    """A lane, or the right to dial (counted as coming already)."""
    limit: asyncio.Timeout
    expects: bool = False
    """Whether what it waits for is on its way."""


class Source(Protocol):
    """Where lanes come from."""

    def now(self, wish: Wish, ahead: int) -> Lease | Move:
        """What can be had at once by one who has so many of the same caller ahead of him."""

    def promised(self, wish: Wish) -> int:
        """How many who wait will find room on connections that are on their way."""

    def soon(self, wish: Wish) -> int:
        """The same, without those that may have to think first: the others take no longer than a dial may."""

    def back(self, wish: Wish, given: Lease | Move) -> None:
        """What was handed over came too late."""


class Waiting:
    """First come, first served. Who waits for others' turns to end does so for `seconds` at most.

    Who waits for a dial, or for the answer to a made-up id, is kept by them for as long as by one of his own.
    """

    def __init__(self, seconds: float, source: Source) -> None:
        self._seconds = seconds
        self._source = source
        self._waiters: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    def of(self, key: PoolKey) -> int:
        """How many of this caller's wait."""
        return sum(one.wish.key.digest == key.digest for one in self._waiters)

    async def wait(self, wish: Wish, patience: Patience) -> Lease | Move:
        """What becomes free for it. Raises TurnFault where that takes too long."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(wish, loop.create_future(), asyncio.timeout(self._seconds))
        ahead = self.of(wish.key)
        self._waiters.append(waiter)
        try:
            async with patience.waiting(math.inf), waiter.limit:
                self._bound(waiter, ahead)
                return await waiter.given
        except TimeoutError as error:
            if waiter.given.done() and not waiter.given.cancelled():
                return waiter.given.result()
            detail = "a new one took too long" if waiter.expects else "all connections are busy"
            raise TurnFault(Fault.POOL_FULL, detail) from error
        except asyncio.CancelledError:
            if waiter.given.done() and not waiter.given.cancelled():
                self._source.back(wish, waiter.given.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def hand_over(self) -> None:
        """Give what is free to those who wait for it."""
        waiters, self._waiters = self._waiters, deque()
        still: list[_Waiter] = []
        # To look again for each that waits would hold up all turns: not where there was nothing for one ahead of it,
        # and not where that one waits for what will be enough for both.
        nothing: set[Wish] = set()
        ahead: Counter[Wish] = Counter()
        for waiter in waiters:
            wish = waiter.wish
            if waiter.given.done():
                continue
            patient = wish in nothing or 0 < ahead[wish] < self._source.promised(wish)
            given = Move.WAIT if patient else self._source.now(wish, ahead[wish])
            if given is not Move.WAIT:
                waiter.given.set_result(given)
                continue
            if not patient and ahead[wish] >= self._source.promised(wish):
                nothing.add(wish)
            self._bound(waiter, ahead[wish])
            ahead[wish] += 1
            still.append(waiter)
        self._waiters.extendleft(reversed(still))

    def _bound(self, waiter: _Waiter, ahead: int) -> None:
        """See to the time that it may wait for, if what it waits for is another thing now."""
        expects = ahead < self._source.soon(waiter.wish)
        if expects is not waiter.expects and not waiter.limit.expired():
            waiter.expects = expects
            waiter.limit.reschedule(None if expects else asyncio.get_running_loop().time() + self._seconds)
