"""Lanes: which one a turn gets, what may be in flight, and which lane an event belongs to."""

import msgspec
import pytest

from proxy.core.events import Event, Kind, NotAnEvent
from proxy.core.heads import Head
from proxy.core.lane import Lane, OutOfPlace, State, Whose
from proxy.core.lanes import MOST_IN_FLIGHT, MOST_NAMED, RESTED_SECONDS, SINGLE_SECONDS, Lanes
from proxy.core.reasons import Whole
from tests.core.laned import (
    COMPLETED,
    CREATED,
    DELTA,
    ERROR,
    HEAD,
    NOBODY,
    Clock,
    begin,
    event,
    filled,
    finish,
    on,
    proven,
    turn_on,
)


def test_a_host_without_lanes_has_one_nameless_lane() -> None:
    """One turn at a time, on a lane without a name; its conversation has to be given up for another."""
    lanes = Lanes(7, named=False, clock=float)
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
    lanes = Lanes(1, named=True, clock=float)
    lane = begin(lanes)
    assert lane.name == "l1"
    assert (lanes.room, lanes.spare(), lanes.oldest(), lanes.can_fork(HEAD)) == (False, None, None, False)
    assert lanes.of(on(lane)) is lane
    assert lanes.proven
    assert lanes.room
    other = lanes.spare()
    assert other is not None
    assert other.name == "l2"


def test_a_lease_counts_before_its_create_is_written() -> None:
    """Between lease and create a lane is taken, and counts against what may be in flight."""
    lanes = Lanes(1, named=True, clock=float)
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
    assert (lanes.room, lanes.spare(), lanes.oldest(), lanes.can_fork(HEAD)) == (False, None, None, False)
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
    assert not lanes.can_fork(HEAD)
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
    lanes.retire(Whole.ROTATED)
    assert (lanes.room, lanes.spare(), lanes.oldest(), lanes.can_fork(HEAD)) == (False, None, None, False)
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
    lanes = Lanes(1, named=True, clock=float)
    lane = begin(lanes)
    assert lanes.of(ERROR) is lane
    assert (lanes.named, lanes.proven, lane.name) == (True, False, "l1")


def test_a_missing_echo_makes_the_one_lane_nameless() -> None:
    """A host that ignores the name took the create on its only lane, and gets no more names."""
    lanes = Lanes(1, named=True, clock=float)
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


def test_no_fork_before_a_name_was_echoed() -> None:
    """With room for one turn only, and lanes unproven, nothing is lent."""
    lanes = Lanes(1, named=True, clock=float)
    assert lanes.room
    assert lanes.spare() is not None
    assert not lanes.can_fork(HEAD)


def test_who_asked_is_the_lane_that_waits_for_an_answer() -> None:
    """An error answers the create of its lane only while nothing else came of it; elsewhere nobody is told."""
    lanes = proven()
    lane = begin(lanes)
    error = Event("error", Kind.ERROR, msgspec.json.encode({"type": "error", "stream_id": lane.name}))
    assert lanes.asked_by(error) is lane
    lane.take(on(lane))
    assert lanes.asked_by(error) is None
    assert lanes.asked_by(Event("error", Kind.ERROR, b'{"type":"error","stream_id":"nobody"}')) is None


# --- which lane is given up


def test_the_lane_used_longest_ago_is_given_up_first() -> None:
    """A conversation that goes on is not the victim because it began first, nor one whose turn has just ended."""
    clock = Clock()
    lanes = proven(clock)
    first = next(iter(lanes))
    second, third = begin(lanes), begin(lanes)
    for lane in (third, second):
        clock.now += 1
        finish(lanes, lane)
        lane.release()
    assert lanes.oldest() is first
    for used, left in ((first, third), (third, second), (second, first), (third, first)):
        clock.now += 1
        turn_on(lanes, used)
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
    second.create(Whose.TURN)
    assert lanes.oldest() is None
    second.take(ERROR)
    assert lanes.spare() is second  # it holds no conversation
    assert lanes.oldest() is None


