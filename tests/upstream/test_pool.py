"""The pool's promises, against real sockets."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import pytest

from proxy.config import Pool as Limits
from proxy.config import Settings, Timeouts, Upstream
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Found, Head, Heads
from proxy.core.lane import State as LaneState
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import IDENTITY, Address, PoolKey, pool_key
from proxy.upstream.breaker import State
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.connection import Connection
from proxy.upstream.dial import dialler
from proxy.upstream.lease import Lease
from proxy.upstream.pool import Pool
from proxy.upstream.way import way_upstream
from tests.upstream.peer import LIMIT, Line, Peer, created, event, failure, over, patience, refusal, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
CREATE = b'{"type":"response.create"}'


@dataclass
class Rig:
    """A peer and a pool on it."""

    peer: Peer
    limits: Limits
    age: float = 0.0
    lanes: Literal["on", "off"] = "off"
    dial_seconds: float = 5.0
    tasks: Tasks = field(default_factory=Tasks)
    heads: Heads = field(default_factory=lambda: Heads(most=100, max_age=1_000, clock=lambda: 0.0))

    def __post_init__(self) -> None:
        """Wire it as the composition root does."""
        settings = Settings(
            upstream=Upstream(url=self.peer.base, age_limit_seconds=self.age, lanes=self.lanes),
            timeouts=Timeouts(dial_seconds=self.dial_seconds),
            pool=self.limits,
        )
        self.address = Address(settings.upstream.url)
        self.host = Host(capabilities(settings.upstream), recheck_seconds=1_000, clock=lambda: 0.0)
        self.pool = Pool(settings, self.host, dialler(settings, way_upstream(settings, {})), self.heads)

    async def __aenter__(self) -> "Rig":
        """Nothing to start."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """End what the test began, then the pool, which must hold no dial that is under way any more."""
        await soon(self.tasks.close())
        assert self.pool._coming.total() == 0
        assert not self.pool._waiting
        await soon(self.pool.close())
        assert self.pool.open_connections == 0

    def key(self, name: str = "a", headers: tuple[tuple[str, str], ...] = ()) -> PoolKey:
        """The pool key of one caller."""
        return pool_key(
            self.address, [("Authorization", f"Bearer {name}"), *headers], ["x-tenant"], "", Fingerprints(b"k" * 32)
        )

    async def lease(self, name: str = "a") -> Lease:
        """A lease, at once."""
        return await soon(self.pool.lease(self.key(name), patience()))

    def leasing(self, name: str = "a") -> "asyncio.Task[Lease]":
        """A lease, beside the test."""
        return self.tasks.start(self.pool.lease(self.key(name), patience()), "leasing")

    def of(self, lease: Lease) -> Connection:
        """The connection that a lease is on."""
        return self.pool._numbered[lease.lane.connection]

    async def waiting(self, count: int) -> None:
        """Let `count` leases come to wait."""
        await until(lambda: len(self.pool._waiting) == count)

    async def turn(self, lease: Lease, line: Line) -> Head:
        """One whole turn; its head."""
        key = self.of(lease).key.digest
        await lease.send(CREATE, None, None)
        await line.send(*said())
        seen = 0
        while seen < 4:
            seen += len(await lease.batch(LIMIT))
        head = Head("resp_1", (key,), key, lease.lane, stored=False)
        assert lease.commit(head)
        self.heads.add(head)
        self.pool.give_back(lease)
        return head

    def grave(self, head: Head) -> Whole | Found:
        """What a turn is told that would have continued `head`."""
        return self.heads.find([b"scope", *head.fingerprints, b"new"])


async def fault_of(leasing: "asyncio.Task[Lease]") -> Fault:
    """The fault that a lease ends with."""
    with pytest.raises(TurnFault) as caught:
        await soon(leasing)
    return caught.value.fault


ONE = Limits(max_connections=1, max_connections_per_key=1, wait_seconds=LIMIT)


async def test_a_spare_connection_serves_the_next_turn(peer: Peer) -> None:
    """A connection given back without a conversation is used again; no second dial is made."""
    async with Rig(peer, Limits()) as rig:
        first = await rig.lease()
        rig.pool.give_back(first)
        assert (await rig.lease()).lane is first.lane
        assert len(peer.upgrades) == rig.pool.open_connections == 1


async def test_one_response_in_flight_per_connection(peer: Peer) -> None:
    """Turns at the same time get connections of their own, up to the limit; none waits behind another's."""
    async with Rig(peer, Limits()) as rig:
        leased = await soon(asyncio.gather(*(rig.pool.lease(rig.key(), patience()) for _ in range(8))))
        assert len({lease.lane.connection for lease in leased}) == 8


