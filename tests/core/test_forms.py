"""Forms: in which ways an answer may come back and still be that answer."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.forms import CLIENT_SIDE, answered, forms, hidden, item_id, kind, labelled, said, thought
from proxy.core.meaning import Rules
from tests.core.outputs import (
    CALL,
    CUSTOM,
    FAITHFUL,
    REASONING,
    RELAXED,
    SEARCH,
    STRICT,
    Item,
    form,
    meant,
    message,
    without,
)


def raws(items: Sequence[object]) -> list[bytes]:
    """The items' bytes."""
    return [msgspec.json.encode(item) for item in items]


def known(said: Sequence[object], final: Sequence[object] = (), rules: Rules = FAITHFUL) -> list[bytes]:
    """The forms of an answer, comparable."""
    return [form(*items) for items in forms(raws(said), raws(final), rules)]


BARE = without(REASONING, "encrypted_content")


def unkept(said: Sequence[object], final: Sequence[object] = (), rules: Rules = FAITHFUL) -> list[bytes]:
    """The forms of an answer that is not stored."""
    return [form(*items) for items in forms(raws(said), raws(final), rules, stored=False)]


# --- reasoning that only its upstream knows


@pytest.mark.parametrize(
    ("item", "is_hidden"),
    [
        (REASONING, False),
        (BARE, True),
        ({**BARE, "encrypted_content": ""}, True),
        ({**BARE, "encrypted_content": None}, True),
        ({**BARE, "encrypted_content": 5}, True),
        ({**BARE, "summary": [{"type": "summary_text", "text": "in short"}]}, True),
        ({**BARE, "content": [{"type": "reasoning_text", "text": "in full"}]}, False),
        ({**BARE, "content": [{"type": "reasoning_text", "text": ""}]}, True),
        ({**BARE, "content": []}, True),
        ({**BARE, "content": None}, True),
        ({**BARE, "content": "in full"}, True),
        (message(), False),
        (CALL, False),
        ({"id": "rs_1"}, False),
    ],
)
def test_reasoning_is_hidden_where_the_item_does_not_hold_it(item: Item, *, is_hidden: bool) -> None:
    """Neither encrypted nor in clear: a summary is not what was thought, and an odd item holds nothing."""
    assert hidden(msgspec.json.encode(item)) is is_hidden


def test_what_is_not_stored_has_no_form_with_hidden_reasoning() -> None:
    """Plain HTTP would answer 404 to such an item; stored, the API knows what it stands for."""
    assert unkept([BARE, CALL]) == []
    assert unkept([REASONING, CALL]) == known([REASONING, CALL])
    assert known([BARE, CALL]) == [meant(BARE, CALL)]


@pytest.mark.parametrize(("said", "final"), [(REASONING, BARE), (BARE, REASONING)])
def test_of_two_forms_the_one_that_holds_the_reasoning_is_left(said: Item, final: Item) -> None:
    """Where encrypted_content is in the streamed item alone, or in the final one alone, that one is continued."""
    assert len(known([said, CALL], [final, CALL])) == 2
    assert unkept([said, CALL], [final, CALL]) == [meant(REASONING, CALL)]


def test_relaxed_continues_behind_hidden_reasoning_that_was_dropped() -> None:
    """It may know more than the caller sent, by that setting; an item that the API would not know it still minds."""
    assert unkept([BARE, CALL], rules=RELAXED) == [meant(CALL, rules=RELAXED)]


@pytest.mark.parametrize(
    ("item", "size"),
    [
        (REASONING, len(raws([REASONING])[0])),
        (BARE, None),
        ({"type": "item_reference", "id": "rs_1"}, None),
        ({"id": "rs_1"}, None),
        ({"role": "user", "content": "hi"}, 0),
        (CALL, 0),
        ({"type": "compaction", "encrypted_content": "x"}, 45),
    ],
)
def test_how_much_reasoning_an_item_stands_for(item: Item, size: int | None) -> None:
    """Its bytes, where it holds any; unknown where it only names what may be some."""
    assert thought(raws([item])[0]) == size


