"""Delivery over TLS, where Python's flow control differs: what was sent is sent, whatever came before it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.core.recovery import Fault
from tests.upstream.authority import certificate
from tests.upstream.peer import Peer, said, soon
from tests.upstream.rig import CREATE, Rig, lease_of, lost, send, types

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
async def secure(no_trust: Path) -> AsyncIterator[Rig]:
    """Connections over TLS."""
    context, file = certificate(no_trust)
    async with Peer(tls=context) as peer:
        one = Rig(peer, ca_file=str(file))
        yield one
        await soon(one.tasks.close())


@pytest.mark.parametrize("reads", [0, 1])
async def test_a_create_is_written_at_once(secure: Rig, reads: int) -> None:
    """However often something was read before it; a line lost behind it is told to the turn that waits."""
    connection, line = await secure.open()
    lease = await send(connection)
    assert await line.frame()
    for event in said():
        await line.send(event)
        await types(lease, 1)
    connection.release(lease)
    for _ in range(reads):  # a ping each, and what is answered to it
        await soon(await soon(line.socket.ping()))
    lease = lease_of(connection)
    await soon(lease.send(CREATE, None, None))
    assert not connection._socket.unsent
    assert await line.frame()
    line.abort()
    assert (await lost(lease)).fault is Fault.LINE_LOST