async def test_a_conversation_keeps_its_connection(peer: Peer) -> None:
    """A connection with a conversation is left alone while a new one may be dialled; its head claims it, once."""
    async with Rig(peer, Limits()) as rig:
        first = await rig.lease()
        head = await rig.turn(first, await peer.line())
        assert (await rig.lease()).lane is not first.lane
        again = rig.pool.claim(head, fork=False)
        assert again is not None
        assert again.lane is first.lane
        assert rig.pool.claim(head, fork=False) is None


async def test_at_the_limit_the_oldest_conversation_is_given_up(peer: Peer) -> None:
    """Where no more sockets are allowed, the least recently used idle one is reused in full."""
    async with Rig(peer, Limits(max_connections_per_key=2)) as rig:
        old, new = [(await rig.lease(), await peer.line()) for _ in range(2)]
        heads = [await rig.turn(*old), await rig.turn(*new)]
        assert (await rig.lease()).lane is old[0].lane
        assert rig.pool.claim(heads[0], fork=False) is None
        assert rig.pool.claim(heads[1], fork=False) is not None


async def test_another_keys_oldest_idle_connection_makes_room(peer: Peer) -> None:
    """At the limit of all, another key's oldest idle socket is closed, and its head is told why."""
    async with Rig(peer, Limits(max_connections=2)) as rig:
        first, second = [(await rig.lease("a"), await peer.line()) for _ in range(2)]
        old, new = await rig.turn(*first), await rig.turn(*second)
        rig.heads.bury(new, Whole.EVICTED)  # both are the same history: only the other one's fate is looked at
        mine = await rig.lease("b")
        assert rig.of(mine).key.digest == rig.key("b").digest
        assert rig.pool.open_connections == 2
        assert await first[1].closed() == 1000
        assert rig.grave(old) is Whole.EVICTED
        assert rig.pool.claim(old, fork=False) is None
        assert second[1].socket.close_code is None


async def test_a_wait_is_bounded(peer: Peer) -> None:
    """Where every connection is busy, a turn waits wait_seconds and no longer; the busy one is not disturbed."""
    async with Rig(peer, Limits(max_connections=1, wait_seconds=0.02)) as rig:
        busy = await rig.lease()
        assert await fault_of(rig.leasing()) is Fault.POOL_FULL
        assert await fault_of(rig.leasing("b")) is Fault.POOL_FULL
        assert rig.of(busy).open
        assert busy.lane.leased


async def test_no_wait_at_all(peer: Peer) -> None:
    """wait_seconds = 0 means at once."""
    async with Rig(peer, Limits(max_connections=1, wait_seconds=0.0)) as rig:
        await rig.lease()
        assert await fault_of(rig.leasing()) is Fault.POOL_FULL


async def test_first_come_first_served(peer: Peer) -> None:
    """Those who wait get the connection in the order in which they came."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        waiting = []
        for count in range(1, 4):
            waiting.append(rig.leasing())
            await rig.waiting(count)
        for number, task in enumerate(waiting):
            rig.pool.give_back(lease)
            lease = await soon(task)
            assert not any(later.done() for later in waiting[number + 1 :])


async def test_a_newcomer_does_not_overtake(peer: Peer) -> None:
    """A turn that comes just as a connection is freed does not get it before those who wait."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        newcomer = rig.leasing()
        await rig.waiting(1)
        rig.pool.give_back(lease)
        late = rig.leasing()
        assert (await soon(newcomer)).lane is lease.lane
        await rig.waiting(1)
        assert not late.done()