# --- an item's labels


@pytest.mark.parametrize(
    ("raw", "labels"),
    [
        (b'{"type":"message","id":"msg_1"}', ("message", "msg_1")),
        (b'{"id":"msg_1"}', ("", "msg_1")),
        (b'{"type":5,"id":[]}', ("", "")),
        (b'{"type":null,"id":null}', ("", "")),
        (b"{}", ("", "")),
        (b"[]", ("", "")),
        (b'"message"', ("", "")),
        (b'{"type":"message"', ("", "")),
        (b'{"type":"\xff"}', ("", "")),
        (b"[" * 100_000, ("", "")),
    ],
)
def test_the_labels_of_any_item_are_texts(raw: bytes, labels: tuple[str, str]) -> None:
    """Type and id of an item, empty where it has no usable one; nothing that an upstream says breaks the turn."""
    assert (kind(raw), item_id(raw)) == labels


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"role":"user","content":1}', "message"),
        (b'{"type":null,"role":"user"}', "message"),
        (b'{"type":"reasoning","role":"user"}', "reasoning"),
        (b'{"type":7,"role":"user"}', ""),
        (b'{"role":7}', ""),
        (b'{"id":"msg_1"}', ""),
        (b"{", ""),
    ],
)
def test_a_type_shows_by_its_label_or_a_role(raw: bytes, told: str) -> None:
    """What has neither is not told without reading it."""
    assert labelled(raw) == told


@pytest.mark.parametrize(
    ("raw", "by_model"),
    [
        (b'{"role":"assistant","content":"x"}', True),
        (b'{"type":"message","role":"assistant","content":[]}', True),
        (b'{"type":"reasoning","summary":[]}', True),
        (b'{"type":"function_call","call_id":"c"}', True),
        (b'{"type":"web_search_call","id":"w"}', True),
        (b'{"type":"item_reference","id":"m"}', True),
        (b'{"id":"m"}', True),
        (b'{"role":"user","content":"assistant"}', False),
        (b'{"type":"message","role":"developer","content":[]}', False),
        (b'{"type":"function_call_output","call_id":"c","output":"x"}', False),
        (b'{"type":"custom_tool_call_output","call_id":"c","output":"x"}', False),
        (b'{"type":"additional_tools","role":"assistant"}', False),
        (b'{"type":"from_the_future"}', False),
        (b"{}", False),
        (b"[]", False),
        (b'"assistant"', False),
        (b'{"role":5}', False),
    ],
)
def test_what_a_model_said_is_told_from_what_it_was_told(raw: bytes, by_model: bool) -> None:  # noqa: FBT001 - a case
    """Messages of the assistant, reasoning, calls and references; not results, nor what an unknown kind may be."""
    assert said(raw) is by_model


# --- the final output against the streamed items


def test_a_history_is_answered_up_to_what_a_model_said_last() -> None:
    """What the caller added since is not counted, nor what it sent before the first answer."""
    user, said_ = b'{"role":"user","content":"hi"}', b'{"role":"assistant","content":"hello"}'
    assert answered([user, said_, user, said_, user, user]) == 4
    assert answered([said_]) == 1
    assert answered([user]) == answered([]) == 0


def test_without_a_final_output_the_streamed_form_counts() -> None:
    """Where the end repeats no item, what was streamed is the one form."""
    assert known([REASONING, CALL]) == [meant(REASONING, CALL)]


def test_an_equal_final_output_gives_one_form() -> None:
    """The same items again say nothing new."""
    assert known([REASONING, CALL], [REASONING, CALL]) == [meant(REASONING, CALL)]


