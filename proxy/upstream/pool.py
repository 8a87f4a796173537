"""The pool: the open connections of each pool key, and which of them a turn gets."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol

import cachetools

from proxy.config import Pool as Limits
from proxy.core.heads import Head, Heads
from proxy.core.lanes import Lanes
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import PoolKey
from proxy.upstream.capabilities import Host
from proxy.upstream.connection import Connection
from proxy.upstream.dial import Dialler
from proxy.upstream.lease import Lease

_MOST_BREAKERS = 1_024


class Sight(Protocol):
    """What the choice asks of a connection."""

    used_at: float

    @property
    def busy(self) -> bool:
        """Whether any turn has a part of it."""

    @property
    def spare(self) -> bool:
        """Whether a turn can start on it without a conversation being given up."""

    @property
    def occupied(self) -> bool:
        """Whether a turn can start on it if a conversation is given up."""


class Coming(NamedTuple):
    """Dials under way."""

    own: int
    all: int


class Move(Enum):
    """What to do where no connection is chosen."""

    DIAL = auto()
    WAIT = auto()


def choose(
    own: Sequence[Sight], others: Sequence[Sight], coming: Coming, limits: Limits
) -> tuple[Move | None, Sight | None]:
    """The connection for a turn that continues nothing.

    In this order: one with a lane that remembers no conversation; a new one; a new one in place of another key's
    oldest idle one; the oldest of its own with an idle lane, whose conversation is given up.

    Returns:
        (None, connection): use it. (DIAL, None): open one. (DIAL, connection): close that one, open one. (WAIT, None).
    """
    spare = [one for one in own if one.spare]
    if spare:
        return None, max(spare, key=lambda one: one.used_at)
    below_own = len(own) + coming.own < limits.max_connections_per_key
    if below_own and len(own) + len(others) + coming.all < limits.max_connections:
        return Move.DIAL, None
    strangers = [one for one in others if not one.busy]
    if below_own and strangers:
        return Move.DIAL, min(strangers, key=lambda one: one.used_at)
    occupied = [one for one in own if one.occupied]
    if occupied:
        return None, min(occupied, key=lambda one: one.used_at)
    return Move.WAIT, None


@dataclass(slots=True)
class _Breaker:
    """Stops dialling a pool key for a while after failures in a row; then one dial tries again."""

    failures: int = 0
    closed_at: float = 0.0

    def check(self, limits: Limits) -> None:
        if self.failures >= limits.breaker_failures and time.monotonic() < self.closed_at:
            raise TurnFault(Fault.BREAKER_OPEN, f"dialling failed {self.failures} times")

    def failed(self, limits: Limits) -> None:
        self.failures += 1
        self.closed_at = time.monotonic() + limits.breaker_seconds


class Pool:
    """All connections of one proxy. One turn per connection; nothing queues behind another's turn."""

    def __init__(self, limits: Limits, host: Host, dialler: Dialler, heads: Heads) -> None:
        self._limits = limits
        self._host = host
        self._dialler = dialler
        self._heads = heads
        self._tasks = Tasks()
        self._connections: dict[bytes, list[Connection]] = {}
        self._numbered: dict[int, Connection] = {}
        self._dialled = 0
        self._coming: Counter[bytes] = Counter()
        self._breakers: cachetools.LRUCache[bytes, _Breaker] = cachetools.LRUCache(_MOST_BREAKERS)
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def open_connections(self) -> int:
        """How many sockets are open."""
        return sum(map(len, self._connections.values()))

    def sweep(self) -> None:
        """Close the idle connections that near their age limit."""
        now = time.monotonic()
        for connection in self._all():
            if now >= connection.expires and not connection.lanes.retiring:
                connection.retire(Whole.ROTATED)

    def claim(self, head: Head, *, fork: bool) -> Lease | None:
        """The lane that remembers `head` (or one beside it, for a fork), leased at once; None where there is none."""
        connection = self._numbered.get(head.place.connection)
        if connection is None:
            return None
        held = connection.lanes.spare() if fork else next((lane for lane in connection.lanes if lane.holds(head)), None)
        return connection.lease(held) if held else None

    async def lease(self, key: PoolKey) -> Lease:
        """A lane for a turn that is sent in full, or continues a stored response. Raises TurnFault."""
        waits_until = time.monotonic() + self._limits.wait_seconds
        while True:
            own = self._connections.get(key.digest, [])
            others = [one for one in self._all() if one.key.digest != key.digest]
            move, sight = choose(own, others, Coming(self._coming[key.digest], self._coming.total()), self._limits)
            chosen = next((one for one in (*own, *others) if one is sight), None)
            if move is Move.WAIT:
                await self._wait(waits_until)
            elif move is Move.DIAL:
                if chosen:
                    chosen.retire(Whole.EVICTED)
                return _start(await self._dial(key))
            elif chosen:
                return _start(chosen)

    def give_back(self, lease: Lease) -> None:
        """The turn is done with its lane."""
        connection = self._numbered.get(lease.lane.connection)
        if connection:
            connection.release(lease)
        self._wake()

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._all():
            connection.close(Whole.CONNECTION_LOST)
        await self._tasks.close()

    def _all(self) -> list[Connection]:
        return [one for group in self._connections.values() for one in group]

    async def _dial(self, key: PoolKey) -> Connection:
        breaker = self._breakers.setdefault(key.digest, _Breaker())
        breaker.check(self._limits)
        self._coming[key.digest] += 1
        try:
            socket = await self._dialler.dial(key.headers)
        except TurnFault as fault:
            if fault.fault is Fault.DIAL_FAILED:
                breaker.failed(self._limits)
            elif fault.fault is Fault.NO_WEBSOCKET:
                self._host.refused_websocket()
            self._wake()
            raise
        finally:
            self._coming -= Counter((key.digest,))
        self._breakers.pop(key.digest, None)
        self._dialled += 1
        connection = Connection(
            socket,
            key,
            self._host,
            Lanes(self._dialled, named=self._host.has_lanes),
            limits=self._limits,
            expires=self._expiry(),
            tasks=self._tasks,
            on_end=self._ended,
        )
        self._connections.setdefault(key.digest, []).append(connection)
        self._numbered[self._dialled] = connection
        return connection

    def _expiry(self) -> float:
        """Rotation is spread, so that sockets opened together are not replaced together."""
        age = self._host.known.age_limit_seconds
        margin = min(self._limits.min_remaining_seconds, age / 5) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
        return time.monotonic() + age - margin

    async def _wait(self, until: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await turn
        except TimeoutError as error:
            raise TurnFault(Fault.POOL_FULL, "all connections are busy") from error
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _ended(self, connection: Connection, dead: list[Head], reason: Whole) -> None:
        self._numbered.pop(connection.lanes.connection, None)
        group = self._connections.get(connection.key.digest, [])
        if connection in group:
            group.remove(connection)
        if not group:
            self._connections.pop(connection.key.digest, None)
        for head in dead:
            if not head.stored:
                self._heads.bury(head, reason)
        self._wake()


def _start(connection: Connection) -> Lease:
    """A lane for a turn that continues nothing: an empty one, else the one that began first."""
    lane = connection.lanes.spare() or connection.lanes.oldest()
    if lane is None:
        raise TurnFault(Fault.LINE_LOST, "the connection was lost as it was chosen")
    return connection.lease(lane)
