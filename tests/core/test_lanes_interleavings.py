"""Interleavings: many callers' turns over several connections, judged by what the far ends hold.

The core decides, leases and takes events as `upstream/connection.py` and `turns/memory.py` have it do; the far ends
(`far_end.py`) know the protocol alone. In between things take their time: what is written is not read at once, and what
is said is not heard at once. One race is left, and it is not new: a sibling that was lent a parent, while the parent's
first child had its lane, finds it gone where that child came to its end first (or, at a hasty host, began first). Its
full context is sent then, on the same lane; where the host had said `response.created` of it, the error is its
caller's, and the connection retires.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proxy.core.continuation import Continuation, Delta, Full, Trust, decide
from proxy.core.events import Kind, sniff
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Head, Heads
from proxy.core.lane import Lane, OutOfPlace, State, Whose
from proxy.core.lanes import MOST_IN_FLIGHT, MOST_NAMED, RESTED_SECONDS, Lanes
from proxy.core.meaning import Rules
from proxy.core.reasons import Whole
from proxy.core.request import CreateRequest, parse
from proxy.core.scope import scope
from tests.core.far_end import Cloud, Create, Ending, FarEnd, Items, Stage, spelled

PRINTS = Fingerprints(b"secret")
RULES = Rules()
TRUSTED = Trust(verified=True)
KEY = b"key"
_BEFORE_PROGRESS = ("response.created", "response.queued")


@dataclass(eq=False)
class Line:
    """One connection: the core's side, the far end, and what the judge has seen of it."""

    lanes: Lanes
    far: FarEnd
    most_named: int
    """How many names the host takes."""
    asks: bool = False
    """Whether a made-up id is sent ahead of the first create."""
    open: bool = True
    echoed: bool = False
    """Whether an event has come that names a lane."""
    names: set[str | None] = field(default_factory=set)
    points: dict[Lane, str] = field(default_factory=dict)
    """The response that each lane was last left with."""
    left_at: dict[Lane, float] = field(default_factory=dict)
    odd: bool = False
    """Whether something was said here of which it cannot be told whose it is."""


@dataclass(eq=False)
class Turn:
    """One caller's turn, from the lease of its lane to its end."""

    request: CreateRequest
    history: Items
    chain: Sequence[bytes]
    continuation: Continuation
    line: Line
    lane: Lane
    beside: bool
    """Whether it continues on a lane of its own what another lane holds or lends."""
    lent: bool
    """Whether the parent's first child had its lane when it was lent to this one."""
    create: Create | None = None
    probe: Create | None = None
    """What was asked ahead of it."""
    dead: Head | None = None
    begun: bool = False
    """Whether an event was heard by which it is in progress, or over."""
    ended: bool = False
    gone: bool = False
    """Whether its caller is."""

    @property
    def head(self) -> Head | None:
        """What it continues."""
        return self.continuation.head if isinstance(self.continuation, Delta) else None

    @property
    def pins(self) -> Head | None:
        """The head that must stay where it is, as this turn may not have it yet."""
        return self.head if self.beside and not self.begun else None


def says(history: Items) -> bool:
    """Whether a user says something there."""
    return any('"role":"user"' in item for item in history)


def calls(point: Items) -> bool:
    """Whether what is said there is a call, of which the result is to come."""
    return '"function_call"' in point[-1]


def body(history: Items, *, store: bool) -> bytes:
    """The caller's request."""
    return f'{{"model":"m","store":{str(store).lower()},"input":[{",".join(history)}]}}'.encode()


def words(text: str) -> str:
    """What a user says."""
    return spelled({"role": "user", "content": text})


def result(text: str) -> str:
    """What a tool says."""
    return spelled({"type": "function_call_output", "call_id": "c", "output": text})


def made_up(lane: str | None) -> bytes:
    """The question what the host makes of an id that it cannot know."""
    named = f'"stream_id":"{lane}",' if lane else ""
    return f'{{{named}"previous_response_id":"made up","generate":false,"input":[]}}'.encode()


NUMBERS = st.integers(0, 9)
ENDINGS: st.SearchStrategy[Ending] = st.sampled_from(
    ["completed"] * 8 + ["incomplete", "failed", "error", "error", "nameless error", "error, then failed"]
)
USER, TOOL = (words("u"),), (result("a"),)
ADDED = st.sampled_from([(words("u"),), (words("v"),), (result("a"),), (result("b"),), (result("a"), words("u"))])


