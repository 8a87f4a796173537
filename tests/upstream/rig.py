"""A rig: connections to a peer, as the pool makes them, and what the tests of connections share."""

import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from proxy.config import Pool as Limits
from proxy.config import Settings, Timeouts, Upstream
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Head
from proxy.core.lanes import Lanes
from proxy.core.reasons import Whole
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import Address, pool_key
from proxy.upstream.capabilities import Capabilities, Host
from proxy.upstream.connection import Connection
from proxy.upstream.dial import dialler
from proxy.upstream.lease import Lease
from proxy.upstream.way import way_upstream
from tests.upstream.peer import LIMIT, Line, Peer, created, patience, soon

CREATE = b'{"type":"response.create"}'


@dataclass
class Rig:
    """A peer, and connections to it as the pool makes them."""

    peer: Peer
    upload_seconds: float = 600.0
    ca_file: str = ""
    tasks: Tasks = field(default_factory=Tasks)
    ends: list[tuple[Connection, list[Head], Whole]] = field(default_factory=list)
    rooms: int = 0
    working: list[Connection] = field(default_factory=list)
    host: Host = field(default_factory=lambda: Host(Capabilities(), recheck_seconds=1, clock=lambda: 0.0))

    async def open(self, limits: Limits | None = None, *, named: bool = False) -> tuple[Connection, Line]:
        """Both ends of a new connection."""
        address = Address(self.peer.base)
        owner = pool_key(address, [("Authorization", "Bearer sk-secret")], (), "", Fingerprints(b"k" * 32))
        settings = Settings(
            upstream=Upstream(url=self.peer.base, compression=False, ca_file=self.ca_file),
            pool=limits or Limits(),
            timeouts=Timeouts(first_event_seconds=self.upload_seconds),
        )
        socket = await soon(dialler(settings, way_upstream(settings, {})).dial(owner.headers, patience()))
        connection = Connection(
            socket,
            owner,
            self.host,
            Lanes(1, named=named, clock=float),
            settings=settings,
            expires=math.inf,
            tasks=self.tasks,
            owner=self,
        )
        return connection, await self.peer.line()

    def ended(self, connection: Connection, dead: list[Head], reason: Whole) -> None:
        """As the pool is told."""
        self.ends.append((connection, dead, reason))

    def room(self) -> None:
        """As the pool is told."""
        self.rooms += 1

    def works(self, connection: Connection) -> None:
        """As the pool is told."""
        self.working.append(connection)

    @property
    def reasons(self) -> list[Whole]:
        """Why connections ended."""
        return [reason for _, _, reason in self.ends]


@contextlib.asynccontextmanager
async def rigged() -> AsyncIterator[Rig]:
    """A rig that leaves nothing behind."""
    async with Peer() as peer:
        one = Rig(peer)
        yield one
        await soon(one.tasks.close())


def lease_of(connection: Connection) -> Lease:
    """A lane of it, as the pool gives one to a turn."""
    lane = connection.lanes.spare() or connection.lanes.oldest()
    if lane is None:
        raise LookupError("no lane is free")
    return connection.lease(lane)


async def send(connection: Connection, frame: bytes = CREATE, probe: bytes | None = None) -> Lease:
    """Start a turn."""
    lease = lease_of(connection)
    await soon(lease.send(frame, probe, None, 60.0))
    return lease


def head_on(connection: Connection) -> Head:
    """A head that lives on this connection."""
    lease = lease_of(connection)
    head = Head("resp_1", (b"f",), connection.key.digest, lease.lane, stored=False)
    assert lease.commit(head)
    connection.release(lease)
    return head


async def types(lease: Lease, count: int) -> list[str]:
    """The types of the next events, `count` of them."""
    found: list[str] = []
    while len(found) < count:
        found += [event.type for event in await lease.batch(LIMIT) for _ in range(event.events)]
    return found


async def lost(lease: Lease) -> TurnFault:
    """The fault that a waiting turn is told."""
    with pytest.raises(TurnFault) as caught:
        await lease.batch(LIMIT)
    return caught.value


async def two_lanes(rig: Rig) -> tuple[Connection, Line, Lease, Lease]:
    """A connection to a host with lanes, and two turns at work on it."""
    connection, line = await rig.open(named=True)
    one = await send(connection)
    assert not connection.lanes.spare()  # until the host has shown that it knows names
    await line.send(created("resp_a", stream_id="l1"))
    assert await types(one, 1) == ["response.created"]
    two = await send(connection)
    await line.send(created("resp_b", stream_id="l2"))
    assert await types(two, 1) == ["response.created"]
    return connection, line, one, two
