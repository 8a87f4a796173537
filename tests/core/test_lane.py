"""A lane: scripts of what happens to it, what must come of it, and what can be continued from it, how and why not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.events import Event
from proxy.core.heads import Head
from proxy.core.lane import TRANSITIONS, Lane, OutOfPlace, Signal, State, Verdict, Whose
from proxy.core.lanes import RESTED_SECONDS, Lanes
from proxy.core.reasons import Whole
from tests.core.laned import (
    COMPLETED,
    CREATED,
    DELTA,
    ERROR,
    FAILED,
    HEAD,
    INCOMPLETE,
    MISSING,
    MISSPELLED,
    NOBODY,
    PROBE,
    TURN,
    UNKNOWN,
    Clock,
    begin,
    filled,
    finish,
    head,
    on,
    proven,
)

Step: TypeAlias = Callable[[Lane], object]


def create(*creates: Whose) -> Step:
    """Creates are written."""
    return lambda lane: lane.create(*creates)


def take(arriving: Event) -> Step:
    """An event arrives."""
    return lambda lane: lane.take(arriving)


def alone() -> Lane:
    """The one lane of a host without lanes."""
    lane = Lanes(1, named=False, clock=float).spare()
    assert lane is not None
    return lane


def abandon(lane: Lane) -> None:
    """The caller is gone."""
    lane.abandon()


def distrust(lane: Lane) -> Head | None:
    """The lane is given up."""
    return lane.distrust()


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
        lane = alone()
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
    Playbook(
        "a complaint about how the id is spelled proves nothing",
        [*PROBED, (take(MISSPELLED), PROBE), (verdict, Verdict.UNCLEAR)],
        State.AWAITED,
    ),
    Playbook("a turn alone gives no verdict", [*ENDED, (verdict, None)], State.IDLE),
    Playbook(
        "closed while probing",
        [*PROBED, (close, None), (take(MISSING), OutOfPlace), (verdict, None)],
        State.CLOSED,
    ),
    Playbook("a caller goes before any event", [*ASKED, (abandon, None)], State.DRAINING),
    Playbook(
        "an abandoned answer is dropped to its end",
        [*BEGUN, (abandon, None), (take(DELTA), NOBODY), (take(COMPLETED), NOBODY)],
        State.IDLE,
    ),
    Playbook("an abandoned answer that fails", [*ASKED, (abandon, None), (take(ERROR), NOBODY)], State.IDLE),
    Playbook(
        "a caller goes while probing",
        [*PROBED, (abandon, None), (take(CREATED), NOBODY), (take(COMPLETED), NOBODY), (take(COMPLETED), NOBODY)],
        State.IDLE,
    ),
    Playbook("no create while draining", [*BEGUN, (abandon, None), (create(TURN), OutOfPlace)], State.DRAINING),
    Playbook("no head while draining", [*BEGUN, (abandon, None), (commit, OutOfPlace)], State.DRAINING),
    Playbook(
        "used again after draining",
        [*BEGUN, (abandon, None), (take(COMPLETED), NOBODY), *ENDED, (commit, None)],
        State.IDLE,
        HEAD,
    ),
    Playbook("nothing to abandon", [(abandon, OutOfPlace)], State.IDLE),
    Playbook("nothing to abandon after the end", [*ENDED, (abandon, OutOfPlace)], State.IDLE),
    Playbook(
        "a draining lane is given up",
        [*BEGUN, (abandon, None), (distrust, None), (take(DELTA), NOBODY), (take(COMPLETED), NOBODY)],
        State.QUARANTINED,
    ),
    Playbook("a distrusted lane loses its head", [*CONTINUABLE, (distrust, HEAD), (distrust, None)], State.QUARANTINED),
    Playbook("no create in quarantine", [(distrust, None), (create(TURN), OutOfPlace)], State.QUARANTINED),
    Playbook("no head in quarantine", [*ENDED, (distrust, None), (commit, OutOfPlace)], State.QUARANTINED),
    Playbook("quarantine ends with the connection", [*BEGUN, (distrust, None), (close, None)], State.CLOSED),
    Playbook("no distrust after the close", [(close, None), (distrust, OutOfPlace)], State.CLOSED),
    Playbook("refused twice", [*ASKED, (take(ERROR), TURN), *ASKED, (take(ERROR), TURN)], State.IDLE),
    Playbook(
        "a failure behind a refusal", [*ASKED, (take(ERROR), TURN), *ASKED, (take(FAILED), OutOfPlace)], State.AWAITED
    ),
    Playbook("a failure of its own", [*ASKED, (take(ERROR), TURN), *BEGUN, (take(FAILED), TURN)], State.IDLE),
    Playbook(
        "a failure behind a refused probe", [*PROBED, (take(MISSING), PROBE), (take(FAILED), OutOfPlace)], State.AWAITED
    ),
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
    lane = alone()
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


def test_a_busy_or_leased_lane_does_not_hold_even_its_latest() -> None:
    """State and lease count beside identity: what is latest may not be continued while a turn has the lane."""
    lane = alone()
    lane.commit(HEAD)
    lane.leased = True
    assert not lane.holds(HEAD)
    lane.leased = False
    assert lane.holds(HEAD)
    lane.create(TURN)
    lane.latest = HEAD
    assert not lane.holds(HEAD)


def test_each_state_and_signal_is_in_the_table_or_refused() -> None:
    """The table is the whole machine; what it does not hold is refused."""
    refused = {(state, signal) for state in State for signal in Signal} - TRANSITIONS.keys()
    nothing_runs = {Signal.EVENT, Signal.END, Signal.ABANDON}
    assert refused == {
        *((State.IDLE, signal) for signal in nothing_runs),
        *((State.QUARANTINED, signal) for signal in nothing_runs),
        (State.AWAITED, Signal.CREATE),
        (State.STREAMING, Signal.CREATE),
        (State.DRAINING, Signal.CREATE),
        (State.DRAINING, Signal.ABANDON),
        (State.QUARANTINED, Signal.CREATE),
        *((State.CLOSED, signal) for signal in Signal if signal is not Signal.CLOSE),
    }
    assert set(TRANSITIONS.values()) == set(State)


def test_a_refused_move_names_what_came_and_when() -> None:
    """The error says which event came in which state, for the log."""
    with pytest.raises(OutOfPlace, match="error while nothing was asked"):
        alone().take(ERROR)
    lane = alone()
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
        abandon,
        distrust,
        *map(take, (CREATED, DELTA, COMPLETED, FAILED, INCOMPLETE, ERROR, MISSING)),
    ]
)


@given(st.lists(STEPS, max_size=30))
def test_in_any_order_a_lane_is_lawful(steps: list[Step]) -> None:
    """Whatever comes in whatever order: only OutOfPlace is raised, a refused call changes nothing, closed is closed."""
    lane = alone()
    for step in steps:
        before = (lane.state, lane.latest, lane.verdict)
        try:
            step(lane)
        except OutOfPlace:
            assert (lane.state, lane.latest, lane.verdict) == before
        if before[0] is State.CLOSED:
            assert lane.state is State.CLOSED
        if before[0] is State.QUARANTINED:
            assert lane.state in {State.QUARANTINED, State.CLOSED}
        if lane.state is not State.IDLE:
            assert lane.latest is None


# --- forks while a first child has the lane


@pytest.mark.parametrize(("begun", "retiring"), [(False, False), (True, True)])
def test_an_error_that_breaks_an_answer_off_ends_the_line(begun: bool, retiring: bool) -> None:  # noqa: FBT001
    """What some hosts say behind it is no other turn's; a create that is refused has nothing behind it."""
    lanes = proven()
    lane = begin(lanes)
    for event in [CREATED] * begun:
        lane.take(event)
    lane.take(ERROR)
    assert (lane.state, lanes.retiring) == (State.IDLE, retiring)


