"""Traces: one of each recent conversation, within bounds, and nothing in them but digests and documented names."""

import gc
import os
import tracemalloc

import pytest

from proxy.core.fingerprint import SIZE
from proxy.core.trace import Trace
from proxy.turns.traces import Traces


def digests(items: str) -> bytes:
    """A history of these items, a letter each."""
    return b"".join(letter.encode() * SIZE for letter in items)


def trace(
    items: str, *said: str, point: str = "", key: bytes = b"key", stored: bool = False, scope: bytes = b"scope"
) -> Trace:
    """A trace of these items, a letter each, with what was said in these forms."""
    forms = tuple(map(digests, said))
    return Trace((point or items).encode(), key, f"ol_{items}", stored, scope, {}, digests(items), forms)


def kept(traces: Traces, *, key: bytes = b"key", stored: bool = False) -> list[str]:
    """The outcomes of the turns that are kept, the oldest first."""
    return [one.outcome.removeprefix("ol_") for one in traces.of(key, stored=stored)]


def test_a_conversation_has_one_trace() -> None:
    """A turn takes the place of the one that it goes on from, whether that is known or has to be found."""
    traces, before = Traces(), trace("a", "b")
    traces.add(before, None)
    traces.add(trace("abc", "d", "e"), before)
    traces.add(trace("abcef", "g"), None)
    assert kept(traces) == ["abcef"]
    assert traces.get(b"abc") is None
    assert traces.get(b"abcef") is not None


@pytest.mark.parametrize("items", ["ab", "abx", "abxd", "ax", "a", "b", ""])
def test_a_turn_that_goes_on_from_no_other_takes_no_place(items: str) -> None:
    """The same request again, an undo and a sibling, whose answer was another, leave the turn that begins alike."""
    traces = Traces()
    traces.add(trace("ab", "cd"), None)
    traces.add(trace(items, point="new"), None)
    assert kept(traces) == ["ab", items]


def test_an_answer_that_is_not_known_may_be_any() -> None:
    """A turn that goes on from what was sent takes the place; the same request again does not."""
    traces = Traces()
    traces.add(trace("a"), None)
    traces.add(trace("a", point="again"), None)
    assert kept(traces) == ["a", "a"]
    traces.add(trace("abc"), None)
    assert kept(traces) == ["a", "abc"]


def test_of_two_that_a_turn_may_go_on_from_one_goes() -> None:
    """The longer; of two that are as long the one with the same settings."""
    traces = Traces()
    for one in (trace("a", "b"), trace("a", "b", point="other", scope=b"other"), trace("abc", "d", scope=b"other")):
        traces.add(one, one)
    traces.add(trace("abcde"), None)
    assert kept(traces) == ["a", "a", "abcde"]
    traces.add(trace("abf"), None)
    assert [traces.get(point) is None for point in (b"a", b"other")] == [True, False]


def test_no_place_is_taken_across_keys() -> None:
    """What goes on under another credential, or is stored where the other was not, is another conversation's."""
    traces = Traces()
    traces.add(trace("a"), None)
    traces.add(trace("ab", key=b"other"), None)
    traces.add(trace("ab", point="stored", stored=True), None)
    assert (len(traces), kept(traces)) == (3, ["a"])


def test_turns_that_end_at_one_point_are_one() -> None:
    """The later one is kept, as the latest."""
    traces = Traces()
    for one in (trace("ab", point="p"), trace("c"), trace("d", point="p")):
        traces.add(one, None)
    assert kept(traces) == ["c", "d"]


def test_a_place_is_taken_once() -> None:
    """Two that go on from one turn: the second finds it gone, and is kept."""
    traces, before = Traces(), trace("a")
    traces.add(before, None)
    for items in ("ab", "ac"):
        traces.add(trace(items), before)
    assert kept(traces) == ["ab", "ac"]


def test_the_conversation_that_was_used_longest_ago_goes_first() -> None:
    """At most so many are kept; one that goes on is as good as new."""
    traces = Traces(most=2)
    first = trace("a")
    traces.add(first, None)
    traces.add(trace("x"), None)
    traces.add(trace("ab"), first)
    traces.add(trace("y"), None)
    assert kept(traces) == ["ab", "y"]


def test_long_histories_take_the_room_of_several() -> None:
    """At most so many items are kept in all; a history beyond that is not kept, and drives out no other."""
    traces = Traces(most=4, most_items=8)
    for items in ("a", "b", "c", "d"):
        traces.add(trace(items), None)
    traces.add(trace("e" * 5), None)
    assert kept(traces) == ["d", "eeeee"]
    traces.add(trace("f" * 9), None)
    assert kept(traces) == ["d", "eeeee"]
    assert len(traces) == 2


def test_nothing_crosses_pool_keys_or_the_keys_of_digests() -> None:
    """Another credential's turns, and those that are stored where this one is not, are another's."""
    traces = Traces()
    for one in (trace("a"), trace("b", key=b"other"), trace("c", stored=True)):
        traces.add(one, None)
    assert (kept(traces), kept(traces, key=b"other"), kept(traces, stored=True)) == (["a"], ["b"], ["c"])


def test_many_long_conversations_stay_small() -> None:
    """Two hundred of a thousand items take a few megabytes."""
    traces = Traces()
    tracemalloc.start()
    try:
        for number in range(250):
            items = os.urandom(1_000 * SIZE)
            one = Trace(os.urandom(SIZE), b"key", f"ol_{number}", False, b"s", {}, items, (items[:64],))  # noqa: FBT003
            traces.add(one, None)
        gc.collect()
        assert len(traces) == 200
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()
