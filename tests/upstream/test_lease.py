"""A lease: one turn's hold on one lane."""

import asyncio
from dataclasses import dataclass, field

import pytest

from proxy.core.events import Event, sniff
from proxy.core.heads import Head
from proxy.core.lane import State
from proxy.core.lanes import Lanes
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.lease import Lease
from tests.upstream.peer import LIMIT, over, patience, said, soon

CREATE = b'{"type":"response.create"}'
LOST = TurnFault(Fault.LINE_LOST, "lost")


@dataclass
class Wire:
    """A line that notes what a lease asks of it; it writes at once, as an open socket does."""

    asked: set[bytes] = field(default_factory=set)
    written: list[bytes] = field(default_factory=list)
    taken_times: int = 0
    retired: list[Whole] = field(default_factory=list)
    given_up: list[Lease] = field(default_factory=list)
    lease: Lease | None = None

    async def write(self, lease: Lease, frame: bytes, probe: bytes | None, pong_seconds: float) -> None:  # noqa: ARG002 - the protocol's shape
        """Write."""
        lease.begin()
        self.written += [probe, frame] if probe else [frame]

    def taken(self) -> None:
        """Note it."""
        self.taken_times += 1

    def retire(self, reason: Whole) -> None:
        """Note it."""
        self.retired.append(reason)

    def give_up_probe(self, lease: Lease) -> None:
        """End the lease, as a connection that closes does."""
        self.given_up.append(lease)
        lease.end(LOST)


def leased() -> tuple[Wire, Lease]:
    """A lease on a lane of its own."""
    wire, lanes = Wire(), Lanes(7, named=True, clock=float)
    lane = lanes.spare()
    assert lane is not None
    lanes.lease(lane)
    wire.lease = Lease(wire, lane)
    return wire, wire.lease


def events() -> list[Event]:
    """A whole answer."""
    return [sniff(frame) for frame in said()]


async def test_the_lane_moves_on_with_the_create() -> None:
    """The head that the lane had is dead from then on, and known to the turn."""
    wire, lease = leased()
    head = Head("resp_1", (b"f",), b"key", lease.lane, stored=False)
    assert lease.commit(head)
    await lease.send(CREATE, None, head)
    assert (lease.dead, lease.continuing, lease.lane.state) == (head, head, State.AWAITED)
    assert wire.written == [CREATE]
    assert lease.named == "l1"
    assert not lease.commit(head)


async def test_what_arrives_is_taken_as_one_batch() -> None:
    """In order, counted until it is taken, and the line is told that there is room."""
    wire, lease = leased()
    for event in events():
        lease.deliver(event)
    assert lease.waiting == sum(len(frame) for frame in said())
    assert await lease.batch(LIMIT) == events()
    assert (lease.waiting, wire.taken_times) == (0, 1)


async def test_a_batch_that_comes_later_is_waited_for() -> None:
    """The first event wakes the turn."""
    _, lease = leased()
    tasks = Tasks()
    waiting = tasks.start(lease.batch(LIMIT), "batch")
    await asyncio.sleep(0)
    lease.deliver(events()[0])
    assert await soon(waiting) == events()[:1]


async def test_the_end_comes_after_what_arrived() -> None:
    """Events first, then the fault, the first one that was told; what comes after it does not count."""
    _, lease = leased()
    lease.deliver(events()[0])
    lease.end(LOST)
    lease.end(TurnFault(Fault.GARBAGE, "later"))
    lease.deliver(events()[1])
    assert await lease.batch(LIMIT) == events()[:1]
    for _ in range(2):
        with pytest.raises(TurnFault, match="lost"):
            await lease.batch(LIMIT)


async def test_the_end_wakes_a_turn_that_waits() -> None:
    """No turn waits on a line that is gone."""
    _, lease = leased()
    waiting = Tasks().start(lease.batch(LIMIT), "batch")
    await asyncio.sleep(0)
    lease.end(LOST)
    await over(waiting)
    assert str(waiting.exception()) == str(LOST)


async def test_a_probe_is_waited_for_no_longer_than_asked() -> None:
    """Then the line is given up and the turn is told."""
    wire, lease = leased()
    await lease.send(CREATE, CREATE, None)
    with pytest.raises(TurnFault, match="lost"):
        await lease.probed(0.01, patience())
    assert wire.given_up == [lease]


async def test_a_probe_that_was_answered_lets_the_turn_go_on() -> None:
    """With or without events of its own by then; a line that ends later is the batch's to tell."""
    _, lease = leased()
    await lease.probed(0.0, patience())  # nothing was asked
    await lease.send(CREATE, CREATE, None)
    assert lease.probe is not None
    lease.lane.take(sniff(b'{"type":"error"}'))
    lease.probe.set()
    await lease.probed(LIMIT, patience())
    lease.end(LOST)
    await lease.probed(LIMIT, patience())
    with pytest.raises(TurnFault) as caught:
        await lease.batch(LIMIT)
    assert (caught.value.fault, caught.value.detail) == (LOST.fault, LOST.detail)


@pytest.mark.parametrize("ended", [Fault.CONNECTION_LIMIT, Fault.GARBAGE, Fault.OVERSIZE])
async def test_whatever_ends_the_line_before_the_answer_is_a_lost_line(ended: Fault) -> None:
    """The create behind the made-up id had not begun: it was neither refused nor answered with garbage."""
    _, lease = leased()
    await lease.send(CREATE, CREATE, None)
    lease.end(TurnFault(ended, "over"))
    with pytest.raises(TurnFault) as caught:
        await lease.probed(LIMIT, patience())
    assert (caught.value.fault, caught.value.detail) == (Fault.LINE_LOST, "over")


async def test_a_replay_on_the_same_lease_does_not_ask_again() -> None:
    """Once answered, the question stands ahead of no other create of the lease."""
    _, lease = leased()
    await lease.send(CREATE, CREATE, None)
    assert lease.probe is not None
    for event in [sniff(b'{"type":"error"}'), sniff(b'{"type":"error"}')]:
        lease.lane.take(event)
    lease.probe.set()
    await lease.send(CREATE, None, None)
    lease.lane.take(sniff(b'{"type":"error"}'))
    assert lease.lane.state is State.IDLE


def test_a_spoilt_line_takes_no_new_turns() -> None:
    """The turn may say so while it still holds its lane."""
    wire, lease = leased()
    lease.spoil(Whole.LANES_REFUSED)
    assert wire.retired == [Whole.LANES_REFUSED]
    assert not lease.asked