def test_a_sibling_forks_while_the_first_child_is_in_flight() -> None:
    """The upstream holds a parent until the turn that continues it has ended: so long others may continue it too."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent is not None
    assert not lane.lends(parent)
    lanes.lease(lane, parent)
    assert lane.lends(parent)
    lane.create(TURN, continuing=parent)
    lane.release()
    assert not lane.holds(parent)
    assert lane.lends(parent)
    assert not lane.lends(head())
    lane.take(on(lane))
    assert lane.lends(parent)
    lane.take(on(lane, "response.completed"))
    assert not lane.lends(parent)


def test_a_child_that_was_never_sent_lends_nothing() -> None:
    """A lease that continues nothing, or that is given back without a create, leaves the parent where it was."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent is not None
    lanes.lease(lane)
    assert not lane.lends(parent)
    lane.release()
    lanes.lease(lane, parent)
    lane.release()
    assert not lane.lends(parent)
    assert lane.holds(parent)


@pytest.mark.parametrize("last", ["error", "response.failed", "response.incomplete"])
def test_a_parent_is_not_lent_after_any_end(last: str) -> None:
    """An error evicts the parent, and any other end moves the lane on."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    lane.create(TURN, continuing=parent)
    lane.take(on(lane, last))
    assert parent is not None
    assert not lane.lends(parent)
    assert lane.parent is None


def test_an_abandoned_child_still_holds_its_parent() -> None:
    """A caller that hangs up evicts nothing: the parent is there until the answer has drained."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent is not None
    lane.create(TURN, continuing=parent)
    lane.abandon()
    assert lane.lends(parent)
    lane.take(on(lane, "response.completed"))
    assert not lane.lends(parent)


