"""Arrival: on a line that others share, a create that does not arrive ends its own turn soon, and nobody else's."""

import math
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.config import Pool as Limits
from proxy.core.lane import State
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.upstream import arrival
from proxy.upstream.arrival import Arrival
from proxy.upstream.connection import Connection
from proxy.upstream.lease import Lease
from proxy.upstream.socket import Socket
from tests.upstream.peer import Line, created, over, said, soon, until
from tests.upstream.rig import CREATE, Rig, lease_of, lost, send, types

pytestmark = pytest.mark.usefixtures("nothing_left")
# More than kernels buffer, less than a host's frame limit.
LARGE = CREATE + b" " * 15_000_000
# More than a deaf peer's kernel takes, less than ours buffers.
MIDDLING = CREATE + b" " * 1_000_000


async def shared(rig: Rig, pong_seconds: float = 0.2) -> tuple[Connection, Line, Lease]:
    """A line on which another turn is being answered."""
    connection, line = await rig.open(Limits(pong_seconds=pong_seconds), named=True)
    other = await send(connection)
    assert await line.frame()
    await line.send(created("resp_1", stream_id="l1"))
    await types(other, 1)
    return connection, line, other


@pytest.fixture
async def answered(rig: Rig) -> AsyncIterator[tuple[Connection, Line, Lease]]:
    """Such a line, whose host reads no more: what others were to be sent, they get all the same."""
    connection, line, other = await shared(rig)
    line.deafen()
    yield connection, line, other
    assert connection.open
    await line.send(*said("resp_1", stream_id="l1")[1:])
    assert (await types(other, 3))[-1] == "response.completed"


@pytest.mark.parametrize("frame", [MIDDLING, LARGE], ids=["written", "cut short"])
async def test_what_does_not_arrive_ends_its_own_turn(
    answered: tuple[Connection, Line, Lease],
    rig: Rig,  # noqa: ARG001 - it outlives the others
    frame: bytes,
) -> None:
    """The turn is told how long it waited in vain, and that its create may run yet; the line takes no new ones."""
    connection, _, _ = answered
    lease = lease_of(connection)
    await soon(lease.send(frame, None, None, 60.0))  # no fault here: a turn takes it for one that was written
    found = await lost(lease)
    assert (found.fault, found.waited) == (Fault.LINE_LOST, 0.2)
    assert found.detail == "what was sent on a shared line did not arrive for 0.2 s"
    assert not connection.lanes.spare()
    connection.release(lease)
    assert lease.lane.state is State.DRAINING
    assert connection.open


async def test_its_time_is_what_the_turn_has_left(answered: tuple[Connection, Line, Lease]) -> None:
    """Where that is less than the setting."""
    connection, _, _ = answered
    lease = lease_of(connection)
    await soon(lease.send(MIDDLING, None, None, 0.1))
    assert (await lost(lease)).waited == 0.1
    connection.release(lease)


async def test_the_line_goes_with_its_other_turns(rig: Rig) -> None:
    """Nobody new meets it; it is closed when those who are answered on it are done."""
    connection, line, other = await shared(rig)
    line.deafen()
    lease = lease_of(connection)
    await soon(lease.send(MIDDLING, None, None, 60.0))
    await lost(lease)
    connection.release(lease)
    line.undeafen()
    await line.send(*said("resp_1", stream_id="l1")[1:], *said("resp_2", stream_id="l2"))
    await types(other, 3)
    connection.release(other)
    await line.closed()
    assert rig.reasons == [Whole.CONNECTION_LOST]


async def test_what_has_arrived_is_waited_for_in_peace(rig: Rig) -> None:
    """A model may think: once the other end has the create, the turn has all the time that there is."""
    connection, _, _ = await shared(rig, 0.05)
    lease = await send(connection)
    until_then = time.monotonic() + 0.2
    await until(lambda: time.monotonic() > until_then)
    assert (lease.fault, bool(connection.lanes.spare())) == (None, True)


async def test_a_slow_way_is_no_stall(rig: Rig) -> None:
    """An upload that takes several times the limit arrives, as some of it always does within it."""
    connection, line, _ = await shared(rig, 0.5)
    line.deafen()
    lease = lease_of(connection)
    writing = rig.tasks.start(lease.send(LARGE, None, None, 60.0), "writing")
    await until(lambda: connection._socket.unsent)
    for _ in range(3):
        left, began = connection._socket.transport.get_write_buffer_size(), time.monotonic()
        line.undeafen()
        await until(lambda left=left: connection._socket.transport.get_write_buffer_size() < left)  # type: ignore[misc]
        line.deafen()
        await until(lambda began=began: time.monotonic() > began + 0.3)  # type: ignore[misc]
    assert connection._socket.unsent
    line.undeafen()
    assert await line.frame() == {"type": "response.create"}
    await soon(writing)
    assert (lease.fault, bool(connection.lanes.spare())) == (None, True)


