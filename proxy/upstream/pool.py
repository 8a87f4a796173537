"""The pool: the open connections of each pool key, and which of them a turn gets."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.core.heads import Head, Heads
from proxy.core.lanes import MOST_IN_FLIGHT
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import PoolKey
from proxy.upstream.breaker import Breakers
from proxy.upstream.capabilities import Host
from proxy.upstream.choice import Coming, Move, choose, more
from proxy.upstream.connection import Connection
from proxy.upstream.dial import Dialler
from proxy.upstream.lease import Lease
from proxy.upstream.patience import Patience
from proxy.upstream.socket import Socket
from proxy.upstream.status import PoolStatus, SocketStatus
from proxy.upstream.waiting import Waiting, Wish

# Longer than a socket's closing handshake may take.
_CLOSE_SECONDS = 1.5


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
        self._waiting = Waiting(self._limits.wait_seconds, self)
        self._age = host.known.age_limit_seconds
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
        now, age = time.monotonic(), self._host.known.age_limit_seconds
        for connection in list(self._numbered.values()):
            if age < self._age:  # a shorter limit was met
                connection.expires = min(connection.expires, self._expiry(connection.opened_at))
            if not connection.open:
                # What came before the close may still be on its way to its turn: a busy line ends by itself.
                connection.retire(Whole.CONNECTION_LOST)
            elif now >= connection.expires and not connection.lanes.retiring:
                connection.retire(Whole.ROTATED)
            elif connection.lanes.named and not self._host.has_lanes and not connection.lanes.retiring:
                # There, what one caller is answered may be lost on others, or be taken for theirs.
                connection.retire(Whole.LANES_REFUSED)
        self._age = age

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
        return others or self._coming[key.digest] > 0 or self._waiting.of(key) > 0

    async def lease(self, key: PoolKey, patience: Patience, *, named: bool = True) -> Lease:
        """A lane for a turn that is sent in full, or continues a stored response. Raises TurnFault.

        Not `named`: on a connection of its own, as on a host without lanes.
        """
        if self._closed:
            raise TurnFault(Fault.POOL_FULL, "Openline is closing")
        wish = Wish(key, named)
        given = self.now(wish, self._waiting.of(key))
        if given is Move.WAIT:
            given = await self._waiting.wait(wish, patience)
        return given if isinstance(given, Lease) else await self._dial(wish, patience)

    def give_back(self, lease: Lease) -> None:
        """The turn is done with its lane."""
        connection = self._numbered.get(lease.lane.connection)
        if connection:
            connection.release(lease)
        self._waiting.hand_over()

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

    def now(self, wish: Wish, ahead: int) -> Lease | Move:
        """What can be had at once. A dial is counted as coming: it must follow."""
        self.sweep()
        digest = wish.key.digest
        all_ = self._connections.get(digest, [])
        own = [one for one in all_ if wish.named or not one.lanes.named]
        others = [one for one in self._numbered.values() if one.key.digest != digest]
        unfit = len(all_) - len(own)  # these count all the same
        coming = Coming(self._coming[digest] + unfit, self._coming.total() + unfit, ahead, self._each)
        move, sight = choose(own, others, coming, self._limits, lanes=wish.named and self._host.has_lanes)
        chosen = next((one for one in (*own, *others) if one is sight), None)
        if move is Move.DIAL:
            self._coming[digest] += 1
            if chosen:
                chosen.retire(Whole.EVICTED)
            return Move.DIAL
        lane = chosen and (chosen.lanes.spare() or chosen.lanes.oldest())
        return chosen.lease(lane) if chosen and lane else Move.WAIT

    @property
    def _each(self) -> int:
        """How many turns find room on a connection beside the one that it is opened for."""
        return max(0, min(MOST_IN_FLIGHT, self._host.names) - 1)

    def promised(self, wish: Wish) -> int:
        """How many who wait will find room on connections that are on their way."""
        return self._room(wish, self._connections.get(wish.key.digest, []))

    def soon(self, wish: Wish) -> int:
        """The same, without those whose model may think before it says a word."""
        own = self._connections.get(wish.key.digest, ())
        return self._room(wish, [one for one in own if one.asked or not one.lanes.awaited])

    def _room(self, wish: Wish, own: Sequence[Connection]) -> int:
        return Coming(self._coming[wish.key.digest], 0, 0, self._each if wish.named else 0).promised(own)

    def _tight(self, key: PoolKey) -> bool:
        """Whether a further turn of this caller has to take a conversation's place."""
        own = self._connections.get(key.digest, [])
        others = [one for one in self._numbered.values() if one.key.digest != key.digest]
        coming = Coming(self._coming[key.digest], self._coming.total())
        return not any(one.lanes.spare() for one in own) and more(own, others, coming, self._limits) is None

    def back(self, wish: Wish, given: Lease | Move) -> None:
        """What was handed over came too late."""
        if isinstance(given, Lease):
            self.give_back(given)
        else:
            self._coming -= Counter((wish.key.digest,))
            self._waiting.hand_over()

    async def _dial(self, wish: Wish, patience: Patience) -> Lease:
        """Open a connection and lease a lane of it. Its coming is counted already."""
        key, began, judged = wish.key, time.monotonic(), False
        try:
            self._check(key, patience)
            lease = self._opened(wish, await self._dialler.dial(key.headers, patience))
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
            self._waiting.hand_over()

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

    def _opened(self, wish: Wish, socket: Socket) -> Lease:
        self._dialled += 1
        key, named = wish.key, wish.named and self._host.has_lanes
        connection = Connection(
            socket,
            key,
            self._host,
            self._host.lanes(self._dialled, time.monotonic, named=named, tight=lambda: self._tight(key)),
            settings=self._settings,
            expires=self._expiry(time.monotonic()),
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

    def _expiry(self, opened_at: float) -> float:
        """Rotation is spread, so that sockets opened together are not replaced together."""
        age = self._host.known.age_limit_seconds
        margin = min(self._limits.min_remaining_seconds, age / 5) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
        return opened_at + age - margin

    def works(self, connection: Connection) -> None:
        """The first event came: the way to the host is good."""
        self._breakers.worked(connection.key.digest)

    def room(self) -> None:
        """A lane came free by itself."""
        self._waiting.hand_over()

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
        self._waiting.hand_over()