def test_nothing_is_lent_by_a_turn_in_full() -> None:
    """A conversation that was given up for another turn cannot be forked."""
    lanes = proven()
    lane = next(iter(lanes))
    given_up = lane.latest
    assert given_up is not None
    assert lane.create(TURN, continuing=head()) is given_up
    assert lane.parent is None
    assert not lane.lends(given_up)


@pytest.mark.parametrize("end", ["distrust", "close"])
def test_a_lane_that_is_lost_lends_nothing(end: str) -> None:
    """With its lane or connection the parent is gone."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent is not None
    lane.create(TURN, continuing=parent)
    assert lane.distrust() is None if end == "distrust" else lane.close() is None
    assert not lane.lends(parent)


def test_a_fork_needs_room_and_a_lane_of_its_own() -> None:
    """Without lanes, or with all in flight, siblings go in full."""
    lone = Lanes(1, named=False, clock=float)
    only = begin(lone)
    parent = finish(lone, only)
    only.create(TURN, continuing=parent)
    assert not only.lends(parent)
    lanes = proven()
    parent = finish(lanes, begin(lanes))
    place = parent.place
    assert isinstance(place, Lane)
    place.create(TURN, continuing=parent)
    assert place.lends(parent)
    while lanes.room:
        begin(lanes)
    assert not place.lends(parent)


# --- forks that leave the parent where it is


def forked(lanes: Lanes) -> tuple[Lane, Head, Lane]:
    """A lane, the head that it holds, and the lane on which a turn goes on from that: leased, and not sent yet."""
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent
    beside = lanes.claim(parent, fork=True)
    assert beside
    lanes.lease(beside, parent)
    return lane, parent, beside


def test_a_lane_does_not_move_on_before_a_fork_of_it_is_in_progress() -> None:
    """From its lease on, and while it is merely created or queued: so long the lane is no turn's, and lends."""
    lanes = proven()
    lane, parent, beside = forked(lanes)

    def pinned() -> bool:
        both = {lane.free, lane.holds(parent), not lane.lends(parent)}
        assert len(both) == 1
        return not lane.free

    assert pinned()
    beside.create(TURN, continuing=parent)
    for early in ("response.created", "response.queued", "response.created"):
        beside.take(on(beside, early))
        assert pinned()
    assert lanes.oldest() is None
    assert lanes.claim(parent, fork=False) is None
    beside.take(on(beside, "response.in_progress"))
    assert not pinned()
    assert lanes.claim(parent, fork=False) is lane


@pytest.mark.parametrize(
    "kind", ["response.output_text.delta", "response.completed", "response.failed", "response.incomplete", "error"]
)
def test_a_fork_that_is_further_on_pins_nothing(kind: str) -> None:
    """Not every host says `response.in_progress`; an end, too, is the end of it."""
    lanes = proven()
    lane, parent, beside = forked(lanes)
    beside.create(TURN, continuing=parent)
    beside.take(on(beside, kind))
    assert not lanes.forking(parent)
    assert lane.free


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_of_several_forks_lets_go(first: int) -> None:
    """Each pins what it forked, and no other lane."""
    lanes = proven()
    lane, parent, one = forked(lanes)
    other = lanes.claim(parent, fork=True)
    bystander = begin(lanes)
    finish(lanes, bystander)
    assert other
    lanes.lease(other, parent)
    for fork in (other, one) if first else (one, other):
        assert not lane.free
        assert bystander.free
        fork.create(TURN, continuing=parent)
        fork.take(on(fork, "response.in_progress"))
    assert lane.free


def test_a_fork_that_was_never_sent_lets_go() -> None:
    """Its lease is given back: nothing is to come of it."""
    lanes = proven()
    lane, parent, beside = forked(lanes)
    beside.release()
    assert lane.holds(parent)
    assert not lane.lends(parent)


@pytest.mark.parametrize("end", ["response.in_progress", "error"])
def test_an_abandoned_fork_pins_until_it_has_begun(end: str) -> None:
    """Were its parent gone, the host would say so in an error, and the line would be given up for that."""
    lanes = proven()
    lane, parent, beside = forked(lanes)
    beside.create(TURN, continuing=parent)
    beside.release()
    beside.abandon()
    assert not lane.free
    beside.take(on(beside, "response.created"))
    assert not lane.free
    assert beside.take(on(beside, end)) is NOBODY
    assert lane.free


@pytest.mark.parametrize("end", ["distrust", "close"])
def test_a_fork_that_is_lost_lets_go(end: str) -> None:
    """Nothing of it is waited for."""
    lanes = proven()
    lane, parent, beside = forked(lanes)
    beside.create(TURN, continuing=parent)
    _ = beside.distrust() if end == "distrust" else beside.close()
    assert lane.holds(parent)


