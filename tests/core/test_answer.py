"""What the model said: the rules by which an answer can, or cannot, be continued."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from proxy.core.answer import Answer, Ending
from proxy.core.events import Kind, NotAnEvent, sniff, sse
from proxy.core.meaning import Rules
from proxy.core.reasons import Whole
from tests.core.outputs import (
    CALL,
    CUSTOM,
    FAITHFUL,
    REASONING,
    RELAXED,
    STRICT,
    Item,
    form,
    meant,
    message,
)

COMPACTIONS = ["compaction", "compaction_summary", "context_compaction"]


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


def spoken(ending: Ending) -> set[bytes]:
    """The ending's forms, comparable without regard to their order."""
    return {form(*said) for said in ending.spoken}


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
    assert spoken(answer.ending(FAITHFUL)) == {meant(message(), CALL)}
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
    assert spoken(answer.ending(FAITHFUL)) == {meant(CALL)}


@pytest.mark.parametrize(
    ("response", "reason"),
    [({"id": "resp_1"}, None), ({}, None), ({"id": "resp_2"}, Whole.UNCLEAR_OUTPUT), ({"id": 7}, Whole.UNCLEAR_OUTPUT)],
    ids=str,
)
def test_a_response_that_began_as_another_means_no_head(response: object, reason: Whole | None) -> None:
    """Whose items were streamed cannot be told: nothing is continued from them."""
    frame = msgspec.json.encode({"type": "response.in_progress", "response": response})
    assert heard(frame, added(0), done(0, CALL), ended()).ending(FAITHFUL).reason is reason


# --- the final output against the streamed items


def test_an_empty_final_output_leaves_the_streamed_form() -> None:
    """Where `response.completed` has an empty, null or no output, what was streamed counts."""
    nothing: tuple[object, ...] = ([], None)
    for final in nothing:
        assert spoken(streamed([REASONING, CALL], ended(output=final)).ending(FAITHFUL)) == {meant(REASONING, CALL)}
    absent = b'{"type":"response.completed","response":{"id":"resp_1","status":"completed"}}'
    assert spoken(streamed([CALL], absent).ending(FAITHFUL)) == {meant(CALL)}


def test_the_ending_has_every_form_of_the_answer() -> None:
    """Streamed and final output each give theirs, and relaxed matching the reduced ones."""
    final = {**REASONING, "encrypted_content": "gBBB"}
    answer = streamed([REASONING, CALL], ended(output=[final, CALL]))
    assert spoken(answer.ending(FAITHFUL)) == {meant(REASONING, CALL), meant(final, CALL)}
    reduced = ((REASONING, CALL), (final, CALL), (CALL,))
    assert spoken(answer.ending(RELAXED)) == {meant(*form, rules=RELAXED) for form in reduced}


