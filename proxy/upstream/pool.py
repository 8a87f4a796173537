"""The pool: the open connections of each pool key, and which of them a turn gets."""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.core.heads import Head, Heads
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import PoolKey
from proxy.upstream.breaker import Breakers
from proxy.upstream.capabilities import Host
from proxy.upstream.choice import Coming, Move, choose
from proxy.upstream.connection import Connection
from proxy.upstream.dial import Dialler
from proxy.upstream.lease import Lease
from proxy.upstream.patience import Patience
from proxy.upstream.socket import Socket
from proxy.upstream.status import PoolStatus, SocketStatus

# Longer than a socket's closing handshake may take.
_CLOSE_SECONDS = 1.5


@dataclass(slots=True, eq=False)
class _Waiter:
    """A turn that waits for a lane, or for the right to dial (counted as coming already)."""

    key: PoolKey
    given: "asyncio.Future[Lease | Move]"


class Pool:
    """All connections of one proxy. Nothing queues behind another's turn: first come, first served, or plain HTTP.

    lease ─▶ choose ─▶ a lane of an open connection
                ├────▶ dial
                └────▶ wait ◀── whatever becomes free is handed over at once
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        dialler: Dialler,
        heads: Heads,
        notice: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._settings = settings
        self._limits = settings.pool
        self._host = host
        self._dialler = dialler
        self._heads = heads
        self._tasks = Tasks()
        self._connections: dict[bytes, list[Connection]] = {}
        self._numbered: dict[int, Connection] = {}
        self._dialled = 0
        self._coming: Counter[bytes] = Counter()
        self._breakers = Breakers(
            self._limits.breaker_failures,
            self._limits.breaker_seconds,
            name=urlsplit(settings.upstream.url).netloc,
            clock=time.monotonic,
            notice=notice,
        )
        self._waiting: deque[_Waiter] = deque()
        self._closed = False

    @property
    def open_connections(self) -> int:
        """How many sockets are open."""
        return len(self._numbered)

    def status(self) -> PoolStatus:
        """How things stand."""
        all_ = self._numbered.values()
        retiring = sum(one.lanes.retiring for one in all_)
        busy = sum(one.busy and not one.lanes.retiring for one in all_)
        sockets = SocketStatus(len(all_) - retiring - busy, busy, retiring, self._coming.total())
        return PoolStatus(sockets, len(self._waiting), self._breakers.status(), self._host.status())

    def sweep(self) -> None:
        """Give up lines that are closing; rotate those that near their age limit, each when its turns are done."""
        now = time.monotonic()
        for connection in list(self._numbered.values()):
            if not connection.open:
                # What came before the close may still be on its way to its turn: a busy line ends by itself.
                connection.retire(Whole.CONNECTION_LOST)
            elif now >= connection.expires and not connection.lanes.retiring:
                connection.retire(Whole.ROTATED)

    def claim(self, head: Head, *, fork: bool) -> Lease | None:
        """The lane that remembers `head` (or one beside it, for a fork), leased at once; None where there is none."""
        connection = self._numbered.get(head.place.connection)
        if connection is None:
            return None
        lane = connection.lanes.claim(head, fork=fork)
        return connection.lease(lane, head) if lane else None

    def crowded(self, key: PoolKey) -> bool:
        """Whether more turns of this caller are about than connections that are known to carry many."""
        others = sum(one.lanes.promising for one in self._connections.get(key.digest, ())) > 1
        return others or self._coming[key.digest] > 0 or any(one.key.digest == key.digest for one in self._waiting)

    async def lease(self, key: PoolKey, patience: Patience) -> Lease:
        """A lane for a turn that is sent in full, or continues a stored response. Raises TurnFault."""
        if self._closed:
            raise TurnFault(Fault.POOL_FULL, "Openline is closing")
        given = self._now(key)
        if given is Move.WAIT:
            given = await self._wait(key, patience)
        return given if isinstance(given, Lease) else await self._dial(key, patience)

    def give_back(self, lease: Lease) -> None:
        """The turn is done with its lane."""
        connection = self._numbered.get(lease.lane.connection)
        if connection:
            connection.release(lease)
        self._hand_over()

    def mute(self, lease: Lease) -> None:
        """Its create was not answered for as long as a turn waits: the line takes no new turns."""
        connection = self._numbered.get(lease.lane.connection)
        if connection:
            if connection.in_vain:
                asked = time.monotonic() - self._settings.timeouts.first_event_seconds
                self._breakers.mute(connection.key.digest, asked)
            connection.retire(Whole.CONNECTION_LOST)

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for connection in list(self._numbered.values()):
            connection.close(Whole.CONNECTION_LOST)
        await self._tasks.finish(_CLOSE_SECONDS)

    def _now(self, key: PoolKey) -> Lease | Move:
        """What can be had at once. A dial is counted as coming: it must follow."""
        self.sweep()
        own = self._connections.get(key.digest, [])
        others = [one for one in self._numbered.values() if one.key.digest != key.digest]
        coming = Coming(self._coming[key.digest], self._coming.total())
        move, sight = choose(own, others, coming, self._limits, lanes=self._host.has_lanes)
        chosen = next((one for one in (*own, *others) if one is sight), None)
        if move is Move.DIAL:
            self._coming[key.digest] += 1
            if chosen:
                chosen.retire(Whole.EVICTED)
            return Move.DIAL
        lane = chosen and (chosen.lanes.spare() or chosen.lanes.oldest())
        return chosen.lease(lane) if chosen and lane else Move.WAIT

    async def _wait(self, key: PoolKey, patience: Patience) -> Lease | Move:
        waiter = _Waiter(key, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with patience.waiting(self._limits.wait_seconds):
                return await waiter.given
        except TimeoutError as error:
            if waiter.given.done() and not waiter.given.cancelled():
                return waiter.given.result()
            raise TurnFault(Fault.POOL_FULL, "all connections are busy") from error
        except asyncio.CancelledError:
            if waiter.given.done() and not waiter.given.cancelled():
                self._return(key, waiter.given.result())
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _return(self, key: PoolKey, given: Lease | Move) -> None:
        """What was handed over came too late."""
        if isinstance(given, Lease):
            self.give_back(given)
        else:
            self._coming -= Counter((key.digest,))
            self._hand_over()

    def _hand_over(self) -> None:
        """Give what is free to those who wait for it, in their order."""
        waiting, self._waiting = self._waiting, deque()
        still: list[_Waiter] = []
        nothing: set[bytes] = set()  # for these keys; to look again for each that waits would hold up all turns
        for waiter in waiting:
            if waiter.given.done():
                continue
            given = Move.WAIT if waiter.key.digest in nothing else self._now(waiter.key)
            if given is Move.WAIT:
                nothing.add(waiter.key.digest)
                still.append(waiter)
            else:
                waiter.given.set_result(given)
        self._waiting.extendleft(reversed(still))

    async def _dial(self, key: PoolKey, patience: Patience) -> Lease:
        """Open a connection and lease a lane of it. Its coming is counted already."""
        began, judged = time.monotonic(), False
        try:
            self._check(key, patience)
            lease = self._opened(key, await self._dialler.dial(key.headers, patience))
            judged = True  # by what comes on it
        except TurnFault as fault:
            if fault.fault in (Fault.DIAL_FAILED, Fault.UPGRADE_FORBIDDEN):
                self._breakers.failed(key.digest, began)
            judged = fault.fault in (Fault.BREAKER_OPEN, Fault.POOL_FULL)  # nothing was let through
            if fault.fault is Fault.NO_WEBSOCKET:
                self._host.refused_websocket()
            if fault.fault is Fault.NO_DESCRIPTOR:
                await self._make_room(patience)
            raise
        else:
            return lease
        finally:
            if not judged:
                self._breakers.untried(key.digest)
            self._coming -= Counter((key.digest,))
            self._hand_over()

    def _check(self, key: PoolKey, patience: Patience) -> None:
        """Let a dial through, or raise TurnFault."""
        if patience.used_up:
            # One that could hardly succeed would tell against the host.
            raise TurnFault(Fault.POOL_FULL, "no time was left for a dial")
        self._breakers.check(key.digest)

    async def _make_room(self, patience: Patience) -> None:
        """Give up the descriptor of the idle socket that was used longest ago, if there is one."""
        idle = [one for one in self._numbered.values() if not one.busy]
        if not idle:
            return
        oldest = min(idle, key=lambda one: one.used_at)
        oldest.close(Whole.EVICTED)
        with contextlib.suppress(TimeoutError):
            async with patience.waiting(_CLOSE_SECONDS):
                await oldest.gone()

    def _opened(self, key: PoolKey, socket: Socket) -> Lease:
        self._dialled += 1
        connection = Connection(
            socket,
            key,
            self._host,
            self._host.lanes(self._dialled, time.monotonic),
            settings=self._settings,
            expires=self._expiry(),
            tasks=self._tasks,
            owner=self,
        )
        self._connections.setdefault(key.digest, []).append(connection)
        self._numbered[self._dialled] = connection
        lane = connection.lanes.spare()
        if self._closed or lane is None:
            connection.close(Whole.CONNECTION_LOST)
            raise TurnFault(Fault.POOL_FULL, "Openline is closing")
        return connection.lease(lane)

    def _expiry(self) -> float:
        """Rotation is spread, so that sockets opened together are not replaced together."""
        age = self._host.known.age_limit_seconds
        margin = min(self._limits.min_remaining_seconds, age / 5) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
        return time.monotonic() + age - margin

    def works(self, connection: Connection) -> None:
        """The first event came: the way to the host is good."""
        self._breakers.worked(connection.key.digest)

    def room(self) -> None:
        """A lane came free by itself."""
        self._hand_over()

    def ended(self, connection: Connection, dead: list[Head], reason: Whole) -> None:
        """A connection is closed: its heads are dead, and its place is free."""
        if connection.in_vain and reason is Whole.CONNECTION_LOST:
            # An upgrade that leads nowhere (a middlebox that lets no frames through, say) is no better than none.
            self._breakers.failed(connection.key.digest, connection.opened_at)
        elif connection.in_vain:
            # Its caller hung up, say: another may try.
            self._breakers.untried(connection.key.digest)
        self._numbered.pop(connection.lanes.connection, None)
        group = self._connections[connection.key.digest]
        group.remove(connection)
        if not group:
            del self._connections[connection.key.digest]
        detail = f"{connection.fault}, {time.monotonic() - connection.used_at:.0f} s after its last turn"
        for head in dead:
            if not head.stored:
                self._heads.bury(head, reason, detail)
        self._hand_over()