def test_a_lane_is_spare_in_this_order() -> None:
    """One that remembers nothing, then a new name, then the kept one whose undo is oldest; a conversation never."""
    lanes = proven()
    held = next(iter(lanes))
    empty, older, newer = begin(lanes), begin(lanes), begin(lanes)
    for lane in (older, newer):
        finish(lanes, lane)
        lane.kept = True
    empty.take(ERROR)
    assert lanes.spare() is empty
    begin(lanes).take(on(empty))
    finish(lanes, empty)
    new = lanes.spare()
    assert new
    assert new not in list(lanes)
    assert new.name == "l5"
    filled(lanes)
    assert lanes.spare() is older
    older.kept = False
    assert lanes.spare() is newer
    newer.kept = False
    assert lanes.spare() is None
    assert held.latest


def test_no_more_names_are_spent_than_the_host_takes() -> None:
    """What is learned of the host on the way counts at once; the names that were spent before stay in use."""
    budget = [3]
    lanes = Lanes(1, named=True, clock=float, names=lambda: budget[0])
    finish(lanes, begin(lanes))
    finish(lanes, begin(lanes))
    assert lanes.spare()
    budget[0] = 1
    assert lanes.spare() is None
    assert len(list(lanes)) == 2
    next(iter(lanes)).kept = True
    assert lanes.spare() is next(iter(lanes))
    budget[0] = 3
    fresh = lanes.spare()
    assert fresh
    assert fresh.name == "l3"


def test_a_name_that_was_refused_is_not_offered_again() -> None:
    """Once it is known how few the host takes; a refused one below that number was refused for another reason."""
    budget = [MOST_NAMED]
    lanes = Lanes(1, named=True, clock=float, names=lambda: budget[0])
    first = begin(lanes)
    lanes.of(on(first)).take(CREATED)
    second, third = begin(lanes), begin(lanes)
    for lane in (second, third):
        finish_refused(lane)
    assert [lane.ahead for lane in lanes] == [0, 1, 2]
    assert lanes.spare() is second
    budget[0] = 2
    begin_on(lanes, second)
    assert lanes.spare() is None


def test_with_half_of_its_names_given_up_a_connection_takes_no_new_turns() -> None:
    """A new one has them all."""
    lanes = Lanes(1, named=True, clock=float, names=lambda: 4)
    for number, reason in ((1, None), (2, Whole.CONNECTION_LOST)):
        lane = begin(lanes)
        for kind in ("response.created", "error"):
            lanes.of(on(lane, kind)).take(on(lane, kind))
        lane.release()
        assert lane.state is State.QUARANTINED
        assert (len(list(lanes)), lanes.reason) == (number, reason)


def test_a_connection_with_names_has_no_room_where_the_host_takes_none() -> None:
    """Not even on lanes that it took before: on such a host what is said to one may be lost on another."""
    budget = [MOST_NAMED]
    lanes = Lanes(1, named=True, clock=float, names=lambda: budget[0])
    finish(lanes, begin(lanes))
    budget[0] = 0
    assert (lanes.room, lanes.spare(), lanes.oldest()) == (False, None, None)
    assert Lanes(2, named=False, clock=float, names=lambda: 0).spare()


def finish_refused(lane: Lane) -> None:
    """Its turn is refused, and over."""
    lane.take(ERROR)
    lane.release()


def begin_on(lanes: Lanes, lane: Lane) -> None:
    """One more turn on it."""
    lanes.lease(lane)
    lane.create(Whose.TURN)


def test_the_names_that_a_host_took_are_counted() -> None:
    """Those of which it said something other than an error: its refusal of one more is none of them."""
    lanes = proven()
    assert lanes.taken == 1
    begin(lanes).take(CREATED)
    assert lanes.taken == 2
    refused = begin(lanes)
    refused.take(ERROR)
    assert (refused.taken, lanes.taken) == (False, 2)
    begin(lanes).take(CREATED)
    refused.take(ERROR)
    assert (refused.taken, lanes.taken) == (True, 3)


