"""The status of a pool, over real sockets."""

import asyncio

import msgspec
import pytest

from proxy.config import Pool
from proxy.core.lane import Verdict
from proxy.core.reasons import Whole
from proxy.errors import TurnFault
from proxy.upstream.status import BreakerStatus, HostStatus, PoolStatus, SocketStatus
from tests.turns.wiring import Wiring, on
from tests.upstream.peer import Peer, patience, refusal, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_sockets_are_counted_by_what_they_do(peer: Peer) -> None:
    """Idle, busy, retiring, coming; and the turns that wait."""
    pool = Pool(max_connections=3, max_connections_per_key=3, wait_seconds=60.0)
    async with Wiring(on(peer.base, pool=pool)) as wiring:
        assert wiring.pool.status().sockets == SocketStatus(0, 0, 0, 0)
        leases = [await soon(wiring.pool.lease(wiring.turn().key, patience())) for _ in range(2)]
        wiring.pool.give_back(leases[0])
        assert wiring.pool.status().sockets == SocketStatus(idle=1, busy=1, retiring=0, coming=0)
        wiring.pool._numbered[leases[1].lane.connection].retire(Whole.ROTATED)
        assert wiring.pool.status().sockets == SocketStatus(idle=1, busy=0, retiring=1, coming=0)
        peer.gate = asyncio.Event()
        third = [wiring.tasks.start(wiring.pool.lease(wiring.turn().key, patience()), "leasing") for _ in range(3)]
        await until(lambda: wiring.pool.status().waiting == 1)
        assert wiring.pool.status().sockets == SocketStatus(idle=0, busy=1, retiring=1, coming=1)
        peer.gate.set()
        while third:
            done, _ = await asyncio.wait(third, return_when=asyncio.FIRST_COMPLETED)
            task = done.pop()
            third.remove(task)
            wiring.pool.give_back(task.result())
        wiring.pool.give_back(leases[1])


async def test_the_breaker_and_the_host_are_shown(peer: Peer) -> None:
    """An open breaker with its seconds, and what was learned of the host; numbers and words alone."""
    async with Wiring(on(peer.base, verifies_ids="auto", pool=Pool(breaker_failures=1))) as wiring:
        new = HostStatus(websocket=True, verifies_ids="unknown", lanes=False, suspect=False)
        assert wiring.pool.status() == PoolStatus(SocketStatus(0, 0, 0, 0), 0, BreakerStatus(0, 0, 0.0), new)
        peer.refusals.append(refusal(500))
        with pytest.raises(TurnFault):
            await soon(wiring.pool.lease(wiring.turn(key="sk-secret").key, patience()))
        wiring.host.asked(b"", Verdict.ACCEPTED)
        wiring.host.suspected()
        wiring.host.refused_websocket()
        status = wiring.pool.status()
        assert (status.breakers.open, status.breakers.half_open) == (1, 0)
        assert 0.0 < status.breakers.seconds_left <= 30.0
        assert status.host == HostStatus(websocket=False, verifies_ids="no", lanes=False, suspect=True)
        assert "secret" not in msgspec.json.encode(status).decode()