async def test_a_waiter_who_cannot_use_it_stops_nobody(peer: Peer) -> None:
    """What is freed goes to the first who may have it, not to the first."""
    limits = Limits(max_connections=2, max_connections_per_key=1, wait_seconds=LIMIT)
    async with Rig(peer, limits) as rig:
        mine, others = await rig.lease("a"), await rig.lease("b")
        second_of_a = rig.leasing("a")
        await rig.waiting(1)
        second_of_b = rig.leasing("b")
        await rig.waiting(2)
        rig.pool.give_back(others)
        assert (await soon(second_of_b)).lane is others.lane
        assert not second_of_a.done()
        rig.pool.give_back(mine)
        assert (await soon(second_of_a)).lane is mine.lane


async def test_a_lost_connection_makes_room_for_a_waiter(peer: Peer) -> None:
    """When a busy socket dies, the first who waits may dial."""
    async with Rig(peer, ONE) as rig:
        lost = await rig.lease()
        line = await peer.line()
        waiting = rig.leasing("b")
        await rig.waiting(1)
        line.abort()
        assert (await soon(waiting)).lane is not lost.lane
        assert rig.pool.open_connections == 1


async def test_a_cancelled_waiter_loses_nothing(peer: Peer) -> None:
    """A waiter who leaves is skipped."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        leaves = rig.leasing()
        await rig.waiting(1)
        stays = rig.leasing()
        await rig.waiting(2)
        leaves.cancel()
        await over(leaves)
        rig.pool.give_back(lease)
        assert (await soon(stays)).lane is lease.lane


async def test_a_waiter_who_has_just_left_is_not_served(peer: Peer) -> None:
    """What is freed in the moment in which a waiter leaves goes to the next one."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        leaves = rig.leasing()
        await rig.waiting(1)
        stays = rig.leasing()
        await rig.waiting(2)
        leaves.cancel()
        rig.pool.give_back(lease)
        assert (await soon(stays)).lane is lease.lane
        assert leaves.cancelled()


async def test_served_at_the_last_moment_is_served(peer: Peer) -> None:
    """A lane that is handed over in the moment in which the wait ends is used, not lost."""
    async with Rig(peer, Limits(max_connections=1, wait_seconds=0.05)) as rig:
        loop = asyncio.get_running_loop()
        lease = await rig.lease()
        began = loop.time()
        waiting = rig.leasing()
        await rig.waiting(1)
        loop.call_at(began + 0.045, rig.pool.give_back, lease)
        while loop.time() < began + 0.1:
            pass  # both moments pass before the loop can look: then they come in their order, one right after the other
        assert (await soon(waiting)).lane is lease.lane


async def test_a_waiter_cancelled_just_as_it_is_served_passes_it_on(peer: Peer) -> None:
    """A connection handed to a waiter who leaves in the same moment goes to the next one."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        leaves = rig.leasing()
        await rig.waiting(1)
        stays = rig.leasing()
        await rig.waiting(2)
        rig.pool.give_back(lease)
        leaves.cancel()
        await over(leaves)
        assert leaves.cancelled()
        assert (await soon(stays)).lane is lease.lane


async def test_a_lone_waiter_cancelled_as_it_is_served_frees_the_connection(peer: Peer) -> None:
    """A connection handed to a waiter who leaves in the same moment is idle again if nobody else waits."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        leaves = rig.leasing()
        await rig.waiting(1)
        rig.pool.give_back(lease)
        leaves.cancel()
        await over(leaves)
        assert not lease.lane.leased
        assert (await rig.lease()).lane is lease.lane


async def test_a_waiter_cancelled_just_as_it_may_dial_passes_that_on(peer: Peer) -> None:
    """Room for a dial that was promised to a waiter who leaves in the same moment goes to the next one."""
    async with Rig(peer, ONE) as rig:
        lease = await rig.lease()
        await peer.line()
        leaves = rig.leasing("b")
        await rig.waiting(1)
        stays = rig.leasing("c")
        await rig.waiting(2)
        rig.of(lease).close(Whole.EVICTED)
        leaves.cancel()
        await over(leaves)
        assert rig.of(await soon(stays)).key.digest == rig.key("c").digest


