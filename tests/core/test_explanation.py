"""An explanation: it names what differs, and never what stands there."""

import json
from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.explanation import Explanation, happened
from proxy.core.heads import Grave
from proxy.core.meaning import Rules
from proxy.core.outline import ANOTHER
from proxy.core.reasons import MEANINGS, Passed, Plain, Whole
from proxy.core.scope import DOCUMENTED
from tests.core.histories import FAITHFUL, STRICT, Spelled
from tests.core.items import (
    CALL,
    CUSTOM,
    CUSTOM_OUTPUT,
    HOSTED,
    KINDS,
    MESSAGE,
    OUTPUT,
    PLAIN_REASONING,
    REASONING,
    USER,
    but,
    items,
    respelled,
    without,
)
from tests.core.spelling import Object, Value, randoms
from tests.core.traced import Tracer

SAID: list[Object] = [REASONING, MESSAGE]
NEXT: Object = {"role": "user", "content": "and then?"}


def traced(*said: Object, sent: Sequence[Spelled] = (USER,), rules: Rules = FAITHFUL) -> Tracer:
    """A tracer with one turn."""
    tracer = Tracer(rules)
    tracer.turn(sent, said)
    return tracer


# --- one item differs

PATHS: list[tuple[Object, str]] = [
    (MESSAGE, "role"),
    (MESSAGE, "phase"),
    (MESSAGE, "status"),
    (MESSAGE, "content[0].text"),
    (MESSAGE, "content[1].refusal"),
    (USER, "content[0].text"),
    (USER, "content[1].detail"),
    (USER, "content[1].image_url"),
    (USER, "content[2].filename"),
    (USER, "content[2].file_data"),
    (CALL, "call_id"),
    (CALL, "name"),
    (CALL, "namespace"),
    (CALL, "arguments"),
    (CALL, "status"),
    (CUSTOM, "input"),
    (OUTPUT, "output"),
    (OUTPUT, "call_id"),
    (CUSTOM_OUTPUT, "output[0].text"),
    (REASONING, "encrypted_content"),
    (REASONING, "summary[0].text"),
    (REASONING, "content[0].text"),
    (PLAIN_REASONING, "id"),
    (HOSTED[0], "action"),
]


def changed(item: Object, path: str) -> Object:
    """The item with another value at the path."""
    copy: Object = json.loads(json.dumps(item))
    head, _, key = path.partition(".")
    if not key:
        return but(copy, **{head: "another"})
    name, _, index = head.rstrip("]").partition("[")
    parts = copy[name]
    assert isinstance(parts, list)
    part = parts[int(index)]
    assert isinstance(part, dict)
    part[key] = "another"
    return copy


@pytest.mark.parametrize(("item", "path"), PATHS, ids=[f"{item['type']}-{path}" for item, path in PATHS])
def test_a_changed_key_is_named_by_its_path(item: Object, path: str) -> None:
    """That one and no other, of an item that the model said and of one that was sent before."""
    other = changed(item, path)
    for tracer, whose in (
        (traced(item, CUSTOM), "the model said"),
        (traced(*SAID, sent=[USER, item]), "was sent before"),
    ):
        found = tracer.why([USER, other, *([CUSTOM] if whose == "the model said" else SAID), NEXT])
        assert found == Explanation(
            kind="item",
            text=f"The {item['type']} item at index 1 differs from what {whose} in {path}.",
            item=1,
            item_type=str(item["type"]),
            paths=(path,),
            compared_with="ol_0",
        )


@given(st.lists(items(), min_size=1, max_size=4), st.lists(items(), max_size=3), randoms)
def test_a_continuation_differs_in_no_item(sent: list[Object], said: list[Object], random: Random) -> None:
    """However a caller spells what was sent and said: where it means the same, nothing is told of it."""
    tracer = traced(*said, sent=sent)
    found = tracer.why([respelled(item, random) for item in [*sent, *said]] + [NEXT])
    assert (found.kind, found.item, found.settings) == ("other", None, ())
    assert "heads.max_count" in found.text


def test_what_the_rules_forgive_is_not_told() -> None:
    """A difference counts under some rules, and is told under these alone."""
    plain = without(MESSAGE, "status")
    assert traced(MESSAGE, rules=STRICT).why([USER, plain, NEXT]).paths == ("status",)
    assert traced(MESSAGE).why([USER, plain, NEXT]).paths == ()


def test_of_several_paths_each_is_named() -> None:
    """In one sentence."""
    found = traced(CALL).why([USER, but(CALL, name="x", arguments="{}", namespace=None), NEXT])
    assert found.text.endswith("differs from what the model said in arguments, name and namespace.")


