"""The imagined pool: it chooses, rotates and gives up as the real one, within the same bounds."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from proxy.config import Pool as Limits
from proxy.config import Settings, Upstream
from proxy.core.continuation import Delta, Full
from proxy.core.events import Event, Kind
from proxy.core.heads import Found, Head, Heads
from proxy.core.lane import State
from proxy.core.lanes import MOST_NAMED
from proxy.core.reasons import Whole
from proxy.turns.imagined import ImaginedHost, ImaginedPool, arrive
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.lease import Lease

A, B = b"a" * 16, b"b" * 16
_COMPLETED = Event("response.completed", Kind.COMPLETED, b"")
_BEGUN = Event("response.created", Kind.NAMES_CHAIN, b"")
_ERROR = Event("error", Kind.ERROR, b"")


@dataclass
class World:
    """A pool, and what it is made of."""

    lanes: Literal["on", "off"] = "off"
    limits: Limits = field(default_factory=Limits)
    now: float = 0.0

    def __post_init__(self) -> None:
        settings = Settings(pool=self.limits, upstream=Upstream(lanes=self.lanes, age_limit_seconds=1_000.0))
        self.heads = Heads(most=1_000, max_age=10_000.0, clock=lambda: self.now)
        host = Host(capabilities(settings.upstream), recheck_seconds=1.0, clock=lambda: self.now)
        self.pool = ImaginedPool(settings, host, self.heads, lambda: self.now)

    def begin(self, *, key: bytes = A, head: Head | None = None, fork: bool = False) -> Lease:
        """A turn begins: in full, or as a continuation."""
        self.pool.sweep()
        lease = self.pool.lease(key, Delta(head, 1, fork) if head else Full(Whole.FIRST))
        assert lease
        lease.continuing = head
        lease.begin()
        return lease

    def complete(self, lease: Lease, name: bytes, *, stored: bool = False) -> Head:
        """It ends well, and can be continued."""
        lease.lane.take(_COMPLETED)
        head = Head("resp_1", (name,), A, lease.lane, stored)
        assert lease.commit(head)
        self.heads.add(head)
        self.pool.give_back(lease)
        return head

    def said(self, name: bytes, *, key: bytes = A) -> Head:
        """A whole first turn."""
        return self.complete(self.begin(key=key), name)

    def reason(self, name: bytes) -> Whole:
        """Why nothing is continued from there."""
        found = self.heads.find([b"", name, b""])
        assert isinstance(found, Whole)
        return found


def test_a_lane_holds_what_it_said_last() -> None:
    """Until the next turn on it: then its head is dead."""
    world = World()
    head = world.said(b"1")
    assert head.place.holds(head)
    lease = world.begin(head=head)
    assert (lease.lane, lease.dead, head.place.holds(head)) == (head.place, head, False)


def test_conversations_side_by_side_have_connections_of_their_own() -> None:
    """Without lanes; and each goes on where it is."""
    world = World()
    one, other = world.said(b"1"), world.said(b"2")
    assert (len(world.pool), one.place.holds(one), other.place.holds(other)) == (2, True, True)
    assert world.begin(head=one).lane is one.place
    assert world.begin(head=other).lane is other.place


def test_with_lanes_they_share_one() -> None:
    """As many as it may name where it is the only one, and named as the real ones are."""
    world = World("on", Limits(max_connections_per_key=1))
    heads = [world.said(b"%d" % number) for number in range(MOST_NAMED)]
    assert (len(world.pool), all(head.place.holds(head) for head in heads)) == (1, True)
    assert world.begin().named == "l1"
    assert len(world.pool) == 1


def test_with_lanes_conversations_are_spread_before_one_is_crowded() -> None:
    """Each shall find room when all speak at once: thirteen to a connection, as the real pool does it."""
    world = World("on")
    heads = [world.said(b"%d" % number) for number in range(100)]
    assert (len(world.pool), all(head.place.holds(head) for head in heads)) == (8, True)


def test_a_lane_that_remembers_nothing_is_used_again() -> None:
    """A turn that came to nothing leaves its connection behind."""
    world = World()
    lease = world.begin()
    lease.lane.take(_ERROR)
    world.pool.give_back(lease)
    assert (world.begin().lane, len(world.pool)) == (lease.lane, 1)


@pytest.mark.parametrize(("lanes", "forks"), [("on", True), ("off", False)])
def test_a_sibling_forks_where_there_are_lanes(lanes: Literal["on", "off"], *, forks: bool) -> None:
    """While the first child is in flight; without lanes there is nothing to fork on."""
    world = World(lanes)
    head = world.said(b"1")
    child = world.begin(head=head)
    assert child.lane.lends(head) == forks
    if forks:
        fork = world.begin(head=head, fork=True)
        assert (fork.lane is child.lane, fork.dead, len(world.pool)) == (False, None, 1)


def test_what_nears_the_age_limit_is_rotated() -> None:
    """At once where it is idle; a running turn goes on to its end, and takes its head along."""
    world = World()
    idle, running = world.said(b"1"), world.begin()
    world.now = 779.0  # of 1,000 s, less 1.1 times a fifth
    world.pool.sweep()
    assert idle.place.holds(idle)
    world.now = 780.0
    world.pool.sweep()
    assert (idle.place.holds(idle), world.reason(b"1"), len(world.pool)) == (False, Whole.ROTATED, 1)
    head = world.complete(running, b"2")
    assert (head.place.holds(head), world.reason(b"2"), len(world.pool)) == (False, Whole.ROTATED, 0)


def test_a_stored_head_outlives_its_connection() -> None:
    """It is continued on another."""
    world = World()
    head = world.complete(world.begin(), b"1", stored=True)
    world.now = 780.0
    world.pool.sweep()
    assert isinstance(world.heads.find([b"", b"1", b""]), Found)
    lease = world.begin(head=head)
    assert (lease.lane is head.place, lease.dead, len(world.pool)) == (False, None, 1)


def test_there_are_no_more_connections_than_allowed() -> None:
    """One key gives up its oldest conversation, several the oldest connection; where all are busy, none is had."""
    world = World(limits=Limits(max_connections=3, max_connections_per_key=2))
    first, second = world.said(b"1"), world.said(b"2")
    world.now = 1.0
    lease = world.begin()
    assert (lease.dead, second.place.holds(second), len(world.pool)) == (first, True, 2)
    world.complete(lease, b"3")
    for last in (world.said(b"4", key=B), world.said(b"5", key=B)):
        assert last.place.holds(last)
    assert (second.place.holds(second), world.reason(b"2"), len(world.pool)) == (False, Whole.EVICTED, 3)
    taken = [world.begin(), world.begin(key=B), world.begin(key=B)]
    assert world.pool.lease(A, Full(Whole.FIRST)) is None
    world.pool.give_back(taken[0])
    assert world.pool.lease(A, Full(Whole.FIRST))


@pytest.mark.parametrize("begun", [False, True])
def test_an_abandoned_answer_closes_a_lone_connection(*, begun: bool) -> None:
    """With lanes the others on it stay."""
    for lanes, left in (("off", 0), ("on", 1)):
        world = World("on" if lanes == "on" else "off")
        lease = world.begin()
        if begun:
            lease.lane.take(_BEGUN)
        world.pool.give_back(lease)
        assert len(world.pool) == left
        world.said(b"1")
        assert len(world.pool) == 1


@pytest.mark.parametrize("answer", [[_COMPLETED], [_BEGUN, _COMPLETED], [_ERROR]])
def test_behind_an_error_a_lane_takes_any_answer(answer: list[Event]) -> None:
    """Over HTTP nothing else can follow it."""
    world = World("on")
    for events in ([_ERROR], [_ERROR], answer):
        lease = world.begin()
        for event in events:
            arrive(lease.lane, event)
        assert lease.lane.state is State.IDLE
        world.pool.give_back(lease)
    assert len(world.pool) == 1


def test_behind_an_error_an_answer_can_be_dropped() -> None:
    """Also one of which nothing came."""
    world = World("on")
    for events in ([_ERROR], []):
        lease = world.begin()
        for event in events:
            arrive(lease.lane, event)
        world.pool.give_back(lease)
        assert (lease.lane.state, lease.lane.idle, len(world.pool)) == (State.IDLE, True, 1)


def test_an_error_in_mid_answer_closes_the_connection() -> None:
    """As behind such an error some hosts say more."""
    world = World("on")
    head = world.said(b"1")
    lease = world.begin()
    lease.lane.take(_BEGUN)
    lease.lane.take(_ERROR)
    world.pool.give_back(lease)
    assert (head.place.holds(head), len(world.pool)) == (False, 0)


def test_lanes_are_those_that_the_host_has_now() -> None:
    """What is learned in mode on counts for what is imagined next."""
    settings = Settings(upstream=Upstream(lanes="on"))
    host = Host(capabilities(settings.upstream), recheck_seconds=1.0, clock=lambda: 0.0)
    pool = ImaginedPool(settings, host, Heads(most=1, max_age=1.0, clock=lambda: 0.0), lambda: 0.0)
    lease = pool.lease(A, Full(Whole.FIRST))
    assert lease
    assert lease.named == "l1"
    host.refused_lanes()
    lease = pool.lease(B, Full(Whole.FIRST))
    assert lease
    assert lease.named is None


@pytest.mark.parametrize(("verifies", "verified"), [("yes", True), ("no", False), ("auto", True)])
def test_a_host_that_was_not_asked_is_taken_to_verify(
    verifies: Literal["yes", "no", "auto"], *, verified: bool
) -> None:
    """Only one that is known not to would get no deltas."""
    known = capabilities(Upstream(url="http://127.0.0.1:1/v1", verifies_ids=verifies))
    real = Host(known, recheck_seconds=1.0, clock=lambda: 0.0)
    assert ImaginedHost(real, lambda: 0.0).trust(b"m").verified is verified


def test_suspicion_goes_one_way() -> None:
    """A host that lost context in earnest is not trusted here; what seems so here says nothing in earnest."""
    real = Host(capabilities(Upstream()), recheck_seconds=1.0, clock=lambda: 0.0)
    one, other = ImaginedHost(real, lambda: 0.0), ImaginedHost(real, lambda: 0.0)
    one.suspected()
    assert (one.suspect, real.suspect, other.suspect) == (True, False, False)
    real.suspected()
    assert other.trust(b"m").suspect
