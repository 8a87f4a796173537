"""What the model said: the rules by which an answer can, or cannot, be continued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import Answer, Ending, said_before
from proxy.core.events import NotAnEvent, sniff
from proxy.core.meaning import Rules, meaning
from proxy.core.reasons import Whole

Item: TypeAlias = dict[str, object]

FAITHFUL = Rules()
RELAXED = Rules("relaxed")
STRICT = Rules("strict")

REASONING: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL: Item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
CUSTOM: Item = {"type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "g", "input": "x"}
SEARCH: Item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
COMPACTIONS = ["compaction", "compaction_summary", "context_compaction"]


def message(text: str = "Hello", **more: object) -> Item:
    """An answer's message."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content, **more}


def added(index: object, item: object = None) -> bytes:
    """An item begins."""
    return msgspec.json.encode({"type": "response.output_item.added", "output_index": index, "item": item or {}})


def done(index: object, item: object) -> bytes:
    """An item ends."""
    return msgspec.json.encode({"type": "response.output_item.done", "output_index": index, "item": item})


def ended(kind: str = "completed", **response: object) -> bytes:
    """The response ends."""
    body = {"id": "resp_1", "status": kind, "output": [], **response}
    return msgspec.json.encode({"type": f"response.{kind}", "response": body})


def heard(*frames: bytes) -> Answer:
    """The answer after these frames."""
    answer = Answer()
    for frame in frames:
        answer.see(sniff(frame))
    return answer


def streamed(items: Sequence[object], last: bytes) -> Answer:
    """The answer whose items were all seen to begin and end."""
    return heard(*(frame for n, item in enumerate(items) for frame in (added(n), done(n, item))), last)


def forms(ending: Ending) -> set[bytes]:
    """The ending's forms, comparable without regard to their order."""
    return {form(*said) for said in ending.spoken}


def form(*meanings: object) -> bytes:
    """One comparable form."""
    return repr(meanings).encode()


def meant(*items: Item, rules: Rules = FAITHFUL) -> bytes:
    """The form in which these items would come back."""
    return form(*(meaning(msgspec.json.encode(item), rules) for item in items))


def without(item: Item, *names: str) -> Item:
    """The item without some keys."""
    return {key: value for key, value in item.items() if key not in names}


# --- whole: a terminal event, and every item from the first seen to begin and to end


@dataclass
class Script:
    """Item events and whether the answer is whole after them: `+n` an item begins, `-n` it ends."""

    events: str
    whole: bool

    def play(self) -> Answer:
        """The answer after the events and a completed terminal event."""
        frames = [added(int(e[1:])) if e[0] == "+" else done(int(e[1:]), message()) for e in self.events.split()]
        return heard(*frames, ended())


SCRIPTS = [
    Script("", whole=True),
    Script("+0 -0", whole=True),
    Script("+0 -0 +1 -1 +2 -2", whole=True),
    Script("+0 +1 -1 -0", whole=True),
    Script("+1 -1 +0 -0", whole=True),
    Script("+0", whole=False),
    Script("-0", whole=False),
    Script("-0 +0", whole=False),
    Script("+1 -1", whole=False),
    Script("+0 -0 +2 -2", whole=False),
    Script("+0 +0 -0", whole=False),
    Script("+0 -0 -0", whole=False),
    Script("+0 -0 +0 -0", whole=False),
    Script("+0 +1 -0", whole=False),
    Script("+0 -0 -1", whole=False),
    Script("+-1 --1", whole=False),
    Script("+0 -0 +99999999999999999999999 -99999999999999999999999", whole=False),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.events or "nothing")
def test_whole_means_each_index_from_zero_once_begun_and_once_ended(script: Script) -> None:
    """Only an answer whose items all began and ended, once each, from index 0, can be continued."""
    answer = script.play()
    ending = answer.ending(FAITHFUL)
    assert answer.whole is script.whole
    assert ending.reason is (None if script.whole else Whole.UNCLEAR_OUTPUT)
    assert bool(ending.spoken) is script.whole


def test_an_answer_without_a_terminal_event_has_no_ending() -> None:
    """Before the terminal event nothing can be said of the end, nor a response given."""
    answer = heard(added(0), done(0, message()))
    with pytest.raises(NotAnEvent, match="has not ended"):
        answer.ending(FAITHFUL)
    with pytest.raises(NotAnEvent, match="has not ended"):
        answer.response()