async def test_a_cancelled_dial_wakes_the_next(peer: Peer) -> None:
    """A turn cancelled while it dials gives its place to the first who waits."""
    async with Rig(peer, ONE) as rig:
        peer.gate = asyncio.Event()
        dialling = rig.leasing()
        await until(lambda: len(peer.upgrades) == 1)
        waiting = rig.leasing()
        await rig.waiting(1)
        dialling.cancel()
        await over(dialling)
        peer.gate.set()
        assert rig.of(await soon(waiting)).open
        assert rig.pool.open_connections == 1


async def test_a_failed_dial_wakes_the_next(peer: Peer) -> None:
    """A dial that fails is its own turn's fault alone: the next one tries."""
    async with Rig(peer, ONE) as rig:
        peer.gate = asyncio.Event()
        peer.refusals.append(refusal(500))
        dialling = rig.leasing()
        await until(lambda: len(peer.upgrades) == 1)
        waiting = rig.leasing()
        await rig.waiting(1)
        peer.gate.set()
        assert await fault_of(dialling) is Fault.DIAL_FAILED
        assert rig.of(await soon(waiting)).open


async def test_dials_under_way_count(peer: Peer) -> None:
    """Turns that come while others dial do not exceed the limits together."""
    async with Rig(peer, Limits(max_connections=3, max_connections_per_key=2, wait_seconds=LIMIT)) as rig:
        peer.gate = asyncio.Event()
        leases = [rig.leasing(name) for name in "aaabbb"]
        await rig.waiting(3)
        peer.gate.set()
        await until(lambda: sum(lease.done() for lease in leases) == 3)
        assert rig.pool.open_connections == len(peer.upgrades) == 3
        assert len(rig.pool._waiting) == 3


@pytest.mark.parametrize("name", [*IDENTITY, "x-tenant"])
async def test_nothing_crosses_pool_keys(peer: Peer, name: str) -> None:
    """Callers who differ in any identity header share no connection, however equal the rest."""
    async with Rig(peer, Limits()) as rig:
        one, other = (rig.key(headers=((name, value),)) for value in ("1", "2"))
        first = await soon(rig.pool.lease(one, patience()))
        await rig.turn(first, await peer.line())
        second = await soon(rig.pool.lease(other, patience()))
        assert second.lane.connection != first.lane.connection
        assert rig.of(second).key == other
        assert (await peer.line()).asked.get_all(name)[0] == "2"


async def test_a_spare_connection_of_another_key_is_not_used(peer: Peer) -> None:
    """At the limit a stranger's idle socket is closed, never taken over."""
    async with Rig(peer, ONE) as rig:
        theirs = await rig.lease("a")
        line = await peer.line()
        rig.pool.give_back(theirs)
        mine = await rig.lease("b")
        assert mine.lane is not theirs.lane
        await line.closed()
        assert (await peer.line()).asked["authorization"] == "Bearer b"


async def test_a_closed_idle_socket_leaves_the_pool(peer: Peer) -> None:
    """Its head is dead at once, the next turn is told why, and dials anew."""
    async with Rig(peer, Limits()) as rig:
        first = await rig.lease()
        line = await peer.line()
        head = await rig.turn(first, line)
        await line.close()
        await until(lambda: rig.pool.open_connections == 0)
        assert not head.place.holds(head)
        assert rig.pool.claim(head, fork=False) is None
        assert rig.grave(head) is Whole.CONNECTION_LOST
        assert (await rig.lease()).lane is not first.lane


async def test_a_stored_head_outlives_its_connection(peer: Peer) -> None:
    """A head that the host is known to store is not buried with the socket."""
    async with Rig(peer, Limits()) as rig:
        first = await rig.lease()
        head = Head("resp_1", (b"f",), rig.key().digest, first.lane, stored=True)
        assert first.commit(head)
        rig.heads.add(head)
        rig.pool.give_back(first)
        (await peer.line()).abort()
        await until(lambda: rig.pool.open_connections == 0)
        assert rig.grave(head) == Found(head, 1)


