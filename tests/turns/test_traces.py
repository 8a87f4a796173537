"""Traces: one of each recent conversation, within bounds, and nothing in them but digests and documented names."""

import gc
import os
import tracemalloc

import pytest

from proxy.core.fingerprint import SIZE
from proxy.core.trace import Trace
from proxy.turns.traces import Traces


def trace(items: str, point: str = "", *, key: bytes = b"key", stored: bool = False) -> Trace:
    """A trace of these items, a letter each."""
    history = b"".join(letter.encode() * SIZE for letter in items)
    return Trace((point or items).encode(), key, f"ol_{items}", stored, b"scope", {}, history, ())


def kept(traces: Traces, *, key: bytes = b"key", stored: bool = False) -> list[str]:
    """The outcomes of the turns that are kept, the oldest first."""
    return [one.outcome.removeprefix("ol_") for one in traces.of(key, stored=stored)]


def test_a_conversation_has_one_trace() -> None:
    """A turn takes the place of the one that it goes on from."""
    traces, before = Traces(), None
    for items in ("a", "ab", "abcd"):
        now = trace(items)
        traces.add(now, before)
        before = now
    assert kept(traces) == ["abcd"]
    assert traces.get(b"abcd") is before
    assert traces.get(b"ab") is None


@pytest.mark.parametrize("items", ["ab", "ax", "a", "b"])
def test_a_turn_that_goes_on_from_no_other_takes_no_place(items: str) -> None:
    """The same request again, an undo or a sibling leaves the turn that it was compared with."""
    traces, before = Traces(), trace("ab")
    traces.add(before, None)
    traces.add(trace(items, point="new"), before)
    assert kept(traces) == ["ab", items]


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
    traces.add(trace("ab"), before)
    traces.add(trace("ac"), before)
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
