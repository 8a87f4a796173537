"""Heads: which one a history is continued from, and when none is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from proxy.core.events import sniff
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Found, Head, Heads
from proxy.core.lanes import Lane, State, Whose
from proxy.core.meaning import Rules
from proxy.core.reasons import Whole
from proxy.core.request import parse
from proxy.core.scope import scope

KEY = b"key"
CREATED = sniff(b'{"type":"response.created"}')
COMPLETED = sniff(b'{"type":"response.completed"}')
MISSING = sniff(b'{"type":"error","error":{"code":"previous_response_not_found"}}')


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


@dataclass
class Spot:
    """A place that holds its heads, or does not."""

    live: bool = True

    def holds(self, _head: Head) -> bool:
        """Whether it does."""
        return self.live


@dataclass
class Store:
    """A `Heads` with its clock."""

    most: int = 100
    max_age: float = 60.0
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        """Make the heads."""
        self.heads = Heads(most=self.most, max_age=self.max_age, clock=self.clock)

    def add(self, *points: str, live: bool = True, stored: bool = False, name: str = "r") -> Head:
        """Make a head at these points findable."""
        head = Head(name, tuple(point.encode() for point in points), KEY, Spot(live), stored)
        self.heads.add(head)
        return head

    def find(self, chain: str) -> Found | Whole:
        """Find what the chain continues: a letter is the fingerprint of one more item, the first of none."""
        return self.heads.find([letter.encode() for letter in chain])


def lose(head: Head) -> None:
    """The head's place does not hold it any more."""
    assert isinstance(head.place, Spot)
    head.place.live = False


# --- what is found


def test_the_longest_live_prefix_is_found() -> None:
    """Of several points in one history, the one that leaves the least to send is continued."""
    store = Store()
    short, long = store.add("b"), store.add("d")
    assert store.find("abcde") == Found(long, 3)
    lose(long)
    assert store.find("abcde") == Found(short, 1)


def test_a_history_that_says_nothing_new_continues_nothing() -> None:
    """At least one new item must follow: the same request again is no continuation of its own answer or parent."""
    store = Store()
    store.add("c")
    assert store.find("abc") is Whole.NO_MATCH
    assert store.find("ab") is Whole.NO_MATCH


def test_a_retry_is_not_a_continuation_of_its_own_answer() -> None:
    """The answer's head stands after the request's last item, so the same request does not reach it."""
    store = Store()
    request = "abc"
    answer = store.add("x")
    assert store.find(request) is Whole.NO_MATCH
    assert store.find(request + "x" + "n") == Found(answer, 3)


def test_nothing_is_continued_from_before_the_first_item() -> None:
    """A head or grave at the scope alone says nothing of a history that only shares the settings."""
    store = Store()
    store.add("a")
    assert store.find("abc") is Whole.NO_MATCH
    store.heads.mark([b"a"], Whole.UNFINISHED)
    assert store.find("abc") is Whole.NO_MATCH


@pytest.mark.parametrize("chain", ["", "a", "ab"])
def test_a_chain_without_a_new_item_finds_nothing(chain: str) -> None:
    """No items, or a first one alone: there is nothing to continue."""
    store = Store()
    for letter in "ab":
        store.add(letter)
    assert store.find(chain) is Whole.NO_MATCH


def test_any_idle_head_of_a_fingerprint_serves() -> None:
    """Two agents that began alike do not block one another."""
    store = Store()
    heads = [store.add("b", name=f"r{n}") for n in range(3)]
    for served in (0, 1, 2):
        assert store.find("abc") == Found(heads[served], 1)
        lose(heads[served])
    assert store.find("abc") is Whole.PARENT_CONTINUED


def test_a_head_that_is_being_continued_says_so() -> None:
    """Between the lease of a lane and its next head, the reason is the fork, not an unknown history."""
    store = Store()
    store.add("b", live=False)
    assert store.find("abc") is Whole.PARENT_CONTINUED


def test_a_head_is_found_by_each_of_its_forms() -> None:
    """An answer may come back in several forms; each leads to the head, and burying it removes all."""
    store = Store()
    head = store.add("b", "B")
    assert store.find("abc") == store.find("aBc") == Found(head, 1)
    store.heads.bury(head, Whole.ROTATED)
    assert store.find("abc") is store.find("aBc") is Whole.ROTATED