def test_without_an_outline_the_place_is_told() -> None:
    """Of an item that came long ago only the type is known, and that it differs."""
    tracer = traced(*SAID, sent=[USER])
    tracer.prints._outlines.clear()
    found = tracer.why([changed(USER, "content[0].text"), *SAID, NEXT])
    assert (found.item, found.item_type, found.paths) == (0, "message", ())
    assert found.text == "The message item at index 0 differs from what was sent before."
    tracer.prints._outlines.clear()
    assert tracer.why([USER, MESSAGE, NEXT]).text == "The item at index 1, which the model said, was left out."


# --- items are missing, were put in, or changed places


@pytest.mark.parametrize(
    ("came", "text"),
    [
        ([MESSAGE, NEXT], "The reasoning item at index 1, which the model said, was left out."),
        (
            [changed(MESSAGE, "phase"), NEXT],
            "The reasoning item at index 1, which the model said, was left out.",
        ),
        (
            [NEXT],
            "The reasoning item at index 1 and the 1 item after it, which the model said, were left out.",
        ),
        ([REASONING, NEXT], "The message item at index 2, which the model said, was left out."),
        ([MESSAGE, REASONING, NEXT], "From index 1 on the items come in another order than before."),
        ([NEXT, *SAID, NEXT], "The message item at index 1 was put in: nothing was there before."),
        (
            [NEXT, CALL, *SAID, NEXT],
            "The message item at index 1 and the 1 item after it were put in: nothing was there before.",
        ),
        (
            [CALL, changed(REASONING, "encrypted_content"), NEXT],
            "The function_call item at index 1 was put in: nothing was there before.",
        ),
        (
            [{"type": "item_reference", "id": "rs_1"}, NEXT],
            "At index 1 is an item_reference item, where what the model said is a reasoning item.",
        ),
        (
            [{"id": "rs_1", "type": "secret_call"}, NEXT],
            "At index 1 is an item of another type, where what the model said is a reasoning item.",
        ),
        ([REASONING], "The history ends within the answer, after 2 items."),
        ([], "The history ends where that of the earlier turn did, before the answer."),
        ([*SAID], "The history ends with the answer, and nothing new follows it."),
    ],
)
def test_an_answer_that_is_not_all_there(came: list[Spelled], text: str) -> None:
    """What is missing, too much, elsewhere or of another type is told by the first place where that shows."""
    found = traced(*SAID).why([USER, *came])
    assert found.text == text
    assert (found.kind, found.paths, found.compared_with) == ("item", (), "ol_0")


def test_items_of_before_that_are_not_all_there() -> None:
    """The same of what was sent: there another type is no sign of a missing item, as callers edit what is theirs."""
    sent = [USER, CALL, OUTPUT, MESSAGE, NEXT]
    tracer = traced(*SAID, sent=sent)
    short = tracer.why([USER, CALL, OUTPUT])
    assert short.text == "The history ends before that of the earlier turn, after 3 items."
    cut = tracer.why([USER, MESSAGE, NEXT, *SAID, NEXT])
    assert cut.text == (
        "The function_call item at index 1 and the 1 item after it, which was sent before, were left out."
    )
    edited = tracer.why([USER, CALL, PLAIN_REASONING, MESSAGE, NEXT, *SAID, NEXT])
    assert edited.text == ("At index 2 is a reasoning item, where what was sent before is a function_call_output item.")
    assert [found.item for found in (short, cut, edited)] == [None, 1, 2]


def test_the_form_that_fits_best_is_compared() -> None:
    """Where an answer may come back in several forms, what differs is told of the one that was meant."""
    tracer = Tracer()
    tracer.turn([USER], SAID, [MESSAGE])
    assert tracer.why([USER, MESSAGE, NEXT]).item is None
    for at, came in ((1, [changed(MESSAGE, "phase")]), (2, [REASONING, changed(MESSAGE, "phase")])):
        found = tracer.why([USER, *came, NEXT])
        assert (found.item, found.item_type, found.paths) == (at, "message", ("phase",))


# --- settings

# What the caller may not set, or is tested below.
NOT_PLAIN = {"background", "conversation", "previous_response_id", "prompt"}


@pytest.mark.parametrize("name", sorted(DOCUMENTED - NOT_PLAIN - {"model"}))
def test_a_setting_that_differs_is_named(name: str) -> None:
    """By its name, where the history is the same."""
    found = traced(*SAID).why([USER, *SAID, NEXT], {name: "another"})
    assert found == Explanation("setting", f"The setting {name} changed.", settings=(name,), compared_with="ol_0")


def test_several_settings_and_an_item_are_told_together() -> None:
    """Each is a reason of its own."""
    settings: Object = {"model": "other", "user": "u", "reasoning": {"effort": "high", "more": 1}}
    found = traced(*SAID).why([USER, MESSAGE, NEXT], settings)
    assert found.text == (
        "The settings model, reasoning and user changed; "
        "the reasoning item at index 1, which the model said, was left out."
    )
    assert (found.kind, found.item, found.settings) == ("setting", 1, ("model", "reasoning", "user"))


