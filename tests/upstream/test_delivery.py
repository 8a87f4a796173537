"""Delivery: what does not arrive is a lost line, soon; what was cut short has not run; what is slow is neither."""

import errno
import math
import socket
import time
from typing import cast

import pytest

from proxy.config import Pool as Limits
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.connection import Connection
from proxy.upstream.delivery import Delivery
from proxy.upstream.lease import Lease
from proxy.upstream.socket import Socket
from tests.upstream.peer import LIMIT, Line, created, over, said, soon, until
from tests.upstream.rig import CREATE, Rig, lease_of, lost, send, types

pytestmark = pytest.mark.usefixtures("nothing_left")
# More than kernels buffer, less than a host's frame limit.
LARGE = CREATE + b" " * 15_000_000
HURRIED = Limits(pong_seconds=0.2)


async def known(rig: Rig, limits: Limits | None = None, *, named: bool = False) -> tuple[Connection, Line]:
    """A line that has just brought an answer: nobody doubts it."""
    connection, line = await rig.open(limits, named=named)
    lease = await send(connection)
    assert await line.frame()
    await line.send(*(said(stream_id=str(lease.named)) if named else said()))
    await types(lease, 4)
    connection.release(lease)
    return connection, line


async def refused(lease: Lease, frame: bytes, pong_seconds: float = 60.0) -> TurnFault:
    """The fault that a turn is told of while it writes."""
    with pytest.raises(TurnFault) as caught:
        await soon(lease.send(frame, None, None, pong_seconds))
    return caught.value


def kernel_seconds(connection: Connection) -> float:
    """The limit that the kernel has for this socket."""
    kernel: socket.socket = connection._socket.transport.get_extra_info("socket")
    return kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1_000


async def test_a_host_that_takes_nothing(rig: Rig) -> None:
    """A create that gets nowhere ends a line that nobody doubted; the turn is told how long it waited in vain."""
    connection, line = await known(rig, HURRIED)
    line.deafen()
    found = await refused(lease_of(connection), LARGE)
    assert (found.fault, found.waited) == (Fault.LINE_LOST, 0.2)
    assert "did not arrive for 0.2 s" in found.detail


async def test_a_turn_with_less_time_waits_less(rig: Rig) -> None:
    """What a turn has left counts where that is less than the setting."""
    connection, line = await known(rig)
    line.deafen()
    assert (await refused(lease_of(connection), LARGE, 0.1)).waited == 0.1


async def test_an_upload_without_an_end(rig: Rig) -> None:
    """Whatever the kernel says: an upload takes no longer than the turn's wait for its first event may."""
    rig.upload_seconds = 0.1
    connection, line = await known(rig, Limits(pong_seconds=60.0))
    line.deafen()
    found = await refused(lease_of(connection), LARGE)
    assert (found.fault, found.detail) == (
        Fault.LINE_LOST,
        "the upstream took less than the whole create within 0.1 s",
    )


async def test_a_slow_way_is_no_loss(rig: Rig) -> None:
    """An upload that takes several times the limit arrives, as some of it always does within it."""
    connection, line = await known(rig, Limits(pong_seconds=0.5))
    line.deafen()
    writing = rig.tasks.start(lease_of(connection).send(LARGE, None, None), "writing")
    await until(lambda: connection._socket.unsent)
    for _ in range(3):
        left, began = connection._socket.transport.get_write_buffer_size(), time.monotonic()
        line.undeafen()
        await until(lambda left=left: connection._socket.transport.get_write_buffer_size() < left)  # type: ignore[misc]
        line.deafen()
        await until(lambda began=began: time.monotonic() > began + 0.3)  # type: ignore[misc]
    assert connection._socket.unsent
    assert connection.open
    line.undeafen()
    assert await line.frame() == {"type": "response.create"}
    await soon(writing)


@pytest.mark.parametrize("whole", [True, False])
async def test_what_was_written_wholly_may_have_run(rig: Rig, whole: bool) -> None:  # noqa: FBT001
    """A line lost behind a whole create is told to the waiting turn; before its end, to the one that writes."""
    connection, line = await known(rig)
    lease = lease_of(connection)
    if whole:
        await soon(lease.send(CREATE, None, None))
        line.abort()
        assert (await lost(lease)).fault is Fault.LINE_LOST
        return
    line.deafen()
    writing = rig.tasks.start(refused(lease, LARGE), "writing")
    await until(lambda: connection._socket.unsent)
    line.abort()
    assert (await soon(writing)).fault is Fault.LINE_LOST


