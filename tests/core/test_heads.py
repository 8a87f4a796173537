"""Heads: which one a history is continued from, and when none is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import SAME_ID, Found, Grave, Head, Heads, Nowhere, StoredHead, StoredItem
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
    why: Whole = Whole.PARENT_CONTINUED
    dropped: bool = False

    def holds(self, _head: Head) -> bool:
        """Whether it does."""
        return self.live

    def lends(self, _head: Head) -> bool:
        """Whether it does."""
        return self.lending

    def keeps(self, _head: Head) -> bool:
        """Never: it is one lane."""
        return False

    def barred(self, _head: Head) -> Whole:
        """As the test says; mostly for a sibling's sake."""
        return self.why

    def remembers(self, _head: Head) -> bool:
        """While it is not dropped."""
        return not self.dropped

    def drop(self, _head: Head) -> None:
        """Note it."""
        self.dropped = True


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
    before.clock.now = 5.0
    heads, items = before.heads.stored()
    assert heads == [StoredHead("r1", KEY, (b"b", b"B"), 7, 9, 5.0)]
    assert StoredItem(KEY, "msg_1", b"meaning", 5.0) in items
    after = Store()
    after.heads.restore(heads, items)
    for chain in ("abx", "aBx"):
        found = after.find(chain)
        assert isinstance(found, Found)
        assert (found.head.response_id, found.head.tokens, found.head.settings_size) == ("r1", 7, 9)
        assert (found.head.stored, found.fork) == (True, False)
    assert after.find("acx") is Whole.NO_MATCH
    assert after.heads.item(KEY, "msg_1") == b"meaning"
    assert after.heads.item(KEY, "msg_2") is None


def test_a_restored_head_with_two_forms_is_one_head() -> None:
    """What is refused by way of one form of its answer is gone by way of the other, too."""
    store = Store()
    store.heads.restore([StoredHead("r1", KEY, (b"b", b"B"), 7, 9, 0.0)], [])
    found = store.find("abx")
    assert isinstance(found, Found)
    store.heads.bury(found.head, Whole.NOT_FOUND)
    assert store.find("aBx") is Whole.NOT_FOUND


def test_age_goes_on_over_restarts() -> None:
    """A head or an item lives as long as the setting says, however many processes that takes; so do newer ones."""
    store = Store(max_age=60)
    store.add("b", stored=True, name="old")
    store.heads.remember_items(KEY, [("old", b"meaning")])
    for since in (25.0, 50.0):
        heads, items = store.heads.stored()
        after = Store(max_age=60)
        after.clock.now = 1_000.0 * since
        after.heads.restore([head._replace(age=head.age + 25) for head in heads], items)
        if since == 25.0:
            after.add("d", stored=True, name="new")
            after.heads.remember_items(KEY, [("new", b"meaning")])
        store = after
    assert [(head.response_id, head.age) for head in store.heads.stored()[0]] == [("old", 50.0), ("new", 25.0)]
    store.clock.now += 10.5
    assert (store.find("abz"), isinstance(store.find("adz"), Found)) == (Whole.NO_MATCH, True)
    store.clock.now += 25.0
    assert store.find("adz") is Whole.NO_MATCH
    assert store.heads.stored()[0] == []


def test_a_restored_head_is_one_like_any_other() -> None:
    """It is kept for the process after this one, gives way to the head of a lane, and is buried when refused."""
    store = Store()
    kept = [StoredHead("old", KEY, (b"b",), 7, 9, 3.0)], [StoredItem(KEY, "msg_1", b"meaning", 3.0)]
    store.heads.restore(*kept)
    assert store.heads.stored() == kept
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
        [StoredHead(f"r{n}", KEY, (f"{n}".encode(),), 0, 0, float(n)) for n in range(10)],
        [StoredItem(KEY, f"{n}", b"meaning", float(n)) for n in range(10)],
    )
    heads, items = store.heads.stored()
    assert [head.age for head in heads] == [item.age for item in items] == [2.0, 1.0, 0.0]


def test_a_restored_head_is_on_no_connection() -> None:
    """No lane of this process holds or lends what an earlier one left."""
    place = Nowhere()
    head = Head("r", (b"b",), KEY, place, stored=True)
    assert (place.connection, place.holds(head), place.lends(head), place.keeps(head)) == (0, False, False, False)
    assert place.barred(head) is Whole.CONNECTION_LOST
    place.drop(head)
    assert not place.remembers(head)


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


def test_a_head_that_is_there_and_cannot_be_had_says_why() -> None:
    """Of several at one point the newest is asked; a grave at a longer one tells more, one at the same says less."""
    store = Store()
    for why in (Whole.ROTATED, Whole.LANES_BUSY):
        store.heads.add(Head("r", (b"c",), KEY, Spot(live=False, why=why), stored=False))
    chain = [letter.encode() for letter in "abcde"]
    assert store.heads.grave(chain) == Grave(Whole.LANES_BUSY, covers=2)
    store.heads.mark([b"d"], Whole.UNFINISHED)
    assert store.find("abcde") is Whole.UNFINISHED
    assert store.find("abcd") is Whole.LANES_BUSY
    store.heads.mark([b"c"], Whole.ROTATED)
    assert store.find("abcd") is Whole.LANES_BUSY


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


def test_what_is_left_out_for_newer_ones_is_buried() -> None:
    """No lane goes on holding a head that nobody can find, by either form of its answer."""
    store = Store()
    heads = [store.add("b", f"{n}", name=f"r{n}") for n in range(40)]
    held = [head for head in heads if head.place.remembers(head)]
    assert held == heads[-32:]
    assert store.heads.find([b"a", b"0", b"z"]) is Whole.EVICTED
    assert isinstance(store.find("abz"), Found)


# --- ids that name two responses


def test_an_id_that_comes_again_continues_neither_response() -> None:
    """Which of the two the host would take is not known, and whichever it is the other one's caller loses by it."""
    store = Store()
    first = store.add("b", stored=True, name="conv")
    assert store.heads.admits(KEY, "other")
    assert store.heads.admits(b"another key", "conv")
    assert not store.heads.admits(KEY, "conv")
    assert store.heads.grave([b"a", b"b", b"z"]) == Grave(Whole.UNCLEAR_OUTPUT, SAME_ID, covers=1)
    assert not first.place.remembers(first)
    assert store.heads.stored()[0] == []
    assert not store.heads.admits(KEY, "conv"), "nor does the third"
    store.clock.now = 61.0
    assert store.heads.admits(KEY, "conv")


def test_an_id_is_free_again_where_its_response_is_gone() -> None:
    """What cannot be continued any more is in nobody's way; and one more head than may be kept has no name either."""
    store = Store(most=2)
    head = store.add("b", name="one")
    store.heads.bury(head, Whole.EVICTED)
    assert store.heads.admits(KEY, "one")
    for name in ("two", "three", "four"):
        store.add("c", name=name)
    assert store.heads.admits(KEY, "two")


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
