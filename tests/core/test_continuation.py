"""The decision: delta or full, and with which reason; and the wire that trips where a host lost the context."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import Usage
from proxy.core.continuation import Delta, Full, Trust, context_suspect, decide
from proxy.core.heads import Head, Heads
from proxy.core.reasons import Whole
from proxy.core.request import CreateRequest, parse

USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "hello"}
REFERENCE = {"id": "msg_1"}
TRUSTED = Trust(verified=True)
CHAIN = [b"scope", b"1", b"2", b"3"]


class Anywhere:
    """A place that holds every head, or lends it."""

    connection = 1

    def __init__(self, *, idle: bool = True, roomy: bool = False, why: Whole = Whole.PARENT_CONTINUED) -> None:
        self.idle = idle
        self.roomy = roomy
        self.why = why

    def holds(self, _head: Head) -> bool:
        """While idle."""
        return self.idle

    def lends(self, _head: Head) -> bool:
        """While not."""
        return not self.idle

    def keeps(self, _head: Head) -> bool:
        """As the test says."""
        return self.roomy

    def barred(self, _head: Head) -> Whole:
        """As the test says; mostly for a sibling's sake."""
        return self.why

    def remembers(self, _head: Head) -> bool:
        """Always."""
        return True

    def drop(self, _head: Head) -> None:
        """Nothing is held for long."""


class Elsewhere(Anywhere):
    """A place that has gone on from every head."""

    def holds(self, _head: Head) -> bool:
        """No more."""
        return False

    def lends(self, _head: Head) -> bool:
        """Nor this."""
        return False


def head(*points: bytes, tokens: int = 0, settings_size: int = 0) -> Head:
    """A live head at these points."""
    return Head("r", points, b"key", Anywhere(), stored=False, tokens=tokens, settings_size=settings_size)


def heads(*held: Head) -> Heads:
    """Heads that hold these."""
    store = Heads(most=10, max_age=10, clock=lambda: 0.0)
    for one in held:
        store.add(one)
    return store


def request(*items: object, **settings: object) -> CreateRequest:
    """A create with these items."""
    return parse(msgspec.json.encode({"model": "m", **settings, "input": items}), most_items=10)


def test_a_live_head_is_continued_with_what_it_does_not_cover() -> None:
    """The items up to and including the model's output are skipped; the new ones are sent."""
    parent = head(b"2")
    decision = decide(request(USER, SAID, USER), CHAIN, heads(parent), TRUSTED, forced_full=False)
    assert decision == Delta(parent, 2)
    assert isinstance(decision, Delta)
    frame = request(USER, SAID, {"role": "user", "content": "new"}).frame(parent.response_id, decision.skip)
    sent = msgspec.json.decode(frame)
    assert sent["previous_response_id"] == "r"
    assert sent["input"] == [{"role": "user", "content": "new"}]


@pytest.mark.parametrize(
    ("trust", "reason"),
    [
        (Trust(verified=False), Whole.HOST_UNVERIFIED),
        (Trust(verified=True, suspect=True), Whole.CONTEXT_SUSPECT),
        (Trust(verified=False, suspect=True), Whole.CONTEXT_SUSPECT),
    ],
)
def test_a_host_that_is_not_trusted_gets_no_delta(trust: Trust, reason: Whole) -> None:
    """A live head is of no use on a host that may lose context unseen."""
    assert decide(request(USER, SAID, USER), CHAIN, heads(head(b"2")), trust, forced_full=False) == Full(reason)


@pytest.mark.parametrize("trust", [TRUSTED, Trust(verified=False), Trust(verified=True, suspect=True)])
def test_no_match_is_told_before_distrust(trust: Trust) -> None:
    """The host is named as the reason only where a delta was possible."""
    assert decide(request(USER, SAID, USER), CHAIN, heads(), trust, forced_full=False) == Full(Whole.NO_MATCH)


def test_the_grave_gives_the_reason() -> None:
    """What happened to the head is why the turn is sent in full."""
    store = heads()
    store.mark([b"2"], Whole.HOSTED_TOOLS)
    assert decide(request(USER, SAID, USER), CHAIN, store, TRUSTED, forced_full=False) == Full(Whole.HOSTED_TOOLS)


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
NAMED = {"type": "item_reference", "id": "msg_1"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "done"}