class Interleavings(RuleBasedStateMachine):
    """Everything at once. `Line` and `Turn` hold what the judge knows; it asks the core nothing but what it decided."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.now = 0.0
        self.heads = Heads(most=100_000, max_age=1e9, clock=self.clock)
        self.cloud = Cloud()
        self.lines: list[Line] = []
        self.turns: list[Turn] = []
        """Those whose lane is not idle again."""
        self.asked: list[tuple[Items, bool]] = []
        """Every request so far, and whether it is to be stored."""
        self.answers: list[tuple[Items, bool]] = []
        """The histories that callers have: each request with its answer."""
        self.kept: dict[str, tuple[Line, Lane, Items, bool]] = {}
        """Each response of which a head was made: where it was left, what it stands for, whether it is stored."""
        self.continued: set[str] = set()
        """Those that a conversation has gone on from on a lane beside theirs, and of which no result is waited for."""
        self.lost: set[str] = set()
        """Those of which a far end said that they are gone, or whose continuation it refused: they are given up."""

    @initialize(few=st.booleans())
    def start(self, few: bool = False) -> None:  # noqa: FBT001, FBT002 - hypothesis passes it by name
        """There is a connection with lanes."""
        self.open(lanes=True, named=True, hasty=False, few=few)

    def clock(self) -> float:
        """The time, in seconds."""
        return self.now

    # --- what happens to connections

    @rule(kind=st.sampled_from(["lanes", "lanes", "none", "silent"]), hasty=st.booleans(), asks=st.booleans())
    def dial(self, kind: str, hasty: bool, asks: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """One more: with lanes, without, or where lanes are hoped for that are not there. A few at most."""
        if len([line for line in self.lines if line.open]) < 4:
            self.open(lanes=kind == "lanes", named=kind != "none", hasty=hasty, asks=asks, few=asks)

    def open(self, *, lanes: bool, named: bool, hasty: bool, asks: bool = False, few: bool = False) -> None:
        """A connection is there; the host takes all the names that it may, or `few` alone."""
        most = 4 if few else MOST_NAMED
        far = FarEnd(self.cloud, lanes, hasty, most)
        core = Lanes(len(self.lines) + 1, named=named, clock=self.clock, names=lambda: most)
        self.lines.append(Line(core, far, most, asks))

    @rule(number=NUMBERS, really=st.sampled_from([False] * 5 + [True]))
    def rotate(self, number: int, really: bool) -> None:  # noqa: FBT001 - same
        """Sometimes one nears its age limit."""
        if really:
            self.retire(self.lines[number % len(self.lines)], Whole.ROTATED)

    @rule(number=NUMBERS, really=st.sampled_from([False] * 5 + [True]))
    def lose(self, number: int, really: bool) -> None:  # noqa: FBT001 - same
        """Sometimes one is lost."""
        line = self.lines[number % len(self.lines)]
        if really and line.open:
            self.close(line, Whole.CONNECTION_LOST)

    def retire(self, line: Line, reason: Whole) -> None:
        """It takes no new turns, and closes after those that it has."""
        if line.open and not line.lanes.retiring:
            line.lanes.retire(reason)
            self.close_when_idle(line)

    def close_when_idle(self, line: Line) -> None:
        """As connections do."""
        if line.open and line.lanes.reason and not line.lanes.busy:
            self.close(line, line.lanes.reason)

    def close(self, line: Line, reason: Whole) -> None:
        """It is gone, with all that it held; its turns are told."""
        line.open = False
        line.lanes.retire(line.lanes.reason or reason)
        for head in [lane.close() for lane in line.lanes]:
            if head and not head.stored:
                self.heads.bury(head, line.lanes.reason or reason)
        for turn in [turn for turn in self.turns if turn.line is line]:
            self.turns.remove(turn)
            self.bury(turn)

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    # --- what callers do

    @rule(text=st.sampled_from("xyz"), store=st.sampled_from([False] * 4 + [True]), at=NUMBERS, sent=st.booleans())
    def begin(self, text: str, store: bool, at: int, sent: bool) -> None:  # noqa: FBT001 - same
        """A conversation starts; some start alike. Not too many: what follows on them is of interest."""
        if at == 1 or not self.asked:
            self.ask((words(text),), store=store, at=at, sent=sent)

    @rule(back=NUMBERS, added=ADDED, at=NUMBERS, sent=st.booleans())
    def go_on(self, back: int, added: Items, at: int, sent: bool) -> None:  # noqa: FBT001 - same
        """From one of the latest answers: the next step of its conversation, a sibling of another, or an undo."""
        if self.answers:
            history, store = self.answers[-1 - back % len(self.answers)]
            self.ask((*history, *added), store=store, at=at, sent=sent)

    @rule(number=st.integers(0, 99), added=ADDED, at=NUMBERS)
    def take_back(self, number: int, added: Items, at: int) -> None:
        """From any answer there ever was."""
        if self.answers:
            history, store = self.answers[number % len(self.answers)]
            self.ask((*history, *added), store=store, at=at, sent=True)

    @rule(back=NUMBERS, at=NUMBERS, sent=st.booleans())
    def retry(self, back: int, at: int, sent: bool) -> None:  # noqa: FBT001 - same
        """The same request again, while it runs or after."""
        if self.asked:
            history, store = self.asked[-1 - back % len(self.asked)]
            self.ask(history, store=store, at=at, sent=sent)

    @rule(back=NUMBERS, added=ADDED, how=st.booleans())
    def siblings(self, back: int, added: Items, how: bool) -> None:  # noqa: FBT001 - same
        """Three of one parent in one breath, each sent at once or none of them."""
        for _ in range(3):
            self.go_on(back, added, 0, how)

    @rule(count=st.sampled_from([0, 0, 0, 5, 5, 31]), done=st.booleans(), at=NUMBERS, seconds=st.sampled_from([0, 90]))
    def crowd(self, count: int, done: bool, at: int, seconds: int) -> None:  # noqa: FBT001 - same
        """Sometimes many conversations start on one connection, and come to an answer or stay under way; all rest."""
        for number in range(count if self.answers else 0):
            self.ask((words(f"one of many {len(self.asked)} {number}"),), store=False, at=at, sent=True)
            if done or number == 0:
                self.run(0, "completed")
        self.wait(seconds if count else 0)

    @rule(back=NUMBERS, ending=ENDINGS)
    def run(self, back: int, ending: Ending) -> None:
        """One of the latest turns is sent, answered and heard to its end, at once."""
        if not self.turns:
            return
        turn = self.turns[-1 - back % len(self.turns)]
        self.send(turn)
        while turn in self.turns and turn.create and turn.create.stage < Stage.ENDED:
            if turn.line.far.coming:
                turn.line.far.read()
            else:
                self.step(turn, ending)
        while turn in self.turns and turn.create and not turn.ended:
            self.hear(turn.line)
        self.settle(turn)

    @rule(back=NUMBERS, added=ADDED)
    def converse(self, back: int, added: Items) -> None:
        """The next step of a conversation, to its end."""
        if not self.answers:
            self.begin("x", store=False, at=1, sent=True)
            self.run(0, "completed")
        self.go_on(back, added, 0, sent=True)
        self.run(0, "completed")

    @rule(number=NUMBERS)
    def write(self, number: int) -> None:
        """A turn that has its lane sends its create."""
        waiting = [turn for turn in self.turns if not turn.create and not turn.gone]
        if waiting:
            self.send(waiting[number % len(waiting)])

    @rule(number=NUMBERS)
    def hang_up(self, number: int) -> None:
        """A caller goes, or a turn gives its lane back: before its create is written, or at any time after."""
        there = [turn for turn in self.turns if not turn.gone]
        if there:
            self.release(there[number % len(there)])

    @rule(number=NUMBERS, all_=st.booleans())
    def note(self, number: int, all_: bool) -> None:  # noqa: FBT001 - same
        """Turns see their end, and note what they are left with."""
        ended = [turn for turn in self.turns if turn.ended and not turn.gone]
        for turn in ended if all_ else ended[number : number + 1]:
            self.settle(turn)

    # --- what happens on the way and at the far end

    @rule(number=NUMBERS, count=st.integers(1, 20))
    def arrive(self, number: int, count: int) -> None:
        """Creates arrive at a far end."""
        lines = [line for line in self.lines if line.open and line.far.coming]
        if lines:
            for _ in range(count):
                lines[number % len(lines)].far.read()

    @rule(number=NUMBERS, steps=st.integers(1, 4), ending=ENDINGS, queued=st.booleans())
    def work(self, number: int, steps: int, ending: Ending, queued: bool) -> None:  # noqa: FBT001 - same
        """A far end is at work on one lane."""
        running = [turn for turn in self.turns if turn.create and Stage.QUEUED <= turn.create.stage < Stage.ENDED]
        if running:
            turn = running[number % len(running)]
            for step in range(steps):
                if turn.create and turn.create.stage < Stage.ENDED:
                    self.step(turn, ending, queued=queued and step == 0)

    @rule(steps=st.integers(1, 2), queued=st.booleans(), heard=st.booleans())
    def work_on_all(self, steps: int, queued: bool, heard: bool) -> None:  # noqa: FBT001 - same
        """All are read, and go on in step, the latest lane first; this is heard, or not yet."""
        for turn in reversed(self.turns):
            while turn.create and turn.create.stage is Stage.ON_ITS_WAY:
                turn.line.far.read()
            for step in range(steps):
                if turn.create and turn.create.stage < Stage.ENDED:
                    self.step(turn, "completed", queued=queued and step == 0)
        for line in self.lines:
            while heard and line.open and line.far.said:
                self.hear(line)

    @rule(added=ADDED, steps=st.integers(1, 2), queued=st.booleans(), later=ADDED)
    def late_sibling(self, added: Items, steps: int, queued: bool, later: Items) -> None:  # noqa: FBT001 - same
        """One goes on, and another from the same parent when the first has come so far."""
        self.go_on(0, added, 0, sent=True)
        self.work_on_all(steps, queued, heard=True)
        self.go_on(0, later, 0, sent=True)

    @rule(number=NUMBERS, count=st.sampled_from([1, 2, 5, 100]))
    def hear_some(self, number: int, count: int) -> None:
        """Events arrive from a far end."""
        lines = [line for line in self.lines if line.open and line.far.said]
        if lines:
            line = lines[number % len(lines)]
            for _ in range(min(count, len(line.far.said))):
                if line.open:
                    self.hear(line)

    @rule(number=NUMBERS)
    def give_up(self, number: int) -> None:
        """An abandoned answer goes on for too long: its lane is given up, and the connection after its other turns."""
        draining = [turn for turn in self.turns if turn.lane.state is State.DRAINING]
        if draining:
            turn = draining[number % len(draining)]
            self.turns.remove(turn)
            self.quarantine(turn.line, turn.lane)

    # --- the steps of a turn

    def ask(self, history: Items, *, store: bool, at: int, sent: bool) -> None:
        """A turn is decided, and has its lane at once; where there is none, it goes another way."""
        request = parse(body(history, store=store), most_items=1_000)
        raws = request.raw_items()
        chain = PRINTS.chain(
            PRINTS.digest(scope(request, RULES, KEY)),
            PRINTS.items(raws, RULES, lambda name: self.heads.item(KEY, name)),
        )
        self.asked.append((history, store))
        chosen = decide(request, chain, self.heads, TRUSTED, forced_full=False)
        self.judge(chosen, history, store=store)
        head = chosen.head if isinstance(chosen, Delta) else None
        line, lane, claimed = self.lane_for(chosen, at)
        if line is None or lane is None:
            self.seen["no lane"] += 1
            return
        assert lane.idle
        assert lane not in {turn.lane for turn in self.turns}, "two turns have one lane"
        beside = isinstance(chosen, Delta) and chosen.fork
        turn = Turn(request, history, chain, chosen, line, lane, beside, lent=beside and self.lent(head))
        held = line.points.get(lane)
        pinned = [other for other in self.turns if other.line is line and other.pins]
        assert held not in {other.pins.response_id for other in pinned if other.pins}, "a parent's lane moves on"
        if lane.latest and lane.latest is not head:
            self.seen[
                "an undo is given up" if lane.kept else f"a conversation is given up{' for a fork' * beside}"
            ] += 1
        line.lanes.lease(lane, head if claimed else None)
        line.names.add(lane.name)
        self.turns.append(turn)
        if sent:
            self.send(turn)

    def lane_for(self, chosen: Continuation, at: int) -> tuple[Line | None, Lane | None, bool]:
        """As the pool does: the head's own connection, or any that has a lane."""
        if isinstance(chosen, Delta):
            line = next((line for line in self.lines if line.lanes.connection == chosen.head.place.connection), None)
            lane = line.lanes.claim(chosen.head, fork=chosen.fork) if line and line.open else None
            if lane:
                return line, lane, True
            assert chosen.head.stored, "what lives on one connection alone was not to be had there"
            self.seen["stored elsewhere"] += 1
        lines = [line for line in self.lines if line.open]
        for line in lines[at % len(lines) :] + lines[: at % len(lines)] if lines else []:
            lane = line.lanes.spare() or line.lanes.oldest()
            if lane:
                return line, lane, False
        return None, None, False

    def send(self, turn: Turn) -> None:
        """Its create is written."""
        if turn not in self.turns or turn.create or turn.gone:
            return
        line, lane, head = turn.line, turn.lane, turn.head
        if line.lanes.named and not line.echoed:
            others = [other for other in self.turns if other.line is line and other.create and not other.ended]
            assert not others, "a second create before an echo"
        assert lane.state is State.IDLE
        asks = line.asks and not line.echoed and not head
        line.asks &= not asks
        turn.dead = lane.create(*[Whose.PROBE] * asks, Whose.TURN, continuing=head) or turn.dead
        if asks:
            self.seen["a made-up id"] += 1
            turn.probe = line.far.write(made_up(lane.name))
        line.points.pop(lane, None)
        skip = turn.continuation.skip if isinstance(turn.continuation, Delta) else 0
        turn.create = line.far.write(turn.request.frame(head.response_id if head else None, skip, lane.name))

    def step(self, turn: Turn, ending: Ending, *, queued: bool = False) -> None:
        """A step at the far end: what a response is given is its caller's history, or the parent is gone."""
        create = turn.create
        assert create
        turn.line.far.step(create, ending, queued=queued)
        if create.context is not None:
            assert create.context == turn.history, "the model is given another history"
        if create.ending == "not found":
            assert turn.lent, "a parent is gone"
            self.seen["lent, and gone"] += 1
        if create.ending in ("nameless error", "error, then failed"):
            turn.line.odd = True

    def hear(self, line: Line) -> None:
        """The next event arrives, as `Connection._take` has it."""
        frame, create = line.far.said.popleft()
        event = sniff(frame)
        owner = next((turn for turn in self.turns if create in (turn.create, turn.probe)), None)
        line.echoed |= b'"stream_id"' in frame
        try:
            lane = line.lanes.of(event)
            if lane.state is State.IDLE and lane.name is not None:
                self.quarantine(line, lane)
                return
            given_up = lane.state is State.QUARANTINED
            whose = lane.take(event)
        except OutOfPlace:
            assert line.odd, "an event is out of place"
            self.seen["out of place"] += 1
            self.close(line, Whole.CONNECTION_LOST)
            return
        if owner is None:
            assert whose is Whose.NOBODY
            return
        assert lane is owner.lane
        assert whose is (Whose.NOBODY if owner.gone or given_up else Whose.PROBE if create.asks else Whose.TURN)
        if create.asks:
            return
        owner.begun |= event.type not in _BEFORE_PROGRESS
        owner.ended = create.stage is Stage.ENDED and create not in {said for _, said in line.far.said}
        owner.ended |= event.kind is Kind.ERROR
        if owner.ended and owner.gone:
            self.turns.remove(owner)
            line.left_at.setdefault(lane, self.now)
            self.close_when_idle(line)

    def quarantine(self, line: Line, lane: Lane) -> None:
        """As connections do."""
        head = lane.distrust()
        line.points.pop(lane, None)
        if head and not head.stored:
            self.heads.bury(head, Whole.CONNECTION_LOST)
        for turn in [turn for turn in self.turns if turn.lane is lane and turn.ended]:
            self.seen["said behind the end"] += 1
            self.release(turn)
        line.lanes.retire(line.lanes.reason or Whole.CONNECTION_LOST)
        self.close_when_idle(line)

    def settle(self, turn: Turn) -> None:
        """The turn sees its end, as `Memory` and `Turns` have it."""
        if turn not in self.turns or not turn.ended or turn.gone:
            return
        create, head = turn.create, turn.head
        assert create
        if create.ending == "completed":
            self.commit(turn, create)
        elif head and create.refused and create.ending == "not found":
            self.heads.bury(head, Whole.NOT_FOUND)
            self.lost.add(head.response_id)
            turn.dead = None if head is turn.dead else turn.dead
            if turn.lane.state is State.IDLE:
                turn.create, turn.ended, turn.continuation = None, False, Full(Whole.NOT_FOUND)
                self.seen[Whole.NOT_FOUND] += 1
                self.send(turn)
                return
        elif head and create.refused and (head.stored or head is turn.dead):
            self.heads.bury(head, Whole.REJECTED)
            self.lost.add(head.response_id)
            turn.dead = None if head is turn.dead else turn.dead
        self.release(turn)

    def commit(self, turn: Turn, create: Create) -> None:
        """The head is noted, and the caller has his answer."""
        self.answers.append((create.point, create.store))
        if turn.lane.state is not State.IDLE:
            return
        said = PRINTS.item(create.point[-1].encode(), RULES)
        assert isinstance(said, bytes)
        points = tuple(PRINTS.extend(turn.chain[-1], [said]))
        waits = calls(create.point)
        head = Head(create.id, points, KEY, turn.lane, stored=create.store, waits=waits)
        turn.lane.commit(head)
        if turn.beside and turn.head and not calls(self.kept[turn.head.response_id][2]):
            self.continued.add(turn.head.response_id)
        self.heads.add(head)
        self.kept[create.id] = (turn.line, turn.lane, create.point, create.store)
        turn.line.points[turn.lane] = create.id

    def release(self, turn: Turn) -> None:
        """The turn is done with its lane, as `Memory.released` and `Connection.release` have it."""
        line, lane = turn.line, turn.lane
        turn.gone = True
        self.bury(turn)
        lane.release()
        line.left_at[lane] = self.now
        if lane.in_flight and not line.lanes.proven:
            self.close(line, Whole.UNFINISHED)
        elif lane.in_flight:
            lane.abandon()
        elif turn in self.turns:
            self.turns.remove(turn)
        self.close_when_idle(line)

    def bury(self, turn: Turn) -> None:
        """The head that its lane moved on from."""
        dead, turn.dead = turn.dead, None
        if dead and not dead.stored:
            continued = dead is turn.lane.continued
            self.heads.bury(dead, Whole.PARENT_CONTINUED if continued else Whole.EVICTED)

    # --- the judge

    def judge(self, chosen: Continuation, history: Items, *, store: bool) -> None:
        """What can be had of this history's longest part is had, in the way that the rules say."""
        points = [
            len(items)
            for name, (_, _, items, stored) in self.kept.items()
            if history[: len(items)] == items != history and stored == store and name not in self.lost
            if stored or self.holds(name) or self.lends(name)
        ]
        most = max(points, default=0)
        if isinstance(chosen, Full):
            assert most == 0, "a held point is missed"
            self.seen[chosen.reason] += 1
            self.check_reason(chosen.reason, history)
            return
        head = chosen.head
        items, stored = self.kept[head.response_id][2:]
        assert chosen.skip == most == len(items), "a longer held point is missed"
        assert items == history[:most]
        assert stored or self.holds(head.response_id) or self.lends(head.response_id), "what is not held is continued"
        if stored:
            assert not chosen.fork
            self.seen["stored"] += 1
        elif self.holds(head.response_id):
            fork = says(history[most:]) and self.spares(head.response_id)
            assert chosen.fork == fork
            self.seen["fork, for an undo" if fork else "in place"] += 1
        else:
            assert chosen.fork
            self.seen["fork, lent" if self.lent(head) else "fork, pinned"] += 1

    def check_reason(self, reason: Whole, history: Items) -> None:
        """Lanes are said to be busy only where a point of this history is at rest on one of them."""
        resting = [
            items
            for name, (line, lane, items, _) in self.kept.items()
            if line.open and line.points.get(lane) == name and not self.turn_on(lane) and history[: len(items)] == items
        ]
        assert reason is not Whole.LANES_BUSY or resting

    def turn_on(self, lane: Lane) -> Turn | None:
        """The turn that has a lane, or whose answer is still to come on it."""
        return next((turn for turn in self.turns if turn.lane is lane), None)

    def room(self, line: Line) -> bool:
        """Whether one more may be sent there."""
        count = sum(turn.line is line for turn in self.turns)
        return line.open and not line.lanes.retiring and count < (MOST_IN_FLIGHT if line.echoed else 1)

    def pinned(self, name: str) -> bool:
        """Whether a fork of it may not have it yet."""
        return any(turn.pins and turn.pins.response_id == name for turn in self.turns)

    def at_rest(self, name: str) -> bool:
        """Whether its lane is left with it, and no turn has that."""
        line, lane, *_ = self.kept[name]
        return line.points.get(lane) == name and self.turn_on(lane) is None and self.room(line)

    def holds(self, name: str) -> bool:
        """Whether it may be continued in place."""
        return self.at_rest(name) and not self.pinned(name)

    def lent(self, head: Head | None) -> bool:
        """Whether a first child has its lane."""
        return any(turn.head is head and not turn.beside and not turn.ended and not turn.gone for turn in self.turns)

    def lends(self, name: str) -> bool:
        """Whether it may be continued on a lane of its own alone."""
        line = self.kept[name][0]
        first = any(turn.head and turn.head.response_id == name and self.lent(turn.head) for turn in self.turns)
        pinned = self.at_rest(name) and self.pinned(name)
        return (first or pinned) and self.room(line) and (self.spares(name) or self.rests(name))

    def free(self, line: Line, beside: str) -> list[Lane]:
        """The idle lanes that may move on, without the one that holds this."""
        return [
            lane
            for lane in line.left_at
            if lane.state is State.IDLE
            and not self.turn_on(lane)
            and (name := line.points.get(lane, "")) != beside
            and not self.pinned(name)
        ]

    def spares(self, beside: str) -> bool:
        """Whether there is a lane that no conversation is in need of, beside the one that holds this."""
        line = self.kept[beside][0]
        if not line.echoed:
            return False
        vacant = (line.points.get(lane, "") in {"", *self.continued} for lane in self.free(line, beside))
        return len(line.names) < line.most_named or any(vacant)

    def rests(self, beside: str) -> bool:
        """Whether a lane's conversation has ended, as far as can be told."""
        line = self.kept[beside][0]
        free = [line.left_at[lane] for lane in self.free(line, beside)]
        return line.echoed and any(self.now - left >= RESTED_SECONDS for left in free)

    @invariant()
    def within_limits(self) -> None:
        """Never more turns or names on a connection than the host allows."""
        for line in self.lines:
            assert not line.open or line.lanes.in_flight <= (MOST_IN_FLIGHT if line.lanes.proven else 1)
            assert len(line.names) <= line.most_named

    @invariant()
    def only_what_is_held_is_live(self) -> None:
        """What a lane at rest can be continued from is what the far end remembers there; nothing lives elsewhere."""
        for line in self.lines:
            for lane in line.lanes:
                if lane.latest and lane.idle:
                    assert line.open
                    name = lane.name if line.far.lanes else None
                    assert line.far.latest[name].id == lane.latest.response_id == line.points[lane]

    def teardown(self) -> None:
        """All turns come to their end, and nothing is left of them."""
        for turn in list(self.turns):
            if not turn.create and not turn.gone:
                self.release(turn)
        while self.turns:
            for turn in list(self.turns):
                while turn in self.turns and turn.create and turn.create.stage < Stage.ENDED:
                    if turn.line.far.read() is None:
                        self.step(turn, "completed")
            for line in self.lines:
                while line.open and line.far.said:
                    self.hear(line)
            for turn in list(self.turns):
                self.settle(turn)
        for line in self.lines:
            if line.open:
                assert not line.lanes.busy
                assert not any(lane.leased or lane.in_flight or lane.forked or lane.parent for lane in line.lanes)
                assert not any(lane.latest and lane.free != lane.idle for lane in line.lanes)