@pytest.mark.parametrize(
    ("said", "final"),
    [
        (REASONING, {**REASONING, "encrypted_content": "gBBB"}),
        (REASONING, without(REASONING, "encrypted_content")),
        (without(REASONING, "encrypted_content"), REASONING),
        (without(REASONING, "encrypted_content"), {**without(REASONING, "encrypted_content"), "id": "rs_2"}),
        (CALL, {**CALL, "status": "incomplete"}),
        (CALL, {**CALL, "id": "fc_2"}),
        (message(), message(id="msg_2")),
        (message(), without(message(), "status")),
    ],
)
def test_a_slightly_differing_final_output_gives_both_forms(said: Item, final: Item) -> None:
    """Id, status and encrypted_content may differ: a caller may send back either form."""
    assert known([CUSTOM, said], [CUSTOM, final]) == [meant(CUSTOM, said), meant(CUSTOM, final)]


@pytest.mark.parametrize(
    "final",
    [
        [message("Hallo")],
        [message(), message()],
        [CALL],
        [message(phase="commentary")],
        [message(role="user")],
        [message(unknown=None)],
        [{**message(), "content": []}],
    ],
)
@pytest.mark.parametrize("rules", [STRICT, FAITHFUL, RELAXED], ids=lambda rules: rules.match)
def test_where_anything_else_differs_there_is_no_form(final: list[object], rules: Rules) -> None:
    """What was streamed and what the end says must be the same, or nothing is certain."""
    assert known([message()], final, rules) == []


@pytest.mark.parametrize("final", [["Hello"], [None], [{"type": "item_reference", "id": "msg_1"}]])
@pytest.mark.parametrize("rules", [STRICT, FAITHFUL, RELAXED], ids=lambda rules: rules.match)
def test_a_final_output_of_no_items_is_told(final: list[object], rules: Rules) -> None:
    """Something that is no item, or only a reference to one, cannot be compared: it is told, not guessed at."""
    with pytest.raises(ValueError, match="no item, or a reference"):
        known([message()], final, rules)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"message","type":"message","role":"assistant","content":"x"}',
        b'{"type":"message","role":"assistant","content":NaN}',
        b'{"type":"message","id":"\xff"}',
        b"7",
        b'{"type":"message","role":"assistant","content":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_an_item_that_may_be_read_in_two_ways_is_told(raw: bytes) -> None:
    """No form is made of an item that cannot be read, or that another parser may read differently."""
    with pytest.raises((ValueError, RecursionError)):
        forms([raw], [], RELAXED)


def test_missing_in_the_middle_of_the_final_output_means_no_form() -> None:
    """Fewer or reordered final items are another history."""
    assert known([REASONING, CALL], [CALL]) == known([REASONING, CALL], [CALL, REASONING]) == []


# --- relaxed: the forms that callers make of an answer

Reduction = tuple[str, list[Item], list[Item]]
EMPTY = message("")
PHASED = message(phase="commentary")
REDUCTIONS: list[Reduction] = [
    ("reasoning dropped", [REASONING, CALL], [CALL]),
    ("reasoning dropped beside a message", [REASONING, message()], [message()]),
    ("phase dropped", [PHASED, CALL], [message(), CALL]),
    ("messages dropped beside a call", [message(), CALL], [CALL]),
    ("messages dropped beside a custom call", [message(), CUSTOM], [CUSTOM]),
    ("empty messages dropped", [EMPTY, message()], [message()]),
    ("message without content dropped", [message(content=[]), message()], [message()]),
    ("hosted items dropped", [SEARCH, message()], [message()]),
    ("all but the call", [REASONING, PHASED, SEARCH, CALL], [CALL]),
    ("reasoning and phase", [REASONING, PHASED, CALL], [message(), CALL]),
    ("nothing", [REASONING, PHASED, CALL], [REASONING, PHASED, CALL]),
]


@pytest.mark.parametrize(("items", "left"), [pytest.param(a, b, id=name) for name, a, b in REDUCTIONS])
def test_relaxed_knows_each_reduced_form(items: list[Item], left: list[Item]) -> None:
    """Relaxed matching recognises an answer of which the caller dropped something."""
    assert meant(*left, rules=RELAXED) in known(items, rules=RELAXED)