def test_items_come_in_the_order_of_their_indexes() -> None:
    """Items that end out of order are still the history in their index order."""
    answer = heard(added(0), added(1), done(1, CALL), done(0, message()), ended())
    assert forms(answer.ending(FAITHFUL)) == {meant(message(), CALL)}
    assert answer.ids == ["msg_1", "fc_1"]


def test_an_answer_of_nothing_is_continued_from_its_request() -> None:
    """A response without any output adds nothing to the context: its one form is empty."""
    assert heard(ended()).ending(FAITHFUL).spoken == ((),)
    assert heard(ended()).ending(RELAXED).spoken == ((),)


def test_events_that_say_nothing_of_items_do_not_matter() -> None:
    """Deltas, unknown events and chain events leave the answer as it is."""
    frames = [b'{"type":"response.created","response":{}}', b'{"type":"response.new_thing","output_index":7}']
    answer = heard(frames[0], added(0), frames[1], done(0, CALL), ended())
    assert answer.whole
    assert forms(answer.ending(FAITHFUL)) == {meant(CALL)}


# --- the final output against the streamed items


def test_an_empty_final_output_leaves_the_streamed_form() -> None:
    """Where `response.completed` has an empty, null or no output, what was streamed counts."""
    nothing: tuple[object, ...] = ([], None)
    for final in nothing:
        assert forms(streamed([REASONING, CALL], ended(output=final)).ending(FAITHFUL)) == {meant(REASONING, CALL)}
    absent = b'{"type":"response.completed","response":{"id":"resp_1","status":"completed"}}'
    assert forms(streamed([CALL], absent).ending(FAITHFUL)) == {meant(CALL)}


def test_an_equal_final_output_gives_one_form() -> None:
    """The same items again say nothing new."""
    assert len(streamed([REASONING, CALL], ended(output=[REASONING, CALL])).ending(FAITHFUL).spoken) == 1


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
    ending = streamed([CUSTOM, said], ended(output=[CUSTOM, final])).ending(FAITHFUL)
    assert ending.reason is None
    assert forms(ending) == {meant(CUSTOM, said), meant(CUSTOM, final)}


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
        ["Hello"],
        [None],
        [{"type": "item_reference", "id": "msg_1"}],
    ],
)
@pytest.mark.parametrize("rules", [STRICT, FAITHFUL, RELAXED], ids=lambda rules: rules.match)
def test_anything_else_differing_means_no_head(final: list[object], rules: Rules) -> None:
    """What was streamed and what the end says must be the same, or nothing is certain."""
    ending = streamed([message()], ended(output=final)).ending(rules)
    assert (ending.spoken, ending.reason) == ((), Whole.UNCLEAR_OUTPUT)


def test_a_final_output_beside_no_streamed_item_means_no_head() -> None:
    """Items that only the final response has were never seen to stream: not whole."""
    ending = heard(ended(output=[message()])).ending(FAITHFUL)
    assert (ending.spoken, ending.reason) == ((), Whole.UNCLEAR_OUTPUT)


def test_missing_in_the_middle_of_the_final_output_means_no_head() -> None:
    """Fewer or reordered final items are another history."""
    for final in ([CALL], [CALL, REASONING]):
        ending = streamed([REASONING, CALL], ended(output=final)).ending(FAITHFUL)
        assert (ending.spoken, ending.reason) == ((), Whole.UNCLEAR_OUTPUT)


# --- turns that cannot be continued


@pytest.mark.parametrize(
    "last",
    [
        ended("failed"),
        ended("incomplete"),
        ended("completed", status="incomplete"),
        ended("completed", status="failed"),
        ended("completed", status="in_progress"),
    ],
)
def test_a_turn_that_did_not_complete_has_no_head(last: bytes) -> None:
    """Failed and incomplete responses are not continued, whatever word the event or the response uses."""
    ending = streamed([message()], last).ending(RELAXED)
    assert (ending.spoken, ending.reason) == ((), Whole.UNFINISHED)
    assert ending.status


@pytest.mark.parametrize("kind", COMPACTIONS)
@pytest.mark.parametrize("rules", [STRICT, FAITHFUL, RELAXED], ids=lambda rules: rules.match)
def test_a_compaction_means_no_head_in_any_mode(kind: str, rules: Rules) -> None:
    """After a compaction the history is a new one, even where matching is relaxed."""
    ending = streamed([{"type": kind, "id": 5, "encrypted_content": "x"}, message()], ended()).ending(rules)
    assert (ending.spoken, ending.reason) == ((), Whole.COMPACTION)