def test_what_is_kept_is_given_up_in_the_order_of_its_use() -> None:
    """The undo that is left is that of what was said last."""
    lanes = proven()
    filled(lanes)
    one, other = list(lanes)[3:5]
    one.kept = other.kept = True
    assert lanes.spare() is one
    turn_on(lanes, one)
    one.kept = True
    assert lanes.spare() is other


def test_what_was_over_after_one_turn_goes_first_and_soon() -> None:
    """Whatever was used longest ago: of those the oldest, when it has rested for a little."""
    clock = Clock()
    lanes = proven(clock)
    filled(lanes)
    assert not lanes.has_single
    loop, *_, older, newer = lanes
    for clock.now, lane in ((1.0, older), (1.5, newer)):
        turn_on(lanes, lane)
        lane.single = True
    assert lanes.has_single
    assert lanes.oldest() is older
    clock.now = 1.0 + SINGLE_SECONDS - 0.1
    assert lanes.rested() is None
    clock.now = 1.0 + SINGLE_SECONDS
    assert lanes.rested() is older
    turn_on(lanes, older)
    assert not older.single
    assert lanes.oldest() is newer
    turn_on(lanes, newer)
    assert lanes.oldest() is loop
    assert lanes.rested() is None
    clock.now = RESTED_SECONDS
    assert lanes.rested() is loop


def test_where_it_is_tight_a_fork_takes_the_oldest_lane_though_it_has_not_rested() -> None:
    """A turn in full would have to take one too; its parent's is never taken."""
    tight = False
    lanes = Lanes(1, named=True, clock=Clock(), tight=lambda: tight)
    filled(lanes)
    first, second = list(lanes)[:2]
    assert first.latest
    assert not lanes.can_fork(first.latest)
    tight = True
    assert lanes.can_fork(first.latest)
    assert lanes.claim(first.latest, fork=True) is second


def test_a_fork_is_never_given_its_parents_lane() -> None:
    """Neither as a spare one nor as one at rest, whatever else there is."""
    clock = Clock()
    lanes = proven(clock)
    filled(lanes)
    first, second = list(lanes)[:2]
    assert first.latest
    first.kept = True
    clock.now = RESTED_SECONDS
    assert lanes.spare() is first
    assert lanes.spare(beside=first.latest) is None
    assert lanes.rested() is lanes.oldest() is first
    assert lanes.rested(beside=first.latest) is lanes.oldest(beside=first.latest) is second
    assert lanes.claim(first.latest, fork=True) is second
    second.kept = True
    assert lanes.spare(beside=first.latest) is second


def test_a_conversation_at_rest_makes_way_for_a_fork() -> None:
    """After a minute, as nobody seems to go on with it; one that was left a moment ago does not."""
    clock = Clock()
    lanes = proven(clock)
    filled(lanes)
    parent = list(lanes)[7]
    assert parent.latest
    clock.now = RESTED_SECONDS - 0.1
    assert (lanes.rested(), lanes.can_fork(parent.latest)) == (None, False)
    assert lanes.claim(parent.latest, fork=True) is None
    clock.now = RESTED_SECONDS
    assert lanes.rested() is next(iter(lanes))
    assert lanes.can_fork(parent.latest)
    assert lanes.claim(parent.latest, fork=True) is lanes.rested()
    assert not lanes.keeps(parent.latest)
    last = list(lanes)[-1]
    last.kept = True
    assert lanes.claim(parent.latest, fork=True) is last  # rather than a conversation
    lanes.retire(Whole.ROTATED)
    assert (lanes.rested(), lanes.oldest(), lanes.can_fork(parent.latest)) == (None, None, False)


def test_what_rests_is_told_by_the_end_of_its_last_turn() -> None:
    """A long turn that began first may end last: another lane has rested meanwhile, and is found."""
    clock = Clock()
    lanes = proven(clock)
    long, short = begin(lanes), begin(lanes)
    finish(lanes, short)
    short.release()
    filled(lanes)
    clock.now = RESTED_SECONDS
    for lane in lanes:
        if lane is not short and lane is not long:
            turn_on(lanes, lane)
    finish(lanes, long)
    long.release()
    assert lanes.rested() is lanes.oldest() is short
    turn_on(lanes, short)
    assert lanes.rested() is None


