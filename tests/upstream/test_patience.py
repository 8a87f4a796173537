"""Patience: what one turn may lose on sockets, by an injected clock."""

import asyncio
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.recovery import Action, Fact, Fault, Phase, decide
from proxy.upstream.patience import Patience


@dataclass
class Clock:
    """Goes when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def waits(patience: Patience, clock: Clock, most: float, seconds: float) -> float:
    """A wait that takes `seconds` unless it is cut short; how long it really was."""
    allowed = min(most, patience.left)
    async with patience.waiting(most):
        clock.now += min(seconds, allowed)
    return min(seconds, allowed)


async def test_waits_add_up() -> None:
    """Each is taken from what is left, of which a fifth is kept."""
    clock = Clock()
    patience = Patience(5.0, clock)
    assert patience.left == 4.0
    await waits(patience, clock, 1.0, 1.0)
    assert patience.left == 3.0
    await waits(patience, clock, 5.0, 9.0)
    assert patience.left == 0.0
    assert patience.used_up


async def test_what_is_kept_is_for_after_the_create() -> None:
    """A turn that ran for long, and whose line was lost, may dial once more: for a fifth, however slow its start."""
    clock = Clock()
    patience = Patience(5.0, clock)
    await waits(patience, clock, math.inf, 9.0)
    patience.ran()
    clock.now += 3_600.0
    assert patience.left == 1.0
    assert not patience.used_up
    await waits(patience, clock, 5.0, 0.4)
    assert patience.used_up


async def test_the_limit_is_real() -> None:
    """A wait that would not end is ended."""
    patience = Patience(0.02)
    with pytest.raises(TimeoutError):
        async with patience.waiting(60.0):
            await asyncio.Event().wait()
    assert patience.used_up
    with pytest.raises(TimeoutError):
        async with patience.waiting(60.0):
            await asyncio.Event().wait()


def test_no_more_is_taken_than_there_is() -> None:
    """A late clock does not make debts."""
    patience = Patience(5.0)
    patience.spend(7.0)
    patience.ran()
    assert patience.left == 0.0


def test_less_than_a_fifth_is_too_little() -> None:
    """Nothing new is tried on the last moments."""
    patience = Patience(5.0)
    patience.spend(3.0)
    assert not patience.used_up
    patience.spend(0.5)
    assert patience.used_up


# What can befall an attempt before and after its create is written, and the waits that go with it.
UNSENT = (Fault.DIAL_FAILED, Fault.NO_DESCRIPTOR, Fault.POOL_FULL, Fault.BREAKER_OPEN, Fault.LINE_LOST)
WRITTEN = (Fault.LINE_LOST, Fault.CONNECTION_LIMIT, Fault.NO_LANES, Fault.NOT_FOUND, Fault.REJECTED)
SECONDS = st.floats(0.0, 20.0)


@dataclass(frozen=True)
class Attempt:
    """What befalls one attempt, and how long the upstream, or the pool, lets it wait at each place."""

    pool: float
    dial: float
    probe: float
    pong: float
    fault: Fault
    written: bool


ATTEMPTS = st.one_of(
    *(
        st.builds(Attempt, SECONDS, SECONDS, SECONDS, SECONDS, st.sampled_from(faults), st.just(written))
        for faults, written in ((UNSENT, False), (WRITTEN, True))
    )
)


def paid(patience: Patience, most: float, seconds: float) -> float:
    """A wait that the turn pays for: as long as it takes, as long as it may."""
    real = min(most, patience.left, seconds)
    patience.spend(real)
    return real


@given(
    st.floats(0.001, 60.0),
    st.lists(ATTEMPTS, min_size=8, max_size=8),
    st.sets(st.sampled_from([Fact.JSON, Fact.ACTS, Fact.UNSENT_ONLY])),
)
def test_whatever_befalls_a_turn_its_waits_have_a_bound(
    total: float, attempts: list[Attempt], facts: set[Fact]
) -> None:
    """Pool, dials, probe, pong and replays add up to no more, and then it is plain HTTP's turn, or the caller's."""
    waited, holding, here, whole = 0.0, set(facts), False, False
    patience = Patience(total)
    for attempt in attempts:
        phase = Phase.UNSENT
        fault = attempt.fault
        if here and not attempt.written:
            fault = Fault.LINE_LOST  # nothing is dialled, and nobody waits
        if not here:
            waited += paid(patience, 1.0, attempt.pool)
            if patience.used_up:
                break  # the pool dials no more: it says that it is full, which is plain HTTP
            waited += paid(patience, 5.0, attempt.dial)
        if attempt.written:
            # A host that got a delta is known to verify ids, and a turn that moved asks nothing.
            asks = not whole and fault is not Fault.NOT_FOUND
            waited += paid(patience, 10.0, attempt.probe) if asks else 0.0
            phase = Phase.WRITTEN
            patience.ran()
            if fault is Fault.LINE_LOST and Fact.REPLAYED not in holding:
                lost = min(3.0, patience.with_kept, attempt.pong)
                patience.spend(lost)
                waited += lost
            if fault is Fault.NOT_FOUND and (whole or Fact.REDIALLED in holding):
                fault = Fault.REJECTED  # only a delta's parent is not found, and a turn goes as a delta once
        holding = (holding | {Fact.SPENT}) if patience.used_up else (holding - {Fact.SPENT})
        assert waited <= total * (1 + 1e-9)
        action = decide(fault, phase, holding)
        here = action is Action.REPLAY_HERE
        if action is Action.REDIAL:
            holding.add(Fact.REDIALLED)
        elif action is Action.REPLAY_ELSEWHERE:
            assert patience.left >= total * (0.2 - 1e-9), "enough for a dial"
            holding.add(Fact.MOVED)
        elif not here:
            break
        whole |= action is not Action.REDIAL
        if phase is Phase.WRITTEN and fault is Fault.LINE_LOST:
            holding.add(Fact.REPLAYED)
    else:
        pytest.fail("it went on and on")
    assert waited <= total * (1 + 1e-9)