def walk_of_forks(walk: Interleavings) -> None:
    """Each way to continue, on a host with lanes."""
    walk.begin("x", store=False, at=1, sent=True)
    walk.run(0, "completed")
    walk.converse(0, TOOL)
    parent = walk.answers[-1]
    walk.siblings(0, USER, how=True)  # for an undo, then pinned by it
    walk.work_on_all(2, queued=False, heard=False)
    walk.work_on_all(1, queued=False, heard=False)
    walk.hear_some(0, 100)
    walk.note(0, all_=True)
    walk.take_back(walk.answers.index(parent), TOOL, 0)  # in place
    walk.retry(0, 0, sent=False)  # lent, and too late
    walk.run(1, "completed")
    walk.run(0, "completed")
    walk.take_back(walk.answers.index(parent), TOOL, 0)
    walk.run(0, "error")


def walk_of_crowds(walk: Interleavings) -> None:
    """Lanes, and then room, run out."""
    walk.begin("y", store=False, at=1, sent=True)  # which is answered with a text
    walk.run(0, "completed")
    walk.converse(0, USER)
    walk.crowd(31, done=True, at=0, seconds=0)
    walk.go_on(0, USER, 0, sent=True)
    walk.run(0, "error")
    walk.ask((words("one more"),), store=False, at=0, sent=True)  # an undo goes first
    walk.run(0, "completed")
    walk.ask((words("another"),), store=False, at=0, sent=True)
    walk.run(0, "completed")
    walk.take_back(1, TOOL, 0)  # that had to go for it
    walk.run(0, "completed")
    walk.wait(RESTED_SECONDS)
    walk.go_on(0, TOOL, 0, sent=False)
    walk.retry(0, 0, sent=False)  # lent, on the lane of a conversation that has rested
    walk.crowd(14, done=False, at=0, seconds=0)
    walk.take_back(2, USER, 0)
    walk.go_on(0, USER, 0, sent=True)  # held, and out of reach