@pytest.mark.parametrize(
    ("said", "new", "reason"),
    [
        (SAID, [USER], Whole.PARENT_CONTINUED),
        (CALL, [RESULT, USER], Whole.PARENT_CONTINUED),
        (NAMED, [USER, USER], Whole.PARENT_CONTINUED),
        (SAID, [USER, SAID, USER], Whole.NO_MATCH),
        (SAID, [USER, CALL, RESULT], Whole.NO_MATCH),
        (SAID, [{"type": "reasoning", "summary": []}, USER], Whole.NO_MATCH),
        (SAID, [USER, NAMED, USER], Whole.NO_MATCH),
    ],
)
def test_a_sibling_is_told_from_an_answer_that_came_back_changed(
    said: object, new: list[object], reason: Whole
) -> None:
    """The parent was continued: by another turn, or by this conversation's own, whose answer is not recognised."""
    store = heads(Head("r", (b"2",), b"key", Elsewhere(), stored=False))
    chain = [b"scope", *(str(number).encode() for number in range(1, 3 + len(new)))]
    assert decide(request(USER, said, *new), chain, store, TRUSTED, forced_full=False) == Full(reason)


@pytest.mark.parametrize("grave", [Whole.UNFINISHED, Whole.CONNECTION_LOST, Whole.EVICTED])
def test_what_became_of_an_earlier_answer_is_told_of_a_later_one(grave: Whole) -> None:
    """Any other reason stays: the turn after it was sent without a head, so its answer may be unknown because of it."""
    store = heads()
    store.mark([b"2"], grave)
    chain = [b"scope", b"1", b"2", b"3", b"4", b"5"]
    assert decide(request(USER, SAID, USER, SAID, USER), chain, store, TRUSTED, forced_full=False) == Full(grave)


def test_forced_and_truncating_turns_are_sent_in_full() -> None:
    """`x-openline-mode: full` and `truncation: auto` rule out a delta, whatever is live."""
    store = heads(head(b"2"))
    forced = decide(request(USER, SAID, USER), CHAIN, store, TRUSTED, forced_full=True)
    assert forced == Full(Whole.FORCED)
    truncating = request(USER, SAID, USER, truncation="auto")
    assert decide(truncating, CHAIN, store, TRUSTED, forced_full=False) == Full(Whole.TRUNCATION)
    whole = request(USER, SAID, USER, truncation="disabled")
    assert isinstance(decide(whole, CHAIN, store, TRUSTED, forced_full=False), Delta)


def test_a_conversation_that_only_starts_is_called_so() -> None:
    """Without anything that a model said, the reason is that the conversation starts, not that it is unknown."""
    chain = [b"scope", b"1", b"2"]
    for store in (heads(), heads(head(b"2"))):
        assert decide(request(USER, USER), chain, store, TRUSTED, forced_full=False) == Full(Whole.FIRST)
    store = heads()
    store.mark([b"1"], Whole.UNFINISHED)
    assert decide(request(USER, USER), chain, store, TRUSTED, forced_full=False) == Full(Whole.FIRST)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([{"role": "user", "content": "assistant"}], Whole.FIRST),
        ([{"role": "user", "content": [{"type": "input_text", "text": "reasoning"}]}], Whole.FIRST),
        ([{"role": "user", "content": '"call_id"'}], Whole.FIRST),
        ([RESULT], Whole.FIRST),
        ([{"id": "msg_1"}], Whole.NO_MATCH),
        ([NAMED], Whole.NO_MATCH),
        ([SAID], Whole.NO_MATCH),
        ([{"type": "reasoning", "encrypted_content": "x"}], Whole.NO_MATCH),
        ([{"type": "web_search_call", "id": "ws_1", "status": "completed"}], Whole.NO_MATCH),
    ],
)
def test_whether_a_conversation_only_starts_is_told_by_who_speaks(items: list[object], reason: Whole) -> None:
    """Not by the words that are used: what a user says of assistants was said by no model."""
    chain = [str(number).encode() for number in range(len(items) + 2)]
    assert decide(request(*items, USER), chain, heads(), TRUSTED, forced_full=False) == Full(reason)


