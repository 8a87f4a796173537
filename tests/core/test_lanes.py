"""Lanes: scripts of what happens to one or to all of a connection, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.events import Event, Kind, NotAnEvent, sniff
from proxy.core.heads import Head, Nowhere
from proxy.core.lanes import (
    MOST_IN_FLIGHT,
    MOST_NAMED,
    TRANSITIONS,
    Lane,
    Lanes,
    OutOfPlace,
    Signal,
    State,
    Verdict,
    Whose,
)

TURN = Whose.TURN
PROBE = Whose.PROBE
NOBODY = Whose.NOBODY


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


def alone() -> Lane:
    """The one lane of a host without lanes."""
    lane = Lanes(1, named=False).spare()
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
        (State.AWAITED, Signal.CREATE),
        (State.STREAMING, Signal.CREATE),
        (State.DRAINING, Signal.CREATE),
        (State.DRAINING, Signal.ABANDON),
        (State.QUARANTINED, Signal.CREATE),
        (State.QUARANTINED, Signal.ABANDON),
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


# --- the lanes of one connection


def on(lane: Lane | str, kind: str = "response.created") -> Event:
    """An event that names a lane."""
    return event(kind, stream_id=lane if isinstance(lane, str) else lane.name)


def begin(lanes: Lanes) -> Lane:
    """A turn gets a lane that holds no conversation, and writes its create."""
    lane = lanes.spare()
    assert lane is not None
    lanes.lease(lane)
    lane.create(TURN)
    lane.leased = False
    return lane


def finish(lanes: Lanes, lane: Lane, named: str = "r") -> Head:
    """The lane's turn completes, and its head is committed."""
    last = on(lane, "response.completed") if lane.name else COMPLETED
    assert lanes.of(last).take(last) is TURN
    left = Head(named, (named.encode(),), b"key", lane, stored=False)
    lane.commit(left)
    return left


def proven() -> Lanes:
    """The lanes of a connection whose host echoed a name."""
    lanes = Lanes(1, named=True)
    finish(lanes, begin(lanes))
    assert lanes.proven
    return lanes


def test_a_host_without_lanes_has_one_nameless_lane() -> None:
    """One turn at a time, on a lane without a name; its conversation has to be given up for another."""
    lanes = Lanes(7, named=False)
    lane = begin(lanes)
    assert (lane.name, lane.connection) == (None, 7)
    assert (lanes.room, lanes.spare(), lanes.oldest()) == (False, None, None)
    finish(lanes, lane)
    assert not lanes.proven
    assert lanes.room
    assert lanes.spare() is None
    assert lanes.oldest() is lane
    assert list(lanes) == [lane]


def test_a_lane_without_a_conversation_is_used_again() -> None:
    """A name is spent only where no lane is free."""
    lanes = proven()
    other = begin(lanes)
    lanes.of(on(other, "error")).take(on(other, "error"))
    assert lanes.spare() is other


def test_until_a_name_is_echoed_only_one_turn_is_in_flight() -> None:
    """Whether a host understands names is not known before an event has one."""
    lanes = Lanes(1, named=True)
    lane = begin(lanes)
    assert lane.name == "l1"
    assert (lanes.room, lanes.spare(), lanes.oldest(), lanes.can_fork) == (False, None, None, False)
    assert lanes.of(on(lane)) is lane
    assert lanes.proven
    assert lanes.room
    other = lanes.spare()
    assert other is not None
    assert other.name == "l2"


def test_a_lease_counts_before_its_create_is_written() -> None:
    """Between lease and create a lane is taken, and counts against what may be in flight."""
    lanes = Lanes(1, named=True)
    lane = lanes.spare()
    assert lane is not None
    lanes.lease(lane)
    assert lane.leased
    assert lanes.in_flight == 1
    assert not lane.idle
    assert lanes.spare() is None


def test_at_most_sixteen_turns_are_in_flight() -> None:
    """More would be queued by the host behind one another."""
    lanes = proven()
    running = [begin(lanes) for _ in range(MOST_IN_FLIGHT)]
    assert len({lane.name for lane in running}) == MOST_IN_FLIGHT == 16
    assert (lanes.room, lanes.spare(), lanes.oldest(), lanes.can_fork) == (False, None, None, False)
    idle = next(lane for lane in lanes if lane.idle)
    assert idle.latest is not None
    assert not idle.holds(idle.latest)
    finish(lanes, running[0])
    assert lanes.room
    assert idle.holds(idle.latest)