@pytest.mark.parametrize(
    "kind",
    [
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "shell_call",
        "local_shell_call",
        "computer_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "thing_of_tomorrow",
    ],
)
def test_hosted_items_mean_no_head_unless_relaxed(kind: str) -> None:
    """What the upstream ran itself it may remember in another way than it told; relaxed accepts that."""
    answer = streamed([{"type": kind, "id": "x_1"}, message()], ended())
    for rules in (STRICT, FAITHFUL):
        ending = answer.ending(rules)
        assert (ending.spoken, ending.reason) == ((), Whole.HOSTED_TOOLS)
    assert answer.ending(RELAXED).reason is None
    assert meant({"type": kind, "id": "x_1"}, message()) in forms(answer.ending(RELAXED))


def test_client_side_items_are_continued() -> None:
    """Messages, reasoning, function calls and custom tool calls hold all that the model is given of them."""
    ending = streamed([REASONING, message(), CALL, CUSTOM], ended()).ending(FAITHFUL)
    assert ending.reason is None
    assert forms(ending) == {meant(REASONING, message(), CALL, CUSTOM)}


# --- what the ending tells beside the forms


def test_the_ending_tells_id_store_and_usage() -> None:
    """The id to continue from, the echoed `store`, and each count of tokens come from the final response."""
    usage = {
        "input_tokens": 90,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 102,
    }
    ending = streamed([message()], ended(store=True, usage=usage)).ending(FAITHFUL)
    assert (ending.response_id, ending.status, ending.stored) == ("resp_1", "completed", True)
    counts = ending.usage
    assert (counts.input_tokens, counts.cached_tokens) == (90, 64)
    assert (counts.output_tokens, counts.reasoning_tokens) == (12, 5)


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None, "reasoning_tokens": None}])
def test_missing_details_of_usage_count_as_zero(details: Mapping[str, object] | None) -> None:
    """Hosts that leave out or null the details are continued like any other."""
    usage = {"input_tokens": 1, "output_tokens": 2, "input_tokens_details": details, "output_tokens_details": details}
    ending = streamed([message()], ended(usage=usage)).ending(FAITHFUL)
    assert (ending.usage.cached_tokens, ending.usage.reasoning_tokens, ending.reason) == (0, 0, None)


@pytest.mark.parametrize("store", [False, None])
def test_only_an_echoed_true_is_stored(store: bool | None) -> None:  # noqa: FBT001 - a table of values
    """A response counts as stored only where its own final form says so."""
    assert streamed([message()], ended(store=store)).ending(FAITHFUL).stored is False
    assert streamed([message()], ended()).ending(FAITHFUL).stored is False


def test_a_final_response_without_a_status_has_that_of_its_event() -> None:
    """A host that leaves the status out still completed what it calls completed."""
    ending = streamed([message()], b'{"type":"response.completed","response":{"id":"resp_1"}}').ending(FAITHFUL)
    assert (ending.status, ending.reason) == ("completed", None)


# --- odd frames


@pytest.mark.parametrize(
    "frame",
    [
        added("x"),
        added(None),
        added(1.5),
        b'{"type":"response.output_item.added","output_index":true,"item":{}}',
        b'{"type":"response.output_item.added","item":{}}',
        b'{"type":"response.output_item.done","output_index":0}',
        b'{"type":"response.output_item.done","output_index":0,"item":',
        b'{"type":"response.output_item.done","output_index":' + b"9" * 5_000 + b',"item":{}}',
        b'{"type":"response.output_item.done","output_index":0,"item":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"response.output_item.done"} trailing',
    ],
)
def test_an_item_event_without_item_or_index_is_no_event(frame: bytes) -> None:
    """Item events that cannot be read are refused as garbage, not guessed at."""
    with pytest.raises(NotAnEvent):
        Answer().see(sniff(frame))