@pytest.mark.parametrize(("items", "left"), [pytest.param(a, b, id=name) for name, a, b in REDUCTIONS if a != b])
def test_other_modes_know_only_the_whole_form(items: list[Item], left: list[Item]) -> None:
    """Strict and faithful matching never take a reduced answer for the answer."""
    for rules in (STRICT, FAITHFUL):
        assert meant(*left, rules=rules) not in known(items, rules=rules)


@pytest.mark.parametrize(
    "items",
    [
        [message()],
        [EMPTY],
        [REASONING],
        [SEARCH],
        [REASONING, message()],
        [REASONING, SEARCH, message()],
        [REASONING, EMPTY],
        [PHASED, SEARCH],
        [CALL, message()],
    ],
)
def test_something_to_recognise_is_always_left(items: list[Item]) -> None:
    """No form is empty: else any history would continue the answer's parent; nor a lone reasoning for a message."""
    made = known(items, rules=RELAXED)
    assert meant() not in made
    if message() in items:
        assert meant(REASONING, rules=RELAXED) not in made


def test_a_message_is_dropped_only_where_a_call_is_left() -> None:
    """[reasoning, search, message] with message and search dropped would leave reasoning alone: no form."""
    made = known([REASONING, SEARCH, message()], rules=RELAXED)
    assert meant(REASONING, rules=RELAXED) not in made
    assert meant(SEARCH) in made
    assert meant(message()) in made


def test_only_messages_lose_their_phase() -> None:
    """A field of that name elsewhere is the item's own meaning."""
    hosted: Item = {"type": "web_search_call", "id": "ws_1", "phase": "x"}
    made = known([hosted, PHASED], rules=RELAXED)
    assert meant(hosted, message()) in made
    assert meant(without(hosted, "phase"), message()) not in made


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "refusal", "refusal": ""}],
        [{"type": "output_text", "text": "", "annotations": [{"type": "url_citation"}]}],
        [{"type": "output_text", "text": "", "unknown": None}],
        [{"type": "output_audio", "text": ""}],
        [{"type": "output_text", "text": ""}, {"type": "output_text", "text": "x"}],
        {},
        7,
        True,
        None,
    ],
)
def test_only_a_message_of_empty_text_is_empty(content: object) -> None:
    """A message that says anything, or is odd, is not dropped as an empty one."""
    kept = message(content=content)
    made = known([kept, PHASED], rules=RELAXED)
    assert meant(PHASED) not in made
    assert meant(kept, PHASED) in made


def test_relaxed_reduces_the_final_form_too() -> None:
    """Where stream and end differ, each has its reduced forms."""
    other = {**REASONING, "encrypted_content": "gBBB"}
    made = known([REASONING, PHASED, CALL], [other, PHASED, CALL], RELAXED)
    forms = ((REASONING, message(), CALL), (other, message(), CALL), (CALL,))
    assert {meant(*form, rules=RELAXED) for form in forms} <= set(made)


@given(
    items=st.lists(st.sampled_from([REASONING, CALL, CUSTOM, SEARCH, EMPTY, PHASED, message()]), max_size=5),
    match=st.sampled_from(["strict", "faithful", "relaxed"]),
)
def test_forms_are_different_and_start_with_the_streamed_one(
    items: list[Item], match: Literal["strict", "faithful", "relaxed"]
) -> None:
    """The whole answer is always the first form, and no form comes twice."""
    rules = Rules(match)
    made = known(items, rules=rules)
    assert made[0] == meant(*items, rules=rules)
    assert len(set(made)) == len(made)
    assert match == "relaxed" or len(made) == 1


def test_client_side_items_are_those_that_hold_all_that_the_model_is_given() -> None:
    """Whatever is not listed counts as run by the upstream: an unknown kind too."""
    assert {"message", "reasoning", "function_call", "custom_tool_call"} == CLIENT_SIDE
