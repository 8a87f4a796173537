"""A trace: how much two histories share, and which earlier turn a request has most in common with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fingerprint import SIZE
from proxy.core.meaning import Rules
from proxy.core.trace import READ, Asked, Trace, digests, nearest, shared
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


def traced(items: str, *said: str) -> Trace:
    """A trace of these letters."""
    return Trace(b"point", b"key", "ol_1", False, b"", {}, history(items), tuple(map(history, said)))  # noqa: FBT003


@given(LETTERS, LETTERS, st.lists(LETTERS, max_size=3))
def test_a_history_is_like_a_turns_as_far_as_any_form_of_it_goes(items: str, sent: str, said: list[str]) -> None:
    """What was sent, and behind it what was said, in the form that fits best."""
    trace = traced(sent, *said)
    assert trace.alike(history(items)) == max(shared(history(items), each) for each in trace.histories)


@pytest.mark.parametrize(
    ("items", "follows"),
    [("abcd", True), ("abef", True), ("abcx", True), ("abx", False), ("ab", False), ("xbcd", False)],
)
def test_a_turn_follows_one_whose_answer_it_holds(items: str, follows: bool) -> None:  # noqa: FBT001 - as the table says
    """In one of its forms; what begins alike and goes on otherwise is a sibling."""
    assert traced(items).follows(traced("ab", "c", "ef")) is follows


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


def test_of_those_that_share_their_items_in_another_order_the_latest_is_nearest() -> None:
    """All that was sent is there, and no place tells which of them it is."""
    traces = [traced("ab"), traced("ab")]
    asked = Asked([b"{}"] * 2, digests(history("ba")), {}, Tracer().prints, Rules())
    assert nearest(asked, traces) is traces[1]


@pytest.mark.parametrize(("back", "found"), [(8, True), (9, False)])
def test_few_that_are_as_near_are_looked_at_closely(back: int, found: bool) -> None:  # noqa: FBT001 - as the table says
    """Of many that were asked the same, the latest ones: it is done while all callers wait."""
    tracer = Tracer()
    names = [f"n{number}" for number in range(20)]
    turns = [tracer.turn([text("a")], [but(CALL, call_id=name, name=name)]) for name in names]
    mine = but(CALL, call_id=names[-back], name=names[-back], arguments="{}")
    assert near(tracer, text("a"), mine, OUTPUT) is turns[-back if found else -1]


def test_items_are_read_anew_within_bounds() -> None:
    """Once, and so many bytes in all: of what is beyond that the type is known."""
    half = READ // 2
    tracer = Tracer()
    asked = tracer.asked([text("x" * READ), *(text(f"{number}" + "x" * half) for number in range(2)), CALL])
    tracer.prints._outlines.clear()
    outlines = [asked.outline(at) for at in range(4)]
    assert [outline.kind for outline in outlines] == ["message", "message", "message", "function_call"]
    assert [bool(outline.paths) for outline in outlines] == [False, True, False, True]
    assert [asked.outline(at) for at in range(4)] == outlines
    assert asked.outline(1) is outlines[1]


def test_what_is_remembered_is_not_read_anew() -> None:
    """However large it is."""
    asked = Tracer().asked([text("x" * READ)])
    assert asked.outline(0).paths


@given(st.lists(st.tuples(LETTERS, st.lists(LETTERS, max_size=2)), min_size=1, max_size=4), LETTERS)
def test_nothing_has_more_in_common_than_the_nearest(turns: list[tuple[str, list[str]]], items: str) -> None:
    """Begun alike, or its last items found anywhere; nearest is none only where no item is shared."""
    traces = [traced(sent, *said) for sent, said in turns]
    asked = Asked([b"{}"] * len(items), digests(history(items)), {}, Tracer().prints, Rules())

    def common(trace: Trace) -> int:
        known = max((sum(item in items for item in form) for form in said_by[id(trace)]), default=0)
        return max(trace.alike(history(items)), sum(letter in items for letter in sent_by[id(trace)]) + known)

    sent_by = {id(trace): sent for trace, (sent, _) in zip(traces, turns, strict=True)}
    said_by = {id(trace): said for trace, (_, said) in zip(traces, turns, strict=True)}
    found = nearest(asked, traces)
    assert max(map(common, traces)) == (common(found) if found else 0)


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
