"""Claims: a head is continued on its own connection, and nowhere else, however many others there are."""

import pytest

from proxy.config import Pool as Limits
from proxy.core.heads import Head
from proxy.core.lane import State
from proxy.core.reasons import Whole
from proxy.upstream.lease import Lease
from tests.upstream.peer import Line, Peer, created, said, until
from tests.upstream.test_pool import CREATE, Rig

pytestmark = pytest.mark.usefixtures("nothing_left")


async def began(lease: Lease, line: Line, name: str, parent: Head | None = None) -> None:
    """A turn's create is written, and its first event is there."""
    await lease.send(CREATE, None, parent)
    await line.send(created(name, stream_id=lease.named or ""))
    await lease.batch(5.0)


async def spoken(rig: Rig, line: Line, lease: Lease, name: str) -> Head:
    """A turn that has begun comes to its end; its head."""
    await line.send(*said(name, stream_id=lease.named or "")[1:])
    await until(lambda: lease.lane.state is State.IDLE)
    head = Head(name, (name.encode(),), rig.key().digest, lease.lane, stored=False)
    assert lease.commit(head)
    rig.heads.add(head)
    rig.pool.give_back(lease)
    return head


async def two(rig: Rig, peer: Peer) -> list[tuple[Line, Head]]:
    """Two connections of one caller on a host with lanes, each with a conversation and room for more."""
    leases = [(await rig.lease(), await peer.line()) for _ in range(2)]
    for number, (lease, line) in enumerate(leases):
        await began(lease, line, f"resp_{number}")
    return [(line, await spoken(rig, line, lease, f"resp_{n}")) for n, (lease, line) in enumerate(leases)]


@pytest.mark.parametrize("which", [0, 1])
async def test_a_fork_stays_on_its_parents_connection(which: int, peer: Peer) -> None:
    """Only there does the host hold the parent: the other connection has room too, and is not taken."""
    async with Rig(peer, Limits(), lanes="on") as rig:
        line, head = (await two(rig, peer))[which]
        child = rig.pool.claim(head, fork=False)
        assert child is not None
        assert child.lane is head.place
        await began(child, line, "resp_c", head)
        sibling = rig.pool.claim(head, fork=True)
        assert sibling is not None
        assert sibling.lane.connection == head.place.connection
        assert sibling.named != child.named
        rig.pool.give_back(sibling)
        await spoken(rig, line, child, "resp_c")


@pytest.mark.parametrize("fork", [False, True])
async def test_a_head_whose_connection_is_gone_is_claimed_nowhere(peer: Peer, *, fork: bool) -> None:
    """Another connection of the same caller is no substitute."""
    async with Rig(peer, Limits(), lanes="on") as rig:
        (line, head), _ = await two(rig, peer)
        line.abort()
        await until(lambda: rig.pool.open_connections == 1)
        assert rig.pool.claim(head, fork=fork) is None
        assert rig.grave(head) is Whole.CONNECTION_LOST