async def test_rotation_between_turns_only(peer: Peer) -> None:
    """Near the age limit a connection in use is left until its turn is over, and takes no other."""
    async with Rig(peer, Limits(), age=0.001) as rig:
        first = await rig.lease()
        line = await peer.line()
        connection = rig.of(first)
        await until(lambda: asyncio.get_running_loop().time() >= connection.expires)
        rig.pool.sweep()
        assert connection.open
        head = await rig.turn(first, line)
        assert await line.closed() == 1000
        assert rig.grave(head) is Whole.ROTATED
        assert (await rig.lease()).lane is not first.lane


async def test_an_idle_connection_is_rotated(peer: Peer) -> None:
    """A conversation that pauses past the age limit starts again on a new connection, and is told why."""
    async with Rig(peer, Limits(), age=0.2) as rig:
        first = await rig.lease()
        line = await peer.line()
        head = await rig.turn(first, line)
        connection = rig.of(first)
        await until(lambda: asyncio.get_running_loop().time() >= connection.expires)
        rig.pool.sweep()
        assert await line.closed() == 1000
        assert rig.grave(head) is Whole.ROTATED


async def test_rotation_leaves_min_remaining(peer: Peer) -> None:
    """A socket is replaced while at least min_remaining (of a long age limit) is left, spread by up to a fifth."""
    async with Rig(peer, Limits(min_remaining_seconds=10.0), age=1_000.0) as rig:
        now = asyncio.get_running_loop().time()
        expiries = {rig.of(await rig.lease()).expires - now for _ in range(5)}
        assert len(expiries) == 5
        assert all(987.9 <= expires <= 990.5 for expires in expiries)
        rig.pool.sweep()
        assert rig.pool.open_connections == 5


async def test_a_short_age_limit_leaves_most_of_it(peer: Peer) -> None:
    """min_remaining never eats up more than about a quarter of the age limit: a connection is always worth its dial."""
    async with Rig(peer, Limits(min_remaining_seconds=300.0), age=100.0) as rig:
        now = asyncio.get_running_loop().time()
        assert 75.9 <= rig.of(await rig.lease()).expires - now <= 80.5


async def test_a_limit_that_was_met_is_kept_from_then_on(peer: Peer) -> None:
    """The host closes a connection sooner than is known of it: those that are open, and later ones, go before that."""
    async with Rig(peer, Limits(min_remaining_seconds=300.0), age=3_600.0) as rig:
        first, second = await rig.lease(), await rig.lease()
        for lease in (first, second):
            rig.of(lease).opened_at -= 100.0
        line, _ = [await peer.line() for _ in range(2)]
        other = rig.of(second)
        await line.send(failure("websocket_connection_limit_reached"))
        await over(rig.tasks.start(first.batch(LIMIT), "turn"))
        assert 100.0 <= rig.host.known.age_limit_seconds < 101.0
        rig.pool.sweep()
        assert other.lanes.reason is Whole.ROTATED
        now = asyncio.get_running_loop().time()
        assert 75.9 <= rig.of(await rig.lease()).expires - now <= 82.0


async def test_the_breaker(peer: Peer) -> None:
    """After breaker_failures in a row a key dials no more for a while; another key still does; an event resets it."""
    async with Rig(peer, Limits(breaker_failures=2, breaker_seconds=0.05)) as rig:
        peer.refusals.extend(refusal(500) for _ in range(2))
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        assert await fault_of(rig.leasing()) is Fault.BREAKER_OPEN
        assert len(peer.upgrades) == 2
        assert rig.of(await rig.lease("b")).open
        breaker = rig.pool._breakers[rig.key().digest]
        await until(lambda: breaker.state is State.HALF_OPEN)
        again = await rig.lease()
        assert rig.key().digest in rig.pool._breakers  # an upgrade alone proves nothing
        await peer.line()  # that of the other key
        await rig.turn(again, await peer.line())
        assert rig.key().digest not in rig.pool._breakers