@pytest.mark.parametrize(
    "settings",
    [
        {"reasoning": {"effort": "low"}},
        {"include": ["reasoning.encrypted_content"], "reasoning": None},
        {"instructions": 'Say "assistant" and "call_id"', "metadata": {"assistant": "call_id"}},
        {"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"call_id": {}}}}]},
    ],
)
def test_what_the_settings_say_was_not_said_by_a_model(settings: dict[str, object]) -> None:
    """Only the input tells whether a conversation goes on: a `reasoning` setting is in nearly every first turn."""
    chain = [b"scope", b"1", b"2"]
    assert decide(request(USER, USER, **settings), chain, heads(), TRUSTED, forced_full=False) == Full(Whole.FIRST)
    decision = decide(request(USER, SAID, USER, **settings), CHAIN, heads(), TRUSTED, forced_full=False)
    assert decision == Full(Whole.NO_MATCH)


def test_an_empty_input_starts_a_conversation() -> None:
    """No items: nothing to continue with."""
    store = heads(head(b"scope"))
    assert decide(request(), [b"scope"], store, TRUSTED, forced_full=False) == Full(Whole.FIRST)


def test_a_string_input_is_never_a_delta() -> None:
    """A string is one user message: it has no items to leave out, even where it names an assistant."""
    body = b'{"model":"m","input":"the \\"assistant\\" said","metadata":{"role":"assistant"}}'
    start = parse(body, most_items=10)
    chain = [b"scope", b"1"]
    assert decide(start, chain, heads(head(b"scope"), head(b"1")), TRUSTED, forced_full=False) == Full(Whole.FIRST)


def test_a_lone_reference_is_recognised() -> None:
    """A history whose only trace of the model is `{"id": …}` is continued like any other."""
    parent = head(b"2")
    decision = decide(request(USER, REFERENCE, USER), CHAIN, heads(parent), TRUSTED, forced_full=False)
    assert decision == Delta(parent, 2)


def test_an_answer_of_nothing_is_continued() -> None:
    """Where the model said nothing, the next request holds nothing of it either, and is still a continuation."""
    parent = head(b"1")
    decision = decide(request(USER, USER), [b"scope", b"1", b"2"], heads(parent), TRUSTED, forced_full=False)
    assert decision == Delta(parent, 1)


def test_a_sibling_forks() -> None:
    """Where the head's first child is in flight, the delta says that it needs a lane of its own."""
    parent = Head("r", (b"2",), b"key", Anywhere(idle=False), stored=False)
    decision = decide(request(USER, SAID, USER), CHAIN, heads(parent), TRUSTED, forced_full=False)
    assert decision == Delta(parent, 2, fork=True)


@pytest.mark.parametrize(
    ("new", "roomy", "fork"),
    [
        ([USER], True, True),
        ([USER], False, False),
        ([RESULT], True, False),
        ([RESULT, USER], True, True),
        ([{"role": "developer", "content": "hi"}], True, False),
        ([{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, RESULT], True, True),
    ],
)
def test_what_a_user_says_leaves_the_parent_where_it_is(new: list[object], *, roomy: bool, fork: bool) -> None:
    """It forks where the head's place keeps it; a tool's result goes on in place, whatever the user said before."""
    parent = Head("r", (b"2",), b"key", Anywhere(roomy=roomy), stored=False)
    chain = [b"scope", *(str(number).encode() for number in range(1, 3 + len(new)))]
    decision = decide(request(USER, SAID, *new), chain, heads(parent), TRUSTED, forced_full=False)
    assert decision == Delta(parent, 2, fork=fork)


@pytest.mark.parametrize("idle", [True, False])
def test_what_is_stored_never_forks(idle: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """It can be continued again from anywhere: no lane is spent on keeping it."""
    parent = Head("r", (b"2",), b"key", Anywhere(idle=idle, roomy=True), stored=True)
    decision = decide(request(USER, SAID, USER), CHAIN, heads(parent), TRUSTED, forced_full=False)
    assert decision == Delta(parent, 2, fork=False)


@pytest.mark.parametrize("reason", [Whole.LANES_BUSY, Whole.ROTATED, Whole.PARENT_CONTINUED])
def test_a_head_that_is_out_of_reach_says_why(reason: Whole) -> None:
    """The reason is that of its place, and no guess."""
    parent = Head("r", (b"2",), b"key", Elsewhere(why=reason), stored=False)
    decision = decide(request(USER, SAID, USER), CHAIN, heads(parent), TRUSTED, forced_full=False)
    assert decision == Full(reason)


# --- the trip-wire


@pytest.mark.parametrize(
    ("implied", "was", "now", "counted", "suspect"),
    [
        (10_000, 500, 500, 10_200, False),
        (10_000, 500, 500, 5_000, False),
        (10_000, 500, 500, 4_999, True),
        (10_000, 500, 500, 40, True),
        (10_000, 500, 500, 0, False),
        (256, 0, 0, 127, True),
        (255, 0, 0, 1, False),
        (0, 0, 0, 1, False),
        (10_000, 9_900, 100, 40, False),
        (10_000, 9_000, 100, 40, True),
        (10_000, 100, 9_000, 4_999, True),
        (10_000, 20_000, 0, 1, False),
    ],
    ids=[
        "grown",
        "half",
        "below half",
        "only the delta",
        "not counted",
        "smallest",
        "too small to tell",
        "head not counted",
        "tools dropped",
        "tools dropped, and context",
        "tools added",
        "more dropped than counted",
    ],
)
def test_the_wire_trips_where_far_fewer_tokens_were_counted(
    implied: int, was: int, now: int, counted: int, *, suspect: bool
) -> None:
    """A delta that counts less than half of what its head implies lost context; dropped settings are forgiven."""
    parent = head(b"1", tokens=implied, settings_size=was)
    assert context_suspect(parent, Usage(input_tokens=counted), now) is suspect


@given(
    tokens=st.integers(0, 1_000_000),
    was=st.integers(0, 1_000_000),
    now=st.integers(0, 1_000_000),
    added=st.integers(0, 1_000_000),
)
def test_the_wire_never_trips_on_a_host_that_kept_the_context(tokens: int, was: int, now: int, added: int) -> None:
    """Settings of `was` bytes cost at most that many tokens: a context that was kept and only grew is never suspect."""
    of_settings = min(tokens, was)
    kept = tokens - of_settings + min(of_settings, now) + added
    assert not context_suspect(head(b"1", tokens=tokens, settings_size=was), Usage(input_tokens=kept), now)


@pytest.mark.parametrize(
    ("dropped", "suspect"), [(0, True), (4_000, True), (6_001, False), (20_000, False), (None, False)]
)
def test_reasoning_that_may_be_left_out_is_forgiven(dropped: int | None, *, suspect: bool) -> None:
    """With a user's message the reasoning before it goes out of use: so many bytes are at most so many tokens.

    Where nobody knows how many they are, nothing can be said: a false alarm would end all deltas to the host.
    """
    assert context_suspect(head(b"1", tokens=10_000), Usage(input_tokens=2_000), 0, dropped) is suspect


def test_the_wire_bears_any_number() -> None:
    """Counts beyond what a float holds trip it or not, but never break the turn."""
    huge = 10**400
    assert context_suspect(head(b"1", tokens=huge), Usage(huge // 3), 0)
    assert not context_suspect(head(b"1", tokens=huge), Usage(huge), 0)
    assert not context_suspect(head(b"1", tokens=-huge), Usage(-5), 0)


@given(tokens=st.integers(256, 1_000_000), settings_size=st.integers(0, 1_000_000), share=st.floats(0.0, 0.49))
def test_the_wire_trips_on_every_loss_of_more_than_half(tokens: int, settings_size: int, share: float) -> None:
    """With unchanged settings, a context of which more than half is gone never passes unseen."""
    counted = max(1, int(tokens * share))
    assert context_suspect(head(b"1", tokens=tokens, settings_size=settings_size), Usage(counted), settings_size)