def test_a_stored_head_is_live_on_any_connection() -> None:
    """A stored response outlives its lane and its connection."""
    store = Store()
    head = store.add("b", live=False, stored=True)
    assert store.find("abc") == Found(head, 1)


# --- why nothing is found


def test_a_grave_gives_the_reason() -> None:
    """What ended a head, or kept one from being made, is the reason of the next full turn."""
    for reason in Whole:
        store = Store()
        store.heads.bury(store.add("b"), reason)
        assert store.find("abc") is reason
        store.heads.mark([b"x"], reason)
        assert store.find("axc") is reason


def test_the_reason_is_that_of_the_longest_prefix() -> None:
    """Of several graves in one history the latest counts."""
    store = Store()
    store.heads.mark([b"b"], Whole.ROTATED)
    store.heads.mark([b"d"], Whole.UNFINISHED)
    assert store.find("abcde") is Whole.UNFINISHED


def test_a_grave_does_not_hide_a_shorter_live_head() -> None:
    """A live head further up is still continued."""
    store = Store()
    head = store.add("b")
    store.heads.mark([b"d"], Whole.UNFINISHED)
    assert store.find("abcde") == Found(head, 1)


def test_a_new_head_opens_the_grave() -> None:
    """What can be continued again has no reason not to be."""
    store = Store()
    store.heads.mark([b"b"], Whole.UNFINISHED)
    head = store.add("b")
    assert store.find("abc") == Found(head, 1)
    lose(head)
    assert store.find("abc") is Whole.PARENT_CONTINUED


def test_burying_one_head_leaves_its_equals() -> None:
    """Another conversation with the same history is not touched."""
    store = Store()
    one, other = store.add("b"), store.add("b")
    store.heads.bury(one, Whole.CONNECTION_LOST)
    assert store.find("abc") == Found(other, 1)
    store.heads.bury(other, Whole.EVICTED)
    assert store.find("abc") is Whole.EVICTED
    store.heads.bury(other, Whole.ROTATED)
    assert store.find("abc") is Whole.ROTATED


def test_heads_are_told_apart_by_identity() -> None:
    """Two heads with equal fields are two: each has a lane of its own."""
    store = Store()
    place = Spot()
    one, other = (Head("r", (b"b",), KEY, place, stored=False) for _ in range(2))
    store.heads.add(one)
    store.heads.add(other)
    store.heads.bury(one, Whole.EVICTED)
    found = store.find("abc")
    assert isinstance(found, Found)
    assert found.head is other


# --- bounds


def test_heads_are_bounded_by_count() -> None:
    """Beyond the limit the head that was used longest ago is given up."""
    store = Store(most=2)
    store.add("b")
    store.add("c")
    assert isinstance(store.find("abz"), Found)
    store.add("d")
    assert len(store.heads) == 2
    assert store.find("acz") is Whole.NO_MATCH
    assert isinstance(store.find("abz"), Found)
    assert isinstance(store.find("adz"), Found)


def test_heads_are_bounded_by_age() -> None:
    """After the age limit a head is gone, its grave and the items it named too."""
    store = Store(max_age=60)
    store.add("b", stored=True)
    store.heads.mark([b"c"], Whole.UNFINISHED)
    store.heads.remember_items(KEY, [("msg_1", b"meaning")])
    store.clock.now = 59.9
    assert isinstance(store.find("abz"), Found)
    assert store.find("acz") is Whole.UNFINISHED
    store.clock.now = 60.1
    assert store.find("abz") is store.find("acz") is Whole.NO_MATCH
    assert store.heads.item(KEY, "msg_1") is None
    assert len(store.heads) == 0


def test_graves_and_items_are_bounded_by_count() -> None:
    """What is noted beside the heads cannot grow without limit either."""
    store = Store(most=2)
    store.heads.mark([b"b", b"c", b"d"], Whole.UNFINISHED)
    assert [store.find(f"a{letter}z") for letter in "bcd"].count(Whole.UNFINISHED) == 2
    store.heads.remember_items(KEY, [(str(n), b"meaning") for n in range(3)])
    assert [store.heads.item(KEY, str(n)) for n in range(3)].count(b"meaning") == 2


def test_heads_of_one_fingerprint_are_bounded() -> None:
    """The same stored question asked for ever does not grow for ever; the newest heads are kept."""
    store = Store()
    heads = [store.add("b", stored=True, name=f"r{n}") for n in range(100)]
    offered = set()
    while isinstance(found := store.find("abc"), Found):
        offered.add(found.head.response_id)
        store.heads.bury(found.head, Whole.EVICTED)
    assert offered == {head.response_id for head in heads[-32:]}


