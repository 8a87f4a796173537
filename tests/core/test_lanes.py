"""Lanes: scripts of what happens to one, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.events import Event, sniff
from proxy.core.heads import Head
from proxy.core.lanes import TRANSITIONS, Lane, OutOfPlace, Signal, State, Verdict, Whose

TURN = Whose.TURN
PROBE = Whose.PROBE


def event(kind: str, **fields: object) -> Event:
    """An upstream event."""
    return sniff(msgspec.json.encode({"type": kind, **fields}))


CREATED = event("response.created", response={"id": "r"})
DELTA = event("response.output_text.delta", delta="x")
UNKNOWN = event("response.something_new")
COMPLETED = event("response.completed", response={"id": "r"})
FAILED = event("response.failed", response={"id": "r"})
INCOMPLETE = event("response.incomplete", response={"id": "r"})
ERROR = event("error", status=429, error={"code": "rate_limit_exceeded", "message": "slow down"})
MISSING = event("error", status=400, error={"code": "previous_response_not_found", "message": "no"})


class Nowhere:
    """A place that holds nothing."""

    def holds(self, _head: Head) -> bool:
        """Never."""
        return False


def head(name: str = "r") -> Head:
    """A head."""
    return Head(name, (name.encode(),), b"key", Nowhere(), stored=False)


HEAD = head()
Step: TypeAlias = Callable[[Lane], object]


def create(*creates: Whose) -> Step:
    """Creates are written."""
    return lambda lane: lane.create(*creates)


def take(arriving: Event) -> Step:
    """An event arrives."""
    return lambda lane: lane.take(arriving)


def commit(lane: Lane) -> None:
    """The turn that ended left HEAD."""
    lane.commit(HEAD)


def close(lane: Lane) -> Head | None:
    """The connection is gone."""
    return lane.close()


def verdict(lane: Lane) -> Verdict | None:
    """What the probe showed."""
    return lane.verdict


@dataclass
class Playbook:
    """Pairs of what happens and what must come of it; an exception type means that it is raised."""

    name: str
    script: list[tuple[Step, object]]
    state: State
    latest: Head | None = None

    def play(self) -> Lane:
        """Run the script against a new lane."""
        lane = Lane()
        for number, (step, expected) in enumerate(self.script):
            if expected is OutOfPlace:
                with pytest.raises(OutOfPlace):
                    step(lane)
            else:
                assert step(lane) == expected, f"step {number}"
        return lane


ASKED: list[tuple[Step, object]] = [(create(TURN), None)]
BEGUN: list[tuple[Step, object]] = [*ASKED, (take(CREATED), TURN)]
ENDED: list[tuple[Step, object]] = [*BEGUN, (take(COMPLETED), TURN)]
CONTINUABLE: list[tuple[Step, object]] = [*ENDED, (commit, None)]
PROBED: list[tuple[Step, object]] = [(create(PROBE, TURN), None)]

PLAYBOOKS = [
    Playbook("new", [], State.IDLE),
    Playbook("a create is written", ASKED, State.AWAITED),
    Playbook("events arrive", [*BEGUN, (take(DELTA), TURN), (take(UNKNOWN), TURN)], State.STREAMING),
    Playbook("a turn completes", ENDED, State.IDLE),
    Playbook("a turn fails", [*BEGUN, (take(FAILED), TURN)], State.IDLE),
    Playbook("a turn ends incomplete", [*BEGUN, (take(INCOMPLETE), TURN)], State.IDLE),
    Playbook("an early error", [*ASKED, (take(ERROR), TURN)], State.IDLE),
    Playbook("an error in mid-stream", [*BEGUN, (take(ERROR), TURN)], State.IDLE),
    Playbook("a terminal event first", [*ASKED, (take(COMPLETED), TURN)], State.IDLE),
    Playbook("a head is committed", CONTINUABLE, State.IDLE, HEAD),
    Playbook("a create kills the head", [*CONTINUABLE, (create(TURN), HEAD)], State.AWAITED),
    Playbook(
        "an error does not revive it", [*CONTINUABLE, (create(TURN), HEAD), (take(MISSING), TURN)], State.IDLE, None
    ),
    Playbook("two turns in a row", [*CONTINUABLE, (create(TURN), HEAD), *ENDED[1:], (commit, None)], State.IDLE, HEAD),
    Playbook("a close kills the head", [*CONTINUABLE, (close, HEAD)], State.CLOSED),
    Playbook("closed twice", [*CONTINUABLE, (close, HEAD), (close, None)], State.CLOSED),
    Playbook("closed while awaited", [*ASKED, (close, None), (take(CREATED), OutOfPlace)], State.CLOSED),
    Playbook("closed in mid-stream", [*BEGUN, (close, None), (take(DELTA), OutOfPlace)], State.CLOSED),
    Playbook("no create after the close", [(close, None), (create(TURN), OutOfPlace)], State.CLOSED),
    Playbook("no head after the close", [*ENDED, (close, None), (commit, OutOfPlace)], State.CLOSED),
    Playbook("no second create before the end", [*ASKED, (create(TURN), OutOfPlace)], State.AWAITED),
    Playbook("no second create in mid-stream", [*BEGUN, (create(TURN), OutOfPlace)], State.STREAMING),
    Playbook("no head in mid-stream", [*BEGUN, (commit, OutOfPlace)], State.STREAMING),
    Playbook("no head before the first event", [*ASKED, (commit, OutOfPlace)], State.AWAITED),
    Playbook("an event that nobody asked for", [(take(DELTA), OutOfPlace)], State.IDLE),
    Playbook("an error that nobody asked for", [(take(ERROR), OutOfPlace)], State.IDLE),
    Playbook("an event after the end", [*ENDED, (take(DELTA), OutOfPlace)], State.IDLE),
    Playbook("a second end", [*ENDED, (take(COMPLETED), OutOfPlace)], State.IDLE),
    Playbook("a probe is refused", [*PROBED, (take(MISSING), PROBE), (verdict, Verdict.REFUSED)], State.AWAITED),
    Playbook("the turn follows", [*PROBED, (take(MISSING), PROBE), *ENDED[1:], (commit, None)], State.IDLE, HEAD),
    Playbook(
        "a probe's events are not the turn's",
        [*PROBED, (take(CREATED), PROBE), (verdict, None), (take(COMPLETED), PROBE), (verdict, Verdict.ACCEPTED)],
        State.AWAITED,
    ),
    Playbook(
        "a probe taken up but cut short is accepted",
        [*PROBED, (take(CREATED), PROBE), (take(INCOMPLETE), PROBE), (verdict, Verdict.ACCEPTED)],
        State.AWAITED,
    ),
    Playbook(
        "a failed probe proves nothing",
        [*PROBED, (take(CREATED), PROBE), (take(FAILED), PROBE), (verdict, Verdict.UNCLEAR)],
        State.AWAITED,
    ),
    Playbook(
        "another error proves nothing", [*PROBED, (take(ERROR), PROBE), (verdict, Verdict.UNCLEAR)], State.AWAITED
    ),
    Playbook(
        "the turn's own end says nothing of the host",
        [*PROBED, (take(MISSING), PROBE), (take(CREATED), TURN), (take(COMPLETED), TURN), (verdict, Verdict.REFUSED)],
        State.IDLE,
    ),
    Playbook("a turn alone gives no verdict", [*ENDED, (verdict, None)], State.IDLE),
    Playbook("closed while probing", [*PROBED, (close, None), (verdict, None)], State.CLOSED),
    Playbook("no head between probe and turn", [*PROBED, (take(MISSING), PROBE), (commit, OutOfPlace)], State.AWAITED),
]


@pytest.mark.parametrize("book", PLAYBOOKS, ids=lambda book: book.name)
def test_a_lane_follows_the_script(book: Playbook) -> None:
    """Each script of creates, events and closes gives the owners, the state and the latest head that it must."""
    lane = book.play()
    assert lane.state is book.state
    assert lane.latest is book.latest


def test_only_an_idle_lane_holds_and_only_its_latest() -> None:
    """A head can be continued only where it is the latest of an idle lane, and only the very same head."""
    lane = Lane()
    assert not lane.holds(HEAD)
    for step, _ in CONTINUABLE:
        step(lane)
    assert lane.holds(HEAD)
    assert not lane.holds(head())
    lane.create(TURN)
    assert not lane.holds(HEAD)
    lane.take(MISSING)
    assert not lane.holds(HEAD)
    lane.commit(HEAD)
    lane.close()
    assert not lane.holds(HEAD)


def test_a_busy_lane_does_not_hold_even_its_latest() -> None:
    """State counts beside identity: what is latest may not be continued while the lane streams."""
    lane = Lane()
    lane.create(TURN)
    lane.latest = HEAD
    assert not lane.holds(HEAD)


def test_each_state_and_signal_is_in_the_table_or_refused() -> None:
    """The table is the whole machine: an idle lane takes no event, a busy one no create, a closed one only a close."""
    refused = {(state, signal) for state in State for signal in Signal} - TRANSITIONS.keys()
    assert refused == {
        (State.IDLE, Signal.EVENT),
        (State.IDLE, Signal.END),
        (State.AWAITED, Signal.CREATE),
        (State.STREAMING, Signal.CREATE),
        (State.CLOSED, Signal.CREATE),
        (State.CLOSED, Signal.EVENT),
        (State.CLOSED, Signal.END),
    }
    assert set(TRANSITIONS.values()) == set(State)


def test_a_refused_move_names_what_came_and_when() -> None:
    """The error says which event came in which state, for the log."""
    with pytest.raises(OutOfPlace, match="error while nothing was asked"):
        Lane().take(ERROR)
    lane = Lane()
    lane.close()
    with pytest.raises(OutOfPlace, match="CREATE while CLOSED"):
        lane.create(TURN)
    with pytest.raises(OutOfPlace, match="a head for a lane that is CLOSED"):
        lane.commit(HEAD)


STEPS = st.sampled_from(
    [
        create(TURN),
        create(PROBE, TURN),
        commit,
        close,
        *map(take, (CREATED, DELTA, COMPLETED, FAILED, INCOMPLETE, ERROR, MISSING)),
    ]
)


@given(st.lists(STEPS, max_size=30))
def test_in_any_order_a_lane_is_lawful(steps: list[Step]) -> None:
    """Whatever comes in whatever order: only OutOfPlace is raised, a refused call changes nothing, closed is closed."""
    lane = Lane()
    for step in steps:
        before = (lane.state, lane.latest, lane.verdict)
        try:
            step(lane)
        except OutOfPlace:
            assert (lane.state, lane.latest, lane.verdict) == before
        if before[0] is State.CLOSED:
            assert lane.state is State.CLOSED
        if lane.state is not State.IDLE:
            assert lane.latest is None