def test_a_connection_names_at_most_thirty_two_lanes() -> None:
    """When all names hold a conversation, one has to be given up: the one used longest ago."""
    lanes = proven()
    while lanes.spare():
        finish(lanes, begin(lanes))
    assert len(list(lanes)) == len({lane.name for lane in lanes}) == MOST_NAMED == 32
    assert not lanes.can_fork
    assert lanes.oldest() is next(iter(lanes))


def test_a_name_given_up_is_never_used_again() -> None:
    """A quarantined lane keeps its name and its place in the budget."""
    lanes = proven()
    lost = begin(lanes)
    lost.distrust()
    later = [begin(lanes) for _ in range(5)]
    assert lost.name not in {lane.name for lane in later}
    assert lanes.of(on(lost)) is lost
    assert lost.take(on(lost)) is NOBODY


def test_a_retiring_connection_takes_no_new_turn() -> None:
    """It only finishes those that it has, and offers no head."""
    lanes = proven()
    lane = next(iter(lanes))
    assert lane.latest is not None
    assert lane.holds(lane.latest)
    lanes.retiring = True
    assert (lanes.room, lanes.spare(), lanes.oldest(), lanes.can_fork) == (False, None, None, False)
    assert not lane.holds(lane.latest)


def test_events_go_to_the_lane_that_they_name() -> None:
    """Turns on one socket are kept apart by name alone, whatever their order."""
    lanes = proven()
    first, second = begin(lanes), begin(lanes)
    for lane in (second, first, second):
        assert lanes.of(on(lane)) is lane


@pytest.mark.parametrize(
    "arriving",
    [on("nobody"), CREATED, DELTA, COMPLETED, ERROR, on("", "error")],
    ids=["foreign", "unnamed", "unnamed delta", "unnamed end", "unnamed error, two at work", "empty name"],
)
def test_an_event_of_no_known_lane_is_out_of_place(arriving: Event) -> None:
    """Where lanes are known, an event that names none of them cannot be given to any turn."""
    lanes = proven()
    begin(lanes)
    begin(lanes)
    with pytest.raises(OutOfPlace, match="of no known turn"):
        lanes.of(arriving)


@pytest.mark.parametrize("name", [5, ["l1"], {"a": 1}])
def test_an_odd_name_is_no_event(name: object) -> None:
    """A stream_id that is no text is garbage."""
    lanes = proven()
    with pytest.raises(NotAnEvent):
        lanes.of(event("response.created", stream_id=name))


def test_an_unnamed_error_belongs_to_the_only_turn() -> None:
    """Errors may lack the lane's name: with one turn in flight there is no doubt."""
    lanes = proven()
    with pytest.raises(OutOfPlace):
        lanes.of(ERROR)
    lane = begin(lanes)
    assert lanes.of(ERROR) is lane
    assert lanes.named
    with pytest.raises(OutOfPlace):
        lanes.of(DELTA)


def test_an_unnamed_error_is_nobodys_where_it_may_be_anothers() -> None:
    """One turn streams, one is awaited, one drains: an error text may quote a request, so in doubt nobody gets it."""
    for phase in (State.AWAITED, State.STREAMING, State.DRAINING):
        lanes = proven()
        one, other = begin(lanes), begin(lanes)
        if phase is State.STREAMING:
            one.take(on(one))
        if phase is State.DRAINING:
            one.abandon()
        assert one.state is phase
        with pytest.raises(OutOfPlace, match="error of no known turn"):
            lanes.of(ERROR)
        finish(lanes, other) if phase is not State.DRAINING else other.take(on(other, "response.completed"))
        assert lanes.of(ERROR) is one


def test_an_unnamed_error_of_an_abandoned_turn_is_dropped() -> None:
    """Its caller is gone, and the error is no other's."""
    lanes = proven()
    lane = begin(lanes)
    lane.abandon()
    assert lanes.of(ERROR).take(ERROR) is NOBODY
    assert lane.idle