@pytest.mark.parametrize(
    "response",
    [
        b'"x"',
        b"null",
        b"[]",
        b"{}",
        b'{"id":5,"output":[]}',
        b'{"id":"","output":[]}',
        b'{"id":null}',
        b'{"id":"r","store":"yes"}',
        b'{"id":"r","usage":"many"}',
        b'{"id":"r","usage":{"input_tokens":null}}',
        b'{"id":"r","usage":{"input_tokens":"12"}}',
        b'{"id":"r","usage":{"input_tokens":-1}}',
        b'{"id":"r","usage":{"output_tokens":1.5}}',
        b'{"id":"r","usage":{"input_tokens_details":{"cached_tokens":-1}}}',
        b'{"id":"r","usage":{"input_tokens":' + b"9" * 400 + b"}}",
        b'{"id":"r","usage":{"input_tokens":' + b"9" * 5_000 + b"}}",
        b'{"id":"r","output":"x"}',
        b'{"id":"r","output":{}}',
        b'{"id":"r","status":7}',
        b'{"id":"\\ud800"}',
        b'{"id":"\xff"}',
        b'{"id":"r","metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_an_odd_final_response_is_no_head(response: bytes) -> None:
    """A final response with fields of other types than documented is passed on, but never continued."""
    answer = heard(added(0), done(0, message()), b'{"type":"response.completed","response":' + response + b"}")
    ending = answer.ending(FAITHFUL)
    assert (ending.spoken, ending.reason) == ((), Whole.UNCLEAR_OUTPUT)
    assert (ending.status, ending.stored) == ("completed", False)


@pytest.mark.parametrize(
    "item",
    [
        b'"text"',
        b"7",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'{"type":null}',
        b'{"type":5,"role":"assistant"}',
        b'{"type":["message"]}',
        b'{"id":"msg_1"}',
        b'{"type":"item_reference","id":"msg_1"}',
        b'{"type":"message","type":"message","role":"assistant","content":"x"}',
        b'{"type":"message","role":"assistant","content":NaN}',
        b'{"type":"message","role":"assistant","content":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"type":"message","id":"\xff"}',
    ],
)
def test_an_odd_item_is_no_head_even_if_relaxed(item: bytes) -> None:
    """Items that are no objects, have no type, or may be read in two ways cannot be recognised later."""
    frame = b'{"type":"response.output_item.done","output_index":0,"item":' + item + b"}"
    answer = Answer()
    answer.see(sniff(added(0)))
    try:
        answer.see(sniff(frame))
    except NotAnEvent:
        return
    answer.see(sniff(ended()))
    ending = answer.ending(RELAXED)
    assert (ending.spoken, ending.reason) == ((), Whole.UNCLEAR_OUTPUT)
    assert answer.ids in ([""], ["msg_1"])


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["type", "id", "role", "content", "text", "status", "summary", "encrypted_content", "phase"])
TYPES = st.sampled_from(["message", "reasoning", "function_call", "web_search_call", "compaction", "output_text"])
ITEMS = ODD | st.dictionaries(KEYS, ODD | TYPES | st.lists(st.dictionaries(KEYS, ODD | TYPES)), max_size=5)
RESPONSES = ODD | st.fixed_dictionaries(
    {"id": st.just("r") | ODD},
    optional={"output": st.lists(ITEMS, max_size=3) | ODD, "usage": ODD, "store": ODD, "status": ODD, "error": ODD},
)


@given(
    items=st.lists(st.tuples(st.integers(-1, 2) | ODD, ITEMS), max_size=3),
    kind=st.sampled_from(["completed", "failed", "incomplete"]),
    response=RESPONSES,
    match=st.sampled_from([STRICT, FAITHFUL, RELAXED]),
)
def test_whatever_arrives_nothing_but_not_an_event_escapes(
    items: list[tuple[object, object]], kind: str, response: object, match: Rules
) -> None:
    """Any frame is an event, garbage, or the end of a turn that is not continued: never a crash."""
    answer = Answer()
    try:
        for index, item in items:
            answer.see(sniff(added(index)))
            answer.see(sniff(done(index, item)))
        answer.see(sniff(msgspec.json.encode({"type": f"response.{kind}", "response": response})))
        ending = answer.ending(match)
        assert (ending.reason is None) is bool(ending.spoken)
        assert len(answer.ids) == len(answer.done)
        assert isinstance(answer.response(), bytes)
    except NotAnEvent:
        return


# --- the response of a JSON caller


def test_a_json_caller_gets_the_final_response_verbatim() -> None:
    """White space, key order, number spelling and unknown fields stay as the upstream wrote them."""
    body = b'{ "id":"r", "output" : [ {"a":1.0} ],"z":1e2,\n"unknown":null}'
    answer = heard(added(0), done(0, CALL), b'{"type":"response.completed","response": ' + body + b" }")
    assert answer.response() == body


@pytest.mark.parametrize("empty", [b"[]", b"[ \n ]", b"null"])
def test_an_empty_output_is_rebuilt_from_the_streamed_items(empty: bytes) -> None:
    """Where the final response has no output, a JSON caller gets the items as they were streamed, byte for byte."""
    frame = b'{"type":"response.output_item.done","output_index":0,"item":{"type":"message", "x":1.50}}'
    last = b'{"type":"response.completed","response":{"id":"r","output":' + empty + b',"b":2}}'
    answer = heard(added(0), frame, added(1), done(1, CALL), last)
    calls = msgspec.json.encode(CALL)
    assert answer.response() == b'{"id":"r","output":[{"type":"message", "x":1.50},' + calls + b'],"b":2}'


def test_an_empty_answer_stays_empty() -> None:
    """Without streamed items, or without an `output`, there is nothing to rebuild."""
    assert heard(b'{"type":"response.completed","response":{"output":[ ]}}').response() == b'{"output":[ ]}'
    assert streamed([CALL], b'{"type":"response.failed","response":{"id":"r"}}').response() == b'{"id":"r"}'


@pytest.mark.parametrize("response", [b"", b',"response":null', b',"response":[]', b',"response":{"output":"x"}'])
def test_a_terminal_event_without_a_response_gives_none(response: bytes) -> None:
    """A JSON caller cannot be answered from an end that holds no response."""
    answer = heard(added(0), done(0, CALL), b'{"type":"response.completed"' + response + b"}")
    with pytest.raises(NotAnEvent, match="without a response"):
        answer.response()


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
    assert meant(*left, rules=RELAXED) in forms(streamed(items, ended()).ending(RELAXED))


@pytest.mark.parametrize(("items", "left"), [pytest.param(a, b, id=name) for name, a, b in REDUCTIONS if a != b])
def test_other_modes_know_only_the_whole_form(items: list[Item], left: list[Item]) -> None:
    """Strict and faithful matching never take a reduced answer for the answer."""
    for rules in (STRICT, FAITHFUL):
        assert meant(*left, rules=rules) not in forms(streamed(items, ended()).ending(rules))


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
    spoken = streamed(items, ended()).ending(RELAXED).spoken
    assert all(spoken)
    if message() in items:
        assert meant(REASONING) not in {form(*said) for said in spoken}


def test_a_message_is_dropped_only_where_a_call_is_left() -> None:
    """[reasoning, search, message] with message and search dropped would leave reasoning alone: no form."""
    known = forms(streamed([REASONING, SEARCH, message()], ended()).ending(RELAXED))
    assert meant(REASONING) not in known
    assert meant(SEARCH) in known
    assert meant(message()) in known


def test_only_messages_lose_their_phase() -> None:
    """A field of that name elsewhere is the item's own meaning."""
    hosted: Item = {"type": "web_search_call", "id": "ws_1", "phase": "x"}
    known = forms(streamed([hosted, PHASED], ended()).ending(RELAXED))
    assert meant(hosted, message()) in known
    assert meant(without(hosted, "phase"), message()) not in known


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
    known = forms(streamed([kept, PHASED], ended()).ending(RELAXED))
    assert meant(PHASED) not in known
    assert meant(kept, PHASED) in known


def test_relaxed_reduces_the_final_form_too() -> None:
    """Where stream and end differ, each has its reduced forms."""
    other = {**REASONING, "encrypted_content": "gBBB"}
    known = forms(streamed([REASONING, PHASED, CALL], ended(output=[other, PHASED, CALL])).ending(RELAXED))
    assert {meant(REASONING, message(), CALL), meant(other, message(), CALL), meant(CALL)} <= known


@given(
    items=st.lists(st.sampled_from([REASONING, CALL, CUSTOM, SEARCH, EMPTY, PHASED, message()]), max_size=5),
    match=st.sampled_from(["strict", "faithful", "relaxed"]),
)
def test_forms_are_different_and_start_with_the_streamed_one(
    items: list[Item], match: Literal["strict", "faithful", "relaxed"]
) -> None:
    """The whole answer is always the first form, and no form comes twice."""
    rules = Rules(match)
    ending = streamed(items, ended()).ending(rules)
    if ending.reason is None:
        assert form(*ending.spoken[0]) == meant(*items, rules=rules)
        assert len(forms(ending)) == len(ending.spoken)
    else:
        assert SEARCH in items


# --- whether a conversation only starts


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"input":"hello"}', False),
        (b'{"input":[{"role":"user","content":"hi"}]}', False),
        (b'{"input":[{"role":"assistant","content":"hi"}]}', True),
        (b'{"input":[{"type":"function_call_output","call_id":"c1","output":"x"}]}', True),
        (b'{"input":[{"type":"reasoning","encrypted_content":"x"}]}', True),
        (b'{"input":[{"type":"item_reference","id":"msg_1"}]}', True),
    ],
)
def test_a_request_that_holds_nothing_said_only_starts(body: bytes, said: bool) -> None:  # noqa: FBT001 - a table
    """Whether a request in full is told to be a first one, or one that matched nothing."""
    assert said_before(body) is said