def test_settings_that_may_differ_are_not_told() -> None:
    """What does not bind a history is no reason."""
    free: Object = {"tools": [], "instructions": "x", "reasoning": {"effort": "low"}, "temperature": 1}
    assert traced(*SAID).why([USER, *SAID, NEXT], free).settings == ()


def test_an_undocumented_setting_has_no_name() -> None:
    """It counts, and is told as another, behind those that have one."""
    tracer = traced(*SAID)
    alone = tracer.why([USER, *SAID, NEXT], {"secret": 1})
    assert (alone.settings, alone.text) == (("another setting",), "A setting that is not documented changed.")
    both = tracer.why([USER, *SAID, NEXT], {"secret": 1, "user": "u"})
    assert both.text == "The settings user and another setting changed."


# --- other histories


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([NEXT, CALL, OUTPUT], "The history does not begin like that of any recent turn."),
        ([USER, NEXT, CALL, OUTPUT], "Beyond its first 1 item, the history is not that of any recent turn."),
        ([USER, CALL, OUTPUT], "Beyond its first 1 item, the history is not that of any recent turn."),
    ],
)
def test_an_opening_that_two_conversations_share_makes_no_difference_of_theirs(items: list[Spelled], text: str) -> None:
    """Where nothing that the model said is shared and nothing else that follows, it is another conversation."""
    found = traced(*SAID, sent=[USER, changed(USER, "content[0].text")]).why(items, {"model": "other"})
    assert found == Explanation("other", text)


def test_without_traces_nothing_is_known() -> None:
    """The first turn after a start."""
    assert Tracer().why([USER, MESSAGE, NEXT]).text == "The history does not begin like that of any recent turn."


def test_an_answer_that_was_never_seen_is_told() -> None:
    """What follows the answer that is known holds another: of a turn that was cut, or went past Openline."""
    found = traced(*SAID).why([USER, *SAID, NEXT, REASONING, CALL, OUTPUT])
    assert (found.kind, found.item, found.item_type) == ("item", 4, "reasoning")
    assert found.text == "The reasoning item at index 4 is of an answer that was not seen whole, or came another way."
    unseen = Tracer()
    unseen.turn([USER])
    assert unseen.why([USER, MESSAGE, NEXT]).item == 1


# --- what happened


@pytest.mark.parametrize("reason", [*Whole, *Plain, *Passed])
def test_each_reason_explains_itself(reason: Whole | Plain | Passed) -> None:
    """In its own words, with what happened where that is known."""
    assert happened(reason).text == MEANINGS[reason]
    detail = happened(reason, "the line was lost with code 1001, 312 s after its last turn").text
    assert detail == f"{MEANINGS[reason][:-1]} (the line was lost with code 1001, 312 s after its last turn)."


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Whole.CONNECTION_LOST, "connection"),
        (Whole.ROTATED, "connection"),
        (Whole.EVICTED, "connection"),
        (Whole.REJECTED, "connection"),
        (Whole.NOT_FOUND, "connection"),
        (Plain.DIAL_FAILED, "connection"),
        (Plain.MODE_OFF, "other"),
        (Plain.SEMANTIC_HEADER, "other"),
        (Plain.IMAGES, "other"),
        (Whole.HOSTED_TOOLS, "other"),
        (Whole.PARENT_CONTINUED, "other"),
        (Whole.TRUNCATION, "setting"),
    ],
)
def test_reasons_are_of_a_kind(reason: Whole | Plain, kind: str) -> None:
    """What a developer can look at: the connection, a setting, or neither."""
    assert happened(reason).kind == kind
    assert happened(reason).settings == (("truncation",) if kind == "setting" else ())


def test_a_lost_line_is_told_with_what_happened() -> None:
    """The turn that was answered on it is the last one of this history that is known."""
    grave = Grave(Whole.CONNECTION_LOST, "the line was lost with code 1001", covers=3)
    found = traced(*SAID).why([USER, *SAID, NEXT], grave=grave)
    assert found == happened(Whole.CONNECTION_LOST, "the line was lost with code 1001")
    # A turn from before that says nothing of what became of the later one, even where an answer since is not known.
    since = [USER, *SAID, NEXT, CALL, OUTPUT]
    assert traced(*SAID).why(since, {"model": "other"}, grave=grave) == found