def test_a_new_head_takes_the_place_of_dead_equals() -> None:
    """Heads whose lanes moved on are dropped when another comes to the same point."""
    store = Store()
    dead = [store.add("b", name=f"dead{n}", live=False) for n in range(40)]
    head = store.add("b", name="new")
    for one in dead:
        assert isinstance(one.place, Spot)
        one.place.live = True
    store.heads.bury(head, Whole.EVICTED)
    assert store.find("abc") is Whole.EVICTED


# --- item references


def test_items_resolve_within_their_pool_key_only() -> None:
    """An id of one credential says nothing to another."""
    store = Store()
    store.heads.remember_items(KEY, [("msg_1", b"meaning")])
    assert store.heads.item(KEY, "msg_1") == b"meaning"
    assert store.heads.item(b"other", "msg_1") is None
    assert store.heads.item(KEY, "msg_2") is None


def test_an_item_without_an_id_has_no_name() -> None:
    """A reference to the empty id refers to nothing."""
    store = Store()
    store.heads.remember_items(KEY, [("", b"meaning")])
    assert store.heads.item(KEY, "") is None


def test_an_id_with_two_meanings_is_never_resolved() -> None:
    """A host that uses an id twice cannot be referred to: which item it would take is not known."""
    store = Store()
    for _ in range(2):
        store.heads.remember_items(KEY, [("msg_1", b"meaning")])
    assert store.heads.item(KEY, "msg_1") == b"meaning"
    for meaning in (b"another", b"meaning"):
        store.heads.remember_items(KEY, [("msg_1", meaning)])
        assert store.heads.item(KEY, "msg_1") is None


def chain(fingerprints: Fingerprints, store: Store, items: Sequence[str], *, key: bytes = KEY) -> list[bytes]:
    """The chain of a real request with these items."""
    body = '{"model":"m","input":[%s]}' % ",".join(items)
    request = parse(body.encode(), most_items=100)
    opening = fingerprints.digest(scope(request, Rules(), key))
    return fingerprints.chain(opening, request.raw_items(), Rules(), lambda name: store.heads.item(key, name))


USER = '{"role":"user","content":"hi"}'
SAID = '{"type":"message","role":"assistant","content":"hello"}'
REFERENCE = '{"type":"item_reference","id":"msg_1"}'


def test_nothing_crosses_pool_keys() -> None:
    """The same history under another credential or host continues nothing, even where the response is stored."""
    fingerprints, store = Fingerprints(b"secret"), Store()
    point = chain(fingerprints, store, [USER, SAID])[-1]
    store.heads.add(Head("r", (point,), KEY, Spot(), stored=True))
    assert isinstance(store.heads.find(chain(fingerprints, store, [USER, SAID, USER])), Found)
    other = chain(fingerprints, store, [USER, SAID, USER], key=b"other")
    assert store.heads.find(other) is Whole.NO_MATCH


def test_a_reference_stands_for_a_stored_item_of_the_same_pool_key() -> None:
    """An item_reference continues like the item itself where its response is stored, and not otherwise."""
    fingerprints, store = Fingerprints(b"secret"), Store()
    point = chain(fingerprints, store, [USER, SAID])[-1]
    store.heads.add(Head("r", (point,), KEY, Spot(), stored=True))
    assert store.heads.find(chain(fingerprints, store, [USER, REFERENCE, USER])) is Whole.NO_MATCH
    meant = fingerprints.item(SAID.encode(), Rules())
    assert isinstance(meant, bytes)
    store.heads.remember_items(b"other", [("msg_1", meant)])
    assert store.heads.find(chain(fingerprints, store, [USER, REFERENCE, USER])) is Whole.NO_MATCH
    store.heads.remember_items(KEY, [("msg_1", meant)])
    assert isinstance(store.heads.find(chain(fingerprints, store, [USER, REFERENCE, USER])), Found)
    lone = '{"id":"msg_1"}'
    assert isinstance(store.heads.find(chain(fingerprints, store, [USER, lone, USER])), Found)


# --- lanes and heads together, in any order


