"""A trace: how much two histories share, and which earlier turn a request has most in common with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fingerprint import SIZE
from proxy.core.trace import Trace, digests, nearest, shared
from tests.core.histories import Spelled
from tests.core.items import CALL, OUTPUT, but
from tests.core.traced import Tracer

LETTERS = st.text("ab", max_size=8)


def history(letters: str) -> bytes:
    """A history: a letter is the digest of an item."""
    return b"".join(letter.encode() * SIZE for letter in letters)


def text(content: str, role: str = "user") -> Spelled:
    """A message."""
    return {"role": role, "content": content}


def near(tracer: Tracer, *items: Spelled) -> Trace | None:
    """The trace that a request with these items is compared with."""
    return nearest(tracer.asked(items), tracer.traces)


@given(LETTERS, LETTERS)
def test_histories_share_what_both_begin_with(one: str, other: str) -> None:
    """As many items as are alike, up to the first that differs or the end of one of them."""
    least = min(len(one), len(other))
    count = next((at for at in range(least) if one[at] != other[at]), least)
    assert shared(history(one), history(other)) == count


def test_a_history_falls_into_its_items() -> None:
    """One digest each."""
    assert digests(history("aba")) == [b"a" * SIZE, b"b" * SIZE, b"a" * SIZE]
    assert digests(b"") == []


def test_a_trace_tells_what_the_next_request_may_begin_with() -> None:
    """What was sent and what was said, in each form; what was sent alone, where nobody knows what was said."""
    tracer = Tracer()
    said, reduced = text("hello", "assistant"), text("hi", "assistant")
    trace = tracer.turn([text("a")], [said], [reduced])
    assert [len(each) // SIZE for each in trace.histories] == [2, 2]
    assert all(each.startswith(trace.items) for each in trace.histories)
    assert tracer.turn([text("a"), text("b")]).histories == (tracer.traces[-1].items,)
    assert (trace.count, tracer.traces[-1].count) == (1, 2)


def test_what_nothing_is_shared_with_is_not_near() -> None:
    """Neither a first item nor a late one of it is known."""
    tracer = Tracer()
    tracer.turn([text("a")], [text("b", "assistant")])
    assert near(tracer, text("x"), text("y")) is None
    assert near(Tracer(), text("x")) is None


def test_the_longest_common_beginning_is_nearest() -> None:
    """Conversations that open alike are told by where they part."""
    tracer = Tracer()
    opening = text("a")
    short = tracer.turn([opening, text("b")], [text("c", "assistant")])
    long = tracer.turn([opening, text("d"), text("e")], [text("f", "assistant")])
    tracer.turn([opening], [text("g", "assistant")])
    assert near(tracer, opening, text("d"), text("e"), text("x")) is long
    assert near(tracer, opening, text("b"), text("x")) is short


def test_what_was_said_counts_too() -> None:
    """Of two that were asked the same, the one whose answer comes back."""
    tracer = Tracer()
    first = tracer.turn([text("a")], [text("b", "assistant")])
    second = tracer.turn([text("a")], [text("c", "assistant")])
    assert near(tracer, text("a"), text("b", "assistant"), text("x")) is first
    assert near(tracer, text("a"), text("c", "assistant"), text("x")) is second


def test_a_changed_first_item_does_not_hide_the_rest() -> None:
    """A history whose opening holds the time, say, is known by its last items, and not by another's opening."""
    tracer = Tracer()
    rest = [text(str(number)) for number in range(5)]
    mine = tracer.turn([text("one o'clock"), *rest], [text("b", "assistant")])
    tracer.turn([text("two o'clock")], [text("c", "assistant")])
    assert near(tracer, text("two o'clock"), *rest, text("b", "assistant"), text("x")) is mine


def test_an_answer_that_came_back_changed_is_known_by_its_parts() -> None:
    """Of two that were asked the same, the one of whose answer most is there, wherever it stands now."""
    tracer = Tracer()
    calls = [but(CALL, call_id=f"c{number}", name=f"n{number}") for number in range(3)]
    turns = [tracer.turn([text("a")], [call]) for call in calls]
    for call, turn in zip(calls, turns, strict=True):
        changed = but(call, arguments="{}")
        assert near(tracer, text("a"), changed, but(OUTPUT, call_id=call["call_id"])) is turn


def test_of_equals_the_latest_is_nearest() -> None:
    """Where nothing tells two turns apart, the one that came last is the one to look at."""
    tracer = Tracer()
    turns = [tracer.turn([text("a")], [text("b", "assistant")]) for _ in range(3)]
    assert near(tracer, text("a"), text("x", "assistant"), text("y")) is turns[-1]


@pytest.mark.parametrize("back", [0, 10, 70])
def test_a_history_that_goes_back_is_known(back: int) -> None:
    """An undo leaves a beginning, however many items are gone."""
    tracer = Tracer()
    items = [text(str(number)) for number in range(100)]
    mine = tracer.turn(items, [text("b", "assistant")])
    tracer.turn(items[:1], [text("c", "assistant")])
    assert near(tracer, *items[: 100 - back], text("x")) is mine


def test_a_request_tells_what_its_items_are() -> None:
    """Their types, documented or other, and how many there are up to what a model said last."""
    asked = Tracer().asked([text("a"), CALL, OUTPUT, {"type": "odd"}])
    assert [asked.kind(at) for at in range(4)] == ["message", "function_call", "function_call_output", "other"]
    assert asked.answered == 2