@pytest.mark.parametrize(
    "final",
    [
        [message("Hallo")],
        [CALL],
        [message(), CALL],
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
    assert meant({"type": kind, "id": "x_1"}, message()) in spoken(answer.ending(RELAXED))


def test_client_side_items_are_continued() -> None:
    """Messages, reasoning, function calls and custom tool calls hold all that the model is given of them."""
    ending = streamed([REASONING, message(), CALL, CUSTOM], ended()).ending(FAITHFUL)
    assert ending.reason is None
    assert spoken(ending) == {meant(REASONING, message(), CALL, CUSTOM)}


@pytest.mark.parametrize(("store", "reason"), [(True, None), (False, Whole.HIDDEN_REASONING)])
def test_hidden_reasoning_is_continued_only_where_it_is_stored(store: bool, reason: Whole | None) -> None:  # noqa: FBT001
    """Not stored and neither encrypted nor in clear it is at the upstream alone: plain HTTP would answer 404 to it."""
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert streamed([bare, CALL], ended(store=store)).ending(FAITHFUL).reason is reason
    open_ = {**bare, "content": [{"type": "reasoning_text", "text": "so"}]}
    assert streamed([open_, CALL], ended(store=store)).ending(FAITHFUL).reason is None


@pytest.mark.parametrize(
    ("caller", "ours"),
    [
        (None, True),
        ({"type": "direct"}, True),
        ({"type": "program", "caller_id": "prog_1"}, False),
        ({"type": "from_the_future"}, False),
        ({"type": "direct", "more": 1}, False),
        ("direct", False),
    ],
)
def test_calls_of_the_upstreams_programs_are_not_continued(caller: object, *, ours: bool) -> None:
    """A program that the upstream runs goes on in its own memory: what it calls is client-side only in relaxed mode."""
    for call in (CALL, CUSTOM):
        answer = streamed([message(), {**call, "caller": caller}], ended())
        assert answer.ending(FAITHFUL).reason is answer.ending(STRICT).reason is (None if ours else Whole.HOSTED_TOOLS)
        assert answer.ending(RELAXED).reason is None


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
def test_an_odd_item_event_leaves_the_turn_alone_but_no_head(frame: bytes) -> None:
    """The caller gets the event and may know what to do with it; to continue from such an answer would be a guess."""
    for before in ((), (added(0), done(0, CALL))):
        answer = heard(*before, frame, ended())
        assert answer.muddled
        assert not answer.whole
        ending = answer.ending(RELAXED)
        assert (ending.status, ending.spoken, ending.reason) == ("completed", (), Whole.UNCLEAR_OUTPUT)


def test_what_comes_after_an_odd_item_event_does_not_mend_the_answer() -> None:
    """A later event for the same index may be of another item: muddled stays muddled."""
    assert not heard(added("0"), added(0), done(0, CALL), ended()).whole
    assert not heard(added(0), done("0", CALL), done(0, CALL), ended()).whole


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
    answer = heard(added(0), frame, ended())
    ending = answer.ending(RELAXED)
    assert (ending.spoken, ending.reason) == ((), Whole.UNCLEAR_OUTPUT)
    assert answer.ids in ([], [""], ["msg_1"])
    assert bool(answer.ids) is not answer.muddled


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
def test_whatever_arrives_a_turn_ends_with_forms_or_a_reason(
    items: list[tuple[object, object]], kind: str, response: object, match: Rules
) -> None:
    """Any items and any end: a head or the reason for none, and a response or none. Never a crash."""
    begun = msgspec.json.encode({"type": "response.created", "response": response})
    frames = [frame for index, item in items for frame in (added(index), done(index, item))]
    answer = heard(begun, *frames, msgspec.json.encode({"type": f"response.{kind}", "response": response}))
    ending = answer.ending(match)
    assert (ending.reason is None) is bool(ending.spoken)
    assert len(answer.ids) == len(answer.done)
    assert (answer.failed("lost", 1) is None) is not (isinstance(response, dict) and bool(response))
    with contextlib.suppress(NotAnEvent):
        assert isinstance(answer.response(), bytes)


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


@pytest.mark.parametrize(
    "response",
    [b"", b',"response":null', b',"response":[]', b',"response":{"output":{}}', b',"response":{"id":"a","id":"b"}'],
)
def test_a_terminal_event_without_a_response_gives_none(response: bytes) -> None:
    """A JSON caller cannot be answered from an end that holds no response, or one that may hold no output."""
    answer = heard(added(0), done(0, CALL), b'{"type":"response.completed"' + response + b"}")
    with pytest.raises(NotAnEvent, match=r"without a response|cannot be read"):
        answer.response()


@pytest.mark.parametrize("odd", [done("0", CALL), b'{"type":"response.output_item.done","item":{}}'])
@pytest.mark.parametrize("good", [(), (added(0), done(0, CALL))], ids=["alone", "beside a good one"])
def test_an_output_is_never_rebuilt_with_a_hole(odd: bytes, good: tuple[bytes, ...]) -> None:
    """Where an item could not be read, an empty final output is not passed off as what the model said."""
    answer = heard(*good, odd, ended())
    with pytest.raises(NotAnEvent, match="could not be read"):
        answer.response()


def test_a_final_output_counts_whatever_was_streamed() -> None:
    """Where the final response has its output, an odd item event does no harm to a JSON caller."""
    answer = heard(added("0"), done("0", CALL), ended(output=[CALL]))
    assert msgspec.json.decode(answer.response())["output"] == [CALL]


def test_an_item_that_never_was_added_still_stands_in_the_output() -> None:
    """Hosts without `output_item.added` are muddled, so not continued, but their JSON callers lose nothing."""
    answer = heard(done(0, CALL), ended())
    assert answer.muddled
    assert msgspec.json.decode(answer.response())["output"] == [CALL]


def test_a_text_cut_within_a_surrogate_pair_reaches_a_json_caller() -> None:
    """What the strict parser does not take is written anew: the same text, as `json` of Python reads it."""
    answer = heard(b'{"type":"response.completed","response":{"id":"r","output":[{"text":"hi \\ud83d"}]}}')
    assert json.loads(answer.response()) == {"id": "r", "output": [{"text": "hi \ud83d"}]}


# --- an answer that was cut off

BEGUN: Item = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "in_progress",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "error": None,
}


def begun(response: object, kind: str = "created") -> bytes:
    """The response begins."""
    return msgspec.json.encode({"type": f"response.{kind}", "sequence_number": 0, "response": response})


def test_a_failure_is_made_of_the_response_as_it_began() -> None:
    """Identity and settings stay those of the stream's response; status and error say what became of it."""
    event = heard(begun(BEGUN)).failed("the line was lost", 7)
    assert event
    assert sniff(event.frame) == event
    assert (event.type, event.kind) == ("response.failed", Kind.ENDED_SHORT)
    assert msgspec.json.decode(event.frame) == {
        "type": "response.failed",
        "sequence_number": 7,
        "response": {
            **BEGUN,
            "status": "failed",
            "error": {"code": "server_error", "message": "the line was lost"},
        },
    }


def test_a_failure_keeps_the_upstreams_own_spelling() -> None:
    """Numbers of the response are not rounded, nor unknown fields lost."""
    event = heard(b'{"type":"response.created","response":{"id":"r","temperature":1.50,"new":{"a":1e400}}}').failed(
        "", 1
    )
    assert event
    assert b'"temperature":1.50,"new":{"a":1e400}' in event.frame


def test_a_failure_is_made_of_the_latest_that_named_the_response() -> None:
    """`response.in_progress` may say more than `response.created` did."""
    event = heard(begun({"id": "r"}), begun({"id": "r", "model": "m"}, "in_progress"), added(0)).failed("", 1)
    assert event
    assert msgspec.json.decode(event.frame)["response"]["model"] == "m"


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [added(0), done(0, CALL)],
        [b'{"type":"response.created"}'],
        [b'{"type":"response.created","response":null}'],
        [b'{"type":"response.created","response":"r"}'],
        [b'{"type":"response.created","response":[]}'],
        [b'{"type":"response.created","response":{}}'],
        [b'{"type":"response.created","response":{"id":"a","id":"b"}}'],
        [b'{"type":"response.created","response":{"id":"a"},"response":{"id":"b"}}'],
        [b'{"type":"response.created","response":{"id":"r","metadata":{"a":"\\ud83d"}}}'],
        [b'{"type":"response.created","response":'],
    ],
)
def test_without_a_readable_beginning_there_is_no_failure_to_tell(frames: list[bytes]) -> None:
    """An invented response would be another one to the caller's SDK: the stream is cut instead."""
    assert heard(*frames).failed("the line was lost", 1) is None


async def test_the_sdk_takes_the_failure_for_the_end_of_its_response() -> None:
    """`responses.stream()` accepts it in mid-answer: same identity, next number, a whole response with an error."""
    opened = {"type": "response.output_item.added", "output_index": 0, "sequence_number": 1, "item": message("")}
    frames = [begun(BEGUN), msgspec.json.encode(opened)]
    failure = heard(*frames).failed("the line was lost", 2)
    assert failure
    stream = b"".join(sse(event) for event in (*map(sniff, frames), failure))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=stream, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/responses", answer)
    async with TestServer(app) as server:
        client = AsyncOpenAI(api_key="k", base_url=str(server.make_url("/v1")), max_retries=0)
        async with client, client.responses.stream(model="m", input="hi") as events:
            seen = [event async for event in events]
    assert [event.type for event in seen] == ["response.created", "response.output_item.added", "response.failed"]
    last = seen[-1]
    assert last.type == "response.failed"
    assert (last.sequence_number, last.response.id, last.response.status) == (2, "resp_1", "failed")
    assert last.response.error
    assert last.response.error.message == "the line was lost"
