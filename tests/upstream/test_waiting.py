"""Many turns that wait for a connection: what each return costs the others."""

import asyncio

from proxy.config import Pool as Limits
from proxy.upstream.pool import Pool
from tests.turns.wiring import Wiring, on
from tests.upstream.peer import Peer, patience, soon

MANY = 50


class Counted(Pool):
    """Counts how often it looks through its connections."""

    looks = 0

    def sweep(self) -> None:
        """Look, and note it."""
        self.looks += 1
        super().sweep()


async def test_what_comes_free_is_looked_for_once() -> None:
    """However many of one caller's turns wait: to look again for each would hold up everybody's events."""
    limits = Limits(max_connections=1, max_connections_per_key=1, wait_seconds=60.0)
    async with Peer() as peer, Wiring(on(peer.base, pool=limits)) as wiring:
        wiring.pool.__class__ = Counted
        pool, key = wiring.pool, wiring.turn().key
        assert isinstance(pool, Counted)
        held = await soon(pool.lease(key, patience()))
        waiting = [wiring.tasks.start(pool.lease(key, patience()), f"waiter {number}") for number in range(MANY)]
        while pool.status().waiting < MANY:  # noqa: ASYNC110 - each needs one turn of the loop
            await asyncio.sleep(0)
        pool.looks = 0
        pool.give_back(held)
        assert pool.looks <= 3  # one line is free: the first gets it, for the second there is none
        pool.give_back(await soon(waiting[0]))
        pool.give_back(await soon(waiting[1]))
