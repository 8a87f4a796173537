"""Heads: which one a history is continued from, and when none is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.events import Event, sniff
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Found, Grave, Head, Heads, Nowhere, StoredHead, StoredItem
from proxy.core.lanes import Lane, Lanes, State, Whose
from proxy.core.meaning import Rules
from proxy.core.reasons import Whole
from proxy.core.request import parse
from proxy.core.scope import scope

KEY = b"key"


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


@dataclass
class Spot:
    """A place that holds its heads or does not, and lends them or does not."""

    live: bool = True
    lending: bool = False
    connection: int = 1

    def holds(self, _head: Head) -> bool:
        """Whether it does."""
        return self.live

    def lends(self, _head: Head) -> bool:
        """Whether it does."""
        return self.lending


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


def test_only_what_covers_enough_is_found() -> None:
    """Asked for a part of the history at least so long, shorter ones are as if they were unknown."""
    store = Store()
    short = store.add("b")
    store.heads.mark([b"d"], Whole.ROTATED)
    chain = [letter.encode() for letter in "abcdef"]
    assert store.heads.find(chain, least=0) == store.heads.find(chain, least=1) == Found(short, 1)
    assert store.heads.find(chain, least=3) is Whole.ROTATED
    assert store.heads.find(chain, least=4) is store.heads.find(chain, least=9) is Whole.NO_MATCH


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


def test_a_head_on_its_lane_is_better_than_one_that_is_merely_stored() -> None:
    """The lane that holds it has it in memory, and need not look it up; the order in which they came says nothing."""
    for held_first in (True, False):
        store = Store()
        if held_first:
            held, _ = store.add("b", name="held"), store.add("b", live=False, stored=True)
        else:
            _, held = store.add("b", live=False, stored=True), store.add("b", name="held")
        assert store.find("abc") == Found(held, 1)
        lose(held)
        found = store.find("abc")
        assert isinstance(found, Found)
        assert found.head.stored


def test_a_stored_head_is_better_than_a_fork() -> None:
    """It can be continued on any lane, with no other turn in the way."""
    store = Store()
    busy = store.add("b", live=False)
    stored = store.add("b", live=False, stored=True)
    assert isinstance(busy.place, Spot)
    busy.place.lending = True
    assert store.find("abc") == Found(stored, 1, fork=False)


def test_a_head_that_is_being_continued_may_be_forked() -> None:
    """While a first child is in flight, a sibling gets the same head, told that it needs a lane of its own."""
    store = Store()
    head = store.add("b", live=False)
    assert isinstance(head.place, Spot)
    head.place.lending = True
    assert store.find("abc") == Found(head, 1, fork=True)


def test_an_idle_equal_is_better_than_a_fork() -> None:
    """A fork is made only where no head of the same point is idle."""
    store = Store()
    busy, idle = store.add("b", live=False), store.add("b")
    assert isinstance(busy.place, Spot)
    busy.place.lending = True
    assert store.find("abc") == Found(idle, 1, fork=False)


def test_a_fork_of_more_is_better_than_a_shorter_idle_head() -> None:
    """The longest prefix counts first."""
    store = Store()
    store.add("b")
    long = store.add("d", live=False)
    assert isinstance(long.place, Spot)
    long.place.lending = True
    assert store.find("abcde") == Found(long, 3, fork=True)


# --- what outlives the process


def test_only_stored_heads_outlive_the_process() -> None:
    """Stored heads and item meanings are restored and live on any connection; the others die with the process."""
    before = Store()
    head = Head("r1", (b"b", b"B"), KEY, Spot(), stored=True, tokens=7, settings_size=9)
    before.heads.add(head)
    before.add("c", name="passing")
    before.heads.remember_items(KEY, [("msg_1", b"meaning"), ("msg_2", b"one")])
    before.heads.remember_items(KEY, [("msg_2", b"two")])
    heads, items = before.heads.stored()
    assert sorted(heads) == [StoredHead(b"B", "r1", 7, 9), StoredHead(b"b", "r1", 7, 9)]
    assert StoredItem(KEY, "msg_1", b"meaning") in items
    after = Store()
    after.heads.restore(heads, items)
    for chain in ("abx", "aBx"):
        found = after.find(chain)
        assert isinstance(found, Found)
        assert (found.head.response_id, found.head.tokens, found.head.settings_size) == ("r1", 7, 9)
        assert (found.head.stored, found.head.live, found.fork) == (True, True, False)
    assert after.find("acx") is Whole.NO_MATCH
    assert after.heads.item(KEY, "msg_1") == b"meaning"
    assert after.heads.item(KEY, "msg_2") is None


def test_a_restored_head_is_one_like_any_other() -> None:
    """It is kept for the process after this one, gives way to the head of a lane, and is buried when refused."""
    store = Store()
    store.heads.restore([StoredHead(b"b", "old", 7, 9)], [StoredItem(KEY, "msg_1", b"meaning")])
    assert store.heads.stored() == ([StoredHead(b"b", "old", 7, 9)], [StoredItem(KEY, "msg_1", b"meaning")])
    held = store.add("b", name="new")
    assert store.find("abc") == Found(held, 1)
    lose(held)
    found = store.find("abc")
    assert isinstance(found, Found)
    assert found.head.response_id == "old"
    store.heads.bury(found.head, Whole.NOT_FOUND)
    assert store.find("abc") is not found
    assert store.heads.stored()[0] == []
    store.heads.remember_items(KEY, [("msg_1", b"another")])
    assert store.heads.item(KEY, "msg_1") is None


def test_what_is_restored_is_bounded() -> None:
    """A large state file fills no more memory than the settings allow."""
    store = Store(most=3)
    store.heads.restore(
        [StoredHead(f"{n}".encode(), "r", 0, 0) for n in range(10)],
        [StoredItem(KEY, f"{n}", b"meaning") for n in range(10)],
    )
    heads, items = store.heads.stored()
    assert (len(heads), len(items)) == (3, 3)


def test_a_restored_head_is_on_no_connection() -> None:
    """No lane of this process holds or lends what an earlier one left."""
    place = Nowhere()
    head = Head("r", (b"b",), KEY, place, stored=True)
    assert (place.connection, place.holds(head), place.lends(head)) == (0, False, False)


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


def test_a_grave_tells_what_happened_and_where() -> None:
    """The reason, what more there is to say of it, and how much of the history that was asked for leads up to it."""
    store = Store()
    store.heads.bury(store.add("c"), Whole.CONNECTION_LOST, "with code 1001")
    store.heads.mark([b"b"], Whole.UNFINISHED)
    chain = [letter.encode() for letter in "abcde"]
    assert store.heads.grave(chain) == Grave(Whole.CONNECTION_LOST, "with code 1001", covers=2)
    assert store.heads.grave(chain[:3]) == Grave(Whole.UNFINISHED, covers=1)
    assert store.heads.grave(chain, least=3) == Grave(Whole.NO_MATCH)
    lose(store.add("d"))
    assert store.heads.grave(chain) == Grave(Whole.PARENT_CONTINUED, covers=3)


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
    request = parse(f'{{"model":"m","input":[{",".join(items)}]}}'.encode(), most_items=100)
    opening = fingerprints.digest(scope(request, Rules(), key))
    return fingerprints.chain(
        opening, fingerprints.items(request.raw_items(), Rules(), lambda name: store.heads.item(key, name))
    )


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


NUMBERS = st.integers(0, 5)


class Conversations(RuleBasedStateMachine):
    """Turns, forks, errors, hang-ups and closes on several connections, checked against what each upstream lane holds.

    Histories are strings; the fingerprint of one is its text. An answer is a letter that depends on the history, so
    conversations that begin alike stay alike. `held` is the upstream's side: the response that each lane remembers,
    which it forgets when the turn that follows has ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.routes: Counter[str] = Counter()
        self.clock = Clock()
        self.heads = Heads(most=20, max_age=1_000, clock=self.clock)
        self.contexts: dict[str, str] = {}  # response id → the context that it stands for
        self.stored: set[str] = set()
        self.held: dict[Lane, str] = {}
        self.running: dict[Lane, str] = {}
        self.dead: dict[Lane, Head] = {}
        self.gone: set[Lane] = set()
        self.all = [Lanes(number, named=number > 1) for number in (1, 2, 3)]

    @rule(number=NUMBERS, back=NUMBERS)
    def go_on_at_once(self, number: int, back: int) -> None:
        """Many turns in a row: one completes, and the next continues it or another."""
        self.complete(number, stored=False)
        self.go_on(number, back % 2, "u")
        self.stream(back)

    @rule(number=NUMBERS)
    def three_alike(self, number: int) -> None:
        """Siblings: one conversation is continued, and twice more while its turn is under way."""
        self.go_on(number, 0, "u")
        self.stream(-1)
        self.begin_like_a_running_one(-1, "v")
        self.begin_like_a_running_one(-1, "w")

    @rule(named=st.booleans())
    def dial(self, named: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """A new connection."""
        self.all.append(Lanes(len(self.all) + 1, named=named))

    @rule(number=NUMBERS, start=st.sampled_from("uv"))
    def begin(self, number: int, start: str) -> None:
        """A conversation begins; some begin alike. Not too many: what follows on them is of interest."""
        if number == 1 or not self.contexts:
            self.turn(number, "#" + start)

    @rule(number=NUMBERS, back=NUMBERS, more=st.sampled_from("uv"))
    def go_on(self, number: int, back: int, more: str) -> None:
        """A caller takes one of the latest answers and adds something; more than one may take the same."""
        if self.contexts:
            contexts = list(self.contexts.values())
            self.turn(number, contexts[-1 - back % len(contexts)] + more)

    @rule(number=NUMBERS, more=st.sampled_from("uv"))
    def begin_like_a_running_one(self, number: int, more: str) -> None:
        """A sibling, or a retry, of a turn that is under way."""
        if self.running:
            history = list(self.running.values())[number % len(self.running)]
            self.turn(number, history[:-1] + more)

    @staticmethod
    def answer(history: str) -> str:
        """What the model says to it."""
        return "ABC"[sum(map(ord, history)) % 3]

    def turn(self, number: int, history: str) -> None:
        """A turn: as a delta where a head is found, else in full on a lane that may be taken."""
        lanes = self.all[number % len(self.all)]
        found = self.heads.find([history[: n + 1].encode() for n in range(len(history))])
        if isinstance(found, Found):
            name = found.head.response_id
            assert self.contexts[name] == history[: found.covers + 1]
            assert found.covers + 1 < len(history)
        lane = self.place(found, lanes)
        if lane is None:
            return
        lane.lanes.lease(lane)
        dead = lane.create(Whose.TURN, continuing=found.head if isinstance(found, Found) else None)
        lane.leased = False
        if dead:
            self.dead[lane] = dead
        self.running[lane] = history

    def place(self, found: Found | Whole, lanes: Lanes) -> Lane | None:
        """The lane that the turn gets; what was promised of the head's own lane must be so."""
        kind = found.value if isinstance(found, Whole) else "fork" if found.fork else "delta"
        self.routes[kind] += 1
        if isinstance(found, Whole) or found.head.stored:
            return lanes.spare() or lanes.oldest()
        home = found.head.place
        assert isinstance(home, Lane)
        assert self.held[home] == found.head.response_id
        if not found.fork:
            assert home.latest is found.head
            assert (home.state, home.leased, home in self.running) == (State.IDLE, False, False)
            return home
        assert home.in_flight
        own = home.lanes.spare()
        assert own is not None
        assert own is not home
        return own

    @staticmethod
    def frame(lane: Lane, kind: str) -> Event:
        """An event of the lane."""
        name = f',"stream_id":"{lane.name}"' if lane.name else ""
        return sniff(f'{{"type":"{kind}"{name}}}'.encode())

    def arrive(self, number: int, kind: str) -> Lane | None:
        """An event of one of the running turns arrives at its connection; None where none runs."""
        if not self.running:
            return None
        lane = list(self.running)[number % len(self.running)]
        arriving = self.frame(lane, kind)
        assert lane.lanes.of(arriving) is lane
        whose = lane.take(arriving)
        assert whose is (Whose.NOBODY if lane in self.gone else Whose.TURN)
        return lane

    def over(self, lane: Lane) -> bool:
        """A turn is over: the head that its lane moved on from is buried. Whether its caller is still there."""
        self.held.pop(lane, None)
        dead = self.dead.pop(lane, None)
        if dead and not dead.stored:
            self.heads.bury(dead, Whole.PARENT_CONTINUED)
        there = lane not in self.gone
        self.gone.discard(lane)
        return there

    @rule(number=NUMBERS)
    def stream(self, number: int) -> None:
        """The upstream streams."""
        self.arrive(number, "response.created")

    @rule(number=NUMBERS, stored=st.booleans())
    def complete(self, number: int, stored: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """A turn completes and, where its caller is still there, its head is committed."""
        lane = self.arrive(number, "response.completed")
        if lane is None:
            return
        history = self.running.pop(lane)
        name = f"r{len(self.contexts)}"
        context = self.contexts[name] = history + self.answer(history)
        if self.over(lane):
            head = Head(name, (context.encode(),), KEY, lane, stored)
            lane.commit(head)
            self.heads.add(head)
            if stored:
                self.stored.add(name)
        self.held[lane] = name

    @rule(number=NUMBERS, kind=st.sampled_from(["error", "response.failed", "response.incomplete"]))
    def fail(self, number: int, kind: str) -> None:
        """A turn fails; nothing revives what it continued."""
        lane = self.arrive(number, kind)
        if lane:
            del self.running[lane]
            self.over(lane)

    @rule(number=NUMBERS)
    def hang_up(self, number: int) -> None:
        """A caller goes: his answer is drained, and leaves no head."""
        if self.running:
            lane = list(self.running)[number % len(self.running)]
            if lane not in self.gone:
                lane.abandon()
                self.gone.add(lane)

    @rule(number=NUMBERS, really=st.sampled_from([False, False, False, True]))
    def chance_of_loss(self, number: int, really: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Losses are rarer than turns."""
        if really:
            self.lose(number)

    def lose(self, number: int) -> None:
        """A connection is lost, with all its lanes, idle or in mid-turn; another takes its place."""
        lanes = self.all[number % len(self.all)]
        self.all[number % len(self.all)] = Lanes(lanes.connection, named=lanes.named)
        lanes.retiring = True
        for lane in lanes:
            dead = lane.close()
            self.running.pop(lane, None)
            self.over(lane)
            if dead and not dead.stored:
                self.heads.bury(dead, Whole.CONNECTION_LOST)

    @rule(number=st.integers(3, 20))
    def retire(self, number: int) -> None:
        """A connection takes no new turns."""
        if number < len(self.all):
            self.all[number].retiring = True

    @rule(seconds=st.sampled_from([1.0, 1.0, 1.0, 600.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @invariant()
    def bounded(self) -> None:
        """Never more fingerprints than allowed, nor more turns in flight on a connection."""
        assert len(self.heads) <= 20
        for lanes in self.all:
            assert lanes.in_flight <= (16 if lanes.proven else 1)

    @invariant()
    def only_what_is_held_is_live(self) -> None:
        """A lane's latest is what the upstream remembers there, and is live only while the lane is idle and open."""
        for lanes in self.all:
            for lane in lanes:
                if lane.latest:
                    assert self.held[lane] == lane.latest.response_id
                    assert lane not in self.running
                    assert lane.latest.stored or lane.latest.live == (lane.idle and lanes.room)


def test_the_machine_reaches_deltas_forks_and_graves() -> None:
    """The walk below is worth its time: one conversation shows each way that a turn can go."""
    machine = Conversations()
    machine.begin(1, "u")
    machine.complete(0, stored=False)
    machine.go_on(1, 0, "u")
    machine.begin_like_a_running_one(0, "v")
    machine.complete(0, stored=False)
    machine.lose(1)
    machine.go_on(1, 0, "v")
    assert machine.routes == {"no_match": 1, "delta": 1, "fork": 1, "connection_lost": 1}


TestConversations = Conversations.TestCase
TestConversations.settings = profile(stateful_step_count=50)