# --- what a turn has


def test_a_claim_is_the_heads_own_lane_or_one_beside_it() -> None:
    """In place on the lane that holds it and on no other; a fork on another; nothing where it is not held."""
    lanes = proven()
    first = next(iter(lanes))
    second = begin(lanes)
    held = finish(lanes, second)
    assert lanes.claim(held, fork=False) is second
    fork = lanes.claim(held, fork=True)
    assert fork
    assert fork not in (first, second)
    lanes.lease(second, held)
    assert lanes.claim(held, fork=False) is None
    assert lanes.claim(HEAD, fork=False) is None


def test_a_lease_in_place_forks_nothing() -> None:
    """The head that the lane itself holds is the turn's parent; nothing is kept, nothing pinned."""
    lanes = proven()
    lane = next(iter(lanes))
    lanes.lease(lane, lane.latest)
    assert (lane.parent, lane.forked, lane.kept) == (lane.latest, None, False)
    assert lane.latest
    assert not lanes.forking(lane.latest)


def test_a_fork_that_can_be_continued_keeps_its_parent() -> None:
    """The head stays on its lane, which is kept from then on; no other lane is. Till then it is all there is."""
    lanes = proven()
    lane, other = next(iter(lanes)), begin(lanes)
    finish(lanes, other)
    assert lane.latest
    beside = lanes.claim(lane.latest, fork=True)
    assert beside
    lanes.lease(beside, lane.latest)
    assert (beside.parent, beside.forked, beside.kept) == (None, lane.latest, False)
    assert lanes.forking(lane.latest)
    beside.create(Whose.TURN, continuing=lane.latest)
    beside.take(on(beside, "response.created"))
    assert (lane.kept, other.kept) == (False, False)
    beside.take(on(beside, "response.in_progress"))
    assert (lane.kept, other.kept) == (False, False)
    finish(lanes, beside, "further on")
    assert (lane.kept, other.kept) == (True, False)


def test_a_parent_that_waits_for_a_result_is_never_kept_for_an_undo_alone() -> None:
    """Sub-agents start from the call that they are to answer: whoever made it goes on in place, and goes first."""
    lanes = proven()
    lane = next(iter(lanes))
    main = Head("main", (b"main",), b"key", lane, stored=False, waits=True)
    lane.commit(main)
    for _ in range(MOST_NAMED):
        lanes.lease(beside := lanes.claim(main, fork=True) or begin(lanes), main)
        beside.create(Whose.TURN, continuing=main)
        finish(lanes, beside, "sub-agent")
        beside.release()
        beside.kept = True  # it has gone on, too
    assert (lane.holds(main), lane.kept, lane.vacant) == (True, False, False)


@pytest.mark.parametrize("end", ["", "error", "response.failed"], ids=["never sent", "refused", "failed"])
def test_a_fork_that_came_to_nothing_keeps_nothing(*, end: str) -> None:
    """Its parent is still the conversation's only point: no other may take its lane for a mere undo."""
    lanes = proven()
    lane = next(iter(lanes))
    assert lane.latest
    beside = lanes.claim(lane.latest, fork=True)
    assert beside
    lanes.lease(beside, lane.latest)
    if end:
        beside.create(Whose.TURN, continuing=lane.latest)
        if end == "response.failed":
            beside.take(on(beside, "response.in_progress"))
        beside.take(on(beside, end))
    beside.release()
    assert beside.forked is None
    assert (lane.kept, lane.vacant, lanes.forking(lane.latest)) == (False, False, False)


def test_forks_that_are_over_are_not_gathered() -> None:
    """One that is refused and tried again, for ever, takes no more memory than the first."""
    lanes = proven()
    parent = next(iter(lanes)).latest
    assert parent
    for _ in range(3):
        beside = lanes.claim(parent, fork=True)
        assert beside
        lanes.lease(beside, parent)
        beside.create(Whose.TURN, continuing=parent)
        beside.take(on(beside, "error"))
        beside.release()
        assert lanes._forks == []
    begin(lanes)  # on that lane
    elsewhere = lanes.claim(parent, fork=True)
    assert elsewhere
    lanes.lease(elsewhere, parent)
    assert lanes._forks == [elsewhere]
    elsewhere.release()
    assert not lanes.forking(parent)