@pytest.mark.parametrize(("begun", "retiring"), [(False, False), (True, True)])
def test_an_error_that_breaks_an_answer_off_ends_the_line(begun: bool, retiring: bool) -> None:  # noqa: FBT001
    """What some hosts say behind it is no other turn's; a create that is refused has nothing behind it."""
    lanes = proven()
    lane = begin(lanes)
    for event in [CREATED] * begun:
        lane.take(event)
    lane.take(ERROR)
    assert (lane.state, lanes.retiring) == (State.IDLE, retiring)


def test_an_unnamed_error_may_be_that_of_a_quarantined_lane() -> None:
    """The upstream may still be at work on what was given up: its error is no other caller's."""
    lanes = proven()
    lost, other = begin(lanes), begin(lanes)
    lost.abandon()
    lost.distrust()
    with pytest.raises(OutOfPlace):
        lanes.of(ERROR)
    finish(lanes, other)
    assert lanes.of(ERROR).take(ERROR) is NOBODY


def test_a_leased_lane_is_not_at_work() -> None:
    """Before its create is written no error can be its."""
    lanes = proven()
    lane, waiting = begin(lanes), lanes.spare()
    assert waiting
    lanes.lease(waiting)
    assert lanes.of(ERROR) is lane


def test_an_error_proves_nothing_of_lanes() -> None:
    """An error without a name may come of any host: the name is kept until an answer lacks it."""
    lanes = Lanes(1, named=True)
    lane = begin(lanes)
    assert lanes.of(ERROR) is lane
    assert (lanes.named, lanes.proven, lane.name) == (True, False, "l1")


def test_a_missing_echo_makes_the_one_lane_nameless() -> None:
    """A host that ignores the name took the create on its only lane, and gets no more names."""
    lanes = Lanes(1, named=True)
    lane = begin(lanes)
    assert lanes.of(CREATED) is lane
    assert (lanes.named, lanes.proven, lane.name) == (False, False, None)
    assert lanes.of(DELTA) is lane
    with pytest.raises(OutOfPlace):
        lanes.of(on("l1"))
    left = finish(lanes, lane)
    assert lane.holds(left)
    assert list(lanes) == [lane]
    assert lanes.spare() is None


# --- forks


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
    lone = Lanes(1, named=False)
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


def test_the_lane_used_longest_ago_is_given_up_first() -> None:
    """A conversation that goes on is not the victim because it began first."""
    lanes = proven()
    first = next(iter(lanes))
    second, third = begin(lanes), begin(lanes)
    finish(lanes, third)
    finish(lanes, second)
    assert lanes.oldest() is first
    for used, left in ((first, second), (second, third), (third, first), (second, first)):
        lanes.lease(used)
        used.create(TURN)
        used.leased = False
        finish(lanes, used)
        assert lanes.oldest() is left
    assert len(list(lanes)) == 3


def test_a_lane_that_a_turn_has_is_not_given_up() -> None:
    """The oldest lane is taken only while it is idle; else the next one that is."""
    lanes = proven()
    first = next(iter(lanes))
    second = begin(lanes)
    finish(lanes, second)
    assert lanes.oldest() is first
    lanes.lease(first)
    assert lanes.oldest() is second
    second.create(TURN)
    assert lanes.oldest() is None


def test_no_fork_before_a_name_was_echoed() -> None:
    """With room for one turn only, and lanes unproven, nothing is lent."""
    lanes = Lanes(1, named=True)
    assert lanes.room
    assert lanes.spare() is not None
    assert not lanes.can_fork


def test_who_asked_is_the_lane_that_waits_for_an_answer() -> None:
    """An error answers the create of its lane only while nothing else came of it; elsewhere nobody is told."""
    lanes = proven()
    lane = begin(lanes)
    error = Event("error", Kind.ERROR, msgspec.json.encode({"type": "error", "stream_id": lane.name}))
    assert lanes.asked_by(error) is lane
    lane.take(on(lane))
    assert lanes.asked_by(error) is None
    assert lanes.asked_by(Event("error", Kind.ERROR, b'{"type":"error","stream_id":"nobody"}')) is None