def walk_of_losses(walk: Interleavings) -> None:
    """Each way to lose what could be continued."""
    walk.begin("y", store=False, at=1, sent=True)
    walk.run(0, "completed")
    lost = walk.answers[-1]
    walk.retire(walk.lines[-1], Whole.ROTATED)
    walk.open(lanes=True, named=True, hasty=True)
    walk.go_on(0, USER, 0, sent=True)
    walk.run(0, "error")
    walk.take_back(walk.answers.index(lost), USER, 0)
    walk.run(0, "completed")
    walk.go_on(0, TOOL, 0, sent=True)
    walk.run(0, "error")
    walk.retry(0, 0, sent=True)  # rejected
    walk.run(0, "completed")
    walk.go_on(0, TOOL, 0, sent=True)
    walk.work_on_all(1, queued=False, heard=False)
    walk.hang_up(0)
    walk.retry(0, 0, sent=True)  # its parent was continued
    walk.run(0, "completed")
    walk.give_up(0)
    walk.go_on(0, USER, 0, sent=True)  # the connection went with the lane that was given up
    walk.open(lanes=True, named=True, hasty=True)
    walk.begin("z", store=True, at=1, sent=True)
    walk.open(lanes=False, named=False, hasty=False)
    walk.begin("z", store=True, at=1, sent=True)
    walk.run(0, "completed")
    walk.go_on(0, USER, 0, sent=True)
    walk.retry(0, 0, sent=True)
    walk.open(lanes=False, named=True, hasty=False, asks=True)
    walk.begin("y", store=False, at=1, sent=True)
    walk.retry(0, 0, sent=True)
    walk.run(0, "completed")
    walk.begin("x", store=False, at=1, sent=True)
    walk.run(0, "completed")
    walk.close(walk.lines[-1], Whole.CONNECTION_LOST)
    walk.go_on(0, USER, 0, sent=True)


