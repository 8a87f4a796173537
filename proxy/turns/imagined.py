"""The imagined pool: the connections that mode `on` would have had, with their lanes and their ends, and no sockets."""

from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.config import Settings
from proxy.core.continuation import Continuation, Delta, Trust
from proxy.core.events import Event, Kind
from proxy.core.heads import Head, Heads
from proxy.core.lane import Lane, OutOfPlace, State
from proxy.core.lanes import Lanes
from proxy.core.reasons import Whole
from proxy.upstream.capabilities import Host
from proxy.upstream.choice import Coming, Move, choose
from proxy.upstream.lease import Lease

# Rotation is spread over 1.0 to 1.2 times its margin (upstream/pool.py).
_SPREAD = 1.1
_BEGUN = Event("response.created", Kind.NAMES_CHAIN, b"")
_DRAINED = Event("response.incomplete", Kind.ENDED_SHORT, b"")


class ImaginedHost(Host):
    """A host as far as it is known. Nobody asks it on a made-up id here: where that is open, it verifies ids."""

    def __init__(self, real: Host, clock: Callable[[], float]) -> None:
        super().__init__(real.known, recheck_seconds=0.0, clock=clock)
        self._real = real

    def trust(self, model: bytes) -> Trust:
        """What mode `on` would trust it with, once it had been asked."""
        return Trust(verified=self._real.verifies(model) is not False, suspect=self._real.suspect or self.suspect)


@dataclass(slots=True, eq=False)
class ImaginedConnection:
    """What a lease and a choice ask of a connection."""

    key: bytes
    lanes: Lanes
    expires: float
    used_at: float
    asked: frozenset[bytes] = field(default=frozenset(), init=False)

    def lease(self, lane: Lane, continuing: Head | None = None) -> Lease:
        """Give `lane` to a turn, which goes on from `continuing` there."""
        self.lanes.lease(lane, continuing)
        return Lease(self, lane)

    def retire(self, reason: Whole) -> None:
        """Take no new turns."""
        self.lanes.retire(reason)

    async def write(self, lease: Lease, frame: bytes, probe: bytes | None, pong_seconds: float) -> None:
        """Nothing is written."""

    def taken(self) -> None:
        """Nothing arrives."""

    def give_up_probe(self, lease: Lease) -> None:
        """Nobody is asked."""


def arrive(lane: Lane, event: Event) -> None:
    """An event of an answer over HTTP. Raises OutOfPlace where the lane waits for none.

    There an error is the last of its answer. On a socket an end may follow it, so that behind one a lane takes an end
    only for a turn that has begun: here every turn has that ends.
    """
    if lane.state is State.AWAITED and event.kind is not Kind.ERROR:
        lane.take(_BEGUN)
    lane.take(event)


def _drained(lane: Lane) -> bool:
    """Whether what still comes of an answer could be dropped."""
    try:
        lane.abandon()
        lane.take(_BEGUN)
        lane.take(_DRAINED)
    except OutOfPlace:
        return False
    return True


class ImaginedPool:
    """Chooses and rotates as the real one does. Nothing here waits, and no connection is lost."""

    def __init__(self, settings: Settings, host: Host, heads: Heads, clock: Callable[[], float]) -> None:
        self._limits = settings.pool
        self._host = host
        self._heads = heads
        self._clock = clock
        self._opened = 0
        self._connections: dict[int, ImaginedConnection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def sweep(self) -> None:
        """Rotate what nears the host's age limit, each when its turns are done."""
        now = self._clock()
        for connection in list(self._connections.values()):
            if now >= connection.expires and not connection.lanes.retiring:
                self._retire(connection, Whole.ROTATED)

    def lease(self, key: bytes, continuation: Continuation) -> Lease | None:
        """The lane that a turn would have; None where it would have had to wait for one."""
        claimed = self._claim(continuation.head, fork=continuation.fork) if isinstance(continuation, Delta) else None
        return claimed or self._any(key)

    def give_back(self, lease: Lease) -> None:
        """The turn is over. In mid-answer a lone one's connection is closed; on one with lanes the rest is dropped."""
        connection, lane = self._connections.get(lease.lane.connection), lease.lane
        if connection is None:
            return
        lane.release()
        connection.used_at = self._clock()
        if lane.in_flight and not (connection.lanes.proven and _drained(lane)):
            self._end(connection, Whole.CONNECTION_LOST)
        elif connection.lanes.reason and not connection.lanes.busy:
            self._end(connection, connection.lanes.reason)

    def _claim(self, head: Head, *, fork: bool) -> Lease | None:
        connection = self._connections.get(head.place.connection)
        if connection is None:
            return None
        lane = connection.lanes.claim(head, fork=fork)
        return connection.lease(lane, head) if lane else None

    def _any(self, key: bytes) -> Lease | None:
        own = [one for one in self._connections.values() if one.key == key]
        others = [one for one in self._connections.values() if one.key != key]
        move, sight = choose(own, others, Coming(0, 0), self._limits, lanes=self._host.has_lanes)
        chosen = next((one for one in (*own, *others) if one is sight), None)
        if move is Move.DIAL:
            if chosen:
                self._retire(chosen, Whole.EVICTED)
            chosen = self._open(key)
        lane = chosen and (chosen.lanes.spare() or chosen.lanes.oldest())
        return chosen.lease(lane) if chosen and lane else None

    def _open(self, key: bytes) -> ImaginedConnection:
        self._opened += 1
        now, age, named = self._clock(), self._host.known.age_limit_seconds, self._host.has_lanes
        margin = min(self._limits.min_remaining_seconds, age / 5) * _SPREAD
        lanes = self._host.lanes(self._opened, self._clock, named=named, tight=lambda: False)
        lanes.proven = named
        connection = ImaginedConnection(key, lanes, expires=now + age - margin, used_at=now)
        self._connections[self._opened] = connection
        return connection

    def _retire(self, connection: ImaginedConnection, reason: Whole) -> None:
        connection.retire(reason)
        if not connection.lanes.busy:
            self._end(connection, reason)

    def _end(self, connection: ImaginedConnection, reason: Whole) -> None:
        del self._connections[connection.lanes.connection]
        for lane in connection.lanes:
            dead = lane.close()
            if dead and not dead.stored:
                self._heads.bury(dead, reason)
