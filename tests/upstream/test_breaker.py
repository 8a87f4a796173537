"""The breaker: a script of events by an injected clock, and what it tells."""

from dataclasses import dataclass, field

import pytest

from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.breaker import Breaker, Breakers, State
from proxy.upstream.status import BreakerStatus

CLOSED, OPEN, HALF = State.CLOSED, State.OPEN, State.HALF_OPEN


@dataclass
class Rig:
    """Breakers that open after two failures, for ten seconds."""

    now: float = 0.0
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make them."""
        self.one = Breaker(2, 10.0, lambda: self.now)
        self.all = Breakers(2, 10.0, name="api.test", clock=lambda: self.now, notice=self.notices.append)

    def dials(self, key: bytes | None = None) -> bool:
        """Whether a dial is let through."""
        try:
            if key is None:
                self.one.check()
            else:
                self.all.check(key)
        except TurnFault as fault:
            return fault.fault is not Fault.BREAKER_OPEN
        return True

    def fails(self, key: bytes) -> None:
        """A line of this key, begun now, comes to nothing a second later."""
        began = self.now
        self.now += 1.0
        self.all.failed(key, began)


# (seconds that go by, what happens, whether a dial goes through, the state after it)
SCRIPT: list[tuple[float, str, bool | None, State]] = [
    (0, "dial", True, CLOSED),
    (1, "fail", None, CLOSED),
    (1, "dial", True, CLOSED),
    (1, "fail", None, OPEN),
    (0, "dial", False, OPEN),
    (9.9, "dial", False, OPEN),
    (0.2, "", None, HALF),
    (0, "dial", True, HALF),
    (0, "dial", False, HALF),
    (1, "fail", None, OPEN),
    (0, "dial", False, OPEN),
    (10, "dial", True, HALF),
    (0, "untried", None, HALF),
    (0, "dial", True, HALF),
    (9.9, "dial", False, HALF),
    (0.2, "dial", True, HALF),
]


def test_the_script() -> None:
    """Closed, open, half-open for one dial at a time; a trial that says nothing for as long lets another one try."""
    rig = Rig()
    for step, (seconds, what, through, state) in enumerate(SCRIPT):
        rig.now += seconds
        if what == "dial":
            assert rig.dials() is through, step
        elif what == "fail":
            rig.one.failed(rig.now)
        elif what == "untried":
            rig.one.untried()
        assert rig.one.state is state, step


def test_lines_that_fall_together_are_one_failure() -> None:
    """What began before the last failure says nothing new."""
    rig = Rig(now=5.0)
    assert not rig.one.failed(1.0)
    assert not rig.one.failed(2.0)
    assert rig.one.failures == 1
    assert rig.one.failed(5.0)
    assert rig.one.seconds_left == 10.0


@pytest.mark.parametrize("failures", [1, 3])
def test_it_opens_at_the_setting(failures: int) -> None:
    """Not before, and it says so once."""
    breaker = Breaker(failures, 10.0, lambda: 0.0)
    assert [breaker.failed(0.0) for _ in range(failures + 2)] == [*[False] * (failures - 1), True, False, False]


def test_zero_seconds_never_block() -> None:
    """breaker_seconds = 0: every dial is a trial."""
    breaker = Breaker(1, 0.0, lambda: 0.0)
    breaker.failed(0.0)
    breaker.check()
    breaker.check()
    assert breaker.state is HALF


def test_keys_do_not_share_one() -> None:
    """A caller with a bad key stops nobody else's dials."""
    rig = Rig()
    rig.fails(b"a")
    rig.fails(b"a")
    assert not rig.dials(b"a")
    assert rig.dials(b"b")
    assert len(rig.all) == 1


def test_it_tells_when_it_opens_and_when_it_closes() -> None:
    """One line each, with the host's name and no key; failures that open nothing, and closed ones, say nothing."""
    rig = Rig()
    rig.fails(b"a")
    rig.all.worked(b"a")
    assert rig.notices == []
    for _ in range(4):
        rig.fails(b"a")
    line = "came to nothing 2 times in a row: a caller's turns go over plain HTTP, tried again in 10 s"
    assert rig.notices == [f"WebSockets to api.test {line}"]
    rig.all.worked(b"a")
    rig.all.worked(b"a")
    assert rig.notices[1:] == ["WebSockets to api.test work again"]
    assert b"a" not in rig.all


def test_the_status_counts_them() -> None:
    """How many are open and half-open, and how long until the first is tried again."""
    rig = Rig()
    assert rig.all.status() == BreakerStatus(0, 0, 0.0)
    rig.fails(b"closed")
    for key in (b"a", b"b", b"c"):
        rig.fails(key)
        rig.fails(key)
    assert rig.all.status() == BreakerStatus(3, 0, 6.0)
    rig.now += 7.0
    assert rig.all.status() == BreakerStatus(2, 1, 1.0)
    rig.all.check(b"a")
    rig.all.untried(b"a")
    rig.all.untried(b"unknown")
    assert rig.dials(b"a")


def test_one_mute_line_is_enough() -> None:
    """A line that kept a turn waiting in vain opens it at once, for as long as that took; so are its trials spaced."""
    rig = Rig()
    rig.now = 600.0
    rig.all.mute(b"a", 0.0)
    assert rig.all[b"a"].seconds_left == 600.0
    line = "took a turn and brought nothing of an answer: a caller's turns go over plain HTTP, tried again in 600 s"
    assert rig.notices == [f"a WebSocket to api.test {line}"]
    rig.all.mute(b"a", 0.0)  # another that was begun then
    assert len(rig.notices) == 1
    rig.now += 600.0
    assert [rig.dials(b"a"), rig.dials(b"a")] == [True, False]
    rig.now += 599.0
    assert not rig.dials(b"a")
    rig.now += 1.0
    assert rig.dials(b"a")
    rig.all.worked(b"a")
    assert rig.dials(b"a")


def test_zero_seconds_never_block_after_a_mute_line() -> None:
    """breaker_seconds = 0: every dial is a trial even then."""
    now = 600.0
    breaker = Breaker(3, 0.0, lambda: now)
    assert breaker.mute(0.0)
    breaker.check()
    breaker.check()