async def test_the_breaker_half_opens_for_one_dial(peer: Peer) -> None:
    """After breaker_seconds one dial tries again; where that fails too, the breaker stays open."""
    async with Rig(peer, Limits(breaker_failures=1, breaker_seconds=0.05)) as rig:
        peer.refusals.extend(refusal(500) for _ in range(5))
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        breaker = rig.pool._breakers[rig.key().digest]
        await until(lambda: breaker.state is State.HALF_OPEN)
        results = [await fault_of(lease) for lease in [rig.leasing() for _ in range(3)]]
        assert sorted(results) == sorted([Fault.DIAL_FAILED, Fault.BREAKER_OPEN, Fault.BREAKER_OPEN])
        assert len(peer.upgrades) == 2


async def test_a_trial_whose_caller_hangs_up_stops_no_other(peer: Peer) -> None:
    """He says nothing of the host: the next dial may try at once."""
    async with Rig(peer, Limits(breaker_failures=1, breaker_seconds=1_000.0)) as rig:
        peer.refusals.append(refusal(500))
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        breaker = rig.pool._breakers[rig.key().digest]
        breaker._open_until = 0.0  # as if they had passed
        trial = await rig.lease()
        await trial.send(CREATE, None, None)
        rig.pool.give_back(trial)
        assert rig.of(await rig.lease()).open


async def test_a_turn_without_time_ends_no_trial(peer: Peer) -> None:
    """A turn that cannot dial any more was let through by nobody: the trial that is under way stays the only one."""
    async with Rig(peer, Limits(breaker_failures=1, breaker_seconds=1_000.0)) as rig:
        peer.refusals.append(refusal(500))
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        rig.pool._breakers[rig.key().digest]._open_until = 0.0  # as if they had passed
        await (await rig.lease()).send(CREATE, None, None)
        late = patience()
        late.spend(1_000.0)
        with pytest.raises(TurnFault, match="no time was left"):
            await rig.pool.lease(rig.key(), late)
        assert await fault_of(rig.leasing()) is Fault.BREAKER_OPEN
        assert len(peer.upgrades) == 2


async def test_an_answer_is_no_failure_of_the_line(peer: Peer) -> None:
    """429 is an answer: it opens no breaker."""
    async with Rig(peer, Limits(breaker_failures=1)) as rig:
        peer.refusals.extend([refusal(429), refusal(429)])
        assert await fault_of(rig.leasing()) is Fault.UPGRADE_REFUSED
        assert await fault_of(rig.leasing()) is Fault.UPGRADE_REFUSED
        assert rig.of(await rig.lease()).open


async def test_a_host_without_websocket_mode_is_remembered(peer: Peer) -> None:
    """A 404 on the upgrade is noted for the host: no breaker, no more dials until it is asked again."""
    async with Rig(peer, Limits(breaker_failures=1)) as rig:
        peer.refusals.append(refusal(404))
        assert rig.host.has_websocket
        assert await fault_of(rig.leasing()) is Fault.NO_WEBSOCKET
        assert not rig.host.has_websocket


async def test_closing_the_pool_closes_every_socket(peer: Peer) -> None:
    """Busy, idle, or just opened: all of them, and their heads die."""
    async with Rig(peer, Limits()) as rig:
        idle = await rig.lease()
        lines = [await peer.line()]
        head = await rig.turn(idle, lines[0])
        busy = await rig.lease()
        lines.append(await peer.line())
        await busy.send(CREATE, None, None)
        await rig.lease()  # its reader has not run yet
        await soon(rig.pool.close())
        lines.append(await peer.line())
        assert [await line.closed() is not None for line in lines] == [True] * 3
        assert not head.place.holds(head)
        assert rig.pool.open_connections == 0