async def test_a_turn_that_can_go_no_other_way_stays(rig: Rig) -> None:
    """What must not run again is lost with its line alone: nobody watches for it."""
    connection, line, _ = await shared(rig, 0.05)
    line.deafen()
    lease = lease_of(connection)
    await soon(lease.send(MIDDLING, None, None, math.inf))
    until_then = time.monotonic() + 0.2
    await until(lambda: time.monotonic() > until_then)
    assert lease.fault is None


async def test_who_hangs_up_ends_the_watch(rig: Rig) -> None:
    """A caller that goes in mid-upload leaves no task behind, and is told nothing."""
    connection, line, _ = await shared(rig, 0.1)
    line.deafen()
    lease = lease_of(connection)
    writing = rig.tasks.start(lease.send(LARGE, None, None, 60.0), "writing")
    await until(lambda: connection._socket.unsent)
    writing.cancel()
    await over(writing)
    connection.release(lease)
    until_then = time.monotonic() + 0.3
    await until(lambda: time.monotonic() > until_then)
    assert (lease.fault, connection.open) == (None, True)


class Silent:
    """A kernel that tells less than Linux does, and the line that it is of."""

    def __init__(self, *, knows: bool, descriptor: int = -1, count: int = 1, round_trip: int = 0) -> None:
        self.descriptor = descriptor
        self.told = struct.pack("68xI48xQ", round_trip, count)
        self.transport = self
        self.knows = knows
        self.closing = False

    def get_extra_info(self, name: str) -> "Silent":
        """The socket."""
        assert name == "socket"
        return self

    def is_closing(self) -> bool:
        """As transports say."""
        return self.closing

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """The same count for ever; or half of what was asked for, as older systems know less."""
        assert (level, option) == (socket.IPPROTO_TCP, 11)
        assert size == len(self.told)
        return self.told if self.knows else self.told[: size // 2]

    def fileno(self) -> int:
        """One that has no queue."""
        return self.descriptor


async def gives_up(one: Arrival) -> bool:
    """Whether it calls a create stalled, in several times the time that it may take."""
    calls: list[bool] = []
    one.watch(0.05, lambda: calls.append(True))
    until_then = time.monotonic() + 0.2
    await until(lambda: time.monotonic() > until_then)
    return bool(calls)


@pytest.mark.parametrize("knows", [True, False])
async def test_a_kernel_that_does_not_tell(knows: bool) -> None:  # noqa: FBT001
    """Where it cannot be known what has arrived, nothing is given up for it."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    one = Arrival(cast("Socket", Silent(knows=knows, descriptor=descriptor)))
    one.written()
    os.close(descriptor)
    assert not await gives_up(one)


async def test_a_kernel_that_knows_of_nothing() -> None:
    """Zeros are no count: the handshake at least was acknowledged. So say systems that are only like Linux."""
    assert not await gives_up(Arrival(cast("Socket", Silent(knows=True, count=0))))


async def test_a_long_way_has_its_time() -> None:
    """Where an answer takes longer than the limit by nature, nothing is given up for that."""
    assert not await gives_up(Arrival(cast("Socket", Silent(knows=True, round_trip=1_000_000))))


async def test_what_is_answered_has_arrived(rig: Rig) -> None:
    """Whatever the kernel says of it: an event of the turn ends the watch."""
    connection, line, _ = await shared(rig, 0.1)
    line.deafen()
    lease = lease_of(connection)
    await soon(lease.send(MIDDLING, None, None, 60.0))
    await line.send(created("resp_2", stream_id=str(lease.named)))
    await types(lease, 1)
    until_then = time.monotonic() + 0.3
    await until(lambda: time.monotonic() > until_then)
    assert (lease.fault, bool(connection.lanes.spare())) == (None, True)


async def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems that have no such count nothing is given up for it; where there is one that stands still, it is."""
    one = Arrival(cast("Socket", Silent(knows=True)))
    assert await gives_up(one)
    monkeypatch.setattr(arrival.sys, "platform", "darwin")  # type: ignore[attr-defined]
    assert not await gives_up(one)


async def test_a_closed_socket_is_not_asked() -> None:
    """Its descriptor may be another's by now."""
    kernel = Silent(knows=True)
    kernel.closing = True
    one = Arrival(cast("Socket", kernel))
    assert not await gives_up(one)
    one.written()
    assert not one.writing