class Line(Lane):
    """A lane with what the model of the test knows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.history = ""


class Conversations(RuleBasedStateMachine):
    """Turns, errors, closes and retries on several lanes, checked against what each upstream lane really holds.

    Histories are strings; the fingerprint of one is its text. An answer is a letter that depends on the history, so
    conversations that begin alike stay alike.
    """

    lanes = Bundle("lanes")
    histories = Bundle("histories")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.heads = Heads(most=20, max_age=1_000, clock=self.clock)
        self.holding: dict[str, Line] = {}  # response id → the lane on which the upstream remembers it
        self.contexts: dict[str, str] = {}  # response id → the context that it stands for
        self.stored: set[str] = set()
        self.running: dict[Line, str] = {}
        self.all: list[Line] = []

    @rule(target=lanes)
    def dial(self) -> Line:
        """A new connection with one lane."""
        line = Line()
        self.all.append(line)
        return line

    @rule(target=histories, start=st.sampled_from("uv"))
    def begin(self, start: str) -> str:
        """A conversation begins; some begin alike."""
        return "#" + start

    @rule(target=histories, history=histories, more=st.sampled_from("uv"))
    def go_on(self, history: str, more: str) -> str:
        """The caller takes the answer and adds something."""
        return history + self.answer(history) + more

    @staticmethod
    def answer(history: str) -> str:
        """What the model says to it."""
        return "ABC"[sum(map(ord, history)) % 3]

    @staticmethod
    def chain(history: str) -> list[bytes]:
        """The fingerprints of the history's prefixes."""
        return [history[: n + 1].encode() for n in range(len(history))]

    def write(self, line: Line, history: str) -> None:
        """A create goes out: what the lane held is dead from now on."""
        before = line.latest
        dead = line.create(Whose.TURN)
        assert dead is before
        if dead:
            del self.holding[dead.response_id]
            if not dead.stored:
                self.heads.bury(dead, Whole.PARENT_CONTINUED)
        self.running[line] = history

    @rule(line=lanes, history=histories)
    def turn(self, line: Line, history: str) -> None:
        """A turn: as a delta where a head is found, else in full on a lane that is idle."""
        found = self.heads.find(self.chain(history))
        if isinstance(found, Found):
            name = found.head.response_id
            assert self.contexts[name] == history[: found.covers + 1]
            assert found.covers + 1 < len(history)
            if found.head.stored:
                assert name in self.stored
                place = line
            else:
                assert self.holding[name].latest is found.head
                assert self.holding[name].state is State.IDLE
                place = self.holding[name]
        else:
            place = line
        if place.state is State.IDLE:
            self.write(place, history)

    @rule(line=lanes)
    @precondition(lambda self: self.running)
    def event(self, line: Line) -> None:
        """The upstream streams."""
        if line in self.running:
            line.take(CREATED)

    @rule(line=lanes, stored=st.booleans())
    @precondition(lambda self: self.running)
    def complete(self, line: Line, stored: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """A turn completes and its head is committed."""
        history = self.running.pop(line, None)
        if history is None:
            return
        line.take(COMPLETED)
        name = f"r{len(self.contexts)}"
        context = history + self.answer(history)
        head = Head(name, (context.encode(),), KEY, line, stored)
        line.commit(head)
        self.heads.add(head)
        self.contexts[name], self.holding[name] = context, line
        if stored:
            self.stored.add(name)

    @rule(line=lanes)
    @precondition(lambda self: self.running)
    def refuse(self, line: Line) -> None:
        """A turn is answered with an error; nothing revives what it continued."""
        if self.running.pop(line, None) is not None:
            line.take(MISSING)

    @rule(target=lanes, line=consumes(lanes))
    def lose(self, line: Line) -> object:
        """A connection is lost, idle or in mid-turn."""
        dead = line.close()
        self.running.pop(line, None)
        if dead:
            del self.holding[dead.response_id]
            if not dead.stored:
                self.heads.bury(dead, Whole.CONNECTION_LOST)
        return multiple()

    @rule(seconds=st.sampled_from([1.0, 600.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @invariant()
    def bounded(self) -> None:
        """Never more fingerprints than allowed."""
        assert len(self.heads) <= 20

    @invariant()
    def only_what_is_held_is_live(self) -> None:
        """Whatever could be found is the idle lane's latest, or stored."""
        for line in self.all:
            if line.latest:
                assert line.latest.live == (line.state is State.IDLE)
                assert self.holding[line.latest.response_id] is line


TestConversations = Conversations.TestCase
TestConversations.settings = profile(stateful_step_count=40)