@pytest.mark.parametrize("reason", [Whole.CONNECTION_LOST, Whole.PARENT_CONTINUED, Whole.UNFINISHED, Whole.EVICTED])
def test_a_changed_answer_is_told_whatever_became_of_an_earlier_one(reason: Whole) -> None:
    """The turn that was answered since is this conversation's: that its answer is not known has a cause of its own."""
    grave = Grave(reason, covers=3)
    tracer = traced(*SAID, sent=[USER, REASONING, MESSAGE, NEXT])
    history = [USER, REASONING, MESSAGE, NEXT]
    dropped = tracer.why([*history, MESSAGE, NEXT], grave=grave)
    assert (dropped.kind, dropped.item, dropped.item_type) == ("item", 4, "reasoning")
    setting = tracer.why([*history, *SAID, NEXT], {"model": "other"}, grave=grave)
    assert setting.settings == ("model",)
    # A sibling holds nothing that the model said since, and a history that is known holds nothing that differs.
    sibling = tracer.why([USER, REASONING, MESSAGE, CUSTOM_OUTPUT], grave=grave)
    assert sibling.text == MEANINGS[reason]
    assert sibling.compared_with == "ol_0"
    assert tracer.why([*history, *SAID, NEXT], grave=grave).text == MEANINGS[reason]


def test_an_item_of_another_conversation_is_no_sign_of_this_one() -> None:
    """What comes again elsewhere tells that it is one history, wherever it stands; in an answer, too."""
    tracer = traced(CALL, sent=[changed(USER, "role"), NEXT])
    assert tracer.why([USER, CALL, OUTPUT]).item == 0
    assert tracer.why([USER, CUSTOM, OUTPUT]).item is None


# --- nothing private

SECRET = "ZQX"
NUMBER = 918273645


def secret(random: Random) -> str:
    """A text that must not be shown."""
    return f"{SECRET}{random.randrange(9)}"


def private(random: Random, depth: int = 2) -> Value:
    """Any value, with secrets wherever one can be."""
    way = random.randrange(5 if depth else 3)
    if way < 3:
        leaves: list[Value] = [secret(random), NUMBER, None]
        return leaves[way]
    inner: list[Value] = [private(random, depth - 1) for _ in range(random.randrange(3))]
    return inner if way == 3 else {secret(random): value for value in inner}


def private_item(random: Random) -> Object:
    """An item of any kind with secrets among its values, its keys and those of its parts; in its types, too."""
    item: Object = json.loads(json.dumps(random.choice([*KINDS, *HOSTED, {"type": secret(random)}])))
    parts = [part for value in item.values() if isinstance(value, list) for part in value if isinstance(part, dict)]
    for part in parts:
        part.update({key: private(random) for key in part if random.randrange(4) == 0})
        part.update({secret(random): private(random) for _ in range(random.randrange(2))})
    if "arguments" in item:
        item["arguments"] = json.dumps({secret(random): private(random)})
    item.update({key: private(random) for key in item if random.randrange(6) == 0})
    item.update({secret(random): private(random) for _ in range(random.randrange(3))})
    return item


def private_settings(random: Random) -> Object:
    """Some settings, with secrets for values and for names."""
    names = [*random.sample(sorted(DOCUMENTED - NOT_PLAIN), 2), secret(random)]
    return {name: private(random) for name in names if random.randrange(2)}


@given(randoms)
def test_nothing_of_a_request_is_in_an_explanation(random: Random) -> None:
    """No value, no key that is not documented, no such type: whatever was kept, changed, left out or put in."""
    sent, said, more = ([private_item(random) for _ in range(random.randrange(1, 4))] for _ in range(3))
    tracer = Tracer(random.choice([FAITHFUL, STRICT]))
    tracer.turn(sent, said, settings=private_settings(random))
    whole = [*sent, *said, *more]
    changes = [but(item, **{key: private(random)}) for item in whole for key in item if random.randrange(4) == 0]
    some = [item for item in whole if random.randrange(3)]
    histories = [some, [*sent, *some], [*sent, *said, *more], random.sample(whole, len(whole)), [*sent[1:], *changes]]
    for at, item in enumerate(whole):
        histories += [[*whole[:at], but(item, **{key: private(random)}), *whole[at + 1 :]] for key in item]
    for history in histories:
        grave = random.choice([Grave(Whole.NO_MATCH), Grave(Whole.EVICTED, covers=1)])
        told = tracer.why(history, private_settings(random), grave=grave)
        shown = msgspec.json.encode(told).decode() + repr(told)
        assert SECRET not in shown
        assert str(NUMBER) not in shown
    assert SECRET not in repr(tracer.traces) + repr(tracer.prints._outlines)


def test_an_explanation_is_json() -> None:
    """Whoever reads it gets the fields by their names."""
    found = traced(CALL).why([USER, but(CALL, secret=1), NEXT])
    assert msgspec.json.decode(msgspec.json.encode(found)) == {
        "kind": "item",
        "text": "The function_call item at index 1 differs from what the model said in another key.",
        "item": 1,
        "item_type": "function_call",
        "paths": [ANOTHER],
        "settings": [],
        "compared_with": "ol_0",
    }