def test_a_lease_that_continues_nothing_keeps_nothing() -> None:
    """A turn in full takes an empty lane, or one with a conversation, while others are empty."""
    lanes = proven()
    held = next(iter(lanes))
    lane, other = begin(lanes), begin(lanes)
    lane.take(ERROR)
    other.take(ERROR)
    for taken in (lane, held):
        lanes.lease(taken)
        assert (taken.parent, taken.forked) == (None, None)
        assert not any(each.kept for each in lanes)


def test_where_forks_find_no_parent_there_are_none() -> None:
    """Neither for an undo nor for a sibling, as soon as that is known of the host; in place all is as ever."""
    known = [True]
    lanes = Lanes(1, named=True, clock=float, forks=lambda: known[0])
    finish(lanes, begin(lanes))
    lane = next(iter(lanes))
    parent = lane.latest
    assert parent
    assert lanes.keeps(parent)
    assert lanes.can_fork(parent)
    known[0] = False
    assert not lanes.keeps(parent)
    assert not lanes.can_fork(parent)
    assert lanes.claim(parent, fork=False) is lane


def test_a_head_is_kept_only_where_a_lane_is_spare() -> None:
    """Another lane is taken for an undo's sake if no conversation is given up for it, and there is room."""
    lanes = proven()
    parent = next(iter(lanes)).latest
    assert parent
    assert lanes.keeps(parent)
    filled(lanes)
    assert not lanes.keeps(parent)
    first, *_, last = lanes
    first.kept = True
    assert lanes.spare() is parent.place
    assert not lanes.keeps(parent)
    last.kept = True
    assert lanes.keeps(parent)
    unproven = Lanes(1, named=True, clock=float)
    assert unproven.spare()
    assert not unproven.keeps(HEAD)


def test_conversations_are_what_a_lane_is_needed_for() -> None:
    """Those under way, at rest or pinned count; empty lanes and kept ones do not."""
    lanes = proven()
    assert lanes.conversations == 1
    second = begin(lanes)
    assert lanes.conversations == 2
    second.take(ERROR)
    assert lanes.conversations == 1
    lane = next(iter(lanes))
    lanes.lease(second, lane.latest)
    assert lanes.conversations == 2
    second.create(Whose.TURN, continuing=lane.latest)
    second.take(on(second, "response.in_progress"))
    assert lanes.conversations == 2
    finish(lanes, second, "further on")
    assert lane.kept
    assert lanes.conversations == 1
    lost = begin(lanes)
    lost.distrust()
    assert lanes.conversations == 2


def test_a_connection_is_promising_until_its_first_echo() -> None:
    """While a first turn is under way there may be more room soon: not before, not after, and not without lanes."""
    lanes = Lanes(1, named=True, clock=float)
    assert not lanes.promising
    lane = begin(lanes)
    assert lanes.promising
    lanes.of(on(lane))
    assert not lanes.promising
    retiring = Lanes(1, named=True, clock=float)
    begin(retiring)
    retiring.retire(Whole.ROTATED)
    assert not retiring.promising
    nameless = Lanes(1, named=False, clock=float)
    begin(nameless)
    assert not nameless.promising
    silent = Lanes(1, named=True, clock=float)
    silent.of(CREATED) if begin(silent) else None
    assert not silent.promising


def test_a_lone_turn_that_waits_is_known() -> None:
    """Its create alone can be what ended the line: where another turn is about, that cannot be told."""
    lanes = proven()
    assert lanes.sole_awaited is None
    lane = begin(lanes)
    assert lanes.sole_awaited is lane
    other = lanes.spare()
    assert other
    lanes.lease(other)
    assert lanes.sole_awaited is None
    other.release()
    assert lanes.sole_awaited is lane
    lane.take(CREATED)
    assert lanes.sole_awaited is None