async def test_only_an_event_resets_the_breaker(peer: Peer) -> None:
    """A 429 between two failures neither counts nor resets: it shows nothing of what the sockets are worth."""
    async with Rig(peer, Limits(breaker_failures=2)) as rig:
        peer.refusals.extend([refusal(500), refusal(429), refusal(500)])
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        assert await fault_of(rig.leasing()) is Fault.UPGRADE_REFUSED
        assert await fault_of(rig.leasing()) is Fault.DIAL_FAILED
        assert await fault_of(rig.leasing()) is Fault.BREAKER_OPEN


@pytest.mark.parametrize("status", [401, 403])
async def test_an_upgrade_that_is_forbidden_feeds_the_breaker(peer: Peer, status: int) -> None:
    """Plain HTTP answers those turns; after breaker_failures of them the key does not dial in vain any more."""
    async with Rig(peer, Limits(breaker_failures=2)) as rig:
        peer.refusals.extend(refusal(status) for _ in range(2))
        assert await fault_of(rig.leasing()) is Fault.UPGRADE_FORBIDDEN
        assert await fault_of(rig.leasing()) is Fault.UPGRADE_FORBIDDEN
        assert await fault_of(rig.leasing()) is Fault.BREAKER_OPEN
        assert len(peer.upgrades) == 2


async def test_a_dial_that_ends_after_the_pool_was_closed(peer: Peer) -> None:
    """A socket that comes too late is closed, not kept."""
    async with Rig(peer, Limits()) as rig:
        peer.gate = asyncio.Event()
        late = rig.leasing()
        await until(lambda: len(peer.upgrades) == 1)
        await soon(rig.pool.close())
        peer.gate.set()
        assert await fault_of(late) is Fault.POOL_FULL
        await (await peer.line()).closed()
        assert await fault_of(rig.leasing()) is Fault.POOL_FULL


async def test_a_closing_line_is_swept_away(peer: Peer) -> None:
    """A connection whose close frame has come is neither claimed nor leased, and its head is told why."""
    async with Rig(peer, Limits()) as rig:
        first = await rig.lease()
        line = await peer.line()
        head = await rig.turn(first, line)
        connection = rig.of(first)
        line.deafen()
        line.socket.protocol.send_close(1001)
        line.socket.transport.write(b"".join(line.socket.protocol.data_to_send()))
        await until(lambda: not connection.open)
        rig.pool.sweep()
        assert rig.pool.claim(head, fork=False) is None
        assert rig.grave(head) is Whole.CONNECTION_LOST
        assert (await rig.lease()).lane is not first.lane


async def streaming(lease: Lease, line: Line, name: str, head: Head | None = None) -> None:
    """Start a turn on a named lane and let its first event come."""
    await lease.send(CREATE, None, head)
    await line.send(created(name, stream_id=lease.named or ""))
    await soon(lease.batch(LIMIT))


async def test_turns_share_a_socket_where_the_host_has_lanes(peer: Peer) -> None:
    """Once a lane was seen to work, thirteen conversations share a connection; the next gets another while it can."""
    async with Rig(peer, Limits(max_connections_per_key=2), lanes="on") as rig:
        lines = []
        for _ in range(2):
            first = await rig.lease()
            await streaming(first, await peer.line(), "resp_1")
            more = [await rig.lease() for _ in range(12)]
            assert {lease.lane.connection for lease in more} == {first.lane.connection}
            lines.append(first.lane.connection)
        rest = [(await rig.lease()).lane.connection for _ in range(6)]
        assert Counter(rest) == dict.fromkeys(lines, 3)
        rig.leasing()
        await rig.waiting(1)


async def test_a_sibling_forks_while_the_first_child_is_in_flight(peer: Peer) -> None:
    """A head in use is lent to a lane of its own on the same connection, until the first child has ended."""
    async with Rig(peer, Limits(), lanes="on") as rig:
        first = await rig.lease()
        line = await peer.line()
        await streaming(first, line, "resp_1")
        await line.send(*said(stream_id=first.named or "")[1:])
        await until(lambda: first.lane.state is LaneState.IDLE)
        head = Head("resp_1", (b"f",), rig.key().digest, first.lane, stored=False)
        assert first.commit(head)
        rig.pool.give_back(first)
        child = rig.pool.claim(head, fork=False)
        assert child is not None
        await streaming(child, line, "resp_2", head)
        assert head.place.lends(head)
        sibling = rig.pool.claim(head, fork=True)
        assert sibling is not None
        assert sibling.lane.connection == child.lane.connection
        assert sibling.named != child.named
        await line.send(*said("resp_2", stream_id=child.named or "")[1:])
        await until(lambda: child.lane.state is LaneState.IDLE)
        assert not head.place.lends(head)