async def test_the_hurry_ends_with_the_first_event(rig: Rig) -> None:
    """Once the host has spoken the network may be away for longer, and a thinking model is not doubted."""
    connection, line = await known(rig)
    assert kernel_seconds(connection) == 20.0
    lease = await send(connection)
    assert kernel_seconds(connection) == 3.0
    await line.send(created())
    await types(lease, 1)
    assert kernel_seconds(connection) == 20.0


async def test_the_hurry_ends_by_itself(rig: Rig) -> None:
    """A create that has arrived is waited for in peace, however long the model is silent."""
    connection, _ = await known(rig, HURRIED)
    await send(connection)
    assert kernel_seconds(connection) == 0.2
    await until(lambda: kernel_seconds(connection) == 20.0)
    assert connection.open


async def test_a_turn_that_can_go_no_other_way_is_not_hurried(rig: Rig) -> None:
    """What must not run again is lost with its line: the network may be away for as long as ever."""
    connection, _ = await known(rig)
    await soon(lease_of(connection).send(CREATE, None, None, math.inf))
    assert kernel_seconds(connection) == 20.0


async def test_others_turns_are_not_hurried(rig: Rig) -> None:
    """A line that others are answered on is as patient as before."""
    connection, line = await known(rig, named=True)
    one = await send(connection)
    await line.send(created("resp_2", stream_id=str(one.named)))
    await types(one, 1)
    await send(connection)
    assert kernel_seconds(connection) == 20.0


async def test_of_others_creates_nothing_is_known(rig: Rig) -> None:
    """Where another create was begun behind it, the one before may have been written to its end."""
    connection, line = await known(rig, Limits(pong_seconds=60.0), named=True)
    one = await send(connection)
    await line.send(created("resp_2", stream_id=str(one.named)))
    await types(one, 1)
    line.deafen()
    first, second = lease_of(connection), lease_of(connection)
    before = rig.tasks.start(first.send(LARGE, None, None), "first")
    await until(lambda: connection._socket.unsent)
    behind = rig.tasks.start(refused(second, CREATE), "second")
    await until(lambda: connection._delivery._begun == 4)
    line.abort()
    assert (await soon(behind)).fault is Fault.LINE_LOST
    await soon(before)
    assert (await lost(first)).fault is Fault.LINE_LOST


async def test_a_stuck_create_is_not_waited_for_at_the_end(rig: Rig) -> None:
    """A caller who hangs up in mid-upload ends it: nothing of it runs, and nothing lingers."""
    connection, line = await known(rig, Limits(pong_seconds=60.0))
    line.deafen()
    lease = lease_of(connection)
    writing = rig.tasks.start(lease.send(LARGE, None, None), "writing")
    await until(lambda: connection._socket.unsent)
    writing.cancel()
    await over(writing)
    connection.release(lease)
    assert connection._socket.transport.is_closing()
    await soon(rig.tasks.finish(LIMIT))
    assert not len(rig.tasks)


class Kernel:
    """A transport and its socket, as far as limits go: for platforms that are not here."""

    paused = False

    def __init__(self) -> None:
        self.transport = self
        self.options: list[tuple[int, int, int]] = []
        self.closing = False

    def get_extra_info(self, name: str) -> "Kernel":
        """The socket."""
        assert name == "socket"
        return self

    def is_closing(self) -> bool:
        """As transports say."""
        return self.closing

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """As sockets do."""
        self.options.append((level, option, value))


async def test_where_the_kernel_counts_otherwise() -> None:
    """On macOS the limit is in whole seconds, and at least one of them."""
    kernel = Kernel()
    delivery = Delivery(cast("Socket", kernel), 3.0, platform="darwin")
    delivery.begin(0.2, alone=True)
    delivery.relax()
    assert kernel.options == [(socket.IPPROTO_TCP, 0x80, seconds) for seconds in (20, 1, 20)]


class Deaf(Kernel):
    """A kernel that takes no limit: macOS does not of a socket whose other end has gone."""

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """As macOS says it."""
        super().setsockopt(level, option, value)
        raise OSError(errno.EINVAL, "Invalid argument")


async def test_a_limit_that_the_kernel_does_not_take() -> None:
    """It is done without: the line's end is the reader's to tell, and no turn's fault."""
    kernel = Deaf()
    delivery = Delivery(cast("Socket", kernel), 3.0, platform="darwin")
    delivery.begin(0.2, alone=True)
    delivery.relax()
    assert len(kernel.options) == 3


async def test_a_closed_socket_is_left_alone() -> None:
    """Its descriptor may be another's by now."""
    kernel = Kernel()
    delivery = Delivery(cast("Socket", kernel), 3.0, platform="darwin")
    kernel.closing = True
    delivery.begin(0.2, alone=True)
    assert len(kernel.options) == 1