def walk_of_faults(walk: Interleavings) -> None:
    """What comes when nobody waits for it, or cannot be told whose it is."""
    walk.converse(0, USER)
    walk.go_on(0, TOOL, 0, sent=True)
    walk.go_on(0, USER, 0, sent=True)
    walk.arrive(0, 2)
    walk.work(0, 1, "error, then failed", queued=False)
    walk.hear_some(0, 100)
    walk.hear_some(0, 100)
    walk.open(lanes=True, named=True, hasty=True)
    walk.ask((words("one"),), store=False, at=1, sent=True)
    walk.run(0, "completed")
    walk.go_on(0, TOOL, 0, sent=True)
    walk.retry(0, 0, sent=True)
    walk.arrive(0, 2)
    walk.work(0, 1, "nameless error", queued=False)
    walk.hear_some(0, 100)


def test_the_machine_reaches_every_way_that_a_turn_can_go() -> None:
    """The walks below are worth their time: between them they show each route, reason and rule."""
    seen: Counter[str] = Counter()
    for script in (walk_of_forks, walk_of_crowds, walk_of_losses, walk_of_faults):
        walk = Interleavings()
        walk.start()
        script(walk)
        walk.teardown()
        seen += walk.seen
    assert set(seen) == {
        "in place",
        "fork, for an undo",
        "fork, pinned",
        "fork, lent",
        "lent, and gone",
        "stored",
        "stored elsewhere",
        "no lane",
        "a made-up id",
        "an undo is given up",
        "a conversation is given up",
        "a conversation is given up for a fork",
        "out of place",
        "said behind the end",
        Whole.FIRST,
        Whole.PARENT_CONTINUED,
        Whole.LANES_BUSY,
        Whole.EVICTED,
        Whole.REJECTED,
        Whole.NOT_FOUND,
        Whole.ROTATED,
        Whole.CONNECTION_LOST,
    }


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = profile(stateful_step_count=50, max_examples=3 * profile().max_examples)