async def test_room_that_appears_by_itself_serves_a_waiter(peer: Peer) -> None:
    """The first named event makes room for more turns on the socket: those who wait get it at once."""
    async with Rig(peer, ONE, lanes="on") as rig:
        first = await rig.lease()
        waiting = rig.leasing()
        await rig.waiting(1)
        await streaming(first, await peer.line(), "resp_1")
        assert (await soon(waiting)).lane.connection == first.lane.connection


async def test_a_sweep_leaves_an_answer_that_has_arrived(peer: Peer) -> None:
    """A busy line whose close frame has come, behind an answer not read yet, is left until its turn has read it."""
    async with Rig(peer, Limits()) as rig:
        lease = await rig.lease()
        line = await peer.line()
        connection = rig.of(lease)
        await lease.send(CREATE, None, None)
        await line.frame()
        line.deafen()  # it does not see our answer, and so keeps the TCP connection
        delta = event("response.output_text.delta", delta="x" * 700_000)
        for frame in (created(), delta, delta, delta, *said()[1:]):
            line.socket.protocol.send_text(frame)
        line.socket.protocol.send_close(1001)
        line.socket.transport.write(b"".join(line.socket.protocol.data_to_send()))
        await until(lambda: not connection.open)
        assert connection.fault is None  # the reader waits for the turn to take what it has
        rig.pool.sweep()
        kinds: list[str] = []
        while "response.completed" not in kinds:
            kinds += [one.type for one in await lease.batch(LIMIT) for _ in range(one.events)]
        assert len(kinds) == 7
        rig.pool.give_back(lease)


async def test_lines_that_fall_together_count_once(peer: Peer) -> None:
    """One blip that takes three lines before their first event is one failure, not three; a later line is another."""
    async with Rig(peer, Limits(breaker_failures=2)) as rig:
        leases = [await rig.lease() for _ in range(3)]
        for lease in leases:
            await lease.send(CREATE, None, None)
            (await peer.line()).abort()
        await until(lambda: rig.pool.open_connections == 0)
        assert rig.pool._breakers[rig.key().digest].failures == 1
        again = await rig.lease()
        await again.send(CREATE, None, None)
        (await peer.line()).abort()
        await until(lambda: rig.pool.open_connections == 0)
        assert await fault_of(rig.leasing()) is Fault.BREAKER_OPEN


async def test_a_line_that_brought_something_is_no_failure(peer: Peer) -> None:
    """Neither is one that Openline itself closed before anything came."""
    async with Rig(peer, Limits(breaker_failures=1)) as rig:
        await rig.turn(await rig.lease(), line := await peer.line())
        line.abort()
        await until(lambda: rig.pool.open_connections == 0)
        given_up = await rig.lease()
        await given_up.send(CREATE, None, None)
        rig.pool.give_back(given_up)
        await until(lambda: rig.pool.open_connections == 0)
        assert rig.of(await rig.lease()).open


async def test_no_dial_on_the_last_moments(peer: Peer) -> None:
    """A turn that has used up its time on the way is told so at once: a dial cut short says nothing of the host."""
    async with Rig(peer, Limits(breaker_failures=1)) as rig:
        hurried = patience()
        hurried.spend(LIMIT * 9)
        with pytest.raises(TurnFault) as caught:
            await soon(rig.pool.lease(rig.key(), hurried))
        assert caught.value.fault is Fault.POOL_FULL
        assert not peer.upgrades
        assert len(rig.pool._breakers) == 0
        assert rig.of(await rig.lease()).open
