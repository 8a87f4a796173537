"""Lanes: the ordered streams of one connection, how many may be at work, and which one a turn gets."""

from collections.abc import Callable, Iterator

from proxy.core.events import Event, Kind, lane_name
from proxy.core.heads import Head
from proxy.core.lane import Lane, OutOfPlace, State, Unowned
from proxy.core.reasons import Whole

# protocol.md, "Lanes": per connection.
MOST_IN_FLIGHT = 16
MOST_NAMED = 32
# So long a lane is idle when its conversation is taken to have ended: tools take less, most of the time. People think
# for longer; theirs is given up only where so many newer ones need the lanes.
RESTED_SECONDS = 60.0
# The same for one that was over after its first turn, without a call: a title, a summary, a check. Agents make more of
# these than of anything else, and go on from few. What a program says next comes sooner; people take longer, but theirs
# costs one turn in full, and only where so many newer ones need the lanes.
SINGLE_SECONDS = 2.0


class Lanes:
    """The lanes of one connection. Where the host has lanes every one is named; elsewhere there is one, nameless.

    Until an event has echoed a lane's name it is not known that the host understands names: so long there is
    never more than one create in flight, and a missing echo makes the one lane the nameless one.
    """

    def __init__(
        self,
        connection: int,
        *,
        named: bool,
        clock: Callable[[], float],
        names: Callable[[], int] = lambda: MOST_NAMED,
        forks: Callable[[], bool] = lambda: True,
        tight: Callable[[], bool] = lambda: False,
    ) -> None:
        self.connection = connection
        self.named = named
        self.names = names
        """How many names it may spend in its life, as far as is known of the host by now."""
        self.forks = forks
        """Whether one lane may go on from what another holds, as far as is known of the host by now."""
        self.tight = tight
        """Whether a turn that continues nothing has nowhere to go unless a conversation is given up."""
        self.clock = clock
        self.proven = False
        self.written = 0
        """How many lanes were ever used for a create."""
        self.reason: Whole | None = None
        """Why it takes no new turns, if it takes none; it closes after those that it has."""
        self._lanes: dict[str | None, Lane] = {}
        self._forks: list[Lane] = []
        """Those whose turn continues what another lane holds, as long as it may not have begun."""

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    @property
    def in_flight(self) -> int:
        """Turns that the upstream is at work on, and leases that have not written theirs yet."""
        return sum(lane.in_flight or lane.leased for lane in self._lanes.values())

    @property
    def awaited(self) -> list[Lane]:
        """The lanes whose create awaits its first event."""
        return [lane for lane in self._lanes.values() if lane.state is State.AWAITED]

    @property
    def sole_awaited(self) -> Lane | None:
        """The one, where no other turn is about."""
        awaited = self.awaited
        return awaited[0] if len(awaited) == self.in_flight == 1 else None

    @property
    def retiring(self) -> bool:
        """Whether it takes no new turns."""
        return self.reason is not None

    @property
    def room(self) -> bool:
        """Whether one more turn may start."""
        if self.retiring or (self.named and not self.names()):
            return False
        return self.in_flight < (MOST_IN_FLIGHT if self.proven else 1)

    @property
    def busy(self) -> bool:
        """Whether any turn has a part of it."""
        return self.in_flight > 0

    @property
    def promising(self) -> bool:
        """Whether there may be room for more as soon as the first event is there."""
        return self.named and not self.proven and not self.retiring and self.busy

    @property
    def conversations(self) -> int:
        """How many it carries, those at rest among them."""
        return sum(not lane.vacant for lane in self._lanes.values())

    @property
    def has_single(self) -> bool:
        """Whether a conversation that was over after its first turn can be given up there."""
        return any(lane.single for lane in self._idle(None))

    @property
    def taken(self) -> int:
        """How many names the host has taken, as far as its events show."""
        return sum(lane.taken for lane in self._lanes.values())

    def retire(self, reason: Whole) -> None:
        """Take no new turns."""
        self.reason = reason

    def lost_name(self) -> None:
        """A lane was given up: where half of the names are, others are better off on a new connection."""
        given_up = sum(lane.state is State.QUARANTINED for lane in self._lanes.values())
        if 2 * given_up >= self.names():
            self.retire(self.reason or Whole.CONNECTION_LOST)

    def forking(self, head: Head) -> bool:
        """Whether a fork of `head` has not begun yet: what it continues must be held until then."""
        return any(lane.forked is head for lane in self._forks)

    def begun(self, lane: Lane) -> None:
        """The fork that the lane has goes on without its parent."""
        if lane in self._forks:
            self._forks.remove(lane)

    def keeps(self, head: Head) -> bool:
        """Whether `head` can be continued on another lane without a conversation being given up."""
        return self.proven and self.forks() and self.spare(beside=head) is not None

    def can_fork(self, head: Head) -> bool:
        """Whether `head` may be continued on another lane."""
        return self.proven and self.forks() and self._beside(head) is not None

    def spare(self, *, beside: Head | None = None) -> Lane | None:
        """A lane that no conversation goes on from, and that does not hold `beside`; None where there is none.

        In this order: one that remembers nothing; a new one, where the budget allows; the one whose undo is oldest.
        """
        if not self.room:
            return None
        vacant = [
            lane
            for lane in self._lanes.values()
            if lane.vacant and self._within(lane) and (beside is None or lane.latest is not beside)
        ]
        empty = next((lane for lane in vacant if lane.latest is None), None)
        if empty or len(self._lanes) >= (self.names() if self.named else 1):
            return empty or next(iter(vacant), None)
        return Lane(self, f"l{len(self._lanes) + 1}" if self.named else None)

    def oldest(self, *, beside: Head | None = None) -> Lane | None:
        """An idle lane whose conversation may be given up; never the one with `beside`.

        One that was over after its first turn; else, and among these, the one used longest ago.
        """
        return min(self._idle(beside), key=lambda lane: (not lane.single, lane.used_at), default=None)

    def rested(self, *, beside: Head | None = None) -> Lane | None:
        """The same, if its conversation can be taken to have ended."""
        now = self.clock()
        rested = [
            lane
            for lane in self._idle(beside)
            if now - lane.used_at >= (SINGLE_SECONDS if lane.single else RESTED_SECONDS)
        ]
        return min(rested, key=lambda lane: (not lane.single, lane.used_at), default=None)

    def keep(self, head: Head) -> None:
        """A conversation has gone on from `head` elsewhere, and it is kept for an undo.

        Not where its answer calls a tool: whoever is to bring the result (sub-agents are at it, say) goes on in place.
        """
        for lane in self._lanes.values():
            lane.kept |= lane.latest is head and not head.waits

    def claim(self, head: Head, *, fork: bool) -> Lane | None:
        """The lane on which a turn goes on from `head`: its own, or for a fork another; None where there is none."""
        if fork:
            return self._beside(head)
        return next((lane for lane in self._lanes.values() if lane.holds(head)), None)

    def lease(self, lane: Lane, continuing: Head | None = None) -> None:
        """A turn has `lane` now, and goes on from `continuing`: what that lane holds, or what another does."""
        own = lane.latest is continuing
        lane.leased = True
        lane.parent, lane.forked = (continuing, None) if own else (None, continuing)
        if lane.forked:
            self._forks = [*(fork for fork in self._forks if fork.forked and fork is not lane), lane]
        self._lanes.pop(lane.name, None)
        self._lanes[lane.name] = lane

    def of(self, event: Event) -> Lane:
        """The lane that an event belongs to. Raises OutOfPlace where that cannot be told."""
        name = lane_name(event.frame) if self.named or b'"stream_id"' in event.frame else None
        lane = self._lanes.get(name)
        if lane is not None:
            self.proven |= name is not None
            return lane
        error = event.kind is Kind.ERROR
        # On a lane that was given up the upstream may still be at work, for ever as far as can be known.
        at_work = [lane for lane in self._lanes.values() if lane.in_flight or lane.state is State.QUARANTINED]
        if name is None and error and len(at_work) > 1:
            raise Unowned(f"{event.label} of no known turn")
        if name is not None or len(at_work) != 1 or (self.proven and not error):
            raise OutOfPlace(f"{event.label} of no known turn")
        if not self.proven and not error:
            self._unname(at_work[0])
        return at_work[0]

    def asked_by(self, event: Event) -> Lane | None:
        """The lane whose create this error answers, where that can be told."""
        try:
            lane = self.of(event)
        except OutOfPlace:
            return None
        return lane if lane.state is State.AWAITED else None

    def _within(self, lane: Lane) -> bool:
        """Whether the host may take its name: not where it has refused it, and takes no more than so many."""
        return not self.named or lane.taken or lane.ahead is None or lane.ahead < self.names()

    def _idle(self, beside: Head | None) -> list[Lane]:
        """The lanes that may move on from a conversation, where one more turn may start."""
        free = [lane for lane in self._lanes.values() if lane.free] if self.room else []
        return [lane for lane in free if lane.latest not in (None, beside)]

    def _beside(self, head: Head) -> Lane | None:
        # Where it is tight a full turn would have to give one up as well.
        return (
            self.spare(beside=head) or self.rested(beside=head) or (self.oldest(beside=head) if self.tight() else None)
        )

    def _unname(self, lane: Lane) -> None:
        """The host did not echo the name: it has no lanes, and took the create on its only one."""
        self.named = False
        lane.name = None
        self._lanes = {None: lane}