def test_a_pinned_lane_lends_only_where_a_lane_is_left() -> None:
    """With none beside it that may be had, the sibling goes in full."""
    clock = Clock()
    lanes = proven(clock)
    filled(lanes, leaving=1)
    lane, parent, _ = forked(lanes)
    assert not lane.lends(parent)
    clock.now = RESTED_SECONDS
    assert lane.lends(parent)
    assert not lane.lends(head())


def test_a_lease_alone_does_not_make_a_pinned_lane_lend() -> None:
    """A lane that a turn has for another conversation is about to lose what it holds."""
    lanes = proven()
    lane = next(iter(lanes))
    lanes.lease(lane)
    assert lane.latest
    assert not lane.lends(lane.latest)


def test_what_was_forked_is_kept_until_the_lane_moves_on() -> None:
    """A kept lane is vacant; the next create, and the head that it leaves, are a conversation again."""
    lanes = proven()
    lane, parent, beside = forked(lanes)
    beside.create(TURN, continuing=parent)
    beside.take(on(beside, "response.in_progress"))
    assert (lane.kept, lane.vacant) == (False, False)
    finish(lanes, beside, "further on")
    assert (lane.kept, lane.vacant, beside.forked) == (True, True, None)
    lanes.lease(lane, parent)
    assert (lane.kept, lane.vacant) == (True, False)
    lane.create(TURN, continuing=parent)
    assert not lane.kept
    lane.kept = True
    finish(lanes, lane)
    lane.release()
    assert (lane.kept, lane.vacant) == (False, False)


def test_what_nobody_can_find_is_in_nobodys_way() -> None:
    """A head that is buried leaves its lane, which is any turn's then; another's burial changes nothing."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent
    lane.kept = True
    lane.drop(head())
    assert (lane.remembers(parent), lane.remembers(head()), lane.kept) == (True, False, True)
    lane.drop(parent)
    assert (lane.remembers(parent), lane.latest, lane.kept, lane.vacant) == (False, None, False, True)


def test_a_lane_that_holds_nothing_is_vacant() -> None:
    """Unless a turn has it."""
    lanes = proven()
    lane = begin(lanes)
    assert not lane.vacant
    lane.take(ERROR)
    assert lane.vacant
    lanes.lease(lane)
    assert not lane.vacant


def test_a_lane_keeps_what_it_holds_where_another_is_spare() -> None:
    """Both must be: held here, and a lane beside it that nobody is in need of."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent
    assert lane.keeps(parent)
    assert not lane.keeps(head())
    filled(lanes)
    assert lane.holds(parent)
    assert not lane.keeps(parent)


def test_a_lane_says_truly_why_it_bars_a_head() -> None:
    """The connection's own reason first; a head at rest waits for lanes; any other was continued, or given up."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent
    while lanes.room:
        begin(lanes)
    assert lane.barred(parent) is Whole.LANES_BUSY
    assert lane.barred(head()) is Whole.EVICTED
    lane.leased = True
    assert lane.barred(parent) is Whole.EVICTED
    lane.parent = parent
    assert lane.barred(parent) is Whole.PARENT_CONTINUED
    lanes.retire(Whole.ROTATED)
    assert lane.barred(parent) is lane.barred(head()) is Whole.ROTATED


@pytest.mark.parametrize(
    ("how", "reason"),
    [("in place", Whole.PARENT_CONTINUED), ("kept", Whole.PARENT_CONTINUED), ("given up", Whole.EVICTED)],
)
def test_what_a_lane_moved_on_from_was_continued_or_given_up(how: str, reason: Whole) -> None:
    """From its create on until it is given back, when `Heads` has the reason; no lane at rest holds on to the dead."""
    lanes = proven()
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent
    lane.kept = how == "kept"
    continuing = parent if how == "in place" else None
    lanes.lease(lane, continuing)
    lane.create(TURN, continuing=continuing)
    assert lane.barred(parent) is reason
    finish(lanes, lane)
    assert lane.barred(parent) is reason
    lane.release()
    assert lane.continued is None


def test_the_end_of_a_turn_is_when_its_lane_was_used() -> None:
    """From then on it is at rest."""
    clock = Clock()
    lanes = proven(clock)
    lane = next(iter(lanes))
    clock.now = 7.0
    lanes.lease(lane, lane.latest)
    assert lane.used_at == 0.0
    lane.release()
    assert (lane.used_at, lane.leased) == (7.0, False)


def test_an_error_in_an_answer_gives_no_other_reason_to_a_retiring_line() -> None:
    """The reason why a connection goes is the first one."""
    for reason in (None, Whole.ROTATED):
        lanes = proven()
        lane = begin(lanes)
        lane.take(CREATED)
        if reason:
            lanes.retire(reason)
        lane.take(ERROR)
        assert lanes.reason is (reason or Whole.CONNECTION_LOST)
